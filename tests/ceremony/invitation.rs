//! Invitations: who is let in has proved to hold the key, was invited, and is vouched for; a review says what it verified.

use std::collections::BTreeSet;

use serde_json::Value;
use trustroot::ceremony::{
    Admitted, Answer, CeremonyError, Circumstances, FiledRecord, Invitation, InvitationError, Keys, Request,
    SigningEvent, admit, invite,
};
use trustroot::crypto::{KeyAlgorithm, SecretKey, VerifyingKey, metadata_key, sha256};
use trustroot::metadata::{Envelope, RoleName};
use trustroot::repository::RepositoryError;
use trustroot::signers::Signer;

use crate::support::Registry;

fn erin() -> SecretKey {
    SecretKey::ed25519_from_seed(&[0xe5; 32]).unwrap()
}

fn invited(registry: &Registry, person: &str, roles: &[RoleName]) -> Result<Invitation, CeremonyError> {
    let expires = registry.now + chrono::Duration::days(14);
    invite(&registry.copy(), &registry.signed(), person, roles, ("alice", Some("welcome")), expires)
}

fn let_in(registry: &Registry, answer: &str, by: &str, key: Option<&dyn Signer>) -> Result<Admitted, CeremonyError> {
    admit(&mut registry.copy(), &registry.signed(), answer.as_bytes(), Some((by, key)), registry.now)
}

/// A registry with signed roles, and Erin's answer to an invitation to sign root.
fn answered() -> (Registry, String) {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let invitation = invited(&registry, "erin", &[RoleName::Root]).unwrap();
    let answer = invitation.answer(&erin()).unwrap().to_json();
    (registry, answer)
}

