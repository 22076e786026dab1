//! Turns the configuration into the next version of a role, for people to sign.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::config::Policy;
use super::document::publishable;
use super::working_copy::HeldKey;
use super::{FAMILY_THRESHOLDS, RepositoryError, SignedState, WITNESSES, WorkingCopy};
use crate::builders::{Namespace, namespace_patterns};
use crate::crypto::sha256;
use crate::metadata::{Expires, HashAlgorithm, KeyId, PublicKey, RoleName, TargetPath, Version};

/// The version of the specification that documents follow.
pub(crate) const SPEC_VERSION: &str = "1.0.34";

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
        let mut expires = expiry(now, &copy.config().policy(role)?);
        if let Some(root) = signed.root().filter(|_| *role != RoleName::Root) {
            // What outlives its root could not be used any longer, and would only look as if it could.
            let last = root.expires.time().to_rfc3339_opts(SecondsFormat::Secs, true);
            expires = expires.min(last);
        }
        let head = |kind: &str| {
            Map::from_iter([
                ("_type".to_owned(), json!(copy.occasion().document_type(kind))),
                ("spec_version".to_owned(), json!(SPEC_VERSION)),
                ("version".to_owned(), json!(version.get())),
                ("expires".to_owned(), json!(expires)),
            ])
        };
        let before = |before: RoleName| Err(RepositoryError::NotYet { role: role.clone(), before });
        let (signed_value, targets) = match role {
            RoleName::Root => (root(copy, head("root"))?, BTreeMap::new()),
            RoleName::Targets if signed.root().is_none() => return before(RoleName::Root),
            RoleName::Targets => {
                let targets = copy.targets_of(role, signed)?;
                let mut value = head("targets");
                value.insert("targets".to_owned(), entries(&targets));
                value.insert("delegations".to_owned(), delegations(copy)?);
                record_families(&mut value, copy, |role| matches!(role, RoleName::Delegated(_)));
                (value, targets)
            }
            RoleName::Delegated(name) => {
                if !signed.targets().is_some_and(|targets| delegates_to(targets, name)) {
                    return before(RoleName::Targets);
                }
                let targets = copy.targets_of(role, signed)?;
                let mut value = head("targets");
                value.insert("targets".to_owned(), entries(&targets));
                (value, targets)
            }
            other => return Err(RepositoryError::UnknownRole { role: other.clone() }),
        };
        let document = publishable(&json!({"signatures": [], "signed": signed_value}));
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

fn delegates_to(targets: &super::SignedRole, name: &str) -> bool {
    targets.document.delegations.as_ref().is_some_and(|delegations| delegations.to_role(name).is_some())
}

/// When something signed at `now` under this policy expires.
pub(crate) fn expiry(now: DateTime<Utc>, policy: &Policy) -> String {
    let expires = now.checked_add_signed(Duration::days(policy.expires_after_days.into())).unwrap_or(now);
    expires.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn root(copy: &WorkingCopy, mut value: Map<String, Value>) -> Result<Map<String, Value>, RepositoryError> {
    let (mut keys, mut roles) = (Map::new(), Map::new());
    for role in [RoleName::Root, RoleName::Timestamp, RoleName::Snapshot, RoleName::Targets] {
        let held = copy.keys_for(&role)?;
        let threshold = copy.config().policy(&role)?.threshold;
        roles.insert(role.as_str().to_owned(), json!({"keyids": list(&mut keys, &held), "threshold": threshold}));
    }
    value.insert("consistent_snapshot".to_owned(), true.into());
    value.insert("keys".to_owned(), keys.into());
    value.insert("roles".to_owned(), roles.into());
    record_families(&mut value, copy, |role| !matches!(role, RoleName::Delegated(_)));
    if let Some(witnesses) = copy.witnesses()? {
        value.insert(WITNESSES.to_owned(), witnesses.to_value());
    }
    Ok(value)
}

/// Records what is asked of the roles whose keys a document names.
fn record_families(value: &mut Map<String, Value>, copy: &WorkingCopy, names: impl Fn(&RoleName) -> bool) {
    let policies = copy.config().policies().into_iter().filter(|(role, _)| names(role));
    let asked: Map<String, Value> = policies
        .filter_map(|(role, policy)| Some((role.as_str().to_owned(), policy.family_thresholds?.to_value())))
        .collect();
    if !asked.is_empty() {
        value.insert(FAMILY_THRESHOLDS.to_owned(), asked.into());
    }
}

/// One terminating delegation for each namespace, with exactly its own paths.
fn delegations(copy: &WorkingCopy) -> Result<Value, RepositoryError> {
    let (mut keys, mut roles) = (Map::new(), Vec::new());
    for (name, config) in &copy.config().namespaces {
        let role = RoleName::Delegated(name.as_str().into());
        let namespace: Namespace =
            Namespace::parse(name).map_err(|_| RepositoryError::UnknownRole { role: role.clone() })?;
        let held = copy.keys_for(&role)?;
        roles.push(json!({
            "name": name,
            "keyids": list(&mut keys, &held),
            "threshold": config.threshold,
            "terminating": true,
            "paths": namespace_patterns(&namespace),
        }));
    }
    Ok(json!({"keys": keys, "roles": roles}))
}

/// Adds keys to a delegator's map, and returns their keyids in order.
fn list(keys: &mut Map<String, Value>, held: &[HeldKey]) -> Vec<String> {
    let mut keyids: Vec<String> = held
        .iter()
        .map(|held| {
            let keyid = keyid_of(&held.listed);
            keys.insert(keyid.as_str().to_owned(), held.listed.to_value());
            keyid.as_str().to_owned()
        })
        .collect();
    keyids.sort();
    keyids
}

/// The SHA-256 of the canonical key (TUF specification section 4.2).
pub(crate) fn keyid_of(listed: &PublicKey) -> KeyId {
    KeyId::new(hex::encode(sha256(&listed.to_canonical())))
}

/// What a targets document says about files.
fn entries(targets: &BTreeMap<TargetPath, Vec<u8>>) -> Value {
    let entry = |bytes: &Vec<u8>| json!({"length": bytes.len(), "hashes": {HashAlgorithm::Sha256.name(): hex::encode(sha256(bytes))}});
    Value::Object(targets.iter().map(|(path, bytes)| (path.as_str().to_owned(), entry(bytes))).collect())
}
