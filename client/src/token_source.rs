//! Access tokens from an issuer's token endpoint, kept and renewed ahead of their end.

mod kept;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, StatusCode};
use keywright_api::OauthError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use crate::address::ServiceAddress;
use crate::credential::Credential;
use crate::error::Error;
use crate::exchange::{Http, TIMEOUT, USER_AGENT_NAME, http, text};
use crate::tls::Tls;
use kept::{Advice, Kept};

/// How long the metadata is believed. An issuer that moves its endpoint may lose the old address to an
/// attacker, who would be sent the secret.
const METADATA_BELIEVED_FOR: Duration = Duration::from_secs(3600);

/// The longest wait that an issuer may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What a service asks an issuer for, by the grant `client_credentials` (RFC 6749 §4.4).
#[derive(Debug, Clone)]
pub struct TokenRequest {
    issuer: String,
    metadata: Url,
    tls: Tls,
    client_id: String,
    secret: Credential,
    audience: Option<String>,
    scope: Option<String>,
}

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
/// it, so that callers wait for the first one alone; several that wait share one request. While the issuer is
/// away, the last token is used to its end, and the issuer is asked again after pauses of 1 s to 30 s, or
/// after what its `Retry-After` says. Clones share the token.
#[derive(Clone)]
pub struct TokenSource(Arc<Source>);

struct Source {
    request: TokenRequest,
    began: Instant,
    kept: Mutex<Kept>,
    /// Held while the issuer is asked; what is known of where.
    asking: tokio::sync::Mutex<Option<TokenEndpoint>>,
}

/// Where an issuer's tokens are, and connections to it.
struct TokenEndpoint {
    url: Url,
    http: Http,
    found_at: Duration,
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

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

impl TokenRequest {
    /// Tokens of a client, which proves itself with its credential. `issuer` is the issuer's URL, byte for
    /// byte as its tokens name it.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuer`].
    pub fn client_credentials(
        issuer: &str,
        client_id: &str,
        secret: Credential,
    ) -> Result<Self, InvalidIssuer> {
        let mut metadata = secure(issuer).ok_or(InvalidIssuer)?;
        let path = metadata.path().trim_end_matches('/').to_owned();
        metadata.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
        Ok(Self {
            issuer: issuer.to_owned(),
            metadata,
            tls: Tls::default(),
            client_id: client_id.to_owned(),
            secret,
            audience: None,
            scope: None,
        })
    }

    /// The one service that the tokens are for. Default: what the client's limits allow.
    #[must_use]
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.to_owned());
        self
    }

    /// What the tokens allow: scopes, separated by spaces. Default: all that the client may have.
    #[must_use]
    pub fn with_scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// Other roots than those of the system.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// The source of such tokens. Nothing is asked before the first is wanted.
    pub fn into_source(self) -> TokenSource {
        TokenSource(Arc::new(Source {
            request: self,
            began: steady_now(),
            kept: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }))
    }
}

