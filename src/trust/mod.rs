//! The client workflow as values: who may sign what, and what follows from it. No I/O, no clock.
//!
//! Start at [`Update`], which says what to fetch and receives bytes, or at [`ExpectRoot`], the first of the
//! states that it drives. [`verify`] is the one place where signatures are counted.

mod delegation_walk;
mod received;
mod refusal;
mod root_policy;
mod threshold;
mod trusted_set;
mod verified;
mod verified_before;
mod workflow;

pub use delegation_walk::{DelegationWalk, FoundTarget};
pub use received::{Received, Receiving};
pub use refusal::Refusal;
pub use root_policy::RootPolicy;
pub use threshold::{Authority, Standing, Tally, TallyLine, have_signers_in_common, tally, verify};
pub use trusted_set::{ExpectRoot, ExpectSnapshot, ExpectTargets, ExpectTimestamp, Recalled, TrustedSet, UpdateStart};
pub use verified::Verified;
#[cfg(feature = "client")]
pub(crate) use verified_before::{Basis, ChainBefore, VerifiedBefore};
pub use workflow::{Accepted, Connectivity, Limits, LocalFile, Request, Step, Update};
