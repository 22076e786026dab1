//! How somebody comes to hold a key: they are invited, answer with a public key and proof that they have the secret half,
//! and somebody who holds a key vouches for them.
//!
//! An invitation is signed by nobody; whoever is invited compares its digest with who invites them. An answer proves one
//! thing: whoever holds the key has answered this invitation. That the right person holds it is a voucher's word.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::CeremonyError;
use super::event::role_of;
use crate::crypto::{VerifyingKey, metadata_key, random, sha256};
use crate::metadata::{HashAlgorithm, Occasion, PublicKey, RoleName, Version, canonical_json};
use crate::printable::{Printable, PrintableLines};
use crate::signers::{Signer, Task};

/// The media type of an invitation.
pub const INVITATION_MEDIA_TYPE: &str = "application/vnd.trustroot.invitation.v1";
/// The media type of an answer to one.
pub const ANSWER_MEDIA_TYPE: &str = "application/vnd.trustroot.answer.v1";
/// The media type of a voucher's word.
pub const VOUCH_MEDIA_TYPE: &str = "application/vnd.trustroot.vouch.v1";

/// Longest file of an invitation, of an answer or of a voucher's word that is read, in bytes.
pub(super) const LONGEST: u64 = 64 << 10;
/// Longest text of an invitation, in characters.
const LONGEST_TEXT: usize = 1000;
/// Most roles of an invitation.
const MOST_ROLES: usize = 100;

/// How the bytes begin that prove possession of a key. Metadata, envelopes and statements of other makes begin otherwise
/// (`{`, `DSSEv1`, `SSHSIG`), so that a signature over the one is never one over the other.
const PROOF: &str = "trustroot: the holder of this key answers an invitation, v1\n";
/// How the bytes begin that a voucher signs.
const WORD: &str = "trustroot: a keyholder vouches for the holder of a key, v1\n";

/// Why an invitation, an answer to it or a voucher's word is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// A file is not what it should be.
    #[error("this is not {what} that is taken: {}", PrintableLines(.problem))]
    Malformed {
        /// `an invitation` or `an answer`.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The invitation was good until then.
    #[error("the invitation has expired, on {}", Printable(.expires))]
    Expired {
        /// When.
        expires: String,
    },
    /// The invitation that is answered does not lie in the working copy, or lies there otherwise.
    #[error("{} has not been invited so: the invitation that is answered is none of this working copy's", Printable(.person))]
    NotInvited {
        /// Who answers.
        person: String,
    },
    /// The invitation has been answered with another key.
    #[error("the invitation of {} has been answered already, with another key", Printable(.person))]
    Answered {
        /// Who was invited.
        person: String,
    },
    /// The answer is not signed by the key that it brings.
    #[error("the answer is not signed by the key that it brings")]
    NotProved,
    /// Somebody holds the key already.
    #[error("{} holds this key already, or has held it", Printable(.holder))]
    KeyTaken {
        /// Who.
        holder: String,
    },
    /// There is somebody of that name.
    #[error("{} is among the people already", Printable(.person))]
    PersonThere {
        /// The name.
        person: String,
    },
    /// Whoever is named cannot vouch or invite.
    #[error("{} cannot vouch for {}: {problem}", Printable(.by), Printable(.person))]
    NotAVoucher {
        /// Who is named.
        by: String,
        /// For whom.
        person: String,
        /// Why not.
        problem: &'static str,
    },
}

impl InvitationError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed-invitation",
            Self::Expired { .. } => "invitation-expired",
            Self::NotInvited { .. } => "not-invited",
            Self::Answered { .. } => "answered-already",
            Self::NotProved => "not-proved",
            Self::KeyTaken { .. } => "key-taken",
            Self::PersonThere { .. } => "person-there",
            Self::NotAVoucher { .. } => "not-a-voucher",
        }
    }
}

/// An invitation to hold a key. Signed by nobody: every field is a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Invitation {
    media_type: String,
    /// The SHA-256 of the repository's first root, in hexadecimal; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Whether it is to a rehearsal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// What the repository is called.
    pub repository_name: String,
    /// Who is invited, as `trustroot.toml` will name them.
    pub person: String,
    /// The roles that they are to sign.
    pub roles: Vec<String>,
    /// Who invites them.
    pub invited_by: String,
    /// Until when they may answer (RFC 3339).
    pub expires: String,
    /// What tells this invitation from any other.
    pub nonce: String,
    /// What else is said to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Whether somebody may be called so: as `trustroot.toml` has it, and as a file is.
pub(super) fn is_name(person: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    (1..=64).contains(&person.len()) && person.chars().all(good) && !person.starts_with(['.', '-'])
}

