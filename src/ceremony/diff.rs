//! What would change, in words that a keyholder can check; and raw where there are no words.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::wording::{Step, words};
use crate::crypto::{VerifyingKey, sha256};
use crate::metadata::{KeyId, PublicKey, RoleKeys, RoleName, Root, Unrecognized};
use crate::printable::{Named, json_line};
use crate::repository::{FamilyThresholds, Witnesses, same_name};

/// What kind of change a line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// Something new.
    Added,
    /// Something that goes.
    Removed,
    /// Something that is otherwise than before.
    Changed,
    /// Something that stays and matters.
    Same,
}

impl Mark {
    /// One character in front of the line.
    pub fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
            Self::Same => ' ',
        }
    }
}

/// One line of a review. Text of the proposal is escaped in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What kind of change.
    pub mark: Mark,
    /// The line.
    pub text: String,
    /// The key that the line is about, where it is about one that can be used: its canonical SubjectPublicKeyInfo.
    pub(super) key: Option<Physical>,
}

impl Change {
    pub(super) fn new(mark: Mark, text: impl Into<String>) -> Self {
        Self { mark, text: text.into(), key: None }
    }
}

/// A physical key: its canonical SubjectPublicKeyInfo, or the text of one that cannot be used.
pub(super) type Physical = Vec<u8>;

fn physical(key: &PublicKey) -> Physical {
    VerifyingKey::from_metadata(key).map_or_else(|_| key.to_canonical(), |key| key.canonical_spki().to_vec())
}

/// Two words, which no name is without quotation marks.
const NOBODY: &str = "nobody named";

/// Names a key by owner, type and full fingerprint.
pub(super) fn describe_key(key: &PublicKey) -> String {
    let owner = key.owner().map_or_else(|| NOBODY.to_owned(), |owner| Named(owner).to_string());
    match VerifyingKey::from_metadata(key) {
        Ok(key) => format!("{owner}, {}, SHA-256 {}", key.describe(), hex::encode(sha256(key.canonical_spki()))),
        Err(problem) => format!(
            "{owner}, a key of type {} that cannot be used ({problem}), SHA-256 of its entry {}",
            Named(key.keytype()),
            hex::encode(sha256(&key.to_canonical()))
        ),
    }
}

const TOP_LEVEL: [RoleName; 4] = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];

/// What else is known of a key that gains a role, by its physical name.
pub(super) type Known<'a> = dyn Fn(&Physical) -> Option<String> + 'a;

/// Which physical key keeps, gains or loses which role, and how thresholds change.
pub(super) fn roots(old: Option<&Root>, new: &Root, known: &Known<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for role in &TOP_LEVEL {
        let of = |root: &Root| root.role(role).map(|keys| (keys.threshold.get(), keys.keyids.len()));
        let (Some((threshold, keys)), before) = (of(new), old.and_then(of)) else { continue };
        let now = format!("{threshold} of {keys} keys");
        changes.push(match before {
            None => Change::new(Mark::Added, format!("{role}: {now} must sign")),
            Some((old_threshold, old_keys)) if (old_threshold, old_keys) == (threshold, keys) => {
                Change::new(Mark::Same, format!("{role}: {now} must sign, as before"))
            }
            Some((old_threshold, old_keys)) => {
                let text = format!("{role}: {old_threshold} of {old_keys} -> {now} must sign");
                Change::new(Mark::Changed, text)
            }
        });
    }
    changes.extend(families(old.map(|root| &root.unrecognized), &new.unrecognized));
    changes.extend(witnesses(old.map(|root| &root.unrecognized), &new.unrecognized));
    let nothing = BTreeMap::new();
    let before = old.map(roles_of_keys).unwrap_or_default();
    changes.extend(keys_and_roles(if old.is_some() { &before } else { &nothing }, &roles_of_keys(new), known));
    changes
}

