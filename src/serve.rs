//! Serves a published repository over HTTP: static files, for trials and small installations.
//!
//! Clients trust nothing that comes from here, so it protects three other things: that only what is published leaves
//! this machine, that caches in between never keep an answer that will change, and that one slow client does not stop
//! the others. It speaks plain HTTP; TUF needs no more.
//!
//! Whoever asks is an attacker. Whoever can write to the directory is not: they decide what is published.

use std::convert::Infallible;
use std::io::{self, Read as _, Seek as _};
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use crate::crypto::Digester;
use crate::metadata::{EncodedName, HashAlgorithm};
use crate::printable::Printable;

/// The file that makes a directory a published repository.
const TIMESTAMP: &str = "timestamp.json";

/// Longest file that gets an `ETag`, in bytes. It is the SHA-256 of the content, so the file is read once more; what is
/// larger is a target, whose name says its digest.
const LONGEST_TAGGED: u64 = 16 << 20;

/// How much of a file is in memory at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no `timestamp.json` in the directory: it may be anything, secret keys included.
    #[error("`{}` holds no `timestamp.json`, so it is not a published repository", Printable(&.0.to_string_lossy()))]
    NotARepository(PathBuf),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The directory could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ServeError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotARepository(_) => "not-a-repository",
            Self::Listen { .. } => "cannot-listen",
            Self::Io(_) => "io",
        }
    }
}

/// How much clients may ask of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeLimits {
    /// How many connections there are at once; others wait until one ends.
    pub connections: usize,
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// How long a connection may stay without a byte coming or going.
    pub idle_timeout: Duration,
    /// How long a connection lasts at most, whatever it does.
    pub connection_lifetime: Duration,
    /// Longest head of a request, in bytes; not less than 8192.
    pub head_bytes: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(20),
            connection_lifetime: Duration::from_secs(3600),
            head_bytes: 16 * 1024,
        }
    }
}

/// A server that listens already.
#[derive(Debug)]
pub struct Server {
    directory: Arc<Published>,
    listener: TcpListener,
    address: SocketAddr,
    limits: ServeLimits,
}

