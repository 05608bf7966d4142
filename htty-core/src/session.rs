//! The event loop, which waits for standard input, the terminal, the child and standard
//! output together. Nothing else blocks.

mod commands;
mod terminal;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::{FileType, OFlags};

use crate::error::Error;
use crate::input::Input;
use crate::listen::{Listener, ViewerRequest};
use crate::output::Output;
use crate::process::{self, Parent, Signals};
use crate::protocol::{self, Command, Event, Kind, StyleMode, Subscription};
use crate::pty::{self, Pty};
use crate::readiness::Readiness;
use crate::screen::Screen;
use crate::sources::{Source, Sources};
use crate::utf8::Decoder;

/// If this much output is pending, the terminal is not read: a client that stops reading
/// stops the command, and memory use stays bounded.
const BACKLOG: usize = 256 * 1024;

/// While the terminal has more to read, output is collected up to this size before writing.
const MIN_WRITE: usize = 32 * 1024;

/// The maximum to read from the terminal for one event.
const BATCH: usize = 64 * 1024;

/// If this many commands are pending, standard input is not read.
const MAX_COMMANDS: usize = 1024;

/// How long to wait for the last output on systems without a way to wait for the terminal's
/// buffers.
const DRAIN: Duration = if cfg!(target_os = "linux") { Duration::ZERO } else { Duration::from_millis(50) };

/// How long pending commands may take after the end of standard input, unless the command on
/// the terminal exits first.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(2500);

/// How often to check whether the command sleeps and can get pending replies.
const REPLY_INTERVAL: Duration = Duration::from_micros(300);

/// How often to check for the parent on systems without pidfds.
const PARENT_INTERVAL: Duration = Duration::from_millis(500);

/// The settings of a session.
pub(crate) struct Settings {
    pub(crate) command: Vec<String>,
    pub(crate) size: (u16, u16),
    /// The command's `TERM`.
    pub(crate) term: String,
    /// The number of lines to keep above the screen.
    pub(crate) scrollback: usize,
    pub(crate) subscription: Subscription,
    pub(crate) style: StyleMode,
    pub(crate) listener: Option<Listener>,
}

/// Runs a command on a terminal until the client disconnects or sends `exit`, or the parent
/// exits. A termination signal ends this process.
pub(crate) fn run(settings: Settings) -> Result<(), Error> {
    let (cols, rows) = settings.size;
    // Before starting the command, so as not to miss signals or the end of the parent.
    let parent = Parent::new();
    let signals = Signals::new().map_err(Error::when("cannot handle signals"))?;
    let screen = Screen::new(cols, rows, settings.scrollback)
        .map_err(Error::when("cannot start the terminal's thread"))?;
    process::adopt_orphans();
    let delay = std::env::var("ESCDELAY").ok();
    let readiness = Readiness::new(Instant::now(), delay.as_deref());
    let Pty { pid, master, slave } = pty::spawn(&settings.command, &settings.term, cols, rows)?;
    let mut session = Session {
        pid,
        started: Instant::now(),
        screen,
        decoder: Decoder::default(),
        buffer: vec![0; BATCH],
        subscription: settings.subscription,
        style: settings.style,
        master: Some(master),
        slave: Some(slave),
        typed: VecDeque::new(),
        input: Input::default(),
        commands: VecDeque::new(),
        asked: None,
        readiness,
        replies_outdated: false,
        replies: Vec::new(),
        replies_since: None,
        output: Output::default(),
        draining: None,
        shutdown_deadline: None,
        ended: false,
        listener: settings.listener,
    };
    let result = set_nonblocking_output().and_then(|()| {
        let screen = session.screen.snapshot(session.style);
        session.emit(&Event::Init { screen, pid, protocol: protocol::VERSION });
        session.emit(&Event::Pid { pid });
        let child = process::watch(pid).map_err(Error::when("cannot wait for the command"))?;
        session.serve(&child, &parent, &signals)
    });
    process::hang_up(pid);
    signals.reraise();
    result
}

/// Makes standard output nonblocking if it is a pipe. Terminals and files may be shared with
/// other processes.
fn set_nonblocking_output() -> Result<(), Error> {
    let stdout = rustix::stdio::stdout();
    let set = || -> io::Result<()> {
        if FileType::from_raw_mode(rustix::fs::fstat(stdout)?.st_mode) == FileType::Fifo {
            rustix::fs::fcntl_setfl(stdout, rustix::fs::fcntl_getfl(stdout)? | OFlags::NONBLOCK)?;
        }
        Ok(())
    };
    set().map_err(Error::when("cannot use standard output"))
}

struct Session {
    pid: u32,
    started: Instant,
    screen: Screen,
    decoder: Decoder,
    /// For reading from the terminal.
    buffer: Vec<u8>,
    subscription: Subscription,
    style: StyleMode,
    /// Our end of the terminal; `None` after all others have closed theirs.
    master: Option<OwnedFd>,
    /// The command's end, kept open while the child runs.
    slave: Option<OwnedFd>,
    /// Typed bytes that the terminal has not accepted yet.
    typed: VecDeque<u8>,
    input: Input,
    /// Pending commands, in order.
    commands: VecDeque<Command>,
    /// Since when the first of them has been waiting.
    asked: Option<Instant>,
    readiness: Readiness,
    /// Whether there was output since replies were collected.
    replies_outdated: bool,
    /// Replies of the terminal that the command has not received yet.
    replies: Vec<u8>,
    /// Since when there are any, and how many nanoseconds the command had run by then.
    replies_since: Option<(Instant, u64)>,
    output: Output,
    draining: Option<Draining>,
    /// Set after the end of standard input: when to stop processing pending commands.
    shutdown_deadline: Option<Instant>,
    ended: bool,
    listener: Option<Listener>,
}

