//! A key that signs for one repository is refused in another, as far as the signer's machine knows. Through the command,
//! since it alone has a home.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use trustroot::client::write_durably;

use crate::support::Registry;

/// A keyholder's machine: a home, and Alice's key in a file.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        machine.keep("alice.pem", &Registry::new());
        machine
    }

    fn keep(&self, file: &str, registry: &Registry) {
        write_durably(&self.path(file), registry.key("alice").to_unencrypted_pem().as_bytes()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.env_clear().env("TRUSTROOT_HOME", self.path("home")).env("TRUSTROOT_SYSTEM_DIR", "");
        command.args(arguments).stdin(std::process::Stdio::null()).output().unwrap()
    }

    /// Signs the proposed root of a registry with a key in a file.
    fn sign(&self, registry: &Registry, file: &str) -> Result<String, String> {
        self.sign_with(registry, file, &[])
    }

    fn sign_with(&self, registry: &Registry, file: &str, options: &[&str]) -> Result<String, String> {
        let version = registry.signed().next_version(&trustroot::metadata::RoleName::Root).unwrap();
        let name = format!("root-{version}");
        let event = registry.start("root");
        let (place, at) = (registry.path(""), registry.now.to_rfc3339());
        let key = self.path(file);
        let mut arguments =
            vec!["ceremony", "sign", &name, "-C", place.to_str().unwrap(), "--key", key.to_str().unwrap()];
        let (payload, pin) = (hex::encode(event.digest()), registry.signed().digest().map(hex::encode));
        arguments.extend(options);
        arguments.extend(["--at", &at, "--payload-sha256", &payload]);
        if let Some(pin) = &pin {
            arguments.extend(["--root-sha256", pin]);
        }
        let output = self.run(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(said) } else { Err(said) }
    }

    fn register(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path("home/registered-keys.json")).unwrap()).unwrap()
    }
}

fn fingerprint(registry: &Registry) -> String {
    hex::encode(trustroot::crypto::sha256(registry.key("alice").canonical_spki()))
}

/// Another repository with the same keys, as staging may be.
fn staging() -> Registry {
    let registry = Registry::new();
    registry.edit("trustroot.toml", |text| text.replacen("= 365", "= 200", 1));
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.publish_later()
}

impl Registry {
    /// The same, later, with something to sign for.
    fn publish_later(mut self) -> Self {
        self.now += chrono::Duration::days(1);
        self
    }
}

fn production() -> Registry {
    let registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.publish_later()
}

#[test]
fn a_key_that_signs_for_one_repository_is_refused_in_another() {
    let (machine, production, staging) = (Machine::new(), production(), staging());
    machine.sign(&production, "alice.pem").unwrap();
    let register = machine.register();
    assert_eq!(
        register["keys"][fingerprint(&production)]["repository"],
        hex::encode(production.signed().digest().unwrap())
    );
    let refused = machine.sign(&staging, "alice.pem").unwrap_err();
    assert!(refused.contains("error: this key signs for another repository"), "{refused}");
    assert!(refused.contains("nothing was signed"), "{refused}");
    assert_eq!(machine.register(), register);
    assert_eq!(staging.event("root-v2").signatures, []);
    // The same again is fine, and changes nothing.
    machine.sign(&production, "alice.pem").unwrap();
    assert_eq!(machine.register(), register);
}

#[test]
fn a_key_is_forgotten_only_by_name() {
    let (machine, production, staging) = (Machine::new(), production(), staging());
    machine.sign(&production, "alice.pem").unwrap();
    let key = fingerprint(&production);
    let other = "0".repeat(64);
    let output = machine.run(&["key", "forget-repository", &other]);
    assert_eq!(output.status.code(), Some(2));
    machine.sign(&staging, "alice.pem").unwrap_err();
    let output = machine.run(&["key", "forget-repository", &key]);
    let digest = hex::encode(production.signed().digest().unwrap());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("forgot that the key {key} signs for the repository with the first root {digest}\n")
    );
    machine.sign(&staging, "alice.pem").unwrap();
    machine.sign(&production, "alice.pem").unwrap_err();
}

