//! Drives [`Update`] and [`DelegationWalk`](crate::trust::DelegationWalk) over mirrors, store and clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::asking::{Fetched, Meter};
use super::fetcher::{EntityTag, FetchError, FetchRequest, Fetcher};
use super::history::History;
use super::keeping::Commit;
use super::notes::Notes;
use super::settings::{CLOCK_STEP, Clock, Mirror, Retries, Telling, UpdaterSettings, WhenUnreachable};
use super::staged::Staged;
use super::store::{Store, StoredFile};
use super::updater::Freshness;
use super::{SafeUrl, UpdateError};
use crate::example_keys::{refuse_delegation_to_example_keys, refuse_example_keys};
use crate::metadata::{RoleName, TargetPath, Version};
use crate::trust::{
    Basis, Connectivity, FoundTarget, LocalFile, Received, Refusal, Request, Step, TrustedSet, Update, UpdateStart,
};

/// All of an updater but what is trusted, so that a look-up that is given up leaves that where it is.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) settings: UpdaterSettings,
    pub(super) store: Arc<dyn Store>,
    pub(super) fetcher: Arc<dyn Fetcher>,
    pub(super) anchor: Vec<u8>,
    pub(super) start: UpdateStart,
    pub(super) freshness: Freshness,
    pub(super) staged: Staged,
    pub(super) notes: Notes,
    /// The notes as they are kept.
    pub(super) kept_notes: Notes,
    /// What a mirror calls the timestamp that it sent last, and where it is: noted once that is trusted.
    pub(super) sent_timestamp: Option<(SafeUrl, Received, EntityTag)>,
    /// When the repository had confirmed what was trusted before this update.
    pub(super) confirmed_before: Option<DateTime<Utc>>,
    /// What is noted of earlier versions, once that has been asked for.
    pub(super) history: Option<History>,
    /// Mirrors by index, in the order in which to ask them.
    pub(super) order: Vec<usize>,
    pub(super) kept: Vec<(RoleName, Version)>,
    pub(super) not_kept: Option<io::Error>,
    pub(super) not_indexed: Option<io::Error>,
    /// Whether what an index says may be believed.
    pub(super) believes_indexes: bool,
    /// For which documents an index was to be written.
    pub(super) wrote_indexes: BTreeSet<Basis>,
    /// The root that the last update ended its chain with.
    pub(super) newest_root: Option<Arc<Vec<u8>>>,
    pub(super) meter: Meter,
}

/// How often an update that was overtaken by another process starts over before it keeps the others out.
const MOST_OVERTAKEN: u32 = 3;

/// How seldom it is noted that everything is still current, at most.
const CONFIRMED_AGAIN: Duration = Duration::from_secs(60);

impl Driver {
    /// Has asked nothing yet.
    pub(super) fn new(
        anchor: Vec<u8>,
        settings: UpdaterSettings,
        store: Arc<dyn Store>,
        fetcher: Arc<dyn Fetcher>,
        start: UpdateStart,
    ) -> Self {
        let order = (0..settings.mirrors.len()).collect();
        let meter = Meter::new(settings.patience);
        Self {
            settings,
            store,
            fetcher,
            anchor,
            start,
            freshness: Freshness::default(),
            staged: Staged::default(),
            notes: Notes::default(),
            kept_notes: Notes::default(),
            sent_timestamp: None,
            confirmed_before: None,
            history: None,
            order,
            kept: Vec::new(),
            not_kept: None,
            not_indexed: None,
            believes_indexes: true,
            wrote_indexes: BTreeSet::new(),
            newest_root: None,
            meter,
        }
    }

    /// Brings the top-level roles up to date.
    pub(super) async fn refresh(&mut self) -> Result<TrustedSet, UpdateError> {
        self.read_notes()?;
        self.meter.allow(self.settings.patience.update);
        let refreshed = match self.settings.connectivity {
            Connectivity::Online => self.refresh_online().await,
            Connectivity::Offline => self.use_kept(self.start).await,
        };
        let trusted = refreshed.map_err(|error| self.with_kept(error))?;
        self.write_indexes(&trusted);
        self.write_chain_index();
        Ok(trusted)
    }

