//! After any mix of publishing, rotation, tampering and damage: does trust only move forward, and only to files that
//! the repository made?

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::Value;
use support::{Answer, Client, SimRepository};

const ONLINE: [&str; 4] = ["timestamp", "snapshot", "targets", "team"];
const CACHED: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "team"];
const CLIENTS: usize = 2;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// An honest publication of new versions.
    Publish,
    Rotate(&'static str),
    AddKey(&'static str),
    /// Somebody with the right keys publishes a role under this version.
    Forge(&'static str, u64),
    /// A mirror serves the repository as it was at some time, but for the roots.
    Lag(Index),
    /// Somebody in the middle changes what is answered for a role.
    Tamper(&'static str, Tampering),
    /// A cached file is no longer what was written.
    Damage(usize, &'static str, Index),
    WaitDays(i64),
    /// A new process refreshes, and looks a target up.
    Refresh(usize),
    /// All is in order again, and everyone refreshes.
    Heal,
}

#[derive(Clone, Debug)]
enum Tampering {
    Flip(Index),
    Cut(Index),
    Strip,
    Status(u16),
    Endless,
}

/// Events do not depend on each other: the reference has no state.
struct AnyEvents;

impl ReferenceStateMachine for AnyEvents {
    type State = ();
    type Transition = Event;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Event> {
        let role = || select(&ONLINE[..]);
        let tampering = prop_oneof![
            any::<Index>().prop_map(Tampering::Flip),
            any::<Index>().prop_map(Tampering::Cut),
            Just(Tampering::Strip),
            select(vec![404, 500]).prop_map(Tampering::Status),
            Just(Tampering::Endless),
        ];
        prop_oneof![
            3 => Just(Event::Publish),
            2 => select(vec!["root", "timestamp", "snapshot", "targets"]).prop_map(Event::Rotate),
            1 => select(vec!["timestamp", "snapshot", "targets"]).prop_map(Event::AddKey),
            2 => (role(), 1..12_u64).prop_map(|(role, version)| Event::Forge(role, version)),
            2 => any::<Index>().prop_map(Event::Lag),
            2 => (role(), tampering).prop_map(|(role, tampering)| Event::Tamper(role, tampering)),
            1 => (0..CLIENTS, select(&CACHED[..]), any::<Index>())
                .prop_map(|(client, role, at)| Event::Damage(client, role, at)),
            1 => (1..100_i64).prop_map(Event::WaitDays),
            8 => (0..CLIENTS).prop_map(Event::Refresh),
            1 => Just(Event::Heal),
        ]
        .boxed()
    }

    fn apply((): (), _: &Event) {}
}

struct World {
    repository: SimRepository,
    clients: Vec<Client>,
    /// The repository as it was, for mirrors that lag.
    past: Vec<BTreeMap<String, Answer>>,
    /// Above any version that was ever published.
    above: u64,
}

impl StateMachineTest for World {
    type SystemUnderTest = Self;
    type Reference = AnyEvents;

    fn init_test((): &()) -> Self {
        let mut repository = SimRepository::new();
        repository.delegate("targets", "team", &["*"]);
        repository.add_target("team", "tool", b"x");
        repository.publish();
        let clients = vec![repository.client(), repository.client().trusting_its_cache()];
        Self { repository, clients, past: Vec::new(), above: 100 }
    }

    fn apply(mut world: Self, (): &(), event: Event) -> Self {
        let repository = &mut world.repository;
        match event {
            Event::Publish => {
                repository.bump("targets");
                repository.bump("team");
                repository.publish();
            }
            Event::Rotate(role) => drop(repository.rotate(role)),
            Event::AddKey(role) => drop(repository.add_key(role)),
            Event::Forge(role, version) => {
                repository.set_version(role, version);
                repository.bump("timestamp");
                repository.describe();
                for role in ONLINE {
                    repository.serve(role);
                }
            }
            Event::Lag(when) => {
                if !world.past.is_empty() {
                    let mut files = world.past[when.index(world.past.len())].clone();
                    let now = repository.shelf().files();
                    files.extend(now.into_iter().filter(|(path, _)| path.ends_with(".root.json")));
                    repository.shelf().set_files(files);
                }
            }
            Event::Tamper(role, tampering) => tamper(repository, role, &tampering),
            Event::Damage(client, role, at) => {
                if let Some(mut bytes) = world.clients[client].cached(role)
                    // A client that trusts its cache has nothing else to start from.
                    && !(client == 1 && role == "root")
                    && !bytes.is_empty()
                {
                    flip(&mut bytes, at);
                    world.clients[client].overwrite(role, &bytes);
                }
            }
            Event::WaitDays(days) => repository.wait_days(days),
            Event::Refresh(client) => refresh(&world.repository, &mut world.clients[client]),
            Event::Heal => world.heal(),
        }
        world.past.push(world.repository.shelf().files());
        world
    }
}

/// Flips a bit of what is signed: a signature beyond the threshold may break without harm.
fn flip(document: &mut [u8], at: Index) {
    let signed = document.windows(9).position(|part| part == b"\"signed\":").unwrap_or(0);
    document[signed + at.index(document.len() - signed)] ^= 1;
}

fn tamper(repository: &SimRepository, role: &str, tampering: &Tampering) {
    let mut bytes = repository.bytes(role);
    let answer = match tampering {
        Tampering::Flip(at) => {
            flip(&mut bytes, *at);
            forged(bytes)
        }
        Tampering::Cut(at) => {
            bytes.truncate(at.index(bytes.len()));
            forged(bytes)
        }
        Tampering::Strip => forged(repository.signed_by(role, &[])),
        Tampering::Status(status) => Answer::Status(*status),
        Tampering::Endless => Answer::Endless,
    };
    repository.answer(role, answer);
}

/// Bytes that the shelf does not count as the repository's.
fn forged(bytes: Vec<u8>) -> Answer {
    Answer::Claiming(bytes.len() as u64, bytes)
}

impl World {
    /// However wild it was: once the repository is in order and its versions are high enough, everyone gets there.
    fn heal(&mut self) {
        let repository = &mut self.repository;
        self.above += 100;
        for role in ["timestamp", "snapshot", "targets", "team"] {
            repository.set_version(role, self.above);
            repository.expire(role, 50);
        }
        repository.expire("root", 50);
        let keys = repository.signers("root").clone();
        repository.publish_root_signed_by(&keys);
        repository.publish();
        for client in &mut self.clients {
            refresh(repository, client);
            for role in CACHED {
                assert_eq!(client.cached(role), Some(repository.bytes_on_shelf(role)), "{role} after all was in order");
            }
        }
    }
}

/// Refreshes, looks a target up, and holds the cache before and after to the invariants.
fn refresh(repository: &SimRepository, client: &mut Client) {
    let before: BTreeMap<_, _> = CACHED.map(|role| (role, client.cached(role))).into();

    let outcome = client.refresh().and_then(|()| client.find("tool"));

    let after: BTreeMap<_, _> = CACHED.map(|role| (role, client.cached(role))).into();
    let now = repository.shelf().now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for role in CACHED {
        let (Some(old), Some(new)) = (&before[role], &after[role]) else {
            assert!(before[role].is_none(), "{role} vanished");
            if let Some(new) = &after[role] {
                assert!(repository.shelf().ever_served(new), "{role} is not the repository's");
            }
            continue;
        };
        if old == new {
            continue;
        }
        assert!(repository.shelf().ever_served(new), "{role} is not the repository's");
        let document = read(new).expect("the repository makes JSON");
        assert!(
            role == "root" || document["expires"].as_str().unwrap() > now.as_str(),
            "{role} was kept though expired"
        );
        // What was damaged is no floor.
        if repository.shelf().ever_served(old) {
            moves_forward(role, old, new, after["root"].as_deref());
        }
    }
    if outcome.is_ok() {
        for role in CACHED {
            let kept = after[role].as_ref().expect("all is trusted, so all is kept");
            assert!(repository.shelf().ever_served(kept), "{role} is damaged, and was trusted");
        }
    }
}

fn moves_forward(role: &str, old: &[u8], new: &[u8], root: Option<&[u8]>) {
    let (before, after) = (read(old).unwrap(), read(new).unwrap());
    let older = version(&after) < version(&before);
    match role {
        "root" => assert!(!older, "root went back"),
        "timestamp" | "snapshot" if vouched_for(role, old, root.expect("a root is kept before all else")) => {
            assert!(!older, "{role} went back, and its keys were not rotated away");
            for (file, meta) in before["meta"].as_object().unwrap() {
                let meta_after = &after["meta"][file];
                assert!(meta_after["version"].as_u64() >= meta["version"].as_u64(), "{file} went back in {role}");
            }
        }
        // The keys were rotated away; or it is targets metadata, whose floor is the snapshot's.
        _ => {}
    }
}

/// Whether a key that signed `bytes` is still the role's. Thresholds are 1 here.
fn vouched_for(role: &str, bytes: &[u8], root: &[u8]) -> bool {
    let document: Value = serde_json::from_slice(bytes).unwrap();
    let signed_by: BTreeSet<&str> =
        document["signatures"].as_array().unwrap().iter().filter_map(|signature| signature["keyid"].as_str()).collect();
    let root = read(root).unwrap();
    let keyids = root["roles"][role]["keyids"].as_array().unwrap();
    keyids.iter().any(|keyid| signed_by.contains(keyid.as_str().unwrap()))
}

fn read(bytes: &[u8]) -> Option<Value> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    Some(document["signed"].clone())
}

fn version(signed: &Value) -> u64 {
    signed["version"].as_u64().unwrap()
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trust_only_moves_forward_and_only_to_files_that_the_repository_made(sequential 1..40 => World);
}
