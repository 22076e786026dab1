//! `trustroot ceremony review`: in words, as JSON, as a page.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::ceremony::{CeremonyError, Change, Mark, Review};
use trustroot::{Line, Quoted};

use super::super::maintain::ceremony_failed;
use super::air_gap::write_once;
use super::matter::{Matter, NEW_REPOSITORY, NOTHING_TRUSTED, judged_at, matter, repository_words, time_source};
use super::status::siblings_text;
use crate::args::CeremonyReviewOptions;
use crate::html::Page;
use crate::output::{self, Show};
use crate::report::Report;
use crate::ui::{Session, paint, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reviewed {
    repository: Option<String>,
    /// What is rehearsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<Value>,
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
            rehearsal: review.rehearsal.as_ref().map(|rehearsal| json!({"of": rehearsal.of})),
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

pub(super) fn review_text(session: &Session, matter: &Matter) -> String {
    let Matter { event, review, status, trusted_from, request, .. } = matter;
    let repository = repository_words(review.repository);
    let trusted = trusted_from.as_deref().unwrap_or(NOTHING_TRUSTED);
    let occasion = if review.rehearsal.is_some() { "REHEARSAL: " } else { "" };
    let mut text = format!("{occasion}REVIEW of signing event {}", event.name);
    if let Some(claims) = request {
        let _ = write!(text, ", from the request {}", claims.file);
    }
    let _ = write!(text, "\n  repository    {repository}\n  trusted from  {trusted}\n");
    if let Some(rehearsed) = rehearsed(review) {
        let _ = writeln!(text, "  REHEARSAL     {rehearsed}");
    }
    let _ = write!(
        text,
        "  judged at     {}\n  file          {}\n  proposes      {} {}\n  compared with {}\n  \
         expires       {}\n",
        judged_at(session),
        review.file,
        event.role_as_proposed(),
        review.version,
        review.compared_with,
        review.expiry
    );
    if let Some(purpose) = request.as_ref().and_then(|claims| claims.purpose.as_ref()) {
        let _ = writeln!(text, "  proposed purpose, signed by nobody: {}", said(purpose));
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
        let _ = writeln!(text, "  note: {}", Line(note));
    }
    for problem in &review.problems {
        let _ = writeln!(text, "  BREAKS A RULE: {}", Line(problem));
    }
    text.push_str(&siblings_text(event, status));
    let occasion = if review.rehearsal.is_some() { ", of a REHEARSAL" } else { "" };
    let _ = writeln!(text, "\npayload sha256{occasion}\n  {}", review.groups());
    text.push_str("in words, to compare aloud with a second machine\n");
    text + &rows_of_words(&review.words(), "  ")
}

/// The words of a digest, four in a row, each row with the number of its first.
pub(super) fn rows_of_words(words: &[String], indent: &str) -> String {
    let row = |(row, words): (usize, &[String])| format!("{indent}{:2}  {}\n", row * 4 + 1, words.join(" "));
    words.chunks(4).enumerate().map(row).collect()
}

/// What is rehearsed, in words; `None` where the event is meant.
fn rehearsed(review: &Review) -> Option<String> {
    let rehearsal = review.rehearsal.as_ref()?;
    let of = match &rehearsal.of {
        Some(digest) => format!("of the repository with the first root sha256 {}", Line(digest)),
        None => "of a repository that has no root yet".to_owned(),
    };
    Some(format!("{of}; no signature made here is valid anywhere"))
}

/// Longest text of others that stands on a line of ours, and longest line of what is longer, in characters.
const WIDTH: usize = 60;

/// What somebody says, whole, in quotation marks. What is long stands on lines that begin with `|`, short enough that no
/// terminal wraps them: it cannot draw lines of ours.
pub(super) fn said(text: &str) -> String {
    let quoted = Quoted(text).to_string();
    if quoted.len() <= WIDTH {
        return quoted;
    }
    let mut lines = vec![String::new()];
    for word in quoted.split(' ') {
        // Escaped text is ASCII.
        for (index, part) in word.as_bytes().chunks(WIDTH).enumerate() {
            let part = String::from_utf8_lossy(part);
            match lines.last_mut() {
                Some(line) if index == 0 && line.is_empty() => line.push_str(&part),
                Some(line) if index == 0 && line.len() + 1 + part.len() <= WIDTH => {
                    line.push(' ');
                    line.push_str(&part);
                }
                _ => lines.push(part.into_owned()),
            }
        }
    }
    lines.iter().fold(String::new(), |text, line| text + "\n    | " + line)
}

/// The review as a page.
fn page(matter: &Matter, reviewed: &Reviewed) -> String {
    let Matter { event, review, status, .. } = matter;
    let occasion = if review.rehearsal.is_some() { "REHEARSAL: review" } else { "Review" };
    let title = format!("{occasion} of signing event {}", event.name);
    let source = if reviewed.time_source == "stated" { "as stated" } else { "by this machine's clock" };
    let or = |text: &Option<String>, none: &str| text.clone().unwrap_or_else(|| none.to_owned());
    let mut facts = vec![
        ("first root of the repository, SHA-256", or(&reviewed.repository, NEW_REPOSITORY)),
        ("trusted from", or(&reviewed.trusted_from, NOTHING_TRUSTED)),
        ("judged at", format!("{}, {source}", reviewed.judged_at)),
        ("file", review.file.clone()),
        ("proposes", format!("{} {}", event.role_as_proposed(), review.version)),
        ("compared with", review.compared_with.clone()),
        ("expires", review.expiry.clone()),
    ];
    if let Some(rehearsed) = rehearsed(review) {
        facts.insert(0, ("REHEARSAL", rehearsed));
    }
    if let Some(claims) = &matter.request {
        facts.push(("request", claims.file.clone()));
        if let Some(purpose) = &claims.purpose {
            facts.push(("proposed purpose, signed by nobody", Quoted(purpose).to_string()));
        }
    }
    for path in event.left_out() {
        facts.push(("not in the request, known by its digest only", path.to_string()));
    }
    let mut notes: Vec<String> = review.notes.iter().map(|note| Line(note).to_string()).collect();
    notes.extend(siblings_text(event, status).lines().map(str::to_owned));
    Page {
        title: &title,
        facts,
        changes: review.changes.iter().map(|change| (change.mark.sign(), change.text.as_str())).collect(),
        notes,
        problems: review.problems.iter().map(|problem| Line(problem).to_string()).collect(),
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

pub(super) fn review(session: &Session, options: &CeremonyReviewOptions) -> Result<(), Report> {
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