    /// Looks for a target in what is trusted.
    pub(super) async fn find(
        &mut self,
        trusted: &mut TrustedSet,
        path: &TargetPath,
    ) -> Result<Option<FoundTarget>, UpdateError> {
        self.meter.allow(self.settings.patience.update);
        let found = match self.settings.connectivity {
            Connectivity::Online => self.ask_mirrors(Job::Find(trusted, path)).await,
            Connectivity::Offline => self.walk(0, trusted, path, Retries::NONE).await.map(Outcome::Found),
        };
        // Delegated metadata is no floor: it is read back only where a snapshot names it to the byte or version. But who is
        // behind keeps none: what is right for an older snapshot must not take the place of what is newer.
        self.staged.look_up();
        let committed = self.commit(None).await;
        self.staged.give_up();
        self.freshness.expired = trusted.expired();
        let found = found.map_err(|error| self.with_kept(error))?;
        committed?;
        self.write_indexes(trusted);
        match found {
            Outcome::Found(found) => Ok(found),
            Outcome::Refreshed(_) => unreachable!("a look-up refreshes nothing"),
        }
    }

    /// Reads the notes, and holds the clock against them.
    fn read_notes(&mut self) -> Result<(), UpdateError> {
        self.notes = self.store.read(&StoredFile::Notes)?.map(|bytes| Notes::parse(&bytes)).unwrap_or_default();
        self.kept_notes = self.notes.clone();
        self.confirmed_before = self.notes.confirmed_at;
        self.freshness = Freshness { confirmed_at: self.notes.confirmed_at, ..Freshness::default() };
        self.order = self.notes.order(&self.settings.mirrors, self.start.time());
        if self.settings.clock == Clock::Present
            && let Some(confirmed_at) = self.notes.confirmed_at
        {
            let now = self.start.time();
            if confirmed_at - now > CLOCK_STEP {
                return Err(UpdateError::ClockWentBack { now, confirmed_at });
            }
            self.start = self.start.max(UpdateStart::at(confirmed_at));
        }
        Ok(())
    }

    async fn refresh_online(&mut self) -> Result<TrustedSet, UpdateError> {
        let mut overtaken = 0;
        let asked = loop {
            // Whoever was overtaken again and again keeps the others out while it asks.
            let lock = if overtaken == MOST_OVERTAKEN { self.lock().await? } else { None };
            self.staged.clear();
            let asked = self.ask_mirrors(Job::Refresh).await;
            if asked.is_ok() {
                self.note_timestamp_tag()?;
                self.confirm();
            }
            if self.commit(lock).await? == Commit::Done || asked.is_err() {
                break asked;
            }
            overtaken += 1;
            tracing::debug!("another process was quicker: starting over");
        };
        match asked {
            Ok(Outcome::Refreshed(trusted)) => {
                let told = self.settings.telling.confirmed_at(self.start.time());
                self.freshness.confirmed_at = match self.settings.telling {
                    Telling::Present => told,
                    Telling::Carried { .. } => self.notes.confirmed_at.max(told),
                };
                Ok(*trusted)
            }
            Ok(Outcome::Found(_)) => unreachable!("a refresh looks nothing up"),
            Err(error) if error.is_unreachable() => self.fall_back(error).await,
            Err(error) => Err(error),
        }
    }

    /// Notes what the timestamp that is trusted now is called. What was refused leaves no trace.
    fn note_timestamp_tag(&mut self) -> io::Result<()> {
        let Some((url, sent, tag)) = self.sent_timestamp.take() else { return Ok(()) };
        let trusted = self.staged.read(&*self.store, &LocalFile::Role(RoleName::Timestamp))?;
        if trusted.is_some_and(|trusted| trusted.bytes() == sent.bytes()) {
            self.notes.note_timestamp_tag(&url, &sent, &tag);
        }
        Ok(())
    }

    /// Notes that the repository has confirmed everything: not more than once a minute, since that alone is hardly worth
    /// a write; more often where the limit on staleness is so short that this would count.
    fn confirm(&mut self) {
        if self.settings.clock != Clock::Present {
            return;
        }
        let Some(told) = self.settings.telling.confirmed_at(self.start.time()) else { return };
        let seldom = self.settings.max_staleness.map_or(CONFIRMED_AGAIN, |limit| (limit / 20).min(CONFIRMED_AGAIN));
        let soon = self.notes.confirmed_at.is_some_and(|before| (told - before).to_std().is_ok_and(|age| age < seldom));
        if !soon || !self.staged.is_empty() {
            self.notes.confirmed_at = self.notes.confirmed_at.max(Some(told));
        }
    }

