//! The one loop: standard input, the terminal, the child's end and standard
//! output are waited for together, and nothing else ever is.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::keys;
use crate::listen::{Listener, Question};
use crate::output::Output;
use crate::process::{self, Parent, Signals};
use crate::protocol::{Command, Event, Kind, StyleMode, Subscription};
use crate::pty::{self, Pty};
use crate::readiness::Readiness;
use crate::screen::Screen;
use crate::utf8::Decoder;

/// While this much waits to be written, the terminal is not read: a client
/// that stops reading stops the command, and memory does not grow.
const BACKLOG: usize = 256 * 1024;

/// So much is written at once while the terminal has more to read.
const GATHERED: usize = 32 * 1024;

/// At most this much is read from the terminal before it becomes an event.
const BATCH: usize = 64 * 1024;

/// While this much waits to be typed, further input is not obeyed.
const TYPED: usize = 1024 * 1024;

/// So many commands may wait; then standard input is not read.
const COMMANDS: usize = 1024;

/// After the child's end its output is read until there is none. This much is
/// what a terminal holds; who goes on after that is somebody else.
const LAST: usize = 1024 * 1024;

/// Where the terminal's own buffers cannot be waited for, its last output has
/// so long to come.
const DRAIN: Duration = if cfg!(target_os = "linux") { Duration::ZERO } else { Duration::from_millis(50) };

/// How long what was asked before standard input ended may take.
const FAREWELL: Duration = Duration::from_millis(700);

/// How often the parent is looked for where no descriptor tells of its end.
const PARENT: Duration = Duration::from_millis(500);

/// What a session runs, and how.
pub(crate) struct Settings {
    pub(crate) command: Vec<String>,
    pub(crate) size: (u16, u16),
    pub(crate) subscription: Subscription,
    pub(crate) style: StyleMode,
    pub(crate) listener: Option<Listener>,
}

/// Runs a command on a terminal until the client or the parent goes, or asks
/// for the end; a signal that asks for it ends this process.
pub(crate) fn run(settings: Settings) -> io::Result<()> {
    let (cols, rows) = settings.size;
    // Before the command starts: its parent shall not be missed, nor a signal.
    let parent = Parent::new();
    let signals = Signals::new()?;
    let screen = Screen::new(cols, rows)?;
    process::adopt_orphans();
    let Pty { pid, master, slave } = pty::spawn(&settings.command, cols, rows)?;
    let stdout = rustix::stdio::stdout();
    // A pipe is ours alone; a terminal or a file may be another's too.
    if FileType::from_raw_mode(rustix::fs::fstat(stdout)?.st_mode) == FileType::Fifo {
        rustix::fs::fcntl_setfl(stdout, rustix::fs::fcntl_getfl(stdout)? | OFlags::NONBLOCK)?;
    }
    let mut session = Session {
        started: Instant::now(),
        screen,
        decoder: Decoder::default(),
        buffer: vec![0; BATCH],
        subscription: settings.subscription,
        style: settings.style,
        master: Some(master),
        slave: Some(slave),
        typed: VecDeque::new(),
        input: Vec::new(),
        commands: VecDeque::new(),
        readiness: Readiness::default(),
        output: Output::default(),
        draining: None,
        farewell: None,
        ended: false,
        listener: settings.listener,
    };
    let init = session.screen.snapshot(session.style);
    session.emit(&Event::Init(init));
    session.emit(&Event::Pid { pid });
    let result = process::watch(pid).and_then(|child| session.serve(&child, &parent, &signals));
    process::hang_up(pid);
    signals.die();
    result
}

struct Session {
    started: Instant,
    screen: Screen,
    decoder: Decoder,
    /// What is read from the terminal.
    buffer: Vec<u8>,
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
    readiness: Readiness,
    output: Output,
    draining: Option<Draining>,
    /// Standard input has ended: until when what was asked before is done.
    farewell: Option<Instant>,
    ended: bool,
    listener: Option<Listener>,
}

/// The child has ended, and its last output is read.
struct Draining {
    status: ExitStatus,
    quiet: Instant,
    read: usize,
}

impl Session {
    fn serve(&mut self, child: &OwnedFd, parent: &Parent, signals: &Signals) -> io::Result<()> {
        let mut child = Some(child);
        while !self.is_over() {
            if parent.is_gone() {
                return Ok(());
            }
            let ready = self.wait(child, parent, signals)?;
            if ready.contains(&Source::Parent) || ready.contains(&Source::Signal) {
                return Ok(());
            }
            // While more comes than one turn takes, it goes out in larger pieces.
            let gathers = ready.contains(&Source::Terminal) && self.output.len() < GATHERED;
            if ready.contains(&Source::Output) && !gathers && !self.output.flush()? {
                return Ok(());
            }
            if ready.contains(&Source::Keyboard) {
                self.type_out();
            }
            if ready.contains(&Source::Terminal) {
                self.read_terminal();
            }
            if ready.contains(&Source::Child)
                && let Some(ended) = child.take()
            {
                self.child_ended(ended)?;
            }
            if ready.contains(&Source::Hangup) || ready.contains(&Source::Input) && !self.read_input()? {
                self.farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
            }
            if ready.contains(&Source::Listener) {
                self.answer();
            }
            self.tell_end();
            self.obey();
        }
        Ok(())
    }

