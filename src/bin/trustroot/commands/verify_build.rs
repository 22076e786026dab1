//! `trustroot verify --builder` and `--verifier`

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::builders::{Builder, NamespaceEntry, Realm, Verifier};
use trustroot::client::Agreed;
use trustroot::verify::{
    AcceptedBuild, ArtifactDigests, BuildSigner, BuilderDenial, BuilderRequest, BuilderVerdict, MAX_TRUSTED_ROOT_BYTES,
    TransparencyLogs, TrustedTime, VerifierRequest, verify_with_builder, verify_with_verifier,
};

use super::lookup::{Delivered, deliver, failed};
use super::verify::{artifact_name, unreadable};
use crate::args::VerifyOptions;
use crate::asked::Asked;
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path, show_time};

pub(super) fn run(
    session: &Session,
    asked: &mut Asked,
    options: &VerifyOptions,
    artifact: &ArtifactDigests,
    attestation_file: &[u8],
) -> Result<(), Report> {
    let judged = session.block_on(async {
        let min_level = options.min_level.expect("the command line asks for it");
        if let Some(id) = &options.builder {
            let delivered = deliver::<Builder>(session, asked, id).await;
            let delivered = delivered.map_err(|error| failed(session, asked, id, &error))?;
            let logs = logs(session, asked, &delivered.found.entry).await?;
            let mut request =
                BuilderRequest::new(artifact, attestation_file, &delivered.found, min_level, session.start.time());
            request.overlay = options.max_level;
            request.package = options.package.as_deref();
            request.time_authorities = &logs.read;
            judged(session, options, &Context::of(session, asked, &delivered, &logs), verify_with_builder(&request))
        } else {
            let id = options.verifier.as_ref().expect("the command line asks for one of them");
            let delivered = deliver::<Verifier>(session, asked, id).await;
            let delivered = delivered.map_err(|error| failed(session, asked, id, &error))?;
            let logs = logs(session, asked, &delivered.found.entry).await?;
            let (found, now) = (&delivered.found, session.start.time());
            let resource = options.resource.as_deref().unwrap_or_default();
            let mut request = VerifierRequest::new(artifact, attestation_file, found, resource, min_level, now);
            request.overlay = options.max_level;
            request.time_authorities = &logs.read;
            judged(session, options, &Context::of(session, asked, &delivered, &logs), verify_with_verifier(&request))
        }
    });
    asked.note_traffic(session);
    output::show(session.format, &judged?)
}

/// Where the facts come from, for the verdict's reproduction.
struct Context {
    id: String,
    namespace: String,
    /// The document and who names it, in words, and with the state of the repositories.
    document: String,
    catalog: String,
    document_json: Value,
    catalog_json: Value,
    registry: Value,
}

impl Context {
    fn of<T>(session: &Session, asked: &Asked, delivered: &Delivered<T>, logs: &Logs) -> Self {
        let Delivered { found, document, catalog } = delivered;
        let heeded = asked.heed(session, &[&[catalog, document][..], &logs.from.iter().collect::<Vec<_>>()].concat());
        let source = &found.catalog_source;
        let catalog_by = match asked.only() {
            Some(_) => format!("{} {}", source.role, source.version),
            None => asked.named_by(catalog),
        };
        Self {
            id: found.asked.to_string(),
            namespace: found.namespace.as_str().to_owned(),
            document: format!("{} by {}", document.found.path, asked.named_by(document)),
            catalog: format!("{} by {catalog_by}", source.path),
            document_json: asked.source_json(document),
            catalog_json: asked.source_json(catalog),
            registry: asked.registry_json(&heeded),
        }
    }
}

/// The logs of the realms that the catalog permits.
struct Logs {
    read: Vec<(Realm, TransparencyLogs)>,
    /// Who agreed about each.
    from: Vec<Agreed>,
}

/// Fetches the logs. Without them a signing time is unknown, and judged so.
async fn logs(session: &Session, asked: &mut Asked, entry: &NamespaceEntry) -> Result<Logs, Report> {
    let roots = match asked.repositories.time_authorities(entry, MAX_TRUSTED_ROOT_BYTES as u64).await {
        Ok(roots) => roots,
        Err(error) if !error.is_refusal() => {
            tracing::debug!(%error, "no trusted roots");
            Vec::new()
        }
        Err(error) => return Err(asked.failed(session, &error)),
    };
    let mut logs = Logs { read: Vec::new(), from: Vec::new() };
    for (realm, agreed, bytes) in roots {
        let read = TransparencyLogs::from_trusted_root(&bytes).map_err(|error| unreadable(asked, &agreed, &error))?;
        logs.read.push((realm, read));
        logs.from.push(agreed);
    }
    Ok(logs)
}

fn judged(
    session: &Session,
    options: &VerifyOptions,
    context: &Context,
    verdict: Result<BuilderVerdict, BuilderDenial>,
) -> Result<Answer, Report> {
    match verdict {
        Ok(verdict) => Ok(Answer::of(session, options, context, &verdict)),
        Err(denial) => Err(denied(options, context, &denial)),
    }
}

