//! The client for programs that are not async: the same [`Updater`](super::Updater), which waits, and the same
//! [`MultiRepository`](super::MultiRepository).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::bundle::{self, Answers, BundleError, Exported, Questions};
use super::{
    Agreed, AgreedDocument, AgreedRegistry, ConsensusError, Downloaded, Fetcher, Freshness, History, KeptRole,
    LookupError, MirrorHealth, MultiRepository as AsyncMulti, RepositoryMap, Store, Subject, Traffic, TrustAnchor,
    UpdateError, Updater as Async, UpdaterSettings,
};
use crate::builders::{BuilderId, Found, MapDocument, NamespaceEntry, Realm, Registry};
use crate::metadata::{RoleName, TargetPath, Version};
use crate::trust::{FoundTarget, TrustedSet, UpdateStart};

/// A TUF client for one repository, whose functions return when they are done.
///
/// It has a private runtime with one thread; a fetcher may be shared with others. Called from within an async runtime it would stop whatever else
/// runs there, so it refuses with [`UpdateError::InsideRuntime`]; use [`super::Updater`] there.
///
/// ```no_run
/// use chrono::{DateTime, Utc};
/// use std::sync::Arc;
/// use trustroot::client::blocking::Updater;
/// use trustroot::client::{CacheMode, DefaultFetcher, HttpSettings, LocalCache, SafeUrl, TrustAnchor, UpdaterSettings};
/// use trustroot::metadata::TargetPath;
/// use trustroot::trust::UpdateStart;
///
/// # fn f(pinned_root: Vec<u8>, now: DateTime<Utc>) -> Result<(), Box<dyn std::error::Error>> {
/// let settings = UpdaterSettings::new(
///     SafeUrl::parse("https://keys.example.org/metadata")?,
///     SafeUrl::parse("https://keys.example.org/targets")?,
/// );
/// let cache = LocalCache::new("/var/lib/example/tuf", CacheMode::ReadWrite);
/// let fetcher = Arc::new(DefaultFetcher::new(HttpSettings::default()));
/// let start = UpdateStart::at(now);
/// let mut updater = Updater::new(TrustAnchor::Pinned(pinned_root), settings, cache, fetcher, start)?;
/// if let Some(target) = updater.find(&TargetPath::new("keys.json")?)? {
///     let bytes = updater.target_bytes(&target, None)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Updater {
    updater: Async,
    runtime: Waiting,
}

impl Updater {
    /// Makes an updater. Nothing is fetched yet.
    ///
    /// # Errors
    /// As [`super::Updater::new`], from within an async runtime, and when the system gives no runtime.
    pub fn new(
        anchor: TrustAnchor,
        settings: UpdaterSettings,
        store: impl Store + 'static,
        fetcher: Arc<dyn Fetcher>,
        start: UpdateStart,
    ) -> Result<Self, UpdateError> {
        let runtime = Waiting::new()?;
        Ok(Self { updater: Async::new(anchor, settings, store, fetcher, start)?, runtime })
    }

    /// See [`super::Updater::refresh`].
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn refresh(&mut self) -> Result<&TrustedSet, UpdateError> {
        self.wait(async |updater| updater.refresh().await.map(drop))?;
        Ok(self.updater.trusted().expect("the refresh has set it"))
    }

    /// See [`super::Updater::find`].
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn find(&mut self, path: &TargetPath) -> Result<Option<FoundTarget>, UpdateError> {
        self.wait(async |updater| updater.find(path).await)
    }

    /// See [`super::Updater::download`].
    ///
    /// # Errors
    /// See [`UpdateError`]. `destination` then has its old content.
    pub fn download(
        &mut self,
        target: &FoundTarget,
        destination: &Path,
        copy: Option<&Path>,
        progress: impl FnMut(u64),
    ) -> Result<Downloaded, UpdateError> {
        self.wait(async |updater| updater.download(target, destination, copy, progress).await)
    }

    /// See [`super::Updater::target_bytes`].
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn target_bytes(&mut self, target: &FoundTarget, copy: Option<&Path>) -> Result<Vec<u8>, UpdateError> {
        self.wait(async |updater| updater.target_bytes(target, copy).await)
    }

