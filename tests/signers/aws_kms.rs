//! `awskms:`: keys in AWS KMS, against a small one of the tests' own ([`crate::kms_server`]) and against moto.
//!
//! The AWS SDK takes credentials and region from the environment, so each test runs once more in a process of its own.
//! moto needs a Python that has it, named by `TRUSTROOT_PYTHON`; without one its test says so and passes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use trustroot::crypto::{KeyAlgorithm, SecretKey, spki_to_pem};
use trustroot::metadata::PublicKey;
use trustroot::publish::PublishPlan;
use trustroot::signers::{AwsKmsError, AwsKmsKey, AwsKmsSigner, Signer, SignerError, Task};

use crate::kms_server::{ACCESS_KEY, Answer, KmsServer, REGION, SECRET, SESSION_TOKEN, error};
use crate::promises::{PAYLOAD, failure, hold, task, with_scheme};
use crate::support::{Registry, block_on};

/// Set in the process of a test's own.
const INSIDE: &str = "TRUSTROOT_TEST_AWS";

/// A program that finds nothing of AWS on this machine.
fn without_aws(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("AWS_") || name.to_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).stdin(Stdio::null());
    command
}

/// The same, with good credentials and a region.
fn with_aws(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = without_aws(program, home);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET);
    command.env("AWS_SESSION_TOKEN", SESSION_TOKEN).env("AWS_REGION", REGION);
    command
}

/// Runs a test's body in a process of its own. `name` is the test, as the test harness calls it.
fn with_credentials(name: &str, body: impl FnOnce(&KmsServer)) {
    if std::env::var_os(INSIDE).is_some() {
        return body(&KmsServer::start());
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = with_aws(std::env::current_exe().unwrap(), home.path());
    let output = command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = text(&output);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// What a program wrote. None of the tests may say a secret, whatever goes wrong.
fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    for secret in [ACCESS_KEY, SECRET, SESSION_TOKEN] {
        assert!(!said.contains(secret), "a secret was said");
    }
    said
}

fn reference(server: &KmsServer, key: &str) -> AwsKmsKey {
    format!("//{}/{key}", server.address).parse().unwrap()
}

fn open(server: &KmsServer, key: &str) -> Result<AwsKmsSigner, AwsKmsError> {
    AwsKmsSigner::open(&reference(server, key))
}

#[test]
fn keys_in_kms_keep_what_every_signer_promises() {
    with_credentials("aws_kms::keys_in_kms_keep_what_every_signer_promises", |server| {
        for algorithm in
            [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::MlDsa65, KeyAlgorithm::Rsa2048]
        {
            let arn = server.key("online", algorithm);
            let public = server.public(&arn);
            let schemes: &[&str] = match algorithm {
                KeyAlgorithm::Rsa2048 => &[
                    "rsassa-pss-sha256",
                    "rsassa-pss-sha384",
                    "rsassa-pss-sha512",
                    "rsa-pkcs1v15-sha256",
                    "rsa-pkcs1v15-sha384",
                    "rsa-pkcs1v15-sha512",
                ],
                _ => &[public.scheme()],
            };
            for key in [arn.as_str(), arn.rsplit_once('/').unwrap().1, "alias/online"] {
                let signer = open(server, key).unwrap();
                assert_eq!(*signer.public(), public);
                for scheme in schemes {
                    hold(&signer, &with_scheme(&public, scheme));
                }
            }
        }
    });
}

#[test]
fn a_payload_of_any_length_is_signed_and_does_not_leave_this_machine() {
    with_credentials("aws_kms::a_payload_of_any_length_is_signed_and_does_not_leave_this_machine", |server| {
        let payload = vec![b'x'; 1 << 20];
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::MlDsa65] {
            let arn = server.key("online", algorithm);
            let signer = open(server, "alias/online").unwrap();
            let listed = server.public(&arn);
            (&signer as &dyn Signer).sign(&Task { payload: &payload, ..task(&listed) }).unwrap();
        }
        let sent: Vec<(Value, usize)> = server
            .heard()
            .into_iter()
            .filter(|(action, _)| action == "Sign")
            .map(|(_, asked)| {
                let message = BASE64.decode(asked["Message"].as_str().unwrap()).unwrap();
                (asked["MessageType"].clone(), message.len())
            })
            .collect();
        // The digest; and what TUF signs with ML-DSA, `"tuf" || 0x01 || SHA-512(payload)`.
        assert_eq!(sent, [(json!("DIGEST"), 32), (json!("RAW"), 68)]);
    });
}

