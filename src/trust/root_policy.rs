//! What a client asks of roots beyond what TUF asks: from a date on, that a post-quantum key has agreed to each.
//!
//! Who can compute classical secret keys from public ones can sign a next root with all the classical keys of the
//! trusted one, and list any keys in it, post-quantum ones of their own included. So what counts is a signature by a key
//! of the root *before*; the signature under the new root itself shows that clients can go on from there.

use chrono::{DateTime, Utc};

use super::threshold::{Authority, tally};
use super::{Refusal, UpdateStart};
use crate::crypto::KeyFamily;
use crate::metadata::{Envelope, RoleName, Root};

/// What is asked of roots beyond their thresholds. The default asks nothing.
///
/// TUF cannot express it, so that clients of other makes, and those where it is not set, do not enforce it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootPolicy {
    /// From when on a root is refused unless a post-quantum key signed it: one of the root before it and one of its own.
    pub post_quantum_from: Option<DateTime<Utc>>,
}

impl RootPolicy {
    /// Refuses roots whose valid signatures are all classical, in updates that start at `from` or later.
    ///
    /// The root that trust starts from must list a post-quantum key: where it does not, nothing that follows it can be
    /// told from a forgery, and nothing is accepted. It must also carry a post-quantum signature while it is the newest.
    pub fn post_quantum_from(from: DateTime<Utc>) -> Self {
        Self { post_quantum_from: Some(from) }
    }

    /// Judges the signatures of `root` by its own keys.
    ///
    /// # Errors
    /// [`Refusal::ClassicalOnly`].
    pub(super) fn check_own(self, start: UpdateStart, envelope: &Envelope, root: &Root) -> Result<(), Refusal> {
        self.check(start, envelope, root, None)
    }

    /// Judges the signatures of `offered` by the keys of the root before it, and by its own.
    ///
    /// # Errors
    /// [`Refusal::ClassicalOnly`].
    pub(super) fn check_step(
        self,
        start: UpdateStart,
        envelope: &Envelope,
        before: &Root,
        offered: &Root,
    ) -> Result<(), Refusal> {
        self.check(start, envelope, offered, Some(before))?;
        self.check_own(start, envelope, offered)
    }

    fn check(
        self,
        start: UpdateStart,
        envelope: &Envelope,
        offered: &Root,
        before: Option<&Root>,
    ) -> Result<(), Refusal> {
        let Some(from) = self.post_quantum_from.filter(|from| start.time() >= *from) else { return Ok(()) };
        let authority =
            Authority::of_root(before.unwrap_or(offered), &RoleName::Root).expect("every root has a root role");
        let tally = tally(envelope, authority);
        if tally.counted_of(KeyFamily::PostQuantum) > 0 {
            return Ok(());
        }
        let before = before.map(|before| before.version);
        let can_check = KeyFamily::PostQuantum.is_supported();
        Err(Refusal::ClassicalOnly { version: offered.version, before, from, can_check, tally })
    }
}
