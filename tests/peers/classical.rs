//! A root that classical keys alone have signed, where the root before has a post-quantum key too: `--post-quantum-from`
//! refuses it, and the documents say that nobody else does. These are the others.

use trustroot::trust::RootPolicy;

use crate::cases::Written;
use crate::support::{Client, Key, SimRepository, refusal_of};
use crate::{below, judged_by_all};

/// tough reads the clock: all of it is good until long after that.
const DAYS: i64 = 10_000;

/// A repository whose root 2 lists two classical keys and, if it is `mixed`, one of ML-DSA, and asks for two signatures;
/// and whose root 3 the classical ones alone have signed; and a client that pins root 2.
fn repository(mixed: bool) -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    for role in ["root", "timestamp", "snapshot", "targets"] {
        repository.expire(role, DAYS);
    }
    repository.add_target("targets", "tool", b"good");
    let mut keys = vec![repository.new_key(), repository.new_key()];
    keys.extend(mixed.then(Key::ml_dsa));
    let first = repository.signers("root").clone();
    repository.authorize("root", &keys, 2);
    repository.publish_root_signed_by(&first);
    let client = repository.client();
    repository.bump("root");
    repository.serve_bytes("root", repository.signed_by("root", &keys[..2]));
    repository.publish();
    (repository, client)
}

#[test]
fn others_take_a_classical_root_that_the_policy_refuses() {
    let mut written = Written::default();
    for (name, mixed) in [("mixed", true), ("classical", false)] {
        let (repository, _) = repository(mixed);
        let (metadata, targets) = (below(&repository, "metadata/"), below(&repository, "targets/"));
        let step = written.step("2026-03-01T12:00:00Z".to_owned(), &metadata, &targets);
        for pinned in [1, 2] {
            let root = &metadata[&format!("{pinned}.root.json")];
            written.push(name, &format!("pinned {pinned}"), root, vec!["tool".to_owned()], vec![step.clone()]);
        }
    }
    let cases: &'static _ = Box::leak(Box::new(written.judged()));

    let taken = vec!["root 3 timestamp 2 snapshot 2 targets 2, tool 770e6076".to_owned()];
    for (who, verdicts) in judged_by_all(cases) {
        assert_eq!(verdicts.len(), 4);
        for (title, verdict) in verdicts {
            // It cannot read a root that lists a kind of key that it does not know, whoever signed it.
            let cannot_read = who == "tough" && title.starts_with("mixed");
            let expected = if cannot_read { vec!["refused".to_owned()] } else { taken.clone() };
            assert_eq!(verdict, expected, "{who}, {title}");
        }
    }
}

#[test]
fn the_policy_refuses_the_classical_root_that_others_take() {
    let (_repository, mut client) = repository(true);
    client.root_policy = RootPolicy::post_quantum_from("2026-02-01T00:00:00Z".parse().unwrap());

    let refusal = refusal_of(client.refresh());

    assert_eq!(refusal.code(), "classical-only");
    assert_eq!(client.trusted(), "root -, timestamp -, snapshot -, targets -");
}
