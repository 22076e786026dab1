//! Asks several repositories, and takes a target only where enough of them agree (TAP 4).
//!
//! Each repository is verified by itself, from its own root; none is trusted with what another one says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::future::join_all;

use super::map::{Mapping, RepositoryMap};
use super::{Downloaded, UpdateError, Updater};
use crate::builders::RegistryError;
use crate::metadata::{Envelope, HashAlgorithm, Hashes, Root, TargetPath};
use crate::trust::{FoundTarget, have_signers_in_common};

/// Several repositories, and the map that says which of them must agree about which targets.
///
/// ```no_run
/// use trustroot::client::{MultiRepository, RepositoryMap, Updater};
/// use trustroot::metadata::TargetPath;
///
/// # async fn f(map: &[u8], ours: Updater, theirs: Updater) -> Result<(), Box<dyn std::error::Error>> {
/// let updaters = [("ours".to_owned(), ours), ("theirs".to_owned(), theirs)].into();
/// let mut repositories = MultiRepository::new(RepositoryMap::parse(map)?, updaters)?;
/// let agreed = repositories.find(&TargetPath::new("tool")?).await?;
/// repositories.download(&agreed, "tool".as_ref(), None, |_| {}).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MultiRepository {
    map: RepositoryMap,
    pub(super) updaters: BTreeMap<String, Updater>,
}

/// A target that enough repositories agree about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Agreed {
    /// The target as the first of them names it, with the hashes that what is fetched must have: the one that all of them
    /// give, and those others without whose givers too few would agree.
    pub found: FoundTarget,
    /// The repositories that agree, in the order of the mapping, with what each of them says: one length, and one digest
    /// that all of them give.
    pub by: Vec<(String, FoundTarget)>,
    /// How many had to.
    pub threshold: usize,
    /// The other repositories of the mapping, and why each does not count.
    pub others: Vec<(String, Dissent)>,
}

/// Why a repository does not count among those that agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dissent {
    /// It does not name the target.
    #[error("it does not name the target")]
    NotNamed,
    /// It names the target with another length or other hashes.
    #[error("it names another content")]
    OtherContent,
    /// It could not be asked, was refused, or has a word that does not count.
    #[error("{message}")]
    Failed {
        /// The stable name of the error.
        code: &'static str,
        /// The error, for people.
        message: String,
    },
}

impl Dissent {
    /// The stable name of this kind of dissent, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotNamed => "no-such-target",
            Self::OtherContent => "other-content",
            Self::Failed { code, .. } => code,
        }
    }
}

/// Why there is no target that enough repositories agree about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsensusError {
    /// The map names a repository that there is no updater for.
    #[error("the map names the repository `{name}`, which is not known")]
    UnknownRepository {
        /// The name.
        name: String,
    },
    /// The map says nothing about the target.
    #[error("the map says of no repository that it answers for the target {path}")]
    NotMapped {
        /// The target.
        path: TargetPath,
    },
    /// No repository that was to be asked names the target.
    #[error("none of {} names the target {path}", .asked.join(", "))]
    NotNamed {
        /// The target.
        path: TargetPath,
        /// The repositories.
        asked: Vec<String>,
    },
    /// Repositories name the target, and too few of them agree about it. Later mappings are not asked: whoever holds one
    /// repository could otherwise choose the mapping.
    #[error("{agree} of the {threshold} repositories that must agree about the target {path} do")]
    Disagree {
        /// The target.
        path: TargetPath,
        /// What each repository says.
        said: Vec<(String, Option<FoundTarget>)>,
        /// How many agree.
        agree: usize,
        /// How many must.
        threshold: usize,
    },
    /// A repository could not be asked, or was refused, and without it there is no agreement.
    #[error("{name}: {source}")]
    Repository {
        /// The repository.
        name: String,
        /// Why.
        source: Box<UpdateError>,
    },
    /// The rules of the builder map refuse what a repository says, and without it there is no agreement.
    #[error("{name}: {source}")]
    Registry {
        /// The repository.
        name: String,
        /// Why.
        source: Box<RegistryError>,
    },
    /// A repository names a document of the builder map, and is none of those that agree about the catalog, which says
    /// who may sign that document. Without it there is no agreement.
    #[error("{name} names the document {path}, and is none of the repositories that agree about the catalog")]
    OtherCatalog {
        /// The repository.
        name: String,
        /// The document.
        path: TargetPath,
    },
    /// None of the repositories that were to be asked has a catalog.
    #[error("none of {} has a catalog, {path}", .asked.join(", "))]
    NoCatalog {
        /// Where it would stand.
        path: TargetPath,
        /// The repositories.
        asked: Vec<String>,
    },
    /// Something on this machine is in the way, whichever repository is asked.
    #[error(transparent)]
    Local(#[from] UpdateError),
    /// Two names stand for one repository, which would count twice.
    #[error("`{first}` and `{second}` are the same repository: they have a root, or the keys that sign it, in common")]
    SameRepository {
        /// One name.
        first: String,
        /// The other one.
        second: String,
    },
}

