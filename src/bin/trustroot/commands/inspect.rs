//! `trustroot inspect`
//!
//! Shows a document that nobody has verified. Every text from it is escaped, and the label comes first and last.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::Printable;
use trustroot::crypto::VerifyingKey;
use trustroot::metadata::{
    Delegation, DelegationRule, Document, Envelope, FormatError, KeyId, PathRule, RoleKeys, RoleName, Root, Snapshot,
    Targets, Timestamp,
};
use trustroot::trust::{Authority, Standing, Tally, tally};

use crate::args::InspectOptions;
use crate::output::{self, Show};
use crate::report::{self, Outcome, Report};
use crate::ui::{Session, read_named, show_path};

/// Longest file that is inspected, in bytes.
const LONGEST: u64 = 512_000_000;

/// Most targets and keys that are listed; the rest is counted.
const MOST_LISTED: usize = 100;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspected {
    /// Always `false`: the first thing that a program should see.
    verified: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u64,
    expires: String,
    expired: bool,
    says: Value,
    signatures: Signatures,
    #[serde(skip)]
    lines: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Signatures {
    /// Whose keys they were checked with; absent where none were at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<u64>,
    signers: Vec<Value>,
    #[serde(skip)]
    lines: String,
}

impl Show for Inspected {
    fn text(&self) -> String {
        let expired = if self.expired { " (past)" } else { "" };
        format!(
            "UNVERIFIED: this is what the file says, not what is trusted\n\
             {} v{}, expires {}{expired}\n{}signatures\n{}UNVERIFIED: nothing above has been checked against a \
             trusted root\n",
            self.kind, self.version, self.expires, self.lines, self.signatures.lines
        )
    }
}

pub(crate) fn run(session: &Session, options: &InspectOptions) -> Result<(), Report> {
    let envelope = open(&options.file)?;
    let malformed = |error: FormatError| malformed(&options.file, &error);
    let kind = envelope.document_type().unwrap_or_default();
    let inspected = match kind.as_str() {
        Root::TYPE => {
            let root: Root = envelope.unverified().map_err(malformed)?;
            let (says, lines) = root_says(&root);
            let own = match &options.delegator {
                None => Some((tally_by_root(&envelope, &root, &RoleName::Root), "its own keys".to_owned())),
                Some(_) => None,
            };
            inspect(session, options, &envelope, &root, own, says, lines)?
        }
        Timestamp::TYPE => {
            let timestamp: Timestamp = envelope.unverified().map_err(malformed)?;
            let version = timestamp.snapshot.version.get();
            let lines = format!("  snapshot v{version}\n");
            inspect(session, options, &envelope, &timestamp, None, json!({"snapshot": version}), lines)?
        }
        Snapshot::TYPE => {
            let snapshot: Snapshot = envelope.unverified().map_err(malformed)?;
            let (says, lines) = snapshot_says(&snapshot);
            inspect(session, options, &envelope, &snapshot, None, says, lines)?
        }
        Targets::TYPE => {
            let targets: Targets = envelope.unverified().map_err(malformed)?;
            let (says, lines) = targets_says(&targets);
            inspect(session, options, &envelope, &targets, None, says, lines)?
        }
        other => {
            return Err(Report::new(
                Outcome::No,
                "unknown-type",
                format!("the file calls itself `{}`, which is no kind of TUF metadata", Printable(other)),
            )
            .fact("file", show_path(&options.file)));
        }
    };
    output::show(session.format, &inspected)
}

fn open(path: &Path) -> Result<Envelope, Report> {
    let bytes = read_named(path, LONGEST)?;
    Envelope::parse(&bytes).map_err(|error| malformed(path, &error))
}

fn malformed(path: &Path, error: &FormatError) -> Report {
    Report::new(Outcome::No, "malformed", format!("this is not TUF metadata as we read it: {error}"))
        .fact("file", show_path(path))
}

fn inspect<T: Document>(
    session: &Session,
    options: &InspectOptions,
    envelope: &Envelope,
    document: &T,
    own: Option<(Tally, String)>,
    says: Value,
    lines: String,
) -> Result<Inspected, Report> {
    let checked = match own {
        Some(own) => Some(own),
        None => by_delegator::<T>(options, envelope)?,
    };
    Ok(Inspected {
        verified: false,
        kind: T::TYPE,
        version: document.version().get(),
        expires: document.expires().to_string(),
        expired: document.expires().is_past(session.start.time()),
        says,
        signatures: signatures(envelope, checked),
        lines,
    })
}

fn tally_by_root(envelope: &Envelope, root: &Root, role: &RoleName) -> Tally {
    tally(envelope, Authority::of_root(root, role).expect("top-level roles are in every root"))
}

/// Counts by the keys of the delegator that the user names.
fn by_delegator<T: Document>(options: &InspectOptions, envelope: &Envelope) -> Result<Option<(Tally, String)>, Report> {
    let Some(path) = &options.delegator else { return Ok(None) };
    let delegator = open(path)?;
    let name = match &options.role {
        Some(role) => role.clone(),
        None if T::TYPE == Targets::TYPE => role_of_file(&options.file),
        None => T::TYPE.to_owned(),
    };
    let unknown = || {
        Report::new(
            Outcome::WrongQuestion,
            "unknown-role",
            format!("the delegator says nothing of a role `{}`", Printable(&name)),
        )
        .fact("file", show_path(path))
        .hint("name the role with `--role`")
    };
    let whose = format!("the keys in {} (unverified itself)", show_path(path));
    if let Ok(root) = delegator.unverified::<Root>() {
        let role = [RoleName::Root, RoleName::Timestamp, RoleName::Snapshot, RoleName::Targets]
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(unknown)?;
        return Ok(Some((tally_by_root(envelope, &root, &role), whose)));
    }
    let targets: Targets = delegator.unverified().map_err(|error| malformed(path, &error))?;
    let delegations = targets.delegations.as_ref().ok_or_else(unknown)?;
    let delegation = delegations.to_role(&name).ok_or_else(unknown)?;
    Ok(Some((tally(envelope, Authority::of_delegation(delegations, &delegation)), whose)))
}

/// The role that a file is called after: `8.registry.npmjs.org.json` holds `registry.npmjs.org`.
fn role_of_file(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".json").unwrap_or(name);
    match name.split_once('.') {
        Some((version, rest)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            rest.to_owned()
        }
        _ => name.to_owned(),
    }
}

