//! Rehearsals: nothing that is signed in one is valid anywhere, and no key crosses over.

use std::collections::BTreeMap;

use serde_json::Value;
use trustroot::ceremony::{CeremonyError, Fate, Keys, Request, SigningEvent};
use trustroot::crypto::{KeyAlgorithm, SecretKey, sha256, spki_to_pem};
use trustroot::metadata::{Envelope, FormatError, Occasion, RoleName, Root, Targets};
use trustroot::publish::PublishError;
use trustroot::repository::{RepositoryError, SignedState};
use trustroot::trust::ExpectRoot;

use crate::support::Registry;

/// A throwaway key, whose secret half is public.
const EVERYBODYS: &str = include_str!("../../keys.example/mallory.pem");

fn fingerprint(key: &SecretKey) -> String {
    hex::encode(sha256(key.canonical_spki()))
}

/// A registry with signed roles whose next event is about all of them; and a rehearsal of that.
fn before_the_next_event() -> (Registry, Registry) {
    let mut registry = Registry::with_builder();
    registry.add_person("dave");
    registry.now += chrono::Duration::days(1);
    registry.edit("trustroot.toml", |text| {
        text.replacen("\"bob\", \"carol\"", "\"bob\", \"dave\"", 1).replacen("= 365", "= 300", 1)
            + "[people.dave]\nkeys = [\"keys/dave.pub\"]\n"
    });
    registry.write("targets/tool.tar", "a tool\n");
    registry.write_builder("v1", crate::support::OPPY, "SLSA_BUILD_LEVEL_2");
    let rehearsal = registry.rehearse();
    (registry, rehearsal)
}

/// The lines of a review without fingerprints, in order.
fn lines(registry: &Registry, event: &SigningEvent) -> Vec<String> {
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert_eq!(review.problems, Vec::<String>::new());
    let without = |text: &str| {
        let words: Vec<&str> = text.split(' ').filter(|word| word.len() < 64).collect();
        words.join(" ")
    };
    let mut lines: Vec<String> =
        review.changes.iter().map(|change| format!("{} {}", change.mark.sign(), without(&change.text))).collect();
    lines.sort();
    lines.extend([review.compared_with, review.expiry, review.file]);
    lines
}

#[test]
fn the_next_event_is_rehearsed_as_it_will_be() {
    let (registry, rehearsal) = before_the_next_event();
    for (role, signers) in
        [("root", vec!["alice", "bob"]), ("targets", vec!["alice", "bob"]), ("oppy", vec!["oppy-dev"])]
    {
        let (here, mut there) = (registry.start(role), rehearsal.start(role));
        assert_eq!(lines(&registry, &here), lines(&rehearsal, &there), "{role}");
        assert_eq!(here.version, there.version);
        assert_eq!(there.role_as_proposed(), format!("REHEARSAL {role}"));
        assert_eq!(
            there.envelope.document_type().unwrap(),
            if role == "root" { "rehearsal-root" } else { "rehearsal-targets" }
        );
        for signer in &signers {
            // Through a request, as signers apart do.
            let request =
                Request::write(&there, &rehearsal.copy(), &rehearsal.signed(), None, rehearsal.start_time()).unwrap();
            let request = Request::parse(&request, rehearsal.start_time()).unwrap();
            assert!(request.event_review(Keys::Real, rehearsal.now).unwrap().rehearsal.is_some());
            let response = request.event.respond(&request.signed, rehearsal.key(signer)).unwrap();
            assert!(response.to_line().starts_with("TRUSTROOT-REHEARSAL/1:"));
            let collected = there.collect(&rehearsal.signed(), response.to_line().as_bytes()).unwrap();
            assert_eq!(collected[0].fate, Fate::Filed);
        }
        rehearsal.finish(&there).unwrap();
        registry.hold(role, &signers).unwrap();
    }
    assert_eq!(rehearsal.signed().root().unwrap().version.get(), 2);
}

