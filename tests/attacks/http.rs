//! HTTP as an attacker may speak it, over the loopback interface.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use trustroot::client::{DefaultFetcher, FetchError, Fetcher as _, HttpSettings, SafeUrl};

use crate::support::{Answer, Client, SimRepository};

/// How long a server may be silent, and how long its head may take: long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same where that time is to run out.
const LITTLE_PATIENCE: Duration = Duration::from_millis(400);

/// What a server sends.
#[derive(Clone)]
pub(crate) enum Reply {
    /// These bytes, and then it hangs up. A whole answer says so ("connection: close"), or the client may ask again over
    /// the connection that is just being closed.
    Bytes(Vec<u8>),
    /// These bytes; then this again and again, with a pause before each.
    Forever(Vec<u8>, Duration, Vec<u8>),
    /// Nothing, and it does not hang up either.
    Silence,
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

/// A server that answers every request with what `answer` makes of its head. It lives as long as the test.
pub(crate) struct Server {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn answering<R: Into<Reply>>(answer: impl Fn(&str) -> R + Send + Sync + 'static) -> Self {
        Self::start(move |head| answer(head).into())
    }

    pub(crate) fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&heads));
        std::thread::spawn(move || {
            run(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&seen)));
                }
            });
        });
        Self { url, heads }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<impl Fn(&str) -> Reply>, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let reply = answer(&head);
    seen.lock().unwrap().push(head);
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Forever(first, pause, again) => {
            let mut open = stream.write_all(&first).await.is_ok();
            while open {
                tokio::time::sleep(pause).await;
                open = stream.write_all(&again).await.is_ok();
            }
        }
        Reply::Silence => {
            let _ = stream.read(&mut byte).await;
        }
    }
}

/// A repository behind a server that misbehaves where it is told to, and a client that is up to date but for one
/// publication, in which `targets` moved from version 2 to 3 and the target `tool` from "good" to "better".
pub(crate) struct Site {
    pub(crate) repository: SimRepository,
    pub(crate) client: Client,
    pub(crate) server: Server,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    patience: Duration,
}

impl Site {
    pub(crate) fn with_news() -> Self {
        let mut repository = SimRepository::new();
        repository.add_target("targets", "tool", b"good");
        repository.publish();
        let replies = Arc::new(Mutex::new(BTreeMap::new()));
        let known = Arc::clone(&replies);
        let server = Server::start(move |head| {
            let path = head.split([' ', '?']).nth(1).unwrap_or_default().trim_start_matches('/');
            known.lock().unwrap().get(path).cloned().unwrap_or_else(|| status(404).into())
        });
        let mut client = repository.client();
        client.metadata_url = SafeUrl::parse(&format!("{}/metadata", server.url)).unwrap();
        client.target_url = SafeUrl::parse(&format!("{}/targets", server.url)).unwrap();
        client.attempts = 1;
        let mut site = Self { repository, client, server, replies, patience: PATIENCE };
        site.connect_anew();
        site.serve_what_is_published();
        site.client.download("tool").unwrap();
        site.repository.add_target("targets", "tool", b"better");
        site.repository.publish();
        site.serve_what_is_published();
        site
    }

    /// Leaves connections behind that the server may just be closing.
    fn connect_anew(&mut self) {
        let (idle_timeout, connect_timeout) = (self.patience, self.patience);
        let settings = HttpSettings { idle_timeout, connect_timeout, ..HttpSettings::default() };
        self.client.network = Some(Arc::new(DefaultFetcher::new(settings)));
    }

    pub(crate) fn serve_what_is_published(&self) {
        let files = self.repository.shelf().files().into_iter().filter_map(|(path, answer)| match answer {
            Answer::Bytes(bytes) => Some((path, Reply::Bytes(with_head("HTTP/1.1 200 OK", &bytes)))),
            _ => None,
        });
        self.replies.lock().unwrap().extend(files);
    }

