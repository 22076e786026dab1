//! What a YubiKey says of a key that it has made, in the extensions of its certificate.
//!
//! Source: Yubico's "PIV attestation", object identifiers below 1.3.6.1.4.1.41482.3. The device signs such a certificate
//! only for a key that it has made itself; for one that was imported it refuses.

use std::fmt;

use spki::der::Decode as _;
use spki::der::asn1::{ObjectIdentifier, UintRef};

use super::certificate::Certificate;
use super::{AttestationError, shown};
use crate::crypto::{Algorithm, VerifyingKey, sha256};

const FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.3");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
const POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");
const FORM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.9");

pub(super) fn is_known(id: ObjectIdentifier) -> bool {
    [FIRMWARE, SERIAL, POLICIES, FORM].contains(&id)
}

/// When something is asked for before the key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Never: whoever holds the device, or has its port, has the key sign.
    Never,
    /// Once, until the device is taken out.
    Once,
    /// Each time.
    Always,
    /// At most every 15 seconds.
    Cached,
    /// A fingerprint instead of the PIN, once.
    MatchOnce,
    /// A fingerprint instead of the PIN, each time.
    MatchAlways,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Once => "once",
            Self::Always => "always",
            Self::Cached => "cached for 15 s",
            Self::MatchOnce => "once, or a fingerprint",
            Self::MatchAlways => "always, or a fingerprint",
        })
    }
}

/// A key that a device made and keeps, as a root answers for. Made by [`super::verify_attestation`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttestedKey {
    spki: Vec<u8>,
    /// The firmware of the device when it made this statement, such as `5.4.3`.
    pub firmware: String,
    /// The serial number of the device, where it says it. It stands on the device too.
    pub serial: Option<u64>,
    /// The place in the device, such as `9c`, where it says it.
    pub slot: Option<String>,
    /// When it asks for the PIN.
    pub pin: Policy,
    /// When it asks to be touched.
    pub touch: Policy,
    /// What the device looks like, in words.
    pub form: &'static str,
    /// Whether it is of the series that is certified by FIPS 140.
    pub fips: bool,
    /// The subject of the root that answers for the device, escaped.
    pub root: String,
    /// The SHA-256 of that root's certificate.
    pub root_sha256: [u8; 32],
    /// Whether that root is built into this program. Another was named by somebody.
    pub root_is_built_in: bool,
}

impl AttestedKey {
    /// The one DER SubjectPublicKeyInfo of the key.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl fmt::Display for AttestedKey {
    /// All that is proved, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let series = self.firmware.split('.').next().unwrap_or_default();
        write!(f, "made in a YubiKey {series}{}", if self.fips { " FIPS" } else { "" })?;
        match self.serial {
            Some(serial) => write!(f, ", serial {serial}")?,
            None => write!(f, ", serial not told")?,
        }
        write!(f, ", firmware {}", self.firmware)?;
        if let Some(slot) = &self.slot {
            write!(f, ", slot {slot}")?;
        }
        write!(f, "; PIN {}, touch {}", self.pin, self.touch)?;
        if !self.root_is_built_in {
            // Whoever chose that root could have made all of it.
            write!(f, "; on the word of \"{}\", SHA-256 {}", self.root, hex::encode(self.root_sha256))?;
        }
        Ok(())
    }
}

/// Reads the statement of a device, in a certificate that a root answers for.
pub(super) fn read(
    leaf: &Certificate,
    spki: Vec<u8>,
    root: &Certificate,
    built_in: bool,
) -> Result<AttestedKey, AttestationError> {
    let not = AttestationError::NotAnAttestation;
    if leaf.is_of_an_authority() {
        return Err(not("it is a certificate of an authority"));
    }
    leaf.knows_what_is_critical()?;
    let Some([major, minor, patch]) = leaf.extension(FIRMWARE) else {
        return Err(not("it does not say the firmware of the device"));
    };
    let Some([pin, touch]) = leaf.extension(POLICIES) else {
        return Err(not("it does not say when PIN and touch are asked for"));
    };
    let serial = match leaf.extension(SERIAL).map(UintRef::from_der) {
        None => None,
        Some(Ok(number)) if number.as_bytes().len() <= 8 => {
            Some(number.as_bytes().iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        }
        Some(_) => return Err(not("the serial number in it is malformed")),
    };
    let firmware = format!("{major}.{minor}.{patch}");
    // The primes of these RSA keys were chosen badly by the chip's library (ROCA).
    let roca = (4, 2, 6)..(4, 3, 5);
    let is_rsa = VerifyingKey::from_spki(&spki, Algorithm::RsaPkcs1Sha256).is_ok();
    if is_rsa && roca.contains(&(*major, *minor, *patch)) {
        return Err(AttestationError::WeakKey { firmware });
    }
    let pin = match pin {
        1 => Policy::Never,
        2 => Policy::Once,
        3 => Policy::Always,
        4 => Policy::MatchOnce,
        5 => Policy::MatchAlways,
        _ => return Err(not("when it asks for the PIN is not known here")),
    };
    let touch = match touch {
        1 => Policy::Never,
        2 => Policy::Always,
        3 => Policy::Cached,
        _ => return Err(not("when it asks to be touched is not known here")),
    };
    let form = leaf.extension(FORM).and_then(|content| content.first().copied()).unwrap_or_default();
    Ok(AttestedKey {
        spki,
        firmware,
        serial,
        slot: slot(&leaf.subject_name),
        pin,
        touch,
        form: match form & 0x3f {
            1 => "USB-A",
            2 => "USB-A nano",
            3 => "USB-C",
            4 => "USB-C nano",
            5 => "USB-C and Lightning",
            6 => "USB-A with a fingerprint reader",
            7 => "USB-C with a fingerprint reader",
            _ => "not told",
        },
        fips: form & 0x80 != 0,
        root: shown(&root.subject_name),
        root_sha256: sha256(&root.der),
        root_is_built_in: built_in,
    })
}

/// The slot stands at the end of the subject: `CN=YubiKey PIV Attestation 9c`.
fn slot(subject: &str) -> Option<String> {
    let slot = subject.strip_prefix("CN=YubiKey PIV Attestation ")?;
    let known = matches!(u8::from_str_radix(slot, 16), Ok(0x9a | 0x9c | 0x9d | 0x9e | 0x82..=0x95));
    (known && slot.len() == 2).then(|| slot.to_owned())
}
