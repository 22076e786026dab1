//! Signatures over records: by the keys of signers and witnesses, and never to be taken for signatures over metadata.
//!
//! What is signed is the record in DSSE's encoding, under a payload type of its own. It begins with `DSSEv1`, and the
//! payload of TUF metadata with `{`; a signature over an attestation has another payload type. So none of the three can be
//! shown as another, whoever's key made it.

use serde::{Deserialize, Serialize};

use super::FiledRecord;
use crate::crypto::{VerifyingKey, sha256};
use crate::metadata::PublicKey;
use crate::verify::dsse::pre_authentication_encoding;

/// The payload type of a record.
pub const RECORD_MEDIA_TYPE: &str = "application/vnd.trustroot.record.v1+json";

/// A signature over a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RecordSignature {
    /// The SHA-256 of the key's canonical SubjectPublicKeyInfo, in hexadecimal.
    pub key: String,
    /// The signature in the form of TUF metadata, in hexadecimal.
    pub sig: String,
}

/// What a key signs for a record.
pub(super) fn signed_bytes(canonical: &[u8]) -> Vec<u8> {
    pre_authentication_encoding(RECORD_MEDIA_TYPE, canonical)
}

/// The fingerprint of a key as metadata lists it; `None` for one that cannot be used.
pub(super) fn fingerprint(listed: &PublicKey) -> Option<String> {
    let key = VerifyingKey::from_metadata(listed).ok()?;
    Some(hex::encode(sha256(key.canonical_spki())))
}

/// How a signature of a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordStanding {
    Valid,
    Invalid,
    /// By a key that is not among those at hand.
    Unknown,
}

impl FiledRecord {
    /// How the record stands with one key, of which these are the entries in metadata.
    pub(super) fn standing<'a>(
        &self,
        signature: &RecordSignature,
        listed: impl Iterator<Item = &'a PublicKey>,
    ) -> RecordStanding {
        let message = signed_bytes(&self.canonical);
        let sig = hex::decode(&signature.sig).unwrap_or_default();
        let mut found = RecordStanding::Unknown;
        for key in listed.filter_map(|listed| VerifyingKey::from_metadata(listed).ok()) {
            if hex::encode(sha256(key.canonical_spki())) != signature.key {
                continue;
            }
            if key.verifies(&message, &sig) {
                return RecordStanding::Valid;
            }
            found = RecordStanding::Invalid;
        }
        found
    }

    /// Whether the key with this fingerprint signed the record, by one of these entries in metadata.
    pub(super) fn is_signed_by(&self, key: &str, listed: &[PublicKey]) -> bool {
        let of_key = |signature: &&RecordSignature| signature.key == key;
        let valid = |signature| self.standing(signature, listed.iter()) == RecordStanding::Valid;
        self.signatures.iter().filter(of_key).any(valid)
    }
}
