//! `trustroot get`

use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use trustroot::client::{UpdateError, Updater, is_target};
use trustroot::metadata::TargetPath;
use trustroot::trust::FoundTarget;

use crate::args::GetOptions;
use crate::config::Trust;
use crate::output::{self, Show};
use crate::report::{Outcome, Report};
use crate::ui::{Session, block_on, show_path, show_time};

/// Longest target that is printed, in bytes: it is held in memory until it is verified.
const MOST_PRINTED: usize = 256 << 20;

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
    let trust = session.trust(options.trust.as_ref())?;
    let printed = options.output.as_deref() == Some(Path::new("-"));
    let path = (!printed).then(|| options.output.clone().unwrap_or_else(|| options.target.file_name().into()));
    let fetched = block_on(async {
        let mut updater = session.updater(&trust)?;
        // A name that the user did not choose replaces nothing of theirs.
        let destination = path.as_deref().map(|path| Destination { path, may_replace: options.output.is_some() });
        let most = printed.then_some(MOST_PRINTED);
        let got = target(session, &trust, &mut updater, &options.target, destination, most).await;
        session.note_update(&updater);
        got?.ok_or_else(|| not_named(&trust, &options.target))
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
    path: &'a Path,
    may_replace: bool,
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
/// It is kept for `--offline` as well, unless the time was chosen.
pub(crate) async fn target(
    session: &Session,
    trust: &Trust,
    updater: &mut Updater,
    path: &TargetPath,
    destination: Option<Destination<'_>>,
    most: Option<usize>,
) -> Result<Option<Fetched>, Report> {
    let failed = |error| session.update_failed(trust, &error);
    let io = |error: std::io::Error| Report::io(&error);
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
    if !session.time_is_chosen && !session.offline {
        fs::create_dir_all(kept.parent().unwrap_or(&kept)).map_err(io)?;
        let fetched = updater.download(&found, &kept, None, |so_far| progress.set_position(so_far)).await;
        fetched.map_err(failed)?;
    }
    let (bytes, was_there) = match destination {
        Some(Destination { path, may_replace }) => {
            if !may_replace && path.symlink_metadata().is_ok() && !is_target(path, &found).map_err(io)? {
                return Err(Report::new(
                    Outcome::WrongQuestion,
                    "file-exists",
                    format!("`{}` exists and is something else", show_path(path)),
                )
                .still("nothing was written")
                .hint("name the file with `--output` to replace it"));
            }
            let copied = updater.download(&found, path, Some(&kept), |so_far| progress.set_position(so_far));
            (None, copied.await.map_err(failed)?.was_there)
        }
        None => (Some(updater.target_bytes(&found, Some(&kept)).await.map_err(failed)?), false),
    };
    progress.finish_and_clear();
    Ok(Some(Fetched { found, bytes, was_there }))
}
