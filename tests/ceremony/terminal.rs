//! The question for words, asked on a real terminal. Needs Python, for its pseudo-terminals.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use trustroot::ceremony::SigningEvent;

use crate::support::Registry;

/// What was shown, and the exit status; `None`, said on the terminal, where there is no Python.
fn sign(registry: &Registry, answer: &str) -> Option<(String, i32)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ceremony/terminal.py");
    let output = Command::new("python3")
        .arg(script)
        .args([answer, env!("CARGO_BIN_EXE_trustroot"), "--home"])
        .arg(registry.path("home"))
        .args(["ceremony", "sign", "root-v1", "--key"])
        .arg(registry.path("alice.pem"))
        .arg("-C")
        .arg(registry.path(""))
        .args(["--at", "2026-03-01T12:00:00Z"])
        .env("TERM", "dumb")
        .output();
    let Ok(output) = output else {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("NOT TESTED: there is no python3");
        }
        return None;
    };
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("\nanswered"), "nothing was asked: {shown}");
    let status = shown.trim_end().rsplit("exit ").next().unwrap().parse().unwrap();
    Some((shown, status))
}

#[test]
fn the_words_that_a_terminal_asks_for_confirm_and_nothing_else_does() {
    let registry = Registry::new();
    let event = registry.start("root");
    registry.write("alice.pem", registry.key("alice").to_unencrypted_pem().as_str());
    let before = registry.files("signing-events");
    for (answer, expected) in [
        ("aardvark aardvark aardvark aardvark", 1),
        ("three", 1),
        ("y", 1),
        ("yes", 1),
        ("", 1),
        ("eof", 1),
        // As a shell has it: ended by signal 2.
        ("interrupt", -2),
    ] {
        let Some((shown, status)) = sign(&registry, answer) else { return };
        assert_eq!(status, expected, "{answer}: {shown}");
        let (records, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            registry.files("signing-events").into_iter().partition(|(path, _)| path.starts_with("root-v1/records"));
        assert_eq!(others, before, "{answer}");
        // All that may be left is the word that somebody tried.
        let abort = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("\"kind\":\"abort\"");
        assert!(records.values().all(abort), "{answer}");
        assert!(status < 0 || shown.contains("nothing was signed"), "{shown}");
    }
    let Some((shown, status)) = sign(&registry, "right") else { return };
    assert_eq!(status, 0, "{shown}");
    let event = SigningEvent::open(&registry.copy(), &event.name).unwrap();
    assert_eq!(event.counts(&registry.signed()).unwrap()[0].tally.counted, 1);
}
