//! `trustroot ceremony replay` and `witness`: what happened, in one screen.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::ceremony::{
    CeremonyError, EventName, EventState, Replay, ReplayedStep, SigningEvent, StepKind, Under, Witnessed,
};
use trustroot::repository::SignedState;
use trustroot::{Named, Printable, Quoted};

use super::super::maintain::{ceremony_failed, open};
use super::confirm::{Shown, confirm};
use super::matter::{NOTHING_TRUSTED, TrustedFrom, check_pin, judged_at, repository_words, time_source};
use super::status::{count, state_name};
use super::{circumstances, read_signed};
use crate::args::{CeremonyReplayOptions, CeremonyWitnessOptions, PinOptions, WorkingCopyOptions};
use crate::keys::{open_key, reference};
use crate::output::{self, Show, ShownPath};
use crate::report::Report;
use crate::ui::{Session, show_time};

/// An event that has been replayed.
struct Replayed {
    event: SigningEvent,
    signed: SignedState,
    trusted_from: Option<TrustedFrom>,
    replay: Replay,
}

fn replayed(
    session: &Session,
    name: &EventName,
    pin: &PinOptions,
    working_copy: &WorkingCopyOptions,
) -> Result<Replayed, Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(working_copy)?;
    let signed = read_signed(session, &copy)?;
    let event = SigningEvent::open(&copy, name).map_err(failed)?;
    let trusted_from = check_pin(session, &signed, &event, pin, "working copy")?;
    let replay = event.replay(&copy, &signed, session.start.time()).map_err(failed)?;
    Ok(Replayed { event, signed, trusted_from, replay })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplayShown {
    event: String,
    role: String,
    version: u64,
    repository: Option<String>,
    trusted_from: Option<String>,
    judged_at: String,
    time_source: &'static str,
    payload_sha256: String,
    state: &'static str,
    verified: bool,
    steps: Vec<Value>,
    ledger: Vec<Value>,
    siblings: Vec<Value>,
    deviations: Vec<String>,
    witness: Option<Value>,
    notes: Vec<String>,
    findings: Vec<Value>,
    tips: BTreeSet<String>,
    #[serde(skip)]
    text: String,
}

impl Show for ReplayShown {
    fn text(&self) -> String {
        self.text.clone()
    }
}

pub(super) fn replay(session: &Session, options: &CeremonyReplayOptions) -> Result<(), Report> {
    let replayed = replayed(session, &options.event, &options.pin, &options.working_copy)?;
    output::show(session.format, &shown(session, &replayed))?;
    verified(&replayed)
}

