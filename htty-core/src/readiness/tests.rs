use super::*;
use crate::sleep::Wait;
use crate::tasks::Task;

const SNAPSHOT: Purpose = Purpose::Snapshot(None);

/// A sample of a command with one sleeping task, which has run `run` times.
#[allow(clippy::unnecessary_wraps, reason = "it has the type of an observation")]
fn sleeping(wait: Wait, run: u64) -> Option<Sample> {
    Some(Sample {
        asleep: true,
        tasks: vec![Task { id: 7, ran: run, delayed: 0, slices: run, wait }],
        is_nested: false,
    })
}

fn timed(milliseconds: u64) -> Wait {
    Wait::Timed(Duration::from_millis(milliseconds))
}

/// The readiness of a command, with a simulated clock.
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

    /// A command that has already written output.
    fn painted() -> Self {
        let mut run = Self::new();
        run.readiness.output_came(run.now);
        run
    }

    /// The milliseconds until it is ready, up to ten seconds. `sample` takes the time so far.
    fn until_ready(&mut self, purpose: Purpose, sample: impl Fn(u64) -> Option<Sample>) -> u128 {
        let begin = self.now;
        loop {
            let at = u64::try_from((self.now - begin).as_millis()).unwrap();
            let observation = Observation { now: self.now, sample: sample(at), unread: false, ended: false };
            if self.readiness.is_ready(purpose, observation) || at > 10_000 {
                return (self.now - begin).as_millis();
            }
            self.now = self.readiness.next_check().max(self.now + Duration::from_micros(100));
        }
    }
}

#[test]
fn a_command_that_waits_for_keys_is_ready_immediately() {
    let mut run = Run::new();
    assert!(run.until_ready(Purpose::Keys, |_| sleeping(Wait::Forever, 1)) <= 1);
    run.readiness.key(run.now, false);
    assert!(run.until_ready(SNAPSHOT, |_| sleeping(Wait::Forever, 2)) <= 1);
    // No task has run since.
    assert_eq!(run.until_ready(SNAPSHOT, |_| sleeping(Wait::Forever, 2)), 0);
}

#[test]
fn waits_for_the_timeout_after_an_escape() {
    for (timeout, expected) in [(100, 100..115), (1000, 1000..1020), (4000, 0..2)] {
        let mut run = Run::painted();
        run.readiness.key(run.now, true);
        let sample = |at| {
            let over = at >= timeout;
            sleeping(if over { Wait::Forever } else { timed(timeout) }, if over { 3 } else { 2 })
        };
        let waited = run.until_ready(Purpose::Keys, sample);
        assert!(expected.contains(&waited), "{timeout}: {waited}");
    }
}

#[test]
fn waits_for_an_escape_no_longer_than_programs_do() {
    let mut run = Run::painted();
    run.readiness.key(run.now, true);
    let waited = run.until_ready(Purpose::Keys, |at| sleeping(timed(100), at / 100));
    assert!((2000..2100).contains(&waited), "{waited}");
    // It is unknown what the task waits for.
    let mut run = Run::painted();
    run.readiness.key(run.now, true);
    let waited = run.until_ready(Purpose::Keys, |_| sleeping(Wait::Unknown, 1));
    assert!((1100..1200).contains(&waited), "{waited}");
}

#[test]
fn waits_until_an_escape_is_read() {
    let mut run = Run::painted();
    run.readiness.key(run.now, true);
    let mut seen = Vec::new();
    for milliseconds in 1..3000 {
        let now = run.start + Duration::from_millis(milliseconds);
        let observation = Observation { now, sample: sleeping(Wait::Forever, 1), unread: true, ended: false };
        seen.push(run.readiness.is_ready(Purpose::Keys, observation));
    }
    let first = seen.iter().position(|ready| *ready).unwrap();
    assert!((1990..2010).contains(&first), "{first}");
}

#[test]
fn waits_a_limited_time_for_the_first_output() {
    let painted_later = Run::new().until_ready(SNAPSHOT, |at| sleeping(timed(750), u64::from(at > 750)));
    assert!((1000..1020).contains(&painted_later), "{painted_later}");
    // A command that sleeps for long will not write soon.
    assert!(Run::new().until_ready(SNAPSHOT, |_| sleeping(timed(60_000), 1)) <= 1);
}

#[test]
fn a_snapshot_waits_for_short_sleeps_but_ignores_periodic_ones() {
    let mut run = Run::painted();
    let sample = |at| if at < 200 { sleeping(timed(200), 1) } else { sleeping(Wait::Forever, 2) };
    let waited = run.until_ready(SNAPSHOT, sample);
    assert!((200..215).contains(&waited), "{waited}");
    let tick = |at: u64| sleeping(timed(100), 10 + at / 100);
    let waited = run.until_ready(SNAPSHOT, tick);
    assert!((300..320).contains(&waited), "{waited}");
    assert!(run.until_ready(SNAPSHOT, tick) <= 1);
}

#[test]
fn without_task_information_it_waits_for_quiet() {
    let waited = Run::new().until_ready(Purpose::Keys, |_| None);
    assert!((300..315).contains(&waited), "{waited}");
    let mut run = Run::painted();
    run.readiness.key(run.now, false);
    let waited = run.until_ready(SNAPSHOT, |_| None);
    assert!((30..45).contains(&waited), "{waited}");
}

#[test]
fn a_snapshot_can_wait_for_quiet() {
    let mut run = Run::painted();
    let purpose = Purpose::Snapshot(Some(Duration::from_millis(250)));
    let waited = run.until_ready(purpose, |_| sleeping(Wait::Forever, 1));
    assert!((250..262).contains(&waited), "{waited}");
    assert!(run.until_ready(purpose, |_| sleeping(Wait::Forever, 1)) <= 1);
}

#[test]
fn gives_up_on_a_busy_command() {
    let busy = |at: u64| Some(Sample { asleep: false, ..sleeping(Wait::Forever, at * 1_000_000)? });
    let mut run = Run::new();
    let waited = run.until_ready(Purpose::Keys, busy);
    assert!((2000..2020).contains(&waited), "{waited}");
    assert!(run.readiness.gave_up().is_some());
    let waited = run.until_ready(Purpose::Keys, busy);
    assert!((20..32).contains(&waited), "{waited}");
}