fn denied(options: &VerifyOptions, context: &Context, denial: &BuilderDenial) -> Report {
    let mut report = Report::new(Outcome::No, denial.code(), format!("not verified: {denial}"))
        .fact("artifact", artifact_name(options).to_string())
        .fact("attestation", show_path(&options.attestation))
        .fact("document", context.document.clone());
    if let BuilderDenial::NoneAccepted { refused } = denial {
        for refused in refused {
            report = report.fact(format!("number {}", refused.position + 1), refused.denial.to_string());
        }
    }
    match denial {
        BuilderDenial::SubjectMismatch { .. } => {
            report.hint("the attestation may belong to another file or version; compare the names above")
        }
        BuilderDenial::BadSignature { .. } | BuilderDenial::AlteredAttestation { .. } => {
            report.hint("the attestation was altered after it was signed; get it again")
        }
        BuilderDenial::NotSignedByBuilder { .. } => report.hint(
            "refresh, in case the builder has a new key; if that does not help, it is not this builder's attestation",
        ),
        BuilderDenial::Retired { .. } => {
            report.hint("get the attestation with a log entry that proves when it was signed")
        }
        BuilderDenial::Revoked { .. } => report.hint("do not use the file"),
        BuilderDenial::LevelTooLow { .. } => report.hint("see where the level comes from with `trustroot lookup`"),
        _ => report,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    verified: bool,
    artifact: ShownPath,
    id: String,
    namespace: String,
    level: &'static str,
    attestations: Vec<Value>,
    refused: Vec<Value>,
    skipped: Vec<Value>,
    document: Value,
    catalog: Value,
    registry: Value,
    time: String,
    /// Whether the user chose the time: the verdict is about that moment, not about now.
    time_is_chosen: bool,
    #[serde(skip)]
    text: String,
}

impl Show for Answer {
    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Answer {
    fn of(session: &Session, options: &VerifyOptions, context: &Context, verdict: &BuilderVerdict) -> Self {
        let best = verdict.accepted.iter().max_by_key(|accepted| accepted.level);
        let best = best.expect("a verdict has at least one attestation");
        Self {
            verified: true,
            artifact: artifact_name(options),
            id: context.id.clone(),
            namespace: context.namespace.clone(),
            level: best.level.as_short(),
            attestations: verdict.accepted.iter().map(accepted_json).collect(),
            refused: verdict
                .refused
                .iter()
                .map(|refused| {
                    json!({
                        "position": refused.position,
                        "code": refused.denial.code(),
                        "message": refused.denial.to_string(),
                    })
                })
                .collect(),
            skipped: verdict
                .skipped
                .iter()
                .map(|skipped| json!({"position": skipped.position, "reason": skipped.reason.to_string()}))
                .collect(),
            document: context.document_json.clone(),
            catalog: context.catalog_json.clone(),
            registry: context.registry.clone(),
            time: show_time(session.start.time()),
            time_is_chosen: session.time_is_chosen,
            text: text(session, options, context, verdict),
        }
    }
}

fn accepted_json(accepted: &AcceptedBuild) -> Value {
    json!({
        "position": accepted.position,
        "predicateType": accepted.predicate_type,
        "buildType": accepted.build_type,
        "sources": accepted.sources,
        "level": accepted.level.as_short(),
        "arithmetic": accepted.arithmetic.to_string(),
        "judgedAt": show_time(accepted.judged_at),
        "threshold": accepted.threshold,
        "subjects": accepted.subjects.iter().map(|subject| json!({
            "name": subject.name,
            "digest": subject.digest,
        })).collect::<Vec<_>>(),
        "signedBy": accepted.signed_by.iter().map(|signer| json!({
            "name": signer.name,
            "kind": signer.kind,
            "spkiSha256": hex::encode(signer.spki_sha256),
            "status": signer.status.as_str(),
            "signingTime": match &signer.time {
                TrustedTime::Known { time, log } => json!({"known": true, "time": show_time(*time), "log": log}),
                TrustedTime::Unknown { reason } => json!({"known": false, "reason": reason.to_string()}),
                _ => Value::Null,
            },
        })).collect::<Vec<_>>(),
        "notJudged": accepted.not_judged,
    })
}

fn text(session: &Session, options: &VerifyOptions, context: &Context, verdict: &BuilderVerdict) -> String {
    let mut text = format!("verified: {}\n", artifact_name(options));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:9}  {value}");
    };
    let kind = if options.builder.is_some() { "builder" } else { "verifier" };
    line(kind, &context.id);
    for accepted in &verdict.accepted {
        line("level", &accepted.arithmetic.to_string());
        for subject in &accepted.subjects {
            line("subject", &Printable(&subject.name).to_string());
        }
        line("says", &Printable(&accepted.predicate_type).to_string());
        for source in &accepted.sources {
            line("source", &Printable(source).to_string());
        }
        for signer in &accepted.signed_by {
            let fingerprint = hex::encode(signer.spki_sha256);
            line("signed by", &format!("{} ({}, sha256 {fingerprint})", Printable(&signer.name), signer.kind));
            line("signed on", &signing_time(signer, session.time_is_chosen));
        }
        for scope in &accepted.not_judged {
            line("note", scope);
        }
    }
    line("document", &context.document);
    line("catalog", &context.catalog);
    for refused in &verdict.refused {
        line("refused", &format!("another attestation in the file: {}", refused.denial));
    }
    for skipped in &verdict.skipped {
        line("skipped", &format!("another attestation in the file: {}", skipped.reason));
    }
    if session.time_is_chosen {
        line("judged at", &format!("{} (chosen with --at)", show_time(session.start.time())));
    }
    text
}

fn signing_time(signer: &BuildSigner, time_is_chosen: bool) -> String {
    let judged = if time_is_chosen { "then" } else { "now" };
    match &signer.time {
        TrustedTime::Known { time, log } => format!("{}, by the log {}", show_time(*time), Printable(log)),
        TrustedTime::Unknown { reason } => format!("unknown: {reason}; the key is valid {judged}"),
        _ => "unknown".to_owned(),
    }
}
