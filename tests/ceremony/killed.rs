//! The real command, killed before each change that it makes to a directory. Run again, it leaves a transcript that
//! verifies and tells of what was done.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::Registry;

const BINARY: &str = env!("CARGO_BIN_EXE_trustroot");

/// The calls by which files appear, change and go: what is written before is a temporary file.
const CHANGING: &str = "?rename,?renameat,renameat2,?link,linkat,?unlink,unlinkat,?rmdir,?mkdir,mkdirat";

/// Whether processes can be killed at a system call here.
fn can_kill() -> bool {
    let mut strace = Command::new("/usr/bin/strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", "trace=openat", "-e", "inject=openat:signal=SIGKILL:when=1", "true"]);
    let can = strace.output().is_ok_and(|output| output.status.signal() == Some(9));
    if !can {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("NOT TESTED: strace is not installed, or may not trace here");
        }
    }
    can
}

/// What `{root}` and `{payload}` stand for in arguments.
fn fill(directory: &Path, arguments: &str) -> Vec<String> {
    let digest = |file: &str| {
        let bytes = std::fs::read(directory.join(file)).unwrap_or_default();
        trustroot::metadata::Envelope::parse(&bytes).map(|envelope| {
            let (file, payload) =
                (trustroot::crypto::sha256(&bytes), trustroot::crypto::sha256(envelope.signed_bytes()));
            (hex::encode(file), hex::encode(payload))
        })
    };
    let root = digest("repository/1.root.json").map(|(file, _)| file).unwrap_or_default();
    let proposed = ["targets-v1", "root-v1"].map(|event| digest(&format!("signing-events/{event}/proposal.json")));
    let payload = proposed.into_iter().find_map(Result::ok).map(|(_, payload)| payload).unwrap_or_default();
    arguments
        .split_whitespace()
        .map(|argument| argument.replace("{root}", &root).replace("{payload}", &payload))
        .collect()
}

fn run(mut program: Command, directory: &Path, arguments: &str) -> Output {
    let home = directory.join(".home");
    program.args(fill(directory, arguments)).current_dir(directory).env("TRUSTROOT_HOME", home);
    program.stdin(std::process::Stdio::null()).output().unwrap()
}

fn succeed(directory: &Path, arguments: &str) -> String {
    let output = run(Command::new(BINARY), directory, arguments);
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments}: {said}{errors}");
    said.into_owned()
}

/// A working copy with the keys of its people beside it.
struct Scene {
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the command runs now")]
        let now = chrono::Utc::now() - chrono::Duration::hours(2);
        let mut registry = Registry::at(now);
        registry.add_person("walter");
        registry.edit("trustroot.toml", |text| {
            format!("{text}\n[people.walter]\nkeys = [\"keys/walter.pub\"]\n\n[ceremony]\nwitnesses = [\"walter\"]\n")
        });
        for person in ["alice", "bob", "online", "walter"] {
            registry.write(&format!("{person}.pem"), &registry.key(person).to_unencrypted_pem());
        }
        Self { registry }
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for (name, bytes) in self.registry.files("") {
            let path = copy.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            trustroot::client::write_durably(&path, &bytes).unwrap();
        }
        copy
    }

    /// The changes that a run makes, each as the name of the call and its number among those of that name.
    fn changes(&self, arguments: &str) -> Vec<(String, usize)> {
        let copy = self.copy();
        let trace = copy.path().join(".trace");
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-qq", "-s", "0", "-e", &format!("trace={CHANGING}"), "-o"]).arg(&trace).arg(BINARY);
        let output = run(strace, copy.path(), arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let trace = std::fs::read_to_string(trace).unwrap();
        let names = trace.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name.to_owned());
        let number = |name: String| {
            let number = numbers.entry(name.clone()).or_default();
            *number += 1;
            (name, *number)
        };
        names.map(number).collect()
    }

    /// Kills a command before each of its changes, runs it again, and then has the event replayed.
    fn survives(&self, arguments: &str, event: &str, kind: &str, least: usize) {
        let changes = self.changes(arguments);
        assert!(changes.len() >= least, "{changes:?}");
        for (call, number) in &changes {
            let context = format!("{arguments}, killed before the {call} number {number}");
            let copy = self.copy();
            let mut strace = Command::new("/usr/bin/strace");
            let inject = format!("inject={call}:signal=SIGKILL:when={number}");
            strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]).arg(BINARY);
            let output = run(strace, copy.path(), arguments);
            assert_eq!(output.status.signal(), Some(9), "{context}: {}", String::from_utf8_lossy(&output.stderr));
            succeed(copy.path(), arguments);
            let pin = if copy.path().join("repository/1.root.json").exists() { "--root-sha256 {root}" } else { "" };
            let replay =
                run(Command::new(BINARY), copy.path(), &format!("ceremony replay {event} {pin} --format json"));
            let said: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
            assert!(replay.status.success(), "{context}: {said:#}");
            let steps = said["steps"].as_array().unwrap();
            assert!(steps.iter().any(|step| step["says"]["kind"] == kind), "{context}: {said:#}");
        }
    }

    fn step(&self, arguments: &str) {
        succeed(&self.registry.path(""), arguments);
    }
}

