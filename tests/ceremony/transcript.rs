//! Attacks on the transcript of a signing event, on its witnesses and on the ledger.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use trustroot::ceremony::{
    AcceptedRisks, CeremonyError, Circumstances, EventState, Fate, FiledRecord, FiledSignature, Finding, NamedDigest,
    RECORD_MEDIA_TYPE, RecordSignatures, Replay, Request, SigningEvent, may_publish,
};
use trustroot::crypto::sha256;
use trustroot::metadata::canonical_json::canonicalize;
use trustroot::metadata::{RoleName, Version};
use trustroot::trust::UpdateStart;
use trustroot::verify::dsse::pre_authentication_encoding;

use crate::support::Registry;

/// The steps as the command does them, with the record of each.
trait Recorded {
    fn with(&self) -> Circumstances;
    fn start_recorded(&self, role: &str) -> SigningEvent;
    fn sign_recorded(&self, event: &mut SigningEvent, person: &str);
    fn finish_recorded(&self, event: &SigningEvent, accepted: &AcceptedRisks);
    fn replay(&self, event: &str) -> Replay;
    fn hold_recorded(&self, role: &str) -> SigningEvent;
    fn records(&self, event: &str) -> Vec<(PathBuf, Value)>;
    fn rewrite(&self, event: &str, kind: &str, change: &dyn Fn(&mut Value)) -> String;
    fn publishable(&self, role: &str, version: u64, accepted: &AcceptedRisks) -> Result<(), CeremonyError>;
}

impl Recorded for Registry {
    fn with(&self) -> Circumstances {
        Circumstances::new(self.now, "clock", "trustroot test", Some([7; 32]))
    }

    fn start_recorded(&self, role: &str) -> SigningEvent {
        let event = self.start(role);
        event.record_proposed(&self.signed(), &self.with()).unwrap();
        event
    }

    fn sign_recorded(&self, event: &mut SigningEvent, person: &str) {
        event.sign_recorded(&self.signed(), self.key(person), RecordSignatures::Made, &self.with()).unwrap();
    }

    fn finish_recorded(&self, event: &SigningEvent, accepted: &AcceptedRisks) {
        let version = event.finish(&self.copy(), &self.signed(), self.now, accepted).unwrap();
        let bytes = self.signed().bytes(&event.role, version).unwrap();
        let mut with = self.with();
        with.outputs.push(NamedDigest::of(&event.file_name(), &bytes));
        event.record_finished(&self.signed(), accepted, &with).unwrap();
    }

    fn replay(&self, event: &str) -> Replay {
        self.event(event).replay(&self.copy(), &self.signed(), self.now).unwrap()
    }

    fn hold_recorded(&self, role: &str) -> SigningEvent {
        let mut event = self.start_recorded(role);
        self.sign_recorded(&mut event, "alice");
        self.sign_recorded(&mut event, "bob");
        self.finish_recorded(&event, &AcceptedRisks::default());
        event
    }

    fn records(&self, event: &str) -> Vec<(PathBuf, Value)> {
        let below = format!("signing-events/{event}/records");
        let read =
            |(path, bytes): (PathBuf, Vec<u8>)| (self.path(&below).join(path), serde_json::from_slice(&bytes).unwrap());
        self.files(&below).into_iter().map(read).collect()
    }

    /// Changes the first record of a kind, and names it after its new content.
    fn rewrite(&self, event: &str, kind: &str, change: &dyn Fn(&mut Value)) -> String {
        let mut records = self.records(event).into_iter();
        let (path, mut value) = records.find(|(_, value)| value["record"]["kind"] == kind).unwrap();
        std::fs::remove_file(path).unwrap();
        change(&mut value);
        put(self, event, &value)
    }

    fn publishable(&self, role: &str, version: u64, accepted: &AcceptedRisks) -> Result<(), CeremonyError> {
        let role = if role == "root" { RoleName::Root } else { RoleName::Targets };
        let documents = [(role, Version::new(version).unwrap())];
        may_publish(&self.copy(), &self.signed(), &documents, accepted).map(drop)
    }
}

/// Puts a record into an event, under its proper name.
fn put(registry: &Registry, event: &str, value: &Value) -> String {
    let bytes = canonicalize(value.to_string().as_bytes()).unwrap();
    let digest = hex::encode(sha256(&bytes));
    let text = String::from_utf8(bytes).unwrap();
    registry.write(&format!("signing-events/{event}/records/{digest}.json"), &text);
    digest
}

/// Whoever witnesses.
fn witnessed_by_walter(registry: &mut Registry) {
    registry.add_person("walter");
    registry.edit("trustroot.toml", |text| {
        format!("{text}\n[people.walter]\nkeys = [\"keys/walter.pub\"]\n\n[ceremony]\nwitnesses = [\"walter\"]\n")
    });
}

fn minute(registry: &mut Registry) {
    registry.now += chrono::Duration::minutes(1);
}

#[test]
fn a_ceremony_is_replayed_from_its_files_alone() {
    let mut registry = Registry::new();
    let mut event = registry.start_recorded("root");
    minute(&mut registry);
    registry.sign_recorded(&mut event, "alice");
    minute(&mut registry);
    registry.sign_recorded(&mut event, "bob");
    minute(&mut registry);
    registry.finish_recorded(&event, &AcceptedRisks::default());
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, []);
    let kinds: Vec<&str> = replay.steps.iter().map(|step| step.record.kind.as_str()).collect();
    assert_eq!(kinds, ["propose", "sign", "sign", "finish"]);
    let alice = replay.steps[1].signed_by.as_ref().unwrap();
    assert!(alice.starts_with("alice ("), "{alice}");
    assert_eq!(replay.steps[0].vouched_by.len(), 2, "both signed records that follow it");
    assert!(replay.steps[3].vouched_by.is_empty());
    assert_eq!(replay.steps[1].record.tallies[0].counted, 1);
    assert_eq!(replay.steps[2].record.tallies[0].counted, 2);
    assert_eq!((replay.deviations.len(), replay.notes.len(), replay.tips.len()), (0, 0, 1));
    assert_eq!(replay.ledger[0].state, EventState::Finished);
    assert!(replay.witnessed.is_none());
    // Doing every step again adds nothing.
    let before = registry.files("signing-events");
    registry.sign_recorded(&mut event, "alice");
    registry.finish_recorded(&event, &AcceptedRisks::default());
    event.record_proposed(&registry.signed(), &registry.with()).unwrap();
    event.record_collected(&registry.signed(), &BTreeSet::new(), &registry.with()).unwrap();
    assert_eq!(registry.files("signing-events").len(), before.len() + 1, "what was collected is a step");
}

