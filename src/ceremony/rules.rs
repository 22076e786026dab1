//! Rules that no signature may help to break: what has made repositories unusable, and what a namespace may not do.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{CeremonyError, SigningEvent};
use crate::builders::{
    Builder, BuilderId, CATALOG_PATH, Catalog, Namespace, Signer, Status, Verifier, builder_against_catalog,
    builder_path, builder_succession, catalog_path, catalog_succession, namespace_patterns, verifier_against_catalog,
    verifier_path, verifier_succession,
};
use crate::crypto::{KeyFamily, VerifyingKey};
use crate::example_keys::example_key_name;
use crate::metadata::{
    Delegation, DelegationRule, KeyId, PathRule, PublicKey, RoleKeys, RoleName, Root, TargetPath, Targets, Unrecognized,
};
use crate::printable::Printable;
use crate::repository::{FamilyThresholds, SignedState};

/// Judges a proposal.
pub(super) fn judge(
    event: &SigningEvent,
    keys: Keys,
    signed: &SignedState,
    now: DateTime<Utc>,
) -> Result<Findings, CeremonyError> {
    let mut problems = Problems { list: Vec::new(), notes: Vec::new(), trial: keys == Keys::Throwaway };
    let next = signed.next_version(&event.role)?;
    if event.version != next && !signed.versions(&event.role)?.contains(&event.version) {
        problems.add(format!("it would be {}, where {next} follows what is signed", event.version));
    }
    match &event.role {
        RoleName::Root => {
            let root: Root = event.envelope.unverified()?;
            problems.check_root(&root);
            problems.check_expiry(&root.expires, now);
        }
        role => {
            let targets: Targets = event.envelope.unverified()?;
            problems.check_expiry(&targets.expires, now);
            if let Some(root) = signed.root()
                && targets.expires.time() > root.expires.time()
            {
                problems.add(format!("it would be good for longer than the root, which expires on {}", root.expires));
            }
            for path in event.left_out() {
                // What people read may be known by its digest; what we judge may not.
                if *role != RoleName::Targets || path.as_str().starts_with("slsa/") {
                    problems.add(format!("{path} is proposed, and cannot be judged, since its content is not here"));
                }
            }
            if *role == RoleName::Targets {
                problems.check_catalog(event, signed, &targets, now)?;
            } else {
                problems.check_namespace(event, signed, role, &targets, now)?;
            }
        }
    }
    Ok(Findings { problems: problems.list, notes: problems.notes })
}

/// Which keys a proposal may list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third kind")]
pub enum Keys {
    /// Keys of people, and nothing else.
    Real,
    /// Those of `keys.example/` too, whose secret halves everybody has: this is a trial.
    Throwaway,
}

/// What was found, one sentence each.
pub(super) struct Findings {
    /// Rules that the proposal breaks.
    pub(super) problems: Vec<String>,
    /// What is allowed, and may not be what was meant.
    pub(super) notes: Vec<String>,
}

/// The keys that a delegator lists, and those that one role has.
type ListedKeys<'a> = (&'a BTreeMap<KeyId, PublicKey>, &'a RoleKeys);

