//! Writes a plan to the directory. If we crash after any line, running it again goes on from there.

use std::path::Path;

use fs_err as fs;

use super::plan::{SNAPSHOT, TIMESTAMP};
use super::{PublishError, PublishPlan, Writes};
use crate::fs::{Lock, read_bounded, remove_leftovers, write_durably};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// How many files are new or replaced.
    pub written: usize,
    /// How many were there already.
    pub there: usize,
}

impl PublishPlan {
    /// Writes what is new, what never changes first and the pointer last.
    ///
    /// # Errors
    /// When a file cannot be written, or somebody has put another content under a name that never changes. Clients
    /// then see the state before, or the new one.
    pub async fn apply(&self) -> Result<Applied, PublishError> {
        fs::create_dir_all(&self.destination)?;
        // Two runs at once would each replace the pointer of the other.
        let _lock = Lock::acquire(&self.destination).await?;
        let there = read_bounded(&self.destination.join(TIMESTAMP), u64::MAX - 1)?;
        if there != self.seen && there.as_deref() != Some(&self.timestamp) {
            return Err(PublishError::Overtaken);
        }
        remove_leftovers(&self.remember_in);
        remove_leftovers(&self.destination);
        // Before anybody can see it, so that its version is never used for anything else.
        write_durably(&self.remember_in.join(SNAPSHOT), &self.snapshot)?;
        write_durably(&self.remember_in.join(TIMESTAMP), &self.timestamp)?;
        let mut applied = Applied { written: 0, there: 0 };
        for object in &self.objects {
            let path = self.destination.join(&object.name);
            no_way_out(&self.destination, &object.name)?;
            if write_object(&path, &object.name, object.writes, &object.bytes)? {
                applied.written += 1;
            } else {
                applied.there += 1;
            }
        }
        Ok(applied)
    }
}

/// Refuses a name that a symbolic link in the directory leads somewhere else.
fn no_way_out(destination: &Path, name: &str) -> Result<(), PublishError> {
    let mut path = destination.to_owned();
    for part in name.split('/') {
        path.push(part);
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(PublishError::Conflict { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Whether it had to be written.
fn write_object(path: &Path, name: &str, writes: Writes, bytes: &[u8]) -> Result<bool, PublishError> {
    match read_bounded(path, u64::MAX - 1)? {
        Some(there) if there == bytes => return Ok(false),
        Some(_) if writes != Writes::Pointer => return Err(PublishError::Conflict { name: name.to_owned() }),
        _ => {}
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
        remove_leftovers(parent);
    }
    write_durably(path, bytes)?;
    Ok(true)
}
