//! A repository that a test can run honestly or make misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use trustroot::crypto::sha256;
use trustroot::metadata::canonical_json::canonicalize;
use trustroot::metadata::{EncodedName, TargetPath};

use super::{Answer, Client, Key, Shelf};

/// Whether file names carry versions and hashes.
#[derive(Clone, Copy, PartialEq)]
pub enum Snapshots {
    Consistent,
    Plain,
}

/// A repository: a draft of each document, who signs it, and the shelf from which it is served.
///
/// Drafts are JSON and can be bent at will. Nothing that is changed is seen by clients until it is served:
/// [`SimRepository::publish`] does so honestly, [`SimRepository::serve`] and [`SimRepository::serve_bytes`] do as
/// told.
pub struct SimRepository {
    shelf: Arc<Shelf>,
    snapshots: Snapshots,
    drafts: BTreeMap<String, Value>,
    signers: BTreeMap<String, Vec<Key>>,
    next_key: u64,
    /// Whether snapshot and timestamp give lengths and hashes, not versions alone.
    pub hashes_in_meta: bool,
}

const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

impl SimRepository {
    /// A repository with consistent snapshots, one key for each role and version 1 of everything.
    pub fn new() -> Self {
        Self::with(Snapshots::Consistent)
    }

    pub fn with(snapshots: Snapshots) -> Self {
        let shelf = Arc::new(Shelf::default());
        shelf.set_now(DateTime::parse_from_rfc3339("2026-03-01T12:00:00Z").unwrap().to_utc());
        let mut repository = Self {
            shelf,
            snapshots,
            drafts: BTreeMap::new(),
            signers: BTreeMap::new(),
            next_key: 1,
            hashes_in_meta: false,
        };
        let head = |kind: &str| json!({ "_type": kind, "spec_version": "1.0.34", "version": 1, "expires": "2026-12-31T00:00:00Z" });
        for role in TOP_LEVEL {
            repository.drafts.insert(role.to_owned(), head(role));
        }
        let root = repository.draft("root");
        root["consistent_snapshot"] = json!(snapshots == Snapshots::Consistent);
        root["keys"] = json!({});
        root["roles"] = json!({});
        repository.draft("snapshot")["meta"] = json!({});
        repository.draft("timestamp")["meta"] = json!({});
        repository.draft("targets")["targets"] = json!({});
        for role in TOP_LEVEL {
            let key = repository.new_key();
            repository.authorize(role, &[key], 1);
        }
        repository.serve("root");
        repository.describe();
        repository.serve_all();
        repository
    }

    /// A client that pins the root that is current now, with an empty cache.
    pub fn client(&self) -> Client {
        let pinned = self.shelf.get(&self.file_of("root")).unwrap();
        Client::new(Arc::clone(&self.shelf), pinned)
    }

    /// A client that has looked for `tool` behind a delegation to `team`, and then has a new version of every role to
    /// fetch: of root, a draft, and only where the news is to be of `role` root.
    pub fn client_before_news_of(&mut self, role: &str) -> Client {
        self.delegate("targets", "team", &["*"]);
        self.publish();
        let mut client = self.client();
        client.find("tool").unwrap();
        self.bump("team");
        self.bump("targets");
        self.publish();
        if role == "root" {
            self.bump("root");
        }
        client
    }

    pub fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    // Time.

    /// Lets `days` pass.
    pub fn wait_days(&self, days: i64) {
        self.shelf.set_now(self.shelf.now() + TimeDelta::days(days));
    }

