//! `pkcs11:`: tokens of `SoftHSM` 2, and of a module that answers as only hardware does (`fake_pkcs11.c`).
//!
//! Needs `softhsm2-util`, `pkcs11-tool` and `cc`; where one is absent, the tests say so and pass. A module reads the
//! environment, and is one for the whole process, so each test runs once more in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use trustroot::crypto::Passphrase;
use trustroot::signers::{Pkcs11Error, Pkcs11Signer, Pkcs11Uri, Signer, SignerError, Token, Tries};
use zeroize::Zeroizing;

use crate::promises::{failure, hold, with_scheme};

const PIN: &str = "624813";

/// Set in the process of a test's own: the directory with everything in it.
const INSIDE: &str = "TRUSTROOT_TEST_TOKENS";

/// `SoftHSM` with its tokens in a directory of a test's own.
struct SoftHsm {
    directory: PathBuf,
}

/// Where distributions put `SoftHSM`'s module.
fn softhsm_module() -> Option<PathBuf> {
    ["/usr/lib/softhsm", "/usr/lib64/pkcs11", "/usr/lib/x86_64-linux-gnu/softhsm", "/usr/local/lib/softhsm"]
        .iter()
        .map(|directory| Path::new(directory).join("libsofthsm2.so"))
        .find(|path| path.exists())
}

