//! What reading and verifying documents costs, beside what nobody can avoid: looking at the bytes, and hashing them.
//!
//! Read the ratios within one run; the figures themselves are the machine's.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trustroot::crypto::{KeyAlgorithm, SecretKey, sha256};
use trustroot::metadata::canonical_json::{canonicalize, check_unambiguous};
use trustroot::metadata::{DelegationRule, Envelope, RoleName, Root, Snapshot, TargetPath, Targets};
use trustroot::trust::{Authority, verify};

/// A file with `signed`, and a root that names its key for every role.
struct Signed {
    file: Arc<Vec<u8>>,
    root: Root,
}

fn sign(signed: &str) -> Signed {
    let key = SecretKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let keyid = key.keyid();
    let envelope = |signed: &str| {
        let signature = hex::encode(key.sign(signed.as_bytes()).unwrap());
        let keyid = keyid.as_str();
        format!(r#"{{"signatures":[{{"keyid":"{keyid}","sig":"{signature}"}}],"signed":{signed}}}"#).into_bytes()
    };
    let role = serde_json::json!({ "keyids": [keyid.as_str()], "threshold": 1 });
    let root = serde_json::json!({
        "_type": "root", "expires": "2100-01-01T00:00:00Z", "spec_version": "1.0.34", "version": 1,
        "keys": { keyid.as_str(): key.public().to_value() },
        "roles": { "root": role, "timestamp": role, "snapshot": role, "targets": role },
    });
    let root = Envelope::parse(&envelope(&root.to_string())).unwrap().unverified().unwrap();
    Signed { file: Arc::new(envelope(signed)), root }
}

fn document(kind: &str, member: &str) -> String {
    let (before, after) = if kind == "targets" { ("", member) } else { (member, "") };
    let comma = |text: &str| if text.is_empty() { String::new() } else { format!("{text},") };
    let middle = comma(before);
    let tail = if after.is_empty() { String::new() } else { format!("{after},") };
    format!(
        r#"{{"_type":"{kind}","expires":"2100-01-01T00:00:00Z",{middle}"spec_version":"1.0.34",{tail}"version":1}}"#
    )
}

fn name(number: usize) -> String {
    format!("packages/{:03}/some-package-{number:07}-1.0.{}.tar.gz", number % 1000, number % 7)
}

/// Targets metadata with so many entries, some 390 bytes each.
fn targets(count: usize) -> String {
    let entries: BTreeMap<String, String> = (0..count)
        .map(|number| {
            let (short, long) =
                (hex::encode(sha256(&number.to_le_bytes())), hex::encode(sha256(&number.to_be_bytes())));
            let entry =
                format!(r#"{{"hashes":{{"sha256":"{short}","sha512":"{long}{short}"}},"length":{}}}"#, 1000 + number);
            (name(number), entry)
        })
        .collect();
    let mut text = String::from(r#""targets":{"#);
    for (index, (name, entry)) in entries.iter().enumerate() {
        let _ = write!(text, "{}\"{name}\":{entry}", if index == 0 { "" } else { "," });
    }
    text.push('}');
    document("targets", &text)
}

fn snapshot(count: usize) -> String {
    let entries: Vec<String> = (0..count).map(|bin| format!(r#""bin-{bin:04x}.json":{{"version":1}}"#)).collect();
    document("snapshot", &format!(r#""meta":{{{},"targets.json":{{"version":1}}}}"#, entries.join(",")))
}

/// Classic hash bins: each a role of its own.
fn prefix_bins(count: usize) -> String {
    let keyid = "c".repeat(64);
    let roles: Vec<String> = (0..count)
        .map(|bin| {
            let prefixes: Vec<String> = (0..4).map(|at| format!("\"{:04x}\"", bin * 4 + at)).collect();
            let prefixes = prefixes.join(",");
            format!(
                r#"{{"keyids":["{keyid}"],"name":"bin-{bin:04x}","path_hash_prefixes":[{prefixes}],"terminating":true,"threshold":1}}"#
            )
        })
        .collect();
    let delegations = format!(r#""delegations":{{"keys":{{}},"roles":[{}]}}"#, roles.join(","));
    // `delegations` sorts before `expires`.
    document("targets", r#""targets":{}"#).replacen(r#","expires""#, &format!(r#",{delegations},"expires""#), 1)
}

/// Looks at every byte, as little as one can.
fn floors(criterion: &mut Criterion) {
    let text = targets(10_000);
    let mut group = criterion.benchmark_group("floor");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("std from_utf8", |bench| bench.iter(|| std::str::from_utf8(black_box(text.as_bytes()))));
    group.bench_function("sha256", |bench| bench.iter(|| sha256(black_box(text.as_bytes()))));
    group.finish();
}

fn json(criterion: &mut Criterion) {
    let compact = targets(10_000);
    let value: serde_json::Value = serde_json::from_str(&compact).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    let last_to_first = compact.replace(r#"{"hashes""#, r#"{"zhashes""#);
    let mut group = criterion.benchmark_group("json");
    for (name, text) in [("compact", &compact), ("pretty", &pretty), ("keys in other order", &last_to_first)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("check", name), text, |bench, text| {
            bench.iter(|| check_unambiguous(black_box(text.as_bytes())));
        });
        group.bench_with_input(BenchmarkId::new("canonicalize", name), text, |bench, text| {
            bench.iter(|| canonicalize(black_box(text.as_bytes())));
        });
    }
    group.finish();
}

fn documents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("document");
    group.sample_size(20);

    let Signed { file, root } = sign(&targets(100_000));
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("open 100,000 targets", |bench| {
        bench.iter(|| Envelope::parse_shared(&file).unwrap());
    });
    group.bench_function("open, verify and read 100,000 targets", |bench| {
        let authority = Authority::of_root(&root, &RoleName::Targets).unwrap();
        bench.iter(|| verify::<Targets>(&Envelope::parse_shared(&file).unwrap(), authority).unwrap());
    });
    let read: Targets = Envelope::parse_shared(&file).unwrap().unverified().unwrap();
    group.throughput(Throughput::Elements(1));
    let wanted = TargetPath::new(name(77_777)).unwrap();
    group.bench_function("find one of 100,000 targets", |bench| bench.iter(|| read.find(&wanted).unwrap().unwrap()));

    let Signed { file, root } = sign(&snapshot(16_384));
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("open and read a snapshot of 16,384", |bench| {
        bench.iter(|| Envelope::parse_shared(&file).unwrap().unverified::<Snapshot>().unwrap());
    });
    group.bench_function("open, verify and read a snapshot of 16,384", |bench| {
        let authority = Authority::of_root(&root, &RoleName::Snapshot).unwrap();
        bench.iter(|| verify::<Snapshot>(&Envelope::parse_shared(&file).unwrap(), authority).unwrap());
    });
    let read: Snapshot = Envelope::parse_shared(&file).unwrap().unverified().unwrap();
    group.throughput(Throughput::Elements(1));
    let wanted = RoleName::delegated("bin-2fab").unwrap();
    group.bench_function("find one of 16,384 roles", |bench| bench.iter(|| read.role(&wanted).unwrap()));

    let Signed { file, .. } = sign(&prefix_bins(16_384));
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("open and read 16,384 prefix bins", |bench| {
        bench.iter(|| Envelope::parse_shared(&file).unwrap().unverified::<Targets>().unwrap());
    });
    let read: Targets = Envelope::parse_shared(&file).unwrap().unverified().unwrap();
    let delegations = read.delegations.unwrap();
    assert!(matches!(&delegations.rule, DelegationRule::Roles(roles) if roles.len() == 16_384));
    let path = TargetPath::new("a").unwrap();
    group.bench_function("choose among 16,384 prefix bins", |bench| {
        bench.iter(|| delegations.covering(&path, black_box(&[0x7f; 32])));
    });
    group.finish();
}

criterion_group!(benches, floors, json, documents);
criterion_main!(benches);
