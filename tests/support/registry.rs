//! A working copy in a temporary directory, with people who sign. Keys have fixed seeds; the time is given.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Duration, Utc};
use trustroot::ceremony::{AcceptedRisks, CeremonyError, EventName, SigningEvent, rehearse};
use trustroot::client::write_durably;
use trustroot::crypto::{SecretKey, spki_to_pem};
use trustroot::metadata::{RoleName, Version};
use trustroot::publish::{PublishError, PublishPlan};
use trustroot::repository::{Proposal, RepositoryError, SignedState, WorkingCopy};
use trustroot::signers::Signer;
use trustroot::trust::UpdateStart;

use super::block_on;

/// A registry and its people. Alice, Bob and Carol hold root and targets (two of three), `online` the online roles.
pub struct Registry {
    directory: tempfile::TempDir,
    people: BTreeMap<String, SecretKey>,
    pub now: DateTime<Utc>,
}

pub const OPPY: &str = "https://oppy.example/slsa/builder/v1";

impl Registry {
    pub fn new() -> Self {
        Self::at("2026-03-01T12:00:00Z".parse().unwrap())
    }

    /// Begins at this time.
    pub fn at(now: DateTime<Utc>) -> Self {
        let mut registry = Self { directory: tempfile::tempdir().unwrap(), people: BTreeMap::new(), now };
        let mut text = "name = \"Test registry\"\n".to_owned();
        for person in ["alice", "bob", "carol", "online"] {
            registry.add_person(person);
            writeln!(text, "[people.{person}]\nkeys = [\"keys/{person}.pub\"]").unwrap();
        }
        for (role, signers, threshold, days) in [
            ("root", "\"alice\", \"bob\", \"carol\"", 2, 365),
            ("targets", "\"alice\", \"bob\", \"carol\"", 2, 180),
            ("snapshot", "\"online\"", 1, 14),
            ("timestamp", "\"online\"", 1, 7),
        ] {
            writeln!(
                text,
                "[roles.{role}]\nsigners = [{signers}]\nthreshold = {threshold}\nexpires-after-days = {days}\n\
                 sign-within-days = 3"
            )
            .unwrap();
        }
        registry.write("trustroot.toml", &text);
        registry
    }

    /// A registry that has signed its root and its targets, with the namespace `oppy` and its builder.
    pub fn with_builder() -> Self {
        Self::new().and_builder()
    }

    /// Signs root and targets, with the namespace `oppy` and its builder.
    pub fn and_builder(mut self) -> Self {
        let registry = &mut self;
        registry.add_oppy();
        registry.hold("root", &["alice", "bob"]).unwrap();
        registry.hold("targets", &["alice", "bob"]).unwrap();
        registry.hold("oppy", &["oppy-dev"]).unwrap();
        self
    }

    /// Grants `https://oppy.example/slsa/` to the namespace `oppy`, up to L3, and writes its builder's document.
    pub fn add_oppy(&mut self) {
        self.add_person("oppy-dev");
        let start = (self.now + Duration::hours(1)).to_rfc3339();
        self.edit("trustroot.toml", |text| {
            format!(
                "{text}\n[people.oppy-dev]\nkeys = [\"keys/oppy-dev.pub\"]\n\n[namespaces.oppy]\nsigners = [\"oppy-dev\"]\n\
                 threshold = 1\nexpires-after-days = 90\nsign-within-days = 30\n\n[namespaces.oppy.catalog]\n\
                 grants = {{ builders = [\"https://oppy.example/slsa/\"] }}\n\
                 caps = [{{ level = \"SLSA_BUILD_LEVEL_3\", validFor = {{ start = \"{start}\" }} }}]\n"
            )
        });
        self.write_builder("v1", OPPY, "SLSA_BUILD_LEVEL_3");
    }