impl Invitation {
    /// Invites somebody.
    ///
    /// # Errors
    /// When a name or role cannot be one, or a text is too long; or the system has no randomness.
    pub fn new(
        (repository, repository_name, occasion): (Option<[u8; 32]>, &str, Occasion),
        person: &str,
        roles: &[RoleName],
        invited_by: &str,
        expires: DateTime<Utc>,
        text: Option<&str>,
    ) -> Result<Self, CeremonyError> {
        let mut nonce = [0; 32];
        random(&mut nonce)?;
        let invitation = Self {
            media_type: INVITATION_MEDIA_TYPE.to_owned(),
            repository: repository.map(hex::encode),
            rehearsal: occasion == Occasion::Rehearsal,
            repository_name: repository_name.to_owned(),
            person: person.to_owned(),
            roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
            invited_by: invited_by.to_owned(),
            expires: expires.to_rfc3339_opts(SecondsFormat::Secs, true),
            nonce: hex::encode(nonce),
            text: text.map(str::to_owned),
        };
        Ok(invitation.checked()?)
    }

    /// Reads an invitation.
    ///
    /// # Errors
    /// [`InvitationError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InvitationError> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        read.checked()
    }

    fn checked(self) -> Result<Self, InvitationError> {
        let wrong = |problem: &str| Err(malformed(problem));
        if self.media_type != INVITATION_MEDIA_TYPE {
            return wrong("it is of another kind");
        }
        if !is_name(&self.person) || !is_name(&self.invited_by) {
            return wrong(
                "a name has 1 to 64 letters, digits, `.`, `_`, `@`, `+` and `-`, and begins with none of `.` and `-`",
            );
        }
        if self.roles.is_empty() || self.roles.len() > MOST_ROLES {
            return wrong("it is to no role, or to too many");
        }
        // One word each: what is signed lists them on one line.
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !self.roles.iter().all(|role| (1..=64).contains(&role.len()) && role.chars().all(good)) {
            return wrong("a role's name has 1 to 64 letters, digits, `.`, `_` and `-`");
        }
        let digests = self.repository.iter().chain([&self.nonce]);
        if !digests.into_iter().all(|digest| HashAlgorithm::Sha256.is_digest(digest)) {
            return wrong("its nonce, or the digest of its repository, does not have 64 hexadecimal digits");
        }
        if DateTime::parse_from_rfc3339(&self.expires).is_err() {
            return wrong("its expiry is not a time");
        }
        let short = |text: &str, most: usize| text.chars().count() <= most;
        if !short(&self.repository_name, 100) || !self.text.as_deref().is_none_or(|text| short(text, LONGEST_TEXT)) {
            return wrong("its text is too long");
        }
        Ok(self)
    }

    /// The invitation as a file.
    pub fn to_json(&self) -> String {
        pretty(self)
    }

    /// What people compare: the SHA-256 of its canonical form.
    pub fn digest(&self) -> [u8; 32] {
        let json = serde_json::to_vec(self).expect("strings alone");
        sha256(&canonical_json::canonicalize(&json).expect("what serde writes is JSON"))
    }

    /// Refuses one that is too old.
    ///
    /// # Errors
    /// [`InvitationError::Expired`].
    pub fn check_expiry(&self, now: DateTime<Utc>) -> Result<(), InvitationError> {
        let expires = DateTime::parse_from_rfc3339(&self.expires).expect("checked when it was read");
        if expires <= now { Err(InvitationError::Expired { expires: self.expires.clone() }) } else { Ok(()) }
    }

    /// What the holder of a key signs: everything that they agree to, and the key.
    fn statement(&self, canonical_spki: &[u8]) -> Vec<u8> {
        format!(
            "{PROOF}invitation sha256 {}\nrepository {}\noccasion {}\nperson {}\nroles {}\nnonce {}\nkey sha256 {}\n",
            hex::encode(self.digest()),
            self.repository.as_deref().unwrap_or("none"),
            if self.rehearsal { "rehearsal" } else { "meant" },
            self.person,
            self.roles.join(" "),
            self.nonce,
            hex::encode(sha256(canonical_spki))
        )
        .into_bytes()
    }

    /// Answers with a key, after the invitation has been shown and agreed to.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn answer(&self, key: &dyn Signer) -> Result<Answer, CeremonyError> {
        let spki = key.canonical_spki();
        let listed = metadata_key(spki).map_err(|problem| malformed(problem.to_string()))?;
        let sig = sign("invitation", &self.statement(spki), &listed, key)?;
        let media_type = ANSWER_MEDIA_TYPE.to_owned();
        Ok(Answer { media_type, invitation: self.clone(), public_key: hex::encode(spki), sig })
    }
}

/// Signers that tell their holder what they sign say this word instead of a role's name.
fn sign(what: &str, payload: &[u8], listed: &PublicKey, key: &dyn Signer) -> Result<String, CeremonyError> {
    let role = RoleName::delegated(what).expect("not the name of a top-level role");
    let version = Version::new(1).expect("1 is not zero");
    Ok(hex::encode(key.sign(&Task { role: &role, version, payload, listed })?))
}

fn malformed(problem: impl Into<String>) -> InvitationError {
    InvitationError::Malformed { what: "an invitation", problem: problem.into() }
}

