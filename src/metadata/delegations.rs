//! Grants of path sets to other roles (TUF specification section 4.5, TAP 15).

use std::collections::BTreeSet;
use std::fmt;

use std::collections::BTreeMap;
use std::ops::Range;

use super::canonical_json::{self, Cursor, Json};
use super::fields::{self, Fields};
use super::key::{KeyMap, key_map, key_map_json};
use super::role::{keyids_and_threshold, keyids_and_threshold_json};
use super::{FormatError, KeyId, RoleKeys, RoleName, SignedBytes, TargetPath, Threshold, Unrecognized};
use crate::printable::Printable;

/// The delegations of one targets document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegations {
    /// Keys by keyid. They mean nothing outside this document.
    pub keys: KeyMap,
    /// To whom paths are granted.
    pub rule: DelegationRule,
    /// Unknown fields.
    pub unrecognized: Unrecognized,
}

/// The two forms that delegations take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the specification and TAP 15 define these two")]
pub enum DelegationRule {
    /// Named roles, in order of preference.
    Roles(DelegatedRoles),
    /// Hash bins, all with the same keys (TAP 15).
    Bins(SuccinctBins),
}

/// Grants to named roles. All are checked when the document is read.
///
/// Those of the usual form stay in the bytes that were signed, and are read one by one: there may be many thousands.
#[derive(Debug, Clone)]
pub struct DelegatedRoles(Kept);

#[derive(Debug, Clone)]
enum Kept {
    InPlace { signed: SignedBytes, array: Range<usize>, count: usize },
    Read(Vec<Delegation>),
}

/// A grant to one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Who may sign for these paths.
    pub role: RoleName,
    /// With which keys.
    pub keys: RoleKeys,
    /// Which paths.
    pub paths: PathRule,
    /// Whether the search ends here when a path matches.
    pub terminating: bool,
}

/// Which target paths a delegation covers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the specification defines these two")]
pub enum PathRule {
    /// Shell-style patterns: see [`matches_pattern`].
    Patterns(Vec<String>),
    /// Prefixes of the hexadecimal SHA-256 of the path.
    HashPrefixes(Vec<String>),
}

/// 2^`bit_length` roles that share keys and divide paths by their hash (TAP 15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccinctBins {
    /// Keyids that may sign every bin.
    pub keyids: BTreeSet<KeyId>,
    /// How many distinct keys must sign.
    pub threshold: Threshold,
    /// Leading bits of the path's SHA-256 that choose the bin: 1 to 32.
    pub bit_length: u32,
    /// Bins are called `<name_prefix>-<hexadecimal number>`.
    pub name_prefix: String,
    /// Unknown fields.
    pub unrecognized: Unrecognized,
}

impl Delegations {
    /// Reads the value of `delegations`, which stands at `range`.
    pub(super) fn from_signed(signed: &SignedBytes, range: Range<usize>) -> Result<Self, FormatError> {
        let at = "signed.delegations";
        let value = &signed[range.clone()];
        let mut in_place = None;
        let json = if value.first() == Some(&b'{') {
            let mut others = BTreeMap::new();
            let mut members = canonical_json::members(value);
            while let Some((key, value)) = members.next() {
                if key == b"roles"
                    && let Some(count) = count_plain(value)
                {
                    let end = range.start + members.position();
                    in_place = Some(Kept::InPlace { signed: signed.clone(), array: end - value.len()..end, count });
                    continue;
                }
                others.insert(canonical_json::unescape(key), Json::from_canonical(value));
            }
            Json::Object(others)
        } else {
            Json::from_canonical(value)
        };
        let mut fields = Fields::open(json, at)?;
        let keys = key_map(fields.object("keys")?, &fields.path("keys"))?;
        let rule = match (fields.optional("succinct_roles"), in_place, fields.optional("roles")) {
            (Some(bins), None, None) => {
                DelegationRule::Bins(SuccinctBins::from_json(bins, &fields.path("succinct_roles"))?)
            }
            (None, Some(in_place), _) => DelegationRule::Roles(DelegatedRoles(in_place)),
            (None, None, Some(Json::Array(roles))) => {
                DelegationRule::Roles(DelegatedRoles(Kept::Read(read_roles(roles, &fields.path("roles"))?)))
            }
            (None, None, Some(_)) => return Err(FormatError::invalid(fields.path("roles"), "expected an array")),
            _ => return Err(FormatError::invalid(at, "expected exactly one of `roles` and `succinct_roles`")),
        };
        Ok(Self { keys, rule, unrecognized: fields.rest() })
    }