impl ConsensusError {
    fn of(name: &str, error: UpdateError) -> Self {
        Self::Repository { name: name.to_owned(), source: Box::new(error) }
    }

    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownRepository { .. } => "unknown-repository",
            Self::NotMapped { .. } => "not-mapped",
            Self::NotNamed { .. } => "no-such-target",
            Self::Disagree { .. } => "no-agreement",
            Self::Repository { source, .. } => source.code(),
            Self::Registry { source, .. } => source.code(),
            Self::OtherCatalog { .. } => "other-catalog",
            Self::NoCatalog { .. } => "no-catalog",
            Self::Local(error) => error.code(),
            Self::SameRepository { .. } => "same-repository",
        }
    }

    /// Whether trust said no, as opposed to being unable to tell.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Repository { source, .. } => source.is_refusal(),
            Self::Local(error) => error.is_refusal(),
            _ => true,
        }
    }
}

impl MultiRepository {
    /// Makes one from an updater for each repository that the map names. Nothing is fetched yet.
    ///
    /// # Errors
    /// When a mapping names a repository that has no updater.
    pub fn new(map: RepositoryMap, updaters: BTreeMap<String, Updater>) -> Result<Self, ConsensusError> {
        let mut named = map.mappings().iter().flat_map(|mapping| &mapping.repositories);
        if let Some(name) = named.find(|name| !updaters.contains_key(*name)) {
            return Err(ConsensusError::UnknownRepository { name: name.clone() });
        }
        Ok(Self { map, updaters })
    }

    /// Makes one of a single repository, which answers for every target.
    pub fn of_one(name: &str, updater: Updater) -> Self {
        Self { map: RepositoryMap::of_one(name), updaters: [(name.to_owned(), updater)].into() }
    }

    /// The updaters by name.
    pub fn updaters(&self) -> &BTreeMap<String, Updater> {
        &self.updaters
    }

    /// Looks for a target: with the first mapping that covers it and of whose repositories one names it.
    ///
    /// A repository that cannot be asked counts as one that does not agree; it never leads to a later mapping.
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub async fn find(&mut self, path: &TargetPath) -> Result<Agreed, ConsensusError> {
        self.find_where(path, |_, _| Ok(())).await
    }

    /// Looks for a target like [`MultiRepository::find`], and leaves out what a repository says where `may_count` says
    /// so. Such a repository is as one that cannot be asked: it never leads to a later mapping.
    pub(super) async fn find_where(
        &mut self,
        path: &TargetPath,
        may_count: impl Fn(&str, &FoundTarget) -> Result<(), ConsensusError>,
    ) -> Result<Agreed, ConsensusError> {
        let mut asked = Vec::new();
        for mapping in self.map.mappings().to_vec() {
            if !mapping.covers(path) {
                continue;
            }
            asked.extend(mapping.repositories.iter().cloned());
            if let Some(agreed) = self.find_by(&mapping, path, &may_count).await? {
                return Ok(agreed);
            }
            if mapping.terminating {
                break;
            }
        }
        if asked.is_empty() {
            return Err(ConsensusError::NotMapped { path: path.clone() });
        }
        let mut seen = BTreeSet::new();
        asked.retain(|name| seen.insert(name.clone()));
        Err(ConsensusError::NotNamed { path: path.clone(), asked })
    }

