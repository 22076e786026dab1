//! A verified index beside a large targets document: torn, stale, poisoned, or of a file that was damaged.
//!
//! Where anything is in doubt the whole document is verified again, so that the answer is what it would be without an
//! index. Whether it was is seen by what was read of the cache.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use serde_json::{Value, json};
use trustroot::client::danger::{GuardedFile, VerifiedIndex};
use trustroot::client::{CacheMode, LocalCache, Store, StoreLock, StoredFile, UpdateError, Updater};
use trustroot::metadata::TargetPath;
use trustroot::trust::Connectivity;

use crate::support::{Answer, Client, SimRepository, block_on, refusal_of, verified_index};

const ENTRIES: usize = 9000;

/// A path that many entries stand before and behind.
const TOOL: &str = "d04500/tool";

/// A cache that tells which files were read as a whole.
#[derive(Debug)]
pub(crate) struct Watched {
    cache: LocalCache,
    read: Mutex<Vec<String>>,
    /// Whether writing an index fails.
    full: bool,
}

impl Watched {
    pub(crate) fn new(cache: LocalCache) -> Self {
        Self { cache, read: Mutex::default(), full: false }
    }

    /// How often a file was read as a whole.
    pub(crate) fn reads_of(&self, key: &str) -> usize {
        self.read.lock().unwrap().iter().filter(|read| *read == key).count()
    }
}

impl Store for Watched {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        self.read.lock().unwrap().push(file.key());
        self.cache.read(file)
    }

    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()> {
        match file {
            StoredFile::Index(_) if self.full => return Err(io::ErrorKind::StorageFull.into()),
            _ => self.cache.write(file, bytes)?,
        }
        // Whatever the umask is.
        let path = self.cache.path(file);
        let cache = self.cache.directory();
        for path in [cache.parent().unwrap(), cache, path.parent().unwrap(), &path] {
            let mode = fs_err::metadata(path)?.permissions().mode();
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode & !0o022))?;
        }
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        self.cache.settle()
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.cache.try_lock()
    }

    fn open_guarded(&self, file: &StoredFile) -> io::Result<Option<Box<dyn GuardedFile>>> {
        self.cache.open_guarded(file)
    }

    fn mode(&self) -> CacheMode {
        self.cache.mode()
    }

    fn describe(&self) -> String {
        self.cache.describe()
    }
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Index,
    WholeDocument,
}

/// What a new process answers: the length of the target, and how it came to know.
fn ask_of(client: &Client, cache: LocalCache, path: &str) -> (Result<Option<u64>, UpdateError>, By) {
    let store = Arc::new(Watched::new(cache));
    let mut updater = client.updater_with(client.settings(), Arc::clone(&store)).unwrap();
    let found = block_on(updater.find(&TargetPath::new(path).unwrap()));
    assert!(updater.not_kept().is_none());
    let read = store.read.lock().unwrap();
    let whole = read.iter().any(|key| matches!(key.as_str(), "targets.json" | "team.json"));
    (found.map(|found| found.map(|found| found.file.length)), if whole { By::WholeDocument } else { By::Index })
}

fn ask(client: &Client, path: &str) -> (Result<Option<u64>, UpdateError>, By) {
    ask_of(client, client.cache(), path)
}

/// The same of an answer that there must be.
fn answer(client: &Client, path: &str) -> (Option<u64>, By) {
    let (answer, by) = ask(client, path);
    (answer.unwrap(), by)
}

/// What is done to an index, and what that is.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));

fn many_entries(factor: u64) -> Value {
    let entry = |number: usize| {
        let file = json!({ "length": number as u64 * factor, "hashes": { "sha256": "ab".repeat(32) } });
        (format!("d{number:05}/tool"), file)
    };
    Value::Object((0..ENTRIES).map(entry).collect())
}

/// A repository whose top-level targets are large, and a client that has verified them, and indexed what it keeps.
fn indexed() -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    repository.draft("targets")["targets"] = many_entries(1);
    repository.publish();
    let mut client = repository.client();
    client.indexed = true;
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
    assert_eq!(answer(&client, TOOL), (Some(4500), By::Index));
    repository.shelf().take_requests();
    (repository, client)
}

