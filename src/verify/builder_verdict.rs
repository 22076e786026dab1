//! Decides whether an attestation file vouches for an artifact in the name of one builder, or of one verifier.
//!
//! The caller asks about one ID. The document that speaks for it is a [`Found`], so the registry has judged who answered
//! for it. The attestation file is attacker-controlled to the last byte; nothing in it chooses a document, a key or a
//! level.

use chrono::{DateTime, Utc};

use super::attestation_file::{self, Material};
use super::builder_denial::BuilderDenial;
use super::certificate::{self, Integrity};
use super::dsse::{Envelope, pre_authentication_encoding};
use super::provenance::{self, Provenance};
use super::statement::{ArtifactDigests, IN_TOTO_PAYLOAD_TYPE, Statement, Subject};
use super::trusted_time::{LogEntry, Signed, TransparencyLogs, TrustedTime, proved_times};
use super::{SkipReason, Skipped};
use crate::builders::{
    BuildLevel, Builder, BuilderId, Catalog, EffectiveLevel, EnvelopeKind, Found, KeySigner, Namespace, NamespaceEntry,
    Realm, Revocation, SignatureEncoding, Signer, SignerMethod, Status, ValidFor, Verifier, cap_at, effective_level,
};
use crate::crypto::sha256;
use crate::printable::Printable;

/// What is asked: did this builder build this artifact, at this level at least?
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BuilderRequest<'a> {
    /// The artifact.
    pub artifact: &'a ArtifactDigests,
    /// The attestation file, as it was found.
    pub attestation_file: &'a [u8],
    /// The document of the builder that is asked about.
    pub builder: &'a Found<Builder>,
    /// The level that is asked for.
    pub min_level: BuildLevel,
    /// The highest level that the consumer grants, whatever others say.
    pub overlay: Option<BuildLevel>,
    /// The package that the artifact is taken for, where the caller knows. It must then be in scope.
    pub package: Option<&'a str>,
    /// Logs by realm. Those of realms that the catalog does not permit for the namespace are not asked.
    pub time_authorities: &'a [(Realm, TransparencyLogs)],
    /// The time at which to judge.
    pub now: DateTime<Utc>,
}

impl<'a> BuilderRequest<'a> {
    /// Asks whether `builder` built `artifact` at `min_level` or above.
    pub fn new(
        artifact: &'a ArtifactDigests,
        attestation_file: &'a [u8],
        builder: &'a Found<Builder>,
        min_level: BuildLevel,
        now: DateTime<Utc>,
    ) -> Self {
        let (overlay, package, time_authorities) = (None, None, [].as_slice());
        Self { artifact, attestation_file, builder, min_level, overlay, package, time_authorities, now }
    }
}

/// What is asked: did this verifier pass this artifact as this resource, at this level at least?
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct VerifierRequest<'a> {
    /// The artifact.
    pub artifact: &'a ArtifactDigests,
    /// The attestation file, as it was found.
    pub attestation_file: &'a [u8],
    /// The document of the verifier that is asked about.
    pub verifier: &'a Found<Verifier>,
    /// The resource that the artifact is taken for. The summary must name it exactly.
    pub resource: &'a str,
    /// The level that is asked for.
    pub min_level: BuildLevel,
    /// The highest level that the consumer grants, whatever others say.
    pub overlay: Option<BuildLevel>,
    /// As in [`BuilderRequest::time_authorities`].
    pub time_authorities: &'a [(Realm, TransparencyLogs)],
    /// The time at which to judge.
    pub now: DateTime<Utc>,
}

impl<'a> VerifierRequest<'a> {
    /// Asks whether `verifier` passed `artifact` as `resource` at `min_level` or above.
    pub fn new(
        artifact: &'a ArtifactDigests,
        attestation_file: &'a [u8],
        verifier: &'a Found<Verifier>,
        resource: &'a str,
        min_level: BuildLevel,
        now: DateTime<Utc>,
    ) -> Self {
        let (overlay, time_authorities) = (None, [].as_slice());
        Self { artifact, attestation_file, verifier, resource, min_level, overlay, time_authorities, now }
    }
}

/// What was proved. Only [`verify_with_builder`] and [`verify_with_verifier`] make one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuilderVerdict {
    /// The attestations that passed every check; at least one.
    pub accepted: Vec<AcceptedBuild>,
    /// Attestations beside them that did not pass. Nothing that they say may be used.
    pub refused: Vec<RefusedBuild>,
    /// Attestations beside them that were not judged.
    pub skipped: Vec<Skipped>,
}

