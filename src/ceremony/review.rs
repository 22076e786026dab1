//! What a keyholder sees before a key is touched: computed here, from the last signed version and the proposed bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::diff::{self, Change, Mark, add_roles, keys_and_roles};
use super::outgoing::{self, Outgoing};
use super::{CeremonyError, SigningEvent, digest_groups, digest_words};
use crate::key_attestation::Evidence;
use crate::metadata::{
    DelegationRule, Document, Expires, HashAlgorithm, RoleName, Root, TargetFile, TargetPath, Targets, Version,
};
use crate::printable::Named;
use crate::repository::{
    FAMILY_THRESHOLDS, Keys, Moment, Offered, Rehearsal, SignedRole, SignedState, WITNESSES, WorkingCopy, judge,
};

/// Most changes that one event may hold: what nobody reads must not be signed.
const MOST_CHANGES: usize = 10_000;

/// What would be signed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Review {
    /// The SHA-256 of the repository's first root; `None` where that is what is proposed.
    pub repository: Option<[u8; 32]>,
    /// What is rehearsed; `None` where the event is meant.
    pub rehearsal: Option<Rehearsal>,
    /// The file that would be published.
    pub file: String,
    /// The role.
    pub role: RoleName,
    /// The proposed version.
    pub version: Version,
    /// What the proposal is compared with, such as `root v2`.
    pub compared_with: String,
    /// When it would expire, and how that compares.
    pub expiry: String,
    /// Everything that would change.
    pub changes: Vec<Change>,
    /// Rules that the proposal breaks: it is not signed then.
    pub problems: Vec<String>,
    /// What is allowed, and may not be what was meant.
    pub notes: Vec<String>,
    /// The SHA-256 of the payload.
    pub digest: [u8; 32],
}

impl Review {
    /// The digest in groups of four hexadecimal digits.
    pub fn groups(&self) -> String {
        digest_groups(&self.digest)
    }

    /// The digest in 32 words.
    pub fn words(&self) -> Vec<String> {
        digest_words(&self.digest)
    }
}

