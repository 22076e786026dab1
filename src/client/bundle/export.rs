//! Writes a bundle: what a new client asks for when it asks the same questions of what is kept here.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound as _, Utc};
use fs_err as fs;
use percent_encoding::percent_decode_str;

use super::file::{Index, copy, digest_of, length_and_digest, mirror, name_of, sha256_digester};
use super::{Answers, BundleError, BundledFile, FirstRoot, MEDIA_TYPE, Questions, answer};
use crate::client::{
    Body, ChunkFuture, Chunks, FetchError, FetchFuture, Fetcher, FileFetcher, KeptTargets, LookupError, MemoryStore,
    Retries, SafeUrl, Store, StoredFile, Telling, TrustAnchor, UpdateError, Updater, UpdaterSettings, WhenUnreachable,
    stored_name,
};
use crate::crypto::{Digester, sha256};
use crate::fs::{Survives, directory_of, persist, remove_leftovers, temporary_for};
use crate::metadata::{Document as _, HashAlgorithm, RoleName, TargetPath, Version};
use crate::trust::{Connectivity, ExpectRoot, LocalFile, Refusal};

/// What was exported.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exported {
    /// The root that the chain in the bundle starts from.
    pub first_root: FirstRoot,
    /// When the repository confirmed what was exported, where that is known.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The files in the bundle.
    pub files: Vec<BundledFile>,
    /// The length of the bundle in bytes.
    pub length: u64,
    /// What was answered.
    pub answers: Answers,
}

/// Answers `questions` through `updater`, which must keep metadata and targets, and writes a bundle with what a client
/// needs that pins the same root, or the older one in `from_root`. The bundle is whole or not there. `limit` is as for
/// [`super::import`].
///
/// Roots between the older one and that of the updater are asked for where they are not kept. The chain must lead to the
/// updater's root: it is this that makes the older one of this repository.
///
/// What is written was verified twice: as it came, and once more by a new client that had nothing but the root and what
/// is in the bundle. What the bundle lists is what that client took; where something else lies there by the time that it
/// is written, nothing is.
///
/// # Errors
/// See [`BundleError`]. `destination` then has its old content.
pub async fn export(
    updater: &mut Updater,
    questions: &Questions,
    limit: u64,
    from_root: Option<&[u8]>,
    destination: &Path,
) -> Result<Exported, BundleError> {
    // All of what is kept is copied: damage that an index does not see is to be found, and healed, now.
    updater.believe_no_index();
    let answers = answer(updater, questions, limit).await?;
    if let Some(path) = answers.not_named.first() {
        return Err(BundleError::NoSuchTarget { path: path.clone() });
    }
    if let Some(error) = updater.not_kept() {
        return Err(io::Error::new(error.kind(), error.to_string()).into());
    }
    let targets = match &updater.driver.settings.kept_targets {
        KeptTargets::In(directory) | KeptTargets::ReadFrom(directory) => Some(directory.clone()),
        KeptTargets::Nowhere => None,
    };
    let anchor: Bytes = from_root.unwrap_or(&updater.driver.anchor).to_vec().into();
    let roots = match from_root {
        Some(from_root) => roots_before(updater, from_root).await?,
        None => BTreeMap::new(),
    };
    let local = updater.driver.settings.may_be_trial();
    let kept =
        Arc::new(KeptFetcher { store: Arc::clone(&updater.driver.store), roots, targets, served: Taken::default() });
    let settings = UpdaterSettings {
        mirrors: vec![mirror(local)],
        connectivity: Connectivity::Online,
        retries: Retries::NONE,
        kept_targets: KeptTargets::Nowhere,
        max_staleness: None,
        when_unreachable: WhenUnreachable::Fail,
        telling: Telling::Present,
        ..updater.driver.settings.clone()
    };
    let fetcher = Arc::clone(&kept) as Arc<dyn Fetcher>;
    let pinned = TrustAnchor::Pinned(anchor.to_vec());
    let mut replayed = Updater::new(pinned, settings, MemoryStore::default(), fetcher, updater.driver.start)
        .map_err(LookupError::from)?;
    answer(&mut replayed, questions, limit).await.map_err(|error| match error {
        // It was here a moment ago, whole.
        LookupError::Update(
            UpdateError::WrongTargetLength { .. } | UpdateError::WrongTargetHash { .. } | UpdateError::Fetch(_),
        ) => BundleError::Changed,
        // Nor was it refused. Only what has expired may have been used by who is more patient.
        LookupError::Update(UpdateError::Refused { refusal, .. }) if !matches!(*refusal, Refusal::Expired { .. }) => {
            BundleError::Changed
        }
        other => other.into(),
    })?;
    let same = match (updater.trusted(), replayed.trusted()) {
        (Some(before), Some(after)) => before.timestamp().version() == after.timestamp().version(),
        _ => false,
    };
    if !same {
        return Err(BundleError::Changed);
    }

    let pinned = ExpectRoot::begin(&anchor, updater.driver.start).map_err(|_| BundleError::Changed)?;
    let version = pinned.trusted().version;
    let mut files = std::mem::take(&mut *kept.served.lock().unwrap_or_else(PoisonError::into_inner));
    files.insert(format!("metadata/{}.root.json", version.get()), Served::bytes(anchor.clone())?);
    let index = Index {
        media_type: MEDIA_TYPE.to_owned(),
        first_root: FirstRoot { version: version.get(), sha256: hex::encode(sha256(&anchor)) },
        // Rounded down: what is carried must not seem newer than it is.
        confirmed_at: updater.freshness().confirmed_at.map(|time| time.trunc_subsecs(0)),
        questions: questions.clone(),
        files: files.iter().map(|(name, served)| served.listed(name)).collect(),
    };
    let length = write(&index, &files, destination)?;
    Ok(Exported { first_root: index.first_root, confirmed_at: index.confirmed_at, files: index.files, length, answers })
}

