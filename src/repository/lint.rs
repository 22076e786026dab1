//! What has made documents unusable for clients of other makes, or dangerous for everybody, as far as one document shows it.
//!
//! Our own reader takes more than these rules allow: it reads what others have published. What we help to sign keeps to
//! what every reader that we know takes. What stood in the version before is only pointed out: its keyids and names are
//! not ours to change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::rules::Problems;
use crate::crypto::VerifyingKey;
use crate::metadata::{KeyId, PublicKey, RoleName, TargetPath};
use crate::printable::Printable;

/// Largest integer that readers keep exactly which hold numbers as floating point (RFC 8259 section 6).
const EXACT: u64 = (1 << 53) - 1;
/// Longest root that python-tuf and go-tuf read, in bytes.
const LONGEST_ROOT: usize = 512_000;
/// Longest part of a path, in bytes: a file system takes 255, and consistent snapshots put 65 in front of the last one.
const LONGEST_PART: usize = 255 - 65;

impl Problems<'_> {
    /// What the bytes of a document show, whatever role it is of.
    pub(super) fn check_document(&mut self, role: &RoleName, document: &[u8]) {
        if holds_private_key(document) {
            self.add_always("it holds a SECRET key in PEM, and would be published");
        }
        if *role == RoleName::Root && document.len() > LONGEST_ROOT {
            self.add(format!("it is longer than others read it: other clients read roots of {LONGEST_ROOT} bytes"));
        }
        // The envelope has been read, so this is JSON.
        let value: Value = serde_json::from_slice(document).unwrap_or_default();
        let signed = &value["signed"];
        self.check_text(signed);
        let text = |field: &str| signed[field].as_str().unwrap_or_default();
        let numbers = text("spec_version").split('.').count();
        if numbers != 3 {
            let version = Printable(text("spec_version"));
            self.add(format!("it follows version `{version}` of the specification, which is not three numbers"));
        }
        let expires = text("expires");
        let whole = chrono::NaiveDateTime::parse_from_str(expires, "%Y-%m-%dT%H:%M:%SZ");
        if whole.is_err() {
            self.add(format!("it expires on `{}`, and others read whole seconds of UTC only", Printable(expires)));
        }
        let known = ["root", "targets", "snapshot", "timestamp"];
        for other in signed["roles"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if !known.contains(&other.as_str()) {
                self.add(format!("it has a role `{}`, for which others refuse it", Printable(other)));
            }
        }
        for (path, entry) in signed["targets"].as_object().into_iter().flatten() {
            for (algorithm, digest) in entry["hashes"].as_object().into_iter().flatten() {
                let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                if !digest.as_str().is_some_and(|digest| digest.bytes().all(lower)) {
                    let (path, algorithm) = (Printable(path), Printable(algorithm));
                    self.add(format!(
                        "the {algorithm} of {path} is not in lower-case hexadecimal, as others compare it"
                    ));
                }
            }
        }
    }

    /// Text that others would rewrite before they verify it, and numbers that they would round.
    fn check_text(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.check_one_text(text),
            Value::Number(number) => {
                let exact = number.as_i64().is_some_and(|number| number.unsigned_abs() <= EXACT);
                if !exact {
                    self.add(format!("it holds the number {number}, which others round"));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.check_text(item)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.check_one_text(name);
                    self.check_text(member);
                }
            }
            _ => {}
        }
    }

    fn check_one_text(&mut self, text: &str) {
        if !unicode_normalization::is_nfc(text) {
            self.add(format!(
                "`{}` is not in Unicode's form NFC, into which others bring it before they verify",
                Printable(text)
            ));
        }
    }

    /// The keys that a delegator lists, whether or not a role uses them.
    pub(super) fn check_key_map(
        &mut self,
        keys: &BTreeMap<KeyId, PublicKey>,
        before: Option<&BTreeMap<KeyId, PublicKey>>,
        used: &BTreeSet<&KeyId>,
    ) {
        for (keyid, key) in keys {
            let keyval = key.to_value()["keyval"].clone();
            if keyval.as_object().is_none_or(|keyval| keyval.len() != 1) {
                self.add(format!("the key {keyid} is listed with more than its public half"));
            }
            if !used.contains(keyid) {
                self.note(format!("the key {keyid} is listed, and no role uses it"));
            }
            let known = before.and_then(|before| before.get(keyid)) == Some(key);
            if *keyid != key.keyid() {
                let what = format!("the keyid {keyid} is not the SHA-256 of its key, and others refuse that");
                if known { self.note(what) } else { self.add(what) }
            }
            let others = [("ed25519", "ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "rsassa-pss-sha256")];
            let pem = key.keytype() == "ed25519" || key.public().starts_with("-----BEGIN PUBLIC KEY-----");
            if VerifyingKey::from_metadata(key).is_ok() && (!others.contains(&(key.keytype(), key.scheme())) || !pem) {
                self.note(format!(
                    "the key {keyid} is of a kind that not every client reads: {} with {}{}",
                    Printable(key.keytype()),
                    Printable(key.scheme()),
                    if pem { "" } else { ", not in PEM" }
                ));
            }
        }
    }

    /// Names of files that others cannot keep.
    pub(super) fn check_paths(&mut self, paths: &BTreeSet<TargetPath>) {
        let mut spelled: BTreeMap<String, &TargetPath> = BTreeMap::new();
        for path in paths {
            let mut wrong: Option<String> = path.as_str().split('/').find_map(unsafe_part);
            if let Some(same) = spelled.insert(path.as_str().to_lowercase(), path) {
                wrong = Some(format!("differs from {same} by case only"));
            }
            for (place, _) in path.as_str().match_indices('/') {
                let above = &path.as_str()[..place];
                if paths.iter().any(|other| other.as_str().eq_ignore_ascii_case(above)) {
                    wrong = Some(format!("lies below the file {}", Printable(above)));
                }
            }
            if let Some(wrong) = wrong {
                self.add(format!("{path} {wrong}: others cannot keep it under its name"));
            }
        }
    }

    /// A secret half among the files that would be distributed.
    pub(super) fn check_content(&mut self, targets: &BTreeMap<TargetPath, Vec<u8>>) {
        for path in targets.iter().filter(|(_, bytes)| holds_private_key(bytes)).map(|(path, _)| path) {
            self.add(format!("{path} holds a SECRET key, and would be published"));
        }
    }
}

/// Whether a secret key in PEM stands in these bytes (RFC 7468, and what OpenSSL and OpenSSH write).
pub(crate) fn holds_private_key(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"PRIVATE KEY")
}

/// Why a part of a path is none on some system.
fn unsafe_part(part: &str) -> Option<String> {
    // Windows: see "Naming Files, Paths, and Namespaces" in its documentation.
    let stem = part.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |name: &str| {
        let rest = stem.strip_prefix(name);
        rest.is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if part.contains(['<', '>', ':', '"', '|', '?', '*']) {
        Some("has a character that Windows does not take".to_owned())
    } else if ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || numbered("COM") || numbered("LPT") {
        Some("has the name of a device on Windows".to_owned())
    } else if part.ends_with(['.', ' ']) || part.starts_with(' ') {
        Some("has a part that begins or ends with a space, or ends with a dot".to_owned())
    } else if part.len() > LONGEST_PART {
        Some(format!("has a part of more than {LONGEST_PART} bytes"))
    } else {
        None
    }
}
