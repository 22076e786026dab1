//! Metadata that others published: what their clients took, we take; what is wrong with it, we refuse by name.
//!
//! Everything here is historic, so each test says which time it takes. Where the data is absent the tests are
//! skipped, and say so.
#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "support/realdata.rs"]
mod realdata;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use insta::assert_snapshot;
use trustroot::client::bundle::{Bundle, BundleFetcher, Questions, export, import};
use trustroot::client::{
    Body, CacheMode, DefaultFetcher, FetchError, FetchFuture, Fetcher, FileFetcher, HttpSettings, KeptTargets,
    LocalCache, SafeUrl, TrustAnchor, UpdateError, Updater, UpdaterSettings, stored_name,
};
use trustroot::crypto::{VerifyingKey, sha256};
use trustroot::metadata::{
    Document, Envelope, KeyId, RoleName, Root, Snapshot, TargetPath, Targets, Timestamp, Version,
};
use trustroot::trust::{Authority, Connectivity, ExpectRoot, Refusal, Standing, UpdateStart, tally};
use trustroot::verify::{ArtifactDigests, KeySet, Request, TransparencyLogs, TrustedTime, verify_with_keys};

fn at(time: &str) -> UpdateStart {
    UpdateStart::at(time.parse::<DateTime<Utc>>().unwrap())
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn chain(directory: &Path, newest: u64) -> Vec<Vec<u8>> {
    (1..=newest).map(|version| read(directory.join(format!("{version}.root.json")))).collect()
}

fn unverified<T: Document>(bytes: &[u8]) -> T {
    Envelope::parse(bytes).unwrap().unverified().unwrap()
}

// ---------------------------------------------------------------------------------------------------------------
// Root chains

/// From each root, each other root is offered: only the next one moves trust.
fn only_the_next_root_is_taken(roots: &[Vec<u8>]) {
    let start = at("2026-08-22T00:00:00Z");
    for (from, pinned) in roots.iter().enumerate() {
        let before = ExpectRoot::begin(pinned, start).unwrap();
        for (to, offered) in roots.iter().enumerate() {
            let mut state = before.clone();
            let result = state.root(offered);
            let (from, to) = (from as u64 + 1, to as u64 + 1);
            if to == from + 1 {
                result.unwrap();
                assert_eq!(state.trusted().version.get(), to);
            } else {
                let code = result.unwrap_err().code();
                assert!(matches!(code, "wrong-version" | "too-few-signatures"), "{from} to {to}: {code}");
                assert_eq!(state.trusted().version.get(), from);
            }
        }
    }
}

#[test]
fn sigstores_root_chain_is_walked_step_by_step_and_no_other_way() {
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    only_the_next_root_is_taken(&chain(&directory, 15));
}

#[test]
fn sigstores_staging_root_chain_is_walked_step_by_step_and_no_other_way() {
    let Some(directory) = realdata::path("tuf/sigstore-staging") else { return };
    only_the_next_root_is_taken(&chain(&directory, 14));
}

#[test]
fn an_empty_signature_is_a_missing_one_and_spoils_nothing() {
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    let roots = chain(&directory, 15);
    for (version, empty, counted) in [(12, 2, 3), (13, 0, 5), (14, 1, 4)] {
        let envelope = Envelope::parse(&roots[version - 1]).unwrap();
        let root: Root = envelope.unverified().unwrap();
        let tally = tally(&envelope, Authority::of_root(&root, &RoleName::Root).unwrap());
        let missing = tally.lines.iter().filter(|line| line.standing == Standing::Missing).count();
        assert_eq!((missing, tally.counted, tally.needed), (empty, counted, 3), "v{version}");
        assert!(envelope.signatures().values().any(trustroot::metadata::Signature::is_empty), "v{version}");
    }
    // v13's empty signature is that of a key which is leaving: it counts neither for the old root nor for the new.
    let old: Root = unverified(&roots[11]);
    let envelope = Envelope::parse(&roots[12]).unwrap();
    let tally = tally(&envelope, Authority::of_root(&old, &RoleName::Root).unwrap());
    assert_eq!((tally.counted, tally.foreign), (4, 1));
}

/// When keys were spelled anew, each holder signed under the old keyid and the new one.
#[test]
fn one_key_under_two_keyids_counts_once() {
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    let roots = chain(&directory, 15);
    let mut doubled = Vec::new();
    for (old, new) in roots.iter().zip(&roots[1..]) {
        let envelope = Envelope::parse(new).unwrap();
        let mut both: Root = envelope.unverified().unwrap();
        let old: Root = unverified(old);
        both.keys.extend(old.keys);
        both.root.keyids.extend(old.root.keyids);
        let tally = tally(&envelope, Authority::of_root(&both, &RoleName::Root).unwrap());
        let valid = |line: &&trustroot::trust::TallyLine| matches!(line.standing, Standing::Valid | Standing::SameKey);
        let naive = tally.lines.iter().filter(valid).count() as u64;
        assert!(tally.counted >= 3, "every step was signed by enough people");
        if tally.counted < naive {
            doubled.push((both.version.get(), naive, tally.counted));
        }
    }
    assert_eq!(doubled, [(5, 8, 4), (9, 10, 5), (10, 10, 5)]);
}

#[test]
fn a_keyid_may_be_any_text() {
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    let mut odd = BTreeSet::new();
    for bytes in chain(&directory, 15) {
        let root: Root = unverified(&bytes);
        for (keyid, key) in &root.keys {
            VerifyingKey::from_metadata(key).unwrap();
            if keyid.as_str() != hex::encode(sha256(&key.to_canonical())) {
                odd.insert((root.version.get(), keyid.to_string()));
            }
        }
    }
    assert_eq!(odd, BTreeSet::from([(11, "7247f0db".to_owned())]));
}

#[test]
fn expiries_with_offsets_and_fractions_are_read_as_the_moments_they_name() {
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    let roots = chain(&directory, 4);
    let expiries: Vec<_> = roots.iter().map(|bytes| unverified::<Root>(bytes).expires).collect();
    let shown: Vec<_> = expiries.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["2021-12-18T19:28:12Z", "2022-05-11T19:09:02Z", "2022-11-10T21:58:09Z", "2023-01-12T18:22:02Z"]);
    // 13:28 six hours west of Greenwich is 19:28, not 13:28, and the fraction of its last second is still good.
    for (time, expired) in [("2021-12-18T19:28:12.99007Z", false), ("2021-12-18T19:28:12.99008Z", true)] {
        assert_eq!(expiries[0].is_past(time.parse().unwrap()), expired);
    }
}

