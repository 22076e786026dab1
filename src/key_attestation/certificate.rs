//! Certificates (RFC 5280), as far as a chain of a few needs it. Nothing in them is believed before a root answers for it.

use chrono::{DateTime, SecondsFormat, Utc};
use spki::der::asn1::{AnyRef, ObjectIdentifier};
use spki::der::{Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::{AttestationError, MOST_CERTIFICATES, shown};
use crate::crypto::{Algorithm, VerifyingKey};

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// A certificate that is well-formed, and no more.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    /// The whole of it.
    pub(super) der: Vec<u8>,
    /// What its issuer signed.
    signed: Vec<u8>,
    signature: Vec<u8>,
    algorithm: ObjectIdentifier,
    /// Names in DER, which are compared byte by byte.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// The subject's name in words (RFC 4514). Attacker-controlled text.
    pub(super) subject_name: String,
    issuer_name: String,
    /// SubjectPublicKeyInfo in DER.
    pub(super) public_key: Vec<u8>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// Identifier, whether it is critical, content; each identifier once.
    pub(super) extensions: Vec<(ObjectIdentifier, bool, Vec<u8>)>,
}

impl Certificate {
    /// Reads the certificates of a PEM file.
    pub(super) fn all_of_pem(pem: &[u8]) -> Result<Vec<Self>, AttestationError> {
        if pem.len() as u64 > super::LONGEST_CHAIN_FILE {
            return Err(AttestationError::TooLong);
        }
        let blocks = pem::parse_many(pem).map_err(|_| AttestationError::Malformed("it is not PEM"))?;
        if blocks.is_empty() {
            return Err(AttestationError::Malformed("it holds no certificate"));
        }
        if blocks.len() > MOST_CERTIFICATES {
            return Err(AttestationError::TooMany);
        }
        blocks
            .iter()
            .map(|block| match block.tag() {
                "CERTIFICATE" => Self::from_der(block.contents()),
                tag if tag.contains("PRIVATE") => Err(AttestationError::Malformed("it holds a SECRET key")),
                _ => Err(AttestationError::Malformed("it holds something else than certificates")),
            })
            .collect()
    }

    fn from_der(der: &[u8]) -> Result<Self, AttestationError> {
        let read = || -> spki::der::Result<Self> {
            let parsed = x509_cert::Certificate::from_der(der)?;
            let fields = &parsed.tbs_certificate;
            // As it came, not as it would be written anew: the signature is over these bytes.
            let signed = SliceReader::new(AnyRef::from_der(der)?.value())?.tlv_bytes()?.to_vec();
            let time = |time: x509_cert::time::Time| {
                let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
                DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
            };
            let extension = |extension: &x509_cert::ext::Extension| {
                (extension.extn_id, extension.critical, extension.extn_value.as_bytes().to_vec())
            };
            Ok(Self {
                der: der.to_vec(),
                signed,
                signature: parsed.signature.as_bytes().unwrap_or_default().to_vec(),
                algorithm: parsed.signature_algorithm.oid,
                subject: fields.subject.to_der()?,
                issuer: fields.issuer.to_der()?,
                subject_name: fields.subject.to_string(),
                issuer_name: fields.issuer.to_string(),
                public_key: fields.subject_public_key_info.to_der()?,
                from: time(fields.validity.not_before),
                until: time(fields.validity.not_after),
                extensions: fields.extensions.iter().flatten().map(extension).collect(),
            })
        };
        let read = read().map_err(|_| AttestationError::Malformed("a certificate is malformed, or cut off"))?;
        let ids: std::collections::BTreeSet<_> = read.extensions.iter().map(|(id, _, _)| id).collect();
        if ids.len() != read.extensions.len() {
            return Err(AttestationError::Malformed("a certificate has one extension twice"));
        }
        Ok(read)
    }

    pub(super) fn shown_subject(&self) -> String {
        shown(&self.subject_name)
    }

    pub(super) fn shown_issuer(&self) -> String {
        shown(&self.issuer_name)
    }

    pub(super) fn extension(&self, wanted: ObjectIdentifier) -> Option<&[u8]> {
        self.extensions.iter().find(|(id, _, _)| *id == wanted).map(|(_, _, content)| content.as_slice())
    }

    /// Whether this certificate's key signed that one, which names it as its issuer.
    pub(super) fn issued(&self, other: &Self) -> bool {
        let algorithms: &[Algorithm] = match other.algorithm {
            SHA256_WITH_RSA => &[Algorithm::RsaPkcs1Sha256],
            SHA384_WITH_RSA => &[Algorithm::RsaPkcs1Sha384],
            SHA512_WITH_RSA => &[Algorithm::RsaPkcs1Sha512],
            ECDSA_WITH_SHA256 => &[Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha256],
            ECDSA_WITH_SHA384 => &[Algorithm::EcdsaP384Sha384],
            _ => &[],
        };
        self.subject == other.issuer
            && algorithms
                .iter()
                .filter_map(|algorithm| VerifyingKey::from_spki(&self.public_key, *algorithm).ok())
                .any(|key| key.verifies(&other.signed, &other.signature))
    }

    /// Whether it is valid at a time, both ends included.
    pub(super) fn valid_at(&self, at: DateTime<Utc>) -> Result<(), AttestationError> {
        if (self.from..=self.until).contains(&at) {
            return Ok(());
        }
        let words = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        Err(AttestationError::NotValid {
            certificate: self.shown_subject(),
            from: words(self.from),
            until: words(self.until),
            at: words(at),
        })
    }

    /// Whether it may certify others (RFC 5280 sections 4.2.1.3 and 4.2.1.9), with `below` authorities between it and the
    /// end of the chain.
    pub(super) fn may_certify(&self, below: usize) -> Result<(), AttestationError> {
        let refused = |why| Err(AttestationError::NotAnAuthority { certificate: self.shown_subject(), why });
        self.knows_what_is_critical()?;
        let Some(constraints) = self.extension(BASIC_CONSTRAINTS).map(BasicConstraints::from_der) else {
            return refused("it is not one of an authority");
        };
        match constraints {
            Ok(BasicConstraints { ca: true, path_len_constraint }) => {
                if path_len_constraint.is_some_and(|most| below > usize::from(most)) {
                    return refused("there are more authorities below it than it allows");
                }
            }
            Ok(_) => return refused("it is not one of an authority"),
            Err(_) => return refused("its constraints cannot be read"),
        }
        match self.extension(KEY_USAGE).map(KeyUsage::from_der) {
            None => Ok(()),
            Some(Ok(usage)) if usage.key_cert_sign() => Ok(()),
            Some(_) => refused("its key is for something else"),
        }
    }

    /// A critical extension that is not understood must not be passed over (RFC 5280 section 4.2).
    pub(super) fn knows_what_is_critical(&self) -> Result<(), AttestationError> {
        let unknown = |(id, critical, _): &(ObjectIdentifier, bool, Vec<u8>)| {
            *critical && ![BASIC_CONSTRAINTS, KEY_USAGE].contains(id) && !super::device::is_known(*id)
        };
        if self.extensions.iter().any(unknown) {
            let why = "it has a critical extension that is not known here";
            return Err(AttestationError::NotAnAuthority { certificate: self.shown_subject(), why });
        }
        Ok(())
    }

    /// Whether it says of itself that it may certify others.
    pub(super) fn is_of_an_authority(&self) -> bool {
        self.extension(BASIC_CONSTRAINTS)
            .is_some_and(|content| BasicConstraints::from_der(content).is_ok_and(|it| it.ca))
    }
}
