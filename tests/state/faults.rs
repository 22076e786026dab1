//! An update that fails, or is killed, at any of its operations on the store.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;
use trustroot::client::{CacheMode, LocalCache, Store, StoreLock, StoredFile, UpdateError};
use trustroot::metadata::{RoleName, TargetPath, Version};

use crate::support::{Answer, Client, SimRepository, block_on};

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// It fails, and only it.
    Once(io::ErrorKind),
    /// It and all later ones fail, but for reading: a disk that is full, or became read-only.
    NoMoreWrites(io::ErrorKind),
    /// The process is killed: it and all later ones do not happen. A write that it interrupts is as far as this.
    Killed(Progress),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Progress {
    Nothing,
    HalfATemporaryFile,
    Everything,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Read,
    Write,
    Settle,
    Lock,
}

const FAULTS: [Fault; 8] = [
    Fault::Once(io::ErrorKind::Other),
    Fault::Once(io::ErrorKind::StorageFull),
    Fault::NoMoreWrites(io::ErrorKind::StorageFull),
    Fault::NoMoreWrites(io::ErrorKind::ReadOnlyFilesystem),
    Fault::NoMoreWrites(io::ErrorKind::PermissionDenied),
    Fault::Killed(Progress::Nothing),
    Fault::Killed(Progress::HalfATemporaryFile),
    Fault::Killed(Progress::Everything),
];

/// A cache in which operation number `at` goes wrong.
#[derive(Debug)]
struct Faulty {
    cache: LocalCache,
    fault: Fault,
    at: usize,
    done: AtomicUsize,
    failed_write: AtomicBool,
}

impl Faulty {
    /// Counts an operation; the error where it fails, and whether it is the first that does.
    fn next(&self, operation: Operation) -> Option<(io::Error, bool)> {
        let number = self.done.fetch_add(1, Ordering::SeqCst);
        let (fails, kind) = match self.fault {
            Fault::Once(kind) => (number == self.at, kind),
            Fault::NoMoreWrites(kind) => (number >= self.at && operation != Operation::Read, kind),
            Fault::Killed(_) => (number >= self.at, io::ErrorKind::Other),
        };
        if fails && operation != Operation::Read {
            self.failed_write.store(true, Ordering::SeqCst);
        }
        fails.then(|| (io::Error::new(kind, "as the test wants it"), number == self.at))
    }
}

impl Store for Faulty {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        match self.next(Operation::Read) {
            Some((error, _)) => Err(error),
            None => self.cache.read(file),
        }
    }

    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()> {
        match self.next(Operation::Write) {
            Some((error, interrupted)) => {
                if interrupted && self.fault == Fault::Killed(Progress::Everything) {
                    self.cache.write(file, bytes).unwrap();
                }
                if interrupted && self.fault == Fault::Killed(Progress::HalfATemporaryFile) {
                    let directory = self.cache.path(file).parent().unwrap().to_owned();
                    fs_err::create_dir_all(&directory).unwrap();
                    fs_err::write(directory.join(".trustroot-killed"), &bytes[..bytes.len() / 2]).unwrap();
                }
                Err(error)
            }
            None => self.cache.write(file, bytes),
        }
    }

    fn settle(&self) -> io::Result<()> {
        match self.next(Operation::Settle) {
            Some((error, _)) => Err(error),
            None => self.cache.settle(),
        }
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        match self.next(Operation::Lock) {
            Some((error, _)) => Err(error),
            None => self.cache.try_lock(),
        }
    }

    fn describe(&self) -> String {
        self.cache.describe()
    }
}

type Files = BTreeMap<String, Answer>;

/// Newest versions by role; 0 where there is none.
type Versions = BTreeMap<&'static str, u64>;

const ROLES: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "team"];

/// A repository at three times, and a client that last saw it at the first of them, or never.
struct World {
    client: Client,
    repository: SimRepository,
    old: (Files, Versions),
    new: (Files, Versions),
    next: (Files, Versions),
    looks_up: bool,
}