#[test]
fn bottlerockets_production_root_chain_is_walked() {
    let Some(directory) = realdata::path("tuf/bottlerocket-early") else { return };
    let mut state =
        ExpectRoot::begin(&read(directory.join("1.root.2020-09-22.00de549a.json")), at("2021-01-01T00:00:00Z"))
            .unwrap();
    state.root(&read(directory.join("2.root.2021-09-22.29ea7bda.json"))).unwrap();
    state.finish().unwrap();
}

// ---------------------------------------------------------------------------------------------------------------
// Whole repositories, served from memory

const METADATA: &str = "https://repository.test/metadata";
const TARGETS: &str = "https://repository.test/targets";

/// Answers with what was put in, and remembers what was asked.
#[derive(Debug, Default)]
struct Served {
    files: BTreeMap<String, Vec<u8>>,
    asked: Mutex<Vec<String>>,
}

impl Served {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Fetcher for Served {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        let name = url.expose().strip_prefix("https://repository.test/").unwrap();
        self.asked.lock().unwrap().push(name.to_owned());
        let answer = match self.files.get(name) {
            Some(bytes) => Ok(Body::from_bytes(url.clone(), bytes.clone())),
            None => Err(FetchError::Absent { url: url.clone() }),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// Lays out a repository with consistent snapshots from the newest file of each role.
fn served(roots: &[Vec<u8>], repository: &Path) -> Served {
    let metadata = |role: &str| read(repository.join("metadata").join(format!("{role}.json")));
    let mut files = BTreeMap::new();
    for (index, root) in roots.iter().enumerate() {
        files.insert(format!("metadata/{}.root.json", index + 1), root.clone());
    }
    files.insert("metadata/timestamp.json".to_owned(), metadata("timestamp"));
    let timestamp: Timestamp = unverified(&metadata("timestamp"));
    files.insert(format!("metadata/{}.snapshot.json", timestamp.snapshot.version.get()), metadata("snapshot"));
    let snapshot: Snapshot = unverified(&metadata("snapshot"));
    for role in ["targets", "registry.npmjs.org"] {
        let version = snapshot.iter().find(|(name, _)| *name == format!("{role}.json")).unwrap().1.version.get();
        files.insert(format!("metadata/{version}.{role}.json"), metadata(role));
    }
    for (path, bytes) in target_files(repository) {
        files.insert(format!("targets/{}", path.url_path(Some(&sha256(&bytes)))), bytes);
    }
    Served { files, asked: Mutex::default() }
}

/// The files below `targets`, by target path.
fn target_files(repository: &Path) -> BTreeMap<TargetPath, Vec<u8>> {
    let directory = repository.join("targets");
    walkdir::WalkDir::new(&directory)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(&directory).unwrap().to_str().unwrap();
            (TargetPath::new(path).unwrap(), read(entry.path()))
        })
        .collect()
}

fn updater(root: &[u8], fetcher: &Arc<Served>, cache: &Path, start: UpdateStart) -> Updater {
    let settings = UpdaterSettings::new(SafeUrl::parse(METADATA).unwrap(), SafeUrl::parse(TARGETS).unwrap());
    let cache = LocalCache::new(cache, CacheMode::ReadWrite);
    Updater::new(TrustAnchor::Pinned(root.to_vec()), settings, cache, Arc::clone(fetcher) as _, start).unwrap()
}

/// Everything in a directory, for seeing that nothing moved.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| (entry.path().to_owned(), read(entry.path())))
        .collect()
}