    /// `None` means that all repositories of the mapping were asked and none names the target.
    async fn find_by(
        &mut self,
        mapping: &Mapping,
        path: &TargetPath,
        may_count: &impl Fn(&str, &FoundTarget) -> Result<(), ConsensusError>,
    ) -> Result<Option<Agreed>, ConsensusError> {
        let mut answers: BTreeMap<String, _> = BTreeMap::new();
        let mut asking = Vec::new();
        for (name, updater) in self.updaters.iter_mut().filter(|(name, _)| mapping.repositories.contains(name)) {
            asking.push(async move { (name.clone(), updater.find(path).await) });
        }
        answers.extend(join_all(asking).await);
        let (mut said, mut others, mut failure) = (Vec::new(), Vec::new(), None);
        for name in &mapping.repositories {
            let answer = answers.remove(name).expect("every repository of a mapping has an updater");
            let answer = answer.map_err(|error| ConsensusError::of(name, error));
            let counts = |found: &Option<FoundTarget>| found.as_ref().map_or(Ok(()), |found| may_count(name, found));
            match answer.and_then(|found| counts(&found).map(|()| found)) {
                Ok(found) => said.push((name.clone(), found)),
                Err(error) => {
                    others.push((name.clone(), Dissent::Failed { code: error.code(), message: error.to_string() }));
                    failure.get_or_insert(error);
                }
            }
        }
        self.refuse_same_repository(&said)?;
        let found: Vec<(String, FoundTarget)> =
            said.iter().filter_map(|(name, found)| Some((name.clone(), found.clone()?))).collect();
        let agreement = largest_agreement(&found, mapping.threshold);
        let agree = agreement.as_ref().map_or(0, |(by, _)| by.len());
        if let Some((by, hashes)) = agreement
            && agree >= mapping.threshold
        {
            let mut first = by[0].1.clone();
            first.file.hashes = hashes;
            for (name, found) in said.iter().filter(|(name, _)| by.iter().all(|(agreeing, _)| agreeing != name)) {
                others.push((name.clone(), if found.is_some() { Dissent::OtherContent } else { Dissent::NotNamed }));
            }
            return Ok(Some(Agreed { found: first, by, threshold: mapping.threshold, others }));
        }
        match failure {
            // It could have named the target, and agreed.
            Some(failure) => Err(failure),
            None if found.is_empty() => Ok(None),
            None => {
                // Two that contradict each other agree with themselves.
                let (agree, threshold) = (agree.max(1), mapping.threshold);
                Err(ConsensusError::Disagree { path: path.clone(), said, agree, threshold })
            }
        }
    }

    /// One repository under two names is one, also where a mirror withholds the newer roots under one of them.
    fn refuse_same_repository(&self, said: &[(String, Option<FoundTarget>)]) -> Result<(), ConsensusError> {
        let mut before: Vec<(&String, Vec<Root>)> = Vec::new();
        for (name, _) in said {
            let updater = &self.updaters[name];
            let Some(trusted) = updater.trusted() else { continue };
            // Where trust starts, and where it is now.
            let anchor = Envelope::parse(&updater.driver.anchor).and_then(|root| root.unverified::<Root>());
            let roots: Vec<Root> = anchor.into_iter().chain([Root::clone(trusted.root())]).collect();
            let same = |others: &[Root]| {
                let mut pairs = roots.iter().flat_map(|root| others.iter().map(move |other| (root, other)));
                pairs.any(|(root, other)| root == other || have_signers_in_common(root, other))
            };
            if let Some((first, _)) = before.iter().find(|(_, others)| same(others)) {
                return Err(ConsensusError::SameRepository { first: (*first).clone(), second: name.clone() });
            }
            before.push((name, roots));
        }
        Ok(())
    }

    /// Downloads a target from the first of the repositories that agree about it and has it. What arrives must have the
    /// hashes of [`Agreed::found`]. See [`Updater::download`].
    ///
    /// # Errors
    /// The failure of the first repository, where no other one has the target either. That what it gave lacks a hash that
    /// only others name is said of those.
    pub async fn download(
        &mut self,
        agreed: &Agreed,
        destination: &Path,
        copy: Option<&Path>,
        mut progress: impl FnMut(u64),
    ) -> Result<Downloaded, ConsensusError> {
        let mut failure = None;
        for (name, _) in &agreed.by {
            let given = self.updater(name).download(&agreed.found, destination, copy, &mut progress).await;
            if let Some(downloaded) = agreed.given(name, given, &mut failure)? {
                return Ok(downloaded);
            }
        }
        Err(failure.expect("at least one repository agrees"))
    }

    /// Fetches a target into memory, like [`MultiRepository::download`].
    ///
    /// # Errors
    /// The failure of the first repository, where no other one has the target either.
    pub async fn target_bytes(&mut self, agreed: &Agreed, copy: Option<&Path>) -> Result<Vec<u8>, ConsensusError> {
        let mut failure = None;
        for (name, _) in &agreed.by {
            let given = self.updater(name).target_bytes(&agreed.found, copy).await;
            if let Some(bytes) = agreed.given(name, given, &mut failure)? {
                return Ok(bytes);
            }
        }
        Err(failure.expect("at least one repository agrees"))
    }