#[test]
fn a_record_that_was_altered_is_no_record() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    let (path, _) =
        registry.records("root-v1").into_iter().find(|(_, value)| value["record"]["kind"] == "sign").unwrap();
    let text = std::fs::read_to_string(&path).unwrap().replace("2026-03-01", "2026-02-01");
    trustroot::client::write_durably(&path, text.as_bytes()).unwrap();
    let findings = registry.replay("root-v1").findings;
    let unnamed = |finding: &Finding| matches!(finding, Finding::Unreadable { problem, .. } if problem == "it is not named after its content");
    assert!(findings.iter().any(unnamed), "{findings:?}");
    // What counts is the signatures, whatever the transcript says.
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);
}

#[test]
fn a_signers_record_that_was_altered_and_renamed_is_not_theirs() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    registry.rewrite("root-v1", "sign", &|value| value["record"]["warnings"] = serde_json::json!(["all is well"]));
    let findings = registry.replay("root-v1").findings;
    assert!(findings.iter().any(|finding| matches!(finding, Finding::BadSignature { .. })), "{findings:?}");
    assert!(findings.iter().any(|finding| matches!(finding, Finding::Silent { .. })), "{findings:?}");
}

#[test]
fn a_record_that_was_dropped_is_missed_by_those_that_follow_it() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    let records = registry.records("root-v1");
    for (path, value) in records.iter().filter(|(_, value)| value["record"]["kind"] != "finish") {
        let text = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        let findings = registry.replay("root-v1").findings;
        assert!(findings.iter().any(|finding| matches!(finding, Finding::Missing { .. })), "{value}");
        trustroot::client::write_durably(path, &text).unwrap();
    }
    assert_eq!(registry.replay("root-v1").findings, []);
}

#[test]
fn the_last_record_cannot_be_dropped_while_what_it_tells_of_lies_there() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    let drop_tip = |untold: &str| {
        let tip = registry.replay("root-v1").tips.pop_first().unwrap();
        let path = registry.path(&format!("signing-events/root-v1/records/{tip}.json"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let findings: Vec<String> = registry.replay("root-v1").findings.iter().map(ToString::to_string).collect();
        assert!(findings.iter().any(|finding| finding.contains(untold)), "{untold}: {findings:?}");
        trustroot::client::write_durably(&path, &bytes).unwrap();
    };
    drop_tip("no record tells of the signature of alice");
    registry.sign_recorded(&mut event, "bob");
    registry.finish_recorded(&event, &AcceptedRisks::default());
    drop_tip("no record tells of its finish");
    let mut other = registry.start_recorded("root");
    other.withdraw("a mistake", registry.now).unwrap();
    other.record_withdrawn(&registry.signed(), &registry.with()).unwrap();
    let tip = registry.replay("root-v2").tips.pop_first().unwrap();
    std::fs::remove_file(registry.path(&format!("signing-events/root-v2/records/{tip}.json"))).unwrap();
    let findings: Vec<String> = registry.replay("root-v2").findings.iter().map(ToString::to_string).collect();
    assert!(findings[0].contains("no record tells of the withdrawal"), "{findings:?}");
}

#[test]
fn without_any_record_there_is_no_transcript_and_nothing_is_called_verified() {
    let registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, [Finding::NoTranscript]);
    // Publishing does not make one of it.
    let event = registry.event("root-v1");
    event.record_published(&registry.signed(), &AcceptedRisks::default(), &registry.with()).unwrap();
    assert_eq!(registry.replay("root-v1").findings, [Finding::NoTranscript]);
    assert_eq!(replay.ledger[0].counts[0].tally.counted, 2, "the ledger is there all the same");
}

#[test]
fn an_end_that_somebody_forged_is_vouched_for_by_nobody_and_voids_the_witness() {
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    let event = registry.hold_recorded("root");
    event.witness(&registry.signed(), registry.key("walter"), &registry.with()).unwrap();
    registry.publishable("root", 1, &AcceptedRisks::default()).unwrap();
    let tip = registry.replay("root-v1").tips.pop_first().unwrap();
    let mut forged = registry.records("root-v1")[0].1.clone();
    forged["signatures"] = serde_json::json!([]);
    forged["record"]["kind"] = "collect".into();
    forged["record"]["follows"] = serde_json::json!([tip]);
    let forged = put(&registry, "root-v1", &forged);
    let replay = registry.replay("root-v1");
    let step = replay.steps.iter().find(|step| step.digest == forged).unwrap();
    assert!(step.signed_by.is_none() && step.vouched_by.is_empty());
    let witnessed = replay.witnessed.unwrap();
    assert!(!witnessed.met());
    assert_eq!(witnessed.early[0].0, "walter");
    let refused = registry.publishable("root", 1, &AcceptedRisks::default());
    assert!(matches!(refused, Err(CeremonyError::NotWitnessed { counted: 0, needed: 1, after: 1, .. })));
}

#[test]
fn a_record_of_another_repository_or_event_does_not_belong_here() {
    let mut registry = Registry::new();
    registry.hold_recorded("root");
    minute(&mut registry);
    registry.start_recorded("root");
    // The same people, keys and versions, elsewhere.
    let mut staging = Registry::new();
    minute(&mut staging);
    staging.hold_recorded("root");
    minute(&mut staging);
    let mut theirs = staging.start_recorded("root");
    staging.sign_recorded(&mut theirs, "alice");
    let alien = staging.records("root-v2").into_iter().find(|(_, value)| value["record"]["kind"] == "sign").unwrap();
    put(&registry, "root-v2", &alien.1);
    let findings = registry.replay("root-v2").findings;
    let other = |what: &str| {
        let belongs = |finding: &&Finding| matches!(finding, Finding::Foreign { problem, .. } if problem == what);
        findings.iter().filter(belongs).count()
    };
    assert_eq!(other("it is of another repository"), 1, "{findings:?}");
    // A record of the event before, moved into this one.
    let before = registry.records("root-v1").remove(0);
    put(&registry, "root-v2", &before.1);
    let findings = registry.replay("root-v2").findings;
    let belongs =
        |finding: &Finding| matches!(finding, Finding::Foreign { problem, .. } if problem == "it is of another event");
    assert!(findings.iter().any(belongs), "{findings:?}");
    assert!(registry.event("root-v2").signatures.is_empty());
    // Nor is it collected.
    let mut event = registry.event("root-v2");
    let bytes = before.1.to_string();
    let fate = event.collect(&registry.signed(), bytes.as_bytes()).unwrap().remove(0).fate;
    assert!(matches!(fate, Fate::Unusable(why) if why.contains("another event")));
}

