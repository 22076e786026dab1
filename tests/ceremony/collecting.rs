//! Signatures that arrive from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Utc};
use trustroot::ceremony::{Collected, EventState, Fate, SigningEvent};
use trustroot::crypto::{KeyAlgorithm, SecretKey};
use trustroot::metadata::RoleName;
use trustroot::repository::SignedState;
use trustroot::trust::UpdateStart;

use crate::realdata;
use crate::support::{Registry, files};

fn counted(registry: &Registry, event: &SigningEvent) -> Vec<u64> {
    event.counts(&registry.signed()).unwrap().iter().map(|under| under.tally.counted).collect()
}

/// The proposal with these people's signatures in it, as tools that know no events leave it.
fn document(registry: &Registry, event: &SigningEvent, signers: &[&str]) -> serde_json::Value {
    let file = format!("signing-events/{}/proposal.json", event.name);
    let mut document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(registry.path(&file)).unwrap()).unwrap();
    let sign = |person: &&str| {
        let key = registry.key(person);
        let keyid = hex::encode(trustroot::crypto::sha256(&owned(registry, person)));
        serde_json::json!({"keyid": keyid, "sig": hex::encode(key.sign(event.envelope.signed_bytes()).unwrap())})
    };
    document["signatures"] = signers.iter().map(sign).collect();
    document
}

/// The key of somebody as metadata lists it.
fn owned(registry: &Registry, person: &str) -> Vec<u8> {
    registry.key(person).public().clone().held_by(person).to_canonical()
}

fn fates(collected: &[Collected]) -> Vec<String> {
    collected.iter().map(|one| one.to_string().split_once(": ").unwrap().1.to_owned()).collect()
}

#[test]
fn signatures_in_metadata_are_collected_in_any_order_and_any_number_of_times() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    let signed = registry.signed();
    let one = document(&registry, &event, &["carol"]).to_string();
    let both = document(&registry, &event, &["alice", "carol"]).to_string();
    assert_eq!(event.collect(&signed, one.as_bytes()).unwrap()[0].fate, Fate::Filed);
    let again: BTreeSet<bool> =
        event.collect(&signed, both.as_bytes()).unwrap().iter().map(|one| one.fate == Fate::Known).collect();
    assert_eq!(again, BTreeSet::from([false, true]));
    let before = registry.files("signing-events");
    assert!(event.collect(&signed, both.as_bytes()).unwrap().iter().all(|one| one.fate == Fate::Known));
    assert_eq!(registry.files("signing-events"), before);

    // What was collected is what lies there, and it is enough.
    let event = registry.event("root-v1");
    assert_eq!(event.status(&registry.copy(), &signed).unwrap().state, EventState::Complete);
    registry.finish(&event).unwrap();
}

#[test]
fn what_does_not_count_is_named_and_not_filed() {
    let mut registry = Registry::new();
    registry.add_person("mallory");
    let mut event = registry.start("root");
    let signed = registry.signed();
    let before = registry.files("signing-events");
    let mut bad = document(&registry, &event, &["alice", "bob", "carol", "mallory"]);
    bad["signatures"][0]["sig"] = "".into();
    bad["signatures"][1]["sig"] = "00".repeat(64).into();
    bad["signatures"][2]["sig"] = bad["signatures"][3]["sig"].clone();
    let mut found = fates(&event.collect(&signed, bad.to_string().as_bytes()).unwrap());
    found.sort();
    let expected = ["by a key that may not sign", "empty", "not valid", "not valid"];
    assert_eq!(found, expected.map(|why| format!("not counted: {why}")));
    for junk in ["", "{}", "[", "hello", "{\"signed\": {}, \"signatures\": []}", "\u{89}PNG"] {
        assert!(matches!(event.collect(&signed, junk.as_bytes()).unwrap()[0].fate, Fate::Unusable(_)), "{junk}");
    }
    assert_eq!(registry.files("signing-events"), before);
    assert_eq!(counted(&registry, &registry.event("root-v1")), [0]);
}

#[test]
fn a_bad_signature_under_a_good_keyid_never_hides_the_good_one() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    let good = document(&registry, &event, &["alice", "bob"]);
    // Somebody with access to the files puts bad ones there first, and last.
    for sig in ["00".repeat(64), "ff".repeat(64)] {
        for signature in good["signatures"].as_array().unwrap() {
            let filed = serde_json::json!({
                "payloadSha256": hex::encode(event.digest()), "keyid": signature["keyid"], "sig": sig,
            });
            registry.put_signature(&event, &filed);
        }
    }
    event = registry.event("root-v1");
    assert_eq!(counted(&registry, &event), [0]);
    event.collect(&registry.signed(), good.to_string().as_bytes()).unwrap();
    let event = registry.event("root-v1");
    assert_eq!(counted(&registry, &event), [2]);
    assert_eq!(event.status(&registry.copy(), &registry.signed()).unwrap().uncounted.len(), 4);
    registry.finish(&event).unwrap();
}

