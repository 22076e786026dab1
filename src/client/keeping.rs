//! Keeps what an update accepted: writes it under the lock unless somebody was quicker, notes it, indexes it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::UpdateError;
use super::driver::Driver;
use super::history::{Content, History, Noted, Subject};
use super::index;
use super::notes::Notes;
use super::store::{CacheMode, StoreLock, StoredFile};
use crate::metadata::{RoleName, Version};
use crate::trust::{Accepted, Basis, ChainBefore, Connectivity, LocalFile, Received, TrustedSet, VerifiedBefore};

/// How long another process is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// What came of writing.
#[derive(Debug, PartialEq)]
pub(super) enum Commit {
    /// Everything is written, or there was nothing to write.
    Done,
    /// Another process has written newer floors: nothing was written.
    Overtaken,
}

impl Driver {
    pub(super) fn note_not_kept(&mut self, error: io::Error) {
        self.not_kept = Some(error);
    }

    pub(super) fn stage(&mut self, accepted: Accepted) {
        if self.store.mode() == CacheMode::ReadWrite {
            self.staged.put(accepted);
        }
    }

    /// Makes sure that the store shows the newest root, also where it is the pinned one or was found in the history.
    pub(super) fn keep_root(&mut self, (version, bytes): (Version, &Arc<Vec<u8>>)) -> io::Result<()> {
        if self.store.mode() == CacheMode::ReadOnly {
            return Ok(());
        }
        let kept = self.staged.read(&*self.store, &LocalFile::Role(RoleName::Root))?;
        if kept.as_ref().map(Received::bytes) != Some(bytes) {
            self.staged.keep_root(version, bytes);
        }
        Ok(())
    }

    /// Writes what is staged, unless another process has moved trust on meanwhile. What cannot be written does not make
    /// an answer wrong: see [`super::Updater::not_kept`].
    pub(super) async fn commit(&mut self, held: Option<StoreLock>) -> Result<Commit, UpdateError> {
        let notes_are_new = self.notes != self.kept_notes;
        if self.store.mode() == CacheMode::ReadOnly || (self.staged.is_empty() && !notes_are_new) {
            return Ok(Commit::Done);
        }
        let lock = match held {
            Some(lock) => Ok(Some(lock)),
            None => self.lock().await,
        };
        let written = match lock {
            // Held until everything is written.
            Ok(_lock) => self.write(notes_are_new),
            // Whoever has the lock may have used it to move trust on.
            Err(error) => match self.staged.was_overtaken(&*self.store) {
                Ok(true) => Ok(Commit::Overtaken),
                Ok(false) | Err(_) => Err(not_locked(error)),
            },
        };
        match written {
            Ok(commit) => Ok(commit),
            Err(error) => {
                tracing::debug!(%error, "what was accepted is not kept");
                self.staged.give_up();
                self.not_kept = Some(error);
                Ok(Commit::Done)
            }
        }
    }

    fn write(&mut self, notes_are_new: bool) -> io::Result<Commit> {
        if self.staged.was_overtaken(&*self.store)? {
            return Ok(Commit::Overtaken);
        }
        let unsettled = self.staged.moves_floors();
        // Before what it is about: if we crash in between, the next update accepts the same again, and notes it once.
        let noted: Vec<Noted> = self.staged.news().filter_map(noted).collect();
        if !noted.is_empty()
            && let Err(error) = self.write_history(noted)
        {
            self.not_kept = Some(error);
        }
        let (store, kept) = (&*self.store, &mut self.kept);
        self.staged.write(store, |accepted| {
            let role = match accepted.file {
                LocalFile::Root(_) => RoleName::Root,
                LocalFile::Role(role) => role,
            };
            kept.push((role, accepted.version));
        })?;
        if notes_are_new {
            let stored = self.store.read(&StoredFile::Notes)?.map(|bytes| Notes::parse(&bytes)).unwrap_or_default();
            self.notes.join(&stored);
            self.store.write(&StoredFile::Notes, &self.notes.to_bytes())?;
            self.kept_notes = self.notes.clone();
        }
        if unsettled {
            self.store.settle()?;
        }
        Ok(Commit::Done)
    }

    /// Notes versions while the lock is held: afresh, since another process may have noted others.
    fn write_history(&mut self, noted: Vec<Noted>) -> io::Result<()> {
        let mut history = History::read(&*self.store)?;
        history.note(&*self.store, noted, self.start.time(), self.confirmed_before)?;
        self.history = Some(history);
        Ok(())
    }

