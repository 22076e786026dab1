//! Decides whether enough keys signed a document.
//!
//! Everything passed in is attacker-controlled except the [`Authority`], which comes from metadata that is already
//! trusted. This is the only place where signatures are counted.

use std::collections::{BTreeMap, BTreeSet};

use super::verified_before::{Basis, ChainBefore, VerifiedBefore};
use super::{Refusal, Verified};
use crate::crypto::{KeyFamily, KeyProblem, VerifyingKey};
use crate::metadata::canonical_json::Json;
use crate::metadata::{
    Delegation, Delegations, Document, Envelope, KeyId, MetaFile, PublicKey, RoleKeys, RoleName, Root, Targets,
};

/// What a delegator says about one role: its keyids, its threshold, and the keys that the keyids stand for.
#[derive(Debug, Clone, Copy)]
pub struct Authority<'a> {
    role: &'a RoleName,
    keys: &'a BTreeMap<KeyId, PublicKey>,
    role_keys: &'a RoleKeys,
}

impl<'a> Authority<'a> {
    /// What `root` says about a top-level role; `None` for a delegated one.
    pub fn of_root(root: &'a Root, role: &'a RoleName) -> Option<Self> {
        Some(Self { role, keys: &root.keys, role_keys: root.role(role)? })
    }

    /// What a targets document says about a role that it delegates to.
    ///
    /// The keys are those of the delegating document and no other: the same keyid may mean another key elsewhere.
    pub fn of_delegation(delegations: &'a Delegations, delegation: &'a Delegation) -> Self {
        Self { role: &delegation.role, keys: &delegations.keys, role_keys: &delegation.keys }
    }

    /// The role spoken of.
    pub fn role(&self) -> &'a RoleName {
        self.role
    }

    /// All that a count of signatures depends on, but for the signatures.
    pub(super) fn to_json(self) -> Json {
        let key = |keyid: &KeyId| Some((keyid.as_str().to_owned(), self.keys.get(keyid)?.to_json()));
        let keys = self.role_keys.keyids.iter().filter_map(key).collect();
        let parts = [
            ("role", Json::from(self.role.as_str())),
            ("keys", Json::Object(keys)),
            ("roleKeys", self.role_keys.to_json()),
        ];
        Json::Object(parts.map(|(name, part)| (name.to_owned(), part)).into())
    }
}

/// Who signed a document, key by key, and how many count.
#[derive(Debug, Clone)]
pub struct Tally {
    /// How many distinct keys must sign.
    pub needed: u64,
    /// How many distinct keys did.
    pub counted: u64,
    /// One line for each keyid of the role.
    pub lines: Vec<TallyLine>,
    /// How many signatures are by keyids that are not the role's.
    pub foreign: usize,
}

impl Tally {
    /// Whether enough distinct keys signed.
    pub fn met(&self) -> bool {
        self.counted >= self.needed
    }

    /// How many distinct keys of one family did. Complete only in what [`tally`] returns: counting for a decision ends
    /// once the threshold is met.
    pub fn counted_of(&self, family: KeyFamily) -> u64 {
        let of_it = |line: &&TallyLine| line.standing == Standing::Valid && line.family == Some(family);
        self.lines.iter().filter(of_it).count() as u64
    }
}

/// What became of one keyid of the role.
#[derive(Debug, Clone)]
pub struct TallyLine {
    /// The keyid.
    pub keyid: KeyId,
    /// The kind of key, such as `ed25519`, where it can be used.
    pub kind: Option<String>,
    /// The family of the key, where it can be used.
    pub family: Option<KeyFamily>,
    /// Who holds the key, where the delegator says so in tuf-on-ci's `x-tuf-on-ci-keyowner`.
    pub owner: Option<String>,
    /// Whether it signed.
    pub standing: Standing,
}

/// What one keyid contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Its signature is valid and counts.
    Valid,
    /// Its signature is valid, but the same key has been counted under another keyid.
    SameKey,
    /// Its signature is not valid.
    Invalid,
    /// It has not signed; an empty signature is none.
    Missing,
    /// The key cannot be used by this build.
    Unusable(KeyProblem),
    /// The delegator names the keyid but gives no key.
    Unknown,
}

/// Verifies that the keys of `authority` signed the document, and reads it from the bytes that they signed.
///
/// What counts is distinct public keys, by their canonical SubjectPublicKeyInfo: never keyids, schemes or
/// encodings (TUF specification section 5.3.4: each *key* contributes one signature). A signature that does not
/// count never spoils a threshold that the others meet.
///
/// # Errors
/// [`Refusal::TooFewSignatures`], or [`Refusal::Malformed`] when what they signed is not a document of type `T`.
pub fn verify<T: Document>(envelope: &Envelope, authority: Authority<'_>) -> Result<Verified<T>, Refusal> {
    require(&mut Signatures::of(envelope), authority)?;
    Ok(Verified::new(authority.role.clone(), read(envelope, authority.role)?))
}

/// Takes a document as verified without counting, because it was verified before on the very basis of now.
///
/// Everything else that is checked of targets is checked again. That somebody may say so is decided in `client::danger`.
pub(super) fn counted_before(
    before: VerifiedBefore,
    authority: Authority<'_>,
    wanted: &MetaFile,
) -> Option<Verified<Targets>> {
    let same = before.basis == Basis::of(authority, wanted);
    same.then(|| Verified::new(authority.role.clone(), before.targets))
}

