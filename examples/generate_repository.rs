//! Makes the repositories that `scripts/bench-client` and the tests measure clients with.
//!
//! ```text
//! generate_repository DIRECTORY --kind small|flat|succinct|classic|target
//!                     [--targets N] [--bits N] [--length BYTES] [--pretty]
//! ```
//!
//! - `small`: root 1 to 5, each with another root key; one delegated role, which names one target;
//! - `flat`: `--targets` of them in the top-level role;
//! - `succinct`: the same in 2^`--bits` hash bins (TAP 15);
//! - `classic`: the same in as many roles with `path_hash_prefixes`;
//! - `target`: one target of `--length` bytes.
//!
//! Everything is derived from fixed throwaway keys and expires in 2036, so that the same bytes come out every time. The
//! metadata lies in `DIRECTORY`, as consistent snapshots in canonical form (`--pretty`: indented); a client pins
//! `1.root.json`. Of the targets only one has a file in `DIRECTORY/targets`: the one whose path is printed. A document is
//! in memory once while it is signed.

#[path = "../tests/support/mod.rs"]
pub(crate) mod support;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Key, SimRepository};
use trustroot::crypto::{Digester, sha256};
use trustroot::metadata::HashAlgorithm::{Sha256, Sha512};
use trustroot::metadata::canonical_json::canonicalize;

const EXPIRES: &str = "2036-01-01T00:00:00Z";
const BINS: &str = "bin";
const BIG_TARGET: &str = "image.raw";

/// What to make.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Five roots, one delegated role, one target.
    Small,
    /// So many targets in the top-level role.
    Flat { targets: u32 },
    /// So many targets in 2^`bits` succinct bins.
    Succinct { targets: u32, bits: u32 },
    /// So many targets in 2^`bits` roles that are delegated to by hash prefixes.
    Classic { targets: u32, bits: u32 },
    /// One target of so many bytes.
    Target { length: u64 },
}

/// How metadata is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Canonical,
    Indented,
}

#[expect(clippy::print_stdout, reason = "this is a command")]
fn main() -> Result<(), Box<dyn Error>> {
    let (directory, kind, style) = arguments()?;
    println!("{}", make(&directory, kind, style)?);
    Ok(())
}

fn arguments() -> Result<(PathBuf, Kind, Style), Box<dyn Error>> {
    let (mut directory, mut kind, mut style) = (None, None, Style::Canonical);
    let (mut targets, mut bits, mut length) = (100_000, 14, 1 << 30);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--kind" => kind = Some(value()?),
            "--targets" => targets = value()?.parse()?,
            "--bits" => bits = value()?.parse()?,
            "--length" => length = value()?.parse()?,
            "--pretty" => style = Style::Indented,
            _ if directory.is_none() && !argument.starts_with('-') => directory = Some(PathBuf::from(argument)),
            _ => return Err(format!("`{argument}` is not known").into()),
        }
    }
    if !(1..=10_000_000).contains(&targets) || !(1..=16).contains(&bits) {
        return Err("from 1 to 10,000,000 targets and from 1 to 16 bits can be had".into());
    }
    let kind = match kind.as_deref() {
        Some("small") => Kind::Small,
        Some("flat") => Kind::Flat { targets },
        Some("succinct") => Kind::Succinct { targets, bits },
        Some("classic") => Kind::Classic { targets, bits },
        Some("target") => Kind::Target { length },
        _ => return Err("--kind small, flat, succinct, classic or target is missing".into()),
    };
    Ok((directory.ok_or("a directory is missing")?, kind, style))
}

/// Writes a repository to `directory` and returns the path of the target that can be fetched.
pub(crate) fn make(directory: &Path, kind: Kind, style: Style) -> Result<String, Box<dyn Error>> {
    fs::create_dir_all(directory.join("targets"))?;
    let mut repository = SimRepository::new();
    for role in ["root", "timestamp", "snapshot", "targets"] {
        repository.draft(role)["expires"] = json!(EXPIRES);
    }
    repository.serve("root");
    let mut writer = Writer { directory, style, repository };
    match kind {
        Kind::Small => writer.small(),
        Kind::Flat { targets } => writer.flat(targets),
        Kind::Succinct { targets, bits } => {
            writer.repository.delegate_to_bins("targets", BINS, bits);
            writer.bins(targets, bits)
        }
        Kind::Classic { targets, bits } => {
            writer.delegate_by_prefixes(bits);
            writer.bins(targets, bits)
        }
        Kind::Target { length } => writer.big_target(length),
    }
}

struct Writer<'a> {
    directory: &'a Path,
    style: Style,
    repository: SimRepository,
}

