//! Attacks by whoever hands over a bundle: it is trusted no more than a mirror, and its form is hostile input.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use insta::assert_snapshot;
use serde_json::{Value, json};
use trustroot::client::bundle::{Answers, Bundle, BundleError, BundleFetcher, Questions, export, import};
use trustroot::client::{
    FetchFuture, Fetcher, KeptTargets, LocalCache, LookupError, SafeUrl, Store, StoreLock, StoredFile, UpdateError,
    Updater,
};
use trustroot::crypto::{SecretKey, sha256};
use trustroot::metadata::TargetPath;
use trustroot::trust::Connectivity;

use crate::support::{Client, Key, SimRepository, Snapshots, block_on, refusal_of};

const TOOL: &str = "team/tool";
const LIMIT: u64 = 1 << 20;

/// A repository whose delegated role names a target, with its root rotated once; and a client of it that is up to date
/// and one on a machine without a network. Both pin the first root.
struct Scene {
    repository: SimRepository,
    online: Client,
    apart: Client,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(Snapshots::Consistent)
    }

    fn with(snapshots: Snapshots) -> Self {
        let mut repository = SimRepository::with(snapshots);
        let (online, apart) = (repository.client(), repository.client());
        repository.rotate("root");
        repository.delegate("targets", "team", &["team/*"]);
        repository.add_target("team", TOOL, b"the tool");
        repository.publish();
        Self { repository, online, apart, directory: tempfile::tempdir().unwrap() }
    }

    fn kept(client: &Client) -> KeptTargets {
        KeptTargets::In(client.destination("x").parent().unwrap().to_owned())
    }

    /// What `online` exports now.
    fn exported(&self) -> Vec<u8> {
        let server = self.online.shelf();
        let mut updater =
            self.online.updater_from(server, |settings| settings.kept_targets = Self::kept(&self.online)).unwrap();
        let path = self.directory.path().join("exported");
        block_on(export(&mut updater, &questions(&[TOOL]), LIMIT, None, &path)).unwrap();
        fs_err::read(path).unwrap()
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join("handed over");
        fs_err::write(&path, bytes).unwrap();
        path
    }

    fn open(&self, bytes: &[u8]) -> Result<Bundle, BundleError> {
        Bundle::open(&self.file(bytes))
    }

    /// Why these bytes are not a bundle. Nothing is trusted then.
    fn not_taken(&self, bytes: &[u8]) -> BundleError {
        let error = self.open(bytes).unwrap_err();
        assert_eq!(self.apart.trusted(), NOTHING);
        error
    }

    fn import(&self, bytes: &[u8]) -> Result<Answers, UpdateError> {
        self.importing(bytes).1
    }

    fn importing(&self, bytes: &[u8]) -> (Updater, Result<Answers, UpdateError>) {
        let bundle = self.open(bytes).unwrap();
        let questions = bundle.questions().clone();
        let fetcher = Arc::new(BundleFetcher::new(bundle));
        let mut updater = self
            .apart
            .updater_from(Arc::clone(&fetcher) as _, |settings| {
                settings.kept_targets = Self::kept(&self.apart);
                fetcher.bundle().carry_over(settings);
            })
            .unwrap();
        let imported = block_on(import(&mut updater, &questions, LIMIT)).map_err(|error| match error {
            LookupError::Update(error) => error,
            other => panic!("{other}"),
        });
        (updater, imported)
    }

    /// An updater that asks nobody, whatever happens.
    fn offline(&self, max_staleness: Option<TimeDelta>) -> Updater {
        self.apart
            .updater_from(Arc::new(Nobody), |settings| {
                settings.connectivity = Connectivity::Offline;
                settings.kept_targets = Self::kept(&self.apart);
                settings.max_staleness = max_staleness.map(|limit| limit.to_std().unwrap());
            })
            .unwrap()
    }
}

const NOTHING: &str = "root -, timestamp -, snapshot -, targets -";
const FIRST: &str = "root 2, timestamp 2, snapshot 2, targets 2";

fn questions(targets: &[&str]) -> Questions {
    Questions { targets: targets.iter().map(|path| TargetPath::new(*path).unwrap()).collect(), ..Questions::default() }
}

/// Whoever is asked here is asked too much.
#[derive(Debug)]
struct Nobody;

impl Fetcher for Nobody {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        panic!("{url} was asked for offline")
    }
}

