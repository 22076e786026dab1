//! What has been signed so far, verified from the first root on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;

use super::RepositoryError;
use crate::crypto::sha256;
use crate::fs::read_below;
use crate::metadata::{
    DelegationRule, Document, Envelope, Occasion, RoleName, Root, TargetFile, TargetPath, Targets, Version,
};
use crate::trust::{Authority, ExpectRoot, Refusal, Request, RootPolicy, UpdateStart, Verified, verify};

/// Longest metadata file that is read, in bytes.
pub(super) const LONGEST: u64 = 512_000_000;

/// The name of a role's metadata file in a repository with consistent snapshots, percent-encoded.
pub fn file_name(role: &RoleName, version: Version) -> String {
    Request::file_name_of(role, Some(version))
}

/// A targets document that was signed, and whether it still counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignedRole {
    /// The document.
    pub document: Verified<Targets>,
    /// The file.
    pub bytes: Vec<u8>,
    /// Whether today's delegator accepts it. After a change of keys it has to be signed again.
    pub current: bool,
}

/// The roots and targets documents that have been signed.
///
/// Every root follows from the one before it; targets documents verify under a root of the chain, those of namespaces
/// under a targets document that does.
#[derive(Debug, Clone)]
pub struct SignedState {
    place: Place,
    occasion: Occasion,
    roots: Vec<SignedRoot>,
    /// Newest last.
    targets: Vec<SignedRole>,
    /// Versions of this role from this one on are left out.
    until: Option<(RoleName, Version)>,
}

/// A root and its file.
type SignedRoot = (Verified<Root>, Vec<u8>);

/// Where the files lie.
#[derive(Debug, Clone)]
enum Place {
    Directory(PathBuf),
    /// In memory, by their names below the directory.
    Files(Arc<BTreeMap<String, Vec<u8>>>),
    /// In a directory, with a note of every file that is read.
    Noted(PathBuf, Arc<Mutex<BTreeMap<String, Vec<u8>>>>),
}

impl SignedState {
    /// Reads what is signed.
    ///
    /// # Errors
    /// When the chain of roots is broken, a targets file is signed by no keys that ever were the role's, or a file cannot
    /// be read.
    pub fn read(directory: &Path, start: UpdateStart) -> Result<Self, RepositoryError> {
        Self::read_for(Occasion::Real, directory, start)
    }

    /// As [`SignedState::read`], of documents that are meant, or of documents that are rehearsed.
    ///
    /// # Errors
    /// See [`SignedState::read`]; and when a document is of the other occasion.
    pub fn read_for(occasion: Occasion, directory: &Path, start: UpdateStart) -> Result<Self, RepositoryError> {
        Self { occasion, ..Self::none(directory) }.verified(start)
    }

    /// Reads what is signed from files in memory, by their names below the directory.
    ///
    /// # Errors
    /// See [`SignedState::read`].
    pub fn of_files(files: BTreeMap<String, Vec<u8>>, start: UpdateStart) -> Result<Self, RepositoryError> {
        Self::of_files_for(Occasion::Real, files, start)
    }

    /// As [`SignedState::of_files`], of documents that are meant, or of documents that are rehearsed.
    pub(crate) fn of_files_for(
        occasion: Occasion,
        files: BTreeMap<String, Vec<u8>>,
        start: UpdateStart,
    ) -> Result<Self, RepositoryError> {
        let place = Place::Files(Arc::new(files));
        Self { place, occasion, roots: Vec::new(), targets: Vec::new(), until: None }.verified(start)
    }

    /// The same state, which from now on notes every file that is read from its directory.
    #[must_use]
    pub(crate) fn noting(&self) -> Self {
        let place = match &self.place {
            Place::Directory(directory) | Place::Noted(directory, _) => Place::Noted(directory.clone(), Arc::default()),
            Place::Files(files) => Place::Files(Arc::clone(files)),
        };
        Self { place, ..self.clone() }
    }

    /// The files that have been read since [`SignedState::noting`], by their names below the directory.
    pub(crate) fn noted(&self) -> BTreeMap<String, Vec<u8>> {
        match &self.place {
            Place::Noted(_, noted) => noted.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            _ => BTreeMap::new(),
        }
    }

