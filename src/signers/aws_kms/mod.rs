//! Keys in AWS KMS, which never leave it: a digest goes there, a signature comes back.
//!
//! AWS is trusted to keep the key, and no further: what it gives is verified by the caller of [`Signer::attempt`]. The
//! AWS SDK reads the environment, the user's AWS configuration and the clock, which the rest of this library leaves to its
//! caller: credentials are its business alone, and are never seen here.

mod error;
mod reference;

use std::sync::mpsc;
use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::SharedHttpClient;
use aws_sdk_kms::operation::get_public_key::GetPublicKeyOutput;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use tokio::runtime::{Builder, Runtime};

use super::{Signer, SignerError, Task, digest};
use crate::crypto::{Algorithm, PublicHalf, PublicParts, tuf_ml_dsa_payload};
use crate::metadata::{HashAlgorithm, PublicKey};

use error::Asked;
pub use error::AwsKmsError;
pub use reference::AwsKmsKey;

/// How long AWS may take for the credentials, and for each question and its repetitions together.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a connection may take, and how long one attempt. AWS is asked three times.
const CONNECTING: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(15);

/// A key in AWS KMS.
pub struct AwsKmsSigner {
    client: Client,
    waiting: Waiting,
    half: PublicHalf,
    /// The ARN of the key itself: an alias may come to mean another key meanwhile.
    arn: String,
    asked: Asked,
}

impl std::fmt::Debug for AwsKmsSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl AwsKmsSigner {
    /// Finds credentials and region where the AWS SDK finds them, and asks for the public half of the key.
    ///
    /// Credentials come from the environment, a profile, a web identity or a container's address for them. The metadata
    /// service of EC2 is asked only where a profile says so (`credential_source`), so that a machine that has none is told
    /// at once. The region is that of an ARN, else of the environment or a profile.
    ///
    /// # Errors
    /// When there are no credentials or no region, AWS does not answer or refuses, or the key cannot sign metadata.
    pub fn open(key: &AwsKmsKey) -> Result<Self, AwsKmsError> {
        let mut asked =
            Asked { key: format!("the AWS KMS key `{key}`"), place: String::new(), action: "kms:GetPublicKey" };
        let waiting = Waiting::new(LIMIT).map_err(|why| failed(&asked, why))?;
        let named = key.clone();
        let config = waiting.until(configuration(named)).ok_or_else(|| waiting.timed_out(&asked))?;
        let region = config.region().map(ToString::to_string);
        let region = region.ok_or_else(|| AwsKmsError::NoRegion { key: key.to_string() })?;
        if key.region().is_none() {
            asked.key = format!("{} in {region}", asked.key);
        }
        asked.place = match config.endpoint_url() {
            Some(_) => "the address that it was given".to_owned(),
            None => format!("its address in {region}"),
        };
        let client = Client::new(&config);
        let question = client.get_public_key().key_id(&key.key);
        let answer = waiting.until(async move { question.send().await }).ok_or_else(|| waiting.timed_out(&asked))?;
        let answer = answer.map_err(|error| AwsKmsError::of(&error, &asked))?;
        let half = public_half(&answer, &asked)?;
        let arn = answer.key_id.unwrap_or_else(|| key.key.clone());
        asked.action = "kms:Sign";
        Ok(Self { client, waiting, half, arn, asked })
    }

    /// Gives AWS this long for each signature, instead of a minute.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.waiting.limit = limit;
        self
    }
}

impl Signer for AwsKmsSigner {
    fn public(&self) -> &PublicKey {
        &self.half.public
    }

    fn canonical_spki(&self) -> &[u8] {
        &self.half.spki
    }

    fn name(&self) -> String {
        self.asked.key.clone()
    }

