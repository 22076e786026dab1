//! Delegations that form cycles, go on for ever, or hide an answer behind another.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{SimRepository, block_on, refusal_of};

/// A chain of `length` roles, each delegating to the next; the last names `tool`.
fn chain(length: usize) -> SimRepository {
    let mut repository = SimRepository::new();
    let mut delegator = "targets".to_owned();
    for number in 0..length {
        let role = format!("r{number}");
        repository.delegate(&delegator, &role, &["*"]);
        delegator = role;
    }
    repository.add_target(&delegator, "tool", b"x");
    repository.publish();
    repository
}

#[test]
fn a_look_up_visits_32_roles_and_no_more() {
    assert_eq!(chain(32).client().finds_in("tool").as_deref(), Some("r31"));

    let repository = chain(33);
    let mut client = repository.client();
    let refusal = refusal_of(client.find("tool"));

    assert_snapshot!(refusal, @"the look-up needs more than 32 delegated roles");
    assert_eq!(client.trusted_version("r32"), None);
    let asked = repository.shelf().take_requests();
    assert_eq!(asked.iter().filter(|path| path.contains(".r") && !path.contains("root")).count(), 32);
}

#[test]
fn a_wide_graph_stops_at_the_limit_too() {
    let mut repository = SimRepository::new();
    for number in 0..40 {
        repository.delegate("targets", &format!("w{number}"), &["*"]);
    }
    repository.publish();
    let mut client = repository.client();

    let refusal = refusal_of(client.find("tool"));

    assert_snapshot!(refusal, @"the look-up needs more than 32 delegated roles");
    assert_eq!(client.trusted_version("w31"), Some(1));
    assert_eq!(client.trusted_version("w32"), None);
    // Look-ups that need fewer are not harmed, and a later one does not inherit what an earlier one visited.
    assert_eq!(refusal_of(client.find("tool")).code(), "too-many-delegations");
}

#[test]
fn a_huge_graph_of_which_little_matters_costs_little() {
    let mut repository = SimRepository::new();
    let key = repository.new_key();
    repository.start_role("team", std::slice::from_ref(&key));
    let mut roles: Vec<_> = (0..10_000)
        .map(|number| {
            json!({
                "name": format!("n{number}"), "keyids": [key.keyid], "threshold": 1, "terminating": false,
                "paths": [format!("{number}/*")],
            })
        })
        .collect();
    roles.push(json!({
        "name": "team", "keyids": [key.keyid], "threshold": 1, "terminating": false, "paths": ["*"],
    }));
    repository.draft("targets")["delegations"] = json!({ "keys": { key.keyid.as_str(): key.public }, "roles": roles });
    repository.bump("targets");
    repository.add_target("team", "tool", b"x");
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.shelf().take_requests();
    assert_eq!(client.finds_in("tool").as_deref(), Some("team"));
    assert_eq!(repository.shelf().take_requests(), ["metadata/2.team.json"]);
}

#[test]
fn cycles_end() {
    let mut repository = SimRepository::new();
    let a = repository.delegate("targets", "a", &["*"]);
    repository.delegate("a", "b", &["*"]);
    // `b` delegates back to `a`, and to itself.
    repository.delegate_to("b", "a", &[a], 1);
    repository.delegation("b", "a")["paths"] = json!(["*"]);
    let b = repository.signers("b")[0].clone();
    repository.delegate_to("b", "b", &[b], 1);
    repository.delegation("b", "b")["paths"] = json!(["*"]);
    repository.delegate("targets", "last", &["*"]);
    repository.add_target("last", "tool", b"x");
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.shelf().take_requests();

    assert_eq!(client.finds_in("tool").as_deref(), Some("last"));
    assert_eq!(client.finds_in("other"), None);

    let asked = repository.shelf().take_requests();
    assert_eq!(asked, ["metadata/2.a.json", "metadata/3.b.json", "metadata/2.last.json"]);
}

#[test]
fn roles_are_visited_in_preorder() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "a", &["*"]);
    repository.delegate("targets", "b", &["*"]);
    repository.delegate("a", "a1", &["*"]);
    repository.delegate("a", "a2", &["*"]);
    repository.delegate("a1", "a11", &["*"]);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.shelf().take_requests();

    assert_eq!(client.finds_in("tool"), None);

    let asked: Vec<_> = repository.shelf().take_requests();
    let names: Vec<_> = asked.iter().map(|path| path.split('.').nth(1).unwrap()).collect();
    assert_eq!(names, ["a", "a1", "a11", "a2", "b"]);
}

