//! How bytes are asked for, and how many are taken.

use std::fmt;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use percent_encoding::percent_decode_str;

use super::asking::Waiting;
use super::{HttpFetcher, HttpSettings, SafeUrl};
use crate::printable::Printable;

/// Asks for files by URL. What comes back is not trusted.
///
/// Implement this to fetch from elsewhere; [`DefaultFetcher`] does HTTP and files.
///
/// Its futures need not end in time, as an [`Updater`](super::Updater) waits no longer than its
/// [`Patience`](super::Patience) allows and then drops them; but they must not block the thread.
pub trait Fetcher: fmt::Debug + Send + Sync {
    /// Starts to fetch `url`.
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a>;

    /// Starts to fetch what `request` asks for.
    ///
    /// A fetcher that knows neither entity tags nor ranges need not implement this: the whole file is a right answer to
    /// every request.
    fn ask<'a>(&'a self, request: &'a FetchRequest) -> AskFuture<'a> {
        Box::pin(async move { self.fetch(&request.url).await.map(Answer::Body) })
    }
}

/// The future of [`Fetcher::fetch`].
pub type FetchFuture<'a> = Pin<Box<dyn Future<Output = Result<Body, FetchError>> + Send + 'a>>;

/// The future of [`Fetcher::ask`].
pub type AskFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, FetchError>> + Send + 'a>>;

/// What is asked for, and what of it is here already.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchRequest {
    /// The file.
    pub url: SafeUrl,
    /// The tag of the content that is here already: where the file still has it, nothing need be sent
    /// (`If-None-Match`, RFC 9110 section 13.1.2).
    pub known: Option<EntityTag>,
    /// How many bytes from the start are here already, of the content with this tag: where the file still has it, only
    /// the rest need be sent (`Range` with `If-Range`, RFC 9110 sections 13.1.5 and 14.2). The tag must be a strong one.
    /// Without one the rest of whatever the file has now will do: whoever asks so checks the whole by its hash.
    pub resume: Option<(u64, Option<EntityTag>)>,
    /// Whether the file may come compressed (`Accept-Encoding`); not with `resume`, as ranges are those of what is
    /// sent. Good for metadata; a target may have to be resumed one day.
    pub compressed: bool,
    /// Where a fetcher counts the requests that it makes beyond the first, so that they show in
    /// [`Traffic`](super::Traffic).
    pub further: FurtherRequests,
}

/// Counts the requests that one question leads to beyond the first: where redirects lead, and for a whole file where
/// its rest is not to be had. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct FurtherRequests(Arc<AtomicU64>);

impl FurtherRequests {
    /// Counts one more.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted; from now on it counts from zero.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl FetchRequest {
    /// Asks for a whole file, which may come compressed.
    pub fn whole(url: SafeUrl) -> Self {
        Self { url, known: None, resume: None, compressed: true, further: FurtherRequests::default() }
    }
}

/// What a request led to.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a file is sent or it is not")]
pub enum Answer {
    /// The file, or the rest of it: see [`Body::offset`].
    Body(Body),
    /// The file has the content that is here already.
    Unchanged,
}

/// An entity tag: names the content of a file (RFC 9110 section 8.8.3), a strong one to the byte, a weak one as far as
/// the server thinks that it matters. nginx weakens the tags of what it compresses.
///
/// It comes from an untrusted server, so it only ever saves bytes: what it stands for is verified as if it had been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// Takes a tag as it stands in an `ETag` field, quotes and `W/` included; `None` for a malformed one, and for one of
    /// more than 256 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let opaque = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?.strip_suffix('"')?;
        let fits = text.len() <= 256 && opaque.bytes().all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte));
        fits.then(|| Self(text.to_owned()))
    }

    /// The tag as it stands in a header field, quotes included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a content to the byte, so that the rest of it can be asked for.
    pub fn is_strong(&self) -> bool {
        !self.0.starts_with("W/")
    }
}

/// The next piece of a body, or `None` at its end.
pub type ChunkFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<Bytes>, FetchError>> + Send + 'a>>;

/// The pieces of a body, as they arrive.
pub trait Chunks: Send {
    /// Waits for the next piece.
    fn next(&mut self) -> ChunkFuture<'_>;

