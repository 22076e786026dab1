//! Makes text from outside safe to show.
//!
//! Role names, keys of JSON objects and owner names come from documents that nobody has vouched for. Shown as
//! they are they could move the cursor, hide text by direction marks or imitate our own output.

use std::fmt::{self, Write as _};

/// Longest text that is shown before it is cut, in characters.
const LONGEST: usize = 160;

/// Displays text with everything but printable ASCII escaped, cut after 160 characters. Of a run of spaces all but the first
/// are escaped: they could begin what looks like another line.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(
    /// The text as it came.
    pub &'a str,
);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None;
        for (index, character) in self.0.chars().enumerate() {
            if index == LONGEST {
                return f.write_str("...");
            }
            match character {
                '\\' => f.write_str("\\\\")?,
                ' ' if before == Some(' ') => f.write_str(SPACE)?,
                ' '..='~' => f.write_char(character)?,
                other => write!(f, "{}", other.escape_default())?,
            }
            before = Some(character);
        }
        Ok(())
    }
}

/// A space, escaped.
const SPACE: &str = "\\u{20}";

/// Longest quoted name with spaces in it, in characters. Where a longer one is wrapped, a space could begin what looks like
/// another line.
const LONGEST_WITH_SPACES: usize = 60;

/// Displays a name from outside, whole, so that nobody takes a part of it for our words: as it is where it consists of
/// letters, digits and a few signs, none of which our lines end a name with; else in quotation marks, escaped.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a>(
    /// The name as it came.
    pub &'a str,
);

impl Named<'_> {
    fn is_plain(self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._@+-/:*=%~".contains(c);
        !self.0.is_empty()
            && self.0.chars().all(plain)
            && !self.0.starts_with(['+', '-', '~', '=', ':'])
            && !self.0.ends_with(':')
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            return f.write_str(self.0);
        }
        let quoted = Quoted(self.0).to_string();
        if quoted.len() > LONGEST_WITH_SPACES {
            return f.write_str(&quoted.replace(' ', SPACE));
        }
        f.write_str(&quoted)
    }
}

/// Displays text from outside, whole, in quotation marks: nothing in it ends them, and it has no run of spaces.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(
    /// The text as it came.
    pub &'a str,
);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut before = None;
        for character in self.0.chars() {
            match character {
                '\\' | '"' => write!(f, "\\{character}")?,
                ' ' if before == Some(' ') => f.write_str(SPACE)?,
                ' '..='~' => f.write_char(character)?,
                other => write!(f, "{}", other.escape_default())?,
            }
            before = Some(character);
        }
        f.write_char('"')
    }
}

/// Displays a line of ours, whole, in which text from outside has been escaped where it was put in: what is printable stays
/// as it is, and nothing is escaped twice.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a>(
    /// The line.
    pub &'a str,
);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None;
        for character in self.0.chars() {
            match character {
                ' ' if before == Some(' ') => f.write_str(SPACE)?,
                ' '..='~' => f.write_char(character)?,
                other => write!(f, "{}", other.escape_default())?,
            }
            before = Some(character);
        }
        Ok(())
    }
}

/// Displays JSON, in which quotation marks and backslashes are escaped already, as one line: see [`Named`] for its spaces.
#[cfg(feature = "maintainer")]
pub(crate) fn json_line(json: &str) -> String {
    let line = Line(json).to_string();
    if line.len() > LONGEST_WITH_SPACES { line.replace(' ', SPACE) } else { line }
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

    #[test]
    fn no_name_can_be_taken_for_our_words() {
        for plain in ["alice", "@alice", "bob+tuf@oppy.example", "slsa/v1/a.json", "https://oppy.example/v1"] {
            assert_eq!(Named(plain).to_string(), plain);
        }
        assert_eq!(Named("carol, ed25519").to_string(), r#""carol, ed25519""#);
        assert_eq!(Named(r#"a" b\"#).to_string(), r#""a\" b\\""#);
        for odd in ["", "tool.txt:", "+", "-x", "(a)", "a;b", "a`b"] {
            assert_eq!(Named(odd).to_string(), format!("\"{odd}\""));
        }
        // Nothing begins what looks like another line, however the terminal wraps.
        assert_eq!(Named("a   b").to_string(), r#""a \u{20}\u{20}b""#);
        assert!(!Named(&"a b ".repeat(100)).to_string().contains(' '));
        assert_eq!(Line(&Named("\u{1b}a").to_string()).to_string(), r#""\u{1b}a""#);
        assert_eq!(Quoted("a  b\n").to_string(), r#""a \u{20}b\n""#);
    }
}
