//! Freeze attack: the client is shown the same files for ever.

use insta::assert_snapshot;

use crate::support::{SimRepository, refusal_of};

#[test]
fn expired_metadata_is_refused() {
    for (role, trusted) in [
        ("timestamp", "root 1, timestamp 1, snapshot 1, targets 1"),
        ("snapshot", "root 1, timestamp 2, snapshot 1, targets 1"),
        ("targets", "root 1, timestamp 2, snapshot 2, targets 1"),
    ] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.bump("targets");
        repository.expire(role, -1);
        repository.publish();

        let refusal = refusal_of(client.refresh());

        let message = "v2 expired at 2026-02-28T12:00:00Z; the time taken is 2026-03-01T12:00:00Z";
        assert_eq!(refusal.to_string(), format!("{role} {message}"));
        assert_eq!(client.trusted(), trusted);
    }
}

#[test]
fn metadata_that_expires_at_this_very_second_is_refused() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let mut repository = SimRepository::new();
        repository.expire(role, 0);
        repository.publish_root();
        repository.publish();
        assert_eq!(refusal_of(repository.client().refresh()).code(), "expired", "{role}");
    }
}

#[test]
fn a_client_that_is_kept_on_old_files_notices_at_their_expiry() {
    let mut repository = SimRepository::new();
    repository.expire("timestamp", 7);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    let frozen = repository.shelf().files();
    repository.add_target("targets", "fix", b"x");
    repository.publish();
    repository.shelf().set_files(frozen);

    repository.wait_days(6);
    client.refresh().unwrap();
    repository.wait_days(1);
    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp v2 expired at 2026-03-08T12:00:00Z; the time taken is 2026-03-08T12:00:00Z");
    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 1");
}

#[test]
fn an_expired_root_is_refused_unless_a_newer_one_follows() {
    let mut repository = SimRepository::new();
    repository.expire("root", 7);
    repository.publish_root();
    let mut client = repository.client();
    repository.wait_days(8);

    let refusal = refusal_of(client.refresh());
    assert_snapshot!(refusal, @"root v2 expired at 2026-03-08T12:00:00Z; the time taken is 2026-03-09T12:00:00Z");
    assert_eq!(client.trusted(), "root -, timestamp -, snapshot -, targets -");

    // An expired root still leads to its successors, expired ones among them.
    repository.publish_root();
    repository.expire("root", 7);
    repository.publish_root();
    client.refresh().unwrap();
    assert_eq!(client.trusted(), "root 4, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn a_new_root_that_has_expired_is_refused_but_kept() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.expire("root", -1);
    repository.publish_root();
    repository.publish();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root v2 expired at 2026-02-28T12:00:00Z; the time taken is 2026-03-01T12:00:00Z");
    assert_eq!(client.trusted(), "root 2, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn expired_metadata_in_the_cache_is_not_trusted_without_the_repository_either() {
    for role in ["timestamp", "snapshot", "targets", "root"] {
        let mut repository = SimRepository::new();
        repository.expire(role, 7);
        repository.publish_root();
        repository.publish();
        let mut client = repository.client();
        client.refresh().unwrap();
        client.connectivity = trustroot::trust::Connectivity::Offline;
        client.refresh().unwrap();
        repository.wait_days(7);
        repository.shelf().take_requests();

        let error = refusal_of(client.refresh());

        assert_eq!(error.code(), "expired", "{error}");
        assert!(error.to_string().starts_with(&format!("{role} v{} expired", repository.version(role))), "{error}");
        assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 2, targets 1");
        assert!(repository.shelf().take_requests().is_empty());
    }
}

/// It is there, and was fetched: to say that it is not would send people to look for something else.
#[test]
fn an_expired_delegated_role_in_the_cache_is_refused_as_expired_without_the_repository() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["team/*"]);
    repository.add_target("team", "team/tool", b"x");
    repository.expire("team", 7);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    client.find("team/tool").unwrap().unwrap();
    client.connectivity = trustroot::trust::Connectivity::Offline;
    client.refresh().unwrap();
    client.find("team/tool").unwrap().unwrap();
    repository.wait_days(7);
    let kept = client.state();
    repository.shelf().take_requests();

    client.refresh().unwrap();
    let refusal = refusal_of(client.find("team/tool"));
    assert_snapshot!(refusal, @"team v2 expired at 2026-03-08T12:00:00Z; the time taken is 2026-03-08T12:00:00Z");

    // One that is damaged is as good as not there, whatever it says of its expiry.
    client.overwrite("team", b"{}");
    assert_eq!(client.find("team/tool").unwrap_err().code(), "offline");
    client.overwrite("team", &repository.bytes("team"));
    assert_eq!(client.state(), kept);
    assert!(repository.shelf().take_requests().is_empty());
}

#[test]
fn an_expired_snapshot_or_targets_in_the_cache_is_not_trusted_though_it_is_current() {
    for role in ["snapshot", "targets"] {
        let mut repository = SimRepository::new();
        repository.expire(role, 7);
        repository.publish();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.wait_days(8);
        let refusal = refusal_of(client.refresh());
        assert_eq!((refusal.code(), client.trusted_version(role)), ("expired", Some(repository.version(role))));
    }
}
