//! What counts in a signing event.

use trustroot::ceremony::{CeremonyError, EventState, SigningEvent, Status};
use trustroot::crypto::SecretKey;

use crate::support::Registry;

fn status(registry: &Registry, event: &SigningEvent) -> Status {
    event.status(&registry.copy(), &registry.signed()).unwrap()
}

fn counted(status: &Status) -> Vec<u64> {
    status.counts.iter().map(|under| under.tally.counted).collect()
}

/// The file of a signature, with what it says changed.
fn forge(registry: &Registry, event: &SigningEvent, change: impl Fn(&mut serde_json::Value)) -> SigningEvent {
    let directory = registry.path(&format!("signing-events/{}/signatures", event.name));
    let path = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    registry.put_signature(event, &value);
    registry.event(event.name.as_str())
}

#[test]
fn two_of_three_finish_an_event_and_one_does_not() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "carol").unwrap();
    assert!(matches!(registry.finish(&event), Err(CeremonyError::TooFewSignatures { .. })));
    assert!(registry.signed().root().is_none());

    // Signing again changes nothing.
    registry.sign(&mut event, "carol").unwrap();
    assert_eq!(counted(&status(&registry, &event)), [1]);
    registry.sign(&mut event, "alice").unwrap();
    assert_eq!(status(&registry, &event).state, EventState::Complete);
    registry.finish(&event).unwrap();
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);
    // As can finishing.
    registry.finish(&event).unwrap();
    assert_eq!(status(&registry, &event).state, EventState::Finished);
}

#[test]
fn an_all_zero_signature_counts_for_nothing_and_spoils_nothing() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    let root: serde_json::Value = serde_json::from_slice(&registry.propose("root").unwrap().document).unwrap();
    let keyids = root["signed"]["roles"]["root"]["keyids"].as_array().unwrap();
    let missing = keyids.iter().find(|keyid| **keyid != *event.signatures[0].keyid).unwrap();
    for (before, sig) in ["00".repeat(64), String::new(), "not hexadecimal".to_owned()].into_iter().enumerate() {
        let forged = forge(&registry, &event, |value| {
            value["keyid"] = missing.clone();
            value["sig"] = sig.clone().into();
        });
        let found = status(&registry, &forged);
        assert_eq!((counted(&found), found.state), (vec![1], EventState::Open));
        assert_eq!(found.uncounted.len(), before + 1);
        assert!(matches!(registry.finish(&forged), Err(CeremonyError::TooFewSignatures { .. })));
    }
    let mut event = registry.event("root-v1");
    registry.sign(&mut event, "bob").unwrap();
    registry.sign(&mut event, "carol").unwrap();
    registry.finish(&event).unwrap();
    // Only what counts is published.
    let bytes = registry.files("repository").into_values().next().unwrap();
    let published: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(published["signatures"].as_array().unwrap().len(), 3);
}

#[test]
fn changing_the_proposal_voids_what_was_collected() {
    let mut registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    let before = event.digest();

    registry.now += chrono::Duration::days(1);
    let event = registry.start("root");
    assert_ne!(event.digest(), before);
    let found = status(&registry, &event);
    assert_eq!(counted(&found), [0]);
    assert_eq!(found.uncounted[0].why, "over another payload");
    // What was signed is not forgotten: its signatures stay valid.
    assert_eq!(found.siblings.len(), 1);
    assert_eq!(found.siblings[0].digest, hex::encode(before));
}

#[test]
fn an_event_is_not_finished_while_a_sibling_has_signatures_unless_that_is_accepted() {
    let mut registry = Registry::new();
    let mut first = registry.start("root");
    registry.sign(&mut first, "alice").unwrap();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("root");
    registry.sign(&mut event, "bob").unwrap();
    registry.sign(&mut event, "carol").unwrap();
    let Err(CeremonyError::Sibling { digest, .. }) = registry.finish(&event) else { panic!("a sibling is ignored") };
    assert!(registry.signed().root().is_none());

    let mut accepted = trustroot::ceremony::AcceptedRisks::default();
    accepted.siblings.push(digest);
    event.finish(&registry.copy(), &registry.signed(), registry.now, &accepted).unwrap();
    assert!(registry.signed().root().is_some());
}

#[test]
fn signatures_by_strangers_are_named_and_not_counted() {
    let mut registry = Registry::new();
    registry.add_person("mallory");
    let mut event = registry.start("root");
    assert!(matches!(registry.sign(&mut event, "mallory"), Err(CeremonyError::NotASigner { .. })));
    registry.sign(&mut event, "alice").unwrap();
    let forged = forge(&registry, &event, |value| value["keyid"] = "ab".repeat(32).into());
    let found = status(&registry, &forged);
    assert_eq!(counted(&found), [1]);
    assert_eq!(found.uncounted[0].why, "by a key that may not sign");
}

#[test]
fn a_root_that_replaces_every_key_needs_the_old_keys() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    for person in ["xavier", "yves", "zoe"] {
        registry.add_person(person);
    }
    registry
        .edit("trustroot.toml", |text| text.replace("alice", "xavier").replace("bob", "yves").replace("carol", "zoe"));
    let mut event = registry.start("root");
    registry.sign(&mut event, "xavier").unwrap();
    registry.sign(&mut event, "yves").unwrap();
    let found = status(&registry, &event);
    assert_eq!(counted(&found), [0, 2]);
    let error = registry.finish(&event).unwrap_err().to_string();
    assert_eq!(error, "root v2 is signed by 0 of the 2 keys it needs under root v1");
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);

    // Those who leave take part in their own replacement.
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    registry.finish(&event).unwrap();
    assert_eq!(registry.signed().root().unwrap().version.get(), 2);
}

