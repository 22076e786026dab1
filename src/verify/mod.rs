//! Checks attestations with keys that TUF delivered. Pure: no I/O, no clock, no network.
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
mod certificate;
pub mod dsse;
mod key_set;
mod statement;
#[cfg(test)]
mod testing;
mod trusted_time;
mod verdict;

pub use crate::builders::{DisabledKey, TimedKey, ValidFor};
pub use crate::input::InputError;
pub use attestation_file::{MAX_ATTESTATIONS, MAX_FILE_BYTES, MAX_LOG_ENTRIES, MAX_SIGNATURES_IN_FILE, SkipReason};
pub use key_set::{DeliveredKey, KeySet, MAX_KEY_SET_BYTES, MAX_KEYS, NPM_ATTESTATIONS};
pub use statement::{ArtifactDigests, IN_TOTO_PAYLOAD_TYPE, MAX_STATEMENT_BYTES, Statement, Subject};
pub use trusted_time::{
    MAX_ENTRY_BYTES, MAX_LOGS, MAX_TRUSTED_ROOT_BYTES, NoTrustedTime, TransparencyLogs, TrustedTime,
};
pub use verdict::{Accepted, Denial, Refused, Request, Signer, Skipped, Verdict, verify_with_keys};
