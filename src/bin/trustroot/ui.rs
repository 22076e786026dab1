//! The edge: clock, environment and terminal are read here, once, and passed on.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use trustroot::Printable;
use trustroot::client::bundle::{Bundle, BundleFetcher};
use trustroot::client::danger::VerifiedIndex;
use trustroot::client::{
    CacheMode, Clock, DefaultFetcher, Fetcher, HttpSettings, KeptTargets, LocalCache, Store as _, Traffic, TrustAnchor,
    UpdateError, Updater, UpdaterSettings, read_argument,
};
use trustroot::crypto::Digester;
use trustroot::metadata::HashAlgorithm;
use trustroot::trust::{Connectivity, UpdateStart};

use crate::args::{Format, Global};
use crate::config::{Origin, Trust, TrustName, TrustStore};
use crate::progress::Progress;
use crate::report::{Outcome, Report, harmless, update_failed};

/// What holds for the whole run of the command.
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
pub(crate) struct Session {
    pub(crate) format: Format,
    home: Option<PathBuf>,
    /// Where the administrator's pins are.
    system: Option<PathBuf>,
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
                .finish()
                // Its SDK tells of every step, and some are about credentials.
                .with(filter_fn(|metadata| !metadata.target().starts_with("aws_")))
                .init();
        }
        let start = UpdateStart::at(global.at.unwrap_or_else(now));
        Self {
            format: global.format,
            home: home(global.home),
            system: system_directory(),
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
        self.home.clone().map(|home| TrustStore::new(home, self.system.clone())).ok_or_else(|| {
            Report::new(Outcome::WrongQuestion, "no-home", "there is no home directory to keep trusted metadata in")
                .hint("name a directory with `--home` or `TRUSTROOT_HOME`")
        })
    }

    /// The same at the present time, for a command that goes on.
    pub(crate) fn at_present(&self) -> Self {
        Self { home: self.home.clone(), system: self.system.clone(), start: UpdateStart::at(now()), ..*self }
    }

    /// The trusts to deal with: the one that was named, or all of them.
    pub(crate) fn trust_names(&self, name: Option<&TrustName>) -> Result<Vec<TrustName>, Report> {
        let store = self.store()?;
        let names = match name {
            Some(name) => vec![name.clone()],
            None => store.names()?,
        };
        if names.is_empty() { Err(store.nothing()) } else { Ok(names) }
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
        // Offline nothing is asked, and no proxy can be wrong.
        let fetcher = if self.offline { Arc::new(DefaultFetcher::new(HttpSettings::default())) } else { fetcher()? };
        self.updater_from(trust, indexed_cache(trust, mode), fetcher, |_| {})
    }

    /// An updater that asks through this fetcher, so that its connections serve again.
    pub(crate) fn updater_through(&self, trust: &Trust, fetcher: Arc<dyn Fetcher>) -> Result<Updater, Report> {
        self.updater_from(trust, indexed_cache(trust, CacheMode::ReadWrite), fetcher, |_| {})
    }

    /// An updater for a trusted repository whose news a bundle brings. It is no network: `--offline` changes nothing.
    pub(crate) fn updater_from_bundle(&self, trust: &Trust, bundle: Bundle) -> Result<Updater, Report> {
        let mode = if self.time_is_chosen { CacheMode::ReadOnly } else { CacheMode::ReadWrite };
        let fetcher = Arc::new(BundleFetcher::new(bundle));
        let bundle = Arc::clone(&fetcher);
        let cache = LocalCache::new(trust.metadata_directory(), mode);
        self.updater_from(trust, cache, fetcher, |settings| bundle.bundle().carry_over(settings))
    }

    fn updater_from(
        &self,
        trust: &Trust,
        cache: LocalCache,
        fetcher: Arc<dyn Fetcher>,
        adjust: impl FnOnce(&mut UpdaterSettings),
    ) -> Result<Updater, Report> {
        let mut settings = trust.settings();
        if self.offline {
            settings.connectivity = Connectivity::Offline;
        }
        if self.time_is_chosen {
            settings.clock = Clock::Chosen;
        }
        // A chosen time keeps nothing.
        let kept = trust.targets_directory();
        settings.kept_targets = match cache.mode() {
            CacheMode::ReadWrite => KeptTargets::In(kept),
            CacheMode::ReadOnly => KeptTargets::ReadFrom(kept),
        };
        adjust(&mut settings);
        let anchor = TrustAnchor::Pinned(trust.root.clone());
        Updater::new(anchor, settings, cache, fetcher, self.start).map_err(|error| self.update_failed(trust, &error))
    }

    /// Runs a future to its end on this thread, with a network unless the user wants none.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
        if self.offline { block_on_without_sockets(future) } else { block_on(future) }
    }

    /// Turns a failed update into a report.
    pub(crate) fn update_failed(&self, trust: &Trust, error: &UpdateError) -> Report {
        update_failed(trust.name.as_str(), error, self.time_is_chosen)
    }

    /// The time that verdicts are about, where the user chose it.
    pub(crate) fn chosen_time(&self) -> Option<DateTime<Utc>> {
        self.time_is_chosen.then(|| self.start.time())
    }

    /// Says how much was asked for, with `--verbose`.
    pub(crate) fn note_traffic(&self, traffic: Traffic) {
        if self.verbose {
            tracing::info!(requests = traffic.requests, bytes = traffic.bytes, "done");
        }
    }

    /// A line that moves while something takes long; silent where nobody would see it.
    pub(crate) fn progress(&self, what: String, length: Option<u64>) -> Progress {
        let seen = self.format == Format::Text && !self.verbose && std::io::stderr().is_terminal();
        if seen { Progress::shown(what, length) } else { Progress::unseen() }
    }
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Report::io(&error))?;
    runtime.block_on(future)
}

