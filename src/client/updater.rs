//! Refreshes trusted metadata, looks up targets and downloads them.

use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;

use super::fetcher::{Body, FetchError, Fetcher};
use super::{LocalCache, SafeUrl, stored_name};
use crate::crypto::Digester;
use crate::example_keys::{ExampleKeyListed, refuse_example_keys};
use crate::fs::{persist, temporary_beside};
use crate::metadata::{HashAlgorithm, RoleName, TargetPath, Version};
use crate::trust::{
    Accepted, Connectivity, FoundTarget, Limits, LocalFile, Refusal, Request, RootPolicy, Step, TrustedSet, Update,
    UpdateStart,
};

/// Where trust starts.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "trust comes with the program's user or from the cache")]
pub enum TrustAnchor {
    /// A root that came by another way than the repository. The chain from it is verified at every start, so
    /// that whoever can write to the cache cannot replace the root.
    Pinned(Vec<u8>),
    /// The newest root in the cache, for a cache that is as well protected as a pinned root would be.
    Cached,
}

/// Where a repository is and how it is asked.
#[derive(Debug, Clone)]
pub struct UpdaterSettings {
    /// The URL below which metadata is.
    pub metadata_url: SafeUrl,
    /// The URL below which targets are.
    pub target_url: SafeUrl,
    /// How much is read and walked at most.
    pub limits: Limits,
    /// What is asked of roots beyond what TUF asks.
    pub root_policy: RootPolicy,
    /// Whether the repository may be asked.
    pub connectivity: Connectivity,
    /// How often a file is asked for.
    pub retries: Retries,
    /// Where targets of the builder map are kept.
    pub kept_targets: KeptTargets,
}

/// Where targets of the builder map are kept, so that the same question can be asked offline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "they are kept, read or neither")]
pub enum KeptTargets {
    /// In this directory, under their encoded paths.
    In(PathBuf),
    /// Nothing new is kept; what lies in this directory is used where it is current.
    ReadFrom(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// How often a file is asked for where asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often at most, the first time included.
    pub attempts: u32,
    /// How long to wait before asking again; doubled each time.
    pub delay: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, delay: Duration::from_millis(300) }
    }
}

impl Retries {
    /// Fetches at most `limit` bytes, asking again after errors that may pass.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(
        mut self,
        fetcher: &dyn Fetcher,
        url: &SafeUrl,
        limit: u64,
        traffic: &mut Traffic,
    ) -> Result<Vec<u8>, FetchError> {
        loop {
            traffic.ask(url);
            let answer = match fetcher.fetch(url).await {
                Ok(body) => body.bytes(limit).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(bytes) => {
                    traffic.bytes += bytes.len() as u64;
                    return Ok(bytes);
                }
                Err(error) if self.waits_after(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether it is worth asking again after `error`; if so, waits first, longer each time.
    async fn waits_after(&mut self, error: &FetchError) -> bool {
        if self.attempts <= 1 || !error.is_transient() {
            return false;
        }
        tracing::debug!(%error, "waiting to ask again");
        tokio::time::sleep(self.delay).await;
        self.attempts -= 1;
        self.delay *= 2;
        true
    }
}

impl UpdaterSettings {
    /// The usual settings.
    pub fn new(metadata_url: SafeUrl, target_url: SafeUrl) -> Self {
        Self {
            metadata_url,
            target_url,
            limits: Limits::default(),
            root_policy: RootPolicy::default(),
            connectivity: Connectivity::Online,
            retries: Retries::default(),
            kept_targets: KeptTargets::Nowhere,
        }
    }
}

/// How much an updater has asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made, those asked again included.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
}

impl Traffic {
    fn ask(&mut self, url: &SafeUrl) {
        self.requests += 1;
        tracing::debug!(%url, "fetching");
    }
}

/// A target that is on disk and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was there before, so that nothing was fetched.
    pub was_there: bool,
}

/// Why an update or a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// What the repository offered was refused.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Box<Refusal>,
        /// Where it came from; `None` where it was trusted before, and no longer suffices.
        url: Option<SafeUrl>,
        /// What had passed its checks before and was kept.
        kept: Vec<(RoleName, Version)>,
    },
    /// Something could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The cache or a target could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file is needed that is not in the cache, and the repository may not be asked.
    #[error("{role} is not in the cache, or no longer current, and the repository may not be asked")]
    Offline {
        /// The role.
        role: RoleName,
    },
    /// A target is needed that may not be fetched.
    #[error("the target {path} is not on this machine and the repository may not be asked")]
    TargetOffline {
        /// The target.
        path: TargetPath,
    },
    /// The cache holds no root to start from.
    #[error("there is no trusted root in `{}`", .directory.display())]
    NoRoot {
        /// The cache.
        directory: PathBuf,
    },
    /// A root lists a key whose secret half everybody has, and the repository is not of this machine.
    #[error(transparent)]
    ExampleKey(#[from] ExampleKeyListed),
    /// The target is larger than we are willing to fetch.
    #[error("the target {path} has {length} bytes; at most {limit} are fetched")]
    TargetTooLarge {
        /// The target.
        path: TargetPath,
        /// Its length by trusted metadata.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// The target has another length than trusted metadata says.
    #[error("{from} has {offered} bytes where the trusted metadata of {role} says {expected}")]
    WrongTargetLength {
        /// Where its bytes came from.
        from: String,
        /// The role that names it.
        role: RoleName,
        /// The length received.
        offered: u64,
        /// The length that trusted metadata names.
        expected: u64,
    },
    /// The target has another hash than trusted metadata says.
    #[error("{from} does not have the {algorithm} that the trusted metadata of {role} names")]
    WrongTargetHash {
        /// Where its bytes came from.
        from: String,
        /// The role that names it.
        role: RoleName,
        /// The hash that differs.
        algorithm: HashAlgorithm,
    },
}

impl UpdateError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { refusal, .. } => refusal.code(),
            Self::Fetch(error) => error.code(),
            Self::Io(_) => "io",
            Self::Offline { .. } | Self::TargetOffline { .. } => "offline",
            Self::NoRoot { .. } => "no-root",
            Self::ExampleKey(_) => "example-key",
            Self::TargetTooLarge { .. } => "target-too-large",
            Self::WrongTargetLength { .. } => "wrong-target-length",
            Self::WrongTargetHash { .. } => "wrong-target-hash",
        }
    }

    /// Whether trust said no, as opposed to being unable to tell.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::ExampleKey(_) | Self::WrongTargetLength { .. } | Self::WrongTargetHash { .. }
        ) || matches!(self, Self::Fetch(FetchError::TooLong { .. }))
    }
}

