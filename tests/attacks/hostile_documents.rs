//! Documents that are absurd in size, shape or number.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Answer, SimRepository, refusal_of};

/// Offers `timestamp` to an up-to-date client and returns what it said.
fn offered_as_timestamp(timestamp: Vec<u8>) -> String {
    let repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.serve_bytes("timestamp", timestamp);
    let refusal = refusal_of(client.refresh());
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
    refusal.to_string()
}

/// The bytes of an honest second timestamp, as text.
fn honest_timestamp() -> String {
    let mut repository = SimRepository::new();
    repository.publish();
    String::from_utf8(repository.bytes("timestamp")).unwrap()
}

#[test]
fn a_version_beyond_64_bits_is_refused() {
    let bytes = honest_timestamp().replace("\"version\":2", "\"version\":18446744073709551616");
    assert_snapshot!(
        offered_as_timestamp(bytes.into_bytes()).split(" at byte").next().unwrap(),
        @"timestamp is malformed: the integer"
    );
}

#[test]
fn versions_that_are_no_positive_integers_are_refused() {
    for version in ["0", "-1", "1.0", "1e3", "\"2\"", "null", "true", "[2]"] {
        let bytes = honest_timestamp().replace("\"version\":2", &format!("\"version\":{version}"));
        offered_as_timestamp(bytes.into_bytes());
    }
}

#[test]
fn versions_of_2_to_the_63_and_beyond_work() {
    for version in [1 << 63, u64::MAX] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        for role in ["timestamp", "snapshot", "targets"] {
            repository.set_version(role, version);
        }
        repository.describe();
        for role in ["timestamp", "snapshot", "targets"] {
            repository.serve(role);
        }
        client.refresh().unwrap();
        assert_eq!(client.trusted(), format!("root 1, timestamp {version}, snapshot {version}, targets {version}"));
        repository.set_version("timestamp", version - 1);
        repository.serve("timestamp");
        assert_eq!(refusal_of(client.refresh()).code(), "rollback");
    }
}

#[test]
fn a_root_of_the_largest_version_ends_the_chain() {
    let mut repository = SimRepository::new();
    repository.set_version("root", u64::MAX);
    repository.serve("root");
    let mut client = repository.client();
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("root"), Some(u64::MAX));
    assert!(repository.shelf().take_requests().iter().all(|path| !path.contains("root")));
}

#[test]
fn versions_of_zero_are_refused_everywhere() {
    for role in ["timestamp", "snapshot", "targets"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.bump("targets");
        repository.publish();
        let file = repository.file_of(role);
        repository.set_version(role, 0);
        repository.shelf().put(&file, Answer::Bytes(repository.bytes(role)));
        let refusal = refusal_of(client.refresh());
        assert_eq!(refusal.to_string(), format!("{role} is malformed: signed.version: versions start at 1"));
        assert_eq!(client.trusted_version(role), Some(1));
    }
}

#[test]
fn a_threshold_of_zero_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.draft("root")["roles"]["timestamp"]["threshold"] = json!(0);
    repository.publish_root();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root is malformed: signed.roles.timestamp.threshold: a threshold is at least 1");
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets 1");
}

#[test]
fn a_hundred_thousand_signatures_neither_count_nor_delay() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    repository.bump("targets");
    repository.publish();
    let mut document: serde_json::Value = serde_json::from_slice(&repository.bytes("targets")).unwrap();
    let signatures = document["signatures"].as_array_mut().unwrap();
    signatures.extend((0..100_000).map(|number| json!({ "keyid": format!("{number}"), "sig": "00" })));
    repository.serve_bytes("targets", serde_json::to_vec(&document).unwrap());

    client.refresh().unwrap();

    assert_eq!(client.trusted_version("targets"), Some(2));
    document["signatures"].as_array_mut().unwrap().remove(0);
    repository.serve_bytes("targets", serde_json::to_vec(&document).unwrap());
    let refusal = refusal_of(repository.client().refresh());
    assert_snapshot!(refusal, @"targets v2 is signed by 0 of the 1 key it needs");
}

