//! The real command, killed before each of its system calls that change a file, and with each of them failing.
//!
//! `strace` lists these calls in a run that nothing disturbs, and then stops or fails them one at a time, each in a run of
//! its own from the same state. So this is below [`super::faults`], which disturbs whole operations of a store.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::faults::{copy_tree, leftovers, newest};
use crate::processes::Setting;
use crate::support::{OPPY, Registry};

/// The system calls that change files, of every architecture.
const CHANGING: &str = "?open,?creat,openat,?openat2,write,writev,pwrite64,pwritev,ftruncate,fallocate,fsync,fdatasync,\
                        sync_file_range,?rename,?renameat,renameat2,?link,linkat,?symlink,symlinkat,?unlink,unlinkat,\
                        ?rmdir,?mkdir,mkdirat,?chmod,fchmod,fchmodat,?utime,utimensat,flock,fcntl,copy_file_range,\
                        sendfile,splice,ioctl";

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The process is killed before it.
    Killed,
    /// It fails, and nothing else does.
    Fails(&'static str),
}

/// The ways in which a call can fail.
fn faults_of(call: &str) -> &'static [Fault] {
    use Fault::{Fails, Killed};
    match call {
        "open" | "creat" | "openat" | "openat2" => {
            &[Killed, Fails("ENOSPC"), Fails("EDQUOT"), Fails("EROFS"), Fails("EMFILE")]
        }
        "write" | "writev" | "pwrite64" | "pwritev" | "ftruncate" | "fallocate" | "copy_file_range" => {
            &[Killed, Fails("ENOSPC"), Fails("EIO")]
        }
        "fsync" | "fdatasync" | "sync_file_range" => &[Killed, Fails("EIO")],
        "flock" | "fcntl" => &[Killed, Fails("ENOLCK")],
        // What comes after it does without it.
        "ioctl" => &[Killed, Fails("EOPNOTSUPP")],
        _ => &[Killed, Fails("ENOSPC"), Fails("EROFS")],
    }
}

/// A call of a run that nothing disturbed.
#[derive(Debug, Clone)]
struct Call {
    name: String,
    /// Which of the calls of this name it is, counted from one.
    number: usize,
    /// As `strace` shows it.
    shown: String,
}

/// A state to start from, and a command that changes it.
struct Scene {
    /// Holds what the command reads, such as the repository.
    directory: TempDir,
    /// `{}` stands for the directory of the run, which begins as a copy of `start`. Its home is in `home`.
    arguments: Vec<String>,
    /// How many of the ways to fail are tried at each call.
    faults: usize,
    /// What keeps the repository there.
    keeps: Box<dyn std::any::Any>,
}

/// What one run works on.
struct Run {
    directory: TempDir,
}

impl Run {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.path("home/example/metadata")
    }

    fn versions(&self) -> Vec<u64> {
        ["root", "timestamp", "snapshot", "targets"].iter().map(|role| newest(&self.cache(), role)).collect()
    }

    /// Everything that lies there, without what says when it was written. An index says little else, and whoever finds none
    /// misses nothing.
    fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = walkdir::WalkDir::new(self.directory.path()).into_iter().filter_map(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_file() && entry.file_name() != ".lock");
        files
            .map(|file| {
                let name = file.path().strip_prefix(self.directory.path()).unwrap().to_string_lossy().into_owned();
                let bytes = fs_err::read(file.path()).unwrap();
                let bytes = match name.as_str() {
                    name if name.ends_with("client/notes.json") => b"notes".to_vec(),
                    name if name.ends_with("history/journal.jsonl") => without_times(&bytes),
                    "out/news" => bundle_without_time(&bytes),
                    _ => bytes,
                };
                (name, bytes)
            })
            .filter(|(name, _)| !name.contains("/metadata/index/") || name.contains("/.trustroot-"))
            // What each command that was killed, and each that followed, tells of itself: `tests/ceremony/killed.rs`.
            .filter(|(name, _)| !name.contains("/records/"))
            .collect()
    }
}

