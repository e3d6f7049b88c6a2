//! `keywright plan`: the coming life of an issuer's keys.

mod document;
mod timelines;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::Answer;
use super::config_command::read_policy;
use super::failure::Failure;
use super::input;
use super::session::Session;
use crate::lifecycle::{
    IssuerName, IssuerOrigin, SimulationStart, Timestamp, Timing, parse_duration, simulate,
};
use document::PlanDocument;
use timelines::CurrentKey;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The issuer.
    #[arg(value_name = "ISSUER", default_value = "default", value_parser = IssuerName::parse)]
    issuer: IssuerName,
    /// How far to look ahead.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = parse_duration)]
    until: Duration,
    /// What would happen under this policy (JSON), which is not set; - for standard input.
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Simulate a new issuer here, without asking the service.
    #[arg(long, requires = "policy")]
    offline: bool,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let now = session.now;
    let until = now.after(arguments.until);
    let (answer, keys) = match &arguments.policy {
        Some(file) if arguments.offline => (
            simulate_offline(&arguments.issuer, file, now, until)?,
            Vec::new(),
        ),
        file => ask(&arguments.issuer, file.as_deref(), until, session)?,
    };
    session.output.show(&answer, |plan: PlanDocument, output| {
        for warning in &plan.warnings {
            output.note(format_args!("warning: {warning}"))?;
        }
        let names = plan.names(&keys);
        output.line(plan.event_list(&names))?;
        let timelines = timelines::draw(&plan, &keys, &names);
        if timelines.is_empty() {
            return Ok(());
        }
        output.line("")?;
        output.line(timelines)
    })
}

/// Asks the service; the keys as they are now are where the timelines begin.
fn ask(
    issuer: &IssuerName,
    policy: Option<&str>,
    until: Timestamp,
    session: &Session,
) -> Result<(Answer, Vec<CurrentKey>), Failure> {
    let client = session.client()?;
    let path = format!("/v1/issuers/{issuer}/plan?until={}", until.ceil_seconds());
    let answer = match policy {
        Some(file) => client.post(&path, &input::object(file)?.into())?,
        None => client.read(&path)?,
    };
    if session.output.is_json() {
        return Ok((answer, Vec::new()));
    }
    let keys = client.read(&super::keys::keys_path(issuer))?;
    Ok((answer, keys.parse::<timelines::CurrentKeys>()?.keys))
}

/// Tells the life of an issuer that does not exist, in the form of the service's answer.
fn simulate_offline(
    issuer: &IssuerName,
    file: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Answer, Failure> {
    let policy = read_policy(file, &Timing::single())?;
    let warnings = policy.warnings();
    let proposal = SimulationStart::Create(issuer.clone(), policy, IssuerOrigin::Fresh);
    let occurrences =
        simulate(&proposal, now, until).map_err(|refusal| Failure::rejected("refused", refusal))?;
    let shown = occurrences.iter().map(|occurrence| {
        let mut members = Map::new();
        members.insert("at".to_owned(), occurrence.at.ceil_seconds().into());
        if let Ok(Value::Object(event)) = serde_json::to_value(&occurrence.event) {
            members.extend(event);
        }
        Value::Object(members)
    });
    Ok(Answer::made_here(&json!({
        "now": now.floor_seconds(),
        "until": until.ceil_seconds(),
        "occurrences": shown.collect::<Vec<_>>(),
        "warnings": warnings,
    })))
}
