//! Choices that weaken a check, in one place, so that a reviewer finds them.

use std::time::Duration;

/// For how long metadata that has expired is still used where no mirror can be reached.
///
/// Whoever can keep a client from the repository can hold it on what it has for this much longer: revoked keys stay
/// trusted. The update says that it did so: see [`super::Freshness::expired`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiredGrace(Duration);

impl ExpiredGrace {
    /// Accepts metadata for this long after it has expired.
    pub fn accepting(grace: Duration) -> Self {
        Self(grace)
    }

    /// For how long.
    pub fn duration(self) -> Duration {
        self.0
    }
}
