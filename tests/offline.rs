//! Offline means no socket: the command runs with every socket denied, and watched for asking for one.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::PathBuf;
use std::process::{Command, Output};

use trustroot::client::write_durably;

use support::{OPPY, Registry};

#[path = "support/mod.rs"]
mod support;

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/sign_attestation.rs"]
mod sign_attestation;

/// A registry that was published two hours ago, somebody who can reach it, and somebody apart who has only its root.
struct Scene {
    registry: Registry,
    directory: tempfile::TempDir,
}

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

impl Scene {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the commands run now")]
        let now = chrono::Utc::now() - chrono::Duration::hours(2);
        let registry = Registry::at(now).and_builder();
        registry.publish().unwrap();
        let scene = Self { registry, directory: tempfile::tempdir().unwrap() };
        let artifact = b"hello, world\n";
        write_durably(&scene.path("hello-1.0.tgz"), artifact).unwrap();
        let key = scene.registry.key("builder-v1");
        let attestation = sign_attestation::attest("hello-1.0.tgz", artifact, OPPY, key).unwrap();
        write_durably(&scene.path("hello.json"), attestation.to_string().as_bytes()).unwrap();
        let root = scene.registry.path("repository/1.root.json").display().to_string();
        let published = scene.registry.published().display().to_string();
        scene.succeed("online", &["trust", "add", "r", "--url", &published, "--root", &root]);
        scene.succeed("apart", &["trust", "add", "r", "--url", NOWHERE, "--root", &root]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn prepare(&self, home: &str, mut command: Command, arguments: &[&str]) -> Output {
        let command = command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("TRUSTROOT_HOME", self.path(home)).output().unwrap()
    }

    fn run(&self, home: &str, arguments: &[&str]) -> Output {
        self.prepare(home, Command::new(env!("CARGO_BIN_EXE_trustroot")), arguments)
    }

    fn succeed(&self, home: &str, arguments: &[&str]) -> String {
        let output = self.run(home, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs with every socket denied. Returns the exit status and which were asked for.
    fn without_sockets(&self, home: &str, arguments: &[&str]) -> (Output, String) {
        let trace = self.path("trace");
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-f", "-qq", "-e", "trace=%network", "-e", "inject=socket:error=EACCES", "-o"]);
        strace.arg(&trace).arg(env!("CARGO_BIN_EXE_trustroot"));
        let output = self.prepare(home, strace, arguments);
        (output, std::fs::read_to_string(trace).unwrap_or_default())
    }
}

/// Whether processes can be watched here.
fn can_watch() -> bool {
    let tried = Command::new("/usr/bin/strace").args(["-qq", "-e", "trace=%network", "true"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("NOT TESTED: strace is not installed, or may not trace here");
        }
    }
    can
}

const CATALOG: &str = "slsa/v1/catalog.json";

#[test]
fn offline_opens_no_socket() {
    let scene = Scene::new();
    let verify = ["verify", "hello-1.0.tgz", "--attestation", "hello.json", "--builder", OPPY, "--min-level", "L3"];
    scene.succeed("online", &["bundle", "export", "r", "-o", "news", "--builder", OPPY]);
    if !can_watch() {
        return;
    }
    // The watch sees what there is to see: online, a socket is asked for.
    let (output, trace) = scene.without_sockets("apart", &["refresh"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(trace.contains("socket("), "{trace}");

    let import = ["bundle", "import", "news"];
    let offline = |arguments: &[&'static str]| [arguments, &["--offline"]].concat();
    for arguments in [
        import.to_vec(),
        offline(&["refresh"]),
        offline(&["get", CATALOG, "--output", "catalog.json"]),
        offline(&["lookup", OPPY]),
        offline(&verify),
        offline(&["trust", "list"]),
        offline(&["bundle", "export", "r", "-o", "again", "--builder", OPPY]),
    ] {
        let (output, trace) = scene.without_sockets("apart", &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        let asked: Vec<&str> = trace.lines().filter(|line| line.contains('(')).collect();
        assert!(asked.is_empty(), "{arguments:?}: {asked:?}");
    }
    // What is not there is not asked for either.
    let (output, trace) = scene.without_sockets("apart", &offline(&["get", "absent", "--output", "x"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(!trace.contains("socket"), "{trace}");
}

#[test]
fn a_bundle_carries_all_that_verifying_needs() {
    let scene = Scene::new();
    let verify = ["verify", "hello-1.0.tgz", "--attestation", "hello.json", "--builder", OPPY, "--min-level", "L3"];
    let offline = [&verify[..], &["--offline"]].concat();
    assert_eq!(scene.run("apart", &offline).status.code(), Some(3));
    scene.succeed("online", &["bundle", "export", "r", "-o", "news", "--builder", OPPY]);
    let written = std::fs::read(scene.path("news")).unwrap();
    scene.succeed("online", &["bundle", "export", "r", "-o", "again", "--builder", OPPY, "--offline"]);
    assert_eq!(std::fs::read(scene.path("again")).unwrap(), written, "the same state is written the same");

    let imported = scene.succeed("apart", &["bundle", "import", "news"]);
    assert!(imported.starts_with("r: imported: root v1, timestamp v1"), "{imported}");
    assert!(scene.succeed("apart", &offline).starts_with("verified: hello-1.0.tgz"));
    assert!(scene.succeed("apart", &["bundle", "import", "news"]).starts_with("r: up to date"));

    // What was carried can be carried on.
    scene.succeed("apart", &["bundle", "export", "r", "-o", "onwards", "--all-kept", "--offline"]);
    assert!(scene.succeed("apart", &["bundle", "inspect", "onwards"]).contains(CATALOG));
}

#[test]
fn an_import_at_a_chosen_time_keeps_nothing() {
    let scene = Scene::new();
    scene.succeed("online", &["bundle", "export", "r", "-o", "news", "--builder", OPPY]);
    let now = scene.registry.now.to_rfc3339();
    assert!(scene.succeed("apart", &["bundle", "import", "news", "--at", &now]).contains("nothing kept"));
    assert!(!scene.path("apart/r/metadata").exists() && !scene.path("apart/r/targets").exists());
}

/// Somebody on a machine apart, who has a request, a key and a digest, and nothing else: no home, no variables.
struct Apart {
    directory: tempfile::TempDir,
    pin: String,
}

impl Apart {
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn run(&self, before: &[&str], arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_trustroot");
        let words: Vec<&str> = before.iter().copied().chain([program]).chain(arguments.iter().copied()).collect();
        Command::new(words[0]).args(&words[1..]).current_dir(self.directory.path()).env_clear().output().unwrap()
    }
}

/// A registry whose targets are proposed again, and a request for that.
fn requested() -> (Registry, Apart) {
    #[expect(clippy::disallowed_methods, reason = "the commands run now")]
    let now = chrono::Utc::now() - chrono::Duration::hours(2);
    let mut registry = Registry::at(now).and_builder();
    registry.now += chrono::Duration::hours(1);
    registry.write("targets/tool.tar", "a tool\n");
    registry.start("targets");
    let apart =
        Apart { directory: tempfile::tempdir().unwrap(), pin: hex::encode(registry.signed().digest().unwrap()) };
    let copy = registry.path("").display().to_string();
    let output =
        apart.run(&[], &["ceremony", "request", "targets-v2", "-C", &copy, "-o", "r", "--purpose", "a\u{1b}tool"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for person in ["alice", "carol"] {
        let pem = registry.key(person).to_unencrypted_pem();
        write_durably(&apart.directory.path().join(person), pem.as_bytes()).unwrap();
    }
    (registry, apart)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The wrapper that leaves a process no network interface, where one may be used here.
fn without_interfaces() -> Option<&'static [&'static str]> {
    let words: &[&str] = &["/usr/bin/unshare", "--map-root-user", "--net"];
    let tried = Command::new(words[0]).args(&words[1..]).arg("/bin/true").output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(words);
    }
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    {
        eprintln!("NOT TESTED: network namespaces may not be made here");
    }
    None
}

#[test]
fn a_request_is_signed_where_there_is_no_network_no_home_and_no_clock_to_believe() {
    let (registry, apart) = requested();
    let Some(wrapper) = without_interfaces() else { return };
    // There is nothing there, to be sure.
    let mut probe = Command::new(wrapper[0]);
    let interfaces = probe.args(&wrapper[1..]).args(["/bin/cat", "/proc/net/dev"]).output().unwrap();
    let interfaces = String::from_utf8_lossy(&interfaces.stdout).into_owned();
    assert!(interfaces.lines().skip(2).all(|line| line.trim().starts_with("lo:")), "{interfaces}");

    let at = registry.now.to_rfc3339();
    let review = ["ceremony", "review", "r", "--root-sha256", &apart.pin, "--at", &at];
    let shown = apart.run(wrapper, &review);
    assert!(shown.status.success(), "{}", text(&shown));
    let shown = text(&shown);
    assert!(shown.contains(", as you stated\n"), "{shown}");
    assert!(shown.contains("proposed purpose, signed by nobody: \"a\\u{1b}tool\""), "{shown}");
    assert!(shown.contains("+ file tool.tar: 7 bytes, SHA-256 "), "{shown}");
    let digest = hex::encode(registry.event("targets-v2").digest());
    for (signer, pin) in [("alice", "--root-sha256"), ("carol", "--root")] {
        let root = std::fs::read(registry.path("repository/1.root.json")).unwrap();
        write_durably(&apart.directory.path().join("root"), &root).unwrap();
        let pinned = if pin == "--root" { "root" } else { &apart.pin };
        let output = format!("{signer}.response");
        let sign = ["ceremony", "sign", "r", "--key", signer, pin, pinned, "--payload-sha256", &digest, "-o", &output];
        let signed = apart.run(wrapper, &[&sign[..], &["--at", &at]].concat());
        assert!(signed.status.success(), "{}", text(&signed));
        let response = std::fs::read_to_string(apart.path(&output)).unwrap();
        assert!(response.contains("\"timeSource\": \"stated\""), "{response}");
        assert!(response.len() < 4096, "{}", response.len());
    }
    // Back where the event is.
    let copy = registry.path("").display().to_string();
    let (alice, carol) = (apart.path("alice.response"), apart.path("carol.response"));
    let collected = apart.run(&[], &["ceremony", "collect", "targets-v2", &carol, &alice, "-C", &copy]);
    assert!(text(&collected).contains("targets-v2: targets v2, complete: it can be finished"), "{}", text(&collected));
    registry.finish(&registry.event("targets-v2")).unwrap();
    assert_eq!(registry.signed().targets().unwrap().version().get(), 2);
}

#[test]
fn a_request_is_reviewed_and_signed_without_a_socket() {
    let (registry, apart) = requested();
    if !can_watch() {
        return;
    }
    let digest = hex::encode(registry.event("targets-v2").digest());
    let pin = ["--root-sha256", &apart.pin];
    let review = [&["ceremony", "review", "r"][..], &pin].concat();
    let sign = ["ceremony", "sign", "r", "--key", "alice", "--payload-sha256", &digest, "-o", "a.response"];
    for arguments in [review, [&sign[..], &pin].concat()] {
        let watch =
            ["/usr/bin/strace", "-f", "-qq", "-e", "trace=%network", "-e", "inject=socket:error=EACCES", "-o", "t"];
        let output = apart.run(&watch, &arguments);
        assert!(output.status.success(), "{}", text(&output));
        let trace = std::fs::read_to_string(apart.path("t")).unwrap();
        let asked: Vec<&str> = trace.lines().filter(|line| line.contains('(')).collect();
        assert!(asked.is_empty(), "{asked:?}");
    }
}

#[test]
fn what_is_wrong_with_a_request_is_said_before_the_key_is_touched() {
    let (registry, apart) = requested();
    let digest = hex::encode(registry.event("targets-v2").digest());
    // A key that cannot even be read: whoever touches it says so.
    let sign = |request: &str, more: &[&str]| {
        let output = apart.run(&[], &[&["ceremony", "sign", request, "--key", "no-key"], more].concat());
        assert!(!output.status.success() && !apart.directory.path().join("x").exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let good = ["--root-sha256", &apart.pin, "--payload-sha256", &digest, "-o", "x"];
    assert!(sign("r", &good).contains("error: `no-key` does not exist"), "{}", sign("r", &good));
    let other = "00".repeat(32);
    for (more, expected) in [
        (&good[2..], "without a root that you trust"),
        (&["--root-sha256", &other, "--payload-sha256", &digest, "-o", "x"], "is not in this request's chain of roots"),
        (&["--root-sha256", &apart.pin, "--payload-sha256", &other, "-o", "x"], "does not belong to this payload"),
        (&good[..4], "a request is answered by a file"),
        (&["--root-sha256", &apart.pin, "--payload-sha256", &digest, "-o", "alice"], "`alice` exists already"),
        (&[&good[..], &["--at", "2090-01-01T00:00:00Z"]].concat(), "it would have expired already"),
    ] {
        let said = sign("r", more);
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let mut bytes = std::fs::read(apart.path("r")).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    write_durably(&apart.directory.path().join("flipped"), &bytes).unwrap();
    assert!(sign("flipped", &good).contains("error: the request is damaged"));
    write_durably(&apart.directory.path().join("long"), &[]).unwrap();
    std::fs::File::options().write(true).open(apart.path("long")).unwrap().set_len(1 << 40).unwrap();
    assert!(sign("long", &good).contains("longer than the 67108864 bytes that are read"));
}

/// What a camera reads from a picture.
fn scan(picture: &std::path::Path) -> String {
    let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(picture).unwrap()));
    reader.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = reader.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let (width, height) = (frame.width as usize, frame.height as usize);
    assert_eq!(frame.color_type, png::ColorType::Grayscale);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x]);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1);
    grids[0].decode().unwrap().1
}

#[test]
fn a_response_crosses_the_gap_as_a_picture() {
    let (registry, apart) = requested();
    let digest = hex::encode(registry.event("targets-v2").digest());
    let sign = ["ceremony", "sign", "r", "--key", "alice", "--root-sha256", &apart.pin, "--payload-sha256", &digest];
    assert!(apart.run(&[], &[&sign[..], &["-o", "a.response"]].concat()).status.success());
    let drawn = apart.run(&[], &["ceremony", "response", "a.response", "--qr", "a.png"]);
    assert!(drawn.status.success(), "{}", text(&drawn));
    let scanned = scan(&apart.directory.path().join("a.png"));
    assert!(scanned.starts_with("TRUSTROOT-RESPONSE/1:"), "{scanned}");
    // As ZBar prints it.
    write_durably(&apart.directory.path().join("scanned"), format!("QR-Code:{scanned}\n").as_bytes()).unwrap();
    let copy = registry.path("").display().to_string();
    let collected = apart.run(&[], &["ceremony", "collect", "targets-v2", &apart.path("scanned"), "-C", &copy]);
    assert!(text(&collected).contains(": filed\n"), "{}", text(&collected));

    // On a terminal, the same modules.
    let shown = apart.run(&[], &["ceremony", "response", "a.response", "--qr", "-"]);
    let blocks = text(&shown).lines().filter(|line| line.contains('\u{2588}')).count();
    assert!((20..60).contains(&blocks), "{}", text(&shown));
    // A misread text counts for nothing.
    let misread = scanned.replace("TRUSTROOT-RESPONSE/1:", "TRUSTROOT-RESPONSE/1:0");
    write_durably(&apart.directory.path().join("misread"), misread.as_bytes()).unwrap();
    let refused = apart.run(&[], &["ceremony", "collect", "targets-v2", &apart.path("misread"), "-C", &copy]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert_eq!(registry.event("targets-v2").signatures.len(), 1);

    // What is too long for a code is said to be: a signature of ML-DSA-44 has 2420 bytes.
    let response = std::fs::read_to_string(apart.path("a.response")).unwrap();
    let mut long: serde_json::Value = serde_json::from_str(&response).unwrap();
    long["sig"] = "00".repeat(2420).into();
    write_durably(&apart.directory.path().join("long.response"), long.to_string().as_bytes()).unwrap();
    let refused = apart.run(&[], &["ceremony", "response", "long.response", "--qr", "long.png"]);
    assert!(
        text(&refused).contains("error: the signature has 2420 bytes, which no QR code holds"),
        "{}",
        text(&refused)
    );
    assert!(!apart.directory.path().join("long.png").exists());
}

#[test]
fn a_page_for_a_second_screen_runs_nothing_and_fetches_nothing() {
    let (registry, apart) = requested();
    let evil = "<script src=http://x.example>alert('1')</script><img onerror=\"x\">&\u{202e}";
    let copy = registry.path("").display().to_string();
    let request = ["ceremony", "request", "targets-v2", "-C", &copy, "-o", "evil", "--purpose", evil];
    assert!(apart.run(&[], &request).status.success());
    let review = ["ceremony", "review", "evil", "--root-sha256", &apart.pin, "--html", "page.html"];
    let shown = apart.run(&[], &review);
    assert!(shown.status.success(), "{}", text(&shown));
    let page = std::fs::read_to_string(apart.path("page.html")).unwrap();
    assert!(page.chars().all(|c| c == '\n' || (' '..='~').contains(&c)));
    // The only tags are the page's own, and none of them loads or runs anything.
    let tags: std::collections::BTreeSet<&str> =
        page.split('<').skip(1).map(|tag| tag.split([' ', '>']).next().unwrap().trim_start_matches('/')).collect();
    let own = [
        "!DOCTYPE", "body", "h1", "h2", "head", "html", "li", "meta", "p", "style", "table", "td", "th", "title", "tr",
        "ul",
    ];
    assert_eq!(tags.into_iter().filter(|tag| !own.contains(tag)).collect::<Vec<_>>(), Vec::<&str>::new());
    let policy = "default-src 'none'; style-src 'sha256-";
    assert!(page.contains(policy) && !page.contains("unsafe") && !page.contains(" href") && !page.contains("url("));
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, trustroot::crypto::sha256(style.as_bytes()));
    assert!(page.contains(&format!("style-src 'sha256-{hash}'")), "the policy lets the page's own style in");
    assert!(page.contains("&lt;script src=http://x.example&gt;alert(&#39;1&#39;)"));
    // What the terminal shows is there: every change, the digest, all words.
    let json = apart.run(&[], &[&review[..5], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let escaped =
        |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('>', "&gt;").replace('\'', "&#39;");
    for change in json["changes"].as_array().unwrap() {
        assert!(page.contains(&escaped(change["text"].as_str().unwrap())), "{change}");
    }
    for word in json["words"].as_array().unwrap() {
        assert!(page.contains(&format!("<td>{}</td>", word.as_str().unwrap())));
    }
    // The same review may be written again; another file is not lost.
    assert!(!apart.run(&[], &[&review[..6], &["alice"]].concat()).status.success());
}