impl World {
    fn new(warm: bool, looks_up: bool, change: impl Fn(&mut SimRepository)) -> Self {
        let mut repository = SimRepository::new();
        repository.delegate("targets", "team", &["*"]);
        repository.add_target("team", "tool", b"x");
        repository.publish();
        let mut client = repository.client();
        if warm {
            client.find("tool").unwrap();
        }
        let now = |repository: &SimRepository| {
            (repository.shelf().files(), ROLES.map(|role| (role, repository.version(role))).into())
        };
        let old = now(&repository);
        change(&mut repository);
        repository.add_target("team", "tool", b"y");
        repository.bump("targets");
        repository.publish();
        let new = now(&repository);
        repository.publish();
        let next = now(&repository);
        Self { client, repository, old, new, next, looks_up }
    }

    fn serve(&self, files: &Files) {
        self.repository.shelf().set_files(files.clone());
    }

    /// What the client does, over `store`: why nothing could be kept, if it answered.
    fn update(&self, store: impl Store + 'static, looks_up: bool) -> Result<Option<io::ErrorKind>, UpdateError> {
        let mut updater = self.client.updater_with(self.client.settings(), store)?;
        block_on(async {
            updater.refresh().await?;
            if looks_up {
                let found = updater.find(&TargetPath::new("tool").unwrap()).await?.unwrap();
                assert_eq!(found.role.as_str(), "team");
            }
            Ok(updater.not_kept().map(io::Error::kind))
        })
    }

    /// Lets operation number `at` go wrong; `false` where the update has ended before.
    fn survives(&self, fault: Fault, at: usize) -> bool {
        let context = format!("{fault:?} at operation {at}");
        let disk = Disk::copy_of(&self.client.cache());
        let before = disk.versions();
        let (done, failed_write) = (AtomicUsize::new(0), AtomicBool::new(false));
        let store = Arc::new(Faulty { cache: disk.cache(), fault, at, done, failed_write });

        self.serve(&self.new.0);
        let updated = self.update(Arc::clone(&store), self.looks_up);

        let happened = store.done.load(Ordering::SeqCst) > at;
        match (&updated, fault) {
            // Trust said neither yes nor no.
            (Err(error), _) => assert_eq!(error.code(), "io", "{context}"),
            // An answer is right, but says that it was not kept.
            (Ok(not_kept), Fault::Once(kind) | Fault::NoMoreWrites(kind)) => {
                let failed = store.failed_write.load(Ordering::SeqCst);
                assert!(!failed || *not_kept == Some(kind), "{context}: {not_kept:?}");
            }
            (Ok(_), Fault::Killed(_)) => {}
        }
        if matches!(fault, Fault::NoMoreWrites(_)) {
            assert!(updated.is_ok(), "{context}: what cannot be kept can still be answered");
        }
        let after = disk.versions();
        for role in ROLES {
            assert!(after[role] >= before[role], "{context}: {role} went back");
        }

        // Somebody serves what was true before.
        self.serve(&self.old.0);
        let replayed = self.update(disk.cache(), false);
        let floor = ["root", "timestamp"].iter().any(|role| after[role] > self.old.1[role]);
        match replayed {
            Ok(_) => assert!(!floor, "{context}: a rollback was accepted"),
            Err(error) => assert!(floor && error.is_refusal(), "{context}: {error}"),
        }
        let replayed = disk.versions();
        for role in ["root", "timestamp", "snapshot", "targets"] {
            assert!(replayed[role] >= after[role], "{context}: {role} went back");
        }

        // The next runs work, and leave nothing over.
        for (files, versions) in [&self.new, &self.next] {
            self.serve(files);
            assert_eq!(self.update(disk.cache(), true).unwrap(), None, "{context}");
            assert_eq!(disk.versions(), *versions, "{context}");
        }
        assert_eq!(disk.leftovers(), [""; 0], "{context}");
        self.serve(&self.old.0);
        assert!(self.update(disk.cache(), false).unwrap_err().is_refusal(), "{context}");
        assert_eq!(disk.versions(), self.next.1, "{context}");
        happened
    }