/// An error where something does not verify.
fn verified(replayed: &Replayed) -> Result<(), Report> {
    let findings: Vec<String> = replayed.replay.findings.iter().map(ToString::to_string).collect();
    if findings.is_empty() {
        return Ok(());
    }
    let event = replayed.event.name.as_str().to_owned();
    Err(ceremony_failed(&CeremonyError::NotVerified { event, findings }))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WitnessedShown {
    event: String,
    role: String,
    #[serde(skip)]
    proposed: String,
    version: u64,
    payload_sha256: String,
    records: usize,
    file: ShownPath,
    next: String,
}

impl Show for WitnessedShown {
    fn text(&self) -> String {
        format!(
            "witnessed {} v{}, {} records: {}\nnext: {}\n",
            self.proposed, self.version, self.records, self.file, self.next
        )
    }
}

pub(super) fn witness(session: &Session, options: &CeremonyWitnessOptions) -> Result<(), Report> {
    let replayed = replayed(session, &options.event, &options.pin, &options.working_copy)?;
    // The replay goes where the questions go: the result on standard output is the signature's.
    let _ = anstream::stderr().write_all(replay_text(session, &replayed).as_bytes());
    verified(&replayed)?;
    reference(&options.key.key)?;
    let digest = replayed.event.digest();
    let shown = Shown::payload(&digest, replayed.event.rehearsal.is_some());
    confirm(session, &shown, options.payload_sha256.as_ref())?;
    let key = open_key(session, &options.key)?;
    let mut with = circumstances(session);
    with.pin = replayed.trusted_from.as_ref().map(|from| from.digest);
    with.warnings = replayed.replay.deviations.iter().chain(&replayed.replay.notes).cloned().collect();
    with.siblings = replayed.replay.status.siblings.iter().map(|sibling| sibling.digest.clone()).collect();
    let event = &replayed.event;
    let file = event.witness(&replayed.signed, &*key, &with).map_err(|error| ceremony_failed(&error))?;
    let met = event.witnessed(&replayed.signed).map_err(|error| ceremony_failed(&error))?;
    let next = match (replayed.replay.status.state, met.is_none_or(|witnessed| witnessed.met())) {
        (EventState::Finished, true) if event.rehearsal.is_some() => "hold the ceremony where it is meant".to_owned(),
        (EventState::Finished, true) => "`trustroot publish`".to_owned(),
        (EventState::Finished, false) => "another witness does the same".to_owned(),
        _ => format!("witness it again after `trustroot ceremony finish {}`: what is published must be", event.name),
    };
    let answer = WitnessedShown {
        event: event.name.as_str().to_owned(),
        role: event.role.to_string(),
        proposed: event.role_as_proposed(),
        version: event.version.get(),
        payload_sha256: hex::encode(event.digest()),
        records: replayed.replay.steps.len(),
        file: ShownPath::of(file),
        next,
    };
    output::show(session.format, &answer)
}

fn counts(counts: &[Under]) -> String {
    let words: Vec<String> = counts.iter().map(count).collect();
    words.join("; ")
}

/// What was done, in a few words; what a record says is escaped.
fn step_words(step: &ReplayedStep) -> String {
    let record = &step.record;
    let mut words = match record.kind() {
        Some(StepKind::Propose) => "proposed".to_owned(),
        Some(StepKind::Sign) => "signed".to_owned(),
        Some(StepKind::Collect) => format!("collected {} over", numbered(record.made.len(), "signature")),
        Some(StepKind::Withdraw) => "withdrew".to_owned(),
        Some(StepKind::Finish) => "finished".to_owned(),
        Some(StepKind::Publish) => "published".to_owned(),
        Some(StepKind::Witness) => "witnessed".to_owned(),
        Some(StepKind::Abort) => "broke off".to_owned(),
        _ => format!("{} (not known here)", Named(&record.kind)),
    };
    let _ = write!(words, " {}", Printable(record.payload_sha256.get(..16).unwrap_or_default()));
    if let Some(signer) = &step.signed_by {
        let _ = write!(words, ", by {signer}");
    }
    let tallies: Vec<String> = record
        .tallies
        .iter()
        .map(|tally| format!("{} of {} under {}", tally.counted, tally.needed, Printable(&tally.under)))
        .collect();
    if !tallies.is_empty() {
        let _ = write!(words, " ({})", tallies.join("; "));
    }
    if let Some(reason) = &record.reason {
        let _ = write!(words, ", saying {}", Quoted(reason));
    }
    words
}

fn numbered(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Who vouches for what a step's record says.
fn vouchers(step: &ReplayedStep) -> String {
    match (&step.signed_by, step.vouched_by.is_empty()) {
        (Some(_), _) => String::new(),
        (None, true) => "; nobody vouches for this".to_owned(),
        (None, false) => {
            let by: Vec<&str> = step.vouched_by.iter().map(String::as_str).collect();
            format!("; vouched for by {}", by.join(", "))
        }
    }
}

fn replay_text(session: &Session, replayed: &Replayed) -> String {
    let Replayed { event, signed, trusted_from, replay } = replayed;
    let repository = repository_words(signed.digest());
    let trusted = trusted_from.as_ref().map_or(NOTHING_TRUSTED, |from| &from.words);
    let mut text = format!(
        "REPLAY of signing event {}: {} {}, {}\n  repository    {repository}\n  trusted from  {trusted}\n  judged at     {}\n  \
         payload       sha256 {}\n\nwhat happened\n",
        event.name,
        event.role_as_proposed(),
        event.version,
        state_name(replay.status.state),
        judged_at(session),
        hex::encode(event.digest()),
    );
    for step in &replay.steps {
        let record = &step.record;
        let source = if record.time_source == "stated" { "stated" } else { "clock" };
        let _ = writeln!(
            text,
            "  {}  {source:<6}  {}{}",
            Printable(record.at.get(..20).unwrap_or("(no time)")),
            step_words(step),
            vouchers(step)
        );
    }
    let tools: BTreeSet<String> = replay.steps.iter().map(tool).collect();
    for tool in tools {
        let _ = writeln!(text, "  with {tool}");
    }
    text.push_str("\nledger\n");
    for entry in &replay.ledger {
        let proposed = if entry.proposed { "" } else { ", no longer proposed" };
        let _ = writeln!(text, "  {}{proposed}, {}: {}", entry.digest, state_name(entry.state), counts(&entry.counts));
    }
    for sibling in replay.siblings() {
        let known = if sibling.counts.is_empty() { "not here".to_owned() } else { counts(&sibling.counts) };
        let _ = writeln!(text, "  {}, in event {}: {known}", sibling.digest, sibling.event);
    }
    list(&mut text, "deviations", &replay.deviations);
    if let Some(witnessed) = &replay.witnessed {
        text.push_str(&witness_text(witnessed));
    }
    if !replay.notes.is_empty() {
        list(&mut text, "notes", &replay.notes);
    }
    if replay.findings.is_empty() {
        let signatures = numbered(event.signatures.len(), "signature");
        let _ = writeln!(text, "\neverything verifies: {}, {signatures}", numbered(replay.steps.len(), "record"));
    } else {
        text.push_str("\nDOES NOT VERIFY\n");
        for finding in &replay.findings {
            let _ = writeln!(text, "  {finding}");
        }
    }
    text
}

fn tool(step: &ReplayedStep) -> String {
    let digest = step.record.tool_sha256.as_deref().unwrap_or("unknown");
    format!("{}, sha256 {}", Printable(&step.record.tool), Printable(digest))
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    let _ = writeln!(text, "\n{title}");
    if lines.is_empty() {
        text.push_str("  none\n");
    }
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn people(list: &[(String, String)]) -> String {
    let one = |(owner, key): &(String, String)| format!("{} ({})", Named(owner), &key[..16]);
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn witness_text(witnessed: &Witnessed) -> String {
    let mut text = format!("\nwitnesses\n  {} of {} needed\n", witnessed.by.len(), witnessed.needed);
    for (list, what) in [
        (&witnessed.by, "signed everything that happened"),
        (&witnessed.early, "signed before something else happened"),
        (&witnessed.missing, "not yet"),
    ] {
        if !list.is_empty() {
            let _ = writeln!(text, "  {what}: {}", people(list));
        }
    }
    text
}

fn shown(session: &Session, replayed: &Replayed) -> ReplayShown {
    let Replayed { event, signed, trusted_from, replay } = replayed;
    let step = |step: &ReplayedStep| {
        json!({
            "record": step.digest,
            "signedBy": step.signed_by,
            "vouchedBy": step.vouched_by,
            "says": step.record,
        })
    };
    let under = |counts: &[Under]| counts.iter().map(count).collect::<Vec<_>>();
    ReplayShown {
        event: event.name.as_str().to_owned(),
        role: event.role.to_string(),
        version: event.version.get(),
        repository: signed.digest().map(hex::encode),
        trusted_from: trusted_from.as_ref().map(|from| from.words.clone()),
        judged_at: show_time(session.start.time()),
        time_source: time_source(session),
        payload_sha256: hex::encode(event.digest()),
        state: state_name(replay.status.state),
        verified: replay.verified(),
        steps: replay.steps.iter().map(step).collect(),
        ledger: replay
            .ledger
            .iter()
            .map(|entry| {
                json!({
                    "payloadSha256": entry.digest,
                    "proposed": entry.proposed,
                    "state": state_name(entry.state),
                    "counts": under(&entry.counts),
                })
            })
            .collect(),
        siblings: replay
            .siblings()
            .map(|sibling| {
                json!({
                    "payloadSha256": sibling.digest,
                    "event": sibling.event.as_str(),
                    "counts": under(&sibling.counts),
                })
            })
            .collect(),
        deviations: replay.deviations.clone(),
        witness: replay.witnessed.as_ref().map(|witnessed| {
            let people = |list: &[(String, String)]| -> Vec<Value> {
                list.iter().map(|(owner, key)| json!({"owner": owner, "key": key})).collect()
            };
            json!({
                "needed": witnessed.needed,
                "met": witnessed.met(),
                "signed": people(&witnessed.by),
                "early": people(&witnessed.early),
                "missing": people(&witnessed.missing),
            })
        }),
        notes: replay.notes.clone(),
        findings: replay
            .findings
            .iter()
            .map(|finding| json!({"finding": finding.name(), "text": finding.to_string()}))
            .collect(),
        tips: replay.tips.clone(),
        text: replay_text(session, replayed),
    }
}
