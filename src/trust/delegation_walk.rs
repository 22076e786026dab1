//! Looks for a target through delegations: preorder, terminating, bounded (TUF specification section 5.6.7).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::workflow::{Accepted, LocalFile, Request, Step};
use super::{Limits, Received, Refusal, TrustedSet, Verified};
use crate::crypto::sha256;
use crate::metadata::{Delegation, RoleName, TargetFile, TargetPath, Targets, Version};

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
    current: Option<Visit>,
    asked_cache: bool,
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
            self.visit(&targets)?;
        }
        loop {
            match &self.outcome {
                Outcome::Found(found) => return Ok(Step::Done(Some(found.clone()))),
                Outcome::Nowhere => return Ok(Step::Done(None)),
                Outcome::Open => {}
            }
            if let Some(current) = &self.current {
                let role = &current.delegation.role;
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
                Some(targets) => self.visit(&targets)?,
                None => {
                    self.current = Some(visit);
                    self.asked_cache = false;
                }
            }
        }
    }

    /// Who delegates to the role that is asked for now, and how.
    pub fn delegation(&self) -> Option<(&Verified<Targets>, &Delegation)> {
        self.current.as_ref().map(|visit| (&*visit.delegator, &visit.delegation))
    }

    fn request(&self, role: &RoleName) -> Result<Request, Refusal> {
        self.limits.request(role, &self.trusted.wanted(role)?, self.trusted.root().consistent_snapshot)
    }

    /// Answers [`Step::Recall`]: the cached bytes, or `None` where there are none.
    ///
    /// # Errors
    /// When the role is trusted but its entry for the target is malformed.
    pub fn recalled(&mut self, cached: Option<Received>) -> Result<(), Refusal> {
        self.asked_cache = true;
        let Some(Visit { delegator, delegation }) = &self.current else { return Ok(()) };
        let cached = cached.unwrap_or_default();
        if let Ok(targets) = self.trusted.trust_delegated(delegator, delegation, &cached) {
            self.visit(&targets)?;
        }
        Ok(())
    }

    /// Answers [`Step::Need`] with the bytes received.
    ///
    /// # Errors
    /// When they are refused. The look-up is over.
    pub fn received(&mut self, received: Received) -> Result<(), Refusal> {
        let Some(Visit { delegator, delegation }) = &self.current else { return Ok(()) };
        let targets = self.trusted.trust_delegated(delegator, delegation, &received)?;
        let file = LocalFile::Role(delegation.role.clone());
        self.store = Some(Accepted { file, version: targets.version, bytes: received.into_bytes() });
        self.visit(&targets)
    }

    fn visit(&mut self, targets: &Arc<Verified<Targets>>) -> Result<(), Refusal> {
        self.current = None;
        self.visited.insert(targets.role().clone());
        let found =
            targets.find(&self.path).map_err(|source| Refusal::Malformed { role: targets.role().clone(), source })?;
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
