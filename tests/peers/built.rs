//! Repositories that this project proposed, signed and published, as its peers see them.
//!
//! Each goes through three publications: the first; one with other thresholds and another key of a keyholder; and one
//! with other online keys, another key of the namespace and a further file. What a peer should see is what was signed,
//! byte for byte. Where it cannot, [`LIMITS`] says why; the table is exact, so that a peer that learns something fails
//! a test too.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};
use trustroot::builders::CATALOG_PATH;
use trustroot::crypto::{KeyAlgorithm, SecretKey, sha256};
use trustroot::metadata::canonical_json::canonicalize;
use trustroot::metadata::{RoleName, TargetPath};
#[cfg(feature = "aws-lc")]
use trustroot::publish::PublishError;
use trustroot::publish::PublishPlan;

use crate::cases::{Cases, Files, Step, Written};
use crate::judges::{self, Got, push, versions};
use crate::support::{Registry, block_on};
use crate::{Verdicts, verdicts};

/// tough reads the clock, so what it judges must not have expired by it.
const TIME: &str = "2034-03-01T12:00:00Z";

const HELLO: &str = "hello.txt";

/// Everybody who holds a key at some time. The new keys of people come as people of their own.
const PEOPLE: [&str; 9] =
    ["alice", "bob", "carol", "carol-new", "dave", "online", "online-new", "oppy-dev", "oppy-new"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Trustroot,
    PythonTuf,
    SigstoreTuf,
    Tough,
}

/// What a peer sees instead of what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// It refuses the metadata, each time.
    Nothing,
    /// It trusts the metadata, and fetches no file that lies in a directory.
    TopDirectory,
}

/// One reason, and the groups of cases in which it shows, in each case.
#[derive(Debug)]
struct Limit {
    peer: Peer,
    why: &'static str,
    sees: Sees,
    groups: &'static [&'static str],
}

