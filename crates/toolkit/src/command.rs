//! Describes and runs other programs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::platform::prepare_group;
use crate::process_group::{ProcessGroup, interrupted};
use crate::{Exit, Failure, Ui};

/// A command as a value, for plans and their output. It must not contain secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmd {
    /// The program, by path or by name.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables to set, or (`None`) to remove.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub env: BTreeMap<String, Option<String>>,
    /// Whether the command's environment is only `env`, without that of this process.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub only_env: bool,
    /// The working directory; `None` is that of this process.
    #[serde(rename = "folder", skip_serializing_if = "Option::is_none", default)]
    pub directory: Option<PathBuf>,
    /// The standard input; empty by default. Not part of a plan.
    #[serde(skip)]
    pub stdin: Vec<u8>,
}

impl Cmd {
    /// A command without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), Some(value.into()));
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Runs it in `directory`.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Feeds `bytes` to its standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The equivalent `std` command, without connected streams.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if self.only_env {
            command.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// Runs the command in its own process group, for at most `limit`. A timeout, Ctrl-C or
    /// SIGTERM ends the whole group. Not reading all of the standard input is not an error.
    pub fn run(&self, ui: &Ui, mode: OutputMode, limit: Duration) -> Result<CommandOutput, ProcessError> {
        if interrupted() {
            return Err(ProcessError::Interrupted);
        }
        let start = Instant::now();
        let mut command = self.command();
        let stdin = if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn_group(&mut command, &self.program)?;
        let group = ProcessGroup::watch(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // Closed as soon as both readers are done.
        let (reading, read) = mpsc::channel();
        let also_reading = reading.clone();
        let (stdout, stderr, status) = std::thread::scope(|scope| {
            if let Some(mut stdin) = stdin {
                // Fails with a broken pipe if the command exits early.
                scope.spawn(move || stdin.write_all(&self.stdin));
            }
            let stdout = scope.spawn(move || {
                let _reading = reading;
                stdout.map(read_all).unwrap_or_default()
            });
            let stderr = scope.spawn(move || {
                let _reading = also_reading;
                match stderr {
                    Some(stderr) if mode == OutputMode::Shown => show(ui, stderr),
                    Some(stderr) => read_all(stderr),
                    None => String::new(),
                }
            });
            let status = wait(&mut child, &group, start + limit, &read);
            // Other processes that still have the pipes open would block the reader threads.
            group.end();
            (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default(), status)
        });
        drop(group);
        let command = self.to_string();
        match status.map_err(|source| ProcessError::Start { program: self.program.clone(), source })? {
            _ if interrupted() => Err(ProcessError::Interrupted),
            None => Err(ProcessError::Timeout { command, limit, stderr }),
            Some(status) if status.success() => Ok(CommandOutput { stdout, stderr, time: start.elapsed() }),
            Some(status) => Err(ProcessError::Failed { command, status, stdout, stderr }),
        }
    }
}

impl fmt::Display for Cmd {
    /// Formats the command for a POSIX shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |word: &str| shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into);
        write!(f, "{}", quote(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quote(arg)))
    }
}

/// How the output of a command is handled. Standard output is always captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Standard error is captured, and shown only if the command fails.
    Quiet,
    /// Standard error is shown immediately.
    Shown,
}

/// The output of a command that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub time: Duration,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It did not start.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// It exited with a status other than 0, or by a signal.
    #[error("`{command}` failed with {status}{}", tail(stderr))]
    Failed {
        /// The whole command.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
    /// It ran for longer than its limit.
    #[error("`{command}` timed out after {} s{}", limit.as_secs(), tail(stderr))]
    Timeout {
        /// The whole command.
        command: String,
        /// The limit.
        limit: Duration,
        /// Its standard error.
        stderr: String,
    },
    /// The user interrupted this process.
    #[error("interrupted")]
    Interrupted,
}

/// The last lines of `text`, indented below a message.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].iter().fold(String::new(), |out, line| out + "\n  " + line)
}

impl Failure for ProcessError {
    fn exit(&self) -> Exit {
        match self {
            Self::Interrupted => Exit::Interrupted,
            _ => Exit::Undetermined,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Start { program, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("install `{program}` or put it on PATH"))
            }
            _ => None,
        }
    }
}

/// Starts `command` in a process group of its own.
pub(crate) fn spawn_group(command: &mut Command, program: &str) -> Result<Child, ProcessError> {
    prepare_group(command);
    command.spawn().map_err(|source| ProcessError::Start { program: program.to_owned(), source })
}

