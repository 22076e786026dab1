//! Of which repositories the command believes a verified index: those that the user pinned, and no others.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{SimRepository, verified_index};

/// A repository as files, with one real target among thousands.
struct Setting {
    directory: TempDir,
}

const CONTENT: &[u8] = b"the tool";

impl Setting {
    fn new() -> Self {
        let mut repository = SimRepository::new();
        for role in ["root", "timestamp", "snapshot", "targets"] {
            repository.draft(role)["expires"] = json!("2099-01-01T00:00:00Z");
        }
        let entry = |number: usize| {
            let file = json!({ "length": number, "hashes": { "sha256": "ab".repeat(32) } });
            (format!("d{number:05}/tool"), file)
        };
        repository.draft("targets")["targets"] = Value::Object((0..9000).map(entry).collect());
        repository.add_target("targets", "tool", CONTENT);
        repository.publish_root();
        repository.publish();
        let setting = Self { directory: tempfile::tempdir().unwrap() };
        for file in repository.shelf().files().into_keys() {
            let place = setting.path("repository").join(file.trim_start_matches("metadata/"));
            fs_err::create_dir_all(place.parent().unwrap()).unwrap();
            fs_err::write(&place, repository.shelf().get(&file).unwrap()).unwrap();
        }
        setting
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, home: &str, system: &str, arguments: &[&str]) -> Output {
        // Where a group may write, nothing is indexed.
        self.run_under("022", home, system, arguments)
    }

    fn run_under(&self, umask: &str, home: &str, system: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("/bin/sh");
        let script = format!(r#"umask {umask} && exec "$0" "$@""#);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_trustroot")]);
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("TRUSTROOT_HOME", self.path(home));
        command.env("TRUSTROOT_SYSTEM_DIR", if system.is_empty() { PathBuf::new() } else { self.path(system) });
        command.output().unwrap()
    }

    fn pin_in(&self, home: &str) {
        self.pin_under("022", home);
    }

    fn pin_under(&self, umask: &str, home: &str) {
        let (url, root) =
            (format!("file://{}", self.path("repository").display()), self.path("repository/2.root.json"));
        let added =
            self.run_under(umask, home, "", &["trust", "add", "r", "--url", &url, "--root", root.to_str().unwrap()]);
        assert!(added.status.success(), "{added:?}");
    }

    fn cache(&self, home: &str) -> PathBuf {
        self.path(home).join("r/metadata")
    }

    fn get(&self, home: &str, system: &str) -> Output {
        self.run(home, system, &["get", "tool", "--output", "-"])
    }
}

fn poison(cache: &Path, index: &Value) {
    verified_index::poison(cache, index, "\"length\":8}}", "\"length\":7}}");
}

#[test]
fn the_command_indexes_what_the_user_pinned() {
    let setting = Setting::new();
    setting.pin_in("home");
    assert_eq!(setting.get("home", "").stdout, CONTENT);
    let index = verified_index::read(&setting.cache("home"), "targets");
    assert_eq!(setting.get("home", "").stdout, CONTENT);

    // Whoever can write here could replace the pin; it shows that the index is used.
    poison(&setting.cache("home"), &index);
    let got = setting.get("home", "");
    let said = String::from_utf8(got.stderr).unwrap();
    assert!(!got.status.success(), "{said}");
    assert!(said.contains("7 bytes"), "{said}");
}

#[test]
fn where_a_group_may_write_it_is_said_why_look_ups_are_slow_and_what_to_do() {
    let setting = Setting::new();
    setting.pin_under("002", "home");
    let pin = setting.path("home").join("r").display().to_string();
    let advice = format!("chmod -R go-w {pin}");
    let said = |umask: &str, arguments: &[&str]| {
        let output = setting.run_under(umask, "home", "", arguments);
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let look_up = ["get", "tool", "--output", "-", "--verbose"];
    for arguments in [&look_up[..], &look_up[..], &[&look_up[..], &["--offline"]].concat()] {
        let (_, verbose) = said("002", arguments);
        let lines: Vec<&str> = verbose.lines().filter(|line| line.contains("not indexed")).collect();
        let [line] = lines[..] else { panic!("{verbose}") };
        assert!(line.contains("role=targets") && line.contains(&advice) && line.contains("umask 022"), "{line}");
    }
    let (status, _) = said("002", &["status"]);
    let note = format!(
        "note: look-ups are slow, as each verifies all of a large document: others than its owner may write to {pin}"
    );
    assert!(status.contains(&note) && status.contains(&advice), "{status}");
    let (json, _) = said("002", &["status", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["trusts"][0]["notIndexed"].as_str().unwrap().contains(&advice), "{json}");
    assert!(!verified_index::path(&setting.cache("home"), "targets").exists());

    // Half of the advice is not enough, and then it is said of what.
    assert!(Command::new("chmod").args(["-R", "go-w", &pin]).status().unwrap().success());
    let (_, verbose) = said("002", &look_up);
    assert!(verbose.contains(&format!("chmod -R go-w {pin}/metadata/index")), "{verbose}");

    assert!(Command::new("chmod").args(["-R", "go-w", &pin]).status().unwrap().success());
    said("022", &look_up);
    let (_, verbose) = said("022", &look_up);
    assert!(!verbose.contains("not indexed"), "{verbose}");
    let (status, _) = said("022", &["status"]);
    assert!(!status.contains("note:"), "{status}");
    let index = verified_index::read(&setting.cache("home"), "targets");
    poison(&setting.cache("home"), &index);
    assert!(!setting.get("home", "").status.success(), "the index is used");
}

#[test]
fn under_a_pin_of_the_system_no_index_is_written_or_used() {
    let setting = Setting::new();
    setting.pin_in("system");
    setting.pin_in("other");
    setting.get("other", "");
    let index = verified_index::read(&setting.cache("other"), "targets");
    assert_eq!(setting.get("home", "system").stdout, CONTENT);
    assert!(!verified_index::path(&setting.cache("home"), "targets").exists());

    // The user whose cache it is can say there what they like.
    poison(&setting.cache("home"), &index);

    let got = setting.get("home", "system");
    assert_eq!(got.stdout, CONTENT, "{got:?}");
}

#[test]
fn an_export_reads_all_of_what_an_index_spares_a_look_up() {
    let setting = Setting::new();
    setting.pin_in("home");
    assert_eq!(setting.get("home", "").stdout, CONTENT);
    // Damage where no look-up goes.
    let (cache, index) = (setting.cache("home"), verified_index::read(&setting.cache("home"), "targets"));
    let good = fs_err::read(cache.join("targets.json")).unwrap();
    let first = index["windows"][0]["crc32"].clone();
    verified_index::poison(&cache, &index, "\"d00003/tool\"", "\"d00003/fool\"");
    let mut damaged = verified_index::read(&cache, "targets");
    damaged["windows"][0]["crc32"] = first;
    verified_index::write(&cache, "targets", &damaged);
    assert_eq!(setting.get("home", "").stdout, CONTENT);
    assert_ne!(fs_err::read(cache.join("targets.json")).unwrap(), good);

    let exported = setting.run("home", "", &["bundle", "export", "r", "--target", "tool", "--output", "bundle"]);

    assert!(exported.status.success(), "{exported:?}");
    assert_eq!(fs_err::read(cache.join("targets.json")).unwrap(), good);
}
