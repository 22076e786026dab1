//! Makes a rehearsal: a working copy in which every keyholder has another key, and nothing that is signed is valid
//! anywhere else.
//!
//! The next event is to be rehearsed as it will be, so what has been signed so far is signed again here: the same
//! documents, each calling itself `rehearsal-root` or `rehearsal-targets`, with stand-ins for all keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Map, Value, json};

use super::CeremonyError;
use super::event::LONGEST;
use crate::crypto::{Algorithm, KeyAlgorithm, SecretKey, VerifyingKey, metadata_key, sha256, spki_to_pem};
use crate::example_keys::example_key_name;
use crate::fs::{files_below, read_bounded, write_durably, write_private};
use crate::metadata::canonical_json::Json;
use crate::metadata::{DelegationRule, EncodedName, Envelope, KeyId, Occasion, PublicKey, RoleName, Root, TargetPath};
use crate::repository::{
    CONFIG_FILE, HeldKey, Rehearsal, RepositoryError, SIGNED_DIRECTORY, SignedState, WITNESSES, Witnesses, WorkingCopy,
    file_name, holds_private_key, mark,
};
use crate::trust::UpdateStart;

/// Where the secret halves of the keys that were made lie, below a rehearsal. They are worth nothing.
const KEYS: &str = "rehearsal-keys";
/// Directories of a working copy that a rehearsal has as they are.
const AS_THEY_ARE: [&str; 4] = ["builders", "verifiers", "targets", "delegated"];
/// Most files of a working copy that are taken over.
const MOST_FILES: usize = 10_000;

/// A rehearsal that was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rehearsed {
    /// The SHA-256 of its first root; `None` where its first root is still to be signed.
    pub digest: Option<[u8; 32]>,
    /// The keys that stand in for real ones.
    pub stand_ins: Vec<StandIn>,
    /// Why the rehearsal begins with its first root although the real repository has one, in words.
    pub begins_anew: Option<String>,
}

/// A key of a rehearsal, in the place of a real one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StandIn {
    /// Who holds it. May be somebody else's text, where a repository was taken over.
    pub holder: String,
    /// The SHA-256 of its canonical SubjectPublicKeyInfo, in hexadecimal.
    pub key: String,
    /// Where the secret half was written; `None` of a key that its holder brought.
    pub file: Option<PathBuf>,
}

/// Makes a rehearsal of a working copy in a directory that is new or empty. Whoever is in `brought` has these keys, by
/// their SubjectPublicKeyInfo and in the order of `trustroot.toml`; the others' keys are made here.
///
/// The working copy gets a mark that keeps the keys of the rehearsal out of it.
///
/// # Errors
/// When the directory holds something, a key that was brought is a real one, or something cannot be read or written.
pub fn rehearse(
    copy: &WorkingCopy,
    signed: &SignedState,
    directory: &Path,
    brought: &BTreeMap<String, Vec<Vec<u8>>>,
    start: UpdateStart,
) -> Result<Rehearsed, CeremonyError> {
    check_place(copy, directory)?;
    let cast = Cast::of(copy, signed, brought)?;
    let mut history = History::of(signed, &cast)?;
    let (mut digest, mut begins_anew) = (None, None);
    match history.verified(start) {
        Ok(state) => digest = state.digest(),
        Err(error) => {
            history = History::default();
            begins_anew = Some(format!("the keys that were made here cannot sign what is signed already: {error}"));
        }
    }
    // First of all, so that no key of it is ever let in by mistake.
    let marked = cast.parts.iter().map(|part| (part.name.clone(), hex::encode(part.fingerprint()))).collect();
    mark(copy.directory(), marked)?;
    let mut stand_ins = Vec::new();
    fs::create_dir_all(directory.join(KEYS))?;
    for part in &cast.parts {
        let file = match &part.secret {
            Some(secret) => {
                let file = directory.join(KEYS).join(format!("{}.pem", part.name));
                write_private(&file, secret.to_unencrypted_pem().as_bytes())?;
                Some(file)
            }
            None => None,
        };
        let (holder, key) = (part.holder.clone(), hex::encode(part.fingerprint()));
        stand_ins.push(StandIn { holder, key, file });
    }
    for (person, held) in &copy.config().people {
        for (file, key) in held.keys.iter().zip(copy.keys_of(person)?) {
            let part = cast.stand_in(key.key.canonical_spki()).expect("everybody who holds a key has a part");
            let pem = spki_to_pem(&part.spki).map_err(|problem| configuration(CONFIG_FILE, problem.to_string()))?;
            write_below(directory, file, pem.as_bytes())?;
        }
    }
    for below in AS_THEY_ARE {
        take_over(copy, below, directory)?;
    }
    for (name, bytes) in &history.files {
        write_below(&directory.join(SIGNED_DIRECTORY), Path::new(name), bytes)?;
    }
    // With the configuration it is a working copy.
    let rehearsal = Rehearsal::new(signed.digest(), cast.parts.iter().map(|part| part.stands_for));
    let configuration = copy.rehearsal_configuration(&rehearsal)?;
    write_durably(&directory.join(CONFIG_FILE), configuration.as_bytes())?;
    let there = WorkingCopy::open(directory)?;
    for (role, _) in there.config().policies() {
        there.keys_for(&role)?;
    }
    Ok(Rehearsed { digest, stand_ins, begins_anew })
}

