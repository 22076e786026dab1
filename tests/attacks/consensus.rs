//! Several repositories of which some are in the wrong hands: a target counts only where enough of them agree (TAP 4).

use std::collections::BTreeMap;
use std::sync::Arc;

use trustroot::client::{
    Agreed, ConsensusError, Dissent, KeptTargets, MultiRepository, RepositoryMap, UpdateError, Updater, blocking,
};
use trustroot::metadata::TargetPath;

use crate::support::{Answer, Client, Shelf, SimRepository, block_on};

/// Repositories by name, each with keys of its own, and a client of each.
pub(crate) struct World {
    repositories: BTreeMap<&'static str, (SimRepository, Client)>,
    /// Where each of them keeps targets.
    kept: tempfile::TempDir,
}

/// What is looked for, by programs of either kind.
pub(crate) trait Asks<T> {
    async fn wait(&self, multi: &mut MultiRepository) -> Result<T, ConsensusError>;
    fn block(&self, multi: &mut blocking::MultiRepository) -> Result<T, ConsensusError>;
}

/// A target, which is fetched as well.
struct Get<'a>(&'a str);

impl Asks<(Agreed, Vec<u8>)> for Get<'_> {
    async fn wait(&self, multi: &mut MultiRepository) -> Result<(Agreed, Vec<u8>), ConsensusError> {
        let agreed = multi.find(&TargetPath::new(self.0).unwrap()).await?;
        let bytes = multi.target_bytes(&agreed, None).await?;
        let directory = tempfile::tempdir().unwrap();
        multi.download(&agreed, &directory.path().join("file"), None, |_| {}).await?;
        assert_eq!(fs_err::read(directory.path().join("file")).unwrap(), bytes);
        Ok((agreed, bytes))
    }

    fn block(&self, multi: &mut blocking::MultiRepository) -> Result<(Agreed, Vec<u8>), ConsensusError> {
        let agreed = multi.find(&TargetPath::new(self.0).unwrap())?;
        let bytes = multi.target_bytes(&agreed, None)?;
        let directory = tempfile::tempdir().unwrap();
        multi.download(&agreed, &directory.path().join("file"), None, |_| {})?;
        assert_eq!(fs_err::read(directory.path().join("file")).unwrap(), bytes);
        Ok((agreed, bytes))
    }
}

