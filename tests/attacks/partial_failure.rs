//! What is wrong with one delegated role fails the look-ups that need it, and no others.

use serde_json::json;

use crate::support::{Answer, Client, SimRepository, refusal_of};

/// `bad` (first in line) and `good` share `shared/*`, and each has paths of its own.
fn two_teams() -> SimRepository {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "bad", &["bad/*", "shared/*"]);
    repository.delegate("targets", "good", &["good/*", "shared/*"]);
    for path in ["good/tool", "shared/tool"] {
        repository.add_target("good", path, b"x");
    }
    repository.add_target("targets", "tool", b"x");
    repository.publish();
    repository
}

fn only_look_ups_through_bad_fail(client: &mut Client, code: &str) {
    for path in ["bad/tool", "shared/tool"] {
        assert_eq!(refusal_of(client.find(path)).code(), code, "{path}");
    }
    assert_eq!(client.finds_in("good/tool").as_deref(), Some("good"));
    assert_eq!(client.finds_in("tool").as_deref(), Some("targets"));
    assert_eq!(client.trusted_version("bad"), None);
    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 4");
}

#[test]
fn an_expired_delegated_role_fails_only_its_own_look_ups() {
    let mut repository = two_teams();
    repository.expire("bad", -1);
    repository.serve("bad");
    only_look_ups_through_bad_fail(&mut repository.client(), "expired");
}

#[test]
fn a_delegated_role_that_expires_in_the_cache_fails_only_its_own_look_ups() {
    let mut repository = two_teams();
    repository.expire("bad", 7);
    repository.serve("bad");
    let mut client = repository.client();
    client.find("bad/tool").unwrap();
    repository.wait_days(8);
    client.refresh().unwrap();
    assert_eq!(refusal_of(client.find("bad/tool")).code(), "expired");
    assert_eq!(client.finds_in("good/tool").as_deref(), Some("good"));
}

#[test]
fn an_unsigned_delegated_role_fails_only_its_own_look_ups() {
    let repository = two_teams();
    repository.serve_bytes("bad", repository.signed_by("bad", &[]));
    only_look_ups_through_bad_fail(&mut repository.client(), "too-few-signatures");
}

#[test]
fn a_malformed_delegated_role_fails_only_its_own_look_ups() {
    let mut repository = two_teams();
    repository.serve_bytes("bad", b"{".to_vec());
    only_look_ups_through_bad_fail(&mut repository.client(), "malformed");
    repository.draft("bad")["targets"] = json!([]);
    repository.serve("bad");
    only_look_ups_through_bad_fail(&mut repository.client(), "malformed");
}

#[test]
fn an_endless_delegated_role_fails_only_its_own_look_ups() {
    let repository = two_teams();
    repository.answer("bad", Answer::Endless);
    only_look_ups_through_bad_fail(&mut repository.client(), "too-long");
}

#[test]
fn a_malformed_entry_fails_only_the_look_up_of_that_target() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "good", b"x");
    repository.add_target("targets", "bad", b"x");
    for broken in [
        json!({}),
        json!(7),
        json!({ "length": -1, "hashes": {} }),
        json!({ "length": 1, "hashes": { "sha256": "zz" } }),
    ] {
        repository.draft("targets")["targets"]["bad"] = broken;
        repository.publish();
        repository.bump("targets");
        repository.publish();
        let mut client = repository.client();
        assert_eq!(refusal_of(client.find("bad")).code(), "malformed");
        assert_eq!(client.finds_in("good").as_deref(), Some("targets"));
    }
}