impl Writer<'_> {
    fn small(&mut self) -> Result<String, Box<dyn Error>> {
        for _ in 0..4 {
            self.repository.rotate("root");
        }
        self.repository.delegate("targets", "projects", &["project-*"]);
        self.repository.draft("projects")["expires"] = json!(EXPIRES);
        let projects = self.role("projects", 0..1)?;
        let targets = self.role("targets", [])?;
        self.finish(&[("projects", projects), ("targets", targets)])?;
        self.put_target(0)
    }

    fn flat(&mut self, count: u32) -> Result<String, Box<dyn Error>> {
        let targets = self.role("targets", 0..count)?;
        self.finish(&[("targets", targets)])?;
        self.put_target(count / 2)
    }

    /// Divides paths as succinct bins would, in the form that came before them.
    fn delegate_by_prefixes(&mut self, bits: u32) {
        let key = self.repository.new_key();
        let digits = bits.div_ceil(4);
        let prefixes_each = 1 << (4 * digits - bits);
        let digits = digits as usize;
        let mut roles = Vec::new();
        for bin in 0..1 << bits {
            let prefixes: Vec<String> =
                (0..prefixes_each).map(|low| format!("{:0digits$x}", bin * prefixes_each + low)).collect();
            let name = bin_name(bin, bits);
            self.repository.start_role(&name, std::slice::from_ref(&key));
            roles.push(json!({
                "name": name, "keyids": [key.keyid], "threshold": 1, "terminating": true,
                "path_hash_prefixes": prefixes,
            }));
        }
        self.repository.draft("targets")["delegations"] =
            json!({ "keys": { key.keyid.as_str(): key.public }, "roles": roles });
    }

    /// Writes the bins, and all that leads to them. Like most who have many of them, snapshot names their versions alone.
    fn bins(&mut self, count: u32, bits: u32) -> Result<String, Box<dyn Error>> {
        let mut divided = vec![Vec::new(); 1 << bits];
        for index in 0..count {
            let [a, b, ..] = sha256(target_name(index).as_bytes());
            divided[usize::from(u16::from_be_bytes([a, b]) >> (16 - bits))].push(index);
        }
        let mut listed = Vec::new();
        for (bin, indices) in (0..).zip(divided) {
            let name = bin_name(bin, bits);
            self.repository.draft(&name)["expires"] = json!(EXPIRES);
            self.role(&name, indices)?;
            listed.push((name, json!({ "version": 1 })));
        }
        let targets = self.role("targets", [])?;
        listed.push(("targets".to_owned(), targets));
        self.finish(&listed)?;
        self.put_target(count / 2)
    }

    /// Sparse, yet with something in each MiB.
    fn big_target(&mut self, length: u64) -> Result<String, Box<dyn Error>> {
        let path = self.directory.join("targets/unnamed");
        let mut file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        for number in 0..length >> 20 {
            file.seek(SeekFrom::Start(number << 20))?;
            file.write_all(&number.to_be_bytes())?;
        }
        file.set_len(length)?;
        file.rewind()?;
        let mut digester = Digester::new([Sha256]);
        let mut piece = vec![0; 1 << 18];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            digester.update(&piece[..read]);
        }
        let sha256 = digester.finish().remove(0).1;
        fs::rename(&path, self.directory.join(self.repository.target_file(BIG_TARGET, &sha256)))?;
        self.repository.draft("targets")["targets"][BIG_TARGET] =
            json!({ "length": length, "hashes": { "sha256": hex::encode(sha256) } });
        let targets = self.role("targets", [])?;
        self.finish(&[("targets", targets)])?;
        Ok(BIG_TARGET.to_owned())
    }

    /// Signs and writes a role's draft, with these targets where it has none. Returns what snapshot may say of it.
    fn role<I>(&mut self, role: &str, targets: I) -> Result<Value, Box<dyn Error>>
    where
        I: IntoIterator<Item = u32, IntoIter: ExactSizeIterator>,
    {
        const NONE: &str = "\"targets\":{}";
        let draft = canonicalize(&serde_json::to_vec(self.repository.draft(role))?)?;
        let mut signed = String::from_utf8(draft)?;
        let targets = targets.into_iter();
        if targets.len() > 0 {
            let place = signed.rfind(NONE).ok_or("the role has targets already")?;
            let tail = signed.split_off(place + NONE.len() - 1);
            signed.reserve_exact(targets.len() * (entry(0).len() + 1) + tail.len());
            let mut separator = "";
            for index in targets {
                signed.push_str(separator);
                signed.push_str(&entry(index));
                separator = ",";
            }
            signed.push_str(&tail);
        }
        let signatures: Vec<Value> =
            self.repository.signers(role).iter().map(|key: &Key| key.signature(signed.as_bytes())).collect();
        let head = format!("{{\"signatures\":{},\"signed\":", serde_json::to_string(&signatures)?);
        let mut meta = self.put(&self.file(role), &[head.as_bytes(), signed.as_bytes(), b"}"])?;
        meta["version"] = json!(self.repository.version(role));
        Ok(meta)
    }

    /// Writes snapshot, timestamp and the roots.
    fn finish(&mut self, listed: &[(impl AsRef<str>, Value)]) -> Result<(), Box<dyn Error>> {
        for (role, meta) in listed {
            self.repository.draft("snapshot")["meta"][format!("{}.json", role.as_ref())] = meta.clone();
        }
        let snapshot = self.role("snapshot", [])?;
        self.repository.draft("timestamp")["meta"]["snapshot.json"] = snapshot;
        self.role("timestamp", [])?;
        for version in 1..=self.repository.version("root") {
            let file = format!("{version}.root.json");
            let root = self.repository.shelf().get(&format!("metadata/{file}")).ok_or("a root is missing")?;
            self.put(&file, &[&root])?;
        }
        Ok(())
    }

    /// The name of a role's file in the directory.
    fn file(&self, role: &str) -> String {
        let file = self.repository.file_of(role);
        file.strip_prefix("metadata/").unwrap_or(&file).to_owned()
    }

    /// Writes canonical JSON, given in pieces.
    fn put(&self, file: &str, pieces: &[&[u8]]) -> io::Result<Value> {
        let file = BufWriter::new(File::create(self.directory.join(file))?);
        let mut file = Measured { file, digester: Digester::new([Sha256]) };
        match self.style {
            Style::Canonical => pieces.iter().try_for_each(|piece| file.write_all(piece))?,
            Style::Indented => {
                let mut indented = Indented { file: &mut file, depth: 0, place: Place::Outside };
                pieces.iter().try_for_each(|piece| indented.write_all(piece))?;
            }
        }
        file.flush()?;
        let length = file.digester.length();
        let sha256 = file.digester.finish().remove(0).1;
        Ok(json!({ "length": length, "hashes": { "sha256": hex::encode(sha256) } }))
    }

    #[expect(clippy::disallowed_methods, reason = "who is interrupted here starts again")]
    fn put_target(&self, index: u32) -> Result<String, Box<dyn Error>> {
        let (name, content) = (target_name(index), target_content(index));
        fs::write(self.directory.join(self.repository.target_file(&name, &sha256(content.as_bytes()))), content)?;
        Ok(name)
    }
}

