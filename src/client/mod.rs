//! Fetches metadata and targets, and keeps what is trusted.
//!
//! [`Updater`] is where to start. What to fetch and what to trust is decided in [`crate::trust`]; this module does
//! the I/O: it never prints, never reads a clock for trust, and leaves the environment to its caller: see
//! [`HttpSettings::from_variables`].

mod agreed_registry;
mod arriving;
mod asking;
pub mod blocking;
pub mod bundle;
mod consensus;
pub mod danger;
mod download;
mod driver;
mod fetcher;
mod history;
mod http;
mod index;
mod keeping;
mod kept_roles;
mod local_cache;
mod map;
mod notes;
mod registry;
mod safe_url;
mod settings;
mod staged;
mod store;
mod update_error;
mod updater;
mod watch;

pub use agreed_registry::{AgreedDocument, AgreedRegistry};
pub use asking::Traffic;
pub use consensus::{Agreed, ConsensusError, Dissent, MultiRepository};
pub use download::{Downloaded, is_target};
pub use fetcher::{
    Answer, AskFuture, Body, ChunkFuture, Chunks, DefaultFetcher, EntityTag, FetchError, FetchFuture, FetchRequest,
    Fetcher, FileFetcher, FurtherRequests,
};
pub use history::{History, HistoryEvent, Subject};
pub use http::{Authorities, HttpFetcher, HttpSettings, Proxies, ProxyUrl, ProxyUrlError, VariableError};
pub use kept_roles::KeptRole;
pub use local_cache::{LocalCache, stored_name};
pub use map::{MapError, Mapping, RepositoryMap};
pub use registry::LookupError;
pub use safe_url::{SafeUrl, UrlError};
pub use settings::{
    Clock, KeptTargets, Mirror, Patience, Retries, Telling, TrustAnchor, UpdaterSettings, WhenUnreachable,
};
pub use store::{CacheMode, MemoryStore, Store, StoreLock, StoredFile};
pub use update_error::UpdateError;
pub use updater::{Freshness, MirrorHealth, Updater};
pub use watch::{Refreshed, Schedule};

pub use crate::fs::{read_argument, read_bounded, remove_leftovers, write_durably, write_private};
