//! Finds the DSSE envelopes in an attestation file, with the log entries that came with them.
//!
//! Everything passed in is attacker-controlled, and nothing is verified here. Read are
//!
//! - a Sigstore bundle (protobuf-specs `sigstore_bundle.proto`, all versions: the parts used have not changed);
//! - npm's attestations, `{"attestations": [{"predicateType": …, "bundle": …}]}`, as its registry serves them;
//! - a bare DSSE envelope;
//! - what `gcloud artifacts docker images describe --show-provenance --format json` prints, with an envelope in each of
//!   `provenance_summary.provenance[]`;
//! - any of these, one to a line (JSON lines).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::dsse::{Envelope, EnvelopeJson, SignatureJson};
use super::trusted_time::LogEntry;
use crate::input::{self, InputError};
use crate::metadata::canonical_json::{JsonError, check_unambiguous};

/// Largest attestation file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// Most attestations in one file that are looked at.
pub const MAX_ATTESTATIONS: usize = 64;
/// Most signatures in one file that are looked at. Each costs up to one check with every delivered key.
pub const MAX_SIGNATURES_IN_FILE: usize = 256;
/// Most log entries of one attestation that are looked at.
pub const MAX_LOG_ENTRIES: usize = 16;

/// One attestation of a file, unverified.
#[derive(Debug)]
pub(super) struct Attestation {
    /// Position in the file, from 0.
    pub(super) position: usize,
    /// What the file says it should be checked with.
    pub(super) material: Material,
}

/// What an attestation should be checked with. The file says so, and nobody vouches for it.
#[derive(Debug)]
pub(super) enum Material {
    /// A key. The envelope is an error when it cannot be read.
    Key {
        /// The name of the key, as the bundle gives it.
        hint: Option<String>,
        envelope: Result<Envelope, InputError>,
        log_entries: Vec<LogEntry>,
    },
    /// A certificate: in DER, if it can be found. Delivered keys say nothing about the attestation.
    Certificate { certificate: Option<Vec<u8>>, envelope: Result<Envelope, InputError> },
    /// Something that keys say nothing about.
    Other(SkipReason),
}

/// Why an attestation was not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// It is signed with a certificate, so delivered keys say nothing about it.
    #[error("signed with a certificate, which keys say nothing about")]
    Certificate,
    /// It is signed with a certificate, and not even whether it was altered can be told.
    #[error("signed with a certificate; envelope, certificate or its kind of key cannot be read")]
    UnreadableCertificate,
    /// The bundle holds a signature over an artifact, which makes no statement.
    #[error("a signature over an artifact, without a statement")]
    NoEnvelope,
}

/// Reads the attestations of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Attestation>, InputError> {
    input::at_most_bytes(bytes, MAX_FILE_BYTES)?;
    let bundles = match check_unambiguous(bytes) {
        Ok(()) => bundles(bytes)?,
        Err(JsonError::TrailingBytes { .. }) => json_lines(bytes)?,
        Err(error) => return Err(InputError::Json(error)),
    };
    input::at_most("attestations", bundles.len(), MAX_ATTESTATIONS)?;
    let attestations: Vec<_> = bundles
        .into_iter()
        .enumerate()
        .map(|(position, bundle)| Ok(Attestation { position, material: material(bundle)? }))
        .collect::<Result<_, InputError>>()?;
    input::at_most("signatures", attestations.iter().map(signature_count).sum(), MAX_SIGNATURES_IN_FILE)?;
    Ok(attestations)
}

fn signature_count(attestation: &Attestation) -> usize {
    match &attestation.material {
        Material::Key { envelope: Ok(envelope), .. } | Material::Certificate { envelope: Ok(envelope), .. } => {
            envelope.signature_count()
        }
        _ => 0,
    }
}

fn json_lines(bytes: &[u8]) -> Result<Vec<BundleJson>, InputError> {
    let mut found = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        check_unambiguous(line).map_err(InputError::Json)?;
        found.extend(bundles(line)?);
        input::at_most("attestations", found.len(), MAX_ATTESTATIONS)?;
    }
    Ok(found)
}

