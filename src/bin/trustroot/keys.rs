//! Opens keys that sign: where they are, whose passphrase. Nothing secret is printed, or taken from arguments.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trustroot::client::read_argument;
use trustroot::crypto::{KeyFile, KeyFileError, LONGEST_KEY_FILE, Passphrase, SecretKey};
use trustroot::example_keys::example_key_name;
#[cfg(unix)]
use trustroot::signers::Agent;
#[cfg(feature = "kms-aws")]
use trustroot::signers::AwsKmsSigner;
use trustroot::signers::{AgentKey, BadReference, ExecCommand, ExecSigner, KeyReference, Signer, SignerError};
#[cfg(feature = "pkcs11")]
use trustroot::signers::{Pkcs11Error, Pkcs11Signer, Pkcs11Uri, Token, Tries};
use zeroize::Zeroizing;

use crate::report::{Outcome, Report};
#[cfg(unix)]
use crate::ui::ssh_agent_socket;
use crate::ui::{Session, note, show_path, warn};

/// Longest passphrase file, in bytes.
const LONGEST_PASSPHRASE_FILE: u64 = 1024;

// Which key signs, and what opens it.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyOptions {
    /// The key to sign with: a PEM file, or `ssh-agent:…`, `exec:…`, `pkcs11:…`, `awskms:…`, as `trustroot key show --help` says
    #[arg(long, value_name = "KEY")]
    pub(crate) key: OsString,

    /// A file that holds the key's passphrase or the token's PIN [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Reads a key reference. A path need not be text.
pub(crate) fn reference(given: &OsStr) -> Result<KeyReference, Report> {
    let Some(text) = given.to_str() else { return Ok(KeyReference::File(given.into())) };
    text.parse().map_err(|error: BadReference| {
        // What was given is not repeated: it may hold a PIN.
        Report::new(Outcome::WrongQuestion, error.code(), format!("no key is named: {error}"))
            .hint("see `trustroot key show --help`; a file of such a name is `file:NAME`")
    })
}

/// Opens the key that signs, wherever it is. Asks for a passphrase where a file has one and no file holds it.
pub(crate) fn open_key(session: &Session, options: &KeyOptions) -> Result<Box<dyn Signer>, Report> {
    Ok(match reference(&options.key)? {
        KeyReference::File(path) => Box::new(open_file(session, &path, options.passphrase_file.as_deref())?),
        KeyReference::Exec(command) => Box::new(open_command(command)?),
        KeyReference::SshAgent(key) => open_in_agent(&key)?,
        #[cfg(feature = "pkcs11")]
        KeyReference::Pkcs11(uri) => Box::new(open_in_token(session, &uri, options.passphrase_file.as_deref())?),
        #[cfg(feature = "kms-aws")]
        KeyReference::AwsKms(key) => Box::new(AwsKmsSigner::open(&key).map_err(|error| signer_failed(&error.into()))?),
        _ => return Err(Report::new(Outcome::Bug, "bug", "a kind of key that the command does not know")),
    })
}

/// Opens a secret key in a file.
fn open_file(session: &Session, path: &Path, passphrase_file: Option<&Path>) -> Result<SecretKey, Report> {
    let text = read_key_file(path)?;
    let failed = |error: KeyFileError| bad_key_file(path, &error);
    let encrypted = matches!(KeyFile::read(&text).map_err(failed)?, KeyFile::Encrypted(_));
    let passphrase = match (passphrase_file, encrypted) {
        (_, false) => None,
        (Some(file), true) => Some(read_passphrase(file)?),
        (None, true) => Some(ask(session, &format!("passphrase of {}: ", show_path(path)))?),
    };
    let key = SecretKey::from_pem(&text, passphrase.as_ref()).map_err(failed)?;
    // Everybody has the example keys anyway, and git does not keep who may read a file.
    if example_key_name(key.canonical_spki()).is_none() {
        warn_of_readers(path);
    }
    Ok(key)
}

fn open_command(command: ExecCommand) -> Result<ExecSigner, Report> {
    let path = command.public_key.clone();
    let text = read_key_file(&path)?;
    let notices = Arc::new(|line: &str| note(&format!("the command says: {line}")));
    ExecSigner::new(command, &text, notices).map_err(|problem| {
        Report::new(Outcome::WrongQuestion, "not-a-public-key", problem.to_string())
            .fact("file", show_path(&path))
            .hint("`key=` names the file with the public half, as `trustroot key show` writes it")
    })
}

/// The ssh-agent of this session.
#[cfg(unix)]
pub(crate) fn agent() -> Result<Agent, Report> {
    ssh_agent_socket().map(Agent::at).ok_or_else(|| {
        Report::new(Outcome::WrongQuestion, "no-ssh-agent", "there is no ssh-agent: SSH_AUTH_SOCK is not set")
            .hint("start one with `eval \"$(ssh-agent)\"`, and add the key with `ssh-add`")
    })
}

