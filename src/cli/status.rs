//! `keywright status`: everything at a glance, and what needs attention.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Answer, Client};
use super::failure::Failure;
use super::moment::{rfc3339, seen_from};
use super::session::Session;
use super::short_names::ShortNames;
use super::table::columns;
use crate::lifecycle::Timestamp;

/// How far the next rotation is looked for, in seconds: a year and a day.
const HORIZON: u64 = 366 * 86_400;

/// The most issuers whose keys and plans are asked for.
const MOST_ISSUERS: usize = 50;

/// The service's answers, each as it came. What the caller may not read is `null`.
#[derive(Deserialize)]
struct Status {
    health: Health,
    issuers: Vec<IssuerStatus>,
    issuers_left_out: usize,
    approvals: Option<Vec<Value>>,
    replicas: Option<Replicas>,
}

#[derive(Deserialize)]
struct Health {
    ready: bool,
    reason: Option<String>,
    store: Store,
    issuer_count: usize,
    issuers: Vec<IssuerFault>,
    log_lines_lost: u64,
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Store {
    shared: bool,
    answers: Option<bool>,
    disk_reserve: Option<bool>,
}

#[derive(Deserialize)]
struct IssuerFault {
    issuer: String,
    state: String,
    since: Option<u64>,
    detail: String,
}

#[derive(Deserialize)]
struct Task {
    name: String,
    state: String,
}

#[derive(Deserialize)]
struct IssuerStatus {
    name: String,
    algorithms: Vec<AlgorithmStatus>,
}

#[derive(Deserialize)]
struct AlgorithmStatus {
    algorithm: String,
    active: Option<String>,
    next_rotation_at: Option<u64>,
}

#[derive(Deserialize)]
struct Replicas {
    max_staleness: Option<String>,
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    id: String,
    host: Option<String>,
    seen_at: u64,
    live: bool,
}

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let document = collect(&client, session.now)?;
    let status: Status = Answer::made_here(&document).parse()?;
    let now = session.now.floor_seconds();
    let attention = status.attention(now);
    session
        .output
        .show(&Answer::made_here(&document), |status: Status, output| {
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

/// Asks for everything, and puts it into one document.
fn collect(client: &Client, now: Timestamp) -> Result<Value, Failure> {
    let health: Value = client.read("/v1/health")?.parse()?;
    let list: Map<String, Value> = client.read("/v1/issuers")?.parse()?;
    let issuers = list.get("issuers").and_then(Value::as_array);
    let names: Vec<&str> = issuers
        .into_iter()
        .flatten()
        .filter(|issuer| issuer.get("deleted_at").is_none())
        .filter_map(|issuer| issuer.get("name")?.as_str())
        .collect();
    let mut shown = Vec::new();
    for name in names.iter().take(MOST_ISSUERS) {
        shown.push(issuer(client, name, now)?);
    }
    let approvals = permitted(client.read("/v1/approvals"))?;
    let approvals = approvals.and_then(|mut document| document.remove("approvals"));
    Ok(json!({
        "health": health,
        "issuers": shown,
        "issuers_left_out": names.len().saturating_sub(MOST_ISSUERS),
        "approvals": approvals,
        "replicas": permitted(client.read("/v1/replicas"))?,
    }))
}

/// An answer, or `None` where the caller lacks the role.
fn permitted(answer: Result<Answer, Failure>) -> Result<Option<Map<String, Value>>, Failure> {
    match answer {
        Err(Failure::Refused(problem)) if problem.status == 403 => Ok(None),
        answer => Ok(Some(answer?.parse()?)),
    }
}

fn issuer(client: &Client, name: &str, now: Timestamp) -> Result<Value, Failure> {
    let until = now.floor_seconds().saturating_add(HORIZON);
    let plan: Map<String, Value> = client
        .read(&format!("/v1/issuers/{name}/plan?until={until}"))?
        .parse()?;
    let keys: Map<String, Value> = client.read(&format!("/v1/issuers/{name}/keys"))?.parse()?;
    let list = |document: &Map<String, Value>, member: &str| {
        let values = document.get(member).and_then(Value::as_array);
        values.cloned().unwrap_or_default()
    };
    let (keys, events) = (list(&keys, "keys"), list(&plan, "occurrences"));
    let mut algorithms: Vec<&Value> = keys.iter().filter_map(|key| key.get("algorithm")).collect();
    algorithms.sort_by_key(|algorithm| algorithm.to_string());
    algorithms.dedup();
    let shown = algorithms.into_iter().map(|algorithm| {
        let is_of = |value: &&Value| value.get("algorithm") == Some(algorithm);
        let active = keys
            .iter()
            .filter(is_of)
            .find(|key| key.get("state").is_some_and(|state| state == "active"));
        let rotation = |event: &&Value| {
            event
                .get("event")
                .is_some_and(|event| event == "key-activated")
        };
        let next = events.iter().filter(is_of).find(rotation);
        json!({
            "algorithm": algorithm,
            "active": active.and_then(|key| key.get("kid")),
            "next_rotation_at": next.and_then(|event| event.get("at")),
        })
    });
    Ok(json!({ "name": name, "algorithms": shown.collect::<Vec<_>>() }))
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
                max_staleness: Some(_),
                replicas,
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
        let names = ShortNames::of(algorithms.filter_map(|one| one.active.as_deref()));
        let names = &names;
        let rows = self.issuers.iter().flat_map(|issuer| {
            let mut faults = self.health.issuers.iter();
            let fault = faults.find(|fault| fault.issuer == issuer.name);
            let state = fault.map_or("ok", |fault| fault.state.as_str());
            issuer.algorithms.iter().map(move |one| {
                let active = one.active.clone().unwrap_or_default();
                let next = one
                    .next_rotation_at
                    .map_or_else(|| "none planned".to_owned(), |at| seen_from(now, at));
                [
                    issuer.name.clone(),
                    state.to_owned(),
                    one.algorithm.clone(),
                    names.short(&active).to_owned(),
                    next,
                ]
            })
        });
        let headings = ["issuer", "state", "alg", "active", "next rotation"];
        lines.push(columns(headings, rows));
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
            let since = fault.since.map(|at| format!(" (since {})", rfc3339(at)));
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
            .filter(|task| task.state != "running")
        {
            lines.push(format!(
                "the background task {} is {}: the service's log says why",
                task.name, task.state
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
                seen_from(now, replica.seen_at)
            ));
        }
        lines
    }
}
