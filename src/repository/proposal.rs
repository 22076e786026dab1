//! Turns the configuration into the next version of a role, for people to sign.
//!
//! It begins with what is signed: what the configuration decides is replaced, everything else stays as it is, fields that
//! nobody here knows and keyids included. So a repository that another tool began goes on unchanged.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::config::{LONGEST_PERIOD, Policy};
use super::document::{publishable, to_json};
use super::working_copy::HeldKey;
use super::{FAMILY_THRESHOLDS, RepositoryError, SignedState, WITNESSES, WorkingCopy};
use crate::builders::{Namespace, namespace_patterns};
use crate::crypto::{Digester, VerifyingKey};
use crate::metadata::{Expires, HashAlgorithm, PublicKey, RoleName, TargetPath, Version};

/// The version of the specification that documents follow.
pub(crate) const SPEC_VERSION: &str = "1.0.34";

/// Where tuf-on-ci records for how many days a role is good, and how long before that its next version is signed.
pub(super) const EXPIRY_PERIOD: &str = "x-tuf-on-ci-expiry-period";
pub(super) const SIGNING_PERIOD: &str = "x-tuf-on-ci-signing-period";

/// The next version of a role, not signed by anybody.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Proposal {
    /// The role.
    pub role: RoleName,
    /// The version.
    pub version: Version,
    /// The file without signatures.
    pub document: Vec<u8>,
    /// The files that it names.
    pub targets: BTreeMap<TargetPath, Vec<u8>>,
}

impl Proposal {
    /// Proposes what the configuration says, good from `now` on.
    ///
    /// # Errors
    /// When the configuration cannot be kept, or another role has to be signed first.
    pub fn of(
        copy: &WorkingCopy,
        signed: &SignedState,
        role: &RoleName,
        now: DateTime<Utc>,
    ) -> Result<Self, RepositoryError> {
        let version = signed.next_version(role)?;
        let policy = copy.config().policy(role)?;
        let mut expires = expiry(now, &policy);
        if let Some(root) = signed.root().filter(|_| *role != RoleName::Root && !policy.may_outlive_root) {
            // What outlives its root could not be used any longer, and would only look as if it could.
            let last = root.expires.time().to_rfc3339_opts(SecondsFormat::Secs, true);
            expires = expires.min(last);
        }
        let before = |before: RoleName| Err(RepositoryError::NotYet { role: role.clone(), before });
        match role {
            RoleName::Root => {}
            RoleName::Targets => {
                if signed.root().is_none() {
                    return before(RoleName::Root);
                }
            }
            RoleName::Delegated(name) => {
                if !signed.targets().is_some_and(|targets| delegates_to(targets, name)) {
                    return before(RoleName::Targets);
                }
            }
            other => return Err(RepositoryError::UnknownRole { role: other.clone() }),
        }
        let last = match role {
            RoleName::Root => signed.roots().last().map(|(_, bytes)| bytes.to_vec()),
            role => signed.role(role)?.map(|last| last.bytes),
        };
        let base = last.as_deref().map(signed_part);
        let is_first = base.is_none();
        let mut value = base.unwrap_or_default();
        let kind = if *role == RoleName::Root { "root" } else { "targets" };
        value.insert("_type".to_owned(), json!(copy.occasion().document_type(kind)));
        value.entry("spec_version").or_insert_with(|| json!(SPEC_VERSION));
        value.insert("version".to_owned(), json!(version.get()));
        value.insert("expires".to_owned(), json!(expires));
        record_periods(&mut value, &policy);
        let mut targets = BTreeMap::new();
        if *role == RoleName::Root {
            root(copy, &mut value)?;
        } else {
            targets = copy.targets_of(role, signed)?;
            let named = entries(copy, &targets, value.get("targets"))?;
            value.insert("targets".to_owned(), named);
        }
        if *role == RoleName::Targets {
            let said = !copy.config().namespaces.is_empty() || !copy.config().delegations.is_empty();
            if is_first || said || value.contains_key("delegations") {
                let delegated = delegations(copy, value.remove("delegations"))?;
                value.insert("delegations".to_owned(), delegated);
            }
            record_families(&mut value, copy, |role| matches!(role, RoleName::Delegated(_)));
        }
        let document = publishable(&json!({"signatures": [], "signed": value}));
        Ok(Self { role: role.clone(), version, document, targets })
    }

