//! Real clients over what would be published: in memory, before anything is written; and over the directory afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{PlannedObject, PublishError, PublishPlan};
use crate::builders::{
    Builder, Namespace, Source, Verifier, builder_against_catalog, catalog_path, verifier_against_catalog,
};
use crate::client::{
    Body, CacheMode, FetchFuture, Fetcher, FileFetcher, LocalCache, LookupError, SafeUrl, TrustAnchor, UpdateError,
    Updater, UpdaterSettings,
};
use crate::crypto::sha256;
use crate::metadata::{Document as _, RoleName, TargetPath, Version};
use crate::repository::SignedState;
use crate::trust::{Refusal, UpdateStart};

/// What the clients did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// Where each client started.
    pub clients: Vec<String>,
    /// How many targets were looked up, downloaded and compared.
    pub targets: usize,
    /// How many builders and verifiers were looked up as a verifier does: those that changed, and where the catalog did, all.
    pub looked_up: usize,
}

/// The directory as it would be, without writing to it.
#[derive(Debug)]
struct Overlay {
    base: SafeUrl,
    objects: BTreeMap<String, Bytes>,
}

impl Fetcher for Overlay {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        let base = format!("{}/", self.base.expose().trim_end_matches('/'));
        let planned = url.expose().strip_prefix(&base).and_then(|name| self.objects.get(name));
        match planned {
            Some(bytes) => Box::pin(std::future::ready(Ok(Body::from_bytes(url.clone(), bytes.clone())))),
            None => FileFetcher.fetch(url),
        }
    }
}

/// Has clients upgrade to the result: one that knows the published state, and one from each root. Unless it is a trial they
/// judge it as clients elsewhere will, and refuse example keys.
pub(super) async fn prove(
    signed: &SignedState,
    destination: &Path,
    objects: &[PlannedObject],
    versions: &[(RoleName, Version)],
    is_trial: bool,
    start: UpdateStart,
) -> Result<Proof, PublishError> {
    let base = directory_url(destination)?;
    let changed = changed_documents(signed, versions, objects)?;
    let objects = objects.iter().map(|object| (object.name.clone(), Bytes::from(object.bytes.clone()))).collect();
    let overlay: Arc<dyn Fetcher> = Arc::new(Overlay { base: base.clone(), objects });
    let mut proof = Proof { clients: Vec::new(), targets: 0, looked_up: 0 };

    let probe = probe(signed);
    let scratch = tempfile::tempdir()?;
    let first = signed.roots().next().map(|(_, bytes)| bytes.to_vec()).unwrap_or_default();
    if destination.join(super::plan::TIMESTAMP).exists() {
        let cache = scratch.path().join("published");
        know_published(&first, &base, &cache, start).await?;
        let from = "the published state".to_owned();
        let updater =
            client(&first, &base, &cache, CacheMode::ReadWrite, Arc::clone(&overlay), (is_trial, start), &from)?;
        upgrade(updater, &from, versions, (None, probe.as_ref()), &changed, &mut proof).await?;
        proof.clients.push(from);
    }
    for (index, (root, bytes)) in signed.roots().enumerate() {
        let from = format!("root {} and nothing else", root.version);
        let cache = scratch.path().join(format!("from-{}", root.version));
        let updater =
            client(bytes, &base, &cache, CacheMode::ReadOnly, Arc::clone(&overlay), (is_trial, start), &from)?;
        // One of them fetches everything; what the others would fetch is the same bytes.
        let everything = (index == 0).then_some(signed);
        upgrade(updater, &from, versions, (everything, probe.as_ref()), &changed, &mut proof).await?;
        proof.clients.push(from);
    }
    Ok(proof)
}

/// A target that every client should find: the catalog, or where there is none any that top-level targets name.
pub(super) fn probe(signed: &SignedState) -> Option<TargetPath> {
    let document = &signed.targets()?.document;
    let catalog = catalog_path();
    let has_catalog = document.find(&catalog).is_ok_and(|found| found.is_some());
    let any = || document.iter().find_map(|(path, _)| TargetPath::new(path).ok());
    if has_catalog { Some(catalog) } else { any() }
}

