//! Keys that sign, wherever they are: in a file, in an ssh-agent, in a token, in a cloud's key service, or with
//! a command of the user's.
//!
//! Who holds a key is not trusted to use it rightly. A signature is given out after our own verifier has taken it, as one
//! by this key over this payload, so a device or agent that answers something else spoils nothing.

#[cfg(feature = "kms-aws")]
mod aws_kms;
mod exec;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod reference;
#[cfg(unix)]
mod ssh_agent;
#[cfg(unix)]
mod ssh_wire;

use std::collections::BTreeMap;
use std::fmt;

use crate::crypto::{Algorithm, SecretKey, SigningError, VerifyingKey};
use crate::metadata::{KeyId, PublicKey, RoleName, Version};
use crate::printable::Printable;

#[cfg(feature = "kms-aws")]
pub use aws_kms::{AwsKmsError, AwsKmsKey, AwsKmsSigner};
pub use exec::{ExecCommand, ExecError, ExecSigner, Notices};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pkcs11Error, Pkcs11Signer, Pkcs11Uri, Token, TokenKey, Tries};
pub use reference::{AgentKey, BadReference, KeyReference};
#[cfg(unix)]
pub use ssh_agent::{Agent, AgentError, AgentIdentity, AgentSigner};

/// What is to be signed.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "what a signer is told; another field is another promise")]
pub struct Task<'a> {
    /// The role that the payload is a version of.
    pub role: &'a RoleName,
    /// Its version.
    pub version: Version,
    /// The canonical form of `signed` (TUF specification section 4.2).
    pub payload: &'a [u8],
    /// The key as its delegator lists it, with the scheme that the signature must have.
    pub listed: &'a PublicKey,
}

/// A key that signs. Signatures are asked for with `sign`, which checks what [`Signer::attempt`] gives.
pub trait Signer: Send + Sync {
    /// The public half, as metadata lists it. The scheme is the usual one; a delegator may ask for another.
    fn public(&self) -> &PublicKey;

    /// The one DER SubjectPublicKeyInfo of the public half.
    fn canonical_spki(&self) -> &[u8];

    /// Names the signer for people, such as "the ssh-agent's key SHA256:…". Never holds a secret.
    fn name(&self) -> String;

    /// Has the key sign, in the way that `algorithm` says. The result is in the form of TUF metadata, and unchecked.
    ///
    /// May wait for a person, who touches a token or answers a question.
    ///
    /// # Errors
    /// When there is no signature: the signer cannot, or will not.
    fn attempt(&self, task: &Task<'_>, algorithm: Algorithm) -> Result<Vec<u8>, SignerError>;
}

impl fmt::Debug for dyn Signer + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl dyn Signer + '_ {
    /// Signs, and verifies the result with the key that the delegator lists.
    ///
    /// # Errors
    /// As [`Signer::attempt`]; and [`SignerError::WrongSignature`] where the result is not this key's over this payload.
    pub fn sign(&self, task: &Task<'_>) -> Result<Vec<u8>, SignerError> {
        let unusable = || SignerError::Scheme { signer: self.name(), scheme: task.listed.scheme().to_owned() };
        let key = VerifyingKey::from_metadata(task.listed).map_err(|_| unusable())?;
        if key.canonical_spki() != self.canonical_spki() {
            return Err(SignerError::OtherKey { signer: self.name() });
        }
        let signature = self.attempt(task, key.algorithm())?;
        if key.verifies(task.payload, &signature) {
            Ok(signature)
        } else {
            Err(SignerError::WrongSignature { signer: self.name() })
        }
    }

