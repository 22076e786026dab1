//! The cache after a crash, a bad disk or a visitor: what is in it is verified again, and fetched anew where it is not
//! what it should be.

use insta::assert_snapshot;

use crate::support::{Answer, Client, Key, SimRepository, refusal_of};

const ROLES: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "team"];

/// A repository with the delegated role `team`, and a client whose cache is complete.
fn complete() -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    repository.rotate("timestamp");
    repository.delegate("targets", "team", &["*"]);
    repository.add_target("team", "tool", b"x");
    repository.publish();
    let mut client = first_client(&repository);
    client.find("tool").unwrap();
    (repository, client)
}

/// A client that pins the first root.
fn first_client(repository: &SimRepository) -> Client {
    let other = repository.client();
    other.pinning(repository.shelf().get("metadata/1.root.json").unwrap())
}

fn heals(repository: &SimRepository, client: &mut Client) {
    client.refresh().unwrap();
    assert_eq!(client.finds_in("tool").as_deref(), Some("team"));
    for role in ROLES {
        assert_eq!(client.cached(role), Some(repository.bytes_on_shelf(role)), "{role}");
    }
}

#[test]
fn damaged_files_are_fetched_anew() {
    for role in ROLES {
        let (repository, mut client) = complete();
        let good = client.cached(role).unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for damage in [&good[..good.len() / 2], &flipped, b"", b"{}", &[0; 4096], b"[[[[[[["] {
            client.overwrite(role, damage);
            heals(&repository, &mut client);
        }
        fs_err::remove_file(client.cache_path(role)).unwrap();
        heals(&repository, &mut client);
    }
}

#[test]
fn a_flipped_byte_anywhere_is_noticed_or_harmless() {
    let (repository, mut client) = complete();
    for role in ["timestamp", "snapshot", "targets", "team"] {
        let good = client.cached(role).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut flipped = good.clone();
            flipped[at] ^= 0x20;
            client.overwrite(role, &flipped);
            client.refresh().unwrap();
            assert_eq!(client.finds_in("tool").as_deref(), Some("team"), "{role} {at}");
        }
        heals_role(&repository, &mut client, role, &good);
    }
}

fn heals_role(repository: &SimRepository, client: &mut Client, role: &str, good: &[u8]) {
    client.overwrite(role, b"");
    heals(repository, client);
    assert_eq!(client.cached(role).unwrap(), good);
}

#[test]
fn a_damaged_cache_is_never_trusted_where_the_repository_may_not_be_asked() {
    for role in ["timestamp", "snapshot", "targets", "team"] {
        let (_repository, mut client) = complete();
        client.connectivity = trustroot::trust::Connectivity::Offline;
        client.find("tool").unwrap();
        let mut flipped = client.cached(role).unwrap();
        let at = flipped.windows(6).position(|window| window == b"signed").unwrap() + 30;
        flipped[at] ^= 1;
        client.overwrite(role, &flipped);
        let error = client.refresh().and_then(|()| client.find("tool")).unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("offline", false), "{role}");
    }
}

#[test]
fn files_of_one_role_in_place_of_another_are_not_trusted() {
    let (repository, mut client) = complete();
    let files: Vec<_> = ROLES.iter().map(|role| client.cached(role).unwrap()).collect();
    for (place, role) in ROLES.iter().enumerate() {
        client.overwrite(role, &files[(place + 1) % ROLES.len()]);
    }
    heals(&repository, &mut client);
}

#[test]
fn a_poisoned_root_in_the_cache_is_never_trusted_under_a_pinned_root() {
    let (repository, mut client) = complete();
    // Whoever can write to the cache makes it a complete repository of his own.
    let mut evil = SimRepository::new();
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let version = if role == "root" { 7 } else { 99 };
        evil.set_version(role, version);
        evil.authorize(role, &[Key::ed25519(666)], 1);
    }
    evil.describe();
    for role in ["root", "timestamp", "snapshot", "targets"] {
        client.overwrite(role, &evil.bytes(role));
    }
    for version in [2, 3, 7] {
        evil.set_version("root", version);
        fs_err::write(client.history_path(version), evil.bytes("root")).unwrap();
    }

    // It cannot be told from a newer root whose history was lost, so that nothing older is taken; nor is it.
    let refusal = refusal_of(client.refresh());
    assert_eq!(refusal.to_string(), "root v2 is older than v7, which is already trusted");

    fs_err::remove_file(client.cache_path("root")).unwrap();
    heals(&repository, &mut client);
    assert_eq!(client.trusted(), "root 2, timestamp 2, snapshot 2, targets 2");
    assert_eq!(fs_err::read(client.history_path(2)).unwrap(), repository.bytes_on_shelf("root"));
}

