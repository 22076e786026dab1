//! Recognises JSON that is canonical as it stands, so that the bytes received are the bytes that were signed.
//!
//! It says yes or nothing. What it does not recognise goes to the scanner in [`super::canonical_json`], which
//! rewrites it or says what is wrong with it. A wrong yes would let two readers see different documents, so the
//! property tests hold every yes to what that scanner writes.
//!
//! While it walks over the `signed` value it notes where things stand in its large members, so that an entry is
//! found later without walking over all of them again.

use std::cmp::Ordering;

use super::canonical_json::{MAX_DEPTH, compare_keys};

/// How many bytes lie between two marks, at least.
const SPACING: usize = 8192;

/// Members of the `signed` value, which is itself a member of the document, are this deep.
const MARKED_DEPTH: usize = 3;

/// A large object and some of the places in it where a member begins, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Landmark {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) marks: Vec<usize>,
}

/// Where a canonical value ends, and the landmarks in it.
#[derive(Debug)]
pub(super) struct Recognized {
    pub(super) end: usize,
    pub(super) landmarks: Vec<Landmark>,
}

/// Recognises the canonical value that begins at `at`, inside `depth` arrays and objects. `bytes` are UTF-8.
pub(super) fn received(bytes: &[u8], at: usize, depth: usize) -> Option<Recognized> {
    Walker::<false>::recognize(bytes, at, depth)
}

/// The same for bytes that the scanner has written, in which control characters stand raw.
pub(super) fn rewritten(bytes: &[u8], at: usize, depth: usize) -> Option<Recognized> {
    Walker::<true>::recognize(bytes, at, depth)
}

/// How many bytes pass before a quote or backslash or, unless those are `CONTROLS` that stand raw, a control
/// character.
#[inline]
pub(super) fn plain_run<const CONTROLS: bool>(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // The high bit of every byte that is less than `limit`. Borrowing can only add bits above a true one, and the
    // lowest is all that is looked at.
    let less = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word);
        let mut special = less(word ^ (ONES * u64::from(b'"')), 1) | less(word ^ (ONES * u64::from(b'\\')), 1);
        if !CONTROLS {
            special |= less(word, 0x20);
        }
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\') || !CONTROLS && *byte < 0x20;
    at + bytes[at..].iter().position(special).unwrap_or(bytes.len() - at)
}

struct Walker<'a, const CONTROLS: bool> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    landmarks: Vec<Landmark>,
}

/// The content of a string, and whether there are escapes in it.
#[derive(Clone, Copy)]
struct Text<'a> {
    content: &'a [u8],
    escaped: bool,
}

impl Text<'_> {
    #[inline]
    fn is_less_than(self, next: Text<'_>) -> bool {
        if self.escaped || next.escaped {
            compare_keys(self.content, next.content) == Ordering::Less
        } else {
            self.content < next.content
        }
    }
}

impl<'a, const CONTROLS: bool> Walker<'a, CONTROLS> {
    fn recognize(bytes: &'a [u8], at: usize, depth: usize) -> Option<Recognized> {
        let mut walker = Self { bytes, at, depth, landmarks: Vec::new() };
        walker.value()?;
        Some(Recognized { end: walker.at, landmarks: walker.landmarks })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => None,
        }
    }

    #[inline]
    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Some(())
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn array(&mut self) -> Option<()> {
        self.pass(b'[')?;
        if self.pass(b']').is_some() {
            return Some(());
        }
        loop {
            self.value()?;
            if self.pass(b',').is_none() {
                return self.pass(b']');
            }
        }
    }

    fn object(&mut self) -> Option<()> {
        let start = self.at;
        self.pass(b'{')?;
        if self.pass(b'}').is_some() {
            return Some(());
        }
        let marked = self.depth == MARKED_DEPTH;
        let (mut marks, mut last_mark) = (Vec::new(), start);
        let mut previous: Option<Text<'_>> = None;
        loop {
            if marked && self.at - last_mark >= SPACING {
                marks.push(self.at);
                last_mark = self.at;
            }
            let key = self.string()?;
            // Keys in strictly rising order are sorted, and unique.
            if previous.is_some_and(|previous| !previous.is_less_than(key)) {
                return None;
            }
            previous = Some(key);
            self.pass(b':')?;
            self.value()?;
            if self.pass(b',').is_none() {
                self.pass(b'}')?;
                break;
            }
        }
        if marked && self.at - start >= SPACING {
            self.landmarks.push(Landmark { start, end: self.at, marks });
        }
        Some(())
    }

    #[inline]
    fn string(&mut self) -> Option<Text<'a>> {
        self.pass(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at += plain_run::<CONTROLS>(&self.bytes[self.at..]);
            match self.peek()? {
                b'"' => {
                    let content = &self.bytes[start..self.at];
                    self.at += 1;
                    return Some(Text { content, escaped });
                }
                // Canonical JSON escapes these two and no others.
                b'\\' if matches!(self.bytes.get(self.at + 1), Some(b'"' | b'\\')) => {
                    escaped = true;
                    self.at += 2;
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let negative = self.pass(b'-').is_some();
        let digits = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let leading_zero = self.peek()? == b'0';
        self.at += digits;
        // What follows makes it a float, and that is for the scanner to say.
        let is_float = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if digits == 0 || is_float || leading_zero && (digits > 1 || negative) {
            return None;
        }
        if digits > 18 {
            // 64 bits may not hold it.
            let number: i128 = std::str::from_utf8(&self.bytes[start..self.at]).ok()?.parse().ok()?;
            return (number >= i64::MIN.into() && number <= u64::MAX.into()).then_some(());
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_where_a_look_at_each_byte_ends_it() {
        for length in 0..40 {
            for at in 0..length {
                for special in 0..=255_u8 {
                    // Bytes on both sides of every limit, and some that borrow.
                    for filling in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                        let mut bytes = vec![filling; length];
                        bytes[at] = special;
                        bytes[length - 1] = if at == length - 1 { special } else { b'"' };
                        let slow = |controls: bool| {
                            let ends = |byte: &u8| matches!(byte, b'"' | b'\\') || !controls && *byte < 0x20;
                            bytes.iter().position(ends).unwrap_or(length)
                        };
                        assert_eq!(plain_run::<false>(&bytes), slow(false));
                        assert_eq!(plain_run::<true>(&bytes), slow(true));
                    }
                }
            }
        }
    }
}
