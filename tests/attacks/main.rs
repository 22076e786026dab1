//! Attacks on the client: those that the TUF specification names (section 1.5.2), and those that have hit real
//! clients.
//!
//! One test, one attack. Its name is the promise; it ends with what was refused and what did not change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod agreed_builder_map;
mod arbitrary_answers;
mod arbitrary_software;
mod builder_map;
mod bundle;
mod classical_roots;
mod concurrent_updates;
mod consensus;
mod damaged_cache;
mod decompression_bombs;
mod delegation_graphs;
mod endless_data;
mod example_keys;
mod extraneous_dependencies;
mod fast_forward;
mod field_compatibility;
mod hostile_documents;
mod hostile_names;
mod http;
mod indefinite_freeze;
mod malicious_mirrors;
mod mix_and_match;
mod one_key_counted_twice;
mod partial_failure;
mod role_confusion;
mod rollback;
mod rsa;
mod slow_retrieval;
mod unusable_keys;
#[cfg(unix)]
mod verified_chain;
mod verified_index;
mod vulnerability_to_key_compromise;
mod wrong_software_installation;
