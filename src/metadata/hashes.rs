//! Hashes of files, by algorithm.

use std::collections::BTreeMap;
use std::fmt;

use super::FormatError;
use super::canonical_json::Json;
use super::fields;

/// A hash algorithm that we compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-256 (FIPS 180-4)
    Sha256,
    /// SHA-384 (FIPS 180-4)
    Sha384,
    /// SHA-512 (FIPS 180-4)
    Sha512,
}

impl HashAlgorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Finds the algorithm that metadata and in-toto statements call `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The name in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of a digest in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Whether `text` is a digest as we write it: in lower-case hexadecimal.
    #[cfg(feature = "client")]
    pub(crate) fn is_digest(self, text: &str) -> bool {
        text.len() == 2 * self.length() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hashes that metadata gives for a file: at least one that we compute. Others are kept and not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    known: BTreeMap<HashAlgorithm, Vec<u8>>,
    unknown: BTreeMap<String, Json>,
}

impl Hashes {
    pub(crate) fn from_json(members: BTreeMap<String, Json>, at: &str) -> Result<Self, FormatError> {
        let mut hashes = Self { known: BTreeMap::new(), unknown: BTreeMap::new() };
        for (name, value) in members {
            let Some(algorithm) = HashAlgorithm::from_name(&name) else {
                hashes.unknown.insert(name, value);
                continue;
            };
            let at = || format!("{at}.{name}");
            let digest = hex::decode(fields::string(value, at)?).unwrap_or_default();
            if digest.len() != algorithm.length() {
                let problem = format!("expected {} hexadecimal digits", algorithm.length() * 2);
                return Err(FormatError::invalid(at(), problem));
            }
            hashes.known.insert(algorithm, digest);
        }
        if hashes.known.is_empty() {
            return Err(FormatError::invalid(at, "none of the hash algorithms is sha256, sha384 or sha512"));
        }
        Ok(hashes)
    }

    pub(crate) fn to_json(&self) -> Json {
        let known = self.known.iter().map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest)));
        let mut members = self.unknown.clone();
        members.extend(known.map(|(name, digest)| (name.to_owned(), Json::String(digest))));
        Json::Object(members)
    }

    /// These digests, one by each algorithm.
    #[cfg(feature = "client")]
    pub(crate) fn of<'a>(digests: impl IntoIterator<Item = (HashAlgorithm, &'a [u8])>) -> Self {
        let known = digests.into_iter().map(|(algorithm, digest)| (algorithm, digest.to_vec()));
        Self { known: known.collect(), unknown: BTreeMap::new() }
    }

    /// The digest by an algorithm, where there is one.
    #[cfg(feature = "client")]
    pub(crate) fn get(&self, algorithm: HashAlgorithm) -> Option<&[u8]> {
        self.known.get(&algorithm).map(Vec::as_slice)
    }

    /// The digests that we can check, in order of algorithm. Never empty.
    pub fn iter(&self) -> impl Iterator<Item = (HashAlgorithm, &[u8])> {
        self.known.iter().map(|(algorithm, digest)| (*algorithm, digest.as_slice()))
    }
}
