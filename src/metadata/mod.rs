//! TUF documents as data. Parsing never implies trust.
//!
//! What the files of a repository say, field by field (TUF specification section 4), with unknown fields kept.
//! Nothing here checks a signature, a date or a version against another: that is [`crate::trust`].

mod already_canonical;
pub mod canonical_json;
mod delegations;
mod entry_windows;
mod envelope;
mod fields;
mod hashes;
mod key;
mod meta_file;
mod occasion;
mod role;
mod root;
mod snapshot;
mod target_file;
mod target_path;
mod targets;
mod timestamp;

pub use delegations::{
    DelegatedRoles, Delegation, DelegationRule, Delegations, PathRule, SuccinctBins, matches_pattern,
};
pub use entry_windows::{EntryWindow, EntryWindows, TargetsOutline};
pub use envelope::{Envelope, Signature, SignatureMap, SignedBytes};
pub use fields::{FormatError, Unrecognized};
pub use hashes::{HashAlgorithm, Hashes};
pub use key::{KeyId, PublicKey};
pub use meta_file::MetaFile;
pub use occasion::Occasion;
pub use role::{EncodedName, Expires, RoleKeys, RoleName, SpecVersion, Threshold, Version};
pub use root::Root;
pub use snapshot::Snapshot;
pub use target_file::TargetFile;
pub use target_path::{TargetPath, TargetPathError};
pub use targets::Targets;
pub use timestamp::Timestamp;

use canonical_json::Json;

/// A kind of signed document, as the field `_type` names it.
///
/// Delegated targets are [`Targets`] too.
pub trait Document: Sized + Sealed {
    /// The value of `_type`.
    const TYPE: &'static str;

    /// Reads the document from the canonical bytes of the `signed` value.
    ///
    /// # Errors
    /// When a field that the specification requires is absent or has the wrong shape.
    fn from_signed(signed: &SignedBytes) -> Result<Self, FormatError>;

    /// The version that the document gives itself.
    fn version(&self) -> Version;

    /// When the document expires.
    fn expires(&self) -> &Expires;

    /// Writes the document back, unknown fields included: the inverse of [`Document::from_signed`].
    fn to_json(&self) -> Json;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Root {}
    impl Sealed for super::Timestamp {}
    impl Sealed for super::Snapshot {}
    impl Sealed for super::Targets {}
}
use sealed::Sealed;
