//! Public keys and their identifiers, as metadata lists them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::canonical_json::Json;
use super::fields::{self, Fields};
use super::{FormatError, Unrecognized};
use crate::printable::Printable;

/// Identifier of a public key.
///
/// Opaque when read (TAP 12): it selects a key in its delegator's own map and nothing else. Signatures are
/// counted by the key itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Takes the identifier as it stands in the document.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The identifier as it stands in the document.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    /// Shows the first eight characters, enough to tell the keys of one role apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.0.char_indices().nth(8).map_or(&*self.0, |(end, _)| &self.0[..end]);
        Printable(short).fmt(f)
    }
}

/// Where tuf-on-ci, and we, say who holds a key.
const OWNER: &str = "x-tuf-on-ci-keyowner";

/// A public key as a delegator describes it: type, scheme and encoded key, none of them judged yet.
///
/// [`crate::crypto::VerifyingKey`] is what it becomes where we can use it. A key that we cannot use disables
/// itself, not the document that lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    json: Json,
    keytype: String,
    scheme: String,
    public: String,
}

impl PublicKey {
    /// Describes a key.
    pub fn new(keytype: &str, scheme: &str, public: &str) -> Self {
        let keyval = BTreeMap::from([("public".to_owned(), Json::from(public))]);
        let json = fields::object(
            &Unrecognized::new(),
            [("keytype", Json::from(keytype)), ("scheme", Json::from(scheme)), ("keyval", Json::Object(keyval))],
        );
        Self { json, keytype: keytype.to_owned(), scheme: scheme.to_owned(), public: public.to_owned() }
    }

    /// Reads a key. Fields that are absent are empty: no scheme has an empty name, so such a key is never used.
    pub(crate) fn from_json(json: Json, at: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::open(json.clone(), at)?;
        let keytype = text(fields.optional("keytype"));
        let scheme = text(fields.optional("scheme"));
        let public = match fields.optional("keyval") {
            Some(Json::Object(mut keyval)) => text(keyval.remove("public")),
            _ => String::new(),
        };
        Ok(Self { json, keytype, scheme, public })
    }

    pub(crate) fn to_json(&self) -> Json {
        self.json.clone()
    }

    /// The field `keytype`, such as `ed25519`.
    pub fn keytype(&self) -> &str {
        &self.keytype
    }

    /// The field `scheme`, such as `ecdsa-sha2-nistp256`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The field `keyval.public`: hex or PEM, by key type.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Names who holds the key, in tuf-on-ci's `x-tuf-on-ci-keyowner`. The keyid that we write changes with it.
    #[must_use]
    pub fn held_by(mut self, holder: &str) -> Self {
        if let Json::Object(members) = &mut self.json {
            members.insert(OWNER.to_owned(), Json::from(holder));
        }
        self
    }

    /// Who holds the key, where its delegator says so. Attacker-controlled text.
    pub fn owner(&self) -> Option<&str> {
        self.extra(OWNER)
    }

    /// Reads a key as metadata lists it; `None` where it is none.
    #[cfg(feature = "maintainer")]
    pub(crate) fn from_value(value: &serde_json::Value) -> Option<Self> {
        let json = Json::parse(value.to_string().as_bytes()).ok()?;
        Self::from_json(json, "key").ok()
    }

    /// The key as metadata lists it.
    pub fn to_value(&self) -> serde_json::Value {
        self.json.to_value()
    }

    /// A field outside the specification, such as `x-tuf-on-ci-keyowner`. Attacker-controlled text.
    pub fn extra(&self, field: &str) -> Option<&str> {
        match &self.json {
            Json::Object(members) => match members.get(field) {
                Some(Json::String(text)) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// The canonical form of the key, whose SHA-256 is the keyid that we write (TUF specification section 4.2).
    pub fn to_canonical(&self) -> Vec<u8> {
        self.json.to_canonical()
    }
}

fn text(json: Option<Json>) -> String {
    match json {
        Some(Json::String(text)) => text,
        _ => String::new(),
    }
}

pub(crate) type KeyMap = BTreeMap<KeyId, PublicKey>;

pub(crate) fn key_map(members: BTreeMap<String, Json>, at: &str) -> Result<KeyMap, FormatError> {
    members
        .into_iter()
        .map(|(keyid, key)| {
            let key = PublicKey::from_json(key, &format!("{at}.{keyid}"))?;
            Ok((KeyId::new(keyid), key))
        })
        .collect()
}

pub(crate) fn key_map_json(keys: &KeyMap) -> Json {
    Json::Object(keys.iter().map(|(keyid, key)| (keyid.as_str().to_owned(), key.to_json())).collect())
}
