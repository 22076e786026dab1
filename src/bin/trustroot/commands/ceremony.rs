//! `trustroot ceremony`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::ceremony::{
    AcceptedRisks, CeremonyError, Challenge, Change, EventName, EventState, Fate, Keys, Mark, Request, Response,
    Review, SigningEvent, Status, Under, files_to_collect,
};
use trustroot::client::{CacheMode, LocalCache, Store as _, read_bounded};
use trustroot::crypto::{KeyFamily, sha256};
use trustroot::metadata::{Envelope, RoleName, Root, Targets};
use trustroot::repository::{FamilyCount, Proposal, SignedState, WorkingCopy};
use trustroot::trust::{LocalFile, Standing, TallyLine};

use super::maintain::{ceremony_failed, open, repository_failed, role};
use super::trust::read_root;
use crate::args::{
    CeremonyCollectOptions, CeremonyCommand, CeremonyFinishOptions, CeremonyRequestOptions, CeremonyResponseOptions,
    CeremonyReviewOptions, CeremonySignOptions, CeremonyStartOptions, CeremonyStatusOptions, CeremonyWithdrawOptions,
    PinOptions, WorkingCopyOptions,
};
use crate::config::TrustName;
use crate::html::Page;
use crate::keys::{create_public, open_key};
use crate::output::{self, Show, ShownPath};
use crate::qr;
use crate::report::{Outcome, Report, signer, standing};
use crate::ui::{Session, paint, read_named, show_path, show_time};

pub(crate) fn run(session: &Session, command: CeremonyCommand) -> Result<(), Report> {
    match command {
        CeremonyCommand::Start(options) => start(session, &options),
        CeremonyCommand::Status(options) => status(session, &options),
        CeremonyCommand::Review(options) => review(session, &options),
        CeremonyCommand::Sign(options) => sign(session, &options),
        CeremonyCommand::Request(options) => request(session, &options),
        CeremonyCommand::Response(options) => response(session, &options),
        CeremonyCommand::Collect(options) => collect(session, &options),
        CeremonyCommand::Withdraw(options) => withdraw(session, &options),
        CeremonyCommand::Finish(options) => finish(session, &options),
    }
}

fn read_signed(session: &Session, copy: &WorkingCopy) -> Result<SignedState, Report> {
    copy.signed(session.start).map_err(|error| repository_failed(&error))
}

