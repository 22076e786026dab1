//! `trustroot.toml`: the one reviewed file that says who signs what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;

use super::{FamilyThresholds, Rehearsal, RepositoryError};
use crate::builders::Namespace;
use crate::metadata::{RoleName, TargetPath};

/// The configuration of a trust root. A field that is not known is an error: it could have been meant as a restriction.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Config {
    /// What the repository is called, for people.
    pub name: String,
    /// Whether this is a trial: throwaway keys are let in, and clients refuse it outside this machine.
    #[serde(default)]
    pub trial: bool,
    /// Who holds keys, by name.
    #[serde(default)]
    pub people: BTreeMap<String, Person>,
    /// Who signs the top-level roles.
    pub roles: Roles,
    /// Organisations that keep the keys of their own builders, by namespace.
    #[serde(default)]
    pub namespaces: BTreeMap<String, NamespaceConfig>,
    /// Other roles that top-level targets delegate to, by name: not namespaces of builders, and none of the catalog's
    /// business.
    #[serde(default)]
    pub delegations: BTreeMap<String, DelegationConfig>,
    /// Whether top-level targets name a catalog of builders.
    #[serde(default = "yes")]
    pub catalog: bool,
    /// Whether file names carry versions and hashes; publishing asks for it.
    #[serde(default = "yes")]
    pub consistent_snapshot: bool,
    /// What targets metadata says of a file beside length and hashes, in the member `custom`, by target path. What is
    /// signed already stays where nothing is said here; an empty table takes it away.
    #[serde(default)]
    pub custom: BTreeMap<String, toml::Table>,
    /// Other repositories whose newest root is a target of this one, by name.
    #[serde(default)]
    pub linked: BTreeMap<String, LinkedRepository>,
    /// Denials of the catalog: builder IDs, verifier IDs and keys that are refused whatever their namespace says.
    #[serde(default)]
    pub denials: Vec<toml::Value>,
    /// What ceremonies ask for beside signatures.
    #[serde(default)]
    pub ceremony: CeremonyConfig,
    /// Files with certificates that are believed about devices, besides those that the program knows, relative to the
    /// working copy.
    #[serde(default)]
    pub attestation_roots: Vec<PathBuf>,
    /// Of a rehearsal: what is rehearsed. Nothing that is signed here is valid anywhere.
    #[serde(default)]
    pub rehearsal: Option<Rehearsal>,
}

/// What ceremonies ask for beside signatures.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CeremonyConfig {
    /// People who replay ceremonies and sign what happened; they sign no role.
    #[serde(default)]
    pub witnesses: Vec<String>,
    /// How many of their keys must have signed before a document is published; 1 where it is left out.
    #[serde(default)]
    pub witness_threshold: Option<u64>,
    /// The roles whose ceremonies are witnessed; root and targets where it is left out.
    #[serde(default)]
    pub witnessed_roles: Option<Vec<String>>,
}

/// Somebody, or some machine, that holds keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Person {
    /// Files with public keys in PEM, relative to the working copy.
    pub keys: Vec<PathBuf>,
    /// Files with what devices say of these keys, certificates in PEM, relative to the working copy.
    #[serde(default)]
    pub attestations: Vec<PathBuf>,
    /// How their RSA keys sign, as metadata calls it; `rsassa-pss-sha256` where it is absent.
    #[serde(default)]
    pub rsa_scheme: Option<RsaScheme>,
    /// What metadata calls them, where that is not their name here.
    #[serde(default)]
    pub owner: Option<String>,
}

/// How an RSA key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum RsaScheme {
    /// PSS with SHA-256, which every client reads.
    #[serde(rename = "rsassa-pss-sha256")]
    Pss256,
    /// PSS with SHA-384.
    #[serde(rename = "rsassa-pss-sha384")]
    Pss384,
    /// PSS with SHA-512.
    #[serde(rename = "rsassa-pss-sha512")]
    Pss512,
    /// PKCS#1 v1.5 with SHA-256, as an ssh-agent signs. Not every client reads it.
    #[serde(rename = "rsa-pkcs1v15-sha256")]
    Pkcs1Sha256,
    /// PKCS#1 v1.5 with SHA-512, as an ssh-agent signs. Not every client reads it.
    #[serde(rename = "rsa-pkcs1v15-sha512")]
    Pkcs1Sha512,
}

