//! Runs the commands of README, guides and transcripts, and compares what they print.
//!
//! Each file gets a directory of its own with the demo's repository, artifact and attestations in it. To accept new
//! output: `TRYCMD=overwrite cargo test --test cli`, then review the change.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/demo_repository.rs"]
mod demo_repository;

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// The files whose commands are run.
fn transcripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = |directory: &str| {
        WalkDir::new(root.join(directory))
            .sort_by_file_name()
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    };
    // `tests/guides.rs` runs those that need a shell.
    let needs_a_shell =
        |path: &PathBuf| path.ends_with("first-trust-root.md") || path.ends_with("post-quantum-root.md");
    below("docs/guides").chain(below("tests/cli")).filter(|path| !needs_a_shell(path)).collect()
}

#[test]
fn documented_commands_do_what_is_documented() {
    let sandbox = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    cases.env("TRUSTROOT_HOME", "home").env("COLUMNS", "100");
    let mut copies = Vec::new();
    for original in transcripts() {
        let name = original.file_stem().unwrap().to_str().unwrap();
        let copy = sandbox.path().join(format!("{name}.md"));
        std::fs::copy(&original, &copy).unwrap();
        let sandbox = sandbox.path().join(format!("{name}.in"));
        demo_repository::make(&sandbox).unwrap();
        trustroot::client::write_durably(&sandbox.join("passphrase"), b"correct horse battery staple\n").unwrap();
        cases.case(&copy);
        copies.push((original, copy));
    }
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cases.run()));
    if std::env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
        for (original, copy) in copies {
            std::fs::copy(copy, original).unwrap();
        }
    }
    if let Err(panic) = ran {
        std::panic::resume_unwind(panic);
    }
}

/// A home that has pinned the demo's repository, for what a transcript cannot set up.
struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        demo_repository::make(sandbox.0.path()).unwrap();
        let (status, _) = sandbox.run(&["trust", "add", "oppy", "--url", "repository", "--root", "1.root.json"]);
        assert_eq!(status, 0);
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("TRUSTROOT_HOME", self.path("home"));
        command
    }

    /// The exit status, and what was printed.
    fn run(&self, arguments: &[&str]) -> (i32, Vec<u8>) {
        let output = self.command(arguments).output().unwrap();
        (output.status.code().unwrap(), [output.stdout, output.stderr].concat())
    }
}

const KEYS: &str = "oppy.example/keys.json";

#[test]
fn a_file_that_the_user_did_not_name_is_not_replaced() {
    let sandbox = Sandbox::new();
    trustroot::client::write_durably(&sandbox.path("keys.json"), b"precious").unwrap();
    let (status, printed) = sandbox.run(&["get", KEYS, "--format", "json"]);
    assert_eq!(status, 2);
    assert!(String::from_utf8(printed).unwrap().contains("file-exists"));
    assert_eq!(std::fs::read(sandbox.path("keys.json")).unwrap(), b"precious");
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "keys.json"]).0, 0);
    assert_ne!(std::fs::read(sandbox.path("keys.json")).unwrap(), b"precious");
}

#[test]
fn a_target_is_printed_byte_for_byte() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["get", KEYS]).0, 0);
    let (status, printed) = sandbox.run(&["get", KEYS, "--output", "-"]);
    assert_eq!((status, printed), (0, std::fs::read(sandbox.path("keys.json")).unwrap()));
}

#[test]
fn commands_that_write_nothing_wait_for_nobody() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["refresh"]).0, 0);
    let lock = std::fs::File::open(sandbox.path("home/oppy/metadata/.lock")).unwrap();
    lock.lock().unwrap();
    // With the lock held these would wait for a minute, and then fail.
    assert_eq!(sandbox.run(&["refresh", "--offline"]).0, 0);
    assert_eq!(sandbox.run(&["refresh", "--at", "2030-01-01T00:00:00Z"]).0, 0);
}

#[test]
fn inspecting_and_completing_need_no_home() {
    let sandbox = Sandbox::new();
    for arguments in [&["inspect", "1.root.json"][..], &["completions", "bash"]] {
        let output = sandbox.command(arguments).env_remove("TRUSTROOT_HOME").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
    let output = sandbox.command(&["refresh"]).env_remove("TRUSTROOT_HOME").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_chosen_time_keeps_nothing() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "-", "--at", "2030-01-01T00:00:00Z"]).0, 0);
    assert!(!sandbox.path("home/oppy/metadata").exists());
    assert!(!sandbox.path("home/oppy/targets").exists());
}

#[test]
fn offline_works_on_a_home_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["get", KEYS]).0, 0);
    std::fs::remove_file(sandbox.path("home/oppy/metadata/.lock")).unwrap();
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "again.json", "--offline"]).0, 0);
    // Nothing was written to the home: not even the lock.
    assert!(!sandbox.path("home/oppy/metadata/.lock").exists());
}

#[test]
fn names_of_files_cannot_draw_on_the_terminal() {
    let sandbox = Sandbox::new();
    let name = "hello\u{1b}[2J\nverified: everything.tgz";
    std::fs::copy(sandbox.path("hello-1.0.tgz"), sandbox.path(name)).unwrap();
    let (status, printed) =
        sandbox.run(&["verify", name, "--attestation", "hello-1.0.tgz.attestation.json", "--key-target", KEYS]);
    assert_eq!(status, 0);
    let printed = String::from_utf8(printed).unwrap();
    assert!(!printed.contains('\u{1b}') && !printed.contains("\nverified: everything"), "{printed}");
}
