//! What the commands of maintainers share: how their failures are told, and who is shown.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use trustroot::ceremony::{CeremonyError, InvitationError};
use trustroot::metadata::RoleName;
use trustroot::publish::PublishError;
use trustroot::repository::{RepositoryError, WorkingCopy};

use crate::args::WorkingCopyOptions;
use crate::keys::signer_failed;
use crate::report::{Outcome, Report, signer, standing, update_failed};
use crate::ui::show_time;

pub(super) fn open(options: &WorkingCopyOptions) -> Result<WorkingCopy, Report> {
    open_at(&options.directory)
}

pub(super) fn open_at(directory: &std::path::Path) -> Result<WorkingCopy, Report> {
    WorkingCopy::open(directory).map_err(|error| repository_failed(&error))
}

/// The role that a user names.
pub(super) fn role(name: &str) -> Result<RoleName, Report> {
    match name {
        "root" => Ok(RoleName::Root),
        "targets" => Ok(RoleName::Targets),
        "snapshot" | "timestamp" => Err(Report::new(
            Outcome::WrongQuestion,
            "unknown-role",
            format!("{name} is signed by the online keys when you `trustroot publish`, not in a ceremony"),
        )),
        name => RoleName::delegated(name)
            .ok_or_else(|| Report::new(Outcome::WrongQuestion, "unknown-role", "a role has a name")),
    }
}

/// A week from now, at a full hour: what begins then has not begun before a ceremony can be held.
pub(super) fn in_a_week(now: DateTime<Utc>) -> String {
    let start = now.checked_add_signed(TimeDelta::days(7)).unwrap_or(now);
    show_time(start.duration_trunc(TimeDelta::hours(1)).unwrap_or(start))
}

pub(super) fn repository_failed(error: &RepositoryError) -> Report {
    let outcome = match error {
        RepositoryError::Io(_) => Outcome::CouldNotTell,
        RepositoryError::Refused(_)
        | RepositoryError::ExampleKey { .. }
        | RepositoryError::OtherOccasion { .. }
        | RepositoryError::Link { .. } => Outcome::No,
        _ => Outcome::WrongQuestion,
    };
    let report = Report::new(outcome, error.code(), error.to_string()).still("nothing was written");
    match error {
        RepositoryError::NoWorkingCopy { .. } => {
            report.hint("name it with `-C DIR`, or begin one with `trustroot init DIR`")
        }
        RepositoryError::Refused(_) => report.hint(
            "the working copy was damaged or tampered with: compare it with another copy before you sign anything",
        ),
        RepositoryError::NotYet { before, .. } => {
            report.hint(format!("`trustroot ceremony start {before}`, and have it signed"))
        }
        RepositoryError::ExampleKey { .. } => report
            .hint("make a key of your own with `trustroot key generate`")
            .hint("for a trial on this machine, set `trial = true` in trustroot.toml"),
        RepositoryError::Link { .. } => {
            report.hint("find out who put the link there, and put the file or directory itself in its place")
        }
        RepositoryError::OtherOccasion { .. } => {
            report.hint("have one key for what is meant and another one for rehearsals")
        }
        _ => report,
    }
}

