//! The builder map where several repositories must agree about it, and some are in the wrong hands (TAP 4).
//!
//! Every question is asked by a program that is async and by one that is not. What is refused leaves nothing in any
//! cache, history or directory of kept targets.

use serde_json::{Value, json};
use trustroot::builders::{Builder, builder_path};
use trustroot::client::{AgreedDocument, ConsensusError, Dissent, MultiRepository, blocking};

use crate::builder_map::{ID, builder, catalog, id, oppy, repository};
use crate::consensus::{Asks, B_ALONE, BOTH, TWO_OF_THREE, World, names};
use crate::support::{Answer, SimRepository};

/// The builder of an ID.
struct LookUp<'a>(&'a str);

impl Asks<AgreedDocument<Builder>> for LookUp<'_> {
    async fn wait(&self, multi: &mut MultiRepository) -> Result<AgreedDocument<Builder>, ConsensusError> {
        let registry = multi.registry().await?;
        multi.look_up(&registry, &id(self.0)).await
    }

    fn block(&self, multi: &mut blocking::MultiRepository) -> Result<AgreedDocument<Builder>, ConsensusError> {
        let registry = multi.registry()?;
        multi.look_up(&registry, &id(self.0))
    }
}

/// A repository whose namespace `oppy` vouches for the builder.
fn honest() -> SimRepository {
    repository(&catalog(), &[builder(ID)])
}

