//! One test for each attack on the verdict about a builder or verifier. Every one starts from a case that is accepted and
//! changes one thing; nothing else of the case moves.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::builders::{BUILDER_MEDIA_TYPE, CATALOG_MEDIA_TYPE, MapDocument, Source, VERIFIER_MEDIA_TYPE, catalog_path};
use crate::metadata::{RoleName, Version};
use crate::verify::testing::{
    EntryForm, TestKey, at, base64_text, bundle_json, certificate, certified_bundle_json, digests_of, envelope_json,
    log_entry, npm_file, trusted_root,
};
use crate::verify::{PROVENANCE_V0_1, PROVENANCE_V0_2, PROVENANCE_V1, SUMMARY_V0_2, SUMMARY_V1};

const ID: &str = "https://oppy.example/slsa/b";
const VERIFIER: &str = "https://oppy.example/slsa/verifier";
const RESOURCE: &str = "oppy://images/x";
const NOW: &str = "2026-06-01T00:00:00Z";
/// When something ends: retired, distrusted.
const END: &str = "2026-04-01T00:00:00Z";
const BEFORE_END: &str = "2026-03-31T23:59:59Z";
const AFTER_END: &str = "2026-04-01T00:00:01Z";

/// A question, and everything that the answer depends on. As it starts, the answer is yes, at L3.
struct Case {
    catalog: Value,
    document: Value,
    asked: &'static str,
    file: Vec<u8>,
    min_level: BuildLevel,
    overlay: Option<BuildLevel>,
    package: Option<&'static str>,
    resource: &'static str,
    logs: Vec<(Realm, TransparencyLogs)>,
}

fn key() -> TestKey {
    TestKey::new(1)
}

fn log() -> TestKey {
    TestKey::new(200)
}

fn realm(name: &str) -> Realm {
    Realm::parse(name).unwrap()
}

fn logs_of(name: &str, log: &TestKey) -> (Realm, TransparencyLogs) {
    (realm(name), TransparencyLogs::from_trusted_root(&trusted_root(log)).unwrap())
}

fn signer(key: &TestKey) -> Value {
    json!({"name": key.keyid, "type": "key", "status": "active", "publicKey": key.public_key_json()})
}

fn catalog() -> Value {
    json!({"mediaType": CATALOG_MEDIA_TYPE, "namespaces": {"oppy": {"role": "oppy", "minVersion": 1,
        "grants": {"builders": ["https://oppy.example/slsa/"], "verifiers": ["https://oppy.example/slsa/"],
            "resources": ["oppy://images/"], "packages": ["oppy://packages/"]},
        "caps": [{"level": "SLSA_BUILD_LEVEL_3", "validFor": {"start": "2026-01-01T00:00:00Z"}}],
        "timeAuthorities": ["public-good"]}}})
}

fn builder(signers: &[Value]) -> Value {
    json!({"mediaType": BUILDER_MEDIA_TYPE, "builderId": ID, "status": "active", "threshold": 1, "signers": signers,
        "qualifications": [
            {"level": "SLSA_BUILD_LEVEL_3", "spec": "1.2", "validFor": {"start": "2026-01-01T00:00:00Z"}}]})
}

fn verifier() -> Value {
    json!({"mediaType": VERIFIER_MEDIA_TYPE, "verifierId": VERIFIER, "status": "active", "threshold": 1,
        "signers": [signer(&key())], "scopes": {"resources": ["oppy://images/"]}})
}

fn statement(kind: &str, predicate: &Value) -> Value {
    let sha256 = hex::encode(sha256(b"artifact"));
    json!({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "a", "digest": {"sha256": sha256}}],
        "predicateType": kind, "predicate": predicate})
}

fn provenance_by(id: &str) -> Value {
    let predicate = json!({"buildDefinition": {"buildType": "https://oppy.example/bt", "externalParameters":
        {"source": "https://git.oppy.example/x"}}, "runDetails": {"builder": {"id": id}}});
    statement(PROVENANCE_V1, &predicate)
}

fn summary() -> Value {
    let predicate = json!({"verifier": {"id": VERIFIER}, "resourceUri": RESOURCE, "verificationResult": "PASSED",
        "verifiedLevels": ["SLSA_BUILD_LEVEL_3"]});
    statement(SUMMARY_V1, &predicate)
}

fn signed(statement: &Value, keys: &[&TestKey]) -> Value {
    envelope_json(statement.to_string().as_bytes(), IN_TOTO_PAYLOAD_TYPE, keys)
}

fn bytes(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}

/// An envelope with these signatures, which may be anything, and no keyids.
fn envelope(payload: &[u8], kind: &str, signatures: &[&[u8]]) -> Vec<u8> {
    let signatures: Vec<_> = signatures.iter().map(|bytes| json!({"sig": base64_text(bytes)})).collect();
    bytes(&json!({"payload": base64_text(payload), "payloadType": kind, "signatures": signatures}))
}

/// A bundle that the log saw at each of these times.
fn logged(statement: &Value, key: &TestKey, log: &TestKey, times: &[&str]) -> Value {
    let payload = bytes(statement);
    let signature = key.sign(&pre_authentication_encoding(IN_TOTO_PAYLOAD_TYPE, &payload));
    let entries: Vec<_> =
        times.iter().map(|time| log_entry(log, EntryForm::Dsse, &payload, &signature, key, time)).collect();
    bundle_json(&signed(statement, &[key]), &key.keyid, &entries.iter().collect::<Vec<_>>())
}

impl Case {
    fn new() -> Self {
        Self {
            catalog: catalog(),
            document: builder(&[signer(&key())]),
            asked: ID,
            file: bytes(&signed(&provenance_by(ID), &[&key()])),
            min_level: BuildLevel::L3,
            overlay: None,
            package: None,
            resource: RESOURCE,
            logs: vec![logs_of("public-good", &log())],
        }
    }

    fn of_verifier() -> Self {
        Self { document: verifier(), asked: VERIFIER, file: bytes(&signed(&summary(), &[&key()])), ..Self::new() }
    }

    fn signed_at(mut self, times: &[&str]) -> Self {
        self.file = bytes(&logged(&provenance_by(self.asked), &key(), &log(), times));
        self
    }

    fn with(mut self, pointer: &str, field: &str, value: Value) -> Self {
        self.document.pointer_mut(pointer).unwrap()[field] = value;
        self
    }

