//! What those may ask who take part in a signing event.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Subcommand;
use trustroot::ceremony::EventName;

use super::maintainer::{Holder, WorkingCopyOptions, parse_holder};
use super::parse_sha256;
use crate::config::TrustName;
use crate::keys::KeyOptions;
use crate::period::Period;

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum CeremonyCommand {
    /// Propose the next version of a role, as the configuration has it
    ///
    /// Run again, it gives a running event a new proposal; what was signed before no longer counts.
    Start(CeremonyStartOptions),
    /// Show who has signed, who can still sign, and what to do next
    ///
    /// With `--format markdown` it is the comment for a pull request, with what each event would change. The same events
    /// give the same text, and nothing that a proposal says can be more than text in it.
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
    /// Propose over what is signed and configured now, keeping signatures where nothing has moved
    ///
    /// For when something else was finished while signatures were collected. Where the payload would be the same, every
    /// signature stays; else they are over something else, and it says what moved.
    Rebase(CeremonyRebaseOptions),
    /// Put an event that enough people have signed among what is signed
    Finish(CeremonyFinishOptions),
    /// Replay an event: verify everything again, and say what happened
    ///
    /// Reads the event's files and nothing else: no network, and with `--at` no clock. Every signature and every record is
    /// verified from the root that you trust, and every count made again. Ends with exit status 1 where something is
    /// missing or does not verify.
    Replay(CeremonyReplayOptions),
    /// Replay an event, and sign what happened as its witness
    ///
    /// Shows what `ceremony replay` shows, and signs the ends of the transcript, and with them everything before. A witness
    /// signs no role; root names them. Where it does, nothing is published that they have not witnessed.
    Witness(CeremonyWitnessOptions),
    /// Invite somebody to hold a key
    ///
    /// Writes one file for them. Nobody signs it: they compare its digest with you, by another way than it came.
    Invite(CeremonyInviteOptions),
    /// Answer an invitation with your public key, and proof that you have the secret one
    ///
    /// Shows what you would take on, and asks for four words of the invitation's digest. Needs nothing beside the invitation:
    /// no working copy, no network. What is signed can never be metadata.
    Accept(CeremonyAcceptOptions),
    /// Let in somebody who has answered an invitation
    ///
    /// Verifies the answer, files it with the voucher's word, and adds key and person to `trustroot.toml`. It takes effect with
    /// the next root, or for a namespace with the next targets, whose review says how the key came here.
    Admit(CeremonyAdmitOptions),
    /// Make a rehearsal: a copy of the working copy in which nothing that is signed is valid anywhere
    ///
    /// Every keyholder has another key there, and what has been signed so far is signed again by those keys, so that the next
    /// event can be rehearsed as it will be. All commands work in it but `publish`: its documents call themselves
    /// `rehearsal-root` and `rehearsal-targets`, which no client takes. The real keys are refused in it, and its keys in the
    /// working copy.
    Rehearse(CeremonyRehearseOptions),
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
  $ trustroot ceremony status

  Write the comment for a pull request
  $ trustroot ceremony status --format markdown

  See whether an event can still be finished without Carol's key
  $ trustroot ceremony status root-v2 --lost carol")]
pub(crate) struct CeremonyStatusOptions {
    /// Which event [default: all that are not finished]
    pub(crate) event: Option<EventName>,

    /// Somebody whose key is lost: say whether enough others can still sign
    #[arg(long, value_name = "PERSON", requires = "event")]
    pub(crate) lost: Vec<String>,

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

    /// Sign a first root although this key has signed another one: the same repository's, proposed anew
    #[arg(long)]
    pub(crate) another_first_root: bool,

    #[command(flatten)]
    pub(crate) key: KeyOptions,

    #[command(flatten)]
    pub(crate) pin: PinOptions,

    /// The payload's SHA-256, from a second machine: answers the question for the words
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256)]
    pub(crate) payload_sha256: Option<[u8; 32]>,

    /// For a device that signs nothing but metadata: do not sign the record of this step, which the transcript names
    #[arg(long)]
    pub(crate) no_record_signature: bool,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  See what happened when the second root was signed
  $ trustroot ceremony replay root-v2 --root-sha256 1b5c…")]
