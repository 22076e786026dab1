//! The states of an update, each holding what has been proved and offering only the legal next steps.
//!
//! ```text
//! ExpectRoot -> ExpectTimestamp -> ExpectSnapshot -> ExpectTargets -> TrustedSet
//! ```
//!
//! The order is that of TUF specification section 5. A step that is out of order does not compile:
//!
//! ```compile_fail,E0599
//! # fn f(state: trustroot::trust::ExpectRoot, bytes: &trustroot::trust::Received) {
//! state.timestamp(bytes); // the root chain has not ended
//! # }
//! ```
//!
//! ```compile_fail,E0382
//! # fn f(state: trustroot::trust::ExpectTimestamp, bytes: &trustroot::trust::Received) {
//! let _ = state.timestamp(bytes);
//! let _ = state.timestamp(bytes); // one timestamp per update
//! # }
//! ```
//!
//! ```compile_fail,E0599
//! # fn f(state: trustroot::trust::ExpectSnapshot, path: &trustroot::metadata::TargetPath) {
//! state.find(path); // nothing can be looked up before targets are trusted
//! # }
//! ```
//!
//! Cached metadata that is not acceptable any more enters only through `remember`, as a floor to compare with.
//! Whether a cached timestamp or snapshot is a floor is derived at every start: it is one if and only if it still
//! meets its threshold under the current root. Rotating those keys is thus how a repository recovers from a
//! fast-forward attack (section 5.3.11), a crash between two writes changes nothing, and adding a key does not
//! forget the floor.

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "client")]
use chrono::TimeDelta;
use chrono::{DateTime, Utc};

use super::threshold::{Authority, counted_before, root_counted_before, verify, verify_root};
use super::verified_before::{Basis, ChainBefore, VerifiedBefore};
use super::{DelegationWalk, Limits, Received, Refusal, RootPolicy, Verified};
use crate::metadata::{
    Delegation, Document, Envelope, Expires, MetaFile, Occasion, RoleName, Root, Snapshot, TargetPath, Targets,
    Timestamp, Version,
};

/// The time that an update takes as its reference, fixed once (TUF specification section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateStart {
    time: DateTime<Utc>,
    /// By when a document must not have expired: the time, or earlier under a grace.
    expired_by: DateTime<Utc>,
}

impl UpdateStart {
    /// Fixes the reference time. The library never reads a clock: the caller does, once per update.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self { time, expired_by: time }
    }

    /// The same time, at which documents that expired less than `grace` ago are still taken. Whoever uses it says what was
    /// used so: see [`TrustedSet::expired`].
    #[cfg(feature = "client")]
    pub(crate) fn with_expired_grace(self, grace: std::time::Duration) -> Self {
        let grace = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX);
        let expired_by = self.time.checked_sub_signed(grace).unwrap_or(DateTime::<Utc>::MIN_UTC);
        Self { expired_by, ..self }
    }

    /// The time.
    pub fn time(self) -> DateTime<Utc> {
        self.time
    }

    /// Refuses a document that has expired.
    fn check<T: Document>(self, document: &Verified<T>) -> Result<(), Refusal> {
        if document.expires().is_past(self.expired_by) {
            return Err(Refusal::Expired {
                role: document.role().clone(),
                version: document.version(),
                expires: document.expires().clone(),
                start: self.time,
            });
        }
        Ok(())
    }
}

/// What offering cached metadata led to.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a document is trusted or it is not")]
pub enum Recalled<Next, Same> {
    /// It is still current and trusted: nothing needs fetching.
    Trusted(Next),
    /// It is not; where it may serve as a floor, it is remembered.
    NotCurrent(Same),
}

fn open_root(occasion: Occasion, bytes: &[u8]) -> Result<Envelope, Refusal> {
    Envelope::parse_for(occasion, bytes).map_err(|source| Refusal::Malformed { role: RoleName::Root, source })
}