    /// See [`super::Updater::registry`].
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn registry(&mut self) -> Result<Registry, LookupError> {
        self.wait(async |updater| updater.registry().await)
    }

    /// See [`super::Updater::look_up`].
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn look_up<T: MapDocument>(&mut self, registry: &Registry, id: &BuilderId) -> Result<Found<T>, LookupError> {
        self.wait(async |updater| updater.look_up(registry, id).await)
    }

    /// See [`super::Updater::refresh_documents`].
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn refresh_documents(&mut self) -> Result<Vec<(Subject, LookupError)>, LookupError> {
        self.wait(async |updater| updater.refresh_documents().await)
    }

    /// See [`super::Updater::time_authorities`].
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn time_authorities(
        &mut self,
        entry: &NamespaceEntry,
        limit: u64,
    ) -> Result<Vec<(Realm, FoundTarget, Vec<u8>)>, UpdateError> {
        self.wait(async |updater| updater.time_authorities(entry, limit).await)
    }

    /// See [`super::Updater::kept_roles`].
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn kept_roles(&mut self) -> Result<Vec<KeptRole>, UpdateError> {
        self.wait(async |updater| updater.kept_roles().await)
    }

    /// See [`super::bundle::export()`].
    ///
    /// # Errors
    /// See [`BundleError`]. `destination` then has its old content.
    pub fn export_bundle(
        &mut self,
        questions: &Questions,
        limit: u64,
        from_root: Option<&[u8]>,
        destination: &Path,
    ) -> Result<Exported, BundleError> {
        self.wait(async |updater| bundle::export(updater, questions, limit, from_root, destination).await)
    }

    /// See [`super::bundle::import`].
    ///
    /// # Errors
    /// See [`LookupError`].
    pub fn import_bundle(&mut self, questions: &Questions, limit: u64) -> Result<Answers, LookupError> {
        self.wait(async |updater| bundle::import(updater, questions, limit).await)
    }

    /// See [`super::Updater::traffic`].
    pub fn traffic(&self) -> Traffic {
        self.updater.traffic()
    }

    /// See [`super::Updater::kept`].
    pub fn kept(&self) -> &[(RoleName, Version)] {
        self.updater.kept()
    }

    /// See [`super::Updater::not_kept`].
    pub fn not_kept(&self) -> Option<&io::Error> {
        self.updater.not_kept()
    }

    /// See [`super::Updater::not_indexed`].
    pub fn not_indexed(&self) -> Option<&io::Error> {
        self.updater.not_indexed()
    }

    /// See [`super::Updater::freshness`].
    pub fn freshness(&self) -> &Freshness {
        self.updater.freshness()
    }

    /// See [`super::Updater::mirrors`].
    pub fn mirrors(&self) -> Vec<MirrorHealth> {
        self.updater.mirrors()
    }

    /// See [`super::Updater::history`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn history(&mut self) -> io::Result<&History> {
        self.updater.history()
    }

    /// See [`super::Updater::trusted`].
    pub fn trusted(&self) -> Option<&TrustedSet> {
        self.updater.trusted()
    }

    fn wait<T, E: From<UpdateError>>(&mut self, work: impl AsyncFnOnce(&mut Async) -> Result<T, E>) -> Result<T, E> {
        self.runtime.wait(work(&mut self.updater))
    }
}

/// Several repositories, of which enough must agree: [`super::MultiRepository`], whose functions return when they are
/// done. Like [`Updater`] it refuses to be used from within an async runtime.
///
/// ```no_run
/// use trustroot::client::{RepositoryMap, blocking};
/// use trustroot::metadata::TargetPath;
///
/// # fn f(map: &[u8], ours: trustroot::client::Updater, theirs: trustroot::client::Updater)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let updaters = [("ours".to_owned(), ours), ("theirs".to_owned(), theirs)].into();
/// let mut repositories = blocking::MultiRepository::new(RepositoryMap::parse(map)?, updaters)?;
/// let agreed = repositories.find(&TargetPath::new("tool")?)?;
/// repositories.download(&agreed, "tool".as_ref(), None, |_| {})?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MultiRepository {
    repositories: AsyncMulti,
    runtime: Waiting,
}

