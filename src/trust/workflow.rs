//! Drives an update without doing any I/O: says what is needed, receives bytes.
//!
//! ```text
//! loop {
//!     match update.step()? {
//!         Step::Recall(file)       => update.recalled(cache.read(file)?)?,
//!         Step::Need(request)      => update.received(fetcher.fetch(request)?)?,
//!         Step::Store(accepted)    => cache.write(accepted)?,
//!         Step::Done(trusted)      => return Ok(trusted),
//!     }
//! }
//! ```
//!
//! What to fetch, in which order, how long an answer may be, and what an absent file means are decided here, so
//! that they can be tested without a socket. A file is handed out to be stored as soon as its own checks pass.
//!
//! A driver that can ask for several files at once may ask for those of [`Update::ahead`] together with the one that is
//! needed, and keep the answers until they are needed in turn.

use super::trusted_set::{ExpectRoot, ExpectSnapshot, ExpectTargets, ExpectTimestamp, Recalled, TrustedSet};
use super::verified_before::{ChainBefore, VerifiedBefore};
use std::sync::Arc;

use super::{Received, Refusal, RootPolicy, UpdateStart, Verified};
use crate::metadata::{HashAlgorithm, MetaFile, RoleName, Root, Version};

/// How much is read and walked at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest root, in bytes.
    pub root: u64,
    /// Longest timestamp, in bytes.
    pub timestamp: u64,
    /// Longest snapshot whose length the timestamp does not give, in bytes.
    pub snapshot: u64,
    /// Longest targets metadata whose length the snapshot does not give, in bytes.
    pub targets: u64,
    /// Longest metadata file whose length trusted metadata does give, in bytes.
    pub pinned: u64,
    /// Longest target, in bytes.
    pub target: u64,
    /// Most root versions fetched in one update.
    pub root_rotations: u32,
    /// Most roles visited in one look-up, the top-level targets not counted.
    pub delegations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root: 512_000,
            // Room for several post-quantum signatures: two of ML-DSA-87 have 18 kB in hexadecimal.
            timestamp: 65_536,
            snapshot: 2_000_000,
            targets: 5_000_000,
            pinned: 512_000_000,
            target: 16 << 30,
            root_rotations: 256,
            delegations: 32,
        }
    }
}

impl Limits {
    /// The longest acceptable answer for a file that trusted metadata describes.
    fn of(&self, role: &RoleName, meta: &MetaFile) -> Result<u64, Refusal> {
        match meta.length {
            Some(length) if length > self.pinned => {
                Err(Refusal::TooLarge { role: role.clone(), length, limit: self.pinned })
            }
            Some(length) => Ok(length),
            None if *role == RoleName::Snapshot => Ok(self.snapshot),
            None => Ok(self.targets),
        }
    }

    /// The request for a file that trusted metadata describes.
    pub(super) fn request(&self, role: &RoleName, meta: &MetaFile, consistent: bool) -> Result<Request, Refusal> {
        let max_length = self.of(role, meta)?;
        Ok(Request {
            role: role.clone(),
            version: consistent.then_some(meta.version),
            max_length,
            exact_length: meta.length,
            algorithms: meta.hashes.iter().flat_map(|hashes| hashes.iter().map(|(algorithm, _)| algorithm)).collect(),
        })
    }
}

/// Whether an update may ask the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it may or it may not")]
pub enum Connectivity {
    /// It may.
    Online,
    /// Only the local cache is used; expiry is enforced all the same.
    Offline,
}

/// A metadata file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The role.
    pub role: RoleName,
    /// The version that prefixes the file name, if any.
    pub version: Option<Version>,
    /// The longest acceptable answer, in bytes.
    pub max_length: u64,
    /// The only acceptable length, where trusted metadata gives it: then it is `max_length` too.
    pub exact_length: Option<u64>,
    /// The digests that the answer will be held against. A driver may compute them while bytes arrive, with
    /// [`super::Receiving`]; what it does not compute is computed later.
    pub algorithms: Vec<HashAlgorithm>,
}

impl Request {
    /// A request for a file that trusted metadata does not describe.
    fn undescribed(role: RoleName, version: Option<Version>, max_length: u64) -> Self {
        Self { role, version, max_length, exact_length: None, algorithms: Vec::new() }
    }

    /// The file name below the repository's metadata URL, percent-encoded.
    pub fn file_name(&self) -> String {
        Self::file_name_of(&self.role, self.version)
    }

    /// The file name of a role below a metadata URL, percent-encoded, with its version where names carry one.
    pub fn file_name_of(role: &RoleName, version: Option<Version>) -> String {
        let name = role.encoded();
        match version {
            Some(version) => format!("{}.{name}.json", version.get()),
            None => format!("{name}.json"),
        }
    }
}

