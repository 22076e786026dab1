//! Why AWS KMS did not sign, in words.
//!
//! What the service says is not passed on, but for names that can be nothing else: it repeats parts of a request, and
//! those hold a session token.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

/// Why AWS KMS did not sign, or did not say what its key is. Holds nothing of the credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwsKmsError {
    /// There are no credentials on this machine.
    #[error(
        "there are no AWS credentials: none in the environment, none in a profile, no web identity, no container's"
    )]
    NoCredentials,
    /// There should be credentials, and they cannot be had.
    #[error("the AWS credentials cannot be had: {why}")]
    Unobtainable {
        /// Why.
        why: &'static str,
    },
    /// AWS does not take the credentials.
    #[error("AWS does not take the credentials: {why}")]
    CredentialsRefused {
        /// Why.
        why: &'static str,
    },
    /// Nothing says in which region the key is.
    #[error("nothing says in which AWS region `{key}` is")]
    NoRegion {
        /// The key, as it was named.
        key: String,
    },
    /// There is no such key.
    #[error("{key} does not exist")]
    NoSuchKey {
        /// Which, with its region.
        key: String,
    },
    /// The credentials do not allow it.
    #[error("{} may not do `{action}` with {key}", .principal.as_deref().map_or("who has these credentials".to_owned(), |who| format!("`{who}`")))]
    Denied {
        /// Which key.
        key: String,
        /// The permission, as policies name it.
        action: &'static str,
        /// Who asked, as AWS says.
        principal: Option<String>,
    },
    /// The key is disabled, or about to be deleted.
    #[error("{key} {state}")]
    State {
        /// Which.
        key: String,
        /// What is the matter with it.
        state: &'static str,
    },
    /// The key cannot sign metadata.
    #[error("{key} cannot sign metadata: {why}")]
    Unusable {
        /// Which.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// Too many requests.
    #[error("{key} cannot be used now: AWS KMS is asked too often at the moment")]
    Throttled {
        /// Which key.
        key: String,
    },
    /// No answer came.
    #[error("AWS KMS cannot be reached at {place}: {why}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        why: &'static str,
    },
    /// No answer in time.
    #[error("{key} had not answered after {seconds} s")]
    TimedOut {
        /// Which key.
        key: String,
        /// How long it was given.
        seconds: u64,
    },
    /// What answers does not answer as AWS KMS does.
    #[error("what answers for {key} does not answer as AWS KMS does: {what}")]
    Nonsense {
        /// Which key.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Something else.
    #[error("{key} cannot be used now: AWS KMS failed with {what}")]
    Failed {
        /// Which key.
        key: String,
        /// The name of the error, and the status.
        what: String,
    },
}

const MALFORMED: &str = "its answer is malformed, or breaks off";

/// What was asked of AWS KMS when something went wrong.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The key, as messages name it.
    pub(super) key: String,
    /// Where it was asked.
    pub(super) place: String,
    /// The permission that is needed.
    pub(super) action: &'static str,
}