    /// Signs under every keyid by which delegators list this key, once for each scheme. Entries that list another key
    /// are passed over. Where a scheme is asked for that the signer does not know, the others are enough.
    ///
    /// # Errors
    /// As `sign`; for schemes, where none is left.
    pub fn sign_as_listed<'k>(
        &self,
        role: &RoleName,
        version: Version,
        payload: &[u8],
        listed: impl IntoIterator<Item = (&'k KeyId, &'k PublicKey)>,
    ) -> Result<BTreeMap<KeyId, Vec<u8>>, SignerError> {
        let mut made: BTreeMap<Algorithm, Vec<u8>> = BTreeMap::new();
        let mut signatures = BTreeMap::new();
        let mut refused = None;
        for (keyid, listed) in listed {
            let Ok(key) = VerifyingKey::from_metadata(listed) else { continue };
            if key.canonical_spki() != self.canonical_spki() {
                continue;
            }
            let signature = match made.get(&key.algorithm()) {
                Some(signature) => signature.clone(),
                None => match self.sign(&Task { role, version, payload, listed }) {
                    Ok(signature) => signature,
                    Err(error @ SignerError::Scheme { .. }) => {
                        refused = Some(error);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            made.insert(key.algorithm(), signature.clone());
            signatures.insert(keyid.clone(), signature);
        }
        match refused {
            Some(error) if signatures.is_empty() => Err(error),
            _ => Ok(signatures),
        }
    }
}

/// The digest that is sent where the payload itself is not.
#[cfg(any(feature = "kms-aws", feature = "pkcs11"))]
fn digest(hash: crate::metadata::HashAlgorithm, payload: &[u8]) -> Vec<u8> {
    let mut digester = crate::crypto::Digester::new([hash]);
    digester.update(payload);
    digester.finish().remove(0).1
}

impl Signer for SecretKey {
    fn public(&self) -> &PublicKey {
        SecretKey::public(self)
    }

    fn canonical_spki(&self) -> &[u8] {
        SecretKey::canonical_spki(self)
    }

    fn name(&self) -> String {
        format!("the {} key from a file", self.describe())
    }

    fn attempt(&self, task: &Task<'_>, algorithm: Algorithm) -> Result<Vec<u8>, SignerError> {
        self.sign_as(algorithm, task.payload).map_err(|error| match error {
            SigningError::Unsupported => {
                SignerError::Scheme { signer: self.name(), scheme: task.listed.scheme().to_owned() }
            }
            error => SignerError::Key(error),
        })
    }
}

/// Why there is no signature. Holds no secret, and nothing that a signer said unescaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The delegator asks for signatures of a scheme that the signer does not know.
    #[error("{signer} cannot make `{}` signatures, which is how this key is listed", Printable(.scheme))]
    Scheme {
        /// Who.
        signer: String,
        /// The scheme, as the delegator names it.
        scheme: String,
    },
    /// The signer holds another key than the one that is listed.
    #[error("{signer} is not the key that is listed")]
    OtherKey {
        /// Who.
        signer: String,
    },
    /// What the signer gave is not a signature by its key over the payload.
    #[error("{signer} gave something that is not its signature over this payload")]
    WrongSignature {
        /// Who.
        signer: String,
    },
    /// A key from a file could not sign.
    #[error(transparent)]
    Key(#[from] SigningError),
    /// A command could not sign.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The ssh-agent did not sign.
    #[cfg(unix)]
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The token did not sign.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// AWS KMS did not sign.
    #[cfg(feature = "kms-aws")]
    #[error(transparent)]
    AwsKms(#[from] AwsKmsError),
}

impl SignerError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Scheme { .. } => "signer-scheme",
            Self::OtherKey { .. } => "not-a-signer",
            Self::WrongSignature { .. } => "wrong-signature",
            Self::Key(error) => error.code(),
            Self::Exec(error) => error.code(),
            #[cfg(unix)]
            Self::Agent(error) => error.code(),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(error) => error.code(),
            #[cfg(feature = "kms-aws")]
            Self::AwsKms(error) => error.code(),
        }
    }

    /// Whether the signer, or what was asked of it, is to blame; not a circumstance that may pass.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Scheme { .. } | Self::OtherKey { .. } | Self::WrongSignature { .. } => true,
            Self::Key(_) => false,
            Self::Exec(error) => error.is_refusal(),
            #[cfg(unix)]
            Self::Agent(error) => error.is_refusal(),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(error) => error.is_refusal(),
            #[cfg(feature = "kms-aws")]
            Self::AwsKms(error) => error.is_refusal(),
        }
    }
}
