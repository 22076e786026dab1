//! Mistakes that must not cost anything.

use std::collections::BTreeSet;

use trustroot::ceremony::{AcceptedRisks, CeremonyError, EventState, Fate, Outlook, Rebased, SigningEvent};
use trustroot::crypto::SecretKey;

use crate::collecting::{git, has_git, try_git};
use crate::support::Registry;

fn status(registry: &Registry, event: &SigningEvent) -> trustroot::ceremony::Status {
    event.status(&registry.copy(), &registry.signed()).unwrap()
}

fn named(registry: &Registry, role: &str, name: &str) -> SigningEvent {
    let proposal = registry.propose(role).unwrap();
    SigningEvent::start(&registry.copy(), &registry.signed(), &proposal, &name.parse().unwrap()).unwrap()
}

/// A registry with two events for its first root, `one` and `other`, each signed by alice and bob.
fn two_events() -> (Registry, SigningEvent, SigningEvent) {
    let mut registry = Registry::new();
    let mut one = named(&registry, "root", "one");
    registry.now += chrono::Duration::minutes(1);
    let mut other = named(&registry, "root", "other");
    for event in [&mut one, &mut other] {
        registry.sign(event, "alice").unwrap();
        registry.sign(event, "bob").unwrap();
    }
    (registry, one, other)
}

fn accept(digest: &str) -> AcceptedRisks {
    let mut accepted = AcceptedRisks::default();
    accepted.siblings.push(digest.to_owned());
    accepted
}

fn rebase(registry: &Registry, name: &str) -> Result<Rebased, CeremonyError> {
    SigningEvent::rebase(&registry.copy(), &registry.signed(), &name.parse().unwrap(), registry.now)
}

fn moved(rebased: &Rebased) -> Vec<String> {
    let moved = rebased.moved.as_ref().unwrap();
    moved.iter().map(|change| format!("{} {}", change.mark.sign(), change.text)).collect()
}

#[test]
fn a_withdrawn_proposal_is_not_finished_and_not_forgotten() {
    let mut registry = Registry::new();
    let mut wrong = registry.start("root");
    registry.sign(&mut wrong, "alice").unwrap();
    registry.sign(&mut wrong, "bob").unwrap();
    wrong.withdraw("the wrong \u{1b}key", registry.now).unwrap();
    wrong.withdraw("again", registry.now).unwrap();
    let event = registry.event("root-v1");
    assert_eq!(event.withdrawn.len(), 1);
    assert_eq!(event.status(&registry.copy(), &registry.signed()).unwrap().state, EventState::Withdrawn);
    assert!(matches!(registry.finish(&event), Err(CeremonyError::Withdrawn { .. })));
    assert!(registry.signed().root().is_none());

    // What comes next is open, and shows what was signed before: it met its threshold.
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("root");
    let status = event.status(&registry.copy(), &registry.signed()).unwrap();
    assert_eq!(status.state, EventState::Open);
    assert_eq!(status.siblings[0].digest, hex::encode(wrong.digest()));
    assert!(status.siblings[0].counts[0].met());
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "carol").unwrap();
    let Err(CeremonyError::Sibling { digest, .. }) = registry.finish(&event) else { panic!("forgotten") };
    let mut accepted = AcceptedRisks::default();
    accepted.siblings.push(digest);
    event.finish(&registry.copy(), &registry.signed(), registry.now, &accepted).unwrap();
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);
}

#[test]
fn a_withdrawal_needs_a_reason_and_junk_withdraws_nothing() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    for reason in ["", "  ", &"x".repeat(1001)] {
        assert!(event.withdraw(reason, registry.now).is_err());
    }
    let digest = hex::encode(event.digest());
    for (file, text) in [
        ("junk.json", "{".to_owned()),
        ("short.json", "{\"payloadSha256\": \"00\", \"reason\": \"r\", \"at\": \"t\"}".to_owned()),
        ("more.json", format!("{{\"payloadSha256\": \"{digest}\", \"reason\": \"r\", \"at\": \"t\", \"x\": 1}}")),
    ] {
        registry.write(&format!("signing-events/root-v1/withdrawn/{file}"), &text);
    }
    assert!(registry.event("root-v1").withdrawal().is_none());
}

