//! The one loop: standard input, the terminal, the child's end and standard
//! output are waited for together, and nothing else ever is.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::keys;
use crate::protocol::{self, Command, Kind, StyleMode, Subscription};
use crate::pty::{self, Pty};
use crate::style;
use crate::utf8::Decoder;

/// While this much waits to be written, the terminal is not read: a client
/// that stops reading stops the command, and memory does not grow.
const BACKLOG: usize = 256 * 1024;

/// At most this much goes out at once, so that a pipe's reader is not waited
/// for with other work at hand.
const CHUNK: usize = 64 * 1024;

/// After keys, a snapshot waits until the terminal has been quiet for so long…
const QUIET: Duration = Duration::from_millis(5);
/// …but not longer than this.
const SETTLE: Duration = Duration::from_millis(200);
/// After the child's end its output is read until its terminal closes; where a
/// process that it left behind keeps the terminal open, until it is quiet.
const DRAIN: Duration = Duration::from_millis(50);
/// How long the child's process group has to end after a hang-up.
const GRACE: Duration = Duration::from_millis(300);
/// How often the parent is looked for where no descriptor tells of its end.
const PARENT: Duration = Duration::from_millis(500);

/// Runs `command` on a terminal of this size until the client or the parent
/// goes, or asks for the end.
pub(crate) fn run(
    command: &[String],
    size: (u16, u16),
    subscription: Subscription,
    style: StyleMode,
) -> io::Result<()> {
    let (cols, rows) = size;
    let terminal = avt::Terminal::new(cols.into(), rows.into())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    let Pty { child, master, slave } = pty::spawn(command, cols, rows)?;
    let pid = child.id();
    let stdout = rustix::stdio::stdout();
    // A pipe is ours alone; a terminal or a file may be another's too.
    if FileType::from_raw_mode(rustix::fs::fstat(stdout)?.st_mode) == FileType::Fifo {
        rustix::fs::fcntl_setfl(stdout, rustix::fs::fcntl_getfl(stdout)? | OFlags::NONBLOCK)?;
    }
    let mut session = Session {
        terminal,
        decoder: Decoder::default(),
        subscription,
        style,
        master: Some(master),
        slave: Some(slave),
        typed: VecDeque::new(),
        input: Vec::new(),
        commands: VecDeque::new(),
        settling: None,
        keys_since: None,
        output: VecDeque::new(),
        draining: None,
        ended: false,
    };
    let screen = session.screen();
    session.emit(Kind::Init, &screen);
    session.emit(Kind::Pid, &json!({"pid": pid}));
    let result = session.serve(child);
    hang_up(pid);
    result
}

struct Session {
    terminal: avt::Terminal,
    decoder: Decoder,
    subscription: Subscription,
    style: StyleMode,
    /// The terminal's own end; `None` when nobody is left on the other.
    master: Option<OwnedFd>,
    /// The other end, kept open while the child lives.
    slave: Option<OwnedFd>,
    /// What is to be typed, as the terminal takes it.
    typed: VecDeque<u8>,
    /// The beginning of a line of standard input.
    input: Vec<u8>,
    /// Commands in the order they came.
    commands: VecDeque<Command>,
    /// Until when a snapshot waits for the terminal to be quiet.
    settling: Option<Instant>,
    /// When keys were last sent, if no snapshot has waited for them yet.
    keys_since: Option<Instant>,
    /// Lines for standard output.
    output: VecDeque<u8>,
    /// How the child ended, and until when its last output is waited for.
    draining: Option<(ExitStatus, Instant)>,
    ended: bool,
}

impl Session {
    fn serve(&mut self, child: Child) -> io::Result<()> {
        let child = watch(child)?;
        let parent = Parent::new();
        let mut child_ended = false;
        while !self.ended || !self.output.is_empty() {
            if parent.is_gone() {
                return Ok(());
            }
            let ready = self.wait(&child, child_ended, &parent)?;
            if ready.output && !self.flush()? {
                return Ok(());
            }
            if ready.parent {
                return Ok(());
            }
            if ready.terminal_out {
                self.type_out();
            }
            if ready.terminal {
                self.read_terminal();
            }
            if ready.child && !child_ended {
                child_ended = true;
                self.child_ended(&child)?;
            }
            if ready.input && !self.read_input()? {
                // The client is gone.
                return Ok(());
            }
            self.tell_end();
            self.obey();
        }
        Ok(())
    }

