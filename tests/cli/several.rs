//! The command where a map says which repositories must agree: `lookup`, `verify` and `get`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trustroot::client::write_durably;

use crate::demo_repository::support::{OPPY, Registry, files};
use crate::sign_attestation;

/// Two registries of other people, with the same builder, and a verifier who has pinned both.
pub(crate) struct World {
    directory: tempfile::TempDir,
    a: Registry,
    b: Registry,
}

impl World {
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the command runs now")]
        let now = chrono::Utc::now() - chrono::Duration::hours(2);
        let (a, b) = (Registry::at(now).and_builder(), Registry::other(now).and_builder());
        let world = Self { directory: tempfile::tempdir().unwrap(), a, b };
        let artifact = b"hello, world\n";
        world.write("hello.tgz", artifact);
        let attestation = sign_attestation::attest("hello.tgz", artifact, OPPY, world.a.key("builder-v1")).unwrap();
        world.write("hello.json", attestation.to_string().as_bytes());
        for (name, registry) in [("a", &world.a), ("b", &world.b)] {
            registry.publish().unwrap();
            registry.serve_from(&world.path(name));
            world.write("root.json", &std::fs::read(registry.path("repository/1.root.json")).unwrap());
            world.json(0, &["trust", "add", name, "--url", name, "--root", "root.json"]);
        }
        world.map(&json!([{"paths": ["*"], "repositories": ["a", "b"], "threshold": 2}]));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        write_durably(&self.path(name), bytes).unwrap();
    }

    fn map(&self, mapping: &Value) {
        let map = json!({"repositories": {"a": [], "b": []}, "mapping": mapping});
        self.write("home/map.json", map.to_string().as_bytes());
    }

    /// Runs the command and insists on this exit status. Returns what it says as JSON, and on standard error.
    fn run(&self, status: i32, arguments: &[&str]) -> (Value, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(arguments).args(["--format", "json"]).current_dir(self.directory.path()).env_clear();
        let output = command.env("TRUSTROOT_HOME", self.path("home")).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}{errors}");
        (serde_json::from_str(&said).unwrap(), errors)
    }

    pub(crate) fn json(&self, status: i32, arguments: &[&str]) -> Value {
        self.run(status, arguments).0
    }

    fn look_up(&self, status: i32) -> Value {
        self.json(status, &["lookup", OPPY])
    }

    fn verify(&self, status: i32) -> Value {
        let builder = ["--builder", OPPY, "--min-level", "L3"];
        self.json(status, &[&["verify", "hello.tgz", "--attestation", "hello.json"][..], &builder].concat())
    }

    /// What is kept of targets and of the history of documents.
    fn kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let all = files(&self.path("home")).into_iter();
        let is_document = |path: &Path| {
            let path = path.to_string_lossy();
            path.contains("/targets/") || path.contains("/history/")
        };
        all.filter(|(path, _)| is_document(path)).collect()
    }

    /// Gives the builder of one registry the key of a thief, who holds all keys of that registry.
    fn compromise_b(&mut self) {
        let key = |registry: &Registry, person: &str| {
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, registry.key(person).canonical_spki())
        };
        self.b.add_person("thief");
        let (old, new) = (key(&self.b, "builder-v1"), key(&self.b, "thief"));
        self.b.edit("builders/oppy/v1.toml", |text| text.replace(&old, &new));
        self.b.now += chrono::Duration::minutes(1);
        self.b.hold("oppy", &["oppy-dev"]).unwrap();
        self.b.publish().unwrap();
        self.b.serve_from(&self.path("b"));
        let forged = sign_attestation::attest("hello.tgz", b"hello, world\n", OPPY, self.b.key("thief")).unwrap();
        self.write("hello.json", forged.to_string().as_bytes());
    }
}

fn code(error: &Value) -> &str {
    error["error"]["code"].as_str().unwrap()
}

/// Whose word the facts of an error are.
fn facts(error: &Value) -> Vec<&str> {
    error["error"]["facts"].as_array().unwrap().iter().map(|fact| fact["name"].as_str().unwrap()).collect()
}

