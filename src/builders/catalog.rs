//! The catalog: which namespace may vouch for which IDs, through which role, up to which level.
//!
//! Top-level `targets` signs it. Whatever restricts is read in its strictest sense: an unknown field refuses the whole
//! catalog, and what is absent grants nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use super::document::{self, DocumentError, Extensions, MAX_DOCUMENT_BYTES, PeriodJson, Revocation};
use super::{BuildLevel, BuilderId, IdGrant, Namespace, Proof, Realm, ResourceGrant, ValidFor};
use crate::input;
use crate::metadata::Version;

/// The media type of the catalog.
pub const CATALOG_MEDIA_TYPE: &str = "application/vnd.trustroot.catalog.v1+json";
/// Most namespaces of a catalog.
pub const MAX_NAMESPACES: usize = 4096;
/// Most grants, caps or realms of one namespace, each kind on its own.
pub const MAX_GRANTS: usize = 256;
/// Most denials of a catalog.
pub const MAX_DENIALS: usize = 4096;

/// Which namespace may vouch for what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Catalog {
    /// The namespaces by name.
    pub namespaces: BTreeMap<Namespace, NamespaceEntry>,
    /// What is not to be believed, whatever a namespace says.
    pub denials: Vec<(Denied, Revocation)>,
}

/// What the catalog says about one namespace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NamespaceEntry {
    /// The delegated role that answers for its documents; called like the namespace.
    pub role: String,
    /// The oldest version of that role's metadata that may still answer.
    pub min_version: Version,
    /// What it may vouch for.
    pub grants: Grants,
    /// The levels that it may grant, each in its time. Without one, none.
    pub caps: Vec<Cap>,
    /// The Sigstore realms that its builders may use.
    pub sigstore_realms: BTreeSet<Realm>,
    /// The realms whose logs may prove when its builders signed.
    pub time_authorities: BTreeSet<Realm>,
    /// What a signature with a certificate needs, at least.
    pub least_proof: Proof,
}

/// What a namespace may vouch for, each kind on its own.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Grants {
    /// Builder IDs.
    pub builders: Vec<IdGrant>,
    /// Verifier IDs.
    pub verifiers: Vec<IdGrant>,
    /// Resources that its verifiers may speak about.
    pub resources: Vec<ResourceGrant>,
    /// Packages that its policies and verifiers may speak about.
    pub packages: Vec<ResourceGrant>,
}

/// The highest level that a namespace may grant in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cap {
    /// The level.
    pub level: BuildLevel,
    /// When.
    pub valid_for: ValidFor,
}

/// What a denial is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "an unknown kind of denial refuses the catalog")]
pub enum Denied {
    /// A builder, with any ref.
    Builder(BuilderId),
    /// A verifier.
    Verifier(BuilderId),
    /// A key, by the SHA-256 of its canonical SubjectPublicKeyInfo.
    Key([u8; 32]),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builder(id) => write!(f, "the builder {id}"),
            Self::Verifier(id) => write!(f, "the verifier {id}"),
            Self::Key(digest) => write!(f, "the key {}", hex::encode(digest)),
        }
    }
}

