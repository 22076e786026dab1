//! What no signature may help to break.

use trustroot::ceremony::CeremonyError;

use crate::support::Registry;

/// The rules that a ceremony held by the right people would break. Nothing is signed for then.
fn broken(registry: &Registry, role: &str, signers: &[&str]) -> String {
    let before = registry.files("repository");
    let error = registry.hold(role, signers).unwrap_err();
    let CeremonyError::BreaksRules { problems } = error else { panic!("{error}") };
    assert_eq!(registry.files("repository"), before);
    problems.join("; ")
}

fn set(registry: &Registry, from: &str, to: &str) {
    registry.edit("trustroot.toml", |text| text.replace(from, to));
}

#[test]
fn one_person_can_never_sign_root_or_targets_alone() {
    let registry = Registry::new();
    registry.edit("trustroot.toml", |text| text.replacen("threshold = 2", "threshold = 1", 1));
    let error = registry.propose("root").unwrap_err().to_string();
    assert!(error.contains("one person alone could sign"), "{error}");

    let registry = Registry::new();
    set(
        &registry,
        "[people.alice]\nkeys = [\"keys/alice.pub\"]",
        "[people.alice]\nkeys = [\"keys/alice.pub\", \"keys/b.pub\"]",
    );
    let mut registry = registry;
    registry.add_person("b");
    let error = registry.propose("root").unwrap_err().to_string();
    assert!(error.contains("one person alone could sign"), "{error}");
}

#[test]
fn a_threshold_that_nobody_can_meet_is_not_proposed() {
    let registry = Registry::new();
    registry.edit("trustroot.toml", |text| text.replacen("threshold = 2", "threshold = 4", 1));
    let error = registry.propose("root").unwrap_err().to_string();
    assert!(error.ends_with("4 of 3 keys can never sign"), "{error}");
}

#[test]
fn a_root_never_expires_before_what_it_vouches_for() {
    let registry = Registry::new();
    set(&registry, "expires-after-days = 180", "expires-after-days = 400");
    let error = registry.propose("root").unwrap_err().to_string();
    assert!(error.contains("root would expire before what it vouches for"), "{error}");
}

#[test]
fn an_expired_proposal_is_not_finished() {
    let mut registry = Registry::new();
    let mut event = registry.start("root");
    registry.sign(&mut event, "alice").unwrap();
    registry.sign(&mut event, "bob").unwrap();
    registry.now += chrono::Duration::days(365);
    let error = registry.finish(&event).unwrap_err().to_string();
    assert!(error.contains("it would have expired already"), "{error}");
    assert!(registry.signed().root().is_none());
}

#[test]
fn a_throwaway_key_is_refused_outside_a_trial() {
    let registry = Registry::new();
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/keys.example/alice.pub")).unwrap();
    registry.write("keys/alice.pub", &example);
    let error = registry.propose("root").unwrap_err();
    assert_eq!(error.code(), "example-key");
    set(&registry, "name = ", "trial = true\nname = ");
    registry.propose("root").unwrap();
}

#[test]
fn a_secret_key_in_the_working_copy_is_refused() {
    let registry = Registry::with_builder();
    let secret = registry.key("alice").to_unencrypted_pem().to_string();
    registry.write("targets/oops.pem", &secret);
    assert!(registry.propose("targets").unwrap_err().to_string().contains("SECRET key"));
    registry.write("keys/alice.pub", &secret);
    assert!(registry.propose("root").unwrap_err().to_string().contains("SECRET key"));
}

#[test]
fn a_key_file_cannot_be_read_from_outside_the_working_copy() {
    for outside in ["../keys/alice.pub", "/etc/passwd", "keys/../../x"] {
        let registry = Registry::new();
        set(&registry, "\"keys/alice.pub\"", &format!("{outside:?}"));
        let error = registry.propose("root").unwrap_err().to_string();
        assert!(error.contains("must be a path below the working copy"), "{error}");
    }
}

#[test]
fn a_cap_never_starts_before_it_is_signed() {
    let mut registry = Registry::new();
    registry.add_oppy();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.now += chrono::Duration::hours(2);
    let problems = broken(&registry, "targets", &["alice", "bob"]);
    assert!(problems.contains("cap") && problems.contains("oppy"), "{problems}");
}

#[test]
fn a_qualification_never_starts_before_it_is_signed() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(3);
    registry.write_builder("v2", "https://oppy.example/slsa/builder/v2", "SLSA_BUILD_LEVEL_3");
    registry.edit("builders/oppy/v2.toml", |text| text.replace("2026-03-04", "2026-03-03"));
    let problems = broken(&registry, "oppy", &["oppy-dev"]);
    assert!(problems.contains("qualification"), "{problems}");
}

#[test]
fn a_namespace_vouches_for_nothing_outside_its_grants() {
    for id in ["https://oppy.example.evil/slsa/x", "https://oppy.example/other/x", "https://oppy.example/slsa-evil/x"] {
        let mut registry = Registry::with_builder();
        registry.write_builder("evil", id, "SLSA_BUILD_LEVEL_1");
        let problems = broken(&registry, "oppy", &["oppy-dev"]);
        assert!(problems.contains(id), "{problems}");
    }
}

#[test]
fn a_namespace_signs_for_no_other_and_not_for_the_catalog() {
    let registry = Registry::with_builder();
    let mut event = registry.start("targets");
    assert!(matches!(registry.sign(&mut event, "oppy-dev"), Err(CeremonyError::NotASigner { .. })));
    let mut event = registry.start("oppy");
    assert!(matches!(registry.sign(&mut event, "alice"), Err(CeremonyError::NotASigner { .. })));
}

