//! The two back ends. They share ring's API, so one macro writes both and the differences are spelled out below.

use super::Algorithm;

macro_rules! back_end {
    ($module:ident, $library:ident, { $($only:path => $only_params:expr),* }) => {
        pub(super) mod $module {
            use $library::{digest as hash, signature};

            use super::Algorithm;
            use crate::metadata::HashAlgorithm;

            /// A digest that is being computed.
            pub(in crate::crypto) type Context = hash::Context;

            fn hash_algorithm(algorithm: HashAlgorithm) -> &'static hash::Algorithm {
                match algorithm {
                    HashAlgorithm::Sha256 => &hash::SHA256,
                    HashAlgorithm::Sha384 => &hash::SHA384,
                    HashAlgorithm::Sha512 => &hash::SHA512,
                }
            }

            /// Hashes `bytes`.
            pub(in crate::crypto) fn digest(algorithm: HashAlgorithm, bytes: &[u8]) -> hash::Digest {
                hash::digest(hash_algorithm(algorithm), bytes)
            }

            /// Starts a digest.
            pub(in crate::crypto) fn context(algorithm: HashAlgorithm) -> Context {
                Context::new(hash_algorithm(algorithm))
            }

            fn parameters(algorithm: Algorithm) -> Option<&'static dyn signature::VerificationAlgorithm> {
                Some(match algorithm {
                    Algorithm::Ed25519 => &signature::ED25519,
                    Algorithm::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
                    Algorithm::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
                    Algorithm::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Algorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    $($only => $only_params,)*
                    #[allow(unreachable_patterns, reason = "aws-lc-rs has them all")]
                    _ => return None,
                })
            }

            /// Whether this back end has the algorithm.
            pub(in crate::crypto) fn supports(algorithm: Algorithm) -> bool {
                parameters(algorithm).is_some()
            }

            /// Whether `signature` is valid. An algorithm that is not supported verifies nothing.
            pub(in crate::crypto) fn verify(
                algorithm: Algorithm,
                raw_key: &[u8],
                message: &[u8],
                signature: &[u8],
            ) -> bool {
                parameters(algorithm).is_some_and(|parameters| {
                    signature::UnparsedPublicKey::new(parameters, raw_key).verify(message, signature).is_ok()
                })
            }
        }
    };
}

#[cfg(feature = "aws-lc")]
back_end!(aws_lc, aws_lc_rs, {
    Algorithm::EcdsaP521Sha512 => &signature::ECDSA_P521_SHA512_ASN1,
    Algorithm::MlDsa44 => &signature::ML_DSA_44,
    Algorithm::MlDsa65 => &signature::ML_DSA_65,
    Algorithm::MlDsa87 => &signature::ML_DSA_87
});

#[cfg(all(feature = "ring", any(test, not(feature = "aws-lc"))))]
back_end!(on_ring, ring, {});

#[cfg(feature = "aws-lc")]
pub(super) use aws_lc::{Context, context, digest, supports, verify};
#[cfg(all(feature = "ring", not(feature = "aws-lc")))]
pub(super) use on_ring::{Context, context, digest, supports, verify};
