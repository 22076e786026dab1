//! A large targets document of which only an outline is in memory: its entries stay where it is kept, and are read in
//! windows.
//!
//! Nothing here is trusted, and nothing is read: somebody else keeps outlines, reads windows, and knows why they are those
//! of a document that was verified. What does not fit together is an error, never another answer.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::canonical_json::{self, Json, compare_keys};
use super::{FormatError, SignedBytes, already_canonical};

/// Entries that take fewer bytes than this are read with their document.
const LARGE: usize = 1 << 20;

/// Fewest bytes of a window, but for the last.
const LEAST: usize = 64 << 10;

/// Most windows of a document.
const MOST: usize = 2048;

/// A targets document without its entries, and where those stand in the document as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever keeps it must keep all of it")]
pub struct TargetsOutline {
    /// The `signed` value in canonical form, with `{}` for `targets`.
    pub signed: String,
    /// The windows, in order.
    pub windows: Vec<EntryWindow>,
}

/// Some entries that stand beside each other: whole members, without the comma at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever keeps it must keep all of it")]
pub struct EntryWindow {
    /// The name of the first entry, as it stands escaped.
    pub first: String,
    /// Where they stand in the document received.
    pub range: Range<usize>,
}

/// Reads windows of one document, by number.
pub trait EntryWindows: fmt::Debug + Send + Sync {
    /// The bytes of a window, exactly as they were when the document was verified; `None` where it cannot be told that
    /// they are.
    fn read(&self, window: usize) -> Option<Vec<u8>>;
}

/// Entries that are not in memory.
#[derive(Debug, Clone)]
pub(super) struct Elsewhere {
    /// The first name in each window, in order.
    firsts: Arc<[String]>,
    windows: Arc<dyn EntryWindows>,
}

/// Whether the document is large, and its entries stand in what was received as they were signed.
pub(super) fn is_worth_an_outline(signed: &SignedBytes, entries: &Range<usize>) -> bool {
    entries.len() >= LARGE && signed.begins_in_received().is_some()
}

/// Outlines the document of which `signed` is the signed value and `entries` where its entries are in that.
pub(super) fn outline(signed: &SignedBytes, entries: &Range<usize>) -> Option<TargetsOutline> {
    let begin = signed.begins_in_received().filter(|_| is_worth_an_outline(signed, entries))?;
    let least = LEAST.max(entries.len() / MOST);
    let mut starts = vec![entries.start + 1];
    for mark in signed.marks(entries) {
        if mark - starts[starts.len() - 1] >= least {
            starts.push(*mark);
        }
    }
    // A comma stands before each start but the first, a brace behind the last member.
    let ends = starts[1..].iter().map(|next| next - 1).chain([entries.end - 1]);
    let windows = starts.iter().zip(ends).map(|(start, end)| {
        let first = canonical_json::members_from(signed, *start, &[]).next_key()?;
        let first = String::from_utf8(first.to_vec()).ok()?;
        Some(EntryWindow { first, range: begin + start..begin + end })
    });
    let windows = windows.collect::<Option<Vec<_>>>()?;
    let skeleton = [&signed[..entries.start], b"{}", &signed[entries.end..]].concat();
    Some(TargetsOutline { signed: String::from_utf8(skeleton).ok()?, windows })
}

/// Takes an outline apart: what is left of the signed value, and the entries.
pub(super) fn open(
    outline: TargetsOutline,
    windows: Arc<dyn EntryWindows>,
) -> Result<(SignedBytes, Elsewhere), FormatError> {
    let firsts: Arc<[String]> = outline.windows.into_iter().map(|window| window.first).collect();
    let rising = firsts.windows(2).all(|pair| compare_keys(pair[0].as_bytes(), pair[1].as_bytes()).is_lt());
    match SignedBytes::of_canonical(outline.signed) {
        Some(skeleton) if rising && !firsts.is_empty() => Ok((skeleton, Elsewhere { firsts, windows })),
        _ => Err(FormatError::invalid("signed", "not an outline of a document in canonical form")),
    }
}

impl Elsewhere {
    /// The object of those entries among which `name` must be, as it stands escaped; `None` where it comes before all.
    pub(super) fn window_of(&self, name: &[u8]) -> Result<Option<Vec<u8>>, FormatError> {
        let behind = self.firsts.partition_point(|first| compare_keys(first.as_bytes(), name).is_le());
        behind.checked_sub(1).map(|window| self.window(window)).transpose()
    }

    /// All entries, in objects.
    pub(super) fn windows(&self) -> impl Iterator<Item = Result<Vec<u8>, FormatError>> {
        (0..self.firsts.len()).map(|window| self.window(window))
    }

    pub(super) fn to_json(&self) -> Result<Json, FormatError> {
        let mut entries = BTreeMap::new();
        for window in self.windows() {
            if let Json::Object(members) = Json::from_canonical(&window?) {
                entries.extend(members);
            }
        }
        Ok(Json::Object(entries))
    }

    /// The entries of one window as an object in canonical form: that, and with which name it begins, is checked again.
    fn window(&self, window: usize) -> Result<Vec<u8>, FormatError> {
        let object = self.windows.read(window).map(|members| [b"{", &members[..], b"}"].concat());
        let object = object.filter(|object| {
            // `targets` stands inside two objects.
            let recognized = std::str::from_utf8(object).ok().and_then(|_| already_canonical::received(object, 0, 2));
            recognized.is_some_and(|recognized| recognized.end == object.len())
                && canonical_json::members(object).next_key() == Some(self.firsts[window].as_bytes())
        });
        object.ok_or(FormatError::NotKept)
    }
}

impl PartialEq for Elsewhere {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.windows, &other.windows) && self.firsts == other.firsts
    }
}

impl Eq for Elsewhere {}