impl SigningEvent {
    /// Compares the proposal with what was signed last.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn review(
        &self,
        copy: &WorkingCopy,
        signed: &SignedState,
        now: DateTime<Utc>,
    ) -> Result<Review, CeremonyError> {
        let keys = if copy.config().trial { Keys::Throwaway } else { Keys::Real };
        self.review_with(keys, &copy.evidence()?, signed, now)
    }

    pub(super) fn review_with(
        &self,
        keys: Keys,
        evidence: &Evidence,
        signed: &SignedState,
        now: DateTime<Utc>,
    ) -> Result<Review, CeremonyError> {
        let judged = evidence.judge(now);
        // Where nobody uses attestations there is nothing to say of each key.
        let known = |key: &diff::Physical| match judged.of(key) {
            Some(attested) => Some(format!("attested: {attested}")),
            None => judged.any.then(|| "no attestation: nothing proves that it was made in a device".to_owned()),
        };
        let mut notes = Vec::new();
        let (compared_with, expiry, mut changes) = match &self.role {
            RoleName::Root => {
                let new: Root = self.envelope.unverified()?;
                let before = signed.roots().rev().find(|(root, _)| root.version < new.version);
                let old = before.map(|(root, _)| &**root);
                let outgoing = old.map(|old| outgoing::of_roots(old, &new)).unwrap_or_default();
                notes.extend(outgoing.iter().filter(|one| one.signs_as.is_empty()).map(Outgoing::note));
                let mut changes = diff::roots(old, &new, &known);
                notes.extend(diff::lookalikes(new.keys.values().chain(old.iter().flat_map(|old| old.keys.values()))));
                let worded = &["expires", "version", FAMILY_THRESHOLDS, WITNESSES];
                changes.extend(self.raw_changes(before.map(|(_, bytes)| bytes), worded));
                (name("root", old.map(Root::version)), expiry(now, &new.expires, old.map(|old| &old.expires)), changes)
            }
            role => {
                let new: Targets = self.envelope.unverified()?;
                let before = signed.role(role)?.filter(|before| before.version() < new.version());
                let changes = self.target_changes(signed, before.as_ref(), &new, &known)?;
                let old = before.as_ref().map(|before| &*before.document);
                let delegations = [Some(&new), old].into_iter().flatten().filter_map(|all| all.delegations.as_ref());
                let of_root = signed.root().into_iter().flat_map(|root| root.keys.values());
                notes.extend(diff::lookalikes(delegations.flat_map(|all| all.keys.values()).chain(of_root)));
                notes.extend(self.lookalikes(signed, old, &new));
                let delegations = |targets: &Targets| targets.delegations.clone();
                if let (Some(old), Some(new)) = (old.and_then(delegations), delegations(&new)) {
                    let roles: Vec<RoleName> = match &new.rule {
                        DelegationRule::Roles(roles) => roles.iter().map(|delegation| delegation.role).collect(),
                        DelegationRule::Bins(_) => Vec::new(),
                    };
                    notes.extend(outgoing::of_delegations(&old, &new, &roles).iter().map(Outgoing::note));
                }
                let mut with = name(role.as_str(), old.map(Targets::version));
                if before.as_ref().is_some_and(|before| !before.current) {
                    with.push_str(
                        ", which the keys of TODAY have not signed: whoever holds the outgoing keys may have written it",
                    );
                }
                (with, expiry(now, &new.expires, old.map(|old| &old.expires)), changes)
            }
        };
        self.introduce(signed, &mut changes)?;
        let mut findings = judge(&self.offered(), keys, signed, Moment::Signing(now))?;
        findings.notes.extend(notes);
        for (file, problem) in &judged.problems {
            findings.problems.push(format!("the attestation {} proves nothing: {problem}", Named(file)));
        }
        if changes.len() > MOST_CHANGES {
            findings.problems.push(format!("it changes {} things, more than anybody can check at once", changes.len()));
        }
        Ok(Review {
            repository: signed.digest(),
            rehearsal: self.rehearsal.clone(),
            file: self.file_name(),
            role: self.role.clone(),
            version: self.version,
            compared_with,
            expiry,
            changes,
            problems: findings.problems,
            notes: findings.notes,
            digest: self.digest(),
        })
    }

    fn offered(&self) -> Offered<'_> {
        Offered {
            role: &self.role,
            version: self.version,
            envelope: &self.envelope,
            document: &self.document,
            targets: &self.targets,
            left_out: self.left_out(),
            rehearsal: self.rehearsal.as_ref(),
        }
    }

    /// Differences for which there are no words above, shown raw.
    pub(super) fn raw_changes(&self, before: Option<&[u8]>, with_words: &[&str]) -> Vec<Change> {
        let signed_part = |bytes: &[u8]| {
            let mut value: Value = serde_json::from_slice(bytes).unwrap_or_default();
            let mut signed = value["signed"].take();
            if let Value::Object(members) = &mut signed {
                members.retain(|field, _| !with_words.contains(&field.as_str()));
            }
            // The lines about files have said lengths and hashes, and nothing else of an entry.
            if let Some(Value::Object(targets)) = signed.get_mut("targets") {
                targets.retain(|_, entry| forget(entry, &["length", "hashes"]));
            }
            without_worded_keys(&mut signed);
            if let Some(delegations) = signed.get_mut("delegations") {
                without_worded_keys(delegations);
            }
            signed
        };
        let mut changes = before.map(|before| reordered_keyids(before, &self.document)).unwrap_or_default();
        let old = before.map(signed_part);
        changes.extend(diff::raw("signed", old.as_ref(), Some(&signed_part(&self.document))));
        changes
    }

    /// Files, namespaces and builders that people could take for others that are there, or that come with them.
    fn lookalikes(&self, signed: &SignedState, old: Option<&Targets>, new: &Targets) -> Vec<String> {
        let roles = |targets: Option<&Targets>| {
            delegations(targets).iter().map(|delegation| delegation.role.as_str().to_owned()).collect::<BTreeSet<_>>()
        };
        // What lies below `slsa/` is called by digests.
        let files = |targets: Option<&Targets>| {
            let paths = targets.into_iter().flat_map(Targets::iter).map(|(path, _)| path);
            paths.filter(|path| !path.starts_with("slsa/")).collect::<BTreeSet<_>>()
        };
        let mut notes = diff::new_lookalikes("namespaces", &roles(old), &roles(Some(new)));
        notes.extend(diff::new_lookalikes("files", &files(old), &files(Some(new))));
        if self.role == RoleName::Targets {
            return notes;
        }
        // Builders of all namespaces: who is taken for another is often another's.
        let all = delegations(signed.targets().map(|targets| &*targets.document));
        let mut before = Vec::new();
        for role in all.iter().map(|delegation| &delegation.role) {
            // What cannot be read here is no name that anybody sees.
            let Ok(Some(document)) = signed.role(role) else { continue };
            for (path, entry) in document.document.iter() {
                let (Ok(path), Ok(entry)) = (TargetPath::new(&path), entry) else { continue };
                before.extend(signed.target(&path, &entry).ok().and_then(|bytes| read(&bytes)));
            }
        }
        let after: Vec<Value> = self.targets.values().filter_map(|bytes| read(bytes)).collect();
        for (field, kind) in [("displayName", "builders"), ("builderId", "builders"), ("verifierId", "verifiers")] {
            let names = |documents: &[Value]| {
                documents.iter().filter_map(|one| one.get(field)?.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
            };
            notes.extend(diff::new_lookalikes(kind, &names(&before), &names(&after)));
        }
        notes
    }

    /// Every difference from another document of the role but in these fields, in words where there are any.
    pub(super) fn changes_of_document(&self, before: &[u8], but: &[&str]) -> Vec<Change> {
        let part = |bytes: &[u8]| {
            let mut signed = read(bytes).map(|mut value| value["signed"].take()).unwrap_or_default();
            if let Value::Object(members) = &mut signed {
                members.retain(|field, _| !but.contains(&field.as_str()));
            }
            signed
        };
        diff::raw("signed", Some(&part(before)), Some(&part(&self.document)))
    }

    fn target_changes(
        &self,
        signed: &SignedState,
        before: Option<&SignedRole>,
        new: &Targets,
        known: &diff::Known<'_>,
    ) -> Result<Vec<Change>, CeremonyError> {
        let mut changes = Vec::new();
        let old = before.map(|before| &*before.document);
        let keys_of = |targets: Option<&Targets>| {
            let mut roles = BTreeMap::new();
            for delegation in delegations(targets) {
                let keys = targets.and_then(|targets| targets.delegations.as_ref()).map(|all| &all.keys);
                if let Some(keys) = keys {
                    add_roles(&mut roles, keys, &delegation.keys, &delegation.role);
                }
            }
            roles
        };
        let old_delegations = delegations(old);
        for delegation in delegations(Some(new)) {
            let of = |keys: &crate::metadata::RoleKeys| format!("{} of {} keys", keys.threshold, keys.keyids.len());
            let (role, now) = (Named(delegation.role.as_str()), of(&delegation.keys));
            match old_delegations.iter().find(|old| old.role == delegation.role).map(|old| of(&old.keys)) {
                None => changes.push(Change::new(Mark::Added, format!("namespace {role}: {now} must sign"))),
                Some(before) if before != now => {
                    changes.push(Change::new(Mark::Changed, format!("namespace {role}: {before} -> {now} must sign")));
                }
                Some(_) => {}
            }
        }
        for gone in old_delegations.iter().filter(|old| !delegations(Some(new)).iter().any(|new| new.role == old.role))
        {
            changes.push(Change::new(
                Mark::Removed,
                format!("namespace {}: no longer delegated to", Named(gone.role.as_str())),
            ));
        }
        changes.extend(diff::families(old.map(|old| &old.unrecognized), &new.unrecognized));
        changes.extend(keys_and_roles(&keys_of(old), &keys_of(Some(new)), known));
        changes.extend(self.file_changes(signed, old, new)?);
        let bytes = before.map(|before| before.bytes.as_slice());
        changes.extend(self.raw_changes(bytes, &["expires", "version", FAMILY_THRESHOLDS]));
        Ok(changes)
    }

    /// Files that come, go and change, with what changes inside those that we can read.
    fn file_changes(
        &self,
        signed: &SignedState,
        old: Option<&Targets>,
        new: &Targets,
    ) -> Result<Vec<Change>, CeremonyError> {
        let entries = |targets: Option<&Targets>| {
            let usable = |(path, entry): (String, _)| Some((TargetPath::new(&path).ok()?, Result::ok(entry)?));
            targets.into_iter().flat_map(Targets::iter).filter_map(usable).collect::<BTreeMap<TargetPath, TargetFile>>()
        };
        let (before, after) = (entries(old), entries(Some(new)));
        let signed_document = |path: &TargetPath| match before.get(path) {
            Some(entry) if entry.length <= LONGEST_COMPARED => Ok(read(&signed.target(path, entry)?)),
            _ => Ok::<_, CeremonyError>(None),
        };
        let mut changes = Vec::new();
        for (path, entry) in &after {
            let (facts, name) = (facts(entry), Named(path.as_str()));
            match before.get(path) {
                Some(old) if (old.length, &old.hashes) == (entry.length, &entry.hashes) => continue,
                Some(_) => changes.push(Change::new(Mark::Changed, format!("file {name}: now {facts}"))),
                None => changes.push(Change::new(Mark::Added, format!("file {name}: {facts}"))),
            }
            let content = self.targets.get(path).filter(|bytes| bytes.len() as u64 <= LONGEST_COMPARED);
            let new = content.and_then(|bytes| read(bytes));
            if new.is_some() {
                let old = signed_document(path)?;
                changes.extend(headline(old.as_ref(), new.as_ref()));
                changes.extend(diff::raw("  ", old.as_ref(), new.as_ref()));
            }
        }
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            let name = Named(path.as_str());
            changes.push(Change::new(Mark::Removed, format!("file {name}: no longer distributed")));
            changes.extend(headline(signed_document(path)?.as_ref(), None));
        }
        Ok(changes)
    }
}

