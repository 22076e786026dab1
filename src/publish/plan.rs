//! What has to be written, and in which order. A plan exists only if clients have upgraded to its result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::online::{OnlineDocument, OnlineKeys, Published, foreign};
use super::{Proof, PublishError, dry_run};
use crate::fs::{read_below, read_bounded};
use crate::metadata::{
    Document, Envelope, Occasion, RoleName, Root, Snapshot, TargetPath, Targets, Timestamp, Unrecognized, Version,
};
use crate::repository::{
    CONFIG_FILE, FamilyThresholds, Keys, Moment, Offered, RepositoryError, SignedState, WorkingCopy, delegated_roles,
    file_name, judge, target_names,
};
use crate::signers::Signer;
use crate::trust::{Authority, Refusal, UpdateStart, verify};

/// Longest metadata file of the published state that is read, in bytes.
const LONGEST: u64 = 512_000_000;

/// The one file that is replaced.
pub(super) const TIMESTAMP: &str = "timestamp.json";

/// Where a working copy remembers the snapshot that it published last.
pub(super) const SNAPSHOT: &str = "snapshot.json";

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Writes {
    /// It is created once. The same name with another content stops everything.
    Immutable,
    /// A root: created once too, and after what it vouches for.
    Root,
    /// It is replaced, last of all.
    Pointer,
}

/// A file to publish.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlannedObject {
    /// Its path below the directory, as it stands in URLs and on disk.
    pub name: String,
    /// How it is written.
    pub writes: Writes,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What will be published, proved by clients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PublishPlan {
    /// The files, in the order in which they are written.
    pub objects: Vec<PlannedObject>,
    /// The versions that clients will see, top-level roles first.
    pub versions: Vec<(RoleName, Version)>,
    /// What the clients did.
    pub proof: Proof,
    pub(super) destination: PathBuf,
    /// Where the working copy remembers what it published last.
    pub(super) remember_in: PathBuf,
    pub(super) timestamp: Vec<u8>,
    pub(super) snapshot: Vec<u8>,
    /// The pointer that the plan was made over.
    pub(super) seen: Option<Vec<u8>>,
    pub(super) first_root: Vec<u8>,
    /// A target that clients look up.
    pub(super) probe: Option<TargetPath>,
}

impl PublishPlan {
    /// Signs snapshot and timestamp where they are due, and has clients upgrade to the result in memory.
    ///
    /// # Errors
    /// See [`PublishError`]. Nothing is written.
    pub async fn prove(
        copy: &WorkingCopy,
        destination: &Path,
        keys: &[Box<dyn Signer>],
        start: UpdateStart,
    ) -> Result<Self, PublishError> {
        if destination.join(CONFIG_FILE).exists() {
            return Err(PublishError::WorkingCopy { directory: destination.to_owned() });
        }
        if copy.occasion() == Occasion::Rehearsal {
            return Err(PublishError::Rehearsal);
        }
        let signed = copy.signed(start)?;
        let root = signed.root().ok_or(PublishError::NotSigned { role: RoleName::Root })?;
        let current = current_roles(&signed)?;
        let remembered = remembered::<Snapshot>(copy, &signed, &RoleName::Snapshot)?;
        // Before the online keys sign anything.
        check_rules(&signed, &current, remembered.as_ref().map(|(snapshot, _)| snapshot), destination, start)?;
        if !root.consistent_snapshot {
            let problem = "its files have no versions in their names, so that clients would meet half of one state and \
                           half of another: set `consistent-snapshot = true`, and have root signed";
            return Err(RepositoryError::configuration(format!("{CONFIG_FILE}: consistent-snapshot"), problem).into());
        }
        let published = published(destination, copy, &signed, remembered)?;

        let online = OnlineKeys { signed: &signed, root, keys, now: start.time() };
        let config = copy.config();
        let versions = current.iter().map(|(role, role_file)| (role.clone(), role_file.clone())).collect();
        let snapshot = online.snapshot(&published, &versions, &config.policy(&RoleName::Snapshot)?)?;
        let timestamp = online.timestamp(&published, &snapshot, &config.policy(&RoleName::Timestamp)?)?;

        let mut objects = Vec::new();
        for (role, (version, bytes)) in &current {
            objects.extend(targets_of(&signed, role, bytes)?);
            objects.push(object(file_name(role, *version), Writes::Immutable, bytes.clone()));
        }
        objects.push(object(
            file_name(&RoleName::Snapshot, snapshot.version),
            Writes::Immutable,
            snapshot.bytes.clone(),
        ));
        for (root, bytes) in signed.roots() {
            objects.push(object(file_name(&RoleName::Root, root.version), Writes::Root, bytes.to_vec()));
        }
        objects.push(object(TIMESTAMP.to_owned(), Writes::Pointer, timestamp.bytes.clone()));
        let objects = only_new(objects, destination)?;
        check_families(&signed, &current, &objects)?;
        let targets = &current[&RoleName::Targets];
        let targets = OnlineDocument { version: targets.0, bytes: targets.1.clone() };
        let read_by_clients =
            [(RoleName::Timestamp, &timestamp), (RoleName::Snapshot, &snapshot), (RoleName::Targets, &targets)];
        let objects = in_order(objects, destination, &signed, &read_by_clients)?;

        let mut shown = vec![
            (RoleName::Root, root.version),
            (RoleName::Timestamp, timestamp.version),
            (RoleName::Snapshot, snapshot.version),
        ];
        shown.extend(current.iter().map(|(role, (version, _))| (role.clone(), *version)));
        let first_root = signed.roots().next().map(|(_, bytes)| bytes.to_vec()).unwrap_or_default();
        let proof = dry_run::prove(&signed, destination, &objects, &shown, config.trial, start).await?;
        Ok(Self {
            objects,
            versions: shown,
            proof,
            destination: destination.to_owned(),
            remember_in: copy.signed_directory(),
            timestamp: timestamp.bytes,
            snapshot: snapshot.bytes,
            seen: published.timestamp.map(|(_, bytes)| bytes),
            first_root,
            probe: dry_run::probe(&signed),
        })
    }
}