#[cfg(unix)]
fn open_in_agent(key: &AgentKey) -> Result<Box<dyn Signer>, Report> {
    let signer = agent()?.find(key).map_err(|error| signer_failed(&error.into()))?;
    if signer.public().keytype() == "rsa" {
        warn(
            "an ssh-agent makes RSA signatures by PKCS#1 v1.5 alone, for keys that metadata lists with a scheme such as \
             `rsa-pkcs1v15-sha256`; some clients refuse those, and RSA keys are listed as `rsassa-pss-sha256` unless \
             trustroot.toml says `rsa-scheme` of who holds them",
        );
    }
    Ok(Box::new(signer))
}

#[cfg(not(unix))]
fn open_in_agent(_: &AgentKey) -> Result<Box<dyn Signer>, Report> {
    Err(Report::new(Outcome::WrongQuestion, "no-ssh-agent", "there is no ssh-agent that can be asked on this system"))
}

/// Opens a key in a token. Its PIN comes from a file that the URI or the user names, or is asked for.
#[cfg(feature = "pkcs11")]
fn open_in_token(session: &Session, uri: &Pkcs11Uri, pin_file: Option<&Path>) -> Result<Pkcs11Signer, Report> {
    let failed = |error: Pkcs11Error| signer_failed(&error.into());
    let token = Token::find(uri).map_err(failed)?;
    let tries = token.tries().map_err(failed)?;
    let pin = match uri.pin_source.as_deref().or(pin_file) {
        _ if !token.needs_pin() => None,
        // A service that is restarted again and again would lock the token before anybody looks.
        Some(_) if tries == Tries::One => {
            return Err(Report::new(
                Outcome::No,
                "pin-last-try",
                format!("one try is left for the PIN of {}: it is not taken from a file", token.name()),
            )
            .still("nothing was tried")
            .hint("give the PIN by hand once, without `pin-source` and `--passphrase-file`"));
        }
        Some(file) => Some(read_passphrase(file)?),
        None => {
            match tries {
                Tries::One => warn("one try is left for this PIN: if it is wrong, the token locks"),
                Tries::Few => warn("this PIN was wrong before, and few tries are left"),
                _ => {}
            }
            Some(ask(session, &format!("PIN of {}: ", token.name()))?)
        }
    };
    token.open(uri, pin.as_ref()).map_err(failed)
}

/// Says why there is no signature, and what would help.
pub(crate) fn signer_failed(error: &SignerError) -> Report {
    let outcome = match (error, error.code()) {
        (
            _,
            "no-such-key" | "which-key" | "key-unsupported" | "signer-not-started" | "no-such-token" | "which-token"
            | "pkcs11-module" | "pin-to-be-set" | "kms-region" | "kms-no-such-key",
        ) => Outcome::WrongQuestion,
        (error, _) if error.is_refusal() => Outcome::No,
        _ => Outcome::CouldNotTell,
    };
    let report = Report::new(outcome, error.code(), error.to_string());
    match error.code() {
        "wrong-signature" => {
            report.hint("find out why before that signer is used again: it may be broken, misconfigured or hostile")
        }
        "signer-scheme" => report.hint("sign with another of the role's keys, or list this one with another scheme"),
        "signer-not-started" => report.hint("`exec:` runs a program and no shell; name it by its path"),
        "signer-output" => report
            .hint("the command writes the bytes of the signature and nothing else: decode hexadecimal or base64 in it"),
        "wrong-pin" => report.hint("it was tried once: think before you try again"),
        "pin-locked" => report.hint("unlock it with the tool of the token's maker, by its PUK or SO-PIN"),
        "no-such-token" => report.hint("put it in; `trustroot key list --from pkcs11:MODULE` shows what there is"),
        "which-token" => report.hint("name it by its `serial=`"),
        "token-removed" => report.hint("put it back, and run the command again"),
        "kms-region" => report.hint("set AWS_REGION, or name the key by its ARN"),
        "kms-credentials" => report
            .hint("`aws sts get-caller-identity` says whom AWS sees; AWS_PROFILE chooses a profile")
            .hint("for a profile with single sign-on: `eval \"$(aws configure export-credentials --format env)\"`"),
        "kms-access-denied" => report
            .hint("the policy of the key or of the role has to allow `kms:Sign` and `kms:GetPublicKey` for this key"),
        "kms-key-state" => {
            report.hint("see it with `aws kms describe-key`; `aws kms enable-key` and `cancel-key-deletion` help")
        }
        "kms-throttled" => report.hint("it was asked several times; wait a little, and run the command again"),
        "kms-no-such-key" => {
            report.hint("is it in another account or region? AWS_REGION or an ARN says which region is asked")
        }
        "no-such-key" | "which-key" => report.hint("see what there is with `trustroot key list`"),
        _ => report,
    }
}

