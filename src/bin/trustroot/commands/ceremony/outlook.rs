//! What can still become of an event: who is needed, how long there is, and whether its ground has moved.

use chrono::Duration;
use serde_json::{Value, json};
use trustroot::ceremony::{EventState, Outlook, SigningEvent, Status};
use trustroot::repository::{SignedState, WorkingCopy};
use trustroot::{Line, Named, Printable};

use super::super::maintain::ceremony_failed;
use crate::report::{Outcome, Report};
use crate::ui::Session;

fn waits(status: &Status) -> bool {
    matches!(status.state, EventState::Open | EventState::Complete)
}

/// What is said of an event that waits.
#[derive(Debug, Default)]
pub(super) struct Prospect {
    /// For people, without the rules that are broken.
    lines: Vec<String>,
    /// Whether every threshold is met, or can be.
    pub(super) reachable: bool,
    /// Whose keys were said to be lost.
    pub(super) lost: Vec<String>,
    outlooks: Vec<Outlook>,
    soon: bool,
    moved: bool,
    problems: Vec<String>,
}

impl Prospect {
    pub(super) fn of(
        session: &Session,
        copy: &WorkingCopy,
        signed: &SignedState,
        event: &SigningEvent,
        status: &Status,
        lost: &[String],
    ) -> Self {
        let mut prospect = Self { reachable: true, lost: lost.to_vec(), ..Self::default() };
        if !waits(status) {
            return prospect;
        }
        let now = session.start.time();
        // Counting them has worked for the status.
        prospect.outlooks = event.outlook(signed, lost).unwrap_or_default();
        prospect.reachable = prospect.outlooks.iter().all(|outlook| outlook.reachable);
        for outlook in prospect.outlooks.iter().filter(|outlook| !outlook.reachable || !lost.is_empty()) {
            prospect.lines.push(outlook_words(outlook));
        }
        if let (Ok(expires), Ok(policy)) = (event.expires(), copy.config().policy(&event.role))
            && !expires.is_past(now)
            && expires.time() - now < Duration::days(policy.sign_within_days.into())
        {
            prospect.soon = true;
            prospect.lines.push(format!(
                "its proposal expires soon, on {expires}: what is finished now is due to be signed again at once"
            ));
        }
        // What cannot be proposed at all is said by whoever proposes.
        prospect.moved = event.has_moved(copy, signed, now).unwrap_or(false);
        if prospect.moved {
            prospect.lines.push(format!(
                "what is signed or configured has moved since it was proposed: `trustroot ceremony rebase {}`",
                event.name
            ));
        }
        prospect
    }

    /// With the rules that it breaks, where nothing else says them.
    pub(super) fn judged(
        mut self,
        session: &Session,
        copy: &WorkingCopy,
        signed: &SignedState,
        event: &SigningEvent,
        status: &Status,
    ) -> Self {
        if waits(status) {
            let review = event.review(copy, signed, session.start.time());
            self.problems = review.map(|review| review.problems).unwrap_or_default();
        }
        self
    }

    /// For people.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let broken = |problem: &String| format!("BREAKS A RULE, and cannot be finished: {}", Line(problem));
        self.lines.iter().cloned().chain(self.problems.iter().map(broken))
    }

    pub(super) fn json(&self) -> Value {
        let one = |outlook: &Outlook| {
            json!({
                "under": outlook.by,
                "needed": outlook.needed,
                "possible": outlook.possible,
                "reachable": outlook.reachable,
                "mustSign": outlook.must_sign,
            })
        };
        json!({
            "thresholds": self.outlooks.iter().map(one).collect::<Vec<_>>(),
            "expiresSoon": self.soon,
            "hasMoved": self.moved,
            "problems": self.problems,
        })
    }
}

fn outlook_words(outlook: &Outlook) -> String {
    let names = |names: &std::collections::BTreeSet<String>, and: &str| {
        names.iter().map(|name| Named(name).to_string()).collect::<Vec<_>>().join(and)
    };
    let by = &outlook.by;
    if outlook.reachable && outlook.must_sign.is_empty() {
        return format!("under {by}: can still be reached");
    }
    if outlook.reachable {
        return format!("under {by}: can still be reached, and needs {}", names(&outlook.must_sign, " and "));
    }
    let without = match outlook.lost.len() {
        0 => ", since too few of its keys can be used".to_owned(),
        _ => format!(" without {}", names(&outlook.lost, " or ")),
    };
    format!("under {by}: cannot be reached any more{without}: {} of {} at most", outlook.possible, outlook.needed)
}

/// Refuses names that nobody has: a mistake here would say that all is well.
pub(super) fn check_people(event: &SigningEvent, signed: &SignedState, named: &[String]) -> Result<(), Report> {
    if named.is_empty() {
        return Ok(());
    }
    let people = event.people(signed).map_err(|error| ceremony_failed(&error))?;
    let Some(unknown) = named.iter().find(|name| !people.contains(*name)) else { return Ok(()) };
    let known: Vec<String> = people.iter().map(|name| Named(name).to_string()).collect();
    let what = format!("`{}` holds no key that may sign {}", Printable(unknown), event.name);
    Err(Report::new(Outcome::WrongQuestion, "unknown-person", what)
        .fact("people", known.join(", "))
        .still("nothing changed"))
}
