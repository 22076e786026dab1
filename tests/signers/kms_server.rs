//! A small AWS KMS on the loopback interface, which checks what the real one would: who asks (Signature Version 4, with
//! the secret that it knows), of which kind the message is and how long, and in which state the key is. It answers in
//! the real one's form (AWS JSON 1.1), and wrongly where a test asks for that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature as with;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use trustroot::crypto::{KeyAlgorithm, SecretKey, sha256};

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLETRUSTROOT";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const SESSION_TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLETOKENOFTHESESSION//////////wEaCWV1LXdlc3Q=";

/// What is sent back: a status and a JSON object; or something that no KMS sends.
pub(crate) enum Answer {
    Json(u16, Value),
    /// The connection ends without an answer.
    Closed,
    /// The connection stays open, and nothing comes.
    Silence,
    /// These bytes.
    Bytes(&'static [u8]),
}

/// Changes an answer, given the action, such as `Sign`.
type Change = Box<dyn FnMut(&str, Answer) -> Answer + Send>;

struct Key {
    spec: &'static str,
    usage: &'static str,
    state: &'static str,
    secret: SecretKey,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, Key>,
    aliases: BTreeMap<String, String>,
    change: Option<Change>,
    heard: Vec<(String, Value)>,
}

pub(crate) struct KmsServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl KmsServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // Ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    /// Makes a key with an alias, and returns its ARN.
    pub(crate) fn key(&self, alias: &str, algorithm: KeyAlgorithm) -> String {
        let spec = match algorithm {
            KeyAlgorithm::EcdsaP256 => "ECC_NIST_P256",
            KeyAlgorithm::EcdsaP384 => "ECC_NIST_P384",
            KeyAlgorithm::EcdsaP521 => "ECC_NIST_P521",
            KeyAlgorithm::Ed25519 => "ECC_NIST_EDWARDS25519",
            KeyAlgorithm::Rsa2048 => "RSA_2048",
            KeyAlgorithm::Rsa3072 => "RSA_3072",
            KeyAlgorithm::MlDsa65 => "ML_DSA_65",
            other => panic!("{other:?}"),
        };
        let mut state = self.state.lock().unwrap();
        let arn = format!("arn:aws:kms:{REGION}:111122223333:key/00000000-0000-4000-8000-{:012}", state.keys.len());
        let secret = SecretKey::generate(algorithm).unwrap();
        state.keys.insert(arn.clone(), Key { spec, usage: "SIGN_VERIFY", state: "Enabled", secret });
        state.aliases.insert(alias.to_owned(), arn.clone());
        arn
    }

    /// The public half of a key, as metadata lists it.
    pub(crate) fn public(&self, arn: &str) -> trustroot::metadata::PublicKey {
        self.state.lock().unwrap().keys[arn].secret.public().clone()
    }

    /// Lets an alias mean a key.
    pub(crate) fn point(&self, alias: &str, arn: &str) {
        self.state.lock().unwrap().aliases.insert(alias.to_owned(), arn.to_owned());
    }

    pub(crate) fn set_state(&self, arn: &str, to: &'static str) {
        self.state.lock().unwrap().keys.get_mut(arn).unwrap().state = to;
    }

    pub(crate) fn set_usage(&self, arn: &str, to: &'static str) {
        self.state.lock().unwrap().keys.get_mut(arn).unwrap().usage = to;
    }

    pub(crate) fn set_spec(&self, arn: &str, to: &'static str) {
        self.state.lock().unwrap().keys.get_mut(arn).unwrap().spec = to;
    }

    /// From now on, answers are changed so.
    pub(crate) fn answer(&self, change: impl FnMut(&str, Answer) -> Answer + Send + 'static) {
        self.state.lock().unwrap().change = Some(Box::new(change));
    }

    /// From now on, this action ends with an error of the service.
    pub(crate) fn refuse(&self, action: &'static str, status: u16, kind: &'static str, message: &'static str) {
        self.answer(move |asked, answer| if asked == action { error(status, kind, message) } else { answer });
    }

    pub(crate) fn behave(&self) {
        self.state.lock().unwrap().change = None;
    }

    /// What was asked with good credentials: action and parameters, in order.
    pub(crate) fn heard(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().heard.clone()
    }
}

pub(crate) fn error(status: u16, kind: &str, message: &str) -> Answer {
    Answer::Json(status, json!({"__type": kind, "message": message}))
}

