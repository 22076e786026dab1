//! The least that a client could do: fetch, hash, verify, scan. The yardstick of `scripts/bench-client`.
//!
//! ```text
//! bare_client http://HOST:PORT PINNED_ROOT CACHE TARGET OUTPUT
//! ```
//!
//! One connection, standard library sockets, no checks but signatures and hashes, nothing bounded, nothing synced. What
//! lies in the cache is hashed, verified and scanned again. Do not use it for anything else.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use trustroot::crypto::{Digester, VerifyingKey, sha256};
use trustroot::metadata::HashAlgorithm::Sha256;
use trustroot::metadata::PublicKey;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SIGNED: &[u8] = b",\"signed\":";

#[expect(clippy::disallowed_methods, reason = "it leaves out what makes writing safe")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, root, cache, target, output] = arguments.as_slice() else {
        return Err("usage: bare_client http://HOST:PORT PINNED_ROOT CACHE TARGET OUTPUT".into());
    };
    let address = url.strip_prefix("http://").ok_or("only plain http is spoken")?;
    let mut client = Client { server: Server::connect(address)?, cache: PathBuf::from(cache) };
    let newest = client.cache.join("root.json");
    let mut root: Value = serde_json::from_slice(&fs::read(if newest.exists() { &newest } else { Path::new(root) })?)?;
    loop {
        let next = root["signed"]["version"].as_u64().ok_or("no version")? + 1;
        let Some((bytes, _)) = client.server.get(&format!("{next}.root.json"))? else { break };
        verify(&root["signed"], "root", &bytes)?;
        root = serde_json::from_slice(&bytes)?;
        verify(&root["signed"], "root", &bytes)?;
        fs::write(&newest, bytes)?;
    }
    let root = &root["signed"];
    let (bytes, _) = client.server.need("timestamp.json")?;
    let timestamp: Value = serde_json::from_slice(verify(root, "timestamp", &bytes)?)?;
    fs::write(client.cache.join("timestamp.json"), &bytes)?;
    let snapshot = client.role("snapshot", &timestamp["meta"]["snapshot.json"])?;
    let snapshot = verify(root, "snapshot", &snapshot)?;
    let meta = |role: &str| -> Result<Value> {
        Ok(find(snapshot, ["meta", &format!("{role}.json")])?.ok_or("the role is not in snapshot")?)
    };
    let targets = client.role("targets", &meta("targets")?)?;
    let targets = verify(root, "targets", &targets)?;
    let found = match find(targets, ["targets", target])? {
        Some(found) => found,
        None => {
            let (keys, role) = delegation(targets, target)?;
            let name = role["name"].as_str().ok_or("no name")?.to_owned();
            let delegated = client.role(&name, &meta(&name)?)?;
            let signed = verify(&serde_json::json!({"keys": keys, "roles": {&name: role}}), &name, &delegated)?;
            find(signed, ["targets", target])?.ok_or("no such target")?
        }
    };
    let hash = found["hashes"]["sha256"].as_str().ok_or("no hash")?;
    client.server.download(&format!("targets/{hash}.{target}"), output, hash)
}

struct Client {
    server: Server,
    cache: PathBuf,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "it leaves out what makes writing safe")]
    /// A file as `meta` describes it, from the cache where it is there.
    fn role(&mut self, role: &str, meta: &Value) -> Result<Vec<u8>> {
        let name = format!("{}.{role}.json", meta["version"]);
        let kept = self.cache.join(&name);
        let (bytes, hash) = match fs::read(&kept) {
            Ok(bytes) => {
                let hash = if meta["hashes"].is_object() { sha256(&bytes).to_vec() } else { Vec::new() };
                (bytes, hash)
            }
            Err(_) => {
                let (bytes, hash) = self.server.need(&name)?;
                fs::write(kept, &bytes)?;
                (bytes, hash)
            }
        };
        if meta["hashes"]["sha256"].as_str().is_some_and(|wanted| wanted != hex::encode(hash)) {
            return Err(format!("{name} has another hash").into());
        }
        Ok(bytes)
    }
}

/// Verifies a document by the keys that `signed` gives for `role`, and returns what they signed.
fn verify<'a>(signed: &Value, role: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    // What is served is canonical, so `signatures` comes first.
    let split = bytes.windows(SIGNED.len()).position(|window| window == SIGNED).ok_or("nothing is signed")?;
    let signatures = bytes[..split].strip_prefix(b"{\"signatures\":").ok_or("signatures do not come first")?;
    let message = bytes[split + SIGNED.len()..].strip_suffix(b"}").ok_or("it does not end")?;
    let mut valid = 0;
    for signature in serde_json::from_slice::<Vec<Value>>(signatures)? {
        let keyid = &signature["keyid"];
        if !signed["roles"][role]["keyids"].as_array().is_some_and(|keyids| keyids.contains(keyid)) {
            continue;
        }
        let key = &signed["keys"][keyid.as_str().unwrap_or_default()];
        let Some(public) = key["keyval"]["public"].as_str() else { continue };
        let key = VerifyingKey::from_metadata(&PublicKey::new("ed25519", "ed25519", public))?;
        let signature = hex::decode(signature["sig"].as_str().unwrap_or_default())?;
        valid += u64::from(key.verifies(message, &signature));
    }
    if Some(valid) < signed["roles"][role]["threshold"].as_u64() {
        return Err(format!("{role} has too few signatures").into());
    }
    Ok(message)
}

