//! What is refused before it is signed, when it is finished, and again before it is published: each document here was
//! changed by hand after it was proposed, and signed by everybody all the same.

use std::path::Path;

use serde_json::{Value, json};
use trustroot::ceremony::{CeremonyError, SigningEvent};
use trustroot::crypto::{KeyAlgorithm, SecretKey, VerifyingKey, sha256};
use trustroot::publish::PublishError;

use crate::support::Registry;

const EVERYBODY: &[&str] = &["alice", "bob", "carol"];

/// A registry whose root, targets and namespace are signed and published.
fn published() -> Registry {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    registry.now += chrono::Duration::days(1);
    registry
}

fn tamper(registry: &Registry, event: &SigningEvent, change: impl Fn(&mut Value)) -> SigningEvent {
    let file = format!("signing-events/{}/proposal.json", event.name);
    let mut document: Value = serde_json::from_slice(&std::fs::read(registry.path(&file)).unwrap()).unwrap();
    change(&mut document["signed"]);
    registry.write(&file, &serde_json::to_string_pretty(&document).unwrap());
    registry.event(event.name.as_str())
}

/// Puts an event among what is signed, as somebody could who does not use `ceremony finish`.
fn smuggle(registry: &Registry, event: &SigningEvent) {
    let file = format!("signing-events/{}/proposal.json", event.name);
    let mut document: Value = serde_json::from_slice(&std::fs::read(registry.path(&file)).unwrap()).unwrap();
    document["signatures"] =
        event.over_this_payload().map(|filed| json!({"keyid": filed.keyid, "sig": filed.sig})).collect();
    registry.write(&format!("repository/{}", event.file_name()), &document.to_string());
    for (path, bytes) in &event.targets {
        let file = registry.path(&format!("repository/targets/{}", path.url_path(Some(&sha256(bytes)))));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        trustroot::client::write_durably(&file, bytes).unwrap();
    }
}

fn refused(registry: &Registry, mut event: SigningEvent, signers: &[&str], expected: &str) {
    // Whoever starts, reviews or signs it is told.
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let found = review.problems.iter().any(|problem| problem.contains(expected));
    assert!(found, "{expected}: {:#?}", review.problems);
    // Everybody signs it all the same: it is not finished.
    for signer in signers {
        registry.sign(&mut event, signer).unwrap();
    }
    let before = registry.files("repository");
    match registry.finish(&event) {
        Err(CeremonyError::BreaksRules { problems }) => {
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:#?}");
        }
        other => panic!("{expected}: {other:?}"),
    }
    assert_eq!(registry.files("repository"), before);
    // Somebody puts it there by hand: it is not published.
    smuggle(registry, &event);
    let public = registry.files("public");
    match registry.publish() {
        Err(PublishError::BreaksRules { problems, .. }) => {
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:#?}");
        }
        other => panic!("{expected}: {other:?}"),
    }
    assert_eq!(registry.files("public"), public);
}

fn refused_root(change: impl Fn(&mut Value), expected: &str) {
    let registry = published();
    let event = tamper(&registry, &registry.start("root"), change);
    refused(&registry, event, EVERYBODY, expected);
}

fn refused_targets(change: impl Fn(&mut Value), expected: &str) {
    let registry = published();
    let event = tamper(&registry, &registry.start("targets"), change);
    refused(&registry, event, EVERYBODY, expected);
}

/// Another file of top-level targets, put into the event and its proposal.
fn with_file(registry: &Registry, path: &str, content: &str) -> SigningEvent {
    let event = registry.start("targets");
    registry.write(&format!("signing-events/{}/targets/{path}", event.name), content);
    tamper(registry, &event, |signed| {
        let digest = hex::encode(sha256(content.as_bytes()));
        signed["targets"][path] = json!({"length": content.len(), "hashes": {"sha256": digest}});
    })
}

fn first_key(signed: &Value, role: &str) -> String {
    signed["roles"][role]["keyids"][0].as_str().unwrap().to_owned()
}

#[test]
fn what_nobody_tampered_with_passes_the_gate() {
    let registry = published();
    for (role, signers) in [("root", EVERYBODY), ("targets", EVERYBODY), ("oppy", &["oppy-dev"])] {
        let event = registry.start(role);
        let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
        assert!(review.problems.is_empty() && review.notes.is_empty(), "{review:?}");
        let mut event = event;
        for signer in signers {
            registry.sign(&mut event, signer).unwrap();
        }
        smuggle(&registry, &event);
        registry.publish().unwrap();
    }
}

