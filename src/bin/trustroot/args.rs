//! The command line. What a command is for stands at its variant: its options are only put together where it is the one that
//! was asked for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Parser, Subcommand, ValueEnum};
use trustroot::builders::{BuildLevel, BuilderId};
use trustroot::ceremony::EventName;
use trustroot::metadata::TargetPath;
use trustroot::verify::ArtifactDigests;

use crate::config::{TrustName, Unreachable};
use crate::keys::KeyOptions;
use crate::period::Period;

/// Fetch the keys that software supply chains stand on, and check attestations with them
///
/// Keys come from a TUF repository that you pin once by its root. From then on every key, target and verdict can be
/// traced back to that pin.
#[derive(Debug, Parser)]
#[command(name = "trustroot", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where pinned roots and trusted metadata are kept
    ///
    /// Default: `$TRUSTROOT_HOME`, else `trustroot` below `$XDG_DATA_HOME` or `~/.local/share`.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// Judge as of this time instead of now; nothing that a repository says is then kept
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<DateTime<Utc>>,

    /// Ask no repository; use what is kept, and refuse what has expired
    #[arg(long, global = true)]
    pub(crate) offline: bool,

    /// Print text for people, or one JSON document, errors included (but for errors of usage)
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Show each request, and how many there were
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Pin the root of a repository, or see what is pinned
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Bring trusted metadata up to date
    ///
    /// Follows the chain of roots from the pinned one, then timestamp, snapshot and targets. What is refused changes
    /// nothing; running it again is always safe.
    Refresh(RefreshOptions),
    /// Show how fresh what is kept is: versions, expiries, and when the repository confirmed it
    ///
    /// Asks no repository. Everything is verified from the pinned root, also what has expired. Delegated roles are among it
    /// where they were needed here before. Exit status 0 means that all is well, 1 that something has expired or is stale,
    /// or will within the time of `--warn-within`, 3 that it could not be told.
    Status(StatusOptions),
    /// Show what changed since a time: keys of builders, levels, grants, root keys, versions
    ///
    /// Asks no repository: it compares the versions that this machine has had. Of builders and verifiers, only those that
    /// were looked up here are known.
    Changes(ChangesOptions),
    /// Download a target that a trusted role names
    ///
    /// It is kept for `--offline` as well, unless it is longer than 64 MiB and written to a file, where it is found again.
    Get(GetOptions),
    /// Show who a builder or verifier is: keys, level and status, and where each fact comes from
    Lookup(LookupOptions),
    /// Check that an attestation vouches for a file
    ///
    /// By the name of a builder (`--builder`): its provenance, signed with keys that the repository delivers for it, at the
    /// level asked for. By the name of a verifier (`--verifier`): its summary. Or with a file of keys (`--key-target`, in
    /// npm's `keys.json` shape), which says nothing about levels. Exit status 0 means yes, 1 no, 3 that it could not be told.
    Verify(VerifyOptions),
    /// Carry a repository to machines without a network, in one file
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Show what a metadata file says and who signed it, without trusting it
    ///
    /// Everything shown comes from the file itself and is labelled as unverified.
    Inspect(InspectOptions),
    /// Begin a trust root: write a working copy to edit and review
    ///
    /// Writes `trustroot.toml`, which says who holds keys and who signs what. With `--keyholder`, people and their keys are
    /// filled in; anything can be changed afterwards. Nothing that is there is overwritten.
    Init(InitOptions),
    /// Write and check who holds which part of a trust root
    #[command(subcommand)]
    Namespace(NamespaceCommand),
    /// Say which builders a namespace vouches for, with which keys
    #[command(subcommand)]
    Builder(BuilderCommand),
    /// Sign the next version of a role, together with others
    #[command(subcommand)]
    Ceremony(CeremonyCommand),
    /// Publish what has been signed to a directory that a web server serves
    ///
    /// Signs snapshot and timestamp with the online keys where they are due. Real clients upgrade to the result in memory
    /// before anything is written. Run it again at any time: what is there already is left alone.
    Publish(PublishOptions),
    /// Serve a published repository over HTTP, for trials and small installations
    ///
    /// Prints one line with the address, then answers until it is interrupted. Clients trust nothing that it says: what they
    /// get is checked against their pinned root.
    Serve(ServeOptions),
    /// Check a working copy: what is wrong, what is not signed yet, and what is due
    ///
    /// Exit status 1 means that something is to be done.
    Check(CheckOptions),
    /// Make the keys that people and services sign with, or look at one
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  Complete commands in bash\n  $ trustroot completions bash > ~/.local/share/bash-completion/completions/trustroot"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

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
#[command(after_help = "Examples:
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
    #[arg(long, value_name = "FILE", required_unless_present_any = ["root_sha256", "trust_on_first_use"])]
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

