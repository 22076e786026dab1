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

use serde::Deserialize;
use serde_json::Value;

use crate::builders::{DisabledKey, PublicKeyJson, TimedKey, ValidFor};
use crate::crypto::VerifyingKey;
use crate::input::{self, InputError};

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
        let key = PublicKeyJson::read_from(json.get("publicKey"));
        Self { keyid, usage, key }
    }
}

#[derive(Deserialize)]
struct KeySetJson {
    keys: Vec<Value>,
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
