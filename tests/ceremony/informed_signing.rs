//! What a signer is shown.

use trustroot::ceremony::{CeremonyError, Review, SigningEvent};
use trustroot::crypto::{SecretKey, sha256};

use crate::support::Registry;

fn review(registry: &Registry, event: &SigningEvent) -> Review {
    event.review(&registry.copy(), &registry.signed(), registry.now).unwrap()
}

fn lines(review: &Review) -> Vec<String> {
    review.changes.iter().map(|change| format!("{} {}", change.mark.sign(), change.text)).collect()
}

/// Changes the proposal on disk, as somebody with access to the files could.
fn tamper(registry: &Registry, name: &str, change: impl Fn(&mut serde_json::Value)) -> SigningEvent {
    let file = format!("signing-events/{name}/proposal.json");
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(registry.path(&file)).unwrap()).unwrap();
    change(&mut value["signed"]);
    registry.write(&file, &value.to_string());
    registry.event(name)
}

#[test]
fn a_replaced_key_shows_whose_it_is_and_its_full_fingerprint() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    let old = hex::encode(sha256(registry.key("carol").canonical_spki()));
    registry.add_key("carol", SecretKey::ed25519_from_seed(&[9; 32]).unwrap());
    let new = hex::encode(sha256(registry.key("carol").canonical_spki()));
    let lines = lines(&review(&registry, &registry.start("root")));
    assert!(lines.contains(&format!("- key of carol, ed25519, SHA-256 {old}: loses root, targets")), "{lines:#?}");
    assert!(
        lines.contains(&format!("+ key of carol, ed25519, SHA-256 {new}: gains root, targets; NO proof of possession")),
        "{lines:#?}"
    );
}

#[test]
fn keys_replaced_under_their_old_keyids_are_seen() {
    let registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.start("root");
    let event = tamper(&registry, "root-v2", |signed| {
        for key in signed["keys"].as_object_mut().unwrap().values_mut() {
            key["keyval"]["public"] = hex::encode(sha256(key["keyval"]["public"].as_str().unwrap().as_bytes())).into();
        }
    });
    let removed = lines(&review(&registry, &event)).iter().filter(|line| line.starts_with("- key of")).count();
    assert_eq!(removed, 4);
}

#[test]
fn thresholds_and_expiries_are_compared_in_words() {
    let registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.edit("trustroot.toml", |text| {
        text.replacen("threshold = 2\nexpires-after-days = 365", "threshold = 3\nexpires-after-days = 700", 1)
    });
    let review = review(&registry, &registry.start("root"));
    assert_eq!(review.expiry, "2028-01-30T12:00:00Z, 700 days from now; 335 days later than the version before");
    assert!(lines(&review).contains(&"~ root: 2 of 3 -> 3 of 3 keys must sign".to_owned()));
    assert_eq!(review.compared_with, "root v1");
}

#[test]
fn what_there_are_no_words_for_is_shown_raw() {
    let registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.start("root");
    let event = tamper(&registry, "root-v2", |signed| {
        signed["x-evil"] = serde_json::json!({"a": {}});
        signed["consistent_snapshot"] = false.into();
        signed["roles"]["mirrors"] = serde_json::json!({"keyids": [], "threshold": 1, "extra": 1});
    });
    let review = review(&registry, &event);
    let lines = lines(&review);
    for expected in [
        "+ no words for signed.x-evil.a: {}",
        "~ consistent snapshots: true -> false (signed.consistent_snapshot)",
        "+ no words for signed.roles.mirrors.extra: 1",
    ] {
        assert!(lines.contains(&expected.to_owned()), "{expected}: {lines:#?}");
    }
    assert_eq!(
        review.problems,
        [
            "it has a role `mirrors`, for which others refuse it",
            "consistent snapshots would be off, and clients would meet half-published files"
        ]
    );
}

#[test]
fn text_of_the_proposal_cannot_forge_a_line() {
    let registry = Registry::new();
    registry.start("root");
    let event = tamper(&registry, "root-v1", |signed| {
        for key in signed["keys"].as_object_mut().unwrap().values_mut() {
            key["x-tuf-on-ci-keyowner"] = "alice\n  key of bob: keeps root\u{1b}[2J\u{202e}".into();
        }
        signed["note\n\u{1b}[1A"] = "\u{7}x".into();
    });
    for line in lines(&review(&registry, &event)) {
        assert!(line.chars().all(|c| (' '..='~').contains(&c)), "{line:?}");
    }
}

#[test]
fn a_file_that_is_not_the_one_proposed_stops_the_event() {
    let registry = Registry::with_builder();
    registry.edit("builders/oppy/v1.toml", |text| text.replace("autobuilder", "builder"));
    let event = registry.start("oppy");
    let path = event.targets.keys().next().unwrap().as_str().to_owned();
    let file = format!("signing-events/oppy-v2/targets/{path}");
    registry.edit(&file, |text| text.replace("LEVEL_3", "LEVEL_2"));
    let opened = SigningEvent::open(&registry.copy(), &"oppy-v2".parse().unwrap());
    assert!(matches!(opened, Err(CeremonyError::Malformed { .. })), "{opened:?}");
}