    /// The same proposal, good until then.
    #[must_use]
    pub fn good_until(mut self, expires: &Expires) -> Self {
        let mut document: Value = serde_json::from_slice(&self.document).expect("what we wrote can be read");
        document["signed"]["expires"] = expires.to_string().into();
        self.document = publishable(&document);
        self
    }
}

/// What is signed of a document that was verified.
pub(super) fn signed_part(document: &[u8]) -> Map<String, Value> {
    let mut document: Value = serde_json::from_slice(document).unwrap_or_default();
    match document.get_mut("signed").map(Value::take) {
        Some(Value::Object(signed)) => signed,
        _ => Map::new(),
    }
}

fn delegates_to(targets: &super::SignedRole, name: &str) -> bool {
    targets.document.delegations.as_ref().is_some_and(|delegations| delegations.to_role(name).is_some())
}

/// When something signed at `now` under this policy expires.
pub(crate) fn expiry(now: DateTime<Utc>, policy: &Policy) -> String {
    let expires = now.checked_add_signed(Duration::days(policy.expires_after_days.into())).unwrap_or(now);
    expires.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The periods that tuf-on-ci recorded, in days, as far as the configuration can have them.
pub(super) fn recorded_periods(members: &Map<String, Value>) -> Option<(u32, u32)> {
    let number = |field| members.get(field).and_then(Value::as_u64);
    let longest = u64::from(LONGEST_PERIOD);
    let expires = number(EXPIRY_PERIOD)?.clamp(1, longest);
    let sign_within = number(SIGNING_PERIOD).unwrap_or(expires / 2).min(expires - 1);
    Some((u32::try_from(expires).ok()?, u32::try_from(sign_within).ok()?))
}

/// Records the periods where they have been recorded before, and have changed.
fn record_periods(members: &mut Map<String, Value>, policy: &Policy) {
    let periods = (policy.expires_after_days, policy.sign_within_days);
    if recorded_periods(members).is_some_and(|recorded| recorded != periods) {
        members.insert(EXPIRY_PERIOD.to_owned(), periods.0.into());
        members.insert(SIGNING_PERIOD.to_owned(), periods.1.into());
    }
}

fn root(copy: &WorkingCopy, value: &mut Map<String, Value>) -> Result<(), RepositoryError> {
    let mut roles = object(value.remove("roles"));
    let mut listing = Listing::of(value.remove("keys"), roles.values());
    for role in [RoleName::Root, RoleName::Timestamp, RoleName::Snapshot, RoleName::Targets] {
        let policy = copy.config().policy(&role)?;
        let mut entry = object(roles.remove(role.as_str()));
        let keyids = listing.keyids(copy, &role, &policy, &entry)?;
        entry.insert("keyids".to_owned(), keyids.into());
        entry.insert("threshold".to_owned(), policy.threshold.into());
        if role != RoleName::Root {
            record_periods(&mut entry, &policy);
        }
        roles.insert(role.as_str().to_owned(), entry.into());
    }
    let consistent = copy.config().consistent_snapshot;
    if consistent || value.contains_key("consistent_snapshot") {
        value.insert("consistent_snapshot".to_owned(), consistent.into());
    }
    value.insert("keys".to_owned(), listing.keys(roles.values()));
    value.insert("roles".to_owned(), roles.into());
    record_families(value, copy, |role| !matches!(role, RoleName::Delegated(_)));
    value.remove(WITNESSES);
    if let Some(witnesses) = copy.witnesses()? {
        value.insert(WITNESSES.to_owned(), witnesses.to_value());
    }
    Ok(())
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// Records what is asked of the roles whose keys a document names.
fn record_families(value: &mut Map<String, Value>, copy: &WorkingCopy, names: impl Fn(&RoleName) -> bool) {
    let policies = copy.config().policies().into_iter().filter(|(role, _)| names(role));
    let asked: Map<String, Value> = policies
        .filter_map(|(role, policy)| Some((role.as_str().to_owned(), policy.family_thresholds?.to_value())))
        .collect();
    value.remove(FAMILY_THRESHOLDS);
    if !asked.is_empty() {
        value.insert(FAMILY_THRESHOLDS.to_owned(), asked.into());
    }
}

/// The delegations: a terminating one for each namespace, with exactly its own paths, and the others as configured. The
/// order is that of before, since it decides who is asked first; what is new comes last.
fn delegations(copy: &WorkingCopy, before: Option<Value>) -> Result<Value, RepositoryError> {
    let config = copy.config();
    let mut value = object(before);
    if value.contains_key("succinct_roles") {
        if config.namespaces.is_empty() && config.delegations.is_empty() {
            return Ok(value.into());
        }
        let problem = "what is signed delegates to hash bins, and TUF has no room for other roles beside them";
        return Err(RepositoryError::configuration(format!("{}: delegations", super::CONFIG_FILE), problem));
    }
    let Some(Value::Array(before)) = value.remove("roles").or_else(|| Some(json!([]))) else {
        return Err(RepositoryError::configuration("targets: delegations", "expected an array of roles"));
    };
    let mut listing = Listing::of(value.remove("keys"), before.iter());
    let name_of = |entry: &Value| entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let wanted: BTreeSet<&String> = config.namespaces.keys().chain(config.delegations.keys()).collect();
    let known: BTreeSet<String> = before.iter().map(name_of).collect();
    let new = wanted.iter().filter(|name| !known.contains(**name)).map(|name| json!({"name": name}));
    let stays = before.into_iter().filter(|entry| wanted.contains(&name_of(entry)));
    let mut roles = Vec::new();
    for entry in stays.chain(new) {
        let name = name_of(&entry);
        let mut entry = object(Some(entry));
        let role = RoleName::Delegated(name.as_str().into());
        let policy = config.policy(&role)?;
        let keyids = listing.keyids(copy, &role, &policy, &entry)?;
        entry.insert("keyids".to_owned(), keyids.into());
        entry.insert("threshold".to_owned(), policy.threshold.into());
        let (terminating, paths) = match config.delegations.get(&name) {
            Some(other) => (other.terminating, other.paths.clone()),
            None => {
                let namespace: Namespace =
                    Namespace::parse(&name).map_err(|_| RepositoryError::UnknownRole { role: role.clone() })?;
                (true, Some(namespace_patterns(&namespace).into()))
            }
        };
        entry.insert("terminating".to_owned(), terminating.into());
        match paths {
            Some(paths) => {
                entry.remove("path_hash_prefixes");
                entry.insert("paths".to_owned(), paths.into());
            }
            None if entry.contains_key("paths") || entry.contains_key("path_hash_prefixes") => {}
            None => {
                let at = format!("{}: {}", super::CONFIG_FILE, config.place(&role));
                return Err(RepositoryError::configuration(at, "`paths` is missing: the role is not signed for yet"));
            }
        }
        roles.push(Value::from(entry));
    }
    value.insert("keys".to_owned(), listing.keys(roles.iter()));
    value.insert("roles".to_owned(), roles.into());
    Ok(value.into())
}

/// The keys that a delegator lists: those of before under the keyids and in the form of before, as keyids are opaque and
/// whoever knows a key knows it by them.
struct Listing {
    before: Map<String, Value>,
    /// The keys of before that can be used, by keyid: canonical form, and who holds them.
    usable: BTreeMap<String, (Vec<u8>, Option<String>)>,
    /// The keyids that no role had.
    unused: BTreeSet<String>,
    new: Map<String, Value>,
}

impl Listing {
    fn of<'a>(keys: Option<Value>, roles: impl Iterator<Item = &'a Value>) -> Self {
        let before = object(keys);
        let read = |(keyid, key): (&String, &Value)| {
            let listed = PublicKey::from_value(key)?;
            let key = VerifyingKey::from_metadata(&listed).ok()?;
            Some((
                keyid.clone(),
                (key.canonical_spki().to_vec(), listed.owner().filter(|owner| !owner.is_empty()).map(str::to_owned)),
            ))
        };
        let usable = before.iter().filter_map(read).collect();
        let used = used_keyids(roles);
        let unused = before.keys().filter(|keyid| !used.contains(*keyid)).cloned().collect();
        Self { before, usable, unused, new: Map::new() }
    }

    /// The keyids of a role, in the order of before; `entry` is what was said of the role.
    fn keyids(
        &mut self,
        copy: &WorkingCopy,
        role: &RoleName,
        policy: &Policy,
        entry: &Map<String, Value>,
    ) -> Result<Vec<String>, RepositoryError> {
        let before = keyids_of(entry);
        let mut wanted = BTreeSet::new();
        for held in copy.keys_for(role)? {
            wanted.extend(self.keyids_of_key(&held, &before));
        }
        for keyid in &policy.kept_keyids {
            if !before.contains(keyid) {
                let at = format!("{}: {}.kept-keyids", super::CONFIG_FILE, copy.config().place(role));
                return Err(RepositoryError::configuration(at, format!("`{keyid}` is not listed in what is signed")));
            }
            wanted.insert(keyid.clone());
        }
        let sorted = before.is_sorted();
        let mut keyids: Vec<String> = before.into_iter().filter(|keyid| wanted.remove(keyid)).collect();
        keyids.extend(wanted);
        if sorted {
            keyids.sort();
        }
        Ok(keyids)
    }

    /// The keyids by which a role lists a key: several where it listed one key several times.
    fn keyids_of_key(&mut self, held: &HeldKey, before: &[String]) -> Vec<String> {
        let same = |keyid: &&String| self.usable.get(*keyid).is_some_and(|(spki, _)| spki == held.key.canonical_spki());
        let fits = |keyid: &String| match &self.usable[keyid].1 {
            None => !held.owner_is_said,
            owner => owner.as_deref() == held.listed.owner(),
        };
        let in_role: Vec<String> = before.iter().filter(same).cloned().collect();
        if in_role.iter().any(fits) {
            return in_role;
        }
        let elsewhere = self.usable.keys().filter(same).find(|keyid| fits(keyid));
        let keyid = elsewhere.cloned().unwrap_or_else(|| {
            let keyid = held.listed.keyid().as_str().to_owned();
            self.new.insert(keyid.clone(), held.listed.to_value());
            keyid
        });
        vec![keyid]
    }

    /// The keys that the roles use now, and those that no role used before either.
    fn keys<'a>(self, roles: impl Iterator<Item = &'a Value>) -> Value {
        let used = used_keyids(roles);
        let mut keys = self.before;
        keys.retain(|keyid, _| used.contains(keyid) || self.unused.contains(keyid));
        keys.extend(self.new);
        keys.into()
    }
}

