//! `keywright verifiers`.

use keywright_api::{KeyState, UnixSeconds, Verifiers};

use super::failure::Failure;
use super::moment::seen_from;
use super::plan::waiting_rotation;
use super::session::Session;
use super::table::columns;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The issuer whose key set they fetch.
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = IssuerName::parse)]
    issuer: IssuerName,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let answer = client.wait(client.list_verifiers(&arguments.issuer))?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |answer: Verifiers, output| {
        for waiting in &answer.waiting {
            output.note(waiting_rotation(waiting, UnixSeconds(now)))?;
        }
        let count = answer.verifiers.len();
        if count == 0 {
            return output.line(
                "No verifier has fetched the key set from this process in the last 24 hours.",
            );
        }
        for key in answer
            .keys
            .iter()
            .filter(|key| key.state != KeyState::Retired)
        {
            output.line(format_args!(
                "{} of {count} have the {} key {}",
                key.verifiers,
                key.state.as_str(),
                key.kid
            ))?;
        }
        output.line("")?;
        let rows = answer.verifiers.into_iter().map(|verifier| {
            let key_set = match (verifier.current, verifier.confirmed) {
                (true, true) => "current, confirmed",
                (true, false) => "current",
                (false, _) => "an earlier one",
            };
            let is_awaited = answer
                .waiting
                .iter()
                .any(|one| verifier.lacks.contains(&one.kid));
            let key_set = match is_awaited {
                true => format!("{key_set}, awaited"),
                false => key_set.to_owned(),
            };
            [
                verifier.address,
                verifier.user_agent,
                key_set,
                seen_from(now, verifier.seen_at.0),
                verifier.requests.to_string(),
            ]
        });
        let headings = ["address", "user agent", "key set", "last seen", "requests"];
        output.line(columns(headings, rows))?;
        if answer.unrecorded_requests > 0 {
            output.note(format_args!(
                "note: requests of verifiers for which there was no room: {}",
                answer.unrecorded_requests
            ))?;
        }
        Ok(())
    })
}
