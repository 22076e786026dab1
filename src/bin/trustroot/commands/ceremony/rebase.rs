//! `trustroot ceremony rebase`

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use trustroot::ceremony::{CeremonyError, FiledSignature, SigningEvent};

use super::super::maintain::{ceremony_failed, open};
use super::status::count;
use super::{circumstances, read_signed, reviewed};
use crate::args::CeremonyRebaseOptions;
use crate::output::{self, Show};
use crate::report::Report;
use crate::ui::Session;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rebased {
    event: String,
    role: String,
    version: u64,
    payload_sha256: String,
    /// What is otherwise than in the earlier proposal; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<Vec<Value>>,
    /// Signatures over the payload, which stay.
    kept: usize,
    /// Signatures over the earlier payload, which no longer count.
    voided: usize,
    /// Who asks for how many, and how many count.
    counts: Vec<String>,
    next: String,
}

impl Show for Rebased {
    fn text(&self) -> String {
        let signatures = |n: usize, verb: [&str; 2]| match n {
            1 => format!("1 signature {}", verb[0]),
            n => format!("{n} signatures {}", verb[1]),
        };
        let mut text = String::new();
        match &self.moved {
            None => {
                let _ = writeln!(
                    text,
                    "{} is what would be proposed now: nothing moved; {}",
                    self.event,
                    signatures(self.kept, ["stays", "stay"])
                );
            }
            Some(moved) => {
                let _ = writeln!(text, "proposed {} v{} anew as signing event {}", self.role, self.version, self.event);
                for change in moved {
                    let part = |name: &str| change[name].as_str().unwrap_or_default();
                    let _ = writeln!(text, "  {} {}", part("mark"), part("text"));
                }
                if self.voided > 0 {
                    let _ = writeln!(
                        text,
                        "the payload changed: {} over the earlier one, for which only it is good",
                        signatures(self.voided, ["is", "are"])
                    );
                }
                if self.kept > 0 {
                    let _ = writeln!(text, "{} over this payload", signatures(self.kept, ["lies here", "lie here"]));
                }
            }
        }
        let _ = writeln!(
            text,
            "  payload  sha256 {}\n  counted  {}\nnext: {}",
            self.payload_sha256,
            self.counts.join("; "),
            self.next
        );
        text
    }
}

pub(super) fn rebase(session: &Session, options: &CeremonyRebaseOptions) -> Result<(), Report> {
    let failed = |error: CeremonyError| ceremony_failed(&error);
    let copy = open(&options.working_copy)?;
    let signed = read_signed(session, &copy)?;
    let rebased = SigningEvent::rebase(&copy, &signed, &options.event, session.start.time()).map_err(failed)?;
    let event = &rebased.event;
    // Signatures that stay, and of which no record tells.
    let there = event.signatures.iter().map(FiledSignature::digest).collect();
    event.record_collected(&signed, &there, &circumstances(session)).map_err(failed)?;
    let problems = reviewed(session, &copy, &signed, event)?;
    if !problems.is_empty() {
        return Err(failed(CeremonyError::BreaksRules { problems }));
    }
    let counts = event.counts(&signed).map_err(failed)?;
    let next = if counts.iter().all(trustroot::ceremony::Under::met) {
        format!("`trustroot ceremony finish {}`", event.name)
    } else {
        format!("each signer runs `trustroot ceremony sign {} --key FILE`", event.name)
    };
    let moved = rebased.moved.as_ref().map(|moved| {
        let line =
            |change: &trustroot::ceremony::Change| json!({"mark": change.mark.sign().to_string(), "text": change.text});
        moved.iter().map(line).collect()
    });
    let shown = Rebased {
        event: event.name.as_str().to_owned(),
        role: event.role.to_string(),
        version: event.version.get(),
        payload_sha256: hex::encode(event.digest()),
        kept: event.over_this_payload().count(),
        voided: if rebased.moved.is_some() { rebased.signatures } else { 0 },
        moved,
        counts: counts.iter().map(count).collect(),
        next,
    };
    output::show(session.format, &shown)
}
