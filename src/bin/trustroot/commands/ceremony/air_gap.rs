//! `trustroot ceremony request`, `response`, `collect`: what goes between machines.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use trustroot::Printable;
use trustroot::ceremony::{
    CeremonyError, Fate, FiledSignature, NamedDigest, Request, Response, SigningEvent, files_to_collect,
};
use trustroot::client::read_bounded;

use super::super::maintain::{ceremony_failed, open};
use super::outlook::Prospect;
use super::read_signed;
use super::status::{status_json, status_text};
use crate::args::{CeremonyCollectOptions, CeremonyRequestOptions, CeremonyResponseOptions};
use crate::keys::create_public;
use crate::output::{self, Show, ShownPath};
use crate::qr;
use crate::report::{Outcome, Report};
use crate::ui::{Session, read_named, show_path};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    event: String,
    rehearsal: bool,
    request: ShownPath,
    length: usize,
    payload_sha256: String,
    /// Files that the request names by their digests only.
    left_out: Vec<String>,
}

impl Show for Requested {
    fn text(&self) -> String {
        let mut text = format!(
            "wrote {} ({} bytes) of signing event {}{}\n  payload  sha256 {}\n",
            self.request,
            self.length,
            self.event,
            if self.rehearsal { ", a REHEARSAL" } else { "" },
            self.payload_sha256
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

pub(super) fn exists(file: &Path) -> Report {
    let what = format!("`{}` exists already, and is something else", show_path(file));
    Report::new(Outcome::WrongQuestion, "file-exists", what).hint("choose another name")
}

pub(super) fn request(session: &Session, options: &CeremonyRequestOptions) -> Result<(), Report> {
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
        rehearsal: event.rehearsal.is_some(),
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
    rehearsal: bool,
    payload_sha256: String,
    key: String,
    /// The SHA-256 of the record of how it was made, which travels in the file alone.
    record: Option<String>,
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
            "{}response, not verified: `ceremony collect` does that\n  first root  sha256 {repository}\n  payload     sha256 {}\n  \
             key         sha256 {}\n",
            if self.rehearsal { "REHEARSAL " } else { "" },
            self.payload_sha256,
            self.key
        );
        match &self.record {
            Some(digest) => {
                let _ = writeln!(text, "  record      sha256 {digest}");
            }
            None => text.push_str("  record      none: nothing says how it was made\n"),
        }
        for claim in &self.claims {
            let _ = writeln!(text, "  says        {}", Printable(claim));
        }
        if let Some(code) = &self.code {
            if self.rehearsal {
                text.push_str("REHEARSAL\n");
            }
            text.push_str(code);
        }
        text
    }
}

/// Longest response that is read, in bytes: a signature, and a record with another.
const LONGEST_RESPONSE: u64 = 512 << 10;

pub(super) fn response(session: &Session, options: &CeremonyResponseOptions) -> Result<(), Report> {
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
        rehearsal: response.rehearsal,
        payload_sha256: response.payload_sha256.clone(),
        key: response.key.clone(),
        record: response.record().and_then(Result::ok).map(|filed| filed.digest()),
        line,
        claims: said.into_iter().flatten().cloned().collect(),
        code,
    };
    output::show(session.format, &shown)
}

/// Writes a new file. The same content may be written again; another file is not lost.
pub(super) fn write_once(path: &Path, bytes: &[u8]) -> Result<(), Report> {
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
    /// Records of what happened, new or known.
    records: usize,
    /// Files in directories that hold nothing for this event.
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
        match self.records {
            0 => {}
            1 => text.push_str("1 record of what happened was kept\n"),
            n => {
                let _ = writeln!(text, "{n} records of what happened were kept");
            }
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

pub(super) fn collect(session: &Session, options: &CeremonyCollectOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let mut event = SigningEvent::open(&copy, &options.event).map_err(failed)?;
    let before: BTreeSet<String> = event.signatures.iter().map(FiledSignature::digest).collect();
    let mut with = super::circumstances(session);
    let (mut collected, mut records, mut passed_over) = (Vec::new(), 0, 0);
    for path in &options.from {
        let files = files_to_collect(path).map_err(|error| Report::io(&error))?;
        for file in files {
            let mut used = false;
            let (found, digest) = event.collect_file(&signed, &file).map_err(failed)?;
            for one in found {
                // Whoever hands over a directory does not mean every file in it.
                if matches!(one.fate, Fate::Unusable(_)) && file != *path {
                    passed_over += 1;
                    continue;
                }
                used |= matches!(one.fate, Fate::Filed | Fate::Known | Fate::Stale { .. } | Fate::Recorded);
                if one.fate == Fate::Recorded {
                    records += 1;
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
            with.inputs.extend(digest.filter(|_| used).map(|digest| NamedDigest::new(&show_path(&file), &digest)));
        }
    }
    let status = event.status(&copy, &signed).map_err(failed)?;
    event.record_collected(&signed, &before, &with).map_err(failed)?;
    let prospect =
        Prospect::of(session, &copy, &signed, &event, &status, &[]).judged(session, &copy, &signed, &event, &status);
    let nothing = !collected.iter().any(|line| line.counts) && records == 0;
    let result = CollectedFrom {
        event: event.name.as_str().to_owned(),
        collected,
        records,
        passed_over,
        status: status_json(&event, &status, &prospect),
        status_text: status_text(session, &event, &status, &prospect),
    };
    output::show(session.format, &result)?;
    if nothing {
        return Err(Report::new(Outcome::No, "nothing-collected", "nothing that was given counts for this event")
            .hint("the lines above say why; ask whoever sent it which payload they signed, and with which key"));
    }
    Ok(())
}