impl World {
    pub(crate) fn new(names: &[&'static str]) -> Self {
        Self::of(names.iter().map(|name| (*name, SimRepository::new())).collect())
    }

    /// Gives each repository keys of its own, and publishes it.
    pub(crate) fn of(made: Vec<(&'static str, SimRepository)>) -> Self {
        let mut repositories = BTreeMap::new();
        for (index, (name, mut repository)) in made.into_iter().enumerate() {
            // The keys of a repository are made in order.
            for _ in 0..=index {
                repository.new_key();
            }
            repository.rotate("timestamp");
            repository.rotate("root");
            repository.publish();
            let mut client = repository.client();
            // Programs that block wait in real time.
            client.attempts = 1;
            repositories.insert(name, (repository, client));
        }
        Self { repositories, kept: tempfile::tempdir().unwrap() }
    }

    fn put(&mut self, name: &str, path: &str, content: &[u8]) {
        let repository = self.repository(name);
        repository.add_target("targets", path, content);
        repository.publish();
    }

    pub(crate) fn repository(&mut self, name: &str) -> &mut SimRepository {
        &mut self.repositories.get_mut(name).unwrap().0
    }

    fn map(&self, mapping: &str) -> RepositoryMap {
        let names: Vec<String> = self.repositories.keys().map(|name| format!("\"{name}\": []")).collect();
        let map = format!(r#"{{"repositories": {{{}}}, "mapping": [{mapping}]}}"#, names.join(", "));
        RepositoryMap::parse(map.as_bytes()).unwrap()
    }

    /// An updater for each repository, as a new process would make it.
    fn updaters(&self) -> BTreeMap<String, Updater> {
        let updater = |(name, (_, client)): (&&str, &(_, Client))| {
            let kept = KeptTargets::In(self.kept.path().join(name));
            ((*name).to_owned(), client.updater_from(client.shelf(), |settings| settings.kept_targets = kept).unwrap())
        };
        self.repositories.iter().map(updater).collect()
    }

    /// Everything that the clients keep: metadata, their history, targets.
    pub(crate) fn kept(&self) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
        let mut directories: Vec<std::path::PathBuf> = vec![self.kept.path().to_owned()];
        directories.extend(self.repositories.values().map(|(_, client)| client.cache().directory().to_owned()));
        let entries = directories.iter().flat_map(walkdir::WalkDir::new).filter_map(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_file() && entry.file_name() != ".lock");
        files.map(|entry| (entry.path().to_owned(), fs_err::read(entry.path()).unwrap())).collect()
    }

    /// Asks as a program that is async, and again as one that is not: both get the same answer, or the same error.
    pub(crate) fn ask<T: std::fmt::Debug>(&self, mapping: &str, question: &impl Asks<T>) -> Result<T, ConsensusError> {
        let mut multi = MultiRepository::new(self.map(mapping), self.updaters())?;
        let waited = block_on(question.wait(&mut multi));
        let mut multi = blocking::MultiRepository::new(self.map(mapping), self.updaters())?;
        let blocked = question.block(&mut multi);
        assert_eq!(format!("{waited:?}"), format!("{blocked:?}"));
        waited
    }

    /// Looks for a target and fetches it.
    fn get(&self, mapping: &str, path: &str) -> Result<(Agreed, Vec<u8>), ConsensusError> {
        self.ask(mapping, &Get(path))
    }
}

pub(crate) const BOTH: &str = r#"{"paths": ["*"], "repositories": ["a", "b"], "threshold": 2}"#;
pub(crate) const TWO_OF_THREE: &str = r#"{"paths": ["*"], "repositories": ["a", "b", "c"], "threshold": 2}"#;
/// A second mapping that would take the word of one.
pub(crate) const B_ALONE: &str = r#", {"paths": ["*"], "repositories": ["b"], "threshold": 1}"#;

pub(crate) fn names(agreed: &Agreed) -> Vec<&str> {
    agreed.by.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn repositories_that_agree_deliver_a_target() {
    let mut world = World::new(&["a", "b"]);
    world.put("a", "tool", b"good");
    world.put("b", "tool", b"good");
    let (agreed, bytes) = world.get(BOTH, "tool").unwrap();
    assert_eq!((names(&agreed), bytes.as_slice()), (vec!["a", "b"], &b"good"[..]));
}

#[test]
fn one_compromised_repository_of_two_cannot_replace_a_target() {
    let mut world = World::new(&["a", "b"]);
    world.put("a", "tool", b"good");
    world.put("b", "tool", b"evil");
    let error = world.get(&format!("{BOTH}{B_ALONE}"), "tool").unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("no-agreement", true));
    assert_eq!(error.to_string(), "1 of the 2 repositories that must agree about the target tool do");
}

#[test]
fn one_compromised_repository_of_three_is_outvoted() {
    let mut world = World::new(&["a", "b", "c"]);
    world.put("a", "tool", b"evil");
    world.put("b", "tool", b"good");
    world.put("c", "tool", b"good");
    let (agreed, bytes) = world.get(TWO_OF_THREE, "tool").unwrap();
    assert_eq!((names(&agreed), bytes.as_slice()), (vec!["b", "c"], &b"good"[..]));
    // It is said who does not agree.
    assert_eq!(agreed.others, [("a".to_owned(), Dissent::OtherContent)]);
}

#[test]
fn a_target_that_one_repository_does_not_name_is_not_taken_from_the_other() {
    let mut world = World::new(&["a", "b"]);
    world.put("b", "tool", b"evil");
    let error = world.get(&format!("{BOTH}{B_ALONE}"), "tool").unwrap_err();
    assert_eq!(error.code(), "no-agreement");
}

#[test]
fn equal_lengths_with_other_hashes_are_no_agreement() {
    let mut world = World::new(&["a", "b"]);
    world.put("a", "tool", b"good");
    world.put("b", "tool", b"good");
    // The same sha256, and a sha512 that differs: all hashes that both give are compared.
    for (name, digit) in [("a", "0"), ("b", "1")] {
        let repository = world.repository(name);
        repository.draft("targets")["targets"]["tool"]["hashes"]["sha512"] = digit.repeat(128).into();
        repository.bump("targets");
        repository.publish();
    }
    assert_eq!(world.get(BOTH, "tool").unwrap_err().code(), "no-agreement");
}

#[test]
fn hashes_of_no_common_algorithm_are_no_agreement() {
    let mut world = World::new(&["a", "b"]);
    world.put("a", "tool", b"good");
    world.put("b", "tool", b"good");
    let repository = world.repository("b");
    repository.draft("targets")["targets"]["tool"]["hashes"] = serde_json::json!({"sha512": "0".repeat(128)});
    repository.bump("targets");
    repository.publish();
    assert_eq!(world.get(BOTH, "tool").unwrap_err().code(), "no-agreement");
}

#[test]
fn what_is_fetched_must_have_the_hashes_of_all_that_agree() {
    let mut world = World::new(&["a", "b"]);
    world.put("a", "tool", b"good");
    world.put("b", "tool", b"good");
    // Only `b` gives a sha512, and the file does not have it.
    let repository = world.repository("b");
    repository.draft("targets")["targets"]["tool"]["hashes"]["sha512"] = "0".repeat(128).into();
    repository.bump("targets");
    repository.publish();
    let error = world.get(BOTH, "tool").unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("wrong-target-hash", true));
    // The file is as `a` names it, which was asked: what does not fit is what `b` says.
    let ConsensusError::Repository { name, source } = error else { panic!("{error:?}") };
    let said = "https://repository.example/targets/";
    assert!(name == "b" && source.to_string().starts_with(said), "{name}: {source}");
    assert!(source.to_string().contains("does not have the sha512 that"), "{source}");
}

impl World {
    /// Gives a target another hash besides those that it has.
    fn add_hash(&mut self, name: &str, path: &str, algorithm: &str, digest: String) {
        let repository = self.repository(name);
        repository.draft("targets")["targets"][path]["hashes"][algorithm] = digest.into();
        repository.bump("targets");
        repository.publish();
    }
}

/// The right hash joins the others, and the wrong one, which no file has, would spoil what they agree about.
#[test]
fn a_wrong_hash_beside_the_right_one_does_not_spoil_an_agreement_of_others() {
    for (hostile, honest) in [("a", ["b", "c"]), ("b", ["a", "c"]), ("c", ["a", "b"])] {
        let mut world = World::new(&["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            world.put(name, "tool", b"good");
        }
        world.add_hash(hostile, "tool", "sha512", "0".repeat(128));
        let (agreed, bytes) = world.get(TWO_OF_THREE, "tool").unwrap();
        assert_eq!((agreed.by.len(), bytes.as_slice()), (3, &b"good"[..]), "{hostile}");
        let algorithms: Vec<&str> = agreed.found.file.hashes.iter().map(|(algorithm, _)| algorithm.name()).collect();
        assert_eq!(algorithms, ["sha256"]);
        // Nor where one of the others rightly names more than the other.
        world.add_hash(honest[1], "tool", "sha512", hex::encode(sha512(b"good")));
        let (agreed, bytes) = world.get(TWO_OF_THREE, "tool").unwrap();
        assert_eq!((agreed.by.len(), bytes.as_slice()), (3, &b"good"[..]), "{hostile}");
        // What all but one name is asked for, and then the one is alone.
        world.add_hash(honest[0], "tool", "sha512", hex::encode(sha512(b"good")));
        let (agreed, bytes) = world.get(TWO_OF_THREE, "tool").unwrap();
        assert_eq!((names(&agreed), bytes.as_slice()), (honest.to_vec(), &b"good"[..]), "{hostile}");
        assert_eq!(agreed.found.file.hashes.iter().count(), 2);
        assert_eq!(agreed.others, [(hostile.to_owned(), Dissent::OtherContent)]);
    }
}

#[test]
fn two_that_name_wrong_hashes_of_five_do_not_spoil_an_agreement_of_the_others() {
    let mapping = r#"{"paths": ["*"], "repositories": ["a", "b", "c", "d", "e"], "threshold": 3}"#;
    let all = ["a", "b", "c", "d", "e"];
    // Alike, differently, and by another algorithm each.
    for wrong in
        [[("sha512", "0"), ("sha512", "0")], [("sha512", "0"), ("sha512", "1")], [("sha512", "0"), ("sha384", "0")]]
    {
        let mut world = World::new(&all);
        for name in all {
            world.put(name, "tool", b"good");
        }
        for (name, (algorithm, digit)) in ["b", "d"].into_iter().zip(wrong) {
            let length = if algorithm == "sha512" { 128 } else { 96 };
            world.add_hash(name, "tool", algorithm, digit.repeat(length));
        }
        let (agreed, bytes) = world.get(mapping, "tool").unwrap();
        assert_eq!((agreed.by.len(), bytes.as_slice()), (5, &b"good"[..]), "{wrong:?}");
        // One of the others names something else, so that two of them are needed.
        world.put("a", "tool", b"evil");
        let before = world.kept();
        let got = world.get(mapping, "tool");
        if wrong[0] == wrong[1] {
            // Without both there are too few: what they say counts, and is not so.
            let error = got.unwrap_err();
            assert_eq!((error.code(), error.is_refusal()), ("wrong-target-hash", true));
            assert!(matches!(&error, ConsensusError::Repository { name, .. } if name == "b"), "{error:?}");
            let targets = |kept: BTreeMap<std::path::PathBuf, Vec<u8>>| -> Vec<_> {
                kept.into_iter().filter(|(path, _)| path.starts_with(world.kept.path())).collect()
            };
            assert_eq!(targets(world.kept()), targets(before));
        } else {
            let (agreed, bytes) = got.unwrap();
            assert_eq!((names(&agreed), bytes.as_slice()), (vec!["b", "c", "d", "e"], &b"good"[..]), "{wrong:?}");
        }
    }
}

fn sha512(bytes: &[u8]) -> Vec<u8> {
    let mut digester = trustroot::crypto::Digester::new([trustroot::metadata::HashAlgorithm::Sha512]);
    digester.update(bytes);
    digester.finish().remove(0).1
}

#[test]
fn a_repository_that_is_kept_away_does_not_lead_to_a_weaker_mapping() {
    let mut world = World::new(&["a", "b"]);
    world.put("b", "tool", b"evil");
    world.repository("a").answer("timestamp", Answer::Status(500));
    let error = world.get(&format!("{BOTH}{B_ALONE}"), "tool").unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("http-status", false));

    // Nor where nobody else names the target.
    let mapping = r#"{"paths": ["*"], "repositories": ["a"], "threshold": 1}"#;
    let error = world.get(&format!("{mapping}{B_ALONE}"), "tool").unwrap_err();
    assert_eq!(error.code(), "http-status");
}

#[test]
fn enough_others_agree_while_a_repository_fails() {
    let mut world = World::new(&["a", "b", "c"]);
    world.put("b", "tool", b"good");
    world.put("c", "tool", b"good");
    world.repository("a").answer("timestamp", Answer::Status(500));
    let (agreed, bytes) = world.get(TWO_OF_THREE, "tool").unwrap();
    assert_eq!((names(&agreed), bytes.as_slice()), (vec!["b", "c"], &b"good"[..]));
    assert!(agreed.others[0].0 == "a" && agreed.others[0].1.code() == "http-status", "{:?}", agreed.others);
}

#[test]
fn nothing_behind_a_terminating_mapping_answers() {
    let mut world = World::new(&["a", "b"]);
    world.put("b", "tool", b"evil");
    let mapping = r#"{"paths": ["*"], "repositories": ["a"], "threshold": 1, "terminating": true}"#;
    assert_eq!(world.get(&format!("{mapping}{B_ALONE}"), "tool").unwrap_err().code(), "no-such-target");

    // Without it, the next mapping is asked.
    let mapping = mapping.replace("true", "false");
    assert_eq!(names(&world.get(&format!("{mapping}{B_ALONE}"), "tool").unwrap().0), ["b"]);
}

#[test]
fn a_target_that_no_mapping_covers_is_taken_from_nobody() {
    let mut world = World::new(&["a", "b"]);
    world.put("a", "tool", b"x");
    let mapping = r#"{"paths": ["other/*"], "repositories": ["a"], "threshold": 1}"#;
    assert_eq!(world.get(mapping, "tool").unwrap_err().code(), "not-mapped");
}

#[test]
fn one_repository_under_two_names_counts_once() {
    let mut world = World::new(&["a"]);
    world.put("a", "tool", b"evil");
    let map = r#"{"repositories": {"a": [], "alias": []},
                  "mapping": [{"paths": ["*"], "repositories": ["a", "alias"], "threshold": 2}]}"#;
    let client = &world.repositories["a"].1;
    let updaters = ["a", "alias"].map(|name| (name.to_owned(), client.new_updater().unwrap()));
    let mut multi = MultiRepository::new(RepositoryMap::parse(map.as_bytes()).unwrap(), updaters.into()).unwrap();
    let error = block_on(multi.find(&TargetPath::new("tool").unwrap())).unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("same-repository", true));
}