#[test]
fn an_alias_that_comes_to_mean_another_key_changes_nothing_for_who_has_opened_it() {
    let name = "aws_kms::an_alias_that_comes_to_mean_another_key_changes_nothing_for_who_has_opened_it";
    with_credentials(name, |server| {
        let first = server.key("online", KeyAlgorithm::EcdsaP256);
        let signer = open(server, "alias/online").unwrap();
        server.key("online", KeyAlgorithm::EcdsaP256);
        hold(&signer, &server.public(&first));
        server.point("online", &first);
        assert_eq!(*open(server, "alias/online").unwrap().public(), server.public(&first));
    });
}

/// Root is signed by people, targets by one of them and the key in KMS, the online roles by the key in KMS. Real clients
/// try the result before it is written, in a runtime of their own.
fn publish_with(open: impl Fn() -> AwsKmsSigner) {
    let mut registry = Registry::new();
    let signer = open();
    let pem = spki_to_pem(signer.canonical_spki()).unwrap();
    registry.write("keys/online.pub", &pem);
    registry.write("keys/carol.pub", &pem);
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.add_oppy();
    registry.hold("root", &["alice", "bob"]).unwrap();
    let mut event = registry.start("targets");
    registry.sign(&mut event, "alice").unwrap();
    event.sign(&registry.signed(), &signer).unwrap();
    registry.finish(&event).unwrap();
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    let keys: Vec<Box<dyn Signer>> = vec![Box::new(open())];
    block_on(async {
        let plan = PublishPlan::prove(&registry.copy(), &registry.published(), &keys, registry.start_time()).await;
        plan.unwrap().apply().await.unwrap();
        // Also where its last owner is in another runtime.
        drop(keys);
    });
    assert!(!registry.files("public").is_empty());
}

#[test]
fn a_repository_is_signed_and_published_with_a_key_in_kms() {
    with_credentials("aws_kms::a_repository_is_signed_and_published_with_a_key_in_kms", |server| {
        server.key("online", KeyAlgorithm::EcdsaP256);
        publish_with(|| open(server, "alias/online").unwrap());
    });
}

#[test]
fn what_the_service_refuses_is_said_in_plain_words() {
    with_credentials("aws_kms::what_the_service_refuses_is_said_in_plain_words", |server| {
        let arn = server.key("online", KeyAlgorithm::EcdsaP256);
        let signer = open(server, "alias/online").unwrap();
        let named = format!("the AWS KMS key `awskms://{}/alias/online` in eu-west-1", server.address);
        for (status, kind, message, code, refusal, words) in [
            (400, "DisabledException", "arn is disabled.", "kms-key-state", true, "KEY is disabled"),
            (
                400,
                "KMSInvalidStateException",
                "arn is pending deletion.",
                "kms-key-state",
                true,
                "KEY is scheduled for deletion",
            ),
            (400, "NotFoundException", "Key does not exist", "kms-no-such-key", false, "KEY does not exist"),
            (
                400,
                "AccessDeniedException",
                "User: arn:aws:iam::111122223333:user/ci is not authorized to perform: kms:Sign on resource: x",
                "kms-access-denied",
                true,
                "`arn:aws:iam::111122223333:user/ci` may not do `kms:Sign` with KEY",
            ),
            (
                400,
                "AccessDeniedException",
                "User: \u{1b}[2Jarn is not",
                "kms-access-denied",
                true,
                "who has these credentials may not do `kms:Sign` with KEY",
            ),
            (
                400,
                "ExpiredTokenException",
                "The security token included in the request is expired",
                "kms-credentials",
                true,
                "AWS does not take the credentials: they have expired",
            ),
            (
                400,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                "kms-credentials",
                true,
                "AWS does not take the credentials: it does not know them, or not in this region",
            ),
            (
                400,
                "InvalidSignatureException",
                "Signature expired: 20150830T123600Z is now earlier than 20150830T124500Z (20150830T125000Z - 5 min.)",
                "kms-credentials",
                true,
                "AWS does not take the credentials: the clock of this machine is wrong",
            ),
            (
                400,
                "ThrottlingException",
                "Rate exceeded",
                "kms-throttled",
                false,
                "KEY cannot be used now: AWS KMS is asked too often at the moment",
            ),
            (
                500,
                "KMSInternalException",
                "",
                "kms-failed",
                false,
                "KEY cannot be used now: AWS KMS failed with KMSInternalException, HTTP status 500",
            ),
            (
                400,
                "\u{1b}[2J odd",
                "",
                "kms-failed",
                false,
                "KEY cannot be used now: AWS KMS failed with an error without a name, HTTP status 400",
            ),
        ] {
            server.refuse("Sign", status, kind, message);
            let error = failure(&signer, &server.public(&arn));
            assert_eq!(error.to_string(), words.replace("KEY", &named));
            assert_eq!((error.code(), error.is_refusal()), (code, refusal), "{kind}");
        }
        // Whatever went wrong, the next signature is as good as ever.
        server.behave();
        hold(&signer, &server.public(&arn));
    });
}

