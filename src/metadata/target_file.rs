//! What targets metadata says about one file.

use super::canonical_json::Json;
use super::fields::{self, Fields};
use super::{FormatError, Hashes, Unrecognized};

/// Length and hashes of a target (TUF specification section 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Length in bytes.
    pub length: u64,
    /// Hashes: at least one that we compute.
    pub hashes: Hashes,
    /// Unknown fields, `custom` included.
    pub unrecognized: Unrecognized,
}

impl TargetFile {
    pub(crate) fn from_json(json: Json, at: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::open(json, at)?;
        let length = fields.unsigned("length")?;
        let hashes = Hashes::from_json(fields.object("hashes")?, &fields.path("hashes"))?;
        Ok(Self { length, hashes, unrecognized: fields.rest() })
    }

    /// Writes the entry as it stands in targets metadata.
    pub fn to_json(&self) -> Json {
        let known = [("length", Json::from(self.length)), ("hashes", self.hashes.to_json())];
        fields::object(&self.unrecognized, known)
    }
}
