//! Makes the record of each step, after the step itself has been written.
//!
//! A command that was killed in between finds the step done and its record missing when it is run again, and writes it
//! then; a record that is there already is not written twice.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::graph::RECORDS;
use super::signature::{fingerprint, signed_bytes};
use super::{
    Deviation, FiledRecord, NamedDigest, Record, RecordSignature, RecordedFamily, RecordedTally, StepKind, TYPE,
    Transcript, at_most, clipped, in_words,
};
use crate::ceremony::status::Under;
use crate::ceremony::{AcceptedRisks, CeremonyError, FiledSignature, Response, SigningEvent};
use crate::crypto::sha256;
use crate::metadata::{KeyId, PublicKey, RoleName};
use crate::repository::SignedState;
use crate::signers::Signer;

/// Under which circumstances a step was done, as the command's edge knows them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Circumstances {
    /// When.
    pub at: DateTime<Utc>,
    /// Where that time comes from: `clock` or `stated`.
    pub time_source: &'static str,
    /// The program with its version.
    pub tool: String,
    /// The SHA-256 of the program, where it could be read.
    pub tool_sha256: Option<[u8; 32]>,
    /// The SHA-256 of the root that whoever does it trusts.
    pub pin: Option<[u8; 32]>,
    /// What was read.
    pub inputs: Vec<NamedDigest>,
    /// What was written, beside signatures.
    pub outputs: Vec<NamedDigest>,
    /// What was shown as worth knowing.
    pub warnings: Vec<String>,
    /// Other payloads of the same version that somebody has signed.
    pub siblings: Vec<String>,
}

impl Circumstances {
    /// At this time, with this program.
    pub fn new(at: DateTime<Utc>, time_source: &'static str, tool: &str, tool_sha256: Option<[u8; 32]>) -> Self {
        Self {
            at,
            time_source,
            tool: tool.to_owned(),
            tool_sha256,
            pin: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            warnings: Vec::new(),
            siblings: Vec::new(),
        }
    }
}

/// Whether a signer's key signs the record too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it does or it does not")]
pub enum RecordSignatures {
    /// It does: a device is asked a second time.
    Made,
    /// It does not, since the device signs nothing but metadata. The transcript names that.
    LeftOut,
}

/// What a step was, beside its circumstances.
#[derive(Default)]
struct Step {
    made: BTreeSet<String>,
    deviations: Vec<Deviation>,
    abandons: BTreeSet<String>,
    reason: Option<String>,
    key: Option<(String, Option<String>)>,
}

impl Step {
    /// What somebody did with a key, named by those who list it.
    fn by(listed: &[(KeyId, PublicKey)], own: &str, made: BTreeSet<String>) -> Step {
        let mut entries = listed.iter().filter(|(_, key)| fingerprint(key).as_deref() == Some(own));
        let owner = entries.find_map(|(_, key)| key.owner().map(clipped));
        Step { made, key: Some((own.to_owned(), owner)), ..Step::default() }
    }
}

