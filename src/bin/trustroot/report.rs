//! How the command ends when it does not end well: what happened, what is still true, what to do next.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use trustroot::client::{FetchError, UpdateError};
use trustroot::example_keys::ExampleKeyListed;
use trustroot::metadata::{FormatError, RoleName, Version};
use trustroot::trust::{Refusal, Standing, TallyLine};
use trustroot::{Named, Printable};

use crate::args::Format;
use crate::ui::{paint, show_path};

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Trust said no.
    No = 1,
    /// The question was wrong: usage or configuration.
    WrongQuestion = 2,
    /// Network, store or file error.
    CouldNotTell = 3,
    /// Our bug.
    Bug = 70,
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct Report {
    outcome: Outcome,
    code: &'static str,
    headline: String,
    /// Facts, each with a short name.
    facts: Vec<(String, String)>,
    /// What is still true.
    still: Option<Box<str>>,
    hints: Vec<String>,
    /// What did succeed, for programs.
    partial: Option<Box<serde_json::Value>>,
}

impl Report {
    pub(crate) fn new(outcome: Outcome, code: &'static str, headline: impl Into<String>) -> Self {
        Self {
            outcome,
            code,
            headline: headline.into(),
            facts: Vec::new(),
            still: None,
            hints: Vec::new(),
            partial: None,
        }
    }

    /// A file of the user's that could not be read or written.
    pub(crate) fn io(error: &std::io::Error) -> Self {
        Self::new(Outcome::CouldNotTell, "io", error.to_string()).hint_by_kind(error.kind())
    }

    /// A file that the user names and that is not there.
    pub(crate) fn no_such_file(path: &Path) -> Self {
        Report::new(Outcome::WrongQuestion, "no-such-file", format!("`{}` does not exist", show_path(path)))
    }

    /// What to do where a file could not be read or written.
    pub(crate) fn hint_by_kind(self, kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match kind {
            StorageFull | QuotaExceeded => self.hint("make room there, then run the command again"),
            ReadOnlyFilesystem | PermissionDenied => {
                self.hint("see to it that this user may write there, or read it; then run the command again")
            }
            _ => self,
        }
    }

