//! What working copies begin with.

use std::fmt::Write as _;

use clap::ValueEnum;
use trustroot::repository::CONFIG_FILE;

use crate::args::Holder;

/// What a working copy begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// Root and targets held by three people, any two of whom sign; one online key; a map of builders
    Small,
    /// Root held by nine people; releases by three of a team, nightly builds by one key of a machine
    Registry,
    /// What clients of a private Sigstore load: cosign, sigstore-python and others
    SigstorePrivate,
}

/// What explains a working copy.
pub(super) const README: &str = include_str!("../../../../repo-template/README.md");

/// What git leaves alone in a working copy.
const GITIGNORE: &str = include_str!("../../../../repo-template/gitignore");

impl Template {
    /// Its files, the configuration first.
    pub(super) fn files(self) -> [(&'static str, &'static str); 3] {
        let (config, readme) = match self {
            Self::Small => (include_str!("../../../../repo-template/trustroot.toml"), README),
            Self::Registry => (
                include_str!("../../../../repo-template/registry/trustroot.toml"),
                include_str!("../../../../repo-template/registry/README.md"),
            ),
            Self::SigstorePrivate => (
                include_str!("../../../../repo-template/sigstore-private/trustroot.toml"),
                include_str!("../../../../repo-template/sigstore-private/README.md"),
            ),
        };
        [(CONFIG_FILE, config), ("README.md", readme), (".gitignore", GITIGNORE)]
    }

    /// How many keyholders sign root and targets, where nobody says otherwise.
    pub(super) fn threshold(self) -> u64 {
        match self {
            Self::Small => 2,
            Self::Registry => 5,
            Self::SigstorePrivate => 3,
        }
    }

    /// The delegated roles whose signers may be named.
    pub(super) fn roles(self) -> Vec<&'static str> {
        let text = self.files()[0].1;
        text.split(MEMBERS).skip(1).filter_map(|rest| rest.split('@').next()).collect()
    }
}

/// Stands in a template before the name of a role whose signers are named.
const MEMBERS: &str = "@SIGNERS:";

/// Somebody who signs a delegated role, and the file with their public key.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) role: String,
    pub(crate) holder: Holder,
}

impl Member {
    /// Puts the signers of delegated roles where a template has room for them.
    pub(super) fn fill(members: &[Self], template: Template, text: &str) -> String {
        let mut filled = text.to_owned();
        for role in template.roles() {
            let mut signers = String::new();
            for member in members.iter().filter(|member| member.role == role) {
                let separator = if signers.is_empty() { "" } else { ", " };
                let _ = write!(signers, "{separator}\"{}\"", member.holder.person);
            }
            filled = filled.replace(&format!("{MEMBERS}{role}@"), &signers);
        }
        filled
    }
}