#[test]
fn deeply_nested_json_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        // Within the length that a timestamp may have.
        let depth = 800;
        let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let bytes = honest_timestamp().replace("\"version\":2", &format!("\"version\":2,\"x\":{nested}"));
        let message = offered_as_timestamp(bytes.into_bytes());
        assert!(message.contains("nested deeper than 128 levels"), "{message}");
        offered_as_timestamp(open.repeat(3000).into_bytes());
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let honest = honest_timestamp();
    for bytes in [
        honest.replace("\"version\":2", "\"version\":1,\"version\":2"),
        honest.replace("\"version\":2", "\"version\":2,\"\\u0076ersion\":3"),
        honest.replace("{\"signatures\"", "{\"signed\":{},\"signatures\""),
        format!("{honest}{{}}"),
        format!("{honest}\0"),
        format!("\u{feff}{honest}"),
        honest.replace("\"version\":2", "\"version\":02"),
        honest.replace("\"version\":2", "\"version\":2,"),
        honest.replace("\"version\":2", "\"version\":2,\"x\":NaN"),
        honest.replace("\"version\":2", "\"version\":2,\"x\":\"\\ud800\""),
    ] {
        assert!(offered_as_timestamp(bytes.into_bytes()).starts_with("timestamp is malformed: "));
    }
}

#[test]
fn what_is_no_document_is_refused() {
    for bytes in [
        "",
        " ",
        "null",
        "[]",
        "{}",
        "\"\"",
        "{\"signed\":{}}",
        "{\"signatures\":[]}",
        "{\"signed\":{},\"signatures\":{}}",
    ] {
        assert!(offered_as_timestamp(bytes.into()).starts_with("timestamp is malformed: "), "{bytes}");
    }
    assert!(offered_as_timestamp(vec![0xff; 100]).starts_with("timestamp is malformed: not UTF-8"));
}

#[test]
fn a_document_that_its_keys_signed_but_that_lacks_a_field_is_refused() {
    for (role, field) in [
        ("timestamp", "meta"),
        ("timestamp", "expires"),
        ("snapshot", "meta"),
        ("snapshot", "version"),
        ("targets", "targets"),
        ("targets", "_type"),
        ("targets", "spec_version"),
    ] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.bump("targets");
        repository.publish();
        let file = repository.file_of(role);
        repository.draft(role).as_object_mut().unwrap().remove(field);
        repository.shelf().put(&file, Answer::Bytes(repository.bytes(role)));

        let refusal = refusal_of(client.refresh());

        assert_eq!(refusal.to_string(), format!("{role} is malformed: signed: the field `{field}` is missing"));
        assert_eq!(client.trusted_version(role), Some(1));
    }
}

#[test]
fn another_major_version_of_the_specification_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.draft("timestamp")["spec_version"] = json!("2.0.0");
    repository.publish();

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(
        refusal,
        @"timestamp is malformed: signed.spec_version: specification version 2.0.0 is not supported, only 1.x is"
    );
    assert_eq!(client.trusted_version("timestamp"), Some(1));
}

#[test]
fn versions_that_a_float_could_not_tell_apart_are_told_apart() {
    for version in [1_u64 << 53, (1 << 53) + 1, i64::MAX as u64, 1 << 63, u64::MAX - 1] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        for role in ["timestamp", "snapshot", "targets"] {
            repository.set_version(role, version + 1);
        }
        repository.describe();
        for role in ["timestamp", "snapshot", "targets"] {
            repository.serve(role);
        }
        client.refresh().unwrap();
        let before = client.state();
        for role in ["timestamp", "snapshot", "targets"] {
            // One less, and everything above it one more where there is room.
            let mut lower = SimRepository::new();
            for other in ["timestamp", "snapshot", "targets"] {
                lower.set_version(other, version + 1);
            }
            lower.set_version(role, version);
            lower.describe();
            lower.serve("timestamp");
            let file = lower.file_of("timestamp");
            repository.shelf().put(&file, Answer::Bytes(lower.bytes("timestamp")));
            let outcome = client.refresh();
            assert_eq!(client.state(), before, "{role} {version}");
            if role == "timestamp" {
                assert_eq!(refusal_of(outcome).code(), "rollback");
            }
        }
    }
}

#[test]
fn versions_that_are_no_positive_integers_are_refused_in_every_role() {
    for role in ["root", "timestamp", "snapshot", "targets", "team"] {
        for version in [json!(0), json!(-1), json!(i64::MIN), json!("2"), json!(null), json!(true), json!([2])] {
            let mut repository = SimRepository::new();
            let mut client = repository.client_before_news_of(role);
            let file = repository.file_of(role);
            repository.draft(role)["version"] = version.clone();
            repository.shelf().put(&file, Answer::Bytes(repository.bytes(role)));
            let trusted = client.cached(role);

            let refusal = refusal_of(client.refresh().and_then(|()| client.find("tool")));

            assert_eq!(refusal.code(), "malformed", "{role} {version}: {refusal}");
            assert_eq!(client.cached(role), trusted, "{role} {version}");
        }
    }
}

