//! The library as programs embed it: the blocking client, what may be shared between threads, and the examples.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use demo_repository::support::{OPPY, Registry, SimRepository, block_on};
use trustroot::builders;
use trustroot::client::blocking;
use trustroot::client::*;
use trustroot::metadata::TargetPath;
use trustroot::serve::{ServeLimits, Server};
use trustroot::trust::{FoundTarget, UpdateStart};

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/admission_controller.rs"]
mod admission_controller;
#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/custom_fetcher.rs"]
mod custom_fetcher;
#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/demo_repository.rs"]
mod demo_repository;
#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/package_manager.rs"]
mod package_manager;
#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/sign_attestation.rs"]
mod sign_attestation;

const TARGET: &str = "oppy.example/keys.json";

fn spring() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn blocking_updater(repository: &SimRepository, store: Arc<MemoryStore>) -> Result<blocking::Updater, UpdateError> {
    let base = SafeUrl::parse(demo_repository::support::BASE).unwrap();
    let settings = UpdaterSettings::new(base.below("metadata"), base.below("targets"));
    let root = repository.shelf().get("metadata/1.root.json").unwrap();
    let start = UpdateStart::at(repository.shelf().now());
    blocking::Updater::new(TrustAnchor::Pinned(root), settings, store, repository.shelf().clone(), start)
}

fn repository() -> SimRepository {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "hello", b"hello, world");
    repository.publish();
    repository
}

#[test]
fn the_blocking_client_does_what_the_async_one_does() {
    let repository = repository();
    let store = Arc::new(MemoryStore::default());
    let mut updater = blocking_updater(&repository, Arc::clone(&store)).unwrap();
    assert!(updater.trusted().is_none());
    let version = updater.refresh().unwrap().snapshot().version;
    assert_eq!(updater.trusted().unwrap().snapshot().version, version);
    assert_eq!(updater.freshness().confirmed_at, Some(repository.shelf().now()));
    assert!(updater.not_kept().is_none());
    assert!(!updater.kept().is_empty());

    let found = updater.find(&TargetPath::new("hello").unwrap()).unwrap().unwrap();
    assert_eq!(updater.target_bytes(&found, None).unwrap(), b"hello, world");
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("hello");
    let mut progress = 0;
    assert!(!updater.download(&found, &destination, None, |so_far| progress = so_far).unwrap().was_there);
    assert_eq!((progress, std::fs::read(&destination).unwrap().as_slice()), (12, b"hello, world".as_slice()));
    assert!(updater.find(&TargetPath::new("absent").unwrap()).unwrap().is_none());
    assert_eq!(updater.registry().unwrap_err().code(), "no-catalog");
    assert_eq!(updater.kept_roles().unwrap(), []);
    let asked = repository.shelf().take_requests().len() as u64;
    assert_eq!(updater.traffic().requests, asked);
}

#[test]
fn the_blocking_client_carries_a_bundle() {
    let repository = repository();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bundle");
    let hello = TargetPath::new("hello").unwrap();
    let questions = bundle::Questions { targets: [hello.clone()].into(), ..bundle::Questions::default() };
    let base = SafeUrl::parse(demo_repository::support::BASE).unwrap();
    let settings = UpdaterSettings::new(base.below("metadata"), base.below("targets"));
    let keeping = settings.clone().kept_targets(KeptTargets::In(directory.path().join("targets")));
    let root = || TrustAnchor::Pinned(repository.shelf().get("metadata/1.root.json").unwrap());
    let start = UpdateStart::at(repository.shelf().now());
    let (store, shelf) = (MemoryStore::default(), repository.shelf().clone());
    let mut exporting = blocking::Updater::new(root(), keeping, store, shelf, start).unwrap();
    let exported = exporting.export_bundle(&questions, 1 << 20, None, &file).unwrap();
    assert_eq!(exported.answers.targets, questions.targets);
    repository.shelf().take_requests();

    let bundle = bundle::Bundle::open(&file).unwrap();
    let mut settings = settings;
    bundle.carry_over(&mut settings);
    let (store, fetcher) = (MemoryStore::default(), Arc::new(bundle::BundleFetcher::new(bundle)));
    let mut importing = blocking::Updater::new(root(), settings, store, fetcher, start).unwrap();
    assert_eq!(importing.import_bundle(&questions, 1 << 20).unwrap().targets, questions.targets);
    assert!(importing.find(&hello).unwrap().is_some());
    assert!(repository.shelf().take_requests().is_empty());
}