    /// Notes a document of the builder map that was looked up. What cannot be noted does not make an answer wrong, and
    /// is noted at the next look-up.
    pub(super) async fn note_document(&mut self, noted: Noted) {
        if self.store.mode() == CacheMode::ReadOnly || self.settings.connectivity == Connectivity::Offline {
            return;
        }
        let written = match self.history() {
            Ok(history) if !history.is_news(&noted) => return,
            Ok(_) => match self.lock().await {
                Ok(_lock) => self.write_history(vec![noted]),
                Err(error) => Err(not_locked(error)),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::debug!(%error, "a document is not noted");
            self.not_kept = Some(error);
        }
    }

    /// What this machine has had of the repository: see [`History`].
    ///
    /// # Errors
    /// When it is kept but cannot be read.
    pub(super) fn history(&mut self) -> io::Result<&History> {
        if self.history.is_none() {
            self.history = Some(History::read(&*self.store)?);
        }
        Ok(self.history.as_ref().expect("set above"))
    }

    /// What is kept of a role, where an index says that it was verified.
    pub(super) fn indexed(&self, file: &LocalFile) -> Option<VerifiedBefore> {
        match file {
            LocalFile::Role(role @ (RoleName::Targets | RoleName::Delegated(_)))
                if self.believes_indexes && !self.staged.holds(file) =>
            {
                index::read(&*self.store, role)
            }
            _ => None,
        }
    }

    /// Writes indexes of large documents that were verified whole, where the store has a place for them. Without them the
    /// next look-up only takes longer: see [`super::Updater::not_indexed`].
    pub(super) fn write_indexes(&mut self, trusted: &TrustedSet) {
        for (basis, targets) in trusted.worth_outlines() {
            // One of what is not kept any more would only be in the way of a newer one.
            if self.wrote_indexes.contains(&basis) || self.staged.was_overtaken(&*self.store).unwrap_or(true) {
                continue;
            }
            if let Err(error) = index::write(&*self.store, &basis, targets) {
                tracing::debug!(role = %targets.role(), %error, "not indexed: each look-up verifies all of this large document");
                self.not_indexed = Some(error);
            }
            self.wrote_indexes.insert(basis);
        }
    }

    /// What is kept of the chain of roots that leads to `newest`, where `file` is the place for that and it is not the pinned
    /// root itself.
    pub(super) fn indexed_chain(&self, file: &LocalFile, newest: &Received) -> Option<ChainBefore> {
        let leads_there = *file == LocalFile::Role(RoleName::Root) && **newest.bytes() != self.anchor;
        let believed = leads_there && self.believes_indexes;
        believed.then(|| index::read_chain(&*self.store, self.settings.may_be_trial()))?
    }

    /// Writes that the chain of roots was verified, where the store has a place for that.
    pub(super) fn write_chain_index(&mut self) {
        let Some(newest) = self.newest_root.take().filter(|newest| **newest != self.anchor) else { return };
        let is_news = self.wrote_indexes.insert(Basis::of_chain(&self.anchor, &newest));
        // Where the root itself could not be kept there is nothing to be said of it.
        if self.store.mode() == CacheMode::ReadOnly || !is_news || self.not_kept.is_some() {
            return;
        }
        if let Err(error) = index::write_chain(&*self.store, &self.anchor, &newest, self.settings.may_be_trial()) {
            tracing::debug!(%error, "not indexed: each start verifies the whole chain of roots");
        }
    }

    /// Waits for the lock, for as long as the update may take and a minute at most; `None` where nothing is ever written.
    /// Whoever has waited in vain only looks whether it is free now.
    pub(super) async fn lock(&self) -> Result<Option<StoreLock>, UpdateError> {
        if self.store.mode() == CacheMode::ReadOnly {
            return Ok(None);
        }
        let in_vain = self.not_kept.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        let end = self.meter.end_of(if in_vain { Duration::ZERO } else { LOCK_PATIENCE });
        loop {
            match self.store.try_lock()? {
                Some(lock) => return Ok(Some(lock)),
                None if tokio::time::Instant::now() < end => tokio::time::sleep(Duration::from_millis(10)).await,
                None => return Err(UpdateError::Locked { store: self.store.describe() }),
            }
        }
    }
}

/// Why something is not kept, where the lock could not be had.
fn not_locked(error: UpdateError) -> io::Error {
    match error {
        UpdateError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::WouldBlock, other.to_string()),
    }
}

/// What the history says of an accepted file. Versions of timestamp and snapshot are nothing that anybody looks for.
fn noted(accepted: &Accepted) -> Option<Noted> {
    let subject = match &accepted.file {
        LocalFile::Root(_) => Subject::Root,
        LocalFile::Role(RoleName::Timestamp | RoleName::Snapshot) => return None,
        LocalFile::Role(role) => Subject::Role(role.as_str().to_owned()),
    };
    let content = Content::Bytes(Arc::clone(&accepted.bytes));
    Some(Noted { subject, version: Some(accepted.version), content })
}
