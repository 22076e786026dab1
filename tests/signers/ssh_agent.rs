//! `ssh-agent:`: OpenSSH's own agent, and agents that misbehave.
//!
//! The tests with the real agent run `ssh-agent`, `ssh-add` and `ssh-keygen`; where there are none, they say so and pass.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use trustroot::crypto::SecretKey;
use trustroot::signers::{Agent, AgentError, AgentKey, AgentSigner, Signer, SignerError};

use crate::promises::{PAYLOAD, failure, hold, task, with_scheme};
use crate::support::Registry;

/// OpenSSH's agent, at a socket in a directory of its own.
struct OpenSsh {
    directory: tempfile::TempDir,
    agent: Child,
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

impl OpenSsh {
    /// Returns `None`, and says so, where OpenSSH is absent.
    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        if ["ssh-add", "ssh-keygen"].iter().any(|name| Command::new(name).arg("-?").output().is_err()) {
            return Self::skip();
        }
        fs_err::write(directory.path().join("askpass"), "#!/bin/sh\necho lock\n").unwrap();
        fs_err::set_permissions(directory.path().join("askpass"), std::fs::Permissions::from_mode(0o700)).unwrap();
        match Self::spawn(&directory) {
            Some(agent) => Some(Self { directory, agent }),
            None => Self::skip(),
        }
    }

