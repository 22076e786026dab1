//! `trustroot ceremony`

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::ceremony::{
    AcceptedRisks, CeremonyError, Challenge, Change, EventName, EventState, Mark, Review, SigningEvent, Status, Under,
};
use trustroot::client::{CacheMode, LocalCache, Store as _};
use trustroot::crypto::{KeyFamily, sha256};
use trustroot::metadata::{Envelope, RoleName, Root, Targets};
use trustroot::repository::{FamilyCount, Proposal, SignedState, WorkingCopy};
use trustroot::trust::{LocalFile, Standing, TallyLine};

use super::maintain::{ceremony_failed, open, repository_failed, role};
use crate::args::{
    CeremonyCommand, CeremonyFinishOptions, CeremonyReviewOptions, CeremonySignOptions, CeremonyStartOptions,
    CeremonyStatusOptions, PinOptions,
};
use crate::config::TrustName;
use crate::keys::open_key;
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report, signer, standing};
use crate::ui::{Session, paint};

pub(crate) fn run(session: &Session, command: CeremonyCommand) -> Result<(), Report> {
    match command {
        CeremonyCommand::Start(options) => start(session, &options),
        CeremonyCommand::Status(options) => status(session, &options),
        CeremonyCommand::Review(options) => review(session, &options),
        CeremonyCommand::Sign(options) => sign(session, &options),
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
                    text.push_str(&status_text(&event, &status));
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
        _ => "unknown",
    }
}

fn status_text(event: &SigningEvent, status: &Status) -> String {
    let mut text = format!(
        "{}: {} {}, {}\n  payload  sha256 {}\n",
        event.name,
        event.role,
        event.version,
        state_words(status.state),
        hex::encode(event.digest())
    );
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
            _ => "unknown",
        },
        "counts": counts(&status.counts),
        "uncounted": status.uncounted.iter().map(|one| json!({"from": one.from, "why": one.why})).collect::<Vec<_>>(),
        "outgoingKeyMissing": status.outgoing_missing,
        "siblings": status.siblings.iter().map(|sibling| json!({
            "payloadSha256": sibling.digest,
            "event": sibling.event.as_str(),
            "counts": counts(&sibling.counts),
        })).collect::<Vec<_>>(),
        "canStillSign": missing(status),
    })
}

/// Checks that the working copy's chain of roots holds the root that the user trusts.
fn check_pin(
    session: &Session,
    signed: &SignedState,
    event: &SigningEvent,
    pin: &PinOptions,
) -> Result<Option<String>, Report> {
    let chosen = match (&pin.root_sha256, &pin.trust) {
        (Some(digest), _) => Some((*digest, "the digest that you gave".to_owned())),
        (None, Some(name)) => {
            let trust = session.store()?.load(name)?;
            Some((sha256(&trust.root), format!("the root pinned as {name}")))
        }
        (None, None) => None,
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
                None => Err(ceremony_failed(&CeremonyError::PinNotInChain { pin: hex::encode(digest) })),
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reviewed {
    repository: Option<String>,
    trusted_from: Option<String>,
    event: String,
    file: String,
    role: String,
    version: u64,
    compared_with: String,
    expires: String,
    changes: Vec<Value>,
    notes: Vec<String>,
    problems: Vec<String>,
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
    fn of(event: &SigningEvent, review: &Review, status: &Status, trusted_from: Option<String>) -> Self {
        let text = review_text(event, review, status, trusted_from.as_deref());
        Self {
            repository: review.repository.map(hex::encode),
            trusted_from,
            event: event.name.as_str().to_owned(),
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
            notes: review.notes.clone(),
            problems: review.problems.clone(),
            payload_sha256: hex::encode(review.digest),
            words: review.words(),
            text,
        }
    }
}

fn review_text(event: &SigningEvent, review: &Review, status: &Status, trusted_from: Option<&str>) -> String {
    let repository = match review.repository {
        Some(digest) => format!("first root sha256 {}", hex::encode(digest)),
        None => "a new one: this proposes its first root".to_owned(),
    };
    let trusted = trusted_from.unwrap_or("nothing yet: only your comparison of the digest vouches for this");
    let mut text = format!(
        "REVIEW of signing event {}\n  repository    {repository}\n  trusted from  {trusted}\n  file          {}\n  \
         proposes      {} {}\n  compared with {}\n  expires       {}\n\nproposed changes\n",
        event.name, review.file, review.role, review.version, review.compared_with, review.expiry
    );
    for change in &review.changes {
        let _ = writeln!(text, "  {}", paint_change(change));
    }
    if review.changes.is_empty() {
        text.push_str("  none but version and expiry\n");
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
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let event = choose(&copy, &signed, options.event.as_ref(), REVIEWABLE)?;
    let trusted_from = check_pin(session, &signed, &event, &options.pin)?;
    let review = event.review(&copy, &signed, session.start.time()).map_err(|error| ceremony_failed(&error))?;
    let status = event.status(&copy, &signed).map_err(|error| ceremony_failed(&error))?;
    let reviewed = Reviewed::of(&event, &review, &status, trusted_from);
    output::show(session.format, &reviewed)?;
    if review.problems.is_empty() {
        return Ok(());
    }
    Err(ceremony_failed(&CeremonyError::BreaksRules { problems: review.problems }))
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
}

impl Show for Signed {
    fn text(&self) -> String {
        let files: Vec<String> = self.files.iter().map(ToString::to_string).collect();
        format!("signed {} v{} ({}): {}\n", self.role, self.version, self.counts.join("; "), files.join(", "))
    }
}

fn sign(session: &Session, options: &CeremonySignOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let mut event = choose(&copy, &signed, options.event.as_ref(), REVIEWABLE)?;
    let trusted_from = check_pin(session, &signed, &event, &options.pin)?;
    let review = event.review(&copy, &signed, session.start.time()).map_err(failed)?;
    // The review goes where the questions go: the result on standard output is the signature's.
    let status = event.status(&copy, &signed).map_err(failed)?;
    let shown = Reviewed::of(&event, &review, &status, trusted_from);
    let _ = anstream::stderr().write_all(shown.text.as_bytes());
    if !review.problems.is_empty() {
        return Err(failed(CeremonyError::BreaksRules { problems: review.problems }));
    }
    let (role, version) = (event.role.clone(), event.version);
    match status.state {
        EventState::Superseded => return Err(failed(CeremonyError::Superseded { role, version })),
        EventState::Finished => return Err(failed(CeremonyError::Finished { role, version })),
        _ => {}
    }
    confirm(session, &review, options.payload_sha256.as_ref())?;
    let key = open_key(session, &options.key)?;
    let files = event.sign(&signed, &*key).map_err(failed)?;
    let status = event.status(&copy, &signed).map_err(failed)?;
    let answer = Signed {
        event: event.name.as_str().to_owned(),
        role: event.role.to_string(),
        version: event.version.get(),
        payload_sha256: hex::encode(event.digest()),
        files: files.into_iter().map(ShownPath::of).collect(),
        counts: status.counts.iter().map(count).collect(),
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
