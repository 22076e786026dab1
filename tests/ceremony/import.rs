//! Repositories that other tools began are taken over without a byte of what is signed changed, and go on as they were.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use trustroot::ceremony::{AcceptedRisks, EventName, Mark, SigningEvent};
use trustroot::crypto::sha256;
use trustroot::metadata::RoleName;
use trustroot::publish::PublishPlan;
use trustroot::repository::import::{FirstRoot, Import, ImportError, ImportSource, SourceDirectory};
use trustroot::repository::{Proposal, WorkingCopy, improvements};
use trustroot::signers::Signer;
use trustroot::trust::UpdateStart;

use crate::realdata;
use crate::support::{Answer, Key, Registry, Shelf, SimRepository, Snapshots, block_on, files};

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A repository in memory, as it is published.
struct OnShelf<'a>(&'a Shelf);

impl ImportSource for OnShelf<'_> {
    fn metadata(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        bounded(self.0.get(&format!("metadata/{name}")), limit)
    }

    fn target(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        bounded(self.0.get(&format!("targets/{name}")), limit)
    }
}

fn bounded(found: Option<Vec<u8>>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match found {
        Some(bytes) if bytes.len() as u64 > limit => Err(io::Error::from(io::ErrorKind::InvalidData)),
        found => Ok(found),
    }
}

/// A chain of roots in one directory, the rest in another.
struct InTwo(SourceDirectory, SourceDirectory);

impl ImportSource for InTwo {
    fn metadata(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match self.0.metadata(name, limit)? {
            None => self.1.metadata(name, limit),
            found => Ok(found),
        }
    }

    fn target(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        self.1.target(name, limit)
    }
}

/// A working copy that was taken over.
struct TakenOver {
    _directory: tempfile::TempDir,
    path: PathBuf,
    now: DateTime<Utc>,
    import: Import,
}

impl TakenOver {
    fn from(source: &dyn ImportSource, first: &FirstRoot, now: DateTime<Utc>) -> Result<Self, ImportError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let written = Import::read(source, first, "taken over", UpdateStart::at(now)).and_then(|import| {
            import.write(&path)?;
            Ok(import)
        });
        if written.is_err() {
            // All of it, or nothing.
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
        Ok(Self { import: written?, _directory: directory, path, now })
    }

    fn of(repository: &SimRepository) -> Result<Self, ImportError> {
        let first = repository.shelf().get("metadata/1.root.json").unwrap();
        let digest = FirstRoot::Digest(sha256(&first));
        Self::from(&OnShelf(repository.shelf()), &digest, repository.shelf().now())
    }

    fn copy(&self) -> WorkingCopy {
        WorkingCopy::open(&self.path).unwrap()
    }

    fn start(&self) -> UpdateStart {
        UpdateStart::at(self.now)
    }

    fn propose(&self, role: &RoleName) -> Proposal {
        let copy = self.copy();
        Proposal::of(&copy, &copy.signed(self.start()).unwrap(), role, self.now).unwrap()
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.path.join("trustroot.toml")).unwrap()
    }

    fn edit_config(&self, change: impl Fn(String) -> String) {
        let text = self.config();
        let changed = change(text.clone());
        assert_ne!(text, changed);
        trustroot::client::write_durably(&self.path.join("trustroot.toml"), changed.as_bytes()).unwrap();
    }

    /// Everything that a reviewer of the next version is shown as changed, and rules that it breaks.
    fn changes(&self, role: &RoleName) -> Vec<String> {
        let (copy, proposal) = (self.copy(), self.propose(role));
        let signed = copy.signed(self.start()).unwrap();
        let name = EventName::of(role, proposal.version);
        let event = SigningEvent::start(&copy, &signed, &proposal, &name).unwrap();
        let review = event.review(&copy, &signed, self.now).unwrap();
        let changes = review.changes.iter().filter(|change| change.mark != Mark::Same);
        changes.map(|change| change.text.clone()).chain(review.problems).collect()
    }

    /// The next version of each of these roles says what the last one says, but for version and expiry.
    fn goes_on_unchanged(&self, roles: &[RoleName]) {
        for role in roles {
            let proposal = self.propose(role);
            let last = self.import.versions().into_iter().find(|(known, _)| known == role).unwrap().1;
            let copy = self.copy();
            let before = copy.signed(self.start()).unwrap().bytes(role, last).unwrap();
            let (before, after) = (but_for_time(&before), but_for_time(&proposal.document));
            assert_eq!(before, after, "{role}");
            assert_eq!(proposal.version.get(), last.get() + 1);
            assert_eq!(self.changes(role), Vec::<String>::new(), "{role}");
        }
    }
}

