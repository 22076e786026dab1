//! Keys in an ssh-agent: a client of its protocol (draft-ietf-sshm-ssh-agent), as far as listing and signing go.
//!
//! Whoever listens at the socket is not trusted: replies are bounded in length and time, and what is said to be a
//! signature is verified by the caller of [`Signer::attempt`]. Each question has a connection of its own, so that an agent
//! that was restarted, or an error before, does not matter.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::reference::AgentKey;
use super::ssh_wire::{Reader, fingerprint, metadata_signature, public_half, put};
use super::{Signer, SignerError, Task};
use crate::crypto::{Algorithm, PublicHalf, VerifyingKey};
use crate::metadata::PublicKey;
use crate::printable::Printable;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Flags of a sign request: which hash with RSA (RFC 8332).
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Longest reply that is read, in bytes: as much as OpenSSH's own agent writes.
const LONGEST_REPLY: u32 = 256 * 1024;

/// Most keys that are listed.
const MOST_IDENTITIES: u32 = 1000;

/// How long an agent may take to list its keys, or to sign: somebody may have to confirm it.
const LIMIT: Duration = Duration::from_secs(60);

/// An ssh-agent.
#[derive(Debug, Clone)]
pub struct Agent {
    socket: PathBuf,
    limit: Duration,
}

/// A key that an agent has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentIdentity {
    /// As `ssh-add -l` shows it: `SHA256:` and 43 characters.
    pub fingerprint: String,
    /// What the agent calls it. Anybody who can reach the agent may have written this.
    pub comment: String,
    half: Result<PublicHalf, &'static str>,
    blob: Vec<u8>,
}

impl AgentIdentity {
    /// The key as metadata lists it; or why metadata cannot list it.
    ///
    /// # Errors
    /// In words.
    pub fn public(&self) -> Result<&PublicKey, &'static str> {
        self.half.as_ref().map(|half| &half.public).map_err(|why| *why)
    }

    fn is(&self, key: &AgentKey) -> bool {
        match key {
            AgentKey::Fingerprint(fingerprint) => self.fingerprint == *fingerprint,
            AgentKey::Comment(comment) => self.comment == *comment,
        }
    }
}

impl Agent {
    /// The agent that listens at a socket, which `SSH_AUTH_SOCK` names.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), limit: LIMIT }
    }

    /// Gives the agent this long for each answer, instead of a minute.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The keys that the agent has, in its order. A locked agent says that it has none.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer as an agent does.
    pub fn identities(&self) -> Result<Vec<AgentIdentity>, AgentError> {
        let reply = self.ask(vec![REQUEST_IDENTITIES])?;
        read_identities(&reply).ok_or_else(|| self.nonsense("its list of keys is malformed"))
    }

    /// The one key that is meant.
    ///
    /// # Errors
    /// When there is none, there are several, or it is of a kind that metadata cannot list.
    pub fn find(&self, wanted: &AgentKey) -> Result<AgentSigner, AgentError> {
        let mut found: Vec<AgentIdentity> = self.identities()?.into_iter().filter(|one| one.is(wanted)).collect();
        let identity = match found.len() {
            0 => return Err(AgentError::NoSuchKey { key: wanted.to_string() }),
            1 => found.remove(0),
            _ => return Err(AgentError::Several { key: wanted.to_string() }),
        };
        match identity.half {
            Ok(half) => {
                Ok(AgentSigner { agent: self.clone(), half, blob: identity.blob, fingerprint: identity.fingerprint })
            }
            Err(why) => Err(AgentError::Unusable { key: wanted.to_string(), why }),
        }
    }

    /// Sends one message and reads the reply, within the limit as a whole: also where the agent drips.
    fn ask(&self, message: Vec<u8>) -> Result<Vec<u8>, AgentError> {
        let (send, answer) = mpsc::channel();
        let (socket, limit) = (self.socket.clone(), self.limit);
        thread::spawn(move || send.send(exchange(&socket, limit, &message)));
        match answer.recv_timeout(limit) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.nonsense("its reply is longer than any"))
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.nonsense("it ended in the middle of a reply"))
            }
            Ok(Err(source)) => Err(AgentError::Unreachable { socket: self.shown(), source }),
            Err(_) => Err(AgentError::TimedOut { socket: self.shown(), seconds: limit.as_secs() }),
        }
    }

    fn shown(&self) -> String {
        Printable(&self.socket.to_string_lossy()).to_string()
    }

    fn nonsense(&self, what: &'static str) -> AgentError {
        AgentError::Nonsense { socket: self.shown(), what }
    }
}

