//! `trustroot get`

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;
use trustroot::client::Updater;
use trustroot::metadata::TargetPath;
use trustroot::trust::FoundTarget;

use crate::args::GetOptions;
use crate::config::Trust;
use crate::output::{self, Show};
use crate::report::{Outcome, Report, update_failed};
use crate::ui::{Session, block_on, show_time};

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
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_at: Option<String>,
}

impl Show for Got {
    fn text(&self) -> String {
        let place = self.path.as_deref().unwrap_or(Path::new("-")).display();
        let judged = self.judged_at.as_ref().map(|time| format!(", judged at {time}")).unwrap_or_default();
        format!(
            "wrote {place} ({} bytes, named by {} v{} of {}{judged})\n",
            self.length, self.named_by, self.named_by_version, self.trust
        )
    }
}

pub(crate) fn run(session: &Session, options: &GetOptions) -> Result<(), Report> {
    let trust = session.trust(options.trust.as_ref())?;
    let printed = options.output.as_deref() == Some(Path::new("-"));
    let path = (!printed).then(|| options.output.clone().unwrap_or_else(|| options.target.file_name().into()));
    let (found, bytes) = block_on(async {
        let mut updater = session.updater(&trust)?;
        let got = target(session, &trust, &mut updater, &options.target, path.as_deref()).await;
        session.note_traffic(updater.traffic());
        got?.ok_or_else(|| not_named(&trust, &options.target))
    })?;
    if let Some(bytes) = bytes {
        return output::raw(&bytes);
    }
    let got = Got {
        trust: trust.name.to_string(),
        target: options.target.to_string(),
        length: found.file.length,
        hashes: found.file.hashes.iter().map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest))).collect(),
        named_by: found.role.to_string(),
        named_by_version: found.version.get(),
        path,
        judged_at: session.chosen_time().map(show_time),
    };
    output::show(session.format, &got)
}

/// What to say where no trusted role names a target.
pub(crate) fn not_named(trust: &Trust, target: &TargetPath) -> Report {
    Report::new(Outcome::No, "no-such-target", format!("no trusted role of {} names the target {target}", trust.name))
        .hint("check the spelling; target paths are case-sensitive and relative, such as `dir/file.json`")
}

/// Looks a target up and fetches it: to `destination`, or into memory where none is given.
///
/// It is kept for `--offline` as well, unless the time was chosen.
pub(crate) async fn target(
    session: &Session,
    trust: &Trust,
    updater: &mut Updater,
    path: &TargetPath,
    destination: Option<&Path>,
) -> Result<Option<(FoundTarget, Option<Vec<u8>>)>, Report> {
    let failed = |error| update_failed(trust.name.as_str(), &error);
    let io = |error: std::io::Error| Report::io(&error);
    let spinner = session.progress(format!("looking for {path}"), None);
    let found = updater.find(path).await;
    spinner.finish_and_clear();
    let Some(found) = found.map_err(failed)? else { return Ok(None) };

    let progress = session.progress(format!("fetching {path}"), Some(found.file.length));
    let kept = trust.target_file(path);
    if !session.time_is_chosen {
        fs::create_dir_all(kept.parent().unwrap_or(&kept)).map_err(io)?;
        let fetched = updater.download(&found, &kept, None, |so_far| progress.set_position(so_far)).await;
        fetched.map_err(failed)?;
    }
    let bytes = match destination {
        Some(destination) => {
            let copied = updater.download(&found, destination, Some(&kept), |so_far| progress.set_position(so_far));
            copied.await.map_err(failed)?;
            None
        }
        None => Some(updater.target_bytes(&found, Some(&kept)).await.map_err(failed)?),
    };
    progress.finish_and_clear();
    Ok(Some((found, bytes)))
}
