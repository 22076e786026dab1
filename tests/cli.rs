//! Runs the commands of README, guides and transcripts, and compares what they print.
//!
//! Each file gets a directory of its own with the demo's repository, artifact and attestations in it. To accept new
//! output: `TRYCMD=overwrite cargo test --test cli`, then review the change.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/demo_repository.rs"]
mod demo_repository;

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/sign_attestation.rs"]
mod sign_attestation;

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// `tests/guides.rs` runs these.
const NEED_A_SHELL: [&str; 3] = ["first-trust-root.md", "post-quantum-root.md", "several-repositories.md"];

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
    let needs_a_shell = |path: &PathBuf| NEED_A_SHELL.iter().any(|name| path.ends_with(name));
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

/// Every command by its words, such as `trust add`, as the help lists them.
fn commands(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let (status, help) = sandbox.run(&[words, &["--help"]].concat());
    let help = String::from_utf8(help).unwrap();
    assert_eq!(status, 0, "{help}");
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    // Descriptions go on further to the right.
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut all = Vec::new();
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        let words = [words, &[name]].concat();
        all.push(words.join(" "));
        all.extend(commands(sandbox, &words));
    }
    all
}

#[test]
fn every_command_has_its_help_shown_and_is_completed() {
    let sandbox = Sandbox::new();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/help.md")).unwrap();
    let commands = commands(&sandbox, &[]);
    assert!(commands.len() > 30 && commands.contains(&"trust add".to_owned()), "{commands:?}");
    let missing: Vec<&String> =
        commands.iter().filter(|words| !page.contains(&format!("$ trustroot {words} --help\n"))).collect();
    assert!(missing.is_empty(), "tests/cli/help.md does not show the help of {missing:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (status, completions) = sandbox.run(&["completions", shell]);
        let completions = String::from_utf8(completions).unwrap();
        assert_eq!(status, 0);
        for words in &commands {
            let last = words.rsplit(' ').next().unwrap();
            assert!(completions.contains(last), "{shell} does not complete {words}");
        }
    }
    let (_, bash) = sandbox.run(&["completions", "bash"]);
    let bash = String::from_utf8(bash).unwrap();
    for words in &commands {
        let words = format!("trustroot {words}");
        let (parent, last) = words.rsplit_once(' ').unwrap();
        let case = format!("{},{last})", parent.replace(' ', "__subcmd__"));
        assert!(bash.contains(&case), "bash does not complete {words}: {case}");
    }
}

#[path = "cli/several.rs"]
mod several;

#[path = "cli/policies.rs"]
mod policies;

/// A map under which both repositories must agree, for `oppy` and another one.
const MAP: &str = r#"{"repositories": {"oppy": [], "second": []},
    "mapping": [{"paths": ["*"], "repositories": ["oppy", "second"], "threshold": 2}]}"#;

#[test]
fn pins_of_the_system_are_read_and_never_shadowed_or_written() {
    let sandbox = Sandbox::new();
    std::fs::rename(sandbox.path("home"), sandbox.path("system")).unwrap();
    let run = |arguments: &[&str]| {
        let output = sandbox.command(arguments).env("TRUSTROOT_SYSTEM_DIR", sandbox.path("system")).output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), printed)
    };
    let (status, printed) = run(&["refresh"]);
    assert_eq!(status, 0, "{printed}");
    assert!(run(&["trust", "list", "--format", "json"]).1.contains("\"origin\": \"system\""));
    // What is kept is the user's, and the system's directory is as it was.
    assert!(sandbox.path("home/oppy/metadata/timestamp.json").exists());
    assert!(!sandbox.path("system/oppy/metadata").exists());
    for arguments in [
        &["trust", "add", "oppy", "--url", "https://evil.example", "--root", "1.root.json"][..],
        &["trust", "set", "oppy", "--expired-grace", "3d"],
        &["trust", "remove", "oppy"],
    ] {
        let (status, printed) = run(arguments);
        assert!(status == 2 && printed.contains("for all users of this machine"), "{printed}");
    }
    // A pin that the user had before does not shadow it either.
    assert_eq!(sandbox.run(&["trust", "add", "oppy", "--url", "https://evil.example", "--root", "1.root.json"]).0, 0);
    let (status, printed) = run(&["refresh", "oppy", "--format", "json"]);
    assert!(status == 2 && printed.contains("pinned-by-system"), "{printed}");
}

#[test]
fn what_is_kept_is_used_where_the_policy_says_so_and_never_silently() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "first.json"]).0, 0);
    std::fs::rename(sandbox.path("repository/timestamp.json"), sandbox.path("hidden")).unwrap();
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "second.json"]).0, 3);
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--when-unreachable", "use-kept"]).0, 0);
    let (status, printed) = sandbox.run(&["get", KEYS, "--output", "second.json", "--format", "json"]);
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(status, 0, "{printed}");
    for said in ["\"unreachable\":", "\"confirmedAt\":", "warning: oppy cannot be reached"] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
}

#[test]
fn a_refresh_that_cannot_keep_what_it_found_says_so() {
    let sandbox = Sandbox::new();
    // Nothing can be kept, whoever runs the test: there is no lock to be had, and a file where a directory should be.
    std::fs::create_dir_all(sandbox.path("home/oppy/metadata/.lock")).unwrap();
    fs_err::write(sandbox.path("home/oppy/targets"), b"").unwrap();
    let (status, printed) = sandbox.run(&["refresh", "--format", "json"]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 3 && printed.contains("\"not-kept\""), "{status}: {printed}");
    // An answer is right all the same.
    let (status, printed) = sandbox.run(&["get", KEYS, "--output", "keys.json"]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 0 && printed.contains("cannot be kept"), "{status}: {printed}");
}

#[test]
fn a_map_in_the_home_is_followed_and_one_repository_cannot_vouch_twice() {
    let sandbox = Sandbox::new();
    fs_err::write(sandbox.path("home/map.json"), MAP).unwrap();
    let (status, printed) = sandbox.run(&["get", KEYS, "--format", "json"]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 2 && printed.contains("unusable-map"), "{status}: {printed}");
    assert_eq!(sandbox.run(&["trust", "add", "second", "--url", "repository", "--root", "1.root.json"]).0, 0);
    let (status, printed) = sandbox.run(&["get", KEYS, "--format", "json"]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 1 && printed.contains("same-repository"), "{status}: {printed}");
    assert!(!sandbox.path("keys.json").exists());
    let one = MAP.replace("[\"oppy\", \"second\"], \"threshold\": 2", "[\"oppy\"], \"threshold\": 1");
    fs_err::write(sandbox.path("home/map.json"), one).unwrap();
    let (status, printed) = sandbox.run(&["get", KEYS, "--format", "json"]);
    assert_eq!(status, 0, "{}", String::from_utf8_lossy(&printed));
    // And without the repository.
    assert_eq!(sandbox.run(&["get", KEYS, "--offline", "--output", "again.json"]).0, 0);
}