/// A TUF client for one repository.
///
/// ```no_run
/// use chrono::{DateTime, Utc};
/// use std::sync::Arc;
/// use trustroot::client::*;
/// use trustroot::metadata::TargetPath;
/// use trustroot::trust::UpdateStart;
///
/// # async fn f(pinned_root: Vec<u8>, now: DateTime<Utc>) -> Result<(), Box<dyn std::error::Error>> {
/// let settings = UpdaterSettings::new(
///     SafeUrl::parse("https://keys.example.org/metadata")?,
///     SafeUrl::parse("https://keys.example.org/targets")?,
/// );
/// let cache = LocalCache::new("/var/lib/example/tuf", CacheMode::ReadWrite);
/// let fetcher = Arc::new(DefaultFetcher::new(HttpSettings::default()));
/// let start = UpdateStart::at(now);
/// let mut updater = Updater::new(TrustAnchor::Pinned(pinned_root), settings, cache, fetcher, start)?;
/// if let Some(target) = updater.find(&TargetPath::new("keys.json")?).await? {
///     let bytes = updater.target_bytes(&target, None).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Updater {
    settings: UpdaterSettings,
    cache: LocalCache,
    fetcher: Arc<dyn Fetcher>,
    anchor: Vec<u8>,
    start: UpdateStart,
    trusted: Option<TrustedSet>,
    kept: Vec<(RoleName, Version)>,
    /// Whether something was written that a power failure could still undo.
    unsettled: bool,
    traffic: Traffic,
}

impl Updater {
    /// Makes an updater. Nothing is fetched yet.
    ///
    /// # Errors
    /// When the trust anchor is the cache and the cache has no root, or when it cannot be read.
    pub fn new(
        anchor: TrustAnchor,
        settings: UpdaterSettings,
        cache: LocalCache,
        fetcher: Arc<dyn Fetcher>,
        start: UpdateStart,
    ) -> Result<Self, UpdateError> {
        let anchor = match anchor {
            TrustAnchor::Pinned(root) => root,
            TrustAnchor::Cached => cache
                .read(&LocalFile::Role(RoleName::Root))?
                .ok_or_else(|| UpdateError::NoRoot { directory: cache.directory().to_owned() })?,
        };
        let (trusted, kept, traffic) = (None, Vec::new(), Traffic::default());
        Ok(Self { settings, cache, fetcher, anchor, start, trusted, kept, unsettled: false, traffic })
    }

