//! Requests that somebody had in their hands on the way to the machine apart, and responses on the way back.

use std::collections::BTreeMap;

use serde_json::Value;
use trustroot::ceremony::{CeremonyError, Fate, Keys, REQUEST_MEDIA_TYPE, Request, Review, SigningEvent, digest_words};
use trustroot::crypto::sha256;

use crate::support::Registry;

fn write(registry: &Registry, event: &SigningEvent) -> Vec<u8> {
    Request::write(event, &registry.copy(), &registry.signed(), None, registry.start_time()).unwrap()
}

fn open(registry: &Registry, bytes: &[u8]) -> Result<Request, CeremonyError> {
    Request::parse(bytes, registry.start_time())
}

fn review(registry: &Registry, bytes: &[u8]) -> Review {
    open(registry, bytes).unwrap().event_review(Keys::Real, registry.now).unwrap()
}

fn lines(review: &Review) -> Vec<String> {
    review.changes.iter().map(|change| format!("{} {}", change.mark.sign(), change.text)).collect()
}

/// A request taken apart, as somebody could who wants it to look whole afterwards.
struct Parts {
    index: Value,
    files: BTreeMap<String, Vec<u8>>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
        lines.next().unwrap();
        let index: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
        let (mut rest, mut files) = (lines.next().unwrap(), BTreeMap::new());
        for file in index["files"].as_array().unwrap() {
            let (content, after) = rest.split_at(usize::try_from(file["length"].as_u64().unwrap()).unwrap());
            files.insert(file["name"].as_str().unwrap().to_owned(), content.to_vec());
            rest = after;
        }
        Self { index, files }
    }

    /// With a list of files, digest of the payload and digest of the whole that fit.
    fn whole(mut self) -> Vec<u8> {
        let list = |(name, content): (&String, &Vec<u8>)| serde_json::json!({"name": name, "length": content.len()});
        self.index["files"] = self.files.iter().map(list).collect();
        let payload = trustroot::metadata::Envelope::parse(&self.files["proposal.json"]).unwrap();
        self.index["payloadSha256"] = hex::encode(sha256(payload.signed_bytes())).into();
        self.listed_so()
    }

    /// With the list of files as it is.
    fn listed_so(&self) -> Vec<u8> {
        let mut rest = self.index.to_string().into_bytes();
        rest.push(b'\n');
        self.files.values().for_each(|content| rest.extend(content));
        [format!("{REQUEST_MEDIA_TYPE} {}\n", hex::encode(sha256(&rest))).into_bytes(), rest].concat()
    }

    fn edit(&mut self, file: &str, change: impl Fn(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&self.files[file]).unwrap();
        change(&mut value);
        self.files.insert(file.to_owned(), value.to_string().into_bytes());
    }
}

/// A request with a proposal that somebody changed.
fn tampered(bytes: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut parts = Parts::of(bytes);
    parts.edit("proposal.json", |document| change(&mut document["signed"]));
    parts.whole()
}

/// A registry whose second root is proposed.
fn second_root() -> (Registry, SigningEvent) {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.now += chrono::Duration::days(1);
    let event = registry.start("root");
    (registry, event)
}

#[test]
fn a_request_shows_what_the_working_copy_shows() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write_builder("v1", crate::support::OPPY, "SLSA_BUILD_LEVEL_2");
    registry.write("targets/tool.tar", "a tool\n");
    for role in ["root", "targets", "oppy"] {
        let event = registry.start(role);
        let bytes = write(&registry, &event);
        let here = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
        assert_eq!(review(&registry, &bytes), here, "{role}");
        assert!(role == "root" || !here.changes.is_empty());
        // Nothing in it depends on when or where it is written.
        let later = trustroot::trust::UpdateStart::at(registry.now + chrono::Duration::hours(5));
        let again = Request::write(&event, &registry.copy(), &registry.signed(), None, later).unwrap();
        assert!(again == bytes, "{role}");
    }
}