fn open_shared(role: &RoleName, received: &Received) -> Result<Envelope, Refusal> {
    let envelope = Envelope::parse_shared(received.bytes());
    envelope.map_err(|source| Refusal::Malformed { role: role.clone(), source })
}

fn top_level<T: Document>(root: &Root, role: &RoleName, received: &Received) -> Result<Verified<T>, Refusal> {
    let authority = Authority::of_root(root, role).expect("top-level roles are in every root");
    verify(&open_shared(role, received)?, authority)
}

/// The root is trusted; newer ones may follow (section 5.3).
#[derive(Debug, Clone)]
pub struct ExpectRoot {
    root: Verified<Root>,
    start: UpdateStart,
    /// The newest root of an earlier update, with the version that it gives itself; checked when it matters.
    newest_known: Option<(Version, Envelope)>,
    policy: RootPolicy,
    /// Why the trusted root is not good enough to end with, by the policy.
    falls_short: Option<Refusal>,
    /// What all roots of the chain are for.
    occasion: Occasion,
}

impl ExpectRoot {
    /// Starts from a root that the caller trusts: pinned, embedded, or kept by an earlier update.
    ///
    /// # Errors
    /// When it is malformed or does not meet its own threshold. Its expiry does not matter (section 5.3.10).
    pub fn begin(trusted_root: &[u8], start: UpdateStart) -> Result<Self, Refusal> {
        Self::begin_under(trusted_root, start, RootPolicy::default())
    }

    /// As [`ExpectRoot::begin`], and asks more of the roots that follow, and of the one that the chain ends with.
    ///
    /// # Errors
    /// As [`ExpectRoot::begin`]. What the policy asks matters only from the next root or the end of the chain on.
    pub fn begin_under(trusted_root: &[u8], start: UpdateStart, policy: RootPolicy) -> Result<Self, Refusal> {
        Self::begin_for(Occasion::Real, trusted_root, start, policy)
    }

    /// As [`ExpectRoot::begin_under`], for a chain of roots that are meant, or of roots that are rehearsed: never both.
    pub(crate) fn begin_for(
        occasion: Occasion,
        trusted_root: &[u8],
        start: UpdateStart,
        policy: RootPolicy,
    ) -> Result<Self, Refusal> {
        let envelope = open_root(occasion, trusted_root)?;
        let root = verify_root(&envelope, None)?;
        let falls_short = policy.check_own(start, &envelope, &root).err();
        Ok(Self { root, start, newest_known: None, policy, falls_short, occasion })
    }

    /// The root that is trusted now.
    pub fn trusted(&self) -> &Verified<Root> {
        &self.root
    }

    /// Takes the next root: signed by the threshold of the trusted one and by its own, one version higher
    /// (sections 5.3.4 and 5.3.5), and as the policy asks.
    ///
    /// # Errors
    /// When it is not. The root trusted so far stays.
    pub fn root(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let envelope = open_root(self.occasion, bytes)?;
        let wanted = self.root.version.next();
        let for_version = |refusal: Refusal| match wanted {
            Some(wanted) => refusal.of_version(wanted),
            None => refusal,
        };
        let offered = verify_root(&envelope, Some(&self.root)).map_err(for_version)?;
        if Some(offered.version) != wanted {
            return Err(Refusal::WrongVersion {
                role: RoleName::Root,
                offered: offered.version,
                expected: wanted.unwrap_or(self.root.version),
            });
        }
        self.policy.check_step(self.start, &envelope, &self.root, &offered)?;
        self.root = offered;
        self.falls_short = None;
        Ok(())
    }

    /// Takes a root that a chain leads to from the trusted one, which is `trusted`, where an earlier update verified that
    /// chain, as somebody says. Says whether that serves; else the roots in between are wanted.
    ///
    /// Who asks more of roots than TUF does judges each of them again: what is asked may depend on the time.
    pub(super) fn recall_chain(&mut self, before: &ChainBefore, trusted: &[u8], newest: &[u8]) -> bool {
        if self.policy != RootPolicy::default() {
            return false;
        }
        match root_counted_before(before, trusted, newest).filter(|newest| newest.version > self.root.version) {
            Some(newest) => {
                self.root = newest;
                self.falls_short = None;
                true
            }
            None => false,
        }
    }