fn changed(text: &str, change: impl Fn(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    change(&mut value);
    value.to_string()
}

/// What the review of the next root says of Erin's key, here and in a request.
fn said_of_erin(registry: &Registry) -> String {
    let event = registry.start("root");
    let here = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let bytes = Request::write(&event, &registry.copy(), &registry.signed(), None, registry.start_time()).unwrap();
    let request = Request::parse(&bytes, registry.start_time()).unwrap();
    assert_eq!(request.event_review(Keys::Real, registry.now).unwrap(), here);
    let line = here.changes.iter().find(|change| change.text.starts_with("key of erin, ")).unwrap();
    line.text.split_once("; ").map(|(_, said)| said.to_owned()).unwrap_or_default()
}

/// Nothing that decides anything has changed.
fn nothing_changed(registry: &Registry, before: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) {
    assert_eq!(&registry.files("."), before);
    assert!(!registry.copy().config().people.contains_key("erin"));
}

#[test]
fn who_answers_is_let_in_and_the_review_says_how() {
    let (registry, answer) = answered();
    let before = std::fs::read_to_string(registry.path("trustroot.toml")).unwrap();
    let admitted = let_in(&registry, &answer, "alice", Some(registry.key("alice"))).unwrap();
    assert_eq!(admitted.key, hex::encode(sha256(erin().canonical_spki())));
    // All else in the file stands as it was written.
    let after = std::fs::read_to_string(registry.path("trustroot.toml")).unwrap();
    let (root, rest) = after.split_once(", \"erin\"]").unwrap();
    let (rest, person) = rest.split_once("[people.erin]\nkeys = [\"keys/erin.pub\"]\n").unwrap();
    assert_eq!(format!("{root}]{}{person}", rest.trim_end_matches('\n').to_owned() + "\n"), before);
    assert_eq!(
        said_of_erin(&registry),
        "proof of possession verified; vouched for by alice, signed with a key of root v1"
    );
    // Again, after an interruption for instance.
    let_in(&registry, &answer, "alice", None).unwrap();
    assert_eq!(std::fs::read_to_string(registry.path("trustroot.toml")).unwrap(), after);
    // So does the record of the proposal: it names the answer and each word about it.
    let event = registry.event("root-v2");
    event.record_proposed(&registry.signed(), &Circumstances::new(registry.now, "clock", "test", None)).unwrap();
    let transcript = event.transcript().unwrap();
    let named = |filed: &FiledRecord| filed.record.inputs.iter().map(|input| input.sha256.clone()).collect();
    let named: BTreeSet<String> =
        transcript.records.values().flat_map(|filed| -> Vec<String> { named(filed) }).collect();
    let kept = registry.files("invitations/erin").into_iter();
    let kept = kept.filter(|(path, _)| !path.to_string_lossy().ends_with(".invitation.json"));
    let kept: BTreeSet<String> = kept.map(|(_, bytes)| hex::encode(sha256(&bytes))).collect();
    assert_eq!((named, kept.len()), (kept.clone(), 3), "an answer and two words");
    registry.hold("root", &["alice", "bob"]).unwrap();
    let keys = registry.signed().root().unwrap().keys.values().filter(|key| key.owner() == Some("erin")).count();
    assert_eq!(keys, 1);
}

#[test]
fn comments_and_lists_over_several_lines_stay() {
    let (registry, answer) = answered();
    registry.edit("trustroot.toml", |text| {
        text.replacen(
            "signers = [\"alice\", \"bob\", \"carol\"]",
            "signers = [ # who\n  \"alice\",\n  \"bob\", # and\n  \"carol\",\n]",
            1,
        ) + "# the end\n"
    });
    let before = std::fs::read_to_string(registry.path("trustroot.toml")).unwrap();
    let_in(&registry, &answer, "alice", None).unwrap();
    let after = std::fs::read_to_string(registry.path("trustroot.toml")).unwrap();
    for line in before.lines() {
        assert!(after.lines().any(|there| there == line), "`{line}` is gone from\n{after}");
    }
    let copy = registry.copy();
    assert_eq!(copy.config().roles.root.signers, ["alice", "bob", "carol", "erin"]);
    assert_eq!(copy.config().roles.targets.signers, ["alice", "bob", "carol"]);
}

#[test]
fn a_configuration_that_cannot_be_edited_is_left_as_it_is() {
    let (registry, answer) = answered();
    let people = ["alice", "bob", "carol", "online", "oppy-dev"];
    let inline = people.map(|person| format!("{person} = {{ keys = [\"keys/{person}.pub\"] }}")).join(", ");
    registry.edit("trustroot.toml", |text| {
        let table = |person: &str| format!("[people.{person}]\nkeys = [\"keys/{person}.pub\"]\n");
        let without = people.iter().fold(text, |text, person| text.replacen(&table(person), "", 1));
        format!("people = {{ {inline} }}\n{without}")
    });
    let before = registry.files(".");
    let refused = let_in(&registry, &answer, "alice", None).unwrap_err();
    assert!(refused.to_string().contains("people: is no table that can be added to"), "{refused}");
    nothing_changed(&registry, &before);
}

#[test]
fn the_first_keyholders_can_be_invited() {
    let registry = Registry::new();
    registry.edit("trustroot.toml", |text| {
        let (_, roles) = text.split_once("[roles.root]").unwrap();
        let roles = roles.replace("[\"alice\", \"bob\", \"carol\"]", "[]").replace("[\"online\"]", "[]");
        format!("name = \"Test registry\"\n[roles.root]{roles}")
    });
    let every = [RoleName::Root, RoleName::Targets];
    let by = |person: &str, roles: &[RoleName], voucher: Option<(&str, Option<&dyn Signer>)>| {
        let expires = registry.now + chrono::Duration::days(1);
        let invitation = invite(&registry.copy(), &registry.signed(), person, roles, ("conductor", None), expires)
            .or_else(|_| invite(&registry.copy(), &registry.signed(), person, roles, ("alice", None), expires));
        let answer = invitation.unwrap().answer(registry.key(person)).unwrap().to_json();
        admit(&mut registry.copy(), &registry.signed(), answer.as_bytes(), voucher, registry.now).unwrap();
    };
    by("alice", &every, None);
    // Once more, as after an interruption: still nobody else could vouch.
    let answer = registry
        .files("invitations/alice")
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().ends_with(".answer.json"));
    admit(&mut registry.copy(), &registry.signed(), &answer.unwrap().1, None, registry.now).unwrap();
    by("bob", &every, Some(("alice", Some(registry.key("alice")))));
    by("carol", &every, Some(("bob", None)));
    by("online", &[RoleName::Snapshot, RoleName::Timestamp], Some(("alice", Some(registry.key("alice")))));
    let event = registry.start("root");
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let said = |person: &str| {
        let line = review.changes.iter().find(|change| change.text.starts_with(&format!("key of {person}, "))).unwrap();
        line.text.split_once("; ").unwrap().1.to_owned()
    };
    assert_eq!(said("alice"), "proof of possession verified; nobody vouched");
    assert_eq!(
        said("bob"),
        "proof of possession verified; vouched for by alice, signed with a key that is proposed with it"
    );
    assert_eq!(said("carol"), "proof of possession verified; said to be vouched for by bob, who did not sign that");
    registry.hold("root", &["alice", "bob"]).unwrap();
}

