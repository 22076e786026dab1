//! `trustroot trust add|set|list|show|remove`

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use trustroot::client::{MirrorHealth, Retries, SafeUrl, Traffic};
use trustroot::crypto::{KeyFamily, VerifyingKey, sha256};
use trustroot::example_keys::refuse_example_keys;
use trustroot::metadata::Root;
use trustroot::trust::{ExpectRoot, RootPolicy};

use super::RoleLine;
use crate::args::{PolicyOptions, TrustAddOptions, TrustCommand, TrustSetOptions};
use crate::config::{LONGEST_ROOT, Origin, Pin, PinnedBy, Policy, Trust, TrustName, Unreachable};
use crate::output::{self, Show, ShownPath};
use crate::period::ago;
use crate::report::{Outcome, Report, example_key};
use crate::ui::{Session, fetcher, judge_kept, read_named, show_time, warn};

pub(crate) fn run(session: &Session, command: TrustCommand) -> Result<(), Report> {
    match command {
        TrustCommand::Add(options) => add(session, &options),
        TrustCommand::Set(options) => set(session, &options),
        TrustCommand::List => list(session),
        TrustCommand::Show { name } => show(session, &name),
        TrustCommand::Remove { name, keep_pin } => {
            let store = session.store()?;
            if keep_pin {
                store.forget_kept(&name)?;
            } else {
                store.remove(&name)?;
            }
            output::show(session.format, &Removed { removed: name.to_string(), pin_kept: keep_pin })
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustLine {
    name: String,
    url: String,
    target_url: String,
    root_version: u64,
    root_sha256: String,
    root_expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_quantum_from: Option<String>,
    origin: Origin,
    pinned_by: PinnedBy,
    policy: PolicyLine,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyLine {
    mirrors: Vec<String>,
    deadline: Option<String>,
    max_staleness: Option<String>,
    when_unreachable: Unreachable,
    expired_grace: Option<String>,
}

impl PolicyLine {
    fn of(policy: &Policy) -> Self {
        Self {
            mirrors: policy.mirrors.iter().map(ToString::to_string).collect(),
            deadline: policy.deadline.map(|period| period.to_string()),
            max_staleness: policy.max_staleness.map(|period| period.to_string()),
            when_unreachable: policy.when_unreachable,
            expired_grace: policy.expired_grace.map(|period| period.to_string()),
        }
    }
}

/// What differs from the usual.
impl Show for PolicyLine {
    fn text(&self) -> String {
        let mut text = String::new();
        for mirror in &self.mirrors {
            let _ = writeln!(text, "  mirror  {mirror}");
        }
        if let Some(period) = &self.deadline {
            let _ = writeln!(text, "  ends    after {period}: a refresh or a look-up then fails");
        }
        if let Some(period) = &self.max_staleness {
            let _ =
                writeln!(text, "  stale   after {period}: where it is not asked, what is kept is then no longer used");
        }
        if self.when_unreachable == Unreachable::UseKept {
            text.push_str("  away    where it cannot be reached, what is kept is used\n");
        }
        if let Some(period) = &self.expired_grace {
            let _ = writeln!(text, "  DANGER  also for {period} after it has expired");
        }
        text
    }
}

impl TrustLine {
    fn of(session: &Session, trust: &Trust) -> Result<Self, Report> {
        let pinned = judge_root(session, &trust.root, "the pinned root")?;
        let root = pinned.trusted();
        let expired = root.expires.is_past(session.start.time());
        Ok(Self {
            name: trust.name.to_string(),
            url: trust.metadata_url.to_string(),
            target_url: trust.target_url.to_string(),
            root_version: root.version.get(),
            root_sha256: hex::encode(sha256(&trust.root)),
            root_expires: root.expires.to_string(),
            post_quantum_from: trust.root_policy.post_quantum_from.map(show_time),
            origin: trust.origin,
            pinned_by: trust.pinned_by,
            policy: PolicyLine::of(&trust.policy),
            notes: expired
                .then_some("this root has expired, which is fine for a pin: `trustroot refresh` finds the newer ones")
                .into_iter()
                .chain((!trust.pinned_by.is_given()).then_some("pinned by first use: nobody checked this root"))
                .collect(),
        })
    }
}

impl Show for TrustLine {
    fn text(&self) -> String {
        let system = if self.origin == Origin::System { "  from    this machine's administrator\n" } else { "" };
        let post_quantum = self.post_quantum_from.as_ref().map_or_else(String::new, |from| {
            format!("  policy  roots need a post-quantum signature from {from} on (other clients do not enforce it)\n")
        });
        let notes: Vec<String> = self.notes.iter().map(|note| format!("  note: {note}\n")).collect();
        let notes = notes.concat();
        format!(
            "{}: root v{}, expires {}\n  url     {}\n  targets {}\n  sha256  {}\n{system}{post_quantum}{}{notes}",
            self.name,
            self.root_version,
            self.root_expires,
            self.url,
            self.target_url,
            self.root_sha256,
            self.policy.text()
        )
    }
}

#[derive(Debug, Serialize)]
struct Added {
    pinned: TrustLine,
}

impl Show for Added {
    fn text(&self) -> String {
        format!("pinned {}", self.pinned.text())
    }
}

#[derive(Debug, Serialize)]
struct List {
    trusts: Vec<TrustLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken: Vec<Broken>,
}

#[derive(Debug, Serialize)]
struct Broken {
    name: String,
    problem: String,
}

impl Show for List {
    fn text(&self) -> String {
        if self.trusts.is_empty() && self.broken.is_empty() {
            return "no repository is trusted here\n".to_owned();
        }
        let broken = self.broken.iter().map(|broken| format!("{}: cannot be used: {}\n", broken.name, broken.problem));
        self.trusts.iter().map(Show::text).chain(broken).collect()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Removed {
    removed: String,
    pin_kept: bool,
}

impl Show for Removed {
    fn text(&self) -> String {
        if self.pin_kept {
            return format!("what was kept of {} is gone; its pin stays\n", self.removed);
        }
        format!("removed {}: its pin and what was kept of it are gone\n", self.removed)
    }
}

fn add(session: &Session, options: &TrustAddOptions) -> Result<(), Report> {
    let url = parse_url(&options.url)?;
    let target_url = match &options.target_url {
        Some(target_url) => parse_url(target_url)?,
        None => url.below("targets"),
    };
    let root = match &options.root {
        Some(path) => read_root(path)?,
        None => session.block_on(download_root(session, &url, options.root_version))?,
    };
    if let Some(expected) = options.root_sha256 {
        let found = sha256(&root);
        if found != expected {
            return Err(Report::new(Outcome::No, "wrong-root", "the root does not have the digest that you gave")
                .fact("given", hex::encode(expected))
                .fact("found", hex::encode(found))
                .still("nothing was pinned")
                .hint(
                    "get the digest again, by a way that you trust; if it is right, the root is not the one you want",
                ));
        }
    }
    let judged = judge_root(session, &root, "the root").map_err(|report| report.still("nothing was pinned"))?;
    let policy = options.policy.is_given().then(|| changed(Policy::default(), &options.policy)).transpose()?;
    let mirrors = policy.iter().flat_map(|policy| &policy.mirrors);
    refuse_trial_elsewhere(judged.trusted(), std::iter::once(&url).chain(mirrors))
        .map_err(|report| report.still("nothing was pinned"))?;
    let root_policy = options.post_quantum_from.map(RootPolicy::post_quantum_from).unwrap_or_default();
    if root_policy != RootPolicy::default() && !lists_post_quantum_key(judged.trusted()) {
        return Err(no_post_quantum_key().still("nothing was pinned"));
    }
    let pinned_by = if options.trust_on_first_use { PinnedBy::FirstUse } else { PinnedBy::Given };
    let pin = Pin { metadata_url: &url, target_url: &target_url, root: &root, root_policy, pinned_by };
    let trust = session.store()?.add(&options.name, &pin, policy)?;
    if options.trust_on_first_use {
        warn(&format!(
            "nobody checked the root of {}: if somebody controlled the repository or the way to it just now, they control \
             what you trust from now on",
            trust.name
        ));
        warn("compare its sha256 with one that reaches you by another way");
    }
    output::show(session.format, &Added { pinned: TrustLine::of(session, &trust)? })
}

/// A trial is taken from this machine alone.
fn refuse_trial_elsewhere<'a>(root: &Root, mut urls: impl Iterator<Item = &'a SafeUrl>) -> Result<(), Report> {
    if urls.all(SafeUrl::is_of_this_machine) {
        return Ok(());
    }
    refuse_example_keys(root).map_err(|listed| {
        let report = Report::new(Outcome::No, "example-key", format!("the root cannot be trusted: {listed}"));
        example_key(report, &listed)
    })
}

/// Whether a post-quantum key may sign the next root, and can be used by this build.
fn lists_post_quantum_key(root: &Root) -> bool {
    let keys = root.root.keyids.iter().filter_map(|keyid| root.keys.get(keyid));
    keys.filter_map(|key| VerifyingKey::from_metadata(key).ok()).any(|key| key.family() == KeyFamily::PostQuantum)
}

fn no_post_quantum_key() -> Report {
    let report = Report::new(
        Outcome::No,
        "classical-only",
        "the root lists no usable post-quantum key for root, so that no root could follow it from that time on",
    );
    if KeyFamily::PostQuantum.is_supported() {
        report.hint("pin the root that introduced one, or a later one; or leave out `--post-quantum-from`")
    } else {
        report.hint("use a build with aws-lc-rs: this one has no ML-DSA")
    }
}

fn set(session: &Session, options: &TrustSetOptions) -> Result<(), Report> {
    let change = |trust: &mut Trust| {
        if let Some(url) = &options.url {
            let targets_follow = trust.target_url == trust.metadata_url.below("targets");
            trust.metadata_url = parse_url(url)?;
            if targets_follow {
                trust.target_url = trust.metadata_url.below("targets");
            }
        }
        if let Some(url) = &options.target_url {
            trust.target_url = parse_url(url)?;
        }
        if options.no_mirrors {
            trust.policy.mirrors.clear();
        }
        trust.policy = changed(std::mem::take(&mut trust.policy), &options.policy)?;
        let pinned = judge_root(session, &trust.root, "the pinned root")?;
        refuse_trial_elsewhere(pinned.trusted(), std::iter::once(&trust.metadata_url).chain(&trust.policy.mirrors))
    };
    let trust =
        session.store()?.set(&options.name, |trust| change(trust).map_err(|report| report.still("nothing changed")))?;
    output::show(session.format, &Changed { changed: TrustLine::of(session, &trust)? })
}

#[derive(Debug, Serialize)]
struct Changed {
    changed: TrustLine,
}

impl Show for Changed {
    fn text(&self) -> String {
        format!("changed {}", self.changed.text())
    }
}

/// A policy with what the user named.
fn changed(mut policy: Policy, options: &PolicyOptions) -> Result<Policy, Report> {
    if !options.mirror.is_empty() {
        policy.mirrors = options.mirror.iter().map(|url| parse_url(url)).collect::<Result<_, _>>()?;
    }
    if let Some(limit) = options.deadline {
        policy.deadline = limit.period();
    }
    if let Some(limit) = options.max_staleness {
        policy.max_staleness = limit.period();
    }
    if let Some(limit) = options.expired_grace {
        policy.expired_grace = limit.period();
    }
    if let Some(when_unreachable) = options.when_unreachable {
        policy.when_unreachable = when_unreachable;
    }
    if policy.expired_grace.is_some() {
        if options.when_unreachable == Some(Unreachable::Fail) {
            let headline = "what has expired cannot be used where nothing that is kept is used";
            return Err(Report::new(Outcome::WrongQuestion, "contradiction", headline)
                .still("nothing changed")
                .hint("leave out `--when-unreachable fail`, or say `--expired-grace none`"));
        }
        policy.when_unreachable = Unreachable::UseKept;
    }
    Ok(policy)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    trust: TrustLine,
    pin_directory: ShownPath,
    kept_in: ShownPath,
    metadata_bytes: u64,
    target_bytes: u64,
    /// When the repository confirmed last what is kept.
    confirmed_at: Option<String>,
    /// The top-level roles that are kept; none where they cannot be used now.
    roles: Vec<RoleLine>,
    /// Why what is kept cannot be used now without asking the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_usable: Option<String>,
    places: Vec<Place>,
    #[serde(skip)]
    age: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    url: String,
    target_url: String,
    /// How often it has failed since it answered last.
    failures: u32,
    failed_at: Option<String>,
}

impl Show for Shown {
    fn text(&self) -> String {
        let mut text = self.trust.text();
        let _ = writeln!(text, "  pin     {}", self.pin_directory);
        let _ = writeln!(
            text,
            "  kept    {}: {} bytes of metadata, {} bytes of targets",
            self.kept_in, self.metadata_bytes, self.target_bytes
        );
        let _ = writeln!(text, "  asked   {}", self.age);
        for role in &self.roles {
            let _ = writeln!(text, "  trusted {} v{}, expires {}", role.role, role.version, role.expires);
        }
        if let Some(reason) = &self.not_usable {
            let _ = writeln!(text, "  trusted nothing that is kept, now: {reason}");
        }
        for place in self.places.iter().filter(|place| place.failures > 0) {
            let last = place.failed_at.as_deref().unwrap_or_default();
            let _ = writeln!(text, "  failing {}: {} times since it answered, last {last}", place.url, place.failures);
        }
        text
    }
}

fn show(session: &Session, name: &TrustName) -> Result<(), Report> {
    let trust = session.store()?.load(name)?;
    let mut updater = judge_kept(&trust, session.start).map_err(|error| session.update_failed(&trust, &error))?;
    let (roles, not_usable) = match session.block_on(async { Ok(updater.refresh().await.cloned()) })? {
        Ok(trusted) => (RoleLine::top_level(&trusted, &[]), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let confirmed_at = updater.freshness().confirmed_at;
    let place = |health: MirrorHealth| Place {
        url: health.mirror.metadata_url.to_string(),
        target_url: health.mirror.target_url.to_string(),
        failures: health.failures,
        failed_at: health.failed_at.map(show_time),
    };
    let shown = Shown {
        trust: TrustLine::of(session, &trust)?,
        pin_directory: ShownPath::of(&trust.pin_directory),
        kept_in: ShownPath::of(trust.metadata_directory().parent().unwrap_or(Path::new("."))),
        metadata_bytes: bytes_below(&trust.metadata_directory()),
        target_bytes: bytes_below(&trust.targets_directory()),
        confirmed_at: confirmed_at.map(show_time),
        roles,
        not_usable,
        places: updater.mirrors().into_iter().map(place).collect(),
        age: confirmed_at
            .map_or_else(|| "never, as far as is known".to_owned(), |time| ago(time, session.start.time())),
    };
    output::show(session.format, &shown)
}

/// How long all files below a directory are, as far as they can be seen.
fn bytes_below(directory: &Path) -> u64 {
    let files = walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok);
    files
        .filter_map(|file| file.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}

/// A URL, or a directory on this machine. What cannot be parsed is not repeated: it may hold credentials.
fn parse_url(text: &OsStr) -> Result<SafeUrl, Report> {
    let directory = || std::fs::canonicalize(text).ok().filter(|path| path.is_dir());
    // The names of directories need not be UTF-8.
    let parsed = text.to_str().map_or_else(
        || Err("not a URL: not UTF-8".to_owned()),
        |text| SafeUrl::parse(text).map_err(|error| error.to_string()),
    );
    parsed.or_else(|problem| {
        directory().and_then(|path| SafeUrl::from_file_path(&path)).ok_or_else(|| {
            Report::new(Outcome::WrongQuestion, "bad-url", format!("neither a URL nor a directory: {problem}"))
                .still("nothing was pinned")
        })
    })
}

pub(crate) fn read_root(path: &Path) -> Result<Vec<u8>, Report> {
    read_named(path, LONGEST_ROOT)
}

/// A root that does not meet its own threshold cannot be a pin.
fn judge_root(session: &Session, root: &[u8], what: &str) -> Result<ExpectRoot, Report> {
    ExpectRoot::begin(root, session.start).map_err(|refusal| {
        Report::new(Outcome::No, refusal.code(), format!("{what} cannot be trusted: {refusal}"))
            .hint("see what it says with `trustroot inspect FILE`")
    })
}

async fn download_root(session: &Session, url: &SafeUrl, version: u64) -> Result<Vec<u8>, Report> {
    if session.offline {
        return Err(Report::new(Outcome::CouldNotTell, "offline", "the root would have to be downloaded")
            .still("nothing was pinned")
            .hint("give the file with `--root`, or leave out `--offline`"));
    }
    let url = url.below(&format!("{version}.root.json"));
    let mut traffic = Traffic::default();
    let fetched = Retries::default().fetch(&*fetcher()?, &url, LONGEST_ROOT, &mut traffic).await;
    session.note_traffic(traffic);
    fetched.map_err(|error| {
        Report::new(Outcome::CouldNotTell, error.code(), error.to_string()).still("nothing was pinned").hint(
            "check the URL: it is the place that holds `timestamp.json` and the roots; older roots may have been \
             removed, see `--root-version`",
        )
    })
}

/// A pin that cannot be used is shown as such; it does not hide the others.
fn list(session: &Session) -> Result<(), Report> {
    let store = session.store()?;
    let mut list = List { trusts: Vec::new(), broken: Vec::new() };
    for name in store.names()? {
        match store.load(&name).and_then(|trust| TrustLine::of(session, &trust)) {
            Ok(line) => list.trusts.push(line),
            Err(report) => list.broken.push(Broken { name: name.to_string(), problem: report.headline().to_owned() }),
        }
    }
    output::show(session.format, &list)
}
