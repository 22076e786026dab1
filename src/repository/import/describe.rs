//! Writes the configuration that says what is signed, and no more; and says what stays as it is because no configuration
//! can say it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::ImportError;
use super::read::{Read, RoleRead};
use crate::crypto::{VerifyingKey, metadata_key, spki_to_pem};
use crate::example_keys::example_key_name;
use crate::metadata::{
    DelegationRule, Delegations, KeyId, PathRule, PublicKey, RoleKeys, RoleName, Root, Threshold, Unrecognized,
};
use crate::printable::Printable;
use crate::repository::config::{quoted, text};
use crate::repository::proposal::{EXPIRY_PERIOD, SIGNING_PERIOD, recorded_periods, signed_part};
use crate::repository::{FAMILY_THRESHOLDS, FamilyThresholds};

/// The field in which tuf-on-ci says where the secret half of an online key is.
const ONLINE_URI: &str = "x-tuf-on-ci-online-uri";

/// What is written beside what has been signed.
#[derive(Debug, Clone)]
pub(super) struct Description {
    /// `trustroot.toml`.
    pub(super) config: String,
    /// Public keys, by file.
    pub(super) keys: BTreeMap<String, String>,
    /// What stays as it is signed although the configuration does not say it.
    pub(super) kept: Vec<String>,
    /// What had to be chosen because nothing that is signed says it.
    pub(super) chosen: Vec<String>,
}

/// Says what is signed.
pub(super) fn describe(read: &Read, name: &str) -> Result<Description, ImportError> {
    let (root, root_bytes) = read.root();
    let members = signed_part(root_bytes);
    let mut writer = Writer { root_period: period_of(&members, &RoleName::Root).0.0, ..Writer::default() };
    for role in [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp] {
        let of_role = members.get("roles").and_then(|roles| roles.get(role.as_str())).and_then(Value::as_object);
        let recorded = match &role {
            RoleName::Root => Some(members.clone()),
            RoleName::Targets => read.roles.first().map(|top| signed_part(&top.bytes)),
            _ => of_role.cloned(),
        };
        writer.top_level(root, &role, &recorded.unwrap_or_default())?;
    }
    writer.root_members(root, &members);
    let top = &read.roles[0];
    if read.targets[&RoleName::Targets].keys().any(|path| path.as_str().starts_with("slsa/")) {
        let problem = "it has a map of builders below `slsa/`: take its working copy, which says more than what is \
                       published";
        return Err(ImportError::CannotKeep { problem: problem.to_owned() });
    }
    if let Some(delegations) = &top.document.delegations {
        writer.delegations(read, delegations, &top.document.unrecognized)?;
    }
    for role in &read.roles {
        writer.role_members(role);
    }
    for role in &read.unsigned {
        writer.kept.push(format!("{role} is delegated to, and is not signed yet"));
    }
    Ok(writer.finish(read, name))
}

/// For how many days a role is good, how many days before that it is signed, and whether that is recorded.
fn period_of(members: &Map<String, Value>, role: &RoleName) -> ((u32, u32), bool) {
    let usual = match role {
        RoleName::Root => (365, 60),
        RoleName::Targets => (180, 30),
        RoleName::Snapshot => (14, 7),
        RoleName::Timestamp => (7, 3),
        RoleName::Delegated(_) => (90, 30),
    };
    let recorded = recorded_periods(members);
    (recorded.unwrap_or(usual), recorded.is_some())
}

#[derive(Debug, Default)]
struct Writer {
    root_period: u32,
    people: People,
    roles: String,
    kept: Vec<String>,
    chosen: Vec<String>,
}

impl Writer {
    fn top_level(&mut self, root: &Root, role: &RoleName, recorded: &Map<String, Value>) -> Result<(), ImportError> {
        let keys = root.role(role).expect("top-level roles are in every root");
        let online = matches!(role, RoleName::Snapshot | RoleName::Timestamp);
        let signers = self.signers(role, &root.keys, keys, online)?;
        let _ = writeln!(self.roles, "[roles.{role}]");
        self.policy(role, keys, &signers, recorded);
        let single = matches!(role, RoleName::Root | RoleName::Targets) && Some(keys.threshold) == Threshold::new(1);
        if single {
            self.roles.push_str("one-may-sign = true\n");
        }
        self.families(&root.unrecognized, role)?;
        self.roles.push('\n');
        Ok(())
    }