#[test]
fn a_key_that_came_by_no_invitation_says_so() {
    let (mut registry, _) = answered();
    registry.add_key("erin", erin());
    registry.edit("trustroot.toml", |text| {
        text.replacen("\"carol\"]", "\"carol\", \"erin\"]", 1) + "[people.erin]\nkeys = [\"keys/erin.pub\"]\n"
    });
    // Her answer has not been let in, and lies nowhere.
    assert_eq!(said_of_erin(&registry), "NO proof of possession");
}

#[test]
fn an_answer_that_is_not_signed_by_its_key_is_refused() {
    let (registry, answer) = answered();
    let before = registry.files(".");
    let other = hex::encode(registry.key("oppy-dev").canonical_spki());
    let by_another = {
        let mut value: Value = serde_json::from_str(&answer).unwrap();
        let invitation = Invitation::parse(value["invitation"].to_string().as_bytes()).unwrap();
        let theirs = invitation.answer(registry.key("oppy-dev")).unwrap().to_json();
        value["sig"] = serde_json::from_str::<Value>(&theirs).unwrap()["sig"].clone();
        value.to_string()
    };
    for forged in [
        changed(&answer, |value| value["publicKey"] = other.clone().into()),
        changed(&answer, |value| value["sig"] = "00".repeat(64).into()),
        changed(&answer, |value| value["sig"] = "".into()),
        by_another,
    ] {
        let refused = let_in(&registry, &forged, "alice", None).unwrap_err();
        assert!(matches!(refused, CeremonyError::Invitation(InvitationError::NotProved)), "{refused}");
        nothing_changed(&registry, &before);
    }
}

#[test]
fn an_answer_to_another_invitation_than_the_one_that_was_written_is_refused() {
    let (registry, answer) = answered();
    let before = registry.files(".");
    // Whoever is invited asks for more, for longer, or as somebody else: and signs that.
    for change in [
        (|value: &mut Value| value["roles"] = serde_json::json!(["root", "targets"])) as fn(&mut Value),
        |value| value["expires"] = "2099-01-01T00:00:00Z".into(),
        |value| value["nonce"] = "0".repeat(64).into(),
        |value| value["text"] = "as we said".into(),
        |value| value["invitedBy"] = "bob".into(),
        |value| value["person"] = "frank".into(),
    ] {
        let invitation = changed(&answer, |value| change(&mut value["invitation"]));
        let invitation = serde_json::from_str::<Value>(&invitation).unwrap()["invitation"].to_string();
        let forged = Invitation::parse(invitation.as_bytes()).unwrap().answer(&erin()).unwrap().to_json();
        let refused = let_in(&registry, &forged, "alice", None).unwrap_err();
        assert!(matches!(refused, CeremonyError::Invitation(InvitationError::NotInvited { .. })), "{refused}");
        nothing_changed(&registry, &before);
    }
}

#[test]
fn an_answer_is_good_for_one_repository() {
    let (registry, answer) = answered();
    // Staging has the same people, and somebody copied the invitations over.
    let mut staging = Registry::new();
    staging.edit("trustroot.toml", |text| text.replacen("= 365", "= 200", 1));
    staging.hold("root", &["alice", "bob"]).unwrap();
    staging.now = registry.now;
    for (path, content) in registry.files("invitations") {
        staging.write(&format!("invitations/{}", path.display()), std::str::from_utf8(&content).unwrap());
    }
    let before = staging.files(".");
    let refused = let_in(&staging, &answer, "alice", None).unwrap_err();
    assert!(matches!(refused, CeremonyError::OtherRepository { .. }), "{refused}");
    nothing_changed(&staging, &before);
    // An invitation to a rehearsal is none to what is meant.
    let rehearsal = registry.rehearse();
    let before = rehearsal.files(".");
    assert!(matches!(let_in(&rehearsal, &answer, "alice", None), Err(CeremonyError::OtherRepository { .. })));
    nothing_changed(&rehearsal, &before);
    // Nor where neither has a root, and somebody copied it over.
    let registry = Registry::new();
    let rehearsal = registry.rehearse();
    let answer = invited(&rehearsal, "erin", &[RoleName::Root]).unwrap().answer(&erin()).unwrap().to_json();
    for (path, content) in rehearsal.files("invitations") {
        registry.write(&format!("invitations/{}", path.display()), std::str::from_utf8(&content).unwrap());
    }
    let before = registry.files(".");
    assert!(matches!(let_in(&registry, &answer, "alice", None), Err(CeremonyError::OtherRepository { .. })));
    nothing_changed(&registry, &before);
}

