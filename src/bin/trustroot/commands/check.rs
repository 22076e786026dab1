//! `trustroot check`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use trustroot::Printable;
use trustroot::builders::Namespace;
use trustroot::ceremony::{CeremonyError, Deadline, Pace, SigningEvent, Urgency};
use trustroot::client::write_durably;
use trustroot::key_attestation::AttestedKey;
use trustroot::metadata::{RoleName, TargetPath, Version};
use trustroot::publish::{LastPublished, OnlineRole, PublishError};
use trustroot::repository::{
    FAMILY_THRESHOLDS, Link, Proposal, SignedState, WorkingCopy, evidence_name, improvements, links,
};

use super::key::Device;
use super::maintain::{ceremony_failed, open, publish_failed, repository_failed};
use crate::args::CheckOptions;
use crate::icalendar::{Calendar, date, took};
use crate::output::{self, Show};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    roles: Vec<RoleState>,
    /// What is proved of people's keys, and what is not although it is kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attestations: Vec<Attestation>,
    /// What is neither wrong nor due, and could be better.
    improvements: Vec<Advice>,
}

/// A file that `trustroot.toml` names, with what a device says of a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attestation {
    file: String,
    /// Whose key it should be about; nobody's for a root.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attested: Option<Device>,
    /// Why nothing is proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Advice {
    role: String,
    code: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleState {
    role: String,
    version: Option<u64>,
    expires: Option<String>,
    expires_in_seconds: Option<i64>,
    /// When the next version should be signed.
    due: Option<String>,
    due_in_seconds: Option<i64>,
    /// When an event should begin at the latest, where past events tell how long they take.
    start_by: Option<String>,
    past_events: Option<PastEvents>,
    urgency: Standing,
    /// The event that is open for the next version.
    event: Option<String>,
    /// What is to be done; empty where nothing is.
    todo: Vec<String>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    deadline: Option<Deadline>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PastEvents {
    count: usize,
    longest_seconds: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// It was never signed; of online roles, never published from here.
    Unsigned,
    Later,
    Due,
    Late,
    Expired,
}

impl Standing {
    fn is_due(self) -> bool {
        self >= Self::Due
    }
}

impl From<Urgency> for Standing {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Expired => Self::Expired,
            Urgency::Late => Self::Late,
            Urgency::Due => Self::Due,
            _ => Self::Later,
        }
    }
}