    fn verified(mut self, start: UpdateStart) -> Result<Self, RepositoryError> {
        let state = &mut self;
        state.read_roots(start)?;
        for version in state.versions(&RoleName::Targets)? {
            let bytes = state.bytes(&RoleName::Targets, version)?;
            let envelope = state.parse(&RoleName::Targets, &bytes)?;
            let newest = state.roots.len();
            let found = state.roots.iter().enumerate().rev().find_map(|(index, (root, _))| {
                let authority = Authority::of_root(root, &RoleName::Targets)?;
                verify::<Targets>(&envelope, authority).ok().map(|document| (document, index + 1 == newest))
            });
            let (document, current) = found.ok_or_else(|| nobody_signed(&RoleName::Targets, version))?;
            check_number(&RoleName::Targets, version, &document)?;
            state.targets.push(SignedRole { document, bytes, current });
        }
        Ok(self)
    }

    fn read_roots(&mut self, start: UpdateStart) -> Result<(), RepositoryError> {
        let mut expect: Option<ExpectRoot> = None;
        for version in self.versions(&RoleName::Root)? {
            let bytes = self.bytes(&RoleName::Root, version)?;
            match &mut expect {
                None => {
                    let first = ExpectRoot::begin_for(self.occasion, &bytes, start, RootPolicy::default())?;
                    if first.trusted().version.get() != 1 {
                        let at = file_name(&RoleName::Root, version);
                        return Err(RepositoryError::configuration(at, "the chain of roots must begin at version 1"));
                    }
                    expect = Some(first);
                }
                Some(expect) => expect.root(&bytes)?,
            }
            self.roots.extend(expect.as_ref().map(|expect| (expect.trusted().clone(), bytes)));
        }
        Ok(())
    }

    /// The roots that lie in a directory, oldest first, each verified by the one before it.
    ///
    /// # Errors
    /// When the chain is broken, or a file cannot be read.
    pub(super) fn roots_of(directory: &Path, start: UpdateStart) -> Result<Vec<SignedRoot>, RepositoryError> {
        let mut state = Self::none(directory);
        state.read_roots(start)?;
        Ok(state.roots)
    }

    /// The state in which nothing is signed yet.
    pub(super) fn none(directory: &Path) -> Self {
        let (place, occasion) = (Place::Directory(directory.to_owned()), Occasion::Real);
        Self { place, occasion, roots: Vec::new(), targets: Vec::new(), until: None }
    }

    /// The state before this version of a role was signed.
    #[must_use]
    pub(crate) fn before(&self, role: &RoleName, version: Version) -> Self {
        let mut state = self.clone();
        match role {
            RoleName::Root => state.roots.retain(|(root, _)| root.version < version),
            RoleName::Targets => state.targets.retain(|targets| targets.version() < version),
            _ => {}
        }
        state.until = Some((role.clone(), version));
        state
    }

    /// The roots, oldest first, as files.
    pub fn roots(&self) -> impl DoubleEndedIterator<Item = (&Verified<Root>, &[u8])> {
        self.roots.iter().map(|(root, bytes)| (root, bytes.as_slice()))
    }

    /// The newest root.
    pub fn root(&self) -> Option<&Verified<Root>> {
        self.roots.last().map(|(root, _)| root)
    }

