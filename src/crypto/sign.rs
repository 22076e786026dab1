//! Signs with a secret key.

use zeroize::Zeroizing;

use super::key_file::Parts;
use super::metadata_key::metadata_form;
use super::spki_key::{KeyKind, SpkiKey};
#[cfg(feature = "aws-lc")]
use super::verify::tuf_ml_dsa_payload;
use super::verify::{Algorithm, Curve};
use crate::metadata::{KeyId, PublicKey};

#[cfg(feature = "aws-lc")]
use aws_lc_rs as library;
#[cfg(all(feature = "ring", not(feature = "aws-lc")))]
use ring as library;

#[cfg(feature = "aws-lc")]
use library::signature::{
    ECDSA_P521_SHA512_ASN1_SIGNING, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
    PqdsaSigningAlgorithm,
};

use library::rand::{SecureRandom as _, SystemRandom};
use library::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};

/// Why a secret key could not be made or used. Says nothing about the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The bytes are not a secret key of the kind asked for.
    #[error("not a secret key of this kind")]
    NotAKey,
    /// The library could not make or use a key.
    #[error("the cryptographic library failed")]
    Failed,
    /// This build cannot make or use keys of this kind.
    #[error("this build's cryptographic back end cannot make or use keys of this kind")]
    Unsupported,
}

impl SigningError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAKey => "not-a-key",
            Self::Failed => "signing-failed",
            Self::Unsupported => "key-unsupported",
        }
    }
}

/// A kind of key that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8032)
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5)
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384
    EcdsaP384,
    /// ECDSA on P-521 with SHA-512 (aws-lc-rs only)
    EcdsaP521,
    /// RSASSA-PSS (RFC 8017) with SHA-256, 2048 bits (made by aws-lc-rs only; signs with either back end)
    Rsa2048,
    /// RSASSA-PSS with SHA-256, 3072 bits (made by aws-lc-rs only)
    Rsa3072,
    /// RSASSA-PSS with SHA-256, 4096 bits (made by aws-lc-rs only)
    Rsa4096,
    /// ML-DSA-44 (FIPS 204; TAP 21; aws-lc-rs only)
    MlDsa44,
    /// ML-DSA-65 (aws-lc-rs only)
    MlDsa65,
    /// ML-DSA-87 (aws-lc-rs only)
    MlDsa87,
}

/// A secret key. It has no `Debug`, `Clone` or `Serialize`, so that it cannot end up in a log.
///
/// Its bytes are overwritten when it is dropped, those that this crate holds always, those inside the back end where
/// that does so (aws-lc-rs does, ring does not).
#[expect(missing_debug_implementations, reason = "a secret must not be printable")]
pub struct SecretKey {
    pair: Pair,
    public: PublicKey,
    spki: SpkiKey,
    /// The key as PKCS#8 (RFC 5958), not encrypted: what a file holds.
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    #[cfg(feature = "aws-lc")]
    MlDsa(PqdsaKeyPair),
}

