//! `trustroot get` where a map says which repositories must agree about a target (TAP 4)

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use serde_json::{Value, json};
use trustroot::client::{Agreed, ConsensusError, MultiRepository, RepositoryMap, UpdateError, is_target};
use trustroot::trust::FoundTarget;

use super::get::{Destination, MOST_PRINTED, is_kept};
use crate::args::GetOptions;
use crate::config::Trust;
use crate::freshness::heed;
use crate::output::{self, Show};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path, show_time, warn};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GotAgreed {
    map: String,
    target: String,
    length: u64,
    hashes: BTreeMap<&'static str, String>,
    threshold: usize,
    /// The repositories that agree, and the role of each that names the target.
    agreed_by: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    was_there: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_at: Option<String>,
    #[serde(skip)]
    by: String,
}

impl Show for GotAgreed {
    fn text(&self) -> String {
        let place = self.path.as_deref().unwrap_or("-");
        let verb = if self.was_there { "already there:" } else { "wrote" };
        let judged = self.judged_at.as_ref().map(|time| format!(", judged at {time}")).unwrap_or_default();
        format!("{verb} {place} ({} bytes, {} of {} needed{judged})\n", self.length, self.by, self.threshold)
    }
}

pub(super) fn run(session: &Session, options: &GetOptions, map_path: &Path, map: RepositoryMap) -> Result<(), Report> {
    let trusts = session.store()?.load_mapped(map_path, &map)?;
    let mut updaters = BTreeMap::new();
    for trust in &trusts {
        updaters.insert(trust.name.to_string(), session.updater(trust)?);
    }
    let failed = |error: ConsensusError| report(session, &trusts, map_path, error);
    let mut repositories = MultiRepository::new(map, updaters).map_err(failed)?;
    let printed = options.output.as_deref() == Some(Path::new("-"));
    let path = (!printed).then(|| options.output.clone().unwrap_or_else(|| options.target.file_name().into()));

    let fetched = session.block_on(async {
        let spinner = session.progress(format!("looking for {}", options.target), None);
        let agreed = repositories.find(&options.target).await;
        spinner.finish_and_clear();
        let agreed = agreed.map_err(failed)?;
        if printed && agreed.found.file.length > MOST_PRINTED as u64 {
            let (path, length, limit) = (options.target.clone(), agreed.found.file.length, MOST_PRINTED as u64);
            let source = Box::new(UpdateError::TargetTooLarge { path, length, limit });
            let name = agreed.by[0].0.clone();
            return Err(failed(ConsensusError::Repository { name, source }));
        }
        if let Some(path) = path.as_deref() {
            Destination { path, may_replace: options.output.is_some() }.refuse_to_replace(&agreed.found)?;
        }
        let progress = session.progress(format!("fetching {}", options.target), Some(agreed.found.file.length));
        let advance = |so_far| progress.set_position(so_far);
        let kept = keep(session, &trusts, &mut repositories, &agreed, path.is_some(), advance).await;
        let kept = kept.map_err(failed)?;
        let (bytes, was_there) = match path.as_deref() {
            Some(path) => {
                let copied = repositories.download(&agreed, path, kept.as_deref(), advance).await;
                (None, copied.map_err(failed)?.was_there)
            }
            None => (Some(repositories.target_bytes(&agreed, kept.as_deref()).await.map_err(failed)?), false),
        };
        progress.finish_and_clear();
        Ok((agreed, bytes, was_there))
    });
    let mut currency = BTreeMap::new();
    for trust in &trusts {
        let updater = &repositories.updaters()[trust.name.as_str()];
        session.note_traffic(updater.traffic());
        if updater.trusted().is_some() {
            currency.insert(trust.name.to_string(), heed(session, trust, updater));
        }
    }
    let (agreed, bytes, was_there) = fetched?;
    if let Some(bytes) = bytes {
        return output::raw(&bytes);
    }
    let agreed_by = agreed.by.iter().map(|(name, found)| {
        let mut said = json!(currency.get(name));
        said["trust"] = json!(name);
        said["namedBy"] = json!(found.role.to_string());
        said["version"] = json!(found.version.get());
        said
    });
    let names: Vec<&str> = agreed.by.iter().map(|(name, _)| name.as_str()).collect();
    let by = match names.as_slice() {
        [one] => format!("named by {one}, 1"),
        several => format!("agreed on by {}, {}", several.join(" and "), several.len()),
    };
    output::show(
        session.format,
        &GotAgreed {
            map: show_path(map_path),
            target: options.target.to_string(),
            length: agreed.found.file.length,
            hashes: hashes(&agreed.found),
            threshold: agreed.threshold,
            agreed_by: agreed_by.collect(),
            path: path.as_deref().map(show_path),
            was_there,
            judged_at: session.chosen_time().map(show_time),
            by,
        },
    )
}

