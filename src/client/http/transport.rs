//! Sends requests: plain `http` through hyper, the rest through reqwest. Either is set up when it is first needed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::settings::{Authorities, HttpSettings};
use crate::client::safe_url::leads_to_this_machine;

/// The head of an answer, and its body as it comes over the wire.
pub(super) type Answered = Response<UnsyncBoxBody<Bytes, String>>;

/// Most header fields of an answer, and the most memory for them, in bytes, over HTTP/2; HTTP/1 has the limit of
/// hyper's buffer, some 400 KiB.
const MOST_FIELDS: usize = 100;
const LARGEST_FIELDS: u32 = 64 * 1024;

/// The two clients.
#[derive(Debug)]
pub(super) struct Transport {
    plain: OnceLock<Client<HttpConnector, Empty<Bytes>>>,
    full: OnceLock<Result<FullClient, String>>,
    proxied: OnceLock<Matcher>,
}

#[derive(Debug)]
struct FullClient {
    client: reqwest::Client,
    /// Why nobody can be connected to over TLS, if so.
    without_authorities: Option<String>,
}

impl Transport {
    pub(super) fn new() -> Self {
        Self { plain: OnceLock::new(), full: OnceLock::new(), proxied: OnceLock::new() }
    }

    /// Asks for `url`, which holds no credentials, and waits for the head of the answer.
    pub(super) async fn get(&self, settings: &HttpSettings, url: Url, headers: HeaderMap) -> Result<Answered, String> {
        if url.scheme() == "http" && !self.is_proxied(settings, &url) {
            self.get_plainly(settings, &url, headers).await
        } else {
            self.get_fully(settings, url, headers).await
        }
    }

    /// Whether a proxy is asked for a URL of scheme `http`. Never for one of this machine: what it answers would pass for
    /// this machine's.
    fn is_proxied(&self, settings: &HttpSettings, url: &Url) -> bool {
        if leads_to_this_machine(url) {
            return false;
        }
        let Some(proxy) = &settings.proxies.http else { return false };
        let matcher = self
            .proxied
            .get_or_init(|| Matcher::builder().http(proxy.expose()).no(settings.proxies.except.as_str()).build());
        url.as_str().parse::<Uri>().map_or(true, |uri| matcher.intercept(&uri).is_some())
    }

    async fn get_plainly(&self, settings: &HttpSettings, url: &Url, headers: HeaderMap) -> Result<Answered, String> {
        let client = self.plain.get_or_init(|| {
            let mut connector = HttpConnector::new();
            connector.set_connect_timeout(Some(settings.connect_timeout));
            connector.set_nodelay(true);
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .http1_max_headers(MOST_FIELDS)
                .build(connector)
        });
        let mut request = Request::get(url.as_str()).body(Empty::new()).map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        let response = client.request(request).await.map_err(|error| chain(&error))?;
        Ok(response.map(|body| body.map_err(|error| chain(&error)).boxed_unsync()))
    }

    async fn get_fully(&self, settings: &HttpSettings, url: Url, headers: HeaderMap) -> Result<Answered, String> {
        let full = self.full.get_or_init(|| FullClient::build(settings)).as_ref().map_err(Clone::clone)?;
        if let Some(why) = full.without_authorities.as_ref().filter(|_| url.scheme() == "https") {
            return Err(why.clone());
        }
        let mut request = reqwest::Request::new(Method::GET, url);
        *request.headers_mut() = headers;
        let response = full.client.execute(request).await.map_err(|error| chain(&error.without_url()))?;
        let response: Response<reqwest::Body> = response.into();
        Ok(response.map(|body| body.map_err(|error| chain(&error.without_url())).boxed_unsync()))
    }
}

impl FullClient {
    fn build(settings: &HttpSettings) -> Result<Self, String> {
        let (roots, without_authorities) = authorities(&settings.authorities);
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
        // Without this the environment would be asked.
        let mut builder = reqwest::Client::builder().no_proxy();
        let except = || reqwest::NoProxy::from_string(&settings.proxies.except);
        let unusable = |error: reqwest::Error| format!("a proxy cannot be used: {}", chain(&error.without_url()));
        if let Some(proxy) = &settings.proxies.http {
            builder = builder.proxy(reqwest::Proxy::http(proxy.expose()).map_err(unusable)?.no_proxy(except()));
        }
        if let Some(proxy) = &settings.proxies.https {
            builder = builder.proxy(reqwest::Proxy::https(proxy.expose()).map_err(unusable)?.no_proxy(except()));
        }
        let client = builder
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout)
            .http1_max_headers(MOST_FIELDS)
            .http2_max_header_list_size(LARGEST_FIELDS)
            .build()
            .map_err(|error| chain(&error))?;
        Ok(Self { client, without_authorities })
    }
}

/// Collects the certificates of authorities, or says why there are none. What cannot be read is left out as long as
/// there is something.
fn authorities(settings: &Authorities) -> (rustls::RootCertStore, Option<String>) {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    let mut roots = rustls::RootCertStore::empty();
    let mut problems = Vec::new();
    if settings.system {
        let (certificates, errors) = system_authorities();
        roots.add_parsable_certificates(certificates);
        problems.extend(errors);
    }
    for path in &settings.paths {
        let (certificates, errors) = from_path(path);
        roots.add_parsable_certificates(certificates);
        problems.extend(errors);
    }
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&settings.pem).filter_map(Result::ok));
    let without = roots.is_empty().then(|| {
        let place = if settings.system {
            "on this system; install ca-certificates or point SSL_CERT_FILE to a bundle"
        } else {
            "in what was named as such"
        };
        let why = problems.first().map(|problem| format!(" ({problem})")).unwrap_or_default();
        format!("no usable certificate authorities were found {place}{why}")
    });
    (roots, without)
}

type Found = (Vec<rustls::pki_types::CertificateDer<'static>>, Vec<String>);

fn from_path(path: &Path) -> Found {
    let (file, directory) = if path.is_dir() { (None, Some(path)) } else { (Some(path), None) };
    let found = rustls_native_certs::load_certs_from_paths(file, directory);
    (found.certs, found.errors.iter().map(ToString::to_string).collect())
}

/// Where Unix systems keep the authorities, as one file or else as a directory.
const SYSTEM_PLACES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, Arch, Gentoo, NixOS
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",   // older RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/ssl/cert.pem",                  // BSDs
    "/usr/local/etc/ssl/cert.pem",        // FreeBSD
    "/usr/local/share/certs/ca-root-nss.crt", // older FreeBSD
    "/etc/ssl/certs",
    "/system/etc/security/cacerts", // Android
];

/// The first place is enough. The crate that knows them would ask the environment too, which is our caller's to do,
/// and read every place there is.
fn system_authorities() -> Found {
    if cfg!(all(unix, not(target_vendor = "apple"))) {
        let found = SYSTEM_PLACES.iter().map(PathBuf::from).filter(|path| path.exists()).map(|path| from_path(&path));
        found.into_iter().find(|(certificates, _)| !certificates.is_empty()).unwrap_or_default()
    } else {
        let found = rustls_native_certs::load_native_certs();
        (found.certs, found.errors.iter().map(ToString::to_string).collect())
    }
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
