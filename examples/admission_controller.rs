//! An admission controller: decides whether an artifact may run, by who built it. One trusted state, refreshed every few
//! minutes, answers all questions.
//!
//! ```text
//! admission_controller REPOSITORY_URL PINNED_ROOT CACHE_DIRECTORY < QUESTIONS
//! ```
//!
//! A question is a line `ARTIFACT ATTESTATION BUILDER_ID`; the answer is a line as well.

use std::error::Error;
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use trustroot::Printable;
use trustroot::builders::{BuildLevel, Builder, BuilderId};
use trustroot::client::{
    CacheMode, DefaultFetcher, Fetcher, HttpSettings, KeptTargets, LocalCache, SafeUrl, TrustAnchor, UpdateError,
    Updater, UpdaterSettings,
};
use trustroot::trust::{TrustedSet, UpdateStart};
use trustroot::verify::{
    ArtifactDigests, BuilderRequest, MAX_TRUSTED_ROOT_BYTES, TransparencyLogs, verify_with_builder,
};

/// How often the repository is asked.
const PERIOD: Duration = Duration::from_secs(600);

/// How old the trusted state may be that answers.
const OLDEST: TimeDelta = TimeDelta::hours(1);

/// What is asked of every artifact.
const MIN_LEVEL: BuildLevel = BuildLevel::L3;

#[expect(clippy::disallowed_methods, reason = "this is a command: the clock is read here")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, root, cache] = arguments.as_slice() else {
        return Err("usage: admission_controller REPOSITORY_URL PINNED_ROOT CACHE_DIRECTORY".into());
    };
    let controller = Arc::new(Controller::new(
        std::fs::read(root)?,
        &SafeUrl::parse(url)?,
        LocalCache::new(cache, CacheMode::ReadWrite),
        Arc::new(DefaultFetcher::new(HttpSettings::default())),
    ));
    controller.refresh(now()).await?;
    let background = Arc::clone(&controller);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            if let Err(error) = background.refresh(now()).await {
                eprintln!("refresh: {error}");
            }
        }
    });
    // Questions are waited for on a thread of their own, so that refreshes go on meanwhile.
    let (sender, mut questions) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).all(|line| sender.blocking_send(line).is_ok())
    });
    while let Some(question) = questions.recv().await {
        let words: Vec<&str> = question.split_whitespace().collect();
        let [artifact, attestation, builder] = words.as_slice() else {
            println!("deny: a question is ARTIFACT ATTESTATION BUILDER_ID");
            continue;
        };
        let decided = match (std::fs::read(artifact), std::fs::read(attestation)) {
            (Ok(artifact), Ok(attestation)) => controller.decide(&artifact, &attestation, builder, now()).await,
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        };
        match decided {
            Ok(level) => println!("allow: {}", level.as_short()),
            // What is said may come from the attestation, and must not steer the terminal.
            Err(reason) => println!("deny: {}", Printable(&reason.to_string())),
        }
    }
    Ok(())
}

/// Answers from one trusted state at a time.
#[derive(Debug)]
pub(crate) struct Controller {
    pinned_root: Vec<u8>,
    settings: UpdaterSettings,
    cache: LocalCache,
    fetcher: Arc<dyn Fetcher>,
    /// The state that answers, and when it was refreshed.
    current: Mutex<Option<(DateTime<Utc>, Updater)>>,
}

impl Controller {
    pub(crate) fn new(
        pinned_root: Vec<u8>,
        repository: &SafeUrl,
        cache: LocalCache,
        fetcher: Arc<dyn Fetcher>,
    ) -> Self {
        // What has been asked before is answered from here while the repository is away.
        let documents = KeptTargets::In(cache.directory().join("documents"));
        let settings = UpdaterSettings::new(repository.clone(), repository.below("targets")).kept_targets(documents);
        Self { pinned_root, settings, cache, fetcher, current: Mutex::new(None) }
    }

    /// Takes the newest state. One updater answers from one state, so this makes a new one; until it has succeeded, and
    /// if it does not, the old state answers, for as long as [`OLDEST`] allows.
    pub(crate) async fn refresh(&self, now: DateTime<Utc>) -> Result<(), UpdateError> {
        let anchor = TrustAnchor::Pinned(self.pinned_root.clone());
        let (settings, fetcher) = (self.settings.clone(), Arc::clone(&self.fetcher));
        let mut updater = Updater::new(anchor, settings, self.cache.clone(), fetcher, UpdateStart::at(now))?;
        updater.refresh().await?;
        *self.current.lock().await = Some((now, updater));
        Ok(())
    }

    /// Allows the artifact, with the level that it has, or says why not. Whatever goes wrong denies.
    pub(crate) async fn decide(
        &self,
        artifact: &[u8],
        attestation: &[u8],
        builder: &str,
        now: DateTime<Utc>,
    ) -> Result<BuildLevel, Box<dyn Error>> {
        let mut current = self.current.lock().await;
        let (refreshed, updater) = current.as_mut().ok_or("nothing is trusted yet")?;
        if now - *refreshed > OLDEST {
            return Err(format!("what is trusted was refreshed last at {refreshed}").into());
        }
        let registry = updater.registry().await?;
        let builder = updater.look_up::<Builder>(&registry, &BuilderId::parse(builder)?).await?;
        let mut logs = Vec::new();
        for (realm, _, bytes) in updater.time_authorities(&builder.entry, MAX_TRUSTED_ROOT_BYTES as u64).await? {
            logs.push((realm, TransparencyLogs::from_trusted_root(&bytes)?));
        }
        // The updater has judged by the time of its refresh.
        if let Some(expires) = updater.trusted().map(TrustedSet::expires).filter(|expires| *expires <= now) {
            return Err(format!("what is trusted has expired: {expires}").into());
        }
        // What follows needs nothing but memory: others may ask meanwhile.
        drop(current);

        let mut digester = ArtifactDigests::digester();
        digester.update(artifact);
        let artifact = ArtifactDigests::from(digester);
        let mut request = BuilderRequest::new(&artifact, attestation, &builder, MIN_LEVEL, now);
        request.time_authorities = &logs;
        let verdict = verify_with_builder(&request)?;
        Ok(verdict.accepted.iter().map(|build| build.level).max().ok_or("nothing was accepted")?)
    }
}