fn signatures(envelope: &Envelope, checked: Option<(Tally, String)>) -> Signatures {
    let Some((tally, whose)) = checked else {
        let lines = envelope
            .signatures()
            .keys()
            .map(|keyid| format!("  unchecked  {}\n", Printable(keyid.as_str())))
            .chain(["  name the file that lists the keys with `--delegator` to check them\n".to_owned()])
            .collect();
        let signers = envelope.signatures().keys().map(|keyid| json!({"keyid": keyid.as_str()})).collect();
        return Signatures { checked_with: None, needed: None, counted: None, signers, lines };
    };
    let mut lines = format!("  {} of {} needed, by {whose}\n", tally.counted, tally.needed);
    for line in &tally.lines {
        let _ = writeln!(lines, "  {:9}  {}", report::standing(line.standing), report::signer(line));
    }
    if tally.foreign > 0 {
        let _ = writeln!(lines, "  {} more by keyids that the role does not list", tally.foreign);
    }
    let signers = tally
        .lines
        .iter()
        .map(|line| {
            json!({
                "keyid": line.keyid.as_str(),
                "standing": report::standing(line.standing),
                "counts": line.standing == Standing::Valid,
                "kind": line.kind,
                "owner": line.owner,
            })
        })
        .collect();
    Signatures { checked_with: Some(whose), needed: Some(tally.needed), counted: Some(tally.counted), signers, lines }
}