    pub(crate) fn reply(&self, path: &str, reply: impl Into<Reply>) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply.into());
    }

    /// The file of the new `tool`.
    pub(crate) fn tool(&self) -> String {
        self.repository.target_file("tool", &trustroot::crypto::sha256(b"better"))
    }

    /// Insists that a refresh fails like this, whatever the server meant by `reply`, and that nothing moved; and that
    /// all is well again once the server is.
    pub(crate) fn timestamp_fails(&mut self, reply: impl Into<Reply>, code: &str, what: &str) {
        self.metadata_fails("metadata/timestamp.json", reply, code, what);
    }

    /// The same for the next root, which, unlike a timestamp, may come compressed.
    pub(crate) fn root_fails(&mut self, reply: impl Into<Reply>, code: &str, what: &str) {
        self.metadata_fails("metadata/2.root.json", reply, code, what);
        self.replies.lock().unwrap().remove("metadata/2.root.json");
    }

    fn metadata_fails(&mut self, path: &str, reply: impl Into<Reply>, code: &str, what: &str) {
        self.connect_anew();
        self.reply(path, reply);
        let before = self.client.state();
        let error = self.client.refresh().expect_err(what);
        assert!(code.split(" or ").any(|code| code == error.code()), "{what}: {error}");
        assert_eq!(self.client.state(), before, "{what}");
    }

    /// Insists that the new `tool` cannot be downloaded, and that the old one stays.
    pub(crate) fn tool_fails(&mut self, reply: impl Into<Reply>, code: &str, what: &str) {
        self.connect_anew();
        self.serve_what_is_published();
        self.reply(&self.tool(), reply);
        self.client.refresh().unwrap();
        let before = (self.client.state(), self.client.downloads());
        let error = self.client.download("tool").expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
        assert_eq!((self.client.state(), self.client.downloads()), before, "{what}");
        assert_eq!(self.client.downloaded("tool").unwrap(), b"good", "{what}");
    }

    pub(crate) fn heals(&mut self) {
        self.connect_anew();
        self.serve_what_is_published();
        self.client.refresh().unwrap();
        self.client.download("tool").unwrap();
        assert_eq!(self.client.trusted(), "root 1, timestamp 3, snapshot 3, targets 3");
        assert_eq!(self.client.downloaded("tool").unwrap(), b"better");
    }
}

#[test]
fn redirects_that_drip_are_given_up() {
    let mut site = Site::with_news();
    site.connect_anew();
    // Each comes long before anybody loses patience with the server, and five are followed.
    let drip = |to: &str| Reply::Forever(Vec::new(), Duration::from_millis(300), redirect(to).into_bytes());
    site.reply("metadata/timestamp.json", drip("/metadata/timestamp.json"));
    let before = site.client.state();
    let fetcher = site.client.network.clone().unwrap();
    let little = |settings: &mut trustroot::client::UpdaterSettings| settings.patience.silence = LITTLE_PATIENCE;
    let mut updater = site.client.updater_from(fetcher, little).unwrap();

    run(async {
        let error = updater.refresh().await.unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("timed-out", false));
    });

    assert_eq!(site.client.state(), before);
    site.heals();
}

/// nginx weakens the tags of what it compresses, and some servers give no others. A warm refresh is as cheap there: the
/// timestamp is not sent again, and what is kept is verified as if it had been.
#[test]
fn a_timestamp_is_not_sent_again_where_tags_are_weak() {
    for always_weak in [false, true] {
        let repository = SimRepository::new();
        let timestamp = repository.bytes("timestamp");
        let server = Server::answering(move |head: &str| {
            let head = head.to_lowercase();
            if !head.starts_with("get /metadata/timestamp.json ") {
                return Reply::from(status(404));
            }
            let tag = if always_weak || head.contains("gzip") { "W/\"a\"" } else { "\"a\"" };
            if head.contains(&format!("if-none-match: {}\r\n", tag.to_lowercase())) {
                return format!("HTTP/1.1 304 Not Modified\r\netag: {tag}\r\nconnection: close\r\n\r\n").into();
            }
            Reply::Bytes(with_head(&format!("HTTP/1.1 200 OK\r\netag: {tag}"), &timestamp))
        });
        let mut client = repository.client();
        client.refresh().unwrap();
        let before = client.state();
        client.metadata_url = SafeUrl::parse(&format!("{}/metadata", server.url)).unwrap();
        client.network = Some(Arc::new(DefaultFetcher::new(HttpSettings::default())));
        client.refresh().unwrap();
        let sent = server.heads().len();

        let mut updater = client.new_updater().unwrap();
        run(async { assert!(updater.refresh().await.is_ok()) });

        let timestamp =
            server.heads().split_off(sent).into_iter().find(|head| head.contains("timestamp.json")).unwrap();
        let timestamp = timestamp.to_lowercase();
        assert!(timestamp.contains("accept-encoding: identity\r\n"), "{timestamp}");
        assert!(timestamp.contains("if-none-match: "), "{timestamp}");
        assert_eq!((updater.traffic().requests, updater.traffic().bytes), (2, 0), "{always_weak}");
        let mut moved = client.moved_since(&before);
        moved.retain(|file| file != "client/notes.json");
        assert_eq!(moved, [""; 0]);
    }
}