    fn in_catalog(mut self, field: &str, value: Value) -> Self {
        self.catalog["namespaces"]["oppy"][field] = value;
        self
    }

    fn attested(mut self, statement: &Value) -> Self {
        self.file = bytes(&signed(statement, &[&key()]));
        self
    }

    fn judge(&self) -> Result<BuilderVerdict, BuilderDenial> {
        let artifact = digests_of(b"artifact");
        if self.document.get("verifierId").is_some() {
            let found = self.found::<Verifier>();
            let mut request =
                VerifierRequest::new(&artifact, &self.file, &found, self.resource, self.min_level, at(NOW));
            (request.overlay, request.time_authorities) = (self.overlay, &self.logs);
            verify_with_verifier(&request)
        } else {
            let found = self.found::<Builder>();
            let mut request = BuilderRequest::new(&artifact, &self.file, &found, self.min_level, at(NOW));
            (request.overlay, request.package) = (self.overlay, self.package);
            request.time_authorities = &self.logs;
            verify_with_builder(&request)
        }
    }

    /// What the registry hands out, without its checks: those have tests of their own.
    fn found<T: MapDocument>(&self) -> Found<T> {
        let catalog = Catalog::parse(&bytes(&self.catalog)).unwrap();
        let asked = BuilderId::parse(self.asked).unwrap();
        let namespace = Namespace::parse("oppy").unwrap();
        let version = Version::new(1).unwrap();
        let catalog_source = Source { path: catalog_path(), role: RoleName::Targets, version };
        let role = RoleName::delegated("oppy").unwrap();
        Found {
            document: T::read(&bytes(&self.document)).unwrap(),
            entry: catalog.namespaces[&namespace].clone(),
            denials: T::denials(&catalog, &asked),
            source: Source { path: T::path(&namespace, &asked), role, version },
            catalog: Arc::new(catalog),
            asked,
            namespace,
            catalog_source,
        }
    }

    /// The code of the denial, or `accepted`.
    fn code(&self) -> &'static str {
        self.judge().map_or_else(|denial| denial.code(), |_| "accepted")
    }

    fn level(&self) -> Option<BuildLevel> {
        self.judge().ok().map(|verdict| verdict.accepted[0].level)
    }
}

#[test]
fn the_cases_that_the_others_start_from_are_accepted() {
    assert_eq!(Case::new().level(), Some(BuildLevel::L3));
    assert_eq!(Case::new().signed_at(&[BEFORE_END]).level(), Some(BuildLevel::L3));
    assert_eq!(Case::of_verifier().level(), Some(BuildLevel::L3));
}

// When a signature counts.

#[test]
fn a_status_is_judged_at_the_proved_time_and_fails_without_one() {
    let retired = json!({"status": "retired", "retiredAt": END});
    let distrusted = json!({"status": "revoked", "revocation": {"reason": "keyCompromise", "distrustFrom": END}});
    let revoked = json!({"status": "revoked", "revocation": {"reason": "keyCompromise"}});
    let active = json!({"status": "active"});
    for place in ["/signers/0", ""] {
        for (status, time, expected) in [
            (&active, Some(BEFORE_END), "accepted"),
            (&active, None, "accepted"),
            (&retired, Some(BEFORE_END), "accepted"),
            (&retired, Some(END), "retired"),
            (&retired, Some(AFTER_END), "retired"),
            (&retired, None, "retired"),
            (&distrusted, Some(BEFORE_END), "accepted"),
            (&distrusted, Some(END), "revoked"),
            (&distrusted, Some(AFTER_END), "revoked"),
            (&distrusted, None, "revoked"),
            (&revoked, Some(BEFORE_END), "revoked"),
            (&revoked, None, "revoked"),
        ] {
            for case in [Case::new(), Case::of_verifier()] {
                let mut case = case;
                if let Some(time) = time {
                    let statement = if case.asked == ID { provenance_by(ID) } else { summary() };
                    case.file = bytes(&logged(&statement, &key(), &log(), &[time]));
                }
                for (field, value) in status.as_object().unwrap() {
                    case = case.with(place, field, value.clone());
                }
                assert_eq!(case.code(), expected, "{place} {} {status} {time:?}", case.asked);
            }
        }
    }
}

#[test]
fn a_key_counts_inside_its_period_only() {
    let period = |case: Case| {
        case.with("/signers/0/publicKey", "validFor", json!({"start": "2026-02-01T00:00:00Z", "end": END}))
    };
    for (times, expected) in [
        (&["2026-01-31T23:59:59Z"][..], "signer-not-valid"),
        (&["2026-02-01T00:00:00Z"], "accepted"),
        (&[END], "accepted"),
        (&[AFTER_END], "signer-not-valid"),
        (&[], "signer-not-valid"),
    ] {
        assert_eq!(period(Case::new().signed_at(times)).code(), expected, "{times:?}");
    }
    // In two entries, it must be inside both.
    let mut narrow = signer(&key());
    narrow["name"] = "again".into();
    narrow["publicKey"]["validFor"]["end"] = json!(END);
    for signers in [json!([signer(&key()), narrow]), json!([narrow, signer(&key())])] {
        assert_eq!(Case::new().with("", "signers", signers.clone()).code(), "signer-not-valid");
        assert_eq!(Case::new().signed_at(&[END]).with("", "signers", signers).code(), "accepted");
    }
}

#[test]
fn every_proved_time_must_pass() {
    let retired = |case: Case| case.with("", "status", json!("retired")).with("", "retiredAt", json!(END));
    assert_eq!(retired(Case::new().signed_at(&[BEFORE_END])).code(), "accepted");
    for times in [[BEFORE_END, END], [AFTER_END, BEFORE_END]] {
        assert_eq!(retired(Case::new().signed_at(&times)).code(), "retired");
    }
    let ended = json!({"start": "2020-01-01T00:00:00Z", "end": END});
    let case = Case::new().signed_at(&[BEFORE_END, AFTER_END]).with("/signers/0/publicKey", "validFor", ended);
    assert_eq!(case.code(), "signer-not-valid");
    // The lowest level of all the times is the one that is granted.
    for times in [["2025-12-31T23:59:59Z", BEFORE_END], [BEFORE_END, "2025-12-31T23:59:59Z"]] {
        assert_eq!(Case::new().signed_at(&times).code(), "level-too-low");
    }
}

