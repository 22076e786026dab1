//! Keys with fixed seeds, and the ways in which metadata may spell them.

use std::sync::Arc;

use serde_json::{Value, json};
use trustroot::crypto::{KeyAlgorithm, SecretKey};

/// A key pair, as one delegator lists it.
#[derive(Clone)]
pub struct Key {
    /// The keyid under which it is listed and signs.
    pub keyid: String,
    /// Its entry in `keys`.
    pub public: Value,
    sign: Arc<Signer>,
}

type Signer = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

impl Key {
    /// The Ed25519 key number `number`: always the same for the same number.
    pub fn ed25519(number: u64) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Self::of_secret(SecretKey::ed25519_from_seed(&seed).unwrap())
    }

    /// A new ECDSA key on P-256, listed as the hex of its point.
    pub fn ecdsa() -> Self {
        let secret = SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let (_, point) = secret.canonical_spki().split_last_chunk::<65>().unwrap();
        let public = json!({
            "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": { "public": hex::encode(point) },
        });
        let keyid = secret.keyid().as_str().to_owned();
        Self { keyid, public, sign: Arc::new(move |message| secret.sign(message).unwrap()) }
    }

    /// A new ML-DSA-65 key.
    #[cfg(feature = "aws-lc")]
    pub fn ml_dsa() -> Self {
        Self::of_secret(SecretKey::generate(KeyAlgorithm::MlDsa65).unwrap())
    }

    /// A key pair, listed as we list it.
    pub fn of_secret(secret: SecretKey) -> Self {
        let listed = secret.public();
        let public = json!({
            "keytype": listed.keytype(), "scheme": listed.scheme(), "keyval": { "public": listed.public() },
        });
        let keyid = secret.keyid().as_str().to_owned();
        Self { keyid, public, sign: Arc::new(move |message| secret.sign(message).unwrap()) }
    }

    /// A key that signs by `sign`.
    pub fn new(keyid: &str, public: Value, sign: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self { keyid: keyid.to_owned(), public, sign: Arc::new(sign) }
    }

    /// The same key under another keyid.
    pub fn under_keyid(&self, keyid: &str) -> Self {
        Self { keyid: keyid.to_owned(), ..self.clone() }
    }

    /// The same key with its entry changed, under another keyid.
    pub fn listed_as(&self, keyid: &str, public: Value) -> Self {
        Self { keyid: keyid.to_owned(), public, sign: Arc::clone(&self.sign) }
    }

    /// The field `keyval.public`.
    pub fn public_text(&self) -> &str {
        self.public["keyval"]["public"].as_str().unwrap()
    }

    /// The entry in `signatures` over the canonical bytes `signed`.
    pub fn signature(&self, signed: &[u8]) -> Value {
        json!({ "keyid": self.keyid, "sig": hex::encode((self.sign)(signed)) })
    }
}
