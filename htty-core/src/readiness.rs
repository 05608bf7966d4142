//! When the command is ready for keys, or its screen worth a look.

use std::time::{Duration, Instant};

use crate::settle::{self, GAP, Look};

/// What a command may take, before it is taken as busy for good: time of the
/// processors, which does not depend on what else runs, and time of the clock.
struct Budget {
    ran: Duration,
    waited: Duration,
}

/// For a command that starts, until its first output.
const START: Budget = Budget { ran: Duration::from_secs(1), waited: Duration::from_secs(4) };
/// For one that has been waiting for keys.
const KEYS: Budget = Budget { ran: Duration::from_millis(200), waited: Duration::from_secs(2) };
/// For one that has been found busy, until it settles.
const BUSY: Budget = Budget { ran: Duration::from_millis(20), waited: Duration::from_millis(200) };

/// Where the system does not tell of tasks, a command has settled when it has
/// written nothing for so long (while it starts: after its first output).
const QUIET: Duration = Duration::from_millis(30);

/// What is known of a command's readiness; it, and what it started, are our only
/// descendants.
#[derive(Default)]
pub(crate) struct Readiness {
    phase: Phase,
    /// The last look, and when it was.
    last: Option<(Look, Instant)>,
    /// Since when it is waited for, and how long it had run by then.
    waiting: Option<(Instant, u64)>,
    output: Option<Instant>,
    gave_up: Option<Duration>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starts,
    Works,
    Busy,
    Ended,
}

impl Readiness {
    /// The command has written something, so it was not asleep.
    pub(crate) fn output_came(&mut self) {
        self.output = Some(Instant::now());
        self.last = None;
        if self.phase == Phase::Starts {
            self.phase = Phase::Works;
        }
    }

    /// The command has ended and its last output has been read.
    pub(crate) fn command_ended(&mut self) {
        self.phase = Phase::Ended;
    }

    /// When to look again, where the last look did not do.
    pub(crate) fn next_look(&self) -> Instant {
        self.last.as_ref().map_or_else(Instant::now, |(_, at)| *at) + GAP
    }

    /// For how long the command was waited for in vain, once.
    pub(crate) fn gave_up(&mut self) -> Option<Duration> {
        self.gave_up.take()
    }

    /// Looks at the command; tells whether it needs to be waited for no longer.
    pub(crate) fn look(&mut self) -> bool {
        if self.phase == Phase::Ended {
            return true;
        }
        let now = Instant::now();
        let look = settle::look(std::process::id());
        let total = look.as_ref().map_or(0, Look::ran);
        let (since, before) = *self.waiting.get_or_insert((now, total));
        if let Some(look) = look {
            let last = self.last.take().filter(|(last, _)| last.asleep && *last == look);
            let first = last.map_or(now, |(_, at)| at);
            self.last = Some((look, first));
            if now - first >= GAP {
                return self.settled();
            }
        } else if self.output.is_some_and(|at| now - at >= QUIET) && now - since >= QUIET {
            return self.settled();
        }
        // What has ended meanwhile is not counted: there is a clock too.
        let ran = Duration::from_nanos(total.saturating_sub(before));
        let budget = match self.phase {
            Phase::Starts => START,
            Phase::Busy => BUSY,
            Phase::Works | Phase::Ended => KEYS,
        };
        if ran >= budget.ran || now - since >= budget.waited {
            self.waiting = None;
            self.phase = Phase::Busy;
            self.gave_up = Some(now - since);
            return true;
        }
        false
    }

    fn settled(&mut self) -> bool {
        self.waiting = None;
        self.phase = Phase::Works;
        true
    }
}
