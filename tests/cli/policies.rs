//! The command where a repository or a mirror is away, has expired, or nobody has a home.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::{KEYS, Sandbox};

impl Sandbox {
    /// Runs the command for programs, and insists on an exit status. Returns what it says, and standard error.
    fn json(&self, status: i32, arguments: &[&str]) -> (Value, String) {
        let output = self.command(&[arguments, &["--format", "json"]].concat()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}{errors}");
        (serde_json::from_str(&said).unwrap(), errors)
    }
}

/// A port of this machine that no program listens on.
const DEAD: &str = "http://127.0.0.1:1";

#[test]
fn what_has_expired_is_used_within_the_grace_that_was_configured_and_is_said() {
    let sandbox = Sandbox::new();
    // What is kept came from a mirror; after that, nobody answers.
    let add = ["trust", "add", "far", "--url", DEAD, "--root", "1.root.json", "--mirror", "repository"];
    sandbox.json(0, &add);
    sandbox.json(0, &["get", KEYS, "--trust", "far", "--output", "first.json"]);
    sandbox.json(0, &["trust", "set", "far", "--no-mirrors"]);
    // Everything expires with the year 2035.
    let get = |status, at| sandbox.json(status, &["get", KEYS, "--trust", "far", "--output", "again.json", "--at", at]);
    let (soon, late) = ("2036-01-02T00:00:00Z", "2036-01-05T00:00:00Z");
    assert_eq!(get(3, soon).0["error"]["code"], "transport");
    sandbox.json(0, &["trust", "set", "far", "--when-unreachable", "use-kept"]);
    // Nobody has refused anything: it cannot be told, and what is kept is of no use.
    let (useless, errors) = get(3, soon);
    assert_eq!(useless["error"]["code"], "transport");
    assert!(format!("{useless}{errors}").contains("what is kept does not serve: root v2 expired"), "{useless}{errors}");

    let (changed, _) = sandbox.json(0, &["trust", "set", "far", "--expired-grace", "3d"]);
    assert_eq!(changed["changed"]["policy"]["expiredGrace"], "3d");
    let (got, errors) = get(0, soon);
    let roles: Vec<&str> =
        got["expiredButUsed"].as_array().unwrap().iter().map(|role| role["role"].as_str().unwrap()).collect();
    assert!(roles.contains(&"root") && roles.contains(&"timestamp"), "{got}");
    assert!(roles.contains(&"oppy.example"), "{got}");
    assert!(got["unreachable"].is_string() && got["confirmedAt"].is_string(), "{got}");
    for said in ["warning: far cannot be reached", "warning: timestamp of far expired at 2036-01-01T00:00:00Z"] {
        assert!(errors.contains(said), "{said}: {errors}");
    }
    // Not beyond it, and not without it; and `status` has it as a problem all the same.
    assert_eq!(get(3, late).0["error"]["code"], "transport");
    assert_eq!(sandbox.json(1, &["status", "far", "--at", soon]).0["error"]["code"], "expired");
    sandbox.json(0, &["trust", "set", "far", "--expired-grace", "none"]);
    assert_eq!(get(3, soon).0["error"]["code"], "transport");
    // What answers and has expired is refused, whatever the grace.
    sandbox.json(0, &["trust", "set", "far", "--expired-grace", "3d", "--mirror", "repository"]);
    assert_eq!(get(1, soon).0["error"]["code"], "expired");
}