#[test]
fn signatures_over_an_earlier_payload_are_kept_and_do_not_count() {
    let mut registry = Registry::new();
    let first = registry.start("root");
    let stale = document(&registry, &first, &["alice", "bob"]);
    // The proposal is replaced before anything arrived, and nothing is left of the first.
    std::fs::remove_dir_all(registry.path("signing-events/root-v1")).unwrap();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("root");
    let collected = event.collect(&registry.signed(), stale.to_string().as_bytes()).unwrap();
    assert!(collected.iter().all(|one| matches!(&one.fate, Fate::Stale { .. })), "{collected:?}");

    let mut event = registry.event("root-v1");
    assert_eq!(counted(&registry, &event), [0]);
    // It met its threshold: whoever has it can use it for ever, so nothing else is finished for this version.
    let status = event.status(&registry.copy(), &registry.signed()).unwrap();
    assert_eq!(status.siblings[0].digest, hex::encode(first.digest()));
    assert!(status.siblings[0].counts[0].met());
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "carol").unwrap();
    assert!(registry.finish(&event).is_err());
}

#[test]
fn metadata_of_another_role_or_version_is_not_collected() {
    let registry = Registry::with_builder();
    let mut event = registry.start("root");
    let signed = registry.signed();
    let before = registry.files("signing-events");
    for file in ["1.root.json", "1.targets.json", "1.oppy.json"] {
        let bytes = std::fs::read(registry.path(&format!("repository/{file}"))).unwrap();
        assert!(matches!(event.collect(&signed, &bytes).unwrap()[0].fate, Fate::Unusable(_)), "{file}");
    }
    assert_eq!(registry.files("signing-events"), before);
}

/// Whether git is here; says so where it is not.
pub(crate) fn has_git() -> bool {
    let has = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("NOT TESTED: git is not installed");
        }
    }
    has
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) {
    let (succeeded, said) = try_git(directory, arguments);
    assert!(succeeded, "git {arguments:?}: {said}");
}

