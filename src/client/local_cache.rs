//! Keeps trusted metadata on disk: the exact bytes received, under unversioned names.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::danger::{GuardedFile, VerifiedIndex};
use super::store::{CacheMode, Store, StoreLock, StoredFile};
use crate::crypto::sha256;
use crate::fs::{Lock, Survives, read_bounded, remove_leftovers, replace, sync_directory};
use crate::metadata::{EncodedName, RoleName};
use crate::trust::LocalFile;

/// A directory of trusted metadata.
///
/// `root.json`, `timestamp.json`, … hold the newest of each role; `root_history/N.root.json` the chain of roots; `history/` what a
/// [`super::History`] keeps; `index/`, where [`LocalCache::indexed`] allows that, where things stand in large documents, and
/// which root was reached from the pinned one.
/// What is read from here is verified again at every start, but for what such an index says: a file that was damaged or
/// replaced is fetched anew.
#[derive(Debug, Clone)]
pub struct LocalCache {
    directory: PathBuf,
    mode: CacheMode,
    index: Option<VerifiedIndex>,
    /// Which directory it was at the beginning, where it was there.
    began_as: Option<Identity>,
}

/// What tells a directory from another one of its name: device and inode.
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(directory: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(directory).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Nothing tells them apart.
#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
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
        | StoredFile::Superseded(_)
        | StoredFile::Index(_) => Survives::Crash,
    }
}

/// Longest cached file that is read, in bytes.
const LONGEST: u64 = 512_000_000;

impl LocalCache {
    /// Uses a directory, which is made when something is first kept. One that is there now, and is gone or another one by
    /// then, gets nothing: somebody has forgotten what it held, perhaps to trust something else.
    pub fn new(directory: impl Into<PathBuf>, mode: CacheMode) -> Self {
        let directory = directory.into();
        Self { began_as: identity(&directory), directory, mode, index: None }
    }

    fn check_is_the_same(&self) -> io::Result<()> {
        if self.began_as.is_some() && self.began_as != identity(&self.directory) {
            let directory = self.directory.display();
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("`{directory}` was removed or replaced while this ran, and nothing is kept there"),
            ));
        }
        Ok(())
    }

    /// Lets an index stand beside large targets documents, so that a look-up in one that was verified before costs a
    /// few milliseconds; and one of the chain of roots, so that it is not walked at each start. Read [`VerifiedIndex`] first: it says where that is safe.
    #[must_use]
    pub fn indexed(self, index: VerifiedIndex) -> Self {
        Self { index: Some(index), ..self }
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
        self.check_is_the_same()?;
        fs::create_dir_all(path.parent().unwrap_or(&self.directory))?;
        replace(&path, bytes, survival(file))
    }

    fn open_guarded(&self, file: &StoredFile) -> io::Result<Option<Box<dyn GuardedFile>>> {
        match &self.index {
            Some(index) => guarded::open(&self.directory, &self.path(file), index),
            None => Ok(None),
        }
    }

    fn settle(&self) -> io::Result<()> {
        // What must not be lost lies at the top.
        if self.directory.exists() { sync_directory(&self.directory) } else { Ok(()) }
    }

    /// Also clears away what killed updates left.
    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.check_is_the_same()?;
        fs::create_dir_all(&self.directory)?;
        let Some(lock) = Lock::try_acquire(&self.directory)? else { return Ok(None) };
        for below in ["root_history", "history", "client", "index", ""] {
            remove_leftovers(&self.directory.join(below));
        }
        Ok(Some(StoreLock::new(lock)))
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

#[cfg(unix)]
mod guarded {
    //! Whether a cache is as well protected as a pin.

    use std::fs::Metadata;
    use std::io;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    use std::path::Path;

    use fs_err as fs;

    use super::{GuardedFile, VerifiedIndex};

    /// Opens a file below `directory`, if nobody else than the owner of the pin may write to it or to the pin.
    pub(super) fn open(
        directory: &Path,
        path: &Path,
        index: &VerifiedIndex,
    ) -> io::Result<Option<Box<dyn GuardedFile>>> {
        // To open a pipe would block for ever.
        if !present(fs::symlink_metadata(path))?.is_some_and(|found| found.is_file()) {
            return Ok(None);
        }
        let Some(pin) = present(fs::metadata(index.pin_directory()))? else { return Ok(None) };
        protected_like(&pin, index.pin_directory(), &pin)?;
        for directory in [directory, path.parent().unwrap_or(directory)] {
            let found = fs::symlink_metadata(directory)?;
            if !found.is_dir() {
                // A link could lead to where somebody else put it.
                return Err(unreliable(format!("{} is a link", directory.display())));
            }
            protected_like(&found, directory, &pin)?;
        }
        let Some(file) = present(fs::File::open(path))? else { return Ok(None) };
        let found = file.metadata()?;
        if !found.is_file() {
            return Ok(None);
        }
        protected_like(&found, path, &pin)?;
        // The time of the last change of anything about a file cannot be set, so that nobody can have known it before.
        let identity = format!(
            "{}:{} {} {}.{:09} {}.{:09}",
            found.dev(),
            found.ino(),
            found.len(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        );
        Ok(Some(Box::new(Open { file, length: found.len(), identity })))
    }

    fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    const OF_GROUP_OR_OTHERS: u32 = 0o022;

    /// Checks that only the owner of `pin` may write to either. Where there are access control lists, the bits of the group
    /// are what the lists allow at most, to whomever they name: so that a group that may write is never taken for one that is
    /// known.
    fn protected_like(found: &Metadata, path: &Path, pin: &Metadata) -> io::Result<()> {
        let path = path.display();
        if found.uid() != pin.uid() {
            return Err(unreliable(format!("{path} belongs to another user than the pin")));
        }
        if (found.mode() | pin.mode()) & OF_GROUP_OR_OTHERS != 0 {
            return Err(unreliable(format!(
                "others than its owner may write to {path}: run `chmod -R go-w {path}` once, and this under umask 022"
            )));
        }
        Ok(())
    }

    fn unreliable(why: String) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, why)
    }

    #[derive(Debug)]
    struct Open {
        file: fs::File,
        length: u64,
        identity: String,
    }

    impl GuardedFile for Open {
        fn length(&self) -> u64 {
            self.length
        }

        fn identity(&self) -> &str {
            &self.identity
        }

        fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; length];
            self.file.file().read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        }
    }
}

#[cfg(not(unix))]
mod guarded {
    //! Whether a cache is as well protected as a pin: nobody can tell.

    use std::io;
    use std::path::Path;

    use super::{GuardedFile, VerifiedIndex};

    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(super) fn open(_: &Path, _: &Path, index: &VerifiedIndex) -> io::Result<Option<Box<dyn GuardedFile>>> {
        let _ = index.pin_directory();
        Ok(None)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_took_the_place_of_another_gets_nothing_of_it() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("metadata");
        let timestamp = StoredFile::Metadata(LocalFile::Role(RoleName::Timestamp));
        let cache = LocalCache::new(&directory, CacheMode::ReadWrite);
        cache.write(&timestamp, b"the first of all").unwrap();
        let cache = LocalCache::new(&directory, CacheMode::ReadWrite);
        fs::rename(&directory, home.path().join("removed")).unwrap();
        for replaced in [false, true] {
            if replaced {
                fs::create_dir(&directory).unwrap();
            }
            assert_eq!(cache.write(&timestamp, b"late").unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(cache.try_lock().map(drop).unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(directory.exists(), replaced);
            assert!(!replaced || fs::read_dir(&directory).unwrap().next().is_none());
        }
    }
}