/// A machine without a battery may start there.
#[test]
#[expect(clippy::print_stderr, reason = "says that it was skipped")]
fn a_clock_before_1970_is_a_clock_that_went_back_and_no_bug() {
    let sandbox = Sandbox::new();
    let back_then = |arguments: &[&str]| {
        let real = sandbox.command(&[arguments, &["--format", "json"]].concat());
        let mut faked = std::process::Command::new("/usr/bin/faketime");
        faked.arg("1969-12-31 00:00:00").arg(real.get_program()).args(real.get_args()).current_dir(sandbox.path(""));
        faked.env("TRUSTROOT_HOME", sandbox.path("home")).env("TZ", "UTC");
        match faked.output() {
            Ok(output) => Some((output.status.code(), String::from_utf8(output.stdout).unwrap())),
            Err(error) => {
                eprintln!("there is no faketime here: {error}");
                None
            }
        }
    };
    let Some((status, said)) = back_then(&["refresh"]) else { return };
    assert_eq!(status, Some(0), "{said}");
    sandbox.json(0, &["refresh"]);
    let kept = || -> Vec<_> {
        let files = walkdir::WalkDir::new(sandbox.path("home")).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = files.filter(|file| file.file_type().is_file());
        files.map(|file| (file.path().to_owned(), std::fs::read(file.path()).unwrap())).collect()
    };
    let before = kept();
    let (status, said) = back_then(&["refresh"]).unwrap();
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("\"clock-went-back\""), "{said}");
    assert!(kept() == before);
}

/// Answers a number of requests with this status, and says where.
fn failing_server(status: &'static str, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().take(times) {
            let Ok(mut connection) = connection else { continue };
            let _ = connection.read(&mut [0; 4096]);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    url
}

/// The places of a repository with how often each has failed, by `trust show`.
fn failures(sandbox: &Sandbox, name: &str) -> Vec<u64> {
    let (shown, _) = sandbox.json(0, &["trust", "show", name]);
    shown["places"].as_array().unwrap().iter().map(|place| place["failures"].as_u64().unwrap()).collect()
}

#[test]
fn the_next_mirror_serves_where_the_first_is_dead_or_fails_and_that_is_remembered() {
    // Nobody listens at the first; at the second somebody who has nothing but errors.
    for first in [DEAD.to_owned(), failing_server("500 Internal Server Error", 64)] {
        let sandbox = Sandbox::new();
        let add = ["trust", "add", "far", "--url", &first, "--root", "1.root.json", "--mirror", "repository"];
        sandbox.json(0, &add);
        assert_eq!(failures(&sandbox, "far"), [0, 0]);
        sandbox.json(0, &["refresh", "far"]);
        assert_eq!(failures(&sandbox, "far"), [1, 0]);
        let (status, printed) = sandbox.run(&["trust", "show", "far"]);
        let printed = String::from_utf8(printed).unwrap();
        assert!(status == 0 && printed.contains(&format!("failing {first}/: 1 times")), "{printed}");
        // It is asked last from now on: nobody waits for it, and the count stays.
        sandbox.json(0, &["get", KEYS, "--trust", "far", "--output", "keys.json"]);
        assert_eq!(failures(&sandbox, "far"), [1, 0]);
    }
}

#[test]
fn the_next_mirror_serves_where_the_first_is_refused() {
    let sandbox = Sandbox::new();
    let copied =
        std::process::Command::new("cp").args(["-r", "repository", "bad"]).current_dir(sandbox.0.path()).status();
    assert!(copied.unwrap().success());
    let timestamp = std::fs::read_to_string(sandbox.path("bad/timestamp.json")).unwrap();
    let forged = timestamp.replace("2036-01-01", "2037-01-01");
    assert_ne!(forged, timestamp);
    fs_err::write(sandbox.path("bad/timestamp.json"), forged).unwrap();
    sandbox.json(0, &["trust", "add", "far", "--url", "bad", "--root", "1.root.json"]);
    assert_eq!(sandbox.json(1, &["refresh", "far"]).0["error"]["code"], "too-few-signatures");
    sandbox.json(0, &["trust", "set", "far", "--mirror", "repository"]);
    sandbox.json(0, &["refresh", "far"]);
    assert_eq!(failures(&sandbox, "far"), [1, 0]);
}