/// Longest file whose content is compared, in bytes; of a longer one length and digests are shown.
pub(super) const LONGEST_COMPARED: u64 = 1 << 20;

pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// Length and digests of a file.
fn facts(entry: &TargetFile) -> String {
    let digest = |(algorithm, digest): (HashAlgorithm, &[u8])| {
        let name = match algorithm.name() {
            "sha256" => "SHA-256",
            other => other,
        };
        format!("{name} {}", hex::encode(digest))
    };
    let digests: Vec<String> = entry.hashes.iter().map(digest).collect();
    format!("{} bytes, {}", entry.length, digests.join(", "))
}

/// Roles whose keyids are the same in another order: the lines about keys are about sets.
fn reordered_keyids(old: &[u8], new: &[u8]) -> Vec<Change> {
    let lists = |bytes: &[u8]| {
        let signed = read(bytes).map(|mut value| value["signed"].take()).unwrap_or_default();
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut add = |name: &str, role: &Value| {
            let keyids = role.get("keyids").and_then(Value::as_array).into_iter().flatten();
            lists.insert(name.to_owned(), keyids.filter_map(|keyid| Some(keyid.as_str()?.to_owned())).collect());
        };
        if let Some(Value::Object(roles)) = signed.get("roles") {
            for (name, role) in roles {
                add(name, role);
            }
        }
        if let Some(Value::Array(roles)) = signed.get("delegations").and_then(|all| all.get("roles")) {
            for role in roles {
                add(role.get("name").and_then(Value::as_str).unwrap_or_default(), role);
            }
        }
        lists
    };
    let (old, new) = (lists(old), lists(new));
    let reordered = |(name, keyids): (&String, &Vec<String>)| {
        let before = old.get(name)?;
        let set = |keyids: &[String]| keyids.iter().cloned().collect::<BTreeSet<_>>();
        let text = format!("role {}: its keyids stand in another order", Named(name));
        (before != keyids && set(before) == set(keyids)).then(|| Change::new(Mark::Changed, text))
    };
    new.iter().filter_map(reordered).collect()
}

