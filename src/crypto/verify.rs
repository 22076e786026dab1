//! Checks one signature with one key.

use std::fmt;

use spki::der::Encode;
use spki::der::asn1::UintRef;

use super::backend;
use super::spki_key::{KeyKind, SpkiKey};
use crate::metadata::PublicKey;

/// A curve of FIPS 186-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(crate) fn field_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// How signatures are made with a key: algorithm, hash and encoding together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), pure
    Ed25519,
    /// ECDSA, P-256, SHA-256, DER signature
    EcdsaP256Sha256,
    /// ECDSA, P-384, SHA-384, DER signature
    EcdsaP384Sha384,
    /// ECDSA, P-384, SHA-256, DER signature
    EcdsaP384Sha256,
    /// ECDSA, P-521, SHA-512, DER signature (aws-lc-rs only)
    EcdsaP521Sha512,
    /// RSASSA-PSS (RFC 8017), SHA-256, salt as long as the digest
    RsaPssSha256,
    /// RSASSA-PSS, SHA-384, salt as long as the digest
    RsaPssSha384,
    /// RSASSA-PSS, SHA-512, salt as long as the digest
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 (RFC 8017), SHA-256
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5, SHA-384
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5, SHA-512
    RsaPkcs1Sha512,
    /// ML-DSA-44 (FIPS 204), pure, over the message as given (aws-lc-rs only)
    MlDsa44,
    /// ML-DSA-65, pure (aws-lc-rs only)
    MlDsa65,
    /// ML-DSA-87, pure (aws-lc-rs only)
    MlDsa87,
}

impl Algorithm {
    /// Whether signatures of this kind can be made with a key of that kind.
    fn fits(self, kind: KeyKind) -> bool {
        matches!(
            (self, kind),
            (Self::Ed25519, KeyKind::Ed25519)
                | (Self::EcdsaP256Sha256, KeyKind::Ec(Curve::P256))
                | (Self::EcdsaP384Sha384 | Self::EcdsaP384Sha256, KeyKind::Ec(Curve::P384))
                | (Self::EcdsaP521Sha512, KeyKind::Ec(Curve::P521))
                | (
                    Self::RsaPssSha256
                        | Self::RsaPssSha384
                        | Self::RsaPssSha512
                        | Self::RsaPkcs1Sha256
                        | Self::RsaPkcs1Sha384
                        | Self::RsaPkcs1Sha512,
                    KeyKind::Rsa(_)
                )
                | (Self::MlDsa44, KeyKind::MlDsa44)
                | (Self::MlDsa65, KeyKind::MlDsa65)
                | (Self::MlDsa87, KeyKind::MlDsa87)
        )
    }
}

/// What somebody would have to be able to do to forge signatures of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "a large quantum computer helps, or it does not")]
pub enum KeyFamily {
    /// Ed25519, ECDSA and RSA: a large quantum computer finds the secret key from the public one.
    Classical,
    /// ML-DSA (FIPS 204): no such way is known.
    PostQuantum,
}

impl KeyFamily {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Classical, Self::PostQuantum];

    /// Its name in configuration, metadata and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classical => "classical",
            Self::PostQuantum => "post-quantum",
        }
    }

    /// Whether this build can check signatures of the family: ring has no ML-DSA.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Classical => true,
            Self::PostQuantum => backend::supports(Algorithm::MlDsa65),
        }
    }
}

impl fmt::Display for KeyFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a key cannot be used. It disables that key, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// The key type or scheme is not one that this build knows.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The key is not encoded as its type asks.
    #[error("{0}")]
    Encoding(&'static str),
    /// The scheme does not belong to a key of this type.
    #[error("the scheme does not fit the key")]
    SchemeMismatch,
}

/// A public key that signatures can be checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    key: SpkiKey,
    algorithm: Algorithm,
    /// How the message is prepared before it is signed.
    prepare: Prepare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prepare {
    AsIs,
    /// TAP 21's versioned pre-hash: `"tuf" || 0x01 || SHA-512(message)`.
    TufMlDsaV1,
}

