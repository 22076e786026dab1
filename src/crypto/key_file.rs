//! Reads and writes secret keys as PEM, the way that OpenSSL does.
//!
//! A key file comes from its owner, but it may have been swapped or damaged: its length, and the work that it asks for
//! before its passphrase can be tried, are bounded. Nothing here repeats what a file says about the key itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pkcs8::der::asn1::{AnyRef, BitStringRef, ContextSpecific, ObjectIdentifier, OctetStringRef};
use pkcs8::der::{Decode, Encode, Reader, SliceReader, TagNumber};
use pkcs8::pkcs5::{EncryptionScheme, pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::metadata_key::metadata_form;
use super::sign::{SecretKey, SigningError, random};
use super::spki_key::{EC, ED25519, KeyKind, ML_DSA_44, ML_DSA_65, ML_DSA_87, RSA, SpkiKey};
use super::verify::{Curve, KeyProblem};
use crate::metadata::PublicKey;
use crate::printable::Printable;

/// Longest key file that is read, in bytes. The longest key that we know, RSA with 4096 bits, has about 3500.
pub const LONGEST_KEY_FILE: u64 = 32 * 1024;

/// Longest passphrase, in bytes.
const LONGEST_PASSPHRASE: usize = 1024;

/// What we write: scrypt with N = 2^14, r = 8, p = 5 (RFC 7914), 16 MiB. OpenSSL reads no key that needs 32 MiB or
/// more, so the work is in `p`; the product is that of the usual N = 2^17, r = 8, p = 1, less a fifth.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);

/// Most memory that a file may make scrypt take, in bytes: N * r * 128.
const MOST_SCRYPT_MEMORY: u64 = 256 << 20;

/// Most work that a file may make scrypt do, as N * r * p: eight times that of N = 2^17, r = 8, p = 1.
const MOST_SCRYPT_WORK: u64 = 1 << 23;

/// Most iterations that a file may ask for with PBKDF2: ten times and more what anybody recommends.
const MOST_PBKDF2_ITERATIONS: u32 = 10_000_000;

/// Why a key file cannot be used. Says nothing about the secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is longer than any key.
    #[error("the file is longer than any key, more than {LONGEST_KEY_FILE} bytes")]
    TooLong,
    /// There is no PEM block, or it is broken.
    #[error("not a PEM key: {0}")]
    NotPem(&'static str),
    /// The PEM block holds something else, such as a certificate.
    #[error("holds `{}`, not a key", Printable(.0))]
    NotAKey(String),
    /// A public key stands where a secret one is needed.
    #[error("holds a public key where the secret one is needed")]
    Public,
    /// The key is not encoded as its type asks, or its halves do not belong together.
    #[error("the key is damaged: {0}")]
    Damaged(&'static str),
    /// The key is of a kind that cannot be used here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The key is encrypted and there is no passphrase.
    #[error("the key is encrypted, and there is no passphrase")]
    PassphraseNeeded,
    /// The passphrase is wrong.
    #[error("the passphrase is wrong, or the file is damaged")]
    WrongPassphrase,
    /// The passphrase is empty, or longer than 1024 bytes.
    #[error("a passphrase has 1 to 1024 bytes")]
    BadPassphrase,
    /// OpenSSL's old encryption, whose key is one round of MD5.
    #[error("the key is encrypted in OpenSSL's old form, `Proc-Type: 4,ENCRYPTED`, which protects it poorly")]
    OldEncryption,
    /// The key is encrypted in another way than those of RFC 8018 that we read.
    #[error("the key is encrypted in a way that is not read here")]
    OtherEncryption,
    /// Trying a passphrase would take too much memory or time.
    #[error("trying a passphrase on this file would take too much memory or time: {0}")]
    TooCostly(String),
}

impl KeyFileError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong | Self::NotPem(_) | Self::NotAKey(_) => "not-a-key",
            Self::Public => "public-key-given",
            Self::Damaged(_) => "key-damaged",
            Self::Unsupported(_) => "key-unsupported",
            Self::PassphraseNeeded => "passphrase-needed",
            Self::WrongPassphrase => "wrong-passphrase",
            Self::BadPassphrase => "bad-passphrase",
            Self::OldEncryption | Self::OtherEncryption | Self::TooCostly(_) => "key-encryption",
        }
    }
}