impl SigningEvent {
    /// Records that this payload was proposed, and that those before it no longer are.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub fn record_proposed(&self, signed: &SignedState, with: &Circumstances) -> Result<(), CeremonyError> {
        let transcript = self.transcript()?;
        let own = hex::encode(self.digest());
        let other = self.every_payload().map(|payload| hex::encode(payload.digest())).filter(|digest| *digest != own);
        let mut abandons: BTreeSet<String> = other.collect();
        let mut newest = None;
        // What was abandoned once may have been proposed again since.
        for (_, filed) in transcript.in_order().into_iter().filter(|(_, filed)| filed.record.is(StepKind::Propose)) {
            let payload = &filed.record.payload_sha256;
            abandons.retain(|digest| !filed.record.abandons.contains(digest));
            if *payload != own {
                abandons.insert(payload.clone());
            }
            newest = Some(payload);
        }
        if abandons.is_empty() && newest == Some(&own) {
            return Ok(());
        }
        let mut with = with.clone();
        // Answers to invitations, and vouchers' words, about keys that it lists.
        let introduced = self.introductions.files();
        let named = |(digest, file): (&String, &Vec<u8>)| NamedDigest::of(&format!("introductions/{digest}"), file);
        with.inputs.extend(introduced.iter().map(named));
        let record = self.draft(StepKind::Propose, signed, &transcript, &with, Step { abandons, ..Step::default() })?;
        self.file_record(&FiledRecord::new(record, Vec::new())).map(drop)
    }

    /// Signs as [`SigningEvent::sign`] does, and records who signed, how, and what they saw. Nothing is written before the
    /// key has made both signatures.
    ///
    /// # Errors
    /// When the key may not sign this role, or cannot; or a file cannot be written.
    pub fn sign_recorded(
        &mut self,
        signed: &SignedState,
        key: &dyn Signer,
        signatures: RecordSignatures,
        with: &Circumstances,
    ) -> Result<Vec<std::path::PathBuf>, CeremonyError> {
        let made = self.to_file(signed, key)?;
        let transcript = self.transcript()?;
        let digests: BTreeSet<String> = made.iter().map(FiledSignature::digest).collect();
        let mut after = self.clone();
        after.signatures.extend(made.iter().filter(|made| !self.signatures.contains(made)).cloned());
        let listed = self.signing_keys(signed)?;
        let own = hex::encode(sha256(key.canonical_spki()));
        let keys: Vec<PublicKey> = listed.iter().map(|(_, key)| key.clone()).collect();
        let there = transcript.of_kind(StepKind::Sign).any(|filed| {
            let by_us = filed.is_signed_by(&own, &keys);
            filed.record.made == digests && (by_us || signatures == RecordSignatures::LeftOut)
        });
        let record = if there {
            None
        } else {
            let record = after.draft(StepKind::Sign, signed, &transcript, with, Step::by(&listed, &own, digests))?;
            Some(self.signed_record(record, key, &listed, signatures)?)
        };
        let files = made.into_iter().map(|filed| self.file(filed)).collect::<Result<_, _>>()?;
        if let Some(record) = record {
            self.file_record(&record)?;
        }
        Ok(files)
    }

    /// Signs as [`SigningEvent::respond`] does; the response carries the record of it.
    ///
    /// # Errors
    /// As [`SigningEvent::sign_recorded`].
    pub fn respond_recorded(
        &self,
        signed: &SignedState,
        key: &dyn Signer,
        signatures: RecordSignatures,
        follows: &BTreeSet<String>,
        with: &Circumstances,
    ) -> Result<Response, CeremonyError> {
        let mut response = self.respond(signed, key)?;
        let listed = self.signing_keys(signed)?;
        let own = hex::encode(sha256(key.canonical_spki()));
        let (payload_sha256, sig) = (response.payload_sha256.clone(), response.sig.clone());
        let filed = |keyid: &KeyId| {
            let (payload_sha256, sig) = (payload_sha256.clone(), sig.clone());
            FiledSignature { payload_sha256, keyid: keyid.as_str().to_owned(), sig }.digest()
        };
        let keyids = self.keyids_of(signed, &sha256(key.canonical_spki()))?;
        let made: BTreeSet<String> = keyids.iter().map(filed).collect();
        let mut record =
            self.draft(StepKind::Sign, signed, &Transcript::default(), with, Step::by(&listed, &own, made))?;
        record.follows.clone_from(follows);
        // What others have signed meanwhile is not known here.
        record.present.clear();
        record.tallies.clear();
        response.set_record(&self.signed_record(record, key, &listed, signatures)?);
        Ok(response)
    }

    /// Records what [`SigningEvent::collect`] took in. `before` are the digests of the signatures that lay here before.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub fn record_collected(
        &self,
        signed: &SignedState,
        before: &BTreeSet<String>,
        with: &Circumstances,
    ) -> Result<(), CeremonyError> {
        let transcript = self.transcript()?;
        let recorded = transcript.signatures();
        let new = |filed: &&FiledSignature| {
            let digest = filed.digest();
            !before.contains(&digest) || !recorded.contains(digest.as_str())
        };
        let of_this_version: BTreeSet<String> =
            self.every_payload().map(|payload| hex::encode(payload.digest())).collect();
        let new: Vec<&FiledSignature> = self
            .signatures
            .iter()
            .filter(|filed| of_this_version.contains(&filed.payload_sha256))
            .filter(new)
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let signed_for: BTreeSet<&String> =
            transcript.of_kind(StepKind::Sign).flat_map(|filed| &filed.record.made).collect();
        let listed = self.signing_keys(signed)?;
        let name = |keyid: &str| {
            let key = listed.iter().find(|(listed, _)| listed.as_str() == keyid);
            key.and_then(|(_, key)| fingerprint(key)).unwrap_or_else(|| keyid.to_owned())
        };
        let without = new.iter().filter(|filed| !signed_for.contains(&filed.digest()));
        let without: BTreeSet<String> = without.map(|filed| name(&filed.keyid)).collect();
        let deviations = without.iter().map(|key| Deviation::new(Deviation::NO_RECORD, key)).collect();
        let made = new.iter().map(|filed| filed.digest()).collect();
        let step = Step { made, deviations, ..Step::default() };
        let record = self.draft(StepKind::Collect, signed, &transcript, with, step)?;
        self.file_record(&FiledRecord::new(record, Vec::new())).map(drop)
    }

    /// Records that this payload was withdrawn.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub fn record_withdrawn(&self, signed: &SignedState, with: &Circumstances) -> Result<(), CeremonyError> {
        let own = hex::encode(self.digest());
        let step = Step {
            abandons: BTreeSet::from([own]),
            reason: self.withdrawal().map(|withdrawal| withdrawal.reason.clone()),
            ..Step::default()
        };
        self.record_once(StepKind::Withdraw, signed, with, step)
    }

    /// Records that the document lies among what is signed, and what was accepted for that.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub fn record_finished(
        &self,
        signed: &SignedState,
        accepted: &AcceptedRisks,
        with: &Circumstances,
    ) -> Result<(), CeremonyError> {
        self.record_once(StepKind::Finish, signed, with, Step { deviations: deviations(accepted), ..Step::default() })
    }

    /// Records where the document was published: a record for each place. An event that was held without records gets none:
    /// it would not become a transcript by that.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub fn record_published(
        &self,
        signed: &SignedState,
        accepted: &AcceptedRisks,
        with: &Circumstances,
    ) -> Result<(), CeremonyError> {
        if self.transcript()?.is_empty() {
            return Ok(());
        }
        self.record_once(StepKind::Publish, signed, with, Step { deviations: deviations(accepted), ..Step::default() })
    }

    /// Records that a step was begun and not done.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub fn record_aborted(&self, signed: &SignedState, why: &str, with: &Circumstances) -> Result<(), CeremonyError> {
        let step = Step { reason: Some(clipped(why)), ..Step::default() };
        let record = self.draft(StepKind::Abort, signed, &self.transcript()?, with, step)?;
        self.file_record(&FiledRecord::new(record, Vec::new())).map(drop)
    }

    /// Signs the ends of the transcript as a witness, and with them everything that they follow. The caller has shown the
    /// [`super::Replay`] and had it confirmed. Returns the file.
    ///
    /// # Errors
    /// When this event asks for no such witness, or the key cannot sign or is a real one in a rehearsal.
    pub fn witness(
        &self,
        signed: &SignedState,
        key: &dyn Signer,
        with: &Circumstances,
    ) -> Result<std::path::PathBuf, CeremonyError> {
        // A witness may witness other repositories: a record says of which it is, and is no metadata.
        if self.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.refuses(key.canonical_spki())) {
            return Err(CeremonyError::RealKey);
        }
        let asked = self.witnesses_asked(signed)?;
        let listed: Vec<(KeyId, PublicKey)> = asked.into_iter().flat_map(|asked| asked.keys).map(named).collect();
        let own = hex::encode(sha256(key.canonical_spki()));
        if !listed.iter().any(|(_, key)| fingerprint(key).as_ref() == Some(&own)) {
            return Err(CeremonyError::NotAWitness { role: self.role.clone() });
        }
        let transcript = self.transcript()?;
        let step = Step::by(&listed, &own, BTreeSet::new());
        let record = self.draft(StepKind::Witness, signed, &transcript, with, step)?;
        let filed = self.signed_record(record, key, &listed, RecordSignatures::Made)?;
        let digest = self.file_record(&filed)?;
        Ok(self.directory().unwrap_or(Path::new("")).join(RECORDS).join(format!("{digest}.json")))
    }

    /// Takes in the record of somebody else, if it is one of this event. Whether it is signed, and by whom, the replay
    /// says.
    ///
    /// # Errors
    /// In words, when it is of something else; or when it cannot be written.
    pub(in crate::ceremony) fn take_record(&self, filed: &FiledRecord) -> Result<Result<(), String>, CeremonyError> {
        if let Some(problem) = self.foreign(&filed.record, None) {
            return Ok(Err(problem));
        }
        self.file_record(filed)?;
        Ok(Ok(()))
    }

    /// Why a record is not one of this event; `repository` is the digest of the first root, where it is known.
    pub(super) fn foreign(&self, record: &Record, repository: Option<&str>) -> Option<String> {
        if record.event != self.name.as_str() {
            return Some("it is of another event".to_owned());
        }
        if record.role != clipped(self.role.as_str()) {
            return Some("it is about another role".to_owned());
        }
        if record.rehearsal != self.rehearsal.is_some() {
            let what = if record.rehearsal { "it is of a rehearsal" } else { "it is not of a rehearsal" };
            return Some(what.to_owned());
        }
        // The event that makes the first root is of no repository yet.
        let first = self.role == RoleName::Root && self.version.get() == 1;
        let other = record.repository.as_deref() != repository;
        (repository.is_some() && !first && other).then(|| "it is of another repository".to_owned())
    }

    fn record_once(
        &self,
        kind: StepKind,
        signed: &SignedState,
        with: &Circumstances,
        step: Step,
    ) -> Result<(), CeremonyError> {
        let transcript = self.transcript()?;
        let record = self.draft(kind, signed, &transcript, with, step)?;
        let same = |filed: &FiledRecord| {
            filed.record.payload_sha256 == record.payload_sha256 && filed.record.outputs == record.outputs
        };
        if transcript.of_kind(kind).any(same) {
            return Ok(());
        }
        self.file_record(&FiledRecord::new(record, Vec::new())).map(drop)
    }

    /// The keys that may sign this event, as their delegators list them.
    fn signing_keys(&self, signed: &SignedState) -> Result<Vec<(KeyId, PublicKey)>, CeremonyError> {
        let delegators = self.delegators(signed)?;
        let listed = delegators.iter().flat_map(|delegator| delegator.listed(&self.role));
        Ok(listed.map(|(keyid, key)| (keyid.clone(), key.clone())).collect())
    }

    fn signed_record(
        &self,
        mut record: Record,
        key: &dyn Signer,
        listed: &[(KeyId, PublicKey)],
        signatures: RecordSignatures,
    ) -> Result<FiledRecord, CeremonyError> {
        let own = hex::encode(sha256(key.canonical_spki()));
        if signatures == RecordSignatures::LeftOut {
            record.deviations.push(Deviation::new(Deviation::NO_RECORD_SIGNATURE, &own));
            return Ok(FiledRecord::new(record, Vec::new()));
        }
        let message = signed_bytes(&record.canonical());
        let entries = listed.iter().map(|(keyid, key)| (keyid, key));
        let made = key.sign_as_listed(&self.role, self.version, &message, entries)?;
        // By each way of signing that the key is listed with; one is enough.
        let made = made.into_values().next().ok_or_else(|| CeremonyError::NotASigner { role: self.role.clone() })?;
        Ok(FiledRecord::new(record, vec![RecordSignature { key: own, sig: hex::encode(made) }]))
    }

    fn draft(
        &self,
        kind: StepKind,
        signed: &SignedState,
        transcript: &Transcript,
        with: &Circumstances,
        step: Step,
    ) -> Result<Record, CeremonyError> {
        let delegators = self.delegators_then(signed)?;
        let counts = self.counts_under(&delegators)?;
        let first = self.role == RoleName::Root && self.version.get() == 1;
        let (key, owner) = step.key.map_or((None, None), |(key, owner)| (Some(key), owner));
        let warnings = with.warnings.iter().map(|warning| clipped(warning));
        Ok(Record {
            document_type: TYPE.to_owned(),
            kind: kind.name().to_owned(),
            event: self.name.as_str().to_owned(),
            role: clipped(self.role.as_str()),
            version: self.version.get(),
            repository: signed.digest().filter(|_| !first).map(hex::encode),
            rehearsal: self.rehearsal.is_some(),
            payload_sha256: hex::encode(self.digest()),
            follows: transcript.to_follow(),
            at: in_words(with.at),
            time_source: with.time_source.to_owned(),
            tool: clipped(&with.tool),
            tool_sha256: with.tool_sha256.map(hex::encode),
            pin: with.pin.map(hex::encode),
            key,
            owner,
            made: step.made,
            present: self.counted(&delegators, &counts)?,
            tallies: recorded(&counts),
            siblings: at_most(with.siblings.iter().map(|digest| clipped(digest))).into_iter().collect(),
            inputs: at_most(with.inputs.iter().cloned()),
            outputs: at_most(with.outputs.iter().cloned()),
            warnings: at_most(warnings),
            deviations: at_most(step.deviations),
            abandons: at_most(step.abandons).into_iter().collect(),
            reason: step.reason.map(|reason| clipped(&reason)),
        })
    }
}

