//! What the commands of a verifier print for programs is documented, field by field.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::several::World;
use crate::{KEYS, Sandbox, demo_repository::support::OPPY};

/// Collects the names of fields, with the command that prints each. Where the names are data, such as those of hash
/// algorithms, they are passed over.
fn collect(value: &Value, data: bool, command: &str, names: &mut BTreeMap<String, String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, false, command, names)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if !data {
                    names.entry(name.clone()).or_insert_with(|| command.to_owned());
                }
                let data = ["digest", "digests", "hashes", "meta", "roles"].contains(&name.as_str());
                collect(value, data, command, names);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_that_a_client_command_prints_is_in_formats_md() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md")).unwrap();
    let documented = page.split("\n## JSON results\n").nth(1).unwrap();
    let mut names = BTreeMap::new();
    let mut note = |command: &str, said: &Value| collect(said, false, command, &mut names);

    let sandbox = Sandbox::new();
    let attestation = ["verify", "hello-1.0.tgz", "--attestation", "hello-1.0.tgz.attestation.json"];
    for arguments in [
        &["trust", "add", "far", "--url", "repository", "--trust-on-first-use"][..],
        &["trust", "set", "far", "--expired-grace", "3d"],
        &["refresh", "--at", "2030-01-01T00:00:00Z"],
        &["refresh"],
        &["trust", "list"],
        &["trust", "show", "far"],
        &["status"],
        &["changes", "--since", "2026-01-01"],
        &["get", KEYS, "--trust", "far", "--output", "keys.json"],
        &["get", KEYS, "--trust", "far", "--output", "keys.json", "--offline", "--at", "2036-01-01T00:00:00Z"],
        &[&attestation[..], &["--key-target", KEYS, "--trust", "oppy"]].concat(),
        &["bundle", "export", "oppy", "--output", "news.bundle", "--target", KEYS],
        &["bundle", "inspect", "news.bundle"],
        &["bundle", "import", "news.bundle", "--trust", "oppy"],
        &["inspect", "repository/2.root.json"],
        &["inspect", "repository/timestamp.json"],
        &["inspect", "repository/2.snapshot.json"],
        &["inspect", "repository/2.targets.json"],
        &["trust", "remove", "oppy"],
    ] {
        let output = sandbox.command(&[arguments, &["--format", "json"]].concat()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {errors}"));
        // One of these has expired: the error is documented in errors.md.
        if said["error"].is_null() {
            note(&arguments.join(" "), &said);
        } else {
            assert!(arguments.contains(&"2036-01-01T00:00:00Z"), "{arguments:?}: {said}");
        }
    }

    let world = World::new();
    let attestation = ["verify", "hello.tgz", "--attestation", "hello.json", "--builder", OPPY, "--min-level", "L3"];
    for trust in [&[][..], &["--trust", "a"]] {
        note("lookup", &world.json(0, &[&["lookup", OPPY][..], trust].concat()));
        note("verify", &world.json(0, &[&attestation[..], trust].concat()));
    }
    note("get", &world.json(0, &["get", "slsa/v1/catalog.json"]));
    note("changes", &world.json(0, &["changes", "--since", "2026-01-01"]));

    assert!(names.len() > 80, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|(name, _)| !documented.contains(&format!("\"{name}\""))).collect();
    assert!(missing.is_empty(), "docs/formats.md, `JSON results`, does not show {missing:#?}");
}
