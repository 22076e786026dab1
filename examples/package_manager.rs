//! A package manager: its trust root is part of the program, and it is not async.
//!
//! ```text
//! package_manager REPOSITORY_URL TARGET DESTINATION CACHE_DIRECTORY
//! ```
//!
//! `package_manager.root.json` is the first root of the repository that `examples/demo_repository.rs` makes.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use trustroot::client::blocking::Updater;
use trustroot::client::{
    CacheMode, DefaultFetcher, HttpSettings, LocalCache, SafeUrl, TrustAnchor, UpdaterSettings, WhenUnreachable,
};
use trustroot::metadata::TargetPath;
use trustroot::trust::UpdateStart;

/// Where trust starts. Whoever can change the program can change it; whoever can write to the cache cannot.
const PINNED_ROOT: &[u8] = include_bytes!("package_manager.root.json");

/// For how long packages are installed without word from the repository.
const LONGEST_OFFLINE: Duration = Duration::from_secs(7 * 86_400);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, target, destination, cache] = arguments.as_slice() else {
        return Err("usage: package_manager REPOSITORY_URL TARGET DESTINATION CACHE_DIRECTORY".into());
    };
    #[expect(clippy::disallowed_methods, reason = "this is a command: the clock is read here, once")]
    let now = Utc::now();
    let report = install(&SafeUrl::parse(url)?, target, destination.as_ref(), cache.as_ref(), now)?;
    #[expect(clippy::print_stdout, reason = "this is a command")]
    {
        print!("{report}");
    }
    Ok(())
}

/// Downloads a target, and says what was verified.
pub(crate) fn install(
    repository: &SafeUrl,
    target: &str,
    destination: &Path,
    cache: &Path,
    now: DateTime<Utc>,
) -> Result<String, Box<dyn Error>> {
    let settings = UpdaterSettings::new(repository.clone(), repository.below("targets"))
        .when_unreachable(WhenUnreachable::UseKept)
        .max_staleness(LONGEST_OFFLINE);
    let mut updater = Updater::new(
        TrustAnchor::Pinned(PINNED_ROOT.to_vec()),
        settings,
        LocalCache::new(cache, CacheMode::ReadWrite),
        Arc::new(DefaultFetcher::new(HttpSettings::default())),
        UpdateStart::at(now),
    )?;
    let path = TargetPath::new(target)?;
    let found = updater.find(&path)?.ok_or_else(|| format!("no trusted role names {path}"))?;
    let downloaded = updater.download(&found, destination, None, |_| ())?;

    let mut report = String::new();
    let root = updater.trusted().ok_or("nothing is trusted")?.root().version;
    writeln!(report, "{path}: {} bytes, named by {} {}", found.file.length, found.role, found.version)?;
    for (algorithm, digest) in found.file.hashes.iter() {
        writeln!(report, "{algorithm}: {}", hex::encode(digest))?;
    }
    writeln!(report, "trusted through root {root}, from the root in this program")?;
    if downloaded.was_there {
        writeln!(report, "it was there already")?;
    }
    // Never silently: who reads this may want to know that a revocation could be missing.
    if let (Some(reason), Some(time)) = (&updater.freshness().unreachable, updater.freshness().confirmed_at) {
        writeln!(report, "the repository could not be asked ({reason}); it last confirmed this at {time}")?;
    }
    if let Some(error) = updater.not_kept() {
        writeln!(report, "the cache could not be written: {error}")?;
    }
    Ok(report)
}
