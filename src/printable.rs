//! Makes text from outside safe to show.
//!
//! Role names, keys of JSON objects and owner names come from documents that nobody has vouched for. Shown as
//! they are they could move the cursor, hide text by direction marks or imitate our own output.

use std::fmt::{self, Write as _};

/// Longest text that is shown before it is cut, in characters.
const LONGEST: usize = 160;

/// Displays text with everything but printable ASCII escaped, cut after 160 characters.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(
    /// The text as it came.
    pub &'a str,
);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.chars().enumerate() {
            if index == LONGEST {
                return f.write_str("...");
            }
            match character {
                '\\' => f.write_str("\\\\")?,
                ' '..='~' => f.write_char(character)?,
                other => write!(f, "{}", other.escape_default())?,
            }
        }
        Ok(())
    }
}

/// Displays text of several lines with everything but printable ASCII and line ends escaped.
#[cfg(feature = "maintainer")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrintableLines<'a>(pub(crate) &'a str);

#[cfg(feature = "maintainer")]
impl fmt::Display for PrintableLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' | ' '..='~' => f.write_char(character)?,
                other => write!(f, "{}", other.escape_default())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        assert_eq!(Printable("a\u{1b}[2Jb\u{202e}c\n\\").to_string(), r"a\u{1b}[2Jb\u{202e}c\n\\");
        assert_eq!(Printable(&"x".repeat(500)).to_string().len(), LONGEST + 3);
    }
}
