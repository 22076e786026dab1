//! A public key as Sigstore writes it in JSON (protobuf-specs, `PublicKey`), with the period in which it may be used.
//!
//! npm's `keys.json`, Sigstore's `trusted_root.json` and our builder documents all hold keys in this shape.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::crypto::{Algorithm, KeyProblem, VerifyingKey, canonical_spki};
use crate::input;
use crate::printable::Printable;

/// A public key and when it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedKey {
    /// The key.
    pub key: VerifyingKey,
    /// When it may be used.
    pub valid_for: ValidFor,
}

/// When a key may be used: a period that includes both ends (protobuf-specs, `TimeRange`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ValidFor {
    /// The first moment.
    pub start: DateTime<Utc>,
    /// The last moment, where it is known.
    pub end: Option<DateTime<Utc>>,
}

/// Why a key verifies nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum DisabledKey {
    /// The entry does not have the shape of a key.
    #[error("not of the expected shape: {}", Printable(.0))]
    Shape(String),
    /// We do not know how its signatures are made.
    #[error("the key details `{}` are not ones that we know", Printable(.0))]
    UnknownDetails(String),
    /// The key's bytes are not a key that this build can use.
    #[error("{0}")]
    Unusable(&'static str),
    /// The key is of another kind or size than its details say.
    #[error("the details say {expected}, but the key is {found}")]
    OtherKind {
        /// What the details say.
        expected: &'static str,
        /// What the key is.
        found: String,
    },
    /// No period of validity is given, or one that cannot be read.
    ///
    /// An absent period could mean "for ever", or be a misspelt name; only one of the two is safe to assume.
    #[error("it has no period of validity that can be read")]
    NoValidity,
}

impl ValidFor {
    /// Whether the period includes `time`.
    pub fn includes(&self, time: DateTime<Utc>) -> bool {
        self.start <= time && self.end.is_none_or(|end| time <= end)
    }
}

impl fmt::Display for ValidFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {}", self.start.to_rfc3339_opts(SecondsFormat::AutoSi, true))?;
        match self.end {
            Some(end) => write!(f, " to {}", end.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => Ok(()),
        }
    }
}

/// `dev.sigstore.common.v1.PublicKey` (protobuf-specs `sigstore_common.proto`) in JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublicKeyJson {
    #[serde(default)]
    raw_bytes: String,
    #[serde(default)]
    key_details: String,
    valid_for: Option<TimeRangeJson>,
}

#[derive(Debug, Deserialize)]
struct TimeRangeJson {
    start: Option<String>,
    end: Option<String>,
}

impl PublicKeyJson {
    /// Reads the key of an entry whose other parts may be good: an entry without one is an entry that is disabled.
    pub(crate) fn read_from(json: Option<&Value>) -> Result<TimedKey, DisabledKey> {
        Self::deserialize(json.unwrap_or(&Value::Null))
            .map_err(|error| DisabledKey::Shape(error.to_string()))
            .and_then(|key| key.read())
    }

    /// What tells this physical key from others, also where its details or its period disable it: the canonical
    /// SubjectPublicKeyInfo, or the bytes as they stand where they are none.
    pub(crate) fn identity(json: Option<&Value>) -> Option<Vec<u8>> {
        let der = input::base64(json?.get("rawBytes")?.as_str()?)?;
        Some(canonical_spki(&der).unwrap_or(der))
    }

    pub(crate) fn read(&self) -> Result<TimedKey, DisabledKey> {
        let (algorithm, expected) =
            from_key_details(&self.key_details).ok_or_else(|| DisabledKey::UnknownDetails(self.key_details.clone()))?;
        let der = input::base64(&self.raw_bytes).ok_or(DisabledKey::Unusable("the key is not base64"))?;
        let key = VerifyingKey::from_spki(&der, algorithm).map_err(|problem| match problem {
            KeyProblem::Unsupported(why) | KeyProblem::Encoding(why) => DisabledKey::Unusable(why),
            KeyProblem::SchemeMismatch => DisabledKey::Unusable("the key is not of the kind that its details say"),
        })?;
        if key.describe() != expected {
            return Err(DisabledKey::OtherKind { expected, found: key.describe() });
        }
        let valid_for = self.valid_for.as_ref().and_then(TimeRangeJson::read).ok_or(DisabledKey::NoValidity)?;
        Ok(TimedKey { key, valid_for })
    }
}

impl TimeRangeJson {
    fn read(&self) -> Option<ValidFor> {
        let start = input::time(self.start.as_ref()?)?;
        let end = match &self.end {
            Some(end) => Some(input::time(end)?),
            None => None,
        };
        Some(ValidFor { start, end })
    }
}

/// Sigstore's `PublicKeyDetails`: how signatures are made, and the kind and size of key.
///
/// Left out are the deprecated values, which leave hash or size open, and the ones that no back end has.
const KEY_DETAILS: [(&str, Algorithm, &str); 10] = [
    ("PKIX_ECDSA_P256_SHA_256", Algorithm::EcdsaP256Sha256, "ecdsa-p256"),
    ("PKIX_ECDSA_P384_SHA_384", Algorithm::EcdsaP384Sha384, "ecdsa-p384"),
    ("PKIX_ECDSA_P521_SHA_512", Algorithm::EcdsaP521Sha512, "ecdsa-p521"),
    ("PKIX_ED25519", Algorithm::Ed25519, "ed25519"),
    ("PKIX_RSA_PKCS1V15_2048_SHA256", Algorithm::RsaPkcs1Sha256, "rsa-2048"),
    ("PKIX_RSA_PKCS1V15_3072_SHA256", Algorithm::RsaPkcs1Sha256, "rsa-3072"),
    ("PKIX_RSA_PKCS1V15_4096_SHA256", Algorithm::RsaPkcs1Sha256, "rsa-4096"),
    ("PKIX_RSA_PSS_2048_SHA256", Algorithm::RsaPssSha256, "rsa-2048"),
    ("PKIX_RSA_PSS_3072_SHA256", Algorithm::RsaPssSha256, "rsa-3072"),
    ("PKIX_RSA_PSS_4096_SHA256", Algorithm::RsaPssSha256, "rsa-4096"),
];

fn from_key_details(name: &str) -> Option<(Algorithm, &'static str)> {
    KEY_DETAILS.iter().find(|(known, ..)| *known == name).map(|(_, algorithm, kind)| (*algorithm, *kind))
}

/// What Sigstore calls a key with its way of signing; `None` where it has no name for it.
pub fn key_details(key: &VerifyingKey) -> Option<&'static str> {
    let of = |(_, algorithm, kind): &&(&str, Algorithm, &str)| *algorithm == key.algorithm() && *kind == key.describe();
    KEY_DETAILS.iter().find(of).map(|(name, ..)| *name)
}
