//! Finds out when a signature was made, from what a transparency log has signed.
//!
//! Log entries arrive with the attestation and are attacker-controlled. The logs' keys come from a Sigstore
//! `trusted_root.json` that the caller got through TUF. A time counts only when
//!
//! - a log that we trust signed it: Rekor's *signed entry timestamp* over
//!   `{"body", "integratedTime", "logID", "logIndex"}` in canonical JSON (rekor `pkg/api/entries.go`; protobuf-specs
//!   `sigstore_rekor.proto`, `InclusionPromise`);
//! - the log's key was valid at that time, and the time is not after now;
//! - the entry is about *this* signature, by this key, over this payload. Without that, the entry of any other
//!   signature would do.
//!
//! The signed entry timestamp is the log's promise to include the entry; inclusion itself is not checked, as that
//! would add nothing about the time. What a predicate says about time is never read. Rekor v2 signs no times, so its
//! entries prove none.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::builders::{DisabledKey, PublicKeyJson, TimedKey, ValidFor};
use crate::crypto::{VerifyingKey, sha256};
use crate::input::{self, InputError};
use crate::metadata::canonical_json::Json;
use crate::printable::Printable;

/// Largest `trusted_root.json` that is read, in bytes.
pub const MAX_TRUSTED_ROOT_BYTES: usize = 4 << 20;
/// Most logs of one trusted root that are read.
pub const MAX_LOGS: usize = 64;
/// Largest body of a log entry that is read, in bytes.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;

/// When a signature was made, as far as it can be proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustedTime {
    /// A log that we trust saw the signature at this time.
    Known {
        /// The time; the earliest, where several logs saw it.
        time: DateTime<Utc>,
        /// The URL of the log, from the trusted root.
        log: String,
    },
    /// Nothing proves when the signature was made.
    Unknown {
        /// Why not; of several log entries, the one that came closest.
        reason: NoTrustedTime,
    },
}

/// Why the time of a signature is unknown, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum NoTrustedTime {
    /// The attestation came without a log entry.
    #[error("the attestation has no log entry")]
    NoLogEntry,
    /// The caller named no logs to trust.
    #[error("no transparency log is trusted")]
    NoTrustedLogs,
    /// The log entry lacks a field, or one cannot be read.
    #[error("the log entry's `{field}` is absent or cannot be read")]
    MalformedEntry {
        /// The field.
        field: &'static str,
    },
    /// The entry carries no signed entry timestamp. Those of Rekor v2 never do.
    #[error("the log entry has no signed entry timestamp")]
    NoSignedEntryTimestamp,
    /// The entry is of a log that is not in the trusted root.
    #[error("the log entry is of a log that is not trusted (log ID {log_id})")]
    UnknownLog {
        /// The log's ID in hexadecimal, as the entry gives it.
        log_id: String,
    },
    /// The log's key verifies nothing.
    #[error("the key of the log {} cannot be used: {problem}", Printable(.log))]
    LogKeyDisabled {
        /// The URL of the log, from the trusted root.
        log: String,
        /// Why not.
        problem: DisabledKey,
    },
    /// The log did not sign this entry with this time.
    #[error("the signed entry timestamp is not by the log {}", Printable(.log))]
    BadSignedEntryTimestamp {
        /// The URL of the log, from the trusted root.
        log: String,
    },
    /// The log's key was not valid when it signed.
    #[error(
        "the key of the log {} is valid {valid_for}, not at {}",
        Printable(.log),
        .time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    )]
    LogKeyNotValid {
        /// The URL of the log, from the trusted root.
        log: String,
        /// When it signed.
        time: DateTime<Utc>,
        /// When its key is valid.
        valid_for: ValidFor,
    },
    /// The log signed after the time at which we judge: a clock is wrong, so neither proves anything.
    #[error("the log's time {} is in the future", .time.to_rfc3339_opts(SecondsFormat::AutoSi, true))]
    InFuture {
        /// When it signed.
        time: DateTime<Utc>,
    },
    /// The entry is of a kind that is not about DSSE envelopes, or a version that we do not know.
    #[error("a log entry of kind `{}` {} does not show this signature", Printable(.kind), Printable(.version))]
    UnknownKind {
        /// The kind, as the log signed it.
        kind: String,
        /// Its version.
        version: String,
    },
    /// The entry is about another payload.
    #[error("the log entry is about another payload")]
    OtherPayload,
    /// The entry is about another signature, or one by another key.
    #[error("the log entry is about another signature")]
    OtherSignature,
}