    pub(crate) fn to_json(&self) -> Json {
        let rule = match &self.rule {
            DelegationRule::Roles(roles) => {
                ("roles", Json::Array(roles.iter().map(|delegation| delegation.to_json()).collect()))
            }
            DelegationRule::Bins(bins) => ("succinct_roles", bins.to_json()),
        };
        fields::object(&self.unrecognized, [("keys", key_map_json(&self.keys)), rule])
    }

    /// The delegation to the role called `name`, if there is one.
    pub fn to_role(&self, name: &str) -> Option<Delegation> {
        match &self.rule {
            DelegationRule::Roles(roles) => roles.to_role(name),
            DelegationRule::Bins(bins) => {
                let number = name.strip_prefix(&bins.name_prefix)?.strip_prefix('-')?;
                let bin = u32::from_str_radix(number, 16).ok()?;
                let exists = bins.bit_length == 32 || bin < 1 << bins.bit_length;
                (exists && bins.bin_name(bin) == name).then(|| bins.delegation(bin)).flatten()
            }
        }
    }

    /// The delegations that cover a target, in order. `path_hash` is the SHA-256 of `path`.
    pub fn covering(&self, path: &TargetPath, path_hash: &[u8; 32]) -> Vec<Delegation> {
        match &self.rule {
            DelegationRule::Roles(roles) => roles.covering(path, path_hash),
            DelegationRule::Bins(bins) => bins.delegation(bins.bin_of(path_hash)).into_iter().collect(),
        }
    }
}

impl DelegatedRoles {
    /// The grants, in order of preference.
    pub fn iter(&self) -> impl Iterator<Item = Delegation> + '_ {
        let (plain, read) = self.kept();
        plain.map(|plain| plain.to_delegation()).chain(read.iter().cloned())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::InPlace { count, .. } => *count,
            Kept::Read(roles) => roles.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn to_role(&self, name: &str) -> Option<Delegation> {
        let mut escaped = Vec::new();
        canonical_json::write_string(name, &mut escaped);
        let escaped = &escaped[1..escaped.len() - 1];
        let (mut plain, read) = self.kept();
        let found = plain.find(|plain| plain.name == escaped).map(|plain| plain.to_delegation());
        found.or_else(|| read.iter().find(|delegation| delegation.role.as_str() == name).cloned())
    }

    fn covering(&self, path: &TargetPath, path_hash: &[u8; 32]) -> Vec<Delegation> {
        let hash = hex::encode(path_hash);
        let (plain, read) = self.kept();
        let plain = plain.filter(|plain| plain.covers(path, &hash)).map(|plain| plain.to_delegation());
        plain.chain(read.iter().filter(|role| role.paths.covers(path, path_hash)).cloned()).collect()
    }

    /// The grants, in whichever form they are kept; one of the two is empty.
    fn kept(&self) -> (PlainDelegations<'_>, &[Delegation]) {
        match &self.0 {
            Kept::InPlace { signed, array, .. } => (PlainDelegations::of(&signed[array.clone()]), &[]),
            Kept::Read(roles) => (PlainDelegations::of(b"[]"), roles),
        }
    }
}

impl PartialEq for DelegatedRoles {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for DelegatedRoles {}

/// Counts the delegations of a canonical array if all are of the usual form and no role is named twice. `None` says
/// nothing about them: they are then read in full.
fn count_plain(array: &[u8]) -> Option<usize> {
    if array.first() != Some(&b'[') {
        return None;
    }
    let mut plain = PlainDelegations::of(array);
    let mut names: Vec<&[u8]> = plain.by_ref().map(|delegation| delegation.name).collect();
    if plain.cursor.at != array.len() - 1 {
        return None;
    }
    if !names.is_sorted_by(|left, right| left < right) {
        names.sort_unstable();
        // Escaped or not, equal names are spelled alike in canonical JSON.
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
    }
    Some(names.len())
}

/// The delegations of a canonical array as long as they are of the usual form.
struct PlainDelegations<'a> {
    cursor: Cursor<'a>,
}

impl<'a> PlainDelegations<'a> {
    fn of(array: &'a [u8]) -> Self {
        Self { cursor: Cursor { bytes: array, at: 1 } }
    }
}

impl<'a> Iterator for PlainDelegations<'a> {
    type Item = PlainDelegation<'a>;

