//! Documents of one builder and of one verifier: who may sign for it, what it claims, what it is limited to.
//!
//! A namespace signs these. What it claims is bounded by the catalog: see [`super::effective_level`].
//!
//! A field that we do not know refuses the document, since it could be a restriction; `extensions` alone may hold anything.
//! A signer whose type, envelope or key we do not know disables itself and nothing else. Statuses are read before keys, so
//! that a revocation holds whether or not we can use the key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::document::{self, DocumentError, Extensions, Glob, MAX_DOCUMENT_BYTES, PeriodJson, RevocationJson, Status};
use super::{BuildLevel, BuilderId, DisabledKey, PublicKeyJson, Realm, ResourceGrant, TimedKey, ValidFor};
use crate::crypto::Algorithm;
use crate::input;
use crate::printable::Printable;

/// The media type of a builder document.
pub const BUILDER_MEDIA_TYPE: &str = "application/vnd.trustroot.builder.v1+json";
/// The media type of a verifier document.
pub const VERIFIER_MEDIA_TYPE: &str = "application/vnd.trustroot.verifier.v1+json";
/// Most signers of one document.
pub const MAX_SIGNERS: usize = 64;
/// Most qualifications of one document.
pub const MAX_QUALIFICATIONS: usize = 64;
/// Most entries of one list of scopes.
pub const MAX_SCOPES: usize = 256;

/// One builder, as its namespace describes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Builder {
    /// Its ID, possibly with a ref.
    pub id: BuilderId,
    /// A name for people.
    pub display_name: Option<String>,
    /// Whether it may still vouch. A revoked builder is a tombstone.
    pub status: Status,
    /// How many signers must have signed; at least 1.
    pub threshold: usize,
    /// Who may sign.
    pub signers: Vec<Signer>,
    /// The levels that it claims.
    pub qualifications: Vec<Qualification>,
    /// The refs with which `ID@ref` stands for this builder; none unless given.
    pub id_refs: Vec<Glob>,
    /// What it is limited to.
    pub scopes: Scopes,
}

/// One verifier of other people's provenance, whose summaries (VSAs) may be believed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verifier {
    /// Its ID.
    pub id: BuilderId,
    /// A name for people.
    pub display_name: Option<String>,
    /// Whether it may still vouch.
    pub status: Status,
    /// How many signers must have signed; at least 1.
    pub threshold: usize,
    /// Who may sign.
    pub signers: Vec<Signer>,
    /// The resources that it may speak about, within the grants of its namespace.
    pub resources: Vec<ResourceGrant>,
}

/// One entry of `signers`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Signer {
    /// What people call it; unique in the document.
    pub name: String,
    /// Whether it may still sign.
    pub status: Status,
    /// How it signs, or why its signatures do not count here.
    pub method: Result<SignerMethod, DisabledSigner>,
    /// What tells its physical key from others: the canonical SubjectPublicKeyInfo. Known of many keys that are disabled.
    pub key_identity: Option<Vec<u8>>,
}

/// How a signer signs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SignerMethod {
    /// With a key of its own.
    Key(KeySigner),
    /// With certificates of a Sigstore realm.
    Fulcio(FulcioSigner),
}

/// A signer with a key of its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeySigner {
    /// What is signed.
    pub envelope: EnvelopeKind,
    /// How signatures are written.
    pub signature_encoding: SignatureEncoding,
    /// The key and when it may be used.
    pub key: TimedKey,
}

/// What a signer signs of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "an unknown one disables the signer")]
pub enum EnvelopeKind {
    /// The pre-authentication encoding of type and payload (DSSE).
    Dsse,
    /// The payload alone, as the regional keys of Google Cloud Build do. The type is then fixed to in-toto's, and a
    /// payload that starts like the encoding above is refused.
    RawPayload,
}

/// How ECDSA signatures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "an unknown one disables the signer")]
pub enum SignatureEncoding {
    /// `Ecdsa-Sig-Value` (RFC 3279); of other algorithms, the usual bytes.
    Der,
    /// `r` and `s` side by side, each as wide as the field (IEEE P1363).
    P1363,
}

