//! Reads a repository from its first root on, and verifies it as a client would. Only expiry is no reason to refuse it: it
//! may be taken over because nobody has kept it.

use std::collections::{BTreeMap, BTreeSet};

use super::{ImportError, ImportSource};
use crate::crypto::sha256;
use crate::metadata::{
    DelegationRule, Document, Envelope, MetaFile, RoleName, Root, Snapshot, TargetPath, Targets, Timestamp, Version,
};
use crate::printable::Printable;
use crate::repository::working_copy::LONGEST_TARGET;
use crate::repository::{SIGNED_DIRECTORY, delegated_roles, file_name, signed::MOST_BITS, target_names};
use crate::trust::{Authority, ExpectRoot, Limits, Refusal, UpdateStart, Verified, verify};

/// Most roots that are read.
const MOST_ROOTS: u64 = 1024;
/// Most delegated roles that are read, and how far below top-level targets.
const MOST_ROLES: usize = 1024;
const DEEPEST: u32 = 32;
/// Most targets that are read, and how much of them altogether: they are held in memory.
const MOST_TARGETS: usize = 100_000;
const LONGEST_TARGETS: u64 = 1 << 30;

/// The root that everything is traced back to.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "a root is known by itself or by its digest")]
pub enum FirstRoot {
    /// By its SHA-256; the source has the file.
    Digest([u8; 32]),
    /// As a file.
    File(Vec<u8>),
}

/// A root and its file.
type RootRead = (Verified<Root>, Vec<u8>);

/// A role that names targets.
#[derive(Debug, Clone)]
pub(super) struct RoleRead {
    pub(super) role: RoleName,
    pub(super) document: Verified<Targets>,
    pub(super) bytes: Vec<u8>,
    /// Whether top-level targets delegate to it, and not another delegated role.
    pub(super) by_targets: bool,
}

/// A repository that was verified.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) roots: Vec<RootRead>,
    pub(super) timestamp: (Verified<Timestamp>, Vec<u8>),
    pub(super) snapshot: (Verified<Snapshot>, Vec<u8>),
    /// Top-level targets, then those that they delegate to.
    pub(super) roles: Vec<RoleRead>,
    /// Delegated to, and not signed.
    pub(super) unsigned: Vec<RoleName>,
    /// The files that each role names.
    pub(super) targets: BTreeMap<RoleName, BTreeMap<TargetPath, Vec<u8>>>,
}

impl Read {
    /// Reads everything and verifies it.
    pub(super) fn of(source: &dyn ImportSource, first: &FirstRoot, start: UpdateStart) -> Result<Self, ImportError> {
        let roots = roots(source, first, start)?;
        let root = &roots.last().ok_or_else(|| missing("1.root.json"))?.0;
        let limits = Limits::default();

        let bytes = metadata(source, "timestamp.json", limits.timestamp)?.ok_or_else(|| missing("timestamp.json"))?;
        let timestamp: Verified<Timestamp> = top_level(root, &RoleName::Timestamp, &bytes)?;
        let timestamp = (timestamp, bytes);

        let named = &timestamp.0.snapshot;
        let bytes = read_role(source, &RoleName::Snapshot, named, limits.snapshot)?;
        let document: Verified<Snapshot> = top_level(root, &RoleName::Snapshot, &bytes)?;
        check(&RoleName::Snapshot, "timestamp", named, document.version(), &bytes)?;
        let snapshot = (document, bytes);

        let named = (*snapshot.0).role(&RoleName::Targets).ok_or_else(|| missing("targets.json in its snapshot"))?;
        let bytes = read_role(source, &RoleName::Targets, &named, limits.targets)?;
        let document: Verified<Targets> = top_level(root, &RoleName::Targets, &bytes)?;
        check(&RoleName::Targets, "snapshot", &named, document.version(), &bytes)?;
        let top = RoleRead { role: RoleName::Targets, document, bytes, by_targets: false };

        let mut read =
            Self { roots, timestamp, snapshot, roles: vec![top], unsigned: Vec::new(), targets: BTreeMap::new() };
        read.delegated(source, limits.targets)?;
        read.targets(source)?;
        Ok(read)
    }

    pub(super) fn root(&self) -> (&Verified<Root>, &[u8]) {
        let (root, bytes) = self.roots.last().expect("a repository was read from its first root on");
        (root, bytes)
    }

