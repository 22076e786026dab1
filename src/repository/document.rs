//! Builders and verifiers as people write them, and as they are published.
//!
//! `builders/<namespace>/<name>.toml` has the fields of the published document under the same names, so that there is
//! one format to know; only dates may be written without quotes. Publishing turns it into JSON, file name by file name,
//! and the rules for builder documents judge the result.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;
use serde_json::{Map, Value, json};

use super::RepositoryError;
use super::config::said_of_toml;
use crate::builders::{self, Builder, BuilderId, Namespace, Verifier};
use crate::crypto::VerifyingKey;
use crate::fs::{read_below, read_bounded, refuse_links, write_durably};
use crate::metadata::TargetPath;

/// Longest document of a builder or verifier that people write, in bytes.
const LONGEST: u64 = 1 << 20;

/// A builder or verifier of the working copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NamespaceFile {
    /// Where it lies.
    pub file: PathBuf,
    /// What it is about.
    pub id: BuilderId,
    /// Its path in the repository.
    pub target: TargetPath,
    /// What is published.
    pub json: Vec<u8>,
}

/// Reads the documents of a namespace in order of their file names, and checks that they are well-formed and that no
/// two are about the same ID.
pub(super) fn read_namespace(directory: &Path, namespace: &Namespace) -> Result<Vec<NamespaceFile>, RepositoryError> {
    let mut found: Vec<NamespaceFile> = Vec::new();
    for kind in [Kind::Builder, Kind::Verifier] {
        let documents = directory.join(kind.directory()).join(namespace.as_str());
        refuse_links(directory, &documents)?;
        for file in toml_files(&documents)? {
            let document = read_document(directory, &file, namespace, kind)?;
            if let Some(other) = found.iter().find(|other| other.target == document.target) {
                let problem = format!("`{}` is about the same ID {}", other.file.display(), document.id);
                return Err(RepositoryError::Document { at: file.display().to_string(), problem });
            }
            found.push(document);
        }
    }
    Ok(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Builder,
    Verifier,
}

impl Kind {
    fn directory(self) -> &'static str {
        match self {
            Self::Builder => "builders",
            Self::Verifier => "verifiers",
        }
    }
}

fn toml_files(directory: &Path) -> Result<Vec<PathBuf>, RepositoryError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_document(
    copy: &Path,
    file: &Path,
    namespace: &Namespace,
    kind: Kind,
) -> Result<NamespaceFile, RepositoryError> {
    let wrong = |problem: String| RepositoryError::Document { at: file.display().to_string(), problem };
    let bytes = read_below(copy, file, LONGEST)?.ok_or_else(|| wrong("does not exist".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(said_of_toml(&error)))?;
    let mut value = to_json(&toml::Value::Table(table)).map_err(wrong)?;
    if let Value::Object(members) = &mut value {
        let media_type = match kind {
            Kind::Builder => builders::BUILDER_MEDIA_TYPE,
            Kind::Verifier => builders::VERIFIER_MEDIA_TYPE,
        };
        members.entry("mediaType").or_insert_with(|| media_type.into());
    }
    let json = publishable(&value);
    let (id, target) = match kind {
        Kind::Builder => {
            let builder = Builder::parse(&json).map_err(|error| wrong(error.to_string()))?;
            let target = builders::builder_path(namespace, &builder.id);
            (builder.id, target)
        }
        Kind::Verifier => {
            let verifier = Verifier::parse(&json).map_err(|error| wrong(error.to_string()))?;
            let target = builders::verifier_path(namespace, &verifier.id);
            (verifier.id, target)
        }
    };
    Ok(NamespaceFile { file: file.to_owned(), id, target, json })
}

/// JSON as it is published: indented, ending in a newline, the same for the same value.
pub(super) fn publishable(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("a JSON value can be written");
    bytes.push(b'\n');
    bytes
}

/// The JSON of a TOML value: dates become text, floats have no place in our documents.
pub(super) fn to_json(value: &toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Boolean(value) => Value::from(*value),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Float(number) => return Err(format!("{number} is not a whole number")),
        toml::Value::Array(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        toml::Value::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| Ok((key.clone(), to_json(value)?)))
                .collect::<Result<Map<String, Value>, String>>()?,
        ),
    })
}

/// A public key on its way into a builder document.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyEntry {
    /// What the signer is called in the document.
    pub name: String,
    /// The key.
    pub key: VerifyingKey,
    /// From when on its signatures count, in RFC 3339.
    pub start: String,
}