struct Expected {
    root: u64,
    timestamp: u64,
    snapshot: u64,
    targets: u64,
    delegated: u64,
}

async fn refresh_and_download_all(roots: &[Vec<u8>], repository: &Path, expected: Expected) {
    let start = at("2026-08-22T00:00:00Z");
    let fetcher = Arc::new(served(roots, repository));
    let cache = tempfile::tempdir().unwrap();

    // The first process knows root 1 and nothing else.
    let mut first = updater(&roots[0], &fetcher, cache.path(), start);
    let trusted = first.refresh().await.unwrap();
    assert_eq!(
        [
            trusted.root().version.get(),
            trusted.timestamp().version.get(),
            trusted.snapshot().version.get(),
            trusted.targets().version.get()
        ],
        [expected.root, expected.timestamp, expected.snapshot, expected.targets]
    );
    let mut named: BTreeSet<String> = trusted.targets().iter().map(|(name, _)| name).collect();
    named.insert("registry.npmjs.org/keys.json".to_owned());

    let destination = tempfile::tempdir().unwrap();
    let on_disk = target_files(repository);
    assert_eq!(named, on_disk.keys().map(|path| path.as_str().to_owned()).collect());
    for (path, bytes) in &on_disk {
        let target = first.find(path).await.unwrap().unwrap();
        let role = if path.as_str().contains('/') {
            assert_eq!(target.version.get(), expected.delegated);
            "registry.npmjs.org"
        } else {
            "targets"
        };
        assert_eq!(target.role.as_str(), role);
        let file = destination.path().join(path.encoded().as_str());
        first.download(&target, &file, None, |_| ()).await.unwrap();
        assert_eq!(&read(&file), bytes);
    }
    assert!(first.find(&TargetPath::new("registry.npmjs.org/a/b").unwrap()).await.unwrap().is_none());
    assert!(first.find(&TargetPath::new("absent").unwrap()).await.unwrap().is_none());
    fetcher.asked();

    // The second asks only what may have changed.
    let mut second = updater(&roots[0], &fetcher, cache.path(), start);
    let keys = TargetPath::new("registry.npmjs.org/keys.json").unwrap();
    assert!(second.find(&keys).await.unwrap().is_some());
    let next_root = format!("metadata/{}.root.json", expected.root + 1);
    assert_eq!(fetcher.asked(), [next_root.as_str(), "metadata/timestamp.json"]);
    assert_eq!(second.kept(), []);

    // Later nothing is good any more, neither what is served nor what is kept.
    for (time, role) in [("2026-08-29T00:00:00Z", "timestamp"), ("2026-12-01T00:00:00Z", "root")] {
        let before = contents(cache.path());
        let mut late = updater(&roots[0], &fetcher, cache.path(), at(time));
        let error = late.find(&keys).await.unwrap_err();
        let UpdateError::Refused { refusal, kept, .. } = error else { panic!("{error}") };
        assert_eq!((refusal.code(), refusal.role().unwrap().as_str()), ("expired", role));
        assert_eq!(kept, []);
        assert_eq!(contents(cache.path()), before);
    }
}