/// How many keys of each family a document asks for. What cannot be read is shown by the rule that it breaks.
pub(super) fn families(old: Option<&Unrecognized>, new: &Unrecognized) -> Vec<Change> {
    let read = |fields: &Unrecognized| FamilyThresholds::recorded(fields).unwrap_or_default();
    let (old, new) = (old.map(read).unwrap_or_default(), read(new));
    let roles: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let words = |asked: &FamilyThresholds| format!("at least {} keys among them", asked.words());
    let change = |role: &String| {
        let name = Named(role);
        match (old.get(role), new.get(role)) {
            (None, Some(new)) => Change::new(Mark::Added, format!("{name}: {}", words(new))),
            (Some(old), None) => Change::new(Mark::Removed, format!("{name}: no longer {}", words(old))),
            (Some(old), Some(new)) if old == new => {
                Change::new(Mark::Same, format!("{name}: {}, as before", words(new)))
            }
            (Some(old), Some(new)) => {
                Change::new(Mark::Changed, format!("{name}: at least {} -> {}", old.words(), words(new)))
            }
            (None, None) => Change::new(Mark::Same, String::new()),
        }
    };
    roles.into_iter().map(change).collect()
}

/// Who must witness ceremonies. What cannot be read is shown by the rule that it breaks.
fn witnesses(old: Option<&Unrecognized>, new: &Unrecognized) -> Vec<Change> {
    let read = |fields: &Unrecognized| Witnesses::recorded(fields).unwrap_or_default();
    let (old, new) = (old.and_then(read), read(new));
    let must = |asked: &Witnesses| format!("{} must sign before publication", asked.words());
    let mut changes = match (&old, &new) {
        (None, None) => return Vec::new(),
        (None, Some(new)) => vec![Change::new(Mark::Added, must(new))],
        (Some(old), None) => vec![Change::new(Mark::Removed, format!("no longer {}", must(old)))],
        (Some(old), Some(new)) if old.words() == new.words() => {
            vec![Change::new(Mark::Same, format!("{}, as before", must(new)))]
        }
        (Some(old), Some(new)) => vec![Change::new(Mark::Changed, format!("{} -> {}", old.words(), must(new)))],
    };
    let keys = |asked: &Option<Witnesses>| -> BTreeMap<Physical, PublicKey> {
        let keys = asked.iter().flat_map(|asked| &asked.keys);
        keys.map(|key| (physical(key), key.clone())).collect()
    };
    let (old, new) = (keys(&old), keys(&new));
    let all: BTreeSet<&Physical> = old.keys().chain(new.keys()).collect();
    for key in all {
        let line = |mark, key, verb: &str| Change::new(mark, format!("key of {}: {verb}", describe_key(key)));
        changes.extend(match (old.get(key), new.get(key)) {
            (None, Some(new)) => Some(line(Mark::Added, new, "becomes a witness's")),
            (Some(old), None) => Some(line(Mark::Removed, old, "no longer a witness's")),
            (Some(old), Some(new)) if old == new => Some(line(Mark::Same, new, "stays a witness's")),
            (Some(old), Some(new)) => {
                let text = format!("witness's {} -> {}", describe_key(old), describe_key(new));
                Some(Change::new(Mark::Changed, text))
            }
            (None, None) => None,
        });
    }
    changes
}

/// A key, and the names of the roles that it signs.
type Roles = BTreeMap<Physical, (PublicKey, BTreeSet<String>)>;

fn roles_of_keys(root: &Root) -> Roles {
    let mut roles = Roles::new();
    for role in &TOP_LEVEL {
        if let Some(keys) = root.role(role) {
            add_roles(&mut roles, &root.keys, keys, role);
        }
    }
    roles
}

pub(super) fn add_roles(roles: &mut Roles, keys: &BTreeMap<KeyId, PublicKey>, of: &RoleKeys, role: &RoleName) {
    for key in of.keyids.iter().filter_map(|keyid| keys.get(keyid)) {
        let entry = roles.entry(physical(key)).or_insert_with(|| (key.clone(), BTreeSet::new()));
        entry.1.insert(Named(role.as_str()).to_string());
    }
}

