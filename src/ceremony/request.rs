//! A signing event in one file, for a machine that nothing else reaches.
//!
//! Nothing in a request is believed. The chain of roots in it is verified, and must hold the root that the signer trusts;
//! what is shown is computed from the verified state and the proposed bytes, as it is in a working copy. The digest in
//! its first line only tells a damaged file from one that is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event::role_of;
use super::introductions::Introductions;
use super::review::LONGEST_COMPARED;
use super::{CeremonyError, EventName, Review, Sibling, SigningEvent, Status};
use crate::crypto::sha256;
use crate::fs::read_bounded;
use crate::key_attestation::Evidence;
use crate::metadata::{HashAlgorithm, RoleName, TargetPath};
use crate::repository::{Keys, Rehearsal, SignedState, WorkingCopy, file_name};
use crate::trust::UpdateStart;

/// The media type of a request.
pub const REQUEST_MEDIA_TYPE: &str = "application/vnd.trustroot.request.v1";

/// Longest request, in bytes.
const LONGEST_REQUEST: u64 = 64 << 20;
/// Longest line that lists the files, in bytes.
const LONGEST_INDEX: usize = 4 << 20;
/// Most files in a request.
const MOST_FILES: usize = 10_000;
/// Most payloads that are named by their digests alone.
const MOST_SIBLINGS: usize = 1000;
/// Longest purpose, in characters.
const LONGEST_PURPOSE: usize = 1000;

/// The second line of a request. A field that is not known could be a restriction, and is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Index {
    event: String,
    role: String,
    /// The SHA-256 of the repository's first root; absent where that is what is proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    /// What is rehearsed; absent where the event is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rehearsal: Option<Rehearsal>,
    payload_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    /// Payloads of this version that somebody has signed, and that were not at hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown_siblings: Vec<String>,
    /// The ends of the transcript, which a signer's record follows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    follows: BTreeSet<String>,
    files: Vec<ListedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedFile {
    name: String,
    length: u64,
}

/// A request that is well-formed and undamaged. Of what is in it, the chain of roots and the signed state have been
/// verified from its own first root; whether that is yours, only your pin says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The event: the proposal, and the files that the review needs.
    pub event: SigningEvent,
    /// What has been signed so far.
    pub signed: SignedState,
    /// What whoever made the request says that it is for. Attacker-controlled text.
    pub purpose: Option<String>,
    /// The SHA-256 of the request as it was read.
    pub sha256: [u8; 32],
    /// Digests of the records that the record of a signature made from this request follows. Claims.
    pub follows: BTreeSet<String>,
    /// What devices say of keys: certificates, which the review verifies.
    evidence: Evidence,
    siblings: Vec<SigningEvent>,
    unknown_siblings: Vec<String>,
}

