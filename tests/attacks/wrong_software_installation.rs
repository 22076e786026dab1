//! Wrong software installation: the client gets a file that is trusted, but not the one it asked for.

use serde_json::json;

use crate::support::{Answer, SimRepository, Snapshots, refusal_of};

#[test]
fn another_trusted_file_in_place_of_the_one_asked_for_is_refused() {
    let mut repository = SimRepository::with(Snapshots::Plain);
    repository.add_target("targets", "safe", b"safe");
    repository.add_target("targets", "vuln", b"vuln");
    repository.publish();
    let mut client = repository.client();
    repository.shelf().put("targets/safe", Answer::Bytes(b"vuln".to_vec()));

    let refusal = refusal_of(client.download("safe"));

    assert_eq!(refusal.code(), "wrong-target-hash");
    assert_eq!(client.downloaded("safe"), None);
    assert_eq!(client.count_downloads(), 0);
}

#[test]
fn a_prefix_of_the_file_asked_for_is_refused() {
    let mut repository = SimRepository::with(Snapshots::Plain);
    repository.add_target("targets", "tool", b"complete");
    repository.publish();
    let mut client = repository.client();
    repository.shelf().put("targets/tool", Answer::Bytes(b"comp".to_vec()));

    let refusal = refusal_of(client.download("tool"));

    assert_eq!(refusal.code(), "wrong-target-length");
    assert_eq!(client.downloaded("tool"), None);
    assert_eq!(refusal_of(client.target_bytes("tool")).code(), "wrong-target-length");
}

#[test]
fn a_file_that_was_changed_on_disk_is_replaced() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    for changed in [b"evil".as_slice(), b"goo", b"good and more"] {
        fs_err::write(client.destination("tool"), changed).unwrap();
        client.download("tool").unwrap();
        assert_eq!(client.downloaded("tool").unwrap(), b"good");
    }
}

#[test]
fn a_file_that_is_there_already_is_not_fetched_again() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    repository.shelf().take_requests();
    client.download("tool").unwrap();
    assert!(repository.shelf().take_requests().is_empty());
}

#[test]
fn every_hash_that_is_given_must_match() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.draft("targets")["targets"]["tool"]["hashes"]["sha512"] = json!("00".repeat(64));
    repository.publish();
    let mut client = repository.client();

    let refusal = refusal_of(client.download("tool"));

    assert_eq!(refusal.code(), "wrong-target-hash");
    assert_eq!(client.downloaded("tool"), None);
}

#[test]
fn a_hash_that_we_cannot_compute_is_not_enough() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.add_target("targets", "other", b"other");
    repository.draft("targets")["targets"]["tool"]["hashes"] = json!({ "md5": "00" });
    repository.publish();
    let mut client = repository.client();

    let refusal = refusal_of(client.find("tool"));

    insta::assert_snapshot!(
        refusal,
        @"targets is malformed: signed.targets.tool.hashes: none of the hash algorithms is sha256, sha384 or sha512"
    );
    assert_eq!(client.finds_in("other").as_deref(), Some("targets"));
}
