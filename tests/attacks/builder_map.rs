//! Attacks on the builder map: who may answer for a document, and what a namespace may claim.

use serde_json::{Value, json};
use trustroot::builders::{Builder, BuilderId, Found, Namespace, builder_path, effective_level, namespace_patterns};
use trustroot::client::LookupError;

use crate::support::{SimRepository, block_on};

const ID: &str = "https://oppy.example/slsa/b";

fn id(text: &str) -> BuilderId {
    BuilderId::parse(text).unwrap()
}

fn oppy() -> Namespace {
    Namespace::parse("oppy").unwrap()
}

fn catalog() -> Value {
    json!({"mediaType": "application/vnd.trustroot.catalog.v1+json", "namespaces": {"oppy": {
        "role": "oppy", "minVersion": 1, "grants": {"builders": ["https://oppy.example/slsa/"]},
        "caps": [{"level": "SLSA_BUILD_LEVEL_2", "validFor": {"start": "2026-01-01T00:00:00Z"}}]}}})
}

fn builder(id: &str) -> Value {
    json!({"mediaType": "application/vnd.trustroot.builder.v1+json", "builderId": id, "status": "active",
        "threshold": 1, "signers": [], "qualifications": [{"level": "SLSA_BUILD_LEVEL_3", "spec": "1.2",
            "validFor": {"start": "2026-01-01T00:00:00Z"}}]})
}

/// A repository whose namespace `oppy` has the documents given.
fn repository(catalog: &Value, documents: &[Value]) -> SimRepository {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "oppy", &namespace_patterns(&oppy()).each_ref().map(String::as_str));
    repository.delegation("targets", "oppy")["terminating"] = json!(true);
    repository.add_target("targets", "slsa/v1/catalog.json", catalog.to_string().as_bytes());
    for document in documents {
        let path = builder_path(&oppy(), &id(document["builderId"].as_str().unwrap()));
        repository.add_target("oppy", path.as_str(), document.to_string().as_bytes());
    }
    repository.publish();
    repository
}

fn look_up(repository: &SimRepository, text: &str) -> Result<Found<Builder>, LookupError> {
    let mut updater = repository.client().new_updater().unwrap();
    block_on(async {
        let registry = updater.registry().await?;
        updater.look_up(&registry, &id(text)).await
    })
}

fn code(repository: &SimRepository, text: &str) -> &'static str {
    look_up(repository, text).map_or_else(|error| error.code(), |_| "found")
}

#[test]
fn a_namespace_cannot_raise_its_own_level() {
    let repository = repository(&catalog(), &[builder(ID)]);
    let found = look_up(&repository, ID).unwrap();
    let level = effective_level(&found.entry, &found.document, None, repository.shelf().now());
    assert_eq!(level.to_string(), "min(cap L2, qualification L3) = L2");
}

#[test]
fn a_document_that_top_level_targets_answer_for_is_refused() {
    let mut repository = repository(&catalog(), &[builder(ID)]);
    let path = builder_path(&oppy(), &id(ID));
    repository.add_target("targets", path.as_str(), builder(ID).to_string().as_bytes());
    repository.publish();
    assert_eq!(code(&repository, ID), "wrong-role");
}

#[test]
fn a_catalog_that_a_delegated_role_answers_for_is_refused() {
    let mut repository = repository(&catalog(), &[builder(ID)]);
    repository.draft("targets")["targets"].as_object_mut().unwrap().remove("slsa/v1/catalog.json");
    repository.delegate("targets", "evil", &["slsa/v1/*"]);
    repository.add_target("evil", "slsa/v1/catalog.json", catalog().to_string().as_bytes());
    repository.bump("targets");
    repository.publish();
    assert_eq!(code(&repository, ID), "wrong-role");
}

#[test]
fn a_delegation_that_lets_others_answer_is_refused() {
    for (pointer, value) in [
        ("/terminating", json!(false)),
        ("/paths", json!(["slsa/v1/*/*/*.json"])),
        ("/paths", json!(["slsa/v1/builders/oppy/*.json"])),
    ] {
        let mut repository = repository(&catalog(), &[builder(ID)]);
        *repository.delegation("targets", "oppy").pointer_mut(pointer).unwrap() = value;
        repository.bump("targets");
        repository.publish();
        assert_eq!(code(&repository, ID), "bad-delegation", "{pointer}");
    }
}

#[test]
fn a_delegation_before_the_namespaces_own_is_refused() {
    let mut repository = repository(&catalog(), &[builder(ID)]);
    repository.delegate("targets", "evil", &["slsa/v1/builders/*/x*"]);
    repository.draft("targets")["delegations"]["roles"].as_array_mut().unwrap().reverse();
    repository.bump("targets");
    repository.publish();
    assert_eq!(code(&repository, ID), "bad-delegation");
}

#[test]
fn a_namespace_older_than_the_catalog_allows_is_refused() {
    let mut catalog = catalog();
    catalog["namespaces"]["oppy"]["minVersion"] = json!(100);
    assert_eq!(code(&repository(&catalog, &[builder(ID)]), ID), "stale-namespace");
}

#[test]
fn an_id_outside_the_grants_is_unknown_whatever_the_namespace_publishes() {
    let repository = repository(&catalog(), &[builder("https://oppy.example.evil/slsa/b")]);
    assert_eq!(code(&repository, "https://oppy.example.evil/slsa/b"), "unknown-builder");
    assert_eq!(code(&repository, "https://oppy.example/slsa-evil/b"), "unknown-builder");
    assert_eq!(code(&repository, ID), "no-document");
}

#[test]
fn a_ref_stands_for_its_builder_only_where_the_document_says_so() {
    let mut base = builder(ID);
    base["idVersions"] = json!({"refs": ["refs/tags/v*"]});
    let repository = repository(&catalog(), std::slice::from_ref(&base));
    assert_eq!(look_up(&repository, &format!("{ID}@refs/tags/v1.9.0")).unwrap().document.id, id(ID));
    for reference in ["refs/heads/main", "refs/tags/v1/evil", "x/refs/tags/v1"] {
        assert_eq!(code(&repository, &format!("{ID}@{reference}")), "ref-not-allowed", "{reference}");
    }
    base["status"] = json!("revoked");
    base["revocation"] = json!({"reason": "gone"});
    let repository = self::repository(&catalog(), &[base]);
    assert_eq!(code(&repository, &format!("{ID}@refs/tags/v1")), "tombstoned");
}

#[test]
fn a_denial_wins_over_the_namespace() {
    let mut catalog = catalog();
    catalog["denials"] = json!([{"builderId": ID, "reason": "keyCompromise"}]);
    let repository = repository(&catalog, &[builder(ID), builder(&format!("{ID}@v1"))]);
    assert_eq!(code(&repository, ID), "denied");
    assert_eq!(code(&repository, &format!("{ID}@v1")), "denied");
}

#[test]
fn an_unknown_field_refuses_catalog_and_document() {
    let mut strange = catalog();
    strange["namespaces"]["oppy"]["onlyFor"] = json!("friends");
    assert_eq!(code(&repository(&strange, &[builder(ID)]), ID), "malformed-catalog");
    let mut strange = builder(ID);
    strange["onlyFor"] = json!("friends");
    assert_eq!(code(&repository(&catalog(), &[strange]), ID), "malformed-document");
}
