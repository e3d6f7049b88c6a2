//! The OAuth endpoints of the public listener (RFC 6749 §3.2, RFC 7009, RFC 7662), and the one where tokens
//! are used up that count once.
//!
//! They are other doors to the same rooms: a request passes the admission control of the internal
//! listener, its client is one of the same clients, and a token is signed by the same signer within the
//! same limits. What is refused is a problem of the same codes, written as an OAuth error.

mod authentication;
mod consumption;
mod error;
mod event_streams;
mod exchange;
mod global_revocation;
mod introspection;
mod proof;
mod refresh;
mod revocation;
mod security_events;
mod token;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest as _, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, CACHE_CONTROL,
    ORIGIN, PRAGMA, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use keywright_verifier::Dpop;
use tracing::{Instrument as _, Span};

use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::http::admission::{AdmissionControl, hold_back, span};
use crate::http::body::FormBody;
use crate::http::code::Code;
use crate::http::connection::Peer;
use crate::http::problem::Problem;
use crate::http::response::no_content;
use crate::http::slots::{RequestSlot, RouteClass};
use crate::lifecycle::IssuerUrl;
use crate::oauth::{DpopNonces, Endpoint, ExchangeGrant};
use crate::telemetry::traces::is_traced;

use authentication::authenticate;
use event_streams::WaitingReceivers;
pub(in crate::http) use event_streams::{EventStreamQuery, EventStreamsQuery};
use proof::{DPOP_NONCE, UnusedProof, wall};

const METHODS: &str = "POST, OPTIONS";

/// The OAuth endpoints.
#[derive(Clone)]
pub struct Oauth {
    authority: Arc<Authority>,
    admission: Arc<AdmissionControl>,
    /// The origins whose pages may call them.
    origins: Arc<[String]>,
    /// Receivers of security events that wait.
    waiting: WaitingReceivers,
    /// How DPoP proofs are judged.
    dpop: Dpop,
    door: Door,
}

/// Under which address the endpoints are reached.
#[derive(Clone)]
pub(super) enum Door {
    /// That of the issuer.
    Issuer,
    /// This one, with the path of the issuer: clients are asked for a certificate there.
    Mtls(Arc<str>),
}

impl Door {
    /// Where an issuer's endpoints are.
    fn url_of(&self, issuer: &IssuerUrl) -> String {
        match self {
            Self::Issuer => issuer.as_str().to_owned(),
            Self::Mtls(address) => format!("{address}{}", issuer.path()),
        }
    }
}

impl Oauth {
    /// The endpoints of this authority's issuers, for pages of these origins, too, with this rule for DPoP
    /// proofs.
    pub fn new(
        authority: Arc<Authority>,
        admission: Arc<AdmissionControl>,
        origins: impl IntoIterator<Item = String>,
        nonces: DpopNonces,
    ) -> Self {
        let dpop = match nonces {
            DpopNonces::Accepted => Dpop::default(),
            DpopNonces::Required => Dpop::default().require_nonces(&authority.nonce_secret()),
        };
        Self {
            dpop,
            waiting: WaitingReceivers::default(),
            door: Door::Issuer,
            authority,
            admission,
            origins: origins.into_iter().collect(),
        }
    }

    /// The same endpoints under another address, where clients are asked for a certificate. They remember the
    /// same proofs.
    pub fn behind_mtls(&self, address: Arc<str>) -> Self {
        Self {
            door: Door::Mtls(address),
            ..self.clone()
        }
    }

    /// Answers a request to an endpoint of an issuer, or of one that is out of service.
    pub(super) async fn answer(
        self,
        endpoint: Endpoint,
        issuer: Option<Arc<Issuer>>,
        request: axum::http::Request<Incoming>,
    ) -> Response {
        let origin = request.headers().get(ORIGIN).cloned();
        let has_authorization = request.headers().contains_key(AUTHORIZATION);
        let mut response = match (request.method(), issuer) {
            (&Method::OPTIONS, _) => preflight(),
            (&Method::POST, Some(issuer)) => {
                let answer = |request| respond(&self, endpoint, issuer, request);
                self.admission.admit(request, answer).await
            }
            (&Method::POST, None) => {
                Problem::issuer_unusable("the issuer is out of service").into_response()
            }
            _ => Problem::method_not_allowed(METHODS).into_response(),
        };
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            match endpoint {
                // It is no request of OAuth, whose errors have other statuses.
                Endpoint::GlobalRevocation => {}
                Endpoint::SecurityEvents => {
                    security_events::write_error(&mut response, &problem);
                }
                _ => error::write(&mut response, &problem, has_authorization),
            }
        }
        let status = response.status().as_u16();
        self.admission.metrics().count_oauth_response(status);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        if endpoint == Endpoint::Token
            && let Some(nonce) = self.dpop.nonce(wall(self.authority.now()))
            && let Ok(nonce) = HeaderValue::from_str(&nonce)
        {
            headers.insert(DPOP_NONCE, nonce);
        }
        // Services introspect and consume, pages do not.
        let is_of_services = matches!(
            endpoint,
            Endpoint::Introspection
                | Endpoint::Consumption
                | Endpoint::GlobalRevocation
                | Endpoint::SecurityEvents
        );
        let origin = origin.filter(|_| !is_of_services);
        self.share(headers, origin);
        hold_back(response).await
    }

    /// Lets a page read the answer if its origin may call (Fetch §3.2).
    fn share(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        let is_allowed = |origin: &HeaderValue| {
            let mut origins = self.origins.iter();
            origins.any(|allowed| allowed.as_bytes() == origin.as_bytes())
        };
        match origin.filter(is_allowed) {
            Some(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                let exposed = HeaderValue::from_static("DPoP-Nonce");
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
            None => {
                headers.remove(ACCESS_CONTROL_ALLOW_METHODS);
                headers.remove(ACCESS_CONTROL_ALLOW_HEADERS);
                headers.remove(ACCESS_CONTROL_MAX_AGE);
            }
        }
    }
}

