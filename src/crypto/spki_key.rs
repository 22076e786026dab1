//! Reads SubjectPublicKeyInfo and writes it back in one form, so that one key has one name.
//!
//! Signatures are counted by physical key. A key can be spelled in many ways (PEM or hex, parameters present or
//! left out); counting needs the one spelling that all of them share.

use spki::der::asn1::{AnyRef, BitStringRef, Null, ObjectIdentifier, UintRef};
use spki::der::{Decode, Encode, Reader, SliceReader};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::verify::{Curve, KeyProblem};

pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
pub(super) const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
pub(super) const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
pub(super) const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// What a key is, apart from how signatures are made with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyKind {
    Ed25519,
    Ec(Curve),
    /// With the length of the modulus in bits.
    Rsa(usize),
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

impl KeyKind {
    /// Names the kind for people, such as `ed25519` or `rsa-4096`.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Ed25519 => "ed25519".to_owned(),
            Self::Ec(Curve::P256) => "ecdsa-p256".to_owned(),
            Self::Ec(Curve::P384) => "ecdsa-p384".to_owned(),
            Self::Ec(Curve::P521) => "ecdsa-p521".to_owned(),
            Self::Rsa(bits) => format!("rsa-{bits}"),
            Self::MlDsa44 => "ml-dsa-44".to_owned(),
            Self::MlDsa65 => "ml-dsa-65".to_owned(),
            Self::MlDsa87 => "ml-dsa-87".to_owned(),
        }
    }
}

/// A public key whose encoding has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpkiKey {
    pub(crate) kind: KeyKind,
    /// What the back ends take: the point, the raw key, or a PKCS#1 `RSAPublicKey`.
    pub(crate) raw: Vec<u8>,
    /// The one DER form of this key.
    pub(crate) canonical: Vec<u8>,
}

impl SpkiKey {
    /// Reads the text that metadata carries: PEM.
    pub(crate) fn from_pem(text: &str) -> Result<Self, KeyProblem> {
        match pem::parse(text) {
            Ok(pem) if pem.tag() == "PUBLIC KEY" => Self::from_der(pem.contents()),
            _ => Err(KeyProblem::Encoding("expected a PEM public key")),
        }
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, KeyProblem> {
        const BAD: KeyProblem = KeyProblem::Encoding("not a DER SubjectPublicKeyInfo");
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| BAD)?;
        let raw =
            info.subject_public_key.as_bytes().ok_or(KeyProblem::Encoding("the key is not a whole number of bytes"))?;
        match info.algorithm.oid {
            ED25519 => Self::ed25519(raw),
            EC => {
                let curve = Curve::from_oid(info.algorithm.parameters_oid().map_err(|_| BAD)?)
                    .ok_or(KeyProblem::Unsupported("the curve is not P-256, P-384 or P-521"))?;
                Self::ec(curve, raw)
            }
            RSA => Self::rsa(raw),
            ML_DSA_44 => Self::ml_dsa(KeyKind::MlDsa44, raw),
            ML_DSA_65 => Self::ml_dsa(KeyKind::MlDsa65, raw),
            ML_DSA_87 => Self::ml_dsa(KeyKind::MlDsa87, raw),
            _ => Err(KeyProblem::Unsupported("the key algorithm is not one that we know")),
        }
    }

    pub(crate) fn ed25519(raw: &[u8]) -> Result<Self, KeyProblem> {
        if raw.len() != 32 {
            return Err(KeyProblem::Encoding("an ed25519 key has 32 bytes"));
        }
        if !is_reduced(raw) {
            return Err(KeyProblem::Encoding("the ed25519 key is not in its one canonical form"));
        }
        Self::build(KeyKind::Ed25519, ED25519, None, raw)
    }

    /// An uncompressed point (SEC 1 section 2.3.3). No TUF tool writes another form.
    pub(crate) fn ec(curve: Curve, point: &[u8]) -> Result<Self, KeyProblem> {
        if point.first() != Some(&4) || point.len() != 1 + 2 * curve.field_bytes() {
            return Err(KeyProblem::Encoding("expected an uncompressed point of the curve"));
        }
        Self::build(KeyKind::Ec(curve), EC, Some(AnyRef::from(&curve.oid())), point)
    }

