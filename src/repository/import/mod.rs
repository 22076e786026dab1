//! Takes over a repository that another tool began: its chain of roots, the newest of each other role and the files that
//! they name become a working copy, without a byte of signed metadata or a keyid changed.
//!
//! Everything is verified from the first root on, which the caller names. What the configuration that is written cannot say
//! stays as it is signed in the proposals that follow, and is listed; that a proposal changes nothing but version and expiry
//! is tried out before anything is written.

mod describe;
mod error;
mod read;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fs_err as fs;

pub use error::ImportError;
pub use read::FirstRoot;
pub use source::{ImportSource, SourceDirectory};

use self::describe::{Description, describe};
use self::read::Read;
use super::proposal::signed_part;
use super::working_copy::delegated_name;
use super::{CONFIG_FILE, Proposal, SIGNED_DIRECTORY, SignedState, WorkingCopy};
use crate::fs::{directory_of, read_below, sync_directory, write_durably};
use crate::metadata::{Envelope, RoleName, Snapshot, TargetPath, Timestamp, Version};
use crate::printable::Printable;
use crate::trust::UpdateStart;

/// Longest file of a working copy that is compared with what is taken over, in bytes.
const LONGEST: u64 = 512_000_000;

/// A repository that was read and verified, ready to become a working copy.
#[derive(Debug, Clone)]
pub struct Import {
    start: UpdateStart,
    read: Read,
    description: Description,
    /// All files, by their names below the working copy.
    files: BTreeMap<String, Vec<u8>>,
}

