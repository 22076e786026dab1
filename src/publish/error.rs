//! Why nothing was published.

use std::io;

use crate::client::UpdateError;
use crate::metadata::{RoleName, Version};
use crate::printable::Printable;
use crate::repository::{FamilyCount, RepositoryError};
use crate::signers::SignerError;
use crate::trust::{Refusal, Tally};

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The working copy cannot be used.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(io::Error),
    /// A role has to be signed first.
    #[error("{role} is not signed yet")]
    NotSigned {
        /// The role.
        role: RoleName,
    },
    /// The keys of a role have changed since it was signed.
    #[error("{role} {version} is not signed by the keys that may sign it today")]
    SignAgain {
        /// The role.
        role: RoleName,
        /// Its newest version.
        version: Version,
    },
    /// A document breaks rules that its ceremony would have refused: it was put there by hand.
    #[error("{role} {version} breaks a rule: {}", crate::printable::PrintableLines(&.problems.join("; ")))]
    BreaksRules {
        /// The role.
        role: RoleName,
        /// Its version.
        version: Version,
        /// What is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// Enough keys have signed, but too few of one family.
    #[error(
        "{role} {version} is signed by {} of the {} {} keys it needs under {by}",
        .count.counted, .count.needed, .count.family,
    )]
    TooFewOfFamily {
        /// The role.
        role: RoleName,
        /// Its version.
        version: Version,
        /// Who asks for them.
        by: String,
        /// The family, and who signed.
        count: FamilyCount,
    },
    /// The keys at hand do not suffice for an online role.
    #[error("{role} needs {} signatures, and the keys at hand give {}", .tally.needed, .tally.counted)]
    OnlineKeys {
        /// The role.
        role: RoleName,
        /// Who signed.
        tally: Tally,
    },
    /// More signatures than fit into what clients read.
    #[error("{role} {version} would have {length} bytes, and clients read {limit}; give fewer of the online keys")]
    TooLong {
        /// The role.
        role: RoleName,
        /// The version that was signed.
        version: Version,
        /// How long it would be.
        length: usize,
        /// What clients read.
        limit: usize,
    },
    /// A key could not sign.
    #[error("a key could not sign: {0}")]
    Signing(#[from] SignerError),
    /// The directory holds another repository, or one that has been tampered with.
    #[error("what is published in the directory does not belong to this repository: {0}")]
    Foreign(Box<Refusal>),
    /// A client would refuse the result.
    #[error("a client that starts from {from} would refuse the result: {source}")]
    Refused {
        /// Where the client starts.
        from: String,
        /// Why.
        source: Box<UpdateError>,
    },
    /// A client would not get what was signed.
    #[error("a client that starts from {from} would not find {what}")]
    NotFound {
        /// Where the client starts.
        from: String,
        /// What it looks for.
        what: String,
    },
    /// Somebody else published between the plan and the write.
    #[error("somebody else has published meanwhile")]
    Overtaken,
    /// The destination is a working copy.
    #[error("`{}` is a working copy, not a directory to publish to", Printable(&.directory.to_string_lossy()))]
    WorkingCopy {
        /// The directory.
        directory: std::path::PathBuf,
    },
    /// The working copy is a rehearsal: no client would take what is signed there.
    #[error("this is a rehearsal: what is signed in it is not published")]
    Rehearsal,
    /// A name that never changes its content is taken by something else.
    #[error("`{}` is published already with another content", Printable(.name))]
    Conflict {
        /// The name.
        name: String,
    },
}

impl PublishError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Repository(error) => error.code(),
            Self::Io(_) => "io",
            Self::NotSigned { .. } => "not-signed",
            Self::SignAgain { .. } => "sign-again",
            Self::BreaksRules { .. } => "breaks-rules",
            Self::TooFewOfFamily { .. } => "too-few-of-family",
            Self::OnlineKeys { .. } => "online-keys",
            Self::TooLong { .. } => "timestamp-too-long",
            Self::Signing(error) => error.code(),
            Self::Foreign(_) => "foreign-repository",
            Self::Refused { .. } => "clients-would-refuse",
            Self::NotFound { .. } => "clients-would-not-find",
            Self::Overtaken => "overtaken",
            Self::WorkingCopy { .. } => "working-copy",
            Self::Rehearsal => "rehearsal",
            Self::Conflict { .. } => "conflict",
        }
    }

    /// Whether it is a no, as opposed to a file that could not be read or written.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Io(_) => false,
            Self::Repository(error) => !matches!(error, RepositoryError::Io(_)),
            Self::Refused { source, .. } => source.is_refusal(),
            Self::Signing(error) => error.is_refusal(),
            _ => true,
        }
    }
}

impl From<io::Error> for PublishError {
    fn from(error: io::Error) -> Self {
        // Which tells the kinds of them apart.
        match RepositoryError::from(error) {
            RepositoryError::Io(error) => Self::Io(error),
            error => Self::Repository(error),
        }
    }
}
