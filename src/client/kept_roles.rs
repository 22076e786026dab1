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

/// Most roles that are shown, that one role's delegations are looked at for, and that are verified: bins may be many.
const MOST_ROLES: usize = 4096;

/// Most delegations that are looked at.
const MOST_DELEGATIONS: usize = 16 * MOST_ROLES;

impl Updater {
    /// The delegated roles that are kept and current: verified through trusted metadata, of the version that the trusted
    /// snapshot names. One that has expired is among them; what it delegates to is not looked at. At most 4096 are. A role is
    /// there once, by the first of its delegators, nearest to the top, through which it can be trusted.
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
        let mut kept: Vec<KeptRole> = Vec::new();
        // Only what is trusted counts as seen: whoever delegates to a role with other keys must not hide it from those who
        // are told of it by another one. Each role is a delegator once, which ends cycles.
        let mut seen = BTreeSet::new();
        let (mut looked_at, mut verified) = (0, 0);
        let mut delegators = VecDeque::from([Arc::clone(trusted.targets())]);
        while let Some(delegator) = delegators.pop_front() {
            let Some(delegations) = &delegator.delegations else { continue };
            let delegated: Vec<_> = match &delegations.rule {
                DelegationRule::Roles(roles) => roles.iter().take(MOST_ROLES).collect(),
                DelegationRule::Bins(_) => noted.iter().filter_map(|name| delegations.to_role(name)).collect(),
            };
            for delegation in delegated {
                looked_at += 1;
                if looked_at > MOST_DELEGATIONS || verified >= MOST_ROLES {
                    return Ok(kept);
                }
                if seen.contains(&delegation.role) {
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
                verified += 1;
                let (version, expires) =
                    match trusted.trust_delegated(&delegator, &delegation, &Received::from(Arc::new(bytes))) {
                        Ok(targets) => {
                            let current = (targets.version(), targets.expires().clone());
                            delegators.push_back(targets);
                            current
                        }
                        Err(Refusal::Expired { version, expires, .. }) => (version, expires),
                        // It is not current, or damaged: whoever needs it fetches it anew.
                        Err(_) => continue,
                    };
                let (role, delegator) = (delegation.role.clone(), delegator.role().clone());
                seen.insert(role.clone());
                kept.push(KeptRole { role, delegator, version, expires });
            }
        }
        Ok(kept)
    }
}