/// The event that is meant: the one named, or the only one in one of these states.
fn choose(
    copy: &WorkingCopy,
    signed: &SignedState,
    named: Option<&EventName>,
    states: &[EventState],
) -> Result<SigningEvent, Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    if let Some(name) = named {
        return SigningEvent::open(copy, name).map_err(failed);
    }
    let mut open = Vec::new();
    for name in SigningEvent::names(copy).map_err(failed)? {
        // One that cannot be read is said by `status`; it does not stand in the way of the others.
        let Ok(event) = SigningEvent::open(copy, &name) else { continue };
        if event.status(copy, signed).is_ok_and(|status| states.contains(&status.state)) {
            open.push(event);
        }
    }
    match open.len() {
        1 => Ok(open.remove(0)),
        0 => Err(Report::new(Outcome::WrongQuestion, "no-event", "no signing event waits for this")
            .hint("see where events stand with `trustroot ceremony status NAME`, or start one")),
        _ => {
            let several: Vec<&str> = open.iter().map(|event| event.name.as_str()).collect();
            Err(Report::new(Outcome::WrongQuestion, "which-event", "several signing events are open")
                .fact("events", several.join(", "))
                .hint("say which one"))
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    event: String,
    role: String,
    version: u64,
    payload_sha256: String,
    /// Signatures that no longer count.
    voided: usize,
    next: String,
}

impl Show for Started {
    fn text(&self) -> String {
        let voided = match self.voided {
            0 => String::new(),
            1 => "the proposal changed: 1 signature collected so far no longer counts\n".to_owned(),
            n => format!("the proposal changed: {n} signatures collected so far no longer count\n"),
        };
        format!(
            "proposed {} v{} as signing event {}\n  payload  sha256 {}\n{voided}next: {}\n",
            self.role, self.version, self.event, self.payload_sha256, self.next
        )
    }
}

fn start(session: &Session, options: &CeremonyStartOptions) -> Result<(), Report> {
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let role = role(&options.role)?;
    let proposal =
        Proposal::of(&copy, &signed, &role, session.start.time()).map_err(|error| repository_failed(&error))?;
    let name = options.name.clone().unwrap_or_else(|| EventName::of(&role, proposal.version));
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let event = SigningEvent::start(&copy, &signed, &proposal, &name).map_err(failed)?;
    let voided = event.signatures.len() - event.over_this_payload().count();
    let problems = event.review(&copy, &signed, session.start.time()).map_err(failed)?.problems;
    if !problems.is_empty() {
        return Err(ceremony_failed(&CeremonyError::BreaksRules { problems }));
    }
    let started = Started {
        event: name.as_str().to_owned(),
        role: role.to_string(),
        version: event.version.get(),
        payload_sha256: hex::encode(event.digest()),
        voided,
        next: format!("each signer runs `trustroot ceremony sign {name} --key FILE`"),
    };
    output::show(session.format, &started)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Statuses {
    events: Vec<Value>,
    #[serde(skip)]
    text: String,
}

impl Show for Statuses {
    fn text(&self) -> String {
        self.text.clone()
    }
}

fn status(session: &Session, options: &CeremonyStatusOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let names = match &options.event {
        Some(name) => vec![name.clone()],
        None => SigningEvent::names(&copy).map_err(failed)?,
    };
    let (mut events, mut text) = (Vec::new(), String::new());
    for name in &names {
        // One event that cannot be read does not hide the others.
        let read = SigningEvent::open(&copy, name).and_then(|event| Ok((event.status(&copy, &signed)?, event)));
        match read {
            Err(error) if options.event.is_some() => return Err(failed(error)),
            Err(error) => {
                let _ = writeln!(text, "{name}: cannot be read: {error}");
                events.push(json!({"event": name.as_str(), "error": error.to_string()}));
            }
            Ok((status, event)) => {
                let done = matches!(status.state, EventState::Finished | EventState::Superseded);
                if options.event.is_some() || !done {
                    text.push_str(&status_text(session, &event, &status));
                    events.push(status_json(&event, &status));
                }
            }
        }
    }
    if text.is_empty() {
        text.push_str("no signing event is open\n");
    }
    output::show(session.format, &Statuses { events, text })
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

fn status_text(session: &Session, event: &SigningEvent, status: &Status) -> String {
    let mut text = format!(
        "{}: {} {}, {}\n  payload  sha256 {}\n",
        event.name,
        event.role,
        event.version,
        state_words(status.state),
        hex::encode(event.digest())
    );
    if let Some(withdrawn) = event.withdrawal() {
        let (at, reason) = (Printable(&withdrawn.at), Whole(&withdrawn.reason));
        let _ = writeln!(text, "  withdrawn on {at}, nobody signed why: \"{reason}\"");
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
        let _ = writeln!(text, "  not counted: {}: {}", Printable(&uncounted.from), uncounted.why);
    }
    for owner in &status.outgoing_missing {
        let _ = writeln!(text, "  {} changes keys: the outgoing key must sign too", Printable(owner));
    }
    text.push_str(&siblings_text(event, status));
    let next = match status.state {
        EventState::Open | EventState::Complete if expired.is_some() => {
            format!("`trustroot ceremony start {}`", event.role)
        }
        EventState::Open => {
            let missing = missing(status);
            let who =
                if missing.is_empty() { "nobody is left who could sign".to_owned() } else { missing.join(" or ") };
            format!("{who} runs `trustroot ceremony sign {} --key FILE`", event.name)
        }
        EventState::Complete if !status.outgoing_missing.is_empty() => {
            format!("they sign with it, or `trustroot ceremony finish {} --lost NAME`", event.name)
        }
        EventState::Complete => format!("`trustroot ceremony finish {}`", event.name),
        EventState::Finished => "`trustroot publish`".to_owned(),
        _ => format!("`trustroot ceremony start {}`", event.role),
    };
    let _ = writeln!(text, "next: {next}");
    text
}

/// What else has been signed, or may have been, for the same version.
fn siblings_text(event: &SigningEvent, status: &Status) -> String {
    let mut text = String::new();
    for sibling in &status.siblings {
        let counts: Vec<String> = sibling.counts.iter().map(count).collect();
        let known = if counts.is_empty() { "its payload is not here".to_owned() } else { counts.join("; ") };
        let _ = writeln!(
            text,
            "  sibling: another {} {} has signatures, in event {} ({known})\n    payload  sha256 {}",
            event.role, event.version, sibling.event, sibling.digest
        );
    }
    for (name, problem) in &status.unreadable_events {
        let _ = writeln!(text, "  event {name} cannot be read, and may hold another: {}", Printable(problem));
    }
    text
}

fn count(under: &Under) -> String {
    let of = |count: &FamilyCount| format!(", {} of {} {}", count.counted, count.needed, count.family);
    let families: String = under.families.iter().map(of).collect();
    format!("{} of {}{families} under {}", under.tally.counted, under.tally.needed, under.by)
}

/// Who can still sign, by name where there is one.
fn missing(status: &Status) -> Vec<String> {
    let mut names = std::collections::BTreeSet::new();
    for under in status.counts.iter().filter(|under| !under.met()) {
        // Once the threshold is met, only keys of the families that are short help.
        let helps = |line: &TallyLine| {
            let short = |count: &FamilyCount| !count.met() && line.family == Some(count.family);
            line.standing == Standing::Missing && (!under.tally.met() || under.families.iter().any(short))
        };
        for line in under.tally.lines.iter().filter(|line| helps(line)) {
            names.insert(match &line.owner {
                Some(owner) => Printable(owner).to_string(),
                None => line.keyid.to_string(),
            });
        }
    }
    names.into_iter().collect()
}

fn status_json(event: &SigningEvent, status: &Status) -> Value {
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
        "payloadSha256": hex::encode(event.digest()),
        "state": match status.state {
            EventState::Open => "open",
            EventState::Complete => "complete",
            EventState::Finished => "finished",
            EventState::Superseded => "superseded",
            EventState::Withdrawn => "withdrawn",
            _ => "unknown",
        },
        "counts": counts(&status.counts),
        "uncounted": status.uncounted.iter().map(|one| json!({"from": one.from, "why": one.why})).collect::<Vec<_>>(),
        "withdrawn": event.withdrawal().map(|withdrawn| json!({"at": withdrawn.at, "reason": withdrawn.reason})),
        "expires": event.expires().ok().map(|expires| expires.to_string()),
        "outgoingKeyMissing": status.outgoing_missing,
        "siblings": status.siblings.iter().map(|sibling| json!({
            "payloadSha256": sibling.digest,
            "event": sibling.event.as_str(),
            "counts": counts(&sibling.counts),
        })).collect::<Vec<_>>(),
        "canStillSign": missing(status),
    })
}

/// Checks that the chain of roots that is at hand holds the root that the user trusts.
fn check_pin(
    session: &Session,
    signed: &SignedState,
    event: &SigningEvent,
    pin: &PinOptions,
    place: &'static str,
) -> Result<Option<String>, Report> {
    let chosen = match (&pin.root_sha256, &pin.root, &pin.trust) {
        (Some(digest), _, _) => Some((*digest, "the digest that you gave".to_owned())),
        (None, Some(file), _) => Some((sha256(&read_root(file)?), format!("the file {}", show_path(file)))),
        (None, None, Some(name)) => {
            let trust = session.store()?.load(name)?;
            Some((sha256(&trust.root), format!("the root pinned as {name}")))
        }
        (None, None, None) => None,
    };
    match chosen {
        // Nothing vouches for a first root but the comparison of its digest.
        None if signed.root().is_none() && event.role == RoleName::Root && event.version.get() == 1 => Ok(None),
        None => Err(ceremony_failed(&CeremonyError::NoPin)),
        Some((digest, what)) => {
            let found = signed.roots().find(|(_, bytes)| sha256(bytes) == digest);
            match found {
                Some((root, _)) => {
                    if let Some(name) = &pin.trust {
                        not_behind(session, signed, event, name)?;
                    }
                    Ok(Some(format!("root {}, {what}{}", root.version, newest_root(signed))))
                }
                None => Err(ceremony_failed(&CeremonyError::PinNotInChain { place, pin: hex::encode(digest) })),
            }
        }
    }
}

/// The newest root of the working copy, for comparing with one's own records.
fn newest_root(signed: &SignedState) -> String {
    match signed.roots().next_back() {
        Some((root, bytes)) => format!("; newest here: root {}, sha256 {}", root.version, hex::encode(sha256(bytes))),
        None => String::new(),
    }
}

/// Refuses a working copy that is older than what this machine has seen published.
fn not_behind(session: &Session, signed: &SignedState, event: &SigningEvent, name: &TrustName) -> Result<(), Report> {
    let trust = session.store()?.load(name)?;
    let cache = LocalCache::new(trust.metadata_directory(), CacheMode::ReadOnly);
    for role in [&RoleName::Root, &RoleName::Targets, &event.role] {
        let Some(bytes) = cache.read(&LocalFile::Role(role.clone()).into()).map_err(|error| Report::io(&error))? else {
            continue;
        };
        let seen = Envelope::parse(&bytes).and_then(|envelope| match role {
            RoleName::Root => envelope.unverified::<Root>().map(|root| root.version),
            _ => envelope.unverified::<Targets>().map(|targets| targets.version),
        });
        let here = match role {
            RoleName::Root => signed.root().map(|root| root.version),
            role => signed.role(role).map_err(|error| repository_failed(&error))?.map(|signed| signed.version()),
        };
        if let Ok(seen) = seen
            && here.is_none_or(|here| here < seen)
        {
            let here = here.map_or_else(|| "none".to_owned(), |here| here.to_string());
            return Err(Report::new(
                Outcome::No,
                "stale-working-copy",
                format!("the working copy is behind: {role} {seen} has been published, and the newest here is {here}"),
            )
            .still("nothing was signed")
            .hint("get the newest working copy; if this is said to be it, somebody has set it back: tell the others"));
        }
    }
    Ok(())
}

/// What is reviewed, and from what.
struct Matter {
    event: SigningEvent,
    signed: SignedState,
    review: Review,
    status: Status,
    trusted_from: Option<String>,
    /// What a request says that it is for; `None` for an event of a working copy.
    request: Option<Claims>,
}

/// What a request says, and nobody signed.
struct Claims {
    file: String,
    purpose: Option<String>,
}

/// Reads what a user names, checks it against what they trust, and compares it with what was signed last.
fn matter(
    session: &Session,
    named: Option<&str>,
    pin: &PinOptions,
    trial: bool,
    working_copy: &WorkingCopyOptions,
) -> Result<Matter, Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    if let Some(file) = named.map(Path::new).filter(|file| file.is_file()) {
        let opened = Request::open(file, session.start).map_err(failed)?;
        let trusted_from = check_pin(session, &opened.signed, &opened.event, pin, "request")?;
        let keys = if trial { Keys::Throwaway } else { Keys::Real };
        let review = opened.event_review(keys, session.start.time()).map_err(failed)?;
        let status = opened.status().map_err(failed)?;
        let request = Some(Claims { file: show_path(file), purpose: opened.purpose });
        return Ok(Matter { event: opened.event, signed: opened.signed, review, status, trusted_from, request });
    }
    if trial {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "not-a-request",
            "`--trial` is for requests, and this is none",
        )
        .hint("whether a working copy is a trial says its trustroot.toml"));
    }
    let name: Option<EventName> = match named {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let what = format!("`{}` is neither a file nor the name of an event", Printable(text));
            Report::new(Outcome::WrongQuestion, "no-event", what).still("nothing was signed")
        })?),
    };
    let copy = open(working_copy)?;
    let signed = read_signed(session, &copy)?;
    let event = choose(&copy, &signed, name.as_ref(), REVIEWABLE)?;
    let trusted_from = check_pin(session, &signed, &event, pin, "working copy")?;
    let review = event.review(&copy, &signed, session.start.time()).map_err(failed)?;
    let status = event.status(&copy, &signed).map_err(failed)?;
    Ok(Matter { event, signed, review, status, trusted_from, request: None })
}

