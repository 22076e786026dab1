//! Rules that no signature may help to break: what has made repositories unusable, and what a namespace may not do.
//!
//! They are judged before anybody signs, when an event is finished, and again before publishing: files may have been edited
//! in between.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{FamilyThresholds, Rehearsal, RepositoryError, SignedState, Witnesses};
use crate::builders::{
    Builder, BuilderId, CATALOG_PATH, Catalog, Namespace, Signer, Status, Verifier, builder_against_catalog,
    builder_path, builder_succession, catalog_path, catalog_succession, namespace_patterns, verifier_against_catalog,
    verifier_path, verifier_succession,
};
use crate::crypto::{KeyFamily, VerifyingKey};
use crate::example_keys::example_key_name;
use crate::metadata::{
    Delegation, DelegationRule, Document, Envelope, Expires, KeyId, PathRule, PublicKey, RoleKeys, RoleName, Root,
    TargetPath, Targets, Unrecognized, Version,
};
use crate::printable::Printable;
use crate::trust::Refusal;

/// A document that is to be signed or published.
#[derive(Debug, Clone)]
pub(crate) struct Offered<'a> {
    pub(crate) role: &'a RoleName,
    pub(crate) version: Version,
    pub(crate) envelope: &'a Envelope,
    /// The file.
    pub(crate) document: &'a [u8],
    /// The files that it names, as far as they are at hand.
    pub(crate) targets: &'a BTreeMap<TargetPath, Vec<u8>>,
    /// Those that are not.
    pub(crate) left_out: Vec<TargetPath>,
    /// Whose keys are refused, where it is rehearsed.
    pub(crate) rehearsal: Option<&'a Rehearsal>,
}

/// When a document is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before it is signed, and when it is finished: at this time.
    Signing(DateTime<Utc>),
    /// Before it is published. What begins then may have begun since it was signed, and the catalog may have changed:
    /// whoever narrows a grant need not wait for the namespace.
    Publishing(DateTime<Utc>),
}

impl Moment {
    fn time(self) -> DateTime<Utc> {
        match self {
            Self::Signing(time) | Self::Publishing(time) => time,
        }
    }

    /// From when on something may begin.
    fn earliest(self) -> DateTime<Utc> {
        match self {
            Self::Signing(time) => time,
            Self::Publishing(_) => DateTime::<Utc>::MIN_UTC,
        }
    }
}

/// Judges a document over the state that it follows.
pub(crate) fn judge(
    offered: &Offered<'_>,
    keys: Keys,
    signed: &SignedState,
    moment: Moment,
) -> Result<Findings, RepositoryError> {
    let (trial, rehearsal) = (keys == Keys::Throwaway, offered.rehearsal);
    let mut problems = Problems { list: Vec::new(), notes: Vec::new(), trial, rehearsal };
    let next = signed.next_version(offered.role)?;
    if offered.version != next && !signed.versions(offered.role)?.contains(&offered.version) {
        problems.add(format!("it would be {}, where {next} follows what is signed", offered.version));
    }
    problems.check_document(offered.role, offered.document);
    problems.check_content(offered.targets);
    match offered.role {
        RoleName::Root => {
            let root: Root = unverified(offered)?;
            problems.check_root(&root, signed);
            problems.check_expiry(&root.expires, moment);
            problems.check_outlives(&root, signed);
        }
        role => {
            let targets: Targets = unverified(offered)?;
            problems.check_expiry(&targets.expires, moment);
            if let Some(root) = signed.root()
                && targets.expires.time() > root.expires.time()
            {
                problems.add(format!("it would be good for longer than the root, which expires on {}", root.expires));
            }
            let before = signed.role(role)?;
            let names =
                |targets: &Targets| targets.iter().filter_map(|(path, _)| TargetPath::new(&path).ok()).collect();
            problems.check_paths(&names(&targets), &before.map(|before| names(&before.document)).unwrap_or_default());
            for path in &offered.left_out {
                // What people read may be known by its digest; what we judge may not.
                if *role != RoleName::Targets || path.as_str().starts_with("slsa/") {
                    problems.add(format!("{path} is proposed, and cannot be judged, since its content is not here"));
                }
            }
            if *role == RoleName::Targets {
                problems.check_catalog(offered, signed, &targets, moment)?;
            } else {
                problems.check_namespace(offered, signed, role, &targets, moment)?;
            }
        }
    }
    Ok(Findings { problems: problems.list, notes: problems.notes })
}

