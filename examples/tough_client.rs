//! tough as a command, to be measured by `scripts/bench-client`.
//!
//! ```text
//! tough_client URL PINNED_ROOT CACHE TARGET OUTPUT
//! ```
//!
//! Metadata is at `URL`, targets are in `URL/targets`.

use std::error::Error;
use std::path::Path;

use tough::{DefaultTransport, Limits, RepositoryLoader, TargetName};
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, root, cache, target, output] = arguments.as_slice() else {
        return Err("usage: tough_client URL PINNED_ROOT CACHE TARGET OUTPUT".into());
    };
    let root = std::fs::read(root)?;
    let metadata = Url::parse(&format!("{url}/"))?;
    let targets = metadata.join("targets/")?;
    let repository = RepositoryLoader::new(&root, metadata, targets)
        .transport(DefaultTransport::new())
        .limits(Limits { max_targets_size: 512_000_000, ..Limits::default() })
        .datastore(cache)
        .load()
        .await?;
    let directory = Path::new(output).parent().ok_or("the output needs a directory")?;
    let name = TargetName::new(target)?;
    repository.save_target(&name, directory, tough::Prefix::None).await?;
    Ok(std::fs::rename(directory.join(target), output)?)
}