impl Request {
    /// Writes an event as a request. The same event gives the same bytes, whenever and wherever it is written.
    ///
    /// It is opened again before it is returned, and its review must be the one that this working copy gives.
    ///
    /// # Errors
    /// When the event cannot be read, or does not fit.
    pub fn write(
        event: &SigningEvent,
        copy: &WorkingCopy,
        signed: &SignedState,
        purpose: Option<&str>,
        start: UpdateStart,
    ) -> Result<Vec<u8>, CeremonyError> {
        if purpose.is_some_and(|purpose| purpose.chars().count() > LONGEST_PURPOSE) {
            return Err(malformed(format!("its purpose is longer than {LONGEST_PURPOSE} characters")));
        }
        // What the review reads is what a request needs.
        let noting = signed.noting();
        let here = event.review(copy, &noting, start.time())?;
        let status = event.status(copy, &noting)?;
        let mut files: BTreeMap<String, Vec<u8>> =
            noting.noted().into_iter().map(|(name, bytes)| (format!("{SIGNED}{name}"), bytes)).collect();
        for (root, bytes) in signed.roots() {
            files.insert(format!("{SIGNED}{}", file_name(&RoleName::Root, root.version)), bytes.to_vec());
        }
        files.insert(PROPOSAL.to_owned(), event.unsigned()?);
        for (path, bytes) in &event.targets {
            // What we judge is there in any case; what only people read may be known by its digest.
            let judged = event.role != RoleName::Targets || path.as_str().starts_with("slsa/");
            if judged || bytes.len() as u64 <= LONGEST_COMPARED {
                files.insert(format!("{TARGETS}{path}"), bytes.clone());
            }
        }
        for (digest, file) in event.introductions.files() {
            files.insert(format!("{INTRODUCTIONS}{digest}.json"), file.clone());
        }
        let evidence = copy.evidence()?;
        for (prefix, some) in [(ATTESTATIONS, evidence.chains), (ATTESTATION_ROOTS, evidence.roots)] {
            files.extend(some.into_iter().map(|(name, bytes)| (format!("{prefix}{name}"), bytes)));
        }
        let mut unknown_siblings = Vec::new();
        for sibling in &status.siblings {
            match event.signed_payload(copy, &sibling.digest)? {
                Some(document) => drop(files.insert(format!("{SIBLINGS}{}.json", sibling.digest), document)),
                None => unknown_siblings.push(sibling.digest.clone()),
            }
        }
        unknown_siblings.sort();
        let follows = event.transcript()?.to_follow();
        let head = |files: &BTreeMap<String, Vec<u8>>| Index {
            event: event.name.as_str().to_owned(),
            role: event.role.as_str().to_owned(),
            repository: signed.digest().map(hex::encode),
            rehearsal: event.rehearsal.clone(),
            payload_sha256: hex::encode(event.digest()),
            purpose: purpose.map(str::to_owned),
            unknown_siblings: unknown_siblings.clone(),
            follows: follows.clone(),
            files: files
                .iter()
                .map(|(name, bytes)| ListedFile { name: name.clone(), length: bytes.len() as u64 })
                .collect(),
        };
        let same = |bytes: &[u8]| {
            let there = Self::parse(bytes, start)?.event_review(here_keys(copy), start.time())?;
            Ok::<_, CeremonyError>(there == here)
        };
        // Of top-level targets the newest version is enough, unless an older one vouches for a namespace.
        let newest = signed.all_targets().next_back();
        for (version, bytes) in newest.into_iter().filter(|_| event.role != RoleName::Root) {
            files.insert(format!("{SIGNED}{}", file_name(&RoleName::Targets, version)), bytes.to_vec());
        }
        let bytes = assemble(&head(&files), &files)?;
        if same(&bytes).unwrap_or(false) {
            return Ok(bytes);
        }
        for (version, bytes) in signed.all_targets() {
            files.insert(format!("{SIGNED}{}", file_name(&RoleName::Targets, version)), bytes.to_vec());
        }
        let bytes = assemble(&head(&files), &files)?;
        if same(&bytes)? { Ok(bytes) } else { Err(malformed("its review is not the one that the working copy gives")) }
    }

