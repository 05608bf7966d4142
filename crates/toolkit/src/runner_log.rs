//! The log that GitHub's runner reads: text, which must not be interpreted as a command, and
//! commands. Syntax of commands: actions/runner, `ActionCommand.cs` and
//! `ActionCommandManager.cs`.

use std::io::Write;

use crate::random_hex;

/// A log, with or without workflow commands.
pub(crate) struct Log {
    out: Box<dyn Write + Send>,
    runner: bool,
    stopped: Option<Stopped>,
}

/// Commands are stopped while tools print.
struct Stopped {
    token: String,
    tools: usize,
}

impl Log {
    /// A log to `out`. `runner` says whether a runner reads it.
    pub(crate) fn new(out: Box<dyn Write + Send>, runner: bool) -> Self {
        Self { out, runner, stopped: None }
    }

    /// Writes lines that the runner does not interpret as commands.
    pub(crate) fn text(&mut self, text: &str) {
        if self.runner && self.stopped.is_none() {
            // For the runner, a carriage return also ends a line.
            for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
                let _ = writeln!(self.out, "{}", escape_commands(line));
            }
        } else {
            let _ = writeln!(self.out, "{text}");
        }
    }

    /// Writes a command, even while a tool prints.
    pub(crate) fn command(&mut self, command: &str) {
        let tools = self.resume();
        let _ = writeln!(self.out, "{command}");
        if let Some(tools) = tools {
            self.stop(tools);
        }
    }

    /// Stops commands, because a tool is going to print.
    pub(crate) fn tool_starts(&mut self) {
        match &mut self.stopped {
            _ if !self.runner => {}
            Some(stopped) => stopped.tools += 1,
            None => self.stop(1),
        }
    }

    /// Resumes commands after the last tool has ended.
    pub(crate) fn tool_ends(&mut self) {
        match &mut self.stopped {
            Some(stopped) if stopped.tools > 1 => stopped.tools -= 1,
            _ => drop(self.resume()),
        }
    }

    /// Uses a new token each time, because a tool may have read the log.
    fn stop(&mut self, tools: usize) {
        let token = random_hex(16);
        let _ = writeln!(self.out, "::stop-commands::{token}");
        self.stopped = Some(Stopped { token, tools });
    }

    /// Resumes commands; returns the number of tools that are still printing.
    fn resume(&mut self) -> Option<usize> {
        let stopped = self.stopped.take()?;
        let _ = writeln!(self.out, "::{}::", stopped.token);
        Some(stopped.tools)
    }
}

/// Escapes commands in `line`: those that start with `::`, and the older kind, which can
/// start anywhere.
fn escape_commands(line: &str) -> String {
    let line = line.replace("##[", "##\u{200b}[");
    if line.trim_start().starts_with("::") { format!("\u{200b}{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use crate::{Captured, Env, Secret, Ui};

    fn on_a_runner() -> (Ui, Captured) {
        Ui::captured(&Env::from_iter([("GITHUB_ACTIONS", "true")]))
    }

    /// Reads the log like the runner (actions/runner, `ActionCommandManager`): returns the
    /// commands that it would execute and the tokens that it would mask.
    fn executed(log: &str) -> (Vec<String>, Vec<String>) {
        let (mut commands, mut tokens) = (Vec::new(), Vec::new());
        let mut stopped: Option<String> = None;
        for line in log.split(['\n', '\r']) {
            let new = line.trim_start().strip_prefix("::").and_then(|rest| rest.split_once("::"));
            let old = || line.split_once("##[").and_then(|(_, rest)| rest.split_once(']'));
            let Some((name, data)) = new.or_else(old) else { continue };
            match &stopped {
                Some(token) if name == token => stopped = None,
                Some(_) => {}
                None if name == "stop-commands" => {
                    assert!(!tokens.contains(&data.to_owned()), "a token is used once");
                    tokens.push(data.to_owned());
                    stopped = Some(data.to_owned());
                }
                None => commands.push(name.split(' ').next().unwrap_or_default().to_owned()),
            }
        }
        assert_eq!(stopped, None, "commands are resumed at the end");
        (commands, tokens)
    }

    const EVIL: [&str; 5] = [
        "::add-path::/evil",
        "  ::set-env name=x::y",
        "text ##[add-path]/evil",
        "bar\r::add-path::/evil",
        "::stop-commands::pause-logging",
    ];

    #[test]
    fn quoted_text_is_never_a_command() {
        let (ui, log) = on_a_runner();
        for text in EVIL {
            ui.info(text);
            ui.foreign(text);
            ui.report(text);
        }
        assert_eq!(executed(&log.text()).0, Vec::<String>::new(), "{}", log.text());
    }

    #[test]
    fn a_tool_uses_one_token_for_all_of_its_lines() {
        let (ui, log) = on_a_runner();
        ui.group("build", || {
            let tool = ui.tool();
            (0..10_000).for_each(|_| tool.line(EVIL[0]));
        });
        ui.tool().line(EVIL[1]);
        let text = log.text();
        let (commands, tokens) = executed(&text);
        assert_eq!(commands, ["group", "endgroup"]);
        assert_eq!(tokens.len(), 2, "one per tool");
        assert!(text.starts_with("::group::build\n::stop-commands::"), "{}", &text[..60]);
        assert_eq!(text.lines().count(), 10_000 + 1 + 2 + 4);
    }

    #[test]
    fn our_own_commands_work_while_a_tool_prints() {
        let (ui, log) = on_a_runner();
        let (first, second) = (ui.tool(), ui.tool());
        first.line(EVIL[0]);
        ui.mask(&Secret::new("hunter2!"));
        drop(first);
        second.line(EVIL[2]);
        ui.warning("slow");
        second.line("hunter2! ::add-path::");
        drop(second);
        let (commands, tokens) = executed(&log.text());
        assert_eq!(commands.last().unwrap(), "warning");
        assert!(commands[..commands.len() - 1].iter().all(|command| command == "add-mask"), "{commands:?}");
        assert!(tokens.len() > 1, "each stop uses a new token");
        assert!(log.text().contains("*** ::add-path::"), "{}", log.text());
    }
}
