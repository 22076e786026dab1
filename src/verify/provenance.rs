//! Reads what a builder says about a build: SLSA provenance v1, v0.2 and v0.1; and what a verifier says about an artifact:
//! verification summaries v1 and v0.2.
//!
//! Read only from payloads that signers of the builder's or verifier's own document signed. The formats are other
//! people's, so unknown fields are tolerated; parameters are not, where the builder's document lists those that it knows.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::builders::BuildLevel;
use crate::input::{self, InputError};

/// SLSA provenance v1
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";
/// SLSA provenance v0.2
pub const PROVENANCE_V0_2: &str = "https://slsa.dev/provenance/v0.2";
/// SLSA provenance v0.1, which Google Cloud Build still writes
pub const PROVENANCE_V0_1: &str = "https://slsa.dev/provenance/v0.1";
/// Verification summary v1
pub const SUMMARY_V1: &str = "https://slsa.dev/verification_summary/v1";
/// Verification summary v0.2
pub const SUMMARY_V0_2: &str = "https://slsa.dev/verification_summary/v0.2";

/// What all versions of provenance say, as far as it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provenance {
    pub(super) builder_id: String,
    pub(super) build_type: String,
    /// The names of the external parameters.
    pub(super) parameters: BTreeSet<String>,
    /// The repositories that it says it built from, without `git+` and ref.
    pub(super) sources: Vec<String>,
}

/// What all versions of a verification summary say, as far as it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) verifier_id: String,
    pub(super) resource_uri: String,
    pub(super) passed: bool,
    /// As written.
    pub(super) levels: Vec<String>,
}

impl Summary {
    /// The highest level of the Build track among those verified.
    pub(super) fn build_level(&self) -> Option<BuildLevel> {
        self.levels.iter().filter_map(|level| BuildLevel::from_document(level)).max()
    }
}

/// Returns the predicate of a payload that is known to be a statement.
pub(super) fn predicate(payload: &[u8]) -> Result<Value, InputError> {
    #[derive(Deserialize)]
    struct PredicateJson {
        predicate: Value,
    }
    Ok(input::shape::<PredicateJson>(payload)?.predicate)
}

/// Reads provenance. `None` where the predicate type is not one of provenance.
pub(super) fn provenance(predicate_type: &str, predicate: &Value) -> Option<Result<Provenance, InputError>> {
    match predicate_type {
        PROVENANCE_V1 => Some(read_v1(predicate)),
        PROVENANCE_V0_2 => Some(read_v0_2(predicate)),
        PROVENANCE_V0_1 => Some(read_v0_1(predicate)),
        _ => None,
    }
}

/// Reads a verification summary. `None` where the predicate type is not one of summaries.
pub(super) fn summary(predicate_type: &str, predicate: &Value) -> Option<Result<Summary, InputError>> {
    let (resource, result) = match predicate_type {
        SUMMARY_V1 => ("/resourceUri", "/verificationResult"),
        SUMMARY_V0_2 => ("/resource_uri", "/verification_result"),
        _ => return None,
    };
    let read = || {
        let levels = match predicate_type {
            SUMMARY_V1 => predicate
                .get("verifiedLevels")
                .and_then(Value::as_array)
                .map(|levels| levels.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            _ => text(predicate, "/policy_level").map(|level| vec![level]),
        };
        Ok(Summary {
            verifier_id: required(predicate, "/verifier/id", "verifier.id")?,
            resource_uri: required(predicate, resource, "resourceUri")?,
            passed: text(predicate, result).as_deref() == Some("PASSED"),
            levels: levels.unwrap_or_default(),
        })
    };
    Some(read())
}

fn text(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn required(json: &Value, pointer: &str, field: &'static str) -> Result<String, InputError> {
    text(json, pointer).ok_or(InputError::Field { field, expected: "text" })
}

/// The members of an object that may be absent. Anything else is no list of parameters.
fn members<'a>(
    json: &'a Value,
    pointer: &str,
    field: &'static str,
) -> Result<Option<&'a Map<String, Value>>, InputError> {
    match json.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(InputError::Field { field, expected: "an object" }),
    }
}

