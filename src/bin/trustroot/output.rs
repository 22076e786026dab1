//! Results: text for people or one JSON document, on standard output.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::args::Format;
use crate::report::{Outcome, Report, ascii_json, not_printed};
use crate::ui::show_path;

/// A result that can be shown both ways. The JSON form is the struct itself, in camel case.
pub(crate) trait Show: Serialize {
    /// The lines for people.
    fn text(&self) -> String;

    /// The same as Markdown. Only what [`crate::has_markdown`] lets through is asked for it.
    fn markdown(&self) -> String {
        self.text()
    }
}

/// A path in a result: for people with what could draw on a terminal made visible and cut where it is long, for programs
/// as it is. What is not UTF-8 in it is replaced, since JSON cannot hold it.
#[derive(Debug, Clone)]
pub(crate) struct ShownPath(PathBuf);

impl ShownPath {
    pub(crate) fn of(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl fmt::Display for ShownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_path(&self.0))
    }
}

impl Serialize for ShownPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string_lossy())
    }
}

/// Prints a result.
pub(crate) fn show(format: Format, result: &impl Show) -> Result<(), Report> {
    let text = match format {
        Format::Text => result.text(),
        Format::Markdown => result.markdown(),
        Format::Json => {
            let mut json = serde_json::to_string_pretty(result)
                .map_err(|error| Report::new(Outcome::Bug, "bug", error.to_string()))?;
            json.push('\n');
            ascii_json(&json)
        }
    };
    write(&mut anstream::stdout(), text.as_bytes())
}

/// Prints what did succeed before a failure: for programs in the answer that says so.
pub(crate) fn show_before(format: Format, result: &impl Show, failure: Report) -> Result<(), Report> {
    match format {
        Format::Json => Err(failure.partial(serde_json::json!(result))),
        Format::Text | Format::Markdown => {
            show(format, result)?;
            Err(failure)
        }
    }
}

/// Prints a result about several things, some of which failed.
pub(crate) fn show_with_failures(format: Format, result: &impl Show, mut failed: Vec<Report>) -> Result<(), Report> {
    let Some(last) = failed.pop() else { return show(format, result) };
    let report = failed.iter().fold(last, |report, other| report.fact("also", other.headline()));
    show_before(format, result, report)
}

/// Prints bytes as they are, whatever they are and wherever they go.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Report> {
    write(&mut std::io::stdout(), bytes)
}

/// A reader who has gone away is not an error.
fn write(out: &mut impl std::io::Write, bytes: &[u8]) -> Result<(), Report> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(not_printed(&error)),
        _ => Ok(()),
    }
}