#[tokio::test]
async fn sigstores_production_repository_is_refreshed_from_its_first_root() {
    let Some(repository) = realdata::path("tuf/sigstore-current") else { return };
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    let expected = Expected { root: 15, timestamp: 762, snapshot: 165, targets: 14, delegated: 8 };
    refresh_and_download_all(&chain(&directory, 15), &repository, expected).await;
}

#[tokio::test]
async fn sigstores_staging_repository_is_refreshed_from_its_first_root() {
    let Some(directory) = realdata::path("tuf/sigstore-staging") else { return };
    let expected = Expected { root: 14, timestamp: 703, snapshot: 25, targets: 28, delegated: 5 };
    refresh_and_download_all(&chain(&directory, 14), &directory.join("current"), expected).await;
}

/// The same repositories as they lie on a disk, over `file` and `http`: cold, warm, and without asking anybody.
#[cfg(feature = "maintainer")]
#[tokio::test]
async fn sigstores_repositories_are_followed_from_a_disk_and_over_http() {
    use trustroot::serve::{ServeLimits, Server};

    let Some(production) = realdata::path("tuf/sigstore-current") else { return };
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    let Some(staging) = realdata::path("tuf/sigstore-staging") else { return };
    let start = at("2026-08-22T00:00:00Z");
    let keys = TargetPath::new("registry.npmjs.org/keys.json").unwrap();
    for (roots, repository) in
        [(chain(&directory, 15), production.as_path()), (chain(&staging, 14), &staging.join("current"))]
    {
        let disk = tempfile::tempdir().unwrap();
        for (name, bytes) in &served(&roots, repository).files {
            let file = disk.path().join(name.trim_start_matches("metadata/"));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, bytes).unwrap();
        }
        let server = Server::bind(disk.path(), "127.0.0.1:0".parse().unwrap(), ServeLimits::default()).await.unwrap();
        let over_http = SafeUrl::parse(&format!("http://{}", server.address())).unwrap();
        let running = tokio::spawn(server.run(std::future::pending()));
        for base in [over_http, SafeUrl::from_file_path(disk.path()).unwrap()] {
            let cache = tempfile::tempdir().unwrap();
            let updater = |connectivity| {
                let settings = UpdaterSettings::new(base.clone(), base.below("targets"));
                let cache = LocalCache::new(cache.path(), CacheMode::ReadWrite);
                let fetcher = Arc::new(DefaultFetcher::new(HttpSettings::default()));
                let anchor = TrustAnchor::Pinned(roots[0].clone());
                Updater::new(anchor, settings.connectivity(connectivity), cache, fetcher, start).unwrap()
            };
            let mut cold = updater(Connectivity::Online);
            let found = cold.find(&keys).await.unwrap().unwrap();
            let expected = read(repository.join("targets/registry.npmjs.org/keys.json"));
            assert_eq!(cold.target_bytes(&found, None).await.unwrap(), expected, "{base}");
            let mut warm = updater(Connectivity::Online);
            warm.find(&keys).await.unwrap().unwrap();
            assert_eq!((warm.traffic().requests, warm.kept()), (2, &[][..]), "{base}");
            let mut offline = updater(Connectivity::Offline);
            assert_eq!(offline.find(&keys).await.unwrap().unwrap().file, found.file, "{base}");
            assert_eq!(offline.traffic().requests, 0);
        }
        running.abort();
    }
}