struct Request {
    headers: BTreeMap<String, String>,
    first: String,
    body: Vec<u8>,
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length.min(1 << 20)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { headers, first: first.trim_end().to_owned(), body })
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let Some(request) = read(&stream) else { return };
    let action = request.headers.get("x-amz-target").and_then(|target| target.strip_prefix("TrentService."));
    let action = action.unwrap_or_default().to_owned();
    let answer = {
        let mut state = state.lock().unwrap();
        let answer = who_asks(&request).err().unwrap_or_else(|| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            state.heard.push((action.clone(), asked.clone()));
            state.act(&action, &asked).unwrap_or_else(|refusal| refusal)
        });
        match &mut state.change {
            Some(change) => change(&action, answer),
            None => answer,
        }
    };
    let bytes = match answer {
        Answer::Closed => return,
        Answer::Silence => {
            // Until the other end gives up.
            let _ = stream.read(&mut [0]);
            return;
        }
        Answer::Bytes(bytes) => bytes.to_vec(),
        Answer::Json(status, value) => {
            let body = value.to_string();
            format!(
                "HTTP/1.1 {status} Some\r\ncontent-type: application/x-amz-json-1.1\r\nx-amzn-requestid: 1\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        }
    };
    let _ = stream.write_all(&bytes);
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mut padded = [0; 64];
    padded[..key.len().min(64)].copy_from_slice(&key[..key.len().min(64)]);
    let with = |pad: u8, rest: &[u8]| sha256(&[&padded.map(|byte| byte ^ pad)[..], rest].concat());
    with(0x5c, &with(0x36, message.as_bytes()))
}

/// Checks the signature of a request (AWS Signature Version 4). The answer where it is not good is the real one's, which
/// repeats what should have been signed, session token and all.
fn who_asks(request: &Request) -> Result<(), Answer> {
    let unknown =
        || error(400, "UnrecognizedClientException", "The security token included in the request is invalid.");
    let missing = || error(400, "MissingAuthenticationTokenException", "Missing Authentication Token");
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    let authorization =
        header("authorization").and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 ")).ok_or_else(missing)?;
    let field = |name: &str| {
        authorization.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).ok_or_else(missing)
    };
    let (credential, names, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let (access_key, scope) = credential.split_once('/').ok_or_else(missing)?;
    if access_key != ACCESS_KEY || header("x-amz-security-token") != Some(SESSION_TOKEN) {
        return Err(unknown());
    }
    let signed: Vec<&str> = names.split(';').collect();
    let date = header("x-amz-date").ok_or_else(missing)?;
    for needed in ["host", "x-amz-date", "x-amz-security-token", "x-amz-target"] {
        assert!(signed.contains(&needed), "{needed} is not signed");
    }
    assert!(signed.is_sorted() && date.len() == 16 && date.ends_with('Z'), "{authorization}");
    assert_eq!(scope, format!("{}/{REGION}/kms/aws4_request", &date[..8]));
    assert_eq!(request.first, "POST / HTTP/1.1");
    let mut canonical = "POST\n/\n\n".to_owned();
    for name in &signed {
        let value = header(name).ok_or_else(missing)?;
        let _ = writeln!(canonical, "{name}:{}", value.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let _ = write!(canonical, "\n{names}\n{}", hex::encode(sha256(&request.body)));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(sha256(canonical.as_bytes())));
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part).to_vec());
    if hex::encode(hmac(&key, &text)) == signature {
        return Ok(());
    }
    let said = format!(
        "The request signature we calculated does not match the signature you provided. The Canonical String for this \
         request should have been\n'{canonical}'"
    );
    Err(error(400, "InvalidSignatureException", &said))
}

