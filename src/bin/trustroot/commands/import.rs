//! `trustroot import`

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use trustroot::client::{DefaultFetcher, FetchError, Retries, SafeUrl, Traffic};
use trustroot::repository::import::{FirstRoot, Import, ImportError, ImportSource, SourceDirectory};

use super::maintain::repository_failed;
use super::templates::README;
use crate::args::ImportOptions;
use crate::config::{LONGEST_ROOT, TrustName};
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, fetcher, read_named, show_path};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    directory: ShownPath,
    updated: bool,
    roles: Vec<RoleVersion>,
    targets: usize,
    /// What stays as it is signed although `trustroot.toml` does not say it.
    kept: Vec<String>,
    /// What had to be chosen since nothing that is signed says it.
    chosen: Vec<String>,
    /// With `--update`: files that are new or replaced, and that are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<Vec<String>>,
    next: String,
}

#[derive(Debug, Serialize)]
struct RoleVersion {
    role: String,
    version: u64,
}

impl Show for Imported {
    fn text(&self) -> String {
        let roles: Vec<String> = self.roles.iter().map(|role| format!("{} v{}", role.role, role.version)).collect();
        let verb = match (&self.written, &self.removed) {
            (Some(written), Some(removed)) if written.is_empty() && removed.is_empty() => "up to date already:",
            (Some(_), _) => "updated to",
            _ => "took over",
        };
        let mut text = format!("{verb} {} with {} targets, in {}\n", roles.join(", "), self.targets, self.directory);
        for (headline, lines) in [
            ("stays as it is signed, beside what trustroot.toml says:", &self.kept),
            ("chosen, since nothing that is signed says it:", &self.chosen),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(text, "  {headline}");
            }
            for line in lines {
                let _ = writeln!(text, "    {line}");
            }
        }
        let _ = writeln!(text, "next: {}", self.next);
        text
    }
}

pub(crate) fn run(session: &Session, options: &ImportOptions) -> Result<(), Report> {
    let directory = &options.directory;
    let source = Source::of(session, options)?;
    let first = first_root(options, &source)?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None if options.update => super::maintain::open_at(directory)?.config().name.clone(),
        None => {
            let named = std::path::absolute(directory).map_err(|error| Report::io(&error))?;
            named.file_name().unwrap_or_default().to_string_lossy().into_owned()
        }
    };
    let failed = |error: ImportError| source.failed(&error, directory);
    let read = Import::read(source.source(), &first, &name, session.start);
    source.note_traffic(session);
    let mut import = read.map_err(failed)?;
    let place = show_path(directory);
    let (mut written, mut removed) = (None, None);
    let mut next = format!("review {place}/trustroot.toml, then `trustroot check -C {place}`");
    if options.update {
        let updated = import.update(directory).map_err(failed)?;
        next = if updated.config_is_theirs {
            format!(
                "compare {place}/trustroot.toml, which people have changed, with what is signed now: `trustroot check -C {place}`"
            )
        } else {
            format!("`trustroot check -C {place}`")
        };
        (written, removed) = (Some(updated.written), Some(updated.removed));
    } else {
        import.add_file("README.md", README.replace("@NAME@", &name));
        import.write(directory).map_err(failed)?;
    }
    let roles = import.versions().into_iter();
    let imported = Imported {
        directory: ShownPath::of(directory),
        updated: options.update,
        roles: roles.map(|(role, version)| RoleVersion { role: role.to_string(), version: version.get() }).collect(),
        targets: import.target_count(),
        kept: import.kept().to_vec(),
        chosen: import.chosen().to_vec(),
        written,
        removed,
        next,
    };
    output::show(session.format, &imported)
}

/// The root that everything is traced back to: as the user gave it, or as it is pinned.
fn first_root(options: &ImportOptions, source: &Source) -> Result<FirstRoot, Report> {
    if let Some(path) = &options.root {
        let bytes = read_named(path, LONGEST_ROOT)?;
        let found = trustroot::crypto::sha256(&bytes);
        return match options.root_sha256 {
            Some(given) if given != found => Err(wrong_root(&given, &found)),
            _ => Ok(FirstRoot::File(bytes)),
        };
    }
    match (options.root_sha256, source) {
        (Some(digest), _) => Ok(FirstRoot::Digest(digest)),
        (None, Source::Web { pinned: Some(root), .. }) => Ok(FirstRoot::File(root.clone())),
        (None, _) => Err(Report::new(
            Outcome::WrongQuestion,
            "no-pin",
            "which root is the first one has to come from elsewhere than from what is taken over",
        )
        .still("nothing was written")
        .hint("name its digest with `--root-sha256`, from your own records, or the file with `--root`")),
    }
}

fn wrong_root(given: &[u8; 32], found: &[u8; 32]) -> Report {
    Report::new(Outcome::No, "wrong-root", "the first root does not have the digest that you gave")
        .fact("given", hex::encode(given))
        .fact("found", hex::encode(found))
        .still("nothing was written")
        .hint("get the digest again, by a way that you trust; it is that of version 1")
}