fn object(name: String, writes: Writes, bytes: Vec<u8>) -> PlannedObject {
    PlannedObject { name, writes, bytes }
}

type RoleFiles = BTreeMap<RoleName, (Version, Vec<u8>)>;

/// The newest document of each role that names targets. A namespace that has not signed yet is left out.
fn current_roles(signed: &SignedState) -> Result<RoleFiles, PublishError> {
    let again = |role: &RoleName, version| PublishError::SignAgain { role: role.clone(), version };
    let targets = signed.targets().ok_or(PublishError::NotSigned { role: RoleName::Targets })?;
    // A newer version that does not verify was put there by hand.
    let newest = signed.versions(&RoleName::Targets)?.last().copied();
    if !targets.current || newest != Some(targets.version()) {
        return Err(again(&RoleName::Targets, newest.unwrap_or_else(|| targets.version())));
    }
    let mut roles = RoleFiles::from([(RoleName::Targets, (targets.version(), targets.bytes.clone()))]);
    for role in delegated_roles(&targets.document) {
        let newest = signed.versions(&role)?.last().copied();
        match signed.namespace(&role)? {
            Some(document) if document.current && newest == Some(document.version()) => {
                below(&document.document, signed, &mut roles, 0)?;
                roles.insert(role, (document.version(), document.bytes));
            }
            Some(document) => return Err(again(&role, newest.unwrap_or_else(|| document.version()))),
            None => {
                if let Some(version) = newest {
                    return Err(again(&role, version));
                }
            }
        }
    }
    Ok(roles)
}

/// Delegations below the first that are followed; a look-up visits 32 roles at most.
const DEEPEST: usize = 32;

/// The roles that a delegated role delegates to, in a repository that another tool began.
fn below(delegator: &Targets, signed: &SignedState, roles: &mut RoleFiles, depth: usize) -> Result<(), PublishError> {
    for role in delegated_roles(delegator) {
        if depth == DEEPEST || roles.contains_key(&role) {
            continue;
        }
        if let Some(document) = signed.below(delegator, &role)? {
            roles.insert(role, (document.version(), document.bytes.clone()));
            below(&document.document, signed, roles, depth + 1)?;
        }
    }
    Ok(())
}

/// The files that a document names, hash-prefixed.
fn targets_of(signed: &SignedState, role: &RoleName, bytes: &[u8]) -> Result<Vec<PlannedObject>, PublishError> {
    let malformed = |source| PublishError::Foreign(Box::new(Refusal::Malformed { role: role.clone(), source }));
    let document: Targets = Envelope::parse(bytes).and_then(|envelope| envelope.unverified()).map_err(malformed)?;
    let mut objects = Vec::new();
    for (path, entry) in document.iter() {
        let entry = entry.map_err(malformed)?;
        let Ok(path) = TargetPath::new(&path) else { continue };
        let bytes = signed.target(&path, &entry)?;
        for name in target_names(&path, &entry) {
            objects.push(object(format!("targets/{name}"), Writes::Immutable, bytes.clone()));
        }
    }
    Ok(objects)
}