    /// Uses what is kept where no mirror could be asked, as far as the settings allow.
    async fn fall_back(&mut self, error: UpdateError) -> Result<TrustedSet, UpdateError> {
        let UpdateError::Fetch(reason) = error else { return Err(error) };
        let kept = match self.settings.when_unreachable {
            WhenUnreachable::Fail => return Err(reason.into()),
            WhenUnreachable::UseKept => self.use_kept(self.start).await,
            WhenUnreachable::UseExpired(grace) => self.use_kept(self.start.with_expired_grace(grace.duration())).await,
        };
        let trusted = match kept {
            // That the repository cannot be reached is the news; what is kept does not help.
            Err(UpdateError::Offline { .. }) => return Err(reason.into()),
            Err(kept) if has_expired(&kept) || matches!(kept, UpdateError::TooStale { .. }) => {
                return Err(UpdateError::KeptUnusable { reason: Box::new(reason), kept: Box::new(kept) });
            }
            other => other?,
        };
        self.freshness.unreachable = Some(reason);
        self.freshness.expired = trusted.expired();
        self.settings.connectivity = Connectivity::Offline;
        Ok(trusted)
    }

    /// Trusts what is kept without asking anybody, as `start` says.
    async fn use_kept(&mut self, start: UpdateStart) -> Result<TrustedSet, UpdateError> {
        if let Some(limit) = self.settings.max_staleness {
            let confirmed_at = self.notes.confirmed_at;
            let age = confirmed_at.map(|time| self.start.time() - time);
            let allowed = chrono::TimeDelta::from_std(limit).unwrap_or(chrono::TimeDelta::MAX);
            if age.is_none_or(|age| age > allowed) {
                return Err(UpdateError::TooStale { confirmed_at, limit });
            }
        }
        self.staged.clear();
        let trusted = self.update_from(0, Connectivity::Offline, start, Retries::NONE).await;
        // Only the newest root may be new here, and it is in the history already.
        self.staged.clear();
        trusted
    }

    /// Does a job with one mirror after the other, until one has done it. What a mirror offers is refused or not as if it
    /// were the only one: with several, a refusal only means that the next one is asked.
    async fn ask_mirrors(&mut self, mut job: Job<'_>) -> Result<Outcome, UpdateError> {
        let mut order = self.order.clone();
        let several = order.len() > 1;
        let mut rounds = self.settings.retries;
        let retries = if several { Retries::NONE } else { rounds };
        let now = self.start.time();
        let mut failure: Option<UpdateError> = None;
        loop {
            // Whether to ask again is no matter of what is reported: a mirror that is refused must not keep us from one that
            // was busy.
            let mut may_pass = None;
            for (place, &index) in order.iter().enumerate() {
                if !self.meter.share_with(order.len() - place - 1) && failure.is_some() {
                    break;
                }
                let done = match &mut job {
                    Job::Refresh => self
                        .update_from(index, Connectivity::Online, self.start, retries)
                        .await
                        .map(|trusted| Outcome::Refreshed(Box::new(trusted))),
                    Job::Find(trusted, path) => self.walk(index, trusted, path, retries).await.map(Outcome::Found),
                };
                let error = match done {
                    Ok(outcome) => {
                        if several {
                            self.notes.note_mirror(&self.settings.mirrors[index], true, now);
                            order[..=place].rotate_right(1);
                            self.order = order;
                        }
                        return Ok(outcome);
                    }
                    Err(error) if !another_mirror_may_help(&error) => return Err(error),
                    Err(error) => error,
                };
                if several {
                    self.notes.note_mirror(&self.settings.mirrors[index], false, now);
                    tracing::debug!(mirror = %self.settings.mirrors[index].metadata_url, %error, "asking the next mirror");
                }
                may_pass = error.that_may_pass().or(may_pass);
                failure = Some(error.or_earlier(failure.take()));
            }
            let again = match may_pass {
                Some(error) if several => rounds.wait_after(&error, &self.meter).await,
                _ => false,
            };
            if !again {
                break;
            }
        }
        Err(failure.expect("there is a mirror, and all have failed"))
    }