    /// The name of the repository that nobody can choose: the SHA-256 of its first root.
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.roots.first().map(|(_, bytes)| sha256(bytes))
    }

    /// The newest top-level targets.
    pub fn targets(&self) -> Option<&SignedRole> {
        self.targets.last()
    }

    /// All top-level targets, oldest first.
    pub(crate) fn every_targets(&self) -> impl DoubleEndedIterator<Item = &SignedRole> {
        self.targets.iter()
    }

    /// The versions of top-level targets, oldest first, as files.
    pub(crate) fn all_targets(&self) -> impl DoubleEndedIterator<Item = (Version, &[u8])> {
        self.targets.iter().map(|targets| (targets.version(), targets.bytes.as_slice()))
    }

    /// The newest document of a namespace.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn namespace(&self, role: &RoleName) -> Result<Option<SignedRole>, RepositoryError> {
        let newest = self.targets.len();
        if let Some(version) = self.versions(role)?.pop() {
            let bytes = self.bytes(role, version)?;
            let envelope = self.parse(role, &bytes)?;
            let found = self.targets.iter().enumerate().rev().find_map(|(index, targets)| {
                let delegations = targets.document.delegations.as_ref()?;
                let delegation = delegations.to_role(role.as_str())?;
                let authority = Authority::of_delegation(delegations, &delegation);
                verify::<Targets>(&envelope, authority).ok().map(|document| (document, index + 1 == newest))
            });
            let (document, current) = found.ok_or_else(|| nobody_signed(role, version))?;
            check_number(role, version, &document)?;
            return Ok(Some(SignedRole { document, bytes, current }));
        }
        Ok(None)
    }

    /// The newest document of a role that another delegated role delegates to, if that role's keys signed it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn below(&self, delegator: &Targets, role: &RoleName) -> Result<Option<SignedRole>, RepositoryError> {
        let Some(version) = self.versions(role)?.pop() else { return Ok(None) };
        let bytes = self.bytes(role, version)?;
        let envelope = self.parse(role, &bytes)?;
        let Some(delegations) = &delegator.delegations else { return Ok(None) };
        let Some(delegation) = delegations.to_role(role.as_str()) else { return Ok(None) };
        let document: Verified<Targets> = verify(&envelope, Authority::of_delegation(delegations, &delegation))?;
        check_number(role, version, &document)?;
        Ok(Some(SignedRole { document, bytes, current: true }))
    }

    /// The newest document of a role that names targets.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn role(&self, role: &RoleName) -> Result<Option<SignedRole>, RepositoryError> {
        match role {
            RoleName::Targets => Ok(self.targets().cloned()),
            role => self.namespace(role),
        }
    }

    /// One version of a role that names targets, if it is the newest; `None` for the other top-level roles, and for
    /// those that only another delegated role delegates to.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn role_at(
        &self,
        role: &RoleName,
        version: Version,
    ) -> Result<Option<Verified<Targets>>, RepositoryError> {
        if matches!(role, RoleName::Root | RoleName::Timestamp | RoleName::Snapshot) {
            return Ok(None);
        }
        let delegates = |targets: &SignedRole| {
            targets.document.delegations.as_ref().is_some_and(|all| all.to_role(role.as_str()).is_some())
        };
        if matches!(role, RoleName::Delegated(_)) && !self.targets.iter().any(delegates) {
            return Ok(None);
        }
        Ok(self.role(role)?.filter(|newest| newest.version() == version).map(|newest| newest.document))
    }

    /// The versions of a role that lie here, in order. Nothing is said about their signatures.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn versions(&self, role: &RoleName) -> Result<Vec<Version>, RepositoryError> {
        let mut versions = match &self.place {
            Place::Directory(directory) | Place::Noted(directory, _) => Self::versions_in(directory, role)?,
            Place::Files(files) => versions_among(files.keys().map(String::as_str), role),
        };
        if let Some((_, until)) = self.until.as_ref().filter(|(of, _)| of == role) {
            versions.retain(|version| version < until);
        }
        Ok(versions)
    }

    /// The versions of a role that lie in another directory of the same layout.
    pub(crate) fn versions_in(directory: &Path, role: &RoleName) -> Result<Vec<Version>, RepositoryError> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let names: Vec<_> = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<_, std::io::Error>>()?;
        Ok(versions_among(names.iter().filter_map(|name| name.to_str()), role))
    }

    /// A metadata file as it lies here.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self, role: &RoleName, version: Version) -> Result<Vec<u8>, RepositoryError> {
        self.read_file(&file_name(role, version))
    }

    /// The content of a target that a signed document names, checked against it.
    ///
    /// # Errors
    /// When it is absent or is something else.
    pub fn target(&self, path: &TargetPath, named: &TargetFile) -> Result<Vec<u8>, RepositoryError> {
        let (_, digest) = named.hashes.iter().next().expect("hashes are never empty");
        self.target_at(format!("targets/{}", path.url_path(Some(digest))), named)
    }

    /// The content of a target from one of the files in which it lies, checked.
    pub(super) fn target_at(&self, name: String, named: &TargetFile) -> Result<Vec<u8>, RepositoryError> {
        let bytes = self.read_file(&name)?;
        if named.length == bytes.len() as u64 && named.hashes.are_of(&bytes) {
            Ok(bytes)
        } else {
            Err(RepositoryError::configuration(name, "is not the file that was signed for"))
        }
    }

    pub(super) fn parse(&self, role: &RoleName, bytes: &[u8]) -> Result<Envelope, Refusal> {
        let envelope = Envelope::parse_for(self.occasion, bytes);
        envelope.map_err(|source| Refusal::Malformed { role: role.clone(), source })
    }

    fn read_file(&self, name: &str) -> Result<Vec<u8>, RepositoryError> {
        let (at, found) = match &self.place {
            Place::Directory(directory) | Place::Noted(directory, _) => {
                let path = directory.join(name);
                let found = read_below(directory, &path, LONGEST)?;
                (path.to_string_lossy().into_owned(), found)
            }
            Place::Files(files) => (name.to_owned(), files.get(name).cloned()),
        };
        if let (Place::Noted(_, noted), Some(bytes)) = (&self.place, &found) {
            noted.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bytes.clone());
        }
        let problem = "does not exist, but signed metadata names it";
        found.ok_or_else(|| RepositoryError::configuration(at, problem))
    }

    /// The version that must follow in a role.
    ///
    /// # Errors
    /// When there is none, or the directory cannot be read.
    pub fn next_version(&self, role: &RoleName) -> Result<Version, RepositoryError> {
        match self.versions(role)?.last() {
            None => Ok(Version::new(1).expect("1 is not zero")),
            Some(last) => {
                last.next().ok_or_else(|| RepositoryError::LastVersion { role: role.clone(), version: *last })
            }
        }
    }
}