    /// Every role that is delegated to, each under the first that delegates to it.
    fn delegated(&mut self, source: &dyn ImportSource, limit: u64) -> Result<(), ImportError> {
        let mut seen = BTreeSet::new();
        let mut next = 0;
        let mut depths = vec![0_u32];
        while let Some(delegator) = self.roles.get(next).cloned() {
            let depth = depths[next];
            next += 1;
            let Some(delegations) = &delegator.document.delegations else { continue };
            if matches!(&delegations.rule, DelegationRule::Bins(bins) if bins.bit_length > MOST_BITS) {
                let problem = format!("{} delegates to more than {} hash bins", delegator.role, 1 << MOST_BITS);
                return Err(ImportError::CannotKeep { problem });
            }
            for role in delegated_roles(&delegator.document) {
                if !seen.insert(role.clone()) {
                    continue;
                }
                if seen.len() > MOST_ROLES {
                    return Err(ImportError::TooMuch {
                        what: "the number of delegated roles",
                        limit: MOST_ROLES as u64,
                    });
                }
                if depth > DEEPEST {
                    return Err(ImportError::TooMuch { what: "the depth of delegations", limit: DEEPEST.into() });
                }
                let Some(named) = (*self.snapshot.0).role(&role) else {
                    self.unsigned.push(role);
                    continue;
                };
                let Some(delegation) = delegations.to_role(role.as_str()) else { continue };
                let bytes = read_role(source, &role, &named, limit)?;
                let authority = Authority::of_delegation(delegations, &delegation);
                let document: Verified<Targets> = verify(&parse(&role, &bytes)?, authority)?;
                check(&role, "snapshot", &named, document.version(), &bytes)?;
                let by_targets = delegator.role == RoleName::Targets;
                self.roles.push(RoleRead { role, document, bytes, by_targets });
                depths.push(depth + 1);
            }
        }
        Ok(())
    }

    /// The content of every target, checked against who names it.
    fn targets(&mut self, source: &dyn ImportSource) -> Result<(), ImportError> {
        let (mut count, mut total) = (0, 0);
        for role in &self.roles {
            let mut files = BTreeMap::new();
            for (path, entry) in role.document.iter() {
                let wrong = |problem: String| ImportError::CannotKeep { problem: format!("{}: {problem}", role.role) };
                let path = TargetPath::new(path).map_err(|error| wrong(error.to_string()))?;
                let entry = entry.map_err(|error| wrong(error.to_string()))?;
                count += 1;
                total += entry.length.min(LONGEST_TARGET);
                if entry.length > LONGEST_TARGET {
                    return Err(ImportError::TooMuch { what: "the length of a target", limit: LONGEST_TARGET });
                }
                if count > MOST_TARGETS {
                    return Err(ImportError::TooMuch { what: "the number of targets", limit: MOST_TARGETS as u64 });
                }
                if total > LONGEST_TARGETS {
                    return Err(ImportError::TooMuch { what: "the length of all targets", limit: LONGEST_TARGETS });
                }
                // tough prefixes the whole path with the hash, not the last component.
                let whole = |hashed: &[u8]| format!("{}.{}", hex::encode(hashed), path.url_path(None));
                let names = target_names(&path, &entry)
                    .chain(entry.hashes.iter().map(|(_, digest)| whole(digest)))
                    .chain([path.url_path(None)]);
                let mut found = None;
                for name in names {
                    let read = source.target(&name, entry.length);
                    // One that is too long is not the file, which may yet be under another name.
                    let read = match read {
                        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => None,
                        read => read?,
                    };
                    let right = |bytes: &Vec<u8>| bytes.len() as u64 == entry.length && entry.hashes.are_of(bytes);
                    found = read.filter(right);
                    if found.is_some() {
                        break;
                    }
                }
                let bytes = found.ok_or_else(|| missing(&format!("target {path} as {} names it", role.role)))?;
                files.insert(path, bytes);
            }
            self.targets.insert(role.role.clone(), files);
        }
        Ok(())
    }

    /// What has been signed, as it lies in a working copy.
    pub(super) fn signed_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut add = |name: String, bytes: &[u8]| files.insert(format!("{SIGNED_DIRECTORY}/{name}"), bytes.to_vec());
        for (root, bytes) in &self.roots {
            add(file_name(&RoleName::Root, root.version), bytes);
        }
        add("snapshot.json".to_owned(), &self.snapshot.1);
        add("timestamp.json".to_owned(), &self.timestamp.1);
        for role in &self.roles {
            add(file_name(&role.role, role.document.version()), &role.bytes);
            for (path, bytes) in &self.targets[&role.role] {
                let entry = role.document.find(path).ok().flatten().expect("the path is one of its entries");
                for name in target_names(path, &entry) {
                    add(format!("targets/{name}"), bytes);
                }
            }
        }
        files
    }
}

