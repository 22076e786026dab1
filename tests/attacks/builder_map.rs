//! Attacks on the builder map: who may answer for a document, and what a namespace may claim.

use serde_json::{Value, json};
use trustroot::builders::{
    Answer, Builder, BuilderId, Found, MapDocument, Namespace, RegistryError, Verifier, builder_path, effective_level,
    namespace_patterns, verifier_path,
};
use trustroot::client::{LookupError, MultiRepository, SafeUrl, StoredFile, Updater};
use trustroot::metadata::{RoleName, TargetPath, Version};

use crate::support::{LOCAL, SimRepository, block_on};

pub(crate) const ID: &str = "https://oppy.example/slsa/b";

pub(crate) fn id(text: &str) -> BuilderId {
    BuilderId::parse(text).unwrap()
}

pub(crate) fn oppy() -> Namespace {
    Namespace::parse("oppy").unwrap()
}

pub(crate) fn catalog() -> Value {
    json!({"mediaType": "application/vnd.trustroot.catalog.v1+json", "namespaces": {"oppy": {
        "role": "oppy", "minVersion": 1, "grants": {"builders": ["https://oppy.example/slsa/"]},
        "caps": [{"level": "SLSA_BUILD_LEVEL_2", "validFor": {"start": "2026-01-01T00:00:00Z"}}]}}})
}

pub(crate) fn builder(id: &str) -> Value {
    json!({"mediaType": "application/vnd.trustroot.builder.v1+json", "builderId": id, "status": "active",
        "threshold": 1, "signers": [], "qualifications": [{"level": "SLSA_BUILD_LEVEL_3", "spec": "1.2",
            "validFor": {"start": "2026-01-01T00:00:00Z"}}]})
}

/// A repository whose namespace `oppy` has the documents given.
pub(crate) fn repository(catalog: &Value, documents: &[Value]) -> SimRepository {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "oppy", &namespace_patterns(&oppy()).each_ref().map(String::as_str));
    repository.delegation("targets", "oppy")["terminating"] = json!(true);
    repository.add_target("targets", "slsa/v1/catalog.json", catalog.to_string().as_bytes());
    for document in documents {
        let path = builder_path(&oppy(), &id(document["builderId"].as_str().unwrap()));
        repository.add_target("oppy", path.as_str(), document.to_string().as_bytes());
    }
    repository.publish();
    repository
}

fn look_up(repository: &SimRepository, text: &str) -> Result<Found<Builder>, LookupError> {
    look_up_as(repository, text)
}

fn look_up_as<T: MapDocument>(repository: &SimRepository, text: &str) -> Result<Found<T>, LookupError> {
    let mut updater = repository.client().new_updater().unwrap();
    let alone = block_on(async {
        let registry = updater.registry().await?;
        updater.look_up(&registry, &id(text)).await
    });
    // Where several are asked, each is held to the same rules.
    let mut multi = MultiRepository::of_one("only", repository.client().new_updater().unwrap());
    let agreed = block_on(async {
        let registry = multi.registry().await?;
        multi.look_up::<T>(&registry, &id(text)).await
    });
    match (&alone, &agreed) {
        (Ok(alone), Ok(agreed)) => assert_eq!(format!("{alone:?}"), format!("{:?}", agreed.found)),
        (Err(alone), Err(agreed)) => {
            assert_eq!((alone.code(), alone.is_refusal()), (agreed.code(), agreed.is_refusal()));
        }
        _ => panic!("{alone:?}, but {agreed:?}"),
    }
    alone
}

fn code(repository: &SimRepository, text: &str) -> &'static str {
    look_up(repository, text).map_or_else(|error| error.code(), |_| "found")
}

#[test]
fn a_document_that_lists_an_example_key_is_refused_but_in_a_trial_on_this_machine() {
    let pem = include_str!("../../keys.example/oppy-builder.pub");
    let key: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut document = builder(ID);
    document["signers"] = json!([{"name": "1", "type": "key", "status": "active", "envelope": "dsse",
        "signatureEncoding": "der", "publicKey": {"rawBytes": key, "keyDetails": "PKIX_ED25519",
            "validFor": {"start": "2026-01-01T00:00:00Z"}}}]);
    let repository = repository(&catalog(), &[document]);

    let refused = look_up(&repository, ID).unwrap_err();

    assert!(refused.is_refusal() && refused.code() == "example-key");
    let expected =
        format!("the document of {ID} lists the example key `oppy-builder`, whose secret half everybody has");
    assert_eq!(refused.to_string(), expected);
    let mut client = repository.client();
    client.metadata_url = SafeUrl::parse(&format!("{LOCAL}/metadata")).unwrap();
    let mut updater = client.new_updater().unwrap();
    let found = block_on(async {
        let registry = updater.registry().await?;
        updater.look_up::<Builder>(&registry, &id(ID)).await
    });
    assert_eq!(found.unwrap().document.signers.len(), 1);
}