    fn attempt(&self, task: &Task<'_>, algorithm: Algorithm) -> Result<Vec<u8>, SignerError> {
        let Some((how, kind, message)) = question(algorithm, task.payload) else {
            return Err(SignerError::Scheme { signer: self.name(), scheme: task.listed.scheme().to_owned() });
        };
        let question = self.client.sign().key_id(&self.arn).signing_algorithm(how).message_type(kind);
        let question = question.message(Blob::new(message));
        let answer = self.waiting.until(async move { question.send().await });
        let answer = answer.ok_or_else(|| self.waiting.timed_out(&self.asked))?;
        let answer = answer.map_err(|error| AwsKmsError::of(&error, &self.asked))?;
        let missing = || AwsKmsError::Nonsense { key: self.name(), what: "its answer holds no signature" };
        Ok(answer.signature.ok_or_else(missing)?.into_inner())
    }
}

/// What AWS is asked to sign, and how; nothing for what it cannot.
///
/// A payload has more than the 4,096 bytes that AWS takes as they are, so its digest is sent. ML-DSA has no such form, and
/// needs none: what TUF signs with it is 68 bytes long (TAP 21).
fn question(algorithm: Algorithm, payload: &[u8]) -> Option<(SigningAlgorithmSpec, MessageType, Vec<u8>)> {
    use SigningAlgorithmSpec as How;
    let (how, hash) = match algorithm {
        Algorithm::EcdsaP256Sha256 => (How::EcdsaSha256, HashAlgorithm::Sha256),
        Algorithm::EcdsaP384Sha384 => (How::EcdsaSha384, HashAlgorithm::Sha384),
        // The salt is as long as the digest, in AWS KMS as in metadata's schemes.
        Algorithm::RsaPssSha256 => (How::RsassaPssSha256, HashAlgorithm::Sha256),
        Algorithm::RsaPssSha384 => (How::RsassaPssSha384, HashAlgorithm::Sha384),
        Algorithm::RsaPssSha512 => (How::RsassaPssSha512, HashAlgorithm::Sha512),
        Algorithm::RsaPkcs1Sha256 => (How::RsassaPkcs1V15Sha256, HashAlgorithm::Sha256),
        Algorithm::RsaPkcs1Sha384 => (How::RsassaPkcs1V15Sha384, HashAlgorithm::Sha384),
        Algorithm::RsaPkcs1Sha512 => (How::RsassaPkcs1V15Sha512, HashAlgorithm::Sha512),
        Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
            return Some((How::MlDsaShake256, MessageType::Raw, tuf_ml_dsa_payload(payload)));
        }
        _ => return None,
    };
    Some((how, MessageType::Digest, digest(hash, payload)))
}

/// Reads what AWS says of a key, which must agree with itself.
fn public_half(answer: &GetPublicKeyOutput, asked: &Asked) -> Result<PublicHalf, AwsKmsError> {
    let unusable = |why| AwsKmsError::Unusable { key: asked.key.clone(), why };
    let nonsense = |what| AwsKmsError::Nonsense { key: asked.key.clone(), what };
    if answer.key_usage != Some(KeyUsageType::SignVerify) {
        return Err(unusable("its use is not SIGN_VERIFY; a key's use cannot be changed, so make another"));
    }
    let spki = answer.public_key.as_ref().ok_or_else(|| nonsense("it gives no public key"))?;
    let half = PublicHalf::of(&PublicParts::Spki(spki.as_ref()));
    let kind = match answer.key_spec {
        Some(KeySpec::EccNistP256) => "ecdsa-p256",
        Some(KeySpec::EccNistP384) => "ecdsa-p384",
        Some(KeySpec::Rsa2048) => "rsa-2048",
        Some(KeySpec::Rsa3072) => "rsa-3072",
        Some(KeySpec::Rsa4096) => "rsa-4096",
        Some(KeySpec::MlDsa44) => "ml-dsa-44",
        Some(KeySpec::MlDsa65) => "ml-dsa-65",
        Some(KeySpec::MlDsa87) => "ml-dsa-87",
        Some(KeySpec::EccNistP521) => {
            return Err(unusable("few clients check signatures on P-521; take a key of the kind ECC_NIST_P256"));
        }
        Some(KeySpec::EccSecgP256K1) => {
            return Err(unusable("no client checks signatures on secp256k1; take a key of the kind ECC_NIST_P256"));
        }
        Some(KeySpec::EccNistEdwards25519) => {
            return Err(unusable(
                "with Ed25519, AWS KMS signs at most 4,096 bytes, and metadata grows beyond that; take a key of the kind \
                 ECC_NIST_P256",
            ));
        }
        Some(_) => {
            return Err(unusable("no signatures in metadata are made with keys of its kind; take ECC_NIST_P256"));
        }
        None => return Err(nonsense("it does not say of what kind the key is")),
    };
    match half {
        Ok(half) if half.kind == kind => Ok(half),
        Ok(_) => Err(nonsense("its public key is not of the kind that it names")),
        Err(_) => Err(nonsense("its public key is malformed")),
    }
}

