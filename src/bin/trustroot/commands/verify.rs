//! `trustroot verify`

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::client::Agreed;
use trustroot::metadata::TargetPath;
use trustroot::verify::{
    Accepted, ArtifactDigests, Denial, KeySet, MAX_FILE_BYTES, MAX_KEY_SET_BYTES, MAX_TRUSTED_ROOT_BYTES,
    NoTrustedTime, Request, Signer, TransparencyLogs, TrustedTime, Verdict, verify_with_keys,
};

use super::get::{Fetched, target};
use super::verify_build;
use crate::args::VerifyOptions;
use crate::asked::Asked;
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, read_named, show_path, show_time};

pub(crate) fn run(session: &Session, options: &VerifyOptions) -> Result<(), Report> {
    let mut asked = Asked::of(session, options.trust.as_ref(), options.map.as_deref())?;
    let artifact = match (&options.artifact, &options.digest) {
        (Some(artifact), _) => digest(artifact)?,
        (None, Some(digest)) => digest.clone(),
        (None, None) => unreachable!("the command line asks for one"),
    };
    let attestation_file = read_named(&options.attestation, MAX_FILE_BYTES as u64)?;
    let Some(key_target) = &options.key_target else {
        return verify_build::run(session, &mut asked, options, &artifact, &attestation_file);
    };
    let delivered = session.block_on(deliver(session, &mut asked, options, key_target));
    asked.note_traffic(session);
    let delivered = delivered?;

    let mut request = Request::new(&artifact, &attestation_file, &delivered.keys, session.start.time());
    request.key_usage = &options.key_usage;
    request.predicate_type = options.predicate_type.as_deref();
    request.time_authority = delivered.logs.as_ref();
    let verdict = verify_with_keys(&request).map_err(|denial| denied(options, &asked, &delivered, &denial))?;
    output::show(session.format, &Answer::of(session, options, &artifact, &delivered, &verdict))
}

/// What TUF delivered for this question.
struct Delivered {
    keys: KeySet,
    logs: Option<TransparencyLogs>,
    /// Where the keys stand in the registry: for the verdict's reproduction.
    registry: Value,
    keys_from: String,
    logs_from: Option<String>,
    /// Why the logs could not be had, where the repository names them.
    no_logs: Option<String>,
}

async fn deliver(
    session: &Session,
    asked: &mut Asked,
    options: &VerifyOptions,
    key_target: &TargetPath,
) -> Result<Delivered, Report> {
    let keys_from = target(session, asked, key_target, None, Some(MAX_KEY_SET_BYTES)).await?;
    let keys = KeySet::parse(keys_from.bytes.as_deref().unwrap_or_default())
        .map_err(|error| unreadable(asked, &keys_from.agreed, &error))?;
    // That the logs cannot be had is no verdict on the keys: the signing time is unknown then. That they are refused
    // is another matter.
    let logs = target(session, asked, &options.log_target, None, Some(MAX_TRUSTED_ROOT_BYTES)).await;
    let (logs_from, no_logs) = match logs {
        Ok(found) => (Some(found), None),
        Err(report) if matches!(report.code(), "no-such-target" | "not-mapped") => (None, None),
        Err(report) if report.could_not_tell() => (None, Some(report.headline().to_owned())),
        Err(report) => return Err(report),
    };
    let logs = match &logs_from {
        Some(fetched) => Some(
            TransparencyLogs::from_trusted_root(fetched.bytes.as_deref().unwrap_or_default())
                .map_err(|error| unreadable(asked, &fetched.agreed, &error))?,
        ),
        None => None,
    };
    let answers: Vec<_> = [&keys_from].into_iter().chain(&logs_from).map(|fetched| &fetched.agreed).collect();
    let mut registry = asked.registry_json(&asked.heed(session, &answers));
    registry["keys"] = asked.source_json(&keys_from.agreed);
    registry["logs"] = json!(logs_from.as_ref().map(|fetched| asked.source_json(&fetched.agreed)));
    let describe = |fetched: &Fetched| format!("{} by {}", fetched.agreed.found.path, asked.named_by(&fetched.agreed));
    let (keys_from, logs_from) = (describe(&keys_from), logs_from.as_ref().map(describe));
    Ok(Delivered { keys, logs, registry, keys_from, logs_from, no_logs })
}

/// What to say where a target that was delivered is not what it should be.
pub(super) fn unreadable(asked: &Asked, agreed: &Agreed, error: &dyn std::fmt::Display) -> Report {
    let headline = format!("the target {} cannot be used: {error}", agreed.found.path);
    let names: Vec<&str> = agreed.by.iter().map(|(name, _)| name.as_str()).collect();
    let report = Report::new(Outcome::CouldNotTell, "unreadable-target", headline).fact("trust", names.join(", "));
    asked.map().into_iter().fold(report, |report, map| report.fact("map", map.to_string()))
}

/// What the question is about, as it is shown.
pub(super) fn artifact_name(options: &VerifyOptions) -> ShownPath {
    match (&options.artifact, &options.digest) {
        (Some(path), _) => ShownPath::of(path),
        (None, Some(digest)) => ShownPath::of(digest.to_string()),
        (None, None) => ShownPath::of(""),
    }
}

/// Hashes the artifact as it streams by: it may be of any size.
fn digest(path: &Path) -> Result<ArtifactDigests, Report> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Report::no_such_file(path),
        _ => Report::io(&error),
    };
    let mut file = fs::File::open(path).map_err(io)?;
    let mut digester = ArtifactDigests::digester();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(ArtifactDigests::from(digester)),
            length => digester.update(&buffer[..length]),
        }
    }
}