/// A bundle in its parts.
struct Parts {
    index: Value,
    contents: Vec<Vec<u8>>,
}

impl Parts {
    fn of(bundle: &[u8]) -> Self {
        let end = bundle.iter().position(|byte| *byte == b'\n').unwrap();
        let index: Value = serde_json::from_slice(&bundle[..end]).unwrap();
        let mut rest = &bundle[end + 1..];
        let mut contents = Vec::new();
        for file in index["files"].as_array().unwrap() {
            let (content, after) = rest.split_at(usize::try_from(file["length"].as_u64().unwrap()).unwrap());
            contents.push(content.to_vec());
            rest = after;
        }
        assert!(rest.is_empty());
        Self { index, contents }
    }

    fn place(&self, ending: &str) -> usize {
        let files = self.index["files"].as_array().unwrap();
        files.iter().position(|file| file["name"].as_str().unwrap().ends_with(ending)).unwrap()
    }

    /// Replaces a file, with the length and the digest of the new one.
    fn replace(mut self, ending: &str, content: &[u8]) -> Self {
        let place = self.place(ending);
        self.contents[place] = content.to_vec();
        self.index["files"][place]["length"] = content.len().into();
        self.index["files"][place]["sha256"] = hex::encode(sha256(content)).into();
        self
    }

    fn without(mut self, ending: &str) -> Self {
        let place = self.place(ending);
        self.contents.remove(place);
        self.index["files"].as_array_mut().unwrap().remove(place);
        self
    }

    /// Adds a file at the end.
    fn and(mut self, name: &str, content: &[u8]) -> Self {
        let listed = json!({"name": name, "length": content.len(), "sha256": hex::encode(sha256(content))});
        self.index["files"].as_array_mut().unwrap().push(listed);
        self.contents.push(content.to_vec());
        self
    }

    fn with(mut self, pointer: &str, value: Value) -> Self {
        *self.index.pointer_mut(pointer).unwrap() = value;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&self.index).unwrap();
        bytes.push(b'\n');
        bytes.extend(self.contents.concat());
        bytes
    }
}

#[test]
fn a_bundle_brings_what_a_mirror_would_and_then_nobody_need_be_asked() {
    for snapshots in [Snapshots::Consistent, Snapshots::Plain] {
        let scene = Scene::with(snapshots);
        let bundle = scene.exported();
        let answers = scene.import(&bundle).unwrap();
        assert_eq!(answers.targets, questions(&[TOOL]).targets);
        assert_eq!(scene.apart.trusted(), FIRST);
        for role in ["root", "timestamp", "snapshot", "targets", "team"] {
            assert_eq!(scene.apart.cached(role), scene.online.cached(role), "{role}");
        }
        assert_eq!(scene.apart.downloaded(TOOL).unwrap(), b"the tool");

        let mut updater = scene.offline(None);
        let found = block_on(updater.find(&TargetPath::new(TOOL).unwrap())).unwrap().unwrap();
        let kept = scene.apart.destination(TOOL);
        assert_eq!(block_on(updater.target_bytes(&found, Some(&kept))).unwrap(), b"the tool");
        assert_eq!(scene.exported(), bundle, "what is the same is written the same");
    }
}

#[test]
fn offline_the_fetcher_is_never_asked_and_what_is_missing_is_said() {
    let scene = Scene::new();
    let error = block_on(scene.offline(None).refresh()).unwrap_err();
    assert_eq!(error.code(), "offline");
    scene.import(&Parts::of(&scene.exported()).with("/questions/targets", json!([])).bytes()).unwrap();
    let mut updater = scene.offline(None);
    block_on(updater.refresh()).unwrap();
    let error = block_on(updater.find(&TargetPath::new(TOOL).unwrap())).unwrap_err();
    assert_eq!(error.code(), "offline");
    assert_eq!(scene.apart.trusted_version("team"), None);
}

#[test]
fn an_older_bundle_is_refused_as_a_rollback() {
    let mut scene = Scene::new();
    let old = scene.exported();
    scene.repository.publish();
    scene.import(&scene.exported()).unwrap();
    let before = cached(&scene.apart);

    let refusal = refusal_of(scene.import(&old));

    assert_snapshot!(refusal, @"timestamp v2 is older than v3, which is already trusted");
    assert_eq!(scene.apart.trusted(), "root 2, timestamp 3, snapshot 3, targets 2");
    assert_eq!(cached(&scene.apart), before);
}

