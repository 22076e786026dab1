//! The file: one line of JSON that lists what follows, then the files, one after the other.
//!
//! Nothing in it is believed. Names are looked up, never used as paths; lengths are compared with the file before anything
//! is read. The listed digests only tell a damaged file from one that is refused: trust is decided on what is fetched.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{BundleError, Questions};
use crate::client::{
    Body, ChunkFuture, Chunks, FetchError, FetchFuture, Fetcher, Mirror, Retries, SafeUrl, Telling, UpdaterSettings,
    WhenUnreachable,
};
use crate::crypto::Digester;
use crate::metadata::{HashAlgorithm, Version};
use crate::trust::Connectivity;

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.trustroot.bundle.v1";

/// Longest first line, in bytes.
const LONGEST_INDEX: u64 = 16 << 20;

/// Most files in a bundle.
const MOST_FILES: usize = 65_536;

/// Longest name of a file in a bundle, in bytes: a target path of 4096, all of it encoded, and what stands around it.
const LONGEST_NAME: usize = 3 * 4096 + 256;

/// The first line of a bundle. A field that is not known could be a restriction, and is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Index {
    pub(super) media_type: String,
    pub(super) first_root: FirstRoot,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) confirmed_at: Option<DateTime<Utc>>,
    pub(super) questions: Questions,
    pub(super) files: Vec<BundledFile>,
}

/// The root that the chain in a bundle starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstRoot {
    /// Its version.
    pub version: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A file in a bundle, as the bundle lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledFile {
    /// Where a repository has it: `metadata/` or `targets/`, and the name below the URL, percent-encoded.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A bundle that is well-formed and undamaged. Nothing in it is trusted.
#[derive(Debug)]
pub struct Bundle {
    index: Index,
    /// Where each file begins, and its length.
    places: BTreeMap<String, (u64, u64)>,
    file: Arc<Mutex<fs::File>>,
}

impl Bundle {
    /// Opens a bundle and reads it once from its beginning to its end.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        // A pipe or device could block for ever, so the kind is checked before it is opened.
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(BundleError::malformed("it is not a regular file"));
        }
        let file = fs::File::open(path)?;
        let total = file.metadata()?.len();
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        reader.by_ref().take(LONGEST_INDEX).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(BundleError::malformed(format!(
                "it does not begin with a line of at most {LONGEST_INDEX} bytes"
            )));
        }
        let index: Index = serde_json::from_slice(&line).map_err(|error| BundleError::malformed(error.to_string()))?;
        let places = places(&index, line.len() as u64 + 1, total)?;
        for listed in &index.files {
            let (length, sha256) = digest_of(reader.by_ref().take(listed.length))?;
            if length != listed.length || sha256 != listed.sha256 {
                return Err(BundleError::Damaged { name: listed.name.clone() });
            }
        }
        Ok(Self { index, places, file: Arc::new(Mutex::new(reader.into_inner())) })
    }

    /// The root that its chain starts from, as it says itself.
    pub fn first_root(&self) -> &FirstRoot {
        &self.index.first_root
    }

    /// When the repository confirmed what is in it, as it says itself.
    pub fn confirmed_at(&self) -> Option<DateTime<Utc>> {
        self.index.confirmed_at
    }

    /// What it says that it answers.
    pub fn questions(&self) -> &Questions {
        &self.index.questions
    }

    /// The files in it.
    pub fn files(&self) -> &[BundledFile] {
        &self.index.files
    }

    /// Makes an updater ask the bundle instead of the repository that `settings` name: once, and as a repository that
    /// was confirmed when the bundle says. Example keys are taken where they would be taken from the repository itself.
    pub fn carry_over(&self, settings: &mut UpdaterSettings) {
        let local = settings.may_be_trial();
        settings.mirrors = vec![mirror(local)];
        settings.telling = Telling::Carried { confirmed_at: self.confirmed_at() };
        settings.connectivity = Connectivity::Online;
        settings.retries = Retries::NONE;
        settings.when_unreachable = WhenUnreachable::Fail;
    }
}

/// The place that stands for a bundle. One with a host is not of this machine.
pub(super) fn mirror(of_this_machine: bool) -> Mirror {
    let base = if of_this_machine { "file:///bundle" } else { "file://bundle" };
    let base = SafeUrl::parse(base).expect("a file URL");
    Mirror::new(base.below("metadata"), base.below("targets"))
}

/// The name in a bundle that a URL below [`mirror`] stands for.
pub(super) fn name_of(url: &SafeUrl) -> &str {
    let path = url.as_url().path().trim_start_matches('/');
    path.strip_prefix("bundle/").unwrap_or(path)
}

