//! Joins the catalog and the documents of namespaces: the only place that decides which document speaks for an ID.
//!
//! What comes in was verified by TUF: each [`Answer`] says which role named the target, and in which version. That a role
//! is trusted does not mean that it may answer *here*. The catalog must be answered by top-level `targets`; a namespace's
//! document by the role that the catalog names, reached through the one delegation that the namespace has.

use std::fmt;
use std::sync::Arc;

use super::document::DocumentError;
use super::namespace::namespace_directories;
use super::{
    Builder, BuilderId, Catalog, Namespace, NamespaceEntry, Revocation, Signer, Status, Verifier, builder_path,
    catalog_path, namespace_patterns, verifier_path,
};
use crate::metadata::{Delegation, matches_pattern};
use crate::metadata::{DelegationRule, Delegations, PathRule, RoleName, Snapshot, TargetPath, Targets, Version};
use crate::printable::Printable;

/// What TUF answered for one path: verified bytes, and who named them.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "made by whoever drives a search; all of it is needed")]
pub struct Answer<'a> {
    /// The path that was asked for.
    pub path: &'a TargetPath,
    /// The role that names the target.
    pub role: &'a RoleName,
    /// The version of that role's metadata.
    pub version: Version,
    /// The target, whose length and hashes were checked.
    pub bytes: &'a [u8],
}

/// Where a document came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// Its path.
    pub path: TargetPath,
    /// The role that named it.
    pub role: RoleName,
    /// The version of that role's metadata.
    pub version: Version,
}

impl Source {
    fn of(answer: &Answer<'_>) -> Self {
        Self { path: answer.path.clone(), role: answer.role.clone(), version: answer.version }
    }
}

/// A catalog that top-level `targets` answered for, with what is needed to judge who answers below it.
#[derive(Debug, Clone)]
pub struct Registry {
    catalog: Arc<Catalog>,
    source: Source,
    delegations: Option<Delegations>,
    snapshot: Snapshot,
}

/// Why a registry or one of its documents may not be used.
///
/// Text of documents is escaped when displayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The catalog is not one.
    #[error("the catalog cannot be used: {0}")]
    MalformedCatalog(DocumentError),
    /// Another role than the one that may answered for a document.
    #[error("the role {found} answers for {path}, where only {expected} may")]
    WrongRole {
        /// The document.
        path: TargetPath,
        /// Who may answer.
        expected: String,
        /// Who answered.
        found: RoleName,
    },
    /// No grant of the catalog covers the ID.
    #[error("the catalog does not know {id}: no grant covers it")]
    UnknownBuilder {
        /// The ID.
        id: BuilderId,
    },
    /// The catalog denies the ID.
    #[error("the catalog denies {id}: {}", Printable(.reason))]
    Denied {
        /// The ID.
        id: BuilderId,
        /// Why.
        reason: String,
    },
    /// Top-level targets do not delegate to the namespace as they have to.
    #[error("top-level targets do not delegate to the namespace {namespace} as they have to: {problem}")]
    BadDelegation {
        /// The namespace.
        namespace: Namespace,
        /// What is wrong.
        problem: String,
    },
    /// The namespace's metadata is older than the catalog allows.
    #[error("the role {role} is at {}, and the catalog asks for {least} at least", version(*found))]
    StaleNamespace {
        /// The role.
        role: String,
        /// Its version by the trusted snapshot.
        found: Option<Version>,
        /// The version that the catalog asks for.
        least: Version,
    },
    /// The namespace has no document for the ID.
    #[error("the namespace {namespace}, which may vouch for {id}, has no document for it")]
    NoDocument {
        /// The namespace.
        namespace: Namespace,
        /// The ID.
        id: BuilderId,
    },
    /// The document of an ID cannot be used.
    #[error("the document of {id} cannot be used: {problem}")]
    MalformedDocument {
        /// The ID.
        id: BuilderId,
        /// Why.
        problem: DocumentError,
    },
    /// The document at an ID's path is about another.
    #[error("the document at the path of {asked} is about {found}")]
    WrongDocument {
        /// The ID asked for.
        asked: BuilderId,
        /// The ID that the document is about.
        found: BuilderId,
    },
    /// The document before the ref does not stand for this ref.
    #[error("{base} does not stand for {asked}: its ref is none of those that its document lists")]
    RefNotAllowed {
        /// The ID asked for.
        asked: BuilderId,
        /// The ID before its ref.
        base: BuilderId,
    },
    /// The ID before the ref is revoked, so it stands for no other.
    #[error("{base} does not stand for {asked}: it is {status}")]
    Tombstoned {
        /// The ID asked for.
        asked: BuilderId,
        /// The ID before its ref.
        base: BuilderId,
        /// Its status.
        status: Status,
    },
    /// A verifier of a namespace that may not speak about anything.
    #[error("the namespace {namespace} has no grant of resources or packages, so its verifiers say nothing")]
    NoResourceGrant {
        /// The namespace.
        namespace: Namespace,
    },
}

