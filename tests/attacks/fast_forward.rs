//! Fast-forward attack: stolen keys push versions absurdly high, so that honest files look like a rollback. Rotating
//! the keys must bring clients back.

use insta::assert_snapshot;

use crate::support::{Client, SimRepository, refusal_of};

const ABSURD: u64 = 1 << 62;

/// A client that has taken absurd versions of these roles.
fn fast_forwarded(roles: &[&str]) -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    for role in roles {
        repository.set_version(role, ABSURD);
    }
    repository.publish();
    client.refresh().unwrap();
    (repository, client)
}

#[test]
fn rotating_the_timestamp_key_recovers_from_an_absurd_timestamp() {
    let (mut repository, mut client) = fast_forwarded(&["timestamp"]);
    assert_eq!(client.trusted_version("timestamp"), Some(ABSURD + 1));
    repository.set_version("timestamp", 3);
    repository.serve("timestamp");
    assert_eq!(refusal_of(client.refresh()).code(), "rollback");

    repository.rotate("timestamp");
    repository.serve("timestamp");
    client.refresh().unwrap();

    assert_eq!(client.trusted(), "root 2, timestamp 3, snapshot 2, targets 1");
}

#[test]
fn rotating_both_keys_recovers_from_an_absurd_snapshot() {
    let (mut repository, mut client) = fast_forwarded(&["snapshot"]);
    assert_eq!(client.trusted_version("snapshot"), Some(ABSURD + 1));

    repository.rotate("snapshot");
    repository.rotate("timestamp");
    repository.set_version("snapshot", 3);
    repository.publish();
    client.refresh().unwrap();

    assert_eq!(client.trusted(), "root 3, timestamp 3, snapshot 4, targets 1");
}

#[test]
fn rotating_the_snapshot_key_recovers_from_absurd_targets() {
    let (mut repository, mut client) = fast_forwarded(&["targets"]);
    repository.set_version("targets", 2);
    repository.publish();
    assert_eq!(refusal_of(client.refresh()).code(), "rollback");

    repository.rotate("snapshot");
    repository.publish();
    client.refresh().unwrap();

    assert_eq!(client.trusted(), "root 2, timestamp 4, snapshot 4, targets 2");
}

#[test]
fn rotating_the_snapshot_key_alone_keeps_the_version_that_the_timestamp_named() {
    let (mut repository, mut client) = fast_forwarded(&["snapshot"]);
    repository.rotate("snapshot");
    repository.set_version("snapshot", 3);
    repository.publish();

    // The timestamp key is still vouched for, and so is what it said about the snapshot.
    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot v4 is older than v4611686018427387905, which is already trusted");
    assert_eq!(client.trusted_version("timestamp"), Some(2));
}

#[test]
fn the_largest_version_that_there_is_can_be_recovered_from() {
    let (mut repository, mut client) = fast_forwarded(&[]);
    repository.set_version("timestamp", u64::MAX);
    repository.serve("timestamp");
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("timestamp"), Some(u64::MAX));

    repository.rotate("timestamp");
    repository.set_version("timestamp", 3);
    repository.serve("timestamp");
    client.refresh().unwrap();

    assert_eq!(client.trusted_version("timestamp"), Some(3));
}

#[test]
fn after_recovery_the_new_versions_are_a_floor_again() {
    let (mut repository, mut client) = fast_forwarded(&["timestamp"]);
    repository.rotate("timestamp");
    repository.set_version("timestamp", 3);
    repository.serve("timestamp");
    client.refresh().unwrap();
    repository.set_version("timestamp", 2);
    repository.serve("timestamp");

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp v2 is older than v3, which is already trusted");
    assert_eq!(client.trusted_version("timestamp"), Some(3));
}

#[test]
fn recovery_survives_a_crash_between_the_root_and_the_timestamp() {
    let (mut repository, mut client) = fast_forwarded(&["timestamp"]);
    repository.rotate("timestamp");
    // The process ends when the new root is stored and the timestamp is not.
    let absurd = client.cached("timestamp");
    repository.answer("timestamp", crate::support::Answer::Status(503));
    client.refresh().unwrap_err();
    assert_eq!((client.trusted_version("root"), client.cached("timestamp")), (Some(2), absurd));

    repository.set_version("timestamp", 3);
    repository.serve("timestamp");
    client.refresh().unwrap();

    assert_eq!(client.trusted(), "root 2, timestamp 3, snapshot 2, targets 1");
}
