//! What could be better about what is signed: nothing that is wrong, or due, but what has cost other repositories dearly, and
//! what some clients cannot read. A repository of our own making has little of it; one that was taken over may have much.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::proposal::{EXPIRY_PERIOD, signed_part};
use super::{FAMILY_THRESHOLDS, RepositoryError, SignedState, WorkingCopy};
use crate::crypto::VerifyingKey;
use crate::metadata::{
    Envelope, HashAlgorithm, KeyId, PublicKey, RoleKeys, RoleName, Root, Targets, Threshold, Unrecognized,
};
use crate::printable::Printable;

/// Something that could be better.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Improvement {
    /// The role whose next version would change.
    pub role: RoleName,
    /// What kind of thing it is: a stable name, for programs.
    pub code: &'static str,
    /// What it is, and what to do. Names in it come from signed metadata, and are made printable.
    pub text: String,
}

/// What could be better about the newest root and the newest documents of the roles that are signed in ceremonies.
///
/// # Errors
/// When a file cannot be read.
pub fn improvements(copy: &WorkingCopy, signed: &SignedState) -> Result<Vec<Improvement>, RepositoryError> {
    let mut found = Found::default();
    if let Some((root, bytes)) = signed.roots().last() {
        found.role = Some(RoleName::Root);
        found.root(root, bytes);
    }
    let roles = copy.config().policies().into_iter().map(|(role, _)| role);
    for role in roles.filter(|role| matches!(role, RoleName::Targets | RoleName::Delegated(_))) {
        let Some(last) = signed.role(&role)? else { continue };
        found.role = Some(role.clone());
        found.targets(&last.document, &last.bytes);
        if let Some(root) = signed.root()
            && last.document.expires.time() > root.expires.time()
        {
            let (own, roots) = (&last.document.expires, &root.expires);
            found.add(
                "outlives-root",
                format!("it is good until {own}, and the root that vouches for it until {roots}: clients refuse both from then on"),
            );
        }
    }
    Ok(found.list)
}

#[derive(Default)]
struct Found {
    role: Option<RoleName>,
    list: Vec<Improvement>,
}

impl Found {
    fn add(&mut self, code: &'static str, text: String) {
        let role = self.role.clone().unwrap_or(RoleName::Root);
        self.list.push(Improvement { role, code, text });
    }

    fn root(&mut self, root: &Root, bytes: &[u8]) {
        let members = signed_part(bytes);
        if !root.consistent_snapshot {
            self.add(
                "no-consistent-snapshot",
                "file names have no versions, so that clients can meet half of one state and half of another: \
                 `consistent-snapshot = true`"
                    .to_owned(),
            );
        }
        for role in [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp] {
            let of = root.role(&role).expect("top-level roles are in every root");
            self.role_keys(&role, &root.keys, of);
            if matches!(role, RoleName::Root | RoleName::Targets) && Some(of.threshold) == Threshold::new(1) {
                self.add("threshold-one", format!("one key alone signs {role}: raise its threshold"));
            }
            let entry = members.get("roles").and_then(|roles| roles.get(role.as_str()));
            let online = of.keyids.iter().filter_map(|keyid| root.keys.get(keyid));
            let online = online.into_iter().any(|key| key.extra("x-tuf-on-ci-online-uri").is_some());
            let recorded = entry.and_then(|entry| entry.get(EXPIRY_PERIOD)).and_then(Value::as_u64);
            if online
                && matches!(role, RoleName::Snapshot | RoleName::Timestamp)
                && recorded.is_none_or(|days| days == 0)
            {
                self.add(
                    "no-period",
                    format!("{role} has an online key, and no `{EXPIRY_PERIOD}` says for how long it signs"),
                );
            }
        }
        self.keys(&root.keys);
        let roles = [&root.root, &root.targets, &root.snapshot, &root.timestamp];
        let used: BTreeSet<&KeyId> = roles.into_iter().flat_map(|role| &role.keyids).collect();
        for keyid in root.keys.keys().filter(|keyid| !used.contains(keyid)) {
            self.add("unused-key", format!("the key {keyid} is listed, and no role has it"));
        }
        self.unknown(&root.unrecognized);
        self.form(&root.expires.to_string(), &members, bytes);
    }

