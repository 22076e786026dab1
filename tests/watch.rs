//! What the command says about freshness: `status`, `changes`, and `refresh --watch` against a repository that is served
//! and published to while it watches.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use support::{OPPY, Registry};
use trustroot::client::{
    CacheMode, FileFetcher, LocalCache, SafeUrl, TrustAnchor, UpdaterSettings, blocking, write_durably,
};
use trustroot::trust::UpdateStart;

/// Longer than anything here takes: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

fn now() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "the command reads the clock too")]
    Utc::now()
}

/// A published registry, and a verifier's home that has pinned it.
struct Machine {
    registry: Registry,
    directory: tempfile::TempDir,
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    fn new() -> Self {
        let registry = Registry::at(now() - chrono::Duration::hours(2)).and_builder();
        registry.publish().unwrap();
        Self { registry, directory: tempfile::tempdir().unwrap() }
    }

    fn pin(&self, url: &str) {
        let root = self.registry.published().join("1.root.json");
        let (status, printed) = self.run(&["trust", "add", "keys", "--url", url, "--root", root.to_str().unwrap()]);
        assert_eq!(status, 0, "{printed}");
    }

    fn pin_directory(&self) {
        self.pin(self.registry.published().to_str().unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("TRUSTROOT_HOME", self.path("home")).env("PATH", "/usr/bin:/bin");
        command
    }

    /// The exit status, and what was printed.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// Starts a command, and hands over the lines of its standard output.
    fn start(command: &mut Command) -> (Running, Receiver<String>) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        (Running(child), lines)
    }