fn but_for_time(document: &[u8]) -> Value {
    let document: Value = serde_json::from_slice(document).unwrap();
    let mut signed = document["signed"].clone();
    let members = signed.as_object_mut().unwrap();
    assert!(members.remove("version").is_some() && members.remove("expires").is_some());
    signed
}

fn delegated(name: &str) -> RoleName {
    RoleName::delegated(name).unwrap()
}

fn code(result: Result<TakenOver, ImportError>) -> &'static str {
    result.err().unwrap().code()
}

// ---------------------------------------------------------------------------------------------------------------
// Real repositories

fn sigstore(roots: &Path, current: &Path, now: &str) -> TakenOver {
    let source = InTwo(SourceDirectory::new(roots), SourceDirectory::new(current));
    let first = std::fs::read(roots.join("1.root.json")).unwrap();
    TakenOver::from(&source, &FirstRoot::Digest(sha256(&first)), time(now)).unwrap()
}

/// Every file that the source has lies in the working copy, byte for byte.
fn nothing_is_changed(taken: &TakenOver, roots: &Path, newest: u64, current: &Path) {
    let signed = taken.path.join("repository");
    for version in 1..=newest {
        let name = format!("{version}.root.json");
        assert_eq!(std::fs::read(signed.join(&name)).unwrap(), std::fs::read(roots.join(&name)).unwrap());
    }
    for (role, version) in taken.import.versions() {
        let here = match role {
            RoleName::Timestamp | RoleName::Snapshot => signed.join(role.meta_key()),
            _ => signed.join(format!("{}.{}.json", version.get(), role.encoded())),
        };
        let there = current.join("metadata").join(format!("{}.json", role.encoded()));
        assert_eq!(std::fs::read(here).unwrap(), std::fs::read(there).unwrap(), "{role}");
    }
    let below = "registry.npmjs.org/keys.json";
    for (path, bytes) in files(&current.join("targets")) {
        let here = match path.to_str().unwrap() {
            path if path == below => taken.path.join("delegated/registry.npmjs.org").join(path),
            path => taken.path.join("targets").join(path),
        };
        assert_eq!(std::fs::read(here).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn sigstores_repository_is_taken_over_and_its_next_root_changes_nothing_but_version_and_expiry() {
    let (Some(roots), Some(current)) =
        (realdata::path("tuf/sigstore-root-chain"), realdata::path("tuf/sigstore-current"))
    else {
        return;
    };
    let taken = sigstore(&roots, &current, "2026-08-22T00:00:00Z");
    nothing_is_changed(&taken, &roots, 15, &current);
    assert_eq!(taken.import.kept(), ["targets: `custom` of 7 targets"]);
    assert_eq!(taken.import.chosen(), Vec::<String>::new());
    taken.goes_on_unchanged(&[RoleName::Root, delegated("registry.npmjs.org")]);
    // Targets are good for longer than root, there as here, and no reader of the next version is told otherwise.
    taken.goes_on_unchanged(&[RoleName::Targets]);

    let config = taken.copy().config().clone();
    assert_eq!(config.roles.root.signers.len(), 5);
    assert_eq!((config.roles.root.expires_after_days, config.roles.root.sign_within_days), (197, 46));
    assert_eq!((config.roles.timestamp.expires_after_days, config.roles.timestamp.sign_within_days), (7, 6));
    assert!(config.people.contains_key("@joshuagl"));
    let expires = taken.propose(&RoleName::Root).document;
    assert!(String::from_utf8(expires).unwrap().contains("\"2027-03-07T00:00:00Z\""), "197 days from then");

    // What another key changes is that key, and nothing else.
    let key = Registry::new().key("alice").canonical_spki().to_vec();
    let pem = trustroot::crypto::spki_to_pem(&key).unwrap();
    trustroot::client::write_durably(&taken.path.join("keys/@lance.pub"), pem.as_bytes()).unwrap();
    let (before, after) = (std::fs::read(current.join("metadata/root.json")).unwrap(), taken.propose(&RoleName::Root));
    let (before, after) = (but_for_time(&before), but_for_time(&after.document));
    let keyids = |root: &Value| root["keys"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let (old, new) = (keyids(&before), keyids(&after));
    assert_eq!(new.iter().filter(|keyid| !old.contains(keyid)).count(), 1);
    assert_eq!(
        old.iter().filter(|keyid| !new.contains(keyid)).collect::<Vec<_>>(),
        ["183e64f37670dc13ca0d28995a3053f3740954ddce44321a41e46534cf44e632"]
    );
}

#[test]
fn sigstores_staging_repository_is_taken_over_and_goes_on_unchanged() {
    let Some(roots) = realdata::path("tuf/sigstore-staging") else { return };
    let current = roots.join("current");
    let taken = sigstore(&roots, &current, "2026-08-22T00:00:00Z");
    nothing_is_changed(&taken, &roots, 14, &current);
    taken.goes_on_unchanged(&[RoleName::Root, RoleName::Targets, delegated("registry.npmjs.org")]);
}

#[test]
fn repositories_of_tuftool_and_of_the_reference_implementation_are_taken_over_and_go_on_unchanged() {
    let Some(fixtures) = realdata::path("tuf/tough-fixtures") else { return };
    for (name, roles) in [
        ("consistent-snapshots", &[][..]),
        ("expired-repository", &[]),
        ("rotated-root", &[]),
        ("dubious-role-names", &["../../path/like/dubious", "\u{1f37a}/30"]),
        ("tuf-reference-impl", &["role1"]),
    ] {
        let directory = fixtures.join(name);
        let source = SourceDirectory::new(&directory);
        let first = source.metadata("1.root.json", 1 << 20).unwrap().unwrap();
        let taken = TakenOver::from(&source, &FirstRoot::File(first), time("2021-01-01T00:00:00Z"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let roles: Vec<RoleName> =
            [RoleName::Root, RoleName::Targets].into_iter().chain(roles.iter().map(|role| delegated(role))).collect();
        taken.goes_on_unchanged(&roles);
    }
    // A name of a file that only some clients tidy up is no name here.
    let source = SourceDirectory::new(&fixtures.join("safe-target-paths"));
    let first = source.metadata("1.root.json", 1 << 20).unwrap().unwrap();
    assert_eq!(code(TakenOver::from(&source, &FirstRoot::File(first), time("2021-01-01T00:00:00Z"))), "cannot-keep");
}

// ---------------------------------------------------------------------------------------------------------------
// What no configuration can say

/// A repository with one of everything that this program does not write itself.
fn odd(snapshots: Snapshots) -> SimRepository {
    let mut repository = SimRepository::with(snapshots);
    let old = repository.signers("root").clone();
    let key = repository.new_key();
    let twice = key.under_keyid("the same key again");
    let hex = Key::ecdsa();
    repository.authorize("root", &[key, twice, hex], 1);
    let root = repository.draft("root");
    root["keys"]["nobody reads this"] = json!({
        "keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": {"identity": "a@b.c", "issuer": "https://d.e"},
    });
    root["keys"]["an orphan"] = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}});
    let keyids = root["roles"]["root"]["keyids"].as_array_mut().unwrap();
    keyids.extend([json!("nobody reads this"), json!("a keyid without its key")]);
    root["roles"]["mirrors"] = json!({"keyids": ["an orphan"], "threshold": 1});
    root["roles"]["targets"]["x-note"] = json!({"b": [1, null, true], "a": "\u{e9}\"\\\n"});
    root["roles"]["timestamp"]["x-tuf-on-ci-expiry-period"] = json!(4);
    root["roles"]["timestamp"]["x-tuf-on-ci-signing-period"] = json!(9);
    root["spec_version"] = json!("1.0");
    root["x-unknown"] = json!({"b": [1, null, true], "a": "\u{e9}\u{1f37a}\"\\\n"});
    repository.publish_root_signed_by(&old);

    repository.add_target("targets", "a.txt", b"a");
    repository.add_target("targets", "dir/.hidden", b"h");
    let sha512 = {
        let mut digester = trustroot::crypto::Digester::new([trustroot::metadata::HashAlgorithm::Sha512]);
        digester.update(b"only sha512");
        digester.finish().remove(0).1
    };
    let targets = repository.draft("targets");
    targets["targets"]["a.txt"]["custom"] = json!({"sigstore": {"usage": "Rekor"}});
    targets["targets"]["a.txt"]["hashes"]["blake2b-256"] = json!("00");
    targets["targets"]["b.txt"] = json!({"length": 11, "hashes": {"sha512": hex::encode(&sha512)}, "x": 1});
    targets["x-unknown"] = json!(["kept"]);
    repository.put_target("b.txt", &sha512, Answer::Bytes(b"only sha512".to_vec()));
    repository.delegate("targets", "by-hash", &[]);
    let entry = repository.delegation("targets", "by-hash").as_object_mut().unwrap();
    entry.remove("paths");
    entry.insert("path_hash_prefixes".to_owned(), json!(["00", "ff"]));
    entry.insert("x-note".to_owned(), json!(1));
    repository.delegate("targets", "zoo", &["zoo/*", "*.zoo"]);
    repository.add_target("zoo", "zoo/lion", b"lion");
    repository.delegate("zoo", "cage", &["zoo/cage-*"]);
    repository.add_target("cage", "zoo/cage-1", b"1");
    repository.publish();
    repository
}

#[test]
fn what_no_configuration_can_say_is_kept_and_listed() {
    for snapshots in [Snapshots::Consistent, Snapshots::Plain] {
        let taken = TakenOver::of(&odd(snapshots)).unwrap();
        taken.goes_on_unchanged(&[RoleName::Root, RoleName::Targets, delegated("zoo"), delegated("by-hash")]);
        let kept = taken.import.kept().join("\n");
        for said in [
            "second name of one key",
            "`sigstore-oidc`",
            "of which there is no key",
            "mirrors",
            "`x-note` of the role targets",
            "timestamp: the recorded periods",
            "the field `x-unknown`",
            "targets: the field `x-unknown`",
            "`custom` of 1 target",
            "path hash prefixes of by-hash",
            "cage: another delegated role delegates to it",
        ] {
            assert!(kept.contains(said), "{said}: {kept}");
        }
        assert_eq!(kept.contains("consistent-snapshot"), snapshots == Snapshots::Plain);
        let copy = taken.copy();
        let found = improvements(&copy, &copy.signed(taken.start()).unwrap()).unwrap();
        let codes: Vec<&str> = found.iter().map(|improvement| improvement.code).collect();
        for code in ["two-keyids", "unusable-key", "peer-key", "threshold-one", "unknown-field", "no-sha256"] {
            assert!(codes.contains(&code), "{code}: {found:#?}");
        }
    }
}

/// Roles that a delegated role delegates to, and files under several hashes, are signed for like the others.
#[test]
fn nothing_that_was_taken_over_is_a_stray_and_what_is_put_beside_it_is() {
    let mut repository = odd(Snapshots::Consistent);
    let digest = |algorithm| {
        let mut digester = trustroot::crypto::Digester::new([algorithm]);
        digester.update(b"both");
        digester.finish().remove(0).1
    };
    let [short, long] =
        [trustroot::metadata::HashAlgorithm::Sha256, trustroot::metadata::HashAlgorithm::Sha512].map(digest);
    repository.bump("targets");
    repository.draft("targets")["targets"]["both.txt"] =
        json!({"length": 4, "hashes": {"sha256": hex::encode(&short), "sha512": hex::encode(&long)}});
    for digest in [&short, &long] {
        repository.put_target("both.txt", digest, Answer::Bytes(b"both".to_vec()));
    }
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    let strays = || taken.copy().signed(taken.start()).unwrap().strays(&taken.path.join("repository")).unwrap();
    assert_eq!(strays(), Vec::<String>::new());
    let second = format!("repository/targets/{}.both.txt", hex::encode(&long));
    trustroot::client::write_durably(&taken.path.join(&second), b"evil").unwrap();
    let cage = "repository/9.cage.json";
    let forged = repository.signed_by("cage", &[Key::ed25519(99)]);
    trustroot::client::write_durably(&taken.path.join(cage), &forged).unwrap();
    assert_eq!(strays(), [cage.to_owned(), second]);
}

#[test]
fn hash_bins_are_kept_as_they_are() {
    let mut repository = SimRepository::new();
    repository.delegate_to_bins("targets", "bin", 3);
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    taken.goes_on_unchanged(&[RoleName::Root, RoleName::Targets]);
    assert_eq!(taken.import.versions().len(), 4 + 8);
    // There is no room for anybody beside them.
    taken.edit_config(|text| {
        format!("{text}\n[delegations.new]\nsigners = [\"online\"]\nthreshold = 1\nexpires-after-days = 9\nsign-within-days = 3\npaths = [\"new/*\"]\n")
    });
    let copy = taken.copy();
    let error = Proposal::of(&copy, &copy.signed(taken.start()).unwrap(), &RoleName::Targets, taken.now).unwrap_err();
    assert!(error.to_string().contains("hash bins"), "{error}");

    let mut repository = SimRepository::new();
    repository.delegate_to_bins("targets", "bin", 11);
    repository.publish();
    assert_eq!(code(TakenOver::of(&repository)), "cannot-keep");
}

#[test]
fn owners_of_every_spelling_keep_their_keys_and_become_people() {
    let mut repository = SimRepository::new();
    let old = repository.signers("root").clone();
    let mut keys = Vec::new();
    for (number, owner) in
        ["../../evil", ".hidden", "Anna B\u{202e}\"\n", "Alice", "alice", "", "CON"].iter().enumerate()
    {
        let key = repository.new_key();
        let mut public = key.public.clone();
        public["x-tuf-on-ci-keyowner"] = json!(owner);
        keys.push(key.listed_as(&format!("keyid {number}"), public));
    }
    repository.authorize("root", &keys, 2);
    repository.publish_root_signed_by(&old);
    let taken = TakenOver::of(&repository).unwrap();
    taken.goes_on_unchanged(&[RoleName::Root, RoleName::Targets]);
    let people: Vec<String> = taken.copy().config().people.keys().cloned().collect();
    let names: std::collections::BTreeSet<String> = people.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(names.len(), people.len(), "they are names of files too: {people:?}");
    assert!(files(&taken.path).keys().all(|path| path.starts_with("keys") || !path.to_string_lossy().contains("evil")));

    // Whoever is renamed here stays who they are there, as long as the configuration says so.
    taken.edit_config(|text| {
        text.replace("\"Alice\"", "\"anna\"").replace("people.Alice", "people.anna\u{5d}\nowner = \"Alice\"#")
    });
    taken.goes_on_unchanged(&[RoleName::Root]);
}

// ---------------------------------------------------------------------------------------------------------------
// Going on

fn hold(taken: &TakenOver, registry: &Registry, role: &RoleName, signers: &[&str]) {
    let (copy, proposal) = (taken.copy(), taken.propose(role));
    let signed = copy.signed(taken.start()).unwrap();
    let name = EventName::of(role, proposal.version);
    let mut event = SigningEvent::start(&copy, &signed, &proposal, &name).unwrap();
    for signer in signers {
        event.sign(&signed, registry.key(signer)).unwrap();
    }
    event.finish(&copy, &signed, taken.now, &AcceptedRisks::default()).unwrap();
}

fn publish(taken: &TakenOver, registry: &Registry, directory: &Path) -> PublishPlan {
    let pem = registry.key("online").to_unencrypted_pem();
    let key = trustroot::crypto::SecretKey::from_pem(&pem, None).unwrap();
    let keys: Vec<Box<dyn Signer>> = vec![Box::new(key)];
    let plan = block_on(PublishPlan::prove(&taken.copy(), directory, &keys, taken.start())).unwrap();
    block_on(plan.apply()).unwrap();
    plan
}

fn without_catalog() -> Registry {
    let registry = Registry::new();
    registry.edit("trustroot.toml", |text| text.replacen("name =", "catalog = false\nname =", 1));
    registry.write("targets/trusted_root.json", "{}");
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.hold("targets", &["alice", "bob"]).unwrap();
    registry.publish().unwrap();
    registry
}

fn taken_from(registry: &Registry) -> TakenOver {
    let first = std::fs::read(registry.published().join("1.root.json")).unwrap();
    TakenOver::from(&SourceDirectory::new(&registry.published()), &FirstRoot::File(first), registry.now).unwrap()
}

/// The plan exists only if clients that know the published state, and clients from every root, have upgraded to it.
#[test]
fn a_repository_that_was_taken_over_is_signed_and_published_further_there_and_elsewhere() {
    let registry = without_catalog();
    let taken = taken_from(&registry);
    taken.goes_on_unchanged(&[RoleName::Root, RoleName::Targets]);
    trustroot::client::write_durably(&taken.path.join("targets/new.txt"), b"new").unwrap();
    hold(&taken, &registry, &RoleName::Root, &["alice", "carol"]);
    hold(&taken, &registry, &RoleName::Targets, &["alice", "bob"]);
    let plan = publish(&taken, &registry, &registry.published());
    let versions: Vec<u64> = plan.versions.iter().map(|(_, version)| version.get()).collect();
    assert_eq!(versions, [2, 2, 2, 2]);
    // In an empty directory no version is used a second time either: its clients have seen the others.
    let elsewhere = tempfile::tempdir().unwrap();
    let taken = taken_from(&registry);
    let plan = publish(&taken, &registry, elsewhere.path());
    let versions: Vec<u64> = plan.versions.iter().map(|(_, version)| version.get()).collect();
    assert_eq!(versions[0], 2);
    assert!(versions[1] >= 2 && versions[2] >= 2, "{versions:?}");
}

#[test]
fn a_snapshot_goes_on_naming_what_clients_have_seen_in_it() {
    let mut repository = SimRepository::new();
    let online = Key::of_secret(
        trustroot::crypto::SecretKey::from_pem(&Registry::new().key("online").to_unencrypted_pem(), None).unwrap(),
    );
    let old = repository.signers("root").clone();
    for role in ["snapshot", "timestamp"] {
        repository.authorize(role, std::slice::from_ref(&online), 1);
    }
    repository.publish_root_signed_by(&old);
    repository.draft("snapshot")["meta"]["gone.json"] = json!({"version": 7});
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let plan = publish(&taken, &Registry::new(), directory.path());
    let snapshot = plan.objects.iter().find(|object| object.name.ends_with("snapshot.json")).unwrap();
    let snapshot: Value = serde_json::from_slice(&snapshot.bytes).unwrap();
    assert_eq!(snapshot["signed"]["meta"]["gone.json"]["version"], 7);
    assert!(snapshot["signed"]["version"].as_u64().unwrap() >= repository.version("snapshot"));
}

#[test]
fn a_delegated_role_that_is_no_namespace_is_delegated_to_signed_and_published() {
    let mut registry = Registry::new();
    registry.add_person("release");
    registry.edit("trustroot.toml", |text| {
        format!(
            "{text}\n[people.release]\nkeys = [\"keys/release.pub\"]\n[delegations.releases]\nsigners = [\"release\"]\n\
             threshold = 1\nexpires-after-days = 30\nsign-within-days = 9\npaths = [\"releases/*\"]\nterminating = true\n"
        )
    });
    registry.write("delegated/releases/releases/1.0", "one");
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.hold("targets", &["alice", "bob"]).unwrap();
    registry.hold("releases", &["release"]).unwrap();
    let plan = registry.publish().unwrap();
    assert!(plan.objects.iter().any(|object| object.name.starts_with("targets/releases/")));

    // It names nothing beyond its paths.
    registry.write("delegated/releases/other/1.0", "one");
    let before = registry.files("repository");
    let error = registry.hold("releases", &["release"]).unwrap_err().to_string();
    assert!(error.contains("other/1.0 is outside the paths that are delegated to releases"), "{error}");
    // And nobody whom the catalog does not know is let near the builders.
    for paths in ["\"slsa/*\"", "\"*/v1\"", "\"slsa/builders/*\", \"x\""] {
        let wide = |text: String| text.replace("paths = [\"releases/*\"]", &format!("paths = [{paths}]"));
        registry.edit("trustroot.toml", wide);
        let event = registry.start("targets");
        let problems = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().problems;
        assert_eq!(problems, ["releases is delegated paths of builders, and not in the catalog"]);
        registry.edit("trustroot.toml", |text| text.replace(&format!("paths = [{paths}]"), "paths = [\"releases/*\"]"));
    }
    assert_eq!(registry.files("repository"), before);
}

/// What was there before is said and goes on; the same thing anew is refused.
#[test]
fn only_what_is_signed_already_may_break_a_rule() {
    let mut repository = SimRepository::new();
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    assert_eq!(taken.changes(&RoleName::Root), Vec::<String>::new());
    // One key alone signs root, as before. That the file names lose their versions is new.
    taken.edit_config(|text| text.replacen("catalog = false", "catalog = false\nconsistent-snapshot = false", 1));
    let changes = taken.changes(&RoleName::Root).join("\n");
    assert!(changes.contains("consistent snapshots would be off"), "{changes}");
    assert!(!changes.contains("one person alone"), "{changes}");
}

// ---------------------------------------------------------------------------------------------------------------
// Hostile and damaged sources

#[test]
fn a_source_that_begins_with_another_root_is_not_taken_over() {
    let repository = SimRepository::new();
    let start = repository.shelf().now();
    let result = TakenOver::from(&OnShelf(repository.shelf()), &FirstRoot::Digest([7; 32]), start);
    assert_eq!(code(result), "wrong-root");
    let other = Registry::new();
    other.hold("root", &["alice", "bob"]).unwrap();
    let first = std::fs::read(other.path("repository/1.root.json")).unwrap();
    // The chain goes on from what was given, not from what the source begins with.
    let mut repository = SimRepository::new();
    repository.publish_root();
    repository.publish();
    let result = TakenOver::from(&OnShelf(repository.shelf()), &FirstRoot::File(first), start);
    assert_eq!(code(result), "too-few-signatures");
}

#[test]
fn a_root_that_does_not_follow_is_not_taken_over() {
    let mut repository = SimRepository::new();
    let key = repository.new_key();
    repository.authorize("root", &[key], 1);
    repository.publish_root_signed_by(&[]);
    repository.publish();
    assert_eq!(code(TakenOver::of(&repository)), "too-few-signatures");
}

#[test]
fn a_gap_in_the_chain_of_roots_is_not_passed_over() {
    let mut repository = SimRepository::new();
    repository.publish_root();
    repository.publish_root();
    repository.publish();
    let newest = repository.bytes_on_shelf("root");
    repository.shelf().remove("metadata/2.root.json");
    repository.shelf().put("metadata/root.json", Answer::Bytes(newest));
    assert_eq!(code(TakenOver::of(&repository)), "source-incomplete");
}

#[test]
fn documents_that_nobody_signed_or_that_do_not_belong_together_are_not_taken_over() {
    for role in ["timestamp", "snapshot", "targets", "zoo"] {
        let mut repository = SimRepository::new();
        repository.delegate("targets", "zoo", &["zoo/*"]);
        repository.publish();
        let stranger = Key::ed25519(99);
        repository.serve_bytes(role, repository.signed_by(role, &[stranger]));
        assert_eq!(code(TakenOver::of(&repository)), "too-few-signatures", "{role}");
    }
    for role in ["snapshot", "targets", "zoo"] {
        let mut repository = SimRepository::new();
        repository.hashes_in_meta = true;
        repository.delegate("targets", "zoo", &["zoo/*"]);
        repository.publish();
        repository.draft(role)["x"] = json!("other bytes of the same version");
        repository.serve(role);
        assert_eq!(code(TakenOver::of(&repository)), "source-too-large", "{role}");
        repository.draft(role)["x"] = json!("");
        repository.draft(role).as_object_mut().unwrap().remove("x");
        repository.expire(role, 7);
        repository.serve(role);
        assert_eq!(code(TakenOver::of(&repository)), "source-inconsistent", "{role}");
    }
    let mut repository = SimRepository::new();
    repository.publish();
    let name = repository.file_of("targets");
    repository.bump("targets");
    repository.shelf().put(&name, Answer::Bytes(repository.bytes("targets")));
    assert_eq!(code(TakenOver::of(&repository)), "source-inconsistent");
}

#[test]
fn a_target_path_that_leaves_its_base_is_not_taken_over() {
    for path in ["../../evil", "/etc/passwd", "a/../../b", "c\\d", "e\nf"] {
        let mut repository = SimRepository::new();
        repository.bump("targets");
        repository.draft("targets")["targets"][path] =
            json!({"length": 1, "hashes": {"sha256": hex::encode(sha256(b"x"))}});
        repository.publish();
        assert_eq!(code(TakenOver::of(&repository)), "cannot-keep", "{path:?}");
    }
}

#[test]
fn a_role_name_that_leaves_its_base_stays_within_the_working_copy() {
    let mut repository = SimRepository::new();
    for role in ["../../evil", "..", "a/b", "CON", "%2e"] {
        repository.delegate("targets", role, &["zoo/*"]);
        repository.add_target(role, &format!("zoo/{}", role.len()), b"x");
    }
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    let outside = taken.path.parent().unwrap();
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 1);
    let below: Vec<String> = std::fs::read_dir(taken.path.join("delegated"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(below.len(), 5, "{below:?}");
    taken.goes_on_unchanged(&[delegated(".."), delegated("../../evil"), RoleName::Targets]);
    let events = std::fs::read_dir(taken.path.join("signing-events")).unwrap();
    assert_eq!(events.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 3);
}

#[test]
fn what_is_too_long_or_not_what_was_signed_for_is_not_taken_over() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "a.txt", b"a");
    repository.publish();
    repository.put_target("a.txt", &sha256(b"a"), Answer::Bytes(vec![b'a'; 1 << 20]));
    assert_eq!(code(TakenOver::of(&repository)), "source-incomplete");
    repository.put_target("a.txt", &sha256(b"a"), Answer::Bytes(b"b".to_vec()));
    assert_eq!(code(TakenOver::of(&repository)), "source-incomplete");

    let mut repository = SimRepository::new();
    repository.bump("targets");
    repository.draft("targets")["targets"]["a.txt"] =
        json!({"length": u64::MAX, "hashes": {"sha256": hex::encode(sha256(b"x"))}});
    repository.publish();
    assert_eq!(code(TakenOver::of(&repository)), "source-too-large");

    let repository = SimRepository::new();
    repository.shelf().put("metadata/timestamp.json", Answer::Bytes(vec![b' '; 1 << 20]));
    assert_eq!(code(TakenOver::of(&repository)), "source-too-large");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_source_directory_blocks_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("1.root.json");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let source = SourceDirectory::new(directory.path());
    assert_eq!(
        code(TakenOver::from(&source, &FirstRoot::Digest([0; 32]), time("2026-03-01T00:00:00Z"))),
        "source-incomplete"
    );
}

#[test]
fn what_is_in_the_way_is_never_written_over() {
    let repository = SimRepository::new();
    let taken = TakenOver::of(&repository).unwrap();
    let before = files(&taken.path);
    let error = taken.import.write(&taken.path).unwrap_err();
    assert_eq!(error.code(), "file-exists");
    assert_eq!(files(&taken.path), before);
    // A directory that is empty is no obstacle.
    let empty = tempfile::tempdir().unwrap();
    taken.import.write(empty.path()).unwrap();
    assert_eq!(files(empty.path()), before);
}

#[test]
fn secret_keys_among_targets_are_not_taken_over() {
    let mut repository = SimRepository::new();
    let secret = Registry::new().key("alice").to_unencrypted_pem().to_string();
    repository.add_target("targets", "oops.pem", secret.as_bytes());
    repository.publish();
    assert_eq!(code(TakenOver::of(&repository)), "configuration");
}

// ---------------------------------------------------------------------------------------------------------------
// Taking over again

fn again(taken: &TakenOver, repository: &SimRepository) -> Result<trustroot::repository::import::Updated, ImportError> {
    let first = FirstRoot::File(repository.shelf().get("metadata/1.root.json").unwrap());
    Import::read(&OnShelf(repository.shelf()), &first, "taken over", taken.start())?.update(&taken.path)
}

#[test]
fn a_newer_source_brings_a_working_copy_up_to_date_and_the_same_one_changes_nothing() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "a.txt", b"a");
    repository.add_target("targets", "gone.txt", b"g");
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    let before = files(&taken.path);
    let updated = again(&taken, &repository).unwrap();
    assert!(updated.written.is_empty() && updated.removed.is_empty(), "{updated:?}");
    assert_eq!(files(&taken.path), before);

    repository.add_target("targets", "a.txt", b"newer");
    repository.draft("targets")["targets"].as_object_mut().unwrap().remove("gone.txt");
    repository.add_key("root");
    repository.publish();
    let updated = again(&taken, &repository).unwrap();
    assert_eq!(updated.removed, ["targets/gone.txt"]);
    assert!(!updated.config_is_theirs);
    assert_eq!(
        files(&taken.path),
        files(&TakenOver::of(&repository).unwrap().path)
            .into_iter()
            .chain(before.clone().into_iter().filter(|(path, _)| {
                // What was signed before stays.
                path.starts_with("repository") && !path.ends_with("timestamp.json") && !path.ends_with("snapshot.json")
            }))
            .collect::<BTreeMap<_, _>>()
    );
    let taken = TakenOver { import: TakenOver::of(&repository).unwrap().import, ..taken };
    taken.goes_on_unchanged(&[RoleName::Root, RoleName::Targets]);
}

