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
const NEED_A_SHELL: [&str; 13] = [
    "hardware-keys.md",
    "first-trust-root.md",
    "post-quantum-root.md",
    "several-repositories.md",
    "air-gap-ceremony.md",
    "ceremony-in-ci.md",
    "when-a-ceremony-goes-wrong.md",
    "rehearse-a-ceremony.md",
    "invite-a-keyholder.md",
    "witness.md",
    "lost-key.md",
    "rotate-keys.md",
    "signers-page.md",
];

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

/// Longer than anything here takes: a test that hangs fails instead.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A process that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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

    /// Starts a watch, and hands over what it says on standard error, line by line.
    fn watch(&self, arguments: &[&str]) -> (Running, std::sync::mpsc::Receiver<String>) {
        use std::io::BufRead as _;
        let mut command = self.command(&[&["refresh", "--watch", "--interval", "1s"], arguments].concat());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let said = std::io::BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        (Running(child), lines)
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

#[cfg(unix)]
#[test]
fn pipes_and_links_to_them_are_never_replaced() {
    let sandbox = Sandbox::new();
    assert!(std::process::Command::new("mkfifo").arg(sandbox.path("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("pipe", sandbox.path("link")).unwrap();
    let kind = |name| std::fs::symlink_metadata(sandbox.path(name)).unwrap().file_type();
    let before = (kind("pipe"), kind("link"));
    for name in ["pipe", "link"] {
        for arguments in [&["get", KEYS, "--output", name][..], &["bundle", "export", "oppy", "--output", name]] {
            let (status, printed) = sandbox.run(arguments);
            let printed = String::from_utf8(printed).unwrap();
            assert!(status == 3 && printed.contains("is not a regular file"), "{arguments:?}: {status}: {printed}");
        }
        let (_watch, said) = sandbox.watch(&["--metrics", name]);
        assert!(said.recv_timeout(PATIENCE).unwrap().contains("is not a regular file"));
        assert_eq!((kind("pipe"), kind("link")), before);
    }
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

#[path = "cli/json_keys.rs"]
mod json_keys;

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
    // A pin that the user had before does not shadow it either. What is kept of the system's is not taken over by it.
    let add = ["trust", "add", "oppy", "--url", "https://evil.example", "--root", "1.root.json"];
    let (status, printed) = sandbox.run(&add);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 2, "{printed}");
    std::fs::remove_dir_all(sandbox.path("home/oppy")).unwrap();
    assert_eq!(sandbox.run(&["trust", "add", "oppy", "--url", "https://evil.example", "--root", "1.root.json"]).0, 0);
    let (status, printed) = run(&["refresh", "oppy", "--format", "json"]);
    assert!(status == 2 && printed.contains("pinned-by-system"), "{printed}");
}

#[cfg(unix)]
#[test]
fn pins_and_maps_of_the_system_that_cannot_be_looked_at_are_not_passed_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let permit = |name: &str, mode| {
        std::fs::set_permissions(sandbox.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // The user's own pin of that name is another one.
    let system = sandbox.path("system");
    std::fs::create_dir_all(system.join("oppy")).unwrap();
    for file in ["trust.toml", "root.json"] {
        std::fs::copy(sandbox.path("home/oppy").join(file), system.join("oppy").join(file)).unwrap();
    }
    let toml = std::fs::read_to_string(sandbox.path("home/oppy/trust.toml")).unwrap();
    let other = toml.replacen("file://", "https://evil.example", 1);
    assert_ne!(other, toml);
    fs_err::write(sandbox.path("home/oppy/trust.toml"), other).unwrap();
    // Root may read everything, so that somebody else asks.
    let root =
        std::fs::metadata(sandbox.0.path()).map(|there| std::os::unix::fs::MetadataExt::uid(&there)).unwrap() == 0;
    permit("", 0o755);
    let nobody = |arguments: &[&str]| {
        let mut asked = std::process::Command::new("setpriv");
        asked.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_trustroot")]);
        asked.args(arguments).current_dir(sandbox.0.path()).env_clear().env("PATH", "/usr/bin:/bin");
        asked.env("TRUSTROOT_HOME", sandbox.path("home"));
        asked
    };
    let as_nobody = root && nobody(&["--version"]).output().is_ok_and(|output| output.status.success());
    let run = |arguments: &[&str]| {
        let mut asked = if as_nobody { nobody(arguments) } else { sandbox.command(arguments) };
        let output = asked.env("TRUSTROOT_SYSTEM_DIR", &system).output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), printed)
    };
    for kind in ["a directory that may not be searched", "a link that leads nowhere"] {
        if kind == "a link that leads nowhere" {
            std::fs::rename(system.join("oppy"), system.join("moved")).unwrap();
            std::os::unix::fs::symlink("oppy", system.join("oppy")).unwrap();
        } else if root && !as_nobody {
            #[expect(clippy::print_stderr, reason = "a test that skips says so")]
            {
                eprintln!("nobody else can run the command here: {kind} is not tried");
            }
            continue;
        } else {
            permit("system/oppy", 0o000);
        }
        for arguments in [&["status"][..], &["status", "oppy"], &["refresh"], &["trust", "show", "oppy"]] {
            let (status, printed) = run(arguments);
            assert!(status == 3 && printed.contains("it cannot be told whether"), "{kind}: {arguments:?}: {printed}");
        }
        let (_, printed) = run(&["trust", "list"]);
        assert!(printed.contains("oppy: cannot be used: it cannot be told whether"), "{kind}: {printed}");
        if kind != "a link that leads nowhere" {
            permit("system/oppy", 0o755);
        }
    }
    // Nor is a map: without it, one repository would do.
    std::fs::remove_file(system.join("oppy")).unwrap();
    std::os::unix::fs::symlink("map.json", system.join("map.json")).unwrap();
    let (status, printed) = run(&["get", KEYS]);
    assert!(status == 3 && printed.contains("map.json` is there"), "{status}: {printed}");
}

#[test]
fn a_clock_that_was_ahead_is_got_over_whoever_pinned() {
    let sandbox = Sandbox::new();
    std::fs::rename(sandbox.path("home"), sandbox.path("system")).unwrap();
    let run = |arguments: &[&str]| {
        let output = sandbox.command(arguments).env("TRUSTROOT_SYSTEM_DIR", sandbox.path("system")).output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), printed)
    };
    let way_out = "`trustroot trust remove oppy --keep-pin`";
    assert_eq!(run(&["refresh"]).0, 0);
    let notes = sandbox.path("home/oppy/metadata/client/notes.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&notes).unwrap()).unwrap();
    json["confirmedAt"] = "2035-06-01T00:00:00Z".into();
    fs_err::write(&notes, json.to_string()).unwrap();
    for (command, expected) in [("refresh", 3), ("status", 3)] {
        let (status, printed) = run(&[command]);
        assert!(status == expected && printed.contains("clock") && printed.contains(way_out), "{status}: {printed}");
    }
    let pin = files_below(&sandbox.path("system"));
    let (status, printed) = run(&["trust", "remove", "oppy", "--keep-pin"]);
    assert!(status == 0 && printed.contains("its pin stays"), "{status}: {printed}");
    assert!(!sandbox.path("home/oppy/metadata").exists() && !sandbox.path("home/oppy/targets").exists());
    assert_eq!(files_below(&sandbox.path("system")), pin);
    assert_eq!(run(&["refresh"]).0, 0);
    // It can be run again, and where the pin is the user's.
    assert_eq!(run(&["trust", "remove", "oppy", "--keep-pin"]).0, 0);
    assert_eq!(run(&["trust", "remove", "oppy", "--keep-pin"]).0, 0);
    assert_eq!(sandbox.run(&["trust", "add", "mine", "--url", "repository", "--root", "1.root.json"]).0, 0);
    assert_eq!(sandbox.run(&["refresh", "mine"]).0, 0);
    assert_eq!(sandbox.run(&["trust", "remove", "mine", "--keep-pin"]).0, 0);
    assert_eq!(sandbox.run(&["refresh", "mine"]).0, 0);
}

/// All files below a directory, and their content.
fn files_below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = WalkDir::new(directory).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn another_address_or_password_costs_no_floors() {
    let sandbox = Sandbox::new();
    let (set, kept) = (["trust", "set", "oppy", "--url"], sandbox.path("home/oppy/metadata"));
    assert_eq!(sandbox.run(&["refresh"]).0, 0);
    let before = files_below(&kept);
    let with_password = |password: &str| format!("http://me:{password}@127.0.0.1:1/tuf?token={password}");
    assert_eq!(sandbox.run(&[&set[..], &[&with_password("old")]].concat()).0, 0);
    let (status, printed) = sandbox
        .run(&[&["trust", "add", "oppy", "--root", "1.root.json", "--url"][..], &[&with_password("n3w")]].concat());
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 2 && printed.contains("which are not shown"), "{status}: {printed}");
    assert!(printed.contains("`trustroot trust set oppy --url URL`"), "{printed}");
    let (status, printed) = sandbox.run(&[&set[..], &[&with_password("n3w")]].concat());
    let printed = [printed, sandbox.run(&["trust", "show", "oppy"]).1].concat();
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 0 && printed.contains("targets http://127.0.0.1:1/tuf/targets\n"), "{status}: {printed}");
    assert!(!printed.contains("n3w") && !printed.contains("me:"), "{printed}");
    let toml = std::fs::read_to_string(sandbox.path("home/oppy/trust.toml")).unwrap();
    assert!(toml.contains("me:n3w@") && toml.contains("tuf/targets?token=n3w") && !toml.contains("old"), "{toml}");
    assert_eq!(files_below(&kept), before);
    // A place for targets that was chosen stays.
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--target-url", "http://127.0.0.1:1/elsewhere"]).0, 0);
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--url", "repository"]).0, 0);
    let toml = std::fs::read_to_string(sandbox.path("home/oppy/trust.toml")).unwrap();
    assert!(toml.contains("\"http://127.0.0.1:1/elsewhere\""), "{toml}");
    assert_eq!(sandbox.run(&["refresh"]).0, 0);
    // A URL that cannot be used changes nothing.
    let (status, printed) = sandbox.run(&[&set[..], &["ftp://127.0.0.1/"]].concat());
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 2 && printed.contains("nothing changed"), "{status}: {printed}");
    assert_eq!(std::fs::read_to_string(sandbox.path("home/oppy/trust.toml")).unwrap(), toml);
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_whose_name_is_not_utf_8_is_a_place_like_any_other() {
    use std::os::unix::ffi::OsStrExt as _;
    let sandbox = Sandbox::new();
    let name = std::ffi::OsStr::from_bytes(b"re\xffpository");
    std::fs::rename(sandbox.path("repository"), sandbox.0.path().join(name)).unwrap();
    let run = |arguments: &[&str], url: &std::ffi::OsStr| {
        let output = sandbox.command(arguments).arg(url).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (status, printed) = run(&["trust", "add", "other", "--root", "1.root.json", "--url"], name);
    assert!(status == 0 && printed.contains("/re%FFpository\n"), "{status}: {printed}");
    let (status, printed) = sandbox.run(&["get", KEYS, "--trust", "other", "--output", "keys.json"]);
    assert_eq!(status, 0, "{}", String::from_utf8_lossy(&printed));
    let absent = std::ffi::OsStr::from_bytes(b"ab\xffsent");
    let (status, printed) = run(&["trust", "set", "other", "--mirror"], absent);
    assert!(status == 2 && printed.contains("neither a URL nor a directory: not a URL: not UTF-8"), "{printed}");
}

#[test]
fn what_is_not_kept_where_nothing_can_be_reached_is_no_matter_of_offline() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["refresh"]).0, 0);
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--when-unreachable", "use-kept"]).0, 0);
    // Nobody answers there.
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--url", "http://127.0.0.1:1"]).0, 0);
    let (status, printed) = sandbox.run(&["get", KEYS, "--format", "json"]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 3 && printed.contains("\"transport\"") && printed.contains("cannot be reached"), "{printed}");
    assert!(printed.contains("http://127.0.0.1:1/"), "what could not be reached: {printed}");
    assert!(!printed.contains("--offline"), "{printed}");
    assert!(!sandbox.path("keys.json").exists());
    // Nor is a target that is named by what is kept, and not kept itself.
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--url", "repository"]).0, 0);
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "-"]).0, 0);
    std::fs::remove_dir_all(sandbox.path("home/oppy/targets")).unwrap();
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--url", "http://127.0.0.1:1"]).0, 0);
    let (status, printed) = sandbox.run(&["get", KEYS]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 3 && printed.contains(KEYS) && !printed.contains("--offline"), "{printed}");
    // With `--offline` it is one.
    let (_, printed) = sandbox.run(&["get", KEYS, "--offline"]);
    assert!(String::from_utf8(printed).unwrap().contains("run the command once without `--offline`"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_or_error_that_cannot_be_printed_is_not_lost() {
    let sandbox = Sandbox::new();
    let full = || fs_err::File::options().write(true).open("/dev/full").unwrap().into_file();
    for format in ["json", "text"] {
        for (arguments, expected) in
            [(&["trust", "list"][..], 3), (&["get", KEYS, "--output", "-"], 3), (&["--help"], 3)]
        {
            let output = sandbox.command(&[&["--format", format], arguments].concat()).stdout(full()).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("error: cannot write to standard output: "), "{format} {arguments:?}: {said}");
            assert_eq!(output.status.code(), Some(expected), "{arguments:?}");
        }
    }
    // An error that has no reader: full, or gone.
    let absent = ["trust", "show", "absent", "--format", "json"];
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for out in [std::process::Stdio::from(full()), writer.into()] {
        let output = sandbox.command(&absent).stdout(out).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("error: no repository called `absent` is trusted here"), "{said}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn programs_are_told_the_paths_that_there_are() {
    let sandbox = Sandbox::new();
    let name = format!("\u{1b}[2J caf\u{e9} {}", "long".repeat(50));
    let home = sandbox.path("h\u{f6}me \u{7}");
    let run = |arguments: &[&str]| {
        let output =
            sandbox.command(&[arguments, &["--format", "json"]].concat()).env("TRUSTROOT_HOME", &home).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_ascii());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    run(&["trust", "add", "oppy", "--url", "repository", "--root", "1.root.json"]);
    let shown = run(&["trust", "show", "oppy"]);
    for field in ["pinDirectory", "keptIn"] {
        assert_eq!(shown[field], home.join("oppy").to_str().unwrap(), "{field}");
    }
    assert_eq!(run(&["get", KEYS, "--output", &name])["path"], *name);
    let bundle = format!("{name}.b");
    assert_eq!(run(&["bundle", "export", "oppy", "--output", &bundle])["bundle"], *bundle);
    // People are shown something that cannot draw on their terminal.
    let (_, printed) = sandbox.run(&["get", KEYS, "--output", &name]);
    assert!(!printed.contains(&0x1b));
}

#[test]
fn two_who_pin_at_the_same_time_do_not_mix_their_pins() {
    let sandbox = Sandbox::new();
    // While another process changes pins, nobody else does.
    let lock = std::fs::File::create(sandbox.path("home/.lock")).unwrap();
    lock.lock().unwrap();
    let roots = ["1.root.json", "repository/2.root.json"];
    let add = |name: &str, root: &str| {
        let mut command = sandbox.command(&["trust", "add", name, "--url", "repository", "--root", root]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Running(command.spawn().unwrap())
    };
    let mut waiting: Vec<Running> = roots.iter().map(|root| add("raced", root)).collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(waiting.iter_mut().all(|one| one.0.try_wait().unwrap().is_none()));
    assert!(!sandbox.path("home/raced").exists());
    drop(lock);
    let mut codes: Vec<_> = waiting.iter_mut().map(|one| one.0.wait().unwrap().code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(2)]);
    for round in 0..4 {
        let mut racing: Vec<Running> = (0..6).map(|one| add(&format!("raced-{round}"), roots[one % 2])).collect();
        let ended = racing.iter_mut().map(|one| one.0.wait().unwrap().code());
        assert_eq!(ended.filter(|code| *code == Some(0)).count(), 3);
    }
    let (status, printed) = sandbox.run(&["trust", "list"]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status == 0 && !printed.contains("cannot be used"), "{printed}");
    assert_eq!(sandbox.run(&["trust", "set", "raced", "--max-staleness", "7d"]).0, 0);
}

fn says_that_what_is_kept_is_used(sandbox: &Sandbox, arguments: &[&str]) {
    let (status, printed) = sandbox.run(arguments);
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(status, 0, "{printed}");
    for said in ["\"unreachable\":", "\"confirmedAt\":", "warning: oppy cannot be reached"] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
}

#[test]
fn what_is_kept_is_used_where_the_policy_says_so_and_never_silently() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "first.json"]).0, 0);
    std::fs::rename(sandbox.path("repository/timestamp.json"), sandbox.path("hidden")).unwrap();
    assert_eq!(sandbox.run(&["get", KEYS, "--output", "second.json"]).0, 3);
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--when-unreachable", "use-kept"]).0, 0);
    says_that_what_is_kept_is_used(&sandbox, &["get", KEYS, "--output", "second.json", "--format", "json"]);
}