#[test]
fn the_state_of_a_key_is_said_when_it_is_opened_and_when_it_signs() {
    with_credentials("aws_kms::the_state_of_a_key_is_said_when_it_is_opened_and_when_it_signs", |server| {
        let arn = server.key("online", KeyAlgorithm::EcdsaP256);
        let signer = open(server, "alias/online").unwrap();
        for (state, words) in [
            ("Disabled", "is disabled"),
            ("PendingDeletion", "is scheduled for deletion"),
            ("PendingImport", "has no key material yet: it is to be imported"),
        ] {
            server.set_state(&arn, state);
            let error = failure(&signer, &server.public(&arn));
            assert!(error.to_string().ends_with(words), "{error}");
            if state != "Disabled" {
                let error = open(server, "alias/online").unwrap_err();
                assert!(error.to_string().ends_with(words), "{error}");
            }
        }
        let error = open(server, "alias/nobody").unwrap_err();
        assert!(matches!(error, AwsKmsError::NoSuchKey { .. }), "{error}");
        assert!(error.to_string().contains("alias/nobody` in eu-west-1 does not exist"), "{error}");
    });
}

/// Repeated by itself while it may pass, and not for ever.
#[test]
fn a_service_that_is_busy_for_a_moment_is_asked_again() {
    with_credentials("aws_kms::a_service_that_is_busy_for_a_moment_is_asked_again", |server| {
        let arn = server.key("online", KeyAlgorithm::EcdsaP256);
        let signer = open(server, "alias/online").unwrap();
        let mut left = 2;
        server.answer(move |_, answer| {
            left -= 1;
            match left {
                1 => error(400, "ThrottlingException", "Rate exceeded"),
                0 => Answer::Closed,
                _ => answer,
            }
        });
        (&signer as &dyn Signer).sign(&task(&server.public(&arn))).unwrap();
        let asked = || server.heard().iter().filter(|(action, _)| action == "Sign").count();
        assert_eq!(asked(), 3);
        server.refuse("Sign", 503, "ServiceUnavailableException", "");
        assert_eq!(failure(&signer, &server.public(&arn)).code(), "kms-failed");
        assert_eq!(asked(), 6);
    });
}

#[test]
fn a_kms_that_signs_something_else_is_named_and_not_used() {
    with_credentials("aws_kms::a_kms_that_signs_something_else_is_named_and_not_used", |server| {
        let arn = server.key("online", KeyAlgorithm::EcdsaP256);
        let signer = open(server, "alias/online").unwrap();
        let other = SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let public = server.public(&arn);
        for wrong in [
            other.sign(PAYLOAD).unwrap(),
            b"no signature".to_vec(),
            Vec::new(),
            // Both numbers side by side, as some services give them.
            vec![7; 64],
        ] {
            server.answer(move |_, answer| match answer {
                Answer::Json(status, mut value) => {
                    value["Signature"] = BASE64.encode(&wrong).into();
                    Answer::Json(status, value)
                }
                other => other,
            });
            let error = failure(&signer, &public);
            assert!(matches!(error, SignerError::WrongSignature { .. }), "{error}");
        }
        server.answer(|_, _| Answer::Json(200, json!({})));
        assert_eq!(failure(&signer, &public).code(), "kms-failed");
    });
}

