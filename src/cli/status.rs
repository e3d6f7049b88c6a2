//! `keywright status`: everything at a glance, and what needs attention.

use std::collections::BTreeMap;

use keywright_api::{
    Approval, HealthReport, KeyEvent, KeyState, Nullable, Replicas, TaskState, UnixSeconds,
    WaitingRotation,
};
use keywright_client::Answer;
use keywright_verifier::{Algorithm, Kid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::failure::Failure;
use super::moment::{rfc3339, seen_from};
use super::plan::waiting_rotation;
use super::session::Session;
use super::short_names::ShortNames;
use super::table::columns;
use crate::lifecycle::{IssuerName, Timestamp};

/// How far the next rotation is looked for, in seconds: a year and a day.
const HORIZON: u64 = 366 * 86_400;

/// The most issuers whose keys and plans are asked for.
const MOST_ISSUERS: usize = 50;

/// What the service answered. What the caller may not read is `null`.
#[derive(Serialize)]
struct Status {
    health: HealthReport,
    issuers: Vec<IssuerStatus>,
    issuers_left_out: usize,
    approvals: Option<Vec<Approval>>,
    replicas: Option<Replicas>,
}

#[derive(Serialize)]
struct IssuerStatus {
    name: IssuerName,
    algorithms: Vec<AlgorithmStatus>,
    waiting: Vec<WaitingRotation>,
}

#[derive(Serialize)]
struct AlgorithmStatus {
    algorithm: Algorithm,
    active: Option<Kid>,
    next_rotation_at: Option<UnixSeconds>,
}

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    let status = collect(&session.client()?, session.now)?;
    let now = session.now.floor_seconds();
    let attention = status.attention(now);
    session.output.show_found(status, |status, output| {
        for line in status.summary(now) {
            output.line(line)?;
        }
        if attention.is_empty() {
            return output.line("Nothing needs attention.");
        }
        output.line("\nNEEDS ATTENTION")?;
        for line in &attention {
            output.line(super::json_text::printable(line))?;
        }
        Ok(())
    })?;
    match attention.len() {
        0 => Ok(()),
        1 => Err(Failure::rejected(
            "not-healthy",
            "one thing needs attention",
        )),
        count => Err(Failure::rejected(
            "not-healthy",
            format!("{count} things need attention"),
        )),
    }
}

/// Asks for everything.
fn collect(client: &Client, now: Timestamp) -> Result<Status, Failure> {
    let health = client.wait(client.read_health_report())?.read()?;
    let list = client.wait(client.list_issuers())?.read()?;
    let all = list.issuers.into_iter();
    let all = all.filter(|issuer| issuer.deleted_at.is_none());
    let names: Vec<IssuerName> = all.map(|issuer| issuer.name).collect();
    let mut issuers = Vec::new();
    for name in names.iter().take(MOST_ISSUERS) {
        issuers.push(issuer(client, name, now)?);
    }
    let approvals = permitted(client.wait(client.list_approvals()))?;
    Ok(Status {
        health,
        issuers,
        issuers_left_out: names.len().saturating_sub(MOST_ISSUERS),
        approvals: approvals.map(|list| list.approvals),
        replicas: permitted(client.wait(client.list_replicas()))?,
    })
}

/// An answer, or `None` where the caller lacks the role.
fn permitted<T: DeserializeOwned>(
    answer: Result<Answer<T>, Failure>,
) -> Result<Option<T>, Failure> {
    match answer {
        Err(Failure::Refused(problem)) if problem.status == 403 => Ok(None),
        answer => Ok(Some(answer?.read()?)),
    }
}

fn issuer(client: &Client, name: &IssuerName, now: Timestamp) -> Result<IssuerStatus, Failure> {
    let until = UnixSeconds(now.floor_seconds().saturating_add(HORIZON));
    let plan = client.wait(client.read_plan(name, until))?.read()?;
    let keys = client.wait(client.list_keys(name))?.read()?.keys;
    let algorithms: BTreeMap<&str, Algorithm> = keys
        .iter()
        .map(|key| (key.algorithm.as_str(), key.algorithm))
        .collect();
    let status = algorithms.into_values().map(|algorithm| {
        let of_algorithm = keys.iter().filter(|key| key.algorithm == algorithm);
        let active = of_algorithm
            .into_iter()
            .find(|key| key.state == KeyState::Active);
        let next = plan.occurrences.iter().find(|occurrence| {
            occurrence.event == KeyEvent::KeyActivated
                && occurrence.members.algorithm == Some(algorithm)
        });
        AlgorithmStatus {
            algorithm,
            active: active.map(|key| key.kid.clone()),
            next_rotation_at: next.map(|occurrence| occurrence.at),
        }
    });
    Ok(IssuerStatus {
        name: name.clone(),
        algorithms: status.collect(),
        waiting: plan.waiting,
    })
}

