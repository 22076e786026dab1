//! Has somebody confirm what they have been shown: by its digest from elsewhere, or by four of its words.

use std::io::Write as _;

use trustroot::ceremony::{CeremonyError, Challenge};

use super::super::maintain::ceremony_failed;
use crate::report::{Outcome, Report};
use crate::ui::Session;

/// What has been shown.
pub(super) struct Shown<'a> {
    pub(super) digest: &'a [u8; 32],
    /// What has the digest.
    pub(super) what: &'static str,
    /// Whether it is a rehearsal's.
    pub(super) rehearsal: bool,
    /// With what it is compared.
    pub(super) elsewhere: &'static str,
    /// What is typed from there.
    pub(super) words: &'static str,
    /// The option that gives the digest.
    pub(super) option: &'static str,
}

impl<'a> Shown<'a> {
    /// A payload, which a second machine shows too.
    pub(super) fn payload(digest: &'a [u8; 32], rehearsal: bool) -> Self {
        Self {
            digest,
            what: "payload",
            rehearsal,
            elsewhere: "a second machine",
            words: "as the second machine shows them",
            option: "--payload-sha256",
        }
    }
}

pub(super) fn confirm(session: &Session, shown: &Shown<'_>, given: Option<&[u8; 32]>) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let Shown { digest, what, elsewhere, words, option, .. } = *shown;
    if let Some(given) = given {
        return if given == digest {
            Ok(())
        } else {
            let report = failed(CeremonyError::NotConfirmed);
            Err(report.fact("given", hex::encode(given)).fact(what, hex::encode(digest)))
        };
    }
    if !session.interactive {
        let headline = format!("the {what} has to be confirmed, and there is no terminal to ask on");
        return Err(Report::new(Outcome::WrongQuestion, "no-terminal", headline)
            .still("nothing was signed")
            .hint(format!("compare the digest with {elsewhere}, and give it with `{option}`")));
    }
    let challenge = Challenge::random().map_err(|error| failed(error.into()))?;
    let places: Vec<String> = challenge.places().iter().map(|place| (place + 1).to_string()).collect();
    let occasion = if shown.rehearsal { "REHEARSAL: " } else { "" };
    let _ = write!(anstream::stderr(), "\n{occasion}type the words number {}, {words}: ", places.join(", "));
    let _ = anstream::stderr().flush();
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).map_err(|error| Report::io(&error))?;
    if challenge.is_met(digest, &typed) { Ok(()) } else { Err(failed(CeremonyError::NotConfirmed)) }
}
