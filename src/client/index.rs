//! Indexes of large targets documents that were verified, and of chains of roots, beside what is kept of them.
//!
//! An index says on what basis a document was verified, which file that was, where its entries stand, and what those are
//! by checksum. It is taken at its word where the store opens it as guarded: see [`super::danger::VerifiedIndex`]. The
//! checksums are against accidents, since whoever can write here could replace the pinned root; and every doubt ends in
//! verifying the whole document again.

use std::io;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::danger::GuardedFile;
use super::store::{CacheMode, Store, StoredFile};
use crate::crypto::sha256;
use crate::metadata::{EntryWindow, EntryWindows, RoleName, Targets, TargetsOutline};
use crate::trust::{Basis, ChainBefore, LocalFile, Verified, VerifiedBefore};

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

/// That the newest root that is kept was reached from a pinned one, root by root.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    basis: String,
    file: String,
    /// Whether roots that everybody can sign for would have been taken.
    trial: bool,
}

fn to_bytes(index: &impl Serialize) -> Vec<u8> {
    let body = serde_json::to_vec(index).expect("an index is plain data");
    let mut bytes = format!("{HEAD}{}\n", hex::encode(sha256(&body))).into_bytes();
    bytes.extend(body);
    bytes
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (digest, body) = bytes.strip_prefix(HEAD.as_bytes())?.split_at_checked(64)?;
    let body = body.strip_prefix(b"\n")?;
    (hex::encode(sha256(body)).as_bytes() == digest).then(|| serde_json::from_slice(body).ok())?
}

/// Reads an index, and opens the document that it is of. `None` where there is none, or it is of another file.
fn open<T: DeserializeOwned>(
    store: &dyn Store,
    role: &RoleName,
    file: impl FnOnce(&T) -> &str,
) -> io::Result<Option<(T, Box<dyn GuardedFile>)>> {
    let Some(kept) = store.open_guarded(&StoredFile::Index(role.clone()))? else { return Ok(None) };
    let Some(length) = usize::try_from(kept.length()).ok().filter(|length| *length <= LONGEST) else { return Ok(None) };
    let index = parse::<T>(&kept.read_at(0, length)?);
    let (Some(index), Some(document)) = (index, store.open_guarded(&document_of(role))?) else { return Ok(None) };
    let same = file(&index) == document.identity();
    Ok(same.then_some((index, document)))
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
    let Some((index, document)) = open::<Index>(store, role, |index| &index.file)? else { return Ok(None) };
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
    let bytes = to_bytes(&index);
    if bytes.len() > LONGEST {
        return Ok(());
    }
    let file = StoredFile::Index(targets.role().clone());
    store.write(&file, &bytes)?;
    store.open_guarded(&file).map(drop)
}

/// Reads what is kept of the chain of roots, for updates that take roots of trials or do not. `None` where nothing is, or in
/// any doubt.
pub(super) fn read_chain(store: &dyn Store, trial: bool) -> Option<ChainBefore> {
    match open::<Chain>(store, &RoleName::Root, |chain| &chain.file) {
        Ok(Some((chain, _))) if chain.trial == trial => Some(ChainBefore::on_their_word(Basis::noted(chain.basis))),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "the index of the chain of roots cannot be read");
            None
        }
    }
}

/// Writes that `newest`, which is kept, was reached from the pinned root; not while somebody else writes.
pub(super) fn write_chain(store: &dyn Store, pinned: &[u8], newest: &[u8], trial: bool) -> io::Result<()> {
    let Some(document) = store.open_guarded(&document_of(&RoleName::Root))? else { return Ok(()) };
    let Some(_lock) = store.try_lock()? else { return Ok(()) };
    let basis = Basis::of_chain(pinned, newest).to_string();
    let chain = Chain { basis, file: document.identity().to_owned(), trial };
    store.write(&StoredFile::Index(RoleName::Root), &to_bytes(&chain))
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
