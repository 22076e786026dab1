//! The snapshot document: which versions of targets metadata belong together.

use std::cmp::Ordering;
use std::ops::Range;

use super::canonical_json::{self, Json, Members, compare_keys};
use super::fields::{self, Fields};
use super::{Document, Expires, FormatError, MetaFile, RoleName, SignedBytes, SpecVersion, Unrecognized, Version};

/// Snapshot metadata (TUF specification section 4.4).
///
/// The entries are all checked when the document is read, but stay in the bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this document.
    pub version: Version,
    /// When it expires.
    pub expires: Expires,
    /// Unknown fields of the document.
    pub unrecognized: Unrecognized,
    signed: SignedBytes,
    meta: Range<usize>,
    count: usize,
}

impl Snapshot {
    /// What the snapshot says about a role's file.
    pub fn role(&self, role: &RoleName) -> Option<MetaFile> {
        let name = role.meta_key();
        let mut wanted = Vec::new();
        canonical_json::write_string(&name, &mut wanted);
        self.signed.find(&self.meta, &wanted[1..wanted.len() - 1]).map(|entry| read_entry(entry, &name))
    }

    /// Targets metadata by file name, such as `targets.json`, in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (String, MetaFile)> {
        canonical_json::members(self.entries()).map(|(name, entry)| {
            let name = canonical_json::unescape(name);
            let meta = read_entry(entry, &name);
            (name, meta)
        })
    }

    /// How many files are listed.
    pub fn count(&self) -> usize {
        self.count
    }

    /// For each file listed here, in order: its name, its version, and its version in `other` where that lists it.
    pub(crate) fn beside<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (String, Version, Option<Version>)> + 'a {
        // Both are sorted.
        let mut others = Versions::of(other.entries()).map_while(Result::ok).peekable();
        Versions::of(self.entries()).map_while(Result::ok).map(move |(name, version)| {
            while others.next_if(|(there, _)| compare_keys(there, name) == Ordering::Less).is_some() {}
            let there = others.next_if(|(there, _)| *there == name).map(|(_, version)| version);
            (canonical_json::unescape(name), version, there)
        })
    }

    fn entries(&self) -> &[u8] {
        &self.signed[self.meta.clone()]
    }
}

fn read_entry(entry: &[u8], name: &str) -> MetaFile {
    MetaFile::from_json(Json::from_canonical(entry), name).expect("every entry was checked when the snapshot was read")
}

/// The version of each file, by name still escaped; an error where an entry is malformed.
struct Versions<'a>(Members<'a>);

impl<'a> Versions<'a> {
    fn of(entries: &'a [u8]) -> Self {
        Self(canonical_json::members(entries))
    }
}

impl<'a> Iterator for Versions<'a> {
    type Item = Result<(&'a [u8], Version), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.next_key()?;
        let cursor = self.0.cursor();
        let start = cursor.at;
        if let Some(version) = MetaFile::version_of_plain(cursor) {
            return Some(Ok((name, version)));
        }
        cursor.at = start;
        let entry = Json::from_canonical(cursor.skip());
        let at = format!("signed.meta.{}", canonical_json::unescape(name));
        Some(MetaFile::from_json(entry, &at).map(|meta| (name, meta.version)))
    }
}

impl Document for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn from_signed(signed: &SignedBytes) -> Result<Self, FormatError> {
        let (others, [meta]) = signed.set_aside(["meta"]);
        let (mut fields, spec_version) = Fields::open_signed(others, Self::TYPE)?;
        let version = fields.version()?;
        let expires = fields.expires()?;
        let meta = meta.ok_or_else(|| FormatError::Missing { at: "signed".to_owned(), field: "meta" })?;
        if signed[meta.start] != b'{' {
            Fields::open(Json::from_canonical(&signed[meta.clone()]), "signed.meta")?;
        }
        let mut count = 0;
        for entry in Versions::of(&signed[meta.clone()]) {
            entry?;
            count += 1;
        }
        Ok(Self { spec_version, version, expires, unrecognized: fields.rest(), signed: signed.clone(), meta, count })
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
            ("meta", Json::from_canonical(self.entries())),
        ];
        fields::object(&self.unrecognized, known)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::metadata::Envelope;

    fn snapshot(entries: &BTreeMap<String, u64>) -> Snapshot {
        let meta: serde_json::Map<_, _> =
            entries.iter().map(|(name, version)| (name.clone(), serde_json::json!({ "version": version }))).collect();
        let signed = serde_json::json!({
            "_type": "snapshot", "spec_version": "1.0", "version": 1, "expires": "2030-01-01T00:00:00Z", "meta": meta,
        });
        let text = serde_json::json!({ "signatures": [], "signed": signed }).to_string();
        Envelope::parse(text.as_bytes()).unwrap().unverified().unwrap()
    }

    proptest! {
        #[test]
        fn two_snapshots_are_compared_name_by_name(
            old in proptest::collection::btree_map("[A-Z\"\\\\a-d]{1,2}", 1..9_u64, 0..40),
            new in proptest::collection::btree_map("[A-Z\"\\\\a-d]{1,2}", 1..9_u64, 0..40),
        ) {
            let (one, other) = (snapshot(&old), snapshot(&new));
            let ours: Vec<_> =
                one.beside(&other).map(|(name, old, new)| (name, old.get(), new.map(Version::get))).collect();
            let plainly: Vec<_> =
                old.iter().map(|(name, version)| (name.clone(), *version, new.get(name).copied())).collect();
            prop_assert_eq!(ours, plainly);
        }
    }
}
