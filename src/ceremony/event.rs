//! A signing event on disk: the proposal, the files that it names, and one file for each signature.
//!
//! Everything here may have been written by anybody. Reading it decides nothing: [`super::Status`] counts, and
//! [`super::Review`] shows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::CeremonyError;
use super::introductions::Introductions;
use crate::crypto::sha256;
use crate::fs::{Lock, files_below, read_below, refuse_links, remove_leftovers, write_durably};
use crate::metadata::{
    Document, EncodedName, Envelope, Expires, HashAlgorithm, KeyId, Occasion, RoleName, Root, Signature, TargetPath,
    Targets, Version,
};
use crate::repository::{Proposal, Rehearsal, SignedState, WorkingCopy, file_name};

/// Longest proposal, and longest file that a proposal names, in bytes.
pub(super) const LONGEST: u64 = 512_000_000;
/// Longest file of a signature, in bytes: one of ML-DSA-87 has 9 kB in hexadecimal.
const LONGEST_SIGNATURE: u64 = 64 << 10;
/// Most signatures of one event that are read.
const MOST_SIGNATURES: usize = 1000;

/// What an event is called: safe as a directory name on every system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventName(String);

impl EventName {
    /// The usual name: the role and the version that is proposed.
    pub fn of(role: &RoleName, version: Version) -> Self {
        let name = role.as_str();
        let usual = format!("{name}-{version}");
        usual.parse().unwrap_or_else(|_| {
            // The name of a role may be any text.
            let good = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
            let similar: String = name.chars().take(40).map(good).collect();
            Self(format!("{similar}_{}-{version}", hex::encode(&sha256(name.as_bytes())[..4])))
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if text.is_empty() || text.len() > 100 || !text.chars().all(good) || text.starts_with(['.', '-']) {
            return Err(
                "an event's name has 1 to 100 lower-case letters, digits, `.`, `_` and `-`, and does not start \
                        with `.` or `-`"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `event.json`: what the proposal is for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EventFile {
    role: String,
    /// The SHA-256 of the repository's first root, in hexadecimal; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
}

/// A signature that lies in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct FiledSignature {
    /// The SHA-256 of the payload that it is over, in hexadecimal.
    pub payload_sha256: String,
    /// The keyid under which it is filed.
    pub keyid: String,
    /// The signature, in hexadecimal.
    pub sig: String,
}

impl FiledSignature {
    /// The payload and the keyid, for people; and what tells this signature from any other, so that two files of one
    /// name are the same file: whoever signs twice with a key whose signatures differ each time makes no conflict.
    fn file_name(&self) -> String {
        let keyid = EncodedName::new(&self.keyid);
        let keyid = keyid.as_str();
        let distinct = &self.digest()[..16];
        format!("{}.{}.{distinct}.json", &self.payload_sha256[..16], &keyid[..keyid.len().min(64)])
    }

    /// What tells this signature from any other, in hexadecimal: the SHA-256 of payload digest, keyid and signature.
    pub fn digest(&self) -> String {
        let content = format!("{}\n{}\n{}", self.payload_sha256, self.keyid, self.sig);
        hex::encode(sha256(content.as_bytes()))
    }

    pub(super) fn is_well_formed(&self) -> bool {
        HashAlgorithm::Sha256.is_digest(&self.payload_sha256) && !self.keyid.is_empty()
    }
}

/// Somebody's word that a payload is not to be signed any further. It stays in the event, as its signatures stay valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Withdrawal {
    /// The SHA-256 of the payload, in hexadecimal.
    pub payload_sha256: String,
    /// Why. Attacker-controlled text.
    pub reason: String,
    /// When, by the clock of whoever withdrew it.
    pub at: String,
}

impl Withdrawal {
    /// Named by its content, so that merges never conflict.
    fn file_name(&self) -> String {
        let content = format!("{}\n{}\n{}", self.payload_sha256, self.reason, self.at);
        format!("{}.{}.json", &self.payload_sha256[..16], hex::encode(&sha256(content.as_bytes())[..8]))
    }
}

/// Longest reason for a withdrawal, in bytes.
const LONGEST_REASON: usize = 1000;

/// A signing event, as it lies on disk.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SigningEvent {
    /// What it is called.
    pub name: EventName,
    /// The role that is proposed.
    pub role: RoleName,
    /// The version that is proposed.
    pub version: Version,
    /// The proposal without signatures.
    pub envelope: Envelope,
    /// The files that the proposal should name.
    pub targets: BTreeMap<TargetPath, Vec<u8>>,
    /// The signatures that lie here, over whatever payload.
    pub signatures: Vec<FiledSignature>,
    /// Files that should be signatures and are not, with why.
    pub unreadable: Vec<(String, String)>,
    /// What is rehearsed; `None` where the event is meant.
    pub rehearsal: Option<Rehearsal>,
    /// How those came here who have new keys.
    pub(super) introductions: Introductions,
    pub(super) document: Vec<u8>,
    /// Payloads that were withdrawn.
    pub withdrawn: Vec<Withdrawal>,
    /// Every payload that was ever proposed here: a signature stays valid for ever, so what it is over is kept.
    proposed: Vec<Vec<u8>>,
    /// Absent for one that lies nowhere.
    directory: Option<PathBuf>,
}

impl SigningEvent {
    /// Starts an event for a proposal, or gives a running one a new proposal. Signatures over an earlier payload stay
    /// where they are and no longer count.
    ///
    /// # Errors
    /// When it cannot be written, or the name is taken by another role.
    pub fn start(
        copy: &WorkingCopy,
        signed: &SignedState,
        proposal: &Proposal,
        name: &EventName,
    ) -> Result<Self, CeremonyError> {
        let directory = copy.free_of_links(copy.events_directory().join(name.as_str()))?;
        let _lock = lock(&directory)?;
        let file = EventFile { role: proposal.role.as_str().to_owned(), repository: signed.digest().map(hex::encode) };
        // Where a merge left a conflict in it, this decides.
        let undecided = read_here(&directory, "event.json", LONGEST_SIGNATURE)?.is_some_and(|it| conflicts(&it));
        if !undecided
            && let Some(there) = read_event_file(&directory, name)?
            && there.role != file.role
        {
            let problem = format!("it is about {}, not about {}", there.role, file.role);
            return Err(malformed(name, problem));
        }
        let (signatures, staged) = (directory.join("signatures"), directory.join("targets"));
        for place in [&signatures, &staged] {
            refuse_links(copy.directory(), place)?;
        }
        fs::create_dir_all(signatures)?;
        keep_payload(&directory, read_here(&directory, "proposal.json", LONGEST)?.as_deref())?;
        // Named by its digest, so that it outlives a merge in which two branches each proposed something.
        keep_payload(&directory, Some(&proposal.document))?;
        if staged.exists() {
            fs::remove_dir_all(&staged)?;
        }
        for (path, bytes) in &proposal.targets {
            let file = staged.join(path.as_str());
            fs::create_dir_all(file.parent().unwrap_or(&staged))?;
            write_durably(&file, bytes)?;
        }
        let text = serde_json::to_vec_pretty(&file).map_err(|error| malformed(name, error.to_string()))?;
        write(&directory, "event.json", &text)?;
        // Until this is written the event has its old proposal, whose files may be gone: running it again mends that.
        write(&directory, "proposal.json", &proposal.document)?;
        Self::open(copy, name)
    }

    /// Reads an event.
    ///
    /// # Errors
    /// When there is none, or its proposal cannot be read.
    pub fn open(copy: &WorkingCopy, name: &EventName) -> Result<Self, CeremonyError> {
        let event = Self::read(copy, name)?;
        event.check_targets(Content::Complete)?;
        Ok(event)
    }

    /// Whether every file that the proposal names lies here, and no other.
    pub(super) fn is_whole(&self) -> bool {
        self.check_targets(Content::Complete).is_ok()
    }

    /// Reads an event, also one whose start was interrupted.
    pub(super) fn read(copy: &WorkingCopy, name: &EventName) -> Result<Self, CeremonyError> {
        let directory = copy.free_of_links(copy.events_directory().join(name.as_str()))?;
        let file = read_event_file(&directory, name)?
            .ok_or_else(|| CeremonyError::NoEvent { name: name.as_str().to_owned() })?;
        let role = role_of(&file.role).ok_or_else(|| malformed(name, "its role is not signed in events"))?;
        let document = read_here(&directory, "proposal.json", LONGEST)?
            .ok_or_else(|| malformed(name, "`proposal.json` is missing"))?;
        if conflicts(&document) {
            return Err(CeremonyError::Undecided { event: name.as_str().to_owned(), role });
        }
        let envelope = Envelope::parse_for(copy.occasion(), &document)?;
        let version = version_of(&role, &envelope)?;
        let targets = read_targets(&directory, name)?;
        let (signatures, unreadable) = read_signatures(&directory, name)?;
        let proposed = read_proposed(&directory, name)?;
        let withdrawn = read_withdrawn(&directory, name)?;
        let name = name.clone();
        let directory = Some(directory);
        let mut event = Self {
            name,
            role,
            version,
            envelope,
            targets,
            signatures,
            unreadable,
            rehearsal: copy.config().rehearsal.clone(),
            introductions: Introductions::default(),
            document,
            withdrawn,
            proposed,
            directory,
        };
        event.check_repository(copy, file.repository.as_deref())?;
        event.introductions = Introductions::read(copy, &event.listed_fingerprints()?)?;
        Ok(event)
    }

    /// An event that lies nowhere: about a document of any make, whose signatures are those that it holds itself.
    /// Of the files that it names those given must be right; the others are known by their digests only.
    ///
    /// # Errors
    /// When the document is not one of this role, or a file is not the one that it names.
    pub fn of_document(
        name: &EventName,
        role: &RoleName,
        document: &[u8],
        targets: BTreeMap<TargetPath, Vec<u8>>,
    ) -> Result<Self, CeremonyError> {
        Self::of_document_for(None, name, role, document, targets)
    }

    /// As [`SigningEvent::of_document`], also of a rehearsal.
    pub(super) fn of_document_for(
        rehearsal: Option<Rehearsal>,
        name: &EventName,
        role: &RoleName,
        document: &[u8],
        targets: BTreeMap<TargetPath, Vec<u8>>,
    ) -> Result<Self, CeremonyError> {
        let occasion = if rehearsal.is_some() { Occasion::Rehearsal } else { Occasion::Real };
        let envelope = Envelope::parse_for(occasion, document)?;
        let payload_sha256 = hex::encode(sha256(envelope.signed_bytes()));
        let filed = |(keyid, signature): (&KeyId, &Signature)| FiledSignature {
            payload_sha256: payload_sha256.clone(),
            keyid: keyid.as_str().to_owned(),
            sig: signature.as_str().to_owned(),
        };
        let signatures = envelope.signatures().iter().map(filed).collect();
        let version = version_of(role, &envelope)?;
        let (name, role, document) = (name.clone(), role.clone(), document.to_owned());
        let event = Self {
            name,
            role,
            version,
            envelope,
            targets,
            signatures,
            unreadable: Vec::new(),
            rehearsal,
            introductions: Introductions::default(),
            document,
            withdrawn: Vec::new(),
            proposed: Vec::new(),
            directory: None,
        };
        event.check_targets(Content::Partial)?;
        Ok(event)
    }

    /// The names of the events that lie in a working copy.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(copy: &WorkingCopy) -> Result<Vec<EventName>, CeremonyError> {
        let entries = match fs::read_dir(copy.free_of_links(copy.events_directory())?) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            names.extend(name.filter(|_| entry.path().join("event.json").exists()));
        }
        names.sort();
        Ok(names)
    }

    /// Every payload that this event proposes or has proposed, each as an event of its own. Those that cannot be read
    /// are left out: nobody can publish them.
    pub fn every_payload(&self) -> impl Iterator<Item = Self> {
        let own = self.digest();
        let kept = self.proposed.iter().filter_map(|document| self.with_document(document).ok());
        std::iter::once(self.clone()).chain(kept.filter(move |other| other.digest() != own))
    }

    /// The role as people are told of it: with a word before it where nothing is meant.
    pub fn role_as_proposed(&self) -> String {
        let occasion = if self.rehearsal.is_some() { "REHEARSAL " } else { "" };
        format!("{occasion}{}", self.role)
    }

    /// The SHA-256 of the payload: what signatures are over, and what people compare.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.envelope.signed_bytes())
    }