#[test]
fn a_signers_record_that_another_key_signed_is_not_theirs() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    registry.sign_recorded(&mut event, "bob");
    let sign: Vec<Value> = registry
        .records("root-v1")
        .into_iter()
        .map(|(_, value)| value)
        .filter(|value| value["record"]["kind"] == "sign")
        .collect();
    let alice = hex::encode(sha256(registry.key("alice").canonical_spki()));
    let of = |alice_s: bool| sign.iter().find(|value| (value["record"]["key"] == *alice) == alice_s).unwrap();
    let mut swapped = of(true).clone();
    swapped["signatures"] = of(false)["signatures"].clone();
    let digest = put(&registry, "root-v1", &swapped);
    let findings = registry.replay("root-v1").findings;
    let bob = hex::encode(sha256(registry.key("bob").canonical_spki()));
    assert_eq!(findings, [Finding::BadSignature { record: digest, key: bob }]);
}

#[test]
fn a_signature_over_a_record_is_none_over_metadata_and_none_over_an_attestation() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    let (_, record) =
        registry.records("root-v1").into_iter().find(|(_, value)| value["record"]["kind"] == "sign").unwrap();
    let sig = record["signatures"][0]["sig"].as_str().unwrap().to_owned();
    // As a signature over the proposal.
    let signer = registry.event("root-v1").signatures[0].clone();
    let forged = serde_json::json!({
        "payloadSha256": signer.payload_sha256, "keyid": signer.keyid, "sig": sig,
    });
    let fate = event.collect(&registry.signed(), forged.to_string().as_bytes()).unwrap().remove(0).fate;
    assert_eq!(fate, Fate::Uncounted("not valid"));
    // The record itself as metadata: its encoding begins as no metadata does, and its type is no role's.
    let document = serde_json::json!({"signed": record["record"], "signatures": [{"keyid": signer.keyid, "sig": sig}]});
    let fate = event.collect(&registry.signed(), document.to_string().as_bytes()).unwrap().remove(0).fate;
    assert!(matches!(fate, Fate::Unusable(_)), "{fate:?}");
    let key = registry.key("alice").public().clone();
    let key = trustroot::crypto::VerifyingKey::from_metadata(&key).unwrap();
    let (canonical, sig) = (record["record"].to_string(), hex::decode(sig).unwrap());
    assert!(key.verifies(&pre_authentication_encoding(RECORD_MEDIA_TYPE, canonical.as_bytes()), &sig));
    assert!(!key.verifies(canonical.as_bytes(), &sig));
    assert!(!key.verifies(&pre_authentication_encoding("application/vnd.in-toto+json", canonical.as_bytes()), &sig));
}

#[test]
fn a_signature_over_metadata_or_an_attestation_signs_no_record() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    // What alice signed as metadata, and what she might sign elsewhere, in the place of the signature of her record.
    let filed = registry.event("root-v1").signatures[0].sig.clone();
    let (_, record) =
        registry.records("root-v1").into_iter().find(|(_, value)| value["record"]["kind"] == "sign").unwrap();
    let canonical = record["record"].to_string();
    let plain = hex::encode(registry.key("alice").sign(canonical.as_bytes()).unwrap());
    let attested = pre_authentication_encoding("application/vnd.in-toto+json", canonical.as_bytes());
    let attested = hex::encode(registry.key("alice").sign(&attested).unwrap());
    for sig in [filed, plain, attested] {
        let mut forged = record.clone();
        forged["signatures"][0]["sig"] = sig.into();
        let forged = put(&registry, "root-v1", &forged);
        let findings = registry.replay("root-v1").findings;
        let named = |finding: &Finding| matches!(finding, Finding::BadSignature { record, .. } if *record == forged);
        assert!(findings.iter().any(named), "{findings:?}");
        std::fs::remove_file(registry.path(&format!("signing-events/root-v1/records/{forged}.json"))).unwrap();
    }
    assert_eq!(registry.replay("root-v1").findings, []);
}

#[test]
fn a_signers_record_that_lost_its_signature_is_missed() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    let bare = registry.rewrite("root-v1", "sign", &|value| value["signatures"] = serde_json::json!([]));
    let findings = registry.replay("root-v1").findings;
    assert!(findings.contains(&Finding::Unsigned { record: bare }), "{findings:?}");
    assert!(findings.iter().any(|finding| matches!(finding, Finding::Silent { who, .. } if who.starts_with("alice"))));
}

#[test]
fn a_record_that_was_not_signed_on_purpose_is_a_deviation_that_the_transcript_names() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    let (signed, with) = (registry.signed(), registry.with());
    event.sign_recorded(&signed, registry.key("alice"), RecordSignatures::LeftOut, &with).unwrap();
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, []);
    assert!(replay.deviations[0].contains("the signer alice ("), "{:?}", replay.deviations);
    assert!(replay.deviations[0].ends_with("did not sign its record"));
    assert!(replay.steps.iter().all(|step| step.signed_by.is_none()));
}

#[test]
fn counts_that_do_not_come_out_again_are_said() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    let forged = registry.rewrite("root-v1", "finish", &|value| {
        value["record"]["tallies"][0]["counted"] = 3.into();
    });
    let findings = registry.replay("root-v1").findings;
    let under = "root v1 (proposed)".to_owned();
    let expected = Finding::OtherTally { record: forged, under, said: 3, found: Some(2) };
    assert_eq!(findings, [expected]);
    // By rules that nobody made.
    registry.rewrite("root-v1", "finish", &|value| {
        value["record"]["tallies"][0]["counted"] = 2.into();
        value["record"]["tallies"][0]["under"] = "root v0\u{9b}2J".into();
    });
    let findings = registry.replay("root-v1").findings;
    assert!(matches!(findings[..], [Finding::OtherTally { found: None, .. }]), "{findings:?}");
    assert!(!findings[0].to_string().contains('\u{9b}'));
}

#[test]
fn a_signature_that_went_away_is_missed() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    let signatures = registry.files("signing-events/root-v1/signatures");
    let first = registry.path("signing-events/root-v1/signatures").join(signatures.keys().next().unwrap());
    std::fs::remove_file(first).unwrap();
    let findings = registry.replay("root-v1").findings;
    assert!(findings.iter().any(|finding| matches!(finding, Finding::SignatureGone { .. })), "{findings:?}");
    assert!(findings.iter().any(|finding| matches!(finding, Finding::OtherTally { said: 2, found: Some(1), .. })));
}

#[test]
fn a_document_that_was_exchanged_after_it_was_finished_is_noticed() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    // White space is not signed, so it verifies as it did.
    registry.edit("repository/1.root.json", |text| format!("{text}\n"));
    let findings = registry.replay("root-v1").findings;
    assert!(matches!(&findings[..], [Finding::OtherDocument { file, .. }] if file == "1.root.json"), "{findings:?}");
}

