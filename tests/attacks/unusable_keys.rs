//! Keys that we cannot use disable themselves and nothing else.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Key, SimRepository, refusal_of};

/// Entries of `keys` that no build can use.
fn unusable() -> Vec<Value> {
    let hex = "ab".repeat(32);
    vec![
        json!({ "keytype": "quantum", "scheme": "ed25519", "keyval": { "public": hex } }),
        json!({ "keytype": "ed25519", "scheme": "quantum", "keyval": { "public": hex } }),
        json!({ "keytype": "ed25519", "scheme": "ecdsa-sha2-nistp256", "keyval": { "public": hex } }),
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": "abc" } }),
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": "ab" } }),
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": {} }),
        json!({ "keytype": "ed25519", "scheme": "ed25519" }),
        json!({ "keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": { "public": "not PEM" } }),
        json!({ "keytype": "rsa", "scheme": "rsassa-pss-md5", "keyval": { "public": "" } }),
        json!({ "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": { "public": "04ab" } }),
        json!({ "keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": { "identity": "x", "issuer": "y" } }),
        json!({}),
    ]
}

#[test]
fn a_role_works_with_the_keys_that_remain() {
    for entry in unusable() {
        let mut repository = SimRepository::new();
        let good = repository.new_key();
        let odd = Key::new("odd", entry.clone(), |_| vec![0; 64]);
        repository.authorize("timestamp", &[odd, good], 1);
        repository.publish_root();
        repository.publish();
        let mut client = repository.client();
        client.refresh().unwrap_or_else(|error| panic!("{entry}: {error}"));
    }
}

#[test]
fn a_threshold_that_needs_an_unusable_key_is_not_met() {
    for entry in unusable() {
        let mut repository = SimRepository::new();
        let good = repository.new_key();
        let odd = Key::new("odd", entry, |_| vec![0; 64]);
        repository.authorize("timestamp", &[odd, good], 2);
        repository.publish_root();
        repository.publish();
        let mut client = repository.client();

        let refusal = refusal_of(client.refresh());

        assert_eq!(refusal.to_string(), "timestamp is signed by 1 of the 2 keys it needs");
        assert_eq!(client.trusted_version("timestamp"), None);
    }
}

#[test]
fn a_keyid_without_a_key_does_not_count() {
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), repository.new_key()];
    repository.authorize("timestamp", &keys, 2);
    repository.draft("root")["keys"].as_object_mut().unwrap().remove(&keys[0].keyid);
    repository.publish_root();
    repository.publish();

    let refusal = refusal_of(repository.client().refresh());

    assert_snapshot!(refusal, @"timestamp is signed by 1 of the 2 keys it needs");
}

#[test]
fn a_threshold_that_cannot_be_reached_breaks_only_its_role() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "broken", &["broken/*"]);
    repository.delegation("targets", "broken")["threshold"] = json!(u64::MAX);
    repository.delegate("targets", "team", &["team/*"]);
    repository.add_target("team", "team/tool", b"x");
    repository.publish();
    let mut client = repository.client();

    let refusal = refusal_of(client.find("broken/tool"));

    assert_snapshot!(refusal, @"broken v1 is signed by 1 of the 18446744073709551615 keys it needs");
    assert_eq!(client.finds_in("team/tool").as_deref(), Some("team"));
    assert_eq!(client.trusted_version("broken"), None);
}

#[test]
fn a_root_with_an_unreachable_threshold_for_another_role_is_still_a_root() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.draft("root")["roles"]["snapshot"]["threshold"] = json!(7);
    repository.publish_root();
    repository.publish();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot v2 is signed by 1 of the 7 keys it needs");
    assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 1, targets 1");
}

#[test]
fn an_rsa_key_signs_under_either_scheme_but_not_under_the_wrong_one() {
    use crate::rsa::{Scheme, rsa_key};
    for (listed, signs, good) in [
        (Scheme::Pkcs1, Scheme::Pkcs1, true),
        (Scheme::Pss, Scheme::Pss, true),
        (Scheme::Pss, Scheme::Pkcs1, false),
        (Scheme::Pkcs1, Scheme::Pss, false),
    ] {
        let mut repository = SimRepository::new();
        repository.authorize("timestamp", &[rsa_key("rsa", listed)], 1);
        repository.publish_root();
        *repository.signers("timestamp") = vec![rsa_key("rsa", signs)];
        repository.publish();
        assert_eq!(repository.client().refresh().is_ok(), good);
    }
}
