//! Where an event stands: who has signed, under whose rules, and what is still missing.
//!
//! A pure function of the event's files and of what has been signed before. Signatures are counted by [`crate::trust`]
//! alone: distinct physical keys, whatever they are called.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{CeremonyError, EventName, SigningEvent};
use crate::crypto::VerifyingKey;
use crate::fs::write_durably;
use crate::metadata::{
    Delegation, Delegations, Document as _, Envelope, KeyId, PublicKey, RoleKeys, RoleName, Root, Targets,
    Unrecognized, Version,
};
use crate::repository::{FamilyCount, FamilyThresholds, RepositoryError, SignedState, WorkingCopy};
use crate::signers::Signer;
use crate::trust::{Authority, Standing, Tally, tally};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventState {
    /// Signatures are missing.
    Open,
    /// Enough keys have signed: it can be finished.
    Complete,
    /// It has been finished: the document is among what is signed.
    Finished,
    /// Another payload has been signed for this version.
    Superseded,
}

/// One count of an event's signatures.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Under {
    /// Who asks for the signatures, such as `root v3`.
    pub by: String,
    /// Who signed.
    pub tally: Tally,
    /// The families of which signatures are asked for beside the threshold.
    pub families: Vec<FamilyCount>,
}

impl Under {
    /// Whether enough keys signed, and enough of each family.
    pub fn met(&self) -> bool {
        self.tally.met() && self.families.iter().all(FamilyCount::met)
    }
}

/// A signature that lies in an event and counts for nothing. It spoils nothing either.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uncounted {
    /// The keyid or file that it came under. Attacker-controlled text.
    pub from: String,
    /// Why it is not counted.
    pub why: String,
}

/// Another payload for the same role and version with a valid signature. Signatures cannot be taken back: whoever collects
/// enough of them has a second document of this version, for ever.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sibling {
    /// The SHA-256 of the payload, in hexadecimal.
    pub digest: String,
    /// The event that it lies in.
    pub event: EventName,
    /// Who signed it; empty where the payload is not here, so that nobody can tell.
    pub counts: Vec<Under>,
}

/// Where an event stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// What became of it.
    pub state: EventState,
    /// Every count that must be met: for a root one under the root before it and one under itself.
    pub counts: Vec<Under>,
    /// What lies in the event and is not counted.
    pub uncounted: Vec<Uncounted>,
    /// Other payloads for the same role and version that somebody has signed.
    pub siblings: Vec<Sibling>,
    /// Events that cannot be read, with why: they may hold another payload for this version.
    pub unreadable_events: Vec<(EventName, String)>,
    /// Who changes keys without the outgoing key having signed.
    pub outgoing_missing: BTreeSet<String>,
}

type SiblingsAndUnreadable = (Vec<Sibling>, Vec<(EventName, String)>);

/// Risks that people accept by name when they finish an event.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AcceptedRisks {
    /// People whose outgoing key is lost or stolen, and so cannot agree to its replacement.
    pub lost: Vec<String>,
    /// Digests of sibling payloads that have been signed and could be completed.
    pub siblings: Vec<String>,
}

/// The documents that say who may sign an event.
pub(super) struct Delegator {
    by: String,
    source: Source,
    families: FamilyThresholds,
}

enum Source {
    Root(Box<Root>),
    Targets(Box<Delegations>, Box<Delegation>),
}

impl Delegator {
    fn authority<'a>(&'a self, role: &'a RoleName) -> Option<Authority<'a>> {
        match &self.source {
            Source::Root(root) => Authority::of_root(root, role),
            Source::Targets(delegations, delegation) => Some(Authority::of_delegation(delegations, delegation)),
        }
    }

    fn keys(&self, role: &RoleName) -> Option<(&BTreeMap<KeyId, PublicKey>, &RoleKeys)> {
        match &self.source {
            Source::Root(root) => Some((&root.keys, root.role(role)?)),
            Source::Targets(delegations, delegation) => Some((&delegations.keys, &delegation.keys)),
        }
    }

    /// The keyids that may sign, with the keys that they stand for.
    fn listed(&self, role: &RoleName) -> impl Iterator<Item = (&KeyId, &PublicKey)> {
        let (keys, role_keys) = self.keys(role).unzip();
        let keyids = role_keys.into_iter().flat_map(|role| &role.keyids);
        keyids.filter_map(move |keyid| Some((keyid, keys?.get(keyid)?)))
    }
}