impl From<KeyProblem> for KeyFileError {
    fn from(problem: KeyProblem) -> Self {
        match problem {
            KeyProblem::Encoding(what) => Self::Damaged(what),
            KeyProblem::Unsupported(what) => Self::Unsupported(what),
            KeyProblem::SchemeMismatch => Self::Damaged("the scheme does not fit the key"),
        }
    }
}

impl From<SigningError> for KeyFileError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Unsupported => {
                Self::Unsupported("this build's cryptographic back end cannot sign with this key")
            }
            SigningError::NotAKey | SigningError::Failed => Self::Damaged("its parts do not make a key"),
        }
    }
}

/// What a key is encrypted with. It has no `Debug`, `Clone` or `Serialize`, and is overwritten when dropped.
#[expect(missing_debug_implementations, reason = "a secret must not be printable")]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes a passphrase as it was typed.
    ///
    /// # Errors
    /// When it is empty, or longer than 1024 bytes.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyFileError> {
        if bytes.is_empty() || bytes.len() > LONGEST_PASSPHRASE {
            return Err(KeyFileError::BadPassphrase);
        }
        Ok(Self(bytes))
    }

    /// Takes the content of a passphrase file: the passphrase, and one line end that does not count.
    ///
    /// # Errors
    /// As [`Passphrase::new`].
    pub fn from_file_content(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyFileError> {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self::new(bytes)
    }

    /// It as text, where it is text.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn as_text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.0)
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

/// What a key file holds.
#[expect(missing_debug_implementations, reason = "a secret must not be printable")]
#[non_exhaustive]
pub enum KeyFile {
    /// A public key.
    Public(PublicKey),
    /// A secret key that is encrypted, with words on how.
    Encrypted(String),
    /// A secret key that is not encrypted.
    Secret(Box<SecretKey>),
}

impl KeyFile {
    /// Reads a PEM file: `PUBLIC KEY`, `PRIVATE KEY`, `ENCRYPTED PRIVATE KEY` (PKCS#8, RFC 5958), `EC PRIVATE KEY`
    /// (SEC 1, RFC 5915) or `RSA PRIVATE KEY` (PKCS#1, RFC 8017).
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn read(text: &str) -> Result<Self, KeyFileError> {
        let block = key_block(text)?;
        let secret = |parts: &Parts<'_>| Ok(Self::Secret(Box::new(SecretKey::from_parts(parts)?)));
        match block.label {
            "PUBLIC KEY" => Ok(Self::Public(metadata_form(&SpkiKey::from_der(&block.der)?))),
            "PRIVATE KEY" => secret(&Parts::from_pkcs8(&block.der)?),
            "EC PRIVATE KEY" => secret(&Parts::from_sec1(&block.der, None)?),
            "RSA PRIVATE KEY" => secret(&Parts::Rsa { pkcs1: &block.der }),
            "ENCRYPTED PRIVATE KEY" => Ok(Self::Encrypted(encryption(&block.der)?.1)),
            "OPENSSH PRIVATE KEY" => Err(KeyFileError::Unsupported("the key is in OpenSSH's own form")),
            "RSA PUBLIC KEY" => Err(KeyFileError::Unsupported("the public key is in PKCS#1 form")),
            other => Err(KeyFileError::NotAKey(other.to_owned())),
        }
    }
}

impl SecretKey {
    /// Reads a secret key from PEM, in the forms of [`KeyFile::read`]. A passphrase that is not needed is not used.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn from_pem(text: &str, passphrase: Option<&Passphrase>) -> Result<Self, KeyFileError> {
        match KeyFile::read(text)? {
            KeyFile::Public(_) => Err(KeyFileError::Public),
            KeyFile::Secret(key) => Ok(*key),
            KeyFile::Encrypted(_) => {
                let passphrase = passphrase.ok_or(KeyFileError::PassphraseNeeded)?;
                decrypt(&key_block(text)?.der, passphrase)
            }
        }
    }

    /// Writes the key as encrypted PKCS#8 (RFC 5958): PBES2 with scrypt and AES-256 in CBC mode (RFC 8018, RFC 7914).
    ///
    /// # Errors
    /// When the library has no randomness.
    pub fn to_pem(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, SigningError> {
        let failed = |_| SigningError::Failed;
        let (salt, iv) = (random::<16>()?, random::<16>()?);
        let (log_n, r, p) = SCRYPT;
        let cost = scrypt::Params::new(log_n, r, p, 32).map_err(|_| SigningError::Failed)?;
        let parameters = pbes2::Parameters::scrypt_aes256cbc(cost, salt.as_slice(), &iv).map_err(failed)?;
        let encrypted = parameters.encrypt(&*passphrase.0, &self.pkcs8).map_err(failed)?;
        let info = EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data: &encrypted };
        let der = info.to_der().map_err(|_| SigningError::Failed)?;
        Ok(to_pem("ENCRYPTED PRIVATE KEY", &der))
    }

    /// Writes the key as PKCS#8 without encryption: for throwaway keys, and where the medium is encrypted.
    pub fn to_unencrypted_pem(&self) -> Zeroizing<String> {
        to_pem("PRIVATE KEY", &self.pkcs8)
    }
}

