//! What a working copy published last, as far as the online keys signed it: whether the job that publishes keeps up.

use super::PublishError;
use super::plan::remembered;
use crate::metadata::{Document, Envelope, Expires, RoleName, Snapshot, Timestamp, Version};
use crate::repository::{SignedState, WorkingCopy};
use crate::trust::{Authority, verify};

/// A document that the online keys signed when the working copy was published last.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OnlineRole {
    /// Its version.
    pub version: Version,
    /// When clients begin to refuse it; `None` where only the version is known.
    pub expires: Option<Expires>,
    /// Whether today's root vouches for it. After a change of the online keys it has to be published again.
    pub current: bool,
}

/// What was published last from a working copy.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LastPublished {
    /// `None` where nothing was ever published from this working copy.
    pub timestamp: Option<OnlineRole>,
    /// The snapshot that this timestamp names.
    pub snapshot: Option<OnlineRole>,
    /// The versions of roles that this snapshot names; `None` where the working copy has no such snapshot.
    roles: Option<Snapshot>,
}

impl LastPublished {
    /// Reads what a working copy remembers. Each document is verified: a root of the chain vouches for it.
    ///
    /// # Errors
    /// When a file cannot be read, or no root vouches for it.
    pub fn of(copy: &WorkingCopy, signed: &SignedState) -> Result<Self, PublishError> {
        let Some((timestamp, bytes)) = remembered::<Timestamp>(copy, signed, &RoleName::Timestamp)? else {
            return Ok(Self::default());
        };
        let named = timestamp.snapshot.version;
        let mut last =
            Self { timestamp: Some(online(&RoleName::Timestamp, &timestamp, &bytes, signed)), ..Self::default() };
        // A run that was interrupted may have remembered a newer one, which nobody has seen.
        if let Some((snapshot, bytes)) = remembered::<Snapshot>(copy, signed, &RoleName::Snapshot)?
            && snapshot.version == named
        {
            last.snapshot = Some(online(&RoleName::Snapshot, &snapshot, &bytes, signed));
            last.roles = Some(snapshot);
        }
        // Published by a release that remembered the timestamp alone, or interrupted.
        last.snapshot.get_or_insert(OnlineRole { version: named, expires: None, current: true });
        Ok(last)
    }

    /// Whether this version of a role was published; `None` where the working copy does not know.
    pub fn has(&self, role: &RoleName, version: Version) -> Option<bool> {
        let named = self.roles.as_ref()?.iter().find(|(name, _)| *name == role.meta_key());
        Some(named.is_some_and(|(_, there)| there.version >= version))
    }
}

fn online<T: Document>(role: &RoleName, document: &T, bytes: &[u8], signed: &SignedState) -> OnlineRole {
    let vouches = || {
        let authority = Authority::of_root(signed.root()?, role)?;
        verify::<T>(&Envelope::parse(bytes).ok()?, authority).ok()
    };
    OnlineRole { version: document.version(), expires: Some(document.expires().clone()), current: vouches().is_some() }
}
