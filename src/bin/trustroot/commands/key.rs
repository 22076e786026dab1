//! `trustroot key attested|generate|inspect|list|show`

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::client::read_argument;
use trustroot::crypto::{KeyAlgorithm, KeyFile, Passphrase, SecretKey, VerifyingKey, sha256, spki_to_pem};
use trustroot::example_keys::example_key_name;
use trustroot::key_attestation::{AttestationError, AttestedKey, DeviceRoots, LONGEST_CHAIN_FILE, verify_attestation};
use trustroot::metadata::{DelegationRule, Envelope, KeyId, PublicKey, Root, Targets};
#[cfg(feature = "pkcs11")]
use trustroot::signers::{Pkcs11Error, Token};

use crate::args::{
    KeyAttestedOptions, KeyCommand, KeyForgetOptions, KeyGenerateOptions, KeyInspectOptions, KeyListOptions,
    KeyShowOptions, KeyType,
};
use crate::keys::{self, KeyOptions};
use crate::output::{self, Show, ShownPath};
use crate::registered;
use crate::report::{Outcome, Report};
use crate::ui::{Session, read_named, show_path};

/// Shortest passphrase for a new key, in bytes.
const SHORTEST_PASSPHRASE: usize = 8;

/// Longest metadata file that a key is looked up in, in bytes.
const LONGEST_METADATA: u64 = 512_000_000;

pub(crate) fn run(session: &Session, command: KeyCommand) -> Result<(), Report> {
    match command {
        KeyCommand::Attested(options) => attested(session, &options),
        KeyCommand::Generate(options) => generate(session, &options),
        KeyCommand::Inspect(options) => inspect(session, &options),
        KeyCommand::List(options) => list(session, &options),
        KeyCommand::Show(options) => show(session, &options),
        KeyCommand::ForgetRepository(options) => forget_repository(session, &options),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    secret_key: ShownPath,
    public_key: ShownPath,
    encrypted: bool,
    #[serde(flatten)]
    key: KeyFacts,
}

impl Show for Generated {
    fn text(&self) -> String {
        let encrypted = if self.encrypted { "encrypted" } else { "NOT encrypted" };
        format!(
            "made {}, {} key, {encrypted}\n{}  public  {}\n",
            self.secret_key,
            self.key.kind,
            self.key.lines(),
            self.public_key
        )
    }
}

/// What there is to say of a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyFacts {
    kind: String,
    keyid: String,
    /// The SHA-256 of the canonical SubjectPublicKeyInfo: what names the physical key.
    spki_sha256: String,
    metadata: Value,
    /// The name of a key that everybody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    example_key: Option<&'static str>,
}

impl KeyFacts {
    fn of(key: &PublicKey) -> Result<Self, Report> {
        let verifying = VerifyingKey::from_metadata(key)
            .map_err(|problem| Report::new(Outcome::WrongQuestion, "key-unsupported", problem.to_string()))?;
        let spki = verifying.canonical_spki();
        let metadata = json!({
            "keytype": key.keytype(), "scheme": key.scheme(), "keyval": {"public": key.public()},
        });
        Ok(Self {
            kind: verifying.describe(),
            keyid: key.keyid().as_str().to_owned(),
            spki_sha256: hex::encode(sha256(spki)),
            metadata,
            example_key: example_key_name(spki),
        })
    }

    fn lines(&self) -> String {
        let note = self
            .example_key
            .map(|name| format!("  note: this is the example key `{name}`, whose secret half everybody has\n"));
        format!("  keyid   {}\n  spki    sha256:{}\n{}", self.keyid, self.spki_sha256, note.unwrap_or_default())
    }
}

fn generate(session: &Session, options: &KeyGenerateOptions) -> Result<(), Report> {
    let public_path = beside(&options.file);
    // Before anybody types a passphrase.
    for path in [&options.file, &public_path] {
        if path.symlink_metadata().is_ok() {
            return Err(keys::file_exists(path));
        }
    }
    let passphrase =
        if options.unencrypted { None } else { Some(new_passphrase(session, options.passphrase_file.as_deref())?) };
    let failed = |error: trustroot::crypto::SigningError| {
        Report::new(Outcome::WrongQuestion, error.code(), error.to_string()).still("nothing was written")
    };
    let key = SecretKey::generate(options.kind.algorithm()).map_err(failed)?;
    let facts = KeyFacts::of(key.public())?;
    let pem = match &passphrase {
        Some(passphrase) => key.to_pem(passphrase).map_err(failed)?,
        None => key.to_unencrypted_pem(),
    };
    let public =
        spki_to_pem(key.canonical_spki()).map_err(|problem| Report::new(Outcome::Bug, "bug", problem.to_string()))?;
    keys::create_private(&options.file, pem.as_bytes())?;
    keys::create_public(&public_path, public.as_bytes())?;
    let generated = Generated {
        secret_key: ShownPath::of(&options.file),
        public_key: ShownPath::of(&public_path),
        encrypted: passphrase.is_some(),
        key: facts,
    };
    output::show(session.format, &generated)
}

