//! Fetches the builder map: catalog, then the document that speaks for an ID, then the logs that may prove times.
//!
//! Everything comes through one [`Updater`], so that all of it belongs to one state of the repository. Which role may
//! answer for what is decided by [`Registry`]; this file only carries the answers.

use super::history::{Content, Noted, Subject};
use super::{UpdateError, Updater, UpdaterSettings};
use crate::builders::{
    Answer, Builder, BuilderId, Found, MAX_DOCUMENT_BYTES, MapDocument, NamespaceEntry, Realm, Registry, RegistryError,
    Verifier, catalog_path,
};
use crate::example_keys::example_key_name;
use crate::metadata::TargetPath;
use crate::trust::FoundTarget;

/// Why the builder map gives no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Something could not be fetched, or TUF refused it.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The map refuses it.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// The repository has no catalog.
    #[error("the repository has no catalog, {path}")]
    NoCatalog {
        /// Where it would stand.
        path: TargetPath,
    },
}

/// Refuses a document that lists a signer whose secret key everybody has, unless the repository may be a trial.
pub(super) fn refuse_example_signers<T: MapDocument>(
    settings: &UpdaterSettings,
    document: &T,
) -> Result<(), UpdateError> {
    let mut keys = document.signers().iter().filter_map(|signer| signer.key_identity.as_deref());
    match keys.find_map(example_key_name) {
        Some(name) if !settings.may_be_trial() => Err(UpdateError::ExampleSigner { id: document.id().clone(), name }),
        _ => Ok(()),
    }
}

impl From<RegistryError> for LookupError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl LookupError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Update(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::NoCatalog { .. } => "no-catalog",
        }
    }

    /// Whether trust said no, as opposed to being unable to tell.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Update(error) => error.is_refusal(),
            Self::Registry(_) | Self::NoCatalog { .. } => true,
        }
    }
}

impl Updater {
    /// Fetches the catalog.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn registry(&mut self) -> Result<Registry, LookupError> {
        let path = catalog_path();
        let Some((found, bytes)) = self.document(&path, MAX_DOCUMENT_BYTES as u64).await? else {
            return Err(LookupError::NoCatalog { path });
        };
        let trusted = self.refresh().await?;
        let answer = Answer { path: &found.path, role: &found.role, version: found.version, bytes: &bytes };
        let registry = Registry::new(&answer, trusted.targets(), trusted.snapshot())?;
        let version = Some(found.version);
        self.driver
            .note_document(Noted { subject: Subject::Catalog, version, content: Content::Bytes(bytes.into()) })
            .await;
        Ok(registry)
    }

    /// Finds the document that speaks for a builder or verifier.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn look_up<T: MapDocument>(
        &mut self,
        registry: &Registry,
        id: &BuilderId,
    ) -> Result<Found<T>, LookupError> {
        let mut search = registry.search::<T>(id)?;
        let mut last = None;
        while let Some(path) = search.wanted().map(|wanted| wanted.path.clone()) {
            let document = self.document(&path, MAX_DOCUMENT_BYTES as u64).await?;
            search.answered(document.as_ref().map(|(found, bytes)| Answer {
                path: &found.path,
                role: &found.role,
                version: found.version,
                bytes,
            }))?;
            last = document;
        }
        let found = search.finish()?;
        refuse_example_signers(&self.driver.settings, &found.document)?;
        if let Some((target, bytes)) = last {
            let id = found.document.id().to_string();
            let subject = if T::SPEAKS_ABOUT_RESOURCES { Subject::Verifier(id) } else { Subject::Builder(id) };
            self.driver
                .note_document(Noted { subject, version: Some(target.version), content: Content::Bytes(bytes.into()) })
                .await;
        }
        Ok(found)
    }

    /// Looks up again every builder and verifier that was looked up on this machine before, so that their documents are
    /// current and their changes are noted: see [`super::History`]. At most 256 are, those that changed last. Returns those that could not be looked
    /// up. That an ID has no document any more is noted, and no error.
    ///
    /// # Errors
    /// When there is no catalog to look them up in.
    pub async fn refresh_documents(&mut self) -> Result<Vec<(Subject, LookupError)>, LookupError> {
        let known = self.history().map_err(UpdateError::from)?.looked_up();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let registry = self.registry().await?;
        let mut failed = Vec::new();
        for subject in &known {
            // Who can write to the store can have us ask for other IDs; what is answered is judged as ever.
            let Ok(id) = BuilderId::parse(subject.name()) else { continue };
            let looked_up = match subject {
                Subject::Verifier(_) => self.look_up::<Verifier>(&registry, &id).await.map(drop),
                _ => self.look_up::<Builder>(&registry, &id).await.map(drop),
            };
            match looked_up {
                Err(LookupError::Registry(error)) => {
                    let (subject, content) = (subject.clone(), Content::Gone(error.code()));
                    self.driver.note_document(Noted { subject, version: None, content }).await;
                }
                Err(error) => failed.push((subject.clone(), error)),
                Ok(()) => {}
            }
        }
        Ok(failed)
    }

    /// Fetches the Sigstore trusted roots of the realms whose logs may prove times for a namespace. A realm without one,
    /// or with one that another role than top-level `targets` names, is left out: its times are then unknown.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub async fn time_authorities(
        &mut self,
        entry: &NamespaceEntry,
        limit: u64,
    ) -> Result<Vec<(Realm, FoundTarget, Vec<u8>)>, UpdateError> {
        let mut roots = Vec::new();
        for realm in &entry.time_authorities {
            let root = self.document(&realm.trusted_root_path(), limit).await?;
            if let Some((found, bytes)) = root.filter(|(found, _)| found.role == crate::metadata::RoleName::Targets) {
                roots.push((realm.clone(), found, bytes));
            }
        }
        Ok(roots)
    }

    async fn document(&mut self, path: &TargetPath, limit: u64) -> Result<Option<(FoundTarget, Vec<u8>)>, UpdateError> {
        let Some(found) = self.find(path).await? else { return Ok(None) };
        if found.file.length > limit {
            let (path, length) = (found.path, found.file.length);
            return Err(UpdateError::TargetTooLarge { path, length, limit });
        }
        let bytes = self.kept_target(&found).await?;
        Ok(Some((found, bytes)))
    }
}