#[test]
fn repositories_that_agree_answer_and_are_named() {
    let world = World::new();
    let said = world.look_up(0);
    let by: Vec<&str> =
        said["document"]["agreedBy"].as_array().unwrap().iter().map(|by| by["trust"].as_str().unwrap()).collect();
    assert_eq!((by, &said["document"]["threshold"]), (vec!["a", "b"], &json!(2)));
    let states = said["registry"]["repositories"].as_array().unwrap();
    assert_eq!((states.len(), &states[1]["trust"], &states[1]["root"]), (2, &json!("b"), &json!(1)));
    let verdict = world.verify(0);
    assert_eq!((&verdict["verified"], &verdict["level"]), (&json!(true), &json!("L3")));
    assert_eq!(verdict["catalog"]["agreedBy"].as_array().unwrap().len(), 2);
    // Both are needed without the network too.
    world.json(0, &["lookup", OPPY, "--offline"]);
    assert_eq!(code(&world.json(2, &["lookup", OPPY, "--map", "absent.json"])), "no-such-file");
}

#[test]
fn one_compromised_repository_of_two_cannot_have_its_key_believed() {
    let mut world = World::new();
    world.compromise_b();
    let before = world.kept();
    for error in [world.look_up(1), world.verify(1)] {
        assert_eq!(code(&error), "no-agreement");
        assert_eq!(facts(&error)[..2], ["a", "b"]);
        assert_eq!(error["error"]["stillTrue"], "nothing was fetched");
    }
    // The catalog that both agree about may be kept; nothing of the builder is.
    let moved: Vec<PathBuf> =
        world.kept().into_iter().filter(|file| !before.contains(file)).map(|(path, _)| path).collect();
    let of_builder = |path: &PathBuf| path.to_string_lossy().contains("builders");
    assert!(!moved.iter().any(of_builder), "{moved:?}");
    // Without the map, who trusts `b` alone trusts the thief: that is what the map is for.
    assert_eq!(world.json(0, &["lookup", OPPY, "--trust", "b"])["registry"]["trust"], "b");
    // Nor does a weaker mapping further on answer.
    world.map(&json!([{"paths": ["*"], "repositories": ["a", "b"], "threshold": 2},
                      {"paths": ["*"], "repositories": ["b"], "threshold": 1}]));
    assert_eq!(code(&world.verify(1)), "no-agreement");
}

#[test]
fn a_repository_that_cannot_be_asked_gives_no_verdict_and_is_named() {
    let world = World::new();
    std::fs::rename(world.path("b/timestamp.json"), world.path("hidden")).unwrap();
    let error = world.verify(3);
    assert_eq!(error["error"]["facts"][0], json!({"name": "trust", "value": "b"}));
    // Where one is enough, it is said who did not count.
    world.map(&json!([{"paths": ["*"], "repositories": ["b", "a"], "threshold": 1}]));
    let (verdict, errors) =
        world.run(0, &["verify", "hello.tgz", "--attestation", "hello.json", "--builder", OPPY, "--min-level", "L3"]);
    assert_eq!(verdict["document"]["others"][0]["trust"], "b");
    assert!(errors.contains("warning: b does not count among those that agree: "), "{errors}");
}

#[test]
fn keys_of_a_key_target_count_only_where_both_agree() {
    let world = World::new();
    let arguments = ["verify", "hello.tgz", "--attestation", "hello.json", "--key-target", "keys.json"];
    let error = world.json(1, &arguments);
    assert_eq!(code(&error), "no-such-target");
    assert!(error["error"]["message"].as_str().unwrap().starts_with("none of a, b names"), "{error}");
    assert!(facts(&error).contains(&"map"), "{error}");
}

#[test]
fn a_map_that_names_who_is_not_trusted_stops_every_question() {
    let world = World::new();
    let map = json!({"repositories": {"a": [], "c": []},
                     "mapping": [{"paths": ["*"], "repositories": ["a"], "threshold": 1}]});
    world.write("home/map.json", map.to_string().as_bytes());
    for error in [world.look_up(2), world.verify(2), world.json(2, &["get", "slsa/v1/catalog.json"])] {
        assert_eq!(code(&error), "unusable-map");
    }
}

#[test]
fn the_map_of_the_system_comes_before_the_users() {
    let world = World::new();
    let alone =
        json!({"repositories": {"a": []}, "mapping": [{"paths": ["*"], "repositories": ["a"], "threshold": 1}]});
    let both = std::fs::read(world.path("home/map.json")).unwrap();
    world.write("home/map.json", alone.to_string().as_bytes());
    std::fs::create_dir(world.path("system")).unwrap();
    world.write("system/map.json", &both);
    let run = |system: &Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(["lookup", OPPY, "--format", "json"]).current_dir(world.directory.path()).env_clear();
        let command = command.env("TRUSTROOT_HOME", world.path("home")).env("TRUSTROOT_SYSTEM_DIR", system);
        serde_json::from_slice::<Value>(&command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(run(&world.path("system"))["document"]["threshold"], 2);
    assert_eq!(run(Path::new(""))["document"]["threshold"], 1);
}
