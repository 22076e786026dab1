//! What those may ask who verify.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use trustroot::builders::{BuildLevel, BuilderId};
use trustroot::metadata::TargetPath;
use trustroot::verify::ArtifactDigests;

use super::{
    parse_duration, parse_interval, parse_level, parse_percent, parse_sha256, parse_target, parse_time,
    parse_time_or_date,
};
use crate::config::{TrustName, Unreachable};
use crate::period::Period;

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum TrustCommand {
    /// Pin the root of a repository
    ///
    /// The root file, or its digest, must reach you by a way that you trust more than the repository: with your
    /// operating system, from colleagues, from a ceremony's record. Nothing is downloaded unless no file is given.
    Add(Box<TrustAddOptions>),
    /// Change how a repository is asked, and what happens where it does not answer
    ///
    /// What is not named stays as it is. The pinned root and what is kept always stay: to pin another root, remove and add.
    Set(Box<TrustSetOptions>),
    /// List the repositories that are trusted
    List,
    /// Show all about a repository: pin, policy, mirrors, and what is kept of it
    ///
    /// Asks nobody.
    Show {
        /// What the repository is called here
        name: TrustName,
    },
    /// Forget a repository, its pin and what was kept of it
    ///
    /// What is forgotten no longer protects against rollback: pin again only from a root that you checked.
    Remove {
        /// What the repository is called here
        name: TrustName,

        /// Forget only what was kept of it, which is yours also where the pin is the system's
        ///
        /// The next refresh then starts at the pinned root and knows of nothing newer.
        #[arg(long)]
        keep_pin: bool,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("pin").required(true).multiple(true).args(["root", "root_sha256", "trust_on_first_use"]), after_help = "Examples:
  Pin a repository by a root file
  $ trustroot trust add example --url https://keys.example.org --root 1.root.json

  Pin a repository by the digest of its first root, which is downloaded
  $ trustroot trust add example --url https://keys.example.org --root-sha256 1b5c…

  Use a mirror as well, and what is kept for up to a week where neither can be reached
  $ trustroot trust add example --url https://keys.example.org --root 1.root.json \\
      --mirror https://mirror.example.net/keys --when-unreachable use-kept --max-staleness 7d")]
pub(crate) struct TrustAddOptions {
    /// What to call the repository here: lower-case letters, digits, `.`, `_` and `-`
    pub(crate) name: TrustName,

    /// Where its metadata is: the place that holds `timestamp.json`, by http, https or file URL, or as a directory
    #[arg(long)]
    pub(crate) url: OsString,

    /// Where its targets are [default: `targets` below the URL]
    #[arg(long, value_name = "URL")]
    pub(crate) target_url: Option<OsString>,

    /// The root metadata to trust
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,

    /// The SHA-256 of the root metadata to trust, in hexadecimal
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256)]
    pub(crate) root_sha256: Option<[u8; 32]>,

    /// The version of the root to download where no file is given
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "root", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) root_version: u64,

    /// From when on a root is refused unless a post-quantum key has signed it
    ///
    /// Guards against somebody who can forge classical signatures. The pinned root must list a post-quantum key for
    /// root. TUF cannot express this: other clients of the repository, and other pins of it, do not enforce it.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) post_quantum_from: Option<DateTime<Utc>>,

    /// DANGER: believe whatever root the repository gives today
    ///
    /// Whoever controls the repository or the way to it at this moment controls all that you trust from then on. It is
    /// recorded with the pin and said whenever the pin is used.
    #[arg(long, conflicts_with_all = ["root", "root_sha256"])]
    pub(crate) trust_on_first_use: bool,

    #[command(flatten)]
    pub(crate) policy: PolicyOptions,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["url", "target_url", "mirror", "no_mirrors", "deadline", "max_staleness", "when_unreachable", "expired_grace"]), after_help = "Examples:
  Use what is kept for up to a week where the repository cannot be reached
  $ trustroot trust set example --when-unreachable use-kept --max-staleness 7d

  Ask the repository's own place alone
  $ trustroot trust set example --no-mirrors

  Ask for the same repository at another place, or with another password
  $ trustroot trust set example --url https://keys.example.net")]
pub(crate) struct TrustSetOptions {
    /// What the repository is called here
    pub(crate) name: TrustName,

    /// Where its metadata is now; its targets too, if they were at `targets` below
    #[arg(long)]
    pub(crate) url: Option<OsString>,

