//! The snapshot document: which versions of targets metadata belong together.

use std::collections::BTreeMap;

use super::canonical_json::Json;
use super::fields::{self, Fields};
use super::{Document, Expires, FormatError, MetaFile, RoleName, SignedBytes, SpecVersion, Unrecognized, Version};

/// Snapshot metadata (TUF specification section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this document.
    pub version: Version,
    /// When it expires.
    pub expires: Expires,
    /// Targets metadata by file name, such as `targets.json`.
    pub meta: BTreeMap<String, MetaFile>,
    /// Unknown fields of the document.
    pub unrecognized: Unrecognized,
}

impl Snapshot {
    /// What the snapshot says about a role's file.
    pub fn role(&self, role: &RoleName) -> Option<&MetaFile> {
        self.meta.get(&role.meta_key())
    }
}

impl Document for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn from_signed(signed: &SignedBytes) -> Result<Self, FormatError> {
        let (mut fields, spec_version) = Fields::open_signed(Json::from_canonical(signed), Self::TYPE)?;
        let version = fields.version()?;
        let expires = fields.expires()?;
        let meta = fields
            .object("meta")?
            .into_iter()
            .map(|(name, meta)| {
                let meta = MetaFile::from_json(meta, &format!("signed.meta.{name}"))?;
                Ok((name, meta))
            })
            .collect::<Result<_, FormatError>>()?;
        Ok(Self { spec_version, version, expires, meta, unrecognized: fields.rest() })
    }

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> &Expires {
        &self.expires
    }

    fn to_json(&self) -> Json {
        let meta = self.meta.iter().map(|(name, meta)| (name.clone(), meta.to_json())).collect();
        let known = [
            ("_type", Json::from(Self::TYPE)),
            ("spec_version", self.spec_version.to_json()),
            ("version", Json::from(self.version.get())),
            ("expires", self.expires.to_json()),
            ("meta", Json::Object(meta)),
        ];
        fields::object(&self.unrecognized, known)
    }
}