#[test]
fn of_two_events_over_one_role_only_one_is_finished() {
    let (registry, one, other) = two_events();
    // Either could be used for ever, so neither is finished unless the other is accepted by name.
    for event in [&one, &other] {
        assert!(matches!(registry.finish(event), Err(CeremonyError::Sibling { .. })));
    }
    assert!(registry.signed().root().is_none());
    let mut accepted = AcceptedRisks::default();
    accepted.siblings.push(hex::encode(other.digest()));
    one.finish(&registry.copy(), &registry.signed(), registry.now, &accepted).unwrap();
    let status = other.status(&registry.copy(), &registry.signed()).unwrap();
    assert_eq!(status.state, EventState::Superseded);
    assert!(matches!(registry.finish(&other), Err(CeremonyError::Superseded { .. })));
}

#[test]
fn a_start_that_was_interrupted_anywhere_is_mended_by_the_next_one() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write("targets/tool.tar", "a tool\n");
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    let whole = registry.files("signing-events/targets-v2");
    for file in whole.keys().filter(|file| !file.starts_with("signatures") && !file.starts_with("proposed")) {
        std::fs::remove_file(registry.path("signing-events/targets-v2").join(file)).unwrap();
        // As it is, nothing can be signed that is not what it seems.
        let opened = SigningEvent::open(&registry.copy(), &event.name);
        assert!(opened.is_err(), "{}", file.display());
        assert_eq!(registry.start("targets").digest(), event.digest());
        assert_eq!(registry.files("signing-events/targets-v2"), whole, "{}", file.display());
    }
    // A signature survives all that.
    let mut event = registry.event("targets-v2");
    registry.sign(&mut event, "carol").unwrap();
    registry.finish(&event).unwrap();
}

#[test]
fn finishing_that_was_interrupted_anywhere_is_done_by_the_next_try() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write("targets/tool.tar", "a tool\n");
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let before = registry.files("repository");
    registry.finish(&event).unwrap();
    let after = registry.files("repository");
    // The document is written last: whatever else was not, it was not either.
    let document = std::path::Path::new("2.targets.json");
    for file in after.keys().filter(|file| !before.contains_key(*file)) {
        std::fs::remove_file(registry.path("repository").join(file)).unwrap();
        let _ = std::fs::remove_file(registry.path("repository").join(document));
        assert_eq!(registry.signed().targets().unwrap().version().get(), 1);
        registry.finish(&event).unwrap();
        assert_eq!(registry.files("repository"), after, "{}", file.display());
    }
}

// ---------------------------------------------------------------------------------------------------------------
// A wrong proposal

#[test]
fn a_withdrawn_payload_that_is_completed_after_another_was_finished_is_told_of_for_ever() {
    let mut registry = Registry::new();
    let mut wrong = registry.start("root");
    registry.sign(&mut wrong, "alice").unwrap();
    // Bob signs it in a copy that comes back late.
    let mut away = wrong.clone();
    let late = registry.sign(&mut away, "bob").unwrap().remove(0);
    let signature = std::fs::read(&late).unwrap();
    std::fs::remove_file(&late).unwrap();
    wrong.withdraw("the wrong key", registry.now).unwrap();
    registry.now += chrono::Duration::days(1);
    let mut right = registry.start("root");
    registry.sign(&mut right, "alice").unwrap();
    registry.sign(&mut right, "carol").unwrap();
    let digest = hex::encode(wrong.digest());
    right.finish(&registry.copy(), &registry.signed(), registry.now, &accept(&digest)).unwrap();
    assert!(!status(&registry, &right).siblings[0].counts[0].met());
    let before = registry.files("repository");

    let collected = right.collect(&registry.signed(), &signature).unwrap();

    assert!(matches!(&collected[0].fate, Fate::Stale { payload_sha256 } if *payload_sha256 == digest), "{collected:?}");
    let found = status(&registry, &registry.event("root-v1"));
    assert_eq!(found.state, EventState::Finished);
    assert_eq!(found.siblings[0].digest, digest);
    assert!(found.siblings[0].counts[0].met(), "nobody is told that it is whole");
    assert_eq!(registry.files("repository"), before);
}