pub(crate) fn try_git(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn branches_of_signers_who_work_at_once_merge_without_conflict() {
    if !has_git() {
        return;
    }
    let mut registry = Registry::new();
    // A key whose signatures differ each time.
    registry.add_key("alice", SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
    let event = registry.start("root");
    let here = registry.path("");
    git(&here, &["init", "-q", "-b", "main"]);
    git(&here, &["add", "trustroot.toml", "keys", "signing-events"]);
    git(&here, &["commit", "-q", "-m", "root is proposed"]);
    // Each signs on a branch of their own, Alice on two machines.
    for (branch, signers) in
        [("alice", &["alice"][..]), ("alice-2", &["alice"]), ("bob", &["bob"]), ("carol", &["carol", "bob"])]
    {
        git(&here, &["checkout", "-q", "-b", branch, "main"]);
        let mut event = registry.event("root-v1");
        for signer in signers {
            registry.sign(&mut event, signer).unwrap();
        }
        git(&here, &["add", "signing-events"]);
        git(&here, &["commit", "-q", "-m", branch]);
    }
    git(&here, &["checkout", "-q", "main"]);
    for branch in ["carol", "alice-2", "bob", "alice"] {
        git(&here, &["merge", "-q", "--no-ff", "-m", "merge", branch]);
    }
    let merged = registry.event("root-v1");
    assert_eq!(merged.digest(), event.digest());
    assert_eq!((counted(&registry, &merged), merged.signatures.len()), (vec![3], 4));
    registry.finish(&merged).unwrap();
}

// ---------------------------------------------------------------------------------------------------------------
// Sigstore's events, as they were

fn at(time: &str) -> UpdateStart {
    UpdateStart::at(time.parse::<DateTime<Utc>>().unwrap())
}

/// Sigstore's roots up to a version.
fn roots(chain: &Path, newest: u64) -> SignedState {
    let names = (1..=newest).map(|version| format!("{version}.root.json"));
    let files = names.map(|name| (name.clone(), std::fs::read(chain.join(name)).unwrap())).collect();
    SignedState::of_files(files, at("2026-08-22T00:00:00Z")).unwrap()
}

/// How many keys had signed after each step, by securesystemslib's signature check and the keys' points.
const UNDER_OLD_AND_NEW: &[(&str, &[[u64; 2]])] = &[
    (
        "root-v05",
        &[[0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [0, 0], [0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [4, 4]],
    ),
    ("root-v09", &[[0, 0], [0, 0], [1, 1], [2, 2], [0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [5, 5]]),
    ("root-v10", &[[0, 0], [0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]),
    ("root-v13", &[[0, 0], [0, 0], [0, 0], [0, 1], [1, 2], [1, 2], [2, 3], [3, 4], [4, 5]]),
    ("root-v14", &[[0, 0], [1, 1], [1, 1], [1, 1], [2, 2], [3, 3], [4, 4]]),
    ("root-v15", &[[0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [4, 4], [5, 5]]),
];

const UNDER_ROOT: &[(&str, u64, &[u64])] =
    &[("targets-v13", 13, &[0, 1, 2, 3, 4]), ("targets-v14", 14, &[0, 0, 1, 2, 3, 4, 4, 5])];

fn steps(events: &Path, name: &str) -> Vec<(String, Vec<u8>)> {
    let read = |(path, bytes): (std::path::PathBuf, Vec<u8>)| (path.display().to_string(), bytes);
    files(&events.join(name)).into_iter().map(read).collect()
}

fn event_of(role: &RoleName, document: &[u8]) -> SigningEvent {
    SigningEvent::of_document(&"sigstore".parse().unwrap(), role, document, BTreeMap::new()).unwrap()
}

fn tallies(event: &SigningEvent, signed: &SignedState) -> Vec<u64> {
    event.counts(signed).unwrap().iter().map(|under| under.tally.counted).collect()
}

/// What is in the names of the files: which of the signatures in it were not empty.
fn bitmap(name: &str) -> &str {
    name.split_once("sigs").unwrap().1.split('-').next().unwrap()
}

#[test]
fn sigstores_signing_events_are_counted_after_every_step() {
    let Some(events) = realdata::path("tuf/sigstore-signing-events") else { return };
    let chain = realdata::path("tuf/sigstore-root-chain").unwrap();
    let rows = UNDER_OLD_AND_NEW.iter().map(|(name, rows)| {
        let version: u64 = name.strip_prefix("root-v").unwrap().parse().unwrap();
        (*name, RoleName::Root, version - 1, rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>())
    });
    let more = UNDER_ROOT.iter().map(|(name, root, rows)| {
        (*name, RoleName::Targets, *root, rows.iter().map(|row| vec![*row]).collect::<Vec<_>>())
    });
    let (mut empty, mut twice) = (0, 0);
    for (event, role, root, expected) in rows.chain(more) {
        let signed = roots(&chain, root);
        let steps = steps(&events, event);
        assert_eq!(steps.len(), expected.len());
        for ((name, document), expected) in steps.iter().zip(&expected) {
            let found = event_of(&role, document);
            assert_eq!(tallies(&found, &signed), *expected, "{event}/{name}");
            let bits = bitmap(name);
            assert_eq!(found.signatures.len(), bits.len(), "{event}/{name}");
            let given = bits.bytes().filter(|bit| *bit == b'1').count();
            empty += bits.len() - given;
            // One key that signs under two keyids is one key.
            twice += usize::from(given as u64 > *expected.iter().max().unwrap());
        }
    }
    assert!(empty > 100 && twice >= 15, "{empty} empty signatures, {twice} steps with a key under two keyids");
}

#[test]
fn sigstores_signatures_are_collected_alike_in_any_order() {
    let Some(events) = realdata::path("tuf/sigstore-signing-events") else { return };
    let chain = realdata::path("tuf/sigstore-root-chain").unwrap();
    // How many payloads of this version beside the published one were signed, and the tallies of all.
    for (name, others, expected) in [
        ("root-v05", 1, vec![vec![4, 4], vec![5, 5]]),
        ("root-v09", 1, vec![vec![5, 5], vec![2, 2]]),
        ("root-v10", 0, vec![vec![5, 5]]),
        ("root-v13", 0, vec![vec![4, 5]]),
        ("root-v14", 0, vec![vec![4, 4]]),
        ("root-v15", 0, vec![vec![5, 5]]),
    ] {
        let version: u64 = name.strip_prefix("root-v").unwrap().parse().unwrap();
        let signed = roots(&chain, version - 1);
        let mut steps = steps(&events, name);
        let (_, published) = steps.iter().find(|(name, _)| name.contains("-published-")).unwrap().clone();
        let mut results = Vec::new();
        for order in 0..3 {
            match order {
                1 => steps.reverse(),
                2 => steps.sort_by_key(|(name, _)| trustroot::crypto::sha256(name.as_bytes())),
                _ => {}
            }
            let mut event = event_of(&RoleName::Root, &published);
            for (_, document) in &steps {
                event.collect(&signed, document).unwrap();
            }
            let payloads: Vec<SigningEvent> = event.every_payload().collect();
            assert_eq!(payloads.len(), 1 + others, "{name}");
            let found: Vec<Vec<u64>> = payloads.iter().map(|payload| tallies(payload, &signed)).collect();
            assert_eq!(found, expected, "{name}");
            // Signatures that are not empty lie there once each.
            let filed = event.signatures.iter().filter(|filed| !filed.sig.is_empty());
            results
                .push(filed.map(|filed| (filed.payload_sha256.clone(), filed.keyid.clone())).collect::<BTreeSet<_>>());
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{name}");
    }
}
