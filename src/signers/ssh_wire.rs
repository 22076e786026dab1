//! The parts that messages of an ssh-agent are made of (RFC 4251 section 5), and keys and signatures in that form.
//!
//! What is read comes from whoever listens at a socket: every length is held against what is there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::crypto::{Curve, PublicHalf, PublicParts, ecdsa_der, sha256};

/// Reads parts from the front of what is left. `None` where they are not there.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// A number that is not negative, without the zero that tells it from a negative one.
    fn number(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        match bytes {
            [0, rest @ ..] => Some(rest),
            [first, ..] if first & 0x80 != 0 => None,
            _ => Some(bytes),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends a string.
pub(super) fn put(message: &mut Vec<u8>, string: &[u8]) {
    // What we send is far below four gigabytes: payloads are bounded where they are read.
    message.extend_from_slice(&u32::try_from(string.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(string);
}

/// The fingerprint of a key blob, as `ssh-add -l` shows it.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(blob)))
}

/// Reads a key blob (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4), or says why it is of no use here.
pub(super) fn public_half(blob: &[u8]) -> Result<PublicHalf, &'static str> {
    const BROKEN: &str = "its encoding is broken";
    let mut reader = Reader(blob);
    let kind = reader.string().ok_or(BROKEN)?;
    let parts = match kind {
        b"ssh-ed25519" => PublicParts::Ed25519(reader.string().ok_or(BROKEN)?),
        b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" | b"ecdsa-sha2-nistp521" => {
            let name = reader.string().ok_or(BROKEN)?;
            if !kind.ends_with(name) {
                return Err(BROKEN);
            }
            let curve = match name {
                b"nistp256" => Curve::P256,
                b"nistp384" => Curve::P384,
                b"nistp521" => Curve::P521,
                _ => return Err(BROKEN),
            };
            PublicParts::Ec(curve, reader.string().ok_or(BROKEN)?)
        }
        b"ssh-rsa" => {
            let exponent = reader.number().ok_or(BROKEN)?;
            PublicParts::Rsa { modulus: reader.number().ok_or(BROKEN)?, exponent }
        }
        _ if kind.starts_with(b"sk-") => return Err("a FIDO key signs more than the payload"),
        _ if kind.ends_with(b"-cert-v01@openssh.com") => return Err("it is a certificate"),
        _ => return Err("metadata has no keys of this kind"),
    };
    if !reader.is_empty() {
        return Err(BROKEN);
    }
    PublicHalf::of(&parts).map_err(|_| "metadata has no keys of this kind or length")
}

/// Turns a signature blob into the form of TUF metadata. `kind` is the one that was asked for; an RSA signature is as long
/// as the modulus of its key, in bytes.
pub(super) fn metadata_signature(blob: &[u8], kind: &str, modulus: usize) -> Option<Vec<u8>> {
    let mut reader = Reader(blob);
    if reader.string()? != kind.as_bytes() {
        return None;
    }
    let body = reader.string()?;
    if !reader.is_empty() {
        return None;
    }
    if kind.starts_with("ecdsa-") {
        // RFC 5656 section 3.1.2
        let mut numbers = Reader(body);
        let (r, s) = (numbers.number()?, numbers.number()?);
        return if numbers.is_empty() { ecdsa_der(r, s) } else { None };
    }
    if kind.starts_with("rsa-") {
        // Some agents leave out leading zeros.
        let missing = modulus.checked_sub(body.len())?;
        return Some([&vec![0; missing][..], body].concat());
    }
    Some(body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(parts: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::new();
        for part in parts {
            put(&mut message, part);
        }
        message
    }

    #[test]
    fn lengths_that_lead_outside_are_refused() {
        assert_eq!(Reader(&[0, 0, 0, 5, 1]).string(), None);
        assert_eq!(Reader(&[0xff; 8]).string(), None);
        assert_eq!(Reader(&[0, 0]).u32(), None);
        for cut in 0..51 {
            let blob = strings(&[b"ssh-ed25519", &[7; 32]]);
            assert!(public_half(&blob[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn keys_that_metadata_cannot_list_say_why() {
        for (blob, why) in [
            (strings(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:"]), "a FIDO key signs more than the payload"),
            (strings(&[b"ssh-ed25519-cert-v01@openssh.com"]), "it is a certificate"),
            (strings(&[b"ssh-dss"]), "metadata has no keys of this kind"),
            (strings(&[b"ssh-rsa", &[3], &[1; 128]]), "metadata has no keys of this kind or length"),
            (strings(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4; 97]]), "its encoding is broken"),
            (strings(&[b"ssh-ed25519", &[7; 32], b"more"]), "its encoding is broken"),
        ] {
            assert_eq!(public_half(&blob).err(), Some(why));
        }
    }

    #[test]
    fn signatures_take_the_form_of_metadata() {
        let ecdsa = strings(&[b"ecdsa-sha2-nistp256", &strings(&[&[0, 0x80], &[1]])]);
        let der = metadata_signature(&ecdsa, "ecdsa-sha2-nistp256", 0).unwrap();
        assert_eq!(hex::encode(der), "300702020080020101");
        // Negative numbers, another kind than was asked for, more after the end.
        let negative = strings(&[b"ecdsa-sha2-nistp256", &strings(&[&[0x80], &[1]])]);
        assert_eq!(metadata_signature(&negative, "ecdsa-sha2-nistp256", 0), None);
        let sha1 = strings(&[b"ssh-rsa", &[1; 256]]);
        assert_eq!(metadata_signature(&sha1, "rsa-sha2-256", 256), None);
        let short = strings(&[b"rsa-sha2-256", &[1; 255]]);
        assert_eq!(metadata_signature(&short, "rsa-sha2-256", 256).unwrap()[..2], [0, 1]);
        let long = strings(&[b"rsa-sha2-256", &[1; 257]]);
        assert_eq!(metadata_signature(&long, "rsa-sha2-256", 256), None);
        let more = strings(&[b"ssh-ed25519", &[1; 64], b""]);
        assert_eq!(metadata_signature(&more, "ssh-ed25519", 0), None);
    }
}