/// Waits until `child` exits. At the deadline, or after an interrupt, ends its group and
/// returns `None`. `read` disconnects when the child closes its output, usually by exiting.
fn wait(
    child: &mut Child,
    group: &ProcessGroup,
    end: Instant,
    read: &mpsc::Receiver<Infallible>,
) -> io::Result<Option<ExitStatus>> {
    const SHORT: Duration = Duration::from_millis(1);
    let mut pause = SHORT;
    let mut open = true;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end || interrupted() {
            group.end();
            // In case the group could not be created. The child may have exited already.
            let _ = child.kill();
            child.wait()?;
            return Ok(None);
        }
        if !open {
            std::thread::sleep(pause);
        } else if read.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Disconnected) {
            open = false;
            pause = SHORT;
            continue;
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn read_all(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // Keep what was read before an error.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn show(ui: &Ui, from: impl Read) -> String {
    let mut all = String::new();
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    let tool = ui.tool();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        tool.line(&text);
        all.push_str(&text);
        line.clear();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Env;

    const MINUTE: Duration = Duration::from_secs(60);

    fn run(cmd: &Cmd, limit: Duration) -> Result<CommandOutput, ProcessError> {
        let (ui, _) = Ui::captured(&Env::default());
        cmd.run(&ui, OutputMode::Quiet, limit)
    }

    #[cfg(unix)]
    fn sh(script: &str) -> Cmd {
        Cmd::new("sh").args(["-c", script])
    }

    #[cfg(unix)]
    #[test]
    fn a_failure_shows_command_status_and_the_last_lines() {
        let error = run(&sh("echo why >&2; exit 7"), MINUTE).unwrap_err().to_string();
        assert_eq!(error, "`sh -c 'echo why >&2; exit 7'` failed with exit status: 7\n  why");
    }

    #[cfg(unix)]
    #[test]
    fn a_timeout_ends_the_whole_group() {
        let error = run(&sh("sleep 1000 & echo $!; wait"), Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn does_not_wait_for_a_background_child() {
        let output = run(&sh("sleep 1000 & echo started"), MINUTE).unwrap();
        assert_eq!(output.stdout, "started\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_reads_only_its_given_standard_input() {
        // More than fits into a pipe, so that reading and writing must overlap.
        let text = "0123456789abcde\n".repeat(1 << 16);
        assert_eq!(run(&Cmd::new("cat").stdin(text.clone()), MINUTE).unwrap().stdout, text);
        assert_eq!(run(&Cmd::new("cat"), MINUTE).unwrap().stdout, "");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_may_ignore_its_standard_input() {
        let much = vec![b'x'; 1 << 20];
        assert_eq!(run(&sh("echo done").stdin(much.clone()), MINUTE).unwrap().stdout, "done\n");
        let error = run(&sh("exit 3").stdin(much.clone()), MINUTE).unwrap_err();
        assert!(matches!(&error, ProcessError::Failed { status, .. } if status.code() == Some(3)), "{error}");
        let error = run(&sh("sleep 1000").stdin(much), Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
    }

    /// The grandchild has the pipes open: if it survived, this would not return.
    #[cfg(windows)]
    #[test]
    fn a_timeout_ends_the_whole_job() {
        let cmd = Cmd::new("cmd").args(["/c", "ping -n 1000 127.0.0.1"]);
        let start = Instant::now();
        let error = run(&cmd, Duration::from_secs(2)).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(500), "{:?}", start.elapsed());
        assert_eq!(run(&Cmd::new("cmd").args(["/c", "echo done"]), MINUTE).unwrap().stdout, "done\r\n");
        let error = run(&Cmd::new("cmd").args(["/c", "exit 7"]), MINUTE).unwrap_err();
        assert!(matches!(&error, ProcessError::Failed { status, .. } if status.code() == Some(7)), "{error}");
    }

    #[test]
    fn standard_input_is_not_part_of_a_plan() {
        let cmd = Cmd::new("nix-store").arg("--load-db").directory("/").stdin("rows");
        let json = serde_json::to_string(&cmd).unwrap();
        assert_eq!(json, r#"{"program":"nix-store","args":["--load-db"],"folder":"/"}"#);
    }

    #[test]
    fn a_missing_program_is_named_with_a_hint() {
        let error = run(&Cmd::new("no-such-program-here"), MINUTE).unwrap_err();
        assert_eq!(error.to_string(), "cannot start `no-such-program-here`");
        assert!(error.hint().unwrap().contains("no-such-program-here"));
    }
}
