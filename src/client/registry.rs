//! Fetches the builder map: catalog, then the document that speaks for an ID, then the logs that may prove times.
//!
//! Everything comes through one [`Updater`], so that all of it belongs to one state of the repository. Which role may
//! answer for what is decided by [`Registry`]; this file only carries the answers.

use super::{UpdateError, Updater};
use crate::builders::{
    Answer, BuilderId, Found, MAX_DOCUMENT_BYTES, MapDocument, NamespaceEntry, Realm, Registry, RegistryError,
    catalog_path,
};
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
        Ok(Registry::new(&answer, trusted.targets(), trusted.snapshot())?)
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
        while let Some(path) = search.wanted().map(|wanted| wanted.path.clone()) {
            let document = self.document(&path, MAX_DOCUMENT_BYTES as u64).await?;
            search.answered(document.as_ref().map(|(found, bytes)| Answer {
                path: &found.path,
                role: &found.role,
                version: found.version,
                bytes,
            }))?;
        }
        Ok(search.finish()?)
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
