//! What is published, and what happens when publishing is interrupted or interfered with.

use std::path::PathBuf;
use std::sync::Arc;

use trustroot::client::{
    CacheMode, FileFetcher, LocalCache, SafeUrl, TrustAnchor, UpdateError, Updater, UpdaterSettings, write_durably,
};
use trustroot::crypto::SecretKey;
use trustroot::metadata::{RoleName, TargetPath, Version};
use trustroot::publish::{LastPublished, PublishError, PublishPlan, Writes, audit};
use trustroot::signers::Signer;

use crate::support::{Registry, block_on};

/// A client that keeps its cache from one refresh to the next.
struct Client {
    cache: tempfile::TempDir,
    root: Vec<u8>,
}

impl Client {
    fn new(registry: &Registry) -> Self {
        Self {
            cache: tempfile::tempdir().unwrap(),
            root: std::fs::read(registry.path("repository/1.root.json")).unwrap(),
        }
    }

    fn updater(&self, registry: &Registry) -> Updater {
        let base = SafeUrl::from_file_path(&registry.published()).unwrap();
        let settings = UpdaterSettings::new(base.clone(), base.below("targets"));
        let cache = LocalCache::new(self.cache.path(), CacheMode::ReadWrite);
        let anchor = TrustAnchor::Pinned(self.root.clone());
        Updater::new(anchor, settings, cache, Arc::new(FileFetcher), registry.start_time()).unwrap()
    }

    fn refresh(&self, registry: &Registry) -> Result<(u64, u64, u64), UpdateError> {
        let mut updater = self.updater(registry);
        let trusted = block_on(updater.refresh())?;
        Ok((trusted.root().version.get(), trusted.timestamp().version.get(), trusted.targets().version.get()))
    }
}