#[test]
fn what_was_signed_in_a_rehearsal_is_read_by_nobody_who_means_it() {
    let (_, rehearsal) = before_the_next_event();
    rehearsal.hold("root", &["alice", "bob"]).unwrap();
    for file in ["1.root.json", "2.root.json"] {
        let bytes = std::fs::read(rehearsal.path("repository").join(file)).unwrap();
        let refusal = ExpectRoot::begin(&bytes, rehearsal.start_time()).unwrap_err();
        assert_eq!(refusal.code(), "malformed");
        assert!(refusal.to_string().contains("`rehearsal-root`, not `root`"), "{refusal}");
        assert!(matches!(
            Envelope::parse(&bytes).unwrap().unverified::<Root>(),
            Err(FormatError::WrongType { expected: "root", .. })
        ));
        assert!(Envelope::parse_for(Occasion::Rehearsal, &bytes).unwrap().unverified::<Root>().is_ok());
        // Nor is it another kind of document.
        assert!(Envelope::parse_for(Occasion::Rehearsal, &bytes).unwrap().unverified::<Targets>().is_err());
    }
    assert!(SignedState::read(&rehearsal.path("repository"), rehearsal.start_time()).is_err());
    // Without the table that says what is rehearsed, the copy is one that is meant, and holds nothing that it could be.
    let bare = |text: String| text.split("\n# This is a rehearsal").next().unwrap().to_owned();
    rehearsal.edit("trustroot.toml", bare);
    assert!(matches!(rehearsal.copy().signed(rehearsal.start_time()), Err(RepositoryError::Refused(_))));
    assert!(matches!(
        SigningEvent::open(&rehearsal.copy(), &"root-v2".parse().unwrap()),
        Err(CeremonyError::Proposal(FormatError::WrongType { .. }))
    ));
}

#[test]
fn a_rehearsal_is_not_published() {
    let (registry, rehearsal) = before_the_next_event();
    rehearsal.hold("root", &["alice", "bob"]).unwrap();
    rehearsal.hold("targets", &["alice", "bob"]).unwrap();
    assert!(matches!(rehearsal.plan(&["online"]), Err(PublishError::Rehearsal)));
    assert!(!rehearsal.published().exists());
    // Its files put where what is meant lies are no part of that.
    let before = registry.files("repository");
    std::fs::copy(rehearsal.path("repository/2.root.json"), registry.path("repository/2.root.json")).unwrap();
    assert!(matches!(registry.plan(&["online"]), Err(PublishError::Repository(RepositoryError::Refused(_)))));
    std::fs::remove_file(registry.path("repository/2.root.json")).unwrap();
    assert_eq!(registry.files("repository"), before);
    registry.publish().unwrap();
}

#[test]
fn a_real_key_signs_nothing_in_a_rehearsal() {
    let (registry, rehearsal) = before_the_next_event();
    let mut event = rehearsal.start("root");
    for person in ["alice", "carol", "dave", "online", "oppy-dev"] {
        let refused = event.sign(&rehearsal.signed(), registry.key(person)).unwrap_err();
        assert!(matches!(refused, CeremonyError::RealKey), "{person}: {refused}");
    }
    let bytes = Request::write(&event, &rehearsal.copy(), &rehearsal.signed(), None, rehearsal.start_time()).unwrap();
    let request = Request::parse(&bytes, rehearsal.start_time()).unwrap();
    assert!(matches!(request.event.respond(&request.signed, registry.key("alice")), Err(CeremonyError::RealKey)));
    assert_eq!(event.signatures, []);
}

#[test]
fn a_real_key_has_no_part_in_a_rehearsal() {
    let (registry, rehearsal) = before_the_next_event();
    let real = spki_to_pem(registry.key("alice").canonical_spki()).unwrap();
    rehearsal.write("keys/alice.pub", &real);
    assert!(matches!(
        rehearsal.propose("root"),
        Err(RepositoryError::OtherOccasion { occasion: Occasion::Rehearsal, .. })
    ));
    // Nor is it brought to one; and nothing is written, not even the mark.
    let marks = registry.files("rehearsals");
    let brought = BTreeMap::from([(
        "bob".to_owned(),
        SecretKey::from_pem(&registry.key("alice").to_unencrypted_pem(), None).unwrap(),
    )]);
    assert!(matches!(
        registry.rehearse_with(&brought).err(),
        Some(CeremonyError::Repository(RepositoryError::OtherOccasion { .. }))
    ));
    assert_eq!(registry.files("rehearsals"), marks);
    // Nor a key that everybody has.
    let brought = BTreeMap::from([("bob".to_owned(), SecretKey::from_pem(EVERYBODYS, None).unwrap())]);
    assert!(matches!(
        registry.rehearse_with(&brought).err(),
        Some(CeremonyError::Repository(RepositoryError::ExampleKey { key: "mallory", .. }))
    ));
    assert_eq!(registry.files("rehearsals"), marks);
}

