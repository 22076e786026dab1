//! What a snapshot or timestamp says about a metadata file.

use super::canonical_json::{Cursor, Json};
use super::fields::{self, Fields};
use super::{FormatError, Hashes, Unrecognized, Version};

/// Version of a metadata file, with its length and hashes where they are given (TUF specification section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// The version that the file must have.
    pub version: Version,
    /// Its length in bytes.
    pub length: Option<u64>,
    /// Its hashes.
    pub hashes: Option<Hashes>,
    /// Unknown fields.
    pub unrecognized: Unrecognized,
}

impl MetaFile {
    pub(crate) fn from_json(json: Json, at: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::open(json, at)?;
        let version = fields.version()?;
        let length =
            fields.optional("length").map(|length| fields::unsigned(&length, || fields.path("length"))).transpose()?;
        let hashes = match fields.optional("hashes") {
            Some(Json::Object(members)) => Some(Hashes::from_json(members, &fields.path("hashes"))?),
            Some(other) => {
                let problem = format!("expected an object, found {}", other.kind());
                return Err(FormatError::invalid(fields.path("hashes"), problem));
            }
            None => None,
        };
        Ok(Self { version, length, hashes, unrecognized: fields.rest() })
    }

    /// Passes an entry of the usual form and returns its version. `None` says nothing about the entry; the cursor
    /// then stands anywhere.
    pub(super) fn version_of_plain(cursor: &mut Cursor<'_>) -> Option<Version> {
        cursor.pass(b"{")?;
        if cursor.pass(b"\"hashes\":{\"sha256\":\"").is_some() {
            let digest = cursor.bytes.get(cursor.at..cursor.at + 64)?;
            if !digest.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            cursor.at += 64;
            cursor.pass(b"\"},")?;
        }
        if cursor.pass(b"\"length\":").is_some() {
            cursor.small_number()?;
            cursor.pass(b",")?;
        }
        cursor.pass(b"\"version\":")?;
        let version = Version::new(cursor.small_number()?)?;
        cursor.pass(b"}")?;
        Some(version)
    }

    /// The entry as it stands in metadata.
    pub fn to_value(&self) -> serde_json::Value {
        self.to_json().to_value()
    }

    pub(crate) fn to_json(&self) -> Json {
        let length = self.length.map(|length| ("length", Json::from(length)));
        let hashes = self.hashes.as_ref().map(|hashes| ("hashes", hashes.to_json()));
        let version = ("version", Json::from(self.version.get()));
        fields::object(&self.unrecognized, [version].into_iter().chain(length).chain(hashes))
    }
}