const SIGN: &str = "ceremony sign root-v1 --payload-sha256 {payload} --key";

#[test]
fn a_step_that_was_killed_anywhere_is_told_after_the_next_run() {
    if !can_kill() {
        return;
    }
    let scene = Scene::new();
    scene.survives("ceremony start root", "root-v1", "propose", 5);
    scene.step("ceremony start root");
    scene.survives(&format!("{SIGN} alice.pem"), "root-v1", "sign", 2);
    // In a copy, from which it is collected.
    let copy = scene.copy();
    succeed(copy.path(), &format!("{SIGN} bob.pem"));
    scene.step(&format!("{SIGN} alice.pem"));
    let collect = format!("ceremony collect root-v1 {}", copy.path().join("signing-events/root-v1").display());
    // With its signer's record a signature is told of; without, by the collector's.
    scene.survives(&collect, "root-v1", "sign", 3);
    let bare = format!("{collect}/signatures");
    scene.survives(&bare, "root-v1", "collect", 2);
    scene.step(&collect);
    scene.survives("ceremony withdraw root-v1 --because mistake", "root-v1", "withdraw", 3);
    scene.survives("ceremony finish root-v1", "root-v1", "finish", 3);
    // Nothing moved; the signatures came here without any record.
    std::fs::remove_dir_all(scene.registry.path("signing-events/root-v1/records")).unwrap();
    scene.survives("ceremony rebase root-v1", "root-v1", "collect", 2);
    scene.registry.edit("trustroot.toml", |text| text.replacen("threshold = 2", "threshold = 3", 1));
    scene.survives("ceremony rebase root-v1", "root-v1", "propose", 5);
}

#[test]
fn a_witness_or_a_publication_that_was_killed_anywhere_is_told_after_the_next_run() {
    if !can_kill() {
        return;
    }
    let scene = Scene::new();
    scene.step("ceremony start root");
    for person in ["alice", "bob"] {
        scene.step(&format!("{SIGN} {person}.pem"));
    }
    scene.step("ceremony finish");
    let witness = "ceremony witness root-v1 --key walter.pem --root-sha256 {root} --payload-sha256 {payload}";
    scene.survives(witness, "root-v1", "witness", 1);
    scene.step(witness);
    scene.step("ceremony start targets");
    for person in ["alice", "bob"] {
        let sign = "ceremony sign targets-v1 --root-sha256 {root} --payload-sha256 {payload} --key";
        scene.step(&format!("{sign} {person}.pem"));
    }
    scene.step("ceremony finish");
    scene.step("ceremony witness targets-v1 --key walter.pem --root-sha256 {root} --payload-sha256 {payload}");
    let publish = "publish public --online-key online.pem";
    scene.survives(publish, "root-v1", "publish", 8);
    scene.survives(publish, "targets-v1", "publish", 8);
}
