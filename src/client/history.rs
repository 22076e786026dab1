//! What this machine has had: versions of metadata and of documents of the builder map, and when each came.
//!
//! It answers "what changed since?" and nothing else. No verdict is based on it: whoever can write to the store can write
//! a history. What is shown from it is read again from documents that have the digest which was noted when TUF had
//! verified them; where one does not, it counts as gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::store::{Store, StoredFile};
use crate::crypto::sha256;
use crate::metadata::{HashAlgorithm, RoleName, Version};
use crate::trust::LocalFile;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Subject {
    /// The root.
    Root,
    /// Targets metadata, by the name of its role.
    Role(String),
    /// The catalog of the builder map.
    Catalog,
    /// The document of a builder, by its ID.
    Builder(String),
    /// The document of a verifier, by its ID.
    Verifier(String),
}

/// One version that this machine came to trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistoryEvent {
    /// The time of the update that brought it.
    pub at: DateTime<Utc>,
    /// When the repository had confirmed, last before that, what was trusted until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_before: Option<DateTime<Utc>>,
    /// What it is a version of.
    #[serde(flatten)]
    pub subject: Subject,
    /// The version of the metadata; of a document, that of the role that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The SHA-256 of its bytes, in hexadecimal. `None` where there are none, or too many to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How many bytes are kept.
    #[serde(default)]
    length: u64,
    /// In which file they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<u16>,
    /// Why there is no document any more: the code of the look-up's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
}

impl HistoryEvent {
    /// Whether both are about the same content.
    pub fn same_content(&self, other: &Self) -> bool {
        let content = |event: &Self| (event.sha256.clone(), event.gone.clone());
        content(self) == content(other)
            && (self.sha256.is_some() || self.gone.is_some() || self.version == other.version)
    }
}

/// A version that is to be noted.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) subject: Subject,
    pub(super) version: Option<Version>,
    pub(super) content: Content,
}

/// What there is of a version.
#[derive(Debug)]
pub(super) enum Content {
    /// Its bytes.
    Bytes(Arc<Vec<u8>>),
    /// Nothing any more: the look-up fails with this code.
    Gone(&'static str),
}

/// Everything that is noted of one repository, oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: Vec<HistoryEvent>,
}

impl History {
    /// Most versions of one subject.
    pub const MOST_VERSIONS: usize = 64;
    /// Most versions altogether.
    pub const MOST_EVENTS: usize = 2048;
    /// Most builders and verifiers that are looked up again; the newest event of each stays.
    pub(super) const MOST_LOOKED_UP: usize = 256;
    /// Longest document that is kept, in bytes; a longer one is noted by its version alone.
    pub const LONGEST_DOCUMENT: usize = 1 << 20;
    /// Most bytes of documents that are kept.
    pub const MOST_BYTES: u64 = 64 << 20;
    /// Longest journal, in bytes: a longer one is not read, and none is written.
    const LONGEST_JOURNAL: usize = 2 << 20;
    /// Longest name of a subject that is noted, in bytes.
    const LONGEST_NAME: usize = 2048;

    /// Reads what a store keeps. Lines that cannot be read, such as a torn last one, are passed over.
    ///
    /// # Errors
    /// When the journal is there but cannot be read.
    pub fn read(store: &dyn Store) -> io::Result<Self> {
        let journal = store.read(&StoredFile::Journal)?.filter(|bytes| bytes.len() <= Self::LONGEST_JOURNAL);
        let lines = journal.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n'));
        let mut history = Self { events: lines.filter_map(|line| serde_json::from_slice(line).ok()).collect() };
        history.events.retain(HistoryEvent::is_sound);
        history.drop_oldest();
        Ok(history)
    }

    /// The events, oldest first.
    pub fn events(&self) -> &[HistoryEvent] {
        &self.events
    }

    /// The newest event of each subject.
    pub fn newest(&self) -> BTreeMap<&Subject, &HistoryEvent> {
        self.events.iter().map(|event| (&event.subject, event)).collect()
    }

    /// The bytes of a version, where they are still kept and have the digest that was noted.
    ///
    /// # Errors
    /// When they are there but cannot be read.
    pub fn document(&self, store: &dyn Store, event: &HistoryEvent) -> io::Result<Option<Vec<u8>>> {
        let Some(digest) = &event.sha256 else { return Ok(None) };
        let file = match (event.slot, event.subject.metadata(event.version.and_then(Version::new))) {
            (Some(slot), _) => StoredFile::Superseded(slot),
            (None, Some(metadata)) => StoredFile::Metadata(metadata),
            (None, None) => return Ok(None),
        };
        Ok(store.read(&file)?.filter(|bytes| hex::encode(sha256(bytes)) == *digest))
    }