#[test]
fn a_namespace_cannot_raise_its_own_level() {
    let repository = repository(&catalog(), &[builder(ID)]);
    let found = look_up(&repository, ID).unwrap();
    let level = effective_level(&found.entry, &found.document, None, repository.shelf().now());
    assert_eq!(level.to_string(), "min(cap L2, qualification L3) = L2");
}

#[test]
fn a_document_that_top_level_targets_answer_for_is_refused() {
    let mut repository = repository(&catalog(), &[builder(ID)]);
    let path = builder_path(&oppy(), &id(ID));
    repository.add_target("targets", path.as_str(), builder(ID).to_string().as_bytes());
    repository.publish();
    assert_eq!(code(&repository, ID), "wrong-role");
}

#[test]
fn a_catalog_that_a_delegated_role_answers_for_is_refused() {
    let mut repository = repository(&catalog(), &[builder(ID)]);
    repository.draft("targets")["targets"].as_object_mut().unwrap().remove("slsa/v1/catalog.json");
    repository.delegate("targets", "evil", &["slsa/v1/*"]);
    repository.add_target("evil", "slsa/v1/catalog.json", catalog().to_string().as_bytes());
    repository.bump("targets");
    // Not even at the version of targets.
    let version = repository.version("targets");
    repository.set_version("evil", version);
    repository.publish();
    assert_eq!(code(&repository, ID), "wrong-role");
}

#[test]
fn a_delegation_that_lets_others_answer_is_refused() {
    for (pointer, value) in [
        ("/terminating", json!(false)),
        ("/paths", json!(["slsa/v1/*/*/*.json"])),
        ("/paths", json!(["slsa/v1/builders/oppy/*.json"])),
    ] {
        let mut repository = repository(&catalog(), &[builder(ID)]);
        *repository.delegation("targets", "oppy").pointer_mut(pointer).unwrap() = value;
        repository.bump("targets");
        repository.publish();
        assert_eq!(code(&repository, ID), "bad-delegation", "{pointer}");
    }
}

#[test]
fn a_delegation_before_the_namespaces_own_is_refused() {
    let mut repository = repository(&catalog(), &[builder(ID)]);
    repository.delegate("targets", "evil", &["slsa/v1/builders/*/x*"]);
    repository.draft("targets")["delegations"]["roles"].as_array_mut().unwrap().reverse();
    repository.bump("targets");
    repository.publish();
    assert_eq!(code(&repository, ID), "bad-delegation");
}

#[test]
fn a_namespace_older_than_the_catalog_allows_is_refused() {
    let mut catalog = catalog();
    catalog["namespaces"]["oppy"]["minVersion"] = json!(100);
    assert_eq!(code(&repository(&catalog, &[builder(ID)]), ID), "stale-namespace");
}

#[test]
fn an_id_outside_the_grants_is_unknown_whatever_the_namespace_publishes() {
    let repository = repository(&catalog(), &[builder("https://oppy.example.evil/slsa/b")]);
    assert_eq!(code(&repository, "https://oppy.example.evil/slsa/b"), "unknown-builder");
    assert_eq!(code(&repository, "https://oppy.example/slsa-evil/b"), "unknown-builder");
    assert_eq!(code(&repository, ID), "no-document");
}

#[test]
fn a_ref_stands_for_its_builder_only_where_the_document_says_so() {
    let mut base = builder(ID);
    base["idVersions"] = json!({"refs": ["refs/tags/v*"]});
    let repository = repository(&catalog(), std::slice::from_ref(&base));
    assert_eq!(look_up(&repository, &format!("{ID}@refs/tags/v1.9.0")).unwrap().document.id, id(ID));
    for reference in ["refs/heads/main", "refs/tags/v1/evil", "x/refs/tags/v1"] {
        assert_eq!(code(&repository, &format!("{ID}@{reference}")), "ref-not-allowed", "{reference}");
    }
    base["status"] = json!("revoked");
    base["revocation"] = json!({"reason": "gone"});
    let repository = self::repository(&catalog(), &[base]);
    assert_eq!(code(&repository, &format!("{ID}@refs/tags/v1")), "tombstoned");
}

