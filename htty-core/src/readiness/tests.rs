use super::*;
use crate::settle::Task;
use crate::sleep::Wait;

const PICTURE: Purpose = Purpose::Picture(None);

/// A command whose only task sleeps so; `run`: how often it has run.
#[allow(clippy::unnecessary_wraps, reason = "it is what a test's command shows")]
fn sleeping(wait: Wait, run: u64) -> Option<Look> {
    Some(Look {
        asleep: true,
        tasks: vec![Task { id: 7, ran: run, delayed: 0, slices: run, wait }],
        is_nested: false,
    })
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
            let sight = Sight { now: self.now, look: look(at), unread: false, ended: false };
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
        let sight = Sight { now, look: sleeping(Wait::Forever, 1), unread: true, ended: false };
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
    let busy = |at: u64| Some(Look { asleep: false, ..sleeping(Wait::Forever, at * 1_000_000)? });
    let mut run = Run::new();
    let waited = run.until_ready(Purpose::Keys, busy);
    assert!((2000..2020).contains(&waited), "{waited}");
    assert!(run.readiness.gave_up().is_some());
    let waited = run.until_ready(Purpose::Keys, busy);
    assert!((20..32).contains(&waited), "{waited}");
}
