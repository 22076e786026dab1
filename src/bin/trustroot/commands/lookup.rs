//! `trustroot lookup`

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::builders::{
    Builder, BuilderId, Found, MapDocument, NamespaceEntry, RegistryError, Signer, SignerMethod, Verifier, cap_at,
    effective_level,
};
use trustroot::client::{Agreed, AgreedDocument, ConsensusError};
use trustroot::crypto::sha256;

use crate::args::LookupOptions;
use crate::asked::Asked;
use crate::output::{self, Show};
use crate::report::Report;
use crate::ui::{Session, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LookedUp {
    kind: &'static str,
    asked: String,
    /// The ID that the document is about: the one asked for, or the one before its ref.
    id: String,
    display_name: Option<String>,
    status: String,
    namespace: String,
    /// The level that it has at this time; of a verifier, the cap.
    level: Option<&'static str>,
    arithmetic: String,
    threshold: usize,
    signers: Vec<Value>,
    qualifications: Vec<Value>,
    scopes: Value,
    denials: Vec<String>,
    document: Value,
    catalog: Value,
    registry: Value,
    judged_at: String,
    #[serde(skip)]
    text: String,
}

impl Show for LookedUp {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// What was found, and who agreed about it.
pub(super) struct Delivered<T> {
    pub(super) found: Found<T>,
    pub(super) document: Agreed,
    pub(super) catalog: Agreed,
}

/// Looks up the document of an ID.
pub(super) async fn deliver<T: MapDocument>(
    session: &Session,
    asked: &mut Asked,
    id: &BuilderId,
) -> Result<Delivered<T>, ConsensusError> {
    let progress = session.progress(format!("looking for {id}"), None);
    let looked_up = async {
        let registry = asked.repositories.registry().await?;
        let AgreedDocument { found, agreed, .. } = asked.repositories.look_up::<T>(&registry, id).await?;
        Ok(Delivered { found, document: agreed, catalog: registry.agreed().clone() })
    };
    let looked_up = looked_up.await;
    drop(progress);
    tracing::debug!(%id, "looked up");
    looked_up
}

/// Turns a failed look-up into a report.
pub(super) fn failed(session: &Session, asked: &Asked, id: &BuilderId, error: &ConsensusError) -> Report {
    let report = asked.failed(session, error);
    match error {
        ConsensusError::NoCatalog { .. } => {
            report.fact("id", id.to_string()).hint("this repository says nothing about builders")
        }
        ConsensusError::Registry { source, .. } => {
            let report = report.fact("id", id.to_string());
            match **source {
                RegistryError::UnknownBuilder { .. } | RegistryError::NoDocument { .. } => {
                    report.hint("IDs are compared letter by letter; a builder that nobody vouches for is not trusted")
                }
                RegistryError::Denied { .. } | RegistryError::Tombstoned { .. } => {
                    report.hint("do not use what it built")
                }
                _ => report.hint("tell the repository's maintainers"),
            }
        }
        ConsensusError::Disagree { .. } | ConsensusError::OtherCatalog { .. } => report.fact("id", id.to_string()),
        _ => report,
    }
}

pub(crate) fn run(session: &Session, options: &LookupOptions) -> Result<(), Report> {
    let mut asked = Asked::of(session, options.trust.as_ref(), options.map.as_deref())?;
    let looked_up = session.block_on(async {
        match deliver::<Builder>(session, &mut asked, &options.id).await {
            Ok(builder) => Ok(of_builder(session, &asked, &builder)),
            // The same spelling may be a verifier's: the two have grants of their own.
            Err(error) if nobody_vouches(&error) => match deliver::<Verifier>(session, &mut asked, &options.id).await {
                Ok(verifier) => Ok(of_verifier(session, &asked, &verifier)),
                Err(other) if nobody_vouches(&other) => Err(failed(session, &asked, &options.id, &error)),
                Err(other) => Err(failed(session, &asked, &options.id, &other)),
            },
            Err(error) => Err(failed(session, &asked, &options.id, &error)),
        }
    });
    asked.note_traffic(session);
    output::show(session.format, &looked_up?)
}

fn nobody_vouches(error: &ConsensusError) -> bool {
    let refused = match error {
        ConsensusError::Registry { source, .. } => &**source,
        _ => return false,
    };
    matches!(refused, RegistryError::UnknownBuilder { .. })
}

fn of_builder(session: &Session, asked: &Asked, delivered: &Delivered<Builder>) -> LookedUp {
    let Found { asked: id, document, namespace, entry, .. } = &delivered.found;
    let heeded = asked.heed(session, &[&delivered.catalog, &delivered.document]);
    let now = session.start.time();
    let level = effective_level(entry, document, None, now);
    let mut text = head("builder", id, &document.id, document.display_name.as_deref());
    line(&mut text, "level", &format!("{level}, on {}", show_time(now)));
    line(&mut text, "status", &document.status.to_string());
    for claim in &document.qualifications {
        line(
            &mut text,
            "claims",
            &format!("{} (SLSA {}), {}", Printable(&claim.level_text), Printable(&claim.spec), claim.valid_for),
        );
    }
    caps(&mut text, entry);
    signers(&mut text, &document.signers, document.threshold);
    let scopes = &document.scopes;
    for (what, globs) in [("packages", &scopes.packages), ("sources", &scopes.source_repositories)] {
        if let Some(globs) = globs {
            let globs: Vec<String> = globs.iter().map(|glob| Printable(glob.as_str()).to_string()).collect();
            line(&mut text, what, &globs.join(" "));
        }
    }
    for build_type in scopes.build_types.iter().flatten().map(|(build_type, _)| build_type) {
        line(&mut text, "builds", &Printable(build_type).to_string());
    }
    foot(&mut text, session, asked, delivered);
    let strings = |globs: &Option<Vec<_>>| {
        globs.as_ref().map(|globs: &Vec<trustroot::builders::Glob>| {
            globs.iter().map(|glob| glob.as_str().to_owned()).collect::<Vec<_>>()
        })
    };
    LookedUp {
        kind: "builder",
        asked: id.as_str().to_owned(),
        id: document.id.as_str().to_owned(),
        display_name: document.display_name.clone(),
        status: document.status.as_str().to_owned(),
        namespace: namespace.as_str().to_owned(),
        level: level.level().map(trustroot::builders::BuildLevel::as_short),
        arithmetic: level.to_string(),
        threshold: document.threshold,
        signers: document.signers.iter().map(signer_json).collect(),
        qualifications: document
            .qualifications
            .iter()
            .map(
                |claim| json!({"level": claim.level_text, "spec": claim.spec, "validFor": claim.valid_for.to_string()}),
            )
            .collect(),
        scopes: json!({
            "packages": strings(&scopes.packages),
            "sourceRepositories": strings(&scopes.source_repositories),
            "buildTypes": scopes.build_types.as_ref().map(|types| types.keys().cloned().collect::<Vec<_>>()),
        }),
        denials: delivered.found.denials.iter().map(|denial| denial.reason.clone()).collect(),
        document: asked.source_json(&delivered.document),
        catalog: asked.source_json(&delivered.catalog),
        registry: asked.registry_json(&heeded),
        judged_at: show_time(now),
        text,
    }
}

fn of_verifier(session: &Session, asked: &Asked, delivered: &Delivered<Verifier>) -> LookedUp {
    let Found { asked: id, document, namespace, entry, .. } = &delivered.found;
    let heeded = asked.heed(session, &[&delivered.catalog, &delivered.document]);
    let now = session.start.time();
    let cap = cap_at(entry, now);
    let shown = cap.map_or("none", trustroot::builders::BuildLevel::as_short);
    let mut text = head("verifier", id, &document.id, document.display_name.as_deref());
    line(&mut text, "level", &format!("what its summary says, {shown} at most on {}", show_time(now)));
    line(&mut text, "status", &document.status.to_string());
    caps(&mut text, entry);
    signers(&mut text, &document.signers, document.threshold);
    let resources: Vec<&str> = document.resources.iter().map(trustroot::builders::ResourceGrant::as_str).collect();
    line(&mut text, "resources", &Printable(&resources.join(" ")).to_string());
    foot(&mut text, session, asked, delivered);
    LookedUp {
        kind: "verifier",
        asked: id.as_str().to_owned(),
        id: document.id.as_str().to_owned(),
        display_name: document.display_name.clone(),
        status: document.status.as_str().to_owned(),
        namespace: namespace.as_str().to_owned(),
        level: cap.map(trustroot::builders::BuildLevel::as_short),
        arithmetic: format!("min(cap {shown}, the summary's level)"),
        threshold: document.threshold,
        signers: document.signers.iter().map(signer_json).collect(),
        qualifications: Vec::new(),
        scopes: json!({"resources": resources}),
        denials: delivered.found.denials.iter().map(|denial| denial.reason.clone()).collect(),
        document: asked.source_json(&delivered.document),
        catalog: asked.source_json(&delivered.catalog),
        registry: asked.registry_json(&heeded),
        judged_at: show_time(now),
        text,
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:9}  {value}");
}

fn head(kind: &str, asked: &BuilderId, id: &BuilderId, name: Option<&str>) -> String {
    let mut text = format!("{kind} {asked}\n");
    if let Some(name) = name {
        line(&mut text, "called", &Printable(name).to_string());
    }
    if asked != id {
        line(&mut text, "speaks", &format!("{id}, which stands for this ref"));
    }
    text
}

fn caps(text: &mut String, entry: &NamespaceEntry) {
    for cap in &entry.caps {
        line(text, "cap", &format!("{}, {}", cap.level, cap.valid_for));
    }
}

fn signers(text: &mut String, signers: &[Signer], threshold: usize) {
    line(text, "signers", &format!("{threshold} of these must sign"));
    for signer in signers {
        let how = match &signer.method {
            Ok(SignerMethod::Key(key)) => format!(
                "{}, sha256 {}, {}",
                key.key.key.describe(),
                hex::encode(sha256(key.key.key.canonical_spki())),
                key.key.valid_for
            ),
            Ok(_) => "signs with certificates, which this version cannot verify".to_owned(),
            Err(problem) => format!("cannot be used: {problem}"),
        };
        line(text, "", &format!("{}  {}  {how}", Printable(&signer.name), signer.status));
    }
}

fn foot<T>(text: &mut String, session: &Session, asked: &Asked, delivered: &Delivered<T>) {
    let Found { namespace, source, catalog_source, denials, .. } = &delivered.found;
    for denial in denials {
        line(text, "DENIED", &Printable(&denial.reason).to_string());
    }
    let by = match asked.only() {
        Some(_) => format!("{} {}", source.role, source.version),
        None => asked.named_by(&delivered.document),
    };
    line(text, "document", &format!("{} by {by} (namespace {namespace})", source.path));
    line(text, "catalog", &format!("{} by {}", catalog_source.path, asked.named_by(&delivered.catalog)));
    if let Some(time) = session.chosen_time() {
        line(text, "judged at", &format!("{} (chosen with --at)", show_time(time)));
    }
}

fn signer_json(signer: &Signer) -> Value {
    let key = match &signer.method {
        Ok(SignerMethod::Key(key)) => json!({
            "kind": key.key.key.describe(),
            "spkiSha256": hex::encode(sha256(key.key.key.canonical_spki())),
            "validFrom": show_time(key.key.valid_for.start),
            "validUntil": key.key.valid_for.end.map(show_time),
        }),
        Ok(_) => json!({"unusable": "signs with certificates, which this version cannot verify"}),
        Err(problem) => json!({"unusable": problem.to_string()}),
    };
    json!({"name": signer.name, "status": signer.status.as_str(), "key": key})
}
