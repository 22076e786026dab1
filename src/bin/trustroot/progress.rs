//! A line on the terminal that moves while something takes long.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the line is drawn. What takes no longer than this shows nothing.
const PACE: Duration = Duration::from_millis(120);

/// Most columns that are written, where the terminal has no fewer: a line that wraps could not be taken back.
const MOST_COLUMNS: usize = 79;

/// How many columns may be written now: the last one is left, where some terminals wrap already.
fn columns() -> usize {
    let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
    width.saturating_sub(1).min(MOST_COLUMNS)
}

/// A line that is shown until this is dropped.
pub(crate) struct Progress {
    bytes: Arc<AtomicU64>,
    drawn: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Says what is done, and how much of `length` bytes, where something has one.
    pub(crate) fn shown(what: String, length: Option<u64>) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let (until, ended) = channel();
        let so_far = Arc::clone(&bytes);
        // Without a thread there is no line.
        let thread = std::thread::Builder::new().spawn(move || draw(&what, length, &so_far, &ended));
        Self { bytes, drawn: thread.ok().map(|thread| (until, thread)) }
    }

    /// A line that nobody would see.
    pub(crate) fn unseen() -> Self {
        Self { bytes: Arc::default(), drawn: None }
    }

    /// How many bytes there are so far.
    pub(crate) fn set_position(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((until, thread)) = self.drawn.take() {
            drop(until);
            // What is written next must not stand in this line.
            let _ = thread.join();
        }
    }
}

fn draw(what: &str, length: Option<u64>, bytes: &AtomicU64, ended: &Receiver<()>) {
    let mut widest = 0;
    let mut write = |text: &str| {
        let columns = text.chars().count();
        // A terminal may have become narrower.
        widest = columns.max(widest.min(self::columns()));
        // Spaces rather than an escape sequence: every terminal knows them.
        let line = format!("\r{text}{}\r{text}", " ".repeat(widest - columns));
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    };
    let mut drawn = 0;
    while ended.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        write(&line(what, length.map(|length| (bytes.load(Ordering::Relaxed), length)), drawn, columns()));
        drawn += 1;
    }
    if drawn > 0 {
        write("");
    }
}

/// The line as it is drawn for the nth time.
fn line(what: &str, bytes: Option<(u64, u64)>, nth: usize, columns: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let text = match bytes {
        Some((so_far, length)) => format!("{:.1} of {:.1} MiB  {what}", mebibytes(so_far), mebibytes(length)),
        None => format!("{} {what}", ["-", "\\", "|", "/"][nth % 4]),
    };
    if text.chars().count() <= columns {
        text
    } else {
        text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_done_and_fits_into_a_narrow_terminal() {
        assert_eq!(line("looking for x", None, 0, 79), "- looking for x");
        assert_eq!(line("looking for x", None, 5, 79), "\\ looking for x");
        assert_eq!(line("fetching x", Some((1 << 19, 3 << 20)), 1, 79), "0.5 of 3.0 MiB  fetching x");
        for columns in [79, 39, 1] {
            let long = line(&"é".repeat(200), None, 0, columns);
            assert_eq!(long.chars().count(), columns);
            assert!(long.ends_with('…'), "{long}");
        }
    }
}