    /// The name of the file that will be published.
    pub fn file_name(&self) -> String {
        file_name(&self.role, self.version)
    }

    /// The files that the proposal names and whose content is not here.
    pub fn left_out(&self) -> Vec<TargetPath> {
        let Ok(proposed) = self.envelope.unverified::<Targets>() else { return Vec::new() };
        let paths = proposed.iter().filter_map(|(path, _)| TargetPath::new(&path).ok());
        paths.filter(|path| !self.targets.contains_key(path)).collect()
    }

    /// The signatures over this payload.
    pub fn over_this_payload(&self) -> impl Iterator<Item = &FiledSignature> {
        let digest = hex::encode(self.digest());
        self.signatures.iter().filter(move |filed| filed.payload_sha256 == digest)
    }

    /// The proposal without signatures.
    ///
    /// # Errors
    /// When the proposal is not JSON, which opening it has ruled out.
    pub(super) fn unsigned(&self) -> Result<Vec<u8>, CeremonyError> {
        self.assembled(&BTreeMap::new())
    }

    /// Another payload for this version that lies in the working copy, with the signatures collected for it.
    ///
    /// # Errors
    /// When the events cannot be read.
    pub(super) fn signed_payload(&self, copy: &WorkingCopy, digest: &str) -> Result<Option<Vec<u8>>, CeremonyError> {
        let mut events = vec![self.clone()];
        events.extend(Self::names(copy)?.iter().filter_map(|name| Self::open(copy, name).ok()));
        let mut payloads = events.iter().flat_map(Self::every_payload);
        let Some(payload) = payloads.find(|payload| hex::encode(payload.digest()) == digest) else { return Ok(None) };
        let pairs = payload.over_this_payload().map(|filed| (filed.keyid.as_str(), filed.sig.as_str())).collect();
        payload.assembled(&pairs).map(Some)
    }

