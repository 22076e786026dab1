//! Answers that nobody meant: any bytes, in any way, in place of any file. Whoever answers can send them, so they move
//! nothing, panic nowhere and end in time.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::http::{Reply, Site, with_head};
use crate::support::{Answer, SimRepository};

/// The files of a repository with news, what is asked for beside them, and a target.
const FILES: [&str; 6] = ["root", "timestamp", "snapshot", "targets", "team", "the target"];

/// What JSON, and TUF, is made of.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let words = r#"{ } [ ] , : " \ "" {} [] null true false 0 -1 1e9 18446744073709551616 "signed":{ "signatures":[
        "keyid":" "sig":" "_type":"root" "version":2 "expires":"9999-12-31T23:59:59Z" "meta":{ "roles":{ "keys":{
        "threshold":1 "keyids":[ "delegations":{ "succinct_roles":{ "bit_length":32 "paths":["*"] \u0000 \ud800"#;
    prop_oneof![
        select(words.split_whitespace().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

/// Any bytes: noise; pieces of documents; an honest document with pieces of it cut out, put in or repeated.
fn bytes(honest: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<Index>(), 0..40_usize, fragment(), 0..3_usize), 1..6);
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..300),
        2 => proptest::collection::vec(fragment(), 0..60).prop_map(|fragments| fragments.concat()),
        4 => edits.prop_map(move |edits| {
            let mut bytes = honest.clone();
            for (place, cut, fragment, times) in edits {
                let start = place.index(bytes.len() + 1);
                let end = (start + cut).min(bytes.len());
                bytes.splice(start..end, fragment.repeat(times));
            }
            bytes
        }),
    ]
}

fn answer(honest: Vec<u8>) -> impl Strategy<Value = Answer> {
    (bytes(honest), any::<u64>(), 0..9_u8, 100..600_u16).prop_map(|(bytes, number, way, status)| match way {
        0 => Answer::Claiming(number, bytes),
        1 => Answer::BreakingOff(bytes),
        2 => Answer::Dripping(Duration::from_millis(number % 70_000), bytes),
        3 => Answer::Status(status),
        4 => Answer::Later(Duration::from_secs(number)),
        _ => Answer::Bytes(bytes),
    })
}

/// A repository in which everything but the roots is newer than what the client has.
fn with_news() -> (SimRepository, crate::support::Client) {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    repository.add_target("team", "tool", b"better");
    repository.bump("targets");
    repository.publish();
    (repository, client)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_moves_trust_that_the_repository_did_not_make(
        (file, answer) in select(&FILES[..]).prop_flat_map(|file| {
            let (mut repository, _) = with_news();
            repository.bump("root");
            let honest = if file == "the target" { b"better".to_vec() } else { repository.bytes(file) };
            (Just(file), answer(honest))
        })
    ) {
        let (mut repository, mut client) = with_news();
        let better = repository.target_file("tool", &trustroot::crypto::sha256(b"better"));
        let honest = match file {
            "the target" => b"better".to_vec(),
            "root" => {
                repository.bump("root");
                repository.bytes("root")
            }
            role => repository.bytes(role),
        };
        match file {
            "the target" => repository.shelf().put(&better, answer.clone()),
            role => repository.answer(role, answer.clone()),
        }
        let before = FILES.map(|role| client.cached(role));

        let done = client.refresh().and_then(|()| client.download("tool"));

        // Bytes that stand for the honest document, with other white space for instance, may be taken.
        let sent = match answer {
            Answer::Bytes(bytes) | Answer::Claiming(_, bytes) | Answer::Dripping(_, bytes) | Answer::BreakingOff(bytes) => bytes,
            _ => Vec::new(),
        };
        if file == "the target" {
            let tool = client.downloaded("tool").unwrap();
            prop_assert_eq!(tool, if done.is_ok() { &b"better"[..] } else { b"good" });
        } else if client.cached(file) == Some(sent.clone()) && !sent.is_empty() {
            let canonical = |bytes: &[u8]| {
                let document: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                document["signed"].clone()
            };
            prop_assert_eq!(canonical(&sent), canonical(&honest), "{} was taken", file);
        } else if file != "root" {
            // A next root that is absent is none; all else is needed.
            prop_assert!(done.is_err(), "{}", file);
            let place = FILES.iter().position(|role| *role == file).unwrap();
            prop_assert_eq!(client.cached(file), before[place].clone(), "{}", file);
        }
        if let Err(error) = done {
            let drawn = error.to_string().chars().any(|char| char.is_control() && char != '\n');
            prop_assert!(!drawn, "{:?}", error.to_string());
        }
        // And the honest repository is followed after all.
        if file == "root" {
            repository.shelf().remove("metadata/2.root.json");
        }
        repository.publish();
        let mut other = client.other_process();
        let healed = other.refresh();
        prop_assert!(healed.is_ok(), "{:?}", healed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same below HTTP: any bytes after a request, as a head, as a body, or as neither.
    #[test]
    fn no_bytes_on_a_connection_move_trust(
        replies in proptest::collection::vec((0..4_u8, proptest::collection::vec(fragment_of_http(), 0..30)), 1..6)
    ) {
        let mut site = Site::with_news();
        for (way, fragments) in replies {
            let bytes = fragments.concat();
            let reply = match way {
                0 => bytes,
                1 => [b"HTTP/1.1 200 OK\r\n".to_vec(), bytes].concat(),
                2 => [b"HTTP/1.1 302 Found\r\nlocation: ".to_vec(), bytes].concat(),
                _ => with_head("HTTP/1.1 200 OK", &bytes),
            };
            let (before, tool) = (site.client.state(), site.client.downloaded("tool"));
            site.reply("metadata/timestamp.json", Reply::Bytes(reply));
            prop_assert!(site.client.refresh().is_err());
            prop_assert_eq!(site.client.state(), before);
            prop_assert_eq!(site.client.downloaded("tool"), tool);
        }
    }
}

fn fragment_of_http() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 304 X\r\n",
        "HTTP/2 200\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "\r\n",
        "\n",
        "\r\n\r\n",
        "content-length: 5\r\n",
        "content-length: -1\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: chunked\r\n",
        "5\r\nhello\r\n",
        "ffffffffffffffff\r\n",
        "0\r\n\r\n",
        "content-encoding: gzip\r\n",
        "content-encoding: zstd\r\n",
        "etag: \"x\"\r\n",
        "etag: W/\"\r\n",
        "content-range: bytes 0-4/5\r\n",
        "location: /x\r\n",
        "location: file:///etc/passwd\r\n",
        "connection: close\r\n",
        "connection: upgrade\r\n",
        "retry-after: 9999999\r\n",
        "a: b\r\n",
        ": \r\n",
        " folded\r\n",
        "{}",
        "\u{1f37a}",
    ];
    prop_oneof![
        4 => select(words.map(|word| word.as_bytes().to_vec()).to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}
