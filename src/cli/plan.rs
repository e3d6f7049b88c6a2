//! `keywright plan`: the coming life of an issuer's keys.

mod document;
mod timelines;

pub(super) use document::waiting as waiting_rotation;

use std::time::Duration;

use keywright_api::{Key, Plan, UnixSeconds};

use super::config_command::read_policy;
use super::failure::Failure;
use super::input;
use super::output::Output;
use super::session::Session;
use crate::lifecycle::{
    Adoption, IssuerName, IssuerOrigin, SimulationStart, Timestamp, Timing, parse_duration,
    simulate,
};

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
    let issuer = &arguments.issuer;
    let policy = match &arguments.policy {
        Some(file) if arguments.offline => {
            let plan = simulate_offline(issuer, file, now, until)?;
            return session
                .output
                .show_found(plan, |plan, output| tell(&plan, &[], output));
        }
        file => file.as_deref().map(input::object).transpose()?,
    };
    let (client, until) = (session.client()?, UnixSeconds(until.ceil_seconds()));
    let answer = client.wait(match &policy {
        Some(policy) => client.preview_plan(issuer, until, policy),
        None => client.read_plan(issuer, until),
    })?;
    session.output.show(&answer, |plan, output| {
        // The keys as they are now are where the timelines begin.
        let keys = client.wait(client.list_keys(issuer))?.read()?.keys;
        tell(&plan, &keys, output)
    })
}

fn tell(plan: &Plan, keys: &[Key], output: &mut Output) -> Result<(), Failure> {
    for warning in &plan.warnings {
        output.note(format_args!("warning: {warning}"))?;
    }
    let names = document::names(plan, keys);
    for waiting in &plan.waiting {
        output.note(document::waiting(waiting, plan.now))?;
    }
    output.line(document::event_list(plan, &names))?;
    let timelines = timelines::draw(plan, keys, &names);
    if timelines.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.line(timelines)
}

/// The life of an issuer that does not exist, as the service would answer it.
fn simulate_offline(
    issuer: &IssuerName,
    file: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Plan, Failure> {
    let policy = read_policy(file, &Timing::single())?;
    let warnings = policy.warnings();
    let proposal = SimulationStart::Create(issuer.clone(), policy.into(), IssuerOrigin::Fresh);
    // Which delays its targets have is known to a service alone.
    let occurrences = simulate(&proposal, now, &Adoption::default(), until, Duration::ZERO)
        .map_err(|refusal| Failure::rejected("refused", refusal))?;
    let shown = occurrences.iter().map(|occurrence| {
        let mut members = serde_json::to_value(&occurrence.event)?;
        if let Some(members) = members.as_object_mut() {
            members.insert("at".to_owned(), occurrence.at.ceil_seconds().into());
        }
        serde_json::from_value(members)
    });
    Ok(Plan {
        now: UnixSeconds(now.floor_seconds()),
        until: UnixSeconds(until.ceil_seconds()),
        warnings,
        waiting: Vec::new(),
        occurrences: shown
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::rejected("invalid-event", error))?,
    })
}
