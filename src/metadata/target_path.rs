//! The name of a target: a relative path that is safe to ask for and to store.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::EncodedName;
use crate::printable::{Line, Printable};

/// Longest target path, in bytes.
const LONGEST: usize = 4096;

/// A relative, `/`-separated path without `.`, `..`, empty segments, backslashes or control characters.
///
/// (TUF specification section 4.5: target paths are relative to the mirror's base URL.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(String);

impl TargetPath {
    /// Takes a path, refusing one that could name something outside its base.
    ///
    /// # Errors
    /// See [`TargetPathError`].
    pub fn new(path: impl Into<String>) -> Result<Self, TargetPathError> {
        let path = path.into();
        let problem = if path.is_empty() {
            Some("it is empty")
        } else if path.len() > LONGEST {
            Some("it is longer than 4096 bytes")
        } else if path.starts_with('/') {
            Some("it starts with `/`; target paths are relative")
        } else if path.chars().any(char::is_control) {
            Some("it has a control character")
        } else if path.contains('\\') {
            Some("it has a backslash")
        } else if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            Some("it has a `.` or `..` segment")
        } else if path.split('/').any(str::is_empty) {
            Some("it has an empty segment")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(TargetPathError { path, problem }),
            None => Ok(Self(path)),
        }
    }

    /// The path as metadata spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The path as one file name, percent-encoded, as python-tuf stores targets.
    pub fn encoded(&self) -> EncodedName {
        EncodedName::new(&self.0)
    }

    /// The path below the repository's target URL, percent-encoded.
    ///
    /// With `hash`, the last component is prefixed by it, as consistent snapshots ask (TUF specification
    /// section 6.2). Only the last one: tough and others have prefixed the whole path.
    pub fn url_path(&self, hash: Option<&[u8]>) -> String {
        let (directory, name) =
            self.0.rsplit_once('/').map_or(("", self.0.as_str()), |(directory, name)| (directory, name));
        let mut path = utf8_percent_encode(directory, PATH).to_string();
        if !directory.is_empty() {
            path.push('/');
        }
        if let Some(hash) = hash {
            path.push_str(&hex::encode(hash));
            path.push('.');
        }
        path.extend(utf8_percent_encode(name, PATH));
        path
    }
}

/// What may not stand raw in the path of a URL (WHATWG URL, path percent-encode set), and `%` itself.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%');

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole: two that differ at the end must not look the same. It has no backslash.
        Line(&self.0).fmt(f)
    }
}

/// A path that is not acceptable as a target path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a target path: {problem}", Printable(.path))]
pub struct TargetPathError {
    path: String,
    problem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_their_base_are_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "a\\b", "a\nb", "a\0b"] {
            assert!(TargetPath::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b.txt", "...", "a b", "100%", "a?b#c", "\u{1f37a}"] {
            assert!(TargetPath::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_hash_prefixes_the_last_component_only() {
        let path = TargetPath::new("registry.npmjs.org/keys.json").unwrap();
        assert_eq!(path.url_path(Some(&[0xab, 0x01])), "registry.npmjs.org/ab01.keys.json");
        assert_eq!(path.url_path(None), "registry.npmjs.org/keys.json");
        assert_eq!(TargetPath::new("a b/c%?#").unwrap().url_path(None), "a%20b/c%25%3F%23");
    }
}