#[test]
fn who_changes_keys_signs_with_the_outgoing_one_unless_it_is_lost() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.add_key("carol", SecretKey::ed25519_from_seed(&[9; 32]).unwrap());
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let Err(CeremonyError::OutgoingKeyMissing { owner }) = registry.finish(&event) else { panic!("not asked for") };
    assert_eq!(owner, "carol");
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);

    let mut accepted = trustroot::ceremony::AcceptedRisks::default();
    accepted.lost.push("carol".to_owned());
    event.finish(&registry.copy(), &registry.signed(), registry.now, &accepted).unwrap();
    assert_eq!(registry.signed().root().unwrap().version.get(), 2);
}

#[test]
fn who_changes_keys_in_another_role_signs_with_the_outgoing_one_where_it_can() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    // Carol keeps her key for root, and gets another for targets, under a name that only looks like hers.
    registry.add_key("carol-2", SecretKey::ed25519_from_seed(&[9; 32]).unwrap());
    registry.edit("trustroot.toml", |text| {
        let (before, after) = text.split_once("[roles.targets]").unwrap();
        let after = after.replacen("\"carol\"", "\"caroI\"", 1);
        format!(
            "{}[roles.targets]{after}",
            before.replacen("[roles.root]", "[people.caroI]\nkeys = [\"keys/carol-2.pub\"]\n[roles.root]", 1)
        )
    });
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let Err(CeremonyError::OutgoingKeyMissing { owner }) = registry.finish(&event) else { panic!("not asked for") };
    assert_eq!(owner, "carol");
    registry.sign(&mut event, "carol").unwrap();
    registry.finish(&event).unwrap();
}

#[test]
fn a_key_that_goes_and_cannot_sign_where_it_is_replaced_is_pointed_out() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let notes = |registry: &Registry, role: &str| {
        let event = registry.start(role);
        event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().notes
    };
    assert!(notes(&registry, "root").is_empty());
    registry.add_key("oppy-dev", SecretKey::ed25519_from_seed(&[9; 32]).unwrap());
    registry.add_key("online", SecretKey::ed25519_from_seed(&[8; 32]).unwrap());
    let end = "and the outgoing key cannot sign this document: ask them";
    assert_eq!(notes(&registry, "targets"), [format!("oppy-dev changes keys in oppy, {end}")]);
    let expected = ["snapshot", "timestamp"].map(|role| format!("online changes keys in {role}, {end}"));
    assert_eq!(notes(&registry, "root"), expected);
}

#[test]
fn one_key_under_two_names_is_refused_before_anybody_signs() {
    let registry = Registry::new();
    registry.write("keys/bob.pub", &std::fs::read_to_string(registry.path("keys/alice.pub")).unwrap());
    let error = registry.propose("root").unwrap_err().to_string();
    assert_eq!(error, "trustroot.toml: roles.root: one key stands there twice, held by alice and bob");
}

#[test]
fn signatures_arrive_in_any_order_from_copies_that_do_not_conflict() {
    let registry = Registry::new();
    let event = registry.start("root");
    // Each signs in a copy of their own.
    let (mut at_alice, mut at_bob) = (event.clone(), event.clone());
    let alice = registry.sign(&mut at_alice, "alice").unwrap();
    let bob = registry.sign(&mut at_bob, "bob").unwrap();
    assert_ne!(alice, bob);
    assert_eq!(counted(&status(&registry, &registry.event("root-v1"))), [2]);
}

#[test]
fn a_signature_over_a_payload_that_is_not_here_stops_the_event() {
    let mut registry = Registry::new();
    // A copy leaves, is signed there, and comes back after the proposal was replaced.
    let away = registry.start("root");
    std::fs::remove_dir_all(registry.path("signing-events/root-v1")).unwrap();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let mut late = away;
    registry.sign(&mut late, "carol").unwrap();
    let event = registry.event("root-v1");
    let digest = hex::encode(late.digest());
    let error = registry.finish(&event).unwrap_err();
    assert!(matches!(&error, CeremonyError::Sibling { digest: found, .. } if *found == digest), "{error}");
    assert!(registry.signed().root().is_none());
}

#[test]
fn an_unreadable_event_stops_the_others_of_its_version() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    registry.write("signing-events/other/event.json", "{\"role\": \"root\",}");
    assert!(matches!(registry.finish(&event), Err(CeremonyError::UnreadableEvent { .. })));
    assert!(registry.signed().root().is_none());
}

#[test]
fn junk_files_hide_no_signature_and_too_many_are_refused() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let put = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let digest = format!("{number:064x}");
            let junk = serde_json::json!({"payloadSha256": digest, "keyid": "k", "sig": "00"});
            registry.put_signature(&event, &junk);
        }
    };
    put(0..998);
    assert_eq!(counted(&status(&registry, &registry.event("root-v1"))), [2]);
    put(998..999);
    let refused = SigningEvent::open(&registry.copy(), &event.name).unwrap_err();
    assert_eq!(refused.code(), "malformed-event", "{refused}");
    assert!(registry.signed().root().is_none());
}
