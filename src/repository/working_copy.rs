//! The directory that maintainers work in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;
use serde_json::Value;

use super::document::{publishable, read_namespace, to_json};
use super::lint::holds_private_key;
use super::{
    Config, NamespaceFile, Rehearsal, RepositoryError, RsaScheme, SignedRole, SignedState, Witnesses, rehearsal,
};
use crate::builders::{CATALOG_MEDIA_TYPE, CATALOG_PATH, Catalog, Namespace};
use crate::crypto::{KeyFamily, VerifyingKey, metadata_key, sha256, spki_from_pem};
use crate::example_keys::example_key_name;
use crate::fs::{files_below, read_below, read_bounded, refuse_links};
use crate::key_attestation::{Evidence, LONGEST_CHAIN_FILE, check_certificates};
use crate::metadata::{Occasion, PublicKey, RoleName, TargetPath};
use crate::trust::UpdateStart;

/// The reviewed configuration.
pub const CONFIG_FILE: &str = "trustroot.toml";
/// Where what has been signed lies, as it will be published.
pub const SIGNED_DIRECTORY: &str = "repository";

/// Where the files lie that delegated roles name, in a directory for each.
const DELEGATED_DIRECTORY: &str = "delegated";

/// The directory of a delegated role's files: its name as one path component, which does not start with a dot.
pub(super) fn delegated_name(role: &RoleName) -> String {
    let encoded = role.encoded();
    match encoded.as_str().strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => encoded.as_str().to_owned(),
    }
}

/// Longest configuration that is read, in bytes.
const LONGEST_CONFIG: u64 = 16 << 20;
/// Longest file with a public key that is read, in bytes.
const LONGEST_KEY: u64 = 64 << 10;
/// Longest of the other files that are distributed, in bytes: they are held in memory while they are signed for.
pub(super) const LONGEST_TARGET: u64 = 256 << 20;

/// A working copy: where it is, and its configuration.
#[derive(Debug, Clone)]
pub struct WorkingCopy {
    directory: PathBuf,
    config: Config,
    /// The SHA-256 of the configuration's file.
    config_sha256: [u8; 32],
}

/// A public key and who holds it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeldKey {
    /// The name of the person in the configuration.
    pub holder: String,
    /// The key as metadata will list it, with its holder.
    pub listed: PublicKey,
    /// The key.
    pub key: VerifyingKey,
    /// Whether the configuration says in so many words what metadata calls its holder.
    pub(super) owner_is_said: bool,
}

/// The name of a file with an attestation or a root, as [`Evidence`] has it.
pub fn evidence_name(file: &Path) -> String {
    file.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}

