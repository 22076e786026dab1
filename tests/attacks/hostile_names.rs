//! Names chosen by an attacker: of roles, of targets. None may lead to another file or URL than its own.

use serde_json::json;

use crate::support::{Client, SimRepository, Snapshots, refusal_of};

fn files_outside_the_cache(client: &Client) -> Vec<std::path::PathBuf> {
    let cache = client.cache();
    let parent = cache.directory().parent().unwrap();
    let entries = fs_err::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path != cache.directory()).collect()
}

#[test]
fn a_role_name_cannot_leave_the_cache_or_the_metadata_url() {
    for (name, url) in [
        ("../x", "metadata/2...%2Fx.json"),
        ("..", "metadata/2....json"),
        ("/etc/passwd", "metadata/2.%2Fetc%2Fpasswd.json"),
        ("a/../../b", "metadata/2.a%2F..%2F..%2Fb.json"),
        ("..\\x", "metadata/2...%5Cx.json"),
        ("root_history/1.root", "metadata/2.root_history%2F1.root.json"),
        ("%2e%2e%2fx", "metadata/2.%252e%252e%252fx.json"),
        ("a?b#c d", "metadata/2.a%3Fb%23c%20d.json"),
        ("\u{0}\u{1b}[2J\n", "metadata/2.%00%1B%5B2J%0A.json"),
    ] {
        for snapshots in [Snapshots::Consistent, Snapshots::Plain] {
            let mut repository = SimRepository::with(snapshots);
            repository.delegate("targets", name, &["*"]);
            repository.add_target(name, "tool", b"x");
            repository.publish();
            let mut client = repository.client();
            client.refresh().unwrap();
            let before = client.cached_files().len();
            repository.shelf().take_requests();

            assert_eq!(client.finds_in("tool").as_deref(), Some(name));

            let url = if snapshots == Snapshots::Consistent { url.to_owned() } else { url.replacen("2.", "", 1) };
            assert_eq!(repository.shelf().take_requests(), [url]);
            assert_eq!(client.cached_files().len(), before + 1, "{name:?}");
            assert_eq!(client.cached(name), Some(repository.bytes(name)));
            assert!(files_outside_the_cache(&client).is_empty(), "{name:?}");
            assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 2");
        }
    }
}

#[test]
fn a_role_without_a_name_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.delegate("targets", "", &["*"]);
    repository.publish();

    let refusal = refusal_of(client.refresh());

    insta::assert_snapshot!(
        refusal,
        @"targets is malformed: signed.delegations.roles[0].name: a delegated role needs a name"
    );
    assert_eq!(client.trusted_version("targets"), Some(1));
}

#[test]
fn a_role_name_that_is_too_long_for_a_file_name_still_works() {
    let name = "x".repeat(300);
    let mut repository = SimRepository::new();
    repository.delegate("targets", &name, &["*"]);
    repository.add_target(&name, "tool", b"x");
    repository.publish();
    let mut client = repository.client();

    assert_eq!(client.finds_in("tool"), Some(name.clone()));

    assert_eq!(client.cached(&name), Some(repository.bytes(&name)));
    let longest = client.cached_files().iter().map(|path| path.file_name().unwrap().len()).max();
    assert!(longest.unwrap() < 256);
    repository.shelf().take_requests();
    client.refresh().unwrap();
    client.find("tool").unwrap();
    assert_eq!(repository.shelf().take_requests().len(), 2, "the cached file is used");
}

#[test]
fn a_role_name_cannot_draw_on_the_terminal() {
    let mut repository = SimRepository::new();
    let name = "\u{1b}[2J\u{202e}team\n";
    repository.delegate("targets", name, &["*"]);
    repository.publish();
    repository.serve_bytes(name, b"{}".to_vec());

    let refusal = refusal_of(repository.client().find("tool"));

    insta::assert_snapshot!(
        refusal,
        @r"\u{1b}[2J\u{202e}team\n is malformed: document: the field `signatures` is missing"
    );
}

#[test]
fn a_target_path_cannot_be_asked_for_if_it_leaves_its_base() {
    use trustroot::metadata::TargetPath;
    for path in [
        "../x",
        "a/../x",
        "a/..",
        "..",
        ".",
        "/etc/passwd",
        "a//b",
        "a/",
        "",
        "a\\..\\b",
        "a\nb",
        "a\u{7f}",
        "a\u{85}b",
    ] {
        assert!(TargetPath::new(path).is_err(), "{path:?}");
    }
}

#[test]
fn a_target_that_leaves_its_base_in_metadata_harms_no_other() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    let entry = repository.draft("targets")["targets"]["tool"].clone();
    for path in ["../x", "/etc/passwd", "a//b", "", "a\nb", "\\"] {
        repository.draft("targets")["targets"][path] = entry.clone();
    }
    repository.publish();
    let mut client = repository.client();
    client.download("tool").unwrap();
    assert_eq!(client.downloaded("tool").unwrap(), b"good");
    assert_eq!(client.count_downloads(), 1);
}

#[test]
fn target_paths_reach_the_url_encoded_with_the_hash_on_the_last_component() {
    let hash = hex::encode(trustroot::crypto::sha256(b"x"));
    for (path, url) in [
        ("a/b/c", format!("targets/a/b/{hash}.c")),
        ("100%", format!("targets/{hash}.100%25")),
        ("%2e%2e/x", format!("targets/%252e%252e/{hash}.x")),
        ("a?b#c", format!("targets/{hash}.a%3Fb%23c")),
        ("a b/\u{e9}", format!("targets/a%20b/{hash}.%C3%A9")),
        ("\"quoted\"", format!("targets/{hash}.%22quoted%22")),
        ("...", format!("targets/{hash}....")),
        (";:@&=+$,", format!("targets/{hash}.;:@&=+$,")),
    ] {
        let mut repository = SimRepository::new();
        repository.add_target("targets", path, b"x");
        repository.publish();
        let mut client = repository.client();
        client.refresh().unwrap();
        repository.shelf().take_requests();

        client.download(path).unwrap();

        assert_eq!(repository.shelf().take_requests(), [url]);
        assert_eq!(client.downloaded(path).unwrap(), b"x");
    }
}