#[test]
fn a_bundle_of_what_is_kept_says_so() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["refresh"]).0, 0);
    std::fs::rename(sandbox.path("repository/timestamp.json"), sandbox.path("hidden")).unwrap();
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--when-unreachable", "use-kept"]).0, 0);
    says_that_what_is_kept_is_used(&sandbox, &["bundle", "export", "oppy", "--output", "news", "--format", "json"]);
}

#[test]
fn what_has_expired_is_not_called_good() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["refresh"]).0, 0);
    assert_eq!(sandbox.run(&["trust", "set", "oppy", "--expired-grace", "7d"]).0, 0);
    // Nobody answers there.
    let toml = std::fs::read_to_string(sandbox.path("home/oppy/trust.toml")).unwrap();
    fs_err::write(sandbox.path("home/oppy/trust.toml"), toml.replace("file://", "http://127.0.0.1:1")).unwrap();
    let (status, printed) = sandbox.run(&["refresh", "--at", "2036-01-05T00:00:00Z"]);
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(status, 0, "{printed}");
    assert!(printed.contains("EXPIRED since 2036-01-01T00:00:00Z, used by its policy\n"), "{printed}");
    assert!(!printed.contains("good until"), "{printed}");
}

#[test]
fn first_use_is_said_whenever_the_pin_is_used() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["trust", "remove", "oppy"]).0, 0);
    assert_eq!(sandbox.run(&["trust", "add", "oppy", "--url", "repository", "--trust-on-first-use"]).0, 0);
    for arguments in [
        &["refresh"][..],
        &["status"],
        &["bundle", "export", "oppy", "--output", "news"],
        &["bundle", "import", "news"],
        &["get", KEYS],
    ] {
        let (status, printed) = sandbox.run(&[arguments, &["--format", "json"]].concat());
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(status, 0, "{printed}");
        for said in ["note: the root of oppy was pinned by first use: nobody checked it", "\"pinnedBy\": \"first-use\""]
        {
            assert!(printed.contains(said), "{arguments:?}: {said}: {printed}");
        }
    }
    let (_watch, said) = sandbox.watch(&[]);
    let line = said.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("the root of oppy was pinned by first use"), "{line}");
}

#[test]
fn a_bundle_about_builders_that_nobody_speaks_of_is_explained_to_whom_it_is_given() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["bundle", "export", "oppy", "--output", "news"]).0, 0);
    let bundle = String::from_utf8(std::fs::read(sandbox.path("news")).unwrap()).unwrap();
    let about = bundle.replacen("\"builders\":[]", "\"builders\":[\"https://oppy.example/v1\"]", 1);
    assert_ne!(about, bundle);
    fs_err::write(sandbox.path("news"), about).unwrap();
    let (status, printed) = sandbox.run(&["bundle", "import", "news"]);
    let printed = String::from_utf8(printed).unwrap();
    assert!(status != 0 && printed.contains("export it again without `--builder`"), "{status}: {printed}");
    assert!(!printed.contains("leave out"), "{printed}");
    let (_, printed) =
        sandbox.run(&["bundle", "export", "oppy", "--output", "again", "--builder", "https://oppy.example/v1"]);
    assert!(String::from_utf8(printed).unwrap().contains("leave out `--builder`"));
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
