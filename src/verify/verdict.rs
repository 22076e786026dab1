//! Decides whether an attestation file vouches for an artifact.
//!
//! Everything in the [`Request`] but the attestation file is trusted: the artifact's digests were computed by the
//! caller, and the keys and logs came through TUF.

use chrono::{DateTime, SecondsFormat, Utc};

use super::attestation_file::{self, Material, SkipReason};
use super::certificate::{self, Integrity};
use super::dsse::{Candidate, Envelope, SignedBy};
use super::key_set::{KeySet, NPM_ATTESTATIONS};
use super::statement::{ArtifactDigests, IN_TOTO_PAYLOAD_TYPE, Statement, Subject};
use super::trusted_time::{LogEntry, NoTrustedTime, Signed, TransparencyLogs, TrustedTime, proved_times};
use crate::builders::{DisabledKey, ValidFor};
use crate::crypto::sha256;
use crate::input::InputError;
use crate::metadata::HashAlgorithm;
use crate::printable::Printable;

/// What is asked: does this file vouch for this artifact?
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The artifact.
    pub artifact: &'a ArtifactDigests,
    /// The attestation file, as it was found.
    pub attestation_file: &'a [u8],
    /// The keys that may sign, as TUF delivered them.
    pub keys: &'a KeySet,
    /// The usage that a key must have to sign attestations; npm's unless changed.
    pub key_usage: &'a str,
    /// The predicate type that is wanted. `None` accepts any: the caller then looks at [`Accepted::predicate_type`].
    pub predicate_type: Option<&'a str>,
    /// The logs whose word about time is taken. Without any, every signing time is unknown.
    pub time_authority: Option<&'a TransparencyLogs>,
    /// The time at which to judge.
    pub now: DateTime<Utc>,
}

impl<'a> Request<'a> {
    /// Asks about `artifact`, with npm's key usage, any predicate type and no trusted logs.
    pub fn new(
        artifact: &'a ArtifactDigests,
        attestation_file: &'a [u8],
        keys: &'a KeySet,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            artifact,
            attestation_file,
            keys,
            key_usage: NPM_ATTESTATIONS,
            predicate_type: None,
            time_authority: None,
            now,
        }
    }
}

/// What was proved. Only [`verify_with_keys`] makes one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// The attestations that passed every check; at least one.
    pub accepted: Vec<Accepted>,
    /// Attestations beside them that did not pass, none of them altered. Nothing that they say may be used.
    pub refused: Vec<Refused>,
    /// Attestations beside them that keys say nothing about.
    pub skipped: Vec<Skipped>,
}

/// One attestation that passed every check.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Accepted {
    /// Position in the file, from 0.
    pub position: usize,
    /// The subjects that are the artifact, under the names that the signer gives it; at least one.
    pub subjects: Vec<Subject>,
    /// What kind of thing the statement says.
    pub predicate_type: String,
    /// The delivered keys that signed it and were valid; at least one, and each physical key once.
    pub signed_by: Vec<Signer>,
}

/// A delivered key that signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signer {
    /// The key's name in the key set.
    pub keyid: String,
    /// The kind of key, such as `ecdsa-p256`.
    pub kind: String,
    /// The SHA-256 of the key's canonical SubjectPublicKeyInfo: the name that nobody can choose.
    pub spki_sha256: [u8; 32],
    /// When it may sign.
    pub valid_for: ValidFor,
    /// When it signed. The key was judged at this time; when it is unknown, at the time of the request.
    pub time: TrustedTime,
}

/// One attestation that did not pass, and why.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refused {
    /// Position in the file, from 0.
    pub position: usize,
    /// Why.
    pub denial: Denial,
}

/// One attestation that was not judged, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Position in the file, from 0.
    pub position: usize,
    /// Why.
    pub reason: SkipReason,
}