/// What the destination says is current, if a root of ours vouches for it. `last` is the snapshot that the working copy
/// remembers.
fn published(
    destination: &Path,
    copy: &WorkingCopy,
    signed: &SignedState,
    last: Option<(Snapshot, Vec<u8>)>,
) -> Result<Published, PublishError> {
    let remembered = remembered::<Timestamp>(copy, signed, &RoleName::Timestamp)?.map(|(timestamp, _)| timestamp);
    let mut snapshot = newest_snapshot(destination, signed)?;
    // What clients have seen in a snapshot stays in it, also where it was published elsewhere: before the repository was
    // taken over, for instance.
    if let Some((last, bytes)) = last
        && snapshot.as_ref().is_none_or(|(there, _)| there.version < last.version)
    {
        snapshot = Some((last, bytes));
    }
    let Some(bytes) = read_bounded(&destination.join(TIMESTAMP), LONGEST)? else {
        return Ok(Published { snapshot, remembered, ..Published::default() });
    };
    let timestamp: Timestamp = vouched(&RoleName::Timestamp, &bytes, signed)?;
    Ok(Published { snapshot, timestamp: Some((timestamp, bytes)), remembered })
}

/// The timestamp or snapshot that was published last from a working copy, or with which the repository was taken over.
pub(super) fn remembered<T: Document + Clone>(
    copy: &WorkingCopy,
    signed: &SignedState,
    role: &RoleName,
) -> Result<Option<(T, Vec<u8>)>, PublishError> {
    let file = copy.signed_directory().join(format!("{}.json", role.as_str()));
    let Some(bytes) = read_below(copy.directory(), &file, LONGEST)? else { return Ok(None) };
    Ok(Some((vouched(role, &bytes, signed)?, bytes)))
}

/// The newest snapshot in the directory, also where a run was interrupted before the pointer named it.
fn newest_snapshot(destination: &Path, signed: &SignedState) -> Result<Option<(Snapshot, Vec<u8>)>, PublishError> {
    let there = SignedState::versions_in(destination, &RoleName::Snapshot)?;
    let Some(version) = there.last() else { return Ok(None) };
    let bytes = read_bounded(&destination.join(file_name(&RoleName::Snapshot, *version)), LONGEST)?.unwrap_or_default();
    Ok(Some((vouched::<Snapshot>(&RoleName::Snapshot, &bytes, signed)?, bytes)))
}

