//! Runs the guides that need a shell (variables, waiting, keys made on the spot), and compares what is printed.
//!
//! The commands of one guide run in one shell, in a directory of their own. `[..]` stands for the rest of a word or
//! line, `...` on a line of its own for any lines, and `? 1` after a command for its exit status.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use trustroot::client::write_durably;

use support::{OPPY, Registry};

#[path = "support/mod.rs"]
mod support;

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/sign_attestation.rs"]
mod sign_attestation;

struct Step {
    line: usize,
    command: String,
    status: i32,
    expected: String,
}

/// The commands in the `console` blocks of a guide.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => {
                if let Some(command) = line.strip_prefix("$ ") {
                    let (command, expected) = (command.to_owned(), String::new());
                    steps.push(Step { line: index + 1, command, status: 0, expected });
                } else if let Some(status) = line.strip_prefix("? ") {
                    steps.last_mut().unwrap().status = status.parse().unwrap();
                } else {
                    let _ = writeln!(steps.last_mut().unwrap().expected, "{line}");
                }
            }
        }
    }
    steps
}

/// Whether a printed line is the expected one.
fn line_fits(expected: &str, actual: &str) -> bool {
    let mut parts = expected.split("[..]");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = actual.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let found = if last && !part.is_empty() { rest.rfind(part) } else { rest.find(part) };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
        if last && part.is_empty() {
            rest = "";
        }
    }
    rest.is_empty()
}

fn fits(expected: &[&str], actual: &[&str]) -> bool {
    match expected {
        [] => actual.is_empty(),
        ["...", rest @ ..] => (0..=actual.len()).any(|skipped| fits(rest, &actual[skipped..])),
        [first, rest @ ..] => actual.first().is_some_and(|line| line_fits(first, line)) && fits(rest, &actual[1..]),
    }
}

fn run(guide: &str, prepare: impl Fn(&Path)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let steps = steps(&std::fs::read_to_string(root.join(guide)).unwrap());
    assert!(steps.len() > 1, "{guide} has only {} commands", steps.len());
    let sandbox = tempfile::tempdir().unwrap();
    prepare(sandbox.path());
    // An agent that a guide starts ends with it, however it ends.
    let mut script = "exec 3>&1\ntrap 'kill $SSH_AGENT_PID 2> /dev/null' EXIT\n".to_owned();
    for (index, step) in steps.iter().enumerate() {
        let _ = writeln!(
            script,
            "{{ {}\n}} > \"$SANDBOX/.out.{index}\" 2>&1\necho $? > \"$SANDBOX/.status.{index}\"",
            step.command
        );
    }
    write_durably(&sandbox.path().join(".script"), script.as_bytes()).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_trustroot")).parent().unwrap();
    let examples = bin.join("examples");
    assert!(examples.join("sign_attestation").exists(), "build the examples first: cargo build --examples");
    let path = format!("{}:{}:{}", bin.display(), examples.display(), env!("PATH"));
    // Nothing here takes long; a guide that waits for ever fails instead.
    let status = Command::new("timeout")
        .args(["120", "bash", ".script"])
        .current_dir(sandbox.path())
        .env("PATH", path)
        .env("SANDBOX", sandbox.path())
        .env("TRUSTROOT_HOME", sandbox.path().join("home"))
        .stdin(std::process::Stdio::null())
        .status()
        .unwrap();
    let mut wrong = String::new();
    for (index, step) in steps.iter().enumerate() {
        let read =
            |name: &str| std::fs::read_to_string(sandbox.path().join(format!(".{name}.{index}"))).unwrap_or_default();
        let (actual, ended) = (read("out"), read("status"));
        let expected: Vec<&str> = step.expected.trim_end().lines().collect();
        let printed: Vec<&str> = actual.trim_end().lines().collect();
        if ended.trim() != step.status.to_string() || !fits(&expected, &printed) {
            let _ = writeln!(
                wrong,
                "{guide}:{}: $ {}\nexpected (status {}):\n{}\nfound (status {}):\n{actual}",
                step.line,
                step.command,
                step.status,
                step.expected,
                ended.trim()
            );
            break;
        }
    }
    assert!(wrong.is_empty() && status.success(), "{wrong}");
}

