//! How HTTP is spoken: times, proxies, authorities; and what the usual environment variables say of it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// How HTTP is spoken.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long to wait for the answer to begin, connecting and its headers included, and then for each further piece.
    pub idle_timeout: Duration,
    /// Through which proxies.
    pub proxies: Proxies,
    /// Whose certificates are accepted from servers.
    pub authorities: Authorities,
    /// The `User-Agent` sent.
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(20),
            proxies: Proxies::default(),
            authorities: Authorities::default(),
            user_agent: concat!("trustroot/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Through which proxies to connect. The default is through none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxy for `http` URLs.
    pub http: Option<ProxyUrl>,
    /// The proxy for `https` URLs. It only sees where to connect to, not what is said.
    pub https: Option<ProxyUrl>,
    /// Which hosts are reached directly, separated by commas: names, which stand for those below them too; IP
    /// addresses; networks, such as `10.0.0.0/8`; `*` for all.
    pub except: String,
}

/// The URL of a proxy: `http`, `https` or `socks5`. `Display` and `Debug` leave out credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

/// Text that is not the URL of a proxy. The text is not repeated: it may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a proxy: use http, https, socks5 or socks5h, a host and a port")]
pub struct ProxyUrlError;

impl ProxyUrl {
    /// Parses a URL. Without a scheme it is taken to be `http`, as other programs do. With `socks5` names are looked up
    /// here, with `socks5h` by the proxy.
    ///
    /// # Errors
    /// [`ProxyUrlError`] where it is none, or has another scheme or no host.
    pub fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let text = text.trim();
        let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
        let url = url.map_err(|_| ProxyUrlError)?;
        let known = matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
        if known && url.host_str().is_some_and(|host| !host.is_empty()) { Ok(Self(url)) } else { Err(ProxyUrlError) }
    }

    /// The URL with everything in it. Not for messages.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

/// Whose certificates are accepted from `https` servers and proxies: all that are named here, together.
///
/// No trust in metadata or targets comes from them. They are read at the first connection that needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// Those that the operating system keeps for all programs.
    pub system: bool,
    /// PEM files, and directories of such.
    pub paths: Vec<PathBuf>,
    /// PEM text.
    pub pem: Vec<u8>,
}

impl Default for Authorities {
    /// Those of the operating system.
    fn default() -> Self {
        Self { system: true, paths: Vec::new(), pem: Vec::new() }
    }
}

/// An environment variable that cannot be used. Its value is not repeated: it may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is {reason}")]
pub struct VariableError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

