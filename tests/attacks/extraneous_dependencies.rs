//! Extraneous dependencies: somebody is made to answer for a path to whom nobody granted it.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Answer, Key, SimRepository, refusal_of};

#[test]
fn a_role_that_nobody_delegates_to_answers_nothing() {
    let mut repository = SimRepository::new();
    let stranger = Key::ed25519(666);
    repository.start_role("stranger", &[stranger]);
    repository.add_target("stranger", "tool", b"evil");
    repository.publish();
    let mut client = repository.client();

    assert!(client.find("tool").unwrap().is_none());
    assert_eq!(client.trusted_version("stranger"), None);
    assert!(!repository.shelf().take_requests().iter().any(|path| path.contains("stranger")));
}

#[test]
fn a_role_answers_only_for_the_paths_it_was_granted() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["team/*"]);
    repository.add_target("team", "team/tool", b"x");
    repository.add_target("team", "tool", b"evil");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("team/tool").as_deref(), Some("team"));
    assert_eq!(client.finds_in("tool"), None);
}

#[test]
fn a_grant_is_never_wider_than_the_grants_above_it() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["team/*"]);
    repository.delegate("team", "friend", &["*", "team/*"]);
    repository.add_target("friend", "tool", b"evil");
    repository.add_target("friend", "team/tool", b"x");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("tool"), None);
    assert_eq!(client.finds_in("team/tool").as_deref(), Some("friend"));
}

#[test]
fn a_star_does_not_cross_a_slash() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*", "team-?/*", "x/**"]);
    for path in ["a/b", "team-1/a/b", "team-12/a", "x/a/b"] {
        repository.add_target("team", path, b"evil");
    }
    for path in ["a", "team-1/a", "x/a"] {
        repository.add_target("team", path, b"x");
    }
    repository.publish();
    let mut client = repository.client();

    for path in ["a/b", "team-1/a/b", "team-12/a", "x/a/b"] {
        assert_eq!(client.finds_in(path), None, "{path}");
    }
    for path in ["a", "team-1/a", "x/a"] {
        assert_eq!(client.finds_in(path).as_deref(), Some("team"), "{path}");
    }
}

#[test]
fn a_delegated_role_signed_by_a_stranger_is_refused() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.find("tool").unwrap();
    let trusted = client.cached("team");
    repository.add_target("team", "tool", b"evil");
    repository.publish();
    repository.serve_bytes("team", repository.signed_by("team", &[Key::ed25519(666)]));
    client.refresh().unwrap();

    let refusal = refusal_of(client.find("tool"));

    assert_snapshot!(refusal, @"team v3 is signed by 0 of the 1 key it needs");
    assert_eq!(client.cached("team"), trusted);
}

#[test]
fn a_delegated_role_needs_its_own_keys_not_those_of_its_delegator() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"evil");
    repository.publish();
    let keys = repository.signers("targets").clone();
    repository.serve_bytes("team", repository.signed_by("team", &keys));
    let mut client = repository.client();

    let refusal = refusal_of(client.find("tool"));

    assert_snapshot!(refusal, @"team v2 is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted_version("team"), None);
}

#[test]
fn a_delegation_to_a_role_that_the_snapshot_does_not_list_is_refused() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"x");
    repository.publish();
    repository.draft("snapshot")["meta"].as_object_mut().unwrap().remove("team.json");
    repository.serve("snapshot");
    let mut client = repository.client();

    let refusal = refusal_of(client.find("tool"));

    assert_snapshot!(refusal, @"team is delegated to, but the snapshot does not list it");
    assert_eq!(client.trusted_version("team"), None);
    assert!(!repository.shelf().take_requests().iter().any(|path| path.contains("team")));
}

#[test]
fn a_delegated_role_that_is_absent_does_not_let_the_next_one_answer() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "preferred", &["*"]);
    repository.delegate("targets", "second", &["*"]);
    repository.add_target("preferred", "tool", b"good");
    repository.add_target("second", "tool", b"evil");
    repository.publish();
    repository.answer("preferred", Answer::Status(404));
    let mut client = repository.client();

    let error = client.find("tool").unwrap_err();

    assert_eq!((error.code(), error.is_refusal()), ("absent", false));
    repository.serve("preferred");
    assert_eq!(client.finds_in("tool").as_deref(), Some("preferred"));
}

#[test]
fn hash_prefixes_grant_what_hashes_to_them_and_nothing_else() {
    let mut repository = SimRepository::new();
    let key = repository.new_key();
    repository.delegate_to("targets", "team", &[key], 1);
    // SHA-256 of "a" starts with ca97, of "b" with 3e23.
    repository.delegation("targets", "team")["path_hash_prefixes"] = json!(["00", "ca97"]);
    repository.add_target("team", "a", b"x");
    repository.add_target("team", "b", b"evil");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("a").as_deref(), Some("team"));
    assert_eq!(client.finds_in("b"), None);
}

#[test]
fn a_bin_answers_only_for_its_own_paths() {
    let mut repository = SimRepository::new();
    repository.delegate_to_bins("targets", "bin", 8);
    repository.add_target("bin-ca", "a", b"x");
    repository.add_target("bin-ca", "b", b"evil");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("a").as_deref(), Some("bin-ca"));
    assert_eq!(client.finds_in("b"), None);
    assert_eq!(client.trusted_version("bin-3e"), Some(1));
}

#[test]
fn two_delegations_to_one_role_in_one_document_are_refused() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["a"]);
    let again = repository.delegation("targets", "team").clone();
    repository.draft("targets")["delegations"]["roles"].as_array_mut().unwrap().push(again);
    repository.publish();
    let mut client = repository.client();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets is malformed: signed.delegations.roles: the role team is delegated to twice");
    assert_eq!(client.trusted_version("targets"), None);
}
