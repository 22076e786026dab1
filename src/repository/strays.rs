//! What lies among the signed files without belonging there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use percent_encoding::percent_decode_str;

use super::signed::{SignedState, file_name};
use super::{RepositoryError, SIGNED_DIRECTORY};
use crate::fs::read_bounded;
use crate::metadata::{Document, RoleName, Snapshot, TargetFile, TargetPath, Targets, Timestamp, Version};
use crate::trust::{Authority, Verified, verify};

impl SignedState {
    /// The files below a working copy's `repository/` that nobody signed for, by their paths in the working copy: other names than
    /// those that signed files have, documents that no keys signed which ever were the role's, targets that no signed
    /// document names so. What is not a regular file is one of them.
    ///
    /// Names come as they lie there, and are not safe to show.
    ///
    /// # Errors
    /// When a file or directory cannot be read.
    pub fn strays(&self, directory: &Path) -> Result<Vec<String>, RepositoryError> {
        let mut known: BTreeSet<String> = BTreeSet::from([crate::fs::LOCK.to_owned()]);
        known.extend(self.roots().map(|(root, _)| file_name(&RoleName::Root, root.version)));
        known.extend(self.every_targets().map(|targets| file_name(&RoleName::Targets, targets.version())));
        let mut documents: Vec<Verified<Targets>> =
            self.every_targets().map(|targets| targets.document.clone()).collect();
        let found = files_below(directory)?;
        for name in &found {
            let Some((role, version)) = delegated(name) else { continue };
            if let Some(document) = self.delegated_at(&role, version)? {
                known.insert(name.clone());
                documents.push(document);
            }
        }
        let online = |name: &str| read_bounded(&directory.join(name), super::signed::LONGEST);
        for (name, is_vouched_for) in [
            ("timestamp.json", self.is_vouched_for::<Timestamp>(&RoleName::Timestamp, online("timestamp.json")?)),
            ("snapshot.json", self.is_vouched_for::<Snapshot>(&RoleName::Snapshot, online("snapshot.json")?)),
        ] {
            known.extend(is_vouched_for.then(|| name.to_owned()));
        }
        let named = named_targets(&documents);
        let stray = |name: &String| {
            let is_target =
                || named.get(name).is_some_and(|of| of.iter().any(|(path, file)| self.target(path, file).is_ok()));
            !known.contains(name) && !is_target()
        };
        Ok(found.into_iter().filter(stray).map(|name| format!("{SIGNED_DIRECTORY}/{name}")).collect())
    }

    /// A version of a delegated role, if a signed targets document vouches for it.
    fn delegated_at(&self, role: &RoleName, version: Version) -> Result<Option<Verified<Targets>>, RepositoryError> {
        let bytes = self.bytes(role, version)?;
        let Ok(envelope) = self.parse(role, &bytes) else { return Ok(None) };
        let document = self.every_targets().rev().find_map(|targets| {
            let delegations = targets.document.delegations.as_ref()?;
            let delegation = delegations.to_role(role.as_str())?;
            verify::<Targets>(&envelope, Authority::of_delegation(delegations, &delegation)).ok()
        });
        Ok(document.filter(|document| document.version == version))
    }

    fn is_vouched_for<T: Document>(&self, role: &RoleName, bytes: Option<Vec<u8>>) -> bool {
        let envelope = bytes.and_then(|bytes| self.parse(role, &bytes).ok());
        envelope.is_some_and(|envelope| {
            let mut authorities = self.roots().rev().filter_map(|(root, _)| Authority::of_root(root, role));
            authorities.any(|authority| verify::<T>(&envelope, authority).is_ok())
        })
    }
}

/// The role and version of a file that is named as one of a delegated role.
fn delegated(name: &str) -> Option<(RoleName, Version)> {
    let (number, role) = name.strip_suffix(".json")?.split_once('.')?;
    let version = Version::new(number.parse().ok()?)?;
    let role = RoleName::delegated(&percent_decode_str(role).decode_utf8().ok()?)?;
    (file_name(&role, version) == name).then_some((role, version))
}

/// What signed documents call a file of targets, by the name under which it lies.
fn named_targets(documents: &[Verified<Targets>]) -> BTreeMap<String, Vec<(TargetPath, TargetFile)>> {
    let mut named: BTreeMap<String, Vec<(TargetPath, TargetFile)>> = BTreeMap::new();
    for (path, file) in documents.iter().flat_map(|document| document.iter()) {
        let (Ok(path), Ok(file)) = (TargetPath::new(path), file) else { continue };
        let Some((_, digest)) = file.hashes.iter().next() else { continue };
        let name = format!("targets/{}", path.url_path(Some(digest)));
        let of = named.entry(name).or_default();
        of.push((path, file));
    }
    named
}

/// Everything below a directory that is no directory, by its path there with `/`.
fn files_below(directory: &Path) -> Result<Vec<String>, RepositoryError> {
    let mut found = Vec::new();
    let mut places = vec![(directory.to_owned(), String::new())];
    while let Some((place, prefix)) = places.pop() {
        let entries = match fs_err::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                places.push((entry.path(), name + "/"));
            } else {
                // A link, which no signed file is, has a name that none has.
                found.push(if kind.is_file() { name } else { name + " (no file)" });
            }
        }
    }
    found.sort();
    Ok(found)
}
