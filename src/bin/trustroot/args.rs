//! The command line.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Parser, Subcommand, ValueEnum};
use trustroot::metadata::TargetPath;

use crate::config::TrustName;

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
pub(crate) enum Command {
    /// Pin the root of a repository, or see what is pinned
    #[command(subcommand)]
    Trust(TrustCommand),
    Refresh(RefreshOptions),
    Get(GetOptions),
    Verify(VerifyOptions),
    Inspect(InspectOptions),
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
pub(crate) enum TrustCommand {
    Add(Box<TrustAddOptions>),
    /// List the repositories that are trusted
    List,
    /// Forget a repository, its pin and what was kept of it
    ///
    /// What is forgotten no longer protects against rollback: pin again only from a root that you checked.
    Remove {
        /// What the repository is called here
        name: TrustName,
    },
}

/// Pin the root of a repository
///
/// The root file, or its digest, must reach you by a way that you trust more than the repository: with your
/// operating system, from colleagues, from a ceremony's record. Nothing is downloaded unless only the digest is
/// given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Pin a repository by a root file
  $ trustroot trust add example --url https://keys.example.org --root 1.root.json

  Pin a repository by the digest of its first root, which is downloaded
  $ trustroot trust add example --url https://keys.example.org --root-sha256 1b5c…")]
pub(crate) struct TrustAddOptions {
    /// What to call the repository here: lower-case letters, digits, `.`, `_` and `-`
    pub(crate) name: TrustName,

    /// Where its metadata is: the place that holds `timestamp.json`, by http, https or file URL, or as a directory
    #[arg(long)]
    pub(crate) url: String,

    /// Where its targets are [default: `targets` below the URL]
    #[arg(long, value_name = "URL")]
    pub(crate) target_url: Option<String>,

    /// The root metadata to trust
    #[arg(long, value_name = "FILE", required_unless_present = "root_sha256")]
    pub(crate) root: Option<PathBuf>,

    /// The SHA-256 of the root metadata to trust, in hexadecimal
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256)]
    pub(crate) root_sha256: Option<[u8; 32]>,

    /// The version of the root to download where no file is given
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "root", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) root_version: u64,
}

/// Bring trusted metadata up to date
///
/// Follows the chain of roots from the pinned one, then timestamp, snapshot and targets. What is refused changes
/// nothing; running it again is always safe.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Refresh everything that is trusted
  $ trustroot refresh

  See what one repository said at a time in the past, without keeping it
  $ trustroot refresh example --at 2026-08-22T00:00:00Z")]
pub(crate) struct RefreshOptions {
    /// Which repository [default: all of them]
    pub(crate) name: Option<TrustName>,
}

/// Download a target that a trusted role names
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Download a file of keys
  $ trustroot get registry.npmjs.org/keys.json --trust sigstore

  Print it instead
  $ trustroot get registry.npmjs.org/keys.json --output -")]
pub(crate) struct GetOptions {
    /// The target's path in the repository
    #[arg(value_parser = parse_target)]
    pub(crate) target: TargetPath,

    /// Which repository [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<TrustName>,

    /// Where to write it; `-` prints it [default: its name, in this directory]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Check that an attestation about a file was signed with a key that a trusted repository delivers
///
/// The keys are read from a target of npm's `keys.json` shape. Exit status 0 means yes, 1 no, 3 that it could not be
/// told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Check a package against the key of its registry
  $ trustroot verify sigstore-2.3.1.tgz --attestation sigstore-2.3.1.json \\
      --key-target registry.npmjs.org/keys.json --trust sigstore")]
pub(crate) struct VerifyOptions {
    /// The file that the attestation is about
    pub(crate) artifact: PathBuf,

    /// The attestation: a DSSE envelope, a Sigstore bundle, npm's attestations document, or lines of these
    #[arg(long, value_name = "FILE")]
    pub(crate) attestation: PathBuf,

    /// The target that holds the keys
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    pub(crate) key_target: TargetPath,

    /// What the attestation must say, by the type of its predicate [default: anything]
    ///
    /// Without this, a registry's word that it published a file counts as much as a builder's word on how it was
    /// built. The verdict shows which it was.
    #[arg(long, value_name = "URI")]
    pub(crate) predicate_type: Option<String>,

    /// What the keys must be meant for
    #[arg(long, value_name = "USAGE", default_value = "npm:attestations")]
    pub(crate) key_usage: String,

    /// Which repository [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) trust: Option<TrustName>,

    /// The target that names the transparency logs whose word on the signing time is taken
    ///
    /// A repository without this target still verifies; the signing time is then unknown.
    #[arg(long, value_name = "TARGET", value_parser = parse_target, default_value = "trusted_root.json")]
    pub(crate) log_target: TargetPath,
}

/// Show what a metadata file says and who signed it, without trusting it
///
/// Everything shown comes from the file itself and is labelled as unverified.
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

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    Generate(KeyGenerateOptions),
    Inspect(KeyInspectOptions),
}

/// Make a secret key
///
/// Writes the secret key, encrypted and for its owner alone, and its public half with the ending `.pub`. A file that
/// is there already is never replaced.
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
}

/// Show what a key file holds, without its secret
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

fn parse_target(text: &str) -> Result<TargetPath, String> {
    TargetPath::new(text).map_err(|error| error.to_string())
}

fn parse_sha256(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| "expected 64 hexadecimal digits".to_owned())?;
    Ok(digest)
}