#[test]
fn a_denial_wins_over_the_namespace() {
    let mut catalog = catalog();
    catalog["denials"] = json!([{"builderId": ID, "reason": "keyCompromise"}]);
    let repository = repository(&catalog, &[builder(ID), builder(&format!("{ID}@v1"))]);
    assert_eq!(code(&repository, ID), "denied");
    assert_eq!(code(&repository, &format!("{ID}@v1")), "denied");
}

#[test]
fn an_unknown_field_refuses_catalog_and_document() {
    let mut strange = catalog();
    strange["namespaces"]["oppy"]["onlyFor"] = json!("friends");
    assert_eq!(code(&repository(&strange, &[builder(ID)]), ID), "malformed-catalog");
    let mut strange = builder(ID);
    strange["onlyFor"] = json!("friends");
    assert_eq!(code(&repository(&catalog(), &[strange]), ID), "malformed-document");
}

#[test]
fn a_role_of_another_namespace_never_answers() {
    let path = builder_path(&oppy(), &id(ID));
    // Even where the namespace itself delegates to it; a role below its own name may answer.
    for (role, expected) in [("evil", "wrong-role"), ("oppy2", "wrong-role"), ("oppy.g1b1-0", "found")] {
        let mut repository = repository(&catalog(), &[]);
        repository.delegate("oppy", role, &["slsa/v1/builders/oppy/*.json"]);
        repository.add_target(role, path.as_str(), builder(ID).to_string().as_bytes());
        repository.publish();
        assert_eq!(code(&repository, ID), expected, "{role}");
    }
}

#[test]
fn a_document_about_something_else_is_refused_at_the_path_of_an_id() {
    let other = builder("https://oppy.example/slsa/other");
    let verifier = json!({"mediaType": "application/vnd.trustroot.verifier.v1+json", "verifierId": ID,
        "status": "active", "threshold": 1, "signers": [], "scopes": {"resources": []}});
    let with_ref = builder(&format!("{ID}@v1"));
    for (document, expected) in
        [(&other, "wrong-document"), (&with_ref, "wrong-document"), (&verifier, "malformed-document")]
    {
        let mut repository = repository(&catalog(), &[]);
        repository.add_target("oppy", builder_path(&oppy(), &id(ID)).as_str(), document.to_string().as_bytes());
        repository.publish();
        assert_eq!(code(&repository, ID), expected);
    }
}

#[test]
fn without_a_catalog_nobody_may_vouch() {
    let mut repository = repository(&catalog(), &[builder(ID)]);
    repository.draft("targets")["targets"].as_object_mut().unwrap().remove("slsa/v1/catalog.json");
    repository.bump("targets");
    repository.publish();
    assert_eq!(code(&repository, ID), "no-catalog");
}

#[test]
fn wider_narrower_or_further_paths_are_not_the_namespaces_own() {
    let own = namespace_patterns(&oppy()).to_vec();
    let with = |extra: &str| own.iter().map(String::as_str).chain([extra]).map(str::to_owned).collect::<Vec<_>>();
    let mut wide = own.clone();
    wide[0] = "slsa/v1/builders/*/*.json".to_owned();
    for paths in [with("slsa/v1/catalog.json"), with(&own[0]), wide, own[..2].to_vec(), Vec::new()] {
        let mut repository = repository(&catalog(), &[builder(ID)]);
        repository.delegation("targets", "oppy")["paths"] = json!(paths);
        repository.bump("targets");
        repository.publish();
        assert_eq!(code(&repository, ID), "bad-delegation", "{paths:?}");
    }
    let mut by_hash = repository(&catalog(), &[builder(ID)]);
    let delegation = by_hash.delegation("targets", "oppy").as_object_mut().unwrap();
    delegation.remove("paths");
    delegation.insert("path_hash_prefixes".to_owned(), json!([""]));
    by_hash.bump("targets");
    by_hash.publish();
    assert_eq!(code(&by_hash, ID), "bad-delegation");
    let mut reordered = repository(&catalog(), &[builder(ID)]);
    reordered.delegation("targets", "oppy")["paths"].as_array_mut().unwrap().reverse();
    reordered.bump("targets");
    reordered.publish();
    assert_eq!(code(&reordered, ID), "found");
}