    /// Another payload for the same role, with the signatures that its document holds.
    ///
    /// # Errors
    /// When it is not a document of this role.
    pub(super) fn beside(&self, document: &[u8]) -> Result<Self, CeremonyError> {
        Self::of_document_for(self.rehearsal.clone(), &self.name, &self.role, document, BTreeMap::new())
    }

    /// The document with these signatures, by keyid.
    ///
    /// # Errors
    /// When the proposal is not JSON, which opening it has ruled out.
    pub(super) fn assembled(&self, by_keyid: &BTreeMap<&str, &str>) -> Result<Vec<u8>, CeremonyError> {
        let wrong = |error: serde_json::Error| malformed(&self.name, error.to_string());
        let mut document: serde_json::Value = serde_json::from_slice(&self.document).map_err(wrong)?;
        document["signatures"] = by_keyid.iter().map(|(keyid, sig)| json!({"keyid": keyid, "sig": sig})).collect();
        let mut bytes = serde_json::to_vec_pretty(&document).map_err(wrong)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Files a signature, and returns where. One that lies here is left as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn file(&mut self, filed: FiledSignature) -> Result<PathBuf, CeremonyError> {
        let path = PathBuf::from("signatures").join(filed.file_name());
        if let Some(directory) = &self.directory {
            // What lies there under this name is this signature, or was damaged.
            let text = serde_json::to_vec_pretty(&filed).map_err(|error| malformed(&self.name, error.to_string()))?;
            let _lock = lock(directory)?;
            write(directory, &format!("signatures/{}", filed.file_name()), &text)?;
        }
        if !self.signatures.contains(&filed) {
            self.signatures.push(filed);
        }
        Ok(self.directory.as_ref().map_or(path.clone(), |directory| directory.join(&path)))
    }

    /// Keeps another payload for this version that somebody has signed: its signatures stay valid for ever.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep(&mut self, other: &Self) -> Result<(), CeremonyError> {
        let document = other.assembled(&BTreeMap::new())?;
        if let Some(directory) = &self.directory {
            let _lock = lock(directory)?;
            keep_payload(directory, Some(&document))?;
        }
        self.proposed.push(document);
        Ok(())
    }

