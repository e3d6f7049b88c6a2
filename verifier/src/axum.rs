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
//! | 401 | `proof-missing`, `proof-mismatch` | the token is bound to a key or a certificate that the request does not prove: `error="invalid_token"` |
//! | 401 | `invalid-dpop-proof`, `dpop-proof-replayed` | the proof is not accepted: `error="invalid_dpop_proof"` (RFC 9449 §7.1) |
//! | 401 | `dpop-nonce-required` | the proof needs the nonce of `DPoP-Nonce`: `error="use_dpop_nonce"` (RFC 9449 §9) |
//! | 403 | `scope-missing`, `claim-missing` | the token is valid and a route requires more: `error="insufficient_scope"` |
//! | 503 | `keys-unavailable` | the keys to verify the token with are not available |
//! | 401 | `single-use`, `already-consumed`, `consumption-refused` | the token counts once and this is not its use: `error="invalid_token"` |
//! | 503 | `consumption-unavailable` | the issuer cannot be asked whether the token was used before |
//! | 503 | `dpop-memory-full` | too many proofs were used in the last minute |
//! | 503 | `revocations-stale` | what is revoked has not been learned for too long |
//! | 500 | `authentication-missing` | a requirement or an extractor is used without an [`Authentication`]: every request is refused |
//!
//! # Bound tokens
//!
//! A token that is bound to a key (DPoP) is refused until [`Authentication::external_url`] says under which
//! address clients reach this service: then `Authorization: DPoP` is accepted together with a proof in the
//! header `DPoP`. As a bearer token a bound one is refused in any case (RFC 9449 §7.2). A token that is bound to
//! a certificate needs a [`ClientCertificate`] in the extensions of the request, which the server puts there that
//! has done the TLS handshake.
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

use ::axum::extract::{OriginalUri, Request};
use ::axum::http::header::AUTHORIZATION;
use ::axum::http::{HeaderMap, HeaderName, HeaderValue};
use ::axum::response::Response;
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use crate::dpop::url;
use crate::{BindingError, Dpop, Jws, Possession, Thumbprint, Verified, Verifier, VerifyError};
use answer::{Challenges, Denial};

pub use extract::Authenticated;
pub use requirement::{RequirementLayer, RequirementService, require_claim, require_scope};

/// A layer that lets requests with a good bearer token pass.
#[derive(Clone)]
pub struct Authentication {
    verifier: Arc<Verifier>,
    realm: Arc<str>,
    /// Where clients reach this service, without a slash at the end.
    external_url: Option<Arc<str>>,
    on_refusal: Arc<OnRefusal>,
}

/// The certificate of the client, for the extensions of a request: its key was proven by the TLS handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientCertificate(pub Thumbprint);

/// A text is no address of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the external URL must be http or https, with a host and without a query and a fragment")]
pub struct InvalidExternalUrl;