fn index_path(client: &Client) -> PathBuf {
    verified_index::path(client.cache().directory(), "targets")
}

/// What the index says, for changing it.
fn read_index(client: &Client) -> Value {
    verified_index::read(client.cache().directory(), "targets")
}

fn write_index(client: &Client, index: &Value) {
    verified_index::write(client.cache().directory(), "targets", index);
}

/// What somebody does who can write to the cache: another length for [`TOOL`], and an index that fits it.
fn poison(client: &Client) {
    verified_index::poison(client.cache().directory(), &read_index(client), "\"length\":4500}", "\"length\":6666}");
}

// What an index is good for.

#[test]
fn a_look_up_by_an_index_answers_as_one_in_the_whole_document() {
    let (repository, client) = indexed();
    let mut plain = client.other_process();
    plain.indexed = false;
    for (path, length) in [("d00000/tool", Some(0)), (TOOL, Some(4500)), ("d08999/tool", Some(8999))] {
        assert_eq!(answer(&client, path), (length, By::Index), "{path}");
        assert_eq!(answer(&plain, path), (length, By::WholeDocument), "{path}");
    }
    for path in ["a", "d00000", "d04500/toom", "d09000/tool", "z"] {
        assert_eq!(answer(&client, path), (None, By::Index), "{path}");
        assert_eq!(answer(&plain, path), (None, By::WholeDocument), "{path}");
    }
    let asked = repository.shelf().take_requests();
    assert!(!asked.iter().any(|path| path.contains("targets")), "{asked:?}");
}

/// A repository in which a delegated role is large, and a client that has verified it.
fn with_a_large_team() -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*/tool"]);
    repository.draft("team")["targets"] = many_entries(1);
    repository.publish();
    let mut client = repository.client();
    client.indexed = true;
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
    (repository, client)
}

#[test]
fn a_delegated_role_is_indexed_as_well() {
    let (mut repository, client) = with_a_large_team();
    // Top-level targets are small and read as they are.
    let whole_team = |client: &Client| {
        let store = Arc::new(Watched::new(client.cache()));
        let mut updater = client.updater_with(client.settings(), Arc::clone(&store)).unwrap();
        let found = block_on(updater.find(&TargetPath::new(TOOL).unwrap())).unwrap().unwrap();
        let read = store.reads_of("team.json") > 0;
        (found.role.as_str().to_owned(), found.file.length, read)
    };
    assert_eq!(whole_team(&client), ("team".to_owned(), 4500, false));

    // The delegator now names another key for it, which did not sign.
    let key = repository.new_key();
    let delegation = repository.delegation("targets", "team");
    delegation["keyids"] = json!([key.keyid]);
    repository.draft("targets")["delegations"]["keys"] = json!({ key.keyid.as_str(): key.public });
    repository.bump("targets");
    repository.publish();
    let before = client.cached("team");
    let (refused, _) = ask(&client, TOOL);
    assert_snapshot!(refusal_of(refused), @"team v1 is signed by 0 of the 1 key it needs");
    assert_eq!(client.cached("team"), before);
}

#[test]
fn without_the_repository_an_index_serves_too() {
    let (_repository, mut client) = indexed();
    client.connectivity = Connectivity::Offline;
    client.mode = CacheMode::ReadOnly;
    assert_eq!(answer(&client, TOOL), (Some(4500), By::Index));
    assert_eq!(answer(&client, "absent"), (None, By::Index));
}

#[test]
fn where_nothing_is_written_no_index_is() {
    let (_repository, mut client) = indexed();
    fs_err::remove_file(index_path(&client)).unwrap();
    client.mode = CacheMode::ReadOnly;
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
    assert!(!index_path(&client).exists());
}

#[test]
fn an_index_that_cannot_be_written_is_missed_by_nobody() {
    let (_repository, client) = indexed();
    fs_err::remove_file(index_path(&client)).unwrap();
    let store = Watched { full: true, ..Watched::new(client.cache()) };
    let mut updater = client.updater_with(client.settings(), store).unwrap();
    let found = block_on(updater.find(&TargetPath::new(TOOL).unwrap())).unwrap();
    assert_eq!(found.unwrap().file.length, 4500);
    assert!(updater.not_kept().is_none());
    assert!(!index_path(&client).exists());
}

