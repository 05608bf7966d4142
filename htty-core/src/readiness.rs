//! Decides when the command is ready for keys or for a snapshot: when all of its tasks sleep,
//! none of them only briefly.

use std::time::{Duration, Instant};

use crate::tasks::Sample;

/// The command counts as asleep if samples at least this far apart are equal.
const MIN_INTERVAL: Duration = Duration::from_micros(500);

/// The maximum time between samples.
const MAX_INTERVAL: Duration = Duration::from_millis(10);

/// Limits after which a command counts as permanently busy.
struct Budget {
    /// Processor time, which does not depend on the load of the machine.
    ran: Duration,
    /// Wall-clock time.
    waited: Duration,
}

/// For a new command, until its first output.
const STARTING_BUDGET: Budget = Budget { ran: Duration::from_secs(2), waited: Duration::from_secs(8) };
/// For a command that was waiting for keys.
const RUNNING_BUDGET: Budget = Budget { ran: Duration::from_millis(200), waited: Duration::from_secs(2) };
/// For a busy command, until it settles.
const BUSY_BUDGET: Budget = Budget { ran: Duration::from_millis(20), waited: Duration::from_millis(200) };

/// How long to wait for the first output of a command that sleeps briefly before it.
const FIRST_PAINT: Duration = Duration::from_secs(1);

/// Snapshots wait for sleeps of at most this length.
const SHORT_SLEEP: Duration = Duration::from_millis(300);

/// The longest that programs wait for the rest of an escape sequence after a lone Escape
/// (ncurses: one second, unless `ESCDELAY` is set).
const ESCAPE_TIMEOUT: Duration = Duration::from_millis(1100);

/// Added on a busy machine, if the program is known to wait.
const ESCAPE_RESERVE: Duration = Duration::from_millis(900);

/// For programs that wake up periodically anyway, which wait less (readline, `prompt_toolkit`
/// and tmux: half a second).
const RESTLESS_ESCAPE: Duration = Duration::from_millis(600);

/// How long to wait until the command reads an Escape.
const UNREAD_ESCAPE_TIMEOUT: Duration = Duration::from_secs(2);

/// Without information about tasks, a command has settled if it wrote nothing for this long.
const QUIET_PERIOD: Duration = Duration::from_millis(30);

/// The same for a command that has written nothing at all.
const SILENT_START: Duration = Duration::from_millis(300);

/// What the command should be ready for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    Keys,
    /// A snapshot, after nothing was written for this long.
    Snapshot(Option<Duration>),
}

/// The observable state of the command.
pub(crate) struct Observation {
    pub(crate) now: Instant,
    /// `None` if the system does not provide this information.
    pub(crate) sample: Option<Sample>,
    /// Whether the terminal holds keys that the command has not read.
    pub(crate) unread: bool,
    /// Whether it has exited; [`Readiness::command_ended`] follows.
    pub(crate) ended: bool,
}

/// Tracks the readiness of the command. It and its descendants must be our only ones.
pub(crate) struct Readiness {
    phase: Phase,
    started: Instant,
    /// The last sample, and since when all samples have been equal to it.
    last: Option<(Sample, Instant)>,
    /// Whether it was ready at the last sample.
    was_ready: bool,
    next: Instant,
    /// Since when somebody has been waiting for it.
    asked: Option<Instant>,
    /// Since when it has been busy meanwhile.
    busy: Option<Busy>,
    /// The short sleep that is being waited for.
    short_sleep: Option<ShortSleep>,
    /// Tasks that wake up periodically without any effect.
    restless: Vec<u32>,
    escape: Option<Escape>,
    has_typed: bool,
    output: Option<Instant>,
    typed: Option<Instant>,
    gave_up: Option<Duration>,
    longest_escape: Duration,
}

/// A lone Escape, after which the program may wait for the rest of a sequence.
struct Escape {
    typed: Instant,
    read: Option<Instant>,
}

/// When the command became busy, and how long it had run and waited for a processor by then.
#[derive(Clone, Copy)]
struct Busy {
    since: Instant,
    ran: u64,
    delayed: u64,
}

/// Tasks that sleep briefly, and since when.
struct ShortSleep {
    since: Instant,
    tasks: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Busy,
    Ended,
}

