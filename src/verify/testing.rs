//! Keys, envelopes, logs and files for the tests of this module. Fixed times; nothing leaves memory.

use base64::Engine as _;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::ArtifactDigests;
use super::dsse::pre_authentication_encoding;
use crate::crypto::{KeyAlgorithm, SecretKey, VerifyingKey, sha256};
use crate::input;

pub(crate) const LOG_URL: &str = "https://log.example";

/// A key pair with a name.
pub(crate) struct TestKey {
    pub(crate) keyid: String,
    pub(crate) verifying: VerifyingKey,
    secret: SecretKey,
}

impl TestKey {
    /// An Ed25519 key that is always the same for `number`.
    pub(crate) fn new(number: u8) -> Self {
        Self::named(&format!("key-{number}"), SecretKey::ed25519_from_seed(&[number; 32]).unwrap())
    }

    /// A new ECDSA key.
    pub(crate) fn ecdsa(name: &str) -> Self {
        Self::named(name, SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap())
    }

    fn named(keyid: &str, secret: SecretKey) -> Self {
        let verifying = VerifyingKey::from_metadata(secret.public()).unwrap();
        Self { keyid: keyid.to_owned(), verifying, secret }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.secret.sign(message).unwrap()
    }

    pub(crate) fn public_key_json(&self) -> Value {
        let details = match self.verifying.describe().as_str() {
            "ed25519" => "PKIX_ED25519",
            _ => "PKIX_ECDSA_P256_SHA_256",
        };
        json!({
            "rawBytes": base64_text(self.verifying.canonical_spki()),
            "keyDetails": details,
            "validFor": {"start": "2020-01-01T00:00:00.000Z"},
        })
    }
}

pub(crate) fn at(time: &str) -> DateTime<Utc> {
    input::time(time).unwrap()
}

pub(crate) fn base64_text(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn digests_of(artifact: &[u8]) -> ArtifactDigests {
    let mut digester = ArtifactDigests::digester();
    digester.update(artifact);
    digester.into()
}

pub(crate) fn envelope_json(payload: &[u8], payload_type: &str, signers: &[&TestKey]) -> Value {
    let message = pre_authentication_encoding(payload_type, payload);
    let signatures: Vec<_> =
        signers.iter().map(|key| json!({"keyid": key.keyid, "sig": base64_text(&key.sign(&message))})).collect();
    json!({"payload": base64_text(payload), "payloadType": payload_type, "signatures": signatures})
}

pub(crate) fn bundle_json(envelope: &Value, hint: &str, log_entries: &[&Value]) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": log_entries},
        "dsseEnvelope": envelope,
    })
}

pub(crate) fn certified_bundle_json(envelope: &Value, certificate: &[u8]) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"certificate": {"rawBytes": base64_text(certificate)}},
        "dsseEnvelope": envelope,
    })
}

pub(crate) fn npm_file(bundles: &[&Value]) -> Vec<u8> {
    let attestations: Vec<_> =
        bundles.iter().map(|bundle| json!({"predicateType": "unsigned", "bundle": bundle})).collect();
    json!({"attestations": attestations}).to_string().into_bytes()
}

pub(crate) fn key_json(key: &TestKey, usage: &str) -> Value {
    json!({"keyId": key.keyid, "keyUsage": usage, "publicKey": key.public_key_json()})
}

pub(crate) fn keys_file(entries: &[&Value]) -> Vec<u8> {
    json!({"keys": entries}).to_string().into_bytes()
}

fn log_id(log: &TestKey) -> [u8; 32] {
    sha256(log.verifying.canonical_spki())
}

pub(crate) fn trusted_root_json(log: &TestKey) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [{
            "baseUrl": LOG_URL,
            "hashAlgorithm": "SHA2_256",
            "publicKey": log.public_key_json(),
            "logId": {"keyId": base64_text(&log_id(log))},
        }],
        "certificateAuthorities": [],
    })
}

pub(crate) fn trusted_root(log: &TestKey) -> Vec<u8> {
    trusted_root_json(log).to_string().into_bytes()
}

/// Which kind of entry the log writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EntryForm {
    Intoto,
    Dsse,
}

/// What `log` writes about `signature` by `key` over `payload` at `time`.
pub(crate) fn log_entry(
    log: &TestKey,
    form: EntryForm,
    payload: &[u8],
    signature: &[u8],
    key: &TestKey,
    time: &str,
) -> Value {
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", key.verifying.canonical_spki()));
    let (signature, verifier) = (base64_text(signature), base64_text(pem.as_bytes()));
    let payload_hash = json!({"algorithm": "sha256", "value": hex::encode(sha256(payload))});
    let body = match form {
        EntryForm::Intoto => json!({
            "apiVersion": "0.0.2",
            "kind": "intoto",
            "spec": {"content": {
                "envelope": {
                    "payloadType": "application/vnd.in-toto+json",
                    "signatures": [
                        {"sig": "?", "publicKey": "?"},
                        {"keyid": key.keyid, "sig": base64_text(signature.as_bytes()), "publicKey": verifier},
                    ],
                },
                "payloadHash": payload_hash,
            }},
        }),
        EntryForm::Dsse => json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {"payloadHash": payload_hash, "signatures": [{"signature": signature, "verifier": verifier}]},
        }),
    };
    log_entry_with_body(log, &body.to_string(), time)
}

pub(crate) fn log_entry_with_body(log: &TestKey, body: &str, time: &str) -> Value {
    let (body, seconds, id) = (base64_text(body.as_bytes()), at(time).timestamp(), log_id(log));
    // Written out, so that the code under test does not confirm itself.
    let signed =
        format!(r#"{{"body":"{body}","integratedTime":{seconds},"logID":"{}","logIndex":7}}"#, hex::encode(id));
    json!({
        "logIndex": "7",
        "logId": {"keyId": base64_text(&id)},
        "kindVersion": {"kind": "anything", "version": "0"},
        "integratedTime": seconds.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": base64_text(&log.sign(signed.as_bytes()))},
        "canonicalizedBody": body,
    })
}

/// A SubjectPublicKeyInfo with an RSA modulus of `bits` bits. Nobody has its secret half.
pub(crate) fn rsa_spki(bits: usize) -> Vec<u8> {
    let modulus = [vec![0, 0x80], vec![1; bits / 8 - 1]].concat();
    let key = der(0x30, &[der(2, &modulus), vec![2, 3, 1, 0, 1]].concat());
    let algorithm = hex::decode("300d06092a864886f70d0101010500").unwrap();
    der(0x30, &[algorithm, der(3, &[vec![0], key].concat())].concat())
}

/// A certificate for `key`, signed by nobody.
pub(crate) fn certificate(key: &TestKey) -> Vec<u8> {
    certificate_of(key.verifying.canonical_spki())
}

/// A certificate (RFC 5280 section 4.1) for the key of a SubjectPublicKeyInfo, signed by nobody.
pub(crate) fn certificate_of(spki: &[u8]) -> Vec<u8> {
    let algorithm = hex::decode("300506032b6570").unwrap();
    let name = der(0x30, &[]);
    let validity = der(0x30, &[der(0x17, b"200101000000Z"), der(0x17, b"300101000000Z")].concat());
    let version = [0xa0, 3, 2, 1, 2];
    let fields = [&version, [2, 1, 1].as_slice(), &algorithm, &name, &validity, &name, spki].concat();
    der(0x30, &[der(0x30, &fields), algorithm, der(3, &[0])].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let length: &[u8] = match length {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}
