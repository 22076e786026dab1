//! Malicious mirrors and repositories that are out of order: what cannot be had says nothing about trust, and what is
//! wrong is refused.

use insta::assert_snapshot;

use crate::support::{Answer, SimRepository, refusal_of};

#[test]
fn a_mirror_that_lags_behind_cannot_take_a_client_back() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"old");
    repository.publish();
    let lagging = repository.shelf().files();
    repository.add_target("targets", "tool", b"new");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    repository.shelf().set_files(lagging);

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp v2 is older than v3, which is already trusted");
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 3, targets 3");
    assert_eq!(client.downloaded("tool").unwrap(), b"new");
}

#[test]
fn an_absent_timestamp_is_could_not_tell_and_no_refusal() {
    for status in [404, 500] {
        let repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.answer("timestamp", Answer::Status(status));

        let error = client.refresh().unwrap_err();

        assert!(!error.is_refusal(), "{error}");
        assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
    }
}

#[test]
fn absent_metadata_that_was_promised_is_could_not_tell() {
    for role in ["snapshot", "targets"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.bump("targets");
        repository.publish();
        repository.answer(role, Answer::Status(404));

        let error = client.refresh().unwrap_err();

        assert_eq!((error.code(), error.is_refusal()), ("absent", false));
        assert_eq!(client.trusted_version(role), Some(1));
        assert_eq!(client.trusted_version("timestamp"), Some(2));
    }
}

#[test]
fn a_root_that_cannot_be_had_is_not_taken_for_absent() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.rotate("timestamp");
    repository.publish();
    repository.answer("root", Answer::Status(500));

    let error = client.refresh().unwrap_err();

    assert_eq!((error.code(), error.is_refusal()), ("http-status", false));
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn a_server_that_fails_twice_is_asked_a_third_time() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    let target = repository.target_file("tool", &trustroot::crypto::sha256(b"good"));
    for file in ["metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json", &target] {
        repository.shelf().put_before(file, Answer::Status(500));
        repository.shelf().put_before(file, Answer::Status(503));
    }

    client.download("tool").unwrap();

    assert_eq!(client.downloaded("tool").unwrap(), b"good");
    let requests = repository.shelf().take_requests();
    assert_eq!(requests.iter().filter(|path| **path == target).count(), 3);
    assert_eq!(requests.len(), 4 * 3 + 1);
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_from_the_start() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    let target = repository.target_file("tool", &trustroot::crypto::sha256(b"good"));
    repository.shelf().put_before("metadata/2.snapshot.json", Answer::BreakingOff(b"{".to_vec()));
    // What came before the break is not kept, be it right or wrong.
    repository.shelf().put_before(&target, Answer::BreakingOff(b"go".to_vec()));
    repository.shelf().put_before(&target, Answer::BreakingOff(b"bad".to_vec()));

    client.download("tool").unwrap();
    assert_eq!(client.downloaded("tool").unwrap(), b"good");

    for _ in 0..2 {
        repository.shelf().put_before(&target, Answer::BreakingOff(b"go".to_vec()));
    }
    assert_eq!(client.target_bytes("tool").unwrap(), b"good");
    for _ in 0..3 {
        repository.shelf().put_before(&target, Answer::BreakingOff(b"go".to_vec()));
    }
    assert_eq!(client.target_bytes("tool").unwrap_err().code(), "transport");
}

#[test]
fn a_server_that_fails_three_times_is_left_alone() {
    let repository = SimRepository::new();
    let mut client = repository.client();
    repository.answer("timestamp", Answer::Status(500));

    let error = client.refresh().unwrap_err();

    assert_snapshot!(error, @"https://repository.example/metadata/timestamp.json answered with HTTP status 500");
    assert_eq!(repository.shelf().take_requests().len(), 4);
}

#[test]
fn what_is_refused_is_not_asked_for_again_but_for_a_timestamp_that_was_asked_for_ahead() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.set_version("timestamp", 2);
    repository.serve_bytes("timestamp", repository.signed_by("timestamp", &[]));
    repository.shelf().take_requests();
    refusal_of(client.refresh());
    let timestamp = "metadata/timestamp.json";
    assert_eq!(repository.shelf().take_requests(), ["metadata/2.root.json", timestamp, timestamp]);
    assert_eq!(client.trusted_version("timestamp"), Some(1));
}

#[test]
fn what_passed_its_checks_before_the_refusal_is_kept() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.add_target("targets", "tool", b"x");
    repository.publish_root();
    repository.publish();
    repository.serve_bytes("targets", b"{}".to_vec());

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets is malformed: document: the field `signatures` is missing");
    assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 2, targets 1");
}

#[test]
fn a_role_is_verified_once_in_one_updater() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.publish();
    let mut client = repository.client();
    client.mode = trustroot::client::CacheMode::ReadOnly;
    client.find("x").unwrap();
    repository.shelf().take_requests();

    // What was looked up together belongs together, even if the mirror has something else by now.
    repository.answer("team", Answer::Status(404));
    client.find("x").unwrap();
    client.find("y").unwrap();

    assert!(repository.shelf().take_requests().is_empty());
}

#[test]
fn a_file_is_asked_for_only_when_it_is_needed() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["team/*"]);
    repository.publish();
    let mut client = repository.client();
    client.find("team/x").unwrap();
    repository.shelf().take_requests();

    client.refresh().unwrap();
    client.find("team/x").unwrap();

    assert_eq!(repository.shelf().take_requests(), ["metadata/2.root.json", "metadata/timestamp.json"]);
}
