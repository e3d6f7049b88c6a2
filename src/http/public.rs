//! The public listener: key sets, metadata, what was revoked and the status of tokens, for everyone to read, and the OAuth
//! endpoints for clients.

mod feed;
mod feed_shares;
mod issuer_endpoint;
mod oauth;
mod route;
mod status_lists;

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, USER_AGENT,
};
use axum::http::{HeaderValue, Method, Request};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use keywright_verifier::revocation::FEED_PATH;

use super::connection::Peer;
use super::observed_request::{NO_ROUTE, ObservedRequest};
use super::openapi::{
    Described, Operation, event_streams, oauth as oauth_operations, public as openapi,
};
use super::problem::Problem;
use super::response::{no_content, not_modified, text, unready};
use super::server::{Limits, RequestHandler};
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::authority::publication::{Document, Publication};
use crate::authority::status_lists::AGGREGATION_PATH;
use crate::authority::verifiers::Asking;
use crate::event_stream::{EventStreamEndpoint, SSF_CONFIGURATION};
use crate::oauth::Endpoint;
use crate::telemetry::traces::SampledFlag;

use feed::FeedPath;
use feed_shares::FeedShares;
use issuer_endpoint::IssuerEndpoint;
use status_lists::StatusPath;

pub(super) use feed::FeedQuery;
pub use oauth::Oauth;
pub(super) use oauth::{EventStreamQuery, EventStreamsQuery};

const METHODS: &str = "GET, HEAD, OPTIONS";
const HEALTH: &str = "/healthz";
const READINESS: &str = "/readyz";

/// The public listener's answers. Every document's bytes were built when its set last changed: an
/// answer is a look-up, and waits for nothing.
#[derive(Clone)]
pub struct Public {
    authority: Arc<Authority>,
    feed_shares: Arc<FeedShares>,
    /// The OAuth endpoints, if they are served.
    oauth: Option<Oauth>,
}

impl Public {
    /// Serves the documents of this authority, and the OAuth endpoints if they are enabled, within the
    /// limits of their listener.
    pub fn new(authority: Arc<Authority>, limits: Limits, oauth: Option<Oauth>) -> Self {
        Self {
            authority,
            oauth,
            feed_shares: FeedShares::new(limits),
        }
    }
}

/// The OAuth endpoints where clients are asked for a certificate, and nothing else (RFC 8705 §5).
#[derive(Clone)]
pub struct MtlsEndpoints {
    authority: Arc<Authority>,
    oauth: Oauth,
}

impl MtlsEndpoints {
    /// Serves these endpoints of this authority.
    pub fn new(authority: Arc<Authority>, oauth: Oauth) -> Self {
        Self { authority, oauth }
    }
}

impl RequestHandler for MtlsEndpoints {
    async fn handle(self, request: Request<Incoming>) -> Response {
        let Self { authority, oauth } = self;
        let observed = ObservedRequest::begin("mtls", &authority, SampledFlag::Ignored, &request);
        let mut route = NO_ROUTE;
        let response = match IssuerEndpoint::find(&authority, request.uri().path()) {
            Some((endpoint, issuer)) => {
                route = endpoint.route(request.uri().path());
                let answer = pin!(endpoint.answer(oauth, issuer, request));
                observed.answer(answer).await
            }
            None => Problem::not_found().into_response(),
        };
        observed.end(&authority, route, &response);
        response
    }
}

impl RequestHandler for Public {
    async fn handle(self, request: Request<Incoming>) -> Response {
        let authority = Arc::clone(&self.authority);
        let observed = ObservedRequest::begin("public", &authority, SampledFlag::Ignored, &request);
        let mut route = NO_ROUTE;
        let response = {
            let answer = pin!(self.answer(request, &mut route));
            observed.answer(answer).await
        };
        observed.end(&authority, route, &response);
        response
    }
}