    /// Where its targets are now
    #[arg(long, value_name = "URL")]
    pub(crate) target_url: Option<OsString>,

    #[command(flatten)]
    pub(crate) policy: PolicyOptions,

    /// Ask no mirrors
    #[arg(long, conflicts_with = "mirror")]
    pub(crate) no_mirrors: bool,
}

// How a repository is asked, and what happens where it does not answer.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyOptions {
    /// Where else its metadata is, with its targets at `targets` below; repeat it for several
    ///
    /// Mirrors are trusted with nothing: what comes from them is verified alike. Those that fail are asked later.
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Vec<OsString>,

    /// How long a refresh or a look-up may take, all places and attempts together: such as 90s or 5m; or `none`
    ///
    /// A download may take as long for each 16 MiB of its target that have begun. [default: 15m]
    #[arg(long, value_name = "PERIOD", value_parser = parse_limit)]
    pub(crate) deadline: Option<Limit>,

    /// How long ago the repository may have confirmed what is kept, where it is not asked now: such as 36h or 7d; or `none`
    ///
    /// Holds with `--offline` and with `--when-unreachable use-kept`. [default: until it expires]
    #[arg(long, value_name = "PERIOD", value_parser = parse_limit)]
    pub(crate) max_staleness: Option<Limit>,

    /// What is done where neither the repository nor a mirror can be reached
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) when_unreachable: Option<Unreachable>,

    /// DANGER: where nothing can be reached, use what is kept for so long after it has expired; or `none`
    ///
    /// Whoever keeps you from the repository and its mirrors can then hold you on what you have for this much longer:
    /// keys that were revoked meanwhile stay trusted. Implies `--when-unreachable use-kept`.
    #[arg(long, value_name = "PERIOD", value_parser = parse_limit)]
    pub(crate) expired_grace: Option<Limit>,
}

impl PolicyOptions {
    /// Whether the user spoke of the policy at all.
    pub(crate) fn is_given(&self) -> bool {
        !self.mirror.is_empty()
            || self.deadline.is_some()
            || self.max_staleness.is_some()
            || self.when_unreachable.is_some()
            || self.expired_grace.is_some()
    }
}

/// A period, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Of(Period),
    None,
}

impl Limit {
    pub(crate) fn period(self) -> Option<Period> {
        match self {
            Self::Of(period) => Some(period),
            Self::None => None,
        }
    }
}

fn parse_limit(text: &str) -> Result<Limit, String> {
    if text == "none" { Ok(Limit::None) } else { text.parse().map(Limit::Of) }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Refresh everything that is trusted
  $ trustroot refresh

  See what one repository said at a time in the past, without keeping it
  $ trustroot refresh example --at 2026-08-22T00:00:00Z

  Keep everything fresh for services on this machine, and reload one when something changes
  $ trustroot refresh --watch --metrics /var/lib/metrics/trustroot.prom --on-change systemctl reload policy.service")]
pub(crate) struct RefreshOptions {
    /// Which repository [default: all of them]
    pub(crate) name: Option<TrustName>,

    #[command(flatten)]
    pub(crate) watch: WatchOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WatchOptions {
    /// Refresh again and again until interrupted; one line for each change
    ///
    /// Tells systemd, where it asks for that, when it is ready and how it is.
    #[arg(long)]
    pub(crate) watch: bool,

    /// How long to wait between two refreshes; after failures it starts with 1/32 of it
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_interval, requires = "watch")]
    pub(crate) interval: Duration,

    /// How much of it is added or taken away at random
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = parse_percent, requires = "watch")]
    pub(crate) jitter: f64,

    /// Write metrics in Prometheus text form to this file after each refresh
    #[arg(long, value_name = "FILE", requires = "watch")]
    pub(crate) metrics: Option<PathBuf>,

    /// How long the command of `--on-change` may run before it is ended
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration, requires = "on_change")]
    pub(crate) on_change_limit: Duration,

    /// A command to run after a change, and its arguments; everything that follows belongs to it
    ///
    /// Run without a shell. `TRUSTROOT_CHANGED` holds the names of the repositories,
    /// `TRUSTROOT_CHANGES` one change a line. It is told of each change at least once, also across restarts.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, requires = "watch")]
    pub(crate) on_change: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Alarm where something expires within three days, or was not confirmed for one
  $ trustroot status --warn-within 3d --max-age 1d")]
