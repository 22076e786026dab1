//! Slow retrieval attack: an answer arrives so slowly that the client never gets to the end, and never gives up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trustroot::client::{
    Body, ChunkFuture, Chunks, FetchFuture, Fetcher, Mirror, Patience, Retries, SafeUrl, TrustAnchor, UpdateError,
    Updater, UpdaterSettings, blocking,
};
use trustroot::metadata::TargetPath;
use trustroot::trust::UpdateStart;

use crate::support::{Answer, Client, SimRepository, block_on};

#[test]
fn metadata_that_drips_is_given_up() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.bump("targets");
        repository.publish();
        if role == "root" {
            repository.bump("root");
        }
        repository.answer(role, Answer::Dripping(Duration::from_secs(10), vec![b' '; 10_000]));

        let error = client.refresh().unwrap_err();

        assert_eq!(error.code(), "too-slow", "{role}");
        assert!(!error.is_refusal(), "slowness says nothing about trust");
        assert_ne!(client.trusted_version(role), Some(2));
    }
}

#[test]
fn a_target_that_drips_is_given_up_and_the_old_one_stays() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    let new = vec![b'x'; 100_000];
    repository.add_target("targets", "tool", &new);
    repository.publish();
    // 100 bytes a second: below the 1 KiB that is asked for.
    let slow = Answer::Dripping(Duration::from_millis(10), new.clone());
    repository.put_target("tool", &trustroot::crypto::sha256(&new), slow);
    client.refresh().unwrap();

    let error = client.download("tool").unwrap_err();

    insta::assert_snapshot!(error.code(), @"too-slow");
    assert_eq!(client.downloaded("tool").unwrap(), b"good");
    assert_eq!(client.count_downloads(), 1);
}

#[test]
fn a_slow_start_is_forgiven() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    let slow = Answer::Dripping(Duration::from_secs(5), b"good".to_vec());
    repository.put_target("tool", &trustroot::crypto::sha256(b"good"), slow);

    client.download("tool").unwrap();

    assert_eq!(client.downloaded("tool").unwrap(), b"good");
}

#[test]
fn a_look_up_that_is_given_up_leaves_what_is_trusted() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"good");
    repository.publish();
    let client = repository.client();
    let mut updater = client.new_updater().unwrap();
    let path = TargetPath::new("tool").unwrap();
    block_on(updater.refresh()).unwrap();
    let versions = |updater: &Updater| {
        updater.trusted().map(|trusted| (trusted.timestamp().version.get(), trusted.targets().version.get()))
    };
    let before = versions(&updater);
    let honest = repository.bytes("team");
    repository.answer("team", Answer::Dripping(Duration::from_secs(1), honest.clone()));

    let given_up = async { tokio::time::timeout(Duration::from_secs(3), updater.find(&path)).await };
    assert!(block_on(given_up).is_err(), "it drips for longer");

    assert_eq!(versions(&updater), before);
    // What is published meanwhile does not mix with it.
    repository.answer("team", Answer::Bytes(honest));
    let team = repository.file_of("team");
    repository.add_target("targets", "other", b"new");
    repository.publish();
    repository.shelf().take_requests();
    let found = block_on(updater.find(&path)).unwrap().unwrap();
    assert_eq!((found.role.as_str(), versions(&updater)), ("team", before));
    assert_eq!(repository.shelf().take_requests(), [team]);
}

#[test]
fn a_byte_every_19_seconds_is_given_up_within_a_minute() {
    // Each byte comes before anybody loses patience with a silent connection.
    let pause = Duration::from_secs(19);
    for role in ["root", "timestamp", "snapshot", "targets", "team"] {
        for lengths_are_known in [false, true] {
            let mut repository = SimRepository::new();
            repository.hashes_in_meta = lengths_are_known;
            let mut client = repository.client_before_news_of(role);
            let trusted = client.cached(role);
            let before = repository.shelf().sent();
            repository.answer(role, Answer::Dripping(pause, repository.bytes(role)));

            let error = client.refresh().and_then(|()| client.find("tool").map(drop)).unwrap_err();

            assert_eq!((error.code(), error.is_refusal()), ("too-slow", false), "{role}");
            assert_eq!(client.cached(role), trusted);
            let others: u64 =
                ["timestamp", "snapshot", "targets"].map(|role| repository.bytes(role).len() as u64).iter().sum();
            assert!(repository.shelf().sent() - before <= others + 3, "{role}");
        }
    }
}