    fn wait(&self, child: &OwnedFd, child_ended: bool, parent: &Parent) -> io::Result<Ready> {
        let stdin = rustix::stdio::stdin();
        let stdout = rustix::stdio::stdout();
        let mut fds = Vec::with_capacity(5);
        let mut names = Vec::with_capacity(5);
        let mut add = |name, fd| {
            names.push(name);
            fds.push(fd);
        };
        // Commands wait while one of them waits for the terminal.
        if self.commands.len() < 1024 && !self.ended {
            add(Name::Input, PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        if !child_ended {
            add(Name::Child, PollFd::from_borrowed_fd(child.as_fd(), PollFlags::IN));
        }
        if let Some(parent) = parent.descriptor() {
            add(Name::Parent, PollFd::from_borrowed_fd(parent, PollFlags::IN));
        }
        if let Some(master) = &self.master {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.output.len() < BACKLOG);
            flags.set(PollFlags::OUT, !self.typed.is_empty());
            if !flags.is_empty() {
                add(Name::Terminal, PollFd::from_borrowed_fd(master.as_fd(), flags));
            }
        }
        if !self.output.is_empty() {
            add(Name::Output, PollFd::from_borrowed_fd(stdout, PollFlags::OUT));
        }
        let ends = [self.settling, self.draining.map(|(_, end)| end)];
        let timeout = ends.into_iter().flatten().min();
        let timeout = timeout.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = if parent.descriptor().is_none() {
            Some(timeout.map_or(PARENT, |timeout| timeout.min(PARENT)))
        } else {
            timeout
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = Ready::default();
        for (name, fd) in names.into_iter().zip(&fds) {
            let events = fd.revents();
            let any = !events.is_empty();
            match name {
                Name::Input => ready.input = any,
                Name::Child => ready.child = any,
                Name::Parent => ready.parent = any,
                Name::Output => ready.output = any,
                Name::Terminal => {
                    ready.terminal = events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
                    ready.terminal_out = events.contains(PollFlags::OUT);
                }
            }
        }
        Ok(ready)
    }

    /// Reads what the terminal has right now; `false` when it has nothing.
    fn read_terminal(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let Some(master) = &self.master else { return false };
        match rustix::io::read(master, &mut buffer[..]) {
            Ok(0) => self.terminal_closed(),
            Ok(count) => {
                let text = self.decoder.decode(&buffer[..count]);
                self.terminal.feed(text.as_str());
                if self.settling.is_some() {
                    self.settling = Some(self.quiet_end());
                }
                if let Some((_, end)) = &mut self.draining {
                    *end = Instant::now() + DRAIN;
                }
                self.emit(Kind::Output, &json!({"seq": text}));
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // Linux: EIO when the last one on the other side has closed it.
            Err(_) => self.terminal_closed(),
        }
    }

    fn terminal_closed(&mut self) -> bool {
        self.master = None;
        self.typed.clear();
        false
    }

    /// Output that was written before the child ended comes before its end.
    fn child_ended(&mut self, child: &OwnedFd) -> io::Result<()> {
        let mut raw = [0; 4];
        if rustix::io::read(child, &mut raw[..])? == raw.len() {
            let status = ExitStatus::from_raw(i32::from_ne_bytes(raw));
            self.slave = None;
            self.draining = Some((status, Instant::now() + DRAIN));
        }
        Ok(())
    }

    /// Tells the child's end once its output has been read.
    fn tell_end(&mut self) {
        if let Some((status, end)) = self.draining
            && (self.master.is_none() || end <= Instant::now())
        {
            self.draining = None;
            let data = json!({"exitCode": exit_code(status)});
            self.emit(Kind::ExitCode, &data);
            self.emit(Kind::CommandCompleted, &data);
        }
    }

    /// Types what waits to be typed, as much as the terminal takes.
    fn type_out(&mut self) {
        while let (Some(master), false) = (&self.master, self.typed.is_empty()) {
            let (first, _) = self.typed.as_slices();
            match rustix::io::write(master, first) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(_) => return,
            }
        }
    }

    /// Reads commands; `false` when standard input has ended.
    fn read_input(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let count = match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        self.input.extend_from_slice(&buffer[..count]);
        let mut start = 0;
        while let Some(length) = self.input[start..].iter().position(|byte| *byte == b'\n') {
            let line = &self.input[start..start + length];
            start += length + 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(command) => self.commands.push_back(command),
                Err(error) => complain(&format!("ht: not a command: {error}: {}", lossy(line))),
            }
        }
        self.input.drain(..start);
        Ok(count > 0)
    }

    /// Carries out commands in order, up to one that has to wait.
    fn obey(&mut self) {
        while let Some(command) = self.commands.front() {
            // A snapshot asked for after the end holds the last output.
            let ending = self.draining.is_some();
            if *command == Command::TakeSnapshot && (ending || !self.is_settled()) {
                return;
            }
            let Some(command) = self.commands.pop_front() else { return };
            match command {
                Command::Input { payload } => self.send(payload.into_bytes()),
                Command::SendKeys { keys } => {
                    let application = self.terminal.cursor_key_app_mode();
                    let bytes = keys.iter().flat_map(|key| keys::encode(key, application)).collect();
                    self.send(bytes);
                }
                Command::Resize { cols, rows } => self.resize(cols, rows),
                Command::TakeSnapshot => {
                    // What is already there belongs into it.
                    while self.output.len() < BACKLOG && self.read_terminal() {}
                    let screen = self.screen();
                    self.emit(Kind::Snapshot, &screen);
                }
                Command::SetStyleMode { mode } => self.style = mode,
                Command::Exit => self.ended = true,
            }
        }
    }

    /// Whether the terminal has had its say about the keys sent last.
    fn is_settled(&mut self) -> bool {
        if self.keys_since.is_none() || self.master.is_none() {
            self.keys_since = None;
            self.settling = None;
            return true;
        }
        match self.settling {
            None => {
                self.settling = Some(self.quiet_end());
                false
            }
            Some(end) if end <= Instant::now() => {
                self.keys_since = None;
                self.settling = None;
                true
            }
            Some(_) => false,
        }
    }

    fn quiet_end(&self) -> Instant {
        let quiet = Instant::now() + QUIET;
        self.keys_since.map_or(quiet, |since| quiet.min(since + SETTLE))
    }

    fn send(&mut self, bytes: Vec<u8>) {
        if self.master.is_some() {
            self.typed.extend(bytes);
            self.keys_since = Some(Instant::now());
            self.type_out();
        }
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        if cols == 0 || rows == 0 {
            complain("ht: a terminal has at least one column and one row");
            return;
        }
        self.terminal.resize(cols.into(), rows.into());
        if let Some(Err(error)) = self.master.as_ref().map(|master| pty::resize(master, cols, rows)) {
            complain(&format!("ht: cannot resize the terminal: {error}"));
        }
        self.emit(Kind::Resize, &json!({"cols": cols, "rows": rows}));
    }

    fn screen(&self) -> Value {
        let (cols, rows) = self.terminal.size();
        let text = match self.style {
            StyleMode::Plain => avt::Line::text,
            StyleMode::Styled => style::line,
        };
        let lines: Vec<String> = self.terminal.screen().visible_lines().map(text).collect();
        json!({"cols": cols, "rows": rows, "text": lines.join("\n"), "seq": self.terminal.dump()})
    }

    fn emit(&mut self, kind: Kind, data: &Value) {
        if self.subscription.wants(kind) {
            self.output.extend(protocol::line(kind, data).as_bytes());
            self.output.push_back(b'\n');
        }
    }

    /// Writes as much as is sure not to block; `false` when nobody reads.
    fn flush(&mut self) -> io::Result<bool> {
        let (first, _) = self.output.as_slices();
        match rustix::io::write(rustix::stdio::stdout(), &first[..first.len().min(CHUNK)]) {
            Ok(count) => {
                self.output.drain(..count);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(Errno::PIPE) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is ready.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a descriptor of its own")]
struct Ready {
    input: bool,
    child: bool,
    parent: bool,
    terminal: bool,
    terminal_out: bool,
    output: bool,
}

#[derive(Clone, Copy)]
enum Name {
    Input,
    Child,
    Parent,
    Terminal,
    Output,
}

/// A descriptor that gives the child's raw wait status when it has ended.
fn watch(mut child: Child) -> io::Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
    }
    std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        if let Ok(status) = child.wait() {
            // The reader is gone only when ht itself is.
            let _ = rustix::io::write(&write, &status.into_raw().to_ne_bytes());
        }
    })?;
    Ok(read)
}

/// The code a caller sees: negative for a signal.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// Ends the child's process group: politely, then for good.
fn hang_up(pid: u32) {
    let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    if kill_process_group(group, Signal::HUP).is_err() {
        return;
    }
    let end = Instant::now() + GRACE;
    let mut pause = Duration::from_millis(1);
    while Instant::now() < end {
        if rustix::process::test_kill_process_group(group).is_err() {
            return;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    let _ = kill_process_group(group, Signal::KILL);
}

/// The process that started us.
struct Parent {
    pid: Option<Pid>,
    descriptor: Option<OwnedFd>,
}

impl Parent {
    fn new() -> Self {
        let pid = rustix::process::getppid();
        #[cfg(target_os = "linux")]
        let descriptor =
            pid.and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
        #[cfg(not(target_os = "linux"))]
        let descriptor = None;
        Self { pid, descriptor }
    }

    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.descriptor.as_ref().map(OwnedFd::as_fd)
    }

    /// An orphan gets another parent.
    fn is_gone(&self) -> bool {
        rustix::process::getppid() != self.pid
    }
}

fn lossy(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(200).collect()
}

/// A line on standard error; who does not read it misses it.
pub(crate) fn complain(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stderr(), "{text}");
}
