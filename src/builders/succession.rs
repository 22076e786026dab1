//! Whether a document may follow another, for those who publish: nobody is upgraded for the past, nothing that was
//! revoked comes back.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{
    BuildLevel, Builder, BuilderId, Catalog, Namespace, Revocation, Signer, Status, ValidFor, Verifier, cap_at,
    qualification_at,
};
use crate::printable::Printable;

/// Returns what stands against publishing `new` at `published_at` after `old`, or as the first; in words, empty if
/// nothing does.
///
/// - No cap is raised for a time before its publication.
/// - `minVersion` never falls.
/// - A denial neither goes nor moves its `distrustFrom` later.
pub fn catalog_succession(old: Option<&Catalog>, new: &Catalog, published_at: DateTime<Utc>) -> Vec<String> {
    let mut problems = Vec::new();
    for (namespace, entry) in &new.namespaces {
        let before = old.and_then(|old| old.namespaces.get(namespace));
        let periods = before.iter().flat_map(|before| &before.caps).chain(&entry.caps).map(|cap| cap.valid_for);
        let old_cap = |time| before.and_then(|before| cap_at(before, time));
        if let Some(raised) = raised_for_the_past(periods, old_cap, |time| cap_at(entry, time), published_at) {
            problems.push(format!("namespace {namespace}: the cap {raised}"));
        }
        if let Some(before) = before.filter(|before| entry.min_version < before.min_version) {
            problems.push(format!(
                "namespace {namespace}: minVersion goes back from {} to {}",
                before.min_version, entry.min_version
            ));
        }
    }
    for (denied, revocation) in old.map(|old| old.denials.as_slice()).unwrap_or_default() {
        let after = new.denials.iter().filter(|(other, _)| other == denied).map(|(_, revocation)| revocation);
        if let Some(problem) = weakened(revocation, after) {
            problems.push(format!("the denial of {denied} {problem}"));
        }
    }
    problems
}

/// Returns what stands against publishing `new` at `published_at` after `old`, or as the first.
///
/// - No qualification is new or raised for a time before its publication.
/// - What was revoked (the document, a signer) stays revoked, and never from a later time on.
/// - The ID stays.
pub fn builder_succession(old: Option<&Builder>, new: &Builder, published_at: DateTime<Utc>) -> Vec<String> {
    let mut problems = Vec::new();
    let old_periods = old.iter().flat_map(|old| &old.qualifications);
    let periods = old_periods.chain(&new.qualifications).map(|qualification| qualification.valid_for);
    let claimed = |time| old.and_then(|old| qualification_at(old, time));
    if let Some(raised) = raised_for_the_past(periods, claimed, |time| qualification_at(new, time), published_at) {
        problems.push(format!("the qualification {raised}"));
    }
    if let Some(old) = old {
        same_id(&old.id, &new.id, &mut problems);
        revocations(&old.status, &old.signers, &new.status, &new.signers, &mut problems);
    }
    problems
}

/// Returns what stands against publishing `new` after `old`: what was revoked stays revoked, and the ID stays.
pub fn verifier_succession(old: Option<&Verifier>, new: &Verifier) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(old) = old {
        same_id(&old.id, &new.id, &mut problems);
        revocations(&old.status, &old.signers, &new.status, &new.signers, &mut problems);
    }
    problems
}

/// Returns what in a builder document of `namespace` clients would refuse under `catalog`, and then what they would
/// only not grant.
pub fn builder_against_catalog(
    catalog: &Catalog,
    namespace: &Namespace,
    builder: &Builder,
) -> (Vec<String>, Vec<String>) {
    let mut problems = owned_by(catalog.owner_of_builder(&builder.id).map(|(owner, _)| owner), namespace, &builder.id);
    problems.extend(catalog.denials_of_builder(&builder.id).map(|denial| denied(&builder.id, denial)));
    let mut notes = Vec::new();
    if let Some(entry) = catalog.namespaces.get(namespace) {
        for claim in &builder.qualifications {
            let Some(level) = claim.level() else {
                notes.push(format!(
                    "`{}` of SLSA {} never counts",
                    Printable(&claim.level_text),
                    Printable(&claim.spec)
                ));
                continue;
            };
            let cap = cap_at(entry, claim.valid_for.start);
            if cap.is_none_or(|cap| cap < level) {
                let cap = cap.map_or("no level", BuildLevel::as_short);
                let start = rfc3339(claim.valid_for.start);
                notes.push(format!("{level} is claimed, but the catalog caps at {cap} on {start}"));
            }
        }
    }
    (problems, notes)
}

/// Returns what in a verifier document of `namespace` clients would refuse under `catalog`.
pub fn verifier_against_catalog(catalog: &Catalog, namespace: &Namespace, verifier: &Verifier) -> Vec<String> {
    let owner = catalog.owner_of_verifier(&verifier.id).map(|(owner, _)| owner);
    let mut problems = owned_by(owner, namespace, &verifier.id);
    problems.extend(catalog.denials_of_verifier(&verifier.id).map(|denial| denied(&verifier.id, denial)));
    if let Some(entry) = catalog.namespaces.get(namespace)
        && entry.grants.resources.is_empty()
        && entry.grants.packages.is_empty()
    {
        problems.push(format!("the namespace {namespace} has no grant of resources or packages"));
    }
    problems
}

