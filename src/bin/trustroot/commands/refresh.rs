//! `trustroot refresh`

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use super::RoleLine;
use crate::args::{Format, RefreshOptions};
use crate::config::TrustName;
use crate::output::{self, Show};
use crate::report::Report;
use crate::ui::{Session, block_on, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refreshed {
    trusts: Vec<RefreshedTrust>,
    /// The time that was chosen instead of now; nothing was kept then.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_at: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RefreshedTrust {
    name: String,
    url: String,
    roles: Vec<RoleLine>,
    requests: u64,
    bytes: u64,
}

impl Show for Refreshed {
    fn text(&self) -> String {
        let mut text = String::new();
        for trust in &self.trusts {
            let roles: Vec<String> =
                trust.roles.iter().map(|role| format!("{} v{}", role.role, role.version)).collect();
            let verb = match &self.judged_at {
                Some(time) => format!("judged at {time}, nothing kept"),
                None if trust.roles.iter().any(|role| role.new) => "refreshed".to_owned(),
                None => "up to date".to_owned(),
            };
            let soonest = trust.roles.iter().map(|role| role.expires.as_str()).min().unwrap_or_default();
            let _ = writeln!(text, "{}: {verb}: {}; good until {soonest}", trust.name, roles.join(", "));
        }
        text
    }
}

pub(crate) fn run(session: &Session, options: &RefreshOptions) -> Result<(), Report> {
    let store = session.store()?;
    let names = match &options.name {
        Some(name) => vec![name.clone()],
        None => store.names()?,
    };
    if names.is_empty() {
        return Err(store.nothing());
    }
    // One repository that fails does not keep the others from being refreshed.
    let (mut trusts, mut failed) = (Vec::new(), Vec::new());
    for name in &names {
        match block_on(refresh(session, name)) {
            Ok(trust) => trusts.push(trust),
            Err(report) => failed.push(report),
        }
    }
    let refreshed = Refreshed { trusts, judged_at: session.chosen_time().map(show_time) };
    let Some(last) = failed.pop() else { return output::show(session.format, &refreshed) };
    let report = failed.iter().fold(last, |report, other| report.fact("also", other.headline()));
    match session.format {
        Format::Json => Err(report.partial(json!(refreshed))),
        Format::Text => {
            output::show(session.format, &refreshed)?;
            Err(report)
        }
    }
}

async fn refresh(session: &Session, name: &TrustName) -> Result<RefreshedTrust, Report> {
    let trust = session.store()?.load(name)?;
    let mut updater = session.updater(&trust)?;
    let progress = session.progress(format!("refreshing {name} from {}", trust.metadata_url), None);
    let refreshed = updater.refresh().await.cloned();
    progress.finish_and_clear();
    session.note_update(&updater);
    let trusted = refreshed.map_err(|error| session.update_failed(&trust, &error))?;
    let traffic = updater.traffic();
    Ok(RefreshedTrust {
        name: name.to_string(),
        url: trust.metadata_url.to_string(),
        roles: RoleLine::top_level(&trusted, updater.kept()),
        requests: traffic.requests,
        bytes: traffic.bytes,
    })
}