    /// The time `days` from now, as metadata spells it.
    pub fn in_days(&self, days: i64) -> String {
        (self.shelf.now() + TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    pub fn set_now(&self, now: DateTime<Utc>) {
        self.shelf.set_now(now);
    }

    // Drafts.

    /// The `signed` value of a role's next document.
    pub fn draft(&mut self, role: &str) -> &mut Value {
        self.drafts.get_mut(role).unwrap()
    }

    pub fn has(&self, role: &str) -> bool {
        self.drafts.contains_key(role)
    }

    /// The roles that have documents, top-level ones included.
    pub fn roles(&self) -> Vec<String> {
        self.drafts.keys().cloned().collect()
    }

    pub fn version(&self, role: &str) -> u64 {
        self.drafts[role]["version"].as_u64().unwrap()
    }

    pub fn set_version(&mut self, role: &str, version: u64) {
        self.draft(role)["version"] = json!(version);
    }

    pub fn bump(&mut self, role: &str) {
        let next = self.version(role) + 1;
        self.set_version(role, next);
    }

    pub fn expire(&mut self, role: &str, days: i64) {
        let text = self.in_days(days);
        self.draft(role)["expires"] = json!(text);
    }

    /// Names a target in a role's next version and puts its content on the shelf.
    pub fn add_target(&mut self, role: &str, path: &str, content: &[u8]) {
        let digest = sha256(content);
        self.bump(role);
        self.draft(role)["targets"][path] =
            json!({ "length": content.len(), "hashes": { "sha256": hex::encode(digest) } });
        self.put_target(path, &digest, Answer::Bytes(content.to_vec()));
    }

    /// Answers requests for a target whose (preferred) hash is `digest`.
    pub fn put_target(&self, path: &str, digest: &[u8], answer: Answer) {
        let file = self.target_file(path, digest);
        self.shelf.put(&file, answer);
    }

    /// The URL path of a target.
    pub fn target_file(&self, path: &str, digest: &[u8]) -> String {
        let hash = (self.snapshots == Snapshots::Consistent).then_some(digest);
        format!("targets/{}", TargetPath::new(path).unwrap().url_path(hash))
    }

    /// Grants `paths` to `role` in the next version of `delegator`, with a new key; starts `role` at version 1
    /// unless it has been started. Further fields can be set on the [`SimRepository::delegation`].
    pub fn delegate(&mut self, delegator: &str, role: &str, paths: &[&str]) -> Key {
        let key = self.new_key();
        self.delegate_to(delegator, role, std::slice::from_ref(&key), 1);
        self.delegation(delegator, role)["paths"] = json!(paths);
        key
    }

    /// Grants nothing yet, to these keys.
    pub fn delegate_to(&mut self, delegator: &str, role: &str, keys: &[Key], threshold: u64) {
        self.bump(delegator);
        let draft = self.draft(delegator);
        if draft["delegations"].is_null() {
            draft["delegations"] = json!({ "keys": {}, "roles": [] });
        }
        list_keys(&mut draft["delegations"]["keys"], keys);
        draft["delegations"]["roles"].as_array_mut().unwrap().push(json!({
            "name": role, "keyids": keyids(keys), "threshold": threshold, "terminating": false,
        }));
        self.start_role(role, keys);
    }

    /// Divides all paths among 2^`bits` bins (TAP 15), with one new key.
    pub fn delegate_to_bins(&mut self, delegator: &str, prefix: &str, bits: u32) -> Key {
        let key = self.new_key();
        self.bump(delegator);
        let draft = self.draft(delegator);
        draft["delegations"] = json!({
            "keys": { key.keyid.as_str(): key.public },
            "succinct_roles":
                { "keyids": [key.keyid], "threshold": 1, "bit_length": bits, "name_prefix": prefix },
        });
        for bin in 0..1_u64 << bits {
            let digits = bits.div_ceil(4) as usize;
            self.start_role(&format!("{prefix}-{bin:0digits$x}"), std::slice::from_ref(&key));
        }
        key
    }

    /// Starts a delegated role at version 1, unless it has been started, with the keys that will sign it.
    pub fn start_role(&mut self, role: &str, keys: &[Key]) {
        self.drafts.entry(role.to_owned()).or_insert_with(|| {
            json!({
                "_type": "targets", "spec_version": "1.0.34", "version": 1, "expires": "2026-12-31T00:00:00Z",
                "targets": {},
            })
        });
        self.signers.entry(role.to_owned()).or_insert_with(|| keys.to_vec());
    }

    /// The entry for `role` in the delegations of `delegator`.
    pub fn delegation(&mut self, delegator: &str, role: &str) -> &mut Value {
        let roles = self.draft(delegator)["delegations"]["roles"].as_array_mut().unwrap();
        roles.iter_mut().find(|entry| entry["name"] == role).unwrap()
    }

    // Keys.

    pub fn new_key(&mut self) -> Key {
        self.next_key += 1;
        Key::ed25519(self.next_key)
    }

    /// Who signs a role.
    pub fn signers(&mut self, role: &str) -> &mut Vec<Key> {
        self.signers.get_mut(role).unwrap()
    }

    /// Gives a top-level role exactly these keys in the draft of root, and lets them all sign.
    pub fn authorize(&mut self, role: &str, keys: &[Key], threshold: u64) {
        let root = self.draft("root");
        list_keys(&mut root["keys"], keys);
        root["roles"][role] = json!({ "keyids": keyids(keys), "threshold": threshold });
        self.signers.insert(role.to_owned(), keys.to_vec());
    }

    /// Replaces the keys of a top-level role by a new one, and publishes the root that says so, signed by the old
    /// and the new root keys. Documents of that role are not signed anew.
    pub fn rotate(&mut self, role: &str) -> Key {
        let old = self.signers["root"].clone();
        let key = self.new_key();
        self.authorize(role, std::slice::from_ref(&key), 1);
        self.publish_root_signed_by(&old);
        key
    }

    /// Adds a key to a top-level role and publishes the root.
    pub fn add_key(&mut self, role: &str) -> Key {
        let old = self.signers["root"].clone();
        let key = self.new_key();
        let mut keys = self.signers[role].clone();
        keys.push(key.clone());
        let threshold = self.drafts["root"]["roles"][role]["threshold"].as_u64().unwrap();
        self.authorize(role, &keys, threshold);
        self.publish_root_signed_by(&old);
        key
    }

    /// Publishes the next root, signed by its own keys.
    pub fn publish_root(&mut self) {
        self.publish_root_signed_by(&[]);
    }

    /// Publishes the next root, signed by its own keys and by `others`, those of the root before.
    pub fn publish_root_signed_by(&mut self, others: &[Key]) {
        self.bump("root");
        let mut keys = self.signers["root"].clone();
        keys.extend(
            others.iter().filter(|other| !self.signers["root"].iter().any(|key| key.keyid == other.keyid)).cloned(),
        );
        let bytes = self.signed_by("root", &keys);
        self.serve_bytes("root", bytes);
    }

    // Serving.

    /// What an honest publisher does: snapshot and timestamp move on and describe the drafts, and all is served.
    pub fn publish(&mut self) {
        self.bump("snapshot");
        self.bump("timestamp");
        self.describe();
        self.serve_all();
    }

    /// Makes the drafts of snapshot and timestamp describe the other drafts.
    pub fn describe(&mut self) {
        for role in self.roles() {
            if !matches!(role.as_str(), "root" | "timestamp" | "snapshot") {
                self.draft("snapshot")["meta"][format!("{role}.json")] = self.meta_of(&role);
            }
        }
        self.describe_timestamp();
    }

    /// Makes the draft of the timestamp describe that of the snapshot.
    pub fn describe_timestamp(&mut self) {
        self.draft("timestamp")["meta"]["snapshot.json"] = self.meta_of("snapshot");
    }

    fn meta_of(&self, role: &str) -> Value {
        let mut meta = json!({ "version": self.version(role) });
        if self.hashes_in_meta {
            let bytes = self.bytes(role);
            meta["length"] = json!(bytes.len());
            meta["hashes"] = json!({ "sha256": hex::encode(sha256(&bytes)) });
        }
        meta
    }

    fn serve_all(&self) {
        for role in self.drafts.keys().filter(|role| *role != "root") {
            self.serve(role);
        }
    }

    /// Signs a role's draft and puts it on the shelf.
    pub fn serve(&self, role: &str) {
        self.serve_bytes(role, self.bytes(role));
    }

    /// Puts bytes where a client will look for the role's draft.
    pub fn serve_bytes(&self, role: &str, bytes: Vec<u8>) {
        self.shelf.put(&self.file_of(role), Answer::Bytes(bytes));
    }

    /// Answers requests for the role's draft.
    pub fn answer(&self, role: &str, answer: Answer) {
        self.shelf.put(&self.file_of(role), answer);
    }

    /// The URL path of the role's draft.
    pub fn file_of(&self, role: &str) -> String {
        let name = EncodedName::new(role);
        if role == "root" || (self.snapshots == Snapshots::Consistent && role != "timestamp") {
            format!("metadata/{}.{name}.json", self.version(role))
        } else {
            format!("metadata/{name}.json")
        }
    }

    /// What a client gets where it looks for the role's draft.
    pub fn bytes_on_shelf(&self, role: &str) -> Vec<u8> {
        self.shelf.get(&self.file_of(role)).unwrap()
    }

    /// The role's draft, signed by its signers.
    pub fn bytes(&self, role: &str) -> Vec<u8> {
        self.signed_by(role, &self.signers[role])
    }

    /// The role's draft, signed by these keys.
    pub fn signed_by(&self, role: &str, keys: &[Key]) -> Vec<u8> {
        sign(&self.drafts[role], keys)
    }
}

/// A document in its envelope.
pub fn sign(signed: &Value, keys: &[Key]) -> Vec<u8> {
    let canonical = canonicalize(&serde_json::to_vec(signed).unwrap()).unwrap();
    let signatures: Vec<Value> = keys.iter().map(|key| key.signature(&canonical)).collect();
    serde_json::to_vec(&json!({ "signatures": signatures, "signed": signed })).unwrap()
}

fn list_keys(listed: &mut Value, keys: &[Key]) {
    for key in keys {
        listed[&key.keyid] = key.public.clone();
    }
}

fn keyids(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(|key| key.keyid.as_str()).collect()
}