fn version(version: Option<Version>) -> String {
    version.map_or("no version".to_owned(), |version| version.to_string())
}

impl RegistryError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedCatalog(_) => "malformed-catalog",
            Self::WrongRole { .. } => "wrong-role",
            Self::UnknownBuilder { .. } => "unknown-builder",
            Self::Denied { .. } => "denied",
            Self::BadDelegation { .. } => "bad-delegation",
            Self::StaleNamespace { .. } => "stale-namespace",
            Self::NoDocument { .. } => "no-document",
            Self::MalformedDocument { .. } => "malformed-document",
            Self::WrongDocument { .. } => "wrong-document",
            Self::RefNotAllowed { .. } => "ref-not-allowed",
            Self::Tombstoned { .. } => "tombstoned",
            Self::NoResourceGrant { .. } => "no-resource-grant",
        }
    }
}

/// A kind of document that namespaces sign: [`Builder`] or [`Verifier`].
pub trait MapDocument: Sized + fmt::Debug + Send + Sync + sealed::Sealed {
    /// Reads the document.
    ///
    /// # Errors
    /// See [`DocumentError`].
    fn read(bytes: &[u8]) -> Result<Self, DocumentError>;
    /// The ID that it is about.
    fn id(&self) -> &BuilderId;
    /// Its status.
    fn status(&self) -> &Status;
    /// Who signs for it.
    fn signers(&self) -> &[Signer];
    /// Where the document of `id` stands.
    fn path(namespace: &Namespace, id: &BuilderId) -> TargetPath;
    /// The namespace that may vouch for `id`.
    fn owner<'c>(catalog: &'c Catalog, id: &BuilderId) -> Option<(&'c Namespace, &'c NamespaceEntry)>;
    /// What the catalog holds against `id`.
    fn denials(catalog: &Catalog, id: &BuilderId) -> Vec<Revocation>;
    /// Whether this document, of the ID before a ref, stands for that ref too.
    fn stands_for_ref(&self, reference: &str) -> bool;
    /// Whether documents of this kind need a grant of resources or packages.
    const SPEAKS_ABOUT_RESOURCES: bool;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Builder {}
    impl Sealed for super::Verifier {}
}

impl MapDocument for Builder {
    fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::parse(bytes)
    }

    fn id(&self) -> &BuilderId {
        &self.id
    }

    fn status(&self) -> &Status {
        &self.status
    }

    fn signers(&self) -> &[Signer] {
        &self.signers
    }

    fn path(namespace: &Namespace, id: &BuilderId) -> TargetPath {
        builder_path(namespace, id)
    }

    fn owner<'c>(catalog: &'c Catalog, id: &BuilderId) -> Option<(&'c Namespace, &'c NamespaceEntry)> {
        catalog.owner_of_builder(id)
    }

    fn denials(catalog: &Catalog, id: &BuilderId) -> Vec<Revocation> {
        catalog.denials_of_builder(id).cloned().collect()
    }

    fn stands_for_ref(&self, reference: &str) -> bool {
        self.id_refs.iter().any(|glob| glob.matches(reference))
    }

    const SPEAKS_ABOUT_RESOURCES: bool = false;
}