#[test]
fn a_builder_that_rises_says_so_by_name() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write_builder("v1", crate::support::OPPY, "SLSA_BUILD_LEVEL_2");
    let lines = lines(&review(&registry, &registry.start("oppy")));
    let expected = "~   builder \"Oppy autobuilder\" (https://oppy.example/slsa/builder/v1): L3 -> L2";
    assert!(lines.contains(&expected.to_owned()), "{lines:#?}");
}

#[test]
fn an_event_of_another_repository_is_not_opened_here() {
    let registry = Registry::with_builder();
    let event = registry.start("targets");
    // Staging and production have the same people, and so the same keys.
    let mut production = Registry::new();
    production.now += chrono::Duration::hours(1);
    production.hold("root", &["alice", "bob"]).unwrap();
    for (path, content) in registry.files(&format!("signing-events/{}", event.name)) {
        production.write(
            &format!("signing-events/{}/{}", event.name, path.display()),
            std::str::from_utf8(&content).unwrap(),
        );
    }
    let opened = SigningEvent::open(&production.copy(), &event.name);
    assert!(matches!(opened, Err(CeremonyError::OtherRepository { .. })), "{opened:?}");
}

#[test]
fn the_same_payload_has_the_same_words_on_every_machine() {
    let (one, other) = (Registry::new(), Registry::new());
    let (one, other) = (review(&one, &one.start("root")), review(&other, &other.start("root")));
    assert_eq!((one.groups(), one.words()), (other.groups(), other.words()));
    assert_eq!(one.words().len(), 32);
}

#[test]
fn padding_hides_no_change_from_the_review() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.add_person("eve");
    registry.write_builder("eve", "https://oppy.example/slsa/builder/eve", "SLSA_BUILD_LEVEL_3");
    registry.edit("builders/oppy/eve.toml", |text| {
        let padding: Vec<String> = (0..3000).map(|number| format!("a{number} = 1")).collect();
        format!("{text}\n[extensions]\n{}\n", padding.join("\n"))
    });
    let lines = lines(&review(&registry, &registry.start("oppy")));
    assert!(lines.len() > 3000);
    assert!(lines.iter().any(|line| line.contains(".signers[2026a].publicKey.rawBytes")), "the key is hidden");
}

#[test]
fn custom_fields_of_a_file_are_shown() {
    let registry = Registry::with_builder();
    registry.start("targets");
    let event = tamper(&registry, "targets-v2", |signed| {
        signed["targets"]["slsa/v1/catalog.json"]["custom"] = serde_json::json!({"usage": "evil"});
    });
    let lines = lines(&review(&registry, &event));
    assert!(lines.iter().any(|line| line.contains("custom.usage: \"evil\"")), "{lines:#?}");
}

#[test]
fn what_a_key_entry_holds_beside_its_public_half_is_shown_and_refused() {
    let registry = Registry::new();
    registry.start("root");
    let event = tamper(&registry, "root-v1", |signed| {
        let keys = signed["keys"].as_object_mut().unwrap();
        keys.values_mut().next().unwrap()["keyval"]["private"] = "00".into();
        keys.insert(
            "ab".to_owned(),
            serde_json::json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}}),
        );
    });
    let review = review(&registry, &event);
    let lines = lines(&review);
    assert!(lines.iter().any(|line| line.contains("keyval.private")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("signed.keys.ab.keyval.public")), "{lines:#?}");
    assert!(review.problems.iter().any(|problem| problem.contains("more than its public half")));
}

#[test]
fn a_targets_document_by_outgoing_keys_is_named_as_such() {
    let mut registry = Registry::with_builder();
    for person in ["dan", "fred"] {
        registry.add_person(person);
    }
    registry.edit("trustroot.toml", |text| {
        let text = text.replacen(
            "[roles.root]",
            "[people.dan]\nkeys = [\"keys/dan.pub\"]\n[people.fred]\nkeys = [\"keys/fred.pub\"]\n[roles.root]",
            1,
        );
        text.replacen(
            "[roles.targets]\nsigners = [\"alice\", \"bob\", \"carol\"]",
            "[roles.targets]\nsigners = [\"dan\", \"fred\"]",
            1,
        )
    });
    registry.hold("root", &["alice", "bob"]).unwrap();
    let review = review(&registry, &registry.start("targets"));
    assert!(review.compared_with.contains("the keys of TODAY have not signed"), "{}", review.compared_with);
}

