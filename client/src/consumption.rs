//! Tokens that count once, used up at their issuer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use keywright_api::{ConsumedToken, OauthError};
use keywright_verifier::{Consumption, SingleUseError, TokenConsumer};
use rustls::crypto::ring::default_provider;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::address::ServiceAddress;
use crate::credential::Credential;
use crate::error::{BoxError, Error};
use crate::exchange::{Http, TIMEOUT, USER_AGENT_NAME, http, text};
use crate::tls::Tls;

/// How often an issuer is asked whose answer is lost.
const ATTEMPTS: usize = 3;

/// How long an issuer is left alone after a lost answer.
const PAUSE: Duration = Duration::from_millis(200);

/// Where tokens are used up that count once, for a [`Verifier`](keywright_verifier::Verifier):
///
/// ```no_run
/// use keywright_client::{ConsumptionEndpoint, Credential, Tls};
/// # fn example(verifier: keywright_verifier::Verifier) -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Credential::parse(&std::fs::read_to_string("/run/secrets/orders")?)?;
/// let endpoint = ConsumptionEndpoint::new("https://id.example/consume", "orders", secret, &Tls::default())?;
/// let verifier = verifier.consume_with(endpoint);
/// # let _ = verifier;
/// # Ok(())
/// # }
/// ```
///
/// The client has the role `consumer`. Each token is used up under a new key, and asked for again under the
/// same one after a lost answer, so that a token never counts twice and is rarely lost.
#[derive(Clone)]
pub struct ConsumptionEndpoint(Arc<Endpoint>);

struct Endpoint {
    url: Url,
    http: Http,
    basic: HeaderValue,
}

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

impl fmt::Debug for ConsumptionEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsumptionEndpoint({})", self.0.url)
    }
}

impl ConsumptionEndpoint {
    /// The endpoint at `url`, which the issuer's metadata names as `consumption_endpoint`.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`].
    pub fn new(
        url: &str,
        client_id: &str,
        secret: Credential,
        tls: &Tls,
    ) -> Result<Self, InvalidEndpoint> {
        let address = ServiceAddress::parse(url).map_err(|_| InvalidEndpoint::Url)?;
        let parsed = Url::parse(url).map_err(|_| InvalidEndpoint::Url)?;
        if parsed.scheme() != "https" && !address.is_local() {
            return Err(InvalidEndpoint::Url);
        }
        let http = http(address.endpoint(), tls);
        Ok(Self(Arc::new(Endpoint {
            url: parsed,
            http: http.map_err(|error| InvalidEndpoint::Connections(error.into()))?,
            basic: secret.basic(client_id).ok_or(InvalidEndpoint::Url)?,
        })))
    }

    /// Uses a token up under a key of the caller's own: 1 to 128 letters, digits and `-._~`. The same key
    /// gets the same answer for 60 seconds.
    ///
    /// # Errors
    ///
    /// [`Error::TokenRefused`] when the token does not count, and others when that is not known.
    pub async fn consume(&self, token: &str, key: &str) -> Result<ConsumedToken, Error> {
        let url = self.0.url.as_str();
        let asked = tokio::time::timeout(TIMEOUT, self.ask(token, key)).await;
        asked.unwrap_or_else(|_| {
            Err(Error::Timeout {
                url: url.to_owned(),
            })
        })
    }

    async fn ask(&self, token: &str, key: &str) -> Result<ConsumedToken, Error> {
        let Endpoint { url, http, basic } = &*self.0;
        let named = || url.as_str().to_owned();
        let unreachable = |source: BoxError| Error::Unreachable {
            url: named(),
            source,
        };
        let form = Serializer::new(String::new())
            .append_pair("token", token)
            .finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, USER_AGENT_NAME)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, basic.clone())
            .header("idempotency-key", key)
            .body(Full::new(Bytes::from(form)))
            .map_err(|error| unreachable(error.into()))?;
        let response = http.request(request).await;
        let response = response.map_err(|error| unreachable(error.into()))?;
        let (parts, body) = response.into_parts();
        let answer = text(body, url.as_str()).await?;
        let unexpected = |what: String| Error::UnexpectedAnswer { url: named(), what };
        if parts.status == StatusCode::OK {
            let read = serde_json::from_str(&answer);
            return read
                .map_err(|error| unexpected(format!("another document than expected ({error})")));
        }
        match serde_json::from_str::<OauthError>(&answer) {
            Ok(error) if parts.status.is_client_error() && parts.status.as_u16() != 429 => {
                Err(Error::TokenRefused(error))
            }
            _ => Err(unexpected(format!("status {}", parts.status.as_u16()))),
        }
    }
}

impl TokenConsumer for ConsumptionEndpoint {
    fn consume<'t>(&'t self, token: &'t str) -> Consumption<'t> {
        Box::pin(async move {
            let key = random_key().ok_or(SingleUseError::Unavailable)?;
            for attempt in 1..=ATTEMPTS {
                match Self::consume(self, token, &key).await {
                    Ok(_) => return Ok(()),
                    Err(Error::TokenRefused(error))
                        if error.error_description.starts_with("already-consumed:") =>
                    {
                        return Err(SingleUseError::AlreadyConsumed);
                    }
                    Err(Error::TokenRefused(_)) => return Err(SingleUseError::Refused),
                    Err(_) if attempt < ATTEMPTS => tokio::time::sleep(PAUSE).await,
                    Err(_) => {}
                }
            }
            Err(SingleUseError::Unavailable)
        })
    }
}

/// 128 random bits.
fn random_key() -> Option<String> {
    let mut bytes = [0; 16];
    default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}
