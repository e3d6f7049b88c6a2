//! `keywright canary`: the key that signs a share of the tokens before it signs all.

use keywright_api::{StopCanaryRequest, StoppedCanaries};
use keywright_verifier::{Algorithm, Kid};

use super::failure::Failure;
use super::moment::described;
use super::session::Session;
use crate::lifecycle::IssuerName;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Take the canary back: the active key signs all tokens again, and the tokens that it has signed stay valid.
    Stop(StopArguments),
}

#[derive(clap::Args)]
struct StopArguments {
    /// The issuer.
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = IssuerName::parse)]
    issuer: IssuerName,
    /// Only that of this algorithm: ES256 or RS256 [default: all].
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let Command::Stop(arguments) = arguments.command;
    let reason = arguments.reason.map(|text| text.parse()).transpose();
    let request = StopCanaryRequest {
        algorithm: arguments.algorithm,
        reason: reason.map_err(|error| Failure::rejected("invalid-reason", error))?,
    };
    let client = session.client()?;
    let answer = client.wait(client.stop_canary(&arguments.issuer, &request))?;
    let now = session.now.floor_seconds();
    session
        .output
        .show(&answer, |answer: StoppedCanaries, output| {
            if answer.stopped.is_empty() {
                return output.line("No canary signs.");
            }
            for stopped in answer.stopped {
                let active: Option<Kid> = stopped.active.into();
                output.line(format_args!(
                    "{}  stopped: {}  active: {}",
                    stopped.algorithm,
                    stopped.kid,
                    active.as_ref().map_or("none", Kid::as_str)
                ))?;
                output.note(format_args!(
                    "note: its tokens stay valid, and it stays published until {}",
                    described(now, stopped.published_until.0)
                ))?;
            }
            Ok(())
        })
}
