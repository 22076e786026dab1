//! x
pub mod crypto;
pub mod metadata;
mod printable;
pub use printable::Printable;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
mod fs;
pub mod trust;
