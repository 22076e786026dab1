//! What an update has accepted and not written yet.
//!
//! An update fetches without a lock, however long that takes, and writes all that it has accepted at its end, under one.
//! In between it reads its own results back as if they had been written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::store::{Store, StoredFile};
use crate::metadata::{RoleName, Version};
use crate::trust::{Accepted, LocalFile, Received};

/// Accepted files in the order in which they are to be written, and the floors that they were judged against.
#[derive(Debug, Default)]
pub(super) struct Staged {
    files: Vec<Accepted>,
    /// Files that are no news: a root that was trusted before, and the copy of the newest one.
    no_news: BTreeSet<LocalFile>,
    /// What the store must still hold of the files that trust may not fall below: what was first read of them, and later
    /// what was staged last, written or not.
    floors: BTreeMap<LocalFile, Option<Arc<Vec<u8>>>>,
}

fn is_floor(file: &LocalFile) -> bool {
    matches!(file, LocalFile::Role(RoleName::Root | RoleName::Timestamp | RoleName::Snapshot))
}

impl Staged {
    /// Reads a file as if everything that is staged were written.
    pub(super) fn read(&mut self, store: &dyn Store, file: &LocalFile) -> io::Result<Option<Received>> {
        if let Some(staged) = self.files.iter().find(|staged| staged.file == *file) {
            return Ok(Some(Arc::clone(&staged.bytes).into()));
        }
        let stored = store.read(&StoredFile::Metadata(file.clone()))?.map(Arc::new);
        if is_floor(file) {
            self.floors.entry(file.clone()).or_insert_with(|| stored.clone());
        }
        Ok(stored.map(Received::from))
    }

    /// Whether there is something for this place that is not written yet.
    pub(super) fn holds(&self, file: &LocalFile) -> bool {
        self.files.iter().any(|staged| staged.file == *file)
    }

    /// Takes a file that has been accepted. Of two for one place the later counts.
    pub(super) fn put(&mut self, accepted: Accepted) {
        match self.files.iter_mut().find(|staged| staged.file == accepted.file) {
            Some(staged) => *staged = accepted,
            None => self.files.push(accepted),
        }
    }

    /// Makes a root the newest, as a copy of its own: damage to one must not reach the other. If we crash before this
    /// is written, the next update finds it in the history.
    pub(super) fn promote(&mut self, version: Version, bytes: &Arc<Vec<u8>>) {
        self.no_news.insert(LocalFile::Role(RoleName::Root));
        self.put(Accepted { file: LocalFile::Role(RoleName::Root), version, bytes: Arc::clone(bytes) });
    }

    /// Makes a root that is trusted already part of the history, and the newest.
    pub(super) fn keep_root(&mut self, version: Version, bytes: &Arc<Vec<u8>>) {
        let file = LocalFile::Root(version);
        if !self.holds(&file) {
            self.no_news.insert(file.clone());
            self.put(Accepted { file, version, bytes: Arc::clone(bytes) });
        }
        self.promote(version, bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether something is staged that trust may not fall below.
    pub(super) fn moves_floors(&self) -> bool {
        self.files.iter().any(|staged| is_floor(&staged.file))
    }

    /// From now on only what is looked up is staged, which belongs to a snapshot and to nothing else.
    pub(super) fn look_up(&mut self) {
        self.floors.retain(|file, _| *file == LocalFile::Role(RoleName::Snapshot));
    }

    /// Whether somebody else has written a floor since it was read here, and something else than is staged. What is
    /// staged was then judged against floors that are not the newest.
    pub(super) fn was_overtaken(&self, store: &dyn Store) -> io::Result<bool> {
        for (file, read) in &self.floors {
            let stored = store.read(&StoredFile::Metadata(file.clone()))?.map(Arc::new);
            let staged = self.files.iter().find(|staged| staged.file == *file).map(|staged| &staged.bytes);
            if stored != *read && stored.as_ref() != staged {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is staged and was not trusted before.
    pub(super) fn news(&self) -> impl Iterator<Item = &Accepted> {
        self.files.iter().filter(|accepted| !self.no_news.contains(&accepted.file))
    }

    /// Writes everything, and hands what is news over to `written`. What could not be written is gone from here.
    pub(super) fn write(&mut self, store: &dyn Store, mut written: impl FnMut(Accepted)) -> io::Result<()> {
        let (mut files, no_news) = self.take();
        // What vouches comes before what it vouches for: the roots, then the newest of them, then the rest as it came.
        files.sort_by_key(|accepted| match accepted.file {
            LocalFile::Root(_) => 0,
            LocalFile::Role(RoleName::Root) => 1,
            LocalFile::Role(_) => 2,
        });
        for accepted in files {
            store.write(&StoredFile::Metadata(accepted.file.clone()), &accepted.bytes)?;
            if !no_news.contains(&accepted.file) {
                written(accepted);
            }
        }
        Ok(())
    }

    /// Gives up what is staged. What is looked up later is still judged against it.
    pub(super) fn give_up(&mut self) {
        self.take();
    }

    fn take(&mut self) -> (Vec<Accepted>, BTreeSet<LocalFile>) {
        for staged in self.files.iter().filter(|staged| is_floor(&staged.file)) {
            self.floors.insert(staged.file.clone(), Some(Arc::clone(&staged.bytes)));
        }
        (std::mem::take(&mut self.files), std::mem::take(&mut self.no_news))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