fn write(registry: &Registry, plan: &PublishPlan, count: usize) {
    for object in &plan.objects[..count] {
        let path = registry.published().join(&object.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_durably(&path, &object.bytes).unwrap();
    }
}

/// A registry with a builder that was published, and a client that has read it.
fn published_and_read() -> (Registry, Client) {
    let registry = Registry::with_builder();
    registry.publish().unwrap();
    let client = Client::new(&registry);
    client.refresh(&registry).unwrap();
    (registry, client)
}

#[test]
fn what_was_signed_reaches_a_client_and_nothing_is_done_twice() {
    let registry = Registry::with_builder();
    let client = Client::new(&registry);
    let plan = registry.publish().unwrap();
    assert_eq!(plan.proof.clients, ["root v1 and nothing else"]);
    assert_eq!(client.refresh(&registry).unwrap(), (1, 1, 1));
    let mut updater = client.updater(&registry);
    let signed = registry.signed();
    let document = signed.namespace(&RoleName::delegated("oppy").unwrap()).unwrap().unwrap();
    let (path, _) = document.document.iter().next().unwrap();
    let found = block_on(updater.find(&TargetPath::new(&path).unwrap())).unwrap().unwrap();
    assert_eq!(found.role.as_str(), "oppy");

    let published = registry.files("public");
    let again = registry.publish().unwrap();
    assert!(again.objects.is_empty());
    assert_eq!(registry.files("public"), published);
}

#[test]
fn publishing_can_be_interrupted_after_any_write() {
    let (mut registry, client) = published_and_read();
    registry.now += chrono::Duration::hours(2);
    registry.edit("trustroot.toml", |text| text.replacen("expires-after-days = 365", "expires-after-days = 366", 1));
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.write("targets/hello.txt", "hello");
    registry.hold("targets", &["bob", "carol"]).unwrap();
    let before = registry.files("public");

    let whole = registry.plan(&["online"]).unwrap();
    assert!(whole.objects.len() >= 5);
    for count in 0..=whole.objects.len() {
        // Whoever asks in between sees the state before or the new one, whole.
        std::fs::remove_dir_all(registry.published()).unwrap();
        for (path, content) in &before {
            registry.write(&format!("public/{}", path.display()), std::str::from_utf8(content).unwrap());
        }
        write(&registry, &whole, count);
        for client in [&Client::new(&registry), &client] {
            let seen = client.refresh(&registry).unwrap();
            assert!([1, 2].contains(&seen.2), "{seen:?} after {count} writes");
        }
        // Running it again goes on from there.
        registry.publish().unwrap();
        let (root, _, targets) = Client::new(&registry).refresh(&registry).unwrap();
        assert_eq!((root, targets), (2, 2));
    }
}

#[test]
fn the_pointer_is_written_last_and_immutable_files_first() {
    let registry = Registry::with_builder();
    let plan = registry.plan(&["online"]).unwrap();
    assert!(!registry.published().exists());
    let order: Vec<Writes> = plan.objects.iter().map(|object| object.writes).collect();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(order, sorted);
    assert_eq!(plan.objects.last().unwrap().name, "timestamp.json");
}

#[test]
fn the_same_name_with_other_content_stops_everything() {
    let registry = Registry::with_builder();
    registry.write("public/1.targets.json", "{}");
    let before = registry.files("public");
    assert!(matches!(registry.publish(), Err(PublishError::Conflict { .. })));
    assert_eq!(registry.files("public"), before);

    // Also where it appears between the plan and the write.
    std::fs::remove_file(registry.path("public/1.targets.json")).unwrap();
    let plan = registry.plan(&["online"]).unwrap();
    registry.write("public/1.root.json", "{}");
    assert!(matches!(block_on(plan.apply()), Err(PublishError::Conflict { .. })));
    assert!(!registry.path("public/timestamp.json").exists());
}

#[test]
fn another_repository_is_not_published_over() {
    let registry = Registry::with_builder();
    registry.publish().unwrap();
    let mut other = Registry::new();
    other.add_person("someone");
    other.edit("trustroot.toml", |text| text.replace("online", "someone"));
    other.hold("root", &["alice", "bob"]).unwrap();
    other.hold("targets", &["alice", "bob"]).unwrap();
    for (path, content) in registry.files("public") {
        other.write(&format!("public/{}", path.display()), std::str::from_utf8(&content).unwrap());
    }
    let before = other.files("public");
    let refused = other.plan(&["someone"]);
    assert!(matches!(refused, Err(PublishError::Foreign(_) | PublishError::Conflict { .. })), "{refused:?}");
    assert_eq!(other.files("public"), before);
}

#[test]
fn the_wrong_online_key_publishes_nothing() {
    let mut registry = Registry::with_builder();
    registry.add_person("mallory");
    let error = registry.plan(&["mallory"]).unwrap_err();
    assert!(matches!(error, PublishError::OnlineKeys { role: RoleName::Snapshot, .. }), "{error}");
    assert!(!registry.published().exists());
}

#[test]
fn roles_are_signed_again_after_their_keys_change() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    registry.add_person("oppy-new");
    registry.edit("trustroot.toml", |text| {
        text.replace("signers = [\"oppy-dev\"]", "signers = [\"oppy-new\"]")
            .replace("[people.oppy-dev]", "[people.oppy-new]")
            .replace("keys/oppy-dev.pub", "keys/oppy-new.pub")
    });
    registry.hold("targets", &["alice", "carol"]).unwrap();
    let before = registry.files("public");
    let error = registry.publish().unwrap_err();
    assert!(matches!(&error, PublishError::SignAgain { role, .. } if role.as_str() == "oppy"), "{error}");
    assert_eq!(registry.files("public"), before);
    registry.hold("oppy", &["oppy-new"]).unwrap();
    registry.publish().unwrap();
}

#[test]
fn online_roles_are_signed_again_before_they_expire_and_after() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    let client = Client::new(&registry);
    for (days, timestamp) in [(3, 1), (2, 2), (8, 3)] {
        registry.now += chrono::Duration::days(days);
        registry.publish().unwrap();
        assert_eq!(client.refresh(&registry).unwrap().1, timestamp);
    }
}