    async fn update_from(
        &mut self,
        index: usize,
        connectivity: Connectivity,
        start: UpdateStart,
        retries: Retries,
    ) -> Result<TrustedSet, UpdateError> {
        let mirror = self.settings.mirrors[index].clone();
        let mut update =
            Update::begin_under(&self.anchor, self.settings.root_policy, start, self.settings.limits, connectivity)
                .map_err(|refusal| refused(refusal, None, connectivity))?;
        let mut checked = None;
        let mut ahead = Ahead::default();
        loop {
            // Before anything is kept, let alone looked up, under a root that everybody can sign for.
            if let Some(root) = update.root()
                && checked != Some(root.version)
                && !self.settings.may_be_trial()
            {
                refuse_example_keys(root)?;
                checked = Some(root.version);
            }
            match update.step().map_err(|refusal| refused(refusal, None, connectivity))? {
                Step::Recall(file) => {
                    if self.indexed(&file).is_some_and(|before| update.recalled_verified(before)) {
                        continue;
                    }
                    let cached = self.staged.read(&*self.store, &file)?;
                    let chain = cached.as_ref().and_then(|cached| self.indexed_chain(&file, cached));
                    update.recalled(cached).map_err(|refusal| refused(refusal, None, connectivity))?;
                    if let Some(before) = chain
                        && update.recalled_chain(&before)
                    {
                        self.wrote_indexes.insert(Basis::of_chain(&self.anchor, update.newest_root().1));
                    }
                }
                Step::Need(request) => {
                    if connectivity == Connectivity::Offline {
                        return Err(UpdateError::Offline { role: request.role });
                    }
                    let mut retries = retries;
                    if let Some(early) = ahead.take(&request) {
                        match early {
                            Ok(received) if request.role == RoleName::Timestamp => {
                                if update.offered_ahead(&received) {
                                    continue;
                                }
                                tracing::debug!("the timestamp that was asked for ahead is not accepted");
                            }
                            Ok(bytes) => {
                                let url = Some(metadata_url(&mirror, &request));
                                update.received(Some(bytes)).map_err(|refusal| refused(refusal, url, connectivity))?;
                                continue;
                            }
                            Err(FetchError::Absent { .. }) if request.role == RoleName::Root => {
                                update.received(None).map_err(|refusal| refused(refusal, None, connectivity))?;
                                continue;
                            }
                            // It is asked for once more, now that it is needed.
                            Err(error) => {
                                if !retries.wait_after(&error, &self.meter).await {
                                    return Err(error.into());
                                }
                            }
                        }
                    }
                    let also = update.ahead();
                    let received = match self.fetch_with(&mirror, &request, also, &mut ahead, retries).await {
                        Ok(bytes) => Some(bytes),
                        // TUF specification section 5.3.3: no newer root.
                        Err(FetchError::Absent { .. }) if request.role == RoleName::Root => None,
                        Err(error) => return Err(error.into()),
                    };
                    // Where nothing was received, what is refused is not from there.
                    let url = received.as_ref().map(|_| metadata_url(&mirror, &request));
                    update.received(received).map_err(|refusal| refused(refusal, url, connectivity))?;
                }
                Step::Store(accepted) => {
                    let is_root = matches!(accepted.file, LocalFile::Root(_));
                    self.stage(accepted);
                    // While a gap in the history is being filled, the newest root stays the newest.
                    if is_root && !update.knows_newer_root() {
                        let (version, bytes) = update.newest_root();
                        self.staged.promote(version, bytes);
                    }
                    if !is_root {
                        self.keep_root(update.newest_root())?;
                    }
                }
                Step::Done(trusted) => {
                    self.keep_root(update.newest_root())?;
                    self.newest_root = Some(Arc::clone(update.newest_root().1));
                    return Ok(trusted);
                }
            }
        }
    }

