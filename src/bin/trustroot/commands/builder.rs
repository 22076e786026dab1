//! `trustroot builder`

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use trustroot::Printable;
use trustroot::builders::{BuilderId, Namespace};
use trustroot::crypto::{VerifyingKey, metadata_key, spki_from_pem};
use trustroot::example_keys::example_key_name;
use trustroot::metadata::RoleName;
use trustroot::repository::{BuilderFile, KeyEntry, NamespaceFile, RepositoryError, WorkingCopy};

use super::init::public_key;
use super::maintain::{in_a_week, open, repository_failed};
use crate::args::{BuilderAddKeyOptions, BuilderAddOptions, BuilderCommand, Holder};
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path, show_time};

pub(crate) fn run(session: &Session, command: BuilderCommand) -> Result<(), Report> {
    match command {
        BuilderCommand::Add(options) => add(session, &options),
        BuilderCommand::AddKey(options) => add_key(session, &options),
        BuilderCommand::List { namespace, working_copy } => list(session, &open(&working_copy)?, namespace.as_deref()),
        BuilderCommand::Show { builder_id, working_copy } => show(session, &open(&working_copy)?, &builder_id),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    builder_id: String,
    file: ShownPath,
    next: String,
}

impl Show for Added {
    fn text(&self) -> String {
        format!("wrote {} for {}\nnext: {}\n", self.file, self.builder_id, self.next)
    }
}

fn wrong(problem: impl Into<String>) -> Report {
    Report::new(Outcome::WrongQuestion, "configuration", problem).still("nothing was written")
}

fn add(session: &Session, options: &BuilderAddOptions) -> Result<(), Report> {
    let copy = open(&options.working_copy)?;
    let namespace = Namespace::parse(&options.namespace).map_err(|error| wrong(error.to_string()))?;
    if !copy.config().namespaces.contains_key(namespace.as_str()) {
        return Err(wrong(format!("there is no namespace {namespace}")).hint("add it with `trustroot namespace add`"));
    }
    let id = BuilderId::parse(&options.builder_id).map_err(|error| wrong(error.to_string()))?;
    let start = options.start.map_or_else(|| in_a_week(session.start.time()), show_time);
    let mut file = BuilderFile::new(id.clone(), &options.name);
    file.keys = key_entries(&copy, &options.key, &start)?;
    file.qualification = options.level.map(|level| (level.as_document().to_owned(), start.clone()));
    file.raw_payload = options.raw_payload;
    let name = match &options.file {
        Some(name) => name.clone(),
        None => file_name(id.as_str()),
    };
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(safe) {
        return Err(
            wrong("a file's name has 1 to 100 letters, digits, `.`, `_` and `-`").hint("choose one with `--file`")
        );
    }
    // Two documents about one ID would be refused when they are signed; it is better said now.
    let documents = copy.documents(&namespace).map_err(|error| repository_failed(&error))?;
    if let Some(there) = documents.iter().find(|there| there.id.as_str() == id.as_str()) {
        return Err(wrong(format!("`{}` is about {id} already", show_path(&there.file))).hint("edit that file"));
    }
    let path = copy.builder_file(&namespace, &name).map_err(|error| repository_failed(&error))?;
    file.write(&path).map_err(|error| repository_failed(&error))?;
    let next = format!("review it, then `trustroot ceremony start {namespace}`");
    output::show(session.format, &Added { builder_id: id.as_str().to_owned(), file: ShownPath::of(&path), next })
}

/// Reads the keys that a builder is to have.
fn key_entries(copy: &WorkingCopy, named: &[Holder], start: &str) -> Result<Vec<KeyEntry>, Report> {
    let mut entries = Vec::new();
    for Holder { person: name, file } in named {
        let pem = public_key(file)?;
        let key = spki_from_pem(&pem)
            .and_then(|spki| metadata_key(&spki))
            .and_then(|listed| VerifyingKey::from_metadata(&listed))
            .map_err(|problem| wrong(problem.to_string()))?;
        if !copy.config().trial
            && let Some(key) = example_key_name(key.canonical_spki())
        {
            return Err(repository_failed(&RepositoryError::ExampleKey { holder: name.clone(), key }));
        }
        entries.push(KeyEntry::new(name, key, start));
    }
    Ok(entries)
}

fn add_key(session: &Session, options: &BuilderAddKeyOptions) -> Result<(), Report> {
    let copy = open(&options.working_copy)?;
    let (namespace, document, _) = find(session, &copy, &options.builder_id)?;
    let start = show_time(options.start.unwrap_or_else(|| session.start.time()));
    let keys = key_entries(&copy, &options.key, &start)?;
    document.add_keys(&keys, options.raw_payload).map_err(|error| repository_failed(&error))?;
    let next = format!("review it, then `trustroot ceremony start {namespace}`");
    let builder_id = document.id.as_str().to_owned();
    output::show(session.format, &Added { builder_id, file: ShownPath::of(&document.file), next })
}

/// A file name from a builder's ID: what follows the scheme, with everything unusual replaced.
fn file_name(id: &str) -> String {
    let rest = id.split_once("://").map_or(id, |(_, rest)| rest);
    let name: String = rest.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    name.trim_matches(['-', '.']).chars().take(80).collect()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    documents: Vec<Line>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    namespace: String,
    id: String,
    file: ShownPath,
    /// Whether this is what the namespace has signed.
    signed: bool,
    status: String,
    level: Option<String>,
}

impl Show for Listed {
    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.documents {
            let signed = if line.signed { "signed" } else { "not signed" };
            let level = line.level.as_deref().unwrap_or("no level");
            let _ =
                writeln!(text, "{}  {}  {level}, {}, {signed}  {}", line.namespace, line.id, line.status, line.file);
        }
        if text.is_empty() { "no builders\n".to_owned() } else { text }
    }
}

