//! Distributes the keys that software supply chains stand on, and checks attestations with them.
//!
//! A verifier pins the root of a TUF repository once. From then on this crate brings it the keys that the
//! repository's maintainers signed for, in a way that whoever controls the network, a mirror, the storage or *some* of
//! the signing keys can neither replace, roll back, freeze nor mix.
//!
//! # Where to start
//!
//! - To fetch: [`client::Updater`].
//! - To embed the decisions without the I/O: [`trust::Update`], which says what to fetch and receives bytes.
//! - To read the map from builders to keys and levels: [`builders`].
//! - To check an attestation: [`verify`].
//! - To see how trust is decided: [`trust::verify`], the one place where signatures are counted.
//! - To maintain a repository: `repository::WorkingCopy`, `ceremony::SigningEvent`, `publish::PublishPlan`.
//! - To sign with keys that are in no file: `signers::Signer`.
//!
//! # Layers
//!
//! ```text
//! ceremony  publish       signing events; publishing, proved by real clients
//!   |  \    /   \
//!   | repository  client  the maintainer's working copy; fetches, and keeps what is trusted
//!         \      /
//! trust    builders, verify   the client workflow; the builder map; attestations. Pure
//!     \    /
//!     crypto              digests, one signature, one key
//!        |
//!     metadata           documents as data: parsing never implies trust
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` (default) | the `trustroot` command |
//! | `maintainer` | `repository`, `signers`, `ceremony`, `publish`: the other side of the client |
//! | `pkcs11` | `signers::Token`: keys in tokens and HSMs |
//! | `kms-aws` | `signers::AwsKmsSigner`: keys in AWS KMS |
//! | `client` | `client`: HTTP, `file://`, local cache |
//! | `aws-lc` (default) | the aws-lc-rs back end |
//! | `ring` | the ring back end, which serves where `aws-lc` is off: no ML-DSA, no P-521 |
//!
//! Without `client` the crate does no I/O and needs no async runtime.

pub mod builders;
#[cfg(feature = "maintainer")]
pub mod ceremony;
#[cfg(feature = "client")]
pub mod client;
pub mod crypto;
pub mod example_keys;
#[cfg(feature = "client")]
mod fs;
mod input;
#[cfg(feature = "maintainer")]
pub mod key_attestation;
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "the client alone keeps outlines"))]
pub mod metadata;
mod printable;
#[cfg(feature = "maintainer")]
pub mod publish;
#[cfg(feature = "maintainer")]
pub mod repository;
#[cfg(feature = "maintainer")]
pub mod serve;
#[cfg(feature = "maintainer")]
pub mod signers;
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "the client alone takes what was verified before"))]
pub mod trust;
pub mod verify;

pub use printable::{Line, Named, Printable, Quoted};

/// The snippets of the guide are compiled as tests.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../docs/guides/embed-the-client.md")]
mod embed_the_client {}