    fn families(&mut self, recorded: &Unrecognized, role: &RoleName) -> Result<(), ImportError> {
        let asked = FamilyThresholds::recorded(recorded).map_err(|problem| ImportError::CannotKeep { problem })?;
        if let Some(asked) = asked.get(role.as_str()) {
            let (classical, post_quantum) = (asked.classical, asked.post_quantum);
            let both = [("classical", classical), ("post-quantum", post_quantum)];
            let both: Vec<String> =
                both.iter().filter(|(_, n)| *n > 0).map(|(family, n)| format!("{family} = {n}")).collect();
            let _ = writeln!(self.roles, "family-thresholds = {{ {} }}", both.join(", "));
        }
        Ok(())
    }

    /// Signers, threshold and periods.
    fn policy(&mut self, role: &RoleName, keys: &RoleKeys, signers: &Signers, recorded: &Map<String, Value>) {
        let ((expires, sign_within), is_recorded) = period_of(recorded, role);
        let list = |texts: &[String]| texts.iter().map(|one| text(one)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(self.roles, "signers = [{}]", list(&signers.people));
        if !signers.kept.is_empty() {
            let _ = writeln!(self.roles, "kept-keyids = [{}]", list(&signers.kept));
        }
        let _ = writeln!(self.roles, "threshold = {}", keys.threshold);
        if !is_recorded {
            self.roles.push_str("# Not recorded in what is signed, and chosen when it was taken over.\n");
            self.chosen.push(format!("{role}: good for {expires} days, signed again {sign_within} days before"));
        }
        let _ = writeln!(self.roles, "expires-after-days = {expires}\nsign-within-days = {sign_within}");
        if expires > self.root_period {
            self.roles.push_str("may-outlive-root = true\n");
        }
        let number = |field| recorded.get(field).and_then(Value::as_u64);
        if is_recorded
            && (number(EXPIRY_PERIOD), number(SIGNING_PERIOD)) != (Some(expires.into()), Some(sign_within.into()))
        {
            self.kept.push(format!("{role}: the recorded periods, which the configuration can have only so"));
        }
    }

    /// Who signs a role; and the keyids whose keys nobody here can use.
    fn signers(
        &mut self,
        role: &RoleName,
        keys: &BTreeMap<KeyId, PublicKey>,
        of: &RoleKeys,
        online: bool,
    ) -> Result<Signers, ImportError> {
        let mut signers = Signers::default();
        let mut seen = BTreeSet::new();
        for keyid in &of.keyids {
            let shown = Printable(keyid.as_str()).to_string();
            let Some(listed) = keys.get(keyid) else {
                self.kept.push(format!("{role}: the keyid {shown}, of which there is no key"));
                signers.kept.push(keyid.as_str().to_owned());
                continue;
            };
            let key = match usable(listed) {
                Ok(key) => key,
                Err(problem) => {
                    let kind = Printable(listed.keytype());
                    self.kept.push(format!("{role}: the key {shown} (`{kind}`), which cannot be used here: {problem}"));
                    signers.kept.push(keyid.as_str().to_owned());
                    continue;
                }
            };
            if !seen.insert(key.canonical_spki().to_vec()) {
                self.kept.push(format!("{role}: the keyid {shown}, which is a second name of one key"));
                continue;
            }
            signers.people.push(self.people.holder(keyid, listed, &key, online)?);
        }
        Ok(signers)
    }

    /// What root says beside keys, thresholds and periods.
    fn root_members(&mut self, root: &Root, members: &Map<String, Value>) {
        self.unknown("root", &root.unrecognized);
        for role in root.other_roles.keys() {
            self.kept.push(format!("root: the role `{}`, which clients do not read", Printable(role)));
        }
        for role in ["root", "targets", "snapshot", "timestamp"] {
            let entry = members.get("roles").and_then(|roles| roles.get(role)).and_then(Value::as_object);
            let known = ["keyids", "threshold", EXPIRY_PERIOD, SIGNING_PERIOD];
            for field in entry.into_iter().flat_map(Map::keys).filter(|field| !known.contains(&field.as_str())) {
                self.kept.push(format!("root: `{}` of the role {role}", Printable(field)));
            }
        }
        let used: BTreeSet<&KeyId> =
            [&root.root, &root.targets, &root.snapshot, &root.timestamp].iter().flat_map(|role| &role.keyids).collect();
        for keyid in root.keys.keys().filter(|keyid| !used.contains(keyid)) {
            self.kept.push(format!("root: the key {}, which no role has", Printable(keyid.as_str())));
        }
        if !root.consistent_snapshot {
            self.kept.push("root: file names without versions (`consistent-snapshot = false`)".to_owned());
        }
    }

    fn unknown(&mut self, role: &str, fields: &Unrecognized) {
        let ours = [EXPIRY_PERIOD, SIGNING_PERIOD, FAMILY_THRESHOLDS];
        for field in fields.keys().filter(|field| !ours.contains(&field.as_str())) {
            self.kept.push(format!("{role}: the field `{}`", Printable(field)));
        }
    }

    fn delegations(
        &mut self,
        read: &Read,
        delegations: &Delegations,
        recorded: &Unrecognized,
    ) -> Result<(), ImportError> {
        let roles = match &delegations.rule {
            DelegationRule::Roles(roles) => roles,
            DelegationRule::Bins(bins) => {
                let prefix = Printable(&bins.name_prefix).to_string();
                self.kept.push(format!("targets: the hash bins {prefix}-*, as they are signed"));
                return Ok(());
            }
        };
        for delegation in roles.iter() {
            let role = &delegation.role;
            let signers = self.signers(role, &delegations.keys, &delegation.keys, false)?;
            let document = read.roles.iter().find(|read| read.role == *role);
            let recorded_here = document.map(|read| signed_part(&read.bytes)).unwrap_or_default();
            let _ = writeln!(self.roles, "[delegations.{}]", quoted(role.as_str()));
            self.policy(role, &delegation.keys, &signers, &recorded_here);
            self.families(recorded, role)?;
            match &delegation.paths {
                PathRule::Patterns(patterns) if !patterns.is_empty() && patterns.iter().all(|one| !one.is_empty()) => {
                    let list: Vec<String> = patterns.iter().map(|one| text(one)).collect();
                    let _ = writeln!(self.roles, "paths = [{}]", list.join(", "));
                }
                PathRule::Patterns(_) => {
                    self.kept.push(format!("targets: the paths of {role}, as they are signed"));
                }
                PathRule::HashPrefixes(_) => {
                    self.kept.push(format!("targets: the path hash prefixes of {role}, as they are signed"));
                }
            }
            if delegation.terminating {
                self.roles.push_str("terminating = true\n");
            }
            self.roles.push('\n');
        }
        Ok(())
    }

    /// What a targets document says beside files and delegations.
    fn role_members(&mut self, role: &RoleRead) {
        let name = role.role.to_string();
        self.unknown(&name, &role.document.unrecognized);
        let with = |field: &str| {
            role.document
                .iter()
                .filter(|(_, entry)| entry.as_ref().is_ok_and(|entry| entry.unrecognized.contains_key(field)))
                .count()
        };
        match with("custom") {
            0 => {}
            1 => self.kept.push(format!("{name}: `custom` of 1 target")),
            count => self.kept.push(format!("{name}: `custom` of {count} targets")),
        }
        if !role.by_targets && role.role != RoleName::Targets {
            self.kept
                .push(format!("{name}: another delegated role delegates to it, so its next version is not made here"));
        } else if role.role != RoleName::Targets && role.document.delegations.is_some() {
            self.kept.push(format!("{name}: the roles that it delegates to, as they are signed"));
        }
    }

    fn finish(self, read: &Read, name: &str) -> Description {
        let (root, _) = read.root();
        let trial = self.people.has_throwaway;
        let mut config = String::new();
        let _ = write!(
            config,
            "# The trust root, as it was taken over: who holds keys, who signs what, for how long. Change it by review, then\n\
             # start a signing event for the role that the change belongs to (`trustroot ceremony start root`, `… targets`,\n\
             # or the delegated role's name). What is signed and not said here stays as it is.\n\n\
             name = {}\n",
            text(name)
        );
        if trial {
            config.push_str(
                "# It lists throwaway keys of keys.example, whose secret halves everybody has.\ntrial = true\n",
            );
        }
        config.push_str("# It has no map of builders. With `true`, top-level targets name one.\ncatalog = false\n");
        if !root.consistent_snapshot {
            config.push_str(
                "# File names have no versions. `trustroot publish` asks for them: say `true`, and have root signed.\n\
                 consistent-snapshot = false\n",
            );
        }
        config.push_str(
            "\n# Who holds keys. Each file is a public key; metadata goes on listing it under the keyid that it has there.\n\n",
        );
        let mut keys = BTreeMap::new();
        for (person, held) in &self.people.held {
            let _ = writeln!(config, "[people.{}]\nkeys = [{}]", quoted(person), text(&key_file(person)));
            if let Some(owner) = held.owner.as_ref().filter(|owner| *owner != person) {
                let _ = writeln!(config, "owner = {}", text(owner));
            }
            if let Some(uri) = &held.online_uri {
                // On one line, as text: it is a comment.
                let _ = writeln!(config, "# online: {}", Printable(uri));
            }
            config.push('\n');
            keys.insert(key_file(person), held.pem.clone());
        }
        config.push_str(&self.roles);
        config.truncate(config.trim_end().len());
        config.push('\n');
        Description { config, keys, kept: self.kept, chosen: self.chosen }
    }
}

fn key_file(person: &str) -> String {
    format!("keys/{person}.pub")
}

/// A key that a file with its public half stands for.
fn usable(listed: &PublicKey) -> Result<VerifyingKey, String> {
    let key = VerifyingKey::from_metadata(listed).map_err(|problem| problem.to_string())?;
    let again = metadata_key(key.canonical_spki()).and_then(|plain| VerifyingKey::from_metadata(&plain));
    again.map_err(|problem| problem.to_string())?;
    Ok(key)
}

#[derive(Debug, Default)]
struct Signers {
    people: Vec<String>,
    kept: Vec<String>,
}

/// Who holds keys: one person for each key and owner, so that a role lists exactly the keys that it listed.
#[derive(Debug, Default)]
struct People {
    held: BTreeMap<String, Held>,
    names: BTreeMap<(Vec<u8>, Option<String>), String>,
    has_throwaway: bool,
}

#[derive(Debug)]
struct Held {
    pem: String,
    owner: Option<String>,
    online_uri: Option<String>,
}

impl People {
    fn holder(
        &mut self,
        keyid: &KeyId,
        listed: &PublicKey,
        key: &VerifyingKey,
        online: bool,
    ) -> Result<String, ImportError> {
        let owner = listed.owner().filter(|owner| !owner.is_empty()).map(str::to_owned);
        let identity = (key.canonical_spki().to_vec(), owner.clone());
        if let Some(known) = self.names.get(&identity) {
            return Ok(known.clone());
        }
        let good = |c: &char| c.is_ascii_alphanumeric() || "._@+-".contains(*c);
        let similar = |text: &str, longest: usize| text.chars().filter(good).take(longest).collect::<String>();
        let uri = listed.extra(ONLINE_URI);
        let wish = match &owner {
            Some(owner) => similar(owner, 40),
            None if online || uri.is_some() => "online".to_owned(),
            None => format!("key-{}", similar(keyid.as_str(), 8)),
        };
        // It is the name of a file too.
        let wish = wish.trim_start_matches(['.', '-']);
        let wish = if wish.is_empty() { "keyholder" } else { wish };
        let taken = |name: &str| self.held.keys().any(|known| known.eq_ignore_ascii_case(name));
        let mut name = wish.to_owned();
        let mut number = 1;
        while taken(&name) {
            number += 1;
            name = format!("{wish}-{number}");
        }
        let pem = spki_to_pem(key.canonical_spki())
            .map_err(|problem| ImportError::CannotKeep { problem: format!("the key {keyid}: {problem}") })?;
        self.has_throwaway |= example_key_name(key.canonical_spki()).is_some();
        self.held.insert(name.clone(), Held { pem, owner, online_uri: uri.map(str::to_owned) });
        self.names.insert(identity, name.clone());
        Ok(name)
    }
}
