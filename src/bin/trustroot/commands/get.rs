//! `trustroot get`

use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use trustroot::client::{UpdateError, Updater, is_target};
use trustroot::metadata::TargetPath;
use trustroot::trust::FoundTarget;

use crate::args::GetOptions;
use crate::config::Trust;
use crate::freshness::{Currency, heed};
use crate::output::{self, Show};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path, show_time, warn};

/// Longest target that is kept beside the file it is written to, in bytes. A longer one would be written twice, and take
/// its space twice; the file is found again where it was written.
const MOST_KEPT_BESIDES: u64 = 64 << 20;

/// Longest target that is printed, in bytes: it is held in memory until it is verified.
pub(super) const MOST_PRINTED: usize = 256 << 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Got {
    trust: String,
    target: String,
    length: u64,
    hashes: std::collections::BTreeMap<&'static str, String>,
    named_by: String,
    named_by_version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Whether the file was there already, with the right content.
    was_there: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_at: Option<String>,
    #[serde(flatten)]
    currency: Currency,
}

impl Show for Got {
    fn text(&self) -> String {
        let place = self.path.as_deref().unwrap_or("-");
        let verb = if self.was_there { "already there:" } else { "wrote" };
        let judged = self.judged_at.as_ref().map(|time| format!(", judged at {time}")).unwrap_or_default();
        format!(
            "{verb} {place} ({} bytes, named by {} v{} of {}{judged})\n",
            self.length, self.named_by, self.named_by_version, self.trust
        )
    }
}

pub(crate) fn run(session: &Session, options: &GetOptions) -> Result<(), Report> {
    if options.trust.is_none()
        && let Some((path, map)) = session.store()?.map(options.map.as_deref())?
    {
        return super::get_agreed::run(session, options, &path, map);
    }
    let trust = session.trust(options.trust.as_ref())?;
    let printed = options.output.as_deref() == Some(Path::new("-"));
    let path = (!printed).then(|| options.output.clone().unwrap_or_else(|| options.target.file_name().into()));
    let (fetched, currency) = session.block_on(async {
        let mut updater = session.updater(&trust)?;
        let destination = path.as_deref().map(|path| Destination { path, may_replace: options.output.is_some() });
        let most = printed.then_some(MOST_PRINTED);
        let got = target(session, &trust, &mut updater, &options.target, destination, most).await;
        session.note_traffic(updater.traffic());
        let got = got?.ok_or_else(|| not_named(&trust, &options.target))?;
        Ok((got, heed(session, &trust, &updater)))
    })?;
    let (found, was_there) = match fetched {
        Fetched { bytes: Some(bytes), .. } => return output::raw(&bytes),
        Fetched { found, was_there, .. } => (found, was_there),
    };
    let got = Got {
        trust: trust.name.to_string(),
        target: options.target.to_string(),
        length: found.file.length,
        hashes: found.file.hashes.iter().map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest))).collect(),
        named_by: found.role.to_string(),
        named_by_version: found.version.get(),
        path: path.as_deref().map(show_path),
        was_there,
        judged_at: session.chosen_time().map(show_time),
        currency,
    };
    output::show(session.format, &got)
}

/// What to say where no trusted role names a target.
pub(crate) fn not_named(trust: &Trust, target: &TargetPath) -> Report {
    Report::new(Outcome::No, "no-such-target", format!("no trusted role of {} names the target {target}", trust.name))
        .hint("check the spelling; target paths are case-sensitive and relative, such as `dir/file.json`")
}

/// Where a target goes.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(super) path: &'a Path,
    pub(super) may_replace: bool,
}

impl Destination<'_> {
    /// A name that the user did not choose replaces nothing of theirs.
    pub(super) fn refuse_to_replace(&self, found: &FoundTarget) -> Result<(), Report> {
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
pub(super) fn is_kept(found: &FoundTarget, written: bool) -> bool {
    !written || found.file.length <= MOST_KEPT_BESIDES
}

/// A target that was looked up and fetched.
pub(crate) struct Fetched {
    pub(crate) found: FoundTarget,
    /// Its content, where it was fetched into memory.
    pub(crate) bytes: Option<Vec<u8>>,
    was_there: bool,
}

/// Looks a target up and fetches it: to `destination`, or into memory where none is given. One that is longer than
/// `most` bytes is refused before it is fetched.
///
/// It is kept for `--offline` as well, unless the time was chosen or [`is_kept`] says no.
pub(crate) async fn target(
    session: &Session,
    trust: &Trust,
    updater: &mut Updater,
    path: &TargetPath,
    destination: Option<Destination<'_>>,
    most: Option<usize>,
) -> Result<Option<Fetched>, Report> {
    let failed = |error| session.update_failed(trust, &error);
    let spinner = session.progress(format!("looking for {path}"), None);
    let found = updater.find(path).await;
    spinner.finish_and_clear();
    let Some(found) = found.map_err(failed)? else { return Ok(None) };
    if let Some(limit) = most.map(|most| most as u64).filter(|limit| found.file.length > *limit) {
        let (path, length) = (path.clone(), found.file.length);
        return Err(failed(UpdateError::TargetTooLarge { path, length, limit }));
    }

    let progress = session.progress(format!("fetching {path}"), Some(found.file.length));
    let kept = trust.target_file(path);
    let mut copy = Some(kept.as_path());
    if !session.time_is_chosen && !session.offline && is_kept(&found, destination.is_some()) {
        let keep = match fs::create_dir_all(kept.parent().unwrap_or(&kept)) {
            Ok(()) => updater.download(&found, &kept, None, |so_far| progress.set_position(so_far)).await.map(drop),
            Err(error) => Err(error.into()),
        };
        match keep {
            // A home that is full, or may not be written, does not make the answer wrong.
            Err(UpdateError::Io(error)) => {
                warn(&format!("the target cannot be kept for `--offline`: {error}"));
                copy = None;
            }
            other => other.map_err(failed)?,
        }
    }
    let (bytes, was_there) = match destination {
        Some(destination) => {
            destination.refuse_to_replace(&found)?;
            let copied = updater.download(&found, destination.path, copy, |so_far| progress.set_position(so_far));
            (None, copied.await.map_err(failed)?.was_there)
        }
        None => (Some(updater.target_bytes(&found, copy).await.map_err(failed)?), false),
    };
    progress.finish_and_clear();
    Ok(Some(Fetched { found, bytes, was_there }))
}