#[test]
fn a_secret_half_in_a_key_entry_is_not_published() {
    let expected = "is listed with more than its public half";
    refused_root(
        |signed| {
            let keyid = first_key(signed, "root");
            signed["keys"][keyid]["keyval"]["private"] = "00".into();
        },
        expected,
    );
    // Nor in an entry that no role uses.
    refused_root(
        |signed| {
            let keyval = json!({"public": "00", "private": "00"});
            signed["keys"]["ab"] = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": keyval});
        },
        expected,
    );
}

#[test]
fn a_secret_key_anywhere_in_metadata_is_not_published() {
    let change = |signed: &mut Value| signed["x-note"] = "-----BEGIN PRIVATE KEY-----\nMC4CAQ==".into();
    refused_root(change, "holds a SECRET key in PEM");
    refused_targets(change, "holds a SECRET key in PEM");
}

#[test]
fn a_secret_key_among_the_files_is_not_published() {
    let registry = published();
    let pem = registry.key("alice").to_unencrypted_pem().to_string();
    refused(&registry, with_file(&registry, "notes.txt", &pem), EVERYBODY, "notes.txt holds a SECRET key");
    // In the document of a builder.
    let registry = published();
    registry.edit("builders/oppy/v1.toml", |text| text.replace("Oppy autobuilder", "BEGIN PRIVATE KEY"));
    refused(&registry, registry.start("oppy"), &["oppy-dev"], "holds a SECRET key");
}

#[test]
fn one_physical_key_twice_in_a_role_is_not_published() {
    refused_root(
        |signed| {
            let keyid = first_key(signed, "targets");
            signed["keys"]["again"] = signed["keys"][&keyid].clone();
            signed["roles"]["targets"]["keyids"].as_array_mut().unwrap().push("again".into());
        },
        "targets lists one physical key twice",
    );
}

/// What was smuggled past this is refused by the clients that try it before it is published.
#[test]
fn a_key_whose_secret_half_is_public_is_not_finished() {
    let everybodys = SecretKey::from_pem(include_str!("../../keys.example/mallory.pem"), None).unwrap();
    let registry = published();
    let mut event = tamper(&registry, &registry.start("root"), |signed| {
        signed["keys"]["everybodys"] = everybodys.public().to_value();
        signed["roles"]["targets"]["keyids"].as_array_mut().unwrap().push("everybodys".into());
    });
    for signer in EVERYBODY {
        registry.sign(&mut event, signer).unwrap();
    }
    let before = registry.files("repository");
    let Err(CeremonyError::BreaksRules { problems }) = registry.finish(&event) else { panic!("finished") };
    let said = "targets lists the throwaway key `mallory`, whose secret half is public";
    assert!(problems.iter().any(|problem| problem == said), "{problems:?}");
    assert_eq!(registry.files("repository"), before);
}

#[test]
fn a_threshold_that_nobody_can_meet_is_not_published() {
    refused_root(
        |signed| signed["roles"]["timestamp"]["threshold"] = 2.into(),
        "timestamp needs 2 signatures and has 1 usable keys",
    );
    // Of a namespace, whose own document no longer counts then.
    let registry = published();
    let change = |signed: &mut Value| signed["delegations"]["roles"][0]["threshold"] = 2.into();
    let mut event = tamper(&registry, &registry.start("targets"), change);
    for signer in EVERYBODY {
        registry.sign(&mut event, signer).unwrap();
    }
    let error = registry.finish(&event).unwrap_err().to_string();
    assert!(error.contains("oppy needs 2 signatures and has 1 usable keys"), "{error}");
}

#[test]
fn a_threshold_that_one_person_meets_is_not_published() {
    let expected = "one person alone could sign targets";
    refused_root(|signed| signed["roles"]["targets"]["threshold"] = 1.into(), expected);
    // With several keys, however the name is spelled.
    for alike in ["alice", "Alice ", "\u{430}lice", "aIice"] {
        let rename = |signed: &mut Value| {
            for key in signed["keys"].as_object_mut().unwrap().values_mut() {
                if key["x-tuf-on-ci-keyowner"] == "bob" {
                    key["x-tuf-on-ci-keyowner"] = alike.into();
                }
            }
        };
        refused_root(rename, expected);
    }
    // Nor does a key without a name make two of one.
    let unname = |signed: &mut Value| {
        for key in signed["keys"].as_object_mut().unwrap().values_mut() {
            key.as_object_mut().unwrap().remove("x-tuf-on-ci-keyowner");
        }
    };
    refused_root(unname, expected);
}