/// One PEM block (RFC 7468).
struct Block<'a> {
    label: &'a str,
    der: Zeroizing<Vec<u8>>,
}

/// Finds the one key of a file. Text around it, and the curve parameters that OpenSSL writes before a key, are skipped.
///
/// Written here because the `pem` crate leaves copies of what it reads in memory.
fn key_block(text: &str) -> Result<Block<'_>, KeyFileError> {
    if text.len() as u64 > LONGEST_KEY_FILE {
        return Err(KeyFileError::TooLong);
    }
    let mut found = None;
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, body) = after.split_once("-----").ok_or(KeyFileError::NotPem("its first line is broken"))?;
        let end = body
            .split_once(&*format!("-----END {label}-----"))
            .ok_or(KeyFileError::NotPem("it has no end; was it cut off?"))?;
        let (body, after) = end;
        rest = after;
        if label == "EC PARAMETERS" {
            continue;
        }
        if found.is_some() {
            return Err(KeyFileError::NotPem("it holds more than one key"));
        }
        found = Some((label, body));
    }
    let (label, body) = found.ok_or(KeyFileError::NotPem("there is no `-----BEGIN` line"))?;
    if body.contains("Proc-Type:") {
        return Err(KeyFileError::OldEncryption);
    }
    let mut compact = Zeroizing::new(Vec::with_capacity(body.len()));
    compact.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; compact.len()]);
    let length = BASE64
        .decode_slice(&*compact, &mut der)
        .map_err(|_| KeyFileError::NotPem("what stands between its first and last line is not base64"))?;
    der.truncate(length);
    Ok(Block { label, der })
}

/// Writes PEM with lines of 64 characters (RFC 7468).
pub(super) fn to_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut body = Zeroizing::new(vec![0; der.len().div_ceil(3) * 4]);
    let length = BASE64.encode_slice(der, &mut body).expect("base64 has four characters for three bytes");
    // With room for all of it, so that no copy stays behind where the text had to grow.
    let mut text = Zeroizing::new(String::with_capacity(length + length / 64 + 2 * label.len() + 64));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in body[..length].chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// How an encrypted key is encrypted, checked to be within bounds, and in words.