/// Why an attestation file does not vouch for an artifact.
///
/// Text of the file is escaped when displayed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// The file, or the envelope, cannot be read.
    #[error("the attestation cannot be read: {0}")]
    Malformed(InputError),
    /// An attestation carries the certificate that it is said to be signed with, but no signature on it is by that
    /// certificate. It was tampered with.
    #[error(
        "attestation number {} in the file was altered after it was signed: its signature is not by the certificate \
         that it carries",
        .position + 1
    )]
    AlteredAttestation {
        /// Position in the file, from 0.
        position: usize,
    },
    /// Nothing in the file is signed with a key.
    #[error("none of the {} attestations in the file is signed with a key", .skipped.len())]
    NothingToJudge {
        /// What is there instead.
        skipped: Vec<Skipped>,
    },
    /// The payload is not said to be an in-toto statement.
    #[error("the payload has the type `{}`, not `{IN_TOTO_PAYLOAD_TYPE}`", Printable(.found))]
    WrongPayloadType {
        /// The type.
        found: String,
    },
    /// The attestation names a delivered key, but that key did not sign this payload. It was tampered with.
    #[error("the signature is not one of key {} over this payload", Printable(.keyid))]
    BadSignature {
        /// The key that is named.
        keyid: String,
    },
    /// No delivered key signed it, and it names none of them.
    #[error("it is not signed by any of the {delivered} delivered keys{}", naming(.named))]
    NotSignedByDeliveredKeys {
        /// How many keys could have signed.
        delivered: usize,
        /// The keys that the attestation names.
        named: Vec<String>,
    },
    /// A delivered key signed it that is for something else.
    #[error("it is signed by key {}, which is for `{}` and not for `{}`", Printable(.keyid), Printable(.usage), Printable(.needed))]
    WrongKeyUsage {
        /// The key.
        keyid: String,
        /// What it is for.
        usage: String,
        /// What it would have to be for.
        needed: String,
    },
    /// It names a delivered key that this build cannot use.
    #[error("it names key {}, which cannot be used: {problem}", Printable(.keyid))]
    KeyDisabled {
        /// The key.
        keyid: String,
        /// Why it cannot be used.
        problem: DisabledKey,
    },
    /// What was signed is not an in-toto statement.
    #[error("what was signed is not a statement: {0}")]
    MalformedStatement(InputError),
    /// The statement is about something else.
    #[error("the statement is not about this artifact but about {}", about(.subjects))]
    SubjectMismatch {
        /// What it is about.
        subjects: Vec<Subject>,
    },
    /// The statement says another kind of thing than what is wanted.
    #[error("the statement has the predicate type `{}`, not `{}`", Printable(.found), Printable(.wanted))]
    WrongPredicateType {
        /// Its predicate type.
        found: String,
        /// The one wanted.
        wanted: String,
    },
    /// The key signed outside its period.
    #[error("key {} signed on {}, but is valid {valid_for}", Printable(.keyid), rfc3339(.time))]
    KeyNotValidAtSigningTime {
        /// The key.
        keyid: String,
        /// When it signed.
        time: DateTime<Utc>,
        /// The log that proves the time.
        log: String,
        /// When the key may sign.
        valid_for: ValidFor,
    },
    /// The signing time is unknown, so the key has to be valid now, and is not.
    #[error(
        "key {} is valid {valid_for}, not on {}, and when it signed is unknown: {reason}",
        Printable(.keyid),
        rfc3339(.now)
    )]
    KeyNotValidNow {
        /// The key.
        keyid: String,
        /// The time of the request.
        now: DateTime<Utc>,
        /// When the key may sign.
        valid_for: ValidFor,
        /// Why the signing time is unknown.
        reason: Box<NoTrustedTime>,
    },
    /// Several attestations are signed with keys, and none passed.
    #[error("none of the {} attestations that are signed with keys passes{}", .refused.len(), first(.refused))]
    NoneAccepted {
        /// All of them; at least two.
        refused: Vec<Refused>,
    },
}

impl Denial {
    /// The stable name of this kind of denial, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-attestation",
            Self::AlteredAttestation { .. } => "altered-attestation",
            Self::NothingToJudge { .. } => "nothing-to-judge",
            Self::WrongPayloadType { .. } => "wrong-payload-type",
            Self::BadSignature { .. } => "bad-signature",
            Self::NotSignedByDeliveredKeys { .. } => "not-signed-by-delivered-keys",
            Self::WrongKeyUsage { .. } => "wrong-key-usage",
            Self::KeyDisabled { .. } => "key-disabled",
            Self::MalformedStatement(_) => "malformed-statement",
            Self::SubjectMismatch { .. } => "subject-mismatch",
            Self::WrongPredicateType { .. } => "wrong-predicate-type",
            Self::KeyNotValidAtSigningTime { .. } => "key-not-valid-at-signing-time",
            Self::KeyNotValidNow { .. } => "key-not-valid-now",
            Self::NoneAccepted { .. } => "none-accepted",
        }
    }

    /// Whether this proves that an attestation was altered after it was signed.
    fn proves_tampering(&self) -> bool {
        matches!(self, Self::BadSignature { .. } | Self::AlteredAttestation { .. })
    }
}