#[test]
fn a_poisoned_cache_means_nothing_under_a_pinned_root_offline_either() {
    let (_repository, mut client) = complete();
    let mut evil = SimRepository::new();
    for role in ["root", "timestamp", "snapshot", "targets"] {
        evil.authorize(role, &[Key::ed25519(666)], 1);
        client.overwrite(role, &evil.bytes(role));
    }
    client.connectivity = trustroot::trust::Connectivity::Offline;
    let error = client.refresh().unwrap_err();
    assert_snapshot!(error, @"timestamp is not in the cache, or no longer current, and the repository may not be asked");
}

#[test]
fn a_pinned_root_that_does_not_sign_itself_is_refused() {
    let repository = SimRepository::new();
    let mut client = repository.client().pinning(repository.signed_by("root", &[]));
    let refusal = refusal_of(client.refresh());
    assert_snapshot!(refusal, @"root is signed by 0 of the 1 key it needs");
    assert_eq!(client.trusted(), "root -, timestamp -, snapshot -, targets -");
    assert!(repository.shelf().take_requests().is_empty());
}

#[test]
fn a_cache_without_a_root_is_nowhere_to_start_from() {
    let repository = SimRepository::new();
    let mut client = repository.client().trusting_its_cache();
    fs_err::remove_file(client.cache_path("root")).unwrap();
    let error = client.refresh().unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("no-root", false));
}

#[test]
fn a_crash_after_any_write_leaves_a_cache_that_goes_on() {
    // Every way in which the new files can have been written up to some point, the old ones still standing.
    let order = ["root_history", "root", "timestamp", "snapshot", "targets", "team"];
    for written in 0..=order.len() {
        for trusting in [false, true] {
            let (mut repository, mut client) = complete();
            if trusting {
                client = client.trusting_its_cache();
            }
            let old_key = repository.signers("timestamp").clone();
            repository.rotate("timestamp");
            repository.rotate("snapshot");
            repository.add_target("team", "tool", b"y");
            repository.bump("targets");
            repository.publish();
            for file in &order[..written] {
                if *file == "root_history" {
                    // The first of two new roots is complete, the second only in the history.
                    let third = repository.shelf().get("metadata/3.root.json").unwrap();
                    fs_err::write(client.history_path(3), &third).unwrap();
                    client.overwrite("root", &third);
                    fs_err::write(client.history_path(4), repository.bytes_on_shelf("root")).unwrap();
                } else {
                    client.overwrite(file, &repository.bytes_on_shelf(file));
                }
            }
            heals(&repository, &mut client);
            // And nobody can take it back.
            repository.serve_bytes("timestamp", repository.signed_by("timestamp", &old_key));
            repository.set_version("timestamp", 1);
            assert_eq!(refusal_of(client.refresh()).code(), "too-few-signatures");
            assert_eq!(client.trusted(), "root 4, timestamp 3, snapshot 3, targets 3");
        }
    }
}

#[test]
fn a_root_that_is_only_in_the_history_is_found_without_the_repository() {
    let (mut repository, mut client) = complete();
    repository.rotate("targets");
    repository.publish();
    let third = repository.bytes_on_shelf("root");
    fs_err::write(client.history_path(3), &third).unwrap();
    repository.answer("timestamp", Answer::Status(503));
    repository.shelf().take_requests();

    client.refresh().unwrap_err();

    let asked = repository.shelf().take_requests();
    assert_eq!(asked[0], "metadata/4.root.json");
    repository.serve("timestamp");
    heals(&repository, &mut client);
}

#[test]
fn a_pinned_root_is_kept_where_it_is_the_newest() {
    let repository = SimRepository::new();
    let mut client = repository.client();
    client.refresh().unwrap();
    assert_eq!(client.cached("root"), Some(repository.bytes_on_shelf("root")));
    let mut offline = client.other_process().trusting_its_cache();
    offline.connectivity = trustroot::trust::Connectivity::Offline;
    offline.refresh().unwrap();
}

#[test]
fn a_cache_that_may_not_be_changed_is_not() {
    use trustroot::client::CacheMode;
    let (mut repository, mut client) = complete();
    client.mode = CacheMode::ReadOnly;
    let before: Vec<_> = client.cached_files().iter().map(|path| fs_err::read(path).unwrap()).collect();
    repository.rotate("targets");
    repository.add_target("team", "new", b"x");
    repository.publish();

    client.refresh().unwrap();
    assert_eq!(client.finds_in("new").as_deref(), Some("team"));

    let after: Vec<_> = client.cached_files().iter().map(|path| fs_err::read(path).unwrap()).collect();
    assert_eq!(before, after);
}

