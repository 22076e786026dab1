//! Roles that need signatures of classical and of post-quantum keys.

use trustroot::ceremony::{CeremonyError, EventState};
use trustroot::crypto::{KeyAlgorithm, KeyFamily, SecretKey, sha256};
use trustroot::publish::PublishError;
use trustroot::trust::ExpectRoot;

use crate::support::Registry;

const ASKED: &str = "threshold = 2\nfamily-thresholds = { classical = 2, post-quantum = 1 }";

/// A registry whose root may be signed by Alice, Bob and Carol, and by Dave with a post-quantum key.
fn mixed() -> Registry {
    let mut registry = Registry::new();
    registry.add_key("dave", SecretKey::generate(KeyAlgorithm::MlDsa65).unwrap());
    registry.edit("trustroot.toml", |text| {
        let text = text.replacen("\"carol\"]\nthreshold = 2", "\"carol\", \"dave\"]\nthreshold = 2", 1);
        format!("{text}\n[people.dave]\nkeys = [\"keys/dave.pub\"]\n").replacen("threshold = 2", ASKED, 1)
    });
    registry
}

/// Puts what was collected among what is signed, as somebody could by hand, and returns the file's name.
fn put_by_hand(registry: &Registry, event: &str) -> String {
    let event = registry.event(event);
    let mut document: serde_json::Value = serde_json::from_slice(
        &std::fs::read(registry.path(&format!("signing-events/{}/proposal.json", event.name))).unwrap(),
    )
    .unwrap();
    let signatures = event.over_this_payload().map(|filed| serde_json::json!({"keyid": filed.keyid, "sig": filed.sig}));
    document["signatures"] = signatures.collect();
    let name = format!("repository/{}", event.file_name());
    registry.write(&name, &document.to_string());
    for (path, bytes) in &event.targets {
        let file = format!("repository/targets/{}", path.url_path(Some(&sha256(bytes))));
        registry.write(&file, std::str::from_utf8(bytes).unwrap());
    }
    name
}

#[test]
fn a_root_without_a_post_quantum_signature_is_not_finished() {
    let registry = mixed();
    let mut event = registry.start("root");
    for person in ["alice", "bob", "carol"] {
        registry.sign(&mut event, person).unwrap();
    }
    let status = event.status(&registry.copy(), &registry.signed()).unwrap();
    assert!(status.counts[0].tally.met() && !status.counts[0].met());
    assert_eq!(status.state, EventState::Open);

    let refused = registry.finish(&event).unwrap_err();

    assert_eq!(refused.code(), "too-few-of-family");
    assert_eq!(
        refused.to_string(),
        "root v1 is signed by 0 of the 1 post-quantum keys it needs under root v1 (proposed)"
    );
    assert!(registry.signed().root().is_none());
    registry.sign(&mut event, "dave").unwrap();
    registry.finish(&event).unwrap();
    // The signature that TUF would not have needed is published with the others.
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);
    let bytes = registry.signed().roots().next().unwrap().1.to_vec();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["signatures"].as_array().unwrap().len(), 4);
}

#[test]
fn a_root_without_enough_classical_signatures_is_not_finished() {
    let registry = mixed();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "dave").unwrap();

    let refused = registry.finish(&event).unwrap_err();

    assert!(
        matches!(&refused, CeremonyError::TooFewOfFamily { count, .. } if count.family == KeyFamily::Classical && count.counted == 1),
        "{refused}"
    );
    assert!(registry.signed().root().is_none());
}

#[test]
fn who_drops_the_rule_needs_the_signatures_that_it_asks_for_and_is_seen() {
    let registry = mixed();
    registry.hold("root", &["alice", "bob", "dave"]).unwrap();
    registry.edit("trustroot.toml", |text| text.replacen(ASKED, "threshold = 2", 1));
    let mut event = registry.start("root");
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let removed: Vec<&str> =
        review.changes.iter().filter(|change| change.mark.sign() == '-').map(|change| change.text.as_str()).collect();
    assert_eq!(removed, ["root: no longer at least 2 classical and 1 post-quantum keys among them"]);
    for person in ["alice", "bob", "carol"] {
        registry.sign(&mut event, person).unwrap();
    }

    let refused = registry.finish(&event).unwrap_err();

    assert_eq!(refused.to_string(), "root v2 is signed by 0 of the 1 post-quantum keys it needs under root v1");
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);
    registry.sign(&mut event, "dave").unwrap();
    registry.finish(&event).unwrap();
}