#[test]
fn a_clock_that_is_wrong_is_noted_and_spoils_nothing() {
    let mut registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.now -= chrono::Duration::days(2);
    registry.sign_recorded(&mut event, "alice");
    registry.now += chrono::Duration::days(1);
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, []);
    assert!(replay.notes.iter().any(|note| note.starts_with("a clock was wrong: ")), "{:?}", replay.notes);
    assert!(replay.notes.iter().any(|note| note.ends_with("which is yet to come")), "{:?}", replay.notes);
    // The order is that of what follows what, whatever the clocks say.
    assert_eq!(replay.steps[0].record.kind, "propose");
}

#[test]
fn what_a_record_says_cannot_draw_on_the_terminal() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    let evil = "\u{9b}2J\u{202e}\u{7f}all verified";
    registry.rewrite("root-v1", "finish", &|value| {
        value["record"]["kind"] = evil.into();
        value["record"]["at"] = evil.into();
        value["record"]["deviations"] = serde_json::json!([
            {"kind": evil, "value": evil},
            {"kind": "lost", "value": evil},
            {"kind": "no-record", "value": evil},
        ]);
    });
    registry.write(&format!("signing-events/root-v1/records/{}.json", "\u{202e}x"), "{}");
    // Canonical JSON would have it as it is, which no reader takes: so no record has one.
    registry.write(&format!("signing-events/root-v1/records/{}.json", "12".repeat(32)), "{\"a\":\"\u{1b}[2J\"}");
    let mut event = registry.start_recorded("root");
    event.withdraw("a \u{1b}[2Jmistake\n", registry.now).unwrap();
    event.record_withdrawn(&registry.signed(), &registry.with()).unwrap();
    let replay = registry.replay("root-v2");
    assert_eq!(replay.findings, []);
    assert_eq!(replay.steps[1].record.reason.as_deref(), Some("a \\u{1b}[2Jmistake\\n"));
    let replay = registry.replay("root-v1");
    let findings = replay.findings.iter().map(ToString::to_string);
    for line in findings.chain(replay.notes).chain(replay.deviations) {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
    }
}

#[test]
fn a_hundred_thousand_records_are_not_read() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    let directory = registry.path("signing-events/root-v1/records");
    for number in 0..100_000_u32 {
        std::fs::File::create(directory.join(format!("{number:064}.json"))).unwrap();
    }
    let replay = registry.replay("root-v1");
    let unread = replay.findings.iter().find_map(|finding| match finding {
        Finding::TooMany { unread } => Some(*unread),
        _ => None,
    });
    assert_eq!(unread, Some(98_004));
    // An emergency is not stopped by that: it can be recorded, signed and finished.
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    registry.sign_recorded(&mut event, "carol");
    registry.finish_recorded(&event, &AcceptedRisks::default());
    assert_eq!(registry.signed().root().unwrap().version.get(), 2);
}

#[test]
fn a_record_that_follows_itself_or_is_too_long_is_no_record() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    let mut own = registry.records("root-v1").remove(0).1;
    let name = "ab".repeat(32);
    own["record"]["follows"] = serde_json::json!([name]);
    registry.write(&format!("signing-events/root-v1/records/{name}.json"), &own.to_string());
    let mut long = registry.records("root-v1").remove(0).1;
    long["record"]["more"] = "x".repeat(300_000).into();
    put(&registry, "root-v1", &long);
    let unreadable: Vec<Finding> = registry.replay("root-v1").findings;
    assert_eq!(unreadable.len(), 2, "{unreadable:?}");
    assert!(unreadable.iter().all(|finding| matches!(finding, Finding::Unreadable { .. })));
}

#[test]
fn records_of_kinds_and_with_fields_that_are_not_known_are_kept_and_followed() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    let mut newer = registry.records("root-v1").remove(0).1;
    newer["record"]["kind"] = "telepathy".into();
    newer["record"]["certainty"] = serde_json::json!({"percent": 12});
    newer["record"]["follows"] = serde_json::json!(registry.replay("root-v1").tips);
    let newer = put(&registry, "root-v1", &newer);
    registry.sign_recorded(&mut event, "alice");
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, []);
    assert!(replay.notes.iter().any(|note| note.ends_with("not known here: telepathy")));
    let signed = replay.steps.iter().find(|step| step.record.kind == "sign").unwrap();
    assert_eq!(signed.record.follows, BTreeSet::from([newer]));
}

#[test]
fn a_witness_who_signed_before_the_last_step_has_not_witnessed_it() {
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    registry.sign_recorded(&mut event, "bob");
    let accepted = AcceptedRisks::default();
    event.witness(&registry.signed(), registry.key("walter"), &registry.with()).unwrap();
    assert!(!registry.replay("root-v1").witnessed.unwrap().met(), "it is not finished yet");
    registry.finish_recorded(&event, &accepted);
    let refused = registry.publishable("root", 1, &accepted);
    assert!(matches!(refused, Err(CeremonyError::NotWitnessed { after: 1, .. })));
    event.witness(&registry.signed(), registry.key("walter"), &registry.with()).unwrap();
    registry.publishable("root", 1, &accepted).unwrap();
    // Publishing is no step that would have to be witnessed first; a signature that comes late is.
    event.record_published(&registry.signed(), &accepted, &registry.with()).unwrap();
    registry.publishable("root", 1, &accepted).unwrap();
    registry.sign_recorded(&mut event, "carol");
    let refused = registry.publishable("root", 1, &accepted);
    assert!(matches!(refused, Err(CeremonyError::NotWitnessed { .. })));
    // In an emergency people go on, by name.
    let mut alone = AcceptedRisks::default();
    alone.without_witness = Some("walter is ill".to_owned());
    registry.publishable("root", 1, &alone).unwrap();
}

#[test]
fn nobody_witnesses_whom_root_does_not_name() {
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    let event = registry.hold_recorded("root");
    let by_alice = event.witness(&registry.signed(), registry.key("alice"), &registry.with());
    assert!(matches!(by_alice, Err(CeremonyError::NotAWitness { .. })));
    // Walter's own record with another's signature, and none.
    event.witness(&registry.signed(), registry.key("walter"), &registry.with()).unwrap();
    let records = registry.records("root-v1");
    let (path, whole) = records.into_iter().find(|(_, value)| value["record"]["kind"] == "witness").unwrap();
    std::fs::remove_file(path).unwrap();
    let canonical = whole["record"].to_string();
    let message = pre_authentication_encoding(RECORD_MEDIA_TYPE, canonical.as_bytes());
    let mut by_mallory = whole.clone();
    by_mallory["signatures"][0]["sig"] = hex::encode(registry.key("carol").sign(&message).unwrap()).into();
    let mut bare = whole.clone();
    bare["signatures"] = serde_json::json!([]);
    for forged in [by_mallory, bare] {
        let forged = put(&registry, "root-v1", &forged);
        let replay = registry.replay("root-v1");
        assert_eq!(replay.findings.len(), 1, "{:?}", replay.findings);
        assert!(!replay.witnessed.unwrap().met());
        assert!(registry.publishable("root", 1, &AcceptedRisks::default()).is_err());
        std::fs::remove_file(registry.path(&format!("signing-events/root-v1/records/{forged}.json"))).unwrap();
    }
    put(&registry, "root-v1", &whole);
    registry.publishable("root", 1, &AcceptedRisks::default()).unwrap();
}

