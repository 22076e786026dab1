//! What python-tuf's Metadata API writes is taken over and goes on unchanged: `Import::write` proposes the next version of
//! every role and refuses where one would differ.

use std::io;

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use trustroot::repository::import::{FirstRoot, Import, ImportSource};
use trustroot::trust::UpdateStart;

use crate::cases::{Case, Cases, Step, cases};
use crate::{is_taken, ours};

struct Served<'a> {
    cases: &'a Cases,
    step: &'a Step,
}

impl ImportSource for Served<'_> {
    fn metadata(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        bounded(self.cases.metadata(self.step, &percent_decode_str(name).decode_utf8_lossy()), limit)
    }

    fn target(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        bounded(self.cases.target(self.step, &percent_decode_str(name).decode_utf8_lossy()), limit)
    }
}

fn bounded(found: Option<&[u8]>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match found {
        Some(bytes) if bytes.len() as u64 > limit => Err(io::Error::from(io::ErrorKind::InvalidData)),
        found => Ok(found.map(<[u8]>::to_vec)),
    }
}

fn taken_over(cases: &Cases, case: &Case) -> Result<(), (&'static str, String)> {
    let step = case.steps.last().unwrap();
    let start = UpdateStart::at(step.time.parse::<DateTime<Utc>>().unwrap());
    let first = FirstRoot::File(cases.root(case).to_vec());
    let directory = tempfile::tempdir().unwrap();
    Import::read(&Served { cases, step }, &first, "case", start)
        .and_then(|import| import.write(&directory.path().join("copy")))
        .map_err(|error| (error.code(), format!("{}: {error}", case.title)))
}

/// What was flipped is judged elsewhere, at every bit.
fn honest_or_bent(cases: &'static Cases) -> impl Iterator<Item = &'static Case> {
    cases.all.iter().filter(|case| !case.title.starts_with("flipped") && case.steps.len() == 1)
}

#[test]
fn repositories_that_python_tuf_writes_are_taken_over_and_go_on_unchanged() {
    let Some(cases) = cases() else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in honest_or_bent(cases).filter(|case| is_taken(&ours(cases)[&case.title])) {
        match taken_over(cases, case) {
            Ok(()) => count += 1,
            // A client passes over an entry that it cannot use and a role that it cannot trust, as long as nothing depends on
            // them. Whoever signs the next version can not.
            Err((_, error))
                if ["target", "delegation", "snapshot: one "].iter().any(|group| error.starts_with(group)) => {}
            Err((code, error)) => wrong.push(format!("{code}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 200, "{count}");
}

/// What our client refuses is not taken over either, unless it is for its age.
#[test]
fn what_clients_refuse_is_not_taken_over() {
    let Some(cases) = cases() else { return };
    let refused = honest_or_bent(cases).filter(|case| !is_taken(&ours(cases)[&case.title]));
    let of_its_age = |title: &str| title.contains("expire") || title == "next root: and so on up to 258";
    let taken = refused.filter(|case| !of_its_age(&case.title) && taken_over(cases, case).is_ok());
    let taken: Vec<&str> = taken.map(|case| case.title.as_str()).collect();
    assert!(taken.is_empty(), "{taken:#?}");
}