#[test]
fn the_payload_that_was_withdrawn_stays_withdrawn_when_it_is_proposed_again() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    event.withdraw("a mistake", registry.now).unwrap();
    let again = registry.start("root");
    assert_eq!(again.digest(), event.digest());
    assert_eq!(status(&registry, &again).state, EventState::Withdrawn);
    assert!(matches!(rebase(&registry, "root-v1"), Err(CeremonyError::Withdrawn { .. })));
}

// ---------------------------------------------------------------------------------------------------------------
// A key lost in the middle

fn outlook(registry: &Registry, event: &SigningEvent, lost: &[&str]) -> Outlook {
    let lost: Vec<String> = lost.iter().map(|name| (*name).to_owned()).collect();
    event.outlook(&registry.signed(), &lost).unwrap().remove(0)
}

#[test]
fn with_a_lost_key_it_is_known_who_must_sign_and_whether_that_suffices() {
    let registry = Registry::new();
    let mut event = registry.start("root");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    // Two of three: nobody in particular is needed.
    let found = outlook(&registry, &event, &[]);
    assert!(found.reachable && found.must_sign.is_empty() && found.possible == 3, "{found:?}");
    let found = outlook(&registry, &event, &["carol"]);
    assert!(found.reachable && found.possible == 2, "{found:?}");
    assert_eq!(found.must_sign, names(&["alice", "bob"]));
    let found = outlook(&registry, &event, &["carol", "bob"]);
    assert!(!found.reachable && found.possible == 1, "{found:?}");
    assert_eq!(found.lost, names(&["bob", "carol"]));
    // What a key signed before it was lost is good.
    registry.sign(&mut event, "carol").unwrap();
    let found = outlook(&registry, &event, &["carol", "bob"]);
    assert!(found.reachable && found.possible == 2, "{found:?}");
    assert_eq!((found.must_sign, found.lost), (names(&["alice"]), names(&["bob"])));
    registry.sign(&mut event, "alice").unwrap();
    assert!(outlook(&registry, &event, &["alice", "bob", "carol"]).reachable);
    registry.finish(&event).unwrap();
}

#[test]
fn one_key_under_two_keyids_is_one_key_that_can_still_sign() {
    let registry = Registry::new();
    registry.start("root");
    registry.edit("signing-events/root-v1/proposal.json", |text| {
        let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let signed = &mut document["signed"];
        let keyids: Vec<String> = signed["roles"]["root"]["keyids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|keyid| keyid.as_str().unwrap().to_owned())
            .collect();
        let key = signed["keys"][&keyids[0]].clone();
        signed["keys"]["again"] = key;
        signed["roles"]["root"]["keyids"] = serde_json::json!([keyids[0], "again"]);
        document.to_string()
    });
    let mut event = registry.event("root-v1");
    let found = outlook(&registry, &event, &[]);
    assert!(!found.reachable && found.possible == 1, "{found:?}");
    // What it signed under one of them it has signed, also when it is lost.
    let holder = found.must_sign.first().cloned().unwrap_or_else(|| {
        let people = event.people(&registry.signed()).unwrap();
        people.into_iter().find(|person| registry.sign(&mut event.clone(), person).is_ok()).unwrap()
    });
    registry.sign(&mut event, &holder).unwrap();
    for left in ["again", ""] {
        let mut event = registry.event("root-v1");
        event.signatures.retain(|filed| (filed.keyid == "again") == (left == "again"));
        assert_eq!(event.signatures.len(), 1);
        let found = outlook(&registry, &event, &[&holder]);
        assert!(found.possible == 1 && found.lost.is_empty(), "{found:?}");
    }
}

#[test]
fn who_is_replaced_in_the_middle_voids_what_was_signed_and_the_lost_key_need_not_agree() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("root");
    registry.sign(&mut event, "carol").unwrap();
    registry.add_key("carol", SecretKey::ed25519_from_seed(&[9; 32]).unwrap());
    let mut event = registry.start("root");
    // Her signature stays, good for the earlier payload alone.
    assert_eq!((event.signatures.len(), event.over_this_payload().count()), (1, 0));
    assert_eq!(status(&registry, &event).siblings.len(), 1);
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let mut accepted = accept(&status(&registry, &event).siblings[0].digest);
    let (copy, signed) = (registry.copy(), registry.signed());
    assert!(matches!(
        event.finish(&copy, &signed, registry.now, &accepted),
        Err(CeremonyError::OutgoingKeyMissing { .. })
    ));
    accepted.lost.push("carol".to_owned());
    event.finish(&copy, &signed, registry.now, &accepted).unwrap();
    assert_eq!(registry.signed().root().unwrap().version.get(), 2);
}