#[test]
fn the_guide_to_a_first_trust_root_works_as_written() {
    run("docs/guides/first-trust-root.md", |_| {});
}

/// Needs ML-DSA, which ring lacks.
#[cfg(feature = "aws-lc")]
#[test]
fn the_guide_to_a_post_quantum_root_works_as_written() {
    run("docs/guides/post-quantum-root.md", |_| {});
}

fn with_example_keys(sandbox: &Path) {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/keys.example")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, sandbox.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn what_a_ceremony_refuses_is_said_as_documented() {
    run("tests/guides/ceremony.md", with_example_keys);
}

#[test]
fn the_guide_to_ceremonies_that_go_wrong_works_as_written() {
    run("docs/guides/when-a-ceremony-goes-wrong.md", with_example_keys);
}

#[test]
fn the_guide_to_signing_across_an_air_gap_works_as_written() {
    run("docs/guides/air-gap-ceremony.md", with_example_keys);
}

/// Needs `git`.
#[test]
fn the_guide_to_ceremonies_in_branches_works_as_written() {
    if Command::new("git").arg("--version").output().is_err() {
        return;
    }
    run("docs/guides/ceremony-in-ci.md", with_example_keys);
}

#[test]
fn the_guide_to_rehearsals_works_as_written() {
    run("docs/guides/rehearse-a-ceremony.md", with_example_keys);
}

#[test]
fn the_guide_to_inviting_keyholders_works_as_written() {
    run("docs/guides/invite-a-keyholder.md", with_example_keys);
}

#[test]
fn the_guide_for_witnesses_works_as_written() {
    run("docs/guides/witness.md", with_example_keys);
}

#[test]
fn the_guide_to_rotating_keys_works_as_written() {
    run("docs/guides/rotate-keys.md", with_example_keys);
}

#[test]
fn the_guide_to_lost_keys_works_as_written() {
    run("docs/guides/lost-key.md", with_example_keys);
}

/// What a signer of the second root has: a key, a pin on paper, the request, and what the second machine shows.
fn with_a_request(sandbox: &Path) {
    let mut registry = Registry::at(two_hours_ago());
    registry.hold("root", &["alice", "carol"]).unwrap();
    let write = |name: &str, bytes: &[u8]| write_durably(&sandbox.join(name), bytes).unwrap();
    write("bob.pem", registry.key("bob").to_unencrypted_pem().as_bytes());
    write("pin", hex::encode(registry.signed().digest().unwrap()).as_bytes());
    registry.now += chrono::Duration::hours(1);
    registry.add_person("dora");
    registry.edit("trustroot.toml", |text| text.replace("keys/carol.pub", "keys/dora.pub"));
    let event = registry.start("root");
    write("heard", hex::encode(event.digest()).as_bytes());
    let purpose = Some("Carol has a new token");
    let (copy, signed) = (registry.copy(), registry.signed());
    let request = trustroot::ceremony::Request::write(&event, &copy, &signed, purpose, registry.start_time()).unwrap();
    write("root-v2.request", &request);
}

#[test]
fn the_signers_page_works_as_written_and_fits_a_screen() {
    const PAGE: &str = "docs/guides/signers-page.md";
    run(PAGE, with_a_request);
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    assert!(page.lines().count() <= 48, "{PAGE} is longer than a screen");
}

fn two_hours_ago() -> chrono::DateTime<chrono::Utc> {
    #[expect(clippy::disallowed_methods, reason = "the commands of guides run now")]
    let now = chrono::Utc::now();
    now - chrono::Duration::hours(2)
}