fn configuration(at: impl Into<String>, problem: impl Into<String>) -> CeremonyError {
    RepositoryError::configuration(at, problem).into()
}

/// A rehearsal lies beside the working copy, not in it, and takes the place of nothing.
fn check_place(copy: &WorkingCopy, directory: &Path) -> Result<(), CeremonyError> {
    let wrong = |problem: &str| Err(configuration(directory.display().to_string(), problem));
    if copy.config().rehearsal.is_some() {
        return wrong("this working copy is a rehearsal itself");
    }
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) || directory.is_file() {
        return wrong("holds something already: name a directory that is new or empty");
    }
    let there = directory.ancestors().find_map(|ancestor| {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        fs::canonicalize(ancestor).ok()
    });
    if there.is_some_and(|there| fs::canonicalize(copy.directory()).is_ok_and(|copy| there.starts_with(copy))) {
        return wrong("lies in the working copy that is rehearsed: name a directory beside it");
    }
    Ok(())
}

fn write_below(directory: &Path, file: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap_or(directory))?;
    write_durably(&path, bytes)?;
    Ok(())
}

/// Copies what is edited. Nothing of it may be a link, or hold a secret key.
fn take_over(copy: &WorkingCopy, below: &str, to: &Path) -> Result<(), CeremonyError> {
    let files = files_below(copy.directory(), &copy.directory().join(below))?;
    if files.len() > MOST_FILES {
        return Err(configuration(below, format!("holds more than the {MOST_FILES} files that are taken over")));
    }
    for file in files {
        let relative = file.strip_prefix(copy.directory()).expect("below the directory that is walked");
        let bytes = read_bounded(&file, LONGEST)?.unwrap_or_default();
        if holds_private_key(&bytes) {
            let problem = "holds a SECRET key: take it out of the working copy, and out of its history";
            return Err(configuration(relative.display().to_string(), problem));
        }
        write_below(to, relative, &bytes)?;
    }
    Ok(())
}

/// A key and the real one that it stands for.
struct Part {
    /// The SHA-256 of the real key's canonical SubjectPublicKeyInfo.
    stands_for: [u8; 32],
    holder: String,
    /// As a file name.
    name: String,
    public: PublicKey,
    /// Canonical.
    spki: Vec<u8>,
    /// Absent where its holder brought it.
    secret: Option<SecretKey>,
}

impl Part {
    fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.spki)
    }
}

/// Who plays whom.
struct Cast {
    parts: Vec<Part>,
}