#[test]
fn a_first_root_is_known_again_by_what_was_signed() {
    let (machine, mut registry) = (Machine::new(), Registry::new());
    machine.sign(&registry, "alice.pem").unwrap();
    let key = fingerprint(&registry);
    let payload = hex::encode(registry.event("root-v1").digest());
    assert_eq!(machine.register()["keys"][&key]["firstRoots"], serde_json::json!([payload]));
    // The same again is nothing to speak of.
    let said = machine.sign(&registry, "alice.pem").unwrap();
    assert!(!said.contains("has signed another first root"), "{said}");
    // Another proposal for it is signed where the signer says that it is one.
    registry.now += chrono::Duration::minutes(1);
    let said = machine.sign(&registry, "alice.pem").unwrap_err();
    assert!(said.contains("error: this key has signed another first root before"), "{said}");
    machine.sign_with(&registry, "alice.pem", &["--another-first-root"]).unwrap();
    // What has been signed is signed again without a word.
    machine.sign(&registry, "alice.pem").unwrap();
    // What is proposed now becomes the first root; the other one is accepted.
    let mut event = registry.event("root-v1");
    registry.sign(&mut event, "bob").unwrap();
    let mut accepted = trustroot::ceremony::AcceptedRisks::default();
    accepted.siblings.push(payload);
    event.finish(&registry.copy(), &registry.signed(), registry.now, &accepted).unwrap();
    // Another repository is not it.
    let refused = machine.sign(&staging(), "alice.pem").unwrap_err();
    assert!(refused.contains("error: this key signs for another repository"), "{refused}");
    registry.now += chrono::Duration::days(1);
    machine.sign(&registry, "alice.pem").unwrap();
    let digest = hex::encode(registry.signed().digest().unwrap());
    assert_eq!(machine.register()["keys"][&key], serde_json::json!({"repository": digest}));
    // From now on a first root is another repository.
    let mut later = Registry::new();
    later.now += chrono::Duration::days(9);
    machine.sign(&later, "alice.pem").unwrap_err();
}

#[test]
fn a_key_that_signed_the_first_root_of_one_repository_is_refused_for_that_of_another() {
    let (machine, production, mut staging) = (Machine::new(), Registry::new(), Registry::new());
    staging.now += chrono::Duration::minutes(1);
    machine.sign(&production, "alice.pem").unwrap();
    let register = machine.register();
    let refused = machine.sign(&staging, "alice.pem").unwrap_err();
    assert!(refused.contains("error: this key has signed another first root before"), "{refused}");
    assert!(refused.contains("nothing was signed"), "{refused}");
    assert_eq!(staging.event("root-v1").signatures, []);
    assert_eq!(machine.register(), register);
    // Nor is what is said for a first root a way into a repository that has one.
    let mut other = self::staging();
    other.now += chrono::Duration::days(1);
    machine.sign_with(&other, "alice.pem", &["--another-first-root"]).unwrap_err();
    assert_eq!(other.event("root-v2").signatures, []);
    assert_eq!(machine.register(), register);
}

#[test]
fn a_key_that_may_not_sign_is_not_noted_for_what_it_did_not_sign() {
    let (machine, production) = (Machine::new(), production());
    // In a rehearsal, which knows it.
    let refused = machine.sign(&production.rehearse(), "alice.pem").unwrap_err();
    assert!(refused.contains("the key is one of the real repository's"), "{refused}");
    assert!(!machine.path("home/registered-keys.json").exists());
    // In a repository of others.
    let mut others = self::production();
    let other = Registry::with_builder();
    let carol = trustroot::crypto::SecretKey::from_pem(&other.key("oppy-dev").to_unencrypted_pem(), None).unwrap();
    write_durably(&machine.path("carol.pem"), carol.to_unencrypted_pem().as_bytes()).unwrap();
    others.now += chrono::Duration::minutes(1);
    let refused = machine.sign(&others, "carol.pem").unwrap_err();
    assert!(refused.contains("this key may not sign root"), "{refused}");
    assert!(!machine.path("home/registered-keys.json").exists());
    // Its own is open to it.
    machine.sign(&production, "alice.pem").unwrap();
}