#[test]
fn a_copy_is_used_where_it_is_the_target_and_nothing_of_it_is_where_it_is_not() {
    let repository = repository();
    let mut updater = blocking_updater(&repository, Arc::new(MemoryStore::default())).unwrap();
    let found = updater.find(&TargetPath::new("hello").unwrap()).unwrap().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    for (content, fetched) in [("hello, world", 0), ("HELLO, WORLD", 1), ("HELLO", 1), ("hello, world!", 1)] {
        write_durably(&copy, content.as_bytes()).unwrap();
        repository.shelf().take_requests();
        let destination = directory.path().join(format!("from {content}"));
        updater.download(&found, &destination, Some(&copy), |_| ()).unwrap();
        assert_eq!(std::fs::read(&destination).unwrap(), b"hello, world", "{content}");
        assert_eq!(repository.shelf().take_requests().len(), fetched, "{content}");
        assert_eq!(updater.target_bytes(&found, Some(&copy)).unwrap(), b"hello, world", "{content}");
        assert_eq!(repository.shelf().take_requests().len(), fetched, "{content}");
        assert_eq!(std::fs::read(&copy).unwrap(), content.as_bytes());
    }
}

/// A connection that one has opened is used by the other while the one does nothing.
#[test]
fn blocking_clients_share_a_fetcher() {
    let (directory, _) = demo();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (told, address) = std::sync::mpsc::channel();
    let files = directory.path().join("repository");
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::bind(&files, "127.0.0.1:0".parse().unwrap(), ServeLimits::default()).await.unwrap();
            told.send(server.address()).unwrap();
            server.run(async { drop(ended.await) }).await;
        });
    });
    let url = SafeUrl::parse(&format!("http://{}", address.recv().unwrap())).unwrap();
    let root = std::fs::read(directory.path().join("1.root.json")).unwrap();
    let http = HttpSettings { idle_timeout: std::time::Duration::from_secs(5), ..HttpSettings::default() };
    let fetcher: Arc<dyn Fetcher> = Arc::new(DefaultFetcher::new(http));
    let updater = || {
        let settings = UpdaterSettings::new(url.clone(), url.below("targets"));
        let settings = settings.retries(Retries { attempts: 1, delay: std::time::Duration::ZERO });
        let (pinned, store) = (TrustAnchor::Pinned(root.clone()), MemoryStore::default());
        blocking::Updater::new(pinned, settings, store, Arc::clone(&fetcher), UpdateStart::at(spring())).unwrap()
    };
    let (mut one, mut other) = (updater(), updater());
    one.refresh().unwrap();
    other.refresh().unwrap();
    // Nor does it matter that the one who opened it is gone.
    drop(one);
    updater().refresh().unwrap();
    end.send(()).unwrap();
    thread.join().unwrap();
}

#[test]
fn the_blocking_client_refuses_to_stop_an_async_runtime() {
    let repository = repository();
    let store = Arc::new(MemoryStore::default());
    let mut updater = blocking_updater(&repository, Arc::clone(&store)).unwrap();
    block_on(async {
        let made = blocking_updater(&repository, Arc::clone(&store));
        assert_eq!(made.unwrap_err().code(), "inside-runtime");
        assert_eq!(updater.refresh().unwrap_err().code(), "inside-runtime");
        assert_eq!(updater.registry().unwrap_err().code(), "inside-runtime");
    });
    assert!(repository.shelf().take_requests().is_empty(), "nothing was asked");
    updater.refresh().unwrap();
    // A thread of its own is fine, and so is dropping it anywhere.
    block_on(async {
        let found = std::thread::spawn(move || updater.find(&TargetPath::new("hello").unwrap()).map(|_| updater));
        drop(found.join().unwrap().unwrap());
    });
}