pub(super) fn keys_and_roles(before: &Roles, after: &Roles, known: &Known<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    let none = BTreeSet::new();
    let physical: BTreeSet<&Physical> = before.keys().chain(after.keys()).collect();
    for key in physical {
        let (old, new) = (before.get(key), after.get(key));
        let Some((listed, _)) = new.or(old) else { continue };
        let (old_roles, new_roles) = (old.map_or(&none, |old| &old.1), new.map_or(&none, |new| &new.1));
        let names = |set: BTreeSet<&String>| set.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let (gains, loses) = (new_roles.difference(old_roles).collect(), old_roles.difference(new_roles).collect());
        let keeps: BTreeSet<&String> = new_roles.intersection(old_roles).collect();
        let gained = !new_roles.is_subset(old_roles);
        let mut says = Vec::new();
        for (verb, roles) in [("gains", names(gains)), ("loses", names(loses)), ("keeps", names(keeps))] {
            if !roles.is_empty() {
                says.push(format!("{verb} {roles}"));
            }
        }
        let mark = match (old, new) {
            (None, _) => Mark::Added,
            (_, None) => Mark::Removed,
            _ if old_roles == new_roles => Mark::Same,
            _ => Mark::Changed,
        };
        let text = format!("key of {}: {}", describe_key(listed), says.join("; "));
        let usable = VerifyingKey::from_metadata(listed).is_ok();
        changes.push(Change { key: usable.then(|| key.clone()), ..Change::new(mark, text) });
        if let Some(text) = known(key).filter(|_| gained) {
            changes.push(Change::new(mark, format!("  {text}")));
        }
        if let (Some((old, _)), Some((new, _))) = (old, new)
            && old.owner() != new.owner()
        {
            let name = |key: &PublicKey| key.owner().map_or(NOBODY.to_owned(), |owner| Named(owner).to_string());
            changes
                .push(Change::new(Mark::Changed, format!("the same key passes from {} to {}", name(old), name(new))));
        }
    }
    changes
}

/// Every difference between two JSON values, in words where there are any, and by path. Lists of objects that have names
/// are compared by name. `at` is where the values stand; white space alone is an indentation.
pub(super) fn raw(at: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<Change> {
    let mut changes = Vec::new();
    let steps = if at.trim().is_empty() { Vec::new() } else { vec![Step::Field(at.to_owned())] };
    compare(&Place { at: at.to_owned(), steps }, old, new, &mut changes);
    changes
}

/// Where a value stands: as text, and step by step.
struct Place {
    at: String,
    steps: Vec<Step>,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        let steps = [&self.steps[..], &[Step::Field(name.to_owned())]].concat();
        Self { at: format!("{}.{}", self.at, Named(name)), steps }
    }

    fn item(&self, name: &str) -> Self {
        let steps = [&self.steps[..], &[Step::Item(name.to_owned())]].concat();
        Self { at: format!("{}[{}]", self.at, Named(name)), steps }
    }

    /// A line about the value: what it means, else that nobody here knows.
    fn line(&self, value: &str) -> String {
        let path = self.at.trim_start();
        let indentation = &self.at[..self.at.len() - path.len()];
        match words(&self.steps) {
            Some(words) => format!("{indentation}{words}: {value} ({path})"),
            None => format!("{indentation}no words for {path}: {value}"),
        }
    }
}