impl Readiness {
    /// `delay` is the command's `ESCDELAY` (ncurses, in milliseconds).
    pub(crate) fn new(now: Instant, delay: Option<&str>) -> Self {
        let delay = delay.and_then(|delay| delay.trim().parse().ok()).map(Duration::from_millis);
        let longest_escape = delay.map_or(ESCAPE_TIMEOUT, |delay| {
            ESCAPE_TIMEOUT.max(delay.min(ESCAPE_TIMEOUT * 4) + Duration::from_millis(100))
        });
        Self {
            phase: Phase::Starting,
            started: now,
            last: None,
            was_ready: false,
            next: now,
            asked: None,
            busy: None,
            short_sleep: None,
            restless: Vec::new(),
            escape: None,
            has_typed: false,
            output: None,
            typed: None,
            gave_up: None,
            longest_escape,
        }
    }

    /// Must be called when the command has written something: it was not asleep then.
    pub(crate) fn output_came(&mut self, now: Instant) {
        self.output = Some(now);
        self.discard_sample();
        // A sleep after output is a new one.
        self.short_sleep = None;
        if self.phase == Phase::Starting {
            self.phase = Phase::Running;
        }
    }

    /// Must be called when something was typed, or the terminal sent a reply.
    pub(crate) fn typed(&mut self, now: Instant) {
        self.typed = Some(now);
        self.discard_sample();
    }

    /// Must be called when a key was typed. `escape` means a lone Escape, which may be the start
    /// of a sequence.
    pub(crate) fn key(&mut self, now: Instant, escape: bool) {
        self.typed(now);
        self.has_typed = true;
        self.escape = escape.then_some(Escape { typed: now, read: None });
    }

    fn discard_sample(&mut self) {
        self.last = None;
        self.was_ready = false;
    }

    /// Must be called when the command has exited and its last output has been read.
    pub(crate) fn command_ended(&mut self) {
        self.phase = Phase::Ended;
    }