#[test]
fn a_bundle_that_was_held_back_until_it_expired_is_refused() {
    let mut scene = Scene::new();
    scene.repository.expire("timestamp", 1);
    scene.repository.publish();
    let bundle = scene.exported();
    scene.repository.wait_days(2);

    let refusal = refusal_of(scene.import(&bundle));

    assert_eq!(refusal.code(), "expired");
    assert_eq!(scene.apart.trusted_version("timestamp"), None);
    assert_eq!(scene.apart.trusted_version("snapshot"), None);
    assert!(scene.apart.downloaded(TOOL).is_none());
}

#[test]
fn metadata_in_a_bundle_that_a_stranger_signed_is_refused() {
    let mut scene = Scene::new();
    let bundle = scene.exported();
    let stranger = scene.repository.new_key();
    let forged = scene.repository.signed_by("timestamp", &[stranger]);

    let refusal = refusal_of(scene.import(&Parts::of(&bundle).replace("timestamp.json", &forged).bytes()));

    assert_eq!(refusal.code(), "too-few-signatures");
    let UpdateError::Refused { url: Some(url), .. } = refusal else { panic!("refused") };
    assert_eq!(url.to_string(), "file://bundle/metadata/timestamp.json");
    assert_eq!(scene.apart.trusted(), "root 2, timestamp -, snapshot -, targets -");
}

#[test]
fn a_root_in_a_bundle_that_the_pinned_keys_did_not_sign_is_refused() {
    let mut scene = Scene::new();
    let bundle = scene.exported();
    let stranger = scene.repository.new_key();
    let forged = scene.repository.signed_by("root", &[stranger]);

    let refusal = refusal_of(scene.import(&Parts::of(&bundle).replace("2.root.json", &forged).bytes()));

    assert_eq!(refusal.code(), "too-few-signatures");
    assert_eq!(scene.apart.trusted(), NOTHING);
}

#[test]
fn a_target_in_a_bundle_that_was_changed_is_refused_and_not_kept() {
    let scene = Scene::new();

    let refusal = refusal_of(scene.import(&Parts::of(&scene.exported()).replace(".tool", b"the fool").bytes()));

    assert_eq!(refusal.code(), "wrong-target-hash");
    assert_eq!(scene.apart.count_downloads(), 0);
}

#[test]
fn files_that_nothing_asks_for_are_not_kept() {
    let scene = Scene::new();
    let bundle = Parts::of(&scene.exported()).and("targets/z/evil", b"evil").and("targets/zz", b"evil").bytes();
    scene.import(&bundle).unwrap();
    assert_eq!(scene.apart.count_downloads(), 1);
    assert_eq!(scene.apart.trusted(), FIRST);
}

#[test]
fn a_bundle_cannot_make_itself_asked_for_what_no_role_names() {
    let scene = Scene::new();
    let bundle = Parts::of(&scene.exported()).with("/questions/targets", json!(["zz"])).and("targets/zz", b"evil");
    let answers = scene.import(&bundle.bytes()).unwrap();
    assert_eq!(answers.not_named, questions(&["zz"]).targets);
    assert_eq!(scene.apart.count_downloads(), 0);
}

#[test]
fn roots_that_begin_too_late_are_told_from_a_chain_that_ends() {
    let mut scene = Scene::new();
    scene.repository.publish_root();

    let error = scene.import(&Parts::of(&scene.exported()).without("2.root.json").bytes()).unwrap_err();

    assert_eq!(error.code(), "transport");
    assert!(error.to_string().contains("this root is needed and not in the bundle"), "{error}");
    assert_eq!(scene.apart.trusted(), NOTHING);
}

/// There is no such file anywhere but in the bundle: a URL would say nothing to anybody.
#[test]
fn what_is_missing_from_a_bundle_is_said_in_words_of_the_bundle() {
    for (missing, trusted) in [
        ("metadata/timestamp.json", "root 2, timestamp -, snapshot -, targets -"),
        ("metadata/2.snapshot.json", "root 2, timestamp 2, snapshot -, targets -"),
        ("metadata/2.team.json", FIRST),
    ] {
        let scene = Scene::new();
        let bundle = Parts::of(&scene.exported()).without(missing).bytes();
        let error = scene.import(&bundle).unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("absent", false));
        assert_eq!(error.to_string(), format!("the bundle has no `{missing}`"));
        assert_eq!(scene.apart.trusted(), trusted);
    }
}

