//! in-toto statements: what an attestation says, and about which artifacts (in-toto attestation framework, v0.1 and
//! v1 of the statement).
//!
//! A statement is read only from a payload that a delivered key signed. Who signs may still be careless or name
//! weak digests, so a subject is compared strictly: every digest that we can compute must agree, and one at least
//! must be there.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::crypto::Digester;
use crate::input::{self, InputError};
use crate::metadata::HashAlgorithm;
use crate::printable::Printable;

/// The payload type of statements in DSSE envelopes.
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Largest statement that is read, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 16 << 20;

const STATEMENT_V0_1: &str = "https://in-toto.io/Statement/v0.1";
const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";

/// The digests of the artifact that is being verified: computed by the caller from the artifact itself, or the one by
/// which the caller names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactDigests {
    computed: BTreeMap<HashAlgorithm, Vec<u8>>,
    /// The algorithm and the text, where the artifact is known by name alone.
    named: Option<(String, String)>,
}

impl ArtifactDigests {
    /// Starts a digest of everything that subjects may be compared by. Feed it the artifact, then turn it into
    /// `ArtifactDigests` with [`From`].
    ///
    /// ```
    /// use trustroot::verify::ArtifactDigests;
    ///
    /// let mut digester = ArtifactDigests::digester();
    /// digester.update(b"the artifact, ");
    /// digester.update(b"piece by piece");
    /// let artifact = ArtifactDigests::from(digester);
    /// ```
    pub fn digester() -> Digester {
        Digester::new(HashAlgorithm::ALL)
    }

    /// Takes the one digest by which the caller names the artifact, `ALGORITHM:VALUE`. Subjects are compared by that
    /// algorithm alone; the value of one that we do not compute (`gce_image_id`) is compared as text.
    ///
    /// `None` where there is no algorithm or value, or a value of an algorithm that we compute is not hexadecimal of the
    /// right length.
    pub fn named(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(':').filter(|(name, value)| !name.is_empty() && !value.is_empty())?;
        let mut computed = BTreeMap::new();
        if let Some(algorithm) = HashAlgorithm::from_name(name) {
            let digest = hex::decode(value).ok().filter(|digest| digest.len() == algorithm.length())?;
            computed.insert(algorithm, digest);
        }
        Some(Self { computed, named: Some((name.to_owned(), value.to_owned())) })
    }

    /// The digests that we compute, in order of algorithm.
    pub fn iter(&self) -> impl Iterator<Item = (HashAlgorithm, &[u8])> {
        self.computed.iter().map(|(algorithm, digest)| (*algorithm, digest.as_slice()))
    }
}

impl std::fmt::Display for ArtifactDigests {
    /// The digest by which the artifact is named; else the first that was computed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.named, self.computed.iter().next()) {
            (Some((name, value)), _) => write!(f, "{}:{}", Printable(name), Printable(value)),
            (None, Some((algorithm, digest))) => write!(f, "{algorithm}:{}", hex::encode(digest)),
            (None, None) => f.write_str("nothing"),
        }
    }
}

impl From<Digester> for ArtifactDigests {
    /// Takes the digests that were computed. A subject that gives another one does not match.
    fn from(digester: Digester) -> Self {
        Self { computed: digester.finish().into_iter().collect(), named: None }
    }
}

/// An in-toto statement. Whether to believe it depends on who signed the payload that it was read from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Statement {
    /// What it is about.
    pub subjects: Vec<Subject>,
    /// What kind of thing it says.
    pub predicate_type: String,
}

/// One artifact that a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Subject {
    /// Its name; empty when it has none.
    #[serde(default)]
    pub name: String,
    /// Its digests by algorithm, in hexadecimal; also those that we do not compute.
    pub digest: BTreeMap<String, String>,
}

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    /// When it is too large, repeats a JSON key, or is not a statement of version 0.1 or 1.
    pub fn parse(payload: &[u8]) -> Result<Self, InputError> {
        let json: StatementJson = input::read(payload, MAX_STATEMENT_BYTES)?;
        if ![STATEMENT_V0_1, STATEMENT_V1].contains(&json.kind.as_str()) {
            return Err(InputError::Field { field: "_type", expected: "an in-toto statement of version 0.1 or 1" });
        }
        Ok(Self { subjects: json.subject, predicate_type: json.predicate_type })
    }

    /// The subjects that are `artifact`.
    pub fn matching<'a>(&'a self, artifact: &'a ArtifactDigests) -> impl Iterator<Item = &'a Subject> {
        self.subjects.iter().filter(|subject| subject.is(artifact))
    }
}

impl Subject {
    /// The digests that can be compared: SHA-256, SHA-384 and SHA-512. in-toto's weaker ones (`sha1`, `md5`) and
    /// those of other things than bytes (`gitCommit`) never decide anything.
    pub fn comparable(&self) -> impl Iterator<Item = (HashAlgorithm, &str)> {
        self.digest
            .iter()
            .filter_map(|(name, digest)| HashAlgorithm::from_name(name).map(|algorithm| (algorithm, digest.as_str())))
    }

