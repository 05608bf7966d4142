//! The log that GitHub's runner reads: text, which is never a command, and
//! commands. What the runner takes for a command: actions/runner,
//! `ActionCommand.cs` and `ActionCommandManager.cs`.

use std::io::Write;

use crate::random_hex;

/// A log, of a runner or of a person.
pub(crate) struct Log {
    out: Box<dyn Write + Send>,
    runner: bool,
    stopped: Option<Stopped>,
}

/// The runner reads no commands: tools print.
struct Stopped {
    token: String,
    tools: usize,
}

impl Log {
    /// A log to `out`, which a runner reads or not.
    pub(crate) fn new(out: Box<dyn Write + Send>, runner: bool) -> Self {
        Self { out, runner, stopped: None }
    }

    /// Writes lines that give no command, whatever is in them.
    pub(crate) fn text(&mut self, text: &str) {
        if self.runner && self.stopped.is_none() {
            // The runner's lines end at a carriage return, too.
            for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
                let _ = writeln!(self.out, "{}", no_command(line));
            }
        } else {
            let _ = writeln!(self.out, "{text}");
        }
    }

    /// Gives the runner a command of ours, also while a tool prints.
    pub(crate) fn command(&mut self, command: &str) {
        let tools = self.resume();
        let _ = writeln!(self.out, "{command}");
        if let Some(tools) = tools {
            self.stop(tools);
        }
    }

    /// From here on a tool may print: the runner reads no commands.
    pub(crate) fn tool_starts(&mut self) {
        match &mut self.stopped {
            _ if !self.runner => {}
            Some(stopped) => stopped.tools += 1,
            None => self.stop(1),
        }
    }

    /// A tool has ended; after the last one the runner reads commands again.
    pub(crate) fn tool_ends(&mut self) {
        match &mut self.stopped {
            Some(stopped) if stopped.tools > 1 => stopped.tools -= 1,
            _ => drop(self.resume()),
        }
    }

    /// The token is a new one each time: a tool may have read the log.
    fn stop(&mut self, tools: usize) {
        let token = random_hex(16);
        let _ = writeln!(self.out, "::stop-commands::{token}");
        self.stopped = Some(Stopped { token, tools });
    }

    /// Lets the runner read commands; gives the number of tools that still print.
    fn resume(&mut self) -> Option<usize> {
        let stopped = self.stopped.take()?;
        let _ = writeln!(self.out, "::{}::", stopped.token);
        Some(stopped.tools)
    }
}

/// `line` in a form that is no command: neither one that begins with `::`, nor
/// the older kind, which may begin anywhere.
fn no_command(line: &str) -> String {
    let line = line.replace("##[", "##\u{200b}[");
    if line.trim_start().starts_with("::") { format!("\u{200b}{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use crate::{Captured, Env, Secret, Ui};

    fn on_a_runner() -> (Ui, Captured) {
        Ui::captured(&Env::from_iter([("GITHUB_ACTIONS", "true")]))
    }

    /// Reads the log the way the runner does (actions/runner,
    /// `ActionCommandManager`): gives the commands that it would carry out, and
    /// the tokens that it would mask.
    fn carried_out(log: &str) -> (Vec<String>, Vec<String>) {
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
        assert_eq!(stopped, None, "commands are read again at the end");
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
    fn nothing_that_is_quoted_is_a_command() {
        let (ui, said) = on_a_runner();
        for text in EVIL {
            ui.info(text);
            ui.foreign(text);
            ui.report(text);
        }
        assert_eq!(carried_out(&said.text()).0, Vec::<String>::new(), "{}", said.text());
    }

    #[test]
    fn a_tool_has_one_token_for_all_of_its_lines() {
        let (ui, said) = on_a_runner();
        ui.group("build", || {
            let tool = ui.tool();
            (0..10_000).for_each(|_| tool.line(EVIL[0]));
        });
        ui.tool().line(EVIL[1]);
        let text = said.text();
        let (commands, tokens) = carried_out(&text);
        assert_eq!(commands, ["group", "endgroup"]);
        assert_eq!(tokens.len(), 2, "one a tool");
        assert!(text.starts_with("::group::build\n::stop-commands::"), "{}", &text[..60]);
        assert_eq!(text.lines().count(), 10_000 + 1 + 2 + 4);
    }

    #[test]
    fn our_own_commands_work_while_a_tool_prints() {
        let (ui, said) = on_a_runner();
        let (first, second) = (ui.tool(), ui.tool());
        first.line(EVIL[0]);
        ui.mask(&Secret::new("hunter2!"));
        drop(first);
        second.line(EVIL[2]);
        ui.warning("slow");
        second.line("hunter2! ::add-path::");
        drop(second);
        let (commands, tokens) = carried_out(&said.text());
        assert_eq!(commands.last().unwrap(), "warning");
        assert!(commands[..commands.len() - 1].iter().all(|command| command == "add-mask"), "{commands:?}");
        assert!(tokens.len() > 1, "each stop has a token of its own");
        assert!(said.text().contains("*** ::add-path::"), "{}", said.text());
    }
}
