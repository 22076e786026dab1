//! `trustroot status`

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use trustroot::Printable;
use trustroot::client::{KeptRole, UpdateError, Updater};
use trustroot::metadata::{Document, Expires, RoleName, Version};
use trustroot::trust::{Refusal, TrustedSet, UpdateStart, Verified};

use crate::args::StatusOptions;
use crate::config::{PinnedBy, Trust, TrustName};
use crate::freshness::note_first_use;
use crate::output::{self, Show};
use crate::report::{Outcome, Report, clock_was_ahead};
use crate::ui::{Session, judge_kept, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    trusts: Vec<TrustStatus>,
    judged_at: String,
    #[serde(skip)]
    time_is_chosen: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustStatus {
    name: String,
    roles: Vec<RoleStatus>,
    /// When the repository confirmed all of this last.
    confirmed_at: Option<String>,
    /// How long ago that was, in seconds.
    age_seconds: Option<i64>,
    /// How long ago it may be, in seconds.
    max_age_seconds: Option<u64>,
    /// How the root was pinned, where nobody checked it.
    #[serde(skip_serializing_if = "PinnedBy::is_given")]
    pinned_by: PinnedBy,
    /// Why each look-up verifies all of a large document again.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_indexed: Option<String>,
    problems: Vec<Problem>,
    /// Whether it cannot be looked at.
    #[serde(skip)]
    unusable: bool,
}

impl TrustStatus {
    /// Of a repository that cannot be looked at.
    fn unknown(name: &TrustName, report: &Report) -> Self {
        let (code, message) = (report.code(), report.headline().to_owned());
        Self {
            name: name.to_string(),
            roles: Vec::new(),
            confirmed_at: None,
            age_seconds: None,
            max_age_seconds: None,
            pinned_by: PinnedBy::Given,
            not_indexed: None,
            problems: vec![Problem { code, message, outcome: report.outcome() }],
            unusable: true,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleStatus {
    role: String,
    /// Who delegates to it; none for a top-level role.
    #[serde(skip_serializing_if = "Option::is_none")]
    delegated_by: Option<String>,
    version: u64,
    expires: String,
    /// Negative where it has expired.
    expires_in_seconds: i64,
}

/// What is not as it should be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    code: &'static str,
    message: String,
    #[serde(skip)]
    outcome: Outcome,
}

/// What `status` itself finds; whatever an update refuses has the code of the refusal.
enum Finding {
    Expired,
    ExpiresSoon,
    TooStale,
    ClockWentBack,
}

impl Finding {
    fn code(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::ExpiresSoon => "expires-soon",
            Self::TooStale => "too-stale",
            Self::ClockWentBack => "clock-went-back",
        }
    }
}

/// Most roles of a repository that are shown as text.
const MOST_SHOWN: usize = 24;

impl Show for Status {
    fn text(&self) -> String {
        let mut text = String::new();
        for trust in &self.trusts {
            let state = match (&trust.confirmed_at, trust.age_seconds, trust.roles.is_empty()) {
                (_, _, true) => "nothing is kept that could be trusted".to_owned(),
                (Some(at), Some(age), _) => format!("confirmed {at}, {}", ago(age)),
                _ => "it is not known when this was confirmed".to_owned(),
            };
            let _ = writeln!(text, "{}: {state}", trust.name);
            for role in trust.roles.iter().take(MOST_SHOWN) {
                let left = if role.expires_in_seconds < 0 {
                    format!("expired {}", ago(-role.expires_in_seconds))
                } else {
                    format!("for another {}", span(role.expires_in_seconds))
                };
                let (name, version) = (Printable(&role.role).to_string(), format!("v{}", role.version));
                let by = role
                    .delegated_by
                    .as_ref()
                    .map(|by| format!(", delegated by {}", Printable(by)))
                    .unwrap_or_default();
                let _ = writeln!(text, "  {name:9}  {version:5}  until {}, {left}{by}", role.expires);
            }
            if let Some(more) = trust.roles.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
                let _ = writeln!(text, "  and {more} more, which expire no earlier");
            }
            if let Some(reason) = &trust.not_indexed {
                let _ = writeln!(text, "  note: look-ups are slow, as each verifies all of a large document: {reason}");
            }
            for problem in &trust.problems {
                let _ = writeln!(text, "  {}: {}", problem.code, problem.message);
            }
        }
        if self.time_is_chosen {
            let _ = writeln!(text, "judged at {} (chosen with --at)", self.judged_at);
        }
        text
    }
}

fn ago(seconds: i64) -> String {
    if seconds < 0 { "which is in the future".to_owned() } else { format!("{} ago", span(seconds)) }
}

/// A time in its largest unit, rounded down.
fn span(seconds: i64) -> String {
    let (number, unit) = match seconds {
        172_800.. => (seconds / 86_400, "days"),
        7200.. => (seconds / 3600, "hours"),
        120.. => (seconds / 60, "minutes"),
        _ => (seconds, "seconds"),
    };
    format!("{number} {unit}")
}

pub(crate) fn run(session: &Session, options: &StatusOptions) -> Result<(), Report> {
    let names = session.trust_names(options.name.as_ref())?;
    let mut trusts = Vec::new();
    for name in &names {
        trusts.push(match session.block_on(status_of(session, options, name)) {
            Ok(status) => status,
            // One that cannot be looked at does not hide the others.
            Err(report) if names.len() > 1 => TrustStatus::unknown(name, &report),
            Err(report) => return Err(report),
        });
    }
    let status = Status { trusts, judged_at: show_time(session.start.time()), time_is_chosen: session.time_is_chosen };
    let problems: Vec<&Problem> = status.trusts.iter().flat_map(|trust| &trust.problems).collect();
    // What is known to be wrong outweighs what cannot be told; what is wrong, what will be.
    let rank = |problem: &&&Problem| (problem.outcome == Outcome::No, problem.code != Finding::ExpiresSoon.code());
    let Some(worst) = problems.iter().max_by_key(rank) else { return output::show(session.format, &status) };
    let headline = match problems.len() {
        1 => "1 thing is not as it should be".to_owned(),
        several => format!("{several} things are not as they should be"),
    };
    let mut report = Report::new(worst.outcome, worst.code, headline).still("nothing changed");
    for trust in status.trusts.iter().filter(|trust| !trust.problems.is_empty()) {
        let went_back = |problem: &Problem| problem.code == Finding::ClockWentBack.code();
        report = if trust.problems.iter().any(went_back) {
            report.hint("set this machine's clock").hint(clock_was_ahead(&trust.name))
        } else if trust.unusable {
            report.hint(format!("look at it by itself: `trustroot status {}`", trust.name))
        } else {
            report.hint(format!("refresh it: `trustroot refresh {}`", trust.name))
        };
    }
    output::show_before(session.format, &status, report)
}

async fn status_of(session: &Session, options: &StatusOptions, name: &TrustName) -> Result<TrustStatus, Report> {
    let trust = session.store()?.load(name)?;
    note_first_use(&trust);
    let now = session.start.time();
    let mut problems = Vec::new();
    let (mut kept_roles, mut confirmed_at, mut not_indexed) = (None, None, None);
    match kept(session, &trust).await {
        Ok(mut updater) => {
            confirmed_at = updater.freshness().confirmed_at;
            not_indexed = updater.not_indexed().map(ToString::to_string);
            let delegated = updater.kept_roles().await.map_err(|error| session.update_failed(&trust, &error))?;
            kept_roles = updater.trusted().map(|trusted| roles_of(trusted, &delegated, now));
        }
        Err(error @ UpdateError::Refused { .. }) => {
            problems.push(Problem { code: error.code(), message: error.to_string(), outcome: Outcome::No });
        }
        Err(error @ UpdateError::Offline { .. }) => {
            let (code, message) = (error.code(), "it was never refreshed, or what is kept is incomplete".to_owned());
            problems.push(Problem { code, message, outcome: Outcome::CouldNotTell });
        }
        Err(error) => return Err(session.update_failed(&trust, &error)),
    }
    let within = options.warn_within.map(|within| i64::try_from(within.as_secs()).unwrap_or(i64::MAX));
    for role in kept_roles.iter().flatten() {
        let (name, left) = (Printable(&role.role), role.expires_in_seconds);
        if left <= 0 {
            let message = format!("{name} v{} expired on {}", role.version, role.expires);
            problems.push(Problem { code: Finding::Expired.code(), message, outcome: Outcome::No });
        } else if within.is_some_and(|within| left <= within) {
            let message = format!("{name} v{} expires in {}", role.version, span(left));
            problems.push(Problem { code: Finding::ExpiresSoon.code(), message, outcome: Outcome::No });
        }
    }
    let age = confirmed_at.map(|time| (now - time).num_seconds());
    if let Some(confirmed_at) = confirmed_at.filter(|time| TimeDelta::minutes(5) < *time - now) {
        let message =
            format!("the clock says {}, but an update succeeded at {}", show_time(now), show_time(confirmed_at));
        problems.push(Problem { code: Finding::ClockWentBack.code(), message, outcome: Outcome::CouldNotTell });
    }
    // What look-ups would refuse is stale, whatever else is asked for here.
    let limits = options.max_age.into_iter().chain(trust.settings().max_staleness);
    let max_age = limits.min().map(|limit| limit.as_secs());
    if let (Some(limit), true) = (max_age, kept_roles.is_some())
        && age.is_none_or(|age| age > i64::try_from(limit).unwrap_or(i64::MAX))
    {
        let limit = span(i64::try_from(limit).unwrap_or(i64::MAX));
        let message = match age {
            Some(age) => format!("confirmed {}, and {limit} are allowed", ago(age)),
            None => format!("it is not known when this was confirmed, and {limit} ago is allowed"),
        };
        problems.push(Problem { code: Finding::TooStale.code(), message, outcome: Outcome::No });
    }
    Ok(TrustStatus {
        name: name.to_string(),
        roles: kept_roles.unwrap_or_default(),
        confirmed_at: confirmed_at.map(show_time),
        age_seconds: age,
        max_age_seconds: max_age,
        pinned_by: trust.pinned_by,
        not_indexed,
        problems,
        unusable: false,
    })
}

/// What is kept, verified from the pinned root; where something has expired, as of the last moment at which nothing had.
/// Expiry is then judged by whoever shows it: nothing is looked up in what comes from here.
async fn kept(session: &Session, trust: &Trust) -> Result<Updater, UpdateError> {
    let mut start = session.start;
    loop {
        let mut updater = judge_kept(trust, start)?;
        match updater.refresh().await.map(drop) {
            Ok(()) => return Ok(updater),
            Err(UpdateError::Refused { refusal, url, kept }) => match &*refusal {
                // Each time an earlier one, so this ends: there are four roles.
                Refusal::Expired { expires, .. } if expires.time() <= start.time() => {
                    start = UpdateStart::at(expires.time() - TimeDelta::seconds(1));
                }
                _ => return Err(UpdateError::Refused { refusal, url, kept }),
            },
            Err(error) => return Err(error),
        }
    }
}

/// The top-level roles, then the delegated ones that are kept, those that expire first before the others.
fn roles_of(trusted: &TrustedSet, delegated: &[KeptRole], now: DateTime<Utc>) -> Vec<RoleStatus> {
    let mut roles = vec![
        top_level(trusted.root(), now),
        top_level(trusted.timestamp(), now),
        top_level(trusted.snapshot(), now),
        top_level(&**trusted.targets(), now),
    ];
    let mut delegated: Vec<RoleStatus> = delegated
        .iter()
        .map(|kept| RoleStatus {
            delegated_by: Some(kept.delegator.as_str().to_owned()),
            ..role(&kept.role, kept.version, &kept.expires, now)
        })
        .collect();
    delegated.sort_by_key(|role| role.expires_in_seconds);
    roles.append(&mut delegated);
    roles
}

fn top_level<T: Document>(document: &Verified<T>, now: DateTime<Utc>) -> RoleStatus {
    role(document.role(), document.version(), document.expires(), now)
}

fn role(role: &RoleName, version: Version, expires: &Expires, now: DateTime<Utc>) -> RoleStatus {
    RoleStatus {
        role: role.as_str().to_owned(),
        delegated_by: None,
        version: version.get(),
        expires: expires.to_string(),
        expires_in_seconds: (expires.time() - now).num_seconds(),
    }
}
