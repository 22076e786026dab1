//! Signs SLSA provenance about a file, as a build service would: for the demo and the guides.
//!
//! ```text
//! sign_attestation ARTIFACT --builder ID --key FILE > ATTESTATION
//! ```
//!
//! The key is an unencrypted PEM file; a build service would sign where its key lives.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use trustroot::crypto::{SecretKey, sha256};
use trustroot::verify::dsse::pre_authentication_encoding;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [artifact, builder_flag, builder, key_flag, key] = arguments.as_slice() else {
        return Err("usage: sign_attestation ARTIFACT --builder ID --key FILE".into());
    };
    if builder_flag != "--builder" || key_flag != "--key" {
        return Err("usage: sign_attestation ARTIFACT --builder ID --key FILE".into());
    }
    let key = SecretKey::from_pem(&std::fs::read_to_string(key)?, None)?;
    let envelope = attest(artifact, &std::fs::read(artifact)?, builder, &key)?;
    #[expect(clippy::print_stdout, reason = "its only output")]
    {
        println!("{envelope:#}");
    }
    Ok(())
}

/// SLSA provenance v1 (slsa.dev/spec/v1.0/provenance) in a DSSE envelope.
pub(crate) fn attest(
    name: &str,
    content: &[u8],
    builder: &str,
    key: &SecretKey,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": hex::encode(sha256(content))}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://oppy.example/bt/v1",
                "externalParameters": {"source": "https://git.oppy.example/hello"},
                "resolvedDependencies": [],
            },
            "runDetails": {"builder": {"id": builder}},
        },
    });
    let payload = statement.to_string();
    let signature = key.sign(&pre_authentication_encoding(PAYLOAD_TYPE, payload.as_bytes()))?;
    Ok(json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": STANDARD.encode(&payload),
        "signatures": [{"keyid": key.keyid().as_str(), "sig": STANDARD.encode(signature)}],
    }))
}
