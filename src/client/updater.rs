//! What a program asks: whether everything is current, and where a target is named.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::UpdateError;
use super::asking::Traffic;
use super::driver::Driver;
use super::fetcher::{FetchError, Fetcher};
use super::history::History;
use super::settings::{Mirror, TrustAnchor, UpdaterSettings};
use super::store::{Store, StoredFile};
use crate::metadata::{RoleName, TargetPath, Version};
use crate::trust::{FoundTarget, LocalFile, TrustedSet, UpdateStart};

/// A TUF client for one repository.
///
/// ```no_run
/// use chrono::{DateTime, Utc};
/// use std::sync::Arc;
/// use trustroot::client::*;
/// use trustroot::metadata::TargetPath;
/// use trustroot::trust::UpdateStart;
///
/// # async fn f(pinned_root: Vec<u8>, now: DateTime<Utc>) -> Result<(), Box<dyn std::error::Error>> {
/// let settings = UpdaterSettings::new(
///     SafeUrl::parse("https://keys.example.org/metadata")?,
///     SafeUrl::parse("https://keys.example.org/targets")?,
/// );
/// let cache = LocalCache::new("/var/lib/example/tuf", CacheMode::ReadWrite);
/// let fetcher = Arc::new(DefaultFetcher::new(HttpSettings::default()));
/// let start = UpdateStart::at(now);
/// let mut updater = Updater::new(TrustAnchor::Pinned(pinned_root), settings, cache, fetcher, start)?;
/// if let Some(target) = updater.find(&TargetPath::new("keys.json")?).await? {
///     let bytes = updater.target_bytes(&target, None).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Updater {
    pub(super) driver: Driver,
    trusted: Option<TrustedSet>,
}

/// How an update knows that what it trusts is current.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Freshness {
    /// When the repository confirmed all that is trusted: now, or the last time that it was asked. `None` where that is
    /// not known.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Why the repository could not be asked, where what is kept is used for that reason.
    pub unreachable: Option<FetchError>,
    /// The roles that are used although they have expired, and when they did: see [`super::danger::ExpiredGrace`]. The
    /// delegated ones among them are those that look-ups have needed so far.
    pub expired: Vec<(RoleName, DateTime<Utc>)>,
}

/// How a mirror has done lately.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorHealth {
    /// The mirror.
    pub mirror: Mirror,
    /// How often it has failed since it answered last. Counted only where there are several mirrors.
    pub failures: u32,
    /// When it failed last, if it has not answered since.
    pub failed_at: Option<DateTime<Utc>>,
}

impl Updater {
    /// Makes an updater. Nothing is fetched yet.
    ///
    /// # Errors
    /// When the trust anchor is the cache and the cache has no root, when it cannot be read, or when there is no mirror.
    pub fn new(
        anchor: TrustAnchor,
        settings: UpdaterSettings,
        store: impl Store + 'static,
        fetcher: Arc<dyn Fetcher>,
        start: UpdateStart,
    ) -> Result<Self, UpdateError> {
        if settings.mirrors.is_empty() {
            return Err(UpdateError::NoMirror);
        }
        let anchor = match anchor {
            TrustAnchor::Pinned(root) => root,
            TrustAnchor::Cached => store
                .read(&StoredFile::Metadata(LocalFile::Role(RoleName::Root)))?
                .ok_or_else(|| UpdateError::NoRoot { store: store.describe() })?,
        };
        let driver = Driver::new(anchor, settings, Arc::new(store), fetcher, start);
        Ok(Self { driver, trusted: None })
    }

    /// How much has been asked for so far.
    pub fn traffic(&self) -> Traffic {
        self.driver.meter.traffic()
    }

    /// What has been accepted and kept since the updater was made, in order.
    pub fn kept(&self) -> &[(RoleName, Version)] {
        &self.driver.kept
    }

    /// Why what was accepted could not be kept: a disk that is full, or may not be written, or a lock that was not free in
    /// time. What was looked up is right all the same, but the next update will not know of it.
    pub fn not_kept(&self) -> Option<&io::Error> {
        self.driver.not_kept.as_ref()
    }

    /// Why a large document that was verified whole is not indexed, where the store has a place for indexes: most often that
    /// others may write to it, and what to do about that. Each look-up then verifies all of the document again.
    pub fn not_indexed(&self) -> Option<&io::Error> {
        self.driver.not_indexed.as_ref()
    }

    /// How the last refresh, and the look-ups since, know that what they trust is current.
    pub fn freshness(&self) -> &Freshness {
        &self.driver.freshness
    }

    /// How the mirrors have done, as of the last refresh: whether it succeeded or not, and also where nobody was asked.
    pub fn mirrors(&self) -> Vec<MirrorHealth> {
        let health = |mirror: &Mirror| {
            let failures = self.driver.notes.failures(mirror);
            MirrorHealth {
                mirror: mirror.clone(),
                failures: failures.map_or(0, |(times, _)| times),
                failed_at: failures.map(|(_, last)| last),
            }
        };
        self.driver.settings.mirrors.iter().map(health).collect()
    }

    /// What is trusted, once [`Updater::refresh`] has succeeded.
    pub fn trusted(&self) -> Option<&TrustedSet> {
        self.trusted.as_ref()
    }

    /// The same, to be asked about delegated roles.
    pub(super) fn trusted_mut(&mut self) -> &mut TrustedSet {
        self.trusted.as_mut().expect("refresh has set it")
    }

    /// Brings the top-level roles up to date (TUF specification section 5), once: later calls return what the
    /// first one trusted, so that everything looked up belongs together.
    ///
    /// # Errors
    /// See [`UpdateError`]. What was trusted before stays; running it again is safe.
    pub async fn refresh(&mut self) -> Result<&TrustedSet, UpdateError> {
        if self.trusted.is_none() {
            self.trusted = Some(self.driver.refresh().await?);
        }
        Ok(self.trusted.as_ref().expect("set above"))
    }

    /// Looks for a target. `None` means that no trusted role names it.
    ///
    /// Refreshes first where that has not happened. Delegated metadata is fetched as needed.
    ///
    /// # Errors
    /// See [`UpdateError`]. A role that cannot be trusted fails only the look-ups that need it.
    pub async fn find(&mut self, path: &TargetPath) -> Result<Option<FoundTarget>, UpdateError> {
        self.refresh().await?;
        self.driver.find(self.trusted.as_mut().expect("refresh has set it"), path).await
    }

    /// What this machine has had of the repository: see [`History`].
    ///
    /// # Errors
    /// When it is kept but cannot be read.
    pub fn history(&mut self) -> io::Result<&History> {
        self.driver.history()
    }

    /// Verifies all of what is kept from now on, for somebody who will read all of it. What an index made trusted so far
    /// is verified at the next refresh.
    pub(super) fn believe_no_index(&mut self) {
        self.driver.believes_indexes = false;
        if self.trusted.as_ref().is_some_and(TrustedSet::has_outlines) {
            self.trusted = None;
        }
    }
}