#[test]
fn an_answer_that_comes_too_late_is_refused() {
    let (mut registry, answer) = answered();
    registry.now += chrono::Duration::days(14);
    let before = registry.files(".");
    let refused = let_in(&registry, &answer, "alice", None).unwrap_err();
    assert!(matches!(refused, CeremonyError::Invitation(InvitationError::Expired { .. })), "{refused}");
    nothing_changed(&registry, &before);
}

#[test]
fn an_invitation_is_answered_once() {
    let (registry, answer) = answered();
    let_in(&registry, &answer, "alice", None).unwrap();
    let after = registry.files(".");
    // Whoever saw the invitation answers it with a key of theirs.
    let invitation = Answer::parse(answer.as_bytes()).unwrap().invitation;
    let second = invitation.answer(&SecretKey::ed25519_from_seed(&[1; 32]).unwrap()).unwrap().to_json();
    let refused = let_in(&registry, &second, "alice", None).unwrap_err();
    assert!(matches!(refused, CeremonyError::Invitation(InvitationError::Answered { .. })), "{refused}");
    assert_eq!(registry.files("."), after);
    // Nor is the same name invited again.
    assert!(matches!(
        invited(&registry, "erin", &[RoleName::Root]),
        Err(CeremonyError::Invitation(InvitationError::PersonThere { .. }))
    ));
}

#[test]
fn whoever_was_let_in_may_be_let_in_again_whenever() {
    let (mut registry, answer) = answered();
    let_in(&registry, &answer, "alice", None).unwrap();
    let after = registry.files(".");
    // Too late for anybody else; and once the root lists her.
    registry.now += chrono::Duration::days(20);
    let_in(&registry, &answer, "alice", None).unwrap();
    registry.add_key("erin", erin());
    registry.edit("trustroot.toml", |text| text.replacen("\"carol\"]", "\"carol\", \"erin\"]", 1));
    registry.hold("root", &["alice", "bob", "erin"]).unwrap();
    let_in(&registry, &answer, "alice", None).unwrap();
    let word = |path: &std::path::Path| path.to_string_lossy().ends_with(".vouch.json");
    let kept = registry.files("invitations").into_keys().filter(|path| !word(path)).count();
    let first = after.keys().filter(|path| path.starts_with("invitations") && !word(path)).count();
    assert_eq!(kept, first);
    // Also then nobody vouches for themselves.
    let before = registry.files(".");
    let refused = let_in(&registry, &answer, "erin", Some(&erin())).unwrap_err();
    assert!(matches!(refused, CeremonyError::Invitation(InvitationError::NotAVoucher { .. })), "{refused}");
    assert_eq!(registry.files("."), before);
}

#[test]
fn a_name_that_was_taken_meanwhile_is_not_given_another_key() {
    let (mut registry, answer) = answered();
    registry.add_key("erin", SecretKey::ed25519_from_seed(&[1; 32]).unwrap());
    registry.edit("trustroot.toml", |text| text + "[people.erin]\nkeys = [\"keys/erin.pub\"]\n");
    let before = registry.files(".");
    let refused = let_in(&registry, &answer, "alice", None).unwrap_err();
    assert!(matches!(refused, CeremonyError::Invitation(InvitationError::PersonThere { .. })), "{refused}");
    assert_eq!(registry.files("."), before);
}