    /// How much has been asked for so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// What has been accepted and kept since the updater was made, in order.
    pub fn kept(&self) -> &[(RoleName, Version)] {
        &self.kept
    }

    /// Brings the top-level roles up to date (TUF specification section 5), once: later calls return what the
    /// first one trusted, so that everything looked up belongs together.
    ///
    /// # Errors
    /// See [`UpdateError`]. What was trusted before stays; running it again is safe.
    pub async fn refresh(&mut self) -> Result<&TrustedSet, UpdateError> {
        if self.trusted.is_none() {
            let lock = self.cache.lock().await?;
            let updated = self.update().await;
            let settled = if std::mem::take(&mut self.unsettled) { self.cache.settle() } else { Ok(()) };
            drop(lock);
            self.trusted = Some(updated?);
            settled?;
        }
        Ok(self.trusted.as_ref().expect("set above"))
    }

    async fn update(&mut self) -> Result<TrustedSet, UpdateError> {
        let (limits, connectivity) = (self.settings.limits, self.settings.connectivity);
        let mut update = Update::begin_under(&self.anchor, self.settings.root_policy, self.start, limits, connectivity)
            .map_err(|refusal| self.refused(refusal, None))?;
        let mut root_is_kept = false;
        let mut checked = None;
        loop {
            // Before anything is kept, let alone looked up, under a root that everybody can sign for.
            if let Some(root) = update.root()
                && checked != Some(root.version)
                && !self.settings.metadata_url.is_of_this_machine()
            {
                refuse_example_keys(root)?;
                checked = Some(root.version);
            }
            match update.step().map_err(|refusal| self.refused(refusal, None))? {
                Step::Recall(file) => {
                    let cached = self.cache.read(&file)?;
                    update.recalled(cached).map_err(|refusal| self.refused(refusal, None))?;
                }
                Step::Need(request) => {
                    let received = match self.fetch(&request).await {
                        Ok(bytes) => Some(bytes),
                        // TUF specification section 5.3.3: no newer root.
                        Err(UpdateError::Fetch(FetchError::Absent { .. })) if request.role == RoleName::Root => None,
                        Err(error) => return Err(error),
                    };
                    // Where nothing was received, what is refused is not from there.
                    let url = received.as_ref().map(|_| self.metadata_url(&request));
                    update.received(received).map_err(|refusal| self.refused(refusal, url))?;
                }
                Step::Store(accepted) => {
                    // The root that vouches for a file is kept before it.
                    match accepted.file {
                        LocalFile::Root(_) => {
                            self.keep(accepted)?;
                            // While a gap in the history is being filled, the newest root stays the newest.
                            if !update.knows_newer_root() {
                                self.cache.promote(update.newest_root().1)?;
                            }
                        }
                        LocalFile::Role(_) => {
                            if !root_is_kept {
                                self.keep_root(update.newest_root())?;
                                root_is_kept = true;
                            }
                            self.keep(accepted)?;
                        }
                    }
                }
                Step::Done(trusted) => {
                    if !root_is_kept {
                        self.keep_root(update.newest_root())?;
                    }
                    return Ok(trusted);
                }
            }
        }
    }

    /// Looks for a target. `None` means that no trusted role names it.
    ///
    /// Refreshes first where that has not happened. Delegated metadata is fetched as needed.
    ///
    /// # Errors
    /// See [`UpdateError`]. A role that cannot be trusted fails only the look-ups that need it.
    pub async fn find(&mut self, path: &TargetPath) -> Result<Option<FoundTarget>, UpdateError> {
        self.refresh().await?;
        let lock = self.cache.lock().await?;
        let mut trusted = self.trusted.take().expect("refresh has set it");
        let found = self.walk(&mut trusted, path).await;
        self.trusted = Some(trusted);
        drop(lock);
        found
    }

    async fn walk(&mut self, trusted: &mut TrustedSet, path: &TargetPath) -> Result<Option<FoundTarget>, UpdateError> {
        let mut walk = trusted.find(path, self.settings.limits);
        loop {
            match walk.step().map_err(|refusal| self.refused(refusal, None))? {
                Step::Recall(file) => {
                    let cached = self.cache.read(&file)?;
                    walk.recalled(cached).map_err(|refusal| self.refused(refusal, None))?;
                }
                Step::Need(request) => {
                    let bytes = self.fetch(&request).await?;
                    let url = self.metadata_url(&request);
                    walk.received(bytes).map_err(|refusal| self.refused(refusal, Some(url)))?;
                }
                Step::Store(accepted) => self.keep(accepted)?,
                Step::Done(found) => return Ok(found),
            }
        }
    }