pub(crate) struct CeremonyReplayOptions {
    /// Which event
    pub(crate) event: EventName,

    #[command(flatten)]
    pub(crate) pin: PinOptions,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Witness the second root, after it was finished
  $ trustroot ceremony witness root-v2 --key walter.pem --root-sha256 1b5c…")]
pub(crate) struct CeremonyWitnessOptions {
    /// Which event
    pub(crate) event: EventName,

    #[command(flatten)]
    pub(crate) key: KeyOptions,

    #[command(flatten)]
    pub(crate) pin: PinOptions,

    /// The payload's SHA-256, as you heard it read aloud: answers the question for the words
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
  Go on after another root was finished
  $ trustroot ceremony rebase targets-v2")]
pub(crate) struct CeremonyRebaseOptions {
    /// Which event
    pub(crate) event: EventName,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Invite Erin to sign root and targets
  $ trustroot ceremony invite erin --role root,targets --by alice -o erin.invitation")]
pub(crate) struct CeremonyInviteOptions {
    /// Who is invited, as `trustroot.toml` will name them
    pub(crate) person: String,

    /// The roles that they are to sign
    #[arg(long, required = true, value_delimiter = ',')]
    pub(crate) role: Vec<String>,

    /// Who invites them: somebody of `trustroot.toml`, once there is anybody
    #[arg(long, value_name = "PERSON")]
    pub(crate) by: String,

    /// Where to write the invitation
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// How long they may take to answer
    #[arg(long, value_name = "PERIOD", default_value = "14d")]
    pub(crate) expires_in: Period,

    /// What else to say to them
    #[arg(long)]
    pub(crate) text: Option<String>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Answer with a key in a file
  $ trustroot ceremony accept erin.invitation --key erin.pem -o erin.answer")]
pub(crate) struct CeremonyAcceptOptions {
    /// The file of the invitation
    pub(crate) invitation: PathBuf,

    /// Where to write the answer
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) key: KeyOptions,

    /// The invitation's SHA-256, from who invites you: answers the question for the words
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha256)]
    pub(crate) invitation_sha256: Option<[u8; 32]>,

    /// Let the key be one of the throwaway keys that everybody has, for trials
    #[arg(long)]
    pub(crate) trial: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Let Erin in; Alice, who has heard her read out the key's digest, signs that it is hers
  $ trustroot ceremony admit erin.answer --vouched-by alice --key alice.pem")]
pub(crate) struct CeremonyAdmitOptions {
    /// The file of the answer
    pub(crate) answer: PathBuf,

    /// Who vouches that the right person holds the key: somebody of `trustroot.toml`, once there is anybody
    #[arg(long, value_name = "PERSON")]
    pub(crate) vouched_by: Option<String>,

    /// A key of theirs, to sign that: a PEM file, or what `trustroot key show --help` lists
    #[arg(long, value_name = "KEY", requires = "vouched_by")]
    pub(crate) key: Option<OsString>,

    /// A file that holds the key's passphrase or the token's PIN [default: ask on the terminal]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) working_copy: WorkingCopyOptions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Rehearse what comes next; Alice brings a token of her own for that
  $ trustroot ceremony rehearse ../rehearsal --keyholder alice=alice-rehearsal.pub")]
pub(crate) struct CeremonyRehearseOptions {
    /// Where to make it: a directory that is new or empty, outside of the working copy
    #[arg(value_name = "DIR")]
    pub(crate) rehearsal: PathBuf,

    /// A keyholder and the public key that they bring to the rehearsal; once for each of their keys. The others' keys are made
    #[arg(long, value_name = "PERSON=FILE", value_parser = parse_holder)]
    pub(crate) keyholder: Vec<Holder>,

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
