//! Separates a document from its signatures.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::already_canonical::{self, Landmark};
use super::canonical_json::{self, Json, Members, Part, compare_keys};
use super::fields::{self, FormatError};
use super::{Document, KeyId, Occasion};

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

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes, or `None` where the text is not hexadecimal or is empty.
    pub fn decode(&self) -> Option<Vec<u8>> {
        hex::decode(&self.0).ok().filter(|bytes| !bytes.is_empty())
    }
}

/// Signatures by keyid. A document that repeats a keyid is refused (TUF specification section 4.2.1).
pub type SignatureMap = BTreeMap<KeyId, Signature>;

/// The canonical bytes of a `signed` value: a part of what was received, where that is canonical as it stands. Cheap
/// to clone.
#[derive(Clone)]
pub struct SignedBytes {
    document: Arc<Vec<u8>>,
    range: Range<usize>,
    /// Counted from the start of the value.
    landmarks: Arc<[Landmark]>,
}

impl SignedBytes {
    fn of_part(part: Part, received: &Arc<Vec<u8>>) -> Self {
        match part {
            Part::Received { range, mut landmarks } => {
                for landmark in &mut landmarks {
                    landmark.start -= range.start;
                    landmark.end -= range.start;
                    landmark.marks.iter_mut().for_each(|mark| *mark -= range.start);
                }
                Self { document: Arc::clone(received), range, landmarks: landmarks.into() }
            }
            Part::Rewritten(document) => {
                // The value is as deep in the document as it was before.
                let recognized = already_canonical::rewritten(&document, 0, 1);
                let recognized = recognized.filter(|recognized| recognized.end == document.len());
                let landmarks = recognized.expect("what was rewritten is canonical").landmarks.into();
                Self { range: 0..document.len(), document: Arc::new(document), landmarks }
            }
        }
    }

    /// Takes a canonical value that stands by itself; `None` where it is not canonical.
    pub(super) fn of_canonical(value: String) -> Option<Self> {
        let recognized = already_canonical::received(value.as_bytes(), 0, 1)?;
        let landmarks = recognized.landmarks.into();
        (recognized.end == value.len()).then(|| Self {
            range: 0..value.len(),
            document: value.into_bytes().into(),
            landmarks,
        })
    }

    /// Where the value begins in what was received; `None` where it had to be rewritten.
    pub(super) fn begins_in_received(&self) -> Option<usize> {
        // A member of a document never stands at its very start.
        (self.range.start > 0).then_some(self.range.start)
    }

    /// A part of what was received.
    pub(super) fn received(&self, range: &Range<usize>) -> &[u8] {
        &self.document[range.clone()]
    }

    /// Some places in the object at `object` where a member begins, in order; none where it is small.
    pub(super) fn marks(&self, object: &Range<usize>) -> &[usize] {
        let known = self.landmarks.binary_search_by_key(&object.start, |landmark| landmark.start);
        known.map_or(&[][..], |index| &self.landmarks[index].marks)
    }

    /// The members of the value, if it is an object.
    pub(super) fn members(&self) -> Members<'_> {
        canonical_json::members_from(self, 1, &self.landmarks)
    }

    /// The value, but without the members called `names`: only says where the values of those stand.
    pub(super) fn set_aside<const N: usize>(&self, names: [&str; N]) -> (Json, [Option<Range<usize>>; N]) {
        let mut aside = [const { None }; N];
        if self.first() != Some(&b'{') {
            return (Json::from_canonical(self), aside);
        }
        let mut others = BTreeMap::new();
        let mut members = self.members();
        while let Some((key, value)) = members.next() {
            match names.iter().position(|name| name.as_bytes() == key) {
                Some(index) => aside[index] = Some(members.position() - value.len()..members.position()),
                None => drop(others.insert(canonical_json::unescape(key), Json::from_canonical(value))),
            }
        }
        (Json::Object(others), aside)
    }

    /// The value of `key`, as it stands escaped, in the object at `object`, which is a member's value.
    ///
    /// Keys are in order, so that the search goes to a landmark and from there to the next one at most.
    pub(super) fn find(&self, object: &Range<usize>, key: &[u8]) -> Option<&[u8]> {
        let marks = self.marks(object);
        let bytes = &self[..object.end];
        let key_at = |mark: usize| canonical_json::members_from(bytes, mark, &[]).next_key().unwrap_or_default();
        let behind = marks.partition_point(|mark| compare_keys(key_at(*mark), key).is_le());
        let from = if behind == 0 { object.start + 1 } else { marks[behind - 1] };
        canonical_json::members_from(bytes, from, &[]).find_sorted(key)
    }
}

impl PartialEq for SignedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SignedBytes {}

impl fmt::Debug for SignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedBytes").field("length", &self.len()).finish_non_exhaustive()
    }
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
    /// Of a rehearsal: what was signed, as it would be if it were meant.
    meant: Option<SignedBytes>,
}

impl Envelope {
    /// Opens the bytes of a metadata file.
    ///
    /// # Errors
    /// When the bytes are not JSON as we accept it, or lack `signatures` or `signed`, or repeat a keyid.
    pub fn parse(received: &[u8]) -> Result<Self, FormatError> {
        Self::parse_shared(&Arc::new(received.to_vec()))
    }

    /// Opens the bytes of a metadata file without copying them, where they are canonical as they stand.
    ///
    /// # Errors
    /// See [`Envelope::parse`].
    pub fn parse_shared(received: &Arc<Vec<u8>>) -> Result<Self, FormatError> {
        let Some([signatures, signed]) = canonical_json::parts(received, ["signatures", "signed"])? else {
            return Err(FormatError::invalid("document", "expected an object"));
        };
        let signatures = match signatures {
            Some(Part::Received { range, .. }) => Some(read_signatures(Json::from_canonical(&received[range]))?),
            Some(Part::Rewritten(canonical)) => Some(read_signatures(Json::from_canonical(&canonical))?),
            None => None,
        };
        let missing = |field| FormatError::Missing { at: "document".to_owned(), field };
        let signatures = signatures.ok_or_else(|| missing("signatures"))?;
        let signed = SignedBytes::of_part(signed.ok_or_else(|| missing("signed"))?, received);
        Ok(Self { signatures, signed, meant: None })
    }

    /// Opens the bytes of a metadata file that is meant, or of one that is rehearsed. Only who asks for a rehearsal gets one.
    ///
    /// # Errors
    /// See [`Envelope::parse`]; and when the document is of the other occasion.
    pub fn parse_for(occasion: Occasion, received: &[u8]) -> Result<Self, FormatError> {
        let mut envelope = Self::parse(received)?;
        // What is read as one kind of document that is meant says so itself, in its `_type`.
        if occasion == Occasion::Rehearsal {
            let found = envelope.document_type().unwrap_or_default();
            let (Some(meant), Json::Object(mut members)) =
                (Occasion::meant(&found), Json::from_canonical(&envelope.signed))
            else {
                return Err(FormatError::WrongType { expected: "rehearsal-…", found });
            };
            members.insert("_type".to_owned(), Json::from(meant));
            let rewritten = Part::Rewritten(Json::Object(members).to_canonical());
            envelope.meant = Some(SignedBytes::of_part(rewritten, &Arc::default()));
        }
        Ok(envelope)
    }

    /// Whether the document is meant, or rehearsed.
    pub fn occasion(&self) -> Occasion {
        if self.meant.is_some() { Occasion::Rehearsal } else { Occasion::Real }
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
        let (_, value) = self.signed.members().find(|(key, _)| *key == b"_type")?;
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
        T::from_signed(self.meant.as_ref().unwrap_or(&self.signed))
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
