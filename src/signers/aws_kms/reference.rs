//! How a user names a key in AWS KMS, in the form that cosign uses too.

use std::fmt;
use std::str::FromStr;

use crate::signers::reference::BadReference;

/// Longest name of a key that AWS KMS takes, in bytes.
const LONGEST_KEY: usize = 2048;

/// What `awskms:` says: `awskms://[HOST[:PORT]]/KEY`, where `KEY` is an identifier, an alias, or the ARN of either.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwsKmsKey {
    /// The host that is asked in place of AWS's own for the region, with its port where that is another than usual.
    pub host: Option<String>,
    /// `1234abcd-…`, `alias/…` or `arn:aws:kms:REGION:ACCOUNT:key/…` or `…:alias/…`
    pub key: String,
}

impl AwsKmsKey {
    /// The region that an ARN names. Without an ARN it has to be known from elsewhere.
    pub fn region(&self) -> Option<&str> {
        self.key.strip_prefix("arn:")?.split(':').nth(2)
    }

    /// Where to ask, where that is said. Only this machine is asked without TLS: a stand-in for trials.
    pub(super) fn endpoint(&self) -> Option<String> {
        let host = self.host.as_deref()?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let scheme = if matches!(name, "localhost" | "127.0.0.1" | "[::1]") { "http" } else { "https" };
        Some(format!("{scheme}://{host}"))
    }
}

impl FromStr for AwsKmsKey {
    type Err = BadReference;

    /// Reads what stands after `awskms:`.
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (host, key) = text.strip_prefix("//").and_then(|rest| rest.split_once('/')).ok_or(BadReference(
            "a key in AWS KMS is `awskms:///KEY`, where KEY is an identifier, `alias/NAME` or an ARN",
        ))?;
        let in_host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if !host.chars().all(in_host) {
            return Err(BadReference(
                "between `awskms://` and the next `/` stands a host, and perhaps a port, or nothing",
            ));
        }
        if key.len() > LONGEST_KEY || !is_key(key) {
            return Err(BadReference(
                "what follows the host of `awskms://` is the identifier of a key, `alias/NAME`, or the ARN of either",
            ));
        }
        Ok(Self { host: Some(host.to_owned()).filter(|host| !host.is_empty()), key: key.to_owned() })
    }
}

fn is_key(key: &str) -> bool {
    let is_id = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_alias =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_-".contains(c));
    let Some(arn) = key.strip_prefix("arn:") else {
        return key.strip_prefix("alias/").map_or_else(|| is_id(key), is_alias);
    };
    let Ok([partition, service, region, account, resource]) = <[&str; 5]>::try_from(arn.split(':').collect::<Vec<_>>())
    else {
        return false;
    };
    let named = resource.strip_prefix("key/").map(is_id).or_else(|| resource.strip_prefix("alias/").map(is_alias));
    service == "kms" && [partition, region, account].into_iter().all(is_id) && named == Some(true)
}

impl fmt::Display for AwsKmsKey {
    /// As the user writes it. Holds no character that could mislead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "awskms://{}/{}", self.host.as_deref().unwrap_or_default(), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_identifier_alias_or_arn() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        for (text, region) in [
            (format!("///{id}"), None),
            (format!("///mrk-{}", id.replace('-', "")), None),
            ("///alias/online/timestamp".to_owned(), None),
            (format!("///arn:aws:kms:eu-west-1:111122223333:key/{id}"), Some("eu-west-1")),
            ("///arn:aws-cn:kms:cn-north-1:111122223333:alias/online".to_owned(), Some("cn-north-1")),
        ] {
            let key: AwsKmsKey = text.parse().unwrap();
            assert_eq!((key.region(), key.endpoint()), (region, None), "{text}");
            assert_eq!(key.to_string(), format!("awskms:{text}"));
        }
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for (text, endpoint) in [
            ("//kms.eu-west-1.amazonaws.com/alias/a", "https://kms.eu-west-1.amazonaws.com"),
            ("//kms.example:8443/alias/a", "https://kms.example:8443"),
            ("//127.0.0.1:4566/alias/a", "http://127.0.0.1:4566"),
            ("//localhost/alias/a", "http://localhost"),
            ("//localhost.example:80/alias/a", "https://localhost.example:80"),
            ("//[::1]:80/alias/a", "http://[::1]:80"),
        ] {
            assert_eq!(text.parse::<AwsKmsKey>().unwrap().endpoint().as_deref(), Some(endpoint));
        }
    }

    #[test]
    fn what_names_no_key_is_refused() {
        for bad in [
            "",
            "alias/a",
            "//alias",
            "///",
            "///alias/",
            "///alias/a b",
            "///a?b",
            "///arn:aws:kms:eu-west-1:1:user/a",
            "///arn:aws:s3:eu-west-1:1:key/a",
            "///arn:aws:kms::1:key/a",
            "///arn:aws:kms:eu-west-1:1:key/a:b",
            "//user:secret@host/alias/a",
            "//ho st/alias/a",
        ] {
            assert!(bad.parse::<AwsKmsKey>().is_err(), "{bad}");
        }
        assert!(format!("///{}", "a".repeat(2049)).parse::<AwsKmsKey>().is_err());
    }
}