    fn next(&mut self) -> Option<PlainDelegation<'a>> {
        let start = self.cursor.at;
        let mut next = || {
            if start > 1 {
                self.cursor.pass(b",")?;
            }
            PlainDelegation::read(&mut self.cursor)
        };
        let delegation = next();
        if delegation.is_none() {
            self.cursor.at = start;
        }
        delegation
    }
}

/// A delegation of the usual form, in place. Strings are still escaped.
struct PlainDelegation<'a> {
    keyids: &'a [u8],
    name: &'a [u8],
    by_hash: bool,
    paths: &'a [u8],
    terminating: bool,
    threshold: Threshold,
}

/// More keyids than these are compared in the way that suits any number.
const FEW_KEYIDS: usize = 8;

impl<'a> PlainDelegation<'a> {
    /// Passes a delegation that has the fields of the specification and no others.
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        cursor.pass(b"{\"keyids\":")?;
        let keyids = pass_strings(cursor)?;
        let mut few = [&b""[..]; FEW_KEYIDS];
        for (index, keyid) in strings(keyids).enumerate() {
            if index == FEW_KEYIDS || few[..index].contains(&keyid) {
                return None;
            }
            few[index] = keyid;
        }
        cursor.pass(b",\"name\":")?;
        let name = (cursor.peek() == b'"').then(|| cursor.string())?;
        if matches!(name, b"" | b"root" | b"timestamp" | b"snapshot" | b"targets") {
            return None;
        }
        let by_hash = cursor.pass(b",\"path_hash_prefixes\":").is_some();
        if !by_hash {
            cursor.pass(b",\"paths\":")?;
        }
        let paths = pass_strings(cursor)?;
        cursor.pass(b",\"terminating\":")?;
        let terminating = cursor.pass(b"true").is_some();
        if !terminating {
            cursor.pass(b"false")?;
        }
        cursor.pass(b",\"threshold\":")?;
        let threshold = Threshold::new(cursor.small_number()?)?;
        cursor.pass(b"}")?;
        Some(Self { keyids, name, by_hash, paths, terminating, threshold })
    }

    fn covers(&self, path: &TargetPath, hash: &str) -> bool {
        if self.by_hash {
            // A prefix that has an escape in it is none of a hexadecimal number.
            strings(self.paths).any(|prefix| hash.as_bytes().starts_with(prefix))
        } else {
            strings(self.paths).any(|pattern| matches_pattern(&canonical_json::unescape(pattern), path.as_str()))
        }
    }

    fn to_delegation(&self) -> Delegation {
        let role = RoleName::delegated(&canonical_json::unescape(self.name)).expect("reserved names are not plain");
        let keyids = strings(self.keyids).map(|keyid| KeyId::new(canonical_json::unescape(keyid))).collect();
        let paths = strings(self.paths).map(canonical_json::unescape).collect();
        Delegation {
            role,
            keys: RoleKeys { keyids, threshold: self.threshold, unrecognized: Unrecognized::new() },
            paths: if self.by_hash { PathRule::HashPrefixes(paths) } else { PathRule::Patterns(paths) },
            terminating: self.terminating,
        }
    }
}

/// Passes an array of strings and returns it.
fn pass_strings<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let start = cursor.at;
    cursor.pass(b"[")?;
    while cursor.peek() == b'"' {
        cursor.string();
        if cursor.pass(b",").is_none() {
            break;
        }
    }
    cursor.pass(b"]")?;
    Some(&cursor.bytes[start..cursor.at])
}

/// The strings of an array that [`pass_strings`] has passed.
fn strings(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor { bytes: array, at: 1 };
    std::iter::from_fn(move || {
        cursor.pass(b",");
        (cursor.peek() == b'"').then(|| cursor.string())
    })
}

fn read_roles(items: Vec<Json>, at: &str) -> Result<Vec<Delegation>, FormatError> {
    let mut names = BTreeSet::new();
    let mut roles = Vec::with_capacity(items.len());
    for item in items {
        let delegation = Delegation::from_json(item, &format!("{at}[{}]", roles.len()))?;
        if !names.insert(delegation.role.clone()) {
            let problem = format!("the role {} is delegated to twice", delegation.role);
            return Err(FormatError::invalid(at, problem));
        }
        roles.push(delegation);
    }
    Ok(roles)
}