#[test]
fn nobody_waits_for_a_lock_to_write_an_index() {
    let (_repository, client) = indexed();
    fs_err::remove_file(index_path(&client)).unwrap();
    let lock = client.cache().try_lock().unwrap().unwrap();
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
    assert!(!index_path(&client).exists());
    drop(lock);
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
    assert_eq!(answer(&client, TOOL), (Some(4500), By::Index));
}

// Torn.

#[test]
fn a_torn_index_is_not_used_and_is_written_again() {
    let (_repository, client) = indexed();
    let good = fs_err::read(index_path(&client)).unwrap();
    let mut torn: Vec<Vec<u8>> = Vec::new();
    for length in [0, 1, 17, 24, 25, 88, 89, 90, 91, 200, good.len() / 2, good.len() - 1] {
        torn.push(good[..length].to_vec());
    }
    for at in [0, 16, 30, 89, 90, 95, good.len() / 3, good.len() - 1] {
        torn.push([&good[..at], &[good[at] ^ 1], &good[at + 1..]].concat());
    }
    torn.push([&good[..], b"\n"].concat());
    torn.push(vec![0; good.len()]);
    torn.push(vec![b' '; 5 << 20]);
    for torn in torn {
        fs_err::write(index_path(&client), &torn).unwrap();
        let length = torn.len();
        assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument), "{length}");
        assert_eq!(fs_err::read(index_path(&client)).unwrap(), good, "{length}");
    }
    assert_eq!(answer(&client, TOOL), (Some(4500), By::Index));
}

#[test]
fn an_index_that_contradicts_itself_is_not_used() {
    let (_repository, client) = indexed();
    let good = read_index(&client);
    let changes: [Change<'_>; 8] = [
        ("another format", &|index| index["more"] = json!(1)),
        ("no windows", &|index| index["windows"] = json!([])),
        ("windows out of order", &|index| index["windows"].as_array_mut().unwrap().swap(1, 2)),
        ("a window beyond the end", &|index| index["windows"][0]["length"] = json!(u32::MAX)),
        ("a window without end", &|index| index["windows"][0]["length"] = json!(u64::MAX)),
        ("entries in memory", &|index| {
            let signed = index["signed"].as_str().unwrap();
            index["signed"] = json!(signed.replace("\"targets\":{}", "\"targets\":{\"a\":1}"));
        }),
        ("another version", &|index| {
            let signed = index["signed"].as_str().unwrap();
            index["signed"] = json!(signed.replace("\"version\":1", "\"version\":2"));
        }),
        ("another basis", &|index| index["basis"] = json!("00".repeat(32))),
    ];
    for (what, change) in changes {
        let mut index = good.clone();
        change(&mut index);
        write_index(&client, &index);
        assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument), "{what}");
        assert_eq!(read_index(&client), good, "{what}");
    }
}

// Stale.

#[test]
fn a_new_version_is_verified_and_indexed_anew() {
    let (mut repository, client) = indexed();
    repository.draft("targets")["targets"] = many_entries(2);
    repository.bump("targets");
    repository.publish();
    assert_eq!(ask(&client, TOOL).0.unwrap(), Some(9000));
    assert_eq!(answer(&client, TOOL), (Some(9000), By::Index));
    assert_eq!(client.trusted_version("targets"), Some(2));
}

#[test]
fn another_document_of_the_same_version_is_not_read_by_the_index() {
    let (mut repository, client) = indexed();
    // Signed as well, and the snapshot does not tell them apart.
    repository.draft("targets")["targets"] = many_entries(2);
    client.overwrite("targets", &repository.bytes("targets"));
    assert_eq!(answer(&client, TOOL), (Some(9000), By::WholeDocument));
    assert_eq!(answer(&client, TOOL), (Some(9000), By::Index));
}

#[test]
fn a_snapshot_that_names_other_bytes_of_the_same_version_is_not_answered_by_the_index() {
    let (mut repository, client) = indexed();
    repository.hashes_in_meta = true;
    repository.draft("targets")["targets"] = many_entries(2);
    repository.publish();
    assert_eq!(ask(&client, TOOL).0.unwrap(), Some(9000));
    assert_eq!(answer(&client, TOOL), (Some(9000), By::Index));
}

