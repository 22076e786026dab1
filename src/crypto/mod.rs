//! Digests, signature checks and signing. Knows nothing of roles or thresholds.
//!
//! Two back ends with one API: aws-lc-rs (feature `aws-lc`, the default) and ring (feature `ring`, smaller). With
//! both compiled in, aws-lc-rs serves, and a test holds the two to the same verdicts. ring lacks ML-DSA and P-521:
//! keys of those types then disable themselves, as any key does that cannot be used.

mod backend;
mod digest;
mod key_file;
mod metadata_key;
mod random;
mod sign;
mod spki_key;
mod verify;

pub use digest::{Digester, sha256};
pub use key_file::{KeyFile, KeyFileError, LONGEST_KEY_FILE, Passphrase};
#[cfg(feature = "maintainer")]
pub(crate) use metadata_key::{PublicHalf, PublicParts};
pub use metadata_key::{canonical_spki, metadata_key, spki_from_pem, spki_to_pem};
pub use random::random;
pub use sign::{KeyAlgorithm, SecretKey, SigningError};
#[cfg(feature = "kms-aws")]
pub(crate) use verify::tuf_ml_dsa_payload;
pub use verify::{Algorithm, KeyFamily, KeyProblem, VerifyingKey};
#[cfg(feature = "maintainer")]
pub(crate) use verify::{Curve, ecdsa_der};

#[cfg(not(any(feature = "aws-lc", feature = "ring")))]
compile_error!("trustroot needs a cryptographic back end: enable the feature `aws-lc` (default) or `ring`");