/// Takes a root as verified without counting, because a chain that led to it from `from`, both to the byte, was verified
/// before. That somebody may say so is decided in `client::danger`.
pub(super) fn root_counted_before(before: &ChainBefore, from: &[u8], root: &[u8]) -> Option<Verified<Root>> {
    if before.basis != Basis::of_chain(from, root) {
        return None;
    }
    let root = Envelope::parse(root).and_then(|envelope| envelope.unverified()).ok()?;
    Some(Verified::new(RoleName::Root, root))
}

/// Verifies a root by itself and, where there is one, by the root before it (TUF specification section 5.3.4).
pub(super) fn verify_root(envelope: &Envelope, before: Option<&Root>) -> Result<Verified<Root>, Refusal> {
    let of = |root| Authority::of_root(root, &RoleName::Root).expect("every root has a root role");
    let mut signatures = Signatures::of(envelope);
    if let Some(before) = before {
        require(&mut signatures, of(before))?;
    }
    let root: Root = read(envelope, &RoleName::Root)?;
    require(&mut signatures, of(&root))?;
    Ok(Verified::new(RoleName::Root, root))
}

/// Whether keys that are in both roots could sign for one of them: whoever holds those speaks for both repositories.
pub fn have_signers_in_common(root: &Root, other: &Root) -> bool {
    let keys = |root: &Root| -> BTreeSet<Vec<u8>> {
        let key = |keyid| VerifyingKey::from_metadata(root.keys.get(keyid)?).ok();
        root.root.keyids.iter().filter_map(key).map(|key| key.canonical_spki().to_vec()).collect()
    };
    let common = keys(root).intersection(&keys(other)).count() as u64;
    common >= root.root.threshold.get().min(other.root.threshold.get())
}

fn require(signatures: &mut Signatures<'_>, authority: Authority<'_>) -> Result<(), Refusal> {
    let tally = count(signatures, authority, Until::Met);
    if !tally.met() {
        return Err(Refusal::TooFewSignatures { role: authority.role.clone(), version: None, tally });
    }
    Ok(())
}

fn read<T: Document>(envelope: &Envelope, role: &RoleName) -> Result<T, Refusal> {
    envelope.unverified().map_err(|source| Refusal::Malformed { role: role.clone(), source })
}

/// Counts without deciding: for showing who has signed.
pub fn tally(envelope: &Envelope, authority: Authority<'_>) -> Tally {
    count(&mut Signatures::of(envelope), authority, Until::End)
}

/// How far to count.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// Until the threshold is met: further signatures could not change the answer, and need not be checked.
    Met,
    /// To the last keyid.
    End,
}

/// The signatures of one document, and what has been found out about them: most keys of a root speak for the next one
/// too, and each signature is checked once.
struct Signatures<'a> {
    envelope: &'a Envelope,
    checked: Vec<(VerifyingKey, Vec<u8>, bool)>,
}

impl<'a> Signatures<'a> {
    fn of(envelope: &'a Envelope) -> Self {
        Self { envelope, checked: Vec::new() }
    }

    /// Whether `signature` is by `key`, which is compared as a whole: keyids mean something to their delegator alone.
    fn is_by(&mut self, key: &VerifyingKey, signature: &[u8]) -> bool {
        let known = self.checked.iter().find(|(by, known, _)| by == key && *known == signature);
        if let Some((_, _, valid)) = known {
            return *valid;
        }
        let valid = key.verifies(self.envelope.signed_bytes(), signature);
        self.checked.push((key.clone(), signature.to_vec(), valid));
        valid
    }
}

fn count(signatures: &mut Signatures<'_>, authority: Authority<'_>, until: Until) -> Tally {
    let envelope = signatures.envelope;
    let needed = authority.role_keys.threshold.get();
    let mut counted: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut lines = Vec::with_capacity(authority.role_keys.keyids.len());
    for keyid in &authority.role_keys.keyids {
        if until == Until::Met && counted.len() as u64 >= needed {
            break;
        }
        let (key, standing) = match authority.keys.get(keyid).map(VerifyingKey::from_metadata) {
            None => (None, Standing::Unknown),
            Some(Err(problem)) => (None, Standing::Unusable(problem)),
            Some(Ok(key)) => {
                let standing = match envelope.signatures().get(keyid) {
                    Some(signature) if !signature.is_empty() => match signature.decode() {
                        Some(bytes) if signatures.is_by(&key, &bytes) => {
                            let first = counted.insert(key.canonical_spki().to_vec());
                            if first { Standing::Valid } else { Standing::SameKey }
                        }
                        _ => Standing::Invalid,
                    },
                    _ => Standing::Missing,
                };
                (Some(key), standing)
            }
        };
        let owner = authority.keys.get(keyid).and_then(PublicKey::owner).map(str::to_owned);
        let (kind, family) = (key.as_ref().map(VerifyingKey::describe), key.as_ref().map(VerifyingKey::family));
        lines.push(TallyLine { keyid: keyid.clone(), kind, family, owner, standing });
    }
    let foreign = envelope.signatures().keys().filter(|keyid| !authority.role_keys.keyids.contains(*keyid)).count();
    Tally { needed, counted: counted.len() as u64, lines, foreign }
}