    /// Whether noting this would say something new.
    pub(super) fn is_news(&self, noted: &Noted) -> bool {
        let event = noted.event(DateTime::<Utc>::UNIX_EPOCH, None);
        // Of several roots, which come in order, some may have been noted before a crash.
        let is_known = |known: &&HistoryEvent| {
            known.subject == noted.subject && (noted.subject != Subject::Root || known.version == event.version)
        };
        let known = self.events.iter().rev().find(is_known);
        noted.subject.name().len() <= Self::LONGEST_NAME && known.is_none_or(|known| !known.same_content(&event))
    }

    /// Notes versions that are news, and writes documents and journal. Only the holder of the store's lock may.
    ///
    /// Documents of the builder map are kept at once. Metadata stands where metadata is kept, and is copied from there when
    /// something is to supersede it: so it is noted before it is written.
    ///
    /// If we crash before the journal is written, a document stands in a file that no line names, or that an old line
    /// names by another digest.
    pub(super) fn note(
        &mut self,
        store: &dyn Store,
        noted: Vec<Noted>,
        at: DateTime<Utc>,
        confirmed_before: Option<DateTime<Utc>>,
    ) -> io::Result<()> {
        let mut changed = false;
        for noted in noted {
            if !self.is_news(&noted) {
                continue;
            }
            changed = true;
            self.copy_superseded(store, &noted.subject)?;
            self.events.push(noted.event(at, confirmed_before));
            for slot in self.drop_oldest() {
                store.write(&StoredFile::Superseded(slot), b"")?;
            }
            if let (Content::Bytes(bytes), None) = (&noted.content, noted.subject.metadata(noted.version))
                && bytes.len() <= Self::LONGEST_DOCUMENT
            {
                let newest = self.events.len() - 1;
                self.keep(store, newest, bytes)?;
            }
        }
        if changed {
            let lines = self.events.iter().map(|event| serde_json::to_string(event).expect("events are plain data"));
            let journal: String = lines.map(|line| line + "\n").collect();
            store.write(&StoredFile::Journal, journal.as_bytes())?;
        }
        Ok(())
    }

    /// Copies the newest version of a role to where the next one does not overwrite it. Roots have a history of their own.
    fn copy_superseded(&mut self, store: &dyn Store, subject: &Subject) -> io::Result<()> {
        let is_newest = |event: &HistoryEvent| event.subject == *subject;
        let Some(newest) = self.events.iter().rposition(is_newest) else { return Ok(()) };
        let event = &self.events[newest];
        if event.slot.is_some() || *subject == Subject::Root {
            return Ok(());
        }
        match self.document(store, event)? {
            Some(bytes) => self.keep(store, newest, &bytes),
            None => Ok(()),
        }
    }

    fn keep(&mut self, store: &dyn Store, event: usize, bytes: &[u8]) -> io::Result<()> {
        let slot = self.free_slot();
        store.write(&StoredFile::Superseded(slot), bytes)?;
        self.events[event].slot = Some(slot);
        Ok(())
    }

    /// Drops what is beyond the limits, the oldest first, but never the newest event, nor the newest of the builders and
    /// verifiers that [`Self::looked_up`] names: they are what is asked about again, and a flood of other events must not
    /// make anybody deaf to them. Of those, at least the event stays; its bytes where they fit. Returns the files that it
    /// frees.
    fn drop_oldest(&mut self) -> Vec<u16> {
        let stays = self.newest_of_looked_up();
        let (mut events, mut journal) = stays
            .iter()
            .fold((0, 0), |(events, lines), event| (events + 1, lines + self.events[*event].longest_line()));
        let mut versions: BTreeMap<Subject, usize> = BTreeMap::new();
        let mut bytes = 0;
        let mut freed = Vec::new();
        let mut kept: Vec<HistoryEvent> = Vec::new();
        for (position, mut event) in std::mem::take(&mut self.events).into_iter().enumerate().rev() {
            let (stays, newest) = (stays.contains(&position), kept.is_empty());
            let versions = versions.entry(event.subject.clone()).or_default();
            let has_room = bytes + event.length <= Self::MOST_BYTES;
            let fits = has_room
                && *versions < Self::MOST_VERSIONS
                && events < Self::MOST_EVENTS
                && journal + event.longest_line() <= Self::LONGEST_JOURNAL;
            if !(newest || stays || fits) {
                freed.extend(event.slot);
                continue;
            }
            *versions += 1;
            if !stays {
                events += 1;
                journal += event.longest_line();
            }
            if newest || has_room {
                bytes += event.length;
            } else {
                freed.extend(event.slot.take());
                event.length = 0;
            }
            kept.push(event);
        }
        kept.reverse();
        self.events = kept;
        freed
    }

