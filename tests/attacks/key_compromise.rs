//! Key compromise: what a thief can do with some keys, and what ends it.

use insta::assert_snapshot;

use crate::support::{SimRepository, refusal_of};

#[test]
fn a_stolen_timestamp_key_cannot_change_a_target() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    let stolen = repository.signers("timestamp").clone();
    repository.add_target("targets", "tool", b"evil");
    repository.publish();
    repository.serve_bytes("snapshot", repository.signed_by("snapshot", &stolen));
    repository.serve_bytes("targets", repository.signed_by("targets", &stolen));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot v3 is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 2, targets 2");
    assert_eq!(client.downloaded("tool").unwrap(), b"good");
}

#[test]
fn stolen_online_keys_cannot_change_a_target() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    let stolen = repository.signers("snapshot").clone();
    repository.add_target("targets", "tool", b"evil");
    repository.publish();
    repository.serve_bytes("targets", repository.signed_by("targets", &stolen));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets v3 is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 3, targets 2");
    assert_eq!(client.downloaded("tool").unwrap(), b"good");
}

#[test]
fn one_of_two_stolen_keys_is_not_enough() {
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), repository.new_key()];
    repository.authorize("root", &keys, 2);
    let first = repository.shelf().get("metadata/1.root.json").unwrap();
    repository.publish_root();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.rotate("targets");
    repository.serve_bytes("root", repository.signed_by("root", &keys[..1]));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root v3 is signed by 1 of the 2 keys it needs");
    assert_eq!(client.trusted_version("root"), Some(2));
    assert!(!first.is_empty());
}

#[test]
fn a_revoked_key_no_longer_counts() {
    for role in ["timestamp", "snapshot", "targets"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        let stolen = repository.signers(role).clone();
        repository.rotate(role);
        repository.bump("targets");
        repository.publish();
        repository.serve_bytes(role, repository.signed_by(role, &stolen));

        let refusal = refusal_of(client.refresh());

        assert_eq!(refusal.code(), "too-few-signatures");
        assert_eq!(client.trusted_version("root"), Some(2));
        assert_eq!(client.trusted_version(role), Some(1));
    }
}

#[test]
fn a_cached_file_signed_by_a_revoked_key_is_fetched_anew() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.delegate("targets", "team", &["*"]);
    repository.publish();
    let mut client = repository.client();
    client.find("other").unwrap();
    for role in ["snapshot", "targets"] {
        repository.rotate(role);
        // Signed by the new key, with the old version.
        repository.serve(role);
        repository.shelf().take_requests();
        client.refresh().unwrap();
        assert!(repository.shelf().take_requests().contains(&repository.file_of(role)));
        assert_eq!(client.cached(role), Some(repository.bytes(role)));
    }
}

#[test]
fn a_revoked_delegation_is_revoked_at_once() {
    let mut repository = SimRepository::new();
    let stolen = repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"evil");
    repository.publish();
    let mut client = repository.client();
    assert_eq!(client.finds_in("tool").as_deref(), Some("team"));
    let fresh = repository.new_key();
    repository.bump("targets");
    let delegations = &mut repository.draft("targets")["delegations"];
    delegations["keys"][&fresh.keyid] = fresh.public.clone();
    repository.delegation("targets", "team")["keyids"] = serde_json::json!([fresh.keyid]);
    repository.publish();
    client.refresh().unwrap();

    // The cached file is the current version, but the key that signed it is not the role's any more.
    let refusal = refusal_of(client.find("tool"));

    assert_snapshot!(refusal, @"team v2 is signed by 0 of the 1 key it needs");
    assert_ne!(stolen.keyid, fresh.keyid);
}

#[test]
fn stolen_root_keys_end_with_the_root_that_drops_them() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    let stolen = repository.signers("root").clone();
    repository.rotate("root");
    client.refresh().unwrap();
    repository.bump("root");
    repository.serve_bytes("root", repository.signed_by("root", &stolen));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root v3 is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted_version("root"), Some(2));
}
