//! Fetches over HTTP.
//!
//! Plain `http` goes through hyper directly: setting up TLS costs more than a whole refresh. `https`, and `http`
//! behind a proxy, go through reqwest, set up at the first such request (`transport`). What is asked for and what an
//! answer means is decided here, by one rule for both: redirects, entity tags, ranges, content codings.

mod encoding;
mod settings;
mod transport;

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE, RETRY_AFTER, USER_AGENT,
};

pub use self::settings::{Authorities, HttpSettings, Proxies, ProxyUrl, ProxyUrlError, VariableError};

use self::encoding::{Coding, DecodedChunks};
use self::transport::Transport;
use super::SafeUrl;
use super::fetcher::{
    Answer, AskFuture, Body, ChunkFuture, Chunks, EntityTag, FetchError, FetchFuture, FetchRequest, Fetcher,
};

/// Most redirects followed for one file.
const MOST_REDIRECTS: usize = 5;

/// How much of an answer that is not wanted is read, and for how long, so that its connection can be used again.
const UNWANTED: usize = 64 * 1024;
const UNWANTED_TIME: Duration = Duration::from_millis(500);

/// Fetches `http` and `https` URLs.
///
/// Tags and ranges of a [`FetchRequest`] go along where a redirect leads: they are about the file at its end. Where a
/// server answers wrongly to a request for the rest of a file, the whole file is asked for instead.
///
/// Connections stay open for the next request, and are looked after by the tokio runtime in which they were opened: one that
/// nobody runs any more, while it exists, lets requests on them time out. So share a fetcher among runtimes only where each
/// has threads of its own, as those of [`crate::client::blocking`] have.
#[derive(Debug)]
pub struct HttpFetcher {
    settings: HttpSettings,
    transport: Transport,
}

impl Fetcher for HttpFetcher {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(async move {
            match self.follow(FetchRequest::whole(url.clone())).await? {
                Answer::Body(body) => Ok(body),
                Answer::Unchanged => unreachable!("nothing was said to be known"),
            }
        })
    }

    fn ask<'a>(&'a self, request: &'a FetchRequest) -> AskFuture<'a> {
        Box::pin(self.follow(request.clone()))
    }
}

/// What one request led to.
enum Reply {
    Answer(Answer),
    Redirect(String),
    /// The rest of the file is not to be had.
    NoRest,
}

impl HttpFetcher {
    /// Makes a fetcher. Nothing is connected or set up before it is needed.
    pub fn new(settings: HttpSettings) -> Self {
        Self { settings, transport: Transport::new() }
    }

    async fn follow(&self, mut request: FetchRequest) -> Result<Answer, FetchError> {
        let url = request.url.clone();
        // A weak tag stands for contents that differ: their parts do not fit together.
        request.resume.take_if(|(_, tag)| tag.as_ref().is_some_and(|tag| !tag.is_strong()));
        for asked in 0..=MOST_REDIRECTS {
            if asked > 0 {
                request.further.add_one();
            }
            let location = match self.ask_once(&request).await? {
                Reply::Answer(answer) => return Ok(answer),
                Reply::Redirect(location) => location,
                Reply::NoRest => {
                    request.resume = None;
                    continue;
                }
            };
            let refused = |reason| FetchError::Redirect { url: url.clone(), reason };
            let next = request.url.redirected(&location).map_err(|_| refused("the new place is not on the web"))?;
            if next.scheme() == "file" {
                return Err(refused("the new place is not on the web"));
            }
            if request.url.is_of_this_machine() && !next.is_of_this_machine() {
                return Err(refused("it leads from this machine to another"));
            }
            if request.url.scheme() == "https" && next.scheme() != "https" {
                return Err(refused("it leads from https to http"));
            }
            request.url = next;
        }
        Err(FetchError::Redirect { url, reason: "there are too many redirects" })
    }