#[test]
fn the_review_says_what_is_asked() {
    let registry = mixed();
    let event = registry.start("root");
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert!(review.problems.is_empty(), "{:?}", review.problems);
    let about: Vec<String> = review
        .changes
        .iter()
        .filter(|change| change.text.contains("post-quantum"))
        .map(|change| format!("{} {}", change.mark.sign(), change.text))
        .collect();
    assert_eq!(about, ["+ root: at least 2 classical and 1 post-quantum keys among them"]);
}

#[test]
fn a_rule_that_cannot_be_met_is_not_proposed() {
    let registry = Registry::new();
    registry.edit("trustroot.toml", |text| text.replacen("threshold = 2", ASKED, 1));

    let refused = registry.propose("root").unwrap_err();

    assert_eq!(
        refused.to_string(),
        "trustroot.toml: roles.root: 1 post-quantum keys must sign, and 0 of its 3 keys are"
    );
}

#[test]
fn a_recorded_rule_that_cannot_be_read_or_met_breaks_a_rule() {
    let registry = mixed();
    let mut proposal = registry.propose("root").unwrap();
    let document: serde_json::Value = serde_json::from_slice(&proposal.document).unwrap();
    for (field, expected) in [
        (serde_json::json!({"root": {"post-quantum": 2}}), "root needs 2 post-quantum keys and lists 1"),
        (
            serde_json::json!({"timestamp": {"classical": 1}}),
            "keys of families are asked for timestamp, for which they are not counted",
        ),
    ] {
        let mut document = document.clone();
        document["signed"]["x-trustroot-family-thresholds"] = field;
        proposal.document = serde_json::to_vec(&document).unwrap();
        let name = "odd".parse().unwrap();
        let event =
            trustroot::ceremony::SigningEvent::start(&registry.copy(), &registry.signed(), &proposal, &name).unwrap();
        let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
        assert_eq!(review.problems, [expected]);
    }
}

#[test]
fn what_was_put_among_the_signed_by_hand_is_not_published() {
    let mut registry = mixed();
    registry.add_oppy();
    registry.hold("root", &["alice", "bob", "dave"]).unwrap();
    registry.hold("targets", &["alice", "bob"]).unwrap();
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    registry.publish().unwrap();
    let published = registry.files("public");
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let name = put_by_hand(&registry, "root-v2");
    // TUF, and so every client that asks for nothing more, takes it.
    let mut chain =
        ExpectRoot::begin(&std::fs::read(registry.path("repository/1.root.json")).unwrap(), registry.start_time())
            .unwrap();
    chain.root(&std::fs::read(registry.path(&name)).unwrap()).unwrap();

    let refused = registry.publish().unwrap_err();

    assert!(matches!(refused, PublishError::TooFewOfFamily { .. }), "{refused}");
    assert_eq!(refused.to_string(), "root v2 is signed by 0 of the 1 post-quantum keys it needs under root v1");
    assert_eq!(registry.files("public"), published);
}

#[test]
fn targets_and_namespaces_may_ask_too() {
    let mut registry = mixed();
    registry.add_oppy();
    registry.edit("trustroot.toml", |text| {
        let text = text.replacen(
            "[roles.targets]\nsigners = [\"alice\", \"bob\", \"carol\"]",
            "[roles.targets]\nfamily-thresholds = { post-quantum = 1 }\nsigners = [\"alice\", \"bob\", \"carol\", \"dave\"]",
            1,
        );
        text.replacen(
            "[namespaces.oppy]\nsigners = [\"oppy-dev\"]",
            "[namespaces.oppy]\nfamily-thresholds = { post-quantum = 1 }\nsigners = [\"oppy-dev\", \"erin\"]",
            1,
        ) + "\n[people.erin]\nkeys = [\"keys/erin.pub\"]\n"
    });
    registry.add_key("erin", SecretKey::generate(KeyAlgorithm::MlDsa65).unwrap());
    registry.hold("root", &["alice", "bob", "dave"]).unwrap();
    assert_eq!(registry.hold("targets", &["alice", "bob"]).unwrap_err().code(), "too-few-of-family");
    registry.hold("targets", &["alice", "dave"]).unwrap();
    assert_eq!(registry.hold("oppy", &["oppy-dev"]).unwrap_err().code(), "too-few-of-family");
    // Below the threshold of the family by hand.
    registry.publish().unwrap();
    put_by_hand(&registry, "oppy-v1");
    assert_eq!(registry.publish().unwrap_err().code(), "too-few-of-family");
    std::fs::remove_file(registry.path("repository/1.oppy.json")).unwrap();
    registry.hold("oppy", &["erin"]).unwrap();
    registry.publish().unwrap();
}