#[test]
fn without_consistent_snapshots_no_hash_stands_before_a_target() {
    let mut repository = SimRepository::with(Snapshots::Plain);
    repository.add_target("targets", "a/b c", b"x");
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.shelf().take_requests();
    client.download("a/b c").unwrap();
    assert_eq!(repository.shelf().take_requests(), ["targets/a/b%20c"]);
}

#[test]
fn a_pattern_is_never_a_program() {
    let mut repository = SimRepository::new();
    let hostile = "*a".repeat(2000);
    let unclosed = "[".repeat(2000);
    repository.delegate("targets", "team", &[hostile.as_str(), &unclosed, "[!a-z]", "{tool}", "\\*"]);
    repository.add_target("team", "tool", b"evil");
    repository.publish();
    let mut client = repository.client();
    assert_eq!(client.finds_in("tool"), None);
    assert!(client.find(&"a".repeat(1999)).unwrap().is_none());
}

#[test]
fn a_hash_prefix_that_is_not_lower_case_hex_grants_nothing() {
    let mut repository = SimRepository::new();
    let key = repository.new_key();
    repository.delegate_to("targets", "team", &[key], 1);
    repository.delegation("targets", "team")["path_hash_prefixes"] = json!(["CA", "*", "ca978112zz"]);
    repository.add_target("team", "a", b"evil");
    repository.publish();
    assert_eq!(repository.client().finds_in("a"), None);
}

#[test]
fn two_names_never_share_a_file_or_url() {
    use trustroot::metadata::{RoleName, TargetPath};
    use trustroot::trust::LocalFile;
    let client = SimRepository::new().client();
    let roles = [
        "a/b",
        "a%2Fb",
        "a%252Fb",
        "a%2fb",
        "a\\b",
        "a b",
        "a+b",
        "a%20b",
        "a",
        "A",
        "a.json",
        "a.json.json",
        ".",
        "..",
        "1.root",
        "2.root",
        "root_history",
        "root_history/1.root",
        ".lock",
        "con",
        "\u{e9}",
        "e\u{301}",
        "Root",
        "ROOT",
        "\u{17f}napshot",
        "root ",
        "root.",
        " root",
        "root\0",
        "root.json",
    ];
    let files: std::collections::BTreeSet<_> = roles
        .iter()
        .map(|role| client.cache().path(&LocalFile::Role(RoleName::delegated(role).unwrap()).into()))
        .chain(["root", "timestamp", "snapshot", "targets"].map(|role| client.cache_path(role)))
        .chain([client.history_path(1), client.history_path(2), client.cache().directory().join(".lock")])
        .collect();
    assert_eq!(files.len(), roles.len() + 7);
    assert!(files.iter().all(|file| file.starts_with(client.cache().directory())));

    let paths = ["a/b", "a%2Fb", "a%252Fb", "a?b", "a%3Fb", "a#b", "a b", "a+b", "a%20b", "A/b", "\u{e9}", "e\u{301}"];
    for hash in [None, Some(&[0xab; 32][..])] {
        let urls: std::collections::BTreeSet<_> =
            paths.iter().map(|path| TargetPath::new(*path).unwrap().url_path(hash)).collect();
        assert_eq!(urls.len(), paths.len());
    }
    let stored: std::collections::BTreeSet<_> = paths.iter().map(|path| client.destination(path)).collect();
    assert_eq!(stored.len(), paths.len());
}

#[test]
fn a_name_that_collides_with_the_stored_name_of_another_only_costs_a_fetch() {
    // The long name is stored under its hash, and the other role is called just so.
    let long = "x".repeat(300);
    let short = format!("sha256-{}", hex::encode(trustroot::crypto::sha256(long.as_bytes())));
    let mut repository = SimRepository::new();
    repository.delegate("targets", &long, &["long"]);
    repository.delegate("targets", &short, &["short"]);
    repository.add_target(&long, "long", b"x");
    repository.add_target(&short, "short", b"y");
    repository.add_target(&short, "long", b"evil");
    repository.publish();
    let mut client = repository.client();
    assert_eq!(client.cache_path(&long), client.cache_path(&short));
    for _ in 0..2 {
        assert_eq!(client.finds_in("long"), Some(long.clone()));
        assert_eq!(client.finds_in("short"), Some(short.clone()));
        client.refresh().unwrap();
    }
}

#[test]
fn a_role_that_is_called_like_a_root_is_none() {
    for snapshots in [Snapshots::Consistent, Snapshots::Plain] {
        let mut repository = SimRepository::with(snapshots);
        // Without consistent snapshots its URL is that of the next root.
        repository.delegate("targets", "2.root", &["*"]);
        repository.publish();
        let mut client = repository.client();
        let before = client.state();
        match snapshots {
            Snapshots::Consistent => assert!(client.find("tool").unwrap().is_none()),
            Snapshots::Plain => {
                let refusal = refusal_of(client.find("tool"));
                assert_eq!(refusal.code(), "too-few-signatures", "{refusal}");
                assert_eq!(client.state(), before);
            }
        }
        assert_eq!(client.trusted_version("root").unwrap_or(1), 1);
        assert!(!client.history_path(2).exists());
    }
}
