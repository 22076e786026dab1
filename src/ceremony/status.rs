//! Where an event stands: who has signed, under whose rules, and what is still missing.
//!
//! A pure function of the event's files and of what has been signed before. Signatures are counted by [`crate::trust`]
//! alone: distinct physical keys, whatever they are called.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::outgoing::{self, Outgoing};
use super::{CeremonyError, EventName, FiledSignature, SigningEvent, Witnessed};
use crate::crypto::{VerifyingKey, sha256};
use crate::fs::{create_durably, remove_leftovers, write_durably};
use crate::metadata::{
    Delegation, Delegations, Document as _, Envelope, KeyId, PublicKey, RoleKeys, RoleName, Root, Targets,
    Unrecognized, Version,
};
use crate::repository::{FamilyCount, FamilyThresholds, RepositoryError, SignedState, WorkingCopy, target_names};
use crate::signers::Signer;
use crate::trust::{Authority, Standing, Tally, TallyLine, tally};

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
    /// Somebody has withdrawn it. Its signatures stay valid.
    Withdrawn,
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
    /// Who witnessed it, once it is finished and somebody must.
    pub witnessed: Option<Witnessed>,
}

type PayloadsAndUnreadable = (Vec<SigningEvent>, Vec<(EventName, String)>);

/// Risks that people accept by name when they finish an event.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AcceptedRisks {
    /// People whose outgoing key is lost or stolen, and so cannot agree to its replacement.
    pub lost: Vec<String>,
    /// Digests of sibling payloads that have been signed and could be completed.
    pub siblings: Vec<String>,
    /// Why it is published although a witness is asked for and has not signed. Finishing asks for no witness.
    pub without_witness: Option<String>,
}

/// The documents that say who may sign an event.
pub(super) struct Delegator {
    pub(super) by: String,
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
    pub(super) fn listed(&self, role: &RoleName) -> impl Iterator<Item = (&KeyId, &PublicKey)> {
        let (keys, role_keys) = self.keys(role).unzip();
        let keyids = role_keys.into_iter().flat_map(|role| &role.keyids);
        keyids.filter_map(move |keyid| Some((keyid, keys?.get(keyid)?)))
    }
}

/// Whether an earlier version of top-level targets delegated to this role.
fn delegated_to_before(signed: &SignedState, role: &RoleName) -> bool {
    signed.all_targets().any(|(_, bytes)| {
        let document = Envelope::parse(bytes).and_then(|envelope| envelope.unverified::<Targets>());
        let delegations = document.ok().and_then(|document| document.delegations);
        delegations.is_some_and(|delegations| delegations.to_role(role.as_str()).is_some())
    })
}

pub(super) fn pairs<'a>(filed: &[&'a FiledSignature]) -> Vec<(&'a str, &'a str)> {
    filed.iter().map(|filed| (filed.keyid.as_str(), filed.sig.as_str())).collect()
}

/// People who are to have another key in a role of root, and whose key of before could sign and has not.
fn outgoing_missing(delegators: &[Delegator], counts: &[Under]) -> BTreeSet<String> {
    let ([before, after], [under_before, _]) = (delegators, counts) else { return BTreeSet::new() };
    let (Source::Root(before), Source::Root(after)) = (&before.source, &after.source) else {
        return BTreeSet::new();
    };
    let signed = |line: &TallyLine| matches!(line.standing, Standing::Valid | Standing::SameKey);
    let lines = &under_before.tally.lines;
    let has_signed =
        |outgoing: &Outgoing| lines.iter().any(|line| signed(line) && outgoing.signs_as.contains(&line.keyid));
    let outgoing = outgoing::of_roots(before, after);
    let missing = outgoing.into_iter().filter(|one| !one.signs_as.is_empty() && !has_signed(one));
    missing.map(|outgoing| outgoing.owner).collect()
}

/// Why a signature over the right payload counts for nothing.
pub(super) fn why_uncounted(standing: Option<Standing>) -> &'static str {
    match standing {
        None => "by a key that may not sign",
        Some(Standing::Missing) => "empty",
        Some(Standing::Invalid) => "not valid",
        Some(_) => "by a key that cannot be used",
    }
}

