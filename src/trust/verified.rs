//! Proof that a document met its delegator's threshold.

use std::ops::Deref;

use crate::metadata::RoleName;

/// A document that enough keys signed, as [`super::verify`] has counted: now or, where
/// `client::danger::VerifiedIndex` allows that, before.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    role: RoleName,
    document: T,
}

impl<T> Verified<T> {
    /// Called in `threshold.rs` alone.
    pub(super) fn new(role: RoleName, document: T) -> Self {
        Self { role, document }
    }

    /// The role that the document was verified for.
    pub fn role(&self) -> &RoleName {
        &self.role
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.document
    }
}
