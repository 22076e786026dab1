//! What a rehearsal says of the repository that it rehearses; and the mark that it leaves there.
//!
//! A rehearsal's safety does not hang on this: what is signed in one calls itself `rehearsal-root` and the like, which no
//! client takes. The lists keep people from touching the wrong key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::RepositoryError;
use crate::crypto::sha256;
use crate::fs::{read_below, refuse_links, write_durably};

/// Where a working copy keeps which keys were made for rehearsals of it, one file for each rehearsal.
const MARKS: &str = "rehearsals";
/// Longest mark that is read, in bytes.
const LONGEST_MARK: u64 = 1 << 20;
/// Most marks that are read.
const MOST_MARKS: usize = 1000;
/// Most keys of a real repository that a rehearsal lists.
const MOST_KEYS: usize = 10_000;

/// What is rehearsed: the table `rehearsal` of `trustroot.toml`, and a part of every request of a rehearsal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rehearsal {
    /// The SHA-256 of the first root of the real repository, in hexadecimal; absent while that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Keys of the real repository, which must not sign here: the SHA-256 of each canonical SubjectPublicKeyInfo, in
    /// hexadecimal.
    pub refused: BTreeSet<String>,
}

impl Rehearsal {
    /// Of a repository, by its first root and the fingerprints of its keys.
    pub(crate) fn new(of: Option<[u8; 32]>, keys: impl Iterator<Item = [u8; 32]>) -> Self {
        Self { of: of.map(hex::encode), refused: keys.map(hex::encode).collect() }
    }

    /// Whether this is a key of the real repository.
    pub fn refuses(&self, canonical_spki: &[u8]) -> bool {
        self.refused.contains(&hex::encode(sha256(canonical_spki)))
    }

    /// Whether it can be read as one.
    ///
    /// # Errors
    /// In words, when it lists no keys, too many, or something else.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if self.refused.is_empty() || self.refused.len() > MOST_KEYS {
            return Err(format!("lists 1 to {MOST_KEYS} keys of the real repository"));
        }
        if !self.refused.iter().chain(&self.of).all(|text| is_digest(text)) {
            return Err("a digest has 64 hexadecimal digits".to_owned());
        }
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// By the name of whoever rehearses with it: the SHA-256 of the canonical SubjectPublicKeyInfo, in hexadecimal.
    keys: BTreeMap<String, String>,
}

/// Notes in a working copy which keys were made for a rehearsal of it, so that they are never let in there.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn mark(copy: &Path, keys: BTreeMap<String, String>) -> Result<(), RepositoryError> {
    let directory = copy.join(MARKS);
    refuse_links(copy, &directory)?;
    fs::create_dir_all(&directory)?;
    let text = serde_json::to_vec_pretty(&Mark { keys }).map_err(std::io::Error::from)?;
    // Named after its content, so that merges never conflict.
    write_durably(&directory.join(format!("{}.json", hex::encode(&sha256(&text)[..8]))), &text)?;
    Ok(())
}

/// The keys that were made for rehearsals of a working copy.
///
/// # Errors
/// When a mark cannot be read: a key that was made in the open could be let in.
pub(super) fn marked(copy: &Path) -> Result<BTreeSet<String>, RepositoryError> {
    refuse_links(copy, &copy.join(MARKS))?;
    let entries = match fs::read_dir(copy.join(MARKS)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
    };
    let mut marked = BTreeSet::new();
    for (index, entry) in entries.enumerate() {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let wrong = |problem: String| RepositoryError::configuration(path.display().to_string(), problem);
        if index >= MOST_MARKS {
            return Err(wrong(format!("is one of more than the {MOST_MARKS} files that are read")));
        }
        let bytes = read_below(copy, &path, LONGEST_MARK)?.unwrap_or_default();
        let mark: Mark = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        marked.extend(mark.keys.into_values());
    }
    Ok(marked)
}
