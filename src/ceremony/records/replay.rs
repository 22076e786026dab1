//! Reads a transcript again from its beginning, believes nothing in it, and says what happened.
//!
//! What was signed is in the ledger: every payload that anybody signed, and the signatures. Here every signature is verified
//! and every count made again; what a record says is compared with that. What the ledger holds and no record tells of is
//! said as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};

use super::signature::{RecordStanding, fingerprint};
use super::steps::recorded;
use super::{Deviation, FiledRecord, Record, RecordedTally, StepKind, Transcript, Witnessed};
use crate::ceremony::status::{Delegator, pairs};
use crate::ceremony::{CeremonyError, EventState, FiledSignature, Sibling, SigningEvent, Status, Under};
use crate::crypto::sha256;
use crate::metadata::PublicKey;
use crate::printable::{Named, Printable};
use crate::repository::{SignedState, WorkingCopy};
use crate::trust::Standing;

/// Something in a transcript that does not verify, or is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// There are no records at all.
    NoTranscript,
    /// A file is no record, or is not named after its content.
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        problem: String,
    },
    /// There are more files than are read.
    TooMany {
        /// How many were not read.
        unread: usize,
    },
    /// A record that another one follows is not here.
    Missing {
        /// Its digest.
        record: String,
        /// One that follows it.
        followed_by: String,
    },
    /// A record belongs elsewhere.
    Foreign {
        /// Its digest.
        record: String,
        /// Why.
        problem: String,
    },
    /// A record is about a payload that is not here.
    UnknownPayload {
        /// Its digest.
        record: String,
        /// The SHA-256 of the payload.
        payload: String,
    },
    /// A signature over a record does not verify.
    BadSignature {
        /// The digest of the record.
        record: String,
        /// The fingerprint of the key that it names.
        key: String,
    },
    /// The record of a signer or witness is not signed, and does not say why.
    Unsigned {
        /// Its digest.
        record: String,
    },
    /// A signature that a record names is not here.
    SignatureGone {
        /// The digest of the record.
        record: String,
        /// The digest of the signature.
        signature: String,
    },
    /// What a record says was counted is not what counts.
    OtherTally {
        /// The digest of the record.
        record: String,
        /// By whose rules.
        under: String,
        /// How many it says.
        said: u64,
        /// How many there are; `None` where nobody asks for signatures by that name.
        found: Option<u64>,
    },
    /// What was finished is not what lies there now.
    OtherDocument {
        /// The digest of the record.
        record: String,
        /// The file.
        file: String,
    },
    /// Something has happened of which no record tells.
    Untold {
        /// What.
        what: String,
    },
    /// Somebody's signature is valid, and no record signed with their key says how it was made.
    Silent {
        /// Who, by metadata.
        who: String,
        /// The SHA-256 of the payload.
        payload: String,
    },
}

impl Finding {
    /// The stable name of this kind of finding, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoTranscript => "no-transcript",
            Self::Unreadable { .. } => "unreadable",
            Self::TooMany { .. } => "too-many",
            Self::Missing { .. } => "missing",
            Self::Foreign { .. } => "foreign",
            Self::UnknownPayload { .. } => "unknown-payload",
            Self::BadSignature { .. } => "bad-signature",
            Self::Unsigned { .. } => "unsigned",
            Self::SignatureGone { .. } => "signature-gone",
            Self::OtherTally { .. } => "other-tally",
            Self::OtherDocument { .. } => "other-document",
            Self::Untold { .. } => "untold",
            Self::Silent { .. } => "silent",
        }
    }
}

