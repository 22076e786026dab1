//! Choices that weaken a check, in one place, so that a reviewer finds them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
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

/// That a verified index may stand beside what a [`super::LocalCache`] keeps of large targets documents and of the chain of
/// roots, so that a look-up need not verify all of a document again, nor each root, that was verified before: see
/// [`super::LocalCache::indexed`].
///
/// Whoever can write to the cache can then make a client trust any target, and any root. So it is for where they could as well replace
/// the root that the client is given, and for nowhere else: not under a root that is part of the program, and not under one
/// that another user pinned. Before anything is read or written, the cache sees whether it is still so: the directory of
/// the pin, that of the cache and each file must have one owner, and nobody else may write to any of them: no group either,
/// so that under a umask of 002 nothing is indexed. An index that was carried here with its cache, as those of build services
/// are, is not used.
///
/// Where the system has no such owners and permissions, nothing is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIndex {
    pin_directory: PathBuf,
}

impl VerifiedIndex {
    /// For a cache that is as well protected as `pin_directory`, from which the client takes its root.
    pub fn where_cache_is_protected_like(pin_directory: impl Into<PathBuf>) -> Self {
        Self { pin_directory: pin_directory.into() }
    }

    /// The directory from which the client takes its root.
    pub(super) fn pin_directory(&self) -> &Path {
        &self.pin_directory
    }
}

/// A file of a [`super::Store`], open for reading parts of it. Who makes one says of it what [`VerifiedIndex`] says of a
/// cache.
pub trait GuardedFile: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    fn length(&self) -> u64;

    /// What tells this file from one that was written later, and from a copy of it: nobody can have known it before the
    /// file was written.
    fn identity(&self) -> &str;

    /// Reads `length` bytes that begin at `offset`.
    ///
    /// # Errors
    /// When there are not so many, or they cannot be read.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}
