//! `keywright token consume`.

use keywright_client::ConsumptionEndpoint;

use super::read_token;
use crate::cli::failure::Failure;
use crate::cli::issuer_endpoint::{IssuerUrlArguments, unusable, wait_for};
use crate::cli::moment::rfc3339;
use crate::cli::session::Session;
use crate::engine::Entropy;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The token. Better - for standard input: an argument is seen by other users of the machine.
    #[arg(value_name = "TOKEN", allow_hyphen_values = true)]
    single_use: String,
    #[command(flatten)]
    issuer: IssuerUrlArguments,
    /// What tells this attempt from every other, as 1 to 128 letters, digits and -._~: for 60 seconds the same
    /// key gets the same answer [default: a random one].
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let token = read_token(&arguments.single_use)?;
    let key = match &arguments.idempotency_key {
        Some(key) => key.clone(),
        None => Entropy::system()
            .name::<16>()
            .map_err(|error| Failure::rejected("internal-error", error))?,
    };
    let caller = arguments.issuer.endpoint("consume", session)?;
    let endpoint = ConsumptionEndpoint::new(
        &caller.url,
        &caller.client_id,
        caller.credential,
        &caller.tls,
    );
    let endpoint = endpoint.map_err(unusable)?;
    let consumed = wait_for(endpoint.consume(&token, &key))?;
    session.output.show_found(consumed, |consumed, output| {
        output.line(format_args!(
            "token {} is used up, since {}",
            consumed.jti,
            rfc3339(consumed.consumed_at.0)
        ))
    })
}