/// One attestation that passed every check.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptedBuild {
    /// Position in the file, from 0.
    pub position: usize,
    /// The subjects that are the artifact; at least one.
    pub subjects: Vec<Subject>,
    /// What kind of thing the statement says.
    pub predicate_type: String,
    /// The build type of provenance.
    pub build_type: Option<String>,
    /// The repositories that provenance says it was built from.
    pub sources: Vec<String>,
    /// The level that is granted.
    pub level: BuildLevel,
    /// How the level came about.
    pub arithmetic: EffectiveLevel,
    /// The time at which the level was judged: of all times proved the one with the lowest level; else now.
    pub judged_at: DateTime<Utc>,
    /// How many signers were needed.
    pub threshold: usize,
    /// The signers that count: distinct physical keys.
    pub signed_by: Vec<BuildSigner>,
    /// Scopes of the document that the request left unjudged, in words.
    pub not_judged: Vec<String>,
}

/// A signer that counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuildSigner {
    /// Its name in the document.
    pub name: String,
    /// The kind of key.
    pub kind: String,
    /// The SHA-256 of its canonical SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// When it may sign.
    pub valid_for: ValidFor,
    /// Its status.
    pub status: Status,
    /// When it signed, as far as that is proved.
    pub time: TrustedTime,
}

/// One attestation that did not pass, and why.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RefusedBuild {
    /// Position in the file, from 0.
    pub position: usize,
    /// Why.
    pub denial: BuilderDenial,
}

/// Decides whether the attestation file shows that the builder built the artifact.
///
/// Of the attestations in the file **one must pass every check**; those that do not are reported and lend nothing. One
/// that was provably altered refuses the file. Within one envelope, signatures that do not count spoil nothing, once
/// the threshold is met without them.
///
/// # Errors
/// A [`BuilderDenial`] that says why nothing in the file does.
pub fn verify_with_builder(request: &BuilderRequest<'_>) -> Result<BuilderVerdict, BuilderDenial> {
    let BuilderRequest { builder: found, .. } = request;
    let Builder { status, threshold, signers, .. } = &found.document;
    let scene = Scene {
        artifact: request.artifact,
        asked: &found.asked,
        status,
        threshold: *threshold,
        signers,
        denials: &found.denials,
        catalog: &found.catalog,
        logs: permitted_logs(&found.entry, request.time_authorities),
        min_level: request.min_level,
        now: request.now,
    };
    judge_file(request.attestation_file, &scene, |statement, payload| {
        let wanted = "SLSA provenance";
        let predicate = provenance::predicate(payload).map_err(BuilderDenial::MalformedPredicate)?;
        let provenance = provenance::provenance(&statement.predicate_type, &predicate)
            .ok_or_else(|| BuilderDenial::WrongPredicateType { found: statement.predicate_type.clone(), wanted })?
            .map_err(BuilderDenial::MalformedPredicate)?;
        if provenance.builder_id != found.asked.as_str() {
            return Err(BuilderDenial::OtherBuilder { found: provenance.builder_id, asked: found.asked.clone() });
        }
        let not_judged = check_scopes(request, &provenance)?;
        let level_at = |time| effective_level(&found.entry, &found.document, request.overlay, time);
        Ok(Claims {
            build_type: Some(provenance.build_type),
            sources: provenance.sources,
            not_judged,
            level_at: Box::new(level_at),
        })
    })
}

