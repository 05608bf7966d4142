//! Other programs: started, watched and ended in one place.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Exit, Failure, Ui};

/// A command as a value: part of a plan, and what the plan shows. Never holds
/// a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmd {
    /// The program, by path or by name.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables to set, or (`None`) to take away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub env: BTreeMap<String, Option<String>>,
    /// Whether only `env` is handed on, and nothing of this process's own.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub only_env: bool,
    /// The folder to run in, where not this process's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub folder: Option<PathBuf>,
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

    /// Takes a variable away.
    #[must_use]
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Runs it in `folder`.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// As the standard library's command, with nothing connected.
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
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

impl fmt::Display for Cmd {
    /// As one would type it in a POSIX shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |word: &str| shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into);
        write!(f, "{}", quote(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quote(arg)))
    }
}

/// What happens to what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// It is kept, and told only when the command fails.
    Quiet,
    /// Standard output is kept; standard error is shown as it comes.
    Shown,
}

/// What a command that ended well has printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub time: Duration,
}

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with a status other than 0, or by a signal.
    #[error("`{command}` failed with {status}{}", tail(stderr))]
    Failed {
        /// The whole command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed on standard output.
        stdout: String,
        /// What it printed on standard error.
        stderr: String,
    },
    /// It ran for longer than it may.
    #[error("`{command}` was still running after {} s and was ended{}", limit.as_secs(), tail(stderr))]
    Timeout {
        /// The whole command.
        command: String,
        /// The limit.
        limit: Duration,
        /// What it printed on standard error.
        stderr: String,
    },
    /// The user interrupted this process.
    #[error("interrupted")]
    Interrupted,
}

/// The last lines of `text`, to follow a message.
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

/// The way to other programs; tests put their own in its place.
pub trait Processes: Sync {
    /// Runs `cmd` to its end, at most for `limit`.
    fn run(&self, cmd: &Cmd, io: Io, limit: Duration) -> Result<Done, ProcessError>;
}

/// Real processes, each in a process group of its own: a time-out, Ctrl-C or
/// SIGTERM ends the whole group.
pub struct System<'a> {
    /// Where [`Io::Shown`] goes.
    pub ui: &'a Ui,
}

impl Processes for System<'_> {
    fn run(&self, cmd: &Cmd, io: Io, limit: Duration) -> Result<Done, ProcessError> {
        if interrupted() {
            return Err(ProcessError::Interrupted);
        }
        let start = Instant::now();
        let mut command = cmd.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let failed = |source| ProcessError::Start { program: cmd.program.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let group = Group::watch(&child);
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        // Closed when both readers are done.
        let (reading, read) = mpsc::channel();
        let also_reading = reading.clone();
        let (stdout, stderr, status) = std::thread::scope(|scope| {
            let stdout = scope.spawn(move || {
                let _reading = reading;
                stdout.map(read_all).unwrap_or_default()
            });
            let stderr = scope.spawn(move || {
                let _reading = also_reading;
                match stderr {
                    Some(stderr) if io == Io::Shown => show(self.ui, stderr),
                    Some(stderr) => read_all(stderr),
                    None => String::new(),
                }
            });
            let status = wait(&mut child, &group, start + limit, &read);
            // Whoever still holds the pipes would keep the readers waiting.
            group.end();
            (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default(), status)
        });
        drop(group);
        let command = cmd.to_string();
        match status.map_err(failed)? {
            _ if interrupted() => Err(ProcessError::Interrupted),
            None => Err(ProcessError::Timeout { command, limit, stderr }),
            Some(status) if status.success() => Ok(Done { stdout, stderr, time: start.elapsed() }),
            Some(status) => Err(ProcessError::Failed { command, status, stdout, stderr }),
        }
    }
}