#[test]
fn what_is_set_is_shown_and_can_be_undone() {
    let sandbox = Sandbox::new();
    let policy = |sandbox: &Sandbox| sandbox.json(0, &["trust", "show", "oppy"]).0["policy"].clone();
    let usual = policy(&sandbox);
    assert_eq!(
        usual,
        json!({"mirrors": [], "deadline": null, "maxStaleness": null, "whenUnreachable": "fail", "expiredGrace": null})
    );
    let before = std::fs::read(sandbox.path("home/oppy/trust.toml")).unwrap();
    let mirror = "https://user:secret@mirror.example/keys";
    let set = ["trust", "set", "oppy", "--mirror", mirror, "--max-staleness", "36h", "--expired-grace", "3d"];
    sandbox.json(0, &set);
    let (shown, _) = sandbox.json(0, &["trust", "show", "oppy"]);
    let (listed, _) = sandbox.json(0, &["trust", "list"]);
    assert_eq!(shown["policy"], listed["trusts"][0]["policy"]);
    assert_eq!(
        (&shown["policy"]["maxStaleness"], &shown["policy"]["expiredGrace"], &shown["policy"]["whenUnreachable"]),
        (&json!("36h"), &json!("3d"), &json!("use-kept"))
    );
    // Credentials are kept, and shown to nobody.
    assert!(!format!("{shown}{listed}").contains("secret"), "{shown}");
    assert!(std::fs::read_to_string(sandbox.path("home/oppy/trust.toml")).unwrap().contains("secret"));
    // What is not named stays.
    sandbox.json(0, &["trust", "set", "oppy", "--max-staleness", "7d"]);
    assert_eq!(policy(&sandbox)["expiredGrace"], "3d");
    let undo = ["--no-mirrors", "--max-staleness", "none", "--expired-grace", "none", "--when-unreachable", "fail"];
    sandbox.json(0, &[&["trust", "set", "oppy"][..], &undo].concat());
    assert_eq!(policy(&sandbox), usual);
    assert_eq!(std::fs::read(sandbox.path("home/oppy/trust.toml")).unwrap(), before);
}

#[test]
fn a_root_is_believed_on_first_use_only_where_the_user_asks_for_it_and_it_is_said_ever_after() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["trust", "add", "far", "--url", "repository"]).0, 2);
    assert!(!sandbox.path("home/far").exists());
    let add = ["trust", "add", "far", "--url", "repository", "--trust-on-first-use"];
    assert!(sandbox.json(0, &add).1.contains("warning: nobody checked the root of far"));
    let (got, errors) = sandbox.json(0, &["get", KEYS, "--trust", "far", "--output", "keys.json"]);
    assert_eq!(got["pinnedBy"], "first-use");
    assert!(errors.contains("pinned by first use: nobody checked it"), "{errors}");
    // A digest that was checked pins the same root, and it is not asked again.
    assert_eq!(sandbox.run(&[&add[..5], &["--trust-on-first-use", "--root", "1.root.json"]].concat()).0, 2);
}

#[test]
fn without_a_home_directory_every_command_that_needs_one_says_so() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["refresh"][..],
        &["status"],
        &["changes", "--since", "2026-01-01"],
        &["trust", "list"],
        &["get", KEYS],
        &["lookup", "https://oppy.example/slsa/builder/v1"],
        &["verify", "hello-1.0.tgz", "--attestation", "hello-1.0.tgz.attestation.json", "--key-target", KEYS],
    ] {
        let output =
            sandbox.command(arguments).args(["--format", "json"]).env_remove("TRUSTROOT_HOME").output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &said["error"]["code"]), (Some(2), &json!("no-home")), "{arguments:?}");
    }
    // Any of the usual variables will do; an empty one is none.
    for (variable, below) in [("HOME", ".local/share/trustroot"), ("XDG_DATA_HOME", "trustroot")] {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut command = sandbox.command(&["trust", "add", "oppy", "--url", "repository", "--root", "1.root.json"]);
        let output = command.env("TRUSTROOT_HOME", "").env(variable, elsewhere.path()).output().unwrap();
        assert!(output.status.success(), "{variable}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(elsewhere.path().join(below).join("oppy/root.json").exists(), "{variable}");
    }
}