#[test]
fn a_rotation_of_the_online_key_is_accepted_by_clients_on_either_side() {
    let (mut registry, client) = published_and_read();
    registry.now += chrono::Duration::hours(2);
    registry.add_person("online2");
    registry.edit("trustroot.toml", |text| {
        text.replace("signers = [\"online\"]", "signers = [\"online2\"]")
            .replace("[people.online]\n", "[people.online2]\n")
            .replace("keys/online.pub", "keys/online2.pub")
    });
    registry.hold("root", &["alice", "bob"]).unwrap();

    // With both keys the pointer comes before the root, and a client may ask after any write.
    let plan = registry.plan(&["online", "online2"]).unwrap();
    let names: Vec<&str> = plan.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["2.snapshot.json", "timestamp.json", "2.root.json"]);
    for count in 1..=plan.objects.len() {
        write(&registry, &plan, count);
        client.refresh(&registry).unwrap();
        Client::new(&registry).refresh(&registry).unwrap();
    }
    assert_eq!(client.refresh(&registry).unwrap().0, 2);
    block_on(audit(&plan, registry.start_time())).unwrap();
}

#[test]
fn versions_of_the_working_copy_that_nobody_signed_are_not_published() {
    let registry = Registry::with_builder();
    let path: PathBuf = registry.path("repository/1.targets.json");
    let text = std::fs::read_to_string(&path).unwrap();
    registry.write("repository/2.targets.json", &text.replace("\"version\": 1", "\"version\": 2"));
    let error = registry.publish().unwrap_err().to_string();
    assert!(error.contains("somebody put it there"), "{error}");
    assert!(!registry.published().exists());
    // Nor do they decide which version comes next.
    assert!(registry.propose("targets").is_err());
}

#[test]
fn a_plan_that_was_overtaken_is_not_written() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    registry.now += chrono::Duration::days(5);
    let plan = registry.plan(&["online"]).unwrap();
    registry.now += chrono::Duration::days(5);
    registry.publish().unwrap();
    let published = registry.files("public");
    assert!(matches!(block_on(plan.apply()), Err(PublishError::Overtaken)));
    assert_eq!(registry.files("public"), published);
}

#[test]
fn an_interrupted_rotation_of_the_online_key_can_be_finished() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    registry.now += chrono::Duration::hours(2);
    registry.add_person("online2");
    registry.edit("trustroot.toml", |text| {
        text.replace("signers = [\"online\"]", "signers = [\"online2\"]")
            .replace("[people.online]\n", "[people.online2]\n")
            .replace("keys/online.pub", "keys/online2.pub")
    });
    registry.hold("root", &["alice", "bob"]).unwrap();
    // The outgoing key is left out, as after a theft, and the run ends before the pointer is written.
    let plan = registry.plan(&["online2"]).unwrap();
    write(&registry, &plan, plan.objects.len() - 1);
    let plan = registry.plan(&["online2"]).unwrap();
    block_on(plan.apply()).unwrap();
    assert_eq!(Client::new(&registry).refresh(&registry).unwrap().0, 2);
}

#[test]
fn a_namespace_that_is_still_delegated_to_is_published_even_if_the_configuration_forgot_it() {
    let registry = Registry::with_builder();
    registry.edit("trustroot.toml", |text| text[..text.find("[namespaces.oppy]").unwrap()].to_owned());
    let plan = registry.publish().unwrap();
    assert!(plan.versions.iter().any(|(role, _)| role.as_str() == "oppy"));
}