pub(crate) struct StatusOptions {
    /// Which repository [default: all of them]
    pub(crate) name: Option<TrustName>,

    /// Also complain about what expires within this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) warn_within: Option<Duration>,

    /// Also complain about what was confirmed longer ago than this; a limit of the policy counts too
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_age: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  See which keys changed since an incident began
  $ trustroot changes --since 2026-08-22")]
pub(crate) struct ChangesOptions {
    /// Which repository [default: all of them]
    pub(crate) name: Option<TrustName>,

    /// A time, or a date for its first moment (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_time_or_date)]
    pub(crate) since: DateTime<Utc>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Download a file of keys
  $ trustroot get registry.npmjs.org/keys.json --trust sigstore

  Print it instead
  $ trustroot get registry.npmjs.org/keys.json --output -

  Take it only where enough repositories agree about it, as a map says
  $ trustroot get registry.npmjs.org/keys.json --map map.json")]
pub(crate) struct GetOptions {
    /// The target's path in the repository
    #[arg(value_parser = parse_target)]
    pub(crate) target: TargetPath,

    /// Which repository [default: those that `map.json` says, else the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<TrustName>,

    /// Which repositories must agree about which targets (TAP 4) [default: `map.json` in the home, if it is there]
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    pub(crate) map: Option<PathBuf>,

    /// Where to write it; `-` prints it [default: its name, in this directory]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  See which keys a builder signs with, and its level today
  $ trustroot lookup https://oppy.example/slsa/builder/v1

  Take its document only where enough repositories agree about it, as a map says
  $ trustroot lookup https://oppy.example/slsa/builder/v1 --map map.json")]
pub(crate) struct LookupOptions {
    /// The builder's ID, exactly as its provenance gives it; or a verifier's
    #[arg(value_parser = parse_id)]
    pub(crate) id: BuilderId,

    /// Which repository [default: those that `map.json` says, else the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<TrustName>,

    /// Which repositories must agree about which targets (TAP 4) [default: `map.json` in the home, if it is there]
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    pub(crate) map: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("by").required(true).args(["builder", "verifier", "key_target"]), group = clap::ArgGroup::new("what").required(true).args(["artifact", "digest"]), after_help = "Examples:
  Check that a builder built a file, at Build L3
  $ trustroot verify hello-1.0.tgz --attestation hello.json \\
      --builder https://oppy.example/slsa/builder/v1 --min-level L3

  Check a container image by its digest
  $ trustroot verify --digest sha256:71efcbb3… --attestation provenance.json \\
      --builder https://cloudbuild.example/worker --min-level L3

  Check a package against the key of its registry
  $ trustroot verify sigstore-2.3.1.tgz --attestation sigstore-2.3.1.json \\
      --key-target registry.npmjs.org/keys.json --trust sigstore")]
pub(crate) struct VerifyOptions {
    /// The file that the attestation is about
    pub(crate) artifact: Option<PathBuf>,

    /// What the attestation is about, by a digest as its subject gives it, instead of a file
    #[arg(long, value_name = "NAME:VALUE", value_parser = parse_digest)]
    pub(crate) digest: Option<ArtifactDigests>,

    /// The attestation: a DSSE envelope, a Sigstore bundle, npm's or gcloud's document, or lines of these
    #[arg(long, value_name = "FILE")]
    pub(crate) attestation: PathBuf,

    /// The builder that must have built it
    #[arg(long, value_name = "ID", value_parser = parse_id, requires = "min_level")]
    pub(crate) builder: Option<BuilderId>,

    /// The verifier that must have passed it
    #[arg(long, value_name = "ID", value_parser = parse_id, requires_all = ["min_level", "resource"])]
    pub(crate) verifier: Option<BuilderId>,

    /// The resource that the verifier must have passed it as
    #[arg(long, value_name = "URI", requires = "verifier")]
    pub(crate) resource: Option<String>,

    /// The SLSA Build level that it must have, at least; needed with `--builder` and `--verifier`
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) min_level: Option<BuildLevel>,

    /// The highest level that you grant, whatever others say
    #[arg(long, value_name = "LEVEL", value_parser = parse_level, requires = "min_level")]
    pub(crate) max_level: Option<BuildLevel>,

    /// The package that you take it for; it must be one that the builder may build
    #[arg(long, value_name = "PACKAGE", requires = "builder")]
    pub(crate) package: Option<String>,

