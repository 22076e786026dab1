//! What the repository's server, or whoever sits in front of it, answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use trustroot::client::{Body, ChunkFuture, Chunks, FetchError, FetchFuture, Fetcher, SafeUrl};

/// Where the repository is said to be.
pub const BASE: &str = "https://repository.example";

/// The same shelf, as if it were on the client's own machine.
pub const LOCAL: &str = "http://127.0.0.1:8000";

/// An answer to one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, with another length claimed.
    Claiming(u64, Vec<u8>),
    /// Bytes without end.
    Endless,
    /// These bytes one at a time, with a pause before each.
    Dripping(Duration, Vec<u8>),
    /// The first bytes at once, then the others one at a time, with a pause before each.
    SlowingDown(Vec<u8>, Duration, Vec<u8>),
    /// These bytes, and then the connection breaks.
    BreakingOff(Vec<u8>),
    /// HTTP status 503, and the wish to be asked again after this time.
    Later(Duration),
    /// An HTTP status other than 200.
    Status(u16),
}

/// The files of a repository by URL path, such as `metadata/1.root.json`.
#[derive(Default)]
pub struct Shelf {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: DateTime<Utc>,
    files: BTreeMap<String, Answer>,
    /// Answers given before the file itself, each once.
    before: BTreeMap<String, VecDeque<Answer>>,
    requests: Vec<String>,
    sent: Arc<AtomicU64>,
    ever_served: BTreeSet<Vec<u8>>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

impl Shelf {
    pub fn now(&self) -> DateTime<Utc> {
        self.state.lock().unwrap().now
    }

    pub fn set_now(&self, now: DateTime<Utc>) {
        self.state.lock().unwrap().now = now;
    }

    /// Answers requests for `path` from now on.
    pub fn put(&self, path: &str, answer: Answer) {
        let mut state = self.state.lock().unwrap();
        if let Answer::Bytes(bytes) = &answer {
            state.ever_served.insert(bytes.clone());
        }
        state.files.insert(path.to_owned(), answer);
    }

    /// Answers the next request for `path` like this, before anything else.
    pub fn put_before(&self, path: &str, answer: Answer) {
        self.state.lock().unwrap().before.entry(path.to_owned()).or_default().push_back(answer);
    }

    pub fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        match self.state.lock().unwrap().files.get(path) {
            Some(Answer::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Everything on the shelf, to put back later: what a mirror that lags behind serves.
    pub fn files(&self) -> BTreeMap<String, Answer> {
        self.state.lock().unwrap().files.clone()
    }

    pub fn set_files(&self, files: BTreeMap<String, Answer>) {
        self.state.lock().unwrap().files = files;
    }

    /// Whether these bytes were on the shelf at some time.
    pub fn ever_served(&self, bytes: &[u8]) -> bool {
        self.state.lock().unwrap().ever_served.contains(bytes)
    }

    /// The paths asked for since this was called last.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// How many bytes have been handed out.
    pub fn sent(&self) -> u64 {
        self.state.lock().unwrap().sent.load(Ordering::Relaxed)
    }

    fn answer(&self, url: &SafeUrl) -> Result<Body, FetchError> {
        let path = [BASE, LOCAL]
            .iter()
            .find_map(|base| url.expose().strip_prefix(base))
            .unwrap()
            .trim_start_matches('/')
            .to_owned();
        let mut state = self.state.lock().unwrap();
        state.requests.push(path.clone());
        let scripted = state.before.get_mut(&path).and_then(VecDeque::pop_front);
        let answer = scripted.or_else(|| state.files.get(&path).cloned());
        let url = url.clone();
        let (length, chunks): (_, Box<dyn Chunks>) = match answer {
            None | Some(Answer::Status(404)) => return Err(FetchError::Absent { url }),
            Some(Answer::Status(status)) => return Err(FetchError::Status { url, status, retry_after: None }),
            Some(Answer::Later(wait)) => {
                return Err(FetchError::Status { url, status: 503, retry_after: Some(wait) });
            }
            Some(Answer::Bytes(bytes)) => (Some(bytes.len() as u64), Box::new(Whole(Some(bytes)))),
            Some(Answer::Claiming(length, bytes)) => (Some(length), Box::new(Whole(Some(bytes)))),
            Some(Answer::BreakingOff(bytes)) => (None, Box::new(BreakingOff(Some(bytes), url.clone()))),
            Some(Answer::Endless) => (None, Box::new(Endless)),
            Some(Answer::Dripping(pause, bytes)) => (None, Box::new(Dripping(None, pause, bytes.into()))),
            Some(Answer::SlowingDown(first, pause, bytes)) => {
                (None, Box::new(Dripping(Some(first), pause, bytes.into())))
            }
        };
        Ok(Body::new(url, length, Box::new(Counted(chunks, Arc::clone(&state.sent)))))
    }
}

impl Fetcher for Shelf {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(std::future::ready(self.answer(url)))
    }
}

struct Counted(Box<dyn Chunks>, Arc<AtomicU64>);

impl Chunks for Counted {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            let chunk = self.0.next().await?;
            self.1.fetch_add(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64), Ordering::Relaxed);
            Ok(chunk)
        })
    }
}

struct Whole(Option<Vec<u8>>);

impl Chunks for Whole {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(std::future::ready(Ok(self.0.take().map(Bytes::from))))
    }
}

struct BreakingOff(Option<Vec<u8>>, SafeUrl);

impl Chunks for BreakingOff {
    fn next(&mut self) -> ChunkFuture<'_> {
        let broken = || FetchError::Transport { url: self.1.clone(), reason: "the connection broke".to_owned() };
        let next = self.0.take().map(|bytes| Some(Bytes::from(bytes))).ok_or_else(broken);
        Box::pin(std::future::ready(next))
    }
}

struct Endless;

impl Chunks for Endless {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(std::future::ready(Ok(Some(Bytes::from_static(&[b'{'; 4096])))))
    }
}

struct Dripping(Option<Vec<u8>>, Duration, VecDeque<u8>);

impl Chunks for Dripping {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            if let Some(first) = self.0.take() {
                return Ok(Some(first.into()));
            }
            tokio::time::sleep(self.1).await;
            Ok(self.2.pop_front().map(|byte| Bytes::from(vec![byte])))
        })
    }
}
