//! Whether a document is meant, or rehearsed.

/// How the `_type` of what is rehearsed begins.
const REHEARSAL: &str = "rehearsal-";

/// What a document is for. It says so in `_type`, which its signatures cover, so that nobody can make the one out of the
/// other: a `rehearsal-root` is refused by whoever expects a `root`, this program's clients and all others included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "there is no third kind")]
pub enum Occasion {
    /// It is meant.
    #[default]
    Real,
    /// People practise.
    Rehearsal,
}

impl Occasion {
    /// The `_type` of a document that has this `_type` where it is meant.
    pub fn document_type(self, meant: &str) -> String {
        match self {
            Self::Real => meant.to_owned(),
            Self::Rehearsal => format!("{REHEARSAL}{meant}"),
        }
    }

    /// What the `_type` of a rehearsal would be if it were meant; `None` of any other.
    pub(super) fn meant(rehearsed: &str) -> Option<&str> {
        rehearsed.strip_prefix(REHEARSAL)
    }
}
