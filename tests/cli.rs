//! Runs the commands of README, guides and transcripts, and compares what they print.
//!
//! Each file gets a directory of its own with the demo's repository, artifact and attestations in it. To accept new
//! output: `TRYCMD=overwrite cargo test --test cli`, then review the change.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/demo_repository.rs"]
mod demo_repository;

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// The files whose commands are run.
fn transcripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = |directory: &str| {
        WalkDir::new(root.join(directory))
            .sort_by_file_name()
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    };
    [root.join("README.md")].into_iter().chain(below("docs/guides")).chain(below("tests/cli")).collect()
}

#[test]
fn documented_commands_do_what_is_documented() {
    let sandbox = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    cases.env("TRUSTROOT_HOME", "home").env("COLUMNS", "100");
    let mut copies = Vec::new();
    for original in transcripts() {
        let name = original.file_stem().unwrap().to_str().unwrap();
        let copy = sandbox.path().join(format!("{name}.md"));
        std::fs::copy(&original, &copy).unwrap();
        demo_repository::make(&sandbox.path().join(format!("{name}.in"))).unwrap();
        cases.case(&copy);
        copies.push((original, copy));
    }
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cases.run()));
    if std::env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
        for (original, copy) in copies {
            std::fs::copy(copy, original).unwrap();
        }
    }
    if let Err(panic) = ran {
        std::panic::resume_unwind(panic);
    }
}