/// Where each file begins. Refuses whatever does not fit to the byte.
fn places(index: &Index, start: u64, total: u64) -> Result<BTreeMap<String, (u64, u64)>, BundleError> {
    if index.media_type != MEDIA_TYPE {
        return Err(BundleError::malformed(format!("its media type is `{}`, not `{MEDIA_TYPE}`", index.media_type)));
    }
    if index.files.len() > MOST_FILES {
        return Err(BundleError::malformed(format!("it has more than {MOST_FILES} files")));
    }
    let mut places = BTreeMap::new();
    let mut offset = start;
    let mut last: Option<&str> = None;
    for file in &index.files {
        if !is_name(&file.name) {
            return Err(BundleError::malformed(format!("it has a file called `{}`", file.name)));
        }
        if last.is_some_and(|last| last >= file.name.as_str()) {
            return Err(BundleError::malformed(format!("`{}` stands twice, or out of order", file.name)));
        }
        last = Some(&file.name);
        places.insert(file.name.clone(), (offset, file.length));
        offset = offset
            .checked_add(file.length)
            .filter(|end| *end <= total)
            .ok_or_else(|| BundleError::malformed(format!("`{}` is longer than what is there", file.name)))?;
    }
    if offset != total {
        return Err(BundleError::malformed(format!("{} bytes follow the last file", total - offset)));
    }
    Ok(places)
}

/// Names are only looked up; those that could be taken for a way out are refused all the same.
fn is_name(name: &str) -> bool {
    let Some((directory, rest)) = name.split_once('/') else { return false };
    let fine = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && rest.split('/').all(fine)
        && match directory {
            "metadata" => !rest.contains('/'),
            "targets" => true,
            _ => false,
        }
}

/// The length of what a reader has left, and its SHA-256 in hexadecimal.
pub(super) fn digest_of(reader: impl io::Read) -> io::Result<(u64, String)> {
    copy(reader, io::sink())
}

/// Writes what a reader has left; returns the length of what was written, and its SHA-256 in hexadecimal.
pub(super) fn copy(mut reader: impl io::Read, writer: impl io::Write) -> io::Result<(u64, String)> {
    let mut digesting = Digesting { digester: sha256_digester(), writer };
    io::copy(&mut reader, &mut digesting)?;
    Ok(length_and_digest(digesting.digester))
}

/// Takes what [`length_and_digest`] is to be asked about.
pub(super) fn sha256_digester() -> Digester {
    Digester::new([HashAlgorithm::Sha256])
}

/// The length of what a [`sha256_digester`] took, and its SHA-256 in hexadecimal.
pub(super) fn length_and_digest(digester: Digester) -> (u64, String) {
    (digester.length(), digester.finish().iter().map(|(_, digest)| hex::encode(digest)).collect())
}

/// Hashes what is written through it.
struct Digesting<W> {
    digester: Digester,
    writer: W,
}

impl<W: io::Write> io::Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.digester.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Fetches from a bundle, for an updater whose settings went through [`Bundle::carry_over`].
#[derive(Debug)]
pub struct BundleFetcher {
    bundle: Bundle,
    newest_root: Option<Version>,
}

impl BundleFetcher {
    /// A fetcher from this bundle.
    pub fn new(bundle: Bundle) -> Self {
        let newest_root = bundle.places.keys().filter_map(|name| root_version(name)).max();
        Self { bundle, newest_root }
    }

    /// The bundle.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    fn open(&self, url: &SafeUrl) -> Result<Body, FetchError> {
        let name = name_of(url);
        let Some((offset, length)) = self.bundle.places.get(name).copied() else {
            // Where later roots are there, the end of the chain is not what its absence means.
            let gap = root_version(name).is_some_and(|version| self.newest_root.is_some_and(|newest| version < newest));
            return Err(if gap {
                let first = self.bundle.first_root().version;
                let reason =
                    format!("this root is needed and not in the bundle, whose roots begin with version {first}");
                FetchError::Transport { url: url.clone(), reason }
            } else if root_version(name).is_some() {
                FetchError::Absent { url: url.clone() }
            } else {
                FetchError::NotInBundle { name: name.to_owned() }
            });
        };
        let chunks = Part { url: url.clone(), file: Arc::clone(&self.bundle.file), offset, left: length };
        Ok(Body::new(url.clone(), Some(length), Box::new(chunks)))
    }
}

/// The version of a root by its name in a bundle.
fn root_version(name: &str) -> Option<Version> {
    let version = name.strip_prefix("metadata/")?.strip_suffix(".root.json")?;
    Version::new(version.parse().ok()?)
}

impl Fetcher for BundleFetcher {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(std::future::ready(self.open(url)))
    }
}

/// What is left of a file in a bundle.
struct Part {
    url: SafeUrl,
    file: Arc<Mutex<fs::File>>,
    offset: u64,
    left: u64,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Part {
    /// Several files are read at a time from one place, so that each says where.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        let most = usize::try_from(self.left.min(64 * 1024)).unwrap_or(64 * 1024);
        if most == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; most];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_exact(&mut buffer)?;
        self.offset += most as u64;
        self.left -= most as u64;
        Ok(Some(Bytes::from(buffer)))
    }
}

impl Chunks for Part {
    fn next(&mut self) -> ChunkFuture<'_> {
        let chunk =
            self.read().map_err(|error| FetchError::Transport { url: self.url.clone(), reason: error.to_string() });
        Box::pin(std::future::ready(chunk))
    }
}