impl SigningEvent {
    /// Who may sign this event: the delegators that have been signed, and for a root the proposed one itself.
    pub(super) fn delegators(&self, signed: &SignedState) -> Result<Vec<Delegator>, CeremonyError> {
        let families = |by: &str, unrecognized: &Unrecognized| {
            FamilyThresholds::recorded_for(unrecognized, &self.role)
                .map_err(|problem| RepositoryError::configuration(by, problem))
        };
        let of_root = |root: &Root, what: &str| {
            let by = format!("root {}{what}", root.version);
            let families = families(&by, &root.unrecognized)?;
            Ok::<_, CeremonyError>(Delegator { by, source: Source::Root(Box::new(root.clone())), families })
        };
        let not_yet = |before| RepositoryError::NotYet { role: self.role.clone(), before };
        match &self.role {
            RoleName::Root => {
                let proposed: Root = self.envelope.unverified()?;
                let before = signed.roots().rev().map(|(root, _)| root).find(|root| root.version < proposed.version);
                let mut delegators: Vec<Delegator> =
                    before.map(|root| of_root(root, "")).transpose()?.into_iter().collect();
                delegators.push(of_root(&proposed, " (proposed)")?);
                Ok(delegators)
            }
            RoleName::Targets => {
                let root = signed.root().ok_or_else(|| not_yet(RoleName::Root))?;
                Ok(vec![of_root(root, "")?])
            }
            role => {
                let targets = &signed.targets().ok_or_else(|| not_yet(RoleName::Targets))?.document;
                let delegations = targets.delegations.as_ref();
                let found = delegations.and_then(|all| Some((all.clone(), all.to_role(role.as_str())?)));
                let (delegations, delegation) = found.ok_or_else(|| not_yet(RoleName::Targets))?;
                let source = Source::Targets(Box::new(delegations), Box::new(delegation));
                let by = format!("targets {}", targets.version());
                let families = families(&by, &targets.unrecognized)?;
                Ok(vec![Delegator { by, source, families }])
            }
        }
    }

    /// Where the event stands.
    ///
    /// # Errors
    /// When it cannot be read, or nobody may sign it yet.
    pub fn status(&self, copy: &WorkingCopy, signed: &SignedState) -> Result<Status, CeremonyError> {
        let delegators = self.delegators(signed)?;
        let counts = self.counts(&delegators)?;
        let state = match self.finished_as(signed)? {
            Some(same) if same => EventState::Finished,
            Some(_) => EventState::Superseded,
            None if counts.iter().all(Under::met) => EventState::Complete,
            None => EventState::Open,
        };
        let (siblings, unreadable_events) = self.siblings(copy, signed)?;
        Ok(Status {
            state,
            uncounted: self.uncounted(&counts),
            siblings,
            unreadable_events,
            outgoing_missing: self.outgoing_missing(&delegators, &counts),
            counts,
        })
    }

    /// Whether this version has been signed, and if so, with this payload.
    fn finished_as(&self, signed: &SignedState) -> Result<Option<bool>, CeremonyError> {
        if !signed.versions(&self.role)?.contains(&self.version) {
            return Ok(None);
        }
        let there = Envelope::parse(&signed.bytes(&self.role, self.version)?)?;
        Ok(Some(there.signed_bytes() == self.envelope.signed_bytes()))
    }

    fn uncounted(&self, counts: &[Under]) -> Vec<Uncounted> {
        let mut uncounted: Vec<Uncounted> = self
            .unreadable
            .iter()
            .map(|(file, problem)| Uncounted { from: file.clone(), why: format!("unreadable: {problem}") })
            .collect();
        let digest = hex::encode(self.digest());
        for filed in &self.signatures {
            let why = if filed.payload_sha256 == digest {
                let standings: Vec<Standing> = counts
                    .iter()
                    .flat_map(|under| &under.tally.lines)
                    .filter(|line| line.keyid.as_str() == filed.keyid)
                    .map(|line| line.standing)
                    .collect();
                match standings.as_slice() {
                    standings if standings.contains(&Standing::Valid) => continue,
                    standings if standings.contains(&Standing::SameKey) => "the key is counted under another keyid",
                    [] => "by a key that may not sign",
                    standings if standings.contains(&Standing::Missing) => "empty",
                    standings if standings.contains(&Standing::Invalid) => "not valid",
                    _ => "by a key that cannot be used",
                }
            } else {
                "over another payload"
            };
            uncounted.push(Uncounted { from: filed.keyid.clone(), why: why.to_owned() });
        }
        uncounted
    }

