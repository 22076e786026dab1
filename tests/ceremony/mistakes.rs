//! Mistakes that must not cost anything.

use trustroot::ceremony::{AcceptedRisks, CeremonyError, EventState, SigningEvent};

use crate::support::Registry;

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
    let mut registry = Registry::new();
    let named = |registry: &Registry, name: &str| {
        let proposal = registry.propose("root").unwrap();
        SigningEvent::start(&registry.copy(), &registry.signed(), &proposal, &name.parse().unwrap()).unwrap()
    };
    let mut one = named(&registry, "one");
    registry.now += chrono::Duration::minutes(1);
    let mut other = named(&registry, "other");
    for event in [&mut one, &mut other] {
        registry.sign(event, "alice").unwrap();
        registry.sign(event, "bob").unwrap();
    }
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
    for file in whole.keys().filter(|file| !file.starts_with("signatures")) {
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
