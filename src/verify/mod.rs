//! Checks attestations with keys that TUF delivered. Pure: no I/O, no clock, no network.
//!
//! Two ways: with a plain list of keys ([`verify_with_keys`], below), or with the document of one builder or verifier
//! from the builder map ([`verify_with_builder`], [`verify_with_verifier`]), which also says what level is granted.
//!
//! The caller brings everything: the digests of the artifact, the attestation file, and, as target content that TUF
//! has verified, the keys (`keys.json` in npm's shape) and optionally the transparency logs (a Sigstore
//! `trusted_root.json`). What comes back is a [`Verdict`] that says what was proved, or a [`Denial`] that says why
//! not.
//!
//! The attestation file is attacker-controlled to the last byte. One attestation in it that was provably altered after
//! it was signed refuses the file. Otherwise an attestation passes when
//!
//! 1. a delivered key of the right usage signed its payload ([`dsse`]);
//! 2. the payload is an in-toto statement with the artifact among its subjects ([`Statement`]);
//! 3. the key was valid when it signed, by a time that a trusted log proves; or is valid now, and the verdict then
//!    says that the signing time is unknown ([`TrustedTime`]).

mod attestation_file;
mod builder_denial;
mod builder_verdict;
mod certificate;
pub mod dsse;
mod key_set;
mod provenance;
mod statement;
#[cfg(test)]
mod testing;
mod trusted_time;
mod verdict;

pub use crate::builders::{DisabledKey, TimedKey, ValidFor};
pub use crate::input::InputError;
pub use attestation_file::{MAX_ATTESTATIONS, MAX_FILE_BYTES, MAX_LOG_ENTRIES, MAX_SIGNATURES_IN_FILE, SkipReason};
pub use builder_denial::BuilderDenial;
pub use builder_verdict::{
    AcceptedBuild, BuildSigner, BuilderRequest, BuilderVerdict, RefusedBuild, VerifierRequest, verify_with_builder,
    verify_with_verifier,
};
pub use key_set::{DeliveredKey, KeySet, MAX_KEY_SET_BYTES, MAX_KEYS, NPM_ATTESTATIONS};
pub use provenance::{PROVENANCE_V0_1, PROVENANCE_V0_2, PROVENANCE_V1, SUMMARY_V0_2, SUMMARY_V1};
pub use statement::{ArtifactDigests, IN_TOTO_PAYLOAD_TYPE, MAX_STATEMENT_BYTES, Statement, Subject};
pub use trusted_time::{
    MAX_ENTRY_BYTES, MAX_LOGS, MAX_TRUSTED_ROOT_BYTES, NoTrustedTime, TransparencyLogs, TrustedTime,
};
pub use verdict::{Accepted, Denial, Refused, Request, Signer, Skipped, Verdict, verify_with_keys};