impl AwsKmsError {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, asked: &Asked) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let unreachable = |why| Self::Unreachable { place: asked.place.clone(), why };
        if let Some(credentials) = in_chain::<CredentialsError>(error) {
            return Self::of_credentials(credentials);
        }
        match error {
            SdkError::ServiceError(service) => Self::of_service(service.err(), service.raw().status().as_u16(), asked),
            SdkError::TimeoutError(_) => unreachable("no answer in time"),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => unreachable("no answer in time"),
            SdkError::DispatchFailure(_) => {
                unreachable(match in_chain::<std::io::Error>(error).map(std::io::Error::kind) {
                    Some(std::io::ErrorKind::ConnectionRefused) => "nobody listens there",
                    Some(std::io::ErrorKind::InvalidData) => "its certificate is not trusted, or it does not speak TLS",
                    _ => "no connection came about, or it broke",
                })
            }
            SdkError::ResponseError(_) => Self::Nonsense { key: asked.key.clone(), what: MALFORMED },
            _ => Self::Failed { key: asked.key.clone(), what: "a request that could not be made".to_owned() },
        }
    }

    pub(super) fn of_credentials(error: &CredentialsError) -> Self {
        let why = match error {
            CredentialsError::CredentialsNotLoaded(_) => return Self::NoCredentials,
            CredentialsError::ProviderTimedOut(_) => "where they come from did not answer in time",
            CredentialsError::InvalidConfiguration(_) => {
                "the profile, or what the environment says of them, cannot be used by this build"
            }
            _ => "where they come from, such as a role or a web identity, gave none",
        };
        Self::Unobtainable { why }
    }

    fn of_service(error: &impl ProvideErrorMetadata, status: u16, asked: &Asked) -> Self {
        let key = asked.key.clone();
        let message = error.message().unwrap_or_default();
        match error.code().unwrap_or_default() {
            "NotFoundException" => Self::NoSuchKey { key },
            "DisabledException" => Self::State { key, state: "is disabled" },
            "KMSInvalidStateException" => Self::State { key, state: state(message) },
            "AccessDeniedException" => Self::Denied { key, action: asked.action, principal: principal(message) },
            "InvalidKeyUsageException" => {
                Self::Unusable { key, why: "it is not for signing, or not for signatures of this kind" }
            }
            "UnsupportedOperationException" => {
                Self::Unusable { key, why: "it is not a pair of a secret and a public key" }
            }
            "UnrecognizedClientException" | "InvalidClientTokenId" => {
                Self::CredentialsRefused { why: "it does not know them, or not in this region" }
            }
            "ExpiredTokenException" | "ExpiredToken" => Self::CredentialsRefused { why: "they have expired" },
            "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignatureException" => {
                // The only words that say that the clocks differ.
                let clock = ["expired", "not yet current"].iter().any(|words| message.contains(words));
                let why = if clock { "the clock of this machine is wrong" } else { "the secret access key is wrong" };
                Self::CredentialsRefused { why }
            }
            "MissingAuthenticationTokenException" => Self::CredentialsRefused { why: "it saw none" },
            "ThrottlingException" | "TooManyRequestsException" | "LimitExceededException" => Self::Throttled { key },
            _ if (200..300).contains(&status) => Self::Nonsense { key, what: MALFORMED },
            code => {
                let plain = !code.is_empty() && code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric());
                let code = if plain { code } else { "an error without a name" };
                Self::Failed { key, what: format!("{code}, HTTP status {status}") }
            }
        }
    }

    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCredentials | Self::Unobtainable { .. } | Self::CredentialsRefused { .. } => "kms-credentials",
            Self::NoRegion { .. } => "kms-region",
            Self::NoSuchKey { .. } => "kms-no-such-key",
            Self::Denied { .. } => "kms-access-denied",
            Self::State { .. } => "kms-key-state",
            Self::Unusable { .. } => "key-unsupported",
            Self::Throttled { .. } => "kms-throttled",
            Self::Unreachable { .. } => "kms-unreachable",
            Self::TimedOut { .. } => "signer-timed-out",
            Self::Nonsense { .. } | Self::Failed { .. } => "kms-failed",
        }
    }

    /// Whether AWS said no, or what answers is not AWS KMS; not a circumstance that may pass.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::CredentialsRefused { .. } | Self::Denied { .. } | Self::State { .. } | Self::Nonsense { .. }
        )
    }
}

/// Finds an error of a kind among an error's causes.
fn in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What `KMSInvalidStateException` means. The service says it in words alone.
fn state(message: &str) -> &'static str {
    if message.contains("pending deletion") {
        "is scheduled for deletion"
    } else if message.contains("pending import") {
        "has no key material yet: it is to be imported"
    } else if message.contains("disabled") {
        "is disabled"
    } else {
        "is in a state in which it cannot be used"
    }
}

/// Whom AWS refused: `User: arn:… is not authorized to perform: …`. Nothing but an ARN is taken from there.
fn principal(message: &str) -> Option<String> {
    let word = message.strip_prefix("User: ")?.split(' ').next()?;
    let good = |c: char| c.is_ascii_alphanumeric() || ":/_-.@,+=".contains(c);
    let is_arn = word.starts_with("arn:") && word.len() <= 300 && word.matches(':').count() >= 5;
    (is_arn && word.chars().all(good)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_the_service_says_only_an_arn_is_repeated() {
        let who = "arn:aws:sts::111122223333:assumed-role/online/i-0abc";
        let said = format!("User: {who} is not authorized to perform: kms:Sign on resource: arn:…");
        assert_eq!(principal(&said).as_deref(), Some(who));
        for other in
            ["", "User: ", "User: IQoJb3JpZ2luX2VjEXAMPLE// is", "User: arn:a\u{1b}[2J:::: is", "arn:aws:iam::1:user/a"]
        {
            assert_eq!(principal(other), None, "{other}");
        }
    }
}
