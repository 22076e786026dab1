//! The builder map: from builder ID to keys and SLSA Build level. Pure: no I/O, no clock.
//!
//! TUF carries the map as target content (`docs/formats.md`). Top-level `targets` signs the [`Catalog`]: who may vouch for
//! which IDs, and up to which level. Each namespace signs a document for each [`Builder`] and [`Verifier`]. A
//! [`Registry`] joins the two: it hands out a document only if the role that the catalog names answered for it, and
//! everything that the catalog says about it holds.
//!
//! Nothing here checks a signature of an attestation: that is [`crate::verify`].

mod build_level;
mod builder;
mod builder_id;
mod catalog;
mod changes;
mod document;
mod level;
mod namespace;
mod public_key;
mod registry;
mod succession;
#[cfg(test)]
mod testing;

pub use build_level::BuildLevel;
pub use builder::{
    BUILDER_MEDIA_TYPE, BuildTypeScope, Builder, DisabledSigner, EnvelopeKind, Evidence, FulcioSigner, IdBinding,
    KeySigner, MAX_QUALIFICATIONS, MAX_SCOPES, MAX_SIGNERS, Proof, Qualification, Scopes, SignatureEncoding, Signer,
    SignerMethod, VERIFIER_MEDIA_TYPE, Verifier,
};
pub use builder_id::{BuilderId, IdError, IdGrant, MAX_ID_BYTES, ResourceGrant, check_resource};
pub use catalog::{
    CATALOG_MEDIA_TYPE, Cap, Catalog, Denied, Grants, MAX_DENIALS, MAX_GRANTS, MAX_NAMESPACES, NamespaceEntry,
};
pub use changes::{builder_changes, catalog_changes, verifier_changes};
pub use document::{DocumentError, Glob, MAX_DOCUMENT_BYTES, Revocation, Status};
pub use level::{EffectiveLevel, cap_at, effective_level, qualification_at};
pub use namespace::{
    CATALOG_PATH, NameError, Namespace, Realm, builder_path, catalog_path, namespace_patterns, verifier_path,
};
pub(crate) use public_key::PublicKeyJson;
pub use public_key::{DisabledKey, TimedKey, ValidFor, key_details};
pub use registry::{Answer, Found, MapDocument, Registry, RegistryError, Search, Source, Wanted};
pub use succession::{
    builder_against_catalog, builder_succession, catalog_succession, verifier_against_catalog, verifier_succession,
};