/// Decides whether the attestation file shows that the verifier passed the artifact, as the resource asked about.
///
/// # Errors
/// A [`BuilderDenial`] that says why nothing in the file does.
pub fn verify_with_verifier(request: &VerifierRequest<'_>) -> Result<BuilderVerdict, BuilderDenial> {
    let VerifierRequest { verifier: found, .. } = request;
    let Verifier { status, threshold, signers, resources, .. } = &found.document;
    let scene = Scene {
        artifact: request.artifact,
        asked: &found.asked,
        status,
        threshold: *threshold,
        signers,
        denials: &found.denials,
        catalog: &found.catalog,
        logs: permitted_logs(&found.entry, request.time_authorities),
        min_level: request.min_level,
        now: request.now,
    };
    judge_file(request.attestation_file, &scene, |statement, payload| {
        let wanted = "a verification summary";
        let predicate = provenance::predicate(payload).map_err(BuilderDenial::MalformedPredicate)?;
        let summary = provenance::summary(&statement.predicate_type, &predicate)
            .ok_or_else(|| BuilderDenial::WrongPredicateType { found: statement.predicate_type.clone(), wanted })?
            .map_err(BuilderDenial::MalformedPredicate)?;
        if summary.verifier_id != found.asked.as_str() {
            return Err(BuilderDenial::OtherBuilder { found: summary.verifier_id, asked: found.asked.clone() });
        }
        if !summary.passed {
            return Err(BuilderDenial::NotPassed);
        }
        if summary.resource_uri != request.resource {
            let (found, asked) = (summary.resource_uri, request.resource.to_owned());
            return Err(BuilderDenial::OtherResource { found, asked });
        }
        let in_scope = crate::builders::check_resource(request.resource).is_ok()
            && resources.iter().any(|scope| scope.covers(request.resource))
            && may_speak(&found.catalog, &found.namespace, request.resource);
        if !in_scope {
            let (what, found, id) = ("the resource", request.resource.to_owned(), found.asked.clone());
            return Err(BuilderDenial::OutOfScope { what, found, id });
        }
        let (qualification, overlay) = (summary.build_level(), request.overlay);
        let level_at = move |time| EffectiveLevel { cap: cap_at(&found.entry, time), qualification, overlay };
        Ok(Claims { build_type: None, sources: Vec::new(), not_judged: Vec::new(), level_at: Box::new(level_at) })
    })
}

/// Whether the catalog lets a namespace speak about a resource: by a grant of its own, and by nobody's longer one.
fn may_speak(catalog: &Catalog, namespace: &Namespace, resource: &str) -> bool {
    let owners = [catalog.owner_of_resource(resource), catalog.owner_of_package(resource)];
    let mut owners = owners.into_iter().flatten().map(|(owner, _)| owner).peekable();
    owners.peek().is_some() && owners.all(|owner| owner == namespace)
}

/// The logs of the realms that the catalog permits for the namespace.
fn permitted_logs(entry: &NamespaceEntry, authorities: &[(Realm, TransparencyLogs)]) -> Option<TransparencyLogs> {
    let permitted = authorities.iter().filter(|(realm, _)| entry.time_authorities.contains(realm));
    TransparencyLogs::joined(permitted.map(|(_, logs)| logs))
}

fn check_scopes(request: &BuilderRequest<'_>, provenance: &Provenance) -> Result<Vec<String>, BuilderDenial> {
    let scopes = &request.builder.document.scopes;
    let id = || request.builder.asked.clone();
    let outside =
        |what: &'static str, found: &str| Err(BuilderDenial::OutOfScope { what, found: found.to_owned(), id: id() });
    let mut not_judged = Vec::new();
    if let Some(package) = request.package {
        let found = request.builder;
        let granted = crate::builders::check_resource(package).is_ok()
            && found.catalog.owner_of_package(package).is_some_and(|(owner, _)| *owner == found.namespace);
        let in_scope = scopes.packages.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope.matches(package)));
        if !granted || !in_scope {
            return outside("the package", package);
        }
    } else if scopes.packages.is_some() {
        not_judged.push("the builder is limited to some packages, and no package was asked about".to_owned());
    }
    if let Some(repositories) = &scopes.source_repositories {
        if provenance.sources.is_empty() {
            return outside("a source that the provenance does not name, that is", "");
        }
        for source in &provenance.sources {
            let plain = crate::builders::check_resource(source).is_ok();
            if !plain || !repositories.iter().any(|scope| scope.matches(source)) {
                return outside("the source", source);
            }
        }
    }
    if let Some(build_types) = &scopes.build_types {
        let Some(scope) = build_types.get(&provenance.build_type) else {
            return outside("the build type", &provenance.build_type);
        };
        let known = |name: &String| scope.required.contains(name) || scope.ignorable.contains(name);
        if let Some(name) = provenance.parameters.iter().find(|name| !known(name)) {
            return Err(BuilderDenial::UnrecognisedParameter { name: name.clone(), id: id() });
        }
        if let Some(name) = scope.required.iter().find(|name| !provenance.parameters.contains(*name)) {
            return Err(BuilderDenial::MissingParameter { name: name.clone(), id: id() });
        }
    }
    Ok(not_judged)
}