impl Server {
    /// Listens at an address; with port 0, at any port that is free.
    ///
    /// # Errors
    /// When the directory is not a published repository, or the address cannot be listened at: see [`ServeError`].
    pub async fn bind(directory: &Path, address: SocketAddr, limits: ServeLimits) -> Result<Self, ServeError> {
        let directory = Arc::new(Published::open(directory)?);
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { directory, listener, address, limits })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done. Answers under way are cut off then: clients notice, and ask again.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.accept() => {}
        }
    }

    async fn accept(&self) {
        let room = Arc::new(Semaphore::new(self.limits.connections));
        // Dropped with this future, and the connections with it.
        let mut connections = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            // Those that have ended.
            while connections.try_join_next().is_some() {}
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // The client went away, or this process has no file descriptors left: neither lasts.
                    tracing::debug!(%error, "no connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let directory = Arc::clone(&self.directory);
            let limits = self.limits;
            connections.spawn(async move {
                let _permit = permit;
                let ended = tokio::time::timeout(limits.connection_lifetime, converse(stream, directory, limits)).await;
                if let Ok(Err(error)) = ended {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
    }
}

/// Answers what one connection asks.
async fn converse(stream: TcpStream, directory: Arc<Published>, limits: ServeLimits) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let directory = Arc::clone(&directory);
        async move { Ok::<_, Infallible>(respond(directory, request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(Impatient::new(stream, limits.idle_timeout)), service)
        .await
}

async fn respond(directory: Arc<Published>, request: Request<Incoming>) -> Response<Answer> {
    let (head, _) = request.into_parts();
    let shown = head.uri.path().to_owned();
    let head_only = head.method == Method::HEAD;
    let response = if head_only || head.method == Method::GET {
        let work = move || directory.answer(head.uri.path(), &head.headers);
        // Files are opened and hashed beside the thread that serves everybody.
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| failed())
    } else {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        refused
    };
    tracing::debug!(status = response.status().as_u16(), path = %Printable(&shown), "answered");
    if head_only { response.map(|_| Answer::Text(Full::default())) } else { response }
}

/// A short answer that nobody keeps.
///
/// Clients ask for the next root until there is none (TUF 5.3.3), so an absence that a cache keeps would hide the root
/// that follows.
fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = Response::new(Answer::Text(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CONTENT_LENGTH, text.len().into());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn absent() -> Response<Answer> {
    plain(StatusCode::NOT_FOUND, "no such file\n")
}

fn failed() -> Response<Answer> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read\n")
}

const TEXT: &str = "text/plain; charset=utf-8";

/// A published repository on disk.
#[derive(Debug)]
struct Published {
    /// Without symbolic links, so that what a name leads to can be compared with it.
    root: PathBuf,
}

impl Published {
    fn open(directory: &Path) -> Result<Self, ServeError> {
        let root = fs::canonicalize(directory)?;
        if !root.join(TIMESTAMP).is_file() {
            return Err(ServeError::NotARepository(directory.to_owned()));
        }
        Ok(Self { root })
    }

    /// Answers a GET of this path of a URL.
    fn answer(&self, path: &str, asked: &HeaderMap) -> Response<Answer> {
        let Some(path) = self.locate(path) else { return absent() };
        answer_file(&path, asked).unwrap_or_else(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return absent();
            }
            tracing::debug!(%error, "not served");
            failed()
        })
    }

    /// The file that a path of a URL means, if it may be served: its components decoded once, and what they lead to
    /// below the directory and not hidden.
    fn locate(&self, path: &str) -> Option<PathBuf> {
        let mut found = self.root.clone();
        for component in path.strip_prefix('/')?.split('/') {
            // One after the other, so that a part of one can never change what another means.
            let name = names(component)?.into_iter().flatten().find(|name| found.join(name).exists())?;
            found.push(name);
        }
        // A symbolic link may lead elsewhere within the directory, as some tools lay repositories out.
        let found = fs::canonicalize(found).ok()?;
        let below = found.strip_prefix(&self.root).ok()?;
        let hidden = below.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        // Anything else than a file, such as a pipe, could keep whoever opens it waiting.
        (!hidden && found.is_file()).then_some(found)
    }
}

fn answer_file(path: &Path, asked: &HeaderMap) -> io::Result<Response<Answer>> {
    let mut file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(absent());
    }
    let length = metadata.len();
    // Of the open file: one that is replaced meanwhile cannot mix with it.
    let tag = if length <= LONGEST_TAGGED { Some(etag(&mut file, length)?) } else { None };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let beside_timestamp = path.parent().is_some_and(|parent| parent.join(TIMESTAMP).is_file());
    let mut headers = HeaderMap::new();
    let kept = if never_changes(name, beside_timestamp) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Some(tag) = &tag {
        headers.insert(ETAG, HeaderValue::from_str(tag).map_err(io::Error::other)?);
    }
    let unchanged = tag.is_some_and(|tag| is_known(asked, &tag));
    let answer = if unchanged {
        Answer::Text(Full::default())
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Answer::File { file, left: length }
    };
    let mut response = Response::new(answer);
    *response.status_mut() = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    *response.headers_mut() = headers;
    Ok(response)
}