struct Problems {
    list: Vec<String>,
    notes: Vec<String>,
    trial: bool,
}

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.list.push(problem.into());
    }

    fn check_expiry(&mut self, expires: &crate::metadata::Expires, now: DateTime<Utc>) {
        if expires.is_past(now) {
            self.add(format!("it would have expired already, on {expires}"));
        }
        // Whoever signs something good for ever can never take it back.
        if expires.time() - now > chrono::Duration::days(3660) {
            self.add(format!("it would be good until {expires}, more than ten years from now"));
        }
    }

    fn check_root(&mut self, root: &Root) {
        if !root.consistent_snapshot {
            self.add("consistent snapshots would be off, and clients would meet half-published files");
        }
        for role in [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp] {
            let Some(keys) = root.role(&role) else { continue };
            self.check_keys(&role, &root.keys, keys);
        }
        self.check_families(&root.unrecognized, &|role| match role {
            "root" => Some((&root.keys, &root.root)),
            "targets" => Some((&root.keys, &root.targets)),
            _ => None,
        });
    }

    /// What is asked of families of keys can be read, is about roles that are signed in ceremonies, and can be met.
    fn check_families<'a>(&mut self, unrecognized: &Unrecognized, keys_of: &dyn Fn(&str) -> Option<ListedKeys<'a>>) {
        let recorded = match FamilyThresholds::recorded(unrecognized) {
            Ok(recorded) => recorded,
            Err(problem) => return self.add(problem),
        };
        for (role, asked) in recorded {
            let Some((keys, of)) = keys_of(&role) else {
                self.add(format!(
                    "keys of families are asked for {}, for which they are not counted",
                    Printable(&role)
                ));
                continue;
            };
            let listed = of.keyids.iter().filter_map(|keyid| VerifyingKey::from_metadata(keys.get(keyid)?).ok());
            let listed: BTreeMap<Vec<u8>, KeyFamily> =
                listed.map(|key| (key.canonical_spki().to_vec(), key.family())).collect();
            for family in KeyFamily::ALL {
                let there = listed.values().filter(|of| **of == family).count();
                let needed = asked.of(family);
                if needed > there as u64 {
                    self.add(format!("{} needs {needed} {family} keys and lists {there}", Printable(&role)));
                }
            }
        }
    }

    /// One physical key once, a threshold that can be met, and for root and targets more than one person.
    fn check_keys(&mut self, role: &RoleName, keys: &BTreeMap<KeyId, PublicKey>, of: &RoleKeys) {
        let mut seen = BTreeSet::new();
        let mut held: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        for keyid in &of.keyids {
            let Some(listed) = keys.get(keyid) else {
                self.add(format!("{role} lists the keyid {keyid} without its key"));
                continue;
            };
            let key = match VerifyingKey::from_metadata(listed) {
                Ok(key) => key,
                Err(problem) => {
                    self.add(format!("{role} lists the key {keyid}, which cannot be used: {problem}"));
                    continue;
                }
            };
            if !seen.insert(key.canonical_spki().to_vec()) {
                self.add(format!("{role} lists one physical key twice, the second time as {keyid}"));
            }
            if !self.trial
                && let Some(name) = example_key_name(key.canonical_spki())
            {
                self.add(format!("{role} lists the throwaway key `{name}`, whose secret half is public"));
            }
            if listed.to_value()["keyval"].as_object().is_none_or(|keyval| keyval.len() != 1) {
                self.add(format!("{role} lists the key {keyid} with more than its public half"));
            }
            *held.entry(listed.owner()).or_default() += 1;
        }
        let threshold = of.threshold.get();
        if threshold > seen.len() as u64 {
            self.add(format!("{role} needs {threshold} signatures and has {} usable keys", seen.len()));
        }
        let single = held.values().any(|keys| *keys >= threshold);
        if single && matches!(role, RoleName::Root | RoleName::Targets) {
            self.add(format!("one person alone could sign {role}"));
        }
    }

    /// The catalog, and the delegations that it and they agree on.
    fn check_catalog(
        &mut self,
        event: &SigningEvent,
        signed: &SignedState,
        targets: &Targets,
        now: DateTime<Utc>,
    ) -> Result<(), CeremonyError> {
        let Some(bytes) = event.targets.get(&catalog_path()) else {
            self.add(format!("there is no {CATALOG_PATH}"));
            return Ok(());
        };
        let catalog = match Catalog::parse(bytes) {
            Ok(catalog) => catalog,
            Err(error) => {
                self.add(format!("the catalog would be refused: {error}"));
                return Ok(());
            }
        };
        let old = signed_catalog(signed)?;
        self.list.extend(catalog_succession(old.as_ref(), &catalog, now));

        let delegations: Vec<Delegation> = match targets.delegations.as_ref().map(|all| &all.rule) {
            Some(DelegationRule::Roles(roles)) => roles.iter().collect(),
            Some(DelegationRule::Bins(_)) => {
                self.add("top-level targets would delegate to bins, which no namespace is");
                Vec::new()
            }
            None => Vec::new(),
        };
        let keys = targets.delegations.as_ref().map(|all| all.keys.clone()).unwrap_or_default();
        self.check_shared_keys(signed, &keys, &delegations);
        self.check_families(&targets.unrecognized, &|role| {
            let delegation = delegations.iter().find(|delegation| delegation.role.as_str() == role)?;
            Some((&keys, &delegation.keys))
        });
        for gone in
            old.iter().flat_map(|old| old.namespaces.keys()).filter(|name| !catalog.namespaces.contains_key(*name))
        {
            let role = RoleName::Delegated(gone.as_str().into());
            for bytes in signed_files(signed, &role)?.values() {
                if let Some(id) = revocations(bytes) {
                    self.add(format!("the namespace {gone} would go, and with it revoked keys of {id}"));
                }
            }
        }
        let namespaces: BTreeSet<String> = catalog.namespaces.keys().map(|name| name.as_str().to_owned()).collect();
        for delegation in &delegations {
            let role = &delegation.role;
            self.check_keys(role, &keys, &delegation.keys);
            let Ok(namespace) = Namespace::parse(role.as_str()) else {
                self.add(format!("{role} is delegated to, and is not the name of a namespace"));
                continue;
            };
            if !namespaces.contains(role.as_str()) {
                self.add(format!("{role} is delegated to, and not in the catalog"));
            }
            if !delegation.terminating {
                self.add(format!("the delegation to {role} does not end the search"));
            }
            let wanted: BTreeSet<String> = namespace_patterns(&namespace).into();
            let exact = match &delegation.paths {
                PathRule::Patterns(patterns) => patterns.iter().cloned().collect::<BTreeSet<_>>() == wanted,
                PathRule::HashPrefixes(_) => false,
            };
            if !exact {
                self.add(format!("the delegation to {role} is for other paths than its own"));
            }
        }
        for namespace in namespaces.iter().filter(|name| !delegations.iter().any(|role| role.role.as_str() == **name)) {
            self.add(format!("the namespace {namespace} is in the catalog, and not delegated to"));
        }
        for path in event.targets.keys().filter(|path| path.as_str().starts_with("slsa/")) {
            if *path != catalog_path() {
                self.add(format!("{path} belongs to a namespace or an online role, not to top-level targets"));
            }
        }
        Ok(())
    }

    /// One physical key signs for one role that names targets: their documents look alike, so what it signed for one
    /// would be good for the other.
    fn check_shared_keys(
        &mut self,
        signed: &SignedState,
        keys: &BTreeMap<KeyId, PublicKey>,
        delegations: &[Delegation],
    ) {
        let spki = |keys: &BTreeMap<KeyId, PublicKey>, keyid: &KeyId| {
            let key = VerifyingKey::from_metadata(keys.get(keyid)?).ok()?;
            Some(key.canonical_spki().to_vec())
        };
        let mut users: BTreeMap<Vec<u8>, RoleName> = BTreeMap::new();
        if let Some(root) = signed.root() {
            for key in root.targets.keyids.iter().filter_map(|keyid| spki(&root.keys, keyid)) {
                users.insert(key, RoleName::Targets);
            }
        }
        for delegation in delegations {
            for key in delegation.keys.keyids.iter().filter_map(|keyid| spki(keys, keyid)) {
                let other = users.entry(key).or_insert_with(|| delegation.role.clone()).clone();
                if other != delegation.role {
                    let role = &delegation.role;
                    self.add(format!(
                        "one key would sign for {other} and for {role}: a document of one is one of the other"
                    ));
                }
            }
        }
    }

    /// The documents of a namespace, against the catalog that is signed.
    fn check_namespace(
        &mut self,
        event: &SigningEvent,
        signed: &SignedState,
        role: &RoleName,
        targets: &Targets,
        now: DateTime<Utc>,
    ) -> Result<(), CeremonyError> {
        if targets.delegations.is_some() {
            self.add("a namespace does not delegate further");
        }
        self.check_families(&targets.unrecognized, &|_| None);
        let (Some(catalog), Ok(namespace)) = (signed_catalog(signed)?, Namespace::parse(role.as_str())) else {
            self.add(format!("{role} has no catalog to answer to"));
            return Ok(());
        };
        let before = signed_files(signed, role)?;
        for (path, bytes) in &event.targets {
            let old = before.get(path);
            if let Ok(builder) = Builder::parse(bytes) {
                if *path != builder_path(&namespace, &builder.id) {
                    self.add(format!("{path} is not the path of the builder {}", builder.id));
                }
                let old = old.and_then(|bytes| Builder::parse(bytes).ok());
                let (problems, notes) = builder_against_catalog(&catalog, &namespace, &builder);
                self.list.extend(problems);
                self.notes.extend(notes);
                self.list.extend(builder_succession(old.as_ref(), &builder, now));
                self.check_signers(&builder.id, &builder.signers);
                continue;
            }
            match Verifier::parse(bytes) {
                Ok(verifier) => {
                    if *path != verifier_path(&namespace, &verifier.id) {
                        self.add(format!("{path} is not the path of the verifier {}", verifier.id));
                    }
                    let old = old.and_then(|bytes| Verifier::parse(bytes).ok());
                    self.list.extend(verifier_against_catalog(&catalog, &namespace, &verifier));
                    self.list.extend(verifier_succession(old.as_ref(), &verifier));
                    self.check_signers(&verifier.id, &verifier.signers);
                }
                Err(_) => {
                    // Of the two readings, the builder's is the likelier to have been meant.
                    let why = Builder::parse(bytes).err().map(|error| error.to_string()).unwrap_or_default();
                    self.add(format!("{path} would be refused: {why}"));
                }
            }
        }
        for (path, bytes) in before.iter().filter(|(path, _)| !event.targets.contains_key(*path)) {
            if let Some(id) = revocations(bytes) {
                self.add(format!("{path} would go, and with it revoked keys of {id}: retire it instead"));
            }
        }
        Ok(())
    }

    fn check_signers(&mut self, id: &BuilderId, signers: &[Signer]) {
        if self.trial {
            return;
        }
        for spki in signers.iter().filter_map(|signer| signer.key_identity.as_deref()) {
            if let Some(name) = example_key_name(spki) {
                self.add(format!("{} would sign with the throwaway key `{name}`", Printable(id.as_str())));
            }
        }
    }
}

