//! Clocks that are wrong, notes that are damaged, caches of an older version, and repositories that cannot be reached.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use trustroot::client::danger::ExpiredGrace;
use trustroot::client::{Freshness, StoredFile, UpdateError, UpdaterSettings, WhenUnreachable};
use trustroot::metadata::{RoleName, TargetPath};
use trustroot::trust::Connectivity;

use crate::support::{Answer, Client, SimRepository, block_on};

const DAY: Duration = Duration::from_secs(86_400);

/// A repository, and a client that has just refreshed.
fn warm() -> (SimRepository, Client) {
    let mut repository = SimRepository::new();
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    (repository, client)
}

fn notes(client: &Client) -> std::path::PathBuf {
    client.cache().path(&StoredFile::Notes)
}

fn refresh_with(client: &Client, settings: UpdaterSettings) -> Result<Freshness, UpdateError> {
    let before = client.state();
    let mut updater = client.updater_with(settings, client.cache())?;
    let refreshed = block_on(updater.refresh()).map(drop);
    if let Err(error) = &refreshed {
        let mut moved = client.moved_since(&before);
        // How mirrors did may be noted.
        moved.retain(|file| file != "client/notes.json");
        assert!(moved.is_empty(), "{moved:?} moved, although: {error}");
    }
    refreshed.map(|()| updater.freshness().clone())
}

fn unreachable(repository: &SimRepository) {
    for file in repository.shelf().files().into_keys() {
        repository.shelf().put(&file, Answer::Status(503));
    }
    repository.shelf().put(&format!("metadata/{}.root.json", repository.version("root") + 1), Answer::Status(503));
}

fn move_clock(repository: &SimRepository, by: TimeDelta) -> DateTime<Utc> {
    let now = repository.shelf().now();
    repository.set_now(now + by);
    now
}

#[test]
fn a_clock_that_went_back_is_refused_and_nothing_moves() {
    let (mut repository, mut client) = warm();
    repository.publish();
    for connectivity in [Connectivity::Online, Connectivity::Offline] {
        client.connectivity = connectivity;
        let before = client.state();
        let right = move_clock(&repository, TimeDelta::minutes(-6));
        assert_eq!(client.refresh().unwrap_err().code(), "clock-went-back");
        assert_eq!(client.state(), before);
        repository.set_now(right);
        client.refresh().unwrap();
    }
    assert_eq!(client.trusted_version("timestamp"), Some(3));
}

#[test]
fn times_at_both_ends_of_the_calendar_are_judged_like_others() {
    let (repository, mut client) = warm();
    client.find("none").unwrap();
    let kept = client.state();
    let grace = WhenUnreachable::UseExpired(ExpiredGrace::accepting(Duration::MAX));
    for (time, code) in [(DateTime::<Utc>::MAX_UTC, "expired"), (DateTime::<Utc>::MIN_UTC, "clock-went-back")] {
        repository.set_now(time);
        for connectivity in [Connectivity::Online, Connectivity::Offline] {
            let mut settings = client.settings().when_unreachable(grace);
            settings.connectivity = connectivity;
            assert_eq!(refresh_with(&client, settings.clone()).unwrap_err().code(), code, "{time}");
            let limited = refresh_with(&client, settings.max_staleness(Duration::MAX));
            assert_eq!(limited.unwrap_err().code(), code, "{time}");
        }
        assert_eq!(client.state(), kept);
    }
    // The longest grace that there is takes everything.
    repository.set_now(DateTime::<Utc>::MAX_UTC);
    unreachable(&repository);
    assert_eq!(refresh_with(&client, client.settings().when_unreachable(grace)).unwrap().expired.len(), 4);
    // A first refresh that early is followed by those of the present.
    let repository = SimRepository::new();
    let now = repository.shelf().now();
    repository.set_now(DateTime::<Utc>::MIN_UTC);
    let mut client = repository.client();
    client.refresh().unwrap();
    repository.set_now(now);
    client.refresh().unwrap();
}