impl Show for Checked {
    fn text(&self) -> String {
        let mut text = String::new();
        for role in &self.roles {
            let _ = writeln!(text, "{}: {}", role.role, role.text);
            for todo in &role.todo {
                let _ = writeln!(text, "  to do: {todo}");
            }
        }
        for Attestation { file, holder, attested, problem } in &self.attestations {
            let of = holder.as_ref().map(|holder| format!(" of {holder}")).unwrap_or_default();
            let proved = attested.as_ref().filter(|_| problem.is_none());
            let state = proved.map_or("proves nothing", |device| &device.line);
            let _ = writeln!(text, "attestation {}{of}: {state}", Printable(file));
            if let Some(problem) = problem {
                let _ = writeln!(text, "  to do: replace it, or take it out: {problem}");
            }
        }
        if !self.improvements.is_empty() {
            text.push_str("could be better, and need not be done now:\n");
        }
        for Advice { role, text: advice, .. } in &self.improvements {
            let _ = writeln!(text, "  {role}: {advice}");
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct DueRoles {
    due: Vec<String>,
}

impl Show for DueRoles {
    fn text(&self) -> String {
        self.due.iter().fold(String::new(), |text, role| text + role + "\n")
    }
}

/// What lies below `repository/` and nobody signed for.
#[derive(Debug, Serialize)]
struct Strays {
    strays: Vec<String>,
}

impl Show for Strays {
    fn text(&self) -> String {
        self.strays.iter().fold(String::new(), |text, name| text + name + "\n")
    }
}

fn strays(copy: &WorkingCopy, signed: &SignedState) -> Result<Vec<String>, Report> {
    let strays = signed.strays(&copy.signed_directory()).map_err(|error| repository_failed(&error))?;
    Ok(strays.iter().map(|name| Printable(name).to_string()).collect())
}

/// Another exit status than where something is to be done, so that a job which takes the one does not take the other.
fn refuse_strays(strays: &[String]) -> Option<Report> {
    /// What a report names of them.
    const MOST: usize = 10;
    let first = strays.first()?;
    let headline = match strays.len() {
        1 => format!("nobody signed for {first}"),
        more => format!("nobody signed for {first} and {} more", more - 1),
    };
    let mut report = Report::new(Outcome::WrongQuestion, "not-signed-for", headline);
    for name in strays.iter().take(MOST) {
        report = report.fact("file", name.as_str());
    }
    let hint = "somebody put it there: find out who, and remove it; `trustroot check --strays` lists all";
    Some(report.hint(hint))
}

pub(crate) fn run(session: &Session, options: &CheckOptions) -> Result<(), Report> {
    let copy = open(&options.working_copy)?;
    let signed = copy.signed(session.start).map_err(|error| repository_failed(&error))?;
    let strays = if options.due { Vec::new() } else { strays(&copy, &signed)? };
    if options.strays {
        return output::show(session.format, &Strays { strays });
    }
    if let Some(report) = refuse_strays(&strays) {
        return Err(report);
    }
    let now = session.start.time();
    let events = Events::of(&copy, &signed, now)?;
    let mut roles = vec![check_root(&copy, &signed, &events, now)?];
    for role in roles_with_targets(&copy) {
        roles.push(check_role(&copy, &signed, &role, &events, now)?);
    }
    if let Some(file) = &options.calendar {
        write_calendar(file, &copy, &signed, &roles, now)?;
    }
    if options.due {
        let due = roles.into_iter().filter(|role| role.urgency.is_due() && role.event.is_none());
        return output::show(session.format, &DueRoles { due: due.map(|role| role.role).collect() });
    }
    roles.extend(check_published(&copy, &signed, now)?);
    let (of_links, unknown) = check_links(&copy, session)?;
    if let Some(targets) = roles.iter_mut().find(|role| role.role == "targets") {
        targets.todo.splice(0..0, of_links);
    }
    let attestations = check_attestations(&copy, now)?;
    let unproved = attestations.iter().filter(|attestation| attestation.problem.is_some()).count();
    let todo = roles.iter().map(|role| role.todo.len()).sum::<usize>() + unproved;
    let improvements = improvements(&copy, &signed).map_err(|error| repository_failed(&error))?.into_iter();
    let mut improvements: Vec<Advice> =
        improvements.map(|found| Advice { role: found.role.to_string(), code: found.code, text: found.text }).collect();
    improvements.extend(unknown);
    let checked = Checked { roles, attestations, improvements };
    if todo == 0 {
        return output::show(session.format, &checked);
    }
    let headline = match todo {
        1 => "1 thing is to be done".to_owned(),
        todo => format!("{todo} things are to be done"),
    };
    let report = match checked.roles.iter().map(|role| role.urgency).max() {
        Some(Standing::Expired) => Report::new(Outcome::No, "role-expired", headline),
        Some(Standing::Late | Standing::Due) => Report::new(Outcome::No, "due", headline),
        _ => Report::new(Outcome::No, "to-do", headline),
    };
    output::show_before(session.format, &checked, report)
}

/// The roles that are signed in ceremonies and name targets.
fn roles_with_targets(copy: &WorkingCopy) -> impl Iterator<Item = RoleName> {
    let delegated = copy.config().namespaces.keys().chain(copy.config().delegations.keys());
    std::iter::once(RoleName::Targets).chain(delegated.filter_map(|name| RoleName::delegated(name)))
}

/// Repositories whose newest root is a target here: what is to be done, and what could not be compared.
fn check_links(copy: &WorkingCopy, session: &Session) -> Result<(Vec<String>, Vec<Advice>), Report> {
    let (mut todo, mut unknown) = (Vec::new(), Vec::new());
    for (name, link) in links(copy, session.start).map_err(|error| repository_failed(&error))? {
        let (Some(linked), shown) = (copy.config().linked.get(&name), Printable(&name)) else { continue };
        let (directory, target) = (show_path(&linked.directory), Printable(&linked.target));
        let put = |newest| format!("put the newest root of {shown}, {newest}, from {directory} into targets/{target}");
        match link {
            Link::Current { .. } => {}
            Link::Behind { target: there, newest } => todo.push(format!("{}; {there} is there", put(newest))),
            Link::NoTarget { newest } => todo.push(put(newest)),
            Link::Foreign => {
                todo.push(format!(
                    "targets/{target} is no root of {shown}, which is in {directory}: find out whose it is"
                ));
            }
            _ => unknown.push(Advice {
                role: "targets".to_owned(),
                code: "link-not-checked",
                text: format!("{shown} is not in {directory}, so its root could not be compared with targets/{target}"),
            }),
        }
    }
    Ok((todo, unknown))
}

/// What the events of a working copy say about each role.
struct Events {
    /// Those that are open for the next version. To start one of them again would void what it has.
    open: BTreeMap<RoleName, String>,
    pace: BTreeMap<RoleName, Pace>,
}

impl Events {
    fn of(copy: &WorkingCopy, signed: &SignedState, now: DateTime<Utc>) -> Result<Self, Report> {
        let failed = |error: CeremonyError| ceremony_failed(&error);
        let mut open = BTreeMap::new();
        for name in SigningEvent::names(copy).map_err(failed)? {
            // What cannot be read is said by `ceremony status`.
            let Ok(event) = SigningEvent::open(copy, &name) else { continue };
            let there = signed.versions(&event.role).map_err(|error| repository_failed(&error))?;
            if !there.contains(&event.version) && event.withdrawal().is_none() {
                open.insert(event.role, name.to_string());
            }
        }
        Ok(Self { open, pace: Pace::of_roles(copy, signed, now).map_err(failed)? })
    }
}

/// What devices say of people's keys, and whether it is of theirs.
fn check_attestations(copy: &WorkingCopy, now: DateTime<Utc>) -> Result<Vec<Attestation>, Report> {
    let failed = |error| repository_failed(&error);
    let judged = copy.evidence().map_err(failed)?.judge(now);
    let mut found = Vec::new();
    for (person, held) in copy.config().people.iter().filter(|(_, held)| !held.attestations.is_empty()) {
        let keys = copy.keys_of(person).map_err(failed)?;
        for file in held.attestations.iter().map(|file| evidence_name(file)) {
            let proved = judged.proved.get(&file);
            let is_theirs = |key: &&AttestedKey| keys.iter().any(|held| held.key.canonical_spki() == key.spki());
            let problem = match (judged.problems.get(&file), proved.filter(is_theirs)) {
                (Some(problem), _) => Some(problem.clone()),
                (None, None) => Some(format!("it is of another key than those of {person}")),
                (None, Some(_)) => None,
            };
            let attested = proved.map(Device::of);
            found.push(Attestation { file, holder: Some(person.clone()), attested, problem });
        }
    }
    for file in copy.config().attestation_roots.iter().map(|file| evidence_name(file)) {
        if let Some(problem) = judged.problems.get(&file) {
            found.push(Attestation { file, holder: None, attested: None, problem: Some(problem.clone()) });
        }
    }
    Ok(found)
}

fn write_calendar(
    file: &std::path::Path,
    copy: &WorkingCopy,
    signed: &SignedState,
    roles: &[RoleState],
    now: DateTime<Utc>,
) -> Result<(), Report> {
    let Some(repository) = signed.digest() else {
        return Err(Report::new(Outcome::WrongQuestion, "nothing-signed", "no role has been signed, so none expires")
            .still("no calendar was written")
            .hint("begin with `trustroot ceremony start root`"));
    };
    let deadlines: Vec<Deadline> = roles.iter().filter_map(|role| role.deadline.clone()).collect();
    let mark = if copy.config().rehearsal.is_some() { "REHEARSAL " } else { "" };
    let name = format!("{mark}{}", copy.config().name);
    let calendar = Calendar { name: &name, repository, deadlines: &deadlines, now };
    write_durably(file, calendar.text().as_bytes()).map_err(|error| Report::io(&error))
}

fn check_root(
    copy: &WorkingCopy,
    signed: &SignedState,
    events: &Events,
    now: DateTime<Utc>,
) -> Result<RoleState, Report> {
    let mut todo = Vec::new();
    let proposal = Proposal::of(copy, signed, &RoleName::Root, now).map_err(|error| repository_failed(&error))?;
    let root = signed.root();
    if let Some((_, bytes)) = signed.roots().last()
        && !same_but_for_time(bytes, &proposal.document)
    {
        todo.push("trustroot.toml says otherwise than the signed root: `trustroot ceremony start root`".to_owned());
    }
    let times = root.map(|root| (root.version, root.expires.time()));
    state(copy, &RoleName::Root, times, todo, events, now)
}

fn check_role(
    copy: &WorkingCopy,
    signed: &SignedState,
    role: &RoleName,
    events: &Events,
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
    let times = document.map(|document| (document.version(), document.document.expires.time()));
    state(copy, role, times, todo, events, now)
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
    times: Option<(Version, DateTime<Utc>)>,
    mut todo: Vec<String>,
    events: &Events,
    now: DateTime<Utc>,
) -> Result<RoleState, Report> {
    let event = events.open.get(role);
    let next = match event {
        // To start it again would void what has been signed.
        Some(event) => format!("`trustroot ceremony status {event}`"),
        None => format!("`trustroot ceremony start {role}`"),
    };
    let Some((version, expires)) = times else {
        todo.push(format!("sign it: {next}"));
        return Ok(RoleState { event: event.cloned(), todo, ..unsigned(role, "not signed yet") });
    };
    let policy = copy.config().policy(role).map_err(|error| repository_failed(&error))?;
    let pace = events.pace.get(role).copied();
    let deadline = Deadline::new(role, version, expires, &policy, pace);
    let urgency = Standing::from(deadline.urgency(now));
    let past =
        deadline.start_by().map(|by| format!("past events took up to {}: start by {}", took(&deadline), date(by)));
    match (urgency, &past) {
        (Standing::Expired, _) => todo.push(format!("EXPIRED: clients refuse it; {next}")),
        (Standing::Late, Some(past)) => todo.push(format!("due to be signed again, and late: {past}; {next}")),
        (Standing::Due | Standing::Late, _) => todo.push(format!("due to be signed again: {next}")),
        _ => {}
    }
    let due = deadline.due();
    let mut text = format!(
        "{version}, expires {}, {}; sign the next from {}, {}",
        show_time(expires),
        until(expires, now),
        show_time(due),
        until(due, now)
    );
    if let Some(past) = past.filter(|_| urgency != Standing::Late) {
        let _ = write!(text, "\n  {past}");
    }
    Ok(RoleState {
        version: Some(version.get()),
        expires: Some(show_time(expires)),
        expires_in_seconds: Some((expires - now).num_seconds()),
        due: Some(show_time(due)),
        due_in_seconds: Some((due - now).num_seconds()),
        start_by: deadline.start_by().map(show_time),
        past_events: pace.map(|pace| PastEvents { count: pace.events, longest_seconds: pace.longest.num_seconds() }),
        urgency,
        event: event.cloned(),
        todo,
        text,
        deadline: Some(deadline),
        ..unsigned(role, "")
    })
}

/// A role of which nothing is known.
fn unsigned(role: &RoleName, text: &str) -> RoleState {
    RoleState {
        role: role.to_string(),
        version: None,
        expires: None,
        expires_in_seconds: None,
        due: None,
        due_in_seconds: None,
        start_by: None,
        past_events: None,
        urgency: Standing::Unsigned,
        event: None,
        todo: Vec::new(),
        text: text.to_owned(),
        deadline: None,
    }
}

/// Snapshot and timestamp as they were published last: whether the job that publishes keeps up.
fn check_published(copy: &WorkingCopy, signed: &SignedState, now: DateTime<Utc>) -> Result<Vec<RoleState>, Report> {
    let last = match LastPublished::of(copy, signed) {
        Ok(last) => last,
        Err(PublishError::Foreign(refusal)) => {
            let text = "what this working copy remembers of the last publication cannot be believed";
            let mut state = unsigned(&RoleName::Timestamp, text);
            state.todo.push(format!(
                "{refusal}: find out who wrote repository/timestamp.json or snapshot.json, and take back what `publish` wrote"
            ));
            return Ok(vec![state]);
        }
        Err(error) => return Err(publish_failed(&error)),
    };
    let mut states = Vec::new();
    for (role, there) in [(RoleName::Snapshot, &last.snapshot), (RoleName::Timestamp, &last.timestamp)] {
        states.push(match there {
            None => unsigned(&role, "never published from this working copy"),
            Some(there) => online_state(copy, &role, there, now)?,
        });
    }
    // What has been signed since is not known to clients.
    for role in roles_with_targets(copy) {
        let document = signed.role(&role).map_err(|error| repository_failed(&error))?;
        let Some(version) = document.filter(|document| document.current).map(|document| document.version()) else {
            continue;
        };
        if last.has(&role, version) == Some(false) {
            states[0].todo.push(format!("{role} {version} is signed and not published: `trustroot publish`"));
        }
    }
    Ok(states)
}

fn online_state(
    copy: &WorkingCopy,
    role: &RoleName,
    there: &OnlineRole,
    now: DateTime<Utc>,
) -> Result<RoleState, Report> {
    let version = there.version;
    let mut state = RoleState { version: Some(version.get()), urgency: Standing::Later, ..unsigned(role, "") };
    if !there.current {
        state.todo.push("the online keys have changed since it was published: `trustroot publish`".to_owned());
    }
    let Some(expires) = there.expires.as_ref().map(trustroot::metadata::Expires::time) else {
        state.text = format!("{version} was published last; publish again to have its expiry here");
        return Ok(state);
    };
    let policy = copy.config().policy(role).map_err(|error| repository_failed(&error))?;
    // `publish` signs it anew from the beginning of the window on. A job that runs now and then has half of it for that.
    let behind = Duration::days(policy.sign_within_days.into()) / 2;
    let due = expires.checked_sub_signed(behind).unwrap_or(expires);
    if expires <= now {
        state.urgency = Standing::Expired;
        state.todo.push("EXPIRED: clients refuse it; `trustroot publish`".to_owned());
    } else if due <= now {
        state.urgency = Standing::Due;
        state.todo.push("the job that publishes has fallen behind: `trustroot publish`".to_owned());
    }
    state.text = format!(
        "{version}, expires {}, {}; publish again before {}",
        show_time(expires),
        until(expires, now),
        show_time(due)
    );
    state.expires = Some(show_time(expires));
    state.expires_in_seconds = Some((expires - now).num_seconds());
    state.due = Some(show_time(due));
    state.due_in_seconds = Some((due - now).num_seconds());
    Ok(state)
}

/// How far a time is away, as precisely as matters.
fn until(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let away = (time - now).abs();
    let (number, unit) = match (away.num_days(), away.num_hours()) {
        (days @ 2.., _) => (days, "days"),
        (_, hours @ 2..) => (hours, "hours"),
        _ => (away.num_minutes(), "minutes"),
    };
    if time <= now { format!("{number} {unit} ago") } else { format!("in {number} {unit}") }
}
