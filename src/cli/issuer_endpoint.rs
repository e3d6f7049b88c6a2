//! Where an issuer's endpoints for clients are, and who is calling there.

use std::future::Future;

use keywright_client::{Credential, Error, InvalidEndpoint, Tls};

use super::failure::{Failure, Problem};
use super::session::Session;

/// The issuer whose endpoint is called.
#[derive(clap::Args)]
pub(super) struct IssuerUrlArguments {
    /// The issuer's URL, as its tokens have it in iss [default: the public listener in DATA_DIR/listen.json].
    #[arg(long, value_name = "URL")]
    issuer_url: Option<String>,
}

/// What a client needs to call an endpoint.
pub(super) struct EndpointCaller {
    pub(super) url: String,
    pub(super) client_id: String,
    pub(super) credential: Credential,
    pub(super) tls: Tls,
}

impl IssuerUrlArguments {
    /// The endpoint with this name under the issuer's URL, and the caller's proof.
    pub(super) fn endpoint(
        &self,
        name: &str,
        session: &Session,
    ) -> Result<EndpointCaller, Failure> {
        let connection = &session.connection;
        let (issuer, credential) = connection.issuer(self.issuer_url.as_deref())?;
        let client_id = credential.client_id().map(str::to_owned);
        let client_id = client_id.ok_or_else(|| Failure::NoConnection {
            what: "the credential names no client".to_owned(),
            hint: "a credential of keywright begins with kw_",
        })?;
        Ok(EndpointCaller {
            url: format!("{}/{name}", issuer.trim_end_matches('/')),
            client_id,
            credential,
            tls: connection.tls.for_service()?,
        })
    }
}

/// Waits for the answer of an endpoint.
pub(super) fn wait_for<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(call).map_err(|error| match error {
        Error::TokenRefused(error) => refused(&error.error_description, &error),
        Error::EventRefused(error) => refused(&error.description, &error),
        error => error.into(),
    })
}

/// A refusal whose description begins with the code of a problem.
fn refused(description: &str, document: &impl serde::Serialize) -> Failure {
    let (code, detail) = description
        .split_once(": ")
        .unwrap_or(("invalid-request", description));
    Failure::Refused(Box::new(Problem {
        status: 400,
        code: code.to_owned(),
        detail: detail.to_owned(),
        document: serde_json::to_string(document).unwrap_or_default(),
        hint: None,
    }))
}

/// An endpoint that cannot be called.
pub(super) fn unusable(error: InvalidEndpoint) -> Failure {
    match error {
        InvalidEndpoint::Url => Failure::Usage(format!("--issuer-url: {error}")),
        error => Failure::rejected("invalid-certificate", error),
    }
}
