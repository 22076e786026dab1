//! The repositories that are trusted: one directory each, holding the pin, the addresses and what is kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use trustroot::client::{SafeUrl, read_bounded, stored_name, write_durably, write_private};
use trustroot::crypto::sha256;
use trustroot::metadata::TargetPath;
use trustroot::trust::RootPolicy;

use crate::report::{Outcome, Report};
use crate::ui::{show_path, show_time};

/// What a repository is called here: safe as a directory name on every system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrustName(String);

impl TrustName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(good) || text.starts_with(['.', '-']) {
            return Err("a name has 1 to 64 lower-case letters, digits, `.`, `_` and `-`, and does not start with \
                        `.` or `-`"
                .to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TrustName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository that is trusted.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) name: TrustName,
    pub(crate) metadata_url: SafeUrl,
    pub(crate) target_url: SafeUrl,
    /// The pinned root.
    pub(crate) root: Vec<u8>,
    /// What is asked of its roots beyond what TUF asks.
    pub(crate) root_policy: RootPolicy,
    directory: PathBuf,
}

impl Trust {
    /// Where its trusted metadata is kept.
    pub(crate) fn metadata_directory(&self) -> PathBuf {
        self.directory.join("metadata")
    }

    /// Where its targets are kept.
    pub(crate) fn targets_directory(&self) -> PathBuf {
        self.directory.join("targets")
    }

    /// Where a target of it is kept.
    pub(crate) fn target_file(&self, target: &TargetPath) -> PathBuf {
        self.targets_directory().join(stored_name(&target.encoded(), ""))
    }
}

/// `trust.toml`. A field that is not known is an error: it could have been meant as a restriction.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    url: String,
    target_url: String,
    /// Guards against a pin that was damaged or swapped by accident.
    root_sha256: String,
    /// From when on roots without a post-quantum signature are refused (RFC 3339). Other clients do not enforce it.
    #[serde(skip_serializing_if = "Option::is_none")]
    post_quantum_from: Option<String>,
}

/// Longest root that is pinned, in bytes.
pub(crate) const LONGEST_ROOT: u64 = 512_000;

/// All repositories that are trusted.
#[derive(Debug)]
pub(crate) struct TrustStore {
    home: PathBuf,
}

impl TrustStore {
    pub(crate) fn new(home: PathBuf) -> Self {
        Self { home }
    }