/// Keeps the target for `--offline` with the first repository that agrees about it, and returns where it is kept.
async fn keep(
    session: &Session,
    trusts: &[Trust],
    repositories: &mut MultiRepository,
    agreed: &Agreed,
    written: bool,
    progress: impl FnMut(u64),
) -> Result<Option<std::path::PathBuf>, ConsensusError> {
    let agreeing = |trust: &&Trust| agreed.by.iter().any(|(name, _)| name == trust.name.as_str());
    let files = || trusts.iter().filter(agreeing).map(|trust| trust.target_file(&agreed.found.path));
    // What cannot be read is as good as not kept.
    if let Some(kept) = files().find(|file| is_target(file, &agreed.found).unwrap_or_default()) {
        return Ok(Some(kept));
    }
    let keeps = !session.time_is_chosen && !session.offline && is_kept(&agreed.found, written);
    let Some(file) = files().next().filter(|_| keeps) else { return Ok(None) };
    let kept = match fs::create_dir_all(file.parent().unwrap_or(&file)) {
        Ok(()) => repositories.download(agreed, &file, None, progress).await,
        Err(error) => Err(ConsensusError::Repository { name: String::new(), source: Box::new(error.into()) }),
    };
    match kept {
        Ok(_) => Ok(Some(file)),
        // A home that is full, or may not be written, does not make the answer wrong.
        Err(ConsensusError::Repository { source, .. }) if matches!(*source, UpdateError::Io(_)) => {
            warn(&format!("the target cannot be kept for `--offline`: {source}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn hashes(found: &FoundTarget) -> BTreeMap<&'static str, String> {
    found.file.hashes.iter().map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest))).collect()
}

fn report(session: &Session, trusts: &[Trust], map_path: &Path, error: ConsensusError) -> Report {
    let (code, headline) = (error.code(), error.to_string());
    let outcome = if error.is_refusal() { Outcome::No } else { Outcome::CouldNotTell };
    let report = match error {
        ConsensusError::Repository { name, source } => match trusts.iter().find(|trust| trust.name.as_str() == name) {
            Some(trust) => session.update_failed(trust, &source),
            None => Report::new(outcome, code, headline),
        },
        ConsensusError::Disagree { said, .. } => {
            let mut report = Report::new(outcome, code, headline);
            for (name, found) in said {
                let what = found.map_or_else(
                    || "does not name it".to_owned(),
                    |found| {
                        let hashes: Vec<String> =
                            hashes(&found).iter().map(|(name, digest)| format!("{name} {digest}")).collect();
                        format!("{} bytes, {}", found.file.length, hashes.join(", "))
                    },
                );
                report = report.fact(name, what);
            }
            report.still("nothing was fetched").hint(
                "one repository may be behind: try again later; if it stays, one of them may have been tampered with: \
                 do not take the file from either, tell their maintainers",
            )
        }
        ConsensusError::SameRepository { .. } => Report::new(outcome, code, headline)
            .hint("one repository cannot vouch twice; leave one of the names out of the map"),
        ConsensusError::NotMapped { .. } => Report::new(outcome, code, headline)
            .hint("add a mapping that covers it, or name one repository with `--trust NAME`"),
        _ => Report::new(outcome, code, headline),
    };
    report.fact("map", show_path(map_path))
}
