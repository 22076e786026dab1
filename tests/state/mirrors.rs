//! Mirrors that are down, behind or wrong, and downloads that break off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::TimeDelta;
use trustroot::client::{
    AskFuture, Body, ChunkFuture, Chunks, EntityTag, FetchError, FetchFuture, FetchRequest, Fetcher, Mirror, Retries,
    SafeUrl, UpdateError, UpdaterSettings,
};
use trustroot::metadata::TargetPath;

use crate::support::{Answer, Client, SimRepository, block_on};

const BASE: &str = "https://repository.example";

fn mirror(name: &str) -> Mirror {
    let url = |kind| SafeUrl::parse(&format!("{BASE}/{name}/{kind}")).unwrap();
    Mirror::new(url("metadata"), url("targets"))
}

/// A repository at two places, and a client that asks `first` and then `second`.
fn two_mirrors() -> (SimRepository, Client, UpdaterSettings) {
    let mut repository = SimRepository::new();
    repository.hashes_in_meta = true;
    repository.add_target("targets", "tool", b"a tool");
    repository.publish();
    let client = repository.client();
    let mut settings = client.settings().retries(Retries::NONE);
    settings.mirrors = vec![mirror("first"), mirror("second")];
    for name in ["first", "second"] {
        fill(&repository, name, &repository.shelf().files());
    }
    (repository, client, settings)
}

fn is_original(path: &str) -> bool {
    path.starts_with("metadata/") || path.starts_with("targets/")
}

/// Lets a mirror serve these files.
fn fill(repository: &SimRepository, name: &str, files: &BTreeMap<String, Answer>) {
    for (path, answer) in files.iter().filter(|(path, _)| is_original(path)) {
        repository.shelf().put(&format!("{name}/{path}"), answer.clone());
    }
    repository.shelf().remove(&format!("{name}/metadata/{}.root.json", repository.version("root") + 1));
}

fn down(repository: &SimRepository, name: &str) {
    let next_root = format!("metadata/{}.root.json", repository.version("root") + 1);
    let paths = repository.shelf().files().into_keys().filter(|path| is_original(path)).chain([next_root]);
    for path in paths.collect::<Vec<_>>() {
        repository.shelf().put(&format!("{name}/{path}"), Answer::Status(503));
    }
}

fn refresh(client: &Client, settings: &UpdaterSettings) -> Result<u64, UpdateError> {
    let mut updater = client.updater_with(settings.clone(), client.cache())?;
    block_on(updater.refresh()).map(|trusted| trusted.timestamp().version.get())
}

/// The mirrors that were asked, in order, each once.
fn asked(repository: &SimRepository) -> Vec<String> {
    let requests = repository.shelf().take_requests();
    let mut names: Vec<String> = requests.iter().map(|path| path.split('/').next().unwrap().to_owned()).collect();
    names.dedup();
    names
}

/// What the first mirror does wrong.
fn spoil(repository: &SimRepository, kind: &str, before: &BTreeMap<String, Answer>) {
    let path = |role: &str| format!("first/{}", repository.file_of(role));
    match kind {
        "down" => down(repository, "first"),
        "refused" => {
            let unsigned = repository.signed_by("timestamp", &[]);
            repository.shelf().put(&path("timestamp"), Answer::Bytes(unsigned));
        }
        "behind" => fill(repository, "first", before),
        "wrong hash" => {
            let mut other = repository.bytes("snapshot");
            other.pop();
            other.push(b' ');
            repository.shelf().put(&path("snapshot"), Answer::Bytes(other));
        }
        _ => unreachable!("{kind}"),
    }
}

#[test]
fn a_mirror_that_fails_is_passed_over_and_then_asked_last_for_a_while() {
    for kind in ["down", "refused", "behind", "wrong hash"] {
        let (mut repository, client, settings) = two_mirrors();
        let before = repository.shelf().files();
        repository.publish();
        let good = repository.shelf().files();
        for name in ["first", "second"] {
            fill(&repository, name, &good);
        }
        if kind == "behind" {
            assert_eq!(refresh(&client, &settings).unwrap(), 3);
        }
        spoil(&repository, kind, &before);
        asked(&repository);
        let pass = |minutes| repository.set_now(repository.shelf().now() + TimeDelta::minutes(minutes));

        assert_eq!(refresh(&client, &settings).unwrap(), 3, "{kind}");
        assert_eq!(asked(&repository), ["first", "second"], "{kind}");
        assert_eq!(refresh(&client, &settings).unwrap(), 3, "{kind}");
        assert_eq!(asked(&repository), ["second"], "{kind}: it has just failed");
        if kind == "wrong hash" {
            // What was wrong is not needed any more.
            continue;
        }
        pass(1);
        assert_eq!(refresh(&client, &settings).unwrap(), 3, "{kind}");
        assert_eq!(asked(&repository), ["first", "second"], "{kind}: its pause has ended");
        pass(1);
        refresh(&client, &settings).unwrap();
        assert_eq!(asked(&repository), ["second"], "{kind}: the second pause is longer");
        pass(1);
        fill(&repository, "first", &good);
        refresh(&client, &settings).unwrap();
        assert_eq!(asked(&repository), ["first"], "{kind}: it has recovered");
        refresh(&client, &settings).unwrap();
        assert_eq!(asked(&repository), ["first"], "{kind}: and that is remembered");
    }
}

