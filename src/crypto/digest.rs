//! Hashes of bytes, all at once or as they stream by.

use super::backend;
use crate::metadata::{HashAlgorithm, Hashes};

/// Returns the SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(backend::digest(HashAlgorithm::Sha256, bytes).as_ref());
    digest
}

impl Hashes {
    /// Whether all of them that we compute are those of `bytes`.
    #[cfg(feature = "maintainer")]
    pub(crate) fn are_of(&self, bytes: &[u8]) -> bool {
        self.iter().all(|(algorithm, wanted)| backend::digest(algorithm, bytes).as_ref() == wanted)
    }
}

/// Computes several hashes and the length of a stream in one pass.
pub struct Digester {
    contexts: Vec<(HashAlgorithm, backend::Context)>,
    length: u64,
}

impl Digester {
    /// Starts a digest for each of `algorithms`.
    pub fn new(algorithms: impl IntoIterator<Item = HashAlgorithm>) -> Self {
        let contexts = algorithms.into_iter().map(|algorithm| (algorithm, backend::context(algorithm))).collect();
        Self { contexts, length: 0 }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        for (_, context) in &mut self.contexts {
            context.update(bytes);
        }
    }

    /// How many bytes have passed so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digests, in the order asked for.
    pub fn finish(self) -> Vec<(HashAlgorithm, Vec<u8>)> {
        self.contexts.into_iter().map(|(algorithm, context)| (algorithm, context.finish().as_ref().to_vec())).collect()
    }
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digester").field("length", &self.length).finish_non_exhaustive()
    }
}
