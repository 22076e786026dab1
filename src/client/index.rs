//! Indexes of large targets documents that were verified, beside what is kept of them.
//!
//! An index says on what basis a document was verified, which file that was, where its entries stand, and what those are
//! by checksum. It is taken at its word where the store opens it as guarded: see [`super::danger::VerifiedIndex`]. The
//! checksums are against accidents, since whoever can write here could replace the pinned root; and every doubt ends in
//! verifying the whole document again.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::danger::GuardedFile;
use super::store::{CacheMode, Store, StoredFile};
use crate::crypto::sha256;
use crate::metadata::{EntryWindow, EntryWindows, RoleName, Targets, TargetsOutline};
use crate::trust::{Basis, LocalFile, Verified, VerifiedBefore};

/// What stands before the checksum of the rest.
const HEAD: &str = "trustroot index 1 sha256:";

/// Longest index that is written or read, in bytes.
const LONGEST: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    basis: String,
    file: String,
    signed: String,
    windows: Vec<Window>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    first: String,
    at: usize,
    length: usize,
    crc32: u32,
}

impl Index {
    fn to_bytes(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).expect("an index is plain data");
        let mut bytes = format!("{HEAD}{}\n", hex::encode(sha256(&body))).into_bytes();
        bytes.extend(body);
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (digest, body) = bytes.strip_prefix(HEAD.as_bytes())?.split_at_checked(64)?;
        let body = body.strip_prefix(b"\n")?;
        (hex::encode(sha256(body)).as_bytes() == digest).then(|| serde_json::from_slice(body).ok())?
    }
}

/// Reads what is kept of a role by its index. `None` where there is none, or any doubt.
pub(super) fn read(store: &dyn Store, role: &RoleName) -> Option<VerifiedBefore> {
    match read_index(store, role) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%role, %error, "an index cannot be read");
            None
        }
    }
}

fn read_index(store: &dyn Store, role: &RoleName) -> io::Result<Option<VerifiedBefore>> {
    let Some(file) = store.open_guarded(&StoredFile::Index(role.clone()))? else { return Ok(None) };
    let Some(length) = usize::try_from(file.length()).ok().filter(|length| *length <= LONGEST) else { return Ok(None) };
    let index = Index::parse(&file.read_at(0, length)?);
    let document = store.open_guarded(&document_of(role))?;
    let (Some(index), Some(document)) = (index, document) else { return Ok(None) };
    if index.file != document.identity() {
        return Ok(None);
    }
    let mut windows = index.windows;
    let mut outlined = Vec::with_capacity(windows.len());
    for window in &mut windows {
        let end = window.at.checked_add(window.length).filter(|end| *end as u64 <= document.length());
        let Some(end) = end else { return Ok(None) };
        outlined.push(EntryWindow { first: std::mem::take(&mut window.first), range: window.at..end });
    }
    let outline = TargetsOutline { signed: index.signed, windows: outlined };
    let targets = Targets::outlined(outline, Arc::new(KeptWindows { document, windows }));
    Ok(targets.ok().map(|targets| VerifiedBefore::on_their_word(Basis::noted(index.basis), targets)))
}

/// Writes the index of a document that was verified whole, and is kept; not while somebody else writes, nor where nothing
/// is written.
///
/// Fails also where nobody could rely on the index: then every look-up verifies all of the document.
///
/// The checksums are of the bytes that were verified: where others are kept, they do not fit, and the index is of no use.
pub(super) fn write(store: &dyn Store, basis: &Basis, targets: &Verified<Targets>) -> io::Result<()> {
    let Some(document) = store.open_guarded(&document_of(targets.role()))? else { return Ok(()) };
    if store.mode() == CacheMode::ReadOnly {
        return Ok(());
    }
    let Some(outline) = targets.outline() else { return Ok(()) };
    let Some(_lock) = store.try_lock()? else { return Ok(()) };
    let window = |window: EntryWindow| {
        let crc32 = crc32fast::hash(targets.received(&window.range));
        Window { first: window.first, at: window.range.start, length: window.range.len(), crc32 }
    };
    let index = Index {
        basis: basis.to_string(),
        file: document.identity().to_owned(),
        signed: outline.signed,
        windows: outline.windows.into_iter().map(window).collect(),
    };
    let bytes = index.to_bytes();
    if bytes.len() > LONGEST {
        return Ok(());
    }
    let file = StoredFile::Index(targets.role().clone());
    store.write(&file, &bytes)?;
    store.open_guarded(&file).map(drop)
}

fn document_of(role: &RoleName) -> StoredFile {
    StoredFile::Metadata(LocalFile::Role(role.clone()))
}

/// Entries in a document that is kept.
#[derive(Debug)]
struct KeptWindows {
    document: Box<dyn GuardedFile>,
    /// Without the names, which somebody else has.
    windows: Vec<Window>,
}

impl EntryWindows for KeptWindows {
    fn read(&self, window: usize) -> Option<Vec<u8>> {
        let Window { at, length, crc32: known, .. } = self.windows.get(window)?;
        match self.document.read_at(*at as u64, *length) {
            Ok(bytes) => Some(bytes).filter(|bytes| crc32fast::hash(bytes) == *known),
            Err(error) => {
                tracing::debug!(%error, "an indexed document cannot be read");
                None
            }
        }
    }
}
