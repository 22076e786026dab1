//! The targets document: which files there are, and who else may name some.

use std::ops::Range;
use std::sync::Arc;

use super::canonical_json::{self, Json};
use super::entry_windows::{self, Elsewhere, EntryWindows, TargetsOutline};
use super::fields::{self, Fields};
use super::{
    Delegations, Document, Expires, FormatError, SignedBytes, SpecVersion, TargetFile, TargetPath, Unrecognized,
    Version,
};
use crate::printable::Printable;

/// Targets metadata, top-level or delegated (TUF specification section 4.5).
///
/// The entries stay in the bytes that were signed; [`Targets::find`] reads the one that is asked for. A document
/// with a million entries thus costs its own size and no tree, or less where they stay in a file: see
/// [`Targets::outlined`].
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
    entries: Entries,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entries {
    /// In the signed bytes.
    Here(Range<usize>),
    /// In the document as it was received; in the signed bytes there are none.
    Elsewhere(Elsewhere),
}

impl Targets {
    /// The entry of `path`, if this document has one.
    ///
    /// # Errors
    /// When there is an entry but it lacks a length or hashes that we compute; [`FormatError::NotKept`].
    pub fn find(&self, path: &TargetPath) -> Result<Option<TargetFile>, FormatError> {
        let mut wanted = Vec::new();
        canonical_json::write_string(path.as_str(), &mut wanted);
        let wanted = &wanted[1..wanted.len() - 1];
        let read = |value| TargetFile::from_json(Json::from_canonical(value), &entry_path(path.as_str()));
        match &self.entries {
            Entries::Here(entries) => self.signed.find(entries, wanted).map(read).transpose(),
            Entries::Elsewhere(entries) => {
                let Some(window) = entries.window_of(wanted)? else { return Ok(None) };
                canonical_json::members(&window).find_sorted(wanted).map(read).transpose()
            }
        }
    }

    /// All entries, in order of their names. Names come as they stand: [`TargetPath`] decides which are usable.
    ///
    /// Where entries stay in a file, an error without a name stands for those that cannot be read there any more.
    pub fn iter(&self) -> impl Iterator<Item = (String, Result<TargetFile, FormatError>)> {
        let (here, elsewhere) = match &self.entries {
            Entries::Here(entries) => (Some(read_entries(&self.signed[entries.clone()])), None),
            Entries::Elsewhere(entries) => (None, Some(entries)),
        };
        let elsewhere = elsewhere.into_iter().flat_map(Elsewhere::windows).flat_map(|window| match window {
            Ok(window) => read_entries(&window).collect(),
            Err(error) => vec![(String::new(), Err(error))],
        });
        here.into_iter().flatten().chain(elsewhere)
    }

    /// How many entries there are, as [`Targets::iter`] sees them.
    pub fn count(&self) -> usize {
        match &self.entries {
            Entries::Here(entries) => canonical_json::members(&self.signed[entries.clone()]).count(),
            Entries::Elsewhere(_) => self.iter().count(),
        }
    }

    /// Where things stand in this document, for looking them up later without reading all of it. `None` where it is
    /// small, or had to be rewritten before it was canonical.
    pub fn outline(&self) -> Option<TargetsOutline> {
        match &self.entries {
            Entries::Here(entries) => entry_windows::outline(&self.signed, entries),
            Entries::Elsewhere(_) => None,
        }
    }

    /// A part of the document as it was received, by a range of its outline.
    pub(crate) fn received(&self, range: &Range<usize>) -> &[u8] {
        self.signed.received(range)
    }

    /// Whether the entries are not in memory.
    pub(crate) fn is_an_outline(&self) -> bool {
        matches!(self.entries, Entries::Elsewhere(_))
    }

    /// Whether this document is large and all of it is in memory, so that it has an outline.
    pub(crate) fn is_worth_an_outline(&self) -> bool {
        matches!(&self.entries, Entries::Here(entries) if entry_windows::is_worth_an_outline(&self.signed, entries))
    }

    /// The document that an outline is of, whose entries are read from `windows` when they are asked for.
    ///
    /// # Errors
    /// When it cannot be the outline of a targets document.
    pub fn outlined(outline: TargetsOutline, windows: Arc<dyn EntryWindows>) -> Result<Self, FormatError> {
        let (skeleton, elsewhere) = entry_windows::open(outline, windows)?;
        let targets = Self::from_signed(&skeleton)?;
        match &targets.entries {
            Entries::Here(none) if skeleton[none.clone()] == *b"{}" => {
                Ok(Self { entries: Entries::Elsewhere(elsewhere), ..targets })
            }
            _ => Err(FormatError::invalid("signed.targets", "an outline has no entries")),
        }
    }
}

fn read_entries(object: &[u8]) -> impl Iterator<Item = (String, Result<TargetFile, FormatError>)> {
    canonical_json::members(object).map(|(key, value)| {
        let name = canonical_json::unescape(key);
        let target = TargetFile::from_json(Json::from_canonical(value), &entry_path(&name));
        (name, target)
    })
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
        let (signed, entries) = (signed.clone(), Entries::Here(entries));
        Ok(Self { spec_version, version, expires, delegations, unrecognized: fields.rest(), signed, entries })
    }

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> &Expires {
        &self.expires
    }

    /// Entries that cannot be read any more are left out, all of them: nobody takes the rest for a document.
    fn to_json(&self) -> Json {
        let entries = match &self.entries {
            Entries::Here(entries) => Some(Json::from_canonical(&self.signed[entries.clone()])),
            Entries::Elsewhere(entries) => entries.to_json().ok(),
        };
        let known = [
            ("_type", Json::from(Self::TYPE)),
            ("spec_version", self.spec_version.to_json()),
            ("version", Json::from(self.version.get())),
            ("expires", self.expires.to_json()),
        ];
        let delegations = self.delegations.as_ref().map(|delegations| ("delegations", delegations.to_json()));
        let entries = entries.map(|entries| ("targets", entries));
        fields::object(&self.unrecognized, known.into_iter().chain(entries).chain(delegations))
    }
}
