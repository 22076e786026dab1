//! What the documents of the builder map share: periods, statuses, limits, and the refusal of a document.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::ValidFor;
use crate::input::{self, InputError};
use crate::printable::Printable;

/// Largest document of the builder map that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Longest name or reason in a document, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;

/// Why a catalog, builder or verifier document is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It cannot be read, or has a field that we do not know.
    #[error(transparent)]
    Input(InputError),
    /// A field holds what it may not.
    #[error("{}: {}", Printable(.at), Printable(.problem))]
    Invalid {
        /// Where.
        at: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl DocumentError {
    pub(super) fn invalid(at: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self::Invalid { at: at.into(), problem: problem.to_string() }
    }
}

impl From<InputError> for DocumentError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

/// Checks the media type of a document.
pub(super) fn media_type(found: &str, expected: &'static str) -> Result<(), DocumentError> {
    if found == expected {
        return Ok(());
    }
    Err(DocumentError::invalid("mediaType", format!("it is `{found}`, not `{expected}`")))
}

/// Checks a name, which people read: visible ASCII and spaces, not too long.
pub(super) fn name(at: &str, text: &str) -> Result<(), DocumentError> {
    let readable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(readable) {
        return Err(DocumentError::invalid(at, "a name has 1 to 256 printable ASCII characters"));
    }
    Ok(())
}

/// A period as documents write it. Unlike in Sigstore's, nothing may be misspelt.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeriodJson {
    start: String,
    end: Option<String>,
}

impl PeriodJson {
    pub(super) fn read(&self, at: &str) -> Result<ValidFor, DocumentError> {
        let start = moment(at, &self.start)?;
        let end = self.end.as_ref().map(|end| moment(at, end)).transpose()?;
        if end.is_some_and(|end| end < start) {
            return Err(DocumentError::invalid(at, "the period ends before it starts"));
        }
        Ok(ValidFor { start, end })
    }
}

pub(super) fn moment(at: &str, text: &str) -> Result<DateTime<Utc>, DocumentError> {
    input::time(text)
        .ok_or_else(|| DocumentError::invalid(at, format!("`{text}` is not a time such as 2030-01-31T12:00:00Z")))
}

/// Whether something may still vouch, and since when not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an unknown status refuses the document")]
pub enum Status {
    /// In use.
    Active,
    /// Honourably out of use: what was made before still counts.
    Retired {
        /// The first moment at which it is out of use.
        at: DateTime<Utc>,
    },
    /// Not to be believed.
    Revoked(Revocation),
}

/// Why and since when something is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// The reason, such as `keyCompromise`.
    pub reason: String,
    /// The first moment at which it is not to be believed. `None`: it never was.
    pub distrust_from: Option<DateTime<Utc>>,
}

impl Status {
    /// Active, retired, revoked: the later, the more severe.
    pub fn severity(&self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Retired { .. } => 1,
            Self::Revoked(_) => 2,
        }
    }

    /// `active`, `retired` or `revoked`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired { .. } => "retired",
            Self::Revoked(_) => "revoked",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rfc3339 = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        match self {
            Self::Active => f.write_str("active"),
            Self::Retired { at } => write!(f, "retired on {}", rfc3339(at)),
            Self::Revoked(Revocation { reason, distrust_from: None }) => {
                write!(f, "revoked ({})", Printable(reason))
            }
            Self::Revoked(Revocation { reason, distrust_from: Some(from) }) => {
                write!(f, "revoked from {} on ({})", rfc3339(from), Printable(reason))
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RevocationJson {
    reason: String,
    distrust_from: Option<String>,
}

/// Reads `status`, `retiredAt` and `revocation`, which stand beside each other in signers and documents.
pub(super) fn status(
    at: &str,
    status: &str,
    retired_at: Option<&str>,
    revocation: Option<&RevocationJson>,
) -> Result<Status, DocumentError> {
    match (status, retired_at, revocation) {
        ("active", None, None) => Ok(Status::Active),
        ("retired", Some(time), None) => Ok(Status::Retired { at: moment(&format!("{at}.retiredAt"), time)? }),
        ("retired", None, None) => {
            Err(DocumentError::invalid(at, "`retiredAt` is missing: nobody could tell what was made before"))
        }
        ("revoked", None, Some(revocation)) => {
            name(&format!("{at}.revocation.reason"), &revocation.reason)?;
            let from = revocation.distrust_from.as_ref();
            let distrust_from = from.map(|time| moment(&format!("{at}.revocation.distrustFrom"), time)).transpose()?;
            Ok(Status::Revoked(Revocation { reason: revocation.reason.clone(), distrust_from }))
        }
        ("revoked", None, None) => Err(DocumentError::invalid(at, "`revocation` is missing")),
        ("active" | "retired" | "revoked", _, _) => {
            Err(DocumentError::invalid(at, "`retiredAt` is for `retired` alone, `revocation` for `revoked` alone"))
        }
        (unknown, _, _) => Err(DocumentError::invalid(at, format!("the status `{unknown}` is not one that we know"))),
    }
}

/// `extensions` may hold anything: what stands there never restricts and never grants.
pub(super) type Extensions = Option<Value>;

/// An anchored pattern in which `*` stands for any run of characters other than `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    pub(super) fn parse(at: &str, text: &str) -> Result<Self, DocumentError> {
        // The characters that mean something in patterns of TUF paths mean nothing here, and are kept out.
        let fine = |byte: u8| byte.is_ascii_graphic() && !b"?[]\\".contains(&byte);
        if text.is_empty() || text.len() > super::MAX_ID_BYTES || !text.bytes().all(fine) {
            return Err(DocumentError::invalid(
                at,
                format!("`{text}` is not a pattern: visible ASCII without ? [ ] \\"),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        crate::metadata::matches_pattern(&self.0, text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
