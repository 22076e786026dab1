//! Rollback attack: the client is shown files older than those it has seen.

use insta::assert_snapshot;
use trustroot::client::UpdateError;
use trustroot::metadata::RoleName;

use crate::support::{SimRepository, refusal_of};

/// A repository at version 2 of everything but root, with the delegated role `team`; and a client up to date.
fn up_to_date() -> (SimRepository, crate::support::Client) {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["team/*"]);
    repository.add_target("team", "team/tool", b"new");
    repository.publish();
    let mut client = repository.client();
    client.find("team/tool").unwrap();
    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 2");
    (repository, client)
}

#[test]
fn rollback_of_timestamp_is_refused() {
    let (mut repository, mut client) = up_to_date();
    repository.set_version("timestamp", 1);
    repository.serve("timestamp");

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp v1 is older than v2, which is already trusted");
    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 2");
}

#[test]
fn rollback_of_snapshot_is_refused_at_the_timestamp_that_names_it() {
    let (mut repository, mut client) = up_to_date();
    repository.set_version("snapshot", 1);
    repository.bump("timestamp");
    repository.describe();
    repository.serve("snapshot");
    repository.serve("timestamp");

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot v1 is older than v2, which is already trusted");
    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 2");
}

#[test]
fn rollback_of_snapshot_is_refused_when_the_cached_timestamp_is_lost() {
    let (mut repository, mut client) = up_to_date();
    fs_err::remove_file(client.cache_path("timestamp")).unwrap();
    repository.set_version("snapshot", 1);
    repository.bump("timestamp");
    repository.describe();
    repository.serve("snapshot");
    repository.serve("timestamp");

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot v1 is older than v2, which is already trusted");
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 2, targets 2");
}

#[test]
fn rollback_of_targets_is_refused() {
    let (mut repository, mut client) = up_to_date();
    repository.set_version("targets", 1);
    repository.publish();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets v1 is older than v2, which is already trusted");
    let UpdateError::Refused { refusal, .. } = refusal else { panic!("refused") };
    assert_eq!(refusal.role(), Some(&RoleName::Targets));
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 2, targets 2");
}

#[test]
fn rollback_of_a_delegated_role_is_refused() {
    let (mut repository, mut client) = up_to_date();
    repository.set_version("team", 1);
    repository.publish();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"team v1 is older than v2, which is already trusted");
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 2, targets 2");
    assert_eq!(client.trusted_version("team"), Some(2));
}

#[test]
fn a_snapshot_that_drops_a_role_is_refused() {
    let (mut repository, mut client) = up_to_date();
    repository.bump("snapshot");
    repository.draft("snapshot")["meta"].as_object_mut().unwrap().remove("team.json");
    repository.bump("timestamp");
    repository.draft("timestamp")["meta"]["snapshot.json"]["version"] = 3.into();
    repository.serve("snapshot");
    repository.serve("timestamp");

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot v3 no longer lists team, which the trusted snapshot lists");
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 2, targets 2");
}

#[test]
fn an_old_root_in_place_of_the_next_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    repository.rotate("timestamp");
    repository.publish();
    client.refresh().unwrap();
    let old = repository.shelf().get("metadata/1.root.json").unwrap();
    repository.bump("root");
    repository.serve_bytes("root", old);

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root has version 1 where 3 is expected");
    assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 2, targets 1");
}

#[test]
fn a_root_version_that_is_skipped_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.set_version("root", 3);
    let skipping = repository.bytes("root");
    repository.set_version("root", 2);
    repository.serve_bytes("root", skipping);

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root has version 3 where 2 is expected");
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn a_timestamp_of_equal_version_never_replaces_the_trusted_one() {
    let (mut repository, mut client) = up_to_date();
    let trusted = client.cached("timestamp");
    repository.add_target("targets", "other", b"x");
    repository.bump("snapshot");
    repository.describe();
    for role in ["targets", "snapshot", "timestamp"] {
        repository.serve(role);
    }
    assert_eq!(repository.version("timestamp"), 2);

    client.refresh().unwrap();

    assert_eq!(client.cached("timestamp"), trusted);
    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 2");
    assert!(client.find("other").unwrap().is_none());
}