#[test]
fn the_first_root_can_be_requested() {
    let registry = Registry::new();
    let event = registry.start("root");
    let request = open(&registry, &write(&registry, &event)).unwrap();
    assert_eq!(request.signed.digest(), None);
    let mut back = registry.event("root-v1");
    for person in ["alice", "carol"] {
        let response = request.event.respond(&request.signed, registry.key(person)).unwrap();
        let collected = back.collect(&registry.signed(), response.to_json().as_bytes()).unwrap();
        assert_eq!(collected[0].fate, Fate::Filed);
    }
    registry.finish(&back).unwrap();
}

#[test]
fn keys_of_others_replaced_under_their_keyids_are_seen_in_a_request() {
    let (registry, event) = second_root();
    let own = hex::encode(sha256(registry.key("alice").canonical_spki()));
    let bytes = tampered(&write(&registry, &event), |signed| {
        for key in signed["keys"].as_object_mut().unwrap().values_mut() {
            if key["x-tuf-on-ci-keyowner"] != "alice" {
                let public = key["keyval"]["public"].as_str().unwrap().to_owned();
                key["keyval"]["public"] = hex::encode(sha256(public.as_bytes())).into();
            }
        }
    });
    let review = review(&registry, &bytes);
    let removed: Vec<String> = lines(&review)
        .into_iter()
        .filter(|line| line.starts_with("- key of") || line.starts_with("+ key of"))
        .collect();
    assert_eq!(removed.len(), 6, "{removed:#?}");
    assert!(removed.iter().all(|line| !line.contains(&own)));
    assert_ne!(digest_words(&review.digest), digest_words(&event.digest()));
}

#[test]
fn an_expiry_in_2099_is_not_signed() {
    let (registry, event) = second_root();
    let bytes = tampered(&write(&registry, &event), |signed| signed["expires"] = "2099-01-01T00:00:00Z".into());
    let review = review(&registry, &bytes);
    assert!(review.expiry.starts_with("2099-01-01T00:00:00Z, 26603 days from now"), "{}", review.expiry);
    assert_eq!(review.problems, ["it would be good until 2099-01-01T00:00:00Z, more than ten years from now"]);
}

#[test]
fn consistent_snapshots_switched_off_are_not_signed() {
    let (registry, event) = second_root();
    let bytes = tampered(&write(&registry, &event), |signed| signed["consistent_snapshot"] = false.into());
    let review = review(&registry, &bytes);
    assert!(lines(&review).contains(&"~ consistent snapshots: true -> false (signed.consistent_snapshot)".to_owned()));
    assert_eq!(review.problems.len(), 1);
}

#[test]
fn a_threshold_that_was_lowered_is_seen_and_one_person_alone_is_refused() {
    let (registry, event) = second_root();
    let bytes = tampered(&write(&registry, &event), |signed| signed["roles"]["root"]["threshold"] = 1.into());
    let review = review(&registry, &bytes);
    assert!(lines(&review).contains(&"~ root: 2 of 3 -> 1 of 3 keys must sign".to_owned()));
    assert_eq!(review.problems, ["one person alone could sign root"]);
}

#[test]
fn a_target_that_was_swapped_is_refused_or_seen() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write("targets/tool.tar", "a tool\n");
    let event = registry.start("targets");
    let mut parts = Parts::of(&write(&registry, &event));
    parts.files.insert("targets/tool.tar".to_owned(), b"a trap\n".to_vec());
    assert!(matches!(open(&registry, &parts.whole()), Err(CeremonyError::Malformed { .. })));
    // In the proposal too: then it is another payload, and shown as what it is.
    let mut parts = Parts::of(&write(&registry, &event));
    parts.files.insert("targets/tool.tar".to_owned(), b"a trap\n".to_vec());
    let trap = hex::encode(sha256(b"a trap\n"));
    parts.edit("proposal.json", |document| {
        document["signed"]["targets"]["tool.tar"]["hashes"]["sha256"] = trap.clone().into();
    });
    let review = review(&registry, &parts.whole());
    assert!(lines(&review).contains(&format!("+ file tool.tar: 7 bytes, SHA-256 {trap}")));
    assert_ne!(review.digest, event.digest());
}

