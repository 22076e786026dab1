//! `trustroot publish`

use serde::Serialize;
use trustroot::publish::{PublishError, PublishPlan, audit};
use trustroot::signers::Signer;

use super::maintain::{open, publish_failed};
use crate::args::PublishOptions;
use crate::keys::{KeyOptions, open_key};
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, block_on};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    destination: ShownPath,
    roles: Vec<RoleVersion>,
    /// Files that are new or replaced; with `--dry-run`, that would be.
    new: Vec<String>,
    clients: Vec<String>,
    targets_tried: usize,
    looked_up: usize,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct RoleVersion {
    role: String,
    version: u64,
}

impl Show for Published {
    fn text(&self) -> String {
        let roles: Vec<String> = self.roles.iter().map(|role| format!("{} v{}", role.role, role.version)).collect();
        let verb = match (self.dry_run, self.new.is_empty()) {
            (true, _) => "would publish",
            (false, true) => "published already:",
            (false, false) => "published",
        };
        format!(
            "{verb} {} to {} ({} new files)\n  tried first by clients from {}; {} targets downloaded and compared\n",
            roles.join(", "),
            self.destination,
            self.new.len(),
            self.clients.join(", from "),
            self.targets_tried,
        )
    }
}

pub(crate) fn run(session: &Session, options: &PublishOptions) -> Result<(), Report> {
    if session.time_is_chosen && !options.dry_run {
        // The online keys would sign for another time than the one that clients live in.
        return Err(Report::new(
            Outcome::WrongQuestion,
            "chosen-time",
            "what is published is signed now, not at a time of your choice",
        )
        .hint("leave out `--at`, or say `--dry-run`"));
    }
    let copy = open(&options.working_copy)?;
    let mut keys: Vec<Box<dyn Signer>> = Vec::new();
    for key in &options.online_key {
        let key = KeyOptions { key: key.clone(), passphrase_file: options.passphrase_file.clone() };
        keys.push(open_key(session, &key)?);
    }
    let failed = |error: PublishError| publish_failed(&error);
    let plan = block_on(async {
        let progress = session.progress("trying the result with clients".to_owned(), None);
        let plan = PublishPlan::prove(&copy, &options.destination, &keys, session.start).await;
        drop(progress);
        let plan = plan.map_err(failed)?;
        if !options.dry_run {
            plan.apply().await.map_err(failed)?;
            audit(&plan, session.start).await.map_err(failed)?;
        }
        Ok(plan)
    })?;
    let published = Published {
        destination: ShownPath::of(&options.destination),
        roles: plan
            .versions
            .iter()
            .map(|(role, version)| RoleVersion { role: role.to_string(), version: version.get() })
            .collect(),
        new: plan.objects.iter().map(|object| object.name.clone()).collect(),
        clients: plan.proof.clients.clone(),
        targets_tried: plan.proof.targets,
        looked_up: plan.proof.looked_up,
        dry_run: options.dry_run,
    };
    output::show(session.format, &published)
}