impl Delegation {
    fn from_json(json: Json, at: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::open(json, at)?;
        let name = fields.string("name")?;
        let role = RoleName::delegated(&name).ok_or_else(|| {
            let problem = match name.as_str() {
                "" => "a delegated role needs a name".to_owned(),
                name => format!("`{name}` is a top-level role"),
            };
            FormatError::invalid(fields.path("name"), problem)
        })?;
        let (keyids, threshold) = keyids_and_threshold(&mut fields)?;
        let terminating = fields.boolean("terminating")?;
        let paths = match (fields.has("paths"), fields.has("path_hash_prefixes")) {
            (true, false) => PathRule::Patterns(fields.strings("paths")?),
            (false, true) => PathRule::HashPrefixes(fields.strings("path_hash_prefixes")?),
            _ => return Err(FormatError::invalid(at, "expected exactly one of `paths` and `path_hash_prefixes`")),
        };
        Ok(Self { role, keys: RoleKeys { keyids, threshold, unrecognized: fields.rest() }, paths, terminating })
    }

    fn to_json(&self) -> Json {
        let (field, paths) = match &self.paths {
            PathRule::Patterns(patterns) => ("paths", patterns),
            PathRule::HashPrefixes(prefixes) => ("path_hash_prefixes", prefixes),
        };
        let paths = Json::Array(paths.iter().map(|path| Json::from(path.as_str())).collect());
        let known =
            [("name", Json::from(self.role.as_str())), ("terminating", Json::Bool(self.terminating)), (field, paths)];
        let keys = keyids_and_threshold_json(&self.keys.keyids, self.keys.threshold);
        fields::object(&self.keys.unrecognized, known.into_iter().chain(keys))
    }
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, list) = match self {
            Self::Patterns(patterns) => ("", patterns),
            Self::HashPrefixes(prefixes) => ("hashes ", prefixes),
        };
        f.write_str(what)?;
        for (index, path) in list.iter().enumerate() {
            match index {
                0 => {}
                1..8 => f.write_str(" ")?,
                _ => return write!(f, " and {} more", list.len() - index),
            }
            Printable(path).fmt(f)?;
        }
        Ok(())
    }
}

impl PathRule {
    /// Whether the rule covers a target. `path_hash` is the SHA-256 of `path`.
    pub fn covers(&self, path: &TargetPath, path_hash: &[u8; 32]) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| matches_pattern(pattern, path.as_str())),
            Self::HashPrefixes(prefixes) => {
                let hash = hex::encode(path_hash);
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str()))
            }
        }
    }
}

impl SuccinctBins {
    fn from_json(json: Json, at: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::open(json, at)?;
        let (keyids, threshold) = keyids_and_threshold(&mut fields)?;
        let bit_length = match fields.unsigned("bit_length")? {
            #[expect(clippy::cast_possible_truncation, reason = "between 1 and 32")]
            bits @ 1..=32 => bits as u32,
            _ => return Err(FormatError::invalid(fields.path("bit_length"), "expected a number from 1 to 32")),
        };
        let name_prefix = fields.string("name_prefix")?;
        Ok(Self { keyids, threshold, bit_length, name_prefix, unrecognized: fields.rest() })
    }

    fn to_json(&self) -> Json {
        let known =
            [("bit_length", Json::from(u64::from(self.bit_length))), ("name_prefix", Json::from(&*self.name_prefix))];
        let keys = keyids_and_threshold_json(&self.keyids, self.threshold);
        fields::object(&self.unrecognized, known.into_iter().chain(keys))
    }

    /// The name of bin number `bin`, its hexadecimal number padded so that all names have one length.
    pub fn bin_name(&self, bin: u32) -> String {
        let digits = self.bit_length.div_ceil(4) as usize;
        format!("{}-{bin:0digits$x}", self.name_prefix)
    }

    /// The number of the bin that covers the path with this SHA-256.
    pub fn bin_of(&self, path_hash: &[u8; 32]) -> u32 {
        let leading = u32::from_be_bytes([path_hash[0], path_hash[1], path_hash[2], path_hash[3]]);
        leading >> (32 - self.bit_length)
    }

    fn delegation(&self, bin: u32) -> Option<Delegation> {
        Some(Delegation {
            // A prefix cannot make a bin's name that of a top-level role: every name has a `-`.
            role: RoleName::delegated(&self.bin_name(bin))?,
            keys: RoleKeys {
                keyids: self.keyids.clone(),
                threshold: self.threshold,
                unrecognized: Unrecognized::new(),
            },
            paths: PathRule::Patterns(Vec::new()),
            // Every path has exactly one bin, so there is nothing to go back to.
            terminating: true,
        })
    }
}