/// Where the public half goes: `alice.pem` and `alice` have `alice.pub`.
fn beside(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|extension| extension == "pem") {
        return path.with_extension("pub");
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn new_passphrase(session: &Session, file: Option<&Path>) -> Result<Passphrase, Report> {
    let passphrase = match file {
        Some(file) => keys::read_passphrase(file)?,
        None => {
            let first = keys::ask(session, "passphrase for the new key: ")?;
            let again = keys::ask(session, "the same again: ")?;
            if !first.is(&again) {
                return Err(Report::new(Outcome::WrongQuestion, "bad-passphrase", "the two passphrases differ")
                    .still("nothing was written"));
            }
            first
        }
    };
    if passphrase.length() < SHORTEST_PASSPHRASE {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "bad-passphrase",
            format!("the passphrase is too short: {SHORTEST_PASSPHRASE} bytes or more are asked for"),
        )
        .still("nothing was written")
        .hint("several words are easier to remember than eight odd characters"));
    }
    Ok(passphrase)
}

impl KeyType {
    fn algorithm(self) -> KeyAlgorithm {
        match self {
            Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::EcdsaP256 => KeyAlgorithm::EcdsaP256,
            Self::EcdsaP384 => KeyAlgorithm::EcdsaP384,
            Self::Rsa3072 => KeyAlgorithm::Rsa3072,
            Self::MlDsa65 => KeyAlgorithm::MlDsa65,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspected {
    file: ShownPath,
    /// `secret` or `public`.
    half: &'static str,
    encrypted: bool,
    /// How it is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption: Option<String>,
    /// Absent where the key is encrypted: without its passphrase nothing more is known.
    #[serde(flatten)]
    key: Option<KeyFacts>,
    /// Where the delegator lists the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    listed: Option<Vec<Listed>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    keyid: String,
    /// Whom the delegator names as its holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    roles: Vec<String>,
}

/// Where a delegator lists a key, in words.
fn listed_lines(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "  listed  nowhere in the delegator (UNVERIFIED)\n".to_owned();
    }
    let mut text = String::new();
    for entry in listed {
        let roles = if entry.roles.is_empty() { "no role".to_owned() } else { entry.roles.join(", ") };
        let owner = entry.owner.as_ref().map(|owner| format!(", held by {}", Printable(owner))).unwrap_or_default();
        let (keyid, roles) = (Printable(&entry.keyid), Printable(&roles));
        let _ = writeln!(text, "  listed  as {keyid} for {roles}{owner} (UNVERIFIED)");
    }
    text
}

impl Show for Inspected {
    fn text(&self) -> String {
        let mut text = match (&self.encryption, &self.key) {
            (Some(how), _) => format!(
                "{}: a secret key, encrypted ({how})\n  nothing more can be seen without its passphrase; its public half \
                 stands in the `.pub` file beside it\n",
                self.file
            ),
            (None, Some(key)) => {
                let plain = if self.half == "secret" { ", NOT encrypted" } else { "" };
                format!("{}: a {} {} key{plain}\n{}", self.file, self.half, key.kind, key.lines())
            }
            (None, None) => String::new(),
        };
        if let Some(listed) = &self.listed {
            text.push_str(&listed_lines(listed));
        }
        if let Some(key) = &self.key {
            let _ = writeln!(text, "  in metadata\n{}", indented(&key.metadata));
        }
        text
    }
}

fn indented(json: &Value) -> String {
    format!("{json:#}").lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn inspect(session: &Session, options: &KeyInspectOptions) -> Result<(), Report> {
    let text = keys::read_key_file(&options.file)?;
    let file = KeyFile::read(&text).map_err(|error| keys::bad_key_file(&options.file, &error))?;
    let (half, encryption, public) = match file {
        KeyFile::Public(public) => ("public", None, Some(public)),
        KeyFile::Secret(secret) => ("secret", None, Some(secret.public().clone())),
        KeyFile::Encrypted(how) => ("secret", Some(how), None),
        _ => return Err(Report::new(Outcome::Bug, "bug", "a kind of key file that the command does not know")),
    };
    let listed = match (&options.delegator, &public) {
        (None, _) => None,
        (Some(delegator), Some(public)) => Some(listed(delegator, public)?),
        (Some(_), None) => {
            return Err(Report::new(
                Outcome::WrongQuestion,
                "passphrase-needed",
                "the key is encrypted, so it cannot be looked up in the delegator",
            )
            .fact("file", show_path(&options.file))
            .hint("give its public half instead, the `.pub` file beside it"));
        }
    };
    let key = public.as_ref().map(KeyFacts::of).transpose()?;
    let inspected = Inspected {
        file: ShownPath::of(&options.file),
        half,
        encrypted: encryption.is_some(),
        encryption,
        key,
        listed,
    };
    output::show(session.format, &inspected)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeInDevice {
    file: ShownPath,
    #[serde(flatten)]
    key: KeyFacts,
    attested: Device,
    #[serde(skip_serializing_if = "Option::is_none")]
    listed: Option<Vec<Listed>>,
}

/// What is proved of a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    firmware: String,
    serial: Option<u64>,
    slot: Option<String>,
    form: &'static str,
    fips: bool,
    pin: String,
    touch: String,
    root: String,
    root_sha256: String,
    root_is_built_in: bool,
    /// All of it in one line.
    #[serde(skip)]
    pub(super) line: String,
}

impl Device {
    pub(super) fn of(key: &AttestedKey) -> Self {
        Self {
            firmware: key.firmware.clone(),
            serial: key.serial,
            slot: key.slot.clone(),
            form: key.form,
            fips: key.fips,
            pin: key.pin.to_string(),
            touch: key.touch.to_string(),
            root: key.root.clone(),
            root_sha256: hex::encode(key.root_sha256),
            root_is_built_in: key.root_is_built_in,
            line: key.to_string(),
        }
    }
}

impl Show for MadeInDevice {
    fn text(&self) -> String {
        let device = &self.attested;
        let told = |what: Option<String>| what.unwrap_or_else(|| "not told".to_owned());
        let mut text = format!(
            "{}: {} key, made in a YubiKey, which does not give it away\n{}",
            self.file,
            self.key.kind,
            self.key.lines()
        );
        for (name, what) in [
            ("serial", told(device.serial.map(|serial| serial.to_string()))),
            ("slot", told(device.slot.clone())),
            ("version", device.firmware.clone()),
            ("form", format!("{}{}", device.form, if device.fips { ", FIPS series" } else { "" })),
            ("PIN", device.pin.clone()),
            ("touch", device.touch.clone()),
            ("root", format!("{}, sha256:{}", device.root, device.root_sha256)),
        ] {
            let _ = writeln!(text, "  {name:<8}{what}");
        }
        if !device.root_is_built_in {
            text.push_str("  the root is one that you named: whoever has its key could have made all of this\n");
        }
        if let Some(listed) = &self.listed {
            text.push_str(&listed_lines(listed));
        }
        text
    }
}

fn attested(session: &Session, options: &KeyAttestedOptions) -> Result<(), Report> {
    let text = keys::read_key_file(&options.file)?;
    let read = KeyFile::read(&text).map_err(|error| keys::bad_key_file(&options.file, &error))?;
    let KeyFile::Public(public) = read else {
        return Err(Report::new(Outcome::WrongQuestion, "not-a-public-key", "a secret key in a file is in no device")
            .fact("file", show_path(&options.file))
            .hint("name the file with the public half of the key in the device"));
    };
    let refused = |error: &AttestationError, path: &Path| {
        let outcome = if error.code() == "attestation-malformed" { Outcome::WrongQuestion } else { Outcome::No };
        let report = Report::new(outcome, error.code(), error.to_string()).fact("file", show_path(path));
        match error {
            AttestationError::NoIssuer { .. } => report
                .hint(
                    "`--intermediate` names the certificate of the device's slot f9: `yubico-piv-tool -a read-certificate -s f9`",
                )
                .hint("a device of another root needs `--root`: get that from its maker, and compare it with what others publish"),
            _ => report,
        }
    };
    let read = |path: &Path| match read_argument(path, LONGEST_CHAIN_FILE) {
        Ok(bytes) => bytes.ok_or_else(|| Report::no_such_file(path)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(refused(&AttestationError::TooLong, path)),
        Err(error) => Err(Report::io(&error)),
    };
    let mut roots = DeviceRoots::built_in();
    for path in &options.root {
        roots.add(&read(path)?).map_err(|error| refused(&error, path))?;
    }
    let mut chain = vec![read(&options.attestation)?];
    for path in &options.intermediate {
        chain.push(read(path)?);
    }
    let chain: Vec<&[u8]> = chain.iter().map(|pem| &pem[..]).collect();
    let proved = verify_attestation(&chain, &roots, session.start.time())
        .map_err(|error| refused(&error, &options.attestation))?;
    let key = VerifyingKey::from_metadata(&public)
        .map_err(|problem| Report::new(Outcome::WrongQuestion, "key-unsupported", problem.to_string()))?;
    if key.canonical_spki() != proved.spki() {
        return Err(Report::new(Outcome::No, "attestation-of-another-key", "the attestation is of another key")
            .fact("file", show_path(&options.file))
            .fact("spki", format!("sha256:{}", hex::encode(sha256(key.canonical_spki()))))
            .fact("attested", format!("sha256:{}", hex::encode(sha256(proved.spki()))))
            .still("nothing is proved of this key"));
    }
    let listed = options.delegator.as_deref().map(|delegator| listed(delegator, &public)).transpose()?;
    let facts = KeyFacts::of(&public)?;
    let attested =
        MadeInDevice { file: ShownPath::of(&options.file), key: facts, attested: Device::of(&proved), listed };
    output::show(session.format, &attested)
}

#[derive(Debug, Serialize)]
struct Keys {
    keys: Vec<KeyThere>,
}

/// A key that is in no file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyThere {
    /// What to give as `--key`.
    reference: String,
    /// What it is called where it is. Anybody who can write there may have chosen it.
    label: String,
    #[serde(flatten)]
    facts: Option<KeyFacts>,
    /// Why it cannot sign metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
}

impl Show for Keys {
    fn text(&self) -> String {
        if self.keys.is_empty() {
            return "there are no keys\n".to_owned();
        }
        let mut text = String::new();
        for key in &self.keys {
            let (reference, label) = (Printable(&key.reference), Printable(&key.label));
            let _ = match (&key.facts, &key.unusable) {
                (Some(facts), _) => {
                    writeln!(text, "{reference}\n  {}, \"{label}\"\n{}", facts.kind, facts.lines().trim_end())
                }
                (None, why) => writeln!(
                    text,
                    "{reference}\n  \"{label}\"\n  cannot sign metadata: {}",
                    why.as_deref().unwrap_or("unknown")
                ),
            };
        }
        text
    }
}

fn list(session: &Session, options: &KeyListOptions) -> Result<(), Report> {
    let keys = match options.from.as_str() {
        #[cfg(unix)]
        "ssh-agent" => in_agent()?,
        #[cfg(feature = "pkcs11")]
        from if from.starts_with("pkcs11:") => in_tokens(Path::new(&from["pkcs11:".len()..]))?,
        _ => {
            return Err(Report::new(Outcome::WrongQuestion, "bad-key-reference", "keys are not listed from there")
                .hint("`--from ssh-agent`, or `--from pkcs11:MODULE` in a build that can use tokens"));
        }
    };
    output::show(session.format, &Keys { keys })
}

impl KeyThere {
    fn of(reference: String, label: String, public: Result<&PublicKey, &'static str>) -> Self {
        let facts = public
            .map_err(str::to_owned)
            .and_then(|public| KeyFacts::of(public).map_err(|report| report.headline().to_owned()));
        match facts {
            Ok(facts) => Self { reference, label, facts: Some(facts), unusable: None },
            Err(why) => Self { reference, label, facts: None, unusable: Some(why) },
        }
    }
}

#[cfg(unix)]
fn in_agent() -> Result<Vec<KeyThere>, Report> {
    let identities = keys::agent()?.identities().map_err(|error| keys::signer_failed(&error.into()))?;
    let there = identities.iter().map(|identity| {
        KeyThere::of(format!("ssh-agent:{}", identity.fingerprint), identity.comment.clone(), identity.public())
    });
    Ok(there.collect())
}

/// The public keys in all tokens of a module. None needs a PIN; some tokens hide keys until one is given.
#[cfg(feature = "pkcs11")]
fn in_tokens(module: &Path) -> Result<Vec<KeyThere>, Report> {
    let failed = |error: Pkcs11Error| keys::signer_failed(&error.into());
    let mut there = Vec::new();
    for token in Token::all(module).map_err(failed)? {
        for key in token.public_keys().map_err(failed)? {
            let reference = format!("pkcs11:{}", token.reference(&key, module));
            there.push(KeyThere::of(reference, key.label.clone(), key.public()));
        }
    }
    Ok(there)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    /// The public half, as PEM.
    public_key: String,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<ShownPath>,
    #[serde(flatten)]
    key: KeyFacts,
}

impl Show for Shown {
    fn text(&self) -> String {
        match &self.file {
            Some(file) => format!("wrote {file}, {} key\n{}", self.key.kind, self.key.lines()),
            None => self.public_key.clone(),
        }
    }
}

fn show(session: &Session, options: &KeyShowOptions) -> Result<(), Report> {
    let opened = KeyOptions { key: options.key.clone(), passphrase_file: options.passphrase_file.clone() };
    let signer = keys::open_key(session, &opened)?;
    let public_key = spki_to_pem(signer.canonical_spki())
        .map_err(|problem| Report::new(Outcome::Bug, "bug", problem.to_string()))?;
    if let Some(file) = &options.output {
        keys::create_public(file, public_key.as_bytes())?;
    }
    let file = options.output.as_ref().map(ShownPath::of);
    output::show(session.format, &Shown { public_key, file, key: KeyFacts::of(signer.public())? })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Forgotten {
    key: String,
    /// What the key signed for.
    forgotten: String,
}

impl Show for Forgotten {
    fn text(&self) -> String {
        format!("forgot that the key {} signs for {}\n", self.key, self.forgotten)
    }
}

fn forget_repository(session: &Session, options: &KeyForgetOptions) -> Result<(), Report> {
    let key = hex::encode(options.key);
    let Some(forgotten) = registered::forget(&session.store()?, &options.key)? else {
        return Err(Report::new(
            Outcome::WrongQuestion,
            "not-registered",
            "no key of that fingerprint has signed here",
        )
        .fact("key", key)
        .still("nothing changed"));
    };
    output::show(session.format, &Forgotten { key, forgotten })
}

/// Under which keyids, and for which roles, a root or targets document lists a key. The key counts, not how it is
/// spelled.
fn listed(path: &Path, key: &PublicKey) -> Result<Vec<Listed>, Report> {
    let bytes = read_named(path, LONGEST_METADATA)?;
    let malformed = |error: trustroot::metadata::FormatError| {
        Report::new(Outcome::No, "malformed", error.to_string()).fact("file", show_path(path))
    };
    let envelope = Envelope::parse(&bytes).map_err(malformed)?;
    let mut roles: Vec<(String, BTreeSet<KeyId>)> = Vec::new();
    let keys = match envelope.document_type().unwrap_or_default().as_str() {
        "targets" => {
            let targets: Targets = envelope.unverified().map_err(malformed)?;
            let Some(delegations) = targets.delegations else { return Ok(Vec::new()) };
            match delegations.rule {
                DelegationRule::Roles(delegated) => {
                    roles.extend(delegated.iter().map(|role| (role.role.as_str().to_owned(), role.keys.keyids)));
                }
                DelegationRule::Bins(bins) => roles.push((format!("{}-…", bins.name_prefix), bins.keyids)),
            }
            delegations.keys
        }
        _ => {
            let root: Root = envelope.unverified().map_err(malformed)?;
            let named = [
                ("root", root.root),
                ("timestamp", root.timestamp),
                ("snapshot", root.snapshot),
                ("targets", root.targets),
            ];
            roles.extend(named.map(|(name, keys)| (name.to_owned(), keys.keyids)));
            root.keys
        }
    };
    let spki = |key: &PublicKey| VerifyingKey::from_metadata(key).ok().map(|key| key.canonical_spki().to_vec());
    let wanted = spki(key);
    let listed =
        keys.iter().filter(|(_, other)| wanted.is_some() && spki(other) == wanted).map(|(keyid, key)| Listed {
            keyid: keyid.as_str().to_owned(),
            owner: key.owner().map(str::to_owned),
            roles: roles.iter().filter(|(_, role)| role.contains(keyid)).map(|(name, _)| name.clone()).collect(),
        });
    Ok(listed.collect())
}