fn root_says(root: &Root) -> (Value, String) {
    let mut lines = format!("  consistent snapshots: {}\n", if root.consistent_snapshot { "yes" } else { "no" });
    let mut roles = serde_json::Map::new();
    for role in [RoleName::Root, RoleName::Timestamp, RoleName::Snapshot, RoleName::Targets] {
        let keys = root.role(&role).expect("top-level roles are in every root");
        let _ = writeln!(lines, "  {:9}  {}", role.to_string(), role_keys(keys));
        let keyids: Vec<&str> = keys.keyids.iter().map(KeyId::as_str).collect();
        roles.insert(role.to_string(), json!({"threshold": keys.threshold.get(), "keyids": keyids}));
    }
    lines += "  keys\n";
    let mut keys = Vec::new();
    for (keyid, key) in &root.keys {
        let kind = VerifyingKey::from_metadata(key).map_or_else(|problem| problem.to_string(), |key| key.describe());
        let owner = key.extra("x-tuf-on-ci-keyowner");
        let shown = owner.map(|owner| format!("  {}", Printable(owner))).unwrap_or_default();
        let _ = writeln!(lines, "    {keyid}  {kind}{shown}");
        keys.push(json!({"keyid": keyid.as_str(), "kind": kind, "owner": owner}));
    }
    (json!({"consistentSnapshot": root.consistent_snapshot, "roles": roles, "keys": keys}), lines)
}

fn role_keys(keys: &RoleKeys) -> String {
    let keyids: Vec<String> = keys.keyids.iter().map(ToString::to_string).collect();
    format!("{} of {}: {}", keys.threshold, keys.keyids.len(), keyids.join(" "))
}

fn snapshot_says(snapshot: &Snapshot) -> (Value, String) {
    let roles: serde_json::Map<_, _> = snapshot.iter().map(|(file, meta)| (file, json!(meta.version.get()))).collect();
    let mut lines = String::new();
    for (file, meta) in snapshot.iter().take(MOST_LISTED) {
        let _ = writeln!(lines, "  {} v{}", Printable(&file), meta.version.get());
    }
    and_more(&mut lines, snapshot.count());
    (json!({"meta": roles}), lines)
}

fn targets_says(targets: &Targets) -> (Value, String) {
    let (mut lines, count) = (format!("  {} targets\n", targets.count()), targets.count());
    let mut listed = serde_json::Map::new();
    for (name, target) in targets.iter().take(MOST_LISTED) {
        match target {
            Ok(file) => {
                let _ = writeln!(lines, "    {}  {} bytes", Printable(&name), file.length);
                listed.insert(name, json!({"length": file.length}));
            }
            Err(error) => {
                let _ = writeln!(lines, "    {}  malformed: {error}", Printable(&name));
                listed.insert(name, json!({"malformed": error.to_string()}));
            }
        }
    }
    and_more(&mut lines, count);
    let mut delegations = Vec::new();
    match targets.delegations.as_ref().map(|delegations| &delegations.rule) {
        Some(DelegationRule::Roles(roles)) => {
            for delegation in roles.iter().take(MOST_LISTED) {
                let _ = writeln!(lines, "  delegates {}", describe_delegation(&delegation));
                delegations.push(delegation_json(&delegation));
            }
            and_more(&mut lines, roles.len());
        }
        Some(DelegationRule::Bins(bins)) => {
            let name = Printable(&bins.name_prefix).to_string();
            let _ = writeln!(lines, "  delegates everything to 2^{} hash bins called {name}-…", bins.bit_length);
            delegations.push(json!({"bins": bins.name_prefix, "bitLength": bins.bit_length}));
        }
        None => {}
    }
    (json!({"count": count, "targets": listed, "delegations": delegations}), lines)
}

fn describe_delegation(delegation: &Delegation) -> String {
    let terminating = if delegation.terminating { ", terminating" } else { "" };
    format!("{} to {} ({}{terminating})", delegation.paths, delegation.role, role_keys(&delegation.keys))
}

fn delegation_json(delegation: &Delegation) -> Value {
    let (paths, prefixes) = match &delegation.paths {
        PathRule::Patterns(patterns) => (Some(patterns), None),
        PathRule::HashPrefixes(prefixes) => (None, Some(prefixes)),
    };
    let keyids: Vec<&str> = delegation.keys.keyids.iter().map(KeyId::as_str).collect();
    json!({
        "role": delegation.role.as_str(),
        "terminating": delegation.terminating,
        "threshold": delegation.keys.threshold.get(),
        "keyids": keyids,
        "paths": paths,
        "pathHashPrefixes": prefixes,
    })
}

fn and_more(lines: &mut String, count: usize) {
    if count > MOST_LISTED {
        let _ = writeln!(lines, "    … and {} more", count - MOST_LISTED);
    }
}