/// A signer that signs with certificates of a Sigstore realm. Read and checked; its signatures do not count yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FulcioSigner {
    /// The realm.
    pub realm: Realm,
    /// The exact issuer of the identity.
    pub issuer: String,
    /// The kind of subject alternative name: `uri` or `email`.
    pub san_type: String,
    /// What the name looks like, with placeholders.
    pub san_template: String,
    /// Claims that the certificate must carry.
    pub claims: BTreeMap<String, String>,
    /// How `builder.id` follows from the certificate.
    pub id_binding: IdBinding,
    /// What must be proved, at least.
    pub proof: Option<Proof>,
}

/// How `builder.id` follows from a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdBinding {
    /// It is the subject alternative name.
    EqualsSan,
    /// It is the ID of the document, whatever the name.
    Fixed,
    /// The certificate is that of a delegator, which has its own document.
    ViaDelegator(BuilderId),
}

/// How many proofs of each kind a certificate's signature needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Proof {
    /// Signed certificate timestamps.
    pub sct: u32,
    /// Entries of transparency logs.
    pub tlog: u32,
    /// RFC 3161 timestamps.
    pub tsa: u32,
}

/// Why the signatures of one signer do not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisabledSigner {
    /// The type is not one that we know.
    #[error("the signer type `{}` is not one that we know", Printable(.0))]
    UnknownType(String),
    /// The kind of envelope is not one that we know.
    #[error("the envelope `{}` is not one that we know", Printable(.0))]
    UnknownEnvelope(String),
    /// The encoding of signatures is not one that we know, or not one of this key's.
    #[error("the signature encoding `{}` is not one that we know for this key", Printable(.0))]
    UnknownEncoding(String),
    /// The binding of the ID is not one that we know.
    #[error("the ID binding `{}` is not one that we know", Printable(.0))]
    UnknownIdBinding(String),
    /// The key cannot be used.
    #[error(transparent)]
    Key(DisabledKey),
}

/// A level that a builder claims.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Qualification {
    /// The level as written.
    pub level_text: String,
    /// The version of SLSA that it is about.
    pub spec: String,
    /// When the claim holds.
    pub valid_for: ValidFor,
    /// Where an assessment can be read.
    pub evidence: Option<Evidence>,
}

/// Where the assessment behind a claim can be read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Evidence {
    /// Its address.
    pub uri: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Qualification {
    /// The level of the Build track of SLSA 1.0 to 1.2 that is claimed. `None` for anything else, such as the levels of
    /// SLSA v0.1, which never satisfy a request for a Build level.
    pub fn level(&self) -> Option<BuildLevel> {
        ["1.0", "1.1", "1.2"]
            .contains(&self.spec.as_str())
            .then(|| BuildLevel::from_document(&self.level_text))
            .flatten()
    }
}

/// What a builder is limited to. `None` is no limit; an empty list allows nothing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Scopes {
    /// Packages that it builds.
    pub packages: Option<Vec<Glob>>,
    /// Repositories that it builds from.
    pub source_repositories: Option<Vec<Glob>>,
    /// Build types that it uses, with the external parameters of each.
    pub build_types: Option<BTreeMap<String, BuildTypeScope>>,
}

/// The external parameters that one build type may have. Any other is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildTypeScope {
    /// Those that must be there.
    pub required: BTreeSet<String>,
    /// Those that may be there.
    pub ignorable: BTreeSet<String>,
}

