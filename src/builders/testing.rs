//! Documents for the tests of this module.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::input;

pub(crate) fn at(time: &str) -> DateTime<Utc> {
    input::time(time).unwrap()
}

/// A catalog with the namespace `oppy`.
pub(crate) fn catalog() -> Value {
    json!({
        "mediaType": super::CATALOG_MEDIA_TYPE,
        "namespaces": {"oppy": {
            "role": "oppy",
            "minVersion": 1,
            "grants": {"builders": ["https://oppy.example/slsa/"], "packages": ["oppy://"]},
            "caps": [{"level": "SLSA_BUILD_LEVEL_3", "validFor": {"start": "2026-01-01T00:00:00Z"}}],
            "timeAuthorities": ["public-good"],
        }},
    })
}

/// A builder of `oppy` with one Ed25519 key.
pub(crate) fn builder() -> Value {
    json!({
        "mediaType": super::BUILDER_MEDIA_TYPE,
        "builderId": "https://oppy.example/slsa/builder/v1",
        "status": "active",
        "threshold": 1,
        "signers": [{
            "name": "2026a", "type": "key", "status": "active",
            "publicKey": {
                // RFC 8032 section 7.1, test 1
                "rawBytes": "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                "keyDetails": "PKIX_ED25519",
                "validFor": {"start": "2026-01-01T00:00:00Z"},
            },
        }],
        "qualifications": [
            {"level": "SLSA_BUILD_LEVEL_3", "spec": "1.2", "validFor": {"start": "2026-01-01T00:00:00Z"}},
        ],
    })
}