impl MapDocument for Verifier {
    fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::parse(bytes)
    }

    fn id(&self) -> &BuilderId {
        &self.id
    }

    fn status(&self) -> &Status {
        &self.status
    }

    fn signers(&self) -> &[Signer] {
        &self.signers
    }

    fn path(namespace: &Namespace, id: &BuilderId) -> TargetPath {
        verifier_path(namespace, id)
    }

    fn owner<'c>(catalog: &'c Catalog, id: &BuilderId) -> Option<(&'c Namespace, &'c NamespaceEntry)> {
        catalog.owner_of_verifier(id)
    }

    fn denials(catalog: &Catalog, id: &BuilderId) -> Vec<Revocation> {
        catalog.denials_of_verifier(id).cloned().collect()
    }

    fn stands_for_ref(&self, _: &str) -> bool {
        false
    }

    const SPEAKS_ABOUT_RESOURCES: bool = true;
}

impl Registry {
    /// Takes the catalog that TUF answered with, and the top-level targets and snapshot that are trusted.
    ///
    /// # Errors
    /// When another role than top-level `targets` answered, or the catalog cannot be used.
    pub fn new(catalog: &Answer<'_>, targets: &Targets, snapshot: &Snapshot) -> Result<Self, RegistryError> {
        if *catalog.role != RoleName::Targets || *catalog.path != catalog_path() || catalog.version != targets.version {
            let (path, found) = (catalog.path.clone(), catalog.role.clone());
            return Err(RegistryError::WrongRole { path, expected: "top-level targets".to_owned(), found });
        }
        let source = Source::of(catalog);
        let catalog = Arc::new(Catalog::parse(catalog.bytes).map_err(RegistryError::MalformedCatalog)?);
        Ok(Self { catalog, source, delegations: targets.delegations.clone(), snapshot: snapshot.clone() })
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Where the catalog came from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Starts the search for the document that speaks for `id`: the ID itself, then the ID before its ref.
    ///
    /// # Errors
    /// When nobody may vouch for the ID, it is denied, or its namespace is not delegated to as it has to be.
    pub fn search<T: MapDocument>(&self, id: &BuilderId) -> Result<Search<'_, T>, RegistryError> {
        let (namespace, entry) =
            T::owner(&self.catalog, id).ok_or_else(|| RegistryError::UnknownBuilder { id: id.clone() })?;
        let denials = T::denials(&self.catalog, id);
        // A denial with a date leaves what was signed before; without one it leaves nothing.
        if let Some(denial) = denials.iter().find(|denial| denial.distrust_from.is_none()) {
            return Err(RegistryError::Denied { id: id.clone(), reason: denial.reason.clone() });
        }
        if T::SPEAKS_ABOUT_RESOURCES && entry.grants.resources.is_empty() && entry.grants.packages.is_empty() {
            return Err(RegistryError::NoResourceGrant { namespace: namespace.clone() });
        }
        self.check_delegation(namespace, entry)?;
        self.check_version(entry)?;
        let wanted = Some(Wanted { id: id.clone(), path: T::path(namespace, id), reference: None });
        Ok(Search { registry: self, asked: id.clone(), namespace, entry, denials, wanted, found: None })
    }

    fn check_version(&self, entry: &NamespaceEntry) -> Result<(), RegistryError> {
        let role = RoleName::delegated(&entry.role);
        let found = role.and_then(|role| self.snapshot.role(&role)).map(|meta| meta.version);
        if found.is_none_or(|found| found < entry.min_version) {
            return Err(RegistryError::StaleNamespace { role: entry.role.clone(), found, least: entry.min_version });
        }
        Ok(())
    }