/// Repositories that say the same.
fn honest_world(names: &[&'static str]) -> World {
    World::of(names.iter().map(|name| (*name, honest())).collect())
}

fn ask(world: &World, mapping: &str) -> Result<AgreedDocument<Builder>, ConsensusError> {
    world.ask(mapping, &LookUp(ID))
}

/// Asks, and insists on a refusal that leaves no document anywhere. Metadata that its repository rightly signed is
/// accepted, by that repository alone; asked again, nothing moves at all.
fn refused(world: &World, mapping: &str) -> ConsensusError {
    let error = ask(world, mapping).unwrap_err();
    assert!(error.is_refusal(), "{error}");
    let left = world.kept();
    for (path, content) in &left {
        let content = String::from_utf8_lossy(content);
        match path.file_name().unwrap().to_str().unwrap() {
            "journal.jsonl" => assert!(!content.contains("\"builder\""), "{content}"),
            _ => assert!(!content.contains("slsa/builder") && !content.contains(".builder.v1"), "{}", path.display()),
        }
    }
    assert_eq!(ask(world, mapping).unwrap_err().to_string(), error.to_string());
    assert!(left == world.kept(), "something moved");
    error
}

/// Replaces the builder's document in one repository.
fn put_builder(world: &mut World, name: &str, document: &Value) {
    let repository = world.repository(name);
    repository.add_target("oppy", builder_path(&oppy(), &id(ID)).as_str(), document.to_string().as_bytes());
    repository.publish();
}

fn put_catalog(world: &mut World, name: &str, catalog: &Value) {
    let repository = world.repository(name);
    repository.add_target("targets", "slsa/v1/catalog.json", catalog.to_string().as_bytes());
    repository.publish();
}

/// The document with a signer that the attacker has the key of.
fn evil_builder() -> Value {
    let mut document = builder(ID);
    document["displayName"] = json!("evil");
    document
}

#[test]
fn repositories_that_agree_deliver_a_builder() {
    let world = honest_world(&["a", "b"]);
    let document = ask(&world, BOTH).unwrap();
    assert_eq!(names(&document.agreed), ["a", "b"]);
    assert_eq!(document.found.document.id, id(ID));
    assert_eq!((document.agreed.threshold, document.agreed.others.len()), (2, 0));
}

#[test]
fn one_compromised_repository_of_two_cannot_change_a_builder() {
    let mut world = honest_world(&["a", "b"]);
    put_builder(&mut world, "b", &evil_builder());
    assert_eq!(refused(&world, &format!("{BOTH}{B_ALONE}")).code(), "no-agreement");
}

#[test]
fn one_compromised_repository_of_two_cannot_add_a_builder() {
    let world = World::of(vec![("a", repository(&catalog(), &[])), ("b", honest())]);
    assert_eq!(refused(&world, &format!("{BOTH}{B_ALONE}")).code(), "no-agreement");
}

#[test]
fn one_compromised_repository_of_two_cannot_change_the_catalog() {
    let mut world = honest_world(&["a", "b"]);
    let mut higher = catalog();
    higher["namespaces"]["oppy"]["caps"][0]["level"] = json!("SLSA_BUILD_LEVEL_3");
    put_catalog(&mut world, "b", &higher);
    assert_eq!(refused(&world, &format!("{BOTH}{B_ALONE}")).code(), "no-agreement");
}

#[test]
fn a_repository_without_a_catalog_vouches_for_nothing() {
    let world = World::of(vec![("a", SimRepository::new()), ("b", honest())]);
    assert_eq!(refused(&world, &format!("{BOTH}{B_ALONE}")).code(), "no-agreement");
    let nothing = World::new(&["a", "b"]);
    assert_eq!(refused(&nothing, BOTH).code(), "no-catalog");
}

#[test]
fn one_compromised_repository_of_three_is_outvoted_about_a_builder() {
    let mut world = honest_world(&["a", "b", "c"]);
    put_builder(&mut world, "a", &evil_builder());
    let document = ask(&world, TWO_OF_THREE).unwrap();
    assert_eq!((names(&document.agreed), document.found.document.display_name), (vec!["b", "c"], None));
    assert_eq!(document.agreed.others, [("a".to_owned(), Dissent::OtherContent)]);
}

#[test]
fn two_repositories_that_sign_a_builder_differently_agree_about_nothing() {
    let mut world = honest_world(&["a", "b"]);
    let [mut first, mut second] = [builder(ID), builder(ID)];
    first["displayName"] = json!("one");
    second["displayName"] = json!("two");
    put_builder(&mut world, "a", &first);
    put_builder(&mut world, "b", &second);
    let error = refused(&world, BOTH);
    assert_eq!(error.code(), "no-agreement");
    // Of what they say, lengths and digests are shown, by name; never their content.
    let ConsensusError::Disagree { said, agree, threshold, .. } = &error else { panic!("{error}") };
    let who: Vec<&str> = said.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((who, *agree, *threshold), (vec!["a", "b"], 1, 2));
    assert!(!error.to_string().contains("one"), "{error}");
}

#[test]
fn a_document_that_another_role_names_does_not_count_whatever_its_bytes() {
    let mut world = honest_world(&["a", "b"]);
    // In `b`, top-level targets name the same bytes: whoever holds them could name any others next time.
    let repository = world.repository("b");
    let path = builder_path(&oppy(), &id(ID));
    repository.add_target("targets", path.as_str(), builder(ID).to_string().as_bytes());
    repository.publish();
    let error = refused(&world, &format!("{BOTH}{B_ALONE}"));
    assert_eq!(error.code(), "wrong-role");
    assert!(error.to_string().starts_with("b: the role targets answers for"), "{error}");
}

#[test]
fn a_catalog_that_another_role_names_does_not_count_whatever_its_bytes() {
    let mut world = honest_world(&["a", "b", "c"]);
    for name in ["b", "c"] {
        let repository = world.repository(name);
        repository.draft("targets")["targets"].as_object_mut().unwrap().remove("slsa/v1/catalog.json");
        repository.delegate("targets", "evil", &["slsa/v1/*"]);
        repository.add_target("evil", "slsa/v1/catalog.json", catalog().to_string().as_bytes());
        repository.bump("targets");
        repository.publish();
    }
    let error = refused(&world, TWO_OF_THREE);
    assert_eq!(error.code(), "wrong-role");
    assert!(error.to_string().starts_with("b: the role evil answers for"), "{error}");
}

#[test]
fn a_repository_that_delegates_to_somebody_else_does_not_count() {
    let mut world = honest_world(&["a", "b"]);
    let repository = world.repository("b");
    repository.delegation("targets", "oppy")["terminating"] = json!(false);
    repository.bump("targets");
    repository.publish();
    let error = refused(&world, BOTH);
    assert_eq!(error.code(), "bad-delegation");
    assert!(error.to_string().starts_with("b: "), "{error}");
}

#[test]
fn a_namespace_that_one_repository_serves_in_an_old_version_does_not_count_there() {
    let mut newer = catalog();
    newer["namespaces"]["oppy"]["minVersion"] = json!(3);
    let mut world =
        World::of(vec![("a", repository(&newer, &[builder(ID)])), ("b", repository(&newer, &[builder(ID)]))]);
    world.repository("a").bump("oppy");
    world.repository("a").publish();
    let error = refused(&world, BOTH);
    assert_eq!(error.to_string(), "b: the role oppy is at v2, and the catalog asks for v3 at least");
    world.repository("b").bump("oppy");
    world.repository("b").publish();
    assert_eq!(names(&ask(&world, BOTH).unwrap().agreed), ["a", "b"]);
}

#[test]
fn a_denial_in_the_catalog_that_is_agreed_on_holds() {
    let mut denying = catalog();
    denying["denials"] = json!([{"builderId": ID, "reason": "keyCompromise"}]);
    let world =
        World::of(vec![("a", repository(&denying, &[builder(ID)])), ("b", repository(&denying, &[builder(ID)]))]);
    assert_eq!(refused(&world, BOTH).code(), "denied");
}

#[test]
fn nothing_behind_a_terminating_mapping_answers_for_a_builder() {
    let world = World::of(vec![("a", SimRepository::new()), ("b", honest())]);
    let mapping = r#"{"paths": ["*"], "repositories": ["a"], "threshold": 1, "terminating": true}"#;
    assert_eq!(refused(&world, &format!("{mapping}{B_ALONE}")).code(), "no-catalog");
    // Without it, the next mapping is asked.
    let document = ask(&world, &format!("{}{B_ALONE}", mapping.replace("true", "false"))).unwrap();
    assert_eq!(names(&document.agreed), ["b"]);
}

#[test]
fn a_repository_that_did_not_count_for_the_catalog_does_not_count_for_a_document() {
    // For the catalog `a` alone is asked, for documents `b` alone: who may sign there is not said by `a`.
    let world = honest_world(&["a", "b"]);
    let mapping = r#"{"paths": ["slsa/v1/catalog.json"], "repositories": ["a"], "threshold": 1},
        {"paths": ["slsa/v1/*/*/*.json"], "repositories": ["b"], "threshold": 1}"#;
    let error = refused(&world, mapping);
    assert_eq!(error.code(), "other-catalog");
    assert!(error.to_string().starts_with("b names the document slsa/v1/builders/oppy/"), "{error}");
}

#[test]
fn documents_that_no_mapping_covers_are_taken_from_nobody() {
    let world = honest_world(&["a", "b"]);
    let catalog_only = r#"{"paths": ["slsa/v1/catalog.json"], "repositories": ["a", "b"], "threshold": 2}"#;
    assert_eq!(refused(&world, catalog_only).code(), "not-mapped");
    let nothing = r#"{"paths": ["other/*"], "repositories": ["a", "b"], "threshold": 2}"#;
    assert_eq!(refused(&world, nothing).code(), "not-mapped");
}

#[test]
fn a_repository_that_is_kept_away_does_not_lead_to_a_weaker_mapping_for_a_builder() {
    let mut world = honest_world(&["a", "b"]);
    put_builder(&mut world, "b", &evil_builder());
    world.repository("a").answer("timestamp", Answer::Status(500));
    let error = ask(&world, &format!("{BOTH}{B_ALONE}")).unwrap_err();
    assert_eq!((error.code(), error.is_refusal()), ("http-status", false));
}

#[test]
fn a_ref_does_not_stand_for_its_builder_where_one_repository_has_a_document_of_its_own() {
    let mut base = builder(ID);
    base["idVersions"] = json!({"refs": ["refs/tags/v*"]});
    let with_ref = format!("{ID}@refs/tags/v1");
    let both = [base.clone(), builder(&with_ref)];
    // `b` would have the ref judged by another document than `a`.
    let world = World::of(vec![("a", repository(&catalog(), &both[..1])), ("b", repository(&catalog(), &both))]);
    let error = world.ask(BOTH, &LookUp(&with_ref)).unwrap_err();
    assert_eq!(error.code(), "no-agreement");
    // Where neither has one, the builder before the ref stands for it.
    let world = World::of(vec![("a", repository(&catalog(), &both[..1])), ("b", repository(&catalog(), &both[..1]))]);
    assert_eq!(world.ask(BOTH, &LookUp(&with_ref)).unwrap().found.document.id, id(ID));
}

/// The trusted roots of the catalog's realms.
struct Times;

impl Asks<Vec<String>> for Times {
    async fn wait(&self, multi: &mut MultiRepository) -> Result<Vec<String>, ConsensusError> {
        let registry = multi.registry().await?;
        let document = multi.look_up::<Builder>(&registry, &id(ID)).await?;
        let roots = multi.time_authorities(&document.found.entry, 1 << 20).await?;
        Ok(roots.into_iter().map(|(_, _, bytes)| String::from_utf8(bytes).unwrap()).collect())
    }

    fn block(&self, multi: &mut blocking::MultiRepository) -> Result<Vec<String>, ConsensusError> {
        let registry = multi.registry()?;
        let document = multi.look_up::<Builder>(&registry, &id(ID))?;
        let roots = multi.time_authorities(&document.found.entry, 1 << 20)?;
        Ok(roots.into_iter().map(|(_, _, bytes)| String::from_utf8(bytes).unwrap()).collect())
    }
}

#[test]
fn one_compromised_repository_of_two_cannot_bring_a_log_of_its_own() {
    let mut timed = catalog();
    timed["namespaces"]["oppy"]["timeAuthorities"] = json!(["public-good"]);
    let mut world =
        World::of(vec![("a", repository(&timed, &[builder(ID)])), ("b", repository(&timed, &[builder(ID)]))]);
    assert_eq!(world.ask(BOTH, &Times).unwrap(), Vec::<String>::new());
    let path = "sigstore/public-good/trusted_root.json";
    world.repository("b").add_target("targets", path, b"evil");
    world.repository("b").publish();
    assert_eq!(world.ask(BOTH, &Times).unwrap_err().code(), "no-agreement");
    world.repository("a").add_target("targets", path, b"evil");
    world.repository("a").publish();
    assert_eq!(world.ask(BOTH, &Times).unwrap(), ["evil"]);
}

#[test]
fn a_log_that_a_delegated_role_names_proves_no_time_however_many_agree() {
    let mut timed = catalog();
    timed["namespaces"]["oppy"]["timeAuthorities"] = json!(["public-good"]);
    let made = |name| {
        let mut repository = repository(&timed, &[builder(ID)]);
        repository.delegate("targets", "evil", &["sigstore/*/*"]);
        repository.add_target("evil", "sigstore/public-good/trusted_root.json", b"evil");
        (name, repository)
    };
    let world = World::of(vec![made("a"), made("b")]);
    assert_eq!(world.ask(BOTH, &Times).unwrap(), Vec::<String>::new());
}

#[test]
fn a_repository_whose_word_does_not_count_is_named_beside_those_that_agree() {
    let mut world = honest_world(&["a", "b", "c"]);
    let repository = world.repository("a");
    let path = builder_path(&oppy(), &id(ID));
    repository.add_target("targets", path.as_str(), builder(ID).to_string().as_bytes());
    repository.publish();
    let document = ask(&world, TWO_OF_THREE).unwrap();
    assert_eq!(names(&document.agreed), ["b", "c"]);
    let (name, dissent) = &document.agreed.others[0];
    assert_eq!((name.as_str(), dissent.code()), ("a", "wrong-role"));
}