/// A machine without a network that has nothing but root 1 and a stick: the registry's keys and the log's, as targets in
/// a bundle, verify what the registry signed with a key that has ended since. The exporting machine pinned a later root.
#[tokio::test]
async fn an_attestation_is_verified_without_a_network_by_keys_and_a_log_from_a_bundle() {
    let Some(repository) = realdata::path("tuf/sigstore-current") else { return };
    let Some(directory) = realdata::path("tuf/sigstore-root-chain") else { return };
    let Some(npm) = realdata::path("attestations/slsa-verifier/npm") else { return };
    let (roots, start) = (chain(&directory, 15), at("2026-08-22T00:00:00Z"));
    let settings = UpdaterSettings::new(SafeUrl::parse(METADATA).unwrap(), SafeUrl::parse(TARGETS).unwrap());
    let place = tempfile::tempdir().unwrap();
    let directory = |name: &str| place.path().join(name);
    let updater = |root: &[u8], settings: UpdaterSettings, cache: &str, fetcher: Arc<dyn Fetcher>| {
        let cache = LocalCache::new(directory(cache), CacheMode::ReadWrite);
        Updater::new(TrustAnchor::Pinned(root.to_vec()), settings, cache, fetcher, start).unwrap()
    };
    let [keys, log] = ["registry.npmjs.org/keys.json", "trusted_root.json"].map(|path| TargetPath::new(path).unwrap());
    let questions = Questions { targets: BTreeSet::from([keys.clone(), log.clone()]), ..Questions::default() };
    let limit = 4 << 20;

    let keeping = settings.clone().kept_targets(KeptTargets::In(directory("online targets")));
    let mut online = updater(&roots[9], keeping, "online", Arc::new(served(&roots, &repository)));
    let file = directory("news.bundle");
    let exported = export(&mut online, &questions, limit, Some(&roots[0]), &file).await.unwrap();
    assert_eq!(exported.first_root.version, 1);

    let bundle = Bundle::open(&file).unwrap();
    let mut keeping = settings.clone().kept_targets(KeptTargets::In(directory("targets apart")));
    bundle.carry_over(&mut keeping);
    let questions = bundle.questions().clone();
    let mut apart = updater(&roots[0], keeping, "apart", Arc::new(BundleFetcher::new(bundle)));
    import(&mut apart, &questions, limit).await.unwrap();

    let nobody = Arc::new(Served::default());
    let offline = settings.connectivity(Connectivity::Offline);
    let mut offline = updater(&roots[0], offline, "apart", Arc::clone(&nobody) as _);
    let mut targets = Vec::new();
    for path in [&keys, &log] {
        let found = offline.find(path).await.unwrap().unwrap();
        let kept = directory("targets apart").join(stored_name(&path.encoded(), ""));
        targets.push(offline.target_bytes(&found, Some(&kept)).await.unwrap());
    }
    assert_eq!((nobody.asked(), offline.traffic().requests), (Vec::new(), 0));
    let (keys, logs) = (KeySet::parse(&targets[0]).unwrap(), TransparencyLogs::from_trusted_root(&targets[1]).unwrap());
    let mut digester = ArtifactDigests::digester();
    digester.update(&read(npm.join("provenance-npm-test-cli-v1-prega.tgz")));
    let artifact = digester.into();
    let attestation = read(npm.join("provenance-npm-test-cli-v1-prega.tgz.json"));
    let mut request = Request::new(&artifact, &attestation, &keys, start.time());
    // Without the log nobody knows that the key had not ended yet.
    assert!(verify_with_keys(&request).is_err());
    request.time_authority = Some(&logs);
    let verdict = verify_with_keys(&request).unwrap();
    let TrustedTime::Known { time, .. } = &verdict.accepted[0].signed_by[0].time else { panic!("{verdict:?}") };
    assert_eq!(time.to_rfc3339(), "2024-05-16T17:12:06+00:00");
}

