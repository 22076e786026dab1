//! What a keyholder looks at: an event of the working copy or a request, checked against what they trust.

use std::collections::BTreeSet;
use std::path::Path;

use trustroot::Printable;
use trustroot::ceremony::{CeremonyError, EventName, EventState, Keys, Request, Review, SigningEvent, Status};
use trustroot::client::Store as _;
use trustroot::client::{CacheMode, LocalCache};
use trustroot::crypto::sha256;
use trustroot::metadata::{Envelope, RoleName, Root, Targets};
use trustroot::repository::SignedState;
use trustroot::trust::LocalFile;

use super::super::maintain::{ceremony_failed, open, repository_failed};
use super::super::trust::read_root;
use super::{choose, read_signed};
use crate::args::{PinOptions, WorkingCopyOptions};
use crate::config::TrustName;
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path, show_time};

/// Checks that the chain of roots that is at hand holds the root that the user trusts.
pub(super) fn check_pin(
    session: &Session,
    signed: &SignedState,
    event: &SigningEvent,
    pin: &PinOptions,
    place: &'static str,
) -> Result<Option<TrustedFrom>, Report> {
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
                    let words = format!("root {}, {what}{}", root.version, newest_root(signed));
                    Ok(Some(TrustedFrom { digest, words }))
                }
                None => Err(ceremony_failed(&CeremonyError::PinNotInChain { place, pin: hex::encode(digest) })),
            }
        }
    }
}

/// The root that the user trusts, and that is in the chain at hand.
pub(super) struct TrustedFrom {
    pub(super) digest: [u8; 32],
    pub(super) words: String,
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
pub(super) struct Matter {
    pub(super) event: SigningEvent,
    pub(super) signed: SignedState,
    pub(super) review: Review,
    pub(super) status: Status,
    pub(super) trusted_from: Option<String>,
    pub(super) pin: Option<[u8; 32]>,
    /// The records that that of a signature follows.
    pub(super) follows: BTreeSet<String>,
    /// What a request says that it is for; `None` for an event of a working copy.
    pub(super) request: Option<Claims>,
}

/// What a request says, and nobody signed.
pub(super) struct Claims {
    pub(super) file: String,
    /// The SHA-256 of the file.
    pub(super) sha256: [u8; 32],
    pub(super) purpose: Option<String>,
}

/// Reads what a user names, checks it against what they trust, and compares it with what was signed last.
pub(super) fn matter(
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
        let request = Some(Claims { file: show_path(file), sha256: opened.sha256, purpose: opened.purpose });
        let (event, signed, follows) = (opened.event, opened.signed, opened.follows);
        let (pin, trusted_from) = trusted_from.map(|from| (from.digest, from.words)).unzip();
        return Ok(Matter { event, signed, review, status, trusted_from, pin, follows, request });
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
    let follows = event.transcript().map_err(failed)?.tips();
    let (pin, trusted_from) = trusted_from.map(|from| (from.digest, from.words)).unzip();
    Ok(Matter { event, signed, review, status, trusted_from, pin, follows, request: None })
}

/// What stands in place of a pin where somebody has none.
pub(super) const NOTHING_TRUSTED: &str = "nothing yet: only your comparison of the digest vouches for this";
/// What stands in place of a repository's name where it has no root.
pub(super) const NEW_REPOSITORY: &str = "a new one: this proposes its first root";

/// The repository with this first root, in words.
pub(super) fn repository_words(first_root: Option<[u8; 32]>) -> String {
    first_root.map_or_else(|| NEW_REPOSITORY.to_owned(), |digest| format!("first root sha256 {}", hex::encode(digest)))
}

/// When things are judged, and by whose word.
pub(super) fn judged_at(session: &Session) -> String {
    let source = if session.time_is_chosen { "as you stated" } else { "by this machine's clock" };
    format!("{}, {source}", show_time(session.start.time()))
}

/// Where the time that things are judged by comes from.
pub(super) fn time_source(session: &Session) -> &'static str {
    if session.time_is_chosen { "stated" } else { "clock" }
}

const REVIEWABLE: &[EventState] = &[EventState::Open, EventState::Complete];