impl Import {
    /// Reads a repository and verifies it from its first root on. Only expiry is no reason to refuse it.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn read(
        source: &dyn ImportSource,
        first: &FirstRoot,
        name: &str,
        start: UpdateStart,
    ) -> Result<Self, ImportError> {
        let read = Read::of(source, first, start)?;
        let description = describe(&read, name)?;
        let mut files = read.signed_files();
        for (role, targets) in &read.targets {
            let below = match role {
                RoleName::Targets => "targets".to_owned(),
                role if read.roles.iter().any(|read| read.role == *role && read.by_targets) => {
                    format!("delegated/{}", delegated_name(role))
                }
                _ => continue,
            };
            files.extend(
                targets.iter().map(|(path, bytes)| (format!("{below}/{path}", path = path.as_str()), bytes.clone())),
            );
        }
        files.extend(description.keys.iter().map(|(file, pem)| (file.clone(), pem.clone().into_bytes())));
        files.insert(CONFIG_FILE.to_owned(), description.config.clone().into_bytes());
        Ok(Self { start, read, description, files })
    }

    /// Adds a file to what is written to a new working copy.
    pub fn add_file(&mut self, name: &str, text: impl Into<Vec<u8>>) {
        self.files.insert(name.to_owned(), text.into());
    }

    /// What stays as it is signed although the configuration does not say it, one sentence each. Names in it come from the
    /// repository, and are made printable.
    pub fn kept(&self) -> &[String] {
        &self.description.kept
    }

    /// What had to be chosen since nothing that is signed says it.
    pub fn chosen(&self) -> &[String] {
        &self.description.chosen
    }

    /// The versions that were taken over, top-level roles first.
    pub fn versions(&self) -> Vec<(RoleName, Version)> {
        let (root, _) = self.read.root();
        let top = [
            (RoleName::Root, root.version),
            (RoleName::Timestamp, self.read.timestamp.0.version),
            (RoleName::Snapshot, self.read.snapshot.0.version),
        ];
        let roles = self.read.roles.iter().map(|read| (read.role.clone(), read.document.version));
        top.into_iter().chain(roles).collect()
    }

    /// How many target files were taken over.
    pub fn target_count(&self) -> usize {
        self.read.targets.values().map(BTreeMap::len).sum()
    }

    /// Writes a working copy to a directory that does not exist or is empty: all of it, or nothing.
    ///
    /// # Errors
    /// When something is there, it cannot be written, or the next proposals would change what nobody meant to change.
    pub fn write(&self, directory: &Path) -> Result<(), ImportError> {
        match fs::read_dir(directory) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(ImportError::NotEmpty { directory: directory.to_owned() });
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let parent = directory_of(directory);
        fs::create_dir_all(parent)?;
        let beside = tempfile::Builder::new().prefix(".trustroot-import-").tempdir_in(parent)?;
        self.write_files(beside.path())?;
        self.try_out(beside.path())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // A temporary directory is its owner's alone; a working copy is like any other directory.
            let like = fs::metadata(parent)?.permissions().mode() & 0o755 | 0o700;
            fs::set_permissions(beside.path(), std::fs::Permissions::from_mode(like))?;
        }
        if cfg!(windows) && directory.exists() {
            fs::remove_dir(directory)?;
        }
        fs::rename(beside.keep(), directory)?;
        Ok(sync_directory(parent)?)
    }

    fn write_files(&self, directory: &Path) -> Result<(), ImportError> {
        for (name, bytes) in &self.files {
            let path = directory.join(name);
            fs::create_dir_all(directory_of(&path))?;
            write_durably(&path, bytes)?;
        }
        Ok(())
    }

    /// Proposes the next version of every role, and compares it with what is signed.
    fn try_out(&self, directory: &Path) -> Result<(), ImportError> {
        let copy = WorkingCopy::open(directory)?;
        let signed = copy.signed(self.start)?;
        let (_, root) = self.read.root();
        let delegated = copy.config().delegations.keys().filter_map(|name| RoleName::delegated(name));
        for role in [RoleName::Root, RoleName::Targets].into_iter().chain(delegated) {
            let last = match self.read.roles.iter().find(|read| read.role == role) {
                Some(read) => read.bytes.as_slice(),
                None if role == RoleName::Root => root,
                None => continue,
            };
            let proposal = Proposal::of(&copy, &signed, &role, self.start.time())?;
            let (before, after) = (signed_part(last), signed_part(&proposal.document));
            let fields: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            let changed: Vec<String> = fields
                .into_iter()
                .filter(|field| !matches!(field.as_str(), "version" | "expires"))
                .filter(|field| before.get(*field) != after.get(*field))
                .map(|field| format!("`{}`", Printable(field)))
                .collect();
            if !changed.is_empty() {
                let problem = format!("the next version of {role} would have other {}", changed.join(", "));
                return Err(ImportError::CannotKeep { problem });
            }
        }
        Ok(())
    }

    /// Brings a working copy up to what the source has now. What people changed here since stays; where the source changed
    /// the same, nothing is written.
    ///
    /// Returns the files that were written, and whether `trustroot.toml` was left alone because people had changed it.
    ///
    /// # Errors
    /// When the source is another repository, or older, or both sides changed a file.
    pub fn update(&self, directory: &Path) -> Result<Updated, ImportError> {
        let copy = WorkingCopy::open(directory)?;
        let signed = copy.signed(self.start)?;
        self.check_successor(&copy, &signed)?;

        let there = |name: &str| read_below(directory, &directory.join(name), LONGEST);
        let mut old = BTreeMap::new();
        for role in std::iter::once(RoleName::Targets)
            .chain(copy.config().delegations.keys().filter_map(|name| RoleName::delegated(name)))
        {
            let Some(last) = signed.role(&role)? else { continue };
            let below = match &role {
                RoleName::Targets => "targets".to_owned(),
                role => format!("delegated/{}", delegated_name(role)),
            };
            for (path, entry) in last.document.iter() {
                if let (Ok(path), Ok(entry)) = (TargetPath::new(path), entry) {
                    old.insert(format!("{below}/{}", path.as_str()), signed.target(&path, &entry)?);
                }
            }
        }
        let is_work = |name: &str| name.starts_with("targets/") || name.starts_with("delegated/");
        let names: BTreeSet<&String> = old.keys().chain(self.files.keys().filter(|name| is_work(name))).collect();
        let (mut write, mut remove, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let (before, now, new) = (old.get(name), there(name)?, self.files.get(name));
            if now.as_ref() == new || before == new {
                continue;
            }
            match new {
                _ if now.as_ref() != before => changed.push(name.clone()),
                Some(_) => write.push(name.clone()),
                None => remove.push(name.clone()),
            }
        }
        if !changed.is_empty() {
            return Err(ImportError::ChangedHere { files: changed });
        }
        let config = there(CONFIG_FILE)?.unwrap_or_default();
        let new_config = self.description.config.as_bytes();
        let ours = self.described_before(directory, copy.config().name.as_str())?;
        let unchanged = ours.is_some_and(|ours| ours.config.as_bytes() == config);
        for (name, bytes) in self.files.iter().filter(|(name, _)| name.starts_with("keys/")) {
            match there(name)? {
                Some(now) if now == *bytes => {}
                // What people keep there under this name is theirs.
                Some(_) if unchanged => return Err(ImportError::ChangedHere { files: vec![name.clone()] }),
                Some(_) => {}
                None => write.push(name.clone()),
            }
        }
        // Roots come after what they vouch for, and the timestamp last: whoever is interrupted runs it again.
        let signed_files = self.files.keys().filter(|name| name.starts_with(SIGNED_DIRECTORY));
        let mut signed_files: Vec<String> = signed_files.cloned().collect();
        signed_files.sort_by_key(|name| {
            (name.ends_with("/timestamp.json"), name.ends_with(".root.json"), !name.contains("/targets/"))
        });
        for name in signed_files {
            if there(&name)?.as_deref() != self.files.get(&name).map(Vec::as_slice) {
                write.push(name);
            }
        }
        if unchanged && config != new_config {
            write.push(CONFIG_FILE.to_owned());
        }
        // Before anything is written.
        for name in write.iter().chain(&remove) {
            copy.below(name)?;
        }
        for name in &write {
            let path = directory.join(name);
            fs::create_dir_all(directory_of(&path))?;
            write_durably(&path, &self.files[name])?;
        }
        for name in &remove {
            fs::remove_file(directory.join(name))?;
        }
        let config_is_theirs = !unchanged && config != new_config;
        Ok(Updated { written: write, removed: remove, config_is_theirs })
    }

    /// The source goes on from what was taken over before.
    fn check_successor(&self, copy: &WorkingCopy, signed: &SignedState) -> Result<(), ImportError> {
        let directory = copy.signed_directory();
        let there = |name: &str| read_below(copy.directory(), &directory.join(name), LONGEST);
        let version_here = |role: &RoleName| -> Result<Option<Version>, ImportError> {
            if matches!(role, RoleName::Timestamp | RoleName::Snapshot) {
                let Some(bytes) = there(&role.meta_key())? else { return Ok(None) };
                let known = Envelope::parse(&bytes).and_then(|envelope| match role {
                    RoleName::Timestamp => Ok(envelope.unverified::<Timestamp>()?.version),
                    _ => Ok(envelope.unverified::<Snapshot>()?.version),
                });
                return Ok(known.ok());
            }
            Ok(signed.versions(role)?.last().copied())
        };
        for (name, bytes) in &self.files {
            let Some(name) = name.strip_prefix(&format!("{SIGNED_DIRECTORY}/")) else { continue };
            let replaced = matches!(name, "timestamp.json" | "snapshot.json");
            if let Some(now) = there(name)?.filter(|_| !replaced)
                && now != *bytes
            {
                return Err(ImportError::Diverged { file: name.to_owned() });
            }
        }
        if signed.roots().next().map(|(_, bytes)| bytes) != self.read.roots.first().map(|(_, bytes)| bytes.as_slice()) {
            return Err(ImportError::Diverged { file: "1.root.json".to_owned() });
        }
        for (role, offered) in self.versions() {
            if let Some(here) = version_here(&role)?.filter(|here| *here > offered) {
                return Err(ImportError::Older { role, offered, here });
            }
        }
        Ok(())
    }

    /// What would have been written for what lies in a working copy.
    fn described_before(&self, directory: &Path, name: &str) -> Result<Option<Description>, ImportError> {
        let source = SourceDirectory::new(&directory.join(SIGNED_DIRECTORY));
        let Some(first) = source.metadata("1.root.json", LONGEST)? else { return Ok(None) };
        Ok(Read::of(&source, &FirstRoot::File(first), self.start).and_then(|read| describe(&read, name)).ok())
    }
}

/// What an update did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Updated {
    /// Files that are new or replaced, by their names below the working copy.
    pub written: Vec<String>,
    /// Files that are gone, as the source has them no longer.
    pub removed: Vec<String>,
    /// Whether `trustroot.toml` was left as it is, though it does not say what is signed now: people have changed it.
    pub config_is_theirs: bool,
}
