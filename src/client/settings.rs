//! How an updater is set up: where the repository is, how it is asked, and what happens where it does not answer.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::SafeUrl;
use crate::trust::{Connectivity, Limits, RootPolicy};

/// Where trust starts.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "trust comes with the program's user or from the cache")]
pub enum TrustAnchor {
    /// A root that came by another way than the repository. The chain from it is verified at every start, so
    /// that whoever can write to the cache cannot replace the root.
    Pinned(Vec<u8>),
    /// The newest root in the cache, for a cache that is as well protected as a pinned root would be.
    Cached,
}

/// Where a repository is and how it is asked.
///
/// ```
/// use std::time::Duration;
/// use trustroot::client::{Mirror, SafeUrl, UpdaterSettings, WhenUnreachable};
///
/// # fn f() -> Result<(), trustroot::client::UrlError> {
/// let settings = UpdaterSettings::new(
///     SafeUrl::parse("https://keys.example.org/metadata")?,
///     SafeUrl::parse("https://keys.example.org/targets")?,
/// )
/// .mirror(Mirror::new(
///     SafeUrl::parse("https://mirror.example.net/metadata")?,
///     SafeUrl::parse("https://mirror.example.net/targets")?,
/// ))
/// .max_staleness(Duration::from_secs(7 * 86_400))
/// .when_unreachable(WhenUnreachable::UseKept);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UpdaterSettings {
    /// Where the repository is; the first place is asked first while it is healthy.
    pub mirrors: Vec<Mirror>,
    /// How much is read and walked at most.
    pub limits: Limits,
    /// What is asked of roots beyond what TUF asks.
    pub root_policy: RootPolicy,
    /// Whether the repository may be asked.
    pub connectivity: Connectivity,
    /// How often a file is asked for.
    pub retries: Retries,
    /// How long answers are waited for.
    pub patience: Patience,
    /// Where targets of the builder map are kept.
    pub kept_targets: KeptTargets,
    /// Whether the time of the update is the present.
    pub clock: Clock,
    /// How long ago the repository may have been asked last, where it is not asked now.
    pub max_staleness: Option<Duration>,
    /// What happens where no mirror can be reached.
    pub when_unreachable: WhenUnreachable,
    /// Whether the mirrors tell what the repository says at present.
    pub telling: Telling,
    /// Whether it is judged as clients elsewhere will judge it, although it is on this machine.
    pub(crate) is_no_trial: bool,
}

impl UpdaterSettings {
    /// The usual settings, for a repository at one place.
    pub fn new(metadata_url: SafeUrl, target_url: SafeUrl) -> Self {
        Self {
            mirrors: vec![Mirror::new(metadata_url, target_url)],
            limits: Limits::default(),
            root_policy: RootPolicy::default(),
            connectivity: Connectivity::Online,
            retries: Retries::default(),
            patience: Patience::default(),
            kept_targets: KeptTargets::Nowhere,
            clock: Clock::Present,
            max_staleness: None,
            when_unreachable: WhenUnreachable::Fail,
            telling: Telling::Present,
            is_no_trial: false,
        }
    }

    /// Adds another place where the repository is. No place is trusted: what comes from it is verified alike.
    #[must_use]
    pub fn mirror(mut self, mirror: Mirror) -> Self {
        self.mirrors.push(mirror);
        self
    }

    /// Whether the repository may be a trial, which lists example keys: one on this machine.
    pub(super) fn may_be_trial(&self) -> bool {
        !self.is_no_trial && self.mirrors.iter().all(|mirror| mirror.metadata_url.is_of_this_machine())
    }

    /// Sets how much is read and walked at most.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets what is asked of roots beyond what TUF asks.
    #[must_use]
    pub fn root_policy(self, root_policy: RootPolicy) -> Self {
        Self { root_policy, ..self }
    }

    /// Sets whether the repository may be asked.
    #[must_use]
    pub fn connectivity(self, connectivity: Connectivity) -> Self {
        Self { connectivity, ..self }
    }

    /// Sets how often a file is asked for.
    #[must_use]
    pub fn retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// Sets how long answers are waited for.
    #[must_use]
    pub fn patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Sets where targets of the builder map are kept.
    #[must_use]
    pub fn kept_targets(self, kept_targets: KeptTargets) -> Self {
        Self { kept_targets, ..self }
    }

