//! Why a repository was not taken over.

use std::io;
use std::path::PathBuf;

use crate::metadata::{RoleName, Version};
use crate::printable::{Printable, PrintableLines};
use crate::repository::RepositoryError;
use crate::trust::Refusal;

/// Why a repository was not taken over. Nothing has been written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The first root is another one than was asked for.
    #[error("the first root does not have the digest that you gave")]
    WrongRoot {
        /// The SHA-256 that was given.
        given: [u8; 32],
        /// The SHA-256 of what was found.
        found: [u8; 32],
    },
    /// A document does not follow from the first root.
    #[error("{0}")]
    Refused(#[from] Box<Refusal>),
    /// A file is missing that is needed.
    #[error("the source has no {}", Printable(.what))]
    Missing {
        /// Which one.
        what: String,
    },
    /// A file is another one than signed metadata names.
    #[error("{} is not what {} names: {problem}", Printable(.what), Printable(.by))]
    Mismatch {
        /// The file.
        what: String,
        /// The role that names it.
        by: String,
        /// What differs.
        problem: &'static str,
    },
    /// The source is older than what has been taken over before.
    #[error("{role} {offered} of the source is older than {here}, which is here already")]
    Older {
        /// The role.
        role: RoleName,
        /// The version that the source has.
        offered: Version,
        /// The version that is here.
        here: Version,
    },
    /// The source and the working copy have different files for one version.
    #[error("the source is not the repository that was taken over here, or its history has been replaced: another {}", Printable(.file))]
    Diverged {
        /// The file of which there are two.
        file: String,
    },
    /// What was taken over has been changed here, and there too.
    #[error("changed here, and in the source too: {}", PrintableLines(&.files.join(", ")))]
    ChangedHere {
        /// The files.
        files: Vec<String>,
    },
    /// There is something where the working copy should go.
    #[error("`{}` is there already, and not empty", Printable(&.directory.to_string_lossy()))]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
    },
    /// It has something that a working copy cannot hold unchanged.
    #[error("the repository cannot be taken over as it is: {}", PrintableLines(.problem))]
    CannotKeep {
        /// What.
        problem: String,
    },
    /// Beyond a limit on what is read.
    #[error("{what} is beyond the limit of {limit}")]
    TooMuch {
        /// What.
        what: &'static str,
        /// How much is read.
        limit: u64,
    },
    /// A file is longer than is read, or than signed metadata says.
    #[error("{} is longer than the {limit} bytes that it may have", Printable(.file))]
    TooLong {
        /// The file.
        file: String,
        /// How many bytes are read.
        limit: u64,
    },
    /// The working copy cannot be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ImportError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongRoot { .. } => "wrong-root",
            Self::Refused(refusal) => refusal.code(),
            Self::Missing { .. } => "source-incomplete",
            Self::Mismatch { .. } => "source-inconsistent",
            Self::Older { .. } => "rollback",
            Self::Diverged { .. } => "other-repository",
            Self::ChangedHere { .. } => "changed-here",
            Self::NotEmpty { .. } => "file-exists",
            Self::CannotKeep { .. } => "cannot-keep",
            Self::TooMuch { .. } | Self::TooLong { .. } => "source-too-large",
            Self::Repository(error) => error.code(),
            Self::Io(_) => "io",
        }
    }

    /// Whether the source was refused for what it says, rather than could not be read.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::WrongRoot { .. }
                | Self::Refused(_)
                | Self::Mismatch { .. }
                | Self::Older { .. }
                | Self::Diverged { .. }
                | Self::ChangedHere { .. }
                | Self::CannotKeep { .. }
                | Self::TooMuch { .. }
                | Self::TooLong { .. }
                | Self::Repository(RepositoryError::Refused(_))
        )
    }
}

impl From<Refusal> for ImportError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