#[test]
fn a_bundle_without_the_newest_root_does_not_undo_it() {
    let scene = Scene::new();
    let bundle = scene.exported();
    scene.import(&bundle).unwrap();
    let before = cached(&scene.apart);

    let imported = scene.import(&Parts::of(&bundle).without("2.root.json").bytes());

    // The root that is kept goes on to count; the rest is the same.
    imported.unwrap();
    assert_eq!(cached(&scene.apart), before);
}

#[test]
fn a_bundle_with_an_example_key_is_refused_as_the_repository_would_be() {
    let mut scene = Scene::new();
    scene.import(&scene.exported()).unwrap();
    let bundle = scene.exported();
    let pem = include_str!("../../keys.example/mallory.pem");
    let mallory = Key::of_secret(SecretKey::from_pem(pem, None).unwrap());
    let keys = [scene.repository.signers("timestamp")[0].clone(), mallory];
    scene.repository.authorize("timestamp", &keys, 1);
    scene.repository.publish_root();
    let root = scene.repository.bytes("root");
    let mut parts = Parts::of(&bundle);
    let place = parts.place("2.root.json") + 1;
    let listed = json!({"name": "metadata/3.root.json", "length": root.len(), "sha256": hex::encode(sha256(&root))});
    parts.index["files"].as_array_mut().unwrap().insert(place, listed);
    parts.contents.insert(place, root);
    // Names are in order.
    let mut files: Vec<(Value, Vec<u8>)> =
        parts.index["files"].as_array().unwrap().iter().cloned().zip(parts.contents.clone()).collect();
    files.sort_by_key(|(listed, _)| listed["name"].as_str().unwrap().to_owned());
    let (listed, contents): (Vec<Value>, Vec<Vec<u8>>) = files.into_iter().unzip();
    let bundle = Parts { index: parts.with("/files", listed.into()).index, contents };

    let refusal = refusal_of(scene.import(&bundle.bytes()));

    assert_eq!(refusal.code(), "example-key");
    assert_eq!(scene.apart.trusted(), FIRST);
}

#[test]
fn a_bundle_counts_as_confirmed_when_it_was_exported_and_never_later_than_now() {
    let scene = Scene::new();
    let bundle = scene.exported();
    let exported_at = scene.repository.shelf().now();
    scene.repository.wait_days(3);
    let (updater, imported) = scene.importing(&bundle);
    imported.unwrap();
    assert_eq!(updater.freshness().confirmed_at, Some(exported_at));
    let error = block_on(scene.offline(Some(TimeDelta::days(2))).refresh()).unwrap_err();
    assert_eq!(error.code(), "too-stale");
    block_on(scene.offline(Some(TimeDelta::days(4))).refresh()).unwrap();

    // Nobody signed that time. The most that a lie can do is what a mirror can that answers today with what was yesterday.
    let now = scene.repository.shelf().now();
    let lie = Parts::of(&bundle).with("/confirmedAt", json!(now + TimeDelta::days(300)));
    let (updater, imported) = scene.importing(&lie.bytes());
    imported.unwrap();
    assert_eq!(updater.freshness().confirmed_at, Some(now));
    block_on(scene.offline(None).refresh()).unwrap();

    // Nor does one that says less take back what is known.
    let (updater, imported) = scene.importing(&bundle);
    imported.unwrap();
    assert_eq!(updater.freshness().confirmed_at, Some(now));
}

#[test]
fn a_bundle_of_unknown_time_confirms_nothing() {
    let scene = Scene::new();
    let bundle = Parts::of(&scene.exported()).with("/confirmedAt", Value::Null).bytes();
    let (updater, imported) = scene.importing(&bundle);
    imported.unwrap();
    assert_eq!(updater.freshness().confirmed_at, None::<DateTime<Utc>>);
    let error = block_on(scene.offline(Some(TimeDelta::days(300))).refresh()).unwrap_err();
    assert_eq!(error.code(), "too-stale");
}

