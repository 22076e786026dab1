//! The repositories that are trusted: one directory each, holding the pin, the addresses, the policy and what is kept.
//!
//! Pins come from the user's home and, before that, from a directory of the system, which only its administrator writes.
//! What is kept is always in the home.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use trustroot::Printable;
use trustroot::client::danger::ExpiredGrace;
use trustroot::client::{CacheMode, LocalCache, Store as _, StoreLock};
use trustroot::client::{Mirror, RepositoryMap, SafeUrl, UpdaterSettings, WhenUnreachable};
use trustroot::client::{read_bounded, remove_leftovers, stored_name, write_durably, write_private};
use trustroot::crypto::sha256;
use trustroot::metadata::TargetPath;
use trustroot::trust::RootPolicy;

use crate::period::Period;
use crate::report::{Outcome, Report};
use crate::ui::{read_named, show_path, show_time};

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
    pub(crate) pinned_by: PinnedBy,
    pub(crate) policy: Policy,
    pub(crate) origin: Origin,
    /// Where the pin is.
    pub(crate) pin_directory: PathBuf,
    /// Where what is kept is.
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

    /// Where it is kept what a watch has announced to this command.
    pub(crate) fn announced_file(&self, command: &[OsString]) -> PathBuf {
        let command: Vec<u8> = command.iter().flat_map(|word| [word.as_encoded_bytes(), b"\0"].concat()).collect();
        self.directory.join("announced").join(format!("{}.json", &hex::encode(sha256(&command))[..16]))
    }

    /// All places where it is asked, in order.
    pub(crate) fn places(&self) -> Vec<Mirror> {
        let first = Mirror::new(self.metadata_url.clone(), self.target_url.clone());
        std::iter::once(first).chain(self.policy.mirrors.iter().map(mirror)).collect()
    }

    /// An updater's settings by its policy.
    pub(crate) fn settings(&self) -> UpdaterSettings {
        let mut settings = UpdaterSettings::new(self.metadata_url.clone(), self.target_url.clone());
        settings.mirrors = self.places();
        settings.root_policy = self.root_policy;
        if let Some(deadline) = self.policy.deadline {
            settings.patience.update = deadline.duration();
        }
        settings.max_staleness = self.policy.max_staleness.map(Period::duration);
        settings.when_unreachable = match (self.policy.when_unreachable, self.policy.expired_grace) {
            (_, Some(grace)) => WhenUnreachable::UseExpired(ExpiredGrace::accepting(grace.duration())),
            (Unreachable::UseKept, None) => WhenUnreachable::UseKept,
            (Unreachable::Fail, None) => WhenUnreachable::Fail,
        };
        settings
    }
}

fn mirror(url: &SafeUrl) -> Mirror {
    Mirror::new(url.clone(), url.below("targets"))
}

/// Who wrote a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    User,
    System,
}

/// How a pinned root came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PinnedBy {
    /// As a file, or by its digest.
    #[default]
    Given,
    /// Downloaded, and believed.
    FirstUse,
}

impl PinnedBy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(crate) fn is_given(&self) -> bool {
        *self == Self::Given
    }
}

/// What is done where no mirror can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unreachable {
    /// The command fails; what is kept stays
    #[default]
    Fail,
    /// What is kept is used while it has not expired and is not too stale, with a warning
    UseKept,
}

impl Unreachable {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

/// How a repository is asked, and what happens where it does not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Where else its metadata is; targets are at `targets` below.
    pub(crate) mirrors: Vec<SafeUrl>,
    /// How long a refresh or a look-up may take; the default of [`Patience`](trustroot::client::Patience) where absent.
    pub(crate) deadline: Option<Period>,
    pub(crate) max_staleness: Option<Period>,
    pub(crate) when_unreachable: Unreachable,
    pub(crate) expired_grace: Option<Period>,
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
    #[serde(default, skip_serializing_if = "PinnedBy::is_given")]
    pinned_by: PinnedBy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_staleness: Option<String>,
    #[serde(default, skip_serializing_if = "Unreachable::is_fail")]
    when_unreachable: Unreachable,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expired_grace: Option<String>,
}