type OnRefusal = dyn Fn(&VerifyError, Option<&Jws<'_>>) + Send + Sync;

impl Authentication {
    /// Verifies tokens with `verifier`.
    pub fn new(verifier: impl Into<Arc<Verifier>>) -> Self {
        Self {
            verifier: verifier.into(),
            realm: "api".into(),
            external_url: None,
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

    /// Accepts tokens that are bound to a key, with a DPoP proof for `url` and the path of the request. `url` is
    /// where clients reach this service, such as `https://api.example` or `https://example.com/api`. It is
    /// configuration because `Host` and forwarded headers are the sender's, who may have a proof that was
    /// made for another service. Default: none, and bound tokens are refused.
    ///
    /// # Errors
    ///
    /// [`InvalidExternalUrl`].
    pub fn external_url(mut self, url: &str) -> Result<Self, InvalidExternalUrl> {
        if url.contains(['?', '#']) || url::normalized(url).is_none() {
            return Err(InvalidExternalUrl);
        }
        self.external_url = Some(url.trim_end_matches('/').into());
        Ok(self)
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

    async fn authenticate(&self, request: &RequestHead) -> Result<Verified<Value>, Denial> {
        let RequestHead {
            headers,
            method,
            path,
            certificate,
        } = request;
        let (scheme, token) = self.presented_token(headers)?;
        let mut possession = Possession::none();
        if let Some(ClientCertificate(thumbprint)) = certificate {
            possession = possession.with_certificate(*thumbprint);
        }
        let url = match (&self.external_url, scheme) {
            (Some(base), Scheme::Dpop) => format!("{base}{path}"),
            _ => String::new(),
        };
        if scheme == Scheme::Dpop {
            let proof = proof(headers).map_err(|error| self.refuse(Some(token), error.into()))?;
            possession = possession.with_dpop(proof, method, &url);
        }
        let outcome = self.verifier.verify_bound(token, &possession).await;
        outcome.map_err(|error| self.refuse(Some(token), error))
    }

    /// The token of the one `Authorization` header (RFC 6750 §2.1, RFC 9449 §7.1).
    fn presented_token<'h>(&self, headers: &'h HeaderMap) -> Result<(Scheme, &'h str), Denial> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(Denial::NoToken)?;
        if values.next().is_some() {
            return Err(Denial::MalformedHeader);
        }
        let value = value.to_str().map_err(|_| Denial::MalformedHeader)?;
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        let scheme = match &self.external_url {
            _ if scheme.eq_ignore_ascii_case("Bearer") => Scheme::Bearer,
            Some(_) if scheme.eq_ignore_ascii_case("DPoP") => Scheme::Dpop,
            _ => return Err(Denial::NoToken),
        };
        match token.trim_start_matches(' ') {
            "" => Err(Denial::MalformedHeader),
            token => Ok((scheme, token)),
        }
    }

    /// What a client is told that does not get in.
    fn answer(&self, denial: &Denial) -> Response {
        let nonce = self.external_url.as_ref();
        denial.answer(&Challenges {
            realm: &self.realm,
            takes_dpop: self.external_url.is_some(),
            nonce: nonce.and_then(|_| self.verifier.dpop_nonce()),
        })
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
            .field("external_url", &self.external_url)
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
            let head = RequestHead::of(&request);
            match authentication.authenticate(&head).await {
                Ok(token) => {
                    let nonce = authentication.verifier.dpop_nonce();
                    request.extensions_mut().insert(Accepted {
                        token: Arc::new(token),
                        by: authentication,
                    });
                    let mut response = inner.call(request).await?;
                    // So that the next proof has it in time (RFC 9449 §8.2).
                    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
                        response.headers_mut().insert(DPOP_NONCE, nonce);
                    }
                    Ok(response)
                }
                Err(denial) => Ok(authentication.answer(&denial)),
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

/// The header with a proof.
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The header with a nonce for proofs.
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How a token is presented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// What counts of a request. It is copied, because a body that is not shared between threads would not let
/// the request be borrowed while a token is verified.
struct RequestHead {
    headers: HeaderMap,
    method: String,
    /// As the client has sent it: a router that is nested has cut it.
    path: String,
    certificate: Option<ClientCertificate>,
}

impl RequestHead {
    fn of(request: &Request) -> Self {
        let original = request.extensions().get::<OriginalUri>();
        let uri = original.map_or(request.uri(), |OriginalUri(uri)| uri);
        let credentials = [AUTHORIZATION, DPOP].into_iter().flat_map(|name| {
            let values = request.headers().get_all(&name).iter();
            let values: Vec<_> = values.cloned().collect();
            values.into_iter().map(move |value| (name.clone(), value))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in credentials {
            headers.append(name, value);
        }
        Self {
            headers,
            method: request.method().as_str().to_owned(),
            path: uri.path().to_owned(),
            certificate: request.extensions().get().copied(),
        }
    }
}

/// The proof of the one `DPoP` header (RFC 9449 §4.3).
fn proof(headers: &HeaderMap) -> Result<&str, BindingError> {
    let values = headers.get_all(DPOP).iter().map(HeaderValue::as_bytes);
    Dpop::proof_of(values)?.ok_or(BindingError::ProofMissing)
}
