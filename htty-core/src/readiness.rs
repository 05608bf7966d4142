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
        let Sight { now, look, unread } = sight;
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
mod tests {
    use super::*;
    use crate::settle::Task;
    use crate::sleep::Wait;

    const PICTURE: Purpose = Purpose::Picture(None);

    /// A command whose only task sleeps so; `run`: how often it has run.
    #[allow(clippy::unnecessary_wraps, reason = "it is what a test's command shows")]
    fn sleeping(wait: Wait, run: u64) -> Option<Look> {
        Some(Look { asleep: true, tasks: vec![Task { id: 7, ran: run, delayed: 0, slices: run, wait }] })
    }

    fn timed(milliseconds: u64) -> Wait {
        Wait::Timed(Duration::from_millis(milliseconds))
    }

    /// A command and a clock.
    struct Run {
        readiness: Readiness,
        start: Instant,
        now: Instant,
    }

    impl Run {
        fn new() -> Self {
            let start = Instant::now();
            Self { readiness: Readiness::new(start, None), start, now: start }
        }

        /// One whose first screen is there.
        fn painted() -> Self {
            let mut run = Self::new();
            run.readiness.output_came(run.now);
            run
        }

        /// The milliseconds until it is ready, up to ten seconds; `look` gets those.
        fn until_ready(&mut self, purpose: Purpose, look: impl Fn(u64) -> Option<Look>) -> u128 {
            let begin = self.now;
            loop {
                let at = u64::try_from((self.now - begin).as_millis()).unwrap();
                let sight = Sight { now: self.now, look: look(at), unread: false };
                if self.readiness.is_ready(purpose, sight) || at > 10_000 {
                    return (self.now - begin).as_millis();
                }
                self.now = self.readiness.next_look().max(self.now + Duration::from_micros(100));
            }
        }
    }

    #[test]
    fn one_that_waits_for_keys_is_ready_at_once() {
        let mut run = Run::new();
        assert!(run.until_ready(Purpose::Keys, |_| sleeping(Wait::Forever, 1)) <= 1);
        run.readiness.key(run.now, false);
        assert!(run.until_ready(PICTURE, |_| sleeping(Wait::Forever, 2)) <= 1);
        // Nobody has run since.
        assert_eq!(run.until_ready(PICTURE, |_| sleeping(Wait::Forever, 2)), 0);
    }

    #[test]
    fn what_follows_an_escape_waits_for_the_timeout() {
        for (timeout, expected) in [(100, 100..115), (1000, 1000..1020), (4000, 0..2)] {
            let mut run = Run::painted();
            run.readiness.key(run.now, true);
            let look = |at| {
                let over = at >= timeout;
                sleeping(if over { Wait::Forever } else { timed(timeout) }, if over { 3 } else { 2 })
            };
            let waited = run.until_ready(Purpose::Keys, look);
            assert!(expected.contains(&waited), "{timeout}: {waited}");
        }
    }

    #[test]
    fn an_escape_is_waited_for_no_longer_than_programs_do() {
        let mut run = Run::painted();
        run.readiness.key(run.now, true);
        let waited = run.until_ready(Purpose::Keys, |at| sleeping(timed(100), at / 100));
        assert!((2000..2100).contains(&waited), "{waited}");
        // The system does not tell what it waits for.
        let mut run = Run::painted();
        run.readiness.key(run.now, true);
        let waited = run.until_ready(Purpose::Keys, |_| sleeping(Wait::Unknown, 1));
        assert!((1100..1200).contains(&waited), "{waited}");
    }

    #[test]
    fn an_escape_that_was_not_read_is_waited_for() {
        let mut run = Run::painted();
        run.readiness.key(run.now, true);
        let mut seen = Vec::new();
        for milliseconds in 1..3000 {
            let now = run.start + Duration::from_millis(milliseconds);
            let sight = Sight { now, look: sleeping(Wait::Forever, 1), unread: true };
            seen.push(run.readiness.is_ready(Purpose::Keys, sight));
        }
        let first = seen.iter().position(|ready| *ready).unwrap();
        assert!((1990..2010).contains(&first), "{first}");
    }

    #[test]
    fn the_first_paint_is_waited_for_within_a_bound() {
        let painted_later = Run::new().until_ready(PICTURE, |at| sleeping(timed(750), u64::from(at > 750)));
        assert!((1000..1020).contains(&painted_later), "{painted_later}");
        // Who sleeps for long will not paint soon.
        assert!(Run::new().until_ready(PICTURE, |_| sleeping(timed(60_000), 1)) <= 1);
    }

    #[test]
    fn a_snapshot_waits_for_a_short_sleep_and_learns_who_only_ticks() {
        let mut run = Run::painted();
        let look = |at| if at < 200 { sleeping(timed(200), 1) } else { sleeping(Wait::Forever, 2) };
        let waited = run.until_ready(PICTURE, look);
        assert!((200..215).contains(&waited), "{waited}");
        let tick = |at: u64| sleeping(timed(100), 10 + at / 100);
        let waited = run.until_ready(PICTURE, tick);
        assert!((300..320).contains(&waited), "{waited}");
        assert!(run.until_ready(PICTURE, tick) <= 1);
    }

    #[test]
    fn without_a_word_of_the_system_quiet_decides() {
        let waited = Run::new().until_ready(Purpose::Keys, |_| None);
        assert!((300..315).contains(&waited), "{waited}");
        let mut run = Run::painted();
        run.readiness.key(run.now, false);
        let waited = run.until_ready(PICTURE, |_| None);
        assert!((30..45).contains(&waited), "{waited}");
    }

    #[test]
    fn quiet_can_be_asked_for() {
        let mut run = Run::painted();
        let purpose = Purpose::Picture(Some(Duration::from_millis(250)));
        let waited = run.until_ready(purpose, |_| sleeping(Wait::Forever, 1));
        assert!((250..262).contains(&waited), "{waited}");
        assert!(run.until_ready(purpose, |_| sleeping(Wait::Forever, 1)) <= 1);
    }

    #[test]
    fn a_busy_command_is_given_up() {
        let busy =
            |at: u64| Some(Look { asleep: false, tasks: sleeping(Wait::Forever, at * 1_000_000)?.tasks });
        let mut run = Run::new();
        let waited = run.until_ready(Purpose::Keys, busy);
        assert!((2000..2020).contains(&waited), "{waited}");
        assert!(run.readiness.gave_up().is_some());
        let waited = run.until_ready(Purpose::Keys, busy);
        assert!((20..32).contains(&waited), "{waited}");
    }
}