#[test]
fn a_log_that_the_catalog_does_not_permit_proves_no_time() {
    let retired = || {
        let case = Case::new().signed_at(&[BEFORE_END]);
        case.with("/signers/0", "status", json!("retired")).with("/signers/0", "retiredAt", json!(END))
    };
    assert_eq!(retired().code(), "accepted");
    assert_eq!(retired().in_catalog("timeAuthorities", json!([])).code(), "retired");
    assert_eq!(retired().in_catalog("timeAuthorities", json!(["github"])).code(), "retired");
    // The same log under the name of another realm, beside a permitted one that did not see it.
    let mut other = retired();
    other.logs = vec![logs_of("evil", &log()), logs_of("public-good", &TestKey::new(201))];
    assert_eq!(other.code(), "retired");
    other.logs = Vec::new();
    assert_eq!(other.code(), "retired");
}

#[test]
fn a_time_that_a_predicate_claims_is_never_used() {
    let mut statement = provenance_by(ID);
    statement["predicate"]["runDetails"]["metadata"] = json!({"startedOn": BEFORE_END, "finishedOn": BEFORE_END});
    let case = Case::new().attested(&statement);
    let case = case.with("/signers/0", "status", json!("retired")).with("/signers/0", "retiredAt", json!(END));
    assert_eq!(case.code(), "retired");
    let mut statement = summary();
    statement["predicate"]["timeVerified"] = json!(BEFORE_END);
    let case = Case::of_verifier().attested(&statement);
    assert_eq!(case.with("", "status", json!("retired")).with("", "retiredAt", json!(END)).code(), "retired");
}

#[test]
fn a_time_in_the_future_proves_nothing() {
    let later = json!([{"level": "SLSA_BUILD_LEVEL_3", "validFor": {"start": "2026-07-01T00:00:00Z"}}]);
    assert_eq!(Case::new().signed_at(&["2026-07-02T00:00:00Z"]).in_catalog("caps", later).code(), "level-too-low");
}

#[test]
fn a_log_entry_about_another_signature_proves_no_time() {
    let other = logged(&provenance_by("https://oppy.example/slsa/other"), &key(), &log(), &[BEFORE_END]);
    let mut bundle = logged(&provenance_by(ID), &key(), &log(), &[BEFORE_END]);
    bundle["verificationMaterial"] = other["verificationMaterial"].clone();
    let mut case = Case::new().with("", "status", json!("retired")).with("", "retiredAt", json!(END));
    case.file = bytes(&bundle);
    assert_eq!(case.code(), "retired");
}

// Denials of the catalog.

#[test]
fn the_catalog_denies_ids_and_keys_whatever_the_namespace_says() {
    const WITH_REF: &str = "https://oppy.example/slsa/b@refs/tags/v1";
    let spki = hex::encode(sha256(key().verifying.canonical_spki()));
    for (asked, denied) in [
        (ID, json!({"builderId": ID})),
        (WITH_REF, json!({"builderId": ID})),
        (WITH_REF, json!({"builderId": WITH_REF})),
        (ID, json!({"keySha256": spki})),
        (ID, json!({"keySha256": spki.to_uppercase()})),
    ] {
        for (from, time, expected) in [
            (None, Some(BEFORE_END), "revoked"),
            (None, None, "revoked"),
            (Some(END), Some(BEFORE_END), "accepted"),
            (Some(END), Some(END), "revoked"),
            (Some(END), None, "revoked"),
        ] {
            let mut case = Case { asked, ..Case::new() };
            case.file = bytes(&signed(&provenance_by(asked), &[&key()]));
            case = case.signed_at(time.as_slice()).with("", "idVersions", json!({"refs": ["refs/tags/*"]}));
            assert_eq!(case.code(), "accepted", "{asked}");
            let mut denial = denied.clone();
            denial["reason"] = "keyCompromise".into();
            if let Some(from) = from {
                denial["distrustFrom"] = from.into();
            }
            case.catalog["denials"] = json!([denial]);
            assert_eq!(case.code(), expected, "{asked} {denial} {time:?}");
        }
    }
}

#[test]
fn a_denial_reaches_what_it_names_and_nothing_else() {
    let other_key = hex::encode(sha256(TestKey::new(2).verifying.canonical_spki()));
    for denied in [
        json!({"builderId": "https://oppy.example/slsa/b@refs/tags/v1"}),
        json!({"builderId": "https://oppy.example/slsa/b2"}),
        json!({"verifierId": ID}),
        json!({"keySha256": other_key}),
    ] {
        let mut case = Case::new();
        case.catalog["denials"] = json!([denied]);
        case.catalog["denials"][0]["reason"] = "x".into();
        assert_eq!(case.code(), "accepted", "{denied}");
    }
    let mut case = Case::of_verifier();
    case.catalog["denials"] = json!([{"verifierId": VERIFIER, "reason": "x"}]);
    assert_eq!(case.code(), "revoked");
}

#[test]
fn the_earlier_of_two_distrust_times_decides() {
    for (document, catalog) in [(END, NOW), (NOW, END)] {
        let mut case = Case::new().signed_at(&[AFTER_END]).with("", "status", json!("revoked"));
        case = case.with("", "revocation", json!({"reason": "x", "distrustFrom": document}));
        case.catalog["denials"] = json!([{"builderId": ID, "reason": "x", "distrustFrom": catalog}]);
        assert_eq!(case.code(), "revoked");
        assert_eq!(case.signed_at(&[BEFORE_END]).code(), "accepted");
    }
}

// Counting.

fn of_two() -> Case {
    let (a, b) = (TestKey::new(1), TestKey::new(2));
    let mut case = Case::new().with("", "signers", json!([signer(&a), signer(&b)])).with("", "threshold", json!(2));
    case.file = bytes(&signed(&provenance_by(ID), &[&a, &b]));
    case
}

#[test]
fn a_threshold_of_two_needs_two_keys() {
    assert_eq!(of_two().judge().unwrap().accepted[0].signed_by.len(), 2);
    let mut case = of_two();
    case.file = bytes(&signed(&provenance_by(ID), &[&key()]));
    assert_eq!(case.code(), "too-few-signers");
    // One in each of two envelopes is not two on one.
    let one = signed(&provenance_by(ID), &[&TestKey::new(1)]);
    let two = signed(&provenance_by(ID), &[&TestKey::new(2)]);
    case.file = format!("{one}\n{two}").into_bytes();
    assert_eq!(case.code(), "none-accepted");
}

