//! Repositories, good and bad, in the form in which `build.py` writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Everything to judge, and python-tuf's verdicts on it.
#[derive(Debug)]
pub(crate) struct Cases {
    /// The kinds of key that the Python libraries sign with.
    pub(crate) kinds: Vec<String>,
    pub(crate) all: Vec<Case>,
    /// By title: what each step led to.
    pub(crate) python: BTreeMap<String, Vec<String>>,
    blobs: BTreeMap<String, Vec<u8>>,
}

/// One client, from its first root on.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    pub(crate) group: String,
    pub(crate) name: String,
    /// Group and name, or only the name for what was tampered with. Unique.
    pub(crate) title: String,
    root: String,
    /// The targets asked for at the end of each step.
    pub(crate) ask: Vec<String>,
    /// What the last refresh shall lead to, where the case says so: `taken` or `refused`.
    pub(crate) ours: Option<String>,
    /// Whether there is nothing in it that any client would lack.
    pub(crate) plain: bool,
    pub(crate) steps: Vec<Step>,
}

/// What a repository serves at a time.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Step {
    pub(crate) time: String,
    metadata: BTreeMap<String, String>,
    targets: BTreeMap<String, String>,
}

/// The file that `judge.py` reads.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Written {
    kinds: Vec<String>,
    blobs: BTreeMap<String, String>,
    #[serde(rename = "cases")]
    all: Vec<Case>,
}

#[cfg(feature = "maintainer")]
impl Written {
    /// A state of a repository, by the names below its two directories.
    pub(crate) fn step(&mut self, time: String, metadata: &Files, targets: &Files) -> Step {
        let mut kept = |files: &Files| files.iter().map(|(name, bytes)| (name.clone(), self.blob(bytes))).collect();
        Step { time, metadata: kept(metadata), targets: kept(targets) }
    }

    /// A client that trusts `root` and meets these states one after the other.
    pub(crate) fn push(&mut self, group: &str, name: &str, root: &[u8], ask: Vec<String>, steps: Vec<Step>) {
        let (group, name, title) = (group.to_owned(), name.to_owned(), format!("{group}: {name}"));
        assert!(self.all.iter().all(|case| case.title != title), "`{title}` is there twice");
        let root = self.blob(root);
        self.all.push(Case { group, name, title, root, ask, ours: None, plain: false, steps });
    }

    fn blob(&mut self, bytes: &[u8]) -> String {
        let name = hex::encode(trustroot::crypto::sha256(bytes));
        self.blobs.entry(name.clone()).or_insert_with(|| STANDARD.encode(bytes));
        name
    }

    /// Has python-tuf judge, where there is one; otherwise there are no verdicts of it, which is said on the terminal.
    #[expect(clippy::disallowed_methods, reason = "a file that lives as long as a test")]
    pub(crate) fn judged(self) -> Cases {
        let python = match python() {
            Some(python) => {
                let directory = tempfile::tempdir().unwrap();
                let file = directory.path().join("cases.json");
                std::fs::write(&file, serde_json::to_vec(&self).unwrap()).unwrap();
                serde_json::from_slice(&run(&python, "judge.py", &file)).unwrap()
            }
            None => {
                skipped();
                BTreeMap::new()
            }
        };
        self.with_verdicts(python)
    }
}

impl Written {
    fn with_verdicts(self, python: BTreeMap<String, Vec<String>>) -> Cases {
        let blobs = self.blobs.into_iter().map(|(name, data)| (name, STANDARD.decode(data).unwrap())).collect();
        Cases { kinds: self.kinds, all: self.all, python, blobs }
    }
}

/// Files by name.
#[cfg(feature = "maintainer")]
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The cases, or `None`, said on the terminal, where there is no Python with the peers installed.
pub(crate) fn cases() -> Option<&'static Cases> {
    static CASES: LazyLock<Option<Cases>> = LazyLock::new(|| python().map(|python| write_and_judge(&python)));
    if CASES.is_none() {
        skipped();
    }
    CASES.as_ref()
}

#[expect(clippy::disallowed_methods, reason = "tests have no command in front of them")]
pub(crate) fn python() -> Option<PathBuf> {
    std::env::var("TRUSTROOT_PYTHON").ok().map(PathBuf::from)
}

#[expect(clippy::print_stderr, reason = "a test that proves nothing must say so")]
pub(crate) fn skipped() {
    eprintln!("skipped: set TRUSTROOT_PYTHON to a Python that has tuf 7 and securesystemslib[crypto] 1.6");
}

fn write_and_judge(python: &Path) -> Cases {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.json");
    run(python, "build.py", &file);
    let python = serde_json::from_slice(&run(python, "judge.py", &file)).unwrap();
    serde_json::from_slice::<Written>(&std::fs::read(&file).unwrap()).unwrap().with_verdicts(python)
}

fn run(python: &Path, script: &str, file: &Path) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let output = Command::new(python).arg(&script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Cases {
    pub(crate) fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Case> {
        self.all.iter().filter(move |case| case.group == group)
    }

    pub(crate) fn root(&self, case: &Case) -> &[u8] {
        &self.blobs[&case.root]
    }

    pub(crate) fn metadata(&self, step: &Step, file: &str) -> Option<&[u8]> {
        step.metadata.get(file).map(|blob| self.blobs[blob].as_slice())
    }

    pub(crate) fn target(&self, step: &Step, file: &str) -> Option<&[u8]> {
        step.targets.get(file).map(|blob| self.blobs[blob].as_slice())
    }

    /// Writes a step to `directory`, as a repository on a disk.
    #[expect(clippy::disallowed_methods, reason = "a repository that lives as long as a test")]
    pub(crate) fn lay_out(&self, step: &Step, directory: &Path) {
        for (kind, files) in [("metadata", &step.metadata), ("targets", &step.targets)] {
            for (name, blob) in files {
                let path = directory.join(kind).join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, &self.blobs[blob]).unwrap();
            }
        }
    }
}