#[test]
fn a_file_that_was_touched_is_verified_again() {
    let (_repository, client) = indexed();
    let path = client.cache_path("targets");
    let mode = fs_err::metadata(&path).unwrap().permissions();
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    fs_err::set_permissions(&path, mode).unwrap();
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
    assert_eq!(answer(&client, TOOL), (Some(4500), By::Index));
}

#[test]
fn keys_that_a_new_root_has_revoked_are_not_believed_because_of_an_index() {
    let (mut repository, client) = indexed();
    repository.rotate("targets");
    let before = client.cached("targets");
    let (refused, _) = ask(&client, TOOL);
    assert_snapshot!(refusal_of(refused), @"targets v1 is signed by 0 of the 1 key it needs");
    assert_eq!(client.cached("targets"), before);
    assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 2, targets 1");
}

#[test]
fn a_threshold_that_was_raised_is_not_met_because_of_an_index() {
    let (mut repository, client) = indexed();
    let root_keys = repository.signers("root").clone();
    let mut keys = repository.signers("targets").clone();
    keys.push(repository.new_key());
    repository.authorize("targets", &keys, 2);
    repository.publish_root_signed_by(&root_keys);
    let before = client.cached("targets");
    let (refused, _) = ask(&client, TOOL);
    assert_snapshot!(refusal_of(refused), @"targets v1 is signed by 1 of the 2 keys it needs");
    assert_eq!(client.cached("targets"), before);
}

#[test]
fn a_root_that_changes_nothing_for_targets_leaves_the_index_good() {
    let (mut repository, client) = indexed();
    repository.rotate("timestamp");
    repository.publish();
    assert_eq!(answer(&client, TOOL), (Some(4500), By::Index));
}

#[test]
fn an_indexed_document_expires_like_any_other() {
    let mut repository = SimRepository::new();
    repository.draft("targets")["targets"] = many_entries(1);
    repository.expire("targets", 3);
    repository.publish();
    let mut client = repository.client();
    client.indexed = true;
    ask(&client, TOOL).0.unwrap();
    assert_eq!(answer(&client, TOOL).1, By::Index);

    repository.wait_days(4);
    let before = client.state();
    let (refused, _) = ask(&client, TOOL);
    assert_eq!(refusal_of(refused).code(), "expired");
    assert_eq!(client.moved_since(&before), [""; 0]);
    client.connectivity = Connectivity::Offline;
    assert!(ask(&client, TOOL).0.is_err());
}

// Poisoned.

#[test]
fn a_poisoned_index_is_believed_where_the_pin_could_be_replaced_and_nowhere_else() {
    let (_repository, client) = indexed();
    poison(&client);
    // This is what `danger` means; the poison is one that works.
    assert_eq!(answer(&client, TOOL), (Some(6666), By::Index));

    let mut pinned_elsewhere = client.other_process();
    pinned_elsewhere.indexed = false;
    assert_eq!(answer(&pinned_elsewhere, TOOL), (Some(4500), By::WholeDocument));
}

#[test]
fn under_a_root_from_elsewhere_a_poisoned_cache_and_mirror_are_refused_and_nothing_moves() {
    let mut repository = SimRepository::new();
    repository.hashes_in_meta = true;
    repository.draft("targets")["targets"] = many_entries(1);
    repository.publish();
    let mut client = repository.client();
    client.indexed = true;
    ask(&client, TOOL).0.unwrap();
    poison(&client);
    assert_eq!(answer(&client, TOOL), (Some(6666), By::Index));
    let served = repository.file_of("targets");
    repository.shelf().put(&served, Answer::Bytes(client.cached("targets").unwrap()));

    client.indexed = false;
    let before = client.state();
    let (refused, _) = ask(&client, TOOL);

    assert_eq!(refusal_of(refused).code(), "wrong-hash");
    assert_eq!(client.moved_since(&before), [""; 0]);
}

