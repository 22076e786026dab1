//! What those may ask who keep a registry.

use std::ffi::OsString;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};
use trustroot::builders::BuildLevel;

use super::{parse_level, parse_sha256, parse_time};

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

    /// Also write the workflow with which this forge checks, finishes and publishes
    #[arg(long, value_enum, value_name = "FORGE")]
    pub(crate) ci: Option<Forge>,
}

/// A forge that keeps the working copy in git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Forge {
    Github,
    Gitlab,
}

/// Somebody and the file with their public key.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) person: String,
    pub(crate) file: PathBuf,
}

pub(super) fn parse_holder(text: &str) -> Result<Holder, String> {
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

    /// Accept that another payload of a new document's version has been signed: its full SHA-256
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256)]
    pub(crate) accept_sibling: Vec<[u8; 32]>,

    /// Publish although a witness is asked for and has not signed, for this reason, which the transcript names
    #[arg(long, value_name = "TEXT")]
    pub(crate) without_witness: Option<String>,

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
  $ trustroot check

  Keep a file for calendars, with the time at which each role is to be signed
  $ trustroot check --calendar roles.ics

  See for which roles a signing event is due
  $ trustroot check --due")]
pub(crate) struct CheckOptions {
    /// Also write when each role is to be signed as a file for calendars (iCalendar); the file is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) calendar: Option<PathBuf>,

    /// Only print the roles that time asks to be signed in an event, one on each line; exit status 0
    #[arg(long)]
    pub(crate) due: bool,

    /// Only print the files below `repository/` that nobody signed for, one on each line; exit status 0
    #[arg(long, conflicts_with_all = ["due", "calendar"])]
    pub(crate) strays: bool,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum KeyCommand {
    /// Check that a key was made in a YubiKey, by what the device says of it
    ///
    /// A YubiKey's PIV application certifies the keys that it has made, with a key that Yubico has certified. Says which
    /// device, which slot, and when it asks for PIN and touch. It does not say who holds it.
    Attested(KeyAttestedOptions),
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
    /// Forget which repository a key signs for
    ///
    /// A key that has signed for a repository on this machine is refused in any other, and one of a rehearsal in all that
    /// is meant. Forget that only when the key has ended there for good.
    ForgetRepository(KeyForgetOptions),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Let a key sign for another repository than it has signed for so far
  $ trustroot key forget-repository 7ab6…")]
pub(crate) struct KeyForgetOptions {
    /// The fingerprint of the key: the SHA-256 of its SubjectPublicKeyInfo, as `trustroot key inspect` shows it
    #[arg(value_name = "FINGERPRINT", value_parser = super::parse_sha256)]
    pub(crate) key: [u8; 32],
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

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Check what `yubico-piv-tool -a attest -s 9c` and `-a read-certificate -s f9` wrote
  $ trustroot key attested alice.pub --attestation 9c.pem --intermediate f9.pem")]
pub(crate) struct KeyAttestedOptions {
    /// The public key that is asked about, as a PEM file
    pub(crate) file: PathBuf,

    /// What the device says of it: a certificate in PEM, which those that lead to a root may follow
    #[arg(long, value_name = "FILE")]
    pub(crate) attestation: PathBuf,

    /// Certificates between that and a root, in PEM: that of the device's slot f9 [may be given several times]
    #[arg(long, value_name = "FILE")]
    pub(crate) intermediate: Vec<PathBuf>,

    /// A root to believe besides Yubico's of 2016, in PEM, that you have from its maker [may be given several times]
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Vec<PathBuf>,

    /// A root or targets file in which the key is looked up, unverified
    #[arg(long, value_name = "METADATA")]
    pub(crate) delegator: Option<PathBuf>,
}

/// The ways to name a key.
const KEY_REFERENCES: &str = "Keys:
  FILE, file:FILE           a PEM file
  ssh-agent:SHA256:...      a key in the ssh-agent, by its fingerprint
  ssh-agent:COMMENT         the same, by its comment
  pkcs11:URI                a key in a token, by a PKCS#11 URI (RFC 7512), such as
                            'pkcs11:serial=...;object=...?module-path=/usr/lib/...'
  awskms://[HOST]/KEY       a key in AWS KMS: its identifier, alias/NAME, or the ARN of either.
                            Credentials are found where every AWS tool finds them
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