#[test]
fn what_is_judged_is_never_left_out_of_a_request() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write_builder("v1", crate::support::OPPY, "SLSA_BUILD_LEVEL_2");
    for role in ["targets", "oppy"] {
        let event = registry.start(role);
        let mut parts = Parts::of(&write(&registry, &event));
        parts.files.retain(|name, _| !name.starts_with("targets/slsa/"));
        let review = review(&registry, &parts.whole());
        let refused = review.problems.iter().any(|problem| problem.contains("cannot be judged"));
        assert!(refused, "{role}: {:?}", review.problems);
    }
}

#[test]
fn a_long_file_is_named_by_its_digest_and_said_to_be() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let long = "x".repeat((1 << 20) + 1);
    registry.write("targets/long.tar", &long);
    let event = registry.start("targets");
    let bytes = write(&registry, &event);
    assert!(bytes.len() < 1 << 20);
    let request = open(&registry, &bytes).unwrap();
    assert_eq!(request.event.left_out().iter().map(ToString::to_string).collect::<Vec<_>>(), ["long.tar"]);
    let expected = format!("+ file long.tar: 1048577 bytes, SHA-256 {}", hex::encode(sha256(long.as_bytes())));
    assert!(lines(&review(&registry, &bytes)).contains(&expected));
}

#[test]
fn a_request_of_another_repository_holds_no_root_that_the_signer_trusts() {
    // Staging and production have the same people, keys and versions.
    let (staging, event) = second_root();
    let mut production = Registry::new();
    production.now += chrono::Duration::hours(1);
    production.hold("root", &["alice", "bob"]).unwrap();
    let pin = production.signed().digest().unwrap();
    let bytes = write(&staging, &event);
    let request = open(&staging, &bytes).unwrap();
    assert!(request.signed.roots().all(|(_, root)| sha256(root) != pin));
    assert_eq!(request.event_review(Keys::Real, staging.now).unwrap().repository, staging.signed().digest());
    // It cannot claim to be for production, nor bring production's root along.
    let mut parts = Parts::of(&bytes);
    parts.index["repository"] = hex::encode(pin).into();
    assert!(matches!(open(&staging, &parts.whole()), Err(CeremonyError::OtherRepository { .. })));
    let root = std::fs::read(production.path("repository/1.root.json")).unwrap();
    let mut parts = Parts::of(&bytes);
    parts.files.insert("signed/1.root.json".to_owned(), root);
    assert!(matches!(open(&staging, &parts.whole()), Err(CeremonyError::OtherRepository { .. })));
    // A response to it is worth nothing in production.
    let response = request.event.respond(&request.signed, staging.key("alice")).unwrap();
    let mut there = production.start("root");
    let collected = there.collect(&production.signed(), response.to_json().as_bytes()).unwrap();
    assert_eq!(collected[0].fate, Fate::Uncounted("made for another repository"));
    assert!(production.event("root-v2").signatures.is_empty());
}

#[test]
fn an_old_request_ends_before_a_root_that_was_signed_since_and_its_response_does_not_count() {
    let (mut registry, event) = second_root();
    let old = write(&registry, &event);
    let mut second = registry.event("root-v2");
    registry.sign(&mut second, "alice").unwrap();
    registry.sign(&mut second, "bob").unwrap();
    registry.finish(&second).unwrap();
    registry.now += chrono::Duration::days(1);
    let mut third = registry.start("root");

    let request = open(&registry, &old).unwrap();
    let newest = sha256(&std::fs::read(registry.path("repository/2.root.json")).unwrap());
    assert!(request.signed.roots().all(|(_, root)| sha256(root) != newest), "whoever trusts root v2 refuses it");
    assert_eq!(request.event_review(Keys::Real, registry.now).unwrap().compared_with, "root v1");
    let response = request.event.respond(&request.signed, registry.key("carol")).unwrap();
    let collected = third.collect(&registry.signed(), response.to_json().as_bytes()).unwrap();
    assert_eq!(collected[0].fate, Fate::Uncounted("over a payload that is not here"));
    assert!(registry.event("root-v3").signatures.is_empty());
}

