//! Reads JSON strictly and writes it canonically (OLPC canonical JSON, TUF specification section 4.1.1).
//!
//! Everything passed in is attacker-controlled. Signatures are made over the canonical form of the `signed`
//! value, so this file decides what a signature means: a document that two readers could understand
//! differently (repeated keys, floats, bytes after the end, broken UTF-8) is refused here, once, for everyone.
//!
//! Bytes that are canonical already are used as they are: `already_canonical.rs` recognises them. Others go
//! through a single pass that validates and rewrites at the same time. It needs no tree, so a targets document with a
//! million entries costs its own size once more and nothing else.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::already_canonical::{self, Landmark, plain_run};
use crate::printable::Printable;

/// Deepest nesting of arrays and objects that is read.
pub const MAX_DEPTH: usize = 128;

/// A JSON value without floats: what TUF metadata may contain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "JSON has these kinds of value and no others")]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer. Canonical JSON has no other numbers.
    Integer(i128),
    /// A string, kept without Unicode normalisation.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object. Keys are unique: the reader refuses repeated ones.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads one JSON value that fills `bytes` completely.
    ///
    /// # Errors
    /// Anything that is not one well-formed value: see [`JsonError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Ok(Self::from_canonical(&rewrite(bytes, Numbers::Integers)?))
    }

    /// Builds the tree of bytes that [`canonicalize`] has written.
    pub(crate) fn from_canonical(canonical: &[u8]) -> Self {
        let mut cursor = Cursor { bytes: canonical, at: 0 };
        cursor.value()
    }

    /// Writes the canonical form: keys sorted by code point, no white space, only `"` and `\` escaped.
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend(b"null"),
            Self::Bool(true) => out.extend(b"true"),
            Self::Bool(false) => out.extend(b"false"),
            Self::Integer(number) => out.extend(number.to_string().bytes()),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                // Byte order of UTF-8 is code point order, which is how the peers sort.
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_string(key, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The value for writing as ordinary JSON. An integer beyond 64 bits, which no document of ours has, becomes null.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Integer(number) => serde_json::Number::from_i128(*number).map_or(Value::Null, Value::Number),
            Self::String(text) => text.as_str().into(),
            Self::Array(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(members) => members.iter().map(|(key, value)| (key.clone(), value.to_value())).collect(),
        }
    }

    /// Names the kind of this value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Integer(number.into())
    }
}

/// Rewrites one JSON value in canonical form, refusing what has no canonical form.
///
/// # Errors
/// See [`JsonError`]; it carries the offset in `bytes`.
pub fn canonicalize(bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    rewrite(bytes, Numbers::Integers).map(Cow::into_owned)
}

/// Checks that `bytes` is one JSON value without repeated keys. Floats are allowed.
///
/// Attestations are JSON of other people's making, so they may hold floats; but a repeated key could show one
/// value to us and another to the next reader.
///
/// # Errors
/// See [`JsonError`].
pub fn check_unambiguous(bytes: &[u8]) -> Result<(), JsonError> {
    rewrite(bytes, Numbers::Any).map(drop)
}

/// The members of an object in canonical form, as `(key, value)` byte ranges, keys still escaped.
pub(super) fn members(canonical_object: &[u8]) -> Members<'_> {
    members_from(canonical_object, 1, &[])
}

/// The members from the one that begins at `at`, jumping over those that `landmarks` know.
pub(super) fn members_from<'a>(bytes: &'a [u8], at: usize, landmarks: &'a [Landmark]) -> Members<'a> {
    Members { cursor: Cursor { bytes, at }, landmarks }
}

/// One member of a document, in canonical form.
#[derive(Debug)]
pub(super) enum Part {
    /// It stands so in the bytes received.
    Received { range: Range<usize>, landmarks: Vec<Landmark> },
    /// It had to be rewritten.
    Rewritten(Vec<u8>),
}

