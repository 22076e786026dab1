//! Why something that a repository offered was refused.

use chrono::{DateTime, SecondsFormat, Utc};

use super::Tally;
use crate::metadata::{Expires, FormatError, HashAlgorithm, RoleName, Version};

/// Why a document offered by the repository was refused.
///
/// Values shown come from trusted metadata, or are numbers; text of a refused document is never shown raw.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The document does not have the shape of its type.
    #[error("{role} is malformed: {source}")]
    Malformed {
        /// The role.
        role: RoleName,
        /// What is wrong with it.
        source: FormatError,
    },
    /// Too few of the role's keys signed.
    #[error(
        "{role}{} is signed by {} of the {} key{} it needs",
        .version.map(|version| format!(" {version}")).unwrap_or_default(),
        .tally.counted,
        .tally.needed,
        if .tally.needed == 1 { "" } else { "s" },
    )]
    TooFewSignatures {
        /// The role.
        role: RoleName,
        /// The version that trusted metadata asks for, where it does.
        version: Option<Version>,
        /// Who signed.
        tally: Tally,
    },
    /// A root without a valid post-quantum signature, where [`RootPolicy`](super::RootPolicy) asks for one.
    #[error(
        "root {version} has no valid post-quantum signature by {}, and needs one from {} on{}",
        .before.map_or("a key of its own".to_owned(), |before| format!("a key of root {before}")),
        .from.to_rfc3339_opts(SecondsFormat::Secs, true),
        if *.can_check { "" } else { "; this build cannot check such signatures" },
    )]
    ClassicalOnly {
        /// The version that the root gives itself. A threshold of the trusted keys signed it.
        version: Version,
        /// The root before it, where its keys are meant; else they are its own.
        before: Option<Version>,
        /// From when on it needs one.
        from: DateTime<Utc>,
        /// Whether this build can check such signatures.
        can_check: bool,
        /// Who signed.
        tally: Tally,
    },
    /// The document is older than one that is already trusted (a rollback).
    #[error("{role} {offered} is older than {trusted}, which is already trusted")]
    Rollback {
        /// The role.
        role: RoleName,
        /// The version offered.
        offered: Version,
        /// The version trusted.
        trusted: Version,
    },
    /// A snapshot no longer lists a role that the trusted one lists (a rollback in disguise).
    #[error("snapshot {snapshot} no longer lists {role}, which the trusted snapshot lists")]
    RoleDropped {
        /// The role.
        role: RoleName,
        /// The version of the snapshot offered.
        snapshot: Version,
    },
    /// The document has another version than trusted metadata says.
    #[error("{role} has version {} where {} is expected", .offered.get(), .expected.get())]
    WrongVersion {
        /// The role.
        role: RoleName,
        /// The version offered.
        offered: Version,
        /// The version that trusted metadata names.
        expected: Version,
    },
    /// The document has expired (a freeze, or a maintainer who is late).
    #[error("{role} {version} expired at {expires}; the time taken is {}", .start.to_rfc3339_opts(SecondsFormat::Secs, true))]
    Expired {
        /// The role.
        role: RoleName,
        /// Its version.
        version: Version,
        /// When it expired.
        expires: Expires,
        /// The time at which the update started.
        start: DateTime<Utc>,
    },
    /// The file has another length than trusted metadata says.
    #[error("{role} {version} has {offered} bytes where {expected} are expected")]
    WrongLength {
        /// The role.
        role: RoleName,
        /// The version that trusted metadata names.
        version: Version,
        /// The length offered.
        offered: u64,
        /// The length that trusted metadata names.
        expected: u64,
    },
    /// The file has another hash than trusted metadata says.
    #[error("{role} {version} does not have the {algorithm} that trusted metadata names")]
    WrongHash {
        /// The role.
        role: RoleName,
        /// The version that trusted metadata names.
        version: Version,
        /// The hash that differs.
        algorithm: HashAlgorithm,
    },
    /// The snapshot does not list a role that is needed.
    #[error("{role} is delegated to, but the snapshot does not list it")]
    NotInSnapshot {
        /// The role.
        role: RoleName,
    },
    /// Trusted metadata names a file that is larger than we are willing to read.
    #[error("{role} has {length} bytes by trusted metadata; at most {limit} are read")]
    TooLarge {
        /// The role.
        role: RoleName,
        /// The length that trusted metadata names.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// More new roots than one update will walk.
    #[error("more than {limit} root versions in one update; run it again to go on from {reached}")]
    TooManyRoots {
        /// How many one update walks.
        limit: u32,
        /// The root that is trusted now.
        reached: Version,
    },
    /// A look-up visits more roles than allowed.
    #[error("the look-up needs more than {limit} delegated roles")]
    TooManyDelegations {
        /// How many roles one look-up visits.
        limit: usize,
    },
}

impl Refusal {
    /// The stable name of this kind of refusal, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::TooFewSignatures { .. } => "too-few-signatures",
            Self::ClassicalOnly { .. } => "classical-only",
            Self::Rollback { .. } => "rollback",
            Self::RoleDropped { .. } => "role-dropped",
            Self::WrongVersion { .. } => "wrong-version",
            Self::Expired { .. } => "expired",
            Self::WrongLength { .. } => "wrong-length",
            Self::WrongHash { .. } => "wrong-hash",
            Self::NotInSnapshot { .. } => "not-in-snapshot",
            Self::TooLarge { .. } => "too-large",
            Self::TooManyRoots { .. } => "too-many-roots",
            Self::TooManyDelegations { .. } => "too-many-delegations",
        }
    }

    /// The role whose document was refused, where one was.
    pub fn role(&self) -> Option<&RoleName> {
        match self {
            Self::Malformed { role, .. }
            | Self::TooFewSignatures { role, .. }
            | Self::Rollback { role, .. }
            | Self::RoleDropped { role, .. }
            | Self::WrongVersion { role, .. }
            | Self::Expired { role, .. }
            | Self::WrongLength { role, .. }
            | Self::WrongHash { role, .. }
            | Self::NotInSnapshot { role }
            | Self::TooLarge { role, .. } => Some(role),
            Self::ClassicalOnly { .. } | Self::TooManyRoots { .. } => Some(&RoleName::Root),
            Self::TooManyDelegations { .. } => None,
        }
    }

    /// Adds the version that trusted metadata asks for to a refusal for want of signatures.
    pub(super) fn of_version(self, wanted: Version) -> Self {
        match self {
            Self::TooFewSignatures { role, tally, .. } => Self::TooFewSignatures { role, version: Some(wanted), tally },
            other => other,
        }
    }
}
