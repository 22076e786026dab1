//! Reads `map.json`: which repositories must agree about which targets (TAP 4).
//!
//! The map comes from the user, not from a repository. What in it could be understood in two ways is refused: a mapping
//! that is read more widely than it was meant would weaken what it is there for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::metadata::canonical_json::{JsonError, check_unambiguous};
use crate::metadata::{TargetPath, matches_pattern};
use crate::printable::Printable;

/// Which repositories are asked about which targets, and how many of them must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryMap {
    repositories: BTreeMap<String, Vec<String>>,
    mappings: Vec<Mapping>,
}

/// The repositories that answer for some targets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Mapping {
    /// Patterns of target paths, as in delegations (see [`matches_pattern`]). `*` alone covers every path, as in the
    /// examples of TAP 4.
    pub paths: Vec<String>,
    /// The names of the repositories, in order of preference.
    pub repositories: Vec<String>,
    /// How many of them must agree: from 1 to all of them.
    pub threshold: usize,
    /// Whether later mappings are left out where none of these repositories names the target.
    #[serde(default)]
    pub terminating: bool,
}

impl Mapping {
    /// Whether the mapping is about a target.
    pub fn covers(&self, path: &TargetPath) -> bool {
        self.paths.iter().any(|pattern| pattern == "*" || matches_pattern(pattern, path.as_str()))
    }
}

/// Why a map cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// It is longer than is read.
    #[error("the map has more than {} bytes", RepositoryMap::LONGEST)]
    TooLong,
    /// Two readers could understand it differently.
    #[error("the map is not unambiguous JSON: {0}")]
    Json(#[from] JsonError),
    /// It does not have the shape of a map, or has a field that is not known and could be meant as a restriction.
    #[error("the map does not have the shape of TAP 4: {0}")]
    Shape(#[from] serde_json::Error),
    /// It holds nothing, or more than is taken.
    #[error("the map has {count} {what}; 1 to {most} are taken")]
    Count {
        /// What there is too little or too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A mapping names a repository that `repositories` does not.
    #[error("mapping {position} names the repository `{}`, which `repositories` does not", Printable(name))]
    UnknownRepository {
        /// Which mapping, from 1.
        position: usize,
        /// The name.
        name: String,
    },
    /// A mapping names a repository twice: it would count twice.
    #[error("mapping {position} names the repository `{}` twice", Printable(name))]
    RepeatedRepository {
        /// Which mapping, from 1.
        position: usize,
        /// The name.
        name: String,
    },
    /// A threshold is 0, or can never be reached.
    #[error("mapping {position} asks {threshold} of {count} repositories to agree")]
    Threshold {
        /// Which mapping, from 1.
        position: usize,
        /// The threshold.
        threshold: usize,
        /// How many repositories there are.
        count: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapFile {
    repositories: BTreeMap<String, Vec<String>>,
    mapping: Vec<Mapping>,
}

impl RepositoryMap {
    /// Longest map that is read, in bytes.
    pub const LONGEST: usize = 256 * 1024;

    /// Most repositories that are taken, in the map and in a mapping.
    pub const MOST_REPOSITORIES: usize = 64;

    /// Most mappings, and most patterns in one.
    pub const MOST_MAPPINGS: usize = 1024;

    /// Reads a map.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MapError> {
        if bytes.len() > Self::LONGEST {
            return Err(MapError::TooLong);
        }
        check_unambiguous(bytes)?;
        let file: MapFile = serde_json::from_slice(bytes)?;
        count("repositories", file.repositories.len(), Self::MOST_REPOSITORIES)?;
        count("mappings", file.mapping.len(), Self::MOST_MAPPINGS)?;
        for (index, mapping) in file.mapping.iter().enumerate() {
            let position = index + 1;
            count("paths in a mapping", mapping.paths.len(), Self::MOST_MAPPINGS)?;
            let mut seen = BTreeSet::new();
            for name in &mapping.repositories {
                if !file.repositories.contains_key(name) {
                    return Err(MapError::UnknownRepository { position, name: name.clone() });
                }
                if !seen.insert(name) {
                    return Err(MapError::RepeatedRepository { position, name: name.clone() });
                }
            }
            let (threshold, count) = (mapping.threshold, mapping.repositories.len());
            if threshold == 0 || threshold > count {
                return Err(MapError::Threshold { position, threshold, count });
            }
        }
        Ok(Self { repositories: file.repositories, mappings: file.mapping })
    }

    /// A map of one repository, which answers for every target.
    pub(super) fn of_one(name: &str) -> Self {
        let repositories = vec![name.to_owned()];
        let mapping = Mapping { paths: vec!["*".to_owned()], repositories, threshold: 1, terminating: true };
        Self { repositories: [(name.to_owned(), Vec::new())].into(), mappings: vec![mapping] }
    }

    /// The repositories, with the URLs that the map gives for them: unverified text of the map's.
    pub fn repositories(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.repositories.iter().map(|(name, urls)| (name.as_str(), urls.as_slice()))
    }

    /// The mappings in order.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }
}

fn count(what: &'static str, count: usize, most: usize) -> Result<(), MapError> {
    if count == 0 || count > most { Err(MapError::Count { what, count, most }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(mapping: &str) -> Result<RepositoryMap, MapError> {
        RepositoryMap::parse(format!(r#"{{"repositories": {{"a": [], "b": []}}, "mapping": [{mapping}]}}"#).as_bytes())
    }

    #[test]
    fn a_map_is_read() {
        let map =
            map(r#"{"paths": ["a/*"], "repositories": ["b", "a"], "threshold": 2, "terminating": true}"#).unwrap();
        let mapping = &map.mappings()[0];
        assert_eq!((mapping.threshold, mapping.terminating), (2, true));
        assert!(mapping.covers(&TargetPath::new("a/x").unwrap()));
        assert!(!mapping.covers(&TargetPath::new("a/x/y").unwrap()));
    }

    #[test]
    fn a_star_alone_covers_everything() {
        let map = map(r#"{"paths": ["*"], "repositories": ["a"], "threshold": 1}"#).unwrap();
        assert!(map.mappings()[0].covers(&TargetPath::new("a/x/y").unwrap()));
    }

    #[test]
    fn what_could_be_meant_otherwise_is_refused() {
        for (mapping, problem) in [
            (r#"{"paths": ["*"], "repositories": ["a", "b"], "threshold": 3}"#, "asks 3 of 2"),
            (r#"{"paths": ["*"], "repositories": ["a", "b"], "threshold": 0}"#, "asks 0 of 2"),
            (r#"{"paths": ["*"], "repositories": [], "threshold": 1}"#, "asks 1 of 0"),
            (r#"{"paths": ["*"], "repositories": ["a", "a"], "threshold": 2}"#, "`a` twice"),
            (r#"{"paths": ["*"], "repositories": ["a", "c"], "threshold": 1}"#, "`c`, which"),
            (r#"{"paths": [], "repositories": ["a"], "threshold": 1}"#, "0 paths"),
            (r#"{"paths": ["*"], "repositories": ["a"]}"#, "threshold"),
            (r#"{"paths": ["*"], "repositories": ["a"], "threshold": 1, "treshold": 2}"#, "treshold"),
            (r#"{"paths": ["*"], "repositories": ["a"], "threshold": 2, "threshold": 1}"#, "not unambiguous"),
            ("", "0 mappings"),
        ] {
            let error = map(mapping).unwrap_err().to_string();
            assert!(error.contains(problem), "{mapping}: {error}");
        }
        assert!(matches!(RepositoryMap::parse(&vec![b' '; RepositoryMap::LONGEST + 1]), Err(MapError::TooLong)));
    }
}
