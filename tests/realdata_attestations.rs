//! Attestations that npm's registry served, checked with the keys that Sigstore's TUF repository delivers.
//!
//! Nobody in this project wrote any of it. The key that signed ended on 2025-01-29 and the data is judged on
//! 2026-08-22, so every file that passes does so by the time that the Rekor log signed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/realdata.rs"]
mod realdata;

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use trustroot::verify::{
    ArtifactDigests, Denial, KeySet, NoTrustedTime, Request, SkipReason, TransparencyLogs, TrustedTime, Verdict,
    verify_with_keys,
};

const NOW: &str = "2026-08-22T00:00:00Z";
/// The publish attestation's key was valid then, and every file had been logged.
const WHILE_THE_KEY_WAS_VALID: &str = "2024-12-01T00:00:00Z";
const PUBLISH: &str = "https://github.com/npm/attestation/tree/main/specs/publish/v0.1";

/// Name, subject, and the time in the log's entry for the publish attestation.
const FILES: [(&str, &str, &str); 5] = [
    ("gundam-visor-cli-v1-tag", "pkg:npm/gundam-visor@1.0.1", "2024-06-03T22:18:01Z"),
    ("provenance-npm-test-cli-v02-prega", "pkg:npm/%40laurentsimon/provenance-npm-test@1.0.3", "2023-04-20T17:17:21Z"),
    ("provenance-npm-test-cli-v1-prega", "pkg:npm/sigstore@2.3.1", "2024-05-16T17:12:06Z"),
    ("provenance-npm-test-ossf", "pkg:npm/%40laurentsimon/provenance-npm-test@1.0.5", "2023-05-18T17:58:57Z"),
    ("supreme-googles-cli-v02-tag", "pkg:npm/%40trishankatdatadog/supreme-goggles@1.0.5", "2023-05-16T17:33:01Z"),
];

struct World {
    npm: PathBuf,
    keys: KeySet,
    logs: TransparencyLogs,
}

impl World {
    fn load() -> Option<Self> {
        let targets = realdata::path("tuf/sigstore-current/targets")?;
        let read = |name: &str| fs::read(targets.join(name)).unwrap();
        Some(Self {
            npm: realdata::path("attestations/slsa-verifier/npm")?,
            keys: KeySet::parse(&read("registry.npmjs.org/keys.json")).unwrap(),
            logs: TransparencyLogs::from_trusted_root(&read("trusted_root.json")).unwrap(),
        })
    }

    fn artifact(&self, name: &str) -> ArtifactDigests {
        digests(&self.npm.join(format!("{name}.tgz")))
    }

    fn attestations(&self, name: &str) -> Vec<u8> {
        fs::read(self.npm.join(format!("{name}.tgz.json"))).unwrap()
    }

    fn verify(&self, artifact: &ArtifactDigests, attestations: &[u8], now: &str) -> Result<Verdict, Denial> {
        let mut request = Request::new(artifact, attestations, &self.keys, time(now));
        request.time_authority = Some(&self.logs);
        verify_with_keys(&request)
    }
}

fn digests(path: &Path) -> ArtifactDigests {
    let mut digester = ArtifactDigests::digester();
    digester.update(&fs::read(path).unwrap());
    digester.into()
}

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
}

#[test]
fn publish_attestations_pass_by_the_time_of_the_log() {
    let Some(world) = World::load() else { return };
    for (name, subject, logged) in FILES {
        let verdict = world.verify(&world.artifact(name), &world.attestations(name), NOW).unwrap();
        assert_eq!((verdict.accepted.len(), verdict.refused.len(), verdict.skipped.len()), (1, 0, 1), "{name}");
        // The provenance is by the certificate beside it, which nobody here trusts.
        assert_eq!(verdict.skipped[0].reason, SkipReason::Certificate, "{name}");
        let accepted = &verdict.accepted[0];
        assert_eq!(accepted.predicate_type, PUBLISH, "{name}");
        assert_eq!(accepted.subjects[0].name, subject, "{name}");
        let [signer] = accepted.signed_by.as_slice() else { panic!("{name}: {verdict:?}") };
        assert_eq!(signer.keyid, "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA", "{name}");
        assert_eq!(signer.valid_for.to_string(), "from 2022-12-01T00:00:00Z to 2025-01-29T00:00:00Z", "{name}");
        let TrustedTime::Known { time, log } = &signer.time else { panic!("{name}: {verdict:?}") };
        assert_eq!(time.to_rfc3339_opts(SecondsFormat::Secs, true), logged, "{name}");
        assert_eq!(log, "https://rekor.sigstore.dev", "{name}");
    }
}

