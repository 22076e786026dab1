//! `trustroot get`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::client::{Agreed, ConsensusError, UpdateError, is_target};
use trustroot::metadata::TargetPath;
use trustroot::trust::FoundTarget;

use crate::args::GetOptions;
use crate::asked::{Asked, Heeded, others_json};
use crate::freshness::Currency;
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, note, show_path, show_time, warn};

/// Longest target that is kept beside the file it is written to, in bytes. A longer one would be written twice, and take
/// its space twice; the file is found again where it was written.
const MOST_KEPT_BESIDES: u64 = 64 << 20;

/// Longest target that is printed, in bytes: it is held in memory until it is verified.
const MOST_PRINTED: usize = 256 << 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Got {
    target: String,
    length: u64,
    hashes: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    whose: Whose,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<ShownPath>,
    /// Whether the file was there already, with the right content.
    was_there: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_at: Option<String>,
}

/// Who names the target.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Whose {
    #[serde(rename_all = "camelCase")]
    One {
        trust: String,
        named_by: String,
        named_by_version: u64,
        #[serde(flatten)]
        currency: Currency,
    },
    #[serde(rename_all = "camelCase")]
    Several {
        map: ShownPath,
        threshold: usize,
        /// The repositories that agree, and the role of each that names the target.
        agreed_by: Vec<Value>,
        others: Value,
        #[serde(skip)]
        names: Vec<String>,
    },
}

impl Whose {
    fn of(asked: &Asked, agreed: &Agreed, heeded: &Heeded) -> Self {
        let Some(map) = asked.map() else {
            let (trust, found) = &agreed.by[0];
            return Self::One {
                trust: trust.clone(),
                named_by: found.role.as_str().to_owned(),
                named_by_version: found.version.get(),
                currency: heeded.of(trust).cloned().unwrap_or_default(),
            };
        };
        let agreed_by = agreed.by.iter().map(|(name, found)| {
            let mut said = json!(heeded.of(name));
            said["trust"] = json!(name);
            said["namedBy"] = json!(found.role.as_str());
            said["version"] = json!(found.version.get());
            said
        });
        Self::Several {
            map,
            threshold: agreed.threshold,
            agreed_by: agreed_by.collect(),
            others: others_json(agreed),
            names: agreed.by.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::One { trust, named_by, named_by_version, .. } => {
                format!("named by {} v{named_by_version} of {trust}", Printable(named_by))
            }
            Self::Several { names, threshold, .. } => match names.as_slice() {
                [one] => format!("named by {one}, 1 of {threshold} needed"),
                several => format!("agreed on by {}, {} of {threshold} needed", several.join(" and "), several.len()),
            },
        }
    }
}

impl Show for Got {
    fn text(&self) -> String {
        let place = self.path.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let verb = if self.was_there { "already there:" } else { "wrote" };
        let judged = self.judged_at.as_ref().map(|time| format!(", judged at {time}")).unwrap_or_default();
        format!("{verb} {place} ({} bytes, {}{judged})\n", self.length, self.whose.text())
    }
}

pub(crate) fn run(session: &Session, options: &GetOptions) -> Result<(), Report> {
    let mut asked = Asked::of(session, options.trust.as_ref(), options.map.as_deref())?;
    let printed = options.output.as_deref() == Some(Path::new("-"));
    let path = (!printed).then(|| options.output.clone().unwrap_or_else(|| options.target.file_name().into()));
    let destination = path.as_deref().map(|path| Destination { path, may_replace: options.output.is_some() });
    let most = printed.then_some(MOST_PRINTED);
    let fetched = session.block_on(target(session, &mut asked, &options.target, destination, most));
    asked.note_traffic(session);
    let fetched = fetched?;
    let heeded = asked.heed(session, &[&fetched.agreed]);
    if let Some(bytes) = fetched.bytes {
        if let Some(time) = session.chosen_time() {
            note(&format!("judged at {}, chosen with --at", show_time(time)));
        }
        return output::raw(&bytes);
    }
    let file = &fetched.agreed.found.file;
    let got = Got {
        target: options.target.as_str().to_owned(),
        length: file.length,
        hashes: file.hashes.iter().map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest))).collect(),
        whose: Whose::of(&asked, &fetched.agreed, &heeded),
        path: path.as_deref().map(ShownPath::of),
        was_there: fetched.was_there,
        judged_at: session.chosen_time().map(show_time),
    };
    output::show(session.format, &got)
}

/// Where a target goes.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    path: &'a Path,
    may_replace: bool,
}

