//! Keeps the shape of the house: which layer may use which, one counting function, a threat model whose functions
//! and tests exist.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// What each layer may use, besides itself. A layer that is not listed may use nothing.
const MAY_USE: &[(&str, &[&str])] = &[
    ("printable", &[]),
    ("metadata", &["printable"]),
    ("crypto", &["metadata", "printable"]),
    ("example_keys", &["metadata", "crypto"]),
    ("trust", &["metadata", "crypto", "printable"]),
    ("input", &["metadata", "printable"]),
    ("builders", &["metadata", "crypto", "input", "printable"]),
    ("verify", &["builders", "metadata", "crypto", "input", "printable"]),
    ("fs", &[]),
    ("client", &["builders", "trust", "example_keys", "metadata", "crypto", "fs", "printable"]),
    ("key_attestation", &["crypto", "printable"]),
    ("repository", &["key_attestation", "builders", "trust", "example_keys", "metadata", "crypto", "fs", "printable"]),
    ("signers", &["metadata", "crypto", "printable"]),
    (
        "ceremony",
        &[
            "repository",
            "signers",
            "key_attestation",
            "verify",
            "builders",
            "trust",
            "example_keys",
            "metadata",
            "crypto",
            "fs",
            "printable",
        ],
    ),
    ("serve", &["metadata", "crypto", "printable"]),
    ("publish", &["client", "repository", "signers", "builders", "trust", "metadata", "crypto", "fs", "printable"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a directory of the package, with their text.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    WalkDir::new(root().join(directory))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_owned(), text)
        })
        .collect()
}