#[test]
fn publish_attestations_with_a_bad_signature_are_denied() {
    let Some(world) = World::load() else { return };
    for (base, ..) in FILES {
        let name = format!("{base}-invalidsigpub");
        let denial = world.verify(&world.artifact(&name), &world.attestations(&name), NOW).unwrap_err();
        assert_eq!(denial.code(), "bad-signature", "{name}: {denial}");
    }
}

/// The publish attestation is good; the payload of the provenance, signed with a certificate, was altered.
#[test]
fn files_with_an_altered_provenance_are_refused_as_a_whole() {
    let Some(world) = World::load() else { return };
    for (base, ..) in FILES {
        let name = format!("{base}-invalidsigprov");
        let denial = world.verify(&world.artifact(&name), &world.attestations(&name), NOW).unwrap_err();
        assert!(matches!(denial, Denial::AlteredAttestation { position: 1, .. }), "{name}: {denial}");
    }
}

#[test]
fn every_attestation_is_about_its_own_tarball_only() {
    let Some(world) = World::load() else { return };
    for (base, ..) in FILES {
        for (other, ..) in FILES.iter().filter(|(other, ..)| *other != base) {
            let denial = world.verify(&world.artifact(other), &world.attestations(base), NOW).unwrap_err();
            assert_eq!(denial.code(), "subject-mismatch", "{base} and {other}: {denial}");
        }
    }
}

#[test]
fn an_ended_key_needs_the_log() {
    let Some(world) = World::load() else { return };
    let (name, ..) = FILES[2];
    let (artifact, attestations) = (world.artifact(name), world.attestations(name));
    let request = Request::new(&artifact, &attestations, &world.keys, time(NOW));
    assert_eq!(
        verify_with_keys(&request).unwrap_err().to_string(),
        "key SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA is valid from 2022-12-01T00:00:00Z to \
         2025-01-29T00:00:00Z, not on 2026-08-22T00:00:00Z, and when it signed is unknown: no transparency log is \
         trusted"
    );
}

#[test]
fn the_log_entry_of_another_attestation_does_not_help() {
    let Some(world) = World::load() else { return };
    let entries = |file: &Value, index: usize| {
        file["attestations"][index]["bundle"]["verificationMaterial"]["tlogEntries"].clone()
    };
    let (name, ..) = FILES[2];
    let mut file: Value = serde_json::from_slice(&world.attestations(name)).unwrap();
    let other: Value = serde_json::from_slice(&world.attestations(FILES[0].0)).unwrap();
    // Another publish attestation by the same key, and the provenance of the same package.
    for foreign in [entries(&other, 0), entries(&file, 1)] {
        file["attestations"][0]["bundle"]["verificationMaterial"]["tlogEntries"] = foreign;
        let denial = world.verify(&world.artifact(name), file.to_string().as_bytes(), NOW).unwrap_err();
        assert!(
            matches!(&denial, Denial::KeyNotValidNow { reason, .. } if **reason == NoTrustedTime::OtherPayload),
            "{denial}"
        );
    }
}

/// Where the bytes are that the key or the log signed, and whose loss the change must show as.
const SIGNED_BY_THE_KEY: [&str; 2] = ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"];
const SIGNED_BY_THE_LOG: [&str; 5] = [
    "/verificationMaterial/tlogEntries/0/canonicalizedBody",
    "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
    "/verificationMaterial/tlogEntries/0/logId/keyId",
    "/verificationMaterial/tlogEntries/0/integratedTime",
    "/verificationMaterial/tlogEntries/0/logIndex",
];