/// The name of what was refused is forgotten with it: else that of what is kept would be lost.
#[test]
fn a_tag_of_a_refused_timestamp_is_not_noted() {
    let mut site = Site::with_news();
    let tagged = |body: &[u8]| Reply::Bytes(with_head("HTTP/1.1 200 OK\r\netag: \"x\"", body));
    site.timestamp_fails(tagged(b"{}"), "malformed", "no document");
    let other =
        String::from_utf8(site.repository.bytes("timestamp")).unwrap().replace("\"version\":", "\"x\":1,\"version\":");
    site.timestamp_fails(tagged(other.as_bytes()), "too-few-signatures", "not signed");
    site.heals();
}

/// What was asked of others on the way is traffic too.
#[test]
fn requests_that_redirects_lead_to_are_counted() {
    let mut site = Site::with_news();
    for role in ["2.root", "timestamp"] {
        site.reply(&format!("metadata/{role}.json"), redirect(&format!("/elsewhere/{role}.json")));
    }
    site.reply(
        "elsewhere/timestamp.json",
        Reply::Bytes(with_head("HTTP/1.1 200 OK", &site.repository.bytes("timestamp"))),
    );
    site.connect_anew();
    let before = site.server.heads().len();
    let mut updater = site.client.new_updater().unwrap();

    run(async { assert!(updater.refresh().await.is_ok()) });

    // Root and timestamp twice each; snapshot and targets.
    assert_eq!(site.server.heads().len() - before, 6);
    assert_eq!(updater.traffic().requests, 6);
}

pub(crate) fn with_head(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

async fn fetch(url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
    let fetcher = DefaultFetcher::new(HttpSettings::default());
    fetcher.fetch(&SafeUrl::parse(url).unwrap()).await?.bytes(limit).await
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_redirect_to_a_file_is_not_followed() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        fs_err::write(&secret, "secret").unwrap();
        let location = SafeUrl::from_file_path(&secret).unwrap().expose().to_owned();
        let server = Server::answering(move |_| redirect(&location));

        let error = fetch(&server.url, 100).await.unwrap_err();

        assert_eq!(error.code(), "redirect");
        insta::assert_snapshot!(
            error.to_string().replace(&server.url, "URL"),
            @"URL/ redirects in a way that is not followed: the new place is not on the web"
        );
    });
}

#[test]
fn a_redirect_to_another_scheme_is_not_followed() {
    run(async {
        for location in ["ftp://127.0.0.1/x", "gopher://127.0.0.1/", "data:text/plain,x", "javascript:1"] {
            let server = Server::answering(move |_| redirect(location));
            assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "redirect", "{location}");
            assert_eq!(server.heads().len(), 1);
        }
    });
}

#[test]
fn endless_redirects_are_not_followed() {
    run(async {
        let server = Server::answering(|_| redirect("/again"));
        assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "redirect");
        assert_eq!(server.heads().len(), 6);
    });
}

#[test]
fn a_redirect_on_the_web_is_followed() {
    run(async {
        let server =
            Server::answering(|head| if head.starts_with("GET /new ") { ok("here") } else { redirect("/new") });
        assert_eq!(fetch(&format!("{}/old", server.url), 100).await.unwrap(), b"here");
    });
}

#[test]
fn credentials_go_to_the_host_they_were_given_for_and_no_other() {
    run(async {
        let other = Server::answering(|_| ok("here"));
        let location = other.url.replace("http://", "http://injected:too@");
        let server = Server::answering(move |_| redirect(&location));

        let with_credentials = server.url.replace("http://", "http://user:secret@");
        assert_eq!(fetch(&with_credentials, 100).await.unwrap(), b"here");

        assert!(server.heads()[0].to_lowercase().contains("authorization: basic dxnlcjpzzwnyzxq="));
        assert!(!other.heads()[0].to_lowercase().contains("authorization"));
    });
}

#[test]
fn credentials_do_not_show_in_errors() {
    run(async {
        let server = Server::answering(|_| "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned());
        let with_credentials = format!("{}/x?token=secret", server.url.replace("http://", "http://user:secret@"));
        let error = fetch(&with_credentials, 100).await.unwrap_err();
        assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"));
    });
}

#[test]
fn a_length_that_is_claimed_too_large_is_refused_unread() {
    run(async {
        let server = Server::answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_owned());
        assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "too-long");
    });
}

