//! Properties of canonical JSON, documents and patterns, held against simpler ways to say the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use trustroot::crypto::sha256;
use trustroot::metadata::canonical_json::{Json, JsonError, canonicalize, check_unambiguous};
use trustroot::metadata::{
    DelegationRule, Document, EntryWindows, Envelope, FormatError, RoleName, Root, Snapshot, TargetPath, Targets,
    TargetsOutline, Timestamp, matches_pattern,
};

/// Text with the characters that matter to a JSON reader well represented.
fn text() -> impl Strategy<Value = String> {
    let tricky = proptest::sample::select(vec!['"', '\\', '/', '{', '}', '[', ']', ',', ':', '\n', '\0', '\u{7f}']);
    vec(prop_oneof![3 => any::<char>(), 3 => tricky, 4 => proptest::char::range('a', 'c')], 0..6)
        .prop_map(|characters| characters.into_iter().collect())
}

/// Any value that has a canonical form.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(text(), inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Decisions of a writer of JSON, taken from random bytes.
struct Whim<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl<'a> Whim<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter().cycle())
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % limit
    }
}

/// Writes a value in some way that JSON allows: white space, order of keys and escapes vary.
fn written(value: &Value, whim: &mut Whim<'_>) -> String {
    let space = |whim: &mut Whim<'_>| ["", " ", "\n\t", "\r\n  "][whim.below(4)];
    let body = match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(item, whim)).collect();
            format!("[{}{}]", space(whim), items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<String> = members
                .iter()
                .map(|(key, value)| {
                    format!("{}{}{}:{}", space(whim), quoted(key, whim), space(whim), written(value, whim))
                })
                .collect();
            for last in (1..members.len()).rev() {
                members.swap(last, whim.below(last + 1));
            }
            format!("{{{}{}}}", members.join(","), space(whim))
        }
        Value::String(text) => quoted(text, whim),
        other => other.to_string(),
    };
    format!("{}{body}{}", space(whim), space(whim))
}

fn quoted(text: &str, whim: &mut Whim<'_>) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        let must = matches!(character, '"' | '\\' | '\0'..='\u{1f}');
        if !must && whim.below(3) > 0 {
            out.push(character);
            continue;
        }
        let short = match character {
            '"' | '\\' | '/' => Some(character),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            _ => None,
        };
        if let Some(short) = short.filter(|_| whim.below(2) == 0) {
            out.extend(['\\', short]);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let unit = if whim.below(2) == 0 { format!("{unit:04x}") } else { format!("{unit:04X}") };
            out.extend(["\\u", &unit]);
        }
    }
    out + "\""
}