#[test]
fn whatever_could_answer_before_the_namespace_voids_its_delegation() {
    for (paths, expected) in [
        (json!({"paths": ["slsa/v1/builders/oppy/*.json"]}), "bad-delegation"),
        (json!({"paths": ["slsa/v1/policies/oppy/x"]}), "bad-delegation"),
        (json!({"paths": ["*/*/*/oppy/?.json"]}), "bad-delegation"),
        (json!({"paths": ["slsa/v[1]/verifiers/[m-p]ppy/*"]}), "bad-delegation"),
        (json!({"path_hash_prefixes": ["00"]}), "bad-delegation"),
        (json!({"paths": ["slsa/v1/builders/other/*.json", "*", "slsa/*/*"]}), "found"),
    ] {
        let mut repository = repository(&catalog(), &[builder(ID)]);
        repository.delegate("targets", "first", &[]);
        let delegation = repository.delegation("targets", "first").as_object_mut().unwrap();
        delegation.remove("paths");
        delegation.extend(paths.as_object().unwrap().clone());
        repository.draft("targets")["delegations"]["roles"].as_array_mut().unwrap().reverse();
        repository.bump("targets");
        repository.publish();
        assert_eq!(code(&repository, ID), expected, "{paths}");
    }
}

#[test]
fn the_least_version_itself_may_answer() {
    let mut catalog = catalog();
    let version = repository(&catalog, &[builder(ID)]).version("oppy");
    catalog["namespaces"]["oppy"]["minVersion"] = json!(version);
    assert_eq!(code(&repository(&catalog, &[builder(ID)]), ID), "found");
    catalog["namespaces"]["oppy"]["minVersion"] = json!(version + 1);
    assert_eq!(code(&repository(&catalog, &[builder(ID)]), ID), "stale-namespace");
    // Nor does a role below it answer for a namespace that is too old.
    let mut repository = repository(&catalog, &[]);
    repository.delegate("oppy", "oppy.g1b1-0", &["slsa/v1/builders/oppy/*.json"]);
    let path = builder_path(&oppy(), &id(ID));
    repository.add_target("oppy.g1b1-0", path.as_str(), builder(ID).to_string().as_bytes());
    repository.set_version("oppy", version);
    repository.publish();
    assert_eq!(code(&repository, ID), "stale-namespace");
}

#[test]
fn a_dated_denial_leaves_the_builder_what_was_signed_before_and_no_ref() {
    let mut catalog = catalog();
    catalog["denials"] = json!([{"builderId": ID, "reason": "x", "distrustFrom": "2026-02-01T00:00:00Z"}]);
    let mut base = builder(ID);
    base["idVersions"] = json!({"refs": ["refs/tags/*"]});
    let repository = repository(&catalog, std::slice::from_ref(&base));
    assert_eq!(look_up(&repository, ID).unwrap().denials.len(), 1);
    assert_eq!(code(&repository, &format!("{ID}@refs/tags/v1")), "denied");
    catalog["denials"][0]["builderId"] = json!(format!("{ID}@refs/tags/v1"));
    let repository = self::repository(&catalog, &[base]);
    assert_eq!(code(&repository, &format!("{ID}@refs/tags/v1")), "denied");
    assert_eq!(code(&repository, &format!("{ID}@refs/tags/v2")), "found");
}

#[test]
fn a_ref_is_never_looked_up_in_another_namespace() {
    let mut catalog = catalog();
    let versioned = format!("{ID}@refs/tags/v1");
    catalog["namespaces"]["inner"] = json!({"role": "inner", "minVersion": 1, "grants": {"builders": [versioned]}});
    let mut base = builder(ID);
    base["idVersions"] = json!({"refs": ["refs/tags/*"]});
    let mut repository = repository(&catalog, std::slice::from_ref(&base));
    let inner = Namespace::parse("inner").unwrap();
    repository.delegate("targets", "inner", &namespace_patterns(&inner).each_ref().map(String::as_str));
    repository.delegation("targets", "inner")["terminating"] = json!(true);
    repository.publish();
    assert_eq!(code(&repository, &versioned), "no-document");
    // Nor may it speak for the ID before the ref, which is another's.
    repository.add_target("inner", builder_path(&inner, &id(ID)).as_str(), base.to_string().as_bytes());
    repository.publish();
    assert_eq!(code(&repository, &versioned), "no-document");
    assert_eq!(code(&repository, &format!("{ID}@refs/tags/v2")), "found");
}