#[test]
fn a_body_without_a_length_is_cut_off_at_the_limit() {
    run(async {
        let server = Server::answering(|_| format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000)));
        assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "too-long");
    });
}

#[test]
fn a_body_that_ends_before_its_length_is_an_error() {
    run(async {
        let server = Server::answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort".to_owned());
        let error = fetch(&server.url, 100).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("transport", true));
    });
}

#[test]
fn statuses_tell_absent_from_broken() {
    run(async {
        for (status, code) in [
            (404, "absent"),
            (403, "absent"),
            (410, "absent"),
            (500, "http-status"),
            (204, "http-status"),
            (206, "http-status"),
            (302, "http-status"),
        ] {
            let server = Server::answering(move |_| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"));
            assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), code, "{status}");
        }
    });
}

#[test]
fn a_directory_is_no_file() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let url = SafeUrl::from_file_path(directory.path()).unwrap();
        assert_eq!(fetch(url.expose(), 100).await.unwrap_err().code(), "transport");
        let absent = url.below("absent");
        assert_eq!(fetch(absent.expose(), 100).await.unwrap_err().code(), "absent");
    });
}

/// The honest new timestamp after this head, which is to give no length.
fn honest_after(site: &Site, head: &str) -> Vec<u8> {
    [head.as_bytes(), b"\r\n", &site.repository.bytes("timestamp")].concat()
}

#[test]
fn an_answer_that_is_none_moves_nothing() {
    let mut site = Site::with_news();
    let honest = site.repository.bytes("timestamp");
    // Even with the right bytes: what was not asked for is not taken.
    for (head, code) in [
        ("HTTP/1.1 201 Created", "http-status"),
        ("HTTP/1.1 203 Transformed", "http-status"),
        ("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-9/10", "http-status"),
        ("HTTP/1.1 300 Multiple Choices", "http-status"),
        ("HTTP/1.1 302 Found", "http-status"),
        ("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"give me your password\"", "http-status"),
        ("HTTP/1.1 403 Forbidden", "absent"),
        ("HTTP/1.1 404 Not Found", "absent"),
        ("HTTP/1.1 407 Proxy Authentication Required", "http-status"),
        ("HTTP/1.1 416 Range Not Satisfiable", "http-status"),
        ("HTTP/1.1 500 Oops", "http-status"),
        ("HTTP/1.1 999 Beyond", "http-status"),
        ("HTTP/1.1 099 Below", "transport"),
        ("HTTP/1.1 20 Short", "transport"),
        ("HTTP/2.0 200 OK", "transport"),
        ("HTTP/3 200 OK", "transport"),
        ("ICY 200 OK", "transport"),
    ] {
        site.timestamp_fails(Reply::Bytes(with_head(head, &honest)), code, head);
    }
    for (reply, code) in [
        ("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", "http-status"),
        ("HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n", "http-status"),
        ("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\nconnection: close\r\n\r\n", "http-status"),
        ("", "transport"),
        ("\r\n", "transport"),
        ("HTTP/1.1", "transport"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5", "transport"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "transport"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "malformed"),
    ] {
        site.timestamp_fails(reply, code, reply);
    }
    // As HTTP/0.9 had it: a body and nothing else.
    site.timestamp_fails(Reply::Bytes(honest), "transport", "no head");
    site.heals();
}

#[test]
fn a_connection_is_not_upgraded() {
    let mut site = Site::with_news();
    for protocol in ["h2c", "websocket", "TLS/1.0"] {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n");
        site.reply("metadata/timestamp.json", Reply::Bytes(honest_after(&site, &head)));
        let before = site.client.state();
        site.connect_anew();
        let error = site.client.refresh().unwrap_err();
        assert!(matches!(error.code(), "http-status" | "transport"), "{error}");
        assert_eq!(site.client.state(), before);
    }
    assert!(site.server.heads().iter().all(|head| !head.to_lowercase().contains("upgrade")));
    site.heals();
}

#[test]
fn lengths_that_lie_move_nothing() {
    let mut site = Site::with_news();
    let length = site.repository.bytes("timestamp").len();
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{fields}\r\n");
    for (fields, code) in [
        (format!("content-length: {}", length + 1), "transport"),
        (format!("content-length: {}", length - 1), "malformed"),
        ("content-length: 0".to_owned(), "malformed"),
        (format!("content-length: {length}\r\ncontent-length: {}", length + 1), "transport"),
        (format!("content-length: {length}, {}", length + 1), "transport"),
        (format!("content-length: -{length}"), "transport"),
        (format!("content-length: +{length}"), "transport"),
        ("content-length: all of it".to_owned(), "transport"),
        ("content-length: 9223372036854775808".to_owned(), "too-long"),
        ("content-length: 18446744073709551616".to_owned(), "transport"),
        ("transfer-encoding: chunked".to_owned(), "transport"),
    ] {
        let reply = Reply::Bytes(honest_after(&site, &head(&fields)));
        site.timestamp_fails(reply, code, &fields);
    }
    site.heals();
}

#[test]
fn chunks_that_lie_move_nothing() {
    let mut site = Site::with_news();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    for (chunks, code) in [
        ("5\r\n{\"sig", "transport"),
        ("5\r\n{\"sig\r\n", "transport"),
        ("ffffffffffffffff\r\n{", "transport"),
        ("fffffffffffffffff\r\n{", "transport"),
        ("-1\r\n{", "transport"),
        ("x\r\n", "transport"),
        ("0\r\n\r\n", "malformed"),
    ] {
        site.timestamp_fails(format!("{head}{chunks}"), code, chunks);
    }
    let head = head.as_bytes().to_vec();
    let piece = format!("1000\r\n{}\r\n", " ".repeat(4096)).into_bytes();
    site.timestamp_fails(Reply::Forever(head.clone(), Duration::ZERO, piece.clone()), "too-long", "endless chunks");
    site.tool_fails(Reply::Forever(head.clone(), Duration::ZERO, piece), "too-long", "endless chunks");
    let extension = format!("1;{}\r\n{{\r\n", "x".repeat(4096)).into_bytes();
    site.timestamp_fails(Reply::Forever(head, Duration::ZERO, extension), "transport", "endless chunk extensions");
    site.heals();
}

#[test]
fn floods_of_headers_move_nothing() {
    let mut site = Site::with_news();
    let long = |length: usize| format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "y".repeat(length));
    let many = |count: usize| {
        let fields = "x: y\r\n".repeat(count);
        format!("HTTP/1.1 200 OK\r\n{fields}")
    };
    site.timestamp_fails(Reply::Bytes(honest_after(&site, &long(10_000_000))), "transport", "a long field");
    site.timestamp_fails(Reply::Bytes(honest_after(&site, &many(100_000))), "transport", "many fields");
    for endless in ["x: y\r\n", "y", "\0"] {
        let first = b"HTTP/1.1 200 OK\r\nx: y".to_vec();
        let again = endless.repeat(1000).into_bytes();
        site.timestamp_fails(Reply::Forever(first, Duration::ZERO, again), "transport or timed-out", endless);
    }
    site.heals();
}

