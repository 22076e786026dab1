//! A client under test for the public TUF conformance suite, speaking its command-line protocol.
//!
//! ```text
//! conformance_client --metadata-dir DIR init TRUSTED_ROOT
//! conformance_client --metadata-dir DIR --metadata-url URL refresh
//! conformance_client --metadata-dir DIR --metadata-url URL --target-name PATH [--target-name PATH...]
//!                    --target-dir DIR --target-base-url URL download
//! ```
//!
//! Exit status 0 for success, 1 for anything else. It uses nothing but the library.
//!
//! The suite compares the order in which requests arrive. An updater asks for several files at once, which arrive in any
//! order; so this asks for one after the other, in the order of the specification.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use trustroot::client::{
    AskFuture, CacheMode, DefaultFetcher, FetchFuture, FetchRequest, Fetcher, HttpSettings, LocalCache, SafeUrl,
    TrustAnchor, Updater, UpdaterSettings,
};
use trustroot::metadata::TargetPath;
use trustroot::trust::UpdateStart;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is a command")]
            {
                eprintln!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Asks for one file after the other: for the next once the answer for the one before has begun.
#[derive(Debug)]
struct InOrder(DefaultFetcher, tokio::sync::Mutex<()>);

impl Fetcher for InOrder {
    fn fetch<'a>(&'a self, url: &'a SafeUrl) -> FetchFuture<'a> {
        Box::pin(async {
            let _turn = self.1.lock().await;
            self.0.fetch(url).await
        })
    }

    fn ask<'a>(&'a self, request: &'a FetchRequest) -> AskFuture<'a> {
        Box::pin(async {
            let _turn = self.1.lock().await;
            self.0.ask(request).await
        })
    }
}

#[derive(Default)]
struct Options {
    metadata_dir: PathBuf,
    metadata_url: String,
    target_names: Vec<String>,
    target_dir: PathBuf,
    target_base_url: String,
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    let command = loop {
        let argument = arguments.next().ok_or("a command is missing: init, refresh or download")?;
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--metadata-dir" => options.metadata_dir = value()?.into(),
            "--metadata-url" => options.metadata_url = value()?,
            "--target-name" => options.target_names.push(value()?),
            "--target-dir" => options.target_dir = value()?.into(),
            "--target-base-url" => options.target_base_url = value()?,
            _ => break argument,
        }
    };
    match command.as_str() {
        "init" => init(&options, &arguments.next().ok_or("init needs a trusted root")?),
        "refresh" | "download" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(update(&options, command == "download"))
        }
        other => Err(format!("unknown command `{other}`").into()),
    }
}

/// Takes the root as it is; the first refresh judges it.
fn init(options: &Options, trusted_root: &str) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&options.metadata_dir)?;
    std::fs::copy(trusted_root, options.metadata_dir.join("root.json"))?;
    Ok(())
}

async fn update(options: &Options, download: bool) -> Result<(), Box<dyn Error>> {
    let metadata_url = SafeUrl::parse(&options.metadata_url)?;
    let target_url = if download { SafeUrl::parse(&options.target_base_url)? } else { metadata_url.clone() };
    #[expect(clippy::disallowed_methods, reason = "this is a command: the clock is read here, once")]
    let start = UpdateStart::at(chrono::Utc::now());
    let mut updater = Updater::new(
        TrustAnchor::Cached,
        UpdaterSettings::new(metadata_url, target_url),
        LocalCache::new(&options.metadata_dir, CacheMode::ReadWrite),
        Arc::new(InOrder(DefaultFetcher::new(HttpSettings::default()), tokio::sync::Mutex::new(()))),
        start,
    )?;
    updater.refresh().await?;
    if download {
        for name in &options.target_names {
            let path = TargetPath::new(name.as_str())?;
            let target = updater.find(&path).await?.ok_or_else(|| format!("no trusted role names {path}"))?;
            std::fs::create_dir_all(&options.target_dir)?;
            let destination = options.target_dir.join(path.encoded().as_str());
            updater.download(&target, &destination, None, |_| ()).await?;
        }
    }
    Ok(())
}
