//! A command of the user's that signs: the payload on its standard input, the signature on its standard output.
//!
//! The command is the user's own choice and runs as the user. What it writes is not trusted: it is bounded, escaped
//! before it is shown, and a signature that does not verify is refused by the caller of [`Signer::attempt`].

use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::reference::BadReference;
use super::{Signer, SignerError, Task};
use crate::crypto::{Algorithm, KeyProblem, PublicHalf, PublicParts, sha256, spki_from_pem};
use crate::metadata::PublicKey;
use crate::printable::Printable;

/// Longest signature that a command may write, in bytes. The longest that we know, ML-DSA-87, has 4627.
const LONGEST_SIGNATURE: u64 = 16 * 1024;

/// How much of what a command writes to standard error is passed on, in bytes.
const MOST_NOTICES: u64 = 64 * 1024;

/// How long a command may take: somebody may have to find the token and touch it.
const LIMIT: Duration = Duration::from_secs(120);

/// How often a command that has closed its output is asked whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// Is given each line that a command writes to standard error, escaped, as it comes.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// What `exec:` says: the file with the public key, and the command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecCommand {
    /// The file that holds the public half, as PEM.
    pub public_key: PathBuf,
    /// The program: a path, or a name that is looked for where the system looks.
    pub program: String,
    /// Its arguments, as they are; there is no shell.
    pub arguments: Vec<String>,
}

impl FromStr for ExecCommand {
    type Err = BadReference;

    /// Reads `key=FILE COMMAND ARGUMENT…`, words between spaces; or the same as a JSON array of strings, for words that
    /// hold spaces.
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let text = text.trim();
        let words: Vec<String> = if text.starts_with('[') {
            serde_json::from_str(text).map_err(|_| BadReference("`exec:[` begins a JSON array of strings"))?
        } else {
            text.split_whitespace().map(str::to_owned).collect()
        };
        let mut words = words.into_iter();
        let public_key = words
            .next()
            .as_deref()
            .and_then(|word| word.strip_prefix("key="))
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
            .ok_or(BadReference("`exec:` is followed by `key=FILE`, the file with the public key, and the command"))?;
        let program = words.next().ok_or(BadReference("`exec:key=FILE` is followed by the command that signs"))?;
        Ok(Self { public_key, program, arguments: words.collect() })
    }
}

/// A command that signs with one key.
pub struct ExecSigner {
    command: ExecCommand,
    half: PublicHalf,
    limit: Duration,
    notices: Notices,
}

impl std::fmt::Debug for ExecSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl ExecSigner {
    /// Takes the command, and its public key as PEM. Nothing is run before something is to be signed.
    ///
    /// # Errors
    /// When the PEM is no public key that metadata can list.
    pub fn new(command: ExecCommand, public_pem: &str, notices: Notices) -> Result<Self, KeyProblem> {
        let half = PublicHalf::of(&PublicParts::Spki(&spki_from_pem(public_pem)?))?;
        Ok(Self { command, half, limit: LIMIT, notices })
    }