/// Takes fields out of an object; says whether something is left to show.
fn forget(value: &mut Value, fields: &[&str]) -> bool {
    match value {
        Value::Object(members) => {
            members.retain(|field, _| !fields.contains(&field.as_str()));
            !members.is_empty()
        }
        _ => true,
    }
}

/// Leaves out of a delegator's keys and roles what the lines about keys have said, and entries of which nothing is left.
/// Those lines are about keys that a role lists, and of root about the four roles.
fn without_worded_keys(delegator: &mut Value) {
    let mut listed = BTreeSet::new();
    let list = |role: &Value, listed: &mut BTreeSet<String>| {
        let keyids = role.get("keyids").and_then(Value::as_array).into_iter().flatten();
        listed.extend(keyids.filter_map(Value::as_str).map(str::to_owned));
    };
    match delegator.get_mut("roles") {
        Some(Value::Object(roles)) => roles.retain(|name, role| {
            if !["root", "targets", "snapshot", "timestamp"].contains(&name.as_str()) {
                return true;
            }
            list(role, &mut listed);
            forget(role, &["keyids", "threshold"])
        }),
        Some(Value::Array(roles)) => roles.retain_mut(|role| {
            list(role, &mut listed);
            forget(role, &["keyids", "threshold"])
        }),
        _ => {}
    }
    if let Some(Value::Object(keys)) = delegator.get_mut("keys") {
        keys.retain(|keyid, key| {
            if !listed.contains(keyid) {
                return true;
            }
            if let Some(keyval) = key.get_mut("keyval")
                && !forget(keyval, &["public"])
            {
                forget(key, &["keyval"]);
            }
            forget(key, &["keytype", "x-tuf-on-ci-keyowner"])
        });
    }
}

