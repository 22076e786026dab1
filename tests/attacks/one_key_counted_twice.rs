//! One key counted twice: thresholds ask for distinct keys, however one key is named, listed or spelled
//! (TUF specification section 5.3.4; CVE-2020-6174 and its kin).

use base64::Engine as _;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Client, Key, SimRepository, refusal_of};

/// A repository whose timestamp needs two of `keys`, all of which sign.
fn needing_two_of(keys: &[Key]) -> Client {
    let mut repository = SimRepository::new();
    repository.authorize("timestamp", keys, 2);
    repository.publish_root();
    repository.publish();
    repository.client()
}

fn counts_once(keys: &[Key]) {
    let mut client = needing_two_of(keys);
    let refusal = refusal_of(client.refresh());
    assert_eq!(refusal.to_string(), "timestamp is signed by 1 of the 2 keys it needs");
    assert_eq!(client.trusted(), "root -, timestamp -, snapshot -, targets -");
    // With another key beside them the threshold is met.
    let mut more = keys.to_vec();
    more.push(Key::ed25519(777));
    needing_two_of(&more).refresh().unwrap();
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

/// A DER SubjectPublicKeyInfo: fixed head, then the key.
fn spki(head: &str, key: &str) -> Vec<u8> {
    hex::decode(format!("{head}{key}")).unwrap()
}

const ED25519_HEAD: &str = "302a300506032b6570032100";
const P256_HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

#[test]
fn one_key_under_two_keyids_counts_once() {
    let key = Key::ed25519(70);
    counts_once(&[key.clone(), key.under_keyid("another")]);
    counts_once(&[key.clone(), key.under_keyid(&key.keyid.to_uppercase())]);
}

#[test]
fn an_ed25519_key_spelled_in_several_ways_counts_once() {
    let key = Key::ed25519(70);
    let spelled = |keyid: &str, public: String| {
        let entry = json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } });
        key.listed_as(keyid, entry)
    };
    let der = spki(ED25519_HEAD, key.public_text());
    let wrapped = pem(&der).replace('\n', "\r\n");
    counts_once(&[
        key.clone(),
        spelled("upper", key.public_text().to_uppercase()),
        spelled("pem", pem(&der)),
        spelled("crlf", wrapped),
    ]);
}

#[test]
fn an_ed25519_key_with_further_fields_counts_once() {
    let key = Key::ed25519(70);
    let mut entry = key.public.clone();
    entry["x-owner"] = json!("someone else");
    entry["keyval"]["private"] = json!("");
    counts_once(&[key.clone(), key.listed_as("other", entry)]);
}

#[test]
fn an_ecdsa_key_under_two_types_and_spellings_counts_once() {
    let key = Key::ecdsa();
    let der = spki(P256_HEAD, key.public_text());
    let entry = |keytype: &str, public: &str| -> Value {
        json!({ "keytype": keytype, "scheme": "ecdsa-sha2-nistp256", "keyval": { "public": public } })
    };
    counts_once(&[
        key.clone(),
        key.listed_as("type", entry("ecdsa-sha2-nistp256", key.public_text())),
        key.listed_as("der", entry("ecdsa", &hex::encode(&der))),
        key.listed_as("pem", entry("ecdsa", &pem(&der))),
    ]);
}

#[test]
fn an_rsa_key_under_two_schemes_counts_once() {
    use crate::rsa::{Scheme, rsa_key};
    counts_once(&[rsa_key("pkcs1", Scheme::Pkcs1), rsa_key("pss", Scheme::Pss)]);
}

#[test]
fn one_keyid_that_signs_twice_is_refused() {
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), repository.new_key()];
    repository.authorize("timestamp", &keys, 2);
    repository.publish_root();
    let mut client = repository.client();
    repository.serve_bytes("timestamp", repository.signed_by("timestamp", &[keys[0].clone(), keys[0].clone()]));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp is malformed: signatures: keyid a9dfbd7e signs twice");
    assert_eq!(client.trusted_version("timestamp"), None);
}

#[test]
fn a_repeated_keyid_is_refused_even_where_the_threshold_is_met() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    let key = repository.signers("timestamp")[0].clone();
    repository.publish();
    repository.serve_bytes("timestamp", repository.signed_by("timestamp", &[key.clone(), key]));

    let refusal = refusal_of(client.refresh());

    assert_eq!(refusal.code(), "malformed");
    assert_eq!(client.trusted_version("timestamp"), Some(1));
}

#[test]
fn a_role_that_lists_a_keyid_twice_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    let keyid = repository.signers("timestamp")[0].keyid.clone();
    repository.draft("root")["roles"]["timestamp"] = json!({ "keyids": [keyid, keyid], "threshold": 2 });
    repository.publish_root();

    let refusal = refusal_of(client.refresh());

    assert_eq!(refusal.code(), "malformed");
    assert!(refusal.to_string().starts_with("root is malformed: signed.roles.timestamp.keyids: keyid "));
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn a_delegation_that_lists_a_keyid_twice_is_refused() {
    let mut repository = SimRepository::new();
    let key = repository.delegate("targets", "team", &["*"]);
    repository.delegation("targets", "team")["keyids"] = json!([key.keyid, key.keyid]);
    repository.publish();
    assert_eq!(refusal_of(repository.client().refresh()).code(), "malformed");
}

#[test]
fn signatures_by_keys_of_other_roles_do_not_count() {
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), repository.new_key()];
    repository.authorize("timestamp", &keys, 2);
    repository.publish_root();
    let mut client = repository.client();
    let mut signers = vec![keys[0].clone()];
    for role in ["root", "snapshot", "targets"] {
        signers.push(repository.signers(role)[0].clone());
    }
    repository.serve_bytes("timestamp", repository.signed_by("timestamp", &signers));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp is signed by 1 of the 2 keys it needs");
    assert_eq!(client.trusted_version("timestamp"), None);
}

#[test]
fn a_signature_of_another_document_by_the_right_key_does_not_count() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    let old: Value = serde_json::from_slice(&repository.bytes("timestamp")).unwrap();
    repository.publish();
    let mut new: Value = serde_json::from_slice(&repository.bytes("timestamp")).unwrap();
    new["signatures"] = old["signatures"].clone();
    repository.serve_bytes("timestamp", serde_json::to_vec(&new).unwrap());

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted_version("timestamp"), Some(1));
}