fn unverified<T: Document>(offered: &Offered<'_>) -> Result<T, RepositoryError> {
    let refused = |source| Refusal::Malformed { role: offered.role.clone(), source };
    Ok(offered.envelope.unverified().map_err(refused)?)
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
pub(crate) struct Findings {
    /// Rules that the proposal breaks.
    pub(crate) problems: Vec<String>,
    /// What is allowed, and may not be what was meant.
    pub(crate) notes: Vec<String>,
}

/// The keys that a delegator lists, and those that one role has.
type ListedKeys<'a> = (&'a BTreeMap<KeyId, PublicKey>, &'a RoleKeys);

pub(super) struct Problems<'a> {
    list: Vec<String>,
    notes: Vec<String>,
    trial: bool,
    rehearsal: Option<&'a Rehearsal>,
}

impl Problems<'_> {
    pub(super) fn add(&mut self, problem: impl Into<String>) {
        self.list.push(problem.into());
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn check_expiry(&mut self, expires: &Expires, moment: Moment) {
        let now = moment.time();
        if expires.is_past(now) {
            self.add(format!("it would have expired already, on {expires}"));
        }
        // Whoever signs something good for ever can never take it back.
        if expires.time() - now > chrono::Duration::days(3660) {
            self.add(format!("it would be good until {expires}, more than ten years from now"));
        }
    }

    /// What a root vouches for must not outlive it, nor a namespace the targets that delegate to it.
    fn check_outlives(&mut self, root: &Root, signed: &SignedState) {
        for role in std::iter::once(RoleName::Targets).chain(namespaces_of(signed)) {
            let Ok(Some(document)) = signed.role(&role) else { continue };
            let expires = &document.document.expires;
            if document.current && expires.time() > root.expires.time() {
                self.add(format!(
                    "it would expire before {role} {}, which is good until {expires}",
                    document.version()
                ));
            }
        }
    }

    fn check_root(&mut self, root: &Root, signed: &SignedState) {
        if !root.consistent_snapshot {
            self.add("consistent snapshots would be off, and clients would meet half-published files");
        }
        for role in [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp] {
            let Some(keys) = root.role(&role) else { continue };
            let before = signed.root().and_then(|before| Some((&before.keys, Root::role(before, &role)?)));
            self.check_keys(&role, &root.keys, keys, before);
        }
        let roles = [&root.root, &root.targets, &root.snapshot, &root.timestamp];
        let used = roles.into_iter().flat_map(|role| &role.keyids).collect();
        let before = signed.root().map(|root| root.keys.clone()).unwrap_or_default();
        self.check_key_map(&root.keys, &before, &used);
        self.check_families(&root.unrecognized, &|role| match role {
            "root" => Some((&root.keys, &root.root)),
            "targets" => Some((&root.keys, &root.targets)),
            _ => None,
        });
        self.check_witnesses(root);
    }

    /// Who must witness can be read, is not who signs, and can be met.
    fn check_witnesses(&mut self, root: &Root) {
        let witnesses = match Witnesses::recorded(&root.unrecognized) {
            Ok(Some(witnesses)) => witnesses,
            Ok(None) => return,
            Err(problem) => return self.add(problem),
        };
        let of_roles =
            [&root.root, &root.targets, &root.snapshot, &root.timestamp].into_iter().flat_map(|of| &of.keyids);
        let signs: BTreeSet<Vec<u8>> = of_roles
            .filter_map(|keyid| VerifyingKey::from_metadata(root.keys.get(keyid)?).ok())
            .map(|key| key.canonical_spki().to_vec())
            .collect();
        let physical = witnesses.physical();
        for (spki, listed) in &physical {
            let owner = Printable(listed.owner().unwrap_or("nobody named"));
            if signs.contains(spki) {
                self.add(format!("the witness {owner} has a key that signs a role"));
            }
            if !self.trial
                && let Some(name) = example_key_name(spki)
            {
                self.add(format!("the witness {owner} has the throwaway key `{name}`, whose secret half is public"));
            }
            if self.rehearsal.is_some_and(|rehearsal| rehearsal.refuses(spki)) {
                self.add(format!("the witness {owner} has a key of the real repository, and this is a rehearsal"));
            }
        }
        let only_public =
            |key: &PublicKey| key.to_value()["keyval"].as_object().is_some_and(|keyval| keyval.len() == 1);
        if !witnesses.keys.iter().all(only_public) {
            self.add("a witness's key is listed with more than its public half");
        }
        if witnesses.threshold > physical.len() as u64 {
            let (needed, there) = (witnesses.threshold, physical.len());
            self.add(format!("{needed} witnesses must sign, and {there} usable keys of theirs are listed"));
        }
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
    fn check_keys(
        &mut self,
        role: &RoleName,
        keys: &BTreeMap<KeyId, PublicKey>,
        of: &RoleKeys,
        before: Option<ListedKeys<'_>>,
    ) {
        let mut seen = BTreeSet::new();
        let mut held: BTreeMap<Option<String>, u64> = BTreeMap::new();
        let mut unnamed_is_new = false;
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
            if self.rehearsal.is_some_and(|rehearsal| rehearsal.refuses(key.canonical_spki())) {
                self.add(format!("{role} lists the key {keyid} of the real repository, and this is a rehearsal"));
            }
            let known = before.is_some_and(|(keys, of)| of.keyids.contains(keyid) && keys.get(keyid) == Some(listed));
            unnamed_is_new |= listed.owner().is_none() && !known;
            *held.entry(listed.owner().map(same_name)).or_default() += 1;
        }
        let threshold = of.threshold.get();
        if threshold > seen.len() as u64 {
            self.add(format!("{role} needs {threshold} signatures and has {} usable keys", seen.len()));
        }
        if !matches!(role, RoleName::Root | RoleName::Targets) {
            return;
        }
        // Of keys that came without a name nobody can say whether one person holds several.
        let unnamed = held.remove(&None).unwrap_or_default();
        if held.values().any(|keys| *keys >= threshold) || threshold == 1 || unnamed_is_new && unnamed >= threshold {
            self.add(format!("one person alone could sign {role}"));
        } else if unnamed >= threshold {
            self.note(format!("{unnamed} keys of {role} name nobody: one person alone may hold as many as sign it"));
        }
    }

    /// The catalog, and the delegations that it and they agree on.
    fn check_catalog(
        &mut self,
        offered: &Offered<'_>,
        signed: &SignedState,
        targets: &Targets,
        moment: Moment,
    ) -> Result<(), RepositoryError> {
        let Some(bytes) = offered.targets.get(&catalog_path()) else {
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
        self.list.extend(catalog_succession(old.as_ref(), &catalog, moment.earliest()));

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
        let old_delegations = signed.targets().and_then(|before| before.document.delegations.clone());
        let used = delegations.iter().flat_map(|delegation| &delegation.keys.keyids).collect();
        let keys_before = old_delegations.as_ref().map(|all| all.keys.clone()).unwrap_or_default();
        self.check_key_map(&keys, &keys_before, &used);
        for role in delegations.iter().map(|delegation| &delegation.role) {
            // What it signed for an earlier delegator counts for nothing here.
            if let Ok(Some(document)) = signed.namespace(role)
                && document.document.expires.time() > targets.expires.time()
            {
                self.note(format!("it would expire before {role} {}, which it vouches for", document.version()));
            }
        }
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
            let before = old_delegations.as_ref().and_then(|all| Some((&all.keys, all.to_role(role.as_str())?)));
            let before = before.as_ref().map(|(keys, delegation)| (*keys, &delegation.keys));
            self.check_keys(role, &keys, &delegation.keys, before);
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
        for path in offered.targets.keys().filter(|path| path.as_str().starts_with("slsa/")) {
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
        offered: &Offered<'_>,
        signed: &SignedState,
        role: &RoleName,
        targets: &Targets,
        moment: Moment,
    ) -> Result<(), RepositoryError> {
        if targets.delegations.is_some() {
            self.add("a namespace does not delegate further");
        }
        if let Some(above) = signed.targets()
            && targets.expires.time() > above.document.expires.time()
        {
            self.note(format!("it would be good for longer than targets, which expire on {}", above.document.expires));
        }
        self.check_families(&targets.unrecognized, &|_| None);
        let (Some(catalog), Ok(namespace)) = (signed_catalog(signed)?, Namespace::parse(role.as_str())) else {
            self.add(format!("{role} has no catalog to answer to"));
            return Ok(());
        };
        let before = signed_files(signed, role)?;
        for (path, bytes) in offered.targets {
            let old = before.get(path);
            if let Ok(builder) = Builder::parse(bytes) {
                if *path != builder_path(&namespace, &builder.id) {
                    self.add(format!("{path} is not the path of the builder {}", builder.id));
                }
                let old = old.and_then(|bytes| Builder::parse(bytes).ok());
                let (problems, notes) = builder_against_catalog(&catalog, &namespace, &builder);
                if matches!(moment, Moment::Signing(_)) {
                    self.list.extend(problems);
                    self.notes.extend(notes);
                }
                self.list.extend(builder_succession(old.as_ref(), &builder, moment.earliest()));
                self.check_signers(&builder.id, &builder.signers);
                continue;
            }
            match Verifier::parse(bytes) {
                Ok(verifier) => {
                    if *path != verifier_path(&namespace, &verifier.id) {
                        self.add(format!("{path} is not the path of the verifier {}", verifier.id));
                    }
                    let old = old.and_then(|bytes| Verifier::parse(bytes).ok());
                    if matches!(moment, Moment::Signing(_)) {
                        self.list.extend(verifier_against_catalog(&catalog, &namespace, &verifier));
                    }
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
        for (path, bytes) in before.iter().filter(|(path, _)| !offered.targets.contains_key(*path)) {
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

/// Whether two names are one, however they are spelled: by the letters that people see.
pub(crate) fn same_name(name: &str) -> String {
    // Forges write `@alice` where others write `alice`.
    let name = name.trim().trim_start_matches('@');
    let skeleton: String = unicode_security::confusable_detection::skeleton(name).collect();
    skeleton.to_lowercase()
}

/// The namespaces that are delegated to.
fn namespaces_of(signed: &SignedState) -> Vec<RoleName> {
    match signed.targets().and_then(|targets| targets.document.delegations.as_ref()).map(|all| &all.rule) {
        Some(DelegationRule::Roles(roles)) => roles.iter().map(|delegation| delegation.role).collect(),
        _ => Vec::new(),
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
fn signed_catalog(signed: &SignedState) -> Result<Option<Catalog>, RepositoryError> {
    let path = catalog_path();
    let Some(targets) = signed.role(&RoleName::Targets)? else { return Ok(None) };
    let Ok(Some(entry)) = targets.document.find(&path) else { return Ok(None) };
    Ok(Catalog::parse(&signed.target(&path, &entry)?).ok())
}

/// The files that a role's last signed version names.
fn signed_files(signed: &SignedState, role: &RoleName) -> Result<BTreeMap<TargetPath, Vec<u8>>, RepositoryError> {
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