impl Public {
    /// Answers a request, and says by which route.
    async fn answer(self, request: Request<Incoming>, route: &mut &'static str) -> Response {
        let Self {
            authority,
            feed_shares,
            oauth,
        } = self;
        if let Some(oauth) = oauth
            && let Some((endpoint, issuer)) = IssuerEndpoint::find(&authority, request.uri().path())
        {
            *route = endpoint.route(request.uri().path());
            return endpoint.answer(oauth, issuer, request).await;
        }
        match request.uri().path() {
            HEALTH => {
                *route = HEALTH;
                probe(&request, || text("alive\n"))
            }
            READINESS => {
                *route = READINESS;
                probe(&request, || {
                    let readiness = authority.readiness();
                    readiness.map_or_else(unready, |()| text("ready\n"))
                })
            }
            path => match FeedPath::in_path(path) {
                Some(path) => {
                    *route = path.route();
                    shared(feed::answer(&authority, &feed_shares, path, &request).await)
                }
                None => match StatusPath::in_path(path) {
                    Some(path) => {
                        *route = path.route();
                        shared(status_lists::answer(&authority, path, &request).await)
                    }
                    None => shared(documents(&authority, &request, route)),
                },
            },
        }
    }
}

fn probe(request: &Request<Incoming>, answer: impl FnOnce() -> Response) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => answer(),
        _ => Problem::method_not_allowed("GET, HEAD").into_response(),
    }
}

/// Which of an issuer's documents a path names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jwks,
    OpenidConfiguration,
    OauthMetadata,
    SsfConfiguration,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Jwks,
        Self::OpenidConfiguration,
        Self::OauthMetadata,
        Self::SsfConfiguration,
    ];

    /// The part of the path that names it.
    const fn well_known(self) -> &'static str {
        match self {
            Self::Jwks => "/.well-known/jwks.json",
            Self::OpenidConfiguration => "/.well-known/openid-configuration",
            Self::OauthMetadata => "/.well-known/oauth-authorization-server",
            Self::SsfConfiguration => SSF_CONFIGURATION,
        }
    }

    /// The path under an issuer's path. The key set and the OpenID configuration are suffixes of
    /// the issuer URL; RFC 8414 (§3.1) and the Shared Signals Framework (§7.2.1) put theirs between host and
    /// path.
    fn under(self, issuer: &str) -> String {
        match self {
            Self::Jwks | Self::OpenidConfiguration => format!("{issuer}{}", self.well_known()),
            Self::OauthMetadata | Self::SsfConfiguration => {
                format!("{}{issuer}", self.well_known())
            }
        }
    }

    /// The issuer's path, if the path names this document.
    fn issuer_in(self, path: &str) -> Option<&str> {
        match self {
            Self::Jwks | Self::OpenidConfiguration => path.strip_suffix(self.well_known()),
            Self::OauthMetadata | Self::SsfConfiguration => path.strip_prefix(self.well_known()),
        }
    }

    fn describe(self) -> [(Method, Operation); 2] {
        let (name, read) = match self {
            Self::Jwks => ("KeySet", openapi::jwks()),
            Self::OpenidConfiguration => ("OpenidConfiguration", openapi::openid_configuration()),
            Self::OauthMetadata => ("OauthMetadata", openapi::oauth_metadata()),
            Self::SsfConfiguration => ("SsfConfiguration", openapi::ssf_configuration()),
        };
        [
            (Method::GET, read),
            (Method::OPTIONS, openapi::preflight(name)),
        ]
    }
}

