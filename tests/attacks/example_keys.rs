//! Example keys: their secret halves are public, so that whoever read the tutorial could sign for a repository that
//! lists one.

use trustroot::client::{SafeUrl, UpdateError};
use trustroot::crypto::SecretKey;

use crate::support::{Key, LOCAL, SimRepository, refusal_of};

fn mallory() -> Key {
    let pem = include_str!("../../keys.example/mallory.pem");
    Key::of_secret(SecretKey::from_pem(pem, None).unwrap())
}

#[test]
fn a_root_that_rotates_to_an_example_key_is_refused() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        let before = client.cached_files();
        let mut keys = repository.signers(role).clone();
        keys.push(mallory());
        repository.authorize(role, &keys, 1);
        repository.publish_root();

        let refusal = refusal_of(client.refresh());

        assert_eq!(refusal.code(), "example-key");
        assert!(refusal.is_refusal() && matches!(refusal, UpdateError::ExampleKey(_)));
        assert_eq!(refusal.to_string(), "root v2 lists the example key `mallory`, whose secret half everybody has");
        assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
        assert_eq!(client.cached_files(), before);
    }
}

#[test]
fn a_pinned_root_with_an_example_key_is_refused_and_nothing_is_kept() {
    let mut repository = SimRepository::new();
    let keys = [repository.signers("timestamp")[0].clone(), mallory()];
    repository.authorize("timestamp", &keys, 1);
    repository.publish_root();
    let root = repository.shelf().get("metadata/2.root.json").unwrap();
    let mut client = repository.client().pinning(root);

    let refusal = refusal_of(client.refresh());

    assert_eq!(refusal.code(), "example-key");
    assert_eq!(client.trusted_version("timestamp"), None);
    assert_eq!(client.trusted_version("root"), None);
}

#[test]
fn a_repository_of_this_machine_may_list_example_keys() {
    let mut repository = SimRepository::new();
    let keys = [repository.signers("timestamp")[0].clone(), mallory()];
    repository.authorize("timestamp", &keys, 1);
    repository.publish_root();
    let mut client = repository.client();
    client.metadata_url = SafeUrl::parse(&format!("{LOCAL}/metadata")).unwrap();
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("root"), Some(2));
}

/// A repository that grants `open/*` to a role that an example key may sign for, and `*` to another.
fn delegating_to_mallory() -> SimRepository {
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), mallory()];
    repository.delegate_to("targets", "open", &keys, 1);
    repository.delegation("targets", "open")["paths"] = serde_json::json!(["open/*"]);
    repository.delegate("targets", "closed", &["*"]);
    repository.add_target("open", "open/tool", b"by anybody");
    repository.add_target("closed", "tool", b"by somebody");
    repository.publish();
    repository
}

#[test]
fn a_role_that_an_example_key_may_sign_for_answers_nothing() {
    let repository = delegating_to_mallory();
    let mut client = repository.client();
    client.refresh().unwrap();

    let refusal = refusal_of(client.find("open/tool"));

    assert_eq!(refusal.code(), "example-key");
    assert_eq!(refusal.to_string(), "targets v3 lists the example key `mallory`, whose secret half everybody has");
    assert_eq!(client.trusted_version("open"), None);
    // It fails the look-ups that need it, and no others.
    assert_eq!(client.finds_in("tool").as_deref(), Some("closed"));
    assert_eq!(client.trusted_version("open"), None);
}

#[test]
fn a_role_that_an_example_key_may_sign_for_is_not_taken_from_the_cache_either() {
    let repository = delegating_to_mallory();
    let mut client = repository.client();
    client.refresh().unwrap();
    client.overwrite("open", &repository.bytes("open"));
    let before = client.state();

    let refusal = refusal_of(client.find("open/tool"));

    assert_eq!(refusal.code(), "example-key");
    assert_eq!(client.state(), before);
}

#[test]
fn a_list_of_what_is_kept_does_not_let_an_example_key_in() {
    let repository = delegating_to_mallory();
    let mut client = repository.client();
    client.refresh().unwrap();
    client.overwrite("open", &repository.bytes("open"));
    let before = client.state();
    let mut updater = client.new_updater().unwrap();

    assert_eq!(crate::support::block_on(updater.kept_roles()).unwrap(), []);

    let path = trustroot::metadata::TargetPath::new("open/tool").unwrap();
    assert_eq!(refusal_of(crate::support::block_on(updater.find(&path))).code(), "example-key");
    assert_eq!(client.state(), before);
}

#[test]
fn a_repository_of_this_machine_may_delegate_to_example_keys() {
    let repository = delegating_to_mallory();
    let mut client = repository.client();
    client.metadata_url = SafeUrl::parse(&format!("{LOCAL}/metadata")).unwrap();
    assert_eq!(client.finds_in("open/tool").as_deref(), Some("open"));
}