impl Cast {
    /// A stand-in for every key that the configuration or anything that was signed lists.
    fn of(
        copy: &WorkingCopy,
        signed: &SignedState,
        brought: &BTreeMap<String, Vec<Vec<u8>>>,
    ) -> Result<Self, CeremonyError> {
        let held: BTreeMap<&String, Vec<HeldKey>> = copy
            .config()
            .people
            .keys()
            .map(|person| Ok((person, copy.keys_of(person)?)))
            .collect::<Result<_, RepositoryError>>()?;
        let mut real: Vec<(String, VerifyingKey)> = Vec::new();
        for (person, keys) in &held {
            real.extend(keys.iter().map(|held| ((*person).clone(), held.key.clone())));
        }
        for listed in listed_keys(signed) {
            if let Ok(key) = VerifyingKey::from_metadata(&listed) {
                real.push((listed.owner().unwrap_or("nobody").to_owned(), key));
            }
        }
        let real_spkis: BTreeSet<Vec<u8>> = real.iter().map(|(_, key)| key.canonical_spki().to_vec()).collect();
        let mut cast = Self { parts: Vec::new() };
        for (person, keys) in brought {
            let at = format!("{CONFIG_FILE}: people.{person}");
            let theirs = held.get(person).ok_or_else(|| configuration(&at, "there is no such person"))?;
            if theirs.len() != keys.len() {
                let problem = format!("holds {} keys, and brought {}", theirs.len(), keys.len());
                return Err(configuration(&at, problem));
            }
            for (real, spki) in theirs.iter().zip(keys) {
                let public = metadata_key(spki).map_err(|problem| configuration(&at, problem.to_string()))?;
                let key =
                    VerifyingKey::from_metadata(&public).map_err(|problem| configuration(&at, problem.to_string()))?;
                let spki = key.canonical_spki().to_vec();
                if let Some(key) = example_key_name(&spki).filter(|_| !copy.config().trial) {
                    return Err(RepositoryError::ExampleKey { holder: person.clone(), key }.into());
                }
                if real_spkis.contains(&spki) {
                    let (holder, occasion) = (person.clone(), Occasion::Rehearsal);
                    return Err(RepositoryError::OtherOccasion { holder, occasion }.into());
                }
                cast.add(&real.key, person, public, spki, None);
            }
        }
        for (holder, key) in &real {
            if cast.stand_in(key.canonical_spki()).is_none() {
                let secret = SecretKey::generate(alike(key.algorithm()))?;
                let (public, spki) = (secret.public().clone(), secret.canonical_spki().to_vec());
                cast.add(key, holder, public, spki, Some(secret));
            }
        }
        Ok(cast)
    }

    fn add(&mut self, real: &VerifyingKey, holder: &str, public: PublicKey, spki: Vec<u8>, secret: Option<SecretKey>) {
        let encoded = EncodedName::new(holder);
        // The ending stands behind it, so that even `..` is an ordinary name.
        let plain: String = encoded.as_str().chars().take(64).collect();
        let taken = |name: &str| self.parts.iter().any(|part| part.name == name);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let name =
            std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).expect("numbers do not end");
        let (stands_for, holder) = (sha256(real.canonical_spki()), holder.to_owned());
        self.parts.push(Part { stands_for, holder, name, public, spki, secret });
    }

    /// Who stands in for a real key.
    fn stand_in(&self, canonical_spki: &[u8]) -> Option<&Part> {
        let real = sha256(canonical_spki);
        self.parts.iter().find(|part| part.stands_for == real)
    }
}

/// Every key that was ever listed in what is signed.
fn listed_keys(signed: &SignedState) -> impl Iterator<Item = PublicKey> {
    let of_roots = signed.roots().flat_map(|(root, _)| root.keys.values().cloned()).chain(witnesses(signed));
    let delegations = signed.every_targets().filter_map(|targets| targets.document.delegations.as_ref());
    let of_targets = delegations.flat_map(|delegations| delegations.keys.values().cloned());
    of_roots.chain(of_targets)
}