/// The chain of roots from the first one on.
fn roots(source: &dyn ImportSource, first: &FirstRoot, start: UpdateStart) -> Result<Vec<RootRead>, ImportError> {
    let limit = Limits::default().root;
    // Where there are no numbers, `root.json` is the newest.
    let newest = metadata(source, "root.json", limit)?;
    let newest_version =
        newest.as_deref().and_then(|bytes| Some(Envelope::parse(bytes).ok()?.unverified::<Root>().ok()?.version));
    let of_version = |version: Version| -> Result<Option<Vec<u8>>, ImportError> {
        let numbered = metadata(source, &file_name(&RoleName::Root, version), limit)?;
        Ok(numbered.or_else(|| newest.clone().filter(|_| newest_version == Some(version))))
    };
    let mut version = Version::new(1).expect("1 is not zero");
    let bytes = match first {
        FirstRoot::File(bytes) => bytes.clone(),
        FirstRoot::Digest(given) => {
            let bytes = of_version(version)?.ok_or_else(|| missing("1.root.json"))?;
            let found = sha256(&bytes);
            if found != *given {
                return Err(ImportError::WrongRoot { given: *given, found });
            }
            bytes
        }
    };
    let mut expect = ExpectRoot::begin(&bytes, start)?;
    if expect.trusted().version != version {
        let problem = format!(
            "the root to begin with is {}: the chain has to be there from version 1 on, as clients may have pinned any",
            expect.trusted().version
        );
        return Err(ImportError::CannotKeep { problem });
    }
    let mut roots = vec![(expect.trusted().clone(), bytes)];
    while let Some(next) = version.next() {
        let Some(bytes) = of_version(next)? else { break };
        if next.get() > MOST_ROOTS {
            return Err(ImportError::TooMuch { what: "the number of roots", limit: MOST_ROOTS });
        }
        expect.root(&bytes)?;
        roots.push((expect.trusted().clone(), bytes));
        version = next;
    }
    if newest_version.is_some_and(|newest| newest > version) {
        let gap = version.next().map(|next| file_name(&RoleName::Root, next));
        return Err(missing(&format!("{}, and newer roots stand behind it", gap.unwrap_or_default())));
    }
    Ok(roots)
}

/// A role's file, with its version in the name or without.
fn read_role(source: &dyn ImportSource, role: &RoleName, named: &MetaFile, limit: u64) -> Result<Vec<u8>, ImportError> {
    let limit = named.length.unwrap_or(limit).min(Limits::default().pinned);
    let numbered = file_name(role, named.version);
    let plain = format!("{}.json", role.encoded());
    match metadata(source, &numbered, limit)? {
        Some(bytes) => Ok(bytes),
        None => metadata(source, &plain, limit)?.ok_or_else(|| missing(&format!("{numbered} or {plain}"))),
    }
}

fn metadata(source: &dyn ImportSource, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ImportError> {
    source.metadata(name, limit).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => ImportError::TooLong { file: name.to_owned(), limit },
        _ => error.into(),
    })
}

fn check(role: &RoleName, by: &str, named: &MetaFile, version: Version, bytes: &[u8]) -> Result<(), ImportError> {
    let wrong =
        |problem| Err(ImportError::Mismatch { what: Printable(role.as_str()).to_string(), by: by.to_owned(), problem });
    if version != named.version {
        return wrong("it has another version");
    }
    if named.length.is_some_and(|length| length != bytes.len() as u64) {
        return wrong("it has another length");
    }
    if named.hashes.as_ref().is_some_and(|hashes| !hashes.are_of(bytes)) {
        return wrong("it has another hash");
    }
    Ok(())
}

fn parse(role: &RoleName, bytes: &[u8]) -> Result<Envelope, Refusal> {
    Envelope::parse(bytes).map_err(|source| Refusal::Malformed { role: role.clone(), source })
}

fn top_level<T: Document>(root: &Root, role: &RoleName, bytes: &[u8]) -> Result<Verified<T>, ImportError> {
    let authority = Authority::of_root(root, role).expect("top-level roles are in every root");
    Ok(verify(&parse(role, bytes)?, authority)?)
}

pub(super) fn missing(what: &str) -> ImportError {
    ImportError::Missing { what: what.to_owned() }
}
