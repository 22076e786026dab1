//! What every signer promises, wherever its key is.

use std::collections::BTreeMap;

use trustroot::crypto::{KeyAlgorithm, SecretKey, VerifyingKey};
use trustroot::metadata::{KeyId, PublicKey, RoleName, Version};
use trustroot::signers::{Signer, SignerError, Task};

pub(crate) const PAYLOAD: &[u8] = b"{\"_type\":\"targets\"}";

pub(crate) fn task(listed: &PublicKey) -> Task<'_> {
    Task { role: &RoleName::Targets, version: Version::new(7).unwrap(), payload: PAYLOAD, listed }
}

/// The key in another scheme.
pub(crate) fn with_scheme(key: &PublicKey, scheme: &str) -> PublicKey {
    PublicKey::new(key.keytype(), scheme, key.public())
}

/// What an attempt to sign for a listed key ended with.
pub(crate) fn failure(signer: &dyn Signer, listed: &PublicKey) -> SignerError {
    let error = signer.sign(&task(listed)).unwrap_err();
    let said = error.to_string();
    assert!(said.is_ascii() && !said.chars().any(|c| c.is_ascii_control()), "{said:?}");
    error
}

/// Holds a signer to what all of them promise. `listed` is its key, in a scheme that it knows.
pub(crate) fn hold(signer: &dyn Signer, listed: &PublicKey) {
    let name = signer.name();
    let key = VerifyingKey::from_metadata(listed).unwrap();
    assert_eq!(key.canonical_spki(), signer.canonical_spki(), "{name}");
    assert_eq!(
        VerifyingKey::from_metadata(signer.public()).unwrap().canonical_spki(),
        signer.canonical_spki(),
        "{name}"
    );

    // Twice, as a signer that is used up by its first signature would not do for publishing.
    for _ in 0..2 {
        let signature = signer.sign(&task(listed)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(key.verifies(PAYLOAD, &signature), "{name}");
        assert!(!key.verifies(b"another payload", &signature), "{name}");
    }

    // Under every keyid by which it is listed, and under no other.
    let other = SecretKey::ed25519_from_seed(&[99; 32]).unwrap();
    let keys: BTreeMap<KeyId, PublicKey> = [
        ("first", listed.clone()),
        ("second", listed.clone().held_by("alice")),
        ("other", other.public().clone()),
        ("unusable", with_scheme(listed, "unheard-of")),
    ]
    .into_iter()
    .map(|(keyid, key)| (KeyId::new(keyid), key))
    .collect();
    let version = Version::new(7).unwrap();
    let made = signer.sign_as_listed(&RoleName::Targets, version, PAYLOAD, &keys).unwrap();
    assert_eq!(made.keys().map(KeyId::as_str).collect::<Vec<_>>(), ["first", "second"], "{name}");
    assert!(made.values().all(|signature| key.verifies(PAYLOAD, signature)), "{name}");

    // For another key it is not even asked.
    let refused = failure(signer, other.public());
    assert!(matches!(refused, SignerError::OtherKey { .. }), "{name}: {refused}");
    assert_eq!(refused.code(), "not-a-signer");
    let unusable = failure(signer, &with_scheme(listed, "unheard-of"));
    assert!(matches!(unusable, SignerError::Scheme { .. }), "{name}: {unusable}");
}

#[test]
fn a_key_from_a_file_keeps_them() {
    for algorithm in [
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        #[cfg(feature = "aws-lc")]
        KeyAlgorithm::EcdsaP521,
        #[cfg(feature = "aws-lc")]
        KeyAlgorithm::MlDsa65,
    ] {
        let key = SecretKey::generate(algorithm).unwrap();
        hold(&key, key.public());
    }
}

/// Repositories made by others list RSA keys in more than one way.
#[cfg(feature = "aws-lc")]
#[test]
fn an_rsa_key_signs_as_its_delegator_lists_it() {
    let key = SecretKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    for scheme in [
        "rsassa-pss-sha256",
        "rsassa-pss-sha384",
        "rsassa-pss-sha512",
        "rsa-pkcs1v15-sha256",
        "rsa-pkcs1v15-sha384",
        "rsa-pkcs1v15-sha512",
    ] {
        hold(&key, &with_scheme(key.public(), scheme));
    }
}

/// Holds one key and signs with another, or something else.
struct Liar {
    key: SecretKey,
    other: SecretKey,
}

impl Signer for Liar {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn canonical_spki(&self) -> &[u8] {
        self.key.canonical_spki()
    }

    fn name(&self) -> String {
        "the liar".to_owned()
    }

    fn attempt(&self, task: &Task<'_>, _: trustroot::crypto::Algorithm) -> Result<Vec<u8>, SignerError> {
        Ok(self.other.sign(task.payload)?)
    }
}

#[test]
fn a_signer_that_lies_is_named_and_nothing_of_it_is_used() {
    let [key, other] = [1, 2].map(|seed| SecretKey::ed25519_from_seed(&[seed; 32]).unwrap());
    let liar = Liar { key, other };
    let signer: &dyn Signer = &liar;
    let refused = failure(signer, liar.public());
    assert_eq!(refused.to_string(), "the liar gave something that is not its signature over this payload");
    assert_eq!((refused.code(), refused.is_refusal()), ("wrong-signature", true));
    let keys = BTreeMap::from([(KeyId::new("first"), liar.public().clone())]);
    assert!(signer.sign_as_listed(&RoleName::Root, Version::new(1).unwrap(), PAYLOAD, &keys).is_err());
}

/// The lie reaches neither an event nor a repository.
#[test]
fn a_signer_that_lies_files_nothing_and_publishes_nothing() {
    use trustroot::publish::PublishPlan;

    let registry = crate::support::Registry::with_builder();
    let stranger = || SecretKey::ed25519_from_seed(&[98; 32]).unwrap();
    let again = |person: &str| SecretKey::from_pem(&registry.key(person).to_unencrypted_pem(), None).unwrap();
    registry.edit("trustroot.toml", |text| text.replace("expires-after-days = 365", "expires-after-days = 300"));
    let mut event = registry.start("root");
    let before = registry.files("");
    let liar = Liar { key: again("alice"), other: stranger() };
    assert!(event.sign(&registry.signed(), &liar).is_err());
    assert_eq!(event.over_this_payload().count(), 0);

    let keys: Vec<Box<dyn Signer>> = vec![Box::new(Liar { key: again("online"), other: stranger() })];
    let (copy, published) = (registry.copy(), registry.published());
    let plan = PublishPlan::prove(&copy, &published, &keys, registry.start_time());
    assert_eq!(crate::support::block_on(plan).unwrap_err().code(), "wrong-signature");
    assert_eq!(registry.files(""), before);
}
