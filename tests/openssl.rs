//! OpenSSL as a judge: keys and signatures of ours mean the same to it, and its mean the same to us.
//!
//! Runs the `openssl` command, 3.0 or later; where there is none, the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::process::{Command, Output};

use support::Registry;
use trustroot::crypto::{KeyAlgorithm, KeyFile, KeyFileError, Passphrase, SecretKey, VerifyingKey, spki_to_pem};
use trustroot::metadata::{Document as _, Envelope, Root};
use zeroize::Zeroizing;

const PASSPHRASE: &str = "correct horse battery staple";

const MESSAGE: &[u8] = b"what is signed\n";

/// OpenSSL in a directory of its own.
struct OpenSsl(tempfile::TempDir);

impl OpenSsl {
    /// Returns `None`, and says so, where the command is absent or too old.
    fn find() -> Option<Self> {
        let version = Command::new("openssl").arg("version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let major = version.strip_prefix("OpenSSL ").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        if major.is_none_or(|major| major < 3) {
            #[expect(clippy::print_stderr, reason = "a test that skips says so")]
            {
                eprintln!("skipped: there is no `openssl` command of version 3 here");
            }
            return None;
        }
        let openssl = Self(tempfile::tempdir().unwrap());
        openssl.write("passphrase", PASSPHRASE.as_bytes());
        // A file that is given twice is read on, not again.
        openssl.write("same", PASSPHRASE.as_bytes());
        openssl.write("wrong-passphrase", b"incorrect horse");
        openssl.write("message", MESSAGE);
        openssl.write("another", b"what is not signed\n");
        Some(openssl)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs_err::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).unwrap()
    }

    /// Runs a command line, with arguments between single spaces.
    fn try_run(&self, arguments: &str) -> Output {
        Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output().unwrap()
    }

    fn run(&self, arguments: &str) -> Vec<u8> {
        let output = self.try_run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
        output.stdout
    }

    fn runs(&self, arguments: &str) -> bool {
        self.try_run(arguments).status.success()
    }

    /// Whether it takes the signature in one file over the content of another.
    fn verifies(&self, kind: &str, public: &str, message: &str, signature: &str) -> bool {
        self.runs(&match scheme(kind) {
            None => format!("pkeyutl -verify -pubin -inkey {public} -rawin -in {message} -sigfile {signature}"),
            Some(options) => format!("dgst {options} -verify {public} -signature {signature} {message}"),
        })
    }

    fn sign(&self, kind: &str, secret: &str, message: &str, signature: &str) {
        self.run(&match scheme(kind) {
            None => format!("pkeyutl -sign -inkey {secret} -rawin -in {message} -out {signature}"),
            Some(options) => format!("dgst {options} -sign {secret} -out {signature} {message}"),
        });
    }

    /// Makes a key in unencrypted PKCS#8, as `theirs.pem`.
    fn generate(&self, kind: &str) {
        let options = match kind {
            "ed25519" => "-algorithm ED25519",
            "ecdsa-p256" => "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            "ecdsa-p384" => "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
            _ => "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        };
        self.run(&format!("genpkey {options} -out theirs.pem"));
    }
}

/// The options of `openssl dgst` for a kind of key; Ed25519 hashes by itself.
fn scheme(kind: &str) -> Option<&'static str> {
    match kind {
        "ed25519" => None,
        "ecdsa-p256" => Some("-sha256"),
        "ecdsa-p384" => Some("-sha384"),
        _ => Some("-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"),
    }
}

const KINDS: [&str; 4] = ["ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-2048"];

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
}

/// A new key of ours; where our library cannot make one, one of theirs that we read.
fn new_key(openssl: &OpenSsl, kind: &str) -> SecretKey {
    let algorithm = match kind {
        "ed25519" => KeyAlgorithm::Ed25519,
        "ecdsa-p256" => KeyAlgorithm::EcdsaP256,
        "ecdsa-p384" => KeyAlgorithm::EcdsaP384,
        _ => KeyAlgorithm::Rsa2048,
    };
    SecretKey::generate(algorithm).unwrap_or_else(|_| {
        openssl.generate(kind);
        SecretKey::from_pem(&openssl.read("theirs.pem"), None).unwrap()
    })
}

