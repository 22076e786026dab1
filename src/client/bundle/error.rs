//! Why a bundle could not be read or written.

use std::io;

use crate::client::{LookupError, UpdateError};
use crate::metadata::TargetPath;
use crate::printable::Printable;
use crate::trust::Refusal;

/// Why a bundle could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is not a bundle, or not one that is taken.
    #[error("this is not a bundle that is taken: {}", Printable(.problem))]
    Malformed {
        /// What is wrong with it. It may quote the file, and is escaped when displayed.
        problem: String,
    },
    /// A file in the bundle does not have the digest that the bundle itself gives.
    #[error("the bundle is damaged: `{}` does not have the digest that is listed for it", Printable(.name))]
    Damaged {
        /// The file in the bundle.
        name: String,
    },
    /// No trusted role names a target that was to be exported.
    #[error("no trusted role names the target {path}")]
    NoSuchTarget {
        /// The target.
        path: TargetPath,
    },
    /// The root that the bundle was to start from does not lead to the one that is pinned here.
    #[error("the root to start from does not lead to the pinned one{}", because(.reason.as_deref()))]
    UnrelatedRoot {
        /// What was refused on the way from one to the other, if that is why.
        reason: Option<Box<Refusal>>,
    },
    /// What is kept changed while it was exported.
    #[error("what is kept changed while it was exported")]
    Changed,
    /// A question could not be answered.
    #[error(transparent)]
    Lookup(Box<LookupError>),
}

fn because(reason: Option<&Refusal>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

impl From<LookupError> for BundleError {
    fn from(error: LookupError) -> Self {
        Self::Lookup(Box::new(error))
    }
}

impl From<UpdateError> for BundleError {
    fn from(error: UpdateError) -> Self {
        LookupError::from(error).into()
    }
}

impl BundleError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::Malformed { .. } => "malformed-bundle",
            Self::Damaged { .. } => "damaged-bundle",
            Self::NoSuchTarget { .. } => "no-such-target",
            Self::UnrelatedRoot { .. } => "unrelated-root",
            Self::Changed => "export-overtaken",
            Self::Lookup(error) => error.code(),
        }
    }

    pub(super) fn malformed(problem: impl Into<String>) -> Self {
        Self::Malformed { problem: problem.into() }
    }
}
