//! Arbitrary software attack: an attacker who holds no key makes the client take a file of his.

use insta::assert_snapshot;
use serde_json::json;
use trustroot::client::UpdateError;
use trustroot::trust::Refusal;

use crate::support::{Answer, Key, SimRepository, refusal_of};

#[test]
fn metadata_signed_by_a_stranger_is_refused() {
    for (role, message) in [
        ("timestamp", "timestamp is signed by 0 of the 1 key it needs"),
        ("snapshot", "snapshot v2 is signed by 0 of the 1 key it needs"),
        ("targets", "targets v2 is signed by 0 of the 1 key it needs"),
    ] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.add_target("targets", "tool", b"malware");
        repository.publish();
        repository.serve_bytes(role, repository.signed_by(role, &[Key::ed25519(666)]));

        let refusal = refusal_of(client.refresh());

        assert_eq!(refusal.to_string(), message);
        assert_eq!(client.trusted_version(role), Some(1));
        assert_eq!(client.trusted_version("targets"), Some(1));
    }
}

#[test]
fn a_stranger_who_signs_under_the_right_keyid_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    let right = repository.signers("timestamp")[0].keyid.clone();
    repository.publish();
    repository.serve_bytes("timestamp", repository.signed_by("timestamp", &[Key::ed25519(666).under_keyid(&right)]));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn a_document_changed_after_it_was_signed_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let signed = String::from_utf8(repository.bytes("targets")).unwrap();
    repository.serve_bytes("targets", signed.replace("\"length\":4", "\"length\":7").into_bytes());

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets v2 is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 1");
}

#[test]
fn an_unsigned_document_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    repository.serve_bytes("timestamp", repository.signed_by("timestamp", &[]));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"timestamp is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted(), "root -, timestamp -, snapshot -, targets -");
    repository.publish();
    client.refresh().unwrap();
}

#[test]
fn a_root_that_the_trusted_root_did_not_sign_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.authorize("root", &[Key::ed25519(666)], 1);
    repository.publish_root();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root v2 is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
    assert!(!client.history_path(2).exists());
}

#[test]
fn a_root_that_does_not_meet_its_own_threshold_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    let old = repository.signers("root").clone();
    let both = [old[0].clone(), repository.new_key()];
    repository.authorize("root", &both, 2);
    repository.bump("root");
    repository.serve_bytes("root", repository.signed_by("root", &old));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root v2 is signed by 1 of the 2 keys it needs");
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn one_signature_too_few_is_refused_and_enough_are_accepted() {
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), repository.new_key(), repository.new_key()];
    repository.authorize("targets", &keys, 2);
    repository.publish_root();
    let mut client = repository.client();
    repository.publish();
    repository.serve_bytes("targets", repository.signed_by("targets", &keys[..1]));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets v1 is signed by 1 of the 2 keys it needs");
    assert_eq!(client.trusted_version("targets"), None);
    repository.serve_bytes("targets", repository.signed_by("targets", &keys[1..]));
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("targets"), Some(1));
}

#[test]
fn an_invalid_signature_does_not_spoil_a_threshold_that_others_meet() {
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), repository.new_key()];
    repository.authorize("timestamp", &keys, 1);
    repository.publish_root();
    let mut client = repository.client();
    let mut document: serde_json::Value = serde_json::from_slice(&repository.bytes("timestamp")).unwrap();
    for nonsense in ["", "not hex", "abc", "00", &"00".repeat(64)] {
        document["signatures"][0]["sig"] = json!(nonsense);
        repository.serve_bytes("timestamp", serde_json::to_vec(&document).unwrap());
        client.refresh().unwrap();
    }
    document["signatures"][1]["sig"] = json!("");
    repository.serve_bytes("timestamp", serde_json::to_vec(&document).unwrap());
    let refusal = refusal_of(repository.client().refresh());
    assert_snapshot!(refusal, @"timestamp is signed by 0 of the 1 key it needs");
}

#[test]
fn a_document_of_another_type_is_refused_although_its_key_signed() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    // One key for two roles, as many small repositories have it: the type decides then.
    let shared = repository.signers("timestamp").clone();
    repository.authorize("snapshot", &shared, 1);
    let root_keys = repository.signers("root").clone();
    repository.publish_root_signed_by(&root_keys);
    repository.publish();
    repository.serve_bytes("snapshot", repository.bytes("timestamp"));

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot is malformed: the document calls itself `timestamp`, not `snapshot`");
    assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 1, targets 1");
}

#[test]
fn another_file_in_place_of_a_target_is_refused() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    repository.add_target("targets", "tool", b"new!");
    repository.publish();
    let file = repository.target_file("tool", &trustroot::crypto::sha256(b"new!"));
    repository.shelf().put(&file, Answer::Bytes(b"evil".to_vec()));
    client.refresh().unwrap();

    let refusal = refusal_of(client.download("tool"));

    assert_eq!(refusal.code(), "wrong-target-hash");
    assert_eq!(client.downloaded("tool").unwrap(), b"good");
    assert_eq!(client.count_downloads(), 1);
}

#[test]
fn a_target_that_no_role_names_is_not_found() {
    let repository = SimRepository::new();
    let mut client = repository.client();
    repository.put_target("malware", &[0; 32], Answer::Bytes(b"evil".to_vec()));
    assert!(client.find("malware").unwrap().is_none());
    assert_eq!(client.downloaded("malware"), None);
}

#[test]
fn the_refusal_tells_a_late_colleague_from_an_attack() {
    let mut repository = SimRepository::new();
    let keys: Vec<Key> = (0..6).map(|_| repository.new_key()).collect();
    let named: Vec<Key> =
        keys.iter().zip(["a", "b", "c", "d", "e", "f"]).map(|(key, name)| key.under_keyid(name)).collect();
    let again = named[0].under_keyid("z");
    let mut listed = named.clone();
    listed.push(again.clone());
    repository.authorize("timestamp", &listed, 2);
    repository.draft("root")["keys"]["e"]["keytype"] = json!("quantum");
    repository.draft("root")["keys"].as_object_mut().unwrap().remove("f");
    repository.draft("root")["keys"]["b"]["x-tuf-on-ci-keyowner"] = json!("@bob");
    repository.publish_root();
    let mut document: serde_json::Value =
        serde_json::from_slice(&repository.signed_by("timestamp", &[named[0].clone(), again])).unwrap();
    let signatures = document["signatures"].as_array_mut().unwrap();
    signatures.push(json!({ "keyid": "b", "sig": "" }));
    signatures.push(json!({ "keyid": "c", "sig": "00" }));
    signatures.push(json!({ "keyid": "stranger", "sig": "00" }));
    repository.serve_bytes("timestamp", serde_json::to_vec(&document).unwrap());

    let UpdateError::Refused { refusal, .. } = refusal_of(repository.client().refresh()) else { panic!("refused") };

    let Refusal::TooFewSignatures { tally, .. } = *refusal else { panic!("too few") };
    let lines: Vec<String> =
        tally.lines.iter().map(|line| format!("{} {:?} {:?}", line.keyid, line.standing, line.owner)).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    a Valid None
    b Missing Some("@bob")
    c Invalid None
    d Missing None
    e Unusable(Unsupported("the key type or scheme is not one that we know")) None
    f Unknown None
    z SameKey None
    "#);
    assert_eq!((tally.counted, tally.needed, tally.foreign), (1, 2, 1));
}
