//! When each role must be signed again, with time for people to come together.
//!
//! A deadline follows from what is signed and from `trustroot.toml`. How long past events took comes from files that
//! anybody may have written, so it only ever moves a deadline forward, and by half of what is left for it at most.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};

use super::{CeremonyError, SigningEvent};
use crate::metadata::{RoleName, Version};
use crate::repository::{Policy, SignedState, WorkingCopy};

/// How long the signing events of a role took that lie in a working copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// How many events tell it.
    pub events: usize,
    /// How long the longest took, from the first moment that its files tell to the last.
    pub longest: Duration,
}

impl Pace {
    /// How long the events took in which each role was signed and that tell two moments. A role of which none does is
    /// absent.
    ///
    /// # Errors
    /// When the events cannot be read. One that is broken is passed over: it tells nothing.
    pub fn of_roles(
        copy: &WorkingCopy,
        signed: &SignedState,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<RoleName, Self>, CeremonyError> {
        let policies: BTreeMap<RoleName, Policy> = copy.config().policies().into_iter().collect();
        let mut paces: BTreeMap<RoleName, Self> = BTreeMap::new();
        for name in SigningEvent::names(copy)? {
            let Ok(event) = SigningEvent::open(copy, &name) else { continue };
            let Some(policy) = policies.get(&event.role) else { continue };
            // One that is not over yet says nothing about how long it will take.
            let over = signed.versions(&event.role)?.last().is_some_and(|last| event.version <= *last);
            let Some(took) = event.took(policy, now).filter(|_| over) else { continue };
            let pace = paces.entry(event.role).or_insert(Self { events: 0, longest: took });
            *pace = Self { events: pace.events + 1, longest: pace.longest.max(took) };
        }
        Ok(paces)
    }
}

impl SigningEvent {
    /// From the first moment that the event's files tell to the last; `None` where they tell fewer than two, or less than an
    /// hour: nobody had to be waited for.
    fn took(&self, policy: &Policy, now: DateTime<Utc>) -> Option<Duration> {
        let moments = self.moments(policy, now);
        let (first, last) = (moments.first()?, moments.last()?);
        Some(*last - *first).filter(|took| *took >= Duration::hours(1))
    }

    /// Every moment before `now` at which something happened in this event, as its files tell. Any of them may be made up:
    /// when each step was recorded, up to the last before publishing, and when a payload was withdrawn. In an event without
    /// records also when each payload was proposed, which follows from its expiry under today's policy.
    fn moments(&self, policy: &Policy, now: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
        let recorded = self.recorded_moments();
        let period = Duration::days(policy.expires_after_days.into());
        let payloads =
            self.every_payload().filter(|_| recorded.is_empty()).filter_map(|payload| payload.expires().ok());
        let proposed = payloads.filter_map(|expires| expires.time().checked_sub_signed(period));
        let withdrawn = self.withdrawn.iter().filter_map(|withdrawn| DateTime::parse_from_rfc3339(&withdrawn.at).ok());
        let moments = proposed.chain(withdrawn.map(|at| at.to_utc())).chain(recorded.iter().copied());
        moments.filter(|moment| *moment <= now).collect()
    }
}

/// How urgent it is to sign a role again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Urgency {
    /// Its signing window has not opened.
    Later,
    /// Its signing window is open.
    Due,
    /// Less time is left than the longest past event took.
    Late,
    /// Clients refuse it.
    Expired,
}

/// When a role that has been signed must be signed again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadline {
    /// The role.
    pub role: RoleName,
    /// The version that is signed.
    pub version: Version,
    /// When clients begin to refuse it.
    pub expires: DateTime<Utc>,
    /// When the signing window opens by the configuration: `sign-within-days` before it expires.
    window: DateTime<Utc>,
    /// How long past events of the role took.
    pub pace: Option<Pace>,
    /// Longest time that past events may ask for.
    longest: Duration,
}

