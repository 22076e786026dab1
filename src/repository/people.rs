//! Adds people to `trustroot.toml`, in which all else stays as it was written.

use std::path::Path;

use fs_err as fs;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{CONFIG_FILE, Config, RepositoryError, WorkingCopy};
use crate::fs::write_durably;
use crate::metadata::RoleName;

/// A configuration with somebody more in it, not written yet.
#[derive(Debug)]
pub(crate) struct WithPerson {
    text: String,
    config: Config,
}

/// Adds to a list as its last entry stands: on a line of its own, where that has one.
fn push(list: &mut Array, text: &str) {
    let before = list.iter().last().and_then(|last| last.decor().prefix()?.as_str()).unwrap_or_default();
    let indented = before.rsplit_once('\n').map(|(_, indent)| format!("\n{indent}"));
    match indented {
        Some(prefix) => list.push_formatted(toml_edit::Value::from(text).decorated(prefix, "")),
        None => list.push(text),
    }
}

impl WorkingCopy {
    /// The configuration with somebody who has a key and signs roles. Where that is so already it is as it is.
    ///
    /// # Errors
    /// When the file is not written in a way that can be edited, or the configuration would be wrong with it.
    pub(crate) fn with_person(
        &self,
        person: &str,
        key: &Path,
        roles: &[RoleName],
    ) -> Result<WithPerson, RepositoryError> {
        let text = fs::read_to_string(self.below(CONFIG_FILE)?)?;
        let wrong = |at: &str, problem: &str| RepositoryError::configuration(format!("{CONFIG_FILE}: {at}"), problem);
        let mut document: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| wrong("document", &super::config::said_of_toml(&error)))?;
        let people = document.entry("people").or_insert_with(|| {
            let mut people = Table::new();
            people.set_implicit(true);
            Item::Table(people)
        });
        let people = people.as_table_mut().ok_or_else(|| wrong("people", "is no table that can be added to"))?;
        if !people.contains_key(person) {
            let mut table = Table::new();
            let key = key.to_str().ok_or_else(|| wrong("people", "the file of the key has no name in UTF-8"))?;
            table["keys"] = value(Array::from_iter([key]));
            people.insert(person, Item::Table(table));
        }
        for role in roles {
            let (group, name) = match role {
                RoleName::Delegated(name) if self.config().delegations.contains_key(&**name) => {
                    ("delegations", &**name)
                }
                RoleName::Delegated(name) => ("namespaces", &**name),
                role => ("roles", role.as_str()),
            };
            let at = format!("{group}.{name}.signers");
            let signers = document.get_mut(group).and_then(|group| group.get_mut(name));
            let signers = signers.and_then(|role| role.get_mut("signers")).and_then(Item::as_array_mut);
            let signers = signers.ok_or_else(|| wrong(&at, "is no list that can be added to"))?;
            if !signers.iter().any(|signer| signer.as_str() == Some(person)) {
                push(signers, person);
            }
        }
        let text = document.to_string();
        let config = Config::parse(&text)?;
        Ok(WithPerson { text, config })
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn take_on(&mut self, with: WithPerson) -> Result<(), RepositoryError> {
        write_durably(&self.below(CONFIG_FILE)?, with.text.as_bytes())?;
        self.set_config(with.config, &with.text);
        Ok(())
    }
}
