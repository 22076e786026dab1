//! Fetches the builder map from several repositories: catalog and documents count where enough of them agree (TAP 4).
//!
//! Agreement is about bytes. Whether a repository's word counts at all is asked before, of each by itself and by the
//! same rules as where it is the only one ([`Registry`]): who names the catalog, how the namespace is delegated to, who
//! names the document. A repository counts for a document only if it also counted for the catalog, since that says who
//! may sign the document.

use std::collections::BTreeMap;

use super::history::{Content, Noted, Subject};
use super::registry::refuse_example_signers;
use super::{Agreed, ConsensusError, MultiRepository, UpdateError};
use crate::builders::{
    Answer, BuilderId, Catalog, Found, MAX_DOCUMENT_BYTES, MapDocument, NamespaceEntry, Realm, Registry, RegistryError,
    Search, catalog_path,
};
use crate::metadata::{RoleName, TargetPath};
use crate::trust::FoundTarget;

/// The catalog that enough repositories agree about.
#[derive(Debug, Clone)]
pub struct AgreedRegistry {
    agreed: Agreed,
    /// What each of the repositories that agree makes of it, in the order of the mapping.
    registries: Vec<(String, Registry)>,
}

impl AgreedRegistry {
    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        self.registries[0].1.catalog()
    }

    /// Who agrees about it.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }
}

/// The document that speaks for an ID, about which enough repositories agree.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgreedDocument<T> {
    /// The document, with its sources in the first of the repositories that agree.
    pub found: Found<T>,
    /// Who agrees about it.
    pub agreed: Agreed,
}

impl MultiRepository {
    /// Fetches the catalog from the repositories that the map names for it.
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub async fn registry(&mut self) -> Result<AgreedRegistry, ConsensusError> {
        let path = catalog_path();
        let document = self.document_where(&path, MAX_DOCUMENT_BYTES as u64, by_top_level).await;
        let (agreed, bytes) = document.map_err(|error| match error {
            ConsensusError::NotNamed { path, asked } => ConsensusError::NoCatalog { path, asked },
            error => error,
        })?;
        let mut registries = Vec::new();
        for (name, found) in &agreed.by {
            let trusted = self.updaters[name].trusted().expect("it has named the catalog");
            let registry = Registry::new(&answer(found, &bytes), trusted.targets(), trusted.snapshot());
            registries.push((name.clone(), registry.map_err(|error| refused(name, error))?));
        }
        self.note(&agreed, &Subject::Catalog, &bytes).await;
        Ok(AgreedRegistry { agreed, registries })
    }

    /// Finds the document that speaks for a builder or verifier, in the repositories that the map names for it and that
    /// agree about the catalog.
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub async fn look_up<T: MapDocument>(
        &mut self,
        registry: &AgreedRegistry,
        id: &BuilderId,
    ) -> Result<AgreedDocument<T>, ConsensusError> {
        let mut searches: BTreeMap<&str, Search<'_, T>> = BTreeMap::new();
        let mut unusable: BTreeMap<&str, RegistryError> = BTreeMap::new();
        for (name, registry) in &registry.registries {
            match registry.search(id) {
                Ok(search) => drop(searches.insert(name, search)),
                Err(error) => drop(unusable.insert(name, error)),
            }
        }
        // They read the same catalog, so that all of them want the same document.
        while let Some(path) = searches.values().find_map(|search| Some(search.wanted()?.path.clone())) {
            let may_count = |name: &str, found: &FoundTarget| match (searches.get(name), unusable.get(name)) {
                (Some(search), _) => {
                    search.may_answer(&path, &found.role, found.version).map_err(|error| refused(name, error))
                }
                (None, Some(error)) => Err(refused(name, error.clone())),
                (None, None) => Err(ConsensusError::OtherCatalog { name: name.to_owned(), path: path.clone() }),
            };
            match self.document_where(&path, MAX_DOCUMENT_BYTES as u64, may_count).await {
                Err(ConsensusError::NotNamed { .. }) => {
                    for (name, search) in &mut searches {
                        search.answered(None).map_err(|error| refused(name, error))?;
                    }
                }
                Err(error) => return Err(error),
                Ok((agreed, bytes)) => return self.finish(searches, agreed, bytes).await,
            }
        }
        // Nobody can say where the document would be: the first of them tells why.
        let first = registry.registries.iter().find_map(|(name, _)| Some((name, unusable.remove(name.as_str())?)));
        let (name, error) = first.expect("a search without an error wants a document, or has failed above");
        Err(refused(name, error))
    }

