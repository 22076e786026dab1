//! Namespaces, and where their documents stand in the repository.

use std::fmt;

use super::BuilderId;
use crate::crypto::sha256;
use crate::metadata::TargetPath;
use crate::printable::Printable;

/// Where the catalog stands. Top-level `targets` signs for it.
pub const CATALOG_PATH: &str = "slsa/v1/catalog.json";

/// Names that no namespace may have: roles of TUF, directories of ours, devices of Windows.
const RESERVED: [&str; 31] = [
    "root",
    "targets",
    "snapshot",
    "timestamp",
    "denials",
    "con",
    "prn",
    "aux",
    "nul",
    "com0",
    "com1",
    "com2",
    "com3",
    "com4",
    "com5",
    "com6",
    "com7",
    "com8",
    "com9",
    "lpt0",
    "lpt1",
    "lpt2",
    "lpt3",
    "lpt4",
    "lpt5",
    "lpt6",
    "lpt7",
    "lpt8",
    "lpt9",
    "conin",
    "conout",
];

/// Whose documents stand together, signed by one delegated role: `[a-z0-9][a-z0-9-]*`, at most 64 characters.
///
/// The role is called like the namespace; the roles below it are called `<namespace>.…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// The name of a Sigstore realm, whose trust is in `sigstore/<realm>/trusted_root.json`: `[a-z0-9][a-z0-9-]*`, at most
/// 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Realm(String);

/// A text that is not a name of a namespace or realm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {what}: {problem}", Printable(.text))]
pub struct NameError {
    text: String,
    what: &'static str,
    problem: &'static str,
}

fn name_problem(text: &str) -> Option<&'static str> {
    let character = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > 64 {
        Some("it has 1 to 64 characters")
    } else if text.starts_with('-') || !text.bytes().all(character) {
        Some("it has lower-case letters, digits and `-`, and does not start with `-`")
    } else {
        None
    }
}

impl Namespace {
    /// Takes a name.
    ///
    /// # Errors
    /// When it has other characters, or is reserved.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let reserved = RESERVED.contains(&text).then_some("the name is reserved");
        match name_problem(text).or(reserved) {
            Some(problem) => Err(NameError { text: text.to_owned(), what: "a namespace", problem }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a delegated role of this name belongs to the namespace: `<ns>` itself or `<ns>.…`.
    pub fn owns_role(&self, role: &str) -> bool {
        role.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && rest.len() > 1)
    }
}

impl Realm {
    /// Takes a name.
    ///
    /// # Errors
    /// When it has other characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match name_problem(text) {
            Some(problem) => Err(NameError { text: text.to_owned(), what: "a realm", problem }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the realm's Sigstore `TrustedRoot` stands.
    pub fn trusted_root_path(&self) -> TargetPath {
        path(format!("sigstore/{}/trusted_root.json", self.0))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of the catalog.
pub fn catalog_path() -> TargetPath {
    path(CATALOG_PATH.to_owned())
}

/// The patterns that the namespace's delegation has: exactly these, in any order.
pub fn namespace_patterns(namespace: &Namespace) -> [String; 3] {
    ["builders", "verifiers", "policies"].map(|kind| format!("{}/*.json", directory(kind, namespace)))
}

/// Where the document of a builder stands.
pub fn builder_path(namespace: &Namespace, id: &BuilderId) -> TargetPath {
    document_path("builders", namespace, id)
}

/// Where the document of a verifier stands.
pub fn verifier_path(namespace: &Namespace, id: &BuilderId) -> TargetPath {
    document_path("verifiers", namespace, id)
}

/// The directories that the patterns of the namespace cover.
pub(super) fn namespace_directories(namespace: &Namespace) -> [String; 3] {
    ["builders", "verifiers", "policies"].map(|kind| directory(kind, namespace))
}

fn directory(kind: &str, namespace: &Namespace) -> String {
    format!("slsa/v1/{kind}/{namespace}")
}

fn document_path(kind: &str, namespace: &Namespace, id: &BuilderId) -> TargetPath {
    path(format!("{}/{}.json", directory(kind, namespace), hex::encode(sha256(id.as_str().as_bytes()))))
}

fn path(text: String) -> TargetPath {
    TargetPath::new(text).expect("names of namespaces and realms, and digests, are safe in paths")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::matches_pattern;

    #[test]
    fn names_that_could_be_taken_for_something_else_are_refused() {
        for bad in ["", "-a", "A", "a.b", "a/b", "a_b", "root", "targets", "denials", "nul", "com1", "\u{e4}", "a\n"] {
            assert!(Namespace::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Namespace::parse(&"a".repeat(65)).is_err());
        for good in ["a", "0", "oppy", "oppy-2", "a-"] {
            assert!(Namespace::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_namespace_owns_the_roles_below_its_name_and_no_others() {
        let oppy = Namespace::parse("oppy").unwrap();
        for (role, owned) in
            [("oppy", true), ("oppy.g2b14-1a2f", true), ("oppy.", false), ("oppy2", false), ("oppy-x", false)]
        {
            assert_eq!(oppy.owns_role(role), owned, "{role}");
        }
    }

    #[test]
    fn a_document_stands_under_exactly_one_pattern_of_its_namespace() {
        let (oppy, id) = (Namespace::parse("oppy").unwrap(), BuilderId::parse("https://oppy.example/b").unwrap());
        let path = builder_path(&oppy, &id);
        assert_eq!(
            path.as_str(),
            format!("slsa/v1/builders/oppy/{}.json", hex::encode(sha256(b"https://oppy.example/b")))
        );
        let matching = |path: &TargetPath, namespace: &Namespace| {
            namespace_patterns(namespace).iter().filter(|pattern| matches_pattern(pattern, path.as_str())).count()
        };
        assert_eq!(matching(&path, &oppy), 1);
        assert_eq!(matching(&verifier_path(&oppy, &id), &oppy), 1);
        assert_eq!(matching(&path, &Namespace::parse("oppy2").unwrap()), 0);
    }
}
