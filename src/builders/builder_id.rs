//! The names of builders and verifiers, and what may be granted of them.
//!
//! IDs are compared byte by byte, so one thing must have one spelling. A spelling that is not canonical is refused and
//! never put right: who normalises decides for others what they meant.

use std::fmt;

use crate::printable::Printable;

/// Longest ID, in bytes.
pub const MAX_ID_BYTES: usize = 1024;

/// The ID of a builder (`builder.id` in SLSA provenance) or of a verifier (`verifier.id` in a verification summary).
///
/// A canonical ASCII URI `scheme://host[:port]/path`: lower-case scheme and host, no user information, no default port,
/// a path without dot segments and empty segments, no percent-escapes, no query, no fragment. The path is not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuilderId {
    text: String,
    /// Where the first `@` of the path is, if there is one.
    at: Option<usize>,
}

/// Why a text is not an ID or a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {what}: {problem}", Printable(.text))]
pub struct IdError {
    text: String,
    what: &'static str,
    problem: &'static str,
}

impl BuilderId {
    /// Takes an ID as it is, or refuses it.
    ///
    /// # Errors
    /// When it is not canonical: see [`BuilderId`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        match canonical(text) {
            Ok(at) => Ok(Self { text: text.to_owned(), at }),
            Err(problem) => Err(IdError { text: text.to_owned(), what: "a canonical builder ID", problem }),
        }
    }

    /// The ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Splits `ID@ref` at the first `@` of the path. `None` where there is no `@`.
    pub fn split_ref(&self) -> Option<(Self, &str)> {
        let at = self.at?;
        Some((Self { text: self.text[..at].to_owned(), at: None }, &self.text[at + 1..]))
    }

    /// Whether this ID is `base` or `base@…`.
    pub fn is_or_refines(&self, base: &Self) -> bool {
        self == base || (base.at.is_none() && self.at.is_some_and(|at| self.text[..at] == base.text))
    }
}

impl fmt::Display for BuilderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.text).fmt(f)
    }
}

/// Checks the grammar and returns where the first `@` of the path is.
fn canonical(text: &str) -> Result<Option<usize>, &'static str> {
    let path_at = scheme_and_authority(text)?;
    let path = &text[path_at + 1..];
    if path.is_empty() {
        return Err("it has no path");
    }
    path_characters(path)?;
    for segment in path.split('/') {
        match segment {
            "" => return Err("it has an empty path segment"),
            "." | ".." => return Err("it has a dot segment"),
            _ => {}
        }
    }
    let Some(at) = path.find('@') else { return Ok(None) };
    let (base, reference) = (&path[..at], &path[at + 1..]);
    if base.is_empty() || base.ends_with('/') {
        return Err("nothing stands before the `@`");
    }
    if reference.is_empty() || reference.starts_with('/') {
        return Err("nothing stands after the `@`");
    }
    Ok(Some(path_at + 1 + at))
}

/// Checks `scheme://host[:port]/` and returns where that last `/` is.
fn scheme_and_authority(text: &str) -> Result<usize, &'static str> {
    if text.len() > MAX_ID_BYTES {
        return Err("it is longer than 1024 bytes");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has characters other than visible ASCII ones");
    }
    let (scheme, rest) = text.split_once("://").ok_or("it does not start with a scheme and `://`")?;
    let scheme_character = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(scheme_character) {
        return Err("its scheme is not in lower case, or none");
    }
    let slash = rest.find('/').ok_or("it has no path")?;
    let authority = &rest[..slash];
    if authority.contains('@') {
        return Err("it has user information");
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
    };
    if !host.split('.').all(label) {
        return Err("its host is not a host name in lower case");
    }
    if let Some(port) = port {
        let number: u16 = port.parse().map_err(|_| "its port is not a number")?;
        if number == 0 || number.to_string() != port {
            return Err("its port is not a plain number");
        }
        let default = [("http", 80), ("https", 443), ("ws", 80), ("wss", 443), ("ftp", 21), ("ssh", 22), ("git", 9418)];
        if default.contains(&(scheme, number)) {
            return Err("it names the default port");
        }
    }
    Ok(scheme.len() + 3 + slash)
}

/// RFC 3986 `pchar` and `/`, without percent-escapes.
fn path_characters(path: &str) -> Result<(), &'static str> {
    for byte in path.bytes() {
        match byte {
            b'%' => return Err("it has a percent-escape"),
            b'?' => return Err("it has a query"),
            b'#' => return Err("it has a fragment"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
            _ if b"-._~!$&'()*+,;=:@/".contains(&byte) => {}
            _ => return Err("it has a character that a path may not have"),
        }
    }
    Ok(())
}