impl SecretKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When this build cannot make such keys, or the library has no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, SigningError> {
        match algorithm {
            KeyAlgorithm::Ed25519 => Self::ed25519_from_seed(random::<32>()?.as_slice()),
            KeyAlgorithm::EcdsaP256 => Self::generate_ecdsa(Curve::P256),
            KeyAlgorithm::EcdsaP384 => Self::generate_ecdsa(Curve::P384),
            KeyAlgorithm::EcdsaP521 => Self::generate_ecdsa(Curve::P521),
            KeyAlgorithm::Rsa2048 => Self::generate_rsa(2048),
            KeyAlgorithm::Rsa3072 => Self::generate_rsa(3072),
            KeyAlgorithm::Rsa4096 => Self::generate_rsa(4096),
            KeyAlgorithm::MlDsa44 => Self::generate_ml_dsa(KeyKind::MlDsa44),
            KeyAlgorithm::MlDsa65 => Self::generate_ml_dsa(KeyKind::MlDsa65),
            KeyAlgorithm::MlDsa87 => Self::generate_ml_dsa(KeyKind::MlDsa87),
        }
    }

    /// Takes the 32-byte seed of an Ed25519 key (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// When there are not 32 bytes.
    pub fn ed25519_from_seed(seed: &[u8]) -> Result<Self, SigningError> {
        Self::from_parts(&Parts::Ed25519 { seed, public: None })
    }

    fn generate_ecdsa(curve: Curve) -> Result<Self, SigningError> {
        let document = EcdsaKeyPair::generate_pkcs8(ecdsa_algorithm(curve)?, &SystemRandom::new())
            .map_err(|_| SigningError::Failed)?;
        Self::from_generated(document.as_ref())
    }

    #[cfg(feature = "aws-lc")]
    fn generate_rsa(bits: usize) -> Result<Self, SigningError> {
        use library::encoding::AsDer as _;
        use library::rsa::KeySize;

        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            _ => KeySize::Rsa4096,
        };
        let pair = RsaKeyPair::generate(size).map_err(|_| SigningError::Failed)?;
        let document: library::encoding::Pkcs8V1Der<'_> = pair.as_der().map_err(|_| SigningError::Failed)?;
        Self::from_generated(document.as_ref())
    }

    #[cfg(not(feature = "aws-lc"))]
    fn generate_rsa(_: usize) -> Result<Self, SigningError> {
        Err(SigningError::Unsupported)
    }

    #[cfg(feature = "aws-lc")]
    fn generate_ml_dsa(kind: KeyKind) -> Result<Self, SigningError> {
        let pair = PqdsaKeyPair::generate(ml_dsa_algorithm(kind)).map_err(|_| SigningError::Failed)?;
        let document = pair.to_pkcs8v1().map_err(|_| SigningError::Failed)?;
        Self::from_generated(document.as_ref())
    }

    #[cfg(not(feature = "aws-lc"))]
    fn generate_ml_dsa(_: KeyKind) -> Result<Self, SigningError> {
        Err(SigningError::Unsupported)
    }

    fn from_generated(pkcs8: &[u8]) -> Result<Self, SigningError> {
        let parts = Parts::from_pkcs8(pkcs8).map_err(|_| SigningError::Failed)?;
        Self::from_parts(&parts)
    }

    pub(super) fn from_parts(parts: &Parts<'_>) -> Result<Self, SigningError> {
        let bad = |_| SigningError::NotAKey;
        let (pair, spki) = match parts {
            Parts::Ed25519 { seed, public } => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SigningError::NotAKey)?;
                if public.is_some_and(|public| public != pair.public_key().as_ref()) {
                    return Err(SigningError::NotAKey);
                }
                let spki = SpkiKey::ed25519(pair.public_key().as_ref()).map_err(bad)?;
                (Pair::Ed25519(pair), spki)
            }
            Parts::Ec { curve, private, public } => {
                let pair = ecdsa_pair(*curve, private, *public)?;
                let spki = SpkiKey::ec(*curve, pair.public_key().as_ref()).map_err(bad)?;
                (Pair::Ecdsa(pair), spki)
            }
            Parts::Rsa { pkcs1 } => {
                let pair = RsaKeyPair::from_der(pkcs1).map_err(|_| SigningError::NotAKey)?;
                let spki = SpkiKey::rsa(pair.public_key().as_ref()).map_err(bad)?;
                // ring takes no other lengths for signing, and one key must work with either back end.
                if !matches!(spki.kind, KeyKind::Rsa(2048..=4096)) {
                    return Err(SigningError::Unsupported);
                }
                (Pair::Rsa(pair), spki)
            }
            #[cfg(feature = "aws-lc")]
            Parts::MlDsa { kind, pkcs8 } => {
                let pair =
                    PqdsaKeyPair::from_pkcs8(ml_dsa_algorithm(*kind), pkcs8).map_err(|_| SigningError::NotAKey)?;
                let spki = SpkiKey::ml_dsa(*kind, pair.public_key().as_ref()).map_err(bad)?;
                (Pair::MlDsa(pair), spki)
            }
            #[cfg(not(feature = "aws-lc"))]
            Parts::MlDsa { .. } => return Err(SigningError::Unsupported),
        };
        let pkcs8 = parts.to_pkcs8(&spki.raw).map_err(|_| SigningError::NotAKey)?;
        Ok(Self { pair, public: metadata_form(&spki), spki, pkcs8 })
    }

    /// The public half, as metadata lists it.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The one DER SubjectPublicKeyInfo of the public half. Signatures are counted by it.
    pub fn canonical_spki(&self) -> &[u8] {
        &self.spki.canonical
    }

    /// The keyid that we write: the SHA-256 of the canonical public key (TUF specification section 4.2).
    pub fn keyid(&self) -> KeyId {
        self.public.keyid()
    }

    /// Names the key for people, such as `ed25519` or `rsa-3072`.
    pub fn describe(&self) -> String {
        self.spki.kind.describe()
    }

    /// Signs `message` in the way that the delegator's scheme asks for. Only RSA keys know more than one.
    ///
    /// # Errors
    /// [`SigningError::Unsupported`] where this key is not used so; and when the library has no randomness.
    pub fn sign_as(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match (&self.pair, algorithm) {
            (Pair::Rsa(pair), Algorithm::RsaPssSha384) => sign_rsa(pair, &RSA_PSS_SHA384, message),
            (Pair::Rsa(pair), Algorithm::RsaPssSha512) => sign_rsa(pair, &RSA_PSS_SHA512, message),
            (Pair::Rsa(pair), Algorithm::RsaPkcs1Sha256) => sign_rsa(pair, &RSA_PKCS1_SHA256, message),
            (Pair::Rsa(pair), Algorithm::RsaPkcs1Sha384) => sign_rsa(pair, &RSA_PKCS1_SHA384, message),
            (Pair::Rsa(pair), Algorithm::RsaPkcs1Sha512) => sign_rsa(pair, &RSA_PKCS1_SHA512, message),
            _ if algorithm == self.algorithm() => self.sign(message),
            _ => Err(SigningError::Unsupported),
        }
    }

    /// How [`SecretKey::sign`] signs.
    fn algorithm(&self) -> Algorithm {
        match self.spki.kind {
            KeyKind::Ed25519 => Algorithm::Ed25519,
            KeyKind::Ec(Curve::P256) => Algorithm::EcdsaP256Sha256,
            KeyKind::Ec(Curve::P384) => Algorithm::EcdsaP384Sha384,
            KeyKind::Ec(Curve::P521) => Algorithm::EcdsaP521Sha512,
            KeyKind::Rsa(_) => Algorithm::RsaPssSha256,
            KeyKind::MlDsa44 => Algorithm::MlDsa44,
            KeyKind::MlDsa65 => Algorithm::MlDsa65,
            KeyKind::MlDsa87 => Algorithm::MlDsa87,
        }
    }

    /// Signs `message`, as the key's scheme asks: Ed25519; ECDSA with the hash of its curve, in DER; RSASSA-PSS with
    /// SHA-256 and a salt of 32 bytes; ML-DSA over the prepared message of TAP 21.
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
            Pair::Rsa(pair) => sign_rsa(pair, &RSA_PSS_SHA256, message),
            #[cfg(feature = "aws-lc")]
            Pair::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let length =
                    pair.sign(&tuf_ml_dsa_payload(message), &mut signature).map_err(|_| SigningError::Failed)?;
                signature.truncate(length);
                Ok(signature)
            }
        }
    }
}

