//! Looks for a target through delegations: preorder, terminating, bounded (TUF specification section 5.6.7).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::verified_before::VerifiedBefore;
use super::workflow::{Accepted, LocalFile, Request, Step};
use super::{Limits, Received, Refusal, TrustedSet, Verified};
use crate::crypto::sha256;
use crate::metadata::{Delegation, FormatError, RoleName, TargetFile, TargetPath, Targets, Version};

/// A target that a trusted role names.
#[derive(Debug, Clone)]
pub struct FoundTarget {
    /// Its path.
    pub path: TargetPath,
    /// Its length and hashes.
    pub file: TargetFile,
    /// The role that names it.
    pub role: RoleName,
    /// The version of that role's metadata.
    pub version: Version,
}

/// One look-up, driven like [`super::Update`].
///
/// A role that cannot be trusted fails the look-ups that need it and no others: a role of lower preference must
/// not answer in its place.
#[derive(Debug)]
pub struct DelegationWalk<'a> {
    trusted: &'a mut TrustedSet,
    path: TargetPath,
    path_hash: [u8; 32],
    limits: Limits,
    /// What is left to visit, the next on top.
    stack: Vec<Visit>,
    /// By name: a role has the same content whoever delegates to it, so a second visit cannot find more.
    visited: BTreeSet<RoleName>,
    /// What is to be read before it can be visited.
    current: Option<Wanted>,
    asked_cache: bool,
    /// Why the cached bytes do not serve, where only their expiry is in the way.
    kept_has_expired: Option<Refusal>,
    /// Whether entries that stay in a file could not be read: from then on documents are read whole.
    whole: bool,
    store: Option<Accepted>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Open,
    Found(FoundTarget),
    Nowhere,
}

#[derive(Debug, Clone)]
struct Visit {
    delegator: Arc<Verified<Targets>>,
    delegation: Delegation,
}

#[derive(Debug, Clone)]
enum Wanted {
    /// The top-level targets: they are trusted, but their entries could not be read.
    TopLevel,
    Delegated(Visit),
}

impl Wanted {
    fn role(&self) -> &RoleName {
        match self {
            Self::TopLevel => &RoleName::Targets,
            Self::Delegated(visit) => &visit.delegation.role,
        }
    }

    fn trust(&self, trusted: &mut TrustedSet, received: &Received) -> Result<Arc<Verified<Targets>>, Refusal> {
        match self {
            Self::TopLevel => trusted.trust_targets_anew(received),
            Self::Delegated(Visit { delegator, delegation }) => {
                trusted.trust_delegated(delegator, delegation, received)
            }
        }
    }
}

impl<'a> DelegationWalk<'a> {
    pub(super) fn begin(trusted: &'a mut TrustedSet, path: TargetPath, limits: Limits) -> Self {
        Self {
            trusted,
            path_hash: sha256(path.as_str().as_bytes()),
            path,
            limits,
            stack: Vec::new(),
            visited: BTreeSet::new(),
            current: None,
            asked_cache: false,
            kept_has_expired: None,
            whole: false,
            store: None,
            outcome: Outcome::Open,
        }
    }

    /// Says what is wanted now. The outcome is `None` where no trusted role names the target.
    ///
    /// # Errors
    /// When trusted metadata rules the next step out.
    pub fn step(&mut self) -> Result<Step<Option<FoundTarget>>, Refusal> {
        if let Some(accepted) = self.store.take() {
            return Ok(Step::Store(accepted));
        }
        if self.visited.is_empty() && matches!(self.outcome, Outcome::Open) {
            let targets = Arc::clone(self.trusted.targets());
            self.visit(Wanted::TopLevel, &targets)?;
        }
        loop {
            match &self.outcome {
                Outcome::Found(found) => return Ok(Step::Done(Some(found.clone()))),
                Outcome::Nowhere => return Ok(Step::Done(None)),
                Outcome::Open => {}
            }
            if let Some(current) = &self.current {
                let role = current.role();
                if !self.asked_cache {
                    return Ok(Step::Recall(LocalFile::Role(role.clone())));
                }
                return self.request(role).map(Step::Need);
            }
            let Some(visit) = self.stack.pop() else {
                self.outcome = Outcome::Nowhere;
                continue;
            };
            if self.visited.contains(&visit.delegation.role) {
                continue;
            }
            // The top-level targets are among the visited, and are not counted.
            if self.visited.len() > self.limits.delegations {
                return Err(Refusal::TooManyDelegations { limit: self.limits.delegations });
            }
            match self.trusted.delegated(&visit.delegator, &visit.delegation.role) {
                Some(targets) => self.visit(Wanted::Delegated(visit), &targets)?,
                None => self.want(Wanted::Delegated(visit)),
            }
        }
    }

