//! Which repository each key of this machine signs for, so that it signs for no other by mistake or by somebody's design:
//! two repositories that share keys could exchange documents of matching versions.
//!
//! A register is a help and no proof: whoever can write to the home can change it. Where there is no home, or the register
//! cannot be written, signing goes on with a warning. One that cannot be read, or that lies in a home which cannot be
//! entered, is an error: it may hold a refusal.

use std::collections::{BTreeMap, BTreeSet};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use trustroot::client::{CacheMode, LocalCache, Store as _, read_bounded, write_private};
use trustroot::crypto::{VerifyingKey, sha256};
use trustroot::example_keys::example_key_name;
use trustroot::metadata::{Envelope, Root};
use trustroot::trust::LocalFile;

use crate::config::{TrustName, TrustStore};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path, warn};

const FILE: &str = "registered-keys.json";
/// Longest register that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// What a key signs for, by the SHA-256 of its canonical SubjectPublicKeyInfo in hexadecimal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Register {
    keys: BTreeMap<String, Entry>,
}

/// A field that is not known is an error: it could have been meant as a restriction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Entry {
    /// The repository with this first root, by its SHA-256.
    Repository(String),
    /// A repository whose first root is one of these payloads, by their SHA-256: it was not complete when the key signed it.
    FirstRoots(BTreeSet<String>),
    /// Any rehearsal, and nothing else.
    Rehearsals,
}

/// What is about to be signed.
pub(crate) struct Purpose {
    /// The SHA-256 of the repository's first root; `None` where that is what is signed.
    pub(crate) repository: Option<[u8; 32]>,
    /// The SHA-256 of what the first root's signatures are over, where there is one.
    pub(crate) first_root: Option<[u8; 32]>,
    /// The SHA-256 of the payload.
    pub(crate) payload: [u8; 32],
    pub(crate) rehearsal: bool,
    /// Of a first root: the signer says that another one, which the key signed before, was for the same repository.
    pub(crate) another_first_root: bool,
}

/// What the register has to say.
enum Answer {
    Known,
    /// To be written before the first signature.
    New(Entry),
    No(Report),
}

fn answer(entry: Option<&Entry>, purpose: &Purpose, key: &str) -> Answer {
    let told = |report: Report| report.fact("key", key).still("nothing was signed");
    let forget = format!("if that has ended for good: `trustroot key forget-repository {key}`");
    if purpose.rehearsal {
        return match entry {
            None => Answer::New(Entry::Rehearsals),
            Some(Entry::Rehearsals) => Answer::Known,
            Some(_) => Answer::No(
                told(Report::new(
                    Outcome::No,
                    "real-key",
                    "this is a rehearsal, and this key signs for a real repository",
                ))
                .hint("sign with the key that you have for rehearsals"),
            ),
        };
    }
    let elsewhere = |what: &str, digest: &str| {
        Answer::No(
            told(Report::new(Outcome::No, "registered-elsewhere", "this key signs for another repository"))
                .fact(what, digest)
                .hint("use a key for one repository only: two that share keys could be passed each other's documents")
                .hint(forget.clone()),
        )
    };
    let here = purpose.repository.map(hex::encode);
    match (entry, here) {
        (Some(Entry::Rehearsals), _) => Answer::No(
            told(Report::new(
                Outcome::No,
                "rehearsal-key",
                "this key was used in a rehearsal: it signs nothing that is meant",
            ))
            .hint("sign with your real key; a key of a rehearsal may have lain open")
            .hint(format!("if it has never lain open: `trustroot key forget-repository {key}`")),
        ),
        (None, Some(here)) => Answer::New(Entry::Repository(here)),
        (None, None) => Answer::New(Entry::FirstRoots(BTreeSet::from([hex::encode(purpose.payload)]))),
        (Some(Entry::Repository(known)), Some(here)) if *known == here => Answer::Known,
        (Some(Entry::Repository(known)), _) => elsewhere("first root", known),
        (Some(Entry::FirstRoots(payloads)), None) => {
            let mut all = payloads.clone();
            match (all.insert(hex::encode(purpose.payload)), purpose.another_first_root) {
                (false, _) => Answer::Known,
                (true, true) => Answer::New(Entry::FirstRoots(all)),
                (true, false) => Answer::No(
                    told(Report::new(
                        Outcome::No,
                        "another-first-root",
                        "this key has signed another first root before",
                    ))
                    .fact("first root's payload", payloads.iter().cloned().collect::<Vec<_>>().join(", "))
                    .hint("if that was for another repository, use a key for one repository only")
                    .hint("if it was an earlier proposal for this one: sign with `--another-first-root`"),
                ),
            }
        }
        (Some(Entry::FirstRoots(payloads)), Some(here)) => {
            match purpose.first_root.map(hex::encode).filter(|first| payloads.contains(first)) {
                Some(_) => Answer::New(Entry::Repository(here)),
                None => elsewhere("first root's payload", &payloads.iter().cloned().collect::<Vec<_>>().join(", ")),
            }
        }
    }
}