    /// Takes the newest root of an earlier update as the floor that this one may not end below.
    ///
    /// It is trusted no further than that: whoever could replace it can make updates fail, and nothing else.
    pub fn remember(&mut self, cached: &[u8]) {
        let known = Envelope::parse(cached).and_then(|envelope| Ok((envelope.unverified::<Root>()?.version, envelope)));
        self.newest_known = known.ok();
    }

    /// The version of the remembered root, if that is newer than the trusted one and meets its own threshold.
    pub fn newer_known(&self) -> Option<Version> {
        let (version, envelope) = self.newest_known.as_ref()?;
        (*version > self.root.version && verify_root(envelope, None).is_ok()).then_some(*version)
    }

    /// Ends the root chain. The last root must be signed as the policy asks, must not be older than one that was trusted
    /// before, and must not have expired (section 5.3.10).
    ///
    /// # Errors
    /// When it is not so.
    pub fn finish(self) -> Result<ExpectTimestamp, Refusal> {
        if let Some(refusal) = self.falls_short {
            return Err(refusal);
        }
        if let Some(trusted) = self.newer_known() {
            return Err(Refusal::Rollback { role: RoleName::Root, offered: self.root.version, trusted });
        }
        self.start.check(&self.root)?;
        Ok(ExpectTimestamp { root: self.root, start: self.start, floor: None })
    }
}

/// The root chain has ended; the timestamp is next (section 5.4).
#[derive(Debug, Clone)]
pub struct ExpectTimestamp {
    root: Verified<Root>,
    start: UpdateStart,
    floor: Option<Floor>,
}

/// A remembered timestamp, and the bytes that it was read from.
#[derive(Debug, Clone)]
struct Floor {
    timestamp: Verified<Timestamp>,
    bytes: Arc<Vec<u8>>,
}

impl ExpectTimestamp {
    /// The trusted root.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// Takes the timestamp of an earlier update as the floor that a new one may not undercut, if the current root
    /// still vouches for it. Says whether it does.
    pub fn remember(&mut self, cached: &Received) -> bool {
        let timestamp = top_level(&self.root, &RoleName::Timestamp, cached).ok();
        self.floor = timestamp.map(|timestamp| Floor { timestamp, bytes: Arc::clone(cached.bytes()) });
        self.floor.is_some()
    }

    /// Takes the timestamp that the repository offers.
    ///
    /// One of equal version never replaces the trusted one (section 5.4.3.1): the trusted one goes on.
    ///
    /// # Errors
    /// When it is unsigned, malformed, older than the floor, names an older snapshot, or has expired.
    pub fn timestamp(self, received: &Received) -> Result<ExpectSnapshot, Refusal> {
        // The same bytes under the same root: what was verified a moment ago need not be verified again.
        if self.floor.as_ref().is_some_and(|floor| floor.bytes == *received.bytes()) {
            return self.known();
        }
        let offered: Verified<Timestamp> = top_level(&self.root, &RoleName::Timestamp, received)?;
        let Some(Floor { timestamp: floor, .. }) = &self.floor else {
            return ExpectSnapshot::begin(self.root, self.start, offered, Novelty::New);
        };
        if offered.version < floor.version {
            return Err(Refusal::Rollback {
                role: RoleName::Timestamp,
                offered: offered.version,
                trusted: floor.version,
            });
        }
        if offered.version == floor.version {
            return self.known();
        }
        if offered.snapshot.version < floor.snapshot.version {
            return Err(Refusal::Rollback {
                role: RoleName::Snapshot,
                offered: offered.snapshot.version,
                trusted: floor.snapshot.version,
            });
        }
        ExpectSnapshot::begin(self.root, self.start, offered, Novelty::New)
    }

    /// Whether a timestamp is remembered.
    pub fn remembers(&self) -> bool {
        self.floor.is_some()
    }