#[test]
fn what_servers_set_is_not_kept() {
    let mut site = Site::with_news();
    let honest = site.repository.bytes("timestamp");
    let head = "HTTP/1.1 200 OK\r\nset-cookie: track=me; path=/\r\nstrict-transport-security: max-age=99999999\r\n\
                alt-svc: h2=\"evil.example:443\"\r\nclear-site-data: \"*\"\r\nrefresh: 0; url=http://evil.example/";
    site.reply("metadata/timestamp.json", Reply::Bytes(with_head(head, &honest)));
    site.client.refresh().unwrap();
    site.heals();
    let heads = site.server.heads();
    assert!(heads.iter().all(|head| !head.to_lowercase().contains("cookie") && !head.contains("referer")));
}

#[test]
fn silence_and_a_head_that_drips_are_given_up() {
    let mut site = Site::with_news();
    site.patience = LITTLE_PATIENCE;
    let started = Instant::now();
    let a_byte = |first: &str| Reply::Forever(first.as_bytes().to_vec(), LITTLE_PATIENCE / 10, b"y".to_vec());
    site.timestamp_fails(Reply::Silence, "timed-out", "silence");
    // Every byte comes in good time, and there is no end to them.
    site.timestamp_fails(a_byte("HTTP/1.1 200 OK\r\nx: "), "timed-out", "a field that drips");
    site.timestamp_fails(a_byte("HTTP/1.1 200 "), "timed-out", "a status line that drips");
    let notes = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    site.timestamp_fails(Reply::Forever(Vec::new(), LITTLE_PATIENCE / 10, notes), "timed-out", "interim answers");
    let silent =
        Reply::Forever(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec(), LITTLE_PATIENCE * 10, vec![b' ']);
    site.timestamp_fails(silent.clone(), "timed-out", "a body that stands still");
    assert!(started.elapsed() < LITTLE_PATIENCE * 40, "{:?}", started.elapsed());
    site.patience = PATIENCE;
    site.tool_fails(silent, "too-long", "a target that is said to be longer than it is");
    site.heals();
}