    /// Where the records of what happened lie; absent for an event that lies nowhere.
    /// Where it lies; `None` for one that lies nowhere.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The same without the files that it names, for counting alone.
    pub(super) fn without_targets(&self) -> Self {
        Self {
            name: self.name.clone(),
            role: self.role.clone(),
            version: self.version,
            envelope: self.envelope.clone(),
            targets: BTreeMap::new(),
            signatures: self.signatures.clone(),
            unreadable: Vec::new(),
            document: self.document.clone(),
            rehearsal: self.rehearsal.clone(),
            introductions: Introductions::default(),
            withdrawn: self.withdrawn.clone(),
            proposed: Vec::new(),
            directory: self.directory.clone(),
        }
    }

    /// The word that this payload was withdrawn, if it was.
    pub fn withdrawal(&self) -> Option<&Withdrawal> {
        let digest = hex::encode(self.digest());
        self.withdrawn.iter().find(|withdrawn| withdrawn.payload_sha256 == digest)
    }

    /// Withdraws this payload: it is not signed or finished here any more. Payload and signatures stay, since they stay
    /// valid; whatever is proposed next for the version shows them.
    ///
    /// # Errors
    /// When the reason is empty or long, or it cannot be written.
    pub fn withdraw(&mut self, reason: &str, now: DateTime<Utc>) -> Result<(), CeremonyError> {
        if reason.trim().is_empty() || reason.len() > LONGEST_REASON {
            return Err(malformed(&self.name, format!("a reason has 1 to {LONGEST_REASON} bytes")));
        }
        if self.withdrawal().is_some() {
            return Ok(());
        }
        let withdrawn = Withdrawal {
            payload_sha256: hex::encode(self.digest()),
            reason: reason.to_owned(),
            at: now.to_rfc3339_opts(SecondsFormat::Secs, true),
        };
        if let Some(directory) = &self.directory {
            let _lock = lock(directory)?;
            let text =
                serde_json::to_vec_pretty(&withdrawn).map_err(|error| malformed(&self.name, error.to_string()))?;
            write(directory, &format!("withdrawn/{}", withdrawn.file_name()), &text)?;
        }
        self.withdrawn.push(withdrawn);
        Ok(())
    }