/// Builder or verifier IDs that a namespace may vouch for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdGrant(Granted);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Granted {
    /// Ends in `/`, and includes scheme and authority.
    Prefix(String),
    /// The ID, and the ID with any ref.
    Exact(BuilderId),
}

impl IdGrant {
    /// Reads a grant: a prefix if it ends in `/`, else one ID, which also grants `ID@…`.
    ///
    /// # Errors
    /// When it is not canonical, or a prefix that does not include a whole authority, or names a ref.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let error = |problem| IdError { text: text.to_owned(), what: "a grant of IDs", problem };
        let Some(inner) = text.strip_suffix('/') else {
            return BuilderId::parse(text).map(|id| Self(Granted::Exact(id)));
        };
        let authority_end = scheme_and_authority(text).map_err(error)?;
        if authority_end == inner.len() {
            return Ok(Self(Granted::Prefix(text.to_owned())));
        }
        match canonical(inner).map_err(error)? {
            // An exact grant of `ID` is then always longer than any prefix that covers `ID@…`.
            Some(_) => Err(error("a prefix does not reach into a ref")),
            None => Ok(Self(Granted::Prefix(text.to_owned()))),
        }
    }

    /// The grant as the catalog spells it.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Granted::Prefix(prefix) => prefix,
            Granted::Exact(id) => id.as_str(),
        }
    }

    /// Whether it covers `id`.
    pub fn covers(&self, id: &BuilderId) -> bool {
        match &self.0 {
            Granted::Prefix(prefix) => id.as_str().starts_with(prefix.as_str()),
            Granted::Exact(granted) => id.is_or_refines(granted),
        }
    }
}

/// Resources or packages that a namespace may vouch for: a URI, or a prefix that ends in `/` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceGrant(String);

impl ResourceGrant {
    /// Reads a grant.
    ///
    /// Of `http` and `https` a prefix includes the whole authority; of other schemes, whose authorities are no hosts
    /// (`gce_image://project:`, `pkg:npm/`), at least the scheme.
    ///
    /// # Errors
    /// When it is not a canonical URI.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let checked = if web(text) && text.ends_with(':') {
            Err("a prefix of a web address ends in `/`")
        } else {
            resource_problem(text)
        };
        match checked {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(problem) => Err(IdError { text: text.to_owned(), what: "a grant of resources", problem }),
        }
    }

    /// The grant as the catalog spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it covers a resource, which [`check_resource`] has passed.
    pub fn covers(&self, resource: &str) -> bool {
        if self.0.ends_with(['/', ':']) { resource.starts_with(&self.0) } else { resource == self.0 }
    }
}

/// Checks that a resource or package URI has one spelling, so that prefixes of it mean something.
///
/// # Errors
/// When it has dot segments, backslashes, escaped dots or slashes, or other characters than visible ASCII ones; or is a
/// web address that is not canonical up to its path.
pub fn check_resource(text: &str) -> Result<(), IdError> {
    resource_problem(text).map_err(|problem| IdError { text: text.to_owned(), what: "a resource URI", problem })
}

fn web(text: &str) -> bool {
    text.split(':')
        .next()
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
}

fn resource_problem(text: &str) -> Result<(), &'static str> {
    if web(text) {
        // The path may be anything that has one spelling; the authority is as strict as an ID's.
        scheme_and_authority(text)?;
    }
    resource_characters(text)
}

