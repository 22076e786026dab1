//! `trustroot refresh --watch`: refreshes again and again, and tells those who asked to be told.

mod hook;
mod metrics;
mod notify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fs_err as fs;
use serde_json::json;
use trustroot::client::{
    CacheMode, DefaultFetcher, History, HistoryEvent, LocalCache, Refreshed, Schedule, Subject, read_bounded,
    remove_leftovers, write_durably,
};
use trustroot::metadata::Document as _;

use self::hook::{Hook, HookError};
use self::metrics::Metrics;
use self::notify::Notifier;
use super::changes::describe;
use super::refresh::refresh;
use crate::args::{Format, RefreshOptions};
use crate::config::TrustName;
use crate::freshness::{note_first_use, used_though_expired};
use crate::output;
use crate::report::{Outcome, Report, ascii_json};
use crate::ui::{ServiceManager, Session, StopSignals, block_on, fetcher, now, show_time, warn};

pub(super) fn run(session: &Session, options: &RefreshOptions) -> Result<(), Report> {
    if session.offline || session.time_is_chosen {
        let headline = "watching is about the present, and asks repositories";
        return Err(
            Report::new(Outcome::WrongQuestion, "not-watchable", headline).hint("leave out `--offline` and `--at`")
        );
    }
    // Where nothing can be watched at all, that is said at once.
    let names = session.trust_names(options.name.as_ref())?;
    let mut watch = Watch {
        session,
        options,
        schedule: Schedule::new(options.watch.interval, options.watch.jitter),
        fetcher: None,
        hook: Hook::new(&options.watch.on_change, options.watch.on_change_limit),
        metrics: Metrics::default(),
        seen: BTreeMap::new(),
        untold: Vec::new(),
        introduced: BTreeSet::new(),
        troubles: BTreeMap::new(),
    };
    if let Some(directory) = options.watch.metrics.as_deref().and_then(Path::parent) {
        remove_leftovers(if directory.as_os_str().is_empty() { Path::new(".") } else { directory });
    }
    let mut failed = Vec::new();
    for name in &names {
        failed.extend(watch.begin(name).err().map(|report| (name, report)));
    }
    if failed.len() == names.len()
        && let Some((_, report)) = failed.pop()
    {
        return Err(report);
    }
    for (name, report) in failed {
        watch.trouble(name.as_str(), Some(format!("{name}: {}", report.headline())));
    }
    block_on(async {
        let mut stop = StopSignals::listen().map_err(|error| Report::io(&error))?;
        let notifier = Notifier::new(ServiceManager::of_this_process());
        tokio::select! {
            () = notifier.keep_alive() => {}
            () = watch.go_on(&notifier, &mut stop) => {}
        }
        notifier.send("STOPPING=1");
        Ok(())
    })
}

/// The newest version of each thing, as this machine knows it.
type Newest = BTreeMap<Subject, HistoryEvent>;

struct Watch<'a> {
    session: &'a Session,
    options: &'a RefreshOptions,
    schedule: Schedule,
    /// Keeps its connections from one round to the next.
    fetcher: Option<Arc<DefaultFetcher>>,
    hook: Option<Hook<'a>>,
    metrics: Metrics,
    /// What has been announced, or is about to be.
    seen: BTreeMap<TrustName, Newest>,
    /// Changes that the command was not told of, since it could not be started.
    untold: Vec<Changed>,
    /// The repositories of which it was said how their root was pinned.
    introduced: BTreeSet<TrustName>,
    /// What was said last about what is wrong, by what it is about: nothing is said twice in a row.
    troubles: BTreeMap<String, String>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

/// Longest record of what was announced that is read, in bytes.
const MOST_ANNOUNCED: u64 = 8 << 20;

/// What is said, but for times: what only names another time is not said again.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        let word = word.trim_end_matches(|last: char| ".,:;)".contains(last));
        DateTime::parse_from_rfc3339(word).is_ok()
    };
    text.split_whitespace().filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ")
}

/// What changed in one repository.
struct Changed {
    name: TrustName,
    events: Vec<HistoryEvent>,
}

