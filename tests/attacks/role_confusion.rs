//! Role confusion: a document that one delegator vouches for is used where another one decides.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Client, Key, SimRepository, refusal_of};

/// `left` and `right` both delegate to a role `shared`, each with a key of its own. Returns both keys.
fn two_delegators() -> (SimRepository, Key, Key) {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "left", &["left/*"]);
    repository.delegate("targets", "right", &["right/*"]);
    let left = repository.delegate("left", "shared", &["left/*"]);
    let right = repository.delegate("right", "shared", &["right/*"]);
    repository.add_target("shared", "left/tool", b"x");
    repository.add_target("shared", "right/tool", b"evil");
    repository.publish();
    (repository, left, right)
}

fn refused_on_the_right(client: &mut Client) {
    assert_eq!(client.finds_in("left/tool").as_deref(), Some("shared"));
    let trusted = client.cached("shared");
    let refusal = refusal_of(client.find("right/tool"));
    assert_eq!(refusal.to_string(), "shared v3 is signed by 0 of the 1 key it needs");
    assert_eq!(client.cached("shared"), trusted);
}

#[test]
fn a_role_trusted_through_one_delegator_is_not_trusted_through_another() {
    let (repository, _, _) = two_delegators();
    refused_on_the_right(&mut repository.client());
}

#[test]
fn a_role_cached_through_one_delegator_is_not_trusted_through_another() {
    let (repository, _, _) = two_delegators();
    let mut client = repository.client();
    client.find("left/tool").unwrap();
    client.refresh().unwrap();
    let refusal = refusal_of(client.find("right/tool"));
    assert_snapshot!(refusal, @"shared v3 is signed by 0 of the 1 key it needs");
    refused_on_the_right(&mut client);
}

#[test]
fn a_role_that_both_delegators_vouch_for_is_trusted_through_both() {
    let (mut repository, left, right) = two_delegators();
    *repository.signers("shared") = vec![left, right];
    repository.serve("shared");
    let mut client = repository.client();
    assert_eq!(client.finds_in("left/tool").as_deref(), Some("shared"));
    assert_eq!(client.finds_in("right/tool").as_deref(), Some("shared"));
}

#[test]
fn a_keyid_means_what_the_delegator_says_and_nobody_else() {
    let (mut repository, left, right) = two_delegators();
    // Both delegators use the same keyid, each for a key of its own.
    for (delegator, key) in [("left", &left), ("right", &right)] {
        let delegations = &mut repository.draft(delegator)["delegations"];
        delegations["keys"] = json!({ "k": key.public });
        repository.delegation(delegator, "shared")["keyids"] = json!(["k"]);
        repository.bump(delegator);
    }
    *repository.signers("shared") = vec![left.under_keyid("k")];
    repository.publish();
    refused_on_the_right(&mut repository.client());
}

/// `left` and `right` each have their own idea of `middle`, and the server shows each idea to whom it suits. What was
/// trusted below the left `middle` must not be trusted below the right one.
#[test]
fn a_role_trusted_through_one_version_of_its_delegator_is_not_trusted_through_another() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "left", &["left/*"]);
    repository.delegate("targets", "right", &["right/*"]);
    repository.delegate("left", "middle", &["*", "left/*"]);
    let right = repository.delegate("right", "middle", &["*", "right/*"]);
    repository.delegate("middle", "leaf", &["left/*", "right/*"]);
    repository.add_target("leaf", "left/tool", b"x");
    repository.add_target("leaf", "right/tool", b"evil");
    repository.publish();
    let mut client = repository.client();
    assert_eq!(client.finds_in("left/tool").as_deref(), Some("leaf"));

    // The same version of `middle`, signed for `right`, with another key for `leaf`.
    let honest = repository.new_key();
    let delegations = &mut repository.draft("middle")["delegations"];
    delegations["keys"] = json!({ honest.keyid.as_str(): honest.public });
    repository.delegation("middle", "leaf")["keyids"] = json!([honest.keyid]);
    *repository.signers("middle") = vec![right];
    repository.serve("middle");

    let refusal = refusal_of(client.find("right/tool"));

    assert_snapshot!(refusal, @"leaf v3 is signed by 0 of the 1 key it needs");
}

#[test]
fn a_delegated_role_with_the_name_of_a_top_level_role_is_refused() {
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        let key = repository.new_key();
        repository.bump("targets");
        repository.draft("targets")["delegations"] = json!({
            "keys": { key.keyid.as_str(): key.public },
            "roles": [{
                "name": name, "keyids": [key.keyid], "threshold": 1, "terminating": false, "paths": ["*"],
            }],
        });
        repository.publish();
        let before = client.cached(name);

        let refusal = refusal_of(client.find("tool").and_then(|_| client.refresh()));

        let message = format!("targets is malformed: signed.delegations.roles[0].name: `{name}` is a top-level role");
        assert_eq!(refusal.to_string(), message);
        assert_eq!(client.trusted_version("targets"), Some(1));
        if name == "root" || name == "targets" {
            assert_eq!(client.cached(name), before);
        }
    }
}

#[test]
fn a_delegated_role_cannot_overwrite_a_top_level_role_where_case_does_not_matter() {
    use trustroot::metadata::RoleName;
    use trustroot::trust::LocalFile;
    let client = SimRepository::new().client();
    for name in ["Root", "TIMESTAMP", "Snapshot", "tArgets"] {
        let role = RoleName::delegated(name).unwrap();
        let path = client.cache().path(&LocalFile::Role(role).into());
        let file = path.file_name().unwrap().to_str().unwrap().to_lowercase();
        assert_ne!(file, format!("{}.json", name.to_lowercase()));
    }
}

/// Two delegators divide their paths among bins that are called alike; a mirror that holds the keys of one set serves it
/// to both.
#[test]
fn bins_of_one_name_are_trusted_through_their_own_delegator_only() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "left", &["left/*"]);
    repository.delegate("targets", "right", &["right/*"]);
    repository.delegate_to_bins("left", "bin", 1);
    let thief = repository.signers("bin-0")[0].clone();
    let honest = repository.delegate_to_bins("right", "bin", 1);
    for bin in ["bin-0", "bin-1"] {
        repository.add_target(bin, "left/tool", b"x");
        repository.add_target(bin, "right/tool", b"evil");
        *repository.signers(bin) = vec![thief.clone()];
    }
    repository.publish();
    let mut client = repository.client();
    assert!(client.finds_in("left/tool").unwrap().starts_with("bin-"));
    let before = client.state();

    let refusal = refusal_of(client.find("right/tool"));

    assert_eq!(refusal.code(), "too-few-signatures", "{refusal}");
    assert!(client.moved_since(&before).iter().all(|file| file == "right.json"));
    assert_ne!(thief.keyid, honest.keyid);
}
