//! The command line. What a command is for stands at its variant: its options are only put together where it is the one that
//! was asked for.

mod ceremony;
mod client;
mod maintainer;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::ceremony::{
    CeremonyAcceptOptions, CeremonyAdmitOptions, CeremonyCollectOptions, CeremonyCommand, CeremonyFinishOptions,
    CeremonyInviteOptions, CeremonyRebaseOptions, CeremonyRehearseOptions, CeremonyReplayOptions,
    CeremonyRequestOptions, CeremonyResponseOptions, CeremonyReviewOptions, CeremonySignOptions, CeremonyStartOptions,
    CeremonyStatusOptions, CeremonyWithdrawOptions, CeremonyWitnessOptions, PinOptions,
};
pub(crate) use self::client::{
    BundleCommand, BundleExportOptions, BundleImportOptions, ChangesOptions, GetOptions, InspectOptions, LookupOptions,
    PolicyOptions, RefreshOptions, StatusOptions, TrustAddOptions, TrustCommand, TrustSetOptions, VerifyOptions,
};
pub(crate) use self::maintainer::{
    BuilderAddKeyOptions, BuilderAddOptions, BuilderCommand, CheckOptions, Forge, Holder, InitOptions,
    KeyAttestedOptions, KeyCommand, KeyForgetOptions, KeyGenerateOptions, KeyInspectOptions, KeyListOptions,
    KeyShowOptions, KeyType, NamespaceAddOptions, NamespaceCommand, PublishOptions, ServeOptions, WorkingCopyOptions,
};
use chrono::{DateTime, Utc};
use clap::{Parser, Subcommand, ValueEnum};
use trustroot::builders::BuildLevel;
use trustroot::metadata::TargetPath;

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

    /// Print text for people, one JSON document, errors included (but for errors of usage), or Markdown, which
    /// `ceremony status` alone has
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
    // What a forge shows as a comment. Errors are text.
    Markdown,
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
    /// Check a working copy: what is wrong, what is not signed yet, and what is due when
    ///
    /// A role is due when its signing window opens (`sign-within-days`), or earlier where past signing events took long.
    /// Snapshot and timestamp are looked at as they were published last. Exit status 1 means that something is to be done;
    /// the code says whether a role has expired, one is due, or something else is to be done.
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

pub(super) fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "expected a time such as 2026-08-22T00:00:00Z".to_owned())
}

pub(super) fn parse_time_or_date(text: &str) -> Result<DateTime<Utc>, String> {
    parse_time(text)
        .or_else(|_| parse_time(&format!("{text}T00:00:00Z")))
        .map_err(|_| "expected a date such as 2026-08-22, or a time such as 2026-08-22T12:00:00Z".to_owned())
}

/// A number and `s`, `m`, `h` or `d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
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

pub(super) fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if (1..=7 * 86_400).contains(&interval.as_secs()) {
        Ok(interval)
    } else {
        Err("an interval has 1 second to 7 days".to_owned())
    }
}

/// Up to half, as a fraction.
pub(super) fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|digits| digits.parse::<u8>().ok()).filter(|number| *number <= 50);
    number.map(|number| f64::from(number) / 100.0).ok_or_else(|| "expected 0% to 50%".to_owned())
}

pub(super) fn parse_target(text: &str) -> Result<TargetPath, String> {
    TargetPath::new(text).map_err(|error| error.to_string())
}

pub(super) fn parse_sha256(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| "expected 64 hexadecimal digits".to_owned())?;
    Ok(digest)
}

pub(super) fn parse_level(text: &str) -> Result<BuildLevel, String> {
    BuildLevel::from_short(text).ok_or_else(|| "expected L0, L1, L2 or L3".to_owned())
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
