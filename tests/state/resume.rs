//! What has arrived of a target when a run ends is where the next run goes on. It is trusted with nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use trustroot::client::{
    Answer, AskFuture, Body, ChunkFuture, Chunks, Clock, FetchError, FetchFuture, FetchRequest, Fetcher, Retries,
    SafeUrl,
};
use trustroot::crypto::sha256;
use trustroot::metadata::TargetPath;

use crate::support::{Client, SimRepository, block_on};

/// As long as a target whose parts are kept.
const LENGTH: usize = 1_500_000;
const HALF: usize = 700_000;

fn content(seed: u8) -> Vec<u8> {
    (0..251).cycle().take(LENGTH).map(|byte: u8| byte ^ seed).collect()
}

/// How targets are served.
#[derive(Debug, Clone, Default)]
struct Serves {
    content: Vec<u8>,
    /// Whether it knows ranges.
    ranges: bool,
    /// After how many bytes of an answer the connection breaks.
    breaks_off: Option<usize>,
}

/// The shelf of a repository, and a server of its targets.
#[derive(Debug)]
struct Server {
    shelf: Arc<dyn Fetcher>,
    serves: Mutex<Serves>,
    /// From which byte on a target was asked for.
    asked: Mutex<Vec<Option<u64>>>,
}

impl Fetcher for Server {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        self.shelf.fetch(url)
    }

    fn ask<'a>(&'a self, request: &'a FetchRequest) -> AskFuture<'a> {
        if !request.url.expose().contains("/targets/") {
            return Box::pin(async move { self.fetch(&request.url).await.map(Answer::Body) });
        }
        let from = request.resume.as_ref().map(|(from, _)| *from);
        self.asked.lock().unwrap().push(from);
        let serves = self.serves.lock().unwrap().clone();
        let from = from.filter(|_| serves.ranges).unwrap_or(0);
        let rest = &serves.content[usize::try_from(from).unwrap()..];
        let sent = rest[..serves.breaks_off.unwrap_or(rest.len())].chunks(64 << 10).rev().map(Bytes::copy_from_slice);
        let pieces = Pieces(sent.collect(), serves.breaks_off.map(|_| request.url.clone()));
        let body = Body::new(request.url.clone(), None, Box::new(pieces)).starting_at(from);
        Box::pin(std::future::ready(Ok(Answer::Body(body))))
    }
}

/// Pieces, the last first, and then the end; or no more where the connection to a URL breaks.
struct Pieces(Vec<Bytes>, Option<SafeUrl>);

impl Chunks for Pieces {
    fn next(&mut self) -> ChunkFuture<'_> {
        let next = match (self.0.pop(), &self.1) {
            (None, Some(url)) => Err(FetchError::Transport { url: url.clone(), reason: "it broke".to_owned() }),
            (piece, _) => Ok(piece),
        };
        Box::pin(std::future::ready(next))
    }
}

struct Scene {
    repository: SimRepository,
    server: Arc<Server>,
    client: Client,
}

impl Scene {
    fn new() -> Self {
        let mut repository = SimRepository::new();
        repository.add_target("targets", "tool", &content(0));
        repository.publish();
        let mut client = repository.client();
        let whole = Serves { content: content(0), ranges: true, breaks_off: None };
        let server = Server { shelf: client.shelf(), serves: Mutex::new(whole), asked: Mutex::default() };
        let server = Arc::new(server);
        client.network = Some(Arc::clone(&server) as _);
        Self { repository, server, client }
    }

    /// After a run that had half of it.
    fn with_half() -> Self {
        let scene = Self::new();
        scene.serve(|serves| serves.breaks_off = Some(HALF));
        assert_eq!(scene.run(), Err("transport"));
        assert_eq!(scene.asked(), [None]);
        scene.serve(|serves| serves.breaks_off = None);
        assert_eq!(scene.part(&content(0)).metadata().unwrap().len(), HALF as u64);
        scene.date(&content(0), 0);
        assert_eq!(scene.client.downloaded("tool"), None);
        scene
    }

    fn serve(&self, change: impl FnOnce(&mut Serves)) {
        change(&mut self.server.serves.lock().unwrap());
    }

    fn asked(&self) -> Vec<Option<u64>> {
        std::mem::take(&mut self.server.asked.lock().unwrap())
    }

    /// Where what has arrived of this content stays.
    fn part(&self, content: &[u8]) -> PathBuf {
        let name = format!(".trustroot-part-{}", &hex::encode(sha256(content))[..32]);
        self.client.destination("tool").with_file_name(name)
    }

    /// Makes the part of this content so many days old by the clock of the scene, which is not that of the machine.
    fn date(&self, content: &[u8], days: i64) {
        let written = self.repository.shelf().now() - chrono::Duration::days(days);
        set_modified(&self.part(content), written.into());
    }