/// The roots from the one after `first` up to the one that `updater` starts from, to which they must lead; nothing where
/// `first` is no older than that.
async fn roots_before(updater: &mut Updater, first: &[u8]) -> Result<BTreeMap<Version, Bytes>, BundleError> {
    let pinned = ExpectRoot::begin(&updater.driver.anchor, updater.driver.start).map_err(|_| BundleError::Changed)?;
    let pinned = pinned.trusted().version;
    let unrelated = |reason: Refusal| BundleError::UnrelatedRoot { reason: Some(Box::new(reason)) };
    let mut chain = ExpectRoot::begin(first, updater.driver.start).map_err(unrelated)?;
    let mut roots = BTreeMap::new();
    if chain.trusted().version >= pinned {
        let same = match chain.trusted().version {
            version if version == pinned => Some(updater.driver.anchor.clone()),
            version => updater.driver.store.read(&StoredFile::Metadata(LocalFile::Root(version)))?,
        };
        return if same.as_deref() == Some(first) {
            Ok(roots)
        } else {
            Err(BundleError::UnrelatedRoot { reason: None })
        };
    }
    updater.driver.meter.allow(updater.driver.settings.patience.update);
    while let Some(version) = chain.trusted().version.next().filter(|version| *version <= pinned) {
        let bytes = match updater.driver.store.read(&StoredFile::Metadata(LocalFile::Root(version)))? {
            _ if version == pinned => updater.driver.anchor.clone(),
            Some(kept) => kept,
            None => updater.driver.older_root(version).await.map_err(LookupError::from)?,
        };
        chain.root(&bytes).map_err(unrelated)?;
        roots.insert(version, bytes.into());
    }
    Ok(roots)
}

fn write(index: &Index, files: &BTreeMap<String, Served>, destination: &Path) -> Result<u64, BundleError> {
    remove_leftovers(directory_of(destination));
    let mut file = temporary_for(destination)?;
    let mut line = serde_json::to_vec(index).map_err(io::Error::from)?;
    line.push(b'\n');
    file.write_all(&line)?;
    let mut length = line.len() as u64;
    for served in files.values() {
        let (copied, sha256) = match &served.source {
            Source::Bytes(bytes) => copy(&**bytes, &mut file)?,
            Source::File(path) => match fs::File::open(path) {
                Ok(kept) => copy(kept.take(served.length.saturating_add(1)), &mut file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BundleError::Changed),
                Err(error) => return Err(error.into()),
            },
        };
        // Another process may have written there since the new client took it.
        if copied != served.length || sha256 != served.sha256 {
            return Err(BundleError::Changed);
        }
        length += copied;
    }
    persist(file, destination, Survives::PowerFailure)?;
    Ok(length)
}

/// What the new client took.
struct Served {
    source: Source,
    length: u64,
    sha256: String,
}

/// Where the content of a file is.
enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

impl Served {
    fn bytes(bytes: Bytes) -> io::Result<Self> {
        let (length, sha256) = digest_of(&*bytes)?;
        Ok(Self { source: Source::Bytes(bytes), length, sha256 })
    }

    fn listed(&self, name: &str) -> BundledFile {
        BundledFile { name: name.to_owned(), length: self.length, sha256: self.sha256.clone() }
    }
}

/// What was taken so far, by its name in the bundle.
type Taken = Arc<Mutex<BTreeMap<String, Served>>>;