#[test]
fn what_has_expired_or_never_does_is_not_published() {
    for (expires, expected) in [
        ("2026-03-01T00:00:00Z", "it would have expired already"),
        ("2099-01-01T00:00:00Z", "more than ten years from now"),
        ("2027-01-01T00:00:00.5Z", "others read whole seconds of UTC only"),
        ("2027-01-01T00:00:00+00:00", "others read whole seconds of UTC only"),
        ("2027-01-01t00:00:00z", "others read whole seconds of UTC only"),
        ("2027-01-01 00:00:00Z", "others read whole seconds of UTC only"),
    ] {
        refused_root(|signed| signed["expires"] = expires.into(), expected);
    }
}

#[test]
fn a_root_that_ends_before_what_it_signs_for_is_not_published() {
    refused_root(|signed| signed["expires"] = "2026-06-10T00:00:00Z".into(), "it would expire before targets v1");
    refused_root(|signed| signed["expires"] = "2026-05-10T00:00:00Z".into(), "it would expire before oppy v1");
    refused_targets(|signed| signed["expires"] = "2027-03-10T00:00:00Z".into(), "good for longer than the root");
}

#[test]
fn a_role_that_outlives_its_delegator_is_pointed_out() {
    let mut registry = published();
    let event =
        tamper(&registry, &registry.start("targets"), |signed| signed["expires"] = "2026-04-01T00:00:00Z".into());
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert_eq!(review.notes, ["it would expire before oppy v1, which it vouches for"]);
    registry.now += chrono::Duration::days(100);
    let review = registry.start("oppy").review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert_eq!(review.notes.len(), 1, "{:?}", review.notes);
    assert!(review.notes[0].contains("longer than targets, which expire on 2026-08-28"), "{:?}", review.notes);
}

#[test]
fn a_version_that_jumps_is_not_published() {
    let registry = published();
    let mut event = tamper(&registry, &registry.start("targets"), |signed| signed["version"] = 9.into());
    for signer in EVERYBODY {
        registry.sign(&mut event, signer).unwrap();
    }
    assert!(registry.finish(&event).is_err());
    smuggle(&registry, &event);
    let public = registry.files("public");
    let Err(PublishError::BreaksRules { problems, .. }) = registry.publish() else { panic!("published") };
    assert!(problems.iter().any(|problem| problem.contains("it would be v9, where v2 follows")), "{problems:?}");
    assert_eq!(registry.files("public"), public);
}

#[test]
fn what_others_would_read_otherwise_is_not_published() {
    refused_root(|signed| signed["spec_version"] = "1.0".into(), "which is not three numbers");
    refused_root(|signed| signed["consistent_snapshot"] = false.into(), "consistent snapshots would be off");
    refused_root(
        |signed| signed["roles"]["mirrors"] = json!({"keyids": [], "threshold": 1}),
        "it has a role `mirrors`, for which others refuse it",
    );
    refused_root(|signed| signed["x-number"] = 9_007_199_254_740_993_u64.into(), "which others round");
    refused_root(|signed| signed["x-name"] = "e\u{301}".into(), "not in Unicode's form NFC");
    refused_root(|signed| signed["x-names"] = json!([{"e\u{301}": 1}]), "not in Unicode's form NFC");
    refused_targets(
        |signed| {
            for entry in signed["targets"].as_object_mut().unwrap().values_mut() {
                let digest = entry["hashes"]["sha256"].as_str().unwrap().to_uppercase();
                entry["hashes"]["sha256"] = digest.into();
            }
        },
        "is not in lower-case hexadecimal",
    );
}

#[test]
fn a_root_that_is_longer_than_others_read_is_not_published() {
    refused_root(|signed| signed["x-note"] = "x".repeat(512_000).into(), "other clients read roots of 512000");
    // Of targets they read more.
    let registry = published();
    let event = tamper(&registry, &registry.start("targets"), |signed| signed["x-note"] = "x".repeat(512_000).into());
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert!(review.problems.is_empty(), "{:?}", review.problems);
}