    /// Who delegates to the role that is asked for now, and how.
    pub fn delegation(&self) -> Option<(&Verified<Targets>, &Delegation)> {
        match &self.current {
            Some(Wanted::Delegated(visit)) => Some((&*visit.delegator, &visit.delegation)),
            Some(_) | None => None,
        }
    }

    fn request(&self, role: &RoleName) -> Result<Request, Refusal> {
        self.limits.request(role, &self.trusted.wanted(role)?, self.trusted.root().consistent_snapshot)
    }

    fn want(&mut self, wanted: Wanted) {
        self.current = Some(wanted);
        self.asked_cache = false;
        self.kept_has_expired = None;
    }

    /// Answers [`Step::Recall`]: the cached bytes, or `None` where there are none.
    ///
    /// # Errors
    /// When the role is trusted but its entry for the target is malformed.
    pub fn recalled(&mut self, cached: Option<Received>) -> Result<(), Refusal> {
        self.asked_cache = true;
        let Some(wanted) = self.current.clone() else { return Ok(()) };
        match wanted.trust(self.trusted, &cached.unwrap_or_default()) {
            Ok(targets) => self.visit(wanted, &targets)?,
            Err(expired @ Refusal::Expired { .. }) => self.kept_has_expired = Some(expired),
            // Damaged, or not current: it is fetched.
            Err(_) => {}
        }
        Ok(())
    }

    /// Why the cached bytes that [`Self::recalled`] took do not serve, where they are what is needed and have expired. A
    /// driver that may not answer [`Step::Need`] says so instead of that nothing is there.
    pub fn kept_has_expired(&self) -> Option<&Refusal> {
        self.kept_has_expired.as_ref()
    }

    /// Answers [`Step::Recall`] without the cached bytes, where an earlier update verified them, as somebody says. Says
    /// whether that serves; else the bytes are wanted as before.
    ///
    /// # Errors
    /// When the role is trusted but its entry for the target is malformed.
    pub(crate) fn recalled_verified(&mut self, before: VerifiedBefore) -> Result<bool, Refusal> {
        let Some(Wanted::Delegated(visit)) = self.current.clone().filter(|_| !self.whole) else { return Ok(false) };
        let Some(targets) = self.trusted.trust_delegated_before(&visit.delegator, &visit.delegation, before) else {
            return Ok(false);
        };
        self.visit(Wanted::Delegated(visit), &targets)?;
        Ok(true)
    }

    /// Answers [`Step::Need`] with the bytes received.
    ///
    /// # Errors
    /// When they are refused. The look-up is over.
    pub fn received(&mut self, received: Received) -> Result<(), Refusal> {
        let Some(wanted) = self.current.clone() else { return Ok(()) };
        let targets = wanted.trust(self.trusted, &received)?;
        let file = LocalFile::Role(wanted.role().clone());
        self.store = Some(Accepted { file, version: targets.version, bytes: received.into_bytes() });
        self.visit(wanted, &targets)
    }

    fn visit(&mut self, place: Wanted, targets: &Arc<Verified<Targets>>) -> Result<(), Refusal> {
        self.current = None;
        self.visited.insert(targets.role().clone());
        let found = match targets.find(&self.path) {
            Err(FormatError::NotKept) => {
                self.whole = true;
                self.want(place);
                return Ok(());
            }
            found => found.map_err(|source| Refusal::Malformed { role: targets.role().clone(), source })?,
        };
        if let Some(file) = found {
            let (path, role, version) = (self.path.clone(), targets.role().clone(), targets.version);
            self.outcome = Outcome::Found(FoundTarget { path, file, role, version });
            return Ok(());
        }
        let Some(delegations) = &targets.delegations else { return Ok(()) };
        let mut children = Vec::new();
        for delegation in delegations.covering(&self.path, &self.path_hash) {
            let terminating = delegation.terminating;
            children.push(Visit { delegator: Arc::clone(targets), delegation });
            if terminating {
                // Nothing behind this one may answer, neither here nor further up.
                self.stack.clear();
                break;
            }
        }
        self.stack.extend(children.into_iter().rev());
        Ok(())
    }
}