#[cfg_attr(feature = "aws-lc", expect(clippy::unnecessary_wraps, reason = "ring lacks P-521"))]
fn ecdsa_algorithm(curve: Curve) -> Result<&'static EcdsaSigningAlgorithm, SigningError> {
    match curve {
        Curve::P256 => Ok(&ECDSA_P256_SHA256_ASN1_SIGNING),
        Curve::P384 => Ok(&ECDSA_P384_SHA384_ASN1_SIGNING),
        #[cfg(feature = "aws-lc")]
        Curve::P521 => Ok(&ECDSA_P521_SHA512_ASN1_SIGNING),
        #[cfg(not(feature = "aws-lc"))]
        Curve::P521 => Err(SigningError::Unsupported),
    }
}

#[cfg(feature = "aws-lc")]
fn ecdsa_pair(curve: Curve, private: &[u8], public: Option<&[u8]>) -> Result<EcdsaKeyPair, SigningError> {
    let algorithm = ecdsa_algorithm(curve)?;
    match public {
        Some(public) => EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public),
        None => {
            let sec1 = super::key_file::sec1(curve, private, None);
            EcdsaKeyPair::from_private_key_der(algorithm, &sec1)
        }
    }
    .map_err(|_| SigningError::NotAKey)
}

#[cfg(not(feature = "aws-lc"))]
fn ecdsa_pair(curve: Curve, private: &[u8], public: Option<&[u8]>) -> Result<EcdsaKeyPair, SigningError> {
    // ring cannot compute the public half from the secret one.
    let public = public.ok_or(SigningError::Unsupported)?;
    EcdsaKeyPair::from_private_key_and_public_key(ecdsa_algorithm(curve)?, private, public, &SystemRandom::new())
        .map_err(|_| SigningError::NotAKey)
}