#[test]
fn a_verifier_needs_grants_of_its_own_kind() {
    let document = json!({"mediaType": "application/vnd.trustroot.verifier.v1+json", "verifierId": ID,
        "status": "active", "threshold": 1, "signers": [], "scopes": {"resources": ["oppy://"]}});
    for (grants, expected) in [
        (json!({"builders": ["https://oppy.example/slsa/"], "resources": ["oppy://"]}), "unknown-builder"),
        (json!({"verifiers": ["https://oppy.example/slsa/"]}), "no-resource-grant"),
        (json!({"verifiers": ["https://oppy.example/slsa/"], "resources": ["oppy://"]}), "found"),
        (json!({"verifiers": ["https://oppy.example/slsa/"], "packages": ["oppy://"]}), "found"),
    ] {
        let mut catalog = catalog();
        catalog["namespaces"]["oppy"]["grants"] = grants.clone();
        let mut repository = repository(&catalog, &[]);
        repository.add_target("oppy", verifier_path(&oppy(), &id(ID)).as_str(), document.to_string().as_bytes());
        repository.publish();
        let found = look_up_as::<Verifier>(&repository, ID);
        assert_eq!(found.map_or_else(|error| error.code(), |_| "found"), expected, "{grants}");
    }
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let repository = repository(&catalog(), &[builder(ID)]);
    let registry = block_on(repository.client().new_updater().unwrap().registry()).unwrap();
    let (wanted, other) = (builder_path(&oppy(), &id(ID)), TargetPath::new("slsa/v1/builders/oppy/x.json").unwrap());
    let (role, one) = (RoleName::delegated("oppy").unwrap(), Version::new(1).unwrap());
    let document = builder(ID).to_string().into_bytes();
    for (path, role, expected) in
        [(&wanted, &role, "found"), (&other, &role, "wrong-role"), (&wanted, &RoleName::Targets, "wrong-role")]
    {
        let mut search = registry.search::<Builder>(&id(ID)).unwrap();
        let answered = search.answered(Some(Answer { path, role, version: one, bytes: &document }));
        assert_eq!(answered.as_ref().map_or_else(RegistryError::code, |()| "found"), expected);
        // What was refused is not found either.
        assert_eq!(search.finish().is_ok(), answered.is_ok());
    }
    assert_eq!(registry.search::<Builder>(&id(ID)).unwrap().finish().unwrap_err().code(), "no-document");

    let mut catalog = catalog();
    catalog["namespaces"]["oppy"]["minVersion"] = json!(2);
    let registry =
        block_on(self::repository(&catalog, &[builder(ID)]).client().new_updater().unwrap().registry()).unwrap();
    let mut search = registry.search::<Builder>(&id(ID)).unwrap();
    let stale = search.answered(Some(Answer { path: &wanted, role: &role, version: one, bytes: &document }));
    assert_eq!(stale.unwrap_err().code(), "stale-namespace");
}

#[test]
fn a_namespace_whose_name_could_be_another_things_voids_the_catalog() {
    for name in
        ["Oppy", "op_py", "-oppy", "", "op.py", "op/py", "..", "oppy ", "\u{f6}ppy", "root", "targets", "snapshot"]
    {
        let mut named = catalog();
        let entry = named["namespaces"]["oppy"].clone();
        named["namespaces"][name] = entry;
        named["namespaces"][name]["grants"] = json!({});
        assert_eq!(code(&repository(&named, &[builder(ID)]), ID), "malformed-catalog", "{name:?}");
    }
    // Nor may one namespace be answered for by the role of another.
    for role in ["targets", "root", "other", "oppy2", "Oppy", ""] {
        let mut named = catalog();
        named["namespaces"]["oppy"]["role"] = json!(role);
        let code = code(&repository(&named, &[builder(ID)]), ID);
        assert!(matches!(code, "malformed-catalog" | "bad-delegation"), "{role:?}: {code}");
    }
}

