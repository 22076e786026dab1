//! Provenance that Google Cloud Build wrote and a verification summary of Google's, judged by a builder map that came
//! through a TUF repository. Nobody in this project wrote the attestations or the keys.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/realdata.rs"]
mod realdata;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Value, json};
use support::{SimRepository, block_on};
use trustroot::builders::{
    BuildLevel, Builder, BuilderId, Namespace, Verifier, builder_path, namespace_patterns, verifier_path,
};
use trustroot::client::Updater;
use trustroot::verify::{
    ArtifactDigests, BuilderDenial, BuilderRequest, BuilderVerdict, VerifierRequest, verify_with_builder,
    verify_with_verifier,
};

const BASE: &str = "https://cloudbuild.googleapis.com/GoogleHostedWorker";
const VERSIONED: &str = "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3";
const VERIFIER: &str = "https://bcid.corp.google.com/verifier/bcid_package_enforcer/v0.1";
const RESOURCE: &str = "gce_image://gke-node-images:gke-12615-gke1418000-cos-101-17162-463-29-c-cgpv1-pre";

fn signer(name: &str, pem_file: &Path, envelope: &str, encoding: &str) -> Value {
    let pem = pem::parse(fs::read_to_string(pem_file).unwrap()).unwrap();
    let raw = base64::engine::general_purpose::STANDARD.encode(pem.contents());
    json!({"name": name, "type": "key", "status": "active", "envelope": envelope, "signatureEncoding": encoding,
        "publicKey": {"rawBytes": raw, "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": "2020-01-01T00:00:00Z"}}})
}

/// The builder's and the verifier's documents, without their media types.
fn documents(directory: &Path) -> [Value; 2] {
    let mut signers = Vec::new();
    let mut keys: Vec<_> =
        fs::read_dir(directory.join("gcb-keys")).unwrap().map(|entry| entry.unwrap().path()).collect();
    keys.sort();
    for key in keys {
        let name = key.file_stem().unwrap().to_str().unwrap().to_owned();
        let envelope = if name.starts_with("global-pae") { "dsse" } else { "raw-payload" };
        signers.push(signer(&name, &key, envelope, "der"));
    }
    let builder = json!({"builderId": BASE, "status": "active", "threshold": 1, "signers": signers,
        "idVersions": {"refs": ["v0.*"]},
        "qualifications": [{"level": "SLSA_BUILD_LEVEL_3", "spec": "1.0", "validFor": {"start": LEVEL_START}}]});
    let vsa_key = directory.join("vsa/vsa_signing_public_key.pem");
    let verifier = json!({"verifierId": VERIFIER, "status": "active", "threshold": 1,
        "signers": [signer("vsa", &vsa_key, "dsse", "p1363")],
        "scopes": {"resources": ["gce_image://gke-node-images:"]}});
    [builder, verifier]
}

const LEVEL_START: &str = "2026-03-01T13:00:00Z";

/// A repository with the map, and the directory of the attestations.
fn world() -> Option<(SimRepository, PathBuf)> {
    let directory = realdata::path("attestations/slsa-verifier")?;
    let [mut builder, mut verifier] = documents(&directory);
    builder["mediaType"] = "application/vnd.trustroot.builder.v1+json".into();
    verifier["mediaType"] = "application/vnd.trustroot.verifier.v1+json".into();
    // The repository in memory lives at an earlier time.
    builder["qualifications"][0]["validFor"]["start"] = "2022-01-01T00:00:00Z".into();
    let catalog = json!({"mediaType": "application/vnd.trustroot.catalog.v1+json", "namespaces": {"google": {
        "role": "google", "minVersion": 1,
        "grants": {"builders": [BASE], "verifiers": ["https://bcid.corp.google.com/verifier/"],
            "resources": ["gce_image://gke-node-images:"]},
        "caps": [{"level": "SLSA_BUILD_LEVEL_3", "validFor": {"start": "2022-01-01T00:00:00Z"}}]}}});

    let google = Namespace::parse("google").unwrap();
    let patterns = namespace_patterns(&google);
    let mut repository = SimRepository::new();
    repository.delegate("targets", "google", &patterns.each_ref().map(String::as_str));
    repository.delegation("targets", "google")["terminating"] = json!(true);
    repository.add_target("targets", "slsa/v1/catalog.json", catalog.to_string().as_bytes());
    let path = builder_path(&google, &BuilderId::parse(BASE).unwrap());
    repository.add_target("google", path.as_str(), builder.to_string().as_bytes());
    let path = verifier_path(&google, &BuilderId::parse(VERIFIER).unwrap());
    repository.add_target("google", path.as_str(), verifier.to_string().as_bytes());
    repository.publish();
    Some((repository, directory))
}