#[test]
fn a_role_that_is_gone_meanwhile_is_given_to_nobody() {
    let (registry, _) = answered();
    let oppy = RoleName::delegated("oppy").unwrap();
    let invitation = invited(&registry, "erin", &[oppy]).unwrap();
    let answer = invitation.answer(&erin()).unwrap().to_json();
    registry.edit("trustroot.toml", |text| text.replace("namespaces.oppy", "namespaces.other"));
    let before = registry.files(".");
    let refused = let_in(&registry, &answer, "alice", None).unwrap_err();
    assert!(matches!(refused, CeremonyError::Repository(RepositoryError::UnknownRole { .. })), "{refused}");
    nothing_changed(&registry, &before);
}

#[test]
fn a_key_that_somebody_held_is_refused() {
    let mut registry = Registry::with_builder();
    let old = |registry: &Registry, person: &str| {
        SecretKey::from_pem(&registry.key(person).to_unencrypted_pem(), None).unwrap()
    };
    let (carol, oppy) = (old(&registry, "carol"), old(&registry, "oppy-dev"));
    registry.now += chrono::Duration::days(1);
    // Carol has another key since root v2, and no document lists her old one any more; Oppy is about to have another.
    registry.add_key("carol", SecretKey::ed25519_from_seed(&[0xca; 32]).unwrap());
    let mut event = registry.start("root");
    for person in ["alice", "bob"] {
        registry.sign(&mut event, person).unwrap();
    }
    event.sign(&registry.signed(), &carol).unwrap();
    registry.finish(&event).unwrap();
    registry.add_key("oppy-dev", SecretKey::ed25519_from_seed(&[0x0d; 32]).unwrap());
    let invitation = invited(&registry, "erin", &[RoleName::Root]).unwrap();
    for (holder, key) in [("carol", carol), ("oppy-dev", oppy)] {
        let before = registry.files(".");
        let answer = invitation.answer(&key).unwrap().to_json();
        let refused = let_in(&registry, &answer, "alice", None).unwrap_err();
        let CeremonyError::Invitation(InvitationError::KeyTaken { holder: by }) = refused else { panic!("{refused}") };
        assert_eq!(by, holder);
        nothing_changed(&registry, &before);
    }
}

#[test]
fn a_key_that_somebody_holds_is_refused() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    // Carol has left the configuration, and is still in the root.
    registry.edit("trustroot.toml", |text| {
        text.replace(", \"carol\"", "").replacen("[people.carol]\nkeys = [\"keys/carol.pub\"]\n", "", 1)
    });
    let invitation = invited(&registry, "erin", &[RoleName::Root]).unwrap();
    for (holder, key) in [("bob", "bob"), ("online", "online"), ("oppy-dev", "oppy-dev"), ("carol", "carol")] {
        let before = registry.files(".");
        let answer = invitation.answer(registry.key(key)).unwrap().to_json();
        let refused = let_in(&registry, &answer, "alice", None).unwrap_err();
        let CeremonyError::Invitation(InvitationError::KeyTaken { holder: by }) = refused else { panic!("{refused}") };
        assert_eq!(by, holder);
        nothing_changed(&registry, &before);
    }
}

#[test]
fn a_key_that_somebody_holds_is_refused_however_it_is_spelled() {
    let mut registry = Registry::new();
    let bob = SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = bob.to_unencrypted_pem();
    registry.add_key("bob", bob);
    let invitation = invited(&registry, "erin", &[RoleName::Root]).unwrap();
    let answer = invitation.answer(&SecretKey::from_pem(&pem, None).unwrap()).unwrap().to_json();
    // The key under another spelling: the point compressed, which is read as the same key or not at all.
    let spki = registry.key("bob").canonical_spki();
    let (head, point) = spki.split_at(spki.len() - 65);
    let compressed = [&head[..head.len() - 2], &[0x22, 0], &[2 + (point[64] & 1)], &point[1..33]].concat();
    let mut compressed = compressed;
    compressed[1] -= 32;
    for spelled in [hex::encode(spki), hex::encode(spki).to_uppercase(), hex::encode(compressed)] {
        let before = registry.files(".");
        let spelled = changed(&answer, |value| value["publicKey"] = spelled.clone().into());
        let refused = let_in(&registry, &spelled, "alice", None).unwrap_err();
        assert!(
            matches!(
                refused,
                CeremonyError::Invitation(InvitationError::KeyTaken { .. } | InvitationError::Malformed { .. })
            ),
            "{refused}"
        );
        nothing_changed(&registry, &before);
    }
}

