//! `trustroot changes`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trustroot::Printable;
use trustroot::builders::{Builder, Catalog, Verifier, builder_changes, catalog_changes, verifier_changes};
use trustroot::ceremony::root_changes;
use trustroot::client::{CacheMode, History, HistoryEvent, LocalCache, Subject};
use trustroot::metadata::{Envelope, Root};

use crate::args::ChangesOptions;
use crate::config::TrustName;
use crate::output::{self, Show};
use crate::report::Report;
use crate::ui::{Session, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changes {
    since: String,
    trusts: Vec<TrustChanges>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustChanges {
    name: String,
    /// Since when versions are kept here.
    known_since: Option<String>,
    changes: Vec<ChangeLine>,
    /// How many builders and verifiers are known here.
    looked_up: usize,
}

/// One version that came after another.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeLine {
    /// When it came to this machine.
    at: String,
    /// When the version before it was confirmed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_before: Option<String>,
    subject: String,
    version: Option<u64>,
    details: Vec<String>,
}

impl Show for Changes {
    fn text(&self) -> String {
        let mut text = String::new();
        for trust in &self.trusts {
            let count = match trust.changes.len() {
                0 => "nothing changed".to_owned(),
                1 => "1 change".to_owned(),
                several => format!("{several} changes"),
            };
            let _ = writeln!(text, "{}: {count} since {}", trust.name, self.since);
            for change in &trust.changes {
                let version = change.version.map(|version| format!(" v{version}")).unwrap_or_default();
                let _ = writeln!(text, "  {}  {}{version}", change.at, change.subject);
                for detail in &change.details {
                    let _ = writeln!(text, "    {detail}");
                }
            }
            if let Some(known_since) = trust.known_since.as_ref().filter(|known| **known > self.since) {
                let _ = writeln!(text, "  what was before {known_since} is not known here");
            }
            let _ = match trust.looked_up {
                0 => writeln!(text, "  no builder was looked up here, so changes of builders are not known"),
                count => writeln!(text, "  of builders and verifiers, the {count} that were looked up here are known"),
            };
        }
        text
    }
}

pub(crate) fn run(session: &Session, options: &ChangesOptions) -> Result<(), Report> {
    // One repository that cannot be looked at does not hide the others.
    let (mut trusts, mut failed) = (Vec::new(), Vec::new());
    for name in session.trust_names(options.name.as_ref())? {
        match changes_of(session, &name, options.since) {
            Ok(changes) => trusts.push(changes),
            Err(report) => failed.push(report),
        }
    }
    output::show_with_failures(session.format, &Changes { since: show_time(options.since), trusts }, failed)
}

fn changes_of(session: &Session, name: &TrustName, since: DateTime<Utc>) -> Result<TrustChanges, Report> {
    let trust = session.store()?.load(name)?;
    let store = LocalCache::new(trust.metadata_directory(), CacheMode::ReadOnly);
    let history = History::read(&store).map_err(|error| Report::io(&error))?;
    let document = |event: &HistoryEvent| history.document(&store, event).map_err(|error| Report::io(&error));
    let mut before: BTreeMap<&Subject, &HistoryEvent> = BTreeMap::new();
    let mut changes = Vec::new();
    for event in history.events() {
        let earlier = before.insert(&event.subject, event);
        if event.at < since {
            continue;
        }
        let old = earlier.map(document).transpose()?.flatten();
        let new = document(event)?;
        changes.push(ChangeLine {
            at: show_time(event.at),
            confirmed_before: event.confirmed_before.map(show_time),
            subject: describe(&event.subject),
            version: event.version,
            details: details(earlier, event, old.as_deref(), new.as_deref()),
        });
    }
    let known = |subject: &&&Subject| matches!(subject, Subject::Builder(_) | Subject::Verifier(_));
    Ok(TrustChanges {
        name: name.to_string(),
        known_since: history.events().first().map(|event| show_time(event.at)),
        looked_up: before.keys().filter(known).count(),
        changes,
    })
}

/// What it is, in words.
pub(super) fn describe(subject: &Subject) -> String {
    match subject {
        Subject::Root => "root".to_owned(),
        Subject::Role(name) => Printable(name).to_string(),
        Subject::Catalog => "catalog".to_owned(),
        Subject::Builder(id) => format!("builder {}", Printable(id)),
        Subject::Verifier(id) => format!("verifier {}", Printable(id)),
        _ => "something else".to_owned(),
    }
}

fn details(
    earlier: Option<&HistoryEvent>,
    event: &HistoryEvent,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Vec<String> {
    if let Some(code) = &event.gone {
        return vec![format!("disappeared: a look-up now fails with `{code}`")];
    }
    let Some(earlier) = earlier else { return vec!["first seen here".to_owned()] };
    if earlier.gone.is_some() {
        return vec!["is there again".to_owned()];
    }
    let mut details = Vec::new();
    if let (Subject::Role(_) | Subject::Root, Some(old), Some(new)) = (&event.subject, earlier.version, event.version) {
        details.push(format!("v{old} -> v{new}"));
    }
    let (Some(old), Some(new)) = (old, new) else {
        if !matches!(event.subject, Subject::Role(_)) {
            details.push("changed; what it was is no longer kept".to_owned());
        }
        return details;
    };
    let differences = match &event.subject {
        Subject::Builder(_) => both(Builder::parse, old, new).map(|(old, new)| builder_changes(&old, &new)),
        Subject::Verifier(_) => both(Verifier::parse, old, new).map(|(old, new)| verifier_changes(&old, &new)),
        Subject::Catalog => both(Catalog::parse, old, new).map(|(old, new)| catalog_changes(&old, &new)),
        Subject::Root => {
            let read = |bytes: &[u8]| Envelope::parse(bytes).and_then(|envelope| envelope.unverified::<Root>());
            both(read, old, new).map(|(old, new)| {
                root_changes(&old, &new)
                    .iter()
                    .map(|change| format!("{} {}", change.mark.sign(), change.text))
                    .collect()
            })
        }
        _ => Some(Vec::new()),
    };
    match differences {
        Some(differences) => details.extend(differences),
        None => details.push("changed; what is kept of it cannot be read".to_owned()),
    }
    details
}

fn both<T, E>(read: impl Fn(&[u8]) -> Result<T, E>, old: &[u8], new: &[u8]) -> Option<(T, T)> {
    Some((read(old).ok()?, read(new).ok()?))
}
