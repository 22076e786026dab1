//! A signature on its way back from a machine apart.
//!
//! Nothing in a response is believed but the signature, which is verified where it is collected.

use serde::{Deserialize, Serialize};

use super::{CeremonyError, FiledRecord, SigningEvent};
use crate::crypto::sha256;
use crate::metadata::HashAlgorithm;
use crate::metadata::canonical_json::canonicalize;
use crate::repository::SignedState;
use crate::signers::Signer;

/// The media type of a response.
pub const RESPONSE_MEDIA_TYPE: &str = "application/vnd.trustroot.response.v1";

/// How the line of a QR code begins.
const LINE: &str = "TRUSTROOT-RESPONSE/1:";
/// The same of a rehearsal.
const REHEARSAL_LINE: &str = "TRUSTROOT-REHEARSAL/1:";
/// Longest text of a scanner that is read, in bytes.
const LONGEST_LINES: usize = 1 << 20;

/// One signature over one payload by one physical key, and what the signer's machine says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Response {
    media_type: String,
    /// The SHA-256 of the repository's first root, in hexadecimal; absent where that is what was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Whether it was made in a rehearsal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// The SHA-256 of the payload, in hexadecimal.
    pub payload_sha256: String,
    /// The SHA-256 of the key's canonical SubjectPublicKeyInfo, in hexadecimal.
    pub key: String,
    /// The signature, in hexadecimal.
    pub sig: String,
    /// When it was made, as the signer's machine says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<String>,
    /// Where that time comes from: `stated` by the signer, or the machine's `clock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_source: Option<String>,
    /// What made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// The record of how it was made, as it lies in a file of its own: claims, signed with the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<serde_json::Value>,
}

impl Response {
    /// Reads a response; `None` where this is something else, or one that is not taken.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let response: Self = serde_json::from_slice(bytes).ok()?;
        response.is_well_formed().then_some(response)
    }

    fn is_well_formed(&self) -> bool {
        self.media_type == RESPONSE_MEDIA_TYPE
            && HashAlgorithm::Sha256.is_digest(&self.payload_sha256)
            && HashAlgorithm::Sha256.is_digest(&self.key)
            && self.repository.as_ref().is_none_or(|digest| HashAlgorithm::Sha256.is_digest(digest))
    }

    /// The response as a file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings alone");
        text.push('\n');
        text
    }

    /// The response as one line for a QR code, in characters of which a code holds the most: what counts, without what
    /// the signer's machine says.
    pub fn to_line(&self) -> String {
        let repository = self.repository.as_deref().unwrap_or("-");
        let start = if self.rehearsal { REHEARSAL_LINE } else { LINE };
        format!("{start}{repository}:{}:{}:{}", self.payload_sha256, self.key, self.sig).to_uppercase()
    }

    /// Reads the line of a QR code, as a scanner prints it.
    pub fn parse_line(line: &str) -> Option<Self> {
        // ZBar says what kind of code it saw.
        let line = line.trim().strip_prefix("QR-Code:").unwrap_or(line.trim());
        let rehearsed = line.strip_prefix(REHEARSAL_LINE);
        let fields: Vec<String> =
            rehearsed.or_else(|| line.strip_prefix(LINE))?.split(':').map(str::to_ascii_lowercase).collect();
        let [repository, payload_sha256, key, sig] = <[String; 4]>::try_from(fields).ok()?;
        let response = Self {
            media_type: RESPONSE_MEDIA_TYPE.to_owned(),
            repository: Some(repository).filter(|repository| repository != "-"),
            rehearsal: rehearsed.is_some(),
            payload_sha256,
            key,
            sig,
            signed_at: None,
            time_source: None,
            made_by: None,
            record: None,
        };
        response.is_well_formed().then_some(response)
    }

    /// Reads what scanners print: a response in every line that is not empty.
    pub(super) fn parse_lines(bytes: &[u8]) -> Option<Vec<Self>> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_LINES)?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let responses: Option<Vec<Self>> = lines.into_iter().map(Self::parse_line).collect();
        responses.filter(|responses| !responses.is_empty())
    }

    /// Adds the record of how the signature was made.
    pub(super) fn set_record(&mut self, filed: &FiledRecord) {
        self.record = serde_json::from_slice(filed.bytes()).ok();
    }

    /// The record of how the signature was made, where there is one.
    ///
    /// # Errors
    /// In words, when it is not one.
    pub fn record(&self) -> Option<Result<FiledRecord, String>> {
        let text = self.record.as_ref()?.to_string();
        let canonical = canonicalize(text.as_bytes()).map_err(|error| error.to_string());
        Some(canonical.and_then(|bytes| FiledRecord::parse(&bytes)))
    }

    /// The fingerprint of the key.
    pub(super) fn key_sha256(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        hex::decode_to_slice(&self.key, &mut digest).expect("well-formed by construction");
        digest
    }
}

impl SigningEvent {
    /// Signs with a key, and files nothing. The caller has shown the [`super::Review`] and had it confirmed.
    ///
    /// # Errors
    /// When the key may not sign this role, or cannot.
    pub fn respond(&self, signed: &SignedState, key: &dyn Signer) -> Result<Response, CeremonyError> {
        let signatures = self.signatures_by(signed, key)?;
        let mut distinct: Vec<&Vec<u8>> = signatures.values().collect();
        distinct.dedup();
        let [sig] = distinct[..] else {
            let problem = "this key is listed under several schemes, and a response holds one signature".to_owned();
            return Err(CeremonyError::Malformed { event: self.name.as_str().to_owned(), problem });
        };
        Ok(Response {
            media_type: RESPONSE_MEDIA_TYPE.to_owned(),
            repository: signed.digest().map(hex::encode),
            rehearsal: self.rehearsal.is_some(),
            payload_sha256: hex::encode(self.digest()),
            key: hex::encode(sha256(key.canonical_spki())),
            sig: hex::encode(sig),
            signed_at: None,
            time_source: None,
            made_by: None,
            record: None,
        })
    }
}