impl VerifyingKey {
    /// Decodes a key of TUF metadata by its key type and scheme, as securesystemslib writes them.
    ///
    /// # Errors
    /// When the key cannot be used: see [`KeyProblem`].
    pub fn from_metadata(key: &PublicKey) -> Result<Self, KeyProblem> {
        let public = key.public();
        let (spki, algorithm, prepare) = match (key.keytype(), key.scheme()) {
            ("ed25519", "ed25519") => (ed25519(public)?, Algorithm::Ed25519, Prepare::AsIs),
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                (ec(public, Curve::P256)?, Algorithm::EcdsaP256Sha256, Prepare::AsIs)
            }
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
                (ec(public, Curve::P384)?, Algorithm::EcdsaP384Sha384, Prepare::AsIs)
            }
            ("ecdsa" | "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521") => {
                (ec(public, Curve::P521)?, Algorithm::EcdsaP521Sha512, Prepare::AsIs)
            }
            ("rsa", scheme) => {
                let algorithm = match scheme {
                    "rsassa-pss-sha256" => Algorithm::RsaPssSha256,
                    "rsassa-pss-sha384" => Algorithm::RsaPssSha384,
                    "rsassa-pss-sha512" => Algorithm::RsaPssSha512,
                    "rsa-pkcs1v15-sha256" => Algorithm::RsaPkcs1Sha256,
                    "rsa-pkcs1v15-sha384" => Algorithm::RsaPkcs1Sha384,
                    "rsa-pkcs1v15-sha512" => Algorithm::RsaPkcs1Sha512,
                    _ => return Err(KeyProblem::Unsupported("the RSA scheme is not one that we know")),
                };
                (SpkiKey::from_pem(public)?, algorithm, Prepare::AsIs)
            }
            ("ml-dsa", scheme) => {
                let algorithm = match scheme {
                    "ml-dsa-44/1" => Algorithm::MlDsa44,
                    "ml-dsa-65/1" => Algorithm::MlDsa65,
                    "ml-dsa-87/1" => Algorithm::MlDsa87,
                    _ => return Err(KeyProblem::Unsupported("the ML-DSA scheme is not one that we know")),
                };
                (SpkiKey::from_pem(public)?, algorithm, Prepare::TufMlDsaV1)
            }
            _ => return Err(KeyProblem::Unsupported("the key type or scheme is not one that we know")),
        };
        Self::build(spki, algorithm, prepare)
    }

    /// Takes a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) whose signatures are made with `algorithm`.
    ///
    /// # Errors
    /// When the key cannot be used: see [`KeyProblem`].
    pub fn from_spki(der: &[u8], algorithm: Algorithm) -> Result<Self, KeyProblem> {
        Self::build(SpkiKey::from_der(der)?, algorithm, Prepare::AsIs)
    }

    fn build(key: SpkiKey, algorithm: Algorithm, prepare: Prepare) -> Result<Self, KeyProblem> {
        if !algorithm.fits(key.kind) {
            return Err(KeyProblem::SchemeMismatch);
        }
        if !backend::supports(algorithm) {
            return Err(KeyProblem::Unsupported("this build's cryptographic back end lacks the algorithm"));
        }
        Ok(Self { key, algorithm, prepare })
    }

    /// The one DER SubjectPublicKeyInfo of this key, however it was spelled. Signatures are counted by it.
    pub fn canonical_spki(&self) -> &[u8] {
        &self.key.canonical
    }

    /// The point, raw key or PKCS#1 key inside the SubjectPublicKeyInfo.
    pub fn raw(&self) -> &[u8] {
        &self.key.raw
    }

    /// How signatures are made with it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Names the key for people, such as `ed25519` or `rsa-4096`.
    pub fn describe(&self) -> String {
        self.key.kind.describe()
    }

    /// How long signatures of an RSA key are, in bytes.
    #[cfg(feature = "maintainer")]
    pub(crate) fn rsa_modulus_bytes(&self) -> Option<usize> {
        match self.key.kind {
            KeyKind::Rsa(bits) => Some(bits.div_ceil(8)),
            _ => None,
        }
    }

    /// What it would take to forge its signatures.
    pub fn family(&self) -> KeyFamily {
        match self.key.kind {
            KeyKind::Ed25519 | KeyKind::Ec(_) | KeyKind::Rsa(_) => KeyFamily::Classical,
            KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => KeyFamily::PostQuantum,
        }
    }

    /// Whether `signature`, an ECDSA signature as fixed-width `r` and `s` side by side (IEEE P1363), is this key's over
    /// `message`. Always `false` for keys of other kinds, and for signatures that are not exactly twice the field's width.
    #[must_use]
    pub fn verifies_p1363(&self, message: &[u8], signature: &[u8]) -> bool {
        let KeyKind::Ec(curve) = self.key.kind else { return false };
        der_of_p1363(signature, curve.field_bytes()).is_some_and(|der| self.verifies(message, &der))
    }

    /// Whether `signature` is this key's signature over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.prepare {
            Prepare::AsIs => backend::verify(self.algorithm, &self.key.raw, message, signature),
            Prepare::TufMlDsaV1 => {
                backend::verify(self.algorithm, &self.key.raw, &tuf_ml_dsa_payload(message), signature)
            }
        }
    }
}

/// Writes `r` and `s`, side by side and each as wide as the field (IEEE P1363), as `Ecdsa-Sig-Value` (RFC 3279).
fn der_of_p1363(signature: &[u8], field_bytes: usize) -> Option<Vec<u8>> {
    if signature.len() != 2 * field_bytes {
        return None;
    }
    let (r, s) = signature.split_at(field_bytes);
    ecdsa_der(r, s)
}

/// Writes the two numbers of an ECDSA signature, unsigned and big-endian, as `Ecdsa-Sig-Value` (RFC 3279 section 2.2.3),
/// which is the form in TUF metadata.
pub(crate) fn ecdsa_der(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    UintRef::new(r).and_then(|r| UintRef::new(s).and_then(|s| vec![r, s].to_der())).ok()
}

/// What is signed with ML-DSA in TUF (TAP 21): `"tuf" || 0x01 || SHA-512(message)`.
pub(crate) fn tuf_ml_dsa_payload(message: &[u8]) -> Vec<u8> {
    let mut payload = b"tuf\x01".to_vec();
    payload.extend_from_slice(backend::digest(crate::metadata::HashAlgorithm::Sha512, message).as_ref());
    payload
}

/// An ed25519 key as hex, or as PEM.
fn ed25519(public: &str) -> Result<SpkiKey, KeyProblem> {
    match hex::decode(public) {
        Ok(raw) => SpkiKey::ed25519(&raw),
        Err(_) => SpkiKey::from_pem(public),
    }
}

/// An ECDSA key as PEM, as hex of an uncompressed point, or as hex of a DER SubjectPublicKeyInfo.
fn ec(public: &str, curve: Curve) -> Result<SpkiKey, KeyProblem> {
    match hex::decode(public) {
        Ok(bytes) if bytes.first() == Some(&4) => SpkiKey::ec(curve, &bytes),
        Ok(der) => SpkiKey::from_der(&der),
        Err(_) => SpkiKey::from_pem(public),
    }
}
