//! Servers on the loopback interface: over TLS with an authority of their own, or plain; HTTP/1 and HTTP/2.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use trustroot::client::{Authorities, DefaultFetcher, HttpSettings, SafeUrl};

/// The name of the servers, beside their address; no look-up knows it.
pub(crate) const NAME: &str = "repository.example";

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// The content that most tests are about.
pub(crate) fn hello() -> Vec<u8> {
    (0..20_000).flat_map(|line| format!("hello {line}\n").into_bytes()).collect()
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// What a server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) uri: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Answering = dyn Fn(&Asked) -> Response<Full<Bytes>> + Send + Sync;

pub(crate) fn answer(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        response.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    response
}

/// Serves `/hello` as a good server does.
fn serve_well(asked: &Asked) -> Response<Full<Bytes>> {
    if asked.uri != "/hello" {
        return answer(404, &[], "there is no such file");
    }
    let accepts = asked.header("accept-encoding").unwrap();
    let (tag, coding, content) = match accepts {
        _ if accepts.contains("zstd") => ("\"one-zstd\"", "zstd", zstd(&hello())),
        _ if accepts.contains("gzip") => ("\"one-gzip\"", "gzip", gzip(&hello())),
        _ => ("\"one\"", "identity", hello()),
    };
    if asked.header("if-none-match") == Some(tag) {
        return answer(304, &[("etag", tag)], "");
    }
    let range = asked.header("range").filter(|_| asked.header("if-range") == Some(tag));
    if let Some(range) = range {
        let start: usize = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
        let total = content.len();
        if start >= total {
            return answer(416, &[("content-range", &format!("bytes */{total}"))], "");
        }
        let range = format!("bytes {start}-{}/{total}", total - 1);
        return answer(206, &[("content-range", &range), ("etag", tag)], content[start..].to_vec());
    }
    let coding = Some(("content-encoding", coding)).filter(|(_, coding)| *coding != "identity");
    answer(200, &coding.into_iter().chain([("etag", tag)]).collect::<Vec<_>>(), content)
}

pub(crate) struct Server {
    scheme: &'static str,
    pub(crate) address: std::net::SocketAddr,
    /// The authority that vouches for the server, as PEM; nothing for a plain one.
    pub(crate) authority: Vec<u8>,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn http() -> Self {
        Self::answering("http", serve_well).await
    }

    pub(crate) async fn https() -> Self {
        Self::answering("https", serve_well).await
    }

    pub(crate) async fn answering(
        scheme: &'static str,
        answer: impl Fn(&Asked) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::start(scheme, Arc::new(answer)).await
    }

    async fn start(scheme: &'static str, answer: Arc<Answering>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (acceptor, authority) = match scheme {
            "https" => {
                let (acceptor, authority) = tls();
                (Some(acceptor), authority)
            }
            _ => (None, Vec::new()),
        };
        let server = Self {
            scheme,
            address: listener.local_addr().unwrap(),
            authority,
            asked: Arc::default(),
            connections: Arc::default(),
        };
        let (asked, connections) = (Arc::clone(&server.asked), Arc::clone(&server.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, asked, acceptor) = (Arc::clone(&answer), Arc::clone(&asked), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, answer, asked).await,
                        // A client that trusts another authority goes away.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, answer, asked).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> SafeUrl {
        SafeUrl::parse(&format!("{}://{}/{path}", self.scheme, self.address)).unwrap()
    }

    /// Settings under which the server is believed to be who it is.
    pub(crate) fn settings(&self) -> HttpSettings {
        let authorities = Authorities { system: false, paths: Vec::new(), pem: self.authority.clone() };
        HttpSettings { authorities, ..HttpSettings::default() }
    }

    pub(crate) fn fetcher(&self) -> DefaultFetcher {
        DefaultFetcher::new(self.settings())
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: Arc<Answering>,
    asked: Arc<Mutex<Vec<Asked>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let absolute = request.uri().scheme().is_some() && request.version() < Version::HTTP_2;
        let uri = if absolute { request.uri().to_string() } else { path };
        let question = Asked { uri, version: request.version(), headers: request.headers().clone() };
        asked.lock().unwrap().push(question.clone());
        let response = answer(&question);
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// An authority made for this server alone, and the server's side of TLS.
fn tls() -> (TlsAcceptor, Vec<u8>) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(authority, authority_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), NAME.to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    #[cfg(feature = "aws-lc")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc"))]
    let provider = rustls::crypto::ring::default_provider();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), authority.pem().into_bytes())
}

/// A server that answers the head of any request with bytes, in pieces, `pause` apart.
pub(crate) async fn raw(pieces: Vec<Vec<u8>>, pause: std::time::Duration) -> SafeUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = SafeUrl::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let pieces = pieces.clone();
            tokio::spawn(async move {
                read_head(&mut stream).await;
                for piece in pieces {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    url
}

/// Reads the head of a request.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