/// The beginning of a digest, enough to find the file.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTranscript => f.write_str("no transcript: the event was held without records, or they are gone"),
            Self::Unreadable { file, problem } => {
                write!(f, "the file {} is not a record: {}", Printable(file), Printable(problem))
            }
            Self::TooMany { unread } => write!(f, "{unread} files more than are read lie among the records"),
            Self::Missing { record, followed_by } => {
                write!(f, "the record {} is missing, which {} follows", short(record), short(followed_by))
            }
            Self::Foreign { record, problem } => {
                write!(f, "the record {} does not belong here: {}", short(record), Printable(problem))
            }
            Self::UnknownPayload { record, payload } => {
                write!(f, "the record {} is about the payload {payload}, which is not here", short(record))
            }
            Self::BadSignature { record, key } => {
                write!(f, "the signature by {} over the record {} is not valid", short(key), short(record))
            }
            Self::Unsigned { record } => write!(f, "the record {} should be signed, and is not", short(record)),
            Self::SignatureGone { record, signature } => {
                write!(f, "the signature {}, which the record {} names, is not here", short(signature), short(record))
            }
            Self::OtherTally { record, under, said, found: Some(found) } => write!(
                f,
                "the record {} says that {said} signatures counted under {}, and {found} do",
                short(record),
                Printable(under)
            ),
            Self::OtherTally { record, under, .. } => {
                write!(
                    f,
                    "the record {} counts under {}, which asks for no signatures",
                    short(record),
                    Printable(under)
                )
            }
            Self::OtherDocument { record, file } => {
                write!(f, "{} is not the file that the record {} finished", Printable(file), short(record))
            }
            Self::Untold { what } => write!(f, "no record tells of {what}"),
            Self::Silent { who, payload } => write!(
                f,
                "no record signed by {who} says how their signature over the payload {} was made",
                short(payload)
            ),
        }
    }
}

/// One step as a record tells it, and who vouches for that.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReplayedStep {
    /// The digest of the record.
    pub digest: String,
    /// What it says.
    pub record: Record,
    /// Who signed it: who holds the key, by metadata.
    pub signed_by: Option<String>,
    /// Who signed a record that follows it.
    pub vouched_by: BTreeSet<String>,
}

/// A payload that was proposed or signed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Its SHA-256.
    pub digest: String,
    /// What became of it.
    pub state: EventState,
    /// Whether it is what the event proposes.
    pub proposed: bool,
    /// Who signed it.
    pub counts: Vec<Under>,
}

/// What happened in an event, computed from its files alone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replay {
    /// The steps, each after those that it follows.
    pub steps: Vec<ReplayedStep>,
    /// Every payload of the event: the one that is proposed first.
    pub ledger: Vec<LedgerEntry>,
    /// Where the event stands.
    pub status: Status,
    /// What was done otherwise than it should be, and accepted.
    pub deviations: Vec<String>,
    /// What does not verify.
    pub findings: Vec<Finding>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// Who witnessed it; `None` where nobody must.
    pub witnessed: Option<Witnessed>,
    /// The ends of the transcript, which a witness signs.
    pub tips: BTreeSet<String>,
}

impl Replay {
    /// Whether everything verifies.
    pub fn verified(&self) -> bool {
        self.findings.is_empty()
    }

    /// Other payloads of the same version in other events.
    pub fn siblings(&self) -> impl Iterator<Item = &Sibling> {
        let here: BTreeSet<&String> = self.ledger.iter().map(|entry| &entry.digest).collect();
        self.status.siblings.iter().filter(move |sibling| !here.contains(&sibling.digest))
    }
}

impl SigningEvent {
    /// Replays the event: verifies every record and signature, and counts again. The caller has checked that `signed`
    /// descends from a root that the witness trusts.
    ///
    /// # Errors
    /// When files cannot be read, or nobody may sign the event. What does not verify is among the findings.
    pub fn replay(
        &self,
        copy: &WorkingCopy,
        signed: &SignedState,
        now: DateTime<Utc>,
    ) -> Result<Replay, CeremonyError> {
        let transcript = self.transcript()?;
        let status = self.status_told(copy, signed)?;
        let mut judge = Judge::new(self, signed, &transcript)?;
        judge.files();
        let in_order = transcript.in_order();
        let mut signed_by = BTreeMap::new();
        for (digest, filed) in &in_order {
            if let Some(who) = judge.record(digest, filed, now)? {
                signed_by.insert(*digest, who);
            }
        }
        judge.untold(&status);
        let mut vouched: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (digest, who) in &signed_by {
            for seen in transcript.with_what_it_follows(digest).into_iter().filter(|seen| seen != digest) {
                vouched.entry(seen).or_default().insert(who.clone());
            }
        }
        let step = |(digest, filed): (&str, &FiledRecord)| ReplayedStep {
            digest: digest.to_owned(),
            record: filed.record.clone(),
            signed_by: signed_by.get(digest).cloned(),
            vouched_by: vouched.get(digest).cloned().unwrap_or_default(),
        };
        let steps = in_order.into_iter().map(step).collect();
        let ledger = self.ledger(signed)?;
        let Judge { findings, notes, deviations, .. } = judge;
        let deviations = deviations.into_iter().collect();
        let (witnessed, tips) = (self.witnessed(signed)?, transcript.tips());
        Ok(Replay { steps, ledger, status, deviations, findings, notes, witnessed, tips })
    }