    /// When the proposal expires.
    ///
    /// # Errors
    /// When the proposal is not one of its role, which opening it has ruled out.
    pub fn expires(&self) -> Result<Expires, CeremonyError> {
        Ok(match self.role {
            RoleName::Root => self.envelope.unverified::<Root>()?.expires,
            _ => self.envelope.unverified::<Targets>()?.expires,
        })
    }

    /// The same event with another document in the place of its proposal.
    ///
    /// # Errors
    /// When it is not a document of this role.
    pub(super) fn with_document(&self, document: &[u8]) -> Result<Self, CeremonyError> {
        let envelope = Envelope::parse_for(self.envelope.occasion(), document)?;
        let version = version_of(&self.role, &envelope)?;
        Ok(Self { version, envelope, document: document.to_owned(), ..self.clone() })
    }

    /// An event prepared for one repository is not signed in another, even where the same people keep both.
    fn check_repository(&self, copy: &WorkingCopy, offered: Option<&str>) -> Result<(), CeremonyError> {
        let first = Version::new(1).expect("1 is not zero");
        let path = copy.signed_directory().join(file_name(&RoleName::Root, first));
        // The event that makes the first root begins when there is none.
        let makes_it = self.role == RoleName::Root && self.version == first && offered.is_none();
        if makes_it {
            return Ok(());
        }
        let expected = match read_below(copy.directory(), &path, LONGEST)? {
            Some(first_root) => hex::encode(sha256(&first_root)),
            None => "none".to_owned(),
        };
        if offered != Some(expected.as_str()) {
            let offered = offered.unwrap_or("none").to_owned();
            return Err(CeremonyError::OtherRepository { offered, expected });
        }
        Ok(())
    }

    /// The files beside the proposal must be those that it names: a reviewer reads the files, and signs for the names.
    fn check_targets(&self, content: Content) -> Result<(), CeremonyError> {
        if self.role == RoleName::Root {
            return Ok(());
        }
        let proposed: Targets = self.envelope.unverified()?;
        let mut named = 0;
        for (path, entry) in proposed.iter() {
            let wrong = |what: &str| malformed(&self.name, format!("the file `{path}` {what}"));
            let entry = entry.map_err(|error| malformed(&self.name, error.to_string()))?;
            let target = TargetPath::new(&path).map_err(|error| malformed(&self.name, error.to_string()))?;
            let bytes = match self.targets.get(&target) {
                Some(bytes) => bytes,
                None if content == Content::Partial => continue,
                None => return Err(wrong("is proposed, and is not in the event")),
            };
            if entry.length != bytes.len() as u64 || !entry.hashes.are_of(bytes) {
                return Err(wrong("in the event is not the one that is proposed"));
            }
            named += 1;
        }
        if named != self.targets.len() {
            return Err(malformed(&self.name, "it holds files that are not proposed"));
        }
        Ok(())
    }
}