#[test]
fn a_signature_repeated_counts_once() {
    let mut case = of_two();
    let mut twice = signed(&provenance_by(ID), &[&key(), &key()]);
    case.file = bytes(&twice);
    assert_eq!(case.code(), "too-few-signers");
    twice["signatures"][1]["keyid"] = "key-2".into();
    case.file = bytes(&twice);
    assert_eq!(case.code(), "too-few-signers");
}

#[test]
fn one_key_under_several_names_and_encodings_counts_once() {
    let key = TestKey::ecdsa("a");
    let payload = bytes(&provenance_by(ID));
    let encoded = pre_authentication_encoding(IN_TOTO_PAYLOAD_TYPE, &payload);
    let entry = |name: &str, envelope: &str, encoding: &str| {
        let mut entry = signer(&key);
        entry["name"] = name.into();
        entry["envelope"] = envelope.into();
        entry["signatureEncoding"] = encoding.into();
        entry
    };
    let mut spelled = entry("spelled", "dsse", "der");
    let unpadded =
        base64_text(key.verifying.canonical_spki()).trim_end_matches('=').replace('+', "-").replace('/', "_");
    spelled["publicKey"]["rawBytes"] = unpadded.into();
    let signers =
        json!([entry("a", "dsse", "der"), entry("b", "dsse", "p1363"), entry("c", "raw-payload", "der"), spelled]);
    let mut case = Case::new().with("", "signers", signers).with("", "threshold", json!(2));
    let signatures = [key.sign(&encoded), p1363(&key.sign(&encoded)), key.sign(&payload), key.sign(&encoded)];
    case.file = envelope(&payload, IN_TOTO_PAYLOAD_TYPE, &signatures.each_ref().map(Vec::as_slice));
    assert_eq!(case.code(), "too-few-signers");
    case = case.with("", "threshold", json!(1));
    assert_eq!(case.judge().unwrap().accepted[0].signed_by.len(), 1);
}

#[test]
fn a_key_revoked_in_one_entry_is_revoked_in_all() {
    let good = signer(&key());
    let mut bad = signer(&key());
    bad["name"] = "old".into();
    bad["status"] = "revoked".into();
    bad["revocation"] = json!({"reason": "keyCompromise"});
    let mut unusable = bad.clone();
    unusable["publicKey"]["keyDetails"] = "PKIX_QUANTUM".into();
    let mut unknown = bad.clone();
    unknown["type"] = "hsm".into();
    for other in [bad, unusable, unknown] {
        for signers in [json!([good, other]), json!([other, good])] {
            assert_eq!(Case::new().with("", "signers", signers).code(), "revoked", "{other}");
        }
    }
}

#[test]
fn bad_signatures_beside_a_met_threshold_spoil_nothing() {
    let (a, b, stranger, revoked) = (TestKey::new(1), TestKey::new(2), TestKey::new(3), TestKey::new(4));
    let mut case = of_two();
    let mut gone = signer(&revoked);
    gone["status"] = "revoked".into();
    gone["revocation"] = json!({"reason": "x"});
    case.document["signers"].as_array_mut().unwrap().push(gone);
    let mut file = signed(&provenance_by(ID), &[&stranger, &revoked, &a, &b]);
    let signatures = file["signatures"].as_array_mut().unwrap();
    signatures.insert(0, json!({"keyid": "key-1", "sig": ""}));
    signatures.push(json!({"keyid": "key-2", "sig": base64_text(&[0; 64])}));
    case.file = bytes(&file);
    let verdict = case.judge().unwrap();
    let names: Vec<_> = verdict.accepted[0].signed_by.iter().map(|signer| signer.name.as_str()).collect();
    assert_eq!(names, ["key-1", "key-2"]);
    // And the revoked one does not help where the threshold is not met.
    case.file = bytes(&signed(&provenance_by(ID), &[&a, &revoked]));
    assert_eq!(case.code(), "revoked");
}

#[test]
fn a_keyid_is_only_a_hint() {
    let mut file = signed(&provenance_by(ID), &[&TestKey::new(1), &TestKey::new(2)]);
    for keyids in [["key-2", "key-1"], ["", ""], ["key-1", "key-1"], ["nobody", "https://evil.example/"]] {
        file["signatures"][0]["keyid"] = keyids[0].into();
        file["signatures"][1]["keyid"] = keyids[1].into();
        let case = Case { file: bytes(&file), ..of_two() };
        assert_eq!(case.judge().unwrap().accepted[0].signed_by.len(), 2, "{keyids:?}");
    }
    // A name that is a signer's lends nothing to the signature under it.
    let mut file = signed(&provenance_by(ID), &[&TestKey::new(3)]);
    file["signatures"][0]["keyid"] = "key-1".into();
    assert_eq!(Case { file: bytes(&file), ..Case::new() }.code(), "bad-signature");
}

// Whose statement it is, and about what.

#[test]
fn signers_of_another_builder_never_count() {
    let other = TestKey::new(9);
    for id in [ID, "https://oppy.example/slsa/other"] {
        let case = Case { file: bytes(&signed(&provenance_by(id), &[&other])), ..Case::new() };
        assert_eq!(case.code(), "not-signed-by-builder", "{id}");
    }
}

#[test]
fn a_statement_by_another_id_is_refused_although_the_key_is_right() {
    for id in [
        "https://oppy.example/slsa/other",
        "https://oppy.example/slsa/b/",
        "https://oppy.example/slsa/B",
        "https://oppy.example/slsa/b@refs/tags/v1",
        "https://OPPY.example/slsa/b",
        "",
    ] {
        assert_eq!(Case::new().attested(&provenance_by(id)).code(), "other-builder", "{id}");
    }
    let mut statement = summary();
    statement["predicate"]["verifier"]["id"] = "https://oppy.example/slsa/verifier2".into();
    assert_eq!(Case::of_verifier().attested(&statement).code(), "other-builder");
}