    async fn finish<T: MapDocument>(
        &mut self,
        mut searches: BTreeMap<&str, Search<'_, T>>,
        agreed: Agreed,
        bytes: Vec<u8>,
    ) -> Result<AgreedDocument<T>, ConsensusError> {
        let mut first = None;
        for (name, found) in &agreed.by {
            let mut search = searches.remove(name.as_str()).expect("only those with a search count");
            search.answered(Some(answer(found, &bytes))).map_err(|error| refused(name, error))?;
            let document = search.finish().map_err(|error| refused(name, error))?;
            refuse_example_signers(&self.updaters[name].driver.settings, &document.document)
                .map_err(|source| ConsensusError::Repository { name: name.clone(), source: Box::new(source) })?;
            first.get_or_insert(document);
        }
        let found = first.expect("at least one repository agrees");
        let id = found.document.id().to_string();
        let subject = if T::SPEAKS_ABOUT_RESOURCES { Subject::Verifier(id) } else { Subject::Builder(id) };
        self.note(&agreed, &subject, &bytes).await;
        Ok(AgreedDocument { found, agreed })
    }

    /// Fetches the Sigstore trusted roots of the realms whose logs may prove times for a namespace. A realm is left out,
    /// and its times are then unknown, where the map names nobody for its trusted root, where nobody names that, and where
    /// too few repositories do so by top-level `targets`.
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub async fn time_authorities(
        &mut self,
        entry: &NamespaceEntry,
        limit: u64,
    ) -> Result<Vec<(Realm, Agreed, Vec<u8>)>, ConsensusError> {
        let mut roots = Vec::new();
        for realm in &entry.time_authorities {
            match self.document_where(&realm.trusted_root_path(), limit, by_top_level).await {
                Ok((agreed, bytes)) => roots.push((realm.clone(), agreed, bytes)),
                Err(
                    ConsensusError::NotNamed { .. }
                    | ConsensusError::NotMapped { .. }
                    | ConsensusError::Registry { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(roots)
    }

    async fn document_where(
        &mut self,
        path: &TargetPath,
        limit: u64,
        may_count: impl Fn(&str, &FoundTarget) -> Result<(), ConsensusError>,
    ) -> Result<(Agreed, Vec<u8>), ConsensusError> {
        let agreed = self.find_where(path, may_count).await?;
        if agreed.found.file.length > limit {
            let (path, length) = (path.clone(), agreed.found.file.length);
            return Err(UpdateError::TargetTooLarge { path, length, limit }.into());
        }
        let bytes = self.kept_target(&agreed).await?;
        Ok((agreed, bytes))
    }

    /// Notes a document in the history of each repository that agrees about it.
    async fn note(&mut self, agreed: &Agreed, subject: &Subject, bytes: &[u8]) {
        let bytes = std::sync::Arc::new(bytes.to_vec());
        for (name, found) in &agreed.by {
            let updater = self.updaters.get_mut(name).expect("who agrees has an updater");
            let (subject, content) = (subject.clone(), Content::Bytes(std::sync::Arc::clone(&bytes)));
            updater.driver.note_document(Noted { subject, version: Some(found.version), content }).await;
        }
    }
}

fn answer<'a>(found: &'a FoundTarget, bytes: &'a [u8]) -> Answer<'a> {
    Answer { path: &found.path, role: &found.role, version: found.version, bytes }
}

fn by_top_level(name: &str, found: &FoundTarget) -> Result<(), ConsensusError> {
    if found.role == RoleName::Targets {
        return Ok(());
    }
    let (path, expected) = (found.path.clone(), "top-level targets".to_owned());
    Err(refused(name, RegistryError::WrongRole { path, expected, found: found.role.clone() }))
}

fn refused(name: &str, error: RegistryError) -> ConsensusError {
    ConsensusError::Registry { name: name.to_owned(), source: Box::new(error) }
}