const fn limit(peer: Peer, why: &'static str, sees: Sees, groups: &'static [&'static str]) -> Limit {
    Limit { peer, why, sees, groups }
}

#[rustfmt::skip]
const LIMITS: &[Limit] = &[
    limit(Peer::SigstoreTuf, "it has no P-521", Sees::Nothing, &["ecdsa-p521"]),
    limit(Peer::Tough, "of ECDSA it has P-256 alone", Sees::Nothing, &["ecdsa-p384", "ecdsa-p521"]),
    limit(Peer::Tough, "it has no ML-DSA", Sees::Nothing, &["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]),
    limit(Peer::Tough, "it asks for the hash before the whole path; everybody else asks for it before the file \
                        name", Sees::TopDirectory, &[
        "ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096", "mixed",
        "interrupted", "stolen",
    ]),
];

impl Limit {
    fn is_about(&self, peer: Peer, title: &str) -> bool {
        self.peer == peer && title.split_once(": ").is_some_and(|(group, _)| self.groups.contains(&group))
    }

    /// What is left of a verdict that the peer would give without this limit.
    fn apply(&self, verdict: &str) -> String {
        match self.sees {
            Sees::Nothing => "refused".to_owned(),
            Sees::TopDirectory => {
                let fetched = |part: &str| match part.split_once(' ') {
                    Some((path, _)) if path.contains('/') => format!("{path} refused"),
                    _ => part.to_owned(),
                };
                verdict.split(", ").map(fetched).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// A state of the published directory.
#[derive(Debug, Clone)]
struct State {
    time: DateTime<Utc>,
    metadata: Files,
    targets: Files,
    /// What every client should say, whatever it knew before.
    expected: String,
    /// The newest root that is published.
    root: Vec<u8>,
}

/// What is published now, and what was signed for it.
fn state(registry: &Registry, plan: &PublishPlan) -> State {
    let shown = |role: &RoleName| plan.versions.iter().find(|(known, _)| known == role).unwrap().1.get();
    let mut expected =
        versions([RoleName::Root, RoleName::Timestamp, RoleName::Snapshot, RoleName::Targets].map(|role| shown(&role)));
    let mut signed = signed_files(registry);
    for path in asked(registry) {
        push(&mut expected, &path, signed.remove(&path).map_or(Got::Absent, Got::File));
    }
    let (metadata, targets) = (Files::new(), Files::new());
    let mut state = State { time: registry.now, metadata, targets, expected, root: Vec::new() };
    for (path, bytes) in registry.files("public") {
        state.put(path.to_str().unwrap(), bytes);
    }
    state.root = state.metadata[&format!("{}.root.json", shown(&RoleName::Root))].clone();
    state
}

impl State {
    /// Writes a file to the directory.
    fn put(&mut self, name: &str, bytes: Vec<u8>) {
        match name.strip_prefix("targets/") {
            Some(name) => self.targets.insert(name.to_owned(), bytes),
            None => self.metadata.insert(name.to_owned(), bytes),
        };
    }

    /// The same with its targets under the names at which tough asks for them too.
    fn with_names_of_tough(&self) -> Self {
        let mut state = self.clone();
        for (name, bytes) in &self.targets {
            if let Some((directory, name)) = name.rsplit_once('/') {
                let (hash, name) = name.split_once('.').unwrap();
                state.targets.insert(format!("{hash}.{directory}/{name}"), bytes.clone());
            }
        }
        state
    }
}

/// Every file that a role names, by its path.
fn signed_files(registry: &Registry) -> Files {
    let signed = registry.signed();
    let mut files = Files::new();
    for role in [RoleName::Targets, RoleName::delegated("oppy").unwrap()] {
        for (path, entry) in signed.role(&role).unwrap().unwrap().document.iter() {
            let bytes = signed.target(&TargetPath::new(&path).unwrap(), &entry.unwrap()).unwrap();
            files.insert(path.clone(), bytes);
        }
    }
    files
}

/// The files that clients ask for: the catalog, the builder's document and a file of the maintainers.
fn asked(registry: &Registry) -> Vec<String> {
    let builder = signed_files(registry).into_keys().find(|path| path.starts_with("slsa/v1/builders/oppy/")).unwrap();
    vec![CATALOG_PATH.to_owned(), builder, HELLO.to_owned()]
}

/// A working copy in which everybody's key is of the kinds given, in turn.
fn registry(kinds: &[KeyAlgorithm]) -> Registry {
    let mut registry = Registry::at(TIME.parse().unwrap());
    registry.add_oppy();
    for (person, kind) in PEOPLE.into_iter().zip(kinds.iter().cycle()) {
        registry.add_key(person, SecretKey::generate(*kind).unwrap());
    }
    registry
}

fn publish(registry: &Registry, online: &[&str]) -> State {
    let plan = registry.plan(online).unwrap();
    block_on(plan.apply()).unwrap();
    state(registry, &plan)
}

fn publish_first(registry: &Registry) -> State {
    registry.hold("root", &["alice", "bob"]).unwrap();
    registry.hold("targets", &["alice", "bob"]).unwrap();
    registry.hold("oppy", &["oppy-dev"]).unwrap();
    publish(registry, &["online"])
}

/// Gives somebody the key of that name instead.
fn change_key(registry: &Registry, person: &str, key: &str) {
    registry.edit("trustroot.toml", |text| text.replace(&format!("keys/{person}.pub"), &format!("keys/{key}.pub")));
}

/// Root from two of three to three of four, targets too, and another key for Carol.
fn publish_second(registry: &mut Registry) -> State {
    registry.now += Duration::days(1);
    change_key(registry, "carol", "carol-new");
    registry.edit("trustroot.toml", |text| {
        let text = text.replace("\"bob\", \"carol\"]", "\"bob\", \"carol\", \"dave\"]");
        text.replace("threshold = 2", "threshold = 3") + "\n[people.dave]\nkeys = [\"keys/dave.pub\"]\n"
    });
    registry.hold("root", &["alice", "bob", "carol", "carol-new", "dave"]).unwrap();
    registry.hold("targets", &["alice", "carol-new", "dave"]).unwrap();
    publish(registry, &["online"])
}

/// Other keys for the online roles and the namespace, and a further file.
fn sign_third(registry: &mut Registry) {
    registry.now += Duration::days(1);
    change_key(registry, "online", "online-new");
    change_key(registry, "oppy-dev", "oppy-new");
    registry.write("targets/hello.txt", "hello");
    registry.hold("root", &["alice", "bob", "dave"]).unwrap();
    registry.hold("targets", &["bob", "carol-new", "dave"]).unwrap();
    registry.hold("oppy", &["oppy-new"]).unwrap();
}

/// The three publications.
struct History {
    first: State,
    second: State,
    third: State,
    ask: Vec<String>,
}

impl History {
    /// With keys of these kinds, and the third publication signed by these online keys.
    fn new(kinds: &[KeyAlgorithm], online: &[&str]) -> Self {
        let mut registry = registry(kinds);
        let first = publish_first(&registry);
        let ask = asked(&registry);
        let second = publish_second(&mut registry);
        sign_third(&mut registry);
        Self { first, second, third: publish(&registry, online), ask }
    }
}

/// Cases, and what every client should say about them.
#[derive(Default)]
struct Told {
    written: Written,
    expected: Verdicts,
}

impl Told {
    fn tell(&mut self, group: &str, name: &str, root: &[u8], ask: &[String], states: &[&State]) {
        let steps: Vec<Step> = states
            .iter()
            .map(|state| {
                let time = state.time.to_rfc3339_opts(SecondsFormat::Secs, true);
                self.written.step(time, &state.metadata, &state.targets)
            })
            .collect();
        self.written.push(group, name, root, ask.to_vec(), steps);
        let expected = states.iter().map(|state| state.expected.clone()).collect();
        self.expected.insert(format!("{group}: {name}"), expected);
    }

    /// A client that follows from the beginning, and clients that come in the end.
    fn tell_history(&mut self, group: &str, History { first, second, third, ask }: &History) {
        self.tell(group, "upgrades", &first.root, ask, &[first, second, third]);
        self.tell(group, "the third from the first root", &first.root, ask, &[third]);
        self.tell(group, "the third from its root", &third.root, ask, &[third]);
    }

    /// Has every client judge, and compares.
    fn judge(self) {
        let cases: &'static Cases = Box::leak(Box::new(self.written.judged()));
        let mut wrong = Vec::new();
        for (peer, theirs) in [
            (Peer::Trustroot, verdicts(cases, judges::trustroot_over_files)),
            (Peer::PythonTuf, cases.python.clone()),
            (Peer::SigstoreTuf, verdicts(cases, judges::sigstore)),
            (Peer::Tough, verdicts(cases, judges::tough)),
        ] {
            for (title, theirs) in &theirs {
                let limits: Vec<_> = LIMITS.iter().filter(|limit| limit.is_about(peer, title)).collect();
                assert!(limits.len() <= 1, "{peer:?} has two reasons for `{title}`: {limits:#?}");
                let mut expected = self.expected[title].clone();
                if let Some(limit) = limits.first() {
                    expected = expected.iter().map(|verdict| limit.apply(verdict)).collect();
                }
                if *theirs != expected {
                    let why = limits.first().map_or("there is no reason why it should not", |limit| limit.why);
                    wrong.push(format!("{peer:?}, {title} ({why})\n  expected {expected:#?}\n  got {theirs:#?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The kinds of key that this build makes. Long RSA keys take long to make, so only some people hold them.
const KINDS: &[(&str, &[KeyAlgorithm])] = &[
    ("ed25519", &[KeyAlgorithm::Ed25519]),
    ("mixed", &[KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256]),
    ("ecdsa-p256", &[KeyAlgorithm::EcdsaP256]),
    ("ecdsa-p384", &[KeyAlgorithm::EcdsaP384]),
    #[cfg(feature = "aws-lc")]
    ("ecdsa-p521", &[KeyAlgorithm::EcdsaP521]),
    #[cfg(feature = "aws-lc")]
    ("rsa-2048", &[KeyAlgorithm::Rsa2048]),
    #[cfg(feature = "aws-lc")]
    ("rsa-3072", &[KeyAlgorithm::Rsa3072, KeyAlgorithm::Ed25519]),
    #[cfg(feature = "aws-lc")]
    ("rsa-4096", &[KeyAlgorithm::Rsa4096, KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256]),
    #[cfg(feature = "aws-lc")]
    ("ml-dsa-44", &[KeyAlgorithm::MlDsa44]),
    #[cfg(feature = "aws-lc")]
    ("ml-dsa-65", &[KeyAlgorithm::MlDsa65]),
    #[cfg(feature = "aws-lc")]
    ("ml-dsa-87", &[KeyAlgorithm::MlDsa87]),
];

#[test]
fn every_limit_is_about_a_case() {
    let made: Vec<&str> = KINDS.iter().map(|(name, _)| *name).chain(["interrupted", "stolen"]).collect();
    for limit in LIMITS {
        for group in limit.groups {
            assert!(made.contains(group) || !cfg!(feature = "aws-lc"), "{limit:?}: no group is called `{group}`");
        }
    }
}

#[test]
fn what_is_published_reaches_clients_of_every_make_through_every_rotation() {
    let mut told = Told::default();
    for (group, kinds) in &KINDS[..2] {
        let history = History::new(kinds, &["online", "online-new"]);
        let (first, second, third) = (&history.first, &history.second, &history.third);
        told.tell_history(group, &history);
        told.tell(group, "the second from the first root", &first.root, &history.ask, &[second]);
        told.tell(group, "the second from its root", &second.root, &history.ask, &[second]);
        if *group == "ed25519" {
            let third = third.with_names_of_tough();
            told.tell("under the names of tough", group, &first.root, &history.ask, &[&third]);
        }
    }
    told.judge();
}

#[test]
fn ecdsa_keys_reach_clients_of_every_make() {
    judge_kinds("ecdsa-");
}

#[cfg(feature = "aws-lc")]
#[test]
fn rsa_keys_reach_clients_of_every_make() {
    judge_kinds("rsa-");
}

#[cfg(feature = "aws-lc")]
#[test]
fn ml_dsa_keys_reach_clients_of_every_make() {
    judge_kinds("ml-dsa-");
}

fn judge_kinds(prefix: &str) {
    let mut told = Told::default();
    for (group, kinds) in KINDS.iter().filter(|(group, _)| group.starts_with(prefix)) {
        // Two signatures of ML-DSA-87 are more than clients read of a timestamp.
        let online: &[&str] = if *group == "ml-dsa-87" { &["online-new"] } else { &["online", "online-new"] };
        told.tell_history(group, &History::new(kinds, online));
    }
    assert!(!told.expected.is_empty());
    told.judge();
}

#[cfg(feature = "aws-lc")]
#[test]
fn a_timestamp_that_other_clients_would_not_read_is_not_published() {
    let mut registry = registry(&[KeyAlgorithm::MlDsa87]);
    publish_first(&registry);
    publish_second(&mut registry);
    sign_third(&mut registry);
    let before = registry.files("public");
    let error = registry.plan(&["online", "online-new"]).unwrap_err();
    assert!(matches!(error, PublishError::TooLong { role: RoleName::Timestamp, limit: 16_384, .. }), "{error}");
    assert_eq!(registry.files("public"), before);
}

#[test]
fn clients_of_every_make_may_ask_after_any_write_of_a_rotation() {
    let mut told = Told::default();
    let mut registry = registry(&[KeyAlgorithm::Ed25519]);
    let first = publish_first(&registry);
    let ask = asked(&registry);
    let before = publish_second(&mut registry);
    sign_third(&mut registry);
    let plan = registry.plan(&["online", "online-new"]).unwrap();
    block_on(plan.apply()).unwrap();
    let after = state(&registry, &plan);
    assert!(plan.objects.len() >= 6);

    let mut states = vec![before.clone()];
    let mut now = State { time: registry.now, ..before };
    for object in &plan.objects {
        now.put(&object.name, object.bytes.clone());
        if object.name == "timestamp.json" {
            now.expected = after.expected.replace("root 3", "root 2");
        } else if object.name == "3.root.json" {
            now.expected.clone_from(&after.expected);
        }
        states.push(now.clone());
        told.tell("interrupted", &format!("a new client after {}", object.name), &first.root, &ask, &[&now]);
    }
    let states: Vec<&State> = states.iter().collect();
    told.tell("interrupted", "a client that keeps asking", &first.root, &ask, &states);
    told.judge();
}

#[test]
fn clients_of_every_make_recover_when_a_stolen_online_key_is_left_out() {
    let mut told = Told::default();
    let mut registry = registry(&[KeyAlgorithm::Ed25519]);
    let before = publish_first(&registry);
    let ask = asked(&registry);

    // What the thief serves from elsewhere: absurd versions, once of its own files alone and once of targets too.
    let absurd = fast_forwarded(&registry, &before, false);
    let broken = fast_forwarded(&registry, &before, true);

    registry.now += Duration::days(1);
    change_key(&registry, "online", "online-new");
    registry.hold("root", &["alice", "bob"]).unwrap();
    let after = publish(&registry, &["online-new"]);

    for (name, states) in [
        ("nothing but the key", vec![&before, &after]),
        ("and used to fast-forward", vec![&before, &absurd, &after]),
        ("and used to fast-forward targets", vec![&before, &broken, &after]),
        ("and used before a client began", vec![&absurd, &after]),
        ("and a client that begins afterwards", vec![&after]),
    ] {
        told.tell("stolen", name, &before.root, &ask, &states);
    }
    // The thief goes on, and is not believed any more.
    let mut thief = State { expected: "refused".to_owned(), time: after.time, ..absurd };
    thief.put("2.root.json", after.root.clone());
    told.tell("stolen", "and used after the rotation", &before.root, &ask, &[&before, &after, &thief, &after]);
    told.judge();
}

/// The state with the online roles at version 1000, signed by the old online key. Its snapshot may also claim that
/// targets has that version, which nobody can serve.
fn fast_forwarded(registry: &Registry, state: &State, targets_too: bool) -> State {
    let mut state = state.clone();
    let snapshot = resigned(registry, &state.metadata["1.snapshot.json"], |signed| {
        signed["version"] = 1000.into();
        if targets_too {
            signed["meta"]["targets.json"] = json!({"version": 1000});
        }
    });
    let timestamp = resigned(registry, &state.metadata["timestamp.json"], |signed| {
        signed["version"] = 1000.into();
        signed["meta"]["snapshot.json"] =
            json!({"version": 1000, "length": snapshot.len(), "hashes": {"sha256": hex::encode(sha256(&snapshot))}});
    });
    state.put("1000.snapshot.json", snapshot);
    state.put("timestamp.json", timestamp);
    state.expected = if targets_too {
        "refused".to_owned()
    } else {
        state.expected.replace("timestamp 1 snapshot 1", "timestamp 1000 snapshot 1000")
    };
    state
}

/// A document changed and signed again by the online key.
fn resigned(registry: &Registry, document: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(document).unwrap();
    change(&mut document["signed"]);
    let payload = canonicalize(&serde_json::to_vec(&document["signed"]).unwrap()).unwrap();
    document["signatures"][0]["sig"] = hex::encode(registry.key("online").sign(&payload).unwrap()).into();
    serde_json::to_vec(&document).unwrap()
}
