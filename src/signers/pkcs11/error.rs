//! Why a token did not sign, in words for the person who holds it.

use cryptoki::error::{Error, RvError};

/// How many more times a PIN may be wrong, as far as a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tries {
    /// It does not say.
    Unknown,
    /// A wrong PIN was entered, and few tries are left.
    Few,
    /// After one more wrong PIN the token is locked.
    One,
}

impl Tries {
    fn words(self) -> &'static str {
        match self {
            Self::Unknown => "it does not say how many tries are left",
            Self::Few => "few tries are left",
            Self::One => "ONE try is left before it locks",
        }
    }
}

/// Why a token did not sign. Tokens are named by label and serial number, escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The library cannot be loaded, or is no PKCS#11 module.
    #[error("`{module}` cannot be used as a PKCS#11 module: {problem}")]
    Module {
        /// The file, escaped.
        module: String,
        /// What is wrong, escaped.
        problem: String,
    },
    /// No token is there, or none that is meant.
    #[error("there is no such token; there {}", found(.there))]
    NoToken {
        /// The tokens that are there.
        there: Vec<String>,
    },
    /// Several tokens are meant.
    #[error("several tokens are meant: {}", .there.join(", "))]
    SeveralTokens {
        /// Which.
        there: Vec<String>,
    },
    /// The token has no such key.
    #[error("{token} has no such private key")]
    NoSuchKey {
        /// The token.
        token: String,
    },
    /// Several keys are meant.
    #[error("{token} has {count} private keys that are meant")]
    SeveralKeys {
        /// The token.
        token: String,
        /// How many.
        count: usize,
    },
    /// The key cannot sign metadata.
    #[error("the key in {token} cannot sign metadata: {why}")]
    Unusable {
        /// The token.
        token: String,
        /// Why.
        why: &'static str,
    },
    /// The PIN is wrong.
    #[error("the PIN of {token} is wrong; {}", .tries.words())]
    WrongPin {
        /// The token.
        token: String,
        /// What the token says of tries.
        tries: Tries,
    },
    /// The token takes no PIN of this length, or with these characters.
    #[error("{token} takes no PIN of this length, or with these characters")]
    OddPin {
        /// The token.
        token: String,
    },
    /// The PIN is locked: it was wrong too often.
    #[error("the PIN of {token} is locked: it was wrong too often")]
    PinLocked {
        /// The token.
        token: String,
    },
    /// No PIN has been set, or it has to be changed first.
    #[error("the PIN of {token} has to be set or changed first")]
    PinToBeSet {
        /// The token.
        token: String,
    },
    /// The token is not there any more.
    #[error("{token} was removed, or was put in again meanwhile")]
    Removed {
        /// The token.
        token: String,
    },
    /// Nobody touched the token, or agreed on it.
    #[error("{token} did not sign: nobody touched it, or somebody said no on it")]
    NotConfirmed {
        /// The token.
        token: String,
    },
    /// Something else.
    #[error("{token} failed: {what}")]
    Failed {
        /// The token.
        token: String,
        /// What the module says.
        what: String,
    },
}

fn found(there: &[String]) -> String {
    match there {
        [] => "are none".to_owned(),
        [one] => format!("is {one}"),
        several => format!("are {}", several.join(", ")),
    }
}

impl Pkcs11Error {
    /// What a module's answer means, of a token. A wrong PIN is judged where the token can be asked about it.
    pub(super) fn of(error: &Error, token: String) -> Self {
        let Error::Pkcs11(rv, function) = error else { return Self::Failed { token, what: error.to_string() } };
        match rv {
            RvError::PinIncorrect => Self::WrongPin { token, tries: Tries::Unknown },
            RvError::PinInvalid | RvError::PinLenRange => Self::OddPin { token },
            RvError::PinLocked => Self::PinLocked { token },
            RvError::PinExpired | RvError::UserPinNotInitialized => Self::PinToBeSet { token },
            RvError::TokenNotPresent
            | RvError::DeviceRemoved
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::SessionHandleInvalid
            | RvError::SessionClosed => Self::Removed { token },
            RvError::FunctionCanceled | RvError::FunctionRejected => Self::NotConfirmed { token },
            other => Self::Failed { token, what: format!("{other:?} in {function:?}") },
        }
    }

    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Module { .. } => "pkcs11-module",
            Self::NoToken { .. } => "no-such-token",
            Self::SeveralTokens { .. } => "which-token",
            Self::NoSuchKey { .. } => "no-such-key",
            Self::SeveralKeys { .. } => "which-key",
            Self::Unusable { .. } => "key-unsupported",
            Self::WrongPin { .. } | Self::OddPin { .. } => "wrong-pin",
            Self::PinLocked { .. } => "pin-locked",
            Self::PinToBeSet { .. } => "pin-to-be-set",
            Self::Removed { .. } => "token-removed",
            Self::NotConfirmed { .. } => "signer-refused",
            Self::Failed { .. } => "token-failed",
        }
    }

    /// Whether the token said no, as opposed to a circumstance that may pass.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::WrongPin { .. } | Self::OddPin { .. } | Self::PinLocked { .. } | Self::NotConfirmed { .. })
    }
}