impl Builder {
    /// Reads a builder document.
    ///
    /// # Errors
    /// When it is too large, has a field that we do not know outside `extensions`, or one that holds what it may not.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let json: BuilderJson = input::read(bytes, MAX_DOCUMENT_BYTES)?;
        document::media_type(&json.media_type, BUILDER_MEDIA_TYPE)?;
        let id = BuilderId::parse(&json.builder_id).map_err(|error| DocumentError::invalid("builderId", error))?;
        let status = document::status("status", &json.status, json.retired_at.as_deref(), json.revocation.as_ref())?;
        display_name(json.display_name.as_deref())?;
        let signers = signers(json.signers)?;
        input::at_most("qualifications", json.qualifications.len(), MAX_QUALIFICATIONS)?;
        let qualifications =
            json.qualifications.into_iter().enumerate().map(qualification).collect::<Result<_, _>>()?;
        let id_refs = globs("idVersions.refs", json.id_versions.map(|versions| versions.refs))?.unwrap_or_default();
        if !id_refs.is_empty() && id.split_ref().is_some() {
            return Err(DocumentError::invalid("idVersions", "the ID has a ref already"));
        }
        Ok(Self {
            id,
            display_name: json.display_name,
            status,
            threshold: threshold(json.threshold)?,
            signers,
            qualifications,
            id_refs,
            scopes: json.scopes.map(scopes).transpose()?.unwrap_or_default(),
        })
    }
}

