//! `trustroot ceremony`

mod air_gap;
mod confirm;
mod invite;
mod matter;
mod outlook;
mod rebase;
mod rehearse;
mod review;
mod sign;
mod status;
mod witness;

use serde::Serialize;
use trustroot::ceremony::{
    AcceptedRisks, CeremonyError, Circumstances, EventName, EventState, NamedDigest, SigningEvent,
};
use trustroot::crypto::sha256;
use trustroot::metadata::RoleName;
use trustroot::repository::{CONFIG_FILE, Proposal, SignedState, WorkingCopy};

use super::maintain::{ceremony_failed, open, repository_failed, role};
use crate::args::{CeremonyCommand, CeremonyFinishOptions, CeremonyStartOptions, CeremonyWithdrawOptions};
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, own_digest};
use air_gap::{collect, request, response};
use invite::{accept, admit, invite};
use outlook::check_people;
use rebase::rebase;
use rehearse::rehearse;
use review::review;
use sign::sign;
use status::{count, status};
use witness::{replay, witness};

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
        CeremonyCommand::Rebase(options) => rebase(session, &options),
        CeremonyCommand::Finish(options) => finish(session, &options),
        CeremonyCommand::Replay(options) => replay(session, &options),
        CeremonyCommand::Witness(options) => witness(session, &options),
        CeremonyCommand::Invite(options) => invite(session, &options),
        CeremonyCommand::Accept(options) => accept(session, &options),
        CeremonyCommand::Admit(options) => admit(session, &options),
        CeremonyCommand::Rehearse(options) => rehearse(session, &options),
    }
}

/// This program, as records and responses name it.
const TOOL: &str = concat!("trustroot ", env!("CARGO_PKG_VERSION"));

/// When, by whose clock and with which program something is done here.
pub(in crate::commands) fn circumstances(session: &Session) -> Circumstances {
    Circumstances::new(session.start.time(), matter::time_source(session), TOOL, own_digest())
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
    let (mut open, mut skipped) = (Vec::new(), Vec::new());
    for name in SigningEvent::names(copy).map_err(failed)? {
        // One that cannot be read does not stand in the way of the others.
        match SigningEvent::open(copy, &name).and_then(|event| Ok((event.status(copy, signed)?.state, event))) {
            Ok((state, event)) if states.contains(&state) => open.push(event),
            Ok(_) => {}
            Err(error) => skipped.push(format!("{name}: {error}")),
        }
    }
    match open.len() {
        1 => Ok(open.remove(0)),
        0 => Err(skipped
            .into_iter()
            .fold(Report::new(Outcome::WrongQuestion, "no-event", "no signing event waits for this"), |report, why| {
                report.fact("not read", why)
            })
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
    #[serde(skip)]
    proposed: String,
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
            1 => "the proposal changed: 1 signature collected so far no longer counts, and cannot be carried over\n"
                .to_owned(),
            n => format!(
                "the proposal changed: {n} signatures collected so far no longer count, and cannot be carried over\n"
            ),
        };
        format!(
            "proposed {} v{} as signing event {}\n  payload  sha256 {}\n{voided}next: {}\n",
            self.proposed, self.version, self.event, self.payload_sha256, self.next
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
    if event.withdrawal().is_some() {
        return Err(ceremony_failed(&CeremonyError::Withdrawn { role, version: event.version })
            .hint("this is the payload that was withdrawn: change what was wrong with it first"));
    }
    let voided = event.signatures.len() - event.over_this_payload().count();
    let problems = reviewed(session, &copy, &signed, &event)?;
    if !problems.is_empty() {
        return Err(ceremony_failed(&CeremonyError::BreaksRules { problems }));
    }
    let started = Started {
        event: name.as_str().to_owned(),
        role: role.to_string(),
        proposed: event.role_as_proposed(),
        version: event.version.get(),
        payload_sha256: hex::encode(event.digest()),
        voided,
        next: format!("each signer runs `trustroot ceremony sign {name} --key FILE`"),
    };
    output::show(session.format, &started)
}

/// Reviews a proposal that was just written, records it, and returns the rules that it breaks.
fn reviewed(
    session: &Session,
    copy: &WorkingCopy,
    signed: &SignedState,
    event: &SigningEvent,
) -> Result<Vec<String>, Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let review = event.review(copy, signed, session.start.time()).map_err(failed)?;
    let mut with = circumstances(session);
    with.warnings = review.problems.iter().chain(&review.notes).cloned().collect();
    with.inputs.push(NamedDigest::new(CONFIG_FILE, copy.config_sha256()));
    event.record_proposed(signed, &with).map_err(failed)?;
    Ok(review.problems)
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
    let (role, version) = (event.role.clone(), event.version);
    let counts = match event.status(&copy, &signed) {
        // Nobody can sign it any more; what lies there is withdrawn all the same.
        Err(CeremonyError::NoLongerDelegated { .. }) => Vec::new(),
        Err(error) => return Err(failed(error)),
        Ok(status) => match status.state {
            EventState::Finished => return Err(failed(CeremonyError::Finished { role, version })),
            EventState::Superseded => return Err(failed(CeremonyError::Superseded { role, version })),
            _ => status.counts.iter().map(count).collect(),
        },
    };
    event.withdraw(&options.because, session.start.time()).map_err(failed)?;
    event.record_withdrawn(&signed, &circumstances(session)).map_err(failed)?;
    let withdrawn = Withdrawn {
        event: event.name.as_str().to_owned(),
        role: role.to_string(),
        version: version.get(),
        payload_sha256: hex::encode(event.digest()),
        counts,
        next: format!("put the configuration right, then `trustroot ceremony start {role}`"),
    };
    output::show(session.format, &withdrawn)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finished {
    role: String,
    #[serde(skip)]
    proposed: String,
    version: u64,
    file: ShownPath,
    sha256: String,
    next: String,
}

impl Show for Finished {
    fn text(&self) -> String {
        format!(
            "finished {} v{}: {}\n  sha256  {}\nnext: {}\n",
            self.proposed, self.version, self.file, self.sha256, self.next
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
    check_people(&event, &signed, &options.lost)?;
    let mut accepted = AcceptedRisks::default();
    accepted.lost.clone_from(&options.lost);
    accepted.siblings = options.accept_sibling.iter().map(hex::encode).collect();
    let version = event.finish(&copy, &signed, session.start.time(), &accepted).map_err(failed)?;
    // What was written is read again: from here on everything builds on it.
    let signed = read_signed(session, &copy)?;
    let bytes = signed.bytes(&event.role, version).map_err(|error| repository_failed(&error))?;
    let mut with = circumstances(session);
    with.outputs.push(NamedDigest::of(&event.file_name(), &bytes));
    event.record_finished(&signed, &accepted, &with).map_err(failed)?;
    let witness = event.witnessed(&signed).map_err(failed)?.filter(|witnessed| !witnessed.met());
    let next = match event.role {
        _ if witness.is_some() => &*format!("a witness runs `trustroot ceremony witness {} --key KEY`", event.name),
        RoleName::Root if signed.targets().is_none_or(|targets| !targets.current) => {
            "`trustroot ceremony start targets`"
        }
        _ if event.rehearsal.is_some() => "that was the REHEARSAL: hold the ceremony where it is meant",
        _ => "`trustroot publish`",
    };
    let finished = Finished {
        role: event.role.to_string(),
        proposed: event.role_as_proposed(),
        version: version.get(),
        file: ShownPath::of(copy.signed_directory().join(event.file_name())),
        sha256: hex::encode(sha256(&bytes)),
        next: next.to_owned(),
    };
    output::show(session.format, &finished)
}