    /// After a run that had half of the target, which is another now.
    fn with_half_of_another() -> Self {
        let mut scene = Self::with_half();
        scene.repository.add_target("targets", "tool", &content(1));
        scene.repository.publish();
        scene.serve(|serves| serves.content = content(1));
        scene
    }

    /// Downloads with a new updater, as a new process would, asking once; the code where it fails.
    fn run(&self) -> Result<(), &'static str> {
        self.run_at(Clock::Present)
    }

    fn run_at(&self, clock: Clock) -> Result<(), &'static str> {
        let mut settings = self.client.settings();
        settings.clock = clock;
        settings.retries = Retries { attempts: 1, ..Retries::default() };
        let mut updater = self.client.updater_with(settings, self.client.cache()).unwrap();
        let destination = self.client.destination("tool");
        let cache = |client: &Client| client.cached_files();
        block_on(async {
            let target = updater.find(&TargetPath::new("tool").unwrap()).await.unwrap().unwrap();
            let before = cache(&self.client);
            let downloaded = updater.download(&target, &destination, None, |_| ()).await;
            assert_eq!(cache(&self.client), before, "a download never moves what is trusted");
            downloaded.map(drop).map_err(|error| error.code())
        })
    }

    /// The target is there, whole, and nothing else.
    fn is_done(&self, content: &[u8]) {
        assert!(self.client.downloaded("tool").unwrap() == content);
        assert_eq!(self.client.count_downloads(), 1);
    }
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_download_that_broke_off_goes_on_in_the_next_run() {
    let scene = Scene::with_half();
    // Half of the rest.
    scene.serve(|serves| serves.breaks_off = Some(HALF / 2));
    assert_eq!(scene.run(), Err("transport"));
    scene.date(&content(0), 0);
    scene.serve(|serves| serves.breaks_off = None);
    assert_eq!(scene.run(), Ok(()));
    let half = HALF as u64;
    assert_eq!(scene.asked(), [Some(half), Some(half + half / 2)]);
    scene.is_done(&content(0));
}

#[test]
fn a_poisoned_part_costs_a_download_and_nothing_else() {
    let scene = Scene::with_half();
    for (poison, asked) in [
        (vec![0; HALF], &[Some(HALF as u64), None][..]),
        (content(0)[1..=HALF].to_vec(), &[Some(HALF as u64), None]),
        // As long as the target, or longer: nothing is left to ask for.
        (vec![0; LENGTH], &[None]),
        (vec![0; LENGTH + 5], &[None]),
        (Vec::new(), &[None]),
    ] {
        let _ = fs_err::remove_file(scene.client.destination("tool"));
        fs_err::write(scene.part(&content(0)), poison).unwrap();
        scene.date(&content(0), 0);
        assert_eq!(scene.run(), Ok(()));
        assert_eq!(scene.asked(), asked);
        scene.is_done(&content(0));
    }
}

#[test]
fn a_part_that_is_whole_is_checked_and_needs_no_server() {
    let scene = Scene::with_half();
    fs_err::write(scene.part(&content(0)), content(0)).unwrap();
    scene.date(&content(0), 0);
    assert_eq!(scene.run(), Ok(()));
    assert_eq!(scene.asked(), []);
    scene.is_done(&content(0));
}

