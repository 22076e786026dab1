//! The least that a client could do: fetch, hash, verify. The yardstick of `scripts/bench`.
//!
//! ```text
//! bare_client HOST:PORT PINNED_ROOT TARGET_DIRECTORY TARGET_NAME
//! ```
//!
//! One connection, standard library sockets, no checks but signatures and hashes, nothing kept, nothing bounded. Do
//! not use it for anything else.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use trustroot::crypto::{VerifyingKey, sha256};
use trustroot::metadata::PublicKey;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, root, directory, name] = arguments.as_slice() else {
        return Err("usage: bare_client HOST:PORT PINNED_ROOT TARGET_DIRECTORY TARGET_NAME".into());
    };
    let mut server = Server { reader: BufReader::new(TcpStream::connect(address)?), address: address.clone() };
    server.reader.get_ref().set_nodelay(true)?;
    let mut root: Value = serde_json::from_slice(&std::fs::read(root)?)?;
    loop {
        let next = root["signed"]["version"].as_u64().ok_or("no version")? + 1;
        match server.get(&format!("{next}.root.json"))? {
            Some(bytes) => root = verified(&root["signed"], "root", &bytes)?,
            None => break,
        }
    }
    let signed = &root["signed"];
    let timestamp = verified(signed, "timestamp", &server.need("timestamp.json")?)?;
    let version = &timestamp["signed"]["meta"]["snapshot.json"]["version"];
    let snapshot = verified(signed, "snapshot", &server.need(&format!("{version}.snapshot.json"))?)?;
    let version = &snapshot["signed"]["meta"]["targets.json"]["version"];
    let targets = verified(signed, "targets", &server.need(&format!("{version}.targets.json"))?)?;
    // One delegation, as in the repository that the benchmark serves.
    let delegations = &targets["signed"]["delegations"];
    let role = &delegations["roles"][0];
    let role_name = role["name"].as_str().ok_or("no delegation")?;
    let version = &snapshot["signed"]["meta"][format!("{role_name}.json")]["version"];
    let signed = serde_json::json!({"keys": delegations["keys"], "roles": {role_name: role}});
    let delegated = verified(&signed, role_name, &server.need(&format!("{version}.{role_name}.json"))?)?;
    let hash = delegated["signed"]["targets"][format!("{directory}{name}")]["hashes"]["sha256"].as_str();
    let hash = hash.ok_or("no such target")?;
    let target = server.need(&format!("targets/{directory}{hash}.{name}"))?;
    if hex::encode(sha256(&target)) != hash {
        return Err("wrong hash".into());
    }
    Ok(())
}

/// Verifies a document by the keys that `root` gives for `role`.
fn verified(root: &Value, role: &str, bytes: &[u8]) -> Result<Value, Box<dyn Error>> {
    let document: Value = serde_json::from_slice(bytes)?;
    // serde_json sorts keys and writes no spaces, which is the canonical form of what the benchmark serves.
    let message = serde_json::to_vec(&document["signed"])?;
    let mut valid = 0;
    for signature in document["signatures"].as_array().ok_or("no signatures")? {
        let key = &root["keys"][signature["keyid"].as_str().unwrap_or_default()];
        let Some(public) = key["keyval"]["public"].as_str() else { continue };
        let key = VerifyingKey::from_metadata(&PublicKey::new("ed25519", "ed25519", public))?;
        let signature = hex::decode(signature["sig"].as_str().unwrap_or_default())?;
        valid += u64::from(key.verifies(&message, &signature));
    }
    if Some(valid) < root["roles"][role]["threshold"].as_u64() {
        return Err("too few signatures".into());
    }
    Ok(document)
}

struct Server {
    reader: BufReader<TcpStream>,
    address: String,
}

impl Server {
    fn need(&mut self, path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        self.get(path)?.ok_or_else(|| format!("{path} is absent").into())
    }

    fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        write!(self.reader.get_mut(), "GET /{path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)?;
        let mut status = String::new();
        self.reader.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(status.contains(" 200 ").then_some(body))
    }
}
