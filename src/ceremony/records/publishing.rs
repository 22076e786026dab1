//! What is asked again before a document is published: whether witnesses signed everything that happened, and whether
//! another payload of the same version could still be completed. Files may have changed since the event was finished.

use std::collections::{BTreeMap, BTreeSet};

use super::signature::fingerprint;
use super::{StepKind, Transcript};
use crate::ceremony::{AcceptedRisks, CeremonyError, EventName, SigningEvent};
use crate::crypto::sha256;
use crate::metadata::{Envelope, RoleName, Root, Version};
use crate::repository::{RepositoryError, SignedState, Witnesses, WorkingCopy};

/// Who witnessed an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witnessed {
    /// How many distinct keys must have signed.
    pub needed: u64,
    /// Who signed everything that happened: owners as root has them, and fingerprints.
    pub by: Vec<(String, String)>,
    /// Who signed before something else happened, or before the event was finished.
    pub early: Vec<(String, String)>,
    /// Whose keys may witness and have not signed.
    pub missing: Vec<(String, String)>,
}

impl Witnessed {
    /// Whether enough did.
    pub fn met(&self) -> bool {
        self.by.len() as u64 >= self.needed
    }
}

impl SigningEvent {
    /// Who must witness this event, by the root before it; of a first root by itself.
    pub(super) fn witnesses_asked(&self, signed: &SignedState) -> Result<Option<Witnesses>, CeremonyError> {
        let before = match self.role {
            RoleName::Root => signed.roots().rev().map(|(root, _)| &**root).find(|root| root.version < self.version),
            _ => signed.root().map(|root| &**root),
        };
        let proposed: Root;
        let root = match before {
            Some(root) => root,
            None if self.role == RoleName::Root => {
                proposed = self.envelope.unverified()?;
                &proposed
            }
            None => return Ok(None),
        };
        let asked = Witnesses::recorded(&root.unrecognized)
            .map_err(|problem| RepositoryError::configuration(format!("root {}", root.version), problem))?;
        Ok(asked.filter(|asked| asked.roles.contains(&self.role)))
    }

    /// Who witnessed this event; `None` where nobody must.
    ///
    /// A witness has signed everything that happened if their record follows every other one, but for those of other
    /// witnesses and of publishing, and among them the one that says that this payload was finished.
    ///
    /// # Errors
    /// When the records, or what root says of witnesses, cannot be read.
    pub fn witnessed(&self, signed: &SignedState) -> Result<Option<Witnessed>, CeremonyError> {
        let Some(asked) = self.witnesses_asked(signed)? else { return Ok(None) };
        let transcript = self.transcript()?;
        let own = hex::encode(self.digest());
        let whole = transcript.unreadable.is_empty() && transcript.unread == 0;
        let steps: BTreeSet<&str> = transcript
            .records
            .iter()
            .filter(|(_, filed)| !filed.record.is(StepKind::Witness) && !filed.record.is(StepKind::Publish))
            .map(|(digest, _)| digest.as_str())
            .collect();
        let (mut covering, mut early) = (BTreeSet::new(), BTreeSet::new());
        for (digest, filed) in &transcript.records {
            let Some(key) = filed.record.key.as_ref().filter(|_| filed.record.is(StepKind::Witness)) else { continue };
            if filed.record.payload_sha256 != own || !filed.is_signed_by(key, &asked.keys) {
                continue;
            }
            let seen = transcript.with_what_it_follows(digest);
            let finished = seen.iter().any(|seen| {
                let record = &transcript.records[*seen].record;
                record.is(StepKind::Finish) && record.payload_sha256 == own
            });
            let all = whole && finished && steps.is_subset(&seen);
            if all {
                covering.insert(key.as_str())
            } else {
                early.insert(key.as_str())
            };
        }
        let mut witnessed =
            Witnessed { needed: asked.threshold, by: Vec::new(), early: Vec::new(), missing: Vec::new() };
        for listed in asked.physical().into_values() {
            let Some(key) = fingerprint(listed) else { continue };
            let list = match key.as_str() {
                key if covering.contains(key) => &mut witnessed.by,
                key if early.contains(key) => &mut witnessed.early,
                _ => &mut witnessed.missing,
            };
            list.push((listed.owner().unwrap_or("nobody named").to_owned(), key));
        }
        Ok(Some(witnessed))
    }
}

