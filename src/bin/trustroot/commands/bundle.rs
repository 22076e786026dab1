//! `trustroot bundle export|import|inspect`

use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use trustroot::Printable;
use trustroot::client::bundle::{Answers, Bundle, BundleError, Questions, export, import};
use trustroot::client::{LookupError, Updater};
use trustroot::metadata::TargetPath;
use trustroot::verify::MAX_TRUSTED_ROOT_BYTES;

use super::RoleLine;
use super::trust::read_root;
use crate::args::{BundleCommand, BundleExportOptions, BundleImportOptions};
use crate::asked::not_named;
use crate::config::Trust;
use crate::freshness::{Currency, heed, note_first_use};
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, block_on_without_sockets, show_path, show_time, warn};

pub(crate) fn run(session: &Session, command: BundleCommand) -> Result<(), Report> {
    match command {
        BundleCommand::Export(options) => write(session, &options),
        BundleCommand::Import(options) => read(session, &options),
        BundleCommand::Inspect { file } => inspect(session, &file),
    }
}

/// How the names begin of what commands are writing, or have begun to download.
const UNFINISHED: &str = ".trustroot-";

/// Longest trusted root of a time authority, in bytes.
const LONGEST_PROOF: u64 = MAX_TRUSTED_ROOT_BYTES as u64;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    trust: String,
    bundle: ShownPath,
    length: u64,
    first_root: u64,
    first_root_sha256: String,
    roles: Vec<RoleLine>,
    #[serde(flatten)]
    answers: AnswerLines,
    files: Vec<String>,
    /// With the time at which the repository confirmed last what the bundle holds, by the bundle.
    #[serde(flatten)]
    currency: Currency,
}

impl Show for Written {
    fn text(&self) -> String {
        let mut text =
            format!("wrote {} ({} files, {} bytes) of {}: ", self.bundle, self.files.len(), self.length, self.trust);
        text.push_str(&roles(&self.roles, &self.currency));
        let _ = writeln!(text, "  pin        root v{}, sha256 {}", self.first_root, self.first_root_sha256);
        if let Some(time) = &self.currency.confirmed_at {
            let _ = writeln!(text, "  confirmed  {time}");
        }
        text + &self.answers.text()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    trust: String,
    bundle: ShownPath,
    roles: Vec<RoleLine>,
    #[serde(flatten)]
    answers: AnswerLines,
    /// With the time at which the repository had confirmed last what is trusted now.
    #[serde(flatten)]
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_at: Option<String>,
}

impl Show for Taken {
    fn text(&self) -> String {
        let verb = match &self.judged_at {
            Some(time) => format!("judged at {time}, nothing kept"),
            None if self.roles.iter().any(|role| role.new) => "imported".to_owned(),
            None => "up to date".to_owned(),
        };
        let mut text = format!("{}: {verb}: {}", self.trust, roles(&self.roles, &self.currency));
        if let Some(time) = &self.currency.confirmed_at {
            let _ = writeln!(text, "  confirmed  {time}");
        }
        text + &self.answers.text()
    }
}

fn roles(roles: &[RoleLine], currency: &Currency) -> String {
    let versions: Vec<String> = roles.iter().map(|role| format!("{} v{}", role.role, role.version)).collect();
    let soonest = roles.iter().map(|role| role.expires.as_str()).min().unwrap_or_default();
    format!("{}; {}\n", versions.join(", "), currency.until(soonest))
}

/// What was answered, as shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerLines {
    targets: Vec<String>,
    not_named: Vec<String>,
    builders: Vec<String>,
    refused: Vec<RefusedLine>,
}

#[derive(Debug, Serialize)]
struct RefusedLine {
    id: String,
    code: &'static str,
    reason: String,
}