impl TrustFile {
    fn of(pin: &Pin<'_>, policy: &Policy) -> Self {
        Self {
            url: pin.metadata_url.expose().to_owned(),
            target_url: pin.target_url.expose().to_owned(),
            root_sha256: hex::encode(sha256(pin.root)),
            post_quantum_from: pin.root_policy.post_quantum_from.map(|from| from.to_rfc3339()),
            pinned_by: pin.pinned_by,
            mirrors: policy.mirrors.iter().map(|url| url.expose().to_owned()).collect(),
            deadline: policy.deadline.map(|period| period.to_string()),
            max_staleness: policy.max_staleness.map(|period| period.to_string()),
            when_unreachable: policy.when_unreachable,
            expired_grace: policy.expired_grace.map(|period| period.to_string()),
        }
    }

    fn policy(&self) -> Result<Policy, String> {
        let period = |name: &str, text: &Option<String>| {
            let period = text.as_deref().map(str::parse::<Period>).transpose();
            period.map_err(|problem| format!("{name}: {problem}"))
        };
        if self.expired_grace.is_some() && self.when_unreachable == Unreachable::Fail {
            return Err("expired_grace: means nothing without `when_unreachable = \"use-kept\"`".to_owned());
        }
        let mirrors = self.mirrors.iter().map(|url| SafeUrl::parse(url).map_err(|error| format!("mirrors: {error}")));
        Ok(Policy {
            mirrors: mirrors.collect::<Result<_, _>>()?,
            deadline: period("deadline", &self.deadline)?,
            max_staleness: period("max_staleness", &self.max_staleness)?,
            when_unreachable: self.when_unreachable,
            expired_grace: period("expired_grace", &self.expired_grace)?,
        })
    }
}

/// What is pinned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pin<'a> {
    pub(crate) metadata_url: &'a SafeUrl,
    pub(crate) target_url: &'a SafeUrl,
    pub(crate) root: &'a [u8],
    pub(crate) root_policy: RootPolicy,
    pub(crate) pinned_by: PinnedBy,
}

impl<'a> Pin<'a> {
    fn of(trust: &'a Trust) -> Self {
        Self {
            metadata_url: &trust.metadata_url,
            target_url: &trust.target_url,
            root: &trust.root,
            root_policy: trust.root_policy,
            pinned_by: trust.pinned_by,
        }
    }

    /// Whether both trust the same root at the same place and ask the same of it, however it came here.
    fn is_same(&self, other: &Self) -> bool {
        self.is_same_root(other) && self.metadata_url == other.metadata_url && self.target_url == other.target_url
    }

    /// Whether both trust the same root and ask the same of it, wherever it is.
    fn is_same_root(&self, other: &Self) -> bool {
        self.root == other.root && self.root_policy == other.root_policy
    }

    fn describe(&self) -> String {
        let digest = hex::encode(sha256(self.root));
        let asked = self.root_policy.post_quantum_from.map(|from| format!(", post-quantum from {}", show_time(from)));
        let asked = asked.unwrap_or_default();
        format!("root sha256:{digest} at {}, targets at {}{asked}", self.metadata_url, self.target_url)
    }
}

/// Longest root that is pinned, in bytes.
pub(crate) const LONGEST_ROOT: u64 = 512_000;

/// All repositories that are trusted.
#[derive(Debug)]
pub(crate) struct TrustStore {
    home: PathBuf,
    /// Pins of the administrator's, which are read and never written.
    system: Option<PathBuf>,
}

impl TrustStore {
    /// Pins in `home` and in `system`. Where both are the same directory it is a home: it was chosen to be written.
    pub(crate) fn new(home: PathBuf, system: Option<PathBuf>) -> Self {
        let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let system = system.filter(|system| resolved(system) != resolved(&home));
        Self { home, system }
    }