impl KeyEntry {
    /// Names a key for a document.
    pub fn new(name: impl Into<String>, key: VerifyingKey, start: impl Into<String>) -> Self {
        Self { name: name.into(), key, start: start.into() }
    }

    /// The signer as a builder document lists it.
    fn to_value(&self, raw_payload: bool) -> Result<Value, String> {
        let details = builders::key_details(&self.key)
            .ok_or_else(|| format!("Sigstore has no name for keys of the kind {}", self.key.describe()))?;
        Ok(json!({
            "name": self.name,
            "type": "key",
            "status": "active",
            "envelope": if raw_payload { "raw-payload" } else { "dsse" },
            "signatureEncoding": "der",
            "publicKey": {
                "rawBytes": STANDARD.encode(self.key.canonical_spki()),
                "keyDetails": details,
                "validFor": {"start": self.start},
            },
        }))
    }
}

/// What people say about a new builder.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuilderFile {
    /// Its ID.
    pub id: BuilderId,
    /// What people call it.
    pub display_name: String,
    /// The keys that it signs with.
    pub keys: Vec<KeyEntry>,
    /// The level that is claimed for it, such as `SLSA_BUILD_LEVEL_3`, and from when on.
    pub qualification: Option<(String, String)>,
    /// Whether its keys sign the payload itself instead of the DSSE encoding.
    pub raw_payload: bool,
}

impl BuilderFile {
    /// Describes a builder without keys and level.
    pub fn new(id: BuilderId, display_name: impl Into<String>) -> Self {
        let (keys, qualification) = (Vec::new(), None);
        Self { id, display_name: display_name.into(), keys, qualification, raw_payload: false }
    }

    /// Writes it to a new file, after checking that what would be published of it passes the rules.
    ///
    /// # Errors
    /// When there is such a file already, or the document would be refused.
    pub fn write(&self, file: &Path) -> Result<(), RepositoryError> {
        let wrong = |problem: String| RepositoryError::Document { at: file.display().to_string(), problem };
        if file.exists() {
            return Err(wrong("exists already; edit it, or choose another name".to_owned()));
        }
        let value = self.to_value().map_err(wrong)?;
        let mut published = value.clone();
        published["mediaType"] = builders::BUILDER_MEDIA_TYPE.into();
        Builder::parse(&publishable(&published)).map_err(|error| wrong(error.to_string()))?;
        let text = toml::to_string_pretty(&value).map_err(|error| wrong(error.to_string()))?;
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        write_durably(file, text.as_bytes())?;
        Ok(())
    }

    fn to_value(&self) -> Result<Value, String> {
        let signers = self.keys.iter().map(|entry| entry.to_value(self.raw_payload)).collect::<Result<Vec<_>, _>>()?;
        let mut value = json!({
            "builderId": self.id.as_str(),
            "displayName": self.display_name,
            "status": "active",
            "threshold": 1,
            "signers": signers,
        });
        if let Some((level, start)) = &self.qualification {
            value["qualifications"] = json!([{"level": level, "spec": "1.2", "validFor": {"start": start}}]);
        }
        Ok(value)
    }
}

impl NamespaceFile {
    /// Adds keys to a builder's file, leaving everything else in it as it was written.
    ///
    /// # Errors
    /// When what would be published of it would be refused: a name that is taken, for instance.
    pub fn add_keys(&self, keys: &[KeyEntry], raw_payload: bool) -> Result<(), RepositoryError> {
        let wrong = |problem: String| RepositoryError::Document { at: self.file.display().to_string(), problem };
        let bytes = read_bounded(&self.file, LONGEST)?.ok_or_else(|| wrong("does not exist".to_owned()))?;
        let mut text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))?;
        let signers = keys.iter().map(|entry| entry.to_value(raw_payload)).collect::<Result<Vec<_>, _>>();
        let signers = json!({"signers": signers.map_err(wrong)?});
        // A list of tables may go on at the end of the file.
        text.push('\n');
        text.push_str(&toml::to_string(&signers).map_err(|error| wrong(error.to_string()))?);
        let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(said_of_toml(&error)))?;
        let mut published = to_json(&toml::Value::Table(table)).map_err(wrong)?;
        published["mediaType"] = builders::BUILDER_MEDIA_TYPE.into();
        Builder::parse(&publishable(&published)).map_err(|error| wrong(error.to_string()))?;
        write_durably(&self.file, text.as_bytes())?;
        Ok(())
    }
}
