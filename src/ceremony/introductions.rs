//! What a working copy keeps of those who were invited, and what a review says of it.
//!
//! ```text
//! invitations/erin/9f02a4….invitation.json
//! invitations/erin/9f02a4….answer.json
//! invitations/erin/9f02a4….77c1….vouch.json
//! ```
//!
//! Anybody may have written these files. A review verifies them again, against the keys that are signed for, and says as
//! a fact only what it has verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use fs_err as fs;

use super::diff::{Change, Mark};
use super::invitation::{Answer, Invitation, InvitationError, LONGEST, Vouch, invited_role};
use super::{CeremonyError, SigningEvent};
use crate::crypto::{VerifyingKey, sha256, spki_to_pem};
use crate::fs::{files_below, read_below, write_durably};
use crate::metadata::{DelegationRule, KeyId, Occasion, PublicKey, RoleKeys, RoleName, Root, Targets};
use crate::printable::Named;
use crate::repository::{RepositoryError, SignedState, WorkingCopy};
use crate::signers::Signer;

/// Where they lie.
const INVITATIONS: &str = "invitations";
/// Most files of invitations that are read.
const MOST_FILES: usize = 10_000;

/// Answers and vouchers' words, as files, by the SHA-256 of each in hexadecimal. Nothing is verified.
#[derive(Debug, Clone, Default)]
pub(super) struct Introductions(BTreeMap<String, Vec<u8>>);

impl Introductions {
    /// Those that lie in a working copy and are about keys with these fingerprints.
    pub(super) fn read(copy: &WorkingCopy, keys: &BTreeSet<String>) -> Result<Self, CeremonyError> {
        let directory = copy.directory().join(INVITATIONS);
        let files = files_below(copy.directory(), &directory)?;
        if files.len() > MOST_FILES {
            let problem = format!("holds more than the {MOST_FILES} files that are read: remove those of no use");
            return Err(RepositoryError::configuration(INVITATIONS, problem).into());
        }
        // One that is too long is none of ours.
        let read = files.iter().filter_map(|file| read_below(copy.directory(), file, LONGEST).ok().flatten());
        Ok(Self::of(read, keys))
    }

    /// Those among these files that are about keys with these fingerprints.
    pub(super) fn of(files: impl IntoIterator<Item = Vec<u8>>, keys: &BTreeSet<String>) -> Self {
        let mut answers = BTreeMap::new();
        let mut words = Vec::new();
        for file in files {
            let digest = hex::encode(sha256(&file));
            if let Some(word) = Vouch::parse(&file) {
                words.push((word, digest, file));
            } else if let Ok(answer) = Answer::parse(&file) {
                let key = answer.key().map(|key| hex::encode(sha256(key.canonical_spki())));
                if key.is_ok_and(|key| keys.contains(&key)) {
                    answers.insert(digest, file);
                }
            }
        }
        let about = words.into_iter().filter(|(word, ..)| answers.contains_key(&word.answer_sha256));
        let words: Vec<(String, Vec<u8>)> = about.map(|(_, digest, file)| (digest, file)).collect();
        answers.extend(words);
        Self(answers)
    }

    /// As files, by the SHA-256 of each.
    pub(super) fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.0
    }

    fn answers(&self) -> impl Iterator<Item = (&String, Answer)> {
        self.0.iter().filter_map(|(digest, file)| Some((digest, Answer::parse(file).ok()?)))
    }

    fn words_about(&self, answer: &str) -> impl Iterator<Item = Vouch> {
        self.0.values().filter_map(|file| Vouch::parse(file)).filter(move |word| word.answer_sha256 == answer)
    }
}

/// A key that a proposal lists: who is said to hold it, and the names of its roles.
struct Listed {
    owner: Option<String>,
    spki: Vec<u8>,
    roles: BTreeSet<String>,
}

impl SigningEvent {
    /// Says of every key that is new how it came here.
    pub(super) fn introduce(&self, signed: &SignedState, changes: &mut [Change]) -> Result<(), CeremonyError> {
        for listed in self.listed()?.values() {
            // By the key itself: text of the line is text of the proposal.
            let is_new = |change: &&mut Change| change.mark == Mark::Added && change.key.as_ref() == Some(&listed.spki);
            if let Some(line) = changes.iter_mut().find(is_new) {
                line.text.push_str(&self.said_of(signed, listed)?);
            }
        }
        Ok(())
    }