/// What builders and verifiers have in common when one of their attestations is judged.
struct Scene<'a> {
    artifact: &'a ArtifactDigests,
    asked: &'a BuilderId,
    status: &'a Status,
    threshold: usize,
    signers: &'a [Signer],
    denials: &'a [Revocation],
    catalog: &'a Catalog,
    logs: Option<TransparencyLogs>,
    min_level: BuildLevel,
    now: DateTime<Utc>,
}

/// What a statement claims, once it is known to be by the right one and within its scopes.
struct Claims<'a> {
    build_type: Option<String>,
    sources: Vec<String>,
    not_judged: Vec<String>,
    level_at: Box<dyn Fn(DateTime<Utc>) -> EffectiveLevel + 'a>,
}

fn judge_file<'a>(
    file: &[u8],
    scene: &Scene<'_>,
    claims: impl Fn(&Statement, &[u8]) -> Result<Claims<'a>, BuilderDenial>,
) -> Result<BuilderVerdict, BuilderDenial> {
    let (mut accepted, mut refused, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for attestation in attestation_file::read(file).map_err(BuilderDenial::Malformed)? {
        let position = attestation.position;
        match attestation.material {
            Material::Other(reason) => skipped.push(Skipped { position, reason }),
            Material::Certificate { certificate, envelope } => {
                let integrity = match (&certificate, &envelope) {
                    (Some(certificate), Ok(envelope)) => certificate::integrity(envelope, certificate),
                    _ => Integrity::Unknown,
                };
                let fulcio = scene.signers.iter().find(|signer| matches!(signer.method, Ok(SignerMethod::Fulcio(_))));
                match (integrity, fulcio) {
                    (Integrity::Altered, _) => {
                        refused.push(RefusedBuild { position, denial: BuilderDenial::AlteredAttestation { position } });
                    }
                    (_, Some(signer)) => {
                        let denial = BuilderDenial::CertificatesNotSupported { signer: signer.name.clone() };
                        refused.push(RefusedBuild { position, denial });
                    }
                    (Integrity::Intact, None) => skipped.push(Skipped { position, reason: SkipReason::Certificate }),
                    (Integrity::Unknown, None) => {
                        skipped.push(Skipped { position, reason: SkipReason::UnreadableCertificate });
                    }
                }
            }
            Material::Key { hint, envelope, log_entries } => {
                let judged = envelope
                    .map_err(BuilderDenial::Malformed)
                    .and_then(|envelope| scene.judge(position, &envelope, hint.as_deref(), &log_entries, &claims));
                match judged {
                    Ok(passed) => accepted.push(passed),
                    Err(denial) => refused.push(RefusedBuild { position, denial }),
                }
            }
        }
    }
    if let Some(alarm) = refused.iter().position(|refused| refused.denial.proves_tampering()) {
        return Err(refused.remove(alarm).denial);
    }
    if !accepted.is_empty() {
        return Ok(BuilderVerdict { accepted, refused, skipped });
    }
    match refused.len() {
        0 => Err(BuilderDenial::NothingToJudge { skipped }),
        1 => Err(refused.remove(0).denial),
        _ => Err(BuilderDenial::NoneAccepted { refused }),
    }
}

/// One physical key that signed, with its valid signatures.
struct KeySigned<'e, 'd> {
    signer: &'d Signer,
    method: &'d KeySigner,
    signatures: Vec<&'e [u8]>,
}

impl Scene<'_> {
    /// Judges one attestation. Nothing of the payload is read before signers of the document are known to have signed it.
    fn judge<'a>(
        &self,
        position: usize,
        envelope: &Envelope,
        hint: Option<&str>,
        log_entries: &[LogEntry],
        claims: impl Fn(&Statement, &[u8]) -> Result<Claims<'a>, BuilderDenial>,
    ) -> Result<AcceptedBuild, BuilderDenial> {
        let keys = self.signers_of(envelope);
        if keys.is_empty() {
            return Err(self.why_unsigned(envelope, hint));
        }
        if keys.len() < self.threshold {
            return Err(self.too_few(keys.len()));
        }
        if envelope.payload_type() != IN_TOTO_PAYLOAD_TYPE {
            return Err(BuilderDenial::WrongPayloadType { found: envelope.payload_type().to_owned() });
        }
        let statement = Statement::parse(envelope.payload()).map_err(BuilderDenial::MalformedStatement)?;
        let subjects: Vec<Subject> = statement.matching(self.artifact).cloned().collect();
        if subjects.is_empty() {
            return Err(BuilderDenial::SubjectMismatch { subjects: statement.subjects });
        }
        let claims = claims(&statement, envelope.payload())?;

        let (mut signed_by, mut times, mut invalid) = (Vec::new(), Vec::new(), None);
        for key in &keys {
            match self.judge_signer(envelope, key, log_entries) {
                Ok((signer, at)) => {
                    signed_by.push(signer);
                    times.extend(at);
                }
                Err(denial) => invalid = invalid.or(Some(denial)),
            }
        }
        if signed_by.len() < self.threshold {
            let valid = signed_by.len();
            return Err(invalid.unwrap_or_else(|| self.too_few(valid)));
        }
        let judged = times.into_iter().map(|time| ((claims.level_at)(time), time));
        let (arithmetic, judged_at) =
            judged.min_by_key(|(level, time)| (level.level(), *time)).expect("every signer has a time");
        match arithmetic.level() {
            Some(level) if level >= self.min_level => Ok(AcceptedBuild {
                position,
                subjects,
                predicate_type: statement.predicate_type,
                build_type: claims.build_type,
                sources: claims.sources,
                level,
                arithmetic,
                judged_at,
                threshold: self.threshold,
                signed_by,
                not_judged: claims.not_judged,
            }),
            _ => {
                let (id, wanted) = (self.asked.clone(), self.min_level);
                Err(BuilderDenial::LevelTooLow { id, arithmetic, wanted, judged_at })
            }
        }
    }

    /// Finds which physical keys of the document signed. One signature speaks for one key; a keyid is only a hint, and
    /// not needed.
    fn signers_of<'e>(&self, envelope: &'e Envelope) -> Vec<KeySigned<'e, '_>> {
        let encoded = pre_authentication_encoding(envelope.payload_type(), envelope.payload());
        // Without a type in the message, the type is not signed: only one is then read. And no payload may be taken for
        // the encoding of another.
        let raw = envelope.payload_type() == IN_TOTO_PAYLOAD_TYPE && !envelope.payload().starts_with(b"DSSEv1 ");
        let mut found: Vec<KeySigned<'e, '_>> = Vec::new();
        for (_, signature) in envelope.signatures() {
            let by = self.signers.iter().find_map(|signer| {
                let Ok(SignerMethod::Key(method)) = &signer.method else { return None };
                let message = match method.envelope {
                    EnvelopeKind::Dsse => encoded.as_slice(),
                    EnvelopeKind::RawPayload if raw => envelope.payload(),
                    EnvelopeKind::RawPayload => return None,
                };
                let key = &method.key.key;
                let verified = match method.signature_encoding {
                    SignatureEncoding::Der => key.verifies(message, signature),
                    SignatureEncoding::P1363 => key.verifies_p1363(message, signature),
                };
                verified.then_some((signer, method))
            });
            let Some((signer, method)) = by else { continue };
            let spki = method.key.key.canonical_spki();
            match found.iter_mut().find(|other| other.method.key.key.canonical_spki() == spki) {
                Some(known) => known.signatures.push(signature),
                None => found.push(KeySigned { signer, method, signatures: vec![signature] }),
            }
        }
        found
    }

    /// Judges one signer by the time of its signature (trust model, "When a signature counts"). Returns the times at
    /// which the level is to be judged.
    fn judge_signer(
        &self,
        envelope: &Envelope,
        made: &KeySigned<'_, '_>,
        log_entries: &[LogEntry],
    ) -> Result<(BuildSigner, Vec<DateTime<Utc>>), BuilderDenial> {
        let (name, key) = (&made.signer.name, &made.method.key.key);
        let spki_sha256 = sha256(key.canonical_spki());
        let dated = Signed { payload: envelope.payload(), signatures: &made.signatures, key };
        let (times, time) = match proved_times(log_entries, self.logs.as_ref(), dated, self.now) {
            Ok(proved) => {
                let earliest = proved.first().cloned().expect("a proof of time has at least one time");
                let times: Vec<_> = proved.into_iter().map(|proved| proved.time).collect();
                (Some(times), TrustedTime::Known { time: earliest.time, log: earliest.log })
            }
            Err(reason) => (None, TrustedTime::Unknown { reason }),
        };

        // Every entry with this physical key has its say, whatever it calls the key and whether or not it can be used.
        let entries =
            || self.signers.iter().filter(|entry| entry.key_identity.as_deref() == Some(key.canonical_spki()));
        let mut statuses: Vec<(String, Status)> =
            entries().map(|entry| (format!("signer `{}`", Printable(&entry.name)), entry.status.clone())).collect();
        statuses.push((self.asked.to_string(), self.status.clone()));
        let denial =
            |what: &str, denial: &Revocation| (format!("{what}, by the catalog,"), Status::Revoked(denial.clone()));
        statuses.extend(self.denials.iter().map(|revocation| denial(&self.asked.to_string(), revocation)));
        let denied_keys = self.catalog.denied_keys().filter(|(digest, _)| **digest == spki_sha256);
        statuses.extend(
            denied_keys.map(|(_, revocation)| denial(&format!("the key of signer `{}`", Printable(name)), revocation)),
        );
        // The most severe first, so that it is the one that is named.
        statuses.sort_by_key(|(_, status)| std::cmp::Reverse(status.severity()));
        for (what, status) in &statuses {
            if !counts(status, times.as_deref()) {
                let (what, status, time) = (what.clone(), status.clone(), Box::new(time.clone()));
                return Err(match status {
                    Status::Revoked(_) => BuilderDenial::Revoked { what, status, time },
                    _ => BuilderDenial::Retired { what, status, time },
                });
            }
        }

        let judged = times.unwrap_or_else(|| vec![self.now]);
        let periods = entries().filter_map(|entry| match &entry.method {
            Ok(SignerMethod::Key(method)) => Some(method.key.valid_for),
            _ => None,
        });
        for valid_for in periods {
            if let Some(outside) = judged.iter().find(|time| !valid_for.includes(**time)) {
                let (signer, judged_at, time) = (name.clone(), *outside, Box::new(time));
                return Err(BuilderDenial::SignerNotValid { signer, valid_for, judged_at, time });
            }
        }
        let status = entries().map(|entry| &entry.status).max_by_key(|status| status.severity()).cloned();
        let signer = BuildSigner {
            name: name.clone(),
            kind: key.describe(),
            spki_sha256,
            valid_for: made.method.key.valid_for,
            status: status.unwrap_or(Status::Active),
            time,
        };
        Ok((signer, judged))
    }

    fn too_few(&self, valid: usize) -> BuilderDenial {
        BuilderDenial::TooFewSigners { id: self.asked.clone(), valid, needed: self.threshold }
    }

    /// Finds out what is wrong when no signer of the document signed.
    fn why_unsigned(&self, envelope: &Envelope, hint: Option<&str>) -> BuilderDenial {
        let named = |name: &str| envelope.signatures().any(|(keyid, _)| keyid == name) || hint == Some(name);
        let usable = |signer: &&Signer| matches!(signer.method, Ok(SignerMethod::Key(_)));
        let id = self.asked.clone();
        match self.signers.iter().filter(usable).find(|signer| named(&signer.name)) {
            Some(signer) => BuilderDenial::BadSignature { signer: signer.name.clone(), id },
            None => {
                let disabled = self.signers.iter().filter_map(|signer| match &signer.method {
                    Err(problem) => Some((signer.name.clone(), problem.to_string())),
                    Ok(SignerMethod::Fulcio(_)) => {
                        Some((signer.name.clone(), "signs with certificates, which are not judged yet".to_owned()))
                    }
                    Ok(SignerMethod::Key(_)) => None,
                });
                let signers = self.signers.iter().filter(usable).count();
                BuilderDenial::NotSignedByBuilder { id, signers, disabled: disabled.collect() }
            }
        }
    }
}

/// Whether something of this status may vouch for a signature made at all of `times`; `None` where the time is unknown.
fn counts(status: &Status, times: Option<&[DateTime<Utc>]>) -> bool {
    let before = |limit: DateTime<Utc>| times.is_some_and(|times| times.iter().all(|time| *time < limit));
    match status {
        Status::Active => true,
        Status::Retired { at } => before(*at),
        Status::Revoked(revocation) => revocation.distrust_from.is_some_and(before),
    }
}

#[cfg(test)]
mod tests;
