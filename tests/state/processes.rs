//! Many real processes on one cache, and processes that are killed by the system.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::faults::{leftovers, newest};
use crate::support::SimRepository;

/// A repository as files, and a home directory in which it is trusted.
pub(crate) struct Setting {
    directory: TempDir,
    home: PathBuf,
    pub(crate) repository: SimRepository,
}

/// How long all processes of a test may take together.
const PATIENCE: Duration = Duration::from_secs(240);

impl Setting {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        Self::with(directory, home)
    }

    /// With a home elsewhere.
    #[cfg(target_os = "linux")]
    pub(crate) fn at(home: &Path) -> Self {
        Self::with(tempfile::tempdir().unwrap(), home.to_owned())
    }

    fn with(directory: TempDir, home: PathBuf) -> Self {
        let mut repository = SimRepository::new();
        // Real processes have the real time.
        for role in ["root", "timestamp", "snapshot", "targets"] {
            repository.draft(role)["expires"] = serde_json::json!("2099-01-01T00:00:00Z");
        }
        repository.publish_root();
        repository.bump("targets");
        repository.publish();
        let setting = Self { directory, home, repository };
        setting.write();
        let root = setting.served().join("metadata/2.root.json");
        let url = format!("file://{}", setting.served().display());
        let mut add = setting.command(&["trust", "add", "example", "--url", &url, "--root"]);
        let added = add.arg(root).output().unwrap();
        assert!(added.status.success(), "{added:?}");
        setting
    }

    pub(crate) fn served(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.home.clone()
    }

    /// Publishes what was drafted.
    pub(crate) fn publish(&mut self) {
        self.repository.publish();
        self.write();
    }

    /// Writes the repository as `trustroot publish` does: each file whole, the pointer last.
    fn write(&self) {
        let mut files: Vec<_> = self.repository.shelf().files().into_keys().collect();
        files.sort_by_key(|file| file.ends_with("timestamp.json"));
        for file in files {
            // `--url` alone: metadata at its top, as the command lays it out.
            for place in [self.served().join(&file), self.served().join(file.trim_start_matches("metadata/"))] {
                fs_err::create_dir_all(place.parent().unwrap()).unwrap();
                trustroot::client::write_durably(&place, &self.repository.shelf().get(&file).unwrap()).unwrap();
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.env_clear().arg("--home").arg(self.home()).args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start_refresh(&self) -> Child {
        self.command(&["refresh"]).spawn().unwrap()
    }

    /// Where trusted metadata is kept.
    fn cache(&self) -> PathBuf {
        let timestamp = walkdir::WalkDir::new(self.home()).into_iter().filter_map(Result::ok);
        let mut places = timestamp.filter(|entry| entry.file_name() == "timestamp.json");
        places.next().map_or_else(|| self.home(), |entry| entry.path().parent().unwrap().to_owned())
    }

    fn version(&self, role: &str) -> u64 {
        newest(&self.cache(), role)
    }

    fn is_current(&self) {
        for role in ["root", "timestamp", "snapshot", "targets"] {
            assert_eq!(self.version(role), self.repository.version(role), "{role}");
        }
    }

    /// Whoever has something new to keep clears away what killed processes left.
    fn is_tidy_after_news(&mut self) {
        self.publish();
        succeeded(&self.start_refresh().wait_with_output().unwrap());
        self.is_current();
        assert_eq!(leftovers(&self.home()), [""; 0]);
    }
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_hundred_processes_at_once_on_one_cache_all_succeed() {
    let mut setting = Setting::new();
    // All of them have news to keep.
    for _ in 0..3 {
        setting.repository.rotate("timestamp");
    }
    setting.repository.bump("targets");
    setting.publish();
    let started = Instant::now();
    let children: Vec<Child> = (0..200).map(|_| setting.start_refresh()).collect();
    // The repository does not wait for them.
    setting.publish();
    for child in children {
        succeeded(&child.wait_with_output().unwrap());
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    succeeded(&setting.start_refresh().wait_with_output().unwrap());
    setting.is_current();
    setting.is_tidy_after_news();
}

#[test]
fn who_holds_the_lock_for_ever_does_not_hold_up_answers() {
    let mut setting = Setting::new();
    succeeded(&setting.start_refresh().wait_with_output().unwrap());
    setting.repository.add_target("targets", "tool", b"x");
    setting.publish();
    succeeded(&setting.command(&["trust", "set", "example", "--deadline", "10s"]).output().unwrap());
    let version = setting.version("timestamp");
    let lock = std::fs::OpenOptions::new().write(true).open(setting.cache().join(".lock")).unwrap();
    lock.lock().unwrap();
    let started = Instant::now();

    let got = setting.command(&["get", "tool", "--output", "-"]).output().unwrap();
    let refreshed = setting.command(&["refresh", "--format", "json"]).output().unwrap();

    assert!(started.elapsed() < Duration::from_secs(55), "{:?}", started.elapsed());
    succeeded(&got);
    assert_eq!(got.stdout, b"x");
    // A refresh is there to keep what it finds.
    assert_eq!(refreshed.status.code(), Some(3));
    let said = [refreshed.stdout, refreshed.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("not-kept"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(setting.version("timestamp"), version);
    drop(lock);
    setting.is_tidy_after_news();
}

#[test]
fn a_long_target_is_written_once_and_a_short_one_is_kept_besides() {
    let mut setting = Setting::new();
    let content = vec![b'x'; (64 << 20) + 1];
    setting.repository.add_target("targets", "long", &content);
    setting.repository.add_target("targets", "short", &content[..1000]);
    setting.repository.publish();
    setting.write();
    let get = |arguments: &[&str]| {
        let output = setting.command(&[&["get"], arguments].concat()).current_dir(setting.directory.path()).output();
        output.unwrap().status.code().unwrap()
    };
    let kept = || {
        let files = walkdir::WalkDir::new(setting.home()).into_iter().map(Result::unwrap);
        let mut targets: Vec<_> = files.filter(|file| file.path().parent().unwrap().ends_with("targets")).collect();
        targets.sort_by_key(|file| file.file_name().to_owned());
        targets.iter().map(|file| file.file_name().to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for name in ["long", "short"] {
        assert_eq!(get(&[name, "--output", name]), 0);
        assert_eq!(get(&[name, "--output", name, "--offline"]), 0, "it is there already");
    }
    assert_eq!(fs_err::read(setting.directory.path().join("long")).unwrap(), content);
    assert_eq!(kept(), ["short"]);
    assert_eq!(get(&["short", "--output", "again", "--offline"]), 0);
    assert_eq!(get(&["long", "--output", "again", "--offline"]), 3);
    assert_eq!(fs_err::read(setting.directory.path().join("again")).unwrap(), content[..1000]);
    // Where it is written nowhere else, it is kept.
    assert_eq!(get(&["long", "--output", "-"]), 0);
    assert_eq!(kept(), ["long", "short"]);
    assert_eq!(get(&["long", "--output", "again", "--offline"]), 0);
    assert_eq!(fs_err::read(setting.directory.path().join("again")).unwrap(), content);
}

/// Numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn a_process_that_is_killed_at_any_time_takes_nothing_back() {
    let mut setting = Setting::new();
    let started = Instant::now();
    succeeded(&setting.start_refresh().wait_with_output().unwrap());
    let mut whole = started.elapsed();
    let mut numbers = Numbers(0x5eed_1234_5678_9abc);
    let mut killed = 0;
    for round in 0..30 {
        if round % 3 == 0 {
            setting.repository.rotate("timestamp");
        }
        setting.repository.bump("targets");
        setting.publish();
        let before = ["root", "timestamp", "snapshot", "targets"].map(|role| setting.version(role));
        let mut child = setting.start_refresh();
        let wait = numbers.below(u64::try_from(whole.as_micros()).unwrap() + 1);
        std::thread::sleep(Duration::from_micros(wait));
        child.kill().unwrap();
        if !child.wait().unwrap().success() {
            killed += 1;
        }
        let after = ["root", "timestamp", "snapshot", "targets"].map(|role| setting.version(role));
        assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} {after:?}");
        // Every third time another one is killed at once, over what the first left.
        if round % 3 != 2 {
            let started = Instant::now();
            succeeded(&setting.start_refresh().wait_with_output().unwrap());
            whole = started.elapsed().min(whole);
            setting.is_current();
        }
    }
    setting.is_tidy_after_news();
    assert!(killed >= 5, "only {killed} of 30 were killed before they had ended");
}

#[test]
fn without_a_home_directory_the_command_says_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_trustroot"))
        .env_clear()
        .args(["refresh", "--format", "json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no-home") && said.contains("TRUSTROOT_HOME"), "{said}");
}

/// Permissions would not stop the system's administrator, so the lock is made unusable for everybody.
#[test]
fn where_the_cache_cannot_be_written_a_refresh_says_so_and_nothing_moves() {
    let mut setting = Setting::new();
    succeeded(&setting.start_refresh().wait_with_output().unwrap());
    let cache = setting.cache();
    let lock = cache.join(".lock");
    let _ = fs_err::remove_file(&lock);
    fs_err::create_dir(&lock).unwrap();
    setting.repository.bump("targets");
    setting.publish();
    let before = state_of(&cache);

    let output = setting.start_refresh().wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot be kept") && said.contains(".lock"), "{said}");
    assert_eq!(state_of(&cache), before);
}

fn state_of(directory: &Path) -> crate::support::State {
    crate::support::State::of(directory)
}

/// A server of a directory that knows ranges, and stops in the middle of long files.
struct Stalling {
    url: String,
    /// The ranges that were asked for, by file.
    ranges: std::sync::mpsc::Receiver<(String, Option<u64>)>,
    /// Whether it stops.
    stalls: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Stalling {
    fn serve(directory: PathBuf) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, ranges) = std::sync::mpsc::channel();
        let stalls = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let stalling = std::sync::Arc::clone(&stalls);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (directory, sender) = (directory.clone(), sender.clone());
                let stalls = stalling.load(std::sync::atomic::Ordering::SeqCst);
                std::thread::spawn(move || answer(stream, &directory, &sender, stalls));
            }
        });
        Self { url, ranges, stalls }
    }
}

fn answer(
    mut stream: std::net::TcpStream,
    directory: &Path,
    ranges: &std::sync::mpsc::Sender<(String, Option<u64>)>,
    stalls: bool,
) {
    use std::io::{BufRead as _, Write as _};
    let lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
    let range = head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let from = range.map(|range| range.trim_end_matches('-').parse::<u64>().unwrap());
    let Ok(bytes) = fs_err::read(directory.join(path.trim_start_matches('/'))) else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    };
    if bytes.len() > 1 << 20 {
        let _ = ranges.send((path.to_owned(), from));
    }
    let (start, total) = (usize::try_from(from.unwrap_or(0)).unwrap(), bytes.len());
    let status = match from {
        Some(_) => format!("206 Partial Content\r\ncontent-range: bytes {start}-{}/{total}", total - 1),
        None => "200 OK".to_owned(),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", total - start);
    let _ = stream.write_all(head.as_bytes());
    if stalls && total > 1 << 20 {
        let _ = stream.write_all(&bytes[start..total / 2]);
        // Until the other side is gone.
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    } else {
        let _ = stream.write_all(&bytes[start..]);
    }
}

#[cfg(unix)]
#[test]
fn a_download_that_is_killed_in_the_middle_goes_on_in_the_next_process() {
    let mut setting = Setting::new();
    let content: Vec<u8> = (0..4_000_000_u32).map(|index| (index % 253) as u8).collect();
    setting.repository.add_target("targets", "tool", &content);
    setting.publish();
    let server = Stalling::serve(setting.served());
    let (root, tool) = (setting.served().join("2.root.json"), setting.directory.path().join("out/tool"));
    let add = ["trust", "add", "over-http", "--url", &server.url, "--root", root.to_str().unwrap()];
    succeeded(&setting.command(&add).output().unwrap());
    fs_err::create_dir(tool.parent().unwrap()).unwrap();
    let get = ["get", "tool", "--trust", "over-http", "--output", tool.to_str().unwrap()];

    let mut child = setting.command(&get).spawn().unwrap();
    assert_eq!(server.ranges.recv_timeout(PATIENCE).unwrap().1, None);
    let kept = setting.home().join("over-http/targets");
    let arrived = || -> u64 {
        let files = fs_err::read_dir(&kept).into_iter().flatten().flatten();
        files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    };
    let started = Instant::now();
    while arrived() < 2_000_000 {
        assert!(started.elapsed() < PATIENCE, "only {} bytes arrived", arrived());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!tool.exists());

    server.stalls.store(false, std::sync::atomic::Ordering::SeqCst);
    succeeded(&setting.command(&get).output().unwrap());

    assert_eq!(server.ranges.recv_timeout(PATIENCE).unwrap().1, Some(2_000_000));
    assert!(fs_err::read(&tool).unwrap() == content);
    assert_eq!(leftovers(setting.directory.path()), [""; 0]);
}