/// Where the time that things are judged by comes from.
fn time_source(session: &Session) -> &'static str {
    if session.time_is_chosen { "stated" } else { "clock" }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reviewed {
    repository: Option<String>,
    trusted_from: Option<String>,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposed_purpose: Option<String>,
    judged_at: String,
    time_source: &'static str,
    file: String,
    role: String,
    version: u64,
    compared_with: String,
    expires: String,
    changes: Vec<Value>,
    left_out: Vec<String>,
    notes: Vec<String>,
    problems: Vec<String>,
    siblings: Vec<String>,
    payload_sha256: String,
    words: Vec<String>,
    #[serde(skip)]
    text: String,
}

impl Show for Reviewed {
    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Reviewed {
    fn of(session: &Session, matter: &Matter) -> Self {
        let Matter { event, review, status, trusted_from, request, .. } = matter;
        Self {
            repository: review.repository.map(hex::encode),
            trusted_from: trusted_from.clone(),
            event: event.name.as_str().to_owned(),
            request: request.as_ref().map(|claims| claims.file.clone()),
            proposed_purpose: request.as_ref().and_then(|claims| claims.purpose.clone()),
            judged_at: show_time(session.start.time()),
            time_source: time_source(session),
            file: review.file.clone(),
            role: review.role.to_string(),
            version: review.version.get(),
            compared_with: review.compared_with.clone(),
            expires: review.expiry.clone(),
            changes: review
                .changes
                .iter()
                .map(|change| json!({"mark": change.mark.sign().to_string(), "text": change.text}))
                .collect(),
            left_out: event.left_out().iter().map(ToString::to_string).collect(),
            notes: review.notes.clone(),
            problems: review.problems.clone(),
            siblings: status.siblings.iter().map(|sibling| sibling.digest.clone()).collect(),
            payload_sha256: hex::encode(review.digest),
            words: review.words(),
            text: review_text(session, matter),
        }
    }
}

fn review_text(session: &Session, matter: &Matter) -> String {
    let Matter { event, review, status, trusted_from, request, .. } = matter;
    let repository = match review.repository {
        Some(digest) => format!("first root sha256 {}", hex::encode(digest)),
        None => "a new one: this proposes its first root".to_owned(),
    };
    let nothing = "nothing yet: only your comparison of the digest vouches for this";
    let trusted = trusted_from.as_deref().unwrap_or(nothing);
    let mut text = format!("REVIEW of signing event {}", event.name);
    if let Some(claims) = request {
        let _ = write!(text, ", from the request {}", claims.file);
    }
    let _ = write!(text, "\n  repository    {repository}\n  trusted from  {trusted}\n");
    let (time, source) = (show_time(session.start.time()), time_source(session));
    let source = if source == "stated" { "as you stated" } else { "by this machine's clock" };
    let _ = write!(
        text,
        "  judged at     {time}, {source}\n  file          {}\n  proposes      {} {}\n  compared with {}\n  \
         expires       {}\n",
        review.file, review.role, review.version, review.compared_with, review.expiry
    );
    if let Some(purpose) = request.as_ref().and_then(|claims| claims.purpose.as_ref()) {
        let _ = writeln!(text, "  proposed purpose, signed by nobody: \"{}\"", Whole(purpose));
    }
    text.push_str("\nproposed changes\n");
    for change in &review.changes {
        let _ = writeln!(text, "  {}", paint_change(change));
    }
    if review.changes.is_empty() {
        text.push_str("  none but version and expiry\n");
    }
    for path in event.left_out() {
        let _ = writeln!(text, "  not in the request, known by its digest only: {path}");
    }
    for note in &review.notes {
        let _ = writeln!(text, "  note: {}", Printable(note));
    }
    for problem in &review.problems {
        let _ = writeln!(text, "  BREAKS A RULE: {}", Printable(problem));
    }
    text.push_str(&siblings_text(event, status));
    let _ = writeln!(text, "\npayload sha256\n  {}", review.groups());
    text.push_str("in words, to compare aloud with a second machine\n");
    for (row, words) in review.words().chunks(4).enumerate() {
        let _ = writeln!(text, "  {:2}  {}", row * 4 + 1, words.join(" "));
    }
    text
}

/// Escaped text, however long: that of a purpose has its own limit.
struct Whole<'a>(&'a str);