    /// The fingerprints of the keys that the proposal lists.
    pub(super) fn listed_fingerprints(&self) -> Result<BTreeSet<String>, CeremonyError> {
        Ok(self.listed()?.into_keys().collect())
    }

    /// The keys that the proposal lists, by fingerprint.
    fn listed(&self) -> Result<BTreeMap<String, Listed>, CeremonyError> {
        let mut all = BTreeMap::new();
        let mut add = |keys: &BTreeMap<KeyId, PublicKey>, of: &RoleKeys, role: &RoleName| {
            for listed in of.keyids.iter().filter_map(|keyid| keys.get(keyid)) {
                let Ok(key) = VerifyingKey::from_metadata(listed) else { continue };
                let spki = key.canonical_spki().to_vec();
                let entry = all.entry(hex::encode(sha256(&spki)));
                let (owner, roles) = (listed.owner().map(str::to_owned), BTreeSet::new());
                entry.or_insert(Listed { owner, spki, roles }).roles.insert(role.as_str().to_owned());
            }
        };
        if self.role == RoleName::Root {
            let root: Root = self.envelope.unverified()?;
            for role in [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp] {
                if let Some(of) = root.role(&role) {
                    add(&root.keys, of, &role);
                }
            }
        } else {
            let targets: Targets = self.envelope.unverified()?;
            if let Some(all) = &targets.delegations
                && let DelegationRule::Roles(roles) = &all.rule
            {
                for delegation in roles.iter() {
                    add(&all.keys, &delegation.keys, &delegation.role);
                }
            }
        }
        Ok(all)
    }

    /// How a key came here: as a fact only what has been verified.
    fn said_of(&self, signed: &SignedState, listed: &Listed) -> Result<String, CeremonyError> {
        let about = |answer: &Answer| answer.key().is_ok_and(|key| key.canonical_spki() == listed.spki);
        let mut why_not = None;
        for (digest, answer) in self.introductions.answers().filter(|(_, answer)| about(answer)) {
            let invitation = &answer.invitation;
            let problem = if answer.proved().is_err() {
                "the answer that lies here is not signed by it"
            } else if invitation.repository != signed.digest().map(hex::encode)
                || invitation.rehearsal != self.rehearsal.is_some()
            {
                "the answer that lies here is for another repository"
            } else if Some(&invitation.person) != listed.owner.as_ref() {
                "the answer that lies here is by somebody else"
            } else {
                let invited: BTreeSet<String> = invitation.roles.iter().cloned().collect();
                let beyond: Vec<String> =
                    listed.roles.difference(&invited).map(|role| Named(role).to_string()).collect();
                let mut said = "; proof of possession verified".to_owned();
                if !beyond.is_empty() {
                    let _ = write!(said, ", but NOT invited to {}", beyond.join(", "));
                }
                return Ok(said + &self.vouched(signed, digest, &invitation.person)?);
            };
            why_not.get_or_insert(problem);
        }
        Ok(why_not
            .map_or_else(|| "; NO proof of possession".to_owned(), |why| format!("; NO proof of possession: {why}")))
    }

    /// Who vouched, and whether they did.
    fn vouched(&self, signed: &SignedState, answer: &str, person: &str) -> Result<String, CeremonyError> {
        let mut said = BTreeSet::new();
        for word in self.introductions.words_about(answer).filter(|word| word.by != person) {
            let by = Named(&word.by);
            match self.keys_of(signed, &word.by)?.into_iter().find(|(_, spki)| word.is_signed_by(spki)) {
                Some((place, _)) => said.insert((0, format!("vouched for by {by}, signed with a key {place}"))),
                None if word.sig.is_none() => {
                    said.insert((1, format!("said to be vouched for by {by}, who did not sign that")))
                }
                None => {
                    said.insert((2, format!("vouched for in the name of {by} with a signature that is NOT theirs")))
                }
            };
        }
        if said.is_empty() {
            return Ok("; nobody vouched".to_owned());
        }
        let words: Vec<String> = said.into_iter().map(|(_, text)| text).collect();
        Ok(format!("; {}", words.join("; ")))
    }