    /// Counts the signatures of this payload under each delegator.
    fn counts(&self, delegators: &[Delegator]) -> Result<Vec<Under>, CeremonyError> {
        let envelope = self.signed()?;
        let count = |delegator: &Delegator| {
            let authority = delegator.authority(&self.role)?;
            let tally = tally(&envelope, authority);
            let families = delegator.families.counts(&tally);
            Some(Under { by: delegator.by.clone(), tally, families })
        };
        Ok(delegators.iter().filter_map(count).collect())
    }

    /// Payloads of other events that propose the same version, and of earlier proposals of this one, if a key that may
    /// sign has signed them.
    fn siblings(&self, copy: &WorkingCopy, signed: &SignedState) -> Result<SiblingsAndUnreadable, CeremonyError> {
        let own = self.digest();
        let (mut payloads, mut unreadable): (Vec<Self>, Vec<_>) = (self.payloads().collect(), Vec::new());
        for name in Self::names(copy)?.into_iter().filter(|name| *name != self.name) {
            match Self::open(copy, &name) {
                Ok(other) => payloads.extend(other.payloads()),
                Err(error) => unreadable.push((name, error.to_string())),
            }
        }
        let mut siblings = Vec::new();
        // A signature over a payload that is not here was made somewhere where that payload is.
        let known: BTreeSet<String> = payloads.iter().map(|other| hex::encode(other.digest())).collect();
        let events: BTreeMap<&EventName, &Self> = payloads
            .iter()
            .filter(|other| other.role == self.role && other.version == self.version)
            .map(|other| (&other.name, other))
            .collect();
        for (name, event) in events {
            let strays: BTreeSet<&String> = event
                .signatures
                .iter()
                .map(|filed| &filed.payload_sha256)
                .filter(|digest| !known.contains(*digest))
                .collect();
            let stray = |digest: &String| Sibling { digest: digest.clone(), event: name.clone(), counts: Vec::new() };
            siblings.extend(strays.into_iter().map(stray));
        }
        for other in payloads.iter().filter(|other| other.role == self.role && other.version == self.version) {
            if other.digest() == own {
                continue;
            }
            let counts = other.counts(&other.delegators(signed)?)?;
            if counts.iter().any(|under| under.tally.counted > 0) {
                let digest = hex::encode(other.digest());
                siblings.push(Sibling { digest, event: other.name.clone(), counts });
            }
        }
        Ok((siblings, unreadable))
    }

    /// People who are to have another key in a role of root, and whose key of before has not signed.
    fn outgoing_missing(&self, delegators: &[Delegator], counts: &[Under]) -> BTreeSet<String> {
        let ([before, after], [under_before, _]) = (delegators, counts) else { return BTreeSet::new() };
        let (Some((old_keys, old)), Some((new_keys, new))) = (before.keys(&self.role), after.keys(&self.role)) else {
            return BTreeSet::new();
        };
        let spki = |key: &PublicKey| VerifyingKey::from_metadata(key).ok().map(|key| key.canonical_spki().to_vec());
        let stays: BTreeSet<_> = new.keyids.iter().filter_map(|keyid| spki(new_keys.get(keyid)?)).collect();
        // However the name is spelled.
        let spelled = |owner: &str| owner.trim().to_lowercase();
        let has_new: BTreeSet<String> =
            new.keyids.iter().filter_map(|keyid| new_keys.get(keyid)?.owner()).map(spelled).collect();
        let mut missing = BTreeSet::new();
        for keyid in &old.keyids {
            let Some(key) = old_keys.get(keyid) else { continue };
            let (Some(owner), Some(spki)) = (key.owner(), spki(key)) else { continue };
            let signed = under_before
                .tally
                .lines
                .iter()
                .any(|line| line.keyid == *keyid && matches!(line.standing, Standing::Valid | Standing::SameKey));
            if has_new.contains(&spelled(owner)) && !stays.contains(&spki) && !signed {
                missing.insert(owner.to_owned());
            }
        }
        missing
    }

