//! `trustroot ceremony invite`, `accept`, `admit`: how somebody comes to hold a key.

use std::fmt::Write as _;
use std::io::Write as _;

use chrono::TimeDelta;
use serde::Serialize;
use trustroot::Line;
use trustroot::ceremony::{self, Answer, CeremonyError, Invitation, digest_groups, digest_words};
use trustroot::crypto::sha256;
use trustroot::example_keys::example_key_name;
use trustroot::repository::RepositoryError;
use trustroot::signers::Signer;

use super::super::maintain::{ceremony_failed, open, repository_failed, role};
use super::air_gap::{exists, write_once};
use super::confirm::{Shown, confirm};
use super::read_signed;
use super::review::{rows_of_words, said};
use crate::args::{CeremonyAcceptOptions, CeremonyAdmitOptions, CeremonyInviteOptions};
use crate::keys::{KeyOptions, create_public, open_key};
use crate::output::{self, Show, ShownPath};
use crate::registered::{Purpose, check};
use crate::report::{Outcome, Report};
use crate::ui::{Session, read_named, show_path};

/// Longest invitation or answer that is read, in bytes.
const LONGEST: u64 = 64 << 10;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Invited {
    invitation: ShownPath,
    person: String,
    roles: Vec<String>,
    repository: Option<String>,
    expires: String,
    invitation_sha256: String,
    words: Vec<String>,
    #[serde(skip)]
    text: String,
}

impl Show for Invited {
    fn text(&self) -> String {
        format!(
            "wrote {}: {} is invited to {}, until {}\n{}next: {} compares these words with you, and runs `trustroot ceremony \
             accept {} --key KEY -o ANSWER`\n",
            self.invitation,
            self.person,
            self.roles.join(", "),
            self.expires,
            self.text,
            self.person,
            self.invitation
        )
    }
}

pub(super) fn invite(session: &Session, options: &CeremonyInviteOptions) -> Result<(), Report> {
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let roles = options.role.iter().map(|name| invited_role(name)).collect::<Result<Vec<_>, _>>()?;
    if options.output.exists() {
        return Err(exists(&options.output).still("nobody was invited"));
    }
    let period = TimeDelta::from_std(options.expires_in.duration()).unwrap_or(TimeDelta::days(1));
    let said = (options.by.as_str(), options.text.as_deref());
    let expires = session.start.time() + period;
    let invitation = ceremony::invite(&copy, &signed, &options.person, &roles, said, expires)
        .map_err(|error| ceremony_failed(&error))?;
    write_once(&options.output, invitation.to_json().as_bytes())?;
    let digest = invitation.digest();
    let invited = Invited {
        invitation: ShownPath::of(&options.output),
        person: invitation.person.clone(),
        roles: invitation.roles.clone(),
        repository: invitation.repository.clone(),
        expires: invitation.expires.clone(),
        invitation_sha256: hex::encode(digest),
        words: digest_words(&digest),
        text: digest_text(&digest),
    };
    output::show(session.format, &invited)
}

/// A role that people are invited to; the online ones too, for whoever keeps their machines.
fn invited_role(name: &str) -> Result<trustroot::metadata::RoleName, Report> {
    match name {
        "snapshot" => Ok(trustroot::metadata::RoleName::Snapshot),
        "timestamp" => Ok(trustroot::metadata::RoleName::Timestamp),
        name => role(name),
    }
}

fn digest_text(digest: &[u8; 32]) -> String {
    let text = format!("  invitation sha256\n    {}\n  in words, to compare aloud\n", digest_groups(digest));
    text + &rows_of_words(&digest_words(digest), "    ")
}

/// What somebody takes on, before they agree. All of it is a claim.
fn invitation_text(invitation: &Invitation) -> String {
    let occasion = if invitation.rehearsal { "REHEARSAL: " } else { "" };
    let mut text = format!("{occasion}INVITATION of {}, signed by nobody\n", invitation.person);
    let first_root = match &invitation.repository {
        Some(digest) => format!("first root sha256 {digest}"),
        None => "which has no root yet".to_owned(),
    };
    let _ = writeln!(text, "  repository    {}, {first_root}", said(&invitation.repository_name));
    let _ = writeln!(text, "  invited by    {}", invitation.invited_by);
    let _ = writeln!(text, "  good until    {}", Line(&invitation.expires));
    if let Some(more) = &invitation.text {
        let _ = writeln!(text, "  says          {}", said(more));
    }
    text.push_str("you would take on\n");
    for role in &invitation.roles {
        let what = match role.as_str() {
            "root" => "to say who holds which key: enough keys of root can replace all others".to_owned(),
            "targets" => {
                "to say which namespaces may speak for which builders, and which files are distributed".to_owned()
            }
            "snapshot" => "to say which versions belong together: a key that is online".to_owned(),
            "timestamp" => "to say what is current: a key that is online".to_owned(),
            namespace => format!("to say which keys and levels the builders of the namespace {namespace} have"),
        };
        let _ = writeln!(text, "  {role:<12}  {what}");
    }
    text.push_str(
        "  and to keep the key safe, to answer when a ceremony is held, and to say at once when the key is lost\n",
    );
    text
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    answer: ShownPath,
    person: String,
    roles: Vec<String>,
    repository: Option<String>,
    key: String,
    next: String,
}

