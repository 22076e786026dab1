//! Whether a key was made in a device that does not give it away: the attestations of YubiKeys' PIV application.
//!
//! A YubiKey signs a certificate over a key that it has made, with a key (of slot f9, one for a batch of devices) that
//! Yubico has certified. Everything
//! but the roots is attacker-controlled. What is proved is said by [`AttestedKey`], which is made here alone: which key,
//! in which device, and under which rules it signs. Not proved is who holds the device, nor that it is still there: there
//! is no list of revoked devices.

mod certificate;
mod device;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::crypto::canonical_spki;
use crate::printable::Printable;
use certificate::Certificate;
pub use device::{AttestedKey, Policy};

/// Longest file with certificates that is read, in bytes.
pub const LONGEST_CHAIN_FILE: u64 = 64 << 10;

/// Most certificates that are looked at for one key.
const MOST_CERTIFICATES: usize = 16;

/// Most keys of which attestations are looked at together.
const MOST_CHAINS: usize = 1000;
const TOO_MANY_CHAINS: &str = "there are more of its kind than are looked at, 1000";

/// Yubico's root for attestations of the PIV application, of 2016, serial number 263751.
const YUBICO_PIV_ROOT: &str = include_str!("yubico_piv_root_ca_263751.pem");

/// The authorities that are believed about devices.
#[derive(Debug, Clone)]
pub struct DeviceRoots(Vec<Anchor>);

#[derive(Debug, Clone)]
struct Anchor {
    certificate: Certificate,
    built_in: bool,
}

impl DeviceRoots {
    /// Yubico's root of the PIV application that this program knows.
    pub fn built_in() -> Self {
        let known =
            Certificate::all_of_pem(YUBICO_PIV_ROOT.as_bytes()).expect("the root that is built in is well-formed");
        Self(known.into_iter().map(|certificate| Anchor { certificate, built_in: true }).collect())
    }

    /// Adds roots that somebody vouches for, as PEM.
    ///
    /// # Errors
    /// When that is no PEM of certificates.
    pub fn add(&mut self, pem: &[u8]) -> Result<(), AttestationError> {
        let more = Certificate::all_of_pem(pem)?;
        if self.0.len() + more.len() > MOST_CERTIFICATES {
            return Err(AttestationError::TooMany);
        }
        self.0.extend(more.into_iter().map(|certificate| Anchor { certificate, built_in: false }));
        Ok(())
    }
}

/// Verifies what a device says of a key.
///
/// `chain` is PEM: the first certificate is the device's about the key; the others, in any order, lead to one of the roots.
/// All of them must be valid at `at`.
///
/// # Errors
/// When the chain does not lead to a root, a certificate in it may not certify others, or the first is no attestation.
pub fn verify_attestation(
    chain: &[&[u8]],
    roots: &DeviceRoots,
    at: DateTime<Utc>,
) -> Result<AttestedKey, AttestationError> {
    let mut certificates = Vec::new();
    for pem in chain {
        certificates.extend(Certificate::all_of_pem(pem)?);
        if certificates.len() > MOST_CERTIFICATES {
            return Err(AttestationError::TooMany);
        }
    }
    let others = certificates.split_off(1.min(certificates.len()));
    let leaf = certificates.pop().ok_or(AttestationError::Malformed("it holds no certificate"))?;
    let anchor = climb(&leaf, &others, roots, at)?;
    let spki = canonical_spki(&leaf.public_key).map_err(|problem| AttestationError::Unusable(problem.to_string()))?;
    device::read(&leaf, spki, &anchor.certificate, anchor.built_in)
}

/// Whether this is PEM of certificates and of nothing else. Nothing of them is verified.
///
/// # Errors
/// When it is not.
#[cfg(feature = "maintainer")]
pub(crate) fn check_certificates(pem: &[u8]) -> Result<(), AttestationError> {
    Certificate::all_of_pem(pem).map(drop)
}

/// Follows the signatures from a certificate to a root.
fn climb<'r>(
    leaf: &Certificate,
    others: &[Certificate],
    roots: &'r DeviceRoots,
    at: DateTime<Utc>,
) -> Result<&'r Anchor, AttestationError> {
    let mut current = leaf;
    current.valid_at(at)?;
    // How many certificates have certified others, below the one that is looked for (RFC 5280 section 4.2.1.9).
    for depth in 0..=others.len() {
        if let Some(anchor) = roots.0.iter().find(|anchor| anchor.certificate.issued(current)) {
            anchor.certificate.valid_at(at)?;
            anchor.certificate.may_certify(depth)?;
            return Ok(anchor);
        }
        let Some(issuer) = others.iter().find(|other| other.issued(current)) else {
            let named = |certificate: &Certificate| certificate.subject == current.issuer;
            let name = current.shown_issuer();
            return Err(if others.iter().chain(roots.0.iter().map(|anchor| &anchor.certificate)).any(named) {
                AttestationError::NotSigned { certificate: current.shown_subject(), issuer: name }
            } else {
                AttestationError::NoIssuer { certificate: current.shown_subject(), issuer: name }
            });
        };
        issuer.valid_at(at)?;
        issuer.may_certify(depth)?;
        current = issuer;
    }
    Err(AttestationError::Circle)
}