fn denied(options: &VerifyOptions, asked: &Asked, delivered: &Delivered, denial: &Denial) -> Report {
    // That the logs could not be had is no verdict, where they could have made the difference.
    let for_want_of_logs = |denial: &Denial| matches!(denial, Denial::KeyNotValidNow { reason, .. } if **reason == NoTrustedTime::NoTrustedLogs);
    let undecided = match denial {
        Denial::NoneAccepted { refused } => refused.iter().any(|refused| for_want_of_logs(&refused.denial)),
        denial => for_want_of_logs(denial),
    };
    let mut report = match &delivered.no_logs {
        Some(problem) if undecided => {
            let headline =
                format!("could not tell: the logs that could prove the signing time are not available: {problem}");
            Report::new(Outcome::CouldNotTell, "logs-unavailable", headline).fact("otherwise", denial.to_string())
        }
        _ => Report::new(Outcome::No, denial.code(), format!("not verified: {denial}")),
    };
    report = report
        .fact("artifact", artifact_name(options).to_string())
        .fact("attestation", show_path(&options.attestation))
        .fact("keys", delivered.keys_from.clone());
    if let Denial::NoneAccepted { refused } = denial {
        for refused in refused {
            report = report.fact(format!("number {}", refused.position + 1), refused.denial.to_string());
        }
    }
    match denial {
        denial if for_want_of_logs(denial) && delivered.no_logs.is_none() => report.hint(format!(
            "{} no target {}; with the logs that it would name, the signing time could be proved",
            asked.only().map_or("there is".to_owned(), |trust| format!("{} has", trust.name)),
            options.log_target
        )),
        Denial::NothingToJudge { .. } => {
            report.hint("attestations that are signed with certificates cannot be checked with delivered keys")
        }
        Denial::SubjectMismatch { .. } => {
            report.hint("the attestation may belong to another file or version; compare the names above")
        }
        Denial::BadSignature { .. } => report.hint("the attestation was altered after it was signed; get it again"),
        Denial::AlteredAttestation { .. } => {
            report.hint("do not use the file; get it again, and if it stays so, tell its source by another way")
        }
        _ => report,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    verified: bool,
    artifact: ShownPath,
    digests: Value,
    attestations: Vec<Value>,
    refused: Vec<Value>,
    skipped: Vec<Value>,
    registry: Value,
    time: String,
    /// Whether the user chose the time: the verdict is about that moment, not about now.
    time_is_chosen: bool,
    #[serde(skip)]
    lines: String,
}

impl Show for Answer {
    fn text(&self) -> String {
        self.lines.clone()
    }
}

impl Answer {
    fn of(
        session: &Session,
        options: &VerifyOptions,
        artifact: &ArtifactDigests,
        delivered: &Delivered,
        verdict: &Verdict,
    ) -> Self {
        let digests: serde_json::Map<_, _> = artifact
            .iter()
            .map(|(algorithm, digest)| (algorithm.name().to_owned(), json!(hex::encode(digest))))
            .collect();
        Self {
            verified: true,
            artifact: artifact_name(options),
            digests: Value::Object(digests),
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
            registry: delivered.registry.clone(),
            time: show_time(session.start.time()),
            time_is_chosen: session.time_is_chosen,
            lines: lines(session, options, delivered, verdict),
        }
    }
}

fn accepted_json(accepted: &Accepted) -> Value {
    json!({
        "position": accepted.position,
        "predicateType": accepted.predicate_type,
        "subjects": accepted.subjects.iter().map(|subject| json!({
            "name": subject.name,
            "digest": subject.digest,
        })).collect::<Vec<_>>(),
        "signedBy": accepted.signed_by.iter().map(|signer| json!({
            "keyid": signer.keyid,
            "kind": signer.kind,
            "spkiSha256": hex::encode(signer.spki_sha256),
            "validFrom": show_time(signer.valid_for.start),
            "validUntil": signer.valid_for.end.map(show_time),
            "signingTime": match &signer.time {
                TrustedTime::Known { time, log } => json!({"known": true, "time": show_time(*time), "log": log}),
                TrustedTime::Unknown { reason } => json!({"known": false, "reason": reason.to_string()}),
                _ => Value::Null,
            },
        })).collect::<Vec<_>>(),
    })
}

fn lines(session: &Session, options: &VerifyOptions, delivered: &Delivered, verdict: &Verdict) -> String {
    let mut text = format!("verified: {}\n", artifact_name(options));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:9}  {value}");
    };
    for accepted in &verdict.accepted {
        for subject in &accepted.subjects {
            line("subject", &Printable(&subject.name).to_string());
        }
        line("says", &Printable(&accepted.predicate_type).to_string());
        for signer in &accepted.signed_by {
            line("signed by", &format!("{} ({})", Printable(&signer.keyid), signer.kind));
            line("signed on", &signing_time(signer, session.time_is_chosen));
            line("key valid", &signer.valid_for.to_string());
        }
    }
    line("keys", &delivered.keys_from);
    if let Some(logs) = &delivered.logs_from {
        line("logs", logs);
    }
    if let Some(problem) = &delivered.no_logs {
        line("logs", &format!("not available: {problem}"));
    }
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

fn signing_time(signer: &Signer, time_is_chosen: bool) -> String {
    let judged = if time_is_chosen { "then" } else { "now" };
    match &signer.time {
        TrustedTime::Known { time, log } => format!("{}, by the log {}", show_time(*time), Printable(log)),
        TrustedTime::Unknown { reason } => format!("unknown: {reason}; the key is valid {judged}"),
        _ => "unknown".to_owned(),
    }
}
