//! Asks mirrors for files: how often, in which order, for how long, and how much came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::fetcher::{Answer, Body, FetchError, FetchRequest, Fetcher};
use super::{Patience, Retries, SafeUrl};
use crate::metadata::HashAlgorithm;
use crate::trust::{Received, Receiving};

/// How much an updater has asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made; those asked again, and those that redirects led to, included.
    pub requests: u64,
    /// Bytes received in bodies, as they came over the wire.
    pub bytes: u64,
}

/// Until when an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    silence: Duration,
    until: Option<Instant>,
    allowed: Duration,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::with(Patience::default())
    }
}

impl Waiting {
    fn with(patience: Patience) -> Self {
        Self { silence: patience.silence, until: None, allowed: patience.update }
    }

    /// Waits for an answer, or a piece of one.
    pub(super) async fn within<T>(
        self,
        url: &SafeUrl,
        answer: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let silence = Instant::now().checked_add(self.silence);
        let deadline = self.until.filter(|until| silence.is_none_or(|silence| *until <= silence));
        // Whoever waits for ever says so by a time that no clock reaches.
        let Some(at) = deadline.or(silence) else { return answer.await };
        match tokio::time::timeout_at(at, answer).await {
            Ok(answered) => answered,
            Err(_) if deadline.is_some() => Err(FetchError::DeadlinePassed { url: url.clone(), allowed: self.allowed }),
            Err(_) => Err(FetchError::TimedOut { url: url.clone(), after: self.silence }),
        }
    }

    /// Whether there is time left after waiting for that long.
    fn outlasts(self, wait: Duration) -> bool {
        let then = Instant::now().checked_add(wait);
        self.until.is_none_or(|until| then.is_some_and(|then| then < until))
    }
}

/// Counts [`Traffic`], from several requests at once, and knows how long is waited for them.
#[derive(Debug)]
pub(super) struct Meter {
    requests: AtomicU64,
    bytes: AtomicU64,
    waiting: Waiting,
    /// When all must be done, by all mirrors.
    deadline: Option<Instant>,
}

