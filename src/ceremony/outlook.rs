//! What can still become of an event: whether its thresholds can be met at all, and by whom.

use std::collections::{BTreeMap, BTreeSet};

use super::status::Under;
use super::{CeremonyError, SigningEvent};
use crate::crypto::{KeyFamily, VerifyingKey};
use crate::metadata::{KeyId, PublicKey};
use crate::repository::SignedState;
use crate::trust::Standing;

/// What can still become of one count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlook {
    /// Who asks for the signatures, such as `root v3`.
    pub by: String,
    /// How many distinct keys must sign.
    pub needed: u64,
    /// How many distinct keys have signed, or still can.
    pub possible: u64,
    /// Whether everything that is asked for has been met, or can be.
    pub reachable: bool,
    /// Keys that have not signed and without which it cannot be met: who holds them, or their keyids.
    pub must_sign: BTreeSet<String>,
    /// People whose keys are lost, have not signed, and are among those that could have.
    pub lost: BTreeSet<String>,
}

/// A key that a delegator lists for the role.
struct Listed {
    name: String,
    lost: bool,
    signed: bool,
    family: KeyFamily,
}

impl SigningEvent {
    /// Whether the thresholds can still be met, for each count, where the keys of these people are lost. A signature that a
    /// lost key has made is as good as any.
    ///
    /// # Errors
    /// When nobody may sign the event.
    pub fn outlook(&self, signed: &SignedState, lost: &[String]) -> Result<Vec<Outlook>, CeremonyError> {
        let counts = self.counts(signed)?;
        let delegators = self.delegators(signed)?;
        Ok(delegators.iter().zip(&counts).map(|(of, under)| outlook(of.listed(&self.role), under, lost)).collect())
    }

    /// Everybody whose keys may sign the event, by name.
    ///
    /// # Errors
    /// When nobody may sign the event.
    pub fn people(&self, signed: &SignedState) -> Result<BTreeSet<String>, CeremonyError> {
        let delegators = self.delegators(signed)?;
        let listed = delegators.iter().flat_map(|delegator| delegator.listed(&self.role));
        Ok(listed.filter_map(|(_, key)| key.owner().map(str::to_owned)).collect())
    }
}

fn outlook<'a>(listed: impl Iterator<Item = (&'a KeyId, &'a PublicKey)>, under: &Under, lost: &[String]) -> Outlook {
    // By physical key, as signatures are counted.
    let mut keys: BTreeMap<Vec<u8>, Listed> = BTreeMap::new();
    for (keyid, key) in listed {
        let Ok(usable) = VerifyingKey::from_metadata(key) else { continue };
        let is_it = |line: &&crate::trust::TallyLine| line.keyid == *keyid;
        let standing = under.tally.lines.iter().find(is_it).map(|line| line.standing);
        let signed = matches!(standing, Some(Standing::Valid | Standing::SameKey));
        let name = key.owner().map_or_else(|| keyid.to_string(), str::to_owned);
        let lost = key.owner().is_some_and(|owner| lost.iter().any(|lost| lost == owner));
        let entry = keys.entry(usable.canonical_spki().to_vec());
        let entry = entry.or_insert(Listed { name, lost, signed, family: usable.family() });
        entry.signed |= signed;
    }
    let can = |key: &&Listed| key.signed || !key.lost;
    let possible = keys.values().filter(can).count() as u64;
    let needed = under.tally.needed;
    let mut reachable = possible >= needed;
    let mut must_sign: BTreeSet<String> = BTreeSet::new();
    let waits = |key: &&Listed| !key.signed && !key.lost;
    if possible == needed {
        must_sign.extend(keys.values().filter(waits).map(|key| key.name.clone()));
    }
    for count in &under.families {
        let of_it = |key: &&Listed| key.family == count.family;
        let possible = keys.values().filter(of_it).filter(can).count() as u64;
        reachable &= possible >= count.needed;
        if possible == count.needed {
            must_sign.extend(keys.values().filter(of_it).filter(waits).map(|key| key.name.clone()));
        }
    }
    let gone = keys.values().filter(|key| key.lost && !key.signed).map(|key| key.name.clone()).collect();
    Outlook { by: under.by.clone(), needed, possible, reachable, must_sign, lost: gone }
}
