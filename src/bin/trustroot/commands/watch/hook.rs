//! Runs a command of the user's after a change.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Changed;

/// A command and its arguments, run without a shell.
pub(super) struct Hook<'a> {
    command: &'a [OsString],
    /// How long it may run.
    limit: Duration,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// It has been told nothing.
    #[error("the command for changes cannot be started: {0}")]
    NotStarted(std::io::Error),
    /// It may have been told everything.
    #[error("{0}")]
    Ended(String),
}

/// Longest text that it is told, in bytes: systems refuse longer ones.
const LONGEST_TOLD: usize = 64 << 10;

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(20);

impl<'a> Hook<'a> {
    /// The command, where one was given.
    pub(super) fn new(command: &'a [OsString], limit: Duration) -> Option<Self> {
        (!command.is_empty()).then_some(Self { command, limit })
    }

    /// Runs it to its end. Its standard output goes to ours for errors: the lines of changes stay by themselves.
    ///
    /// # Errors
    /// In words, where it cannot be started, fails or takes too long.
    pub(super) async fn run(&self, changed: &[Changed]) -> Result<(), HookError> {
        // What it was not told of before may be about the same repositories.
        let names: BTreeSet<&str> = changed.iter().map(|changed| changed.name.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let lines: Vec<String> = changed
            .iter()
            .flat_map(|changed| changed.words().into_iter().map(|words| format!("{}: {words}", changed.name)))
            .collect();
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env("TRUSTROOT_CHANGED", names.join(" "))
            .env("TRUSTROOT_CHANGES", up_to(LONGEST_TOLD, &lines))
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .spawn()
            .map_err(HookError::NotStarted)?;
        let mut running = Running(child);
        let started = tokio::time::Instant::now();
        loop {
            match running.0.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return ended(format!("the command for changes failed: {status}")),
                Ok(None) if started.elapsed() < self.limit => tokio::time::sleep(GLANCE).await,
                Ok(None) => {
                    return ended(format!("the command for changes was ended after {} s", self.limit.as_secs()));
                }
                Err(error) => return ended(format!("the command for changes was lost: {error}")),
            }
        }
    }
}

fn ended(how: String) -> Result<(), HookError> {
    Err(HookError::Ended(how))
}

/// The lines, as many as fit; the last one then says how many others there are.
fn up_to(limit: usize, lines: &[String]) -> String {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        if text.len() + line.len() >= limit {
            return format!("{text}and {} more", lines.len() - index);
        }
        text.push_str(line);
        text.push('\n');
    }
    text.pop();
    text
}

/// A process that does not outlive its welcome.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines: Vec<String> = ["one", "two", "three"].map(str::to_owned).into();
        assert_eq!(up_to(100, &lines), "one\ntwo\nthree");
        assert_eq!(up_to(9, &lines), "one\ntwo\nand 1 more");
        assert_eq!(up_to(2, &lines), "and 3 more");
        assert_eq!(up_to(2, &[]), "");
    }
}
