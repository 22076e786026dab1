//! Results: text for people or one JSON document, on standard output.

use serde::Serialize;

use crate::args::Format;
use crate::report::{Outcome, Report, ascii_json, not_printed};

/// A result that can be shown both ways. The JSON form is the struct itself, in camel case.
pub(crate) trait Show: Serialize {
    /// The lines for people.
    fn text(&self) -> String;
}

/// Prints a result.
pub(crate) fn show(format: Format, result: &impl Show) -> Result<(), Report> {
    let text = match format {
        Format::Text => result.text(),
        Format::Json => {
            let mut json = serde_json::to_string_pretty(result)
                .map_err(|error| Report::new(Outcome::Bug, "bug", error.to_string()))?;
            json.push('\n');
            ascii_json(&json)
        }
    };
    write(&mut anstream::stdout(), text.as_bytes())
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