    /// The keys that are signed for as somebody's, with where that is; those proposed here where nothing is signed yet.
    fn keys_of(&self, signed: &SignedState, person: &str) -> Result<Vec<(String, Vec<u8>)>, CeremonyError> {
        let Some(root) = signed.root() else {
            let listed = self.listed()?.into_values().filter(|listed| listed.owner.as_deref() == Some(person));
            return Ok(listed.map(|listed| ("that is proposed with it".to_owned(), listed.spki)).collect());
        };
        let of_root = root.keys.values().map(|key| (format!("of root {}", root.version), key));
        let targets = signed.targets().map(|targets| &targets.document);
        let of_targets = targets.into_iter().flat_map(|targets| {
            let keys = targets.delegations.iter().flat_map(|delegations| delegations.keys.values());
            keys.map(|key| (format!("of targets {}", targets.version), key))
        });
        let theirs = of_root.chain(of_targets).filter(|(_, key)| key.owner() == Some(person));
        let usable = |(place, key): (String, &PublicKey)| {
            Some((place, VerifyingKey::from_metadata(key).ok()?.canonical_spki().to_vec()))
        };
        Ok(theirs.filter_map(usable).collect())
    }
}

/// Somebody who has been let in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Admitted {
    /// Who.
    pub person: String,
    /// The roles that they are to sign.
    pub roles: Vec<String>,
    /// The SHA-256 of the key's canonical SubjectPublicKeyInfo, in hexadecimal.
    pub key: String,
    /// Who vouched; `None` where nobody holds a key yet.
    pub vouched_by: Option<String>,
    /// The files that were written, below the working copy.
    pub files: Vec<PathBuf>,
}

/// Invites somebody to sign roles, and keeps the invitation: an answer to any other is not taken.
///
/// # Errors
/// When there is somebody of that name or no such role, or whoever invites holds no key.
pub fn invite(
    copy: &WorkingCopy,
    signed: &SignedState,
    person: &str,
    roles: &[RoleName],
    (invited_by, text): (&str, Option<&str>),
    expires: DateTime<Utc>,
) -> Result<Invitation, CeremonyError> {
    for role in roles {
        copy.config().policy(role)?;
    }
    if copy.config().people.contains_key(person) {
        return Err(InvitationError::PersonThere { person: person.to_owned() }.into());
    }
    check_voucher(copy, invited_by, person)?;
    let of = (signed.digest(), copy.config().name.as_str(), copy.occasion());
    let invitation = Invitation::new(of, person, roles, invited_by, expires, text)?;
    let file = copy.free_of_links(file_of(copy, &invitation, "invitation"))?;
    fs::create_dir_all(file.parent().unwrap_or(copy.directory()))?;
    write_durably(&file, invitation.to_json().as_bytes())?;
    Ok(invitation)
}

