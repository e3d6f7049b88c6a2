//! `keywright token`.

mod consume;
mod inspect;
mod key_source;
mod sign;
mod verify;

use std::error::Error as _;

use keywright_verifier::VerifyError;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::input;
use super::revocations;
use super::session::Session;

pub(super) use inspect::show_claims;
pub(super) use sign::Arguments as SignArguments;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Sign a token and print it.
    Sign(sign::Arguments),
    /// Decode a token, without verifying it.
    Inspect(inspect::Arguments),
    /// Verify a token against a JWKS.
    Verify(verify::Arguments),
    /// Take a token back: every verifier that follows the feed refuses it.
    Revoke(revocations::TokenArguments),
    /// Use up a token that counts once.
    Consume(consume::Arguments),
}

/// The largest token that is read, in bytes.
const LARGEST_TOKEN: usize = 65_536;

pub(super) fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Sign(arguments) => sign::run(&arguments, session),
        Command::Inspect(arguments) => inspect::run(&arguments, session),
        Command::Verify(arguments) => verify::run(&arguments, session),
        Command::Revoke(arguments) => revocations::token(&arguments, session),
        Command::Consume(arguments) => consume::run(&arguments, session),
    }
}

/// Why a token is not accepted, down to the member that is wrong.
fn refused(error: VerifyError) -> Failure {
    let code = error.code();
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        detail = format!("{detail}: {source}");
        cause = source.source();
    }
    Failure::rejected(code, detail)
}

/// The token that an argument means: itself, or what standard input has for `-`.
pub(super) fn read_token(argument: &str) -> Result<Zeroizing<String>, Failure> {
    if argument == "-" {
        let text = input::text("-")?;
        return Ok(Zeroizing::new(text.trim().to_owned()));
    }
    Ok(Zeroizing::new(argument.to_owned()))
}