#[test]
fn keys_that_others_do_not_know_by_their_keyid_are_not_published() {
    let mut registry = published();
    registry.add_person("dora");
    registry.edit("trustroot.toml", |text| {
        text.replacen(
            "[roles.root]\nsigners = [",
            "[people.dora]\nkeys = [\"keys/dora.pub\"]\n[roles.root]\nsigners = [\"dora\", ",
            1,
        )
    });
    let event = tamper(&registry, &registry.start("root"), |signed| call(signed, "dora", "dora"));
    refused(&registry, event, EVERYBODY, "the keyid dora is not the SHA-256 of its key");
}

/// Lists the key of somebody under another keyid.
fn call(signed: &mut Value, person: &str, name: &str) {
    let keys = signed["keys"].as_object_mut().unwrap();
    let old = keys.iter().find(|(_, key)| key["x-tuf-on-ci-keyowner"] == person).unwrap().0.clone();
    let key = keys.remove(&old).unwrap();
    keys.insert(name.to_owned(), key);
    for role in signed["roles"].as_object_mut().unwrap().values_mut() {
        for keyid in role["keyids"].as_array_mut().unwrap() {
            if *keyid == *old {
                *keyid = name.into();
            }
        }
    }
}

#[test]
fn a_keyid_that_others_refuse_stays_with_the_key_that_has_it_and_passes_to_no_other() {
    let mut registry = published();
    let mut event = tamper(&registry, &registry.start("root"), |signed| call(signed, "carol", "carols"));
    for signer in EVERYBODY {
        registry.sign(&mut event, signer).unwrap();
    }
    smuggle(&registry, &event);
    registry.now += chrono::Duration::days(1);
    let said = "the keyid carols is not the SHA-256 of its key, and others refuse that";
    let event = tamper(&registry, &registry.start("root"), |signed| call(signed, "carol", "carols"));
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert!(review.problems.is_empty() && review.notes.iter().any(|note| note == said), "{review:?}");
    // Another key under it is a mistake of today.
    registry.add_key("carol", SecretKey::ed25519_from_seed(&[0xca; 32]).unwrap());
    let event = tamper(&registry, &registry.start("root"), |signed| call(signed, "carol", "carols"));
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert!(review.problems.iter().any(|problem| problem == said), "{review:?}");
}

#[test]
fn a_key_that_cannot_be_used_is_not_published() {
    for (field, value) in [("keytype", "weird"), ("scheme", "rot13")] {
        refused_root(
            |signed| {
                let keyid = first_key(signed, "snapshot");
                signed["keys"][keyid][field] = value.into();
            },
            "which cannot be used",
        );
    }
}

#[test]
fn a_kind_of_key_that_not_every_client_reads_and_a_key_without_a_role_are_pointed_out() {
    let mut registry = Registry::new();
    registry.add_key("carol", SecretKey::generate(KeyAlgorithm::EcdsaP384).unwrap());
    let notes = registry.start("root").review(&registry.copy(), &registry.signed(), registry.now).unwrap().notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("is of a kind that not every client reads: ecdsa with ecdsa-sha2-nistp384"), "{notes:?}");

    let registry = Registry::new();
    let event = tamper(&registry, &registry.start("root"), |signed| {
        signed["roles"]["root"]["keyids"]
            .as_array_mut()
            .unwrap()
            .retain(|keyid| !keyid.as_str().unwrap().starts_with('0'));
        let key = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "07".repeat(32)}});
        signed["keys"]["ab"] = key;
        // Of one that nobody can use there is nothing to say about who reads it.
        let key = json!({"keytype": "weird", "scheme": "weird", "keyval": {"public": "07"}});
        signed["keys"]["cd"] = key;
    });
    let notes = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().notes;
    assert!(notes.contains(&"the key ab is listed, and no role uses it".to_owned()), "{notes:?}");
    assert!(!notes.iter().any(|note| note.contains("not every client reads")), "{notes:?}");

    // An old spelling of a usual key.
    let mut registry = Registry::new();
    registry.add_key("carol", SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
    let point = hex::encode(VerifyingKey::from_metadata(registry.key("carol").public()).unwrap().raw());
    let event = tamper(&registry, &registry.start("root"), |signed| {
        for key in signed["keys"].as_object_mut().unwrap().values_mut().filter(|key| key["keytype"] == "ecdsa") {
            key["keyval"]["public"] = point.clone().into();
        }
    });
    let notes = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().notes;
    let said = "is of a kind that not every client reads: ecdsa with ecdsa-sha2-nistp256, not in PEM";
    assert!(notes.iter().any(|note| note.contains(said)), "{notes:?}");
}

