//! URLs whose credentials do not end up in messages.

use std::fmt;

use url::{Host, Url};

/// An `http`, `https` or `file` URL. `Display` and `Debug` leave out user information and query, which may hold
/// credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafeUrl(Box<Url>);

/// Text that is not a URL we can fetch from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not parse. The text is not repeated: it may hold credentials.
    #[error("not a URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// The scheme is not one that we fetch from.
    #[error("the URL scheme `{0}` is not supported; use https, http or file")]
    Scheme(String),
}

impl SafeUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text)?;
        match url.scheme() {
            "http" | "https" | "file" => Ok(Self(Box::new(url))),
            other => Err(UrlError::Scheme(other.to_owned())),
        }
    }

    /// The URL of an existing directory or file on this machine, or `None` for a relative path.
    pub fn from_file_path(path: &std::path::Path) -> Option<Self> {
        Url::from_file_path(path).ok().map(Box::new).map(Self)
    }

    /// Appends a percent-encoded path below this URL.
    ///
    /// The text is appended, not resolved: it cannot lead anywhere but below.
    #[must_use]
    pub fn below(&self, encoded_path: &str) -> Self {
        let mut url = self.0.clone();
        let base = url.path().strip_suffix('/').unwrap_or(url.path());
        let path = format!("{base}/{encoded_path}");
        url.set_path(&path);
        Self(url)
    }

    /// Whether it is `base` or leads below it, host and credentials included.
    pub fn is_below(&self, base: &Self) -> bool {
        let (url, base) = (self.expose(), base.expose());
        url.strip_prefix(base).is_some_and(|rest| rest.is_empty() || base.ends_with('/') || rest.starts_with('/'))
    }

    /// Follows a `Location` header. Credentials stay with the host that they were given for; none are taken from the
    /// header.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, UrlError> {
        let mut url = self.0.join(location)?;
        let same = url.origin() == self.0.origin();
        // Neither can fail for the schemes that are let through below.
        let _ = url.set_username(if same { self.0.username() } else { "" });
        let _ = url.set_password(self.0.password().filter(|_| same));
        Self::parse(url.as_str())
    }

    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether it leads nowhere but to this machine: a `file` URL, or `http` to a loopback address or `localhost`.
    ///
    /// Trial repositories, signed with example keys, are taken from there alone. So no proxy is asked for such a URL,
    /// and no redirect leads from it to another machine.
    pub fn is_of_this_machine(&self) -> bool {
        leads_to_this_machine(&self.0)
    }

    /// Whether there is something in it that `Display` hides.
    pub fn holds_credentials(&self) -> bool {
        !self.0.username().is_empty() || self.0.password().is_some() || self.0.query().is_some()
    }

    /// The scheme: `http`, `https` or `file`.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The URL with everything in it, for storing in the user's own configuration. Not for messages.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

/// See [`SafeUrl::is_of_this_machine`].
pub(super) fn leads_to_this_machine(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        // A `file` URL with a host may lead to another machine.
        ("file", None) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Cannot fail for the schemes that we accept.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        shown.set_fragment(None);
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafeUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let url = SafeUrl::parse("https://user:secret@example.org/tuf?sig=secret").unwrap();
        assert_eq!(url.to_string(), "https://example.org/tuf");
        assert!(!format!("{url:?}").contains("secret"));
        assert!(!format!("{:?}", SafeUrl::parse("user:secret@example.org").unwrap_err()).contains("secret"));
    }

    #[test]
    fn what_is_below_has_the_whole_of_the_base_before_it() {
        let below = |url: &str, base: &str| SafeUrl::parse(url).unwrap().is_below(&SafeUrl::parse(base).unwrap());
        assert!(below("https://h.example/repo", "https://h.example/repo"));
        assert!(below("https://h.example/repo/metadata", "https://h.example/repo"));
        assert!(below("https://h.example/repo/metadata", "https://h.example/repo/"));
        assert!(below("https://h.example/repo", "https://h.example"));
        assert!(!below("https://h.example/repo2", "https://h.example/repo"));
        assert!(!below("https://h.example/repo", "https://h.example/repo/metadata"));
        assert!(!below("https://h.example.org/repo", "https://h.example/repo"));
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        let of_this_machine = |url: &str| SafeUrl::parse(url).unwrap().is_of_this_machine();
        for url in
            ["file:///srv/tuf", "http://127.0.0.1:8000/", "http://127.8.9.1/", "http://[::1]:80/", "http://localhost/"]
        {
            assert!(of_this_machine(url), "{url}");
        }
        for url in [
            "https://keys.example.org/",
            "http://10.0.0.1/",
            "http://localhost.example.org/",
            "http://127.0.0.1.example.org/",
            "http://0.0.0.0/",
            "http://[::ffff:10.0.0.1]/",
            "http://user:127.0.0.1@example.org/",
            "file://elsewhere/srv/tuf",
        ] {
            assert!(!of_this_machine(url), "{url}");
        }
    }

    #[test]
    fn encoded_paths_stay_encoded_and_below() {
        let url = SafeUrl::parse("https://example.org/tuf/metadata").unwrap();
        assert_eq!(url.below("1.a%2F..%2Fb.json").expose(), "https://example.org/tuf/metadata/1.a%2F..%2Fb.json");
        let url = SafeUrl::parse("http://127.0.0.1:8000").unwrap();
        assert_eq!(url.below("timestamp.json").expose(), "http://127.0.0.1:8000/timestamp.json");
    }

    #[test]
    fn a_redirect_cannot_leave_the_web_or_carry_credentials() {
        let url = SafeUrl::parse("https://user:secret@example.org/a").unwrap();
        assert_eq!(url.redirected("/b").unwrap().expose(), "https://user:secret@example.org/b");
        assert_eq!(url.redirected("http://example.org/b").unwrap().expose(), "http://example.org/b");
        assert_eq!(url.redirected("https://example.org:8443/b").unwrap().expose(), "https://example.org:8443/b");
        assert_eq!(url.redirected("https://x:y@other.example/").unwrap().expose(), "https://other.example/");
        assert!(url.redirected("gopher://example.org/").is_err());
    }
}
