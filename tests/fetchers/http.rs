//! What HTTP adds, good and bad; everything over plain HTTP/1 and over TLS with HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use trustroot::client::{
    Answer, Authorities, DefaultFetcher, EntityTag, FetchError, FetchRequest, Fetcher as _, HttpSettings, SafeUrl,
};

use crate::body;
use crate::server::{Server, answer, gzip, hello, raw, read_head, run, zstd};

const BOTH: [&str; 2] = ["http", "https"];

/// Fetches `/x` from a server that always answers alike.
async fn fetch(
    scheme: &'static str,
    status: u16,
    fields: &'static [(&'static str, &'static str)],
    content: impl Into<Bytes>,
    limit: u64,
) -> Result<Vec<u8>, FetchError> {
    let content = content.into();
    let server = Server::answering(scheme, move |_| answer(status, fields, content.clone())).await;
    server.fetcher().fetch(&server.url("x")).await?.bytes(limit).await
}

#[test]
fn one_connection_serves_many_requests() {
    run(async {
        for (server, version) in [(Server::http().await, Version::HTTP_11), (Server::https().await, Version::HTTP_2)] {
            let fetcher = server.fetcher();
            let mut request = FetchRequest::whole(server.url("hello"));
            for _ in 0..3 {
                // An update asks for a root that is not there, and for a timestamp that has not changed.
                assert_eq!(fetcher.fetch(&server.url("absent")).await.unwrap_err().code(), "absent");
                if let Answer::Body(body) = fetcher.ask(&request).await.unwrap() {
                    request.known = body.tag().cloned();
                    body.bytes(1_000_000).await.unwrap();
                }
            }
            assert_eq!((server.connections(), server.asked().len()), (1, 6), "{version:?}");
            assert!(server.asked().iter().all(|asked| asked.version == version));
        }
    });
}