/// Decides whether the attestation file vouches for the artifact.
///
/// A file may hold several attestations: npm's hold one by the registry's key and one by a certificate. Those with
/// certificates are skipped and reported. Of those with keys **one must pass every check**.
///
/// **One attestation that was provably altered refuses the file**, whatever else is in it: one that names a delivered
/// key but is not by it, or carries a certificate but is not by it. The file is one unit, handed over by one source,
/// and here is evidence that somebody on the way tampers: an alarm, not noise. Going by the rest of the file would
/// keep the alarm from being heard, for no gain: whoever can alter the file can withhold it anyway. That a signature
/// is by the certificate beside it says nothing about trust, so such an attestation is still skipped.
///
/// Any other attestation that does not pass is listed in [`Verdict::refused`], lends the verdict nothing, and spoils
/// nothing. Most have honest reasons: a signer whose new key has not been delivered yet, a key that has ended,
/// another subject. A caller who needs a certain kind of attestation says so in [`Request::predicate_type`].
///
/// # Errors
/// A [`Denial`] that says why nothing in the file vouches for the artifact, or that the file was tampered with.
pub fn verify_with_keys(request: &Request<'_>) -> Result<Verdict, Denial> {
    let (mut accepted, mut refused, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for attestation in attestation_file::read(request.attestation_file).map_err(Denial::Malformed)? {
        let position = attestation.position;
        match attestation.material {
            Material::Other(reason) => skipped.push(Skipped { position, reason }),
            Material::Certificate { certificate, envelope } => {
                let integrity = match (&certificate, &envelope) {
                    (Some(certificate), Ok(envelope)) => certificate::integrity(envelope, certificate),
                    _ => Integrity::Unknown,
                };
                match integrity {
                    Integrity::Intact => skipped.push(Skipped { position, reason: SkipReason::Certificate }),
                    Integrity::Unknown => {
                        skipped.push(Skipped { position, reason: SkipReason::UnreadableCertificate });
                    }
                    Integrity::Altered => {
                        refused.push(Refused { position, denial: Denial::AlteredAttestation { position } });
                    }
                }
            }
            Material::Key { hint, envelope, log_entries } => {
                let judged = envelope
                    .map_err(Denial::Malformed)
                    .and_then(|envelope| judge(request, position, &envelope, hint.as_deref(), &log_entries));
                match judged {
                    Ok(passed) => accepted.push(passed),
                    Err(denial) => refused.push(Refused { position, denial }),
                }
            }
        }
    }
    if let Some(alarm) = refused.iter().position(|refused| refused.denial.proves_tampering()) {
        return Err(refused.remove(alarm).denial);
    }
    if !accepted.is_empty() {
        return Ok(Verdict { accepted, refused, skipped });
    }
    match refused.len() {
        0 => Err(Denial::NothingToJudge { skipped }),
        1 => Err(refused.remove(0).denial),
        _ => Err(Denial::NoneAccepted { refused }),
    }
}

/// Judges one attestation. Neither payload nor its type is read before a delivered key is known to have signed it.
fn judge(
    request: &Request<'_>,
    position: usize,
    envelope: &Envelope,
    hint: Option<&str>,
    log_entries: &[LogEntry],
) -> Result<Accepted, Denial> {
    let candidates = candidates(request.keys, |usage| usage == request.key_usage);
    let signers = envelope.signers(&candidates);
    if signers.is_empty() {
        return Err(why_unsigned(request, envelope, hint, candidates.len()));
    }
    if envelope.payload_type() != IN_TOTO_PAYLOAD_TYPE {
        return Err(Denial::WrongPayloadType { found: envelope.payload_type().to_owned() });
    }
    let statement = Statement::parse(envelope.payload()).map_err(Denial::MalformedStatement)?;
    let subjects: Vec<Subject> = statement.matching(request.artifact).cloned().collect();
    if subjects.is_empty() {
        return Err(Denial::SubjectMismatch { subjects: statement.subjects });
    }
    if let Some(wanted) = request.predicate_type.filter(|wanted| *wanted != statement.predicate_type) {
        return Err(Denial::WrongPredicateType { found: statement.predicate_type, wanted: wanted.to_owned() });
    }
    let judged = signers.iter().map(|signer| judge_time(request, envelope, signer, log_entries));
    let (valid, invalid): (Vec<_>, Vec<_>) = judged.partition(Result::is_ok);
    let signed_by: Vec<Signer> = valid.into_iter().flatten().collect();
    match invalid.into_iter().find_map(Result::err) {
        Some(denial) if signed_by.is_empty() => Err(denial),
        _ => Ok(Accepted { position, subjects, predicate_type: statement.predicate_type, signed_by }),
    }
}

fn candidates(keys: &KeySet, usage: impl Fn(&str) -> bool) -> Vec<Candidate<'_>> {
    keys.iter()
        .filter(|delivered| usage(&delivered.usage))
        .filter_map(|delivered| Some(Candidate { keyid: &delivered.keyid, key: &delivered.key.as_ref().ok()?.key }))
        .collect()
}

/// Finds out what is wrong when no candidate signed: tampering, a key for something else, or a key unknown to us.
fn why_unsigned(request: &Request<'_>, envelope: &Envelope, hint: Option<&str>, delivered: usize) -> Denial {
    let others = candidates(request.keys, |usage| usage != request.key_usage);
    if let Some(signer) = envelope.signers(&others).first() {
        let keyid = signer.candidate.keyid.to_owned();
        let usage = request.keys.iter().find(|key| {
            key.usage != request.key_usage && key.key.as_ref().is_ok_and(|timed| timed.key == *signer.candidate.key)
        });
        let usage = usage.map(|key| key.usage.clone()).unwrap_or_default();
        return Denial::WrongKeyUsage { keyid, usage, needed: request.key_usage.to_owned() };
    }
    let named: Vec<&str> = envelope.keyids().chain(hint).collect();
    let delivered_and_named = request
        .keys
        .iter()
        .find(|delivered| delivered.usage == request.key_usage && named.contains(&delivered.keyid.as_str()));
    match delivered_and_named {
        Some(delivered) => match &delivered.key {
            Ok(_) => Denial::BadSignature { keyid: delivered.keyid.clone() },
            Err(problem) => Denial::KeyDisabled { keyid: delivered.keyid.clone(), problem: problem.clone() },
        },
        None => Denial::NotSignedByDeliveredKeys { delivered, named: named.into_iter().map(str::to_owned).collect() },
    }
}

