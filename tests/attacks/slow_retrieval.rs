//! Slow retrieval attack: an answer arrives so slowly that the client never gets to the end, and never gives up.

use std::time::Duration;

use trustroot::client::Retries;

use crate::support::{Answer, SimRepository, block_on};

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

#[test]
fn a_byte_every_19_seconds_is_given_up_within_a_minute() {
    // Each byte comes before anybody loses patience with a silent connection.
    let pause = Duration::from_secs(19);
    for role in ["root", "timestamp", "snapshot", "targets", "team"] {
        for lengths_are_known in [false, true] {
            let mut repository = SimRepository::new();
            repository.hashes_in_meta = lengths_are_known;
            repository.delegate("targets", "team", &["*"]);
            repository.describe();
            repository.publish();
            let mut client = repository.client();
            client.find("tool").unwrap();
            for role in ["team", "targets"] {
                repository.bump(role);
            }
            repository.describe();
            repository.publish();
            if role == "root" {
                repository.bump("root");
            }
            let trusted = client.cached(role);
            let before = repository.shelf().sent();
            repository.answer(role, Answer::Dripping(pause, repository.bytes(role)));

            let error = client.refresh().and_then(|()| client.find("tool").map(drop)).unwrap_err();

            assert_eq!((error.code(), error.is_refusal()), ("too-slow", false), "{role}");
            assert_eq!(client.cached(role), trusted);
            let others: u64 =
                ["timestamp", "snapshot", "targets"].map(|role| repository.bytes(role).len() as u64).iter().sum();
            assert!(repository.shelf().sent() - before <= others + 3, "{role}");
        }
    }
}

#[test]
fn a_fast_start_does_not_buy_a_slow_end() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    let new = vec![b'x'; 8_000_000];
    repository.add_target("targets", "tool", &new);
    repository.publish();
    // All but the end at once: by the average alone the rest could take two hours, and for a gigabyte twelve days.
    let (most, rest) = new.split_at(new.len() - 10_000);
    let slow = Answer::SlowingDown(most.to_vec(), Duration::from_secs(19), rest.to_vec());
    repository.put_target("tool", &trustroot::crypto::sha256(&new), slow);
    client.refresh().unwrap();
    let (cache, downloads, before) = (client.state(), client.downloads(), repository.shelf().sent());

    let error = client.download("tool").unwrap_err();

    assert_eq!((error.code(), error.is_refusal()), ("too-slow", false));
    assert_eq!((client.state(), client.downloads()), (cache, downloads));
    // Not four minutes after the pace broke down.
    assert!(repository.shelf().sent() - before <= most.len() as u64 + 12);
}

#[test]
fn nobody_is_made_to_wait_for_as_long_as_a_server_likes() {
    for wait in [Duration::from_secs(3600), Duration::from_secs(u64::MAX)] {
        for role in ["root", "timestamp", "snapshot", "targets"] {
            let mut repository = SimRepository::new();
            let mut client = repository.client();
            client.refresh().unwrap();
            repository.bump("targets");
            repository.publish();
            if role == "root" {
                repository.bump("root");
            }
            repository.answer(role, Answer::Later(wait));
            let trusted = client.cached(role);
            let mut updater = client.new_updater().unwrap();

            let (error, waited) = block_on(async {
                let started = tokio::time::Instant::now();
                (updater.refresh().await.map(drop).unwrap_err(), started.elapsed())
            });

            assert_eq!((error.code(), error.is_refusal()), ("http-status", false), "{role}");
            // Twice between three attempts.
            assert!(waited <= 2 * Retries::LONGEST_WAIT + Duration::from_secs(1), "{role}: {waited:?}");
            assert_eq!(client.cached(role), trusted);
        }
    }
}