/// Reads a document that a root of the chain vouches for, whichever it is.
fn vouched<T: Document + Clone>(role: &RoleName, bytes: &[u8], signed: &SignedState) -> Result<T, PublishError> {
    let envelope = Envelope::parse(bytes).map_err(|source| foreign(role, source))?;
    let mut refused = None;
    for (root, _) in signed.roots().rev() {
        let Some(authority) = Authority::of_root(root, role) else { continue };
        match verify::<T>(&envelope, authority) {
            Ok(document) => return Ok((*document).clone()),
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    Err(PublishError::Foreign(Box::new(refused.expect("there is a root, and it refused"))))
}

/// Refuses what is new and breaks a rule. It was judged when it was finished; somebody may have put it there by hand.
/// What was taken over is as another tool published it: the next version brings nothing that is worse.
fn check_rules(
    signed: &SignedState,
    current: &RoleFiles,
    seen: Option<&Snapshot>,
    destination: &Path,
    start: UpdateStart,
) -> Result<(), PublishError> {
    let newest_root = signed.roots().next_back().map(|(root, bytes)| (RoleName::Root, (root.version, bytes.to_vec())));
    let roles = newest_root.into_iter().chain(current.iter().map(|(role, file)| (role.clone(), file.clone())));
    for (role, (version, bytes)) in roles {
        let before = signed.before(&role, version);
        let taken_over = before.versions(&role)?.is_empty()
            && seen.is_some_and(|seen| {
                // The online keys have signed for it, under that root.
                role == RoleName::Root || seen.role(&role).is_some_and(|named| named.version == version)
            });
        if taken_over || destination.join(file_name(&role, version)).exists() {
            continue;
        }
        let envelope = Envelope::parse(&bytes).map_err(|source| foreign(&role, source))?;
        let mut targets = BTreeMap::new();
        if role != RoleName::Root {
            let document: Targets = envelope.unverified().map_err(|source| foreign(&role, source))?;
            for (path, entry) in document.iter() {
                let entry = entry.map_err(|source| foreign(&role, source))?;
                if let Ok(path) = TargetPath::new(&path) {
                    targets.insert(path.clone(), signed.target(&path, &entry)?);
                }
            }
        }
        let (envelope, document, targets) = (&envelope, bytes.as_slice(), &targets);
        let offered =
            Offered { role: &role, version, envelope, document, targets, left_out: Vec::new(), rehearsal: None };
        // Throwaway keys are refused by the clients that try the result.
        let found = judge(&offered, Keys::Throwaway, &before, Moment::Publishing(start.time()))?;
        if !found.problems.is_empty() {
            return Err(PublishError::BreaksRules { role, version, problems: found.problems });
        }
    }
    Ok(())
}

/// Refuses roots that are new, and documents that are current, with too few signatures of a family. A ceremony finishes
/// none; somebody may have put one there by hand.
fn check_families(signed: &SignedState, current: &RoleFiles, new: &[PlannedObject]) -> Result<(), PublishError> {
    let mut before: Option<&Root> = None;
    for (root, bytes) in signed.roots() {
        if new.iter().any(|object| object.name == file_name(&RoleName::Root, root.version)) {
            for of in before.into_iter().chain([&**root]) {
                let authority = Authority::of_root(of, &RoleName::Root).expect("every root has a root role");
                let by = format!("root {}", of.version);
                check_family(authority, &by, &of.unrecognized, root.version, bytes)?;
            }
        }
        before = Some(root);
    }
    let (Some(root), Some(targets)) = (before, signed.targets()) else { return Ok(()) };
    for (role, (version, bytes)) in current {
        if let Some(authority) = Authority::of_root(root, role) {
            check_family(authority, &format!("root {}", root.version), &root.unrecognized, *version, bytes)?;
        } else if let Some(delegations) = &targets.document.delegations
            && let Some(delegation) = delegations.to_role(role.as_str())
        {
            let authority = Authority::of_delegation(delegations, &delegation);
            let by = format!("targets {}", targets.version());
            check_family(authority, &by, &targets.document.unrecognized, *version, bytes)?;
        }
    }
    Ok(())
}

fn check_family(
    authority: Authority<'_>,
    by: &str,
    unrecognized: &Unrecognized,
    version: Version,
    bytes: &[u8],
) -> Result<(), PublishError> {
    let role = authority.role();
    let asked = FamilyThresholds::recorded_for(unrecognized, role)
        .map_err(|problem| RepositoryError::configuration(by, problem))?;
    let envelope = Envelope::parse(bytes).map_err(|source| foreign(role, source))?;
    match asked.counts(&crate::trust::tally(&envelope, authority)).into_iter().find(|count| !count.met()) {
        Some(count) => Err(PublishError::TooFewOfFamily { role: role.clone(), version, by: by.to_owned(), count }),
        None => Ok(()),
    }
}

/// Leaves out what is there already, and stops where the same name holds something else.
fn only_new(objects: Vec<PlannedObject>, destination: &Path) -> Result<Vec<PlannedObject>, PublishError> {
    let mut new: BTreeMap<String, PlannedObject> = BTreeMap::new();
    let mut order = Vec::new();
    for object in objects {
        match read_bounded(&destination.join(&object.name), LONGEST.max(object.bytes.len() as u64))? {
            Some(there) if there == object.bytes => continue,
            Some(_) if object.writes != Writes::Pointer => {
                return Err(PublishError::Conflict { name: object.name });
            }
            _ => {}
        }
        if new.insert(object.name.clone(), object.clone()).is_none() {
            order.push(object.name);
        }
    }
    Ok(order.iter().filter_map(|name| new.remove(name)).collect())
}

/// Puts the timestamp before new roots where clients of the published root accept it too.
///
/// A client between two writes then meets either the old root with a timestamp that both roots vouch for, or the new
/// one with the same timestamp. Otherwise (the outgoing online keys were compromised, or are not at hand) the pointer
/// comes last as ever.
fn in_order(
    mut objects: Vec<PlannedObject>,
    destination: &Path,
    signed: &SignedState,
    read_by_clients: &[(RoleName, &OnlineDocument)],
) -> Result<Vec<PlannedObject>, PublishError> {
    objects.sort_by_key(|object| object.writes);
    let mut served = None;
    for (root, _) in signed.roots() {
        if destination.join(file_name(&RoleName::Root, root.version)).exists() {
            served = Some(root);
        }
    }
    let (Some(served), true) = (served, objects.iter().any(|object| object.writes == Writes::Root)) else {
        return Ok(objects);
    };
    for (role, document) in read_by_clients {
        if !accepts(served, role, document)? {
            return Ok(objects);
        }
    }
    if let Some(pointer) = objects.pop_if(|object| object.writes == Writes::Pointer) {
        let before = objects.iter().position(|object| object.writes == Writes::Root).unwrap_or(objects.len());
        objects.insert(before, pointer);
    }
    Ok(objects)
}

fn accepts(root: &Root, role: &RoleName, document: &OnlineDocument) -> Result<bool, PublishError> {
    let envelope = Envelope::parse(&document.bytes).map_err(|source| foreign(role, source))?;
    Ok(Authority::of_root(root, role).is_some_and(|authority| crate::trust::tally(&envelope, authority).met()))
}
