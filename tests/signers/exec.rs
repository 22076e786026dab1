//! `exec:`: a command that signs, and what commands do that go wrong.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trustroot::crypto::{KeyAlgorithm, SecretKey, sha256, spki_to_pem};
use trustroot::signers::{ExecSigner, Signer, SignerError};

use crate::promises::{PAYLOAD, failure, hold, task};

fn key() -> SecretKey {
    SecretKey::ed25519_from_seed(&[7; 32]).unwrap()
}

/// A command line for the shell, with what it says.
fn shell(key: &SecretKey, script: &str) -> (ExecSigner, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    let words = serde_json::to_string(&["key=unused.pub", "sh", "-c", script]).unwrap();
    let pem = spki_to_pem(key.canonical_spki()).unwrap();
    let notices = Arc::new(move |line: &str| into.lock().unwrap().push(line.to_owned()));
    (ExecSigner::new(words.parse().unwrap(), &pem, notices).unwrap(), heard)
}

fn write(directory: &Path, name: &str, bytes: &[u8]) {
    fs_err::write(directory.join(name), bytes).unwrap();
}

#[test]
fn a_command_keeps_what_every_signer_promises() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256] {
        let key = SecretKey::generate(algorithm).unwrap();
        write(directory.path(), "signature", &key.sign(PAYLOAD).unwrap());
        let (signer, _) = shell(&key, &format!("cat > {at}/payload && cat {at}/signature"));
        hold(&signer, key.public());
        assert_eq!(fs_err::read(directory.path().join("payload")).unwrap(), PAYLOAD);
    }
}

#[test]
fn a_command_is_told_what_it_signs_and_what_it_says_is_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    write(directory.path(), "signature", &key().sign(PAYLOAD).unwrap());
    // It does not read its input: the digest is enough for it.
    let script = format!(
        "echo \"$TRUSTROOT_ROLE $TRUSTROOT_VERSION $TRUSTROOT_PAYLOAD_SHA256 $TRUSTROOT_SCHEME\" >&2; \
         printf 'touch \\033[2J it' >&2; cat {at}/signature"
    );
    let (signer, heard) = shell(&key(), &script);
    (&signer as &dyn Signer).sign(&task(key().public())).unwrap();
    let digest = hex::encode(sha256(PAYLOAD));
    assert_eq!(*heard.lock().unwrap(), [format!("targets 7 {digest} ed25519"), "touch \\u{1b}[2J it".to_owned()]);
}

#[test]
fn a_payload_of_any_length_reaches_a_command_that_writes_meanwhile() {
    let payload = vec![b'x'; 4 << 20];
    let key = key();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    write(directory.path(), "signature", &key.sign(&payload).unwrap());
    let (signer, _) = shell(&key, &format!("cat {at}/signature; cat > {at}/payload"));
    let task = trustroot::signers::Task { payload: &payload, ..task(key.public()) };
    (&signer as &dyn Signer).sign(&task).unwrap();
    assert_eq!(fs_err::read(directory.path().join("payload")).unwrap().len(), payload.len());
}

#[test]
fn a_command_that_signs_with_another_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    let other = SecretKey::ed25519_from_seed(&[8; 32]).unwrap();
    write(directory.path(), "other", &other.sign(PAYLOAD).unwrap());
    write(directory.path(), "payload", &key().sign(b"another payload").unwrap());
    write(directory.path(), "hex", hex::encode(key().sign(PAYLOAD).unwrap()).as_bytes());
    for file in ["other", "payload", "hex"] {
        let refused = failure(&shell(&key(), &format!("cat {at}/{file}")).0, key().public());
        assert!(matches!(refused, SignerError::WrongSignature { .. }), "{file}: {refused}");
        assert!(refused.to_string().starts_with("the command `sh` gave"), "{refused}");
    }
}

#[test]
fn a_command_that_floods_is_stopped() {
    // For ever, on either stream; it ends because it is stopped.
    for script in ["yes", "yes >&2 & cat /dev/zero"] {
        let (signer, heard) = shell(&key(), &format!("{script}; true"));
        let refused = failure(&signer, key().public());
        assert_eq!(
            refused.to_string(),
            "the command `sh` wrote more than any signature has, 16384 bytes, and was stopped"
        );
        assert_eq!(refused.code(), "signer-output");
        let bytes: usize = heard.lock().unwrap().iter().map(String::len).sum();
        assert!(bytes < 100_000, "{bytes}");
    }
}

#[test]
fn a_command_that_hangs_is_stopped() {
    // With its output open, and after it has closed it.
    for script in ["exec sleep 600", "exec >&-; exec sleep 600"] {
        let signer = shell(&key(), script).0.within(Duration::from_millis(300));
        let refused = failure(&signer, key().public());
        assert_eq!((refused.code(), refused.is_refusal()), ("signer-timed-out", false));
    }
}

#[test]
fn a_command_that_fails_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    write(directory.path(), "signature", &key().sign(PAYLOAD).unwrap());
    // Even where it wrote a signature.
    let refused = failure(&shell(&key(), &format!("cat {at}/signature; exit 3")).0, key().public());
    assert_eq!(refused.to_string(), "the command `sh` failed, with exit status: 3");
    assert_eq!(failure(&shell(&key(), "kill -9 $$").0, key().public()).code(), "signer-failed");
    assert_eq!(failure(&shell(&key(), "true").0, key().public()).to_string(), "the command `sh` wrote no signature");
}

#[test]
fn a_command_that_does_not_exist_is_named_without_its_arguments() {
    let pem = spki_to_pem(key().canonical_spki()).unwrap();
    let command = "key=a.pub /nowhere/sign-tool --pin 123456".parse().unwrap();
    let signer = ExecSigner::new(command, &pem, Arc::new(|_| {})).unwrap();
    let refused = failure(&signer, key().public());
    assert_eq!(refused.code(), "signer-not-started");
    assert!(refused.to_string().contains("/nowhere/sign-tool") && !refused.to_string().contains("123456"));
    assert!(!format!("{signer:?}").contains("123456"));
}