impl std::fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut buffer = [0; 4];
        self.0.chars().try_for_each(|character| write!(f, "{}", Printable(character.encode_utf8(&mut buffer))))
    }
}

/// The review as a page.
fn page(matter: &Matter, reviewed: &Reviewed) -> String {
    let Matter { event, review, status, .. } = matter;
    let title = format!("Review of signing event {}", event.name);
    let source = if reviewed.time_source == "stated" { "as stated" } else { "by this machine's clock" };
    let or = |text: &Option<String>, none: &str| text.clone().unwrap_or_else(|| none.to_owned());
    let mut facts = vec![
        ("first root of the repository, SHA-256", or(&reviewed.repository, "a new one: this proposes its first root")),
        (
            "trusted from",
            or(&reviewed.trusted_from, "nothing yet: only your comparison of the digest vouches for this"),
        ),
        ("judged at", format!("{}, {source}", reviewed.judged_at)),
        ("file", review.file.clone()),
        ("proposes", format!("{} {}", review.role, review.version)),
        ("compared with", review.compared_with.clone()),
        ("expires", review.expiry.clone()),
    ];
    if let Some(claims) = &matter.request {
        facts.push(("request", claims.file.clone()));
        if let Some(purpose) = &claims.purpose {
            facts.push(("proposed purpose, signed by nobody", Whole(purpose).to_string()));
        }
    }
    for path in event.left_out() {
        facts.push(("not in the request, known by its digest only", path.to_string()));
    }
    let mut notes: Vec<String> = review.notes.iter().map(|note| Printable(note).to_string()).collect();
    notes.extend(siblings_text(event, status).lines().map(str::to_owned));
    Page {
        title: &title,
        facts,
        changes: review.changes.iter().map(|change| (change.mark.sign(), change.text.as_str())).collect(),
        notes,
        problems: review.problems.iter().map(|problem| Printable(problem).to_string()).collect(),
        groups: review.groups(),
        words: review.words(),
    }
    .html()
}