#[test]
fn names_in_a_bundle_that_lead_elsewhere_are_refused() {
    let scene = Scene::new();
    let bundle = scene.exported();
    for name in [
        "/etc/passwd",
        "../x",
        "targets/../x",
        "targets/a/../../x",
        "targets/./x",
        "targets//x",
        "targets/",
        "targets",
        "targets/a\\b",
        "targets/a b",
        "targets/\u{1b}[2J",
        "targets/\u{e9}",
        "metadatb/1.root.json",
        "zmetadata/1.root.json",
        "tmp/x",
        "",
    ] {
        let error = scene.not_taken(&Parts::of(&bundle).and(name, b"x").bytes());
        assert_eq!(error.code(), "malformed-bundle", "{name}");
        assert!(error.to_string().contains("it has a file called"), "{name}: {error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
    let long = format!("targets/{}", "a".repeat(20_000));
    assert_eq!(scene.not_taken(&Parts::of(&bundle).and(&long, b"x").bytes()).code(), "malformed-bundle");
    let nested = Parts::of(&bundle).with("/files/0/name", json!("metadata/a/1.root.json")).bytes();
    assert_eq!(scene.not_taken(&nested).code(), "malformed-bundle");
}

#[test]
fn a_name_that_stands_twice_in_a_bundle_is_refused() {
    let scene = Scene::new();
    let bundle = Parts::of(&scene.exported()).and("targets/z", b"one").and("targets/z", b"two").bytes();
    assert_snapshot!(scene.not_taken(&bundle), @"this is not a bundle that is taken: `targets/z` stands twice, or out of order");
}

#[test]
fn lengths_in_a_bundle_that_lie_are_refused() {
    let scene = Scene::new();
    let bundle = scene.exported();
    for length in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let error = scene.not_taken(&Parts::of(&bundle).with("/files/0/length", json!(length)).bytes());
        assert_eq!(error.code(), "malformed-bundle");
        assert!(error.to_string().contains("is longer than what is there"), "{error}");
    }
    // Two that would wrap around to the right sum.
    let mut parts = Parts::of(&bundle);
    let first = parts.index["files"][0]["length"].as_u64().unwrap();
    let second = parts.index["files"][1]["length"].as_u64().unwrap();
    parts.index["files"][0]["length"] = json!(u64::MAX);
    parts.index["files"][1]["length"] = json!(first + second + 1);
    assert_eq!(scene.not_taken(&parts.bytes()).code(), "malformed-bundle");
    for length in [json!(-1), json!(1.5), json!("1"), Value::Null] {
        let error = scene.not_taken(&Parts::of(&bundle).with("/files/0/length", length).bytes());
        assert_eq!(error.code(), "malformed-bundle");
    }
}

#[test]
fn a_bundle_that_was_cut_short_or_added_to_is_refused_at_every_place() {
    let scene = Scene::new();
    let bundle = scene.exported();
    for end in (0..bundle.len()).step_by(97) {
        assert_eq!(scene.not_taken(&bundle[..end]).code(), "malformed-bundle", "{end}");
    }
    let longer = [&bundle[..], b"x"].concat();
    assert_snapshot!(scene.not_taken(&longer), @"this is not a bundle that is taken: 1 bytes follow the last file");
}

#[test]
fn a_bundle_with_a_flipped_bit_is_refused_wherever_it_is() {
    let scene = Scene::new();
    let bundle = scene.exported();
    let contents = bundle.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for place in (contents..bundle.len()).step_by(61) {
        let mut damaged = bundle.clone();
        damaged[place] ^= 4;
        assert_eq!(scene.not_taken(&damaged).code(), "damaged-bundle", "{place}");
    }
}

#[test]
fn a_bundle_that_never_ends_its_first_line_is_given_up() {
    let scene = Scene::new();
    let endless = vec![b' '; (16 << 20) + 1];
    assert_snapshot!(scene.not_taken(&endless), @"this is not a bundle that is taken: it does not begin with a line of at most 16777216 bytes");
}

#[test]
fn a_bundle_of_too_many_files_is_refused() {
    let scene = Scene::new();
    let mut parts = Parts::of(&scene.exported());
    let empty = hex::encode(sha256(b""));
    let files = parts.index["files"].as_array_mut().unwrap();
    files.extend(
        (0..65_536).map(|number| json!({"name": format!("targets/z{number:05}"), "length": 0, "sha256": empty})),
    );
    assert_snapshot!(scene.not_taken(&parts.bytes()), @"this is not a bundle that is taken: it has more than 65536 files");
}

#[test]
fn a_bundle_that_asks_too_much_is_refused() {
    let scene = Scene::new();
    let targets: Vec<String> = (0..=10_000).map(|number| format!("t{number}")).collect();
    let error = scene.not_taken(&Parts::of(&scene.exported()).with("/questions/targets", json!(targets)).bytes());
    assert!(error.to_string().contains("it asks for more than 10000"), "{error}");
    let outside = Parts::of(&scene.exported()).with("/questions/targets", json!(["../../etc/passwd"])).bytes();
    assert_eq!(scene.not_taken(&outside).code(), "malformed-bundle");
}

#[test]
fn what_two_readers_could_read_differently_in_a_bundle_is_refused() {
    let scene = Scene::new();
    let bundle = String::from_utf8(scene.exported()).unwrap();
    let twice = bundle.replacen("{\"", "{\"mediaType\":\"application/vnd.trustroot.bundle.v1\",\"", 1);
    assert_eq!(scene.not_taken(twice.as_bytes()).code(), "malformed-bundle");
    let unknown = bundle.replacen("{\"", "{\"mustNotBeUsedAfter\":\"2020-01-01T00:00:00Z\",\"", 1);
    assert_eq!(scene.not_taken(unknown.as_bytes()).code(), "malformed-bundle");
    let other = bundle.replacen("bundle.v1", "bundle.v2", 1);
    assert_eq!(scene.not_taken(other.as_bytes()).code(), "malformed-bundle");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let scene = Scene::new();
    assert_eq!(Bundle::open(scene.directory.path()).unwrap_err().code(), "malformed-bundle");
    assert_eq!(Bundle::open(Path::new("/dev/zero")).unwrap_err().code(), "malformed-bundle");
    assert_eq!(Bundle::open(&scene.directory.path().join("absent")).unwrap_err().code(), "io");
    assert_eq!(scene.apart.trusted(), NOTHING);
}

#[test]
fn an_export_of_what_no_role_names_writes_nothing() {
    let scene = Scene::new();
    let mut updater = scene.online.updater_from(scene.online.shelf(), |_| {}).unwrap();
    let path = scene.directory.path().join("bundle");
    let error = block_on(export(&mut updater, &questions(&["absent"]), LIMIT, None, &path)).unwrap_err();
    assert_eq!(error.code(), "no-such-target");
    assert!(!path.exists());
}

/// A cache beside which another process replaces a target, just before something is read from the cache for the nth time.
#[derive(Debug)]
struct Meddled {
    cache: LocalCache,
    reads_left: AtomicUsize,
    target: PathBuf,
}

impl Store for Meddled {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        if self.reads_left.load(Ordering::Relaxed) > 0 && self.reads_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            fs_err::write(&self.target, b"the fool")?;
        }
        self.cache.read(file)
    }

    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()> {
        self.cache.write(file, bytes)
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.cache.try_lock()
    }

    fn describe(&self) -> String {
        self.cache.describe()
    }
}

