//! Names and texts of a proposal that are written like the lines of a review.

use serde_json::{Value, json};
use trustroot::ceremony::{Review, SigningEvent};
use trustroot::crypto::{SecretKey, sha256};

use crate::support::Registry;

fn review(registry: &Registry, event: &SigningEvent) -> Review {
    event.review(&registry.copy(), &registry.signed(), registry.now).unwrap()
}

fn lines(review: &Review) -> Vec<String> {
    review.changes.iter().map(|change| format!("{} {}", change.mark.sign(), change.text)).collect()
}

/// Changes the proposal on disk, as somebody with access to the files could.
fn tamper(registry: &Registry, name: &str, change: impl Fn(&mut Value)) -> SigningEvent {
    let file = format!("signing-events/{name}/proposal.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(registry.path(&file)).unwrap()).unwrap();
    change(&mut value["signed"]);
    registry.write(&file, &value.to_string());
    registry.event(name)
}

/// A registry with a second root proposed, in which somebody has written what they like.
fn second_root(change: impl Fn(&Registry, &mut Value)) -> Review {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.now += chrono::Duration::days(1);
    registry.start("root");
    let event = tamper(&registry, "root-v2", |signed| change(&registry, signed));
    review(&registry, &event)
}

fn fingerprint(registry: &Registry, person: &str) -> String {
    hex::encode(sha256(registry.key(person).canonical_spki()))
}

/// Lists a key of the attacker's for root.
fn list(signed: &mut Value, seed: u8, owner: &str) -> String {
    let secret = SecretKey::ed25519_from_seed(&[seed; 32]).unwrap();
    // The key itself ends its SubjectPublicKeyInfo (RFC 8410).
    let public = hex::encode(&secret.canonical_spki()[12..]);
    let entry = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public},
        "x-tuf-on-ci-keyowner": owner});
    let keyid = hex::encode(sha256(entry.to_string().as_bytes()));
    signed["keys"][&keyid] = entry;
    signed["roles"]["root"]["keyids"].as_array_mut().unwrap().push(keyid.into());
    hex::encode(sha256(secret.canonical_spki()))
}

#[test]
fn an_owner_that_is_written_like_a_fact_is_quoted() {
    let review = second_root(|registry, signed| {
        let owner = format!("carol, ed25519, SHA-256 {}: keeps root", fingerprint(registry, "carol"));
        list(signed, 9, &owner);
    });
    let said = lines(&review);
    let forged: Vec<&String> = said.iter().filter(|line| line.starts_with('+') && line.contains("carol")).collect();
    assert_eq!(forged.len(), 1, "{said:#?}");
    // In quotation marks, and with no space at which a terminal could begin a line.
    assert!(forged[0].starts_with("+ key of \"carol,\\u{20}ed25519,\\u{20}SHA-256\\u{20}"), "{forged:?}");
    assert!(forged[0].contains("\\u{20}root\", ed25519, SHA-256 "), "{forged:?}");
}

#[test]
fn a_quotation_mark_in_an_owner_ends_no_quotation() {
    let review = second_root(|_, signed| drop(list(signed, 9, "eve\", ed25519")));
    assert!(lines(&review).iter().any(|line| line.starts_with("+ key of \"eve\\\", ed25519\", ed25519, SHA-256 ")));
}

#[test]
fn nobody_is_no_name() {
    let review = second_root(|_, signed| {
        for key in signed["keys"].as_object_mut().unwrap().values_mut() {
            if key["x-tuf-on-ci-keyowner"] == "bob" {
                key["x-tuf-on-ci-keyowner"] = "nobody named".into();
            } else if key["x-tuf-on-ci-keyowner"] == "carol" {
                key.as_object_mut().unwrap().remove("x-tuf-on-ci-keyowner");
            }
        }
    });
    let said = lines(&review);
    for expected in ["from bob to \"nobody named\"", "from carol to nobody named"] {
        assert!(said.contains(&format!("~ the same key passes {expected}")), "{said:#?}");
    }
}

#[test]
fn what_a_builder_is_called_cannot_say_how_its_level_moves() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.edit("builders/oppy/v1.toml", |text| {
        text.replace("Oppy autobuilder", "Oppy (https://a.example/v1): stays L2")
    });
    let said = lines(&review(&registry, &registry.start("oppy")));
    let expected =
        "    builder \"Oppy (https://a.example/v1): stays L2\" (https://oppy.example/slsa/builder/v1): stays L3";
    assert!(said.contains(&expected.to_owned()), "{said:#?}");
}

#[test]
fn a_path_cannot_say_what_the_file_is() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.write("targets/tool.txt: 5 bytes, SHA-256 00", "a tool");
    let said = lines(&review(&registry, &registry.start("targets")));
    let expected = "+ file \"tool.txt: 5 bytes, SHA-256 00\": 6 bytes, SHA-256 ";
    assert!(said.iter().any(|line| line.starts_with(expected)), "{said:#?}");
}

#[test]
fn paths_that_differ_at_their_ends_do_not_look_the_same() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    let long = format!("{}/{}", "d".repeat(150), "e".repeat(150));
    for end in ["1", "2"] {
        registry.write(&format!("targets/{long}{end}"), "a tool");
    }
    let said = lines(&review(&registry, &registry.start("targets")));
    for end in ["1", "2"] {
        assert!(said.iter().any(|line| line.starts_with(&format!("+ file {long}{end}: 6 bytes"))), "{said:#?}");
    }
}