impl TokenSource {
    /// A token that is good for a while.
    ///
    /// # Errors
    ///
    /// [`Error`] when there is none: [`Error::TokenRefused`] says that the client has to be changed, and
    /// [`Error::Pausing`] that the issuer was asked a moment ago.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match self.advice() {
            Advice::Use(token) => return Ok(token),
            Advice::UseAndRenew(token) => {
                let source = self.clone();
                if self.0.asking.try_lock().is_ok() {
                    // A failure is noted, and the next caller hears of it when the token has ended.
                    tokio::spawn(async move { drop(source.wait().await) });
                }
                return Ok(token);
            }
            Advice::Fetch | Advice::Pause { .. } => {}
        }
        self.wait().await
    }

    /// Forgets a token that a service has refused, because its issuer has taken it back.
    pub fn forget(&self, token: &AccessToken) {
        self.kept().forget(token);
    }

    /// Asks the issuer, unless another caller has done so meanwhile.
    async fn wait(&self) -> Result<AccessToken, Error> {
        let mut endpoint = self.0.asking.lock().await;
        match self.advice() {
            Advice::Use(token) => return Ok(token),
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
        let outcome = self.0.request.fetch(&mut endpoint, asked_at);
        let outcome = tokio::time::timeout(TIMEOUT, outcome).await;
        let outcome = outcome.unwrap_or_else(|_| {
            let url = self.0.request.issuer.clone();
            Err((Error::Timeout { url }, None))
        });
        match outcome {
            Ok((token, lifetime)) => {
                self.kept().keep(token.clone(), lifetime, asked_at);
                Ok(token)
            }
            Err((error, wait)) => {
                // The metadata is asked anew after every failure.
                *endpoint = None;
                let now = self.elapsed();
                self.kept().fail(error.to_string(), wait, now);
                Err(error)
            }
        }
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

/// An error, and how long the issuer wants to be left alone.
type Failed = (Error, Option<Duration>);

/// What is read of an issuer's metadata (RFC 8414 §2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: Option<String>,
}

impl TokenRequest {
    async fn fetch(
        &self,
        known: &mut Option<TokenEndpoint>,
        now: Duration,
    ) -> Result<(AccessToken, Duration), Failed> {
        let is_stale =
            |known: &TokenEndpoint| now.saturating_sub(known.found_at) >= METADATA_BELIEVED_FOR;
        let known = match known.take().filter(|known| !is_stale(known)) {
            Some(fresh) => known.insert(fresh),
            None => known.insert(self.find_endpoint(now).await?),
        };
        let TokenEndpoint { url, http, .. } = known;
        let form = self.form();
        let (status, headers, answer) = self.exchange(http, Method::POST, url, form).await?;
        if status == StatusCode::OK {
            let token: keywright_api::AccessToken = read(url, &answer)?;
            let lifetime = Duration::from_secs(token.expires_in);
            return Ok((AccessToken::new(token.access_token), lifetime));
        }
        let wait = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
        let wait = wait.and_then(|seconds| seconds.parse().ok());
        let wait = wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        match serde_json::from_str::<OauthError>(&answer) {
            Ok(error) => Err((Error::TokenRefused(error), wait)),
            Err(_) => Err((
                Error::UnexpectedAnswer {
                    url: url.as_str().to_owned(),
                    what: format!("status {}", status.as_u16()),
                },
                wait,
            )),
        }
    }

    fn form(&self) -> Bytes {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("audience", &self.audience), ("scope", &self.scope)] {
            form.extend_pairs(value.iter().map(|value| (name, value)));
        }
        form.finish().into()
    }

    /// The token endpoint, as the metadata names it (RFC 8414 §3).
    async fn find_endpoint(&self, now: Duration) -> Result<TokenEndpoint, Failed> {
        let url = &self.metadata;
        let http = self.http(url)?;
        let asked = self.exchange(&http, Method::GET, url, Bytes::new());
        let (status, _, answer) = asked.await?;
        let wrong = |what| {
            let issuer = self.issuer.clone();
            (Error::Metadata { issuer, what }, None)
        };
        if status != StatusCode::OK {
            return Err(wrong("it cannot be had"));
        }
        let metadata: Metadata = read(url, &answer)?;
        if metadata.issuer != self.issuer {
            return Err(wrong("it is another issuer's"));
        }
        let endpoint = metadata.token_endpoint;
        let endpoint = endpoint.ok_or_else(|| wrong("it names no token endpoint"))?;
        let url = secure(&endpoint);
        let url = url.ok_or_else(|| wrong("its token endpoint is no https URL"))?;
        Ok(TokenEndpoint {
            http: self.http(&url)?,
            url,
            found_at: now,
        })
    }

    fn http(&self, url: &Url) -> Result<Http, Failed> {
        let address = ServiceAddress::parse(url.as_str());
        let address = address.map_err(|error| unreachable(url, error))?;
        http(address.endpoint(), &self.tls).map_err(|error| unreachable(url, error))
    }

    async fn exchange(
        &self,
        http: &Http,
        method: Method,
        url: &Url,
        form: Bytes,
    ) -> Result<(StatusCode, HeaderMap, String), Failed> {
        let is_post = method == Method::POST;
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, USER_AGENT_NAME)
            .body(Full::new(form))
            .map_err(|error| unreachable(url, error))?;
        if is_post {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
            if let Some(basic) = self.secret.basic(&self.client_id) {
                request.headers_mut().insert(AUTHORIZATION, basic);
            }
        }
        let response = http.request(request).await;
        let (parts, body) = response
            .map_err(|error| unreachable(url, error))?
            .into_parts();
        let text = text(body, url.as_str())
            .await
            .map_err(|error| (error, None))?;
        Ok((parts.status, parts.headers, text))
    }
}

fn unreachable(url: &Url, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failed {
    let (url, source) = (url.as_str().to_owned(), error.into());
    (Error::Unreachable { url, source }, None)
}

fn read<T: DeserializeOwned>(url: &Url, text: &str) -> Result<T, Failed> {
    serde_json::from_str(text).map_err(|error| {
        let what = format!("another document than expected ({error})");
        let url = url.as_str().to_owned();
        (Error::UnexpectedAnswer { url, what }, None)
    })
}

/// A URL that may be sent a secret.
fn secure(text: &str) -> Option<Url> {
    let address = ServiceAddress::parse(text).ok()?;
    let url = Url::parse(text).ok()?;
    (url.scheme() == "https" || address.is_local()).then_some(url)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the age of a token is measured here alone; what follows from it is told the time"
)]
fn steady_now() -> Instant {
    Instant::now()
}