impl Destination<'_> {
    /// A name that the user did not choose replaces nothing of theirs.
    fn refuse_to_replace(&self, found: &FoundTarget) -> Result<(), Report> {
        let there = !self.may_replace && self.path.symlink_metadata().is_ok();
        if !there || is_target(self.path, found).map_err(|error| Report::io(&error))? {
            return Ok(());
        }
        let headline = format!("`{}` exists and is something else", show_path(self.path));
        Err(Report::new(Outcome::WrongQuestion, "file-exists", headline)
            .still("nothing was written")
            .hint("name the file with `--output` to replace it"))
    }
}

/// Whether a target is kept for `--offline`, given whether it is written to a file of the user's.
fn is_kept(found: &FoundTarget, written: bool) -> bool {
    !written || found.file.length <= MOST_KEPT_BESIDES
}

/// A target that was looked up and fetched.
pub(super) struct Fetched {
    pub(super) agreed: Agreed,
    /// Its content, where it was fetched into memory.
    pub(super) bytes: Option<Vec<u8>>,
    was_there: bool,
}

/// Looks a target up and fetches it: to `destination`, or into memory where none is given. One that is longer than
/// `most` bytes is refused before it is fetched.
///
/// It is kept for `--offline` as well, unless the time was chosen or [`is_kept`] says no.
pub(super) async fn target(
    session: &Session,
    asked: &mut Asked,
    path: &TargetPath,
    destination: Option<Destination<'_>>,
    most: Option<usize>,
) -> Result<Fetched, Report> {
    let spinner = session.progress(format!("looking for {path}"), None);
    let found = asked.repositories.find(path).await;
    drop(spinner);
    let agreed = found.map_err(|error| asked.failed(session, &error))?;
    let length = agreed.found.file.length;
    if let Some(limit) = most.map(|most| most as u64).filter(|limit| length > *limit) {
        let error = UpdateError::TargetTooLarge { path: path.clone(), length, limit };
        return Err(asked.failed(session, &error.into()));
    }
    if let Some(destination) = destination {
        destination.refuse_to_replace(&agreed.found)?;
    }
    let progress = session.progress(format!("fetching {path}"), Some(length));
    let mut not_kept = None;
    let fetched =
        fetch(session, asked, &agreed, destination, &mut not_kept, |so_far| progress.set_position(so_far)).await;
    drop(progress);
    if let Some(error) = not_kept {
        warn(&format!("the target cannot be kept for `--offline`: {error}"));
    }
    let (bytes, was_there) = fetched.map_err(|error| asked.failed(session, &error))?;
    Ok(Fetched { agreed, bytes, was_there })
}

async fn fetch(
    session: &Session,
    asked: &mut Asked,
    agreed: &Agreed,
    destination: Option<Destination<'_>>,
    not_kept: &mut Option<std::io::Error>,
    mut progress: impl FnMut(u64),
) -> Result<(Option<Vec<u8>>, bool), ConsensusError> {
    let kept = keep(session, asked, agreed, destination.is_some(), not_kept, &mut progress).await?;
    match destination {
        Some(destination) => {
            let copied = asked.repositories.download(agreed, destination.path, kept.as_deref(), progress).await?;
            Ok((None, copied.was_there))
        }
        None => Ok((Some(asked.repositories.target_bytes(agreed, kept.as_deref()).await?), false)),
    }
}

/// Keeps the target for `--offline` with the first repository that agrees about it, unless one has it already. Returns
/// where it is kept.
async fn keep(
    session: &Session,
    asked: &mut Asked,
    agreed: &Agreed,
    written: bool,
    not_kept: &mut Option<std::io::Error>,
    progress: impl FnMut(u64),
) -> Result<Option<PathBuf>, ConsensusError> {
    let files = asked.kept_files(agreed);
    // What cannot be read is as good as not kept.
    if let Some(kept) = files.iter().find(|file| is_target(file, &agreed.found).unwrap_or_default()) {
        return Ok(Some(kept.clone()));
    }
    let keeps = !session.time_is_chosen && !session.offline && is_kept(&agreed.found, written);
    let Some(file) = files.first().filter(|_| keeps) else { return Ok(None) };
    let kept = match fs::create_dir_all(file.parent().unwrap_or(file)) {
        Ok(()) => asked.repositories.download(agreed, file, None, progress).await,
        Err(error) => Err(UpdateError::from(error).into()),
    };
    match kept {
        Ok(_) => Ok(Some(file.clone())),
        // A home that is full, or may not be written, does not make the answer wrong.
        Err(ConsensusError::Local(UpdateError::Io(error))) => {
            *not_kept = Some(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
