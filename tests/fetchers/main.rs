//! What every fetcher promises, and what HTTP adds to it, over the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod http;
mod proxies;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use trustroot::client::{
    Answer, Body, DefaultFetcher, EntityTag, FetchError, FetchFuture, FetchRequest, Fetcher, SafeUrl,
};

use server::{Server, hello, run};

/// A fetcher, and where it finds the file `hello`, with the content of `hello()`.
struct Place {
    what: &'static str,
    fetcher: Arc<dyn Fetcher>,
    base: SafeUrl,
    /// Keeps what is served alive.
    _keep: Box<dyn std::any::Any>,
}

/// Knows some files by heart; neither tags nor ranges.
#[derive(Debug)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Fetcher for Memory {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(async move {
            let bytes = self.0.get(url.expose()).ok_or_else(|| FetchError::Absent { url: url.clone() })?;
            Ok(Body::from_bytes(url.clone(), bytes.clone()))
        })
    }
}

/// Every fetcher that there is, and one of another make.
async fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for (what, server) in [("http", Server::http().await), ("https", Server::https().await)] {
        let (fetcher, base) = (Arc::new(server.fetcher()), server.url(""));
        places.push(Place { what, fetcher, base, _keep: Box::new(server) });
    }
    let directory = tempfile::tempdir().unwrap();
    fs_err::write(directory.path().join("hello"), hello()).unwrap();
    let base = SafeUrl::from_file_path(directory.path()).unwrap();
    let fetcher = Arc::new(DefaultFetcher::new(trustroot::client::HttpSettings::default()));
    places.push(Place { what: "file", fetcher, base, _keep: Box::new(directory) });
    let base = SafeUrl::parse("https://memory.example").unwrap();
    let files = BTreeMap::from([(base.below("hello").expose().to_owned(), hello())]);
    places.push(Place { what: "memory", fetcher: Arc::new(Memory(files)), base, _keep: Box::new(()) });
    places
}

async fn body(fetcher: &dyn Fetcher, request: &FetchRequest) -> Result<Body, FetchError> {
    match fetcher.ask(request).await? {
        Answer::Body(body) => Ok(body),
        Answer::Unchanged => panic!("it has changed"),
    }
}

#[test]
fn a_file_is_fetched_to_the_byte() {
    run(async {
        for Place { what, fetcher, base, .. } in places().await {
            let url = base.below("hello");
            let fetched = fetcher.fetch(&url).await.unwrap().bytes(1_000_000).await.unwrap();
            assert!(fetched == hello(), "{what}");
            for compressed in [true, false] {
                let mut request = FetchRequest::whole(url.clone());
                request.compressed = compressed;
                let asked = body(&*fetcher, &request).await.unwrap();
                assert_eq!(asked.offset(), 0);
                assert!(asked.length().is_none_or(|length| length == hello().len() as u64), "{what}");
                assert!(asked.bytes(1_000_000).await.unwrap() == hello(), "{what}");
            }
        }
    });
}

#[test]
fn a_file_that_is_not_there_is_absent() {
    run(async {
        for Place { what, fetcher, base, .. } in places().await {
            let request = FetchRequest::whole(base.below("absent"));
            assert_eq!(fetcher.ask(&request).await.unwrap_err().code(), "absent", "{what}");
            assert_eq!(fetcher.fetch(&request.url).await.unwrap_err().code(), "absent", "{what}");
        }
    });
}

#[test]
fn no_more_is_taken_than_was_allowed() {
    run(async {
        for Place { what, fetcher, base, .. } in places().await {
            let request = FetchRequest::whole(base.below("hello"));
            let mut taken = 0;
            let end = body(&*fetcher, &request).await.unwrap().stream::<FetchError>(1000, |piece| {
                taken += piece.len();
                Ok(())
            });
            assert_eq!(end.await.unwrap_err().code(), "too-long", "{what}");
            assert!(taken <= 1000, "{what}");
            let length = hello().len() as u64;
            let exact = body(&*fetcher, &request).await.unwrap().bytes(length).await.unwrap();
            assert!(exact == hello(), "{what}");
        }
    });
}

#[test]
fn what_is_known_is_unchanged_or_sent_whole() {
    run(async {
        for Place { what, fetcher, base, .. } in places().await {
            let mut request = FetchRequest::whole(base.below("hello"));
            let first = body(&*fetcher, &request).await.unwrap();
            let tag = first.tag().cloned();
            first.bytes(1_000_000).await.unwrap();
            assert_eq!(tag.is_some(), what.starts_with("http"), "{what}");
            request.known = tag.clone().or(EntityTag::parse("\"one\""));
            match fetcher.ask(&request).await.unwrap() {
                Answer::Unchanged => assert!(tag.is_some(), "{what}"),
                Answer::Body(body) => {
                    assert!(tag.is_none(), "{what}");
                    assert!(body.bytes(1_000_000).await.unwrap() == hello(), "{what}");
                }
            }
            // Of other content there is something to be sent.
            request.known = EntityTag::parse("\"other\"");
            let changed = body(&*fetcher, &request).await.unwrap().bytes(1_000_000).await.unwrap();
            assert!(changed == hello(), "{what}");
        }
    });
}

#[test]
fn the_rest_is_sent_or_the_whole() {
    run(async {
        for Place { what, fetcher, base, .. } in places().await {
            let mut request = FetchRequest::whole(base.below("hello"));
            request.compressed = false;
            let tag = body(&*fetcher, &request).await.unwrap().tag().cloned();
            let over_http = tag.is_some();
            let length = hello().len() as u64;
            for (offset, tag, expected) in [
                (1, tag.clone(), 1),
                (70_000, tag.clone(), 70_000),
                (length - 1, tag.clone(), length - 1),
                // All is there already, or more than all; or it is of other content.
                (length, tag.clone(), 0),
                (length + 5, tag.clone(), 0),
                (70_000, EntityTag::parse("\"other\""), 0),
            ] {
                let tag = tag.or(EntityTag::parse("\"one\"")).unwrap();
                request.resume = Some((offset, Some(tag)));
                let rest = body(&*fetcher, &request).await.unwrap();
                let begins = rest.offset();
                assert_eq!(begins, if over_http { expected } else { 0 }, "{what} from {offset}");
                assert!(rest.length().is_none_or(|claimed| claimed == length - begins), "{what} from {offset}");
                let begins = usize::try_from(begins).unwrap();
                assert!(rest.bytes(1_000_000).await.unwrap() == hello()[begins..], "{what} from {offset}");
            }
        }
    });
}

#[test]
fn many_requests_may_be_under_way_at_once() {
    run(async {
        for Place { what, fetcher, base, .. } in places().await {
            let (here, absent) = (base.below("hello"), base.below("absent"));
            let (first, second, third) =
                tokio::join!(fetcher.fetch(&here), fetcher.fetch(&absent), fetcher.fetch(&here));
            assert_eq!(second.unwrap_err().code(), "absent", "{what}");
            let (first, third) = tokio::join!(first.unwrap().bytes(1_000_000), third.unwrap().bytes(1_000_000));
            assert!(first.unwrap() == hello() && third.unwrap() == hello(), "{what}");
        }
    });
}
