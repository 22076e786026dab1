//! `trustroot ceremony sign`

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use trustroot::ceremony::{CeremonyError, Circumstances, EventState, NamedDigest, RecordSignatures};
use trustroot::crypto::sha256;
use trustroot::metadata::Envelope;
use trustroot::signers::KeyReference;

use super::super::maintain::ceremony_failed;
use super::air_gap::exists;
use super::confirm::{Shown, confirm};
use super::matter::{Matter, matter, time_source};
use super::review::review_text;
use super::status::count;
use crate::args::CeremonySignOptions;
use crate::keys::{create_public, open_key, reference};
use crate::output::{self, Show, ShownPath};
use crate::registered::{Purpose, register};
use crate::report::{Outcome, Report};
use crate::ui::{Session, note, show_path, show_time, warn};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    event: String,
    role: String,
    #[serde(skip)]
    proposed: String,
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
        let mut text = format!("signed {} v{}{counts}: {}\n", self.proposed, self.version, files.join(", "));
        if let Some(next) = &self.next {
            let _ = writeln!(text, "next: {next}");
        }
        text
    }
}

pub(super) fn sign(session: &Session, options: &CeremonySignOptions) -> Result<(), Report> {
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
    match confirm_and_sign(session, options, &mut matter) {
        Ok(answer) => output::show(session.format, &answer),
        Err(report) => {
            // A question that was wrong is no step of the ceremony.
            if report.outcome() != Outcome::WrongQuestion && matter.request.is_none() {
                let why = format!("sign: {}", report.headline());
                let recorded = matter.event.record_aborted(&matter.signed, &why, &circumstances(session, &matter));
                if let Err(error) = recorded {
                    warn(&format!("the transcript does not tell of this: {error}"));
                }
            }
            Err(report)
        }
    }
}

/// Has what was shown confirmed, and signs it.
fn confirm_and_sign(session: &Session, options: &CeremonySignOptions, matter: &mut Matter) -> Result<Signed, Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let shown = Shown::payload(&matter.review.digest, matter.review.rehearsal.is_some());
    confirm(session, &shown, options.payload_sha256.as_ref())?;
    let key = open_key(session, &options.key)?;
    // First whether it may sign this at all: a refused key must not be noted for what it does not sign.
    matter.event.check_signer(&matter.signed, key.canonical_spki()).map_err(failed)?;
    register(session, key.canonical_spki(), &purpose(matter, options.another_first_root))?;
    let record = if options.no_record_signature { RecordSignatures::LeftOut } else { RecordSignatures::Made };
    let in_file = matches!(reference(&options.key.key)?, KeyReference::File(_));
    if record == RecordSignatures::Made && !in_file {
        note(
            "the key signs twice: the payload, then the record of how it was signed; a device may want a second touch",
        );
    }
    let mut with = circumstances(session, matter);
    if let (Some(request), Some(file)) = (&matter.request, options.event.as_deref()) {
        with.inputs.push(NamedDigest::new(file, &request.sha256));
    }
    let event = &mut matter.event;
    let (files, counts, next) = if let Some(file) = &options.output {
        let response = event.respond_recorded(&matter.signed, &*key, record, &matter.follows, &with);
        let mut response = response.map_err(failed)?;
        response.signed_at = Some(show_time(session.start.time()));
        response.time_source = Some(time_source(session).to_owned());
        response.made_by = Some(super::TOOL.to_owned());
        create_public(file, response.to_json().as_bytes())?;
        let next = format!("where the event is, `trustroot ceremony collect {} {}`", event.name, show_path(file));
        (vec![ShownPath::of(file.clone())], Vec::new(), Some(next))
    } else {
        let files = event.sign_recorded(&matter.signed, &*key, record, &with).map_err(failed)?;
        let counts = event.counts(&matter.signed).map_err(failed)?;
        (files.into_iter().map(ShownPath::of).collect(), counts.iter().map(count).collect(), None)
    };
    Ok(Signed {
        event: event.name.as_str().to_owned(),
        role: event.role.to_string(),
        proposed: event.role_as_proposed(),
        version: event.version.get(),
        payload_sha256: hex::encode(event.digest()),
        files,
        counts,
        next,
    })
}

/// What the record of a signature says of its circumstances.
fn circumstances(session: &Session, matter: &Matter) -> Circumstances {
    let mut with = super::circumstances(session);
    with.pin = matter.pin;
    with.warnings.clone_from(&matter.review.notes);
    with.siblings = matter.status.siblings.iter().map(|sibling| sibling.digest.clone()).collect();
    with
}

fn purpose(matter: &Matter, another_first_root: bool) -> Purpose {
    let first_root = matter.signed.roots().next().and_then(|(_, bytes)| Envelope::parse(bytes).ok());
    Purpose {
        repository: matter.signed.digest(),
        first_root: first_root.map(|first| sha256(first.signed_bytes())),
        payload: matter.event.digest(),
        rehearsal: matter.event.rehearsal.is_some(),
        another_first_root,
    }
}
