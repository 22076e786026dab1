//! Two updates at once on one cache: neither takes the other back.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use trustroot::client::{LocalCache, Patience, Store, StoreLock, StoredFile, Subject, UpdateError};
use trustroot::metadata::TargetPath;
use trustroot::trust::{Connectivity, TrustedSet};

use crate::support::{Answer, Client, SimRepository, block_on};

fn setting() -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"x");
    repository.publish();
    let client = repository.client();
    (repository, client)
}

#[test]
fn an_update_that_was_overtaken_starts_over() {
    let (mut repository, client) = setting();
    // The first update hangs on its timestamp for a while, and then gets the old one; the second is quicker.
    let old = repository.bytes_on_shelf("timestamp");
    let pause = Duration::from_millis(5);
    repository.shelf().put_before("metadata/timestamp.json", Answer::Dripping(pause, old));
    let (mut first, mut second) = (client.new_updater().unwrap(), client.other_process().new_updater().unwrap());
    repository.add_target("team", "tool", b"y");
    repository.publish();

    let (first, second) = block_on(async { tokio::join!(first.refresh(), second.refresh()) });

    let version = |refreshed: Result<&TrustedSet, UpdateError>| refreshed.unwrap().timestamp().version.get();
    assert_eq!((version(first), version(second)), (3, 3));
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 3, targets 2");
}

#[test]
fn an_updater_made_before_another_one_finished_goes_on_from_there() {
    let (mut repository, client) = setting();
    let client = client.trusting_its_cache();
    let mut early = client.new_updater().unwrap();
    let mut late = client.other_process();
    repository.rotate("timestamp");
    repository.publish();
    late.refresh().unwrap();
    assert_eq!(client.trusted(), "root 2, timestamp 3, snapshot 3, targets 2");

    // Whoever answers the early one offers what was true when it started.
    repository.shelf().remove("metadata/2.root.json");
    repository.set_version("timestamp", 2);
    repository.serve("timestamp");
    let error = block_on(early.refresh()).map(drop).unwrap_err();

    assert_eq!(error.code(), "rollback");
    assert_eq!(client.trusted(), "root 2, timestamp 3, snapshot 3, targets 2");
}

#[test]
fn a_look_up_by_an_updater_that_is_behind_never_misleads_the_next_one() {
    let (mut repository, client) = setting();
    let mut behind = client.new_updater().unwrap();
    block_on(behind.refresh()).map(drop).unwrap();
    repository.add_target("team", "tool", b"new");
    repository.publish();
    let mut ahead = client.other_process();
    ahead.find("tool").unwrap();
    assert_eq!(client.trusted_version("team"), Some(3));

    // What it looks up belongs to what it has refreshed.
    let found = block_on(behind.find(&TargetPath::new("tool").unwrap())).unwrap().unwrap();
    assert_eq!(found.version.get(), 2);

    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 3, targets 2");
    ahead.refresh().unwrap();
    assert_eq!(ahead.find("tool").unwrap().unwrap().version.get(), 3);
}

#[test]
fn a_look_up_by_an_updater_that_is_behind_writes_nothing_over_what_is_newer() {
    let path = TargetPath::new("tool").unwrap();
    // The one that is behind has written its snapshot itself, or found it written.
    for found_written in [false, true] {
        let (mut repository, client) = setting();
        if found_written {
            client.other_process().refresh().unwrap();
        }
        let mut behind = client.new_updater().unwrap();
        block_on(behind.refresh()).map(drop).unwrap();
        repository.add_target("team", "tool", b"new");
        repository.publish();
        client.other_process().find("tool").unwrap();
        let before = client.state();

        // More than once: having been overtaken is not forgotten.
        for target in ["tool", "other", "tool"] {
            let found = block_on(behind.find(&TargetPath::new(target).unwrap())).unwrap();
            assert_eq!(found.map(|found| found.version.get()), (target == "tool").then_some(2));
        }

        assert_eq!(client.moved_since(&before), [""; 0], "{found_written}");
        assert_eq!(client.trusted_version("team"), Some(3));
        let mut history = client.new_updater().unwrap();
        let versions = history.history().unwrap().events().iter().filter_map(|event| match &event.subject {
            Subject::Role(name) if name == "team" => event.version,
            _ => None,
        });
        assert_eq!(versions.collect::<Vec<_>>(), [3]);
        assert!(behind.not_kept().is_none(), "what is kept is newer");
        let mut offline = client.other_process();
        offline.connectivity = Connectivity::Offline;
        assert_eq!(block_on(offline.new_updater().unwrap().find(&path)).unwrap().unwrap().version.get(), 3);
    }
}