    fn targets(&mut self, targets: &Targets, bytes: &[u8]) {
        if let Some(delegations) = &targets.delegations {
            self.keys(&delegations.keys);
            if let crate::metadata::DelegationRule::Roles(roles) = &delegations.rule {
                for delegation in roles.iter() {
                    self.role_keys(&delegation.role, &delegations.keys, &delegation.keys);
                }
            }
        }
        let (mut without_sha256, mut with_others) = (0, 0);
        for (_, entry) in targets.iter() {
            let Ok(entry) = entry else { continue };
            let has = |algorithm| entry.hashes.iter().any(|(there, _)| there == algorithm);
            without_sha256 += usize::from(!has(HashAlgorithm::Sha256));
            with_others += usize::from(has(HashAlgorithm::Sha256) && entry.hashes.iter().count() > 1);
        }
        if without_sha256 > 0 {
            self.add(
                "no-sha256",
                format!("without a SHA-256, which every client computes: {}", count(without_sha256, "target")),
            );
        }
        if with_others > 0 {
            self.add(
                "several-hashes",
                format!(
                    "with more hashes than a SHA-256: {}. Clients choose among the file names, so each file is \
                     published under every one",
                    count(with_others, "target")
                ),
            );
        }
        self.unknown(&targets.unrecognized);
        self.form(&targets.expires.to_string(), &signed_part(bytes), bytes);
    }

    /// The keys of one role, each by itself counted once.
    fn role_keys(&mut self, role: &RoleName, keys: &BTreeMap<KeyId, PublicKey>, of: &RoleKeys) {
        let mut seen: BTreeMap<Vec<u8>, &KeyId> = BTreeMap::new();
        for keyid in &of.keyids {
            let Some(listed) = keys.get(keyid) else {
                self.add("keyid-without-key", format!("{role} lists the keyid {keyid}, of which there is no key"));
                continue;
            };
            let Ok(key) = VerifyingKey::from_metadata(listed) else { continue };
            if let Some(first) = seen.get(key.canonical_spki()) {
                self.add(
                    "two-keyids",
                    format!(
                        "{role} lists one physical key twice, as {first} and {keyid}: some clients count it as two people"
                    ),
                );
            } else {
                seen.insert(key.canonical_spki().to_vec(), keyid);
            }
        }
    }

    /// Keys that some clients do not read, or read otherwise.
    fn keys(&mut self, keys: &BTreeMap<KeyId, PublicKey>) {
        let mut deprecated = 0;
        for (keyid, listed) in keys {
            let kind = (listed.keytype(), listed.scheme());
            if let Err(problem) = VerifyingKey::from_metadata(listed) {
                let kind = Printable(listed.keytype());
                self.add("unusable-key", format!("the key {keyid} (`{kind}`) cannot be used here: {problem}"));
                continue;
            }
            let pem = listed.public().trim_start().starts_with("-----BEGIN");
            match kind {
                (kind, _) if kind.starts_with("ecdsa") && !pem => self.add(
                    "peer-key",
                    format!("the key {keyid} is an ECDSA key in hexadecimal, which python-tuf and tuf-on-ci do not read: list it as PEM"),
                ),
                ("ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384", _) => self.add(
                    "peer-key",
                    format!("the key {keyid} has the key type `{}`, which the specification calls `ecdsa`", kind.0),
                ),
                (_, scheme) if scheme.starts_with("rsa-pkcs1v15") => self.add(
                    "peer-key",
                    format!("the key {keyid} signs by PKCS#1 v1.5, which go-tuf and tough do not take: use `rsassa-pss-sha256`"),
                ),
                ("ml-dsa", _) => self.add(
                    "peer-key",
                    format!("the key {keyid} is an ML-DSA key, which few clients can check: keep enough others for a threshold"),
                ),
                _ => {}
            }
            deprecated += usize::from(listed.to_value().get("keyid_hash_algorithms").is_some());
            if *keyid != listed.keyid() {
                self.add(
                    "keyid-not-hash",
                    format!("the keyid {keyid} is not the SHA-256 of its key, which some older clients insist on"),
                );
            }
        }
        if deprecated > 0 {
            self.add(
                "unknown-field",
                format!("`keyid_hash_algorithms`, which nothing reads any more, is at {}", count(deprecated, "key")),
            );
        }
    }

    fn unknown(&mut self, fields: &Unrecognized) {
        let ours = [EXPIRY_PERIOD, super::proposal::SIGNING_PERIOD, FAMILY_THRESHOLDS];
        for field in fields.keys().filter(|field| !ours.contains(&field.as_str())) {
            self.add(
                "unknown-field",
                format!("the field `{}` is kept as it is, and nobody here knows what it means", Printable(field)),
            );
        }
    }

    /// How the document is written.
    fn form(&mut self, expires: &str, members: &serde_json::Map<String, Value>, bytes: &[u8]) {
        if members.get("expires").and_then(Value::as_str).is_some_and(|written| written != expires) {
            self.add(
                "expiry-form",
                "its expiry is not written as `2030-01-31T12:00:00Z`, which python-tuf and others insist on; the next \
                 version will be"
                    .to_owned(),
            );
        }
        let empty = Envelope::parse(bytes)
            .map_or(0, |envelope| envelope.signatures().iter().filter(|(_, signature)| signature.is_empty()).count());
        if empty > 0 {
            self.add("empty-signatures", format!("empty in its file: {}", count(empty, "signature")));
        }
    }
}

/// A number of things, in words.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