#[test]
fn what_people_changed_since_is_not_lost_when_the_source_changes() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "a.txt", b"a");
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    taken.edit_config(|text| text.replacen("name = ", "# ours\nname = ", 1));
    trustroot::client::write_durably(&taken.path.join("targets/ours.txt"), b"ours").unwrap();
    repository.add_target("targets", "b.txt", b"b");
    repository.publish();
    let updated = again(&taken, &repository).unwrap();
    assert_eq!(
        updated.written.iter().filter(|name| name.starts_with("targets/")).collect::<Vec<_>>(),
        ["targets/b.txt"]
    );
    assert!(taken.config().contains("# ours"));
    assert_eq!(std::fs::read(taken.path.join("targets/ours.txt")).unwrap(), b"ours");

    trustroot::client::write_durably(&taken.path.join("targets/a.txt"), b"ours").unwrap();
    repository.add_target("targets", "a.txt", b"theirs");
    repository.publish();
    let before = files(&taken.path);
    assert_eq!(again(&taken, &repository).unwrap_err().code(), "changed-here");
    assert_eq!(files(&taken.path), before);
}

#[cfg(unix)]
#[test]
fn an_update_follows_no_link_out_of_the_working_copy() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "a.txt", b"a");
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), taken.path.join("targets/dir")).unwrap();
    repository.add_target("targets", "dir/b.txt", b"b");
    repository.publish();
    let before = files(&taken.path);
    assert!(again(&taken, &repository).unwrap_err().to_string().contains("is a symbolic link"));
    assert_eq!(files(&taken.path), before);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_source_that_was_set_back_or_is_another_is_not_taken_over_again() {
    let mut repository = SimRepository::new();
    repository.publish();
    let old = repository.shelf().files();
    repository.add_target("targets", "a.txt", b"a");
    repository.publish();
    let taken = TakenOver::of(&repository).unwrap();
    let before = files(&taken.path);
    repository.shelf().set_files(old);
    assert_eq!(again(&taken, &repository).unwrap_err().code(), "rollback");

    let mut other = SimRepository::with(Snapshots::Plain);
    other.publish();
    assert_eq!(again(&taken, &other).unwrap_err().code(), "other-repository");

    // One version, signed twice by the right keys.
    let mut repository = SimRepository::new();
    repository.publish();
    repository.set_version("targets", 2);
    repository.draft("targets")["x"] = json!("another");
    repository.publish();
    assert_eq!(again(&taken, &repository).unwrap_err().code(), "other-repository");
    assert_eq!(files(&taken.path), before);
}