/// Reads the object that fills `bytes` and returns two of its members, each in canonical form; `None` where the
/// value is something else. Members that nobody asked for are checked and forgotten.
pub(super) fn parts(bytes: &[u8], names: [&str; 2]) -> Result<Option<[Option<Part>; 2]>, JsonError> {
    check_utf8(bytes)?;
    let mut scanner = Scanner { input: bytes, at: 0, depth: 0, numbers: Numbers::Integers, out: Vec::new() };
    let mut parts = [None, None];
    scanner.skip_white_space();
    let is_object = scanner.peek() == Some(b'{');
    if is_object {
        scanner.nested(|scanner| {
            scanner.object(|scanner, key| {
                let part = scanner.part()?;
                let key = &scanner.out[key];
                if let Some(index) = names.iter().position(|name| name.as_bytes() == key) {
                    parts[index] = Some(part);
                }
                // So that what is written stays an object, whose keys can be compared.
                scanner.out.push(b'0');
                Ok(())
            })
        })?;
    } else {
        scanner.value()?;
    }
    scanner.end()?;
    Ok(is_object.then_some(parts))
}

/// Writes `text` as a canonical string, quotes included.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Why bytes are not acceptable JSON. Offsets count bytes from the start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The grammar of RFC 8259 is broken.
    #[error("not JSON: expected {expected} at byte {at}")]
    Syntax {
        /// Offset of the first byte that does not fit.
        at: usize,
        /// What would have fitted.
        expected: &'static str,
    },
    /// An object has the same key twice, so that two readers could see different values.
    #[error("the key `{}` stands twice in the object that ends at byte {at}", Printable(.key))]
    DuplicateKey {
        /// Offset of the end of the object.
        at: usize,
        /// The key.
        key: String,
    },
    /// Canonical JSON has no floats.
    #[error("a number with a fraction or exponent at byte {at}; only integers have a canonical form")]
    Float {
        /// Offset of the number.
        at: usize,
    },
    /// The integer does not fit into 64 bits.
    #[error("the integer at byte {at} is too large")]
    IntegerTooLarge {
        /// Offset of the number.
        at: usize,
    },
    /// Arrays and objects are nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels at byte {at}")]
    TooDeep {
        /// Offset of the bracket that is one too many.
        at: usize,
    },
    /// Something follows the value.
    #[error("unexpected bytes after the end of the document, at byte {at}")]
    TrailingBytes {
        /// Offset of the first of them.
        at: usize,
    },
    /// The bytes are not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// A `\u` escape names half of a surrogate pair.
    #[error("half of a surrogate pair at byte {at}")]
    LoneSurrogate {
        /// Offset of the escape.
        at: usize,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    Integers,
    Any,
}

fn check_utf8(bytes: &[u8]) -> Result<(), JsonError> {
    std::str::from_utf8(bytes).map(drop).map_err(|error| JsonError::NotUtf8 { at: error.valid_up_to() })
}

fn rewrite(bytes: &[u8], numbers: Numbers) -> Result<Cow<'_, [u8]>, JsonError> {
    check_utf8(bytes)?;
    if already_canonical::received(bytes, 0, 0).is_some_and(|recognized| recognized.end == bytes.len()) {
        return Ok(bytes.into());
    }
    let mut scanner = Scanner { input: bytes, at: 0, depth: 0, numbers, out: Vec::with_capacity(bytes.len()) };
    scanner.skip_white_space();
    scanner.value()?;
    scanner.end()?;
    Ok(scanner.out.into())
}