#[test]
fn a_clock_that_was_set_back_a_little_is_taken_for_the_latest_time() {
    let (mut repository, mut client) = warm();
    let noted = fs_err::read(notes(&client)).unwrap();
    repository.publish();
    // Expires between the two times: by the clock it has not, by what is known it has.
    let right = move_clock(&repository, TimeDelta::minutes(-4));
    repository.draft("timestamp")["expires"] =
        serde_json::json!((right - TimeDelta::minutes(2)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    repository.serve("timestamp");
    assert_eq!(crate::support::refusal_of(client.refresh()).code(), "expired");
    assert_eq!(client.trusted_version("timestamp"), Some(2));
    assert_eq!(fs_err::read(notes(&client)).unwrap(), noted);

    repository.expire("timestamp", 7);
    repository.serve("timestamp");
    client.refresh().unwrap();
    assert_eq!(client.trusted_version("timestamp"), Some(3));
    let time = serde_json::from_slice::<serde_json::Value>(&fs_err::read(notes(&client)).unwrap()).unwrap();
    assert_eq!(time["confirmedAt"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), right, "time never goes back");
}

#[test]
fn a_clock_that_is_far_ahead_refuses_everything_and_is_not_remembered() {
    let (repository, mut client) = warm();
    let before = client.state();
    let right = move_clock(&repository, TimeDelta::days(3650));
    assert_eq!(crate::support::refusal_of(client.refresh()).code(), "expired");
    assert_eq!(client.state(), before);
    repository.set_now(right);
    client.refresh().unwrap();
}

#[test]
fn a_cache_of_an_older_version_without_notes_goes_on() {
    let (mut repository, mut client) = warm();
    fs_err::remove_dir_all(notes(&client).parent().unwrap()).unwrap();
    let mut offline = client.settings();
    offline.connectivity = Connectivity::Offline;
    assert_eq!(refresh_with(&client, offline.clone()).unwrap().confirmed_at, None);
    let limited = offline.clone().max_staleness(DAY);
    assert_eq!(refresh_with(&client, limited.clone()).unwrap_err().code(), "too-stale");

    // Its floors count.
    repository.set_version("timestamp", 1);
    repository.serve("timestamp");
    assert_eq!(crate::support::refusal_of(client.refresh()).code(), "rollback");

    repository.set_version("timestamp", 3);
    repository.serve("timestamp");
    client.refresh().unwrap();
    assert_eq!(refresh_with(&client, limited).unwrap().confirmed_at, Some(repository.shelf().now()));
}

#[test]
fn damaged_notes_are_as_good_as_none_and_never_loosen_a_limit() {
    let (repository, mut client) = warm();
    let good = fs_err::read(notes(&client)).unwrap();
    let mut flipped = good.clone();
    flipped[2] ^= 0x80;
    let mut huge = good.clone();
    huge.extend(vec![b' '; 64 * 1024]);
    let deep = vec![b'['; 10_000];
    let damages =
        [&good[..good.len() / 2], &flipped, &huge, &deep, b"", b"null", b"[]", b"{\"confirmedAt\":7}", &[0; 4096]];
    for damage in damages {
        fs_err::write(notes(&client), damage).unwrap();
        let mut limited = client.settings().max_staleness(DAY);
        limited.connectivity = Connectivity::Offline;
        assert_eq!(refresh_with(&client, limited.clone()).unwrap_err().code(), "too-stale");
        client.refresh().unwrap();
        assert_eq!(refresh_with(&client, limited).unwrap().confirmed_at, Some(repository.shelf().now()));
    }
}

#[test]
fn what_is_kept_is_used_offline_until_it_is_too_stale() {
    let (repository, client) = warm();
    let mut settings = client.settings().max_staleness(2 * DAY);
    settings.connectivity = Connectivity::Offline;
    repository.wait_days(2);
    refresh_with(&client, settings.clone()).unwrap();
    move_clock(&repository, TimeDelta::seconds(1));
    let error = refresh_with(&client, settings).unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("too-stale", false));
}

#[test]
fn what_a_killed_update_left_is_cleared_away_by_one_that_brings_nothing_new() {
    let (repository, mut client) = warm();
    let left = [".trustroot-0aZ9bY", "client/.trustroot-0aZ9bY"].map(|name| client.cache().directory().join(name));
    for left in &left {
        fs_err::write(left, b"half").unwrap();
    }
    // Long enough for the notes to be written.
    repository.wait_days(1);
    client.refresh().unwrap();
    assert!(left.iter().all(|left| !left.exists()));
}

#[test]
fn what_is_kept_is_used_where_nobody_answers_only_if_that_was_configured() {
    let (repository, client) = warm();
    unreachable(&repository);
    let fail = client.settings();
    assert_eq!(refresh_with(&client, fail).unwrap_err().code(), "http-status");
    let kept = client.settings().when_unreachable(WhenUnreachable::UseKept).max_staleness(DAY);
    let freshness = refresh_with(&client, kept.clone()).unwrap();
    assert_eq!(freshness.confirmed_at, Some(repository.shelf().now()));
    assert!(freshness.unreachable.is_some() && freshness.expired.is_empty());
    repository.wait_days(2);
    assert_eq!(refresh_with(&client, kept).unwrap_err().code(), "too-stale");
}

#[test]
fn what_has_expired_is_used_within_the_grace_and_not_beyond() {
    for (name, role) in [
        ("root", RoleName::Root),
        ("timestamp", RoleName::Timestamp),
        ("snapshot", RoleName::Snapshot),
        ("targets", RoleName::Targets),
    ] {
        let mut repository = SimRepository::new();
        repository.expire(name, 3);
        repository.publish_root();
        repository.publish();
        let mut client = repository.client();
        client.refresh().unwrap();
        unreachable(&repository);
        let kept = client.settings().when_unreachable(WhenUnreachable::UseKept);
        let grace = client.settings().when_unreachable(WhenUnreachable::UseExpired(ExpiredGrace::accepting(2 * DAY)));
        assert!(refresh_with(&client, grace.clone()).unwrap().expired.is_empty());
        repository.wait_days(4);
        // What is said is that nobody answers, and that what is kept is of no use: nobody has refused anything.
        let no_use = |settings| {
            let error = refresh_with(&client, settings).unwrap_err();
            assert_eq!((error.code(), error.is_refusal()), ("http-status", false), "{error}");
            assert!(error.to_string().contains(&format!("{name} v{} expired", repository.version(name))), "{error}");
            let now = repository.shelf().now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            assert!(error.to_string().contains(&now), "{now}: {error}");
        };
        no_use(kept);
        let used = refresh_with(&client, grace.clone()).unwrap();
        assert_eq!(used.expired.iter().map(|(role, _)| role).collect::<Vec<_>>(), [&role]);
        repository.wait_days(2);
        no_use(grace.clone());
        // A limit on staleness is one in the grace too.
        repository.wait_days(-2);
        assert_eq!(refresh_with(&client, grace.max_staleness(DAY)).unwrap_err().code(), "too-stale");
    }
}

/// Documents of builders are named by such roles.
#[test]
fn a_delegated_role_that_has_expired_is_used_within_the_grace_and_named() {
    let mut repository = SimRepository::new();
    for role in ["team", "other"] {
        repository.delegate("targets", role, &[&format!("{role}/*")]);
        repository.add_target(role, &format!("{role}/tool"), b"x");
        repository.expire(role, 3);
    }
    repository.expire("timestamp", 5);
    repository.publish();
    let mut client = repository.client();
    client.refresh().unwrap();
    client.find("team/tool").unwrap().unwrap();
    client.find("other/tool").unwrap().unwrap();
    unreachable(&repository);
    let kept = client.state();
    let kept_only = client.settings().when_unreachable(WhenUnreachable::UseKept);
    let grace = client.settings().when_unreachable(WhenUnreachable::UseExpired(ExpiredGrace::accepting(2 * DAY)));
    let find = |settings: &UpdaterSettings| {
        let mut updater = client.updater_with(settings.clone(), client.cache()).unwrap();
        let found = block_on(updater.find(&TargetPath::new("team/tool").unwrap()));
        let expired = updater.freshness().expired.iter().map(|(role, _)| role.to_string()).collect::<Vec<_>>();
        found.map(|found| (found.unwrap().version.get(), expired))
    };
    let no_use = |settings| {
        let error = find(settings).unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), ("http-status", false), "{error}");
        let now = repository.shelf().now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        assert!(error.to_string().contains("what is kept does not serve: team v2 expired"), "{error}");
        assert!(error.to_string().ends_with(&now), "{now}: {error}");
    };
    repository.wait_days(2);
    assert_eq!(find(&grace).unwrap(), (2, vec![]));
    // It alone has expired, then the timestamp too; the role that answers nothing is not named.
    repository.wait_days(2);
    no_use(&kept_only);
    assert_eq!(find(&grace).unwrap(), (2, vec!["team".to_owned()]));
    move_clock(&repository, TimeDelta::hours(23));
    assert_eq!(find(&grace).unwrap(), (2, vec!["team".to_owned()]));
    move_clock(&repository, TimeDelta::hours(1));
    no_use(&grace);
    let longer = client.settings().when_unreachable(WhenUnreachable::UseExpired(ExpiredGrace::accepting(3 * DAY)));
    assert_eq!(find(&longer).unwrap(), (2, vec!["timestamp".to_owned(), "team".to_owned()]));
    // Who only works offline is given no grace.
    let mut offline = longer.clone();
    offline.connectivity = Connectivity::Offline;
    repository.wait_days(-1);
    let refusal = crate::support::refusal_of(find(&offline));
    assert!(refusal.to_string().starts_with("team v2 expired"), "{refusal}");
    assert_eq!(client.state(), kept);
}

#[test]
fn what_is_kept_is_never_used_where_a_mirror_answers_with_what_is_refused() {
    let (mut repository, client) = warm();
    let settings = [
        client.settings().when_unreachable(WhenUnreachable::UseKept),
        client.settings().when_unreachable(WhenUnreachable::UseExpired(ExpiredGrace::accepting(30 * DAY))),
    ];
    repository.set_version("timestamp", 1);
    repository.serve("timestamp");
    for settings in settings.clone() {
        assert_eq!(refresh_with(&client, settings).unwrap_err().code(), "rollback");
    }
    repository.answer("timestamp", Answer::Endless);
    for settings in settings {
        assert_eq!(refresh_with(&client, settings).unwrap_err().code(), "too-long");
    }
}