#[test]
fn clients_may_be_sent_and_shared_between_threads() {
    fn is<T: Send + Sync>() {}
    fn is_sent<T: Send>() {}
    is::<Updater>();
    is::<blocking::Updater>();
    is::<UpdaterSettings>();
    is::<TrustAnchor>();
    is::<Mirror>();
    is::<MirrorHealth>();
    is::<MultiRepository>();
    is::<RepositoryMap>();
    is::<Schedule>();
    is::<Freshness>();
    is::<Traffic>();
    is::<Downloaded>();
    is::<Retries>();
    is::<Clock>();
    is::<KeptTargets>();
    is::<WhenUnreachable>();
    is::<danger::ExpiredGrace>();
    is::<LocalCache>();
    is::<MemoryStore>();
    is::<StoredFile>();
    is::<CacheMode>();
    is::<SafeUrl>();
    is::<DefaultFetcher>();
    is::<FileFetcher>();
    is::<HttpFetcher>();
    is::<HttpSettings>();
    is::<Proxies>();
    is::<ProxyUrl>();
    is::<Authorities>();
    is::<FetchRequest>();
    is::<EntityTag>();
    is::<Arc<dyn Fetcher>>();
    is::<Arc<dyn Store>>();
    is::<UpdateError>();
    is::<LookupError>();
    is::<FetchError>();
    is::<UrlError>();
    is::<ProxyUrlError>();
    is::<VariableError>();
    // Each of these belongs to one reader or holder.
    is_sent::<Body>();
    is_sent::<Answer>();
    is_sent::<StoreLock>();
}

/// What multi-threaded runtimes ask of tasks: it need not run, as it does not compile where a future stays on its thread.
#[expect(clippy::too_many_arguments, reason = "one of each that some function wants")]
fn every_future_is_sent(
    (updater, multi): (&mut Updater, &mut MultiRepository),
    (found, agreed): (&FoundTarget, &Agreed),
    (registry, agreed_registry): (&builders::Registry, &AgreedRegistry),
    (id, entry): (&builders::BuilderId, &builders::NamespaceEntry),
    (path, file): (&TargetPath, &Path),
    (fetcher, url, bodies): (&dyn Fetcher, &SafeUrl, [Body; 2]),
    questions: &bundle::Questions,
    (server, limits): (Server, ServeLimits),
) {
    fn sent(_: impl Send) {}
    fn look_up<T: builders::MapDocument>(
        updater: &mut Updater,
        multi: &mut MultiRepository,
        (registry, agreed): (&builders::Registry, &AgreedRegistry),
        id: &builders::BuilderId,
    ) {
        sent(updater.look_up::<T>(registry, id));
        sent(multi.look_up::<T>(agreed, id));
    }
    look_up::<builders::Builder>(updater, multi, (registry, agreed_registry), id);
    look_up::<builders::Verifier>(updater, multi, (registry, agreed_registry), id);
    sent(updater.refresh());
    sent(updater.find(path));
    sent(updater.download(found, file, None, |_| {}));
    sent(updater.target_bytes(found, None));
    sent(updater.registry());
    sent(updater.refresh_documents());
    sent(updater.time_authorities(entry, 1));
    sent(updater.kept_roles());
    sent(bundle::export(updater, questions, 1, None, file));
    sent(bundle::import(updater, questions, 1));
    sent(multi.find(path));
    sent(multi.download(agreed, file, None, |_| {}));
    sent(multi.target_bytes(agreed, None));
    sent(multi.registry());
    sent(multi.time_authorities(entry, 1));
    let [body_for_bytes, body_for_stream] = bodies;
    sent(body_for_bytes.bytes(1));
    sent(body_for_stream.stream(1, |_| Ok::<_, FetchError>(())));
    sent(Retries::NONE.fetch(fetcher, url, 1, &mut Traffic::default()));
    sent(Server::bind(file, "127.0.0.1:0".parse().unwrap(), limits));
    sent(server.run(std::future::pending()));
}

