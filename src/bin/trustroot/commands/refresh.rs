//! `trustroot refresh`

use std::fmt::Write as _;

use serde::Serialize;

use super::RoleLine;
use crate::args::RefreshOptions;
use crate::config::Trust;
use crate::output::{self, Show};
use crate::report::{Report, update_failed};
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
    let names = match &options.name {
        Some(name) => vec![name.clone()],
        None => session.store.names()?,
    };
    if names.is_empty() {
        return Err(session.store.nothing());
    }
    let mut trusts = Vec::new();
    for name in names {
        let trust = session.store.load(&name)?;
        trusts.push(block_on(refresh(session, &trust))?);
    }
    let judged_at = session.chosen_time().map(show_time);
    output::show(session.format, &Refreshed { trusts, judged_at })
}

async fn refresh(session: &Session, trust: &Trust) -> Result<RefreshedTrust, Report> {
    let mut updater = session.updater(trust)?;
    let progress = session.progress(format!("refreshing {} from {}", trust.name, trust.metadata_url), None);
    let refreshed = updater.refresh().await.map(drop);
    progress.finish_and_clear();
    session.note_traffic(updater.traffic());
    refreshed.map_err(|error| update_failed(trust.name.as_str(), &error))?;
    let (traffic, kept) = (updater.traffic(), updater.kept().to_vec());
    let trusted = updater.refresh().await.map_err(|error| update_failed(trust.name.as_str(), &error))?;
    Ok(RefreshedTrust {
        name: trust.name.to_string(),
        url: trust.metadata_url.to_string(),
        roles: RoleLine::top_level(trusted, &kept),
        requests: traffic.requests,
        bytes: traffic.bytes,
    })
}