/// The roles that a document delegates to, in order; of hash bins, those that there can be.
pub(crate) fn delegated_roles(targets: &Targets) -> Vec<RoleName> {
    match targets.delegations.as_ref().map(|all| &all.rule) {
        Some(DelegationRule::Roles(roles)) => roles.iter().map(|delegation| delegation.role).collect(),
        Some(DelegationRule::Bins(bins)) => {
            let last = (1_u32 << bins.bit_length.min(MOST_BITS)) - 1;
            (0..=last).filter_map(|bin| RoleName::delegated(&bins.bin_name(bin))).collect()
        }
        None => Vec::new(),
    }
}

/// Most leading bits by which hash bins are told apart whose documents are looked for: each is a file that is read.
pub(super) const MOST_BITS: u32 = 10;

/// The files below `targets` that hold what an entry is about: one for each hash, as clients choose among them.
pub(crate) fn target_names<'a>(path: &'a TargetPath, named: &'a TargetFile) -> impl Iterator<Item = String> + 'a {
    named.hashes.iter().map(|(_, digest)| path.url_path(Some(digest)))
}

/// The versions of a role among names of files, in order.
fn versions_among<'a>(names: impl Iterator<Item = &'a str>, role: &RoleName) -> Vec<Version> {
    let ending = format!(".{}.json", role.encoded());
    let number = |name: &'a str| name.strip_suffix(&ending).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let mut versions: Vec<Version> =
        names.filter_map(number).filter_map(|number| number.parse().ok().and_then(Version::new)).collect();
    versions.sort_unstable();
    versions
}

/// A file that nobody signed for must not decide which version comes next.
fn nobody_signed(role: &RoleName, version: Version) -> RepositoryError {
    let problem = "no keys that ever were this role's signed it: somebody put it there; remove it";
    RepositoryError::configuration(format!("{}/{}", super::SIGNED_DIRECTORY, file_name(role, version)), problem)
}

fn check_number(role: &RoleName, version: Version, document: &Targets) -> Result<(), RepositoryError> {
    if document.version == version {
        return Ok(());
    }
    let at = format!("{}/{}", super::SIGNED_DIRECTORY, file_name(role, version));
    Err(RepositoryError::configuration(at, format!("holds {} of the role", document.version)))
}

impl SignedRole {
    /// The version of the document.
    pub fn version(&self) -> Version {
        self.document.version()
    }
}
