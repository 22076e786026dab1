//! Randomness from the cryptographic library.

#[cfg(feature = "aws-lc")]
use aws_lc_rs as library;
#[cfg(all(feature = "ring", not(feature = "aws-lc")))]
use ring as library;

use library::rand::{SecureRandom as _, SystemRandom};

use super::SigningError;

/// Fills `bytes` with what nobody can predict.
///
/// # Errors
/// When the system has no randomness.
pub fn random(bytes: &mut [u8]) -> Result<(), SigningError> {
    SystemRandom::new().fill(bytes).map_err(|_| SigningError::Failed)
}
