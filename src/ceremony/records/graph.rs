//! The records of an event as they lie in its directory: which follows which, and what is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};

use super::{FiledRecord, LONGEST_RECORD, Record, StepKind};
use crate::ceremony::event::{json_names, read_here, write};
use crate::ceremony::{CeremonyError, SigningEvent};
use crate::metadata::HashAlgorithm;

/// Where in the directory of an event they lie.
pub(super) const RECORDS: &str = "records";
/// Most records of one event that are read.
const MOST_RECORDS: usize = 2000;
/// Most bytes of records of one event that are read.
const MOST_BYTES: u64 = 64 << 20;
/// Most records that one record follows: with more ends than that, somebody has filled the directory.
const MOST_FOLLOWED: usize = 256;

/// The records of an event. Nothing in them is verified but that each is named after its content.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Transcript {
    /// The records, by their digests.
    pub records: BTreeMap<String, FiledRecord>,
    /// Files that should be records and are not, with why.
    pub unreadable: Vec<(String, String)>,
    /// How many files were left unread, since there are too many.
    pub unread: usize,
}

impl Transcript {
    /// Reads the records in the directory of an event; none where it does not exist.
    pub(super) fn read(directory: &Path) -> Result<Self, CeremonyError> {
        let files = json_names(directory, RECORDS)?;
        let mut transcript = Self { unread: files.len().saturating_sub(MOST_RECORDS), ..Self::default() };
        let mut left = MOST_BYTES;
        for file in files.into_iter().take(MOST_RECORDS) {
            match read_record(directory, &file, left) {
                Ok((digest, record)) => {
                    left -= (record.bytes().len() as u64).min(left);
                    transcript.records.insert(digest, record);
                }
                Err(problem) => transcript.unreadable.push((file, problem)),
            }
        }
        Ok(transcript)
    }

    /// Whether nothing at all lies there.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.unreadable.is_empty() && self.unread == 0
    }

    /// The ends of the graph: records that no other one follows.
    pub fn tips(&self) -> BTreeSet<String> {
        let followed: BTreeSet<&String> = self.records.values().flat_map(|filed| &filed.record.follows).collect();
        self.records.keys().filter(|digest| !followed.contains(digest)).cloned().collect()
    }

    /// What a new record follows.
    pub(in crate::ceremony) fn to_follow(&self) -> BTreeSet<String> {
        self.tips().into_iter().take(MOST_FOLLOWED).collect()
    }

    /// Records that others follow and that are not here, each with one that follows it.
    pub(super) fn missing(&self) -> BTreeMap<&str, &str> {
        let edges =
            self.records.iter().flat_map(|(digest, filed)| filed.record.follows.iter().map(move |to| (to, digest)));
        edges.filter(|(to, _)| !self.records.contains_key(*to)).map(|(to, by)| (to.as_str(), by.as_str())).collect()
    }

    /// A record with all that it follows, as far as it is here.
    pub(super) fn with_what_it_follows(&self, digest: &str) -> BTreeSet<&str> {
        let (mut seen, mut left) = (BTreeSet::new(), vec![digest]);
        while let Some(next) = left.pop() {
            if let Some((digest, filed)) = self.records.get_key_value(next)
                && seen.insert(digest.as_str())
            {
                left.extend(filed.record.follows.iter().map(String::as_str));
            }
        }
        seen
    }

    /// The records so that each comes after those that it follows; beside that by the time that they give.
    pub(super) fn in_order(&self) -> Vec<(&str, &FiledRecord)> {
        let here =
            |filed: &FiledRecord| filed.record.follows.iter().filter(|to| self.records.contains_key(*to)).count();
        let mut waits: BTreeMap<&str, usize> =
            self.records.iter().map(|(digest, filed)| (digest.as_str(), here(filed))).collect();
        let mut followers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (digest, filed) in &self.records {
            for to in &filed.record.follows {
                followers.entry(to).or_default().push(digest);
            }
        }
        let place = |digest: &str| (self.records[digest].record.time(), digest.to_owned());
        let free = waits.iter().filter(|(_, waits)| **waits == 0);
        let mut ready: BTreeSet<_> = free.map(|(digest, _)| place(digest)).collect();
        let mut order = Vec::new();
        while let Some((_, next)) = ready.pop_first() {
            let (digest, filed) = self.records.get_key_value(&next).expect("it is among the records");
            order.push((digest.as_str(), filed));
            for follower in followers.get(digest.as_str()).into_iter().flatten() {
                let left = waits.entry(follower).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    ready.insert(place(follower));
                }
            }
        }
        order
    }

    /// The records of one kind.
    pub(super) fn of_kind(&self, kind: StepKind) -> impl Iterator<Item = &FiledRecord> {
        self.records.values().filter(move |filed| filed.record.is(kind))
    }
}

fn read_record(directory: &Path, file: &str, left: u64) -> Result<(String, FiledRecord), String> {
    let name = file
        .strip_suffix(".json")
        .filter(|name| HashAlgorithm::Sha256.is_digest(name))
        .ok_or("it is not named as records are")?;
    let read = read_here(directory, &format!("{RECORDS}/{file}"), LONGEST_RECORD.min(left));
    let bytes = read.map_err(|error| error.to_string())?.unwrap_or_default();
    let filed = FiledRecord::parse(&bytes)?;
    let digest = filed.digest();
    if digest == name { Ok((digest, filed)) } else { Err("it is not named after its content".to_owned()) }
}

impl SigningEvent {
    /// The records of what happened in this event; none where it lies nowhere, or was held without.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn transcript(&self) -> Result<Transcript, CeremonyError> {
        match self.directory() {
            Some(directory) => Transcript::read(directory),
            None => Ok(Transcript::default()),
        }
    }

    /// When each step was done that people came together for, as its record says: all but publishing, which may be done
    /// again much later.
    pub(in crate::ceremony) fn recorded_moments(&self) -> BTreeSet<DateTime<Utc>> {
        // A transcript that cannot be read tells nothing.
        let transcript = self.transcript().unwrap_or_default();
        let records = transcript.records.values().map(|filed| &filed.record);
        let steps = records.filter(|record| !record.is(StepKind::Publish) && self.foreign(record, None).is_none());
        steps.filter_map(Record::time).collect()
    }

    /// Files a record, and returns its digest. One that lies here is left as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn file_record(&self, filed: &FiledRecord) -> Result<String, CeremonyError> {
        let digest = filed.digest();
        if let Some(directory) = self.directory() {
            write(directory, &format!("{RECORDS}/{digest}.json"), filed.bytes())?;
        }
        Ok(digest)
    }
}