    /// The newest event of each builder and verifier that stays whatever else comes: of those that changed last, as many
    /// as are looked up again.
    fn newest_of_looked_up(&self) -> BTreeSet<usize> {
        let (mut subjects, mut stay, mut lines) = (BTreeSet::new(), BTreeSet::new(), 0);
        for (position, event) in self.events.iter().enumerate().rev() {
            if !matches!(event.subject, Subject::Builder(_) | Subject::Verifier(_)) || !subjects.insert(&event.subject)
            {
                continue;
            }
            // Half of the journal, so that there is room for others beside names of the longest.
            lines += event.longest_line();
            if stay.len() == Self::MOST_LOOKED_UP || lines > Self::LONGEST_JOURNAL / 2 {
                break;
            }
            stay.insert(position);
        }
        stay
    }

    /// The builders and verifiers that were looked up on this machine, those first that changed last; not more than are
    /// looked up again.
    pub(super) fn looked_up(&self) -> Vec<Subject> {
        let newest = self.newest_of_looked_up();
        newest.into_iter().rev().map(|position| self.events[position].subject.clone()).collect()
    }

    fn free_slot(&self) -> u16 {
        let taken: BTreeSet<u16> = self.events.iter().filter_map(|event| event.slot).collect();
        (0..=u16::MAX).find(|slot| !taken.contains(slot)).expect("there are fewer events than slots")
    }
}

impl Subject {
    /// Its name; empty where there is only one of its kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Root | Self::Catalog => "",
            Self::Role(name) | Self::Builder(name) | Self::Verifier(name) => name,
        }
    }
}

impl Subject {
    /// Where the store keeps its newest version, or this one of root, besides the history.
    fn metadata(&self, version: Option<Version>) -> Option<LocalFile> {
        match self {
            Self::Root => version.map(LocalFile::Root),
            Self::Role(name) if name == "targets" => Some(LocalFile::Role(RoleName::Targets)),
            Self::Role(name) => RoleName::delegated(name).map(LocalFile::Role),
            Self::Catalog | Self::Builder(_) | Self::Verifier(_) => None,
        }
    }
}

impl HistoryEvent {
    /// How long its line in the journal is at most, in bytes.
    fn longest_line(&self) -> usize {
        // Two times, a version, a digest, a length, a slot, a code, and what they are called.
        const ALL_BUT_THE_NAME: usize = 512;
        let escaped = |byte: u8| match byte {
            0..0x20 => 6,
            b'"' | b'\\' => 2,
            _ => 1,
        };
        ALL_BUT_THE_NAME + self.subject.name().bytes().map(escaped).sum::<usize>()
    }

    /// Whether it can be one of ours.
    fn is_sound(&self) -> bool {
        let code = |code: &String| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        self.subject.name().len() <= History::LONGEST_NAME
            && self.length <= History::LONGEST_DOCUMENT as u64
            && self.sha256.as_ref().is_none_or(|digest| HashAlgorithm::Sha256.is_digest(digest))
            && self.gone.as_ref().is_none_or(code)
    }
}

