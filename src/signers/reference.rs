//! How a user says which key signs: a file, or where else it is. Read from the command line; never holds a secret.

use std::path::PathBuf;
use std::str::FromStr;

#[cfg(feature = "kms-aws")]
use super::aws_kms::AwsKmsKey;
use super::exec::ExecCommand;
#[cfg(feature = "pkcs11")]
use super::pkcs11::Pkcs11Uri;
use crate::printable::Printable;

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyReference {
    /// A PEM file: `file:FILE`, or a path that does not begin with one of the names of the others.
    File(PathBuf),
    /// `ssh-agent:SHA256:…` or `ssh-agent:COMMENT`
    SshAgent(AgentKey),
    /// `exec:key=FILE COMMAND…`
    Exec(ExecCommand),
    /// `pkcs11:…`, a PKCS#11 URI (RFC 7512)
    #[cfg(feature = "pkcs11")]
    Pkcs11(Box<Pkcs11Uri>),
    /// `awskms://[HOST]/KEY`, a key in AWS KMS
    #[cfg(feature = "kms-aws")]
    AwsKms(AwsKmsKey),
}

/// Which of an ssh-agent's keys is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an agent knows a key by itself and by its comment")]
pub enum AgentKey {
    /// By its fingerprint, as `ssh-add -l` shows it: `SHA256:` and 43 characters.
    Fingerprint(String),
    /// By its whole comment.
    Comment(String),
}

/// Why a reference is not one. Does not repeat it, since somebody may have put a PIN into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadReference(pub &'static str);

impl BadReference {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self(_) => "bad-key-reference",
        }
    }
}

impl FromStr for KeyReference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let Some((kind, rest)) = text.split_once(':') else { return Ok(Self::File(text.into())) };
        match kind {
            "file" if rest.is_empty() => Err(BadReference("`file:` names no file")),
            "file" => Ok(Self::File(rest.into())),
            "ssh-agent" => rest.parse().map(Self::SshAgent),
            "exec" => rest.parse().map(Self::Exec),
            #[cfg(feature = "pkcs11")]
            "pkcs11" => rest.parse().map(|uri| Self::Pkcs11(Box::new(uri))),
            #[cfg(not(feature = "pkcs11"))]
            "pkcs11" => Err(BadReference("this build cannot use tokens: it was made without the feature `pkcs11`")),
            #[cfg(feature = "kms-aws")]
            "awskms" => rest.parse().map(Self::AwsKms),
            #[cfg(not(feature = "kms-aws"))]
            "awskms" => Err(BadReference("this build cannot use AWS KMS: it was made without the feature `kms-aws`")),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl FromStr for AgentKey {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        match text.strip_prefix("SHA256:") {
            Some(digest) if digest.len() == 43 => Ok(Self::Fingerprint(text.to_owned())),
            Some(_) => Err(BadReference("a fingerprint is `SHA256:` and 43 characters, as `ssh-add -l` shows it")),
            None if text.is_empty() => {
                Err(BadReference("`ssh-agent:` is followed by a fingerprint, `SHA256:…`, or by a comment"))
            }
            None => Ok(Self::Comment(text.to_owned())),
        }
    }
}

impl std::fmt::Display for AgentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Fingerprint(text) | Self::Comment(text)) = self;
        Printable(text).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> KeyReference {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_is_a_file_unless_it_begins_with_another_name() {
        for path in ["alice.pem", "/keys/alice.pem", "./exec:odd", "C:\\keys\\alice.pem", "a:b"] {
            assert_eq!(read(path), KeyReference::File(path.into()));
        }
        assert_eq!(read("file:exec:odd"), KeyReference::File("exec:odd".into()));
    }

    /// A build that lacks a kind of key says so, and takes no such reference for a file.
    #[test]
    fn a_kind_that_this_build_lacks_is_named() {
        for (text, feature, there) in [
            ("pkcs11:object=a?module-path=/a.so", "`pkcs11`", cfg!(feature = "pkcs11")),
            ("awskms:///alias/a", "`kms-aws`", cfg!(feature = "kms-aws")),
        ] {
            match text.parse::<KeyReference>() {
                Ok(KeyReference::File(_)) => panic!("{text} was taken for a file"),
                Ok(_) => assert!(there),
                Err(error) => assert!(!there && error.0.ends_with(feature), "{error}"),
            }
        }
    }

    #[test]
    fn a_key_of_the_agent_is_named_by_fingerprint_or_comment() {
        let fingerprint = format!("SHA256:{}", "a".repeat(43));
        assert_eq!(
            read(&format!("ssh-agent:{fingerprint}")),
            KeyReference::SshAgent(AgentKey::Fingerprint(fingerprint))
        );
        assert_eq!(read("ssh-agent:alice@example"), KeyReference::SshAgent(AgentKey::Comment("alice@example".into())));
        for bad in ["ssh-agent:", "ssh-agent:SHA256:short", "file:"] {
            assert!(bad.parse::<KeyReference>().is_err(), "{bad}");
        }
    }
}
