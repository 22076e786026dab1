//! Numbers for monitoring, in Prometheus' text form. Names of repositories and roles need no escaping: both are of few
//! characters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use trustroot::client::Traffic;
use trustroot::metadata::Document;
use trustroot::trust::{TrustedSet, Verified};

use crate::config::TrustName;

/// What is counted since the command was started.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    trusts: BTreeMap<String, TrustMetrics>,
    hook: [u64; 2],
}

#[derive(Debug, Default)]
struct TrustMetrics {
    last_success: Option<i64>,
    /// By role: version, and when it expires.
    roles: BTreeMap<String, (u64, i64)>,
    succeeded: u64,
    refused: u64,
    unreachable: u64,
    requests: u64,
    bytes: u64,
}

impl Metrics {
    /// Forgets repositories that are no longer watched.
    pub(super) fn keep_only(&mut self, names: &[TrustName]) {
        self.trusts.retain(|name, _| names.iter().any(|kept| kept.as_str() == name));
    }

    pub(super) fn asked(&mut self, name: &TrustName, traffic: Traffic) {
        let trust = self.of(name);
        trust.requests += traffic.requests;
        trust.bytes += traffic.bytes;
    }

    pub(super) fn failed(&mut self, name: &TrustName, could_not_tell: bool) {
        let trust = self.of(name);
        if could_not_tell {
            trust.unreachable += 1;
        } else {
            trust.refused += 1;
        }
    }

    pub(super) fn succeeded(&mut self, name: &TrustName, at: DateTime<Utc>) {
        let trust = self.of(name);
        trust.succeeded += 1;
        trust.last_success = Some(at.timestamp());
    }

    /// What is trusted now, however it came.
    pub(super) fn trusts(&mut self, name: &TrustName, trusted: &TrustedSet) {
        self.of(name).roles =
            [role(trusted.root()), role(trusted.timestamp()), role(trusted.snapshot()), role(&**trusted.targets())]
                .into();
    }

    pub(super) fn hook_ran(&mut self, well: bool) {
        self.hook[usize::from(!well)] += 1;
    }

    fn of(&mut self, name: &TrustName) -> &mut TrustMetrics {
        self.trusts.entry(name.as_str().to_owned()).or_default()
    }

    /// Everything, in Prometheus' text form, version 0.0.4.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let trusts = || self.trusts.iter().map(|(name, trust)| (format!("trust=\"{name}\""), trust));
        let roles = |value: fn(&(u64, i64)) -> String| {
            let of = move |(label, trust): (String, &'_ TrustMetrics)| -> Vec<(String, String)> {
                trust.roles.iter().map(|(role, both)| (format!("{label},role=\"{role}\""), value(both))).collect()
            };
            trusts().flat_map(of).collect::<Vec<_>>()
        };
        let counted = |value: fn(&TrustMetrics) -> u64| {
            trusts().map(|(label, trust)| (label, value(trust).to_string())).collect::<Vec<_>>()
        };
        let successes = trusts().filter_map(|(label, trust)| Some((label, trust.last_success?.to_string())));
        let results = trusts().flat_map(|(label, trust)| {
            [("success", trust.succeeded), ("refused", trust.refused), ("unreachable", trust.unreachable)]
                .map(|(result, count)| (format!("{label},result=\"{result}\""), count.to_string()))
        });
        let hooks = [("success", self.hook[0]), ("failure", self.hook[1])]
            .map(|(result, count)| (format!("result=\"{result}\""), count.to_string()));
        family(
            &mut text,
            "trustroot_last_success_timestamp_seconds",
            "gauge",
            "When a refresh succeeded last.",
            successes.collect(),
        );
        family(
            &mut text,
            "trustroot_expires_timestamp_seconds",
            "gauge",
            "When trusted metadata expires.",
            roles(|(_, expires)| expires.to_string()),
        );
        family(
            &mut text,
            "trustroot_role_version",
            "gauge",
            "The version of trusted metadata.",
            roles(|(version, _)| version.to_string()),
        );
        let help = "Refreshes since the start, by how they ended.";
        family(&mut text, "trustroot_refresh_total", "counter", help, results.collect());
        let help = "Requests made since the start.";
        family(&mut text, "trustroot_requests_total", "counter", help, counted(|trust| trust.requests));
        let help = "Bytes received in bodies since the start.";
        family(&mut text, "trustroot_received_bytes_total", "counter", help, counted(|trust| trust.bytes));
        let help = "Runs of the command for changes since the start.";
        family(&mut text, "trustroot_hook_total", "counter", help, hooks.into());
        text
    }
}

fn role<T: Document>(document: &Verified<T>) -> (String, (u64, i64)) {
    (document.role().to_string(), (document.version().get(), document.expires().time().timestamp()))
}

fn family(text: &mut String, name: &str, kind: &str, help: &str, samples: Vec<(String, String)>) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{{{labels}}} {value}");
    }
}