/// Returns copies of the file, each with one byte changed in the text at `pointer` of a bundle.
fn altered(file: &[u8], bundle: usize, pointer: &str) -> impl Iterator<Item = Vec<u8>> {
    let file: Value = serde_json::from_slice(file).unwrap();
    let pointer = format!("/attestations/{bundle}/bundle{pointer}");
    let text = file.pointer(&pointer).and_then(Value::as_str).unwrap().to_owned();
    (0..text.len()).map(move |position| {
        let mut changed = text.clone().into_bytes();
        changed[position] = if changed[position] == b'1' { b'2' } else { b'1' };
        let mut file = file.clone();
        *file.pointer_mut(&pointer).unwrap() = String::from_utf8(changed).unwrap().into();
        file.to_string().into_bytes()
    })
}

#[test]
fn any_changed_byte_is_noticed() {
    let Some(world) = World::load() else { return };
    let (name, ..) = FILES[2];
    let (artifact, attestations) = (world.artifact(name), world.attestations(name));
    for pointer in SIGNED_BY_THE_KEY {
        for file in altered(&attestations, 0, pointer) {
            let denial = world.verify(&artifact, &file, WHILE_THE_KEY_WAS_VALID).unwrap_err();
            assert!(matches!(denial.code(), "bad-signature" | "malformed-attestation"), "{pointer}: {denial}");
        }
    }
    for pointer in SIGNED_BY_THE_LOG {
        for file in altered(&attestations, 0, pointer) {
            // While the key was valid the file passes, and says that the time is unknown ...
            let verdict = world.verify(&artifact, &file, WHILE_THE_KEY_WAS_VALID).unwrap();
            let time = &verdict.accepted[0].signed_by[0].time;
            assert!(matches!(time, TrustedTime::Unknown { .. }), "{pointer}: {time:?}");
            // ... and once the key has ended, the file no longer passes.
            let denial = world.verify(&artifact, &file, NOW).unwrap_err();
            assert_eq!(denial.code(), "key-not-valid-now", "{pointer}");
        }
    }
    // Of the provenance: every byte of the signature, and enough of the payload.
    for (pointer, step) in [("/dsseEnvelope/signatures/0/sig", 1), ("/dsseEnvelope/payload", 37)] {
        for file in altered(&attestations, 1, pointer).step_by(step) {
            let denial = world.verify(&artifact, &file, NOW).unwrap_err();
            assert_eq!(denial.code(), "altered-attestation", "{pointer}");
        }
    }
}

#[test]
fn nothing_else_in_the_collection_passes() {
    let Some(attestations) = realdata::path("attestations") else { return };
    let Some(world) = World::load() else { return };
    let mut judged = 0;
    for entry in walkdir::WalkDir::new(attestations).sort_by_file_name() {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() || entry.path().starts_with(&world.npm) {
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap();
        // Judged against itself: whatever it is about, it is not signed by npm's key.
        let denial = world.verify(&digests(entry.path()), &bytes, NOW).unwrap_err();
        let path = entry.path().to_string_lossy();
        let expected: &[&str] = if path.ends_with("sigstoreBundle-invalid-signature.json") {
            &["altered-attestation"]
        } else if path.contains("/gha-bundle/") {
            &["nothing-to-judge"]
        } else if path.contains("/gha-raw-dsse/") || path.contains("vsa.jsonl") {
            &["not-signed-by-delivered-keys"]
        } else if path.contains("/gcb/v1.0-") {
            // What gcloud prints, with two envelopes.
            &["none-accepted"]
        } else {
            &["malformed-attestation", "none-accepted", "nothing-to-judge", "not-signed-by-delivered-keys"]
        };
        assert!(expected.contains(&denial.code()), "{path}: {denial}");
        judged += 1;
    }
    assert!(judged > 50, "only {judged} files");
}
