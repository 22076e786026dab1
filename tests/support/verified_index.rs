//! Reads, changes and forges the index of a role in a cache.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trustroot::crypto::sha256;

/// Where the index is.
pub fn path(cache: &Path, role: &str) -> PathBuf {
    cache.join(format!("index/{role}.json"))
}

/// What it says.
pub fn read(cache: &Path, role: &str) -> Value {
    let bytes = fs_err::read(path(cache, role)).unwrap();
    let (head, body) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    assert_eq!(head, head_of(body).as_bytes());
    serde_json::from_slice(body).unwrap()
}

/// Makes it say something else.
pub fn write(cache: &Path, role: &str, index: &Value) {
    let body = serde_json::to_vec(index).unwrap();
    fs_err::create_dir_all(path(cache, role).parent().unwrap()).unwrap();
    fs_err::write(path(cache, role), [head_of(&body).as_bytes(), &body].concat()).unwrap();
}

fn head_of(body: &[u8]) -> String {
    format!("trustroot index 1 sha256:{}\n", hex::encode(sha256(body)))
}

/// What an index says of the file that it is for.
pub fn identity(path: &Path) -> String {
    let found = fs_err::metadata(path).unwrap();
    let (dev, ino, length) = (found.dev(), found.ino(), found.len());
    let (mtime, ctime) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    format!("{dev}:{ino} {length} {}.{:09} {}.{:09}", mtime.0, mtime.1, ctime.0, ctime.1)
}

/// What somebody does who can write to a cache: changes a few bytes of top-level targets, and makes `index` fit them.
pub fn poison(cache: &Path, index: &Value, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let document = cache.join("targets.json");
    let text = fs_err::read_to_string(&document).unwrap();
    assert!(text.contains(from));
    let text = text.replace(from, to);
    fs_err::write(&document, &text).unwrap();
    let mut index = index.clone();
    index["file"] = json!(identity(&document));
    for window in index["windows"].as_array_mut().unwrap() {
        let at = |name: &str| usize::try_from(window[name].as_u64().unwrap()).unwrap();
        let members = &text.as_bytes()[at("at")..at("at") + at("length")];
        window["crc32"] = json!(crc32fast::hash(members));
    }
    write(cache, "targets", &index);
}
