//! Peers as judges: python-tuf writes the repositories, and python-tuf, sigstore-tuf and tough say what they make of
//! them. Where one of them says otherwise than we do, [`differences`] says why. What this project itself publishes they
//! judge in [`built`].
//!
//! Needs a Python with `tuf` 7 and `securesystemslib[crypto]` 1.6, named by `TRUSTROOT_PYTHON`; without one the tests
//! are skipped, and say so.
#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "maintainer")]
mod built;
mod cases;
#[cfg(all(feature = "maintainer", feature = "aws-lc"))]
mod classical;
mod differences;
#[cfg(feature = "maintainer")]
#[expect(dead_code, reason = "its `main` is for the command line")]
#[path = "../../examples/generate_repository.rs"]
mod generate_repository;
#[cfg(feature = "maintainer")]
mod generated;
#[cfg(feature = "maintainer")]
mod imported;
mod judges;
#[cfg(feature = "maintainer")]
mod rehearsal;
#[cfg(all(feature = "maintainer", feature = "cli"))]
mod templates;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::OnceLock;

use cases::{Case, Cases, cases};
use differences::{DIFFERENCES, Peer};
#[cfg(feature = "maintainer")]
use generate_repository::support;

/// The verdicts on some cases, by title.
type Verdicts = BTreeMap<String, Vec<String>>;

fn verdicts<F: Future<Output = Vec<String>>>(
    cases: &'static Cases,
    judge: impl Fn(&'static Cases, &'static Case) -> F,
) -> Verdicts {
    cases.all.iter().map(|case| (case.title.clone(), wait(judge(cases, case)))).collect()
}

/// The verdicts of every client on some cases.
#[cfg(feature = "maintainer")]
fn judged_by_all(cases: &'static Cases) -> Vec<(&'static str, Verdicts)> {
    let mut judged = vec![
        ("trustroot", verdicts(cases, judges::trustroot)),
        ("sigstore-tuf", verdicts(cases, judges::sigstore)),
        ("tough", verdicts(cases, judges::tough)),
    ];
    // Empty where there is no Python, which has been said.
    judged.extend((!cases.python.is_empty()).then(|| ("python-tuf", cases.python.clone())));
    judged
}

