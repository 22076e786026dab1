//! Keys that are not in a file: what every signer promises, and what hostile or broken ones may not do.
//!
//! What a signer gives is used only where it is this key's signature over this payload, and nothing that goes wrong
//! changes a file or says a secret.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "aws-lc")]
#[path = "../support/realdata.rs"]
mod realdata;
#[path = "../support/mod.rs"]
mod support;

#[cfg(all(feature = "kms-aws", feature = "aws-lc"))]
mod aws_kms;
mod exec;
#[cfg(feature = "aws-lc")]
mod key_attestation;
#[cfg(all(feature = "kms-aws", feature = "aws-lc"))]
mod kms_server;
#[cfg(all(unix, feature = "pkcs11"))]
mod pkcs11;
mod promises;
#[cfg(unix)]
mod ssh_agent;
