//! Mix-and-match attack: files are combined that the repository never offered together.

use insta::assert_snapshot;

use crate::support::{SimRepository, Snapshots, refusal_of};

#[test]
fn a_snapshot_other_than_the_timestamp_names_is_refused() {
    let mut repository = SimRepository::with(Snapshots::Plain);
    let mut client = repository.client();
    repository.publish();
    let old = repository.bytes("snapshot");
    repository.publish();
    repository.serve_bytes("snapshot", old);

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot has version 2 where 3 is expected");
    assert_eq!(client.trusted(), "root 1, timestamp 3, snapshot -, targets -");
}

#[test]
fn a_newer_snapshot_than_the_timestamp_names_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    repository.publish();
    repository.bump("snapshot");
    let newer = repository.bytes("snapshot");
    repository.set_version("snapshot", 2);
    repository.serve_bytes("snapshot", newer);

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"snapshot has version 3 where 2 is expected");
    assert_eq!(client.trusted_version("snapshot"), None);
}

#[test]
fn targets_other_than_the_snapshot_names_are_refused() {
    for version in [1, 3] {
        let mut repository = SimRepository::with(Snapshots::Plain);
        let mut client = repository.client();
        repository.set_version("targets", version);
        let other = repository.bytes("targets");
        repository.set_version("targets", 2);
        repository.publish();
        repository.serve_bytes("targets", other);

        let refusal = refusal_of(client.refresh());

        assert_eq!(refusal.to_string(), format!("targets has version {version} where 2 is expected"));
        assert_eq!(client.trusted_version("targets"), None);
    }
}

#[test]
fn a_delegated_role_other_than_the_snapshot_names_is_refused() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["*"]);
    let old = repository.bytes("team");
    repository.add_target("team", "tool", b"x");
    repository.publish();
    repository.serve_bytes("team", old);
    let mut client = repository.client();

    let refusal = refusal_of(client.find("tool"));

    assert_snapshot!(refusal, @"team has version 1 where 2 is expected");
    assert_eq!(client.trusted_version("team"), None);
}

#[test]
fn files_of_the_right_version_with_other_content_are_refused_where_hashes_are_given() {
    for role in ["snapshot", "targets", "team"] {
        let mut repository = SimRepository::new();
        repository.hashes_in_meta = true;
        repository.delegate("targets", "team", &["*"]);
        repository.describe();
        repository.publish();
        let mut client = repository.client();
        // Same length, same version, signed by the right key.
        repository.draft(role)["expires"] = "2027-12-31T00:00:00Z".into();
        repository.serve(role);

        let refusal = refusal_of(client.find("tool"));

        assert_eq!(refusal.code(), "wrong-hash", "{refusal}");
        assert_eq!(client.trusted_version(role), None);
    }
}

#[test]
fn files_of_another_length_are_refused_before_they_are_read() {
    for role in ["snapshot", "targets", "team"] {
        let mut repository = SimRepository::new();
        repository.hashes_in_meta = true;
        repository.delegate("targets", "team", &["*"]);
        repository.publish();
        let mut bytes = repository.bytes(role);
        bytes.pop();
        repository.serve_bytes(role, bytes);
        let mut client = repository.client();

        let refusal = refusal_of(client.find("tool"));

        assert_eq!(refusal.code(), "wrong-length", "{refusal}");
        assert_eq!(client.trusted_version(role), None);
    }
}

#[test]
fn a_cached_file_of_another_length_is_fetched_anew() {
    for (describing, role) in [("timestamp", "snapshot"), ("snapshot", "targets")] {
        let mut repository = SimRepository::new();
        repository.publish();
        let length = repository.bytes(role).len();
        repository.draft(describing)["meta"][format!("{role}.json")]["length"] = length.into();
        repository.serve(describing);
        let mut client = repository.client();
        client.refresh().unwrap();
        let good = client.cached(role).unwrap();
        // White space is not signed, so the signature is still good.
        let longer = [&good[..], b"\n"].concat();
        client.overwrite(role, &longer);

        client.refresh().unwrap();

        assert_eq!(client.cached(role).unwrap(), good, "{role}");
    }
}