impl SigningEvent {
    /// Who may sign this event: the delegators that have been signed, and for a root the proposed one itself.
    pub(super) fn delegators(&self, signed: &SignedState) -> Result<Vec<Delegator>, CeremonyError> {
        let not_yet = |before| RepositoryError::NotYet { role: self.role.clone(), before };
        match &self.role {
            RoleName::Root => {
                let proposed: Root = self.envelope.unverified()?;
                let before = signed.roots().rev().map(|(root, _)| root).find(|root| root.version < proposed.version);
                let mut delegators: Vec<Delegator> =
                    before.map(|root| self.of_root(root, "")).transpose()?.into_iter().collect();
                delegators.push(self.of_root(&proposed, " (proposed)")?);
                Ok(delegators)
            }
            RoleName::Targets => {
                let root = signed.root().ok_or_else(|| not_yet(RoleName::Root))?;
                Ok(vec![self.of_root(root, "")?])
            }
            _ => {
                let targets = &signed.targets().ok_or_else(|| not_yet(RoleName::Targets))?.document;
                match self.of_targets(targets)? {
                    Some(delegator) => Ok(vec![delegator]),
                    None if delegated_to_before(signed, &self.role) => {
                        let (role, by) = (self.role.clone(), format!("targets {}", targets.version()));
                        Err(CeremonyError::NoLongerDelegated { role, by })
                    }
                    None => Err(not_yet(RoleName::Targets).into()),
                }
            }
        }
    }

    /// Who may sign this event or could at any time before: what happened then is judged by what held then.
    pub(super) fn delegators_of_all_times(&self, signed: &SignedState) -> Result<Vec<Delegator>, CeremonyError> {
        match &self.role {
            RoleName::Root => self.delegators(signed),
            RoleName::Targets => signed.roots().map(|(root, _)| self.of_root(root, "")).collect(),
            _ => signed.every_targets().filter_map(|targets| self.of_targets(&targets.document).transpose()).collect(),
        }
    }

    /// Who may sign this event; of a role that is no longer delegated to, who could until then. What happened is told by
    /// that, and nothing is finished by it.
    pub(super) fn delegators_then(&self, signed: &SignedState) -> Result<Vec<Delegator>, CeremonyError> {
        match self.delegators(signed) {
            Err(CeremonyError::NoLongerDelegated { .. }) => {
                Ok(self.delegators_of_all_times(signed)?.pop().into_iter().collect())
            }
            delegators => delegators,
        }
    }

    fn of_root(&self, root: &Root, what: &str) -> Result<Delegator, CeremonyError> {
        let by = format!("root {}{what}", root.version);
        let families = self.families(&by, &root.unrecognized)?;
        Ok(Delegator { by, source: Source::Root(Box::new(root.clone())), families })
    }

    /// `None` where it does not delegate to the role.
    fn of_targets(&self, targets: &Targets) -> Result<Option<Delegator>, CeremonyError> {
        let delegations = targets.delegations.as_ref();
        let found = delegations.and_then(|all| Some((all.clone(), all.to_role(self.role.as_str())?)));
        let Some((delegations, delegation)) = found else { return Ok(None) };
        let source = Source::Targets(Box::new(delegations), Box::new(delegation));
        let by = format!("targets {}", targets.version());
        let families = self.families(&by, &targets.unrecognized)?;
        Ok(Some(Delegator { by, source, families }))
    }

    fn families(&self, by: &str, unrecognized: &Unrecognized) -> Result<FamilyThresholds, CeremonyError> {
        FamilyThresholds::recorded_for(unrecognized, &self.role)
            .map_err(|problem| RepositoryError::configuration(by, problem).into())
    }

    /// Where the event stands.
    ///
    /// # Errors
    /// When it cannot be read, or nobody may sign it yet.
    pub fn status(&self, copy: &WorkingCopy, signed: &SignedState) -> Result<Status, CeremonyError> {
        self.delegators(signed)?;
        self.status_told(copy, signed)
    }

    /// The same for telling what happened, also in an event of a role that is no longer delegated to.
    pub(super) fn status_told(&self, copy: &WorkingCopy, signed: &SignedState) -> Result<Status, CeremonyError> {
        let (payloads, unreadable_events) = self.payloads_of_all(copy)?;
        let mut status = self.status_told_among(signed, &payloads, unreadable_events)?;
        if status.state == EventState::Finished {
            status.witnessed = self.witnessed(signed)?;
        }
        Ok(status)
    }

    /// Where the event stands, if these are all payloads that are known.
    pub(super) fn status_among(
        &self,
        signed: &SignedState,
        payloads: &[Self],
        unreadable_events: Vec<(EventName, String)>,
    ) -> Result<Status, CeremonyError> {
        self.delegators(signed)?;
        self.status_told_among(signed, payloads, unreadable_events)
    }