#[test]
fn one_kind_of_statement_never_passes_for_another() {
    assert_eq!(Case::new().attested(&summary()).code(), "wrong-predicate-type");
    assert_eq!(Case::of_verifier().attested(&provenance_by(VERIFIER)).code(), "wrong-predicate-type");
    for kind in ["https://slsa.dev/provenance/v2", "https://slsa.dev/provenance/v1 ", "https://spdx.dev/Document", ""] {
        let mut statement = provenance_by(ID);
        statement["predicateType"] = kind.into();
        assert_eq!(Case::new().attested(&statement).code(), "wrong-predicate-type", "{kind}");
    }
    // The type of one with the content of the other, and of another version.
    for kind in [PROVENANCE_V1, PROVENANCE_V0_2, PROVENANCE_V0_1] {
        let mut statement = summary();
        statement["predicateType"] = kind.into();
        assert_eq!(Case::new().attested(&statement).code(), "malformed-predicate", "{kind}");
    }
    for kind in [PROVENANCE_V0_2, PROVENANCE_V0_1] {
        let mut statement = provenance_by(ID);
        statement["predicateType"] = kind.into();
        assert_eq!(Case::new().attested(&statement).code(), "malformed-predicate", "{kind}");
    }
    for kind in [SUMMARY_V1, SUMMARY_V0_2] {
        let mut statement = provenance_by(ID);
        statement["predicateType"] = kind.into();
        assert_eq!(Case::of_verifier().attested(&statement).code(), "malformed-predicate", "{kind}");
    }
}

#[test]
fn a_payload_of_another_type_or_form_is_no_statement() {
    let payload = bytes(&provenance_by(ID));
    let mut case = Case::new();
    case.file = bytes(&envelope_json(&payload, "application/json", &[&key()]));
    assert_eq!(case.code(), "wrong-payload-type");
    let mut relabelled = envelope_json(&payload, "application/json", &[&key()]);
    relabelled["payloadType"] = IN_TOTO_PAYLOAD_TYPE.into();
    case.file = bytes(&relabelled);
    assert_eq!(case.code(), "bad-signature");
    case.file = bytes(&envelope_json(b"{}", IN_TOTO_PAYLOAD_TYPE, &[&key()]));
    assert_eq!(case.code(), "malformed-statement");
    case.file = b"{}".to_vec();
    assert_eq!(case.code(), "malformed-attestation");
}