#[test]
fn an_answer_that_is_not_wanted_leaves_its_connection_usable() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = SafeUrl::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    while !read_head(&mut stream).await.is_empty() {
                        stream.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 5\r\n\r\n").await.unwrap();
                        // The body comes later than the head.
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        let _ = stream.write_all(b"sorry").await;
                    }
                });
            }
        });
        let fetcher = DefaultFetcher::new(HttpSettings::default());
        for _ in 0..3 {
            assert_eq!(fetcher.fetch(&url).await.unwrap_err().code(), "absent");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn metadata_may_come_compressed_and_targets_not() {
    run(async {
        for server in [Server::http().await, Server::https().await] {
            let fetcher = server.fetcher();
            let mut request = FetchRequest::whole(server.url("hello"));
            fetcher.ask(&request).await.unwrap();
            request.compressed = false;
            fetcher.ask(&request).await.unwrap();
            request.compressed = true;
            request.resume = EntityTag::parse("\"one\"").map(|tag| (10, Some(tag)));
            fetcher.ask(&request).await.unwrap();
            let codings: Vec<_> =
                server.asked().iter().map(|asked| asked.header("accept-encoding").unwrap().to_owned()).collect();
            assert_eq!(codings, ["zstd, gzip", "identity", "identity"]);
        }
    });
}

#[test]
fn either_coding_is_decoded() {
    run(async {
        for scheme in BOTH {
            for (fields, content) in [
                (&[("content-encoding", "gzip")][..], gzip(&hello())),
                (&[("content-encoding", "X-GZIP")], gzip(&hello())),
                (&[("content-encoding", "zstd")], zstd(&hello())),
                (&[("content-encoding", "identity")], hello()),
            ] {
                assert!(fetch(scheme, 200, fields, content, 1_000_000).await.unwrap() == hello(), "{fields:?}");
            }
        }
    });
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    run(async {
        let zeros = vec![0; 50_000_000];
        let bombs = [
            (&[("content-encoding", "gzip")], Bytes::from(gzip(&zeros))),
            (&[("content-encoding", "zstd")], Bytes::from(zstd(&zeros))),
        ];
        for scheme in BOTH {
            for (fields, bomb) in bombs.clone() {
                assert!(bomb.len() < 100_000);
                let server = Server::answering(scheme, move |_| answer(200, fields, bomb.clone())).await;
                let body = server.fetcher().fetch(&server.url("x")).await.unwrap();
                let (mut taken, mut longest) = (0, 0);
                let end = body.stream::<FetchError>(300_000, |piece| {
                    taken += piece.len();
                    longest = longest.max(piece.len());
                    Ok(())
                });
                assert_eq!(end.await.unwrap_err().code(), "too-long");
                assert!(taken <= 300_000 && longest <= 128 * 1024, "{fields:?}: {taken}, {longest}");
            }
        }
    });
}

#[test]
fn compressed_data_that_ends_early_or_late_is_an_error_of_the_transport() {
    run(async {
        for (fields, whole) in [
            (&[("content-encoding", "gzip")], gzip(b"here is a document")),
            (&[("content-encoding", "zstd")], zstd(b"here is a document")),
        ] {
            for content in
                [&whole[..whole.len() - 1], &whole[..5], b"", &[&whole[..], b"more"].concat(), b"not encoded"]
            {
                let error = fetch("http", 200, fields, content.to_vec(), 1000).await.unwrap_err();
                assert_eq!((error.code(), error.is_transient()), ("transport", true), "{error}");
            }
        }
    });
}

#[test]
fn a_coding_that_was_not_asked_for_is_refused() {
    run(async {
        for scheme in BOTH {
            for fields in [
                &[("content-encoding", "br")][..],
                &[("content-encoding", "gzip, gzip")],
                &[("content-encoding", "")],
                &[("content-encoding", "gzip"), ("content-encoding", "zstd")],
            ] {
                let error = fetch(scheme, 200, fields, gzip(b"x"), 1000).await.unwrap_err();
                assert_eq!(error.code(), "transport", "{fields:?}");
            }
            let server = Server::answering(scheme, |_| answer(200, &[("content-encoding", "gzip")], gzip(b"x"))).await;
            let mut request = FetchRequest::whole(server.url("x"));
            request.compressed = false;
            let error = server.fetcher().ask(&request).await.unwrap_err();
            assert_eq!(error.code(), "transport");
        }
    });
}

#[test]
fn the_length_of_what_is_compressed_is_not_taken_for_that_of_the_file() {
    run(async {
        let server = Server::http().await;
        let fetcher = server.fetcher();
        let mut request = FetchRequest::whole(server.url("hello"));
        assert_eq!(body(&fetcher, &request).await.unwrap().length(), None);
        request.compressed = false;
        assert_eq!(body(&fetcher, &request).await.unwrap().length(), Some(hello().len() as u64));
    });
}

#[test]
fn unchanged_is_no_answer_to_who_knows_nothing() {
    run(async {
        for scheme in BOTH {
            let error = fetch(scheme, 304, &[("etag", "\"one\"")], "", 100).await.unwrap_err();
            assert!(matches!(error, FetchError::Status { status: 304, .. }), "{error}");
        }
    });
}

#[test]
fn a_part_is_no_answer_to_who_asked_for_all() {
    run(async {
        for scheme in BOTH {
            let fields = &[("content-range", "bytes 0-4/5")];
            let error = fetch(scheme, 206, fields, "whole", 100).await.unwrap_err();
            assert!(matches!(error, FetchError::Status { status: 206, .. }), "{error}");
            let error = fetch(scheme, 416, fields, "", 100).await.unwrap_err();
            assert!(matches!(error, FetchError::Status { status: 416, .. }), "{error}");
        }
    });
}

#[test]
fn a_part_other_than_the_rest_is_not_taken_and_the_whole_is_asked_for() {
    run(async {
        for scheme in BOTH {
            for fields in [
                &[("content-range", "bytes 4-9/10")][..],
                &[("content-range", "bytes 5-8/10")],
                &[("content-range", "bytes 5-9/*")],
                &[("content-range", "bytes 5-9/10"), ("etag", "\"other\"")],
                &[],
            ] {
                let server = Server::answering(scheme, move |asked| match asked.header("range") {
                    Some("bytes=5-") => answer(206, fields, "wrong"),
                    None => answer(200, &[], "right here"),
                    Some(range) => panic!("{range}"),
                })
                .await;
                let mut request = FetchRequest::whole(server.url("x"));
                request.resume = EntityTag::parse("\"one\"").map(|tag| (5, Some(tag)));
                let whole = body(&server.fetcher(), &request).await.unwrap();
                assert_eq!(whole.offset(), 0);
                assert_eq!(whole.bytes(100).await.unwrap(), b"right here", "{fields:?}");
            }
        }
    });
}

#[test]
fn a_server_that_sends_parts_only_is_given_up() {
    run(async {
        let server = Server::answering("http", |_| answer(206, &[("content-range", "bytes 0-4/5")], "wrong")).await;
        let mut request = FetchRequest::whole(server.url("x"));
        request.resume = EntityTag::parse("\"one\"").map(|tag| (5, Some(tag)));
        assert_eq!(server.fetcher().ask(&request).await.unwrap_err().code(), "http-status");
        assert_eq!(server.asked().len(), 2);
    });
}

#[test]
fn an_odd_tag_is_none_and_a_weak_one_resumes_nothing() {
    run(async {
        for tag in ["w/\"one\"", "W/one", "one", "\"o\"ne\"", "\"one", "\"o ne\"", ""] {
            let server = Server::answering("http", move |_| answer(200, &[("etag", tag)], "x")).await;
            assert_eq!(server.fetcher().fetch(&server.url("x")).await.unwrap().tag(), None, "{tag}");
        }
        let server = Server::answering("http", |_| answer(200, &[("etag", "W/\"one\"")], "x")).await;
        let mut request = FetchRequest::whole(server.url("x"));
        let tag = body(&server.fetcher(), &request).await.unwrap().tag().cloned().unwrap();
        assert!(!tag.is_strong());
        request.resume = Some((1, Some(tag)));
        assert_eq!(body(&server.fetcher(), &request).await.unwrap().offset(), 0);
        assert!(server.asked().iter().all(|asked| asked.header("range").is_none()));
    });
}

#[test]
fn tags_and_ranges_go_along_where_a_redirect_leads_and_credentials_do_not() {
    run(async {
        let other = Server::http().await;
        let location = other.url("hello").expose().to_owned();
        let server = Server::answering("http", move |_| answer(302, &[("location", &location)], "")).await;
        let url = server.url("x").expose().replace("http://", "http://user:secret@");
        let url = SafeUrl::parse(&url).unwrap();
        let fetcher = server.fetcher();
        let mut request = FetchRequest::whole(url);
        request.compressed = false;
        request.known = EntityTag::parse("\"one\"");
        assert!(matches!(fetcher.ask(&request).await.unwrap(), Answer::Unchanged));
        request.known = None;
        request.resume = EntityTag::parse("\"one\"").map(|tag| (6, Some(tag)));
        assert_eq!(body(&fetcher, &request).await.unwrap().offset(), 6);
        assert!(server.asked().iter().all(|asked| asked.header("authorization").is_some()));
        assert!(other.asked().iter().all(|asked| asked.header("authorization").is_none()));
    });
}

#[test]
fn a_server_says_when_to_ask_again() {
    run(async {
        for scheme in BOTH {
            for status in [429, 503] {
                for (fields, expected) in [
                    (&[("retry-after", "7")][..], Some(7)),
                    (
                        &[("date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("retry-after", "Wed, 21 Oct 2015 07:28:09 GMT")],
                        Some(9),
                    ),
                    (&[("retry-after", "later")], None),
                    (&[], None),
                ] {
                    let error = fetch(scheme, status, fields, "", 100).await.unwrap_err();
                    let FetchError::Status { retry_after, .. } = &error else { panic!("{error}") };
                    assert_eq!(*retry_after, expected.map(Duration::from_secs));
                    assert!(error.is_transient());
                }
            }
        }
    });
}

#[test]
fn a_server_that_nobody_vouches_for_is_an_error_of_the_transport() {
    run(async {
        let (server, stranger) = (Server::https().await, Server::https().await);
        let fetcher = stranger.fetcher();
        let error = fetcher.fetch(&server.url("hello")).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("transport", true));
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(server.asked().is_empty());
        // The authority is fine, the name is not.
        let url = server.url("hello").expose().replace("127.0.0.1", "localhost");
        let url = SafeUrl::parse(&url).unwrap();
        assert_eq!(server.fetcher().fetch(&url).await.unwrap_err().code(), "transport");
        assert!(server.asked().is_empty());
    });
}

#[test]
fn authorities_are_read_from_files_and_directories() {
    run(async {
        let server = Server::https().await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        fs_err::write(&file, &server.authority).unwrap();
        for path in [file.as_path(), directory.path()] {
            let authorities = Authorities { system: false, paths: vec![path.to_owned()], pem: Vec::new() };
            let fetcher = DefaultFetcher::new(HttpSettings { authorities, ..HttpSettings::default() });
            fetcher.fetch(&server.url("hello")).await.unwrap();
        }
    });
}

#[test]
fn authorities_that_are_not_there_are_named_and_nothing_else_is_believed() {
    run(async {
        let server = Server::https().await;
        let directory = tempfile::tempdir().unwrap();
        let paths = vec![directory.path().join("absent.pem")];
        let authorities = Authorities { system: false, paths, pem: Vec::new() };
        let fetcher = DefaultFetcher::new(HttpSettings { authorities, ..HttpSettings::default() });
        let error = fetcher.fetch(&server.url("hello")).await.unwrap_err();
        assert_eq!(error.code(), "transport");
        assert!(error.to_string().contains("absent.pem"), "{error}");
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn headers_are_bounded_in_number_and_size() {
    run(async {
        let head = |fields: String| {
            vec![format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n{fields}\r\nx").into_bytes()]
        };
        let settings = || HttpSettings { idle_timeout: Duration::from_secs(5), ..HttpSettings::default() };
        let fetch = |pieces| async {
            let url = raw(pieces, Duration::ZERO).await;
            DefaultFetcher::new(settings()).fetch(&url).await.map(drop)
        };
        fetch(head("x: y\r\n".repeat(90))).await.unwrap();
        assert_eq!(fetch(head("x: y\r\n".repeat(110))).await.unwrap_err().code(), "transport");
        let large = format!("x: {}\r\n", "y".repeat(1_000_000));
        assert_eq!(fetch(head(large)).await.unwrap_err().code(), "transport");
        // Interim answers without end.
        let interim = vec![b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(); 1000];
        assert!(matches!(fetch(interim).await.unwrap_err().code(), "transport" | "timed-out"));
    });
}

#[test]
fn a_head_that_drips_is_given_up() {
    run(async {
        let pieces = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx".iter().map(|byte| vec![*byte]).collect();
        let url = raw(pieces, Duration::from_millis(50)).await;
        let settings = HttpSettings { idle_timeout: Duration::from_millis(400), ..HttpSettings::default() };
        assert_eq!(DefaultFetcher::new(settings).fetch(&url).await.unwrap_err().code(), "timed-out");
    });
}

#[test]
fn compressed_data_that_drips_is_given_up() {
    // The clock stands still but for the sleeps, so the first half minute takes no time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        // A header with a name that goes on and on decodes to nothing.
        let mut pieces = vec![[&head[..], &[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0]].concat()];
        pieces.extend(vec![b"x".to_vec(); 1000]);
        let url = raw(pieces, Duration::from_secs(1)).await;
        let body = DefaultFetcher::new(HttpSettings::default()).fetch(&url).await.unwrap();
        tokio::time::pause();
        assert_eq!(body.bytes(100_000).await.unwrap_err().code(), "too-slow");
    });
}
