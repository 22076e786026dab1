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
mod request;
mod response;
mod review;
mod rules;
mod status;
mod wording;
mod words;

use crate::metadata::Root;

pub use calendar::{Deadline, Pace, Urgency};
pub use collect::{Collected, Fate, files_to_collect};
pub use diff::{Change, Mark};
pub use error::CeremonyError;
pub use event::{EventName, FiledSignature, SigningEvent, Withdrawal};
pub use request::{REQUEST_MEDIA_TYPE, Request};
pub use response::{RESPONSE_MEDIA_TYPE, Response};
pub use review::Review;
pub use rules::Keys;
pub use status::{AcceptedRisks, EventState, Sibling, Status, Uncounted, Under};
pub use words::{Challenge, digest_groups, digest_words};

/// Returns which keys gain or lose which role from one root to another, and how thresholds change.
pub fn root_changes(old: &Root, new: &Root) -> Vec<Change> {
    diff::roots(Some(old), new, &|_| None).into_iter().filter(|change| change.mark != Mark::Same).collect()
}