    /// Goes on with the remembered timestamp, for an update that may not ask the repository.
    ///
    /// # Errors
    /// When it has expired.
    ///
    /// # Panics
    /// Where nothing is remembered: see [`ExpectTimestamp::remembers`].
    pub fn known(self) -> Result<ExpectSnapshot, Refusal> {
        let floor = self.floor.expect("a timestamp is remembered");
        ExpectSnapshot::begin(self.root, self.start, floor.timestamp, Novelty::Known)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Novelty {
    New,
    Known,
}

/// The timestamp is trusted; the snapshot is next (section 5.5).
#[derive(Debug, Clone)]
pub struct ExpectSnapshot {
    root: Verified<Root>,
    start: UpdateStart,
    timestamp: Verified<Timestamp>,
    novelty: Novelty,
    floor: Option<Verified<Snapshot>>,
}

impl ExpectSnapshot {
    fn begin(
        root: Verified<Root>,
        start: UpdateStart,
        timestamp: Verified<Timestamp>,
        novelty: Novelty,
    ) -> Result<Self, Refusal> {
        start.check(&timestamp)?;
        Ok(Self { root, start, timestamp, novelty, floor: None })
    }

    /// The trusted root.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The trusted timestamp.
    pub fn timestamp(&self) -> &Verified<Timestamp> {
        &self.timestamp
    }

    /// Whether the timestamp is newer than the remembered one, so that it is worth keeping.
    pub fn timestamp_is_new(&self) -> bool {
        self.novelty == Novelty::New
    }

    /// What the timestamp says about the snapshot.
    pub fn wanted(&self) -> &MetaFile {
        &self.timestamp.snapshot
    }

    /// Offers the snapshot of an earlier update. It saves the fetch if it is the one that the timestamp names;
    /// otherwise it becomes the floor, if the current root still vouches for it.
    pub fn recall(mut self, cached: &Received) -> Recalled<ExpectTargets, Self> {
        let Ok(snapshot) = top_level::<Snapshot>(&self.root, &RoleName::Snapshot, cached) else {
            return Recalled::NotCurrent(self);
        };
        let current = check_bytes(&RoleName::Snapshot, cached, self.wanted()).is_ok()
            && snapshot.version == self.wanted().version
            && self.start.check(&snapshot).is_ok();
        if current {
            Recalled::Trusted(self.trust(snapshot))
        } else {
            self.floor = Some(snapshot);
            Recalled::NotCurrent(self)
        }
    }

    /// Takes the snapshot that the repository offers.
    ///
    /// # Errors
    /// When it is not the file that the timestamp names, unsigned, malformed, expired, or when it or a role in it
    /// is older than the floor.
    pub fn snapshot(self, received: &Received) -> Result<ExpectTargets, Refusal> {
        let wanted = self.wanted();
        check_bytes(&RoleName::Snapshot, received, wanted)?;
        let offered: Verified<Snapshot> = top_level(&self.root, &RoleName::Snapshot, received)
            .map_err(|refusal| refusal.of_version(wanted.version))?;
        check_version(&RoleName::Snapshot, &offered, wanted)?;
        if let Some(floor) = &self.floor {
            no_rollback(floor, &offered)?;
        }
        self.start.check(&offered)?;
        Ok(self.trust(offered))
    }

    fn trust(self, snapshot: Verified<Snapshot>) -> ExpectTargets {
        ExpectTargets { root: self.root, start: self.start, timestamp: self.timestamp, snapshot }
    }
}

/// Section 5.5.5, and the snapshot's own version.
fn no_rollback(floor: &Snapshot, offered: &Snapshot) -> Result<(), Refusal> {
    if offered.version < floor.version {
        return Err(Refusal::Rollback { role: RoleName::Snapshot, offered: offered.version, trusted: floor.version });
    }
    for (file, trusted, offered_version) in floor.beside(offered) {
        let name = file.strip_suffix(".json").unwrap_or(&file);
        let role = || match name {
            "targets" => RoleName::Targets,
            other => RoleName::Delegated(other.into()),
        };
        match offered_version {
            None => return Err(Refusal::RoleDropped { role: role(), snapshot: offered.version }),
            Some(offered) if offered < trusted => {
                return Err(Refusal::Rollback { role: role(), offered, trusted });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The snapshot is trusted; the top-level targets are next (section 5.6).
#[derive(Debug, Clone)]
pub struct ExpectTargets {
    root: Verified<Root>,
    start: UpdateStart,
    timestamp: Verified<Timestamp>,
    snapshot: Verified<Snapshot>,
}

impl ExpectTargets {
    /// The trusted root.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The trusted snapshot.
    pub fn snapshot(&self) -> &Verified<Snapshot> {
        &self.snapshot
    }

    /// What the snapshot says about the top-level targets.
    ///
    /// # Errors
    /// When it does not list them.
    pub fn wanted(&self) -> Result<MetaFile, Refusal> {
        wanted(&self.snapshot, &RoleName::Targets)
    }

    /// Offers the targets of an earlier update.
    pub fn recall(self, cached: &Received) -> Recalled<TrustedSet, Self> {
        match self.check(cached) {
            Ok(targets) => Recalled::Trusted(self.trust(targets)),
            Err(_) => Recalled::NotCurrent(self),
        }
    }

    /// Offers targets that an earlier update verified, as somebody says.
    pub(super) fn recall_verified(self, before: VerifiedBefore) -> Recalled<TrustedSet, Self> {
        match take_verified_before(before, self.authority(), &self.snapshot, self.start) {
            Some(targets) => Recalled::Trusted(self.trust(targets)),
            None => Recalled::NotCurrent(self),
        }
    }

    /// Takes the targets that the repository offers.
    ///
    /// # Errors
    /// When they are not the file that the snapshot names, unsigned, malformed or expired.
    pub fn targets(self, received: &Received) -> Result<TrustedSet, Refusal> {
        let targets = self.check(received)?;
        Ok(self.trust(targets))
    }

    fn check(&self, received: &Received) -> Result<Verified<Targets>, Refusal> {
        check_targets(received, self.authority(), &self.snapshot, self.start)
    }

    fn authority(&self) -> Authority<'_> {
        of_targets(&self.root)
    }

    fn trust(self, targets: Verified<Targets>) -> TrustedSet {
        TrustedSet {
            root: self.root,
            start: self.start,
            timestamp: self.timestamp,
            snapshot: self.snapshot,
            targets: Arc::new(targets),
            delegated: BTreeMap::new(),
        }
    }
}

/// All top-level roles are trusted and belong together: targets can be looked up.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    root: Verified<Root>,
    start: UpdateStart,
    timestamp: Verified<Timestamp>,
    snapshot: Verified<Snapshot>,
    targets: Arc<Verified<Targets>>,
    /// By delegator *and* role: a role trusted through one delegator is nothing to another.
    delegated: BTreeMap<(RoleName, RoleName), Delegated>,
}

/// A delegated role, with the very document through which it was verified: two delegators of one name, each trusted
/// through another document, may disagree about the keys.
#[derive(Debug, Clone)]
struct Delegated {
    delegator: Arc<Verified<Targets>>,
    delegation: Delegation,
    targets: Arc<Verified<Targets>>,
}

impl Delegated {
    fn authority(&self) -> Authority<'_> {
        of_delegation(&self.delegator, &self.delegation)
    }
}

impl TrustedSet {
    /// When the first of the documents expires that are trusted so far: the top-level roles, and the delegated ones that
    /// look-ups have needed. Whoever answers from one set for long holds the clock against it.
    pub fn expires(&self) -> DateTime<Utc> {
        let delegated = self.delegated.values().map(|delegated| delegated.targets.expires().time());
        let documents = [self.timestamp.expires(), self.snapshot.expires(), self.targets.expires()];
        delegated.chain(documents.map(Expires::time)).fold(self.root.expires().time(), std::cmp::min)
    }

    /// The same documents, where they have expired by the time of the update and are trusted all the same, under a grace:
    /// their roles, and when they expired.
    #[cfg(feature = "client")]
    pub(crate) fn expired(&self) -> Vec<(RoleName, DateTime<Utc>)> {
        let top_level = [
            (&RoleName::Root, self.root.expires()),
            (&RoleName::Timestamp, self.timestamp.expires()),
            (&RoleName::Snapshot, self.snapshot.expires()),
            (&RoleName::Targets, self.targets.expires()),
        ];
        // A role has one content, whoever delegates to it.
        let delegated: BTreeMap<&RoleName, &Expires> =
            self.delegated.iter().map(|((_, role), known)| (role, known.targets.expires())).collect();
        let documents = top_level.into_iter().chain(delegated);
        let expired = documents.filter(|(_, expires)| expires.is_past(self.start.time()));
        expired.map(|(role, expires)| (role.clone(), expires.time())).collect()
    }

    /// The trusted root.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The trusted timestamp.
    pub fn timestamp(&self) -> &Verified<Timestamp> {
        &self.timestamp
    }

    /// The trusted snapshot.
    pub fn snapshot(&self) -> &Verified<Snapshot> {
        &self.snapshot
    }

    /// The trusted top-level targets.
    pub fn targets(&self) -> &Arc<Verified<Targets>> {
        &self.targets
    }

    /// The time that the update took as its reference.
    pub fn start(&self) -> UpdateStart {
        self.start
    }

    /// Looks for a target, through delegations where needed.
    pub fn find(&mut self, path: &TargetPath, limits: Limits) -> DelegationWalk<'_> {
        DelegationWalk::begin(self, path.clone(), limits)
    }

    /// What the snapshot says about a role.
    pub(super) fn wanted(&self, role: &RoleName) -> Result<MetaFile, Refusal> {
        wanted(&self.snapshot, role)
    }

    /// A delegated role that has been verified through this delegator.
    pub(super) fn delegated(
        &self,
        delegator: &Arc<Verified<Targets>>,
        role: &RoleName,
    ) -> Option<Arc<Verified<Targets>>> {
        let known = self.delegated.get(&(delegator.role().clone(), role.clone()))?;
        Arc::ptr_eq(&known.delegator, delegator).then(|| Arc::clone(&known.targets))
    }

    /// Verifies a delegated role through its delegator and keeps it.
    pub(crate) fn trust_delegated(
        &mut self,
        delegator: &Arc<Verified<Targets>>,
        delegation: &Delegation,
        received: &Received,
    ) -> Result<Arc<Verified<Targets>>, Refusal> {
        let targets =
            check_targets(received, of_delegation(delegator, delegation), &self.snapshot, self.start).map(Arc::new)?;
        self.keep_delegated(delegator, delegation, &targets);
        Ok(targets)
    }

    /// Takes a delegated role that an earlier update verified, as somebody says, and keeps it.
    pub(super) fn trust_delegated_before(
        &mut self,
        delegator: &Arc<Verified<Targets>>,
        delegation: &Delegation,
        before: VerifiedBefore,
    ) -> Option<Arc<Verified<Targets>>> {
        let authority = of_delegation(delegator, delegation);
        let targets = take_verified_before(before, authority, &self.snapshot, self.start).map(Arc::new)?;
        self.keep_delegated(delegator, delegation, &targets);
        Some(targets)
    }

    fn keep_delegated(
        &mut self,
        delegator: &Arc<Verified<Targets>>,
        delegation: &Delegation,
        targets: &Arc<Verified<Targets>>,
    ) {
        let (delegator, targets) = (Arc::clone(delegator), Arc::clone(targets));
        let key = (delegator.role().clone(), delegation.role.clone());
        self.delegated.insert(key, Delegated { delegator, delegation: delegation.clone(), targets });
    }

    /// Verifies the top-level targets once more, from all of their bytes.
    pub(super) fn trust_targets_anew(&mut self, received: &Received) -> Result<Arc<Verified<Targets>>, Refusal> {
        let targets = check_targets(received, of_targets(&self.root), &self.snapshot, self.start)?;
        self.targets = Arc::new(targets);
        Ok(Arc::clone(&self.targets))
    }

    /// Whether some targets documents were not verified whole in this update.
    pub(crate) fn has_outlines(&self) -> bool {
        let delegated = self.delegated.values().map(|known| &known.targets);
        delegated.chain([&self.targets]).any(|targets| targets.is_an_outline())
    }

    /// The targets documents that were verified whole and are worth an outline, and on what basis they were.
    pub(crate) fn worth_outlines(&self) -> impl Iterator<Item = (Basis, &Arc<Verified<Targets>>)> {
        let top_level = std::iter::once((of_targets(&self.root), &self.targets));
        let delegated = self.delegated.values().map(|known| (known.authority(), &known.targets));
        let worth = top_level.chain(delegated).filter(|(_, targets)| targets.is_worth_an_outline());
        worth.filter_map(|(authority, targets)| {
            let wanted = wanted(&self.snapshot, authority.role()).ok()?;
            Some((Basis::of(authority, &wanted), targets))
        })
    }
}

fn of_targets(root: &Root) -> Authority<'_> {
    Authority::of_root(root, &RoleName::Targets).expect("every root has a targets role")
}

fn of_delegation<'a>(delegator: &'a Targets, delegation: &'a Delegation) -> Authority<'a> {
    let delegations = delegator.delegations.as_ref().expect("the delegation was read from this document");
    Authority::of_delegation(delegations, delegation)
}

fn wanted(snapshot: &Snapshot, role: &RoleName) -> Result<MetaFile, Refusal> {
    snapshot.role(role).ok_or_else(|| Refusal::NotInSnapshot { role: role.clone() })
}

/// Sections 5.6.2 to 5.6.5, for top-level and delegated targets alike.
fn check_targets(
    received: &Received,
    authority: Authority<'_>,
    snapshot: &Snapshot,
    start: UpdateStart,
) -> Result<Verified<Targets>, Refusal> {
    let role = authority.role();
    let wanted = wanted(snapshot, role)?;
    check_bytes(role, received, &wanted)?;
    let targets: Verified<Targets> =
        verify(&open_shared(role, received)?, authority).map_err(|refusal| refusal.of_version(wanted.version))?;
    check_version(role, &targets, &wanted)?;
    start.check(&targets)?;
    Ok(targets)
}

/// The same of a document whose bytes were checked before.
fn take_verified_before(
    before: VerifiedBefore,
    authority: Authority<'_>,
    snapshot: &Snapshot,
    start: UpdateStart,
) -> Option<Verified<Targets>> {
    let wanted = wanted(snapshot, authority.role()).ok()?;
    let targets = counted_before(before, authority, &wanted)?;
    check_version(authority.role(), &targets, &wanted).ok()?;
    start.check(&targets).ok()?;
    Some(targets)
}

fn check_version<T: Document>(role: &RoleName, document: &Verified<T>, wanted: &MetaFile) -> Result<(), Refusal> {
    if document.version() != wanted.version {
        return Err(Refusal::WrongVersion {
            role: role.clone(),
            offered: document.version(),
            expected: wanted.version,
        });
    }
    Ok(())
}

/// Checks length and hashes where trusted metadata gives them, before anything is parsed.
fn check_bytes(role: &RoleName, received: &Received, wanted: &MetaFile) -> Result<(), Refusal> {
    let offered = received.len() as u64;
    if let Some(expected) = wanted.length
        && expected != offered
    {
        return Err(Refusal::WrongLength { role: role.clone(), version: wanted.version, offered, expected });
    }
    let Some(hashes) = &wanted.hashes else { return Ok(()) };
    for (algorithm, expected) in hashes.iter() {
        if expected != &*received.digest(algorithm) {
            return Err(Refusal::WrongHash { role: role.clone(), version: wanted.version, algorithm });
        }
    }
    Ok(())
}