impl RsaScheme {
    /// As metadata calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pss256 => "rsassa-pss-sha256",
            Self::Pss384 => "rsassa-pss-sha384",
            Self::Pss512 => "rsassa-pss-sha512",
            Self::Pkcs1Sha256 => "rsa-pkcs1v15-sha256",
            Self::Pkcs1Sha512 => "rsa-pkcs1v15-sha512",
        }
    }
}

fn yes() -> bool {
    true
}

/// Another repository whose newest root is a target of this one, so that whoever trusts this one finds it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct LinkedRepository {
    /// Its working copy, or the directory that it is published to; relative to this working copy.
    pub directory: PathBuf,
    /// The path of the target that is its newest root.
    pub target: String,
}

/// The policies of the four top-level roles.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Roles {
    /// Names the keys of all the others.
    pub root: Policy,
    /// Signs the catalog and delegates to the namespaces.
    pub targets: Policy,
    /// Says which versions belong together; online.
    pub snapshot: Policy,
    /// Says what is current; online.
    pub timestamp: Policy,
}

/// Who signs a role, and when.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Policy {
    /// People whose keys may sign.
    pub signers: Vec<String>,
    /// How many distinct keys must sign.
    pub threshold: u64,
    /// How many of them must be of which family, where that is asked.
    #[serde(default)]
    pub family_thresholds: Option<FamilyThresholds>,
    /// For how many days a signature of this role is good.
    pub expires_after_days: u32,
    /// How many days before it expires the next version should be signed.
    pub sign_within_days: u32,
    /// Keyids that stay listed as they are signed, though this program cannot use their keys.
    #[serde(default)]
    pub kept_keyids: Vec<String>,
    /// Whether it may be good for longer than the root that vouches for it.
    #[serde(default)]
    pub may_outlive_root: bool,
    /// Whether one person alone may sign root or targets.
    #[serde(default)]
    pub one_may_sign: bool,
}

/// A role that top-level targets delegate to, and that is no namespace of builders.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DelegationConfig {
    /// People whose keys may sign.
    pub signers: Vec<String>,
    /// How many distinct keys must sign.
    pub threshold: u64,
    /// How many of them must be of which family, where that is asked.
    #[serde(default)]
    pub family_thresholds: Option<FamilyThresholds>,
    /// Patterns of the target paths that it may name; absent where they stay as they are signed.
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    /// Whether a search ends here where a path matches.
    #[serde(default)]
    pub terminating: bool,
    /// For how many days a signature of this role is good.
    pub expires_after_days: u32,
    /// How many days before it expires the next version should be signed.
    pub sign_within_days: u32,
    /// Keyids that stay listed as they are signed, though this program cannot use their keys.
    #[serde(default)]
    pub kept_keyids: Vec<String>,
    /// Whether it may be good for longer than the root that vouches for it.
    #[serde(default)]
    pub may_outlive_root: bool,
}

impl DelegationConfig {
    /// Who signs the role, and when.
    pub fn policy(&self) -> Policy {
        Policy {
            signers: self.signers.clone(),
            threshold: self.threshold,
            family_thresholds: self.family_thresholds,
            expires_after_days: self.expires_after_days,
            sign_within_days: self.sign_within_days,
            kept_keyids: self.kept_keyids.clone(),
            may_outlive_root: self.may_outlive_root,
            one_may_sign: false,
        }
    }
}

/// An organisation that keeps the keys of its own builders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct NamespaceConfig {
    /// People whose keys may sign.
    pub signers: Vec<String>,
    /// How many distinct keys must sign.
    pub threshold: u64,
    /// How many of them must be of which family, where that is asked.
    #[serde(default)]
    pub family_thresholds: Option<FamilyThresholds>,
    /// For how many days a signature of this role is good.
    pub expires_after_days: u32,
    /// How many days before it expires the next version should be signed.
    pub sign_within_days: u32,
    /// What the catalog says about the namespace, in the catalog's own words.
    pub catalog: toml::Table,
}

