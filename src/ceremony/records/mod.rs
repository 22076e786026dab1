//! What happened in a signing event, step by step: the transcript.
//!
//! Each step leaves a record, in a file named by its own digest, which lists the digests of the records that it follows.
//! So the records are a graph without cycles; copies in which people worked at the same time are merged by putting their
//! files together.
//!
//! A record is what somebody says who could write into the directory. A signer's and a witness's are signed with their
//! keys; the others are vouched for by whoever signed a record that follows them. What a record says is believed nowhere:
//! [`Replay`] computes it again, and says what differs.

mod graph;
mod publishing;
mod replay;
mod signature;
mod steps;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::crypto::sha256;
use crate::metadata::HashAlgorithm;
use crate::metadata::canonical_json::{Json, canonicalize};

pub use graph::Transcript;
pub use publishing::{Witnessed, events_without_publication, may_publish};
pub use replay::{Finding, LedgerEntry, Replay, ReplayedStep};
pub use signature::{RECORD_MEDIA_TYPE, RecordSignature};
pub use steps::{Circumstances, RecordSignatures};

/// What stands in the field `_type`, where TUF metadata has the name of a role: no client takes it for one.
const TYPE: &str = "trustroot-record";
/// Longest record that is read, in bytes.
pub(super) const LONGEST_RECORD: u64 = 256 << 10;
/// Longest text in a record that we write, in characters.
const LONGEST_TEXT: usize = 300;
/// Most entries of a list in a record that we write.
const MOST_ENTRIES: usize = 200;

/// The kinds of steps. Records of other kinds are kept, followed and shown, and nothing is concluded from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepKind {
    /// A proposal was made, the first or another one.
    Propose,
    /// Somebody reviewed and signed.
    Sign,
    /// Signatures of others were taken in.
    Collect,
    /// The proposal was withdrawn.
    Withdraw,
    /// The document was put among what is signed.
    Finish,
    /// It was published.
    Publish,
    /// A witness replayed everything, and signed.
    Witness,
    /// A step was begun, and ended without having been done.
    Abort,
}

impl StepKind {
    const ALL: [Self; 8] = [
        Self::Propose,
        Self::Sign,
        Self::Collect,
        Self::Withdraw,
        Self::Finish,
        Self::Publish,
        Self::Witness,
        Self::Abort,
    ];

    /// As it stands in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Sign => "sign",
            Self::Collect => "collect",
            Self::Withdraw => "withdraw",
            Self::Finish => "finish",
            Self::Publish => "publish",
            Self::Witness => "witness",
            Self::Abort => "abort",
        }
    }
}

/// A file, and its SHA-256 in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedDigest {
    /// What it is called. Attacker-controlled text.
    pub name: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl NamedDigest {
    /// Names these bytes.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self::new(name, &sha256(bytes))
    }

    /// Names what has this SHA-256.
    pub fn new(name: &str, sha256: &[u8; 32]) -> Self {
        Self { name: clipped(name), sha256: hex::encode(sha256) }
    }
}

/// Something that was done otherwise than it should be, and accepted by somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deviation {
    /// What kind: `lost`, `accept-sibling`, `no-record-signature`, `no-record`, `without-witness`.
    pub kind: String,
    /// Which: a person, a digest, a reason. Attacker-controlled text.
    pub value: String,
}

impl Deviation {
    /// Somebody's outgoing key is lost or stolen, and did not sign.
    pub const LOST: &'static str = "lost";
    /// Another payload of the same version has been signed.
    pub const ACCEPT_SIBLING: &'static str = "accept-sibling";
    /// A signer's key did not sign the record.
    pub const NO_RECORD_SIGNATURE: &'static str = "no-record-signature";
    /// A signature came without its signer's record.
    pub const NO_RECORD: &'static str = "no-record";
    /// Published although a witness is asked for and has not signed.
    pub const WITHOUT_WITNESS: &'static str = "without-witness";

    /// Names one.
    pub fn new(kind: &str, value: &str) -> Self {
        Self { kind: kind.to_owned(), value: clipped(value) }
    }
}

/// How many signatures counted, as whoever made the record counted them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedTally {
    /// Who asks for them, such as `root v1`.
    pub under: String,
    /// How many must sign.
    pub needed: u64,
    /// How many distinct keys did.
    pub counted: u64,
    /// Those of families that are asked for beside the threshold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<RecordedFamily>,
}

/// One family of a [`RecordedTally`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedFamily {
    /// `classical` or `post-quantum`.
    pub family: String,
    /// How many of its keys must sign.
    pub needed: u64,
    /// How many did.
    pub counted: u64,
}