#[cfg(unix)]
#[test]
fn a_part_that_leads_elsewhere_is_not_followed_and_not_written_through() {
    let scene = Scene::with_half();
    let (part, victim) = (scene.part(&content(0)), scene.client.cache().directory().join("victim"));
    fs_err::write(&victim, &content(0)[..HALF]).unwrap();
    fs_err::remove_file(&part).unwrap();
    fs_err::os::unix::fs::symlink(&victim, &part).unwrap();
    assert_eq!(scene.run(), Ok(()));
    assert_eq!(scene.asked(), [None]);
    assert!(fs_err::read(&victim).unwrap() == content(0)[..HALF]);
    assert!(scene.client.downloaded("tool").unwrap() == content(0));
    assert!(!fs_err::symlink_metadata(scene.client.destination("tool")).unwrap().is_symlink());

    // Nor does whoever has it open, or a second name for it, have the file that it becomes.
    let scene = Scene::with_half();
    let victim = scene.client.cache().directory().join("victim");
    fs_err::hard_link(scene.part(&content(0)), &victim).unwrap();
    assert_eq!(scene.run(), Ok(()));
    fs_err::write(&victim, b"changed later").unwrap();
    scene.is_done(&content(0));
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole() {
    let scene = Scene::with_half();
    scene.serve(|serves| serves.ranges = false);
    assert_eq!(scene.run(), Ok(()));
    assert_eq!(scene.asked(), [Some(HALF as u64)]);
    scene.is_done(&content(0));
}

#[test]
fn a_target_that_changed_meanwhile_is_fetched_as_a_whole_and_the_old_part_goes() {
    let mut scene = Scene::with_half_of_another();
    assert_eq!(scene.run(), Ok(()));
    assert_eq!(scene.asked(), [None]);
    assert!(scene.client.downloaded("tool").unwrap() == content(1));
    assert!(scene.part(&content(0)).exists());

    scene.date(&content(0), 4);
    scene.repository.add_target("targets", "tool", &content(2));
    scene.repository.publish();
    scene.serve(|serves| serves.content = content(2));
    assert_eq!(scene.run(), Ok(()));
    scene.is_done(&content(2));
}

#[test]
fn what_is_refused_leaves_nothing_to_go_on_with() {
    let scene = Scene::with_half();
    for wrong in [content(9), [content(0), b"more".to_vec()].concat(), content(0)[..LENGTH - 1].to_vec()] {
        scene.serve(|serves| serves.content = wrong);
        let code = scene.run().unwrap_err();
        assert!(["wrong-target-hash", "wrong-target-length", "too-long"].contains(&code), "{code}");
        assert_eq!(scene.client.count_downloads(), 0, "{code}");
        scene.asked();
    }
}

#[test]
fn what_another_process_fetches_is_left_to_it() {
    let scene = Scene::with_half();
    let part = scene.part(&content(0));
    let of_another = File::open(&part).unwrap();
    of_another.try_lock().unwrap();
    assert_eq!(scene.run(), Ok(()));
    assert_eq!(scene.asked(), [None]);
    assert!(scene.client.downloaded("tool").unwrap() == content(0));
    assert_eq!(part.metadata().unwrap().len(), HALF as u64);
    drop(of_another);
    fs_err::remove_file(scene.client.destination("tool")).unwrap();
    assert_eq!(scene.run(), Ok(()));
    assert_eq!(scene.asked(), [Some(HALF as u64)]);
    scene.is_done(&content(0));
}

#[test]
fn a_part_that_is_too_old_is_not_gone_on_with() {
    let scene = Scene::with_half();
    scene.date(&content(0), 4);
    // It gives way to one of this run.
    scene.serve(|serves| serves.breaks_off = Some(HALF / 2));
    assert_eq!(scene.run(), Err("transport"));
    scene.date(&content(0), 0);
    scene.serve(|serves| serves.breaks_off = None);
    assert_eq!(scene.run(), Ok(()));
    assert_eq!(scene.asked(), [None, Some(HALF as u64 / 2)]);
    scene.is_done(&content(0));
}

/// As far as the file system goes: some keep any number of seconds.
#[test]
fn a_part_of_an_absurd_time_is_too_old() {
    let years = Duration::from_secs(3_000_000 * 365 * 24 * 60 * 60);
    for time in [SystemTime::UNIX_EPOCH + years, SystemTime::UNIX_EPOCH - years] {
        let scene = Scene::with_half_of_another();
        set_modified(&scene.part(&content(0)), time);
        assert_eq!(scene.run(), Ok(()));
        scene.is_done(&content(1));

        let scene = Scene::with_half();
        set_modified(&scene.part(&content(0)), time);
        assert_eq!(scene.run(), Ok(()));
        assert_eq!(scene.asked(), [None]);
        scene.is_done(&content(0));
    }
}

#[test]
fn at_a_chosen_time_no_part_is_cleared_away() {
    let scene = Scene::with_half_of_another();
    scene.date(&content(0), 4);
    assert_eq!(scene.run_at(Clock::Chosen), Ok(()));
    assert!(scene.client.downloaded("tool").unwrap() == content(1));
    assert_eq!(scene.part(&content(0)).metadata().unwrap().len(), HALF as u64);
}

#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "says that it was skipped")]
fn parts_of_another_user_are_neither_removed_nor_counted() {
    let scene = Scene::with_half_of_another();
    // Newer than ours and more than all parts may be, and one that is old.
    let (huge, old) = (scene.part(b"huge"), scene.part(b"old"));
    fs_err::write(&old, b"old").unwrap();
    scene.date(b"old", 4);
    File::create(&huge).unwrap().set_len(17 << 30).unwrap();
    scene.date(b"huge", -1);
    for part in [&huge, &old] {
        if let Err(error) = std::os::unix::fs::chown(part, Some(12_345), None) {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            eprintln!("not tested: only the administrator may give a file to another user");
            return;
        }
    }
    assert_eq!(scene.run(), Ok(()));
    assert!(scene.client.downloaded("tool").unwrap() == content(1));
    assert!(huge.exists() && old.exists());
    assert_eq!(scene.part(&content(0)).metadata().unwrap().len(), HALF as u64);

    // Those of ours give way to one another.
    std::os::unix::fs::chown(&huge, Some(own_uid(&scene)), None).unwrap();
    fs_err::remove_file(scene.client.destination("tool")).unwrap();
    assert_eq!(scene.run(), Ok(()));
    assert!(!huge.exists() && old.exists());
}

/// Who makes the files here.
#[cfg(unix)]
fn own_uid(scene: &Scene) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs_err::metadata(scene.client.destination("tool")).unwrap())
}
