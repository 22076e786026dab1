//! The level that may be granted: no more than the catalog allows, no more than the builder claims.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{BuildLevel, Builder, NamespaceEntry};

/// How a level came about at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EffectiveLevel {
    /// The cap of the catalog that is valid then; without one nothing is granted.
    pub cap: Option<BuildLevel>,
    /// The highest claim of the builder that is valid then; of a verifier, the highest level that its summary says.
    /// Without one nothing is granted.
    pub qualification: Option<BuildLevel>,
    /// What the consumer allows at most.
    pub overlay: Option<BuildLevel>,
}

impl EffectiveLevel {
    /// The least of all, or `None` where nothing is granted.
    pub fn level(&self) -> Option<BuildLevel> {
        let granted = self.cap?.min(self.qualification?);
        Some(self.overlay.map_or(granted, |overlay| granted.min(overlay)))
    }
}

impl fmt::Display for EffectiveLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |level: Option<BuildLevel>| level.map_or("none", BuildLevel::as_short);
        write!(f, "min(cap {}, qualification {}", show(self.cap), show(self.qualification))?;
        if let Some(overlay) = self.overlay {
            write!(f, ", overlay {overlay}")?;
        }
        write!(f, ") = {}", show(self.level()))
    }
}

/// The cap of a namespace that is valid at `time`: the lowest, where several are, since a cap caps.
pub fn cap_at(entry: &NamespaceEntry, time: DateTime<Utc>) -> Option<BuildLevel> {
    entry.caps.iter().filter(|cap| cap.valid_for.includes(time)).map(|cap| cap.level).min()
}

/// The highest Build level that a builder claims and that is valid at `time`.
pub fn qualification_at(builder: &Builder, time: DateTime<Utc>) -> Option<BuildLevel> {
    let valid = builder.qualifications.iter().filter(|claim| claim.valid_for.includes(time));
    valid.filter_map(super::Qualification::level).max()
}

/// Returns how the level of a builder comes about at `time`.
pub fn effective_level(
    entry: &NamespaceEntry,
    builder: &Builder,
    overlay: Option<BuildLevel>,
    time: DateTime<Utc>,
) -> EffectiveLevel {
    EffectiveLevel { cap: cap_at(entry, time), qualification: qualification_at(builder, time), overlay }
}