    pub(super) fn status_told_among(
        &self,
        signed: &SignedState,
        payloads: &[Self],
        unreadable_events: Vec<(EventName, String)>,
    ) -> Result<Status, CeremonyError> {
        let delegators = self.delegators_then(signed)?;
        let counts = self.counts_under(&delegators)?;
        let state = match self.finished_as(signed)? {
            Some(same) if same => EventState::Finished,
            Some(_) => EventState::Superseded,
            None if self.withdrawal().is_some() => EventState::Withdrawn,
            None if counts.iter().all(Under::met) => EventState::Complete,
            None => EventState::Open,
        };
        Ok(Status {
            state,
            uncounted: self.uncounted(&delegators, &counts)?,
            siblings: self.siblings(signed, payloads)?,
            unreadable_events,
            outgoing_missing: outgoing_missing(&delegators, &counts),
            witnessed: None,
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

    fn uncounted(&self, delegators: &[Delegator], counts: &[Under]) -> Result<Vec<Uncounted>, CeremonyError> {
        let mut uncounted: Vec<Uncounted> = self
            .unreadable
            .iter()
            .map(|(file, problem)| Uncounted { from: file.clone(), why: format!("unreadable: {problem}") })
            .collect();
        let digest = hex::encode(self.digest());
        let (here, elsewhere): (Vec<&FiledSignature>, Vec<_>) =
            self.signatures.iter().partition(|filed| filed.payload_sha256 == digest);
        let mut seen = BTreeSet::new();
        for (filed, standing) in here.iter().zip(self.standings(delegators, &pairs(&here))?) {
            let in_count = |line: &&TallyLine| line.keyid.as_str() == filed.keyid;
            let counted = counts.iter().flat_map(|under| &under.tally.lines).filter(in_count);
            let why = match standing {
                Some(Standing::Valid) if counted.clone().any(|line| line.standing == Standing::Valid) => {
                    if seen.insert(&filed.keyid) {
                        continue;
                    }
                    "the key has signed this payload twice"
                }
                Some(Standing::Valid) => "the key is counted under another keyid",
                other => why_uncounted(other),
            };
            uncounted.push(Uncounted { from: filed.keyid.clone(), why: why.to_owned() });
        }
        for filed in elsewhere {
            uncounted.push(Uncounted { from: filed.keyid.clone(), why: "over another payload".to_owned() });
        }
        Ok(uncounted)
    }

    /// How each of these signatures over this payload stands with those who may sign it: valid where any of them has the
    /// key under that keyid, and `None` where none knows the keyid.
    ///
    /// # Errors
    /// When the proposal is not JSON, which opening it has ruled out.
    pub(super) fn standings(
        &self,
        delegators: &[Delegator],
        signatures: &[(&str, &str)],
    ) -> Result<Vec<Option<Standing>>, CeremonyError> {
        let mut found = vec![None; signatures.len()];
        let mut left: Vec<usize> = (0..signatures.len()).collect();
        // A document has one signature for each keyid, so those that share one are tried one after the other.
        while !left.is_empty() {
            let (mut now, mut later) = (BTreeMap::new(), Vec::new());
            for index in left {
                let taken = now.insert(signatures[index].0, index);
                later.extend(taken);
            }
            let by_keyid = now.iter().map(|(keyid, index)| (*keyid, signatures[*index].1)).collect();
            let envelope = Envelope::parse(&self.assembled(&by_keyid)?)?;
            for authority in delegators.iter().filter_map(|delegator| delegator.authority(&self.role)) {
                for line in tally(&envelope, authority).lines {
                    let Some(index) = now.get(line.keyid.as_str()) else { continue };
                    let standing = match line.standing {
                        Standing::Valid | Standing::SameKey => Standing::Valid,
                        other => other,
                    };
                    if found[*index] != Some(Standing::Valid) {
                        found[*index] = Some(standing);
                    }
                }
            }
            left = later;
        }
        Ok(found)
    }

    /// The keyids under which a valid signature over a payload of this version lies here.
    pub(super) fn signed_by(
        &self,
        payload_sha256: &str,
        delegators: &[Delegator],
    ) -> Result<BTreeSet<String>, CeremonyError> {
        let Some(payload) = self.every_payload().find(|payload| hex::encode(payload.digest()) == payload_sha256) else {
            return Ok(BTreeSet::new());
        };
        let here: Vec<&FiledSignature> = payload.over_this_payload().collect();
        let standings = payload.standings(delegators, &pairs(&here))?;
        let valid = here.iter().zip(standings).filter(|(_, standing)| *standing == Some(Standing::Valid));
        Ok(valid.map(|(filed, _)| filed.keyid.clone()).collect())
    }

    /// The signatures over this payload, one for each keyid: a valid one, where there is any.
    fn chosen(&self, delegators: &[Delegator]) -> Result<BTreeMap<&str, &str>, CeremonyError> {
        let here: Vec<&FiledSignature> = self.over_this_payload().collect();
        let mut chosen: BTreeMap<&str, &str> =
            here.iter().map(|filed| (filed.keyid.as_str(), filed.sig.as_str())).collect();
        if chosen.len() < here.len() {
            for (filed, standing) in here.iter().zip(self.standings(delegators, &pairs(&here))?) {
                if standing == Some(Standing::Valid) {
                    chosen.insert(&filed.keyid, &filed.sig);
                }
            }
        }
        Ok(chosen)
    }

    /// Counts the signatures of this payload under everybody whose keys must sign it: a root under the root before it
    /// and under itself. Needs no working copy, so that events of other makes can be counted too.
    ///
    /// # Errors
    /// When nobody may sign it yet.
    pub fn counts(&self, signed: &SignedState) -> Result<Vec<Under>, CeremonyError> {
        self.counts_under(&self.delegators(signed)?)
    }

    /// The digests of the signatures that counted: those of valid ones that a count names.
    pub(super) fn counted(
        &self,
        delegators: &[Delegator],
        counts: &[Under],
    ) -> Result<BTreeSet<String>, CeremonyError> {
        let lines = || counts.iter().flat_map(|under| &under.tally.lines);
        let valid = |keyid: &str| lines().any(|line| line.standing == Standing::Valid && line.keyid.as_str() == keyid);
        let chosen = self.chosen(delegators)?;
        let counted = self.over_this_payload().filter(|filed| {
            valid(&filed.keyid) && chosen.get(filed.keyid.as_str()).is_some_and(|sig| *sig == filed.sig)
        });
        Ok(counted.map(FiledSignature::digest).collect())
    }

    pub(super) fn counts_under(&self, delegators: &[Delegator]) -> Result<Vec<Under>, CeremonyError> {
        let envelope = Envelope::parse(&self.assembled(&self.chosen(delegators)?)?)?;
        let count = |delegator: &Delegator| {
            let authority = delegator.authority(&self.role)?;
            let tally = tally(&envelope, authority);
            let families = delegator.families.counts(&tally);
            Some(Under { by: delegator.by.clone(), tally, families })
        };
        Ok(delegators.iter().filter_map(count).collect())
    }

    /// Every payload that lies in a working copy, whatever event it is of; and the events that cannot be read, with why.
    fn payloads_of_all(&self, copy: &WorkingCopy) -> Result<PayloadsAndUnreadable, CeremonyError> {
        let (mut payloads, mut unreadable): (Vec<Self>, Vec<_>) = (self.every_payload().collect(), Vec::new());
        for name in Self::names(copy)?.into_iter().filter(|name| *name != self.name) {
            match Self::open(copy, &name) {
                Ok(other) => payloads.extend(other.every_payload()),
                Err(error) => unreadable.push((name, error.to_string())),
            }
        }
        Ok((payloads, unreadable))
    }

    /// Other payloads for the same version that a key which may sign has signed, or may have signed.
    fn siblings(&self, signed: &SignedState, payloads: &[Self]) -> Result<Vec<Sibling>, CeremonyError> {
        let own = self.digest();
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
            let counts = other.counts_under(&other.delegators_then(signed)?)?;
            if counts.iter().any(|under| under.tally.counted > 0) {
                let digest = hex::encode(other.digest());
                siblings.push(Sibling { digest, event: other.name.clone(), counts });
            }
        }
        Ok(siblings)
    }

    /// The keyids under which the physical key with this fingerprint may sign, with whoever may say so.
    ///
    /// # Errors
    /// When it may not sign this role.
    pub(super) fn keyids_of(
        &self,
        signed: &SignedState,
        spki_sha256: &[u8; 32],
    ) -> Result<BTreeSet<KeyId>, CeremonyError> {
        let delegators = self.delegators(signed)?;
        let same = |(keyid, listed): (&KeyId, &PublicKey)| {
            let key = VerifyingKey::from_metadata(listed).ok()?;
            (sha256(key.canonical_spki()) == *spki_sha256).then(|| keyid.clone())
        };
        let listed = delegators.iter().flat_map(|delegator| delegator.listed(&self.role));
        let keyids: BTreeSet<KeyId> = listed.filter_map(same).collect();
        if keyids.is_empty() { Err(CeremonyError::NotASigner { role: self.role.clone() }) } else { Ok(keyids) }
    }

    /// Checks that a key may sign this: it is listed, and in a rehearsal it is none of what is rehearsed. Whoever keeps in mind
    /// what keys sign for asks this first, so that a key that is refused is not noted.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_signer(&self, signed: &SignedState, canonical_spki: &[u8]) -> Result<(), CeremonyError> {
        if self.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.refuses(canonical_spki)) {
            return Err(CeremonyError::RealKey);
        }
        self.keyids_of(signed, &sha256(canonical_spki)).map(drop)
    }