#[test]
fn nothing_is_published_into_a_working_copy_or_through_a_link() {
    let registry = Registry::with_builder();
    let online = SecretKey::from_pem(&registry.key("online").to_unencrypted_pem(), None).unwrap();
    let keys: [Box<dyn Signer>; 1] = [Box::new(online)];
    let into = block_on(PublishPlan::prove(&registry.copy(), &registry.path(""), &keys, registry.start_time()));
    assert!(matches!(into, Err(PublishError::WorkingCopy { .. })));
    std::fs::create_dir_all(registry.published()).unwrap();
    std::fs::create_dir_all(registry.path("elsewhere")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(registry.path("elsewhere"), registry.path("public/targets")).unwrap();
    assert!(registry.publish().is_err());
    assert!(registry.files("elsewhere").is_empty());
}

#[test]
fn a_target_that_was_exchanged_after_it_was_signed_is_not_published() {
    let registry = Registry::with_builder();
    let (path, content) = registry.files("repository/targets").into_iter().next().unwrap();
    let changed = String::from_utf8(content).unwrap().replace("oppy", "0ppy");
    registry.write(&format!("repository/targets/{}", path.display()), &changed);
    assert!(registry.publish().is_err());
    assert!(!registry.published().exists());
}

#[test]
fn a_version_of_an_online_role_is_never_used_twice() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    let first = registry.files("public");
    let client = Client::new(&registry);
    registry.now += chrono::Duration::days(5);
    registry.publish().unwrap();
    assert_eq!(client.refresh(&registry).unwrap().1, 2);

    // The directory is set back, then wiped: by an attacker, or from a backup.
    for keep in [true, false] {
        std::fs::remove_dir_all(registry.published()).unwrap();
        for (path, content) in first.iter().filter(|_| keep) {
            registry.write(&format!("public/{}", path.display()), std::str::from_utf8(content).unwrap());
        }
        registry.publish().unwrap();
        client.refresh(&registry).unwrap();
    }
    assert_eq!(client.refresh(&registry).unwrap().1, 4);
}

#[test]
fn what_lists_a_throwaway_key_is_published_as_a_trial_only() {
    for who in ["alice", "oppy-dev"] {
        let mut registry = Registry::new();
        registry.edit("trustroot.toml", |text| format!("trial = true\n{text}"));
        let pem = include_str!("../../keys.example/mallory.pem");
        registry.add_oppy();
        registry.add_key(who, SecretKey::from_pem(pem, None).unwrap());
        registry.hold("root", &["alice", "bob"]).unwrap();
        registry.hold("targets", &["alice", "bob"]).unwrap();
        registry.hold("oppy", &["oppy-dev"]).unwrap();
        let trial = std::fs::read_to_string(registry.path("trustroot.toml")).unwrap();
        registry.edit("trustroot.toml", |text| text.replace("trial = true\n", ""));

        let refused = registry.publish().unwrap_err();

        let PublishError::Refused { source, .. } = &refused else { panic!("{refused}") };
        assert_eq!(source.code(), "example-key", "{who}");
        assert!(!registry.published().join("timestamp.json").exists());
        registry.write("trustroot.toml", &trial);
        registry.publish().unwrap();
    }
}

#[test]
fn a_working_copy_knows_what_it_published_last_and_whether_today_s_root_vouches_for_it() {
    let mut registry = Registry::with_builder();
    let last = |registry: &Registry| LastPublished::of(&registry.copy(), &registry.signed());
    let version = |number| Version::new(number).unwrap();
    assert!(last(&registry).unwrap().timestamp.is_none());
    assert_eq!(last(&registry).unwrap().has(&RoleName::Targets, version(1)), None);
    registry.publish().unwrap();
    let known = last(&registry).unwrap();
    let (timestamp, snapshot) = (known.timestamp.clone().unwrap(), known.snapshot.clone().unwrap());
    assert!(timestamp.current && snapshot.current);
    assert_eq!(snapshot.expires.unwrap().to_string(), "2026-03-15T12:00:00Z");
    assert_eq!(known.has(&RoleName::Targets, version(1)), Some(true));
    assert_eq!(known.has(&RoleName::Targets, version(2)), Some(false));

    // A run that ended between the two: the newer snapshot is nothing that anybody has seen.
    let timestamp = std::fs::read_to_string(registry.path("repository/timestamp.json")).unwrap();
    registry.now += chrono::Duration::days(12);
    registry.publish().unwrap();
    registry.write("repository/timestamp.json", &timestamp);
    let interrupted = last(&registry).unwrap();
    let snapshot = interrupted.snapshot.clone().unwrap();
    assert_eq!((snapshot.version, snapshot.expires.is_none()), (version(1), true));
    assert_eq!(interrupted.has(&RoleName::Targets, version(2)), None);
    registry.publish().unwrap();

    // Another online key, and nothing published with it yet.
    registry.add_person("online2");
    registry.edit("trustroot.toml", |text| {
        text.replace("signers = [\"online\"]", "signers = [\"online2\"]")
            .replace("[people.online]\n", "[people.online2]\n")
            .replace("keys/online.pub", "keys/online2.pub")
    });
    registry.hold("root", &["alice", "bob"]).unwrap();
    let outgoing = last(&registry).unwrap();
    assert!(!outgoing.timestamp.unwrap().current && !outgoing.snapshot.unwrap().current);

    // One that nobody signed says nothing.
    registry.edit("repository/timestamp.json", |text| text.replacen("2026-", "2027-", 1));
    assert!(matches!(last(&registry), Err(PublishError::Foreign(_))));
}