/// Two repositories that agree, and the next version of one that does not.
#[test]
fn the_guide_to_several_repositories_works_as_written() {
    const GUIDE: &str = "docs/guides/several-repositories.md";
    run(GUIDE, |sandbox| {
        let now = two_hours_ago();
        let ours = Registry::at(now).and_builder();
        let mut theirs = Registry::other(now).and_builder();
        for (name, registry) in [("ours", &ours), ("theirs", &theirs)] {
            registry.publish().unwrap();
            registry.serve_from(&sandbox.join(name));
            let root = registry.path("repository/1.root.json");
            std::fs::copy(root, sandbox.join(format!("{name}.root.json"))).unwrap();
        }
        // The map of the guide is the one that is used.
        let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE)).unwrap();
        let map = guide.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        write_durably(&sandbox.join("map.json"), map.as_bytes()).unwrap();
        let artifact = b"hello, world\n";
        write_durably(&sandbox.join("hello-1.0.tgz"), artifact).unwrap();
        let good = sign_attestation::attest("hello-1.0.tgz", artifact, OPPY, ours.key("builder-v1")).unwrap();
        write_durably(&sandbox.join("hello.json"), good.to_string().as_bytes()).unwrap();

        theirs.add_person("thief");
        let key = |registry: &Registry, person: &str| {
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, registry.key(person).canonical_spki())
        };
        let (old, new) = (key(&theirs, "builder-v1"), key(&theirs, "thief"));
        theirs.edit("builders/oppy/v1.toml", |text| text.replace(&old, &new));
        theirs.now += chrono::Duration::minutes(1);
        theirs.hold("oppy", &["oppy-dev"]).unwrap();
        theirs.publish().unwrap();
        theirs.serve_from(&sandbox.join("theirs.next"));
    });
}

/// Needs `openssl`, as a command that signs.
#[test]
fn what_signers_refuse_is_said_as_documented() {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    run("tests/guides/signers.md", |_| {});
}

/// Needs `SoftHSM`, `OpenSC`'s `pkcs11-tool`, OpenSSH and OpenSSL; where one is absent, says so and passes.
#[cfg(feature = "pkcs11")]
#[test]
fn the_guide_to_keys_in_hardware_works_as_written() {
    let tools = ["softhsm2-util", "pkcs11-tool", "ssh-keygen", "openssl"];
    let there = tools.iter().all(|tool| Command::new(tool).arg("-?").output().is_ok());
    if !there || !Path::new("/usr/lib/softhsm/libsofthsm2.so").exists() {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("skipped: one of {tools:?} is not here");
        }
        return;
    }
    run("docs/guides/hardware-keys.md", |_| {});
}

/// The README is a verifier's first session, with a repository that was published two hours ago.
#[test]
fn the_readme_works_as_written() {
    run("README.md", |sandbox| {
        let registry = Registry::at(two_hours_ago()).and_builder();
        registry.publish().unwrap();
        registry.serve_from(&sandbox.join("public"));
        std::fs::copy(registry.path("repository/1.root.json"), sandbox.join("1.root.json")).unwrap();
        let artifact = b"hello, world\n";
        write_durably(&sandbox.join("hello-1.0.tgz"), artifact).unwrap();
        let good = sign_attestation::attest("hello-1.0.tgz", artifact, OPPY, registry.key("builder-v1")).unwrap();
        write_durably(&sandbox.join("hello.json"), good.to_string().as_bytes()).unwrap();
        let forged = sign_attestation::attest("hello-1.0.tgz", artifact, OPPY, registry.key("oppy-dev")).unwrap();
        write_durably(&sandbox.join("forged.json"), forged.to_string().as_bytes()).unwrap();
    });
}

#[test]
fn the_readme_leads_to_every_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    for guide in std::fs::read_dir(root.join("docs/guides")).unwrap() {
        let link = format!("(docs/guides/{})", guide.unwrap().file_name().to_str().unwrap());
        assert!(readme.contains(&link), "{link}");
    }
}

#[test]
fn expected_output_is_compared_line_by_line() {
    for (expected, actual, same) in [
        ("a [..] c", "a b c", true),
        ("a [..]", "a b c", true),
        ("a [..] c", "a b d", false),
        ("a", "a b", false),
        ("[..]", "", true),
        ("x[..]y[..]z", "x1y2z", true),
    ] {
        assert_eq!(line_fits(expected, actual), same, "{expected} {actual}");
    }
    assert!(fits(&["a", "...", "d"], &["a", "b", "c", "d"]));
    assert!(!fits(&["a", "...", "e"], &["a", "b", "c", "d"]));
    assert!(!fits(&["a"], &["a", "b"]));
}