    /// Signs with a key, under every keyid by which a delegator knows it, and files the signatures. One by this key that
    /// lies here already is left as it is.
    ///
    /// The caller has shown the [`super::Review`] and had it confirmed. Returns the files written.
    ///
    /// # Errors
    /// When the key may not sign this role, or cannot.
    pub fn sign(&mut self, signed: &SignedState, key: &dyn Signer) -> Result<Vec<std::path::PathBuf>, CeremonyError> {
        let filed = self.to_file(signed, key)?;
        filed.into_iter().map(|filed| self.file(filed)).collect()
    }

    /// What [`SigningEvent::sign`] files: signatures made now, or those by this key that lie here already.
    pub(super) fn to_file(&self, signed: &SignedState, key: &dyn Signer) -> Result<Vec<FiledSignature>, CeremonyError> {
        let signatures = self.signatures_by(signed, key)?;
        let here: Vec<&FiledSignature> = self.over_this_payload().collect();
        let standings = self.standings(&self.delegators(signed)?, &pairs(&here))?;
        let valid = here.into_iter().zip(standings).filter(|(_, found)| *found == Some(Standing::Valid));
        let there: BTreeMap<String, FiledSignature> =
            valid.map(|(filed, _)| (filed.keyid.clone(), filed.clone())).collect();
        let payload_sha256 = hex::encode(self.digest());
        let filed = |(keyid, signature): (&KeyId, &Vec<u8>)| {
            let new = FiledSignature {
                payload_sha256: payload_sha256.clone(),
                keyid: keyid.as_str().to_owned(),
                sig: hex::encode(signature),
            };
            there.get(keyid.as_str()).cloned().unwrap_or(new)
        };
        Ok(signatures.iter().map(filed).collect())
    }