enum Source {
    Directory(SourceDirectory),
    Web { web: Web, pinned: Option<Vec<u8>> },
}

impl Source {
    fn of(session: &Session, options: &ImportOptions) -> Result<Self, Report> {
        let text = &options.source;
        let path = Path::new(text);
        if !text.contains("://") && path.is_dir() {
            return Ok(Self::Directory(SourceDirectory::new(path)));
        }
        if text.contains("://") {
            let parse = |text: &str| {
                SafeUrl::parse(text).map_err(|error| Report::new(Outcome::WrongQuestion, "bad-url", error.to_string()))
            };
            let metadata = parse(text)?;
            let targets = match &options.target_url {
                Some(url) => parse(url)?,
                None => metadata.below("targets"),
            };
            return Ok(Self::Web { web: Web::new(session, metadata, targets)?, pinned: None });
        }
        let name: Option<TrustName> = text.parse().ok();
        let Some(name) = name else {
            return Err(Report::no_such_file(path).hint("give a directory, a URL, or the name of a pinned repository"));
        };
        let trust = session.store()?.load(&name)?;
        let web = Web::new(session, trust.metadata_url.clone(), trust.target_url.clone())?;
        Ok(Self::Web { web, pinned: Some(trust.root) })
    }

    fn source(&self) -> &dyn ImportSource {
        match self {
            Self::Directory(directory) => directory,
            Self::Web { web, .. } => web,
        }
    }

    fn note_traffic(&self, session: &Session) {
        if let Self::Web { web, .. } = self {
            session.note_traffic(web.traffic.take());
        }
    }

    fn failed(&self, error: &ImportError, directory: &Path) -> Report {
        if let (ImportError::Io(_), Self::Web { web, .. }) = (error, self)
            && let Some(error) = web.failed.borrow().as_ref()
        {
            let outcome = if matches!(error, FetchError::TooLong { .. }) { Outcome::No } else { Outcome::CouldNotTell };
            return Report::new(outcome, error.code(), error.to_string()).still("nothing was written");
        }
        import_failed(error, directory)
    }
}

fn import_failed(error: &ImportError, directory: &Path) -> Report {
    match error {
        ImportError::Repository(error) => return repository_failed(error),
        ImportError::WrongRoot { given, found } => return wrong_root(given, found),
        ImportError::Io(error) => return Report::io(error).still("nothing was written"),
        _ => {}
    }
    let outcome = if error.is_refusal() { Outcome::No } else { Outcome::WrongQuestion };
    let report = Report::new(outcome, error.code(), error.to_string()).still("nothing was written");
    let place = show_path(directory);
    match error {
        ImportError::Refused(_) => report
            .hint("the source was damaged or tampered with, or begins with another root: compare it with another copy"),
        ImportError::Missing { .. } => report.hint(
            "the source needs every root from version 1 on, the newest timestamp, snapshot and targets, and every target",
        ),
        ImportError::NotEmpty { .. } => report
            .hint("name a directory that is not there yet")
            .hint(format!("to bring what was taken over before up to date: `trustroot import SOURCE {place} --update`")),
        ImportError::ChangedHere { .. } => {
            report.hint("keep one of the two: take your change out, update, and make it again")
        }
        ImportError::Older { .. } => {
            report.hint("take a newer copy of the source; if there is none, somebody has set the repository back")
        }
        _ => report,
    }
}

/// A repository as it is published, asked over HTTP.
struct Web {
    metadata: SafeUrl,
    targets: SafeUrl,
    fetcher: Arc<DefaultFetcher>,
    runtime: tokio::runtime::Runtime,
    traffic: RefCell<Traffic>,
    failed: RefCell<Option<FetchError>>,
}

impl Web {
    fn new(session: &Session, metadata: SafeUrl, targets: SafeUrl) -> Result<Self, Report> {
        let of_files = metadata.scheme() == "file" && targets.scheme() == "file";
        if session.offline && !of_files {
            return Err(Report::new(Outcome::CouldNotTell, "offline", "the repository would have to be downloaded")
                .still("nothing was written")
                .hint("give a directory, or leave out `--offline`"));
        }
        // One for all requests: connections belong to it.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Report::io(&error))?;
        let (traffic, failed) = (RefCell::default(), RefCell::default());
        Ok(Self { metadata, targets, fetcher: fetcher()?, runtime, traffic, failed })
    }

    fn get(&self, url: &SafeUrl, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let mut traffic = self.traffic.borrow_mut();
        match self.runtime.block_on(Retries::default().fetch(&*self.fetcher, url, limit, &mut traffic)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FetchError::Absent { .. }) => Ok(None),
            Err(error) => {
                let kind = match error {
                    FetchError::TooLong { .. } => io::ErrorKind::InvalidData,
                    _ => io::ErrorKind::Other,
                };
                let told = io::Error::new(kind, error.to_string());
                *self.failed.borrow_mut() = Some(error);
                Err(told)
            }
        }
    }
}

impl ImportSource for Web {
    fn metadata(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        self.get(&self.metadata.below(name), limit)
    }

    fn target(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        self.get(&self.targets.below(name), limit)
    }
}