#[test]
fn a_list_of_real_keys_that_is_none_is_not_read() {
    let (_, rehearsal) = before_the_next_event();
    let whole = std::fs::read_to_string(rehearsal.path("trustroot.toml")).unwrap();
    let digest = rehearsal.copy().config().rehearsal.as_ref().unwrap().refused.first().unwrap().clone();
    for wrong in [digest.to_uppercase(), digest[1..].to_owned(), "everybody".to_owned()] {
        rehearsal.write("trustroot.toml", &whole.replacen(&digest, &wrong, 1));
        let error = trustroot::repository::WorkingCopy::open(&rehearsal.path("")).unwrap_err().to_string();
        assert!(error.contains("a digest has 64 hexadecimal digits"), "{wrong}: {error}");
    }
}

#[test]
fn a_proposal_of_a_rehearsal_that_lists_a_real_key_breaks_a_rule() {
    let (registry, rehearsal) = before_the_next_event();
    let event = rehearsal.start("root");
    let real = registry.key("alice").public().clone().held_by("alice").to_value();
    rehearsal.edit(&format!("signing-events/{}/proposal.json", event.name), |text| {
        let mut document: Value = serde_json::from_str(&text).unwrap();
        for key in document["signed"]["keys"].as_object_mut().unwrap().values_mut() {
            if key["x-tuf-on-ci-keyowner"] == "alice" {
                *key = real.clone();
            }
        }
        document.to_string()
    });
    let event = rehearsal.event(event.name.as_str());
    let review = event.review(&rehearsal.copy(), &rehearsal.signed(), rehearsal.now).unwrap();
    assert!(review.problems.iter().any(|problem| problem.contains("of the real repository")), "{:?}", review.problems);
}

#[test]
fn a_key_of_a_rehearsal_is_not_let_in_where_it_is_meant() {
    let (mut registry, rehearsal) = before_the_next_event();
    let theirs = spki_to_pem(rehearsal.key("dave").canonical_spki()).unwrap();
    registry.write("keys/dave.pub", &theirs);
    assert!(matches!(registry.propose("root"), Err(RepositoryError::OtherOccasion { occasion: Occasion::Real, .. })));
    // A mark that cannot be read lets nothing in.
    registry.add_person("dave");
    registry.propose("root").unwrap();
    registry.write("rehearsals/junk.json", "{");
    assert!(registry.propose("root").is_err());
}

#[test]
fn responses_do_not_cross_between_a_rehearsal_and_the_event_that_is_meant() {
    // The first root has no repository to be told by.
    let registry = Registry::new();
    let rehearsal = registry.rehearse();
    let (mut here, mut there) = (registry.start("root"), rehearsal.start("root"));
    let ours = here.respond(&registry.signed(), registry.key("alice")).unwrap();
    let theirs = there.respond(&rehearsal.signed(), rehearsal.key("alice")).unwrap();
    for (event, signed, response, why) in [
        (&mut here, registry.signed(), &theirs, "made in a rehearsal"),
        (&mut there, rehearsal.signed(), &ours, "made for an event that is meant, and this is a rehearsal"),
    ] {
        for text in [response.to_json(), response.to_line()] {
            let collected = event.collect(&signed, text.as_bytes()).unwrap();
            assert_eq!(collected[0].fate, Fate::Uncounted(why));
        }
        // Whoever changes what it says of itself has a signature over something else.
        let mut disguised = response.clone();
        disguised.rehearsal = !disguised.rehearsal;
        let collected = event.collect(&signed, disguised.to_json().as_bytes()).unwrap();
        assert_eq!(collected[0].fate, Fate::Uncounted("over a payload that is not here"));
        assert_eq!(event.signatures, []);
    }
}