    /// Gives the command this long, instead of two minutes.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn start(&self, task: &Task<'_>) -> Result<Child, ExecError> {
        Command::new(&self.command.program)
            .args(&self.command.arguments)
            .env("TRUSTROOT_ROLE", task.role.as_str())
            .env("TRUSTROOT_VERSION", task.version.get().to_string())
            .env("TRUSTROOT_PAYLOAD_SHA256", hex::encode(sha256(task.payload)))
            .env("TRUSTROOT_SCHEME", task.listed.scheme())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| ExecError::NotStarted { signer: self.name(), source })
    }

    /// Feeds the command and waits for it. It has ended, or is killed, when this returns.
    fn run(&self, task: &Task<'_>) -> Result<Vec<u8>, ExecError> {
        let mut child = self.start(task)?;
        let started = Instant::now();
        let (output, notices) = self.attend(&mut child, task.payload);
        let waited = self.wait(&mut child, &output, started);
        if waited.is_err() {
            // What it has started itself goes on without us; its answer is not waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
        // Its last words come before ours, where they come at all.
        let _ = notices.recv_timeout(Duration::from_secs(1));
        let (bytes, status) = waited?;
        if !status.success() {
            return Err(ExecError::Failed { signer: self.name(), status });
        }
        if bytes.is_empty() {
            return Err(ExecError::NoSignature { signer: self.name() });
        }
        Ok(bytes)
    }

    /// Starts what reads and writes the command's streams, none of which waits for another.
    fn attend(&self, child: &mut Child, payload: &[u8]) -> (Receiver<io::Result<Vec<u8>>>, Receiver<()>) {
        if let Some(mut input) = child.stdin.take() {
            let payload = payload.to_vec();
            // A command that needs the digest alone may close its input unread.
            thread::spawn(move || input.write_all(&payload));
        }
        let (send, output) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let read = stdout.take(LONGEST_SIGNATURE + 1).read_to_end(&mut bytes);
                let _ = send.send(read.map(|_| bytes));
            });
        }
        let (send, done) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            let notices = Arc::clone(&self.notices);
            thread::spawn(move || {
                pass_on(stderr, &notices);
                let _ = send.send(());
            });
        }
        (output, done)
    }

    fn wait(
        &self,
        child: &mut Child,
        output: &Receiver<io::Result<Vec<u8>>>,
        started: Instant,
    ) -> Result<(Vec<u8>, ExitStatus), ExecError> {
        let signer = || self.name();
        let timed_out = || ExecError::TimedOut { signer: signer(), seconds: self.limit.as_secs() };
        let unreadable = |source| ExecError::NotStarted { signer: signer(), source };
        let bytes = match output.recv_timeout(self.limit) {
            Ok(read) => read.map_err(unreadable)?,
            Err(RecvTimeoutError::Timeout) => return Err(timed_out()),
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
        };
        if bytes.len() as u64 > LONGEST_SIGNATURE {
            return Err(ExecError::TooMuch { signer: signer() });
        }
        loop {
            if let Some(status) = child.try_wait().map_err(unreadable)? {
                return Ok((bytes, status));
            }
            if started.elapsed() >= self.limit {
                return Err(timed_out());
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Gives out what is read line by line, escaped. What is beyond the bound is read, so that the command can go on.
fn pass_on(mut stream: impl Read, notices: &Notices) {
    let mut line = Vec::new();
    let mut bounded = stream.by_ref().take(MOST_NOTICES);
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = bounded.read(&mut buffer) {
        for byte in &buffer[..read] {
            if *byte == b'\n' {
                give(notices, &line);
                line.clear();
            } else {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        give(notices, &line);
    }
    if let Ok(1..) = stream.read(&mut buffer) {
        notices("(more is not shown)");
    }
    let _ = io::copy(&mut stream, &mut io::sink());
}

fn give(notices: &Notices, line: &[u8]) {
    let text = String::from_utf8_lossy(line);
    notices(&Printable(text.trim_end()).to_string());
}

impl Signer for ExecSigner {
    fn public(&self) -> &PublicKey {
        &self.half.public
    }

    fn canonical_spki(&self) -> &[u8] {
        &self.half.spki
    }

    /// Its arguments are left out: somebody may have put a secret there.
    fn name(&self) -> String {
        format!("the command `{}`", Printable(&self.command.program))
    }

    fn attempt(&self, task: &Task<'_>, _: Algorithm) -> Result<Vec<u8>, SignerError> {
        Ok(self.run(task)?)
    }
}

/// Why a command gave no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The command could not be started, or not be listened to.
    #[error("{signer} could not be run: {source}")]
    NotStarted {
        /// Which.
        signer: String,
        /// What the system says.
        source: io::Error,
    },
    /// The command said that it failed.
    #[error("{signer} failed, with {status}")]
    Failed {
        /// Which.
        signer: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The command did not end in time; it was stopped.
    #[error("{signer} had not signed after {seconds} s, and was stopped")]
    TimedOut {
        /// Which.
        signer: String,
        /// How long it was given.
        seconds: u64,
    },
    /// The command wrote more than any signature has; it was stopped.
    #[error("{signer} wrote more than any signature has, {LONGEST_SIGNATURE} bytes, and was stopped")]
    TooMuch {
        /// Which.
        signer: String,
    },
    /// The command ended well and wrote nothing.
    #[error("{signer} wrote no signature")]
    NoSignature {
        /// Which.
        signer: String,
    },
}

impl ExecError {
    /// The stable name of this kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotStarted { .. } => "signer-not-started",
            Self::Failed { .. } => "signer-failed",
            Self::TimedOut { .. } => "signer-timed-out",
            Self::TooMuch { .. } | Self::NoSignature { .. } => "signer-output",
        }
    }

    /// Whether the command is to blame, not a circumstance that may pass.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::TooMuch { .. } | Self::NoSignature { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_words_or_a_list_and_names_its_key_first() {
        let plain: ExecCommand = "key=a.pub sign-tool  --slot 9c".parse().unwrap();
        assert_eq!((plain.program.as_str(), plain.arguments), ("sign-tool", vec!["--slot".into(), "9c".into()]));
        let list: ExecCommand = r#"["key=my key.pub", "sh", "-c", "sign | xxd -r -p"]"#.parse().unwrap();
        assert_eq!(list.public_key, PathBuf::from("my key.pub"));
        assert_eq!(list.arguments, ["-c", "sign | xxd -r -p"]);
        for bad in ["", "sign-tool", "key=a.pub", "key= sign-tool", "[", "[1]", "sign-tool key=a.pub"] {
            assert!(bad.parse::<ExecCommand>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_command_says_is_escaped_and_bounded() {
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let into = Arc::clone(&heard);
        let notices: Notices = Arc::new(move |line: &str| into.lock().unwrap().push(line.to_owned()));
        pass_on(&b"touch the \x1b[2Jkey\r\nlast"[..], &notices);
        assert_eq!(*heard.lock().unwrap(), ["touch the \\u{1b}[2Jkey", "last"]);
        heard.lock().unwrap().clear();
        pass_on(io::repeat(b'x').take(10 * MOST_NOTICES), &notices);
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 2);
        assert_eq!(heard[1], "(more is not shown)");
    }
}
