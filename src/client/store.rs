//! Where trusted metadata is kept between updates.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::danger::GuardedFile;
use crate::metadata::RoleName;
use crate::trust::LocalFile;

/// Keeps files between updates.
///
/// Nothing that is kept is trusted because it is kept: metadata is verified again at every start. But what is lost or put
/// back to an older state loses rollback protection with it, so a store should be as hard to write to as the program's
/// own configuration.
///
/// [`super::LocalCache`] keeps files in a directory, [`MemoryStore`] for as long as the process runs.
pub trait Store: fmt::Debug + Send + Sync {
    /// Reads a file; `None` where it is not kept, or cannot be ours.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file: who reads it sees the old content or the new one, whatever happens to the process.
    ///
    /// The newest root, the timestamp and the snapshot are what trust may not fall below: of those, one that was written
    /// before another must not be lost while the other is kept, in a power failure either. What else is lost or damaged is
    /// fetched again.
    ///
    /// # Errors
    /// When it cannot be written; it then has its old content.
    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()>;

    /// Makes what trust may not fall below, as written so far, outlive a power failure.
    ///
    /// # Errors
    /// When that cannot be said.
    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    /// Takes the lock that keeps other writers out, or says `None` where another one has it. It is held while a few
    /// files are compared and written, never while something is fetched, but for a writer that was overtaken three times.
    ///
    /// # Errors
    /// When there can be no lock.
    fn try_lock(&self) -> io::Result<Option<StoreLock>>;

    /// Opens a file whose content may be relied on unverified, where it was verified before: see
    /// [`super::danger::VerifiedIndex`]. `None` where it is not kept and, as here, where that is never so.
    ///
    /// # Errors
    /// When it is there but cannot be read, or may not be relied on: that says what would have to be otherwise.
    fn open_guarded(&self, _file: &StoredFile) -> io::Result<Option<Box<dyn GuardedFile>>> {
        Ok(None)
    }

    /// Whether anything may be written at all.
    fn mode(&self) -> CacheMode {
        CacheMode::ReadWrite
    }

    /// What the store is called in messages.
    fn describe(&self) -> String;
}

/// Whether an update may change what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it may or it may not")]
pub enum CacheMode {
    /// What is trusted is kept.
    ReadWrite,
    /// Nothing is written: for judging at another time than now.
    ReadOnly,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum StoredFile {
    /// Metadata that was trusted, to the byte.
    Metadata(LocalFile),
    /// The client's own notes: when the repository was asked last, and which mirrors failed.
    Notes,
    /// The journal of a [`super::History`].
    Journal,
    /// A document that a [`super::History`] keeps, by number; empty where it keeps none there any more.
    Superseded(u16),
    /// Where things stand in the newest metadata of a role, and of root that it was reached from the pinned one: see
    /// [`super::danger::VerifiedIndex`].
    Index(RoleName),
}

impl StoredFile {
    /// A name that is unlike that of any other file: relative, with `/` between its parts, and safe on every file system.
    pub fn key(&self) -> String {
        match self {
            Self::Metadata(LocalFile::Root(version)) => format!("root_history/{}.root.json", version.get()),
            Self::Metadata(LocalFile::Role(role)) => super::local_cache::role_file_name(role),
            Self::Notes => "client/notes.json".to_owned(),
            Self::Journal => "history/journal.jsonl".to_owned(),
            Self::Superseded(slot) => format!("history/{slot}.json"),
            Self::Index(role) => format!("index/{}", super::local_cache::role_file_name(role)),
        }
    }
}

impl From<LocalFile> for StoredFile {
    fn from(file: LocalFile) -> Self {
        Self::Metadata(file)
    }
}

/// Keeps other writers out until it is dropped.
pub struct StoreLock(#[expect(dead_code, reason = "held, not read")] Box<dyn Any + Send>);

impl StoreLock {
    /// A lock that lasts as long as `guard`.
    pub fn new(guard: impl Any + Send) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreLock")
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        (**self).read(file)
    }

    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()> {
        (**self).write(file, bytes)
    }

    fn settle(&self) -> io::Result<()> {
        (**self).settle()
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        (**self).try_lock()
    }

    fn open_guarded(&self, file: &StoredFile) -> io::Result<Option<Box<dyn GuardedFile>>> {
        (**self).open_guarded(file)
    }

    fn mode(&self) -> CacheMode {
        (**self).mode()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// Keeps files for as long as the process runs: for one-off questions, and where nothing can be written.
///
/// Without a store that lasts, nothing protects against rollback to what was signed after the pinned root, except expiry.
#[derive(Debug, Default)]
pub struct MemoryStore {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    lock: Arc<Mutex<bool>>,
}

/// Frees the lock of a [`MemoryStore`].
struct MemoryLock(Arc<Mutex<bool>>);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl Store for MemoryStore {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(files.get(&file.key()).cloned())
    }

    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(file.key(), bytes.to_vec());
        Ok(())
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        let mut taken = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((!std::mem::replace(&mut *taken, true)).then(|| StoreLock::new(MemoryLock(Arc::clone(&self.lock)))))
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