impl HttpSettings {
    /// The default settings, with proxies and authorities as the usual environment variables name them. `variable`
    /// looks a variable up; an empty one is taken as absent.
    ///
    /// - `https_proxy`, `HTTPS_PROXY`: the proxy for `https`; the lower case goes first, here and below.
    /// - `http_proxy`, `HTTP_PROXY`: the proxy for `http`. The upper case is not read where `REQUEST_METHOD` is set:
    ///   in a CGI program it would be what the other side sent as its `Proxy` header.
    /// - `all_proxy`, `ALL_PROXY`: the proxy for either, where it has none of its own.
    /// - `no_proxy`, `NO_PROXY`: see [`Proxies::except`].
    /// - `SSL_CERT_FILE`: a PEM file; `SSL_CERT_DIR`: directories of them. They take the place of the system's.
    ///
    /// # Errors
    /// [`VariableError`] for a proxy that has no usable URL: connecting directly is not what was asked for.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, VariableError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &'static str| {
            let text = variable(name).map(OsString::into_string).transpose();
            text.map_err(|_| VariableError { name, reason: "not UTF-8".to_owned() })
        };
        let proxy = |names: &[&'static str]| {
            for &name in names {
                if let Some(url) = text(name)? {
                    let url = ProxyUrl::parse(&url);
                    return url.map(Some).map_err(|error| VariableError { name, reason: error.to_string() });
                }
            }
            Ok(None)
        };
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let http: &[_] = if is_cgi { &["http_proxy"] } else { &["http_proxy", "HTTP_PROXY"] };
        let all = proxy(&["all_proxy", "ALL_PROXY"])?;
        let proxies = Proxies {
            http: proxy(http)?.or_else(|| all.clone()),
            https: proxy(&["https_proxy", "HTTPS_PROXY"])?.or(all),
            except: text("no_proxy")?.or(text("NO_PROXY")?).unwrap_or_default(),
        };
        let mut paths: Vec<PathBuf> = variable("SSL_CERT_FILE").map(PathBuf::from).into_iter().collect();
        if let Some(directories) = variable("SSL_CERT_DIR") {
            paths.extend(std::env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty()));
        }
        let authorities = Authorities { system: paths.is_empty(), paths, pem: Vec::new() };
        Ok(Self { proxies, authorities, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<HttpSettings, VariableError> {
        HttpSettings::from_variables(|wanted| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| OsString::from(value))
        })
    }

    fn shown(variables: &[(&str, &str)]) -> (String, String, String) {
        let Proxies { http, https, except } = from(variables).unwrap().proxies;
        let show = |url: Option<ProxyUrl>| url.map_or_else(|| "none".to_owned(), |url| url.to_string());
        (show(http), show(https), except)
    }

    #[test]
    fn proxies_are_those_that_the_usual_variables_name() {
        let expect = |variables: &[_], http: &str, https: &str, except: &str| {
            assert_eq!(shown(variables), (http.into(), https.into(), except.into()), "{variables:?}");
        };
        expect(&[], "none", "none", "");
        expect(&[("HTTPS_PROXY", "http://p:1")], "none", "http://p:1", "");
        expect(&[("HTTP_PROXY", "http://p:1")], "http://p:1", "none", "");
        expect(&[("http_proxy", "l:1"), ("HTTP_PROXY", "u:2")], "http://l:1", "none", "");
        expect(&[("https_proxy", ""), ("HTTPS_PROXY", "u:2")], "none", "http://u:2", "");
        expect(&[("ALL_PROXY", "socks5h://s:1080")], "socks5h://s:1080", "socks5h://s:1080", "");
        expect(&[("all_proxy", "a:1"), ("https_proxy", "https://h:2")], "http://a:1", "https://h:2", "");
        expect(&[("NO_PROXY", "a,.b"), ("no_proxy", "10.0.0.0/8")], "none", "none", "10.0.0.0/8");
    }

    #[test]
    fn a_proxy_header_does_not_become_a_proxy_in_a_cgi_program() {
        let cgi = ("REQUEST_METHOD", "GET");
        assert_eq!(shown(&[cgi, ("HTTP_PROXY", "http://evil.example:1")]).0, "none");
        assert_eq!(shown(&[cgi, ("http_proxy", "http://p:1")]).0, "http://p:1");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_and_not_shown() {
        for value in ["ftp://user:secret@p:1", "http://", "http://user:secret@", "file:///secret", "p:secret"] {
            let error = from(&[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(error.name, "HTTPS_PROXY");
            assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn credentials_of_a_proxy_do_not_show() {
        let settings = from(&[("ALL_PROXY", "http://user:secret@p:8080/secret?secret")]).unwrap();
        assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
        assert_eq!(settings.proxies.https.unwrap().to_string(), "http://p:8080");
    }

    #[test]
    fn authorities_are_those_that_the_usual_variables_name() {
        assert_eq!(from(&[("SSL_CERT_FILE", "")]).unwrap().authorities, Authorities::default());
        let authorities = from(&[("SSL_CERT_FILE", "/ca.pem"), ("SSL_CERT_DIR", "/a:/b")]).unwrap().authorities;
        assert!(!authorities.system);
        if cfg!(unix) {
            assert_eq!(authorities.paths, ["/ca.pem", "/a", "/b"].map(Path::new));
        }
    }
}