/// The lines of a journal, all of which must be whole, without their times.
fn without_times(journal: &[u8]) -> Vec<u8> {
    let lines = journal.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(|line| {
        let mut event: serde_json::Value = serde_json::from_slice(line).expect("what is kept is whole");
        let event = event.as_object_mut().unwrap();
        event.remove("at");
        event.remove("confirmedBefore");
        serde_json::to_vec(event).unwrap()
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// A bundle, which must be whole, without the time in its first line.
fn bundle_without_time(bundle: &[u8]) -> Vec<u8> {
    let end = bundle.iter().position(|byte| *byte == b'\n').expect("what is written is whole");
    let mut index: serde_json::Value = serde_json::from_slice(&bundle[..end]).unwrap();
    index.as_object_mut().unwrap().remove("confirmedAt");
    [&serde_json::to_vec(&index).unwrap(), &bundle[end..]].concat()
}

/// Whether processes can be watched and disturbed here.
fn can_disturb() -> bool {
    let strace = |inject: &str| {
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-y", "-qq", "-o", "/dev/null", "-e", "trace=openat", "-e", inject, "true"]).output()
    };
    // One that fails where it should is one that can disturb.
    let can = strace("inject=openat:error=EMFILE:when=1+").is_ok_and(|output| output.status.code() == Some(127));
    let can = can && strace("inject=openat:signal=SIGKILL:when=1").is_ok_and(|o| o.status.signal() == Some(9));
    if !can {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("NOT TESTED: strace is not installed, or may not trace here");
        }
    }
    can
}

impl Scene {
    /// A scene whose start is made by running commands in a home in which the repository `example` is trusted.
    fn new(arguments: &[&str], prepare: impl FnOnce(&mut Setting, &dyn Fn(&[&str]))) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = directory.path().join("start");
        let mut setting = Setting::at(&start.join("home"));
        fs_err::create_dir_all(start.join("out")).unwrap();
        let run = |arguments: &[&str]| succeeded(&at(&start, Command::new(BINARY), &owned(arguments)), arguments);
        prepare(&mut setting, &run);
        Self { directory, arguments: owned(arguments), faults: usize::MAX, keeps: Box::new(setting) }
    }

    fn begin(&self) -> Run {
        let run = Run { directory: tempfile::tempdir().unwrap() };
        copy_tree(&self.directory.path().join("start"), run.directory.path());
        run
    }

    fn undisturbed(&self, run: &Run) -> Output {
        at(run.directory.path(), Command::new(BINARY), &self.arguments)
    }

    fn under_strace(&self, run: &Run, options: &[&str]) -> (Output, String) {
        let trace = self.directory.path().join("trace");
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-qq", "-s", "0", "-o"]).arg(&trace).args(options).arg(BINARY);
        let output = at(run.directory.path(), strace, &self.arguments);
        (output, fs_err::read_to_string(trace).unwrap())
    }

    /// The calls that change files of the run, in order.
    fn calls(&self) -> Vec<Call> {
        let run = self.begin();
        let (output, trace) = self.under_strace(&run, &["-f", "-y", "-e", &format!("trace={CHANGING}")]);
        succeeded(&output, &self.arguments);
        let place = run.directory.path().to_string_lossy().into_owned();
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut calls = Vec::new();
        let mut first_thread = None;
        for line in trace.lines() {
            // `12345 openat(AT_FDCWD, "…", …) = 3`
            let Some((thread, shown)) = line.split_once(' ') else { continue };
            let shown = shown.trim_start();
            let Some((name, _)) = shown.split_once('(').filter(|(name, _)| !name.contains(' ')) else { continue };
            let is_of_first = *first_thread.get_or_insert(thread) == thread;
            let number = numbers.entry(name.to_owned()).or_default();
            *number += usize::from(is_of_first);
            if shown.contains(&place) && changes(name, shown) {
                // Calls are counted by thread, and the others are not watched.
                assert!(is_of_first, "another thread changes files: {line}");
                calls.push(Call { name: name.to_owned(), number: *number, shown: shown.to_owned() });
            }
        }
        calls
    }

    /// Disturbs a call, and shows that nothing is lost.
    fn survives(&self, call: &Call, fault: Fault, end: &BTreeMap<String, Vec<u8>>) {
        let context = format!("{:?}: {fault:?} at {call:?}", self.arguments);
        let run = self.begin();
        let (start, before) = (run.kept(), run.versions());
        let how = match fault {
            Fault::Killed => "signal=SIGKILL".to_owned(),
            Fault::Fails(error) => format!("error={error}"),
        };
        let inject = format!("inject={}:{how}:when={}", call.name, call.number);
        let (output, trace) = self.under_strace(&run, &["-e", &format!("trace={}", call.name), "-e", &inject]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // It was that call.
        let disturbed = trace.lines().nth(call.number - 1).unwrap_or_default();
        assert_eq!(essence(disturbed), essence(&call.shown), "{context}\n{trace}");
        match fault {
            Fault::Killed => assert_eq!(output.status.signal(), Some(9), "{context}: {said}"),
            Fault::Fails(_) => {
                assert!(disturbed.contains("(INJECTED)"), "{context}: {disturbed}");
                match output.status.code() {
                    // What succeeds has done everything, or says what it has not.
                    Some(0) => {
                        let says =
                            ["cannot be kept", "cannot keep in mind"].iter().any(|said_so| said.contains(said_so));
                        assert!(run.kept() == *end || says, "{context}: {said}");
                    }
                    Some(3) => assert!(said.starts_with("error: ") || said.contains("\nerror: "), "{context}: {said}"),
                    other => panic!("{context}: {other:?}\n{said}"),
                }
            }
        }
        // Every file is as it was or as it should become, or a temporary one, or one that is named when it is whole.
        for (name, bytes) in run.kept().iter().filter(|(name, _)| !name.contains(".trustroot-")) {
            let journal = name.ends_with("journal.jsonl") || name.contains("/history/");
            let removed = name.contains(".removed-");
            let whole = start.get(name) == Some(bytes) || end.get(name) == Some(bytes);
            assert!(whole || journal || removed, "{context}: {name} is neither old nor new");
        }
        if !self.arguments.contains(&"remove".to_owned()) {
            let after = run.versions();
            assert!(
                before.iter().zip(&after).all(|(before, after)| before <= after),
                "{context}: {before:?} {after:?}"
            );
        }

        // The next run ends where one that was never disturbed does. Only the journal, of which no verdict is made, may
        // lack what could not be written; and then that was said.
        let again = self.undisturbed(&run);
        let left = run.kept();
        assert!(again.status.success(), "{context}: {}", String::from_utf8_lossy(&again.stderr));
        let may_lack = fault != Fault::Killed && !said.is_empty();
        let counts = |name: &str| !(name.contains(".trustroot-") || may_lack && name.contains("/metadata/history/"));
        let names = |kept: &BTreeMap<String, Vec<u8>>| -> Vec<String> {
            kept.keys().filter(|name| counts(name)).cloned().collect()
        };
        assert_eq!(names(&left), names(end), "{context}");
        for (name, bytes) in end.iter().filter(|(name, _)| counts(name)) {
            assert!(left[name] == *bytes, "{context}: {name} differs after the next run");
        }
        // Nothing is left over but what the next news clear away.
        let over: Vec<String> = leftovers(run.directory.path());
        assert!(over.iter().all(|name| name.contains("/metadata/")), "{context}: {over:?}");
        assert!(over.len() <= 1, "{context}: {over:?}");
    }

    fn survives_everything(&self, expected: std::ops::Range<usize>) {
        if !can_disturb() {
            return;
        }
        let run = self.begin();
        succeeded(&self.undisturbed(&run), &self.arguments);
        let end = run.kept();
        let calls = self.calls();
        for call in &calls {
            for fault in faults_of(&call.name).iter().take(self.faults) {
                self.survives(call, *fault, &end);
            }
        }
        assert!(expected.contains(&calls.len()), "{} calls: {calls:#?}", calls.len());
    }
}

/// Whether a call changes files: many that can only do so sometimes.
fn changes(name: &str, shown: &str) -> bool {
    match name {
        "open" | "openat" | "openat2" => shown.contains("O_CREAT") || shown.contains("O_TRUNC"),
        "fcntl" => shown.contains("F_SETLK") || shown.contains("F_OFD_SETLK"),
        "ioctl" => shown.contains("FICLONE"),
        _ => true,
    }
}

/// What is the same of a call in every run: its name, the kind of its arguments, and the names of files that are neither
/// temporary nor records, which say when they were made.
fn essence(shown: &str) -> String {
    let name = shown.split('(').next().unwrap_or_default();
    let quoted = shown.split('"').skip(1).step_by(2).map(|path| {
        let file = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        if Path::new(path).parent().is_some_and(|parent| parent.ends_with("records")) {
            return "a record".to_owned();
        }
        if file.starts_with(".trustroot-") { ".trustroot-".to_owned() } else { file }
    });
    let files: Vec<String> = quoted.collect();
    format!("{name} {}", files.join(" "))
}

const BINARY: &str = env!("CARGO_BIN_EXE_trustroot");

fn owned(arguments: &[impl AsRef<str>]) -> Vec<String> {
    arguments.iter().map(|argument| argument.as_ref().to_owned()).collect()
}

/// Runs the command in the home of a run; from somewhere else, so that its working directory is no part of a path.
fn at(directory: &Path, mut command: Command, arguments: &[String]) -> Output {
    let place = directory.to_string_lossy();
    command.arg("--home").arg(directory.join("home")).args(arguments.iter().map(|a| a.replace("{}", &place)));
    command.env_clear().env("TRUSTROOT_SYSTEM_DIR", "").current_dir("/").stdin(Stdio::null()).output().unwrap()
}

fn succeeded(output: &Output, arguments: &[impl AsRef<str>]) {
    let arguments = owned(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn old_news(setting: &mut Setting, run: &dyn Fn(&[&str])) {
    setting.repository.add_target("targets", "tool", b"old");
    setting.publish();
    run(&["get", "tool", "--output", "{}/out/tool"]);
}

/// New keys, two new roots, and another version of everything.
fn much_news(setting: &mut Setting) {
    setting.repository.rotate("timestamp");
    setting.repository.rotate("root");
    setting.repository.rotate("snapshot");
    setting.repository.add_target("targets", "tool", b"new, and longer");
    setting.publish();
}

#[test]
fn a_first_refresh_survives_a_fault_at_any_system_call() {
    Scene::new(&["refresh"], |_, _| ()).survives_everything(30..90);
}

#[test]
fn a_refresh_over_new_roots_and_keys_survives_a_fault_at_any_system_call() {
    let scene = Scene::new(&["refresh"], |setting, run| {
        old_news(setting, run);
        much_news(setting);
    });
    scene.survives_everything(40..120);
}

#[test]
fn a_download_survives_a_fault_at_any_system_call() {
    let scene = Scene::new(&["get", "tool", "--output", "{}/out/tool"], |setting, run| {
        old_news(setting, run);
        setting.repository.add_target("targets", "tool", b"new, and longer");
        setting.publish();
        run(&["refresh"]);
    });
    scene.survives_everything(5..60);
}

#[test]
fn a_look_up_of_a_builder_survives_a_fault_at_any_system_call() {
    #[expect(clippy::disallowed_methods, reason = "the commands run now")]
    let registry = Registry::at(chrono::Utc::now() - chrono::Duration::hours(2)).and_builder();
    registry.publish().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let start = directory.path().join("start");
    fs_err::create_dir_all(&start).unwrap();
    let (url, root) = (registry.published().display().to_string(), registry.published().join("1.root.json"));
    let add = ["trust", "add", "example", "--url", &url, "--root", root.to_str().unwrap()];
    succeeded(&at(&start, Command::new(BINARY), &owned(&add)), &add);
    let scene = Scene { directory, arguments: owned(&["lookup", OPPY]), faults: usize::MAX, keeps: Box::new(registry) };
    scene.survives_everything(40..140);
}

#[test]
fn pinning_changing_and_removing_a_trust_survive_a_fault_at_any_system_call() {
    Scene::new(&["trust", "remove", "example"], old_news).survives_everything(10..40);
    Scene::new(&["trust", "set", "example", "--max-staleness", "7d"], |_, _| ()).survives_everything(4..12);
    let mut scene = Scene::new(&[], |_, _| ());
    let setting = scene.keeps.downcast_ref::<Setting>().unwrap();
    let (url, root) = (format!("file://{}", setting.served().display()), setting.served().join("2.root.json"));
    scene.arguments = owned(&["trust", "add", "other", "--url", &url, "--root", root.to_str().unwrap()]);
    scene.survives_everything(8..20);
}

#[test]
fn a_bundle_survives_a_fault_at_any_system_call_of_its_import_and_export() {
    let export = ["bundle", "export", "example", "--target", "tool", "--output", "{}/out/news"];
    let scene = Scene::new(&export, |setting, run| {
        old_news(setting, run);
        run(&export);
        much_news(setting);
        run(&["refresh"]);
    });
    scene.survives_everything(5..60);
    let scene = Scene::new(&["bundle", "import", "{}/out/news", "--trust", "example"], |setting, run| {
        old_news(setting, run);
        let apart = setting.home().parent().unwrap().join("apart");
        copy_tree(&setting.home(), &apart);
        much_news(setting);
        run(&export);
        fs_err::remove_dir_all(setting.home()).unwrap();
        fs_err::rename(apart, setting.home()).unwrap();
    });
    scene.survives_everything(40..130);
}

/// The working copy of a registry that is being maintained, in `copy`; `prepare` makes what the command meets.
fn maintained(arguments: &[&str], prepare: impl FnOnce(&mut Registry)) -> Scene {
    #[expect(clippy::disallowed_methods, reason = "the commands run now")]
    let mut registry = Registry::at(chrono::Utc::now() - chrono::Duration::hours(3)).and_builder();
    registry.now += chrono::Duration::hours(1);
    registry.write("targets/tool.tar", "a tool\n");
    prepare(&mut registry);
    let directory = tempfile::tempdir().unwrap();
    let start = directory.path().join("start");
    fs_err::create_dir_all(start.join("home")).unwrap();
    copy_tree(&registry.path(""), &start.join("copy"));
    for person in ["alice", "bob"] {
        let pem = registry.key(person).to_unencrypted_pem();
        fs_err::write(start.join(format!("{person}.pem")), pem.as_bytes()).unwrap();
    }
    let at = (registry.now + chrono::Duration::minutes(5)).to_rfc3339();
    let root = hex::encode(trustroot::crypto::sha256(&fs_err::read(registry.path("repository/1.root.json")).unwrap()));
    let payload = trustroot::ceremony::SigningEvent::open(&registry.copy(), &"targets-v2".parse().unwrap());
    let payload = payload.map(|event| hex::encode(event.digest())).unwrap_or_default();
    let fill = |argument: &&str| argument.replace("AT", &at).replace("ROOT", &root).replace("PAYLOAD", &payload);
    let arguments = ["ceremony"].iter().chain(arguments).chain(&["-C", "{}/copy"]).map(fill).collect();
    Scene { directory, arguments, faults: 2, keeps: Box::new(registry) }
}

#[test]
fn a_signing_event_survives_a_fault_at_any_system_call_of_its_start() {
    maintained(&["start", "targets", "--at", "AT"], |_| ()).survives_everything(20..80);
    // Somebody has signed another proposal.
    let scene = maintained(&["start", "targets", "--at", "AT"], |registry| {
        let mut event = registry.start("targets");
        registry.sign(&mut event, "carol").unwrap();
        registry.write("targets/tool.tar", "another tool\n");
    });
    scene.survives_everything(20..100);
}

#[test]
fn a_signature_survives_a_fault_at_any_system_call_of_who_makes_or_collects_it() {
    let sign = ["sign", "targets-v2", "--key", "{}/alice.pem", "--root-sha256", "ROOT", "--payload-sha256", "PAYLOAD"];
    let scene = maintained(&sign, |registry| {
        let mut event = registry.start("targets");
        registry.sign(&mut event, "carol").unwrap();
    });
    scene.survives_everything(4..60);
    let scene = maintained(&["collect", "targets-v2", "{}/copy/sent"], |registry| {
        let mut event = registry.start("targets");
        for person in ["alice", "bob"] {
            registry.sign(&mut event, person).unwrap();
        }
        let signatures = registry.path("signing-events/targets-v2/signatures");
        fs_err::rename(signatures, registry.path("sent")).unwrap();
    });
    scene.survives_everything(8..80);
    // One over another payload arrives with it, which nobody had kept.
    let scene = maintained(&["collect", "targets-v2", "{}/copy/sent"], |registry| {
        let mut other = registry.start("targets");
        registry.sign(&mut other, "carol").unwrap();
        let event = registry.path("signing-events/targets-v2");
        fs_err::rename(&event, registry.path("sent")).unwrap();
        registry.now += chrono::Duration::minutes(1);
        let mut right = registry.start("targets");
        let signed = registry.sign(&mut right, "alice").unwrap().remove(0);
        fs_err::rename(&signed, registry.path("sent/alice.json")).unwrap();
        let mut document: serde_json::Value =
            serde_json::from_slice(&fs_err::read(registry.path("sent/proposal.json")).unwrap()).unwrap();
        let signature = other.signatures.remove(0);
        document["signatures"] = serde_json::json!([{"keyid": signature.keyid, "sig": signature.sig}]);
        fs_err::write(registry.path("sent/carol.json"), document.to_string()).unwrap();
    });
    scene.survives_everything(12..120);
}

#[test]
fn a_withdrawal_and_a_rebase_survive_a_fault_at_any_system_call() {
    let scene = maintained(&["withdraw", "targets-v2", "--because", "a mistake", "--at", "AT"], |registry| {
        let mut event = registry.start("targets");
        registry.sign(&mut event, "carol").unwrap();
    });
    scene.survives_everything(5..20);
    let scene = maintained(&["rebase", "targets-v2", "--at", "AT"], |registry| {
        let mut event = registry.start("targets");
        registry.sign(&mut event, "carol").unwrap();
        registry.hold("oppy", &["oppy-dev"]).unwrap();
    });
    scene.survives_everything(20..100);
}

#[test]
fn a_signing_event_survives_a_fault_at_any_system_call_of_its_finish() {
    let scene = maintained(&["finish", "targets-v2"], |registry| {
        let mut event = registry.start("targets");
        for person in ["alice", "carol"] {
            registry.sign(&mut event, person).unwrap();
        }
    });
    scene.survives_everything(10..60);
}

/// Floors must outlive a power failure: nothing is renamed to one that was not written through, and the directory is.
#[test]
fn floors_are_written_through_before_and_after_they_are_renamed() {
    if !can_disturb() {
        return;
    }
    let scene = Scene::new(&["refresh"], |setting, run| {
        old_news(setting, run);
        much_news(setting);
    });
    let calls = scene.calls();
    let floors = ["/metadata/root.json\"", "/metadata/timestamp.json\"", "/metadata/snapshot.json\""];
    let mut renamed = 0;
    for (index, call) in calls.iter().enumerate() {
        if !call.name.starts_with("rename") || !floors.iter().any(|floor| call.shown.contains(floor)) {
            continue;
        }
        renamed += 1;
        let temporary = call.shown.split('"').nth(1).unwrap();
        let is_sync = |call: &Call| ["fsync", "fdatasync"].contains(&call.name.as_str());
        let synced = calls[..index].iter().any(|earlier| is_sync(earlier) && earlier.shown.contains(temporary));
        assert!(synced, "{call:?} comes before its content: {calls:#?}");
        let directory = Path::new(call.shown.split('"').nth(3).unwrap()).parent().unwrap();
        let directory = format!("<{}>", directory.display());
        let after = calls[index..].iter().any(|later| is_sync(later) && later.shown.contains(&directory));
        assert!(after, "{call:?} is not written through: {calls:#?}");
    }
    assert_eq!(renamed, 3, "{calls:#?}");
}