#[test]
fn a_witness_cannot_be_dropped_by_whoever_writes_to_the_working_copy() {
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    let event = registry.hold_recorded("root");
    event.witness(&registry.signed(), registry.key("walter"), &registry.with()).unwrap();
    minute(&mut registry);
    registry.edit("trustroot.toml", |text| text.replace("witnesses = [\"walter\"]", ""));
    // For targets what was signed holds on.
    registry.hold_recorded("targets");
    let refused = registry.publishable("targets", 1, &AcceptedRisks::default());
    assert!(matches!(refused, Err(CeremonyError::NotWitnessed { counted: 0, .. })));
    // The next root would drop it: everybody who signs sees that, and it is witnessed by the rules of the root before.
    let event = registry.hold_recorded("root");
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let lines: Vec<String> =
        review.changes.iter().map(|change| format!("{} {}", change.mark.sign(), change.text)).collect();
    assert!(
        lines.iter().any(|line| line.starts_with("- no longer 1 of 1 witnesses, of root and targets")),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("- key of walter, ed25519, SHA-256 ")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("x-trustroot-witnesses")), "{lines:#?}");
    assert!(matches!(
        registry.publishable("root", 2, &AcceptedRisks::default()),
        Err(CeremonyError::NotWitnessed { .. })
    ));
    // Without its event, nobody can have witnessed it.
    std::fs::remove_dir_all(registry.path("signing-events")).unwrap();
    assert!(matches!(
        registry.publishable("root", 2, &AcceptedRisks::default()),
        Err(CeremonyError::NotWitnessed { .. })
    ));
}

#[test]
fn who_signs_a_role_is_no_witness_and_every_witness_can_be_counted() {
    let registry = Registry::new();
    let refused = |text: &str| {
        registry.edit("trustroot.toml", |before| format!("{before}\n{text}\n"));
        let error = registry.propose("root").unwrap_err().to_string();
        registry.edit("trustroot.toml", |after| after.replace(text, ""));
        error
    };
    assert!(refused("[ceremony]\nwitnesses = [\"alice\"]").contains("signs root, and a witness signs no role"));
    assert!(refused("[ceremony]\nwitnesses = [\"nobody\"]").contains("not among the people"));
    assert!(refused("[ceremony]\nwitness-threshold = 1").contains("names nobody"));
    // In a proposal that somebody wrote by hand.
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    let event = registry.start("root");
    let path = format!("signing-events/{}/proposal.json", event.name);
    let alice = registry.key("alice").public().to_value();
    registry.edit(&path, |text| {
        let mut document: Value = serde_json::from_str(&text).unwrap();
        document["signed"]["x-trustroot-witnesses"]["keys"].as_array_mut().unwrap().push(alice.clone());
        document["signed"]["x-trustroot-witnesses"]["threshold"] = 9.into();
        document.to_string()
    });
    let event = registry.event("root-v1");
    let problems = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().problems;
    assert_eq!(
        problems,
        [
            "the witness nobody named has a key that signs a role",
            "9 witnesses must sign, and 2 usable keys of theirs are listed"
        ]
    );
}

#[test]
fn a_response_carries_its_record_over_the_air_gap() {
    let mut registry = Registry::new();
    registry.hold_recorded("root");
    minute(&mut registry);
    let event = registry.start_recorded("root");
    let bytes = Request::write(&event, &registry.copy(), &registry.signed(), None, registry.start_time()).unwrap();
    let request = Request::parse(&bytes, UpdateStart::at(registry.now)).unwrap();
    assert_eq!(request.follows, registry.replay("root-v2").tips);
    let mut with = registry.with();
    with.time_source = "stated";
    let respond = |person: &str, signatures| {
        let (key, follows) = (registry.key(person), &request.follows);
        request.event.respond_recorded(&request.signed, key, signatures, follows, &with).unwrap()
    };
    let mut back = registry.event("root-v2");
    let before = BTreeSet::new();
    let alice = respond("alice", RecordSignatures::Made);
    let fates: Vec<Fate> =
        back.collect(&registry.signed(), alice.to_json().as_bytes()).unwrap().into_iter().map(|one| one.fate).collect();
    assert_eq!(fates, [Fate::Filed, Fate::Recorded]);
    back.record_collected(&registry.signed(), &before, &registry.with()).unwrap();
    let replay = registry.replay("root-v2");
    assert_eq!(replay.findings, []);
    assert_eq!(replay.deviations, Vec::<String>::new());
    let sign = replay.steps.iter().find(|step| step.record.kind == "sign").unwrap();
    assert_eq!(sign.record.time_source, "stated");

    // A camera reads the signature alone: that it came without a record is named, and mended when the file arrives.
    let bob = respond("bob", RecordSignatures::Made);
    let before: BTreeSet<String> = back.signatures.iter().map(FiledSignature::digest).collect();
    let fates = back.collect(&registry.signed(), bob.to_line().as_bytes()).unwrap();
    assert_eq!(fates.len(), 1);
    back.record_collected(&registry.signed(), &before, &registry.with()).unwrap();
    let replay = registry.replay("root-v2");
    assert_eq!(replay.findings, []);
    assert!(replay.deviations[0].ends_with("came without a record"), "{:?}", replay.deviations);
    let fates = back.collect(&registry.signed(), bob.to_json().as_bytes()).unwrap();
    assert_eq!(fates.last().unwrap().fate, Fate::Recorded);
    assert_eq!(registry.replay("root-v2").findings, []);

    // A record in the response of another key is not taken for that key's.
    let mut mixed: Value = serde_json::from_str(&alice.to_json()).unwrap();
    mixed["record"]["record"]["key"] = hex::encode(sha256(registry.key("bob").canonical_spki())).into();
    back.collect(&registry.signed(), mixed.to_string().as_bytes()).unwrap();
    let findings = registry.replay("root-v2").findings;
    assert!(matches!(&findings[..], [Finding::BadSignature { .. }]), "{findings:?}");
}

