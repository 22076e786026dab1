//! Why a signing event cannot go on.

use std::io;

use super::InvitationError;
use crate::crypto::SigningError;
use crate::metadata::{FormatError, RoleName, Version};
use crate::printable::{Printable, PrintableLines};
use crate::repository::{FamilyCount, RepositoryError};
use crate::signers::SignerError;
use crate::trust::Tally;

/// Why a signing event cannot go on. Nothing has been signed or written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The working copy cannot be used.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(io::Error),
    /// There is no such event.
    #[error("there is no signing event `{name}`")]
    NoEvent {
        /// Its name.
        name: String,
    },
    /// The event's files cannot be read.
    #[error("the signing event `{event}` cannot be used: {}", PrintableLines(.problem))]
    Malformed {
        /// The event.
        event: String,
        /// What is wrong.
        problem: String,
    },
    /// A merge left a conflict in the proposal.
    #[error("the signing event `{event}` has two proposals of {role}: `proposal.json` holds the conflict of a merge")]
    Undecided {
        /// The event.
        event: String,
        /// The role.
        role: RoleName,
    },
    /// The namespace's role is no longer delegated to, so nobody can sign for it.
    #[error("{role} is no longer delegated to by {by}: nobody can sign for it")]
    NoLongerDelegated {
        /// The role.
        role: RoleName,
        /// The document that delegates, with its version.
        by: String,
    },
    /// The file is not a request, or not one that is taken.
    #[error("this is not a request that is taken: {}", Printable(.problem))]
    MalformedRequest {
        /// What is wrong with it. It may quote the file, and is escaped when displayed.
        problem: String,
    },
    /// The request does not have the digest that its first line gives.
    #[error("the request is damaged: it does not have the digest that its first line gives")]
    DamagedRequest,
    /// The proposal is not TUF metadata.
    #[error("the proposal cannot be read: {0}")]
    Proposal(#[from] FormatError),
    /// The event belongs to another repository.
    #[error("the signing event is for the repository with the first root {}, not for this one ({expected})", Printable(.offered))]
    OtherRepository {
        /// The digest of the first root that the event names.
        offered: String,
        /// The digest of this repository's.
        expected: String,
    },
    /// The working copy, or the request, does not hold the root that the signer trusts.
    #[error("the root with the SHA-256 {pin} is not in this {place}'s chain of roots")]
    PinNotInChain {
        /// `working copy` or `request`.
        place: &'static str,
        /// The digest that the signer trusts.
        pin: String,
    },
    /// The signer named no root to trust.
    #[error("without a root that you trust, nothing tells what lies here from something forged")]
    NoPin,
    /// The proposal breaks rules that signing must not help to break.
    #[error("the proposal breaks a rule: {}", PrintableLines(&.problems.join("; ")))]
    BreaksRules {
        /// What is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// The key may not sign this role, neither by the version before nor by the proposed one.
    #[error("this key may not sign {role}")]
    NotASigner {
        /// The role.
        role: RoleName,
    },
    /// A key of the real repository, in a rehearsal of it.
    #[error("this is a rehearsal, and the key is one of the real repository's")]
    RealKey,
    /// The words or the digest that confirm do not belong to this payload.
    #[error("that does not belong to this payload: nothing is signed")]
    NotConfirmed,
    /// Not enough keys have signed.
    #[error("{role} {version} is signed by {} of the {} keys it needs under {by}", .tally.counted, .tally.needed)]
    TooFewSignatures {
        /// The role.
        role: RoleName,
        /// Its proposed version.
        version: Version,
        /// Who asks for them.
        by: String,
        /// Who signed.
        tally: Tally,
    },
    /// Enough keys have signed, but too few of one family.
    #[error(
        "{role} {version} is signed by {} of the {} {} keys it needs under {by}",
        .count.counted, .count.needed, .count.family,
    )]
    TooFewOfFamily {
        /// The role.
        role: RoleName,
        /// Its version.
        version: Version,
        /// Who asks for them.
        by: String,
        /// The family, and who signed.
        count: FamilyCount,
    },
    /// Somebody's key is replaced, and the outgoing key has not agreed.
    #[error("{} changes keys, and the outgoing key has not signed", Printable(.owner))]
    OutgoingKeyMissing {
        /// Who changes keys.
        owner: String,
    },
    /// Another payload for the same version has been signed, and could still be completed.
    #[error(
        "another {role} {version} has been signed, with the payload {digest}; who completes it can use it for ever"
    )]
    Sibling {
        /// The role.
        role: RoleName,
        /// The version.
        version: Version,
        /// The SHA-256 of the other payload.
        digest: String,
    },
    /// An event that could hold another payload for this version cannot be read.
    #[error("the signing event {event} cannot be read, so what it holds for this role is unknown: {}", PrintableLines(.problem))]
    UnreadableEvent {
        /// The event.
        event: String,
        /// Why.
        problem: String,
    },
    /// The event has been finished.
    #[error("{role} {version} has been finished: there is nothing left to sign")]
    Finished {
        /// The role.
        role: RoleName,
        /// The version.
        version: Version,
    },
    /// What is proposed is no longer the next version.
    #[error("{role} {version} has been signed already, with another payload")]
    Superseded {
        /// The role.
        role: RoleName,
        /// The version.
        version: Version,
    },
    /// The payload has been withdrawn.
    #[error("{role} {version} has been withdrawn: it is not signed any further")]
    Withdrawn {
        /// The role.
        role: RoleName,
        /// The version.
        version: Version,
    },
    /// The proposal would be expired when it is finished.
    #[error("{role} {version} has expired on {expires}: start the event again")]
    Expired {
        /// The role.
        role: RoleName,
        /// The version.
        version: Version,
        /// When.
        expires: String,
    },
    /// The key is not one of a witness that this event asks for.
    #[error("this key may not witness {role}")]
    NotAWitness {
        /// The role.
        role: RoleName,
    },
    /// Something in the transcript does not verify, so nobody should vouch for it.
    #[error("the transcript of {event} does not verify: {}", PrintableLines(&.findings.join("; ")))]
    NotVerified {
        /// The event.
        event: String,
        /// What does not, one sentence each.
        findings: Vec<String>,
    },
    /// A witness is asked for, and has not signed everything that happened.
    #[error("{role} {version} is witnessed by {counted} of the {needed} keys it needs{}", late(*.after))]
    NotWitnessed {
        /// The role.
        role: RoleName,
        /// The version.
        version: Version,
        /// How many witnesses must have signed.
        needed: u64,
        /// How many did, after everything that happened.
        counted: u64,
        /// How many signed before something else happened.
        after: u64,
    },
    /// An invitation, an answer to it or a voucher's word is not taken.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The key could not sign.
    #[error("the key could not sign: {0}")]
    Signing(#[from] SignerError),
}