impl Catalog {
    /// Reads a catalog.
    ///
    /// # Errors
    /// When it is too large, has a field that we do not know outside `extensions`, one that holds what it may not, or
    /// grants one thing twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let json: CatalogJson = input::read(bytes, MAX_DOCUMENT_BYTES)?;
        document::media_type(&json.media_type, CATALOG_MEDIA_TYPE)?;
        input::at_most("namespaces", json.namespaces.len(), MAX_NAMESPACES)?;
        input::at_most("denials", json.denials.len(), MAX_DENIALS)?;
        let mut namespaces = BTreeMap::new();
        for (name, json) in json.namespaces {
            let namespace = Namespace::parse(&name).map_err(|error| DocumentError::invalid("namespaces", error))?;
            let entry = json.read(&namespace)?;
            namespaces.insert(namespace, entry);
        }
        let denials = json.denials.into_iter().enumerate().map(|(index, json)| json.read(&format!("denials[{index}]")));
        let catalog = Self { denials: denials.collect::<Result<_, _>>()?, namespaces };
        catalog.refuse_duplicates()?;
        Ok(catalog)
    }

    /// The namespace that may vouch for a builder: the one with the longest grant that covers the ID.
    pub fn owner_of_builder(&self, id: &BuilderId) -> Option<(&Namespace, &NamespaceEntry)> {
        self.owner(|grants| longest(&grants.builders, |grant| grant.covers(id), IdGrant::as_str))
    }

    /// The namespace that may vouch for a verifier.
    pub fn owner_of_verifier(&self, id: &BuilderId) -> Option<(&Namespace, &NamespaceEntry)> {
        self.owner(|grants| longest(&grants.verifiers, |grant| grant.covers(id), IdGrant::as_str))
    }

    /// The namespace whose verifiers may speak about a resource, by its grants of resources.
    pub fn owner_of_resource(&self, resource: &str) -> Option<(&Namespace, &NamespaceEntry)> {
        self.owner(|grants| longest(&grants.resources, |grant| grant.covers(resource), ResourceGrant::as_str))
    }

    /// The namespace that may speak about a package, by its grants of packages.
    pub fn owner_of_package(&self, package: &str) -> Option<(&Namespace, &NamespaceEntry)> {
        self.owner(|grants| longest(&grants.packages, |grant| grant.covers(package), ResourceGrant::as_str))
    }

    fn owner(&self, length: impl Fn(&Grants) -> Option<usize>) -> Option<(&Namespace, &NamespaceEntry)> {
        let granted = self.namespaces.iter().filter_map(|owner| Some((length(&owner.1.grants)?, owner)));
        // No grant stands twice, so the longest is one.
        granted.max_by_key(|(length, _)| *length).map(|(_, owner)| owner)
    }

    /// The denials that apply to a builder ID: of it, or of the ID before its ref.
    pub fn denials_of_builder<'a>(&'a self, id: &'a BuilderId) -> impl Iterator<Item = &'a Revocation> {
        self.denials.iter().filter_map(move |(denied, revocation)| match denied {
            Denied::Builder(denied) if id.is_or_refines(denied) => Some(revocation),
            _ => None,
        })
    }

    /// The denials that apply to a verifier ID.
    pub fn denials_of_verifier<'a>(&'a self, id: &'a BuilderId) -> impl Iterator<Item = &'a Revocation> {
        self.denials.iter().filter_map(move |(denied, revocation)| match denied {
            Denied::Verifier(denied) if id.is_or_refines(denied) => Some(revocation),
            _ => None,
        })
    }

    /// The denials of keys, by the SHA-256 of their canonical SubjectPublicKeyInfo.
    pub fn denied_keys(&self) -> impl Iterator<Item = (&[u8; 32], &Revocation)> {
        self.denials.iter().filter_map(|(denied, revocation)| match denied {
            Denied::Key(digest) => Some((digest, revocation)),
            _ => None,
        })
    }

    /// A thing that is granted twice belongs to nobody, and who would win must not depend on an order.
    fn refuse_duplicates(&self) -> Result<(), DocumentError> {
        let mut seen = BTreeSet::new();
        for entry in self.namespaces.values() {
            let Grants { builders, verifiers, resources, packages } = &entry.grants;
            let grants = builders
                .iter()
                .map(|grant| ("builders", grant.as_str()))
                .chain(verifiers.iter().map(|grant| ("verifiers", grant.as_str())))
                .chain(resources.iter().map(|grant| ("resources", grant.as_str())))
                .chain(packages.iter().map(|grant| ("packages", grant.as_str())));
            for (kind, grant) in grants {
                if !seen.insert((kind, grant)) {
                    return Err(DocumentError::invalid("grants", format!("`{grant}` is granted twice in {kind}")));
                }
            }
        }
        Ok(())
    }
}

