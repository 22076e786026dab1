//! One module for each command.

pub(crate) mod builder;
pub(crate) mod bundle;
pub(crate) mod ceremony;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod lookup;
mod maintain;
pub(crate) mod namespace;
pub(crate) mod publish;
pub(crate) mod refresh;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod templates;
pub(crate) mod trust;
pub(crate) mod verify;
mod verify_build;
mod watch;

use serde::Serialize;
use trustroot::metadata::{Document, RoleName, Version};
use trustroot::trust::{TrustedSet, Verified};

/// A role that is trusted, as shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleLine {
    role: String,
    version: u64,
    expires: String,
    /// Whether this run made it so.
    new: bool,
}

impl RoleLine {
    fn of<T: Document>(document: &Verified<T>, kept: &[(RoleName, Version)]) -> Self {
        let new = kept.iter().any(|(role, version)| role == document.role() && *version == document.version());
        Self {
            role: document.role().as_str().to_owned(),
            version: document.version().get(),
            expires: document.expires().to_string(),
            new,
        }
    }

    /// The four top-level roles.
    pub(crate) fn top_level(trusted: &TrustedSet, kept: &[(RoleName, Version)]) -> Vec<Self> {
        vec![
            Self::of(trusted.root(), kept),
            Self::of(trusted.timestamp(), kept),
            Self::of(trusted.snapshot(), kept),
            Self::of(trusted.targets(), kept),
        ]
    }
}