fn encryption(der: &[u8]) -> Result<(EncryptedPrivateKeyInfo<'_>, String), KeyFileError> {
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| KeyFileError::OtherEncryption)?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(KeyFileError::OtherEncryption);
    };
    let cipher = match parameters.encryption {
        pbes2::EncryptionScheme::Aes128Cbc { .. } => "AES-128-CBC",
        pbes2::EncryptionScheme::Aes192Cbc { .. } => "AES-192-CBC",
        pbes2::EncryptionScheme::Aes256Cbc { .. } => "AES-256-CBC",
        _ => return Err(KeyFileError::OtherEncryption),
    };
    let derivation = match &parameters.kdf {
        pbes2::Kdf::Pbkdf2(pbkdf2) => {
            let iterations = pbkdf2.iteration_count;
            if iterations == 0 {
                return Err(KeyFileError::OtherEncryption);
            }
            if iterations > MOST_PBKDF2_ITERATIONS {
                return Err(KeyFileError::TooCostly(format!("PBKDF2 with {iterations} iterations")));
            }
            let hash = match pbkdf2.prf {
                pbes2::Pbkdf2Prf::HmacWithSha256 => "SHA-256",
                pbes2::Pbkdf2Prf::HmacWithSha384 => "SHA-384",
                pbes2::Pbkdf2Prf::HmacWithSha512 => "SHA-512",
                _ => return Err(KeyFileError::OtherEncryption),
            };
            format!("PBKDF2 with HMAC-{hash}, {iterations} iterations")
        }
        pbes2::Kdf::Scrypt(scrypt) => {
            let (n, r, p) = (scrypt.cost_parameter, u64::from(scrypt.block_size), u64::from(scrypt.parallelization));
            let said = format!("scrypt with N={n}, r={r}, p={p}");
            // pkcs5 0.7 panics on some of these.
            if n < 2 || !n.is_power_of_two() || r == 0 || p == 0 {
                return Err(KeyFileError::OtherEncryption);
            }
            let memory = n.saturating_mul(r).saturating_mul(128);
            let work = n.saturating_mul(r).saturating_mul(p);
            // The last bound is on the blocks that are mixed one after the other, which are all in memory at once.
            if memory > MOST_SCRYPT_MEMORY || work > MOST_SCRYPT_WORK || r * p > 1 << 16 {
                return Err(KeyFileError::TooCostly(said));
            }
            said
        }
        _ => return Err(KeyFileError::OtherEncryption),
    };
    let words = format!("{derivation}; {cipher}");
    Ok((info, words))
}

fn decrypt(der: &[u8], passphrase: &Passphrase) -> Result<SecretKey, KeyFileError> {
    let (info, _) = encryption(der)?;
    let decrypted =
        info.encryption_algorithm.decrypt(&*passphrase.0, info.encrypted_data).map_err(|error| match error {
            pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }
            | pkcs8::pkcs5::Error::NoPbes1CryptSupport
            | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. } => KeyFileError::OtherEncryption,
            // Padding that is not there: `DecryptFailed` by its name, `EncryptFailed` in what the library returns.
            _ => KeyFileError::WrongPassphrase,
        })?;
    let decrypted = Zeroizing::new(decrypted);
    // One wrong passphrase in 256 leaves something that looks padded as it should be, and is no DER.
    let parts = Parts::from_pkcs8(&decrypted).map_err(|error| match error {
        KeyFileError::Damaged(_) => KeyFileError::WrongPassphrase,
        other => other,
    })?;
    Ok(SecretKey::from_parts(&parts)?)
}

/// The parts of a secret key, as its file holds them.
pub(super) enum Parts<'a> {
    Ed25519 {
        seed: &'a [u8],
        public: Option<&'a [u8]>,
    },
    Ec {
        curve: Curve,
        private: &'a [u8],
        /// An uncompressed point.
        public: Option<&'a [u8]>,
    },
    Rsa {
        pkcs1: &'a [u8],
    },
    MlDsa {
        #[cfg_attr(not(feature = "aws-lc"), expect(dead_code, reason = "ring has no ML-DSA"))]
        kind: KeyKind,
        pkcs8: &'a [u8],
    },
}

impl<'a> Parts<'a> {
    /// Reads a PKCS#8 `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5208, RFC 5958), of either version.
    pub(super) fn from_pkcs8(der: &'a [u8]) -> Result<Self, KeyFileError> {
        const BAD: KeyFileError = KeyFileError::Damaged("not a PKCS#8 private key");
        let info = PrivateKeyInfo::from_der(der).map_err(|_| BAD)?;
        match info.algorithm.oid {
            ED25519 => {
                // An octet string inside an octet string (RFC 8410 section 7).
                let seed = OctetStringRef::from_der(info.private_key).map_err(|_| BAD)?.as_bytes();
                Ok(Self::Ed25519 { seed, public: info.public_key })
            }
            EC => {
                let curve = info.algorithm.parameters_oid().map_err(|_| NAMED_CURVES)?;
                Self::from_sec1(info.private_key, Some(curve))
            }
            RSA => Ok(Self::Rsa { pkcs1: info.private_key }),
            ML_DSA_44 => Ok(Self::MlDsa { kind: KeyKind::MlDsa44, pkcs8: der }),
            ML_DSA_65 => Ok(Self::MlDsa { kind: KeyKind::MlDsa65, pkcs8: der }),
            ML_DSA_87 => Ok(Self::MlDsa { kind: KeyKind::MlDsa87, pkcs8: der }),
            _ => Err(KeyFileError::Unsupported("the key is not Ed25519, ECDSA, RSA or ML-DSA")),
        }
    }