#[test]
fn a_target_that_changes_while_it_is_exported_is_in_no_bundle() {
    let mut scene = Scene::new();
    scene.repository.delegate("targets", "zoo", &["zoo/*"]);
    scene.repository.add_target("zoo", "zoo/cage", b"the cage");
    scene.repository.publish();
    let path = scene.directory.path().join("exported");
    let mut settings = scene.online.settings();
    settings.kept_targets = Scene::kept(&scene.online);
    let (mut overtaken, mut reads) = (0, 1);
    loop {
        let (cache, target) = (scene.online.cache(), scene.online.destination(TOOL));
        let store = Arc::new(Meddled { cache, reads_left: AtomicUsize::new(reads), target });
        let mut updater = scene.online.updater_with(settings.clone(), Arc::clone(&store)).unwrap();
        match block_on(export(&mut updater, &questions(&[TOOL, "zoo/cage"]), LIMIT, None, &path)) {
            // It was replaced before it was looked at, and then fetched anew.
            Ok(_) => {
                let bundle = fs_err::read(&path).unwrap();
                scene.apart = scene.repository.client();
                scene.import(&bundle).unwrap();
                assert_eq!(scene.apart.downloaded(TOOL).unwrap(), b"the tool");
                fs_err::remove_file(&path).unwrap();
                fs_err::remove_file(scene.directory.path().join("handed over")).unwrap();
            }
            Err(error) => {
                assert_eq!(error.code(), "export-overtaken", "{error}");
                overtaken += 1;
            }
        }
        assert_eq!(fs_err::read_dir(scene.directory.path()).unwrap().count(), 0, "whole or not there");
        if store.reads_left.load(Ordering::Relaxed) > 0 {
            break;
        }
        reads += 1;
    }
    assert!(overtaken > 0, "it was replaced at each of {reads} reads");
}