    /// Whether this is `artifact`: at least one digest can be compared, and every one that can be is equal. Of an artifact
    /// that is named by a digest, that digest is.
    #[must_use]
    pub fn is(&self, artifact: &ArtifactDigests) -> bool {
        if let Some((name, value)) = &artifact.named {
            let Some(given) = self.digest.get(name) else { return false };
            return match HashAlgorithm::from_name(name).and_then(|algorithm| artifact.computed.get(&algorithm)) {
                Some(digest) => hex::decode(given).ok().as_ref() == Some(digest),
                None => given == value,
            };
        }
        let mut compared = false;
        for (algorithm, digest) in self.comparable() {
            let expected = artifact.computed.get(&algorithm);
            if expected.is_none() || hex::decode(digest).ok().as_ref() != expected {
                return false;
            }
            compared = true;
        }
        compared
    }
}

#[derive(Deserialize)]
struct StatementJson {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::testing::digests_of;

    const SHA256_OF_HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const SHA1_OF_HELLO: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

    fn is_hello(digest: &serde_json::Value) -> bool {
        let subject: Subject = serde_json::from_value(json!({"digest": digest})).unwrap();
        subject.is(&digests_of(b"hello"))
    }

    #[test]
    fn every_digest_that_can_be_compared_must_agree() {
        let artifact = digests_of(b"hello");
        let all: BTreeMap<_, _> =
            artifact.iter().map(|(algorithm, digest)| (algorithm.name(), hex::encode(digest))).collect();
        assert_eq!(all["sha256"], SHA256_OF_HELLO);
        assert!(is_hello(&json!(all)));
        assert!(is_hello(&json!({"sha256": SHA256_OF_HELLO})));
        assert!(is_hello(&json!({"sha256": SHA256_OF_HELLO.to_uppercase(), "sha1": "anything"})));
        for name in ["sha256", "sha384", "sha512"] {
            let mut one_wrong = all.clone();
            let changed = format!("00{}", &one_wrong[name][2..]);
            one_wrong.insert(name, changed);
            assert!(!is_hello(&json!(one_wrong)), "{name}");
        }
    }

    #[test]
    fn a_digest_that_names_the_artifact_is_the_one_that_is_compared() {
        let subject =
            |digest: serde_json::Value| -> Subject { serde_json::from_value(json!({"digest": digest})).unwrap() };
        let named = |text: &str| ArtifactDigests::named(text).unwrap();
        let hello = named(&format!("sha256:{SHA256_OF_HELLO}"));
        assert!(subject(json!({"sha256": SHA256_OF_HELLO.to_uppercase(), "sha512": "else"})).is(&hello));
        assert!(!subject(json!({"sha256": &SHA256_OF_HELLO[..62]})).is(&hello));
        assert!(!subject(json!({"sha512": SHA256_OF_HELLO})).is(&hello));
        let image = named("gce_image_id:8970095005306000053");
        assert!(subject(json!({"gce_image_id": "8970095005306000053"})).is(&image));
        assert!(!subject(json!({"gce_image_id": "08970095005306000053"})).is(&image));
        assert!(!subject(json!({"sha256": "8970095005306000053"})).is(&image));
        for bad in ["sha256", "sha256:", ":x", "sha256:abcd", "sha256:zz"] {
            assert_eq!(ArtifactDigests::named(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_weak_or_unknown_digest_never_decides() {
        assert!(!is_hello(&json!({"sha1": SHA1_OF_HELLO})));
        assert!(!is_hello(&json!({"SHA256": SHA256_OF_HELLO})));
        assert!(!is_hello(&json!({"gce_image_id": "1"})));
        assert!(!is_hello(&json!({})));
    }

    #[test]
    fn a_cut_off_digest_does_not_match() {
        assert!(!is_hello(&json!({"sha256": ""})));
        assert!(!is_hello(&json!({"sha256": &SHA256_OF_HELLO[..62]})));
        assert!(!is_hello(&json!({"sha256": &SHA256_OF_HELLO[..63]})));
    }

    #[test]
    fn a_digest_that_the_caller_did_not_compute_does_not_match() {
        let mut digester = Digester::new([HashAlgorithm::Sha512]);
        digester.update(b"hello");
        let artifact = ArtifactDigests::from(digester);
        for digest in [SHA256_OF_HELLO, "not hexadecimal"] {
            let subject: Subject = serde_json::from_value(json!({"digest": {"sha256": digest}})).unwrap();
            assert!(!subject.is(&artifact), "{digest}");
        }
    }

    #[test]
    fn repeated_json_keys_are_refused() {
        let text = format!(
            r#"{{"_type":"{STATEMENT_V1}","predicateType":"p","subject":[{{"digest":{{"sha256":"00","sha256":"11"}}}}]}}"#
        );
        assert!(matches!(Statement::parse(text.as_bytes()), Err(InputError::Json(_))));
    }

    #[test]
    fn both_versions_are_read_and_no_other() {
        for (kind, known) in [(STATEMENT_V0_1, true), (STATEMENT_V1, true), ("https://in-toto.io/Statement/v2", false)]
        {
            let text = json!({"_type": kind, "predicateType": "p", "subject": [], "predicate": {"x": 1.5}}).to_string();
            assert_eq!(Statement::parse(text.as_bytes()).is_ok(), known, "{kind}");
        }
    }
}