#[test]
fn a_fast_start_does_not_buy_a_slow_end() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    let new = vec![b'x'; 8_000_000];
    repository.add_target("targets", "tool", &new);
    repository.publish();
    // All but the end at once: by the average alone the rest could take two hours, and for a gigabyte twelve days.
    let (most, rest) = new.split_at(new.len() - 10_000);
    let slow = Answer::SlowingDown(most.to_vec(), Duration::from_secs(19), rest.to_vec());
    repository.put_target("tool", &trustroot::crypto::sha256(&new), slow);
    client.refresh().unwrap();
    let (cache, downloads, before) = (client.state(), client.downloads(), repository.shelf().sent());

    let error = client.download("tool").unwrap_err();

    assert_eq!((error.code(), error.is_refusal()), ("too-slow", false));
    assert_eq!((client.state(), client.downloads()), (cache, downloads));
    // Not four minutes after the pace broke down.
    assert!(repository.shelf().sent() - before <= most.len() as u64 + 12);
}

#[test]
fn nobody_is_made_to_wait_for_as_long_as_a_server_likes() {
    for wait in [Duration::from_secs(3600), Duration::from_secs(u64::MAX)] {
        for role in ["root", "timestamp", "snapshot", "targets"] {
            let mut repository = SimRepository::new();
            let mut client = repository.client();
            client.refresh().unwrap();
            repository.bump("targets");
            repository.publish();
            if role == "root" {
                repository.bump("root");
            }
            repository.answer(role, Answer::Later(wait));
            let trusted = client.cached(role);
            let mut updater = client.new_updater().unwrap();

            let (error, waited) = block_on(async {
                let started = tokio::time::Instant::now();
                (updater.refresh().await.map(drop).unwrap_err(), started.elapsed())
            });

            assert_eq!((error.code(), error.is_refusal()), ("http-status", false), "{role}");
            // Twice between three attempts.
            assert!(waited <= 2 * Retries::LONGEST_WAIT + Duration::from_secs(1), "{role}: {waited:?}");
            assert_eq!(client.cached(role), trusted);
        }
    }
}

/// Asks another fetcher, but for one kind of file, with which it is slow or never done.
#[derive(Debug)]
struct Slow {
    fetcher: Arc<dyn Fetcher>,
    /// What the URLs of those files contain.
    with: &'static str,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// The answer never begins.
    NeverAnswers,
    /// It begins, and nothing comes of it.
    NeverSends,
    /// It takes that long to begin.
    Takes(Duration),
    /// So many bytes come each second.
    Paced(usize),
}

struct Nothing;

impl Chunks for Nothing {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(std::future::pending())
    }
}

struct Paced(Bytes, usize);

impl Chunks for Paced {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let piece = self.0.split_to(self.1.min(self.0.len()));
            Ok(Some(piece).filter(|piece| !piece.is_empty()))
        })
    }
}

impl Fetcher for Slow {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(async move {
            match self.how {
                _ if !url.expose().contains(self.with) => {}
                How::NeverAnswers => std::future::pending().await,
                How::NeverSends => return Ok(Body::new(url.clone(), None, Box::new(Nothing))),
                How::Takes(time) => tokio::time::sleep(time).await,
                How::Paced(pace) => {
                    let whole = self.fetcher.fetch(url).await?.bytes(u64::MAX).await?;
                    return Ok(Body::new(url.clone(), None, Box::new(Paced(whole.into(), pace))));
                }
            }
            self.fetcher.fetch(url).await
        })
    }
}

/// A repository with news, a client that has what was before, and which files those are that are slow.
fn with_news() -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    repository.add_target("targets", "tool", b"better");
    repository.publish();
    (repository, client)
}

/// Refreshes, looks `tool` up and downloads it; what came of it, and how long that took.
async fn all_of(updater: &mut Updater, client: &Client) -> (Result<(), UpdateError>, Duration) {
    let started = tokio::time::Instant::now();
    let all = async {
        updater.refresh().await?;
        let target = updater.find(&TargetPath::new("tool").unwrap()).await?.unwrap();
        updater.download(&target, &client.destination("tool"), None, |_| ()).await.map(drop)
    };
    let done = all.await;
    (done, started.elapsed())
}

#[test]
fn a_fetcher_that_never_answers_hangs_nothing() {
    for with in ["root.json", "timestamp.json", "snapshot.json", "targets.json", "/targets/"] {
        for how in [How::NeverAnswers, How::NeverSends] {
            let (_repository, client) = with_news();
            let (downloads, targets) = (client.downloads(), client.cached("targets"));
            let fetcher = Arc::new(Slow { fetcher: client.shelf(), with, how });
            let mut updater = client.updater_from(fetcher, |_| ()).unwrap();

            let (done, took) = block_on(all_of(&mut updater, &client));

            let error = done.unwrap_err();
            assert_eq!((error.code(), error.is_refusal()), ("timed-out", false), "{with} {how:?}");
            assert!(took < Duration::from_secs(4 * 60), "{with} {how:?}: {took:?}");
            assert_eq!(client.downloads(), downloads);
            if with != "/targets/" {
                assert_eq!(client.cached("targets"), targets);
            }
        }
    }
}