impl State {
    fn act(&self, action: &str, asked: &Value) -> Result<Answer, Answer> {
        let named = asked["KeyId"].as_str().unwrap_or_default();
        let not_found = || error(400, "NotFoundException", &format!("Key '{named}' does not exist"));
        let arn = match named.strip_prefix("alias/") {
            Some(alias) => self.aliases.get(alias).ok_or_else(not_found)?,
            None => self
                .keys
                .keys()
                .find(|arn| *arn == named || arn.ends_with(&format!("/{named}")))
                .ok_or_else(not_found)?,
        };
        let key = &self.keys[arn];
        match (key.state, action) {
            ("Enabled", _) | ("Disabled", "GetPublicKey") => {}
            ("Disabled", _) => return Err(error(400, "DisabledException", &format!("{arn} is disabled."))),
            (state, _) => {
                let words = if state == "PendingDeletion" { "pending deletion" } else { "pending import" };
                return Err(error(400, "KMSInvalidStateException", &format!("{arn} is {words}.")));
            }
        }
        match action {
            "GetPublicKey" => Ok(Answer::Json(
                200,
                json!({
                    "KeyId": arn,
                    "PublicKey": BASE64.encode(key.secret.canonical_spki()),
                    "KeySpec": key.spec,
                    "CustomerMasterKeySpec": key.spec,
                    "KeyUsage": key.usage,
                    "SigningAlgorithms": algorithms(key.spec),
                }),
            )),
            "Sign" => {
                let algorithm = asked["SigningAlgorithm"].as_str().unwrap_or_default();
                if key.usage != "SIGN_VERIFY" || !algorithms(key.spec).contains(&algorithm) {
                    let said = format!("Algorithm {algorithm} and key spec {} are incompatible", key.spec);
                    return Err(error(400, "InvalidKeyUsageException", &said));
                }
                let message = BASE64.decode(asked["Message"].as_str().unwrap_or_default()).unwrap();
                let kind = asked["MessageType"].as_str().unwrap_or("RAW");
                let signature = sign(&key.secret, algorithm, kind, &message)?;
                let signature = BASE64.encode(signature);
                Ok(Answer::Json(200, json!({"KeyId": arn, "Signature": signature, "SigningAlgorithm": algorithm})))
            }
            _ => Err(error(400, "UnknownOperationException", "")),
        }
    }
}

fn algorithms(spec: &str) -> &'static [&'static str] {
    match spec {
        "ECC_NIST_P256" => &["ECDSA_SHA_256"],
        "ECC_NIST_P384" => &["ECDSA_SHA_384"],
        "ECC_NIST_P521" => &["ECDSA_SHA_512"],
        "ML_DSA_65" => &["ML_DSA_SHAKE_256"],
        _ => &[
            "RSASSA_PKCS1_V1_5_SHA_256",
            "RSASSA_PKCS1_V1_5_SHA_384",
            "RSASSA_PKCS1_V1_5_SHA_512",
            "RSASSA_PSS_SHA_256",
            "RSASSA_PSS_SHA_384",
            "RSASSA_PSS_SHA_512",
        ],
    }
}

/// Signs as the real one does: it sees the digest alone.
fn sign(secret: &SecretKey, algorithm: &str, kind: &str, message: &[u8]) -> Result<Vec<u8>, Answer> {
    let invalid = |said: &str| error(400, "ValidationException", said);
    let pem = secret.to_unencrypted_pem();
    let pkcs8 = BASE64.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    if message.len() > 4096 {
        return Err(invalid(
            "Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096",
        ));
    }
    if algorithm == "ML_DSA_SHAKE_256" {
        if kind != "RAW" {
            return Err(invalid("MessageType is not compatible with the signing algorithm"));
        }
        let pair = with::PqdsaKeyPair::from_pkcs8(&with::ML_DSA_65_SIGNING, &pkcs8).unwrap();
        let mut signature = vec![0; pair.algorithm().signature_len()];
        let length = pair.sign(message, &mut signature).unwrap();
        signature.truncate(length);
        return Ok(signature);
    }
    // What this project sends raw is for ML-DSA alone.
    if kind != "DIGEST" {
        return Err(invalid("the tests' KMS takes digests alone"));
    }
    let hash = match &algorithm[algorithm.len() - 3..] {
        "256" => &digest::SHA256,
        "384" => &digest::SHA384,
        _ => &digest::SHA512,
    };
    let digest = digest::Digest::import_less_safe(message, hash)
        .map_err(|_| invalid("Digest is invalid length for algorithm"))?;
    if algorithm.starts_with("ECDSA") {
        let how = if hash == &digest::SHA256 {
            &with::ECDSA_P256_SHA256_ASN1_SIGNING
        } else {
            &with::ECDSA_P384_SHA384_ASN1_SIGNING
        };
        let pair = with::EcdsaKeyPair::from_pkcs8(how, &pkcs8).unwrap();
        return Ok(pair.sign_digest(&digest).unwrap().as_ref().to_vec());
    }
    let padding: &'static dyn with::RsaEncoding = match algorithm {
        "RSASSA_PSS_SHA_256" => &with::RSA_PSS_SHA256,
        "RSASSA_PSS_SHA_384" => &with::RSA_PSS_SHA384,
        "RSASSA_PSS_SHA_512" => &with::RSA_PSS_SHA512,
        "RSASSA_PKCS1_V1_5_SHA_256" => &with::RSA_PKCS1_SHA256,
        "RSASSA_PKCS1_V1_5_SHA_384" => &with::RSA_PKCS1_SHA384,
        _ => &with::RSA_PKCS1_SHA512,
    };
    let pair = with::RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign_digest(padding, &digest, &mut signature).unwrap();
    Ok(signature)
}