/// The builder or verifier, if its document holds something revoked.
fn revocations(bytes: &[u8]) -> Option<BuilderId> {
    let (id, status, signers) = match (Builder::parse(bytes), Verifier::parse(bytes)) {
        (Ok(builder), _) => (builder.id, builder.status, builder.signers),
        (_, Ok(verifier)) => (verifier.id, verifier.status, verifier.signers),
        _ => return None,
    };
    let revoked = |status: &Status| matches!(status, Status::Revoked(_));
    let any = revoked(&status) || signers.iter().any(|signer| revoked(&signer.status));
    any.then_some(id)
}

/// The catalog that was signed last.
fn signed_catalog(signed: &SignedState) -> Result<Option<Catalog>, CeremonyError> {
    let path = catalog_path();
    let Some(targets) = signed.role(&RoleName::Targets)? else { return Ok(None) };
    let Ok(Some(entry)) = targets.document.find(&path) else { return Ok(None) };
    Ok(Catalog::parse(&signed.target(&path, &entry)?).ok())
}

/// The files that a role's last signed version names.
fn signed_files(signed: &SignedState, role: &RoleName) -> Result<BTreeMap<TargetPath, Vec<u8>>, CeremonyError> {
    let mut files = BTreeMap::new();
    let Some(document) = signed.role(role)? else { return Ok(files) };
    for (path, entry) in document.document.iter() {
        if let (Ok(path), Ok(entry)) = (TargetPath::new(&path), entry) {
            let bytes = signed.target(&path, &entry)?;
            files.insert(path, bytes);
        }
    }
    Ok(files)
}
