//! Separates a document from its signatures.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::canonical_json::{self, Json};
use super::fields::{self, FormatError};
use super::{Document, KeyId};

/// A signature as it came: opaque text until it is counted.
///
/// Published roots carry empty ones. An empty or undecodable signature does not count; it never spoils the
/// document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(String);

impl Signature {
    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, or `None` where the text is not hexadecimal or is empty.
    pub fn decode(&self) -> Option<Vec<u8>> {
        hex::decode(&self.0).ok().filter(|bytes| !bytes.is_empty())
    }
}

/// Signatures by keyid. A document that repeats a keyid is refused (TUF specification section 4.2.1).
pub type SignatureMap = BTreeMap<KeyId, Signature>;

/// The canonical bytes of a `signed` value. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBytes {
    document: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Deref for SignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.document[self.range.clone()]
    }
}

/// A document and its signatures. Nothing is verified yet.
#[derive(Debug, Clone)]
pub struct Envelope {
    signatures: SignatureMap,
    signed: SignedBytes,
}

impl Envelope {
    /// Opens the bytes of a metadata file.
    ///
    /// # Errors
    /// When the bytes are not JSON as we accept it, or lack `signatures` or `signed`, or repeat a keyid.
    pub fn parse(received: &[u8]) -> Result<Self, FormatError> {
        Self::parse_shared(Arc::new(received.to_vec()))
    }

    /// Opens the bytes of a metadata file without copying them, where they are canonical as they stand.
    ///
    /// # Errors
    /// See [`Envelope::parse`].
    pub fn parse_shared(received: Arc<Vec<u8>>) -> Result<Self, FormatError> {
        let canonical = canonical_json::canonicalize(&received)?;
        if canonical.first() != Some(&b'{') {
            return Err(FormatError::invalid("document", "expected an object"));
        }
        let mut signatures = None;
        let mut signed = None;
        let mut members = canonical_json::members(&canonical);
        while let Some((key, value)) = members.next() {
            match key {
                b"signatures" => signatures = Some(read_signatures(Json::from_canonical(value))?),
                b"signed" => signed = Some(members.position() - value.len()..members.position()),
                _ => {}
            }
        }
        let missing = |field| FormatError::Missing { at: "document".to_owned(), field };
        let signatures = signatures.ok_or_else(|| missing("signatures"))?;
        let range = signed.ok_or_else(|| missing("signed"))?;
        Ok(Self { signatures, signed: SignedBytes { document: Arc::new(canonical), range } })
    }

    /// The signatures, by keyid.
    pub fn signatures(&self) -> &SignatureMap {
        &self.signatures
    }

    /// The canonical bytes that were signed.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// What the document calls itself in `_type`: unverified text, good for choosing how to show it.
    pub fn document_type(&self) -> Option<String> {
        if self.signed.first() != Some(&b'{') {
            return None;
        }
        let (_, value) = canonical_json::members(&self.signed).find(|(key, _)| *key == b"_type")?;
        match Json::from_canonical(value) {
            Json::String(kind) => Some(kind),
            _ => None,
        }
    }

    /// Reads the document *without verifying it*.
    ///
    /// For showing what a file says, and for a root that is about to be checked against its own keys as well.
    ///
    /// # Errors
    /// See [`Document::from_signed`].
    pub fn unverified<T: Document>(&self) -> Result<T, FormatError> {
        T::from_signed(&self.signed)
    }
}

fn read_signatures(json: Json) -> Result<SignatureMap, FormatError> {
    let Json::Array(items) = json else {
        return Err(FormatError::invalid("signatures", "expected an array"));
    };
    let mut signatures = SignatureMap::new();
    for item in items {
        let mut item = fields::Fields::open(item, "signatures[]")?;
        let keyid = KeyId::new(item.string("keyid")?);
        let signature = Signature(item.string("sig")?);
        if signatures.insert(keyid.clone(), signature).is_some() {
            return Err(FormatError::invalid("signatures", format!("keyid {keyid} signs twice")));
        }
    }
    Ok(signatures)
}
