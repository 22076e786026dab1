//! A working copy comes by git, so anybody may have put any file, link or pipe into it.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use trustroot::ceremony::{AcceptedRisks, CeremonyError, EventName, EventState, SigningEvent};
use trustroot::client::write_durably;
use trustroot::repository::{Config, RepositoryError, WorkingCopy};

use crate::support::Registry;

/// A directory that is nobody's business, and what it holds.
struct Elsewhere(tempfile::TempDir);

impl Elsewhere {
    fn new() -> Self {
        let elsewhere = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(elsewhere.path().join("targets")).unwrap();
        write_durably(&elsewhere.path().join("targets/precious"), b"precious\n").unwrap();
        write_durably(&elsewhere.path().join("credentials"), b"secret\n").unwrap();
        elsewhere
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let walk = walkdir::WalkDir::new(self.path()).sort_by_file_name();
        let files = walk.into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
        files.map(|entry| (entry.path().to_owned(), std::fs::read(entry.path()).unwrap())).collect()
    }
}

/// Puts a link to somewhere else in the place of a file or directory.
fn link(registry: &Registry, name: &str, to: &Path) {
    let path = registry.path(name);
    if path.is_dir() {
        std::fs::remove_dir_all(&path).unwrap();
    } else if path.exists() {
        std::fs::remove_file(&path).unwrap();
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(to, path).unwrap();
}

#[track_caller]
fn is_link<T: std::fmt::Debug>(result: Result<T, CeremonyError>) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), "symbolic-link", "{error}");
}

#[test]
fn an_event_is_not_started_through_a_link() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let proposal = registry.propose("targets").unwrap();
    let name: EventName = "targets-v2".parse().unwrap();
    for place in ["signing-events/targets-v2", "signing-events/targets-v2/targets", "signing-events"] {
        let registry_files = registry.files("repository");
        let elsewhere = Elsewhere::new();
        let before = elsewhere.files();
        link(&registry, place, elsewhere.path());
        is_link(SigningEvent::start(&registry.copy(), &registry.signed(), &proposal, &name));
        assert_eq!(elsewhere.files(), before, "{place}");
        assert_eq!(registry.files("repository"), registry_files);
        std::fs::remove_file(registry.path(place)).unwrap();
    }
}

#[test]
fn a_signature_is_not_filed_through_a_link() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    let elsewhere = Elsewhere::new();
    let before = elsewhere.files();
    link(&registry, "signing-events/root-v1/signatures", elsewhere.path());
    is_link(registry.sign(&mut event, "alice"));
    is_link(SigningEvent::open(&registry.copy(), &event.name));
    assert_eq!(elsewhere.files(), before);
}

#[test]
fn an_event_is_not_finished_through_a_link() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let signed = registry.signed();
    let elsewhere = Elsewhere::new();
    let before = elsewhere.files();
    link(&registry, "repository", elsewhere.path());
    let refused = registry.copy().signed(registry.start_time()).unwrap_err();
    assert_eq!(refused.code(), "symbolic-link");
    is_link(event.finish(&registry.copy(), &signed, registry.now, &AcceptedRisks::default()));
    assert_eq!(elsewhere.files(), before);
}

#[test]
fn nothing_is_written_into_linked_directories_of_people_and_builders() {
    let registry = Registry::with_builder();
    let elsewhere = Elsewhere::new();
    let before = elsewhere.files();
    let copy = registry.copy();
    for place in ["keys", "invitations", "rehearsals", "builders/oppy"] {
        link(&registry, place, elsewhere.path());
    }
    for name in ["keys/mallory.pub", "invitations/a/b.json", "rehearsals/x.json", "../x", "/etc/x", "keys/../keys"] {
        assert!(matches!(copy.below(name), Err(RepositoryError::Link { .. })), "{name}");
    }
    assert!(matches!(copy.keys_of("alice"), Err(RepositoryError::Link { .. })));
    let namespace = trustroot::builders::Namespace::parse("oppy").unwrap();
    assert!(matches!(copy.documents(&namespace), Err(RepositoryError::Link { .. })));
    assert!(matches!(copy.builder_file(&namespace, "new"), Err(RepositoryError::Link { .. })));
    assert_eq!(elsewhere.files(), before);
}