fn compare(place: &Place, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    let shown = |value: &Value| shown(&value.to_string());
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                compare(&place.field(key), old.get(key), new.get(key), changes);
            }
        }
        (Some(Value::Array(old_items)), Some(Value::Array(new_items))) => {
            let (old, new) = (by_name(old_items), by_name(new_items));
            if reordered(old_items, new_items) {
                changes.push(Change::new(Mark::Changed, place.line("what stays stands in another order")));
            }
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let (old, new) = (old.get(name).copied(), new.get(name).copied());
                compare(&place.item(name), old, new, changes);
            }
        }
        (Some(old), Some(new)) => {
            changes.push(Change::new(Mark::Changed, place.line(&format!("{} -> {}", shown(old), shown(new)))));
        }
        (None, Some(only)) | (Some(only), None) => {
            let mark = if old.is_none() { Mark::Added } else { Mark::Removed };
            let side = |value| if old.is_none() { (None, Some(value)) } else { (Some(value), None) };
            match only {
                Value::Object(members) if !members.is_empty() => {
                    for (key, value) in members {
                        let (old, new) = side(value);
                        compare(&place.field(key), old, new, changes);
                    }
                }
                Value::Array(items) if items.iter().any(Value::is_object) => {
                    for (name, value) in by_name(items) {
                        let (old, new) = side(value);
                        compare(&place.item(&name), old, new, changes);
                    }
                }
                only => changes.push(Change::new(mark, place.line(&shown(only)))),
            }
        }
        (None, None) => {}
    }
}

/// Text in full where it fits on a line; else its beginning and its digest, so that no change hides behind the cut.
fn shown(text: &str) -> String {
    if text.len() <= 150 {
        return json_line(text);
    }
    let beginning: String = text.chars().take(60).collect();
    let digest = hex::encode(sha256(text.as_bytes()));
    format!("{}... ({} bytes, SHA-256 {digest})", json_line(&beginning), text.len())
}

/// Whether what is in both lists stands in another order. Lists without names are compared by position.
fn reordered(old: &[Value], new: &[Value]) -> bool {
    let order = |items: &[Value], of: &BTreeMap<String, &Value>| -> Vec<String> {
        let name = |item: &Value| item.get("name").and_then(Value::as_str).or(item.as_str()).map(str::to_owned);
        items.iter().filter_map(name).filter(|name| of.contains_key(name)).collect()
    };
    let (old_names, new_names) = (by_name(old), by_name(new));
    order(old, &new_names) != order(new, &old_names)
}

/// The items of a list by `name`, where all have distinct ones; by text where they are plain; else by position.
fn by_name(items: &[Value]) -> BTreeMap<String, &Value> {
    let named: BTreeMap<String, &Value> = items
        .iter()
        .filter_map(|item| match item {
            Value::Object(members) => Some((members.get("name")?.as_str()?.to_owned(), item)),
            Value::String(text) => Some((text.clone(), item)),
            _ => None,
        })
        .collect();
    if named.len() == items.len() {
        return named;
    }
    items.iter().enumerate().map(|(place, item)| (format!("{place:04}"), item)).collect()
}

/// Names of keyholders that people could take for one another, each group once (Unicode Technical Standard 39, section 4).
pub(super) fn lookalikes<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Vec<String> {
    let owners: BTreeSet<String> = keys.filter_map(PublicKey::owner).map(str::to_owned).collect();
    new_lookalikes("keyholders", &BTreeSet::new(), &owners)
}

/// Most groups of names that look alike of which each is pointed out.
const MOST_ALIKE: usize = 20;

/// Names that people could take for one another, where at least one of them is new.
pub(super) fn new_lookalikes(kind: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    let mut alike: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for name in before.union(after) {
        alike.entry(same_name(name)).or_default().insert(name);
    }
    let groups: Vec<BTreeSet<&String>> = alike
        .into_values()
        .filter(|names| names.len() > 1 && names.iter().any(|name| !before.contains(*name)))
        .collect();
    let say = |names: &BTreeSet<&String>| {
        let quoted: Vec<String> = names.iter().map(|name| Named(name).to_string()).collect();
        format!("these names of {kind} look alike, and are not the same: {}", quoted.join(", "))
    };
    let mut said: Vec<String> = groups.iter().take(MOST_ALIKE).map(say).collect();
    if groups.len() > MOST_ALIKE {
        said.push(format!("{} more groups of names of {kind} look alike", groups.len() - MOST_ALIKE));
    }
    said
}
