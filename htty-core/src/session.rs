//! The one loop: standard input, the terminal, the child's end and standard
//! output are waited for together, and nothing else ever is.

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
use crate::listen::{Listener, Question};
use crate::output::Output;
use crate::process::{self, Parent, Signals};
use crate::protocol::{self, Command, Event, Kind, StyleMode, Subscription};
use crate::pty::{self, Pty};
use crate::readiness::Readiness;
use crate::screen::Screen;
use crate::sources::{Source, Sources};
use crate::utf8::Decoder;

/// While this much waits to be written, the terminal is not read: a client
/// that stops reading stops the command, and memory does not grow.
const BACKLOG: usize = 256 * 1024;

/// So much is written at once while the terminal has more to read.
const GATHERED: usize = 32 * 1024;

/// At most this much is read from the terminal before it becomes an event.
const BATCH: usize = 64 * 1024;

/// So many commands may wait; then standard input is not read.
const COMMANDS: usize = 1024;

/// Where the terminal's own buffers cannot be waited for, its last output has
/// so long to come.
const DRAIN: Duration = if cfg!(target_os = "linux") { Duration::ZERO } else { Duration::from_millis(50) };

/// How long what was asked before standard input ended may take, where the
/// command does not end by itself.
const FAREWELL: Duration = Duration::from_millis(2500);

/// How often it is looked whether the command sleeps, so that it gets its answers.
const LOOK: Duration = Duration::from_micros(300);

/// How often the parent is looked for where no descriptor tells of its end.
const PARENT: Duration = Duration::from_millis(500);

/// What a session runs, and how.
pub(crate) struct Settings {
    pub(crate) command: Vec<String>,
    pub(crate) size: (u16, u16),
    /// What the command finds as `TERM`.
    pub(crate) term: String,
    /// Lines that are kept above the screen.
    pub(crate) scrollback: usize,
    pub(crate) subscription: Subscription,
    pub(crate) style: StyleMode,
    pub(crate) listener: Option<Listener>,
}

/// Runs a command on a terminal until the client or the parent goes, or asks
/// for the end; a signal that asks for it ends this process.
pub(crate) fn run(settings: Settings) -> Result<(), Error> {
    let (cols, rows) = settings.size;
    // Before the command starts: its parent shall not be missed, nor a signal.
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
        unanswered: false,
        answers: Vec::new(),
        answered: None,
        output: Output::default(),
        draining: None,
        farewell: None,
        ended: false,
        listener: settings.listener,
    };
    let result = open_output().and_then(|()| {
        let screen = session.screen.snapshot(session.style);
        session.emit(&Event::Init { screen, pid, protocol: protocol::VERSION });
        session.emit(&Event::Pid { pid });
        let child = process::watch(pid).map_err(Error::when("cannot wait for the command"))?;
        session.serve(&child, &parent, &signals)
    });
    process::hang_up(pid);
    signals.die();
    result
}

/// Makes a pipe not block: it is ours alone, a terminal or a file may be another's too.
fn open_output() -> Result<(), Error> {
    let stdout = rustix::stdio::stdout();
    let open = || -> io::Result<()> {
        if FileType::from_raw_mode(rustix::fs::fstat(stdout)?.st_mode) == FileType::Fifo {
            rustix::fs::fcntl_setfl(stdout, rustix::fs::fcntl_getfl(stdout)? | OFlags::NONBLOCK)?;
        }
        Ok(())
    };
    open().map_err(Error::when("cannot use standard output"))
}

struct Session {
    pid: u32,
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
    input: Input,
    /// Commands in the order they came.
    commands: VecDeque<Command>,
    /// Since when the first of them is waited for.
    asked: Option<Instant>,
    readiness: Readiness,
    /// Output has come for which the terminal may have answers.
    unanswered: bool,
    /// The terminal's answers that the command has not got yet.
    answers: Vec<u8>,
    /// Since when there are any, and how many nanoseconds the command had run by then.
    answered: Option<(Instant, u64)>,
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
    fn serve(&mut self, child: &OwnedFd, parent: &Parent, signals: &Signals) -> Result<(), Error> {
        let mut child = Some(child);
        while !self.is_over() {
            if parent.is_gone() {
                return Ok(());
            }
            let ready = self.wait(child, parent, signals).map_err(Error::when("cannot wait for events"))?;
            if ready.contains(&Source::Parent) || ready.contains(&Source::Signal) {
                return Ok(());
            }
            // While more comes than one turn takes, it goes out in larger pieces.
            let gathers = ready.contains(&Source::Terminal) && self.output.len() < GATHERED;
            if ready.contains(&Source::Output)
                && !gathers
                && !self.output.flush().map_err(Error::when("cannot write to standard output"))?
            {
                return Ok(());
            }
            if ready.contains(&Source::Answer) {
                self.take_answers();
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
                self.child_ended(ended).map_err(Error::when("cannot learn of the command's end"))?;
            }
            if ready.contains(&Source::Hangup) || ready.contains(&Source::Input) && !self.read_input()? {
                self.farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
            }
            if ready.contains(&Source::Listener) {
                self.answer_viewers();
            }
            self.give_answers();
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
        let mut sources = Sources::default();
        sources.add(Source::Signal, signals.descriptor(), PollFlags::IN);
        sources.add(Source::Answer, self.screen.descriptor(), PollFlags::IN);
        if self.farewell.is_none() && !self.ended {
            // Commands wait while one of them waits for the terminal; the
            // client's end is seen all the same.
            if self.commands.len() < COMMANDS {
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

    fn timeout(&self, parent_is_silent: bool) -> Option<Duration> {
        let waits = self.commands.front().is_some_and(Command::waits) && self.draining.is_none();
        let ends = [
            self.draining.as_ref().map(|draining| draining.quiet),
            waits.then(|| self.readiness.next_look()),
            self.farewell,
            self.answered.map(|_| Instant::now() + LOOK),
        ];
        let first = ends.into_iter().flatten().min();
        let timeout = first.map(|end| end.saturating_duration_since(Instant::now()));
        let parent = parent_is_silent.then_some(PARENT);
        timeout.into_iter().chain(parent).min()
    }

    /// Reads commands; `false` when standard input has ended.
    fn read_input(&mut self) -> Result<bool, Error> {
        let lines = self.input.read().map_err(Error::when("cannot read standard input"))?;
        let Some(lines) = lines else { return Ok(false) };
        for line in lines {
            match line {
                Ok(command) => self.commands.push_back(command),
                Err(error) => complain(&format!("ht: {error}")),
            }
        }
        Ok(true)
    }

    fn answer_viewers(&mut self) {
        let questions = self.listener.as_ref().map(Listener::questions);
        for question in questions.into_iter().flatten() {
            // A viewer who has gone meanwhile needs no answer.
            match question {
                Question::Join(answer) => {
                    let snapshot = self.screen.snapshot(self.style);
                    if let Some(listener) = &self.listener {
                        let at = self.started.elapsed();
                        let _ = answer.send((snapshot, self.pid, at, listener.subscribe()));
                    }
                }
                Question::View(answer) => {
                    let _ = answer.send(self.screen.ask(|emulator| crate::view::render(emulator)));
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

/// A line on standard error; who does not read it misses it.
pub(crate) fn complain(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stderr(), "{text}");
}