/// A file of the local cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "every driver must handle both")]
pub enum LocalFile {
    /// A root of the chain, by version. Storing one makes it the newest.
    Root(Version),
    /// The newest metadata of a role.
    Role(RoleName),
}

/// A file that has passed its checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Where it belongs.
    pub file: LocalFile,
    /// The version of the document in it.
    pub version: Version,
    /// The bytes, as received. Whoever reads the document shares them.
    pub bytes: Arc<Vec<u8>>,
}

/// What an update or a look-up wants next.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "every driver must handle all of them")]
pub enum Step<Outcome> {
    /// Read a cached file and call `recalled`.
    Recall(LocalFile),
    /// Fetch a file and call `received`.
    Need(Request),
    /// Store these bytes, which have passed their checks, and ask again.
    Store(Accepted),
    /// There is nothing more to do.
    Done(Outcome),
}

/// One update of the top-level roles (TUF specification section 5).
#[derive(Debug)]
pub struct Update {
    state: State,
    /// Whether the cache has been asked for the file that is wanted now.
    asked_cache: bool,
    store: Option<Accepted>,
    newest_root: (Version, Arc<Vec<u8>>),
    /// The newest root in the cache, once it has been asked for.
    cached_root: Option<Received>,
    limits: Limits,
    connectivity: Connectivity,
    roots_left: u32,
    roots_received: u32,
}

/// Most roots that are asked for ahead of the one that is needed.
const MOST_ROOTS_AHEAD: u32 = 7;

#[derive(Debug)]
enum State {
    Root(ExpectRoot),
    Timestamp(ExpectTimestamp),
    Snapshot(ExpectSnapshot),
    Targets(ExpectTargets),
    Done(Box<TrustedSet>),
    /// A refusal ended the update, or its outcome has been taken.
    Over,
}

impl Update {
    /// Starts from a root that the caller trusts.
    ///
    /// # Errors
    /// See [`ExpectRoot::begin`].
    pub fn begin(
        trusted_root: &[u8],
        start: UpdateStart,
        limits: Limits,
        connectivity: Connectivity,
    ) -> Result<Self, Refusal> {
        Self::begin_under(trusted_root, RootPolicy::default(), start, limits, connectivity)
    }

    /// As [`Update::begin`], and asks more of roots than TUF does.
    ///
    /// # Errors
    /// See [`ExpectRoot::begin_under`].
    pub fn begin_under(
        trusted_root: &[u8],
        policy: RootPolicy,
        start: UpdateStart,
        limits: Limits,
        connectivity: Connectivity,
    ) -> Result<Self, Refusal> {
        let expect = ExpectRoot::begin_under(trusted_root, start, policy)?;
        let newest_root = (expect.trusted().version, Arc::new(trusted_root.to_vec()));
        let roots_left = limits.root_rotations;
        Ok(Self {
            state: State::Root(expect),
            asked_cache: false,
            store: None,
            newest_root,
            cached_root: None,
            limits,
            connectivity,
            roots_left,
            roots_received: 0,
        })
    }

    /// The newest root that is trusted so far: its version and the bytes received.
    pub fn newest_root(&self) -> (Version, &Arc<Vec<u8>>) {
        (self.newest_root.0, &self.newest_root.1)
    }

    /// The root that is trusted so far; `None` once the outcome has been handed out.
    pub fn root(&self) -> Option<&Verified<Root>> {
        match &self.state {
            State::Root(expect) => Some(expect.trusted()),
            State::Timestamp(expect) => Some(expect.root()),
            State::Snapshot(expect) => Some(expect.root()),
            State::Targets(expect) => Some(expect.root()),
            State::Done(trusted) => Some(trusted.root()),
            State::Over => None,
        }
    }

    /// Whether an earlier update trusted a newer root than this one has reached so far.
    pub fn knows_newer_root(&self) -> bool {
        matches!(&self.state, State::Root(expect) if expect.newer_known().is_some())
    }