#[test]
fn throwaway_keys_and_keys_of_rehearsals_are_refused() {
    let (registry, _) = answered();
    let rehearsal = registry.rehearse();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/keys.example/alice.pem")).unwrap();
    let invitation = invited(&registry, "frank", &[RoleName::Root]).unwrap();
    let before = registry.files(".");
    let answer = invitation.answer(&SecretKey::from_pem(&text, None).unwrap()).unwrap().to_json();
    assert!(matches!(
        let_in(&registry, &answer, "alice", None),
        Err(CeremonyError::Repository(RepositoryError::ExampleKey { .. }))
    ));
    let answer = invitation.answer(rehearsal.key("alice")).unwrap().to_json();
    assert!(matches!(
        let_in(&registry, &answer, "alice", None),
        Err(CeremonyError::Repository(RepositoryError::OtherOccasion { .. }))
    ));
    nothing_changed(&registry, &before);
}

#[test]
fn only_a_keyholder_vouches_and_signs_that_with_a_key_of_theirs() {
    let (registry, answer) = answered();
    let before = registry.files(".");
    let (alice, bob): (&dyn Signer, &dyn Signer) = (registry.key("alice"), registry.key("bob"));
    for (by, key) in [("erin", None), ("mallory", None), ("alice", Some(bob)), ("nobody", Some(alice))] {
        let refused = let_in(&registry, &answer, by, key).unwrap_err();
        assert!(matches!(refused, CeremonyError::Invitation(InvitationError::NotAVoucher { .. })), "{refused}");
        nothing_changed(&registry, &before);
    }
    let refused = admit(&mut registry.copy(), &registry.signed(), answer.as_bytes(), None, registry.now).unwrap_err();
    assert!(matches!(refused, CeremonyError::Invitation(InvitationError::NotAVoucher { .. })), "{refused}");
    nothing_changed(&registry, &before);
}

/// The files of a kind that lie for Erin.
fn file_of_erin(registry: &Registry, kind: &str) -> String {
    let files = registry.files("invitations/erin");
    let name = files.keys().find(|path| path.to_string_lossy().ends_with(kind)).unwrap();
    format!("invitations/erin/{}", name.display())
}

#[test]
fn a_review_believes_no_file_about_who_vouched() {
    let (registry, answer) = answered();
    let_in(&registry, &answer, "alice", Some(registry.key("alice"))).unwrap();
    let (word, verified) = (file_of_erin(&registry, ".vouch.json"), "proof of possession verified; ");
    let text = std::fs::read_to_string(registry.path(&word)).unwrap();
    let unsigned = |text: &str| changed(text, |value| drop(value.as_object_mut().unwrap().remove("sig")));
    for (written, said) in [
        // Another voucher, another time, another signature.
        (
            changed(&text, |value| value["by"] = "bob".into()),
            "vouched for in the name of bob with a signature that is NOT theirs",
        ),
        (
            changed(&text, |value| value["at"] = "2026-01-01T00:00:00Z".into()),
            "vouched for in the name of alice with a signature that is NOT theirs",
        ),
        (
            changed(&text, |value| value["by"] = "mallory".into()),
            "vouched for in the name of mallory with a signature that is NOT theirs",
        ),
        (unsigned(&text), "said to be vouched for by alice, who did not sign that"),
        // By herself, about another answer, or something else.
        (changed(&text, |value| value["by"] = "erin".into()), "nobody vouched"),
        (changed(&text, |value| value["answerSha256"] = "0".repeat(64).into()), "nobody vouched"),
        ("{".to_owned(), "nobody vouched"),
    ] {
        registry.write(&word, &written);
        assert_eq!(said_of_erin(&registry), format!("{verified}{said}"));
    }
    registry.write(&word, &text);
    assert_eq!(said_of_erin(&registry), format!("{verified}vouched for by alice, signed with a key of root v1"));
}