/// Checks that a key may sign this, as far as this machine knows, and notes that it does.
///
/// # Errors
/// When it signs for something else, or the register cannot be read as one.
pub(crate) fn register(session: &Session, canonical_spki: &[u8], purpose: &Purpose) -> Result<(), Report> {
    // Everybody has these keys: what they sign for says nothing.
    if example_key_name(canonical_spki).is_some() {
        return Ok(());
    }
    let unknown = |why: &str| {
        warn(&format!("this machine cannot keep in mind which repository this key signs for: {why}"));
        Ok(())
    };
    let Ok(store) = session.store() else { return unknown("there is no home directory") };
    if purpose.rehearsal
        && let Some(name) = pinned_with(&store, canonical_spki)
    {
        return Err(Report::new(
            Outcome::No,
            "real-key",
            format!("this is a rehearsal, and this key is one of the repository pinned as {name}"),
        )
        .still("nothing was signed")
        .hint("sign with the key that you have for rehearsals")
        .hint("whoever made this rehearsal should have known the key: ask them who did"));
    }
    let key = hex::encode(sha256(canonical_spki));
    let judge = |register: &Register| answer(register.keys.get(&key), purpose, &key);
    match judge(&read(&store)?) {
        Answer::Known => return Ok(()),
        Answer::No(report) => return Err(report),
        Answer::New(_) => {}
    }
    let _lock = match store.lock() {
        Ok(lock) => lock,
        Err(report) => return unknown(report.headline()),
    };
    // Another process may have been quicker.
    let mut register = read(&store)?;
    let entry = match judge(&register) {
        Answer::Known => return Ok(()),
        Answer::No(report) => return Err(report),
        Answer::New(entry) => entry,
    };
    register.keys.insert(key, entry);
    match write(&store, &register) {
        Ok(()) => Ok(()),
        Err(error) => unknown(&error.to_string()),
    }
}

/// Checks that a key may sign for this, as far as this machine knows, and notes nothing: nothing is signed for it yet.
///
/// # Errors
/// As [`register`].
pub(crate) fn check(session: &Session, canonical_spki: &[u8], purpose: &Purpose) -> Result<(), Report> {
    let Ok(store) = session.store() else { return Ok(()) };
    if example_key_name(canonical_spki).is_some() {
        return Ok(());
    }
    let key = hex::encode(sha256(canonical_spki));
    match answer(read(&store)?.keys.get(&key), purpose, &key) {
        Answer::No(report) => Err(report),
        _ => Ok(()),
    }
}

/// Forgets which repository a key signs for. Says what it was, in words; `None` where it is not known.
pub(crate) fn forget(store: &TrustStore, key: &[u8; 32]) -> Result<Option<String>, Report> {
    let key = hex::encode(key);
    if !read(store)?.keys.contains_key(&key) {
        return Ok(None);
    }
    let _lock = store.lock()?;
    let mut register = read(store)?;
    let Some(entry) = register.keys.remove(&key) else { return Ok(None) };
    write(store, &register).map_err(|error| Report::io(&error).still("nothing changed"))?;
    Ok(Some(match entry {
        Entry::Repository(digest) => format!("the repository with the first root {digest}"),
        Entry::FirstRoots(payloads) => {
            let payloads: Vec<String> = payloads.into_iter().collect();
            format!("a first root with the payload {}", payloads.join(" or "))
        }
        Entry::Rehearsals => "rehearsals".to_owned(),
    }))
}

fn read(store: &TrustStore) -> Result<Register, Report> {
    let path = store.home().join(FILE);
    let broken = |problem: String| {
        Report::new(Outcome::WrongQuestion, "configuration", problem)
            .fact("file", show_path(&path))
            .still("nothing was signed")
            .hint("put it right from a backup; if you remove it, this machine forgets which repository each key signs for")
    };
    match read_bounded(&path, LONGEST) {
        Ok(None) => Ok(Register::default()),
        Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(Register::default()),
        Err(error) => Err(broken(error.to_string())),
    }
}

fn write(store: &TrustStore, register: &Register) -> std::io::Result<()> {
    fs::create_dir_all(store.home())?;
    let mut text = serde_json::to_vec_pretty(register)?;
    text.push(b'\n');
    write_private(&store.home().join(FILE), &text)
}

/// The repository pinned here whose pinned or newest known root lists a key.
fn pinned_with(store: &TrustStore, canonical_spki: &[u8]) -> Option<TrustName> {
    let lists = |bytes: &[u8]| {
        let root = Envelope::parse(bytes).and_then(|envelope| envelope.unverified::<Root>());
        root.is_ok_and(|root| {
            let keys = root.keys.values().filter_map(|key| VerifyingKey::from_metadata(key).ok());
            keys.into_iter().any(|key| key.canonical_spki() == canonical_spki)
        })
    };
    store.names().unwrap_or_default().into_iter().find(|name| {
        let Ok(trust) = store.load(name) else { return false };
        let cache = LocalCache::new(trust.metadata_directory(), CacheMode::ReadOnly);
        let newest = cache.read(&LocalFile::Role(trustroot::metadata::RoleName::Root).into()).ok().flatten();
        lists(&trust.root) || newest.is_some_and(|bytes| lists(&bytes))
    })
}