/// Roles that are no longer delegated stay in the snapshot; their files are not asked for, so they may be gone.
#[tokio::test]
async fn a_snapshot_may_list_roles_that_nobody_delegates_to() {
    let Some(repository) = realdata::path("tuf/sigstore-current") else { return };
    let snapshot: Snapshot = unverified(&read(repository.join("metadata/snapshot.json")));
    let stale: Vec<_> =
        snapshot.iter().map(|(name, _)| name).filter(|name| !repository.join("metadata").join(name).exists()).collect();
    assert_eq!(stale, ["rekor.json", "revocation.json", "staging.json"]);
}

// ---------------------------------------------------------------------------------------------------------------
// Roots that are refused, or only look as if they should be

fn begin(path: &Path) -> Result<ExpectRoot, Refusal> {
    ExpectRoot::begin(&read(path), at("2026-08-22T00:00:00Z"))
}

fn standings(refusal: Refusal) -> Vec<Standing> {
    match refusal {
        Refusal::TooFewSignatures { tally, .. } => tally.lines.iter().map(|line| line.standing).collect(),
        other => panic!("{other}"),
    }
}

/// The file of 2020-07-18 carries a signature that is not one over its content.
#[test]
fn bottlerockets_first_root_does_not_verify_itself() {
    let Some(path) = realdata::path("tuf/bottlerocket-early/1.root.2020-07-18.cd618d1f.json") else { return };
    let refusal = begin(&path).unwrap_err();
    assert_snapshot!(refusal, @"root is signed by 0 of the 1 key it needs");
    assert_eq!(standings(refusal), [Standing::Invalid]);
}

/// A pinned root may have expired (TUF specification section 5.3.10): a newer one may follow. Where none does, the
/// update ends.
#[test]
fn expired_roots_are_pinned_but_end_the_update() {
    for (file, message) in [
        ("bottlerocket-early/expired-root.json", "root v1 expired at 1970-01-01T00:00:00Z"),
        ("datadog-remote-config/prod.config.1.root.json", "root v1 expired at 1970-01-01T00:00:00Z"),
        ("tough-fixtures/expired-root-json-signature/root.json", "root v1 expired at 1970-03-30T03:30:30Z"),
    ] {
        let Some(path) = realdata::path(&format!("tuf/{file}")) else { return };
        let root = begin(&path).unwrap();
        assert_eq!(root.trusted().version.get(), 1);
        let refusal = root.finish().unwrap_err();
        assert_eq!(refusal.to_string(), format!("{message}; the time taken is 2026-08-22T00:00:00Z"));
    }
}

fn fixture(name: &str) -> Option<PathBuf> {
    realdata::path(&format!("tuf/tough-fixtures/{name}")).map(|path| path.canonicalize().unwrap())
}

#[test]
fn a_plain_rsa_root_is_taken() {
    let Some(path) = fixture("simple-rsa/root.json") else { return };
    begin(&path).unwrap().finish().unwrap();
}

/// Two members of one name: each reader would be free to see another key.
#[test]
fn a_root_that_lists_a_keyid_twice_is_refused() {
    let Some(path) = fixture("duplicate-keyid/root.json") else { return };
    let message = begin(&path).unwrap_err().to_string();
    let keyid = "8ec3a843a0f9328c863cac4046ab1cacbbc67888476ac7acf73d9bcd9a223ada";
    assert_snapshot!(
        message.replace(keyid, "8ec3a843"),
        @"root is malformed: the key `8ec3a843` stands twice in the object that ends at byte 1912"
    );
}

/// One signature given twice, or two signatures by one key (RSA-PSS signatures differ each time): for a threshold
/// of two keys neither may count as two. The specification refuses the whole document (section 4.2.1).
#[test]
fn a_root_that_one_key_signs_twice_is_refused() {
    for name in ["duplicate-sigs/root.json", "duplicate-sig-keys/root.json"] {
        let Some(path) = fixture(name) else { return };
        assert_eq!(begin(&path).unwrap_err().to_string(), "root is malformed: signatures: keyid 8ec3a843 signs twice");
    }
}

#[test]
fn a_root_with_an_invalid_signature_is_refused() {
    let Some(path) = fixture("invalid-root-json-signature/root.json") else { return };
    assert_eq!(standings(begin(&path).unwrap_err()), [Standing::Invalid]);
}