/// Judges one signer by the time of its signature, as the trust model has it for an active signer.
///
/// Known: every time that is proved must lie in the key's period. Unknown: now must.
fn judge_time(
    request: &Request<'_>,
    envelope: &Envelope,
    signer: &SignedBy<'_, '_>,
    log_entries: &[LogEntry],
) -> Result<Signer, Denial> {
    let (keyid, key) = (signer.candidate.keyid.to_owned(), signer.candidate.key);
    let dated = Signed { payload: envelope.payload(), signatures: &signer.signatures, key };
    let proved = proved_times(log_entries, request.time_authority, dated, request.now);

    // A key that stands in the set twice must be within both periods: an ended key may not live on in a copy.
    let mut periods = request.keys.periods(request.key_usage, key).collect::<Vec<_>>();
    periods.sort_by_key(|period| (period.end.is_none(), period.end));
    let excluding = |time| periods.iter().find(|period| !period.includes(time)).copied();
    let time = match proved {
        Ok(times) => {
            for proved in &times {
                if let Some(valid_for) = excluding(proved.time) {
                    let (time, log) = (proved.time, proved.log.clone());
                    return Err(Denial::KeyNotValidAtSigningTime { keyid, time, log, valid_for });
                }
            }
            let earliest = times.into_iter().next().expect("a proof of time has at least one time");
            TrustedTime::Known { time: earliest.time, log: earliest.log }
        }
        Err(reason) => {
            if let Some(valid_for) = excluding(request.now) {
                let reason = Box::new(reason);
                return Err(Denial::KeyNotValidNow { keyid, now: request.now, valid_for, reason });
            }
            TrustedTime::Unknown { reason }
        }
    };
    let valid_for = *periods.first().expect("a signer stands in the key set");
    Ok(Signer { keyid, kind: key.describe(), spki_sha256: sha256(key.canonical_spki()), valid_for, time })
}