fn paint_change(change: &Change) -> String {
    let style = match change.mark {
        Mark::Added => anstyle::AnsiColor::Green.on_default(),
        Mark::Removed => anstyle::AnsiColor::Red.on_default(),
        Mark::Changed => anstyle::AnsiColor::Yellow.on_default(),
        _ => anstyle::Style::new(),
    };
    let line = format!("{} {}", change.mark.sign(), change.text);
    if style == anstyle::Style::new() { line } else { paint(&line, style) }
}

const REVIEWABLE: &[EventState] = &[EventState::Open, EventState::Complete];

fn review(session: &Session, options: &CeremonyReviewOptions) -> Result<(), Report> {
    let matter = matter(session, options.event.as_deref(), &options.pin, options.trial, &options.working_copy)?;
    let reviewed = Reviewed::of(session, &matter);
    if let Some(file) = &options.html {
        write_once(file, page(&matter, &reviewed).as_bytes())?;
    }
    output::show(session.format, &reviewed)?;
    if matter.review.problems.is_empty() {
        return Ok(());
    }
    Err(ceremony_failed(&CeremonyError::BreaksRules { problems: matter.review.problems }))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    event: String,
    role: String,
    version: u64,
    payload_sha256: String,
    files: Vec<ShownPath>,
    counts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Show for Signed {
    fn text(&self) -> String {
        let counts = if self.counts.is_empty() { String::new() } else { format!(" ({})", self.counts.join("; ")) };
        let files: Vec<String> = self.files.iter().map(ToString::to_string).collect();
        let mut text = format!("signed {} v{}{counts}: {}\n", self.role, self.version, files.join(", "));
        if let Some(next) = &self.next {
            let _ = writeln!(text, "next: {next}");
        }
        text
    }
}

fn sign(session: &Session, options: &CeremonySignOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let mut matter = matter(session, options.event.as_deref(), &options.pin, options.trial, &options.working_copy)?;
    // The review goes where the questions go: the result on standard output is the signature's.
    let _ = anstream::stderr().write_all(review_text(session, &matter).as_bytes());
    if !matter.review.problems.is_empty() {
        return Err(failed(CeremonyError::BreaksRules { problems: matter.review.problems }));
    }
    let (role, version) = (matter.event.role.clone(), matter.event.version);
    match matter.status.state {
        EventState::Superseded => return Err(failed(CeremonyError::Superseded { role, version })),
        EventState::Finished => return Err(failed(CeremonyError::Finished { role, version })),
        EventState::Withdrawn => return Err(failed(CeremonyError::Withdrawn { role, version })),
        _ => {}
    }
    match &options.output {
        Some(file) if file.exists() => return Err(exists(file).still("nothing was signed")),
        None if matter.request.is_some() => {
            return Err(Report::new(Outcome::WrongQuestion, "no-output", "a request is answered by a file")
                .still("nothing was signed")
                .hint("say where to write the response: `-o FILE`"));
        }
        _ => {}
    }
    confirm(session, &matter.review, options.payload_sha256.as_ref())?;
    let key = open_key(session, &options.key)?;
    let event = &mut matter.event;
    let (files, counts, next) = if let Some(file) = &options.output {
        let mut response = event.respond(&matter.signed, &*key).map_err(failed)?;
        response.signed_at = Some(show_time(session.start.time()));
        response.time_source = Some(time_source(session).to_owned());
        response.made_by = Some(concat!("trustroot ", env!("CARGO_PKG_VERSION")).to_owned());
        create_public(file, response.to_json().as_bytes())?;
        let next = format!("where the event is, `trustroot ceremony collect {} {}`", event.name, show_path(file));
        (vec![ShownPath::of(file.clone())], Vec::new(), Some(next))
    } else {
        let files = event.sign(&matter.signed, &*key).map_err(failed)?;
        let counts = event.counts(&matter.signed).map_err(failed)?;
        (files.into_iter().map(ShownPath::of).collect(), counts.iter().map(count).collect(), None)
    };
    let answer = Signed {
        event: event.name.as_str().to_owned(),
        role: event.role.to_string(),
        version: event.version.get(),
        payload_sha256: hex::encode(event.digest()),
        files,
        counts,
        next,
    };
    output::show(session.format, &answer)
}

/// Has the signer confirm the payload: by its digest from a second machine, or by four of its words.
fn confirm(session: &Session, review: &Review, given: Option<&[u8; 32]>) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    if let Some(given) = given {
        return if *given == review.digest {
            Ok(())
        } else {
            let report = failed(CeremonyError::NotConfirmed);
            Err(report.fact("given", hex::encode(given)).fact("payload", hex::encode(review.digest)))
        };
    }
    if !session.interactive {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "no-terminal",
            "the payload has to be confirmed, and there is no terminal to ask on",
        )
        .still("nothing was signed")
        .hint("compare the digest with a second machine, and give it with `--payload-sha256`"));
    }
    let challenge = Challenge::random().map_err(|error| failed(error.into()))?;
    let places: Vec<String> = challenge.places().iter().map(|place| (place + 1).to_string()).collect();
    let _ =
        write!(anstream::stderr(), "\ntype the words number {}, as the second machine shows them: ", places.join(", "));
    let _ = anstream::stderr().flush();
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).map_err(|error| Report::io(&error))?;
    if challenge.is_met(&review.digest, &typed) { Ok(()) } else { Err(failed(CeremonyError::NotConfirmed)) }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    event: String,
    request: ShownPath,
    length: usize,
    payload_sha256: String,
    /// Files that the request names by their digests only.
    left_out: Vec<String>,
}