    /// Asks the mirrors for a root that is not kept. Nothing about it is verified here.
    pub(super) async fn older_root(&mut self, version: Version) -> Result<Vec<u8>, UpdateError> {
        if self.settings.connectivity == Connectivity::Offline {
            return Err(UpdateError::Offline { role: RoleName::Root });
        }
        let file = Request::file_name_of(&RoleName::Root, Some(version));
        let order = self.order.clone();
        let mut failure: Option<UpdateError> = None;
        for (place, index) in order.iter().enumerate() {
            self.meter.share_with(order.len() - place - 1);
            let request = FetchRequest::whole(self.settings.mirrors[*index].metadata_url.below(&file));
            let (retries, limit) = (self.settings.retries, self.settings.limits.root);
            match retries.fetch_metered(&*self.fetcher, &request, &[], limit, &self.meter).await {
                Ok(Fetched::Bytes(received, _)) => return Ok(received.into_bytes().to_vec()),
                Ok(Fetched::Unchanged) => {}
                Err(error) => failure = Some(UpdateError::Fetch(error).or_earlier(failure.take())),
            }
        }
        Err(failure.unwrap_or(UpdateError::NoMirror))
    }

    async fn walk(
        &mut self,
        index: usize,
        trusted: &mut TrustedSet,
        path: &TargetPath,
        retries: Retries,
    ) -> Result<Option<FoundTarget>, UpdateError> {
        let connectivity = self.settings.connectivity;
        let mirror = self.settings.mirrors[index].clone();
        let mut walk = trusted.find(path, self.settings.limits);
        loop {
            match walk.step().map_err(|refusal| refused(refusal, None, connectivity))? {
                Step::Recall(file) => {
                    // What everybody can sign for answers nothing, whether it is kept or fetched.
                    if let Some((delegator, delegation)) = walk.delegation()
                        && !self.settings.may_be_trial()
                    {
                        refuse_delegation_to_example_keys(delegator.role(), delegator, delegation)?;
                    }
                    if let Some(before) = self.indexed(&file)
                        && walk.recalled_verified(before).map_err(|refusal| refused(refusal, None, connectivity))?
                    {
                        continue;
                    }
                    let cached = self.staged.read(&*self.store, &file)?;
                    walk.recalled(cached).map_err(|refusal| refused(refusal, None, connectivity))?;
                }
                Step::Need(request) => {
                    if connectivity == Connectivity::Offline {
                        return Err(match walk.kept_has_expired() {
                            Some(expired) => self.kept_unusable(refused(expired.clone(), None, connectivity)),
                            None => self.not_asked(UpdateError::Offline { role: request.role }),
                        });
                    }
                    let received =
                        self.fetch_with(&mirror, &request, Vec::new(), &mut Ahead::default(), retries).await?;
                    let url = metadata_url(&mirror, &request);
                    walk.received(received).map_err(|refusal| refused(refusal, Some(url), connectivity))?;
                }
                Step::Store(accepted) => self.stage(accepted),
                Step::Done(found) => return Ok(found),
            }
        }
    }

    /// Fetches one file, and at the same time those that may be asked for ahead.
    async fn fetch_with(
        &mut self,
        mirror: &Mirror,
        request: &Request,
        also: Vec<Request>,
        ahead: &mut Ahead,
        retries: Retries,
    ) -> Result<Received, FetchError> {
        let timestamp = |wanted: &Request| wanted.role == RoleName::Timestamp;
        let kept_timestamp = if also.iter().chain([request]).any(timestamp) {
            let file = LocalFile::Role(RoleName::Timestamp);
            self.staged.read(&*self.store, &file).unwrap_or_default()
        } else {
            None
        };
        let also: Vec<Request> = also.into_iter().filter(|wanted| !ahead.holds(wanted)).collect();
        let (fetcher, meter, notes) = (&*self.fetcher, &self.meter, &self.notes);
        let fetch = |wanted: &Request, retries: Retries| {
            let (url, limit) = (metadata_url(mirror, wanted), wanted.max_length);
            let known = kept_timestamp.as_ref().filter(|_| timestamp(wanted));
            let known = known.and_then(|kept| notes.timestamp_tag(&url, kept));
            let (algorithms, compressed) = (wanted.algorithms.clone(), !timestamp(wanted));
            async move {
                // What is small, and asked about again and again, is not worth compressing: servers weaken the tags of
                // what they compress, or drop them.
                let request = FetchRequest { known, compressed, ..FetchRequest::whole(url) };
                retries.fetch_metered(fetcher, &request, &algorithms, limit, meter).await
            }
        };
        // What is asked for ahead is asked for once: it may never be needed.
        let others = join_all(also.iter().map(|wanted| fetch(wanted, Retries::NONE)));
        let (needed, others) = futures_util::future::join(fetch(request, retries), others).await;
        for (wanted, fetched) in also.into_iter().zip(others) {
            let bytes = fetched.map(|fetched| self.bytes_of(mirror, &wanted, fetched, kept_timestamp.as_ref()));
            ahead.put(&wanted, bytes);
        }
        needed.map(|fetched| self.bytes_of(mirror, request, fetched, kept_timestamp.as_ref()))
    }