fn denied(id: &BuilderId, denial: &Revocation) -> String {
    format!("the catalog denies {id}: {}", Printable(&denial.reason))
}

fn owned_by(owner: Option<&Namespace>, namespace: &Namespace, id: &BuilderId) -> Vec<String> {
    match owner {
        Some(owner) if owner == namespace => Vec::new(),
        Some(owner) => vec![format!("the catalog grants {id} to the namespace {owner}, not to {namespace}")],
        None => vec![format!("the catalog grants {id} to nobody")],
    }
}

fn same_id(old: &BuilderId, new: &BuilderId, problems: &mut Vec<String>) {
    if old != new {
        problems.push(format!("the ID changes from {old} to {new}"));
    }
}

fn revocations(old: &Status, old_signers: &[Signer], new: &Status, new_signers: &[Signer], problems: &mut Vec<String>) {
    if let Status::Revoked(revocation) = old
        && let Some(problem) = weakened(revocation, revocation_of(new).into_iter())
    {
        problems.push(format!("the revocation of the document {problem}"));
    }
    for signer in old_signers {
        let Status::Revoked(revocation) = &signer.status else { continue };
        // By physical key; by name only where there is no key to tell it by.
        let same = new_signers.iter().filter(|new| match &signer.key_identity {
            Some(identity) => new.key_identity.as_ref() == Some(identity),
            None => new.name == signer.name,
        });
        if let Some(problem) = weakened(revocation, same.filter_map(|new| revocation_of(&new.status))) {
            problems.push(format!("the revocation of the signer `{}` {problem}", Printable(&signer.name)));
        }
    }
}

fn revocation_of(status: &Status) -> Option<&Revocation> {
    match status {
        Status::Revoked(revocation) => Some(revocation),
        _ => None,
    }
}

/// How what stands now is weaker than what stood before. The strictest of several counts.
fn weakened<'a>(old: &Revocation, new: impl Iterator<Item = &'a Revocation>) -> Option<String> {
    // `None` is earlier than any time: it never was to be believed.
    match new.map(|revocation| revocation.distrust_from).min() {
        None => Some("is gone; what was revoked stays listed".to_owned()),
        Some(from) if from > old.distrust_from => {
            let show = |from: Option<DateTime<Utc>>| from.map_or("always".to_owned(), rfc3339);
            Some(format!("moves later, from {} to {}", show(old.distrust_from), show(from)))
        }
        Some(_) => None,
    }
}

