//! `trustroot trust add|list|remove`

use std::path::Path;

use serde::Serialize;
use trustroot::client::{Retries, SafeUrl, Traffic};
use trustroot::crypto::{KeyFamily, VerifyingKey, sha256};
use trustroot::example_keys::refuse_example_keys;
use trustroot::metadata::Root;
use trustroot::trust::{ExpectRoot, RootPolicy};

use crate::args::{TrustAddOptions, TrustCommand};
use crate::config::{LONGEST_ROOT, Trust};
use crate::output::{self, Show};
use crate::report::{Outcome, Report, example_key};
use crate::ui::{Session, fetcher, show_path, show_time};

pub(crate) fn run(session: &Session, command: TrustCommand) -> Result<(), Report> {
    match command {
        TrustCommand::Add(options) => add(session, &options),
        TrustCommand::List => list(session),
        TrustCommand::Remove { name } => {
            session.store()?.remove(&name)?;
            output::show(session.format, &Removed { removed: name.to_string() })
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
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
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
            note: expired.then(|| {
                "this root has expired, which is fine for a pin: `trustroot refresh` finds the newer ones".to_owned()
            }),
        })
    }
}

impl Show for TrustLine {
    fn text(&self) -> String {
        let note = self.note.as_ref().map(|note| format!("  note: {note}\n")).unwrap_or_default();
        let policy = self.post_quantum_from.as_ref().map_or_else(String::new, |from| {
            format!("  policy  roots need a post-quantum signature from {from} on (other clients do not enforce it)\n")
        });
        format!(
            "{}: root v{}, expires {}\n  url     {}\n  targets {}\n  sha256  {}\n{policy}{note}",
            self.name, self.root_version, self.root_expires, self.url, self.target_url, self.root_sha256
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
struct Removed {
    removed: String,
}

impl Show for Removed {
    fn text(&self) -> String {
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
    if !url.is_of_this_machine() {
        refuse_example_keys(judged.trusted()).map_err(|listed| {
            let report = Report::new(Outcome::No, "example-key", format!("the root cannot be trusted: {listed}"));
            example_key(report, &listed).still("nothing was pinned")
        })?;
    }
    let policy = options.post_quantum_from.map(RootPolicy::post_quantum_from).unwrap_or_default();
    if policy != RootPolicy::default() && !lists_post_quantum_key(judged.trusted()) {
        return Err(no_post_quantum_key().still("nothing was pinned"));
    }
    let trust = session.store()?.add(&options.name, &url, &target_url, &root, policy)?;
    output::show(session.format, &Added { pinned: TrustLine::of(session, &trust)? })
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

/// A URL, or a directory on this machine. What cannot be parsed is not repeated: it may hold credentials.
fn parse_url(text: &str) -> Result<SafeUrl, Report> {
    let directory = || std::fs::canonicalize(text).ok().filter(|path| path.is_dir());
    SafeUrl::parse(text).or_else(|error| {
        directory().and_then(|path| SafeUrl::from_file_path(&path)).ok_or_else(|| {
            Report::new(Outcome::WrongQuestion, "bad-url", format!("neither a URL nor a directory: {error}"))
                .still("nothing was pinned")
        })
    })
}

fn read_root(path: &Path) -> Result<Vec<u8>, Report> {
    trustroot::client::read_bounded(path, LONGEST_ROOT).map_err(|error| Report::io(&error))?.ok_or_else(|| {
        Report::new(Outcome::WrongQuestion, "no-such-file", format!("`{}` does not exist", show_path(path)))
    })
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
