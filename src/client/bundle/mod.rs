//! Carries a repository's news to machines that have no network, in one file.
//!
//! A bundle is a mirror that fits in a pocket: it is trusted with nothing. [`export()`] answers the questions that it is
//! given and writes the files that a new client needs for the same answers; [`import`] asks the same questions of the
//! bundle, through an ordinary [`Updater`] with a [`BundleFetcher`], from the pinned root, with every check.
//!
//! ```no_run
//! use std::sync::Arc;
//! use trustroot::client::bundle::{Bundle, BundleFetcher, import};
//! use trustroot::client::*;
//! use trustroot::trust::UpdateStart;
//!
//! # async fn f(root: Vec<u8>, start: UpdateStart, mirror: Mirror) -> Result<(), Box<dyn std::error::Error>> {
//! let bundle = Bundle::open("news.bundle".as_ref())?;
//! let mut settings = UpdaterSettings::new(mirror.metadata_url.clone(), mirror.target_url.clone())
//!     .kept_targets(KeptTargets::In("/var/lib/example/targets".into()));
//! bundle.carry_over(&mut settings);
//! let cache = LocalCache::new("/var/lib/example/tuf", CacheMode::ReadWrite);
//! let questions = bundle.questions().clone();
//! let fetcher = Arc::new(BundleFetcher::new(bundle));
//! let mut updater = Updater::new(TrustAnchor::Pinned(root), settings, cache, fetcher, start)?;
//! let answers = import(&mut updater, &questions, 1 << 20).await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod export;
mod file;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use error::BundleError;
pub use export::{Exported, export};
pub use file::{Bundle, BundleFetcher, BundledFile, FirstRoot, MEDIA_TYPE};

use super::{LookupError, Updater};
use crate::builders::{Builder, BuilderId, Found, MapDocument, Registry, RegistryError, Verifier};
use crate::metadata::TargetPath;

/// What a bundle is to answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawQuestions", into = "RawQuestions")]
pub struct Questions {
    /// Targets to carry.
    pub targets: BTreeSet<TargetPath>,
    /// Builders and verifiers whose attestations are to be verified.
    pub builders: BTreeSet<BuilderId>,
}

/// The questions as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestions {
    targets: Vec<String>,
    builders: Vec<String>,
}

impl From<Questions> for RawQuestions {
    fn from(questions: Questions) -> Self {
        Self {
            targets: questions.targets.iter().map(|path| path.as_str().to_owned()).collect(),
            builders: questions.builders.iter().map(|id| id.as_str().to_owned()).collect(),
        }
    }
}

impl TryFrom<RawQuestions> for Questions {
    type Error = String;

    fn try_from(raw: RawQuestions) -> Result<Self, String> {
        if raw.targets.len() + raw.builders.len() > Questions::MOST {
            return Err(format!("it asks for more than {} targets and builders", Questions::MOST));
        }
        let targets = raw.targets.into_iter().map(|path| TargetPath::new(path).map_err(|error| error.to_string()));
        let builders = raw.builders.iter().map(|id| BuilderId::parse(id).map_err(|error| error.to_string()));
        Ok(Self { targets: targets.collect::<Result<_, _>>()?, builders: builders.collect::<Result<_, _>>()? })
    }
}

impl Questions {
    /// Most targets and builders that one bundle is asked for.
    pub const MOST: usize = 10_000;
}

/// What was found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Answers {
    /// Targets that are here now, verified.
    pub targets: BTreeSet<TargetPath>,
    /// Targets that no trusted role names.
    pub not_named: BTreeSet<TargetPath>,
    /// Builders and verifiers that somebody vouches for.
    pub builders: BTreeSet<BuilderId>,
    /// Those that the builder map refuses, and why: an answer too, which holds offline as well.
    pub refused: Vec<(BuilderId, RegistryError)>,
}

/// Asks a bundle's questions of the bundle: `updater` fetches from it. What is answered is kept where the updater keeps
/// metadata and targets. `limit` is the longest trusted root of a time authority that is read, in bytes.
///
/// # Errors
/// See [`LookupError`]: those of any mirror. A bundle that is older than what is trusted is refused as a rollback.
pub async fn import(updater: &mut Updater, questions: &Questions, limit: u64) -> Result<Answers, LookupError> {
    answer(updater, questions, limit).await
}

async fn answer(updater: &mut Updater, questions: &Questions, limit: u64) -> Result<Answers, LookupError> {
    let mut answers = Answers::default();
    updater.refresh().await?;
    for path in &questions.targets {
        match updater.find(path).await? {
            Some(found) => {
                updater.keep_target(&found).await?;
                answers.targets.insert(path.clone());
            }
            None => {
                answers.not_named.insert(path.clone());
            }
        }
    }
    if questions.builders.is_empty() {
        return Ok(answers);
    }
    let registry = updater.registry().await?;
    for id in &questions.builders {
        let found = match vouched_for::<Builder>(updater, &registry, id, limit).await {
            // The same spelling may be a verifier's.
            Err(LookupError::Registry(error)) if matches!(*error, RegistryError::UnknownBuilder { .. }) => {
                vouched_for::<Verifier>(updater, &registry, id, limit).await
            }
            other => other,
        };
        match found {
            Ok(()) => {
                answers.builders.insert(id.clone());
            }
            Err(LookupError::Registry(error)) => answers.refused.push((id.clone(), *error)),
            Err(error) => return Err(error),
        }
    }
    Ok(answers)
}

/// Fetches the document that speaks for an ID, and the trusted roots that may prove when it signed.
async fn vouched_for<T: MapDocument>(
    updater: &mut Updater,
    registry: &Registry,
    id: &BuilderId,
    limit: u64,
) -> Result<(), LookupError> {
    let Found { entry, .. } = updater.look_up::<T>(registry, id).await?;
    updater.time_authorities(&entry, limit).await?;
    Ok(())
}