#[test]
fn names_of_files_that_others_cannot_keep_are_not_published() {
    for (path, expected) in [
        ("tools/NUL.txt", "has the name of a device on Windows"),
        ("com1", "has the name of a device on Windows"),
        ("tools/LPT9.tar.gz", "has the name of a device on Windows"),
        ("a:b", "has a character that Windows does not take"),
        ("dot.", "ends with a dot"),
        (" space", "begins or ends with a space"),
    ] {
        let registry = published();
        refused(&registry, with_file(&registry, path, "x"), EVERYBODY, expected);
    }
    let registry = published();
    let long = format!("{}/file", "x".repeat(191));
    refused(&registry, with_file(&registry, &long, "x"), EVERYBODY, "has a part of more than 190 bytes");
    let registry = published();
    registry.write("targets/readme.txt", "x");
    let event = with_file(&registry, "README.txt", "x");
    refused(&registry, event, EVERYBODY, "differs from README.txt by case only");
    let registry = published();
    registry.write("targets/Tools", "x");
    let event = with_file(&registry, "tools/x", "x");
    refused(&registry, event, EVERYBODY, "tools/x lies below the file tools");
    // No device has this name.
    let registry = published();
    let review =
        with_file(&registry, "comet/com10.txt", "x").review(&registry.copy(), &registry.signed(), registry.now);
    assert!(review.unwrap().problems.is_empty());
}

#[test]
fn what_was_there_before_is_pointed_out_and_does_not_stop_the_next_version() {
    let registry = published();
    let mut event = with_file(&registry, "a:b", "x");
    for signer in EVERYBODY {
        registry.sign(&mut event, signer).unwrap();
    }
    smuggle(&registry, &event);
    registry.write("targets/a:b", "x");
    let review = registry.start("targets").review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert!(review.problems.is_empty(), "{:?}", review.problems);
    assert!(review.notes.iter().any(|note| note.contains("signed already: a:b has a character")), "{:?}", review.notes);
}

#[test]
fn json_that_two_readers_could_read_otherwise_is_neither_opened_nor_published() {
    let documents: [fn(&str) -> String; 5] = [
        |text| text.replacen("\"version\": 2", "\"version\": 1, \"version\": 2", 1),
        |text| text.replacen("\"signed\":", "\"signed\": {}, \"signed\":", 1),
        |text| text.replacen("\"version\": 2", "\"version\": 2.0", 1),
        |text| text.replacen("\"version\": 2", "\"version\": 2,", 1),
        |text| format!("{text}{{}}"),
    ];
    for change in documents {
        let registry = published();
        let mut event = registry.start("root");
        for signer in EVERYBODY {
            registry.sign(&mut event, signer).unwrap();
        }
        registry.edit("signing-events/root-v2/proposal.json", |text| change(&text));
        let opened = SigningEvent::open(&registry.copy(), &event.name);
        assert!(matches!(opened, Err(CeremonyError::Proposal(_))), "{opened:?}");
        let document = change(
            &std::fs::read_to_string(registry.path("repository/1.root.json"))
                .unwrap()
                .replace("\"version\": 1", "\"version\": 2"),
        );
        registry.write("repository/2.root.json", &document);
        let public = registry.files("public");
        let publication = registry.publish();
        assert!(matches!(&publication, Err(PublishError::Repository(_))), "{publication:?}");
        assert_eq!(registry.files("public"), public);
    }
}

/// What [`published`] is, with the key of its builder revoked since.
fn with_revoked_key() -> Registry {
    let registry = published();
    registry.edit("builders/oppy/v1.toml", |text| {
        text.replacen(
            "type = \"key\"\nstatus = \"active\"",
            "type = \"key\"\nstatus = \"revoked\"\nrevocation = { reason = \"keyCompromise\" }",
            1,
        )
    });
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    registry.publish().unwrap();
    registry
}

#[test]
fn what_must_not_follow_is_judged_again_before_publishing() {
    // A revocation that is undone by hand.
    let registry = with_revoked_key();
    registry.edit("builders/oppy/v1.toml", |text| {
        text.replace("status = \"revoked\"\nrevocation = { reason = \"keyCompromise\" }", "status = \"active\"")
    });
    refused(&registry, registry.start("oppy"), &["oppy-dev"], "the revocation of the signer");
    // And with its document.
    let registry = with_revoked_key();
    std::fs::remove_file(registry.path("builders/oppy/v1.toml")).unwrap();
    refused(&registry, registry.start("oppy"), &["oppy-dev"], "and with it revoked keys");
}