#[test]
fn two_grants_of_one_prefix_void_the_catalog() {
    let mut registry = Registry::new();
    registry.add_oppy();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.edit("trustroot.toml", |text| {
        let start = text.find("[namespaces.oppy]").unwrap();
        format!("{text}\n{}", text[start..].replace("namespaces.oppy", "namespaces.other"))
    });
    let error = registry.propose("targets").unwrap_err().to_string();
    assert!(error.contains("https://oppy.example/slsa/"), "{error}");
}

#[test]
fn a_revoked_key_is_not_dropped_from_a_document_nor_with_it() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.edit("builders/oppy/v1.toml", |text| {
        let text = text.replacen("[[signers]]\nname = \"2026a\"\ntype = \"key\"\nstatus = \"active\"", "[[signers]]\nname = \"2026a\"\ntype = \"key\"\nstatus = \"revoked\"\nrevocation = { reason = \"keyCompromise\", distrustFrom = \"2026-03-01T13:30:00Z\" }", 1);
        text.replace("threshold = 1", "threshold = 1 # one")
    });
    registry.hold("oppy", &["oppy-dev"]).unwrap();

    registry.edit("builders/oppy/v1.toml", |text| {
        text.replace("status = \"revoked\"\nrevocation = { reason = \"keyCompromise\", distrustFrom = \"2026-03-01T13:30:00Z\" }", "status = \"active\"")
    });
    let problems = broken(&registry, "oppy", &["oppy-dev"]);
    assert!(problems.contains("revoked"), "{problems}");

    std::fs::remove_dir_all(registry.path("signing-events")).unwrap();
    std::fs::remove_file(registry.path("builders/oppy/v1.toml")).unwrap();
    let problems = broken(&registry, "oppy", &["oppy-dev"]);
    assert!(problems.contains("revoked"), "{problems}");
}

#[test]
fn two_documents_about_one_builder_are_not_signed() {
    let mut registry = Registry::with_builder();
    registry.write_builder("again", crate::support::OPPY, "SLSA_BUILD_LEVEL_1");
    let error = registry.propose("oppy").unwrap_err().to_string();
    assert!(error.contains("is about the same ID"), "{error}");
}

#[test]
fn a_working_copy_without_the_pinned_root_is_not_signed_in() {
    use trustroot::crypto::sha256;
    let registry = Registry::with_builder();
    let pin = sha256(&std::fs::read(registry.path("repository/1.root.json")).unwrap());
    assert!(registry.signed().roots().any(|(_, bytes)| sha256(bytes) == pin));

    // Somebody else's history under the same names.
    let mut forged = Registry::new();
    forged.now += chrono::Duration::hours(1);
    forged.hold("root", &["alice", "bob"]).unwrap();
    assert!(forged.signed().roots().all(|(_, bytes)| sha256(bytes) != pin));

    // A root that does not follow from the one before it breaks the chain.
    let text = std::fs::read_to_string(registry.path("repository/1.root.json")).unwrap();
    registry.write("repository/2.root.json", &text.replace("\"version\": 1", "\"version\": 2"));
    assert!(registry.copy().signed(registry.start_time()).is_err());
}

#[test]
fn a_version_that_jumps_is_not_signed() {
    let registry = Registry::new();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.start("root");
    let file = "signing-events/root-v2/proposal.json";
    registry.edit(file, |text| text.replace("\"version\": 2", "\"version\": 9007199254740991"));
    let event = registry.event("root-v2");
    let problems = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.contains("where v2 follows")), "{problems:?}");
}

#[test]
fn targets_never_outlive_their_root() {
    let mut registry = Registry::new();
    registry.add_oppy();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.start("targets");
    registry.edit("signing-events/targets-v1/proposal.json", |text| text.replace("2026-08-28", "2028-08-28"));
    let event = registry.event("targets-v1");
    let problems = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.contains("longer than the root")), "{problems:?}");
    // What is proposed late in the life of a root ends with it.
    registry.now += chrono::Duration::days(300);
    let late = String::from_utf8(registry.propose("targets").unwrap().document).unwrap();
    assert!(late.contains("\"expires\": \"2027-03-01T12:00:00Z\""), "{late}");
}

#[test]
fn one_key_never_signs_for_two_roles_that_name_targets() {
    let mut registry = Registry::new();
    registry.add_oppy();
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.edit("trustroot.toml", |text| text.replace("signers = [\"oppy-dev\"]", "signers = [\"alice\"]"));
    let problems = broken(&registry, "targets", &["alice", "bob"]);
    assert!(problems.contains("one key would sign for targets and for oppy"), "{problems}");
}

#[test]
fn a_namespace_does_not_go_with_its_revocations() {
    let mut registry = Registry::with_builder();
    registry.now += chrono::Duration::days(1);
    registry.edit("builders/oppy/v1.toml", |text| {
        text.replacen(
            "type = \"key\"\nstatus = \"active\"",
            "type = \"key\"\nstatus = \"revoked\"\nrevocation = { reason = \"keyCompromise\" }",
            1,
        )
    });
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    registry.edit("trustroot.toml", |text| text.replace("namespaces.oppy", "namespaces.oppy2"));
    let problems = broken(&registry, "targets", &["alice", "bob"]);
    assert!(problems.contains("the namespace oppy would go, and with it revoked keys"), "{problems}");
}
