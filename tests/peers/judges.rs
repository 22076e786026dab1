//! The clients that judge. Each says in one line what a step led to:
//!
//! ```text
//! root 1 timestamp 2 snapshot 2 targets 2, file.txt 3b9c358f, other.txt absent, third.txt refused
//! ```
//!
//! that is, the versions that it trusts now, and for each target the start of the SHA-256 of what it got. Or just
//! `refused`. python-tuf is judged in `judge.py`, in the same words.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use trustroot::client::{
    Body, CacheMode, Clock, FetchError, FetchFuture, Fetcher, FileFetcher, LocalCache, SafeUrl, TrustAnchor, Updater,
    UpdaterSettings,
};
use trustroot::crypto::sha256;
use trustroot::metadata::TargetPath;
use trustroot::trust::UpdateStart;

use crate::cases::{Case, Cases, Step};

const METADATA: &str = "https://repository.test/metadata";
const TARGETS: &str = "https://repository.test/targets";

/// What each step leads to in this project's client.
pub(crate) async fn trustroot(cases: &'static Cases, case: &'static Case) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    // What only has one step need not be kept, and writing durably takes its time.
    let mode = if case.steps.len() == 1 { CacheMode::ReadOnly } else { CacheMode::ReadWrite };
    let mut verdicts = Vec::new();
    for step in &case.steps {
        let settings = UpdaterSettings::new(SafeUrl::parse(METADATA).unwrap(), SafeUrl::parse(TARGETS).unwrap())
            // The peers know no floor of time.
            .clock(Clock::Chosen);
        let cache = LocalCache::new(directory.path(), mode);
        let fetcher = Arc::new(Served { cases, step });
        verdicts.push(judge(updater(cases.root(case), settings, cache, fetcher, step), case).await);
    }
    verdicts
}

/// The same for a repository on a disk, asked for by `file` URLs and downloaded to a disk.
pub(crate) async fn trustroot_over_files(cases: &'static Cases, case: &'static Case) -> Vec<String> {
    let cache = tempfile::tempdir().unwrap();
    let mut verdicts = Vec::new();
    for step in &case.steps {
        let repository = tempfile::tempdir().unwrap();
        cases.lay_out(step, repository.path());
        let url = |kind: &str| SafeUrl::from_file_path(&repository.path().join(kind)).unwrap();
        let settings = UpdaterSettings::new(url("metadata"), url("targets")).clock(Clock::Chosen);
        let cache = LocalCache::new(cache.path(), CacheMode::ReadWrite);
        verdicts.push(judge(updater(cases.root(case), settings, cache, Arc::new(FileFetcher), step), case).await);
    }
    verdicts
}

fn updater(
    root: &[u8],
    settings: UpdaterSettings,
    cache: LocalCache,
    fetcher: Arc<dyn Fetcher>,
    step: &Step,
) -> Updater {
    let start = UpdateStart::at(step.time.parse::<DateTime<Utc>>().unwrap());
    Updater::new(TrustAnchor::Pinned(root.to_vec()), settings, cache, fetcher, start).unwrap()
}

async fn judge(mut updater: Updater, case: &Case) -> String {
    let Ok(trusted) = updater.refresh().await else { return "refused".to_owned() };
    let mut verdict = versions([
        trusted.root().version.get(),
        trusted.timestamp().version.get(),
        trusted.snapshot().version.get(),
        trusted.targets().version.get(),
    ]);
    for path in &case.ask {
        push(&mut verdict, path, find(&mut updater, path).await);
    }
    verdict
}

async fn find(updater: &mut Updater, path: &str) -> Got {
    let Ok(path) = TargetPath::new(path) else { return Got::Refused };
    match updater.find(&path).await {
        Ok(Some(target)) => updater.target_bytes(&target, None).await.map_or(Got::Refused, Got::File),
        Ok(None) => Got::Absent,
        Err(_) => Got::Refused,
    }
}

pub(crate) enum Got {
    File(Vec<u8>),
    Absent,
    Refused,
}

pub(crate) fn versions([root, timestamp, snapshot, targets]: [u64; 4]) -> String {
    format!("root {root} timestamp {timestamp} snapshot {snapshot} targets {targets}")
}

pub(crate) fn push(verdict: &mut String, path: &str, got: Got) {
    let got = match got {
        Got::File(bytes) => hex::encode(&sha256(&bytes)[..4]),
        Got::Absent => "absent".to_owned(),
        Got::Refused => "refused".to_owned(),
    };
    write!(verdict, ", {path} {got}").expect("a string takes everything");
}

