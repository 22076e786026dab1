//! How the command knows that what it trusts is current, and says where it does not.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trustroot::client::Updater;
use trustroot::metadata::RoleName;

use crate::config::{PinnedBy, Trust};
use crate::period::ago;
use crate::ui::{Session, note, show_time, warn};

/// What programs should know beside an answer. Empty where the repository confirmed everything in this run and all of it
/// was kept.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Currency {
    /// When the repository confirmed last what was used, where it was not asked now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed_at: Option<String>,
    /// Why it could not be asked, where it should have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unreachable: Option<String>,
    /// What was used although it has expired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) expired_but_used: Vec<ExpiredRole>,
    /// Why what was accepted could not be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_kept: Option<String>,
    /// How the root was pinned, where nobody checked it.
    #[serde(skip_serializing_if = "PinnedBy::is_given")]
    pub(crate) pinned_by: PinnedBy,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ExpiredRole {
    role: String,
    expired: String,
}

impl Currency {
    /// How long what was used is good for, or since when it is not: after a list of versions whose first expiry is
    /// `soonest`.
    pub(crate) fn until(&self, soonest: &str) -> String {
        if self.expired_but_used.is_empty() {
            format!("good until {soonest}")
        } else {
            format!("EXPIRED since {soonest}, used by its policy")
        }
    }
}

/// That a role is used although it has expired.
pub(crate) fn used_though_expired(trust: &Trust, role: &RoleName, expired: DateTime<Utc>) -> String {
    format!(
        "{role} of {} expired at {} and is used by the policy of this repository; what was revoked since may still be \
         trusted",
        trust.name,
        show_time(expired)
    )
}

/// Says that nobody checked the pinned root, where nobody did.
pub(crate) fn note_first_use(trust: &Trust) {
    if trust.pinned_by == PinnedBy::FirstUse {
        note(&format!("the root of {} was pinned by first use: nobody checked it", trust.name));
    }
}

/// Says on standard error what the user should know about an answer, and returns it for programs.
pub(crate) fn heed(session: &Session, trust: &Trust, updater: &Updater) -> Currency {
    let (name, freshness, now) = (&trust.name, updater.freshness(), session.start.time());
    let limit = match trust.policy.max_staleness {
        Some(limit) => format!("limit {limit}"),
        None => "no limit but its expiry".to_owned(),
    };
    let age = match freshness.confirmed_at {
        Some(time) if session.time_is_chosen => {
            format!("what is kept of {name} was confirmed at {}; {limit}", show_time(time))
        }
        Some(time) => format!("what is kept of {name} was confirmed {}; {limit}", ago(time, now)),
        None => format!("it is not known when what is kept of {name} was confirmed; {limit}"),
    };
    if let Some(reason) = &freshness.unreachable {
        warn(&format!("{name} cannot be reached: {reason}"));
        warn(&age);
    } else if session.offline {
        note(&age);
    }
    for (role, expired) in &freshness.expired {
        warn(&used_though_expired(trust, role, *expired));
    }
    if let Some(error) = updater.not_kept() {
        warn(&format!(
            "what was accepted of {name} cannot be kept: {error}; the next run does not know of it, and is not protected \
             against going back behind it"
        ));
    }
    note_first_use(trust);
    let asked_now = freshness.unreachable.is_none() && !session.offline;
    Currency {
        confirmed_at: freshness.confirmed_at.filter(|_| !asked_now).map(show_time),
        unreachable: freshness.unreachable.as_ref().map(ToString::to_string),
        expired_but_used: freshness
            .expired
            .iter()
            .map(|(role, expired)| ExpiredRole { role: role.to_string(), expired: show_time(*expired) })
            .collect(),
        not_kept: updater.not_kept().map(ToString::to_string),
        pinned_by: trust.pinned_by,
    }
}
