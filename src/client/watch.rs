//! When to refresh next. Pure: the time and the randomness are given.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How a refresh went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it went well or it did not")]
pub enum Refreshed {
    /// It succeeded. What is trusted now expires then, where that is known.
    Well(Option<DateTime<Utc>>),
    /// It failed.
    Badly,
}

/// Spreads refreshes over time, so that many machines do not ask at once, and asks less often while nothing answers.
///
/// After a success the next refresh comes after the interval, a little earlier or later; earlier where what is trusted
/// expires before: then after half of the time that is left. After failures it comes after 1/32 of the interval, and
/// twice as late after each further one, up to the interval.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval: Duration,
    jitter: f64,
    failures: u32,
}

impl Schedule {
    /// The shortest wait.
    pub const LEAST: Duration = Duration::from_millis(500);

    /// A schedule with this interval, of which up to `jitter` (0 to 1) is added or taken away at random.
    pub fn new(interval: Duration, jitter: f64) -> Self {
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        Self { interval: interval.max(Self::LEAST), jitter, failures: 0 }
    }

    /// How many refreshes have failed since one succeeded.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait after a refresh that ended `now`. `random` is any number, evenly distributed.
    pub fn next(&mut self, refreshed: Refreshed, now: DateTime<Utc>, random: u64) -> Duration {
        let wait = match refreshed {
            Refreshed::Well(_) => {
                self.failures = 0;
                self.interval
            }
            Refreshed::Badly => {
                self.failures = self.failures.saturating_add(1);
                let doubled = 1_u32 << (self.failures - 1).min(5);
                (self.interval / 32).max(Self::LEAST).saturating_mul(doubled).min(self.interval)
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "a random number loses nothing by it")]
        let between = (random as f64 / u64::MAX as f64).mul_add(2.0, -1.0);
        // A wait of centuries may be too long for a duration once it is stretched.
        let stretched = wait.as_secs_f64() * self.jitter.mul_add(between, 1.0);
        let wait = Duration::try_from_secs_f64(stretched).unwrap_or(Duration::MAX);
        let expiring = match refreshed {
            Refreshed::Well(Some(expires)) => (expires - now).to_std().unwrap_or_default() / 2,
            _ => Duration::MAX,
        };
        // Where the next version is late, it is not asked for ever more often.
        let least = (self.interval / 32).max(Self::LEAST);
        wait.min(expiring.max(least)).max(Self::LEAST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const MIDDLE: u64 = u64::MAX / 2;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    /// Whole seconds, rounded.
    fn seconds(waits: &[Duration]) -> Vec<u64> {
        waits.iter().map(|wait| (*wait + Duration::from_millis(500)).as_secs()).collect()
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_the_interval_and_a_success_ends_that() {
        let mut schedule = Schedule::new(32 * MINUTE, 0.0);
        let waits: Vec<_> = (0..8).map(|_| schedule.next(Refreshed::Badly, now(), 0)).collect();
        assert_eq!(seconds(&waits), [60, 120, 240, 480, 960, 1920, 1920, 1920]);
        assert_eq!(schedule.failures(), 8);
        assert_eq!(schedule.next(Refreshed::Well(None), now(), 0), 32 * MINUTE);
        assert_eq!(schedule.next(Refreshed::Badly, now(), 0), MINUTE);
    }

    #[test]
    fn the_longest_interval_can_be_stretched() {
        let mut schedule = Schedule::new(Duration::MAX, 1.0);
        assert_eq!(schedule.next(Refreshed::Well(None), now(), u64::MAX), Duration::MAX);
        assert!(schedule.next(Refreshed::Badly, now(), u64::MAX) > 1000 * MINUTE);
    }

    #[test]
    fn it_wakes_before_what_is_trusted_expires() {
        let mut schedule = Schedule::new(32 * MINUTE, 0.0);
        let mut in_minutes = |minutes| {
            let expires = now() + chrono::TimeDelta::minutes(minutes);
            seconds(&[schedule.next(Refreshed::Well(Some(expires)), now(), MIDDLE)])[0]
        };
        assert_eq!(in_minutes(600), 1920);
        assert_eq!(in_minutes(20), 600);
        // Not ever more often where the next version is late.
        assert_eq!(in_minutes(1), 60);
        assert_eq!(in_minutes(-5), 60);
    }

    #[test]
    fn jitter_reaches_both_ends() {
        let mut schedule = Schedule::new(100 * MINUTE, 0.1);
        let waits = [0, MIDDLE, u64::MAX].map(|random| schedule.next(Refreshed::Well(None), now(), random));
        assert_eq!(seconds(&waits), [90 * 60, 100 * 60, 110 * 60]);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_too_short_or_too_long(
            interval in 0_u64..10_000_000,
            jitter in any::<f64>(),
            outcomes in proptest::collection::vec((any::<bool>(), any::<u64>(), -1_000_000_i64..1_000_000), 1..40),
        ) {
            let mut schedule = Schedule::new(Duration::from_millis(interval), jitter);
            let longest = Duration::from_millis(interval).max(Schedule::LEAST) * 2 + Duration::from_millis(1);
            for (well, random, left) in outcomes {
                let expires = now() + chrono::TimeDelta::seconds(left);
                let refreshed = if well { Refreshed::Well(Some(expires)) } else { Refreshed::Badly };
                let wait = schedule.next(refreshed, now(), random);
                prop_assert!(wait >= Schedule::LEAST && wait <= longest, "{wait:?}");
                prop_assert_eq!(schedule.failures() == 0, well);
            }
        }
    }
}
