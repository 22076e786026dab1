//! Levels of SLSA's Build track.

use std::fmt;

/// A level of the Build track (SLSA 1.0 to 1.2). Ordered: a higher one includes the lower ones.
///
/// The levels of SLSA v0.1 (`SLSA_LEVEL_3`) say something else and are none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the Build track has these levels")]
pub enum BuildLevel {
    /// No guarantees.
    L0,
    /// Provenance exists.
    L1,
    /// A hosted build platform signed it.
    L2,
    /// The build platform is hardened.
    L3,
}

impl BuildLevel {
    /// All of them, lowest first.
    pub const ALL: [Self; 4] = [Self::L0, Self::L1, Self::L2, Self::L3];

    /// Reads the form that documents and verification summaries carry, `SLSA_BUILD_LEVEL_3` (SLSA 1.0,
    /// verification summary, `SlsaResult`). Exactly that: any other text is no Build level.
    pub fn from_document(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_document() == text)
    }

    /// Reads the short form, `L3`.
    pub fn from_short(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_short() == text)
    }

    /// The form that documents carry.
    pub fn as_document(self) -> &'static str {
        match self {
            Self::L0 => "SLSA_BUILD_LEVEL_0",
            Self::L1 => "SLSA_BUILD_LEVEL_1",
            Self::L2 => "SLSA_BUILD_LEVEL_2",
            Self::L3 => "SLSA_BUILD_LEVEL_3",
        }
    }

    /// The form for people and the command line.
    pub fn as_short(self) -> &'static str {
        match self {
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
        }
    }
}

impl fmt::Display for BuildLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legacy_level_is_no_build_level() {
        for text in ["SLSA_LEVEL_3", "SLSA_BUILD_LEVEL_4", "SLSA_BUILD_LEVEL_03", "slsa_build_level_3", "L3", "3", ""] {
            assert_eq!(BuildLevel::from_document(text), None, "{text}");
        }
        for level in BuildLevel::ALL {
            assert_eq!(BuildLevel::from_document(level.as_document()), Some(level));
            assert_eq!(BuildLevel::from_short(level.as_short()), Some(level));
        }
        assert!(BuildLevel::L3 > BuildLevel::L2);
    }
}
