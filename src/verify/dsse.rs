//! DSSE envelopes: a payload, its type, and signatures over both (DSSE v1.0, `protocol.md` and `envelope.md`).
//!
//! Everything in an envelope is attacker-controlled until [`Envelope::signers`] names a key. Even then only the
//! payload and its type are vouched for: a `keyid` is a hint that anyone may write.
//!
//! Signatures of TUF metadata are counted elsewhere, in `trust::threshold`. Nothing is counted here: the
//! question is which of the delivered keys signed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::crypto::VerifyingKey;
use crate::input::{self, InputError};

/// Most signatures on one envelope that are looked at.
pub const MAX_SIGNATURES: usize = 64;
/// Largest envelope that is read, in bytes.
pub const MAX_ENVELOPE_BYTES: usize = 16 << 20;

/// A DSSE envelope. Nothing in it is verified.
#[derive(Debug, Clone)]
pub struct Envelope {
    payload: Vec<u8>,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone)]
struct Signature {
    /// Empty when none is given.
    keyid: String,
    /// Empty when the text is not base64: it is then a signature that no key made.
    bytes: Vec<u8>,
}

/// A key that may sign, under the name that signers give it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'k> {
    /// The name. Only a hint: a signature by the key counts whatever `keyid` it carries.
    pub keyid: &'k str,
    /// The key.
    pub key: &'k VerifyingKey,
}

/// One physical key that signed an envelope.
#[derive(Debug, Clone)]
pub struct SignedBy<'e, 'k> {
    /// The candidate whose key made the signatures.
    pub candidate: Candidate<'k>,
    /// Its valid signatures, in the order of the envelope; at least one.
    pub signatures: Vec<&'e [u8]>,
}

/// The JSON form of an envelope, also where it stands inside another document.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvelopeJson {
    pub(super) payload: String,
    pub(super) payload_type: String,
    pub(super) signatures: Vec<SignatureJson>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SignatureJson {
    #[serde(default)]
    keyid: Option<String>,
    sig: String,
}

impl Envelope {
    /// Reads an envelope in its JSON form.
    ///
    /// # Errors
    /// When it is too large, has too many signatures, repeats a JSON key, or is not an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        Self::from_json(input::read(bytes, MAX_ENVELOPE_BYTES)?)
    }

    pub(super) fn from_json(json: EnvelopeJson) -> Result<Self, InputError> {
        input::at_most("signatures", json.signatures.len(), MAX_SIGNATURES)?;
        let payload = input::base64(&json.payload).ok_or(InputError::Field { field: "payload", expected: "base64" })?;
        let signatures = json.signatures.into_iter().map(|signature| Signature {
            keyid: signature.keyid.unwrap_or_default(),
            bytes: input::base64(&signature.sig).unwrap_or_default(),
        });
        Ok(Self { payload, payload_type: json.payload_type, signatures: signatures.collect() })
    }

    /// The payload, which nobody has vouched for unless [`Envelope::signers`] says so.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The type of the payload, vouched for together with it.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// How many signatures there are, valid or not.
    pub fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    /// The keyids that the signatures carry, valid or not. Empty ones are left out.
    pub fn keyids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| signature.keyid.as_str()).filter(|keyid| !keyid.is_empty())
    }

    /// The signatures with the keyids that they carry, in order; nothing about them is verified. A signature that is not
    /// base64 is empty.
    pub(super) fn signatures(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.signatures.iter().map(|signature| (signature.keyid.as_str(), signature.bytes.as_slice()))
    }

    /// Finds which of `candidates` signed: distinct physical keys, in the order in which they first appear.
    ///
    /// Keys are told apart by their canonical SubjectPublicKeyInfo, so one key under two names is one signer. One
    /// signature speaks for one key. All valid signatures of a key are kept, because a log entry proves the time
    /// of one signature, and anybody can put a second spelling of an ECDSA signature in front of it.
    pub fn signers<'e, 'k>(&'e self, candidates: &[Candidate<'k>]) -> Vec<SignedBy<'e, 'k>> {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        let mut positions: BTreeMap<&[u8], usize> = BTreeMap::new();
        let mut signers: Vec<SignedBy<'e, 'k>> = Vec::new();
        for signature in &self.signatures {
            let hinted = candidates.iter().filter(|candidate| candidate.keyid == signature.keyid);
            let others = candidates.iter().filter(|candidate| candidate.keyid != signature.keyid);
            let signer = hinted.chain(others).find(|candidate| candidate.key.verifies(&message, &signature.bytes));
            let Some(candidate) = signer else { continue };
            let position = *positions.entry(candidate.key.canonical_spki()).or_insert_with(|| {
                signers.push(SignedBy { candidate: *candidate, signatures: Vec::new() });
                signers.len() - 1
            });
            signers[position].signatures.push(&signature.bytes);
        }
        signers
    }
}