pub(super) fn ceremony_failed(error: &CeremonyError) -> Report {
    match error {
        CeremonyError::Repository(error) => return repository_failed(error),
        CeremonyError::Signing(error) => return signer_failed(error).still("nothing was signed"),
        _ => {}
    }
    let outcome = match error {
        CeremonyError::Io(_) => Outcome::CouldNotTell,
        error if error.is_refusal() => Outcome::No,
        _ => Outcome::WrongQuestion,
    };
    let report = Report::new(outcome, error.code(), error.to_string());
    match error {
        CeremonyError::MalformedRequest { .. } | CeremonyError::DamagedRequest => report
            .still("nothing was signed")
            .hint("copy it again, or have it written again; if it stays, ask who made it"),
        CeremonyError::OtherRepository { .. } => {
            report.still("nothing was signed").hint("never sign it here; ask who sent it")
        }
        CeremonyError::Undecided { event, role } => report
            .still(
                "both proposals are kept, with the signatures over them, in `proposed/` and `signatures/` of the event",
            )
            .hint(format!("propose anew what is configured now: `trustroot ceremony start {role} --name {event}`")),
        CeremonyError::NoLongerDelegated { role, .. } => report
            .still("what was signed stays in the event")
            .hint("withdraw the event; or, if the namespace is to come back, delegate to it first")
            .hint(format!("add `[namespaces.{role}]` to trustroot.toml, then `trustroot ceremony start targets`")),
        CeremonyError::NoEvent { .. } => report.hint("see what there is with `trustroot ceremony status`"),
        CeremonyError::Invitation(error) => invitation_failed(report.still("nothing changed"), error),
        CeremonyError::NoPin => report
            .still("nothing was signed")
            .hint("name the digest of a root that you trust with `--root-sha256`, from your own records")
            .hint("or pin the published repository with `trustroot trust add`, and say `--trust NAME`"),
        CeremonyError::PinNotInChain { .. } => report.still("nothing was signed").hint(
            "this is another repository than the one you trust, or its history has been replaced; tell the others",
        ),
        CeremonyError::BreaksRules { problems } => {
            let report = problems.iter().fold(report, |report, problem| report.fact("rule", problem.clone()));
            report.still("nothing was signed").hint("put the configuration right, and start the event again")
        }
        CeremonyError::NotAWitness { .. } => report.still("nothing was signed").hint(
            "witnesses are named in trustroot.toml, and count when a root that names them is signed; \
             `ceremony replay` needs no key",
        ),
        CeremonyError::NotVerified { findings, .. } => {
            let what = Report::new(outcome, error.code(), "the transcript does not verify");
            let report = findings.iter().take(20).fold(what, |report, finding| report.fact("finding", finding.clone()));
            report
                .still("nothing changed")
                .hint("get what is missing from the others' copies with `trustroot ceremony collect`")
                .hint("what stays is for people to judge: signatures count whatever the transcript says")
        }
        CeremonyError::NotWitnessed { .. } => report
            .hint("a witness replays and signs: `trustroot ceremony witness EVENT --key KEY`")
            .hint("in an emergency, say why there is none: `--without-witness REASON`"),
        CeremonyError::NotASigner { .. } => report.still("nothing was signed").hint(
            "check with `trustroot key inspect` that it is the key you mean, and with `ceremony review` who may sign",
        ),
        CeremonyError::RealKey => report.still("nothing was signed").hint(
            "sign with the key that you have for rehearsals; `trustroot.toml` of the rehearsal says which are refused",
        ),
        CeremonyError::NotConfirmed => report.still("nothing was signed").hint(
            "compare the digest with a second machine; if it differs there, somebody sees another proposal than you",
        ),
        CeremonyError::TooFewSignatures { tally, .. } => tally
            .lines
            .iter()
            .fold(report, |report, line| report.fact(standing(line.standing), signer(line)))
            .still("nothing changed")
            .hint("see who is left with `trustroot ceremony status`"),
        CeremonyError::TooFewOfFamily { .. } => {
            report.still("nothing changed").hint("see who of that family is left with `trustroot ceremony status`")
        }
        CeremonyError::OutgoingKeyMissing { owner } => report
            .still("nothing changed")
            .hint("have them sign with the key that goes, too")
            .hint(format!("if that key is lost or stolen, say so: `--lost {owner}`")),
        CeremonyError::Sibling { digest, .. } => report
            .still("nothing changed")
            .hint("find out who signed it and why; abandon it only if its signatures cannot have spread")
            .hint(format!("to accept the risk, say so: `--accept-sibling {digest}`")),
        CeremonyError::Superseded { .. } | CeremonyError::Expired { .. } | CeremonyError::Withdrawn { .. } => {
            report.still("nothing changed").hint("start the event again with `trustroot ceremony start`")
        }
        _ => report,
    }
}

fn invitation_failed(report: Report, error: &InvitationError) -> Report {
    match error {
        InvitationError::Malformed { .. } => report.hint("have it sent again; if it stays, ask who made it"),
        InvitationError::Expired { .. } | InvitationError::PersonThere { .. } => {
            report.hint("have them invited again, under a name that nobody has")
        }
        InvitationError::NotInvited { .. } => {
            report.hint("ask who invited them; an invitation lies in `invitations/` where it was written")
        }
        InvitationError::Answered { .. } | InvitationError::NotProved | InvitationError::KeyTaken { .. } => {
            report.hint("ask them, by another way, which key they sent; if it was another one, tell the others")
        }
        _ => report.hint("name somebody who holds a key, and who has heard the person read out their key's digest"),
    }
}

pub(super) fn publish_failed(error: &PublishError) -> Report {
    match error {
        PublishError::Repository(error) => return repository_failed(error),
        PublishError::Signing(error) => return signer_failed(error).still("nothing was written"),
        _ => {}
    }
    let outcome = if error.is_refusal() { Outcome::No } else { Outcome::CouldNotTell };
    let report = match error {
        PublishError::Refused { source, .. } => {
            let why = update_failed("the directory", source, false);
            Report::new(outcome, error.code(), error.to_string()).fact("why", why.headline().to_owned())
        }
        error => Report::new(outcome, error.code(), error.to_string()),
    };
    match error {
        PublishError::NotSigned { role } | PublishError::SignAgain { role, .. } => {
            report.still("nothing was written").hint(format!("`trustroot ceremony start {role}`, and have it signed"))
        }
        PublishError::BreaksRules { problems, .. } => problems
            .iter()
            .fold(report, |report, problem| report.fact("rule", problem.clone()))
            .still("nothing was written")
            .hint("no ceremony finishes such a document: find out who put it into the working copy"),
        PublishError::OnlineKeys { tally, .. } => tally
            .lines
            .iter()
            .fold(report, |report, line| report.fact(standing(line.standing), signer(line)))
            .still("nothing was written")
            .hint("name the secret key of the online signer with `--online-key`"),
        PublishError::Foreign(_) => report
            .still("nothing was written")
            .hint("publish to a directory of its own, or find out who has written to this one"),
        PublishError::Refused { .. } | PublishError::NotFound { .. } => {
            report.hint("what is signed cannot be published as it is; `trustroot check` may say why")
        }
        PublishError::Rehearsal => report
            .still("nothing was written")
            .hint("hold the ceremony in the working copy that is meant")
            .hint("for a drill that clients load, make a repository of its own: `trustroot init --trial`"),
        PublishError::Conflict { .. } => report
            .still("`timestamp.json` was not touched: clients see what they saw before")
            .hint("somebody else has published this version, or the directory was tampered with"),
        _ => report,
    }
}