    /// Reads a request from a file.
    ///
    /// # Errors
    /// See [`Request::parse`].
    pub fn open(path: &Path, start: UpdateStart) -> Result<Self, CeremonyError> {
        // A pipe or device could block for ever.
        if !fs_err::metadata(path)?.is_file() {
            return Err(malformed("it is not a regular file"));
        }
        match read_bounded(path, LONGEST_REQUEST) {
            Ok(bytes) => Self::parse(&bytes.unwrap_or_default(), start),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(malformed(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// When it is damaged or malformed, when its parts do not belong together, or when the chain of roots in it is broken.
    pub fn parse(bytes: &[u8], start: UpdateStart) -> Result<Self, CeremonyError> {
        let (index, mut files) = disassemble(bytes)?;
        let name: EventName = index.event.parse().map_err(|problem: String| malformed(problem))?;
        let role = role_of(&index.role).ok_or_else(|| malformed("its role is not signed in events"))?;
        let purpose = index.purpose.as_ref();
        if purpose.is_some_and(|purpose| purpose.chars().count() > LONGEST_PURPOSE) {
            return Err(malformed(format!("its purpose is longer than {LONGEST_PURPOSE} characters")));
        }
        let unknown = &index.unknown_siblings;
        if unknown.len() > MOST_SIBLINGS || !unknown.iter().all(|digest| HashAlgorithm::Sha256.is_digest(digest)) {
            return Err(malformed(format!("its unknown siblings are not at most {MOST_SIBLINGS} SHA-256 digests")));
        }
        let proposal = files.remove(PROPOSAL).ok_or_else(|| malformed(format!("`{PROPOSAL}` is missing")))?;
        let (mut signed, mut targets) = (BTreeMap::new(), BTreeMap::new());
        let (mut siblings, mut introductions) = (Vec::new(), Vec::new());
        let mut evidence = Evidence::default();
        for (file, content) in files {
            if let Some(name) = file.strip_prefix(SIGNED) {
                signed.insert(name.to_owned(), content);
            } else if let Some(path) = file.strip_prefix(TARGETS) {
                let path = TargetPath::new(path).map_err(|error| malformed(error.to_string()))?;
                targets.insert(path, content);
            } else if let Some(name) = file.strip_prefix(ATTESTATIONS) {
                evidence.chains.insert(name.to_owned(), content);
            } else if let Some(name) = file.strip_prefix(ATTESTATION_ROOTS) {
                evidence.roots.insert(name.to_owned(), content);
            } else if file.starts_with(SIBLINGS) {
                siblings.push(content);
            } else if file.starts_with(INTRODUCTIONS) {
                introductions.push(content);
            } else {
                return Err(malformed(format!("it has a file called `{file}`")));
            }
        }
        if let Some(Err(problem)) = index.rehearsal.as_ref().map(Rehearsal::check) {
            return Err(malformed(format!("what it rehearses cannot be read: {problem}")));
        }
        let mut event = SigningEvent::of_document_for(index.rehearsal, &name, &role, &proposal, targets)?;
        event.introductions = Introductions::of(introductions, &event.listed_fingerprints()?);
        let signed = SignedState::of_files_for(event.envelope.occasion(), signed, start)?;
        let (offered, expected) = (index.repository, signed.digest().map(hex::encode));
        let first = event.role == RoleName::Root && event.version.get() == 1;
        if offered != expected || (expected.is_none() && !first) {
            let words = |digest: Option<String>| digest.unwrap_or_else(|| "none".to_owned());
            return Err(CeremonyError::OtherRepository { offered: words(offered), expected: words(expected) });
        }
        if index.payload_sha256 != hex::encode(event.digest()) {
            return Err(malformed("the proposal in it is not the one that it names"));
        }
        if !event.signatures.is_empty() {
            return Err(malformed("the proposal in it holds signatures"));
        }
        if !index.follows.iter().all(|digest| HashAlgorithm::Sha256.is_digest(digest)) {
            return Err(malformed("a record that it names has no digest"));
        }
        let siblings: Vec<SigningEvent> =
            siblings.iter().map(|document| event.beside(document)).collect::<Result<_, _>>()?;
        let Index { purpose, unknown_siblings, follows, .. } = index;
        let sha256 = sha256(bytes);
        Ok(Self { event, signed, purpose, sha256, follows, evidence, siblings, unknown_siblings })
    }

    /// Compares the proposal with what was signed last.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn event_review(&self, keys: Keys, now: DateTime<Utc>) -> Result<Review, CeremonyError> {
        self.event.review_with(keys, &self.evidence, &self.signed, now)
    }

    /// Where the event stood when the request was written, as far as that is in it: what else has been signed for this
    /// version, but not who has signed this payload.
    ///
    /// # Errors
    /// When nobody may sign it yet.
    pub fn status(&self) -> Result<Status, CeremonyError> {
        let payloads: Vec<SigningEvent> = std::iter::once(&self.event).chain(&self.siblings).cloned().collect();
        let mut status = self.event.status_among(&self.signed, &payloads, Vec::new())?;
        let unknown =
            |digest: &String| Sibling { digest: digest.clone(), event: self.event.name.clone(), counts: Vec::new() };
        status.siblings.extend(self.unknown_siblings.iter().map(unknown));
        Ok(status)
    }
}

fn here_keys(copy: &WorkingCopy) -> Keys {
    if copy.config().trial { Keys::Throwaway } else { Keys::Real }
}

const PROPOSAL: &str = "proposal.json";
const SIGNED: &str = "signed/";
const TARGETS: &str = "targets/";
const INTRODUCTIONS: &str = "introductions/";
const SIBLINGS: &str = "siblings/";
const ATTESTATIONS: &str = "attestations/";
const ATTESTATION_ROOTS: &str = "attestation-roots/";

fn malformed(problem: impl Into<String>) -> CeremonyError {
    CeremonyError::MalformedRequest { problem: problem.into() }
}

/// The media type and the digest of all that follows; the list of files; the files.
fn assemble(index: &Index, files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, CeremonyError> {
    let mut rest = serde_json::to_vec(index).map_err(|error| malformed(error.to_string()))?;
    rest.push(b'\n');
    for bytes in files.values() {
        rest.extend_from_slice(bytes);
    }
    let mut bytes = format!("{REQUEST_MEDIA_TYPE} {}\n", hex::encode(sha256(&rest))).into_bytes();
    bytes.extend(rest);
    if bytes.len() as u64 > LONGEST_REQUEST {
        return Err(malformed(format!("it would have {} bytes, and {LONGEST_REQUEST} are read", bytes.len())));
    }
    Ok(bytes)
}

fn disassemble(bytes: &[u8]) -> Result<(Index, BTreeMap<String, Vec<u8>>), CeremonyError> {
    let line = |bytes: &[u8], limit: usize| bytes.iter().take(limit).position(|byte| *byte == b'\n');
    let first = line(bytes, 256).ok_or_else(|| malformed("it does not begin as a request does"))?;
    let (head, rest) = (&bytes[..first], &bytes[first + 1..]);
    let digest = std::str::from_utf8(head).ok().and_then(|head| head.strip_prefix(REQUEST_MEDIA_TYPE));
    let digest = digest.and_then(|digest| digest.strip_prefix(' '));
    let digest = digest.ok_or_else(|| malformed("it does not begin as a request does"))?;
    if digest != hex::encode(sha256(rest)) {
        return Err(CeremonyError::DamagedRequest);
    }
    let end = line(rest, LONGEST_INDEX).ok_or_else(|| malformed("the list of its files is too long, or cut off"))?;
    let index: Index = serde_json::from_slice(&rest[..end]).map_err(|error| malformed(error.to_string()))?;
    if index.files.len() > MOST_FILES {
        return Err(malformed(format!("it has more than {MOST_FILES} files")));
    }
    let (mut content, mut files) = (&rest[end + 1..], BTreeMap::new());
    let mut names = BTreeSet::new();
    for listed in &index.files {
        let length = usize::try_from(listed.length).ok().filter(|length| *length <= content.len());
        let length = length.ok_or_else(|| malformed(format!("`{}` is longer than what is there", listed.name)))?;
        if names.last().is_some_and(|last| *last >= listed.name.as_str()) {
            return Err(malformed(format!("`{}` stands twice, or out of order", listed.name)));
        }
        names.insert(listed.name.as_str());
        let (file, after) = content.split_at(length);
        files.insert(listed.name.clone(), file.to_vec());
        content = after;
    }
    if !content.is_empty() {
        return Err(malformed(format!("{} bytes follow the last file", content.len())));
    }
    Ok((index, files))
}
