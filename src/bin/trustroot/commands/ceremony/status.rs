//! How far signing events are, in words and as JSON.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::ceremony::{CeremonyError, EventName, EventState, Sibling, SigningEvent, Status, Under, digest_groups};
use trustroot::crypto::KeyFamily;
use trustroot::repository::{FamilyCount, SignedState, WorkingCopy};
use trustroot::trust::{Standing, TallyLine};
use trustroot::{Line, Named};

use super::super::maintain::{ceremony_failed, open};
use super::outlook::{Prospect, check_people};
use super::read_signed;
use super::review::said;
use crate::args::{CeremonyStatusOptions, Format};
use crate::markdown::Comment;
use crate::output::{self, Show};
use crate::report::{Report, signer, standing};
use crate::ui::Session;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Statuses {
    events: Vec<Value>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    markdown: String,
}

impl Show for Statuses {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn markdown(&self) -> String {
        self.markdown.clone()
    }
}

pub(super) fn status(session: &Session, options: &CeremonyStatusOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let names = match &options.event {
        Some(name) => vec![name.clone()],
        None => SigningEvent::names(&copy).map_err(failed)?,
    };
    let (mut events, mut text, mut shown) = (Vec::new(), String::new(), Vec::new());
    for name in &names {
        // One event that cannot be read does not hide the others.
        let opened = SigningEvent::open(&copy, name);
        let withdrawn = opened.as_ref().is_ok_and(|event| event.withdrawal().is_some());
        match opened.and_then(|event| Ok((event.status(&copy, &signed)?, event))) {
            Err(error) if options.event.is_some() => return Err(failed(error)),
            Err(CeremonyError::NoLongerDelegated { .. }) if withdrawn => {}
            Err(error @ CeremonyError::NoLongerDelegated { .. }) => {
                let _ = writeln!(text, "{name}: {error}\nnext: `trustroot ceremony withdraw {name} --because TEXT`");
                events.push(json!({"event": name.as_str(), "error": error.to_string()}));
                shown.push((name, Err(error)));
            }
            Err(error) => {
                let _ = writeln!(text, "{name}: cannot be read: {error}");
                events.push(json!({"event": name.as_str(), "error": error.to_string()}));
                shown.push((name, Err(error)));
            }
            Ok((status, event)) => {
                let done = matches!(status.state, EventState::Finished | EventState::Superseded);
                // A payload that was given up and has all its signatures concerns everybody, for ever.
                let done = done && !status.siblings.iter().any(is_whole);
                check_people(&event, &signed, &options.lost)?;
                if options.event.is_some() || !done {
                    let prospect = Prospect::of(session, &copy, &signed, &event, &status, &options.lost)
                        .judged(session, &copy, &signed, &event, &status);
                    text.push_str(&status_text(session, &event, &status, &prospect));
                    events.push(status_json(&event, &status, &prospect));
                    shown.push((name, Ok((event, status))));
                }
            }
        }
    }
    if text.is_empty() {
        text.push_str("no signing event is open\n");
    }
    let markdown = match session.format {
        Format::Markdown => markdown(session, &copy, &signed, &shown),
        Format::Text | Format::Json => String::new(),
    };
    output::show(session.format, &Statuses { events, text, markdown })
}

type Shown<'a> = (&'a EventName, Result<(SigningEvent, Status), CeremonyError>);

