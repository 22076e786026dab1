//! The examples of `docs/formats.md` are read by the parsers that read the real thing.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use trustroot::builders::{Builder, Catalog, SignerMethod, Verifier};

/// The `json` blocks of the page that are about this media type.
fn examples(kind: &str) -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md")).unwrap();
    let blocks = page.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    blocks.filter(|block| block.contains(&format!("application/vnd.trustroot.{kind}.v1+json"))).collect()
}

#[test]
fn the_documents_of_the_builder_map_are_read_as_they_are_shown() {
    let [catalog] = examples("catalog").try_into().unwrap();
    let [builder] = examples("builder").try_into().unwrap();
    let [verifier] = examples("verifier").try_into().unwrap();
    let catalog = Catalog::parse(catalog.as_bytes()).unwrap();
    let builder = Builder::parse(builder.as_bytes()).unwrap();
    let verifier = Verifier::parse(verifier.as_bytes()).unwrap();

    // They fit each other, and nothing in them is disabled.
    let (namespace, entry) = catalog.owner_of_builder(&builder.id).unwrap();
    assert_eq!(namespace.as_str(), "oppy");
    assert_eq!(catalog.owner_of_verifier(&verifier.id).unwrap().0, namespace);
    assert_eq!((entry.caps.len(), catalog.denials.len()), (1, 2));
    assert!(builder.qualifications.iter().all(|claim| claim.level().is_some()));
    assert!(builder.signers.iter().chain(&verifier.signers).all(|signer| signer.method.is_ok()));
    assert!(matches!(builder.signers[0].method, Ok(SignerMethod::Key(_))));
    assert_eq!(verifier.resources, entry.grants.resources);
}
