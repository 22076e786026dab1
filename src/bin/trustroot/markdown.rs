//! What a forge shows as a comment, in Markdown.
//!
//! Whatever comes from metadata, events or configuration stands in blocks of code, where neither Markdown nor HTML means
//! anything, and where forges read no mentions, references or commands. Outside of them stand our own words alone.

use std::fmt::Write as _;

/// Longest content of all blocks together, in bytes: forges take comments of 65,536 characters.
const LONGEST: usize = 40_000;
/// Most sections that are shown.
const MOST_SECTIONS: usize = 10;

/// A comment, made of sections of the same length at most.
pub(crate) struct Comment {
    text: String,
    sections: usize,
    /// Longest content of the blocks of one section, in bytes.
    each: usize,
    /// What is left of that.
    left: usize,
}

impl Comment {
    /// Begins a comment. The first line, which is not shown, tells a program its own comment from others.
    pub(crate) fn begin(sections: usize) -> Self {
        let each = LONGEST / sections.clamp(1, MOST_SECTIONS);
        Self { text: "<!-- trustroot ceremony status -->\n".to_owned(), sections: 0, each, left: each }
    }

    /// Whether there is room for another section; after the last one it is said how many there were.
    pub(crate) fn has_room(&self) -> bool {
        self.sections < MOST_SECTIONS
    }

    /// Begins a section about something of this name.
    pub(crate) fn section(&mut self, what: &str, name: &str) {
        self.sections += 1;
        self.left = self.each;
        let _ = write!(self.text, "\n### {what} {}\n", code(name));
    }

    /// Adds words of our own.
    pub(crate) fn say(&mut self, words: &str) {
        let _ = write!(self.text, "\n{words}\n");
    }

    /// Adds a block of lines from elsewhere, with at most one part in so many of what is left of the section.
    pub(crate) fn block(&mut self, language: &str, lines: &str, one_in: usize) {
        let lines: Vec<String> = lines.lines().map(printable).collect();
        let fence = "`".repeat(longest_run(&lines).max(2) + 1);
        let _ = write!(self.text, "\n{fence}{language}\n");
        let mut room = self.left / one_in;
        for (index, line) in lines.iter().enumerate() {
            if line.len() >= room {
                let _ = writeln!(self.text, "... and {} more lines, which the command shows", lines.len() - index);
                break;
            }
            room -= line.len() + 1;
            self.left -= line.len() + 1;
            let _ = writeln!(self.text, "{line}");
        }
        let _ = writeln!(self.text, "{fence}");
    }

    pub(crate) fn end(self) -> String {
        self.text
    }
}

/// A short text in a line of our own, as code.
pub(crate) fn code(text: &str) -> String {
    let text = printable(text);
    let fence = "`".repeat(longest_run(std::slice::from_ref(&text)) + 1);
    // A space keeps backticks of the text apart from ours, and is not shown.
    if text.is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}

fn longest_run(lines: &[String]) -> usize {
    lines.iter().flat_map(|line| line.split(|character| character != '`')).map(str::len).max().unwrap_or(0)
}

/// Printable ASCII alone: what was let through before is let through again.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => shown.push(character),
            other => {
                let _ = write!(shown, "{}", other.escape_default());
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_closes_the_block_that_it_stands_in() {
        for text in ["```", "  ````\n@team", "`````````` \n~~~\n# x", "a\u{b}b\u{202e}\u{2028}```"] {
            let mut comment = Comment::begin(1);
            comment.block("text", text, 1);
            let written = comment.end();
            let fence: String = written.lines().nth(2).unwrap_or_default().replace("text", "");
            let closing = written.lines().filter(|line| line.trim().starts_with(&fence)).count();
            assert_eq!(closing, 2, "{written}");
            assert!(written.is_ascii());
        }
        assert_eq!(code("a`b``"), "``` a`b`` ```");
        assert_eq!(code("root-v2"), "`root-v2`");
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let mut comment = Comment::begin(1);
        comment.block("text", &"line\n".repeat(100_000), 2);
        let written = comment.end();
        assert!(written.len() < LONGEST, "{}", written.len());
        assert!(written.ends_with("... and 96000 more lines, which the command shows\n```\n"), "{}", written.len());
        let mut comment = Comment::begin(1_000_000);
        while comment.has_room() {
            comment.section("Signing event", &"x".repeat(100));
            for one_in in [2, 2, 4, 4, 4, 1] {
                comment.block("text", &"y\n".repeat(10_000), one_in);
            }
        }
        assert!(comment.end().len() < 65_536);
    }
}
