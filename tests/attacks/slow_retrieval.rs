//! Slow retrieval attack: an answer arrives so slowly that the client never gets to the end, and never gives up.

use std::time::Duration;

use crate::support::{Answer, SimRepository};

#[test]
fn metadata_that_drips_is_given_up() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.bump("targets");
        repository.publish();
        if role == "root" {
            repository.bump("root");
        }
        repository.answer(role, Answer::Dripping(Duration::from_secs(10), vec![b' '; 10_000]));

        let error = client.refresh().unwrap_err();

        assert_eq!(error.code(), "too-slow", "{role}");
        assert!(!error.is_refusal(), "slowness says nothing about trust");
        assert_ne!(client.trusted_version(role), Some(2));
    }
}

#[test]
fn a_target_that_drips_is_given_up_and_the_old_one_stays() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    let new = vec![b'x'; 100_000];
    repository.add_target("targets", "tool", &new);
    repository.publish();
    // 100 bytes a second: below the 1 KiB that is asked for.
    let slow = Answer::Dripping(Duration::from_millis(10), new.clone());
    repository.put_target("tool", &trustroot::crypto::sha256(&new), slow);
    client.refresh().unwrap();

    let error = client.download("tool").unwrap_err();

    insta::assert_snapshot!(error.code(), @"too-slow");
    assert_eq!(client.downloaded("tool").unwrap(), b"good");
    assert_eq!(client.count_downloads(), 1);
}

#[test]
fn a_slow_start_is_forgiven() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    let slow = Answer::Dripping(Duration::from_secs(5), b"good".to_vec());
    repository.put_target("tool", &trustroot::crypto::sha256(b"good"), slow);

    client.download("tool").unwrap();

    assert_eq!(client.downloaded("tool").unwrap(), b"good");
}
