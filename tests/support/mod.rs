//! A repository in memory and clients of it, for tests.
//!
//! [`SimRepository`] signs with fixed keys and is told the time; [`Client`] refreshes a real updater over it, a new
//! one each time, as a new process would. There are no sockets, no sleeps and no clock. After every refusal the client
//! compares its cache and its downloads with what they were, byte for byte: see [`State`].

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "every user takes its own part of this"
)]

mod client;
mod keys;
#[cfg(feature = "maintainer")]
mod registry;
mod repository;
mod shelf;
mod state;
#[cfg(all(unix, feature = "client"))]
pub mod verified_index;

pub use client::{Client, block_on, refusal_of};
pub use keys::Key;
#[cfg(feature = "maintainer")]
pub use registry::{OPPY, Registry, files};
pub use repository::{SimRepository, Snapshots};
pub use shelf::{Answer, BASE, LOCAL, Shelf};
pub use state::State;