    fn bytes_of(&mut self, mirror: &Mirror, request: &Request, fetched: Fetched, kept: Option<&Received>) -> Received {
        match fetched {
            Fetched::Bytes(bytes, tag) => {
                if request.role == RoleName::Timestamp {
                    self.sent_timestamp = tag.map(|tag| (metadata_url(mirror, request), bytes.clone(), tag));
                }
                bytes
            }
            // Nobody is asked for news only but about the timestamp. What is kept is verified as if it had been sent.
            Fetched::Unchanged => kept.cloned().unwrap_or_default(),
        }
    }

    /// What to say where something is needed that may not be asked for: where nobody could be reached, that.
    pub(super) fn not_asked(&self, offline: UpdateError) -> UpdateError {
        let what = match &offline {
            UpdateError::Offline { role } => role.to_string(),
            UpdateError::TargetOffline { path } => format!("the target {path}"),
            _ => return offline,
        };
        match &self.freshness.unreachable {
            Some(reason) => UpdateError::Unreachable { what, reason: Box::new(reason.clone()) },
            None => offline,
        }
    }

    /// What to say where what is kept does not serve: where nobody could be reached, that first.
    fn kept_unusable(&self, kept: UpdateError) -> UpdateError {
        match &self.freshness.unreachable {
            Some(reason) => UpdateError::KeptUnusable { reason: Box::new(reason.clone()), kept: Box::new(kept) },
            None => kept,
        }
    }

    /// A refusal with what had passed its checks before it.
    fn with_kept(&self, error: UpdateError) -> UpdateError {
        match error {
            UpdateError::Refused { refusal, url, .. } => UpdateError::Refused { refusal, url, kept: self.kept.clone() },
            other => other,
        }
    }
}

fn refused(refusal: Refusal, url: Option<SafeUrl>, connectivity: Connectivity) -> UpdateError {
    // Offline, a chain of roots that ends too soon is a gap in the cache, and no word of the repository's.
    let gap = matches!(refusal, Refusal::Rollback { role: RoleName::Root, .. });
    if gap && connectivity == Connectivity::Offline {
        return UpdateError::Offline { role: RoleName::Root };
    }
    UpdateError::Refused { refusal: Box::new(refusal), url, kept: Vec::new() }
}

fn has_expired(error: &UpdateError) -> bool {
    matches!(error, UpdateError::Refused { refusal, .. } if matches!(**refusal, Refusal::Expired { .. }))
}

/// What mirrors are asked to do.
enum Job<'a> {
    Refresh,
    Find(&'a mut TrustedSet, &'a TargetPath),
}

/// What came of it.
enum Outcome {
    Refreshed(Box<TrustedSet>),
    Found(Option<FoundTarget>),
}

/// Answers to what was asked for ahead, by file name.
#[derive(Debug, Default)]
struct Ahead(BTreeMap<String, Result<Received, FetchError>>);

impl Ahead {
    fn holds(&self, request: &Request) -> bool {
        self.0.contains_key(&request.file_name())
    }

    fn put(&mut self, request: &Request, answer: Result<Received, FetchError>) {
        self.0.insert(request.file_name(), answer);
    }

    fn take(&mut self, request: &Request) -> Option<Result<Received, FetchError>> {
        self.0.remove(&request.file_name())
    }
}

fn metadata_url(mirror: &Mirror, request: &Request) -> SafeUrl {
    mirror.metadata_url.below(&request.file_name())
}

/// Whether another mirror may do what this one did not: what is wrong with this machine is wrong with all of them.
fn another_mirror_may_help(error: &UpdateError) -> bool {
    matches!(error, UpdateError::Refused { .. } | UpdateError::Fetch(_))
}