#[test]
fn openssl_reads_the_keys_that_we_write() {
    let Some(openssl) = OpenSsl::find() else { return };
    for kind in KINDS {
        let key = new_key(&openssl, kind);
        let public = spki_to_pem(key.canonical_spki()).unwrap();
        openssl.write("plain.pem", key.to_unencrypted_pem().as_bytes());
        openssl.write("encrypted.pem", key.to_pem(&passphrase(PASSPHRASE)).unwrap().as_bytes());
        openssl.write("public.pub", public.as_bytes());

        for read in [
            "-in plain.pem -pubout",
            "-in encrypted.pem -passin file:passphrase -pubout",
            "-pubin -in public.pub -pubout",
        ] {
            let seen = String::from_utf8(openssl.run(&format!("pkey {read}"))).unwrap();
            assert_eq!(seen, public, "{kind} {read}");
        }
        // And back: what it decrypted is the key that we had.
        let again = openssl.run("pkey -in encrypted.pem -passin file:passphrase");
        let again = SecretKey::from_pem(std::str::from_utf8(&again).unwrap(), None).ok().unwrap();
        assert_eq!(*again.to_unencrypted_pem(), *key.to_unencrypted_pem(), "{kind}");
        assert!(!openssl.runs("pkey -in encrypted.pem -passin file:wrong-passphrase -noout"), "{kind}");
    }
}

#[test]
fn openssl_verifies_what_we_sign() {
    let Some(openssl) = OpenSsl::find() else { return };
    for kind in KINDS {
        let key = new_key(&openssl, kind);
        openssl.write("ours.pub", spki_to_pem(key.canonical_spki()).unwrap().as_bytes());
        openssl.write("signature", &key.sign(MESSAGE).unwrap());
        assert!(openssl.verifies(kind, "ours.pub", "message", "signature"), "{kind}");
        assert!(!openssl.verifies(kind, "ours.pub", "another", "signature"), "{kind}");
    }
}

#[test]
fn we_verify_what_openssl_signs() {
    let Some(openssl) = OpenSsl::find() else { return };
    for kind in KINDS {
        openssl.generate(kind);
        openssl.run("pkey -in theirs.pem -pubout -out theirs.pub");
        openssl.sign(kind, "theirs.pem", "message", "signature");
        let KeyFile::Public(public) = KeyFile::read(&openssl.read("theirs.pub")).ok().unwrap() else {
            panic!("{kind}")
        };
        let key = VerifyingKey::from_metadata(&public).unwrap();
        let signature = fs_err::read(openssl.path("signature")).unwrap();
        assert!(key.verifies(MESSAGE, &signature), "{kind}");
        assert!(!key.verifies(b"what is not signed\n", &signature), "{kind}");
        assert_eq!(SecretKey::from_pem(&openssl.read("theirs.pem"), None).ok().unwrap().public(), &public, "{kind}");
    }
}

#[test]
fn every_form_in_which_openssl_writes_a_key_is_the_same_key() {
    let Some(openssl) = OpenSsl::find() else { return };
    for kind in KINDS {
        openssl.generate(kind);
        let expected = SecretKey::from_pem(&openssl.read("theirs.pem"), None).ok().unwrap();
        let mut forms = vec![
            ("pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 2048", true),
            ("pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512 -iter 2048", true),
            ("pkcs8 -topk8 -v2 aes-192-cbc -v2prf hmacWithSHA384 -iter 2048", true),
            ("pkcs8 -topk8 -v2 aes-256-cbc -scrypt", true),
            ("pkcs8 -topk8 -scrypt -scrypt_N 1024 -scrypt_r 4 -scrypt_p 2", true),
            ("pkey -aes256", true),
            ("pkcs8 -topk8 -nocrypt", false),
        ];
        match kind {
            "ed25519" => {}
            "ecdsa-p256" | "ecdsa-p384" => forms.push(("ec", false)),
            _ => forms.push(("rsa -traditional", false)),
        }
        for (form, encrypted) in forms {
            let passout = if encrypted { " -passout file:passphrase" } else { "" };
            openssl.run(&format!("{form} -in theirs.pem -out form.pem{passout}"));
            let text = openssl.read("form.pem");
            assert_eq!(text.contains("ENCRYPTED"), encrypted);
            let given = encrypted.then(|| passphrase(PASSPHRASE));
            let read =
                SecretKey::from_pem(&text, given.as_ref()).unwrap_or_else(|error| panic!("{kind} {form}: {error}"));
            assert_eq!(read.public(), expected.public(), "{kind} {form}");
            assert_eq!(*read.to_unencrypted_pem(), *expected.to_unencrypted_pem(), "{kind} {form}");
            if encrypted {
                assert_eq!(SecretKey::from_pem(&text, None).err(), Some(KeyFileError::PassphraseNeeded));
                let wrong = passphrase("incorrect horse");
                assert_eq!(SecretKey::from_pem(&text, Some(&wrong)).err(), Some(KeyFileError::WrongPassphrase));
            }
        }
    }
    // With the curve in a block of its own before the key.
    openssl.run("ecparam -name prime256v1 -genkey -out form.pem");
    assert!(openssl.read("form.pem").contains("BEGIN EC PARAMETERS"));
    assert_eq!(SecretKey::from_pem(&openssl.read("form.pem"), None).ok().unwrap().describe(), "ecdsa-p256");
}