/// Validates `input` (known to be UTF-8) and writes its canonical form to `out`.
struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    depth: usize,
    numbers: Numbers,
    out: Vec<u8>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn syntax<T>(&self, expected: &'static str) -> Result<T, JsonError> {
        Err(JsonError::Syntax { at: self.at, expected })
    }

    fn value(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.nested(|scanner| scanner.object(|scanner, _| scanner.value())),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.syntax("a value"),
        }
    }

    /// Nothing but white space may follow.
    fn end(&mut self) -> Result<(), JsonError> {
        self.skip_white_space();
        if self.at < self.input.len() {
            return Err(JsonError::TrailingBytes { at: self.at });
        }
        Ok(())
    }

    /// Reads a value, and copies it only where it has to be rewritten. Nothing is written to `out`.
    fn part(&mut self) -> Result<Part, JsonError> {
        let start = self.at;
        if let Some(recognized) = already_canonical::received(self.input, start, self.depth) {
            self.at = recognized.end;
            return Ok(Part::Received { range: start..recognized.end, landmarks: recognized.landmarks });
        }
        let out = Vec::with_capacity(self.input.len() - start);
        let mut scanner = Scanner { input: self.input, at: start, depth: self.depth, numbers: self.numbers, out };
        scanner.value()?;
        self.at = scanner.at;
        Ok(Part::Rewritten(scanner.out))
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep { at: self.at });
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if !self.input[self.at..].starts_with(word) {
            return self.syntax("a value");
        }
        self.at += word.len();
        self.out.extend_from_slice(word);
        Ok(())
    }

    fn array(&mut self) -> Result<(), JsonError> {
        self.punctuation(b'[');
        self.skip_white_space();
        if self.peek() == Some(b']') {
            self.punctuation(b']');
            return Ok(());
        }
        loop {
            self.skip_white_space();
            self.value()?;
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.punctuation(b','),
                Some(b']') => {
                    self.punctuation(b']');
                    return Ok(());
                }
                _ => return self.syntax("`,` or `]`"),
            }
        }
    }

    /// Reads an object; `value` is to read the value of the key that stands at the given range of `out`.
    fn object(
        &mut self,
        mut value: impl FnMut(&mut Self, Range<usize>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let start = self.out.len();
        self.punctuation(b'{');
        self.skip_white_space();
        if self.peek() == Some(b'}') {
            self.punctuation(b'}');
            return Ok(());
        }
        let mut in_order = true;
        let mut previous: Option<Range<usize>> = None;
        loop {
            self.skip_white_space();
            if self.peek() != Some(b'"') {
                return self.syntax("a key");
            }
            let key = self.string()?;
            if let Some(previous) = previous {
                in_order &= compare_keys(&self.out[previous], &self.out[key.clone()]) == Ordering::Less;
            }
            previous = Some(key.clone());
            self.skip_white_space();
            if self.peek() != Some(b':') {
                return self.syntax("`:`");
            }
            self.punctuation(b':');
            self.skip_white_space();
            value(self, key)?;
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.punctuation(b','),
                Some(b'}') => {
                    self.punctuation(b'}');
                    break;
                }
                _ => return self.syntax("`,` or `}`"),
            }
        }
        // Keys in strictly rising order are unique; only then may the sort be skipped.
        if in_order { Ok(()) } else { self.sort_object(start) }
    }

    /// Sorts the members of the object that was written from `start` on.
    fn sort_object(&mut self, start: usize) -> Result<(), JsonError> {
        let object = self.out.split_off(start);
        let mut sorted: Vec<(&[u8], &[u8])> = members(&object).collect();
        sorted.sort_by(|(left, _), (right, _)| compare_keys(left, right));
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(JsonError::DuplicateKey { at: self.at, key: unescape(pair[0].0) });
        }
        self.out.push(b'{');
        for (index, (key, value)) in sorted.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.push(b'"');
            self.out.extend_from_slice(key);
            self.out.extend_from_slice(b"\":");
            self.out.extend_from_slice(value);
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Copies one byte that is known to be there.
    fn punctuation(&mut self, byte: u8) {
        self.at += 1;
        self.out.push(byte);
    }

    /// Rewrites a string and returns where its content stands in `out`, without the quotes.
    fn string(&mut self) -> Result<Range<usize>, JsonError> {
        self.punctuation(b'"');
        let start = self.out.len();
        loop {
            let run = plain_run::<false>(&self.input[self.at..]);
            self.out.extend_from_slice(&self.input[self.at..self.at + run]);
            self.at += run;
            match self.peek() {
                Some(b'"') => {
                    let content = start..self.out.len();
                    self.punctuation(b'"');
                    return Ok(content);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.syntax("no control character in a string"),
                None => return self.syntax("the end of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let escape_at = self.at;
        self.at += 1;
        let Some(kind) = self.peek() else { return self.syntax("an escape") };
        self.at += 1;
        let plain = match kind {
            b'"' | b'\\' => {
                self.out.extend_from_slice(&[b'\\', kind]);
                return Ok(());
            }
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode_escape(escape_at)?,
            _ => {
                self.at -= 1;
                return self.syntax("an escape");
            }
        };
        if matches!(plain, '"' | '\\') {
            self.out.push(b'\\');
        }
        self.out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn unicode_escape(&mut self, escape_at: usize) -> Result<char, JsonError> {
        let lone = JsonError::LoneSurrogate { at: escape_at };
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.input[self.at..].starts_with(b"\\u") {
                    return Err(lone);
                }
                self.at += 2;
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(lone);
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or(lone)
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.syntax("four hexadecimal digits");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.syntax("a digit"),
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        let text = &self.input[start..self.at];
        if self.numbers == Numbers::Any {
            self.out.extend_from_slice(text);
            return Ok(());
        }
        if !integer {
            return Err(JsonError::Float { at: start });
        }
        // 20 characters hold every 64-bit integer, signed or not, so the parse below cannot fail on a longer one.
        let number = std::str::from_utf8(text).ok().filter(|text| text.len() <= 20);
        let number = number.and_then(|text| text.parse::<i128>().ok());
        match number {
            Some(number) if number >= i64::MIN.into() && number <= u64::MAX.into() => {
                // Written from the value, so that `-0` becomes `0`.
                self.out.extend(number.to_string().bytes());
                Ok(())
            }
            _ => Err(JsonError::IntegerTooLarge { at: start }),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.syntax("a digit");
        }
        self.digits();
        Ok(())
    }
}

/// Orders escaped keys by the code points that they stand for.
pub(super) fn compare_keys(left: &[u8], right: &[u8]) -> Ordering {
    if left.contains(&b'\\') || right.contains(&b'\\') {
        unescaped(left).cmp(unescaped(right))
    } else {
        left.cmp(right)
    }
}

/// The bytes that a canonical string's content stands for: a backslash only ever protects the next byte.
fn unescaped(content: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = content.iter().copied();
    std::iter::from_fn(move || match bytes.next() {
        Some(b'\\') => bytes.next(),
        other => other,
    })
}

pub(super) fn unescape(content: &[u8]) -> String {
    let bytes = if content.contains(&b'\\') { unescaped(content).collect() } else { content.to_vec() };
    // The scanner has checked the encoding, so nothing is lost.
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Walks bytes that [`Scanner`] has written; their grammar is not checked again.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Moves behind `expected`, where that is what stands at the cursor.
    pub(super) fn pass(&mut self, expected: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(expected).then(|| self.at += expected.len())
    }

    /// Moves behind an integer of at most 18 digits and without a sign.
    pub(super) fn small_number(&mut self) -> Option<u64> {
        let start = self.at;
        let mut number = 0;
        while let digit @ b'0'..=b'9' = self.peek() {
            number = number * 10 + u64::from(digit - b'0');
            self.at += 1;
            if self.at - start > 18 {
                return None;
            }
        }
        (self.at > start).then_some(number)
    }

    /// Returns the content of the string at the cursor and moves behind it.
    pub(super) fn string(&mut self) -> &'a [u8] {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain_run::<true>(self.bytes.get(self.at..).unwrap_or_default());
            if self.peek() != b'\\' {
                break;
            }
            self.at += 2;
        }
        let end = self.at.min(self.bytes.len());
        self.at = end + 1;
        &self.bytes[start..end]
    }

    fn scalar(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| matches!(byte, b',' | b']' | b'}')).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Moves behind the value at the cursor and returns its bytes.
    pub(super) fn skip(&mut self) -> &'a [u8] {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                b'"' => drop(self.string()),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => drop(self.scalar()),
            }
            if depth == 0 || self.at >= self.bytes.len() {
                return self.bytes.get(start..self.at).unwrap_or_default();
            }
        }
    }

    fn value(&mut self) -> Json {
        match self.peek() {
            b'{' => {
                let mut members = BTreeMap::new();
                self.at += 1;
                while self.peek() == b'"' {
                    let key = unescape(self.string());
                    self.at += 1;
                    members.insert(key, self.value());
                    if self.peek() == b',' {
                        self.at += 1;
                    }
                }
                self.at += 1;
                Json::Object(members)
            }
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                while !matches!(self.peek(), b']' | 0) {
                    items.push(self.value());
                    if self.peek() == b',' {
                        self.at += 1;
                    }
                }
                self.at += 1;
                Json::Array(items)
            }
            b'"' => Json::String(unescape(self.string())),
            _ => match self.scalar() {
                b"true" => Json::Bool(true),
                b"false" => Json::Bool(false),
                b"null" => Json::Null,
                number => std::str::from_utf8(number)
                    .ok()
                    .and_then(|number| number.parse().ok())
                    .map_or(Json::Null, Json::Integer),
            },
        }
    }
}

