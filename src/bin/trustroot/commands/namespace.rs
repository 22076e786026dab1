//! `trustroot namespace`

use std::fmt::Write as _;

use serde::Serialize;
use trustroot::builders::Namespace;
use trustroot::crypto::spki_from_pem;

use super::init::{keep_public_key, public_key};
use super::maintain::{in_a_week, open, repository_failed};
use crate::args::{NamespaceAddOptions, NamespaceCommand};
use crate::output::{self, Show};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    namespace: String,
    configuration: String,
    next: &'static str,
}

impl Show for Added {
    fn text(&self) -> String {
        let mut text = "added to trustroot.toml:\n".to_owned();
        for line in self.configuration.lines() {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "next: {}", self.next);
        text
    }
}

pub(crate) fn run(session: &Session, command: NamespaceCommand) -> Result<(), Report> {
    match command {
        NamespaceCommand::Add(options) => add(session, &options),
    }
}

fn add(session: &Session, options: &NamespaceAddOptions) -> Result<(), Report> {
    let namespace = Namespace::parse(&options.namespace)
        .map_err(|error| Report::new(Outcome::WrongQuestion, "configuration", error.to_string()))?;
    let mut copy = open(&options.working_copy)?;
    let mut text = String::new();
    let mut keys = Vec::new();
    for holder in &options.keyholder {
        let pem = public_key(&holder.file)?;
        if copy.config().people.contains_key(&holder.person) {
            let held = copy.keys_of(&holder.person).map_err(|error| repository_failed(&error))?;
            let spki = spki_from_pem(&pem).unwrap_or_default();
            if !held.iter().any(|held| held.key.canonical_spki() == spki) {
                let problem = format!("{} is there already, with another key", holder.person);
                return Err(Report::new(Outcome::WrongQuestion, "configuration", problem).still("nothing was written"));
            }
            continue;
        }
        let _ = writeln!(text, "[people.{}]\nkeys = [\"keys/{}.pub\"]\n", toml_string(&holder.person), holder.person);
        keys.push((&holder.person, pem));
    }
    let list = |items: &[String]| items.iter().map(|item| toml_string(item)).collect::<Vec<_>>().join(", ");
    let signers: Vec<String> = options.keyholder.iter().map(|holder| holder.person.clone()).collect();
    let mut grants = Vec::new();
    for (kind, granted) in [
        ("builders", &options.builders),
        ("verifiers", &options.verifiers),
        ("resources", &options.resources),
        ("packages", &options.packages),
    ] {
        if !granted.is_empty() {
            grants.push(format!("{kind} = [{}]", list(granted)));
        }
    }
    let start = options.cap_start.map_or_else(|| in_a_week(session.start.time()), show_time);
    let _ = write!(
        text,
        "[namespaces.{namespace}]\nsigners = [{}]\nthreshold = {}\nexpires-after-days = 90\nsign-within-days = 30\n\n\
         [namespaces.{namespace}.catalog]\ngrants = {{ {} }}\ncaps = [{{ level = \"{}\", validFor = {{ start = \"{start}\" }} }}]\n",
        list(&signers),
        options.threshold,
        grants.join(", "),
        options.cap.as_document(),
    );
    // A key file that no configuration names does no harm; a configuration that names an absent one would.
    for (person, pem) in keys {
        keep_public_key(copy.directory(), person, &pem)?;
    }
    copy.add_namespace(&namespace, &text).map_err(|error| repository_failed(&error))?;
    let next = "review it, then `trustroot ceremony start targets`";
    output::show(session.format, &Added { namespace: namespace.as_str().to_owned(), configuration: text, next })
}

/// Text as a TOML string.
fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