#[test]
fn a_fetcher_that_never_answers_does_not_hang_the_blocking_client() {
    let (repository, client) = with_news();
    let before = client.state();
    let fetcher = Arc::new(Slow { fetcher: client.shelf(), with: "timestamp.json", how: How::NeverAnswers });
    let patience = Patience { silence: Duration::from_millis(50), ..Patience::default() };
    let settings = client.settings().patience(patience).retries(Retries::NONE);
    let start = UpdateStart::at(repository.shelf().now());
    let mut updater = blocking::Updater::new(TrustAnchor::Cached, settings, client.cache(), fetcher, start).unwrap();

    let error = updater.refresh().unwrap_err();

    assert_eq!((error.code(), error.is_refusal()), ("timed-out", false));
    assert_eq!(client.state(), before);
}

/// Every answer comes before anybody loses patience, and there is always a reason to ask again.
#[test]
fn answers_that_each_come_just_in_time_do_not_hold_an_update_for_longer_than_it_may_take() {
    for (with, file) in [("root.json", "root"), ("timestamp.json", "timestamp"), ("snapshot.json", "snapshot")] {
        let (mut repository, client) = with_news();
        if file == "root" {
            repository.bump("root");
        }
        repository.answer(file, Answer::Status(503));
        let trusted = client.cached(file);
        let fetcher = Arc::new(Slow { fetcher: client.shelf(), with, how: How::Takes(Duration::from_secs(59)) });
        let mut updater = client
            .updater_from(fetcher, |settings| {
                settings.retries = Retries { attempts: 1000, delay: Duration::ZERO };
            })
            .unwrap();

        let (done, took) = block_on(all_of(&mut updater, &client));

        let error = done.unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("deadline-passed", false), "{file}");
        assert!(took <= Patience::default().update + Duration::from_secs(1), "{file}: {took:?}");
        assert_eq!(client.cached(file), trusted);
    }
}

#[test]
fn a_mirror_that_drips_does_not_use_up_the_time_of_the_next() {
    for with in ["https://slow.example/metadata/", "https://slow.example/targets/"] {
        let (repository, client) = with_news();
        let place = |base: &str| {
            let url = |below| SafeUrl::parse(&format!("{base}/{below}")).unwrap();
            Mirror::new(url("metadata"), url("targets"))
        };
        let fetcher = Arc::new(Slow {
            fetcher: Arc::new(Elsewhere(client.shelf())),
            with,
            how: How::Takes(Duration::from_secs(u64::from(u32::MAX))),
        });
        let adjust = |settings: &mut UpdaterSettings| {
            settings.mirrors = vec![place("https://slow.example"), place("https://repository.example")];
            // Nobody minds silence here, so that it is the time for all that runs out.
            settings.patience.silence = Duration::MAX;
        };
        let mut updater = client.updater_from(fetcher, adjust).unwrap();

        let (done, took) = block_on(all_of(&mut updater, &client));

        done.unwrap();
        assert!(took <= Patience::default().update, "{took:?}");
        assert_eq!(client.downloaded("tool").unwrap(), b"better");
        drop(repository);
    }
}

/// Serves another host's files from the shelf.
#[derive(Debug)]
struct Elsewhere(Arc<dyn Fetcher>);

impl Fetcher for Elsewhere {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        let here = url.expose().replace("https://slow.example", "https://repository.example");
        Box::pin(async move { self.0.fetch(&SafeUrl::parse(&here).unwrap()).await })
    }
}

#[test]
fn a_large_target_may_take_as_long_as_it_is_large_and_no_longer() {
    // 17 MiB at 17 KiB a second take 17 minutes: twice a quarter of an hour is allowed. At 8 KiB a second they do not fit.
    for (pace, code) in [(17 << 10, None), (8 << 10, Some("deadline-passed"))] {
        let (mut repository, client) = with_news();
        let large = vec![b'x'; 17 << 20];
        repository.add_target("targets", "tool", &large);
        repository.publish();
        let downloads = client.downloads();
        let fetcher = Arc::new(Slow { fetcher: client.shelf(), with: "/targets/", how: How::Paced(pace) });
        let mut updater = client.updater_from(fetcher, |_| ()).unwrap();

        let (done, took) = block_on(all_of(&mut updater, &client));

        assert_eq!(done.as_ref().err().map(UpdateError::code), code);
        assert!(took <= 2 * Patience::default().update + Duration::from_secs(1), "{took:?}");
        assert_eq!(client.downloads() == downloads, code.is_some());
    }
}