    /// Downloads a target to `destination`, streaming it to disk while hashing. A file that is there already and
    /// has the right hashes is left alone; `copy` is used instead of fetching where it is a file with the right
    /// hashes. `progress` is told the bytes so far.
    ///
    /// # Errors
    /// See [`UpdateError`]. `destination` then has its old content.
    pub async fn download(
        &mut self,
        target: &FoundTarget,
        destination: &Path,
        copy: Option<&Path>,
        mut progress: impl FnMut(u64),
    ) -> Result<Downloaded, UpdateError> {
        let path = destination.to_owned();
        if fs::metadata(destination).is_ok_and(|metadata| !metadata.is_file()) {
            // Renaming a file over a device or a pipe would replace it.
            let message = format!("`{}` is not a regular file, and is not replaced", destination.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
        }
        if is_target(destination, target)? {
            return Ok(Downloaded { path, was_there: true });
        }
        let mut file = TargetFile { file: temporary_beside(destination)?, so_far: 0, progress: &mut progress };
        self.stream_target(target, copy, &mut file).await?;
        persist(file.file, destination)?;
        Ok(Downloaded { path, was_there: false })
    }

    /// Fetches a target into memory, or reads it from `copy` where that is a file with the right hashes.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub async fn target_bytes(&mut self, target: &FoundTarget, copy: Option<&Path>) -> Result<Vec<u8>, UpdateError> {
        let mut bytes = Vec::new();
        self.stream_target(target, copy, &mut bytes).await?;
        Ok(bytes)
    }

    /// Fetches a target into memory, or reads it from where targets are kept.
    pub(super) async fn kept_target(&mut self, target: &FoundTarget) -> Result<Vec<u8>, UpdateError> {
        let file = |directory: &Path| directory.join(stored_name(&target.path.encoded(), ""));
        match self.settings.kept_targets.clone() {
            KeptTargets::In(directory) if self.settings.connectivity == Connectivity::Online => {
                fs::create_dir_all(&directory)?;
                let file = file(&directory);
                self.download(target, &file, None, |_| {}).await?;
                // Checked once more as it is read: another process may have replaced it.
                self.target_bytes(target, Some(&file)).await
            }
            KeptTargets::In(directory) | KeptTargets::ReadFrom(directory) => {
                self.target_bytes(target, Some(&file(&directory))).await
            }
            KeptTargets::Nowhere => self.target_bytes(target, None).await,
        }
    }