#[test]
fn a_request_of_a_rehearsal_cannot_be_passed_off_as_one_that_is_meant() {
    let (registry, rehearsal) = before_the_next_event();
    let write = |registry: &Registry| {
        let event = registry.start("root");
        Request::write(&event, &registry.copy(), &registry.signed(), None, registry.start_time()).unwrap()
    };
    // Taken apart, its mention of the rehearsal taken out or put in, and made whole again.
    let forged = |bytes: &[u8], change: &dyn Fn(&mut Value)| {
        let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
        lines.next().unwrap();
        let mut index: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
        change(&mut index);
        let rest = [index.to_string().as_bytes(), b"\n", lines.next().unwrap()].concat();
        let head = format!("{} {}\n", trustroot::ceremony::REQUEST_MEDIA_TYPE, hex::encode(sha256(&rest)));
        [head.as_bytes(), &rest].concat()
    };
    let passed_off =
        forged(&write(&rehearsal), &|index| drop(index.as_object_mut().unwrap().remove("rehearsal").unwrap()));
    assert!(Request::parse(&passed_off, registry.start_time()).is_err());
    let key = fingerprint(registry.key("carol"));
    let played_down = forged(&write(&registry), &|index| {
        index["rehearsal"] = serde_json::json!({"refused": [key]});
    });
    assert!(Request::parse(&played_down, registry.start_time()).is_err());
    // One that lists no keys is none.
    let unlisted = forged(&write(&rehearsal), &|index| index["rehearsal"]["refused"] = serde_json::json!([]));
    assert!(matches!(Request::parse(&unlisted, registry.start_time()), Err(CeremonyError::MalformedRequest { .. })));
}

#[test]
fn a_rehearsal_takes_the_place_of_nothing_and_leaves_one_mark() {
    let registry = Registry::with_builder();
    let before = registry.files(".");
    let rehearsal = registry.rehearse();
    let mut after = registry.files(".");
    after.retain(|path, _| !path.starts_with("rehearsals"));
    assert_eq!(after, before);
    assert_eq!(registry.files("rehearsals").len(), 1);
    for directory in [rehearsal.path(""), registry.path(""), registry.path("targets/rehearsal")] {
        let there = crate::support::files(&directory);
        let made = trustroot::ceremony::rehearse(
            &registry.copy(),
            &registry.signed(),
            &directory,
            &BTreeMap::new(),
            registry.start_time(),
        );
        assert!(matches!(made, Err(CeremonyError::Repository(RepositoryError::Configuration { .. }))), "{made:?}");
        assert_eq!(crate::support::files(&directory), there);
    }
    // A rehearsal is not rehearsed.
    let before = rehearsal.files(".");
    let error = rehearsal.rehearse_with(&BTreeMap::new()).err().unwrap().to_string();
    assert!(error.contains("this working copy is a rehearsal itself"), "{error}");
    assert_eq!(rehearsal.files("."), before);
}

#[test]
fn people_bring_keys_and_what_those_would_have_to_sign_again_is_left_out() {
    let registry = Registry::with_builder();
    let bring = |person: &str| (person.to_owned(), SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
    // Carol did not sign so far: all the others are played.
    let rehearsal = registry.rehearse_with(&BTreeMap::from([bring("carol")])).unwrap();
    assert_eq!(rehearsal.signed().root().unwrap().version.get(), 1);
    // Alice did.
    let brought = BTreeMap::from([bring("alice"), bring("bob")]);
    let rehearsal = registry.rehearse_with(&brought).unwrap();
    assert!(rehearsal.signed().root().is_none());
    rehearsal.hold("root", &["alice", "bob"]).unwrap();
    let signed = rehearsal.signed();
    let kinds: Vec<&str> = signed.root().unwrap().keys.values().map(trustroot::metadata::PublicKey::keytype).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "ecdsa").count(), 2);
    assert_eq!(signed.next_version(&RoleName::Root).unwrap().get(), 2);
}

#[test]
fn somebody_who_is_replaced_has_a_key_to_agree_with() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.add_key("bob", SecretKey::ed25519_from_seed(&[9; 32]).unwrap());
    let rehearsal = registry.rehearse();
    let mut event = rehearsal.start("root");
    rehearsal.sign(&mut event, "alice").unwrap();
    rehearsal.sign(&mut event, "bob").unwrap();
    rehearsal.sign(&mut event, "carol").unwrap();
    assert!(matches!(rehearsal.finish(&event), Err(CeremonyError::OutgoingKeyMissing { .. })));
    let pem = std::fs::read_to_string(rehearsal.path("rehearsal-keys/bob-2.pem")).unwrap();
    event.sign(&rehearsal.signed(), &SecretKey::from_pem(&pem, None).unwrap()).unwrap();
    rehearsal.finish(&event).unwrap();
}