/// Two jobs that publish at once each make a plan over what they see, and sign other documents of the same versions.
#[test]
fn of_two_publishers_at_once_one_publishes_and_the_other_is_told() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    let client = Client::new(&registry);
    for round in 2..8 {
        registry.now += chrono::Duration::hours(1);
        registry.write("targets/tool.tar", &round.to_string());
        registry.hold("targets", &["alice", "bob"]).unwrap();
        let one = registry.plan(&["online"]).unwrap();
        registry.now += chrono::Duration::seconds(1);
        let other = registry.plan(&["online"]).unwrap();
        let barrier = std::sync::Barrier::new(2);
        let results = std::thread::scope(|scope| {
            let run = |plan: &PublishPlan| {
                let (plan, barrier) = (plan.clone(), &barrier);
                scope.spawn(move || {
                    // Whoever waits for the lock waits for as long as it takes.
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    barrier.wait();
                    runtime.block_on(plan.apply())
                })
            };
            [run(&one), run(&other)].map(|thread| thread.join().unwrap())
        });
        // Whoever was second has written nothing: it met the pointer of the first.
        let done: Vec<usize> = (0..2).filter(|index| results[*index].is_ok()).collect();
        assert_eq!(done.len(), 1, "{results:?}");
        let lost = &results[1 - done[0]];
        assert!(matches!(lost, Err(PublishError::Overtaken)), "{lost:?}");
        let published = registry.files("public");
        for object in &[&one, &other][done[0]].objects {
            assert_eq!(published[std::path::Path::new(&object.name)], object.bytes, "{}", object.name);
        }
        assert_eq!(client.refresh(&registry).unwrap(), (1, round, round));
        // Running it again goes on from there.
        registry.publish().unwrap();
        assert_eq!(registry.files("public"), published);
    }
}

/// The first dies in the middle, after the second has made its plan.
#[test]
fn a_publisher_that_meets_half_of_anothers_work_stops_before_the_pointer() {
    let (mut registry, client) = published_and_read();
    registry.now += chrono::Duration::hours(1);
    registry.write("targets/tool.tar", "a tool");
    registry.hold("targets", &["alice", "bob"]).unwrap();
    let dies = registry.plan(&["online"]).unwrap();
    registry.now += chrono::Duration::seconds(1);
    let second = registry.plan(&["online"]).unwrap();
    write(&registry, &dies, dies.objects.len() - 1);
    let pointer = std::fs::read(registry.published().join("timestamp.json")).unwrap();

    let stopped = block_on(second.apply());

    assert!(matches!(&stopped, Err(PublishError::Conflict { name }) if name == "2.snapshot.json"), "{stopped:?}");
    assert_eq!(std::fs::read(registry.published().join("timestamp.json")).unwrap(), pointer);
    assert_eq!(client.refresh(&registry).unwrap(), (1, 1, 1));
    registry.publish().unwrap();
    assert_eq!(client.refresh(&registry).unwrap().2, 2);
}
