//! The retry policy.

use std::time::{Duration, Instant};

/// The longest `Retry-After` that is respected.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(180);
/// The maximum number of attempts with a server that does not respond, whatever the budget.
const MAX_TIMEOUTS: u32 = 2;

/// Whether another attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryVerdict {
    /// The same request would fail again.
    Final,
    /// It may succeed after at least the wait that the server requests.
    Again(Option<Duration>),
    /// There was no response. Few retries, because each takes the whole timeout.
    Hung,
}

/// An error that knows whether another attempt may succeed.
pub trait Retryable: std::error::Error {
    /// Whether another attempt may succeed.
    fn verdict(&self) -> RetryVerdict;

    /// Whether another attempt, or another run, may succeed.
    fn is_transient(&self) -> bool {
        self.verdict() != RetryVerdict::Final
    }
}

/// The policy for retries: exponential backoff with jitter within a budget.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// No attempt starts later than this after the first one.
    pub budget: Duration,
    /// The wait after the first failure; it doubles each time.
    pub first: Duration,
    /// The longest wait, unless the server requests a longer one.
    pub longest: Duration,
}

impl Retry {
    /// Retries for `budget`.
    pub const fn within(budget: Duration) -> Self {
        Self { budget, first: Duration::from_millis(500), longest: Duration::from_secs(20) }
    }

    /// A new count of attempts.
    pub fn attempts(&self) -> Attempts {
        Attempts { policy: *self, start: Instant::now(), failed: 0, hung: 0 }
    }
}

/// The failed attempts of one request.
#[derive(Debug)]
pub struct Attempts {
    policy: Retry,
    start: Instant,
    failed: u32,
    hung: u32,
}

impl Attempts {
    /// The wait before the next attempt after `error`; `None` to give up.
    pub fn after(&mut self, error: &impl Retryable) -> Option<Duration> {
        self.after_verdict(error.verdict())
    }

    fn after_verdict(&mut self, verdict: RetryVerdict) -> Option<Duration> {
        self.failed += 1;
        let asked = match verdict {
            RetryVerdict::Final => return None,
            RetryVerdict::Again(asked) => asked.unwrap_or_default(),
            RetryVerdict::Hung => {
                self.hung += 1;
                Duration::ZERO
            }
        };
        if self.hung >= MAX_TIMEOUTS || asked > MAX_RETRY_AFTER {
            return None;
        }
        let doubled = 1_u32 << (self.failed - 1).min(16);
        let doubled = self.policy.first.saturating_mul(doubled).min(self.policy.longest);
        let jitter = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let wait = doubled.mul_f64(0.5 + jitter / 2.0).max(asked);
        (self.start.elapsed() + wait <= self.policy.budget).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Retry = Retry {
        budget: Duration::from_secs(100),
        first: Duration::from_secs(1),
        longest: Duration::from_secs(3),
    };

    #[test]
    fn waits_grow_and_respect_the_server() {
        let mut attempts = POLICY.attempts();
        for (low, high) in [(0.5, 1.0), (1.0, 2.0), (1.5, 3.0), (1.5, 3.0)] {
            let wait = attempts.after_verdict(RetryVerdict::Again(None)).unwrap().as_secs_f64();
            assert!((low..=high).contains(&wait), "{wait}");
        }
        let asked = Duration::from_secs(9);
        assert_eq!(attempts.after_verdict(RetryVerdict::Again(Some(asked))), Some(asked));
        let hour = RetryVerdict::Again(Some(Duration::from_secs(3600)));
        assert_eq!(attempts.after_verdict(hour), None, "an hour is too long");
        assert_eq!(POLICY.attempts().after_verdict(RetryVerdict::Final), None);
    }

    #[test]
    fn stops_at_the_end_of_the_budget() {
        let mut attempts = Retry { budget: Duration::from_secs(5), ..POLICY }.attempts();
        assert!(attempts.after_verdict(RetryVerdict::Again(Some(Duration::from_secs(4)))).is_some());
        assert_eq!(attempts.after_verdict(RetryVerdict::Again(Some(Duration::from_secs(6)))), None);
        assert_eq!(Retry::within(Duration::ZERO).attempts().after_verdict(RetryVerdict::Again(None)), None);
    }

    #[test]
    fn tries_a_hanging_server_twice() {
        let mut attempts = POLICY.attempts();
        assert!(attempts.after_verdict(RetryVerdict::Hung).is_some());
        assert_eq!(attempts.after_verdict(RetryVerdict::Hung), None);
    }
}