/// The value under these names; everything else is passed over, and must be JSON.
fn find(json: &[u8], names: [&str; 2]) -> Result<Option<Value>> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let found = Under(&names).deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

struct Under<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Under<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<Self::Value, D::Error> {
        if self.0.is_empty() { Value::deserialize(from).map(Some) } else { from.deserialize_map(self) }
    }
}

impl<'de> Visitor<'de> for Under<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == self.0[0] {
                found = map.next_value_seed(Under(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[derive(Deserialize)]
struct Delegator<'a> {
    #[serde(borrow)]
    delegations: Delegations<'a>,
}

#[derive(Deserialize)]
struct Delegations<'a> {
    keys: Value,
    succinct_roles: Option<Value>,
    #[serde(borrow, default)]
    roles: Vec<Role<'a>>,
}

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(borrow)]
    keyids: Vec<&'a str>,
    name: &'a str,
    threshold: u64,
    #[serde(borrow, default)]
    path_hash_prefixes: Prefixes<'a>,
}

/// Up to as many prefixes as one role has in the repositories of the benchmark.
#[derive(Default)]
struct Prefixes<'a>([&'a str; 16], usize);

impl<'de: 'a, 'a> Deserialize<'de> for Prefixes<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Prefixes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("at most 16 prefixes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Self::Value, A::Error> {
                let mut read = Prefixes::default();
                while let Some(item) = items.next_element()? {
                    *read.0.get_mut(read.1).ok_or_else(|| serde::de::Error::custom("too many prefixes"))? = item;
                    read.1 += 1;
                }
                Ok(read)
            }
        }
        from.deserialize_seq(Read)
    }
}

/// The keys of the delegator, and the first role that may name `target`. A role without prefixes may name everything.
fn delegation(json: &[u8], target: &str) -> Result<(Value, Value)> {
    let delegations = serde_json::from_slice::<Delegator<'_>>(json)?.delegations;
    let hash = sha256(target.as_bytes());
    if let Some(mut bins) = delegations.succinct_roles {
        let bits = bins["bit_length"].as_u64().filter(|bits| (1..=32).contains(bits)).ok_or("no bit length")?;
        let bin = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) >> (32 - bits);
        let digits = usize::try_from(bits.div_ceil(4))?;
        bins["name"] = format!("{}-{bin:0digits$x}", bins["name_prefix"].as_str().ok_or("no prefix")?).into();
        return Ok((delegations.keys, bins));
    }
    let hash = hex::encode(hash);
    let covers = |role: &&Role<'_>| {
        let Prefixes(prefixes, count) = &role.path_hash_prefixes;
        *count == 0 || prefixes[..*count].iter().any(|prefix| hash.starts_with(prefix))
    };
    let role = delegations.roles.iter().find(covers).ok_or("no role may name the target")?;
    let role = serde_json::json!({"name": role.name, "keyids": role.keyids, "threshold": role.threshold});
    Ok((delegations.keys, role))
}

struct Server {
    reader: BufReader<TcpStream>,
    host: String,
}

impl Server {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(1 << 16, stream), host: address.to_owned() })
    }

    fn need(&mut self, path: &str) -> Result<(Vec<u8>, Vec<u8>)> {
        self.get(path)?.ok_or_else(|| format!("{path} is absent").into())
    }

    /// A file and its SHA-256, which is computed while the file arrives.
    fn get(&mut self, path: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Some(length) = self.ask(path)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(length);
        let hash = self.body(length, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Some((bytes, hash)))
    }

    fn download(&mut self, path: &str, output: &str, hash: &str) -> Result<()> {
        let length = self.ask(path)?.ok_or("the target is absent")?;
        let mut file = File::create(output)?;
        let found = self.body(length, |piece| file.write_all(piece))?;
        if hex::encode(found) == hash { Ok(()) } else { Err("the target has another hash".into()) }
    }

    /// Sends a request, and returns the length of the answer; `None` if there is no such file.
    fn ask(&mut self, path: &str) -> Result<Option<usize>> {
        self.reader.get_mut().write_all(format!("GET /{path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).as_bytes())?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let found = line.contains(" 200 ");
        let mut length = 0;
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        Ok(found.then_some(length))
    }

    fn body(&mut self, mut length: usize, mut take: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<Vec<u8>> {
        let mut digester = Digester::new([Sha256]);
        let mut piece = vec![0; length.min(1 << 17)];
        while length > 0 {
            let wanted = length.min(piece.len());
            let read = self.reader.read(&mut piece[..wanted])?;
            if read == 0 {
                return Err("the answer breaks off".into());
            }
            digester.update(&piece[..read]);
            take(&piece[..read])?;
            length -= read;
        }
        Ok(digester.finish().remove(0).1)
    }
}
