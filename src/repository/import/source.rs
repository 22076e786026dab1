//! Where a repository is read from that is to be taken over. Nothing of it is trusted.

use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::fs::read_bounded;

/// Files of a repository, by the names that they have where it is published.
pub trait ImportSource {
    /// A metadata file by its name, such as `5.root.json`; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than `limit` bytes.
    fn metadata(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>>;

    /// A target by its name, percent-encoded, such as `dir/HASH.file`; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than `limit` bytes.
    fn target(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>>;
}

/// A directory that holds a repository: as it is published, or as tuf-on-ci keeps it in git.
///
/// Metadata is looked for in `metadata/` if that is there, roots below it in `root_history/` too; targets in `targets/`,
/// or in the directory `targets` beside metadata.
#[derive(Debug, Clone)]
pub struct SourceDirectory {
    metadata: PathBuf,
    targets: PathBuf,
}

impl SourceDirectory {
    /// Looks where metadata and targets are.
    pub fn new(directory: &Path) -> Self {
        let metadata = directory.join("metadata");
        let metadata = if metadata.is_dir() { metadata } else { directory.to_owned() };
        let below = directory.join("targets");
        let beside = directory.parent().map(|parent| parent.join("targets"));
        let targets = match beside {
            Some(beside) if !below.is_dir() && beside.is_dir() && directory.ends_with("metadata") => beside,
            _ => below,
        };
        Self { metadata, targets }
    }
}

impl ImportSource for SourceDirectory {
    fn metadata(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match read_regular(&self.metadata.join(name), limit)? {
            None if name.ends_with(".root.json") => read_regular(&self.metadata.join("root_history").join(name), limit),
            found => Ok(found),
        }
    }

    fn target(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match read_regular(&self.targets.join(name), limit)? {
            None => read_regular(&self.targets.join(&*percent_decode_str(name).decode_utf8_lossy()), limit),
            found => Ok(found),
        }
    }
}

/// A pipe would block for ever, and a device may never end.
fn read_regular(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.is_file() => read_bounded(path, limit),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // A name that is too long for this system cannot be there.
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Ok(None),
        Err(error) => Err(error),
    }
}