impl Noted {
    fn event(&self, at: DateTime<Utc>, confirmed_before: Option<DateTime<Utc>>) -> HistoryEvent {
        let (sha256, length, gone) = match &self.content {
            Content::Bytes(bytes) if bytes.len() <= History::LONGEST_DOCUMENT => {
                let length = if self.subject == Subject::Root { 0 } else { bytes.len() as u64 };
                (Some(hex::encode(sha256(bytes))), length, None)
            }
            Content::Bytes(_) => (None, 0, None),
            Content::Gone(code) => (None, 0, Some((*code).to_owned())),
        };
        let version = self.version.map(Version::get);
        let subject = self.subject.clone();
        HistoryEvent { at, confirmed_before, subject, version, sha256, length, slot: None, gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::MemoryStore;

    fn noted(name: &str, bytes: &[u8]) -> Noted {
        let version = Version::new(1);
        Noted { subject: Subject::Builder(name.to_owned()), version, content: Content::Bytes(Arc::new(bytes.to_vec())) }
    }

    fn time(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute)
    }

    fn note(store: &MemoryStore, minute: i64, news: Noted) {
        History::read(store).unwrap().note(store, vec![news], time(minute), None).unwrap();
    }

    #[test]
    fn every_version_is_kept_with_its_time() {
        let store = MemoryStore::default();
        for (minute, bytes) in [(1, b"one"), (2, b"two"), (3, b"two"), (4, b"one")] {
            note(&store, minute, noted("b", bytes));
        }
        let history = History::read(&store).unwrap();
        let all: Vec<_> = history
            .events()
            .iter()
            .map(|event| (event.at, history.document(&store, event).unwrap().unwrap()))
            .collect();
        assert_eq!(all, [(time(1), b"one".to_vec()), (time(2), b"two".to_vec()), (time(4), b"one".to_vec())]);
    }

    /// Names are what the repository says they are.
    #[test]
    fn a_flood_of_long_names_wipes_no_more_than_it_must() {
        let store = MemoryStore::default();
        for flood in 0..8 {
            let name = |index: i64| "\u{1}".repeat(History::LONGEST_NAME - 4) + &format!("{:04}", flood * 50 + index);
            let news = (0..50).map(|index| noted(&name(index), b"x")).collect();
            History::read(&store).unwrap().note(&store, news, time(flood), None).unwrap();
            let journal = store.read(&StoredFile::Journal).unwrap().unwrap();
            assert!(journal.len() <= History::LONGEST_JOURNAL, "{flood}: {}", journal.len());
            let kept = History::read(&store).unwrap();
            assert_eq!(kept.events().last().unwrap().subject.name(), name(49));
            assert!(kept.events().len() >= if flood < 3 { 50 } else { 150 }, "{flood}");
        }
    }

    /// Whoever may publish roles could otherwise make a machine forget whom to ask about, and so never hear of a revocation.
    #[test]
    fn a_flood_of_other_events_makes_nobody_forget_whom_to_look_up() {
        let store = MemoryStore::default();
        let builders = 0..History::MOST_LOOKED_UP;
        let name = |builder: usize| format!("https://builders.example/{builder}");
        let news = builders.clone().map(|builder| noted(&name(builder), &vec![1; 1 << 18])).collect();
        History::read(&store).unwrap().note(&store, news, time(0), None).unwrap();
        for flood in 0..3 {
            let role = |index: usize| Noted {
                subject: Subject::Role(format!("{flood}-{index}")),
                version: Version::new(1),
                content: Content::Bytes(Arc::new(vec![2; 1 << 20])),
            };
            let news = (0..History::MOST_EVENTS).map(role).collect();
            History::read(&store).unwrap().note(&store, news, time(1 + flood), None).unwrap();
        }
        let history = History::read(&store).unwrap();
        let mut known: Vec<String> = history.looked_up().iter().map(|subject| subject.name().to_owned()).collect();
        known.sort();
        let mut expected: Vec<String> = builders.map(name).collect();
        expected.sort();
        assert_eq!(known, expected);
        // All of it is still bounded, and a document that is gone is not news when it is seen again.
        assert!(history.events().len() <= History::MOST_EVENTS);
        assert!(history.events().iter().map(|event| event.length).sum::<u64>() <= History::MOST_BYTES);
        assert!(store.read(&StoredFile::Journal).unwrap().unwrap().len() <= History::LONGEST_JOURNAL);
        let slots: BTreeSet<u16> = history.events().iter().filter_map(|event| event.slot).collect();
        assert!(slots.len() <= 64, "{slots:?}");
        assert!(!history.is_news(&noted(&name(0), &vec![1; 1 << 18])));
        assert!(history.is_news(&noted(&name(0), b"revoked")));
        // One more takes the place of the one that changed longest ago.
        note(&store, 9, noted("another", b"x"));
        let looked_up = History::read(&store).unwrap().looked_up();
        assert_eq!((looked_up.len(), looked_up[0].name()), (History::MOST_LOOKED_UP, "another"));
        assert!(looked_up.iter().all(|subject| subject.name() != name(0)));
    }

    #[test]
    fn no_line_is_longer_than_was_counted_on() {
        let name = "\u{1}\"\\/\u{7f}\u{e9}".repeat(100);
        let mut event = noted(&name, b"x").event(DateTime::<Utc>::MAX_UTC, Some(DateTime::<Utc>::MIN_UTC));
        event.subject = Subject::Verifier(name);
        (event.version, event.length, event.slot) = (Some(u64::MAX), u64::MAX, Some(u16::MAX));
        event.gone = Some("x".repeat(64));
        assert!(serde_json::to_string(&event).unwrap().len() < event.longest_line());
    }

    #[test]
    fn the_oldest_versions_give_way_and_leave_no_bytes() {
        let store = MemoryStore::default();
        note(&store, 0, noted("other", b"stays"));
        for minute in 1..=70 {
            note(&store, minute, noted("b", format!("{minute}").as_bytes()));
        }
        let history = History::read(&store).unwrap();
        assert_eq!(history.events().len(), History::MOST_VERSIONS + 1);
        assert_eq!(history.events()[1].at, time(7));
        let slots: Vec<u16> = history.events().iter().filter_map(|event| event.slot).collect();
        assert!(slots.iter().all(|slot| usize::from(*slot) <= History::MOST_VERSIONS + 1), "{slots:?}");
        for event in history.events() {
            assert!(history.document(&store, event).unwrap().is_some());
        }
    }

    /// Notes a version of a role and then keeps it, as an update does.
    fn accept(store: &MemoryStore, minute: i64, version: u64, bytes: &[u8]) {
        let subject = Subject::Role("targets".to_owned());
        let content = Content::Bytes(Arc::new(bytes.to_vec()));
        note(store, minute, Noted { subject, version: Version::new(version), content });
        store.write(&StoredFile::Metadata(LocalFile::Role(RoleName::Targets)), bytes).unwrap();
    }

    #[test]
    fn metadata_is_copied_only_when_something_supersedes_it() {
        let store = MemoryStore::default();
        let versions = || {
            let history = History::read(&store).unwrap();
            let events = history.events().iter();
            events.map(|event| (event.slot, history.document(&store, event).unwrap())).collect::<Vec<_>>()
        };
        accept(&store, 1, 1, b"one");
        assert_eq!(versions(), [(None, Some(b"one".to_vec()))]);
        accept(&store, 2, 2, b"two");
        assert_eq!(versions(), [(Some(0), Some(b"one".to_vec())), (None, Some(b"two".to_vec()))]);
        // A crash before it is kept: noted once, and shown once it is there.
        let content = || Content::Bytes(Arc::new(b"three".to_vec()));
        let third =
            || Noted { subject: Subject::Role("targets".to_owned()), version: Version::new(3), content: content() };
        note(&store, 3, third());
        assert_eq!(versions()[1..], [(Some(1), Some(b"two".to_vec())), (None, None)]);
        note(&store, 4, third());
        assert_eq!(versions().len(), 3);
        accept(&store, 5, 3, b"three");
        assert_eq!(versions()[2], (None, Some(b"three".to_vec())));
    }

    #[test]
    fn bytes_are_bounded_altogether() {
        let store = MemoryStore::default();
        for number in 0..70_u8 {
            note(&store, 1, noted(&format!("b{number}"), &vec![number; History::LONGEST_DOCUMENT]));
        }
        let history = History::read(&store).unwrap();
        let kept = history.events().iter().filter(|event| history.document(&store, event).unwrap().is_some());
        assert_eq!((history.events().len(), kept.count()), (70, 64));
        assert_eq!((history.events()[5].slot, history.events()[5].length), (None, 0));
        assert_eq!(history.events()[6].length, 1 << 20);
        // One that is too long is noted, and not kept.
        note(&store, 2, noted("long", &vec![0; History::LONGEST_DOCUMENT + 1]));
        let history = History::read(&store).unwrap();
        let long = history.events().last().unwrap();
        assert_eq!((long.subject.name(), &long.sha256, long.slot), ("long", &None, None));
    }

    #[test]
    fn a_torn_journal_and_changed_documents_are_passed_over() {
        let store = MemoryStore::default();
        note(&store, 1, noted("a", b"one"));
        note(&store, 2, noted("b", b"two"));
        let mut journal = store.read(&StoredFile::Journal).unwrap().unwrap();
        journal.truncate(journal.len() - 5);
        store.write(&StoredFile::Journal, &journal).unwrap();
        store.write(&StoredFile::Superseded(0), b"forged").unwrap();
        let history = History::read(&store).unwrap();
        assert_eq!(history.events().len(), 1);
        assert_eq!(history.document(&store, &history.events()[0]).unwrap(), None);
    }
}
