//! What lies in a directory, byte for byte: to show that a refusal moved nothing.

use std::collections::BTreeMap;
use std::path::Path;

use trustroot::client::{FetchError, SafeUrl, UpdateError};
use trustroot::crypto::sha256;
use trustroot::metadata::RoleName;
use trustroot::trust::Refusal;

/// Every entry below a directory with the digest of its content; of a link, where it leads.
///
/// The lock is left out, and the journal of what was accepted, which no verdict uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(BTreeMap<String, String>);

impl State {
    /// Reads a directory. One that is not there has no entries.
    pub fn of(directory: &Path) -> Self {
        let entries = walkdir::WalkDir::new(directory).min_depth(1).into_iter().filter_map(Result::ok);
        let described = entries.map(|entry| {
            let name = entry.path().strip_prefix(directory).unwrap().to_string_lossy().into_owned();
            let content = match entry.file_type() {
                kind if kind.is_file() => hex::encode(sha256(&fs_err::read(entry.path()).unwrap())),
                kind if kind.is_symlink() => format!("-> {}", fs_err::read_link(entry.path()).unwrap().display()),
                kind => format!("{kind:?}"),
            };
            (name, content)
        });
        Self(described.filter(|(name, _)| name != ".lock" && !name.starts_with("history")).collect())
    }

    /// All but the entries whose names begin so.
    pub fn without(mut self, beginning: &str) -> Self {
        self.0.retain(|name, _| !name.starts_with(beginning));
        self
    }

    /// The entries that were added, changed or removed since `before`.
    pub fn moved_since(&self, before: &Self) -> Vec<String> {
        let names = self.0.keys().chain(before.0.keys()).filter(|name| self.0.get(*name) != before.0.get(*name));
        let mut names: Vec<String> = names.cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Insists that an update that failed with `error` moved nothing that it may not: neither the role that was refused
/// nor any that is verified after it. What had passed its checks before may have been kept.
pub fn assert_unmoved(before: &State, after: &State, error: &UpdateError) {
    let Some(first) = first_unmoved(error) else { return };
    let mut wrong = after.moved_since(before);
    wrong.retain(|name| match &first {
        // Roots are followed for as long as they are good.
        First::RootAfter(version) => !after.is_root_before(name, *version),
        First::Place(first) => place(name) >= *first,
        // Other delegated roles may have been verified in the same look-up.
        First::Delegated(file) => name == file,
    });
    assert!(wrong.is_empty(), "this moved, although it was refused: {wrong:?}\n{error}");
}

/// The first file that may not have moved.
enum First {
    RootAfter(u64),
    Place(Place),
    Delegated(String),
}

/// The order in which files are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    History,
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Delegated,
}

fn place(name: &str) -> Place {
    match name {
        "root.json" => Place::Root,
        "timestamp.json" => Place::Timestamp,
        "snapshot.json" => Place::Snapshot,
        "targets.json" => Place::Targets,
        name if name.starts_with("root_history") => Place::History,
        _ => Place::Delegated,
    }
}

impl State {
    /// Whether the entry is a root of the chain before `version`, or a copy of one.
    fn is_root_before(&self, name: &str, version: u64) -> bool {
        let numbered = |name: &str| {
            let number = name.strip_prefix("root_history/")?.strip_suffix(".root.json")?;
            number.parse::<u64>().ok()
        };
        let is_before = |name: &str| numbered(name).is_some_and(|number| number < version);
        let content = self.0.get(name);
        match place(name) {
            Place::Root => self.0.iter().any(|(other, copy)| is_before(other) && Some(copy) == content),
            Place::History => name == "root_history" || is_before(name),
            _ => false,
        }
    }
}

fn first_unmoved(error: &UpdateError) -> Option<First> {
    let from = |place| Some(First::Place(place));
    match error {
        UpdateError::Refused { refusal, url, .. } => match &**refusal {
            Refusal::Rollback { role: RoleName::Root, .. } => from(Place::Root),
            Refusal::Expired { role: RoleName::Root, .. } | Refusal::TooManyRoots { .. } => from(Place::Timestamp),
            // Found by comparing snapshots.
            Refusal::Rollback { role: RoleName::Targets | RoleName::Delegated(_), .. }
            | Refusal::RoleDropped { .. } => from(Place::Snapshot),
            // The document is trusted; one entry in it is not usable.
            Refusal::Malformed { source, .. } if source.to_string().starts_with("signed.targets.") => None,
            other => match (other.role()?, url) {
                (RoleName::Root, Some(url)) => Some(root_after(url)),
                (RoleName::Root, None) => from(Place::History),
                (RoleName::Timestamp, _) => from(Place::Timestamp),
                (RoleName::Snapshot, _) => from(Place::Snapshot),
                (RoleName::Targets, _) => from(Place::Targets),
                (role @ RoleName::Delegated(_), _) => Some(First::Delegated(format!("{}.json", role.encoded()))),
            },
        },
        UpdateError::ExampleKey(listed) if listed.role == RoleName::Root => from(Place::History),
        UpdateError::ExampleKey(_) => from(Place::Delegated),
        UpdateError::Fetch(FetchError::TooLong { url, .. }) => {
            let file = url.expose().rsplit('/').next().unwrap();
            let versioned = file.split_once('.').filter(|(version, _)| version.parse::<u64>().is_ok());
            match place(versioned.map_or(file, |(_, name)| name)) {
                Place::Root => Some(root_after(url)),
                Place::Delegated => None,
                place => from(place),
            }
        }
        _ => None,
    }
}

fn root_after(url: &SafeUrl) -> First {
    let file = url.expose().rsplit('/').next().unwrap();
    First::RootAfter(file.split('.').next().unwrap().parse().unwrap())
}