#[test]
fn every_public_future_is_among_those_that_are_checked() {
    let _ = every_future_is_sent;
    let checked = include_str!("library.rs");
    let public = include_str!("../docs/public-api.txt").lines().filter(|line| line.contains(": async fn "));
    // Publishing is no work for a server.
    let public = public.filter(|line| !line.starts_with("publish::"));
    let not_checked: Vec<&str> = public
        .filter(|line| {
            let path: Vec<&str> = line.split(": async fn").next().unwrap().split("::").collect();
            let (owner, name) = (path[path.len() - 2], path[path.len() - 1]);
            let called = match owner {
                "MultiRepository" => format!("multi.{name}"),
                "Updater" => format!("updater.{name}"),
                "Body" => format!("body_for_{name}.{name}("),
                "Retries" => format!("Retries::NONE.{name}("),
                "Server" if name == "run" => format!("server.{name}("),
                owner => format!("{owner}::{name}("),
            };
            !checked.contains(&format!("sent({called}"))
        })
        .collect();
    assert!(not_checked.is_empty(), "{not_checked:#?}");
}

/// The demo repository, and the directory with everything.
fn demo() -> (tempfile::TempDir, SafeUrl) {
    let directory = tempfile::tempdir().unwrap();
    demo_repository::make(directory.path()).unwrap();
    let url = SafeUrl::from_file_path(&directory.path().join("repository")).unwrap();
    (directory, url)
}

fn install(directory: &Path, url: &SafeUrl, days: i64) -> Result<String, String> {
    let (destination, cache) = (directory.join("keys.json"), directory.join("cache"));
    let now = spring() + TimeDelta::days(days);
    package_manager::install(url, TARGET, &destination, &cache, now).map_err(|error| error.to_string())
}

#[test]
fn the_package_manager_installs_what_its_root_vouches_for() {
    let (directory, url) = demo();
    let report = install(directory.path(), &url, 0).unwrap();
    assert!(report.contains("named by oppy.example v2"), "{report}");
    assert!(report.contains("trusted through root v2"), "{report}");
    assert!(!report.contains("could not be asked"), "{report}");
    let installed = std::fs::read(directory.path().join("keys.json")).unwrap();

    std::fs::rename(directory.path().join("repository"), directory.path().join("away")).unwrap();
    let report = install(directory.path(), &url, 6).unwrap();
    assert!(report.contains("it was there already"), "{report}");
    assert!(report.contains("it last confirmed this at 2026-03-01 12:00:00 UTC"), "{report}");
    let error = install(directory.path(), &url, 8).unwrap_err();
    assert!(error.contains("more than 604800 s ago"), "{error}");
    assert_eq!(std::fs::read(directory.path().join("keys.json")).unwrap(), installed);
}

#[test]
fn the_package_manager_does_not_install_what_was_replaced() {
    let (directory, url) = demo();
    let targets = directory.path().join("repository/targets");
    for entry in walkdir::WalkDir::new(targets).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            let mut bytes = std::fs::read(entry.path()).unwrap();
            bytes[0] ^= 1;
            write_durably(entry.path(), &bytes).unwrap();
        }
    }
    let error = install(directory.path(), &url, 0).unwrap_err();
    assert!(error.contains("does not have the sha"), "{error}");
    assert!(!directory.path().join("keys.json").exists());
}