/// The layer that a file of the library belongs to: the first part of its path below `src`.
fn layer(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap().components().next().unwrap();
    Path::new(below.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The code of a file without its comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn layers_depend_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let layer = layer(&path);
        if matches!(layer.as_str(), "lib" | "bin") {
            continue;
        }
        for (index, line) in code(&text).lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = allowed.contains_key(used.as_str());
                // `crate::{…}` would need a real parser.
                if used.is_empty() {
                    wrong.push(format!("{}:{}: name the layer after `crate::`", path.display(), index + 1));
                }
                let fine = used == layer || allowed.get(layer.as_str()).is_some_and(|may| may.contains(&used.as_str()));
                if known && !fine {
                    wrong.push(format!("{}:{}: {layer} may not use {used}", path.display(), index + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_path_climbs_out_of_its_layer() {
    for (path, text) in sources("src") {
        let climbs = code(&text).contains("super::super::");
        assert!(!climbs || path.starts_with("src/bin"), "{}: name the layer after `crate::`", path.display());
    }
}

#[test]
fn every_layer_is_listed() {
    let listed: Vec<&str> = MAY_USE.iter().map(|(layer, _)| *layer).collect();
    for (path, _) in sources("src") {
        let layer = layer(&path);
        assert!(
            matches!(layer.as_str(), "lib" | "bin") || listed.contains(&layer.as_str()),
            "{} belongs to a layer that has no row here",
            path.display()
        );
    }
}

#[test]
fn pure_layers_do_no_io_and_read_no_clock() {
    for (path, text) in sources("src") {
        if !matches!(
            layer(&path).as_str(),
            "metadata"
                | "crypto"
                | "example_keys"
                | "trust"
                | "builders"
                | "verify"
                | "input"
                | "printable"
                | "key_attestation"
        ) {
            continue;
        }
        let code = code(text.split("#[cfg(test)]\nmod tests").next().unwrap());
        for forbidden in ["std::fs", "fs_err", "std::net", "std::env", "tokio", "reqwest", "Utc::now", "Instant::now"] {
            assert!(!code.contains(forbidden), "{} uses {forbidden}", path.display());
        }
    }
}

#[test]
fn signatures_are_counted_and_proof_is_minted_in_one_file() {
    for (path, text) in sources("src") {
        if path.ends_with("trust/threshold.rs") {
            continue;
        }
        let code = code(&text);
        assert!(!code.contains("Verified::new("), "{} mints Verified", path.display());
        // `crypto` defines the check of one signature; of the others, only the one over DSSE envelopes may call it, that over
        // certificates of devices, and a signer that looks at what it is about to give out, which proves nothing to anybody.
        // Answers to invitations are no metadata, and no threshold counts them.
        let checks = [".verifies(", ".verifies_p1363("].iter().any(|call| code.contains(call))
            && !path.starts_with("src/crypto")
            && !path.ends_with("key_attestation/certificate.rs")
            && !path.ends_with("signers/mod.rs")
            && !path.ends_with("ceremony/invitation.rs")
            // Over records of what happened, in an encoding that metadata never has.
            && !path.ends_with("ceremony/records/signature.rs");
        assert!(!checks || path.starts_with("src/verify"), "{} checks signatures of metadata", path.display());
        // What a proposal asks for may be shown and judged before anybody has signed.
        let judged = path.ends_with("repository/rules.rs") || path.ends_with("ceremony/diff.rs");
        let shown = judged || path.starts_with("src/metadata") || path.starts_with("src/bin");
        assert!(!code.contains("threshold.get()") || shown, "{} compares with a threshold", path.display());
    }
}

/// One path leads to proof without a count of signatures: from an index in a guarded cache. It is narrow, and stays so.
#[test]
fn only_an_index_in_a_guarded_cache_stands_for_a_count_of_signatures() {
    let steps: [(&str, &[&str]); 7] = [
        // Who lets a cache say that.
        ("VerifiedIndex::where_cache_is_protected_like(", &["src/bin/trustroot/ui.rs"]),
        (".open_guarded(", &["src/client/index.rs", "src/client/store.rs"]),
        // Who takes its word, and hands it on.
        ("VerifiedBefore::on_their_word(", &["src/client/index.rs"]),
        ("ChainBefore::on_their_word(", &["src/client/index.rs"]),
        (".recalled_verified(", &["src/client/driver.rs"]),
        (".recalled_chain(", &["src/client/driver.rs"]),
        // Who makes proof of it, after looking at version and expiry.
        ("counted_before(", &["src/trust/threshold.rs", "src/trust/trusted_set.rs"]),
    ];
    for (call, allowed) in steps {
        let users: Vec<String> = sources("src")
            .into_iter()
            .filter(|(_, text)| code(text).contains(call))
            .map(|(path, _)| path.to_str().unwrap().to_owned())
            .collect();
        assert!(users.iter().all(|user| allowed.contains(&user.as_str())), "`{call}` is used in {users:?}");
        assert!(!users.is_empty(), "nothing uses `{call}`: has it another name now?");
    }
    // Nobody outside the crate can take that path but by a store.
    let trust = std::fs::read_to_string(root().join("src/trust/mod.rs")).unwrap();
    assert!(trust.contains("pub(crate) use verified_before::{Basis, ChainBefore, VerifiedBefore};"));
}

#[test]
fn the_library_never_prints() {
    for (path, text) in sources("src") {
        if layer(&path) == "bin" {
            continue;
        }
        let code = code(&text);
        for forbidden in ["println!", "eprintln!", "print!(", "dbg!"] {
            assert!(!code.contains(forbidden), "{} uses {forbidden}", path.display());
        }
    }
}

/// Each row of the threat model names functions and tests in backticks; all of them must exist.
#[test]
fn the_threat_model_names_what_exists() {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let code: String = ["src", "tests"].iter().flat_map(|dir| sources(dir)).map(|(_, text)| text).collect();
    let mut rows = 0;
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a row has attack, check, function, test: {line}");
        rows += 1;
        for (cell, what) in [(cells[2], "function"), (cells[3], "test")] {
            let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "no {what} in: {line}");
            for name in names {
                let last = name.rsplit("::").next().unwrap();
                let exists = code.contains(&format!("fn {last}(")) || code.contains(&format!("fn {last}<"));
                assert!(exists, "the {what} `{name}` does not exist: {line}");
            }
        }
    }
    assert!(rows >= 20, "the threat model has only {rows} rows");
}

/// Every code that an error can carry is explained in `docs/errors.md`, and nothing else is.
#[test]
fn every_error_code_is_documented() {
    let documented: std::collections::BTreeSet<String> = std::fs::read_to_string(root().join("docs/errors.md"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    let mut used = std::collections::BTreeSet::new();
    for (_, text) in sources("src") {
        let code = code(text.split("#[cfg(test)]\nmod tests").next().unwrap());
        // The arms of every `fn code`, and the second argument of `Report::new`.
        for body in code.split("fn code(&self) -> &'static str {").skip(1) {
            let body = body.split("\n    }\n").next().unwrap();
            used.extend(body.split("=> \"").skip(1).map(|arm| arm.split('"').next().unwrap().to_owned()));
        }
        for call in code.split("Report::new(").skip(1) {
            let mut arguments = call.splitn(3, ',');
            let code = arguments.nth(1).unwrap_or_default().trim();
            if let Some(code) = code.strip_prefix('"') {
                used.insert(code.trim_end_matches('"').to_owned());
            }
        }
    }
    assert_eq!(used, documented);
}