#[test]
fn a_subject_is_the_artifact_by_strong_digests_that_all_agree() {
    let right = hex::encode(sha256(b"artifact"));
    for digest in [
        json!({"sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}),
        json!({"gitCommit": right}),
        json!({}),
        json!({"sha256": hex::encode(sha256(b"other"))}),
        json!({"sha256": right, "sha512": "00".repeat(64)}),
        json!({"sha256": &right[..62]}),
    ] {
        for (case, mut statement) in [(Case::new(), provenance_by(ID)), (Case::of_verifier(), summary())] {
            statement["subject"][0]["digest"] = digest.clone();
            assert_eq!(case.attested(&statement).code(), "subject-mismatch", "{digest}");
        }
    }
}

// How it is signed.

/// The fixed-width form of a P-256 signature in DER.
fn p1363(der: &[u8]) -> Vec<u8> {
    let (mut rest, mut fixed) = (&der[2..], Vec::new());
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        fixed.extend(vec![0; 32 - number.len()]);
        fixed.extend(number);
        rest = &rest[2 + length..];
    }
    fixed
}

#[test]
fn a_signature_over_the_payload_counts_for_raw_payload_signers_only() {
    let payload = bytes(&provenance_by(ID));
    let over_payload = key().sign(&payload);
    let over_encoding = key().sign(&pre_authentication_encoding(IN_TOTO_PAYLOAD_TYPE, &payload));
    for (kind, signature, expected) in [
        ("raw-payload", &over_payload, "accepted"),
        ("raw-payload", &over_encoding, "not-signed-by-builder"),
        ("dsse", &over_encoding, "accepted"),
        ("dsse", &over_payload, "not-signed-by-builder"),
    ] {
        let mut case = Case::new().with("/signers/0", "envelope", json!(kind));
        case.file = envelope(&payload, IN_TOTO_PAYLOAD_TYPE, &[signature]);
        assert_eq!(case.code(), expected, "{kind}");
    }
}

#[test]
fn a_raw_payload_signer_signs_statements_only() {
    let raw = || Case::new().with("/signers/0", "envelope", json!("raw-payload"));
    let payload = bytes(&provenance_by(ID));
    // The type is not signed, so only one is taken.
    for kind in ["application/json", "text/plain", ""] {
        let case = Case { file: envelope(&payload, kind, &[&key().sign(&payload)]), ..raw() };
        assert_eq!(case.code(), "not-signed-by-builder", "{kind}");
    }
    // What was signed as DSSE elsewhere is the raw payload of nothing.
    let encoded = pre_authentication_encoding("text/plain", &payload);
    let case = Case { file: envelope(&encoded, IN_TOTO_PAYLOAD_TYPE, &[&key().sign(&encoded)]), ..raw() };
    assert_eq!(case.code(), "not-signed-by-builder");
}

#[test]
fn a_signature_has_the_encoding_of_its_signer_and_its_exact_length() {
    let key = TestKey::ecdsa("a");
    let payload = bytes(&provenance_by(ID));
    let der = key.sign(&pre_authentication_encoding(IN_TOTO_PAYLOAD_TYPE, &payload));
    let fixed = p1363(&der);
    let padded: Vec<u8> = [&[0], &fixed[..32], &[0], &fixed[32..]].concat();
    for (encoding, signature, expected) in [
        ("p1363", fixed.clone(), "accepted"),
        ("p1363", fixed[..63].to_vec(), "not-signed-by-builder"),
        ("p1363", [&fixed[..], &[0]].concat(), "not-signed-by-builder"),
        ("p1363", padded, "not-signed-by-builder"),
        ("p1363", [&fixed[..32], &[0], &fixed[32..]].concat(), "not-signed-by-builder"),
        ("p1363", vec![0; 64], "not-signed-by-builder"),
        ("p1363", Vec::new(), "not-signed-by-builder"),
        ("p1363", der.clone(), "not-signed-by-builder"),
        ("der", fixed, "not-signed-by-builder"),
        ("der", der[..der.len() - 1].to_vec(), "not-signed-by-builder"),
        ("der", [&der[..], &[0]].concat(), "not-signed-by-builder"),
        ("der", der, "accepted"),
    ] {
        let mut case = Case::new().with("", "signers", json!([signer(&key)]));
        case = case.with("/signers/0", "signatureEncoding", json!(encoding));
        case.file = envelope(&payload, IN_TOTO_PAYLOAD_TYPE, &[&signature]);
        assert_eq!(case.code(), expected, "{encoding} {}", signature.len());
    }
}

// Certificates.

fn fulcio() -> Value {
    json!({"name": "gha", "type": "fulcio", "status": "active", "realm": "public-good",
        "issuer": "https://token.actions.githubusercontent.com",
        "san": {"type": "uri", "template": "https://github.com/oppy/b/w.yml@refs/tags/{semver}"}, "idBinding": "fixed"})
}

#[test]
fn a_certificate_never_counts_and_says_so() {
    let leaf = TestKey::new(7);
    let certified =
        |signed_by: &TestKey| certified_bundle_json(&signed(&provenance_by(ID), &[signed_by]), &certificate(signed_by));
    let mut case = Case::new().with("", "signers", json!([fulcio()]));
    case.file = bytes(&certified(&leaf));
    assert_eq!(case.code(), "certificates-not-supported");
    // A builder that signs with keys alone: there is nothing to judge, even if the certificate is for its key.
    for leaf in [leaf, key()] {
        assert_eq!(Case { file: bytes(&certified(&leaf)), ..Case::new() }.code(), "nothing-to-judge");
    }
    // Nor does it make up a threshold, or an envelope without its certificate.
    let mut both = of_two().with("", "signers", json!([signer(&key()), fulcio()]));
    both.file = bytes(&signed(&provenance_by(ID), &[&key(), &TestKey::new(7)]));
    assert_eq!(both.code(), "too-few-signers");
    let mut case = Case::new().with("", "signers", json!([fulcio()]));
    case.file = bytes(&signed(&provenance_by(ID), &[&TestKey::new(7)]));
    assert_eq!(case.code(), "not-signed-by-builder");
}

#[test]
fn a_certificate_beside_a_good_attestation_lends_nothing_and_hides_nothing() {
    let leaf = TestKey::new(7);
    let good = bundle_json(&signed(&provenance_by(ID), &[&key()]), "key-1", &[]);
    let certified = certified_bundle_json(&signed(&provenance_by(ID), &[&leaf]), &certificate(&leaf));
    let mut case = Case::new().with("", "signers", json!([signer(&key()), fulcio()]));
    case.file = npm_file(&[&certified, &good]);
    let verdict = case.judge().unwrap();
    assert_eq!((verdict.accepted.len(), verdict.accepted[0].position), (1, 1));
    assert_eq!(verdict.refused[0].denial.code(), "certificates-not-supported");
    let altered = certified_bundle_json(&signed(&provenance_by(ID), &[&key()]), &certificate(&leaf));
    case.file = npm_file(&[&good, &altered]);
    assert_eq!(case.code(), "altered-attestation");
    let mut bad = good.clone();
    bad["dsseEnvelope"]["signatures"][0]["sig"] = base64_text(&[1; 64]).into();
    case.file = npm_file(&[&good, &bad]);
    assert_eq!(case.code(), "bad-signature");
}

// Levels.

fn level_claim(level: &str, spec: &str, start: &str) -> Value {
    json!([{"level": level, "spec": spec, "validFor": {"start": start}}])
}

#[test]
fn the_level_is_the_least_of_cap_qualification_and_overlay() {
    use BuildLevel::{L0, L1, L2, L3};
    for (cap, claim, overlay, expected) in [
        (3, 3, None, L3),
        (1, 3, None, L1),
        (3, 2, None, L2),
        (3, 3, Some(L1), L1),
        (2, 1, Some(L3), L1),
        (0, 3, None, L0),
    ] {
        let level = |number: i32| format!("SLSA_BUILD_LEVEL_{number}");
        let start = "2026-01-01T00:00:00Z";
        let mut case = Case::new().with("", "qualifications", level_claim(&level(claim), "1.2", start));
        case = case.in_catalog("caps", json!([{"level": level(cap), "validFor": {"start": start}}]));
        (case.overlay, case.min_level) = (overlay, expected);
        assert_eq!(case.level(), Some(expected), "{cap} {claim} {overlay:?}");
        if let Some(more) = BuildLevel::ALL.into_iter().find(|level| *level > expected) {
            assert_eq!(Case { min_level: more, ..case }.code(), "level-too-low");
        }
    }
}

#[test]
fn without_a_cap_that_is_valid_then_there_is_no_level() {
    let cap = |start: &str, end: Option<&str>| {
        let period = end.map_or(json!({"start": start}), |end| json!({"start": start, "end": end}));
        json!([{"level": "SLSA_BUILD_LEVEL_3", "validFor": period}])
    };
    for caps in
        [json!([]), cap("2026-06-01T00:00:01Z", None), cap("2020-01-01T00:00:00Z", Some("2026-05-31T23:59:59Z"))]
    {
        let case = Case { min_level: BuildLevel::L0, ..Case::new().in_catalog("caps", caps.clone()) };
        assert_eq!(case.code(), "level-too-low", "{caps}");
        let case = Case { min_level: BuildLevel::L0, ..Case::of_verifier().in_catalog("caps", caps.clone()) };
        assert_eq!(case.code(), "level-too-low", "{caps}");
    }
    assert_eq!(Case::new().in_catalog("caps", cap(NOW, Some(NOW))).code(), "accepted");
    // Judged when it was signed, where that is proved: an ended cap still covers it, a new one does not reach back.
    let ended = cap("2026-01-01T00:00:00Z", Some(BEFORE_END));
    assert_eq!(Case::new().in_catalog("caps", ended.clone()).signed_at(&[BEFORE_END]).code(), "accepted");
    assert_eq!(Case::new().in_catalog("caps", ended).signed_at(&[END]).code(), "level-too-low");
    assert_eq!(Case::new().in_catalog("caps", cap(END, None)).signed_at(&[BEFORE_END]).code(), "level-too-low");
}

#[test]
fn of_two_caps_the_lower_caps() {
    let cap = |level: &str| json!({"level": level, "validFor": {"start": "2026-01-01T00:00:00Z"}});
    for caps in [["SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_1"], ["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_3"]] {
        let case = Case::new().in_catalog("caps", json!(caps.map(cap)));
        assert_eq!(case.code(), "level-too-low");
    }
}

#[test]
fn a_qualification_lends_nothing_to_what_was_signed_before_it() {
    let later = || Case::new().with("", "qualifications", level_claim("SLSA_BUILD_LEVEL_3", "1.2", END));
    assert_eq!(later().signed_at(&[BEFORE_END]).code(), "level-too-low");
    assert_eq!(later().signed_at(&[END]).code(), "accepted");
    let case = Case { min_level: BuildLevel::L0, ..later().signed_at(&[BEFORE_END]) };
    assert_eq!(case.code(), "level-too-low");
}

#[test]
fn what_is_no_level_of_the_build_track_grants_nothing() {
    for (level, spec) in [
        ("SLSA_LEVEL_3", "0.1"),
        ("SLSA_LEVEL_3", "1.2"),
        ("SLSA_BUILD_LEVEL_3", "0.1"),
        ("SLSA_BUILD_LEVEL_4", "1.2"),
        ("slsa_build_level_3", "1.2"),
    ] {
        let case = Case::new().with("", "qualifications", level_claim(level, spec, "2026-01-01T00:00:00Z"));
        assert_eq!(Case { min_level: BuildLevel::L0, ..case }.code(), "level-too-low", "{level} {spec}");
    }
    assert_eq!(Case::new().with("", "qualifications", json!([])).code(), "level-too-low");
    for levels in [json!(["SLSA_LEVEL_3"]), json!(["SLSA_SOURCE_LEVEL_3"]), json!([]), json!("SLSA_BUILD_LEVEL_3")] {
        let mut statement = summary();
        statement["predicate"]["verifiedLevels"] = levels.clone();
        let case = Case { min_level: BuildLevel::L0, ..Case::of_verifier().attested(&statement) };
        assert_eq!(case.code(), "level-too-low", "{levels}");
    }
}

// Scopes of builders.

fn built_with(parameters: &Value) -> Value {
    let mut statement = provenance_by(ID);
    statement["predicate"]["buildDefinition"]["externalParameters"] = parameters.clone();
    statement
}

#[test]
fn a_source_outside_the_scope_is_refused_however_it_is_spelled() {
    let scoped = || Case::new().with("", "scopes", json!({"sourceRepositories": ["https://git.oppy.example/team/*"]}));
    for good in [
        "https://git.oppy.example/team/x",
        "git+https://git.oppy.example/team/x",
        "git+https://git.oppy.example/team/x@refs/heads/main",
    ] {
        assert_eq!(scoped().attested(&built_with(&json!({"source": good}))).code(), "accepted", "{good}");
    }
    for bad in [
        "https://git.oppy.example/team",
        "https://git.oppy.example/team-evil/x",
        "https://git.oppy.example/team/x/y",
        "https://git.oppy.example/team/../evil",
        "https://git.oppy.example/team/..",
        "https://git.oppy.example/team/%2e%2e",
        "https://git.oppy.example/team/..%2fevil",
        "https://git.oppy.example/team\\..\\evil",
        "https://git.oppy.example.evil/team/x",
        "https://git.oppy.example@evil.example/team/x",
        "https://evil.example/?https://git.oppy.example/team/x",
        "https://evil.example/https://git.oppy.example/team/x",
        "http://git.oppy.example/team/x",
        "HTTPS://git.oppy.example/team/x",
        "https://git.oppy.example:8443/team/x",
        "git.oppy.example/team/x",
        "",
    ] {
        assert_eq!(scoped().attested(&built_with(&json!({"source": bad}))).code(), "out-of-scope", "{bad}");
    }
}

#[test]
fn every_source_must_be_in_scope_and_one_be_named() {
    let scoped = || Case::new().with("", "scopes", json!({"sourceRepositories": ["https://git.oppy.example/*"]}));
    let (good, bad) = ("https://git.oppy.example/x", "https://evil.example/x");
    assert_eq!(scoped().attested(&built_with(&json!({}))).code(), "out-of-scope");
    assert_eq!(scoped().attested(&built_with(&json!({"source": good, "repository": bad}))).code(), "out-of-scope");
    let workflow = json!({"source": good, "workflow": {"repository": bad}});
    assert_eq!(scoped().attested(&built_with(&workflow)).code(), "out-of-scope");
    let mut statement = built_with(&json!({}));
    for (uri, expected) in [(good, "accepted"), (bad, "out-of-scope")] {
        statement["predicate"]["buildDefinition"]["resolvedDependencies"] = json!([{"uri": format!("git+{uri}")}]);
        assert_eq!(scoped().attested(&statement).code(), expected);
    }
    let none = Case::new().with("", "scopes", json!({"sourceRepositories": []}));
    assert_eq!(none.code(), "out-of-scope");
}

#[test]
fn a_build_type_or_parameter_that_is_not_listed_is_refused() {
    let listed = json!({"https://oppy.example/bt": {"parameters": {"required": ["source"], "ignorable": ["log"]}}});
    let scoped = || Case::new().with("", "scopes", json!({"buildTypes": listed}));
    for (parameters, expected) in [
        (json!({"source": "x"}), "accepted"),
        (json!({"source": "x", "log": 1}), "accepted"),
        (json!({"source": "x", "command": "evil"}), "unrecognised-parameter"),
        (json!({"source": "x", "Log": 1}), "unrecognised-parameter"),
        (json!({"source": "x", "": null}), "unrecognised-parameter"),
        (json!({"log": 1}), "missing-parameter"),
        (json!({}), "missing-parameter"),
        (json!(["source"]), "malformed-predicate"),
    ] {
        assert_eq!(scoped().attested(&built_with(&parameters)).code(), expected, "{parameters}");
    }
    for bad in ["https://oppy.example/bt/", "https://oppy.example/bt2", ""] {
        let mut statement = built_with(&json!({"source": "x"}));
        statement["predicate"]["buildDefinition"]["buildType"] = bad.into();
        assert_eq!(scoped().attested(&statement).code(), "out-of-scope", "{bad}");
    }
}

#[test]
fn parameters_of_the_older_versions_are_judged_too() {
    let scopes = json!({"buildTypes": {"t": {"parameters": {"ignorable": ["log"]}}}});
    for (kind, predicate, expected) in [
        (PROVENANCE_V0_2, json!({"invocation": {"parameters": {"log": 1}}}), "accepted"),
        (PROVENANCE_V0_2, json!({"invocation": {"parameters": {"evil": 1}}}), "unrecognised-parameter"),
        (PROVENANCE_V0_2, json!({"invocation": {"configSource": {"entryPoint": "evil"}}}), "unrecognised-parameter"),
        (PROVENANCE_V0_1, json!({"recipe": {"arguments": {"log": 1}}}), "accepted"),
        (PROVENANCE_V0_1, json!({"recipe": {"arguments": {"evil": 1}}}), "unrecognised-parameter"),
        (PROVENANCE_V0_1, json!({"recipe": {"entryPoint": "evil"}}), "unrecognised-parameter"),
        (PROVENANCE_V0_1, json!({"recipe": {"entryPoint": ["evil"]}}), "unrecognised-parameter"),
        (PROVENANCE_V0_1, json!({"recipe": {"entryPoint": ""}}), "accepted"),
    ] {
        let mut predicate = predicate;
        predicate["builder"] = json!({"id": ID});
        match kind {
            PROVENANCE_V0_1 => predicate["recipe"]["type"] = "t".into(),
            _ => predicate["buildType"] = "t".into(),
        }
        let case = Case::new().with("", "scopes", scopes.clone()).attested(&statement(kind, &predicate));
        assert_eq!(case.code(), expected, "{predicate}");
    }
}

#[test]
fn a_package_is_in_scope_and_in_the_grant_of_the_namespace() {
    let scopes = json!({"packages": ["oppy://packages/x-*", "pkg:npm/x"]});
    for (package, expected) in [
        ("oppy://packages/x-1", "accepted"),
        ("oppy://packages/y", "out-of-scope"),
        ("oppy://packages/x-1/y", "out-of-scope"),
        ("oppy://packages/x-1/../y", "out-of-scope"),
        // In the scope that the namespace wrote, outside what the catalog grants it.
        ("pkg:npm/x", "out-of-scope"),
        ("oppy://packages/x-theirs", "out-of-scope"),
    ] {
        let mut case = Case::new().with("", "scopes", scopes.clone());
        case.catalog["namespaces"]["theirs"] =
            json!({"role": "theirs", "minVersion": 1, "grants": {"packages": ["oppy://packages/x-theirs"]}});
        case.package = Some(package);
        assert_eq!(case.code(), expected, "{package}");
    }
    // The grant holds where the document has no scope, too, and whatever is one thing has one spelling.
    assert_eq!(Case { package: Some("oppy://packages/../secret"), ..Case::new() }.code(), "out-of-scope");
    assert_eq!(Case { package: Some("pkg:npm/x"), ..Case::new() }.code(), "out-of-scope");
    // A scope that nobody asked about is said to be unjudged.
    let unasked = Case::new().with("", "scopes", scopes).judge().unwrap();
    assert_eq!(unasked.accepted[0].not_judged.len(), 1);
}

// Verifiers.

#[test]
fn a_summary_that_does_not_say_passed_is_refused() {
    for result in [json!("FAILED"), json!("passed"), json!(""), json!(true), Value::Null] {
        let mut statement = summary();
        statement["predicate"]["verificationResult"] = result.clone();
        assert_eq!(Case::of_verifier().attested(&statement).code(), "not-passed", "{result}");
    }
}

#[test]
fn a_summary_speaks_about_the_resource_asked_for_only() {
    for other in ["oppy://images/y", "oppy://images/x/", "OPPY://images/x", "oppy://images/", ""] {
        let mut statement = summary();
        statement["predicate"]["resourceUri"] = other.into();
        assert_eq!(Case::of_verifier().attested(&statement).code(), "other-resource", "{other}");
    }
}

#[test]
fn a_resource_is_in_the_documents_scope_and_granted_to_nobody_else() {
    let about = |resource: &'static str| {
        let mut statement = summary();
        statement["predicate"]["resourceUri"] = resource.into();
        Case { resource, ..Case::of_verifier().attested(&statement) }
    };
    assert_eq!(about("oppy://images/y").code(), "accepted");
    for spelling in ["oppy://images/../packages/x", "oppy://images/%2e%2e/x", "oppy://images/a\\b"] {
        assert_eq!(about(spelling).code(), "out-of-scope", "{spelling}");
    }
    // Granted to the namespace, outside the document's scope.
    assert_eq!(about("oppy://packages/x").code(), "out-of-scope");
    // In the document's scope, outside the grants of the namespace.
    let everything = |resource| about(resource).with("/scopes", "resources", json!(["oppy://", "pkg:npm/"]));
    assert_eq!(everything("oppy://packages/x").code(), "accepted");
    assert_eq!(everything("oppy://other/x").code(), "out-of-scope");
    assert_eq!(everything("pkg:npm/x").code(), "out-of-scope");
    // Granted to another namespace by a longer grant, of either kind.
    for kind in ["resources", "packages"] {
        let mut case = about("oppy://images/theirs/x");
        assert_eq!(case.code(), "accepted");
        case.catalog["namespaces"]["theirs"] =
            json!({"role": "theirs", "minVersion": 1, "grants": {kind: ["oppy://images/theirs/"]}});
        assert_eq!(case.code(), "out-of-scope", "{kind}");
    }
}

