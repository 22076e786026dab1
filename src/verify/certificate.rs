//! Whether an envelope is still what the holder of the certificate beside it signed.
//!
//! Certificate and envelope are both attacker-controlled, and nothing here is trust: no chain is followed, no
//! identity is read, no period is looked at. Whoever alters an envelope can sign it anew under a certificate of
//! their own making. What is found is an envelope that was altered by somebody who did not.

use spki::der::asn1::AnyRef;
use spki::der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::dsse::{Candidate, Envelope};
use crate::crypto::{Algorithm, VerifyingKey};

/// Largest certificate that is read, in bytes.
const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

/// How an envelope stands to the certificate that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integrity {
    /// The certificate's key signed it.
    Intact,
    /// No signature on it is by the certificate's key.
    Altered,
    /// The certificate cannot be read, or its kind of key is not one that we can judge.
    Unknown,
}

/// Checks the envelope's signatures with the public key in the certificate, which is DER.
pub(super) fn integrity(envelope: &Envelope, certificate: &[u8]) -> Integrity {
    let keys = keys(certificate);
    let candidates: Vec<_> = keys.iter().map(|key| Candidate { keyid: "", key }).collect();
    match (candidates.is_empty(), envelope.signers(&candidates).is_empty()) {
        (true, _) => Integrity::Unknown,
        (false, true) => Integrity::Altered,
        (false, false) => Integrity::Intact,
    }
}

/// The certificate's public key, once for every way in which signatures may be made with it; none if it is unknown.
///
/// A certificate does not say how its key signs, and an honest signature must not be taken for tampering. So P-384 is
/// tried with SHA-256 too, and kinds of keys whose signatures may be made in ways that we do not try count as unknown:
/// RSA, with its paddings and salts, and what not every back end has, P-521 and ML-DSA.
fn keys(certificate: &[u8]) -> Vec<VerifyingKey> {
    const ALGORITHMS: [Algorithm; 4] =
        [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::EcdsaP384Sha256, Algorithm::Ed25519];
    let Some(info) = subject_public_key_info(certificate) else { return Vec::new() };
    ALGORITHMS.iter().filter_map(|algorithm| VerifyingKey::from_spki(info, *algorithm).ok()).collect()
}

