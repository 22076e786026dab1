//! Each template, from `init` to clients of other makes that load what is published.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use trustroot::ceremony::{AcceptedRisks, EventName, SigningEvent};
use trustroot::client::{write_durably, write_private};
use trustroot::crypto::{KeyAlgorithm, SecretKey, spki_to_pem};
use trustroot::metadata::RoleName;
use trustroot::repository::{Proposal, WorkingCopy};
use trustroot::serve::{ServeLimits, Server};
use trustroot::trust::UpdateStart;

use crate::cases::{python, skipped};
use crate::generated::by_python_tuf;

/// A directory with keys, in which the command runs.
struct Place(tempfile::TempDir);

impl Place {
    fn new(people: &[&str]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (index, person) in people.iter().enumerate() {
            let kind = if index % 2 == 0 { KeyAlgorithm::Ed25519 } else { KeyAlgorithm::EcdsaP256 };
            let key = SecretKey::generate(kind).unwrap();
            write_private(&place.path(&format!("{person}.pem")), key.to_unencrypted_pem().as_bytes()).unwrap();
            place.write(&format!("{person}.pub"), &spki_to_pem(key.canonical_spki()).unwrap());
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        write_durably(&self.path(name), text.as_bytes()).unwrap();
    }

    /// What the command answers, with its exit status.
    fn run(&self, arguments: &str) -> (Value, i32) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustroot"));
        command.args(arguments.split(' ')).args(["--format", "json"]).current_dir(self.0.path()).env_clear();
        let output = command.env("TRUSTROOT_HOME", self.path("home")).output().unwrap();
        let said = serde_json::from_slice(&output.stdout);
        let said = said.unwrap_or_else(|_| panic!("{arguments}: {}", String::from_utf8_lossy(&output.stderr)));
        (said, output.status.code().unwrap())
    }

    fn well(&self, arguments: &str) -> Value {
        let (said, status) = self.run(arguments);
        assert_eq!(status, 0, "{arguments}: {said:#}");
        said
    }

    /// A whole ceremony: the words of the digest are compared elsewhere.
    fn hold(&self, directory: &str, role: &RoleName, signers: &[&str]) {
        #[expect(clippy::disallowed_methods, reason = "the command runs now")]
        let now = chrono::Utc::now();
        let copy = WorkingCopy::open(&self.path(directory)).unwrap();
        let signed = copy.signed(UpdateStart::at(now)).unwrap();
        let proposal = Proposal::of(&copy, &signed, role, now).unwrap();
        let name = EventName::of(role, proposal.version);
        let mut event = SigningEvent::start(&copy, &signed, &proposal, &name).unwrap();
        for signer in signers {
            let pem = std::fs::read_to_string(self.path(&format!("{signer}.pem"))).unwrap();
            event.sign(&signed, &SecretKey::from_pem(&pem, None).unwrap()).unwrap();
        }
        event.finish(&copy, &signed, now, &AcceptedRisks::default()).unwrap();
    }