    /// Hands a target's bytes to `sink`. They are trusted only once this returns `Ok`.
    async fn stream_target(
        &mut self,
        target: &FoundTarget,
        copy: Option<&Path>,
        sink: &mut impl TargetSink,
    ) -> Result<(), UpdateError> {
        if let Some(copy) = copy
            && is_target(copy, target)?
        {
            return read_target(copy, target, |bytes| sink.take(bytes));
        }
        let (length, limit) = (target.file.length, self.settings.limits.target);
        if length > limit {
            return Err(UpdateError::TargetTooLarge { path: target.path.clone(), length, limit });
        }
        if self.settings.connectivity == Connectivity::Offline {
            return Err(UpdateError::TargetOffline { path: target.path.clone() });
        }
        let mut retries = self.settings.retries;
        loop {
            let (url, body) = self.ask_for_target(target, &mut retries).await?;
            let mut check = TargetCheck::new(target);
            let streamed = body
                .stream(length, |chunk| {
                    check.update(chunk);
                    sink.take(chunk).map_err(UpdateError::Io)
                })
                .await;
            self.traffic.bytes += check.digester.length();
            match streamed {
                Ok(()) => return check.finish(&url),
                // The answer broke off: what has arrived is worth nothing without the rest.
                Err(UpdateError::Fetch(error)) if retries.waits_after(&error).await => sink.restart()?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn fetch(&mut self, request: &Request) -> Result<Vec<u8>, UpdateError> {
        if self.settings.connectivity == Connectivity::Offline {
            return Err(UpdateError::Offline { role: request.role.clone() });
        }
        let url = self.metadata_url(request);
        let fetcher = Arc::clone(&self.fetcher);
        Ok(self.settings.retries.fetch(&*fetcher, &url, request.max_length, &mut self.traffic).await?)
    }

    /// Asks until the answer begins. With consistent snapshots a server may keep the file under any of its hashes.
    async fn ask_for_target(
        &mut self,
        target: &FoundTarget,
        retries: &mut Retries,
    ) -> Result<(SafeUrl, Body), FetchError> {
        let consistent = self.trusted.as_ref().is_some_and(|trusted| trusted.root().consistent_snapshot);
        let mut hashes = target.file.hashes.iter().map(|(_, digest)| digest).filter(|_| consistent).peekable();
        loop {
            let url = self.settings.target_url.below(&target.path.url_path(hashes.next()));
            let asked = loop {
                self.traffic.ask(&url);
                match self.fetcher.fetch(&url).await {
                    Err(error) if retries.waits_after(&error).await => {}
                    other => break other,
                }
            };
            match asked {
                Err(FetchError::Absent { .. }) if hashes.peek().is_some() => {}
                other => return other.map(|body| (url, body)),
            }
        }
    }

    fn metadata_url(&self, request: &Request) -> SafeUrl {
        self.settings.metadata_url.below(&request.file_name())
    }

    fn keep(&mut self, accepted: Accepted) -> io::Result<()> {
        if !self.cache.store(&accepted.file, &accepted.bytes)? {
            return Ok(());
        }
        self.unsettled = true;
        let role = match accepted.file {
            LocalFile::Root(_) => RoleName::Root,
            LocalFile::Role(role) => role,
        };
        self.kept.push((role, accepted.version));
        Ok(())
    }

    /// Makes sure that the cache shows the newest root, also where it is the pinned one or was found in the history.
    fn keep_root(&mut self, (version, bytes): (Version, &[u8])) -> io::Result<()> {
        let kept = self.cache.read(&LocalFile::Role(RoleName::Root))?;
        if kept.as_deref() == Some(bytes) {
            return Ok(());
        }
        self.unsettled |= self.cache.store(&LocalFile::Root(version), bytes)?;
        self.cache.promote(bytes)
    }

    fn refused(&self, refusal: Refusal, url: Option<SafeUrl>) -> UpdateError {
        // Offline, a chain of roots that ends too soon is a gap in the cache, and no word of the repository's.
        let gap = matches!(refusal, Refusal::Rollback { role: RoleName::Root, .. });
        if gap && self.settings.connectivity == Connectivity::Offline {
            return UpdateError::Offline { role: RoleName::Root };
        }
        UpdateError::Refused { refusal: Box::new(refusal), url, kept: self.kept.clone() }
    }
}

/// Where the bytes of a target go while they are checked.
trait TargetSink {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Forgets what was taken.
    fn restart(&mut self) -> io::Result<()>;
}

impl TargetSink for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// A temporary file that becomes the target.
struct TargetFile<'a, P> {
    file: tempfile::NamedTempFile,
    so_far: u64,
    progress: &'a mut P,
}

impl<P: FnMut(u64)> TargetSink for TargetFile<'_, P> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.so_far += bytes.len() as u64;
        (self.progress)(self.so_far);
        self.file.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.so_far = 0;
        self.file.as_file().set_len(0)?;
        self.file.rewind()
    }
}

/// Length and hashes of a target, checked as its bytes pass.
struct TargetCheck<'a> {
    target: &'a FoundTarget,
    digester: Digester,
}

impl<'a> TargetCheck<'a> {
    fn new(target: &'a FoundTarget) -> Self {
        Self { target, digester: Digester::new(target.file.hashes.iter().map(|(algorithm, _)| algorithm)) }
    }

    fn update(&mut self, chunk: &[u8]) {
        self.digester.update(chunk);
    }

    /// Refuses the target if anything differs. `source` is where its bytes came from.
    fn finish(self, source: &dyn std::fmt::Display) -> Result<(), UpdateError> {
        let (offered, expected) = (self.digester.length(), self.target.file.length);
        if offered != expected {
            let (from, role) = (source.to_string(), self.target.role.clone());
            return Err(UpdateError::WrongTargetLength { from, role, offered, expected });
        }
        let digests = self.digester.finish();
        for ((algorithm, expected), (_, digest)) in self.target.file.hashes.iter().zip(digests) {
            if expected != digest {
                let (from, role) = (source.to_string(), self.target.role.clone());
                return Err(UpdateError::WrongTargetHash { from, role, algorithm });
            }
        }
        Ok(())
    }
}

/// Whether the file at `path` is the target already.
///
/// # Errors
/// When it is there but cannot be read.
pub fn is_target(path: &Path, target: &FoundTarget) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == target.file.length => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(false),
    }
    match read_target(path, target, |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(UpdateError::Io(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Hands a target that is on disk to `sink`, checking it on the way.
fn read_target(
    path: &Path,
    target: &FoundTarget,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), UpdateError> {
    let mut check = TargetCheck::new(target);
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => {
                check.update(&buffer[..length]);
                sink(&buffer[..length])?;
            }
        }
    }
    check.finish(&path.display())
}
