//! What `trustroot::serve` promises to clients, to caches in between, and to whoever else keeps files on the machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use support::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trustroot::client::{
    CacheMode, DefaultFetcher, HttpSettings, LocalCache, SafeUrl, TrustAnchor, Updater, UpdaterSettings,
};
use trustroot::crypto::sha256;
use trustroot::metadata::TargetPath;
use trustroot::serve::{ServeError, ServeLimits, Server};

/// Longer than anything here takes: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Serves a directory while the test runs.
fn with_server<T>(directory: &Path, limits: ServeLimits, test: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::bind(directory, "127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
        let address = server.address();
        let running = tokio::spawn(server.run(std::future::pending()));
        let result = tokio::time::timeout(PATIENCE, test(address)).await.expect("the test hangs");
        running.abort();
        result
    })
}

/// An answer as it came.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Sends a request as it stands, and reads what comes until the server closes.
async fn send(address: SocketAddr, method: &str, path: &str, headers: &str) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("there is a head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers =
        lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned()));
    Reply { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
}

async fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, "GET", path, "").await
}

/// A published directory inside another one, with secrets around it and hidden files in it.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for (name, content) in [
            ("secret.pem", "SECRET"),
            ("public/timestamp.json", "{\"timestamp\": 1}"),
            ("public/1.root.json", "{\"root\": 1}"),
            ("public/1.a%2Fb.json", "{\"role\": 1}"),
            ("public/1.with%20space.json", "{\"role\": 2}"),
            ("public/.lock", "SECRET"),
            ("public/.trustroot-abc", "SECRET"),
            ("public/.git/config", "SECRET"),
            ("public/targets/1.0.json", "{}"),
            ("public/targets/deep/plain name.txt", "plain"),
        ] {
            site.write(name, content);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn public(&self) -> PathBuf {
        self.path("public")
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
}

#[test]
fn a_client_refreshes_and_downloads_over_it() {
    let registry = Registry::with_builder();
    registry.publish().unwrap();
    let root = fs_err::read(registry.published().join("1.root.json")).unwrap();
    let cache = tempfile::tempdir().unwrap();
    with_server(&registry.published(), ServeLimits::default(), async |address| {
        let base = SafeUrl::parse(&format!("http://{address}")).unwrap();
        let settings = UpdaterSettings::new(base.clone(), base.below("targets"));
        let fetcher = Arc::new(DefaultFetcher::new(HttpSettings::default()));
        let cache = LocalCache::new(cache.path(), CacheMode::ReadWrite);
        let start = registry.start_time();
        let mut updater = Updater::new(TrustAnchor::Pinned(root), settings, cache, fetcher, start).unwrap();
        updater.refresh().await.unwrap();

        let catalog = registry.files("public/targets").into_keys().find_map(|path| {
            let name = path.to_str()?.replace('\\', "/");
            let (directory, file) = name.rsplit_once('/').unwrap_or(("", &name));
            let file = file.split_once('.')?.1;
            TargetPath::new(format!("{directory}/{file}").trim_start_matches('/')).ok()
        });
        let found = updater.find(&catalog.unwrap()).await.unwrap().unwrap();
        assert!(!updater.target_bytes(&found, None).await.unwrap().is_empty());
    });
}

#[test]
fn what_changes_is_asked_for_again_and_what_never_changes_is_kept() {
    let site = Site::new();
    let digest = hex::encode(sha256(b"keys"));
    site.write(&format!("public/targets/oppy/{digest}.keys.json"), "keys");
    with_server(&site.public(), ServeLimits::default(), async |address| {
        for (path, kept, kind) in [
            ("/timestamp.json", "no-cache", "application/json"),
            ("/1.root.json", FOR_EVER, "application/json"),
            ("/1.a%2Fb.json", FOR_EVER, "application/json"),
            ("/targets/1.0.json", "no-cache", "application/json"),
            ("/targets/deep/plain%20name.txt", "no-cache", "text/plain; charset=utf-8"),
            (&format!("/targets/oppy/{digest}.keys.json"), FOR_EVER, "application/json"),
        ] {
            let reply = get(address, path).await;
            assert_eq!((reply.status, reply.header("cache-control")), (200, Some(kept)), "{path}");
            assert_eq!(reply.header("content-type"), Some(kind), "{path}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()), "{path}");
        }
    });
}

#[test]
fn an_absence_is_never_kept() {
    let site = Site::new();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        let reply = get(address, "/2.root.json").await;
        assert_eq!((reply.status, reply.header("cache-control")), (404, Some("no-store")));
        assert_eq!(reply.header("etag"), None);

        // Once it is published, the next client sees it.
        site.write("public/2.root.json", "{\"root\": 2}");
        assert_eq!(get(address, "/2.root.json").await.body, b"{\"root\": 2}");
    });
}

