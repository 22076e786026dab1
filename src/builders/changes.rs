//! What became different between two versions of a document, in words for people.
//!
//! Keys, statuses, levels and grants are named one by one; whatever else differs is at least mentioned. Text of documents
//! is escaped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Builder, Cap, Catalog, NamespaceEntry, Qualification, Signer, SignerMethod, Verifier};
use crate::crypto::sha256;
use crate::printable::Printable;

/// Returns what differs between two documents of one builder.
pub fn builder_changes(old: &Builder, new: &Builder) -> Vec<String> {
    let mut changes = Vec::new();
    changed(&mut changes, "status", &old.status, &new.status);
    changed(&mut changes, "signatures needed", &old.threshold, &new.threshold);
    signers(&mut changes, &old.signers, &new.signers);
    let levels = |builder: &Builder| builder.qualifications.iter().map(qualification).collect();
    gone_and_come(&mut changes, "level", &levels(old), &levels(new));
    let rest = |builder: &Builder| (builder.display_name.clone(), builder.id_refs.clone(), builder.scopes.clone());
    if format!("{:?}", rest(old)) != format!("{:?}", rest(new)) {
        changes.push("its name, refs or scopes changed".to_owned());
    }
    or_others(&mut changes, old, new);
    changes
}

/// Returns what differs between two documents of one verifier.
pub fn verifier_changes(old: &Verifier, new: &Verifier) -> Vec<String> {
    let mut changes = Vec::new();
    changed(&mut changes, "status", &old.status, &new.status);
    changed(&mut changes, "signatures needed", &old.threshold, &new.threshold);
    signers(&mut changes, &old.signers, &new.signers);
    let resources =
        |verifier: &Verifier| verifier.resources.iter().map(|one| Printable(one.as_str()).to_string()).collect();
    gone_and_come(&mut changes, "resource", &resources(old), &resources(new));
    or_others(&mut changes, old, new);
    changes
}

/// Returns what differs between two catalogs.
pub fn catalog_changes(old: &Catalog, new: &Catalog) -> Vec<String> {
    let mut changes = Vec::new();
    let names: BTreeSet<_> = old.namespaces.keys().chain(new.namespaces.keys()).collect();
    for name in names {
        match (old.namespaces.get(name), new.namespaces.get(name)) {
            (None, Some(_)) => changes.push(format!("namespace {name} appeared")),
            (Some(_), None) => changes.push(format!("namespace {name} disappeared")),
            (Some(old), Some(new)) => namespace(&mut changes, &name.to_string(), old, new),
            (None, None) => {}
        }
    }
    let denials = |catalog: &Catalog| {
        let denials = catalog.denials.iter();
        denials.map(|(denied, revocation)| format!("{denied} ({})", Printable(&revocation.reason))).collect()
    };
    gone_and_come(&mut changes, "denial of", &denials(old), &denials(new));
    or_others(&mut changes, old, new);
    changes
}

fn namespace(changes: &mut Vec<String>, name: &str, old: &NamespaceEntry, new: &NamespaceEntry) {
    let caps = |entry: &NamespaceEntry| entry.caps.iter().map(cap).collect();
    gone_and_come(changes, &format!("namespace {name}: cap"), &caps(old), &caps(new));
    let grants = |entry: &NamespaceEntry| {
        let (grants, text) = (&entry.grants, |kind: &str, text: &str| format!("{kind} {}", Printable(text)));
        let builders = grants.builders.iter().map(|grant| text("builders", grant.as_str()));
        let verifiers = grants.verifiers.iter().map(|grant| text("verifiers", grant.as_str()));
        let resources = grants.resources.iter().map(|grant| text("resources", grant.as_str()));
        let packages = grants.packages.iter().map(|grant| text("packages", grant.as_str()));
        builders.chain(verifiers).chain(resources).chain(packages).collect()
    };
    gone_and_come(changes, &format!("namespace {name}: grant of"), &grants(old), &grants(new));
    changed(changes, &format!("namespace {name}: oldest version"), &old.min_version, &new.min_version);
}

fn signers(changes: &mut Vec<String>, old: &[Signer], new: &[Signer]) {
    let by_name = |signers: &[Signer]| -> BTreeMap<String, Signer> {
        signers.iter().map(|signer| (signer.name.clone(), signer.clone())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    for (name, signer) in &new {
        let shown = Printable(name);
        match old.get(name) {
            None => changes.push(format!("key {shown} added, {}: {}", signer.status, describe(signer))),
            Some(before) => {
                changed(changes, &format!("key {shown}"), &before.status, &signer.status);
                if before.key_identity == signer.key_identity {
                    changed(changes, &format!("key {shown} may be used"), &period_of(before), &period_of(signer));
                } else {
                    changes.push(format!("key {shown} replaced: {} -> {}", describe(before), describe(signer)));
                }
            }
        }
    }
    for (name, signer) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        changes.push(format!("key {} removed: {}", Printable(name), describe(signer)));
    }
}

fn describe(signer: &Signer) -> String {
    match (&signer.key_identity, &signer.method) {
        (Some(key), _) => format!("SHA-256 {}", hex::encode(sha256(key))),
        (None, Ok(SignerMethod::Fulcio(fulcio))) => format!("certificates of {}", fulcio.realm),
        (None, Ok(SignerMethod::Key(_))) => "a key".to_owned(),
        (None, Err(problem)) => format!("not usable here: {problem}"),
    }
}

fn period_of(signer: &Signer) -> String {
    match &signer.method {
        Ok(SignerMethod::Key(key)) => key.key.valid_for.to_string(),
        _ => String::new(),
    }
}

fn qualification(claim: &Qualification) -> String {
    format!("{} {}", Printable(&claim.level_text), claim.valid_for)
}

fn cap(cap: &Cap) -> String {
    format!("{} {}", cap.level.as_short(), cap.valid_for)
}

fn changed<T: fmt::Display + PartialEq>(changes: &mut Vec<String>, what: &str, old: &T, new: &T) {
    if old != new {
        changes.push(format!("{what}: {old} -> {new}"));
    }
}

fn gone_and_come(changes: &mut Vec<String>, what: &str, old: &BTreeSet<String>, new: &BTreeSet<String>) {
    changes.extend(new.difference(old).map(|one| format!("{what} {one} added")));
    changes.extend(old.difference(new).map(|one| format!("{what} {one} removed")));
}

/// Mentions that something differs, where nothing so far has named it.
fn or_others<T: fmt::Debug>(changes: &mut Vec<String>, old: &T, new: &T) {
    if changes.is_empty() && format!("{old:?}") != format!("{new:?}") {
        changes.push("other details changed".to_owned());
    }
}