// ---------------------------------------------------------------------------------------------------------------
// Two events at once

#[test]
fn whoever_finishes_second_replaces_nothing() {
    let (registry, one, other) = two_events();
    // Both look before either writes.
    let (copy, signed) = (registry.copy(), registry.signed());
    one.finish(&copy, &signed, registry.now, &accept(&hex::encode(other.digest()))).unwrap();
    let after = registry.files("repository");
    let second = other.finish(&copy, &signed, registry.now, &accept(&hex::encode(one.digest())));
    assert!(matches!(second, Err(CeremonyError::Superseded { .. })), "{second:?}");
    assert_eq!(registry.files("repository"), after);

    // The one that was superseded goes on as the next version; its signatures do not.
    let rebased = rebase(&registry, "other").unwrap();
    assert_eq!((rebased.event.version.get(), rebased.signatures), (2, 2));
    assert_eq!(rebased.event.over_this_payload().count(), 0);
    assert_eq!(moved(&rebased)[0], "~ version: v1 -> v2");
    assert!(matches!(rebase(&registry, "one"), Err(CeremonyError::Finished { .. })));
}

#[test]
fn two_processes_that_finish_at_once_leave_one_whole_document() {
    let (registry, one, other) = two_events();
    let digests = [hex::encode(other.digest()), hex::encode(one.digest())];
    for _ in 0..20 {
        let _ = std::fs::remove_dir_all(registry.path("repository"));
        let (copy, signed, now) = (registry.copy(), registry.signed(), registry.now);
        let barrier = std::sync::Barrier::new(2);
        let results: Vec<bool> = std::thread::scope(|scope| {
            let run = |(event, digest): (&SigningEvent, &String)| {
                let (copy, signed, barrier, event, accepted) =
                    (copy.clone(), signed.clone(), &barrier, event.clone(), accept(digest));
                scope.spawn(move || {
                    barrier.wait();
                    event.finish(&copy, &signed, now, &accepted).is_ok()
                })
            };
            let threads = [(&one, &digests[0]), (&other, &digests[1])].map(run);
            threads.map(|thread| thread.join().unwrap()).to_vec()
        });
        // Whoever was told that it is done finds their own payload there.
        let there = std::fs::read(registry.path("repository/1.root.json")).unwrap();
        let there = trustroot::metadata::Envelope::parse(&there).unwrap();
        for (event, told) in [&one, &other].into_iter().zip(&results) {
            assert_eq!(*told, event.envelope.signed_bytes() == there.signed_bytes(), "{results:?}");
        }
        assert_eq!(registry.signed().root().unwrap().version.get(), 1);
    }
}

#[test]
fn two_branches_that_started_the_same_event_are_mended_by_starting_it_again() {
    if !has_git() {
        return;
    }
    let mut registry = Registry::with_builder();
    let here = registry.path("");
    git(&here, &["init", "-q", "-b", "main"]);
    git(&here, &["add", "."]);
    git(&here, &["commit", "-q", "-m", "as it is"]);
    let mut digests = Vec::new();
    for (branch, signer) in [("one", "alice"), ("other", "bob")] {
        git(&here, &["checkout", "-q", "-b", branch, "main"]);
        registry.now += chrono::Duration::minutes(1);
        registry.write("targets/tool.tar", branch);
        let mut event = registry.start("targets");
        registry.sign(&mut event, signer).unwrap();
        digests.push(hex::encode(event.digest()));
        git(&here, &["add", "."]);
        git(&here, &["commit", "-q", "-m", branch]);
    }
    let (merged, said) = try_git(&here, &["merge", "-q", "-m", "both", "one"]);
    assert!(!merged && said.contains("proposal.json"), "{said}");
    let opened = SigningEvent::open(&registry.copy(), &"targets-v2".parse().unwrap());
    assert!(matches!(&opened, Err(CeremonyError::Undecided { .. })), "{opened:?}");

    // What is proposed is decided anew. Nothing that somebody signed is lost, or counts for something else.
    registry.write("targets/tool.tar", "what both agree on");
    registry.now += chrono::Duration::minutes(1);
    let mut event = registry.start("targets");
    let siblings: Vec<String> = status(&registry, &event).siblings.into_iter().map(|one| one.digest).collect();
    assert_eq!(siblings.iter().collect::<BTreeSet<_>>(), digests.iter().collect());
    assert_eq!((event.signatures.len(), event.over_this_payload().count()), (2, 0));
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "carol").unwrap();
    let mut accepted = AcceptedRisks::default();
    accepted.siblings = digests;
    event.finish(&registry.copy(), &registry.signed(), registry.now, &accepted).unwrap();
}