#[test]
fn an_index_that_others_may_write_is_not_used() {
    let (_repository, client) = indexed();
    poison(&client);
    let (cache, document) = (client.cache().directory().to_owned(), client.cache_path("targets"));
    let (index, indexes) = (index_path(&client), index_path(&client).parent().unwrap().to_owned());
    let pin = cache.parent().unwrap();
    for path in [&*cache, &indexes, &index, pin] {
        let mode = fs_err::metadata(path).unwrap().permissions().mode();
        for others in [0o020, 0o002, 0o022] {
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode | others)).unwrap();
            assert!(is_closed(&client), "{} {others:o}", path.display());
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    assert_eq!(answer(&client, TOOL), (Some(6666), By::Index));
    // To change the mode of the document changes when it was changed, so that the index is no longer its own.
    fs_err::set_permissions(&document, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(is_closed(&client));
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
}

/// Whether neither the document nor its index is opened to be relied on.
fn is_closed(client: &Client) -> bool {
    use trustroot::metadata::RoleName::Targets;
    use trustroot::trust::LocalFile::Role;
    let opens = |file: StoredFile| client.cache().open_guarded(&file).is_ok_and(|opened| opened.is_some());
    !opens(StoredFile::Index(Targets)) || !opens(StoredFile::Metadata(Role(Targets)))
}

/// Under an access control list the bits of the group tell what the list allows at most, and not to whom.
#[test]
fn a_group_that_may_write_to_pin_and_cache_alike_makes_no_index_believed() {
    let (_repository, client) = indexed();
    poison(&client);
    let cache = client.cache().directory().to_owned();
    let (index, indexes) = (index_path(&client), index_path(&client).parent().unwrap().to_owned());
    let set = |path: &Path, mode| fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    // The document is as it was, so that its index would still be its own.
    for (path, mode) in [(cache.parent().unwrap(), 0o775), (&*cache, 0o775), (&*indexes, 0o775), (&*index, 0o664)] {
        set(path, mode);
    }
    assert!(is_closed(&client));
    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));
}

#[test]
#[expect(clippy::print_stderr, reason = "says that it was skipped")]
fn an_index_of_another_owner_is_not_used() {
    for what in ["pin", "cache", "index", "document"] {
        let (_repository, client) = indexed();
        let cache = client.cache().directory().to_owned();
        let path = match what {
            "pin" => cache.parent().unwrap().to_owned(),
            "cache" => cache,
            "index" => index_path(&client),
            _ => client.cache_path("targets"),
        };
        if let Err(error) = std::os::unix::fs::chown(&path, Some(12_345), None) {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            eprintln!("not tested: only the administrator may give a file to another user");
            return;
        }
        assert!(is_closed(&client), "{what}");
        assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument), "{what}");
    }
}

#[test]
fn an_index_behind_a_link_is_not_used() {
    for what in ["cache", "index", "document"] {
        let (_repository, client) = indexed();
        poison(&client);
        let path = match what {
            "cache" => client.cache().directory().to_owned(),
            "index" => index_path(&client),
            _ => client.cache_path("targets"),
        };
        let elsewhere = path.with_extension("elsewhere");
        fs_err::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(is_closed(&client), "{what}");
        assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument), "{what}");
    }
}

/// Copies a directory, down to the times of its files. (A child process would hold our locks for a moment.)
pub(crate) fn copy_with_times(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().map(Result::unwrap) {
        let copy = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(&copy).unwrap();
        } else {
            fs_err::copy(entry.path(), &copy).unwrap();
        }
        let permissions = entry.metadata().unwrap().permissions();
        fs_err::set_permissions(&copy, permissions).unwrap();
        if entry.file_type().is_file() {
            let modified = entry.metadata().unwrap().modified().unwrap();
            fs_err::OpenOptions::new().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
        }
    }
}

#[test]
fn an_index_that_was_carried_here_with_its_cache_is_not_used() {
    let (repository, client) = indexed();
    poison(&client);
    // What a build service does with a cache, down to the times of the files.
    let mut carried = repository.client();
    carried.indexed = true;
    let (from, to) = (client.cache(), carried.cache());
    let pin = to.directory().parent().unwrap();
    fs_err::set_permissions(pin, std::fs::Permissions::from_mode(0o700)).unwrap();
    copy_with_times(from.directory(), to.directory());
    assert_eq!(read_index(&carried)["file"], read_index(&client)["file"]);
    assert!(!is_closed(&carried));

    assert_eq!(answer(&carried, TOOL), (Some(4500), By::WholeDocument));
    assert_eq!(answer(&carried, TOOL), (Some(4500), By::Index));
}

