//! `trustroot refresh --watch`: refreshes again and again, and tells those who asked to be told.

mod hook;
mod metrics;
mod notify;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use trustroot::client::{
    CacheMode, DefaultFetcher, History, HistoryEvent, LocalCache, Refreshed, Schedule, Subject, remove_leftovers,
    write_durably,
};
use trustroot::metadata::Document as _;

use self::hook::Hook;
use self::metrics::Metrics;
use self::notify::Notifier;
use super::changes::describe;
use super::refresh::refresh;
use crate::args::{Format, RefreshOptions};
use crate::config::TrustName;
use crate::output;
use crate::report::{Outcome, Report, ascii_json};
use crate::ui::{ServiceManager, Session, block_on, fetcher, now, show_time, told_to_stop, warn};

pub(super) fn run(session: &Session, options: &RefreshOptions) -> Result<(), Report> {
    if session.offline || session.time_is_chosen {
        let headline = "watching is about the present, and asks repositories";
        return Err(
            Report::new(Outcome::WrongQuestion, "not-watchable", headline).hint("leave out `--offline` and `--at`")
        );
    }
    // What cannot be watched at all is said at once.
    let names = session.trust_names(options.name.as_ref())?;
    let mut watch = Watch {
        session,
        options,
        schedule: Schedule::new(options.watch.interval, options.watch.jitter),
        fetcher: None,
        hook: Hook::new(&options.watch.on_change, options.watch.on_change_limit),
        metrics: Metrics::default(),
        seen: BTreeMap::new(),
        troubles: BTreeMap::new(),
    };
    if let Some(directory) = options.watch.metrics.as_deref().and_then(Path::parent) {
        remove_leftovers(if directory.as_os_str().is_empty() { Path::new(".") } else { directory });
    }
    for name in &names {
        let newest = watch.newest(name)?;
        watch.seen.insert(name.clone(), newest);
    }
    block_on(async {
        let stop = told_to_stop().map_err(|error| Report::io(&error))?;
        let notifier = Notifier::new(ServiceManager::of_this_process());
        // Everything is written between two waits, so ending while it waits leaves nothing half-written.
        tokio::select! {
            () = stop => {}
            () = notifier.keep_alive() => {}
            () = watch.go_on(&notifier) => {}
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
    seen: BTreeMap<TrustName, Newest>,
    /// What was said last about what is wrong, by what it is about: nothing is said twice in a row.
    troubles: BTreeMap<String, String>,
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
    async fn go_on(&mut self, notifier: &Notifier) {
        let mut ready = false;
        loop {
            let refreshed = self.round().await;
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
            sleep(wait).await;
        }
    }

    /// Refreshes everything once.
    async fn round(&mut self) -> Refreshed {
        let session = self.session.at_present();
        let names = match session.trust_names(self.options.name.as_ref()) {
            Ok(names) => names,
            Err(report) => {
                self.trouble("home", Some(report.headline().to_owned()));
                return Refreshed::Badly;
            }
        };
        self.trouble("home", None);
        self.seen.retain(|name, _| names.contains(name));
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
        for changed in &changed {
            self.show(changed);
        }
        if !changed.is_empty()
            && let Some(hook) = &self.hook
        {
            let ran = hook.run(&changed).await;
            self.metrics.hook_ran(ran.is_ok());
            self.trouble("hook", ran.err());
        }
        if !well {
            // The network may be another one by now, or have other certificates.
            self.fetcher = None;
        }
        if well { Refreshed::Well(expires) } else { Refreshed::Badly }
    }

    /// Refreshes one repository, and says when what is trusted of it expires first.
    async fn refresh(&mut self, session: &Session, name: &TrustName) -> Result<DateTime<Utc>, Report> {
        let trust = session.store()?.load(name)?;
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
        self.metrics.succeeded(name, trusted, session.start.time());
        let kept = updater.not_kept().map(|error| format!("{name}: what was accepted cannot be kept: {error}"));
        self.trouble(&format!("{name} kept"), kept);
        let failed = (!refreshed.not_refreshed.is_empty())
            .then(|| format!("{name}: not refreshed: {}", refreshed.not_refreshed.join("; ")));
        self.trouble(&format!("{name} documents"), failed);
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
            Format::Text => format!("{time} {}: {}\n", changed.name, changed.words().join(", ")),
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
                if self.troubles.insert(about.to_owned(), trouble.clone()).as_ref() != Some(&trouble) {
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
    let (started, due) = (tokio::time::Instant::now(), chrono::TimeDelta::from_std(wait).map(|wait| now() + wait));
    while let Some(left) = wait.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        if due.is_ok_and(|due| due <= now()) {
            return;
        }
        tokio::time::sleep(left.min(STEP)).await;
    }
}