    fn ledger(&self, signed: &SignedState) -> Result<Vec<LedgerEntry>, CeremonyError> {
        let entry = |(index, payload): (usize, Self)| {
            let status = payload.status_told_among(signed, &[], Vec::new())?;
            let digest = hex::encode(payload.digest());
            Ok(LedgerEntry { digest, state: status.state, proposed: index == 0, counts: status.counts })
        };
        let mut seen = BTreeSet::new();
        let payloads = self.every_payload().filter(|payload| seen.insert(payload.digest()));
        payloads.enumerate().map(entry).collect()
    }
}

/// A payload of the ledger, what may be asked of it, and the signatures over it that are valid.
struct Payload {
    event: SigningEvent,
    delegators: Vec<Delegator>,
    /// By the digest of the signature: the fingerprint of the key.
    valid: BTreeMap<String, String>,
}

struct Judge<'a> {
    event: &'a SigningEvent,
    signed: &'a SignedState,
    transcript: &'a Transcript,
    payloads: BTreeMap<String, Payload>,
    /// The keys that may sign or witness the event, with who holds them.
    keys: Vec<PublicKey>,
    witnesses: Vec<PublicKey>,
    signatures: BTreeSet<String>,
    counted: BTreeMap<(String, String, BTreeSet<String>), Option<RecordedTally>>,
    findings: Vec<Finding>,
    notes: Vec<String>,
    deviations: BTreeSet<String>,
    /// Signatures of which a record tells that is signed with the key that made them.
    proved: BTreeSet<String>,
    /// Keys whose silence a record names.
    excused: BTreeSet<String>,
}