fn malformed_answer(problem: impl Into<String>) -> InvitationError {
    InvitationError::Malformed { what: "an answer", problem: problem.into() }
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("strings alone");
    text.push('\n');
    text
}

/// An answer to an invitation: a public key, and a signature by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Answer {
    media_type: String,
    /// What is answered, as it came.
    pub invitation: Invitation,
    /// The key's canonical SubjectPublicKeyInfo, in hexadecimal.
    pub public_key: String,
    /// The proof, in hexadecimal.
    pub sig: String,
}

impl Answer {
    /// Reads an answer. Nothing is verified.
    ///
    /// # Errors
    /// [`InvitationError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InvitationError> {
        let mut read: Self = serde_json::from_slice(bytes).map_err(|error| malformed_answer(error.to_string()))?;
        if read.media_type != ANSWER_MEDIA_TYPE {
            return Err(malformed_answer("it is of another kind"));
        }
        read.invitation = read.invitation.checked()?;
        Ok(read)
    }

    /// The answer as a file.
    pub fn to_json(&self) -> String {
        pretty(self)
    }

    /// The key that it brings. Nothing is verified.
    ///
    /// # Errors
    /// When there is no key that can be used.
    pub(super) fn key(&self) -> Result<VerifyingKey, InvitationError> {
        let bad = |_| malformed_answer("its key is not hexadecimal");
        let listed = metadata_key(&hex::decode(&self.public_key).map_err(bad)?)
            .map_err(|problem| malformed_answer(problem.to_string()))?;
        VerifyingKey::from_metadata(&listed).map_err(|problem| malformed_answer(problem.to_string()))
    }

    /// The key, once the proof is verified.
    ///
    /// # Errors
    /// [`InvitationError::NotProved`], or when there is no key that can be used.
    pub(super) fn proved(&self) -> Result<VerifyingKey, InvitationError> {
        let key = self.key()?;
        let sig = hex::decode(&self.sig).unwrap_or_default();
        if !key.verifies(&self.invitation.statement(key.canonical_spki()), &sig) {
            return Err(InvitationError::NotProved);
        }
        Ok(key)
    }
}

/// A voucher's word that the right person holds a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Vouch {
    media_type: String,
    /// The SHA-256 of the answer's file, in hexadecimal.
    pub answer_sha256: String,
    /// Who vouches.
    pub by: String,
    /// When, by their machine (RFC 3339).
    pub at: String,
    /// Their signature, in hexadecimal; absent where this is only said of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Vouch {
    /// What somebody says of an answer: signed, where they sign.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub(super) fn of(
        answer: &[u8],
        by: &str,
        now: DateTime<Utc>,
        key: Option<&dyn Signer>,
    ) -> Result<Self, CeremonyError> {
        let mut vouch = Self {
            media_type: VOUCH_MEDIA_TYPE.to_owned(),
            answer_sha256: hex::encode(sha256(answer)),
            by: by.to_owned(),
            at: now.to_rfc3339_opts(SecondsFormat::Secs, true),
            sig: None,
        };
        if let Some(key) = key {
            let listed = metadata_key(key.canonical_spki()).map_err(|problem| malformed(problem.to_string()))?;
            vouch.sig = Some(sign("vouch", &vouch.statement(), &listed, key)?);
        }
        Ok(vouch)
    }

    /// Reads a voucher's word; `None` where this is something else. Nothing is verified.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let vouch: Self = serde_json::from_slice(bytes).ok()?;
        let time = DateTime::parse_from_rfc3339(&vouch.at).is_ok();
        let good = vouch.media_type == VOUCH_MEDIA_TYPE
            && HashAlgorithm::Sha256.is_digest(&vouch.answer_sha256)
            && is_name(&vouch.by)
            && time;
        good.then_some(vouch)
    }

    /// As a file.
    pub(super) fn to_json(&self) -> String {
        pretty(self)
    }

    /// The answer names the invitation, and with it repository, person, roles and key.
    fn statement(&self) -> Vec<u8> {
        format!("{WORD}answer sha256 {}\nby {}\nat {}\n", self.answer_sha256, self.by, self.at).into_bytes()
    }

    /// Whether this key signed it.
    pub(super) fn is_signed_by(&self, canonical_spki: &[u8]) -> bool {
        let key = metadata_key(canonical_spki).ok().and_then(|listed| VerifyingKey::from_metadata(&listed).ok());
        let sig = self.sig.as_ref().and_then(|sig| hex::decode(sig).ok());
        key.zip(sig).is_some_and(|(key, sig)| key.verifies(&self.statement(), &sig))
    }
}

/// The role that an invitation names, as this repository has it.
pub(super) fn invited_role(name: &str) -> Option<RoleName> {
    match name {
        "snapshot" => Some(RoleName::Snapshot),
        "timestamp" => Some(RoleName::Timestamp),
        name => role_of(name),
    }
}