/// What is below a directory of the repository's server.
#[cfg(feature = "maintainer")]
fn below(repository: &support::SimRepository, directory: &str) -> cases::Files {
    let all = repository.shelf().files().into_iter();
    all.filter_map(|(path, answer)| match answer {
        support::Answer::Bytes(bytes) => Some((path.strip_prefix(directory)?.to_owned(), bytes)),
        _ => None,
    })
    .collect()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Our verdicts on all cases.
fn ours(cases: &'static Cases) -> &'static Verdicts {
    static OURS: OnceLock<Verdicts> = OnceLock::new();
    OURS.get_or_init(|| verdicts(cases, judges::trustroot))
}

fn is_taken(verdict: &[String]) -> bool {
    verdict.last().unwrap() != "refused"
}

/// Whether this build can use keys of a kind. What python-tuf calls SHA-224 no client knows, python-tuf included.
fn is_usable(kind: &str) -> bool {
    let needs_aws_lc = kind.starts_with("ml-dsa") || kind.ends_with("p521");
    !kind.ends_with("sha224") && (cfg!(feature = "aws-lc") || !needs_aws_lc)
}

#[test]
fn each_kind_of_key_that_python_signs_with_is_used_or_disables_itself() {
    let Some(cases) = cases() else { return };
    let mut judged = Vec::new();
    for case in cases.group("kind") {
        let verdict = wait(judges::trustroot_over_files(cases, case));
        assert_eq!(is_taken(&verdict), is_usable(&case.name), "{}: {verdict:?}", case.name);
        if is_usable(&case.name) {
            assert_eq!(verdict, cases.python[&case.title]);
        }
        judged.push(&case.name);
    }
    assert_eq!(judged, cases.kinds.iter().collect::<Vec<_>>());
}

#[test]
fn keys_of_all_kinds_are_counted_together() {
    let Some(cases) = cases() else { return };
    let usable = cases.kinds.iter().filter(|kind| is_usable(kind)).count();
    assert_eq!(usable, if cfg!(feature = "aws-lc") { 16 } else { 11 });
    for case in cases.group("all-kinds") {
        let threshold: usize = case.name.parse().unwrap();
        let verdict = wait(judges::trustroot_over_files(cases, case));
        assert_eq!(is_taken(&verdict), threshold <= usable, "{threshold}");
    }
}

#[test]
fn repositories_of_every_shape_are_followed_over_files() {
    let Some(cases) = cases() else { return };
    for group in ["shape", "good", "with-sha224"] {
        for case in cases.group(group) {
            let verdict = wait(judges::trustroot_over_files(cases, case));
            assert_eq!(verdict, ours(cases)[&case.title], "{}", case.title);
            let files = case.ask.iter().filter(|path| !path.starts_with("absent")).count();
            assert!(case.ours.as_deref() == Some("refused") || files > 1, "{}", case.title);
        }
    }
}

#[test]
fn what_is_good_is_taken_and_what_is_bad_is_refused() {
    let Some(cases) = cases() else { return };
    let wrong: Vec<_> = cases
        .all
        .iter()
        .filter(|case| {
            case.ours.as_ref().is_some_and(|wanted| is_taken(&ours(cases)[&case.title]) != (wanted == "taken"))
        })
        .map(|case| (&case.title, &ours(cases)[&case.title]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn python_tuf_judges_alike() {
    let Some(cases) = cases() else { return };
    differs_as_listed(cases, &cases.python, Peer::PythonTuf);
}

#[test]
fn sigstore_tuf_judges_alike() {
    let Some(cases) = cases() else { return };
    differs_as_listed(cases, &verdicts(cases, judges::sigstore), Peer::SigstoreTuf);
}

fn differs_as_listed(cases: &'static Cases, theirs: &Verdicts, peer: Peer) {
    let ours = ours(cases);
    assert_eq!(ours.len(), theirs.len());
    // A build that lacks some kinds of key is compared on all else.
    let kinds: BTreeSet<_> = ["kind", "all-kinds", "readable-kinds"]
        .into_iter()
        .filter(|_| !cfg!(feature = "aws-lc"))
        .flat_map(|group| cases.group(group))
        .map(|case| case.title.clone())
        .collect();
    let mut listed = BTreeMap::new();
    for difference in DIFFERENCES.iter().filter(|difference| difference.peer == peer || difference.peer == Peer::Both) {
        for title in difference.titles() {
            assert!(ours.contains_key(&title), "no case is called `{title}`");
            assert!(listed.insert(title.clone(), difference.why).is_none(), "`{title}` is listed twice");
        }
    }
    let differing: BTreeSet<_> = ours.keys().filter(|title| ours[*title] != theirs[*title]).cloned().collect();
    let unlisted: Vec<_> = differing
        .iter()
        .filter(|title| !listed.contains_key(*title) && !kinds.contains(*title))
        .map(|title| format!("{title}\n  ours   {:?}\n  theirs {:?}", ours[title], theirs[title]))
        .collect();
    let outdated: Vec<_> =
        listed.iter().filter(|(title, _)| !differing.contains(*title) && !kinds.contains(*title)).collect();
    assert!(unlisted.is_empty(), "{peer:?} differs, and no reason is given:\n{}", unlisted.join("\n"));
    assert!(outdated.is_empty(), "{peer:?} does not differ any more: {outdated:#?}");
}

/// Its limits are said at [`judges::tough`]; within them it agrees.
#[test]
fn tough_judges_plain_repositories_alike() {
    let Some(cases) = cases() else { return };
    let plain: Vec<_> = cases.all.iter().filter(|case| case.plain).collect();
    assert_eq!(plain.len(), 10);
    for case in plain {
        assert_eq!(wait(judges::tough(cases, case)), ours(cases)[&case.title], "{}", case.title);
    }
}