impl CeremonyError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Repository(error) => error.code(),
            Self::Io(_) => "io",
            Self::NoEvent { .. } => "no-event",
            Self::Malformed { .. } => "malformed-event",
            Self::Undecided { .. } => "undecided-event",
            Self::NoLongerDelegated { .. } => "no-longer-delegated",
            Self::MalformedRequest { .. } => "malformed-request",
            Self::DamagedRequest => "damaged-request",
            Self::Proposal(_) => "malformed",
            Self::OtherRepository { .. } => "other-repository",
            Self::PinNotInChain { .. } => "pin-not-in-chain",
            Self::NoPin => "no-pin",
            Self::BreaksRules { .. } => "breaks-rules",
            Self::NotASigner { .. } => "not-a-signer",
            Self::RealKey => "real-key",
            Self::NotConfirmed => "not-confirmed",
            Self::TooFewSignatures { .. } => "too-few-signatures",
            Self::TooFewOfFamily { .. } => "too-few-of-family",
            Self::OutgoingKeyMissing { .. } => "outgoing-key-missing",
            Self::Sibling { .. } => "sibling",
            Self::UnreadableEvent { .. } => "unreadable-event",
            Self::Finished { .. } => "finished",
            Self::Superseded { .. } => "superseded",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Expired { .. } => "expired",
            Self::NotAWitness { .. } => "not-a-witness",
            Self::NotVerified { .. } => "transcript-not-verified",
            Self::NotWitnessed { .. } => "not-witnessed",
            Self::Invitation(error) => error.code(),
            Self::Signing(error) => error.code(),
        }
    }

    /// Whether it is a no, as opposed to a wrong question or a file that could not be read.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::PinNotInChain { .. }
                | Self::Undecided { .. }
                | Self::NoLongerDelegated { .. }
                | Self::MalformedRequest { .. }
                | Self::DamagedRequest
                | Self::OtherRepository { .. }
                | Self::BreaksRules { .. }
                | Self::NotASigner { .. }
                | Self::RealKey
                | Self::NotConfirmed
                | Self::Invitation(_)
                | Self::TooFewSignatures { .. }
                | Self::TooFewOfFamily { .. }
                | Self::OutgoingKeyMissing { .. }
                | Self::Sibling { .. }
                | Self::UnreadableEvent { .. }
                | Self::Finished { .. }
                | Self::Superseded { .. }
                | Self::Withdrawn { .. }
                | Self::Expired { .. }
                | Self::NotAWitness { .. }
                | Self::NotVerified { .. }
                | Self::NotWitnessed { .. }
        )
    }
}

/// What became of witnesses who signed too early.
fn late(after: u64) -> String {
    match after {
        0 => String::new(),
        1 => "; 1 signed before something else happened".to_owned(),
        n => format!("; {n} signed before something else happened"),
    }
}

impl From<SigningError> for CeremonyError {
    fn from(error: SigningError) -> Self {
        SignerError::from(error).into()
    }
}

impl From<io::Error> for CeremonyError {
    fn from(error: io::Error) -> Self {
        // Which tells the kinds of them apart.
        match RepositoryError::from(error) {
            RepositoryError::Io(error) => Self::Io(error),
            error => Self::Repository(error),
        }
    }
}
