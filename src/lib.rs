//! x
pub mod crypto;
pub mod metadata;
mod printable;
pub use printable::Printable;
pub mod trust;