impl WorkingCopy {
    /// Opens a working copy.
    ///
    /// # Errors
    /// When there is none, or its configuration is wrong.
    pub fn open(directory: &Path) -> Result<Self, RepositoryError> {
        let bytes = read_below(directory, &directory.join(CONFIG_FILE), LONGEST_CONFIG)?
            .ok_or_else(|| RepositoryError::NoWorkingCopy { directory: directory.to_owned() })?;
        let text =
            String::from_utf8(bytes).map_err(|_| RepositoryError::configuration(CONFIG_FILE, "is not UTF-8 text"))?;
        let config_sha256 = sha256(text.as_bytes());
        Ok(Self { directory: directory.to_owned(), config: Config::parse(&text)?, config_sha256 })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The SHA-256 of the file that the configuration was read from, or written to.
    pub fn config_sha256(&self) -> &[u8; 32] {
        &self.config_sha256
    }

    pub(super) fn set_config(&mut self, config: Config, text: &str) {
        self.config = config;
        self.config_sha256 = sha256(text.as_bytes());
    }

    /// Whether what is signed here is meant, or rehearsed.
    pub fn occasion(&self) -> Occasion {
        if self.config.rehearsal.is_some() { Occasion::Rehearsal } else { Occasion::Real }
    }

    /// Where what has been signed lies.
    pub fn signed_directory(&self) -> PathBuf {
        self.directory.join(SIGNED_DIRECTORY)
    }

    /// Where signing events lie.
    pub fn events_directory(&self) -> PathBuf {
        self.directory.join("signing-events")
    }

    /// A path below the working copy, by its name there, that no link leads somewhere else.
    ///
    /// # Errors
    /// When a part of it is a symbolic link.
    pub fn below(&self, name: impl AsRef<Path>) -> Result<PathBuf, RepositoryError> {
        self.free_of_links(self.directory.join(name))
    }

    /// A path that begins with the directory of the working copy, and that no link leads somewhere else.
    ///
    /// # Errors
    /// When a part of it is a symbolic link.
    pub(crate) fn free_of_links(&self, path: PathBuf) -> Result<PathBuf, RepositoryError> {
        refuse_links(&self.directory, &path)?;
        Ok(path)
    }

    /// What has been signed, verified from the first root on.
    ///
    /// # Errors
    /// See [`SignedState::read`].
    pub fn signed(&self, start: UpdateStart) -> Result<SignedState, RepositoryError> {
        SignedState::read_for(self.occasion(), &self.below(SIGNED_DIRECTORY)?, start)
    }

    /// The keys of somebody.
    ///
    /// # Errors
    /// When there is no such person, or a key cannot be read or is a throwaway key outside a trial, or belongs to a
    /// rehearsal outside of one, or in one to what is rehearsed.
    pub fn keys_of(&self, person: &str) -> Result<Vec<HeldKey>, RepositoryError> {
        let at = format!("{CONFIG_FILE}: people.{person}");
        let held = self.config.people.get(person);
        let held = held.ok_or_else(|| RepositoryError::configuration(at, "there is no such person"))?;
        let keys: Vec<HeldKey> =
            held.keys.iter().map(|file| self.read_key(person, file, held.rsa_scheme)).collect::<Result<_, _>>()?;
        if held.rsa_scheme.is_some() && !keys.iter().any(|key| key.listed.keytype() == "rsa") {
            let at = format!("{CONFIG_FILE}: people.{person}.rsa-scheme");
            return Err(RepositoryError::configuration(at, "none of the keys is an RSA key"));
        }
        Ok(keys)
    }

    fn read_key(&self, person: &str, file: &Path, scheme: Option<RsaScheme>) -> Result<HeldKey, RepositoryError> {
        let at = format!("{CONFIG_FILE}: people.{person}: {}", file.display());
        let wrong = |problem: String| RepositoryError::configuration(at.clone(), problem);
        let bytes = self.read_named(file, LONGEST_KEY, &at)?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not PEM".to_owned()))?;
        if text.contains("PRIVATE KEY") {
            return Err(wrong(
                "holds a SECRET key: take it out of the working copy, and out of its history".to_owned(),
            ));
        }
        let mut plain =
            spki_from_pem(&text).and_then(|spki| metadata_key(&spki)).map_err(|problem| wrong(problem.to_string()))?;
        if let Some(scheme) = scheme.filter(|_| plain.keytype() == "rsa") {
            plain = PublicKey::new("rsa", scheme.name(), plain.public());
        }
        let key = VerifyingKey::from_metadata(&plain).map_err(|problem| wrong(problem.to_string()))?;
        self.check_let_in(person, &key)?;
        let owner = self.config.people.get(person).and_then(|held| held.owner.as_deref());
        let listed = plain.held_by(owner.unwrap_or(person));
        Ok(HeldKey { holder: person.to_owned(), listed, key, owner_is_said: owner.is_some() })
    }

    /// Whether a key may be in use here, whoever holds it.
    ///
    /// # Errors
    /// When it is a throwaway key outside a trial, one of a rehearsal outside of it, or in one of what is rehearsed.
    pub(crate) fn check_let_in(&self, person: &str, key: &VerifyingKey) -> Result<(), RepositoryError> {
        if !self.config.trial
            && let Some(name) = example_key_name(key.canonical_spki())
        {
            return Err(RepositoryError::ExampleKey { holder: person.to_owned(), key: name });
        }
        let refused = match &self.config.rehearsal {
            Some(rehearsal) => rehearsal.refuses(key.canonical_spki()),
            None => rehearsal::marked(&self.directory)?.contains(&hex::encode(sha256(key.canonical_spki()))),
        };
        if refused {
            let (holder, occasion) = (person.to_owned(), self.occasion());
            return Err(RepositoryError::OtherOccasion { holder, occasion });
        }
        Ok(())
    }

    /// Reads a file that the configuration names, at a place in it.
    fn read_named(&self, file: &Path, limit: u64, at: &str) -> Result<Vec<u8>, RepositoryError> {
        let leaves = file.components().any(|part| !matches!(part, std::path::Component::Normal(_)));
        if leaves {
            return Err(RepositoryError::configuration(at, "must be a path below the working copy"));
        }
        match read_below(&self.directory, &self.directory.join(file), limit) {
            Ok(bytes) => bytes.ok_or_else(|| RepositoryError::configuration(at, "does not exist")),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(RepositoryError::configuration(at, format!("is longer than {limit} bytes")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What devices say of people's keys. Nothing of it is verified here.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be read, or holds something else than certificates.
    pub fn evidence(&self) -> Result<Evidence, RepositoryError> {
        let mut evidence = Evidence::default();
        for (person, held) in &self.config.people {
            for file in &held.attestations {
                let at = format!("{CONFIG_FILE}: people.{person}: {}", file.display());
                evidence.chains.insert(evidence_name(file), self.read_certificates(file, &at)?);
            }
        }
        for file in &self.config.attestation_roots {
            let at = format!("{CONFIG_FILE}: attestation-roots: {}", file.display());
            evidence.roots.insert(evidence_name(file), self.read_certificates(file, &at)?);
        }
        Ok(evidence)
    }

    /// Reads certificates that the configuration names. They go into every request, so it must be that and no more.
    fn read_certificates(&self, file: &Path, at: &str) -> Result<Vec<u8>, RepositoryError> {
        let bytes = self.read_named(file, LONGEST_CHAIN_FILE, at)?;
        if holds_private_key(&bytes) {
            let problem = "holds a SECRET key: take it out of the working copy, and out of its history";
            return Err(RepositoryError::configuration(at, problem));
        }
        check_certificates(&bytes).map_err(|error| RepositoryError::configuration(at, error.to_string()))?;
        Ok(bytes)
    }

    /// The keys that may sign a role, by its policy.
    ///
    /// # Errors
    /// When there is no such role, a key cannot be read, one key stands there twice, a threshold can never be met, or
    /// one person alone could sign for root or targets.
    pub fn keys_for(&self, role: &RoleName) -> Result<Vec<HeldKey>, RepositoryError> {
        let policy = self.config.policy(role)?;
        let mut keys: Vec<HeldKey> = Vec::new();
        let wrong = |problem: String| {
            RepositoryError::configuration(format!("{CONFIG_FILE}: {}", self.config.place(role)), problem)
        };
        let mut most_of_one = 0;
        for signer in &policy.signers {
            let held = self.keys_of(signer)?;
            most_of_one = most_of_one.max(held.len() as u64);
            for key in held {
                if let Some(same) = keys.iter().find(|same| same.key.canonical_spki() == key.key.canonical_spki()) {
                    let problem = format!("one key stands there twice, held by {} and {}", same.holder, key.holder);
                    return Err(wrong(problem));
                }
                keys.push(key);
            }
        }
        if policy.threshold > (keys.len() + policy.kept_keyids.len()) as u64 {
            let problem = format!("{} of {} keys can never sign", policy.threshold, keys.len());
            return Err(wrong(problem));
        }
        for family in KeyFamily::ALL {
            let needed = policy.family_thresholds.unwrap_or_default().of(family);
            let there = keys.iter().filter(|key| key.key.family() == family).count();
            if needed > there as u64 {
                let problem = format!("{needed} {family} keys must sign, and {there} of its {} keys are", keys.len());
                return Err(wrong(problem));
            }
        }
        let by_several = matches!(role, RoleName::Root | RoleName::Targets) && !policy.one_may_sign;
        if by_several && most_of_one >= policy.threshold {
            return Err(wrong("one person alone could sign; raise the threshold, or let more people sign".to_owned()));
        }
        Ok(keys)
    }

    /// Who must witness ceremonies, as the configuration has it; `None` where nobody must.
    ///
    /// # Errors
    /// When a key cannot be read, or the threshold can never be met.
    pub fn witnesses(&self) -> Result<Option<Witnesses>, RepositoryError> {
        let ceremony = &self.config.ceremony;
        if ceremony.witnesses.is_empty() {
            return Ok(None);
        }
        let held = ceremony.witnesses.iter().map(|witness| self.keys_of(witness)).collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<PublicKey> = held.into_iter().flatten().map(|held| held.listed).collect();
        let roles = [RoleName::Root, RoleName::Targets].into_iter().filter(|role| {
            let named = ceremony.witnessed_roles.as_ref();
            named.is_none_or(|named| named.iter().any(|name| name == role.as_str()))
        });
        let witnesses = Witnesses { keys, threshold: ceremony.witness_threshold.unwrap_or(1), roles: roles.collect() };
        let keys = witnesses.physical().len();
        if witnesses.threshold > keys as u64 {
            let problem = format!("{} of {keys} witnesses can never sign", witnesses.threshold);
            return Err(RepositoryError::configuration(format!("{CONFIG_FILE}: ceremony.witness-threshold"), problem));
        }
        Ok(Some(witnesses))
    }

    /// The builders and verifiers of a namespace.
    ///
    /// # Errors
    /// When one is malformed, or two are about the same ID.
    pub fn documents(&self, namespace: &Namespace) -> Result<Vec<NamespaceFile>, RepositoryError> {
        read_namespace(&self.directory, namespace)
    }

    /// The catalog as the configuration has it.
    ///
    /// `minVersion` is the version of each namespace's role that is signed today, so that whoever holds the snapshot
    /// keys cannot serve an older one.
    ///
    /// # Errors
    /// When it would not pass the rules for catalogs.
    pub fn catalog(&self, signed: &SignedState) -> Result<Vec<u8>, RepositoryError> {
        let mut namespaces = serde_json::Map::new();
        for (name, namespace) in &self.config.namespaces {
            let at = format!("{CONFIG_FILE}: namespaces.{name}.catalog");
            let wrong = |problem: String| RepositoryError::configuration(at.clone(), problem);
            let mut entry = to_json(&toml::Value::Table(namespace.catalog.clone())).map_err(wrong)?;
            for decided in ["role", "minVersion"] {
                if entry.get(decided).is_some() {
                    return Err(RepositoryError::configuration(at, format!("`{decided}` is filled in by the program")));
                }
            }
            let role = RoleName::Delegated(name.as_str().into());
            let least = signed.namespace(&role)?.map_or(1, |document| document.version().get());
            entry["role"] = name.as_str().into();
            entry["minVersion"] = least.into();
            namespaces.insert(name.clone(), entry);
        }
        let denials: Result<Vec<Value>, String> = self.config.denials.iter().map(to_json).collect();
        let denials =
            denials.map_err(|problem| RepositoryError::configuration(format!("{CONFIG_FILE}: denials"), problem))?;
        let mut catalog = serde_json::json!({"mediaType": CATALOG_MEDIA_TYPE, "namespaces": namespaces});
        if !denials.is_empty() {
            catalog["denials"] = denials.into();
        }
        let bytes = publishable(&catalog);
        Catalog::parse(&bytes).map_err(|error| RepositoryError::configuration(CONFIG_FILE, error.to_string()))?;
        Ok(bytes)
    }

    /// The files that the top-level targets will name: everything below `targets/`, and the catalog where there is one.
    ///
    /// # Errors
    /// When one cannot be read, or has a name that belongs to somebody else.
    pub fn top_level_targets(&self, signed: &SignedState) -> Result<BTreeMap<TargetPath, Vec<u8>>, RepositoryError> {
        let mut files = self.named_files(&self.directory.join("targets"), signed.targets())?;
        if self.config.catalog {
            let catalog = TargetPath::new(CATALOG_PATH).expect("the catalog's path is a target path");
            files.insert(catalog, self.catalog(signed)?);
        }
        Ok(files)
    }

    /// The files below a directory, by their paths there. Hidden ones are none, unless they are signed for already.
    fn named_files(
        &self,
        base: &Path,
        before: Option<&SignedRole>,
    ) -> Result<BTreeMap<TargetPath, Vec<u8>>, RepositoryError> {
        let mut files = BTreeMap::new();
        for file in files_below(&self.directory, base)? {
            let relative = file.strip_prefix(base).expect("below the directory that is walked");
            let wrong = |problem: String| RepositoryError::configuration(relative.display().to_string(), problem);
            let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let text = relative.to_str().map(|text| text.replace(std::path::MAIN_SEPARATOR, "/"));
            let signed_for = |path: &TargetPath| {
                before.is_some_and(|before| before.document.find(path).is_ok_and(|found| found.is_some()))
            };
            if hidden
                && !text.as_ref().and_then(|text| TargetPath::new(text).ok()).is_some_and(|path| signed_for(&path))
            {
                continue;
            }
            let text = text.ok_or_else(|| wrong("has a name that is not UTF-8".to_owned()))?;
            let path = TargetPath::new(&text).map_err(|error| wrong(error.to_string()))?;
            if text.starts_with("slsa/") {
                return Err(wrong("`slsa/` holds the catalog and the builders, which are written elsewhere".into()));
            }
            let bytes = read_bounded(&file, LONGEST_TARGET)?.unwrap_or_default();
            if holds_private_key(&bytes) {
                return Err(wrong("holds a SECRET key, and would be published".to_owned()));
            }
            files.insert(path, bytes);
        }
        Ok(files)
    }

    /// Where the files lie that a role names which is delegated to and is no namespace.
    pub fn delegated_directory(&self, role: &RoleName) -> PathBuf {
        self.directory.join(DELEGATED_DIRECTORY).join(delegated_name(role))
    }

    /// The files that a role will name.
    ///
    /// # Errors
    /// When one is malformed, or the role names no targets.
    pub fn targets_of(
        &self,
        role: &RoleName,
        signed: &SignedState,
    ) -> Result<BTreeMap<TargetPath, Vec<u8>>, RepositoryError> {
        match role {
            RoleName::Targets => self.top_level_targets(signed),
            RoleName::Delegated(name) if self.config.namespaces.contains_key(&**name) => {
                let namespace: Namespace =
                    Namespace::parse(name).map_err(|_| RepositoryError::UnknownRole { role: role.clone() })?;
                Ok(self.documents(&namespace)?.into_iter().map(|document| (document.target, document.json)).collect())
            }
            RoleName::Delegated(name) if self.config.delegations.contains_key(&**name) => {
                self.named_files(&self.delegated_directory(role), signed.role(role)?.as_ref())
            }
            other => Err(RepositoryError::UnknownRole { role: other.clone() }),
        }
    }

    /// Where a builder's file lies.
    ///
    /// # Errors
    /// When a symbolic link leads there.
    pub fn builder_file(&self, namespace: &Namespace, name: &str) -> Result<PathBuf, RepositoryError> {
        self.below(Path::new("builders").join(namespace.as_str()).join(format!("{name}.toml")))
    }

    /// Adds a namespace to the configuration, leaving everything else in the file as it was written.
    ///
    /// # Errors
    /// When it is there already, or the configuration would be wrong with it.
    pub fn add_namespace(&mut self, namespace: &Namespace, text: &str) -> Result<(), RepositoryError> {
        if self.config.namespaces.contains_key(namespace.as_str()) {
            let at = format!("{CONFIG_FILE}: namespaces.{namespace}");
            return Err(RepositoryError::configuration(at, "is there already"));
        }
        let path = self.below(CONFIG_FILE)?;
        let mut whole = fs::read_to_string(&path)?;
        if !whole.ends_with('\n') {
            whole.push('\n');
        }
        whole.push('\n');
        whole.push_str(text);
        self.set_config(Config::parse(&whole)?, &whole);
        // What the catalog would say is judged before anything is written.
        self.catalog(&SignedState::none(&self.signed_directory()))?;
        crate::fs::write_durably(&path, whole.as_bytes())?;
        Ok(())
    }

    /// The configuration of a rehearsal: this one as it was written, and what is rehearsed.
    pub(crate) fn rehearsal_configuration(&self, rehearsal: &Rehearsal) -> Result<String, RepositoryError> {
        #[derive(Serialize)]
        struct Table<'a> {
            rehearsal: &'a Rehearsal,
        }
        let table = toml::to_string_pretty(&Table { rehearsal })
            .map_err(|error| RepositoryError::configuration(CONFIG_FILE, error.to_string()))?;
        let whole = format!(
            "{}\n# This is a rehearsal: nothing that is signed here is valid anywhere. The keys of the real repository are \
             refused.\n{table}",
            fs::read_to_string(self.directory.join(CONFIG_FILE))?
        );
        Config::parse(&whole)?;
        Ok(whole)
    }
}