/// The transparency logs of a Sigstore trusted root: whose word about time is taken.
#[derive(Debug, Clone)]
pub struct TransparencyLogs {
    logs: Vec<Log>,
}

#[derive(Debug, Clone)]
struct Log {
    url: String,
    id: Vec<u8>,
    key: Result<TimedKey, DisabledKey>,
}

impl TransparencyLogs {
    /// Reads the logs of a `trusted_root.json` (protobuf-specs `sigstore_trustroot.proto`). The rest of it is not
    /// read. A log that cannot be read disables itself only.
    ///
    /// # Errors
    /// When it is too large, repeats a JSON key, or has no list of logs.
    pub fn from_trusted_root(bytes: &[u8]) -> Result<Self, InputError> {
        let root: TrustedRootJson = input::read(bytes, MAX_TRUSTED_ROOT_BYTES)?;
        input::at_most("transparency logs", root.tlogs.len(), MAX_LOGS)?;
        Ok(Self { logs: root.tlogs.iter().map(Log::from_json).collect() })
    }

    /// Joins the logs of several roots. `None` where there is no root.
    pub(super) fn joined<'a>(roots: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut roots = roots.into_iter().peekable();
        roots.peek()?;
        Some(Self { logs: roots.flat_map(|root| root.logs.iter().cloned()).collect() })
    }
}

impl Log {
    fn from_json(json: &Value) -> Self {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let key = PublicKeyJson::read_from(json.get("publicKey"));
        Self { url: text("/baseUrl").to_owned(), id: input::base64(text("/logId/keyId")).unwrap_or_default(), key }
    }
}

/// A signature whose validity has been checked, and whose time is in question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) payload: &'a [u8],
    /// The valid signatures of `key` over it.
    pub(super) signatures: &'a [&'a [u8]],
    pub(super) key: &'a VerifyingKey,
}

/// A time that a trusted log proves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProvedTime {
    pub(super) time: DateTime<Utc>,
    pub(super) log: String,
}

/// Returns the times that `entries` prove for `signed`, earliest first and never empty; or why there is none.
pub(super) fn proved_times(
    entries: &[LogEntry],
    logs: Option<&TransparencyLogs>,
    signed: Signed<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<ProvedTime>, NoTrustedTime> {
    let mut proved = Vec::new();
    let mut closest = NoTrustedTime::NoLogEntry;
    for entry in entries {
        let logs = logs.ok_or(NoTrustedTime::NoTrustedLogs)?;
        match entry.prove(logs, signed, now) {
            Ok(time) => proved.push(time),
            Err(reason) => closest = closest.max(reason),
        }
    }
    if proved.is_empty() {
        return Err(closest);
    }
    proved.sort();
    Ok(proved)
}

/// A log entry as it comes with an attestation (protobuf-specs `TransparencyLogEntry`), unverified.
///
/// `kindVersion` is not read: the body, which the log signed, says the same. Every field may be absent, so that a
/// poor entry costs the time and not the attestation.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogEntry {
    log_index: Option<Integer>,
    log_id: Option<LogIdJson>,
    integrated_time: Option<Integer>,
    inclusion_promise: Option<InclusionPromiseJson>,
    canonicalized_body: Option<String>,
}

/// protobuf's JSON writes 64-bit integers as strings and reads both.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Integer {
    Number(i64),
    Text(String),
}