#[test]
fn names_of_keyholders_that_look_alike_are_pointed_out() {
    let registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.start("root");
    assert!(review(&registry, &registry.event("root-v2")).notes.is_empty());
    for (alike, shown) in
        [("aIice", "aIice, alice"), ("\u{430}lice", "alice, \"\\u{430}lice\""), ("Alice ", "\"Alice \", alice")]
    {
        registry.start("root");
        let event = tamper(&registry, "root-v2", |signed| {
            for key in signed["keys"].as_object_mut().unwrap().values_mut() {
                if key["x-tuf-on-ci-keyowner"] == "bob" {
                    key["x-tuf-on-ci-keyowner"] = alike.into();
                }
            }
        });
        let review = review(&registry, &event);
        let expected = format!("these names of keyholders look alike, and are not the same: {shown}");
        assert_eq!(review.notes, [expected]);
        // That the key changes hands is said as well.
        assert!(lines(&review).iter().any(|line| line.contains("the same key passes from bob to ")));
    }
}

#[test]
fn files_namespaces_and_builders_that_look_like_others_are_pointed_out() {
    let notes = |registry: &Registry, role: &str| review(registry, &registry.start(role)).notes;
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write("targets/tool-v1.tar", "a tool");
    assert!(notes(&registry, "targets").is_empty());
    registry.hold("targets", &["alice", "bob"]).unwrap();

    registry.write("targets/tooI-v1.tar", "another tool");
    let expected = "these names of files look alike, and are not the same: tooI-v1.tar, tool-v1.tar";
    assert_eq!(notes(&registry, "targets"), [expected]);
    std::fs::remove_file(registry.path("targets/tooI-v1.tar")).unwrap();

    // Another namespace, of somebody else, and its builders.
    registry.add_person("mallory");
    let start = (registry.now + chrono::Duration::hours(1)).to_rfc3339();
    registry.edit("trustroot.toml", |text| {
        format!(
            "{text}\n[people.mallory]\nkeys = [\"keys/mallory.pub\"]\n[namespaces.0ppy]\nsigners = [\"mallory\"]\n\
             threshold = 1\nexpires-after-days = 90\nsign-within-days = 30\n[namespaces.0ppy.catalog]\n\
             grants = {{ builders = [\"https://0ppy.example/slsa/\"] }}\n\
             caps = [{{ level = \"SLSA_BUILD_LEVEL_3\", validFor = {{ start = \"{start}\" }} }}]\n"
        )
    });
    let expected = "these names of namespaces look alike, and are not the same: 0ppy, oppy";
    assert_eq!(notes(&registry, "targets"), [expected]);
    registry.hold("targets", &["alice", "bob"]).unwrap();
    // Only what is new is pointed out.
    assert!(notes(&registry, "targets").is_empty());
    let document = std::fs::read_to_string(registry.path("builders/oppy/v1.toml")).unwrap();
    let document =
        document.replace("Oppy autobuilder", "0ppy aut\u{43e}builder").replace("https://oppy.", "https://0ppy.");
    registry.write("builders/0ppy/v1.toml", &document.replace(&start[..10], "2026-03-05"));
    let said = notes(&registry, "0ppy");
    let alike = |what: &str| format!("these names of builders look alike, and are not the same: {what}");
    assert!(said.contains(&alike("\"0ppy aut\\u{43e}builder\", \"Oppy autobuilder\"")), "{said:?}");
    assert!(
        said.contains(&alike("https://0ppy.example/slsa/builder/v1, https://oppy.example/slsa/builder/v1")),
        "{said:?}"
    );
}

#[test]
fn bins_and_fields_beside_a_key_are_said_in_words() {
    let registry = Registry::with_builder();
    registry.start("targets");
    let event = tamper(&registry, "targets-v2", |signed| {
        let keyid = signed["delegations"]["keys"].as_object().unwrap().keys().next().unwrap().clone();
        signed["delegations"]["keys"][&keyid]["x-tuf-on-ci-online-uri"] = "gcpkms://evil".into();
        signed["delegations"]["keys"][&keyid]["x-other"] = 1.into();
        let bins = serde_json::json!({"keyids": [keyid], "threshold": 1, "bit_length": 8, "name_prefix": "bin"});
        signed["delegations"]["succinct_roles"] = bins;
        signed["delegations"].as_object_mut().unwrap().remove("roles");
    });
    let lines = lines(&review(&registry, &event));
    for expected in [
        "+ hash bins: how many bits of a path's hash choose one: 8 (signed.delegations.succinct_roles.bit_length)",
        "+ hash bins: what their names begin with: \"bin\" (signed.delegations.succinct_roles.name_prefix)",
        "+ hash bins: keys that must sign each: 1 (signed.delegations.succinct_roles.threshold)",
    ] {
        assert!(lines.contains(&expected.to_owned()), "{expected}: {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.contains(": where a machine signs with it: \"gcpkms://evil\"")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("a field of which clients make nothing, x-other: 1")), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("no words for")), "{lines:#?}");
}