impl Changed {
    /// Each change as it is shown and handed to the hook.
    fn words(&self) -> Vec<String> {
        self.events
            .iter()
            .map(|event| {
                let what = describe(&event.subject);
                match (event.version, &event.gone) {
                    (_, Some(_)) => format!("{what} gone"),
                    (Some(version), None) => format!("{what} v{version}"),
                    (None, None) => what,
                }
            })
            .collect()
    }
}

impl Watch<'_> {
    /// What was announced by an earlier watch with the same command is known, and where there was none, what there is.
    fn begin(&mut self, name: &TrustName) -> Result<(), Report> {
        if let Some(announced) = self.announced(name)? {
            self.seen.insert(name.clone(), announced);
        } else {
            let newest = self.newest(name)?;
            self.seen.insert(name.clone(), newest);
            self.keep_announced(name);
        }
        Ok(())
    }

    /// Until it is told to stop.
    async fn go_on(&mut self, notifier: &Notifier, stop: &mut StopSignals) {
        let mut ready = false;
        loop {
            // A refresh may be left at any point: all that it writes is written between two waits.
            let (refreshed, changed) = tokio::select! {
                () = stop.recv() => return,
                done = self.round() => done,
            };
            if self.announce(changed, notifier, stop).await == Next::Stop {
                return;
            }
            if let Some(path) = &self.options.watch.metrics {
                let written = write_durably(path, self.metrics.to_text().as_bytes());
                self.trouble("metrics", written.err().map(|error| format!("the metrics cannot be written: {error}")));
            }
            let random = random();
            let wait = self.schedule.next(refreshed, now(), random);
            let status = match refreshed {
                Refreshed::Well(_) => format!("up to date at {}", show_time(now())),
                Refreshed::Badly => format!("{} refreshes failed in a row", self.schedule.failures()),
            };
            notifier.send(&format!("STATUS={status}; next in {} s", wait.as_secs()));
            if !ready {
                // Also where nothing answers: what is kept may serve, and nobody should wait for ever.
                notifier.send("READY=1");
                ready = true;
            }
            tokio::select! {
                () = stop.recv() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Shows what changed and tells the command, which is not left half-way. It is then kept that this was announced: a
    /// watch that ends before announces it again when it is started again. A command that cannot be started is told after
    /// the next round.
    async fn announce(&mut self, changed: Vec<Changed>, notifier: &Notifier, stop: &mut StopSignals) -> Next {
        for changed in &changed {
            self.show(changed);
        }
        let mut told = std::mem::take(&mut self.untold);
        told.extend(changed);
        if told.is_empty() {
            return Next::GoOn;
        }
        let mut next = Next::GoOn;
        if let Some(hook) = &self.hook {
            let ran = {
                let mut running = std::pin::pin!(hook.run(&told));
                tokio::select! {
                    ran = &mut running => ran,
                    () = stop.recv() => {
                        next = Next::Stop;
                        notifier.send("STOPPING=1\nSTATUS=waiting for the command for changes");
                        tokio::select! {
                            ran = &mut running => ran,
                            () = stop.recv() => Err(HookError::Ended("the command for changes was ended: told to stop twice".to_owned())),
                        }
                    }
                }
            };
            let well = ran.is_ok();
            self.metrics.hook_ran(well);
            let not_started = matches!(ran, Err(HookError::NotStarted(_)));
            self.trouble("hook", ran.err().map(|error| error.to_string()));
            if not_started {
                self.untold = told;
                return next;
            }
            // It may have been told to stop as well, and have done nothing.
            if next == Next::Stop && !well {
                return next;
            }
        }
        for changed in &told {
            self.keep_announced(&changed.name);
        }
        next
    }

    /// Refreshes everything once.
    async fn round(&mut self) -> (Refreshed, Vec<Changed>) {
        let session = self.session.at_present();
        let names = match session.trust_names(self.options.name.as_ref()) {
            Ok(names) => names,
            Err(report) => {
                self.trouble("home", Some(report.headline().to_owned()));
                return (Refreshed::Badly, Vec::new());
            }
        };
        self.trouble("home", None);
        self.seen.retain(|name, _| names.contains(name));
        self.introduced.retain(|name| names.contains(name));
        self.metrics.keep_only(&names);
        let (mut expires, mut well, mut changed) = (None, true, Vec::new());
        for name in &names {
            match self.refresh(&session, name).await {
                Ok(soonest) => {
                    expires = expires.map_or(Some(soonest), |expires: DateTime<Utc>| Some(expires.min(soonest)));
                }
                Err(report) => {
                    well = false;
                    self.trouble(name.as_str(), Some(format!("{name}: {}", report.headline())));
                }
            }
            // Also after a failure: a newer root may have been accepted before it.
            match self.changes(name) {
                Ok(events) if events.is_empty() => {}
                Ok(events) => changed.push(Changed { name: name.clone(), events }),
                Err(report) => self.trouble(name.as_str(), Some(format!("{name}: {}", report.headline()))),
            }
        }
        if !well {
            // The network may be another one by now, or have other certificates.
            self.fetcher = None;
        }
        (if well { Refreshed::Well(expires) } else { Refreshed::Badly }, changed)
    }

    /// Refreshes one repository, and says when what is trusted of it expires first.
    async fn refresh(&mut self, session: &Session, name: &TrustName) -> Result<DateTime<Utc>, Report> {
        let trust = session.store()?.load(name)?;
        if self.introduced.insert(name.clone()) {
            note_first_use(&trust);
        }
        let fetcher = match &self.fetcher {
            Some(fetcher) => Arc::clone(fetcher),
            None => Arc::clone(self.fetcher.insert(fetcher()?)),
        };
        let mut updater = session.updater_through(&trust, fetcher)?;
        let refreshed = refresh(session, &trust, &mut updater).await;
        self.metrics.asked(name, updater.traffic());
        let refreshed = match refreshed {
            Ok(refreshed) => refreshed,
            Err(report) => {
                self.metrics.failed(name, report.could_not_tell());
                return Err(report);
            }
        };
        let trusted = &refreshed.trusted;
        self.metrics.trusts(name, trusted);
        let kept = updater.not_kept().map(|error| format!("{name}: what was accepted cannot be kept: {error}"));
        self.trouble(&format!("{name} kept"), kept);
        let failed = (!refreshed.not_refreshed.is_empty())
            .then(|| format!("{name}: not refreshed: {}", refreshed.not_refreshed.join("; ")));
        self.trouble(&format!("{name} documents"), failed);
        let freshness = updater.freshness();
        let expired = freshness.expired.iter().map(|(role, expired)| used_though_expired(&trust, role, *expired));
        let expired: Vec<String> = expired.collect();
        self.trouble(&format!("{name} expired"), (!expired.is_empty()).then(|| expired.join("; ")));
        if let Some(reason) = &freshness.unreachable {
            self.metrics.failed(name, true);
            let when = freshness.confirmed_at.map_or_else(|| "at an unknown time".to_owned(), show_time);
            let headline = format!("cannot be reached, and what was confirmed last {when} is used: {reason}");
            return Err(Report::new(Outcome::CouldNotTell, reason.code(), headline));
        }
        self.metrics.succeeded(name, session.start.time());
        self.trouble(name.as_str(), None);
        let expiries = [trusted.timestamp().expires().time(), trusted.snapshot().expires().time()];
        let others = [trusted.targets().expires().time(), trusted.root().expires().time()];
        Ok(expiries.into_iter().chain(others).min().unwrap_or(session.start.time()))
    }

    /// What this machine knows that it did not know when this was asked last; whoever brought it.
    fn changes(&mut self, name: &TrustName) -> Result<Vec<HistoryEvent>, Report> {
        let newest = self.newest(name)?;
        let seen = self.seen.insert(name.clone(), newest.clone()).unwrap_or_default();
        let is_new = |event: &HistoryEvent| seen.get(&event.subject).is_none_or(|seen| !seen.same_content(event));
        Ok(newest.into_values().filter(is_new).collect())
    }

    /// What an earlier watch with the same command announced; `None` where there was none.
    fn announced(&self, name: &TrustName) -> Result<Option<Newest>, Report> {
        let file = self.session.store()?.load(name)?.announced_file(&self.options.watch.on_change);
        let bytes = read_bounded(&file, MOST_ANNOUNCED).map_err(|error| Report::io(&error))?;
        // What is damaged counts as not announced: rather once more than never.
        let events = bytes.map(|bytes| serde_json::from_slice::<Vec<HistoryEvent>>(&bytes).unwrap_or_default());
        Ok(events.map(|events| events.into_iter().map(|event| (event.subject.clone(), event)).collect()))
    }

    /// Keeps what has been announced.
    fn keep_announced(&mut self, name: &TrustName) {
        let Some(seen) = self.seen.get(name) else { return };
        let bytes = serde_json::to_vec(&seen.values().collect::<Vec<_>>()).expect("events are plain data");
        let kept = self.session.store().and_then(|store| store.load(name)).and_then(|trust| {
            let file = trust.announced_file(&self.options.watch.on_change);
            fs::create_dir_all(file.parent().unwrap_or(&file)).map_err(|error| Report::io(&error))?;
            write_durably(&file, &bytes).map_err(|error| Report::io(&error))
        });
        let lost = kept.err().map(|report| {
            let problem = report.headline();
            format!("{name}: it cannot be kept what was announced, and a restart may announce it again: {problem}")
        });
        self.trouble(&format!("{name} announced"), lost);
    }

    fn newest(&self, name: &TrustName) -> Result<Newest, Report> {
        let trust = self.session.store()?.load(name)?;
        let store = LocalCache::new(trust.metadata_directory(), CacheMode::ReadOnly);
        let history = History::read(&store).map_err(|error| Report::io(&error))?;
        Ok(history.newest().into_iter().map(|(subject, event)| (subject.clone(), event.clone())).collect())
    }

    /// One line for what changed in one repository.
    fn show(&mut self, changed: &Changed) {
        let time = show_time(now());
        let line = match self.session.format {
            Format::Text | Format::Markdown => format!("{time} {}: {}\n", changed.name, changed.words().join(", ")),
            Format::Json => {
                let events: Vec<_> = changed
                    .events
                    .iter()
                    .map(|event| json!({"subject": event.subject, "version": event.version, "gone": event.gone}))
                    .collect();
                let line = json!({"at": time, "trust": changed.name.as_str(), "changes": events});
                ascii_json(&format!("{line}\n"))
            }
        };
        let shown = output::raw(line.as_bytes());
        self.trouble("output", shown.err().map(|report| report.headline().to_owned()));
    }

    /// Says what is wrong, once for as long as it stays the same; and that it is over.
    fn trouble(&mut self, about: &str, trouble: Option<String>) {
        match trouble {
            Some(trouble) => {
                let before = self.troubles.insert(about.to_owned(), trouble.clone());
                if before.as_deref().map(without_times) != Some(without_times(&trouble)) {
                    warn(&trouble);
                }
            }
            None => {
                if let Some(trouble) = self.troubles.remove(about) {
                    warn(&format!("no longer so: {trouble}"));
                }
            }
        }
    }
}

/// Any number; the middle one where the system has no randomness, since nothing secret depends on it.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match trustroot::crypto::random(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => u64::MAX / 2,
    }
}

/// Sleeps by both clocks, whichever is quicker: while a machine is suspended one of them stands still.
async fn sleep(wait: Duration) {
    const STEP: Duration = Duration::from_secs(15);
    let started = tokio::time::Instant::now();
    // None where the wait is longer than time is.
    let due = chrono::TimeDelta::from_std(wait).ok().and_then(|wait| now().checked_add_signed(wait));
    while let Some(left) = wait.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        if due.is_some_and(|due| due <= now()) {
            return;
        }
        tokio::time::sleep(left.min(STEP)).await;
    }
}