fn bin_name(bin: u32, bits: u32) -> String {
    format!("{BINS}-{bin:0digits$x}", digits = bits.div_ceil(4) as usize)
}

/// In the order of the indices, which is that of canonical JSON.
fn target_name(index: u32) -> String {
    format!("project-{index:07}-1.0.0-py3-none-any.whl")
}

fn target_content(index: u32) -> String {
    format!("what project {index:07} has published as version 1.0.0\n")
}

/// A target as canonical JSON spells it, in about 392 bytes.
fn entry(index: u32) -> String {
    let content = target_content(index);
    let mut digester = Digester::new([Sha256, Sha512]);
    digester.update(content.as_bytes());
    let hashes: Vec<String> = digester.finish().iter().map(|(_, hash)| hex::encode(hash)).collect();
    format!(
        "\"{}\":{{\"custom\":{{\"builder\":\"https://builders.example/wheels/slsa/v1\",\
         \"source\":\"https://git.example/projects/{index:07}\"}},\
         \"hashes\":{{\"sha256\":\"{}\",\"sha512\":\"{}\"}},\"length\":{}}}",
        target_name(index),
        hashes[0],
        hashes[1],
        content.len(),
    )
}

/// Hashes what passes to a file.
struct Measured {
    file: BufWriter<File>,
    digester: Digester,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digester.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Indents compact JSON that passes.
struct Indented<'a> {
    file: &'a mut Measured,
    depth: usize,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Outside,
    /// After `{` or `[`: whether a line begins depends on what follows.
    Opened,
    InString,
    Escaped,
}

impl Indented<'_> {
    fn new_line(&mut self) -> io::Result<()> {
        self.file.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| self.file.write_all(b" "))
    }
}

impl Write for Indented<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            match self.place {
                Place::InString | Place::Escaped => {
                    self.file.write_all(&[byte])?;
                    self.place = match byte {
                        _ if self.place == Place::Escaped => Place::InString,
                        b'\\' => Place::Escaped,
                        b'"' => Place::Outside,
                        _ => Place::InString,
                    };
                    continue;
                }
                Place::Opened if !matches!(byte, b'}' | b']') => self.new_line()?,
                Place::Opened | Place::Outside => {}
            }
            let was_opened = self.place == Place::Opened;
            self.place = Place::Outside;
            match byte {
                b'{' | b'[' => {
                    self.depth += 1;
                    self.file.write_all(&[byte])?;
                    self.place = Place::Opened;
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if !was_opened {
                        self.new_line()?;
                    }
                    self.file.write_all(&[byte])?;
                }
                b',' => {
                    self.file.write_all(b",")?;
                    self.new_line()?;
                }
                b':' => self.file.write_all(b": ")?,
                b'"' => {
                    self.file.write_all(b"\"")?;
                    self.place = Place::InString;
                }
                _ => self.file.write_all(&[byte])?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