#[test]
fn a_review_believes_no_file_about_who_holds_a_key() {
    let (registry, answer) = answered();
    let_in(&registry, &answer, "alice", None).unwrap();
    let file = file_of_erin(&registry, ".answer.json");
    let invitation = Answer::parse(answer.as_bytes()).unwrap().invitation;
    let signed_over = |change: fn(&mut Value)| {
        let text = changed(&invitation.to_json(), change);
        Invitation::parse(text.as_bytes()).unwrap().answer(&erin()).unwrap().to_json()
    };
    for (written, said) in [
        (
            changed(&answer, |value| value["sig"] = "00".into()),
            "NO proof of possession: the answer that lies here is not signed by it",
        ),
        (
            changed(&answer, |value| value["invitation"]["roles"] = serde_json::json!(["root", "targets"])),
            "NO proof of possession: the answer that lies here is not signed by it",
        ),
        (
            signed_over(|value| value["repository"] = "0".repeat(64).into()),
            "NO proof of possession: the answer that lies here is for another repository",
        ),
        (
            signed_over(|value| value["rehearsal"] = true.into()),
            "NO proof of possession: the answer that lies here is for another repository",
        ),
        (
            signed_over(|value| value["person"] = "frank".into()),
            "NO proof of possession: the answer that lies here is by somebody else",
        ),
        (
            signed_over(|value| value["roles"] = serde_json::json!(["oppy"])),
            "proof of possession verified, but NOT invited to root; nobody vouched",
        ),
        ("{}".to_owned(), "NO proof of possession"),
    ] {
        registry.write(&file, &written);
        assert_eq!(said_of_erin(&registry), said);
    }
}

#[test]
fn a_namespace_has_its_people_introduced_too() {
    let (registry, _) = answered();
    let invitation = invited(&registry, "erin", &[RoleName::delegated("oppy").unwrap()]).unwrap();
    let answer = invitation.answer(&erin()).unwrap().to_json();
    let_in(&registry, &answer, "oppy-dev", Some(registry.key("oppy-dev"))).unwrap();
    let event = registry.start("targets");
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let line = review.changes.iter().find(|change| change.text.starts_with("key of erin, ")).unwrap();
    assert!(
        line.text.ends_with("; proof of possession verified; vouched for by oppy-dev, signed with a key of targets v1"),
        "{}",
        line.text
    );
}

/// What a key signed for an invitation, by the same rules as the library: there is no other way to it.
#[test]
fn a_proof_is_no_metadata_and_metadata_is_no_proof() {
    let (registry, answer) = answered();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let invitation = Invitation::parse(answer["invitation"].to_string().as_bytes()).unwrap();
    let key = erin();
    let statement = format!(
        "trustroot: the holder of this key answers an invitation, v1\ninvitation sha256 {}\nrepository {}\n\
         occasion meant\nperson erin\nroles root\nnonce {}\nkey sha256 {}\n",
        hex::encode(invitation.digest()),
        hex::encode(registry.signed().digest().unwrap()),
        invitation.nonce,
        hex::encode(sha256(key.canonical_spki()))
    );
    let listed = VerifyingKey::from_metadata(&metadata_key(key.canonical_spki()).unwrap()).unwrap();
    assert!(listed.verifies(statement.as_bytes(), &hex::decode(answer["sig"].as_str().unwrap()).unwrap()));
    // Metadata is canonical JSON of an object, which this is not, whatever stands in the invitation.
    assert!(Envelope::parse(format!("{{\"signatures\": [], \"signed\": {statement}}}").as_bytes()).is_err());
    // A signature over metadata proves nothing here.
    let event = registry.start("root");
    let sig = hex::encode(key.sign(event.envelope.signed_bytes()).unwrap());
    let forged = changed(&answer.to_string(), |value| value["sig"] = sig.clone().into());
    assert!(matches!(
        let_in(&registry, &forged, "alice", None),
        Err(CeremonyError::Invitation(InvitationError::NotProved))
    ));
}