/// What the listener answers, described: the documents of an issuer without a path, those of one
/// with a path, and the probes.
pub(super) fn operations() -> Vec<Described> {
    let described = |path: &str, method, operation| Described {
        path: path.to_owned(),
        method,
        operation,
    };
    let mut operations = Vec::new();
    for kind in Kind::ALL {
        for (method, operation) in kind.describe() {
            operations.push(described(&kind.under(""), method, operation));
        }
    }
    for kind in Kind::ALL {
        for (method, operation) in kind.describe() {
            let operation = openapi::with_issuer_path(operation);
            operations.push(described(&kind.under("/{issuer_path}"), method, operation));
        }
    }
    for path in [FEED_PATH.to_owned(), format!("/{{issuer_path}}{FEED_PATH}")] {
        let segment = format!("{path}/{{hash}}");
        let of = |operation: Operation| match path.starts_with("/{") {
            true => openapi::with_issuer_path(operation),
            false => operation,
        };
        operations.push(described(&path, Method::GET, of(openapi::revocations())));
        let preflight = openapi::preflight("Revocations");
        operations.push(described(&path, Method::OPTIONS, of(preflight)));
        operations.push(described(&segment, Method::GET, of(openapi::segment())));
        let preflight = openapi::segment_path(openapi::preflight("RevocationSegment"));
        operations.push(described(&segment, Method::OPTIONS, of(preflight)));
    }
    for issuer in ["", "/{issuer_path}"] {
        let of = |operation: Operation| match issuer {
            "" => operation,
            _ => openapi::with_issuer_path(operation),
        };
        let path = format!("{issuer}{AGGREGATION_PATH}");
        let list = format!("{path}/{{list}}");
        operations.push(described(&path, Method::GET, of(openapi::status_lists())));
        let preflight = openapi::preflight("StatusLists");
        operations.push(described(&path, Method::OPTIONS, of(preflight)));
        operations.push(described(&list, Method::GET, of(openapi::status_list())));
        let preflight = openapi::status_list_path(openapi::preflight("StatusList"));
        operations.push(described(&list, Method::OPTIONS, of(preflight)));
    }
    for path in ["", "/{issuer_path}"] {
        for endpoint in Endpoint::ALL {
            let operation = match endpoint {
                Endpoint::Token => oauth_operations::token(),
                Endpoint::Revocation => oauth_operations::revoke(),
                Endpoint::Introspection => oauth_operations::introspect(),
                Endpoint::Consumption => oauth_operations::consume(),
                Endpoint::GlobalRevocation => oauth_operations::revoke_globally(),
                Endpoint::SecurityEvents => oauth_operations::push_security_event(),
            };
            let operation = match path {
                "" => operation,
                _ => openapi::with_issuer_path(operation),
            };
            let path = format!("{path}{}", endpoint.suffix());
            operations.push(described(&path, Method::POST, operation));
        }
    }
    for path in ["", "/{issuer_path}"] {
        for endpoint in EventStreamEndpoint::ALL {
            let of_endpoint = match endpoint {
                EventStreamEndpoint::Configuration => event_streams::configuration(),
                EventStreamEndpoint::Status => event_streams::status(),
                EventStreamEndpoint::Verification => event_streams::verification(),
                EventStreamEndpoint::Poll => event_streams::poll(),
            };
            let at = format!("{path}{}", endpoint.suffix());
            for (method, operation) in of_endpoint {
                let operation = match path {
                    "" => operation,
                    _ => openapi::with_issuer_path(operation),
                };
                operations.push(described(&at, method, operation));
            }
        }
    }
    operations.push(described(HEALTH, Method::GET, openapi::health()));
    operations.push(described(READINESS, Method::GET, openapi::readiness()));
    operations
}

fn documents(
    authority: &Authority,
    request: &Request<Incoming>,
    route: &mut &'static str,
) -> Response {
    let Some((kind, path)) = named_by(request.uri().path()) else {
        return Problem::not_found().into_response();
    };
    *route = kind.route(path);
    match published_under(authority, path) {
        Some(issuer) => document_of(authority, kind, &issuer, request),
        None if authority.is_out_of_service(path) => {
            Problem::issuer_unusable("the issuer is out of service").into_response()
        }
        None => Problem::not_found().into_response(),
    }
}