impl Show for Requested {
    fn text(&self) -> String {
        let mut text = format!(
            "wrote {} ({} bytes) of signing event {}\n  payload  sha256 {}\n",
            self.request, self.length, self.event, self.payload_sha256
        );
        for path in &self.left_out {
            let _ = writeln!(text, "  too long, named by its digest only: {path}");
        }
        let _ = writeln!(
            text,
            "next: each signer runs `trustroot ceremony sign {} --key FILE --root-sha256 DIGEST -o RESPONSE`",
            self.request
        );
        text
    }
}

fn exists(file: &Path) -> Report {
    let what = format!("`{}` exists already, and is something else", show_path(file));
    Report::new(Outcome::WrongQuestion, "file-exists", what).hint("choose another name")
}

fn request(session: &Session, options: &CeremonyRequestOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let event = SigningEvent::open(&copy, &options.event).map_err(failed)?;
    if event.withdrawal().is_some() {
        let (role, version) = (event.role.clone(), event.version);
        return Err(failed(CeremonyError::Withdrawn { role, version }));
    }
    let purpose = options.purpose.as_deref();
    let bytes = Request::write(&event, &copy, &signed, purpose, session.start).map_err(failed)?;
    let there = Request::parse(&bytes, session.start).map_err(failed)?;
    write_once(&options.output, &bytes)?;
    let result = Requested {
        event: event.name.as_str().to_owned(),
        request: ShownPath::of(options.output.clone()),
        length: bytes.len(),
        payload_sha256: hex::encode(event.digest()),
        left_out: there.event.left_out().iter().map(ToString::to_string).collect(),
    };
    output::show(session.format, &result)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    payload_sha256: String,
    key: String,
    /// What the QR code holds.
    line: String,
    /// What the signer's machine says.
    claims: Vec<String>,
    #[serde(skip)]
    code: Option<String>,
}

