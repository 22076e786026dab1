//! Publishes what has been signed to a directory that a web server serves.
//!
//! The online keys sign which versions belong together (snapshot) and what is current (timestamp). Before anything is
//! written, real clients upgrade to the result: one that knows the published state, and one from each root that there
//! ever was. Then what never changes is created, and `timestamp.json`, the one file that points at the rest, is
//! replaced last. A run that was interrupted is simply run again.
//!
//! The directory, and whatever serves it, is trusted with availability and with nothing else.

mod apply;
mod dry_run;
mod error;
mod last;
mod online;
mod plan;

pub use apply::Applied;
pub use dry_run::{Proof, audit};
pub use error::PublishError;
pub use last::{LastPublished, OnlineRole};
pub use plan::{PlannedObject, PublishPlan, Writes};
