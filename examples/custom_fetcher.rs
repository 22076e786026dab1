//! A client that brings its own transport and its own store: here both are tables in memory; in a program they could be a
//! peer-to-peer network and a database.
//!
//! ```text
//! custom_fetcher REPOSITORY_DIRECTORY PINNED_ROOT TARGET
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use trustroot::client::blocking::Updater;
use trustroot::client::{
    Body, FetchError, FetchFuture, Fetcher, SafeUrl, Store, StoreLock, StoredFile, TrustAnchor, UpdaterSettings,
};
use trustroot::metadata::TargetPath;
use trustroot::trust::UpdateStart;

/// URLs need a host, also where nobody is asked by that name.
const BASE: &str = "https://table.invalid";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, root, target] = arguments.as_slice() else {
        return Err("usage: custom_fetcher REPOSITORY_DIRECTORY PINNED_ROOT TARGET".into());
    };
    let files = Arc::new(Files::read(directory.as_ref())?);
    #[expect(clippy::disallowed_methods, reason = "this is a command: the clock is read here, once")]
    let now = Utc::now();
    let bytes = fetch(files, Arc::new(Table::default()), std::fs::read(root)?, target, now)?;
    #[expect(clippy::print_stdout, reason = "this is a command")]
    {
        println!("{target}: {} bytes, verified", bytes.len());
    }
    Ok(())
}

/// Finds a target and fetches it.
pub(crate) fn fetch(
    files: Arc<dyn Fetcher>,
    table: Arc<Table>,
    pinned_root: Vec<u8>,
    target: &str,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let base = SafeUrl::parse(BASE)?;
    let settings = UpdaterSettings::new(base.clone(), base.below("targets"));
    let anchor = TrustAnchor::Pinned(pinned_root);
    let mut updater = Updater::new(anchor, settings, table, files, UpdateStart::at(now))?;
    let found = updater.find(&TargetPath::new(target)?)?.ok_or("no trusted role names it")?;
    Ok(updater.target_bytes(&found, None)?)
}

/// The transport: files by their path below [`BASE`]. Nothing that it returns is trusted.
#[derive(Debug, Default)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files {
    /// Reads everything below a directory.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let (mut files, mut left) = (BTreeMap::new(), vec![directory.to_owned()]);
        while let Some(next) = left.pop() {
            for entry in std::fs::read_dir(next)? {
                let path = entry?.path();
                if path.is_dir() {
                    left.push(path);
                } else if let Some(name) = path.strip_prefix(directory).ok().and_then(Path::to_str) {
                    files.insert(name.to_owned(), std::fs::read(&path)?);
                }
            }
        }
        Ok(Self(files))
    }
}

impl Fetcher for Files {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(async move {
            let name = url.expose().strip_prefix(BASE).map(|path| path.trim_start_matches('/'));
            // `Absent` says that the file is not there: for a root, that there is no newer one. Where that is not
            // certain, it is `FetchError::Transport`.
            let bytes =
                name.and_then(|name| self.0.get(name)).ok_or_else(|| FetchError::Absent { url: url.clone() })?;
            Ok(Body::from_bytes(url.clone(), bytes.clone()))
        })
    }
}

/// The store: rows by key. What is lost here loses protection against rollback, so a real one is as durable, and as hard to
/// write to, as the program's configuration.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Mutex<BTreeMap<String, Vec<u8>>>,
    has_writer: Arc<AtomicBool>,
}

impl Table {
    /// The keys of all rows.
    #[allow(dead_code, reason = "the test looks at them")]
    pub(crate) fn keys(&self) -> Vec<String> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// Lets the next writer in when it is dropped.
struct Writer(Arc<AtomicBool>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Store for Table {
    fn read(&self, file: &StoredFile) -> io::Result<Option<Vec<u8>>> {
        Ok(self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(&file.key()).cloned())
    }

    fn write(&self, file: &StoredFile, bytes: &[u8]) -> io::Result<()> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).insert(file.key(), bytes.to_vec());
        Ok(())
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        let taken = self.has_writer.swap(true, Ordering::Acquire);
        Ok((!taken).then(|| StoreLock::new(Writer(Arc::clone(&self.has_writer)))))
    }

    fn describe(&self) -> String {
        "the table".to_owned()
    }
}