#[test]
fn content_that_the_client_has_is_not_sent_again() {
    let site = Site::new();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        let tag = format!("\"{}\"", hex::encode(sha256(b"{\"timestamp\": 1}")));
        assert_eq!(get(address, "/timestamp.json").await.header("etag"), Some(&*tag));
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let reply = send(address, "GET", "/timestamp.json", &format!("if-none-match: {known}\r\n")).await;
            assert_eq!((reply.status, reply.body.len()), (304, 0), "{known}");
            assert_eq!(reply.header("etag"), Some(&*tag));
            assert_eq!(reply.header("cache-control"), Some("no-cache"));
        }

        site.write("public/timestamp.json", "{\"timestamp\": 2}");
        let reply = send(address, "GET", "/timestamp.json", &format!("if-none-match: {tag}\r\n")).await;
        assert_eq!((reply.status, &*reply.body), (200, &b"{\"timestamp\": 2}"[..]));
    });
}

#[test]
fn head_says_what_get_would_and_sends_nothing() {
    let site = Site::new();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        for path in ["/timestamp.json", "/absent.json"] {
            let (got, head) = (get(address, path).await, send(address, "HEAD", path, "").await);
            assert_eq!((head.status, head.body.len()), (got.status, 0));
            for name in ["content-length", "etag", "cache-control", "content-type"] {
                assert_eq!(head.header(name), got.header(name), "{path} {name}");
            }
        }
    });
}

#[test]
fn only_get_and_head_are_answered() {
    let site = Site::new();
    let before = support::files(site.0.path());
    with_server(&site.public(), ServeLimits::default(), async |address| {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            let reply = send(address, method, "/timestamp.json", "content-length: 0\r\n").await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    });
    assert_eq!(support::files(site.0.path()), before);
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let site = Site::new();
    let absolute = site.path("secret.pem");
    let absolute = absolute.to_str().unwrap();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        for path in [
            "/../secret.pem",
            "/targets/../../secret.pem",
            "/targets/../timestamp.json",
            "/%2e%2e/secret.pem",
            "/%2E%2E%2Fsecret.pem",
            "/..%2fsecret.pem",
            "/targets%2F..%2F..%2Fsecret.pem",
            "/%252e%252e/secret.pem",
            "/..%5Csecret.pem",
            "/..\\secret.pem",
            "/targets%5c..%5c..%5csecret.pem",
            "/targets%2Fdeep",
            "/./timestamp.json",
            "//timestamp.json",
            "/timestamp.json/",
            "/timestamp.json%00",
            "/timestamp.json%00.txt",
            "/%2Fetc%2Fpasswd",
            "//etc/passwd",
            "/C:%5Cwindows%5Cwin.ini",
            "/%ff",
            "/%",
            "/%zz",
            absolute,
            &format!("/{absolute}"),
            &absolute.replace('/', "%2F"),
        ] {
            let reply = get(address, path).await;
            assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
            assert!(!String::from_utf8_lossy(&reply.body).contains("SECRET"), "{path}");
        }
    });
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_that_leads_outside_is_not_followed() {
    use std::os::unix::fs::symlink;
    let site = Site::new();
    symlink("../secret.pem", site.public().join("stolen.json")).unwrap();
    symlink("..", site.public().join("up")).unwrap();
    symlink(site.path("secret.pem"), site.public().join("targets/absolute.json")).unwrap();
    symlink(".lock", site.public().join("hidden.json")).unwrap();
    symlink("1.root.json", site.public().join("root.json")).unwrap();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        for path in
            ["/stolen.json", "/up/secret.pem", "/up/public/timestamp.json", "/targets/absolute.json", "/hidden.json"]
        {
            let reply = get(address, path).await;
            // Whoever gets back in by the link is below the directory again, where everything is public.
            let same = path == "/up/public/timestamp.json" && reply.status == 200;
            assert!(same || reply.status == 404, "{path}: {reply:?}");
            assert!(!String::from_utf8_lossy(&reply.body).contains("SECRET"), "{path}");
        }
        // Within the directory they are how some tools lay a repository out.
        assert_eq!(get(address, "/root.json").await.body, b"{\"root\": 1}");
    });
}

#[test]
fn hidden_files_and_directories_are_not_shown() {
    let site = Site::new();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        for path in [
            "/.lock",
            "/%2elock",
            "/.trustroot-abc",
            "/.git/config",
            "/%2Egit/config",
            "/",
            "/targets",
            "/targets/",
            "/..",
        ] {
            let reply = get(address, path).await;
            assert_eq!((reply.status, &*reply.body), (404, &b"no such file\n"[..]), "{path}");
        }
    });
}

