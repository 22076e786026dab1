//! Why a working copy cannot be read or changed.

use std::io;
use std::path::PathBuf;

use crate::fs::Link;
use crate::metadata::{Occasion, RoleName, Version};
use crate::printable::{Printable, PrintableLines};
use crate::trust::Refusal;

/// Why a working copy cannot be read or changed. Nothing has been written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// There is no working copy.
    #[error("`{}` is not the working copy of a trust root: it has no {}", Printable(&.directory.to_string_lossy()), super::CONFIG_FILE)]
    NoWorkingCopy {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A file that people write says something that cannot be.
    #[error("{}: {}", PrintableLines(.at), PrintableLines(.problem))]
    Configuration {
        /// The file, and the place in it.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Io(io::Error),
    /// A symbolic link lies below the working copy, where what it leads to is somebody else's.
    #[error("`{}` is a symbolic link, or leads out of the working copy: below it none is followed", Printable(&.path.to_string_lossy()))]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// What lies in the working copy as signed does not follow from its first root.
    #[error("the signed metadata in the working copy cannot be trusted: {0}")]
    Refused(Box<Refusal>),
    /// The role is not one of this repository.
    #[error("there is no role {role}")]
    UnknownRole {
        /// The role.
        role: RoleName,
    },
    /// A role cannot be proposed or signed before another one is.
    #[error("{role} cannot be proposed before {before} is signed")]
    NotYet {
        /// The role.
        role: RoleName,
        /// What must come first.
        before: RoleName,
    },
    /// The newest version there can be has been signed: no other can follow.
    #[error("{role} {version} cannot be followed by another version")]
    LastVersion {
        /// The role.
        role: RoleName,
        /// Its version.
        version: Version,
    },
    /// A document does not pass the rules for builders, verifiers or the catalog.
    #[error("{}: {}", PrintableLines(.at), PrintableLines(.problem))]
    Document {
        /// The file.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// A key whose secret half is public is listed outside a trial.
    #[error("{} holds the throwaway key `{key}` of keys.example, whose secret half is public", Printable(.holder))]
    ExampleKey {
        /// Who holds it.
        holder: String,
        /// What it is called.
        key: &'static str,
    },
    /// A key of a rehearsal where signatures are meant, or a real one in a rehearsal.
    #[error("{}", match .occasion {
        Occasion::Real => format!("{} holds a key that was made for a rehearsal", Printable(.holder)),
        Occasion::Rehearsal => format!("{} holds a key of the real repository, and this is a rehearsal", Printable(.holder)),
    })]
    OtherOccasion {
        /// Who holds it.
        holder: String,
        /// What the working copy is for.
        occasion: Occasion,
    },
}

impl RepositoryError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoWorkingCopy { .. } => "no-working-copy",
            Self::Configuration { .. } => "configuration",
            Self::Io(_) => "io",
            Self::Link { .. } => "symbolic-link",
            Self::Refused(refusal) => refusal.code(),
            Self::UnknownRole { .. } => "unknown-role",
            Self::NotYet { .. } => "not-yet",
            Self::LastVersion { .. } => "last-version",
            Self::Document { .. } => "document",
            Self::ExampleKey { .. } => "example-key",
            Self::OtherOccasion { .. } => "key-of-another-occasion",
        }
    }

    pub(crate) fn configuration(at: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Configuration { at: at.into(), problem: problem.into() }
    }
}

impl From<io::Error> for RepositoryError {
    fn from(error: io::Error) -> Self {
        match Link::of(&error) {
            Some(Link(path)) => Self::Link { path: path.clone() },
            None => Self::Io(error),
        }
    }
}

impl From<Refusal> for RepositoryError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
