//! Asks mirrors for files: how often, in which order, and how much came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fetcher::{Answer, Body, FetchError, FetchRequest, Fetcher};
use super::{Retries, SafeUrl};
use crate::metadata::HashAlgorithm;
use crate::trust::{Received, Receiving};

/// How much an updater has asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made, those asked again included.
    pub requests: u64,
    /// Bytes received in bodies, as they came over the wire.
    pub bytes: u64,
}

/// Counts [`Traffic`], from several requests at once.
#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    pub(super) fn traffic(&self) -> Traffic {
        Traffic { requests: self.requests.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    pub(super) fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Asks once, and counts it.
    pub(super) async fn ask(&self, fetcher: &dyn Fetcher, request: &FetchRequest) -> Result<Answer, FetchError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(url = %request.url, "fetching");
        let asked = fetcher.ask(request).await;
        if let Err(error) = &asked {
            tracing::debug!(url = %request.url, %error, "no answer");
        }
        asked
    }
}

impl Retries {
    /// Fetches at most `limit` bytes, asking again after errors that may pass.
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
        let meter = Meter::default();
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
                Err(error) if self.wait_after(&error).await => {}
                other => return other,
            }
        }
    }

    /// Whether it is worth asking again after `error`; if so, waits first, longer each time.
    pub(super) async fn wait_after(&mut self, error: &FetchError) -> bool {
        if self.attempts <= 1 || !error.is_transient() {
            return false;
        }
        let asked_for = match error {
            FetchError::Status { retry_after, .. } => retry_after.unwrap_or(Duration::ZERO),
            _ => Duration::ZERO,
        };
        let wait = self.delay.max(asked_for.min(Self::LONGEST_WAIT));
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
    let streamed = body.stream_counting(limit, sink, &mut wire).await;
    meter.received(wire);
    streamed
}