#[test]
fn where_all_mirrors_fail_a_refusal_is_reported_rather_than_an_outage() {
    for (refused, silent) in [("first", "second"), ("second", "first")] {
        let (mut repository, client, settings) = two_mirrors();
        refresh(&client, &settings).unwrap();
        let before = client.state();
        down(&repository, silent);
        repository.set_version("timestamp", 1);
        let old = Answer::Bytes(repository.bytes("timestamp"));
        repository.shelf().put(&format!("{refused}/metadata/timestamp.json"), old);

        let error = refresh(&client, &settings).unwrap_err();

        assert_eq!(error.code(), "rollback", "{refused}");
        let mut moved = client.moved_since(&before);
        moved.retain(|file| file != "client/notes.json");
        assert_eq!(moved, [""; 0]);
        down(&repository, refused);
        assert_eq!(refresh(&client, &settings).unwrap_err().code(), "http-status");
    }
}

#[test]
fn a_mirror_that_is_refused_does_not_keep_us_from_asking_a_busy_one_again() {
    for (refused, busy) in [("first", "second"), ("second", "first")] {
        let (repository, client, mut settings) = two_mirrors();
        settings.retries = Retries { attempts: 3, ..Retries::default() };
        let timestamp = |name: &str| format!("{name}/metadata/timestamp.json");
        repository.shelf().put(&timestamp(refused), Answer::Bytes(b"{\"garbage\":1}".to_vec()));
        for _ in 0..2 {
            repository.shelf().put_before(&timestamp(busy), Answer::Status(503));
        }
        assert_eq!(refresh(&client, &settings).unwrap(), 2, "{refused}");
        assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 2", "{refused}");
    }
}

/// A server that can resume: the same files as on the shelf, and targets with tags that may break off.
#[derive(Debug, Default)]
struct Resuming {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What is answered to the next requests for a target: content, tag and after how many bytes it breaks off.
    targets: Mutex<BTreeMap<String, VecDeque<Sent>>>,
    /// The targets that were asked for, and from which byte.
    requests: Mutex<Vec<(String, Option<u64>)>>,
}

type Sent = (&'static [u8], &'static str, Option<usize>);

impl Fetcher for Resuming {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        let path = url.expose().strip_prefix(BASE).unwrap().trim_start_matches('/');
        let found = self.files.lock().unwrap().get(path).cloned();
        let found = found.map(|bytes| Body::from_bytes(url.clone(), bytes));
        Box::pin(std::future::ready(found.ok_or_else(|| FetchError::Absent { url: url.clone() })))
    }

    fn ask<'a>(&'a self, request: &'a FetchRequest) -> AskFuture<'a> {
        let path = request.url.expose().strip_prefix(BASE).unwrap();
        let name = path.split('/').nth(1).unwrap().to_owned();
        if !path.contains("/targets/") {
            return Box::pin(async move { self.fetch(&request.url).await.map(trustroot::client::Answer::Body) });
        }
        let resume = request.resume.clone();
        self.requests.lock().unwrap().push((name.clone(), resume.as_ref().map(|(from, _)| *from)));
        let sent = self.targets.lock().unwrap().get_mut(&name).and_then(VecDeque::pop_front);
        let Some((content, tag, breaks_off)) = sent else {
            let url = request.url.clone();
            return Box::pin(async move { Err(FetchError::Status { url, status: 503, retry_after: None }) });
        };
        let tag = EntityTag::parse(tag).unwrap();
        let from =
            resume.filter(|(_, known)| known.as_ref().is_none_or(|known| *known == tag)).map_or(0, |(from, _)| from);
        let rest = &content[usize::try_from(from).unwrap()..];
        let chunks =
            Pieces(vec![rest[..breaks_off.unwrap_or(rest.len())].to_vec()], breaks_off.map(|_| request.url.clone()));
        let body = Body::new(request.url.clone(), None, Box::new(chunks)).with_tag(Some(tag)).starting_at(from);
        Box::pin(std::future::ready(Ok(trustroot::client::Answer::Body(body))))
    }
}

/// Pieces, and then the end, or no more where the connection to a URL breaks.
struct Pieces(Vec<Vec<u8>>, Option<SafeUrl>);

impl Chunks for Pieces {
    fn next(&mut self) -> ChunkFuture<'_> {
        let next = match (self.0.pop(), &self.1) {
            (Some(piece), _) => Ok(Some(Bytes::from(piece))),
            (None, None) => Ok(None),
            (None, Some(url)) => Err(FetchError::Transport { url: url.clone(), reason: "it broke".to_owned() }),
        };
        Box::pin(std::future::ready(next))
    }
}

/// What was asked for, and from which byte on.
type Asked = Vec<(String, Option<u64>)>;