/// The keys of everybody who ever had to witness. What cannot be read names nobody.
fn witnesses(signed: &SignedState) -> impl Iterator<Item = PublicKey> {
    let of_root = |root: &Root| Witnesses::recorded(&root.unrecognized).ok().flatten();
    signed.roots().filter_map(move |(root, _)| of_root(root)).flat_map(|asked| asked.keys)
}

/// A kind of key that can be made, of the same family; of the same kind where that costs nothing.
fn alike(algorithm: Algorithm) -> KeyAlgorithm {
    match algorithm {
        Algorithm::EcdsaP256Sha256 => KeyAlgorithm::EcdsaP256,
        Algorithm::EcdsaP384Sha384 | Algorithm::EcdsaP384Sha256 => KeyAlgorithm::EcdsaP384,
        Algorithm::MlDsa44 => KeyAlgorithm::MlDsa44,
        Algorithm::MlDsa65 => KeyAlgorithm::MlDsa65,
        Algorithm::MlDsa87 => KeyAlgorithm::MlDsa87,
        _ => KeyAlgorithm::Ed25519,
    }
}

/// What has been signed, played by the stand-ins, by the names of the files below `repository/`.
#[derive(Default)]
struct History {
    files: BTreeMap<String, Vec<u8>>,
    roles: BTreeSet<RoleName>,
}

/// The keyids of what is real: under which keyid the stand-in is listed, as whom, and who it is.
type Recast<'a> = BTreeMap<KeyId, (KeyId, PublicKey, &'a Part)>;

impl History {
    fn of(signed: &SignedState, cast: &Cast) -> Result<Self, CeremonyError> {
        let mut recast = Recast::new();
        let keys = signed.roots().flat_map(|(root, _)| root.keys.clone());
        // Root lists a witness's key under no keyid.
        let witnesses = witnesses(signed).map(|listed| (listed.keyid(), listed));
        let delegations = || signed.every_targets().filter_map(|targets| targets.document.delegations.as_ref());
        let delegated = delegations().flat_map(|delegations| delegations.keys.clone());
        for (keyid, listed) in keys.chain(witnesses).chain(delegated) {
            let key = VerifyingKey::from_metadata(&listed).ok();
            let Some(part) = key.and_then(|key| cast.stand_in(key.canonical_spki())) else { continue };
            let public = match listed.owner() {
                Some(owner) => part.public.clone().held_by(owner),
                None => part.public.clone(),
            };
            recast.insert(keyid, (public.keyid(), public, part));
        }
        let mut history = Self::default();
        for (root, bytes) in signed.roots() {
            history.play(file_name(&RoleName::Root, root.version), bytes, &recast)?;
        }
        for targets in signed.every_targets() {
            history.play(file_name(&RoleName::Targets, targets.version()), &targets.bytes, &recast)?;
        }
        let mut roles = BTreeSet::from([RoleName::Targets]);
        if let Some(DelegationRule::Roles(delegated)) = delegations().next_back().map(|all| &all.rule) {
            roles.extend(delegated.iter().map(|delegation| delegation.role));
        }
        for role in roles {
            let Some(document) = signed.role(&role)? else { continue };
            if role != RoleName::Targets {
                history.play(file_name(&role, document.version()), &document.bytes, &recast)?;
            }
            for (path, entry) in document.document.iter() {
                let (Ok(path), Ok(entry)) = (TargetPath::new(&path), entry) else { continue };
                let Some((_, digest)) = entry.hashes.iter().next() else { continue };
                // Where a repository was taken over, not every file of it need be here.
                if let Ok(content) = signed.target(&path, &entry) {
                    history.files.insert(format!("targets/{}", path.url_path(Some(digest))), content);
                }
            }
            history.roles.insert(role);
        }
        Ok(history)
    }

