//! Who must have witnessed a signing event before its document is published.
//!
//! TUF cannot express it. As with thresholds of families ([`super::FamilyThresholds`]), it is recorded in root, as a field
//! that clients keep and do not read: `trustroot.toml` is signed by nobody, and whoever can write there could drop a witness
//! from it unseen. Here keyholders review the change and sign it, and an event is judged by the root before it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::crypto::VerifyingKey;
use crate::metadata::canonical_json::Json;
use crate::metadata::{PublicKey, RoleName, Unrecognized};
use crate::printable::{Named, Printable};

/// The field of root that names the witnesses.
pub const WITNESSES: &str = "x-trustroot-witnesses";

/// Most keys of witnesses.
const MOST_KEYS: usize = 64;

/// Who must have witnessed.
///
/// Publishing enforces it. Clients do not: what a threshold of keys signed is theirs to take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witnesses {
    /// Their keys, with who holds them.
    pub keys: Vec<PublicKey>,
    /// How many distinct keys must have signed.
    pub threshold: u64,
    /// The roles whose events are witnessed: root, targets or both.
    pub roles: BTreeSet<RoleName>,
}

impl Witnesses {
    /// What a root records; `None` where nothing is asked.
    ///
    /// # Errors
    /// In words, when the field is there and cannot be read: it is meant as a restriction.
    pub fn recorded(unrecognized: &Unrecognized) -> Result<Option<Self>, String> {
        let Some(field) = unrecognized.get(WITNESSES) else { return Ok(None) };
        let wrong = |problem: String| format!("{WITNESSES}: {problem}");
        let Json::Object(members) = field else { return Err(wrong("expected an object".to_owned())) };
        if let Some(unknown) = members.keys().find(|name| !["keys", "roles", "threshold"].contains(&name.as_str())) {
            return Err(wrong(format!("the field `{}` is not known", Printable(unknown))));
        }
        let Some(Json::Array(keys)) = members.get("keys") else { return Err(wrong("`keys` is a list".to_owned())) };
        if keys.is_empty() || keys.len() > MOST_KEYS {
            return Err(wrong(format!("expected 1 to {MOST_KEYS} keys")));
        }
        let keys =
            keys.iter().map(|key| PublicKey::from_json(key.clone(), WITNESSES).map_err(|error| error.to_string()));
        let keys: Vec<PublicKey> = keys.collect::<Result<_, _>>().map_err(wrong)?;
        let threshold = match members.get("threshold") {
            Some(Json::Integer(number)) => u64::try_from(*number).ok().filter(|number| *number > 0),
            _ => None,
        };
        let threshold = threshold.ok_or_else(|| wrong("a threshold is at least 1".to_owned()))?;
        let Some(Json::Array(roles)) = members.get("roles") else { return Err(wrong("`roles` is a list".to_owned())) };
        let role = |role: &Json| match role {
            Json::String(name) => [RoleName::Root, RoleName::Targets].into_iter().find(|role| role.as_str() == name),
            _ => None,
        };
        let roles: Option<BTreeSet<RoleName>> = roles.iter().map(role).collect();
        let roles = roles.filter(|roles| !roles.is_empty());
        let roles = roles.ok_or_else(|| wrong("the roles are `root` and `targets`".to_owned()))?;
        Ok(Some(Self { keys, threshold, roles }))
    }

    /// As it is recorded.
    pub(super) fn to_value(&self) -> Value {
        json!({
            "keys": self.keys.iter().map(PublicKey::to_value).collect::<Vec<_>>(),
            "roles": self.roles.iter().map(RoleName::as_str).collect::<Vec<_>>(),
            "threshold": self.threshold,
        })
    }

    /// In words, such as `1 of 2 witnesses, of root and targets`.
    pub fn words(&self) -> String {
        let roles: Vec<String> = self.roles.iter().map(|role| Named(role.as_str()).to_string()).collect();
        format!("{} of {} witnesses, of {}", self.threshold, self.keys.len(), roles.join(" and "))
    }

    /// The distinct keys that can be used, by their canonical SubjectPublicKeyInfo.
    pub fn physical(&self) -> BTreeMap<Vec<u8>, &PublicKey> {
        let usable = |listed| Some((VerifyingKey::from_metadata(listed).ok()?.canonical_spki().to_vec(), listed));
        self.keys.iter().filter_map(usable).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Result<Option<Witnesses>, String> {
        let field = Json::parse(field.as_bytes()).unwrap();
        Witnesses::recorded(&Unrecognized::from([(WITNESSES.to_owned(), field)]))
    }

    #[test]
    fn what_is_recorded_is_read_back_and_what_cannot_be_read_is_an_error() {
        assert_eq!(Witnesses::recorded(&Unrecognized::new()), Ok(None));
        let keys = vec![PublicKey::new("ed25519", "ed25519", &"0a".repeat(32)).held_by("walter")];
        let asked = Witnesses { keys, threshold: 1, roles: [RoleName::Root, RoleName::Targets].into() };
        assert_eq!(read(&asked.to_value().to_string()), Ok(Some(asked.clone())));
        assert_eq!(asked.words(), "1 of 1 witnesses, of root and targets");
        for (field, value) in [
            ("keys", json!([])),
            ("keys", json!({})),
            ("keys", json!([1])),
            ("threshold", json!(0)),
            ("threshold", json!("1")),
            ("roles", json!([])),
            ("roles", json!(["timestamp"])),
            ("roles", json!("root")),
            ("unless", json!("it rains")),
        ] {
            let mut bad = asked.to_value();
            bad[field] = value;
            assert!(read(&bad.to_string()).unwrap_err().starts_with(WITNESSES), "{bad}");
        }
        assert!(read("[]").is_err());
    }
}