/// Reads one document, which [`check_unambiguous`] has passed. Which format it has shows in the fields it has.
fn bundles(document: &[u8]) -> Result<Vec<BundleJson>, InputError> {
    match input::shape(document)? {
        DocumentJson {
            provenance_summary: Some(summary),
            attestations: None,
            dsse_envelope: None,
            message_signature: None,
            payload: None,
            ..
        } => {
            let envelopes = summary.provenance.into_iter().filter_map(|occurrence| occurrence.envelope);
            Ok(envelopes
                .map(|envelope| BundleJson { dsse_envelope: Some(envelope), ..BundleJson::default() })
                .collect())
        }
        DocumentJson { provenance_summary: Some(_), .. } => {
            Err(InputError::Shape { what: "it could be what gcloud prints or something else".to_owned() })
        }
        DocumentJson {
            attestations: Some(attestations),
            dsse_envelope: None,
            message_signature: None,
            payload: None,
            ..
        } => Ok(attestations.into_iter().map(|attestation| attestation.bundle).collect()),
        DocumentJson {
            attestations: None,
            payload: None,
            verification_material,
            dsse_envelope,
            message_signature,
            ..
        } if dsse_envelope.is_some() != message_signature.is_some() => {
            Ok(vec![BundleJson { verification_material, dsse_envelope }])
        }
        DocumentJson {
            attestations: None,
            dsse_envelope: None,
            message_signature: None,
            payload: Some(payload),
            payload_type: Some(payload_type),
            signatures: Some(signatures),
            ..
        } => {
            let envelope = EnvelopeJson { payload, payload_type, signatures };
            Ok(vec![BundleJson { dsse_envelope: Some(envelope), ..BundleJson::default() }])
        }
        // What could be two things at once would be read differently by the next reader.
        _ => Err(InputError::Shape {
            what: "expected npm attestations, a Sigstore bundle, a DSSE envelope or what gcloud prints".to_owned(),
        }),
    }
}

fn material(bundle: BundleJson) -> Result<Material, InputError> {
    let material = bundle.verification_material;
    if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
        let Some(envelope) = bundle.dsse_envelope else { return Ok(Material::Other(SkipReason::Certificate)) };
        return Ok(Material::Certificate { certificate: material.leaf(), envelope: Envelope::from_json(envelope) });
    }
    let Some(envelope) = bundle.dsse_envelope else { return Ok(Material::Other(SkipReason::NoEnvelope)) };
    let log_entries = material.tlog_entries.unwrap_or_default();
    input::at_most("log entries", log_entries.len(), MAX_LOG_ENTRIES)?;
    Ok(Material::Key {
        hint: material.public_key.and_then(|key| key.hint).filter(|hint| !hint.is_empty()),
        envelope: Envelope::from_json(envelope),
        log_entries,
    })
}

/// The fields of all formats together.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentJson {
    attestations: Option<Vec<NpmAttestationJson>>,
    #[serde(default)]
    verification_material: VerificationMaterialJson,
    dsse_envelope: Option<EnvelopeJson>,
    message_signature: Option<IgnoredAny>,
    payload: Option<String>,
    payload_type: Option<String>,
    signatures: Option<Vec<SignatureJson>>,
    #[serde(rename = "provenance_summary")]
    provenance_summary: Option<GcloudSummaryJson>,
}

/// Beside the envelope gcloud prints what it read of it; only the envelope is signed, so only that is read.
#[derive(Deserialize)]
struct GcloudSummaryJson {
    #[serde(default)]
    provenance: Vec<GcloudOccurrenceJson>,
}

#[derive(Deserialize)]
struct GcloudOccurrenceJson {
    envelope: Option<EnvelopeJson>,
}