    /// Signs a document again: by the stand-ins of those who signed it, and for nothing.
    fn play(&mut self, name: String, bytes: &[u8], recast: &Recast<'_>) -> Result<(), CeremonyError> {
        let unreadable = |error: serde_json::Error| configuration(&name, error.to_string());
        let real = Envelope::parse(bytes)?;
        let mut document: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
        let signed = &mut document["signed"];
        let meant = signed["_type"].as_str().unwrap_or_default();
        signed["_type"] = Occasion::Rehearsal.document_type(meant).into();
        replace_keys(signed, recast);
        replace_witnesses(signed, recast);
        if let Some(delegations) = signed.get_mut("delegations") {
            replace_keys(delegations, recast);
        }
        let played = json!({"signatures": [], "signed": signed});
        let unsigned = Envelope::parse(&serde_json::to_vec(&played).map_err(unreadable)?)?;
        let mut signatures = BTreeMap::new();
        for (keyid, _) in real.signatures().iter().filter(|(_, signature)| !signature.is_empty()) {
            if let Some((keyid, _, part)) = recast.get(keyid)
                && let Some(secret) = &part.secret
            {
                signatures.insert(keyid.as_str(), hex::encode(secret.sign(unsigned.signed_bytes())?));
            }
        }
        let signatures: Vec<Value> =
            signatures.into_iter().map(|(keyid, sig)| json!({"keyid": keyid, "sig": sig})).collect();
        let document = json!({"signatures": signatures, "signed": played["signed"]});
        let mut bytes = serde_json::to_vec_pretty(&document).map_err(unreadable)?;
        bytes.push(b'\n');
        self.files.insert(name, bytes);
        Ok(())
    }

    /// As whoever works in the rehearsal will read it.
    fn verified(&self, start: UpdateStart) -> Result<SignedState, RepositoryError> {
        let state = SignedState::of_files_for(Occasion::Rehearsal, self.files.clone(), start)?;
        for role in &self.roles {
            state.role(role)?;
        }
        Ok(state)
    }
}

/// Puts stand-ins in the place of witnesses.
fn replace_witnesses(root: &mut Value, recast: &Recast<'_>) {
    let Some(Value::Array(keys)) = root.get_mut(WITNESSES).and_then(|asked| asked.get_mut("keys")) else { return };
    for key in keys {
        let listed =
            Json::parse(key.to_string().as_bytes()).ok().and_then(|json| PublicKey::from_json(json, WITNESSES).ok());
        if let Some((_, public, _)) = listed.and_then(|listed| recast.get(&listed.keyid())) {
            *key = public.to_value();
        }
    }
}

/// Puts stand-ins in the place of a delegator's keys.
fn replace_keys(delegator: &mut Value, recast: &Recast<'_>) {
    let new_keyid =
        |keyid: &str| recast.get(&KeyId::new(keyid)).map_or(keyid.to_owned(), |(new, ..)| new.as_str().to_owned());
    if let Some(Value::Object(keys)) = delegator.get_mut("keys") {
        let listed = |(keyid, key): (String, Value)| match recast.get(&KeyId::new(keyid.as_str())) {
            Some((new, public, _)) => (new.as_str().to_owned(), public.to_value()),
            None => (keyid, key),
        };
        *keys = std::mem::take(keys).into_iter().map(listed).collect::<Map<_, _>>();
    }
    let replace = |role: &mut Value| {
        if let Some(Value::Array(keyids)) = role.get_mut("keyids") {
            let new: BTreeSet<String> = keyids.iter().filter_map(Value::as_str).map(new_keyid).collect();
            *keyids = new.into_iter().map(Value::from).collect();
        }
    };
    match delegator.get_mut("roles") {
        Some(Value::Object(roles)) => roles.values_mut().for_each(replace),
        Some(Value::Array(roles)) => roles.iter_mut().for_each(replace),
        _ => {}
    }
    if let Some(bins) = delegator.get_mut("succinct_roles") {
        replace(bins);
    }
}