fn updater(repository: &SimRepository) -> Updater {
    repository.client().new_updater().unwrap()
}

fn verify(repository: &SimRepository, file: &[u8], digest: &str, id: &str) -> Result<BuilderVerdict, BuilderDenial> {
    let mut updater = updater(repository);
    let found = block_on(async {
        let registry = updater.registry().await.unwrap();
        updater.look_up::<Builder>(&registry, &BuilderId::parse(id).unwrap()).await.unwrap()
    });
    let artifact = ArtifactDigests::named(digest).unwrap();
    let now = repository.shelf().now();
    verify_with_builder(&BuilderRequest::new(&artifact, file, &found, BuildLevel::L3, now))
}

#[test]
fn every_file_of_cloud_build_gets_the_verdict_that_its_name_says() {
    let Some((repository, directory)) = world() else { return };
    let mut judged = 0;
    for entry in fs::read_dir(directory.join("gcb")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = fs::read(&path).unwrap();
        let json: Value = serde_json::from_slice(&file).unwrap();
        let digest = json["image_summary"]["digest"].as_str().unwrap();
        if let Ok(stated) = fs::read_to_string(path.with_extension("digest")) {
            assert_eq!(stated.trim(), digest, "{name}");
        }
        let verdict = verify(&repository, &file, digest, VERSIONED);
        let code = verdict.as_ref().map_or_else(BuilderDenial::code, |_| "accepted");
        let expected = match name {
            "gcloud-container-invalid-signature-encoding.json"
            | "gcloud-container-invalid-signature-global-pae-key.json"
            | "gcloud-container-mismatch-payload-builderid.json"
            | "gcloud-container-mismatch-payload-digest.json"
            | "gcloud-container-multiple-invalid-signatures.json" => "not-signed-by-builder",
            "v1.0-gcloud-container-github-both-invalid-sig.json" => "none-accepted",
            // Of `invalid-signature-region` only the keyid was changed, which is a hint: the signature is good.
            _ => "accepted",
        };
        assert_eq!(code, expected, "{name}: {verdict:?}");
        judged += 1;
    }
    assert_eq!(judged, 16);
}

#[test]
fn one_good_attestation_suffices_and_only_for_its_own_builder() {
    let Some((repository, directory)) = world() else { return };
    let file = fs::read(directory.join("gcb/v1.0-gcloud-container-bb.json")).unwrap();
    let json: Value = serde_json::from_slice(&file).unwrap();
    let digest = json["image_summary"]["digest"].as_str().unwrap();
    // Whoever took out names of the first payload broke its signature; OpenSSL finds no key for it either.
    let verdict = verify(&repository, &file, digest, VERSIONED).unwrap();
    assert_eq!(verdict.accepted.len(), 1);
    assert_eq!((verdict.accepted[0].position, verdict.accepted[0].level), (1, BuildLevel::L3));
    assert_eq!(verdict.refused[0].denial.code(), "not-signed-by-builder");
    let BuilderDenial::NoneAccepted { refused } = verify(&repository, &file, digest, BASE).unwrap_err() else {
        panic!("two attestations are refused");
    };
    let codes: Vec<_> = refused.iter().map(|refused| refused.denial.code()).collect();
    assert_eq!(codes, ["not-signed-by-builder", "other-builder"]);
}

#[test]
fn the_summary_of_google_is_believed_for_its_image_and_no_other() {
    let Some((repository, directory)) = world() else { return };
    let file = fs::read(directory.join("vsa/gke-gce-pre.bcid-vsa.jsonl")).unwrap();
    let mut updater = updater(&repository);
    let found = block_on(async {
        let registry = updater.registry().await.unwrap();
        updater.look_up::<Verifier>(&registry, &BuilderId::parse(VERIFIER).unwrap()).await.unwrap()
    });
    let judge = |digest: &str, resource: &str, level: BuildLevel| {
        let artifact = ArtifactDigests::named(digest).unwrap();
        let request = VerifierRequest::new(&artifact, &file, &found, resource, level, repository.shelf().now());
        verify_with_verifier(&request).map_or_else(|denial| denial.code(), |_| "accepted")
    };
    let image = "gce_image_id:8970095005306000053";
    assert_eq!(judge(image, RESOURCE, BuildLevel::L2), "accepted");
    assert_eq!(judge(image, RESOURCE, BuildLevel::L3), "level-too-low");
    assert_eq!(judge(image, "gce_image://gke-node-images:other", BuildLevel::L2), "other-resource");
    assert_eq!(judge("gce_image_id:1", RESOURCE, BuildLevel::L2), "subject-mismatch");
}

