//! Who is asked: one repository, or those that a map names, of which enough must agree (TAP 4).
//!
//! One repository is asked as a map of one would have it, so that there is one way to ask. What is shown differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trustroot::client::{Agreed, ConsensusError, Dissent, MultiRepository};
use trustroot::metadata::TargetPath;
use trustroot::trust::FoundTarget;

use crate::config::{Trust, TrustName};
use crate::freshness::{Currency, heed};
use crate::output::ShownPath;
use crate::report::{Outcome, Report, update_failed};
use crate::ui::{Session, warn};

/// The repositories that a command asks.
pub(crate) struct Asked {
    /// The map that is followed, if any.
    map: Option<PathBuf>,
    trusts: Vec<Trust>,
    pub(crate) repositories: MultiRepository,
}

impl Asked {
    /// The repository that was named; else those of the map that was given or is there; else the only repository.
    pub(crate) fn of(session: &Session, trust: Option<&TrustName>, map: Option<&Path>) -> Result<Self, Report> {
        if trust.is_none()
            && let Some((path, map)) = session.store()?.map(map)?
        {
            let trusts = session.store()?.load_mapped(&path, &map)?;
            let mut updaters = BTreeMap::new();
            for trust in &trusts {
                updaters.insert(trust.name.to_string(), session.updater(trust)?);
            }
            let repositories = MultiRepository::new(map, updaters)
                .map_err(|error| Report::new(Outcome::WrongQuestion, error.code(), error.to_string()))?;
            return Ok(Self { map: Some(path), trusts, repositories });
        }
        let trust = session.trust(trust)?;
        let repositories = MultiRepository::of_one(trust.name.as_str(), session.updater(&trust)?);
        Ok(Self { map: None, trusts: vec![trust], repositories })
    }

    /// The only repository that is asked; none where a map is followed.
    pub(crate) fn only(&self) -> Option<&Trust> {
        self.trusts.first().filter(|_| self.map.is_none())
    }

    /// The map that is followed, as it is shown.
    pub(crate) fn map(&self) -> Option<ShownPath> {
        self.map.as_deref().map(ShownPath::of)
    }

    /// Where the repositories that agree keep a target, in their order.
    pub(crate) fn kept_files(&self, agreed: &Agreed) -> Vec<PathBuf> {
        let trust = |name: &String| self.trusts.iter().find(|trust| trust.name.as_str() == name);
        let agreeing = agreed.by.iter().filter_map(|(name, _)| trust(name));
        agreeing.map(|trust| trust.target_file(&agreed.found.path)).collect()
    }

    /// Says how much was asked for, with `--verbose`.
    pub(crate) fn note_traffic(&self, session: &Session) {
        for updater in self.repositories.updaters().values() {
            session.note_traffic(updater.traffic());
        }
    }

    /// Says what the user should know about answers that these repositories agreed on, and returns it for programs.
    pub(crate) fn heed(&self, session: &Session, answers: &[&Agreed]) -> Heeded {
        let mut currency = BTreeMap::new();
        for trust in &self.trusts {
            let updater = &self.repositories.updaters()[trust.name.as_str()];
            if updater.trusted().is_some() {
                currency.insert(trust.name.to_string(), heed(session, trust, updater));
            }
        }
        let mut said = Vec::new();
        for (name, dissent) in answers.iter().flat_map(|agreed| &agreed.others) {
            // That one does not name a target is what maps are for.
            if *dissent != Dissent::NotNamed && !said.contains(&(name, dissent)) {
                warn(&format!("{name} does not count among those that agree: {dissent}"));
                said.push((name, dissent));
            }
        }
        Heeded { currency }
    }

    /// Who names a target, in words: role, version, repository and root.
    pub(crate) fn named_by(&self, agreed: &Agreed) -> String {
        let one = |(name, found): &(String, FoundTarget)| {
            let trusted = self.repositories.updaters()[name].trusted();
            let root = trusted.map(|trusted| format!(" (root {})", trusted.root().version)).unwrap_or_default();
            format!("{} {} of {name}{root}", found.role, found.version)
        };
        let all: Vec<String> = agreed.by.iter().map(one).collect();
        match self.map {
            Some(_) => format!("{}, {} needed", all.join(" and "), agreed.threshold),
            None => all.concat(),
        }
    }

    /// Where a target came from, for programs.
    pub(crate) fn source_json(&self, agreed: &Agreed) -> Value {
        let source = |found: &FoundTarget| json!({"namedBy": found.role.as_str(), "version": found.version.get()});
        let mut json = source(&agreed.found);
        json["target"] = json!(agreed.found.path.as_str());
        if self.map.is_some() {
            let by = agreed.by.iter().map(|(name, found)| {
                let mut json = source(found);
                json["trust"] = json!(name);
                json
            });
            json["threshold"] = json!(agreed.threshold);
            json["agreedBy"] = by.collect();
            json["others"] = others_json(agreed);
        }
        json
    }