#[test]
fn what_kms_says_of_a_key_must_agree_with_itself() {
    with_credentials("aws_kms::what_kms_says_of_a_key_must_agree_with_itself", |server| {
        server.key("online", KeyAlgorithm::EcdsaP256);
        let p384 = SecretKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
        let changed = |field: &'static str, to: Value| {
            server.answer(move |_, answer| match answer {
                Answer::Json(status, mut value) => {
                    value[field] = to.clone();
                    Answer::Json(status, value)
                }
                other => other,
            });
            let error = open(server, "alias/online").unwrap_err();
            assert_eq!((error.code(), error.is_refusal()), ("kms-failed", true));
            error.to_string()
        };
        let kind = changed("PublicKey", BASE64.encode(p384.canonical_spki()).into());
        assert!(kind.ends_with("its public key is not of the kind that it names"), "{kind}");
        assert!(changed("KeySpec", "RSA_2048".into()).ends_with("its public key is not of the kind that it names"));
        assert!(changed("PublicKey", BASE64.encode(b"no key").into()).ends_with("its public key is malformed"));
        assert!(changed("PublicKey", Value::Null).ends_with("it gives no public key"));
        assert!(changed("KeySpec", Value::Null).ends_with("it does not say of what kind the key is"));
        // A key of somebody else's opens, and signs for nobody who lists the real one.
        let other = SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let arn = server.key("online", KeyAlgorithm::EcdsaP256);
        let spki = BASE64.encode(other.canonical_spki());
        server.answer(move |_, answer| match answer {
            Answer::Json(status, mut value) if value.get("PublicKey").is_some() => {
                value["PublicKey"] = spki.clone().into();
                Answer::Json(status, value)
            }
            other => other,
        });
        let signer = open(server, "alias/online").unwrap();
        assert!(matches!(failure(&signer, &server.public(&arn)), SignerError::OtherKey { .. }));
        assert!(matches!(failure(&signer, other.public()), SignerError::WrongSignature { .. }));
    });
}

#[test]
fn keys_that_cannot_sign_metadata_are_refused_with_the_reason() {
    with_credentials("aws_kms::keys_that_cannot_sign_metadata_are_refused_with_the_reason", |server| {
        let arn = server.key("online", KeyAlgorithm::EcdsaP256);
        let refused = || {
            let error = open(server, "alias/online").unwrap_err();
            assert_eq!(error.code(), "key-unsupported");
            error.to_string()
        };
        for (spec, words) in [
            ("ECC_NIST_P521", "few clients check signatures on P-521"),
            ("ECC_SECG_P256K1", "no client checks signatures on secp256k1"),
            ("ECC_NIST_EDWARDS25519", "with Ed25519, AWS KMS signs at most 4,096 bytes"),
            ("SM2", "no signatures in metadata are made with keys of its kind"),
            ("OF_THE_FUTURE", "no signatures in metadata are made with keys of its kind"),
        ] {
            server.set_spec(&arn, spec);
            let said = refused();
            assert!(said.contains(words), "{said}");
        }
        server.set_spec(&arn, "ECC_NIST_P256");
        for usage in ["ENCRYPT_DECRYPT", "KEY_AGREEMENT", "GENERATE_VERIFY_MAC"] {
            server.set_usage(&arn, usage);
            assert!(refused().contains("its use is not SIGN_VERIFY"));
        }
        server.set_usage(&arn, "SIGN_VERIFY");
        server.refuse("GetPublicKey", 400, "UnsupportedOperationException", "");
        assert!(refused().contains("it is not a pair of a secret and a public key"));
        server.behave();
        // The key itself knows one scheme.
        let signer = open(server, "alias/online").unwrap();
        let listed = PublicKey::new("ecdsa", "ecdsa-sha2-nistp384", server.public(&arn).public());
        assert!(matches!(failure(&signer, &listed), SignerError::Scheme { .. }));
    });
}