#[test]
fn a_cached_file_whose_hash_is_no_longer_named_is_fetched_anew() {
    for role in ["snapshot", "targets", "team"] {
        let mut repository = SimRepository::new();
        repository.hashes_in_meta = true;
        repository.delegate("targets", "team", &["*"]);
        repository.publish();
        let mut client = repository.client();
        client.find("tool").unwrap();
        // The repository replaces a file without a new version: unwise, but the hash decides.
        repository.draft(role)["expires"] = "2027-12-31T00:00:00Z".into();
        if role == "snapshot" {
            repository.bump("timestamp");
            repository.describe();
            repository.serve("timestamp");
            repository.serve("snapshot");
        } else {
            repository.publish();
        }

        client.refresh().unwrap();
        client.find("tool").unwrap();

        assert_eq!(client.cached(role), Some(repository.bytes(role)));
    }
}

#[test]
fn a_snapshot_that_does_not_list_targets_is_refused() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    repository.draft("snapshot")["meta"] = serde_json::json!({});
    repository.serve("snapshot");

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"targets is delegated to, but the snapshot does not list it");
    assert_eq!(client.trusted(), "root 1, timestamp 1, snapshot 1, targets -");
}

#[test]
fn a_timestamp_names_one_snapshot_and_nothing_else_that_it_says_counts() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.bump("targets");
    repository.publish();
    let meta = &mut repository.draft("timestamp")["meta"];
    for name in ["root.json", "targets.json", "timestamp.json", "Snapshot.json", "../snapshot.json", "snapshot"] {
        meta[name] = serde_json::json!({ "version": 99, "length": 1, "hashes": { "sha256": "00" } });
    }
    repository.serve("timestamp");
    repository.shelf().take_requests();

    client.refresh().unwrap();

    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 2");
    assert_eq!(
        repository.shelf().take_requests(),
        ["metadata/2.root.json", "metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json"]
    );
}

#[test]
fn a_snapshot_means_no_more_than_the_roles_that_are_delegated_to() {
    let mut repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    for name in ["root.json", "timestamp.json", "snapshot.json", "evil.json", "../x.json", "targets", ".json", ""] {
        repository.draft("snapshot")["meta"][name] = serde_json::json!({ "version": 7 });
    }
    repository.publish();
    repository.shelf().take_requests();

    client.refresh().unwrap();
    assert!(client.find("evil").unwrap().is_none());

    assert_eq!(client.trusted(), "root 1, timestamp 2, snapshot 2, targets 1");
    assert_eq!(
        repository.shelf().take_requests(),
        ["metadata/2.root.json", "metadata/timestamp.json", "metadata/2.snapshot.json"]
    );
}

#[test]
fn neither_hash_nor_length_alone_is_enough_where_both_are_given() {
    for role in ["snapshot", "targets"] {
        let describing = if role == "snapshot" { "timestamp" } else { "snapshot" };
        for field in ["length", "hashes"] {
            let mut repository = SimRepository::new();
            repository.hashes_in_meta = true;
            repository.publish();
            let mut client = repository.client();
            client.refresh().unwrap();
            repository.bump("targets");
            repository.publish();
            let meta = &mut repository.draft(describing)["meta"][format!("{role}.json")];
            match field {
                "length" => meta["length"] = (meta["length"].as_u64().unwrap() + 1).into(),
                _ => meta["hashes"]["sha512"] = "00".repeat(64).into(),
            }
            if describing == "snapshot" {
                repository.describe_timestamp();
                repository.serve("snapshot");
            }
            repository.serve("timestamp");
            let trusted = client.cached(role);

            let refusal = refusal_of(client.refresh());

            assert_eq!(refusal.code(), if field == "length" { "wrong-length" } else { "wrong-hash" }, "{role}");
            assert_eq!(client.cached(role), trusted);
        }
    }
}