/// What was done, as whoever did it says. All of it is attacker-controlled; a field that is not known is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Record {
    #[serde(rename = "_type")]
    document_type: String,
    /// What kind of step: [`StepKind::name`], or something that is not known here.
    pub kind: String,
    /// The event that it is of.
    pub event: String,
    /// The role that is proposed.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// The SHA-256 of the repository's first root; absent in the event that makes that root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Whether it was rehearsed: nothing of it was meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// The SHA-256 of the payload that the step was about.
    pub payload_sha256: String,
    /// The digests of the records that it follows.
    #[serde(default)]
    pub follows: BTreeSet<String>,
    /// When, in RFC 3339.
    pub at: String,
    /// By what: the machine's `clock`, or `stated`.
    pub time_source: String,
    /// What made the record, with its version.
    pub tool: String,
    /// The SHA-256 of that program, as it said itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_sha256: Option<String>,
    /// The SHA-256 of the root that whoever did it trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The SHA-256 of the key's canonical SubjectPublicKeyInfo, where a key was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who holds it, as metadata says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Signatures that the step made or brought, by their digests.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub made: BTreeSet<String>,
    /// Signatures that counted afterwards.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub present: BTreeSet<String>,
    /// How those were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tallies: Vec<RecordedTally>,
    /// Other payloads of the same version that somebody had signed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub siblings: BTreeSet<String>,
    /// What was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<NamedDigest>,
    /// What was written, beside signatures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<NamedDigest>,
    /// What was shown as worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<Deviation>,
    /// Payloads that are no longer proposed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub abandons: BTreeSet<String>,
    /// Why: of a withdrawal or an abort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Record {
    /// The kind, where it is known.
    pub fn kind(&self) -> Option<StepKind> {
        StepKind::ALL.into_iter().find(|kind| kind.name() == self.kind)
    }

    pub(super) fn is(&self, kind: StepKind) -> bool {
        self.kind == kind.name()
    }

    /// When, where it can be read.
    pub(super) fn time(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(&self.at).ok().map(|time| time.to_utc())
    }

    /// What a signature of the record is over, before its encoding.
    fn canonical(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).expect("strings and integers alone");
        canonicalize(&text).expect("just written, without fractions and control characters")
    }
}

/// A record with its signatures, as it lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FiledRecord {
    /// What it says.
    pub record: Record,
    /// Who signed it: claims, until somebody verifies them.
    pub signatures: Vec<RecordSignature>,
    /// The canonical form of the record: what signatures are over.
    canonical: Vec<u8>,
    /// The file.
    bytes: Vec<u8>,
}

impl FiledRecord {
    pub(super) fn new(record: Record, signatures: Vec<RecordSignature>) -> Self {
        let canonical = record.canonical();
        let signatures_json = serde_json::to_vec(&signatures).expect("strings alone");
        let mut whole = b"{\"record\":".to_vec();
        whole.extend(&canonical);
        whole.extend(b",\"signatures\":");
        whole.extend(signatures_json);
        whole.push(b'}');
        let bytes = canonicalize(&whole).expect("just written, without fractions and control characters");
        Self { record, signatures, canonical, bytes }
    }

    /// Reads the file of a record.
    ///
    /// # Errors
    /// In words, when it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > LONGEST_RECORD {
            return Err(format!("it has more than the {LONGEST_RECORD} bytes that are read"));
        }
        let Json::Object(members) = Json::parse(bytes).map_err(|error| error.to_string())? else {
            return Err("it is not a record".to_owned());
        };
        if Json::Object(members.clone()).to_canonical() != bytes {
            return Err("it is not canonical".to_owned());
        }
        let part = |name: &str| members.get(name).map(Json::to_canonical).ok_or_else(|| format!("`{name}` is missing"));
        let (canonical, signatures) = (part("record")?, part("signatures")?);
        let record: Record = serde_json::from_slice(&canonical).map_err(|error| error.to_string())?;
        let signatures: Vec<RecordSignature> =
            serde_json::from_slice(&signatures).map_err(|error| error.to_string())?;
        let digests = record.follows.iter().chain(&record.made).chain(&record.present).chain([&record.payload_sha256]);
        if record.document_type != TYPE || !digests.into_iter().all(|digest| HashAlgorithm::Sha256.is_digest(digest)) {
            return Err("it is not a record".to_owned());
        }
        if !signatures.iter().all(|signature| HashAlgorithm::Sha256.is_digest(&signature.key)) {
            return Err("a signature in it names no key".to_owned());
        }
        Ok(Self { record, signatures, canonical, bytes: bytes.to_owned() })
    }

    /// The SHA-256 of the file, in hexadecimal: what the file is called, and what records that follow it list.
    pub fn digest(&self) -> String {
        hex::encode(sha256(&self.bytes))
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Text for a record, cut where it is long. Canonical JSON has control characters as they are, which no JSON reader takes:
/// a record has none.
fn clipped(text: &str) -> String {
    let mut clipped = String::new();
    for character in text.chars().take(LONGEST_TEXT) {
        if character.is_control() {
            clipped.extend(character.escape_default());
        } else {
            clipped.push(character);
        }
    }
    clipped
}

/// A list for a record, cut where it is long.
fn at_most<T>(list: impl IntoIterator<Item = T>) -> Vec<T> {
    list.into_iter().take(MOST_ENTRIES).collect()
}

/// A time as records have it.
fn in_words(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