/// `cross-sign-root` is the same case: it is an unsigned draft, input for a tool that adds signatures.
#[test]
fn a_root_without_signatures_is_refused() {
    for name in ["no-root-json-signatures/root.json", "cross-sign-root/1.root.json"] {
        let Some(path) = fixture(name) else { return };
        assert_eq!(standings(begin(&path).unwrap_err()), [Standing::Missing], "{name}");
    }
}

/// Keyids are opaque here, so it is not the mismatch as such that refuses this file: its root role names a keyid
/// for which the document gives no key, and the signature that it does carry is by a key outside the role.
#[test]
fn a_root_whose_role_names_an_unknown_keyid_is_refused() {
    let Some(path) = fixture("mismatched-root-json-keyids/root.json") else { return };
    let refusal = begin(&path).unwrap_err();
    let Refusal::TooFewSignatures { tally, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!((tally.counted, tally.needed, tally.foreign), (0, 1, 1));
    assert_eq!(standings(refusal), [Standing::Unknown]);
}

/// ECDSA keys as hex of the point, as PEM under the old key type, and as PEM under the current one: roots 2, 5 and
/// 9 of Sigstore. The third was written by another tool, with the same content.
#[test]
fn ecdsa_keys_are_read_in_every_spelling_that_was_published() {
    for (name, version, counted) in [
        ("hex-encoded-ecdsa-sig-keys/root.json", 2, 5),
        ("pem-encoded-ecdsa-sig-keys/root.json", 5, 4),
        ("ecdsa-new-type-sig-keys/root.json", 9, 5),
    ] {
        let Some(path) = fixture(name) else { return };
        let state = begin(&path).unwrap();
        assert_eq!(state.trusted().version.get(), version);
        let envelope = Envelope::parse(&read(&path)).unwrap();
        let tally = tally(&envelope, Authority::of_root(state.trusted(), &RoleName::Root).unwrap());
        assert_eq!((tally.counted, tally.needed), (counted, 3), "{name}");
    }
}

// ---------------------------------------------------------------------------------------------------------------
// tough's repositories, over file URLs

struct Repository {
    root: Vec<u8>,
    metadata: PathBuf,
    targets: PathBuf,
    cache: tempfile::TempDir,
}

impl Repository {
    fn new(root: PathBuf, metadata: PathBuf, targets: PathBuf) -> Self {
        Self { root: read(root), metadata, targets, cache: tempfile::tempdir().unwrap() }
    }

    fn updater(&self, time: &str) -> Updater {
        let url = |path: &Path| SafeUrl::from_file_path(path).unwrap();
        let settings = UpdaterSettings::new(url(&self.metadata), url(&self.targets));
        let cache = LocalCache::new(self.cache.path(), CacheMode::ReadWrite);
        let anchor = TrustAnchor::Pinned(self.root.clone());
        Updater::new(anchor, settings, cache, Arc::new(FileFetcher), at(time)).unwrap()
    }
}

fn tough_repository(name: &str) -> Option<Repository> {
    let directory = fixture(name)?;
    let metadata = directory.join("metadata");
    Some(Repository::new(metadata.join("1.root.json"), metadata, directory.join("targets")))
}

async fn download(updater: &mut Updater, path: &str) -> Vec<u8> {
    let target = updater.find(&TargetPath::new(path).unwrap()).await.unwrap().unwrap();
    updater.target_bytes(&target, None).await.unwrap()
}

#[tokio::test]
async fn consistent_snapshots_are_followed() {
    let Some(repository) = tough_repository("consistent-snapshots") else { return };
    let mut updater = repository.updater("2026-08-22T00:00:00Z");
    for name in ["data1.txt", "data2.txt"] {
        let bytes = download(&mut updater, name).await;
        let hash = hex::encode(sha256(&bytes));
        assert_eq!(bytes, read(repository.targets.join(format!("{hash}.{name}"))));
    }
}

/// Ed25519 and RSA keys side by side, keyids with `keyid_hash_algorithms` inside, SHA-512 beside SHA-256, a chain
/// of delegations.
#[tokio::test]
async fn the_reference_implementations_repository_is_followed() {
    let Some(repository) = tough_repository("tuf-reference-impl") else { return };
    let mut updater = repository.updater("2026-08-22T00:00:00Z");
    for name in ["file1.txt", "file2.txt", "file3.txt"] {
        assert_eq!(download(&mut updater, name).await, read(repository.targets.join(name)));
    }
    let found = updater.find(&TargetPath::new("file3.txt").unwrap()).await.unwrap().unwrap();
    assert_eq!(found.role.as_str(), "role1");
}

/// Root 1 expired in 1998, and a root without keys in common with it follows.
#[tokio::test]
async fn a_rotated_root_takes_over_from_an_expired_one() {
    let Some(directory) = fixture("rotated-root") else { return };
    let repository = Repository::new(directory.join("1.root.json"), directory.clone(), directory);
    let mut updater = repository.updater("2026-08-22T00:00:00Z");
    let trusted = updater.refresh().await.unwrap();
    assert_eq!(trusted.root().version, Version::new(2).unwrap());
    assert_eq!(trusted.targets().count(), 0);
    let old: Root = unverified(&repository.root);
    let common: Vec<&KeyId> = trusted.root().keys.keys().filter(|keyid| old.keys.contains_key(*keyid)).collect();
    assert!(common.is_empty());
}

#[tokio::test]
async fn an_expired_timestamp_is_refused_and_good_the_day_before() {
    let Some(repository) = tough_repository("expired-repository") else { return };
    let error = repository.updater("2026-08-22T00:00:00Z").refresh().await.unwrap_err();
    assert_snapshot!(
        error,
        @"timestamp v1589485578 expired at 1999-01-01T00:00:00Z; the time taken is 2026-08-22T00:00:00Z"
    );
    let mut before = repository.updater("1998-12-31T00:00:00Z");
    assert_eq!(before.refresh().await.unwrap().targets().version.get(), 1_589_485_578);
}

/// Role names with slashes, dots, spaces, runes and beer are names: of roles, and of files, percent-encoded.
#[tokio::test]
async fn a_dubious_role_name_is_one_file_name() {
    let Some(repository) = tough_repository("dubious-role-names") else { return };
    let mut updater = repository.updater("2026-08-22T00:00:00Z");
    // All three are delegated `foo` and none has it, so all three are asked.
    assert!(updater.find(&TargetPath::new("foo").unwrap()).await.unwrap().is_none());
    let kept: Vec<_> = updater.kept().iter().skip(3).map(|(role, version)| (role.as_str(), version.get())).collect();
    assert_eq!(
        kept,
        [("../../path/like/dubious", 3), ("\u{1f37a}/30", 3), ("ᚩ os, ᚱ rad, ᚳ cen, ᚷ gyfu, ᚹ ƿynn, ᚻ hægl, ...", 3)]
    );
    for name in ["1.txt", "2.txt"] {
        assert_eq!(download(&mut updater, name).await, read(repository.targets.join(name)));
    }
}

/// Target names with `..` inside: the metadata is good, the names are not target paths, so nobody can ask for them.
#[tokio::test]
async fn target_names_with_dots_load_but_are_no_target_paths() {
    let Some(repository) = tough_repository("safe-target-paths") else { return };
    let mut updater = repository.updater("2026-08-22T00:00:00Z");
    let trusted = updater.refresh().await.unwrap();
    let names: Vec<_> = trusted.targets().iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["foo/../bar/../baz/../data1.txt", "foo/bar/baz/../data2.txt"]);
    for name in names {
        assert!(TargetPath::new(name).is_err());
    }
    // The names that they would be without the dots are other names, which nobody has signed.
    for name in ["data1.txt", "foo/bar/data2.txt", "delegated/subdir/data3.txt"] {
        assert!(updater.find(&TargetPath::new(name).unwrap()).await.unwrap().is_none(), "{name}");
    }
    let delegated: Targets = unverified(&read(repository.metadata.join("delegated.json")));
    let names: Vec<_> = delegated.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["../delegated/foo/../subdir/data3.txt"]);
}