#[test]
fn a_working_copy_may_be_reached_through_a_link_and_its_configuration_may_be_none() {
    let registry = Registry::new();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(registry.path(""), elsewhere.path().join("copy")).unwrap();
    assert!(WorkingCopy::open(&elsewhere.path().join("copy")).is_ok());
    std::fs::rename(registry.path("trustroot.toml"), elsewhere.path().join("it")).unwrap();
    symlink(elsewhere.path().join("it"), registry.path("trustroot.toml")).unwrap();
    assert!(matches!(WorkingCopy::open(&registry.path("")), Err(RepositoryError::Link { .. })));
}

#[test]
fn an_attestation_that_is_a_secret_goes_into_no_request() {
    let registry = Registry::new();
    registry.edit("trustroot.toml", |text| {
        text.replacen("keys = [\"keys/alice.pub\"]", "keys = [\"keys/alice.pub\"]\nattestations = [\"keys/a\"]", 1)
    });
    let elsewhere = Elsewhere::new();
    let secret = registry.key("alice").to_unencrypted_pem().to_string();
    write_durably(&elsewhere.path().join("id"), secret.as_bytes()).unwrap();
    link(&registry, "keys/a", &elsewhere.path().join("id"));
    assert!(matches!(registry.copy().evidence(), Err(RepositoryError::Link { .. })));
    std::fs::remove_file(registry.path("keys/a")).unwrap();
    for (content, expected) in [(secret.as_str(), "SECRET"), ("password\n", "certificate")] {
        registry.write("keys/a", content);
        let refused = registry.copy().evidence().unwrap_err();
        assert_eq!(refused.code(), "configuration");
        let said = refused.to_string();
        assert!(said.contains(expected) && !said.contains(content.lines().last().unwrap()), "{said}");
    }
}

#[test]
fn what_a_link_leads_to_is_not_proposed() {
    let registry = Registry::with_builder();
    let before = registry.files("signing-events");
    let elsewhere = Elsewhere::new();
    for (place, to) in [("targets", elsewhere.path().to_owned()), ("targets/c", elsewhere.path().join("credentials"))] {
        link(&registry, place, &to);
        assert!(matches!(registry.propose("targets"), Err(RepositoryError::Link { .. })), "{place}");
        std::fs::remove_file(registry.path(place)).unwrap();
    }
    assert_eq!(registry.files("signing-events"), before);
}

#[test]
fn a_rehearsal_takes_over_no_secrets() {
    let registry = Registry::with_builder();
    let elsewhere = Elsewhere::new();
    link(&registry, "verifiers", elsewhere.path());
    is_link(registry.rehearse_with(&BTreeMap::default()).map(drop));
    std::fs::remove_file(registry.path("verifiers")).unwrap();
    let secret = registry.key("alice").to_unencrypted_pem().to_string();
    registry.write("verifiers/mine/key.pem", &secret);
    let refused = registry.rehearse_with(&BTreeMap::default()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("SECRET"), "{refused}");
}

#[test]
fn no_number_of_files_undoes_a_withdrawal() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    event.withdraw("the wrong key", registry.now).unwrap();
    for number in 0..101 {
        registry.write(&format!("signing-events/root-v1/withdrawn/0000000000000000.{number:016x}.json"), "{}");
        registry.write(&format!("signing-events/root-v1/withdrawn/{number}.json"), "{}");
    }
    let event = registry.event("root-v1");
    let status = event.status(&registry.copy(), &registry.signed()).unwrap();
    assert_eq!(status.state, EventState::Withdrawn);
    assert!(matches!(registry.finish(&event), Err(CeremonyError::Withdrawn { .. })));
    // Those that are named as they should be are counted, and too many are refused.
    for number in 0..100 {
        let withdrawn = json!({"payloadSha256": "0".repeat(64), "reason": number.to_string(), "at": "t"});
        registry.put_withdrawal("root-v1", &withdrawn);
    }
    let refused = SigningEvent::open(&registry.copy(), &event.name).unwrap_err();
    assert!(refused.code() == "malformed-event" && refused.to_string().contains("`withdrawn/`"), "{refused}");
    assert!(registry.signed().root().is_none());
}

