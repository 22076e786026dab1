//! `trustroot publish`

use std::collections::BTreeSet;

use serde::Serialize;
use trustroot::ceremony::{
    AcceptedRisks, CeremonyError, NamedDigest, SigningEvent, events_without_publication, may_publish,
};
use trustroot::metadata::{RoleName, Version};
use trustroot::publish::{PublishError, PublishPlan, audit};
use trustroot::repository::{SignedState, file_name};
use trustroot::signers::Signer;

use super::ceremony::circumstances;
use super::maintain::{ceremony_failed, open, publish_failed, repository_failed};
use crate::args::PublishOptions;
use crate::keys::{KeyOptions, open_key};
use crate::output::{self, Show, ShownPath};
use crate::report::{Outcome, Report};
use crate::ui::{Session, block_on, show_path, warn};

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

/// The documents of a plan that people sign: those that are published for the first time, or all of them.
fn documents(signed: &SignedState, plan: &PublishPlan, new: bool) -> Vec<(RoleName, Version)> {
    let roots = signed.roots().map(|(root, _)| (RoleName::Root, root.version));
    let others = plan
        .versions
        .iter()
        .filter(|(role, _)| !matches!(role, RoleName::Root | RoleName::Snapshot | RoleName::Timestamp));
    let all = roots.chain(others.cloned());
    let is_new = |name: &str| plan.objects.iter().any(|object| object.name == name);
    all.filter(|(role, version)| !new || is_new(&file_name(role, *version))).collect()
}

/// Records in each event that its document was published. What is published stays so: a record that cannot be written is
/// said, and written by the next run.
fn record(
    session: &Session,
    options: &PublishOptions,
    signed: &SignedState,
    events: &[SigningEvent],
    accepted: &AcceptedRisks,
) {
    let mut done = BTreeSet::new();
    for event in events.iter().filter(|event| done.insert(event.name.clone())) {
        let mut with = circumstances(session);
        let recorded = signed.bytes(&event.role, event.version).map_err(CeremonyError::from).and_then(|bytes| {
            let name = show_path(&options.destination.join(event.file_name()));
            with.outputs.push(NamedDigest::of(&name, &bytes));
            event.record_published(signed, accepted, &with)
        });
        if let Err(error) = recorded {
            warn(&format!("the transcript of {} does not tell of this: {error}", event.name));
        }
    }
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
    let signed = copy.signed(session.start).map_err(|error| repository_failed(&error))?;
    let mut accepted = AcceptedRisks::default();
    accepted.siblings = options.accept_sibling.iter().map(hex::encode).collect();
    accepted.without_witness.clone_from(&options.without_witness);
    let plan = block_on(async {
        let progress = session.progress("trying the result with clients".to_owned(), None);
        let plan = PublishPlan::prove(&copy, &options.destination, &keys, session.start).await;
        drop(progress);
        let plan = plan.map_err(failed)?;
        let events = may_publish(&copy, &signed, &documents(&signed, &plan, true), &accepted);
        let mut events = events.map_err(|error| ceremony_failed(&error).still("nothing was written"))?;
        if !options.dry_run {
            plan.apply().await.map_err(failed)?;
            audit(&plan, session.start).await.map_err(failed)?;
            events.extend(events_without_publication(&copy, &signed, &documents(&signed, &plan, false)));
            record(session, options, &signed, &events, &accepted);
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