/// A client that has been kept up to date until now. Where the published state has expired, it was so before.
async fn know_published(first: &[u8], base: &SafeUrl, cache: &Path, start: UpdateStart) -> Result<(), PublishError> {
    let from = "the published state";
    let mut start = start;
    // Each of the four roles may have expired, one before the other.
    for _ in 0..5 {
        let mut updater = client(first, base, cache, CacheMode::ReadWrite, Arc::new(FileFetcher), (true, start), from)?;
        match updater.refresh().await {
            Ok(_) => return Ok(()),
            Err(UpdateError::Refused { refusal, .. }) if matches!(*refusal, Refusal::Expired { .. }) => {
                let Refusal::Expired { expires, .. } = *refusal else { break };
                let Some(before) = expires.time().checked_sub_signed(chrono::Duration::seconds(1)) else { break };
                start = UpdateStart::at(before);
            }
            // A state that clients refuse, as an interrupted rotation leaves it: what they kept of it stays in the cache.
            Err(UpdateError::Refused { .. } | UpdateError::Fetch(_)) => break,
            Err(error) => return Err(refused(from, error)),
        }
    }
    // Nothing more can be learnt from a state that was never good at one time.
    Ok(())
}

fn directory_url(directory: &Path) -> Result<SafeUrl, PublishError> {
    // A path with `..` in it and its URL would not begin alike. What does not exist yet has a parent that may.
    let absolute = match (directory.canonicalize(), directory.parent(), directory.file_name()) {
        (Ok(canonical), _, _) => canonical,
        (_, Some(parent), Some(name)) if parent.is_dir() => parent.canonicalize()?.join(name),
        _ => std::path::absolute(directory)?,
    };
    SafeUrl::from_file_path(&absolute).ok_or_else(|| {
        let message = format!("`{}` cannot be written as a URL", absolute.display());
        std::io::Error::new(std::io::ErrorKind::InvalidInput, message).into()
    })
}

fn client(
    anchor: &[u8],
    base: &SafeUrl,
    cache: &Path,
    mode: CacheMode,
    fetcher: Arc<dyn Fetcher>,
    (is_trial, start): (bool, UpdateStart),
    from: &str,
) -> Result<Updater, PublishError> {
    let mut settings = UpdaterSettings::new(base.clone(), base.below("targets"));
    settings.is_no_trial = !is_trial;
    let cache = LocalCache::new(cache, mode);
    Updater::new(TrustAnchor::Pinned(anchor.to_vec()), settings, cache, fetcher, start)
        .map_err(|error| refused(from, error))
}

fn refused(from: &str, source: UpdateError) -> PublishError {
    PublishError::Refused { from: from.to_owned(), source: Box::new(source) }
}

/// Refreshes, and checks that the versions are the ones meant. With a signed state at hand, every target in it is
/// looked up and downloaded too. Otherwise one target is looked up.
async fn upgrade(
    mut updater: Updater,
    from: &str,
    versions: &[(RoleName, Version)],
    targets: (Option<&SignedState>, Option<&TargetPath>),
    changed: &[Changed],
    proof: &mut Proof,
) -> Result<(), PublishError> {
    let (everything, probe) = targets;
    let not_found = |what: String| PublishError::NotFound { from: from.to_owned(), what };
    let trusted = updater.refresh().await.map_err(|error| refused(from, error))?;
    let seen = [
        (RoleName::Root, trusted.root().version),
        (RoleName::Timestamp, trusted.timestamp().version),
        (RoleName::Snapshot, trusted.snapshot().version),
        (RoleName::Targets, trusted.targets().version()),
    ];
    for (role, version) in versions {
        let found = seen.iter().find(|(known, _)| known == role).map(|(_, version)| *version);
        if found.is_some_and(|found| found != *version) {
            return Err(not_found(format!("{role} {version}")));
        }
    }
    for (role, version) in versions {
        let Some(signed) = everything else { break };
        let Some(document) = signed.role_at(role, *version)? else { continue };
        for (path, _) in document.iter() {
            let Ok(path) = TargetPath::new(&path) else { continue };
            let target = updater.find(&path).await.map_err(|error| refused(from, error))?;
            let target = target.filter(|target| target.role == *role && target.version == *version);
            if target.is_none() && *role != RoleName::Targets && !path.as_str().starts_with("slsa/") {
                // Another role may answer for it first, or this one was not granted it: not so in what is signed here, and
                // as it was in a repository that was taken over.
                continue;
            }
            let target = target.ok_or_else(|| not_found(format!("{path} by {role} {version}")))?;
            updater.target_bytes(&target, None).await.map_err(|error| refused(from, error))?;
            proof.targets += 1;
        }
    }
    proof.looked_up = look_up(&mut updater, from, changed).await?;
    if let (None, Some(probe)) = (everything, probe) {
        let found = updater.find(probe).await.map_err(|error| refused(from, error))?;
        found.ok_or_else(|| not_found(probe.to_string()))?;
    }
    Ok(())
}