#[test]
fn a_service_that_cannot_be_reached_or_says_nothing_is_given_up() {
    with_credentials("aws_kms::a_service_that_cannot_be_reached_or_says_nothing_is_given_up", |server| {
        let arn = server.key("online", KeyAlgorithm::EcdsaP256);
        let signer = open(server, "alias/online").unwrap();
        let failed = |answer: fn() -> Answer| {
            server.answer(move |_, _| answer());
            let error = failure(&signer, &server.public(&arn));
            assert!(error.to_string().contains("AWS KMS"), "{error}");
            error
        };
        assert_eq!(failed(|| Answer::Closed).code(), "kms-unreachable");
        assert_eq!(failed(|| Answer::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n")).code(), "kms-unreachable");
        let page = failed(|| {
            Answer::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>",
            )
        });
        assert_eq!((page.code(), page.is_refusal()), ("kms-failed", true), "{page}");
        server.behave();
        let hasty = open(server, "alias/online").unwrap().within(Duration::from_secs(2));
        server.answer(|_, _| Answer::Silence);
        let silent = failure(&hasty, &server.public(&arn));
        assert!(silent.to_string().ends_with("had not answered after 2 s"), "{silent}");
        assert_eq!((silent.code(), silent.is_refusal()), ("signer-timed-out", false));
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = AwsKmsSigner::open(&format!("//{nobody}/alias/online").parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "AWS KMS cannot be reached at the address that it was given: nobody listens there"
        );
        assert_eq!((error.code(), error.is_refusal()), ("kms-unreachable", false));
    });
}

/// `trustroot key show`, with what the environment says.
fn show(key: &str, change: impl FnOnce(&mut Command, &Path)) -> (i32, String) {
    let home = tempfile::tempdir().unwrap();
    let mut command = with_aws(env!("CARGO_BIN_EXE_trustroot"), home.path());
    command.args(["--verbose", "key", "show", key]);
    change(&mut command, home.path());
    let output = command.output().unwrap();
    (output.status.code().unwrap(), text(&output))
}

#[test]
fn no_secret_is_said_whatever_goes_wrong() {
    let server = KmsServer::start();
    server.key("online", KeyAlgorithm::EcdsaP256);
    let key = format!("awskms://{}/alias/online", server.address);
    let (status, said) = show(&key, |_, _| {});
    assert!(status == 0 && said.contains("-----BEGIN PUBLIC KEY-----"), "{said}");
    // What the SDK does with credentials is not told, although it was asked for every step.
    assert!(!said.contains("credentials"), "{said}");
    // The service says back what should have been signed, the session token with it.
    let (status, said) = show(&key, |command, _| {
        command.env("AWS_SECRET_ACCESS_KEY", "another");
    });
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("error: AWS does not take the credentials: the secret access key is wrong"), "{said}");
    // As it might be put where something else belongs.
    for message in [format!("User: {SESSION_TOKEN} is not authorized"), SESSION_TOKEN.to_owned()] {
        server.answer(move |_, _| error(400, "AccessDeniedException", &message));
        assert_eq!(show(&key, |_, _| {}).0, 1);
    }
    server.answer(|_, _| error(400, SESSION_TOKEN, SESSION_TOKEN));
    assert_eq!(show(&key, |_, _| {}).0, 3);
    server.behave();
    let heard = server.heard().len();
    // Its own file of credentials, broken in the line of the secret.
    let (status, said) = show(&key, |command, home| {
        fs_err::create_dir(home.join(".aws")).unwrap();
        let broken = format!("[default]\naws_access_key_id = {ACCESS_KEY}\n{SECRET}\n[[[{SESSION_TOKEN}\n");
        fs_err::write(home.join(".aws/credentials"), broken).unwrap();
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_SESSION_TOKEN");
    });
    assert!(status == 3 && said.contains("credentials"), "{said}");
    assert_eq!(server.heard().len(), heard, "nothing is asked without credentials");
}

/// Also on a machine of EC2, whose metadata service is not waited for: here it is a server that would be heard of.
#[test]
fn a_machine_without_credentials_is_told_at_once() {
    let metadata = KmsServer::start();
    metadata.answer(|_, _| panic!("the metadata service was asked"));
    let asked = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    asked.set_nonblocking(true).unwrap();
    let (status, said) = show("awskms:///alias/online", |command, _| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_SESSION_TOKEN");
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", asked.local_addr().unwrap()));
    });
    assert_eq!(status, 3, "{said}");
    assert!(said.contains("error: there are no AWS credentials: none in the environment"), "{said}");
    let (status, said) = show("awskms:///alias/online", |command, _| {
        command.env_remove("AWS_REGION");
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", asked.local_addr().unwrap()));
    });
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("error: nothing says in which AWS region `awskms:///alias/online` is"), "{said}");
    assert!(said.contains("hint: set AWS_REGION, or name the key by its ARN"), "{said}");
    assert_eq!(asked.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the metadata service was asked");
}

