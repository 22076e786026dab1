//! The edge: clock, environment and terminal are read here, once, and passed on.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use trustroot::Printable;
use trustroot::client::{
    CacheMode, Clock, DefaultFetcher, HttpSettings, KeptTargets, LocalCache, Traffic, TrustAnchor, UpdateError,
    Updater, UpdaterSettings,
};
use trustroot::trust::{Connectivity, UpdateStart};

use crate::args::{Format, Global};
use crate::config::{Trust, TrustName, TrustStore};
use crate::report::{Outcome, Report, update_failed};

/// What holds for the whole run of the command.
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
pub(crate) struct Session {
    pub(crate) format: Format,
    home: Option<PathBuf>,
    pub(crate) start: UpdateStart,
    /// Whether the user chose the time: the verdict is then about that time, and nothing is kept.
    pub(crate) time_is_chosen: bool,
    pub(crate) offline: bool,
    verbose: bool,
    /// Whether somebody may be there to answer a question.
    pub(crate) interactive: bool,
}

impl Session {
    pub(crate) fn begin(global: Global) -> Self {
        if global.verbose {
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::DEBUG)
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .without_time()
                .init();
        }
        #[expect(clippy::disallowed_methods, reason = "the edge: the one reading of the clock")]
        let start = UpdateStart::at(global.at.unwrap_or_else(Utc::now));
        Self {
            format: global.format,
            home: home(global.home),
            start,
            time_is_chosen: global.at.is_some(),
            offline: global.offline,
            verbose: global.verbose,
            // Where neither is a terminal nobody is there, even if the process still has a terminal somewhere.
            interactive: std::io::stdin().is_terminal() || std::io::stderr().is_terminal(),
        }
    }

    /// The repositories that are trusted. Not every command needs a home.
    pub(crate) fn store(&self) -> Result<TrustStore, Report> {
        self.home.clone().map(TrustStore::new).ok_or_else(|| {
            Report::new(Outcome::WrongQuestion, "no-home", "there is no home directory to keep trusted metadata in")
                .hint("name a directory with `--home` or `TRUSTROOT_HOME`")
        })
    }

    /// The trust asked for by name, or the only one there is.
    pub(crate) fn trust(&self, name: Option<&TrustName>) -> Result<Trust, Report> {
        match name {
            Some(name) => self.store()?.load(name),
            None => self.store()?.load_only(),
        }
    }

    /// An updater for a trusted repository.
    pub(crate) fn updater(&self, trust: &Trust) -> Result<Updater, Report> {
        // Offline there is nothing new to keep, and the home may be on a medium that cannot be written.
        let mode = if self.time_is_chosen || self.offline { CacheMode::ReadOnly } else { CacheMode::ReadWrite };
        let mut settings = UpdaterSettings::new(trust.metadata_url.clone(), trust.target_url.clone());
        settings.root_policy = trust.root_policy;
        if self.offline {
            settings.connectivity = Connectivity::Offline;
        }
        if self.time_is_chosen {
            settings.clock = Clock::Chosen;
        }
        // A chosen time keeps nothing.
        let kept = trust.targets_directory();
        settings.kept_targets = match mode {
            CacheMode::ReadWrite => KeptTargets::In(kept),
            CacheMode::ReadOnly => KeptTargets::ReadFrom(kept),
        };
        let anchor = TrustAnchor::Pinned(trust.root.clone());
        let cache = LocalCache::new(trust.metadata_directory(), mode);
        // Offline nothing is asked, and no proxy can be wrong.
        let fetcher = if self.offline { Arc::new(DefaultFetcher::new(HttpSettings::default())) } else { fetcher()? };
        Updater::new(anchor, settings, cache, fetcher, self.start).map_err(|error| self.update_failed(trust, &error))
    }

    /// Turns a failed update into a report.
    pub(crate) fn update_failed(&self, trust: &Trust, error: &UpdateError) -> Report {
        update_failed(trust.name.as_str(), error, self.time_is_chosen)
    }

    /// The time that verdicts are about, where the user chose it.
    pub(crate) fn chosen_time(&self) -> Option<DateTime<Utc>> {
        self.time_is_chosen.then(|| self.start.time())
    }

    /// Says what an update could not keep; and how much it asked for, with `--verbose`.
    pub(crate) fn note_update(&self, updater: &Updater) {
        if let Some(error) = updater.not_kept() {
            warn(&format!(
                "nothing new was kept, so that the next run will not know of it: {}",
                Printable(&error.to_string())
            ));
        }
        self.note_traffic(updater.traffic());
    }

    /// Says how much was asked for, with `--verbose`.
    pub(crate) fn note_traffic(&self, traffic: Traffic) {
        if self.verbose {
            tracing::info!(requests = traffic.requests, bytes = traffic.bytes, "done");
        }
    }

    /// A line that moves while something takes long; silent where nobody would see it.
    pub(crate) fn progress(&self, what: String, length: Option<u64>) -> ProgressBar {
        if self.format == Format::Json || self.verbose || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = match length {
            Some(length) => ProgressBar::new(length).with_style(
                ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            ),
            None => {
                let spinner = ProgressBar::new_spinner();
                spinner.enable_steady_tick(Duration::from_millis(120));
                spinner
            }
        };
        bar.with_message(what)
    }
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Report::io(&error))?;
    runtime.block_on(future)
}

/// A fetcher for all URLs that we take, set up as the environment says.
pub(crate) fn fetcher() -> Result<Arc<DefaultFetcher>, Report> {
    let settings = HttpSettings::from_variables(|name| std::env::var_os(name)).map_err(|error| {
        Report::new(Outcome::WrongQuestion, "bad-variable", error.to_string())
            .hint("correct it or unset it; without a proxy the repository is asked directly")
    })?;
    Ok(Arc::new(DefaultFetcher::new(settings)))
}

fn home(chosen: Option<PathBuf>) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    chosen
        .or_else(|| variable("TRUSTROOT_HOME"))
        .or_else(|| variable("XDG_DATA_HOME").map(|data| data.join("trustroot")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/trustroot")))
}

/// Says something that the user should know and that stops nothing; on standard error, in either format.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(anstream::stderr(), "{} {text}", paint("warning:", WARNING));
}

const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().effects(anstyle::Effects::BOLD);

/// A path as it is shown: names of files come from elsewhere too.
pub(crate) fn show_path(path: &Path) -> String {
    Printable(&path.to_string_lossy()).to_string()
}

/// A time as it is shown.
pub(crate) fn show_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Text in a style; the stream that it is written to decides whether the style stays.
pub(crate) fn paint(text: &str, style: anstyle::Style) -> String {
    format!("{style}{text}{style:#}")
}