impl Show for Accepted {
    fn text(&self) -> String {
        format!(
            "wrote {}: {} takes on {}\n  key  sha256 {}\nnext: {}\n",
            self.answer,
            self.person,
            self.roles.join(", "),
            self.key,
            self.next
        )
    }
}

pub(super) fn accept(session: &Session, options: &CeremonyAcceptOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let bytes = read_named(&options.invitation, LONGEST)?;
    let invitation = Invitation::parse(&bytes).map_err(|error| failed(error.into()))?;
    let digest = invitation.digest();
    // What is asked goes where the questions go.
    let shown = format!("{}{}", invitation_text(&invitation), digest_text(&digest));
    let _ = anstream::stderr().write_all(shown.as_bytes());
    invitation.check_expiry(session.start.time()).map_err(|error| failed(error.into()))?;
    if options.output.exists() {
        return Err(exists(&options.output).still("nothing was signed"));
    }
    let shown = Shown {
        digest: &digest,
        what: "invitation",
        rehearsal: invitation.rehearsal,
        elsewhere: "who invites you",
        words: "as whoever invites you reads them",
        option: "--invitation-sha256",
    };
    confirm(session, &shown, options.invitation_sha256.as_ref())?;
    let key = open_key(session, &options.key)?;
    if !options.trial
        && let Some(name) = example_key_name(key.canonical_spki())
    {
        let holder = invitation.person.clone();
        return Err(repository_failed(&RepositoryError::ExampleKey { holder, key: name }).still("nothing was signed"));
    }
    if let Some(repository) = invitation.repository.as_ref().and_then(|digest| digest_of(digest)) {
        let (repository, rehearsal) = (Some(repository), invitation.rehearsal);
        let purpose = Purpose { repository, first_root: None, payload: digest, rehearsal, another_first_root: false };
        check(session, key.canonical_spki(), &purpose)?;
    }
    let answer = invitation.answer(&*key).map_err(failed)?;
    create_public(&options.output, answer.to_json().as_bytes())?;
    let accepted = Accepted {
        answer: ShownPath::of(&options.output),
        person: invitation.person.clone(),
        roles: invitation.roles.clone(),
        repository: invitation.repository.clone(),
        key: hex::encode(sha256(key.canonical_spki())),
        next: format!(
            "send it back, and read out the key's digest; there, `trustroot ceremony admit {} --vouched-by PERSON`",
            show_path(&options.output)
        ),
    };
    output::show(session.format, &accepted)
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LetIn {
    person: String,
    roles: Vec<String>,
    key: String,
    vouched_by: Option<String>,
    /// Whether that is signed.
    vouch_signed: bool,
    files: Vec<ShownPath>,
    next: String,
}

impl Show for LetIn {
    fn text(&self) -> String {
        let mut text =
            format!("let in {} for {}\n  key         sha256 {}\n", self.person, self.roles.join(", "), self.key);
        let _ = match (&self.vouched_by, self.vouch_signed) {
            (Some(by), true) => writeln!(text, "  vouched by  {by}, signed"),
            (Some(by), false) => writeln!(text, "  vouched by  {by}, who did not sign that: `--key` does"),
            (None, _) => writeln!(text, "  vouched by  nobody: nobody holds a key yet"),
        };
        for file in &self.files {
            let _ = writeln!(text, "  wrote       {file}");
        }
        let _ = writeln!(text, "next: {}", self.next);
        text
    }
}

pub(super) fn admit(session: &Session, options: &CeremonyAdmitOptions) -> Result<(), Report> {
    if session.time_is_chosen {
        let headline = "whether an invitation has expired is judged now, not at a time of your choice";
        return Err(Report::new(Outcome::WrongQuestion, "chosen-time", headline).hint("leave out `--at`"));
    }
    let mut copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let bytes = read_named(&options.answer, LONGEST)?;
    let roles = Answer::parse(&bytes).map_err(|error| ceremony_failed(&error.into()))?.invitation.roles;
    let key: Option<Box<dyn Signer>> = match &options.key {
        Some(key) => {
            let key = KeyOptions { key: key.clone(), passphrase_file: options.passphrase_file.clone() };
            Some(open_key(session, &key)?)
        }
        None => None,
    };
    let voucher = options.vouched_by.as_deref().map(|by| (by, key.as_deref()));
    let admitted = ceremony::admit(&mut copy, &signed, &bytes, voucher, session.start.time())
        .map_err(|error| ceremony_failed(&error))?;
    let event = if roles.iter().any(|role| ["root", "targets", "snapshot", "timestamp"].contains(&role.as_str())) {
        "root"
    } else {
        "targets"
    };
    let let_in = LetIn {
        person: admitted.person,
        roles: admitted.roles,
        key: admitted.key,
        vouched_by: admitted.vouched_by,
        vouch_signed: key.is_some(),
        files: admitted.files.into_iter().map(ShownPath::of).collect(),
        next: format!("review trustroot.toml and its thresholds, then `trustroot ceremony start {event}`"),
    };
    output::show(session.format, &let_in)
}
