//! `trustroot refresh`

use std::fmt::Write as _;

use serde::Serialize;
use trustroot::client::Updater;
use trustroot::trust::TrustedSet;

use super::RoleLine;
use super::changes::describe;
use crate::args::RefreshOptions;
use crate::config::{Trust, TrustName};
use crate::freshness::{Currency, heed};
use crate::output::{self, Show};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_time, warn};

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
    #[serde(flatten)]
    currency: Currency,
}

impl Show for Refreshed {
    fn text(&self) -> String {
        let mut text = String::new();
        for trust in &self.trusts {
            let roles: Vec<String> =
                trust.roles.iter().map(|role| format!("{} v{}", role.role, role.version)).collect();
            let verb = match &self.judged_at {
                Some(time) => format!("judged at {time}, nothing kept"),
                None if trust.currency.unreachable.is_some() => "NOT refreshed, what is kept is used".to_owned(),
                None if trust.currency.not_kept.is_some() => "verified, NOT kept".to_owned(),
                None if trust.roles.iter().any(|role| role.new) => "refreshed".to_owned(),
                None => "up to date".to_owned(),
            };
            let soonest = trust.roles.iter().map(|role| role.expires.as_str()).min().unwrap_or_default();
            let until = trust.currency.until(soonest);
            let _ = writeln!(text, "{}: {verb}: {}; {until}", trust.name, roles.join(", "));
        }
        text
    }
}

pub(crate) fn run(session: &Session, options: &RefreshOptions) -> Result<(), Report> {
    if options.watch.watch {
        return super::watch::run(session, options);
    }
    let names = session.trust_names(options.name.as_ref())?;
    // One repository that fails does not keep the others from being refreshed.
    let (mut trusts, mut failed) = (Vec::new(), Vec::new());
    for name in &names {
        match session.block_on(refresh_named(session, name)) {
            Ok(trust) => {
                failed.extend(trust.currency.not_kept.as_ref().map(|reason| not_kept(name, reason)));
                trusts.push(trust);
            }
            Err(report) => failed.push(report),
        }
    }
    let refreshed = Refreshed { trusts, judged_at: session.chosen_time().map(show_time) };
    output::show_with_failures(session.format, &refreshed, failed)
}

/// A refresh is there to keep what it finds.
fn not_kept(name: &TrustName, reason: &str) -> Report {
    Report::new(Outcome::CouldNotTell, "not-kept", format!("what was accepted of {name} cannot be kept: {reason}"))
        .fact("trust", name.as_str())
        .still("what was kept before is as it was")
        .hint("make room, or see to it that the home can be written; then run the command again")
        .hint("where the home is meant to be read only, use `--offline`")
}

async fn refresh_named(session: &Session, name: &TrustName) -> Result<RefreshedTrust, Report> {
    let trust = session.store()?.load(name)?;
    let mut updater = session.updater(&trust)?;
    let progress = session.progress(format!("refreshing {name} from {}", trust.metadata_url), None);
    let refreshed = refresh(session, &trust, &mut updater).await;
    drop(progress);
    session.note_traffic(updater.traffic());
    let refreshed = refreshed?;
    for failed in &refreshed.not_refreshed {
        warn(&format!("{name}: not refreshed: {failed}"));
    }
    let traffic = updater.traffic();
    Ok(RefreshedTrust {
        name: name.to_string(),
        url: trust.metadata_url.to_string(),
        roles: RoleLine::top_level(&refreshed.trusted, updater.kept()),
        requests: traffic.requests,
        bytes: traffic.bytes,
        currency: heed(session, &trust, &updater),
    })
}

/// What a refresh brought.
pub(super) struct Brought {
    pub(super) trusted: TrustedSet,
    /// The builders and verifiers that could not be looked up again, and why.
    pub(super) not_refreshed: Vec<String>,
}

/// Refreshes the top-level roles, then the documents of builders and verifiers that were looked up on this machine
/// before. That one of these cannot be had fails the look-ups that need it, and not the refresh.
pub(super) async fn refresh(session: &Session, trust: &Trust, updater: &mut Updater) -> Result<Brought, Report> {
    let trusted = updater.refresh().await.cloned().map_err(|error| session.update_failed(trust, &error))?;
    let mut not_refreshed = Vec::new();
    // Where nobody can be asked, what is kept of them is what there is.
    let can_be_asked = !session.offline && updater.freshness().unreachable.is_none();
    if can_be_asked && !session.time_is_chosen {
        match updater.refresh_documents().await {
            Ok(failed) => {
                not_refreshed.extend(failed.iter().map(|(subject, error)| format!("{}: {error}", describe(subject))));
            }
            Err(error) => not_refreshed.push(error.to_string()),
        }
    }
    Ok(Brought { trusted, not_refreshed })
}