/// The comment on a forge. The same events give the same bytes, so that a program can replace it.
fn markdown(session: &Session, copy: &WorkingCopy, signed: &SignedState, shown: &[Shown<'_>]) -> String {
    let mut comment = Comment::begin(shown.len());
    if shown.is_empty() {
        comment.say("No signing event is open.");
    }
    for (index, (name, read)) in shown.iter().enumerate() {
        if !comment.has_room() {
            comment.say(&format!("And {} more, which `trustroot ceremony status` shows.", shown.len() - index));
            break;
        }
        comment.section("Signing event", name.as_str());
        match read {
            Err(error) => {
                comment.say("**It cannot be read**, so nobody can sign it:");
                comment.block("text", &Line(&error.to_string()).to_string(), 2);
            }
            Ok((event, status)) => section(session, copy, signed, &mut comment, event, status),
        }
    }
    comment.end()
}

fn section(
    session: &Session,
    copy: &WorkingCopy,
    signed: &SignedState,
    comment: &mut Comment,
    event: &SigningEvent,
    status: &Status,
) {
    // What breaks a rule is said below, at more length.
    let prospect = Prospect::of(session, copy, signed, event, status, &[]);
    comment.block("text", &status_text(session, event, status, &prospect), 2);
    comment.say("SHA-256 of the payload, and when it would expire:");
    let expires = event.expires().map_or_else(|_| "unknown".to_owned(), |expires| expires.to_string());
    comment.block("text", &format!("{}\n{expires}", digest_groups(&event.digest())), 2);
    match event.review(copy, signed, session.start.time()) {
        Err(error) => {
            comment.say("**What it would change cannot be told:**");
            comment.block("text", &Line(&error.to_string()).to_string(), 1);
        }
        Ok(review) => {
            if !review.problems.is_empty() {
                comment.say("**It breaks rules, and is neither signed nor finished:**");
                comment.block("text", &escaped_lines(&review.problems), 4);
            }
            if !review.notes.is_empty() {
                comment.say("To be looked at:");
                comment.block("text", &escaped_lines(&review.notes), 4);
            }
            comment.say("Proposed changes, beside version and expiry, compared with:");
            comment.block("text", &Line(&review.compared_with).to_string(), 4);
            let changes: Vec<String> =
                review.changes.iter().map(|change| format!("{} {}", change.mark.sign(), change.text)).collect();
            let changes = if changes.is_empty() { "none".to_owned() } else { changes.join("\n") };
            comment.block("diff", &changes, 1);
        }
    }
    comment.say(&format!(
        "This was computed from what lies here, by a machine that you need not trust. Before you sign, compare it with \
         `trustroot ceremony review {} --root-sha256 DIGEST` on your own machine, with the digest of a root from your own \
         records.",
        event.name
    ));
}

/// One line for each text.
fn escaped_lines(texts: &[String]) -> String {
    texts.iter().map(|text| Line(text).to_string()).collect::<Vec<_>>().join("\n")
}

/// The state in one word.
pub(super) fn state_name(state: EventState) -> &'static str {
    match state {
        EventState::Open => "open",
        EventState::Complete => "complete",
        EventState::Finished => "finished",
        EventState::Superseded => "superseded",
        EventState::Withdrawn => "withdrawn",
        _ => "unknown",
    }
}

fn state_words(state: EventState) -> &'static str {
    match state {
        EventState::Open => "open",
        EventState::Complete => "complete: it can be finished",
        EventState::Finished => "finished",
        EventState::Superseded => "superseded: another payload was signed for this version",
        EventState::Withdrawn => "withdrawn: it is not signed any further",
        _ => "unknown",
    }
}

pub(super) fn status_text(session: &Session, event: &SigningEvent, status: &Status, prospect: &Prospect) -> String {
    let mut text = format!(
        "{}: {} {}, {}\n  payload  sha256 {}\n",
        event.name,
        event.role_as_proposed(),
        event.version,
        state_words(status.state),
        hex::encode(event.digest())
    );
    if let Some(withdrawn) = event.withdrawal() {
        let (at, reason) = (Named(&withdrawn.at), said(&withdrawn.reason));
        let _ = writeln!(text, "  withdrawn on {at}, nobody signed why: {reason}");
    }
    let expired = event.expires().ok().filter(|expires| expires.is_past(session.start.time()));
    let waits = matches!(status.state, EventState::Open | EventState::Complete);
    if let Some(expires) = expired.as_ref().filter(|_| waits) {
        let _ = writeln!(text, "  its proposal has expired, on {expires}: nothing helps but another one");
    }
    for under in &status.counts {
        let _ = writeln!(text, "  under {}: {} of {} needed", under.by, under.tally.counted, under.tally.needed);
        for count in &under.families {
            let _ = writeln!(text, "    of them {}: {} of {} needed", count.family, count.counted, count.needed);
        }
        for line in &under.tally.lines {
            let _ = writeln!(text, "    {:9}  {}", standing(line.standing), signer(line));
        }
    }
    for uncounted in &status.uncounted {
        let _ = writeln!(text, "  not counted: {}: {}", Named(&uncounted.from), Line(&uncounted.why));
    }
    for owner in &status.outgoing_missing {
        let _ = writeln!(text, "  {} changes keys: the outgoing key must sign too", Named(owner));
    }
    for line in prospect.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str(&siblings_text(event, status));
    if let Some(witnessed) = &status.witnessed {
        let _ = writeln!(text, "  witnessed by {} of {} needed", witnessed.by.len(), witnessed.needed);
    }
    let next = match status.state {
        EventState::Open | EventState::Complete if expired.is_some() => {
            format!("`trustroot ceremony start {}`", event.role)
        }
        EventState::Open if !prospect.reachable => {
            format!(
                "nobody can finish this: `trustroot ceremony withdraw {} --because TEXT`, and see the guide",
                event.name
            )
        }
        EventState::Open => {
            let missing = missing(status, &prospect.lost);
            let who =
                if missing.is_empty() { "nobody is left who could sign".to_owned() } else { missing.join(" or ") };
            format!("{who} runs `trustroot ceremony sign {} --key FILE`", event.name)
        }
        EventState::Complete if !status.outgoing_missing.is_empty() => {
            format!("they sign with it, or `trustroot ceremony finish {} --lost NAME`", event.name)
        }
        EventState::Complete => format!("`trustroot ceremony finish {}`", event.name),
        EventState::Finished if status.witnessed.as_ref().is_some_and(|witnessed| !witnessed.met()) => {
            format!("a witness runs `trustroot ceremony witness {} --key KEY`", event.name)
        }
        EventState::Finished if event.rehearsal.is_some() => "hold the ceremony where it is meant".to_owned(),
        EventState::Finished => "`trustroot publish`".to_owned(),
        _ => format!("`trustroot ceremony start {}`", event.role),
    };
    let _ = writeln!(text, "next: {next}");
    text
}

