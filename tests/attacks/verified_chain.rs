//! What is kept of a chain of roots that was verified: torn, stale, poisoned, of another pin, or carried here.
//!
//! Where anything is in doubt the chain is walked from the pinned root on, signature by signature. Whether it was is seen by
//! what was read of the cache.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use insta::assert_snapshot;
use serde_json::{Value, json};
use trustroot::client::bundle::{Questions, export};
use trustroot::client::{CacheMode, UpdateError};
use trustroot::crypto::sha256;
use trustroot::trust::{Connectivity, RootPolicy};

use crate::support::{Client, SimRepository, block_on, refusal_of, verified_index};
use crate::verified_index::{Watched, copy_with_times};

/// How a start came to its root.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Index,
    Walking,
}

/// Refreshes as a new process does.
fn start(client: &Client) -> (Result<(), UpdateError>, By) {
    let store = Arc::new(Watched::new(client.cache()));
    let mut updater = client.updater_with(client.settings(), Arc::clone(&store)).unwrap();
    let refreshed = block_on(updater.refresh()).map(drop);
    let walked = store.reads_of("root_history/2.root.json") + store.reads_of("root_history/3.root.json") > 0;
    (refreshed, if walked { By::Walking } else { By::Index })
}

/// The same where it is to succeed.
fn started(client: &Client) -> By {
    let (refreshed, by) = start(client);
    refreshed.unwrap();
    by
}

/// A repository whose root is the fourth, and a client that pins the first and has verified the others.
fn indexed() -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    repository.expire("root", 30);
    let mut client = repository.client();
    client.indexed = true;
    repository.rotate("root");
    repository.rotate("timestamp");
    repository.rotate("root");
    repository.publish();
    assert_eq!(started(&client), By::Walking);
    assert_eq!(started(&client), By::Index);
    assert_eq!(client.trusted_version("root"), Some(4));
    (repository, client)
}

fn index_path(client: &Client) -> PathBuf {
    verified_index::path(client.cache().directory(), "root")
}

fn read_index(client: &Client) -> Value {
    verified_index::read(client.cache().directory(), "root")
}

fn write_index(client: &Client, index: &Value) {
    verified_index::write(client.cache().directory(), "root", index);
}

/// What somebody does who can write to the cache: puts a root that nobody vouches for there, with an index that fits it. It
/// names another key for timestamps.
fn poison(repository: &mut SimRepository, client: &Client, pinned: &[u8]) {
    let stranger = repository.new_key();
    repository.authorize("timestamp", std::slice::from_ref(&stranger), 1);
    claim(client, pinned, &repository.signed_by("root", &[stranger]));
}

/// Makes `newest` the newest root that is kept, and claims that a chain leads there from `pinned`.
fn claim(client: &Client, pinned: &[u8], newest: &[u8]) {
    client.overwrite("root", newest);
    let program = concat!("trustroot ", env!("CARGO_PKG_VERSION"));
    let basis = json!({"from": hex::encode(sha256(pinned)), "program": program, "to": hex::encode(sha256(newest))});
    let basis = hex::encode(sha256(basis.to_string().as_bytes()));
    let file = verified_index::identity(&client.cache_path("root"));
    write_index(client, &json!({"basis": basis, "file": file, "trial": false}));
}

fn root(repository: &SimRepository, version: u64) -> Vec<u8> {
    repository.shelf().get(&format!("metadata/{version}.root.json")).unwrap()
}

#[test]
fn a_chain_that_was_verified_is_not_walked_again_until_it_goes_on() {
    let (mut repository, mut client) = indexed();
    repository.shelf().take_requests();
    assert_eq!(started(&client), By::Index);
    let asked = repository.shelf().take_requests();
    assert_eq!(asked, ["metadata/5.root.json", "metadata/timestamp.json"]);

    repository.rotate("snapshot");
    repository.publish();
    // From the fourth on.
    assert_eq!(started(&client), By::Index);
    assert_eq!(client.trusted_version("root"), Some(5));
    assert_eq!(started(&client), By::Index);
    client.connectivity = Connectivity::Offline;
    client.mode = CacheMode::ReadOnly;
    assert_eq!(started(&client), By::Index);
}

#[test]
fn a_torn_index_of_the_chain_is_not_used_and_is_written_again() {
    let (_repository, client) = indexed();
    let good = fs_err::read(index_path(&client)).unwrap();
    let mut torn: Vec<Vec<u8>> = [0, 1, 24, 88, 89, 90, good.len() - 1].map(|length| good[..length].to_vec()).into();
    for at in [0, 30, 89, 95, good.len() - 1] {
        torn.push([&good[..at], &[good[at] ^ 1], &good[at + 1..]].concat());
    }
    for torn in torn {
        fs_err::write(index_path(&client), &torn).unwrap();
        assert_eq!(started(&client), By::Walking, "{}", torn.len());
        assert_eq!(fs_err::read(index_path(&client)).unwrap(), good, "{}", torn.len());
    }
    let index = read_index(&client);
    // It is not said that roots with example keys would have been refused.
    for (field, value) in
        [("basis", json!("00".repeat(32))), ("file", json!("")), ("trial", json!(true)), ("more", json!(1))]
    {
        let mut changed = index.clone();
        changed[field] = value;
        write_index(&client, &changed);
        assert_eq!(started(&client), By::Walking, "{field}");
        assert_eq!(read_index(&client), index, "{field}");
    }
}

