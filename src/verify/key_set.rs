//! Keys as TUF delivers them: npm's `keys.json`, whose keys are Sigstore's `PublicKey` in JSON.
//!
//! ```json
//! {"keys": [{"keyId": "SHA256:DhQ8…", "keyUsage": "npm:attestations",
//!            "publicKey": {"rawBytes": "MFkw…", "keyDetails": "PKIX_ECDSA_P256_SHA_256",
//!                          "validFor": {"start": "2025-01-13T00:00:00.000Z"}}}]}
//! ```
//!
//! The file is a TUF target, so whoever may sign it is trusted with the keys. It is still read strictly: a key that
//! we cannot read in full (an algorithm that we do not know, no period of validity) is kept for the report and
//! verifies nothing. It never spoils the keys beside it.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::input::{self, InputError};
use crate::crypto::{Algorithm, KeyProblem, VerifyingKey};
use crate::printable::Printable;

/// The usage of npm's keys that sign attestations. Its other keys sign packages (`npm:signatures`).
pub const NPM_ATTESTATIONS: &str = "npm:attestations";
/// Largest key set that is read, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 1 << 20;
/// Most keys of one set that are read.
pub const MAX_KEYS: usize = 256;

/// The keys of one `keys.json`.
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Vec<DeliveredKey>,
}

/// One key of the set, usable or not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeliveredKey {
    /// What signers call it; empty when it has no name.
    pub keyid: String,
    /// What it may sign; empty when nothing is said.
    pub usage: String,
    /// The key with its period, or why it verifies nothing.
    pub key: Result<TimedKey, DisabledKey>,
}

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

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    /// When it is too large, repeats a JSON key, or has no list of keys. A single bad key is no error.
    pub fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        let json: KeySetJson = input::read(bytes, MAX_KEY_SET_BYTES)?;
        input::at_most("keys", json.keys.len(), MAX_KEYS)?;
        Ok(Self { keys: json.keys.iter().map(DeliveredKey::from_json).collect() })
    }

    /// All keys, also the disabled ones and those of other usages.
    pub fn iter(&self) -> impl Iterator<Item = &DeliveredKey> {
        self.keys.iter()
    }

    /// The periods that the set gives for one physical key in one usage.
    pub(super) fn periods<'a>(&'a self, usage: &'a str, key: &'a VerifyingKey) -> impl Iterator<Item = ValidFor> + 'a {
        self.keys
            .iter()
            .filter(move |delivered| delivered.usage == usage)
            .filter_map(|delivered| delivered.key.as_ref().ok())
            .filter(|timed| timed.key.canonical_spki() == key.canonical_spki())
            .map(|timed| timed.valid_for)
    }
}

impl DeliveredKey {
    fn from_json(json: &Value) -> Self {
        let text = |field: &str| json.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (keyid, usage) = (text("keyId"), text("keyUsage"));
        let key = PublicKeyJson::deserialize(json.get("publicKey").unwrap_or(&Value::Null))
            .map_err(|error| DisabledKey::Shape(error.to_string()))
            .and_then(|key| key.read());
        Self { keyid, usage, key }
    }
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

#[derive(Deserialize)]
struct KeySetJson {
    keys: Vec<Value>,
}

/// `dev.sigstore.common.v1.PublicKey` (protobuf-specs `sigstore_common.proto`) in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicKeyJson {
    #[serde(default)]
    raw_bytes: String,
    #[serde(default)]
    key_details: String,
    valid_for: Option<TimeRangeJson>,
}

#[derive(Deserialize)]
struct TimeRangeJson {
    start: Option<String>,
    end: Option<String>,
}

