//! When the command is ready for keys, or its screen worth a look: all of its
//! tasks sleep, and none of them for a moment only.

use std::time::{Duration, Instant};

use crate::settle::Look;

/// Two looks that see the same are at least this far apart.
const GAP: Duration = Duration::from_micros(500);

/// Looks are never further apart than this.
const LONGEST_GAP: Duration = Duration::from_millis(10);

/// What a command may take before it is taken as busy for good: time of the
/// processors, which does not depend on what else runs, and time of the clock.
struct Budget {
    ran: Duration,
    waited: Duration,
}

/// For a command that starts, until its first output.
const START: Budget = Budget { ran: Duration::from_secs(2), waited: Duration::from_secs(8) };
/// For one that has been waiting for keys.
const KEYS: Budget = Budget { ran: Duration::from_millis(200), waited: Duration::from_secs(2) };
/// For one that has been found busy, until it settles.
const BUSY: Budget = Budget { ran: Duration::from_millis(20), waited: Duration::from_millis(200) };

/// A command that sleeps for a moment before its first output has this long for it.
const FIRST_PAINT: Duration = Duration::from_secs(1);

/// A snapshot waits for sleeps that are no longer than this.
const MOMENT: Duration = Duration::from_millis(300);

/// A program waits at most this long for what may follow an Escape (ncurses: one
/// second, and it can be told another time by `ESCDELAY`).
const ESCAPE: Duration = Duration::from_millis(1100);

/// So much longer it may take on a busy machine, where it is seen to wait.
const ESCAPE_RESERVE: Duration = Duration::from_millis(900);

/// One that wakes up now and then anyway does not wait as long for an Escape
/// (readline, `prompt_toolkit` and tmux: half a second).
const RESTLESS_ESCAPE: Duration = Duration::from_millis(600);

/// An Escape that the command does not read is waited for this long.
const UNREAD: Duration = Duration::from_secs(2);

/// Where the system does not tell of tasks, a command has settled when it has
/// written nothing for this long.
const QUIET: Duration = Duration::from_millis(30);

/// There, a command that has written nothing at all has settled after this.
const SILENT: Duration = Duration::from_millis(300);

/// What readiness is asked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    Keys,
    /// The screen, when nothing was written for this long.
    Picture(Option<Duration>),
}

/// The command, seen from outside.
pub(crate) struct Sight {
    pub(crate) now: Instant,
    /// `None` where the system does not tell.
    pub(crate) look: Option<Look>,
    /// Whether the terminal holds keys that the command has not read.
    pub(crate) unread: bool,
    /// Whether it has ended; [`Readiness::command_ended`] follows.
    pub(crate) ended: bool,
}

/// What is known of a command's readiness; it, and what it started, are our only
/// descendants.
pub(crate) struct Readiness {
    phase: Phase,
    started: Instant,
    /// The last look, and since when all looks saw the same.
    last: Option<(Look, Instant)>,
    /// Whether it was ready when the last look was had.
    was_ready: bool,
    next: Instant,
    /// Since when it is waited for.
    asked: Option<Instant>,
    /// Since when it is busy while it is waited for.
    busy: Option<Busy>,
    /// Since when tasks are waited for that sleep for a moment.
    moment: Option<Moment>,
    /// Tasks that wake up now and then, and change nothing.
    restless: Vec<u32>,
    escape: Option<Escape>,
    has_typed: bool,
    output: Option<Instant>,
    typed: Option<Instant>,
    gave_up: Option<Duration>,
    longest_escape: Duration,
}

/// An Escape after which the program may wait for more.
struct Escape {
    typed: Instant,
    read: Option<Instant>,
}

/// When it began to be busy, and how long it had run and waited for a processor by then.
#[derive(Clone, Copy)]
struct Busy {
    since: Instant,
    ran: u64,
    delayed: u64,
}

struct Moment {
    since: Instant,
    tasks: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starts,
    Works,
    Busy,
    Ended,
}

impl Readiness {
    /// `delay` is what `ESCDELAY` tells the command (ncurses, milliseconds).
    pub(crate) fn new(now: Instant, delay: Option<&str>) -> Self {
        let delay = delay.and_then(|delay| delay.trim().parse().ok()).map(Duration::from_millis);
        let longest_escape =
            delay.map_or(ESCAPE, |delay| ESCAPE.max(delay.min(ESCAPE * 4) + Duration::from_millis(100)));
        Self {
            phase: Phase::Starts,
            started: now,
            last: None,
            was_ready: false,
            next: now,
            asked: None,
            busy: None,
            moment: None,
            restless: Vec::new(),
            escape: None,
            has_typed: false,
            output: None,
            typed: None,
            gave_up: None,
            longest_escape,
        }
    }

    /// The command has written something, so it was not asleep.
    pub(crate) fn output_came(&mut self, now: Instant) {
        self.output = Some(now);
        self.stirred();
        // Sleeping again after output is another sleep.
        self.moment = None;
        if self.phase == Phase::Starts {
            self.phase = Phase::Works;
        }
    }

    /// Something was typed, or answered by the terminal.
    pub(crate) fn typed(&mut self, now: Instant) {
        self.typed = Some(now);
        self.stirred();
    }

    /// A key was typed; `escape`: alone, an Escape that may begin a sequence.
    pub(crate) fn key(&mut self, now: Instant, escape: bool) {
        self.typed(now);
        self.has_typed = true;
        self.escape = escape.then_some(Escape { typed: now, read: None });
    }

