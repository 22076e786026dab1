//! A client of a [`super::SimRepository`], with a cache on disk.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use trustroot::client::danger::VerifiedIndex;
use trustroot::client::{
    CacheMode, Fetcher, LocalCache, Retries, SafeUrl, Store, TrustAnchor, UpdateError, Updater, UpdaterSettings,
};
use trustroot::metadata::{RoleName, TargetPath, Version};
use trustroot::trust::{Connectivity, FoundTarget, Limits, LocalFile, RootPolicy, UpdateStart};

use super::shelf::BASE;
use super::state::assert_unmoved;
use super::{Shelf, State};

/// Where a client's trust starts.
#[derive(Clone)]
pub enum Trust {
    Pinned(Vec<u8>),
    Cached,
}

/// A client that refreshes as a new process would: nothing but the cache survives from one refresh to the next.
pub struct Client {
    directory: Arc<TempDir>,
    shelf: Arc<Shelf>,
    trust: Trust,
    pub metadata_url: SafeUrl,
    pub target_url: SafeUrl,
    /// Fetches over the network, in real time; else the shelf is asked, in paused time.
    pub network: Option<Arc<dyn Fetcher>>,
    /// How often a file is asked for at most.
    pub attempts: u32,
    pub limits: Limits,
    pub root_policy: RootPolicy,
    pub connectivity: Connectivity,
    pub mode: CacheMode,
    /// Whether its cache may hold indexes: it is in the directory that the pin is said to be in.
    pub indexed: bool,
    updater: Option<Updater>,
}

/// Returns the error, which must be a refusal: trust said no, it was not unable to tell.
pub fn refusal_of<T>(result: Result<T, UpdateError>) -> UpdateError {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(error) if error.is_refusal() => error,
        Err(error) => panic!("this is not a refusal: {error}"),
    }
}

/// Runs a future in paused time: waiting costs nothing.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

impl Client {
    pub fn new(shelf: Arc<Shelf>, pinned: Vec<u8>) -> Self {
        Self {
            directory: Arc::new(tempfile::tempdir().unwrap()),
            shelf,
            trust: Trust::Pinned(pinned),
            metadata_url: SafeUrl::parse(&format!("{BASE}/metadata")).unwrap(),
            target_url: SafeUrl::parse(&format!("{BASE}/targets")).unwrap(),
            network: None,
            attempts: Retries::default().attempts,
            limits: Limits::default(),
            root_policy: RootPolicy::default(),
            connectivity: Connectivity::Online,
            mode: CacheMode::ReadWrite,
            indexed: false,
            updater: None,
        }
    }

    /// The same user's other process: another client with the same cache.
    pub fn other_process(&self) -> Self {
        Self {
            directory: Arc::clone(&self.directory),
            shelf: Arc::clone(&self.shelf),
            trust: self.trust.clone(),
            metadata_url: self.metadata_url.clone(),
            target_url: self.target_url.clone(),
            network: self.network.clone(),
            updater: None,
            ..*self
        }
    }

    /// Pins another root.
    pub fn pinning(mut self, root: Vec<u8>) -> Self {
        self.trust = Trust::Pinned(root);
        self
    }

    /// Takes the root in the cache as where trust starts; the pinned one is put there if there is none.
    pub fn trusting_its_cache(mut self) -> Self {
        if let Trust::Pinned(root) = &self.trust
            && self.cached("root").is_none()
        {
            self.overwrite("root", root);
        }
        self.trust = Trust::Cached;
        self
    }