#[test]
fn two_branches_that_gave_one_name_to_two_roles_are_mended_by_starting_either() {
    let registry = Registry::with_builder();
    named(&registry, "targets", "friday");
    let conflict = "<<<<<<< HEAD\n{\"role\": \"root\"}\n=======\n{\"role\": \"targets\"}\n>>>>>>> friday\n";
    registry.write("signing-events/friday/event.json", conflict);
    let opened = SigningEvent::open(&registry.copy(), &"friday".parse().unwrap()).unwrap_err().to_string();
    assert!(opened.contains("`event.json` holds the conflict of a merge"), "{opened}");
    assert_eq!(named(&registry, "root", "friday").role.as_str(), "root");
}

// ---------------------------------------------------------------------------------------------------------------
// The ground moves

#[test]
fn what_did_not_move_keeps_its_signatures() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    let before = registry.files("signing-events");
    // The online job publishes, every day.
    for _ in 0..10 {
        registry.now += chrono::Duration::days(1);
        registry.publish().unwrap();
    }
    let rebased = rebase(&registry, "targets-v2").unwrap();
    assert!(rebased.moved.is_none(), "{:?}", rebased.moved);
    assert_eq!((rebased.signatures, registry.files("signing-events")), (1, before));
    registry.sign(&mut event, "bob").unwrap();
    registry.finish(&event).unwrap();
    registry.publish().unwrap();
}

#[test]
fn a_namespace_that_signs_meanwhile_moves_the_catalog() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    let rebased = rebase(&registry, "targets-v2").unwrap();
    let lines = moved(&rebased);
    let expected =
        "~   namespace oppy: oldest version of its role that clients take: 1 -> 2 (.namespaces[oppy].minVersion)";
    let alike = |line: &&String| line.starts_with(expected.split(" (").next().unwrap());
    assert_eq!(lines.iter().filter(alike).count(), 1, "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("expires")), "{lines:#?}");
    // Her signature is over what was proposed before: it is kept, and told of.
    assert_eq!((rebased.event.over_this_payload().count(), rebased.event.signatures.len()), (0, 1));
    assert_eq!(status(&registry, &rebased.event).siblings[0].digest, hex::encode(event.digest()));
    // Once more, and nothing has moved.
    assert!(rebase(&registry, "targets-v2").unwrap().moved.is_none());
}

#[test]
fn a_root_that_is_finished_meanwhile_changes_who_counts_and_not_what_was_signed() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("targets");
    registry.sign(&mut event, "carol").unwrap();
    registry.add_person("dora");
    registry.edit("trustroot.toml", |text| {
        text.replacen(
            "[roles.targets]\nsigners = [\"alice\", \"bob\", \"carol\"]",
            "[people.dora]\nkeys = [\"keys/dora.pub\"]\n[roles.targets]\nsigners = [\"alice\", \"bob\", \"dora\"]",
            1,
        )
    });
    registry.hold("root", &["alice", "bob"]).unwrap();
    let rebased = rebase(&registry, "targets-v2").unwrap();
    assert!(rebased.moved.is_none() && rebased.signatures == 1, "{rebased:?}");
    // It stays, and the new root does not know her.
    let counts = rebased.event.counts(&registry.signed()).unwrap();
    assert_eq!((counts[0].by.as_str(), counts[0].tally.counted), ("root v2", 0));
    assert_eq!(status(&registry, &event).uncounted[0].why, "by a key that may not sign");
}