fn exchange(socket: &Path, limit: Duration, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    // So that this thread ends, some time after nobody waits for it any more.
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let mut framed = Vec::with_capacity(message.len() + 4);
    put(&mut framed, message);
    stream.write_all(&framed)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST_REPLY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut reply = Vec::new();
    stream.take(length.into()).read_to_end(&mut reply)?;
    if reply.len() as u64 == u64::from(length) { Ok(reply) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_identities(reply: &[u8]) -> Option<Vec<AgentIdentity>> {
    let mut reader = Reader(reply);
    match reader.byte()? {
        IDENTITIES_ANSWER => {}
        _ => return None,
    }
    let count = reader.u32()?;
    if count > MOST_IDENTITIES {
        return None;
    }
    let mut identities = Vec::new();
    for _ in 0..count {
        let (blob, comment) = (reader.string()?, reader.string()?);
        identities.push(AgentIdentity {
            fingerprint: fingerprint(blob),
            comment: String::from_utf8_lossy(comment).into_owned(),
            half: public_half(blob),
            blob: blob.to_vec(),
        });
    }
    reader.is_empty().then_some(identities)
}

/// A key in an ssh-agent.
#[derive(Debug)]
pub struct AgentSigner {
    agent: Agent,
    half: PublicHalf,
    blob: Vec<u8>,
    fingerprint: String,
}

impl AgentSigner {
    /// As `ssh-add -l` shows it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Why the agent did not sign, as far as can be found out.
    fn refused(&self) -> AgentError {
        let there = self.agent.identities().is_ok_and(|keys| keys.iter().any(|key| key.blob == self.blob));
        let key = self.fingerprint.clone();
        if there { AgentError::Refused { key } } else { AgentError::Gone { key } }
    }
}

impl Signer for AgentSigner {
    fn public(&self) -> &PublicKey {
        &self.half.public
    }

    fn canonical_spki(&self) -> &[u8] {
        &self.half.spki
    }

    fn name(&self) -> String {
        format!("the ssh-agent's {} key {}", self.half.kind, self.fingerprint)
    }

    fn attempt(&self, task: &Task<'_>, algorithm: Algorithm) -> Result<Vec<u8>, SignerError> {
        let (kind, flags) = match algorithm {
            Algorithm::Ed25519 => ("ssh-ed25519", 0),
            Algorithm::EcdsaP256Sha256 => ("ecdsa-sha2-nistp256", 0),
            Algorithm::EcdsaP384Sha384 => ("ecdsa-sha2-nistp384", 0),
            Algorithm::EcdsaP521Sha512 => ("ecdsa-sha2-nistp521", 0),
            // The protocol has no other padding than PKCS#1 v1.5 (RFC 8332).
            Algorithm::RsaPkcs1Sha256 => ("rsa-sha2-256", RSA_SHA2_256),
            Algorithm::RsaPkcs1Sha512 => ("rsa-sha2-512", RSA_SHA2_512),
            _ => {
                return Err(SignerError::Scheme { signer: self.name(), scheme: task.listed.scheme().to_owned() });
            }
        };
        let mut message = vec![SIGN_REQUEST];
        put(&mut message, &self.blob);
        put(&mut message, task.payload);
        message.extend_from_slice(&flags.to_be_bytes());
        let reply = self.agent.ask(message)?;
        let mut reader = Reader(&reply);
        match reader.byte() {
            Some(SIGN_RESPONSE) => {}
            Some(FAILURE) => return Err(self.refused().into()),
            _ => return Err(self.agent.nonsense("its reply is of another kind").into()),
        }
        let signature = reader.string().filter(|_| reader.is_empty());
        let signature = signature.and_then(|blob| metadata_signature(blob, kind, modulus_bytes(task.listed)));
        signature.ok_or_else(|| self.agent.nonsense("its signature is malformed").into())
    }
}

/// How long the signatures of an RSA key are, in bytes.
fn modulus_bytes(listed: &PublicKey) -> usize {
    VerifyingKey::from_metadata(listed).ok().and_then(|key| key.rsa_modulus_bytes()).unwrap_or_default()
}

/// Why an ssh-agent did not sign, or did not say what it has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Nobody listens at the socket, or the connection broke.
    #[error("the ssh-agent at `{socket}` cannot be reached: {source}")]
    Unreachable {
        /// Where.
        socket: String,
        /// What the system says.
        source: io::Error,
    },
    /// The agent did not answer in time.
    #[error("the ssh-agent at `{socket}` had not answered after {seconds} s")]
    TimedOut {
        /// Where.
        socket: String,
        /// How long it was given.
        seconds: u64,
    },
    /// What listens at the socket does not speak the protocol, or lies about lengths.
    #[error("what listens at `{socket}` does not answer as an ssh-agent does: {what}")]
    Nonsense {
        /// Where.
        socket: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The agent does not have the key.
    #[error("the ssh-agent has no key `{key}`; a locked agent shows none")]
    NoSuchKey {
        /// What was asked for, escaped.
        key: String,
    },
    /// Several keys have the comment.
    #[error("the ssh-agent has several keys with the comment `{key}`")]
    Several {
        /// The comment, escaped.
        key: String,
    },
    /// The key is of a kind that metadata cannot list.
    #[error("the ssh-agent's key `{key}` cannot sign metadata: {why}")]
    Unusable {
        /// What was asked for, escaped.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// The key was there, and is not any more.
    #[error("the ssh-agent no longer has the key {key}: it was removed, or the agent was locked")]
    Gone {
        /// Its fingerprint.
        key: String,
    },
    /// The agent has the key and did not sign.
    #[error("the ssh-agent did not sign with the key {key}; where it asks before it signs, nobody agreed")]
    Refused {
        /// Its fingerprint.
        key: String,
    },
}

impl AgentError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Nonsense { .. } => "ssh-agent",
            Self::NoSuchKey { .. } | Self::Gone { .. } => "no-such-key",
            Self::Several { .. } => "which-key",
            Self::Unusable { .. } => "key-unsupported",
            Self::Refused { .. } => "signer-refused",
        }
    }

    /// Whether the agent, or what was asked of it, is to blame; not a circumstance that may pass.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Nonsense { .. })
    }
}