    /// Checks that the namespace has one terminating delegation with its own three patterns, and that nothing before it
    /// could answer for them.
    fn check_delegation(&self, namespace: &Namespace, entry: &NamespaceEntry) -> Result<(), RegistryError> {
        let bad = |problem: String| Err(RegistryError::BadDelegation { namespace: namespace.clone(), problem });
        let roles = match self.delegations.as_ref().map(|delegations| &delegations.rule) {
            Some(DelegationRule::Roles(roles)) => roles,
            Some(DelegationRule::Bins(_)) => return bad("they delegate to hash bins".to_owned()),
            None => return bad("they delegate to nobody".to_owned()),
        };
        let is_it = |delegation: &Delegation| delegation.role.as_str() == entry.role;
        let Some(delegation) = roles.iter().find(is_it) else {
            return bad(format!("there is no delegation to {}", entry.role));
        };
        if !delegation.terminating {
            return bad(format!("the delegation to {} is not terminating, so others could answer", entry.role));
        }
        let mut expected = namespace_patterns(namespace);
        expected.sort();
        let exact = match &delegation.paths {
            PathRule::Patterns(patterns) => {
                let mut patterns = patterns.clone();
                patterns.sort();
                patterns == expected
            }
            PathRule::HashPrefixes(_) => false,
        };
        if !exact {
            return bad(format!("the delegation to {} has other paths than {}", entry.role, expected.join(" ")));
        }
        let mut earlier = roles.iter().take_while(|delegation| !is_it(delegation));
        if let Some(earlier) = earlier.find(|earlier| could_cover(earlier, namespace)) {
            return bad(format!("the delegation to {} stands before it and covers its paths", earlier.role));
        }
        Ok(())
    }
}

/// Whether a delegation could cover a document of the namespace. Says yes where it is not sure.
fn could_cover(delegation: &Delegation, namespace: &Namespace) -> bool {
    match &delegation.paths {
        PathRule::HashPrefixes(prefixes) => !prefixes.is_empty(),
        PathRule::Patterns(patterns) => patterns.iter().any(|pattern| {
            let Some((directory, _)) = pattern.rsplit_once('/') else { return false };
            namespace_directories(namespace).iter().any(|ours| matches_pattern(directory, ours))
        }),
    }
}

/// A search for the document of one ID. Whoever drives it looks up what is [wanted](Search::wanted), answers, and at the
/// end [finishes](Search::finish).
#[derive(Debug)]
pub struct Search<'r, T> {
    registry: &'r Registry,
    asked: BuilderId,
    namespace: &'r Namespace,
    entry: &'r NamespaceEntry,
    denials: Vec<Revocation>,
    wanted: Option<Wanted>,
    found: Option<(T, Source)>,
}

/// A document that a search wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// The ID that it is about.
    pub id: BuilderId,
    /// Where it stands.
    pub path: TargetPath,
    /// The ref that was asked for, where this is the ID before it.
    reference: Option<String>,
}

/// The document that speaks for an ID. Only a [`Search`] finds one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found<T> {
    /// The ID that was asked for. The document's ID is the same, or the one before its ref.
    pub asked: BuilderId,
    /// The document.
    pub document: T,
    /// The namespace that it belongs to.
    pub namespace: Namespace,
    /// What the catalog says about the namespace.
    pub entry: NamespaceEntry,
    /// What the catalog holds against the ID; each with the time from which it is not to be believed.
    pub denials: Vec<Revocation>,
    /// The catalog, which may deny keys and says who speaks about which resource.
    pub catalog: Arc<Catalog>,
    /// Where the document came from.
    pub source: Source,
    /// Where the catalog came from.
    pub catalog_source: Source,
}