#[test]
fn without_a_pin_where_it_is_said_to_be_no_index_is_used() {
    let (_repository, client) = indexed();
    poison(&client);
    let pin = client.cache().directory().join("nowhere");
    let cache = client.cache().indexed(VerifiedIndex::where_cache_is_protected_like(pin));
    let (answer, by) = ask_of(&client, cache, TOOL);
    assert_eq!((answer.unwrap(), by), (Some(4500), By::WholeDocument));
}

// Damaged.

/// Changes the document in place, and leaves its times as the index has them.
fn damage(client: &Client, role: &str, change: impl FnOnce(&mut [u8])) {
    let mut document = client.cached(role).unwrap();
    change(&mut document);
    client.overwrite(role, &document);
    let cache = client.cache();
    let mut index = verified_index::read(cache.directory(), role);
    index["file"] = json!(verified_index::identity(&client.cache_path(role)));
    verified_index::write(cache.directory(), role, &index);
}

/// Damage, and what it is.
type Damage = (&'static str, fn(&mut [u8]));

fn rename_tool(document: &mut [u8]) {
    let at = place_of_tool(document);
    document[at] = b'e';
}

fn place_of_tool(document: &[u8]) -> usize {
    document.windows(TOOL.len()).position(|part| part == TOOL.as_bytes()).unwrap()
}

#[test]
fn damage_that_the_index_does_not_know_of_is_found_and_healed() {
    let changes: [Damage; 3] = [
        ("zeros, as after a power failure", |document| {
            let at = place_of_tool(document);
            document[at - 500..at + 500].fill(0);
        }),
        ("one bit of a hash", |document| {
            let at = place_of_tool(document);
            document[at + TOOL.len() + 30] ^= 1;
        }),
        ("another name", rename_tool),
    ];
    for (what, change) in changes {
        let (repository, client) = indexed();
        let good = client.cached("targets");
        damage(&client, "targets", change);
        assert_eq!(answer(&client, "d00003/tool"), (Some(3), By::Index), "{what}: elsewhere nothing has changed");
        repository.shelf().take_requests();

        assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument), "{what}");

        let asked = repository.shelf().take_requests();
        assert!(asked.contains(&repository.file_of("targets")), "{what}: {asked:?}");
        assert_eq!(client.cached("targets"), good, "{what}");
        assert_eq!(answer(&client, TOOL), (Some(4500), By::Index), "{what}");
    }
}

#[test]
fn damage_is_could_not_tell_without_the_repository_and_never_absence() {
    let (_repository, mut client) = indexed();
    damage(&client, "targets", rename_tool);
    client.connectivity = Connectivity::Offline;
    for path in [TOOL, "d04500/tooth"] {
        let (answer, _) = ask(&client, path);
        let error = answer.unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("offline", false), "{path}: {error}");
    }
}

#[test]
fn damage_to_a_delegated_document_is_found_and_healed() {
    let (repository, client) = with_a_large_team();
    let good = client.cached("team");
    damage(&client, "team", rename_tool);
    repository.shelf().take_requests();

    assert_eq!(answer(&client, TOOL), (Some(4500), By::WholeDocument));

    let asked = repository.shelf().take_requests();
    assert!(asked.contains(&repository.file_of("team")), "{asked:?}");
    assert_eq!(client.cached("team"), good);
}

#[test]
fn one_updater_goes_on_with_the_whole_document_once_a_window_does_not_fit() {
    let (_repository, client) = indexed();
    damage(&client, "targets", rename_tool);
    let mut updater: Updater = client.new_updater().unwrap();
    let mut find = |path: &str| block_on(updater.find(&TargetPath::new(path).unwrap())).unwrap();
    assert_eq!(find("d00003/tool").unwrap().file.length, 3);
    assert_eq!(find(TOOL).unwrap().file.length, 4500);
    assert_eq!(find("e04500/tool").map(|found| found.file.length), None);
    assert_eq!(find("d08999/tool").unwrap().file.length, 8999);
    assert_eq!(updater.trusted().unwrap().targets().count(), ENTRIES);
}
