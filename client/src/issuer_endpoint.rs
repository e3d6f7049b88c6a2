//! An endpoint of an issuer on the public listener, called by a client with its credential.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use url::Url;

use crate::address::ServiceAddress;
use crate::credential::Credential;
use crate::error::{BoxError, Error};
use crate::exchange::{Http, TIMEOUT, USER_AGENT_NAME, http, text};
use crate::tls::Tls;

/// An endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEndpoint {
    /// A secret is sent there.
    #[error("an endpoint is an https URL, or http on this machine")]
    Url,
    /// Connections cannot be opened.
    #[error("no connection to the endpoint can be opened")]
    Connections(#[source] BoxError),
}

/// An endpoint with the proof of the client that calls it.
pub(crate) struct IssuerEndpoint {
    pub(crate) url: Url,
    http: Http,
    authorization: HeaderValue,
}

/// A message for an endpoint.
pub(crate) struct Message<'m> {
    pub(crate) media_type: &'static str,
    pub(crate) body: String,
    /// What tells attempts apart, where they are told apart.
    pub(crate) idempotency_key: Option<&'m str>,
}

impl IssuerEndpoint {
    /// The endpoint at `url`, for the client with this credential.
    pub(crate) fn new(
        url: &str,
        client_id: &str,
        secret: &Credential,
        tls: &Tls,
    ) -> Result<Self, InvalidEndpoint> {
        let address = ServiceAddress::parse(url).map_err(|_| InvalidEndpoint::Url)?;
        let parsed = Url::parse(url).map_err(|_| InvalidEndpoint::Url)?;
        if parsed.scheme() != "https" && !address.is_local() {
            return Err(InvalidEndpoint::Url);
        }
        let http = http(address.endpoint(), tls);
        Ok(Self {
            url: parsed,
            http: http.map_err(|error| InvalidEndpoint::Connections(error.into()))?,
            authorization: secret.basic(client_id).ok_or(InvalidEndpoint::Url)?,
        })
    }

    /// Sends a message, and waits for its answer.
    pub(crate) async fn post(&self, message: Message<'_>) -> Result<(StatusCode, String), Error> {
        let sent = tokio::time::timeout(TIMEOUT, self.send(message)).await;
        sent.unwrap_or_else(|_| {
            Err(Error::Timeout {
                url: self.url.to_string(),
            })
        })
    }

    async fn send(&self, message: Message<'_>) -> Result<(StatusCode, String), Error> {
        let url = self.url.as_str();
        let unreachable = |source: BoxError| Error::Unreachable {
            url: url.to_owned(),
            source,
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, USER_AGENT_NAME)
            .header(CONTENT_TYPE, message.media_type)
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(key) = message.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(Bytes::from(message.body)));
        let request = request.map_err(|error| unreachable(error.into()))?;
        let response = self.http.request(request).await;
        let response = response.map_err(|error| unreachable(error.into()))?;
        let (parts, body) = response.into_parts();
        Ok((parts.status, text(body, url).await?))
    }

    /// An answer that is none of the contract.
    pub(crate) fn unexpected(&self, what: String) -> Error {
        Error::UnexpectedAnswer {
            url: self.url.to_string(),
            what,
        }
    }
}