/// Returns what DSSE signs: `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`.
///
/// The lengths keep a byte from moving between type and body without the signature breaking.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{TestKey, base64_text, envelope_json};

    fn parse(json: &serde_json::Value) -> Result<Envelope, InputError> {
        Envelope::parse(json.to_string().as_bytes())
    }

    fn signer_names(envelope: &Envelope, keys: &[(&str, &VerifyingKey)]) -> Vec<String> {
        let candidates: Vec<_> = keys.iter().map(|(keyid, key)| Candidate { keyid, key }).collect();
        envelope.signers(&candidates).iter().map(|signer| signer.candidate.keyid.to_owned()).collect()
    }

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        // The test vector of DSSE's protocol.md.
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn the_keyid_is_only_a_hint() {
        let (alice, bob) = (TestKey::new(1), TestKey::new(2));
        let mut json = envelope_json(b"hello", "text/plain", &[&alice]);
        let keys = [("bob", &bob.verifying), ("alice", &alice.verifying)];
        for keyid in ["bob", "nobody", ""] {
            json["signatures"][0]["keyid"] = keyid.into();
            assert_eq!(signer_names(&parse(&json).unwrap(), &keys), ["alice"]);
        }
        json["signatures"][0].as_object_mut().unwrap().remove("keyid");
        assert_eq!(signer_names(&parse(&json).unwrap(), &keys), ["alice"]);
    }

    #[test]
    fn one_key_is_one_signer_under_any_number_of_names() {
        let alice = TestKey::new(1);
        let mut json = envelope_json(b"hello", "text/plain", &[&alice, &alice]);
        json["signatures"][0]["keyid"] = "a".into();
        json["signatures"][1]["keyid"] = "b".into();
        let keys = [("a", &alice.verifying), ("b", &alice.verifying)];
        assert_eq!(signer_names(&parse(&json).unwrap(), &keys), ["a"]);
    }

    #[test]
    fn every_delivered_key_that_signed_is_named() {
        let (alice, bob, carol) = (TestKey::new(1), TestKey::ecdsa("bob"), TestKey::new(3));
        let json = envelope_json(b"hello", "text/plain", &[&carol, &bob, &alice]);
        let keys = [("alice", &alice.verifying), ("bob", &bob.verifying)];
        assert_eq!(signer_names(&parse(&json).unwrap(), &keys), ["bob", "alice"]);
    }

    #[test]
    fn a_payload_of_another_type_is_another_message() {
        let alice = TestKey::new(1);
        let mut json = envelope_json(b"hello", "text/plain", &[&alice]);
        json["payloadType"] = "text/html".into();
        assert!(signer_names(&parse(&json).unwrap(), &[("a", &alice.verifying)]).is_empty());
    }

    #[test]
    fn a_byte_that_moves_between_type_and_payload_breaks_the_signature() {
        let alice = TestKey::new(1);
        let mut json = envelope_json(b"x body", "type", &[&alice]);
        json["payloadType"] = "type x".into();
        json["payload"] = base64_text(b"body").into();
        assert!(signer_names(&parse(&json).unwrap(), &[("a", &alice.verifying)]).is_empty());
    }

    #[test]
    fn a_signature_that_is_not_base64_signs_nothing_and_spoils_nothing() {
        let alice = TestKey::new(1);
        let mut json = envelope_json(b"hello", "text/plain", &[&alice, &alice]);
        json["signatures"][0]["sig"] = "?!".into();
        assert_eq!(signer_names(&parse(&json).unwrap(), &[("a", &alice.verifying)]), ["a"]);
    }

    #[test]
    fn url_safe_base64_is_read() {
        let alice = TestKey::new(1);
        let payload = [0xff, 0xfe, 0xfb];
        let mut json = envelope_json(&payload, "text/plain", &[&alice]);
        for pointer in ["/payload", "/signatures/0/sig"] {
            let text = json.pointer_mut(pointer).unwrap();
            *text = text.as_str().unwrap().replace('+', "-").replace('/', "_").into();
        }
        let envelope = parse(&json).unwrap();
        assert_eq!(envelope.payload(), payload);
        assert_eq!(signer_names(&envelope, &[("a", &alice.verifying)]), ["a"]);
    }

    #[test]
    fn repeated_json_keys_are_refused() {
        let text = br#"{"payload":"aGk=","payloadType":"t","signatures":[],"payload":"aG8="}"#;
        assert!(matches!(Envelope::parse(text), Err(InputError::Json(_))));
    }

    #[test]
    fn ten_thousand_signatures_are_refused() {
        let mut json = envelope_json(b"hello", "text/plain", &[]);
        json["signatures"] = vec![serde_json::json!({"sig": "AA=="}); 10_000].into();
        assert_eq!(
            parse(&json).unwrap_err(),
            InputError::TooMany { what: "signatures", count: 10_000, limit: MAX_SIGNATURES }
        );
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let error = Envelope::parse(&vec![b'['; MAX_ENVELOPE_BYTES + 1]).unwrap_err();
        assert!(matches!(error, InputError::TooLarge { .. }));
    }
}