    /// Writes the document of a builder of `oppy`, with a key of its own.
    pub fn write_builder(&mut self, file: &str, id: &str, level: &str) {
        let person = format!("builder-{file}");
        self.add_person(&person);
        let spki = self.key(&person).canonical_spki().to_vec();
        let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, spki);
        let start = (self.now + Duration::hours(1)).to_rfc3339();
        let text = format!(
            "builderId = \"{id}\"\ndisplayName = \"Oppy autobuilder\"\nstatus = \"active\"\nthreshold = 1\n\n[[signers]]\n\
             name = \"2026a\"\ntype = \"key\"\nstatus = \"active\"\nenvelope = \"dsse\"\nsignatureEncoding = \"der\"\n\
             publicKey = {{ rawBytes = \"{key}\", keyDetails = \"PKIX_ED25519\", validFor = {{ start = \"{start}\" }} }}\n\n\
             [[qualifications]]\nlevel = \"{level}\"\nspec = \"1.2\"\nvalidFor = {{ start = \"{start}\" }}\n"
        );
        self.write(&format!("builders/oppy/{file}.toml"), &text);
    }

    /// Makes a key for somebody, always the same for a name, and puts its public half into `keys/`.
    pub fn add_person(&mut self, person: &str) {
        let seed = trustroot::crypto::sha256(person.as_bytes());
        self.add_key(person, SecretKey::ed25519_from_seed(&seed).unwrap());
    }

    /// Gives somebody this key.
    pub fn add_key(&mut self, person: &str, key: SecretKey) {
        self.write(&format!("keys/{person}.pub"), &spki_to_pem(key.canonical_spki()).unwrap());
        self.people.insert(person.to_owned(), key);
    }

    pub fn key(&self, person: &str) -> &SecretKey {
        &self.people[person]
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn published(&self) -> PathBuf {
        self.path("public")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_durably(&path, text.as_bytes()).unwrap();
    }

    pub fn edit(&self, name: &str, change: impl Fn(String) -> String) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text, "the edit changes nothing");
        self.write(name, &changed);
    }

    pub fn start_time(&self) -> UpdateStart {
        UpdateStart::at(self.now)
    }

    pub fn copy(&self) -> WorkingCopy {
        WorkingCopy::open(self.directory.path()).unwrap()
    }

    pub fn signed(&self) -> SignedState {
        self.copy().signed(self.start_time()).unwrap()
    }

    pub fn propose(&self, role: &str) -> Result<Proposal, RepositoryError> {
        let role = match role {
            "root" => RoleName::Root,
            "targets" => RoleName::Targets,
            name => RoleName::delegated(name).unwrap(),
        };
        let copy = WorkingCopy::open(self.directory.path())?;
        Proposal::of(&copy, &copy.signed(self.start_time())?, &role, self.now)
    }

    /// Starts an event under its usual name.
    pub fn start(&self, role: &str) -> SigningEvent {
        let proposal = self.propose(role).unwrap();
        let name = EventName::of(&proposal.role, proposal.version);
        SigningEvent::start(&self.copy(), &self.signed(), &proposal, &name).unwrap()
    }

    pub fn event(&self, name: &str) -> SigningEvent {
        SigningEvent::open(&self.copy(), &name.parse().unwrap()).unwrap()
    }

    /// Puts the file of a signature into an event, under its proper name.
    pub fn put_signature(&self, event: &SigningEvent, filed: &serde_json::Value) {
        let text = |field: &str| filed[field].as_str().unwrap();
        let (payload, keyid, sig) = (text("payloadSha256"), text("keyid"), text("sig"));
        let distinct = trustroot::crypto::sha256(format!("{payload}\n{keyid}\n{sig}").as_bytes());
        let name = format!("{}.{keyid}.{}.json", &payload[..16], hex::encode(&distinct[..8]));
        self.write(&format!("signing-events/{}/signatures/{name}", event.name), &filed.to_string());
    }

    /// Puts somebody's word that a payload is withdrawn into an event, under its proper name.
    pub fn put_withdrawal(&self, event: &str, withdrawn: &serde_json::Value) {
        let text = |field: &str| withdrawn[field].as_str().unwrap();
        let (payload, reason, at) = (text("payloadSha256"), text("reason"), text("at"));
        let distinct = trustroot::crypto::sha256(format!("{payload}\n{reason}\n{at}").as_bytes());
        let name = format!("{}.{}.json", &payload[..16], hex::encode(&distinct[..8]));
        self.write(&format!("signing-events/{event}/withdrawn/{name}"), &withdrawn.to_string());
    }

    pub fn sign(&self, event: &mut SigningEvent, person: &str) -> Result<Vec<PathBuf>, CeremonyError> {
        event.sign(&self.signed(), self.key(person))
    }

    pub fn finish(&self, event: &SigningEvent) -> Result<Version, CeremonyError> {
        event.finish(&self.copy(), &self.signed(), self.now, &AcceptedRisks::default())
    }

    /// A whole ceremony.
    pub fn hold(&self, role: &str, signers: &[&str]) -> Result<Version, CeremonyError> {
        let mut event = self.start(role);
        for signer in signers {
            self.sign(&mut event, signer)?;
        }
        self.finish(&event)
    }

    pub fn plan(&self, keys: &[&str]) -> Result<PublishPlan, PublishError> {
        let keys: Vec<Box<dyn Signer>> = keys.iter().map(|person| Box::new(self.again(person)) as _).collect();
        block_on(PublishPlan::prove(&self.copy(), &self.published(), &keys, self.start_time()))
    }

    pub fn publish(&self) -> Result<PublishPlan, PublishError> {
        let plan = self.plan(&["online"])?;
        block_on(plan.apply())?;
        Ok(plan)
    }

    /// The same secret key once more: it cannot be cloned.
    fn again(&self, person: &str) -> SecretKey {
        SecretKey::from_pem(&self.key(person).to_unencrypted_pem(), None).unwrap()
    }

    /// Another registry: those who hold its keys are others, of the same names.
    pub fn other(now: DateTime<Utc>) -> Self {
        let mut registry = Self::at(now);
        for (person, seed) in [("alice", 5), ("bob", 6), ("carol", 7), ("online", 8)] {
            registry.add_key(person, SecretKey::ed25519_from_seed(&[seed; 32]).unwrap());
        }
        registry
    }

    /// A rehearsal of this registry, with those who have keys made for it.
    pub fn rehearse(&self) -> Self {
        self.rehearse_with(&BTreeMap::new()).unwrap()
    }

    /// A rehearsal to which these people bring keys.
    pub fn rehearse_with(&self, brought: &BTreeMap<String, SecretKey>) -> Result<Self, CeremonyError> {
        let directory = tempfile::tempdir().unwrap();
        let spkis = brought.iter().map(|(person, key)| (person.clone(), vec![key.canonical_spki().to_vec()])).collect();
        let made = rehearse(&self.copy(), &self.signed(), directory.path(), &spkis, self.start_time())?;
        let mut people = BTreeMap::new();
        for stand_in in made.stand_ins {
            let pem = stand_in.file.map(|file| std::fs::read_to_string(file).unwrap());
            let key = pem.unwrap_or_else(|| brought[&stand_in.holder].to_unencrypted_pem().to_string());
            let key = SecretKey::from_pem(&key, None).unwrap();
            // The first key of somebody is the one of today.
            people.entry(stand_in.holder).or_insert(key);
        }
        Ok(Self { directory, people, now: self.now })
    }

    /// Copies what is published, as a server would have it.
    pub fn serve_from(&self, directory: &Path) {
        for (path, content) in self.files("public") {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_durably(&path, &content).unwrap();
        }
    }

    /// Every file below a directory, with its content.
    pub fn files(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        files(&self.path(below))
    }
}

/// Every file below a directory, with its content. The lock is none of them.
pub fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && entry.file_name() != ".lock")
        .map(|entry| (entry.path().strip_prefix(directory).unwrap().to_owned(), std::fs::read(entry.path()).unwrap()))
        .collect()
}