    /// Reads a SEC 1 `ECPrivateKey` (RFC 5915). The curve is named in it, or by what it stands in.
    fn from_sec1(der: &'a [u8], outer: Option<ObjectIdentifier>) -> Result<Self, KeyFileError> {
        const BAD: KeyFileError = KeyFileError::Damaged("not a SEC 1 private key");
        let mut reader = SliceReader::new(der).map_err(|_| BAD)?;
        let (private, parameters, public) = reader
            .sequence(|body| {
                let _version: u8 = body.decode()?;
                let private: OctetStringRef<'a> = body.decode()?;
                let parameters = ContextSpecific::<AnyRef<'a>>::decode_explicit(body, TagNumber::N0)?;
                let public = ContextSpecific::<BitStringRef<'a>>::decode_explicit(body, TagNumber::N1)?;
                Ok((private.as_bytes(), parameters, public))
            })
            .map_err(|_| BAD)?;
        if !reader.is_finished() {
            return Err(BAD);
        }
        let inner = parameters
            .map(|parameters| parameters.value.decode_as::<ObjectIdentifier>().map_err(|_| NAMED_CURVES))
            .transpose()?;
        if inner.is_some() && outer.is_some() && inner != outer {
            return Err(KeyFileError::Damaged("it names two curves"));
        }
        let curve = inner
            .or(outer)
            .and_then(Curve::from_oid)
            .ok_or(KeyFileError::Unsupported("the curve is not P-256, P-384 or P-521"))?;
        if private.len() != curve.field_bytes() {
            return Err(KeyFileError::Damaged("the secret number has not the length of its curve"));
        }
        let public = public
            .map(|public| match public.value.as_bytes() {
                Some(point) if point.first() == Some(&4) => Ok(point),
                Some(_) => Err(KeyFileError::Unsupported("the public half of the key is a compressed point")),
                None => Err(BAD),
            })
            .transpose()?;
        Ok(Self::Ec { curve, private, public })
    }

    /// Writes PKCS#8, version 1, in the one way that we write it. `public` is the point of an ECDSA key.
    pub(super) fn to_pkcs8(&self, public: &[u8]) -> Result<Zeroizing<Vec<u8>>, pkcs8::der::Error> {
        let (algorithm, key) = match self {
            Self::Ed25519 { seed, .. } => (vec![ED25519.to_der()?], tlv(OCTETS, &[seed])),
            Self::Ec { curve, private, .. } => {
                (vec![EC.to_der()?, curve.oid().to_der()?], sec1(*curve, private, Some(public)))
            }
            Self::Rsa { pkcs1 } => (vec![RSA.to_der()?, vec![5, 0]], Zeroizing::new(pkcs1.to_vec())),
            Self::MlDsa { pkcs8, .. } => return Ok(Zeroizing::new(pkcs8.to_vec())),
        };
        let algorithm: Vec<&[u8]> = algorithm.iter().map(Vec::as_slice).collect();
        Ok(tlv(SEQUENCE, &[&[INTEGER, 1, 0], &tlv(SEQUENCE, &algorithm), &tlv(OCTETS, &[&key])]))
    }
}

const NAMED_CURVES: KeyFileError = KeyFileError::Unsupported("the curve is not given by its name");

/// An `ECPrivateKey` (RFC 5915), with its curve.
pub(super) fn sec1(curve: Curve, private: &[u8], public: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
    let oid = curve.oid().to_der().unwrap_or_default();
    let public = public.map(|point| tlv(0xa1, &[&tlv(BITS, &[&[0], point])]));
    let public: &[u8] = public.as_ref().map_or(&[], |public| public);
    tlv(SEQUENCE, &[&[INTEGER, 1, 1], &tlv(OCTETS, &[private]), &tlv(0xa0, &[&oid]), public])
}

const INTEGER: u8 = 2;
const BITS: u8 = 3;
const OCTETS: u8 = 4;
const SEQUENCE: u8 = 0x30;