    /// The target that holds the keys
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    pub(crate) key_target: Option<TargetPath>,

    /// What the attestation must say, by the type of its predicate [default: anything]
    ///
    /// Without this, a registry's word that it published a file counts as much as a builder's word on how it was
    /// built. The verdict shows which it was.
    #[arg(long, value_name = "URI", requires = "key_target")]
    pub(crate) predicate_type: Option<String>,

    /// What the keys must be meant for
    #[arg(long, value_name = "USAGE", default_value = "npm:attestations")]
    pub(crate) key_usage: String,

    /// Which repository [default: those that `map.json` says, else the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<TrustName>,

    /// Which repositories must agree about which targets (TAP 4) [default: `map.json` in the home, if it is there]
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    pub(crate) map: Option<PathBuf>,

    /// With `--key-target`: the target that names the transparency logs whose word on the signing time is taken
    ///
    /// A repository without this target still verifies; the signing time is then unknown. For builders and verifiers,
    /// the catalog says whose word is taken.
    #[arg(long, value_name = "TARGET", value_parser = parse_target, default_value = "trusted_root.json")]
    pub(crate) log_target: TargetPath,
}

fn parse_id(text: &str) -> Result<BuilderId, String> {
    BuilderId::parse(text).map_err(|error| error.to_string())
}

fn parse_digest(text: &str) -> Result<ArtifactDigests, String> {
    ArtifactDigests::named(text).ok_or_else(|| "expected NAME:VALUE, such as sha256:71ef…".to_owned())
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum BundleCommand {
    /// Write a bundle: metadata from the pinned root on, and what answers the questions that you name
    ///
    /// The repository is asked first, unless `--offline` is given. Before anything is written, a new client that has nothing
    /// but the pinned root and the bundle answers the same questions.
    Export(BundleExportOptions),
    /// Take the news of a repository from a bundle
    ///
    /// A bundle is trusted no more than any mirror: everything is verified from the pinned root, and what is older than what
    /// is trusted is refused. Nothing is asked of the network.
    Import(BundleImportOptions),
    /// Show what a bundle says that it holds, without trusting it
    Inspect {
        /// The bundle
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Carry what is needed to verify what a builder built
  $ trustroot bundle export example --output news.bundle --builder https://oppy.example/slsa/builder/v1

  Carry the keys of a registry
  $ trustroot bundle export sigstore --output news.bundle --target registry.npmjs.org/keys.json

  For a machine that pinned an older root
  $ trustroot bundle export example --output news.bundle --all-kept --from-root 1.root.json")]
pub(crate) struct BundleExportOptions {
    /// Which repository
    pub(crate) name: TrustName,

    /// Where to write the bundle
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// A target to carry; may be given several times
    #[arg(long = "target", value_name = "TARGET", value_parser = parse_target)]
    pub(crate) targets: Vec<TargetPath>,

    /// A builder or verifier whose attestations are to be verified; may be given several times
    #[arg(long = "builder", value_name = "ID", value_parser = parse_id)]
    pub(crate) builders: Vec<BuilderId>,

    /// Carry every target that earlier commands have kept here and that is still named
    #[arg(long)]
    pub(crate) all_kept: bool,

    /// The root that the other side has pinned, where it is older than the one that is pinned here
    ///
    /// It must lead to yours. Roots between the two are asked of the repository. [default: the pinned root]
    #[arg(long, value_name = "FILE")]
    pub(crate) from_root: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Take the news from a stick
  $ trustroot bundle import /media/stick/news.bundle --trust example")]
pub(crate) struct BundleImportOptions {
    /// The bundle
    pub(crate) file: PathBuf,

    /// Which repository [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<TrustName>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Look at a root before pinning it
  $ trustroot inspect 1.root.json

  See which of a root's keys signed a snapshot
  $ trustroot inspect snapshot.json --delegator root.json")]
pub(crate) struct InspectOptions {
    /// A root, timestamp, snapshot or targets file
    pub(crate) file: PathBuf,

    /// The metadata whose keys the signatures are checked with: a root, or the targets that delegate to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) delegator: Option<PathBuf>,

    /// The role that the delegator knows the file by [default: by its type; for delegated targets, its file name]
    #[arg(long, value_name = "ROLE", requires = "delegator")]
    pub(crate) role: Option<String>,
}
