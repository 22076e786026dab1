//! A home on a disk that is full, that may not be written, or that belongs to somebody else: real ones.
//!
//! Permissions do not stop the system's administrator, as whom tests often run. So small file systems are mounted, in a
//! mount namespace that goes with the command, and another user is taken.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::faults::copy_tree;
use crate::processes::Setting;
use crate::support::State;

/// A home that has refreshed and holds a target, and a repository with news.
struct Scene {
    setting: Setting,
    directory: tempfile::TempDir,
}

/// What a command in a script came to.
struct Said {
    status: i32,
    text: String,
}

impl Said {
    #[track_caller]
    fn is(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, status, "{}", self.text);
        for words in words {
            assert!(self.text.contains(words), "{words}: {}", self.text);
        }
    }
}

/// Why nothing is tested, where that is so.
fn skipped(reason: &str) {
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    {
        eprintln!("NOT TESTED: {reason}");
    }
}

/// How a mount namespace is made here: as root, or as whoever may be root in a namespace of their own.
fn mounting() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];
    let works = |way: &&&[&str]| {
        let mut tried = Command::new("unshare");
        tried.args(**way).args(["sh", "-c", "mount -t tmpfs -o size=64k none /mnt && mount -o bind,ro /mnt /mnt"]);
        tried.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    };
    let way = ways.iter().find(works).copied();
    if way.is_none() {
        skipped("nothing may be mounted here");
    }
    way
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut setting = Setting::at(&directory.path().join("home"));
        setting.repository.add_target("targets", "tool", &[1; 3000]);
        setting.publish();
        let scene = Self { setting, directory };
        scene.run(&["get", "tool", "--output", "old-tool"]).is(0, &[]);
        scene
    }

    fn with_news() -> Self {
        let mut scene = Self::new();
        scene.setting.repository.rotate("timestamp");
        scene.setting.repository.add_target("targets", "tool", &[2; 3000]);
        scene.setting.publish();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn prepare(&self, mut command: Command) -> Said {
        command.env_clear().env("TRUSTROOT_SYSTEM_DIR", "").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("TRUSTROOT_HOME", self.path("home")).current_dir(self.directory.path()).stdin(Stdio::null());
        said(&command.output().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(arguments);
        self.prepare(command)
    }

    /// Runs a script in which `trustroot` is the command and `t N ARGUMENTS` notes as number N what it says; what is
    /// mounted goes with it.
    fn mounted(&self, way: &[&str], script: &str) -> Vec<Said> {
        let told = self.path("told");
        fs_err::create_dir_all(&told).unwrap();
        let script = format!(
            "told={}; t() {{ n=$1; shift; set +e; {} \"$@\" > $told/$n 2>&1; echo $? > $told/$n.status; set -e; }}\n\
             set -e\n{script}",
            told.display(),
            env!("CARGO_BIN_EXE_trustroot"),
        );
        let mut unshare = Command::new("unshare");
        unshare.args(way).args(["sh", "-c", &script]);
        self.prepare(unshare).is(0, &[]);
        let mut said = Vec::new();
        while let Ok(status) = fs_err::read_to_string(told.join(format!("{}.status", said.len() + 1))) {
            let text = fs_err::read_to_string(told.join((said.len() + 1).to_string())).unwrap();
            said.push(Said { status: status.trim().parse().unwrap(), text });
        }
        said
    }
}

fn said(output: &Output) -> Said {
    let text = [&output.stdout[..], &output.stderr].concat();
    Said { status: output.status.code().unwrap(), text: String::from_utf8(text).unwrap() }
}

#[test]
fn on_a_full_disk_answers_are_right_what_is_kept_stays_and_room_is_all_that_is_needed() {
    let Some(way) = mounting() else { return };
    let scene = Scene::with_news();
    let before = State::of(&scene.path("home"));
    // The home alone fits; then there is no room for a byte.
    let script = "cp -a home kept; mount -t tmpfs -o size=512k none home; cp -a kept/. home/\n\
                  cat /dev/zero > home/fill 2>/dev/null || true\n\
                  t 1 refresh\n\
                  t 2 get tool --output tool\n\
                  t 3 refresh --offline\n\
                  t 4 trust set example --max-staleness 7d\n\
                  t 5 get tool --output home/tool\n\
                  t 6 trust add other --url file://$PWD/nothing --root kept/example/root.json\n\
                  mkdir after; cp -a home/. after/; rm after/fill\n\
                  rm home/fill\n\
                  t 7 refresh\n\
                  t 8 trust set example --max-staleness 7d\n\
                  t 9 refresh --offline\n";
    let said = scene.mounted(way, script);
    assert_eq!(said.len(), 9);
    said[0].is(3, &["what was accepted of example cannot be kept", "No space left on device", "make room"]);
    said[1].is(0, &["wrote tool", "the target cannot be kept for `--offline`", "not protected against going back"]);
    said[2].is(0, &["targets v3"]);
    let full = ["error: cannot write `", "No space left on device", "hint: make room there"];
    said[3].is(3, &[&full[..], &["/home/example/trust.toml`", "nothing changed"]].concat());
    said[4].is(3, &[&full[..], &["home/tool`"]].concat());
    said[5].is(3, &["No space left on device", "hint: make room there"]);
    said[6].is(0, &["refreshed: root v3", "targets v4"]);
    said[7].is(0, &[]);
    said[8].is(0, &["targets v4"]);
    assert_eq!(fs_err::read(scene.path("tool")).unwrap(), [2; 3000]);
    // Nothing that was kept has moved, and nothing lies half-written.
    let mut moved = State::of(&scene.path("after")).moved_since(&before);
    moved.retain(|name| !name.ends_with("/.lock") && name != ".lock");
    assert!(moved.is_empty() || moved == ["other"], "{moved:?}");
}

#[test]
fn what_an_earlier_run_left_of_a_download_gives_way_where_there_is_no_room_for_a_copy_of_it() {
    let Some(way) = mounting() else { return };
    let mut scene = Scene::new();
    let content: Vec<u8> = (0..251).cycle().take(1_500_000).collect();
    scene.setting.repository.add_target("targets", "big", &content);
    scene.setting.publish();
    fs_err::write(scene.path("part"), &content[..1_200_000]).unwrap();
    let part = format!(".trustroot-part-{}", &hex::encode(trustroot::crypto::sha256(&content))[..32]);
    // First to where targets are kept, and from there to a file.
    let script = format!(
        "for place in home/example/targets small; do\n\
         mkdir -p $place; mount -t tmpfs -o size=2m none $place; cp part $place/{part}; done\n\
         t 1 get big --output first\n\
         ls -A home/example/targets > left\n\
         t 2 get big --output small/big\n\
         ls -A small >> left; cp small/big big || true\n"
    );
    let said = scene.mounted(way, &script);
    for said in said {
        said.is(0, &["wrote "]);
        assert!(!said.text.contains("cannot be kept"), "{}", said.text);
    }
    assert_eq!(fs_err::read_to_string(scene.path("left")).unwrap(), "big\nbig\n");
    assert!(fs_err::read(scene.path("big")).unwrap() == content);
}

#[test]
fn in_a_home_that_may_not_be_written_answers_are_right_and_nothing_moves() {
    let Some(way) = mounting() else { return };
    let scene = Scene::with_news();
    let before = State::of(&scene.path("home"));
    let script = "mount --bind home home; mount -o remount,bind,ro home\n\
                  t 1 refresh\n\
                  t 2 get tool --output tool\n\
                  t 3 refresh --offline\n\
                  t 4 status\n\
                  t 5 trust set example --max-staleness 7d\n\
                  t 6 trust remove example\n\
                  t 7 trust list\n";
    let said = scene.mounted(way, script);
    assert_eq!(said.len(), 7);
    said[0].is(3, &["what was accepted of example cannot be kept", "Read-only file system", "use `--offline`"]);
    said[1].is(0, &["wrote tool", "the target cannot be kept for `--offline`", "not protected against going back"]);
    said[2].is(0, &["targets v3"]);
    said[3].is(0, &["targets    v3"]);
    let hint = "hint: see to it that this user may write there";
    said[4].is(3, &["/home/.lock`: Read-only file system", "nothing changed", hint]);
    said[5].is(3, &["/home/.lock`: Read-only file system", "nothing changed", hint]);
    said[6].is(0, &["example"]);
    assert_eq!(fs_err::read(scene.path("tool")).unwrap(), [2; 3000]);
    assert_eq!(State::of(&scene.path("home")), before);
    scene.run(&["refresh"]).is(0, &["refreshed: root v3"]);
}

#[test]
fn in_the_home_of_somebody_else_answers_are_right_and_nothing_moves() {
    // Somewhere that another user can reach.
    let there = tempfile::tempdir().unwrap();
    let binary = there.path().join("trustroot");
    fs_err::copy(env!("CARGO_BIN_EXE_trustroot"), &binary).unwrap();
    let scene = Scene::with_news();
    let (home, repository) = (there.path().join("home"), scene.setting.served());
    copy_tree(&scene.path("home"), &home);
    let chmod = |mode: &str, path: &Path| {
        assert!(Command::new("chmod").args(["-R", mode]).arg(path).status().unwrap().success());
    };
    for path in [there.path(), repository.parent().unwrap()] {
        chmod("go+rX", path);
    }
    let as_nobody = |arguments: &[&str]| {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args(arguments);
        setpriv.env_clear().env("TRUSTROOT_SYSTEM_DIR", "").env("TRUSTROOT_HOME", &home).current_dir("/");
        setpriv.stdin(Stdio::null()).output().map(|output| said(&output))
    };
    if !as_nobody(&["--version"]).is_ok_and(|said| said.status == 0) {
        skipped("nobody else can be taken for us here");
        return;
    }
    let before = State::of(&home);
    let run = |arguments: &[&str]| as_nobody(arguments).unwrap();
    run(&["refresh"]).is(3, &["what was accepted of example cannot be kept", "Permission denied"]);
    run(&["refresh", "--offline"]).is(0, &["targets v3"]);
    run(&["get", "tool", "--output", "-"]).is(0, &["the target cannot be kept for `--offline`"]);
    let hint = "hint: see to it that this user may write there";
    run(&["trust", "set", "example", "--max-staleness", "7d"]).is(3, &["Permission denied", "nothing changed", hint]);
    run(&["trust", "remove", "example"]).is(3, &["Permission denied", hint]);
    assert_eq!(State::of(&home), before);
}
