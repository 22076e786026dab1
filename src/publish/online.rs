//! Snapshot and timestamp: what the online keys sign, each time something is published.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::PublishError;
use crate::crypto::sha256;
use crate::metadata::canonical_json::canonicalize;
use crate::metadata::{Document, Envelope, KeyId, PublicKey, RoleName, Root, Snapshot, Timestamp, Version};
use crate::repository::{Policy, SPEC_VERSION, SignedState, expiry};
use crate::signers::Signer;
use crate::trust::{Authority, tally};

/// Longest timestamp that is published, in bytes. The client does not know its length beforehand, so each has a limit of
/// its own (TUF specification section 5.4.1): we read more, and python-tuf, sigstore-tuf and go-tuf read this much.
const LONGEST_TIMESTAMP: usize = 16 << 10;

/// What is published now, as far as the online roles go.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    pub(super) snapshot: Option<(Snapshot, Vec<u8>)>,
    pub(super) timestamp: Option<(Timestamp, Vec<u8>)>,
    /// The newest timestamp that this working copy has published anywhere: no version of an online role is used twice,
    /// even where the directory was set back or wiped.
    pub(super) remembered: Option<Timestamp>,
}

impl Published {
    /// The newest version of an online role that clients may have seen.
    fn newest(&self, role: &RoleName) -> Option<Version> {
        let seen = [self.timestamp.as_ref().map(|(timestamp, _)| timestamp), self.remembered.as_ref()];
        let named = seen.into_iter().flatten().map(|timestamp| match role {
            RoleName::Timestamp => timestamp.version,
            _ => timestamp.snapshot.version,
        });
        let there =
            self.snapshot.as_ref().map(|(snapshot, _)| snapshot.version).filter(|_| *role == RoleName::Snapshot);
        named.chain(there).max()
    }
}

/// A document that the online keys have signed.
#[derive(Debug, Clone)]
pub(super) struct OnlineDocument {
    pub(super) version: Version,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct OnlineKeys<'a> {
    pub(super) signed: &'a SignedState,
    pub(super) root: &'a Root,
    pub(super) keys: &'a [Box<dyn Signer>],
    pub(super) now: DateTime<Utc>,
}

