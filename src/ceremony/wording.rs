//! What each field of a document means, in words. A change of a field that has none is shown raw, and says so.

/// Field by field, with `*` for a name that is data; what is in words may quote those names as `{1}`, `{2}`. Words for the
/// items of a list are for the list too.
const WORDS: &[(&str, &str)] = &[
    // Root and targets (TUF specification sections 4.3 and 4.5).
    ("signed._type", "kind of document"),
    ("signed.spec_version", "version of the specification that it follows"),
    ("signed.version", "version"),
    ("signed.expires", "good until"),
    ("signed.consistent_snapshot", "consistent snapshots"),
    ("signed.x-trustroot-family-thresholds.*.*", "role {1}: {2} keys that must sign, at least"),
    ("signed.x-trustroot-family-thresholds", "keys of each family that must sign"),
    ("signed.keys.*.keytype", "key {1}: its type"),
    ("signed.keys.*.scheme", "key {1}: how it signs"),
    ("signed.keys.*.keyval.public", "key {1}: its public half"),
    ("signed.keys.*.keyval.*", "key {1}: SECRET or needless beside its public half, {2}"),
    ("signed.keys.*.keyid_hash_algorithms[*]", "key {1}: a hash by which its keyid was computed once"),
    ("signed.keys.*.x-tuf-on-ci-keyowner", "key {1}: who holds it"),
    ("signed.keys.*.x-tuf-on-ci-online-uri", "key {1}: where a machine signs with it"),
    ("signed.keys.*.*", "key {1}: a field of which clients make nothing, {2}"),
    ("signed.keys", "keys"),
    ("signed.roles.*.keyids[*]", "role {1}: may be signed with the key"),
    ("signed.roles.*.threshold", "role {1}: keys that must sign"),
    ("signed.roles", "roles"),
    ("signed.delegations.keys.*.keytype", "delegated key {1}: its type"),
    ("signed.delegations.keys.*.scheme", "delegated key {1}: how it signs"),
    ("signed.delegations.keys.*.keyval.public", "delegated key {1}: its public half"),
    ("signed.delegations.keys.*.keyval.*", "delegated key {1}: SECRET or needless beside its public half, {2}"),
    (
        "signed.delegations.keys.*.keyid_hash_algorithms[*]",
        "delegated key {1}: a hash by which its keyid was computed once",
    ),
    ("signed.delegations.keys.*.x-tuf-on-ci-keyowner", "delegated key {1}: who holds it"),
    ("signed.delegations.keys.*.x-tuf-on-ci-online-uri", "delegated key {1}: where a machine signs with it"),
    ("signed.delegations.keys.*.*", "delegated key {1}: a field of which clients make nothing, {2}"),
    ("signed.delegations.keys", "delegated keys"),
    ("signed.delegations.roles", "delegated roles"),
    ("signed.delegations.roles[*].keyids[*]", "role {1}: may be signed with the key"),
    ("signed.delegations.roles[*].threshold", "role {1}: keys that must sign"),
    ("signed.delegations.succinct_roles.name_prefix", "hash bins: what their names begin with"),
    ("signed.delegations.succinct_roles.bit_length", "hash bins: how many bits of a path's hash choose one"),
    ("signed.delegations.succinct_roles.keyids[*]", "hash bins: each may be signed with the key"),
    ("signed.delegations.succinct_roles.threshold", "hash bins: keys that must sign each"),
    ("signed.delegations", "delegations"),
    ("signed.targets.*.length", "file {1}: its length in bytes"),
    ("signed.targets.*.hashes.*", "file {1}: its {2}"),
    ("signed.targets", "files"),
    ("signed.delegations.roles[*].name", "role {1}: its name"),
    ("signed.delegations.roles[*].terminating", "role {1}: whether a search that reaches it ends there"),
    ("signed.delegations.roles[*].paths[*]", "role {1}: may name files that match"),
    ("signed.delegations.roles[*].path_hash_prefixes[*]", "role {1}: may name files whose path's hash begins with"),
    ("signed.targets.*.custom", "file {1}: note for clients"),
    // Catalog.
    ("mediaType", "kind of document"),
    ("namespaces.*.role", "namespace {1}: the role that speaks for it"),
    ("namespaces.*.minVersion", "namespace {1}: oldest version of its role that clients take"),
    ("namespaces.*.grants.builders[*]", "namespace {1}: may speak for builders"),
    ("namespaces.*.grants.verifiers[*]", "namespace {1}: may speak for verifiers"),
    ("namespaces.*.grants.resources[*]", "namespace {1}: may speak about resources"),
    ("namespaces.*.grants.packages[*]", "namespace {1}: may speak about packages"),
    ("namespaces.*.grants", "namespace {1}: grants"),
    ("namespaces.*.caps[*].level", "namespace {1}: highest level, in its cap {2}"),
    ("namespaces.*.caps[*].validFor.start", "namespace {1}: its cap {2} holds from"),
    ("namespaces.*.caps[*].validFor.end", "namespace {1}: its cap {2} holds until"),
    ("namespaces.*.caps", "namespace {1}: caps"),
    ("namespaces.*.sigstoreRealms[*]", "namespace {1}: its builders may use certificates of the realm"),
    ("namespaces.*.timeAuthorities[*]", "namespace {1}: when something was signed is proved by logs of the realm"),
    ("namespaces.*.leastProof.sct", "namespace {1}: proofs of its certificates in certificate logs, at least"),
    ("namespaces.*.leastProof.tlog", "namespace {1}: proofs of its certificates in transparency logs, at least"),
    ("namespaces.*.leastProof.tsa", "namespace {1}: time stamps beside its certificates, at least"),
    ("denials[*].builderId", "denial {1}: not to be believed any longer, the builder"),
    ("denials[*].verifierId", "denial {1}: not to be believed any longer, the verifier"),
    ("denials[*].keySha256", "denial {1}: not to be believed any longer, the key with the SHA-256"),
    ("denials[*].reason", "denial {1}: because of"),
    ("denials[*].distrustFrom", "denial {1}: from this moment on"),
    ("denials", "denials"),
    // Builders and verifiers.
    ("builderId", "the builder's ID"),
    ("verifierId", "the verifier's ID"),
    ("displayName", "what it is called"),
    ("status", "whether it is in use"),
    ("retiredAt", "out of use since"),
    ("revocation.reason", "not to be believed, because of"),
    ("revocation.distrustFrom", "not to be believed from this moment on"),
    ("threshold", "physical keys that must sign one attestation"),
    ("signers[*].name", "signer {1}: its name"),
    ("signers[*].type", "signer {1}: signs with a"),
    ("signers[*].status", "signer {1}: whether it is in use"),
    ("signers[*].retiredAt", "signer {1}: out of use since"),
    ("signers[*].revocation.reason", "signer {1}: not to be believed, because of"),
    ("signers[*].revocation.distrustFrom", "signer {1}: not to be believed from this moment on"),
    ("signers[*].envelope", "signer {1}: what it signs"),
    ("signers[*].signatureEncoding", "signer {1}: encoding of its signatures"),
    ("signers[*].publicKey.rawBytes", "signer {1}: its public key"),
    ("signers[*].publicKey.keyDetails", "signer {1}: kind of its key"),
    ("signers[*].publicKey.validFor.start", "signer {1}: its key is good from"),
    ("signers[*].publicKey.validFor.end", "signer {1}: its key is good until"),
    ("signers[*].realm", "signer {1}: realm of its certificates"),
    ("signers[*].issuer", "signer {1}: who says who it is"),
    ("signers[*].san.type", "signer {1}: kind of name in its certificates"),
    ("signers[*].san.template", "signer {1}: name in its certificates"),
    ("signers[*].claims.*", "signer {1}: its certificates must say of {2}"),
    ("signers[*].claims", "signer {1}: what its certificates must say"),
    ("signers[*].idBinding", "signer {1}: how its certificates are tied to the ID"),
    ("signers[*].delegator", "signer {1}: the builder that acts for it"),
    ("signers[*].proof.sct", "signer {1}: proofs in certificate logs, at least"),
    ("signers[*].proof.tlog", "signer {1}: proofs in transparency logs, at least"),
    ("signers[*].proof.tsa", "signer {1}: time stamps, at least"),
    ("qualifications[*].level", "level {1}: which"),
    ("qualifications[*].spec", "level {1}: by which version of SLSA"),
    ("qualifications[*].validFor.start", "level {1}: holds from"),
    ("qualifications[*].validFor.end", "level {1}: holds until"),
    ("qualifications[*].evidence.uri", "level {1}: its evidence is at"),
    ("qualifications[*].evidence.sha256", "level {1}: SHA-256 of its evidence"),
    ("qualifications", "levels"),
    ("idVersions.refs[*]", "stands for its ID with refs that match"),
    ("scopes.packages[*]", "may build packages that match"),
    ("scopes.sourceRepositories[*]", "may build from sources that match"),
    ("scopes.buildTypes.*.parameters.required[*]", "build type {1}: a parameter that must be there"),
    ("scopes.buildTypes.*.parameters.ignorable[*]", "build type {1}: a parameter that may be anything"),
    ("scopes.buildTypes.*.parameters", "build type {1}: its parameters"),
    ("scopes.buildTypes", "build types"),
    ("scopes.resources[*]", "may speak about resources"),
    ("scopes", "scopes"),
];

