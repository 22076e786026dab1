//! An event whose ground moved while signatures were collected: another version was finished, a root came in between, a
//! namespace signed, somebody edited the configuration.
//!
//! What decides is the payload. Where today's proposal is the one that was signed for, byte for byte, the signatures stay;
//! else they are over something else, and there is no way to carry them over.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::diff::{self, Change, Mark};
use super::review::{LONGEST_COMPARED, read};
use super::{CeremonyError, EventName, EventState, SigningEvent};
use crate::crypto::sha256;
use crate::metadata::{Envelope, RoleName, Root, TargetPath};
use crate::repository::{FAMILY_THRESHOLDS, Proposal, SignedState, WITNESSES, WorkingCopy};

/// An event over what is signed and configured now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rebased {
    /// The event, as it lies now.
    pub event: SigningEvent,
    /// What is otherwise than in the earlier proposal; `None` where the payload is the same, and every signature stays.
    pub moved: Option<Vec<Change>>,
    /// How many files of signatures were over the payload before.
    pub signatures: usize,
}

impl SigningEvent {
    /// Proposes what is signed and configured now, under the same name. Where nothing has moved, nothing is written.
    ///
    /// The time until which the proposal is good stays, unless that has passed: otherwise each run would make another
    /// payload.
    ///
    /// # Errors
    /// When the event is finished or withdrawn, or there is nothing to propose.
    pub fn rebase(
        copy: &WorkingCopy,
        signed: &SignedState,
        name: &EventName,
        now: DateTime<Utc>,
    ) -> Result<Rebased, CeremonyError> {
        let event = Self::read(copy, name)?;
        let (role, version) = (event.role.clone(), event.version);
        match event.status(copy, signed)?.state {
            EventState::Finished => return Err(CeremonyError::Finished { role, version }),
            EventState::Withdrawn => return Err(CeremonyError::Withdrawn { role, version }),
            _ => {}
        }
        let signatures = event.over_this_payload().count();
        let (proposal, same) = event.proposed_now(copy, signed, now)?;
        if same && event.is_whole() {
            return Ok(Rebased { event, moved: None, signatures });
        }
        let rebased = Self::start(copy, signed, &proposal, name)?;
        let moved = if same { None } else { Some(rebased.moved_from(&event)?) };
        Ok(Rebased { event: rebased, moved, signatures })
    }

    /// Whether what is signed or configured has moved since this was proposed.
    ///
    /// # Errors
    /// When there is nothing to propose now.
    pub fn has_moved(
        &self,
        copy: &WorkingCopy,
        signed: &SignedState,
        now: DateTime<Utc>,
    ) -> Result<bool, CeremonyError> {
        Ok(!self.proposed_now(copy, signed, now)?.1)
    }

    /// What would be proposed now, and whether that is this payload.
    fn proposed_now(
        &self,
        copy: &WorkingCopy,
        signed: &SignedState,
        now: DateTime<Utc>,
    ) -> Result<(Proposal, bool), CeremonyError> {
        let proposal = Proposal::of(copy, signed, &self.role, now)?;
        let expires = self.expires()?;
        let outlives =
            signed.root().is_some_and(|root| self.role != RoleName::Root && expires.time() > root.expires.time());
        if expires.is_past(now) || outlives {
            return Ok((proposal, false));
        }
        let proposal = proposal.good_until(&expires);
        let same = Envelope::parse(&proposal.document)?.signed_bytes() == self.envelope.signed_bytes();
        Ok((proposal, same))
    }

    /// What is otherwise than in an earlier proposal of this event.
    fn moved_from(&self, earlier: &Self) -> Result<Vec<Change>, CeremonyError> {
        let mut changes = Vec::new();
        if self.version != earlier.version {
            changes.push(Change::new(Mark::Changed, format!("version: {} -> {}", earlier.version, self.version)));
        }
        let (old, new) = (earlier.expires()?, self.expires()?);
        if old != new {
            changes.push(Change::new(Mark::Changed, format!("expires: {old} -> {new}")));
        }
        if self.role == RoleName::Root {
            let (old, new): (Root, Root) = (earlier.envelope.unverified()?, self.envelope.unverified()?);
            changes.extend(
                diff::roots(Some(&old), &new, &|_| None).into_iter().filter(|change| change.mark != Mark::Same),
            );
        }
        // Of a role's keys the lines above have said everything; of delegations nothing has been said.
        changes.extend(match self.role {
            RoleName::Root => {
                self.raw_changes(Some(&earlier.document), &["expires", "version", FAMILY_THRESHOLDS, WITNESSES])
            }
            _ => self.changes_of_document(&earlier.document, &["expires", "version", "targets"]),
        });
        let paths: BTreeSet<&TargetPath> = earlier.targets.keys().chain(self.targets.keys()).collect();
        for path in paths {
            let (old, new) = (earlier.targets.get(path), self.targets.get(path));
            let (mark, what) = match (old, new) {
                (Some(old), Some(new)) if old == new => continue,
                (Some(_), Some(_)) => (Mark::Changed, "otherwise than before"),
                (None, _) => (Mark::Added, "new"),
                (_, None) => (Mark::Removed, "no longer there"),
            };
            let digest = new.or(old).map(|bytes| hex::encode(sha256(bytes))).unwrap_or_default();
            changes.push(Change::new(mark, format!("file {path}: {what}, SHA-256 {digest}")));
            let content = |bytes: Option<&Vec<u8>>| {
                bytes.filter(|bytes| bytes.len() as u64 <= LONGEST_COMPARED).and_then(|bytes| read(bytes))
            };
            changes.extend(diff::raw("  ", content(old).as_ref(), content(new).as_ref()));
        }
        Ok(changes)
    }
}
