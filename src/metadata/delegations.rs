//! Grants of path sets to other roles (TUF specification section 4.5, TAP 15).

use std::collections::BTreeSet;
use std::fmt;

use super::canonical_json::Json;
use super::fields::{self, Fields};
use super::key::{KeyMap, key_map, key_map_json};
use super::role::{keyids_and_threshold, keyids_and_threshold_json};
use super::{FormatError, KeyId, RoleKeys, RoleName, TargetPath, Threshold, Unrecognized};
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
    Roles(Vec<Delegation>),
    /// Hash bins, all with the same keys (TAP 15).
    Bins(SuccinctBins),
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
    pub(crate) fn from_json(json: Json, at: &str) -> Result<Self, FormatError> {
        let mut fields = Fields::open(json, at)?;
        let keys = key_map(fields.object("keys")?, &fields.path("keys"))?;
        let rule = match (fields.optional("succinct_roles"), fields.optional("roles")) {
            (Some(bins), None) => DelegationRule::Bins(SuccinctBins::from_json(bins, &fields.path("succinct_roles"))?),
            (None, Some(Json::Array(roles))) => DelegationRule::Roles(read_roles(roles, &fields.path("roles"))?),
            (None, Some(_)) => return Err(FormatError::invalid(fields.path("roles"), "expected an array")),
            _ => return Err(FormatError::invalid(at, "expected exactly one of `roles` and `succinct_roles`")),
        };
        Ok(Self { keys, rule, unrecognized: fields.rest() })
    }

    pub(crate) fn to_json(&self) -> Json {
        let rule = match &self.rule {
            DelegationRule::Roles(roles) => ("roles", Json::Array(roles.iter().map(Delegation::to_json).collect())),
            DelegationRule::Bins(bins) => ("succinct_roles", bins.to_json()),
        };
        fields::object(&self.unrecognized, [("keys", key_map_json(&self.keys)), rule])
    }

    /// The delegation to the role called `name`, if there is one.
    pub fn to_role(&self, name: &str) -> Option<Delegation> {
        match &self.rule {
            DelegationRule::Roles(roles) => roles.iter().find(|delegation| delegation.role.as_str() == name).cloned(),
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
            DelegationRule::Roles(roles) => {
                roles.iter().filter(|role| role.paths.covers(path, path_hash)).cloned().collect()
            }
            DelegationRule::Bins(bins) => bins.delegation(bins.bin_of(path_hash)).into_iter().collect(),
        }
    }
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