/// Judges documents that are about to be published for the first time, and returns the events that they come from; one of
/// which there is no event has none.
///
/// # Errors
/// When a witness is asked for and has not signed everything that happened; when another payload of the same version has
/// signatures; or when an event that could hold one cannot be read. Each but the last can be accepted by name.
pub fn may_publish(
    copy: &WorkingCopy,
    signed: &SignedState,
    documents: &[(RoleName, Version)],
    accepted: &AcceptedRisks,
) -> Result<Vec<SigningEvent>, CeremonyError> {
    let (mut payloads, mut unreadable) = (Vec::new(), Vec::new());
    // Where nothing is new, as every night, no event is opened.
    let names = if documents.is_empty() { Vec::new() } else { SigningEvent::names(copy)? };
    for name in names {
        match SigningEvent::open(copy, &name) {
            Ok(event) => payloads.extend(event.every_payload()),
            Err(error) => unreadable.push((name, error.to_string())),
        }
    }
    let mut events = Vec::new();
    for (role, version) in documents {
        let bytes = signed.bytes(role, *version)?;
        let document = SigningEvent::of_document(&EventName::of(role, *version), role, &bytes, BTreeMap::new())?;
        let status = document.status_among(signed, &payloads, unreadable.clone())?;
        let sibling = status.siblings.iter().find(|sibling| !accepted.siblings.contains(&sibling.digest));
        if let Some(sibling) = sibling {
            let (role, version, digest) = (role.clone(), *version, sibling.digest.clone());
            return Err(CeremonyError::Sibling { role, version, digest });
        }
        if let Some((event, problem)) = status.unreadable_events.first() {
            let (event, problem) = (event.as_str().to_owned(), problem.clone());
            return Err(CeremonyError::UnreadableEvent { event, problem });
        }
        let here = |payload: &&SigningEvent| payload.role == *role && payload.digest() == document.digest();
        let mut found: Vec<&SigningEvent> = payloads.iter().filter(here).collect();
        found.sort_by_key(|event| !event.transcript().is_ok_and(|transcript| !transcript.is_empty()));
        let event = found.first();
        if accepted.without_witness.is_none() {
            check_witnessed(event.copied().unwrap_or(&document), signed)?;
        }
        events.extend(event.copied().cloned());
    }
    Ok(events)
}

/// The events of these documents whose transcripts do not tell of a publication: a run that published them may have been
/// interrupted before it could say so. Events that cannot be read are passed over.
pub fn events_without_publication(
    copy: &WorkingCopy,
    signed: &SignedState,
    documents: &[(RoleName, Version)],
) -> Vec<SigningEvent> {
    let digest = |(role, version): &(RoleName, Version)| {
        let bytes = signed.bytes(role, *version).ok()?;
        Some((role.clone(), sha256(Envelope::parse(&bytes).ok()?.signed_bytes())))
    };
    let published: BTreeSet<(RoleName, [u8; 32])> = documents.iter().filter_map(digest).collect();
    let mut found = Vec::new();
    for name in SigningEvent::names(copy).unwrap_or_default() {
        let directory = copy.events_directory().join(name.as_str());
        let untold = |transcript: &Transcript| {
            transcript.of_kind(StepKind::Finish).next().is_some()
                && transcript.of_kind(StepKind::Publish).next().is_none()
        };
        if Transcript::read(&directory).is_ok_and(|transcript| untold(&transcript))
            && let Ok(event) = SigningEvent::open(copy, &name)
        {
            let is_there = |event: &SigningEvent| published.contains(&(event.role.clone(), event.digest()));
            found.extend(event.every_payload().find(is_there));
        }
    }
    found
}

fn check_witnessed(event: &SigningEvent, signed: &SignedState) -> Result<(), CeremonyError> {
    match event.witnessed(signed)? {
        Some(witnessed) if !witnessed.met() => Err(CeremonyError::NotWitnessed {
            role: event.role.clone(),
            version: event.version,
            needed: witnessed.needed,
            counted: witnessed.by.len() as u64,
            after: witnessed.early.len() as u64,
        }),
        _ => Ok(()),
    }
}
