//! `trustroot check`

use std::fmt::Write as _;

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use trustroot::builders::Namespace;
use trustroot::metadata::{RoleName, TargetPath};
use trustroot::repository::{FAMILY_THRESHOLDS, Proposal, SignedState, WorkingCopy};

use super::maintain::{open, repository_failed};
use crate::args::CheckOptions;
use crate::output::{self, Show};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    roles: Vec<RoleState>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleState {
    role: String,
    version: Option<u64>,
    expires: Option<String>,
    /// When the next version should be signed.
    due: Option<String>,
    /// What is to be done; empty where nothing is.
    todo: Vec<String>,
}

impl Show for Checked {
    fn text(&self) -> String {
        let mut text = String::new();
        for role in &self.roles {
            let state = match (&role.version, &role.expires, &role.due) {
                (Some(version), Some(expires), Some(due)) => {
                    format!("v{version}, expires {expires}, sign the next from {due}")
                }
                _ => "not signed yet".to_owned(),
            };
            let _ = writeln!(text, "{}: {state}", role.role);
            for todo in &role.todo {
                let _ = writeln!(text, "  to do: {todo}");
            }
        }
        text
    }
}

pub(crate) fn run(session: &Session, options: &CheckOptions) -> Result<(), Report> {
    let copy = open(&options.working_copy)?;
    let signed = copy.signed(session.start).map_err(|error| repository_failed(&error))?;
    let mut roles = vec![check_root(&copy, &signed, session.start.time())?];
    let namespaces = copy.config().namespaces.keys();
    let delegated = namespaces.filter_map(|name| RoleName::delegated(name));
    for role in std::iter::once(RoleName::Targets).chain(delegated) {
        roles.push(check_role(&copy, &signed, &role, session.start.time())?);
    }
    let todo: usize = roles.iter().map(|role| role.todo.len()).sum();
    let checked = Checked { roles };
    if todo == 0 {
        return output::show(session.format, &checked);
    }
    let report = Report::new(
        Outcome::No,
        "to-do",
        match todo {
            1 => "1 thing is to be done".to_owned(),
            todo => format!("{todo} things are to be done"),
        },
    );
    output::show_before(session.format, &checked, report)
}

fn check_root(copy: &WorkingCopy, signed: &SignedState, now: DateTime<Utc>) -> Result<RoleState, Report> {
    let mut todo = Vec::new();
    let proposal = Proposal::of(copy, signed, &RoleName::Root, now).map_err(|error| repository_failed(&error))?;
    let root = signed.root();
    if let Some((_, bytes)) = signed.roots().last()
        && !same_but_for_time(bytes, &proposal.document)
    {
        todo.push("trustroot.toml says otherwise than the signed root: `trustroot ceremony start root`".to_owned());
    }
    let times = root.map(|root| (root.version.get(), root.expires.time()));
    state(copy, &RoleName::Root, times, todo, now)
}

fn check_role(
    copy: &WorkingCopy,
    signed: &SignedState,
    role: &RoleName,
    now: DateTime<Utc>,
) -> Result<RoleState, Report> {
    let failed = |error| repository_failed(&error);
    let mut todo = Vec::new();
    let document = signed.role(role).map_err(failed)?;
    if let Some(document) = &document {
        if !document.current {
            todo.push(format!("its keys have changed since it was signed: `trustroot ceremony start {role}`"));
        }
        let wanted = copy.targets_of(role, signed).map_err(failed)?;
        let mut differs = wanted.len() != document.document.count();
        for (path, bytes) in &wanted {
            let entry = document.document.find(path).ok().flatten();
            let there = entry.and_then(|entry| signed.target(path, &entry).ok());
            differs |= !there.is_some_and(|there| says_the_same(path, &there, bytes));
        }
        if differs {
            todo.push(format!(
                "the working copy says otherwise than what is signed: `trustroot ceremony start {role}`"
            ));
        } else if *role == RoleName::Targets && document.current {
            let proposal = Proposal::of(copy, signed, role, now).map_err(failed)?;
            if !same_delegations(&document.bytes, &proposal.document) {
                todo.push(
                    "trustroot.toml delegates otherwise than what is signed: `trustroot ceremony start targets`"
                        .to_owned(),
                );
            }
        }
    } else if let RoleName::Delegated(name) = role {
        // Its documents are read all the same, so that what is wrong is said before a ceremony.
        if let Ok(namespace) = Namespace::parse(name) {
            copy.documents(&namespace).map_err(failed)?;
        }
    }
    let times = document.map(|document| (document.version().get(), document.document.expires.time()));
    state(copy, role, times, todo, now)
}

/// Whether two files are the same. The catalog's `minVersion` follows each namespace by itself, and needs no ceremony.
fn says_the_same(path: &TargetPath, there: &[u8], wanted: &[u8]) -> bool {
    let without_least = |bytes: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some(namespaces) = value.get_mut("namespaces").and_then(|all| all.as_object_mut()) {
            for entry in namespaces.values_mut().filter_map(|entry| entry.as_object_mut()) {
                entry.remove("minVersion");
            }
        }
        value
    };
    there == wanted
        || path.as_str() == trustroot::builders::CATALOG_PATH && without_least(there) == without_least(wanted)
}

fn same_but_for_time(signed: &[u8], proposed: &[u8]) -> bool {
    let part = |bytes: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let signed = &value["signed"];
        ["keys", "roles", "consistent_snapshot", FAMILY_THRESHOLDS].map(|field| signed[field].clone())
    };
    part(signed) == part(proposed)
}

fn same_delegations(signed: &[u8], proposed: &[u8]) -> bool {
    let part = |bytes: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        ["delegations", FAMILY_THRESHOLDS].map(|field| value["signed"][field].clone())
    };
    part(signed) == part(proposed)
}

fn state(
    copy: &WorkingCopy,
    role: &RoleName,
    times: Option<(u64, DateTime<Utc>)>,
    mut todo: Vec<String>,
    now: DateTime<Utc>,
) -> Result<RoleState, Report> {
    let policy = copy.config().policy(role).map_err(|error| repository_failed(&error))?;
    let due = times.map(|(_, expires)| expires - Duration::days(policy.sign_within_days.into()));
    match (times, due) {
        (None, _) => todo.push(format!("sign it: `trustroot ceremony start {role}`")),
        (Some((_, expires)), _) if expires <= now => {
            todo.push(format!("EXPIRED: clients refuse it; `trustroot ceremony start {role}`"));
        }
        (_, Some(due)) if due <= now => todo.push(format!("due to be signed again: `trustroot ceremony start {role}`")),
        _ => {}
    }
    Ok(RoleState {
        role: role.to_string(),
        version: times.map(|(version, _)| version),
        expires: times.map(|(_, expires)| show_time(expires)),
        due: due.map(show_time),
        todo,
    })
}
