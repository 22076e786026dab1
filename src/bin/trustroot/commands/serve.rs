//! `trustroot serve`

use serde_json::json;
use trustroot::serve::{ServeError, ServeLimits, Server};

use crate::args::{Format, ServeOptions};
use crate::output::{self, ShownPath};
use crate::report::{Outcome, Report, ascii_json};
use crate::ui::{Session, StopSignals, block_on};

pub(crate) fn run(session: &Session, options: &ServeOptions) -> Result<(), Report> {
    block_on(async {
        let server = Server::bind(&options.directory, options.listen, ServeLimits::default())
            .await
            .map_err(|error| not_served(&error))?;
        // Before anybody is told that there is something to end.
        let mut stop = StopSignals::listen().map_err(|error| Report::io(&error))?;
        let directory = ShownPath::of(&options.directory);
        let url = format!("http://{}/", server.address());
        // One line in either format: scripts read the port from it while the server runs.
        let line = match session.format {
            Format::Text | Format::Markdown => format!("serving {directory} at {url}\n"),
            Format::Json => ascii_json(&format!("{}\n", json!({"serving": directory, "url": url}))),
        };
        output::raw(line.as_bytes())?;
        server.run(stop.recv()).await;
        Ok(())
    })
}

fn not_served(error: &ServeError) -> Report {
    match error {
        ServeError::NotARepository(_) => Report::new(Outcome::WrongQuestion, error.code(), error.to_string())
            .still("nothing is served")
            .hint("name the directory that `trustroot publish` wrote to, and publish first"),
        ServeError::Listen { .. } => Report::new(Outcome::WrongQuestion, error.code(), error.to_string())
            .hint("`--listen 127.0.0.1:0` takes a port that is free"),
        _ => Report::new(Outcome::CouldNotTell, error.code(), error.to_string()),
    }
}