/// Answers with the files of one step.
#[derive(Clone, Copy)]
struct Served {
    cases: &'static Cases,
    step: &'static Step,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}

impl Fetcher for Served {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        let name = |base: &str| {
            let name = url.expose().strip_prefix(base)?.strip_prefix('/')?;
            Some(percent_decode_str(name).decode_utf8().unwrap().into_owned())
        };
        let bytes = match (name(METADATA), name(TARGETS)) {
            (Some(name), _) => self.cases.metadata(self.step, &name),
            (_, Some(name)) => self.cases.target(self.step, &name),
            _ => None,
        };
        let answer = match bytes {
            Some(bytes) => Ok(Body::from_bytes(url.clone(), bytes)),
            None => Err(FetchError::Absent { url: url.clone() }),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// What each step leads to in sigstore-tuf.
pub(crate) async fn sigstore(cases: &'static Cases, case: &'static Case) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut verdicts = Vec::new();
    for step in &case.steps {
        verdicts.push(sigstore_step(cases, case, step, directory.path()).await.unwrap_or("refused".to_owned()));
    }
    verdicts
}

async fn sigstore_step(
    cases: &'static Cases,
    case: &'static Case,
    step: &'static Step,
    directory: &Path,
) -> sigstore_tuf::Result<String> {
    // The crate does not give out its type for times, but reads one.
    let document = format!(
        r#"{{"signatures":[],"signed":{{"_type":"timestamp","spec_version":"1.0","version":1,"meta":{{}},"expires":"{}"}}}}"#,
        step.time
    );
    let now = sigstore_tuf::Metadata::<sigstore_tuf::Timestamp>::from_slice(document.as_bytes())?.signed().expires;
    let store = sigstore_tuf::FileStore::new(directory);
    let mut updater = sigstore_tuf::Updater::new(Served { cases, step }, cases.root(case))?;
    if case.steps.len() > 1 {
        updater = updater.with_store(store);
    }
    updater.refresh(now).await?;
    let trusted = updater.trusted();
    let mut verdict = versions([
        trusted.root().version,
        trusted.timestamp().map_or(0, |timestamp| timestamp.version),
        trusted.snapshot().map_or(0, |snapshot| snapshot.version),
        trusted.targets_role("targets").map_or(0, |targets| targets.version),
    ]);
    for path in &case.ask {
        let got = match updater.get_target_info(path, now).await {
            Ok(Some(target)) => updater.download_target(&target, path).await.map_or(Got::Refused, Got::File),
            Ok(None) => Got::Absent,
            Err(_) => Got::Refused,
        };
        push(&mut verdict, path, got);
    }
    Ok(verdict)
}

impl sigstore_tuf::Repository for Served {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> sigstore_tuf::transport::FetchFuture<'a> {
        let name = percent_decode_str(name).decode_utf8().unwrap();
        Box::pin(std::future::ready(at_most(self.cases.metadata(self.step, &name), max_length)))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> sigstore_tuf::transport::FetchFuture<'a> {
        Box::pin(std::future::ready(at_most(self.cases.target(self.step, path), max_length)))
    }
}

fn at_most(bytes: Option<&[u8]>, max_length: u64) -> sigstore_tuf::Result<Option<Vec<u8>>> {
    match bytes {
        Some(bytes) if bytes.len() as u64 > max_length => Err(sigstore_tuf::Error::Malformed("too long".to_owned())),
        bytes => Ok(bytes.map(<[u8]>::to_vec)),
    }
}

/// What each step leads to in tough, over `file` URLs.
///
/// tough reads the clock, which must be before 2034; fetches every delegated role at once; and knows fewer kinds of
/// key, no hash bins, and no hashes but SHA-256.
pub(crate) async fn tough(cases: &'static Cases, case: &'static Case) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut verdicts = Vec::new();
    for step in &case.steps {
        let refused = |_| "refused".to_owned();
        verdicts.push(tough_step(cases, case, step, directory.path()).await.unwrap_or_else(refused));
    }
    verdicts
}

async fn tough_step(cases: &Cases, case: &Case, step: &Step, directory: &Path) -> tough::error::Result<String> {
    let repository = tempfile::tempdir().unwrap();
    cases.lay_out(step, repository.path());
    let url = |kind: &str| url::Url::from_directory_path(repository.path().join(kind)).unwrap();
    let root = cases.root(case);
    let loader = tough::RepositoryLoader::new(&root, url("metadata"), url("targets"));
    let trusted = loader.transport(tough::FilesystemTransport).datastore(directory).load().await?;
    let mut verdict = versions([
        trusted.root().signed.version.get(),
        trusted.timestamp().signed.version.get(),
        trusted.snapshot().signed.version.get(),
        trusted.targets().signed.version.get(),
    ]);
    for path in &case.ask {
        let name = tough::TargetName::new(path).unwrap();
        let got = match trusted.read_target(&name).await {
            Ok(Some(stream)) => tough::IntoVec::into_vec(stream).await.map_or(Got::Refused, Got::File),
            Ok(None) => Got::Absent,
            Err(_) => Got::Refused,
        };
        push(&mut verdict, path, got);
    }
    Ok(verdict)
}
