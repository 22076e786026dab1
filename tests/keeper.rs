//! What those who keep a repository are told: when each role must be signed, as text, JSON and a calendar; and the comment
//! on a forge that says where an event stands. Read by peers where `TRUSTROOT_PYTHON` names a Python that has them.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};
use trustroot::ceremony::{AcceptedRisks, Circumstances, RecordSignatures};
use trustroot::crypto::sha256;
use trustroot::metadata::canonical_json::canonicalize;

use support::Registry;

#[path = "support/mod.rs"]
mod support;

/// Runs the command in a registry, at a time.
fn run(registry: &Registry, at: DateTime<Utc>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trustroot"));
    command.args(arguments).args(["--at", &at.to_rfc3339()]).current_dir(registry.path("")).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The exit status, the code where it is an error, and what was found.
fn check(registry: &Registry, at: DateTime<Utc>) -> (i32, String, Value) {
    let output = run(registry, at, &["check", "--format", "json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let code = said["error"]["code"].as_str().unwrap_or_default().to_owned();
    let found = if said["error"].is_null() { said } else { said["succeeded"].clone() };
    (output.status.code().unwrap(), code, found)
}

fn role<'a>(found: &'a Value, name: &str) -> &'a Value {
    found["roles"].as_array().unwrap().iter().find(|role| role["role"] == name).unwrap()
}

/// What a peer makes of bytes; `None` where there is none.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn judged(what: &str, bytes: &[u8]) -> Option<Value> {
    let Some(python) = std::env::var_os("TRUSTROOT_PYTHON") else {
        eprintln!("not judged: set TRUSTROOT_PYTHON to a Python that has icalendar and markdown-it-py");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keeper/judge.py");
    let mut child = Command::new(python)
        .args([script, what])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Root and targets, signed at noon on the first of March 2026 and published then.
fn published() -> Registry {
    let registry = Registry::with_builder();
    registry.publish().unwrap();
    registry
}

#[test]
fn the_keeper_is_told_how_long_until_each_role_must_be_signed() {
    let registry = published();
    let output = run(&registry, registry.now, &["check"]);
    assert_eq!(
        text(&output),
        "root: v1, expires 2027-03-01T12:00:00Z, in 365 days; sign the next from 2027-02-26T12:00:00Z, in 362 days\n\
         targets: v1, expires 2026-08-28T12:00:00Z, in 180 days; sign the next from 2026-08-25T12:00:00Z, in 177 days\n\
         oppy: v1, expires 2026-05-30T12:00:00Z, in 90 days; sign the next from 2026-04-30T12:00:00Z, in 60 days\n\
         snapshot: v1, expires 2026-03-15T12:00:00Z, in 14 days; publish again before 2026-03-14T00:00:00Z\n\
         timestamp: v1, expires 2026-03-08T12:00:00Z, in 7 days; publish again before 2026-03-07T00:00:00Z\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_window_that_opens_an_expiry_and_other_work_have_codes_of_their_own() {
    let mut registry = published();
    let start = registry.now;
    let publish_at = |registry: &mut Registry, days: i64| {
        registry.now = start + Duration::days(days);
        registry.publish().unwrap();
    };
    // One second before the window of `oppy` opens, then in it, and when it is over.
    publish_at(&mut registry, 60);
    let (status, code, found) = check(&registry, start + Duration::days(60) - Duration::seconds(1));
    assert_eq!((status, code.as_str(), &role(&found, "oppy")["urgency"]), (0, "", &json!("later")));
    let (status, code, found) = check(&registry, start + Duration::days(60));
    assert_eq!((status, code.as_str(), &role(&found, "oppy")["urgency"]), (1, "due", &json!("due")));
    let expected = json!(["due to be signed again: `trustroot ceremony start oppy`"]);
    assert_eq!(role(&found, "oppy")["todo"], expected);
    publish_at(&mut registry, 89);
    let (status, code, found) = check(&registry, start + Duration::days(90));
    assert_eq!((status, code.as_str(), &role(&found, "oppy")["urgency"]), (1, "role-expired", &json!("expired")));

    // What differs from the configuration is to be done, and not due.
    let registry = published();
    registry.edit("trustroot.toml", |text| text.replacen("threshold = 2", "threshold = 3", 1));
    let (status, code, _) = check(&registry, registry.now);
    assert_eq!((status, code.as_str()), (1, "to-do"));
}

#[test]
fn a_job_that_publishes_and_has_fallen_behind_is_found() {
    let mut registry = published();
    let start = registry.now;
    // The window of the timestamp is three days; the job has half of it.
    let half = start + Duration::days(7) - Duration::hours(36);
    assert_eq!(check(&registry, half - Duration::seconds(1)).0, 0);
    let (status, code, found) = check(&registry, half);
    assert_eq!((status, code.as_str()), (1, "due"));
    let behind = json!(["the job that publishes has fallen behind: `trustroot publish`"]);
    assert_eq!(role(&found, "timestamp")["todo"], behind);
    assert_eq!(role(&found, "snapshot")["todo"], json!([]));
    registry.now = half;
    registry.publish().unwrap();
    assert_eq!(check(&registry, half).0, 0);

    // What has been signed and nobody has published.
    registry.write("targets/tool.tar", "a tool\n");
    registry.hold("targets", &["alice", "bob"]).unwrap();
    let (status, code, found) = check(&registry, half);
    assert_eq!((status, code.as_str()), (1, "to-do"));
    let unpublished = json!(["targets v2 is signed and not published: `trustroot publish`"]);
    assert_eq!(role(&found, "snapshot")["todo"], unpublished);
    registry.publish().unwrap();
    assert_eq!(check(&registry, half).0, 0);

    // What nobody signed is not taken for a publication.
    registry.edit("repository/timestamp.json", |text| text.replacen("2026-", "2036-", 1));
    let (status, code, _) = check(&registry, half);
    assert_eq!((status, code.as_str()), (2, "not-signed-for"));

    // A working copy of which nothing was published says so, and complains of nothing.
    let registry = Registry::with_builder();
    let (status, _, found) = check(&registry, registry.now);
    assert_eq!((status, &role(&found, "timestamp")["version"]), (0, &Value::Null));
}

#[test]
fn the_roles_that_are_due_are_listed_for_scripts_but_for_those_whose_event_is_open() {
    let registry = published();
    let in_window = registry.now + Duration::days(363);
    let due = |registry: &Registry, at| text(&run(registry, at, &["check", "--due"]));
    assert_eq!(due(&registry, registry.now), "");
    assert_eq!(due(&registry, in_window), "root\ntargets\noppy\n");
    registry.start("root");
    assert_eq!(due(&registry, in_window), "targets\noppy\n");
    let (_, _, found) = check(&registry, in_window);
    // To start it again would void its signatures.
    let todo = json!(["due to be signed again: `trustroot ceremony status root-v2`"]);
    assert_eq!((&role(&found, "root")["event"], &role(&found, "root")["todo"]), (&json!("root-v2"), &todo));
    let mut withdrawn = registry.event("root-v2");
    withdrawn.withdraw("a mistake", registry.now).unwrap();
    assert_eq!(due(&registry, in_window), "root\ntargets\noppy\n");
}

/// A root that took from the first to the 21st: proposed, withdrawn, and proposed again.
fn slow() -> Registry {
    let mut registry = Registry::new();
    let start = registry.now;
    let mut wrong = registry.start("root");
    registry.now = start + Duration::days(2);
    wrong.withdraw("the wrong key", registry.now).unwrap();
    registry.now = start + Duration::days(20);
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry
}

#[test]
fn deadlines_allow_for_how_long_past_events_took() {
    let mut registry = slow();
    let expires = registry.now + Duration::days(365);
    let output = run(&registry, registry.now, &["check"]);
    let said = text(&output);
    let first: Vec<&str> = said.lines().take(2).collect();
    assert_eq!(
        first,
        [
            "root: v1, expires 2027-03-21T12:00:00Z, in 365 days; sign the next from 2027-02-09T12:00:00Z, in 325 days",
            "  past events took up to 20 days (one event): start by 2027-02-09",
        ]
    );
    let (_, code, found) = check(&registry, expires - Duration::days(40));
    let root = role(&found, "root");
    assert_eq!((code.as_str(), &root["urgency"]), ("due", &json!("due")));
    assert_eq!(root["pastEvents"], json!({"count": 1, "longestSeconds": 20 * 86_400}));
    assert_eq!(root["startBy"], "2027-02-09T12:00:00Z");
    let (_, code, found) = check(&registry, expires - Duration::days(20) + Duration::seconds(1));
    assert_eq!((code.as_str(), &role(&found, "root")["urgency"]), ("due", &json!("late")));

    // Another one, which took less.
    registry.now += Duration::days(10);
    registry.start("root");
    registry.now += Duration::days(3);
    registry.hold("root", &["alice", "bob"]).unwrap();
    let (_, _, found) = check(&registry, registry.now);
    assert_eq!(role(&found, "root")["pastEvents"], json!({"count": 2, "longestSeconds": 20 * 86_400}));
}

#[test]
fn where_steps_are_recorded_their_times_tell_how_long_an_event_took() {
    let mut registry = Registry::new();
    let start = registry.now;
    let with = |registry: &Registry| Circumstances::new(registry.now, "clock", "test", None);
    let mut event = registry.start("root");
    event.record_proposed(&registry.signed(), &with(&registry)).unwrap();
    registry.now = start + Duration::days(12);
    for person in ["alice", "bob"] {
        let key = registry.key(person);
        event.sign_recorded(&registry.signed(), key, RecordSignatures::Made, &with(&registry)).unwrap();
    }
    registry.now = start + Duration::days(15);
    registry.finish(&event).unwrap();
    event.record_finished(&registry.signed(), &AcceptedRisks::default(), &with(&registry)).unwrap();
    let past = |registry: &Registry| role(&check(registry, registry.now).2, "root")["pastEvents"].clone();
    let took = json!({"count": 1, "longestSeconds": 15 * 86_400});
    assert_eq!(past(&registry), took);
    // What follows from the expiry under today's policy is another time, and is not asked.
    registry.edit("trustroot.toml", |text| text.replacen("= 365", "= 375", 1));
    assert_eq!(past(&registry), took);
    // Nor does it belong to the event that it was published somewhere much later.
    registry.now = start + Duration::days(60);
    event.record_published(&registry.signed(), &AcceptedRisks::default(), &with(&registry)).unwrap();
    assert_eq!(past(&registry), took);
    // A record of another event tells nothing of this one.
    let records = registry.files("signing-events/root-v1/records");
    let proposed = records.values().find(|bytes| String::from_utf8_lossy(bytes).contains("\"propose\"")).unwrap();
    let mut other: Value = serde_json::from_slice(proposed).unwrap();
    other["record"]["event"] = "another".into();
    other["record"]["at"] = "2025-12-01T00:00:00Z".into();
    let bytes = canonicalize(other.to_string().as_bytes()).unwrap();
    let name = format!("signing-events/root-v1/records/{}.json", hex::encode(sha256(&bytes)));
    registry.write(&name, &String::from_utf8(bytes).unwrap());
    assert_eq!(event.transcript().unwrap().records.len(), records.len() + 1);
    assert_eq!(past(&registry), took);
}

#[test]
fn a_time_that_somebody_made_up_moves_a_deadline_forward_by_a_bounded_time_and_never_back() {
    let honest = published();
    let (_, _, found) = check(&honest, honest.now);
    let due = role(&found, "root")["due"].clone();
    for (at, expected) in [
        ("0001-01-01T00:00:00Z", json!("2026-08-31T00:00:00Z")),
        ("9999-01-01T00:00:00Z", due.clone()),
        ("soon", due.clone()),
        ("2026-03-01T11:59:59Z", due.clone()),
    ] {
        let registry = published();
        let digest = hex::encode(registry.event("root-v1").digest());
        let withdrawn = json!({"payloadSha256": digest, "reason": "r", "at": at});
        registry.put_withdrawal("root-v1", &withdrawn);
        let (_, _, found) = check(&registry, registry.now);
        assert_eq!(role(&found, "root")["due"], expected, "{at}");
        assert_eq!(registry.signed().root().unwrap().version.get(), 1);
    }
}

#[test]
fn a_calendar_is_read_by_a_peer_and_written_again_it_holds_the_same_events() {
    let mut registry = slow();
    registry.hold("targets", &["alice", "bob"]).unwrap();
    let hostile = "A; registry, \\ \u{202e}gnp.\u{2028}END:VEVENT https://evil.example BEGIN:VEVENT";
    registry.edit("trustroot.toml", |text| text.replacen("Test registry", &hostile.replace('\\', "\\\\"), 1));
    let file = registry.path("roles.ics");
    let write = |registry: &Registry| {
        let output = run(registry, registry.now, &["check", "--calendar", "roles.ics"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(&file).unwrap()
    };
    let first = write(&registry);
    assert_eq!(write(&registry), first, "at the same moment it is the same");
    let lines = String::from_utf8(first.clone()).unwrap();
    assert!(lines.is_ascii() && lines.ends_with("\r\n"));
    assert!(lines.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\r', '\n'])));
    assert_eq!(lines.matches("\r\nBEGIN:VEVENT").count(), 2);
    // The peer leaves the type of these open, so they must be what it reads as the summary.
    let whole = lines.replace("\r\n ", "");
    let value = |name: &str| whole.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert_eq!(value("SUMMARY:"), format!("{}: sign root", value("NAME:")));
    assert_eq!(value("X-WR-CALNAME:"), value("NAME:"));

    registry.now += Duration::days(1);
    let second = write(&registry);
    let (Some(first), Some(second)) = (judged("calendar", &first), judged("calendar", &second)) else { return };
    let shown = "A; registry, \\\\ \\u{202e}gnp.\\u{2028}END:VEVENT https://evil.example BEGIN:VEVENT";
    assert_eq!(first["errors"], json!([]));
    let root = &first["events"][0];
    assert_eq!(root["summary"], format!("{shown}: sign root"));
    assert_eq!((&root["start"], &root["end"]), (&json!("2027-02-09T12:00:00Z"), &json!("2027-03-21T12:00:00Z")));
    assert_eq!(root["alarms"], json!(["2027-02-09T12:00:00Z", "2027-03-01T12:00:00Z"]));
    let told = "root v1 expires on 2027-03-21. Clients refuse it from then on.\n\nStart: trustroot ceremony start root\n\
                Past events took up to 20 days (one event): start by 2027-02-09.";
    assert_eq!(root["description"], told);
    assert_eq!(first["events"].as_array().unwrap().len(), 2);
    for (before, after) in first["events"].as_array().unwrap().iter().zip(second["events"].as_array().unwrap()) {
        assert_eq!(before["uid"], after["uid"]);
        assert!(after["sequence"].as_u64() > before["sequence"].as_u64());
    }
    // Another repository of the same name and roles is another calendar.
    let other = Registry::other(registry.now);
    other.hold("root", &["alice", "bob"]).unwrap();
    assert!(run(&other, other.now, &["check", "--calendar", "roles.ics"]).stdout.starts_with(b"root"));
    let other = judged("calendar", &std::fs::read(other.path("roles.ics")).unwrap()).unwrap();
    assert_ne!(other["events"][0]["uid"], root["uid"]);
}

#[cfg(unix)]
#[test]
fn a_calendar_is_not_written_over_a_device_nor_where_nothing_is_signed() {
    let registry = Registry::new();
    let output = run(&registry, registry.now, &["check", "--calendar", "roles.ics"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no role has been signed"), "{output:?}");
    assert_eq!(output.status.code(), Some(2));
    assert!(!registry.path("roles.ics").exists());
    registry.hold("root", &["alice", "bob"]).unwrap();
    let output = run(&registry, registry.now, &["check", "--calendar", "/dev/null"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

const HOSTILE: &str = "@team #1 !2 [a](https://evil.example) ![b](https://evil.example/c.png) <img src=x onerror=y> \
                       <!-- ``` ~~~ `````` </code></pre> /approve www.evil.example &lt;b&gt; **bold** | a | \
                       0123456789abcdef0123456789abcdef01234567";

fn comment(registry: &Registry, at: DateTime<Utc>, arguments: &[&str]) -> String {
    let output = run(registry, at, &[&["ceremony", "status", "--format", "markdown"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    text(&output)
}

/// Says what of a comment stands outside of blocks of code, as a peer reads it; and what stands in them.
fn outside_and_inside(comment: &str) -> Option<(String, String)> {
    let pieces = judged("markdown", comment.as_bytes())?;
    let (mut outside, mut inside) = (String::new(), String::new());
    for piece in pieces.as_array().unwrap() {
        let (kind, content) = (piece[0].as_str().unwrap(), piece[1].as_str().unwrap());
        match kind {
            "fence" | "code_inline" => inside.push_str(content),
            "html_block" => assert_eq!(content.trim(), "<!-- trustroot ceremony status -->"),
            "text" | "softbreak" => outside.push_str(content),
            "heading_open" | "heading_close" | "paragraph_open" | "paragraph_close" | "strong_open"
            | "strong_close" => {}
            other => panic!("{other} is nothing that a comment has: {content}"),
        }
    }
    Some((outside, inside))
}

#[test]
fn the_comment_says_what_a_pull_request_needs_and_the_same_events_give_the_same_bytes() {
    let mut registry = published();
    registry.add_person("dave");
    registry.edit("trustroot.toml", |text| {
        text.replace("[people.carol]\nkeys = [\"keys/carol.pub\"]", "[people.dave]\nkeys = [\"keys/dave.pub\"]")
            .replace("\"carol\"", "\"dave\"")
    });
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    let first = comment(&registry, registry.now, &[]);
    assert_eq!(comment(&registry, registry.now + Duration::days(30), &[]), first);
    assert_eq!(comment(&registry, registry.now, &["root-v2"]), first);
    for part in [
        "### Signing event `root-v2`\n",
        "root-v2: root v2, open\n",
        "  under root v1: 1 of 2 needed\n",
        "  under root v2 (proposed): 1 of 2 needed\n",
        &trustroot::ceremony::digest_groups(&event.digest()),
        "```diff\n",
        "- key of carol, ed25519",
        "+ key of dave, ed25519",
        "next: bob or carol or dave runs `trustroot ceremony sign root-v2 --key FILE`\n",
        "`trustroot ceremony review root-v2 --root-sha256 DIGEST`",
    ] {
        assert!(first.contains(part), "{part} is not in\n{first}");
    }
    registry.sign(&mut event, "bob").unwrap();
    assert!(comment(&registry, registry.now, &[]).contains("root-v2: root v2, complete: it can be finished"));
    registry.finish(&event).unwrap();
    assert_eq!(
        comment(&registry, registry.now, &[]),
        "<!-- trustroot ceremony status -->\n\nNo signing event is open.\n"
    );

    // A rule that is broken, and a sibling.
    registry.now += Duration::days(1);
    let mut one = registry.start("root");
    registry.sign(&mut one, "alice").unwrap();
    registry.now += Duration::minutes(1);
    registry.start("root");
    registry.edit("signing-events/root-v3/proposal.json", |text| {
        text.replace("\"expires\": \"2027", "\"expires\": \"2099")
    });
    let broken = comment(&registry, registry.now, &[]);
    assert!(broken.contains("**It breaks rules, and is neither signed nor finished:**"), "{broken}");
    assert!(broken.contains(&format!("payload  sha256 {}", hex::encode(one.digest()))), "{broken}");
}

#[test]
fn nothing_that_an_attacker_writes_is_more_than_text_in_a_comment() {
    let mut registry = published();
    registry.now += Duration::days(1);
    // In the metadata that is proposed: a name of an owner, and a field that has no words.
    registry.start("root");
    registry.edit("signing-events/root-v2/proposal.json", |text| {
        let mut document: Value = serde_json::from_str(&text).unwrap();
        for (_, key) in document["signed"]["keys"].as_object_mut().unwrap() {
            key["x-tuf-on-ci-keyowner"] = json!(HOSTILE);
        }
        document["signed"][HOSTILE] = json!(format!("\n```\n{HOSTILE}\n"));
        document.to_string()
    });
    // In a reason, in the name of a file, and in the name of a role.
    registry.event("root-v2").withdraw(&format!("\n```\n\n{HOSTILE}"), registry.now).unwrap();
    registry.write("signing-events/root-v2/signatures/```@team <img>.json", "{");
    registry.write("signing-events/other/event.json", &json!({"role": HOSTILE}).to_string());
    registry.write("signing-events/www.evil.example/event.json", "{\"```@team\"");

    let comment = comment(&registry, registry.now, &[]);

    assert!(comment.is_ascii() && comment.matches("@team").count() > 6, "{comment}");
    let Some((outside, inside)) = outside_and_inside(&comment) else { return };
    for hostile in ["team", "evil", "img", "approve", "bold", "b&gt;", "01234567", "`", "<", "@", "#"] {
        assert!(!outside.contains(hostile), "{hostile} stands outside of code in\n{comment}");
    }
    for there in ["@team <img>.json", "evil.example/c.png", "/approve", "nobody signed why", "www.evil.example"] {
        assert!(inside.contains(there), "{there} is not in\n{comment}");
    }
    // No line begins as a command of a forge would.
    assert!(comment.lines().all(|line| !line.starts_with(['/', ':', '@'])), "{comment}");
    assert_eq!(registry.signed().root().unwrap().version.get(), 1);
}

#[test]
fn a_comment_has_a_length_that_forges_take() {
    let mut registry = published();
    registry.now += Duration::days(1);
    for number in 0..30 {
        let name = format!("event-{number}-{}", "x".repeat(80));
        let proposal = registry.propose("root").unwrap();
        let event = trustroot::ceremony::SigningEvent::start(
            &registry.copy(),
            &registry.signed(),
            &proposal,
            &name.parse().unwrap(),
        );
        for file in 0..40 {
            let name = format!("signing-events/{name}/signatures/{file}-{}.json", "y".repeat(150));
            registry.write(&name, "{");
        }
        event.unwrap();
    }
    let comment = comment(&registry, registry.now, &[]);
    assert!(comment.len() < 65_536, "{}", comment.len());
    assert!(comment.contains("And 20 more, which `trustroot ceremony status` shows."));
    assert!(comment.contains(" more lines, which the command shows"));
}

#[test]
fn markdown_is_refused_where_there_is_none_before_anything_is_done() {
    let registry = Registry::new();
    let before = registry.files("");
    for arguments in [&["check"][..], &["ceremony", "start", "root"], &["ceremony", "review"], &["init", "other"]] {
        let output = run(&registry, registry.now, &[arguments, &["--format", "markdown"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("error: this command has no result in Markdown\n"), "{error}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(registry.files(""), before);
    let output = run(&registry, registry.now, &["ceremony", "status", "nothing", "--format", "markdown"]);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "), "errors are text");
}

#[test]
fn init_writes_a_workflow_where_it_is_asked_for_and_over_nobody_elses() {
    let registry = Registry::new();
    for (forge, file) in [("github", ".github/workflows/trustroot.yml"), ("gitlab", ".gitlab-ci.yml")] {
        let directory = format!("new-{forge}");
        let output = run(&registry, registry.now, &["init", &directory, "--ci", forge]);
        assert!(text(&output).contains(file), "{output:?}");
        let template = format!("{}/repo-template/ci/{forge}.yml", env!("CARGO_MANIFEST_DIR"));
        let written = registry.path(&directory).join(file);
        assert_eq!(std::fs::read(&written).unwrap(), std::fs::read(template).unwrap());

        let taken = format!("taken-{forge}");
        registry.write(&format!("{taken}/{file}"), "somebody else's\n");
        assert_eq!(run(&registry, registry.now, &["init", &taken, "--ci", forge]).status.code(), Some(0));
        assert_eq!(std::fs::read(registry.path(&taken).join(file)).unwrap(), b"somebody else's\n");
    }
}
