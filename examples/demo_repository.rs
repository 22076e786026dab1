//! Makes a small TUF repository and an attestation, for the demo, the transcripts and the benchmark.
//!
//! ```text
//! demo_repository DIRECTORY
//! ```
//!
//! Everything is derived from fixed throwaway keys, so that the same bytes come out every time. `DIRECTORY` gets:
//!
//! - `repository/`: root at version 2 (the root keys were rotated, two of three must sign), a delegation
//!   `oppy.example` and its target `oppy.example/keys.json`, which holds the key of a build service;
//! - `1.root.json`: what a verifier pins;
//! - `hello-1.0.tgz` and `hello-1.0.tgz.attestation.json`: an artifact, and the build service's word on it;
//! - `tampered.attestation.json`: the same with one byte of the statement changed.

#[path = "../tests/support/mod.rs"]
pub(crate) mod support;

use std::error::Error;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{Answer, Key, SimRepository};
use trustroot::client::write_durably;
use trustroot::crypto::{SecretKey, VerifyingKey, sha256};
use trustroot::verify::dsse::pre_authentication_encoding;

const ARTIFACT: &[u8] = b"hello, world: the content of a package\n";

fn main() -> Result<(), Box<dyn Error>> {
    make(&PathBuf::from(std::env::args_os().nth(1).ok_or("usage: demo_repository DIRECTORY")?))
}

/// Writes everything to `directory`.
pub(crate) fn make(directory: &Path) -> Result<(), Box<dyn Error>> {
    let builder = SecretKey::ed25519_from_seed(&[42; 32])?;
    let repository = repository(&key_set(&builder)?)?;
    for (path, answer) in repository.shelf().files() {
        if let Answer::Bytes(bytes) = answer {
            let path = path.strip_prefix("metadata/").unwrap_or(&path);
            write(&directory.join("repository").join(path), &bytes)?;
        }
    }
    let pinned = repository.shelf().get("metadata/1.root.json").ok_or("no first root")?;
    write(&directory.join("1.root.json"), &pinned)?;
    write(&directory.join("hello-1.0.tgz"), ARTIFACT)?;

    let statement = serde_json::to_vec(&json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "hello-1.0.tgz", "digest": {"sha256": hex::encode(sha256(ARTIFACT))}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {"buildType": "https://oppy.example/build/v1", "externalParameters": {"ref": "v1.0"}},
            "runDetails": {"builder": {"id": "https://oppy.example/slsa/builder/v1"}},
        },
    }))?;
    let signature = builder.sign(&pre_authentication_encoding("application/vnd.in-toto+json", &statement))?;
    write_json(&directory.join("hello-1.0.tgz.attestation.json"), &envelope(&statement, &signature))?;
    let tampered = String::from_utf8(statement)?.replace("hello-1.0", "hello-1.1");
    write_json(&directory.join("tampered.attestation.json"), &envelope(tampered.as_bytes(), &signature))
}

/// A repository whose maintainers have rotated its root keys once.
fn repository(keys: &Value) -> Result<SimRepository, Box<dyn Error>> {
    let mut repository = SimRepository::new();
    let first: Vec<Key> = (0..2).map(|_| repository.new_key()).collect();
    let second: Vec<Key> = vec![first[0].clone(), repository.new_key(), repository.new_key()];
    for role in ["root", "timestamp", "snapshot", "targets"] {
        repository.draft(role)["expires"] = json!("2036-01-01T00:00:00Z");
    }
    repository.authorize("root", &first, 2);
    repository.serve("root");
    repository.authorize("root", &second, 2);
    repository.publish_root_signed_by(&first);

    repository.delegate("targets", "oppy.example", &["oppy.example/*"]);
    repository.draft("oppy.example")["expires"] = json!("2036-01-01T00:00:00Z");
    repository.add_target("oppy.example", "oppy.example/keys.json", &serde_json::to_vec_pretty(keys)?);
    repository.publish();
    Ok(repository)
}

/// The build service's key, in the shape of npm's `keys.json`.
fn key_set(builder: &SecretKey) -> Result<Value, Box<dyn Error>> {
    let spki = VerifyingKey::from_metadata(builder.public())?.canonical_spki().to_vec();
    Ok(json!({"keys": [{
        "keyId": "oppy-2026a",
        "keyUsage": "npm:attestations",
        "publicKey": {
            "rawBytes": STANDARD.encode(spki),
            "keyDetails": "PKIX_ED25519",
            "validFor": {"start": "2026-01-01T00:00:00.000Z"},
        },
    }]}))
}

fn envelope(payload: &[u8], signature: &[u8]) -> Value {
    json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": STANDARD.encode(payload),
        "signatures": [{"keyid": "oppy-2026a", "sig": STANDARD.encode(signature)}],
    })
}

fn write_json(path: &Path, value: &Value) -> Result<(), Box<dyn Error>> {
    write(path, &serde_json::to_vec_pretty(value)?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(path.parent().ok_or("no directory")?)?;
    Ok(write_durably(path, bytes)?)
}