    /// Whether the command had terminals of its own at the last sample.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_nested(&self) -> bool {
        self.last.as_ref().is_some_and(|(sample, _)| sample.is_nested)
    }

    /// When to check again if the command was not ready.
    pub(crate) fn next_check(&self) -> Instant {
        self.next
    }

    /// Returns once, after giving up on a busy command, how long it was waited for.
    pub(crate) fn gave_up(&mut self) -> Option<Duration> {
        self.gave_up.take()
    }

    /// Whether the command is ready, or too busy to wait any longer.
    pub(crate) fn is_ready(&mut self, purpose: Purpose, observation: Observation) -> bool {
        if self.phase == Phase::Ended {
            return true;
        }
        let Observation { now, sample, unread, ended } = observation;
        if ended {
            self.next = now + MIN_INTERVAL;
            return false;
        }
        let (ran, delayed) = sample.as_ref().map_or((0, 0), |sample| (sample.ran(), sample.delayed()));
        let since = *self.asked.get_or_insert(now);
        let busy = *self.busy.get_or_insert(Busy { since: now, ran, delayed });
        self.next = now + ((now - since) / 8).clamp(MIN_INTERVAL, MAX_INTERVAL);
        let is_known = sample.is_some();
        let ready = if self.is_asleep(now, since, sample) {
            self.busy = None;
            self.escape_is_recognised(now, unread)
                && self.has_painted(now, is_known)
                && self.is_still(purpose, now)
                && self.is_quiet(purpose, now)
        } else {
            let ran = Duration::from_nanos(ran.saturating_sub(busy.ran));
            let delayed = Duration::from_nanos(delayed.saturating_sub(busy.delayed));
            self.is_busy(ran, delayed, now - busy.since) && self.is_quiet(purpose, now)
        };
        if ready {
            self.asked = None;
            self.busy = None;
            self.short_sleep = None;
            self.was_ready = is_known;
        }
        ready
    }

    /// Whether all tasks are asleep and did not run between two samples.
    fn is_asleep(&mut self, now: Instant, since: Instant, sample: Option<Sample>) -> bool {
        let Some(sample) = sample else {
            let last = self.output.max(self.typed).unwrap_or(self.started).max(since);
            return now - last >= QUIET_PERIOD;
        };
        let last = self.last.take().filter(|(last, _)| last.asleep && *last == sample);
        // No task has run since the command was ready.
        let at_once = last.is_some() && self.was_ready;
        let first = last.map_or(now, |(_, at)| at);
        if sample.asleep && first == now {
            // It may only just have settled.
            self.next = now + MIN_INTERVAL;
        }
        self.was_ready = at_once;
        self.last = Some((sample, first));
        let asleep = at_once || now - first >= MIN_INTERVAL;
        if asleep {
            self.phase = match self.phase {
                Phase::Busy => Phase::Running,
                phase => phase,
            };
        }
        asleep
    }

    /// Whether the command has exceeded its budget. `delayed` is the time it waited for a
    /// processor, which does not count.
    fn is_busy(&mut self, ran: Duration, delayed: Duration, waited: Duration) -> bool {
        let budget = match self.phase {
            Phase::Starting => STARTING_BUDGET,
            Phase::Busy => BUSY_BUDGET,
            Phase::Running | Phase::Ended => RUNNING_BUDGET,
        };
        // The times do not include exited tasks, so there is also a limit by the clock.
        let late = waited.saturating_sub(delayed) >= budget.waited || waited >= budget.waited * 5;
        let busy = ran >= budget.ran || late;
        if busy {
            self.phase = Phase::Busy;
            self.gave_up = Some(waited);
        }
        busy
    }

    /// Tasks that sleep for at most this long, according to the last sample.
    fn timed(&self, longest: Duration) -> Vec<u32> {
        self.last.as_ref().map(|(sample, _)| sample.timed(longest).collect()).unwrap_or_default()
    }

    /// Whether the command has recognised a lone Escape as such.
    fn escape_is_recognised(&mut self, now: Instant, unread: bool) -> bool {
        let Some(escape) = &mut self.escape else { return true };
        if unread && now - escape.typed < UNREAD_ESCAPE_TIMEOUT {
            return false;
        }
        let read = *escape.read.get_or_insert(now);
        let timed = self.timed(self.longest_escape);
        let is_known = self.last.as_ref().is_some_and(|(sample, _)| sample.is_known());
        let longest = if !is_known {
            self.longest_escape
        } else if timed.iter().all(|task| self.restless.contains(task)) {
            RESTLESS_ESCAPE
        } else {
            self.longest_escape + ESCAPE_RESERVE
        };
        if is_known && timed.is_empty() || now - read >= longest {
            self.escape = None;
        }
        self.escape.is_none()
    }

    /// Whether there is output, or none is expected soon.
    fn has_painted(&mut self, now: Instant, is_known: bool) -> bool {
        if self.phase != Phase::Starting {
            return true;
        }
        let waited = now - self.started;
        if is_known {
            self.timed(FIRST_PAINT).is_empty() || waited >= FIRST_PAINT
        } else {
            waited >= SILENT_START
        }
    }

    /// Whether no task wakes up soon to update the screen.
    fn is_still(&mut self, purpose: Purpose, now: Instant) -> bool {
        // Before its first screen, a program may discard what was typed.
        if purpose == Purpose::Keys && self.has_typed {
            return true;
        }
        let mut timed = self.timed(SHORT_SLEEP);
        timed.retain(|task| !self.restless.contains(task));
        let Some(short_sleep) = &mut self.short_sleep else {
            if timed.is_empty() {
                return true;
            }
            self.short_sleep = Some(ShortSleep { since: now, tasks: timed });
            return false;
        };
        if now - short_sleep.since >= SHORT_SLEEP {
            // These tasks have woken up meanwhile and sleep again.
            let tasks = std::mem::take(&mut short_sleep.tasks);
            timed.retain(|task| tasks.contains(task));
            self.restless.extend(timed);
            return true;
        }
        timed.is_empty()
    }

    /// Whether nothing was written for as long as requested.
    fn is_quiet(&self, purpose: Purpose, now: Instant) -> bool {
        let Purpose::Snapshot(Some(quiet)) = purpose else { return true };
        let last = self.output.max(self.typed).unwrap_or(self.started);
        now - last >= quiet
    }
}

#[cfg(test)]
mod tests;