impl Integer {
    fn get(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogIdJson {
    key_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InclusionPromiseJson {
    signed_entry_timestamp: Option<String>,
}

impl LogEntry {
    fn prove(
        &self,
        logs: &TransparencyLogs,
        signed: Signed<'_>,
        now: DateTime<Utc>,
    ) -> Result<ProvedTime, NoTrustedTime> {
        let (body, proved) = self.signed_by_log(logs)?;
        if proved.time > now {
            return Err(NoTrustedTime::InFuture { time: proved.time });
        }
        is_about(&body, signed)?;
        Ok(proved)
    }

    /// Checks that a trusted log signed this entry, and returns its body and time.
    fn signed_by_log(&self, logs: &TransparencyLogs) -> Result<(Vec<u8>, ProvedTime), NoTrustedTime> {
        let timestamp = self
            .inclusion_promise
            .as_ref()
            .and_then(|promise| promise.signed_entry_timestamp.as_ref())
            .ok_or(NoTrustedTime::NoSignedEntryTimestamp)?;
        let timestamp = field("signedEntryTimestamp", input::base64(timestamp))?;
        let integrated = field("integratedTime", self.integrated_time.as_ref().and_then(Integer::get))?;
        let time = field("integratedTime", DateTime::from_timestamp(integrated, 0))?;
        let index = field("logIndex", self.log_index.as_ref().and_then(Integer::get))?;
        let log_id = self.log_id.as_ref().and_then(|id| id.key_id.as_ref());
        let log_id = field("logId", log_id.and_then(|id| input::base64(id)))?;
        let body = field("canonicalizedBody", self.canonicalized_body.as_ref().and_then(|body| input::base64(body)))?;

        let message = timestamp_message(&body, integrated, &log_id, index);
        // A log that changes its key may keep its ID, so every log with this ID is asked.
        let mut closest = NoTrustedTime::UnknownLog { log_id: hex::encode(&log_id) };
        for log in logs.logs.iter().filter(|log| log.id == log_id) {
            match log.vouches(&message, &timestamp, time) {
                Ok(proved) => return Ok((body, proved)),
                Err(reason) => closest = closest.max(reason),
            }
        }
        Err(closest)
    }
}

impl Log {
    fn vouches(&self, message: &[u8], timestamp: &[u8], time: DateTime<Utc>) -> Result<ProvedTime, NoTrustedTime> {
        let log = self.url.clone();
        let timed = match &self.key {
            Ok(timed) => timed,
            Err(problem) => return Err(NoTrustedTime::LogKeyDisabled { log, problem: problem.clone() }),
        };
        if !timed.key.verifies(message, timestamp) {
            return Err(NoTrustedTime::BadSignedEntryTimestamp { log });
        }
        if !timed.valid_for.includes(time) {
            return Err(NoTrustedTime::LogKeyNotValid { log, time, valid_for: timed.valid_for });
        }
        Ok(ProvedTime { time, log })
    }
}

/// What Rekor signs as the signed entry timestamp.
fn timestamp_message(body: &[u8], integrated_time: i64, log_id: &[u8], log_index: i64) -> Vec<u8> {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(body);
    Json::Object(BTreeMap::from([
        ("body".to_owned(), Json::String(body)),
        ("integratedTime".to_owned(), Json::Integer(integrated_time.into())),
        ("logID".to_owned(), Json::String(hex::encode(log_id))),
        ("logIndex".to_owned(), Json::Integer(log_index.into())),
    ]))
    .to_canonical()
}

/// Checks that the body of an entry, which the log signed, shows `signed`.
///
/// Two kinds of entry show DSSE signatures: `intoto` 0.0.2 and `dsse` 0.0.1 (rekor `pkg/types`). A `hashedrekord`
/// shows a signature over a digest, which a DSSE signature is not.
fn is_about(body: &[u8], signed: Signed<'_>) -> Result<(), NoTrustedTime> {
    let malformed = |_| NoTrustedTime::MalformedEntry { field: "canonicalizedBody" };
    let kind: EntryKind = input::read(body, MAX_ENTRY_BYTES).map_err(malformed)?;
    let (payload_hash, signatures) = match (kind.kind.as_str(), kind.api_version.as_str()) {
        ("intoto", "0.0.2") => {
            let IntotoEntry { spec: IntotoSpec { content } } = input::shape(body).map_err(malformed)?;
            (content.payload_hash, content.envelope.signatures.iter().map(IntotoSignature::read).collect::<Vec<_>>())
        }
        ("dsse", "0.0.1") => {
            let DsseEntry { spec } = input::shape(body).map_err(malformed)?;
            (spec.payload_hash, spec.signatures.iter().map(DsseSignature::read).collect())
        }
        _ => return Err(NoTrustedTime::UnknownKind { kind: kind.kind, version: kind.api_version }),
    };
    if !payload_hash.is_of(signed.payload) {
        return Err(NoTrustedTime::OtherPayload);
    }
    if !signatures.into_iter().flatten().any(|logged| logged.is_one_of(signed)) {
        return Err(NoTrustedTime::OtherSignature);
    }
    Ok(())
}

/// A signature as the log shows it.
struct LoggedSignature {
    signature: Vec<u8>,
    /// PEM: a public key, or a certificate, which does not decode as a key and so is never one of the delivered.
    verifier: Vec<u8>,
}

impl LoggedSignature {
    fn is_one_of(&self, signed: Signed<'_>) -> bool {
        signed.signatures.contains(&self.signature.as_slice())
            && pem::parse(&self.verifier)
                .ok()
                .and_then(|pem| VerifyingKey::from_spki(pem.contents(), signed.key.algorithm()).ok())
                .is_some_and(|key| key.canonical_spki() == signed.key.canonical_spki())
    }
}

fn field<T>(field: &'static str, value: Option<T>) -> Result<T, NoTrustedTime> {
    value.ok_or(NoTrustedTime::MalformedEntry { field })
}

#[derive(Deserialize)]
struct TrustedRootJson {
    tlogs: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryKind {
    kind: String,
    api_version: String,
}

#[derive(Deserialize)]
struct IntotoEntry {
    spec: IntotoSpec,
}

#[derive(Deserialize)]
struct IntotoSpec {
    content: IntotoContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoContent {
    payload_hash: HashJson,
    envelope: IntotoEnvelope,
}

#[derive(Deserialize)]
struct IntotoEnvelope {
    signatures: Vec<IntotoSignature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoSignature {
    sig: String,
    public_key: String,
}

impl IntotoSignature {
    /// This kind holds the base64 of the envelope's `sig`, which is base64 itself.
    fn read(&self) -> Option<LoggedSignature> {
        let once = String::from_utf8(input::base64(&self.sig)?).ok()?;
        Some(LoggedSignature { signature: input::base64(&once)?, verifier: input::base64(&self.public_key)? })
    }
}

#[derive(Deserialize)]
struct DsseEntry {
    spec: DsseSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DsseSpec {
    payload_hash: HashJson,
    signatures: Vec<DsseSignature>,
}

#[derive(Deserialize)]
struct DsseSignature {
    signature: String,
    verifier: String,
}

impl DsseSignature {
    fn read(&self) -> Option<LoggedSignature> {
        Some(LoggedSignature { signature: input::base64(&self.signature)?, verifier: input::base64(&self.verifier)? })
    }
}

#[derive(Deserialize)]
struct HashJson {
    algorithm: String,
    value: String,
}

impl HashJson {
    fn is_of(&self, payload: &[u8]) -> bool {
        self.algorithm == "sha256" && hex::decode(&self.value).is_ok_and(|hash| hash == sha256(payload))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::testing::{
        EntryForm, LOG_URL, TestKey, at, base64_text, log_entry, log_entry_with_body, trusted_root, trusted_root_json,
    };

    const PAYLOAD: &[u8] = b"a payload";
    const LOGGED: &str = "2024-05-16T17:12:06Z";
    const NOW: &str = "2026-01-01T00:00:00Z";

    /// One signature by alice, a log, and the log's entry about it.
    struct Scene {
        alice: TestKey,
        log: TestKey,
        signature: Vec<u8>,
        entry: Value,
    }

    impl Scene {
        fn new(form: EntryForm) -> Self {
            let (alice, log) = (TestKey::new(1), TestKey::ecdsa("log"));
            let signature = alice.sign(PAYLOAD);
            let entry = log_entry(&log, form, PAYLOAD, &signature, &alice, LOGGED);
            Self { alice, log, signature, entry }
        }

        fn prove(&self) -> Result<Vec<ProvedTime>, NoTrustedTime> {
            self.prove_with(&trusted_root(&self.log), NOW)
        }

        fn prove_with(&self, root: &[u8], now: &str) -> Result<Vec<ProvedTime>, NoTrustedTime> {
            let logs = TransparencyLogs::from_trusted_root(root).unwrap();
            let entry: LogEntry = serde_json::from_value(self.entry.clone()).unwrap();
            proved_times(&[entry], Some(&logs), self.signed(&[self.signature.as_slice()]), at(now))
        }

        fn signed<'a>(&'a self, signatures: &'a [&'a [u8]]) -> Signed<'a> {
            Signed { payload: PAYLOAD, signatures, key: &self.alice.verifying }
        }
    }

    #[test]
    fn both_kinds_of_entry_prove_the_time() {
        for form in [EntryForm::Intoto, EntryForm::Dsse] {
            let proved = Scene::new(form).prove().unwrap();
            assert_eq!(proved, [ProvedTime { time: at(LOGGED), log: LOG_URL.to_owned() }]);
        }
    }

    #[test]
    fn an_altered_time_loses_the_timestamp() {
        let mut scene = Scene::new(EntryForm::Intoto);
        scene.entry["integratedTime"] = "1715879525".into();
        assert_eq!(scene.prove(), Err(NoTrustedTime::BadSignedEntryTimestamp { log: LOG_URL.to_owned() }));
    }

    #[test]
    fn an_altered_index_or_body_loses_the_timestamp() {
        let mut scene = Scene::new(EntryForm::Intoto);
        scene.entry["logIndex"] = "8".into();
        assert!(matches!(scene.prove(), Err(NoTrustedTime::BadSignedEntryTimestamp { .. })));
        let mut scene = Scene::new(EntryForm::Intoto);
        scene.entry["canonicalizedBody"] = Scene::new(EntryForm::Dsse).entry["canonicalizedBody"].clone();
        assert!(matches!(scene.prove(), Err(NoTrustedTime::BadSignedEntryTimestamp { .. })));
    }

    #[test]
    fn an_unknown_log_proves_nothing() {
        let scene = Scene::new(EntryForm::Intoto);
        let other = trusted_root(&TestKey::ecdsa("other log"));
        assert!(matches!(scene.prove_with(&other, NOW), Err(NoTrustedTime::UnknownLog { .. })));
    }

    #[test]
    fn a_log_that_claims_the_id_of_another_proves_nothing() {
        let mut scene = Scene::new(EntryForm::Intoto);
        let rogue = TestKey::ecdsa("rogue log");
        let forged = log_entry(&rogue, EntryForm::Intoto, PAYLOAD, &scene.signature, &scene.alice, LOGGED);
        scene.entry["inclusionPromise"] = forged["inclusionPromise"].clone();
        assert!(matches!(scene.prove(), Err(NoTrustedTime::BadSignedEntryTimestamp { .. })));
    }

    #[test]
    fn no_trusted_logs_prove_nothing() {
        let scene = Scene::new(EntryForm::Intoto);
        let entry: LogEntry = serde_json::from_value(scene.entry.clone()).unwrap();
        let signatures = [scene.signature.as_slice()];
        let signed = scene.signed(&signatures);
        assert_eq!(proved_times(&[entry], None, signed, at(NOW)), Err(NoTrustedTime::NoTrustedLogs));
        assert_eq!(proved_times(&[], None, signed, at(NOW)), Err(NoTrustedTime::NoLogEntry));
    }

    #[test]
    fn a_log_key_counts_only_within_its_period() {
        let scene = Scene::new(EntryForm::Dsse);
        let mut root = trusted_root_json(&scene.log);
        root["tlogs"][0]["publicKey"]["validFor"] =
            json!({"start": "2021-01-01T00:00:00Z", "end": "2024-05-16T17:12:05Z"});
        let reason = scene.prove_with(root.to_string().as_bytes(), NOW).unwrap_err();
        assert!(matches!(reason, NoTrustedTime::LogKeyNotValid { .. }), "{reason}");
    }

    #[test]
    fn a_log_key_that_cannot_be_read_disables_that_log_only() {
        let scene = Scene::new(EntryForm::Dsse);
        let mut root = trusted_root_json(&scene.log);
        let good = root["tlogs"][0].clone();
        root["tlogs"][0]["publicKey"]["keyDetails"] = "PKIX_QUANTUM".into();
        let reason = scene.prove_with(root.to_string().as_bytes(), NOW).unwrap_err();
        assert!(matches!(reason, NoTrustedTime::LogKeyDisabled { .. }), "{reason}");
        root["tlogs"].as_array_mut().unwrap().push(good);
        assert!(scene.prove_with(root.to_string().as_bytes(), NOW).is_ok());
    }

    #[test]
    fn a_time_in_the_future_proves_nothing() {
        let scene = Scene::new(EntryForm::Intoto);
        let root = trusted_root(&scene.log);
        let reason = scene.prove_with(&root, "2024-05-16T17:12:05Z").unwrap_err();
        assert_eq!(reason, NoTrustedTime::InFuture { time: at(LOGGED) });
        assert!(scene.prove_with(&root, LOGGED).is_ok());
    }

    #[test]
    fn the_entry_of_another_signature_proves_nothing() {
        for form in [EntryForm::Intoto, EntryForm::Dsse] {
            let mut scene = Scene::new(form);
            let other = scene.alice.sign(b"something else");
            scene.entry = log_entry(&scene.log, form, PAYLOAD, &other, &scene.alice, LOGGED);
            assert_eq!(scene.prove(), Err(NoTrustedTime::OtherSignature));
        }
    }

    #[test]
    fn the_entry_of_another_payload_proves_nothing() {
        for form in [EntryForm::Intoto, EntryForm::Dsse] {
            let mut scene = Scene::new(form);
            scene.entry = log_entry(&scene.log, form, b"another", &scene.signature, &scene.alice, LOGGED);
            assert_eq!(scene.prove(), Err(NoTrustedTime::OtherPayload));
        }
    }

    #[test]
    fn the_entry_of_another_key_proves_nothing() {
        for form in [EntryForm::Intoto, EntryForm::Dsse] {
            let mut scene = Scene::new(form);
            scene.entry = log_entry(&scene.log, form, PAYLOAD, &scene.signature, &TestKey::new(2), LOGGED);
            assert_eq!(scene.prove(), Err(NoTrustedTime::OtherSignature));
        }
    }

    #[test]
    fn the_hash_of_the_payload_must_be_called_what_it_is() {
        for form in [EntryForm::Intoto, EntryForm::Dsse] {
            let mut scene = Scene::new(form);
            let body = input::base64(scene.entry["canonicalizedBody"].as_str().unwrap()).unwrap();
            let body = String::from_utf8(body).unwrap().replace("sha256", "sha384");
            scene.entry = log_entry_with_body(&scene.log, &body, LOGGED);
            assert_eq!(scene.prove(), Err(NoTrustedTime::OtherPayload));
        }
    }

    #[test]
    fn a_certificate_in_the_entry_is_not_the_key() {
        let mut scene = Scene::new(EntryForm::Dsse);
        let body = input::base64(scene.entry["canonicalizedBody"].as_str().unwrap()).unwrap();
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        body["spec"]["signatures"][0]["verifier"] = base64_text(certificate.as_bytes()).into();
        scene.entry = log_entry_with_body(&scene.log, &body.to_string(), LOGGED);
        assert_eq!(scene.prove(), Err(NoTrustedTime::OtherSignature));
    }

    #[test]
    fn entries_of_other_kinds_prove_nothing() {
        let mut scene = Scene::new(EntryForm::Intoto);
        for (kind, version) in [("hashedrekord", "0.0.1"), ("intoto", "0.0.1"), ("dsse", "0.0.2")] {
            let body = json!({"kind": kind, "apiVersion": version, "spec": {}});
            scene.entry = log_entry_with_body(&scene.log, &body.to_string(), LOGGED);
            let expected = NoTrustedTime::UnknownKind { kind: kind.to_owned(), version: version.to_owned() };
            assert_eq!(scene.prove(), Err(expected));
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_proves_nothing() {
        let mut scene = Scene::new(EntryForm::Intoto);
        for body in [
            "",
            "[]",
            r#"{"kind":"intoto"}"#,
            r#"{"kind":"intoto","apiVersion":"0.0.2"}"#,
            r#"{"kind":"dsse","apiVersion":"0.0.1","spec":{"payloadHash":{}}}"#,
            r#"{"kind":"hashedrekord","kind":"dsse","apiVersion":"0.0.1"}"#,
        ] {
            scene.entry = log_entry_with_body(&scene.log, body, LOGGED);
            assert_eq!(scene.prove(), Err(NoTrustedTime::MalformedEntry { field: "canonicalizedBody" }), "{body}");
        }
    }

    #[test]
    fn a_field_that_is_absent_or_odd_costs_the_time_only() {
        for field in ["logIndex", "logId", "integratedTime", "canonicalizedBody"] {
            for odd in [json!(null), json!("?")] {
                let mut scene = Scene::new(EntryForm::Intoto);
                scene.entry[field] = if field == "logId" { json!({"keyId": odd}) } else { odd };
                assert_eq!(scene.prove(), Err(NoTrustedTime::MalformedEntry { field }));
            }
        }
        let mut scene = Scene::new(EntryForm::Intoto);
        scene.entry["integratedTime"] = i64::MAX.into();
        assert_eq!(scene.prove(), Err(NoTrustedTime::MalformedEntry { field: "integratedTime" }));
        scene.entry["inclusionPromise"] = json!(null);
        assert_eq!(scene.prove(), Err(NoTrustedTime::NoSignedEntryTimestamp));
    }

    #[test]
    fn of_several_entries_the_one_that_came_closest_says_why() {
        let scene = Scene::new(EntryForm::Intoto);
        let mut backdated = scene.entry.clone();
        backdated["integratedTime"] = "1".into();
        let entries: Vec<LogEntry> =
            [backdated, json!({})].into_iter().map(|entry| serde_json::from_value(entry).unwrap()).collect();
        let logs = TransparencyLogs::from_trusted_root(&trusted_root(&scene.log)).unwrap();
        let signatures = [scene.signature.as_slice()];
        let reason = proved_times(&entries, Some(&logs), scene.signed(&signatures), at(NOW)).unwrap_err();
        assert!(matches!(reason, NoTrustedTime::BadSignedEntryTimestamp { .. }), "{reason}");
    }

    #[test]
    fn a_trusted_root_that_is_ambiguous_or_boundless_is_refused() {
        let read = |root: &str| TransparencyLogs::from_trusted_root(root.as_bytes()).unwrap_err();
        assert!(matches!(read(r#"{"tlogs":[],"tlogs":[]}"#), InputError::Json(_)));
        assert!(matches!(read("{}"), InputError::Shape { .. }));
        let many = json!({"tlogs": vec![json!({}); MAX_LOGS + 1]});
        assert!(matches!(read(&many.to_string()), InputError::TooMany { what: "transparency logs", .. }));
        assert!(matches!(read(&" ".repeat(MAX_TRUSTED_ROOT_BYTES + 1)), InputError::TooLarge { .. }));
    }

    #[test]
    fn of_several_entries_the_earliest_time_comes_first_and_bad_ones_are_left_out() {
        let scene = Scene::new(EntryForm::Intoto);
        let entry = |time| log_entry(&scene.log, EntryForm::Dsse, PAYLOAD, &scene.signature, &scene.alice, time);
        let entries: Vec<LogEntry> = [json!({}), entry("2025-01-01T00:00:00Z"), entry("2023-01-01T00:00:00Z")]
            .into_iter()
            .map(|entry| serde_json::from_value(entry).unwrap())
            .collect();
        let logs = TransparencyLogs::from_trusted_root(&trusted_root(&scene.log)).unwrap();
        let signatures = [scene.signature.as_slice()];
        let proved = proved_times(&entries, Some(&logs), scene.signed(&signatures), at(NOW)).unwrap();
        let times: Vec<_> = proved.iter().map(|proved| proved.time).collect();
        assert_eq!(times, [at("2023-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z")]);
    }
}
