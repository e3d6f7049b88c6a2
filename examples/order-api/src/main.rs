//! Keeps orders, and shows them to callers with a token that allows it.
//!
//! This service shares no secret. It knows the issuer's name, fetches the issuer's public
//! keys, follows what the issuer has taken back, and decides by itself: no request of a user causes one
//! to the issuer. While the issuer is away, it accepts tokens as long as it is known that they were not
//! taken back.
//!
//! - `main`: which tokens are good, and what is logged about those that are not;
//! - `orders`: what a good token allows.
//!
//! ```sh
//! order-api --issuer http://127.0.0.1:8080
//! # without a network
//! order-api --issuer http://127.0.0.1:8080 --keys-file jwks.json --revocations-file revocations.json
//! ```
//!
//! Missing here, for a real one: orders that outlive the process, and TLS.

mod orders;

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use keywright_verifier::axum::Authentication;
use keywright_verifier::{
    Algorithm, Jws, KeyFile, KeySource, RemoteKeys, RevocationFeed, RevocationFile, Rules,
    Verifier, VerifyError,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Settings {
    /// Where to listen. Port 0 takes a free one.
    #[arg(long, env, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Whose tokens are accepted: the URL that stands in their `iss`.
    #[arg(long, env)]
    issuer: String,
    /// Where clients reach this service: the URL that a DPoP proof must be for. Default: the address that it listens
    /// on.
    #[arg(long, env)]
    external_url: Option<String>,
    /// Take the issuer's keys from this file, for a service that is cut off from the network. The file
    /// may be replaced at any time.
    #[arg(long, env)]
    keys_file: Option<PathBuf>,
    /// With --keys-file: take what the issuer has revoked from this file. It may be replaced, too.
    #[arg(long, env, requires = "keys_file")]
    revocations_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let settings = Settings::parse();
    let keys: KeySource = match &settings.keys_file {
        Some(path) => KeyFile::open(path)?.into(),
        // The issuer says how long its keys are fresh. Five minutes is the longest that a leaked key
        // is to be trusted here, whatever the issuer says.
        None => RemoteKeys::of_issuer(&settings.issuer)
            .freshness(Duration::from_secs(1)..=Duration::from_secs(300))
            .start()?
            .into(),
    };
    // An access token for this service and no other. An ID token of the same issuer is none.
    let rules = Rules::new(settings.issuer.as_str(), "orders", [Algorithm::Es256])
        .typ("at+jwt")
        .require(["sub"]);
    let verifier = Verifier::new(rules, keys)?;
    // A token that was taken back is refused within seconds. When that is no longer known, no token
    // is accepted that is older than the bound: the issuer's, 60 s by default.
    let verifier = match (settings.keys_file, settings.revocations_file) {
        (None, _) => verifier.with_revocations(RevocationFeed::of_issuer(&settings.issuer))?,
        (Some(_), Some(path)) => {
            let file = RevocationFile::open(path)?.check_every(Duration::from_secs(1));
            verifier.with_revocations(file)?
        }
        (Some(_), None) => verifier,
    };
    let listener = TcpListener::bind(settings.listen).await?;
    let address = listener.local_addr()?;
    // A token that is bound to a key is accepted with a proof for this address. As a bearer token it is not.
    let external_url = settings.external_url;
    let authentication = Authentication::new(verifier)
        .realm("orders")
        .external_url(&external_url.unwrap_or_else(|| format!("http://{address}")))?
        .on_refusal(log_refusal);

    // Before the address is told: its reader may send SIGTERM at once.
    let mut terminate = signal(SignalKind::terminate())?;
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    axum::serve(listener, orders::routes(authentication))
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await?;
    Ok(())
}

/// Logs what can be known about a token that is not accepted. The token itself is a credential and
/// never goes to a log, and what it says about itself may be a lie.
fn log_refusal(error: &VerifyError, token: Option<&Jws<'_>>) {
    let claims = token.and_then(|token| token.unverified_claims().ok());
    // Quoted by `?`, and cut, because its sender chose it.
    let claim = |name| -> Option<String> {
        let text = claims.as_ref()?.get(name).and_then(Value::as_str)?;
        Some(text.chars().take(64).collect())
    };
    tracing::warn!(
        code = error.code(),
        fault = ?error.fault(),
        unverified_algorithm = token.map(|token| token.algorithm().as_str()),
        unverified_kid = ?token.and_then(Jws::kid),
        unverified_iss = ?claim("iss"),
        unverified_sub = ?claim("sub"),
        "a token was refused"
    );
}
