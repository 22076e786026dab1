//! Looks up who a builder or verifier is: catalog, delegation, document, and the logs that may prove times.
//!
//! What is fetched is verified by TUF; who may answer for what is decided in [`crate::builders`].

use std::path::{Path, PathBuf};

use super::{UpdateError, Updater, stored_name};
use crate::builders::{
    Answer, BuilderId, CATALOG_PATH, Found, MAX_DOCUMENT_BYTES, MapDocument, NamespaceEntry, Realm, Registry,
    RegistryError,
};
use crate::metadata::{RoleName, TargetPath};
use crate::trust::FoundTarget;

/// Longest `trusted_root.json` that is fetched, in bytes.
const LONGEST_TRUSTED_ROOT: u64 = 4 << 20;

/// Where targets that were fetched are kept, so that the same question can be asked offline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "they are kept or they are not")]
pub enum KeepTargets {
    /// In this directory, under their encoded paths.
    In(PathBuf),
    /// Nowhere new; what lies in this directory is used where it is current.
    ReadFrom(PathBuf),
    /// Nowhere.
    No,
}

/// Why nobody can be looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookUpError {
    /// The repository, or a target of it, could not be had or was refused.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The repository has no catalog: it says nothing about builders.
    #[error("the repository has no {CATALOG_PATH}: it says nothing about builders")]
    NoCatalog,
    /// The builder map says no.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl LookUpError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Update(error) => error.code(),
            Self::NoCatalog => "no-catalog",
            Self::Registry(error) => error.code(),
        }
    }
}

impl Updater {
    /// Reads the catalog, after refreshing where that has not happened.
    ///
    /// # Errors
    /// When there is none, it cannot be had, or another role than top-level targets answers for it.
    pub async fn registry(&mut self, keep: &KeepTargets) -> Result<Registry, LookUpError> {
        let path = TargetPath::new(CATALOG_PATH).expect("the catalog's path is a target path");
        let limit = MAX_DOCUMENT_BYTES as u64;
        let (found, bytes) = self.small_target(&path, keep, limit).await?.ok_or(LookUpError::NoCatalog)?;
        let trusted = self.refresh().await?;
        let answer = Answer { path: &path, role: &found.role, version: found.version, bytes: &bytes };
        Ok(Registry::new(&answer, trusted.targets(), trusted.snapshot())?)
    }

    /// Finds the document that speaks for a builder or verifier.
    ///
    /// # Errors
    /// When nobody may vouch for the ID, it is denied, there is no document, or another role than the one that may
    /// answers for it.
    pub async fn look_up<T: MapDocument>(
        &mut self,
        registry: &Registry,
        id: &BuilderId,
        keep: &KeepTargets,
    ) -> Result<Found<T>, LookUpError> {
        let mut search = registry.search::<T>(id)?;
        while let Some(path) = search.wanted().map(|wanted| wanted.path.clone()) {
            let got = self.small_target(&path, keep, MAX_DOCUMENT_BYTES as u64).await?;
            let answer = got.as_ref().map(|(found, bytes)| Answer {
                path: &path,
                role: &found.role,
                version: found.version,
                bytes,
            });
            search.answered(answer)?;
        }
        Ok(search.finish()?)
    }

    /// The `trusted_root.json` of each realm whose logs may prove when builders of a namespace signed; those that the
    /// repository does not have are left out, as are those that cannot be had now: a time that cannot be proved is
    /// unknown, and judged so.
    ///
    /// # Errors
    /// When one is refused, or answered for by another role than top-level targets.
    pub async fn time_authorities(
        &mut self,
        entry: &NamespaceEntry,
        keep: &KeepTargets,
    ) -> Result<Vec<(Realm, Vec<u8>)>, LookUpError> {
        let mut authorities = Vec::new();
        for realm in &entry.time_authorities {
            let path = realm.trusted_root_path();
            match self.small_target(&path, keep, LONGEST_TRUSTED_ROOT).await {
                Ok(Some((found, bytes))) if found.role == RoleName::Targets => {
                    authorities.push((realm.clone(), bytes));
                }
                Ok(Some((found, _))) => {
                    let (expected, found) = ("top-level targets".to_owned(), found.role);
                    return Err(RegistryError::WrongRole { path, expected, found }.into());
                }
                Ok(None) => {}
                Err(error) if !error.is_refusal() => tracing::debug!(%realm, %error, "no trusted root"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(authorities)
    }

    async fn small_target(
        &mut self,
        path: &TargetPath,
        keep: &KeepTargets,
        limit: u64,
    ) -> Result<Option<(FoundTarget, Vec<u8>)>, UpdateError> {
        let Some(found) = self.find(path).await? else { return Ok(None) };
        let length = found.file.length;
        if length > limit {
            return Err(UpdateError::TargetTooLarge { path: path.clone(), length, limit });
        }
        let file = |directory: &Path| directory.join(stored_name(&path.encoded(), ""));
        let bytes = match keep {
            KeepTargets::In(directory) => {
                fs_err::create_dir_all(directory)?;
                let file = file(directory);
                self.download(&found, &file, None, |_| {}).await?;
                // Checked once more as it is read: another process may have replaced it.
                self.target_bytes(&found, Some(&file)).await?
            }
            KeepTargets::ReadFrom(directory) => self.target_bytes(&found, Some(&file(directory))).await?,
            KeepTargets::No => self.target_bytes(&found, None).await?,
        };
        Ok(Some((found, bytes)))
    }
}