/// A mirror may withhold the newer roots under one name: the trusted roots then differ.
#[test]
fn one_repository_under_two_names_counts_once_where_roots_are_withheld() {
    let map = r#"{"repositories": {"a": [], "alias": []},
                  "mapping": [{"paths": ["*"], "repositories": ["a", "alias"], "threshold": 2}]}"#;
    let map = RepositoryMap::parse(map.as_bytes()).unwrap();
    let mut world = World::new(&["a"]);
    world.put("a", "tool", b"evil");
    let behind = Shelf::default();
    let repository = world.repository("a");
    behind.set_now(repository.shelf().now());
    behind.set_files(repository.shelf().files());
    let pinned = repository.bytes("root");
    let alias = Client::new(Arc::new(behind), pinned.clone());
    // Then a root with the same keys; then one with others, which only shares the pin; then one that is pinned itself.
    for step in 0..3 {
        let repository = world.repository("a");
        match step {
            0 => repository.publish_root(),
            1 => drop(repository.rotate("root")),
            _ => {}
        }
        let root = repository.bytes("root");
        let client = repository.client().pinning(if step == 2 { root } else { pinned.clone() });
        let updaters = [("a", &client), ("alias", &alias)];
        let updaters = updaters.map(|(name, client)| (name.to_owned(), client.new_updater().unwrap()));
        let mut multi = MultiRepository::new(map.clone(), updaters.into()).unwrap();
        let found = block_on(multi.find(&TargetPath::new("tool").unwrap()));
        if step == 2 {
            // Nothing is left in common: whoever pins both says that they are two.
            assert_eq!(names(&found.unwrap()), ["a", "alias"]);
            continue;
        }
        let error = found.unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("same-repository", true), "{step}: {error}");
        let roots = ["a", "alias"].map(|name| multi.updaters()[name].trusted().unwrap().root().version.get());
        assert!(roots[0] > roots[1], "{roots:?}");
    }
}

#[test]
fn a_blocking_program_does_not_stop_an_async_runtime() {
    let world = World::new(&["a", "b"]);
    let mut multi = blocking::MultiRepository::new(world.map(BOTH), world.updaters()).unwrap();
    block_on(async {
        let made = blocking::MultiRepository::new(world.map(BOTH), world.updaters());
        assert!(matches!(made, Err(ConsensusError::Local(UpdateError::InsideRuntime))));
        assert_eq!(multi.find(&TargetPath::new("tool").unwrap()).unwrap_err().code(), "inside-runtime");
        // It may be dropped anywhere.
        drop(multi);
    });
}

#[test]
fn a_repository_that_is_not_known_is_not_left_out() {
    let map = r#"{"repositories": {"a": []}, "mapping": [{"paths": ["*"], "repositories": ["a"], "threshold": 1}]}"#;
    let error = MultiRepository::new(RepositoryMap::parse(map.as_bytes()).unwrap(), BTreeMap::new()).unwrap_err();
    assert_eq!(error.code(), "unknown-repository");
}
