//! Strictness must not refuse what honest repositories publish.

use serde_json::{Value, json};
use trustroot::metadata::{Document, Envelope, Root, Snapshot, Targets, Timestamp};

use crate::support::{SimRepository, Snapshots};

fn round_trips<T: Document>(bytes: &[u8]) {
    let envelope = Envelope::parse(bytes).unwrap();
    let document: T = envelope.unverified().unwrap();
    assert_eq!(document.to_json().to_canonical(), envelope.signed_bytes());
}

#[test]
fn unknown_fields_are_kept() {
    let mut repository = SimRepository::new();
    repository.hashes_in_meta = true;
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("targets", "tool", b"x");
    for role in ["root", "timestamp", "snapshot", "targets"] {
        repository.draft(role)["x-unknown"] = json!({ "deep": [1, { "er": null }], "-": -5 });
    }
    repository.draft("root")["roles"]["mirrors"] = json!({ "keyids": [], "threshold": 0 });
    repository.draft("root")["roles"]["root"]["x-note"] = json!("kept");
    repository.draft("targets")["targets"]["tool"]["custom"] = json!({ "a": true });
    repository.draft("targets")["delegations"]["x-more"] = json!([]);
    repository.delegation("targets", "team")["x-team"] = json!("red");
    repository.draft("timestamp")["meta"]["other.json"] = json!(1);
    repository.publish_root();
    repository.publish();
    repository.draft("snapshot")["meta"]["team.json"]["x"] = json!(1);
    let mut client = repository.client();
    client.refresh().unwrap();

    round_trips::<Root>(&repository.bytes("root"));
    round_trips::<Timestamp>(&repository.bytes("timestamp"));
    round_trips::<Snapshot>(&repository.bytes("snapshot"));
    round_trips::<Targets>(&repository.bytes("targets"));
    let found = client.find("tool").unwrap().unwrap();
    assert_eq!(found.file.unrecognized["custom"].to_string(), "{\"a\":true}");
}

#[test]
fn expiries_with_an_offset_are_read() {
    for (text, good) in [
        ("2026-03-01T12:00:01+00:00", true),
        ("2026-03-01T12:00:00+00:00", false),
        ("2026-03-01T14:00:00+01:00", true),
        ("2026-03-01T12:30:00+01:00", false),
        ("2026-03-01T12:00:00.5Z", true),
    ] {
        let mut repository = SimRepository::new();
        repository.draft("timestamp")["expires"] = json!(text);
        repository.publish();
        assert_eq!(repository.client().refresh().is_ok(), good, "{text}");
    }
}

#[test]
fn targets_with_sha512_alone_are_downloaded() {
    for snapshots in [Snapshots::Consistent, Snapshots::Plain] {
        let mut repository = SimRepository::with(snapshots);
        repository.add_target("targets", "tool", b"x");
        let digest = sha512(b"x");
        repository.draft("targets")["targets"]["tool"]["hashes"] = json!({ "sha512": hex::encode(&digest) });
        repository.put_target("tool", &digest, crate::support::Answer::Bytes(b"x".to_vec()));
        repository.publish();
        let mut client = repository.client();
        client.download("tool").unwrap();
        assert_eq!(client.downloaded("tool").unwrap(), b"x");
        repository.put_target("tool", &digest, crate::support::Answer::Bytes(b"y".to_vec()));
        fs_err::remove_file(client.destination("tool")).unwrap();
        assert_eq!(client.download("tool").unwrap_err().code(), "wrong-target-hash");
    }
}

fn sha512(bytes: &[u8]) -> Vec<u8> {
    let mut digester = trustroot::crypto::Digester::new([trustroot::metadata::HashAlgorithm::Sha512]);
    digester.update(bytes);
    digester.finish().remove(0).1
}

#[test]
fn white_space_and_order_do_not_matter_to_signatures() {
    let mut repository = SimRepository::new();
    repository.publish();
    let document: Value = serde_json::from_slice(&repository.bytes("timestamp")).unwrap();
    repository.serve_bytes("timestamp", serde_json::to_vec_pretty(&document).unwrap());
    let mut client = repository.client();
    client.refresh().unwrap();
    assert_eq!(client.cached("timestamp"), Some(serde_json::to_vec_pretty(&document).unwrap()), "kept as received");
}

#[test]
fn a_keyid_that_is_not_the_hash_of_its_key_is_only_a_name() {
    let mut repository = SimRepository::new();
    let key = repository.new_key().under_keyid("any text at all");
    repository.authorize("timestamp", &[key], 1);
    repository.publish_root();
    repository.publish();
    repository.client().refresh().unwrap();
}

#[test]
fn a_role_that_nobody_needs_may_come_and_go_as_long_as_the_snapshot_lists_it() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.draft("targets").as_object_mut().unwrap().remove("delegations");
    repository.bump("targets");
    repository.publish();
    client.refresh().unwrap();
    assert!(client.find("tool").unwrap().is_none());
}
