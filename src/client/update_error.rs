//! Why an update or a download failed.

use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::SafeUrl;
use super::fetcher::FetchError;
use crate::builders::BuilderId;
use crate::example_keys::ExampleKeyListed;
use crate::metadata::{HashAlgorithm, RoleName, TargetPath, Version};
use crate::printable::Printable;
use crate::trust::Refusal;

/// Why an update or a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// What the repository offered was refused.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Box<Refusal>,
        /// Where it came from; `None` where it was trusted before, and no longer suffices.
        url: Option<SafeUrl>,
        /// What had passed its checks before and was kept.
        kept: Vec<(RoleName, Version)>,
    },
    /// Something could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The cache or a target could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file is needed that is not in the cache, and the repository may not be asked.
    #[error("{role} is not in the cache, or no longer current, and the repository may not be asked")]
    Offline {
        /// The role.
        role: RoleName,
    },
    /// A target is needed that may not be fetched.
    #[error("the target {path} is not on this machine and the repository may not be asked")]
    TargetOffline {
        /// The target.
        path: TargetPath,
    },
    /// Something is needed that is not on this machine, by an update that uses what is kept because no mirror could be
    /// reached: see [`super::Freshness::unreachable`].
    #[error("{what} is not on this machine, or no longer current, and the repository cannot be reached: {reason}")]
    Unreachable {
        /// What is needed: a role or a target, in words.
        what: String,
        /// Why no mirror could be reached.
        reason: Box<FetchError>,
    },
    /// No mirror could be reached, and what is kept has expired or is too stale to be used.
    #[error("the repository cannot be reached: {reason}; what is kept does not serve: {kept}")]
    KeptUnusable {
        /// Why no mirror could be reached.
        reason: Box<FetchError>,
        /// Why what is kept is not used.
        kept: Box<UpdateError>,
    },
    /// What is kept has not been confirmed by the repository for too long.
    #[error("{}", stale(.confirmed_at.as_ref(), *.limit))]
    TooStale {
        /// When the repository confirmed it last, where that is known.
        confirmed_at: Option<DateTime<Utc>>,
        /// How long ago that may be.
        limit: Duration,
    },
    /// The clock is behind an update that has already succeeded, so that what has expired could look fresh.
    #[error("the clock says {now}, but an update succeeded at {confirmed_at}: the clock went back")]
    ClockWentBack {
        /// The time of this update.
        now: DateTime<Utc>,
        /// The time of the earlier one.
        confirmed_at: DateTime<Utc>,
    },
    /// Other processes hold the lock of what is kept.
    #[error("another process holds the lock of {store}")]
    Locked {
        /// What is kept, as the store calls itself.
        store: String,
    },
    /// There is nowhere to ask.
    #[error("no mirror is configured")]
    NoMirror,
    /// A blocking client was used where waiting would stop an async runtime.
    #[error("the blocking client was used inside an async runtime: use the async one there, or a thread of its own")]
    InsideRuntime,
    /// What is kept holds no root to start from.
    #[error("there is no trusted root in {store}")]
    NoRoot {
        /// What is kept, as the store calls itself.
        store: String,
    },
    /// A root or a delegation lists a key whose secret half everybody has, and the repository is not of this machine.
    #[error(transparent)]
    ExampleKey(#[from] ExampleKeyListed),
    /// A document of the builder map lists a key whose secret half everybody has, and the repository is not of this
    /// machine.
    #[error("the document of {} lists the example key `{name}`, whose secret half everybody has", Printable(id.as_str()))]
    ExampleSigner {
        /// Whom it is about.
        id: BuilderId,
        /// The name of the key.
        name: &'static str,
    },
    /// The target is larger than we are willing to fetch.
    #[error("the target {path} has {length} bytes; at most {limit} are fetched")]
    TargetTooLarge {
        /// The target.
        path: TargetPath,
        /// Its length by trusted metadata.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// The target has another length than trusted metadata says.
    #[error("{from} has {offered} bytes where the trusted metadata of {role} says {expected}")]
    WrongTargetLength {
        /// Where its bytes came from.
        from: String,
        /// The role that names it.
        role: RoleName,
        /// The length received.
        offered: u64,
        /// The length that trusted metadata names.
        expected: u64,
    },
    /// The target has another hash than trusted metadata says.
    #[error("{from} does not have the {algorithm} that the trusted metadata of {role} names")]
    WrongTargetHash {
        /// Where its bytes came from.
        from: String,
        /// The role that names it.
        role: RoleName,
        /// The hash that differs.
        algorithm: HashAlgorithm,
    },
}

impl UpdateError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { refusal, .. } => refusal.code(),
            Self::Fetch(error) => error.code(),
            Self::Io(_) => "io",
            Self::Offline { .. } | Self::TargetOffline { .. } => "offline",
            Self::Unreachable { reason, .. } => reason.code(),
            // That it expired meanwhile is no word of the repository's, which nobody could ask.
            Self::KeptUnusable { reason, kept } if kept.is_refusal() => reason.code(),
            Self::KeptUnusable { kept, .. } => kept.code(),
            Self::TooStale { .. } => "too-stale",
            Self::ClockWentBack { .. } => "clock-went-back",
            Self::Locked { .. } => "locked",
            Self::NoMirror => "no-mirror",
            Self::InsideRuntime => "inside-runtime",
            Self::NoRoot { .. } => "no-root",
            Self::ExampleKey(_) | Self::ExampleSigner { .. } => "example-key",
            Self::TargetTooLarge { .. } => "target-too-large",
            Self::WrongTargetLength { .. } => "wrong-target-length",
            Self::WrongTargetHash { .. } => "wrong-target-hash",
        }
    }

    /// Whether trust said no, as opposed to being unable to tell.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::ExampleKey(_)
                | Self::ExampleSigner { .. }
                | Self::WrongTargetLength { .. }
                | Self::WrongTargetHash { .. }
        ) || matches!(self, Self::Fetch(FetchError::TooLong { .. }))
    }

    /// Of this failure and one of an earlier mirror, the one to report: a refusal says more than that there was no answer,
    /// and of two alike the earlier counts.
    pub(super) fn or_earlier(self, earlier: Option<Self>) -> Self {
        match earlier {
            Some(earlier) if !earlier.is_unreachable() || self.is_unreachable() => earlier,
            _ => self,
        }
    }

    /// What a mirror may answer to if it is asked again.
    pub(super) fn that_may_pass(&self) -> Option<FetchError> {
        match self {
            Self::Fetch(error) if error.is_transient() => Some(error.clone()),
            _ => None,
        }
    }

    /// Whether it only says that a mirror could not be asked, or had no answer.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fetch(error) if !matches!(error, FetchError::TooLong { .. }))
    }
}

fn stale(confirmed_at: Option<&DateTime<Utc>>, limit: Duration) -> String {
    let limit = limit.as_secs();
    match confirmed_at {
        Some(time) => format!("what is kept was confirmed by the repository last at {time}, more than {limit} s ago"),
        None => format!("it is not known when the repository confirmed what is kept; {limit} s ago is the limit"),
    }
}