    /// A PKCS#1 `RSAPublicKey` (RFC 8017 appendix A.1.1).
    pub(crate) fn rsa(raw: &[u8]) -> Result<Self, KeyProblem> {
        let bad = |_| KeyProblem::Encoding("not a PKCS#1 RSAPublicKey");
        let mut reader = SliceReader::new(raw).map_err(bad)?;
        let modulus: UintRef<'_> = reader
            .sequence(|body| {
                let modulus = body.decode()?;
                let _exponent: UintRef<'_> = body.decode()?;
                Ok(modulus)
            })
            .map_err(bad)?;
        if !reader.is_finished() {
            return Err(KeyProblem::Encoding("not a PKCS#1 RSAPublicKey"));
        }
        let leading_zeros = modulus.as_bytes().first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = modulus.as_bytes().len() * 8 - leading_zeros;
        if !(2048..=8192).contains(&bits) {
            return Err(KeyProblem::Unsupported("RSA keys have 2048 to 8192 bits"));
        }
        Self::build(KeyKind::Rsa(bits), RSA, Some(Null.into()), raw)
    }

    /// Modulus and public exponent, unsigned and big-endian.
    #[cfg(feature = "maintainer")]
    pub(super) fn rsa_of_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyProblem> {
        let bad = |_| KeyProblem::Encoding("not the numbers of an RSA key");
        let numbers = vec![UintRef::new(modulus).map_err(bad)?, UintRef::new(exponent).map_err(bad)?];
        Self::rsa(&numbers.to_der().map_err(bad)?)
    }

    pub(super) fn ml_dsa(kind: KeyKind, raw: &[u8]) -> Result<Self, KeyProblem> {
        let (oid, length) = match kind {
            KeyKind::MlDsa44 => (ML_DSA_44, 1312),
            KeyKind::MlDsa65 => (ML_DSA_65, 1952),
            _ => (ML_DSA_87, 2592),
        };
        if raw.len() != length {
            return Err(KeyProblem::Encoding("the ML-DSA key has the wrong length"));
        }
        Self::build(kind, oid, None, raw)
    }

    fn build(
        kind: KeyKind,
        oid: ObjectIdentifier,
        parameters: Option<AnyRef<'_>>,
        raw: &[u8],
    ) -> Result<Self, KeyProblem> {
        let too_long = |_| KeyProblem::Encoding("the key is too long");
        let algorithm = AlgorithmIdentifierRef { oid, parameters };
        let subject_public_key = BitStringRef::from_bytes(raw).map_err(too_long)?;
        let canonical = SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().map_err(too_long)?;
        Ok(Self { kind, raw: raw.to_vec(), canonical })
    }
}

/// Whether an Ed25519 point is spelled in the one way that RFC 8032 section 5.1.2 writes it.
///
/// The back ends disagree on other spellings, and a key must have one to be counted once.
fn is_reduced(point: &[u8]) -> bool {
    let negative = point[31] & 0x80 != 0;
    let y_is = |first: u8, middle: u8, last: u8| {
        point[0] == first && point[1..31].iter().all(|byte| *byte == middle) && point[31] & 0x7f == last
    };
    // The prime is 2^255 - 19, that is `ed ff … ff 7f`.
    let too_large = (0xed..=0xff).any(|first| y_is(first, 0xff, 0x7f));
    // Where y is 1 or -1, x is 0, which has no negative.
    let no_negative = y_is(1, 0, 0) || y_is(0xec, 0xff, 0x7f);
    !(too_large || negative && no_negative)
}

impl Curve {
    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521].into_iter().find(|curve| curve.oid() == oid)
    }

    pub(super) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => P256,
            Self::P384 => P384,
            Self::P521 => P521,
        }
    }
}