    /// What our command and python-tuf get as a target, knowing the first root alone.
    fn clients_get(&self, published: &str, target: &str) -> String {
        let root = self.path(&format!("{published}/1.root.json"));
        self.well(&format!("trust add {published} --url {published} --root {published}/1.root.json"));
        self.well(&format!("get {target} --trust {published} --output got"));
        let ours = std::fs::read_to_string(self.path("got")).unwrap();
        std::fs::remove_file(self.path("got")).unwrap();
        self.well(&format!("trust remove {published}"));
        let Some(python) = python() else {
            skipped();
            return ours;
        };
        let (directory, target) = (self.path(published), target.to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let theirs = runtime.block_on(async move {
            let any = "127.0.0.1:0".parse().unwrap();
            let server = Server::bind(&directory, any, ServeLimits::default()).await.unwrap();
            let address = server.address();
            let running = tokio::spawn(server.run(std::future::pending()));
            let got = tokio::task::spawn_blocking(move || by_python_tuf(&python, &root, address, &target)).await;
            running.abort();
            got.unwrap()
        });
        assert_eq!(ours.as_bytes(), theirs);
        ours
    }
}

fn holders(people: &[&str]) -> String {
    people.iter().map(|person| format!(" --keyholder {person}={person}.pub")).collect::<Vec<_>>().concat()
}

fn has_todo(said: &Value, part: &str) -> bool {
    let roles = said["succeeded"]["roles"].as_array().unwrap();
    roles.iter().flat_map(|role| role["todo"].as_array().unwrap()).any(|todo| todo.as_str().unwrap().contains(part))
}

/// Every template that the command has is tried here.
#[test]
fn every_template_has_a_test() {
    let place = Place::new(&[]);
    let text = Command::new(env!("CARGO_BIN_EXE_trustroot")).args(["init", "x", "--template", "?"]).output().unwrap();
    let text = String::from_utf8(text.stderr).unwrap();
    assert!(text.contains("[possible values: small, registry, sigstore-private]"), "{text}");
    // Without people there is something to edit, and nothing that is refused.
    for template in ["small", "registry", "sigstore-private"] {
        place.well(&format!("init {template} --template {template}"));
        let readme = std::fs::read_to_string(place.path(template).join("README.md")).unwrap();
        assert!(readme.starts_with(&format!("# {template}\n")), "{readme}");
        let config = std::fs::read_to_string(place.path(template).join("trustroot.toml")).unwrap();
        assert!(!readme.contains("@NAME") && !config.contains("@SIGNERS") && !config.contains("@PEOPLE"), "{config}");
    }
    let (said, status) = place.run("init y --member releases/a=a.pub");
    assert_eq!((said["error"]["code"].as_str(), status), (Some("unknown-role"), 2));
    assert!(!place.path("y").exists());
}

#[test]
fn a_small_trust_root_is_loaded_by_clients_of_other_makes() {
    let people = ["alice", "bob", "carol"];
    let place = Place::new(&["alice", "bob", "carol", "online"]);
    place.well(&format!("init root --online online.pub{}", holders(&people)));
    place.hold("root", &RoleName::Root, &["alice", "carol"]);
    place.hold("root", &RoleName::Targets, &["bob", "carol"]);
    place.well("publish public -C root --online-key online.pem");
    place.well("check -C root");
    assert!(place.clients_get("public", "slsa/v1/catalog.json").contains("namespaces"));
}

#[test]
fn a_private_sigstore_is_loaded_by_clients_of_other_makes() {
    let people = ["a", "b", "c", "d", "e"];
    let place = Place::new(&["a", "b", "c", "d", "e", "online"]);
    place.well(&format!("init tuf --template sigstore-private --online online.pub{}", holders(&people)));
    place.write(
        "tuf/targets/trusted_root.json",
        "{\"mediaType\": \"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}",
    );
    place.write("tuf/targets/signing_config.v0.2.json", "{}");
    place.write("tuf/targets/rekor.pub", &std::fs::read_to_string(place.path("online.pub")).unwrap());
    place.hold("tuf", &RoleName::Root, &["a", "b", "c"]);
    place.hold("tuf", &RoleName::Targets, &["c", "d", "e"]);
    place.well("publish public -C tuf --online-key online.pem");
    place.well("check -C tuf");
    assert!(place.clients_get("public", "trusted_root.json").contains("sigstore.trustedroot"));
    assert_eq!(place.clients_get("public", "signing_config.v0.2.json"), "{}");
    // What clients of before `trusted_root.json` choose targets by stands where there is such a target, and only there.
    let targets: Value = serde_json::from_slice(&std::fs::read(place.path("public/1.targets.json")).unwrap()).unwrap();
    let targets = targets["signed"]["targets"].as_object().unwrap();
    assert_eq!(targets.keys().collect::<Vec<_>>(), ["rekor.pub", "signing_config.v0.2.json", "trusted_root.json"]);
    assert_eq!(targets["rekor.pub"]["custom"]["sigstore"]["usage"], "Rekor");
    assert!(targets["trusted_root.json"].get("custom").is_none());
}

#[test]
fn a_registry_its_releases_its_nightly_job_and_the_root_of_its_packages_are_loaded_by_clients_of_other_makes() {
    let keyholders = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"];
    let mut people = keyholders.to_vec();
    people.extend(["r1", "r2", "r3", "r4", "job", "online", "p1", "p2", "p3"]);
    let place = Place::new(&people);
    let team: String =
        ["r1", "r2", "r3", "r4"].map(|person| format!(" --member releases/{person}={person}.pub")).concat();
    place.well(&format!(
        "init root --template registry --online online.pub{}{team} --member nightly/job=job.pub",
        holders(&keyholders)
    ));
    place.write("root/delegated/releases/releases/1.0/tool.tar", "one");
    place.write("root/delegated/nightly/nightly/tool.tar", "last night's");
    place.hold("root", &RoleName::Root, &["k1", "k3", "k5", "k7", "k9"]);
    place.hold("root", &RoleName::Targets, &["k1", "k2", "k3", "k4", "k5"]);
    place.hold("root", &RoleName::delegated("releases").unwrap(), &["r1", "r2", "r4"]);
    place.hold("root", &RoleName::delegated("nightly").unwrap(), &["job"]);
    place.well("publish public -C root --online-key online.pem");
    place.well("check -C root");
    assert_eq!(place.clients_get("public", "releases/1.0/tool.tar"), "one");
    assert_eq!(place.clients_get("public", "nightly/tool.tar"), "last night's");

    // The repository of packages, linked: its root is a target here, and goes on being the newest one.
    place.well(&format!("init packages --online online.pub{}", holders(&["p1", "p2", "p3"])));
    let uncommented = |text: String| {
        text.replace("# [linked.packages]", "[linked.packages]")
            .replace("# directory =", "directory =")
            .replace("# target =", "target =")
    };
    let config = std::fs::read_to_string(place.path("root/trustroot.toml")).unwrap();
    place.write("root/trustroot.toml", &uncommented(config));
    let (said, status) = place.run("check -C root");
    assert_eq!(status, 0, "what is not there yet cannot be compared, and is no fault: {said:#}");
    assert!(
        said["improvements"].as_array().unwrap().iter().any(|found| found["code"] == "link-not-checked"),
        "{said:#}"
    );

    place.hold("packages", &RoleName::Root, &["p1", "p2"]);
    let (said, status) = place.run("check -C root");
    assert!(status == 1 && has_todo(&said, "put the newest root of packages, v1"), "{said:#}");
    let copy = |version: u64| {
        let root = std::fs::read_to_string(place.path(&format!("packages/repository/{version}.root.json"))).unwrap();
        place.write("root/targets/packages/root.json", &root);
    };
    copy(1);
    place.hold("root", &RoleName::Targets, &["k5", "k6", "k7", "k8", "k9"]);
    place.well("publish public -C root --online-key online.pem");
    place.well("check -C root");
    let root = place.clients_get("public", "packages/root.json");
    assert_eq!(root, std::fs::read_to_string(place.path("packages/repository/1.root.json")).unwrap());

    place.hold("packages", &RoleName::Root, &["p2", "p3"]);
    let (said, status) = place.run("check -C root");
    assert!(
        status == 1 && has_todo(&said, "v2, from ../packages into targets/packages/root.json; v1 is there"),
        "{said:#}"
    );
    // A root of somebody else's is never taken for an older one.
    let foreign = std::fs::read_to_string(place.path("root/repository/1.root.json")).unwrap();
    place.write("root/targets/packages/root.json", &foreign);
    let (said, _) = place.run("check -C root");
    assert!(has_todo(&said, "is no root of packages"), "{said:#}");
    copy(2);
    assert!(!has_todo(&place.run("check -C root").0, "packages, v2"));
}