#[test]
fn what_began_between_its_ceremony_and_its_publication_is_published() {
    let mut registry = published();
    registry.write_builder("v2", "https://oppy.example/slsa/builder/v2", "SLSA_BUILD_LEVEL_3");
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    // Its level has begun by now.
    registry.now += chrono::Duration::days(2);
    let plan = registry.publish().unwrap();
    assert_eq!(plan.proof.looked_up, 1);
}

#[test]
fn every_builder_that_changed_is_looked_up_as_verifiers_do() {
    let mut registry = Registry::with_builder();
    assert_eq!(registry.publish().unwrap().proof.looked_up, 1);
    assert_eq!(registry.publish().unwrap().proof.looked_up, 0);
    registry.now += chrono::Duration::days(1);
    registry.write_builder("v2", "https://oppy.example/slsa/builder/v2", "SLSA_BUILD_LEVEL_3");
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    // In an emergency the catalog denies it before it was ever published.
    registry.edit("trustroot.toml", |text| {
        format!(
            "{text}\n[[denials]]\nbuilderId = \"https://oppy.example/slsa/builder/v2\"\nreason = \"keyCompromise\"\n"
        )
    });
    registry.hold("targets", &["alice", "bob"]).unwrap();
    // The catalog is new, so the other one is looked up too; the denied one stands in nobody's way.
    assert_eq!(registry.publish().unwrap().proof.looked_up, 1);
}

#[test]
fn a_catalog_under_which_no_builder_would_be_found_is_not_published() {
    let registry = published();
    let event = registry.start("targets");
    let file = format!("signing-events/{}/targets/slsa/v1/catalog.json", event.name);
    registry.edit(&file, |text| text.replace("\"minVersion\": 1", "\"minVersion\": 7"));
    let catalog = std::fs::read(registry.path(&file)).unwrap();
    let mut event = tamper(&registry, &event, |signed| {
        let digest = hex::encode(sha256(&catalog));
        signed["targets"]["slsa/v1/catalog.json"] = json!({"length": catalog.len(), "hashes": {"sha256": digest}});
    });
    for signer in EVERYBODY {
        registry.sign(&mut event, signer).unwrap();
    }
    smuggle(&registry, &event);
    let public = registry.files("public");
    let refused = registry.publish().unwrap_err();
    assert!(matches!(&refused, PublishError::NotFound { .. }), "{refused}");
    assert!(refused.to_string().contains("https://oppy.example/slsa/builder/v1: "), "{refused}");
    assert_eq!(registry.files("public"), public);
}

#[test]
fn clients_from_the_published_state_from_every_root_and_from_nothing_upgrade_first() {
    let mut registry = published();
    for _ in 0..2 {
        registry.now += chrono::Duration::days(1);
        registry.hold("root", &["alice", "bob"]).unwrap();
    }
    let plan = registry.publish().unwrap();
    let from =
        ["the published state", "root v1 and nothing else", "root v2 and nothing else", "root v3 and nothing else"];
    assert_eq!(plan.proof.clients, from);
}

#[test]
fn a_timestamp_does_not_outlive_its_root() {
    let mut registry = published();
    registry.now += chrono::Duration::days(361);
    registry.edit("trustroot.toml", |text| text.replace("expires-after-days = 180", "expires-after-days = 100"));
    registry.hold("targets", &["alice", "bob"]).unwrap();
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    registry.publish().unwrap();
    let timestamp = std::fs::read_to_string(registry.published().join("timestamp.json")).unwrap();
    assert!(timestamp.contains("\"expires\": \"2027-03-01T12:00:00Z\""), "{timestamp}");
}

/// Each row of the table of what is refused names a test, and there is one.
#[test]
fn the_table_of_what_is_refused_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let formats = std::fs::read_to_string(root.join("docs/formats.md")).unwrap();
    let table = formats.split("### What is not signed, nor published").nth(1).unwrap().split("\n## ").next().unwrap();
    let sources: String = ["gate.rs", "rules.rs", "informed_signing.rs", "publishing.rs"]
        .map(|file| std::fs::read_to_string(root.join("tests/ceremony").join(file)).unwrap())
        .concat();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 15, "{rows:?}");
    for row in rows {
        let test = row.rsplit('`').nth(1).unwrap();
        assert!(sources.contains(&format!("fn {test}()")), "{row}");
    }
}
