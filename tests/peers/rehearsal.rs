//! What is signed in a rehearsal calls itself `rehearsal-root` and the like. Here the very keys of a repository have signed
//! that, which is the worst that could happen: nobody takes it.

use trustroot::metadata::{Envelope, Occasion};

use crate::cases::{Files, Written};
use crate::support::SimRepository;
use crate::{below, judged_by_all};

/// tough reads the clock: all of it is good until long after that.
const DAYS: i64 = 10_000;

/// A repository that has published twice, the second time with the next version of each role; and `rehearsed` in it is
/// what a rehearsal would have signed.
fn repository(rehearsed: Option<&str>) -> (Vec<u8>, [(Files, Files); 2]) {
    let mut repository = SimRepository::new();
    repository.delegate("targets", "team", &["team/*"]);
    for role in repository.roles() {
        repository.expire(&role, DAYS);
    }
    repository.add_target("team", "team/tool", b"good");
    repository.publish_root();
    repository.publish();
    let files = |repository: &SimRepository| (below(repository, "metadata/"), below(repository, "targets/"));
    let first = files(&repository);
    if let Some(role) = rehearsed {
        let meant = repository.draft(role)["_type"].as_str().unwrap().to_owned();
        repository.draft(role)["_type"] = Occasion::Rehearsal.document_type(&meant).into();
    }
    repository.publish_root();
    repository.bump("targets");
    repository.bump("team");
    repository.publish();
    (first.0["2.root.json"].clone(), [first, files(&repository)])
}

#[test]
fn no_client_takes_what_was_signed_in_a_rehearsal() {
    let mut written = Written::default();
    for rehearsed in [None, Some("root"), Some("targets"), Some("snapshot"), Some("timestamp"), Some("team")] {
        let (root, publications) = repository(rehearsed);
        if rehearsed == Some("root") {
            let bytes = &publications[1].0["3.root.json"];
            assert_eq!(Envelope::parse(bytes).unwrap().document_type().unwrap(), "rehearsal-root");
        }
        let time = "2026-03-01T12:00:00Z";
        let steps = publications.map(|(metadata, targets)| written.step(time.to_owned(), &metadata, &targets));
        let ask = vec!["team/tool".to_owned()];
        written.push("rehearsed", rehearsed.unwrap_or("nothing"), &root, ask, steps.to_vec());
    }
    let cases: &'static _ = Box::leak(Box::new(written.judged()));
    for (who, verdicts) in judged_by_all(cases) {
        assert_eq!(verdicts.len(), 6);
        for (title, verdict) in verdicts {
            let tool = if who == "tough" { "refused" } else { "770e6076" };
            assert_eq!(
                verdict[0],
                format!("root 2 timestamp 2 snapshot 2 targets 2, team/tool {tool}"),
                "{who}, {title}"
            );
            let expected = match title.as_str() {
                "rehearsed: nothing" => format!("root 3 timestamp 3 snapshot 3 targets 3, team/tool {tool}"),
                // Clients that read delegated roles when they are asked for one trust the rest.
                "rehearsed: team" if who != "tough" => {
                    "root 3 timestamp 3 snapshot 3 targets 3, team/tool refused".to_owned()
                }
                _ => "refused".to_owned(),
            };
            assert_eq!(verdict[1], expected, "{who}, {title}");
        }
    }
}
