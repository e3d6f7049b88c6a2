//! Protects the routes of an axum service: a layer that verifies, requirements of routes, an extractor.
//!
//! [`Authentication`] verifies the bearer token of each request that passes it; a request without a
//! valid one goes no further. A route can require more with [`require_scope`] or [`require_claim`]. In a
//! handler, [`Authenticated`] has the claims in the type that the service reads.
//!
//! ```
//! use axum::{Router, routing::get};
//! use keywright_verifier::axum::{Authenticated, Authentication, require_scope};
//! use keywright_verifier::Verifier;
//!
//! #[derive(serde::Deserialize)]
//! struct Claims {
//!     sub: String,
//! }
//!
//! async fn list(Authenticated(token): Authenticated<Claims>) -> String {
//!     format!("the orders of {}", token.claims.sub)
//! }
//!
//! fn app(verifier: Verifier) -> Router {
//!     Router::new()
//!         .route("/orders", get(list).layer(require_scope("orders:read")))
//!         .layer(Authentication::new(verifier))
//! }
//! ```
//!
//! As with every layer of axum, a route that is added to the router after `.layer(…)` is not behind it.
//! A handler there that has an [`Authenticated`] answers 500; one that has none is open to everyone.
//!
//! # Answers
//!
//! As RFC 6750 §3 has them, with an `application/problem+json` (RFC 9457) whose `code` is
//! [`VerifyError::code`](crate::VerifyError::code) or one of these:
//!
//! | status | `code` | when |
//! | --- | --- | --- |
//! | 400 | `authorization-malformed` | two `Authorization` headers, one that is not ASCII, or `Bearer` without a token |
//! | 401 | `token-missing` | no bearer token; the challenge has no `error`, as §3.1 asks |
//! | 401 | of the error | the token is not accepted: `error="invalid_token"` |
//! | 403 | `scope-missing`, `claim-missing` | the token is valid and a route requires more: `error="insufficient_scope"` |
//! | 503 | `keys-unavailable` | the keys to verify the token with are not available |
//! | 503 | `revocations-stale` | what is revoked has not been learned for too long |
//! | 500 | `authentication-missing` | a requirement or an extractor is used without an [`Authentication`]: every request is refused |
//!
//! A token is read from the `Authorization` header alone, never from the body or the query (RFC 6750
//! §2.2, §2.3 and §5.3). A browser's preflight request has no token: put a CORS layer outside of this
//! one.

mod answer;
mod extract;
mod requirement;

use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::axum::extract::Request;
use ::axum::http::HeaderMap;
use ::axum::http::header::AUTHORIZATION;
use ::axum::response::Response;
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Jws, Verified, Verifier, VerifyError};
use answer::Denial;

pub use extract::Authenticated;
pub use requirement::{RequirementLayer, RequirementService, require_claim, require_scope};

/// A layer that lets requests with a good bearer token pass.
#[derive(Clone)]
pub struct Authentication {
    verifier: Arc<Verifier>,
    realm: Arc<str>,
    on_refusal: Arc<OnRefusal>,
}

type OnRefusal = dyn Fn(&VerifyError, Option<&Jws<'_>>) + Send + Sync;

impl Authentication {
    /// Verifies tokens with `verifier`.
    pub fn new(verifier: impl Into<Arc<Verifier>>) -> Self {
        Self {
            verifier: verifier.into(),
            realm: "api".into(),
            on_refusal: Arc::new(|_, _| {}),
        }
    }

    /// The `realm` of the challenge (RFC 9110 §11.5). Default: `api`. Characters that cannot stand in
    /// a quoted string are left out.
    #[must_use]
    pub fn realm(mut self, realm: &str) -> Self {
        let is_plain =
            |character: &char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
        let realm: String = realm.chars().filter(is_plain).collect();
        self.realm = realm.into();
        self
    }

    /// Calls `told` once for every token that is not accepted: for a log, or a counter. What a
    /// [`RequirementLayer`] refuses is not told: its token is valid.
    ///
    /// Beside the error it gets the token as it was parsed, `None` when it could not be. Its header and
    /// [`Jws::unverified_claims`] may be an attacker's: worth a look when a token was tampered with,
    /// worth no trust. Default: nothing happens.
    #[must_use]
    pub fn on_refusal(
        mut self,
        told: impl Fn(&VerifyError, Option<&Jws<'_>>) + Send + Sync + 'static,
    ) -> Self {
        self.on_refusal = Arc::new(told);
        self
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Verified<Value>, Denial> {
        let token = bearer_token(headers)?;
        let outcome = self.verifier.verify(token).await;
        outcome.map_err(|error| self.refuse(Some(token), error))
    }

    /// Tells of a token that is not accepted.
    fn refuse(&self, token: Option<&str>, error: VerifyError) -> Denial {
        let parsed = token.and_then(|token| Jws::parse(token, self.verifier.longest_token()).ok());
        (self.on_refusal)(&error, parsed.as_ref());
        Denial::Token(error)
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authentication")
            .field("verifier", &self.verifier)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for Authentication {
    type Service = Authenticating<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticating {
            inner,
            authentication: self.clone(),
        }
    }
}

/// What [`Authentication`] makes of a service.
#[derive(Clone, Debug)]
pub struct Authenticating<S> {
    inner: S,
    authentication: Authentication,
}

impl<S> Service<Request> for Authenticating<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // The service that was asked whether it is ready is the one to call.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let authentication = self.authentication.clone();
        Box::pin(async move {
            match authentication.authenticate(request.headers()).await {
                Ok(token) => {
                    request.extensions_mut().insert(Accepted {
                        token: Arc::new(token),
                        by: authentication,
                    });
                    inner.call(request).await
                }
                Err(denial) => Ok(denial.answer(&authentication.realm)),
            }
        })
    }
}

/// What the layer leaves in a request for requirements and extractors. No other code can make one.
#[derive(Clone)]
struct Accepted {
    token: Arc<Verified<Value>>,
    by: Authentication,
}

/// The token of the one `Authorization` header (RFC 6750 §2.1).
fn bearer_token(headers: &HeaderMap) -> Result<&str, Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Denial::NoToken)?;
    if values.next().is_some() {
        return Err(Denial::MalformedHeader);
    }
    let value = value.to_str().map_err(|_| Denial::MalformedHeader)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Denial::NoToken);
    }
    match token.trim_start_matches(' ') {
        "" => Err(Denial::MalformedHeader),
        token => Ok(token),
    }
}