    async fn ask_once(&self, request: &FetchRequest) -> Result<Reply, FetchError> {
        let url = &request.url;
        let transport = |reason: String| FetchError::Transport { url: url.clone(), reason };
        let mut bare = url.as_url().clone();
        // Cannot fail for the schemes that are served here.
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        bare.set_fragment(None);
        let response = self.transport.get(&self.settings, bare, self.headers(request));
        let response = in_time(url, self.settings.idle_timeout, response).await?.map_err(transport)?;
        let (head, body) = response.into_parts();
        let judged = judge(request, head.status.as_u16(), &head.headers);
        let Ok(Judged::Body { offset }) = judged else {
            read_unwanted(body).await;
            return Ok(match judged? {
                Judged::Unchanged => Reply::Answer(Answer::Unchanged),
                Judged::Redirect(location) => Reply::Redirect(location),
                Judged::NoRest | Judged::Body { .. } => Reply::NoRest,
            });
        };
        let coding = Coding::of(&head.headers).map_err(transport)?;
        if coding.is_some() && !wants_coding(request) {
            return Err(transport("it has a content coding that was not asked for".to_owned()));
        }
        let length = hyper::body::Body::size_hint(&body).exact();
        let tag = field(&head.headers, ETAG).and_then(EntityTag::parse);
        let wire = WireChunks { url: url.clone(), body, patience: self.settings.idle_timeout };
        let body = match coding {
            None => Body::new(url.clone(), length, Box::new(wire)),
            // The length is that of what comes over the wire.
            Some(coding) => Body::new(url.clone(), None, Box::new(DecodedChunks::new(wire, coding))),
        };
        Ok(Reply::Answer(Answer::Body(body.starting_at(offset).with_tag(tag))))
    }

    fn headers(&self, request: &FetchRequest) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let codings = if wants_coding(request) { encoding::ACCEPTED } else { "identity" };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(codings));
        let mut insert = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        insert(USER_AGENT, &self.settings.user_agent);
        if let Some(tag) = &request.known {
            insert(IF_NONE_MATCH, tag.as_str());
        }
        if let Some((offset, tag)) = &request.resume {
            insert(RANGE, &format!("bytes={offset}-"));
            if let Some(tag) = tag {
                insert(IF_RANGE, tag.as_str());
            }
        }
        if let Some(authorization) = authorization(&request.url) {
            headers.insert(AUTHORIZATION, authorization);
        }
        headers
    }
}

/// A range is one of the encoded file, so the rest of a file is asked for as it is.
fn wants_coding(request: &FetchRequest) -> bool {
    request.compressed && request.resume.is_none()
}

async fn in_time<T>(url: &SafeUrl, patience: Duration, answer: impl Future<Output = T>) -> Result<T, FetchError> {
    tokio::time::timeout(patience, answer).await.map_err(|_| FetchError::TimedOut { url: url.clone(), after: patience })
}

/// Reads a short body to its end: else the connection could not be used again, and every update asks for a root that
/// is not there.
async fn read_unwanted(mut body: UnsyncBoxBody<Bytes, String>) {
    let mut left = UNWANTED;
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Either way there is nothing more to learn from it.
    let _ = tokio::time::timeout(UNWANTED_TIME, read).await;
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Body { offset: u64 },
    Unchanged,
    Redirect(String),
    NoRest,
}

/// Judges the head of an answer by what was asked for.
fn judge(request: &FetchRequest, status: u16, headers: &HeaderMap) -> Result<Judged, FetchError> {
    let url = &request.url;
    match (status, field(headers, LOCATION), &request.resume) {
        (200, ..) => Ok(Judged::Body { offset: 0 }),
        (206, _, Some((offset, tag))) => {
            let range = field(headers, CONTENT_RANGE).is_some_and(|range| is_rest(range, *offset));
            let same = headers.get(ETAG).is_none_or(|now| tag.as_ref().is_none_or(|tag| now == tag.as_str()));
            Ok(if range && same { Judged::Body { offset: *offset } } else { Judged::NoRest })
        }
        (416, _, Some(_)) => Ok(Judged::NoRest),
        (304, ..) if request.known.is_some() => Ok(Judged::Unchanged),
        (301 | 302 | 303 | 307 | 308, Some(location), _) => Ok(Judged::Redirect(location.to_owned())),
        // Object stores answer 403 where a file is absent and listing is not allowed.
        (403 | 404 | 410, ..) => Err(FetchError::Absent { url: url.clone() }),
        _ => Err(FetchError::Status { url: url.clone(), status, retry_after: retry_after(headers) }),
    }
}