impl Show for ResponseShown {
    fn text(&self) -> String {
        let repository = self.repository.as_deref().unwrap_or("none yet: this signs its first root");
        let mut text = format!(
            "response, not verified: `ceremony collect` does that\n  first root  sha256 {repository}\n  payload     sha256 {}\n  \
             key         sha256 {}\n",
            self.payload_sha256, self.key
        );
        for claim in &self.claims {
            let _ = writeln!(text, "  says        {}", Printable(claim));
        }
        if let Some(code) = &self.code {
            text.push_str(code);
        }
        text
    }
}

/// Longest response that is read, in bytes.
const LONGEST_RESPONSE: u64 = 64 << 10;

fn response(session: &Session, options: &CeremonyResponseOptions) -> Result<(), Report> {
    let bytes = read_named(&options.response, LONGEST_RESPONSE)?;
    let response = Response::parse(&bytes).ok_or_else(|| {
        let what = format!("`{}` is not a response that is taken", show_path(&options.response));
        Report::new(Outcome::WrongQuestion, "not-a-response", what)
            .hint("`trustroot ceremony sign REQUEST -o FILE` writes one")
    })?;
    let line = response.to_line();
    let mut code = None;
    if let Some(target) = &options.qr {
        let drawn = qr::encode(&line).ok_or_else(|| {
            let what = format!("the signature has {} bytes, which no QR code holds", response.sig.len() / 2);
            Report::new(Outcome::WrongQuestion, "does-not-fit", what)
                .hint("carry the file itself: it is small for a stick, and large for a camera")
        })?;
        if target.as_os_str() == "-" {
            code = Some(qr::for_terminal(&drawn));
        } else {
            let picture = qr::png(&drawn).map_err(|error| Report::io(&error))?;
            write_once(target, &picture)?;
        }
    }
    let said = [&response.signed_at, &response.time_source, &response.made_by];
    let shown = ResponseShown {
        repository: response.repository.clone(),
        payload_sha256: response.payload_sha256.clone(),
        key: response.key.clone(),
        line,
        claims: said.into_iter().flatten().cloned().collect(),
        code,
    };
    output::show(session.format, &shown)
}