    /// Fetches a target into memory, or reads it from where the repositories' targets are kept.
    pub(super) async fn kept_target(&mut self, agreed: &Agreed) -> Result<Vec<u8>, ConsensusError> {
        let mut failure = None;
        for (name, _) in &agreed.by {
            let given = self.updater(name).kept_target(&agreed.found).await;
            if let Some(bytes) = agreed.given(name, given, &mut failure)? {
                return Ok(bytes);
            }
        }
        Err(failure.expect("at least one repository agrees"))
    }

    fn updater(&mut self, name: &str) -> &mut Updater {
        self.updaters.get_mut(name).expect("who agrees has an updater")
    }
}

impl Agreed {
    /// What a repository gave. `None` where it gave nothing and the next one is to be asked: an error of this machine ends
    /// it, since it would be the same with the next one.
    fn given<T>(
        &self,
        name: &str,
        given: Result<T, UpdateError>,
        failure: &mut Option<ConsensusError>,
    ) -> Result<Option<T>, ConsensusError> {
        match given {
            Ok(given) => Ok(Some(given)),
            Err(error @ UpdateError::Io(_)) => Err(error.into()),
            Err(error) => {
                failure.get_or_insert_with(|| self.blame(name, error));
                Ok(None)
            }
        }
    }

    /// A failure with whom it speaks against: where what a repository gave has not the hash that others name and it does
    /// not, that is their word.
    fn blame(&self, asked: &str, error: UpdateError) -> ConsensusError {
        let UpdateError::WrongTargetHash { from, algorithm, role } = error else {
            return ConsensusError::of(asked, error);
        };
        let names_it = |found: &FoundTarget| found.file.hashes.get(algorithm).is_some();
        let asked_first = self.by.iter().filter(|(name, _)| name == asked).chain(&self.by);
        let (name, role) = match asked_first.clone().find(|(_, found)| names_it(found)) {
            Some((name, found)) => (name.as_str(), found.role.clone()),
            None => (asked, role),
        };
        ConsensusError::of(name, UpdateError::WrongTargetHash { from, role, algorithm })
    }
}

/// The most repositories that agree about one content, the first where there are several such groups, and the hashes that
/// what is fetched must have.
///
/// Those agree who name one length and one digest: as long as fewer than `threshold` lie, no file but the right one can be
/// named so by enough. What else they name is asked for where fewer than `threshold` would be left without those who name
/// it, so that everyone who is needed is taken at all of their word; and it is passed over where enough others are left, so
/// that nobody can spoil an agreement by naming, beside the digest of all, another one that no file has.
fn largest_agreement(
    found: &[(String, FoundTarget)],
    threshold: usize,
) -> Option<(Vec<(String, FoundTarget)>, Hashes)> {
    let mut largest: Option<(Vec<_>, Hashes)> = None;
    for (_, first) in found {
        for digest in first.file.hashes.iter() {
            let agreement = agreement_about(first.file.length, digest, found, threshold);
            if largest.as_ref().is_none_or(|(by, _)| agreement.0.len() > by.len()) {
                largest = Some(agreement);
            }
        }
    }
    largest
}

fn agreement_about(
    length: u64,
    (algorithm, digest): (HashAlgorithm, &[u8]),
    found: &[(String, FoundTarget)],
    threshold: usize,
) -> (Vec<(String, FoundTarget)>, Hashes) {
    let agrees =
        |target: &FoundTarget| target.file.length == length && target.file.hashes.get(algorithm) == Some(digest);
    let mut by: Vec<&(String, FoundTarget)> = found.iter().filter(|(_, target)| agrees(target)).collect();
    loop {
        let mut named: BTreeMap<(HashAlgorithm, &[u8]), usize> = BTreeMap::new();
        for digest in by.iter().flat_map(|(_, target)| target.file.hashes.iter()) {
            *named.entry(digest).or_default() += 1;
        }
        named.retain(|_, names_it| by.len() < threshold.saturating_add(*names_it));
        let fits = |target: &FoundTarget| {
            named.keys().all(|(algorithm, digest)| target.file.hashes.get(*algorithm).is_none_or(|own| own == *digest))
        };
        let before = by.len();
        by.retain(|(_, target)| fits(target));
        if by.len() == before {
            return (by.into_iter().cloned().collect(), Hashes::of(named.into_keys()));
        }
    }
}