fn keyids_of(entry: &Map<String, Value>) -> Vec<String> {
    let keyids = entry.get("keyids").and_then(Value::as_array).into_iter().flatten();
    keyids.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn used_keyids<'a>(roles: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    roles.filter_map(Value::as_object).flat_map(keyids_of).collect()
}

/// What a targets document says about files: what it said before where that is still true, and else the length and the
/// hashes, by SHA-256 and whichever algorithms it had.
fn entries(
    copy: &WorkingCopy,
    targets: &BTreeMap<TargetPath, Vec<u8>>,
    before: Option<&Value>,
) -> Result<Value, RepositoryError> {
    let mut entries = Map::new();
    for (path, bytes) in targets {
        let mut entry = object(before.and_then(|before| before.get(path.as_str())).cloned());
        let said = object(entry.get("hashes").cloned());
        let known: Vec<HashAlgorithm> = said.keys().filter_map(|name| HashAlgorithm::from_name(name)).collect();
        let wanted = known.iter().copied().chain(known.is_empty().then_some(HashAlgorithm::Sha256));
        let (hashes, sha256_too) = (hashes(bytes, wanted), hashes(bytes, [HashAlgorithm::Sha256].into_iter()));
        let same_hash = |(name, digest): (&String, &Value)| {
            let text = said.get(name).and_then(Value::as_str);
            text.is_some_and(|text| Some(text.to_ascii_lowercase().as_str()) == digest.as_str())
        };
        let same = entry.get("length").and_then(Value::as_u64) == Some(bytes.len() as u64);
        if !same || !hashes.iter().all(same_hash) {
            entry.insert("length".to_owned(), bytes.len().into());
            entry.insert("hashes".to_owned(), hashes.into_iter().chain(sha256_too).collect::<Map<_, _>>().into());
        }
        if let Some(custom) = copy.config().custom.get(path.as_str()) {
            let at = || format!("{}: custom.{path}", super::CONFIG_FILE);
            let custom = to_json(&toml::Value::Table(custom.clone()))
                .map_err(|problem| RepositoryError::configuration(at(), problem))?;
            if custom.as_object().is_some_and(Map::is_empty) {
                entry.remove("custom");
            } else {
                entry.insert("custom".to_owned(), custom);
            }
        }
        entries.insert(path.as_str().to_owned(), entry.into());
    }
    Ok(entries.into())
}

fn hashes(bytes: &[u8], algorithms: impl Iterator<Item = HashAlgorithm>) -> Map<String, Value> {
    let mut digester = Digester::new(algorithms);
    digester.update(bytes);
    let digests = digester.finish().into_iter();
    digests.map(|(algorithm, digest)| (algorithm.name().to_owned(), hex::encode(digest).into())).collect()
}
