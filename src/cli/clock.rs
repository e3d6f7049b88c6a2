//! `keywright clock`.

use keywright_api::{ClockCorrection, IssuerName};
use serde_json::json;

use super::failure::Failure;
use super::irreversible::{Consent, Irreversible};
use super::moment::rfc3339;
use super::session::Session;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Say that the clock was ahead and is right now: times that it made too late are put back.
    ///
    /// Set the clock right first. Tokens that were signed while it was ahead may outlive the
    /// publication of their key, and keys that were removed too early stay removed.
    Correct(CorrectArguments),
}

#[derive(clap::Args)]
pub(super) struct CorrectArguments {
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    consent: Consent,
}

pub(super) fn run(command: &Command, session: &mut Session) -> Result<(), Failure> {
    let Command::Correct(CorrectArguments { reason, consent }) = command;
    let step = Irreversible {
        consequence: "times that the clock has made too late are put back in every issuer, by the \
                      time that the service has now"
            .to_owned(),
        word: "yes",
    };
    consent.require(&step, session)?;
    let client = session.client()?;
    let answer = client.wait(client.correct_clock(&json!({ "reason": reason })))?;
    session
        .output
        .show(&answer, |correction: ClockCorrection, output| {
            let now = rfc3339(correction.now.0);
            if correction.corrected.is_empty() {
                return output.line(format_args!(
                    "No issuer has a time that is ahead of {now}: nothing was put back."
                ));
            }
            let issuers = correction.corrected.iter().map(IssuerName::as_str);
            let issuers: Vec<&str> = issuers.collect();
            output.line(format_args!("Put back to {now}: {}", issuers.join(", ")))
        })
}
