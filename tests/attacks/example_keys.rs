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
