//! Takes in signatures that others have made, from whatever they sent.
//!
//! Everything here may have been written by anybody. A signature is filed if a key that may sign the event made it, over
//! this payload or over another one of the same version; whatever else arrives is named, and changes nothing. So order,
//! duplicates and junk never matter.

use std::path::{Path, PathBuf};

use super::event::LONGEST;
use super::status::why_uncounted;
use super::{CeremonyError, FiledRecord, FiledSignature, Response, SigningEvent};
use crate::crypto::sha256;
use crate::fs::read_bounded;
use crate::metadata::Envelope;
use crate::printable::{Line, Named};
use crate::repository::SignedState;
use crate::trust::Standing;

/// Most files that are read from one directory.
const MOST_FILES: usize = 10_000;
/// Most signatures that are looked at in one file.
const MOST_IN_FILE: usize = 1000;

/// What became of one thing that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// A valid signature over this payload, which lies in the event now.
    Filed,
    /// A valid signature over this payload by a key that has signed it already.
    Known,
    /// A valid signature over another payload of the same version: it lies in the event now, and does not count for this
    /// one. It stays valid for ever.
    Stale {
        /// The SHA-256 of the payload that it is over, in hexadecimal.
        payload_sha256: String,
    },
    /// A record of what happened, which lies in the event now.
    Recorded,
    /// It counts for nothing, for this reason.
    Uncounted(&'static str),
    /// The file holds nothing that can be collected here, for this reason.
    Unusable(String),
}

/// One signature, or one file, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The keyid that it came under; empty for a file as a whole. Attacker-controlled text.
    pub keyid: String,
    /// What became of it.
    pub fate: Fate,
}

impl Collected {
    /// Whether it is, or was already, a signature that counts.
    pub fn counts(&self) -> bool {
        matches!(self.fate, Fate::Filed | Fate::Known)
    }
}

impl std::fmt::Display for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.keyid.is_empty() {
            write!(f, "{}: ", Named(&self.keyid))?;
        }
        match &self.fate {
            Fate::Filed => f.write_str("filed"),
            Fate::Known => f.write_str("known: this key has signed already"),
            Fate::Stale { payload_sha256 } => {
                write!(f, "not counted: over another payload of this version, {payload_sha256}; it is kept")
            }
            Fate::Recorded => f.write_str("a record of what happened: kept"),
            Fate::Uncounted(why) => write!(f, "not counted: {why}"),
            Fate::Unusable(why) => write!(f, "not usable: {}", Line(why)),
        }
    }
}

/// The files that `path` stands for: itself, or everything below it if it is a directory. Links are not followed.
///
/// # Errors
/// When it cannot be read, or there are too many.
pub fn files_to_collect(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !fs_err::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(std::io::Error::from)?;
        // Locks, and what is being written, are hidden.
        if entry.file_type().is_file() && !entry.file_name().to_string_lossy().starts_with('.') {
            files.push(entry.into_path());
        }
        if files.len() > MOST_FILES {
            let message = format!("`{}` holds more than the {MOST_FILES} files that are read", path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
        }
    }
    Ok(files)
}

impl SigningEvent {
    /// Collects what a file holds: see [`SigningEvent::collect`]. Returns the SHA-256 of what was read too, where it could be.
    ///
    /// # Errors
    /// When the event cannot be written. A file that cannot be read is named in the result.
    pub fn collect_file(
        &mut self,
        signed: &SignedState,
        path: &Path,
    ) -> Result<(Vec<Collected>, Option<[u8; 32]>), CeremonyError> {
        // A pipe or device could block for ever.
        let is_file = fs_err::metadata(path).is_ok_and(|metadata| metadata.is_file());
        let read = if is_file { read_bounded(path, LONGEST) } else { Ok(None) };
        match read {
            Ok(Some(bytes)) => Ok((self.collect(signed, &bytes)?, Some(sha256(&bytes)))),
            Ok(None) => Ok((vec![unusable("it is not a file, or does not exist")], None)),
            Err(error) => Ok((vec![unusable(error.to_string())], None)),
        }
    }

    /// Collects the signatures in these bytes: TUF metadata with signatures in it, a [`Response`], what a scanner printed
    /// of its QR code, or the file of one signature.
    ///
    /// # Errors
    /// When the event cannot be written. What cannot be used is named in the result.
    pub fn collect(&mut self, signed: &SignedState, bytes: &[u8]) -> Result<Vec<Collected>, CeremonyError> {
        if let Ok(filed) = serde_json::from_slice::<FiledSignature>(bytes) {
            return self.collect_one(signed, filed);
        }
        if let Ok(filed) = FiledRecord::parse(bytes) {
            return self.collect_record(&filed);
        }
        if let Some(response) = Response::parse(bytes) {
            return self.collect_response(signed, &response);
        }
        if let Some(responses) = Response::parse_lines(bytes) {
            let mut collected = Vec::new();
            for response in responses {
                collected.extend(self.collect_response(signed, &response)?);
            }
            return Ok(collected);
        }
        match Envelope::parse(bytes) {
            Ok(envelope) => self.collect_document(signed, bytes, &envelope),
            Err(error) => Ok(vec![unusable(format!("neither a signature nor a document with signatures: {error}"))]),
        }
    }