fn preflight() -> Response {
    let mut response = no_content();
    let headers = response.headers_mut();
    let pairs = [
        (ALLOW, METHODS),
        (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, DPoP",
        ),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    for (name, value) in pairs {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Answers a request. Its client is known only after its body, which is small: until then it takes a
/// slot by its address.
async fn respond(
    oauth: &Oauth,
    endpoint: Endpoint,
    issuer: Arc<Issuer>,
    request: axum::http::Request<Incoming>,
) -> Response {
    // Of signatures and uses nothing is logged that would need it.
    let span = match endpoint {
        Endpoint::Token | Endpoint::Consumption if !is_traced() => Span::none(),
        _ => span(&request),
    };
    let (parts, body) = request.into_parts();
    let answer = answer(oauth, endpoint, &issuer, parts, Body::new(body));
    answer.instrument(span).await.into_response()
}

async fn answer(
    oauth: &Oauth,
    endpoint: Endpoint,
    issuer: &Arc<Issuer>,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let authority = &oauth.authority;
    let unused_proof = || UnusedProof::of(&oauth.dpop, authority, issuer, &oauth.door, &parts);
    let slot = parts.extensions.get::<RequestSlot>();
    if let Some(slot) = slot {
        let address = parts.extensions.get::<Peer>().map(|peer| peer.address.ip());
        slot.enter_by_address(class_of(endpoint), address)?;
    }
    let slot = slot.cloned();
    let slot = slot.as_ref();
    match endpoint {
        Endpoint::GlobalRevocation => {
            return global_revocation::revoke(authority, issuer, slot, parts, body).await;
        }
        Endpoint::SecurityEvents => {
            return security_events::take(authority, issuer, slot, parts, body).await;
        }
        _ => {}
    }
    let form = FormBody::from_request(Request::from_parts(parts.clone(), body), &());
    let FormBody(form) = form.await?;
    let refresh_token = refresh::refresh_token(endpoint, &form);
    let caller = match authenticate(authority, issuer, &parts, &form).await {
        // Whether the grant has a client that must authenticate is seen when it is known.
        // So is that of a workload which trades in the token of its platform, and has nothing else.
        Err(problem)
            if problem.kind() == Code::CredentialMissing
                && (refresh_token.is_some()
                    || exchange::has_workload_token(authority, endpoint, &form)) =>
        {
            None
        }
        caller => Some(caller?),
    };
    if let (Some(slot), Some(caller)) = (slot, &caller) {
        slot.hand_over(caller.id())?;
    }
    let caller = match (endpoint, refresh_token, caller) {
        (Endpoint::Token, Some(_), caller) => {
            let proof = unused_proof()?;
            let caller = caller.as_ref();
            let renewed = refresh::renew(authority, issuer, caller, &parts, &form, proof).await;
            return renewed.inspect_err(|problem| {
                authority.metrics().grants().count_renewal(problem.code());
            });
        }
        (_, Some(token), caller) => {
            let caller = caller.as_ref();
            return revocation::end_grant(authority, issuer, caller, &parts, &form, token).await;
        }
        (Endpoint::Token, None, caller) if let Some(grant) = ExchangeGrant::of(&form) => {
            let proof = unused_proof()?.use_up()?;
            let request = exchange::Request {
                grant,
                parts: &parts,
                form: &form,
                proof: &proof,
            };
            return exchange::issue(authority, issuer, caller, &request).await;
        }
        (_, None, caller) => caller.ok_or_else(Problem::no_credential)?,
    };
    match endpoint {
        Endpoint::Token => {
            let proof = unused_proof()?.use_up()?;
            token::issue(authority, issuer, caller, &parts, &form, &proof).await
        }
        Endpoint::Revocation => revocation::revoke(authority, issuer, &caller, &form).await,
        // It was answered before the form was read.
        Endpoint::GlobalRevocation | Endpoint::SecurityEvents => Err(Problem::internal()),
        Endpoint::Introspection => {
            introspection::answer(authority, issuer, &caller, &parts.headers, &form).await
        }
        Endpoint::Consumption => {
            consumption::consume(authority, issuer, &caller, &parts.headers, &form).await
        }
    }
}

const fn class_of(endpoint: Endpoint) -> RouteClass {
    match endpoint {
        Endpoint::Token | Endpoint::Consumption => RouteClass::Signing,
        Endpoint::Revocation | Endpoint::GlobalRevocation | Endpoint::SecurityEvents => {
            RouteClass::Administration
        }
        Endpoint::Introspection => RouteClass::Reading,
    }
}