/// A document of the builder map that is looked up, since it is new or the catalog is.
#[derive(Debug)]
struct Changed {
    namespace: Namespace,
    /// Where it must be found.
    source: Source,
    entry: MapEntry,
}

#[derive(Debug)]
enum MapEntry {
    Builder(Box<Builder>),
    Verifier(Box<Verifier>),
}

fn changed_documents(
    signed: &SignedState,
    versions: &[(RoleName, Version)],
    objects: &[PlannedObject],
) -> Result<Vec<Changed>, PublishError> {
    let is_new = |path: &TargetPath, bytes: &[u8]| {
        let name = format!("targets/{}", path.url_path(Some(&sha256(bytes))));
        objects.iter().any(|object| object.name == name)
    };
    let catalog = catalog_path();
    let entry = signed.targets().and_then(|targets| targets.document.find(&catalog).ok().flatten());
    let catalog_is_new = match entry {
        Some(entry) => is_new(&catalog, &signed.target(&catalog, &entry)?),
        None => false,
    };
    let mut changed = Vec::new();
    for (role, version) in versions {
        let (Some(document), Ok(namespace)) = (signed.role_at(role, *version)?, Namespace::parse(role.as_str())) else {
            continue;
        };
        for (path, entry) in document.iter() {
            let (Ok(path), Ok(entry)) = (TargetPath::new(&path), entry) else { continue };
            let bytes = signed.target(&path, &entry)?;
            if !catalog_is_new && !is_new(&path, &bytes) {
                continue;
            }
            let builder = Builder::parse(&bytes).ok().map(|builder| MapEntry::Builder(Box::new(builder)));
            let verifier = || Some(MapEntry::Verifier(Box::new(Verifier::parse(&bytes).ok()?)));
            let source = Source { path, role: role.clone(), version: *version };
            let namespace = namespace.clone();
            changed.extend(builder.or_else(verifier).map(|entry| Changed { namespace, source, entry }));
        }
    }
    Ok(changed)
}

/// Looks builders and verifiers up as a verifier of attestations does: through the catalog. Where the catalog no longer
/// lets a namespace speak for one, that is what it is there for.
/// Returns how many it found.
async fn look_up(updater: &mut Updater, from: &str, changed: &[Changed]) -> Result<usize, PublishError> {
    if changed.is_empty() {
        return Ok(0);
    }
    let mut count = 0;
    let failed = |what: String, error: LookupError| match error {
        LookupError::Update(error) => refused(from, error),
        error => PublishError::NotFound { from: from.to_owned(), what: format!("{what}: {error}") },
    };
    let registry = updater.registry().await.map_err(|error| failed("the catalog".to_owned(), error))?;
    let catalog = registry.catalog();
    for Changed { namespace, source, entry } in changed {
        let (id, found) = match entry {
            MapEntry::Builder(builder) if builder_against_catalog(catalog, namespace, builder).0.is_empty() => {
                (&builder.id, updater.look_up::<Builder>(&registry, &builder.id).await.map(|found| found.source))
            }
            MapEntry::Verifier(verifier) if verifier_against_catalog(catalog, namespace, verifier).is_empty() => {
                (&verifier.id, updater.look_up::<Verifier>(&registry, &verifier.id).await.map(|found| found.source))
            }
            _ => continue,
        };
        if found.map_err(|error| failed(id.to_string(), error))? != *source {
            return Err(PublishError::NotFound { from: from.to_owned(), what: format!("{id} as it was signed") });
        }
        count += 1;
    }
    Ok(count)
}

/// Reads back what was published, as any client would.
///
/// # Errors
/// When a client would refuse it, or would see other versions than those planned.
pub async fn audit(plan: &PublishPlan, start: UpdateStart) -> Result<(), PublishError> {
    let scratch = tempfile::tempdir()?;
    let from = "root v1, over what is published";
    let base = directory_url(&plan.destination)?;
    let fetcher = Arc::new(FileFetcher);
    let updater = client(&plan.first_root, &base, scratch.path(), CacheMode::ReadOnly, fetcher, (true, start), from)?;
    upgrade(updater, from, &plan.versions, (None, plan.probe.as_ref()), &[], &mut plan.proof.clone()).await
}