/// Lets somebody in who has answered an invitation: files the answer, the voucher's word and the public key, and adds them to
/// `trustroot.toml`, in which all else stays as it was written. The same answer may be let in again.
///
/// # Errors
/// When the answer is not to an invitation of this working copy, is too old, does not prove what it should, or brings a key
/// that is taken; or when whoever is named cannot vouch. Nothing is written then.
pub fn admit(
    copy: &mut WorkingCopy,
    signed: &SignedState,
    file: &[u8],
    voucher: Option<(&str, Option<&dyn Signer>)>,
    now: DateTime<Utc>,
) -> Result<Admitted, CeremonyError> {
    let answer = Answer::parse(file)?;
    let invitation = &answer.invitation;
    let person = &invitation.person;
    let (offered, expected) = (&invitation.repository, signed.digest().map(hex::encode));
    if *offered != expected || invitation.rehearsal != (copy.occasion() == Occasion::Rehearsal) {
        let words = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "none".to_owned());
        return Err(CeremonyError::OtherRepository { offered: words(offered), expected: words(&expected) });
    }
    let issued = read_below(copy.directory(), &file_of(copy, invitation, "invitation"), LONGEST)?;
    if issued.and_then(|issued| Invitation::parse(&issued).ok()).as_ref() != Some(invitation) {
        return Err(InvitationError::NotInvited { person: person.clone() }.into());
    }
    let path = file_of(copy, invitation, "answer");
    let there = read_below(copy.directory(), &path, LONGEST)?;
    if there.as_ref().is_some_and(|there| there != file) {
        return Err(InvitationError::Answered { person: person.clone() }.into());
    }
    // What was let in once may be let in again, after an interruption for instance.
    if there.is_none() {
        invitation.check_expiry(now)?;
    }
    let key = answer.proved()?;
    let roles: Vec<RoleName> = invitation.roles.iter().filter_map(|role| invited_role(role)).collect();
    for role in &roles {
        copy.config().policy(role)?;
    }
    check_key(copy, signed, person, &key)?;
    let word = match voucher {
        Some((by, key)) => {
            check_voucher(copy, by, person)?;
            if let Some(key) = key {
                let theirs = copy.keys_of(by)?;
                if !theirs.iter().any(|held| held.key.canonical_spki() == key.canonical_spki()) {
                    return Err(not_a_voucher(by, person, "the key is none of theirs"));
                }
            }
            Some(Vouch::of(file, by, now, key)?)
        }
        None if copy.config().people.keys().all(|there| there == person) => None,
        None => return Err(not_a_voucher("nobody", person, "name a keyholder who vouches")),
    };
    let pem = spki_to_pem(key.canonical_spki())
        .map_err(|problem| RepositoryError::configuration("the answer", problem.to_string()))?;
    let public = format!("keys/{person}.pub");
    let with_person = copy.with_person(person, Path::new(&public), &roles)?;
    // Before anything is written.
    for place in [INVITATIONS, &public, crate::repository::CONFIG_FILE] {
        copy.below(place)?;
    }
    let mut files = Vec::new();
    let mut write = |path: PathBuf, bytes: &[u8]| {
        fs::create_dir_all(path.parent().unwrap_or(copy.directory()))?;
        write_durably(&path, bytes)?;
        files.push(path.strip_prefix(copy.directory()).map_or_else(|_| path.clone(), Path::to_owned));
        Ok::<_, CeremonyError>(())
    };
    write(path, file)?;
    if let Some(word) = &word {
        let text = word.to_json();
        let distinct = hex::encode(&sha256(text.as_bytes())[..8]);
        write(file_of(copy, invitation, &format!("{distinct}.vouch")), text.as_bytes())?;
    }
    write(copy.directory().join(&public), pem.as_bytes())?;
    // With this they are let in.
    copy.take_on(with_person)?;
    files.push(crate::repository::CONFIG_FILE.into());
    Ok(Admitted {
        person: person.clone(),
        roles: invitation.roles.clone(),
        key: hex::encode(sha256(key.canonical_spki())),
        vouched_by: word.map(|word| word.by),
        files,
    })
}

fn file_of(copy: &WorkingCopy, invitation: &Invitation, kind: &str) -> PathBuf {
    let name = format!("{}.{kind}.json", &invitation.nonce[..16]);
    copy.directory().join(INVITATIONS).join(&invitation.person).join(name)
}

fn not_a_voucher(by: &str, person: &str, problem: &'static str) -> CeremonyError {
    InvitationError::NotAVoucher { by: by.to_owned(), person: person.to_owned(), problem }.into()
}

/// Whoever invites or vouches holds a key; while nobody does, anybody may invite.
fn check_voucher(copy: &WorkingCopy, by: &str, person: &str) -> Result<(), CeremonyError> {
    let people = &copy.config().people;
    if by == person {
        return Err(not_a_voucher(by, person, "nobody vouches for themselves"));
    }
    if !people.is_empty() && !people.contains_key(by) {
        return Err(not_a_voucher(by, person, "they are not among the people of trustroot.toml"));
    }
    Ok(())
}

/// The key is nobody's, and one that may be let in here.
fn check_key(copy: &WorkingCopy, signed: &SignedState, person: &str, key: &VerifyingKey) -> Result<(), CeremonyError> {
    copy.check_let_in(person, key)?;
    let taken = |holder: &str| Err(InvitationError::KeyTaken { holder: holder.to_owned() }.into());
    for other in copy.config().people.keys() {
        let same = copy.keys_of(other)?.iter().any(|held| held.key.canonical_spki() == key.canonical_spki());
        if same && other != person {
            return taken(other);
        }
        if other == person && !same {
            return Err(InvitationError::PersonThere { person: person.to_owned() }.into());
        }
    }
    let delegations = signed.every_targets().filter_map(|targets| targets.document.delegations.as_ref());
    let listed = signed.roots().flat_map(|(root, _)| root.keys.values());
    for listed in listed.chain(delegations.flat_map(|delegations| delegations.keys.values())) {
        let same =
            VerifyingKey::from_metadata(listed).is_ok_and(|listed| listed.canonical_spki() == key.canonical_spki());
        if same && listed.owner() != Some(person) {
            return taken(listed.owner().unwrap_or("somebody"));
        }
    }
    Ok(())
}