/// One DER value. Written here because the encoders of the libraries leave copies of secrets behind.
fn tlv(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Zeroizing::new(Vec::with_capacity(length + 6));
    der.push(tag);
    let digits = length.to_be_bytes();
    match length {
        0..=0x7f => der.push(digits[digits.len() - 1]),
        _ => {
            let digits = &digits[length.leading_zeros() as usize / 8..];
            der.push(0x80 | digits.len().to_le_bytes()[0]);
            der.extend_from_slice(digits);
        }
    }
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    fn key() -> SecretKey {
        SecretKey::ed25519_from_seed(&[7; 32]).unwrap()
    }

    fn error(text: &str, given: Option<&Passphrase>) -> KeyFileError {
        SecretKey::from_pem(text, given).err().unwrap()
    }

    /// A file that asks for this work before its passphrase can be tried. It holds no key.
    fn asking_for(parameters: pbes2::Parameters<'_>) -> String {
        let info = EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data: &[0; 48] };
        to_pem("ENCRYPTED PRIVATE KEY", &info.to_der().unwrap()).to_string()
    }

    #[test]
    fn a_key_is_opened_by_its_passphrase_alone() {
        let pem = key().to_pem(&passphrase("right")).unwrap();
        let opened = SecretKey::from_pem(&pem, Some(&passphrase("right"))).ok().unwrap();
        assert_eq!(opened.public(), key().public());
        for wrong in ["wrong", "right ", "right\n", "Right"] {
            assert_eq!(error(&pem, Some(&passphrase(wrong))), KeyFileError::WrongPassphrase, "{wrong:?}");
        }
        assert_eq!(error(&pem, None), KeyFileError::PassphraseNeeded);
        // Damaged on its way, it does not say that the passphrase was right.
        let mut der = key_block(&pem).unwrap().der;
        *der.last_mut().unwrap() ^= 1;
        let damaged = to_pem("ENCRYPTED PRIVATE KEY", &der);
        assert_eq!(error(&damaged, Some(&passphrase("right"))), KeyFileError::WrongPassphrase);
    }

    #[test]
    fn one_key_encrypted_twice_shows_nothing_in_common() {
        let (one, other) = (key().to_pem(&passphrase("same")).unwrap(), key().to_pem(&passphrase("same")).unwrap());
        let (one, other) = (key_block(&one).unwrap().der, key_block(&other).unwrap().der);
        assert_ne!(one[one.len() - 48..], other[other.len() - 48..]);
        assert!(!one.windows(32).any(|window| window == [7; 32]));
    }

    #[test]
    fn a_passphrase_has_a_length_and_a_line_end_does_not_count() {
        let from_file = |bytes: &[u8]| Passphrase::from_file_content(Zeroizing::new(bytes.to_vec()));
        for same in [&b"word"[..], b"word\n", b"word\r\n"] {
            assert!(from_file(same).ok().unwrap().is(&passphrase("word")));
        }
        assert!(from_file(b"word\n\n").ok().unwrap().is(&passphrase("word\n")));
        for bad in [&b""[..], b"\n", b"\r\n", &[b'x'; LONGEST_PASSPHRASE + 1]] {
            assert_eq!(from_file(bad).err(), Some(KeyFileError::BadPassphrase));
        }
    }

    #[test]
    fn a_public_key_does_not_pass_for_a_secret_one() {
        let pem = crate::crypto::spki_to_pem(key().canonical_spki()).unwrap();
        assert_eq!(error(&pem, None), KeyFileError::Public);
        assert!(matches!(KeyFile::read(&pem), Ok(KeyFile::Public(public)) if public == *key().public()));
    }

    #[test]
    fn the_old_encryption_of_openssl_is_refused_by_name() {
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                   -----END RSA PRIVATE KEY-----\n";
        assert_eq!(error(old, Some(&passphrase("any"))), KeyFileError::OldEncryption);
    }

    #[test]
    fn a_file_that_asks_for_too_much_work_is_refused_before_it_is_done() {
        let scrypt = |log_n, r, p| {
            let cost = scrypt::Params::new(log_n, r, p, 32).unwrap();
            asking_for(pbes2::Parameters::scrypt_aes256cbc(cost, &[1; 16], &[2; 16]).unwrap())
        };
        let pbkdf2 = |iterations| {
            asking_for(pbes2::Parameters::pbkdf2_sha256_aes256cbc(iterations, &[1; 16], &[2; 16]).unwrap())
        };
        // Memory; work that `p` asks for; blocks that are in memory at once.
        let hostile =
            [scrypt(19, 8, 1), scrypt(30, 8, 1), scrypt(14, 8, 512), scrypt(1, 8, 1 << 14), scrypt(1, 1 << 15, 4)];
        for file in &hostile {
            let refused = error(file, Some(&passphrase("any")));
            assert!(matches!(refused, KeyFileError::TooCostly(_)), "{refused}");
            assert_eq!(refused.code(), "key-encryption");
            // Looking at it is refused too: a program that shows it would be asked for a passphrase next.
            assert!(matches!(KeyFile::read(file), Err(KeyFileError::TooCostly(_))));
        }
        // The library writes no more iterations than we read, so the file is altered.
        let most = pbkdf2(MOST_PBKDF2_ITERATIONS);
        let mut more = key_block(&most).unwrap().der;
        let iterations = MOST_PBKDF2_ITERATIONS.to_be_bytes();
        let at = more.windows(4).position(|window| window == iterations).unwrap();
        more[at + 3] += 1;
        let refused = error(&to_pem("ENCRYPTED PRIVATE KEY", &more), Some(&passphrase("any")));
        assert_eq!(refused.code(), "key-encryption");
        for fine in [most, scrypt(17, 8, 1), scrypt(SCRYPT.0, SCRYPT.1, SCRYPT.2), pbkdf2(600_000)] {
            assert!(matches!(KeyFile::read(&fine), Ok(KeyFile::Encrypted(_))));
        }
    }

    #[test]
    fn parameters_that_mean_nothing_are_refused_and_never_panic() {
        for (cost_parameter, block_size, parallelization) in
            [(15, 8, 1), (1, 8, 1), (0, 8, 1), (1 << 14, 0, 1), (1 << 14, 8, 0), (0, 0, 0)]
        {
            let kdf = pbes2::Kdf::Scrypt(pbes2::ScryptParams {
                salt: b"salt",
                cost_parameter,
                block_size,
                parallelization,
                key_length: None,
            });
            let file =
                asking_for(pbes2::Parameters { kdf, encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: &[0; 16] } });
            assert_eq!(error(&file, Some(&passphrase("any"))), KeyFileError::OtherEncryption, "N={cost_parameter}");
        }
    }

    #[test]
    fn a_file_that_is_longer_than_any_key_is_not_read() {
        let pem = key().to_unencrypted_pem();
        let limit = usize::try_from(LONGEST_KEY_FILE).unwrap();
        let padded = |length: usize| format!("{}{}", *pem, " ".repeat(length - pem.len()));
        assert!(SecretKey::from_pem(&padded(limit), None).is_ok());
        assert_eq!(error(&padded(limit + 1), None), KeyFileError::TooLong);
    }

    #[test]
    fn what_is_no_key_says_why() {
        let pem = key().to_unencrypted_pem();
        let certificate = pem.replace("PRIVATE KEY", "CERTIFICATE");
        for (text, expected) in [
            ("", "not a PEM key: there is no `-----BEGIN` line"),
            ("-----BEGIN PRIVATE KEY", "not a PEM key: its first line is broken"),
            (&pem[..pem.len() - 8], "not a PEM key: it has no end; was it cut off?"),
            (&format!("{}{}", *pem, *pem), "not a PEM key: it holds more than one key"),
            (
                &pem.replacen("MC4", "*!*", 1),
                "not a PEM key: what stands between its first and last line is not base64",
            ),
            (&certificate, "holds `CERTIFICATE`, not a key"),
            (&pem.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"), "the key is in OpenSSH's own form"),
            (&to_pem("PRIVATE KEY", b"no DER"), "the key is damaged: not a PKCS#8 private key"),
        ] {
            assert_eq!(error(text, None).to_string(), expected);
        }
        // Text around the block is how some tools label a key.
        assert!(SecretKey::from_pem(&format!("my key\n{}\nthat was it", *pem), None).is_ok());
    }
}
