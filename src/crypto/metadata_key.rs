//! Turns a SubjectPublicKeyInfo into the form in which metadata lists a key, and into PEM.

use super::key_file::to_pem;
use super::spki_key::{KeyKind, SpkiKey};
use super::verify::{Curve, KeyProblem};
use crate::metadata::{KeyId, PublicKey};

/// Returns the form in which we list a key in metadata, for a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
///
/// The form is the one that securesystemslib writes and that every client we know reads: Ed25519 as hex, the others as
/// PEM; key type `ecdsa` with the scheme of its curve, `rsa` with `rsassa-pss-sha256`, `ml-dsa` by TAP 21.
///
/// # Errors
/// When the key is not one that metadata can list: see [`KeyProblem`].
pub fn metadata_key(spki: &[u8]) -> Result<PublicKey, KeyProblem> {
    Ok(metadata_form(&SpkiKey::from_der(spki)?))
}

/// Reads a PEM public key (`PUBLIC KEY`, RFC 7468 section 13), and returns its one DER SubjectPublicKeyInfo.
///
/// # Errors
/// See [`KeyProblem`].
pub fn spki_from_pem(text: &str) -> Result<Vec<u8>, KeyProblem> {
    Ok(SpkiKey::from_pem(text)?.canonical)
}

/// Returns the one DER form of a SubjectPublicKeyInfo, however it was spelled. Keys are compared by it.
///
/// # Errors
/// See [`KeyProblem`].
pub fn canonical_spki(spki: &[u8]) -> Result<Vec<u8>, KeyProblem> {
    Ok(SpkiKey::from_der(spki)?.canonical)
}

/// Writes a DER SubjectPublicKeyInfo as PEM, in its one form.
///
/// # Errors
/// See [`KeyProblem`].
pub fn spki_to_pem(spki: &[u8]) -> Result<String, KeyProblem> {
    Ok(public_pem(&SpkiKey::from_der(spki)?))
}

/// The public half of a key that is held elsewhere: by a device, an agent or another program.
#[cfg(feature = "maintainer")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicHalf {
    /// As we list it in metadata.
    pub(crate) public: PublicKey,
    /// The one DER SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
    /// Such as `ed25519` or `rsa-3072`.
    pub(crate) kind: String,
}

/// A public key in the parts in which agents and devices give it.
#[cfg(feature = "maintainer")]
pub(crate) enum PublicParts<'a> {
    /// The 32 bytes of RFC 8032.
    Ed25519(&'a [u8]),
    /// An uncompressed point (SEC 1 section 2.3.3).
    Ec(Curve, &'a [u8]),
    /// Two numbers, unsigned and big-endian.
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    /// A DER SubjectPublicKeyInfo.
    Spki(&'a [u8]),
}

#[cfg(feature = "maintainer")]
impl PublicHalf {
    /// # Errors
    /// When the key is not one that metadata can list: see [`KeyProblem`].
    pub(crate) fn of(parts: &PublicParts<'_>) -> Result<Self, KeyProblem> {
        let key = match parts {
            PublicParts::Ed25519(raw) => SpkiKey::ed25519(raw)?,
            PublicParts::Ec(curve, point) => SpkiKey::ec(*curve, point)?,
            PublicParts::Rsa { modulus, exponent } => SpkiKey::rsa_of_numbers(modulus, exponent)?,
            PublicParts::Spki(der) => SpkiKey::from_der(der)?,
        };
        Ok(Self { public: metadata_form(&key), kind: key.kind.describe(), spki: key.canonical })
    }
}

pub(super) fn metadata_form(key: &SpkiKey) -> PublicKey {
    let (keytype, scheme) = match key.kind {
        KeyKind::Ed25519 => return PublicKey::new("ed25519", "ed25519", &hex::encode(&key.raw)),
        KeyKind::Ec(Curve::P256) => ("ecdsa", "ecdsa-sha2-nistp256"),
        KeyKind::Ec(Curve::P384) => ("ecdsa", "ecdsa-sha2-nistp384"),
        KeyKind::Ec(Curve::P521) => ("ecdsa", "ecdsa-sha2-nistp521"),
        KeyKind::Rsa(_) => ("rsa", "rsassa-pss-sha256"),
        KeyKind::MlDsa44 => ("ml-dsa", "ml-dsa-44/1"),
        KeyKind::MlDsa65 => ("ml-dsa", "ml-dsa-65/1"),
        KeyKind::MlDsa87 => ("ml-dsa", "ml-dsa-87/1"),
    };
    PublicKey::new(keytype, scheme, &public_pem(key))
}

fn public_pem(key: &SpkiKey) -> String {
    to_pem("PUBLIC KEY", &key.canonical).to_string()
}

impl PublicKey {
    /// The keyid that we write: the SHA-256 of the canonical form (TUF specification section 4.2).
    pub fn keyid(&self) -> KeyId {
        KeyId::new(hex::encode(super::sha256(&self.to_canonical())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeyAlgorithm, SecretKey, VerifyingKey};

    #[test]
    fn one_key_has_one_form_however_it_came() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
            let key = SecretKey::generate(algorithm).unwrap();
            let pem = spki_to_pem(key.canonical_spki()).unwrap();
            assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.ends_with("-----END PUBLIC KEY-----\n"));
            let spki = spki_from_pem(&pem).unwrap();
            assert_eq!(metadata_key(&spki).unwrap(), *key.public());
            assert_eq!(VerifyingKey::from_metadata(key.public()).unwrap().canonical_spki(), spki);
        }
    }

    #[test]
    fn what_we_list_loads_in_tough() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256] {
            let key = SecretKey::generate(algorithm).unwrap();
            // Canonical JSON leaves the line ends of PEM as they are, so that it is no JSON for others to read.
            let theirs: tough::schema::key::Key = serde_json::from_value(key.public().to_value()).unwrap();
            assert_eq!(hex::encode(theirs.key_id().unwrap()), key.keyid().as_str());
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        assert!(matches!(metadata_key(b"not DER"), Err(KeyProblem::Encoding(_))));
        // id-X25519 is for key agreement.
        let x25519 = [&hex::decode("302a300506032b656e032100").unwrap()[..], &[9; 32]].concat();
        assert!(matches!(metadata_key(&x25519), Err(KeyProblem::Unsupported(_))));
    }
}