#[test]
fn a_length_that_is_no_length_is_refused() {
    for length in [json!(-1), json!("9"), json!(null), json!([])] {
        for (describing, role) in [("timestamp", "snapshot"), ("snapshot", "targets")] {
            let mut repository = SimRepository::new();
            let mut client = repository.client();
            client.refresh().unwrap();
            repository.bump("targets");
            repository.publish();
            repository.draft(describing)["meta"][format!("{role}.json")]["length"] = length.clone();
            repository.serve(describing);
            let trusted = client.cached(describing);
            assert_eq!(refusal_of(client.refresh()).code(), "malformed", "{role} {length}");
            assert_eq!(client.cached(describing), trusted);
        }
    }
}

#[test]
fn hundreds_of_thousands_of_signatures_cost_one_check_for_each_key_that_is_listed() {
    use trustroot::metadata::{Envelope, RoleName, Root};
    use trustroot::trust::{Authority, tally};
    let mut repository = SimRepository::new();
    let keys = [repository.new_key(), repository.new_key(), repository.new_key()];
    repository.authorize("timestamp", &keys, 3);
    let root: Root = Envelope::parse(&repository.bytes("root")).unwrap().unverified().unwrap();
    let mut document: serde_json::Value =
        serde_json::from_slice(&repository.signed_by("timestamp", &keys[..2])).unwrap();
    let valid = document["signatures"][0]["sig"].clone();
    let signatures = document["signatures"].as_array_mut().unwrap();
    // Good signatures, under names that nobody listed.
    signatures.extend((0..300_000).map(|number| json!({ "keyid": format!("{number}"), "sig": valid })));
    let envelope = Envelope::parse(&serde_json::to_vec(&document).unwrap()).unwrap();

    let tally = tally(&envelope, Authority::of_root(&root, &RoleName::Timestamp).unwrap());

    // A line for each key that was looked at; a signature is checked only together with its line.
    assert_eq!((tally.lines.len(), tally.counted, tally.foreign), (3, 2, 300_000));
    assert!(!tally.met());
}

#[test]
fn nesting_is_bounded_in_every_role() {
    for role in ["root", "timestamp", "snapshot", "targets", "team"] {
        let mut repository = SimRepository::new();
        let mut client = repository.client_before_news_of(role);
        let deep = format!("{{\"x\":{}1{},", "[".repeat(5000), "]".repeat(5000));
        let bytes = String::from_utf8(repository.bytes(role)).unwrap().replacen('{', &deep, 1);
        repository.serve_bytes(role, bytes.into_bytes());
        let trusted = client.cached(role);

        let refusal = refusal_of(client.refresh().and_then(|()| client.find("tool")));

        assert!(refusal.to_string().contains("nested deeper than 128 levels"), "{refusal}");
        assert_eq!(client.cached(role), trusted);
    }
}

/// Each keyid of a role may cost a signature to check, whoever signed the document that lists them.
#[test]
fn a_role_with_more_than_1024_keyids_is_refused() {
    let more = |listed: usize| (1..listed).map(|number| json!(format!("{number}"))).collect::<Vec<_>>();
    for (listed, refused) in [(1_024, false), (1_025, true), (200_000, true)] {
        let mut repository = SimRepository::new();
        repository.delegate("targets", "team", &["team/*"]);
        repository.publish();
        let mut client = repository.client();
        client.find("team/tool").unwrap();
        let targets = client.cached("targets");
        repository.delegation("targets", "team")["keyids"].as_array_mut().unwrap().extend(more(listed));
        repository.bump("targets");
        repository.publish();

        let found = client.refresh().and_then(|()| client.find("team/tool").map(drop));

        if refused {
            let refusal = refusal_of(found);
            let expected = format!("{listed} keyids, of which a role has at most 1024");
            assert!(refusal.code() == "malformed" && refusal.to_string().contains(&expected), "{refusal}");
            assert_eq!(client.cached("targets"), targets);
        } else {
            found.unwrap();
        }
    }
    for (listed, refused) in [(1_024, false), (1_025, true)] {
        let mut repository = SimRepository::new();
        let mut client = repository.client();
        client.refresh().unwrap();
        let before = client.state();
        repository.draft("root")["roles"]["timestamp"]["keyids"].as_array_mut().unwrap().extend(more(listed));
        repository.publish_root();

        let refreshed = client.refresh();

        if refused {
            assert_eq!(refusal_of(refreshed).code(), "malformed");
            assert_eq!(client.state(), before);
        } else {
            refreshed.unwrap();
        }
    }
}