/// A scene in which the online client pins root 4 and the other root 1; and the roots by version, from 1.
fn with_an_older_pin_apart() -> (Scene, Vec<Vec<u8>>) {
    let mut scene = Scene::new();
    scene.repository.rotate("root");
    scene.repository.rotate("timestamp");
    scene.repository.publish();
    let root = |version| scene.repository.shelf().get(&format!("metadata/{version}.root.json")).unwrap();
    let roots: Vec<_> = (1..=4).map(root).collect();
    scene.online = scene.repository.client().pinning(roots[3].clone());
    (scene, roots)
}

/// Exports for whoever pins `from_root`.
fn exported_from(scene: &Scene, from_root: &[u8]) -> Result<Vec<u8>, BundleError> {
    let kept = Scene::kept(&scene.online);
    let mut updater = scene.online.updater_from(scene.online.shelf(), |settings| settings.kept_targets = kept).unwrap();
    let path = scene.directory.path().join("exported");
    let exported = block_on(export(&mut updater, &questions(&[TOOL]), LIMIT, Some(from_root), &path));
    assert_eq!(path.exists(), exported.is_ok(), "whole or not there");
    exported.map(|_| fs_err::read(path).unwrap())
}

#[test]
fn a_machine_that_pinned_an_older_root_is_told_so_or_gets_the_whole_chain() {
    let (scene, roots) = with_an_older_pin_apart();

    let error = scene.import(&scene.exported()).unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("transport", false));
    assert!(error.to_string().contains("whose roots begin with version 4"), "{error}");
    assert_eq!(scene.apart.trusted(), NOTHING);
    fs_err::remove_file(scene.directory.path().join("exported")).unwrap();

    let whole = exported_from(&scene, &roots[0]).unwrap();
    // Only what was asked for is kept: the older roots are of no use here.
    assert_eq!(scene.online.trusted(), "root 4, timestamp 3, snapshot 3, targets 2");
    scene.import(&whole).unwrap();
    assert_eq!(scene.apart.trusted(), "root 4, timestamp 3, snapshot 3, targets 2");
}

#[test]
fn a_root_that_does_not_lead_to_the_pinned_one_is_not_exported_from() {
    let (scene, roots) = with_an_older_pin_apart();
    let mut stranger = SimRepository::new();
    let keys: Vec<_> = (0..20).map(|_| stranger.new_key()).collect();
    stranger.authorize("root", &keys[19..], 1);
    // Of another repository: older than the pin, of its version, and newer.
    for version in [1, 4, 5] {
        stranger.set_version("root", version);
        let exported = exported_from(&scene, &stranger.bytes("root"));
        assert_eq!(exported.map(drop).unwrap_err().code(), "unrelated-root", "{version}");
    }
    // The pin itself, and what follows it, need no more.
    exported_from(&scene, &roots[3]).unwrap();
    fs_err::remove_file(scene.directory.path().join("exported")).unwrap();
    let before = scene.online.state();
    // A mirror that answers with another root on the way.
    scene.repository.shelf().put("metadata/3.root.json", crate::support::Answer::Bytes(roots[1].clone()));
    assert_eq!(exported_from(&scene, &roots[0]).map(drop).unwrap_err().code(), "unrelated-root");
    scene.repository.shelf().remove("metadata/3.root.json");
    assert_eq!(exported_from(&scene, &roots[0]).map(drop).unwrap_err().code(), "absent");
    assert_eq!(scene.online.moved_since(&before), [""; 0]);
    assert_eq!(scene.apart.trusted(), NOTHING);
}

/// All that is cached, but for the client's own notes.
fn cached(client: &Client) -> Vec<(PathBuf, Vec<u8>)> {
    let files = client.cached_files().into_iter().filter(|path| !path.ends_with("notes.json"));
    files.map(|path| (path.clone(), fs_err::read(path).unwrap())).collect()
}
