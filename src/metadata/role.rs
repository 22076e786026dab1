//! Roles, their names, and the small facts that every document carries.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::canonical_json::Json;
use super::fields::{self, Fields};
use super::{FormatError, KeyId, Unrecognized};
use crate::printable::Printable;

/// Name of a role: a named authority to sign one kind of metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the specification has four top-level roles, the rest is delegated")]
pub enum RoleName {
    /// Names the keys of all top-level roles.
    Root,
    /// Names the current snapshot; signed often.
    Timestamp,
    /// Names the versions of all targets metadata.
    Snapshot,
    /// Names target files and delegates to others.
    Targets,
    /// A role that targets metadata delegates to. Its name is chosen by the delegator and may be any text.
    Delegated(Arc<str>),
}

impl RoleName {
    /// The role that a delegation names, or `None` where there is no name or it belongs to a top-level role.
    ///
    /// A delegated role that could call itself `root` would share file names with the real one.
    pub fn delegated(name: &str) -> Option<Self> {
        let reserved = matches!(name, "" | "root" | "timestamp" | "snapshot" | "targets");
        (!reserved).then(|| Self::Delegated(name.into()))
    }

    /// The name as metadata spells it. Not safe to show or to use as a path: see [`RoleName::encoded`].
    pub fn as_str(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Delegated(name) => name,
        }
    }

    /// The key of this role in the `meta` of a snapshot or timestamp.
    pub fn meta_key(&self) -> String {
        format!("{}.json", self.as_str())
    }

    /// The name as one path component.
    pub fn encoded(&self) -> EncodedName {
        EncodedName::new(self.as_str())
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(self.as_str()).fmt(f)
    }
}

/// Text that is safe as one component of a path or URL: everything but letters, digits and `_.-~` is
/// percent-encoded (RFC 3986 section 2.3), as python-tuf and tough do.
///
/// It always stands before an ending such as `.json`, so that even `..` is an ordinary name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodedName(String);

const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

impl EncodedName {
    /// Encodes any text.
    pub fn new(text: &str) -> Self {
        Self(utf8_percent_encode(text, NOT_UNRESERVED).to_string())
    }

    /// The encoded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EncodedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Version of a document. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(NonZeroU64);

impl Version {
    /// Returns `None` for zero.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The version that must follow, or `None` at the largest number there is.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// How many distinct keys must sign. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Threshold(NonZeroU64);

impl Threshold {
    /// Returns `None` for zero.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Keyids and threshold of a role, as a delegator lists them.
///
/// The threshold may be unreachable: such roots are valid documents, only the role cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Keyids that may sign. Unique.
    pub keyids: BTreeSet<KeyId>,
    /// How many distinct keys must sign.
    pub threshold: Threshold,
    /// Unknown fields.
    pub unrecognized: Unrecognized,
}

impl RoleKeys {
    pub(crate) fn from_json(json: Json, at: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::open(json, at)?;
        let (keyids, threshold) = keyids_and_threshold(&mut fields)?;
        Ok(Self { keyids, threshold, unrecognized: fields.rest() })
    }

    pub(crate) fn to_json(&self) -> Json {
        fields::object(&self.unrecognized, keyids_and_threshold_json(&self.keyids, self.threshold))
    }
}

/// Most keyids of one role. Each costs a signature to check, in a document that may be refused.
const MOST_KEYIDS: usize = 1024;

pub(crate) fn keyids_and_threshold(fields: &mut Fields) -> Result<(BTreeSet<KeyId>, Threshold), FormatError> {
    let mut keyids = BTreeSet::new();
    let listed = fields.strings("keyids")?;
    if listed.len() > MOST_KEYIDS {
        let problem = format!("{} keyids, of which a role has at most {MOST_KEYIDS}", listed.len());
        return Err(FormatError::invalid(fields.path("keyids"), problem));
    }
    for keyid in listed {
        let keyid = KeyId::new(keyid);
        if !keyids.insert(keyid.clone()) {
            return Err(FormatError::invalid(fields.path("keyids"), format!("keyid {keyid} is listed twice")));
        }
    }
    let threshold = Threshold::new(fields.unsigned("threshold")?)
        .ok_or_else(|| FormatError::invalid(fields.path("threshold"), "a threshold is at least 1"))?;
    Ok((keyids, threshold))
}

pub(crate) fn keyids_and_threshold_json(keyids: &BTreeSet<KeyId>, threshold: Threshold) -> [(&'static str, Json); 2] {
    let keyids = keyids.iter().map(|keyid| Json::from(keyid.as_str())).collect();
    [("keyids", Json::Array(keyids)), ("threshold", Json::from(threshold.get()))]
}

/// When a document expires, with the text it came as.
///
/// The specification writes `YYYY-MM-DDTHH:MM:SSZ`; published roots also carry offsets and fractions, so every
/// RFC 3339 time is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expires {
    time: DateTime<Utc>,
    text: String,
}

impl Expires {
    pub(crate) fn parse(text: String) -> Result<Self, String> {
        match DateTime::parse_from_rfc3339(&text) {
            Ok(time) => Ok(Self { time: time.to_utc(), text }),
            Err(_) => Err(format!("`{}` is not a time such as 2030-01-31T12:00:00Z", Printable(&text))),
        }
    }

    /// The first moment at which the document is no longer good.
    pub fn time(&self) -> DateTime<Utc> {
        self.time
    }

    /// Whether the document has expired at `moment`.
    pub fn is_past(&self, moment: DateTime<Utc>) -> bool {
        self.time <= moment
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::from(self.text.as_str())
    }
}

impl fmt::Display for Expires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// The version of the specification that a document follows: `1`, `1.0` or `1.0.34`.
///
/// Only major version 1 is read (TUF specification section 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecVersion(String);

impl SpecVersion {
    pub(crate) fn parse(text: String) -> Result<Self, String> {
        let mut parts = text.split('.');
        let numbers = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let well_formed = text.len() <= 32 && (1..=3).contains(&parts.clone().count()) && parts.clone().all(numbers);
        if !well_formed {
            return Err(format!("`{}` is not a version of the specification", Printable(&text)));
        }
        if parts.next() != Some("1") {
            return Err(format!("specification version {text} is not supported, only 1.x is"));
        }
        Ok(Self(text))
    }

    /// The version as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::from(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_never_become_paths() {
        let name = RoleName::delegated("../a?#b\u{1f4a9}").unwrap();
        assert_eq!(name.encoded().as_str(), "..%2Fa%3F%23b%F0%9F%92%A9");
        assert_eq!(RoleName::delegated("root"), None);
        assert_eq!(RoleName::delegated(""), None);
    }

    #[test]
    fn expiries_are_read_with_offsets_and_fractions() {
        for text in ["2021-12-18T13:28:12.99008-06:00", "2021-12-18T19:28:12+00:00", "2021-12-18T19:28:12Z"] {
            assert_eq!(Expires::parse(text.to_owned()).unwrap().to_string(), "2021-12-18T19:28:12Z");
        }
        assert!(Expires::parse("2021-12-18".to_owned()).is_err());
    }

    #[test]
    fn only_major_version_one_is_read() {
        for good in ["1", "1.0", "1.0.34"] {
            assert!(SpecVersion::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["2.0.0", "", "1.", "x", "1.0.0.0", "10.0", "1.a"] {
            assert!(SpecVersion::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
