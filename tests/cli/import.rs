//! `trustroot import`: its exit status, what it tells programs, and the ways by which it reaches a repository.

use std::path::Path;

use serde_json::Value;
use trustroot::client::write_durably;
use trustroot::crypto::sha256;

use crate::Sandbox;
use crate::demo_repository::support::{Answer, SimRepository, files};

/// A home, a repository that another tool could have written in `source/`, and the digest of its first root.
struct Place(Sandbox, String);

fn write(repository: &SimRepository, directory: &Path) {
    for (name, answer) in repository.shelf().files() {
        if let Answer::Bytes(bytes) = answer {
            let file = directory.join(name.strip_prefix("metadata/").unwrap_or(&name));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            write_durably(&file, &bytes).unwrap();
        }
    }
}

impl Place {
    fn new(repository: &SimRepository) -> Self {
        let sandbox = Sandbox::new();
        write(repository, &sandbox.path("source"));
        let first = repository.shelf().get("metadata/1.root.json").unwrap();
        write_durably(&sandbox.path("first.json"), &first).unwrap();
        Self(sandbox, hex::encode(sha256(&first)))
    }

    /// Runs the command with `--format json`, insists on this exit status, and returns what it says.
    fn import(&self, status: i32, arguments: &[&str]) -> Value {
        let output = self.0.command(&[&["import"], arguments, &["--format", "json"]].concat()).output().unwrap();
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}{errors}");
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{arguments:?}: {said}{errors}"))
    }

    fn refused(&self, status: i32, code: &str, arguments: &[&str]) {
        let said = self.import(status, arguments);
        assert_eq!(said["error"]["code"], code, "{arguments:?}: {said}");
    }
}

fn repository() -> SimRepository {
    let mut repository = SimRepository::new();
    repository.add_target("targets", "dir/a file.txt", b"a");
    repository.publish();
    repository
}

/// Serves a directory on this machine until the process ends.
fn serve(directory: &Path) -> String {
    use trustroot::serve::{ServeLimits, Server};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bound = Server::bind(directory, "127.0.0.1:0".parse().unwrap(), ServeLimits::default());
    let server = runtime.block_on(bound).unwrap();
    let url = format!("http://{}", server.address());
    std::thread::spawn(move || runtime.block_on(server.run(std::future::pending())));
    url
}

#[test]
fn programs_are_told_what_was_taken_over_and_every_field_is_documented() {
    let mut repository = repository();
    let place = Place::new(&repository);
    let pin = ["--root-sha256", &place.1];
    let said = place.import(0, &[&["source", "copy"], &pin[..]].concat());
    assert_eq!((&said["updated"], &said["targets"]), (&false.into(), &1.into()));
    assert_eq!(said["roles"][0], serde_json::json!({"role": "root", "version": 1}));
    assert!(said["chosen"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().starts_with("root: good for")));
    assert!(said.get("written").is_none() && place.0.path("copy/trustroot.toml").is_file());

    repository.add_target("targets", "new.txt", b"new");
    repository.publish();
    write(&repository, &place.0.path("source"));
    let updated = place.import(0, &[&["source", "copy", "--update"], &pin[..]].concat());
    assert!(updated["written"].as_array().unwrap().contains(&"targets/new.txt".into()), "{updated}");
    assert_eq!((&updated["updated"], &updated["removed"]), (&true.into(), &serde_json::json!([])));

    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md")).unwrap();
    for field in updated.as_object().unwrap().keys() {
        assert!(page.contains(&format!("\"{field}\"")), "docs/formats.md does not show {field}");
    }
}

/// No means 1, a question that cannot be answered so 2, and what cannot be told 3. None of them writes anything.
#[test]
fn what_is_not_taken_over_has_its_exit_status_and_leaves_nothing() {
    let repository = repository();
    let place = Place::new(&repository);
    let pin = ["--root-sha256", &place.1];
    let before = files(place.0.0.path());
    let none = hex::encode([7; 32]);
    place.refused(2, "no-pin", &["source", "copy"]);
    place.refused(1, "wrong-root", &["source", "copy", "--root-sha256", &none]);
    place.refused(1, "wrong-root", &["source", "copy", "--root", "first.json", "--root-sha256", &none]);
    place.refused(2, "file-exists", &[&["source", "source"], &pin[..]].concat());
    place.refused(3, "offline", &[&["http://127.0.0.1:9", "copy", "--offline"], &pin[..]].concat());
    assert_eq!(files(place.0.0.path()), before);

    let mut stranger = SimRepository::new();
    stranger.publish();
    let key = stranger.new_key();
    repository.serve_bytes("targets", repository.signed_by("targets", &[key]));
    write(&repository, &place.0.path("forged"));
    place.refused(1, "too-few-signatures", &[&["forged", "copy"], &pin[..]].concat());
    // A registry's working copy says more than what it publishes.
    let mut registry = SimRepository::new();
    registry.add_target("targets", "slsa/v1/catalog.json", b"{}");
    registry.publish();
    write(&registry, &place.0.path("registry"));
    place.refused(1, "cannot-keep", &[&["registry", "copy"], &pin[..]].concat());
    std::fs::remove_file(place.0.path("source/1.root.json")).unwrap();
    place.refused(2, "source-incomplete", &[&["source", "copy"], &pin[..]].concat());
    assert!(!place.0.path("copy").exists());
}

#[test]
fn a_repository_is_taken_over_from_a_server_as_from_its_directory() {
    let place = Place::new(&repository());
    let url = serve(&place.0.path("source"));
    let pin = ["--root-sha256", &place.1, "--name", "taken"];
    place.import(0, &[&["source", "from-directory"], &pin[..]].concat());
    place.import(0, &[&[url.as_str(), "from-server"], &pin[..]].concat());
    let there = files(&place.0.path("from-directory"));
    assert_eq!(files(&place.0.path("from-server")), there);

    // Targets may lie elsewhere, and a pin says where everything is and which root is the first.
    let targets = format!("{url}/targets");
    place.import(0, &[&[url.as_str(), "from-two", "--target-url", &targets], &pin[..]].concat());
    assert_eq!(place.0.run(&["trust", "add", "pinned", "--url", &url, "--root", "first.json"]).0, 0);
    place.import(0, &["pinned", "from-pin", "--name", "taken"]);
    assert_eq!(files(&place.0.path("from-pin")), there);
    place.refused(1, "wrong-root", &["pinned", "copy", "--root-sha256", &hex::encode([7; 32])]);

    // What the server does not have is not taken for what is not there.
    std::fs::remove_dir_all(place.0.path("source/targets")).unwrap();
    place.refused(2, "source-incomplete", &[&[url.as_str(), "copy"], &pin[..]].concat());
    // Nobody answers: that is no verdict.
    place.refused(3, "transport", &[&["http://127.0.0.1:9", "copy"], &pin[..]].concat());
    assert!(!place.0.path("copy").exists());
}