#[test]
fn a_sibling_that_came_after_finishing_stops_the_publication() {
    let mut registry = Registry::new();
    let wrong = registry.start_recorded("root");
    minute(&mut registry);
    let event = registry.start_recorded("root");
    assert_ne!(wrong.digest(), event.digest());
    let mut event = event;
    registry.sign_recorded(&mut event, "alice");
    registry.sign_recorded(&mut event, "bob");
    registry.finish_recorded(&event, &AcceptedRisks::default());
    registry.publishable("root", 1, &AcceptedRisks::default()).unwrap();
    // Carol's signature over what was proposed first comes late.
    let sig = hex::encode(registry.key("carol").sign(wrong.envelope.signed_bytes()).unwrap());
    let root = registry.signed().root().unwrap().clone();
    let keyid = root.keys.iter().find(|(_, key)| key.owner() == Some("carol")).unwrap().0.as_str().to_owned();
    let filed = serde_json::json!({"payloadSha256": hex::encode(wrong.digest()), "keyid": keyid, "sig": sig});
    event.collect(&registry.signed(), filed.to_string().as_bytes()).unwrap();
    let refused = registry.publishable("root", 1, &AcceptedRisks::default());
    let Err(CeremonyError::Sibling { digest, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(digest, hex::encode(wrong.digest()));
    let mut accepted = AcceptedRisks::default();
    accepted.siblings.push(digest.clone());
    registry.publishable("root", 1, &accepted).unwrap();
    // The transcript does not know where it came from; the ledger shows it.
    let replay = registry.replay("root-v1");
    let entry = replay.ledger.iter().find(|entry| entry.digest == digest).unwrap();
    assert!(!entry.proposed && entry.counts[0].tally.counted == 1);
    assert!(replay.findings.iter().any(|finding| finding.to_string().contains("carol")), "{:?}", replay.findings);
}

#[test]
fn a_sibling_in_any_event_is_shown_to_whoever_signs() {
    let mut registry = Registry::new();
    let mut first = registry.start_recorded("root");
    registry.sign_recorded(&mut first, "alice");
    first.withdraw("wrong", registry.now).unwrap();
    std::fs::rename(registry.path("signing-events/root-v1"), registry.path("signing-events/old")).unwrap();
    minute(&mut registry);
    let mut event = registry.start_recorded("root");
    let siblings = event.status(&registry.copy(), &registry.signed()).unwrap().siblings;
    assert_eq!((siblings[0].event.as_str(), siblings[0].counts[0].tally.counted), ("old", 1));
    // Also after the version was finished.
    let mut accepted = AcceptedRisks::default();
    accepted.siblings.push(siblings[0].digest.clone());
    registry.sign_recorded(&mut event, "bob");
    registry.sign_recorded(&mut event, "carol");
    registry.finish_recorded(&event, &accepted);
    let siblings = event.status(&registry.copy(), &registry.signed()).unwrap().siblings;
    assert_eq!(siblings[0].event.as_str(), "old");
    let replay = registry.replay("root-v1");
    assert_eq!(replay.siblings().count(), 1);
    assert!(replay.deviations[0].contains("accepted that another payload has been signed"));
}

#[test]
fn a_step_whose_record_was_not_written_is_recorded_when_the_command_runs_again() {
    let mut registry = Registry::new();
    // Killed after each write of each step, before its record.
    let mut event = registry.start("root");
    event.record_proposed(&registry.signed(), &registry.with()).unwrap();
    registry.sign(&mut event, "alice").unwrap();
    assert!(!registry.replay("root-v1").verified());
    registry.sign_recorded(&mut event, "alice");
    assert_eq!(registry.replay("root-v1").findings, []);
    registry.sign_recorded(&mut event, "bob");
    event.finish(&registry.copy(), &registry.signed(), registry.now, &AcceptedRisks::default()).unwrap();
    assert!(!registry.replay("root-v1").verified());
    registry.finish_recorded(&event, &AcceptedRisks::default());
    assert_eq!(registry.replay("root-v1").findings, []);
    minute(&mut registry);
    registry.start("root");
    minute(&mut registry);
    let mut event = registry.start_recorded("root");
    let replay = registry.replay("root-v2");
    assert_eq!(replay.findings, []);
    assert_eq!(replay.steps[0].record.abandons.len(), 1, "the payload that no record tells of");
    event.withdraw("wrong", registry.now).unwrap();
    assert!(!registry.replay("root-v2").verified());
    event.record_withdrawn(&registry.signed(), &registry.with()).unwrap();
    assert_eq!(registry.replay("root-v2").findings, []);
}

#[test]
fn rules_of_then_judge_what_was_counted_then() {
    let mut registry = Registry::new();
    registry.hold_recorded("root");
    registry.hold_recorded("targets");
    // Since then the keys of everybody have changed.
    minute(&mut registry);
    for (person, seed) in [("dora", 21), ("erin", 22), ("fred", 23)] {
        registry.add_key(person, trustroot::crypto::SecretKey::ed25519_from_seed(&[seed; 32]).unwrap());
    }
    registry.edit("trustroot.toml", |text| {
        let people = "[people.dora]\nkeys = [\"keys/dora.pub\"]\n[people.erin]\nkeys = [\"keys/erin.pub\"]\n";
        let roles = text.replacen("[roles.root]", &format!("{people}[roles.root]"), 1);
        roles.replace("signers = [\"alice\", \"bob\", \"carol\"]", "signers = [\"carol\", \"dora\", \"erin\"]")
    });
    let mut event = registry.start_recorded("root");
    for person in ["alice", "carol", "dora"] {
        registry.sign_recorded(&mut event, person);
    }
    registry.finish_recorded(&event, &AcceptedRisks::default());
    for event in ["root-v1", "targets-v1", "root-v2"] {
        assert_eq!(registry.replay(event).findings, [], "{event}");
    }
}

#[test]
fn records_of_two_branches_are_merged_by_git_without_conflicts() {
    let git = |directory: &std::path::Path, arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(directory)
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return false,
            Err(error) => panic!("{error}"),
        };
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        true
    };
    let registry = Registry::new();
    let directory = registry.path("");
    let event = registry.start_recorded("root");
    if !git(&directory, &["init", "-q", "-b", "main"]) {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("skipped: git is not here");
        }
        return;
    }
    git(&directory, &["add", "-A"]);
    git(&directory, &["commit", "-q", "-m", "propose"]);
    for person in ["alice", "bob"] {
        git(&directory, &["checkout", "-q", "-b", person, "main"]);
        registry.sign_recorded(&mut registry.event("root-v1"), person);
        git(&directory, &["add", "-A"]);
        git(&directory, &["commit", "-q", "-m", person]);
    }
    git(&directory, &["checkout", "-q", "main"]);
    git(&directory, &["merge", "-q", "--no-edit", "alice"]);
    git(&directory, &["merge", "-q", "--no-edit", "bob"]);
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, []);
    assert_eq!(replay.tips.len(), 2);
    registry.finish_recorded(&registry.event(event.name.as_str()), &AcceptedRisks::default());
    let replay = registry.replay("root-v1");
    assert_eq!((replay.findings.len(), replay.tips.len()), (0, 1));
    assert_eq!(replay.steps.last().unwrap().record.follows.len(), 2);
}