#[test]
fn an_absurd_retry_after_moves_nothing() {
    let mut site = Site::with_news();
    for field in ["9999999999", "99999999999999999999999", "-1", "Fri, 31 Dec 9999 23:59:59 GMT", "soon", "\u{e9}", ""]
    {
        for status in ["429 Slowly", "503 Later"] {
            let head = format!("HTTP/1.1 {status}\r\nretry-after: {field}\r\ndate: Sun, 01 Mar 2026 12:00:00 GMT");
            site.timestamp_fails(Reply::Bytes(with_head(&head, b"")), "http-status", field);
        }
    }
    site.heals();
}

#[test]
fn redirects_that_are_not_followed_move_nothing() {
    let mut site = Site::with_news();
    let server = site.server.url.clone();
    let secret = tempfile::tempdir().unwrap();
    let honest = secret.path().join("timestamp.json");
    fs_err::write(&honest, site.repository.bytes("timestamp")).unwrap();
    for location in [
        // Right bytes, but from this machine's disk.
        SafeUrl::from_file_path(&honest).unwrap().expose().to_owned(),
        "file:///dev/zero".to_owned(),
        "FILE:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/timestamp.json".to_owned(),
        "data:application/json,{}".to_owned(),
        "javascript:alert(1)".to_owned(),
        "http://".to_owned(),
        "http://[::1".to_owned(),
        "http:// /".to_owned(),
        // From this machine, where example keys are let in, to another.
        "http://192.0.2.1/timestamp.json".to_owned(),
        "https://192.0.2.1/timestamp.json".to_owned(),
        "http://localhost.example/timestamp.json".to_owned(),
        // To itself, without end.
        "timestamp.json".to_owned(),
        "?".to_owned(),
        "#x".to_owned(),
        format!("{server}/metadata/../metadata/./timestamp.json"),
        format!("//{}/metadata/timestamp.json", server.trim_start_matches("http://")),
    ] {
        site.timestamp_fails(redirect(&location), "redirect", &location);
    }
    // Neither text nor a URL.
    let raw =
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\xff\xfe\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    site.timestamp_fails(Reply::Bytes(raw.to_vec()), "http-status", "raw bytes");
    let nothing = "HTTP/1.1 302 Found\r\nlocation:\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    site.timestamp_fails(nothing, "redirect", "an empty place");
    site.heals();
}

#[test]
fn credentials_and_tokens_do_not_travel_with_a_redirect() {
    run(async {
        let other = Server::answering(|_| ok("here"));
        let location = format!("//{}/x", other.url.trim_start_matches("http://"));
        // By way of another path of the first host, which may see them.
        let server =
            Server::answering(
                move |head| {
                    if head.starts_with("GET /second ") { redirect(&location) } else { redirect("/second") }
                },
            );
        let url = format!("{}/first?token=secret", server.url.replace("http://", "http://user:secret@"));

        assert_eq!(fetch(&url, 100).await.unwrap(), b"here");

        let heads = server.heads();
        assert_eq!(heads.len(), 2);
        assert!(heads.iter().all(|head| head.to_lowercase().contains("authorization: basic")));
        let seen = other.heads().concat().to_lowercase();
        assert!(!seen.contains("authorization") && !seen.contains("secret") && !seen.contains("referer"), "{seen}");
    });
}

#[test]
fn a_place_that_was_left_does_not_get_the_credentials_when_it_is_redirected_to() {
    run(async {
        let back: Arc<Mutex<String>> = Arc::default();
        let place = Arc::clone(&back);
        let other = Server::answering(move |_| redirect(&place.lock().unwrap()));
        let location = other.url.clone();
        let server = Server::answering(
            move |head| {
                if head.starts_with("GET /stolen ") { ok("here") } else { redirect(&location) }
            },
        );
        *back.lock().unwrap() = format!("{}/stolen", server.url);

        assert_eq!(fetch(&server.url.replace("http://", "http://user:secret@"), 100).await.unwrap(), b"here");

        let heads = server.heads();
        assert!(heads[0].contains("authorization") && !heads[1].contains("authorization"), "{heads:?}");
    });
}
