//! The maintainer's working copy: the reviewed configuration, the builders as people write them, and the metadata
//! that has been signed so far.
//!
//! ```text
//! trustroot.toml        who holds keys, who signs which role, namespaces and what is granted to them
//! keys/*.pub            public keys
//! builders/<namespace>/<name>.toml, verifiers/<namespace>/<name>.toml
//! targets/              any other files to distribute, under the same path
//! invitations/          who was invited to hold keys, and how they answered
//! rehearsals/           which keys were made for rehearsals of it
//! delegated/<role>/     files that a delegated role names which is no namespace
//! signing-events/       proposals and the signatures collected for them
//! repository/           what has been signed, laid out as it will be published
//! ```
//!
//! Nothing in it is trusted because it lies there: what has been signed is verified from the first root on each time
//! it is read ([`WorkingCopy::signed`]), and what is only proposed is judged by people in a signing event.

mod advice;
mod config;
mod document;
mod error;
mod family_thresholds;
pub mod import;
mod linked;
mod lint;
mod people;
mod proposal;
mod rehearsal;
mod rules;
mod signed;
mod strays;
mod witnesses;
mod working_copy;

pub use advice::{Improvement, improvements};
pub use config::{
    CeremonyConfig, Config, DelegationConfig, LinkedRepository, NamespaceConfig, Person, Policy, Roles, RsaScheme,
};
pub use document::{BuilderFile, KeyEntry, NamespaceFile};
pub use error::RepositoryError;
pub use family_thresholds::{FAMILY_THRESHOLDS, FamilyCount, FamilyThresholds};
pub use linked::{Link, links};
pub(crate) use lint::holds_private_key;
pub use proposal::Proposal;
pub(crate) use proposal::{SPEC_VERSION, expiry};
pub use rehearsal::Rehearsal;
pub(crate) use rehearsal::mark;
pub use rules::Keys;
pub(crate) use rules::{Moment, Offered, judge, same_name};
pub use signed::{SignedRole, SignedState, file_name};
pub(crate) use signed::{delegated_roles, target_names};
pub use witnesses::{WITNESSES, Witnesses};
pub use working_copy::{CONFIG_FILE, HeldKey, SIGNED_DIRECTORY, WorkingCopy, evidence_name};