/// The names on disk that one component of a URL may mean: decoded, or encoded in our way. A role's name is encoded
/// whole, and stays so on disk; one that holds a separator is only ever looked for like that.
fn names(component: &str) -> Option<[Option<String>; 2]> {
    let decoded = percent_decode_str(component).decode_utf8().ok()?;
    // Names that begin with a dot are `.`, `..`, the lock and files half written.
    if decoded.is_empty() || decoded.starts_with('.') || decoded.contains('\0') {
        return None;
    }
    let encoded = EncodedName::new(&decoded).as_str().to_owned();
    // On Windows a colon names a drive, or a stream beside the file.
    let separators: &[char] = if cfg!(windows) { &['/', '\\', ':'] } else { &['/', '\\'] };
    let is_one_name = !decoded.contains(separators)
        && matches!(Path::new(&*decoded).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
    Some([is_one_name.then(|| decoded.into_owned()), Some(encoded)])
}

/// The strong validator (RFC 9110 section 8.8.3): the SHA-256 of the content. Leaves the file at its beginning.
fn etag(file: &mut fs::File, length: u64) -> io::Result<String> {
    let mut digester = Digester::new([HashAlgorithm::Sha256]);
    let mut buffer = vec![0; CHUNK];
    let mut content = file.by_ref().take(length);
    loop {
        match content.read(&mut buffer)? {
            0 => break,
            read => digester.update(&buffer[..read]),
        }
    }
    file.rewind()?;
    let digest: String = digester.finish().iter().map(|(_, digest)| hex::encode(digest)).collect();
    Ok(format!("\"{digest}\""))
}

/// Whether the client has this content already (RFC 9110 section 13.1.2).
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Whether a name stands for one content for ever: `N.ROLE.json` among metadata, `DIGEST.NAME` among targets (TUF 6.2).
///
/// Among targets anything may be called `1.0.json`, so a number counts only beside `timestamp.json`.
fn never_changes(name: &str, beside_timestamp: bool) -> bool {
    let Some((first, rest)) = name.split_once('.') else { return false };
    let is_version = !first.starts_with('0') && !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    let is_role = rest.strip_suffix(".json").is_some_and(|role| !role.is_empty());
    let is_digest = HashAlgorithm::ALL.iter().any(|algorithm| algorithm.is_digest(first));
    (is_digest && !rest.is_empty()) || (beside_timestamp && is_version && is_role)
}

/// Never a type that a browser would run: targets are whatever somebody signed for.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("txt" | "md" | "pub" | "pem" | "toml") => TEXT,
        _ => "application/octet-stream",
    }
}

/// The body of an answer.
#[derive(Debug)]
enum Answer {
    Text(Full<Bytes>),
    /// A file, read piece by piece as the client takes it.
    File {
        file: fs::File,
        left: u64,
    },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Text(text) => Pin::new(text).poll_frame(context).map_err(|never| match never {}),
            Self::File { left: 0, .. } => Poll::Ready(None),
            Self::File { file, left } => {
                let mut piece = vec![0; CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK))];
                let read = match file.read(&mut piece) {
                    // The length was promised already: the client has to see that something is missing.
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    other => other,
                };
                Poll::Ready(Some(read.map(|read| {
                    piece.truncate(read);
                    *left = left.saturating_sub(read as u64);
                    Frame::data(Bytes::from(piece))
                })))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_end_stream(),
            Self::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => text.size_hint(),
            Self::File { left, .. } => SizeHint::with_exact(*left),
        }
    }
}

/// A connection that fails when no byte has come or gone for a while.
#[derive(Debug)]
struct Impatient {
    stream: TcpStream,
    patience: Duration,
    over: Pin<Box<Sleep>>,
}

impl Impatient {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, over: Box::pin(tokio::time::sleep(patience)) }
    }

    /// Takes note of what a read or a write came to.
    fn note<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.over.as_mut().reset(Instant::now() + self.patience);
            return result;
        }
        ready!(self.over.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note(context, result)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_never_change_are_kept_for_ever() {
        let digest = "0a".repeat(32);
        for (name, beside, expected) in [
            ("1.root.json", true, true),
            ("12.a%2Fb.json", true, true),
            ("timestamp.json", true, false),
            ("root.json", true, false),
            ("0.root.json", true, false),
            ("1.json", true, false),
            ("1..json", true, false),
            ("1.root.jsonx", true, false),
            ("1.0.json", false, false),
            (&format!("{digest}.keys.json"), false, true),
            (&format!("{digest}."), false, false),
            (&digest, false, false),
            (&format!("{}.keys.json", digest.to_uppercase()), false, false),
            (&format!("{}.keys.json", &digest[1..]), false, false),
        ] {
            assert_eq!(never_changes(name, beside), expected, "{name}");
        }
    }

    #[test]
    fn a_component_is_decoded_once_and_hides_nothing() {
        let names = |component| names(component).map(|names| names.into_iter().flatten().collect::<Vec<_>>());
        assert_eq!(names("a%20b").unwrap(), ["a b", "a%20b"]);
        assert_eq!(names("a%2fb").unwrap(), ["a%2Fb"]);
        assert_eq!(names("a%5Cb").unwrap(), ["a%5Cb"]);
        assert_eq!(names("%252e%252e").unwrap(), ["%2e%2e", "%252e%252e"]);
        for refused in ["", ".", "..", "%2e%2e", ".lock", "%2Elock", "..%2Fx", "a%00b", "%ff"] {
            assert_eq!(names(refused), None, "{refused}");
        }
    }
}
