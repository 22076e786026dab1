//! Attacks on signing events and on publishing, and mistakes that must not cost anything.
//!
//! One test, one attack. Its name is the promise; it ends with what was refused and what did not change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/realdata.rs"]
mod realdata;
#[path = "../support/mod.rs"]
mod support;

mod air_gap;
mod collecting;
mod counting;
#[cfg(feature = "aws-lc")]
mod families;
mod forged_lines;
mod gate;
#[cfg(unix)]
mod hostile_files;
mod import;
mod informed_signing;
mod invitation;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod killed;
mod mistakes;
mod publishing;
#[cfg(feature = "cli")]
mod registered_keys;
mod rehearsal;
mod rules;
#[cfg(all(unix, feature = "cli"))]
mod terminal;
mod transcript;