/// Finds the SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1) by walking over what stands before it.
fn subject_public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    const VERSION: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber::N0 };
    if certificate.len() > MAX_CERTIFICATE_BYTES {
        return None;
    }
    let certificate = AnyRef::from_der(certificate).ok().filter(|outer| outer.tag() == Tag::Sequence)?;
    let to_be_signed = AnyRef::decode(&mut SliceReader::new(certificate.value()).ok()?).ok()?;
    let mut fields = SliceReader::new(to_be_signed.value()).ok()?;
    if fields.peek_tag().ok()? == VERSION {
        fields.tlv_bytes().ok()?;
    }
    for _ in ["serialNumber", "signature", "issuer", "validity", "subject"] {
        fields.tlv_bytes().ok()?;
    }
    fields.tlv_bytes().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{TestKey, certificate, certificate_of, envelope_json, rsa_spki};

    /// A P-384 key and its signatures, made by OpenSSL, over `hello` of type `text/plain`.
    const P384: &str = "\
        3076301006072a8648ce3d020106052b81040022036200042d194ca2e692226bfed3eff84cff964f2419516b72ffd382\
        9372c015c776a619bd2975b6e1e5567938d869713811a692b258b99d3d5073c140f77e502028c707ab86058644ac437a\
        e8a6ba428f914cb0fc815556568f762659aa0d5ef8f0d58d";
    const P384_SHA256: &str = "\
        3065023070c3fbe6b31ff89c699cc3971ff972d8dbd8a17e07ea9b96fabb23e9f8115977f5521cbf3842fcfd5f95d082\
        acf351f5023100957747bd4711a2a2329f816fcc56f743fceabdce12f6b9403be093b756af6fc8100edb059370e14bb1\
        765f4819cef8d5";
    const P384_SHA384: &str = "\
        306502310090ae4dc23b82ff5f815ecbdb2e43abc99dc3daf609f51161b31574f784718e25efdd84f77fa59d37169ee2\
        1d9de8f7510230204bec5f0c44f78e480e80a2b8e40e38e4e244dd1bcdbea2da145fbd14fe987b95ded43e684c9cbbf7\
        fb40d073bf5c60";

    fn envelope(payload: &[u8], signers: &[&TestKey]) -> Envelope {
        Envelope::parse(envelope_json(payload, "text/plain", signers).to_string().as_bytes()).unwrap()
    }

    fn envelope_with(payload: &[u8], signature: &str) -> Envelope {
        let mut json = envelope_json(payload, "text/plain", &[]);
        let signature = crate::verify::testing::base64_text(&hex::decode(signature).unwrap());
        json["signatures"] = serde_json::json!([{ "sig": signature }]);
        Envelope::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_signature_by_the_certificate_is_told_from_one_by_another_key() {
        for (key, other) in [(TestKey::new(1), TestKey::new(2)), (TestKey::ecdsa("a"), TestKey::ecdsa("b"))] {
            assert_eq!(integrity(&envelope(b"hello", &[&key]), &certificate(&key)), Integrity::Intact);
            assert_eq!(integrity(&envelope(b"hello", &[&other]), &certificate(&key)), Integrity::Altered);
            assert_eq!(integrity(&envelope(b"hello", &[]), &certificate(&key)), Integrity::Altered);
        }
    }

    #[test]
    fn one_signature_by_the_certificate_is_enough() {
        let (key, other) = (TestKey::new(1), TestKey::new(2));
        assert_eq!(integrity(&envelope(b"hello", &[&other, &key]), &certificate(&key)), Integrity::Intact);
    }

    #[test]
    fn either_hash_that_clients_use_with_p384_is_tried() {
        let certificate = certificate_of(&hex::decode(P384).unwrap());
        for signature in [P384_SHA256, P384_SHA384] {
            assert_eq!(integrity(&envelope_with(b"hello", signature), &certificate), Integrity::Intact);
            assert_eq!(integrity(&envelope_with(b"hallo", signature), &certificate), Integrity::Altered);
        }
    }

    #[test]
    fn rsa_counts_as_unknown() {
        assert!(keys(&certificate_of(&rsa_spki(2048))).is_empty());
    }

    #[test]
    fn a_certificate_whose_kind_of_key_is_unknown_proves_nothing() {
        // X25519, which does not sign.
        let info = hex::decode(["302a300506032b656e032100", &"09".repeat(32)].concat()).unwrap();
        assert_eq!(integrity(&envelope(b"hello", &[]), &certificate_of(&info)), Integrity::Unknown);
    }

    #[test]
    fn a_certificate_without_a_version_is_read() {
        let key = TestKey::new(1);
        let with_version = certificate(&key);
        let position = with_version.windows(5).position(|bytes| bytes == [0xa0, 3, 2, 1, 2]).unwrap();
        // Both headers have one byte of length, since the certificate is small.
        let mut without = [&with_version[..position], &with_version[position + 5..]].concat();
        without[1] -= 5;
        without[3] -= 5;
        assert_eq!(integrity(&envelope(b"hello", &[&key]), &without), Integrity::Intact);
    }

    #[test]
    fn what_is_not_a_certificate_proves_nothing_and_does_no_harm() {
        let key = TestKey::new(1);
        let (good, signed) = (certificate(&key), envelope(b"hello", &[&key]));
        for length in 0..good.len() {
            assert_eq!(integrity(&signed, &good[..length]), Integrity::Unknown, "cut at {length}");
        }
        assert_eq!(integrity(&signed, &[good.as_slice(), b"x"].concat()), Integrity::Unknown);
        assert_eq!(integrity(&signed, &vec![0x30; MAX_CERTIFICATE_BYTES + 1]), Integrity::Unknown);
        for position in 0..good.len() {
            for byte in 0..=u8::MAX {
                let mut changed = good.clone();
                changed[position] = byte;
                let _ = keys(&changed);
            }
        }
    }
}
