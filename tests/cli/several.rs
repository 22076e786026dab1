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

#[test]
fn one_repository_that_cannot_be_looked_at_does_not_hide_the_others() {
    let world = World::new();
    world.look_up(0);
    world.write("home/a/trust.toml", b"is = 'not ours'\n");
    for command in [&["status"][..], &["changes", "--since", "2026-01-01T00:00:00Z"], &["refresh"]] {
        let said = world.json(2, command);
        assert_eq!(code(&said), "configuration", "{command:?}");
        assert!(!said["error"].to_string().contains("trustroot refresh a"), "{said}");
        let shown = said["succeeded"]["trusts"].as_array();
        let shown = shown.unwrap_or_else(|| panic!("{command:?}: {said}"));
        let b = shown.iter().find(|trust| trust["name"] == "b").unwrap_or_else(|| panic!("{command:?}: {said}"));
        assert!(b["problems"].as_array().is_none_or(Vec::is_empty), "{b}");
    }
    // Whoever names it is told at once, as before.
    assert_eq!(code(&world.json(2, &["status", "a"])), "configuration");
}

#[test]
fn a_watch_begins_where_one_repository_cannot_be_watched() {
    let world = World::new();
    world.write("home/a/trust.toml", b"is = 'not ours'\n");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"));
    command.args(["refresh", "--watch", "--interval", "1h"]).current_dir(world.directory.path()).env_clear();
    command.env("TRUSTROOT_HOME", world.path("home")).stderr(std::process::Stdio::piped());
    let mut watch = command.spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stderr.take().unwrap()));
    let first = lines.map_while(Result::ok).next().unwrap();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(first.starts_with("warning: a: "), "{first}");
}

#[test]
fn a_refresh_that_outlives_its_pin_leaves_nothing_to_the_next_of_that_name() {
    let world = World::new();
    world.json(0, &["refresh", "a"]);
    let brought = files(&world.path("home/a/metadata"));
    world.json(0, &["trust", "remove", "a"]);
    assert!(!world.path("home/a").exists());
    // What the refresh writes once the pin is gone.
    assert!(brought.len() > 3);
    for (path, bytes) in brought {
        let path = world.path("home/a/metadata").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_durably(&path, &bytes).unwrap();
    }
    // Another repository gets the name.
    world.write("root.json", &std::fs::read(world.b.path("repository/1.root.json")).unwrap());
    let add = ["trust", "add", "a", "--url", "b", "--root", "root.json"];
    let before = files(&world.path("home"));
    assert_eq!(code(&world.json(2, &add)), "in-the-way");
    assert_eq!(files(&world.path("home")), before);
    std::fs::remove_dir_all(world.path("home/a")).unwrap();
    world.json(0, &add);
    world.json(0, &["refresh", "a"]);
    let kept = std::fs::read(world.path("home/a/metadata/root.json")).unwrap();
    assert_eq!(kept, std::fs::read(world.path("root.json")).unwrap());
}

#[test]
fn a_pin_takes_the_place_of_nothing_that_it_did_not_put_there() {
    let world = World::new();
    let add = |name: &'static str| ["trust", "add", name, "--url", "b", "--root", "root.json"];
    std::fs::create_dir(world.path("home/work")).unwrap();
    world.write("home/work/thesis.txt", b"years");
    world.write("home/plain", b"a file");
    for name in ["work", "plain", "map.json"] {
        let before = files(&world.path("home"));
        assert_eq!(code(&world.json(2, &add(name))), "in-the-way", "{name}");
        assert_eq!(files(&world.path("home")), before);
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_directory_is_removed_all_the_same() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    symlink("/nonexistent", world.path("home/.removed-a")).unwrap();
    symlink("/nonexistent", world.path("home/c")).unwrap();
    for name in ["a", "c"] {
        world.json(0, &["trust", "remove", name]);
        assert!(world.path("home").join(name).symlink_metadata().is_err());
        assert!(world.path("home").join(format!(".removed-{name}")).symlink_metadata().is_err());
    }
}

#[test]
fn an_argument_that_is_quoted_does_not_draw_on_the_terminal() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"));
    let output = command.args(["get", "x\u{1b}[2Jy"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(r"x\u{1b}[2Jy") && !said.contains("\u{1b}[2J"), "{said:?}");
}

#[test]
fn a_pin_can_be_removed_where_nothing_can_be_kept() {
    let world = World::new();
    let _ = std::fs::remove_dir_all(world.path("home/a/metadata"));
    world.write("home/a/metadata", b"in the way");
    world.json(0, &["trust", "remove", "a"]);
    assert!(!world.path("home/a").exists());
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_no_absent_file() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    std::fs::remove_file(world.path("home/map.json")).unwrap();
    symlink("/nonexistent", world.path("home/map.json")).unwrap();
    // Without the map either repository alone could answer.
    assert_eq!(code(&world.json(3, &["lookup", OPPY])), "io");
    std::fs::remove_file(world.path("home/map.json")).unwrap();
    std::fs::rename(world.path("home/a"), world.path("elsewhere")).unwrap();
    symlink("/nonexistent", world.path("home/a")).unwrap();
    assert_eq!(code(&world.json(3, &["lookup", OPPY, "--trust", "a"])), "io");
}

#[test]
fn what_a_file_of_the_users_names_does_not_draw_on_the_terminal() {
    let world = World::new();
    let shown = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(arguments).current_dir(world.directory.path()).env_clear().env("CLICOLOR_FORCE", "1");
        let output = command.env("TRUSTROOT_HOME", world.path("home")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let drawn = "x\u{1b}]0;pwn\u{7}\u{202e}y";
    let mapping = json!([{"paths": ["*"], "repositories": ["a", drawn], "threshold": 2}]);
    world.map(&mapping);
    let said = shown(&["lookup", OPPY]);
    assert!(said.contains(r"x\u{1b}]0;pwn\u{7}\u{202e}y"), "{said}");
    world.write("home/map.json", json!({"repositories": {}, "mapping": [], drawn: 1}).to_string().as_bytes());
    let unknown_field = shown(&["lookup", OPPY]);
    world.write("home/a/trust.toml", "\"x\\u001b]0;pwn\\u0007\\u202ey\" = 1\n".as_bytes());
    for said in [said, unknown_field, shown(&["status", "a"])] {
        assert!(!said.contains("\u{1b}]0") && !said.contains(['\u{7}', '\u{202e}']), "{said:?}");
    }
}

/// Registry `a` names a file whose path begins with a dot, and one that no terminal shows as it is.
const ODD: [&str; 2] = [".well-known/keys.json", "caf\u{e9}.json"];

#[test]
fn programs_get_names_as_they_are_and_a_bundle_carries_every_kept_one() {
    let mut world = World::new();
    for name in ODD {
        world.a.write(&format!("targets/{name}"), "{}\n");
    }
    world.a.now += chrono::Duration::minutes(1);
    world.a.hold("targets", &["alice", "bob"]).unwrap();
    world.a.publish().unwrap();
    world.a.serve_from(&world.path("a"));
    for name in ODD {
        let got = world.json(0, &["get", name, "--trust", "a", "--output", "got"]);
        assert_eq!(got["target"], name);
    }
    let written = world.json(0, &["bundle", "export", "a", "--all-kept", "--output", "all.bundle"]);
    assert_eq!(written["targets"], json!(ODD));
    assert_eq!(world.json(0, &["bundle", "inspect", "all.bundle"])["targets"], json!(ODD));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"));
    let output =
        command.args(["bundle", "inspect", "all.bundle"]).current_dir(world.directory.path()).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains(r"caf\u{e9}.json"));
}