fn note(taken: &Taken, name: &str, served: Served) {
    taken.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), served);
}

/// Answers from what is kept, and remembers with what.
struct KeptFetcher {
    store: Arc<dyn Store>,
    /// Roots that are not kept, or older than those that are.
    roots: BTreeMap<Version, Bytes>,
    targets: Option<PathBuf>,
    served: Taken,
}

impl fmt::Debug for KeptFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptFetcher").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Fetcher for KeptFetcher {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(async move {
            let name = name_of(url);
            let found = match name.split_once('/') {
                Some(("metadata", file)) => self.metadata(file).map(|found| found.map(Source::Bytes)),
                Some(("targets", path)) => Ok(self.target(path).map(Source::File)),
                _ => Ok(None),
            };
            let failed = |error: io::Error| FetchError::Transport { url: url.clone(), reason: error.to_string() };
            match found.map_err(failed)?.ok_or_else(|| FetchError::Absent { url: url.clone() })? {
                Source::Bytes(bytes) => {
                    note(&self.served, name, Served::bytes(bytes.clone()).map_err(failed)?);
                    Ok(Body::from_bytes(url.clone(), bytes))
                }
                Source::File(path) => {
                    let there = std::path::absolute(&path).ok().and_then(|path| SafeUrl::from_file_path(&path));
                    let body =
                        FileFetcher.fetch(&there.ok_or_else(|| FetchError::Absent { url: url.clone() })?).await?;
                    let (name, served) = (name.to_owned(), Arc::clone(&self.served));
                    let digester = sha256_digester();
                    Ok(body.through(|chunks| Box::new(Watched { chunks, digester, path, name, served })))
                }
            }
        })
    }
}

/// Notes what a file turned out to be, once it was read to its end.
struct Watched {
    chunks: Box<dyn Chunks>,
    digester: Digester,
    path: PathBuf,
    name: String,
    served: Taken,
}

impl Chunks for Watched {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            let chunk = self.chunks.next().await?;
            match &chunk {
                Some(bytes) => self.digester.update(bytes),
                None => {
                    let (length, sha256) = length_and_digest(std::mem::replace(&mut self.digester, sha256_digester()));
                    let source = Source::File(self.path.clone());
                    note(&self.served, &self.name, Served { source, length, sha256 });
                }
            }
            Ok(chunk)
        })
    }
}

impl KeptFetcher {
    /// The metadata that a repository has under this name: with its version where snapshots are consistent.
    fn metadata(&self, file: &str) -> io::Result<Option<Bytes>> {
        let Some(name) = file.strip_suffix(".json") else { return Ok(None) };
        let versioned = name.split_once('.').and_then(|(version, role)| Some((version.parse::<u64>().ok()?, role)));
        let places = match versioned {
            Some((version, "root")) => vec![Version::new(version).map(LocalFile::Root)],
            Some((_, role)) => vec![role_of(role).map(LocalFile::Role), role_of(name).map(LocalFile::Role)],
            None => vec![role_of(name).map(LocalFile::Role)],
        };
        if let Some((version, "root")) = versioned
            && let Some(bytes) = Version::new(version).and_then(|version| self.roots.get(&version))
        {
            return Ok(Some(bytes.clone()));
        }
        for place in places.into_iter().flatten() {
            if let Some(bytes) = self.store.read(&StoredFile::Metadata(place))? {
                return Ok(Some(bytes.into()));
            }
        }
        Ok(None)
    }

    /// Where the target is kept that a repository has under this path: after a digest where snapshots are consistent.
    fn target(&self, path: &str) -> Option<PathBuf> {
        let (directory, name) = path.rsplit_once('/').map_or(("", path), |(directory, name)| (directory, name));
        let is_digest = |text: &str| HashAlgorithm::ALL.iter().any(|algorithm| algorithm.is_digest(text));
        let without = name.split_once('.').filter(|(digest, _)| is_digest(digest)).map(|(_, name)| name);
        [without, Some(name)].into_iter().flatten().find_map(|name| {
            let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            let path = TargetPath::new(percent_decode_str(&path).decode_utf8().ok()?).ok()?;
            let file = self.targets.as_ref()?.join(stored_name(&path.encoded(), ""));
            file.is_file().then_some(file)
        })
    }
}

fn role_of(encoded: &str) -> Option<RoleName> {
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    match &*name {
        "timestamp" => Some(RoleName::Timestamp),
        "snapshot" => Some(RoleName::Snapshot),
        "targets" => Some(RoleName::Targets),
        "root" => None,
        other => RoleName::delegated(other),
    }
}