    /// How many bytes have come over the wire for the pieces so far, where that differs from their length: compressed
    /// ones.
    fn wire_bytes(&self) -> Option<u64> {
        None
    }
}

/// An answer that is still arriving.
pub struct Body {
    url: SafeUrl,
    length: Option<u64>,
    offset: u64,
    tag: Option<EntityTag>,
    chunks: Box<dyn Chunks>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("url", &self.url).field("length", &self.length).finish_non_exhaustive()
    }
}

impl Body {
    /// A body that arrives in pieces. `length` is what the other side claims.
    pub fn new(url: SafeUrl, length: Option<u64>, chunks: Box<dyn Chunks>) -> Self {
        Self { url, length, offset: 0, tag: None, chunks }
    }

    /// The same body, of content that has this tag.
    #[must_use]
    pub fn with_tag(self, tag: Option<EntityTag>) -> Self {
        Self { tag, ..self }
    }

    /// The same body, as the part of a file that begins at `offset` bytes; its length is that of the part.
    #[must_use]
    pub fn starting_at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The tag of the file's content.
    pub fn tag(&self) -> Option<&EntityTag> {
        self.tag.as_ref()
    }

    /// Where in the file the body begins, in bytes: not 0 only where the request asked to resume.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The length that the other side claims for the body, in bytes.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// A body that is already here.
    pub fn from_bytes(url: SafeUrl, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::new(url, Some(bytes.len() as u64), Box::new(Whole(Some(bytes))))
    }

    /// The same body, its pieces handed out by what `wrap` makes of them.
    pub(super) fn through(self, wrap: impl FnOnce(Box<dyn Chunks>) -> Box<dyn Chunks>) -> Self {
        Self { chunks: wrap(self.chunks), ..self }
    }

    /// Hands the pieces to `sink` until the end, refusing to take more than `limit` bytes.
    ///
    /// A sender who claims too much is refused at once. One who is too slow is refused as well: less than
    /// 1 KiB/s on average, over any half minute, is the slow retrieval attack, and so is silence for longer than
    /// [`Patience::default`](super::Patience) allows.
    ///
    /// # Errors
    /// [`FetchError`], or whatever `sink` returns.
    pub async fn stream<E: From<FetchError>>(
        self,
        limit: u64,
        sink: impl FnMut(&Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        self.stream_counting(limit, sink, Waiting::default(), &mut 0).await
    }

    /// Like [`Body::stream`], with the bytes that came over the wire in `wire`, however it ends.
    pub(super) async fn stream_counting<E: From<FetchError>>(
        mut self,
        limit: u64,
        mut sink: impl FnMut(&Bytes) -> Result<(), E>,
        waiting: Waiting,
        wire: &mut u64,
    ) -> Result<(), E> {
        let too_long = FetchError::TooLong { url: self.url.clone(), limit };
        if self.length.is_some_and(|length| length > limit) {
            return Err(too_long.into());
        }
        let (mut since, mut taken_then) = (tokio::time::Instant::now(), 0_u64);
        let mut taken = 0_u64;
        loop {
            let Some(chunk) = waiting.within(&self.url, self.chunks.next()).await? else { return Ok(()) };
            taken += chunk.len() as u64;
            *wire = self.chunks.wire_bytes().unwrap_or(taken);
            if taken > limit {
                return Err(too_long.into());
            }
            // Judged anew every half minute: else a fast start would buy a slow end.
            let seconds = since.elapsed().as_secs();
            if seconds > GRACE.as_secs() {
                if (taken - taken_then) / seconds < SLOWEST {
                    return Err(FetchError::TooSlow { url: self.url }.into());
                }
                (since, taken_then) = (tokio::time::Instant::now(), taken);
            }
            sink(&chunk)?;
        }
    }

    /// Collects at most `limit` bytes.
    ///
    /// # Errors
    /// [`FetchError`], in particular when there are more.
    pub async fn bytes(self, limit: u64) -> Result<Vec<u8>, FetchError> {
        // As much as is claimed, and no more than is acceptable: a large document must not be held twice as it grows.
        let claimed = self.length.unwrap_or(0).min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(claimed).unwrap_or(0));
        self.stream::<FetchError>(limit, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })
        .await?;
        Ok(bytes)
    }
}