/// Reads a key file, secret or public, as text.
pub(crate) fn read_key_file(path: &Path) -> Result<Zeroizing<String>, Report> {
    let bytes = match read_argument(path, LONGEST_KEY_FILE) {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Err(Report::no_such_file(path)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(bad_key_file(path, &KeyFileError::TooLong));
        }
        Err(error) => return Err(Report::io(&error)),
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(bad_key_file(path, &KeyFileError::NotPem("it is not text"))),
    }
}

/// Reads a passphrase file.
pub(crate) fn read_passphrase(path: &Path) -> Result<Passphrase, Report> {
    let bytes = match read_argument(path, LONGEST_PASSPHRASE_FILE) {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Err(Report::no_such_file(path)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(bad_passphrase().fact("file", show_path(path)));
        }
        Err(error) => return Err(Report::io(&error)),
    };
    Passphrase::from_file_content(bytes).map_err(|_| bad_passphrase().fact("file", show_path(path)))
}

/// Asks for a passphrase on the terminal.
pub(crate) fn ask(session: &Session, question: &str) -> Result<Passphrase, Report> {
    if !session.interactive {
        return Err(no_terminal());
    }
    let typed = rpassword::prompt_password(question).map_err(|_| no_terminal())?;
    Passphrase::new(Zeroizing::new(typed.into_bytes())).map_err(|_| bad_passphrase())
}

fn no_terminal() -> Report {
    Report::new(Outcome::WrongQuestion, "no-terminal", "a passphrase is needed, and there is no terminal to ask on")
        .hint("name a file that holds it with `--passphrase-file`")
}

fn bad_passphrase() -> Report {
    Report::new(Outcome::WrongQuestion, "bad-passphrase", "a passphrase has 1 to 1024 bytes")
}

/// Says what is wrong with a key file, and what would help.
pub(crate) fn bad_key_file(path: &Path, error: &KeyFileError) -> Report {
    let shown = show_path(path);
    let outcome = if matches!(error, KeyFileError::WrongPassphrase) { Outcome::No } else { Outcome::WrongQuestion };
    let report = Report::new(outcome, error.code(), error.to_string()).fact("file", shown.clone());
    let convert = format!("convert it: `openssl pkcs8 -topk8 -v2 aes-256-cbc -scrypt -in {shown} -out NEW`");
    match error {
        KeyFileError::OldEncryption | KeyFileError::OtherEncryption => report.hint(convert),
        KeyFileError::TooCostly(_) => report.hint("if the file is yours, choose a lower cost").hint(convert),
        KeyFileError::Public => report.hint("the secret key usually stands beside it, without `.pub`"),
        KeyFileError::Unsupported(what) if what.contains("OpenSSH") => {
            report.hint(format!("make a copy and convert that: `ssh-keygen -p -m PKCS8 -f COPY_OF_{shown}`"))
        }
        KeyFileError::Unsupported(what) if what.contains("PKCS#1") => {
            report.hint(format!("convert it: `openssl rsa -RSAPublicKey_in -in {shown} -pubout -out NEW`"))
        }
        KeyFileError::Unsupported(what) if what.contains("compressed") || what.contains("by its name") => report.hint(
            format!("convert it: `openssl ec -in {shown} -conv_form uncompressed -param_enc named_curve -out NEW`"),
        ),
        KeyFileError::NotPem(_) => {
            report.hint(format!("a key in DER form becomes PEM by `openssl pkey -inform DER -in {shown} -out NEW`"))
        }
        _ => report,
    }
}

/// A secret that others can read is no secret: said on every use, since that is when something can be done.
#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Ok(metadata) = fs_err::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        let shown = show_path(path);
        warn(&format!("others on this machine may read the secret key `{shown}`; `chmod 600` it"));
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

/// Writes a new file that only its owner may read. What is there already is never replaced.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), Report> {
    create(path, bytes, 0o600)
}

/// Writes a new file that everybody may read, as far as the process's umask lets them.
pub(crate) fn create_public(path: &Path, bytes: &[u8]) -> Result<(), Report> {
    create(path, bytes, 0o666)
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Report> {
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(file_exists(path)),
        Err(error) => return Err(Report::io(&error)),
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a key is worse than none.
        let _ = fs_err::remove_file(path);
        Report::io(&error)
    })
}

pub(crate) fn file_exists(path: &Path) -> Report {
    Report::new(Outcome::WrongQuestion, "file-exists", format!("`{}` exists already", show_path(path)))
        .still("it was left as it is: a key that is overwritten is lost")
        .hint("choose another name")
}