#[test]
fn a_root_that_ends_before_what_was_proposed_gives_it_another_expiry() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(140);
    registry.edit("trustroot.toml", |text| text.replacen("expires-after-days = 365", "expires-after-days = 181", 1));
    let mut root = registry.start("root");
    for person in ["alice", "bob"] {
        registry.sign(&mut root, person).unwrap();
    }
    registry.now += chrono::Duration::days(10);
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    registry.finish(&root).unwrap();
    assert!(event.has_moved(&registry.copy(), &registry.signed(), registry.now).unwrap());
    let rebased = rebase(&registry, "targets-v2").unwrap();
    assert!(moved(&rebased)[0].starts_with("~ expires: "), "{:?}", moved(&rebased));
    assert_eq!((rebased.signatures, rebased.event.over_this_payload().count()), (1, 0));
    let review = rebased.event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert_eq!(review.problems, Vec::<String>::new());
}

#[test]
fn an_edit_of_the_configuration_is_told_and_makes_another_payload() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    assert!(!event.has_moved(&registry.copy(), &registry.signed(), registry.now).unwrap());
    registry.edit("trustroot.toml", |text| text.replacen("threshold = 2", "threshold = 3", 1));
    assert!(event.has_moved(&registry.copy(), &registry.signed(), registry.now).unwrap());
    let rebased = rebase(&registry, "root-v2").unwrap();
    assert_eq!(moved(&rebased), ["~ root: 2 of 3 -> 3 of 3 keys must sign"]);
    assert_eq!(rebased.event.over_this_payload().count(), 0);
}

#[test]
fn a_rebase_mends_an_event_whose_start_was_interrupted_and_keeps_its_signatures() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write("targets/tool.tar", "a tool");
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    let whole = registry.files("signing-events");
    std::fs::remove_file(registry.path("signing-events/targets-v2/targets/tool.tar")).unwrap();
    assert!(SigningEvent::open(&registry.copy(), &event.name).is_err());
    let rebased = rebase(&registry, "targets-v2").unwrap();
    assert!(rebased.moved.is_none() && rebased.signatures == 1, "{rebased:?}");
    assert_eq!(registry.files("signing-events"), whole);
}

#[test]
fn what_expired_while_it_was_collected_is_proposed_anew_without_its_signatures() {
    let mut registry = Registry::with_builder();
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    let before = registry.files("repository");
    registry.now += chrono::Duration::days(181);
    assert!(matches!(registry.finish(&event), Err(CeremonyError::BreaksRules { .. })));
    assert_eq!(registry.files("repository"), before);
    let rebased = rebase(&registry, "targets-v2").unwrap();
    assert!(moved(&rebased)[0].starts_with("~ expires: "), "{:?}", moved(&rebased));
    assert_eq!((rebased.signatures, rebased.event.over_this_payload().count()), (2, 0));
}

// ---------------------------------------------------------------------------------------------------------------
// A namespace that is gone

#[test]
fn an_event_of_a_namespace_that_is_gone_says_so_and_can_be_withdrawn() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start("oppy");
    registry.sign(&mut event, "oppy-dev").unwrap();
    registry.edit("trustroot.toml", |text| text[..text.find("[namespaces.oppy]").unwrap()].to_owned());
    registry.hold("targets", &["alice", "bob"]).unwrap();
    let mut event = registry.event("oppy-v2");
    let error = event.status(&registry.copy(), &registry.signed()).unwrap_err();
    assert_eq!(error.to_string(), "oppy is no longer delegated to by targets v2: nobody can sign for it");
    assert!(matches!(registry.finish(&event), Err(CeremonyError::NoLongerDelegated { .. })));
    event.withdraw("the namespace is gone", registry.now).unwrap();
    assert!(registry.event("oppy-v2").withdrawal().is_some());
    // Nor does it stand in the way of the others.
    registry.hold("targets", &["alice", "carol"]).unwrap();
    registry.publish().unwrap();
}
