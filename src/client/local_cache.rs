//! Keeps trusted metadata on disk: the exact bytes received, under unversioned names.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::store::{CacheMode, Store, StoreLock, StoredFile};
use crate::crypto::sha256;
use crate::fs::{Lock, Survives, read_bounded, remove_leftovers, replace, sync_directory};
use crate::metadata::{EncodedName, RoleName};
use crate::trust::LocalFile;

/// A directory of trusted metadata.
///
/// `root.json`, `timestamp.json`, … hold the newest of each role; `root_history/N.root.json` the chain of roots; `history/` what a
/// [`super::History`] keeps.
/// What is read from here is verified again at every start: a file that was damaged or replaced is fetched anew.
#[derive(Debug, Clone)]
pub struct LocalCache {
    directory: PathBuf,
    mode: CacheMode,
}

/// The newest root, timestamp and snapshot are the floors that trust may not fall below, so they must not be lost. The
/// roots before are asked for again where the chain has a gap; targets metadata is named by the snapshot to the byte or
/// version. Damaged, either is fetched again.
fn survival(file: &StoredFile) -> Survives {
    match file {
        StoredFile::Metadata(LocalFile::Role(RoleName::Root | RoleName::Timestamp | RoleName::Snapshot)) => {
            Survives::PowerFailure
        }
        StoredFile::Metadata(LocalFile::Role(_) | LocalFile::Root(_))
        | StoredFile::Notes
        | StoredFile::Journal
        | StoredFile::Superseded(_) => Survives::Crash,
    }
}

/// Longest cached file that is read, in bytes.
const LONGEST: u64 = 512_000_000;

impl LocalCache {
    /// Uses a directory, which is made when something is first kept.
    pub fn new(directory: impl Into<PathBuf>, mode: CacheMode) -> Self {
        Self { directory: directory.into(), mode }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a file is kept.
    pub fn path(&self, file: &StoredFile) -> PathBuf {
        self.directory.join(file.key())
    }
}

impl Store for LocalCache {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(file);
        // A pipe would block for ever, and a directory is nothing of ours.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(None);
        }
        match read_bounded(&path, LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            other => other,
        }
    }

    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.directory))?;
        replace(&path, bytes, survival(file))
    }

    /// Also clears away what killed updates left.
    fn settle(&self) -> io::Result<()> {
        for below in ["root_history", "history", "client", ""] {
            remove_leftovers(&self.directory.join(below));
        }
        // What must not be lost lies at the top.
        if self.directory.exists() { sync_directory(&self.directory) } else { Ok(()) }
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        fs::create_dir_all(&self.directory)?;
        Ok(Lock::try_acquire(&self.directory)?.map(StoreLock::new))
    }

    fn mode(&self) -> CacheMode {
        self.mode
    }

    fn describe(&self) -> String {
        self.directory.display().to_string()
    }
}

/// Where file names ignore case, a delegated role called `Root` must not overwrite `root.json`.
pub(super) fn role_file_name(role: &RoleName) -> String {
    let name = role.encoded();
    let looks_top_level = RoleName::delegated(&role.as_str().to_ascii_lowercase()).is_none();
    match role {
        RoleName::Delegated(_) if looks_top_level => hashed_name(&name, ".json"),
        _ => stored_name(&name, ".json"),
    }
}

/// A file name of at most 255 bytes, which is where file systems stop: a name that is too long gives way to its hash.
///
/// Two names could then be stored under one; what is read back is verified, so that does no harm.
pub fn stored_name(name: &EncodedName, ending: &str) -> String {
    if name.as_str().len() + ending.len() > 200 { hashed_name(name, ending) } else { format!("{name}{ending}") }
}

fn hashed_name(name: &EncodedName, ending: &str) -> String {
    format!("sha256-{}{ending}", hex::encode(sha256(name.as_str().as_bytes())))
}