#[test]
fn a_poisoned_index_of_the_chain_is_believed_where_the_pin_could_be_replaced_and_nowhere_else() {
    let (mut repository, client) = indexed();
    let good = client.cached("root");
    let pinned = root(&repository, 1);
    poison(&mut repository, &client, &pinned);
    // This is what `danger` means; the poison is one that works.
    let (refused, by) = start(&client);
    assert_eq!(by, By::Index);
    assert_snapshot!(refusal_of(refused), @"timestamp is signed by 0 of the 1 key it needs");

    let mut pinned_elsewhere = client.other_process();
    pinned_elsewhere.indexed = false;
    assert_eq!(started(&pinned_elsewhere), By::Walking);
    assert_eq!(client.cached("root"), good, "and it is healed");
}

#[test]
fn an_index_of_the_chain_that_others_may_write_is_not_used() {
    let (mut repository, client) = indexed();
    let good = client.cached("root");
    let cache = client.cache().directory().to_owned();
    let indexes = index_path(&client).parent().unwrap().to_owned();
    for path in [cache.parent().unwrap(), &*cache, &*indexes, &*index_path(&client), &*client.cache_path("root")] {
        let pinned = root(&repository, 1);
        poison(&mut repository, &client, &pinned);
        let mode = fs_err::metadata(path).unwrap().permissions().mode();
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode | 0o020)).unwrap();
        // A store that does not mend permissions as it writes.
        let mut updater = client.updater_with(client.settings(), client.cache()).unwrap();
        block_on(updater.refresh()).unwrap();
        assert_eq!(client.cached("root"), good, "{}", path.display());
        if path.exists() {
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        started(&client);
    }
}

#[test]
fn an_index_of_the_chain_is_of_one_pin() {
    let (repository, client) = indexed();
    let other = client.other_process().pinning(root(&repository, 2));
    assert_eq!(started(&other), By::Walking);
    assert_eq!(started(&other), By::Index);
    // Of which only one is kept.
    assert_eq!(started(&client), By::Walking);
    let mut stranger = SimRepository::new();
    let keys: Vec<_> = (0..20).map(|_| stranger.new_key()).collect();
    stranger.authorize("root", &keys[19..], 1);
    let before = client.state();
    let elsewhere = client.other_process().pinning(stranger.bytes("root"));
    assert!(start(&elsewhere).0.is_err());
    assert_eq!(client.moved_since(&before), [""; 0]);
}

#[test]
fn an_index_of_the_chain_that_was_carried_here_with_its_cache_is_not_used() {
    let (mut repository, client) = indexed();
    let good = client.cached("root");
    let pinned = root(&repository, 1);
    let mut carried = Client::new(Arc::clone(repository.shelf()), pinned.clone());
    carried.indexed = true;
    poison(&mut repository, &client, &pinned);
    let to = carried.cache();
    let pin = to.directory().parent().unwrap();
    fs_err::set_permissions(pin, std::fs::Permissions::from_mode(0o700)).unwrap();
    copy_with_times(client.cache().directory(), to.directory());

    assert_eq!(started(&carried), By::Walking);
    assert_eq!(carried.cached("root"), good);
    assert_eq!(started(&carried), By::Index);
}

#[test]
fn an_older_root_that_is_put_back_with_its_index_undoes_nothing() {
    let (mut repository, client) = indexed();
    let (older, index) = (client.cached("root").unwrap(), fs_err::read(index_path(&client)).unwrap());
    repository.rotate("timestamp");
    repository.publish();
    started(&client);
    client.overwrite("root", &older);
    fs_err::write(index_path(&client), index).unwrap();

    assert_eq!(started(&client), By::Walking);
    assert_eq!(client.trusted_version("root"), Some(5));
}

#[test]
fn an_index_of_the_chain_never_leads_back_before_the_pin() {
    let (repository, client) = indexed();
    let (older, pinned) = (root(&repository, 2), root(&repository, 4));
    let client = client.other_process().pinning(pinned.clone());
    claim(&client, &pinned, &older);
    fs_err::remove_file(client.history_path(3)).unwrap();
    repository.shelf().take_requests();

    start(&client).0.unwrap();

    assert_eq!(client.cached("root"), Some(pinned));
    assert!(!repository.shelf().take_requests().contains(&"metadata/3.root.json".to_owned()));
}

#[test]
fn who_asks_more_of_roots_walks_the_chain() {
    let (repository, mut client) = indexed();
    let before = client.state();
    client.root_policy = RootPolicy::post_quantum_from(repository.shelf().now() - TimeDelta::days(1));
    let (refused, by) = start(&client);
    assert_eq!(by, By::Walking);
    assert_eq!(refusal_of(refused).code(), "classical-only");
    assert_eq!(client.moved_since(&before), [""; 0]);
}

#[test]
fn a_root_that_has_expired_is_refused_although_its_chain_was_verified() {
    let (repository, client) = indexed();
    repository.wait_days(31);
    let before = client.state();
    let (refused, by) = start(&client);
    assert_eq!((by, refusal_of(refused).code()), (By::Index, "expired"));
    assert_eq!(client.moved_since(&before), [""; 0]);
}

#[test]
fn an_export_walks_the_chain() {
    let (_repository, client) = indexed();
    let store = Arc::new(Watched::new(client.cache()));
    let mut updater = client.updater_with(client.settings(), Arc::clone(&store)).unwrap();
    let bundle = client.destination("bundle");
    block_on(export(&mut updater, &Questions::default(), 1 << 20, None, &bundle)).unwrap();
    // Once to verify it, and once for the new client that answers from the bundle.
    assert_eq!(store.reads_of("root_history/2.root.json"), 2);
}