/// npm repeats the predicate type here; the one in the statement is signed, so only that one is read.
#[derive(Deserialize)]
struct NpmAttestationJson {
    bundle: BundleJson,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct BundleJson {
    #[serde(default)]
    verification_material: VerificationMaterialJson,
    dsse_envelope: Option<EnvelopeJson>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterialJson {
    public_key: Option<PublicKeyIdentifierJson>,
    /// Any shape: a certificate that cannot be read does not spoil the file.
    x509_certificate_chain: Option<Value>,
    certificate: Option<Value>,
    tlog_entries: Option<Vec<LogEntry>>,
}

impl VerificationMaterialJson {
    /// The signer's own certificate. A chain begins with it.
    fn leaf(&self) -> Option<Vec<u8>> {
        let alone = self.certificate.as_ref();
        let leaf = alone.or_else(|| self.x509_certificate_chain.as_ref()?.get("certificates")?.get(0))?;
        input::base64(leaf.get("rawBytes")?.as_str()?)
    }
}

#[derive(Deserialize)]
struct PublicKeyIdentifierJson {
    hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::testing::{TestKey, bundle_json, envelope_json, npm_file};

    fn envelope() -> Value {
        envelope_json(b"hello", "text/plain", &[&TestKey::new(1)])
    }

    fn kinds(bytes: &[u8]) -> Vec<&'static str> {
        read(bytes)
            .unwrap()
            .iter()
            .map(|attestation| match &attestation.material {
                Material::Key { envelope: Ok(_), .. } => "key",
                Material::Key { envelope: Err(_), .. } => "unreadable",
                Material::Certificate { .. } => "certificate",
                Material::Other(SkipReason::NoEnvelope) => "no envelope",
                Material::Other(reason) => panic!("{reason}"),
            })
            .collect()
    }

    #[test]
    fn every_format_is_read() {
        let bundle = bundle_json(&envelope(), "alice", &[]);
        let mut with_chain = bundle.clone();
        with_chain["verificationMaterial"] = json!({"x509CertificateChain": {"certificates": []}});
        let mut with_certificate = bundle.clone();
        with_certificate["verificationMaterial"] = json!({"certificate": {"rawBytes": ""}});
        let artifact_only = json!({"verificationMaterial": {"publicKey": {}}, "messageSignature": {"signature": ""}});

        assert_eq!(kinds(envelope().to_string().as_bytes()), ["key"]);
        assert_eq!(kinds(bundle.to_string().as_bytes()), ["key"]);
        assert_eq!(
            kinds(&npm_file(&[&bundle, &with_chain, &with_certificate, &artifact_only])),
            ["key", "certificate", "certificate", "no envelope"]
        );
        let lines = format!("{bundle}\n\n{}\r\n{with_chain}\n", envelope());
        assert_eq!(kinds(lines.as_bytes()), ["key", "key", "certificate"]);
    }

    #[test]
    fn an_envelope_that_cannot_be_read_does_not_hide_the_others() {
        let bundle = bundle_json(&envelope(), "alice", &[]);
        let mut broken = bundle.clone();
        broken["dsseEnvelope"]["payload"] = "?".into();
        assert_eq!(kinds(&npm_file(&[&broken, &bundle])), ["unreadable", "key"]);
    }

    #[test]
    fn a_document_that_could_be_two_things_is_refused() {
        let mut both = envelope();
        both["dsseEnvelope"] = envelope();
        assert!(matches!(read(both.to_string().as_bytes()), Err(InputError::Shape { .. })));
        let mut both = envelope();
        both["attestations"] = json!([]);
        assert!(matches!(read(both.to_string().as_bytes()), Err(InputError::Shape { .. })));
        let mut both = bundle_json(&envelope(), "alice", &[]);
        both["messageSignature"] = json!({});
        assert!(matches!(read(both.to_string().as_bytes()), Err(InputError::Shape { .. })));
        assert!(matches!(read(b"{}"), Err(InputError::Shape { .. })));
    }

    #[test]
    fn keys_repeated_anywhere_are_refused() {
        let bundle = bundle_json(&envelope(), "alice", &[]).to_string();
        let repeated = bundle.replacen("\"payloadType\"", "\"payloadType\":\"x\",\"payloadType\"", 1);
        for bytes in [repeated.clone(), format!("{bundle}\n{repeated}")] {
            assert!(matches!(read(bytes.as_bytes()), Err(InputError::Json(JsonError::DuplicateKey { .. }))));
        }
    }

    #[test]
    fn numbers_and_sizes_are_bounded() {
        let bundle = bundle_json(&envelope(), "alice", &[]);
        let too_many = |bytes: &[u8]| match read(bytes) {
            Err(InputError::TooMany { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(too_many(&npm_file(&vec![&bundle; MAX_ATTESTATIONS + 1])), "attestations");
        assert_eq!(too_many(format!("{bundle}\n").repeat(MAX_ATTESTATIONS + 1).as_bytes()), "attestations");

        // The lines after the one that is too many are not even read.
        let endless = format!("{}not JSON", format!("{bundle}\n").repeat(MAX_ATTESTATIONS + 1));
        assert_eq!(too_many(endless.as_bytes()), "attestations");

        let mut crowded = bundle.clone();
        crowded["dsseEnvelope"]["signatures"] = vec![json!({"sig": ""}); 64].into();
        assert_eq!(too_many(&npm_file(&[&crowded, &crowded, &crowded, &crowded, &crowded])), "signatures");
        crowded["verificationMaterial"] = json!({"certificate": {"rawBytes": ""}});
        assert_eq!(too_many(&npm_file(&[&crowded; 5])), "signatures");

        let mut logged = bundle.clone();
        logged["verificationMaterial"]["tlogEntries"] = vec![json!({}); MAX_LOG_ENTRIES + 1].into();
        assert_eq!(too_many(logged.to_string().as_bytes()), "log entries");

        assert!(matches!(read(&vec![b' '; MAX_FILE_BYTES + 1]), Err(InputError::TooLarge { .. })));
    }
}