#[test]
fn keys_do_not_cross_between_rehearsals_and_what_is_meant() {
    let (machine, production) = (Machine::new(), production());
    let rehearsal = production.rehearse();
    machine.keep("rehearsal.pem", &rehearsal);
    machine.sign(&rehearsal, "rehearsal.pem").unwrap();
    assert_eq!(machine.register()["keys"][fingerprint(&rehearsal)], "rehearsals");
    // Another rehearsal is fine. Where it is meant, the key is refused even if it has been let in.
    let brought = trustroot::crypto::SecretKey::from_pem(&rehearsal.key("alice").to_unencrypted_pem(), None).unwrap();
    let again = production.rehearse_with(&std::collections::BTreeMap::from([("alice".to_owned(), brought)])).unwrap();
    machine.sign(&again, "rehearsal.pem").unwrap();
    let mut careless = Registry::new();
    careless.add_key(
        "alice",
        trustroot::crypto::SecretKey::from_pem(&rehearsal.key("alice").to_unencrypted_pem(), None).unwrap(),
    );
    let refused = machine.sign(&careless, "rehearsal.pem").unwrap_err();
    assert!(refused.contains("error: this key was used in a rehearsal"), "{refused}");
    assert_eq!(careless.event("root-v1").signatures, []);
}

#[test]
fn a_key_that_everybody_has_is_registered_for_nothing() {
    let machine = Machine::new();
    let everybodys = include_str!("../../keys.example/mallory.pem");
    write_durably(&machine.path("mallory.pem"), everybodys.as_bytes()).unwrap();
    for days in [365, 200] {
        let mut trial = Registry::new();
        trial.add_key("alice", trustroot::crypto::SecretKey::from_pem(everybodys, None).unwrap());
        trial.edit("trustroot.toml", |text| {
            format!("trial = true\n{}", text.replacen("after-days = 365", &format!("after-days = {days}"), 1))
        });
        machine.sign(&trial, "mallory.pem").unwrap();
        trial.hold("root", &["bob", "carol"]).unwrap();
        let later = trial.publish_later();
        machine.sign(&later, "mallory.pem").unwrap();
    }
    assert!(!machine.path("home/registered-keys.json").exists());
}

#[test]
fn a_calendar_says_what_is_only_rehearsed() {
    let (machine, production) = (Machine::new(), production());
    let rehearsal = production.rehearse();
    let (file, at) = (machine.path("roles.ics"), production.now.to_rfc3339());
    for (registry, summary) in [(&production, "SUMMARY:"), (&rehearsal, "SUMMARY:REHEARSAL ")] {
        let place = registry.path("");
        machine.run(&["check", "-C", place.to_str().unwrap(), "--at", &at, "--calendar", file.to_str().unwrap()]);
        let text = std::fs::read_to_string(&file).unwrap();
        let mut summaries = text.lines().filter(|line| line.starts_with("SUMMARY")).peekable();
        assert!(summaries.peek().is_some(), "{text}");
        assert!(summaries.all(|line| line.starts_with(summary)), "{text}");
        assert_eq!(text.contains("REHEARSAL"), summary.contains("REHEARSAL"), "{text}");
    }
}

/// A rehearsal whose list of real keys somebody has changed, and in which Alice has her real key.
fn tampered(production: &Registry) -> Registry {
    let mut rehearsal = production.rehearse();
    let key = fingerprint(production);
    rehearsal.edit("trustroot.toml", |text| text.replace(&key, &"0".repeat(64)));
    let real = trustroot::crypto::SecretKey::from_pem(&production.key("alice").to_unencrypted_pem(), None).unwrap();
    rehearsal.add_key("alice", real);
    rehearsal
}