    /// Sets whether the time of the update is the present.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sets how long ago the repository may have been asked last, where it is not asked now.
    #[must_use]
    pub fn max_staleness(self, limit: Duration) -> Self {
        Self { max_staleness: Some(limit), ..self }
    }

    /// Sets what happens where no mirror can be reached.
    #[must_use]
    pub fn when_unreachable(self, when_unreachable: WhenUnreachable) -> Self {
        Self { when_unreachable, ..self }
    }
}

/// One place where a repository is. It is trusted with nothing but being there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirror {
    /// The URL below which metadata is.
    pub metadata_url: SafeUrl,
    /// The URL below which targets are.
    pub target_url: SafeUrl,
}

impl Mirror {
    /// A place by its two URLs.
    pub fn new(metadata_url: SafeUrl, target_url: SafeUrl) -> Self {
        Self { metadata_url, target_url }
    }
}

/// Whether the time that an update takes as its reference is the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is or it is not")]
pub enum Clock {
    /// It is, as far as this machine knows. A time before an update that has already succeeded is then refused: the
    /// clock went back, and expired metadata could look fresh.
    Present,
    /// It was chosen, to judge another time. Use it with a store that keeps nothing.
    Chosen,
}

/// Whether mirrors tell what the repository says at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "they do or they do not")]
pub enum Telling {
    /// They do, as far as anybody can know: what they answer counts as confirmed now.
    Present,
    /// They tell what somebody carried here: see [`super::bundle`].
    Carried {
        /// When the repository confirmed it, as the carrier says: nobody signed that. It counts as confirmed then, and
        /// never later than now; where this is not known, it does not count as confirmed.
        confirmed_at: Option<DateTime<Utc>>,
    },
}

impl Telling {
    /// When what is told at `now` counts as confirmed.
    pub(super) fn confirmed_at(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Present => Some(now),
            Self::Carried { confirmed_at } => confirmed_at.map(|time| time.min(now)),
        }
    }
}

/// What happens where no mirror can be reached. Nothing of this applies where one answers with something that is
/// refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know all of them")]
pub enum WhenUnreachable {
    /// The update fails; what is kept stays.
    Fail,
    /// What is kept is used while it has not expired and is not staler than allowed. See [`super::Freshness`].
    UseKept,
    /// What is kept is used, also where it has expired: see [`super::danger::ExpiredGrace`].
    UseExpired(super::danger::ExpiredGrace),
}

/// Where targets of the builder map are kept, so that the same question can be asked offline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "they are kept, read or neither")]
pub enum KeptTargets {
    /// In this directory, under their encoded paths.
    In(PathBuf),
    /// Nothing new is kept; what lies in this directory is used where it is current.
    ReadFrom(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// How often a file is asked for where asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often at most, the first time included. With several mirrors each is asked once in every round.
    pub attempts: u32,
    /// How long to wait before asking again; doubled each time. A server that asks for more (`Retry-After`) is given it,
    /// up to [`Retries::LONGEST_WAIT`].
    pub delay: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, delay: Duration::from_millis(300) }
    }
}

impl Retries {
    /// The longest wait that a server may ask for.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

    /// Asking once.
    pub const NONE: Self = Self { attempts: 1, delay: Duration::ZERO };
}

/// How long answers are waited for, whoever fetches them. Slow retrieval is an attack: see also [`Body::stream`], which
/// gives up on a body that comes too slowly.
///
/// [`Body::stream`]: super::Body::stream
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For an answer to begin, redirects included, and then for each further piece of it.
    pub silence: Duration,
    /// For a refresh, and for each look-up, from beginning to end: all files, mirrors and attempts together, where each
    /// mirror has its share of the time that is left. A download has as much for each 16 MiB of its target that have
    /// begun.
    pub update: Duration,
}

impl Default for Patience {
    /// A minute, and a quarter of an hour.
    fn default() -> Self {
        Self { silence: Duration::from_secs(60), update: Duration::from_secs(15 * 60) }
    }
}

impl Patience {
    /// How long a download of a target of `length` bytes may take.
    pub(super) fn for_target(self, length: u64) -> Duration {
        let parts = u32::try_from(length.div_ceil(16 << 20).max(1)).unwrap_or(u32::MAX);
        self.update.saturating_mul(parts)
    }
}

/// How far a clock may go back before it is refused: what keeping time by a network does.
pub(super) const CLOCK_STEP: TimeDelta = TimeDelta::minutes(5);