fn sign_rsa(pair: &RsaKeyPair, padding: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, SigningError> {
    let mut signature = vec![0; rsa_signature_length(pair)];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(|_| SigningError::Failed)?;
    Ok(signature)
}

#[cfg(feature = "aws-lc")]
fn rsa_signature_length(pair: &RsaKeyPair) -> usize {
    pair.public_modulus_len()
}

#[cfg(not(feature = "aws-lc"))]
fn rsa_signature_length(pair: &RsaKeyPair) -> usize {
    pair.public().modulus_len()
}

#[cfg(feature = "aws-lc")]
fn ml_dsa_algorithm(kind: KeyKind) -> &'static PqdsaSigningAlgorithm {
    match kind {
        KeyKind::MlDsa44 => &ML_DSA_44_SIGNING,
        KeyKind::MlDsa65 => &ML_DSA_65_SIGNING,
        _ => &ML_DSA_87_SIGNING,
    }
}

/// Bytes that nobody can guess.
pub(super) fn random<const LENGTH: usize>() -> Result<Zeroizing<[u8; LENGTH]>, SigningError> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| SigningError::Failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::VerifyingKey;

    /// All kinds that this build can make.
    const MADE: &[(KeyAlgorithm, &str)] = &[
        (KeyAlgorithm::Ed25519, "ed25519"),
        (KeyAlgorithm::EcdsaP256, "ecdsa-p256"),
        (KeyAlgorithm::EcdsaP384, "ecdsa-p384"),
        #[cfg(feature = "aws-lc")]
        (KeyAlgorithm::EcdsaP521, "ecdsa-p521"),
        #[cfg(feature = "aws-lc")]
        (KeyAlgorithm::Rsa2048, "rsa-2048"),
        #[cfg(feature = "aws-lc")]
        (KeyAlgorithm::MlDsa44, "ml-dsa-44"),
        #[cfg(feature = "aws-lc")]
        (KeyAlgorithm::MlDsa65, "ml-dsa-65"),
        #[cfg(feature = "aws-lc")]
        (KeyAlgorithm::MlDsa87, "ml-dsa-87"),
    ];

    #[test]
    fn every_kind_of_key_survives_its_file_and_signs_what_its_public_half_verifies() {
        for (algorithm, name) in MADE {
            let made = SecretKey::generate(*algorithm).unwrap();
            let read = SecretKey::from_pem(&made.to_unencrypted_pem(), None).unwrap();
            assert_eq!((made.describe().as_str(), made.public()), (*name, read.public()));
            assert_eq!(*made.pkcs8, *read.pkcs8);
            let verifier = VerifyingKey::from_metadata(made.public()).unwrap();
            assert_eq!(verifier.canonical_spki(), made.canonical_spki());
            let signature = read.sign(b"message").unwrap();
            assert!(verifier.verifies(b"message", &signature), "{name}");
            assert!(!verifier.verifies(b"another", &signature), "{name}");
        }
    }

    /// The form of RFC 9881 that holds the seed alone, which OpenSSL 3.5 reads.
    #[cfg(feature = "aws-lc")]
    #[test]
    fn the_file_of_an_ml_dsa_key_holds_its_seed_alone() {
        let key = SecretKey::generate(KeyAlgorithm::MlDsa65).unwrap();
        assert_eq!(hex::encode(&key.pkcs8[..22]), "3034020100300b060960864801650304031204228020");
        assert_eq!(key.pkcs8.len(), 22 + 32);
    }

    #[cfg(not(feature = "aws-lc"))]
    #[test]
    fn ring_says_what_it_cannot_make() {
        for algorithm in [KeyAlgorithm::EcdsaP521, KeyAlgorithm::Rsa3072, KeyAlgorithm::MlDsa44] {
            assert_eq!(SecretKey::generate(algorithm).err(), Some(SigningError::Unsupported));
        }
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let (one, other) = (SecretKey::generate(KeyAlgorithm::EcdsaP256), SecretKey::generate(KeyAlgorithm::EcdsaP256));
        let (one, other) = (one.unwrap(), other.unwrap());
        let Parts::Ec { curve, private, .. } = Parts::from_pkcs8(&one.pkcs8).unwrap() else { unreachable!() };
        let mixed = Parts::Ec { curve, private, public: Some(&other.spki.raw) };
        assert_eq!(SecretKey::from_parts(&mixed).err(), Some(SigningError::NotAKey));
        let ed25519 = SecretKey::ed25519_from_seed(&[1; 32]).unwrap();
        let mixed = Parts::Ed25519 { seed: &[2; 32], public: Some(&ed25519.spki.raw) };
        assert_eq!(SecretKey::from_parts(&mixed).err(), Some(SigningError::NotAKey));
    }
}
