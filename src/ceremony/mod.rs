//! Signing events: how a threshold of people come to sign the next version of a role, knowing what they sign.
//!
//! An event is a directory of files, so it travels by git, stick or mail alike. Each signature is a file of its own,
//! named by the payload's digest and the key: order never matters, merges never conflict, and changing the proposal
//! visibly voids what was collected. What is shown to a signer is computed here, from the last signed version and the
//! proposed bytes; no text of the proposer's is shown as anything but proposed.

mod calendar;
mod collect;
mod diff;
mod error;
mod event;
mod introductions;
mod invitation;
mod outgoing;
mod outlook;
mod rebase;
mod records;
mod rehearsal;
mod request;
mod response;
mod review;
mod status;
mod wording;
mod words;

use crate::metadata::Root;

pub use crate::repository::Keys;
pub use calendar::{Deadline, Pace, Urgency};
pub use collect::{Collected, Fate, files_to_collect};
pub use diff::{Change, Mark};
pub use error::CeremonyError;
pub use event::{EventName, FiledSignature, SigningEvent, Withdrawal};
pub use introductions::{Admitted, admit, invite};
pub use invitation::{
    ANSWER_MEDIA_TYPE, Answer, INVITATION_MEDIA_TYPE, Invitation, InvitationError, VOUCH_MEDIA_TYPE, Vouch,
};
pub use outlook::Outlook;
pub use rebase::Rebased;
pub use records::{
    Circumstances, Deviation, FiledRecord, Finding, LedgerEntry, NamedDigest, RECORD_MEDIA_TYPE, Record,
    RecordSignature, RecordSignatures, RecordedFamily, RecordedTally, Replay, ReplayedStep, StepKind, Transcript,
    Witnessed, events_without_publication, may_publish,
};
pub use rehearsal::{Rehearsed, StandIn, rehearse};
pub use request::{REQUEST_MEDIA_TYPE, Request};
pub use response::{RESPONSE_MEDIA_TYPE, Response};
pub use review::Review;
pub use status::{AcceptedRisks, EventState, Sibling, Status, Uncounted, Under};
pub use words::{Challenge, digest_groups, digest_words};

/// Returns which keys gain or lose which role from one root to another, and how thresholds change.
pub fn root_changes(old: &Root, new: &Root) -> Vec<Change> {
    diff::roots(Some(old), new, &|_| None).into_iter().filter(|change| change.mark != Mark::Same).collect()
}