    /// Where what is kept is.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Names in order.
    pub(crate) fn names(&self) -> Result<Vec<TrustName>, Report> {
        let mut names = names_in(&self.home)?;
        if let Some(system) = &self.system {
            names.extend(names_in(system)?);
        }
        names.sort();
        names.dedup();
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

    /// The system's pin, where it has one of that name.
    ///
    /// A pin of the user's with the same name must be the same: it could neither replace the system's unnoticed, nor be
    /// replaced unnoticed.
    pub(crate) fn load(&self, name: &TrustName) -> Result<Trust, Report> {
        let of_system = self.of_system(name)?;
        let of_user = holds_pin(&self.home, name)?.then(|| self.load_from(Origin::User, name)).transpose()?;
        match (of_system, of_user) {
            (None, None) => Err(self.nothing_called(name)),
            (None, Some(only)) | (Some(only), None) => Ok(only),
            (Some(of_system), Some(of_user)) if Pin::of(&of_user).is_same(&Pin::of(&of_system)) => Ok(of_system),
            (Some(of_system), Some(of_user)) => Err(shadows(name, &of_system, &Pin::of(&of_user))),
        }
    }

    /// The map that says which repositories must agree: `chosen`, or the system's, or the user's.
    pub(crate) fn map(&self, chosen: Option<&Path>) -> Result<Option<(PathBuf, RepositoryMap)>, Report> {
        let mut found = chosen.map(Path::to_owned);
        for directory in self.system.iter().chain([&self.home]) {
            let usual = directory.join("map.json");
            if found.is_none() && is_there(&usual)? {
                found = Some(usual);
            }
        }
        let Some(path) = found else { return Ok(None) };
        let bytes = read_named(&path, RepositoryMap::LONGEST as u64)?;
        let map = RepositoryMap::parse(&bytes).map_err(|error| unusable_map(&path, error.to_string()))?;
        Ok(Some((path, map)))
    }

    /// The repositories that a map names: each must be trusted here, at the place that the map gives for it.
    pub(crate) fn load_mapped(&self, path: &Path, map: &RepositoryMap) -> Result<Vec<Trust>, Report> {
        let mut trusts = Vec::new();
        for (name, urls) in map.repositories() {
            let unknown = || unusable_map(path, format!("no repository called `{}` is trusted here", Printable(name)));
            let trust = self.load(&name.parse().map_err(|_| unknown())?).map_err(|report| match report.code() {
                "no-trust" => unknown(),
                _ => report,
            })?;
            for url in urls {
                let problem = |what: String| unusable_map(path, format!("the repository `{name}`: {what}"));
                let url = SafeUrl::parse(url).map_err(|error| problem(error.to_string()))?;
                if !trust.places().iter().any(|place| place.metadata_url.is_below(&url)) {
                    return Err(problem(format!("it is not asked at {url}"))
                        .hint("leave the URL out, or make it a mirror: `trustroot trust set NAME --mirror URL`"));
                }
            }
            trusts.push(trust);
        }
        Ok(trusts)
    }

    fn of_system(&self, name: &TrustName) -> Result<Option<Trust>, Report> {
        match &self.system {
            Some(system) if holds_pin(system, name)? => self.load_from(Origin::System, name).map(Some),
            _ => Ok(None),
        }
    }

    fn load_from(&self, origin: Origin, name: &TrustName) -> Result<Trust, Report> {
        let pins = match (&self.system, origin) {
            (Some(system), Origin::System) => system,
            _ => &self.home,
        };
        let pin_directory = pins.join(name.as_str());
        let path = pin_directory.join("trust.toml");
        let text = fs::read_to_string(&path).map_err(|error| Report::io(&error))?;
        let broken = |problem: String| {
            let report = Report::new(Outcome::WrongQuestion, "configuration", problem).fact("file", show_path(&path));
            match origin {
                Origin::User => report.hint(format!(
                    "put it right, or pin again: `trustroot trust remove {name}`, then `trustroot trust add`"
                )),
                Origin::System => report.hint("the administrator of this machine can put it right"),
            }
        };
        let file: TrustFile = toml::from_str(&text).map_err(|error| broken(error.to_string().trim_end().to_owned()))?;
        let url = |text: &str| SafeUrl::parse(text).map_err(|error| broken(error.to_string()));
        let (metadata_url, target_url) = (url(&file.url)?, url(&file.target_url)?);
        let policy = file.policy().map_err(broken)?;
        let root = read_bounded(&pin_directory.join("root.json"), LONGEST_ROOT)
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
        Ok(Trust {
            name: name.clone(),
            metadata_url,
            target_url,
            root,
            root_policy,
            pinned_by: file.pinned_by,
            policy,
            origin,
            pin_directory,
            directory: self.home.join(name.as_str()),
        })
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

    /// Keeps other processes from changing pins, for as long as it is held. Reading needs no lock.
    pub(crate) fn lock(&self) -> Result<StoreLock, Report> {
        lock(&self.home)
    }

    /// Pins a root. Pinning the same again changes nothing; pinning something else, or with another policy, is refused.
    ///
    /// `policy` is `None` where the user did not speak of it.
    pub(crate) fn add(&self, name: &TrustName, pin: &Pin<'_>, policy: Option<Policy>) -> Result<Trust, Report> {
        if let Some(there) = self.pinned_already(name, pin, policy.as_ref())? {
            return Ok(there);
        }
        let _lock = self.lock()?;
        // Another process may have been quicker.
        if let Some(there) = self.pinned_already(name, pin, policy.as_ref())? {
            return Ok(there);
        }
        let directory = self.home.join(name.as_str());
        refuse_what_is_not_ours(&directory)?;
        fs::create_dir_all(&directory).map_err(|error| Report::io(&error))?;
        // Of an earlier one that was interrupted.
        remove_leftovers(&directory);
        // `trust.toml` comes last: without it the directory does not count, and the command can be run again.
        write_durably(&directory.join("root.json"), pin.root)
            .map_err(|error| Report::io(&error).still("nothing was pinned"))?;
        self.write(name, pin, &policy.unwrap_or_default())?;
        self.load(name)
    }

    /// The same pin, where it is there already.
    fn pinned_already(
        &self,
        name: &TrustName,
        pin: &Pin<'_>,
        policy: Option<&Policy>,
    ) -> Result<Option<Trust>, Report> {
        if let Some(of_system) = self.of_system(name)? {
            let same = Pin::of(&of_system).is_same(pin) && policy.is_none_or(|policy| *policy == of_system.policy);
            let shadowed = || shadows(name, &of_system, pin).still("nothing changed");
            return if same { self.load(name).map(Some) } else { Err(shadowed()) };
        }
        if !holds_pin(&self.home, name)? {
            return Ok(None);
        }
        let there = self.load(name)?;
        if !Pin::of(&there).is_same(pin) {
            let headline = format!("`{name}` is trusted already, with another root or address");
            let (known, given) = (Pin::of(&there).describe(), pin.describe());
            let looks_same = known == given;
            let report = Report::new(Outcome::WrongQuestion, "already-trusted", headline)
                .fact("there", known)
                .fact("given", given)
                .still("nothing changed");
            let report = if looks_same { differs_where_hidden(report) } else { report };
            return Err(if Pin::of(&there).is_same_root(pin) {
                report.hint(format!(
                    "to ask for the same repository at another address, with what is kept: `trustroot trust set {name} \
                     --url URL`"
                ))
            } else {
                report.hint(format!("if you mean to replace it: `trustroot trust remove {name}` first"))
            });
        }
        if let Some(policy) = policy.filter(|policy| **policy != there.policy) {
            let shown = |policy: &Policy| policy.mirrors.iter().map(ToString::to_string).collect::<Vec<_>>();
            let hidden = policy.mirrors != there.policy.mirrors && shown(policy) == shown(&there.policy);
            let headline = format!("`{name}` is trusted already, with another policy");
            let report = Report::new(Outcome::WrongQuestion, "already-trusted", headline).still("nothing changed");
            let report = if hidden { differs_where_hidden(report) } else { report };
            return Err(report.hint(format!("change its policy with `trustroot trust set {name}`")));
        }
        Ok(Some(there))
    }

    /// Changes the policy or the addresses of a repository that the user pinned. The pinned root stays, and what is kept.
    pub(crate) fn set(
        &self,
        name: &TrustName,
        change: impl FnOnce(&mut Trust) -> Result<(), Report>,
    ) -> Result<Trust, Report> {
        let there = self.load(name)?;
        if there.origin == Origin::System {
            return Err(of_the_system(&there).still("nothing changed"));
        }
        let _lock = self.lock()?;
        let there = self.load(name)?;
        remove_leftovers(&there.pin_directory);
        let mut changed = there.clone();
        change(&mut changed)?;
        if changed.policy != there.policy || !Pin::of(&changed).is_same(&Pin::of(&there)) {
            self.write(name, &Pin::of(&changed), &changed.policy)?;
        }
        self.load(name)
    }

    fn write(&self, name: &TrustName, pin: &Pin<'_>, policy: &Policy) -> Result<(), Report> {
        let text = toml::to_string(&TrustFile::of(pin, policy))
            .map_err(|error| Report::new(Outcome::Bug, "bug", error.to_string()))?;
        // A home may be shared by all users of a machine; credentials are not.
        let mut urls = [pin.metadata_url, pin.target_url].into_iter().chain(&policy.mirrors);
        let write = if urls.any(SafeUrl::holds_credentials) { write_private } else { write_durably };
        let written = write(&self.home.join(name.as_str()).join("trust.toml"), text.as_bytes());
        written.map_err(|error| Report::io(&error).still("nothing changed"))
    }

    /// Forgets what is kept of a repository. Its pin stays, also one of the system's.
    pub(crate) fn forget_kept(&self, name: &TrustName) -> Result<(), Report> {
        let trust = self.load(name)?;
        let (_lock, _kept) = (self.lock()?, lock(&trust.metadata_directory())?);
        let io = |error: std::io::Error| Report::io(&error);
        let forgotten = trust.directory.join(".forgotten");
        for directory in [trust.metadata_directory(), trust.targets_directory()] {
            if forgotten.exists() {
                fs::remove_dir_all(&forgotten).map_err(io)?;
            }
            // Renamed first, all at once: half of what was kept could be taken for all of it.
            match fs::rename(&directory, &forgotten) {
                Ok(()) => fs::remove_dir_all(&forgotten).map_err(io)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Report::io(&error)),
            }
        }
        Ok(())
    }

    /// Forgets a repository.
    pub(crate) fn remove(&self, name: &TrustName) -> Result<(), Report> {
        let directory = self.home.join(name.as_str());
        // A link that leads nowhere holds nothing.
        let dangles = directory.is_symlink() && !directory.exists();
        let is_there = dangles || holds_pin(&self.home, name)?;
        let is_half_removed = self.removed(name).symlink_metadata().is_ok();
        if !is_there && !is_half_removed {
            return Err(match self.of_system(name)? {
                Some(of_system) => of_the_system(&of_system).still("nothing changed"),
                None => self.nothing_called(name),
            });
        }
        let _lock = self.lock()?;
        // A refresh that is keeping something finishes first.
        let kept = directory.join("metadata");
        let _kept = if kept.is_dir() { Some(lock(&kept)?) } else { None };
        self.clear(name).map_err(|error| Report::io(&error))
    }

    /// Where a directory lies that is being removed.
    fn removed(&self, name: &TrustName) -> PathBuf {
        self.home.join(format!(".removed-{name}"))
    }

    /// Removes everything of a name, and what an interrupted removal left.
    fn clear(&self, name: &TrustName) -> std::io::Result<()> {
        let (directory, removed) = (self.home.join(name.as_str()), self.removed(name));
        let remove = |path: &Path| match path.symlink_metadata() {
            Ok(there) if there.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        remove(&removed)?;
        // Renamed first, all at once: an interrupted removal leaves nothing that counts, or could be taken over.
        match fs::rename(&directory, &removed) {
            Ok(()) => remove(&removed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Keeps other processes from writing to a directory, for as long as it is held.
fn lock(directory: &Path) -> Result<StoreLock, Report> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let (locked, started) = (LocalCache::new(directory, CacheMode::ReadWrite), Instant::now());
    loop {
        match locked.try_lock().map_err(|error| Report::io(&error).still("nothing changed"))? {
            Some(lock) => return Ok(lock),
            None if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            None => {
                let headline = format!("another process holds the lock of {}", show_path(directory));
                return Err(Report::new(Outcome::CouldNotTell, "locked", headline).still("nothing changed"));
            }
        }
    }
}

/// Refuses a place where something lies that no pin has put there, or that was kept of another repository.
fn refuse_what_is_not_ours(directory: &Path) -> Result<(), Report> {
    let in_the_way = |what: String| {
        Report::new(Outcome::WrongQuestion, "in-the-way", what)
            .still("nothing was pinned, and it was left as it is")
            .hint("choose another name, or move it away")
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !directory.is_symlink() => return Ok(()),
        Err(error) => return Err(in_the_way(format!("`{}` is no directory: {error}", show_path(directory)))),
    };
    for entry in entries {
        let entry = entry.map_err(|error| Report::io(&error))?;
        let name = entry.file_name();
        // What an interrupted command for the same name may have begun with.
        let begun = name == "root.json" || name.to_string_lossy().starts_with(".trustroot-");
        if !begun {
            let (there, which) = (show_path(directory), show_path(Path::new(&name)));
            return Err(in_the_way(format!("`{there}` holds `{which}`, and is no pin")));
        }
    }
    Ok(())
}

fn names_in(directory: &Path) -> Result<Vec<TrustName>, Report> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Report::io(&error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Report::io(&error))?;
        let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // What cannot be looked at has a name all the same: it is not passed over, but fails where it is loaded.
        names.extend(name.filter(|name| holds_pin(directory, name).unwrap_or(true)));
    }
    Ok(names)
}

fn holds_pin(directory: &Path, name: &TrustName) -> Result<bool, Report> {
    is_there(&directory.join(name.as_str()).join("trust.toml"))
}

/// Whether a file is there. One that cannot be looked at is no absent one: something weaker would take its place.
fn is_there(path: &Path) -> Result<bool, Report> {
    let unknown = |why: String| {
        let headline = format!("it cannot be told whether `{}` is there: {why}", show_path(path));
        Report::new(Outcome::CouldNotTell, "io", headline)
            .still("nothing was taken in its place")
            .hint("let it be read, by the permissions of the directories that it is in")
    };
    match path.try_exists() {
        Ok(false) => {
            match std::iter::once(path).chain(path.parent()).find(|link| link.is_symlink() && !link.exists()) {
                Some(link) => Err(unknown(format!("`{}` is a link that leads nowhere", show_path(link)))),
                None => Ok(false),
            }
        }
        Ok(true) => Ok(true),
        // A file in place of the directory.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(unknown(error.to_string())),
    }
}

/// Two URLs that look the same where they are shown are not.
fn differs_where_hidden(report: Report) -> Report {
    report.fact("differs", "the user name, password, query or fragment of a URL, which are not shown")
}

fn unusable_map(path: &Path, problem: String) -> Report {
    Report::new(Outcome::WrongQuestion, "unusable-map", problem)
        .fact("map", show_path(path))
        .still("nothing was fetched")
        .hint("name one repository with `--trust NAME` to leave the map aside")
}

fn shadows(name: &TrustName, of_system: &Trust, other: &Pin<'_>) -> Report {
    let headline = format!("`{name}` is pinned for all users of this machine, and not the same way");
    Report::new(Outcome::WrongQuestion, "pinned-by-system", headline)
        .fact("system", Pin::of(of_system).describe())
        .fact("yours", other.describe())
        .fact("at", show_path(&of_system.pin_directory))
        .hint("give yours another name; one that you pinned before goes away with `trustroot trust remove`")
}

fn of_the_system(trust: &Trust) -> Report {
    let headline = format!("`{}` is pinned for all users of this machine", trust.name);
    Report::new(Outcome::WrongQuestion, "pinned-by-system", headline)
        .fact("at", show_path(&trust.pin_directory))
        .hint("its administrator can change it there, with that directory's parent as `--home`")
        .hint(format!("what is kept of it is yours: `trustroot trust remove {} --keep-pin` forgets that", trust.name))
}