/// Finds a moment before publication at which more is granted than was granted for it before.
fn raised_for_the_past(
    periods: impl Iterator<Item = ValidFor>,
    old: impl Fn(DateTime<Utc>) -> Option<BuildLevel>,
    new: impl Fn(DateTime<Utc>) -> Option<BuildLevel>,
    published_at: DateTime<Utc>,
) -> Option<String> {
    // Levels change only where a period starts, and right after one ends.
    let after = |end: DateTime<Utc>| end.checked_add_signed(TimeDelta::nanoseconds(1));
    let mut moments: Vec<_> =
        periods.flat_map(|period| [Some(period.start), period.end.and_then(after)]).flatten().collect();
    moments.sort_unstable();
    let raised = moments.into_iter().filter(|time| *time < published_at).find(|time| new(*time) > old(*time))?;
    Some(format!(
        "rises from {} to {} for {}, before its publication on {}: levels are never granted for the past",
        old(raised).map_or("none", BuildLevel::as_short),
        new(raised).map_or("none", BuildLevel::as_short),
        rfc3339(raised),
        rfc3339(published_at),
    ))
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::builders::testing;

    const PUBLISHED: &str = "2026-06-01T00:00:00Z";

    fn catalog(caps: &Value) -> Catalog {
        let mut json = testing::catalog();
        json["namespaces"]["oppy"]["caps"] = caps.clone();
        Catalog::parse(json.to_string().as_bytes()).unwrap()
    }

    fn builder(edit: impl Fn(&mut Value)) -> Builder {
        let mut json = testing::builder();
        edit(&mut json);
        Builder::parse(json.to_string().as_bytes()).unwrap()
    }

    fn level(level: &str, start: &str, end: Option<&str>) -> Value {
        let mut json = json!({"level": format!("SLSA_BUILD_LEVEL_{level}"), "validFor": {"start": start}});
        if let Some(end) = end {
            json["validFor"]["end"] = end.into();
        }
        json
    }

    #[test]
    fn a_cap_never_rises_for_the_past() {
        let at = testing::at(PUBLISHED);
        let old = catalog(&json!([level("2", "2025-01-01T00:00:00Z", None)]));
        let judge = |caps: Value| catalog_succession(Some(&old), &catalog(&caps), at);
        let ends = "2026-06-02T00:00:00Z";
        assert!(judge(json!([level("2", "2025-01-01T00:00:00Z", Some(ends)), level("3", ends, None)])).is_empty());
        assert!(judge(json!([level("1", "2025-01-01T00:00:00Z", None)])).is_empty());
        for retroactive in [
            json!([level("3", "2025-01-01T00:00:00Z", None)]),
            json!([level("2", "2024-01-01T00:00:00Z", None)]),
            // The lower cap ends in the past, so that the higher one alone is left for what came after.
            json!([
                level("2", "2025-01-01T00:00:00Z", Some("2025-02-01T00:00:00Z")),
                level("3", "2025-01-01T00:00:00Z", None),
            ]),
        ] {
            assert_eq!(judge(retroactive.clone()).len(), 1, "{retroactive}");
        }
        assert_eq!(catalog_succession(None, &old, at).len(), 1);
        assert!(catalog_succession(None, &catalog(&json!([level("3", PUBLISHED, None)])), at).is_empty());
    }

    #[test]
    fn a_qualification_is_never_new_for_the_past() {
        let at = testing::at(PUBLISHED);
        let claim = |start: &str| builder(|json| json["qualifications"][0]["validFor"]["start"] = start.into());
        let (early, late) = (claim("2026-01-01T00:00:00Z"), claim(PUBLISHED));
        assert_eq!(builder_succession(None, &early, at).len(), 1);
        assert!(builder_succession(None, &late, at).is_empty());
        assert_eq!(builder_succession(Some(&late), &early, at).len(), 1);
        assert!(builder_succession(Some(&early), &late, at).is_empty());
        assert!(builder_succession(Some(&early), &early, at).is_empty());
    }

    #[test]
    fn what_was_revoked_stays_revoked() {
        let at = testing::at(PUBLISHED);
        let revoked = |from: Option<&str>| {
            builder(|json| {
                json["signers"][0]["status"] = "revoked".into();
                json["signers"][0]["revocation"] = match from {
                    Some(from) => json!({"reason": "keyCompromise", "distrustFrom": from}),
                    None => json!({"reason": "keyCompromise"}),
                };
            })
        };
        let old = revoked(Some("2026-02-01T00:00:00Z"));
        let judge = |new: &Builder| builder_succession(Some(&old), new, at);
        assert!(judge(&old).is_empty());
        assert!(judge(&revoked(Some("2026-01-01T00:00:00Z"))).is_empty());
        assert!(judge(&revoked(None)).is_empty());
        assert!(judge(&revoked(Some("2026-03-01T00:00:00Z")))[0].contains("moves later"));
        assert!(judge(&builder(|_| ()))[0].contains("is gone"));
        assert!(judge(&builder(|json| json["signers"] = json!([])))[0].contains("is gone"));
        // Under another name it is the same key.
        let mut renamed = old.clone();
        renamed.signers[0].name = "other".to_owned();
        assert!(judge(&renamed).is_empty());
        let tombstone = builder(|json| {
            json["status"] = "revoked".into();
            json["revocation"] = json!({"reason": "gone"});
        });
        assert!(builder_succession(Some(&tombstone), &builder(|_| ()), at)[0].contains("is gone"));
    }

    #[test]
    fn versions_and_denials_never_go_back() {
        let at = testing::at(PUBLISHED);
        let with = |version: u64, denials: Value| {
            let mut json = testing::catalog();
            json["namespaces"]["oppy"]["minVersion"] = version.into();
            json["denials"] = denials;
            Catalog::parse(json.to_string().as_bytes()).unwrap()
        };
        let denial = |from: &str| json!([{"builderId": "https://x.example/b", "reason": "x", "distrustFrom": from}]);
        let old = with(5, denial("2026-02-01T00:00:00Z"));
        let judge = |new: &Catalog| catalog_succession(Some(&old), new, at);
        assert!(judge(&with(5, denial("2026-01-01T00:00:00Z"))).is_empty());
        assert!(judge(&with(4, denial("2026-01-01T00:00:00Z")))[0].contains("minVersion"));
        assert!(judge(&with(5, denial("2026-03-01T00:00:00Z")))[0].contains("moves later"));
        assert!(judge(&with(5, json!([])))[0].contains("is gone"));
    }

    #[test]
    fn a_document_outside_its_grants_is_named_before_it_is_published() {
        let catalog = catalog(&json!([level("2", "2025-01-01T00:00:00Z", None)]));
        let (oppy, other) = (Namespace::parse("oppy").unwrap(), Namespace::parse("other").unwrap());
        let (problems, notes) = builder_against_catalog(&catalog, &oppy, &builder(|_| ()));
        assert!(problems.is_empty());
        assert_eq!(notes, ["L3 is claimed, but the catalog caps at L2 on 2026-01-01T00:00:00Z"]);
        assert_eq!(builder_against_catalog(&catalog, &other, &builder(|_| ())).0.len(), 1);
        let stray = builder(|json| json["builderId"] = "https://oppy.example.evil/slsa/b".into());
        assert!(builder_against_catalog(&catalog, &oppy, &stray).0[0].contains("to nobody"));
    }
}