impl AnswerLines {
    fn of(answers: &Answers) -> Self {
        Self {
            targets: answers.targets.iter().map(|path| path.as_str().to_owned()).collect(),
            not_named: answers.not_named.iter().map(|path| path.as_str().to_owned()).collect(),
            builders: answers.builders.iter().map(|id| id.as_str().to_owned()).collect(),
            refused: answers
                .refused
                .iter()
                .map(|(id, error)| RefusedLine {
                    id: id.as_str().to_owned(),
                    code: error.code(),
                    reason: error.to_string(),
                })
                .collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for target in &self.targets {
            let _ = writeln!(text, "  target     {}", Printable(target));
        }
        for target in &self.not_named {
            let _ = writeln!(text, "  not named  {}", Printable(target));
        }
        for builder in &self.builders {
            let _ = writeln!(text, "  builder    {}", Printable(builder));
        }
        for refused in &self.refused {
            let _ = writeln!(text, "  refused    {}: {}", Printable(&refused.id), refused.reason);
        }
        text
    }
}

fn write(session: &Session, options: &BundleExportOptions) -> Result<(), Report> {
    if session.time_is_chosen {
        return Err(Report::new(Outcome::WrongQuestion, "chosen-time", "a bundle is written as of now")
            .still("nothing was written")
            .hint("leave out `--at`"));
    }
    let trust = session.trust(Some(&options.name))?;
    let mut questions = Questions {
        targets: options.targets.iter().cloned().collect(),
        builders: options.builders.iter().cloned().collect(),
    };
    let from_root = options.from_root.as_deref().map(read_root).transpose()?;
    let mut updater = session.updater(&trust)?;
    let progress = session.progress(format!("collecting {} from {}", trust.name, trust.metadata_url), None);
    let exported = session.block_on(async {
        if options.all_kept {
            for path in kept(&trust)? {
                let found = updater.find(&path).await.map_err(|error| session.update_failed(&trust, &error))?;
                if found.is_some() {
                    questions.targets.insert(path);
                }
            }
        }
        let exported = export(&mut updater, &questions, LONGEST_PROOF, from_root.as_deref(), &options.output).await;
        exported.map_err(|error| {
            let hint = "this repository says nothing about builders: leave out `--builder`";
            let hint = has_no_catalog(&error).then_some(hint);
            let report = failed(session, &trust, &options.output, error).still("no bundle was written");
            hint.into_iter().fold(report, Report::hint)
        })
    });
    drop(progress);
    session.note_traffic(updater.traffic());
    let exported = exported?;
    let trusted = updater.trusted().expect("an export has refreshed");
    let written = Written {
        trust: trust.name.to_string(),
        bundle: ShownPath::of(&options.output),
        length: exported.length,
        first_root: exported.first_root.version,
        first_root_sha256: exported.first_root.sha256,
        currency: Currency { confirmed_at: exported.confirmed_at.map(show_time), ..heed(session, &trust, &updater) },
        roles: RoleLine::top_level(trusted, updater.kept()),
        answers: AnswerLines::of(&exported.answers),
        files: exported.files.into_iter().map(|file| file.name).collect(),
    };
    output::show(session.format, &written)
}

/// The targets that earlier commands have kept. Some have names so long that only their hash is left.
fn kept(trust: &Trust) -> Result<Vec<TargetPath>, Report> {
    let entries = match fs::read_dir(trust.targets_directory()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Report::io(&error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| Report::io(&error))?.file_name();
        let name = name.to_string_lossy();
        let path = percent_encoding::percent_decode_str(&name).decode_utf8().ok();
        let path = path.and_then(|path| TargetPath::new(path).ok());
        match path.filter(|path| trust.target_file(path).file_name().is_some_and(|file| file == &*name)) {
            Some(_) if name.starts_with("sha256-") => {
                warn(&format!("`{}` is kept under the hash of its name: name it with `--target`", Printable(&name)));
            }
            // What other commands are writing has a name of its own, which is no target's.
            Some(path) if !name.starts_with(UNFINISHED) => paths.push(path),
            _ => {}
        }
    }
    Ok(paths)
}

fn open(file: &Path) -> Result<Bundle, Report> {
    Bundle::open(file).map_err(|error| match &error {
        BundleError::Io(io) if io.kind() == std::io::ErrorKind::NotFound => Report::no_such_file(file),
        _ => bad(file, &error),
    })
}

fn read(session: &Session, options: &BundleImportOptions) -> Result<(), Report> {
    let trust = session.trust(options.trust.as_ref())?;
    let progress = session.progress(format!("reading {}", show_path(&options.file)), None);
    let bundle = open(&options.file).map_err(|report| report.fact("trust", trust.name.as_str()));
    let imported = bundle.and_then(|bundle| {
        let questions = bundle.questions().clone();
        let mut updater = session.updater_from_bundle(&trust, bundle)?;
        let answers = block_on_without_sockets(take(session, &trust, &mut updater, &questions, &options.file))?;
        Ok((updater, answers))
    });
    drop(progress);
    let (updater, answers) = imported?;
    note_first_use(&trust);
    let trusted = updater.trusted().expect("an import has refreshed");
    let taken = Taken {
        trust: trust.name.to_string(),
        bundle: ShownPath::of(&options.file),
        roles: RoleLine::top_level(trusted, updater.kept()),
        answers: AnswerLines::of(&answers),
        currency: Currency {
            confirmed_at: updater.freshness().confirmed_at.map(show_time),
            pinned_by: trust.pinned_by,
            ..Currency::default()
        },
        judged_at: session.chosen_time().map(show_time),
    };
    output::show(session.format, &taken)
}

async fn take(
    session: &Session,
    trust: &Trust,
    updater: &mut Updater,
    questions: &Questions,
    file: &Path,
) -> Result<Answers, Report> {
    let answers = import(updater, questions, LONGEST_PROOF).await;
    let answers = answers.map_err(|error| {
        let error = BundleError::from(error);
        let hint = "the bundle is about builders, and this repository says nothing about them: export it again without \
                    `--builder`";
        let hint = has_no_catalog(&error).then_some(hint);
        hint.into_iter().fold(failed(session, trust, file, error), Report::hint)
    })?;
    match updater.not_kept().filter(|_| !session.time_is_chosen) {
        Some(error) => Err(Report::io(error).fact("trust", trust.name.as_str()).still("what was imported is not kept")),
        None => Ok(answers),
    }
}

/// Turns a failed export or import into a report.
fn failed(session: &Session, trust: &Trust, file: &Path, error: BundleError) -> Report {
    if let BundleError::Lookup(lookup) = &error
        && let LookupError::Update(error) = &**lookup
    {
        return session.update_failed(trust, error).fact("bundle", show_path(file));
    }
    match error {
        BundleError::NoSuchTarget { path } => not_named(trust, &path),
        error => bad(file, &error).fact("trust", trust.name.as_str()),
    }
}

fn has_no_catalog(error: &BundleError) -> bool {
    matches!(error, BundleError::Lookup(error) if matches!(**error, LookupError::NoCatalog { .. }))
}

fn bad(file: &Path, error: &BundleError) -> Report {
    let refused = match error {
        BundleError::Lookup(error) => error.is_refusal(),
        BundleError::Malformed { .. } | BundleError::Damaged { .. } | BundleError::UnrelatedRoot { .. } => true,
        _ => false,
    };
    let outcome = if refused { Outcome::No } else { Outcome::CouldNotTell };
    let report = Report::new(outcome, error.code(), error.to_string()).fact("bundle", show_path(file));
    match error {
        BundleError::Malformed { .. } => report.still("nothing was taken from it"),
        BundleError::Damaged { .. } => report.still("nothing was taken from it").hint("copy or export it again"),
        BundleError::UnrelatedRoot { .. } => {
            report.hint("name a root of this repository, as the other side has pinned it")
        }
        BundleError::Io(error) => report.hint_by_kind(error.kind()),
        BundleError::Changed => report.hint("another command was at work; run this one again"),
        _ => report,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspected {
    /// Always so: nobody vouches for what a bundle says about itself.
    verified: bool,
    first_root: u64,
    first_root_sha256: String,
    confirmed_at: Option<String>,
    targets: Vec<String>,
    builders: Vec<String>,
    files: Vec<FileLine>,
}

#[derive(Debug, Serialize)]
struct FileLine {
    name: String,
    length: u64,
    sha256: String,
}

impl Show for Inspected {
    fn text(&self) -> String {
        let mut text = "UNVERIFIED: a bundle, by its own account\n".to_owned();
        let _ = writeln!(text, "  pin        root v{}, sha256 {}", self.first_root, Printable(&self.first_root_sha256));
        let _ = writeln!(text, "  confirmed  {}", self.confirmed_at.as_deref().unwrap_or("not known"));
        for target in &self.targets {
            let _ = writeln!(text, "  target     {}", Printable(target));
        }
        for builder in &self.builders {
            let _ = writeln!(text, "  builder    {}", Printable(builder));
        }
        for file in &self.files {
            let _ = writeln!(text, "  file       {} ({} bytes)", Printable(&file.name), file.length);
        }
        text
    }
}

fn inspect(session: &Session, file: &Path) -> Result<(), Report> {
    let bundle = open(file)?;
    let inspected = Inspected {
        verified: false,
        first_root: bundle.first_root().version,
        first_root_sha256: bundle.first_root().sha256.clone(),
        confirmed_at: bundle.confirmed_at().map(show_time),
        targets: bundle.questions().targets.iter().map(|path| path.as_str().to_owned()).collect(),
        builders: bundle.questions().builders.iter().map(|id| id.as_str().to_owned()).collect(),
        files: bundle
            .files()
            .iter()
            .map(|file| FileLine { name: file.name.clone(), length: file.length, sha256: file.sha256.clone() })
            .collect(),
    };
    output::show(session.format, &inspected)
}