fn resource_characters(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_ID_BYTES {
        return Err("it is longer than 1024 bytes");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has characters other than visible ASCII ones");
    }
    // Google's `gce_image` shows that schemes with `_` are in use, whatever RFC 3986 says.
    let scheme_character = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-._".contains(&byte);
    let (scheme, rest) = text.split_once(':').ok_or("it does not start with a scheme")?;
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(scheme_character) {
        return Err("its scheme is not in lower case, or none");
    }
    if rest.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("it has a dot segment");
    }
    let lower = rest.to_ascii_lowercase();
    if rest.contains('\\') || lower.contains("%2e") || lower.contains("%2f") || lower.contains("%5c") {
        return Err("it has a backslash, or an escaped dot, slash or backslash");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> BuilderId {
        BuilderId::parse(text).unwrap()
    }

    #[test]
    fn ids_of_the_field_are_read() {
        for text in [
            "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3",
            "https://github.com/o/r/.github/workflows/w.yml@refs/tags/v1.9.0",
            "https://bcid.corp.google.com/verifier/bcid_package_enforcer/v0.1",
            "https://builder.example:8443/x",
            "spiffe://trust.example/ns/tekton",
        ] {
            assert_eq!(id(text).as_str(), text);
        }
    }

    #[test]
    fn a_spelling_that_is_not_canonical_is_refused() {
        for text in [
            "",
            "https://oppy.example",
            "https://oppy.example/",
            "HTTPS://oppy.example/b",
            "https://Oppy.example/b",
            "https://oppy.example:443/b",
            "http://oppy.example:80/b",
            "https://oppy.example:08443/b",
            "https://oppy.example:/b",
            "https://oppy.example./b",
            "https://user@oppy.example/b",
            "https://oppy.example@evil.example/b",
            "https://oppy.example/a/../b",
            "https://oppy.example/./b",
            "https://oppy.example//b",
            "https://oppy.example/b/",
            "https://oppy.example/%62",
            "https://oppy.example/b?x",
            "https://oppy.example/b#x",
            "https://oppy.example/b\\c",
            "https://oppy.example/b c",
            "https://oppy.example/b\n",
            "https://oppy.ex\u{430}mple/b",
            "https://oppy.example/\u{fc}",
            "https:///b",
            "oppy.example/b",
            "https:oppy.example/b",
            "https://oppy.example/@v1",
            "https://oppy.example/b@",
            "https://oppy.example/b@/v1",
            "urn:x:y",
        ] {
            assert!(BuilderId::parse(text).is_err(), "{text:?}");
        }
        assert!(BuilderId::parse(&format!("https://oppy.example/{}", "a".repeat(MAX_ID_BYTES))).is_err());
    }

    #[test]
    fn the_ref_starts_at_the_first_at_sign() {
        let full = id("https://github.com/o/r/w.yml@refs/tags/v1@2");
        let (base, reference) = full.split_ref().unwrap();
        assert_eq!((base.as_str(), reference), ("https://github.com/o/r/w.yml", "refs/tags/v1@2"));
        assert!(full.is_or_refines(&base));
        assert!(!base.is_or_refines(&full));
        assert!(!id("https://github.com/o/r/w.ymlx@v1").is_or_refines(&base));
        assert_eq!(base.split_ref(), None);
    }

    #[test]
    fn a_prefix_never_crosses_the_authority() {
        let grant = IdGrant::parse("https://oppy.example/").unwrap();
        assert!(grant.covers(&id("https://oppy.example/slsa/b")));
        assert!(!grant.covers(&id("https://oppy.example.evil/b")));
        assert!(!grant.covers(&id("https://evil.example/oppy.example/b")));
        for bad in ["https://oppy.example", "https://", "https:/", "/", "", "https://oppy.", "https://oppy.example//"] {
            assert!(IdGrant::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_grant_ends_where_a_segment_ends() {
        let prefix = IdGrant::parse("https://oppy.example/slsa/").unwrap();
        let exact = IdGrant::parse("https://oppy.example/slsa").unwrap();
        for grant in [&prefix, &exact] {
            assert!(!grant.covers(&id("https://oppy.example/slsa-evil")));
            assert!(!grant.covers(&id("https://oppy.example/slsa-evil/b")));
        }
        assert!(prefix.covers(&id("https://oppy.example/slsa/b@v1")));
        assert!(!prefix.covers(&id("https://oppy.example/slsa")));
        assert!(exact.covers(&id("https://oppy.example/slsa@v1")));
        assert!(!exact.covers(&id("https://oppy.example/slsa/b")));
        assert!(IdGrant::parse("https://oppy.example/b@refs/").is_err());
    }

    #[test]
    fn resources_are_granted_by_whole_parts() {
        for (grant, resource, covered) in [
            ("oppy://", "oppy://x", true),
            ("gce_image://gke-node-images:", "gce_image://gke-node-images:gke-1", true),
            ("gce_image://gke-node-images:", "gce_image://gke-node-images-evil:gke-1", false),
            ("https://oppy.example/", "https://oppy.example/x", true),
            ("https://oppy.example/", "https://oppy.example.evil/x", false),
            ("https://oppy.example/x", "https://oppy.example/xy", false),
            ("pkg:npm/", "pkg:npm/a@1", true),
            ("pkg:npm/", "pkg:npmx/a@1", false),
        ] {
            assert_eq!(ResourceGrant::parse(grant).unwrap().covers(resource), covered, "{grant} {resource}");
        }
        for bad in ["", "x", "https://", "https:", "https://oppy.example:", "https://a@b/", "oppy://a/../", "Oppy://"] {
            assert!(ResourceGrant::parse(bad).is_err(), "{bad}");
        }
        for bad in ["oppy://a/../b", "oppy://a/%2E%2e/b", "https://a@oppy.example/b", "oppy://a b", "oppy://a\\b", "x"]
        {
            assert!(check_resource(bad).is_err(), "{bad}");
        }
    }
}