/// The same for a future that needs no network: what is not set up cannot be used by mistake.
pub(crate) fn block_on_without_sockets<T>(future: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| Report::io(&error))?;
    runtime.block_on(future)
}

/// An updater that judges what is kept as of `start`, however stale, and neither asks nor writes.
pub(crate) fn judge_kept(trust: &Trust, start: UpdateStart) -> Result<Updater, UpdateError> {
    let mut settings = trust.settings().connectivity(Connectivity::Offline).clock(Clock::Chosen);
    settings.max_staleness = None;
    let cache = indexed_cache(trust, CacheMode::ReadOnly);
    let fetcher = Arc::new(DefaultFetcher::new(HttpSettings::default()));
    Updater::new(TrustAnchor::Pinned(trust.root.clone()), settings, cache, fetcher, start)
}

/// What is kept of a repository, with indexes where whoever can write them could replace the pin as well: a pin of the
/// system is not undone by who can write to the user's home.
fn indexed_cache(trust: &Trust, mode: CacheMode) -> LocalCache {
    let cache = LocalCache::new(trust.metadata_directory(), mode);
    match trust.origin {
        Origin::User => cache.indexed(VerifiedIndex::where_cache_is_protected_like(&trust.pin_directory)),
        Origin::System => cache,
    }
}

/// Listens for being asked to end.
pub(crate) struct StopSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    /// Listens from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Ends when this process is asked to end, once for each time; also where that was while nobody waited here.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl StopSignals {
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[expect(clippy::unused_self, reason = "as on Unix")]
    pub(crate) async fn recv(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// What a service manager asks to be told, and how often it wants to hear that we live.
pub(crate) struct ServiceManager {
    /// The address of its socket.
    pub(crate) socket: Option<std::ffi::OsString>,
    pub(crate) watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As systemd says it: `sd_notify(3)`, `sd_watchdog_enabled(3)`.
    pub(crate) fn of_this_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let number = |name| variable(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
        let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| for_us && *usec > 0).map(Duration::from_micros);
        Self { socket: variable("NOTIFY_SOCKET"), watchdog }
    }
}

/// The SHA-256 of the program that runs, where it can be read: what it says of itself, which proves nothing.
pub(crate) fn own_digest() -> Option<[u8; 32]> {
    use std::io::Read as _;
    // By its name there may be another one by now.
    let path = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe().ok()? };
    let mut file = std::fs::File::open(path).ok()?;
    let mut digester = Digester::new([HashAlgorithm::Sha256]);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            length => digester.update(&buffer[..length]),
        }
    }
    digester.finish().pop().and_then(|(_, digest)| digest.try_into().ok())
}

/// The present time, for what goes on.
pub(crate) fn now() -> DateTime<Utc> {
    // `Utc::now` panics before 1970, which is where a clock without a battery may start.
    #[expect(clippy::disallowed_methods, reason = "the edge: the one reading of the clock")]
    SystemTime::now().into()
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
        // By the XDG Base Directory Specification a relative path is to be ignored.
        .or_else(|| variable("XDG_DATA_HOME").filter(|data| data.is_absolute()).map(|data| data.join("trustroot")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/trustroot")))
}

/// The socket of this session's ssh-agent.
#[cfg(unix)]
pub(crate) fn ssh_agent_socket() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where the administrator pins repositories for all users: a variable that is set and empty means nowhere.
fn system_directory() -> Option<PathBuf> {
    match std::env::var_os("TRUSTROOT_SYSTEM_DIR") {
        Some(directory) => Some(PathBuf::from(directory)).filter(|directory| !directory.as_os_str().is_empty()),
        None if cfg!(unix) => Some(PathBuf::from("/etc/trustroot/trusts")),
        None => None,
    }
}

/// Says something that the user should know and that stops nothing; on standard error, in either format.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(anstream::stderr(), "{} {}", paint("warning:", WARNING), harmless(text));
}

/// Says something that is as it should be, and worth knowing; on standard error, in either format.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{} {}", paint("note:", NOTE), harmless(text));
}

const NOTE: anstyle::Style = anstyle::AnsiColor::Cyan.on_default().effects(anstyle::Effects::BOLD);
const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().effects(anstyle::Effects::BOLD);

/// Reads a file that the user names, of at most `limit` bytes.
pub(crate) fn read_named(path: &Path, limit: u64) -> Result<Vec<u8>, Report> {
    let bytes = read_argument(path, limit).map_err(|error| Report::io(&error))?;
    bytes.ok_or_else(|| Report::no_such_file(path))
}

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
