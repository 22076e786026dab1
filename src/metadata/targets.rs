//! The targets document: which files there are, and who else may name some.

use std::ops::Range;

use super::canonical_json::{self, Json};
use super::fields::{self, Fields};
use super::{
    Delegations, Document, Expires, FormatError, SignedBytes, SpecVersion, TargetFile, TargetPath, Unrecognized,
    Version,
};
use crate::printable::Printable;

/// Targets metadata, top-level or delegated (TUF specification section 4.5).
///
/// The entries stay in the bytes that were signed; [`Targets::find`] reads the one that is asked for. A document
/// with a million entries thus costs its own size and no tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this document.
    pub version: Version,
    /// When it expires.
    pub expires: Expires,
    /// Grants to other roles.
    pub delegations: Option<Delegations>,
    /// Unknown fields of the document.
    pub unrecognized: Unrecognized,
    signed: SignedBytes,
    entries: Range<usize>,
}

impl Targets {
    /// The entry of `path`, if this document has one.
    ///
    /// # Errors
    /// When there is an entry but it lacks a length or hashes that we compute.
    pub fn find(&self, path: &TargetPath) -> Result<Option<TargetFile>, FormatError> {
        let mut wanted = Vec::new();
        canonical_json::write_string(path.as_str(), &mut wanted);
        let wanted = &wanted[1..wanted.len() - 1];
        self.signed
            .find(&self.entries, wanted)
            .map(|value| TargetFile::from_json(Json::from_canonical(value), &entry_path(path.as_str())))
            .transpose()
    }

    /// All entries, in order of their names. Names come as they stand: [`TargetPath`] decides which are usable.
    pub fn iter(&self) -> impl Iterator<Item = (String, Result<TargetFile, FormatError>)> {
        self.entries().map(|(key, value)| {
            let name = canonical_json::unescape(key);
            let target = TargetFile::from_json(Json::from_canonical(value), &entry_path(&name));
            (name, target)
        })
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.entries().count()
    }

    fn entries(&self) -> canonical_json::Members<'_> {
        canonical_json::members(&self.signed[self.entries.clone()])
    }
}

fn entry_path(name: &str) -> String {
    format!("signed.targets.{}", Printable(name))
}

impl Document for Targets {
    const TYPE: &'static str = "targets";

    fn from_signed(signed: &SignedBytes) -> Result<Self, FormatError> {
        let (others, [entries, delegations]) = signed.set_aside(["targets", "delegations"]);
        let (mut fields, spec_version) = Fields::open_signed(others, Self::TYPE)?;
        let version = fields.version()?;
        let expires = fields.expires()?;
        let delegations = delegations.map(|range| Delegations::from_signed(signed, range)).transpose()?;
        let entries = entries.ok_or_else(|| FormatError::Missing { at: "signed".to_owned(), field: "targets" })?;
        if signed[entries.start] != b'{' {
            return Err(FormatError::invalid("signed.targets", "expected an object"));
        }
        let signed = signed.clone();
        Ok(Self { spec_version, version, expires, delegations, unrecognized: fields.rest(), signed, entries })
    }

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> &Expires {
        &self.expires
    }

    fn to_json(&self) -> Json {
        let known = [
            ("_type", Json::from(Self::TYPE)),
            ("spec_version", self.spec_version.to_json()),
            ("version", Json::from(self.version.get())),
            ("expires", self.expires.to_json()),
            ("targets", Json::from_canonical(&self.signed[self.entries.clone()])),
        ];
        let delegations = self.delegations.as_ref().map(|delegations| ("delegations", delegations.to_json()));
        fields::object(&self.unrecognized, known.into_iter().chain(delegations))
    }
}