/// The role of an event, by its name: one that people sign.
pub(super) fn role_of(name: &str) -> Option<RoleName> {
    let top_level = [RoleName::Root, RoleName::Targets].into_iter().find(|role| role.as_str() == name);
    top_level.or_else(|| RoleName::delegated(name))
}

/// Whether every file that a proposal names must be at hand.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    Complete,
    Partial,
}

fn version_of(role: &RoleName, envelope: &Envelope) -> Result<Version, CeremonyError> {
    Ok(match role {
        RoleName::Root => envelope.unverified::<Root>()?.version,
        _ => envelope.unverified::<Targets>()?.version(),
    })
}

fn malformed(name: &EventName, problem: impl Into<String>) -> CeremonyError {
    CeremonyError::Malformed { event: name.as_str().to_owned(), problem: problem.into() }
}

fn read_event_file(directory: &Path, name: &EventName) -> Result<Option<EventFile>, CeremonyError> {
    let Some(bytes) = read_here(directory, "event.json", LONGEST_SIGNATURE)? else { return Ok(None) };
    if conflicts(&bytes) {
        return Err(malformed(
            name,
            "`event.json` holds the conflict of a merge: two branches each started an event of \
                                    this name; `trustroot ceremony start ROLE --name NAME` decides which it is",
        ));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| malformed(name, format!("`event.json`: {error}")))
}

fn read_targets(directory: &Path, name: &EventName) -> Result<BTreeMap<TargetPath, Vec<u8>>, CeremonyError> {
    let mut targets = BTreeMap::new();
    let staged = directory.join("targets");
    for file in files_below(copy_of(directory), &staged)? {
        let relative = file.strip_prefix(&staged).expect("below the directory that is walked");
        let text = relative.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
        let path = TargetPath::new(&text).map_err(|error| malformed(name, error.to_string()))?;
        targets.insert(path, read_below(&staged, &file, LONGEST)?.unwrap_or_default());
    }
    Ok(targets)
}

/// Keeps a payload under its digest: somebody may sign it in a copy that has not come back yet. What is no document is
/// nothing that anybody could sign.
fn keep_payload(directory: &Path, document: Option<&[u8]>) -> Result<(), CeremonyError> {
    let Some((document, Ok(envelope))) = document.map(|document| (document, Envelope::parse(document))) else {
        return Ok(());
    };
    let kept = format!("proposed/{}.json", hex::encode(sha256(envelope.signed_bytes())));
    let there = read_here(directory, &kept, LONGEST).ok().flatten().and_then(|there| Envelope::parse(&there).ok());
    if there.is_some_and(|there| there.signed_bytes() == envelope.signed_bytes()) {
        return Ok(());
    }
    write(directory, &kept, document)
}

/// The working copy that an event lies in, by the event's directory.
fn copy_of(directory: &Path) -> &Path {
    directory.ancestors().nth(2).unwrap_or(directory)
}

/// Reads a file of an event, by its name in the event's directory.
pub(super) fn read_here(directory: &Path, name: &str, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    read_below(copy_of(directory), &directory.join(name), limit)
}

/// Keeps others from changing events while one is changed. The lock lies beside the events, so that those who start one
/// take turns too.
fn lock(directory: &Path) -> Result<Lock, CeremonyError> {
    let events = directory.parent().unwrap_or(directory);
    refuse_links(copy_of(directory), events)?;
    fs::create_dir_all(events)?;
    Ok(Lock::wait(events)?)
}

/// Writes a file of an event, by its name in the event's directory, and clears away what a killed process left beside it.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
    let file = directory.join(name);
    let place = file.parent().unwrap_or(directory);
    refuse_links(copy_of(directory), place)?;
    fs::create_dir_all(place)?;
    remove_leftovers(place);
    Ok(write_durably(&file, bytes)?)
}

/// Whether git left the conflict of a merge in this file.
fn conflicts(bytes: &[u8]) -> bool {
    let has = |mark: &[u8]| bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(mark));
    has(b"<<<<<<< ") && has(b">>>>>>> ")
}

/// Most payloads of one event, and most withdrawals.
const MOST_PROPOSED: usize = 100;