    /// Says what is wanted now.
    ///
    /// # Errors
    /// When the trusted metadata itself rules the next step out.
    ///
    /// # Panics
    /// When called again after the outcome was handed out or a refusal ended the update.
    pub fn step(&mut self) -> Result<Step<TrustedSet>, Refusal> {
        if let Some(accepted) = self.store.take() {
            return Ok(Step::Store(accepted));
        }
        if !self.asked_cache
            && let Some(file) = self.wanted_from_cache()
        {
            return Ok(Step::Recall(file));
        }
        match &self.state {
            State::Root(expect) => match expect.trusted().version.next() {
                Some(version) if self.connectivity == Connectivity::Online => {
                    Ok(Step::Need(Request::undescribed(RoleName::Root, Some(version), self.limits.root)))
                }
                // Nothing newer can be asked for: the chain ends here.
                _ => {
                    self.received(None)?;
                    self.step()
                }
            },
            State::Timestamp(_) => {
                Ok(Step::Need(Request::undescribed(RoleName::Timestamp, None, self.limits.timestamp)))
            }
            State::Snapshot(expect) => {
                let consistent = expect.root().consistent_snapshot;
                self.limits.request(&RoleName::Snapshot, expect.wanted(), consistent).map(Step::Need)
            }
            State::Targets(expect) => {
                let consistent = expect.root().consistent_snapshot;
                self.limits.request(&RoleName::Targets, &expect.wanted()?, consistent).map(Step::Need)
            }
            State::Done(_) => match std::mem::replace(&mut self.state, State::Over) {
                State::Done(trusted) => Ok(Step::Done(*trusted)),
                _ => unreachable!("matched above"),
            },
            State::Over => panic!("an update that has ended was asked to go on"),
        }
    }

    /// What may be asked for at the same time as the root that is needed now: it depends on nothing that is not trusted
    /// yet. Empty where something else is needed.
    ///
    /// That is the timestamp, and, once newer roots turn up, as many more of them as have been received. An answer is
    /// kept unread until [`Update::step`] needs it. For a timestamp, which the root that ends the chain may not vouch
    /// for, see [`Update::offered_ahead`].
    pub fn ahead(&self) -> Vec<Request> {
        let State::Root(expect) = &self.state else { return Vec::new() };
        let more = self.roots_received.min(MOST_ROOTS_AHEAD).min(self.roots_left);
        let mut ahead = vec![Request::undescribed(RoleName::Timestamp, None, self.limits.timestamp)];
        let mut version = expect.trusted().version.next();
        for _ in 0..more {
            version = version.and_then(Version::next);
            ahead.extend(version.map(|version| Request::undescribed(RoleName::Root, Some(version), self.limits.root)));
        }
        ahead
    }

    /// Answers [`Step::Need`] for the timestamp with bytes that were asked for ahead, and says whether they are accepted.
    ///
    /// Where they are not, the timestamp is needed as before: it may have been published between two answers, or come
    /// from before a rotation of keys that was seen since.
    pub fn offered_ahead(&mut self, received: &Received) -> bool {
        let State::Timestamp(expect) = &self.state else { return false };
        let Ok(next) = expect.clone().timestamp(received) else { return false };
        let (version, is_new) = (next.timestamp().version, next.timestamp_is_new());
        let file = LocalFile::Role(RoleName::Timestamp);
        self.store = is_new.then(|| Accepted { file, version, bytes: Arc::clone(received.bytes()) });
        self.state = State::Snapshot(next);
        self.asked_cache = false;
        true
    }

    fn wanted_from_cache(&self) -> Option<LocalFile> {
        match &self.state {
            State::Root(_) if self.cached_root.is_none() => Some(LocalFile::Role(RoleName::Root)),
            State::Root(expect) => expect.trusted().version.next().map(LocalFile::Root),
            State::Timestamp(_) => Some(LocalFile::Role(RoleName::Timestamp)),
            State::Snapshot(_) => Some(LocalFile::Role(RoleName::Snapshot)),
            State::Targets(_) => Some(LocalFile::Role(RoleName::Targets)),
            State::Done(_) | State::Over => None,
        }
    }

    /// Answers [`Step::Recall`]: the cached bytes, or `None` where there are none.
    ///
    /// Cached bytes that are not acceptable are no error where what they are needed for can be fetched.
    ///
    /// # Errors
    /// Offline, when what is cached is what is needed, and has expired.
    pub fn recalled(&mut self, cached: Option<Received>) -> Result<(), Refusal> {
        self.asked_cache = true;
        let cached = cached.unwrap_or_default();
        let (state, asked_cache) = match std::mem::replace(&mut self.state, State::Over) {
            State::Root(mut expect) if self.cached_root.is_none() => {
                expect.remember(&cached);
                self.cached_root = Some(cached);
                (State::Root(expect), false)
            }
            State::Root(mut expect) => {
                // These cost no request, so they do not count: else an update that starts far back could never get
                // further than the limit, however often it is run.
                // Where the history has a gap, the newest root may be the one that belongs there.
                let newest = self.cached_root.clone().unwrap_or_default();
                // The trusted root does not follow itself; that is seen without checking its signatures again.
                let accepted = [cached, newest]
                    .into_iter()
                    .find(|offered| *offered.bytes() != self.newest_root.1 && expect.root(offered).is_ok());
                let asked_cache = accepted.is_none();
                if let Some(accepted) = accepted {
                    self.newest_root = (expect.trusted().version, Arc::clone(accepted.bytes()));
                }
                (State::Root(expect), asked_cache)
            }
            State::Timestamp(mut expect) => {
                expect.remember(&cached);
                if self.connectivity == Connectivity::Offline && expect.remembers() {
                    (State::Snapshot(expect.known()?), false)
                } else {
                    (State::Timestamp(expect), true)
                }
            }
            State::Snapshot(expect) => match expect.recall(&cached) {
                Recalled::Trusted(next) => (State::Targets(next), false),
                Recalled::NotCurrent(same) => {
                    self.refuse_expired(|| same.clone().snapshot(&cached).map(drop))?;
                    (State::Snapshot(same), true)
                }
            },
            State::Targets(expect) => match expect.recall(&cached) {
                Recalled::Trusted(trusted) => (State::Done(Box::new(trusted)), false),
                Recalled::NotCurrent(same) => {
                    self.refuse_expired(|| same.clone().targets(&cached).map(drop))?;
                    (State::Targets(same), true)
                }
            },
            done => (done, true),
        };
        self.state = state;
        self.asked_cache = asked_cache;
        Ok(())
    }