#[test]
fn a_rehearsal_that_does_not_list_a_real_key_is_refused_by_who_has_signed_with_it() {
    let (machine, production) = (Machine::new(), production());
    let rehearsal = tampered(&production);
    machine.sign(&production, "alice.pem").unwrap();
    let refused = machine.sign(&rehearsal, "alice.pem").unwrap_err();
    assert!(refused.contains("error: this is a rehearsal, and this key signs for a real repository"), "{refused}");
    assert_eq!(rehearsal.event("root-v2").signatures, []);
}

#[test]
fn a_rehearsal_that_does_not_list_a_real_key_is_refused_by_who_has_pinned_its_root() {
    let (machine, production) = (Machine::new(), production());
    let rehearsal = tampered(&production);
    let root = production.path("repository/1.root.json");
    let pinned =
        machine.run(&["trust", "add", "here", "--url", "https://repository.example", "--root", root.to_str().unwrap()]);
    assert!(pinned.status.success(), "{pinned:?}");
    let refused = machine.sign(&rehearsal, "alice.pem").unwrap_err();
    assert!(refused.contains("this key is one of the repository pinned as here"), "{refused}");
    assert_eq!(rehearsal.event("root-v2").signatures, []);
    assert!(!machine.path("home/registered-keys.json").exists());
    // As is one that only a later root lists, which this machine has heard of.
    let machine = Machine::new();
    let mut first = Registry::new();
    let alice = trustroot::crypto::SecretKey::from_pem(&first.key("alice").to_unencrypted_pem(), None).unwrap();
    first.edit("trustroot.toml", |text| {
        text.replace("\"alice\", \"bob\"", "\"dora\", \"bob\"") + "[people.dora]\nkeys = [\"keys/dora.pub\"]\n"
    });
    first.add_person("dora");
    first.hold("root", &["bob", "carol"]).unwrap();
    let root = first.path("repository/1.root.json");
    machine.run(&["trust", "add", "here", "--url", "https://repository.example", "--root", root.to_str().unwrap()]);
    first.now += chrono::Duration::days(1);
    first.edit("trustroot.toml", |text| text.replace("\"dora\", \"bob\"", "\"dora\", \"bob\", \"alice\""));
    first.add_key("alice", alice);
    first.hold("root", &["bob", "carol"]).unwrap();
    let kept = machine.path("home/here/metadata");
    std::fs::create_dir_all(&kept).unwrap();
    write_durably(&kept.join("root.json"), &std::fs::read(first.path("repository/2.root.json")).unwrap()).unwrap();
    let refused = machine.sign(&tampered(&production), "alice.pem").unwrap_err();
    assert!(refused.contains("this key is one of the repository pinned as here"), "{refused}");
}

#[test]
fn without_a_home_that_can_be_written_signing_warns_and_goes_on() {
    let (machine, production) = (Machine::new(), production());
    // A file where the home should be.
    write_durably(&machine.path("home"), b"").unwrap();
    let said = machine.sign(&production, "alice.pem").unwrap();
    assert!(said.contains("warning: this machine cannot keep in mind which repository this key signs for"), "{said}");
    assert_eq!(production.event("root-v2").signatures.len(), 1);
}

#[test]
fn a_register_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let (machine, production) = (Machine::new(), production());
    for text in ["{", "{}", r#"{"keys": {}, "more": 1}"#, r#"{"keys": {"00": "everything"}}"#] {
        std::fs::create_dir_all(machine.path("home")).unwrap();
        write_durably(&machine.path("home/registered-keys.json"), text.as_bytes()).unwrap();
        machine.sign(&production, "alice.pem").unwrap_err();
        assert_eq!(production.event("root-v2").signatures, [], "{text}");
        assert_eq!(std::fs::read_to_string(machine.path("home/registered-keys.json")).unwrap(), text);
    }
}

#[cfg(unix)]
#[test]
fn the_register_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (machine, production) = (Machine::new(), production());
    machine.sign(&production, "alice.pem").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&machine.path("home/registered-keys.json")), 0o600);
}