#[test]
fn invitations_and_answers_of_another_shape_are_refused() {
    let (registry, answer) = answered();
    let before = registry.files(".");
    for change in [
        (|value: &mut Value| value["mediaType"] = "application/json".into()) as fn(&mut Value),
        |value| value["more"] = 1.into(),
        |value| value["publicKey"] = "zz".into(),
        |value| value["publicKey"] = "00".into(),
        |value| value["invitation"]["person"] = "../../root".into(),
        |value| value["invitation"]["person"] = "..".into(),
        |value| value["invitation"]["person"] = "erin\nroles root".into(),
        |value| value["invitation"]["roles"] = serde_json::json!(["root targets"]),
        |value| value["invitation"]["roles"] = serde_json::json!([]),
        |value| value["invitation"]["nonce"] = "../..".into(),
        |value| value["invitation"]["expires"] = "never".into(),
        |value| value["invitation"]["repository"] = "none".into(),
        |value| value["invitation"]["text"] = "x".repeat(1001).into(),
    ] {
        let refused = let_in(&registry, &changed(&answer, change), "alice", None).unwrap_err();
        assert!(matches!(refused, CeremonyError::Invitation(InvitationError::Malformed { .. })), "{refused}");
        nothing_changed(&registry, &before);
    }
}

#[test]
fn nobody_is_invited_to_what_is_not_there() {
    let registry = Registry::with_builder();
    let nowhere = RoleName::delegated("nowhere").unwrap();
    assert!(matches!(
        invited(&registry, "erin", &[nowhere]),
        Err(CeremonyError::Repository(RepositoryError::UnknownRole { .. }))
    ));
    for person in ["", ".erin", "er in", "-erin", &"e".repeat(65)] {
        assert!(matches!(
            invited(&registry, person, &[RoleName::Root]),
            Err(CeremonyError::Invitation(InvitationError::Malformed { .. }))
        ));
    }
    assert!(!registry.path("invitations").exists());
    let expires = registry.now + chrono::Duration::days(1);
    let refused = invite(&registry.copy(), &registry.signed(), "erin", &[RoleName::Root], ("mallory", None), expires);
    assert!(matches!(refused, Err(CeremonyError::Invitation(InvitationError::NotAVoucher { .. }))));
}

#[test]
fn junk_among_the_invitations_stops_no_event() {
    let (registry, answer) = answered();
    let_in(&registry, &answer, "alice", None).unwrap();
    registry.write("invitations/junk", "{");
    registry.write("invitations/erin/junk.answer.json", &"x".repeat(100_000));
    registry.write("invitations/mallory/deep/down/x.answer.json", &answer);
    assert_eq!(
        said_of_erin(&registry),
        "proof of possession verified; said to be vouched for by alice, who did not sign that"
    );
    let opened = SigningEvent::open(&registry.copy(), &"root-v2".parse().unwrap());
    assert!(opened.is_ok());
}

#[test]
fn a_key_whose_owner_is_written_like_another_key_has_proved_nothing() {
    let (registry, answer) = answered();
    let_in(&registry, &answer, "alice", Some(registry.key("alice"))).unwrap();
    registry.start("root");
    let fingerprint = hex::encode(sha256(erin().canonical_spki()));
    // A key that stands before Erin's.
    let before =
        |seed: &u8| SecretKey::ed25519_from_seed(&[*seed; 32]).unwrap().canonical_spki() < erin().canonical_spki();
    let seed = (1..=255).find(before).unwrap();
    let secret = SecretKey::ed25519_from_seed(&[seed; 32]).unwrap();
    let public = hex::encode(&secret.canonical_spki()[12..]);
    registry.edit("signing-events/root-v2/proposal.json", |text| {
        changed(&text, |document| {
            let owner = format!("erin, ed25519, SHA-256 {fingerprint}");
            let key = serde_json::json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public},
                "x-tuf-on-ci-keyowner": owner});
            document["signed"]["keys"]["ab"] = key;
            document["signed"]["roles"]["root"]["keyids"].as_array_mut().unwrap().push("ab".into());
        })
    });
    let event = registry.event("root-v2");
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let proved: Vec<&str> = review
        .changes
        .iter()
        .map(|change| change.text.as_str())
        .filter(|text| text.contains("; proof of possession verified"))
        .collect();
    assert_eq!(proved.len(), 1, "{proved:#?}");
    assert!(proved[0].starts_with(&format!("key of erin, ed25519, SHA-256 {fingerprint}: gains root;")), "{proved:#?}");
    let theirs = hex::encode(sha256(secret.canonical_spki()));
    let line = review.changes.iter().find(|change| change.text.contains(&theirs)).unwrap();
    assert!(line.text.ends_with("; NO proof of possession"), "{}", line.text);
}