/// What a page of any origin may read. Refusals, too: a page must be able to tell "there is none" from
/// "the server is down", and to go on from a missing openid-configuration to the OAuth metadata.
fn shared(mut response: Response) -> Response {
    let any = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

/// The issuer of a path. Consumers that append to an issuer's URL with a slash at its end ask for two
/// slashes; of no other issuer are two the same as one.
fn published_under(authority: &Authority, path: &str) -> Option<Arc<Issuer>> {
    let found = authority.published_under(path);
    found.or_else(|| {
        let issuer = authority.published_under(path.strip_suffix('/')?)?;
        let has_slash = issuer.snapshot().set().policy().url.as_str().ends_with('/');
        has_slash.then_some(issuer)
    })
}

fn document_of(
    authority: &Authority,
    kind: Kind,
    issuer: &Issuer,
    request: &Request<Incoming>,
) -> Response {
    let response = match *request.method() {
        Method::GET | Method::HEAD => serve(authority, issuer, kind, request),
        Method::OPTIONS => preflight(),
        _ => Problem::method_not_allowed(METHODS).into_response(),
    };
    if kind == Kind::Jwks {
        authority
            .metrics()
            .count_jwks_response(response.status().as_u16());
    }
    response
}

fn named_by(path: &str) -> Option<(Kind, &str)> {
    let mut kinds = Kind::ALL.into_iter();
    kinds.find_map(|kind| Some((kind, kind.issuer_in(path)?)))
}

fn serve(
    authority: &Authority,
    issuer: &Issuer,
    kind: Kind,
    request: &Request<Incoming>,
) -> Response {
    let headers = request.headers();
    let view = issuer.leased_snapshot();
    let publication = view.publication();
    let Some(document) = document(publication, kind) else {
        if kind == Kind::SsfConfiguration {
            return Problem::not_found().into_response();
        }
        let set = issuer.snapshot();
        let path = set.set().policy().url.path();
        return Problem::no_openid_configuration(&Kind::OauthMetadata.under(path)).into_response();
    };
    let current = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|value| names(value, &document.etag));
    if kind == Kind::Jwks {
        record(authority, issuer, publication, request, current);
    }
    let mut response = if current {
        not_modified()
    } else {
        let mut response = Response::new(Body::from(document.bytes.clone()));
        let content_type = match kind {
            Kind::Jwks => "application/jwk-set+json",
            Kind::OpenidConfiguration | Kind::OauthMetadata | Kind::SsfConfiguration => {
                "application/json"
            }
        };
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        headers.insert(ETAG, etag);
    }
    if let Ok(control) = HeaderValue::from_str(&view.cache_control(authority.now())) {
        headers.insert(CACHE_CONTROL, control);
    }
    response
}

/// Remembers who has this key set now: who is sent it, and who has named its tag. A `*` names none.
fn record(
    authority: &Authority,
    issuer: &Issuer,
    publication: &Publication,
    request: &Request<Incoming>,
    is_current: bool,
) {
    let Some(peer) = request.extensions().get::<Peer>() else {
        return;
    };
    let mut tags = request.headers().get_all(IF_NONE_MATCH).iter();
    let is_confirmed = is_current && tags.all(|value| value != "*");
    let is_sent = !is_current && request.method() == Method::GET;
    if !is_confirmed && !is_sent {
        return;
    }
    let user_agent = request.headers().get(USER_AGENT);
    let certificate = peer.certificate.as_deref();
    let asking = Asking {
        address: peer.address.ip(),
        user_agent: user_agent.map_or(b"", HeaderValue::as_bytes),
        certificate: certificate.map(|certificate| &certificate.thumbprint),
    };
    authority.record_verifier(issuer, asking, publication.served(), is_confirmed);
}

fn document(publication: &Publication, kind: Kind) -> Option<&Document> {
    match kind {
        Kind::Jwks => Some(publication.jwks()),
        Kind::OpenidConfiguration => publication.openid_configuration(),
        Kind::OauthMetadata => Some(publication.oauth_metadata()),
        Kind::SsfConfiguration => publication.ssf_configuration(),
    }
}

/// Whether an `If-None-Match` names the tag: `*`, or a list that contains it (RFC 9110 §13.1.2;
/// the comparison is the weak one).
pub(super) fn names(value: &HeaderValue, etag: &str) -> bool {
    let Ok(value) = value.to_str() else {
        return false;
    };
    value
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

fn preflight() -> Response {
    let mut response = no_content();
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    // The wildcard covers every header but this one (Fetch §4.9).
    let allowed = HeaderValue::from_static("*, Authorization");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}