/// From the working copy of a registry, through a ceremony and a publication, to the verdict.
#[cfg(feature = "maintainer")]
#[test]
fn a_trust_root_that_was_signed_and_published_carries_google_s_keys_to_the_verifier() {
    use std::sync::Arc;
    use support::Registry;
    use trustroot::client::{CacheMode, FileFetcher, LocalCache, SafeUrl, TrustAnchor, UpdaterSettings};

    let Some(directory) = realdata::path("attestations/slsa-verifier") else { return };
    let mut registry = Registry::new();
    registry.add_person("google-dev");
    registry.edit("trustroot.toml", |text| {
        format!(
            "{text}\n[people.google-dev]\nkeys = [\"keys/google-dev.pub\"]\n[namespaces.google]\nsigners = [\"google-dev\"]\n\
             threshold = 1\nexpires-after-days = 90\nsign-within-days = 30\n[namespaces.google.catalog]\n\
             grants = {{ builders = [\"{BASE}\"], verifiers = [\"https://bcid.corp.google.com/verifier/\"], \
             resources = [\"gce_image://gke-node-images:\"] }}\n\
             caps = [{{ level = \"SLSA_BUILD_LEVEL_3\", validFor = {{ start = \"{LEVEL_START}\" }} }}]\n"
        )
    });
    let [builder, verifier] = documents(&directory).map(|document| toml::to_string(&document).unwrap());
    registry.write("builders/google/cloud-build.toml", &builder);
    registry.write("verifiers/google/bcid.toml", &verifier);
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.hold("targets", &["bob", "carol"]).unwrap();
    registry.hold("google", &["google-dev"]).unwrap();
    registry.publish().unwrap();
    registry.now += chrono::Duration::hours(2);

    let base = SafeUrl::from_file_path(&registry.published()).unwrap();
    let settings = UpdaterSettings::new(base.clone(), base.below("targets"));
    let cache = tempfile::tempdir().unwrap();
    let cache = LocalCache::new(cache.path(), CacheMode::ReadWrite);
    let anchor = TrustAnchor::Pinned(fs::read(registry.path("repository/1.root.json")).unwrap());
    let mut updater = Updater::new(anchor, settings, cache, Arc::new(FileFetcher), registry.start_time()).unwrap();
    let (builder, verifier) = block_on(async {
        let map = updater.registry().await.unwrap();
        let builder = updater.look_up::<Builder>(&map, &BuilderId::parse(VERSIONED).unwrap()).await.unwrap();
        (builder, updater.look_up::<Verifier>(&map, &BuilderId::parse(VERIFIER).unwrap()).await.unwrap())
    });
    assert_eq!(builder.source.role.as_str(), "google");

    let mut accepted = 0;
    for name in ["gcloud-container-github.json", "gcloud-container-global-pae-signing-key-successful.json"] {
        let file = fs::read(directory.join("gcb").join(name)).unwrap();
        let json: Value = serde_json::from_slice(&file).unwrap();
        let artifact = ArtifactDigests::named(json["image_summary"]["digest"].as_str().unwrap()).unwrap();
        let request = BuilderRequest::new(&artifact, &file, &builder, BuildLevel::L3, registry.now);
        accepted += verify_with_builder(&request).unwrap().accepted.len();
    }
    assert_eq!(accepted, 2);
    let tampered = fs::read(directory.join("gcb/gcloud-container-mismatch-payload-digest.json")).unwrap();
    let json: Value = serde_json::from_slice(&tampered).unwrap();
    let artifact = ArtifactDigests::named(json["image_summary"]["digest"].as_str().unwrap()).unwrap();
    let request = BuilderRequest::new(&artifact, &tampered, &builder, BuildLevel::L3, registry.now);
    assert_eq!(verify_with_builder(&request).unwrap_err().code(), "not-signed-by-builder");

    let summary = fs::read(directory.join("vsa/gke-gce-pre.bcid-vsa.jsonl")).unwrap();
    let image = ArtifactDigests::named("gce_image_id:8970095005306000053").unwrap();
    let request = VerifierRequest::new(&image, &summary, &verifier, RESOURCE, BuildLevel::L2, registry.now);
    assert_eq!(verify_with_verifier(&request).unwrap().accepted[0].level, BuildLevel::L2);
}