/// A record as somebody else signs it.
fn signed_by(registry: &Registry, person: &str, record: &Value) -> Value {
    let canonical = canonicalize(record.to_string().as_bytes()).unwrap();
    let message = pre_authentication_encoding(RECORD_MEDIA_TYPE, &canonical);
    let key = registry.key(person);
    let (fingerprint, sig) = (hex::encode(sha256(key.canonical_spki())), hex::encode(key.sign(&message).unwrap()));
    serde_json::json!({"record": record, "signatures": [{"key": fingerprint, "sig": sig}]})
}

#[test]
fn nobody_tells_for_another_how_a_signature_was_made() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    let (path, record) =
        registry.records("root-v1").into_iter().find(|(_, value)| value["record"]["kind"] == "sign").unwrap();
    std::fs::remove_file(path).unwrap();
    // Bob signs what says that alice did it.
    let forged = put(&registry, "root-v1", &signed_by(&registry, "bob", &record["record"]));
    let findings = registry.replay("root-v1").findings;
    let bob = hex::encode(sha256(registry.key("bob").canonical_spki()));
    assert_eq!(findings[0], Finding::BadSignature { record: forged.clone(), key: bob.clone() });
    assert!(matches!(&findings[1..], [Finding::Silent { who, .. }] if who.starts_with("alice")), "{findings:?}");
    std::fs::remove_file(registry.path(&format!("signing-events/root-v1/records/{forged}.json"))).unwrap();
    // And that he made the signature himself, which is alice's.
    let mut claimed = record["record"].clone();
    claimed["key"] = bob.into();
    put(&registry, "root-v1", &signed_by(&registry, "bob", &claimed));
    let findings = registry.replay("root-v1").findings;
    assert!(matches!(&findings[..], [Finding::Silent { who, .. }] if who.starts_with("alice")), "{findings:?}");
}

#[test]
fn a_record_about_something_that_is_not_here_is_said() {
    let registry = Registry::new();
    let mut event = registry.start_recorded("root");
    registry.sign_recorded(&mut event, "alice");
    let records = registry.records("root-v1");
    let record = &records.iter().find(|(_, value)| value["record"]["kind"] == "sign").unwrap().1["record"];
    let findings = |field: &str, value: &str| {
        let mut other = record.clone();
        other[field] = value.into();
        let digest = put(&registry, "root-v1", &signed_by(&registry, "alice", &other));
        let findings = registry.replay("root-v1").findings;
        std::fs::remove_file(registry.path(&format!("signing-events/root-v1/records/{digest}.json"))).unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.into_iter().next().unwrap()
    };
    let elsewhere = "ab".repeat(32);
    assert!(
        matches!(findings("payloadSha256", &elsewhere), Finding::UnknownPayload { payload, .. } if payload == elsewhere)
    );
    let pin = findings("pin", &elsewhere);
    assert!(
        matches!(&pin, Finding::Foreign { problem, .. } if problem == "whoever made it trusts a root that is not here")
    );
    let role = findings("role", "targets");
    assert!(matches!(&role, Finding::Foreign { problem, .. } if problem == "it is about another role"));
    // Nobody says who proposed it.
    for (path, value) in &records {
        if value["record"]["kind"] == "propose" {
            std::fs::remove_file(path).unwrap();
        }
    }
    let said: Vec<String> = registry.replay("root-v1").findings.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.starts_with("no record tells of who proposed the payload ")), "{said:?}");
}

#[test]
fn a_witness_of_another_payload_or_of_a_transcript_with_junk_in_it_does_not_count() {
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    let event = registry.hold_recorded("root");
    let file = event.witness(&registry.signed(), registry.key("walter"), &registry.with()).unwrap();
    let good = std::fs::read(&file).unwrap();
    let met = |registry: &Registry| registry.event("root-v1").witnessed(&registry.signed()).unwrap().unwrap().met();
    assert!(met(&registry));
    let mut other: Value = serde_json::from_slice(&good).unwrap();
    std::fs::remove_file(&file).unwrap();
    other["record"]["payloadSha256"] = "ab".repeat(32).into();
    put(&registry, "root-v1", &signed_by(&registry, "walter", &other["record"]));
    assert!(!met(&registry));
    trustroot::client::write_durably(&file, &good).unwrap();
    assert!(met(&registry));
    registry.write(&format!("signing-events/root-v1/records/{}.json", "0".repeat(64)), "{}");
    assert!(!met(&registry));
    assert!(registry.publishable("root", 1, &AcceptedRisks::default()).is_err());
}

#[test]
fn an_event_that_cannot_be_read_stops_the_publication_of_what_is_new() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    registry.publishable("root", 1, &AcceptedRisks::default()).unwrap();
    registry.write("signing-events/broken/event.json", "{}");
    let refused = registry.publishable("root", 1, &AcceptedRisks::default());
    assert!(matches!(refused, Err(CeremonyError::UnreadableEvent { .. })), "{refused:?}");
    // Where nothing is new, nothing is asked: an online job goes on every night.
    may_publish(&registry.copy(), &registry.signed(), &[], &AcceptedRisks::default()).unwrap();
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let registry = Registry::new();
    registry.hold_recorded("root");
    for (path, value) in registry.records("root-v1") {
        let bytes = std::fs::read(&path).unwrap();
        let filed = FiledRecord::parse(&bytes).unwrap();
        assert_eq!(format!("{}.json", filed.digest()), path.file_name().unwrap().to_str().unwrap());
        // Written otherwise it would have two digests.
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        assert_eq!(FiledRecord::parse(&pretty).unwrap_err(), "it is not canonical");
        for at in (0..bytes.len()).step_by(3) {
            assert!(FiledRecord::parse(&bytes[..at]).is_err());
        }
    }
}

