//! `trustroot ceremony rehearse`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use trustroot::Printable;
use trustroot::ceremony::rehearse as make;
use trustroot::crypto::spki_from_pem;

use super::super::init::public_key;
use super::super::maintain::{ceremony_failed, open};
use super::read_signed;
use crate::args::CeremonyRehearseOptions;
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    directory: ShownPath,
    /// The SHA-256 of the rehearsal's first root, which signers take as their pin.
    first_root: Option<String>,
    keys: Vec<MadeKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begins_anew: Option<String>,
    next: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeKey {
    holder: String,
    key: String,
    /// Absent where its holder brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<ShownPath>,
}

impl Show for Made {
    fn text(&self) -> String {
        let mut text =
            format!("made the REHEARSAL {}: nothing that is signed there is valid anywhere\n", self.directory);
        match (&self.first_root, &self.begins_anew) {
            (Some(digest), _) => {
                let _ = writeln!(text, "  pin  sha256 {digest}");
            }
            (None, Some(why)) => {
                let _ = writeln!(text, "  it begins with its first root: {why}");
            }
            (None, None) => text.push_str("  it begins with its first root, as the real repository does\n"),
        }
        for key in &self.keys {
            let holder = Printable(&key.holder);
            let _ = match &key.file {
                Some(file) => writeln!(text, "  key of {holder}: {file}"),
                None => writeln!(text, "  key of {holder}: brought, sha256 {}", key.key),
            };
        }
        let _ = writeln!(text, "next: {}", self.next);
        text
    }
}

pub(super) fn rehearse(session: &Session, options: &CeremonyRehearseOptions) -> Result<(), Report> {
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let mut brought: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for holder in &options.keyholder {
        let pem = public_key(&holder.file)?;
        let spki = spki_from_pem(&pem)
            .map_err(|problem| Report::new(Outcome::WrongQuestion, "not-a-public-key", problem.to_string()))?;
        brought.entry(holder.person.clone()).or_default().push(spki);
    }
    let made =
        make(&copy, &signed, &options.rehearsal, &brought, session.start).map_err(|error| ceremony_failed(&error))?;
    let place = show_path(&options.rehearsal);
    let keys = made.stand_ins.into_iter().map(|stand_in| MadeKey {
        holder: stand_in.holder,
        key: stand_in.key,
        file: stand_in.file.map(ShownPath::of),
    });
    let made = Made {
        directory: ShownPath::of(&options.rehearsal),
        first_root: made.digest.map(hex::encode),
        keys: keys.collect(),
        begins_anew: made.begins_anew,
        next: format!("`trustroot ceremony start ROLE -C {place}`, and all that follows as if it were meant"),
    };
    output::show(session.format, &made)
}
