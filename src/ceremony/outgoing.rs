//! Whose key is replaced by another of theirs: the outgoing one should agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::VerifyingKey;
use crate::metadata::{Delegations, KeyId, PublicKey, RoleKeys, RoleName, Root};
use crate::printable::Named;
use crate::repository::same_name;

/// A key that goes, of somebody who has another in its place.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) owner: String,
    /// The role in which it is replaced.
    role: RoleName,
    /// The keyids of the root before under which it signs roots, if it does.
    pub(super) signs_as: BTreeSet<KeyId>,
}

impl Outgoing {
    /// What is said of one that cannot sign the document in which it is replaced.
    pub(super) fn note(&self) -> String {
        format!(
            "{} changes keys in {}, and the outgoing key cannot sign this document: ask them",
            Named(&self.owner),
            Named(self.role.as_str())
        )
    }
}

/// The keys that go from a root to the next, in any role.
pub(super) fn of_roots(old: &Root, new: &Root) -> Vec<Outgoing> {
    let roles = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
    let of = |role: &RoleName| {
        let (before, after) = (Root::role(old, role)?, Root::role(new, role)?);
        Some(replaced(role, (&old.keys, before), (&new.keys, after), Some((&old.keys, &old.root))))
    };
    roles.iter().filter_map(of).flatten().collect()
}

/// The keys that go from one version of delegations to the next.
pub(super) fn of_delegations(old: &Delegations, new: &Delegations, roles: &[RoleName]) -> Vec<Outgoing> {
    let of = |role: &RoleName| {
        let (before, after) = (old.to_role(role.as_str())?, new.to_role(role.as_str())?);
        Some(replaced(role, (&old.keys, &before.keys), (&new.keys, &after.keys), None))
    };
    roles.iter().filter_map(of).flatten().collect()
}

type Listed<'a> = (&'a BTreeMap<KeyId, PublicKey>, &'a RoleKeys);

fn replaced(role: &RoleName, old: Listed<'_>, new: Listed<'_>, signing: Option<Listed<'_>>) -> Vec<Outgoing> {
    let stays: BTreeSet<Vec<u8>> = keys(new).filter_map(|(_, key)| physical(key)).collect();
    // However the name is spelled.
    let has_new: BTreeSet<String> = keys(new).filter_map(|(_, key)| key.owner()).map(same_name).collect();
    let mut outgoing = Vec::new();
    for (_, key) in keys(old) {
        let (Some(owner), Some(gone)) = (key.owner(), physical(key)) else { continue };
        if !has_new.contains(&same_name(owner)) || stays.contains(&gone) {
            continue;
        }
        let same = |(keyid, other): (&KeyId, &PublicKey)| (physical(other)? == gone).then(|| keyid.clone());
        let signs_as = signing.into_iter().flat_map(keys).filter_map(same).collect();
        outgoing.push(Outgoing { owner: owner.to_owned(), role: role.clone(), signs_as });
    }
    outgoing
}

fn keys((keys, of): Listed<'_>) -> impl Iterator<Item = (&KeyId, &PublicKey)> {
    of.keyids.iter().filter_map(|keyid| Some((keyid, keys.get(keyid)?)))
}

fn physical(key: &PublicKey) -> Option<Vec<u8>> {
    VerifyingKey::from_metadata(key).ok().map(|key| key.canonical_spki().to_vec())
}