impl NamespaceConfig {
    /// Who signs the namespace's role, and when.
    pub fn policy(&self) -> Policy {
        Policy {
            signers: self.signers.clone(),
            threshold: self.threshold,
            family_thresholds: self.family_thresholds,
            expires_after_days: self.expires_after_days,
            sign_within_days: self.sign_within_days,
            kept_keyids: Vec::new(),
            may_outlive_root: false,
            one_may_sign: false,
        }
    }
}

/// Longest time that a role may go without being signed, in days.
pub(super) const LONGEST_PERIOD: u32 = 3660;

/// What a reader of TOML says is wrong. It quotes the line; of a long one only the beginning is of use.
pub(super) fn said_of_toml(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let lines = text.trim_end().lines().map(|line| match line.char_indices().nth(LONGEST_QUOTED) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Longest line that an error quotes, in characters.
const LONGEST_QUOTED: usize = 200;

impl Config {
    /// Reads the configuration and checks that it can be kept: everybody named is there, and every threshold can be met.
    ///
    /// # Errors
    /// [`RepositoryError::Configuration`], with the line where TOML itself is broken, else with the field.
    pub fn parse(text: &str) -> Result<Self, RepositoryError> {
        let config: Self = toml::from_str(text)
            .map_err(|error| RepositoryError::configuration(super::CONFIG_FILE, said_of_toml(&error)))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), RepositoryError> {
        let wrong = |at: String, problem: String| {
            Err(RepositoryError::configuration(format!("{}: {at}", super::CONFIG_FILE), problem))
        };
        if self.name.is_empty() || self.name.len() > 100 || self.name.chars().any(char::is_control) {
            return wrong("name".into(), "expected 1 to 100 characters on one line".into());
        }
        for (person, held) in &self.people {
            let good = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
            if person.is_empty() || person.len() > 64 || !person.chars().all(good) {
                return wrong("people".into(), "a name has 1 to 64 letters, digits, `.`, `_`, `@`, `+` and `-`".into());
            }
            if held.keys.is_empty() {
                return wrong(format!("people.{person}"), "holds no key".into());
            }
            if held.owner.as_ref().is_some_and(String::is_empty) {
                return wrong(format!("people.{person}.owner"), "is empty: leave it out".into());
            }
        }
        for (role, policy) in self.policies() {
            let at = |field: &str| format!("{}.{field}", self.place(&role));
            for signer in &policy.signers {
                if !self.people.contains_key(signer) {
                    let problem = format!("`{signer}` is not among the people");
                    return wrong(at("signers"), problem);
                }
            }
            if policy.signers.iter().collect::<BTreeSet<_>>().len() != policy.signers.len() {
                return wrong(at("signers"), "names somebody twice".into());
            }
            if policy.threshold == 0 {
                return wrong(at("threshold"), "a threshold is at least 1".into());
            }
            if let Some(families) = policy.family_thresholds {
                if matches!(role, RoleName::Snapshot | RoleName::Timestamp) {
                    return wrong(at("family-thresholds"), "only roles that are signed in ceremonies have it".into());
                }
                if families == FamilyThresholds::default() {
                    return wrong(at("family-thresholds"), "asks for nothing: leave it out".into());
                }
            }
            if !(1..=LONGEST_PERIOD).contains(&policy.expires_after_days) {
                return wrong(at("expires-after-days"), format!("expected 1 to {LONGEST_PERIOD}"));
            }
            if policy.expires_after_days > self.roles.root.expires_after_days && !policy.may_outlive_root {
                return wrong(at("expires-after-days"), "root would expire before what it vouches for".into());
            }
            if policy.sign_within_days >= policy.expires_after_days {
                return wrong(at("sign-within-days"), "must be shorter than `expires-after-days`".into());
            }
        }
        self.check_witnesses().or_else(|(field, problem)| wrong(format!("ceremony.{field}"), problem))?;
        if let Some(Err(problem)) = self.rehearsal.as_ref().map(Rehearsal::check) {
            return wrong("rehearsal".into(), problem);
        }
        for namespace in self.namespaces.keys() {
            if let Err(error) = Namespace::parse(namespace) {
                return wrong(format!("namespaces.{namespace}"), error.to_string());
            }
        }
        for (name, delegation) in &self.delegations {
            let at = format!("delegations.{}", quoted(name));
            if RoleName::delegated(name).is_none() {
                return wrong(at, "belongs to a top-level role, or is empty".into());
            }
            if self.namespaces.contains_key(name) {
                return wrong(at, "is a namespace too".into());
            }
            if delegation.paths.as_ref().is_some_and(|paths| paths.is_empty() || paths.iter().any(String::is_empty)) {
                return wrong(format!("{at}.paths"), "expected patterns of target paths".into());
            }
        }
        let needs_catalog = !self.namespaces.is_empty() || !self.denials.is_empty();
        if needs_catalog && !self.catalog {
            return wrong(
                "catalog".into(),
                "namespaces and denials are published in the catalog: set it to true".into(),
            );
        }
        for path in self.custom.keys().chain(self.linked.values().map(|linked| &linked.target)) {
            if let Err(error) = TargetPath::new(path) {
                return wrong("custom or linked".into(), error.to_string());
            }
        }
        Ok(())
    }

    /// Everybody named is there and signs nothing; the error is a field and what is wrong with it.
    fn check_witnesses(&self) -> Result<(), (&'static str, String)> {
        let CeremonyConfig { witnesses, witness_threshold, witnessed_roles } = &self.ceremony;
        if witnesses.is_empty() && (witness_threshold.is_some() || witnessed_roles.is_some()) {
            return Err(("witnesses", "names nobody".into()));
        }
        if witnesses.iter().collect::<BTreeSet<_>>().len() != witnesses.len() {
            return Err(("witnesses", "names somebody twice".into()));
        }
        for witness in witnesses {
            if !self.people.contains_key(witness) {
                return Err(("witnesses", format!("`{witness}` is not among the people")));
            }
            if let Some((role, _)) = self.policies().iter().find(|(_, policy)| policy.signers.contains(witness)) {
                return Err(("witnesses", format!("`{witness}` signs {role}, and a witness signs no role")));
            }
        }
        if *witness_threshold == Some(0) {
            return Err(("witness-threshold", "a threshold is at least 1".into()));
        }
        let known = |role: &String| ["root", "targets"].contains(&role.as_str());
        match witnessed_roles {
            Some(roles) if roles.is_empty() || !roles.iter().all(known) => {
                Err(("witnessed-roles", "expected `root`, `targets` or both".into()))
            }
            _ => Ok(()),
        }
    }

    /// Every role with its policy, the top-level ones first.
    pub fn policies(&self) -> Vec<(RoleName, Policy)> {
        let Roles { root, targets, snapshot, timestamp } = &self.roles;
        let mut policies = vec![
            (RoleName::Root, root.clone()),
            (RoleName::Targets, targets.clone()),
            (RoleName::Snapshot, snapshot.clone()),
            (RoleName::Timestamp, timestamp.clone()),
        ];
        for (name, namespace) in &self.namespaces {
            // A name that no role can have is refused when the namespaces are checked.
            policies.extend(RoleName::delegated(name).map(|role| (role, namespace.policy())));
        }
        for (name, delegation) in &self.delegations {
            policies.extend(RoleName::delegated(name).map(|role| (role, delegation.policy())));
        }
        policies
    }

    /// Where the policy of a role stands in the file.
    pub(super) fn place(&self, role: &RoleName) -> String {
        match role {
            RoleName::Delegated(name) if self.delegations.contains_key(&**name) => {
                format!("delegations.{}", quoted(name))
            }
            RoleName::Delegated(name) => format!("namespaces.{name}"),
            role => format!("roles.{role}"),
        }
    }

    /// The policy of one role.
    ///
    /// # Errors
    /// When there is no such role.
    pub fn policy(&self, role: &RoleName) -> Result<Policy, RepositoryError> {
        let found = self.policies().into_iter().find(|(known, _)| known == role);
        found.map(|(_, policy)| policy).ok_or_else(|| RepositoryError::UnknownRole { role: role.clone() })
    }
}

/// A name as a key of TOML.
pub(super) fn quoted(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { name.to_owned() } else { text(name) }
}

/// Any text as a string of TOML, on one line.
pub(super) fn text(value: &str) -> String {
    let mut written = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(written, "\\u{:04X}", u32::from(c));
            }
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl Fn(String) -> String) -> Result<Config, String> {
        let role = |name: &str| {
            format!(
                "[roles.{name}]\nsigners = [\"alice\"]\nthreshold = 1\nexpires-after-days = 10\nsign-within-days = 3\n"
            )
        };
        let roles: String = ["root", "targets", "snapshot", "timestamp"].map(role).concat();
        let text = format!("name = \"t\"\n[people.alice]\nkeys = [\"keys/alice.pub\"]\n{roles}");
        Config::parse(&change(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_place() {
        assert!(with(|text| text).is_ok());
        for (from, to, expected) in [
            ("[\"alice\"]", "[\"bob\"]", "trustroot.toml: roles.root.signers: `bob` is not among the people"),
            ("[\"alice\"]", "[\"alice\", \"alice\"]", "trustroot.toml: roles.root.signers: names somebody twice"),
            ("threshold = 1", "threshold = 0", "trustroot.toml: roles.root.threshold: a threshold is at least 1"),
            (
                "threshold = 1",
                "threshold = 1\nfamily-thresholds = { classical = 0 }",
                "trustroot.toml: roles.root.family-thresholds: asks for nothing: leave it out",
            ),
            ("= 10", "= 0", "trustroot.toml: roles.root.expires-after-days: expected 1 to 3660"),
            ("= 3", "= 10", "trustroot.toml: roles.root.sign-within-days: must be shorter than `expires-after-days`"),
            ("keys = [\"keys/alice.pub\"]", "keys = []", "trustroot.toml: people.alice: holds no key"),
            ("name = \"t\"", "name = \"\"", "trustroot.toml: name: expected 1 to 100 characters on one line"),
        ] {
            assert_eq!(with(|text| text.replacen(from, to, 1)).unwrap_err(), expected);
        }
    }

    #[test]
    fn online_roles_have_no_family_thresholds() {
        let asked = "[roles.snapshot]\nfamily-thresholds = { post-quantum = 1 }";
        assert_eq!(
            with(|text| text.replacen("[roles.snapshot]", asked, 1)).unwrap_err(),
            "trustroot.toml: roles.snapshot.family-thresholds: only roles that are signed in ceremonies have it"
        );
        assert!(with(|text| text.replacen("[roles.snapshot]", "[roles.snapshot] # nothing asked", 1)).is_ok());
    }

    #[test]
    fn a_field_that_is_not_known_is_an_error_and_shows_its_line() {
        let error = with(|text| text.replacen("threshold", "treshold", 1)).unwrap_err();
        assert!(error.contains("line 6") && error.contains("treshold"), "{error}");
    }

    #[test]
    fn a_namespace_cannot_take_the_name_of_a_top_level_role() {
        let namespace =
            "signers = [\"alice\"]\nthreshold = 1\nexpires-after-days = 10\nsign-within-days = 3\ncatalog = {}\n";
        for name in ["root", "timestamp", "Oppy", "-a", "a_b"] {
            let error = with(|text| format!("{text}[namespaces.{name}]\n{namespace}")).unwrap_err();
            assert!(error.contains(&format!("namespaces.{name}")), "{error}");
        }
        assert!(with(|text| format!("{text}[namespaces.oppy]\n{namespace}")).is_ok());
    }
}
