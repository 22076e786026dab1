//! Fetches over HTTP.
//!
//! Plain `http` goes through hyper directly: setting up TLS costs more than a whole refresh. `https`, and `http`
//! behind a proxy, go through reqwest, with the system's certificates, set up at the first such request. Redirects
//! are followed here, by one rule for both.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION, USER_AGENT};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::SafeUrl;
use super::fetcher::{Body, ChunkFuture, Chunks, FetchError, FetchFuture, Fetcher};

/// Where proxies come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "http is the only scheme that can do without")]
pub enum Proxies {
    /// Connect directly.
    None,
    /// For `https` as the usual variables say (`HTTPS_PROXY`, `NO_PROXY`); `http` directly.
    ForHttps,
    /// For both as the usual variables say (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    ForAll,
}

/// How HTTP is spoken.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long to wait for the answer to begin, and then for each further piece.
    pub idle_timeout: Duration,
    /// Where proxies come from.
    pub proxies: Proxies,
    /// The `User-Agent` sent.
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(20),
            proxies: Proxies::None,
            user_agent: concat!("trustroot/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

const NO_AUTHORITIES: &str = "no usable certificate authorities were found on this system; install ca-certificates \
                              or point SSL_CERT_FILE to a bundle";

/// Most redirects followed for one file.
const MOST_REDIRECTS: usize = 5;

/// Fetches `http` and `https` URLs.
#[derive(Debug)]
pub struct HttpFetcher {
    settings: HttpSettings,
    plain: OnceLock<Client<HttpConnector, Empty<Bytes>>>,
    full: OnceLock<Result<FullClient, String>>,
}

impl Fetcher for HttpFetcher {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(self.follow(url))
    }
}

#[derive(Debug)]
struct FullClient {
    client: reqwest::Client,
    has_authorities: bool,
}

/// What one request led to.
enum Reply {
    Body(Body),
    Redirect(String),
}

impl HttpFetcher {
    /// Makes a fetcher. Nothing is connected or set up before it is needed.
    pub fn new(settings: HttpSettings) -> Self {
        Self { settings, plain: OnceLock::new(), full: OnceLock::new() }
    }