    fn collect_one(&mut self, signed: &SignedState, filed: FiledSignature) -> Result<Vec<Collected>, CeremonyError> {
        if !filed.is_well_formed() {
            return Ok(vec![unusable("its digest or keyid is malformed")]);
        }
        let payload = self.every_payload().find(|payload| hex::encode(payload.digest()) == filed.payload_sha256);
        match payload {
            Some(payload) => self.take(signed, &payload, &[(filed.keyid, filed.sig)]),
            None => Ok(vec![uncounted(filed.keyid, "over a payload that is not here")]),
        }
    }

    fn collect_record(&self, filed: &FiledRecord) -> Result<Vec<Collected>, CeremonyError> {
        Ok(vec![match self.take_record(filed)? {
            Ok(()) => Collected { keyid: String::new(), fate: Fate::Recorded },
            Err(problem) => unusable(format!("a record that is not kept: {problem}")),
        }])
    }

    fn collect_response(&mut self, signed: &SignedState, response: &Response) -> Result<Vec<Collected>, CeremonyError> {
        match (response.rehearsal, self.rehearsal.is_some()) {
            (true, false) => return Ok(vec![uncounted(response.key.clone(), "made in a rehearsal")]),
            (false, true) => {
                return Ok(vec![uncounted(
                    response.key.clone(),
                    "made for an event that is meant, and this is a rehearsal",
                )]);
            }
            _ => {}
        }
        if response.repository != signed.digest().map(hex::encode) {
            return Ok(vec![uncounted(response.key.clone(), "made for another repository")]);
        }
        let payload = self.every_payload().find(|payload| hex::encode(payload.digest()) == response.payload_sha256);
        let Some(payload) = payload else {
            return Ok(vec![uncounted(response.key.clone(), "over a payload that is not here")]);
        };
        match payload.keyids_of(signed, &response.key_sha256()) {
            Ok(keyids) => {
                let signatures: Vec<(String, String)> =
                    keyids.iter().map(|keyid| (keyid.as_str().to_owned(), response.sig.clone())).collect();
                let mut collected = self.take(signed, &payload, &signatures)?;
                // What it says of a signature that is none is worth nothing.
                let good = |one: &Collected| one.counts() || matches!(one.fate, Fate::Stale { .. });
                match response.record() {
                    Some(Ok(filed)) if collected.iter().any(good) => collected.extend(self.collect_record(&filed)?),
                    Some(Err(problem)) => collected.push(unusable(format!("its record: {problem}"))),
                    _ => {}
                }
                Ok(collected)
            }
            Err(CeremonyError::NotASigner { .. }) => {
                Ok(vec![uncounted(response.key.clone(), "by a key that may not sign")])
            }
            Err(error) => Err(error),
        }
    }

    fn collect_document(
        &mut self,
        signed: &SignedState,
        bytes: &[u8],
        envelope: &Envelope,
    ) -> Result<Vec<Collected>, CeremonyError> {
        let payload = match self.with_document(bytes) {
            Ok(payload) if payload.version == self.version => payload,
            Ok(payload) => return Ok(vec![unusable(format!("it is about version {}", payload.version.get()))]),
            Err(error) => return Ok(vec![unusable(format!("it is no {}: {error}", self.role))]),
        };
        let signatures: Vec<(String, String)> = envelope
            .signatures()
            .iter()
            .take(MOST_IN_FILE)
            .map(|(keyid, signature)| (keyid.as_str().to_owned(), signature.as_str().to_owned()))
            .collect();
        if signatures.is_empty() {
            return Ok(vec![unusable("it holds no signatures")]);
        }
        self.take(signed, &payload, &signatures)
    }

    /// Judges signatures over one payload of this version, and files those that are by keys which may sign it.
    pub(super) fn take(
        &mut self,
        signed: &SignedState,
        payload: &Self,
        signatures: &[(String, String)],
    ) -> Result<Vec<Collected>, CeremonyError> {
        let delegators = payload.delegators(signed)?;
        let pairs: Vec<(&str, &str)> = signatures.iter().map(|(keyid, sig)| (keyid.as_str(), sig.as_str())).collect();
        let standings = payload.standings(&delegators, &pairs)?;
        let payload_sha256 = hex::encode(payload.digest());
        let own = payload.digest() == self.digest();
        let valid = standings.contains(&Some(Standing::Valid));
        if !own && valid && !self.every_payload().any(|known| known.digest() == payload.digest()) {
            self.keep(payload)?;
        }
        let mut known = self.signed_by(&payload_sha256, &delegators)?;
        let mut collected = Vec::new();
        for ((keyid, sig), standing) in signatures.iter().zip(standings) {
            let fate = match standing {
                Some(Standing::Valid) => {
                    let new = known.insert(keyid.clone());
                    if new {
                        let (payload_sha256, keyid) = (payload_sha256.clone(), keyid.clone());
                        self.file(FiledSignature { payload_sha256, keyid, sig: sig.clone() })?;
                    }
                    match (own, new) {
                        (true, false) => Fate::Known,
                        (true, true) => Fate::Filed,
                        (false, _) => Fate::Stale { payload_sha256: payload_sha256.clone() },
                    }
                }
                other => Fate::Uncounted(why_uncounted(other)),
            };
            collected.push(Collected { keyid: keyid.clone(), fate });
        }
        Ok(collected)
    }
}

fn uncounted(keyid: String, why: &'static str) -> Collected {
    Collected { keyid, fate: Fate::Uncounted(why) }
}

fn unusable(why: impl Into<String>) -> Collected {
    Collected { keyid: String::new(), fate: Fate::Unusable(why.into()) }
}