    /// Whether all is done that was asked for.
    fn is_over(&self) -> bool {
        let Some(end) = self.farewell else { return self.ended && self.output.is_empty() };
        (self.commands.is_empty() || self.ended) && self.output.is_empty() || end <= Instant::now()
    }

    fn wait(&self, child: Option<&OwnedFd>, parent: &Parent, signals: &Signals) -> io::Result<Vec<Source>> {
        let mut fds = Vec::with_capacity(8);
        let mut sources = Vec::with_capacity(8);
        let mut add = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        add(Source::Signal, signals.descriptor(), PollFlags::IN);
        if self.farewell.is_none() && !self.ended {
            // Commands wait while one of them waits for the terminal; the
            // client's end is seen all the same.
            let room = self.commands.len() < COMMANDS;
            let flags = if room { PollFlags::IN } else { PollFlags::empty() };
            add(Source::Input, rustix::stdio::stdin(), flags);
        }
        if let Some(child) = child {
            add(Source::Child, child.as_fd(), PollFlags::IN);
        }
        if let Some(parent) = parent.descriptor() {
            add(Source::Parent, parent, PollFlags::IN);
        }
        if let Some(master) = &self.master {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.output.len() < BACKLOG);
            flags.set(PollFlags::OUT, !self.typed.is_empty());
            if !flags.is_empty() {
                add(Source::Terminal, master.as_fd(), flags);
            }
        }
        if !self.output.is_empty() {
            add(Source::Output, rustix::stdio::stdout(), PollFlags::OUT);
        }
        if let Some(listener) = &self.listener {
            add(Source::Listener, listener.descriptor(), PollFlags::IN);
        }
        let timeout = self.timeout(parent.descriptor().is_none());
        match poll(&mut fds, timeout.and_then(|timeout| Timespec::try_from(timeout).ok()).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = Vec::with_capacity(8);
        for (source, fd) in sources.into_iter().zip(&fds) {
            let events = fd.revents();
            match source {
                Source::Terminal => {
                    if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                        ready.push(Source::Terminal);
                    }
                    if events.contains(PollFlags::OUT) {
                        ready.push(Source::Keyboard);
                    }
                }
                Source::Input if events.contains(PollFlags::HUP) && self.commands.len() >= COMMANDS => {
                    ready.push(Source::Hangup);
                }
                source if !events.is_empty() => ready.push(source),
                _ => {}
            }
        }
        Ok(ready)
    }

    fn timeout(&self, parent_is_silent: bool) -> Option<Duration> {
        let waits = self.commands.front().is_some_and(Command::waits) && self.draining.is_none();
        let ends = [
            self.draining.as_ref().map(|draining| draining.quiet),
            waits.then(|| self.readiness.next_look()),
            self.farewell,
        ];
        let first = ends.into_iter().flatten().min();
        let timeout = first.map(|end| end.saturating_duration_since(Instant::now()));
        let parent = parent_is_silent.then_some(PARENT);
        timeout.into_iter().chain(parent).min()
    }

    /// Reads what the terminal has right now; tells how much.
    fn read_terminal(&mut self) -> usize {
        let mut count = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        // A terminal gives a page at a time.
        while let Some(master) = &self.master
            && count < BATCH
        {
            match rustix::io::read(master, &mut buffer[count..]) {
                Ok(read) if read > 0 => count += read,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // Linux: EIO when the last one on the other side has closed it.
                Ok(_) | Err(_) => {
                    self.master = None;
                    self.typed.clear();
                }
            }
        }
        if count > 0 {
            let text = self.decoder.decode(&buffer[..count]);
            self.screen.feed(&text);
            self.readiness.output_came();
            if let Some(draining) = &mut self.draining {
                draining.quiet = Instant::now() + DRAIN;
                draining.read += count;
            }
            if !text.is_empty() {
                self.emit(&Event::Output { seq: &text });
            }
        }
        self.buffer = buffer;
        count
    }

    /// Output that was written before the child ended comes before its end.
    fn child_ended(&mut self, child: &OwnedFd) -> io::Result<()> {
        let mut raw = [0; 4];
        if rustix::io::read(child, &mut raw[..])? == raw.len() {
            use std::os::unix::process::ExitStatusExt as _;
            let status = ExitStatus::from_raw(i32::from_ne_bytes(raw));
            self.draining = Some(Draining { status, quiet: Instant::now() + DRAIN, read: 0 });
            self.debug("the command has ended");
        }
        Ok(())
    }

    /// Tells the child's end once its output has been read.
    fn tell_end(&mut self) {
        while self.draining.as_ref().is_some_and(|draining| draining.read < LAST) {
            if self.output.len() >= BACKLOG {
                return;
            }
            if self.read_terminal() == 0 {
                break;
            }
        }
        if let Some(draining) = self.draining.take_if(|draining| draining.quiet <= Instant::now()) {
            self.slave = None;
            let time = self.started.elapsed().as_secs_f64();
            self.emit(&Event::CommandCompleted { time });
            self.emit(&Event::ExitCode { exit_code: process::exit_code(draining.status) });
            self.readiness.command_ended();
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
        // Only what is new can end a line.
        let mut searched = self.input.len();
        self.input.extend_from_slice(&buffer[..count]);
        let mut start = 0;
        while let Some(length) = self.input[searched..].iter().position(|byte| *byte == b'\n') {
            let line = &self.input[start..searched + length];
            start = searched + length + 1;
            searched = start;
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
        while let Some(command) = self.commands.front()
            && !self.ended
        {
            // Keys are for who reads them, and a snapshot holds what they led
            // to; one that is asked for after the end, the last output.
            let (waits, types) = (command.waits(), command.types());
            if waits && (self.draining.is_some() || !self.is_ready()) || types && self.typed.len() >= TYPED {
                return;
            }
            let Some(command) = self.commands.pop_front() else { return };
            match command {
                Command::Input { payload } => self.send(payload.into_bytes()),
                Command::SendKeys { keys } => {
                    let application = self.screen.application_keys();
                    let bytes = keys.iter().flat_map(|key| keys::encode(key, application)).collect();
                    self.send(bytes);
                }
                Command::Resize { cols, rows } => self.resize(cols, rows),
                Command::TakeSnapshot => {
                    let snapshot = self.screen.snapshot(self.style);
                    self.emit(&Event::Snapshot(snapshot));
                }
                Command::SetStyleMode { mode } => self.style = mode,
                Command::Exit => self.ended = true,
            }
        }
    }

    /// Whether the command has done what there was to do.
    fn is_ready(&mut self) -> bool {
        if self.output.len() < BACKLOG {
            // Looking at the command's end lets the terminal hand over what was
            // typed, if it has not done so yet (Linux, n_tty_poll).
            if let Some(slave) = &self.slave {
                has_input(slave.as_fd());
            }
            if self.master.as_ref().is_some_and(|master| has_input(master.as_fd())) {
                self.read_terminal();
            }
        }
        let ready = self.readiness.look();
        if let Some(busy) = self.readiness.gave_up() {
            self.debug(&format!("the command is busy, {} ms are enough", busy.as_millis()));
        }
        ready
    }

    fn send(&mut self, bytes: Vec<u8>) {
        if self.master.is_some() && self.slave.is_some() {
            self.debug(&format!("typing {} bytes", bytes.len()));
            self.typed.extend(bytes);
            self.type_out();
        }
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        if cols == 0 || rows == 0 {
            complain("ht: a terminal has at least one column and one row");
            return;
        }
        // What came before belongs to the old size.
        while self.output.len() < BACKLOG && self.read_terminal() > 0 {}
        self.screen.resize(cols, rows);
        if let Some(Err(error)) = self.master.as_ref().map(|master| pty::resize(master, cols, rows)) {
            complain(&format!("ht: cannot resize the terminal: {error}"));
        }
        self.emit(&Event::Resize { cols, rows });
    }

    /// Answers the viewers' questions.
    fn answer(&mut self) {
        let questions = self.listener.as_ref().map(Listener::questions);
        for question in questions.into_iter().flatten() {
            // A viewer who has gone meanwhile needs no answer.
            match question {
                Question::Join(answer) => {
                    let snapshot = self.screen.snapshot(self.style);
                    if let Some(listener) = &self.listener {
                        let _ = answer.send((snapshot, self.started.elapsed(), listener.subscribe()));
                    }
                }
                Question::View(answer) => {
                    let _ = answer.send(self.screen.ask(crate::view::render));
                }
            }
        }
    }

    fn debug(&mut self, message: &str) {
        self.emit(&Event::Debug { message });
    }

    fn emit(&mut self, event: &Event<'_>) {
        if self.subscription.wants(event.kind()) {
            self.output.line(|line| event.write(line));
        }
        if let Some(listener) = &self.listener
            && event.kind() != Kind::Debug
        {
            listener.tell(event, self.started.elapsed());
        }
    }
}

/// What can be ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Child,
    /// Standard input has something.
    Input,
    /// Standard input has ended, and there is no room for what it still has.
    Hangup,
    Listener,
    Output,
    Parent,
    Signal,
    Terminal,
    /// The terminal takes what is typed.
    Keyboard,
}

fn has_input(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}

fn lossy(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(200).collect()
}

/// A line on standard error; who does not read it misses it.
pub(crate) fn complain(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stderr(), "{text}");
}