/// Each command that writes a secret key at all, with the options that people use.
#[test]
fn the_keys_of_every_openssl_command_are_read() {
    let Some(openssl) = OpenSsl::find() else { return };
    let pass = "-passout file:passphrase";
    for (commands, expected) in [
        (&["genpkey -algorithm ED25519 -aes256 -pass file:passphrase -out key.pem"][..], "ed25519"),
        (
            &["genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -aes-256-cbc -pass file:passphrase -out key.pem"],
            "ecdsa-p384",
        ),
        (&["genrsa -aes256 {pass} -out key.pem 2048"], "rsa-2048"),
        (&["genrsa -traditional -out key.pem 2048"], "rsa-2048"),
        (&["ecparam -name prime256v1 -genkey -noout -out key.pem"], "ecdsa-p256"),
        (&["ecparam -name secp384r1 -genkey -out key.pem"], "ecdsa-p384"),
        (
            &["req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -keyout key.pem -out r"],
            "ecdsa-p256",
        ),
        (&["req -new -newkey ed25519 -nodes -subj /CN=a -keyout key.pem -out r"], "ed25519"),
        // With a header that says whose key it is.
        (
            &[
                "req -x509 -newkey rsa:2048 -nodes -subj /CN=a -keyout first.pem -out certificate",
                "pkcs12 -export -inkey first.pem -in certificate -name alice {pass} -out p12",
                "pkcs12 -in p12 -nocerts -passin file:same {pass} -out key.pem",
            ],
            "rsa-2048",
        ),
        #[cfg(feature = "aws-lc")]
        (&["ecparam -name secp521r1 -genkey -noout -out key.pem"], "ecdsa-p521"),
        // Its public half is computed.
        #[cfg(feature = "aws-lc")]
        (
            &["ecparam -name prime256v1 -genkey -noout -out first.pem", "ec -in first.pem -no_public -out key.pem"],
            "ecdsa-p256",
        ),
    ] {
        for command in commands {
            openssl.run(&command.replace("{pass}", pass));
        }
        let text = openssl.read("key.pem");
        let given = passphrase(PASSPHRASE);
        let key = SecretKey::from_pem(&text, Some(&given)).unwrap_or_else(|error| panic!("{commands:?}: {error}"));
        assert_eq!(key.describe(), expected, "{commands:?}");
        let public = String::from_utf8(openssl.run("pkey -in key.pem -passin file:passphrase -pubout")).unwrap();
        assert_eq!(spki_to_pem(key.canonical_spki()).unwrap(), public, "{commands:?}");
    }
}

/// What is not read says what to do, and that works.
#[test]
fn what_openssl_writes_and_is_not_read_can_be_converted_as_the_hint_says() {
    let Some(openssl) = OpenSsl::find() else { return };
    let pass = "-passin file:passphrase -passout file:same";
    for (kind, form) in [
        ("rsa-2048", "rsa -traditional -aes256"),
        ("rsa-2048", "pkcs8 -topk8 -v1 PBE-SHA1-3DES"),
        ("rsa-2048", "pkcs8 -topk8 -v2 des3"),
        ("rsa-2048", "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA1"),
        ("rsa-2048", "pkcs8 -topk8 -v2 camellia-256-cbc"),
        ("ecdsa-p256", "ec -aes256"),
        ("ecdsa-p256", "ec -conv_form compressed"),
        ("ecdsa-p256", "ec -param_enc explicit"),
    ] {
        openssl.generate(kind);
        openssl.run(&format!("{form} -in theirs.pem -out form.pem {pass}"));
        let given = passphrase(PASSPHRASE);
        let refused = SecretKey::from_pem(&openssl.read("form.pem"), Some(&given)).err().unwrap();
        let converted = match refused {
            KeyFileError::OldEncryption | KeyFileError::OtherEncryption => {
                openssl.run(&format!("pkcs8 -topk8 -v2 aes-256-cbc -scrypt -in form.pem -out new.pem {pass}"));
                openssl.read("new.pem")
            }
            KeyFileError::Unsupported(_) => {
                openssl.run("ec -in form.pem -conv_form uncompressed -param_enc named_curve -out new.pem");
                openssl.read("new.pem")
            }
            other => panic!("{form}: {other}"),
        };
        let expected = SecretKey::from_pem(&openssl.read("theirs.pem"), None).ok().unwrap();
        let read = SecretKey::from_pem(&converted, Some(&given)).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(read.public(), expected.public(), "{form}");
    }
    // Kinds of keys that TUF has no signatures for.
    for options in ["-algorithm ED448", "-algorithm X25519", "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1"] {
        openssl.run(&format!("genpkey {options} -out form.pem"));
        let refused = SecretKey::from_pem(&openssl.read("form.pem"), None).err().unwrap();
        assert!(matches!(refused, KeyFileError::Unsupported(_)), "{options}: {refused}");
    }
}

