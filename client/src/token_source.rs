//! Access tokens from an issuer's token endpoint, kept and renewed ahead of their end.

mod kept;
mod refresh;
mod request;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keywright_api::OauthErrorName;
use zeroize::Zeroizing;

use crate::error::Error;
use kept::{Advice, Kept};
pub use refresh::RefreshToken;
use request::Asking;
pub use request::TokenRequest;

/// Tokens for a service that calls others.
///
/// ```no_run
/// use keywright_client::{Credential, TokenRequest};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Credential::parse(&std::fs::read_to_string("/run/secrets/billing")?)?;
/// let tokens = TokenRequest::client_credentials("https://id.example", "billing", secret)?
///     .with_audience("https://orders.example")
///     .with_scope("orders:read")
///     .into_source();
/// let authorization = tokens.token().await?.authorization();
/// # let _ = authorization;
/// # Ok(())
/// # }
/// ```
///
/// The token endpoint is found in the issuer's metadata (RFC 8414). A token is renewed beside those who use
/// it, so that callers wait for the first one alone; several that wait share one request, which goes on if
/// they give up. While the issuer is away, the last token is used to its end, and the issuer is asked again
/// after pauses of 1 s to 30 s, or after what its `Retry-After` says. Clones share the token.
#[derive(Clone)]
pub struct TokenSource(Arc<Source>);

struct Source {
    request: TokenRequest,
    began: Instant,
    kept: Mutex<Kept>,
    /// Held while the issuer is asked.
    asking: tokio::sync::Mutex<Asking>,
}

/// A bearer token. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Arc<Zeroizing<String>>);

/// An issuer is an `https` URL, or `http` on this machine: a secret is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an issuer is an https URL, or http on this machine, without query and fragment")]
pub struct InvalidIssuer;

impl AccessToken {
    pub(crate) fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the header `Authorization` (RFC 6750 §2.1).
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.as_str())
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenSource").field(&self.0.request).finish()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

impl TokenSource {
    fn new(request: TokenRequest) -> Self {
        let asking = tokio::sync::Mutex::new(request.begin());
        Self(Arc::new(Source {
            request,
            began: steady_now(),
            kept: Mutex::default(),
            asking,
        }))
    }

    /// A token that is good for a while.
    ///
    /// # Errors
    ///
    /// [`Error`] when there is none: [`Error::TokenRefused`] says that the client has to be changed,
    /// [`Error::GrantEnded`] that its user has to log in again, and [`Error::Pausing`] that the issuer was
    /// asked a moment ago.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match self.advice() {
            Advice::Use(token) => return Ok(token),
            Advice::UseAndRenew(token) => {
                if self.0.asking.try_lock().is_ok() {
                    // A failure is noted, and the next caller hears of it when the token has ended.
                    tokio::spawn(self.clone().renew());
                }
                return Ok(token);
            }
            Advice::GiveUp(refusal) => return Err(Error::GrantEnded(refusal)),
            Advice::Fetch | Advice::Pause { .. } => {}
        }
        // A caller that gives up tears no renewal apart: a refresh token could be lost in the middle.
        let renewed = tokio::spawn(self.clone().renew()).await;
        renewed.unwrap_or_else(|error| {
            Err(Error::Unreachable {
                url: self.0.request.issuer().to_owned(),
                source: error.into(),
            })
        })
    }

    /// Forgets a token that a service has refused, because its issuer has taken it back.
    pub fn forget(&self, token: &AccessToken) {
        self.kept().forget(token);
    }

    /// Asks the issuer, unless another caller has done so meanwhile. A source may ask another one, so that
    /// this has a type of its own.
    fn renew(self) -> Pin<Box<dyn Future<Output = Result<AccessToken, Error>> + Send>> {
        Box::pin(async move {
            let mut asking = self.0.asking.lock().await;
            match self.advice() {
                Advice::Use(token) => return Ok(token),
                Advice::GiveUp(refusal) => return Err(Error::GrantEnded(refusal)),
                Advice::Pause { until, reason } => {
                    let left = until.saturating_sub(self.elapsed());
                    return Err(Error::Pausing {
                        seconds: left.as_secs() + 1,
                        reason,
                    });
                }
                Advice::Fetch | Advice::UseAndRenew(_) => {}
            }
            let asked_at = self.elapsed();
            match self.0.request.answer(&mut asking, asked_at).await {
                Ok((token, lifetime)) => {
                    self.kept().keep(token.clone(), lifetime, asked_at);
                    Ok(token)
                }
                Err((Error::TokenRefused(refusal), _))
                    if self.0.request.is_refresh()
                        && refusal.error == OauthErrorName::InvalidGrant =>
                {
                    self.kept().give_up(refusal.clone());
                    Err(Error::GrantEnded(refusal))
                }
                Err((error, wait)) => {
                    // The metadata is asked anew after every failure.
                    asking.endpoint = None;
                    let now = self.elapsed();
                    self.kept().fail(error.to_string(), wait, now);
                    Err(error)
                }
            }
        })
    }

    fn advice(&self) -> Advice {
        self.kept().advice(self.elapsed())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        steady_now().duration_since(self.0.began)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the age of a token is measured here alone; what follows from it is told the time"
)]
fn steady_now() -> Instant {
    Instant::now()
}