/// Iterates over the members of a canonical object. See [`members`].
pub(super) struct Members<'a> {
    cursor: Cursor<'a>,
    /// What lies ahead, in order.
    landmarks: &'a [Landmark],
}

impl<'a> Members<'a> {
    /// Where the value returned last ends, counted from the start of the bytes.
    pub(super) fn position(&self) -> usize {
        self.cursor.at
    }

    /// Moves behind the next key and its colon, and returns the key. Its value is then to be read from the cursor.
    pub(super) fn next_key(&mut self) -> Option<&'a [u8]> {
        if self.cursor.peek() == b',' {
            self.cursor.at += 1;
        }
        if self.cursor.peek() != b'"' {
            return None;
        }
        let key = self.cursor.string();
        self.cursor.at += 1;
        Some(key)
    }

    /// The value of `key`, as it stands escaped; keys are in order, so that the search ends early.
    pub(super) fn find_sorted(self, key: &[u8]) -> Option<&'a [u8]> {
        self.map(|(there, value)| (compare_keys(there, key), value))
            .find(|(order, _)| order.is_ge())
            .and_then(|(order, value)| order.is_eq().then_some(value))
    }

    /// Stands at the value after [`Members::next_key`].
    pub(super) fn cursor(&mut self) -> &mut Cursor<'a> {
        &mut self.cursor
    }

    fn skip(&mut self) -> &'a [u8] {
        let start = self.cursor.at;
        while let Some((landmark, ahead)) = self.landmarks.split_first()
            && landmark.start <= start
        {
            self.landmarks = ahead;
            if landmark.start == start {
                self.cursor.at = landmark.end;
                return &self.cursor.bytes[start..landmark.end];
            }
        }
        self.cursor.skip()
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.next_key()?;
        Some((key, self.skip()))
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(canonicalize(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_sorted_and_white_space_goes() {
        assert_eq!(canonical(" { \"b\" : [ 1 , true ] , \"a\" : null } "), r#"{"a":null,"b":[1,true]}"#);
    }

    #[test]
    fn only_quote_and_backslash_stay_escaped() {
        assert_eq!(canonical(r#""\u0041\n\/\"\\\u0022""#), "\"A\n/\\\"\\\\\\\"\"");
    }

    #[test]
    fn keys_sort_by_the_characters_they_stand_for() {
        // `"` sorts before `A`, although its escaped form starts with a backslash, which sorts after.
        assert_eq!(canonical(r#"{"A":1,"\"":2}"#), r#"{"\"":2,"A":1}"#);
    }

    #[test]
    fn text_is_not_normalised() {
        assert_eq!(canonical("\"e\\u0301\""), "\"e\u{301}\"");
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let refused = |text: &str| canonicalize(text.as_bytes()).unwrap_err();
        assert!(matches!(refused(r#"{"a":1,"a":2}"#), JsonError::DuplicateKey { .. }));
        assert!(matches!(refused(r#"{"b":1,"a":0,"\u0062":2}"#), JsonError::DuplicateKey { .. }));
        assert_eq!(refused("1.0"), JsonError::Float { at: 0 });
        assert_eq!(refused("[1e3]"), JsonError::Float { at: 1 });
        assert_eq!(refused("{} x"), JsonError::TrailingBytes { at: 3 });
        assert_eq!(refused(r#""\ud800""#), JsonError::LoneSurrogate { at: 1 });
        assert_eq!(refused("18446744073709551616"), JsonError::IntegerTooLarge { at: 0 });
        assert!(matches!(refused("01"), JsonError::TrailingBytes { .. }));
        assert!(matches!(refused("\"a\nb\""), JsonError::Syntax { .. }));
        assert!(matches!(canonicalize(b"\"\xff\""), Err(JsonError::NotUtf8 { at: 1 })));
        assert!(matches!(refused(&"[".repeat(200)), JsonError::TooDeep { at: 128 }));
    }

    #[test]
    fn floats_pass_where_no_signature_depends_on_them() {
        assert_eq!(check_unambiguous(b"{\"a\":1.5e3}"), Ok(()));
        assert!(check_unambiguous(b"{\"a\":1.5,\"a\":1}").is_err());
    }

    #[test]
    fn tree_and_bytes_agree() {
        let text = r#"{"":[],"a":{"b":[1,-2,{"c":"\"}]"}],"d":false},"z":null}"#;
        assert_eq!(Json::parse(text.as_bytes()).unwrap().to_canonical(), text.as_bytes());
    }
}