impl<T: MapDocument> Search<'_, T> {
    /// The document that is wanted now; `None` when the search can be finished.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// Answers what is wanted: with what TUF found, or `None` where no trusted role names the path.
    ///
    /// # Errors
    /// When another role answered than the one that may, or the document may not be used for this ID.
    pub fn answered(&mut self, answer: Option<Answer<'_>>) -> Result<(), RegistryError> {
        let Some(wanted) = self.wanted.take() else { return Ok(()) };
        let Some(answer) = answer else {
            let before_ref = self.asked.split_ref().filter(|_| wanted.reference.is_none());
            if let Some((base, reference)) = before_ref {
                return self.want_base(base, reference.to_owned());
            }
            let id = self.asked.clone();
            return Err(RegistryError::NoDocument { namespace: self.namespace.clone(), id });
        };
        if *answer.path != wanted.path {
            return Err(self.wrong_role(answer.path, answer.role));
        }
        self.may_answer(answer.path, answer.role, answer.version)?;
        let document = T::read(answer.bytes)
            .map_err(|problem| RegistryError::MalformedDocument { id: wanted.id.clone(), problem })?;
        if *document.id() != wanted.id {
            return Err(RegistryError::WrongDocument { asked: wanted.id, found: document.id().clone() });
        }
        if let Some(reference) = &wanted.reference {
            let (asked, base) = (self.asked.clone(), wanted.id.clone());
            if let status @ Status::Revoked(_) = document.status() {
                return Err(RegistryError::Tombstoned { asked, base, status: status.clone() });
            }
            if !document.stands_for_ref(reference) {
                return Err(RegistryError::RefNotAllowed { asked, base });
            }
        }
        self.found = Some((document, Source::of(&answer)));
        Ok(())
    }

    /// Whether this role, in this version of its metadata, may answer for the document at `path`.
    ///
    /// # Errors
    /// When another role may, or the catalog asks for a newer version.
    pub fn may_answer(&self, path: &TargetPath, role: &RoleName, version: Version) -> Result<(), RegistryError> {
        if !matches!(role, RoleName::Delegated(role) if self.namespace.owns_role(role)) {
            return Err(self.wrong_role(path, role));
        }
        if role.as_str() == self.entry.role && version < self.entry.min_version {
            let (role, found) = (self.entry.role.clone(), Some(version));
            return Err(RegistryError::StaleNamespace { role, found, least: self.entry.min_version });
        }
        Ok(())
    }

    fn wrong_role(&self, path: &TargetPath, found: &RoleName) -> RegistryError {
        let (path, found) = (path.clone(), found.clone());
        RegistryError::WrongRole { path, expected: self.entry.role.clone(), found }
    }

    /// Goes on with the ID before the ref: in the same namespace only, and only if nothing is held against either.
    fn want_base(&mut self, base: BuilderId, reference: String) -> Result<(), RegistryError> {
        if let Some(denial) = self.denials.first() {
            return Err(RegistryError::Denied { id: self.asked.clone(), reason: denial.reason.clone() });
        }
        let catalog = &self.registry.catalog;
        if T::owner(catalog, &base).is_none_or(|(owner, _)| owner != self.namespace) {
            let id = self.asked.clone();
            return Err(RegistryError::NoDocument { namespace: self.namespace.clone(), id });
        }
        if let Some(denial) = T::denials(catalog, &base).into_iter().next() {
            return Err(RegistryError::Denied { id: base, reason: denial.reason });
        }
        let path = T::path(self.namespace, &base);
        self.wanted = Some(Wanted { id: base, path, reference: Some(reference) });
        Ok(())
    }

    /// Hands out the document.
    ///
    /// # Errors
    /// When there is none, also where not everything was answered.
    pub fn finish(self) -> Result<Found<T>, RegistryError> {
        let Some((document, source)) = self.found else {
            return Err(RegistryError::NoDocument { namespace: self.namespace.clone(), id: self.asked });
        };
        Ok(Found {
            asked: self.asked,
            document,
            namespace: self.namespace.clone(),
            entry: self.entry.clone(),
            denials: self.denials,
            catalog: Arc::clone(&self.registry.catalog),
            source,
            catalog_source: self.registry.source.clone(),
        })
    }
}
