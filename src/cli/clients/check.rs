//! `keywright clients check`.

use keywright_api::SigningCheck;

use super::identifier;
use crate::cli::failure::{Failure, Problem};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::table::pairs;
use crate::cli::token::{SignArguments, show_claims};

#[derive(clap::Args)]
pub(in crate::cli) struct CheckArguments {
    /// The client: its identifier, or its name if no other client has it.
    id: String,
    #[command(flatten)]
    request: SignArguments,
}

/// A token that would be refused ends the command as the refusal would end `token sign`.
pub(super) fn run(arguments: &CheckArguments, session: &mut Session) -> Result<(), Failure> {
    let request = arguments.request.request()?;
    let client = session.client()?;
    let id = identifier(&client, &arguments.id)?;
    let check = client.check_signing(&id, arguments.request.issuer(), &request);
    let answer = client.wait(check)?;
    if let Some(problem) = answer.read()?.problem {
        let document = serde_json::to_string(&problem);
        return Err(Failure::Refused(Box::new(Problem {
            status: problem.status,
            document: document.map_err(|error| Failure::Output(error.into()))?,
            code: problem.code.0,
            detail: problem.detail,
            hint: None,
        })));
    }
    let now = session.now.floor_seconds();
    session
        .output
        .show(&answer, |check, output| show(check, now, output))
}

fn show(check: SigningCheck, now: u64, output: &mut Output) -> Result<(), Failure> {
    let header = check.header.unwrap_or_default();
    let header = header.iter().map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        [name.clone(), text]
    });
    let signed = [["signed".to_owned(), "yes, it would be".to_owned()]];
    output.line(pairs(signed.into_iter().chain(header)))?;
    output.line("")?;
    show_claims(&check.claims.unwrap_or_default(), now, output)
}