/// The documents of the working copy, with whether they are signed as they are.
fn documents(session: &Session, copy: &WorkingCopy) -> Result<Vec<(Namespace, NamespaceFile, bool)>, Report> {
    let failed = |error| repository_failed(&error);
    let signed = copy.signed(session.start).map_err(failed)?;
    let mut all = Vec::new();
    for name in copy.config().namespaces.keys() {
        let Ok(namespace) = Namespace::parse(name) else { continue };
        let role = signed.namespace(&RoleName::Delegated(name.as_str().into())).map_err(failed)?;
        for document in copy.documents(&namespace).map_err(failed)? {
            let entry = role.as_ref().and_then(|role| role.document.find(&document.target).ok().flatten());
            let same = entry
                .is_some_and(|entry| signed.target(&document.target, &entry).is_ok_and(|bytes| bytes == document.json));
            all.push((namespace.clone(), document, same));
        }
    }
    Ok(all)
}

fn list(session: &Session, copy: &WorkingCopy, only: Option<&str>) -> Result<(), Report> {
    let documents = documents(session, copy)?
        .into_iter()
        .filter(|(namespace, ..)| only.is_none_or(|only| only == namespace.as_str()))
        .map(|(namespace, document, signed)| {
            let value: Value = serde_json::from_slice(&document.json).unwrap_or_default();
            let levels = value["qualifications"].as_array().cloned().unwrap_or_default();
            let level = levels.iter().filter_map(|level| level["level"].as_str()).max().map(str::to_owned);
            Line {
                namespace: namespace.as_str().to_owned(),
                id: document.id.as_str().to_owned(),
                file: ShownPath::of(&document.file),
                signed,
                status: Printable(value["status"].as_str().unwrap_or_default()).to_string(),
                level: level.map(|level| level.replace("SLSA_BUILD_LEVEL_", "L")),
            }
        })
        .collect();
    output::show(session.format, &Listed { documents })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    namespace: String,
    target: String,
    file: ShownPath,
    signed: bool,
    document: Value,
}

impl Show for Shown {
    fn text(&self) -> String {
        let signed = if self.signed { "as signed by" } else { "NOT SIGNED as it stands here by" };
        let document = serde_json::to_string_pretty(&self.document).unwrap_or_default();
        let document = crate::report::ascii_json(&document);
        format!("{}, {signed} {}\npublished as {}\n{document}\n", self.file, self.namespace, self.target)
    }
}

/// The document about an ID.
fn find(session: &Session, copy: &WorkingCopy, id: &str) -> Result<(Namespace, NamespaceFile, bool), Report> {
    let found = documents(session, copy)?.into_iter().find(|(_, document, _)| document.id.as_str() == id);
    found.ok_or_else(|| {
        Report::new(Outcome::No, "unknown-builder", format!("the working copy has no builder {}", Printable(id)))
            .hint("list them with `trustroot builder list`; IDs are compared letter by letter")
    })
}

fn show(session: &Session, copy: &WorkingCopy, id: &str) -> Result<(), Report> {
    let (namespace, document, signed) = find(session, copy, id)?;
    let shown = Shown {
        namespace: namespace.as_str().to_owned(),
        target: document.target.to_string(),
        file: ShownPath::of(&document.file),
        signed,
        document: serde_json::from_slice(&document.json).unwrap_or_default(),
    };
    output::show(session.format, &shown)
}