    /// Goes on from the newest root in the cache, once that was recalled, where an earlier update verified the chain that
    /// leads there, as somebody says. Says whether that serves; else the roots in between are wanted.
    pub(crate) fn recalled_chain(&mut self, before: &ChainBefore) -> bool {
        let (State::Root(expect), Some(newest)) = (&mut self.state, &self.cached_root) else { return false };
        let serves = expect.recall_chain(before, &self.newest_root.1, newest.bytes());
        if serves {
            self.newest_root = (expect.trusted().version, Arc::clone(newest.bytes()));
        }
        serves
    }

    /// Where nothing can be fetched, the cached document that is needed is refused if only its expiry is in the way.
    fn refuse_expired(&self, offer: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Refusal> {
        if self.connectivity == Connectivity::Online {
            return Ok(());
        }
        match offer() {
            Err(expired @ Refusal::Expired { .. }) => Err(expired),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Answers [`Step::Recall`] for targets without the cached bytes, where an earlier update verified them, as somebody
    /// says. Says whether that serves; else the bytes are wanted as before.
    pub(crate) fn recalled_verified(&mut self, before: VerifiedBefore) -> bool {
        let (state, serves) = match std::mem::replace(&mut self.state, State::Over) {
            State::Targets(expect) => match expect.recall_verified(before) {
                Recalled::Trusted(trusted) => (State::Done(Box::new(trusted)), true),
                Recalled::NotCurrent(same) => (State::Targets(same), false),
            },
            other => (other, false),
        };
        self.state = state;
        serves
    }

    /// Answers [`Step::Need`]: the bytes received, or `None` where the repository has no such file.
    ///
    /// An absent root means that the trusted one is the newest (section 5.3.3). Any other absent file is the
    /// caller's to report: it cannot be answered here.
    ///
    /// # Errors
    /// When what was received is refused. The update is over; what it has stored stays.
    pub fn received(&mut self, received: Option<Received>) -> Result<(), Refusal> {
        self.asked_cache = false;
        let absent = received.is_none();
        let received = received.unwrap_or_default();
        let (state, stored) = match std::mem::replace(&mut self.state, State::Over) {
            State::Root(expect) if absent => (State::Timestamp(expect.finish()?), None),
            State::Root(mut expect) => {
                if self.roots_left == 0 {
                    let (limit, reached) = (self.limits.root_rotations, expect.trusted().version);
                    return Err(Refusal::TooManyRoots { limit, reached });
                }
                expect.root(&received)?;
                self.roots_left -= 1;
                self.roots_received += 1;
                let version = expect.trusted().version;
                self.newest_root = (version, Arc::clone(received.bytes()));
                (State::Root(expect), Some((LocalFile::Root(version), version)))
            }
            State::Timestamp(expect) => {
                let next = expect.timestamp(&received)?;
                let version = next.timestamp().version;
                let stored = next.timestamp_is_new().then_some((LocalFile::Role(RoleName::Timestamp), version));
                (State::Snapshot(next), stored)
            }
            State::Snapshot(expect) => {
                let next = expect.snapshot(&received)?;
                let version = next.snapshot().version;
                (State::Targets(next), Some((LocalFile::Role(RoleName::Snapshot), version)))
            }
            State::Targets(expect) => {
                let trusted = Box::new(expect.targets(&received)?);
                let version = trusted.targets().version;
                (State::Done(trusted), Some((LocalFile::Role(RoleName::Targets), version)))
            }
            done => (done, None),
        };
        self.state = state;
        self.store = stored.map(|(file, version)| Accepted { file, version, bytes: Arc::clone(received.bytes()) });
        Ok(())
    }
}
