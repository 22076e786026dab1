//! Repositories whose newest root is a target of this one.

use super::{RepositoryError, SIGNED_DIRECTORY, SignedState, WorkingCopy};
use crate::fs::read_below;
use crate::metadata::{Envelope, Root, Version};
use crate::trust::UpdateStart;

/// Longest root that is read, in bytes.
const LONGEST: u64 = 512_000;

/// How a linked repository stands to the target that is to be its newest root.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// The target is its newest root.
    Current {
        /// The version of that root.
        version: Version,
    },
    /// The target is an older root of it.
    Behind {
        /// The version that the target has.
        target: Version,
        /// The version that there is.
        newest: Version,
    },
    /// There is no such file among targets.
    NoTarget {
        /// The version that there is.
        newest: Version,
    },
    /// The file is none of the repository's roots.
    Foreign,
    /// The repository is not where it should be, so nothing can be compared.
    NotHere,
}

/// Compares the newest root of each linked repository, verified from its own first one on, with the file that distributes
/// it. By name, in order.
///
/// # Errors
/// When a file cannot be read, or the roots of a linked repository do not follow from each other.
pub fn links(copy: &WorkingCopy, start: UpdateStart) -> Result<Vec<(String, Link)>, RepositoryError> {
    let mut links = Vec::new();
    for (name, linked) in &copy.config().linked {
        let directory = copy.directory().join(&linked.directory);
        let working_copy = directory.join(SIGNED_DIRECTORY);
        let directory = if working_copy.is_dir() { working_copy } else { directory };
        let roots = SignedState::roots_of(&directory, start)?;
        let Some((newest, newest_bytes)) = roots.last() else {
            links.push((name.clone(), Link::NotHere));
            continue;
        };
        let target = read_below(copy.directory(), &copy.directory().join("targets").join(&linked.target), LONGEST)?;
        let link = match target {
            None => Link::NoTarget { newest: newest.version },
            Some(target) if target == *newest_bytes => Link::Current { version: newest.version },
            Some(target) if roots.iter().any(|(_, bytes)| *bytes == target) => {
                let version = Envelope::parse(&target).and_then(|envelope| envelope.unverified::<Root>());
                let target = version.map_or(newest.version, |root| root.version);
                Link::Behind { target, newest: newest.version }
            }
            Some(_) => Link::Foreign,
        };
        links.push((name.clone(), link));
    }
    Ok(links)
}