impl OnlineKeys<'_> {
    /// The snapshot that names these versions: the published one where it says the same and is good for long enough.
    pub(super) fn snapshot(
        &self,
        published: &Published,
        versions: &BTreeMap<RoleName, (Version, Vec<u8>)>,
        policy: &Policy,
    ) -> Result<OnlineDocument, PublishError> {
        let mut meta = serde_json::Map::new();
        // A role that is no longer delegated to stays listed: clients take its disappearance for an attack.
        for (name, there) in published.snapshot.iter().flat_map(|(snapshot, _)| snapshot.iter()) {
            meta.insert(name, there.to_value());
        }
        for (role, (version, bytes)) in versions {
            meta.insert(role.meta_key(), describe(*version, bytes));
        }
        let meta = Value::Object(meta);
        if let Some((snapshot, bytes)) = &published.snapshot {
            let same = snapshot.iter().map(|(name, there)| (name, there.to_value())).collect();
            let newest = published.newest(&RoleName::Snapshot) == Some(snapshot.version);
            if newest && meta == Value::Object(same) && self.still_good(&RoleName::Snapshot, snapshot, bytes, policy)? {
                return Ok(OnlineDocument { version: snapshot.version, bytes: bytes.clone() });
            }
        }
        self.sign(&RoleName::Snapshot, published.newest(&RoleName::Snapshot), policy, &meta)
    }

    /// The timestamp that names this snapshot.
    pub(super) fn timestamp(
        &self,
        published: &Published,
        snapshot: &OnlineDocument,
        policy: &Policy,
    ) -> Result<OnlineDocument, PublishError> {
        let described = describe(snapshot.version, &snapshot.bytes);
        if let Some((timestamp, bytes)) = &published.timestamp
            && timestamp.snapshot.to_value() == described
            && published.newest(&RoleName::Timestamp) == Some(timestamp.version)
            && self.still_good(&RoleName::Timestamp, timestamp, bytes, policy)?
        {
            return Ok(OnlineDocument { version: timestamp.version, bytes: bytes.clone() });
        }
        self.sign(
            &RoleName::Timestamp,
            published.newest(&RoleName::Timestamp),
            policy,
            &json!({"snapshot.json": described}),
        )
    }

    /// Whether a published document is outside its signing period and today's root vouches for it.
    fn still_good<T: Document>(
        &self,
        role: &RoleName,
        document: &T,
        bytes: &[u8],
        policy: &Policy,
    ) -> Result<bool, PublishError> {
        let due = document.expires().time() - chrono::Duration::days(policy.sign_within_days.into());
        let authority = Authority::of_root(self.root, role).expect("top-level roles are in every root");
        let envelope = Envelope::parse(bytes).map_err(|source| foreign(role, source))?;
        Ok(self.now < due && tally(&envelope, authority).met())
    }

    fn sign(
        &self,
        role: &RoleName,
        before: Option<Version>,
        policy: &Policy,
        meta: &Value,
    ) -> Result<OnlineDocument, PublishError> {
        let first = Version::new(1).expect("1 is not zero");
        let version = match before {
            None => first,
            Some(before) => before.next().ok_or_else(|| crate::repository::RepositoryError::LastVersion {
                role: role.clone(),
                version: before,
            })?,
        };
        let signed = json!({
            "_type": role.as_str(),
            "spec_version": SPEC_VERSION,
            "version": version.get(),
            // What outlives its root could not be used any longer.
            "expires": expiry(self.now, policy).min(self.root.expires.to_string()),
            "meta": meta,
        });
        let text = serde_json::to_vec(&signed).expect("a JSON value can be written");
        let payload = canonicalize(&text).expect("what we wrote has a canonical form");
        let mut signatures = BTreeMap::new();
        for signer in self.keys {
            // While keys rotate, the outgoing one signs too, for clients that have not seen the new root yet.
            let listed = self.signed.roots().flat_map(|(root, _)| listed(root, role));
            let made = signer.sign_as_listed(role, version, &payload, listed)?;
            signatures.extend(made.into_iter().map(|(keyid, signature)| (keyid, hex::encode(signature))));
        }
        let signatures: Vec<Value> =
            signatures.iter().map(|(keyid, sig)| json!({"keyid": keyid.as_str(), "sig": sig})).collect();
        let mut bytes = serde_json::to_vec_pretty(&json!({"signatures": signatures, "signed": signed}))
            .expect("a JSON value can be written");
        bytes.push(b'\n');
        let envelope = Envelope::parse(&bytes).expect("what we wrote can be read");
        let authority = Authority::of_root(self.root, role).expect("top-level roles are in every root");
        let tally = tally(&envelope, authority);
        if !tally.met() {
            return Err(PublishError::OnlineKeys { role: role.clone(), tally });
        }
        if *role == RoleName::Timestamp && bytes.len() > LONGEST_TIMESTAMP {
            let (role, length, limit) = (role.clone(), bytes.len(), LONGEST_TIMESTAMP);
            return Err(PublishError::TooLong { role, version, length, limit });
        }
        Ok(OnlineDocument { version, bytes })
    }
}

/// The keyids that may sign a role, with the keys that they stand for.
fn listed<'a>(root: &'a Root, role: &RoleName) -> impl Iterator<Item = (&'a KeyId, &'a PublicKey)> + use<'a> {
    let keyids = root.role(role).into_iter().flat_map(|role| &role.keyids);
    keyids.filter_map(|keyid| Some((keyid, root.keys.get(keyid)?)))
}

/// What a snapshot or timestamp says about a file.
fn describe(version: Version, bytes: &[u8]) -> Value {
    json!({"version": version.get(), "length": bytes.len(), "hashes": {"sha256": hex::encode(sha256(bytes))}})
}

pub(super) fn foreign(role: &RoleName, source: crate::metadata::FormatError) -> PublishError {
    PublishError::Foreign(Box::new(crate::trust::Refusal::Malformed { role: role.clone(), source }))
}