impl Transcript {
    /// The signatures that any record names.
    pub(super) fn signatures(&self) -> BTreeSet<&str> {
        let records = self.records.values().map(|filed| &filed.record);
        records.flat_map(|record| record.made.iter().chain(&record.present)).map(String::as_str).collect()
    }
}

/// Counts as a record has them.
pub(super) fn recorded(counts: &[Under]) -> Vec<RecordedTally> {
    let of = |under: &Under| RecordedTally {
        under: under.by.clone(),
        needed: under.tally.needed,
        counted: under.tally.counted,
        families: under
            .families
            .iter()
            .map(|count| RecordedFamily {
                family: count.family.name().to_owned(),
                needed: count.needed,
                counted: count.counted,
            })
            .collect(),
    };
    counts.iter().map(of).collect()
}

fn deviations(accepted: &AcceptedRisks) -> Vec<Deviation> {
    let lost = accepted.lost.iter().map(|person| Deviation::new(Deviation::LOST, person));
    let siblings = accepted.siblings.iter().map(|digest| Deviation::new(Deviation::ACCEPT_SIBLING, digest));
    let alone = accepted.without_witness.iter().map(|reason| Deviation::new(Deviation::WITHOUT_WITNESS, reason));
    lost.chain(siblings).chain(alone).collect()
}

/// A witness's key under a name of its own: root lists it under none.
fn named(key: PublicKey) -> (KeyId, PublicKey) {
    (key.keyid(), key)
}