    fn survives_everything(&self) {
        for fault in FAULTS {
            let operations = (0..10_000).take_while(|at| self.survives(fault, *at)).count();
            assert!((10..200).contains(&operations), "{operations} operations are not an update: {fault:?}");
        }
    }
}

/// A cache of its own.
struct Disk(TempDir);

impl Disk {
    fn copy_of(cache: &LocalCache) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        copy_tree(cache.directory(), copy.0.path());
        copy
    }

    fn cache(&self) -> LocalCache {
        LocalCache::new(self.0.path(), CacheMode::ReadWrite)
    }

    fn versions(&self) -> Versions {
        ROLES.map(|role| (role, newest(self.0.path(), role))).into()
    }

    fn leftovers(&self) -> Vec<String> {
        leftovers(self.0.path())
    }
}

/// Copies a directory with everything in it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().filter_map(Result::ok) {
        let place = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(place).unwrap();
        } else {
            fs_err::copy(entry.path(), place).unwrap();
        }
    }
}

/// The newest version of a role that a cache holds whole; 0 where there is none. A root counts that is in the history.
pub(crate) fn newest(cache: &Path, role: &str) -> u64 {
    let mut files = vec![cache.join(format!("{role}.json"))];
    if role == "root" {
        files.extend(
            fs_err::read_dir(cache.join("root_history")).into_iter().flatten().flatten().map(|file| file.path()),
        );
    }
    let versions = files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "json")).map(|file| {
        let Ok(bytes) = fs_err::read(file) else { return 0 };
        let document: serde_json::Value = serde_json::from_slice(&bytes).expect("what is kept is whole");
        document["signed"]["version"].as_u64().unwrap()
    });
    versions.max().unwrap_or(0)
}

/// Temporary files that stayed behind.
pub(crate) fn leftovers(cache: &Path) -> Vec<String> {
    let names = walkdir::WalkDir::new(cache).into_iter().filter_map(Result::ok);
    let names = names.map(|entry| entry.path().display().to_string());
    names.filter(|name| name.contains(".trustroot-")).collect()
}

#[test]
fn a_first_refresh_survives_a_fault_at_any_operation() {
    World::new(false, false, |_| ()).survives_everything();
}

#[test]
fn a_refresh_over_two_roots_and_new_keys_survives_a_fault_at_any_operation() {
    let rotated_twice = |repository: &mut SimRepository| {
        repository.rotate("timestamp");
        repository.rotate("timestamp");
        repository.rotate("snapshot");
    };
    World::new(true, false, rotated_twice).survives_everything();
}

#[test]
fn a_look_up_of_a_delegated_target_survives_a_fault_at_any_operation() {
    World::new(true, true, |_| ()).survives_everything();
}

#[test]
fn a_disk_that_is_full_or_read_only_still_answers_and_can_be_read() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem] {
        let world = World::new(true, true, |_| ());
        let before = world.client.state();
        world.serve(&world.new.0);
        let store = || Faulty {
            cache: world.client.cache(),
            fault: Fault::NoMoreWrites(kind),
            at: 0,
            done: AtomicUsize::new(0),
            failed_write: AtomicBool::new(false),
        };
        let mut updater = world.client.updater_with(world.client.settings(), store()).unwrap();
        let newest = block_on(updater.refresh()).unwrap().timestamp().version;
        assert_eq!(newest, Version::new(world.new.1["timestamp"]).unwrap());
        assert_eq!(updater.not_kept().unwrap().kind(), kind);
        assert!(!updater.kept().iter().any(|(role, _)| *role == RoleName::Timestamp));
        assert_eq!(world.client.state(), before);

        // What was kept before is of use, and still a floor.
        let mut offline = world.client.settings();
        offline.connectivity = trustroot::trust::Connectivity::Offline;
        let mut updater = world.client.updater_with(offline, store()).unwrap();
        let kept = block_on(updater.refresh()).unwrap().timestamp().version;
        assert_eq!(kept, Version::new(world.old.1["timestamp"]).unwrap());
    }
}
