//! State that cannot be lost: updates that fail or are killed at any operation, many processes at once, clocks that are
//! wrong, notes that are damaged, and mirrors that do not answer.
//!
//! The next update works, and trust never goes back. `faults` disturbs operations of a store, `system_calls` those of the real
//! command on files, `disks` has real ones that are full or read only.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod clock_and_notes;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod disks;
mod faults;
#[cfg(all(unix, feature = "cli"))]
mod indexed_pins;
mod mirrors;
#[cfg(feature = "cli")]
mod processes;
mod resume;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod system_calls;