    /// Names in order.
    pub(crate) fn names(&self) -> Result<Vec<TrustName>, Report> {
        let entries = match fs::read_dir(&self.home) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Report::io(&error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Report::io(&error))?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            names.extend(name.filter(|_| entry.path().join("trust.toml").exists()));
        }
        names.sort();
        Ok(names)
    }

    /// The only repository that is trusted.
    pub(crate) fn load_only(&self) -> Result<Trust, Report> {
        match self.names()?.as_slice() {
            [only] => self.load(only),
            [] => Err(self.nothing()),
            several => {
                let several: Vec<&str> = several.iter().map(TrustName::as_str).collect();
                Err(Report::new(Outcome::WrongQuestion, "which-trust", "several repositories are trusted here")
                    .fact("names", several.join(", "))
                    .hint("say which one with `--trust NAME`"))
            }
        }
    }

    /// What to say where nothing is trusted.
    pub(crate) fn nothing(&self) -> Report {
        Report::new(Outcome::WrongQuestion, "no-trust", "no repository is trusted here")
            .fact("home", show_path(&self.home))
            .hint("pin one with `trustroot trust add NAME --url URL --root FILE`")
    }

    pub(crate) fn load(&self, name: &TrustName) -> Result<Trust, Report> {
        let directory = self.home.join(name.as_str());
        let path = directory.join("trust.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.nothing_called(name));
            }
            Err(error) => return Err(Report::io(&error)),
        };
        let broken = |problem: String| {
            Report::new(Outcome::WrongQuestion, "configuration", problem).fact("file", show_path(&path)).hint(format!(
                "put it right, or pin again: `trustroot trust remove {name}`, then `trustroot trust add`"
            ))
        };
        let file: TrustFile = toml::from_str(&text).map_err(|error| broken(error.to_string().trim_end().to_owned()))?;
        let url = |text: &str| SafeUrl::parse(text).map_err(|error| broken(error.to_string()));
        let (metadata_url, target_url) = (url(&file.url)?, url(&file.target_url)?);
        let root = read_bounded(&directory.join("root.json"), LONGEST_ROOT)
            .map_err(|error| Report::io(&error))?
            .ok_or_else(|| broken("the pinned root is gone".to_owned()))?;
        if hex::encode(sha256(&root)) != file.root_sha256 {
            return Err(broken("the pinned root does not have the digest that was recorded with it".to_owned()));
        }
        let mut root_policy = RootPolicy::default();
        if let Some(from) = &file.post_quantum_from {
            let from = from.parse().map_err(|error| broken(format!("post_quantum_from: {error}")))?;
            root_policy = RootPolicy::post_quantum_from(from);
        }
        Ok(Trust { name: name.clone(), metadata_url, target_url, root, root_policy, directory })
    }

    fn nothing_called(&self, name: &TrustName) -> Report {
        let report =
            Report::new(Outcome::WrongQuestion, "no-trust", format!("no repository called `{name}` is trusted here"))
                .fact("home", show_path(&self.home));
        match self.names().unwrap_or_default().as_slice() {
            [] => report.hint("pin one with `trustroot trust add NAME --url URL --root FILE`"),
            names => {
                let names: Vec<&str> = names.iter().map(TrustName::as_str).collect();
                report.fact("there are", names.join(", "))
            }
        }
    }

    /// Pins a root. Pinning the same again changes nothing; pinning something else is refused.
    pub(crate) fn add(
        &self,
        name: &TrustName,
        metadata_url: &SafeUrl,
        target_url: &SafeUrl,
        root: &[u8],
        policy: RootPolicy,
    ) -> Result<Trust, Report> {
        let directory = self.home.join(name.as_str());
        if directory.join("trust.toml").exists() {
            let there = self.load(name)?;
            let same = there.root == root && there.root_policy == policy;
            if same && there.metadata_url == *metadata_url && there.target_url == *target_url {
                return Ok(there);
            }
            return Err(Report::new(
                Outcome::WrongQuestion,
                "already-trusted",
                format!("`{name}` is trusted already, with another root, address or policy"),
            )
            .fact("there", describe(&there.root, &there.metadata_url, &there.target_url, there.root_policy))
            .fact("given", describe(root, metadata_url, target_url, policy))
            .still("nothing changed")
            .hint(format!("if you mean to replace it: `trustroot trust remove {name}` first")));
        }
        let file = TrustFile {
            url: metadata_url.expose().to_owned(),
            target_url: target_url.expose().to_owned(),
            root_sha256: hex::encode(sha256(root)),
            post_quantum_from: policy.post_quantum_from.map(|from| from.to_rfc3339()),
        };
        let text = toml::to_string(&file).map_err(|error| Report::new(Outcome::Bug, "bug", error.to_string()))?;
        fs::create_dir_all(&directory).map_err(|error| Report::io(&error))?;
        // `trust.toml` comes last: without it the directory does not count, and the command can be run again.
        let io = |error: std::io::Error| Report::io(&error);
        write_durably(&directory.join("root.json"), root).map_err(io)?;
        // A home may be shared by all users of a machine; credentials are not.
        let secret = metadata_url.holds_credentials() || target_url.holds_credentials();
        let write = if secret { write_private } else { write_durably };
        write(&directory.join("trust.toml"), text.as_bytes()).map_err(io)?;
        self.load(name)
    }

    /// Forgets a repository.
    pub(crate) fn remove(&self, name: &TrustName) -> Result<(), Report> {
        let directory = self.home.join(name.as_str());
        if !directory.join("trust.toml").exists() {
            return Err(self.nothing_called(name));
        }
        // Renamed first, all at once: an interrupted removal leaves nothing that counts, or could be taken over.
        let io = |error: std::io::Error| Report::io(&error);
        let removed = self.home.join(format!(".removed-{name}"));
        if removed.exists() {
            fs::remove_dir_all(&removed).map_err(io)?;
        }
        fs::rename(&directory, &removed).map_err(io)?;
        fs::remove_dir_all(&removed).map_err(io)
    }
}

fn describe(root: &[u8], metadata_url: &SafeUrl, target_url: &SafeUrl, policy: RootPolicy) -> String {
    let asked = policy.post_quantum_from.map(|from| format!(", post-quantum from {}", show_time(from)));
    let asked = asked.unwrap_or_default();
    format!("root sha256:{} at {metadata_url}, targets at {target_url}{asked}", hex::encode(sha256(root)))
}