/// Downloads the target from servers that answer like this; what came of it, and what was asked for.
fn download(first: &[Sent], second: &[Sent], attempts: u32) -> (Result<Vec<u8>, String>, Asked) {
    let (repository, mut client, mut settings) = two_mirrors();
    settings.retries = Retries { attempts, ..Retries::default() };
    if second.is_empty() {
        settings.mirrors.pop();
    }
    let server = Arc::new(Resuming::default());
    for path in repository.shelf().files().into_keys() {
        server.files.lock().unwrap().insert(path.clone(), repository.shelf().get(&path).unwrap());
    }
    for (name, sent) in [("first", first), ("second", second)] {
        server.targets.lock().unwrap().insert(name.to_owned(), sent.iter().copied().collect());
    }
    client.network = Some(Arc::clone(&server) as _);
    let mut updater = client.updater_with(settings, client.cache()).unwrap();
    let destination = client.destination("tool");
    let downloaded = block_on(async {
        let target = updater.find(&TargetPath::new("tool").unwrap()).await.unwrap().unwrap();
        updater.download(&target, &destination, None, |_| ()).await
    });
    let there = client.count_downloads();
    let downloaded = match downloaded {
        Ok(_) => Ok(client.downloaded("tool").unwrap()),
        Err(error) => Err(error.code().to_owned()),
    };
    assert_eq!(there, usize::from(downloaded.is_ok()), "nothing half-written stays");
    let requests = std::mem::take(&mut *server.requests.lock().unwrap());
    (downloaded, requests)
}

fn requests(expected: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
    expected.iter().map(|(name, from)| ((*name).to_owned(), *from)).collect()
}

const GOOD: &[u8] = b"a tool";
const WRONG: &[u8] = b"a tOOL";

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let (tool, made) = download(&[(GOOD, "\"1\"", Some(2)), (GOOD, "\"1\"", Some(3)), (GOOD, "\"1\"", None)], &[], 3);
    assert_eq!(tool.unwrap(), GOOD);
    assert_eq!(made, requests(&[("first", None), ("first", Some(2)), ("first", Some(5))]));
}

#[test]
fn a_download_whose_content_has_changed_meanwhile_starts_over() {
    let (tool, made) = download(&[(WRONG, "\"1\"", Some(5)), (GOOD, "\"2\"", None)], &[], 3);
    assert_eq!(tool.unwrap(), GOOD);
    assert_eq!(made, requests(&[("first", None), ("first", Some(5))]));
}

#[test]
fn parts_that_do_not_belong_together_are_fetched_once_more_as_a_whole() {
    // The same tag for two contents: a server that lies, or is wrong.
    let (tool, made) = download(&[(WRONG, "\"1\"", Some(5)), (GOOD, "\"1\"", None), (GOOD, "\"1\"", None)], &[], 3);
    assert_eq!(tool.unwrap(), GOOD);
    assert_eq!(made, requests(&[("first", None), ("first", Some(5)), ("first", None)]));

    let (tool, _) = download(&[(WRONG, "\"1\"", Some(5)), (GOOD, "\"1\"", None), (WRONG, "\"1\"", None)], &[], 3);
    assert_eq!(tool.unwrap_err(), "wrong-target-hash");
}

#[test]
fn a_download_that_breaks_off_is_had_from_another_mirror_and_never_mixed() {
    // A tag means nothing to another server, even where it looks the same.
    for tag in ["\"1\"", "\"2\""] {
        let (tool, made) = download(&[(WRONG, "\"1\"", Some(5))], &[(GOOD, tag, None)], 1);
        assert_eq!(tool.unwrap(), GOOD);
        assert_eq!(made, requests(&[("first", None), ("second", None)]));
    }
}

#[test]
fn a_target_that_is_wrong_at_one_mirror_is_had_from_the_next() {
    let (tool, made) = download(&[(WRONG, "\"1\"", None)], &[(GOOD, "\"1\"", None)], 1);
    assert_eq!(tool.unwrap(), GOOD);
    assert_eq!(made, requests(&[("first", None), ("second", None)]));
    // Nor does it keep us from asking again who broke off.
    for (first, second) in [
        (&[(WRONG, "\"1\"", None); 2], &[(GOOD, "\"1\"", Some(2)), (GOOD, "\"1\"", None)]),
        (&[(GOOD, "\"1\"", Some(2)), (GOOD, "\"1\"", None)], &[(WRONG, "\"1\"", None); 2]),
    ] {
        assert_eq!(download(first, second, 2).0.unwrap(), GOOD);
        assert_eq!(download(first, second, 1).0.unwrap_err(), "wrong-target-hash");
    }
    // And where nobody has it, that it was wrong is what counts.
    assert_eq!(
        download(&[(WRONG, "\"1\"", None)], &[(WRONG, "\"1\"", Some(1))], 1).0.unwrap_err(),
        "wrong-target-hash"
    );
    assert_eq!(download(&[(GOOD, "\"1\"", Some(1))], &[(WRONG, "\"1\"", None)], 1).0.unwrap_err(), "wrong-target-hash");
}
