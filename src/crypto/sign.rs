//! Signs with a secret key.

use crate::metadata::{KeyId, PublicKey};

#[cfg(feature = "aws-lc")]
use aws_lc_rs as library;
#[cfg(all(feature = "ring", not(feature = "aws-lc")))]
use ring as library;

use library::rand::SystemRandom;
use library::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};

/// Why a secret key could not be loaded or used. Says nothing about the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The bytes are not a secret key of the kind asked for.
    #[error("not a secret key of this kind")]
    NotAKey,
    /// The library could not make or use a key.
    #[error("the cryptographic library failed")]
    Failed,
}

/// A secret key. It has no `Debug`, `Clone` or `Serialize`, so that it cannot end up in a log.
#[expect(missing_debug_implementations, reason = "a secret must not be printable")]
pub struct SecretKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl SecretKey {
    /// Takes the 32-byte seed of an Ed25519 key (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// When there are not 32 bytes.
    pub fn ed25519_from_seed(seed: &[u8]) -> Result<Self, SigningError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SigningError::NotAKey)?;
        let public = PublicKey::new("ed25519", "ed25519", &hex::encode(pair.public_key().as_ref()));
        Ok(Self { pair: Pair::Ed25519(pair), public })
    }

    /// Makes a new ECDSA key on P-256.
    ///
    /// # Errors
    /// When the library has no randomness.
    pub fn generate_ecdsa_p256() -> Result<Self, SigningError> {
        Self::generate_ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, "ecdsa-sha2-nistp256")
    }

    /// Makes a new ECDSA key on P-384.
    ///
    /// # Errors
    /// When the library has no randomness.
    pub fn generate_ecdsa_p384() -> Result<Self, SigningError> {
        Self::generate_ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, "ecdsa-sha2-nistp384")
    }

    fn generate_ecdsa(algorithm: &'static EcdsaSigningAlgorithm, scheme: &str) -> Result<Self, SigningError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| SigningError::Failed)?;
        #[cfg(feature = "aws-lc")]
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref());
        #[cfg(not(feature = "aws-lc"))]
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random);
        let pair = pair.map_err(|_| SigningError::NotAKey)?;
        let public = PublicKey::new("ecdsa", scheme, &hex::encode(pair.public_key().as_ref()));
        Ok(Self { pair: Pair::Ecdsa(pair), public })
    }

    /// The public half, as metadata lists it.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The keyid that we write: the SHA-256 of the canonical public key (TUF specification section 4.2).
    pub fn keyid(&self) -> KeyId {
        KeyId::new(hex::encode(super::sha256(&self.public.to_canonical())))
    }

    /// Signs `message`, as the key's scheme asks.
    ///
    /// # Errors
    /// When the library has no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SigningError::Failed),
        }
    }
}