/// Whether `path` matches a shell-style pattern, segment by segment (TUF specification section 4.5).
///
/// `*` matches any run of characters and `?` any one, neither across `/`; `[a-z]` and `[!a-z]` match one
/// character of a set. Anything else, braces and backslashes included, stands for itself. The time is bounded by
/// the product of the lengths.
pub fn matches_pattern(pattern: &str, path: &str) -> bool {
    // Most patterns differ from the path before anything special, and need no closer look.
    let literal = pattern.split(['*', '?', '[']).next().unwrap_or_default();
    if !path.starts_with(literal) {
        return false;
    }
    let mut patterns = pattern.split('/');
    let mut segments = path.split('/');
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if matches_segment(pattern, segment) => {}
            _ => return false,
        }
    }
}

fn matches_segment(pattern: &str, segment: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let segment: Vec<char> = segment.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // Where to go back to: behind the last `*`, and one character further than it had swallowed.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            retry = Some((at, seen));
            continue;
        }
        let step = match (pattern.get(at), segment.get(seen)) {
            (None, None) => return true,
            (Some(_), Some(&character)) => match_one(&pattern[at..], character),
            _ => None,
        };
        if let Some(length) = step {
            at += length;
            seen += 1;
        } else if let Some((behind_star, swallowed)) = retry
            && swallowed < segment.len()
        {
            at = behind_star;
            seen = swallowed + 1;
            retry = Some((behind_star, seen));
        } else {
            return false;
        }
    }
}

/// Returns how many pattern characters matched `character`, if they do.
fn match_one(pattern: &[char], character: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => {
            let negated = rest.first() == Some(&'!');
            let set = &rest[usize::from(negated)..];
            // The first character belongs to the set even if it is `]`. Without an end, `[` is just a character.
            let Some(length) = set.iter().skip(1).position(|&c| c == ']').map(|end| end + 1) else {
                return (character == '[').then_some(1);
            };
            (set_contains(&set[..length], character) != negated).then_some(length + 2 + usize::from(negated))
        }
        [literal, ..] => (*literal == character).then_some(1),
        [] => None,
    }
}

fn set_contains(mut set: &[char], character: char) -> bool {
    loop {
        match set {
            [from, '-', to, rest @ ..] => {
                if (*from..=*to).contains(&character) {
                    return true;
                }
                set = rest;
            }
            [one, rest @ ..] => {
                if *one == character {
                    return true;
                }
                set = rest;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_never_crosses_a_slash() {
        assert!(matches_pattern("*", "a.txt"));
        assert!(!matches_pattern("*", "a/b.txt"));
        assert!(!matches_pattern("**", "a/b.txt"));
        assert!(matches_pattern("a/*/c", "a/b/c"));
        assert!(!matches_pattern("a/*", "a"));
        assert!(!matches_pattern("a?b", "a/b"));
        assert!(!matches_pattern("a[/]b", "a/b"));
    }

    #[test]
    fn patterns_match_as_a_shell_does() {
        for (pattern, path) in [
            ("foo-?.tgz", "foo-1.tgz"),
            ("*.tgz", ".tgz"),
            ("a*b*c", "aXbYbZc"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]x", "]x"),
            ("[x", "[x"),
            ("{a,b}", "{a,b}"),
            ("a\\*", "a\\b"),
            ("", ""),
        ] {
            assert!(matches_pattern(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("foo-?.tgz", "foo-10.tgz"), ("[!a-c]x", "bx"), ("{a,b}", "a"), ("a*b", "a"), ("a", "A")]
        {
            assert!(!matches_pattern(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        assert!(!matches_pattern(&"*a".repeat(1000), &"a".repeat(999)));
    }

    #[test]
    fn bins_are_named_as_tap_15_says() {
        let bins = |bit_length| SuccinctBins {
            keyids: BTreeSet::new(),
            threshold: Threshold::new(1).unwrap(),
            bit_length,
            name_prefix: "bin".to_owned(),
            unrecognized: Unrecognized::new(),
        };
        assert_eq!(bins(1).bin_name(1), "bin-1");
        assert_eq!(bins(5).bin_name(0x1f), "bin-1f");
        assert_eq!(bins(8).bin_name(7), "bin-07");
        assert_eq!(bins(32).bin_name(u32::MAX), "bin-ffffffff");
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&[0xca, 0x97, 0x81, 0x12]);
        assert_eq!(bins(1).bin_of(&hash), 1);
        assert_eq!(bins(8).bin_of(&hash), 0xca);
        assert_eq!(bins(32).bin_of(&hash), 0xca97_8112);
    }
}