#[test]
fn a_chain_of_roots_that_was_forged_is_refused() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.now += chrono::Duration::days(1);
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.now += chrono::Duration::days(1);
    let bytes = write(&registry, &registry.start("root"));
    let mut parts = Parts::of(&bytes);
    parts.edit("signed/2.root.json", |root| root["signed"]["roles"]["root"]["threshold"] = 1.into());
    assert!(matches!(open(&registry, &parts.whole()), Err(CeremonyError::Repository(_))));
    let mut parts = Parts::of(&bytes);
    parts.files.remove("signed/2.root.json");
    let there = open(&registry, &parts.whole()).unwrap().event_review(Keys::Real, registry.now).unwrap();
    assert_eq!(there.problems, ["it would be v3, where v2 follows what is signed"]);
}

#[test]
fn siblings_travel_with_a_request() {
    let (mut registry, first) = second_root();
    let mut first_signed = first.clone();
    registry.sign(&mut first_signed, "alice").unwrap();
    registry.now += chrono::Duration::days(1);
    let event = registry.start("root");
    let request = open(&registry, &write(&registry, &event)).unwrap();
    let siblings = request.status().unwrap().siblings;
    assert_eq!(siblings.len(), 1);
    assert_eq!(siblings[0].digest, hex::encode(first.digest()));
    assert_eq!(siblings[0].counts[0].tally.counted, 1);
    // One whose payload is not at hand is told of too.
    std::fs::remove_dir_all(registry.path("signing-events/root-v2/proposed")).unwrap();
    let event = registry.event("root-v2");
    let request = open(&registry, &write(&registry, &event)).unwrap();
    let siblings = request.status().unwrap().siblings;
    assert_eq!((siblings[0].digest.clone(), siblings[0].counts.len()), (hex::encode(first.digest()), 0));
}

#[test]
fn a_request_that_is_cut_or_flipped_anywhere_is_refused() {
    let (registry, event) = second_root();
    let bytes = write(&registry, &event);
    assert!(open(&registry, &bytes).is_ok());
    // Every byte of the head and the list, and one in seven of the files.
    let list = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    for at in (0..list).chain((list..bytes.len()).step_by(7)) {
        assert!(open(&registry, &bytes[..at]).is_err(), "cut at {at}");
        for bit in [0x01, 0x20, 0x80] {
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            assert!(open(&registry, &flipped).is_err(), "flipped at {at}");
        }
    }
    assert!(open(&registry, &[&bytes[..], b"\n"].concat()).is_err());
}

#[test]
fn a_request_of_another_shape_is_refused() {
    let (registry, event) = second_root();
    let bytes = write(&registry, &event);
    let refused = |change: &dyn Fn(&mut Parts), listed: bool| {
        let mut parts = Parts::of(&bytes);
        change(&mut parts);
        let bytes = if listed { parts.listed_so() } else { parts.whole() };
        let error = open(&registry, &bytes).unwrap_err();
        assert!(matches!(error, CeremonyError::MalformedRequest { .. }), "{error}");
        let text = error.to_string();
        assert!(text.chars().all(|c| (' '..='~').contains(&c)), "{text}");
    };
    let content = || b"{}".to_vec();
    refused(&|parts| parts.index["restriction"] = "only on Tuesdays".into(), false);
    refused(&|parts| parts.index["event"] = "../up".into(), false);
    refused(&|parts| parts.index["role"] = "timestamp".into(), false);
    refused(&|parts| parts.index["purpose"] = "x".repeat(1001).into(), false);
    refused(&|parts| parts.index["payloadSha256"] = "00".repeat(32).into(), true);
    refused(&|parts| drop(parts.files.insert("targets/../up".to_owned(), content())), false);
    refused(&|parts| drop(parts.files.insert("elsewhere\u{1b}[2J".to_owned(), content())), false);
    refused(&|parts| parts.index["files"][0]["length"] = u64::MAX.into(), true);
    refused(&|parts| parts.index["files"].as_array_mut().unwrap().swap(0, 1), true);
    refused(&|parts| drop(parts.index["files"].as_array_mut().unwrap().pop()), true);
    let signed = |parts: &mut Parts| {
        parts.edit("proposal.json", |document| {
            document["signatures"] = serde_json::json!([{"keyid": "k", "sig": "00"}]);
        });
    };
    refused(&signed, false);
}

