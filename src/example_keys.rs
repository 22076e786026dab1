//! The keys of `keys.example/`, whose secret halves everybody has.
//!
//! Tutorials and tests sign with them. A repository that lists one in its root is a trial, and is taken only from this
//! machine: whoever read the tutorial could sign for it. The same goes for a delegation to one, and for a document of the
//! builder map that lists one.

use std::sync::LazyLock;

use crate::crypto::{VerifyingKey, canonical_spki, spki_from_pem};
use crate::metadata::{Delegation, KeyId, PublicKey, RoleName, Root, Targets, Version};

/// The public halves, by name.
const PUBLIC: &[(&str, &str)] = &[
    ("alice", include_str!("../keys.example/alice.pub")),
    ("bob", include_str!("../keys.example/bob.pub")),
    ("carol", include_str!("../keys.example/carol.pub")),
    ("dave", include_str!("../keys.example/dave.pub")),
    ("mallory", include_str!("../keys.example/mallory.pub")),
    ("online", include_str!("../keys.example/online.pub")),
    ("online2", include_str!("../keys.example/online2.pub")),
    ("oppy-builder", include_str!("../keys.example/oppy-builder.pub")),
    ("oppy-builder-2027", include_str!("../keys.example/oppy-builder-2027.pub")),
    ("oppy-dev", include_str!("../keys.example/oppy-dev.pub")),
];

static SPKIS: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    PUBLIC.iter().map(|(name, pem)| (*name, spki_from_pem(pem).expect("a test reads each of them"))).collect()
});

/// Returns the name of an example key, given its DER SubjectPublicKeyInfo in any spelling.
pub fn example_key_name(spki: &[u8]) -> Option<&'static str> {
    let canonical = canonical_spki(spki).ok()?;
    SPKIS.iter().find_map(|(name, spki)| (*spki == canonical).then_some(*name))
}

/// Returns the first example key among keys of metadata: its keyid there, and its name.
///
/// A key that cannot be used, by its scheme or its encoding, is no danger and is not looked at.
pub fn first_example_key<'a>(
    keys: impl IntoIterator<Item = (&'a KeyId, &'a PublicKey)>,
) -> Option<(&'a KeyId, &'static str)> {
    keys.into_iter().find_map(|(keyid, key)| {
        let name = example_key_name(VerifyingKey::from_metadata(key).ok()?.canonical_spki())?;
        Some((keyid, name))
    })
}

/// A document that lists an example key and is not of this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{role} {version} lists the example key `{name}`, whose secret half everybody has")]
pub struct ExampleKeyListed {
    /// The role whose document lists it.
    pub role: RoleName,
    /// The version of that document.
    pub version: Version,
    /// The keyid in the document.
    pub keyid: KeyId,
    /// The name of the key.
    pub name: &'static str,
}

/// Refuses a root that lists an example key, in any role or none.
///
/// # Errors
/// [`ExampleKeyListed`], with the first such key.
pub fn refuse_example_keys(root: &Root) -> Result<(), ExampleKeyListed> {
    refuse(&RoleName::Root, root.version, &root.keys)
}

/// Refuses a delegation, in a document of `delegator`, to a role that an example key may sign for.
///
/// # Errors
/// [`ExampleKeyListed`], with the first such key.
pub fn refuse_delegation_to_example_keys(
    delegator: &RoleName,
    document: &Targets,
    delegation: &Delegation,
) -> Result<(), ExampleKeyListed> {
    let Some(delegations) = &document.delegations else { return Ok(()) };
    let may_sign = |(keyid, _): &(&KeyId, &PublicKey)| delegation.keys.keyids.contains(keyid);
    refuse(delegator, document.version, delegations.keys.iter().filter(may_sign))
}

fn refuse<'a>(
    role: &RoleName,
    version: Version,
    keys: impl IntoIterator<Item = (&'a KeyId, &'a PublicKey)>,
) -> Result<(), ExampleKeyListed> {
    match first_example_key(keys) {
        None => Ok(()),
        Some((keyid, name)) => Err(ExampleKeyListed { role: role.clone(), version, keyid: keyid.clone(), name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;

    #[test]
    fn every_example_key_is_known_by_its_name() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("keys.example");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "pem") {
                continue;
            }
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let secret = SecretKey::from_pem(&std::fs::read_to_string(&path).unwrap(), None).unwrap();
            assert_eq!(example_key_name(secret.canonical_spki()), Some(name.as_str()));
            assert_eq!(first_example_key([(&secret.keyid(), secret.public())]).map(|(_, name)| name), Some(&*name));
            names.push(name);
        }
        names.sort();
        assert_eq!(names, PUBLIC.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        assert_eq!(example_key_name(SecretKey::ed25519_from_seed(&[3; 32]).unwrap().canonical_spki()), None);
    }
}
