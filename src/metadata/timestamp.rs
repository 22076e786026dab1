//! The timestamp document: which snapshot is current.

use super::canonical_json::Json;
use super::fields::{self, Fields};
use super::{Document, Expires, FormatError, MetaFile, SignedBytes, SpecVersion, Unrecognized, Version};

/// Timestamp metadata (TUF specification section 4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this document.
    pub version: Version,
    /// When it expires.
    pub expires: Expires,
    /// The current snapshot.
    pub snapshot: MetaFile,
    /// Unknown fields of the document.
    pub unrecognized: Unrecognized,
    /// Unknown entries of `meta`.
    pub other_meta: Unrecognized,
}

impl Document for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn from_signed(signed: &SignedBytes) -> Result<Self, FormatError> {
        let (mut fields, spec_version) = Fields::open_signed(Json::from_canonical(signed), Self::TYPE)?;
        let version = fields.version()?;
        let expires = fields.expires()?;
        let mut meta = Fields::open(fields.required("meta")?, "signed.meta")?;
        let snapshot = MetaFile::from_json(meta.required("snapshot.json")?, "signed.meta.snapshot.json")?;
        let other_meta = meta.rest();
        Ok(Self { spec_version, version, expires, snapshot, unrecognized: fields.rest(), other_meta })
    }

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> &Expires {
        &self.expires
    }

    fn to_json(&self) -> Json {
        let meta = fields::object(&self.other_meta, [("snapshot.json", self.snapshot.to_json())]);
        let known = [
            ("_type", Json::from(Self::TYPE)),
            ("spec_version", self.spec_version.to_json()),
            ("version", Json::from(self.version.get())),
            ("expires", self.expires.to_json()),
            ("meta", meta),
        ];
        fields::object(&self.unrecognized, known)
    }
}