/// What else has been signed, or may have been, for the same version.
pub(super) fn siblings_text(event: &SigningEvent, status: &Status) -> String {
    let mut text = String::new();
    for sibling in &status.siblings {
        let counts: Vec<String> = sibling.counts.iter().map(count).collect();
        let known = match counts.len() {
            0 => "its payload is not here".to_owned(),
            _ if is_whole(sibling) => {
                format!("{}: WHOLE, whoever has these signatures can use it for ever", counts.join("; "))
            }
            _ => counts.join("; "),
        };
        let _ = writeln!(
            text,
            "  sibling: another {} {} has signatures, in event {} ({known})\n    payload  sha256 {}",
            event.role,
            event.version,
            sibling.event,
            Named(&sibling.digest)
        );
    }
    for (name, problem) in &status.unreadable_events {
        let _ = writeln!(text, "  event {name} cannot be read, and may hold another: {}", Line(problem));
    }
    text
}

/// Whether a payload beside the event has every signature that it needs.
fn is_whole(sibling: &Sibling) -> bool {
    !sibling.counts.is_empty() && sibling.counts.iter().all(Under::met)
}

pub(super) fn count(under: &Under) -> String {
    let of = |count: &FamilyCount| format!(", {} of {} {}", count.counted, count.needed, count.family);
    let families: String = under.families.iter().map(of).collect();
    format!("{} of {}{families} under {}", under.tally.counted, under.tally.needed, under.by)
}

/// Who can still sign, by name where there is one.
fn missing(status: &Status, lost: &[String]) -> Vec<String> {
    let mut names = std::collections::BTreeSet::new();
    for under in status.counts.iter().filter(|under| !under.met()) {
        // Once the threshold is met, only keys of the families that are short help.
        let helps = |line: &TallyLine| {
            let short = |count: &FamilyCount| !count.met() && line.family == Some(count.family);
            line.standing == Standing::Missing && (!under.tally.met() || under.families.iter().any(short))
        };
        let here = |line: &&TallyLine| line.owner.as_ref().is_none_or(|owner| !lost.contains(owner));
        for line in under.tally.lines.iter().filter(|line| helps(line)).filter(here) {
            names.insert(match &line.owner {
                Some(owner) => Named(owner).to_string(),
                None => line.keyid.to_string(),
            });
        }
    }
    names.into_iter().collect()
}

pub(super) fn status_json(event: &SigningEvent, status: &Status, prospect: &Prospect) -> Value {
    let counts = |counts: &[Under]| -> Vec<Value> {
        let lines = |under: &Under| -> Vec<Value> {
            let line = |line: &TallyLine| {
                json!({
                    "keyid": line.keyid.as_str(),
                    "owner": line.owner,
                    "kind": line.kind,
                    "family": line.family.map(KeyFamily::name),
                    "standing": standing(line.standing),
                })
            };
            under.tally.lines.iter().map(line).collect()
        };
        counts
            .iter()
            .map(|under| {
                json!({
                    "under": under.by,
                    "needed": under.tally.needed,
                    "counted": under.tally.counted,
                    "families": under.families.iter().map(|count| json!({
                        "family": count.family.name(),
                        "needed": count.needed,
                        "counted": count.counted,
                    })).collect::<Vec<_>>(),
                    "signers": lines(under),
                })
            })
            .collect()
    };
    json!({
        "event": event.name.as_str(),
        "role": event.role.as_str(),
        "version": event.version.get(),
        "rehearsal": event.rehearsal.is_some(),
        "payloadSha256": hex::encode(event.digest()),
        "state": state_name(status.state),
        "counts": counts(&status.counts),
        "uncounted": status.uncounted.iter().map(|one| json!({"from": one.from, "why": one.why})).collect::<Vec<_>>(),
        "withdrawn": event.withdrawal().map(|withdrawn| json!({"at": withdrawn.at, "reason": withdrawn.reason})),
        "expires": event.expires().ok().map(|expires| expires.to_string()),
        "outgoingKeyMissing": status.outgoing_missing,
        "witnesses": status.witnessed.as_ref().map(|witnessed| {
            json!({"needed": witnessed.needed, "counted": witnessed.by.len()})
        }),
        "siblings": status.siblings.iter().map(|sibling| json!({
            "payloadSha256": sibling.digest,
            "event": sibling.event.as_str(),
            "counts": counts(&sibling.counts),
        })).collect::<Vec<_>>(),
        "canStillSign": missing(status, &prospect.lost),
        "outlook": prospect.json(),
    })
}