    async fn follow(&self, url: &SafeUrl) -> Result<Body, FetchError> {
        let mut current = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let location = match self.ask(&current).await? {
                Reply::Body(body) => return Ok(body),
                Reply::Redirect(location) => location,
            };
            let refused = |reason| FetchError::Redirect { url: url.clone(), reason };
            let next = current.redirected(&location).map_err(|_| refused("the new place is not on the web"))?;
            if next.scheme() == "file" {
                return Err(refused("the new place is not on the web"));
            }
            if current.scheme() == "https" && next.scheme() != "https" {
                return Err(refused("it leads from https to http"));
            }
            current = next;
        }
        Err(FetchError::Redirect { url: url.clone(), reason: "there are too many redirects" })
    }

    async fn ask(&self, url: &SafeUrl) -> Result<Reply, FetchError> {
        if url.scheme() == "http" && self.settings.proxies != Proxies::ForAll {
            self.ask_plainly(url).await
        } else {
            self.ask_fully(url).await
        }
    }

    async fn ask_plainly(&self, url: &SafeUrl) -> Result<Reply, FetchError> {
        let client = self.plain.get_or_init(|| {
            let mut connector = HttpConnector::new();
            connector.set_connect_timeout(Some(self.settings.connect_timeout));
            connector.set_nodelay(true);
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
        });
        let transport = |reason: String| FetchError::Transport { url: url.clone(), reason };
        let mut bare = url.as_url().clone();
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        bare.set_fragment(None);
        let mut request = hyper::Request::get(bare.as_str())
            .header(USER_AGENT, &self.settings.user_agent)
            .header(ACCEPT_ENCODING, "identity");
        if let Some(authorization) = authorization(url) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new()).map_err(|error| transport(error.to_string()))?;
        let response = self.in_time(url, client.request(request)).await?.map_err(|error| transport(chain(&error)))?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        match judge(url, response.status().as_u16(), header(LOCATION))? {
            Some(location) => Ok(Reply::Redirect(location)),
            None => {
                let length = hyper::body::Body::size_hint(response.body()).exact();
                let chunks =
                    PlainChunks { url: url.clone(), body: response.into_body(), patience: self.settings.idle_timeout };
                Ok(Reply::Body(Body::new(url.clone(), length, Box::new(chunks))))
            }
        }
    }

    async fn ask_fully(&self, url: &SafeUrl) -> Result<Reply, FetchError> {
        let transport = |reason: String| FetchError::Transport { url: url.clone(), reason };
        let client = self.full.get_or_init(|| self.build_full()).as_ref().map_err(|error| transport(error.clone()))?;
        if url.scheme() == "https" && !client.has_authorities {
            return Err(transport(NO_AUTHORITIES.to_owned()));
        }
        let request = client.client.get(url.as_url().clone()).header(ACCEPT_ENCODING, "identity");
        let response =
            self.in_time(url, request.send()).await?.map_err(|error| transport(chain(&error.without_url())))?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        match judge(url, response.status().as_u16(), header(LOCATION))? {
            Some(location) => Ok(Reply::Redirect(location)),
            None => {
                let length = response.content_length();
                let chunks = FullChunks { url: url.clone(), response, patience: self.settings.idle_timeout };
                Ok(Reply::Body(Body::new(url.clone(), length, Box::new(chunks))))
            }
        }
    }

    fn build_full(&self) -> Result<FullClient, String> {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        #[cfg(feature = "aws-lc")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "aws-lc"))]
        let provider = rustls::crypto::ring::default_provider();
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.settings.connect_timeout)
            .user_agent(&self.settings.user_agent);
        if self.settings.proxies == Proxies::None {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| chain(&error))?;
        Ok(FullClient { client, has_authorities: usable > 0 })
    }

    async fn in_time<T>(&self, url: &SafeUrl, answer: impl Future<Output = T>) -> Result<T, FetchError> {
        in_time(url, self.settings.idle_timeout, answer).await
    }
}

async fn in_time<T>(url: &SafeUrl, patience: Duration, answer: impl Future<Output = T>) -> Result<T, FetchError> {
    tokio::time::timeout(patience, answer).await.map_err(|_| FetchError::TimedOut { url: url.clone(), after: patience })
}

/// Judges a status: `None` where the body is what was asked for, else where to go on.
fn judge(url: &SafeUrl, status: u16, location: Option<&str>) -> Result<Option<String>, FetchError> {
    match (status, location) {
        (200, _) => Ok(None),
        (301 | 302 | 303 | 307 | 308, Some(location)) => Ok(Some(location.to_owned())),
        // Object stores answer 403 where a file is absent and listing is not allowed.
        (403 | 404 | 410, _) => Err(FetchError::Absent { url: url.clone() }),
        _ => Err(FetchError::Status { url: url.clone(), status, retry_after: None }),
    }
}

/// Basic authentication (RFC 7617), where the user put credentials into the URL.
fn authorization(url: &SafeUrl) -> Option<HeaderValue> {
    use base64::Engine as _;
    let url = url.as_url();
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An error with its causes: the outermost alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

struct PlainChunks {
    url: SafeUrl,
    body: hyper::body::Incoming,
    patience: Duration,
}

impl Chunks for PlainChunks {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            loop {
                let Some(frame) = in_time(&self.url, self.patience, self.body.frame()).await? else {
                    return Ok(None);
                };
                let frame =
                    frame.map_err(|error| FetchError::Transport { url: self.url.clone(), reason: chain(&error) })?;
                // Frames that are not data are trailers, which mean nothing here.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        })
    }
}

struct FullChunks {
    url: SafeUrl,
    response: reqwest::Response,
    patience: Duration,
}

impl Chunks for FullChunks {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            in_time(&self.url, self.patience, self.response.chunk())
                .await?
                .map_err(|error| FetchError::Transport { url: self.url.clone(), reason: chain(&error.without_url()) })
        })
    }
}