/// The state after the child has exited, while its last output is read.
struct Draining {
    status: ExitStatus,
    quiet: Instant,
    read: usize,
}

impl Session {
    fn serve(&mut self, child: &OwnedFd, parent: &Parent, signals: &Signals) -> Result<(), Error> {
        let mut child = Some(child);
        while !self.is_complete() {
            if parent.has_exited() {
                return Ok(());
            }
            let ready = self.wait(child, parent, signals).map_err(Error::when("cannot wait for events"))?;
            if ready.contains(&Source::Parent) || ready.contains(&Source::Signal) {
                return Ok(());
            }
            // While the terminal has more to read, write larger pieces.
            let collecting = ready.contains(&Source::Terminal) && self.output.len() < MIN_WRITE;
            if ready.contains(&Source::Output)
                && !collecting
                && !self.output.flush().map_err(Error::when("cannot write to standard output"))?
            {
                return Ok(());
            }
            if ready.contains(&Source::Reply) {
                self.collect_replies();
            }
            if ready.contains(&Source::TerminalWritable) {
                self.write_typed();
            }
            if ready.contains(&Source::Terminal) {
                self.read_terminal();
            }
            if ready.contains(&Source::Child)
                && let Some(ended) = child.take()
            {
                self.child_ended(ended).map_err(Error::when("cannot read the command's exit status"))?;
            }
            if ready.contains(&Source::Hangup) || ready.contains(&Source::Input) && !self.read_input()? {
                self.shutdown_deadline.get_or_insert_with(|| Instant::now() + SHUTDOWN_TIMEOUT);
            }
            if ready.contains(&Source::Listener) {
                self.answer_viewers();
            }
            self.send_replies();
            self.report_exit();
            self.run_commands();
        }
        Ok(())
    }

    /// Whether the session is complete.
    fn is_complete(&self) -> bool {
        let Some(end) = self.shutdown_deadline else { return self.ended && self.output.is_empty() };
        (self.commands.is_empty() || self.ended) && self.output.is_empty() || end <= Instant::now()
    }

    fn wait(&self, child: Option<&OwnedFd>, parent: &Parent, signals: &Signals) -> io::Result<Vec<Source>> {
        let mut sources = Sources::default();
        sources.add(Source::Signal, signals.descriptor(), PollFlags::IN);
        sources.add(Source::Reply, self.screen.descriptor(), PollFlags::IN);
        if self.shutdown_deadline.is_none() && !self.ended {
            // With too many pending commands, only watch for the end of the client.
            if self.commands.len() < MAX_COMMANDS {
                sources.add(Source::Input, rustix::stdio::stdin(), PollFlags::IN);
            } else {
                sources.add(Source::Hangup, rustix::stdio::stdin(), PollFlags::empty());
            }
        }
        if let Some(child) = child {
            sources.add(Source::Child, child.as_fd(), PollFlags::IN);
        }
        if let Some(parent) = parent.descriptor() {
            sources.add(Source::Parent, parent, PollFlags::IN);
        }
        if let Some(master) = &self.master {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.output.len() < BACKLOG);
            flags.set(PollFlags::OUT, !self.typed.is_empty());
            if !flags.is_empty() {
                sources.add(Source::Terminal, master.as_fd(), flags);
            }
        }
        if !self.output.is_empty() {
            sources.add(Source::Output, rustix::stdio::stdout(), PollFlags::OUT);
        }
        if let Some(listener) = &self.listener {
            sources.add(Source::Listener, listener.descriptor(), PollFlags::IN);
        }
        sources.wait(self.timeout(parent.descriptor().is_none()))
    }

    fn timeout(&self, poll_parent: bool) -> Option<Duration> {
        let waits = self.commands.front().is_some_and(Command::waits) && self.draining.is_none();
        let deadlines = [
            self.draining.as_ref().map(|draining| draining.quiet),
            waits.then(|| self.readiness.next_check()),
            self.shutdown_deadline,
            self.replies_since.map(|_| Instant::now() + REPLY_INTERVAL),
        ];
        let first = deadlines.into_iter().flatten().min();
        let timeout = first.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let parent = poll_parent.then_some(PARENT_INTERVAL);
        timeout.into_iter().chain(parent).min()
    }

    /// Reads commands; `false` at the end of standard input.
    fn read_input(&mut self) -> Result<bool, Error> {
        let lines = self.input.read().map_err(Error::when("cannot read standard input"))?;
        let Some(lines) = lines else { return Ok(false) };
        for line in lines {
            match line {
                Ok(command) => self.commands.push_back(command),
                Err(error) => warn(&format!("ht: {error}")),
            }
        }
        Ok(true)
    }

    fn answer_viewers(&mut self) {
        let requests = self.listener.as_ref().map(Listener::requests);
        for request in requests.into_iter().flatten() {
            // Sending fails if the viewer has disconnected meanwhile.
            match request {
                ViewerRequest::Join(response) => {
                    let snapshot = self.screen.snapshot(self.style);
                    if let Some(listener) = &self.listener {
                        let at = self.started.elapsed();
                        let _ = response.send((snapshot, self.pid, at, listener.subscribe()));
                    }
                }
                ViewerRequest::View(response) => {
                    let _ = response.send(self.screen.ask(|emulator| crate::view::render(emulator)));
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
            listener.broadcast(event, self.started.elapsed());
        }
    }
}

/// Prints a line on standard error, ignoring errors.
pub(crate) fn warn(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stderr(), "{text}");
}