impl Status {
    fn summary(&self, now: u64) -> Vec<String> {
        let issuers = match self.health.issuer_count {
            1 => "1 issuer".to_owned(),
            count => format!("{count} issuers"),
        };
        let readiness = match self.health.ready {
            true => "ready",
            false => "not ready",
        };
        let waiting = match &self.approvals {
            None => "approvals not readable (role security)".to_owned(),
            Some(waiting) if waiting.is_empty() => "no approval waits".to_owned(),
            Some(waiting) => format!("{} wait: keywright approvals list", waiting.len()),
        };
        let replicas = match &self.replicas {
            Some(Replicas {
                max_staleness: Nullable::Value(_),
                replicas,
                ..
            }) => {
                let live = replicas.iter().filter(|replica| replica.live).count();
                format!("{live} of {} replicas live", replicas.len())
            }
            _ => "a single process".to_owned(),
        };
        let mut lines = vec![
            format!("{readiness}; {issuers}; {replicas}; {waiting}"),
            String::new(),
        ];
        let algorithms = self.issuers.iter().flat_map(|issuer| &issuer.algorithms);
        let active = algorithms.filter_map(|one| one.active.as_ref());
        let names = ShortNames::of(active.map(Kid::as_str));
        let names = &names;
        let rows = self.issuers.iter().flat_map(|issuer| {
            let mut faults = self.health.issuers.iter();
            let fault = faults.find(|fault| fault.issuer == issuer.name);
            let state = fault.map_or("ok", |fault| fault.state.as_str());
            issuer.algorithms.iter().map(move |one| {
                let active = one
                    .active
                    .as_ref()
                    .map_or("", |kid| names.short(kid.as_str()));
                let next = one
                    .next_rotation_at
                    .map_or_else(|| "none planned".to_owned(), |at| seen_from(now, at.0));
                [
                    issuer.name.to_string(),
                    state.to_owned(),
                    one.algorithm.to_string(),
                    active.to_owned(),
                    next,
                ]
            })
        });
        let headings = ["issuer", "state", "alg", "active", "next rotation"];
        lines.push(columns(headings, rows));
        let waiting = self.issuers.iter().flat_map(|issuer| {
            let name = &issuer.name;
            let told = move |one| format!("{name}: {}", waiting_rotation(one, UnixSeconds(now)));
            issuer.waiting.iter().map(told)
        });
        lines.extend(waiting);
        if self.issuers_left_out > 0 {
            lines.push(format!("and {} more issuers", self.issuers_left_out));
        }
        lines.push(String::new());
        lines
    }

    /// What is not as it should be, and why, one line each.
    fn attention(&self, now: u64) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.health.ready {
            let reason = self
                .health
                .reason
                .as_deref()
                .unwrap_or("no reason is given");
            lines.push(format!("the service is not ready: {reason}"));
        }
        for fault in &self.health.issuers {
            let since = fault.since.map(|at| format!(" (since {})", rfc3339(at.0)));
            lines.push(format!(
                "issuer {}: {}{}",
                fault.issuer,
                fault.detail,
                since.unwrap_or_default()
            ));
        }
        let store = &self.health.store;
        if !store.shared && store.answers == Some(false) {
            lines.push("the store does not answer".to_owned());
        }
        if store.disk_reserve == Some(false) {
            lines.push("the disk is full or nearly so: the disk reserve is given up".to_owned());
        }
        for task in self
            .health
            .tasks
            .iter()
            .filter(|task| task.state != TaskState::Running)
        {
            lines.push(format!(
                "the background task {} is {}: the service's log says why",
                task.name,
                task.state.as_str()
            ));
        }
        for webhook in &self.health.webhooks {
            lines.push(format!(
                "webhook {} is {} (since {}): {}",
                webhook.webhook,
                webhook.state.as_str(),
                rfc3339(webhook.since.0),
                webhook.reason
            ));
        }
        for stream in &self.health.event_streams {
            lines.push(format!(
                "event stream {} of client {} at issuer {} is {} (since {}): {}",
                stream.stream,
                stream.client,
                stream.issuer,
                stream.state.as_str(),
                rfc3339(stream.since.0),
                stream.reason
            ));
        }
        for copy in &self.health.copies {
            lines.push(format!(
                "the copy of issuer {}'s key set at {} is not up to date (since {}), and successors wait for \
                 it: {}",
                copy.issuer,
                copy.target,
                rfc3339(copy.since.0),
                copy.reason
            ));
        }
        if self.health.log_lines_lost > 0 {
            let lost = self.health.log_lines_lost;
            lines.push(format!("{lost} lines of the service's log were lost"));
        }
        let replicas = self.replicas.iter().flat_map(|one| &one.replicas);
        for replica in replicas.filter(|replica| !replica.live) {
            lines.push(format!(
                "replica {} on {} is silent; it was last seen {}",
                replica.id,
                replica.host.as_deref().unwrap_or("an unknown host"),
                seen_from(now, replica.seen_at.0)
            ));
        }
        lines
    }
}