/// Runs `test` in a thread of its own and insists that it ends.
#[cfg(unix)]
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (ended, end) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = ended.send(());
    });
    match end.recv_timeout(std::time::Duration::from_secs(30)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

#[cfg(unix)]
fn make_pipe(path: &std::path::Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_cache_blocks_nobody_and_is_replaced() {
    in_time(|| {
        for role in ROLES {
            let (repository, mut client) = complete();
            fs_err::remove_file(client.cache_path(role)).unwrap();
            make_pipe(&client.cache_path(role));
            heals(&repository, &mut client);
            assert!(fs_err::symlink_metadata(client.cache_path(role)).unwrap().is_file(), "{role}");
        }
    });
}

#[cfg(unix)]
#[test]
fn what_stands_in_place_of_the_lock_is_neither_waited_for_nor_followed() {
    use std::os::unix::fs::symlink;
    in_time(|| {
        let elsewhere = tempfile::tempdir().unwrap();
        for kind in ["pipe", "link", "directory"] {
            let (mut repository, client) = complete();
            let lock = client.cache().directory().join(".lock");
            fs_err::remove_file(&lock).unwrap();
            match kind {
                "pipe" => make_pipe(&lock),
                "link" => symlink(elsewhere.path().join("made"), &lock).unwrap(),
                _ => fs_err::create_dir(&lock).unwrap(),
            }
            repository.publish();
            let before = client.state();

            // Nothing can be kept, which does not make the answer wrong.
            let mut updater = client.new_updater().unwrap();
            let version = crate::support::block_on(updater.refresh()).unwrap().timestamp().version.get();

            assert_eq!(version, 3, "{kind}");
            assert!(updater.not_kept().unwrap().to_string().contains(".lock"), "{kind}");
            assert_eq!(client.state(), before, "{kind}");
            assert_eq!(fs_err::read_dir(elsewhere.path()).unwrap().count(), 0, "{kind}");
        }
    });
}

#[cfg(unix)]
#[test]
fn a_link_in_the_cache_is_replaced_and_never_written_through() {
    use std::os::unix::fs::symlink;
    for role in ROLES {
        let (mut repository, mut client) = complete();
        let elsewhere = tempfile::tempdir().unwrap();
        let (target, dangling) = (elsewhere.path().join("precious"), elsewhere.path().join("nothing"));
        for place in [&target, &dangling] {
            fs_err::write(&target, "precious").unwrap();
            fs_err::remove_file(client.cache_path(role)).unwrap();
            symlink(place, client.cache_path(role)).unwrap();
            repository.rotate("targets");
            repository.bump("team");
            repository.publish();
            heals(&repository, &mut client);
            assert_eq!(fs_err::read(&target).unwrap(), b"precious", "{role}");
            assert!(!dangling.exists(), "{role}");
            assert!(fs_err::symlink_metadata(client.cache_path(role)).unwrap().is_file(), "{role}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_to_itself_is_could_not_tell() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let (mut repository, mut client) = complete();
        let path = client.cache_path(role);
        fs_err::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        repository.bump("targets");
        repository.publish();
        let before = client.state();
        // What cannot be read may be a floor, so that nothing is taken instead of it.
        let error = client.refresh().unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("io", false), "{role}: {error}");
        let moved = client.moved_since(&before);
        assert!(!moved.contains(&format!("{role}.json")), "{role}: {moved:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_where_a_download_goes_is_not_written_through() {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "tool", b"good");
    repository.publish();
    let mut client = repository.client();
    let elsewhere = tempfile::tempdir().unwrap();
    let precious = elsewhere.path().join("precious");
    fs_err::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, client.destination("tool")).unwrap();

    client.download("tool").unwrap();

    assert_eq!(client.downloaded("tool").unwrap(), b"good");
    assert_eq!(fs_err::read(&precious).unwrap(), b"precious");
}

#[test]
fn a_role_that_is_called_like_a_temporary_file_stays_in_the_cache() {
    let mut repository = SimRepository::new();
    repository.delegate("targets", ".trustroot-x", &["*"]);
    repository.add_target(".trustroot-x", "tool", b"x");
    repository.publish();
    let mut client = repository.client();
    client.find("tool").unwrap();
    let kept = client.cached(".trustroot-x");
    assert!(kept.is_some());
    repository.publish();
    client.refresh().unwrap();
    assert_eq!(client.cached(".trustroot-x"), kept);
}
