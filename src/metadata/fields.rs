//! Takes the fields of a JSON object one by one and keeps those that nobody asked for.

use std::collections::BTreeMap;

use super::canonical_json::{Json, JsonError};
use super::{Expires, SpecVersion, Version};
use crate::printable::Printable;

/// Fields that this version of the program does not know, preserved as they came.
pub type Unrecognized = BTreeMap<String, Json>;

/// Why a document does not have the shape that its type requires.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes are not acceptable JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A required field is absent.
    #[error("{}: the field `{field}` is missing", Printable(.at))]
    Missing {
        /// Path of the object.
        at: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A field has a value of the wrong kind or out of range.
    #[error("{}: {problem}", Printable(.at))]
    Invalid {
        /// Path of the field.
        at: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The document is of another type than expected.
    #[error("the document calls itself `{}`, not `{expected}`", Printable(.found))]
    WrongType {
        /// The type asked for.
        expected: &'static str,
        /// The value of `_type`.
        found: String,
    },
    /// Entries that stay where the document is kept cannot be read there any more, or are others: see
    /// [`super::EntryWindows`].
    #[error("the kept document is no longer the one that was verified")]
    NotKept,
}

impl FormatError {
    pub(crate) fn invalid(at: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { at: at.into(), problem: problem.into() }
    }
}

/// The fields of one object that have not been taken yet.
pub(crate) struct Fields {
    at: String,
    left: BTreeMap<String, Json>,
}

impl Fields {
    /// Opens `json`, which stands at `at` in the document.
    pub(crate) fn open(json: Json, at: impl Into<String>) -> Result<Self, FormatError> {
        let at = at.into();
        match json {
            Json::Object(left) => Ok(Self { at, left }),
            other => Err(FormatError::invalid(at, format!("expected an object, found {}", other.kind()))),
        }
    }

    /// Opens the `signed` value of a document of type `expected`.
    pub(crate) fn open_signed(json: Json, expected: &'static str) -> Result<(Self, SpecVersion), FormatError> {
        let mut fields = Self::open(json, "signed")?;
        let found = fields.string("_type")?;
        if found != expected {
            return Err(FormatError::WrongType { expected, found });
        }
        let spec_version = SpecVersion::parse(fields.string("spec_version")?)
            .map_err(|problem| FormatError::invalid(fields.path("spec_version"), problem))?;
        Ok((fields, spec_version))
    }

    pub(crate) fn path(&self, field: &str) -> String {
        format!("{}.{field}", self.at)
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.left.contains_key(field)
    }

    pub(crate) fn optional(&mut self, field: &str) -> Option<Json> {
        self.left.remove(field)
    }

    pub(crate) fn required(&mut self, field: &'static str) -> Result<Json, FormatError> {
        self.optional(field).ok_or_else(|| FormatError::Missing { at: self.at.clone(), field })
    }

    pub(crate) fn object(&mut self, field: &'static str) -> Result<BTreeMap<String, Json>, FormatError> {
        let json = self.required(field)?;
        Ok(Self::open(json, self.path(field))?.left)
    }

    pub(crate) fn array(&mut self, field: &'static str) -> Result<Vec<Json>, FormatError> {
        let at = self.path(field);
        match self.required(field)? {
            Json::Array(items) => Ok(items),
            other => Err(FormatError::invalid(at, format!("expected an array, found {}", other.kind()))),
        }
    }

    pub(crate) fn string(&mut self, field: &'static str) -> Result<String, FormatError> {
        let json = self.required(field)?;
        string(json, || self.path(field))
    }

    pub(crate) fn strings(&mut self, field: &'static str) -> Result<Vec<String>, FormatError> {
        self.array(field)?.into_iter().map(|item| string(item, || self.path(field))).collect()
    }

    pub(crate) fn boolean(&mut self, field: &'static str) -> Result<bool, FormatError> {
        match self.required(field)? {
            Json::Bool(value) => Ok(value),
            other => Err(FormatError::invalid(self.path(field), format!("expected a boolean, found {}", other.kind()))),
        }
    }

    pub(crate) fn unsigned(&mut self, field: &'static str) -> Result<u64, FormatError> {
        let json = self.required(field)?;
        unsigned(&json, || self.path(field))
    }

    pub(crate) fn version(&mut self) -> Result<Version, FormatError> {
        let number = self.unsigned("version")?;
        Version::new(number).ok_or_else(|| FormatError::invalid(self.path("version"), "versions start at 1"))
    }

    pub(crate) fn expires(&mut self) -> Result<Expires, FormatError> {
        let text = self.string("expires")?;
        Expires::parse(text).map_err(|problem| FormatError::invalid(self.path("expires"), problem))
    }

    pub(crate) fn rest(self) -> Unrecognized {
        self.left
    }
}

pub(crate) fn string(json: Json, at: impl FnOnce() -> String) -> Result<String, FormatError> {
    match json {
        Json::String(text) => Ok(text),
        other => Err(FormatError::invalid(at(), format!("expected a string, found {}", other.kind()))),
    }
}

pub(crate) fn unsigned(json: &Json, at: impl FnOnce() -> String) -> Result<u64, FormatError> {
    match json {
        Json::Integer(number) => {
            u64::try_from(*number).map_err(|_| FormatError::invalid(at(), "expected a number that is not negative"))
        }
        other => Err(FormatError::invalid(at(), format!("expected an integer, found {}", other.kind()))),
    }
}

/// Collects fields into an object on top of the unknown ones.
pub(crate) fn object<'a>(unrecognized: &Unrecognized, known: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    let mut members = unrecognized.clone();
    members.extend(known.into_iter().map(|(key, value)| (key.to_owned(), value)));
    Json::Object(members)
}
