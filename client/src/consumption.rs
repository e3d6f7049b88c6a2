//! Tokens that count once, used up at their issuer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use keywright_api::{ConsumedToken, OauthError};
use keywright_verifier::{Consumption, SingleUseError, TokenConsumer};
use rustls::crypto::ring::default_provider;
use url::form_urlencoded::Serializer;

use crate::credential::Credential;
use crate::error::Error;
use crate::issuer_endpoint::{InvalidEndpoint, IssuerEndpoint, Message};
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
pub struct ConsumptionEndpoint(Arc<IssuerEndpoint>);

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
        let endpoint = IssuerEndpoint::new(url, client_id, &secret, tls)?;
        Ok(Self(Arc::new(endpoint)))
    }

    /// Uses a token up under a key of the caller's own: 1 to 128 letters, digits and `-._~`. The same key
    /// gets the same answer for 60 seconds.
    ///
    /// # Errors
    ///
    /// [`Error::TokenRefused`] when the token does not count, and others when that is not known.
    pub async fn consume(&self, token: &str, key: &str) -> Result<ConsumedToken, Error> {
        let endpoint = &self.0;
        let form = Serializer::new(String::new())
            .append_pair("token", token)
            .finish();
        let message = Message {
            media_type: "application/x-www-form-urlencoded",
            body: form,
            idempotency_key: Some(key),
        };
        let (status, answer) = endpoint.post(message).await?;
        if status == StatusCode::OK {
            let read = serde_json::from_str(&answer);
            return read.map_err(|error| {
                endpoint.unexpected(format!("another document than expected ({error})"))
            });
        }
        match serde_json::from_str::<OauthError>(&answer) {
            Ok(error) if status.is_client_error() && status.as_u16() != 429 => {
                Err(Error::TokenRefused(error))
            }
            _ => Err(endpoint.unexpected(format!("status {}", status.as_u16()))),
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
