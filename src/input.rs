//! Reads JSON documents that are not TUF metadata: the limit first, then one unambiguous reading, then the shape.
//!
//! Everything passed in is attacker-controlled. Repeated keys are refused, since the next reader could see another value
//! than we do. Unknown fields are for the reader of each format to judge: other people's formats grow, while a field that
//! we do not know in one of ours could be a restriction.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use crate::metadata::canonical_json::{JsonError, check_unambiguous};
use crate::printable::Printable;

/// Why a document could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The document is larger than we are willing to read.
    #[error("it has {length} bytes; at most {limit} are read")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The document has more parts of one kind than we are willing to look at.
    #[error("it has {count} {what}; at most {limit} are read")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The document is not JSON with one reading.
    #[error(transparent)]
    Json(JsonError),
    /// The JSON does not have the shape of its format.
    #[error("not of the expected shape: {}", Printable(.what))]
    Shape {
        /// What does not fit. It may quote the document, and is escaped when displayed.
        what: String,
    },
    /// A field does not hold what it should.
    #[error("`{field}` is not {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}

/// Reads one JSON document of at most `limit` bytes.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, InputError> {
    at_most_bytes(bytes, limit)?;
    check_unambiguous(bytes).map_err(InputError::Json)?;
    shape(bytes)
}

/// Reads JSON that is known to be unambiguous.
pub(crate) fn shape<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InputError> {
    serde_json::from_slice(bytes).map_err(|error| InputError::Shape { what: error.to_string() })
}

pub(crate) fn at_most_bytes(bytes: &[u8], limit: usize) -> Result<(), InputError> {
    if bytes.len() > limit {
        return Err(InputError::TooLarge { length: bytes.len(), limit });
    }
    Ok(())
}

pub(crate) fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), InputError> {
    if count > limit {
        return Err(InputError::TooMany { what, count, limit });
    }
    Ok(())
}

/// Decodes base64 in either alphabet of RFC 4648, padded or not: DSSE and protobuf's JSON both allow either.
///
/// Bits that stand for nothing must be zero, so bytes have one spelling in each alphabet.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// Reads an RFC 3339 time. Fractions of a second are kept.
pub(crate) fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_alphabet_is_read_with_and_without_padding() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(base64(text).as_deref(), Some([0xfb, 0xff].as_slice()), "{text}");
        }
    }

    #[test]
    fn bytes_have_one_spelling() {
        // The last character's low bits stand for nothing; `9` sets one of them.
        assert_eq!(base64("+/9="), None);
        // The alphabets are not mixed.
        assert_eq!(base64("+_8="), None);
        assert_eq!(base64("+/8=\n"), None);
    }

    #[test]
    fn text_of_the_document_is_escaped_in_messages() {
        let error = read::<Vec<u64>>(b"[\"\\u001b[2J\"]", 100).unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