/// Over how long the pace of a body is judged.
const GRACE: Duration = Duration::from_secs(30);
/// The slowest acceptable pace, in bytes per second.
const SLOWEST: u64 = 1024;

struct Whole(Option<Bytes>);

impl Chunks for Whole {
    fn next(&mut self) -> ChunkFuture<'_> {
        let chunk = self.0.take();
        Box::pin(std::future::ready(Ok(chunk)))
    }
}

/// Why nothing could be fetched.
///
/// Only [`FetchError::TooLong`] says something about trust: it refuses an answer that cannot be right. The others say
/// that there was none.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The repository has no such file.
    #[error("{url} does not exist")]
    Absent {
        /// The URL.
        url: SafeUrl,
    },
    /// The bundle that stands for the repository has no such file.
    #[error("the bundle has no `{}`", Printable(.name))]
    NotInBundle {
        /// Its name in a bundle.
        name: String,
    },
    /// The server answered with an error.
    #[error("{url} answered with HTTP status {status}")]
    Status {
        /// The URL.
        url: SafeUrl,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to wait before asking again (`Retry-After`, RFC 9110 section 10.2.3).
        retry_after: Option<Duration>,
    },
    /// No answer, or a broken one.
    #[error("cannot fetch {url}: {reason}")]
    Transport {
        /// The URL.
        url: SafeUrl,
        /// What the network said.
        reason: String,
    },
    /// No answer in time.
    #[error("{url} did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// The URL.
        url: SafeUrl,
        /// How long was waited.
        after: Duration,
    },
    /// The time that there was for an update, a look-up or a download was over before the answer was there.
    #[error("{url} was not fetched in time: there were {} s for all that its mirror was asked", seconds(*.allowed))]
    DeadlinePassed {
        /// The URL.
        url: SafeUrl,
        /// How long there was, for this mirror.
        allowed: Duration,
    },
    /// The answer comes too slowly.
    #[error("{url} sends less than {SLOWEST} bytes a second")]
    TooSlow {
        /// The URL.
        url: SafeUrl,
    },
    /// The answer is longer than it may be.
    #[error("{url} is longer than the {limit} bytes that are acceptable")]
    TooLong {
        /// The URL.
        url: SafeUrl,
        /// How many bytes are acceptable.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects in a way that is not followed: {reason}")]
    Redirect {
        /// The URL.
        url: SafeUrl,
        /// Why not.
        reason: &'static str,
    },
    /// The fetcher does not serve the URL's scheme.
    #[error("{url} has a scheme that is not served here")]
    Scheme {
        /// The URL.
        url: SafeUrl,
    },
}

/// To the nearest second: a share of a minute is a little less than that.
fn seconds(time: Duration) -> u64 {
    time.saturating_add(Duration::from_millis(500)).as_secs()
}

impl FetchError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Absent { .. } | Self::NotInBundle { .. } => "absent",
            Self::Status { .. } => "http-status",
            Self::Transport { .. } => "transport",
            Self::TimedOut { .. } => "timed-out",
            Self::DeadlinePassed { .. } => "deadline-passed",
            Self::TooSlow { .. } => "too-slow",
            Self::TooLong { .. } => "too-long",
            Self::Redirect { .. } => "redirect",
            Self::Scheme { .. } => "url-scheme",
        }
    }

    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// Fetches `http`, `https` and `file` URLs.
#[derive(Debug)]
pub struct DefaultFetcher {
    http: HttpFetcher,
}

impl DefaultFetcher {
    /// Makes a fetcher. Nothing is connected or set up before it is needed.
    pub fn new(settings: HttpSettings) -> Self {
        Self { http: HttpFetcher::new(settings) }
    }
}

impl Fetcher for DefaultFetcher {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        match url.scheme() {
            "file" => FileFetcher.fetch(url),
            _ => self.http.fetch(url),
        }
    }

    fn ask<'a>(&'a self, request: &'a FetchRequest) -> AskFuture<'a> {
        match request.url.scheme() {
            "file" => FileFetcher.ask(request),
            _ => self.http.ask(request),
        }
    }
}