fn longest<G>(grants: &[G], covers: impl Fn(&G) -> bool, text: impl Fn(&G) -> &str) -> Option<usize> {
    grants.iter().filter(|grant| covers(grant)).map(|grant| text(grant).len()).max()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CatalogJson {
    media_type: String,
    namespaces: BTreeMap<String, NamespaceJson>,
    #[serde(default)]
    denials: Vec<DenialJson>,
    #[serde(rename = "extensions")]
    _extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamespaceJson {
    role: String,
    min_version: u64,
    grants: GrantsJson,
    #[serde(default)]
    caps: Vec<CapJson>,
    #[serde(default)]
    sigstore_realms: Vec<String>,
    #[serde(default)]
    time_authorities: Vec<String>,
    least_proof: Option<Proof>,
    #[serde(rename = "extensions")]
    _extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsJson {
    #[serde(default)]
    builders: Vec<String>,
    #[serde(default)]
    verifiers: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    packages: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CapJson {
    level: String,
    valid_for: PeriodJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DenialJson {
    builder_id: Option<String>,
    verifier_id: Option<String>,
    key_sha256: Option<String>,
    reason: String,
    distrust_from: Option<String>,
}

impl NamespaceJson {
    fn read(self, namespace: &Namespace) -> Result<NamespaceEntry, DocumentError> {
        let at = |field: &str| format!("namespaces.{namespace}.{field}");
        if self.role != namespace.as_str() {
            return Err(DocumentError::invalid(at("role"), format!("`{}` is not called `{namespace}`", self.role)));
        }
        let min_version = Version::new(self.min_version)
            .ok_or_else(|| DocumentError::invalid(at("minVersion"), "versions start at 1"))?;
        let GrantsJson { builders, verifiers, resources, packages } = &self.grants;
        let grants = Grants {
            builders: list(&at("grants.builders"), builders, IdGrant::parse)?,
            verifiers: list(&at("grants.verifiers"), verifiers, IdGrant::parse)?,
            resources: list(&at("grants.resources"), resources, ResourceGrant::parse)?,
            packages: list(&at("grants.packages"), packages, ResourceGrant::parse)?,
        };
        input::at_most("caps", self.caps.len(), MAX_GRANTS)?;
        let caps = self.caps.iter().enumerate().map(|(index, cap)| cap.read(&at(&format!("caps[{index}]"))));
        Ok(NamespaceEntry {
            role: self.role,
            min_version,
            grants,
            caps: caps.collect::<Result<_, _>>()?,
            sigstore_realms: list(&at("sigstoreRealms"), &self.sigstore_realms, Realm::parse)?.into_iter().collect(),
            time_authorities: list(&at("timeAuthorities"), &self.time_authorities, Realm::parse)?.into_iter().collect(),
            least_proof: self.least_proof.unwrap_or(Proof { sct: 1, tlog: 1, tsa: 0 }),
        })
    }
}

fn list<T, E: fmt::Display>(
    at: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, DocumentError> {
    input::at_most("entries of one list", texts.len(), MAX_GRANTS)?;
    texts.iter().map(|text| parse(text).map_err(|error| DocumentError::invalid(at, error))).collect()
}

impl CapJson {
    fn read(&self, at: &str) -> Result<Cap, DocumentError> {
        // A cap of a level that we do not know could be lower than any that we do: not even skipping it is safe.
        let level = BuildLevel::from_document(&self.level)
            .ok_or_else(|| DocumentError::invalid(at, format!("`{}` is not a Build level", self.level)))?;
        Ok(Cap { level, valid_for: self.valid_for.read(at)? })
    }
}

impl DenialJson {
    fn read(self, at: &str) -> Result<(Denied, Revocation), DocumentError> {
        let id = |text: &str| BuilderId::parse(text).map_err(|error| DocumentError::invalid(at, error));
        let denied = match (&self.builder_id, &self.verifier_id, &self.key_sha256) {
            (Some(text), None, None) => Denied::Builder(id(text)?),
            (None, Some(text), None) => Denied::Verifier(id(text)?),
            (None, None, Some(digest)) => {
                let bytes = hex::decode(digest).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
                Denied::Key(bytes.ok_or_else(|| DocumentError::invalid(at, "`keySha256` is not 64 hex digits"))?)
            }
            _ => {
                let problem = "expected exactly one of `builderId`, `verifierId` and `keySha256`";
                return Err(DocumentError::invalid(at, problem));
            }
        };
        document::name(&format!("{at}.reason"), &self.reason)?;
        let distrust_from =
            self.distrust_from.map(|time| document::moment(&format!("{at}.distrustFrom"), &time)).transpose()?;
        Ok((denied, Revocation { reason: self.reason, distrust_from }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::builders::testing;

    fn parse(json: &Value) -> Result<Catalog, DocumentError> {
        Catalog::parse(json.to_string().as_bytes())
    }

    fn id(text: &str) -> BuilderId {
        BuilderId::parse(text).unwrap()
    }

    #[test]
    fn the_longest_grant_wins() {
        let mut json = testing::catalog();
        json["namespaces"]["inner"] = json!({"role": "inner", "minVersion": 1,
            "grants": {"builders": ["https://oppy.example/slsa/inner/", "https://oppy.example/slsa/b"]}});
        let catalog = parse(&json).unwrap();
        let owner = |text: &str| catalog.owner_of_builder(&id(text)).map(|(owner, _)| owner.as_str());
        assert_eq!(owner("https://oppy.example/slsa/x"), Some("oppy"));
        assert_eq!(owner("https://oppy.example/slsa/inner/x"), Some("inner"));
        assert_eq!(owner("https://oppy.example/slsa/b@refs/tags/v1"), Some("inner"));
        assert_eq!(owner("https://oppy.example/slsa/b2"), Some("oppy"));
        assert_eq!(owner("https://oppy.example/other"), None);
        assert!(catalog.owner_of_verifier(&id("https://oppy.example/slsa/x")).is_none());
    }

    #[test]
    fn what_is_granted_twice_voids_the_catalog() {
        for kind in ["builders", "verifiers", "resources", "packages"] {
            let mut json = testing::catalog();
            json["namespaces"]["oppy"]["grants"][kind] = json!(["https://twice.example/"]);
            json["namespaces"]["evil"] =
                json!({"role": "evil", "minVersion": 1, "grants": {kind: ["https://twice.example/"]}});
            assert!(parse(&json).unwrap_err().to_string().contains("granted twice"), "{kind}");
        }
    }

    #[test]
    fn an_unknown_field_refuses_the_catalog() {
        for pointer in [
            "",
            "/namespaces/oppy",
            "/namespaces/oppy/grants",
            "/namespaces/oppy/caps/0",
            "/namespaces/oppy/leastProof",
            "/namespaces/oppy/caps/0/validFor",
            "/denials/0",
        ] {
            let mut json = testing::catalog();
            json["denials"] = json!([{"builderId": "https://x.example/b", "reason": "x"}]);
            json["namespaces"]["oppy"]["leastProof"] = json!({"tlog": 1, "sct": 1, "tsa": 0});
            parse(&json).unwrap();
            json.pointer_mut(pointer).unwrap()["unless"] = "asked".into();
            assert!(parse(&json).unwrap_err().to_string().contains("unless"), "{pointer}");
        }
        let mut json = testing::catalog();
        json["extensions"] = json!({"unless": 1});
        parse(&json).unwrap();
    }

    #[test]
    fn what_is_absent_grants_nothing() {
        let json = json!({"mediaType": CATALOG_MEDIA_TYPE,
            "namespaces": {"oppy": {"role": "oppy", "minVersion": 1, "grants": {}}}});
        let catalog = parse(&json).unwrap();
        let entry = catalog.namespaces.values().next().unwrap();
        assert_eq!(crate::builders::cap_at(entry, testing::at("2026-01-01T00:00:00Z")), None);
        assert!(entry.time_authorities.is_empty() && entry.sigstore_realms.is_empty());
        assert_eq!(entry.least_proof, Proof { sct: 1, tlog: 1, tsa: 0 });
    }

    #[test]
    fn a_catalog_that_could_mislead_is_refused() {
        for (pointer, value) in [
            ("/namespaces/oppy/role", json!("targets")),
            ("/namespaces/oppy/role", json!("oppy2")),
            ("/namespaces/oppy/minVersion", json!(0)),
            ("/namespaces/oppy/grants/builders/0", json!("https://oppy.example")),
            ("/namespaces/oppy/caps/0/level", json!("SLSA_LEVEL_3")),
            ("/namespaces/oppy/caps/0/validFor/start", json!("soon")),
            ("/namespaces/oppy/timeAuthorities/0", json!("../x")),
            ("/mediaType", json!("application/json")),
        ] {
            let mut json = testing::catalog();
            *json.pointer_mut(pointer).unwrap() = value;
            assert!(parse(&json).is_err(), "{pointer}");
        }
        for denial in [
            json!({"reason": "x"}),
            json!({"builderId": "https://x.example/b", "verifierId": "https://x.example/b", "reason": "x"}),
            json!({"keySha256": "abcd", "reason": "x"}),
            json!({"builderId": "https://x.example/b"}),
        ] {
            let mut json = testing::catalog();
            json["denials"] = json!([denial]);
            assert!(parse(&json).is_err(), "{denial}");
        }
    }

    #[test]
    fn a_denial_of_an_id_covers_its_refs() {
        let mut json = testing::catalog();
        json["denials"] = json!([{"builderId": "https://oppy.example/slsa/b", "reason": "x"}]);
        let catalog = parse(&json).unwrap();
        for (text, denied) in [
            ("https://oppy.example/slsa/b", true),
            ("https://oppy.example/slsa/b@v1", true),
            ("https://oppy.example/slsa/b2", false),
        ] {
            assert_eq!(catalog.denials_of_builder(&id(text)).count(), usize::from(denied), "{text}");
        }
    }
}
