//! Bytes as they arrived, with the digests that were computed on the way.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::crypto::Digester;
use crate::metadata::HashAlgorithm;

/// A file as it arrived. Nothing is verified yet. Cheap to clone.
///
/// Its digests can only be those of its bytes: the bytes never change, and either [`Receiving`] computed the digests
/// from them, or they are computed when they are asked for.
#[derive(Clone, Default)]
pub struct Received {
    bytes: Arc<Vec<u8>>,
    digests: Vec<(HashAlgorithm, Vec<u8>)>,
}

impl Received {
    /// The bytes. Whoever keeps them shares them.
    pub fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    /// The bytes, for keeping.
    pub fn into_bytes(self) -> Arc<Vec<u8>> {
        self.bytes
    }

    /// The digest by `algorithm`: the one computed on the way, or else one computed now.
    pub fn digest(&self, algorithm: HashAlgorithm) -> Cow<'_, [u8]> {
        if let Some((_, digest)) = self.digests.iter().find(|(known, _)| *known == algorithm) {
            return digest.into();
        }
        let mut digester = Digester::new([algorithm]);
        digester.update(&self.bytes);
        digester.finish().into_iter().map(|(_, digest)| digest).next().expect("one was asked for").into()
    }
}

impl From<Vec<u8>> for Received {
    fn from(bytes: Vec<u8>) -> Self {
        Arc::new(bytes).into()
    }
}

impl From<Arc<Vec<u8>>> for Received {
    fn from(bytes: Arc<Vec<u8>>) -> Self {
        Self { bytes, digests: Vec::new() }
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("length", &self.len()).finish_non_exhaustive()
    }
}

/// A file that is still arriving: its bytes are kept, and hashed as they come.
#[derive(Debug)]
pub struct Receiving {
    bytes: Vec<u8>,
    digester: Digester,
}

impl Receiving {
    /// Expects `capacity` bytes, more or less, and computes the digests that [`super::Request::algorithms`] names.
    ///
    /// The caller bounds `capacity` and what is pushed: see [`super::Request::max_length`].
    pub fn new(algorithms: impl IntoIterator<Item = HashAlgorithm>, capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), digester: Digester::new(algorithms) }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.digester.update(bytes);
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes have come so far.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Ends the file.
    pub fn finish(self) -> Received {
        Received { bytes: Arc::new(self.bytes), digests: self.digester.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_bytes_however_they_came() {
        let whole = Received::from(b"what arrived".to_vec());
        for known in [vec![], vec![HashAlgorithm::Sha256], HashAlgorithm::ALL.to_vec()] {
            let mut receiving = Receiving::new(known, 3);
            for piece in b"what arrived".chunks(5) {
                receiving.push(piece);
            }
            assert_eq!(receiving.length(), 12);
            let received = receiving.finish();
            assert_eq!(*received, *whole);
            for algorithm in HashAlgorithm::ALL {
                assert_eq!(received.digest(algorithm), whole.digest(algorithm));
                assert_eq!(received.digest(algorithm).len(), algorithm.length());
            }
        }
        assert_eq!(whole.digest(HashAlgorithm::Sha256), &crate::crypto::sha256(b"what arrived")[..]);
    }
}