impl Verifier {
    /// Reads a verifier document.
    ///
    /// # Errors
    /// As [`Builder::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let json: VerifierJson = input::read(bytes, MAX_DOCUMENT_BYTES)?;
        document::media_type(&json.media_type, VERIFIER_MEDIA_TYPE)?;
        let id = BuilderId::parse(&json.verifier_id).map_err(|error| DocumentError::invalid("verifierId", error))?;
        let status = document::status("status", &json.status, json.retired_at.as_deref(), json.revocation.as_ref())?;
        display_name(json.display_name.as_deref())?;
        input::at_most("resources", json.scopes.resources.len(), MAX_SCOPES)?;
        let resource = |text: &String| {
            ResourceGrant::parse(text).map_err(|error| DocumentError::invalid("scopes.resources", error))
        };
        Ok(Self {
            id,
            display_name: json.display_name,
            status,
            threshold: threshold(json.threshold)?,
            signers: signers(json.signers)?,
            resources: json.scopes.resources.iter().map(resource).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BuilderJson {
    media_type: String,
    builder_id: String,
    display_name: Option<String>,
    status: String,
    retired_at: Option<String>,
    revocation: Option<RevocationJson>,
    threshold: u64,
    signers: Vec<Value>,
    #[serde(default)]
    qualifications: Vec<QualificationJson>,
    id_versions: Option<IdVersionsJson>,
    scopes: Option<ScopesJson>,
    #[serde(rename = "extensions")]
    _extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerifierJson {
    media_type: String,
    verifier_id: String,
    display_name: Option<String>,
    status: String,
    retired_at: Option<String>,
    revocation: Option<RevocationJson>,
    threshold: u64,
    signers: Vec<Value>,
    scopes: VerifierScopesJson,
    #[serde(rename = "extensions")]
    _extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifierScopesJson {
    resources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdVersionsJson {
    refs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QualificationJson {
    level: String,
    spec: String,
    valid_for: PeriodJson,
    evidence: Option<Evidence>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScopesJson {
    packages: Option<Vec<String>>,
    source_repositories: Option<Vec<String>>,
    build_types: Option<BTreeMap<String, BuildTypeJson>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildTypeJson {
    #[serde(default)]
    parameters: ParametersJson,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ParametersJson {
    #[serde(default)]
    required: BTreeSet<String>,
    #[serde(default)]
    ignorable: BTreeSet<String>,
}

fn threshold(number: u64) -> Result<usize, DocumentError> {
    match usize::try_from(number) {
        Ok(threshold @ 1..=MAX_SIGNERS) => Ok(threshold),
        _ => Err(DocumentError::invalid("threshold", format!("{number} is not from 1 to {MAX_SIGNERS}"))),
    }
}

fn display_name(text: Option<&str>) -> Result<(), DocumentError> {
    match text {
        // Shown escaped; only its size matters.
        Some(text) if text.len() > document::MAX_NAME_BYTES => {
            Err(DocumentError::invalid("displayName", "it is longer than 256 bytes"))
        }
        _ => Ok(()),
    }
}

fn qualification((index, json): (usize, QualificationJson)) -> Result<Qualification, DocumentError> {
    let at = format!("qualifications[{index}]");
    document::name(&format!("{at}.level"), &json.level)?;
    document::name(&format!("{at}.spec"), &json.spec)?;
    let valid_for = json.valid_for.read(&format!("{at}.validFor"))?;
    Ok(Qualification { level_text: json.level, spec: json.spec, valid_for, evidence: json.evidence })
}

fn globs(at: &'static str, list: Option<Vec<String>>) -> Result<Option<Vec<Glob>>, DocumentError> {
    let Some(list) = list else { return Ok(None) };
    input::at_most(at, list.len(), MAX_SCOPES)?;
    list.iter().map(|text| Glob::parse(at, text)).collect::<Result<_, _>>().map(Some)
}

fn scopes(json: ScopesJson) -> Result<Scopes, DocumentError> {
    let build_types = json.build_types.map(|types| {
        input::at_most("build types", types.len(), MAX_SCOPES)?;
        let scope = |(uri, json): (String, BuildTypeJson)| {
            document::name("scopes.buildTypes", &uri)?;
            let ParametersJson { required, ignorable } = json.parameters;
            input::at_most("parameters", required.len() + ignorable.len(), MAX_SCOPES)?;
            Ok::<_, DocumentError>((uri, BuildTypeScope { required, ignorable }))
        };
        types.into_iter().map(scope).collect::<Result<_, _>>()
    });
    Ok(Scopes {
        packages: globs("scopes.packages", json.packages)?,
        source_repositories: globs("scopes.sourceRepositories", json.source_repositories)?,
        build_types: build_types.transpose()?,
    })
}

/// What is read of every signer first, whatever its type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignerHeadJson {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    retired_at: Option<String>,
    revocation: Option<RevocationJson>,
}

const HEAD_FIELDS: [&str; 5] = ["name", "type", "status", "retiredAt", "revocation"];

fn signers(list: Vec<Value>) -> Result<Vec<Signer>, DocumentError> {
    input::at_most("signers", list.len(), MAX_SIGNERS)?;
    let mut names = BTreeSet::new();
    let mut signers = Vec::with_capacity(list.len());
    for (index, json) in list.into_iter().enumerate() {
        let signer = signer(&format!("signers[{index}]"), json)?;
        if !names.insert(signer.name.clone()) {
            return Err(DocumentError::invalid("signers", format!("two are called `{}`", signer.name)));
        }
        signers.push(signer);
    }
    Ok(signers)
}

fn signer(at: &str, mut json: Value) -> Result<Signer, DocumentError> {
    let shape = |error: serde_json::Error| DocumentError::invalid(at, error);
    let head = SignerHeadJson::deserialize(&json).map_err(shape)?;
    document::name(&format!("{at}.name"), &head.name)?;
    let status = document::status(at, &head.status, head.retired_at.as_deref(), head.revocation.as_ref())?;
    let key_identity = PublicKeyJson::identity(json.get("publicKey"));
    if let Some(fields) = json.as_object_mut() {
        fields.retain(|field, _| !HEAD_FIELDS.contains(&field.as_str()));
    }
    let method = match head.kind.as_str() {
        "key" => key_signer(at, &KeyJson::deserialize(&json).map_err(shape)?)?.map(SignerMethod::Key),
        "fulcio" => fulcio_signer(at, FulcioJson::deserialize(&json).map_err(shape)?)?.map(SignerMethod::Fulcio),
        _ => Err(DisabledSigner::UnknownType(head.kind)),
    };
    Ok(Signer { name: head.name, status, method, key_identity })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyJson {
    #[serde(default = "dsse")]
    envelope: String,
    #[serde(default = "der")]
    signature_encoding: String,
    public_key: Value,
}

fn dsse() -> String {
    "dsse".to_owned()
}

fn der() -> String {
    "der".to_owned()
}

fn key_signer(at: &str, json: &KeyJson) -> Result<Result<KeySigner, DisabledSigner>, DocumentError> {
    // Sigstore's shape, but in our document: a field that we do not know could limit the key.
    let known = ["rawBytes", "keyDetails", "validFor"];
    let period = ["start", "end"];
    let unknown = |json: &Value, known: &[&str]| {
        json.as_object().and_then(|fields| fields.keys().find(|field| !known.contains(&field.as_str())).cloned())
    };
    let in_period = json.public_key.get("validFor").and_then(|validity| unknown(validity, &period));
    if let Some(field) = unknown(&json.public_key, &known).or(in_period) {
        return Err(DocumentError::invalid(format!("{at}.publicKey"), format!("the field `{field}` is unknown")));
    }
    let envelope = match json.envelope.as_str() {
        "dsse" => EnvelopeKind::Dsse,
        "raw-payload" => EnvelopeKind::RawPayload,
        unknown => return Ok(Err(DisabledSigner::UnknownEnvelope(unknown.to_owned()))),
    };
    let key = match PublicKeyJson::read_from(Some(&json.public_key)) {
        Ok(key) => key,
        Err(problem) => return Ok(Err(DisabledSigner::Key(problem))),
    };
    let ecdsa = matches!(
        key.key.algorithm(),
        Algorithm::EcdsaP256Sha256
            | Algorithm::EcdsaP384Sha384
            | Algorithm::EcdsaP384Sha256
            | Algorithm::EcdsaP521Sha512
    );
    let signature_encoding = match json.signature_encoding.as_str() {
        "der" => SignatureEncoding::Der,
        "p1363" if ecdsa => SignatureEncoding::P1363,
        unknown => return Ok(Err(DisabledSigner::UnknownEncoding(unknown.to_owned()))),
    };
    Ok(Ok(KeySigner { envelope, signature_encoding, key }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FulcioJson {
    realm: String,
    issuer: String,
    san: SanJson,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    id_binding: String,
    delegator: Option<String>,
    proof: Option<Proof>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SanJson {
    #[serde(rename = "type")]
    kind: String,
    template: String,
}

fn fulcio_signer(at: &str, json: FulcioJson) -> Result<Result<FulcioSigner, DisabledSigner>, DocumentError> {
    let invalid = |field: &str, problem: &str| Err(DocumentError::invalid(format!("{at}.{field}"), problem));
    let realm = Realm::parse(&json.realm).map_err(|error| DocumentError::invalid(format!("{at}.realm"), error))?;
    if !json.issuer.starts_with("https://") || !json.issuer.bytes().all(|byte| byte.is_ascii_graphic()) {
        return invalid("issuer", "it is not an https address");
    }
    if !["uri", "email"].contains(&json.san.kind.as_str()) {
        return invalid("san.type", "it is neither `uri` nor `email`");
    }
    let literal = ["{semver}", "{branch}", "{any-segment}"]
        .iter()
        .fold(json.san.template.clone(), |text, placeholder| text.replace(placeholder, ""));
    if json.san.template.is_empty() || !literal.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte)) {
        return invalid("san.template", "it is visible ASCII with the placeholders {semver}, {branch}, {any-segment}");
    }
    input::at_most("claims", json.claims.len(), MAX_SCOPES)?;
    let id_binding = match (json.id_binding.as_str(), &json.delegator) {
        ("equals-san", None) => IdBinding::EqualsSan,
        ("fixed", None) => IdBinding::Fixed,
        ("via-delegator", Some(delegator)) => IdBinding::ViaDelegator(
            BuilderId::parse(delegator).map_err(|error| DocumentError::invalid(format!("{at}.delegator"), error))?,
        ),
        ("via-delegator", None) => return invalid("delegator", "it is missing"),
        ("equals-san" | "fixed", Some(_)) => return invalid("delegator", "it is for `via-delegator` alone"),
        (unknown, _) => return Ok(Err(DisabledSigner::UnknownIdBinding(unknown.to_owned()))),
    };
    Ok(Ok(FulcioSigner {
        realm,
        issuer: json.issuer,
        san_type: json.san.kind,
        san_template: json.san.template,
        claims: json.claims,
        id_binding,
        proof: json.proof,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builders::{Revocation, testing};

    fn parse(json: &Value) -> Result<Builder, DocumentError> {
        Builder::parse(json.to_string().as_bytes())
    }

    fn refused(json: &Value) -> String {
        parse(json).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let mut json = testing::builder();
        json["signers"].as_array_mut().unwrap().push(Value::Null);
        json["signers"][1] = json!({"name": "gha", "type": "fulcio", "status": "active", "realm": "public-good",
            "issuer": "https://token.actions.githubusercontent.com",
            "san": {"type": "uri", "template": "https://github.com/oppy/b/.github/workflows/b.yml@refs/tags/{semver}"},
            "claims": {"runnerEnvironment": "github-hosted"}, "idBinding": "fixed",
            "proof": {"sct": 1, "tlog": 1, "tsa": 0}});
        json["idVersions"] = json!({"refs": ["refs/tags/v*"]});
        json["scopes"] = json!({"packages": ["oppy://*"], "sourceRepositories": ["https://git.oppy.example/*"],
            "buildTypes": {"https://oppy.example/bt/v1": {"parameters": {"required": ["source"], "ignorable": ["log"]}}}});
        json["extensions"] = json!({"anything": [1, 2]});
        let builder = parse(&json).unwrap();
        assert_eq!(builder.qualifications[0].level(), Some(BuildLevel::L3));
        assert!(matches!(builder.signers[0].method, Ok(SignerMethod::Key(_))));
        assert!(matches!(builder.signers[1].method, Ok(SignerMethod::Fulcio(_))));
        assert!(builder.id_refs[0].matches("refs/tags/v1.9.0"));
        assert!(!builder.id_refs[0].matches("refs/tags/v1/evil"));
        assert!(!builder.id_refs[0].matches("x/refs/tags/v1"));
    }

    #[test]
    fn an_unknown_field_refuses_the_document() {
        for pointer in [
            "",
            "/signers/0",
            "/signers/0/publicKey",
            "/signers/0/publicKey/validFor",
            "/qualifications/0",
            "/qualifications/0/validFor",
            "/scopes",
            "/scopes/buildTypes/x",
            "/scopes/buildTypes/x/parameters",
        ] {
            let mut json = testing::builder();
            json["scopes"] = json!({"buildTypes": {"x": {"parameters": {}}}});
            parse(&json).unwrap();
            json.pointer_mut(pointer).unwrap()["onlyOn"] = "tuesdays".into();
            assert!(refused(&json).contains("onlyOn"), "{pointer}");
        }
    }

    #[test]
    fn an_unknown_kind_of_signer_disables_itself_only() {
        let mut json = testing::builder();
        let good = json["signers"][0].clone();
        let variant = |name: &str, field: &str, value: &str| {
            let mut signer = good.clone();
            signer["name"] = name.into();
            signer[field] = value.into();
            signer
        };
        json["signers"] = json!([
            {"name": "hsm", "type": "hsm", "status": "active", "slot": 1},
            variant("a", "envelope", "cose"),
            variant("b", "signatureEncoding", "xml"),
            // Ed25519 signatures have one encoding.
            variant("c", "signatureEncoding", "p1363"),
            variant("d", "publicKey", "unreadable"),
            good,
        ]);
        json["signers"][4]["publicKey"] = json!({"rawBytes": "AAAA", "keyDetails": "PKIX_QUANTUM"});
        let builder = parse(&json).unwrap();
        let disabled: Vec<_> = builder.signers.iter().map(|signer| signer.method.as_ref().err().cloned()).collect();
        assert_eq!(disabled[0], Some(DisabledSigner::UnknownType("hsm".to_owned())));
        assert_eq!(disabled[1], Some(DisabledSigner::UnknownEnvelope("cose".to_owned())));
        assert_eq!(disabled[2], Some(DisabledSigner::UnknownEncoding("xml".to_owned())));
        assert_eq!(disabled[3], Some(DisabledSigner::UnknownEncoding("p1363".to_owned())));
        assert!(matches!(disabled[4], Some(DisabledSigner::Key(DisabledKey::UnknownDetails(_)))));
        assert_eq!(disabled[5], None);
    }

    #[test]
    fn a_status_is_read_whether_or_not_the_key_is_known() {
        let mut json = testing::builder();
        let spki = json["signers"][0]["publicKey"]["rawBytes"].clone();
        json["signers"].as_array_mut().unwrap().push(Value::Null);
        json["signers"][1] = json!({"name": "old", "type": "key", "status": "revoked",
            "revocation": {"reason": "keyCompromise", "distrustFrom": "2025-11-02T00:00:00Z"},
            "publicKey": {"rawBytes": spki, "keyDetails": "PKIX_QUANTUM"}});
        let builder = parse(&json).unwrap();
        let old = &builder.signers[1];
        assert!(matches!(&old.status, Status::Revoked(Revocation { distrust_from: Some(_), .. })));
        assert!(old.method.is_err());
        assert_eq!(old.key_identity, builder.signers[0].key_identity);
    }

    #[test]
    fn a_status_that_cannot_be_judged_refuses_the_document() {
        for (status, problem) in [
            (json!({"status": "retired"}), "retiredAt"),
            (json!({"status": "revoked"}), "revocation"),
            (json!({"status": "paused"}), "paused"),
            (json!({"status": "active", "retiredAt": "2025-01-01T00:00:00Z"}), "retiredAt"),
            (json!({"status": "retired", "retiredAt": "soon"}), "soon"),
            (json!({"status": "revoked", "revocation": {"reason": "x", "untilWhen": "y"}}), "untilWhen"),
        ] {
            for pointer in ["", "/signers/0"] {
                let mut json = testing::builder();
                for (field, value) in status.as_object().unwrap() {
                    json.pointer_mut(pointer).unwrap()[field] = value.clone();
                }
                assert!(refused(&json).contains(problem), "{status}");
            }
        }
    }

    #[test]
    fn what_is_ambiguous_or_boundless_is_refused() {
        let mut twice = testing::builder();
        twice["signers"].as_array_mut().unwrap().push(Value::Null);
        twice["signers"][1] = twice["signers"][0].clone();
        assert!(refused(&twice).contains("called"));
        for threshold in [0, 65] {
            let mut json = testing::builder();
            json["threshold"] = threshold.into();
            assert!(refused(&json).contains("threshold"));
        }
        let mut many = testing::builder();
        many["signers"] = vec![json!({}); MAX_SIGNERS + 1].into();
        assert!(refused(&many).contains("signers"));
        let mut id = testing::builder();
        id["builderId"] = "https://oppy.example/%62".into();
        assert!(refused(&id).contains("percent"));
        let mut media = testing::builder();
        media["mediaType"] = VERIFIER_MEDIA_TYPE.into();
        assert!(refused(&media).contains("mediaType"));
        let mut refs = testing::builder();
        refs["idVersions"] = json!({"refs": ["[a-z]"]});
        assert!(refused(&refs).contains("pattern"));
    }

    #[test]
    fn a_legacy_level_never_counts() {
        for (level, spec) in [
            ("SLSA_LEVEL_3", "0.1"),
            ("SLSA_BUILD_LEVEL_3", "0.1"),
            ("SLSA_LEVEL_3", "1.2"),
            ("SLSA_BUILD_LEVEL_4", "1.2"),
        ] {
            let mut json = testing::builder();
            json["qualifications"][0]["level"] = level.into();
            json["qualifications"][0]["spec"] = spec.into();
            assert_eq!(parse(&json).unwrap().qualifications[0].level(), None, "{level} {spec}");
        }
    }
}