/// Attestations that lie beside keys, as they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Chains in PEM, by the name of their file.
    pub chains: BTreeMap<String, Vec<u8>>,
    /// Roots besides the one that is built in, in PEM, by the name of their file.
    pub roots: BTreeMap<String, Vec<u8>>,
}

/// What [`Evidence`] proves.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// Whether there was anything.
    pub any: bool,
    /// What is proved, by file.
    pub proved: BTreeMap<String, AttestedKey>,
    /// What proves nothing, by file, and why.
    pub problems: BTreeMap<String, String>,
}

impl Evidence {
    /// Verifies all of it.
    pub fn judge(&self, at: DateTime<Utc>) -> Judged {
        let mut judged = Judged { any: !self.chains.is_empty(), ..Judged::default() };
        if self.chains.len() > MOST_CHAINS {
            judged.problems.extend(self.chains.keys().map(|name| (name.clone(), TOO_MANY_CHAINS.to_owned())));
            return judged;
        }
        let mut roots = DeviceRoots::built_in();
        for (name, pem) in &self.roots {
            if let Err(error) = roots.add(pem) {
                judged.problems.insert(name.clone(), error.to_string());
            }
        }
        for (name, pem) in &self.chains {
            match verify_attestation(&[pem], &roots, at) {
                Ok(key) => drop(judged.proved.insert(name.clone(), key)),
                Err(error) => drop(judged.problems.insert(name.clone(), error.to_string())),
            }
        }
        judged
    }
}

impl Judged {
    /// What is proved of a key, by its canonical SubjectPublicKeyInfo.
    pub fn of(&self, spki: &[u8]) -> Option<&AttestedKey> {
        self.proved.values().find(|key| key.spki() == spki)
    }
}

/// Why a chain of certificates proves nothing about a key. Names from certificates are escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// Not PEM of certificates, or a certificate that is not DER.
    #[error("not a chain of certificates in PEM: {0}")]
    Malformed(&'static str),
    /// Longer than any file with a chain.
    #[error("not a chain of certificates in PEM: it is longer than {LONGEST_CHAIN_FILE} bytes")]
    TooLong,
    /// More certificates than any chain has.
    #[error("more than {MOST_CERTIFICATES} certificates")]
    TooMany,
    /// A certificate is not valid at that time.
    #[error("the certificate \"{certificate}\" is valid from {from} until {until}, and not at {at}")]
    NotValid {
        /// Which, by its subject.
        certificate: String,
        /// The beginning of its period.
        from: String,
        /// The end of its period.
        until: String,
        /// The time in question.
        at: String,
    },
    /// Nothing at hand issued a certificate.
    #[error("the certificate \"{certificate}\" is by \"{issuer}\", which is neither given nor a root that is believed")]
    NoIssuer {
        /// Which, by its subject.
        certificate: String,
        /// Whom it names.
        issuer: String,
    },
    /// Something of the issuer's name is at hand, and its key did not sign.
    #[error(
        "the certificate \"{certificate}\" is not signed by the \"{issuer}\" that is given: another batch's, or a forgery"
    )]
    NotSigned {
        /// Which, by its subject.
        certificate: String,
        /// Whom it names.
        issuer: String,
    },
    /// A certificate certifies another, and may not.
    #[error("the certificate \"{certificate}\" may not certify another: {why}")]
    NotAnAuthority {
        /// Which, by its subject.
        certificate: String,
        /// Why.
        why: &'static str,
    },
    /// The certificates lead in a circle.
    #[error("the certificates lead to no root")]
    Circle,
    /// The first certificate is no attestation of a key.
    #[error("the first certificate is no attestation of a key: {0}")]
    NotAnAttestation(&'static str),
    /// The key is known to be weak.
    #[error(
        "the key is an RSA key made by firmware {firmware}, and can be computed from its public half (CVE-2017-15361)"
    )]
    WeakKey {
        /// The firmware.
        firmware: String,
    },
    /// The attested key is none for metadata.
    #[error("the attested key cannot sign metadata: {0}")]
    Unusable(String),
}

impl AttestationError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::TooLong | Self::TooMany => "attestation-malformed",
            Self::NotValid { .. }
            | Self::NoIssuer { .. }
            | Self::NotSigned { .. }
            | Self::NotAnAuthority { .. }
            | Self::Circle => "attestation-chain",
            Self::NotAnAttestation(_) | Self::WeakKey { .. } | Self::Unusable(_) => "attestation-refused",
        }
    }
}

fn shown(name: &str) -> String {
    Printable(name).to_string()
}