fn names(members: Option<&Map<String, Value>>) -> BTreeSet<String> {
    members.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

fn read_v1(predicate: &Value) -> Result<Provenance, InputError> {
    let external = members(predicate, "/buildDefinition/externalParameters", "externalParameters")?;
    // Each build type puts the source where it likes; these are the places in use. The first dependency from git is the
    // source of those that say it nowhere else.
    let places = [
        "/source",
        "/source/uri",
        "/source/repository",
        "/sourceToBuild/repository",
        "/buildConfigSource/repository",
        "/configSource/uri",
        "/workflow/repository",
        "/repository",
    ];
    let parameters = predicate.pointer("/buildDefinition/externalParameters").unwrap_or(&Value::Null);
    let mut sources: Vec<_> = places.iter().filter_map(|place| text(parameters, place)).collect();
    if sources.is_empty() {
        let dependencies = predicate.pointer("/buildDefinition/resolvedDependencies").and_then(Value::as_array);
        let uris = dependencies.into_iter().flatten().filter_map(|dependency| text(dependency, "/uri"));
        sources.extend(uris.filter(|uri| uri.starts_with("git+")).take(1));
    }
    Ok(Provenance {
        builder_id: required(predicate, "/runDetails/builder/id", "runDetails.builder.id")?,
        build_type: required(predicate, "/buildDefinition/buildType", "buildDefinition.buildType")?,
        parameters: names(external),
        sources: repositories(sources),
    })
}

fn read_v0_2(predicate: &Value) -> Result<Provenance, InputError> {
    let mut parameters = names(members(predicate, "/invocation/parameters", "invocation.parameters")?);
    let config_source = members(predicate, "/invocation/configSource", "invocation.configSource")?;
    if config_source.is_some_and(|source| !source.is_empty()) {
        parameters.insert("configSource".to_owned());
    }
    Ok(Provenance {
        builder_id: required(predicate, "/builder/id", "builder.id")?,
        build_type: required(predicate, "/buildType", "buildType")?,
        parameters,
        sources: repositories(text(predicate, "/invocation/configSource/uri").into_iter().collect()),
    })
}

fn read_v0_1(predicate: &Value) -> Result<Provenance, InputError> {
    let mut parameters = names(members(predicate, "/recipe/arguments", "recipe.arguments")?);
    // Google writes an empty one for none. Of another shape it still steers the build.
    if predicate.pointer("/recipe/entryPoint").is_some_and(|entry| !entry.is_null() && entry != "") {
        parameters.insert("entryPoint".to_owned());
    }
    // `definedInMaterial` is a position; Google writes it as text, and -1 for none. Its one material is then the source.
    let defined_in = predicate.pointer("/recipe/definedInMaterial");
    let position = defined_in.and_then(|at| at.as_u64().or_else(|| at.as_str()?.parse().ok())).unwrap_or(0);
    let materials = predicate.get("materials").and_then(Value::as_array);
    let material = usize::try_from(position).ok().and_then(|position| materials?.get(position));
    Ok(Provenance {
        builder_id: required(predicate, "/builder/id", "builder.id")?,
        build_type: required(predicate, "/recipe/type", "recipe.type")?,
        parameters,
        sources: repositories(material.and_then(|material| text(material, "/uri")).into_iter().collect()),
    })
}

/// Takes `git+` and the ref off, as `git+https://host/repository@refs/heads/main` has them (SPDX download location).
fn repositories(uris: Vec<String>) -> Vec<String> {
    let repository = |uri: String| {
        let uri = uri.strip_prefix("git+").unwrap_or(&uri);
        let path = uri.find("://").and_then(|scheme| Some(scheme + 3 + uri[scheme + 3..].find('/')?));
        match path.and_then(|path| Some(path + uri[path..].find('@')?)) {
            Some(at) => uri[..at].to_owned(),
            None => uri.to_owned(),
        }
    };
    uris.into_iter().map(repository).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_version_says_it_elsewhere() {
        let v1 = json!({"buildDefinition": {"buildType": "t", "externalParameters": {"source": {"uri": "git+https://h/r@x"}}},
            "runDetails": {"builder": {"id": "b"}}});
        let v0_2 = json!({"builder": {"id": "b"}, "buildType": "t",
            "invocation": {"configSource": {"uri": "git+https://h/r@x"}, "parameters": {"p": 1}}});
        let v0_1 = json!({"builder": {"id": "b"}, "recipe": {"type": "t", "arguments": {"p": 1}, "definedInMaterial": "-1"},
            "materials": [{"uri": "https://h/r"}]});
        for (kind, json, parameters) in [
            (PROVENANCE_V1, &v1, vec!["source"]),
            (PROVENANCE_V0_2, &v0_2, vec!["configSource", "p"]),
            (PROVENANCE_V0_1, &v0_1, vec!["p"]),
        ] {
            let read = provenance(kind, json).unwrap().unwrap();
            assert_eq!((read.builder_id.as_str(), read.build_type.as_str()), ("b", "t"), "{kind}");
            assert_eq!(read.parameters.iter().map(String::as_str).collect::<Vec<_>>(), parameters, "{kind}");
            assert_eq!(read.sources, ["https://h/r"], "{kind}");
            assert!(provenance(kind, &json!({})).unwrap().is_err(), "{kind}");
        }
        assert!(provenance("https://slsa.dev/provenance/v2", &v1).is_none());
        let odd = json!({"builder": {"id": "b"}, "buildType": "t", "invocation": {"parameters": ["p"]}});
        assert!(provenance(PROVENANCE_V0_2, &odd).unwrap().is_err());
    }

    #[test]
    fn a_summary_counts_levels_of_the_build_track_only() {
        let summary_of = |levels: Value| {
            let json = json!({"verifier": {"id": "v"}, "resourceUri": "r", "verificationResult": "PASSED",
                "verifiedLevels": levels});
            summary(SUMMARY_V1, &json).unwrap().unwrap()
        };
        assert_eq!(summary_of(json!(["BCID_L1", "SLSA_BUILD_LEVEL_2"])).build_level(), Some(BuildLevel::L2));
        assert_eq!(summary_of(json!(["SLSA_LEVEL_3", "SLSA_SOURCE_LEVEL_3", 3])).build_level(), None);
        let old = json!({"verifier": {"id": "v"}, "resource_uri": "r", "verification_result": "FAILED",
            "policy_level": "SLSA_LEVEL_3"});
        let old = summary(SUMMARY_V0_2, &old).unwrap().unwrap();
        assert_eq!((old.build_level(), old.passed), (None, false));
    }
}