#[test]
fn an_encoded_slash_is_part_of_a_name() {
    let site = Site::new();
    site.write("public/1.a/b.json", "{\"other\": 1}");
    with_server(&site.public(), ServeLimits::default(), async |address| {
        assert_eq!(get(address, "/1.a%2Fb.json").await.body, b"{\"role\": 1}");
        assert_eq!(get(address, "/1.a%2fb.json").await.body, b"{\"role\": 1}");
        assert_eq!(get(address, "/1.a/b.json").await.body, b"{\"other\": 1}");
        // Decoded once: this asks for a file whose name has a percent sign.
        assert_eq!(get(address, "/1.a%252Fb.json").await.body, b"{\"role\": 1}");
        assert_eq!(get(address, "/1.with%20space.json").await.body, b"{\"role\": 2}");
    });
}

#[test]
fn a_large_file_arrives_whole() {
    let site = Site::new();
    // Above what gets an `ETag`.
    let content: Vec<u8> = (0..17 << 20).map(|index: u32| index.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs_err::write(site.public().join("targets/large"), &content).unwrap();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        let reply = get(address, "/targets/large").await;
        assert_eq!((reply.status, reply.header("etag")), (200, None));
        assert!(reply.body == content);
    });
}

#[test]
fn a_slow_client_does_not_stop_the_others() {
    let site = Site::new();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /timestamp.json HTT").await.unwrap();
            slow.push(stream);
        }
        assert_eq!(get(address, "/timestamp.json").await.status, 200);
    });
}

#[test]
fn a_connection_that_does_nothing_makes_room() {
    let site = Site::new();
    let mut limits = ServeLimits::default();
    limits.connections = 1;
    limits.idle_timeout = Duration::from_millis(50);
    limits.head_timeout = Duration::from_millis(50);
    with_server(&site.public(), limits, async |address| {
        // The only place is taken by somebody who never asks, then by one who never finishes asking.
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /timestamp.json HTT").await.unwrap();
        assert_eq!(get(address, "/timestamp.json").await.status, 200);
    });
}

#[test]
fn a_client_that_does_not_read_makes_room() {
    let site = Site::new();
    fs_err::write(site.public().join("targets/large"), vec![0; 32 << 20]).unwrap();
    let mut limits = ServeLimits::default();
    limits.connections = 1;
    limits.idle_timeout = Duration::from_millis(50);
    with_server(&site.public(), limits, async |address| {
        let mut deaf = TcpStream::connect(address).await.unwrap();
        deaf.write_all(b"GET /targets/large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(get(address, "/timestamp.json").await.status, 200);
    });
}

#[test]
fn a_head_without_end_is_refused() {
    let site = Site::new();
    with_server(&site.public(), ServeLimits::default(), async |address| {
        let reply = send(address, "GET", "/timestamp.json", &format!("x: {}\r\n", "y".repeat(20_000))).await;
        assert_eq!(reply.status, 431);
        assert_eq!(get(address, "/timestamp.json").await.status, 200);
    });
}

#[test]
fn a_directory_that_is_no_repository_is_not_served() {
    let site = Site::new();
    support::block_on(async {
        let address = "127.0.0.1:0".parse().unwrap();
        // The working copy around the published directory, where secret keys may lie.
        let refused = Server::bind(site.0.path(), address, ServeLimits::default()).await.unwrap_err();
        assert!(matches!(refused, ServeError::NotARepository(_)), "{refused}");
        let refused = Server::bind(&site.path("absent"), address, ServeLimits::default()).await.unwrap_err();
        assert_eq!(refused.code(), "io");
    });
}

#[cfg(all(unix, feature = "cli"))]
mod command {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// The command, ended when dropped.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn serve(site: &Site, arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(["serve", "public"]).args(arguments).current_dir(site.0.path());
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn first_line(running: &mut Running) -> String {
        let mut line = String::new();
        BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn the_first_line_says_where_it_serves_and_a_signal_ends_it_well() {
        let site = Site::new();
        for (arguments, signal) in [(&[][..], "-TERM"), (&["--format", "json"], "-INT")] {
            let mut running = serve(&site, arguments);
            let line = first_line(&mut running);
            let url = line.split(['"', ' ', '\n']).find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
            if arguments.is_empty() {
                assert_eq!(line, format!("serving public at {url}\n"));
            } else {
                let json: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!(json, serde_json::json!({"serving": "public", "url": url}));
            }
            let address: SocketAddr = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            assert_eq!(runtime.block_on(get(address, "/timestamp.json")).status, 200);

            // A connection that stays open does not keep it alive.
            let _open = std::net::TcpStream::connect(address).unwrap();
            let id = running.0.id().to_string();
            assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
            assert_eq!(running.0.wait().unwrap().code(), Some(0));
            let mut said = String::new();
            running.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(said, "");
        }
    }

    #[test]
    fn an_address_that_is_taken_is_an_error() {
        let site = Site::new();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let mut running = serve(&site, &["--listen", &address]);
        assert_eq!(running.0.wait().unwrap().code(), Some(2));
        assert_eq!(first_line(&mut running), "");
    }
}