    /// Signs with a key, under every keyid by which a delegator knows it, and files the signatures.
    ///
    /// The caller has shown the [`super::Review`] and had it confirmed. Returns the files written.
    ///
    /// # Errors
    /// When the key may not sign this role, or cannot.
    pub fn sign(&mut self, signed: &SignedState, key: &dyn Signer) -> Result<Vec<std::path::PathBuf>, CeremonyError> {
        let delegators = self.delegators(signed)?;
        let listed = delegators.iter().flat_map(|delegator| delegator.listed(&self.role));
        let signatures = key.sign_as_listed(&self.role, self.version, self.envelope.signed_bytes(), listed)?;
        if signatures.is_empty() {
            return Err(CeremonyError::NotASigner { role: self.role.clone() });
        }
        signatures.iter().map(|(keyid, signature)| self.file(keyid, signature)).collect()
    }

    /// Puts a complete event among what is signed: the files that it names first, then the document with exactly the
    /// signatures that count.
    ///
    /// # Errors
    /// When signatures are missing, rules are broken, or another payload has been signed.
    pub fn finish(
        &self,
        copy: &WorkingCopy,
        signed: &SignedState,
        now: DateTime<Utc>,
        accepted: &AcceptedRisks,
    ) -> Result<Version, CeremonyError> {
        let status = self.status(copy, signed)?;
        let (role, version) = (self.role.clone(), self.version);
        match status.state {
            EventState::Finished => return Ok(version),
            EventState::Superseded => return Err(CeremonyError::Superseded { role, version }),
            EventState::Open | EventState::Complete => {}
        }
        for under in &status.counts {
            if !under.tally.met() {
                let (by, tally) = (under.by.clone(), under.tally.clone());
                return Err(CeremonyError::TooFewSignatures { role, version, by, tally });
            }
            if let Some(count) = under.families.iter().find(|count| !count.met()) {
                return Err(CeremonyError::TooFewOfFamily { role, version, by: under.by.clone(), count: *count });
            }
        }
        if let Some(owner) = status.outgoing_missing.iter().find(|owner| !accepted.lost.contains(owner)) {
            return Err(CeremonyError::OutgoingKeyMissing { owner: owner.clone() });
        }
        let sibling = status.siblings.iter().find(|sibling| !accepted.siblings.contains(&sibling.digest));
        if let Some(sibling) = sibling {
            return Err(CeremonyError::Sibling { role, version, digest: sibling.digest.clone() });
        }
        if let Some((event, problem)) = status.unreadable_events.first() {
            let (event, problem) = (event.as_str().to_owned(), problem.clone());
            return Err(CeremonyError::UnreadableEvent { event, problem });
        }
        if signed.next_version(&self.role)? != version {
            return Err(CeremonyError::Superseded { role, version });
        }
        let problems = self.review(copy, signed, now)?.problems;
        if !problems.is_empty() {
            return Err(CeremonyError::BreaksRules { problems });
        }
        let expires = match role {
            RoleName::Root => self.envelope.unverified::<Root>()?.expires,
            _ => self.envelope.unverified::<Targets>()?.expires,
        };
        if expires.is_past(now) {
            return Err(CeremonyError::Expired { role, version, expires: expires.to_string() });
        }
        self.write_signed(copy, &status)?;
        Ok(version)
    }

    fn write_signed(&self, copy: &WorkingCopy, status: &Status) -> Result<(), CeremonyError> {
        let directory = copy.signed_directory();
        for (path, bytes) in &self.targets {
            let name = path.url_path(Some(&crate::crypto::sha256(bytes)));
            let file = directory.join("targets").join(name);
            fs_err::create_dir_all(file.parent().unwrap_or(&directory))?;
            write_durably(&file, bytes)?;
        }
        let counted: Vec<&KeyId> = status
            .counts
            .iter()
            .flat_map(|under| &under.tally.lines)
            .filter(|line| line.standing == Standing::Valid)
            .map(|line| &line.keyid)
            .collect();
        fs_err::create_dir_all(&directory)?;
        write_durably(&directory.join(self.file_name()), &self.with_signatures_of(&counted)?)?;
        Ok(())
    }
}
