//! Delegated roles that are kept, for who watches over what is kept.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::history::Subject;
use super::store::StoredFile;
use super::{UpdateError, Updater};
use crate::example_keys::refuse_delegation_to_example_keys;
use crate::metadata::{DelegationRule, Document as _, Expires, RoleName, Version};
use crate::trust::{LocalFile, Received, Refusal};

/// A delegated role that is kept, and that trusted metadata leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptRole {
    /// Its name.
    pub role: RoleName,
    /// Who delegates to it.
    pub delegator: RoleName,
    /// Its version, which is the one that the trusted snapshot names.
    pub version: Version,
    /// When it expires, or has expired.
    pub expires: Expires,
}

/// Most roles that are looked at: bins may be many.
const MOST_ROLES: usize = 4096;

impl Updater {
    /// The delegated roles that are kept and current: verified through trusted metadata, of the version that the trusted
    /// snapshot names. One that has expired is among them; what it delegates to is not looked at. At most 4096 are.
    ///
    /// Of hash bins, only those are found that [`super::History`] knows of.
    ///
    /// # Errors
    /// See [`UpdateError`]; those of [`Updater::refresh`].
    pub async fn kept_roles(&mut self) -> Result<Vec<KeptRole>, UpdateError> {
        self.refresh().await?;
        let noted = self.history()?.newest().into_keys().filter_map(|subject| match subject {
            Subject::Role(name) => Some(name.clone()),
            _ => None,
        });
        let noted: Vec<String> = noted.collect();
        let store = Arc::clone(&self.driver.store);
        let may_be_trial = self.driver.settings.may_be_trial();
        let trusted = self.trusted_mut();
        let mut kept = Vec::new();
        let mut seen = BTreeSet::new();
        let mut delegators = VecDeque::from([Arc::clone(trusted.targets())]);
        while let Some(delegator) = delegators.pop_front() {
            let Some(delegations) = &delegator.delegations else { continue };
            let delegated: Vec<_> = match &delegations.rule {
                DelegationRule::Roles(roles) => roles.iter().take(MOST_ROLES).collect(),
                DelegationRule::Bins(_) => noted.iter().filter_map(|name| delegations.to_role(name)).collect(),
            };
            for delegation in delegated {
                if seen.len() >= MOST_ROLES || !seen.insert(delegation.role.clone()) {
                    continue;
                }
                // What everybody can sign for is nothing here, as in a look-up, which would otherwise find it trusted.
                if !may_be_trial
                    && refuse_delegation_to_example_keys(delegator.role(), &delegator, &delegation).is_err()
                {
                    continue;
                }
                let file = StoredFile::Metadata(LocalFile::Role(delegation.role.clone()));
                let Some(bytes) = store.read(&file)? else { continue };
                let (role, delegator_name) = (delegation.role.clone(), delegator.role().clone());
                match trusted.trust_delegated(&delegator, &delegation, &Received::from(Arc::new(bytes))) {
                    Ok(targets) => {
                        let (version, expires) = (targets.version(), targets.expires().clone());
                        kept.push(KeptRole { role, delegator: delegator_name, version, expires });
                        delegators.push_back(targets);
                    }
                    Err(Refusal::Expired { version, expires, .. }) => {
                        kept.push(KeptRole { role, delegator: delegator_name, version, expires });
                    }
                    // It is not current, or damaged: whoever needs it fetches it anew.
                    Err(_) => {}
                }
            }
        }
        Ok(kept)
    }
}