#[test]
fn a_proposal_that_comes_back_is_told_of_each_time() {
    let mut registry = Registry::new();
    registry.start_recorded("root");
    let (two, three) = ("threshold = 2", "threshold = 3");
    for (from, to) in [(two, three), (three, two), (two, three)] {
        minute(&mut registry);
        registry.edit("trustroot.toml", |text| text.replacen(from, to, 1));
        let name = "root-v1".parse().unwrap();
        let rebased = SigningEvent::rebase(&registry.copy(), &registry.signed(), &name, registry.now).unwrap();
        for _again in 0..2 {
            rebased.event.record_proposed(&registry.signed(), &registry.with()).unwrap();
        }
    }
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, []);
    let told: Vec<_> = replay.steps.iter().map(|step| (&step.record.payload_sha256, &step.record.abandons)).collect();
    let [(first, none), (second, of_second), (third, of_third), (last, of_last)] = told[..] else { panic!("{told:?}") };
    assert_eq!(((first, second), none.len()), ((third, last), 0));
    let one = |payload: &String| BTreeSet::from([payload.clone()]);
    assert_eq!((of_second, of_third, of_last), (&one(first), &one(second), &one(third)));
}

#[test]
fn signatures_that_a_rebase_keeps_are_told_of() {
    let registry = Registry::new();
    // Held without records so far.
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    let name = "root-v1".parse().unwrap();
    let rebased = SigningEvent::rebase(&registry.copy(), &registry.signed(), &name, registry.now).unwrap();
    assert!(rebased.moved.is_none());
    let there: BTreeSet<String> = rebased.event.signatures.iter().map(FiledSignature::digest).collect();
    rebased.event.record_collected(&registry.signed(), &there, &registry.with()).unwrap();
    assert!(matches!(registry.replay("root-v1").findings[..], [Finding::Untold { .. }]));
    rebased.event.record_proposed(&registry.signed(), &registry.with()).unwrap();
    let replay = registry.replay("root-v1");
    assert_eq!(replay.findings, []);
    assert!(replay.deviations[0].contains("came without a record"), "{:?}", replay.deviations);
}

#[test]
fn what_happened_to_a_namespace_that_is_gone_is_told_and_replayed() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let mut event = registry.start_recorded("oppy");
    registry.sign_recorded(&mut event, "oppy-dev");
    registry.edit("trustroot.toml", |text| text[..text.find("[namespaces.oppy]").unwrap()].to_owned());
    registry.hold("targets", &["alice", "bob"]).unwrap();
    let mut event = registry.event("oppy-v2");
    event.withdraw("the namespace is gone", registry.now).unwrap();
    assert!(!registry.replay("oppy-v2").verified());
    event.record_withdrawn(&registry.signed(), &registry.with()).unwrap();
    let replay = registry.replay("oppy-v2");
    assert_eq!(replay.findings, []);
    assert_eq!(replay.steps.last().unwrap().record.reason.as_deref(), Some("the namespace is gone"));
    assert_eq!(replay.status.state, EventState::Withdrawn);
    // By that nobody signs or finishes anything.
    assert!(matches!(registry.finish(&event), Err(CeremonyError::NoLongerDelegated { .. })));
    assert!(event.sign(&registry.signed(), registry.key("oppy-dev")).is_err());
}

/// Puts all records of an event of one working copy into the event of the same name of another.
fn carry(from: &Registry, to: &Registry, event: &str) -> usize {
    let records = from.records(event);
    for (_, value) in &records {
        put(to, event, value);
    }
    records.len()
}

fn foreign(replay: &Replay, why: &str) -> usize {
    let is = |finding: &&Finding| matches!(finding, Finding::Foreign { problem, .. } if problem == why);
    replay.findings.iter().filter(is).count()
}

#[test]
fn records_of_a_rehearsal_and_of_what_is_meant_never_cross_over() {
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    registry.hold_recorded("root");
    minute(&mut registry);
    registry.edit("trustroot.toml", |text| text.replacen("= 365", "= 300", 1));
    let rehearsal = registry.rehearse();
    let there = rehearsal.hold_recorded("root");
    assert!(rehearsal.records("root-v2").iter().all(|(_, value)| value["record"]["rehearsal"] == true));
    // Who witnesses has another key there, as everybody.
    let real = there.witness(&rehearsal.signed(), registry.key("walter"), &rehearsal.with());
    assert!(matches!(real, Err(CeremonyError::RealKey)), "{real:?}");
    there.witness(&rehearsal.signed(), rehearsal.key("walter"), &rehearsal.with()).unwrap();
    let replay = rehearsal.replay("root-v2");
    assert_eq!((&replay.findings[..], replay.witnessed.unwrap().met()), (&[][..], true));
    let mut meant = registry.hold_recorded("root");
    assert!(registry.records("root-v2").iter().all(|(_, value)| value["record"].get("rehearsal").is_none()));
    meant.witness(&registry.signed(), registry.key("walter"), &registry.with()).unwrap();
    assert!(registry.replay("root-v2").witnessed.unwrap().met());
    // Neither are they taken in where they are handed over, nor believed where they lie.
    let rehearsed = rehearsal.files("signing-events/root-v2/records");
    for file in rehearsed.values() {
        let fates = meant.collect(&registry.signed(), file).unwrap();
        assert!(matches!(&fates[0].fate, Fate::Unusable(why) if why.contains("it is of a rehearsal")), "{fates:?}");
    }
    let count = carry(&rehearsal, &registry, "root-v2");
    let replay = registry.replay("root-v2");
    assert_eq!(foreign(&replay, "it is of a rehearsal"), count);
    assert!(!replay.witnessed.unwrap().met());
    let here: Vec<_> =
        registry.records("root-v2").into_iter().filter(|(_, value)| value["record"]["rehearsal"] != true).collect();
    for (_, value) in &here {
        put(&rehearsal, "root-v2", value);
    }
    assert_eq!(foreign(&rehearsal.replay("root-v2"), "it is not of a rehearsal"), here.len());
}

#[test]
fn a_witness_with_a_real_key_is_none_in_a_rehearsal() {
    let mut registry = Registry::new();
    witnessed_by_walter(&mut registry);
    registry.hold_recorded("root");
    minute(&mut registry);
    let rehearsal = registry.rehearse();
    let asked = rehearsal.signed().root().unwrap().unrecognized["x-trustroot-witnesses"].to_canonical();
    let key = |registry: &Registry| hex::encode(&registry.key("walter").canonical_spki()[12..]);
    let asked = String::from_utf8(asked).unwrap();
    assert!(asked.contains(&key(&rehearsal)) && !asked.contains(&key(&registry)), "{asked}");
    // A proposal that lists the real one all the same.
    let event = rehearsal.start("root");
    let path = "signing-events/root-v2/proposal.json";
    rehearsal.edit(path, |text| text.replace(&key(&rehearsal), &key(&registry)));
    let event = rehearsal.event(event.name.as_str());
    let review = event.review(&rehearsal.copy(), &rehearsal.signed(), rehearsal.now).unwrap();
    assert!(
        review
            .problems
            .contains(&"the witness walter has a key of the real repository, and this is a rehearsal".to_owned()),
        "{:?}",
        review.problems
    );
}