#[test]
fn no_number_of_files_hides_a_sibling() {
    let mut registry = Registry::new();
    let mut whole = registry.start("root");
    registry.sign(&mut whole, "alice").unwrap();
    registry.sign(&mut whole, "bob").unwrap();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "carol").unwrap();
    for number in 0..1001 {
        registry.write(&format!("signing-events/root-v1/signatures/0000000000000000.{number:04}.json"), "{}");
    }
    for number in 0..101 {
        registry.write(&format!("signing-events/root-v1/proposed/{number:064x}.json"), "{}");
    }
    let event = registry.event("root-v1");
    let status = event.status(&registry.copy(), &registry.signed()).unwrap();
    assert_eq!(status.siblings[0].digest, hex::encode(whole.digest()));
    assert!(status.siblings[0].counts[0].met());
    assert!(matches!(registry.finish(&event), Err(CeremonyError::Sibling { .. })));
    for number in 0..1001 {
        let filed = json!({"payloadSha256": "0".repeat(64), "keyid": format!("{number:064x}"), "sig": "00"});
        registry.put_signature(&event, &filed);
    }
    let refused = SigningEvent::open(&registry.copy(), &event.name).unwrap_err();
    assert!(refused.code() == "malformed-event" && refused.to_string().contains("`signatures/`"), "{refused}");
    assert!(registry.signed().root().is_none());
}

/// What this returns, unless it waits for ever.
fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(what()));
    receive.recv_timeout(Duration::from_secs(120)).expect("it waits for a pipe")
}

fn pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn no_command_waits_for_a_pipe_in_a_working_copy() {
    for file in [
        "trustroot.toml",
        "keys/alice.pub",
        "repository/1.root.json",
        "signing-events/root-v1/event.json",
        "signing-events/root-v1/proposal.json",
        "signing-events/root-v1/signatures/x.json",
        "signing-events/root-v1/proposed/0000000000000000000000000000000000000000000000000000000000000000.json",
        "signing-events/root-v1/withdrawn/0000000000000000.0000000000000000.json",
    ] {
        let registry = Registry::with_builder();
        let before = registry.files("repository");
        pipe(&registry.path(file));
        let (place, start) = (registry.path(""), registry.start_time());
        let said = in_time(move || {
            let copy = WorkingCopy::open(&place).map_err(|error| error.to_string())?;
            let signed = copy.signed(start).map_err(|error| error.to_string())?;
            copy.keys_of("alice").map_err(|error| error.to_string())?;
            let event = SigningEvent::open(&copy, &"root-v1".parse().unwrap()).map_err(|error| error.to_string())?;
            drop(event.status(&copy, &signed).map_err(|error| error.to_string())?);
            match event.unreadable.first() {
                Some((_, problem)) => Err(problem.clone()),
                None => Ok(()),
            }
        });
        assert!(said.as_ref().is_err_and(|said| said.contains("is not a regular file")), "{file}: {said:?}");
        std::fs::remove_file(registry.path(file)).unwrap();
        let now: Vec<_> = registry.files("repository").into_keys().collect();
        assert!(before.keys().all(|name| now.contains(name) || file.ends_with(name.to_str().unwrap())));
    }
}

#[test]
fn publishing_does_not_wait_for_a_pipe() {
    let registry = Registry::with_builder();
    pipe(&registry.published().join("timestamp.json"));
    let (registry, said) = in_time(move || {
        let said = registry.publish().map(drop).unwrap_err().to_string();
        (registry, said)
    });
    assert!(said.contains("is not a regular file"), "{said}");
    assert_eq!(std::fs::read_dir(registry.published()).unwrap().count(), 1);
}

#[test]
fn several_who_start_one_event_at_once_take_turns() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    for number in 0..20 {
        registry.write(&format!("targets/tool-{number}"), "a tool\n");
    }
    let proposal = registry.propose("targets").unwrap();
    let (copy, signed) = (registry.copy(), registry.signed());
    let name: EventName = "targets-v2".parse().unwrap();
    let started: Vec<_> = std::thread::scope(|scope| {
        let start = || SigningEvent::start(&copy, &signed, &proposal, &name).map(|event| event.digest());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let digest = registry.event("targets-v2").digest();
    for one in started {
        assert_eq!(one.unwrap(), digest);
    }
    assert_eq!(registry.signed().targets().unwrap().version().get(), 1);
}

#[test]
fn what_killed_processes_left_is_not_published() {
    let registry = Registry::with_builder();
    registry.publish().unwrap();
    let left = ["repository/.trustroot-aB3dE6", "public/.trustroot-aB3dE6"];
    for file in left {
        registry.write(file, "half");
    }
    registry.publish().unwrap();
    for file in left {
        assert!(!registry.path(file).exists(), "{file}");
    }
}

#[test]
fn an_error_quotes_no_more_of_a_line_than_people_read() {
    for text in [format!("name = {}", "x".repeat(200_000)), format!("{} = 1", "x".repeat(200_000))] {
        let said = Config::parse(&text).unwrap_err().to_string();
        assert!(said.len() < 2_000 && said.contains("line 1"), "{} bytes", said.len());
    }
}