    #[must_use]
    pub(crate) fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn still(mut self, what: impl Into<String>) -> Self {
        self.still = Some(what.into().into_boxed_str());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what did succeed beside the error; people have seen it already.
    #[must_use]
    pub(crate) fn partial(mut self, partial: serde_json::Value) -> Self {
        self.partial = Some(Box::new(partial));
        self
    }

    /// Whether it says nothing about trust.
    pub(crate) fn could_not_tell(&self) -> bool {
        self.outcome == Outcome::CouldNotTell
    }

    /// What the command's status will be.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The stable name of this kind of error.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// The headline, for showing the error in passing.
    pub(crate) fn headline(&self) -> &str {
        &self.headline
    }

    /// Prints the report and returns the exit status.
    pub(crate) fn print(&self, format: Format) -> ExitCode {
        match format {
            // Where standard output takes nothing, standard error is what is left.
            Format::Json if self.print_json().is_ok() => {}
            Format::Json | Format::Text | Format::Markdown => self.print_text(),
        }
        ExitCode::from(self.outcome as u8)
    }

    fn print_json(&self) -> std::io::Result<()> {
        // A list, since names repeat: there may be two invalid signatures.
        let facts: Vec<_> = self.facts.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut error = json!({"error": {
            "code": self.code,
            "message": self.headline,
            "facts": facts,
            "stillTrue": self.still,
            "hints": self.hints,
            "exitStatus": self.outcome as u8,
        }});
        if let Some(partial) = &self.partial {
            error["succeeded"] = serde_json::Value::clone(partial);
        }
        let mut out = anstream::stdout();
        out.write_all(ascii_json(&format!("{error:#}\n")).as_bytes())?;
        out.flush()
    }

    fn print_text(&self) {
        let mut err = anstream::stderr();
        let _ = writeln!(err, "{} {}", paint("error:", ERROR), harmless(&self.headline));
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(7);
        for (name, value) in &self.facts {
            let _ = writeln!(err, "  {name:width$}  {}", harmless(value));
        }
        if let Some(still) = &self.still {
            let _ = writeln!(err, "  {}", harmless(still));
        }
        for hint in &self.hints {
            let _ = writeln!(err, "{} {}", paint("hint:", HINT), harmless(hint));
        }
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().effects(anstyle::Effects::BOLD);
const HINT: anstyle::Style = anstyle::AnsiColor::Cyan.on_default().effects(anstyle::Effects::BOLD);

/// Escapes what could move the cursor or turn the direction of text. Where a message is made, what came from outside is
/// made printable; this is for what other libraries quote.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | ' '..='~' => shown.push(character),
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                shown.extend(character.escape_default());
            }
            control if control.is_control() => shown.extend(control.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

/// Escapes what is not ASCII in JSON text, where it stands in strings alone: programs read the same, and a terminal
/// cannot be drawn on by a direction mark or a control character of the second kind.
pub(crate) fn ascii_json(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = std::fmt::Write::write_fmt(&mut ascii, format_args!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// Turns a failed update of `name` into a report. `time_is_chosen` says that the clock is not to blame.
pub(crate) fn update_failed(name: &str, error: &UpdateError, time_is_chosen: bool) -> Report {
    let outcome = if error.is_refusal() { Outcome::No } else { Outcome::CouldNotTell };
    let report = Report::new(outcome, error.code(), error.to_string()).fact("trust", name);
    match error {
        UpdateError::Refused { refusal, url, kept } => {
            let report = match url {
                Some(url) => report.fact("from", url.to_string()),
                None => report,
            };
            refused(report, refusal, time_is_chosen).still(still_trusted(kept))
        }
        UpdateError::WrongTargetLength { .. } | UpdateError::WrongTargetHash { .. } => report
            .still("nothing was written")
            .hint("the file was damaged on its way or replaced; do not use a copy from elsewhere without checking it"),
        UpdateError::Offline { .. } | UpdateError::TargetOffline { .. } => report
            .still("nothing changed")
            .hint("run the command once without `--offline`"),
        UpdateError::KeptUnusable { .. } => report
            .still("nothing changed: what was trusted before is still trusted")
            .hint("this says nothing about trust; try again where the repository can be reached, or carry news over with `trustroot bundle import`"),
        UpdateError::Unreachable { .. } => report
            .still("nothing changed: what was trusted before is still trusted")
            .hint("this says nothing about trust; try again where the repository can be reached"),
        UpdateError::TooStale { .. } => report
            .still("nothing changed: what was trusted before is still trusted")
            .hint("refresh while the repository can be reached, or carry news over with `trustroot bundle import`"),
        UpdateError::ClockWentBack { .. } => report
            .still("nothing changed: what was trusted before is still trusted")
            .hint("set this machine's clock; a clock that went back can make expired metadata look fresh")
            .hint(clock_was_ahead(name)),
        UpdateError::NoRoot { .. } => report.hint("pin the repository again with `trustroot trust add`"),
        UpdateError::Fetch(FetchError::TooLong { .. }) => report
            .still("nothing changed: what was trusted before is still trusted")
            .hint("a proxy or login page may have answered instead of the repository")
            .hint("if not, somebody may be sending endless data; do not raise the limit, tell the repository's maintainers"),
        UpdateError::TargetTooLarge { .. } => report.still("nothing was fetched"),
        UpdateError::Io(error) => report.hint_by_kind(error.kind()),
        UpdateError::ExampleKey(listed) => example_key(report, listed)
            .still("nothing changed: what was trusted before is still trusted"),
        UpdateError::ExampleSigner { .. } => trials_only(report)
            .still("nothing changed: what was trusted before is still trusted"),
        UpdateError::Fetch(_) => report
            .still("nothing changed: what was trusted before is still trusted")
            .hint("this says nothing about trust; try again, or use what is kept with `--offline`"),
        _ => report,
    }
}

/// What to do where the clock was ahead, and is right now.
pub(crate) fn clock_was_ahead(name: &str) -> String {
    format!(
        "if the clock is right now and was ahead before, wait until that time; or forget what is kept, with all that \
         protects against rollback, and refresh from the pinned root: `trustroot trust remove {name} --keep-pin`"
    )
}

/// What to do where a document lists an example key.
pub(crate) fn example_key(report: Report, listed: &ExampleKeyListed) -> Report {
    trials_only(report.fact("keyid", Printable(listed.keyid.as_str()).to_string()))
}

fn trials_only(report: Report) -> Report {
    report
        .hint("example keys are for trials on one machine: such a repository is taken by `file` URL, or by http from this machine")
        .hint("if this is meant to be a real repository, tell its maintainers to replace that key, and trust nothing it said")
}

fn still_trusted(kept: &[(RoleName, Version)]) -> String {
    if kept.is_empty() {
        return "nothing changed: what was trusted before is still trusted".to_owned();
    }
    // Each role once, with the newest version.
    let newest: BTreeMap<&RoleName, Version> = kept.iter().map(|(role, version)| (role, *version)).collect();
    let kept: Vec<String> = newest.iter().map(|(role, version)| format!("{role} {version}")).collect();
    format!("accepted before this and kept: {}; all else is as it was", kept.join(", "))
}

fn refused(report: Report, refusal: &Refusal, time_is_chosen: bool) -> Report {
    match refusal {
        Refusal::TooFewSignatures { tally, .. } => {
            let mut report = report;
            for line in &tally.lines {
                report = report.fact(standing(line.standing), signer(line));
            }
            if tally.foreign > 0 {
                report = report.fact("foreign", format!("{} by keyids that the role does not list", tally.foreign));
            }
            report.hint("if signing is still under way, wait for the missing signatures").hint(
                "if not, the repository or a mirror may have been tampered with; do not retry, tell the \
                     repository's key holders",
            )
        }
        Refusal::Malformed { source: FormatError::Json(_), .. } => report
            .hint("a proxy or login page may have answered instead of the repository")
            .hint("if not, tell the repository's maintainers"),
        Refusal::Expired { .. } if time_is_chosen => {
            report.hint("choose an earlier time with `--at`, if that is what you ask about")
        }
        Refusal::Expired { .. } => report.hint("check this machine's clock").hint(
            "if it is right, the repository's maintainers are late, or somebody withholds updates from you (a \
                 freeze); ask them, or try another network",
        ),
        Refusal::Rollback { role: RoleName::Root, .. } => {
            report.hint("a mirror may be behind or hide newer roots: try again later, or another mirror").hint(
                "if it stays, the newer root that is kept on this machine may have been put there by somebody; find \
                 out, then forget what is kept with `trustroot trust remove NAME --keep-pin`",
            )
        }
        Refusal::Rollback { .. } | Refusal::RoleDropped { .. } => report
            .hint("a mirror may be behind: try again later, or another mirror")
            .hint("if it stays, the repository was restored from a backup or tampered with; tell its maintainers"),
        Refusal::WrongHash { .. } | Refusal::WrongLength { .. } | Refusal::WrongVersion { .. } => {
            report.hint("a mirror may be half-way through an update: try again in a minute")
        }
        Refusal::ClassicalOnly { can_check, tally, .. } => {
            let report = tally
                .lines
                .iter()
                .fold(report, |report, line| report.fact(standing(line.standing), signer(line)))
                .hint("a post-quantum signature is asked for here, by `--post-quantum-from` of `trustroot trust add`");
            if *can_check {
                report.hint(
                    "do not take the root without it: ask the key holders, and pin a root that lists a post-quantum key \
                     and is signed with it",
                )
            } else {
                report.hint("use a build with aws-lc-rs: this one has no ML-DSA, and takes no root from that date on")
            }
        }
        Refusal::TooManyRoots { .. } => report.hint("run the command again to go on"),
        _ => report.hint("tell the repository's maintainers"),
    }
}

/// One word for what a key contributes.
pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Valid => "valid",
        Standing::SameKey => "same key",
        Standing::Invalid => "invalid",
        Standing::Missing => "missing",
        Standing::Unusable(_) => "unusable",
        _ => "unknown",
    }
}

/// Describes a signer in one line.
pub(crate) fn signer(line: &TallyLine) -> String {
    let owner = line.owner.as_deref().map(|owner| format!("  {}", Named(owner))).unwrap_or_default();
    let kind = match (line.standing, &line.kind) {
        (Standing::Unusable(problem), _) => format!("  {problem}"),
        (Standing::SameKey, _) => "  counted under another keyid".to_owned(),
        (_, Some(kind)) => format!("  {kind}"),
        _ => String::new(),
    };
    format!("{}{owner}{kind}", line.keyid)
}

/// A result that standard output did not take.
pub(crate) fn not_printed(error: &std::io::Error) -> Report {
    Report::new(Outcome::CouldNotTell, "io", format!("cannot write to standard output: {error}"))
}

/// Prints what clap found wrong, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // It quotes arguments, which a script may have from somebody else.
        let text = harmless(&error.render().to_string());
        let _ = match text.strip_prefix("error:") {
            Some(text) => write!(anstream::stderr(), "{}{text}", paint("error:", ERROR)),
            None => write!(anstream::stderr(), "{text}"),
        };
        return ExitCode::from(Outcome::WrongQuestion as u8);
    }
    match error.print().and_then(|()| std::io::stdout().flush()) {
        Err(lost) if lost.kind() != std::io::ErrorKind::BrokenPipe => not_printed(&lost).print(Format::Text),
        _ => ExitCode::SUCCESS,
    }
}

/// Makes a panic say that it is our fault, and end with the status for that.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(anstream::stderr(), "error: this is a bug in trustroot, please report it\n  {panic}");
        #[expect(clippy::exit, reason = "unwinding would only lose the status")]
        std::process::exit(Outcome::Bug as i32);
    }));
}
