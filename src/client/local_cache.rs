//! Keeps trusted metadata on disk: the exact bytes received, under unversioned names.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::crypto::sha256;
use crate::fs::{Lock, Survives, read_bounded, remove_leftovers, replace, sync_directory};
use crate::metadata::{EncodedName, RoleName};
use crate::trust::LocalFile;

/// Whether an update may change the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it may or it may not")]
pub enum CacheMode {
    /// What is trusted is kept.
    ReadWrite,
    /// Nothing is written: for judging at another time than now.
    ReadOnly,
}

/// A directory of trusted metadata.
///
/// `root.json`, `timestamp.json`, … hold the newest of each role; `root_history/N.root.json` the chain of roots.
/// What is read from here is verified again at every start: a file that was damaged or replaced is fetched anew.
#[derive(Debug, Clone)]
pub struct LocalCache {
    directory: PathBuf,
    mode: CacheMode,
}

/// Root, timestamp and snapshot are the floors that trust may not fall below, so they must not be lost. Targets
/// metadata is named by the snapshot to the byte or version: damaged, it is fetched again.
fn survival(file: &LocalFile) -> Survives {
    match file {
        LocalFile::Root(_) | LocalFile::Role(RoleName::Root | RoleName::Timestamp | RoleName::Snapshot) => {
            Survives::PowerFailure
        }
        LocalFile::Role(_) => Survives::Crash,
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
    pub fn path(&self, file: &LocalFile) -> PathBuf {
        match file {
            LocalFile::Root(version) => {
                self.directory.join("root_history").join(format!("{}.root.json", version.get()))
            }
            LocalFile::Role(role) => self.directory.join(role_file_name(role)),
        }
    }

    /// Reads a file; `None` where it is absent, or too long to be ours.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn read(&self, file: &LocalFile) -> io::Result<Option<Vec<u8>>> {
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

    /// Keeps a file; `false` where nothing is written. Of a root it keeps the history: see [`LocalCache::promote`].
    ///
    /// It outlives the process at once, and a power failure once the update has ended.
    ///
    /// # Errors
    /// When it cannot be written; the cache then has its old content.
    pub fn store(&self, file: &LocalFile, bytes: &[u8]) -> io::Result<bool> {
        if self.mode == CacheMode::ReadOnly {
            return Ok(false);
        }
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.directory))?;
        replace(&path, bytes, survival(file))?;
        Ok(true)
    }

    /// Makes a root the newest, as a copy of its own: damage to one must not reach the other. If we crash before this,
    /// the next update finds it in the history.
    ///
    /// # Errors
    /// When it cannot be written; the newest is then the one it was.
    pub fn promote(&self, bytes: &[u8]) -> io::Result<()> {
        match self.mode {
            CacheMode::ReadOnly => Ok(()),
            CacheMode::ReadWrite => {
                replace(&self.path(&LocalFile::Role(RoleName::Root)), bytes, Survives::PowerFailure)
            }
        }
    }

    /// Makes everything stored so far outlive a power failure, and clears away what killed updates left. The cache
    /// must be locked.
    pub(crate) fn settle(&self) -> io::Result<()> {
        for directory in [self.directory.join("root_history"), self.directory.clone()] {
            if directory.exists() {
                sync_directory(&directory)?;
                remove_leftovers(&directory);
            }
        }
        Ok(())
    }

    /// Keeps other processes from writing while an update reads, compares and writes. `None` where there is
    /// nothing to keep out of.
    pub(crate) async fn lock(&self) -> io::Result<Option<Lock>> {
        match self.mode {
            // Each file is whole, and verified again; at worst two do not belong together, and are not current.
            CacheMode::ReadOnly => Ok(None),
            CacheMode::ReadWrite => {
                fs::create_dir_all(&self.directory)?;
                Lock::acquire(&self.directory).await.map(Some)
            }
        }
    }
}

/// Where file names ignore case, a delegated role called `Root` must not overwrite `root.json`.
fn role_file_name(role: &RoleName) -> String {
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
