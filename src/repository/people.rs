//! Adds people to `trustroot.toml`, in which all else stays as it was written.

use std::path::Path;

use fs_err as fs;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{CONFIG_FILE, Config, RepositoryError, WorkingCopy};
use crate::metadata::RoleName;

impl WorkingCopy {
    /// Adds somebody with a key, and lets them sign roles. Where that is so already nothing changes.
    ///
    /// # Errors
    /// When the file is not written in a way that can be edited, or the configuration would be wrong with it.
    pub(crate) fn add_person(&mut self, person: &str, key: &Path, roles: &[RoleName]) -> Result<(), RepositoryError> {
        let path = self.directory().join(CONFIG_FILE);
        let text = fs::read_to_string(&path)?;
        let wrong = |at: &str, problem: &str| RepositoryError::configuration(format!("{CONFIG_FILE}: {at}"), problem);
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| wrong("document", error.to_string().trim_end()))?;
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
                RoleName::Delegated(name) => ("namespaces", &**name),
                role => ("roles", role.as_str()),
            };
            let at = format!("{group}.{name}.signers");
            let signers = document.get_mut(group).and_then(|group| group.get_mut(name));
            let signers = signers.and_then(|role| role.get_mut("signers")).and_then(Item::as_array_mut);
            let signers = signers.ok_or_else(|| wrong(&at, "is no list that can be added to"))?;
            if !signers.iter().any(|signer| signer.as_str() == Some(person)) {
                signers.push(person);
            }
        }
        let changed = document.to_string();
        let config = Config::parse(&changed)?;
        if changed != text {
            crate::fs::write_durably(&path, changed.as_bytes())?;
        }
        self.set_config(config);
        Ok(())
    }
}