#[test]
fn credentials_and_region_come_from_where_the_sdk_finds_them() {
    let server = KmsServer::start();
    let arn = server.key("online", KeyAlgorithm::EcdsaP256);
    let none = |command: &mut Command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_SESSION_TOKEN");
        command.env_remove("AWS_REGION");
    };
    let address = format!("http://{}", server.address);
    // A profile that has it all, and the address from the environment.
    let profile = |home: &Path, extra: &str| {
        fs_err::create_dir(home.join(".aws")).unwrap();
        let text = format!(
            "[profile kms]\n{extra}aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}\n\
             aws_session_token = {SESSION_TOKEN}\n"
        );
        fs_err::write(home.join(".aws/config"), text).unwrap();
    };
    let (status, said) = show("awskms:///alias/online", |command, home| {
        none(command);
        profile(home, "region = eu-west-1\n");
        command.env("AWS_PROFILE", "kms").env("AWS_ENDPOINT_URL_KMS", &address);
    });
    assert_eq!(status, 0, "{said}");
    // The region of an ARN goes before all others: the server checks which was signed for.
    let (status, said) = show(&format!("awskms:///{arn}"), |command, home| {
        none(command);
        profile(home, "region = us-east-1\n");
        command.env("AWS_PROFILE", "kms").env("AWS_REGION", "us-west-2").env("AWS_ENDPOINT_URL_KMS", &address);
    });
    assert_eq!(status, 0, "{said}");
    // A command that gives credentials.
    let (status, said) = show("awskms:///alias/online", |command, home| {
        none(command);
        fs_err::create_dir(home.join(".aws")).unwrap();
        let given =
            json!({"Version": 1, "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET, "SessionToken": SESSION_TOKEN});
        fs_err::write(home.join("given.json"), given.to_string()).unwrap();
        let config = format!("[default]\nregion = {REGION}\ncredential_process = cat {}/given.json\n", home.display());
        fs_err::write(home.join(".aws/config"), config).unwrap();
        command.env("AWS_ENDPOINT_URL_KMS", &address);
    });
    assert_eq!(status, 0, "{said}");
    assert_eq!(server.heard().len(), 3);
}

/// Gives moto the form of a message that it does not know (5.2 hashes a digest once more), makes two keys, and serves
/// until its input ends. Prints where it listens, and the keys.
const MOTO: &str = r#"
import json, sys
import boto3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.kms import utils
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

def ecdsa(self, message, signing_algorithm):
    return self.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256())))

def rsa(self, message, signing_algorithm):
    assert signing_algorithm == "RSASSA_PSS_SHA_256", signing_algorithm
    sha256 = hashes.SHA256()
    return self.private_key.sign(message, padding.PSS(padding.MGF1(sha256), sha256.digest_size), Prehashed(sha256))

utils.ECDSAPrivateKey.sign, utils.RSAPrivateKey.sign = ecdsa, rsa

# moto leaves out what the service says too.
from moto.kms.responses import KmsResponse
get_public_key = KmsResponse.get_public_key
def with_spec(self):
    answer = json.loads(get_public_key(self))
    answer["KeySpec"] = answer["CustomerMasterKeySpec"]
    return json.dumps(answer)
KmsResponse.get_public_key = with_spec

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
kms = boto3.client("kms", endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-west-1")
keys = [kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"] for spec in ("ECC_NIST_P256", "RSA_2048")]
kms.create_alias(AliasName="alias/online", TargetKeyId=keys[0])
print(json.dumps({"port": port, "keys": keys}), flush=True)
sys.stdin.read()
server.stop()
"#;

#[test]
fn a_repository_is_signed_and_published_with_keys_in_moto() {
    with_credentials("aws_kms::a_repository_is_signed_and_published_with_keys_in_moto", |_| {
        let skipped = |why: &str| {
            #[expect(clippy::print_stderr, reason = "a test that skips says so")]
            {
                eprintln!("skipped: {why}");
            }
        };
        let Some(python) = std::env::var_os("TRUSTROOT_PYTHON") else {
            return skipped("set TRUSTROOT_PYTHON to a Python that has moto");
        };
        let there = Command::new(&python).args(["-c", "import moto, flask"]).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return skipped("TRUSTROOT_PYTHON has no moto");
        }
        // It ends when its input does: with this process, whatever happens.
        let mut moto = Command::new(&python)
            .args(["-c", MOTO])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(moto.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let there: Value = serde_json::from_str(&line).unwrap();
        let host = format!("127.0.0.1:{}", there["port"]);
        let open = |key: &str| AwsKmsSigner::open(&format!("//{host}/{key}").parse().unwrap());
        publish_with(|| open("alias/online").unwrap());
        publish_with(|| open(there["keys"][1].as_str().unwrap()).unwrap());
        assert!(matches!(open("alias/nobody").unwrap_err(), AwsKmsError::NoSuchKey { .. }));
        drop(moto.stdin.take());
        moto.wait().unwrap();
    });
}