impl Deadline {
    /// The deadline of a version that expires at `expires`.
    pub fn new(role: &RoleName, version: Version, expires: DateTime<Utc>, policy: &Policy, pace: Option<Pace>) -> Self {
        let days = |days: u32| Duration::days(days.into());
        Self {
            role: role.clone(),
            version,
            expires,
            window: earlier(expires, days(policy.sign_within_days)),
            pace,
            longest: days(policy.expires_after_days) / 2,
        }
    }

    /// The last moment at which an event should begin, twice as long before the expiry as the longest one took: `None`
    /// where no past event tells.
    pub fn start_by(&self) -> Option<DateTime<Utc>> {
        self.needed().map(|needed| earlier(self.expires, needed * 2))
    }

    /// How long an event is taken to need. A time that somebody made up may be very long.
    fn needed(&self) -> Option<Duration> {
        self.pace.map(|pace| pace.longest.min(self.longest / 2))
    }

    /// When the signing window opens: by the configuration, or before that where past events took long.
    pub fn due(&self) -> DateTime<Utc> {
        self.start_by().map_or(self.window, |start_by| start_by.min(self.window))
    }

    /// How urgent it is at `now`.
    pub fn urgency(&self, now: DateTime<Utc>) -> Urgency {
        if self.expires <= now {
            Urgency::Expired
        } else if self.needed().is_some_and(|needed| self.expires - now < needed) {
            Urgency::Late
        } else if self.due() <= now {
            Urgency::Due
        } else {
            Urgency::Later
        }
    }
}

/// A time before another, or the earliest that there is.
fn earlier(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    time.checked_sub_signed(by).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(expires_after_days: u32, sign_within_days: u32) -> Policy {
        let signers = Vec::new();
        Policy { signers, threshold: 1, family_thresholds: None, expires_after_days, sign_within_days }
    }

    fn deadline(pace: Option<Duration>) -> Deadline {
        let expires = "2027-03-01T12:00:00Z".parse().unwrap();
        let pace = pace.map(|longest| Pace { events: 3, longest });
        Deadline::new(&RoleName::Root, Version::new(1).unwrap(), expires, &policy(365, 60), pace)
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_role_is_due_in_its_window_and_late_when_past_events_took_longer_than_is_left() {
        let deadline = deadline(Some(Duration::days(9)));
        assert_eq!(deadline.due(), at("2026-12-31T12:00:00Z"));
        assert_eq!(deadline.start_by(), Some(at("2027-02-11T12:00:00Z")));
        for (now, urgency) in [
            ("2026-12-31T11:59:59Z", Urgency::Later),
            ("2026-12-31T12:00:00Z", Urgency::Due),
            ("2027-02-20T12:00:00Z", Urgency::Due),
            ("2027-02-20T12:00:01Z", Urgency::Late),
            ("2027-03-01T11:59:59Z", Urgency::Late),
            ("2027-03-01T12:00:00Z", Urgency::Expired),
        ] {
            assert_eq!(deadline.urgency(at(now)), urgency, "{now}");
        }
    }

    #[test]
    fn events_that_take_long_open_the_window_earlier_and_a_time_that_was_made_up_no_earlier_than_half_way() {
        assert_eq!(deadline(Some(Duration::days(40))).due(), at("2026-12-11T12:00:00Z"));
        for days in [92, 400, 36_500_000] {
            assert_eq!(deadline(Some(Duration::days(days))).due(), at("2026-08-31T00:00:00Z"), "{days}");
        }
        // What was made up the other way changes nothing.
        assert_eq!(deadline(Some(Duration::seconds(1))).due(), deadline(None).due());
        assert_eq!(deadline(None).start_by(), None);
    }

    #[test]
    fn an_expiry_at_either_end_of_time_is_no_panic() {
        for expires in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let pace = Some(Pace { events: 1, longest: Duration::MAX });
            let deadline = Deadline::new(&RoleName::Root, Version::new(1).unwrap(), expires, &policy(3660, 1), pace);
            assert!(deadline.due() <= expires);
        }
    }
}