impl<'a> Judge<'a> {
    fn new(
        event: &'a SigningEvent,
        signed: &'a SignedState,
        transcript: &'a Transcript,
    ) -> Result<Self, CeremonyError> {
        let (mut payloads, mut keys) = (BTreeMap::new(), Vec::new());
        for payload in event.every_payload() {
            let digest = hex::encode(payload.digest());
            if payloads.contains_key(&digest) {
                continue;
            }
            let event = payload.without_targets();
            let delegators = event.delegators_of_all_times(signed)?;
            let here: Vec<&FiledSignature> = event.over_this_payload().collect();
            let standings = event.standings(&delegators, &pairs(&here))?;
            let listed = || delegators.iter().flat_map(|delegator| delegator.listed(&event.role));
            let mut valid = BTreeMap::new();
            for (filed, _) in here.iter().zip(standings).filter(|(_, found)| *found == Some(Standing::Valid)) {
                let mut entries = listed().filter(|(keyid, _)| keyid.as_str() == filed.keyid);
                let key = entries.find_map(|(_, listed)| fingerprint(listed));
                valid.insert(filed.digest(), key.unwrap_or_else(|| filed.keyid.clone()));
            }
            for (_, key) in listed() {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
            payloads.insert(digest, Payload { event, delegators, valid });
        }
        let witnesses = event.witnesses_asked(signed)?.map(|asked| asked.keys).unwrap_or_default();
        Ok(Self {
            event,
            signed,
            transcript,
            payloads,
            keys,
            witnesses,
            signatures: event.signatures.iter().map(FiledSignature::digest).collect(),
            counted: BTreeMap::new(),
            findings: Vec::new(),
            notes: Vec::new(),
            deviations: BTreeSet::new(),
            proved: BTreeSet::new(),
            excused: BTreeSet::new(),
        })
    }

    /// Who holds a key, by metadata.
    fn who(&self, key: &str) -> String {
        let mut listed = self.keys.iter().chain(&self.witnesses);
        let owner = listed.find(|listed| fingerprint(listed).as_deref() == Some(key)).and_then(|key| key.owner());
        match owner {
            Some(owner) => format!("{} ({})", Named(owner), Printable(short(key))),
            None => Printable(short(key)).to_string(),
        }
    }

    fn files(&mut self) {
        if self.transcript.is_empty() {
            self.findings.push(Finding::NoTranscript);
        }
        for (file, problem) in &self.transcript.unreadable {
            self.findings.push(Finding::Unreadable { file: file.clone(), problem: problem.clone() });
        }
        if self.transcript.unread > 0 {
            self.findings.push(Finding::TooMany { unread: self.transcript.unread });
        }
        for (record, followed_by) in self.transcript.missing() {
            let (record, followed_by) = (record.to_owned(), followed_by.to_owned());
            self.findings.push(Finding::Missing { record, followed_by });
        }
    }

    /// Judges one record, and returns who signed it.
    fn record(
        &mut self,
        digest: &str,
        filed: &FiledRecord,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, CeremonyError> {
        let record = &filed.record;
        let repository = self.signed.digest().map(hex::encode);
        if let Some(problem) = self.event.foreign(record, repository.as_deref()) {
            self.findings.push(Finding::Foreign { record: digest.to_owned(), problem });
            return Ok(None);
        }
        let known = |pin: &String| self.signed.roots().any(|(_, root)| hex::encode(sha256(root)) == *pin);
        if record.pin.as_ref().is_some_and(|pin| !known(pin)) {
            let problem = "whoever made it trusts a root that is not here".to_owned();
            self.findings.push(Finding::Foreign { record: digest.to_owned(), problem });
        }
        if !self.payloads.contains_key(&record.payload_sha256) {
            let (record, payload) = (digest.to_owned(), record.payload_sha256.clone());
            self.findings.push(Finding::UnknownPayload { record, payload });
        }
        let signer = self.signature(digest, filed);
        if record.is(StepKind::Sign)
            && let (Some(key), Some(_)) = (&record.key, &signer)
        {
            let by_it = self.payloads.values().flat_map(|payload| &payload.valid).filter(|(_, of)| *of == key);
            let made: Vec<String> =
                by_it.map(|(made, _)| made.clone()).filter(|made| record.made.contains(made)).collect();
            self.proved.extend(made);
        }
        for signature in record.made.union(&record.present).filter(|named| !self.signatures.contains(*named)) {
            let (record, signature) = (digest.to_owned(), signature.clone());
            self.findings.push(Finding::SignatureGone { record, signature });
        }
        self.tallies(digest, record)?;
        if record.is(StepKind::Finish) {
            self.finished(digest, record);
        }
        self.time(digest, record, now);
        if record.kind().is_none() {
            let kind = Printable(&record.kind);
            self.notes.push(format!("the record {} is of a kind that is not known here: {kind}", short(digest)));
        }
        for deviation in &record.deviations {
            self.deviation(record, deviation);
        }
        Ok(signer)
    }

    fn signature(&mut self, digest: &str, filed: &FiledRecord) -> Option<String> {
        let record = &filed.record;
        let witness = record.is(StepKind::Witness);
        let mut by = None;
        for signature in &filed.signatures {
            let keys = if witness { &self.witnesses } else { &self.keys };
            match filed.standing(signature, keys.iter()) {
                RecordStanding::Valid if record.key.as_ref() == Some(&signature.key) => {
                    by = Some(self.who(&signature.key));
                }
                RecordStanding::Unknown if record.key.as_ref() == Some(&signature.key) => {
                    let as_what = if witness { "witness" } else { "sign" };
                    let problem = format!("it is signed by a key that may not {as_what}");
                    self.findings.push(Finding::Foreign { record: digest.to_owned(), problem });
                    return None;
                }
                _ => {
                    let (record, key) = (digest.to_owned(), signature.key.clone());
                    self.findings.push(Finding::BadSignature { record, key });
                }
            }
        }
        let must = witness || record.is(StepKind::Sign);
        let excused = record.deviations.iter().any(|deviation| deviation.kind == Deviation::NO_RECORD_SIGNATURE);
        if must && filed.signatures.is_empty() && (witness || !excused) {
            self.findings.push(Finding::Unsigned { record: digest.to_owned() });
        }
        by
    }

    fn tallies(&mut self, digest: &str, record: &Record) -> Result<(), CeremonyError> {
        let Some(payload) = self.payloads.get(&record.payload_sha256) else { return Ok(()) };
        for said in &record.tallies {
            let place = (record.payload_sha256.clone(), said.under.clone(), record.present.clone());
            let found = match self.counted.get(&place) {
                Some(found) => found.clone(),
                None => {
                    let found = payload.count(&said.under, &record.present)?;
                    self.counted.insert(place, found.clone());
                    found
                }
            };
            if found.as_ref() != Some(said) {
                self.findings.push(Finding::OtherTally {
                    record: digest.to_owned(),
                    under: said.under.clone(),
                    said: said.counted,
                    found: found.map(|found| found.counted),
                });
            }
        }
        Ok(())
    }

    fn finished(&mut self, digest: &str, record: &Record) {
        let file = self.event.file_name();
        let there =
            self.signed.bytes(&self.event.role, self.event.version).map(|bytes| hex::encode(sha256(&bytes))).ok();
        let said = record.outputs.iter().find(|output| output.name == file).map(|output| &output.sha256);
        if said != there.as_ref() {
            self.findings.push(Finding::OtherDocument { record: digest.to_owned(), file });
        }
    }

    fn time(&mut self, digest: &str, record: &Record, now: DateTime<Utc>) {
        let Some(time) = record.time() else {
            self.notes.push(format!("the time of the record {} cannot be read", short(digest)));
            return;
        };
        if time > now {
            self.notes.push(format!(
                "the record {} is of {}, which is yet to come",
                short(digest),
                Printable(&record.at)
            ));
        }
        for before in &record.follows {
            let earlier = self.transcript.records.get(before).and_then(|filed| Some((filed, filed.record.time()?)));
            if let Some((filed, earlier)) = earlier
                && time < earlier
            {
                self.notes.push(format!(
                    "a clock was wrong: the record {} is of {}, and follows {} of {}",
                    short(digest),
                    Printable(&record.at),
                    short(before),
                    Printable(&filed.record.at)
                ));
            }
        }
    }

    fn deviation(&mut self, record: &Record, deviation: &Deviation) {
        let Deviation { kind, value } = deviation;
        let at = Printable(&record.at);
        let text = match kind.as_str() {
            Deviation::LOST => format!("{at}: {} did not sign with the outgoing key: lost or stolen", Printable(value)),
            Deviation::ACCEPT_SIBLING => {
                format!("{at}: accepted that another payload has been signed: {}", Printable(value))
            }
            Deviation::NO_RECORD_SIGNATURE | Deviation::NO_RECORD => {
                self.excused.insert(value.clone());
                let what =
                    if kind == Deviation::NO_RECORD { "came without a record" } else { "did not sign its record" };
                format!("{at}: the signer {} {what}", self.who(value))
            }
            Deviation::WITHOUT_WITNESS => format!("{at}: published without a witness: {}", Printable(value)),
            _ => format!("{at}: {}: {}", Printable(kind), Printable(value)),
        };
        self.deviations.insert(text);
    }

    /// What the ledger holds, and no record tells of.
    fn untold(&mut self, status: &Status) {
        if self.transcript.is_empty() {
            return;
        }
        let own = hex::encode(self.event.digest());
        let told = |kind| {
            let mut records = self.transcript.of_kind(kind);
            records.any(|filed| filed.record.payload_sha256 == own)
        };
        let mut untold = Vec::new();
        if !told(StepKind::Propose) {
            untold.push(format!("who proposed the payload {own}"));
        }
        if self.event.withdrawal().is_some() && !told(StepKind::Withdraw) {
            untold.push(format!("the withdrawal of the payload {own}"));
        }
        if status.state == EventState::Finished && !told(StepKind::Finish) {
            untold.push("its finish".to_owned());
        }
        let named = self.transcript.signatures();
        for (payload, ledger) in &self.payloads {
            let mut silent = BTreeSet::new();
            for (signature, key) in &ledger.valid {
                if !named.contains(signature.as_str()) {
                    untold.push(format!("the signature of {} over the payload {payload}", self.who(key)));
                } else if !self.proved.contains(signature) && !self.excused.contains(key) {
                    silent.insert(key);
                }
            }
            for key in silent {
                self.findings.push(Finding::Silent { who: self.who(key), payload: payload.clone() });
            }
        }
        self.findings.extend(untold.into_iter().map(|what| Finding::Untold { what }));
        for (event, problem) in &status.unreadable_events {
            self.notes.push(format!("the event {event} cannot be read: {}", Printable(problem)));
        }
    }
}

impl Payload {
    /// Counts these signatures by the rules of one delegator.
    fn count(&self, under: &str, present: &BTreeSet<String>) -> Result<Option<RecordedTally>, CeremonyError> {
        let Some(index) = self.delegators.iter().position(|delegator| delegator.by == under) else { return Ok(None) };
        let mut event = self.event.clone();
        event.signatures.retain(|filed| present.contains(&filed.digest()));
        let counts = event.counts_under(&self.delegators[index..=index])?;
        Ok(recorded(&counts).pop())
    }
}
