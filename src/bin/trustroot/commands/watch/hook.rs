//! Runs a command of the user's after a change.

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
    pub(super) async fn run(&self, changed: &[Changed]) -> Result<(), String> {
        let names: Vec<&str> = changed.iter().map(|changed| changed.name.as_str()).collect();
        let lines: Vec<String> = changed
            .iter()
            .flat_map(|changed| changed.words().into_iter().map(|words| format!("{}: {words}", changed.name)))
            .collect();
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env("TRUSTROOT_CHANGED", names.join(" "))
            .env("TRUSTROOT_CHANGES", lines.join("\n"))
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .spawn()
            .map_err(|error| format!("the command for changes cannot be started: {error}"))?;
        let mut running = Running(child);
        let started = tokio::time::Instant::now();
        loop {
            match running.0.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the command for changes failed: {status}")),
                Ok(None) if started.elapsed() < self.limit => tokio::time::sleep(GLANCE).await,
                Ok(None) => return Err(format!("the command for changes was ended after {} s", self.limit.as_secs())),
                Err(error) => return Err(format!("the command for changes was lost: {error}")),
            }
        }
    }
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