    /// The state of the repositories, for programs: of those of which something is trusted.
    pub(crate) fn registry_json(&self, heeded: &Heeded) -> Value {
        let state = |trust: &Trust| {
            let trusted = self.repositories.updaters()[trust.name.as_str()].trusted()?;
            let mut state = json!(heeded.currency.get(trust.name.as_str()));
            state["trust"] = json!(trust.name.as_str());
            state["root"] = json!(trusted.root().version.get());
            state["timestamp"] = json!(trusted.timestamp().version.get());
            state["snapshot"] = json!(trusted.snapshot().version.get());
            state["targets"] = json!(trusted.targets().version.get());
            Some(state)
        };
        let mut states = self.trusts.iter().filter_map(state);
        match &self.map {
            Some(map) => json!({"map": ShownPath::of(map), "repositories": states.collect::<Vec<_>>()}),
            None => states.next().unwrap_or_default(),
        }
    }

    /// Turns a failure into a report. What repositories say is shown as their word, never as a fact.
    pub(crate) fn failed(&self, session: &Session, error: &ConsensusError) -> Report {
        let outcome = if error.is_refusal() { Outcome::No } else { Outcome::CouldNotTell };
        let plain = || Report::new(outcome, error.code(), error.to_string());
        let names: Vec<&str> = self.trusts.iter().map(|trust| trust.name.as_str()).collect();
        let report = match error {
            ConsensusError::Repository { name, source } => update_failed(name, source, session.time_is_chosen),
            ConsensusError::Local(error) => update_failed(&names.join(", "), error, session.time_is_chosen),
            ConsensusError::Registry { name, source } => {
                Report::new(outcome, error.code(), source.to_string()).fact("trust", name)
            }
            ConsensusError::NotNamed { path, .. } => match self.only() {
                Some(trust) => not_named(trust, path),
                None => plain(),
            },
            ConsensusError::NoCatalog { path, .. } => match self.only() {
                Some(trust) => {
                    let headline = format!("the repository has no catalog, {path}");
                    Report::new(outcome, error.code(), headline).fact("trust", trust.name.as_str())
                }
                None => plain(),
            },
            ConsensusError::Disagree { said, .. } => {
                let word = |found: &Option<FoundTarget>| match found {
                    Some(found) => format!("says {} bytes, {}", found.file.length, hashes(found)),
                    None => "does not name it".to_owned(),
                };
                let report = said.iter().fold(plain(), |report, (name, found)| report.fact(name, word(found)));
                report.still("nothing was fetched").hint(
                    "one repository may be behind: try again later; if it stays, one of them may have been tampered \
                     with: do not take the file from either, tell their maintainers",
                )
            }
            ConsensusError::OtherCatalog { .. } => {
                plain().hint("give the catalog and the documents of builders to the same repositories, in one mapping")
            }
            ConsensusError::SameRepository { .. } => {
                plain().hint("one repository cannot vouch twice; leave one of the names out of the map")
            }
            ConsensusError::NotMapped { .. } => {
                plain().hint("add a mapping that covers it, or name one repository with `--trust NAME`")
            }
            _ => plain(),
        };
        match self.map() {
            Some(map) => report.fact("map", map.to_string()),
            None => report,
        }
    }
}

/// What programs should know beside an answer, by repository.
pub(crate) struct Heeded {
    currency: BTreeMap<String, Currency>,
}

impl Heeded {
    /// Of one repository.
    pub(crate) fn of(&self, name: &str) -> Option<&Currency> {
        self.currency.get(name)
    }
}

/// Which repositories were asked and do not agree, for programs.
pub(crate) fn others_json(agreed: &Agreed) -> Value {
    let other = |(name, dissent): &(String, Dissent)| json!({"trust": name, "code": dissent.code(), "message": dissent.to_string()});
    agreed.others.iter().map(other).collect()
}

fn hashes(found: &FoundTarget) -> String {
    let hashes = found.file.hashes.iter().map(|(name, digest)| format!("{} {}", name.name(), hex::encode(digest)));
    hashes.collect::<Vec<_>>().join(", ")
}

/// What to say where no trusted role names a target.
pub(crate) fn not_named(trust: &Trust, target: &TargetPath) -> Report {
    Report::new(Outcome::No, "no-such-target", format!("no trusted role of {} names the target {target}", trust.name))
        .hint("check the spelling; target paths are case-sensitive and relative, such as `dir/file.json`")
}