/// Runs a test's body in a process of its own, with tokens. `name` is the test, as the test harness calls it.
fn with_tokens(name: &str, body: impl FnOnce(&SoftHsm)) {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return body(&SoftHsm { directory: directory.into() });
    }
    let tools = ["softhsm2-util", "pkcs11-tool", "cc"];
    let there =
        |tool: &&str| Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let (true, Some(module)) = (tools.iter().all(there), softhsm_module()) else {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        {
            eprintln!("skipped: SoftHSM 2, pkcs11-tool or a C compiler is not here");
        }
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs_err::create_dir(at("tokens")).unwrap();
    let config =
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", at("tokens").display());
    fs_err::write(at("softhsm2.conf"), config).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(at("fake.so"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signers/fake_pkcs11.c"))
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, directory.path())
        .env("SOFTHSM2_CONF", at("softhsm2.conf"))
        .env("FAKE_PKCS11_MODULE", module)
        .env("FAKE_PKCS11_DOES", at("does"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

impl SoftHsm {
    fn fake(&self) -> PathBuf {
        self.directory.join("fake.so")
    }

    /// What goes wrong from now on.
    fn does(&self, what: &str) {
        fs_err::write(self.directory.join("does"), what).unwrap();
    }

    fn run(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The slots, each as `softhsm2-util` describes it.
    fn slots() -> Vec<String> {
        Self::run("softhsm2-util", &["--show-slots"]).split("\nSlot ").skip(1).map(str::to_owned).collect()
    }

    /// Sets up a token, and returns its serial number.
    fn token(label: &str) -> String {
        let serial = |slot: &String| {
            let line = slot.lines().find(|line| line.trim_start().starts_with("Serial number:"))?;
            Some(line.split(':').nth(1)?.trim().to_owned()).filter(|serial| !serial.is_empty())
        };
        let serials = || -> Vec<String> { Self::slots().iter().filter_map(serial).collect() };
        let before = serials();
        Self::run("softhsm2-util", &["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "12345678"]);
        serials().into_iter().find(|serial| !before.contains(serial)).unwrap()
    }

    /// Makes a key in a token.
    fn key(serial: &str, kind: &str, label: &str, id: &str, options: &[&str]) {
        let module = softhsm_module().unwrap();
        let slot = Self::slots().into_iter().find(|slot| slot.contains(serial)).unwrap();
        let slot = slot.lines().next().unwrap();
        let mut arguments = vec!["--module", module.to_str().unwrap(), "--login", "--pin", PIN, "--slot", slot];
        arguments.extend(["--keypairgen", "--key-type", kind, "--label", label, "--id", id]);
        arguments.extend(options);
        Self::run("pkcs11-tool", &arguments);
    }

    fn uri(&self, path: &str) -> Pkcs11Uri {
        format!("{path}?module-path={}", self.fake().display()).parse().unwrap()
    }

    fn open(&self, path: &str, pin: &str) -> Result<Pkcs11Signer, Pkcs11Error> {
        let uri = self.uri(path);
        let pin = Passphrase::new(Zeroizing::new(pin.as_bytes().to_vec())).unwrap();
        let opened = Token::find(&uri)?.open(&uri, Some(&pin));
        if let Err(error) = &opened {
            assert!(!error.to_string().contains(PIN) && error.to_string().is_ascii(), "{error}");
        }
        opened
    }
}

fn token_error(signer: &Pkcs11Signer) -> Pkcs11Error {
    match failure(signer, signer.public()) {
        SignerError::Pkcs11(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn keys_in_a_token_keep_what_every_signer_promises() {
    with_tokens("pkcs11::keys_in_a_token_keep_what_every_signer_promises", |hsm| {
        let serial = SoftHsm::token("registry root");
        for (kind, label, id) in [
            ("EC:prime256v1", "p256", "01"),
            ("EC:secp384r1", "p384", "02"),
            ("EC:edwards25519", "ed25519", "03"),
            ("rsa:2048", "rsa", "04"),
        ] {
            SoftHsm::key(&serial, kind, label, id, &[]);
            let signer = hsm.open(&format!("serial={serial};object={label}"), PIN).unwrap();
            hold(&signer, signer.public());
            assert!(signer.name().ends_with(&format!("in the token \"registry root\" (serial {serial})")));
            // By its identifier, and by the token's label.
            let again = hsm.open(&format!("token=registry%20root;id=%{id}"), PIN).unwrap();
            assert_eq!(again.public(), signer.public());
            if kind == "rsa:2048" {
                for scheme in ["rsassa-pss-sha384", "rsassa-pss-sha512", "rsa-pkcs1v15-sha256", "rsa-pkcs1v15-sha512"] {
                    hold(&signer, &with_scheme(signer.public(), scheme));
                }
            }
        }
        // All of them are listed without a PIN, with a reference that finds them.
        let token = Token::find(&hsm.uri(&format!("serial={serial}"))).unwrap();
        let keys = token.public_keys().unwrap();
        assert_eq!(keys.len(), 4);
        for key in keys {
            let reference = token.reference(&key, &hsm.fake()).to_string();
            let path = reference.split('?').next().unwrap();
            assert_eq!(hsm.open(path, PIN).unwrap().public(), key.public().unwrap(), "{reference}");
        }
    });
}

#[test]
fn where_there_is_no_token_it_is_said() {
    with_tokens("pkcs11::where_there_is_no_token_it_is_said", |hsm| {
        assert_eq!(Token::find(&hsm.uri("")).unwrap_err().to_string(), "there is no such token; there are none");
    });
}

#[test]
fn two_tokens_or_two_keys_are_not_taken_for_each_other() {
    with_tokens("pkcs11::two_tokens_or_two_keys_are_not_taken_for_each_other", |hsm| {
        let [one, other] = ["root", "root"].map(SoftHsm::token);
        SoftHsm::key(&one, "EC:prime256v1", "alice", "01", &[]);
        SoftHsm::key(&other, "EC:prime256v1", "alice", "01", &[]);
        SoftHsm::key(&other, "EC:prime256v1", "alice", "02", &[]);

        for path in ["object=alice", "token=root;object=alice"] {
            let several = hsm.open(path, PIN).unwrap_err();
            assert_eq!(several.code(), "which-token");
            assert!(several.to_string().contains(&one) && several.to_string().contains(&other), "{several}");
        }
        let chosen = hsm.open(&format!("serial={one};object=alice"), PIN).unwrap();
        hold(&chosen, chosen.public());
        let several = hsm.open(&format!("serial={other};object=alice"), PIN).unwrap_err();
        assert!(matches!(several, Pkcs11Error::SeveralKeys { count: 2, .. }), "{several}");
        let by_id = hsm.open(&format!("serial={other};object=alice;id=%02"), PIN).unwrap();
        hold(&by_id, by_id.public());
        assert_ne!(by_id.public(), chosen.public());

        // The wrong token is no token: nobody's PIN is tried on it.
        hsm.does("count");
        let absent = hsm.open("serial=0000;object=alice", PIN).unwrap_err();
        assert_eq!(absent.code(), "no-such-token");
        assert!(absent.to_string().contains(&format!("(serial {one})")), "{absent}");
        assert!(!hsm.directory.join("does.logins").exists());
        let missing = hsm.open(&format!("serial={one};object=bob"), PIN).unwrap_err();
        assert_eq!(missing.to_string(), format!("the token \"root\" (serial {one}) has no such private key"));
    });
}

#[test]
fn a_wrong_pin_is_tried_once_and_says_how_many_tries_are_left() {
    with_tokens("pkcs11::a_wrong_pin_is_tried_once_and_says_how_many_tries_are_left", |hsm| {
        let path = format!("serial={};object=alice", SoftHsm::token("root"));
        let serial = path.split([';', '=']).nth(1).unwrap();
        SoftHsm::key(serial, "EC:prime256v1", "alice", "01", &[]);
        let logins = || fs_err::read_to_string(hsm.directory.join("does.logins")).unwrap_or_default().lines().count();

        for (does, tries, words) in [
            ("count", Tries::Few, "few tries are left"),
            ("count low", Tries::Few, "few tries are left"),
            ("count final", Tries::One, "ONE try is left before it locks"),
        ] {
            hsm.does(does);
            let before = logins();
            let wrong = hsm.open(&path, "000000").unwrap_err();
            assert!(matches!(wrong, Pkcs11Error::WrongPin { tries: said, .. } if said == tries), "{does}: {wrong:?}");
            assert!(wrong.to_string().ends_with(words), "{wrong}");
            assert_eq!((wrong.code(), wrong.is_refusal(), logins()), ("wrong-pin", true, before + 1));
        }
        // What SoftHSM takes for no PIN at all.
        assert!(matches!(hsm.open(&path, "1").unwrap_err().code(), "wrong-pin"));

        // A locked token is not even asked.
        hsm.does("count locked");
        let before = logins();
        let locked = hsm.open(&path, PIN).unwrap_err();
        assert_eq!(
            locked.to_string(),
            format!("the PIN of the token \"root\" (serial {serial}) is locked: it was wrong too often")
        );
        assert_eq!((locked.code(), logins()), ("pin-locked", before));

        hsm.does("");
        let signer = hsm.open(&path, PIN).unwrap();
        hold(&signer, signer.public());
    });
}

#[test]
fn a_token_that_nobody_touched_or_that_was_removed_says_so_and_can_be_used_again() {
    with_tokens("pkcs11::a_token_that_nobody_touched_or_that_was_removed_says_so_and_can_be_used_again", |hsm| {
        let serial = SoftHsm::token("root");
        SoftHsm::key(&serial, "EC:prime256v1", "alice", "01", &[]);
        let signer = hsm.open(&format!("serial={serial};object=alice"), PIN).unwrap();
        hold(&signer, signer.public());
        let name = format!("the token \"root\" (serial {serial})");
        for (does, code, refusal, words) in [
            ("untouched", "signer-refused", true, " did not sign: nobody touched it, or somebody said no on it"),
            ("rejected", "signer-refused", true, " did not sign: nobody touched it, or somebody said no on it"),
            ("removed", "token-removed", false, " was removed, or was put in again meanwhile"),
            ("broken", "token-failed", false, " failed: DeviceError in Sign"),
        ] {
            hsm.does(does);
            let error = token_error(&signer);
            assert_eq!(error.to_string(), format!("{name}{words}"));
            assert_eq!((error.code(), error.is_refusal()), (code, refusal), "{does}");
        }
        hsm.does("");
        hold(&signer, signer.public());

        // Taken away for good: what is deleted under SoftHSM is gone for the next who asks.
        SoftHsm::run("softhsm2-util", &["--delete-token", "--serial", &serial]);
        let gone = failure(&signer, signer.public());
        assert!(matches!(gone.code(), "token-removed" | "token-failed"), "{gone}");
    });
}

#[test]
fn a_token_that_signs_something_else_is_named_and_not_used() {
    with_tokens("pkcs11::a_token_that_signs_something_else_is_named_and_not_used", |hsm| {
        let serial = SoftHsm::token("root");
        for (kind, label, id) in
            [("EC:prime256v1", "p256", "01"), ("EC:edwards25519", "ed25519", "02"), ("rsa:2048", "rsa", "03")]
        {
            SoftHsm::key(&serial, kind, label, id, &[]);
            let signer = hsm.open(&format!("serial={serial};object={label}"), PIN).unwrap();
            for does in ["lying", "padless"] {
                hsm.does(does);
                let refused = failure(&signer, signer.public());
                assert!(matches!(refused, SignerError::WrongSignature { .. }), "{label} {does}: {refused}");
            }
            hsm.does("");
            hold(&signer, signer.public());
        }
    });
}

/// A service that is started again and again would lock its token.
#[cfg(feature = "cli")]
#[test]
fn with_one_try_left_no_pin_is_taken_from_a_file() {
    with_tokens("pkcs11::with_one_try_left_no_pin_is_taken_from_a_file", |hsm| {
        let serial = SoftHsm::token("root");
        SoftHsm::key(&serial, "EC:prime256v1", "alice", "01", &[]);
        let pin = hsm.directory.join("pin");
        fs_err::write(&pin, format!("{PIN}\n")).unwrap();
        let show = || {
            let uri = hsm.uri(&format!("serial={serial};object=alice"));
            let key = format!("pkcs11:{uri}&pin-source=file:{}", pin.display());
            Command::new(env!("CARGO_BIN_EXE_trustroot")).args(["key", "show", &key]).output().unwrap()
        };
        hsm.does("count low");
        assert!(show().status.success());
        hsm.does("count final");
        let refused = show();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.starts_with("error: one try is left for the PIN of the token \"root\""), "{said}");
        assert!(!said.contains(PIN) && refused.status.code() == Some(1), "{said}");
        // CKU_USER, once: where few tries were left.
        assert_eq!(fs_err::read_to_string(hsm.directory.join("does.logins")).unwrap(), "1\n");
    });
}

/// As the keys for signatures in the PIV slot 9c of a `YubiKey`.
#[test]
fn a_key_that_asks_for_its_pin_each_time_is_given_it() {
    with_tokens("pkcs11::a_key_that_asks_for_its_pin_each_time_is_given_it", |hsm| {
        let serial = SoftHsm::token("root");
        SoftHsm::key(&serial, "rsa:2048", "alice", "01", &["--always-auth"]);
        for hidden in ["", "hidden"] {
            hsm.does(hidden);
            let signer = hsm.open(&format!("serial={serial};object=alice"), PIN).unwrap();
            hsm.does(&format!("count {hidden}"));
            hold(&signer, signer.public());
            let logins = hsm.directory.join("does.logins");
            // CKU_CONTEXT_SPECIFIC, for each signature: two, and one under several keyids.
            assert_eq!(fs_err::read_to_string(&logins).unwrap(), "2\n2\n2\n");
            fs_err::remove_file(logins).unwrap();
        }
        let signer = hsm.open(&format!("serial={serial};object=alice"), PIN).unwrap();
        hsm.does("untouched");
        assert_eq!(token_error(&signer).code(), "signer-refused");
    });
}

#[test]
fn a_file_that_is_no_module_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text.so");
    fs_err::write(&text, "no library").unwrap();
    for (path, problem) in [
        (text, "it cannot be loaded"),
        (directory.path().join("absent\u{1b}.so"), "there is no such file"),
        (directory.path().to_owned(), "there is no such file"),
    ] {
        let error = Token::all(&path).unwrap_err();
        assert_eq!(error.code(), "pkcs11-module");
        assert!(error.to_string().ends_with(problem) && error.to_string().is_ascii(), "{error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