// Where a trust root is worked on.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkingCopyOptions {
    /// The working copy of the trust root
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Begin a trust root that any two of three people can change
  $ trustroot init registry --name \"Example registry\" --keyholder alice=alice.pub --keyholder bob=bob.pub \\
      --keyholder carol=carol.pub --online online.pub --threshold 2")]
pub(crate) struct InitOptions {
    /// The directory to make
    pub(crate) directory: PathBuf,

    /// What the repository is called, for people [default: the directory's name]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Somebody who signs root and targets, and the file with their public key
    #[arg(long, value_name = "PERSON=FILE", value_parser = parse_holder)]
    pub(crate) keyholder: Vec<Holder>,

    /// The public key of the machine that signs snapshot and timestamp
    #[arg(long, value_name = "FILE")]
    pub(crate) online: Option<PathBuf>,

    /// How many keyholders must sign root and targets
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) threshold: u64,

    /// Make a trial: throwaway keys are let in, and clients refuse it outside this machine
    #[arg(long)]
    pub(crate) trial: bool,
}

/// Somebody and the file with their public key.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) person: String,
    pub(crate) file: PathBuf,
}

fn parse_holder(text: &str) -> Result<Holder, String> {
    match text.split_once('=') {
        Some((person, file)) if !person.is_empty() && !file.is_empty() => {
            Ok(Holder { person: person.to_owned(), file: file.into() })
        }
        _ => Err("expected PERSON=FILE, such as alice=alice.pub".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum NamespaceCommand {
    /// Let an organisation keep the keys of its own builders, within what is granted here
    ///
    /// Writes the namespace to `trustroot.toml`. It takes effect once top-level targets have been signed and published.
    Add(NamespaceAddOptions),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Let Oppy vouch for the builders below one prefix, up to Build L3
  $ trustroot namespace add oppy --builders https://oppy.example/slsa/ --cap L3 --keyholder oppy-dev=oppy-dev.pub")]
pub(crate) struct NamespaceAddOptions {
    /// What it is called: lower-case letters, digits and `-`
    pub(crate) namespace: String,

    /// Builder IDs that it may vouch for: a prefix that ends in `/`, or one ID
    #[arg(long, value_name = "PREFIX")]
    pub(crate) builders: Vec<String>,

    /// IDs of verifiers that it may vouch for
    #[arg(long, value_name = "PREFIX")]
    pub(crate) verifiers: Vec<String>,

    /// Resources that its verifiers may speak about
    #[arg(long, value_name = "PREFIX")]
    pub(crate) resources: Vec<String>,

    /// Packages that it may speak about
    #[arg(long, value_name = "PREFIX")]
    pub(crate) packages: Vec<String>,

    /// The highest Build level that any of its builders can have
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) cap: BuildLevel,

    /// From when on the cap holds; it must not have passed when the ceremony ends [default: in a week]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) cap_start: Option<DateTime<Utc>>,

    /// Somebody who signs for the namespace, and the file with their public key
    #[arg(long, value_name = "PERSON=FILE", value_parser = parse_holder, required = true)]
    pub(crate) keyholder: Vec<Holder>,

    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) threshold: u64,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum BuilderCommand {
    /// Write a builder's document, to be reviewed and signed by its namespace
    ///
    /// Nothing is trusted until the namespace has signed it and it is published.
    Add(BuilderAddOptions),
    /// Add a key to a builder, beside those that it has
    ///
    /// How a key is rotated: add the new one, publish, let the builder use it, then set the old one's `status` to `retired`
    /// in the builder's file.
    AddKey(BuilderAddKeyOptions),
    /// List the builders and verifiers of the working copy
    List {
        /// Only those of this namespace
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        #[command(flatten)]
        working_copy: WorkingCopyOptions,
    },
    /// Show what would be published about a builder
    Show {
        /// The builder's ID
        builder_id: String,
        #[command(flatten)]
        working_copy: WorkingCopyOptions,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Add a builder with one key, at Build L3
  $ trustroot builder add https://oppy.example/slsa/builder/v1 --namespace oppy --name \"Oppy autobuilder\" \\
      --key 2026a=oppy-builder.pub --level L3")]
pub(crate) struct BuilderAddOptions {
    /// The builder's ID, exactly as its provenance gives it
    pub(crate) builder_id: String,

    /// The namespace that vouches for it
    #[arg(long)]
    pub(crate) namespace: String,

    /// What people call it
    #[arg(long)]
    pub(crate) name: String,

    /// The name of its file [default: from its ID]
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Option<String>,

    /// A key that it signs with: what to call it, and the file with the public key
    #[arg(long, value_name = "NAME=FILE", value_parser = parse_holder, required = true)]
    pub(crate) key: Vec<Holder>,

    /// The Build level that is claimed for it
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) level: Option<BuildLevel>,

    /// From when on its keys and its level count; it must not have passed when the ceremony ends
    /// [default: in a week]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) start: Option<DateTime<Utc>>,

    /// It signs the payload itself, not the DSSE encoding
    #[arg(long)]
    pub(crate) raw_payload: bool,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Add next year's key
  $ trustroot builder add-key https://oppy.example/slsa/builder/v1 --key 2027a=oppy-builder-2027.pub")]
pub(crate) struct BuilderAddKeyOptions {
    /// The builder's ID
    pub(crate) builder_id: String,

    /// A key that it signs with: what to call it, and the file with the public key
    #[arg(long, value_name = "NAME=FILE", value_parser = parse_holder, required = true)]
    pub(crate) key: Vec<Holder>,

    /// From when on the keys count [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) start: Option<DateTime<Utc>>,

    /// It signs the payload itself, not the DSSE encoding
    #[arg(long)]
    pub(crate) raw_payload: bool,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum CeremonyCommand {
    /// Propose the next version of a role, as the configuration has it
    ///
    /// Run again, it gives a running event a new proposal; what was signed before no longer counts.
    Start(CeremonyStartOptions),
    /// Show who has signed, who can still sign, and what to do next
    Status(CeremonyStatusOptions),
    /// Show what an event would change, and the digest to compare
    ///
    /// Computed on this machine from the last signed version and the proposed bytes. Nothing is signed. A request needs
    /// nothing beside it: no working copy, no network, and with `--at` no clock.
    Review(CeremonyReviewOptions),
    /// Review an event and sign it
    ///
    /// Shows what would change from the version you trust, then asks for four words of the payload's digest: compare all 32
    /// with a second machine first. Nothing is uploaded; the signature is a file in the event. A request is answered by a
    /// response instead, which `ceremony collect` takes in where the event is.
    Sign(CeremonySignOptions),
    /// Write an event as one file, for a machine without a network
    ///
    /// The request holds the proposal, every root, and what the review compares with; files that only people read and that
    /// are longer than 1 MiB are named by length and digest. The same event gives the same bytes.
    Request(CeremonyRequestOptions),
    /// Show a response, and draw it as a QR code
    ///
    /// Most signatures fit on a code that a camera reads; those of ML-DSA do not. `ceremony collect` takes the text that a
    /// scanner prints.
    Response(CeremonyResponseOptions),
    /// Take in signatures that others have made and sent
    ///
    /// Takes responses; TUF metadata with signatures in it, whatever tool signed it; files of single signatures; and
    /// directories of these, such as another copy of the event. Each signature is verified: those by keys that may sign the event are filed,
    /// whatever else arrives is named and changes nothing. The order never matters, and anything may be collected again.
    Collect(CeremonyCollectOptions),
    /// Withdraw a proposal that is wrong
    ///
    /// It is not signed or finished any more. Payload and signatures stay in the event, since nobody can take a signature
    /// back: whatever is proposed next for this version shows them. Start the event again when the configuration is right.
    Withdraw(CeremonyWithdrawOptions),
    /// Put an event that enough people have signed among what is signed
    Finish(CeremonyFinishOptions),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Propose the first root
  $ trustroot ceremony start root

  Propose what a namespace says about its builders
  $ trustroot ceremony start oppy")]
pub(crate) struct CeremonyStartOptions {
    /// `root`, `targets`, or the name of a namespace
    pub(crate) role: String,

    /// What to call the event [default: the role and the version]
    #[arg(long)]
    pub(crate) name: Option<EventName>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  See where all events stand
  $ trustroot ceremony status")]
pub(crate) struct CeremonyStatusOptions {
    /// Which event [default: all that are not finished]
    pub(crate) event: Option<EventName>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Review on a second machine, and read the words aloud
  $ trustroot ceremony review root-v2 --root-sha256 1b5c…

  Review what came on a stick, on a machine without a network
  $ trustroot ceremony review root-v2.request --root-sha256 1b5c… --at 2026-03-01T12:00:00Z")]
pub(crate) struct CeremonyReviewOptions {
    /// Which event, or the file of a request [default: the only event that is open]
    #[arg(value_name = "EVENT|REQUEST")]
    pub(crate) event: Option<String>,

    /// Also write the review as a page for a second screen, without scripts and with nothing from elsewhere
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) pin: PinOptions,

    /// Of a request: let it list the throwaway keys that everybody has, for trials
    #[arg(long)]
    pub(crate) trial: bool,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

// A root that whoever signs or reviews trusts.
#[derive(Debug, clap::Args)]
pub(crate) struct PinOptions {
    /// The SHA-256 of a root of this repository that you trust, from your own records
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256, conflicts_with_all = ["trust", "root"])]
    pub(crate) root_sha256: Option<[u8; 32]>,

    /// A root of this repository that you trust, from your own records
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    pub(crate) root: Option<PathBuf>,

    /// Take the root that is pinned on this machine under this name
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<TrustName>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Sign the second root with a key in a file
  $ trustroot ceremony sign root-v2 --key alice.pem --root-sha256 1b5c…

  Sign it with a key that an ssh-agent has
  $ trustroot ceremony sign root-v2 --key ssh-agent:alice@example --root-sha256 1b5c…

  Sign what came on a stick, on a machine without a network
  $ trustroot ceremony sign root-v2.request --key alice.pem --root 1.root.json -o alice.response")]
pub(crate) struct CeremonySignOptions {
    /// Which event, or the file of a request [default: the only event that is open]
    #[arg(value_name = "EVENT|REQUEST")]
    pub(crate) event: Option<String>,

    /// Write the signature as a response to this file, instead of filing it in the event
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Of a request: let it list the throwaway keys that everybody has, for trials
    #[arg(long)]
    pub(crate) trial: bool,

    #[command(flatten)]
    pub(crate) key: KeyOptions,

    #[command(flatten)]
    pub(crate) pin: PinOptions,

    /// The payload's SHA-256, from a second machine: answers the question for the words
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256)]
    pub(crate) payload_sha256: Option<[u8; 32]>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Put an event on a stick
  $ trustroot ceremony request root-v2 -o root-v2.request --purpose 'Dora replaces Carol'")]
pub(crate) struct CeremonyRequestOptions {
    /// Which event
    pub(crate) event: EventName,

    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// What it is for, in a sentence; signers see it as a claim that nobody signed
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Show a response to a camera
  $ trustroot ceremony response alice.response --qr -")]
pub(crate) struct CeremonyResponseOptions {
    /// The response that `ceremony sign --output` wrote
    #[arg(value_name = "RESPONSE")]
    pub(crate) response: PathBuf,

    /// Draw it as a QR code: into a PNG file, or `-` for the terminal
    #[arg(long, value_name = "FILE")]
    pub(crate) qr: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Collect what came by mail, and what lies in another copy
  $ trustroot ceremony collect root-v2 alice.json ../bob/signing-events/root-v2")]
pub(crate) struct CeremonyCollectOptions {
    /// Which event
    pub(crate) event: EventName,

    /// Files, and directories of files
    #[arg(required = true, value_name = "FROM")]
    pub(crate) from: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Take back a proposal with the wrong key
  $ trustroot ceremony withdraw root-v2 --because 'it lists the old key of Dora'")]
pub(crate) struct CeremonyWithdrawOptions {
    /// Which event
    pub(crate) event: EventName,

    /// Why, in a sentence
    #[arg(long, value_name = "TEXT")]
    pub(crate) because: String,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Finish the second root
  $ trustroot ceremony finish root-v2")]
pub(crate) struct CeremonyFinishOptions {
    /// Which event [default: the only one that is complete]
    pub(crate) event: Option<EventName>,

    /// Somebody whose outgoing key is lost or stolen, and so cannot agree to its replacement
    #[arg(long, value_name = "PERSON")]
    pub(crate) lost: Vec<String>,

    /// Accept that another payload of this root has been signed: its full SHA-256
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256)]
    pub(crate) accept_sibling: Vec<[u8; 32]>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Publish to a directory
  $ trustroot publish /srv/keys --online-key online.pem

  While online keys rotate, sign with the outgoing one too
  $ trustroot publish /srv/keys --online-key old.pem --online-key new.pem")]
pub(crate) struct PublishOptions {
    /// The directory to publish to
    pub(crate) destination: PathBuf,

    /// A key that signs snapshot and timestamp: a PEM file, or what `trustroot key show --help` lists
    #[arg(long, value_name = "KEY", required = true)]
    pub(crate) online_key: Vec<OsString>,

    /// A file that holds the passphrase of the keys, or the PIN of the tokens
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Have clients try the result, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Serve to this machine, at a port that is free
  $ trustroot serve public

  Serve to the network
  $ trustroot serve public --listen 0.0.0.0:8080")]
pub(crate) struct ServeOptions {
    /// The directory that was published to: the one that holds `timestamp.json`
    pub(crate) directory: PathBuf,

    /// The address and port to listen at; port 0 takes one that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: std::net::SocketAddr,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Check before a ceremony, and every day
  $ trustroot check")]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

fn parse_level(text: &str) -> Result<BuildLevel, String> {
    BuildLevel::from_short(text).ok_or_else(|| "expected L0, L1, L2 or L3".to_owned())
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum KeyCommand {
    /// Make a secret key
    ///
    /// Writes the secret key, encrypted and for its owner alone, and its public half with the ending `.pub`. A file that
    /// is there already is never replaced.
    Generate(KeyGenerateOptions),
    /// Show what a key file holds, without its secret
    Inspect(KeyInspectOptions),
    /// List the keys that an ssh-agent or tokens have, and how to name them
    List(KeyListOptions),
    /// Write the public half of a key, wherever the secret half is
    ///
    /// Here and wherever a key signs, a key is named in one of the ways below.
    Show(KeyShowOptions),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  List the keys of the agent that SSH_AUTH_SOCK names
  $ trustroot key list --from ssh-agent

  List the public keys in all tokens that a PKCS#11 module finds
  $ trustroot key list --from pkcs11:/usr/lib/softhsm/libsofthsm2.so")]
pub(crate) struct KeyListOptions {
    /// Where to look: `ssh-agent`, or `pkcs11:` and the file of a module
    #[arg(long, value_name = "WHERE")]
    pub(crate) from: String,
}

/// The ways to name a key.
const KEY_REFERENCES: &str = "Keys:
  FILE, file:FILE           a PEM file
  ssh-agent:SHA256:...      a key in the ssh-agent, by its fingerprint
  ssh-agent:COMMENT         the same, by its comment
  pkcs11:URI                a key in a token, by a PKCS#11 URI (RFC 7512), such as
                            'pkcs11:serial=...;object=...?module-path=/usr/lib/...'
  exec:key=FILE COMMAND...  a command that signs, and the file with its public key.
                            It reads what is to be signed, and writes the bytes of the signature.
                            There is no shell; a JSON array of strings holds words with spaces

Examples:
  Write the public half of a key in the ssh-agent, for trustroot.toml
  $ trustroot key show ssh-agent:alice@example --output keys/alice.pub";

#[derive(Debug, clap::Args)]
#[command(after_help = KEY_REFERENCES)]
pub(crate) struct KeyShowOptions {
    /// Which key
    pub(crate) key: OsString,

    /// The file to write [default: print it]. One that is there is not replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// A file that holds the key's passphrase or the token's PIN [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Make a key, asking for its passphrase
  $ trustroot key generate alice.pem

  Make a key for a service, with the passphrase in a file
  $ trustroot key generate online.pem --type ecdsa-p256 --passphrase-file passphrase")]
pub(crate) struct KeyGenerateOptions {
    /// Where to write the secret key
    pub(crate) file: PathBuf,

    /// What kind of key; not every client of other projects reads `ecdsa-p384`
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t = KeyType::Ed25519)]
    pub(crate) kind: KeyType,

    /// A file that holds the passphrase for the new key [default: ask on the terminal, twice]
    #[arg(long, value_name = "FILE", conflicts_with = "unencrypted")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Do not encrypt the secret key: for throwaway keys, or where the medium is encrypted
    #[arg(long)]
    pub(crate) unencrypted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// Post-quantum (FIPS 204); not in builds with ring alone
    #[value(name = "ml-dsa-65")]
    MlDsa65,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  See the fingerprint of a public key
  $ trustroot key inspect alice.pub

  See for which roles a root lists it
  $ trustroot key inspect alice.pub --delegator 1.root.json")]
pub(crate) struct KeyInspectOptions {
    /// A secret or public key, as a PEM file
    pub(crate) file: PathBuf,

    /// A root or targets file in which the key is looked up, unverified
    #[arg(long, value_name = "METADATA")]
    pub(crate) delegator: Option<PathBuf>,
}

fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "expected a time such as 2026-08-22T00:00:00Z".to_owned())
}

fn parse_time_or_date(text: &str) -> Result<DateTime<Utc>, String> {
    parse_time(text)
        .or_else(|_| parse_time(&format!("{text}T00:00:00Z")))
        .map_err(|_| "expected a date such as 2026-08-22, or a time such as 2026-08-22T12:00:00Z".to_owned())
}

/// A number and `s`, `m`, `h` or `d`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and a unit, such as 30s, 10m, 12h or 3d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(expected()),
    };
    let digits = &text[..text.len() - 1];
    let number: u64 = digits.parse().map_err(|_| expected())?;
    // A hundred years, so that every sum with a time is one.
    number
        .checked_mul(unit)
        .filter(|seconds| *seconds <= 36_525 * 86_400 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .map(Duration::from_secs)
        .ok_or_else(expected)
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if (1..=7 * 86_400).contains(&interval.as_secs()) {
        Ok(interval)
    } else {
        Err("an interval has 1 second to 7 days".to_owned())
    }
}

/// Up to half, as a fraction.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|digits| digits.parse::<u8>().ok()).filter(|number| *number <= 50);
    number.map(|number| f64::from(number) / 100.0).ok_or_else(|| "expected 0% to 50%".to_owned())
}

fn parse_target(text: &str) -> Result<TargetPath, String> {
    TargetPath::new(text).map_err(|error| error.to_string())
}

fn parse_sha256(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| "expected 64 hexadecimal digits".to_owned())?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// What each command is for, shortly and at length.
    fn purposes(command: &clap::Command, above: &str, said: &mut Vec<String>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = format!("{above} {}", command.get_name());
            let (short, long) = (command.get_about(), command.get_long_about());
            said.push(format!("{name}: {}\n{}", short.unwrap_or_default(), long.unwrap_or_default()));
            purposes(command, &name, said);
        }
    }

    #[test]
    fn what_a_command_is_for_is_not_changed_by_its_options() {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut command = Args::command();
        purposes(&command, "trustroot", &mut before);
        command.build();
        purposes(&command, "trustroot", &mut after);
        assert!(before.len() > 30, "{before:?}");
        assert_eq!(before, after);
    }
}
