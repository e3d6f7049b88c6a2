//! What another system tells an issuer about its users: they have to log in again, or their accounts are
//! disabled.

use std::fmt;
use std::sync::Arc;

use hyper::StatusCode;
use keywright_api::{GlobalTokenRevocation, Problem, SecurityEventError, SubjectIdentifier};

use crate::credential::Credential;
use crate::error::{Error, Refusal};
use crate::issuer_endpoint::{InvalidEndpoint, IssuerEndpoint, Message};
use crate::tls::Tls;

/// Where all tokens and grants of a user are taken back (Global Token Revocation, draft 5). The client has the
/// role `revoker` or `security`.
#[derive(Clone)]
pub struct GlobalRevocationEndpoint(Arc<IssuerEndpoint>);

/// Where security event tokens are pushed (RFC 8935). The client has the role `revoker` or `security`.
#[derive(Clone)]
pub struct SecurityEventEndpoint(Arc<IssuerEndpoint>);

impl fmt::Debug for GlobalRevocationEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlobalRevocationEndpoint({})", self.0.url)
    }
}

impl fmt::Debug for SecurityEventEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecurityEventEndpoint({})", self.0.url)
    }
}

impl GlobalRevocationEndpoint {
    /// The endpoint at `url`, which the issuer's metadata names as `global_token_revocation_endpoint`.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`].
    pub fn new(
        url: &str,
        client_id: &str,
        secret: &Credential,
        tls: &Tls,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self(Arc::new(IssuerEndpoint::new(
            url, client_id, secret, tls,
        )?)))
    }

    /// Takes back all that a user has.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], and others when it is not known whether it was done.
    pub async fn revoke(&self, sub_id: SubjectIdentifier) -> Result<(), Error> {
        let body = serde_json::to_string(&GlobalTokenRevocation { sub_id })?;
        let message = Message {
            media_type: "application/json",
            body,
            idempotency_key: None,
        };
        match self.0.post(message).await? {
            (StatusCode::NO_CONTENT, _) => Ok(()),
            (status, text) => Err(refused(&self.0, status, text)),
        }
    }
}

impl SecurityEventEndpoint {
    /// The endpoint at `url`: the issuer's URL with `/security-events`.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`].
    pub fn new(
        url: &str,
        client_id: &str,
        secret: &Credential,
        tls: &Tls,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self(Arc::new(IssuerEndpoint::new(
            url, client_id, secret, tls,
        )?)))
    }

    /// Pushes a token. One that comes again has no effect, so that it may be pushed again after a lost answer.
    ///
    /// # Errors
    ///
    /// [`Error::EventRefused`] when the token or the client is not accepted, and others when that is not known.
    pub async fn push(&self, token: &str) -> Result<(), Error> {
        let message = Message {
            media_type: "application/secevent+jwt",
            body: token.to_owned(),
            idempotency_key: None,
        };
        let (status, text) = self.0.post(message).await?;
        match (status, serde_json::from_str::<SecurityEventError>(&text)) {
            (StatusCode::ACCEPTED, _) => Ok(()),
            (StatusCode::BAD_REQUEST, Ok(error)) => Err(Error::EventRefused(error)),
            _ => Err(refused(&self.0, status, text)),
        }
    }
}

fn refused(endpoint: &IssuerEndpoint, status: StatusCode, text: String) -> Error {
    match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => Error::Refused(Box::new(Refusal { problem, text })),
        Err(_) => endpoint.unexpected(format!("status {}", status.as_u16())),
    }
}