fn rfc3339(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn naming(named: &[String]) -> String {
    named.first().map(|first| format!("; it names key {}", Printable(first))).unwrap_or_default()
}

pub(super) fn about(subjects: &[Subject]) -> String {
    let Some(first) = subjects.first() else { return "nothing".to_owned() };
    let more = match subjects.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let weak = if subjects.iter().any(|subject| subject.comparable().next().is_some()) {
        String::new()
    } else {
        let known = HashAlgorithm::ALL.map(HashAlgorithm::name).join(", ");
        format!(", without a digest that can be compared ({known})")
    };
    format!("`{}`{more}{weak}", Printable(&first.name))
}

fn first(refused: &[Refused]) -> String {
    refused.first().map(|first| format!("; the first: {}", first.denial)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::verify::testing::{
        EntryForm, TestKey, at, base64_text, bundle_json, certificate, certified_bundle_json, digests_of,
        envelope_json, key_json, keys_file, log_entry, npm_file, trusted_root,
    };

    const ARTIFACT: &[u8] = b"the artifact";
    const PREDICATE: &str = "https://example.org/publish/v1";
    const LOGGED: &str = "2024-05-16T17:12:06Z";
    const NOW: &str = "2026-01-01T00:00:00Z";

    /// What a repository delivers and a registry serves, with the parts at hand for attacks.
    struct Scene {
        alice: TestKey,
        log: TestKey,
        keys: Vec<Value>,
        now: &'static str,
        artifact: &'static [u8],
        predicate_type: Option<&'static str>,
    }

    impl Scene {
        fn new() -> Self {
            let alice = TestKey::new(1);
            let keys = vec![key_json(&alice, NPM_ATTESTATIONS)];
            let log = TestKey::ecdsa("log");
            Self { alice, log, keys, now: NOW, artifact: ARTIFACT, predicate_type: None }
        }

        /// Ends alice's key after the log entry and before now.
        fn with_ended_key() -> Self {
            let mut scene = Self::new();
            scene.keys[0]["publicKey"]["validFor"]["end"] = "2025-01-29T00:00:00.000Z".into();
            scene
        }

        fn envelope(&self) -> Value {
            envelope_json(&statement(ARTIFACT), IN_TOTO_PAYLOAD_TYPE, &[&self.alice])
        }

        /// The log's entry about the first signature of an envelope by alice.
        fn entry(&self, envelope: &Value, time: &str) -> Value {
            let decode = |value: &Value| crate::input::base64(value.as_str().unwrap()).unwrap();
            let (payload, signature) = (decode(&envelope["payload"]), decode(&envelope["signatures"][0]["sig"]));
            log_entry(&self.log, EntryForm::Intoto, &payload, &signature, &self.alice, time)
        }

        fn logged_bundle(&self) -> Value {
            let envelope = self.envelope();
            bundle_json(&envelope, &self.alice.keyid, &[&self.entry(&envelope, LOGGED)])
        }

        fn verify(&self, bundles: &[&Value]) -> Result<Verdict, Denial> {
            self.verify_file(&npm_file(bundles))
        }

        fn verify_file(&self, file: &[u8]) -> Result<Verdict, Denial> {
            let entries: Vec<_> = self.keys.iter().collect();
            let keys = KeySet::parse(&keys_file(&entries)).unwrap();
            let logs = TransparencyLogs::from_trusted_root(&trusted_root(&self.log)).unwrap();
            let artifact = digests_of(self.artifact);
            let mut request = Request::new(&artifact, file, &keys, at(self.now));
            request.time_authority = Some(&logs);
            request.predicate_type = self.predicate_type;
            verify_with_keys(&request)
        }

        fn denial(&self, bundles: &[&Value]) -> Denial {
            self.verify(bundles).unwrap_err()
        }
    }

    fn statement(artifact: &[u8]) -> Vec<u8> {
        statement_about(&json!([{"name": "pkg:npm/x@1", "digest": {"sha256": sha256_hex(artifact)}}]))
    }

    fn statement_about(subjects: &Value) -> Vec<u8> {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": PREDICATE,
            "predicate": {"buildFinishedOn": "2021-01-01T00:00:00Z"},
        })
        .to_string()
        .into_bytes()
    }

    fn sha256_hex(bytes: &[u8]) -> String {
        hex::encode(sha256(bytes))
    }

    #[test]
    fn a_good_attestation_says_what_was_proved() {
        let scene = Scene::new();
        let verdict = scene.verify(&[&scene.logged_bundle()]).unwrap();
        let [accepted] = verdict.accepted.as_slice() else { panic!("{verdict:?}") };
        assert_eq!(accepted.subjects.len(), 1);
        assert_eq!(accepted.subjects[0].name, "pkg:npm/x@1");
        assert_eq!(accepted.predicate_type, PREDICATE);
        let [signer] = accepted.signed_by.as_slice() else { panic!("{verdict:?}") };
        assert_eq!((signer.keyid.as_str(), signer.kind.as_str()), ("key-1", "ed25519"));
        assert_eq!(signer.spki_sha256, sha256(scene.alice.verifying.canonical_spki()));
        assert!(matches!(&signer.time, TrustedTime::Known { time, .. } if *time == at(LOGGED)));
        assert!(verdict.refused.is_empty() && verdict.skipped.is_empty());
    }

    #[test]
    fn without_a_log_entry_the_verdict_says_that_the_time_is_unknown() {
        let scene = Scene::new();
        let verdict = scene.verify_file(scene.envelope().to_string().as_bytes()).unwrap();
        let time = &verdict.accepted[0].signed_by[0].time;
        assert_eq!(*time, TrustedTime::Unknown { reason: NoTrustedTime::NoLogEntry });
    }

    #[test]
    fn another_artifact_is_denied() {
        let mut scene = Scene::new();
        scene.artifact = b"another artifact";
        let denial = scene.denial(&[&scene.logged_bundle()]);
        assert_eq!(denial.code(), "subject-mismatch");
        assert_eq!(denial.to_string(), "the statement is not about this artifact but about `pkg:npm/x@1`");
    }

    #[test]
    fn a_subject_with_a_weak_digest_only_is_denied() {
        let scene = Scene::new();
        let payload =
            statement_about(&json!([{"name": "x", "digest": {"sha1": "aa", "gitCommit": "bb"}}, {"digest": {}}]));
        let envelope = envelope_json(&payload, IN_TOTO_PAYLOAD_TYPE, &[&scene.alice]);
        assert_eq!(
            scene.denial(&[&bundle_json(&envelope, "", &[])]).to_string(),
            "the statement is not about this artifact but about `x` and 1 more, \
             without a digest that can be compared (sha256, sha384, sha512)"
        );
    }

    #[test]
    fn a_swapped_payload_is_denied() {
        let scene = Scene::new();
        let mut bundle = scene.logged_bundle();
        bundle["dsseEnvelope"]["payload"] = base64_text(&statement(b"malware")).into();
        let denial = scene.denial(&[&bundle]);
        assert_eq!(denial.code(), "bad-signature");
        assert_eq!(denial.to_string(), "the signature is not one of key key-1 over this payload");
    }

    #[test]
    fn a_signature_moved_to_another_payload_is_denied() {
        let mut scene = Scene::new();
        let mut envelope = envelope_json(&statement(b"malware"), IN_TOTO_PAYLOAD_TYPE, &[&TestKey::new(9)]);
        envelope["signatures"] = scene.envelope()["signatures"].clone();
        scene.artifact = b"malware";
        assert_eq!(scene.denial(&[&bundle_json(&envelope, "", &[])]).code(), "bad-signature");
    }

    #[test]
    fn a_payload_that_nobody_signed_is_not_read() {
        let scene = Scene::new();
        let envelope = envelope_json(b"not a statement", IN_TOTO_PAYLOAD_TYPE, &[&TestKey::new(9)]);
        assert_eq!(scene.denial(&[&bundle_json(&envelope, "", &[])]).code(), "not-signed-by-delivered-keys");
    }

    #[test]
    fn a_key_that_was_not_delivered_is_denied() {
        let scene = Scene::new();
        let envelope = envelope_json(&statement(ARTIFACT), IN_TOTO_PAYLOAD_TYPE, &[&TestKey::new(9)]);
        assert_eq!(
            scene.denial(&[&bundle_json(&envelope, "", &[])]).to_string(),
            "it is not signed by any of the 1 delivered keys; it names key key-9"
        );
    }

    #[test]
    fn an_envelope_without_signatures_is_denied() {
        let scene = Scene::new();
        let mut bundle = scene.logged_bundle();
        bundle["dsseEnvelope"]["signatures"] = json!([]);
        assert_eq!(scene.denial(&[&bundle]).code(), "bad-signature");
        bundle["verificationMaterial"]["publicKey"]["hint"] = "".into();
        assert_eq!(scene.denial(&[&bundle]).code(), "not-signed-by-delivered-keys");
    }

    #[test]
    fn a_key_of_another_usage_is_denied() {
        let mut scene = Scene::new();
        scene.keys = vec![key_json(&scene.alice, "npm:signatures"), key_json(&TestKey::new(2), NPM_ATTESTATIONS)];
        let denial = scene.denial(&[&scene.logged_bundle()]);
        assert_eq!(denial.code(), "wrong-key-usage");
        assert_eq!(
            denial.to_string(),
            "it is signed by key key-1, which is for `npm:signatures` and not for `npm:attestations`"
        );
    }

    #[test]
    fn the_period_of_another_usage_neither_extends_nor_ends_a_key() {
        let mut scene = Scene::with_ended_key();
        scene.keys.push(key_json(&scene.alice, "npm:signatures"));
        let bundle = bundle_json(&scene.envelope(), "", &[]);
        assert_eq!(scene.denial(&[&bundle]).code(), "key-not-valid-now");
        scene.keys[0]["keyUsage"] = "npm:signatures".into();
        scene.keys[1]["keyUsage"] = NPM_ATTESTATIONS.into();
        assert!(scene.verify(&[&bundle]).is_ok());
    }

    #[test]
    fn a_disabled_key_verifies_nothing_and_is_named() {
        let mut scene = Scene::new();
        scene.keys[0]["publicKey"]["keyDetails"] = "PKIX_QUANTUM".into();
        let denial = scene.denial(&[&scene.logged_bundle()]);
        assert_eq!(denial.code(), "key-disabled");
        assert_eq!(
            denial.to_string(),
            "it names key key-1, which cannot be used: the key details `PKIX_QUANTUM` are not ones that we know"
        );
    }

    #[test]
    fn an_ended_key_still_vouches_for_what_it_signed_in_time() {
        let scene = Scene::with_ended_key();
        let verdict = scene.verify(&[&scene.logged_bundle()]).unwrap();
        assert!(matches!(verdict.accepted[0].signed_by[0].time, TrustedTime::Known { .. }));
    }

    #[test]
    fn an_ended_key_vouches_for_nothing_when_the_time_is_unknown() {
        let scene = Scene::with_ended_key();
        let denial = scene.denial(&[&bundle_json(&scene.envelope(), "", &[])]);
        assert_eq!(denial.code(), "key-not-valid-now");
        assert_eq!(
            denial.to_string(),
            "key key-1 is valid from 2020-01-01T00:00:00Z to 2025-01-29T00:00:00Z, not on 2026-01-01T00:00:00Z, \
             and when it signed is unknown: the attestation has no log entry"
        );
    }

    #[test]
    fn an_ended_key_that_signed_later_is_denied() {
        let scene = Scene::with_ended_key();
        let envelope = scene.envelope();
        let entry = scene.entry(&envelope, "2025-01-29T00:00:01Z");
        let denial = scene.denial(&[&bundle_json(&envelope, "", &[&entry])]);
        assert_eq!(denial.code(), "key-not-valid-at-signing-time");
        assert_eq!(
            denial.to_string(),
            "key key-1 signed on 2025-01-29T00:00:01Z, \
             but is valid from 2020-01-01T00:00:00Z to 2025-01-29T00:00:00Z"
        );
    }

    #[test]
    fn a_known_time_outside_the_period_is_denied_although_the_key_is_valid_now() {
        let mut scene = Scene::new();
        scene.keys[0]["publicKey"]["validFor"]["start"] = "2025-06-01T00:00:00Z".into();
        assert_eq!(scene.denial(&[&scene.logged_bundle()]).code(), "key-not-valid-at-signing-time");
    }

    #[test]
    fn every_proved_time_must_lie_in_the_period() {
        let scene = Scene::with_ended_key();
        let envelope = scene.envelope();
        let (early, late) = (scene.entry(&envelope, LOGGED), scene.entry(&envelope, "2025-06-01T00:00:00Z"));
        let denial = scene.denial(&[&bundle_json(&envelope, "", &[&early, &late])]);
        assert_eq!(denial.code(), "key-not-valid-at-signing-time");
    }

    #[test]
    fn the_log_entry_of_another_signature_does_not_revive_an_ended_key() {
        let scene = Scene::with_ended_key();
        let other = envelope_json(&statement(b"older"), IN_TOTO_PAYLOAD_TYPE, &[&scene.alice]);
        let entry = scene.entry(&other, LOGGED);
        let Denial::KeyNotValidNow { reason, .. } = scene.denial(&[&bundle_json(&scene.envelope(), "", &[&entry])])
        else {
            panic!("expected a denial by time")
        };
        assert_eq!(*reason, NoTrustedTime::OtherPayload);
    }

    #[test]
    fn a_backdated_log_entry_does_not_revive_an_ended_key() {
        let scene = Scene::with_ended_key();
        let envelope = scene.envelope();
        let mut entry = scene.entry(&envelope, "2025-06-01T00:00:00Z");
        entry["integratedTime"] = "1700000000".into();
        let Denial::KeyNotValidNow { reason, .. } = scene.denial(&[&bundle_json(&envelope, "", &[&entry])]) else {
            panic!("expected a denial by time")
        };
        assert!(matches!(*reason, NoTrustedTime::BadSignedEntryTimestamp { .. }));
    }

    #[test]
    fn another_spelling_of_a_signature_does_not_hide_the_logged_one() {
        // Ed25519 has one spelling; two ECDSA signatures of one key stand for the two spellings.
        let mut scene = Scene::new();
        scene.alice = TestKey::ecdsa("alice");
        scene.keys = vec![key_json(&scene.alice, NPM_ATTESTATIONS)];
        let (envelope, other) = (scene.envelope(), scene.envelope());
        let entry = scene.entry(&envelope, LOGGED);
        let mut bundle = bundle_json(&envelope, "", &[&entry]);
        bundle["dsseEnvelope"]["signatures"] = json!([other["signatures"][0], envelope["signatures"][0]]);
        let verdict = scene.verify(&[&bundle]).unwrap();
        let [signer] = verdict.accepted[0].signed_by.as_slice() else { panic!("one key is one signer") };
        assert!(matches!(signer.time, TrustedTime::Known { .. }));
    }

    #[test]
    fn an_ended_key_does_not_live_on_in_a_copy() {
        for copy_comes in ["after", "before"] {
            let mut scene = Scene::with_ended_key();
            scene.keys.push(key_json(&scene.alice, NPM_ATTESTATIONS));
            if copy_comes == "before" {
                scene.keys.reverse();
            }
            let denial = scene.denial(&[&bundle_json(&scene.envelope(), "", &[])]);
            assert_eq!(denial.code(), "key-not-valid-now", "{copy_comes}");
            let verdict = scene.verify(&[&scene.logged_bundle()]).unwrap();
            assert!(verdict.accepted[0].signed_by[0].valid_for.end.is_some(), "{copy_comes}");
        }
    }

    #[test]
    fn a_signer_outside_its_period_is_left_out_beside_a_valid_one() {
        let mut scene = Scene::with_ended_key();
        let bob = TestKey::new(2);
        scene.keys.push(key_json(&bob, NPM_ATTESTATIONS));
        let envelope = envelope_json(&statement(ARTIFACT), IN_TOTO_PAYLOAD_TYPE, &[&scene.alice, &bob]);
        let verdict = scene.verify(&[&bundle_json(&envelope, "", &[])]).unwrap();
        let names: Vec<_> = verdict.accepted[0].signed_by.iter().map(|signer| signer.keyid.as_str()).collect();
        assert_eq!(names, ["key-2"]);
    }

    #[test]
    fn another_payload_type_is_denied() {
        let scene = Scene::new();
        let envelope = envelope_json(&statement(ARTIFACT), "application/json\u{1b}", &[&scene.alice]);
        let denial = scene.denial(&[&bundle_json(&envelope, "", &[])]);
        assert_eq!(denial.code(), "wrong-payload-type");
        assert!(!denial.to_string().contains('\u{1b}'));
    }

    #[test]
    fn an_altered_payload_type_is_tampering() {
        let scene = Scene::new();
        let mut bundle = scene.logged_bundle();
        bundle["dsseEnvelope"]["payloadType"] = "text/plain".into();
        assert_eq!(scene.denial(&[&bundle, &scene.logged_bundle()]).code(), "bad-signature");
    }

    #[test]
    fn a_signed_payload_with_repeated_keys_is_denied() {
        let scene = Scene::new();
        let text = String::from_utf8(statement(ARTIFACT)).unwrap();
        let text = text.replacen("\"subject\":", "\"subject\":[],\"subject\":", 1);
        let envelope = envelope_json(text.as_bytes(), IN_TOTO_PAYLOAD_TYPE, &[&scene.alice]);
        assert_eq!(scene.denial(&[&bundle_json(&envelope, "", &[])]).code(), "malformed-statement");
    }

    #[test]
    fn a_predicate_type_that_is_not_wanted_is_denied() {
        let mut scene = Scene::new();
        scene.predicate_type = Some("https://slsa.dev/provenance/v1");
        assert_eq!(scene.denial(&[&scene.logged_bundle()]).code(), "wrong-predicate-type");
        scene.predicate_type = Some(PREDICATE);
        assert!(scene.verify(&[&scene.logged_bundle()]).is_ok());
    }

    /// An attestation about the artifact by a builder with a certificate, as npm's files hold one.
    fn certified() -> Value {
        let builder = TestKey::ecdsa("builder");
        let mut envelope = envelope_json(&statement(ARTIFACT), IN_TOTO_PAYLOAD_TYPE, &[&builder]);
        envelope["signatures"][0]["keyid"] = "".into();
        certified_bundle_json(&envelope, &certificate(&builder))
    }

    fn with_altered_payload(mut bundle: Value) -> Value {
        bundle["dsseEnvelope"]["payload"] = base64_text(&statement(b"malware")).into();
        bundle
    }

    #[test]
    fn an_intact_attestation_with_a_certificate_is_skipped_and_reported() {
        let scene = Scene::new();
        let alone = certified();
        let mut chain = alone.clone();
        let certificates = [&alone["verificationMaterial"]["certificate"], &json!({"rawBytes": "AA=="})];
        chain["verificationMaterial"] = json!({"x509CertificateChain": {"certificates": certificates}});
        for keyless in [&alone, &chain] {
            let verdict = scene.verify(&[keyless, &scene.logged_bundle()]).unwrap();
            assert_eq!(verdict.accepted[0].position, 1);
            assert_eq!(verdict.skipped, [Skipped { position: 0, reason: SkipReason::Certificate }]);
        }
        let denial = scene.denial(&[&alone, &chain]);
        assert_eq!(denial.to_string(), "none of the 2 attestations in the file is signed with a key");
        assert_eq!(scene.denial(&[]).code(), "nothing-to-judge");
    }

    #[test]
    fn an_altered_attestation_with_a_certificate_refuses_the_good_one_beside_it() {
        let scene = Scene::new();
        let mut other_type = certified();
        other_type["dsseEnvelope"]["payloadType"] = "text/plain".into();
        let mut other_signature = certified();
        other_signature["dsseEnvelope"]["signatures"] = scene.envelope()["signatures"].clone();
        let mut no_signature = certified();
        no_signature["dsseEnvelope"]["signatures"] = json!([]);
        let mut other_certificate = certified();
        other_certificate["verificationMaterial"] = certified()["verificationMaterial"].clone();
        let altered = [with_altered_payload(certified()), other_type, other_signature, no_signature, other_certificate];
        for altered in altered {
            assert_eq!(scene.denial(&[&altered, &scene.logged_bundle()]).code(), "altered-attestation");
            assert_eq!(
                scene.denial(&[&scene.logged_bundle(), &altered]).to_string(),
                "attestation number 2 in the file was altered after it was signed: \
                 its signature is not by the certificate that it carries"
            );
        }
    }

    #[test]
    fn an_attestation_whose_certificate_cannot_be_read_is_skipped() {
        let scene = Scene::new();
        for material in [
            json!({"certificate": {"rawBytes": ""}}),
            json!({"certificate": {"rawBytes": "?"}}),
            json!({"certificate": {"rawBytes": "MAA="}}),
            json!({"certificate": 7}),
            json!({"x509CertificateChain": {"certificates": []}}),
            json!({"x509CertificateChain": {"certificates": [[]]}}),
            json!({"x509CertificateChain": "x"}),
        ] {
            let mut keyless = certified();
            keyless["verificationMaterial"] = material;
            let verdict = scene.verify(&[&keyless, &scene.logged_bundle()]).unwrap();
            assert_eq!(verdict.skipped, [Skipped { position: 0, reason: SkipReason::UnreadableCertificate }]);
        }
        let mut no_payload = certified();
        no_payload["dsseEnvelope"]["payload"] = "?".into();
        let verdict = scene.verify(&[&no_payload, &scene.logged_bundle()]).unwrap();
        assert_eq!(verdict.skipped, [Skipped { position: 0, reason: SkipReason::UnreadableCertificate }]);
    }

    #[test]
    fn a_certificate_does_not_excuse_a_bad_signature_by_a_key() {
        let scene = Scene::new();
        let tampered = with_altered_payload(scene.logged_bundle());
        assert_eq!(scene.denial(&[&tampered, &certified()]).code(), "bad-signature");
    }

    #[test]
    fn a_bad_signature_of_a_delivered_key_refuses_the_good_attestation_beside_it() {
        let mut scene = Scene::new();
        let good = scene.logged_bundle();
        let tampered = with_altered_payload(good.clone());
        for artifact in [ARTIFACT, b"malware"] {
            scene.artifact = artifact;
            for bundles in [[&tampered, &good], [&good, &tampered]] {
                let denial = scene.denial(&bundles);
                assert_eq!(denial.to_string(), "the signature is not one of key key-1 over this payload");
            }
        }
    }

    #[test]
    fn an_attestation_that_merely_fails_is_reported_beside_a_good_one_and_lends_nothing() {
        let mut scene = Scene::new();
        let good = scene.logged_bundle();
        let stranger = TestKey::new(9);
        let envelope = envelope_json(&statement(b"malware"), IN_TOTO_PAYLOAD_TYPE, &[&stranger]);
        let undelivered = bundle_json(&envelope, &stranger.keyid, &[]);
        let about_another =
            bundle_json(&envelope_json(&statement(b"else"), IN_TOTO_PAYLOAD_TYPE, &[&scene.alice]), "", &[]);
        let verdict = scene.verify(&[&undelivered, &good, &about_another]).unwrap();
        assert_eq!(verdict.accepted.iter().map(|one| one.position).collect::<Vec<_>>(), [1]);
        let refused: Vec<_> = verdict.refused.iter().map(|one| (one.position, one.denial.code())).collect();
        assert_eq!(refused, [(0, "not-signed-by-delivered-keys"), (2, "subject-mismatch")]);
        // What the stranger says is denied all the same.
        scene.artifact = b"malware";
        assert_eq!(
            scene.denial(&[&undelivered, &good]).to_string(),
            "none of the 2 attestations that are signed with keys passes; the first: \
             it is not signed by any of the 1 delivered keys; it names key key-9"
        );
    }

    #[test]
    fn what_cannot_be_read_is_denied() {
        let scene = Scene::new();
        for file in [b"".as_slice(), b"\xff", b"[]", b"{}", b"{\"attestations\":{}}", b"null", b"{}{}"] {
            assert_eq!(scene.verify_file(file).unwrap_err().code(), "malformed-attestation");
        }
        let mut bundle = scene.logged_bundle();
        bundle["dsseEnvelope"]["signatures"] = vec![json!({"sig": "AA=="}); 10_000].into();
        assert_eq!(scene.denial(&[&bundle]).code(), "malformed-attestation");
    }
}
