//! `trustroot init`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;
use trustroot::client::write_durably;
use trustroot::crypto::{metadata_key, spki_from_pem, spki_to_pem};
use trustroot::example_keys::example_key_name;
use trustroot::repository::{CONFIG_FILE, Config, RepositoryError, WorkingCopy};

use super::maintain::repository_failed;
use crate::args::{Forge, Holder, InitOptions};
use crate::keys::read_key_file;
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, show_path};

/// What a new working copy begins with.
const TEMPLATE: &[(&str, &str)] = &[
    (CONFIG_FILE, include_str!("../../../../repo-template/trustroot.toml")),
    ("README.md", include_str!("../../../../repo-template/README.md")),
    (".gitignore", include_str!("../../../../repo-template/gitignore")),
];

/// The workflow of a forge, and where the forge looks for it.
fn workflow(forge: Forge) -> (&'static str, &'static str) {
    match forge {
        Forge::Github => (".github/workflows/trustroot.yml", include_str!("../../../../repo-template/ci/github.yml")),
        Forge::Gitlab => (".gitlab-ci.yml", include_str!("../../../../repo-template/ci/gitlab.yml")),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    directory: ShownPath,
    trial: bool,
    files: Vec<String>,
    next: String,
}

impl Show for Begun {
    fn text(&self) -> String {
        let trial = if self.trial { " (a trial)" } else { "" };
        format!("wrote {}{trial}: {}\nnext: {}\n", self.directory, self.files.join(", "), self.next)
    }
}

pub(crate) fn run(session: &Session, options: &InitOptions) -> Result<(), Report> {
    let directory = &options.directory;
    let io = |error: std::io::Error| Report::io(&error);
    if directory.join(CONFIG_FILE).exists() {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "file-exists",
            format!("`{}` is a working copy already", show_path(directory)),
        )
        .still("nothing was written"));
    }
    let name = match &options.name {
        Some(name) => name.clone(),
        None => directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    if name.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "configuration",
            "a name has no quotes, backslashes or control characters",
        ));
    }
    // Everything is read before anything is written.
    let online = options.online.iter().map(|file| Holder { person: "online".to_owned(), file: file.clone() });
    let mut keys = Vec::new();
    for holder in options.keyholder.iter().cloned().chain(online) {
        let pem = public_key(&holder.file)?;
        if !options.trial
            && let Some(key) = spki_from_pem(&pem).ok().and_then(|spki| example_key_name(&spki))
        {
            return Err(repository_failed(&RepositoryError::ExampleKey { holder: holder.person, key }));
        }
        keys.push((holder.person, pem));
    }
    let mut people = String::new();
    for (person, _) in &keys {
        let _ = write!(people, "[people.{}]\nkeys = [\"keys/{person}.pub\"]\n\n", quoted(person));
    }
    if people.is_empty() {
        people.push_str("# [people.alice]\n# keys = [\"keys/alice.pub\"]\n");
    }
    let signers: Vec<String> = options.keyholder.iter().map(|holder| format!("\"{}\"", holder.person)).collect();
    let fill = |text: &str| {
        text.replace("@TRIAL@", if options.trial { "true" } else { "false" })
            .replace("@PEOPLE@", &people)
            .replace("@SIGNERS@", &signers.join(", "))
            .replace("@THRESHOLD@", &options.threshold.to_string())
            .replace("@NAME@", &name)
    };
    let complete = !options.keyholder.is_empty() && options.online.is_some();
    if complete {
        Config::parse(&fill(TEMPLATE[0].1)).map_err(|error| repository_failed(&error))?;
    }
    fs::create_dir_all(directory).map_err(io)?;
    let mut files = Vec::new();
    for (person, pem) in &keys {
        files.push(keep_public_key(directory, person, pem)?);
    }
    if let Some((file, text)) = options.ci.map(workflow).filter(|(file, _)| !directory.join(file).exists()) {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().unwrap_or(directory)).map_err(io)?;
        write_durably(&path, text.as_bytes()).map_err(io)?;
        files.push(file.to_owned());
    }
    for (file, text) in TEMPLATE.iter().rev() {
        // What somebody else wrote stays. The configuration comes last: with it the working copy is there.
        if directory.join(file).exists() {
            continue;
        }
        write_durably(&directory.join(file), fill(text).as_bytes()).map_err(io)?;
        files.push((*file).to_owned());
    }
    if complete {
        WorkingCopy::open(directory).map_err(|error| repository_failed(&error))?;
    }
    let place = show_path(directory);
    let next = if complete {
        format!("review {place}/{CONFIG_FILE}, then `trustroot ceremony start root -C {place}`")
    } else {
        format!("put public keys into {place}/keys and name who holds them in {place}/{CONFIG_FILE}")
    };
    output::show(session.format, &Begun { directory: ShownPath::of(directory), trial: options.trial, files, next })
}

/// A name as a TOML key.
fn quoted(person: &str) -> String {
    let bare = person.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { person.to_owned() } else { format!("\"{person}\"") }
}

/// Reads a public key, and returns it in its one PEM form.
pub(crate) fn public_key(file: &Path) -> Result<String, Report> {
    let text = read_key_file(file)?;
    let bad = |problem: &dyn std::fmt::Display| {
        Report::new(Outcome::WrongQuestion, "not-a-public-key", format!("this is not a public key: {problem}"))
            .fact("file", show_path(file))
            .hint("`trustroot key generate NAME.pem` writes the public key to NAME.pem.pub or NAME.pub")
    };
    let spki = spki_from_pem(&text).map_err(|problem| bad(&problem))?;
    metadata_key(&spki).map_err(|problem| bad(&problem))?;
    spki_to_pem(&spki).map_err(|problem| bad(&problem))
}

/// Copies a public key into a working copy; the same key again changes nothing.
pub(crate) fn keep_public_key(directory: &Path, person: &str, pem: &str) -> Result<String, Report> {
    let io = |error: std::io::Error| Report::io(&error);
    let name = format!("keys/{person}.pub");
    let safe = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    if person.is_empty() || person.starts_with('.') || !person.chars().all(safe) {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "configuration",
            "a person's name has letters, digits, `.`, `_`, `@`, `+` and `-`, and does not start with `.`",
        ));
    }
    let path: PathBuf = directory.join(&name);
    match fs::read_to_string(&path) {
        Ok(there) if there == pem => return Ok(name),
        Ok(_) => {
            return Err(Report::new(
                Outcome::WrongQuestion,
                "file-exists",
                format!("`{}` holds another key", show_path(&path)),
            )
            .still("nothing was written"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    fs::create_dir_all(directory.join("keys")).map_err(io)?;
    write_durably(&path, pem.as_bytes()).map_err(io)?;
    Ok(name)
}
