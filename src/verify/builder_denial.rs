//! Why an attestation file does not vouch for an artifact in the name of a builder or verifier: what the person who asked
//! is told, and the code that programs read.

use chrono::{DateTime, SecondsFormat, Utc};

use super::Skipped;
use super::builder_verdict::RefusedBuild;
use super::statement::{IN_TOTO_PAYLOAD_TYPE, Subject};
use super::trusted_time::{NoTrustedTime, TrustedTime};
use crate::builders::{BuildLevel, BuilderId, EffectiveLevel, Status, ValidFor};
use crate::input::InputError;
use crate::printable::Printable;

/// Why an attestation file does not vouch for an artifact in the name of a builder or verifier.
///
/// Text of the file and of documents is escaped when displayed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuilderDenial {
    /// The file, or the envelope, cannot be read.
    #[error("the attestation cannot be read: {0}")]
    Malformed(InputError),
    /// An attestation carries a certificate that it is not signed with: it was tampered with.
    #[error("attestation number {} in the file was altered after it was signed: its signature is not by the certificate that it carries", .position + 1)]
    AlteredAttestation {
        /// Position in the file, from 0.
        position: usize,
    },
    /// Nothing in the file could be judged.
    #[error("none of the {} attestations in the file can be judged", .skipped.len())]
    NothingToJudge {
        /// What is there instead.
        skipped: Vec<Skipped>,
    },
    /// The builder signs with certificates, which are not judged yet.
    #[error("it is signed with a certificate, and signers with certificates (here `{}`) cannot be verified by this version", Printable(.signer))]
    CertificatesNotSupported {
        /// A signer of the document that signs with certificates.
        signer: String,
    },
    /// A signer is named, but did not sign this payload: it was tampered with.
    #[error("it names the signer `{}`, and no signature over this payload is by a signer of {id}", Printable(.signer))]
    BadSignature {
        /// The signer that is named.
        signer: String,
        /// The ID.
        id: BuilderId,
    },
    /// No signer of the document signed it.
    #[error("no signature over this payload is by one of the {signers} usable signers of {id}{}", unusable(.disabled))]
    NotSignedByBuilder {
        /// The ID.
        id: BuilderId,
        /// How many signers could have signed.
        signers: usize,
        /// Signers that cannot be used, and why.
        disabled: Vec<(String, String)>,
    },
    /// Fewer signers count than the document asks for.
    #[error("{valid} of the {needed} signers that {id} needs signed it")]
    TooFewSigners {
        /// The ID.
        id: BuilderId,
        /// How many count.
        valid: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The payload is not said to be an in-toto statement.
    #[error("the payload has the type `{}`, not `{IN_TOTO_PAYLOAD_TYPE}`", Printable(.found))]
    WrongPayloadType {
        /// The type.
        found: String,
    },
    /// What was signed is not an in-toto statement.
    #[error("what was signed is not a statement: {0}")]
    MalformedStatement(InputError),
    /// The statement is about something else.
    #[error("the statement is not about this artifact but about {}", super::verdict::about(.subjects))]
    SubjectMismatch {
        /// What it is about.
        subjects: Vec<Subject>,
    },
    /// The statement is neither provenance, nor a summary where one was asked for.
    #[error("the statement has the predicate type `{}`, not {wanted}", Printable(.found))]
    WrongPredicateType {
        /// Its predicate type.
        found: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// The predicate lacks what its type requires.
    #[error("the predicate cannot be read: {0}")]
    MalformedPredicate(InputError),
    /// The statement is by another builder or verifier.
    #[error("the statement is by `{}`, not by {asked}", Printable(.found))]
    OtherBuilder {
        /// The ID in the statement.
        found: String,
        /// The ID asked about.
        asked: BuilderId,
    },
    /// The signer, the builder or its ID is revoked or denied.
    #[error("{what} is {status}, {}", signed_when(.time))]
    Revoked {
        /// What is revoked.
        what: String,
        /// Its status.
        status: Status,
        /// When it signed, as far as that is proved.
        time: Box<TrustedTime>,
    },
    /// The signer or the builder is retired, and nothing proves that it signed before.
    #[error("{what} is {status}, {}", signed_when(.time))]
    Retired {
        /// What is retired.
        what: String,
        /// Its status.
        status: Status,
        /// When it signed, as far as that is proved.
        time: Box<TrustedTime>,
    },
    /// The signer's key was not valid when it signed; or is not valid now, and when it signed is unknown.
    #[error("signer `{}` is valid {valid_for}, not on {}, {}", Printable(.signer), rfc3339(.judged_at), signed_when(.time))]
    SignerNotValid {
        /// The signer.
        signer: String,
        /// When its key is valid.
        valid_for: ValidFor,
        /// The time at which it was judged.
        judged_at: DateTime<Utc>,
        /// When it signed, as far as that is proved.
        time: Box<TrustedTime>,
    },
    /// The level is too low, or there is none.
    #[error("{id} is granted {} on {}, and {wanted} is asked for: {arithmetic}", arithmetic.level().map_or("no level", BuildLevel::as_short), rfc3339(.judged_at))]
    LevelTooLow {
        /// The ID.
        id: BuilderId,
        /// How the level came about.
        arithmetic: EffectiveLevel,
        /// The level asked for.
        wanted: BuildLevel,
        /// The time at which it was judged.
        judged_at: DateTime<Utc>,
    },
    /// The summary says something other than `PASSED`.
    #[error("the verifier did not pass the artifact")]
    NotPassed,
    /// The summary is about another resource.
    #[error("the summary is about `{}`, not about `{}`", Printable(.found), Printable(.asked))]
    OtherResource {
        /// The resource in the summary.
        found: String,
        /// The resource asked about.
        asked: String,
    },
    /// Something in the statement is outside what the builder or verifier is limited to.
    #[error("{what} `{}` is outside what {id} may vouch for", Printable(.found))]
    OutOfScope {
        /// The kind of thing.
        what: &'static str,
        /// What it is.
        found: String,
        /// The ID.
        id: BuilderId,
    },
    /// An external parameter is not one that the builder's document knows.
    #[error("the external parameter `{}` is not one that {id} lists for its build type", Printable(.name))]
    UnrecognisedParameter {
        /// The parameter.
        name: String,
        /// The ID.
        id: BuilderId,
    },
    /// An external parameter is missing that the builder's document requires.
    #[error("the external parameter `{}`, which {id} requires, is missing", Printable(.name))]
    MissingParameter {
        /// The parameter.
        name: String,
        /// The ID.
        id: BuilderId,
    },
    /// Several attestations could be judged, and none passed.
    #[error("none of the {} attestations that could be judged passes{}", .refused.len(), first(.refused))]
    NoneAccepted {
        /// All of them; at least two.
        refused: Vec<RefusedBuild>,
    },
}

impl BuilderDenial {
    /// The stable name of this kind of denial, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-attestation",
            Self::AlteredAttestation { .. } => "altered-attestation",
            Self::NothingToJudge { .. } => "nothing-to-judge",
            Self::CertificatesNotSupported { .. } => "certificates-not-supported",
            Self::BadSignature { .. } => "bad-signature",
            Self::NotSignedByBuilder { .. } => "not-signed-by-builder",
            Self::TooFewSigners { .. } => "too-few-signers",
            Self::WrongPayloadType { .. } => "wrong-payload-type",
            Self::MalformedStatement(_) => "malformed-statement",
            Self::SubjectMismatch { .. } => "subject-mismatch",
            Self::WrongPredicateType { .. } => "wrong-predicate-type",
            Self::MalformedPredicate(_) => "malformed-predicate",
            Self::OtherBuilder { .. } => "other-builder",
            Self::Revoked { .. } => "revoked",
            Self::Retired { .. } => "retired",
            Self::SignerNotValid { .. } => "signer-not-valid",
            Self::LevelTooLow { .. } => "level-too-low",
            Self::NotPassed => "not-passed",
            Self::OtherResource { .. } => "other-resource",
            Self::OutOfScope { .. } => "out-of-scope",
            Self::UnrecognisedParameter { .. } => "unrecognised-parameter",
            Self::MissingParameter { .. } => "missing-parameter",
            Self::NoneAccepted { .. } => "none-accepted",
        }
    }

    /// Whether this proves that an attestation was altered after it was signed.
    pub(super) fn proves_tampering(&self) -> bool {
        matches!(self, Self::BadSignature { .. } | Self::AlteredAttestation { .. })
    }
}

fn rfc3339(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn signed_when(time: &TrustedTime) -> String {
    match time {
        TrustedTime::Known { time, .. } => format!("and the signature was made on {}", rfc3339(time)),
        TrustedTime::Unknown { reason } => unknown(reason),
    }
}

fn unknown(reason: &NoTrustedTime) -> String {
    format!("and when the signature was made is unknown: {reason}")
}

fn unusable(signers: &[(String, String)]) -> String {
    let Some((name, why)) = signers.first() else { return String::new() };
    format!("; {} more cannot be used, the first is `{}`: {}", signers.len(), Printable(name), Printable(why))
}

fn first(refused: &[RefusedBuild]) -> String {
    refused.first().map(|first| format!("; the first: {}", first.denial)).unwrap_or_default()
}