#[test]
fn an_expired_floor_is_still_a_floor() {
    let mut repository = SimRepository::new();
    repository.expire("timestamp", 1);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.wait_days(2);
    repository.set_version("timestamp", 1);
    repository.expire("timestamp", 1);
    repository.serve("timestamp");

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp v1 is older than v2, which is already trusted");
    assert_eq!(client.trusted_version("timestamp"), Some(2));
}

#[test]
fn an_expired_snapshot_is_still_a_floor() {
    let mut repository = SimRepository::new();
    repository.bump("targets");
    repository.expire("snapshot", 1);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.wait_days(2);
    repository.expire("snapshot", 1);
    repository.set_version("targets", 1);
    repository.publish();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets v1 is older than v2, which is already trusted");
    assert_eq!(client.trusted_version("snapshot"), Some(2));
}

#[test]
fn rollback_floors_survive_adding_a_key() {
    for role in ["timestamp", "snapshot"] {
        let (mut repository, mut client) = up_to_date();
        repository.add_key(role);
        repository.set_version(role, 1);
        if role == "snapshot" {
            repository.bump("timestamp");
        }
        repository.describe();
        repository.serve("snapshot");
        repository.serve("timestamp");

        let refusal = refusal_of(client.refresh());

        assert_eq!(refusal.to_string(), format!("{role} v1 is older than v2, which is already trusted"));
        assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 2, targets 2");
    }
}

#[test]
fn a_floor_survives_a_rotation_and_back() {
    let (mut repository, mut client) = up_to_date();
    let original = repository.signers("timestamp").clone();
    repository.rotate("timestamp");
    let root_keys = repository.signers("root").clone();
    repository.authorize("timestamp", &original, 1);
    repository.publish_root_signed_by(&root_keys);
    repository.set_version("timestamp", 1);
    repository.serve("timestamp");

    // The current root vouches for the cached timestamp, so it counts, whatever was said in between.
    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp v1 is older than v2, which is already trusted");
    assert_eq!(client.trusted(), "root 3, timestamp 2, snapshot 2, targets 2");
}

#[test]
fn a_root_that_was_trusted_is_not_forgotten_with_its_history() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    for _ in 0..4 {
        repository.rotate("root");
    }
    repository.publish();
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("root"), Some(5));

    // The history has a gap, and the mirror hides what would fill it.
    std::fs::remove_file(client.history_path(3)).unwrap();
    for version in 3..=5 {
        repository.shelf().remove(&format!("metadata/{version}.root.json"));
    }
    let before = client.trusted();
    let refusal = refusal_of(client.refresh());
    assert_snapshot!(refusal, @"root v2 is older than v5, which is already trusted");
    assert_eq!(client.trusted(), before);
}

#[test]
fn filling_a_gap_half_way_does_not_lower_the_newest_root() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    for _ in 0..4 {
        repository.rotate("root");
    }
    repository.publish();
    client.refresh().unwrap();
    for version in [3, 4] {
        std::fs::remove_file(client.history_path(version)).unwrap();
    }
    // The mirror gives the first of the missing roots and hides the rest.
    for version in [4, 5] {
        repository.shelf().remove(&format!("metadata/{version}.root.json"));
    }
    for _ in 0..2 {
        let refusal = refusal_of(client.refresh());
        assert_eq!(refusal.to_string(), "root v3 is older than v5, which is already trusted");
        assert_eq!(client.trusted_version("root"), Some(5));
    }
}

#[test]
fn a_damaged_root_of_the_history_gives_way_to_the_newest() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    repository.rotate("root");
    repository.publish();
    client.refresh().unwrap();
    std::fs::copy(client.cache_path("timestamp"), client.history_path(2)).unwrap();
    repository.shelf().remove("metadata/2.root.json");
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("root"), Some(2));
}

#[test]
fn a_gap_in_the_history_of_roots_is_filled_from_the_repository() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    for _ in 0..4 {
        repository.rotate("root");
    }
    repository.publish();
    client.refresh().unwrap();
    std::fs::remove_file(client.history_path(3)).unwrap();
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("root"), Some(5));
    assert!(client.history_path(3).exists());
}

#[test]
fn the_newest_root_stands_in_where_the_history_ends_before_it() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    repository.rotate("root");
    repository.publish();
    client.refresh().unwrap();
    // As after a crash between two writes, or a clean-up by hand.
    std::fs::remove_file(client.history_path(2)).unwrap();
    repository.shelf().remove("metadata/2.root.json");
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("root"), Some(2));
}