    /// Refreshes the top-level roles, with a new updater.
    pub fn refresh(&mut self) -> Result<(), UpdateError> {
        self.updater = None;
        let mut updater = self.new_updater()?;
        let before = self.state();
        self.unmoved_by(&before, self.run(updater.refresh()).map(drop))?;
        self.updater = Some(updater);
        Ok(())
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        match self.network {
            None => block_on(future),
            Some(_) => tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future),
        }
    }

    /// What serves the repository.
    pub fn shelf(&self) -> Arc<dyn Fetcher> {
        Arc::clone(&self.shelf) as _
    }

    /// An updater as a new process would make it.
    pub fn new_updater(&self) -> Result<Updater, UpdateError> {
        self.updater_with(self.settings(), self.cache())
    }

    /// How its updaters are set up.
    pub fn settings(&self) -> UpdaterSettings {
        let mut settings = UpdaterSettings::new(self.metadata_url.clone(), self.target_url.clone());
        settings.limits = self.limits;
        settings.retries.attempts = self.attempts;
        settings.root_policy = self.root_policy;
        settings.connectivity = self.connectivity;
        settings
    }

    /// An updater that is set up in another way, over another store.
    pub fn updater_with(&self, settings: UpdaterSettings, store: impl Store + 'static) -> Result<Updater, UpdateError> {
        let fetcher = self.network.clone().unwrap_or_else(|| self.shelf());
        self.updater_of(fetcher, settings, store)
    }

    /// An updater with another fetcher and other settings.
    pub fn updater_from(
        &self,
        fetcher: Arc<dyn Fetcher>,
        adjust: impl FnOnce(&mut UpdaterSettings),
    ) -> Result<Updater, UpdateError> {
        let mut settings = self.settings();
        adjust(&mut settings);
        self.updater_of(fetcher, settings, self.cache())
    }

    fn updater_of(
        &self,
        fetcher: Arc<dyn Fetcher>,
        settings: UpdaterSettings,
        store: impl Store + 'static,
    ) -> Result<Updater, UpdateError> {
        let anchor = match &self.trust {
            Trust::Pinned(root) => TrustAnchor::Pinned(root.clone()),
            Trust::Cached => TrustAnchor::Cached,
        };
        Updater::new(anchor, settings, store, fetcher, UpdateStart::at(self.shelf.now()))
    }

    /// Looks for a target: with the updater of the last refresh, or a new one.
    pub fn find(&mut self, path: &str) -> Result<Option<FoundTarget>, UpdateError> {
        let path = TargetPath::new(path).unwrap();
        let mut updater = self.updater.take().map_or_else(|| self.new_updater(), Ok)?;
        let before = self.state();
        let found = self.run(updater.find(&path));
        self.updater = Some(updater);
        self.unmoved_by(&before, found)
    }

    /// The role that names a target.
    pub fn finds_in(&mut self, path: &str) -> Option<String> {
        self.find(path).unwrap().map(|found| found.role.as_str().to_owned())
    }

    /// Looks for a target and downloads it to [`Client::destination`].
    pub fn download(&mut self, path: &str) -> Result<(), UpdateError> {
        let target = self.find(path)?.expect("the target is named by some role");
        let destination = self.destination(path);
        let (cache, downloads) = (self.state(), self.downloads());
        let mut updater = self.updater.take().unwrap();
        let downloaded = self.run(updater.download(&target, &destination, None, |_| ())).map(drop);
        self.updater = Some(updater);
        assert_eq!(self.state(), cache, "a download never moves what is trusted");
        if downloaded.is_err() {
            assert_eq!(self.downloads(), downloads, "what could not be downloaded leaves everything as it was");
        }
        downloaded
    }

    /// Looks for a target and fetches it into memory.
    pub fn target_bytes(&mut self, path: &str) -> Result<Vec<u8>, UpdateError> {
        let target = self.find(path)?.expect("the target is named by some role");
        let mut updater = self.updater.take().unwrap();
        let bytes = self.run(updater.target_bytes(&target, None));
        self.updater = Some(updater);
        bytes
    }

    /// Where downloads of a target go.
    pub fn destination(&self, path: &str) -> PathBuf {
        let directory = self.directory.path().join("downloads");
        fs_err::create_dir_all(&directory).unwrap();
        directory.join(TargetPath::new(path).unwrap().encoded().as_str())
    }

    /// What a download left on disk.
    pub fn downloaded(&self, path: &str) -> Option<Vec<u8>> {
        fs_err::read(self.destination(path)).ok()
    }

    /// How many files lie where downloads go, half-written ones included.
    pub fn count_downloads(&self) -> usize {
        fs_err::read_dir(self.directory.path().join("downloads")).map_or(0, Iterator::count)
    }

    // The cache.

    pub fn cache(&self) -> LocalCache {
        let cache = LocalCache::new(self.directory.path().join("cache"), self.mode);
        if !self.indexed {
            return cache;
        }
        cache.indexed(VerifiedIndex::where_cache_is_protected_like(self.directory.path()))
    }

    /// Where a role's newest trusted metadata is.
    pub fn cache_path(&self, role: &str) -> PathBuf {
        self.cache().path(&LocalFile::Role(role_name(role)).into())
    }

    /// Where a root of the chain is.
    pub fn history_path(&self, version: u64) -> PathBuf {
        self.cache().path(&LocalFile::Root(Version::new(version).unwrap()).into())
    }

    /// The bytes of a role in the cache.
    pub fn cached(&self, role: &str) -> Option<Vec<u8>> {
        fs_err::read(self.cache_path(role)).ok()
    }

    /// The version of a role in the cache.
    pub fn trusted_version(&self, role: &str) -> Option<u64> {
        let bytes = self.cached(role)?;
        let document: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        document["signed"]["version"].as_u64()
    }

    /// The versions of the top-level roles in the cache, such as `root 1, timestamp 2, snapshot 2, targets -`.
    pub fn trusted(&self) -> String {
        let version = |role| match self.trusted_version(role) {
            Some(version) => format!("{role} {version}"),
            None => format!("{role} -"),
        };
        ["root", "timestamp", "snapshot", "targets"].map(version).join(", ")
    }

    /// What is in the cache, byte for byte.
    pub fn state(&self) -> State {
        State::of(self.cache().directory())
    }

    /// What lies where downloads go, byte for byte, but for what a download that broke off goes on from.
    pub fn downloads(&self) -> State {
        State::of(&self.directory.path().join("downloads")).without(".trustroot-part-")
    }

    /// What moved in the cache since `before`.
    pub fn moved_since(&self, before: &State) -> Vec<String> {
        self.state().moved_since(before)
    }

    /// Passes a result on; if it is a refusal, only after seeing that nothing moved that may not.
    fn unmoved_by<T>(&self, before: &State, result: Result<T, UpdateError>) -> Result<T, UpdateError> {
        result.inspect_err(|error| assert_unmoved(before, &self.state(), error))
    }

    /// All files in the cache.
    pub fn cached_files(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(self.cache().directory())
            .sort_by_file_name()
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file() && entry.file_name() != ".lock")
            // The journal of what was accepted, which no verdict uses.
            .filter(|entry| !entry.path().starts_with(self.cache().directory().join("history")))
            .map(walkdir::DirEntry::into_path)
            .collect()
    }

    /// Replaces a cached file behind the client's back.
    pub fn overwrite(&self, role: &str, bytes: &[u8]) {
        let path = self.cache_path(role);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
}

/// The role of that name, top-level or delegated.
pub fn role_name(role: &str) -> RoleName {
    match role {
        "root" => RoleName::Root,
        "timestamp" => RoleName::Timestamp,
        "snapshot" => RoleName::Snapshot,
        "targets" => RoleName::Targets,
        other => RoleName::delegated(other).unwrap(),
    }
}