/// Fetches `file` URLs: a repository on a disk, a stick or a share. Always whole files.
#[derive(Debug, Clone, Copy)]
pub struct FileFetcher;

impl Fetcher for FileFetcher {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(std::future::ready(open(url)))
    }
}

fn open(url: &SafeUrl) -> Result<Body, FetchError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FetchError::Absent { url: url.clone() },
        _ => FetchError::Transport { url: url.clone(), reason: error.to_string() },
    };
    let mut result = Err(FetchError::Scheme { url: url.clone() });
    for path in candidates(url) {
        // A pipe or device could block for ever, so the kind is checked before it is opened.
        result = match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                Err(FetchError::Transport { url: url.clone(), reason: "not a regular file".to_owned() })
            }
            Ok(metadata) => fs::File::open(&path).map(|file| (file, metadata.len())).map_err(failed),
            Err(error) => Err(failed(error)),
        };
        if !matches!(result, Err(FetchError::Absent { .. })) {
            break;
        }
    }
    let (file, length) = result?;
    Ok(Body::new(url.clone(), Some(length), Box::new(FileChunks { url: url.clone(), file })))
}

/// The files that a URL may mean, the likelier first; none where the URL is not one of a local file.
///
/// A file's name is the last component decoded, as a web server would look for it, or else as it stands: a role's
/// name is encoded whole, and tools keep it so on disk. A name that holds an encoded `/` is only ever looked for as
/// it stands. Decoded, a role called `../../x` would lead out of the repository.
fn candidates(url: &SafeUrl) -> Vec<PathBuf> {
    let url = url.as_url();
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let is_one_name = !percent_decode_str(name).any(|byte| std::path::is_separator(byte.into()));
    let decoded = url.to_file_path().ok().filter(|_| is_one_name);
    let as_it_stands = url.join(".").ok().and_then(|directory| directory.to_file_path().ok());
    let as_it_stands = as_it_stands.map(|directory| directory.join(name));
    decoded.into_iter().chain(as_it_stands.filter(|_| name.contains('%'))).collect()
}

struct FileChunks {
    url: SafeUrl,
    file: fs::File,
}

impl Chunks for FileChunks {
    fn next(&mut self) -> ChunkFuture<'_> {
        let mut buffer = vec![0; 64 * 1024];
        let chunk = match self.file.read(&mut buffer) {
            Ok(0) => Ok(None),
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(Bytes::from(buffer)))
            }
            Err(error) => Err(FetchError::Transport { url: self.url.clone(), reason: error.to_string() }),
        };
        Box::pin(std::future::ready(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::write_durably;

    #[tokio::test]
    async fn an_encoded_slash_never_leads_out_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let metadata = directory.path().join("meta data");
        fs::create_dir(&metadata).unwrap();
        write_durably(&directory.path().join("x.json"), b"outside").unwrap();
        let base = SafeUrl::from_file_path(&metadata).unwrap();

        let encoded = base.below("..%2Fx.json");
        assert!(matches!(FileFetcher.fetch(&encoded).await, Err(FetchError::Absent { .. })));

        write_durably(&metadata.join("..%2Fx.json"), b"inside").unwrap();
        let body = FileFetcher.fetch(&encoded).await.unwrap();
        assert_eq!(body.bytes(100).await.unwrap(), b"inside");
    }

    #[tokio::test]
    async fn a_file_is_found_under_its_name_decoded_or_as_it_stands() {
        let directory = tempfile::tempdir().unwrap();
        let base = SafeUrl::from_file_path(directory.path()).unwrap();
        for (on_disk, encoded) in [("a b.json", "a%20b.json"), ("c%20d.json", "c%20d.json"), ("100%", "100%25")] {
            write_durably(&directory.path().join(on_disk), on_disk.as_bytes()).unwrap();
            let body = FileFetcher.fetch(&base.below(encoded)).await.unwrap();
            assert_eq!(body.bytes(100).await.unwrap(), on_disk.as_bytes());
        }
    }
}