/// Waits until `child` has ended or `end` has come; `None` for the latter.
/// `read` closes when the child has closed its output, which most do by ending.
fn wait(
    child: &mut Child,
    group: &Group,
    end: Instant,
    read: &mpsc::Receiver<Infallible>,
) -> io::Result<Option<std::process::ExitStatus>> {
    const SHORT: Duration = Duration::from_millis(1);
    let mut pause = SHORT;
    let mut open = true;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end || interrupted() {
            group.end();
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
    // What was read before an error is still worth showing.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn show(ui: &Ui, from: impl Read) -> String {
    let mut all = String::new();
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        ui.foreign(&text);
        all.push_str(&text);
        line.clear();
    }
    all
}

/// A server of ours: it runs until this value goes, and not longer, however
/// this process ends. Its standard input stays open for as long as we live, so
/// that it can watch for our death; its output goes to a log file.
pub struct Service {
    child: Child,
    group: Group,
}

impl Service {
    /// Starts `cmd`.
    pub fn start(cmd: &Cmd, log: &Path) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Start { program: cmd.program.clone(), source };
        let out = File::create(log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let mut command = cmd.command();
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(failed)?;
        let group = Group::watch(&child);
        Ok(Self { child, group })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.group.end();
        // Reaps it; it cannot be waited for twice.
        let _ = self.child.wait();
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Whether the user asked this process to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Ends running children on Ctrl-C or SIGTERM, so that the work fails and
/// cleans up after itself; leaves without that after five seconds, or at the
/// second signal.
pub fn handle_interrupts() {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Interrupted.code().into());
        }
        for pid in GROUPS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            kill(*pid);
        }
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(5));
            std::process::exit(Exit::Interrupted.code().into());
        });
    };
    // It fails only where a handler is set already, as in a test.
    let _ = ctrlc::set_handler(handler);
}

/// A child's process group, known to the signal handler while it lives.
struct Group(u32);

impl Group {
    fn watch(child: &Child) -> Self {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        Self(child.id())
    }

    fn end(&self) {
        kill(self.0);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|pid| *pid != self.0);
    }
}

#[cfg(unix)]
fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // The group may be gone already.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill(_pid: u32) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Env;

    fn run(script: &str, limit: Duration) -> Result<Done, ProcessError> {
        let (ui, _) = Ui::captured(&Env::default());
        System { ui: &ui }.run(&Cmd::new("sh").args(["-c", script]), Io::Quiet, limit)
    }

    #[test]
    fn a_failure_tells_command_status_and_the_last_lines() {
        let error = run("echo why >&2; exit 7", Duration::from_secs(60)).unwrap_err().to_string();
        assert_eq!(error, "`sh -c 'echo why >&2; exit 7'` failed with exit status: 7\n  why");
    }

    #[test]
    fn a_timeout_ends_the_whole_group() {
        let error = run("sleep 1000 & echo $!; wait", Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
    }

    #[test]
    fn a_child_left_behind_does_not_keep_us() {
        let done = run("sleep 1000 & echo started", Duration::from_secs(60)).unwrap();
        assert_eq!(done.stdout, "started\n");
    }

    #[test]
    fn a_service_ends_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let cmd = Cmd::new("sh").args(["-c", "echo $$; sleep 1000"]);
        let mut service = Service::start(&cmd, &log).unwrap();
        assert!(service.is_running());
        let pid = loop {
            if let Ok(pid) = std::fs::read_to_string(&log).unwrap().trim().parse::<i32>() {
                break rustix::process::Pid::from_raw(pid).unwrap();
            }
            std::thread::yield_now();
        };
        drop(service);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it is gone");
    }

    #[test]
    fn a_missing_program_is_named_with_a_hint() {
        let (ui, _) = Ui::captured(&Env::default());
        let cmd = Cmd::new("no-such-program-here");
        let error = System { ui: &ui }.run(&cmd, Io::Quiet, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "cannot start `no-such-program-here`");
        assert!(error.hint().unwrap().contains("no-such-program-here"));
    }
}