#[test]
fn a_delegated_role_cannot_say_who_signs_it() {
    let registry = Registry::with_builder();
    registry.start("targets");
    let event = tamper(&registry, "targets-v2", |signed| {
        signed["delegations"]["roles"][0]["name"] = "oppy: 9 of 9 keys must sign".into();
    });
    let said = lines(&review(&registry, &event));
    assert!(
        said.contains(&"+ namespace \"oppy: 9 of 9 keys must sign\": 1 of 1 keys must sign".to_owned()),
        "{said:#?}"
    );
    assert!(said.iter().any(|line| line.contains(": gains \"oppy: 9 of 9 keys must sign\"; loses oppy")), "{said:#?}");
}

#[test]
fn names_of_any_length_that_look_alike_are_shown_whole() {
    let (one, other) = (format!("{}l", "x".repeat(200)), format!("{}I", "x".repeat(200)));
    let review = second_root(|_, signed| {
        list(signed, 9, &one);
        list(signed, 10, &other);
    });
    let expected = format!("these names of keyholders look alike, and are not the same: {other}, {one}");
    assert!(review.notes.contains(&expected), "{:#?}", review.notes);
}

#[test]
fn a_name_with_and_without_an_at_sign_look_alike() {
    let review = second_root(|_, signed| drop(list(signed, 9, "@Alice")));
    let expected = "these names of keyholders look alike, and are not the same: @Alice, alice";
    assert!(review.notes.contains(&expected.to_owned()), "{:#?}", review.notes);
}

#[test]
fn keyids_in_another_order_are_said() {
    let review = second_root(|_, signed| signed["roles"]["root"]["keyids"].as_array_mut().unwrap().reverse());
    let expected = "~ role root: its keyids stand in another order";
    assert!(lines(&review).contains(&expected.to_owned()), "{:#?}", lines(&review));
}

#[test]
fn a_list_in_another_order_is_said() {
    let mut registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    let list = |values: &[&str]| values.iter().map(|text| json!(text)).collect::<Vec<_>>();
    registry.start("root");
    let mut event = tamper(&registry, "root-v2", |signed| signed["x-list"] = list(&["a", "b", "c"]).into());
    for person in ["alice", "bob"] {
        registry.sign(&mut event, person).unwrap();
    }
    registry.finish(&event).unwrap();
    registry.now += chrono::Duration::days(1);
    registry.start("root");
    let event = tamper(&registry, "root-v3", |signed| signed["x-list"] = list(&["c", "a", "d"]).into());
    let said = lines(&review(&registry, &event));
    let expected = "~ no words for signed.x-list: what stays stands in another order";
    assert!(said.contains(&expected.to_owned()), "{said:#?}");
}

/// What the command shows of a request for the first root, or of the working copy where there is none.
#[cfg(feature = "cli")]
fn shown(registry: &Registry, arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_trustroot"))
        .arg("--home")
        .arg(registry.path("home"))
        .arg("ceremony")
        .args(arguments)
        .arg("-C")
        .arg(registry.path(""))
        .args(["--at", "2026-03-01T12:00:00Z"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[cfg(feature = "cli")]
fn a_purpose_cannot_draw_lines_of_a_review() {
    let registry = Registry::new();
    let event = registry.start("root");
    let forged = "+ key of mallory, ed25519: keeps root";
    let purpose = format!("rotation\"{}{forged}{}  note: x\n{forged}", " ".repeat(100), " ".repeat(43));
    let (copy, signed) = (registry.copy(), registry.signed());
    let bytes =
        trustroot::ceremony::Request::write(&event, &copy, &signed, Some(&purpose), registry.start_time()).unwrap();
    trustroot::client::write_durably(&registry.path("a.request"), &bytes).unwrap();
    let text = shown(&registry, &["review", registry.path("a.request").to_str().unwrap()]);
    let (_, after) = text.split_once("  proposed purpose, signed by nobody: \n").unwrap_or_else(|| panic!("{text}"));
    let (block, _) = after.split_once("\n\nproposed changes\n").unwrap();
    assert!(block.lines().count() > 3, "{block}");
    for line in block.lines() {
        let said = line.strip_prefix("    | ").unwrap_or_else(|| panic!("{line:?} is not marked as theirs"));
        assert!(line.len() < 80 && !said.contains("  "), "{line:?}");
    }
    assert!(block.starts_with("    | \"rotation\\\"\n    | \\u{20}"), "{block}");
    assert!(block.contains("\\n+ key"), "{block}");
}

#[test]
#[cfg(feature = "cli")]
fn the_reason_of_a_withdrawal_cannot_draw_lines_of_a_status() {
    let registry = Registry::new();
    let event = registry.start("root");
    let reason = format!("mistake\"{}next: `trustroot ceremony finish root-v1`", " ".repeat(80));
    shown(&registry, &["withdraw", event.name.as_str(), "--because", &reason]);
    let text = shown(&registry, &["status", event.name.as_str()]);
    assert!(text.contains("    | \"mistake\\\"\n    | \\u{20}"), "{text}");
    assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("next:")).count(), 1, "{text}");
}

#[test]
#[cfg(feature = "cli")]
fn notes_are_escaped_once() {
    let registry = Registry::new();
    registry.start("root");
    tamper(&registry, "root-v1", |signed| {
        list(signed, 9, "\u{430}lice");
    });
    let text = shown(&registry, &["review", "root-v1"]);
    let expected = "note: these names of keyholders look alike, and are not the same: alice, \"\\u{430}lice\"\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
#[cfg(feature = "cli")]
fn an_owner_cannot_draw_lines_of_a_status() {
    let registry = Registry::new();
    registry.start("root");
    let event = tamper(&registry, "root-v1", |signed| {
        list(signed, 9, "eve  ed25519   valid      alice");
    });
    let text = shown(&registry, &["status", event.name.as_str()]);
    assert!(text.contains("  \"eve\\u{20}\\u{20}ed25519"), "{text}");
    assert!(!text.contains("valid      alice"), "{text}");
}