impl MultiRepository {
    /// Makes one from an updater for each repository that the map names: [`super::Updater`]s that have not been used, as
    /// they share one runtime here. Nothing is fetched yet.
    ///
    /// # Errors
    /// As [`super::MultiRepository::new`], from within an async runtime, and when the system gives no runtime.
    pub fn new(map: RepositoryMap, updaters: BTreeMap<String, Async>) -> Result<Self, ConsensusError> {
        let runtime = Waiting::new()?;
        Ok(Self { repositories: AsyncMulti::new(map, updaters)?, runtime })
    }

    /// See [`super::MultiRepository::updaters`].
    pub fn updaters(&self) -> &BTreeMap<String, Async> {
        self.repositories.updaters()
    }

    /// See [`super::MultiRepository::find`].
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub fn find(&mut self, path: &TargetPath) -> Result<Agreed, ConsensusError> {
        self.runtime.wait(self.repositories.find(path))
    }

    /// See [`super::MultiRepository::download`].
    ///
    /// # Errors
    /// See [`ConsensusError`]. `destination` then has its old content.
    pub fn download(
        &mut self,
        agreed: &Agreed,
        destination: &Path,
        copy: Option<&Path>,
        progress: impl FnMut(u64),
    ) -> Result<Downloaded, ConsensusError> {
        self.runtime.wait(self.repositories.download(agreed, destination, copy, progress))
    }

    /// See [`super::MultiRepository::target_bytes`].
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub fn target_bytes(&mut self, agreed: &Agreed, copy: Option<&Path>) -> Result<Vec<u8>, ConsensusError> {
        self.runtime.wait(self.repositories.target_bytes(agreed, copy))
    }

    /// See [`super::MultiRepository::registry`].
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub fn registry(&mut self) -> Result<AgreedRegistry, ConsensusError> {
        self.runtime.wait(self.repositories.registry())
    }

    /// See [`super::MultiRepository::look_up`].
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub fn look_up<T: MapDocument>(
        &mut self,
        registry: &AgreedRegistry,
        id: &BuilderId,
    ) -> Result<AgreedDocument<T>, ConsensusError> {
        self.runtime.wait(self.repositories.look_up(registry, id))
    }

    /// See [`super::MultiRepository::time_authorities`].
    ///
    /// # Errors
    /// See [`ConsensusError`].
    pub fn time_authorities(
        &mut self,
        entry: &NamespaceEntry,
        limit: u64,
    ) -> Result<Vec<(Realm, Agreed, Vec<u8>)>, ConsensusError> {
        self.runtime.wait(self.repositories.time_authorities(entry, limit))
    }
}

/// How often it is seen whether connections are left.
const CONNECTIONS_ARE_LOOKED_AT: Duration = Duration::from_millis(200);

/// A private runtime. What is asked for runs on the thread that calls; a thread of its own looks after connections, which
/// may be in use by whoever shares the fetcher: so it stays for as long as there are any. It is not there in a process that
/// was forked off.
#[derive(Debug)]
struct Waiting {
    runtime: Handle,
    /// Dropped with this, which ends the thread and with it the runtime. Nobody waits for that, so that this may be dropped
    /// anywhere: a runtime that is dropped within another one panics.
    _in_use: oneshot::Sender<Infallible>,
}

impl Waiting {
    fn new() -> Result<Self, UpdateError> {
        refuse_inside_runtime()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (in_use, unused) = oneshot::channel();
        std::thread::Builder::new().name("trustroot".to_owned()).spawn(move || {
            runtime.block_on(async {
                let _ = unused.await;
                // Connections that are kept for the next request end with the fetcher, or when they were idle for long.
                while Handle::current().metrics().num_alive_tasks() > 0 {
                    tokio::time::sleep(CONNECTIONS_ARE_LOOKED_AT).await;
                }
            });
            // What still blocks a thread is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, _in_use: in_use })
    }

    fn wait<T, E: From<UpdateError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        refuse_inside_runtime()?;
        self.runtime.block_on(work)
    }
}

/// tokio would panic.
fn refuse_inside_runtime() -> Result<(), UpdateError> {
    match Handle::try_current() {
        Ok(_) => Err(UpdateError::InsideRuntime),
        Err(_) => Ok(()),
    }
}