#[test]
fn a_grant_that_is_not_canonical_voids_the_catalog() {
    for grant in [
        "https://oppy.example/slsa",
        "https://OPPY.example/slsa/",
        "HTTPS://oppy.example/slsa/",
        "https://oppy.example:443/slsa/",
        "https://user@oppy.example/slsa/",
        "https://oppy.example/slsa/../",
        "https://oppy.example//slsa/",
        "https://oppy.example/sls%61/",
        "https://oppy.example/slsa/?x/",
        "https://oppy.example/slsa/#/",
        "https://",
        "/",
        "",
        "*",
    ] {
        let mut granting = catalog();
        granting["namespaces"]["oppy"]["grants"]["builders"] = json!([grant]);
        let code = code(&repository(&granting, &[builder(ID)]), ID);
        // An exact ID is a grant as well, of that ID alone.
        assert!(matches!(code, "malformed-catalog" | "unknown-builder"), "{grant:?}: {code}");
    }
}

#[test]
fn the_longest_grant_alone_may_answer_and_a_grant_given_twice_voids_the_catalog() {
    let mut two = catalog();
    two["namespaces"]["other"] = json!({"role": "other", "minVersion": 1, "grants": {"builders": [ID]}});
    // The other namespace owns the ID now, and has said nothing about it; `oppy` no longer may.
    assert_eq!(code(&repository(&two, &[builder(ID)]), ID), "bad-delegation");
    two["namespaces"]["other"]["grants"]["builders"] = json!(["https://oppy.example/slsa/"]);
    assert_eq!(code(&repository(&two, &[builder(ID)]), ID), "malformed-catalog");
}

#[test]
fn an_unknown_kind_of_signer_disables_that_signer_and_an_unknown_status_the_document() {
    let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGAvT3ctvz5hzr4NyVsIL4YwnTDWoz+n/3P8V1tXfHqyY3AuVNmZY0vDzP8GBLnzPC8VzV8aaMqBNI0DCaHoLkg==";
    let signer = |name: &str, details: &str| {
        json!({"name": name, "type": "key", "status": "active", "envelope": "dsse", "signatureEncoding": "der",
            "publicKey": {"rawBytes": key, "keyDetails": details, "validFor": {"start": "2026-01-01T00:00:00Z"}}})
    };
    let mut document = builder(ID);
    document["signers"] =
        json!([signer("odd", "PKIX_OF_THE_FUTURE"), {"name": "new", "type": "oracle", "status": "active"}]);
    let found = look_up(&repository(&catalog(), std::slice::from_ref(&document)), ID).unwrap();
    assert_eq!(found.document.signers.len(), 2);
    assert!(found.document.signers.iter().all(|signer| signer.method.is_err()));
    for (pointer, value) in [
        ("/status", json!("resting")),
        ("/signers/0/status", json!("resting")),
        ("/signers/0/onlyFor", json!("friends")),
    ] {
        let mut strange = document.clone();
        match strange.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => strange["signers"][0]["onlyFor"] = value,
        }
        assert_eq!(code(&repository(&catalog(), &[strange]), ID), "malformed-document", "{pointer}");
    }
}

#[test]
fn a_forged_history_changes_no_verdict_and_its_documents_are_not_shown() {
    let repository = repository(&catalog(), &[builder(ID)]);
    let client = repository.client();
    let ask = |updater: &mut Updater| {
        block_on(async {
            let registry = updater.registry().await?;
            updater.look_up::<Builder>(&registry, &id(ID)).await
        })
    };
    let honest = ask(&mut client.new_updater().unwrap()).unwrap();
    // Whoever can write to the cache adds a version that nobody signed.
    let journal = client.cache().path(&StoredFile::Journal);
    let mut text = fs_err::read_to_string(&journal).unwrap();
    text.push_str(
        &json!({"at": "2026-03-01T12:00:00Z", "kind": "builder", "name": ID, "version": 9, "sha256": "0".repeat(64),
            "length": 4, "slot": 9})
        .to_string(),
    );
    text.push('\n');
    fs_err::write(&journal, text).unwrap();
    fs_err::write(client.cache().path(&StoredFile::Superseded(9)), b"evil").unwrap();

    let mut updater = client.new_updater().unwrap();
    let cache = client.cache();
    let history = updater.history().unwrap().clone();
    let forged = history.events().iter().find(|event| event.version == Some(9)).unwrap();
    assert_eq!(history.document(&cache, forged).unwrap(), None);
    assert_eq!(format!("{:?}", ask(&mut updater).unwrap()), format!("{honest:?}"));
}