#[test]
fn the_preferred_role_answers_where_several_could() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "preferred", &["*"]);
    repository.delegate("targets", "second", &["*"]);
    repository.add_target("second", "tool", b"evil");
    repository.add_target("preferred", "tool", b"good");
    repository.publish();
    assert_eq!(repository.client().finds_in("tool").as_deref(), Some("preferred"));
    // What the delegator itself says comes first.
    repository.add_target("targets", "tool", b"best");
    repository.publish();
    assert_eq!(repository.client().finds_in("tool").as_deref(), Some("targets"));
}

#[test]
fn nothing_behind_a_terminating_delegation_answers() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "before", &["*"]);
    repository.delegate("targets", "last", &["t*"]);
    repository.delegate("targets", "behind", &["*"]);
    repository.delegation("targets", "last")["terminating"] = json!(true);
    repository.add_target("behind", "tool", b"evil");
    repository.add_target("behind", "other", b"x");
    repository.add_target("before", "text", b"x");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("tool"), None);
    assert_eq!(client.trusted_version("behind"), None);
    assert_eq!(client.finds_in("other").as_deref(), Some("behind"), "it does not cover this path");
    assert_eq!(client.finds_in("text").as_deref(), Some("before"), "roles before it are asked");
}

#[test]
fn a_terminating_delegation_ends_the_search_further_up_too() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "a", &["*"]);
    repository.delegate("targets", "b", &["*"]);
    repository.delegate("a", "inner", &["*"]);
    repository.delegation("a", "inner")["terminating"] = json!(true);
    repository.delegate("inner", "leaf", &["*"]);
    repository.add_target("b", "tool", b"evil");
    repository.add_target("leaf", "text", b"x");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("tool"), None);
    assert_eq!(client.finds_in("text").as_deref(), Some("leaf"), "what it delegates to is still asked");
}

#[test]
fn a_bin_ends_the_search_further_up_too() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "binned", &["*"]);
    repository.delegate_to_bins("binned", "bin", 1);
    repository.delegate("targets", "second", &["*"]);
    repository.add_target("second", "tool", b"evil");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("tool"), None);
    assert_eq!(client.trusted_version("second"), None);
}

#[test]
fn every_path_has_one_bin_and_nothing_else_answers() {
    let mut repository = SimRepository::new();
    repository.delegate_to_bins("targets", "bin", 2);
    repository.delegate("bin-3", "friend", &["*"]);
    repository.add_target("friend", "a", b"x");
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.shelf().take_requests();
    // SHA-256 of "a" starts with ca: the leading bits are 11.
    assert_eq!(client.finds_in("a").as_deref(), Some("friend"));
    assert_eq!(repository.shelf().take_requests(), ["metadata/2.bin-3.json", "metadata/2.friend.json"]);
    assert_eq!(client.finds_in("c"), None);
    assert_eq!(repository.shelf().take_requests().len(), 1);
}

/// Who watches over what is kept is told of a role by whoever can speak for it.
#[test]
fn who_delegates_to_a_role_with_other_keys_does_not_hide_it_from_who_watches() {
    let mut repository = SimRepository::new();
    let a = repository.delegate("targets", "a", &["a/*"]);
    repository.delegate("targets", "b", &["b/*"]);
    repository.delegate("a", "x", &["a/*"]);
    let right = repository.delegate("b", "x", &["b/*"]);
    *repository.signers("x") = vec![right];
    repository.add_target("x", "b/tool", b"x");
    // The graph has a cycle.
    repository.delegate_to("x", "a", std::slice::from_ref(&a), 1);
    repository.delegation("x", "a")["paths"] = json!(["*"]);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    assert_eq!(client.finds_in("b/tool").as_deref(), Some("x"));
    assert_eq!(refusal_of(client.find("a/tool")).code(), "too-few-signatures");
    let before = client.state();

    let mut updater = client.new_updater().unwrap();
    let kept = block_on(updater.kept_roles()).unwrap();

    let kept: Vec<_> = kept.iter().map(|kept| (kept.role.as_str(), kept.delegator.as_str())).collect();
    assert_eq!(kept, [("a", "targets"), ("b", "targets"), ("x", "b")]);
    // It is trusted through nobody else for that.
    let path = trustroot::metadata::TargetPath::new("a/tool").unwrap();
    assert_eq!(refusal_of(block_on(updater.find(&path))).code(), "too-few-signatures");
    assert_eq!(client.state(), before);
}