fn field(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a `Content-Range` (RFC 9110 section 14.4) is of everything from `offset` to the end, and the end is known.
fn is_rest(range: &str, offset: u64) -> bool {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let parts = || {
        let (unit, range) = range.split_once(' ')?;
        let (range, total) = range.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        unit.eq_ignore_ascii_case("bytes").then_some((number(first)?, number(last)?, number(total)?))
    };
    parts().is_some_and(|(first, last, total)| first == offset && first <= last && last.checked_add(1) == Some(total))
}

/// How long a server asks to wait: seconds, or until a date, which is compared with the answer's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = field(headers, RETRY_AFTER)?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let date = |text: &str| DateTime::parse_from_rfc2822(text.trim()).ok();
    let wait = date(text)? - date(field(headers, DATE)?)?;
    Some(wait.to_std().unwrap_or_default())
}

/// Basic authentication (RFC 7617), where the user put credentials into the URL.
fn authorization(url: &SafeUrl) -> Option<HeaderValue> {
    use base64::Engine as _;
    let url = url.as_url();
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The pieces of a body as they come over the wire.
struct WireChunks {
    url: SafeUrl,
    body: UnsyncBoxBody<Bytes, String>,
    patience: Duration,
}

impl WireChunks {
    fn url(&self) -> &SafeUrl {
        &self.url
    }
}

impl Chunks for WireChunks {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            let transport = |reason| FetchError::Transport { url: self.url.clone(), reason };
            loop {
                let Some(frame) = in_time(&self.url, self.patience, self.body.frame()).await? else {
                    return Ok(None);
                };
                // Frames that are not data are trailers, which mean nothing here.
                if let Ok(data) = frame.map_err(transport)?.into_data() {
                    return Ok(Some(data));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_content_range_is_the_rest_or_it_is_not_taken() {
        for range in ["bytes 5-9/10", "BYTES 5-9/10", "bytes 5-5/6"] {
            assert!(is_rest(range, 5), "{range}");
        }
        for range in [
            "bytes 4-9/10",
            "bytes 6-9/10",
            "bytes 5-8/10",
            "bytes 5-9/9",
            "bytes 5-9/11",
            "bytes 5-9/*",
            "bytes */10",
            "bytes 5-4/5",
            "bytes 9-5/6",
            "bytes=5-9/10",
            "5-9/10",
            "lines 5-9/10",
            "bytes +5-9/10",
            "bytes 5-+9/10",
            "bytes  5-9/10",
            "bytes 5-9/10 ",
            "bytes 5-9",
            "bytes -/",
            "",
            "bytes 5-18446744073709551615/0",
            "bytes 5-99999999999999999999/100000000000000000000",
        ] {
            assert!(!is_rest(range, 5), "{range}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_answers_own() {
        let seconds = |fields: &[_]| retry_after(&headers(fields)).map(|wait| wait.as_secs());
        let date = (DATE, "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(seconds(&[(RETRY_AFTER, "120")]), Some(120));
        assert_eq!(seconds(&[(RETRY_AFTER, " 0 ")]), Some(0));
        assert_eq!(seconds(&[(RETRY_AFTER, "Wed, 21 Oct 2015 07:29:30 GMT"), date.clone()]), Some(90));
        assert_eq!(seconds(&[(RETRY_AFTER, "Wed, 21 Oct 2015 07:00:00 GMT"), date.clone()]), Some(0));
        assert_eq!(seconds(&[(RETRY_AFTER, "Wed, 21 Oct 2015 07:29:30 GMT")]), None);
        for odd in ["", "-1", "+1", "1.5", "soon", "99999999999999999999"] {
            assert_eq!(seconds(&[(RETRY_AFTER, odd), date.clone()]), None, "{odd}");
        }
        assert_eq!(seconds(&[]), None);
    }
}
