//! What a client notes for itself between updates. Nobody signed it: it can make a client stricter, and wrong notes can
//! make it ask another mirror first or refuse to work, but never trust more than without them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{EntityTag, Mirror, SafeUrl};
use crate::crypto::sha256;

/// When the repository was asked last, and how its mirrors did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Notes {
    /// The latest time at which the repository confirmed all that is trusted: no later update may be earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) confirmed_at: Option<DateTime<Utc>>,
    /// What the timestamp that is kept was called by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_tag: Option<Tagged>,
    /// Mirrors that failed and have not answered since, by the digest of their URL, which may hold credentials.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failing: BTreeMap<String, Failing>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tagged {
    url_sha256: String,
    tag: String,
    content_sha256: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failing {
    times: u32,
    last: DateTime<Utc>,
}

/// Most mirrors that are noted.
const MOST_MIRRORS: usize = 64;

impl Notes {
    /// Longest notes that are read, in bytes.
    pub(super) const LONGEST: usize = 64 * 1024;

    /// Reads notes; what cannot be read is as good as nothing.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        if bytes.len() > Self::LONGEST {
            return Self::default();
        }
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("notes are plain data")
    }

    /// Takes over what another process has noted meanwhile: time never goes back.
    pub(super) fn join(&mut self, other: &Self) {
        self.confirmed_at = self.confirmed_at.max(other.confirmed_at);
    }

    /// The tag of the timestamp at `url`, if it is the one with this content.
    pub(super) fn timestamp_tag(&self, url: &SafeUrl, content: &[u8]) -> Option<EntityTag> {
        let tagged = self.timestamp_tag.as_ref()?;
        let same = tagged.url_sha256 == digest(url) && tagged.content_sha256 == hex::encode(sha256(content));
        EntityTag::parse(&tagged.tag).filter(|_| same)
    }

    /// Notes what the server called the timestamp with this content.
    pub(super) fn note_timestamp_tag(&mut self, url: &SafeUrl, content: &[u8], tag: &EntityTag) {
        self.timestamp_tag = Some(Tagged {
            url_sha256: digest(url),
            tag: tag.as_str().to_owned(),
            content_sha256: hex::encode(sha256(content)),
        });
    }

    /// Mirrors in the order in which to ask them: as configured, but those that failed lately last.
    pub(super) fn order(&self, mirrors: &[Mirror], now: DateTime<Utc>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..mirrors.len()).collect();
        if mirrors.len() > 1 {
            order.sort_by_key(|index| self.is_failing(&mirrors[*index], now));
        }
        order
    }

    /// Whether a mirror is better asked after the others: for a minute after a failure, longer after each further one,
    /// up to an hour.
    fn is_failing(&self, mirror: &Mirror, now: DateTime<Utc>) -> bool {
        self.failing.get(&digest(&mirror.metadata_url)).is_some_and(|failing| {
            let pause = TimeDelta::minutes(1_i64 << failing.times.saturating_sub(1).min(6)).min(TimeDelta::hours(1));
            // A time of a clock that was ahead means nothing.
            failing.last <= now && now - failing.last < pause
        })
    }

    /// How often a mirror has failed since it answered last, and when it did so last.
    pub(super) fn failures(&self, mirror: &Mirror) -> Option<(u32, DateTime<Utc>)> {
        self.failing.get(&digest(&mirror.metadata_url)).map(|failing| (failing.times, failing.last))
    }

    /// Notes how a mirror did.
    pub(super) fn note_mirror(&mut self, mirror: &Mirror, answered: bool, now: DateTime<Utc>) {
        let key = digest(&mirror.metadata_url);
        if answered {
            self.failing.remove(&key);
        } else if self.failing.len() < MOST_MIRRORS || self.failing.contains_key(&key) {
            let failing = self.failing.entry(key).or_insert(Failing { times: 0, last: now });
            failing.times = failing.times.saturating_add(1);
            failing.last = now;
        }
    }
}

fn digest(url: &SafeUrl) -> String {
    hex::encode(sha256(url.expose().as_bytes()))
}
