//! How many keys of each family must sign a role, beside the threshold that TUF counts.
//!
//! TUF cannot express it. So that nobody can drop it unseen, it is recorded in the metadata of whoever names the role's
//! keys, root or top-level targets, as a field that others keep and do not read: who signs that metadata signs for it,
//! and a proposal is judged by what was signed before.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::crypto::KeyFamily;
use crate::metadata::canonical_json::Json;
use crate::metadata::{RoleName, Unrecognized};
use crate::printable::Printable;
use crate::trust::Tally;

/// The field of root and top-level targets that holds the thresholds, by role.
pub const FAMILY_THRESHOLDS: &str = "x-trustroot-family-thresholds";

/// How many keys of each family must sign a role; 0 where nothing is asked.
///
/// Ceremonies and publishing enforce it. Clients do not: for root, they have [`crate::trust::RootPolicy`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct FamilyThresholds {
    /// How many classical keys.
    #[serde(default)]
    pub classical: u64,
    /// How many post-quantum keys.
    #[serde(default)]
    pub post_quantum: u64,
}

/// One family of a tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FamilyCount {
    /// The family.
    pub family: KeyFamily,
    /// How many of its keys must sign.
    pub needed: u64,
    /// How many distinct ones did.
    pub counted: u64,
}

impl FamilyCount {
    /// Whether enough did.
    pub fn met(&self) -> bool {
        self.counted >= self.needed
    }
}

impl FamilyThresholds {
    /// How many keys of one family must sign.
    pub fn of(&self, family: KeyFamily) -> u64 {
        match family {
            KeyFamily::Classical => self.classical,
            KeyFamily::PostQuantum => self.post_quantum,
        }
    }

    /// The families of which something is asked, with what a tally has of them.
    pub fn counts(&self, tally: &Tally) -> Vec<FamilyCount> {
        let asked = KeyFamily::ALL.into_iter().filter(|family| self.of(*family) > 0);
        asked.map(|family| FamilyCount { family, needed: self.of(family), counted: tally.counted_of(family) }).collect()
    }

    /// In words, such as `2 classical and 1 post-quantum`.
    pub fn words(&self) -> String {
        let asked = KeyFamily::ALL.into_iter().filter(|family| self.of(*family) > 0);
        asked.map(|family| format!("{} {family}", self.of(family))).collect::<Vec<_>>().join(" and ")
    }

    /// As it is recorded.
    pub(super) fn to_value(self) -> Value {
        let asked = KeyFamily::ALL.into_iter().filter(|family| self.of(*family) > 0);
        asked.map(|family| (family.name().to_owned(), json!(self.of(family)))).collect::<Map<_, _>>().into()
    }

    /// What a document records for the roles whose keys it names.
    ///
    /// # Errors
    /// In words, when the field is there and cannot be read: it could have been meant as a restriction.
    pub fn recorded(unrecognized: &Unrecognized) -> Result<BTreeMap<String, Self>, String> {
        let Some(field) = unrecognized.get(FAMILY_THRESHOLDS) else { return Ok(BTreeMap::new()) };
        let wrong = |problem: String| format!("{FAMILY_THRESHOLDS}: {problem}");
        let Json::Object(roles) = field else { return Err(wrong("expected an object".to_owned())) };
        let mut recorded = BTreeMap::new();
        for (role, families) in roles {
            let role_wrong = |problem: &str| wrong(format!("{}: {problem}", Printable(role)));
            let Json::Object(families) = families else { return Err(role_wrong("expected an object")) };
            let mut thresholds = Self::default();
            for (family, number) in families {
                let number = match number {
                    Json::Integer(number) => u64::try_from(*number).ok().filter(|number| *number > 0),
                    _ => None,
                };
                let number = number.ok_or_else(|| role_wrong("a threshold is at least 1"))?;
                match family.as_str() {
                    "classical" => thresholds.classical = number,
                    "post-quantum" => thresholds.post_quantum = number,
                    _ => return Err(role_wrong("the families are `classical` and `post-quantum`")),
                }
            }
            if thresholds == Self::default() {
                return Err(role_wrong("asks for nothing"));
            }
            recorded.insert(role.clone(), thresholds);
        }
        Ok(recorded)
    }

    /// What a document records for one role.
    ///
    /// # Errors
    /// As [`FamilyThresholds::recorded`].
    pub fn recorded_for(unrecognized: &Unrecognized, role: &RoleName) -> Result<Self, String> {
        Ok(Self::recorded(unrecognized)?.get(role.as_str()).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Result<BTreeMap<String, FamilyThresholds>, String> {
        let field = Json::parse(field.as_bytes()).unwrap();
        FamilyThresholds::recorded(&Unrecognized::from([(FAMILY_THRESHOLDS.to_owned(), field)]))
    }

    #[test]
    fn what_is_recorded_is_read_back_and_what_cannot_be_read_is_an_error() {
        assert_eq!(FamilyThresholds::recorded(&Unrecognized::new()), Ok(BTreeMap::new()));
        let asked = FamilyThresholds { classical: 2, post_quantum: 1 };
        let text = json!({"root": asked.to_value()}).to_string();
        assert_eq!(read(&text).unwrap()["root"], asked);
        assert_eq!(asked.words(), "2 classical and 1 post-quantum");
        for bad in [
            "[]",
            r#"{"root":1}"#,
            r#"{"root":{}}"#,
            r#"{"root":{"classical":0}}"#,
            r#"{"root":{"classical":-1}}"#,
            r#"{"root":{"classical":"1"}}"#,
            r#"{"root":{"hybrid":1}}"#,
        ] {
            assert!(read(bad).unwrap_err().starts_with(FAMILY_THRESHOLDS), "{bad}");
        }
    }
}
