//! Finds the real data that tests read where it is at hand: `TRUSTROOT_REALDATA`, or `../shared/realdata` beside
//! the repository. It is not part of the repository, so tests that need it skip without it, and say so.

use std::path::{Path, PathBuf};

/// Returns the path of `relative` in the real data, or says on stderr that it is absent.
#[expect(clippy::print_stderr, reason = "a test that skips must say so")]
pub(crate) fn path(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TRUSTROOT_REALDATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/realdata"), PathBuf::from);
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no real data at {}; set TRUSTROOT_REALDATA", path.display());
    None
}