    fn stirred(&mut self) {
        self.last = None;
        self.was_ready = false;
    }

    /// The command has ended and its last output has been read.
    pub(crate) fn command_ended(&mut self) {
        self.phase = Phase::Ended;
    }

    /// Whether the command had terminals of its own when it was looked at last.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_nested(&self) -> bool {
        self.last.as_ref().is_some_and(|(look, _)| look.is_nested)
    }

    /// When to look again, where the last look did not do.
    pub(crate) fn next_look(&self) -> Instant {
        self.next
    }

    /// For how long the command was waited for in vain, once.
    pub(crate) fn gave_up(&mut self) -> Option<Duration> {
        self.gave_up.take()
    }

    /// Whether the command needs to be waited for no longer.
    pub(crate) fn is_ready(&mut self, purpose: Purpose, sight: Sight) -> bool {
        if self.phase == Phase::Ended {
            return true;
        }
        let Sight { now, look, unread, ended } = sight;
        if ended {
            self.next = now + GAP;
            return false;
        }
        let (ran, delayed) = look.as_ref().map_or((0, 0), |look| (look.ran(), look.delayed()));
        let since = *self.asked.get_or_insert(now);
        let busy = *self.busy.get_or_insert(Busy { since: now, ran, delayed });
        self.next = now + ((now - since) / 8).clamp(GAP, LONGEST_GAP);
        let is_known = look.is_some();
        let ready = if self.is_asleep(now, since, look) {
            self.busy = None;
            self.escape_is_over(now, unread)
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
            self.moment = None;
            self.was_ready = is_known;
        }
        ready
    }

    /// Whether all tasks sleep, and have not run for a while.
    fn is_asleep(&mut self, now: Instant, since: Instant, look: Option<Look>) -> bool {
        let Some(look) = look else {
            let last = self.output.max(self.typed).unwrap_or(self.started).max(since);
            return now - last >= QUIET;
        };
        let last = self.last.take().filter(|(last, _)| last.asleep && *last == look);
        // Nobody has run since it was found to be ready.
        let at_once = last.is_some() && self.was_ready;
        let first = last.map_or(now, |(_, at)| at);
        if look.asleep && first == now {
            // It may have settled just now.
            self.next = now + GAP;
        }
        self.was_ready = at_once;
        self.last = Some((look, first));
        let asleep = at_once || now - first >= GAP;
        if asleep {
            self.phase = match self.phase {
                Phase::Busy => Phase::Works,
                phase => phase,
            };
        }
        asleep
    }

    /// Whether the command has run, or been waited for, for too long; `delayed`: what
    /// it waited for a processor, which is not its fault.
    fn is_busy(&mut self, ran: Duration, delayed: Duration, waited: Duration) -> bool {
        let budget = match self.phase {
            Phase::Starts => START,
            Phase::Busy => BUSY,
            Phase::Works | Phase::Ended => KEYS,
        };
        // What has ended meanwhile is not counted: there is a clock too.
        let late = waited.saturating_sub(delayed) >= budget.waited || waited >= budget.waited * 5;
        let busy = ran >= budget.ran || late;
        if busy {
            self.phase = Phase::Busy;
            self.gave_up = Some(waited);
        }
        busy
    }

    /// Tasks of the last look that sleep for at most this long.
    fn timed(&self, longest: Duration) -> Vec<u32> {
        self.last.as_ref().map(|(look, _)| look.timed(longest).collect()).unwrap_or_default()
    }

    /// Whether the command has understood that nothing follows an Escape.
    fn escape_is_over(&mut self, now: Instant, unread: bool) -> bool {
        let Some(escape) = &mut self.escape else { return true };
        if unread && now - escape.typed < UNREAD {
            return false;
        }
        let read = *escape.read.get_or_insert(now);
        let timed = self.timed(self.longest_escape);
        let is_known = self.last.as_ref().is_some_and(|(look, _)| look.is_known());
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

    /// Whether there is output, or none to be expected soon.
    fn has_painted(&mut self, now: Instant, is_known: bool) -> bool {
        if self.phase != Phase::Starts {
            return true;
        }
        let waited = now - self.started;
        if is_known { self.timed(FIRST_PAINT).is_empty() || waited >= FIRST_PAINT } else { waited >= SILENT }
    }

    /// Whether no task wakes up in a moment to paint.
    fn is_still(&mut self, purpose: Purpose, now: Instant) -> bool {
        // A program that starts may throw away what was typed before its first screen.
        if purpose == Purpose::Keys && self.has_typed {
            return true;
        }
        let mut timed = self.timed(MOMENT);
        timed.retain(|task| !self.restless.contains(task));
        let Some(moment) = &mut self.moment else {
            if timed.is_empty() {
                return true;
            }
            self.moment = Some(Moment { since: now, tasks: timed });
            return false;
        };
        if now - moment.since >= MOMENT {
            // Each has woken up in the meantime, and sleeps again.
            let tasks = std::mem::take(&mut moment.tasks);
            timed.retain(|task| tasks.contains(task));
            self.restless.extend(timed);
            return true;
        }
        timed.is_empty()
    }

    /// Whether nothing was written for as long as was asked for.
    fn is_quiet(&self, purpose: Purpose, now: Instant) -> bool {
        let Purpose::Picture(Some(quiet)) = purpose else { return true };
        let last = self.output.max(self.typed).unwrap_or(self.started);
        now - last >= quiet
    }
}

#[cfg(test)]
mod tests;