#[test]
fn the_level_of_a_summary_is_cut_to_cap_and_overlay() {
    let capped = |overlay| {
        let caps = json!([{"level": "SLSA_BUILD_LEVEL_2", "validFor": {"start": "2026-01-01T00:00:00Z"}}]);
        Case { overlay, min_level: BuildLevel::L1, ..Case::of_verifier().in_catalog("caps", caps) }
    };
    assert_eq!(capped(None).level(), Some(BuildLevel::L2));
    assert_eq!(capped(Some(BuildLevel::L1)).level(), Some(BuildLevel::L1));
    assert_eq!(Case { min_level: BuildLevel::L3, ..capped(None) }.code(), "level-too-low");
    let mut low = summary();
    low["predicate"]["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_1"]);
    assert_eq!(Case::of_verifier().attested(&low).code(), "level-too-low");
}

#[test]
fn a_verdict_needs_one_attestation_that_passes_every_check() {
    let wrong_level = Case::new().with("", "qualifications", json!([]));
    let good = bundle_json(&signed(&provenance_by(ID), &[&key()]), "", &[]);
    let other = bundle_json(&signed(&provenance_by("https://oppy.example/slsa/c"), &[&key()]), "", &[]);
    let verdict = Case { file: npm_file(&[&other, &good]), ..Case::new() }.judge().unwrap();
    assert_eq!((verdict.accepted.len(), verdict.refused[0].denial.code()), (1, "other-builder"));
    assert_eq!(Case { file: npm_file(&[&other, &good]), ..wrong_level }.code(), "none-accepted");
    assert_eq!(Case { file: npm_file(&[]), ..Case::new() }.code(), "nothing-to-judge");
}
