//! HTTP as an attacker may speak it, over the loopback interface.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use trustroot::client::{DefaultFetcher, FetchError, Fetcher as _, HttpSettings, SafeUrl};

/// A server that answers every request with what `answer` makes of its head.
struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn answering(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let reply = answer(&head);
                seen.lock().unwrap().push(head);
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
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
        let server = Server::answering(move |_| redirect(&location)).await;

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
            let server = Server::answering(move |_| redirect(location)).await;
            assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "redirect", "{location}");
            assert_eq!(server.heads().len(), 1);
        }
    });
}

#[test]
fn endless_redirects_are_not_followed() {
    run(async {
        let server = Server::answering(|_| redirect("/again")).await;
        assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "redirect");
        assert_eq!(server.heads().len(), 6);
    });
}

#[test]
fn a_redirect_on_the_web_is_followed() {
    run(async {
        let server =
            Server::answering(|head| if head.starts_with("GET /new ") { ok("here") } else { redirect("/new") }).await;
        assert_eq!(fetch(&format!("{}/old", server.url), 100).await.unwrap(), b"here");
    });
}

#[test]
fn credentials_go_to_the_host_they_were_given_for_and_no_other() {
    run(async {
        let other = Server::answering(|_| ok("here")).await;
        let location = other.url.replace("http://", "http://injected:too@");
        let server = Server::answering(move |_| redirect(&location)).await;

        let with_credentials = server.url.replace("http://", "http://user:secret@");
        assert_eq!(fetch(&with_credentials, 100).await.unwrap(), b"here");

        assert!(server.heads()[0].to_lowercase().contains("authorization: basic dxnlcjpzzwnyzxq="));
        assert!(!other.heads()[0].to_lowercase().contains("authorization"));
    });
}

#[test]
fn credentials_do_not_show_in_errors() {
    run(async {
        let server = Server::answering(|_| "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
        let with_credentials = format!("{}/x?token=secret", server.url.replace("http://", "http://user:secret@"));
        let error = fetch(&with_credentials, 100).await.unwrap_err();
        assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"));
    });
}

#[test]
fn a_length_that_is_claimed_too_large_is_refused_unread() {
    run(async {
        let server = Server::answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_owned()).await;
        assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "too-long");
    });
}

#[test]
fn a_body_without_a_length_is_cut_off_at_the_limit() {
    run(async {
        let server = Server::answering(|_| format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000))).await;
        assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), "too-long");
    });
}

#[test]
fn a_body_that_ends_before_its_length_is_an_error() {
    run(async {
        let server = Server::answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort".to_owned()).await;
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
            let server = Server::answering(move |_| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
            assert_eq!(fetch(&server.url, 100).await.unwrap_err().code(), code, "{status}");
        }
    });
}

#[test]
fn a_directory_or_a_pipe_is_no_file() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let url = SafeUrl::from_file_path(directory.path()).unwrap();
        assert_eq!(fetch(url.expose(), 100).await.unwrap_err().code(), "transport");
        let absent = url.below("absent");
        assert_eq!(fetch(absent.expose(), 100).await.unwrap_err().code(), "absent");
    });
}