/// The canonical form as python's securesystemslib writes it: a page of code, and slow.
fn as_python_writes(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Value::Array(items) => format!("[{}]", items.iter().map(as_python_writes).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(key, _)| key.chars().collect::<Vec<_>>());
            let member = |(key, value): (&String, &Value)| {
                format!("{}:{}", as_python_writes(&Value::from(key.as_str())), as_python_writes(value))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn every_way_to_write_a_value_has_the_canonical_form_that_python_writes(value in value(), whims in vec(any::<u8>(), 1..200)) {
        let written = written(&value, &mut Whim::new(&whims));
        prop_assert_eq!(&serde_json::from_str::<Value>(&written).unwrap(), &value);

        let canonical = canonicalize(written.as_bytes()).unwrap();

        prop_assert_eq!(String::from_utf8(canonical.clone()).unwrap(), as_python_writes(&value));
        // What is canonical stays as it is, where JSON can read it: control characters stand raw in it.
        let readable = !canonical.iter().any(|byte| *byte < 0x20);
        prop_assert_eq!(canonicalize(&canonical).ok(), readable.then(|| canonical.clone()));
        prop_assert_eq!(Json::parse(written.as_bytes()).unwrap().to_canonical(), canonical);
        prop_assert!(check_unambiguous(written.as_bytes()).is_ok());
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_however_it_is_spelled(
        members in btree_map(text(), value(), 1..6),
        again in any::<proptest::sample::Index>(),
        other in value(),
        depth in 0..4_usize,
        whims in vec(any::<u8>(), 1..200),
    ) {
        let mut whim = Whim::new(&whims);
        let key = members.keys().nth(again.index(members.len())).unwrap();
        let mut written: Vec<String> = members
            .iter()
            .chain([(key, &other)])
            .map(|(key, value)| format!("{}:{}", quoted(key, &mut whim), written(value, &mut whim)))
            .collect();
        written.rotate_left(whim.below(members.len() + 1));
        let mut text = format!("{{{}}}", written.join(","));
        for _ in 0..depth {
            text = format!("[{{\"x\":{text}}}]");
        }
        let refused = canonicalize(text.as_bytes()).unwrap_err();
        let is_duplicate = matches!(refused, JsonError::DuplicateKey { .. });
        prop_assert!(is_duplicate, "{}", refused);
        prop_assert!(check_unambiguous(text.as_bytes()).is_err());
    }

    /// Whatever is accepted, another reader understands in the same way.
    #[test]
    fn damaged_json_is_refused_or_means_what_others_read(
        value in value(),
        whims in vec(any::<u8>(), 1..100),
        at in any::<proptest::sample::Index>(),
        damage in prop_oneof![any::<u8>(), proptest::sample::select(b"\"\\{}[],:0-.eEtfn ".to_vec())],
        cut in any::<bool>(),
    ) {
        let mut bytes = written(&value, &mut Whim::new(&whims)).into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = damage;
        }
        if let Ok(canonical) = canonicalize(&bytes) {
            let others: Value = serde_json::from_slice(&bytes).unwrap();
            // `-0` is an integer to us and a float to serde_json.
            let ours = String::from_utf8(canonical).unwrap();
            prop_assert_eq!(ours, as_python_writes(&others).replace("-0.0", "0"));
        }
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn floats_are_refused_and_large_integers_too(whole in any::<u64>(), fraction in any::<u16>(), exponent in -300..300_i32) {
        for text in [format!("{whole}.{fraction}"), format!("{whole}e{exponent}"), format!("-{whole}.0E+1")] {
            let is_float = matches!(canonicalize(text.as_bytes()), Err(JsonError::Float { at: 0 }));
            prop_assert!(is_float, "{}", text);
            prop_assert!(check_unambiguous(text.as_bytes()).is_ok());
        }
        let large = u128::from(u64::MAX) + 1 + u128::from(whole);
        let is_too_large = matches!(canonicalize(large.to_string().as_bytes()), Err(JsonError::IntegerTooLarge { at: 0 }));
        prop_assert!(is_too_large);
    }
}

/// The error as it would be had the document begun a byte earlier.
fn a_byte_earlier(error: JsonError) -> JsonError {
    match error {
        JsonError::Syntax { at, expected } => JsonError::Syntax { at: at - 1, expected },
        JsonError::DuplicateKey { at, key } => JsonError::DuplicateKey { at: at - 1, key },
        JsonError::Float { at } => JsonError::Float { at: at - 1 },
        JsonError::IntegerTooLarge { at } => JsonError::IntegerTooLarge { at: at - 1 },
        JsonError::TooDeep { at } => JsonError::TooDeep { at: at - 1 },
        JsonError::TrailingBytes { at } => JsonError::TrailingBytes { at: at - 1 },
        JsonError::NotUtf8 { at } => JsonError::NotUtf8 { at: at - 1 },
        JsonError::LoneSurrogate { at } => JsonError::LoneSurrogate { at: at - 1 },
        other => other,
    }
}

/// The canonical form as it comes about where nothing is recognised as canonical: what begins with white space is not.
fn rewritten(bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    canonicalize(&[b" ", bytes].concat()).map_err(a_byte_earlier)
}

/// A small change to a document.
#[derive(Debug, Clone)]
enum Edit {
    Insert(&'static [u8]),
    Replace(u8),
    Remove,
    /// Copies so many bytes before the place behind it.
    Repeat(usize),
    /// Exchanges so many bytes before the place with as many behind it.
    Exchange(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let pieces: Vec<&[u8]> = vec![
        b" ",
        b"\n",
        b"\t",
        b"\r",
        b",",
        b":",
        b"0",
        b"-",
        b"-0",
        b"00",
        b".",
        b"e",
        b"E1",
        b"1",
        b"\"",
        b"\\",
        b"\\\\",
        b"\\\"",
        b"\\/",
        b"\\n",
        b"\\u0041",
        b"\\u0022",
        b"\\ud800",
        b"\x01",
        b"\x1f",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xc3",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"{}",
        b"[]",
        b"[",
        b"}",
        b"\"a\":1,",
        b",\"a\":1",
        b"\"\":0,",
        b"null",
        b"true",
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"000000000000000000000",
        b"\xef\xbb\xbf",
        b"\x00",
    ];
    prop_oneof![
        4 => proptest::sample::select(pieces).prop_map(Edit::Insert),
        2 => prop_oneof![any::<u8>(), proptest::sample::select(b"\"\\{}[],:0-.eE \n/u".to_vec())].prop_map(Edit::Replace),
        1 => Just(Edit::Remove),
        2 => (1..12_usize).prop_map(Edit::Repeat),
        2 => (1..12_usize).prop_map(Edit::Exchange),
    ]
}

fn edited(mut bytes: Vec<u8>, edits: &[(Edit, proptest::sample::Index)]) -> Vec<u8> {
    for (edit, at) in edits {
        let at = at.index(bytes.len() + 1);
        match edit {
            Edit::Insert(piece) => drop(bytes.splice(at..at, piece.iter().copied())),
            Edit::Replace(byte) if at < bytes.len() => bytes[at] = *byte,
            Edit::Remove if at < bytes.len() => drop(bytes.remove(at)),
            Edit::Repeat(length) => {
                let copy = bytes[at.saturating_sub(*length)..at].to_vec();
                bytes.splice(at..at, copy);
            }
            Edit::Exchange(length) => {
                let length = (*length).min(at).min(bytes.len() - at);
                let (before, behind) = bytes.split_at_mut(at);
                before[at - length..].swap_with_slice(&mut behind[..length]);
            }
            _ => {}
        }
    }
    bytes
}

/// Bytes that are canonical, or nearly so.
fn nearly_canonical() -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((edit(), any::<proptest::sample::Index>()), 0..4);
    (value(), edits, prop_oneof![8 => Just(0), 1 => 120..135_usize]).prop_map(|(value, edits, depth)| {
        let mut canonical = as_python_writes(&value).into_bytes();
        // A control character cannot stand raw in what arrives.
        canonical.retain(|byte| *byte >= 0x20);
        let nested = [b"[".repeat(depth), canonical, b"]".repeat(depth)].concat();
        edited(nested, &edits)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Recognising canonical bytes changes nothing: neither what is accepted, nor its form, nor the error.
    #[test]
    fn bytes_that_are_recognised_as_canonical_are_what_rewriting_gives(bytes in nearly_canonical()) {
        prop_assert_eq!(canonicalize(&bytes), rewritten(&bytes));
        prop_assert_eq!(check_unambiguous(&bytes), check_unambiguous(&[b" ", &*bytes].concat()).map_err(a_byte_earlier));
    }

    /// The same for envelopes, whose members are recognised one by one.
    #[test]
    fn an_envelope_is_read_as_if_all_of_it_were_rewritten(
        signed in nearly_canonical(),
        signatures in prop_oneof![3 => Just(b"[]".to_vec()), 1 => Just(b"[ ]".to_vec()), 1 => nearly_canonical()],
        shape in 0..7_usize,
        edits in vec((edit(), any::<proptest::sample::Index>()), 0..2),
    ) {
        let parts: &[&[u8]] = match shape {
            0..3 => &[b"{\"signatures\":", &signatures, b",\"signed\":", &signed, b"}"],
            3 => &[b"{\"signed\":", &signed, b",\"signatures\":", &signatures, b"}"],
            4 => &[b"{\n \"signatures\": ", &signatures, b",\n \"signed\": ", &signed, b"\n}\n"],
            5 => &[b"{\"other\":", &signatures, b",\"signatures\":[],\"signed\":", &signed, b",\"signed\":1}"],
            _ => &[b"{\"\\u0073igned\":", &signed, b",\"signatures\":", &signatures, b"}"],
        };
        let bytes = edited(parts.concat(), &edits);
        let ours = Envelope::parse(&bytes);
        match rewritten(&bytes) {
            Err(error) => prop_assert_eq!(ours.unwrap_err(), FormatError::Json(error)),
            Ok(canonical) => match (ours, Json::parse(&canonical)) {
                (Ok(envelope), Ok(Json::Object(members))) => {
                    prop_assert_eq!(envelope.signed_bytes(), members["signed"].to_canonical());
                    let Json::Array(signatures) = &members["signatures"] else { panic!("an array") };
                    prop_assert_eq!(envelope.signatures().len(), signatures.len());
                }
                // Escaped controls stand raw in the canonical form, which is then not JSON.
                (Ok(_), Err(_)) => prop_assert!(canonical.iter().any(|byte| *byte < 0x20)),
                (ours, _) => {
                    let is_json = matches!(ours, Err(FormatError::Json(_)));
                    prop_assert!(!is_json, "{:?}", ours);
                }
            },
        }
    }
}

#[test]
fn what_is_nearly_canonical_has_the_same_form_and_the_same_error() {
    for text in [
        r#"{"a":"\u0041"}"#,
        r#"{"a":"\/"}"#,
        r#"{"\"":1,"A":2}"#,
        r#"{"A":1,"\"":2}"#,
        r#"{"\\":1,"\"":2}"#,
        r#"{"\"":1,"\\":2}"#,
        r#"{"[":1,"\\":2,"]":3}"#,
        r#"{"\\":1,"[":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"b":1,"b":1}}"#,
        r#"{"":1,"":2}"#,
        r#"{"a\"":1,"a\"":2}"#,
        r#"{"a":-0}"#,
        "[-]",
        "[00]",
        "[01]",
        "[-01]",
        "[0]",
        "[-1]",
        "[1.0]",
        "[1e1]",
        "[1E1]",
        "[0.0]",
        "[1.]",
        "[18446744073709551615]",
        "[18446744073709551616]",
        "[-9223372036854775808]",
        "[-9223372036854775809]",
        "[0000000000000000000000]",
        "[1 ]",
        "[ 1]",
        "[1, 2]",
        "[1,]",
        "[,1]",
        "{\"a\" :1}",
        "{\"a\": 1}",
        "{ }",
        "[ ]",
        "{,}",
        "{\"a\":1,}",
        "1 ",
        " 1",
        "",
        "\"",
        "\"\\",
        "\"\\\"",
        "tru",
        "truex",
        "[true1]",
        "nul",
        "[nullnull]",
        "\u{feff}1",
        "\"\u{7f}\"",
        "\"\u{1f}\"",
        "[\"a\u{0}b\"]",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "\"é\"",
        "{\"é\":1,\"z\":2}",
        "{\"z\":1,\"é\":2}",
        "{\"\u{ffff}\":1,\"\u{10000}\":2}",
        "{\"\u{10000}\":1,\"\u{ffff}\":2}",
    ] {
        assert_eq!(canonicalize(text.as_bytes()), rewritten(text.as_bytes()), "{text}");
    }
    for depth in 120..140 {
        let open = "[".repeat(depth) + "{\"a\":[" + "1" + "]}" + &"]".repeat(depth);
        assert_eq!(canonicalize(open.as_bytes()), rewritten(open.as_bytes()), "{depth}");
        assert_eq!(canonicalize(open.as_bytes()).is_ok(), depth + 2 <= 128, "{depth}");
        // Inside an envelope everything is one level deeper.
        let enveloped = format!("{{\"signatures\":[],\"signed\":{open}}}");
        assert_eq!(Envelope::parse(enveloped.as_bytes()).is_ok(), depth + 3 <= 128, "{depth}");
    }
    // A broken character at every place, so that it stands on both sides of every word that is looked at.
    for length in 0..40 {
        for broken in [&b"\xff"[..], b"\x80", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"] {
            for place in 0..=length {
                let mut bytes = [b"[\"", vec![b'a'; length].as_slice(), b"\"]"].concat();
                bytes.splice(2 + place..2 + place, broken.iter().copied());
                assert_eq!(canonicalize(&bytes), Err(JsonError::NotUtf8 { at: 2 + place }));
                assert_eq!(rewritten(&bytes), Err(JsonError::NotUtf8 { at: 2 + place }));
            }
        }
    }
}

#[test]
fn canonical_bytes_are_shared_and_not_copied() {
    for (text, is_shared) in [
        (r#"{"signatures":[],"signed":{"a":1}}"#, true),
        (" { \"signed\" : {\"a\":1} , \"signatures\" : [ ] } ", true),
        (r#"{"signatures":[],"signed":{"a": 1}}"#, false),
    ] {
        let received = Arc::new(text.as_bytes().to_vec());
        let envelope = Envelope::parse_shared(&received).unwrap();
        assert_eq!(envelope.signed_bytes(), b"{\"a\":1}");
        assert_eq!(received.as_ptr_range().contains(&envelope.signed_bytes().as_ptr()), is_shared, "{text}");
    }
}

/// A document with whatever else somebody put into it.
fn with_more(mut document: Value, more: Map<String, Value>, place: &[&str]) -> Value {
    let mut object = &mut document;
    for step in place {
        object = &mut object[*step];
    }
    for (key, value) in more {
        object.as_object_mut().unwrap().entry(format!("x-{key}")).or_insert(value);
    }
    document
}

fn in_envelope(signed: &Value, whims: &[u8]) -> Vec<u8> {
    let written = written(signed, &mut Whim::new(whims));
    format!("{{\"signatures\":[],\"signed\":{written}}}").into_bytes()
}

fn round_trips<T: Document>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let envelope = Envelope::parse(bytes).unwrap();
    let document: T = envelope.unverified().unwrap();
    prop_assert_eq!(document.to_json().to_canonical(), envelope.signed_bytes());
    Ok(())
}

fn head(kind: &str, version: u64) -> Value {
    json!({ "_type": kind, "spec_version": "1.0.34", "version": version, "expires": "2030-01-01T00:00:00Z" })
}

fn with_fields(mut document: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("an object") };
    document.as_object_mut().unwrap().extend(fields);
    document
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn documents_written_back_are_the_bytes_that_were_signed(
        version in 1..=u64::MAX,
        more in btree_map(text(), value(), 0..4),
        place in 0..4_usize,
        consistent in proptest::option::of(any::<bool>()),
        names in proptest::collection::btree_set(text(), 0..5),
        whims in vec(any::<u8>(), 1..100),
    ) {
        let more: Map<String, Value> = more.into_iter().collect();
        let keys = json!({ "k": { "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": "00" } } });
        let role = json!({ "keyids": ["k"], "threshold": version });
        let meta = json!({ "version": version, "length": 7, "hashes": { "sha256": "00".repeat(32), "x": "y" } });

        let mut root = with_fields(head("root", version), json!({
            "keys": keys, "roles": { "root": role, "timestamp": role, "snapshot": role, "targets": role },
        }));
        if let Some(consistent) = consistent {
            root["consistent_snapshot"] = json!(consistent);
        }
        let places: [&[&str]; 4] = [&[], &["roles"], &["roles", "snapshot"], &["keys", "k"]];
        round_trips::<Root>(&in_envelope(&with_more(root, more.clone(), places[place]), &whims))?;

        let timestamp = with_fields(head("timestamp", version), json!({ "meta": { "snapshot.json": meta } }));
        let places: [&[&str]; 4] = [&[], &["meta"], &["meta", "snapshot.json"], &["meta", "snapshot.json", "hashes"]];
        round_trips::<Timestamp>(&in_envelope(&with_more(timestamp, more.clone(), places[place]), &whims))?;

        let all: Map<String, Value> = names.iter().map(|name| (name.clone(), meta.clone())).collect();
        let snapshot = with_fields(head("snapshot", version), json!({ "meta": all }));
        round_trips::<Snapshot>(&in_envelope(&with_more(snapshot, more.clone(), &[]), &whims))?;

        let target = json!({ "length": 1, "hashes": { "sha512": "ab".repeat(64) }, "custom": more });
        let all: Map<String, Value> = names.iter().map(|name| (name.clone(), target.clone())).collect();
        let roles: Vec<Value> = names
            .iter()
            .map(|name| {
                let field = if name.len() % 2 == 0 { "paths" } else { "path_hash_prefixes" };
                let name = format!("r-{name}");
                json!({ "name": name, "keyids": ["k"], "threshold": 1, "terminating": consistent.is_some(), field: names })
            })
            .collect();
        let mut targets = with_fields(head("targets", version), json!({
            "targets": all, "delegations": { "keys": keys, "roles": roles },
        }));
        let places: [&[&str]; 4] = [&[], &["delegations"], &["delegations", "keys", "k"], &[]];
        if place == 3 {
            let bins = json!({ "keyids": ["k"], "threshold": 1, "bit_length": 1 + version % 32, "name_prefix": "b" });
            targets["delegations"] = json!({ "keys": keys, "succinct_roles": with_more(bins, more.clone(), &[]) });
        }
        round_trips::<Targets>(&in_envelope(&with_more(targets, more, places[place]), &whims))?;
    }

    /// The scan for one entry agrees with a reading of everything.
    #[test]
    fn looking_a_target_up_gives_what_reading_everything_gives(
        entries in btree_map(text(), value(), 0..8),
        others in vec(text(), 4),
        whims in vec(any::<u8>(), 1..100),
    ) {
        let targets: Map<String, Value> = entries
            .iter()
            .enumerate()
            .map(|(length, (name, custom))| {
                let target = json!({ "length": length, "hashes": { "sha256": "00".repeat(32) }, "custom": custom });
                (name.clone(), target)
            })
            .collect();
        let signed = with_fields(head("targets", 1), json!({ "targets": targets, "zzz": "targets", "aaa": { "targets": 1 } }));
        let document: Targets = Envelope::parse(&in_envelope(&signed, &whims)).unwrap().unverified().unwrap();

        prop_assert_eq!(document.count(), entries.len());
        let listed: BTreeSet<String> = document.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(&listed, &entries.keys().cloned().collect());
        for (name, target) in document.iter() {
            let canonical = target.unwrap().to_json().to_canonical();
            prop_assert_eq!(String::from_utf8(canonical).unwrap(), as_python_writes(&targets[&name]));
        }
        for name in entries.keys().chain(&others) {
            let Ok(path) = TargetPath::new(name.as_str()) else { continue };
            let found = document.find(&path).unwrap().map(|target| target.length);
            prop_assert_eq!(found, targets.get(name).map(|target| target["length"].as_u64().unwrap()));
        }
    }
}

/// Entries enough that the search takes leaps.
#[test]
fn among_many_targets_each_is_found_and_nothing_else() {
    for (space, reach) in [("", 1), (" ", 1), ("", 90)] {
        let name = |number: usize| format!("{}/{:03}\"x é", number % 7, number);
        let entry = |number: usize| {
            let custom = "c".repeat(1 + number * 37 % (200 * reach));
            json!({ "length": number, "hashes": { "sha256": "00".repeat(32) }, "custom": custom })
        };
        let targets: Map<String, Value> = (0..900).step_by(3).map(|number| (name(number), entry(number))).collect();
        let more =
            json!({ "targets": targets, "a": { "large": "x".repeat(20_000) }, "zz": { "large": "x".repeat(20_000) } });
        let signed = with_fields(head("targets", 1), more);
        let text = format!("{{\"signatures\":[],\"signed\":{space}{}}}", as_python_writes(&signed));
        let text = if space.is_empty() {
            text
        } else {
            text.replacen("{\"length\"", "{ \"length\"", 1).replacen(":{", ": {", 9)
        };
        let document: Targets = Envelope::parse(text.as_bytes()).unwrap().unverified().unwrap();
        assert_eq!(document.count(), 300);
        assert_eq!(document.unrecognized.len(), 2);
        for number in 0..900 {
            let found = document.find(&TargetPath::new(name(number)).unwrap()).unwrap().map(|target| target.length);
            assert_eq!(found, (number % 3 == 0).then_some(number as u64));
        }
        for absent in ["!", "0", "6/9", "~", "3/300\"x é!", "é"] {
            assert_eq!(document.find(&TargetPath::new(absent).unwrap()).unwrap(), None, "{absent}");
        }
    }
}

/// Patterns by the definition: one rule for each kind of pattern character, tried in every way.
fn matches_by_definition(pattern: &[char], path: &[char]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            matches_by_definition(rest, path)
                || path.first().is_some_and(|first| *first != '/' && matches_by_definition(pattern, &path[1..]))
        }
        (['?', rest @ ..], [one, path @ ..]) => *one != '/' && matches_by_definition(rest, path),
        (['[', rest @ ..], [one, path @ ..]) => {
            let negated = rest.first() == Some(&'!');
            let from = usize::from(negated);
            let segment_end = rest.iter().position(|c| *c == '/').unwrap_or(rest.len());
            let end = (from + 1..segment_end).find(|at| rest[*at] == ']');
            match end {
                None => *one == '[' && matches_by_definition(rest, path),
                Some(end) => {
                    let mut set = &rest[from..end];
                    let mut contained = false;
                    while let [first, ..] = set {
                        if let [low, '-', high, ..] = set {
                            contained |= low <= one && one <= high;
                            set = &set[3..];
                        } else {
                            contained |= first == one;
                            set = &set[1..];
                        }
                    }
                    *one != '/' && contained != negated && matches_by_definition(&rest[end + 1..], path)
                }
            }
        }
        ([literal, rest @ ..], [one, path @ ..]) => literal == one && matches_by_definition(rest, path),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn patterns_match_by_the_definition(
        pattern in vec(proptest::sample::select("aab/**?[]!-".chars().collect::<Vec<_>>()), 0..9),
        path in vec(proptest::sample::select("aab/-!]".chars().collect::<Vec<_>>()), 0..7),
    ) {
        let by_definition = matches_by_definition(&pattern, &path);
        let (pattern, path): (String, String) = (pattern.into_iter().collect(), path.into_iter().collect());
        prop_assert_eq!(matches_pattern(&pattern, &path), by_definition, "{} {}", pattern, path);
    }
}

/// Now and then a value that is not what it should be.
fn or_odd(usual: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    let odd = vec![
        json!(null),
        json!(""),
        json!(0),
        json!(-1),
        json!([]),
        json!({}),
        json!([1]),
        json!(["a", "a"]),
        json!(u64::MAX),
        json!(true),
        json!("root"),
        json!("a\"\\"),
    ];
    prop_oneof![30 => usual, 1 => proptest::sample::select(odd)].boxed()
}

/// An object with these fields; now and then one less, or one more.
fn object_of(usual: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = usual.into_iter().unzip();
    (values, 0..60_usize)
        .prop_map(move |(values, whim)| {
            let mut fields: Map<String, Value> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
            match whim {
                0 => drop(fields.remove(names[0])),
                1 => drop(fields.remove(names[names.len() - 1])),
                2 => drop(fields.insert("paths".to_owned(), json!(["x"]))),
                3 => drop(fields.insert("zz".to_owned(), json!(1))),
                _ => {}
            }
            Value::Object(fields)
        })
        .boxed()
}

fn delegation() -> impl Strategy<Value = Value> {
    let texts = |usual: &'static str| or_odd(vec(usual, 0..4).prop_map(Value::from));
    let delegation = |field: &'static str, usual| {
        object_of(vec![
            ("keyids", texts("[a-z\"]{2,9}")),
            ("name", or_odd("[a-f\\\\]{1,3}".prop_map(Value::from))),
            (field, texts(usual)),
            ("terminating", or_odd(any::<bool>().prop_map(Value::from))),
            ("threshold", or_odd((1..4_u64).prop_map(Value::from))),
        ])
    };
    prop_oneof![delegation("paths", "[ab/*?\"]{0,4}"), delegation("path_hash_prefixes", "[0-9a-f]{0,1}")]
}

fn digest() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[0-9a-f]{64}", 1 => "[0-9A-F]{64}", 1 => "[f-h]{64}", 1 => "[0-9a-f]{62,66}"]
}

fn meta_file() -> impl Strategy<Value = Value> {
    let hashes = || or_odd(object_of(vec![("sha256", or_odd(digest().prop_map(Value::from)))]));
    let length = || or_odd((0..30_u64).prop_map(Value::from));
    let version = || or_odd((1..30_u64).prop_map(Value::from));
    prop_oneof![
        object_of(vec![("version", version())]),
        object_of(vec![("length", length()), ("version", version())]),
        object_of(vec![("hashes", hashes()), ("version", version())]),
        object_of(vec![("hashes", hashes()), ("length", length()), ("version", version())]),
    ]
}

fn read<T: Document>(signed: &Value) -> Result<T, FormatError> {
    let text = format!("{{\"signatures\":[],\"signed\":{}}}", as_python_writes(signed));
    Envelope::parse(text.as_bytes()).and_then(|envelope| envelope.unverified())
}

fn targets_with(roles: &[Value]) -> Result<Targets, FormatError> {
    let delegations = json!({ "keys": {}, "roles": roles });
    read(&with_fields(head("targets", 1), json!({ "targets": {}, "delegations": delegations })))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Delegations that stay in place say what they say when read in full, which one odd one makes all of them be.
    #[test]
    fn delegations_in_place_are_what_reading_them_in_full_gives(
        roles in vec(delegation(), 0..5),
        path in "[ab/]{1,4}",
        hash in any::<[u8; 32]>(),
    ) {
        let odd = json!({ "keyids": [], "name": "odd", "paths": [], "terminating": false, "threshold": 1, "odd": 1 });
        let and_odd: Vec<Value> = roles.iter().cloned().chain([odd]).collect();
        let (ours, full) = match (targets_with(&roles), targets_with(&and_odd)) {
            (Ok(ours), Ok(full)) => (ours.delegations.unwrap(), full.delegations.unwrap()),
            (ours, full) => {
                prop_assert_eq!(ours.err(), full.err());
                return Ok(());
            }
        };
        let (DelegationRule::Roles(all), DelegationRule::Roles(and_odd)) = (&ours.rule, &full.rule) else {
            panic!("neither delegates to bins");
        };
        prop_assert_eq!((all.len(), all.len() + 1), (roles.len(), and_odd.len()));
        prop_assert_eq!(all.iter().collect::<Vec<_>>(), and_odd.iter().take(roles.len()).collect::<Vec<_>>());
        if let Ok(path) = TargetPath::new(path) {
            prop_assert_eq!(ours.covering(&path, &hash), full.covering(&path, &hash));
        }
        for delegation in all.iter() {
            prop_assert_eq!(ours.to_role(delegation.role.as_str()), Some(delegation));
        }
        prop_assert_eq!(ours.to_role("no such"), None);
    }

    /// An entry of the usual form is judged as one that is read in full, which an unknown field makes it be.
    #[test]
    fn snapshot_entries_in_place_are_what_reading_them_in_full_gives(
        entries in btree_map("[a-f\"\\\\]{1,3}", meta_file(), 0..5),
    ) {
        let snapshot = |odd: bool| {
            let entry = |(name, meta): (&String, &Value)| {
                let mut meta = meta.clone();
                if let (true, Value::Object(meta)) = (odd, &mut meta) {
                    meta.insert("odd".to_owned(), json!(1));
                }
                (format!("{name}.json"), meta)
            };
            let meta: Map<String, Value> = entries.iter().map(entry).collect();
            read::<Snapshot>(&with_fields(head("snapshot", 1), json!({ "meta": meta })))
        };
        let (ours, full) = match (snapshot(false), snapshot(true)) {
            (Ok(ours), Ok(full)) => (ours, full),
            (ours, full) => {
                prop_assert_eq!(ours.err(), full.err());
                return Ok(());
            }
        };
        prop_assert_eq!(ours.count(), entries.len());
        prop_assert_eq!(ours.iter().count(), entries.len());
        for ((name, ours_meta), (_, mut full_meta)) in ours.iter().zip(full.iter()) {
            full_meta.unrecognized.remove("odd");
            prop_assert_eq!(&ours_meta, &full_meta);
            let name = name.strip_suffix(".json").unwrap();
            prop_assert_eq!(Some(ours_meta.version.get()), entries[name]["version"].as_u64());
            prop_assert_eq!(ours.role(&RoleName::delegated(name).unwrap()), Some(ours_meta));
        }
        prop_assert_eq!(ours.role(&RoleName::Timestamp), None);
    }
}

/// Entries enough that the search for a role takes leaps.
#[test]
fn among_many_roles_each_is_found_and_nothing_else() {
    let name = |number: usize| format!("{number:04}-\"x");
    let meta: Map<String, Value> =
        (0..3000).step_by(3).map(|number| (name(number) + ".json", json!({ "version": number + 1 }))).collect();
    let snapshot: Snapshot = read(&with_fields(head("snapshot", 1), json!({ "meta": meta }))).unwrap();
    for number in 0..3000 {
        let found = snapshot.role(&RoleName::delegated(&name(number)).unwrap()).map(|meta| meta.version.get());
        assert_eq!(found, (number % 3 == 0).then_some(number as u64 + 1));
    }
}

#[test]
fn no_delegation_takes_the_name_of_a_top_level_role() {
    for (name, is_reserved) in
        [("", true), ("root", true), ("timestamp", true), ("snapshot", true), ("targets", true), ("roots", false)]
    {
        let role = json!({ "keyids": [], "name": name, "paths": [], "terminating": false, "threshold": 1 });
        assert_eq!(targets_with(&[role]).is_err(), is_reserved, "{name}");
    }
}

/// Reads the windows of a document that is in memory.
#[derive(Debug)]
struct InMemory {
    document: Vec<u8>,
    windows: Vec<std::ops::Range<usize>>,
}

impl EntryWindows for InMemory {
    fn read(&self, window: usize) -> Option<Vec<u8>> {
        Some(self.document[self.windows[window].clone()].to_vec())
    }
}

/// The document, and the same by its outline.
fn outlined(document: Vec<u8>) -> (Targets, Targets) {
    let whole: Targets = Envelope::parse(&document).and_then(|envelope| envelope.unverified()).unwrap();
    let outline = whole.outline().expect("large, and canonical as it stands");
    let windows = outline.windows.iter().map(|window| window.range.clone()).collect();
    let outlined = Targets::outlined(outline, Arc::new(InMemory { document, windows })).unwrap();
    (whole, outlined)
}

/// Paths that are named, that are nearly so, and that come before and after.
fn paths_about(name: &str) -> impl Iterator<Item = TargetPath> {
    let shorter = name.char_indices().next_back().map_or("", |(at, _)| &name[..at]);
    let about =
        [name.to_owned(), format!("{name}!"), format!("{shorter}!"), shorter.to_owned(), format!("{name}\u{10ffff}")];
    about.into_iter().filter_map(|path| TargetPath::new(path).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_look_up_by_outline_answers_as_one_in_the_whole_document(
        entries in btree_map(
            vec(prop_oneof![any::<char>(), proptest::sample::select("ab\"\\/{}[],:é".chars().collect::<Vec<_>>())], 0..5),
            (proptest::option::weighted(0.9, any::<u32>()), value(), 0..90_000_usize),
            30..60,
        ),
        version in 1..9_u64,
        delegated in vec(delegation(), 0..2),
    ) {
        let mut entries: Map<String, Value> = entries
            .into_iter()
            .map(|(name, (length, custom, padding))| {
                let name: String = name.into_iter().filter(|c| !c.is_control()).collect();
                let custom = json!([as_python_writes(&custom).replace(|c| c < ' ', ""), "{\"x\":".repeat(padding / 5)]);
                let hashes = json!({ "sha256": hex::encode(sha256(name.as_bytes())) });
                (name, json!({ "custom": { "is": custom }, "hashes": hashes, "length": length }))
            })
            .collect();
        entries.insert("large".to_owned(), json!({ "custom": "x".repeat(1 << 20), "hashes": {}, "length": 1 }));
        let delegations = json!({ "keys": {}, "roles": delegated });
        let signed = with_fields(
            head("targets", version),
            json!({ "targets": entries, "unknown": [1], "delegations": delegations }),
        );
        let document = format!("{{\"signatures\":[],\"signed\":{}}}", as_python_writes(&signed)).into_bytes();
        // What delegations may look like is not the matter here.
        prop_assume!(Envelope::parse(&document).and_then(|envelope| envelope.unverified::<Targets>()).is_ok());

        let (whole, outlined) = outlined(document);

        for path in entries.keys().flat_map(|name| paths_about(name)) {
            prop_assert_eq!(outlined.find(&path), whole.find(&path), "{}", path);
        }
        prop_assert_eq!((outlined.version, &outlined.expires), (whole.version, &whole.expires));
        prop_assert_eq!((&outlined.delegations, &outlined.unrecognized), (&whole.delegations, &whole.unrecognized));
        prop_assert_eq!(outlined.count(), entries.len());
        prop_assert!(outlined.iter().eq(whole.iter()));
        prop_assert_eq!(outlined.to_json(), whole.to_json());
        prop_assert_eq!(outlined.outline(), None);
    }
}

/// A document with small entries, so that each window has many.
fn with_many_entries(count: usize) -> Vec<u8> {
    let entry = |number: usize| {
        (format!("d{number:06}/\"f"), json!({ "length": number, "hashes": { "sha256": "ab".repeat(32) } }))
    };
    let entries: Map<String, Value> = (0..count).map(entry).collect();
    let signed = with_fields(head("targets", 1), json!({ "targets": entries }));
    format!("{{\"signatures\":[],\"signed\":{}}}", as_python_writes(&signed)).into_bytes()
}

#[test]
fn at_the_borders_of_windows_each_entry_is_found_and_nothing_else() {
    let (whole, outlined) = outlined(with_many_entries(12_000));
    let windows = whole.outline().unwrap().windows;
    assert!(windows.len() > 10, "{}", windows.len());
    let firsts = windows.iter().map(|window| window.first[1..7].parse::<usize>().unwrap());
    let borders: BTreeSet<usize> =
        firsts.flat_map(|first| first.saturating_sub(2)..first + 2).chain([11_999]).collect();
    for number in borders {
        for (path, length) in [
            (format!("d{number:06}/\"f"), Some(number as u64)),
            (format!("d{number:06}/\"e"), None),
            (format!("d{number:06}/\"f!"), None),
        ] {
            let path = TargetPath::new(path).unwrap();
            assert_eq!(outlined.find(&path).unwrap().map(|file| file.length), length, "{path}");
        }
    }
    for path in ["a", "d000000", "d999999/\"f", "é"] {
        assert_eq!(outlined.find(&TargetPath::new(path).unwrap()).unwrap(), None, "{path}");
    }
}

#[test]
fn a_window_that_does_not_fit_is_an_error_and_never_another_answer() {
    let document = with_many_entries(12_000);
    let whole: Targets = Envelope::parse(&document).and_then(|envelope| envelope.unverified()).unwrap();
    let outline = whole.outline().unwrap();
    let good: Vec<_> = outline.windows.iter().map(|window| window.range.clone()).collect();
    let path = TargetPath::new("d005000/\"f").unwrap();
    let with = |windows: Vec<_>, document: &[u8]| {
        let windows = Arc::new(InMemory { document: document.to_vec(), windows });
        Targets::outlined(outline.clone(), windows).unwrap()
    };
    let at =
        good.iter().position(|range| String::from_utf8_lossy(&document[range.clone()]).contains("d005000/")).unwrap();
    let (start, end) = (good[at].start, good[at].end);
    for other in [start..end - 1, start..end + 1, start + 1..end, start - 1..end, start..start, good[at + 1].clone()] {
        let mut windows = good.clone();
        windows[at] = other.clone();
        let outlined = with(windows, &document);
        assert_eq!(outlined.find(&path), Err(FormatError::NotKept), "{other:?}");
        assert_eq!(outlined.iter().filter(|(_, entry)| entry.is_err()).count(), 1, "{other:?}");
        assert!(!outlined.to_json().to_canonical().windows(9).any(|part| part == b"\"targets\":"), "{other:?}");
    }
    for (replaced, by) in [("\"length\":5000", "\"length\": 500"), ("d005000", "d004000"), ("d005000", "d00\u{1}000")] {
        let text = String::from_utf8(document.clone()).unwrap().replacen(replaced, by, 1);
        assert_eq!(with(good.clone(), text.as_bytes()).find(&path), Err(FormatError::NotKept), "{by}");
    }
    let mut broken = document.clone();
    broken[start + 2] = 0xff;
    assert_eq!(with(good.clone(), &broken).find(&path), Err(FormatError::NotKept));
}

#[test]
fn what_cannot_be_an_outline_is_refused() {
    let document = with_many_entries(12_000);
    let whole: Targets = Envelope::parse(&document).and_then(|envelope| envelope.unverified()).unwrap();
    let outline = whole.outline().unwrap();
    let refused = |change: &dyn Fn(&mut TargetsOutline)| {
        let mut outline = outline.clone();
        change(&mut outline);
        let windows = Arc::new(InMemory { document: document.clone(), windows: Vec::new() });
        Targets::outlined(outline, windows).is_err()
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|outline| outline.windows.clear()));
    assert!(refused(&|outline| outline.windows.swap(3, 4)));
    assert!(refused(&|outline| outline.windows[3].first = outline.windows[4].first.clone()));
    assert!(refused(&|outline| outline.signed.push(' ')));
    assert!(refused(&|outline| outline.signed = outline.signed.replace("{}", "{\"a\":{}}")));
    assert!(refused(&|outline| outline.signed = outline.signed.replace("\"targets\":{}", "\"targetz\":{}")));
    assert!(refused(&|outline| outline.signed = outline.signed.replace("\"_type\":\"targets\"", "\"_type\":\"root\"")));
}

#[test]
fn small_and_rewritten_documents_have_no_outline() {
    let outline = |document: &[u8]| {
        let targets: Targets = Envelope::parse(document).and_then(|envelope| envelope.unverified()).unwrap();
        targets.outline()
    };
    assert_eq!(outline(&with_many_entries(5000)), None);
    let large = String::from_utf8(with_many_entries(12_000)).unwrap();
    assert!(outline(large.as_bytes()).is_some());
    assert_eq!(outline(large.replacen("\"version\":1", "\"version\": 1", 1).as_bytes()), None);
}