    /// A key's signatures over this payload, by every keyid under which a delegator lists it.
    ///
    /// # Errors
    /// When the key may not sign this role, or cannot.
    pub(super) fn signatures_by(
        &self,
        signed: &SignedState,
        key: &dyn Signer,
    ) -> Result<BTreeMap<KeyId, Vec<u8>>, CeremonyError> {
        self.check_signer(signed, key.canonical_spki())?;
        let delegators = self.delegators(signed)?;
        let listed = delegators.iter().flat_map(|delegator| delegator.listed(&self.role));
        let signatures = key.sign_as_listed(&self.role, self.version, self.envelope.signed_bytes(), listed)?;
        if signatures.is_empty() {
            return Err(CeremonyError::NotASigner { role: self.role.clone() });
        }
        Ok(signatures)
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
            EventState::Withdrawn => return Err(CeremonyError::Withdrawn { role, version }),
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
        let expires = self.expires()?;
        if expires.is_past(now) {
            return Err(CeremonyError::Expired { role, version, expires: expires.to_string() });
        }
        self.write_signed(copy, signed, &status)?;
        Ok(version)
    }

    fn write_signed(&self, copy: &WorkingCopy, signed: &SignedState, status: &Status) -> Result<(), CeremonyError> {
        let directory = copy.signed_directory();
        let proposed = if self.role == RoleName::Root { None } else { Some(self.envelope.unverified::<Targets>()?) };
        for (path, bytes) in &self.targets {
            let Some(entry) = proposed.as_ref().and_then(|proposed| proposed.find(path).ok().flatten()) else {
                continue;
            };
            for name in target_names(path, &entry) {
                let file = copy.free_of_links(directory.join("targets").join(name))?;
                let parent = file.parent().unwrap_or(&directory);
                fs_err::create_dir_all(parent)?;
                remove_leftovers(parent);
                write_durably(&file, bytes)?;
            }
        }
        let lines = || status.counts.iter().flat_map(|under| &under.tally.lines);
        let mut counted = self.chosen(&self.delegators(signed)?)?;
        counted
            .retain(|keyid, _| lines().any(|line| line.standing == Standing::Valid && line.keyid.as_str() == *keyid));
        fs_err::create_dir_all(copy.free_of_links(directory.clone())?)?;
        remove_leftovers(&directory);
        let created = create_durably(&directory.join(self.file_name()), &self.assembled(&counted)?)?;
        match self.finished_as(signed)? {
            // Somebody else has finished another event over this version since we looked.
            Some(false) if !created => {
                Err(CeremonyError::Superseded { role: self.role.clone(), version: self.version })
            }
            _ => Ok(()),
        }
    }
}