    fn skip() -> Option<Self> {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("skipped: there is no OpenSSH here");
        }
        None
    }

    fn spawn(directory: &tempfile::TempDir) -> Option<Child> {
        let socket = directory.path().join("agent");
        let _ = fs_err::remove_file(&socket);
        let agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            // Nobody is there who could confirm.
            .env("SSH_ASKPASS", "/bin/false")
            .env_remove("DISPLAY")
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        for _ in 0..1000 {
            if socket.exists() {
                return Some(agent);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the agent did not open its socket");
    }

    fn restart(&mut self) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
        self.agent = Self::spawn(&self.directory).unwrap();
    }

    fn agent(&self) -> Agent {
        Agent::at(self.path("agent"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, program: &str, arguments: &str) -> Output {
        let output = Command::new(program)
            .args(arguments.split(' '))
            .current_dir(self.directory.path())
            .env("SSH_AUTH_SOCK", self.path("agent"))
            .env("SSH_ASKPASS", self.path("askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {said}");
        output
    }

    /// Makes a key and gives it to the agent.
    fn add(&self, name: &str, kind: &str, options: &str) -> AgentSigner {
        let (path, mut arguments) = (self.path(name), vec!["-q", "-N", "", "-C", name, "-t"]);
        arguments.extend(kind.split(' '));
        let made = Command::new("ssh-keygen").args(arguments).arg("-f").arg(&path).status().unwrap();
        assert!(made.success());
        self.run("ssh-add", &format!("-q {options}{}", path.display()));
        self.agent().find(&AgentKey::Comment(name.to_owned())).unwrap()
    }
}

#[test]
fn keys_in_a_real_agent_keep_what_every_signer_promises() {
    let Some(ssh) = OpenSsh::start() else { return };
    for (name, kind) in [
        ("one", "ed25519"),
        ("two", "ecdsa -b 256"),
        ("three", "ecdsa -b 384"),
        #[cfg(feature = "aws-lc")]
        ("four", "ecdsa -b 521"),
    ] {
        let signer = ssh.add(name, kind, "");
        hold(&signer, signer.public());
        // Named by its fingerprint, as OpenSSH shows it, it is the same.
        let listed = String::from_utf8(ssh.run("ssh-add", "-l").stdout).unwrap();
        assert!(listed.contains(&format!(" {} {name} ", signer.fingerprint())), "{listed}");
        let again = ssh.agent().find(&AgentKey::Fingerprint(signer.fingerprint().to_owned())).unwrap();
        assert_eq!(again.public(), signer.public());
    }
    let unknown = ssh.agent().find(&AgentKey::Comment("five".into())).unwrap_err();
    assert_eq!(unknown.to_string(), "the ssh-agent has no key `five`; a locked agent shows none");
}

#[test]
fn an_rsa_key_in_an_agent_signs_by_pkcs1_alone_and_says_so() {
    let Some(ssh) = OpenSsh::start() else { return };
    let signer = ssh.add("rsa", "rsa -b 2048", "");
    assert_eq!(signer.public().scheme(), "rsassa-pss-sha256");
    let refused = failure(&signer, signer.public());
    assert!(matches!(refused, SignerError::Scheme { .. }));
    assert!(
        refused.to_string().ends_with("cannot make `rsassa-pss-sha256` signatures, which is how this key is listed")
    );
    for scheme in ["rsa-pkcs1v15-sha256", "rsa-pkcs1v15-sha512"] {
        hold(&signer, &with_scheme(signer.public(), scheme));
    }
}

#[test]
fn an_rsa_key_in_an_agent_signs_a_root_that_lists_it_by_the_scheme_of_the_agent() {
    let Some(ssh) = OpenSsh::start() else { return };
    let signer = ssh.add("carol", "rsa -b 3072", "");
    let mut registry = Registry::new();
    registry.write("keys/carol.pub", signer.public().public());
    let held = "[people.carol]\nkeys = [\"keys/carol.pub\"]";
    let mut event = registry.start("root");
    assert!(event.sign(&registry.signed(), &signer).is_err(), "PSS is not what an agent makes");
    registry
        .edit("trustroot.toml", |text| text.replace(held, &format!("{held}\nrsa-scheme = \"rsa-pkcs1v15-sha512\"")));
    registry.now += chrono::Duration::minutes(1);
    event = registry.start("root");
    // Whoever reviews it is warned.
    let notes = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap().notes;
    assert!(
        notes.iter().any(|note| note.ends_with("not every client reads: rsa with rsa-pkcs1v15-sha512")),
        "{notes:?}"
    );
    event.sign(&registry.signed(), &signer).unwrap();
    registry.sign(&mut event, "alice").unwrap();
    registry.finish(&event).unwrap();
    let root = registry.signed().root().unwrap().clone();
    assert_eq!(root.keys.values().filter(|key| key.scheme() == "rsa-pkcs1v15-sha512").count(), 1);
    // It is for RSA keys, and of the schemes that there are.
    registry.edit("trustroot.toml", |text| {
        text.replacen("keys = [\"keys/bob.pub\"]", "keys = [\"keys/bob.pub\"]\nrsa-scheme = \"rsassa-pss-sha256\"", 1)
    });
    let error = registry.propose("root").unwrap_err().to_string();
    assert_eq!(error, "trustroot.toml: people.bob.rsa-scheme: none of the keys is an RSA key");
}

#[test]
fn a_signer_outlives_its_agent() {
    let Some(mut ssh) = OpenSsh::start() else { return };
    let signer = ssh.add("alice", "ed25519", "");
    ssh.restart();
    // It has forgotten its keys.
    let gone = failure(&signer, signer.public());
    assert!(matches!(gone, SignerError::Agent(AgentError::Gone { .. })), "{gone}");
    ssh.run("ssh-add", "-q alice");
    hold(&signer, signer.public());
    ssh.run("ssh-add", "-q -D");
    assert_eq!(failure(&signer, signer.public()).code(), "no-such-key");
}

#[test]
fn a_locked_agent_signs_nothing_and_shows_nothing() {
    let Some(ssh) = OpenSsh::start() else { return };
    let signer = ssh.add("alice", "ed25519", "");
    ssh.run("ssh-add", "-x");
    let locked = failure(&signer, signer.public());
    assert!(locked.to_string().ends_with("it was removed, or the agent was locked"), "{locked}");
    assert!(ssh.agent().identities().unwrap().is_empty());
    ssh.run("ssh-add", "-X");
    hold(&signer, signer.public());
}

#[test]
fn a_key_that_asks_is_not_used_where_nobody_agrees() {
    let Some(ssh) = OpenSsh::start() else { return };
    let signer = ssh.add("alice", "ed25519", "-c ");
    let refused = failure(&signer, signer.public());
    assert!(matches!(refused, SignerError::Agent(AgentError::Refused { .. })), "{refused}");
    assert_eq!((refused.code(), refused.is_refusal()), ("signer-refused", true));
}

#[test]
fn a_comment_that_two_keys_have_names_neither() {
    let Some(ssh) = OpenSsh::start() else { return };
    ssh.add("alice", "ed25519", "");
    fs_err::remove_file(ssh.path("alice")).unwrap();
    let (path, comment) = (ssh.path("alice"), "alice");
    Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", comment, "-f"])
        .arg(&path)
        .args(["-t", "ed25519"])
        .status()
        .unwrap();
    ssh.run("ssh-add", "-q alice");
    let several = ssh.agent().find(&AgentKey::Comment(comment.into())).unwrap_err();
    assert_eq!(several.code(), "which-key");
}

/// An agent that answers each connection with the next of these bytes, whatever it is asked, and then hangs up.
struct Hostile(tempfile::TempDir);

impl Hostile {
    fn answering(replies: Vec<Vec<u8>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("agent")).unwrap();
        std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut length = [0; 4];
                stream.read_exact(&mut length).unwrap();
                let mut message = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut message).unwrap();
                let _ = stream.write_all(&reply);
            }
        });
        Self(directory)
    }

    fn agent(&self) -> Agent {
        Agent::at(self.0.path().join("agent")).within(Duration::from_secs(20))
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn blob(key: &SecretKey) -> Vec<u8> {
    [string(b"ssh-ed25519"), string(&hex::decode(key.public().public()).unwrap())].concat()
}

fn identities(keys: &[(&SecretKey, &str)]) -> Vec<u8> {
    let mut message = vec![12];
    message.extend_from_slice(&u32::try_from(keys.len()).unwrap().to_be_bytes());
    for (key, comment) in keys {
        message.extend([string(&blob(key)), string(comment.as_bytes())].concat());
    }
    string(&message)
}

fn signature(kind: &str, bytes: &[u8]) -> Vec<u8> {
    string(&[&[14][..], &string(&[string(kind.as_bytes()), string(bytes)].concat())].concat())
}

#[test]
fn lists_that_no_agent_gives_are_refused() {
    let key = SecretKey::ed25519_from_seed(&[1; 32]).unwrap();
    let mut counted = identities(&[(&key, "a")]);
    counted[8] = 2;
    let many = string(&[12, 0xff, 0xff, 0xff, 0xff]);
    for (reply, what) in [
        (vec![0xff; 16], "its reply is longer than any"),
        (identities(&[(&key, "a")])[..30].to_vec(), "it ended in the middle of a reply"),
        (Vec::new(), "it ended in the middle of a reply"),
        (counted, "its list of keys is malformed"),
        (many, "its list of keys is malformed"),
        (string(&[5]), "its list of keys is malformed"),
        (string(&[]), "its list of keys is malformed"),
        (string(&[12, 0, 0, 0, 0, 0]), "its list of keys is malformed"),
    ] {
        let error = Hostile::answering(vec![reply]).agent().identities().unwrap_err();
        assert_eq!(error.code(), "ssh-agent");
        assert!(error.to_string().ends_with(what), "{error}");
    }
}

#[test]
fn an_agent_that_lies_about_a_signature_is_refused() {
    let [key, other] = [1, 2].map(|seed| SecretKey::ed25519_from_seed(&[seed; 32]).unwrap());
    for (reply, code) in [
        (signature("ssh-ed25519", &other.sign(PAYLOAD).unwrap()), "wrong-signature"),
        (signature("ssh-ed25519", &key.sign(b"another payload").unwrap()), "wrong-signature"),
        (signature("ssh-ed25519", &[]), "wrong-signature"),
        (signature("ssh-rsa", &key.sign(PAYLOAD).unwrap()), "ssh-agent"),
        (identities(&[]), "ssh-agent"),
        (string(&[14]), "ssh-agent"),
    ] {
        let hostile = Hostile::answering(vec![identities(&[(&key, "a")]), reply]);
        let signer = hostile.agent().find(&AgentKey::Comment("a".into())).unwrap();
        let refused = failure(&signer, signer.public());
        assert_eq!((refused.code(), refused.is_refusal()), (code, true), "{refused}");
    }
    // And the truth is taken from the same agent.
    let honest =
        Hostile::answering(vec![identities(&[(&key, "a")]), signature("ssh-ed25519", &key.sign(PAYLOAD).unwrap())]);
    let signer = honest.agent().find(&AgentKey::Comment("a".into())).unwrap();
    (&signer as &dyn Signer).sign(&task(signer.public())).unwrap();
}

#[test]
fn an_agent_that_drips_or_says_nothing_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("agent")).unwrap();
    std::thread::spawn(move || {
        // A piece every now and then, so that no single read takes long.
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.write_all(&[0, 1, 0, 0]);
                while stream.write_all(&[12]).is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
    });
    let agent = Agent::at(directory.path().join("agent")).within(Duration::from_millis(500));
    assert!(matches!(agent.identities(), Err(AgentError::TimedOut { .. })));
}

#[test]
fn where_no_agent_listens_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let error = Agent::at(directory.path().join("no\u{1b}agent")).identities().unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }));
    assert!(error.to_string().contains("no\\u{1b}agent"), "{error}");
}

#[test]
fn a_comment_cannot_draw_on_the_terminal() {
    let key = SecretKey::ed25519_from_seed(&[1; 32]).unwrap();
    let comment = "alice\u{1b}[2J\u{202e}";
    let hostile = Hostile::answering(vec![identities(&[(&key, "a")])]);
    let error = hostile.agent().find(&AgentKey::Comment(comment.into())).unwrap_err();
    assert!(error.to_string().is_ascii() && !error.to_string().contains('\u{1b}'), "{error:?}");
}