#[test]
fn a_look_up_is_kept_where_another_process_has_confirmed_the_same_snapshot() {
    let (mut repository, client) = setting();
    let mut behind = client.new_updater().unwrap();
    block_on(behind.refresh()).map(drop).unwrap();
    repository.bump("timestamp");
    repository.serve("timestamp");
    client.other_process().refresh().unwrap();
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 2, targets 2");

    block_on(behind.find(&TargetPath::new("tool").unwrap())).unwrap().unwrap();

    assert_eq!(client.trusted_version("team"), Some(2));
}

#[test]
fn an_update_that_is_dropped_half_way_lets_go_of_the_cache() {
    let (mut repository, client) = setting();
    let pause = Duration::from_secs(1);
    repository.shelf().put_before("metadata/2.snapshot.json", Answer::Dripping(pause, vec![b' '; 100]));
    let mut dropped = client.new_updater().unwrap();
    block_on(async {
        tokio::select! {
            _ = dropped.refresh() => panic!("it should hang"),
            () = tokio::time::sleep(pause * 5) => {}
        }
    });
    // Nothing is written before an update has ended, well or not.
    assert_eq!(client.trusted(), "root -, timestamp -, snapshot -, targets -");
    repository.publish();
    let mut next = client.other_process();
    next.refresh().unwrap();
    block_on(dropped.refresh()).map(drop).unwrap();
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 3, targets 2");
}

#[test]
fn a_lock_that_is_never_free_holds_up_no_answer_beyond_its_deadline() {
    let (mut repository, client) = setting();
    client.other_process().refresh().unwrap();
    for news in [false, true] {
        if news {
            repository.add_target("team", "tool", b"y");
            repository.publish();
        }
        // So that there are notes to keep, too.
        repository.set_now(repository.shelf().now() + chrono::TimeDelta::minutes(5));
        let before = client.state();
        let held = client.cache().try_lock().unwrap().unwrap();
        for allowed in [Duration::from_secs(2), Duration::from_secs(900)] {
            let settings = client.settings().patience(Patience { update: allowed, ..Patience::default() });
            let mut updater = client.updater_with(settings, client.cache()).unwrap();
            block_on(async {
                let started = tokio::time::Instant::now();
                let version = updater.refresh().await.unwrap().timestamp().version.get();
                assert_eq!(version, repository.version("timestamp"));
                let found = updater.find(&TargetPath::new("tool").unwrap()).await.unwrap().unwrap();
                assert_eq!(found.version.get(), repository.version("team"));
                let most = allowed.min(Duration::from_secs(60)) + Duration::from_secs(1);
                assert!(started.elapsed() < most, "{:?}", started.elapsed());
            });
            assert!(updater.not_kept().unwrap().to_string().contains("holds the lock"));
            assert!(updater.kept().is_empty());
        }
        assert_eq!(client.moved_since(&before), [""; 0]);
        drop(held);
        client.other_process().refresh().unwrap();
        assert_eq!(client.trusted_version("timestamp"), Some(repository.version("timestamp")));
    }
}

/// A cache whose lock is never free, while another process brings it up to date.
struct Held {
    cache: LocalCache,
    meanwhile: Mutex<Option<Client>>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cache.fmt(f)
    }
}

impl Store for Held {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        self.cache.read(file)
    }

    fn write(&self, file: &StoredFile, _: &[u8]) -> io::Result<()> {
        panic!("{file:?} is written without the lock")
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        if let Some(mut other) = self.meanwhile.lock().unwrap().take() {
            std::thread::spawn(move || other.refresh().unwrap()).join().unwrap();
        }
        Ok(None)
    }

    fn describe(&self) -> String {
        self.cache.describe()
    }
}

#[test]
fn an_update_that_was_overtaken_while_it_waited_for_the_lock_answers_nothing_stale() {
    let (mut repository, client) = setting();
    repository.shelf().put_before("metadata/timestamp.json", Answer::Bytes(repository.bytes_on_shelf("timestamp")));
    repository.add_target("team", "tool", b"y");
    repository.publish();
    let store = Held { cache: client.cache(), meanwhile: Mutex::new(Some(client.other_process())) };
    let mut updater = client.updater_with(client.settings(), store).unwrap();

    let version = block_on(updater.refresh()).unwrap().timestamp().version.get();

    assert_eq!(version, 3);
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot 3, targets 2");
}