/// Whether the name of a file has digests of so many hexadecimal digits and its ending, and nothing else.
fn is_named(file: &str, digits: &[usize]) -> bool {
    let parts: Vec<&str> = file.split('.').collect();
    let is_digest = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    parts.len() == digits.len() + 1
        && parts.last() == Some(&"json")
        && parts.iter().zip(digits).all(|(part, digits)| part.len() == *digits && is_digest(part))
}

/// The payloads that were proposed. A file that is not named by its payload's digest is none of them.
fn read_proposed(directory: &Path, name: &EventName) -> Result<Vec<Vec<u8>>, CeremonyError> {
    let mut documents = Vec::new();
    for file in json_files(directory, "proposed", name)?.iter().filter(|file| is_named(file, &[64])) {
        let Some(bytes) = read_here(directory, &format!("proposed/{file}"), LONGEST)? else { continue };
        // Its payload is the same, whether it is meant or rehearsed.
        let payload = Envelope::parse(&bytes).ok();
        if payload.is_none_or(|envelope| !file.starts_with(&hex::encode(sha256(envelope.signed_bytes())))) {
            continue;
        }
        documents.push(bytes);
        at_most(MOST_PROPOSED, documents.len(), "proposed", name)?;
    }
    Ok(documents)
}

/// The withdrawals. A file that is not named after its content is none; whoever writes one achieves nothing.
fn read_withdrawn(directory: &Path, name: &EventName) -> Result<Vec<Withdrawal>, CeremonyError> {
    let mut withdrawn = Vec::new();
    for file in json_files(directory, "withdrawn", name)?.iter().filter(|file| is_named(file, &[16, 16])) {
        let Some(bytes) = read_here(directory, &format!("withdrawn/{file}"), LONGEST_SIGNATURE)? else { continue };
        let Ok(read) = serde_json::from_slice::<Withdrawal>(&bytes) else { continue };
        if !HashAlgorithm::Sha256.is_digest(&read.payload_sha256) || read.file_name() != *file {
            continue;
        }
        withdrawn.push(read);
        at_most(MOST_PROPOSED, withdrawn.len(), "withdrawn", name)?;
    }
    Ok(withdrawn)
}

/// Most files of one directory of an event that are looked at.
const MOST_FILES: usize = 10_000;

/// What is past a limit is not passed over: a payload or a withdrawal could hide there.
fn at_most(limit: usize, count: usize, part: &str, name: &EventName) -> Result<(), CeremonyError> {
    if count <= limit {
        return Ok(());
    }
    let problem = format!(
        "`{part}/` holds more than the {limit} files that are read: remove those that the people of this event did not put \
         there, as the history of the working copy tells"
    );
    Err(malformed(name, problem))
}

/// The names of the JSON files in a directory of an event, in order; none where it does not exist.
fn json_files(directory: &Path, part: &str, name: &EventName) -> Result<Vec<String>, CeremonyError> {
    let files = json_names(directory, part)?;
    at_most(MOST_FILES, files.len(), part, name)?;
    Ok(files)
}

/// As `json_files`, however many there are.
pub(super) fn json_names(directory: &Path, part: &str) -> Result<Vec<String>, CeremonyError> {
    let place = directory.join(part);
    refuse_links(copy_of(directory), &place)?;
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&file).extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

type Unreadable = Vec<(String, String)>;

/// A file that is no signature, or is not named after its content, is named and counts for nothing.
fn read_signatures(directory: &Path, name: &EventName) -> Result<(Vec<FiledSignature>, Unreadable), CeremonyError> {
    let (mut signatures, mut unreadable) = (Vec::new(), Vec::new());
    for file in json_files(directory, "signatures", name)? {
        let read = read_here(directory, &format!("signatures/{file}"), LONGEST_SIGNATURE);
        let read = read.map_err(|error| error.to_string()).and_then(|bytes| {
            let filed: FiledSignature =
                serde_json::from_slice(&bytes.unwrap_or_default()).map_err(|error| error.to_string())?;
            if !filed.is_well_formed() {
                return Err("its digest or keyid is malformed".to_owned());
            }
            if filed.file_name() == file { Ok(filed) } else { Err("is not named after its content".to_owned()) }
        });
        match read {
            Ok(filed) => signatures.push(filed),
            Err(problem) => unreadable.push((file, problem)),
        }
        at_most(MOST_SIGNATURES, signatures.len(), "signatures", name)?;
    }
    Ok((signatures, unreadable))
}
