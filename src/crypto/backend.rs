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
                    Algorithm::EcdsaP384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
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

/// Both back ends must give the same verdict on everything that both know.
#[cfg(all(test, feature = "aws-lc", feature = "ring"))]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
        RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    };
    use proptest::prelude::*;

    use super::{Algorithm, aws_lc, on_ring};
    use crate::crypto::spki_key::SpkiKey;
    use crate::crypto::verify::Curve;
    use crate::metadata::HashAlgorithm;

    const MESSAGE: &[u8] = b"what is signed";

    struct Signed {
        algorithm: Algorithm,
        key: Vec<u8>,
        signature: Vec<u8>,
    }

    fn ecdsa(algorithm: Algorithm, signing: &'static EcdsaSigningAlgorithm) -> Signed {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap().as_ref().to_vec();
        Signed { algorithm, key: pair.public_key().as_ref().to_vec(), signature }
    }

    fn rsa(pair: &RsaKeyPair, algorithm: Algorithm, encoding: &'static dyn RsaEncoding) -> Signed {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
        Signed { algorithm, key: pair.public_key().as_ref().to_vec(), signature }
    }

    /// A valid signature of every kind that both know.
    fn signed() -> Vec<Signed> {
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        vec![
            Signed {
                algorithm: Algorithm::Ed25519,
                key: ed25519.public_key().as_ref().to_vec(),
                signature: ed25519.sign(MESSAGE).as_ref().to_vec(),
            },
            ecdsa(Algorithm::EcdsaP256Sha256, &ECDSA_P256_SHA256_ASN1_SIGNING),
            ecdsa(Algorithm::EcdsaP384Sha384, &ECDSA_P384_SHA384_ASN1_SIGNING),
            rsa(&pair, Algorithm::RsaPssSha256, &RSA_PSS_SHA256),
            rsa(&pair, Algorithm::RsaPssSha384, &RSA_PSS_SHA384),
            rsa(&pair, Algorithm::RsaPssSha512, &RSA_PSS_SHA512),
            rsa(&pair, Algorithm::RsaPkcs1Sha256, &RSA_PKCS1_SHA256),
            rsa(&pair, Algorithm::RsaPkcs1Sha384, &RSA_PKCS1_SHA384),
            rsa(&pair, Algorithm::RsaPkcs1Sha512, &RSA_PKCS1_SHA512),
        ]
    }

    /// Whether a key gets past our own decoding, which is stricter than that of either back end.
    fn is_decoded(algorithm: Algorithm, key: &[u8]) -> bool {
        match algorithm {
            Algorithm::Ed25519 => SpkiKey::ed25519(key).is_ok(),
            Algorithm::EcdsaP256Sha256 => SpkiKey::ec(Curve::P256, key).is_ok(),
            Algorithm::EcdsaP384Sha384 | Algorithm::EcdsaP384Sha256 => SpkiKey::ec(Curve::P384, key).is_ok(),
            _ => SpkiKey::rsa(key).is_ok(),
        }
    }

    fn verdict(algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        if !is_decoded(algorithm, key) {
            return false;
        }
        let aws = aws_lc::verify(algorithm, key, message, signature);
        let ring = on_ring::verify(algorithm, key, message, signature);
        let (key, signature) = (hex::encode(key), hex::encode(signature));
        assert_eq!(aws, ring, "aws-lc-rs says {aws}, ring {ring}: {algorithm:?}, key {key}, signature {signature}");
        aws
    }

    #[test]
    fn both_accept_what_is_valid_and_refuse_every_flipped_bit() {
        for Signed { algorithm, key, signature } in signed() {
            assert!(verdict(algorithm, &key, MESSAGE, &signature), "{algorithm:?}");
            assert!(!verdict(algorithm, &key, b"something else", &signature), "{algorithm:?}");
            for bit in 0..signature.len() * 8 {
                let mut flipped = signature.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!verdict(algorithm, &key, MESSAGE, &flipped), "{algorithm:?}, bit {bit} of the signature");
            }
            for bit in 0..key.len() * 8 {
                let mut flipped = key.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!verdict(algorithm, &flipped, MESSAGE, &signature), "{algorithm:?}, bit {bit} of the key");
            }
        }
    }

    #[test]
    fn both_refuse_other_spellings_of_a_signature() {
        for Signed { algorithm, key, signature } in signed() {
            let longer = [signature.as_slice(), &[0]].concat();
            let padded = [&[0], signature.as_slice()].concat();
            let shorter = &signature[..signature.len() - 1];
            for other in [&[], longer.as_slice(), &padded, shorter, &vec![0; signature.len()], &[255; 64]] {
                assert!(!verdict(algorithm, &key, MESSAGE, other), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn both_agree_on_malleable_and_degenerate_ed25519() {
        let [Signed { algorithm, key, signature }, ..] = &signed()[..] else { unreachable!() };
        // S + L is the same number modulo the order of the group, and must be refused (RFC 8032 section 5.1.7).
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let mut malleable = signature.clone();
        let mut carry = 0_u16;
        for (byte, add) in malleable[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert!(!verdict(*algorithm, key, MESSAGE, &malleable));
        // Points of small order, and encodings that are not reduced.
        for point in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ] {
            let point = hex::decode(point).unwrap();
            let identity = [hex::decode("01").unwrap(), vec![0; 63]].concat();
            verdict(*algorithm, &point, MESSAGE, signature);
            verdict(*algorithm, &point, MESSAGE, &identity);
            verdict(*algorithm, &point, MESSAGE, &[point.clone(), vec![0; 32]].concat());
        }
    }

    proptest! {
        #[test]
        fn both_agree_on_random_bytes(
            which in 0..10_usize,
            key in proptest::collection::vec(any::<u8>(), 0..300),
            signature in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let algorithms = [
                Algorithm::Ed25519, Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::RsaPssSha256,
                Algorithm::RsaPssSha384, Algorithm::RsaPssSha512, Algorithm::RsaPkcs1Sha256,
                Algorithm::RsaPkcs1Sha384, Algorithm::RsaPkcs1Sha512, Algorithm::EcdsaP384Sha256,
            ];
            verdict(algorithms[which], &key, MESSAGE, &signature);
        }

        #[test]
        fn both_hash_alike(bytes in proptest::collection::vec(any::<u8>(), 0..5000), cut in 0..5000_usize) {
            for algorithm in HashAlgorithm::ALL {
                let whole = aws_lc::digest(algorithm, &bytes);
                prop_assert!(whole.as_ref() == on_ring::digest(algorithm, &bytes).as_ref());
                let (head, tail) = bytes.split_at(cut.min(bytes.len()));
                let mut contexts = (aws_lc::context(algorithm), on_ring::context(algorithm));
                contexts.0.update(head);
                contexts.1.update(head);
                contexts.0.update(tail);
                contexts.1.update(tail);
                prop_assert!(whole.as_ref() == contexts.0.finish().as_ref());
                prop_assert!(whole.as_ref() == contexts.1.finish().as_ref());
            }
        }
    }

    #[test]
    fn ring_lacks_only_what_is_documented() {
        for algorithm in [Algorithm::EcdsaP521Sha512, Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87] {
            assert!(aws_lc::supports(algorithm) && !on_ring::supports(algorithm));
            assert!(!on_ring::verify(algorithm, &[], &[], &[]));
        }
        for Signed { algorithm, .. } in signed() {
            assert!(aws_lc::supports(algorithm) && on_ring::supports(algorithm));
        }
    }
}