impl Meter {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            requests: AtomicU64::default(),
            bytes: AtomicU64::default(),
            waiting: Waiting::with(patience),
            deadline: None,
        }
    }

    /// Allows that long, from now on, for all that is asked.
    pub(super) fn allow(&mut self, time: Duration) {
        self.deadline = Instant::now().checked_add(time);
        self.waiting = Waiting { until: self.deadline, allowed: time, ..self.waiting };
    }

    /// Gives the mirror that is asked next its share of the time left, which is for it and the `others` after it: one
    /// that drips must not use up the time of those that answer. Whether there is any left.
    pub(super) fn share_with(&mut self, others: usize) -> bool {
        let Some(deadline) = self.deadline else { return true };
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let share = left / u32::try_from(others.saturating_add(1)).unwrap_or(u32::MAX);
        self.waiting = Waiting { until: now.checked_add(share), allowed: share, ..self.waiting };
        !left.is_zero()
    }

    /// When a wait that begins now is to end: after `patience`, and not after all must be done.
    pub(super) fn end_of(&self, patience: Duration) -> Instant {
        let end = Instant::now() + patience;
        self.deadline.map_or(end, |deadline| deadline.min(end))
    }

    pub(super) fn waiting(&self) -> Waiting {
        self.waiting
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic { requests: self.requests.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    pub(super) fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Asks once, and counts it.
    pub(super) async fn ask(&self, fetcher: &dyn Fetcher, request: &FetchRequest) -> Result<Answer, FetchError> {
        if !self.waiting.outlasts(Duration::ZERO) {
            return Err(FetchError::DeadlinePassed { url: request.url.clone(), allowed: self.waiting.allowed });
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(url = %request.url, "fetching");
        let asked = self.waiting.within(&request.url, fetcher.ask(request)).await;
        self.requests.fetch_add(request.further.take(), Ordering::Relaxed);
        if let Err(error) = &asked {
            tracing::debug!(url = %request.url, %error, "no answer");
        }
        asked
    }
}

impl Retries {
    /// Fetches at most `limit` bytes, asking again after errors that may pass, and waiting for no longer than
    /// [`Patience::default`].
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(
        self,
        fetcher: &dyn Fetcher,
        url: &SafeUrl,
        limit: u64,
        traffic: &mut Traffic,
    ) -> Result<Vec<u8>, FetchError> {
        let patience = Patience::default();
        let mut meter = Meter::new(patience);
        meter.allow(patience.update);
        let request = FetchRequest::whole(url.clone());
        let answer = self.fetch_metered(fetcher, &request, &[], limit, &meter).await;
        let made = meter.traffic();
        traffic.requests += made.requests;
        traffic.bytes += made.bytes;
        match answer? {
            Fetched::Bytes(received, _) => Ok(received.into_bytes().to_vec()),
            Fetched::Unchanged => Err(FetchError::Transport {
                url: url.clone(),
                reason: "the server says that nothing changed, which was not asked".to_owned(),
            }),
        }
    }

    pub(super) async fn fetch_metered(
        mut self,
        fetcher: &dyn Fetcher,
        request: &FetchRequest,
        algorithms: &[HashAlgorithm],
        limit: u64,
        meter: &Meter,
    ) -> Result<Fetched, FetchError> {
        loop {
            match fetch_once(fetcher, request, algorithms, limit, meter).await {
                Err(error) if self.wait_after(&error, meter).await => {}
                other => return other,
            }
        }
    }

    /// Whether it is worth asking again after `error`; if so, waits first, longer each time.
    pub(super) async fn wait_after(&mut self, error: &FetchError, meter: &Meter) -> bool {
        if self.attempts <= 1 || !error.is_transient() {
            return false;
        }
        let asked_for = match error {
            FetchError::Status { retry_after, .. } => retry_after.unwrap_or(Duration::ZERO),
            _ => Duration::ZERO,
        };
        let wait = self.delay.max(asked_for.min(Self::LONGEST_WAIT));
        if !meter.waiting.outlasts(wait) {
            return false;
        }
        tracing::debug!(%error, wait_ms = wait.as_millis(), "waiting to ask again");
        tokio::time::sleep(wait).await;
        self.attempts -= 1;
        self.delay *= 2;
        true
    }
}

/// What was fetched into memory.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The bytes, and what the server calls them.
    Bytes(Received, Option<super::EntityTag>),
    /// What is here already.
    Unchanged,
}

async fn fetch_once(
    fetcher: &dyn Fetcher,
    request: &FetchRequest,
    algorithms: &[HashAlgorithm],
    limit: u64,
    meter: &Meter,
) -> Result<Fetched, FetchError> {
    match meter.ask(fetcher, request).await? {
        Answer::Unchanged => Ok(Fetched::Unchanged),
        Answer::Body(body) => {
            let tag = body.tag().cloned();
            // As much as is claimed, and no more than is acceptable: a large document must not be held twice as it grows.
            let claimed = body.length().unwrap_or(0).min(limit);
            let mut receiving = Receiving::new(algorithms.iter().copied(), usize::try_from(claimed).unwrap_or(0));
            let streamed = take(body, limit, meter, |chunk| {
                receiving.push(chunk);
                Ok::<_, FetchError>(())
            })
            .await;
            streamed.map(|()| Fetched::Bytes(receiving.finish(), tag))
        }
    }
}

/// Streams a body and counts what came over the wire, also where it breaks off.
pub(super) async fn take<E: From<FetchError>>(
    body: Body,
    limit: u64,
    meter: &Meter,
    sink: impl FnMut(&bytes::Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let mut wire = 0;
    let streamed = body.stream_counting(limit, sink, meter.waiting(), &mut wire).await;
    meter.received(wire);
    streamed
}