#[test]
fn the_admission_controller_allows_only_what_the_builder_built() {
    let mut registry = Registry::with_builder();
    registry.publish().unwrap();
    registry.now += TimeDelta::hours(2);
    let (now, artifact) = (registry.now, b"an image".as_slice());
    let attest = |key| sign_attestation::attest("image", artifact, OPPY, registry.key(key)).unwrap().to_string();
    let (good, forged) = (attest("builder-v1"), attest("oppy-dev"));

    let cache = tempfile::tempdir().unwrap();
    let root = std::fs::read(registry.path("repository/1.root.json")).unwrap();
    let url = SafeUrl::from_file_path(&registry.published()).unwrap();
    let cache = LocalCache::new(cache.path(), CacheMode::ReadWrite);
    let controller = admission_controller::Controller::new(root, &url, cache, Arc::new(FileFetcher));
    let decide = |artifact: &[u8], attestation: &str, builder: &str, now| {
        let decided = block_on(controller.decide(artifact, attestation.as_bytes(), builder, now));
        decided.map(builders::BuildLevel::as_short).map_err(|error| error.to_string())
    };
    assert_eq!(decide(artifact, &good, OPPY, now).unwrap_err(), "nothing is trusted yet");
    block_on(controller.refresh(now)).unwrap();
    assert_eq!(decide(artifact, &good, OPPY, now), Ok("L3"));
    assert!(decide(artifact, &forged, OPPY, now).is_err());
    assert!(decide(b"another image", &good, OPPY, now).is_err());
    assert!(decide(artifact, &good, "https://mallory.example/builder", now).is_err());
    assert!(decide(artifact, "", OPPY, now).is_err());
    // Without word from the repository it answers for an hour.
    std::fs::rename(registry.published(), registry.path("away")).unwrap();
    let later = now + TimeDelta::minutes(50);
    block_on(controller.refresh(later)).unwrap_err();
    assert_eq!(decide(artifact, &good, OPPY, later), Ok("L3"));
    let error = decide(artifact, &good, OPPY, now + TimeDelta::minutes(61)).unwrap_err();
    assert!(error.starts_with("what is trusted was refreshed last at"), "{error}");
    // What has expired since the last refresh answers no more, though that was not long ago.
    std::fs::rename(registry.path("away"), registry.published()).unwrap();
    let timestamp = registry.published().join("timestamp.json");
    let timestamp: serde_json::Value = serde_json::from_slice(&std::fs::read(timestamp).unwrap()).unwrap();
    let expires: DateTime<Utc> = timestamp["signed"]["expires"].as_str().unwrap().parse().unwrap();
    block_on(controller.refresh(expires - TimeDelta::minutes(5))).unwrap();
    assert_eq!(decide(artifact, &good, OPPY, expires - TimeDelta::minutes(1)), Ok("L3"));
    let error = decide(artifact, &good, OPPY, expires).unwrap_err();
    assert!(error.starts_with("what is trusted has expired"), "{error}");
}

#[test]
fn a_fetcher_and_a_store_of_ones_own_are_enough() {
    let (directory, _) = demo();
    let root = std::fs::read(directory.path().join("1.root.json")).unwrap();
    let files = custom_fetcher::Files::read(&directory.path().join("repository")).unwrap();
    let (table, files) = (Arc::new(custom_fetcher::Table::default()), Arc::new(files));
    let fetch = |files: &Arc<custom_fetcher::Files>, now| {
        custom_fetcher::fetch(Arc::clone(files) as _, Arc::clone(&table), root.clone(), TARGET, now)
    };
    let bytes = fetch(&files, spring()).unwrap();
    assert!(bytes.starts_with(b"{"));
    let kept = table.keys();
    for key in ["client/notes.json", "oppy.example.json", "root_history/2.root.json", "snapshot.json"] {
        assert!(kept.iter().any(|kept| kept == key), "{key} is not among {kept:?}");
    }
    // What a table serves is not trusted, and what is kept stays.
    let mut replaced = files.0.clone();
    let timestamp = replaced.get_mut("timestamp.json").unwrap();
    *timestamp = String::from_utf8(timestamp.clone()).unwrap().replace("\"version\":2", "\"version\":9").into_bytes();
    assert_ne!(replaced["timestamp.json"], files.0["timestamp.json"]);
    let error = fetch(&Arc::new(custom_fetcher::Files(replaced)), spring()).unwrap_err();
    assert!(error.downcast_ref::<UpdateError>().unwrap().is_refusal(), "{error}");
    assert_eq!(table.keys(), kept);
    assert_eq!(fetch(&files, spring()).unwrap(), bytes);
}

/// If this fails because the demo repository has changed: write its new root there.
#[test]
fn the_root_in_the_package_manager_is_that_of_the_demo() {
    let (directory, _) = demo();
    let root = std::fs::read(directory.path().join("1.root.json")).unwrap();
    assert_eq!(root, include_bytes!("../examples/package_manager.root.json"));
}