    /// Publishes a second document of the builder: another key, and the first one retired.
    fn rotate_the_builders_key(&mut self) {
        self.registry.now = now();
        self.registry.add_person("builder-2");
        let spki = self.registry.key("builder-2").canonical_spki().to_vec();
        let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, spki);
        let start = (self.registry.now + chrono::Duration::hours(1)).to_rfc3339();
        self.registry.edit("builders/oppy/v1.toml", |text| {
            let signer = format!(
                "[[signers]]\nname = \"2026b\"\ntype = \"key\"\nstatus = \"active\"\nenvelope = \"dsse\"\n\
                 signatureEncoding = \"der\"\npublicKey = {{ rawBytes = \"{key}\", keyDetails = \"PKIX_ED25519\", validFor = \
                 {{ start = \"{start}\" }} }}\n\n[[qualifications]]"
            );
            text.replacen("[[qualifications]]", &signer, 1)
        });
        self.registry.hold("oppy", &["oppy-dev"]).unwrap();
        self.registry.publish().unwrap();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "{what}: never");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_watch_says_each_change_once_and_tells_everybody() {
    let mut machine = Machine::new();
    let (_server, lines) =
        Machine::start(&mut machine.command(&["serve", machine.registry.published().to_str().unwrap()]));
    let line = lines.recv_timeout(PATIENCE).unwrap();
    machine.pin(line.split(" at ").last().unwrap());
    // What was looked up is watched; what was there before the watch is no change.
    assert_eq!(machine.run(&["lookup", OPPY]).0, 0);
    let socket = UnixDatagram::bind(machine.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hook = "echo \"$TRUSTROOT_CHANGED|$TRUSTROOT_CHANGES\" >> hook.log";
    let arguments = ["refresh", "--watch", "--interval", "1s", "--metrics", "metrics.prom"];
    let mut command = machine.command(&arguments);
    command.args(["--on-change", "sh", "-c", hook]);
    command.env("NOTIFY_SOCKET", machine.path("notify")).env("WATCHDOG_USEC", "200000");
    let (mut watch, lines) = Machine::start(&mut command);

    // Read as they come: such a queue is short.
    let (sender, said) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok(length) = socket.recv(&mut buffer) {
            let _ = sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    let messages = |until: &str| while !said.recv_timeout(PATIENCE).unwrap().starts_with(until) {};
    messages("STATUS=up to date");
    messages("READY=1");
    messages("WATCHDOG=1");
    let metrics = || std::fs::read_to_string(machine.path("metrics.prom")).unwrap();
    let before = metrics();
    assert!(before.contains("trustroot_role_version{trust=\"keys\",role=\"snapshot\"} 1\n"), "{before}");
    assert!(!machine.path("hook.log").exists());

    let machine_path = machine.path("metrics.prom");
    machine.rotate_the_builders_key();
    let line = lines.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("Z keys: "), "{line}");
    assert!(line.contains(&format!("builder {OPPY} v2")) && line.contains("oppy v2"), "{line}");
    // The online roles are at version 2 too, which nobody needs to be told.
    assert!(!line.contains("snapshot"), "{line}");
    let metrics = || std::fs::read_to_string(&machine_path).unwrap();
    let count = |text: &str| -> u64 {
        let line = text.lines().find(|line| line.contains("result=\"success\"") && line.contains("refresh")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let so_far = count(&metrics());
    wait_for("two more refreshes", || count(&metrics()) >= so_far + 2);
    let after = metrics();
    assert!(after.contains("trustroot_role_version{trust=\"keys\",role=\"snapshot\"} 2\n"), "{after}");
    assert!(after.contains("trustroot_hook_total{result=\"success\"} 1\n"), "{after}");
    assert!(lines.try_recv().is_err(), "one change, one line");
    let ran = std::fs::read_to_string(machine.path("hook.log")).unwrap();
    assert_eq!(ran.matches('|').count(), 1, "{ran}");
    assert!(ran.starts_with("keys|keys: ") && ran.contains(&format!("builder {OPPY} v2\n")), "{ran}");

    let ended = Command::new("kill").arg(watch.0.id().to_string()).status().unwrap();
    assert!(ended.success());
    let mut status = None;
    wait_for("the end", || {
        status = watch.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
    messages("STOPPING=1");
    // The home is whole, and current.
    assert_eq!(machine.run(&["lookup", OPPY, "--offline"]).0, 0);
}

#[test]
fn a_watch_goes_on_while_nothing_answers_and_while_its_command_fails() {
    let mut machine = Machine::new();
    machine.pin_directory();
    let timestamp = machine.registry.published().join("timestamp.json");
    let bytes = std::fs::read(&timestamp).unwrap();
    std::fs::remove_file(&timestamp).unwrap();
    let arguments = ["refresh", "--watch", "--interval", "1s", "--metrics", "metrics.prom", "--format", "json"];
    let (_watch, lines) = Machine::start(machine.command(&arguments).args(["--on-change", "false"]));
    let file = machine.path("metrics.prom");
    let metrics = || std::fs::read_to_string(&file).unwrap_or_default();
    let failed = |count: u32| format!("trustroot_refresh_total{{trust=\"keys\",result=\"unreachable\"}} {count}\n");
    wait_for("two failures", || metrics().contains(&failed(2)));
    assert!(!metrics().contains("trustroot_last_success_timestamp_seconds{"));
    write_durably(&timestamp, &bytes).unwrap();
    wait_for("a success", || metrics().contains("trustroot_last_success_timestamp_seconds{trust=\"keys\"} "));
    // The first line came with the failures: a root was accepted before them.
    wait_for("the targets", || lines.recv_timeout(PATIENCE).unwrap().contains("\"targets\""));
    wait_for("the command", || metrics().contains("trustroot_hook_total{result=\"failure\"} "));
    machine.rotate_the_builders_key();
    wait_for("another success", || metrics().contains("role=\"snapshot\"} 2\n"));
}

/// Passes connections on to a server, and counts them.
fn counting_proxy(to: &str) -> (String, Arc<AtomicUsize>) {
    let (listener, to) = (TcpListener::bind("127.0.0.1:0").unwrap(), to.to_owned());
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    };
    std::thread::spawn(move || {
        for incoming in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let Ok(outgoing) = TcpStream::connect(&to) else { return };
            pass(incoming.try_clone().unwrap(), outgoing.try_clone().unwrap());
            pass(outgoing, incoming);
        }
    });
    (address, count)
}

#[test]
fn a_watch_asks_over_the_connections_of_the_round_before() {
    let machine = Machine::new();
    let (_server, lines) =
        Machine::start(&mut machine.command(&["serve", machine.registry.published().to_str().unwrap()]));
    let line = lines.recv_timeout(PATIENCE).unwrap();
    let served = line.split(" at ").last().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (address, connections) = counting_proxy(&served);
    machine.pin(&format!("http://{address}"));
    assert_eq!(machine.run(&["refresh"]).0, 0);
    let of_one_refresh = connections.swap(0, Ordering::SeqCst);
    assert!(of_one_refresh > 0);
    let arguments = ["refresh", "--watch", "--interval", "1s", "--metrics", "metrics.prom"];
    let (_watch, _lines) = Machine::start(&mut machine.command(&arguments));
    let metrics = || std::fs::read_to_string(machine.path("metrics.prom")).unwrap_or_default();
    let five = "trustroot_refresh_total{trust=\"keys\",result=\"success\"} 5\n";
    wait_for("five refreshes", || metrics().contains(five));
    // Nothing is new in any of the rounds, in each of which two files are asked for at the same time.
    let connections = connections.load(Ordering::SeqCst);
    assert!(connections < 2 * 5, "{connections} connections for five rounds");
}

#[cfg(target_os = "linux")]
#[test]
fn a_watch_notifies_an_abstract_socket() {
    use std::os::linux::net::SocketAddrExt as _;

    let machine = Machine::new();
    machine.pin_directory();
    let name = format!("trustroot-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = machine.command(&["refresh", "--watch"]);
    let (_watch, _lines) = Machine::start(command.env("NOTIFY_SOCKET", format!("@{name}")));
    let mut said = Vec::new();
    while said.last().is_none_or(|last| last != "READY=1") {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        said.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    assert!(said[0].starts_with("STATUS=up to date at "), "{said:?}");
}

/// Starts a watch with this command, publishes a change and returns the metrics once the command has been run; what the
/// watch said to standard error goes to a file, since it may be much.
fn changed_with_hook(arguments: &[&str], hook: &[&str]) -> (Machine, Running, String) {
    let mut machine = Machine::new();
    machine.pin_directory();
    // Builders that were looked up are watched.
    assert_eq!(machine.run(&["lookup", OPPY]).0, 0);
    let watch = ["refresh", "--watch", "--interval", "1s", "--metrics", "metrics.prom"];
    let mut command = machine.command(&[&watch, arguments, &["--on-change"], hook].concat());
    let errors = std::fs::File::create(machine.path("errors")).unwrap();
    let running = Running(command.stdout(Stdio::null()).stderr(errors).spawn().unwrap());
    let metrics = || std::fs::read_to_string(machine.path("metrics.prom")).unwrap_or_default();
    wait_for("a success", || metrics().contains("trustroot_refresh_total{trust=\"keys\",result=\"success\"} "));
    let file = machine.path("metrics.prom");
    machine.rotate_the_builders_key();
    let metrics = || std::fs::read_to_string(&file).unwrap_or_default();
    let ran = |result: &str| format!("trustroot_hook_total{{result=\"{result}\"}} 1\n");
    wait_for("the command", || metrics().contains(&ran("success")) || metrics().contains(&ran("failure")));
    let metrics = metrics();
    (machine, running, metrics)
}

#[test]
fn a_command_that_takes_too_long_is_ended_and_the_watch_goes_on() {
    let hook = ["sh", "-c", "echo $$ > hook.pid; exec sleep 1000"];
    let (machine, _watch, metrics) = changed_with_hook(&["--on-change-limit", "1s"], &hook);
    assert!(metrics.contains("trustroot_hook_total{result=\"failure\"} 1\n"), "{metrics}");
    let said = std::fs::read_to_string(machine.path("errors")).unwrap();
    assert!(said.contains("the command for changes was ended after 1 s"), "{said}");
    let pid = std::fs::read_to_string(machine.path("hook.pid")).unwrap();
    // Nobody is left who sleeps.
    let alive = Command::new("kill").args(["-0", pid.trim()]).stderr(Stdio::null()).status().unwrap();
    assert!(!alive.success());
    let refreshed = |metrics: &str| -> u64 {
        let line = metrics.lines().find(|line| line.contains("result=\"success\"") && line.contains("refresh"));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let so_far = refreshed(&metrics);
    let now = || std::fs::read_to_string(machine.path("metrics.prom")).unwrap();
    wait_for("another refresh", || refreshed(&now()) > so_far);
}

#[test]
fn a_command_that_could_not_be_started_is_told_later() {
    let (machine, _watch, metrics) = changed_with_hook(&[], &["./hook"]);
    assert!(metrics.contains("trustroot_hook_total{result=\"failure\"} 1\n"), "{metrics}");
    let said = std::fs::read_to_string(machine.path("errors")).unwrap();
    assert!(said.contains("the command for changes cannot be started"), "{said}");
    // A script that is still open for writing cannot be started either: it arrives whole.
    let script = b"#!/bin/sh\nprintenv TRUSTROOT_CHANGES > told.new && mv told.new told\n";
    fs_err::write(machine.path("hook.new"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(machine.path("hook.new"), executable).unwrap();
    std::fs::rename(machine.path("hook.new"), machine.path("hook")).unwrap();
    wait_for("the command to be told", || machine.path("told").exists());
    let told = std::fs::read_to_string(machine.path("told")).unwrap();
    assert!(told.contains(&format!("keys: builder {OPPY} v")), "{told}");
}

#[test]
fn a_command_that_prints_without_end_costs_no_memory_and_one_that_fails_is_said() {
    // 64 MiB, to both streams.
    let flood = "head -c 67108864 /dev/zero; head -c 67108864 /dev/zero >&2; exit 3";
    let (machine, watch, metrics) = changed_with_hook(&[], &["sh", "-c", flood]);
    assert!(metrics.contains("trustroot_hook_total{result=\"failure\"} 1\n"), "{metrics}");
    let said = std::fs::read(machine.path("errors")).unwrap();
    assert!(said.len() >= 2 * 67_108_864, "{} bytes", said.len());
    let text: String = said.iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    assert!(text.contains("the command for changes failed: exit status: 3"), "{text}");
    // What it printed did not go through the watch.
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", watch.0.id())) {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 100_000, "{peak} kB");
    }
}

#[test]
fn a_watch_does_not_take_what_is_kept_for_news() {
    // Published so long ago that the timestamp has expired since; this machine refreshed a day later.
    let registry = Registry::at(now() - chrono::Duration::days(11)).and_builder();
    registry.publish().unwrap();
    let machine = Machine { registry, directory: tempfile::tempdir().unwrap() };
    machine.pin_directory();
    let published = SafeUrl::from_file_path(&machine.registry.published()).unwrap();
    let settings = UpdaterSettings::new(published.clone(), published.below("targets"));
    let cache = LocalCache::new(machine.path("home/keys/metadata"), CacheMode::ReadWrite);
    let root = std::fs::read(machine.registry.published().join("1.root.json")).unwrap();
    let start = UpdateStart::at(now() - chrono::Duration::days(10));
    let fetcher = Arc::new(FileFetcher);
    let mut updater = blocking::Updater::new(TrustAnchor::Pinned(root), settings, cache, fetcher, start).unwrap();
    updater.refresh().unwrap();
    assert_eq!(machine.run(&["trust", "set", "keys", "--expired-grace", "7d"]).0, 0);
    std::fs::rename(machine.registry.published(), machine.path("elsewhere")).unwrap();

    let socket = UnixDatagram::bind(machine.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = machine.command(&["refresh", "--watch", "--interval", "1s", "--metrics", "metrics.prom"]);
    let (mut watch, _lines) = Machine::start(command.env("NOTIFY_SOCKET", machine.path("notify")));
    let errors = BufReader::new(watch.0.stderr.take().unwrap());
    let (sender, said) = channel();
    std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let line = said.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("timestamp of keys expired at") && line.contains("is used by the policy"), "{line}");
    let line = said.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("keys: cannot be reached, and what was confirmed last"), "{line}");
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    let status = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(status.starts_with("STATUS=1 refreshes failed in a row"), "{status}");
    let metrics = || std::fs::read_to_string(machine.path("metrics.prom")).unwrap_or_default();
    wait_for("two failures", || {
        metrics().contains("trustroot_refresh_total{trust=\"keys\",result=\"unreachable\"} 2\n")
    });
    let metrics = metrics();
    assert!(metrics.contains("trustroot_refresh_total{trust=\"keys\",result=\"success\"} 0\n"), "{metrics}");
    assert!(!metrics.contains("trustroot_last_success_timestamp_seconds{"), "{metrics}");
    // What is trusted is known all the same, so that its expiry raises an alarm.
    assert!(metrics.contains("trustroot_expires_timestamp_seconds{trust=\"keys\",role=\"timestamp\"} "), "{metrics}");
    // Nothing is said twice.
    assert!(said.try_recv().is_err());
}

#[test]
fn a_command_that_runs_is_waited_for_and_a_change_that_it_may_have_missed_is_announced_again() {
    let machine = Machine::new();
    machine.pin_directory();
    let hook = "echo >> began; until [ -e go ]; do sleep 0.05; done; echo >> ended";
    let arguments =
        ["refresh", "--watch", "--interval", "1s", "--metrics", "metrics.prom", "--on-change", "sh", "-c", hook];
    let path = machine.path("");
    let count = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default().lines().count();
    let (mut watch, _lines) = Machine::start(&mut machine.command(&arguments));
    wait_for("the command", || count("began") == 1);
    assert!(Command::new("kill").arg(watch.0.id().to_string()).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(200));
    write_durably(&machine.path("go"), b"").unwrap();
    let mut status = None;
    wait_for("the end", || {
        status = watch.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!((status.unwrap().code(), count("ended")), (Some(0), 1));

    // It was announced: not again.
    let _ = std::fs::remove_file(machine.path("metrics.prom"));
    let (mut watch, _lines) = Machine::start(&mut machine.command(&arguments));
    wait_for("a refresh", || machine.path("metrics.prom").exists());
    assert_eq!(count("began"), 1);
    // Killed while its command runs, it has announced nothing that counts.
    std::fs::remove_file(machine.path("go")).unwrap();
    assert_eq!(machine.run(&["lookup", OPPY]).0, 0);
    wait_for("the second command", || count("began") == 2);
    watch.0.kill().unwrap();
    watch.0.wait().unwrap();
    let (_watch, _lines) = Machine::start(&mut machine.command(&arguments));
    wait_for("the command once more", || count("began") == 3);
    write_durably(&machine.path("go"), b"").unwrap();
    wait_for("its end", || count("ended") == 3);
}

#[test]
fn status_knows_what_a_look_up_would_refuse_as_stale() {
    let machine = Machine::new();
    machine.pin_directory();
    assert_eq!(machine.run(&["trust", "set", "keys", "--max-staleness", "1h"]).0, 0);
    assert_eq!(machine.run(&["refresh"]).0, 0);
    let at = (now() + chrono::Duration::hours(2)).to_rfc3339();
    assert_eq!(machine.run(&["--offline", "--at", &at, "refresh"]).0, 3);
    let (status, printed) = machine.run(&["status", "--at", &at]);
    assert_eq!(status, 1, "{printed}");
    assert!(printed.contains("too-stale: confirmed 2 hours ago, and 60 minutes are allowed"), "{printed}");
    assert!(printed.contains("judged at "), "{printed}");
    // What is asked for here may only be stricter.
    assert_eq!(machine.run(&["status", "--at", &at, "--max-age", "1d"]).0, 1);
}

#[test]
fn status_tells_good_from_stale_and_expired() {
    let machine = Machine::new();
    machine.pin_directory();
    let (status, printed) = machine.run(&["status"]);
    assert_eq!(status, 3, "{printed}");
    assert!(printed.contains("never refreshed"), "{printed}");
    assert_eq!(machine.run(&["refresh"]).0, 0);
    let before = support::files(&machine.path("home"));
    // No repository is asked: there is none.
    std::fs::remove_dir_all(machine.registry.published()).unwrap();
    for (arguments, in_days, expected, words) in [
        (&["--max-age", "1d", "--warn-within", "3d"][..], 0, 0, "for another"),
        (&["--max-age", "1d"], 2, 1, "too-stale: confirmed 2 days ago, and 24 hours are allowed"),
        (&["--warn-within", "3d"], 5, 1, "expires-soon: timestamp v1 expires in 45 hours"),
        (&[], 5, 0, "for another 45 hours"),
        (&["--warn-within", "3d"], 10, 1, "expired: timestamp v1 expired on"),
        (&[], 20, 1, "expired: snapshot v1 expired on"),
        (&[], -1, 3, "clock-went-back: "),
    ] {
        let at = (now() + chrono::Duration::days(in_days)).to_rfc3339();
        let (status, printed) = machine.run(&[&["status", "--at", &at], arguments].concat());
        assert_eq!(status, expected, "{printed}");
        assert!(printed.contains(words), "{words}: {printed}");
        // What has expired is shown all the same.
        assert!(printed.contains("root       v1"), "{printed}");
    }
    let at = (now() + chrono::Duration::days(20)).to_rfc3339();
    let (status, printed) = machine.run(&["status", "--at", &at, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let trust = &json["succeeded"]["trusts"][0];
    assert_eq!((status, &json["error"]["code"]), (1, &"expired".into()));
    assert_eq!((trust["roles"].as_array().unwrap().len(), trust["problems"].as_array().unwrap().len()), (4, 2));
    assert_eq!(support::files(&machine.path("home")), before);
}

#[test]
fn status_shows_the_delegated_roles_that_are_kept_and_alarms_where_one_expires() {
    let mut machine = Machine::new();
    machine.pin_directory();
    assert_eq!(machine.run(&["refresh"]).0, 0);
    // Nobody has needed the namespace yet.
    assert!(!machine.run(&["status"]).1.contains("oppy"));
    assert_eq!(machine.run(&["lookup", OPPY]).0, 0);
    let (status, printed) = machine.run(&["status"]);
    assert_eq!(status, 0, "{printed}");
    assert!(
        printed.contains("  oppy       v1     until ") && printed.contains(", delegated by targets\n"),
        "{printed}"
    );

    // The namespace's metadata is good for 90 days, those of the others are published anew.
    machine.registry.now = now() + chrono::Duration::days(85);
    machine.registry.publish().unwrap();
    let days = |days: i64| (now() + chrono::Duration::days(days)).to_rfc3339();
    let kept = machine.path("home/keys/metadata/oppy.json");
    let bytes = std::fs::read(&kept).unwrap();
    assert_eq!(machine.run(&["refresh"]).0, 0);
    assert_eq!(machine.run(&["lookup", OPPY, "--offline"]).0, 0);
    for (in_days, arguments, expected, words) in [
        (86, &["--warn-within", "3d"][..], 0, "oppy       v1"),
        (88, &["--warn-within", "3d"], 1, "expires-soon: oppy v1 expires in "),
        (91, &[], 1, "expired: oppy v1 expired on "),
    ] {
        let (status, printed) = machine.run(&[&["status", "--at", &days(in_days)], arguments].concat());
        assert_eq!(status, expected, "{printed}");
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let json = machine.run(&["status", "--format", "json"]).1;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let role = &json["trusts"][0]["roles"][4];
    assert_eq!((&role["role"], &role["delegatedBy"], &role["version"]), (&"oppy".into(), &"targets".into(), &1.into()));

    // A file that is not what the snapshot names is not shown, let alone believed.
    let forged = String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":7");
    write_durably(&kept, forged.replace("\"version\": 1", "\"version\": 7").as_bytes()).unwrap();
    let (status, printed) = machine.run(&["status"]);
    assert_eq!(status, 0, "{printed}");
    assert!(!printed.contains("oppy"), "{printed}");
}

#[test]
fn what_is_kept_and_damaged_is_no_good_status() {
    let machine = Machine::new();
    machine.pin_directory();
    assert_eq!(machine.run(&["refresh"]).0, 0);
    let snapshot = machine.path("home/keys/metadata/snapshot.json");
    let text = std::fs::read_to_string(&snapshot).unwrap();
    let changed = text.replace("\"version\": 1", "\"version\": 7").replace("\"version\":1", "\"version\":7");
    assert_ne!(changed, text);
    write_durably(&snapshot, changed.as_bytes()).unwrap();
    let (status, printed) = machine.run(&["status"]);
    assert_ne!(status, 0, "{printed}");
    assert!(!printed.contains("v7"), "{printed}");
}

#[test]
fn changes_names_the_key_that_was_rotated() {
    let mut machine = Machine::new();
    machine.pin_directory();
    let since = now().to_rfc3339();
    assert_eq!(machine.run(&["lookup", OPPY]).0, 0);
    let (status, printed) = machine.run(&["changes", "--since", "2020-01-01"]);
    assert_eq!(status, 0, "{printed}");
    assert!(printed.contains(&format!("builder {OPPY} v1\n    first seen here")), "{printed}");
    std::thread::sleep(Duration::from_millis(1100));
    let rotated = now();
    machine.rotate_the_builders_key();
    // The refresh alone brings the document that was looked up before.
    assert_eq!(machine.run(&["refresh"]).0, 0);
    let (status, printed) = machine.run(&["changes", "--since", &rotated.to_rfc3339()]);
    assert_eq!(status, 0, "{printed}");
    let digest = hex::encode(trustroot::crypto::sha256(machine.registry.key("builder-2").canonical_spki()));
    assert!(printed.contains(&format!("key 2026b added, active: SHA-256 {digest}")), "{printed}");
    assert!(printed.contains("oppy v2\n    v1 -> v2"), "{printed}");
    assert!(!printed.contains("first seen here"), "{printed}");
    let json = machine.run(&["changes", "keys", "--since", &since, "--format", "json"]).1;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["trusts"][0]["lookedUp"], 1);
    // Nothing is refreshed and nothing new noted where nothing is new.
    let before = support::files(&machine.path("home/keys/metadata/history"));
    assert_eq!(machine.run(&["lookup", OPPY]).0, 0);
    assert_eq!(support::files(&machine.path("home/keys/metadata/history")), before);
    // A document that was changed in the history is not shown.
    for slot in 0..16 {
        let file = machine.path(&format!("home/keys/metadata/history/{slot}.json"));
        if file.exists() {
            let text = std::fs::read_to_string(&file).unwrap();
            write_durably(&file, text.replace("2026b", "forged").as_bytes()).unwrap();
        }
    }
    let (_, printed) = machine.run(&["changes", "--since", &rotated.to_rfc3339()]);
    assert!(!printed.contains("forged") && printed.contains("what it was is no longer kept"), "{printed}");
}

#[test]
fn a_builder_that_disappears_is_a_change() {
    let mut machine = Machine::new();
    machine.pin_directory();
    assert_eq!(machine.run(&["lookup", OPPY]).0, 0);
    machine.registry.now = now();
    std::fs::remove_file(machine.registry.path("builders/oppy/v1.toml")).unwrap();
    machine.registry.hold("oppy", &["oppy-dev"]).unwrap();
    machine.registry.publish().unwrap();
    assert_eq!(machine.run(&["refresh"]).0, 0);
    let (_, printed) = machine.run(&["changes", "--since", "2020-01-01"]);
    assert!(printed.contains("disappeared: a look-up now fails with `no-document`"), "{printed}");
}

#[test]
fn watching_the_past_is_refused() {
    let machine = Machine::new();
    machine.pin_directory();
    for arguments in [["--offline"].as_slice(), &["--at", "2030-01-01T00:00:00Z"]] {
        let (status, printed) = machine.run(&[&["refresh", "--watch"], arguments].concat());
        assert_eq!(status, 2, "{printed}");
        assert!(printed.contains("watching is about the present"), "{printed}");
    }
}