/// A step on the way to a value: a field, or an item of a list by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A member of an object.
    Field(String),
    /// An item of a list.
    Item(String),
}

/// What the value at the end of these steps means; `None` where there are no words for it. Names that are data come
/// escaped.
pub(super) fn words(steps: &[Step]) -> Option<String> {
    WORDS.iter().find_map(|(pattern, words)| {
        // A list as a whole, or one of its items.
        let whole = || matches(pattern.strip_suffix("[*]")?, steps);
        let names = matches(pattern, steps).or_else(whole)?;
        // In one pass: a name may look like the place of another.
        let mut parts = words.split('{');
        let mut text = parts.next()?.to_owned();
        for part in parts {
            let (index, rest) = part.split_once('}')?;
            text.push_str(names.get(index.parse::<usize>().ok()?.checked_sub(1)?)?);
            text.push_str(rest);
        }
        Some(text)
    })
}

/// The names that stand where the pattern has `*`, escaped.
fn matches(pattern: &str, steps: &[Step]) -> Option<Vec<String>> {
    let mut wanted = pattern.split('.').flat_map(|part| {
        let (field, item) = part.split_once('[').map_or((part, None), |(field, _)| (field, Some("*")));
        std::iter::once((field, false)).chain(item.map(|item| (item, true)))
    });
    let mut names = Vec::new();
    for step in steps {
        match (wanted.next()?, step) {
            (("*", false), Step::Field(name)) | (("*", true), Step::Item(name)) => {
                names.push(crate::printable::Named(name).to_string());
            }
            ((field, false), Step::Field(name)) if field == name => {}
            _ => return None,
        }
    }
    wanted.next().is_none().then_some(names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quote::ToTokens as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::ceremony::diff;

    /// The names of the fields that the readers of documents take, as the sources have them.
    fn fields_of_readers() -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        let sources = [
            include_str!("../builders/catalog.rs"),
            include_str!("../builders/builder.rs"),
            include_str!("../builders/document.rs"),
            include_str!("../builders/public_key.rs"),
        ];
        for item in sources.iter().flat_map(|source| syn::parse_file(source).unwrap().items) {
            let syn::Item::Struct(item) = item else { continue };
            let attributes: String =
                item.attrs.iter().map(|attribute| attribute.to_token_stream().to_string()).collect();
            if !attributes.contains("Deserialize") {
                continue;
            }
            for field in &item.fields {
                let Some(name) = &field.ident else { continue };
                let text: String =
                    field.attrs.iter().map(|attribute| attribute.to_token_stream().to_string()).collect();
                let renamed = text.split("rename = \"").nth(1).and_then(|rest| rest.split('"').next());
                let mut camel = String::new();
                for part in name.to_string().split('_') {
                    let upper = !camel.is_empty();
                    let mut letters = part.chars();
                    let first = letters.next().map(|c| if upper { c.to_ascii_uppercase() } else { c });
                    camel.extend(first.into_iter().chain(letters));
                }
                fields.insert(renamed.map_or(camel, str::to_owned));
            }
        }
        fields
    }

    /// The names of the fields of root and targets metadata, as their readers and writers have them.
    fn fields_of_metadata() -> BTreeSet<String> {
        let sources = [
            include_str!("../metadata/root.rs"),
            include_str!("../metadata/targets.rs"),
            include_str!("../metadata/target_file.rs"),
            include_str!("../metadata/delegations.rs"),
            include_str!("../metadata/key.rs"),
            include_str!("../metadata/role.rs"),
            include_str!("../metadata/fields.rs"),
        ];
        // `fields.optional("scheme")` reads one, `("scheme", Json::from(…))` writes it; texts for people have spaces.
        let mut fields = BTreeSet::new();
        for source in sources {
            let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
            for (at, _) in code.match_indices("(\"") {
                let Some((name, after)) = code[at + 2..].split_once('"') else { continue };
                let reads = ["required", "optional", "object", "array", "string", "strings", "boolean", "unsigned"];
                let is_read = reads.iter().any(|method| code[..at].ends_with(&format!(".{method}")));
                let is_written = after.starts_with(", ") && !code[..at].ends_with(|c: char| c.is_alphanumeric());
                let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                if is_name && (is_read || is_written) {
                    fields.insert(name.to_owned());
                }
            }
        }
        // Roles are data here, as namespaces are.
        fields.retain(|field| !["root", "targets_of", "snapshot", "timestamp"].contains(&field.as_str()));
        fields
    }

    #[test]
    fn every_field_of_metadata_has_words() {
        let patterns = WORDS.iter().filter(|(pattern, _)| pattern.starts_with("signed"));
        let named: BTreeSet<&str> = patterns.flat_map(|(pattern, _)| pattern.split(['.', '[', ']'])).collect();
        let fields = fields_of_metadata();
        for known in ["expires", "succinct_roles", "bit_length", "keyids", "threshold", "paths", "scheme", "custom"] {
            assert!(fields.contains(known) || known == "custom", "{known} is not found in {fields:?}");
        }
        let without: Vec<&String> = fields.iter().filter(|field| !named.contains(field.as_str())).collect();
        assert!(without.is_empty(), "no words for a change of {without:?}");
    }

    #[test]
    fn every_field_that_a_document_may_have_has_words() {
        let named: BTreeSet<&str> =
            WORDS.iter().flat_map(|(pattern, _)| pattern.split(['.', '[', ']'])).filter(|part| *part != "*").collect();
        let fields = fields_of_readers();
        assert!(fields.len() > 40, "{fields:?}");
        // What stands in `extensions` means nothing to us, and is shown raw.
        let without: Vec<&String> =
            fields.iter().filter(|field| *field != "extensions" && !named.contains(field.as_str())).collect();
        assert!(without.is_empty(), "no words for a change of {without:?}");
    }

    /// Documents with every field that there is.
    fn documents() -> Vec<Value> {
        let period = json!({"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"});
        let revocation = json!({"reason": "keyCompromise", "distrustFrom": "2026-02-01T00:00:00Z"});
        let proof = json!({"sct": 1, "tlog": 1, "tsa": 0});
        vec![
            json!({"mediaType": "m", "namespaces": {"oppy": {
                "role": "oppy", "minVersion": 1,
                "grants": {"builders": ["b"], "verifiers": ["v"], "resources": ["r"], "packages": ["p"]},
                "caps": [{"level": "SLSA_BUILD_LEVEL_3", "validFor": period}],
                "sigstoreRealms": ["g"], "timeAuthorities": ["g"], "leastProof": proof}},
                "denials": [{"builderId": "b", "verifierId": "v", "keySha256": "k", "reason": "r", "distrustFrom": "t"}]}),
            json!({"mediaType": "m", "builderId": "b", "verifierId": "v", "displayName": "d", "status": "active",
                "retiredAt": "t", "revocation": revocation, "threshold": 1,
                "signers": [{"name": "s", "type": "key", "status": "active", "retiredAt": "t", "revocation": revocation,
                    "envelope": "dsse", "signatureEncoding": "der", "realm": "g", "issuer": "i", "idBinding": "fixed",
                    "publicKey": {"rawBytes": "k", "keyDetails": "d", "validFor": period}, "delegator": "d",
                    "san": {"type": "uri", "template": "t"}, "claims": {"c": "v"}, "proof": proof}],
                "qualifications": [{"level": "l", "spec": "1.2", "validFor": period,
                    "evidence": {"uri": "u", "sha256": "s"}}],
                "idVersions": {"refs": ["r"]},
                "scopes": {"packages": ["p"], "sourceRepositories": ["s"], "resources": ["r"],
                    "buildTypes": {"bt": {"parameters": {"required": ["x"], "ignorable": ["y"]}}}}}),
            json!({"signed": {"_type": "targets", "spec_version": "1.0", "consistent_snapshot": true,
                "version": 1, "expires": "e", "x-trustroot-family-thresholds": {"root": {"classical": 1}},
                "keys": {"k": {"keytype": "t", "scheme": "s", "keyval": {"public": "p", "private": "p"},
                    "keyid_hash_algorithms": ["sha256"], "x-tuf-on-ci-keyowner": "o", "x-tuf-on-ci-online-uri": "u",
                    "x-other": "o"}},
                "roles": {"mirrors": {"keyids": ["k"], "threshold": 1}},
                "delegations": {"keys": {"k": {"keytype": "t", "scheme": "s", "keyval": {"public": "p", "private": "p"},
                    "keyid_hash_algorithms": ["sha256"], "x-tuf-on-ci-keyowner": "o", "x-tuf-on-ci-online-uri": "u",
                    "x-other": "o"}},
                    "roles": [{"name": "n", "terminating": true, "paths": ["p"], "path_hash_prefixes": ["0a"],
                    "keyids": ["k"], "threshold": 1}],
                    "succinct_roles": {"name_prefix": "n", "bit_length": 4, "keyids": ["k"], "threshold": 1}},
                "targets": {"f": {"custom": "c", "length": 1, "hashes": {"sha256": "0a"}}}}}),
        ]
    }

    /// Every value of a document, with something else in its place.
    fn changed(value: &Value) -> Vec<Value> {
        match value {
            Value::Object(members) => members
                .iter()
                .flat_map(|(key, member)| {
                    changed(member).into_iter().map(|other| {
                        let mut members = members.clone();
                        members.insert(key.clone(), other);
                        Value::Object(members)
                    })
                })
                .collect(),
            Value::Array(items) => {
                let of = |(index, item): (usize, &Value)| -> Vec<Value> {
                    let with = |other| {
                        let mut items = items.clone();
                        items[index] = other;
                        Value::Array(items)
                    };
                    changed(item).into_iter().map(with).collect()
                };
                items.iter().enumerate().flat_map(of).collect()
            }
            Value::Bool(value) => vec![json!(!value)],
            Value::Number(_) => vec![json!(77)],
            _ => vec![json!("something else")],
        }
    }

    #[test]
    fn every_change_of_a_known_field_is_said_in_words() {
        let mut said = 0;
        for document in documents() {
            let at = if document["signed"].is_object() { Some("signed") } else { None };
            let inner = |value: &Value| match at {
                None => value.clone(),
                Some(at) => value.get(at).cloned().unwrap_or_else(|| json!({})),
            };
            let mut versions = changed(&document);
            versions.push(json!({}));
            for other in versions {
                for (old, new) in [(&document, &other), (&other, &document)] {
                    let changes = diff::raw(at.unwrap_or("  "), Some(&inner(old)), Some(&inner(new)));
                    assert!(!changes.is_empty());
                    for change in changes {
                        assert!(!change.text.contains("no words"), "{}", change.text);
                        said += 1;
                    }
                }
            }
        }
        assert!(said > 200);
    }

    #[test]
    fn what_has_no_words_says_so() {
        let changes = diff::raw("signed", Some(&json!({})), Some(&json!({"x-evil": {"a\u{1b}": 1}})));
        assert_eq!(changes[0].text, "no words for signed.x-evil.\"a\\u{1b}\": 1");
        let changes = diff::raw("  ", None, Some(&json!({"status": "active"})));
        assert_eq!(changes[0].text, "  whether it is in use: \"active\" (.status)");
    }
}
