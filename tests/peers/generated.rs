//! The repositories that clients are measured with, as our client and python-tuf see them, over HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use trustroot::client::{
    CacheMode, DefaultFetcher, HttpSettings, LocalCache, SafeUrl, TrustAnchor, Updater, UpdaterSettings,
};
use trustroot::metadata::TargetPath;
use trustroot::metadata::canonical_json::canonicalize;
use trustroot::serve::{ServeLimits, Server};
use trustroot::trust::UpdateStart;

use crate::cases::{python, skipped};
use crate::generate_repository::{Kind, Style, make};

/// `--bits` that are and are not a multiple of what a hexadecimal digit holds.
const KINDS: [Kind; 6] = [
    Kind::Small,
    Kind::Flat { targets: 300 },
    Kind::Succinct { targets: 300, bits: 5 },
    Kind::Classic { targets: 300, bits: 4 },
    Kind::Classic { targets: 300, bits: 6 },
    Kind::Target { length: (3 << 20) + 1 },
];

/// A repository, the path of its target and the content of that.
fn generated(kind: Kind, style: Style) -> (tempfile::TempDir, String, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let target = make(directory.path(), kind, style).unwrap();
    let mut files = files(&directory.path().join("targets"));
    let file = files.pop().unwrap();
    assert!(files.is_empty(), "only one target has a file");
    (directory, target, std::fs::read(file).unwrap())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[test]
fn our_client_and_python_tuf_find_a_target_in_every_generated_repository() {
    let python = python();
    if python.is_none() {
        skipped();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for style in [Style::Canonical, Style::Indented] {
        for kind in KINDS {
            let (repository, target, content) = generated(kind, style);
            runtime.block_on(async {
                let any = "127.0.0.1:0".parse().unwrap();
                let server = Server::bind(repository.path(), any, ServeLimits::default()).await.unwrap();
                let address = server.address();
                let running = tokio::spawn(server.run(std::future::pending()));
                assert_eq!(by_our_client(repository.path(), address, &target).await, content, "{kind:?} {style:?}");
                if let Some(python) = python.clone() {
                    let (root, label) = (repository.path().join("1.root.json"), format!("{kind:?} {style:?}"));
                    let got = tokio::task::spawn_blocking(move || by_python_tuf(&python, &root, address, &target));
                    assert_eq!(got.await.unwrap(), content, "{label}");
                }
                running.abort();
            });
        }
    }
}

async fn by_our_client(repository: &Path, address: SocketAddr, target: &str) -> Vec<u8> {
    let url = |path: &str| SafeUrl::parse(&format!("http://{address}{path}")).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let root = std::fs::read(repository.join("1.root.json")).unwrap();
    let mut updater = Updater::new(
        TrustAnchor::Pinned(root),
        UpdaterSettings::new(url("/"), url("/targets/")),
        LocalCache::new(cache.path(), CacheMode::ReadWrite),
        Arc::new(DefaultFetcher::new(HttpSettings::default())),
        UpdateStart::at("2034-03-01T12:00:00Z".parse().unwrap()),
    )
    .unwrap();
    let found = updater.find(&TargetPath::new(target).unwrap()).await.unwrap().expect("some role names it");
    updater.target_bytes(&found, None).await.unwrap()
}

pub(crate) fn by_python_tuf(python: &Path, root: &Path, address: SocketAddr, target: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    let done = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/client.py"))
        .arg(format!("http://{address}"))
        .arg(root)
        .arg(directory.path().join("cache"))
        .arg(target)
        .arg(&output)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(output).unwrap()
}

#[test]
fn a_generated_repository_is_the_same_each_time_and_canonical_unless_indented() {
    for kind in KINDS {
        let [one, other, indented] =
            [Style::Canonical, Style::Canonical, Style::Indented].map(|style| generated(kind, style).0);
        let files_of = [&one, &other, &indented].map(|directory| files(directory.path()));
        assert!(files_of[0].len() >= 4);
        for ((one, other), indented) in files_of[0].iter().zip(&files_of[1]).zip(&files_of[2]) {
            let bytes = std::fs::read(one).unwrap();
            assert_eq!(bytes, std::fs::read(other).unwrap(), "{}", one.display());
            assert_eq!(bytes, canonicalize(&bytes).unwrap(), "{}", one.display());
            let indented = std::fs::read(indented).unwrap();
            assert!(indented.starts_with(b"{\n \"signatures\": [\n  {\n"), "{}", one.display());
        }
    }
}
