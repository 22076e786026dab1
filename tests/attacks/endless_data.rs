//! Endless data attack: an answer goes on until the client's disk or memory is full.

use crate::support::{Answer, SimRepository, refusal_of};

/// What one chunk more than the limit may cost.
const SLACK: u64 = 8192;

#[test]
fn endless_metadata_is_cut_off_at_its_limit() {
    for role in ["root", "timestamp", "snapshot", "targets", "team"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client_before_news_of(role);
        repository.answer(role, Answer::Endless);
        let before = repository.shelf().sent();

        let refusal = refusal_of(client.refresh().and_then(|()| client.find("tool")));

        assert_eq!(refusal.code(), "too-long", "{role}");
        let limit = match role {
            "root" => client.limits.root,
            "timestamp" => client.limits.timestamp,
            "snapshot" => client.limits.snapshot,
            _ => client.limits.targets,
        };
        assert!(repository.shelf().sent() - before < limit + SLACK, "{role}");
        assert_ne!(client.trusted_version(role), Some(repository.version(role)));
    }
}

#[test]
fn metadata_whose_length_is_known_is_cut_off_there() {
    let mut repository = SimRepository::new();
    repository.hashes_in_meta = true;
    repository.publish();
    let mut client = repository.client();
    repository.answer("snapshot", Answer::Endless);

    let refusal = refusal_of(client.refresh());

    assert_eq!(refusal.code(), "too-long");
    assert!(repository.shelf().sent() < 8000 + SLACK);
    assert_eq!(client.trusted_version("snapshot"), None);
}

#[test]
fn metadata_that_trusted_metadata_calls_absurdly_long_is_not_asked_for() {
    for (describing, role) in [("timestamp", "snapshot"), ("snapshot", "targets"), ("snapshot", "team")] {
        let mut repository = SimRepository::new();
        repository.delegate("targets", "team", &["*"]);
        repository.publish();
        let mut client = repository.client();
        repository.draft(describing)["meta"][format!("{role}.json")]["length"] = u64::MAX.into();
        repository.serve(describing);

        let refusal = refusal_of(client.find("tool"));

        let message = "has 18446744073709551615 bytes by trusted metadata; at most 512000000 are read";
        assert_eq!(refusal.to_string(), format!("{role} {message}"));
        assert!(!repository.shelf().take_requests().contains(&repository.file_of(role)));
    }
}

#[test]
fn metadata_of_exactly_the_longest_known_length_is_read() {
    let mut repository = SimRepository::new();
    repository.hashes_in_meta = true;
    repository.publish();
    let mut client = repository.client();
    client.limits.pinned = repository.bytes("snapshot").len().max(repository.bytes("targets").len()) as u64;
    client.refresh().unwrap();
}

#[test]
fn an_endless_target_is_cut_off_at_its_length() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    repository.add_target("targets", "tool", b"better");
    repository.publish();
    repository.put_target("tool", &trustroot::crypto::sha256(b"better"), Answer::Endless);
    client.refresh().unwrap();
    let before = repository.shelf().sent();

    let refusal = refusal_of(client.download("tool"));

    assert_eq!(refusal.code(), "too-long");
    assert!(repository.shelf().sent() - before < SLACK);
    assert_eq!(client.downloaded("tool").unwrap(), b"good");
    assert_eq!(client.count_downloads(), 1);
}

#[test]
fn a_length_that_is_claimed_too_large_is_refused_before_a_byte_is_taken() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    let before = repository.shelf().sent();
    let claim = Answer::Claiming(1 << 40, b"good".to_vec());
    repository.put_target("tool", &trustroot::crypto::sha256(b"good"), claim);

    let refusal = refusal_of(client.download("tool"));

    assert_eq!(refusal.code(), "too-long");
    assert_eq!(repository.shelf().sent(), before);
    assert_eq!(client.downloaded("tool"), None);
}

#[test]
fn a_length_that_is_claimed_too_small_does_not_open_the_gate() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    let claim = Answer::Claiming(4, b"good and more".to_vec());
    repository.put_target("tool", &trustroot::crypto::sha256(b"good"), claim);

    assert_eq!(refusal_of(client.download("tool")).code(), "too-long");
    assert_eq!(client.downloaded("tool"), None);

    let longer = usize::try_from(client.limits.timestamp).unwrap() + 1;
    let claim = Answer::Claiming(4, vec![b' '; longer]);
    repository.answer("timestamp", claim);
    assert_eq!(refusal_of(client.refresh()).code(), "too-long");
    assert_eq!(client.trusted_version("timestamp"), Some(2));
}

#[test]
fn a_target_that_trusted_metadata_calls_absurdly_long_is_not_asked_for() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.limits.target = 4;
    client.download("tool").unwrap();
    fs_err::remove_file(client.destination("tool")).unwrap();
    client.limits.target = 3;
    client.refresh().unwrap();
    repository.shelf().take_requests();

    let error = client.download("tool").unwrap_err();

    assert_eq!(error.code(), "target-too-large");
    assert!(repository.shelf().take_requests().is_empty());
    assert_eq!(client.count_downloads(), 0);
}

#[test]
fn a_timestamp_of_exactly_the_limit_is_read() {
    let repository = SimRepository::new();
    let mut client = repository.client();
    client.limits.timestamp = repository.bytes("timestamp").len() as u64;
    client.refresh().unwrap();
    client.limits.timestamp -= 1;
    assert_eq!(refusal_of(client.refresh()).code(), "too-long");
}

#[test]
fn endless_new_roots_end_at_the_limit_and_the_next_update_goes_on() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.limits.root_rotations = 3;
    for _ in 0..8 {
        repository.publish_root();
    }

    let refusal = refusal_of(client.refresh());
    insta::assert_snapshot!(refusal, @"more than 3 root versions in one update; run it again to go on from v4");
    assert_eq!(client.trusted(), "root 4, timestamp -, snapshot -, targets -");

    assert_eq!(refusal_of(client.refresh()).code(), "too-many-roots");
    assert_eq!(client.trusted_version("root"), Some(7));
    client.refresh().unwrap();
    assert_eq!(client.trusted(), "root 9, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn as_many_new_roots_as_the_limit_are_walked_in_one_update() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.limits.root_rotations = 3;
    for _ in 0..3 {
        repository.publish_root();
    }
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("root"), Some(4));
}