/// Writes a new file. The same content may be written again; another file is not lost.
fn write_once(path: &Path, bytes: &[u8]) -> Result<(), Report> {
    match read_bounded(path, bytes.len() as u64) {
        Ok(None) => create_public(path, bytes),
        Ok(Some(there)) if there == bytes => Ok(()),
        _ => Err(exists(path).still("it was left as it is")),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CollectedFrom {
    event: String,
    collected: Vec<CollectedLine>,
    /// Files in directories that hold no signatures for this event.
    passed_over: usize,
    status: Value,
    #[serde(skip)]
    status_text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CollectedLine {
    from: ShownPath,
    keyid: String,
    counts: bool,
    fate: String,
    #[serde(skip)]
    text: String,
}

impl Show for CollectedFrom {
    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.collected {
            let _ = writeln!(text, "{}: {}", line.from, line.text);
        }
        match self.passed_over {
            0 => {}
            1 => text.push_str("1 other file holds nothing for this event\n"),
            n => {
                let _ = writeln!(text, "{n} other files hold nothing for this event");
            }
        }
        text + &self.status_text
    }
}

fn collect(session: &Session, options: &CeremonyCollectOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let mut event = SigningEvent::open(&copy, &options.event).map_err(failed)?;
    let (mut collected, mut passed_over) = (Vec::new(), 0);
    for path in &options.from {
        let files = files_to_collect(path).map_err(|error| Report::io(&error))?;
        for file in files {
            for one in event.collect_file(&signed, &file).map_err(failed)? {
                // Whoever hands over a directory does not mean every file in it.
                if matches!(one.fate, Fate::Unusable(_)) && file != *path {
                    passed_over += 1;
                    continue;
                }
                let fate = match &one.fate {
                    Fate::Filed => "filed",
                    Fate::Known => "known",
                    Fate::Stale { .. } => "stale",
                    Fate::Uncounted(_) => "uncounted",
                    _ => "unusable",
                };
                let (from, fate) = (ShownPath::of(file.clone()), fate.to_owned());
                let (counts, text) = (one.counts(), one.to_string());
                collected.push(CollectedLine { from, keyid: one.keyid, counts, fate, text });
            }
        }
    }
    let status = event.status(&copy, &signed).map_err(failed)?;
    let nothing = !collected.iter().any(|line| line.counts);
    let result = CollectedFrom {
        event: event.name.as_str().to_owned(),
        collected,
        passed_over,
        status: status_json(&event, &status),
        status_text: status_text(session, &event, &status),
    };
    output::show(session.format, &result)?;
    if nothing {
        return Err(Report::new(Outcome::No, "nothing-collected", "nothing that was given counts for this event")
            .hint("the lines above say why; ask whoever sent it which payload they signed, and with which key"));
    }
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawn {
    event: String,
    role: String,
    version: u64,
    payload_sha256: String,
    /// Under whose rules it had how many signatures.
    counts: Vec<String>,
    next: String,
}

impl Show for Withdrawn {
    fn text(&self) -> String {
        format!(
            "withdrew {} v{} ({}), which stays in the event with its signatures\n  payload  sha256 {}\nnext: {}\n",
            self.role,
            self.version,
            self.counts.join("; "),
            self.payload_sha256,
            self.next
        )
    }
}

fn withdraw(session: &Session, options: &CeremonyWithdrawOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let mut event = SigningEvent::open(&copy, &options.event).map_err(failed)?;
    let status = event.status(&copy, &signed).map_err(failed)?;
    let (role, version) = (event.role.clone(), event.version);
    match status.state {
        EventState::Finished => return Err(failed(CeremonyError::Finished { role, version })),
        EventState::Superseded => return Err(failed(CeremonyError::Superseded { role, version })),
        _ => {}
    }
    event.withdraw(&options.because, session.start.time()).map_err(failed)?;
    let withdrawn = Withdrawn {
        event: event.name.as_str().to_owned(),
        role: role.to_string(),
        version: version.get(),
        payload_sha256: hex::encode(event.digest()),
        counts: status.counts.iter().map(count).collect(),
        next: format!("put the configuration right, then `trustroot ceremony start {role}`"),
    };
    output::show(session.format, &withdrawn)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finished {
    role: String,
    version: u64,
    file: ShownPath,
    sha256: String,
    next: String,
}

impl Show for Finished {
    fn text(&self) -> String {
        format!(
            "finished {} v{}: {}\n  sha256  {}\nnext: {}\n",
            self.role, self.version, self.file, self.sha256, self.next
        )
    }
}

fn finish(session: &Session, options: &CeremonyFinishOptions) -> Result<(), Report> {
    if session.time_is_chosen {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "chosen-time",
            "whether a cap or level would start in the past is judged now, not at a time of your choice",
        )
        .hint("leave out `--at`"));
    }
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let event = choose(&copy, &signed, options.event.as_ref(), &[EventState::Complete])?;
    let mut accepted = AcceptedRisks::default();
    accepted.lost.clone_from(&options.lost);
    accepted.siblings = options.accept_sibling.iter().map(hex::encode).collect();
    let version = event.finish(&copy, &signed, session.start.time(), &accepted).map_err(failed)?;
    // What was written is read again: from here on everything builds on it.
    let signed = read_signed(session, &copy)?;
    let bytes = signed.bytes(&event.role, version).map_err(|error| repository_failed(&error))?;
    let next = match event.role {
        RoleName::Root if signed.targets().is_none_or(|targets| !targets.current) => {
            "`trustroot ceremony start targets`"
        }
        _ => "`trustroot publish`",
    };
    let finished = Finished {
        role: event.role.to_string(),
        version: version.get(),
        file: ShownPath::of(copy.signed_directory().join(event.file_name())),
        sha256: hex::encode(sha256(&bytes)),
        next: next.to_owned(),
    };
    output::show(session.format, &finished)
}
