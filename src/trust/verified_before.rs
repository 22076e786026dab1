//! What an earlier update verified, and on what basis, so that the same need not be verified again.

use std::fmt;

use super::Authority;
use crate::crypto::sha256;
use crate::metadata::canonical_json::Json;
use crate::metadata::{MetaFile, Targets};

/// All that the verification of a targets document rested on besides its bytes: the keys and threshold of the role, what
/// the snapshot says of the file, and the program that verified it.
///
/// On another basis the same bytes may be refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Basis(String);

impl Basis {
    pub(super) fn of(authority: Authority<'_>, wanted: &MetaFile) -> Self {
        Self::of_parts([("authority", authority.to_json()), ("meta", wanted.to_json())])
    }

    /// Of a root that a chain leads to from another root, which was trusted: both to the byte.
    pub(crate) fn of_chain(from: &[u8], to: &[u8]) -> Self {
        let digest = |root| Json::from(hex::encode(sha256(root)).as_str());
        Self::of_parts([("from", digest(from)), ("to", digest(to))])
    }

    fn of_parts<const N: usize>(parts: [(&str, Json); N]) -> Self {
        // Another version of this program may see more.
        let program = ("program", Json::from(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"))));
        let parts = parts.into_iter().chain([program]).map(|(name, part)| (name.to_owned(), part)).collect();
        Self(hex::encode(sha256(&Json::Object(parts).to_canonical())))
    }

    /// A basis as it was noted.
    pub(crate) fn noted(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A chain of roots of which somebody says that it was verified, from one root to another.
#[derive(Debug)]
pub(crate) struct ChainBefore {
    pub(super) basis: Basis,
}

impl ChainBefore {
    /// Takes somebody's word. It must be as good as the pinned root: see [`crate::client::danger`].
    pub(crate) fn on_their_word(basis: Basis) -> Self {
        Self { basis }
    }
}

/// A targets document of which somebody says that it was verified, and on what basis.
#[derive(Debug)]
pub(crate) struct VerifiedBefore {
    pub(super) basis: Basis,
    pub(super) targets: Targets,
}

impl VerifiedBefore {
    /// Takes somebody's word. It must be as good as the pinned root: see [`crate::client::danger`].
    pub(crate) fn on_their_word(basis: Basis, targets: Targets) -> Self {
        Self { basis, targets }
    }
}