fn delegations(targets: Option<&Targets>) -> Vec<crate::metadata::Delegation> {
    match targets.and_then(|targets| targets.delegations.as_ref()).map(|all| &all.rule) {
        Some(DelegationRule::Roles(roles)) => roles.iter().collect(),
        _ => Vec::new(),
    }
}

fn name(role: &str, version: Option<Version>) -> String {
    match version {
        Some(version) => format!("{} {version}", Named(role)),
        None => "nothing: this would be the first".to_owned(),
    }
}

fn expiry(now: DateTime<Utc>, new: &Expires, old: Option<&Expires>) -> String {
    // To the nearest day: a period of 365 days is called that.
    let days = |from: DateTime<Utc>, to: DateTime<Utc>| ((to - from) + chrono::Duration::hours(12)).num_days();
    let mut text = format!("{new}, {} days from now", days(now, new.time()));
    if let Some(old) = old {
        let change = days(old.time(), new.time());
        let direction = if change < 0 { "earlier" } else { "later" };
        let _ = write!(text, "; {} days {direction} than the version before", change.abs());
    }
    text
}

/// A builder or verifier in one line: what it is called, and how its level moves.
fn headline(old: Option<&Value>, new: Option<&Value>) -> Option<Change> {
    let text =
        |value: Option<&Value>, field: &str| value.and_then(|value| value.get(field)?.as_str().map(str::to_owned));
    let either = |field: &str| text(new, field).or_else(|| text(old, field));
    let (kind, id) = match (either("builderId"), either("verifierId")) {
        (Some(id), _) => ("builder", id),
        (None, Some(id)) => ("verifier", id),
        (None, None) => return None,
    };
    let called = either("displayName").unwrap_or_default();
    let level = |value: Option<&Value>| {
        let levels = value?.get("qualifications")?.as_array()?;
        levels.iter().filter_map(|level| level.get("level")?.as_str()).max().map(|level| {
            level.strip_prefix("SLSA_BUILD_LEVEL_").map_or_else(|| Named(level).to_string(), |n| format!("L{n}"))
        })
    };
    let state = |value: Option<&Value>| {
        let level = level(value).unwrap_or_else(|| "no level".to_owned());
        match text(value, "status").as_deref() {
            Some("active") => level,
            Some(status) => format!("{level}, {}", Named(status)),
            None => "not there".to_owned(),
        }
    };
    let (mark, how) = match (old, new) {
        (None, _) => (Mark::Added, format!("proposed at {}", state(new))),
        (_, None) => (Mark::Removed, format!("removed, was {}", state(old))),
        _ if state(old) == state(new) => (Mark::Same, format!("stays {}", state(new))),
        _ => (Mark::Changed, format!("{} -> {}", state(old), state(new))),
    };
    Some(Change::new(mark, format!("  {kind} {} ({}): {how}", Named(&called), Named(&id))))
}