/// What the AWS SDK finds on this machine.
async fn configuration(key: AwsKmsKey) -> SdkConfig {
    let http = http_client();
    let providers = ProviderConfig::default().with_http_client(http.clone());
    let region = RegionProviderChain::first_try(key.region().map(|region| Region::new(region.to_owned())))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::builder().configure(&providers).build())
        .region()
        .await;
    let providers = providers.with_region(region.clone());
    // In the order in which every AWS SDK looks; without the metadata service of EC2, which is waited for elsewhere.
    let credentials = CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
        .or_else("profile", ProfileFileCredentialsProvider::builder().configure(&providers).build())
        .or_else("web identity", WebIdentityTokenCredentialsProvider::builder().configure(&providers).build())
        .or_else("container", EcsCredentialsProvider::builder().configure(&providers).build());
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECTING).operation_attempt_timeout(ATTEMPT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(region)
        .credentials_provider(credentials)
        .timeout_config(timeouts);
    if let Ok(name) = AppName::new("trustroot") {
        loader = loader.app_name(name);
    }
    if let Some(endpoint) = key.endpoint() {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// HTTP over the TLS that this build has already, by way of a proxy where the environment names one.
fn http_client() -> SharedHttpClient {
    #[cfg(feature = "aws-lc")]
    let crypto = CryptoMode::AwsLc;
    #[cfg(not(feature = "aws-lc"))]
    let crypto = CryptoMode::Ring;
    aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, _| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.tls_provider(tls::Provider::Rustls(crypto.clone())).proxy_config(ProxyConfig::from_env()).build()
    })
}

/// Waits for AWS, whose SDK is asynchronous, on behalf of those who are not, or who are in another runtime.
struct Waiting {
    /// Taken when this is dropped, which may happen in another runtime, where a runtime must not wait for its end.
    runtime: Option<Runtime>,
    limit: Duration,
}

impl Waiting {
    fn new(limit: Duration) -> Result<Self, &'static str> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("aws-kms").enable_all().build();
        Ok(Self { runtime: Some(runtime.map_err(|_| "no thread could be started")?), limit })
    }

    /// What comes of it; nothing where it does not come in time.
    fn until<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (send, outcome) = mpsc::channel();
        let limit = self.limit;
        self.runtime.as_ref()?.spawn(async move {
            if let Ok(outcome) = tokio::time::timeout(limit, future).await {
                let _ = send.send(outcome);
            }
        });
        // Ends when the task does, whatever becomes of it: the sender goes with it.
        outcome.recv().ok()
    }

    fn timed_out(&self, asked: &Asked) -> AwsKmsError {
        AwsKmsError::TimedOut { key: asked.key.clone(), seconds: self.limit.as_secs() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn failed(asked: &Asked, what: &str) -> AwsKmsError {
    AwsKmsError::Failed { key: asked.key.clone(), what: what.to_owned() }
}
