//! Offline means no socket: the command runs with every socket denied, and watched for asking for one.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::PathBuf;
use std::process::{Command, Output};

use trustroot::client::write_durably;

use support::{OPPY, Registry};

#[path = "support/mod.rs"]
mod support;

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/sign_attestation.rs"]
mod sign_attestation;

/// A registry that was published two hours ago, somebody who can reach it, and somebody apart who has only its root.
struct Scene {
    registry: Registry,
    directory: tempfile::TempDir,
}

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

impl Scene {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the commands run now")]
        let now = chrono::Utc::now() - chrono::Duration::hours(2);
        let registry = Registry::at(now).and_builder();
        registry.publish().unwrap();
        let scene = Self { registry, directory: tempfile::tempdir().unwrap() };
        let artifact = b"hello, world\n";
        write_durably(&scene.path("hello-1.0.tgz"), artifact).unwrap();
        let key = scene.registry.key("builder-v1");
        let attestation = sign_attestation::attest("hello-1.0.tgz", artifact, OPPY, key).unwrap();
        write_durably(&scene.path("hello.json"), attestation.to_string().as_bytes()).unwrap();
        let root = scene.registry.path("repository/1.root.json").display().to_string();
        let published = scene.registry.published().display().to_string();
        scene.succeed("online", &["trust", "add", "r", "--url", &published, "--root", &root]);
        scene.succeed("apart", &["trust", "add", "r", "--url", NOWHERE, "--root", &root]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn prepare(&self, home: &str, mut command: Command, arguments: &[&str]) -> Output {
        let command = command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("TRUSTROOT_HOME", self.path(home)).output().unwrap()
    }

    fn run(&self, home: &str, arguments: &[&str]) -> Output {
        self.prepare(home, Command::new(env!("CARGO_BIN_EXE_trustroot")), arguments)
    }

    fn succeed(&self, home: &str, arguments: &[&str]) -> String {
        let output = self.run(home, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs with every socket denied. Returns the exit status and which were asked for.
    fn without_sockets(&self, home: &str, arguments: &[&str]) -> (Output, String) {
        let trace = self.path("trace");
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-f", "-qq", "-e", "trace=%network", "-e", "inject=socket:error=EACCES", "-o"]);
        strace.arg(&trace).arg(env!("CARGO_BIN_EXE_trustroot"));
        let output = self.prepare(home, strace, arguments);
        (output, std::fs::read_to_string(trace).unwrap_or_default())
    }
}

/// Whether processes can be watched here.
fn can_watch() -> bool {
    let tried = Command::new("/usr/bin/strace").args(["-qq", "-e", "trace=%network", "true"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("NOT TESTED: strace is not installed, or may not trace here");
        }
    }
    can
}

const CATALOG: &str = "slsa/v1/catalog.json";

#[test]
fn offline_opens_no_socket() {
    let scene = Scene::new();
    let verify = ["verify", "hello-1.0.tgz", "--attestation", "hello.json", "--builder", OPPY, "--min-level", "L3"];
    scene.succeed("online", &["bundle", "export", "r", "-o", "news", "--builder", OPPY]);
    if !can_watch() {
        return;
    }
    // The watch sees what there is to see: online, a socket is asked for.
    let (output, trace) = scene.without_sockets("apart", &["refresh"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(trace.contains("socket("), "{trace}");

    let import = ["bundle", "import", "news"];
    let offline = |arguments: &[&'static str]| [arguments, &["--offline"]].concat();
    for arguments in [
        import.to_vec(),
        offline(&["refresh"]),
        offline(&["get", CATALOG, "--output", "catalog.json"]),
        offline(&["lookup", OPPY]),
        offline(&verify),
        offline(&["trust", "list"]),
        offline(&["bundle", "export", "r", "-o", "again", "--builder", OPPY]),
    ] {
        let (output, trace) = scene.without_sockets("apart", &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        let asked: Vec<&str> = trace.lines().filter(|line| line.contains('(')).collect();
        assert!(asked.is_empty(), "{arguments:?}: {asked:?}");
    }
    // What is not there is not asked for either.
    let (output, trace) = scene.without_sockets("apart", &offline(&["get", "absent", "--output", "x"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(!trace.contains("socket"), "{trace}");
}

#[test]
fn a_bundle_carries_all_that_verifying_needs() {
    let scene = Scene::new();
    let verify = ["verify", "hello-1.0.tgz", "--attestation", "hello.json", "--builder", OPPY, "--min-level", "L3"];
    let offline = [&verify[..], &["--offline"]].concat();
    assert_eq!(scene.run("apart", &offline).status.code(), Some(3));
    scene.succeed("online", &["bundle", "export", "r", "-o", "news", "--builder", OPPY]);
    let written = std::fs::read(scene.path("news")).unwrap();
    scene.succeed("online", &["bundle", "export", "r", "-o", "again", "--builder", OPPY, "--offline"]);
    assert_eq!(std::fs::read(scene.path("again")).unwrap(), written, "the same state is written the same");

    let imported = scene.succeed("apart", &["bundle", "import", "news"]);
    assert!(imported.starts_with("r: imported: root v1, timestamp v1"), "{imported}");
    assert!(scene.succeed("apart", &offline).starts_with("verified: hello-1.0.tgz"));
    assert!(scene.succeed("apart", &["bundle", "import", "news"]).starts_with("r: up to date"));

    // What was carried can be carried on.
    scene.succeed("apart", &["bundle", "export", "r", "-o", "onwards", "--all-kept", "--offline"]);
    assert!(scene.succeed("apart", &["bundle", "inspect", "onwards"]).contains(CATALOG));
}

#[test]
fn an_import_at_a_chosen_time_keeps_nothing() {
    let scene = Scene::new();
    scene.succeed("online", &["bundle", "export", "r", "-o", "news", "--builder", OPPY]);
    let now = scene.registry.now.to_rfc3339();
    assert!(scene.succeed("apart", &["bundle", "import", "news", "--at", &now]).contains("nothing kept"));
    assert!(!scene.path("apart/r/metadata").exists() && !scene.path("apart/r/targets").exists());
}