#[test]
fn weak_encryption_by_openssl_is_refused_by_name() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("rsa-2048");
    for (form, expected) in [
        ("rsa -traditional -aes128", KeyFileError::OldEncryption),
        ("pkcs8 -topk8 -v2 des3", KeyFileError::OtherEncryption),
        ("pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA1", KeyFileError::OtherEncryption),
    ] {
        openssl.run(&format!("{form} -in theirs.pem -out form.pem -passout file:passphrase"));
        let refused = SecretKey::from_pem(&openssl.read("form.pem"), Some(&passphrase(PASSPHRASE)));
        assert_eq!(refused.err(), Some(expected), "{form}");
    }
}

#[test]
fn openssl_verifies_the_signatures_of_a_root() {
    let Some(openssl) = OpenSsl::find() else { return };
    let mut registry = Registry::new();
    // One holder for each kind of signature.
    for (person, kind) in [("alice", "ecdsa-p256"), ("bob", "ecdsa-p384"), ("carol", "rsa-2048")] {
        registry.add_key(person, new_key(&openssl, kind));
    }
    registry.edit("trustroot.toml", |text| {
        text.replacen(
            "signers = [\"alice\", \"bob\", \"carol\"]\nthreshold = 2",
            "signers = [\"alice\", \"bob\", \"carol\", \"dave\"]\nthreshold = 3",
            1,
        ) + "[people.dave]\nkeys = [\"keys/dave.pub\"]\n"
    });
    registry.add_person("dave");
    registry.hold("root", &["alice", "bob", "carol", "dave"]).unwrap();
    registry.hold("targets", &["alice", "bob"]).unwrap();
    registry.publish().unwrap();

    let envelope = Envelope::parse(&fs_err::read(registry.published().join("1.root.json")).unwrap()).unwrap();
    let root: Root = envelope.unverified().unwrap();
    assert_eq!(root.version().get(), 1);
    openssl.write("signed", envelope.signed_bytes());
    openssl.write("changed", &[envelope.signed_bytes(), b" "].concat());

    let mut verified = Vec::new();
    for person in ["alice", "bob", "carol", "dave"] {
        let key = registry.key(person);
        let is_this =
            |listed| VerifyingKey::from_metadata(listed).is_ok_and(|it| it.canonical_spki() == key.canonical_spki());
        let (keyid, _) = root.keys.iter().find(|(_, listed)| is_this(*listed)).unwrap();
        let (_, signature) = envelope.signatures().iter().find(|(signer, _)| *signer == keyid).unwrap();
        openssl.write("signature", &signature.decode().unwrap());
        // The file that people compare and hand around.
        fs_err::copy(registry.path(&format!("keys/{person}.pub")), openssl.path("holder.pub")).unwrap();
        let kind = key.describe();
        assert!(openssl.verifies(&kind, "holder.pub", "signed", "signature"), "{person} {kind}");
        assert!(!openssl.verifies(&kind, "holder.pub", "changed", "signature"), "{person} {kind}");
        verified.push(kind);
    }
    assert_eq!(verified, ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"]);
}

#[cfg(feature = "cli")]
#[test]
fn openssl_reads_what_key_generate_writes() {
    let Some(openssl) = OpenSsl::find() else { return };
    let kinds: &[&str] =
        if cfg!(feature = "aws-lc") { &["ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-3072"] } else { &KINDS[..3] };
    for kind in kinds {
        let output = Command::new(env!("CARGO_BIN_EXE_trustroot"))
            .args(["key", "generate", &format!("{kind}.pem"), "--type", kind, "--passphrase-file", "passphrase"])
            .current_dir(openssl.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        let seen = openssl.run(&format!("pkey -in {kind}.pem -passin file:passphrase -pubout"));
        assert_eq!(String::from_utf8(seen).unwrap(), openssl.read(&format!("{kind}.pub")), "{kind}");
        assert!(openssl.read(&format!("{kind}.pem")).starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs_err::metadata(openssl.path(&format!("{kind}.pem"))).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{kind}");
        }
    }
}
