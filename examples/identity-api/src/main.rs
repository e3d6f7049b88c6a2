//! Logs users in with a token that keywright has signed, and out by having keywright take it back.
//!
//! This service knows who its users are and what they may do. It has no key and cannot make a token:
//! it says what is true of a user, and keywright signs it. An attacker who breaks in here can ask for
//! tokens until the credential is revoked, and leaves with no key.
//!
//! - `users`: names, password hashes, and what each user may do;
//! - `keywright`: the three calls to keywright;
//! - `login`: `POST /login`, which puts the two together;
//! - `sessions`: `POST /logout`, `/logout/everywhere` and `/ban`.
//!
//! ```sh
//! identity-api --users users.json --keywright http://127.0.0.1:8081 --credential-file issuer.token \
//!     --issuer-url http://127.0.0.1:8080
//! ```
//!
//! Missing here, for a real one: a limit to how often a password may be tried, and TLS.

mod keywright;
mod login;
mod sessions;
mod users;

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use keywright_verifier::axum::Authentication;
use keywright_verifier::{Algorithm, RemoteKeys, RevocationFeed, Rules, Verifier};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::keywright::Keywright;
use crate::login::Identity;
use crate::users::Users;

#[derive(Parser)]
struct Settings {
    /// Where to listen. Port 0 takes a free one.
    #[arg(long, env, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The users: a JSON array of {name, password_hash, scope}.
    #[arg(long, env)]
    users: PathBuf,
    /// keywright's internal API.
    #[arg(long, env, default_value = "http://127.0.0.1:8081")]
    keywright: String,
    /// The issuer that signs, by its name in keywright.
    #[arg(long, env, default_value = "default")]
    issuer: String,
    /// The same by its URL, which stands in `iss` of its tokens.
    #[arg(long, env, default_value = "http://127.0.0.1:8080")]
    issuer_url: String,
    /// A file with the credential of a keywright client that has the roles `issuer` and `revoker` and no
    /// other. A file, because a command line can be read by everyone on the machine.
    #[arg(long, env)]
    credential_file: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let settings = Settings::parse();
    let credential = std::fs::read_to_string(&settings.credential_file)?;
    let identity = Identity {
        users: Users::read(&settings.users)?,
        keywright: Keywright::new(&settings.keywright, &settings.issuer, credential.trim())?,
    };
    let keys = RemoteKeys::of_issuer(&settings.issuer_url)
        .freshness(Duration::from_secs(1)..=Duration::from_secs(300))
        .start()?;
    let rules = Rules::new(settings.issuer_url.as_str(), "identity", [Algorithm::Es256])
        .typ("at+jwt")
        .require(["sub", "sid"]);
    let verifier = Verifier::new(rules, keys)?
        .with_revocations(RevocationFeed::of_issuer(&settings.issuer_url))?;
    let authentication = Authentication::new(verifier).realm("identity");
    let listener = TcpListener::bind(settings.listen).await?;
    let address = listener.local_addr()?;
    // Before the address is told: its reader may send SIGTERM at once.
    let mut terminate = signal(SignalKind::terminate())?;
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    axum::serve(listener, login::routes(Arc::new(identity), authentication))
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await?;
    Ok(())
}