#[test]
fn a_response_is_believed_for_its_signature_alone() {
    let (mut registry, mut event) = second_root();
    registry.add_person("mallory");
    let request = open(&registry, &write(&registry, &event)).unwrap();
    let stranger = request.event.respond(&request.signed, registry.key("mallory"));
    assert!(matches!(stranger, Err(CeremonyError::NotASigner { .. })));
    let good = request.event.respond(&request.signed, registry.key("alice")).unwrap();
    let good: Value = serde_json::from_str(&good.to_json()).unwrap();
    let signed = registry.signed();
    let mut collect = |change: &dyn Fn(&mut Value)| {
        let mut response = good.clone();
        change(&mut response);
        event.collect(&signed, response.to_string().as_bytes()).unwrap().remove(0).fate
    };
    let bob = hex::encode(sha256(registry.key("bob").canonical_spki()));
    let mallory = hex::encode(sha256(registry.key("mallory").canonical_spki()));
    assert_eq!(collect(&|response| response["key"] = bob.clone().into()), Fate::Uncounted("not valid"));
    assert_eq!(
        collect(&|response| response["key"] = mallory.clone().into()),
        Fate::Uncounted("by a key that may not sign")
    );
    assert_eq!(collect(&|response| response["sig"] = "".into()), Fate::Uncounted("empty"));
    assert_eq!(collect(&|response| response["sig"] = "00".repeat(64).into()), Fate::Uncounted("not valid"));
    assert_eq!(
        collect(&|response| response["payloadSha256"] = "00".repeat(32).into()),
        Fate::Uncounted("over a payload that is not here")
    );
    for field in ["key", "payloadSha256", "mediaType", "extra"] {
        let fate = collect(&|response| response[field] = "\u{1b}[2J".into());
        assert!(matches!(fate, Fate::Unusable(_)), "{field}: {fate:?}");
    }
    assert!(registry.event("root-v2").signatures.is_empty());
    assert_eq!(collect(&|_| {}), Fate::Filed);
    assert_eq!(collect(&|_| {}), Fate::Known);
    assert_eq!(registry.event("root-v2").signatures.len(), 1);
}

#[test]
fn what_is_said_to_be_signed_beside_is_a_digest_or_refused() {
    let (registry, event) = second_root();
    let forged = "00\u{1b}[2J\u{1b}[HREVIEW of signing event root-v2";
    for siblings in [vec![forged.to_owned()], vec!["A".repeat(64)], vec!["0".repeat(64); 1001]] {
        let mut parts = Parts::of(&write(&registry, &event));
        parts.index["unknownSiblings"] = siblings.into();
        let refused = open(&registry, &parts.listed_so());
        assert!(matches!(refused, Err(CeremonyError::MalformedRequest { .. })), "{refused:?}");
    }
    let mut parts = Parts::of(&write(&registry, &event));
    parts.index["unknownSiblings"] = vec!["0".repeat(64)].into();
    let request = open(&registry, &parts.listed_so()).unwrap();
    assert_eq!(request.status().unwrap().siblings[0].digest, "0".repeat(64));
}