impl PublicKeyJson {
    pub(super) fn read(&self) -> Result<TimedKey, DisabledKey> {
        let (algorithm, expected) =
            key_details(&self.key_details).ok_or_else(|| DisabledKey::UnknownDetails(self.key_details.clone()))?;
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

/// What Sigstore's `PublicKeyDetails` say: how signatures are made, and the kind and size of key.
///
/// Left out are the deprecated values, which leave hash or size open, and the ones that no back end has.
fn key_details(name: &str) -> Option<(Algorithm, &'static str)> {
    Some(match name {
        "PKIX_ECDSA_P256_SHA_256" => (Algorithm::EcdsaP256Sha256, "ecdsa-p256"),
        "PKIX_ECDSA_P384_SHA_384" => (Algorithm::EcdsaP384Sha384, "ecdsa-p384"),
        "PKIX_ECDSA_P521_SHA_512" => (Algorithm::EcdsaP521Sha512, "ecdsa-p521"),
        "PKIX_ED25519" => (Algorithm::Ed25519, "ed25519"),
        "PKIX_RSA_PKCS1V15_2048_SHA256" => (Algorithm::RsaPkcs1Sha256, "rsa-2048"),
        "PKIX_RSA_PKCS1V15_3072_SHA256" => (Algorithm::RsaPkcs1Sha256, "rsa-3072"),
        "PKIX_RSA_PKCS1V15_4096_SHA256" => (Algorithm::RsaPkcs1Sha256, "rsa-4096"),
        "PKIX_RSA_PSS_2048_SHA256" => (Algorithm::RsaPssSha256, "rsa-2048"),
        "PKIX_RSA_PSS_3072_SHA256" => (Algorithm::RsaPssSha256, "rsa-3072"),
        "PKIX_RSA_PSS_4096_SHA256" => (Algorithm::RsaPssSha256, "rsa-4096"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::testing::{TestKey, base64_text, key_json, keys_file, rsa_spki};

    fn only_key(entry: &Value) -> DeliveredKey {
        let set = KeySet::parse(&keys_file(&[entry])).unwrap();
        set.iter().next().unwrap().clone()
    }

    fn disabled(entry: &Value) -> DisabledKey {
        only_key(entry).key.unwrap_err()
    }

    #[test]
    fn a_key_is_read_with_its_period() {
        let alice = TestKey::new(1);
        let mut entry = key_json(&alice, NPM_ATTESTATIONS);
        entry["publicKey"]["validFor"] = json!({"start": "2022-12-01T00:00:00.000Z", "end": "2025-01-29T00:00:00.5Z"});
        let delivered = only_key(&entry);
        let timed = delivered.key.unwrap();
        assert_eq!(timed.key, alice.verifying);
        assert_eq!(timed.valid_for.to_string(), "from 2022-12-01T00:00:00Z to 2025-01-29T00:00:00.500Z");
        // Both ends belong to the period; a millisecond outside does not.
        for (time, included) in [
            ("2022-11-30T23:59:59.999Z", false),
            ("2022-12-01T00:00:00Z", true),
            ("2025-01-29T00:00:00.500Z", true),
            ("2025-01-29T00:00:00.501Z", false),
        ] {
            assert_eq!(timed.valid_for.includes(input::time(time).unwrap()), included, "{time}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_read_disables_itself_only() {
        let (alice, bob) = (TestKey::new(1), TestKey::new(2));
        let good = key_json(&alice, NPM_ATTESTATIONS);
        let mut unknown = key_json(&bob, NPM_ATTESTATIONS);
        unknown["publicKey"]["keyDetails"] = "PKIX_QUANTUM\u{1b}".into();
        let set = KeySet::parse(&keys_file(&[&unknown, &json!("no object"), &json!({}), &good])).unwrap();
        let keys: Vec<_> = set.iter().collect();
        assert_eq!(keys[0].keyid, bob.keyid);
        assert_eq!(
            keys[0].key.as_ref().unwrap_err().to_string(),
            r"the key details `PKIX_QUANTUM\u{1b}` are not ones that we know"
        );
        assert!(matches!(keys[1].key, Err(DisabledKey::Shape(_))));
        assert!(matches!(keys[2].key, Err(DisabledKey::Shape(_))));
        assert!(keys[3].key.is_ok());
    }

    #[test]
    fn details_must_fit_the_key() {
        let mut entry = key_json(&TestKey::new(1), NPM_ATTESTATIONS);
        entry["publicKey"]["keyDetails"] = "PKIX_ECDSA_P256_SHA_256".into();
        assert!(matches!(disabled(&entry), DisabledKey::Unusable(_)));
        entry["publicKey"]["keyDetails"] = json!(null);
        assert!(matches!(disabled(&entry), DisabledKey::Shape(_)));
        entry["publicKey"]["keyDetails"] = "PKIX_ED25519".into();
        entry["publicKey"]["rawBytes"] = "?".into();
        assert_eq!(disabled(&entry), DisabledKey::Unusable("the key is not base64"));
        entry["publicKey"]["rawBytes"] = "AAAA".into();
        assert_eq!(disabled(&entry), DisabledKey::Unusable("not a DER SubjectPublicKeyInfo"));
    }

    #[test]
    fn the_size_of_an_rsa_key_must_be_the_one_its_details_say() {
        let mut entry = key_json(&TestKey::new(1), NPM_ATTESTATIONS);
        entry["publicKey"]["rawBytes"] = base64_text(&rsa_spki(2048)).into();
        for scheme in ["PKCS1V15", "PSS"] {
            entry["publicKey"]["keyDetails"] = format!("PKIX_RSA_{scheme}_2048_SHA256").into();
            assert_eq!(only_key(&entry).key.unwrap().key.describe(), "rsa-2048");
            entry["publicKey"]["keyDetails"] = format!("PKIX_RSA_{scheme}_4096_SHA256").into();
            assert_eq!(disabled(&entry), DisabledKey::OtherKind { expected: "rsa-4096", found: "rsa-2048".to_owned() });
        }
    }

    #[test]
    fn a_key_without_a_readable_period_is_disabled() {
        let mut entry = key_json(&TestKey::new(1), NPM_ATTESTATIONS);
        for validity in [
            json!(null),
            json!({}),
            json!({"end": "2030-01-01T00:00:00Z"}),
            json!({"start": "soon"}),
            json!({"start": "2020-01-01T00:00:00Z", "end": "later"}),
        ] {
            entry["publicKey"]["validFor"] = validity.clone();
            assert_eq!(disabled(&entry), DisabledKey::NoValidity, "{validity}");
        }
    }

    #[test]
    fn a_set_that_is_ambiguous_or_boundless_is_refused() {
        assert!(matches!(KeySet::parse(br#"{"keys":[],"keys":[]}"#), Err(InputError::Json(_))));
        assert!(matches!(KeySet::parse(b"{}"), Err(InputError::Shape { .. })));
        let entry = json!({});
        let many = keys_file(&vec![&entry; MAX_KEYS + 1]);
        assert!(matches!(KeySet::parse(&many), Err(InputError::TooMany { what: "keys", .. })));
        assert!(matches!(KeySet::parse(&vec![b' '; MAX_KEY_SET_BYTES + 1]), Err(InputError::TooLarge { .. })));
    }
}
