//! The root document: which keys speak for which top-level role.

use super::canonical_json::Json;
use super::fields::{self, Fields};
use super::key::{KeyMap, key_map, key_map_json};
use super::{Document, Expires, FormatError, RoleKeys, RoleName, SignedBytes, SpecVersion, Unrecognized, Version};

/// Root metadata (TUF specification section 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Version of the specification.
    pub spec_version: SpecVersion,
    /// Version of this document.
    pub version: Version,
    /// When it expires.
    pub expires: Expires,
    /// Whether file names carry versions and hashes. `false` where the field is absent.
    pub consistent_snapshot: bool,
    /// Keys by keyid.
    pub keys: KeyMap,
    /// Keys and threshold of root itself.
    pub root: RoleKeys,
    /// Keys and threshold of timestamp.
    pub timestamp: RoleKeys,
    /// Keys and threshold of snapshot.
    pub snapshot: RoleKeys,
    /// Keys and threshold of targets.
    pub targets: RoleKeys,
    /// Unknown fields of the document.
    pub unrecognized: Unrecognized,
    /// Roles that are not of the specification (TAP 5's `mirrors`, for instance), unread.
    pub other_roles: Unrecognized,
    has_consistent_snapshot: bool,
}

impl Root {
    /// Keys and threshold of a top-level role, or `None` for a delegated one.
    pub fn role(&self, role: &RoleName) -> Option<&RoleKeys> {
        match role {
            RoleName::Root => Some(&self.root),
            RoleName::Timestamp => Some(&self.timestamp),
            RoleName::Snapshot => Some(&self.snapshot),
            RoleName::Targets => Some(&self.targets),
            RoleName::Delegated(_) => None,
        }
    }
}

impl Document for Root {
    const TYPE: &'static str = "root";

    fn from_signed(signed: &SignedBytes) -> Result<Self, FormatError> {
        let (mut fields, spec_version) = Fields::open_signed(Json::from_canonical(signed), Self::TYPE)?;
        let version = fields.version()?;
        let expires = fields.expires()?;
        let consistent_snapshot = fields.optional("consistent_snapshot");
        let has_consistent_snapshot = consistent_snapshot.is_some();
        let consistent_snapshot = match consistent_snapshot {
            None | Some(Json::Bool(false)) => false,
            Some(Json::Bool(true)) => true,
            Some(_) => return Err(FormatError::invalid(fields.path("consistent_snapshot"), "expected a boolean")),
        };
        let keys = key_map(fields.object("keys")?, "signed.keys")?;
        let mut roles = Fields::open(fields.required("roles")?, "signed.roles")?;
        let mut role = |name| RoleKeys::from_json(roles.required(name)?, &roles.path(name));
        let (root, timestamp) = (role("root")?, role("timestamp")?);
        let (snapshot, targets) = (role("snapshot")?, role("targets")?);
        let other_roles = roles.rest();
        Ok(Self {
            spec_version,
            version,
            expires,
            consistent_snapshot,
            keys,
            root,
            timestamp,
            snapshot,
            targets,
            unrecognized: fields.rest(),
            other_roles,
            has_consistent_snapshot,
        })
    }

    fn version(&self) -> Version {
        self.version
    }

    fn expires(&self) -> &Expires {
        &self.expires
    }

    fn to_json(&self) -> Json {
        let roles = fields::object(
            &self.other_roles,
            [
                ("root", self.root.to_json()),
                ("timestamp", self.timestamp.to_json()),
                ("snapshot", self.snapshot.to_json()),
                ("targets", self.targets.to_json()),
            ],
        );
        let known = [
            ("_type", Json::from(Self::TYPE)),
            ("spec_version", self.spec_version.to_json()),
            ("version", Json::from(self.version.get())),
            ("expires", self.expires.to_json()),
            ("keys", key_map_json(&self.keys)),
            ("roles", roles),
        ];
        let consistent =
            self.has_consistent_snapshot.then_some(("consistent_snapshot", Json::Bool(self.consistent_snapshot)));
        fields::object(&self.unrecognized, known.into_iter().chain(consistent))
    }
}
