//! What every request of a caller passes, to the internal listener and to the OAuth endpoints: an id,
//! the slot that it takes once its caller is known, and a bound on how long it may take.
//!
//! A client that calls too fast gets its 429 late: the response is delayed, and the request takes no
//! slot during the delay. So a flooding client slows down only itself.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Request, Uri};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span};

use super::internal::{self, MatchedRoute, SigningRoute};
use super::observed_request::{NO_ROUTE, ObservedRequest};
use super::problem::Problem;
use super::response::{is_held_back, until_sent};
use super::server::RequestHandler;
use super::slots::Slots;
use crate::access::credential;
use crate::authority::Authority;
use crate::engine::random_identifier;
use crate::telemetry::Metrics;
use crate::telemetry::traces::{SampledFlag, current_ids, is_traced};

/// What all requests of callers together may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests in progress at a time, shared among the classes of routes; further ones are refused.
    pub in_progress: usize,
    /// How long a request may take, its body included.
    pub timeout: Duration,
}

/// How long a 429 is delayed.
const HOLD_BACK: Duration = Duration::from_millis(250);

/// How often a URL is decoded in search of a credential: proxies encode what is encoded already.
const MOST_ENCODINGS: usize = 4;

/// The header with the request's id: in every answer, and in every request once it is in here.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Routes behind admission control.
#[derive(Clone)]
pub struct AdmittedService {
    router: Router,
    console: Option<Router>,
    authority: Arc<Authority>,
    admission: Arc<AdmissionControl>,
}

/// Where the console is. What is below it is the console's, too.
const CONSOLE: &str = "/console";

/// In the extensions of requests while the console is served.
#[derive(Clone, Copy)]
pub(super) struct ConsoleIsServed;

/// Decides which requests reach routes, and for how long they may take. Both listeners share one, so
/// that a caller has no more slots by calling both.
pub struct AdmissionControl {
    slots: Arc<Slots>,
    timeout: Duration,
    ids: RequestIds,
    metrics: Arc<Metrics>,
}

impl AdmittedService {
    /// Puts admission control before the routes of the internal listener, and before the console if it
    /// is served.
    pub fn new(
        authority: Arc<Authority>,
        admission: Arc<AdmissionControl>,
        console: Option<Router>,
    ) -> Self {
        Self {
            router: internal::router(Arc::clone(&authority)),
            console,
            authority,
            admission,
        }
    }
}

impl RequestHandler for AdmittedService {
    async fn handle(self, request: Request<Incoming>) -> Response {
        let Self {
            mut router,
            console,
            authority,
            admission,
        } = self;
        let flag = SampledFlag::Honoured;
        let observed = ObservedRequest::begin("internal", &authority, flag, &request);
        let mut route = NO_ROUTE;
        let response = {
            let (authority, matched) = (&authority, &mut route);
            let answer = pin!(admission.admit(request, |mut request| async move {
                // The log lines of signatures have nothing in common: they are made by the thousand, and
                // say nothing unless they fail, which is logged with their id.
                if let Some(signing) = SigningRoute::of(request.method(), request.uri()) {
                    *matched = signing.path();
                    if is_traced() {
                        let span = span(&request);
                        let answer = Box::pin(signing.answer(authority, request));
                        return answer.instrument(span).await;
                    }
                    return signing.answer(authority, request).await;
                }
                let span = span(&request);
                if let Some(console) = console {
                    request.extensions_mut().insert(ConsoleIsServed);
                    if is_of_console(request.uri().path()) {
                        router = console;
                        *matched = CONSOLE;
                    }
                }
                let answer = router.oneshot(request.map(Body::new));
                let response = match answer.instrument(span).await {
                    Ok(response) => response,
                    Err(infallible) => match infallible {},
                };
                if let Some(MatchedRoute(path)) = response.extensions().get() {
                    *matched = path;
                }
                response
            }));
            observed.answer(answer).await
        };
        let metrics = &admission.metrics;
        metrics.count_internal_response(response.status().as_u16());
        observed.end(&authority, route, &response);
        hold_back(response).await
    }
}

fn is_of_console(path: &str) -> bool {
    let below = path.strip_prefix(CONSOLE);
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// What the log lines of a request have in common.
pub(super) fn span(request: &Request<Incoming>) -> Span {
    let id = request.headers().get(REQUEST_ID).map_or("", text);
    let path = request.uri().path();
    let (trace_id, span_id) = current_ids().unzip();
    tracing::info_span!("request", request_id = id, method = %request.method(), path, trace_id, span_id)
}

/// Delays an answer that tells its caller to slow down.
pub(super) async fn hold_back(response: Response) -> Response {
    if is_held_back(&response) {
        tokio::time::sleep(HOLD_BACK).await;
    }
    response
}

impl AdmissionControl {
    /// How long a request may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Admission control with these limits.
    pub fn new(limits: RequestLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            slots: Slots::of(limits.in_progress),
            timeout: limits.timeout,
            ids: RequestIds::new(),
            metrics,
        })
    }

    /// What requests take.
    pub(super) fn slots(&self) -> Arc<Slots> {
        Arc::clone(&self.slots)
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers a request as `answer` does, which finds its id and its slot in it.
    pub(super) async fn admit<A: Future<Output = Response>>(
        &self,
        mut request: Request<Incoming>,
        answer: impl FnOnce(Request<Incoming>) -> A,
    ) -> Response {
        let id = self.ids.of(&request);
        if has_credential(request.uri()) {
            let (trace_id, span_id) = current_ids().unzip();
            tracing::warn!(
                request_id = text(&id),
                trace_id,
                span_id,
                "a request with a credential in its URL was refused"
            );
            let mut response = Problem::credential_in_url().into_response();
            response.headers_mut().insert(REQUEST_ID, id);
            return response;
        }
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let slot = self.slots.new_request();
        request.extensions_mut().insert(slot.clone());
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let mut response = match tokio::time::timeout(self.timeout, answer(request)).await {
            Ok(response) => response,
            Err(_) => Problem::timeout().into_response(),
        };
        let (trace_id, span_id) = current_ids().unzip();
        let (request_id, path) = (text(&id), uri.path());
        let is_failed = response.status().is_server_error();
        let status = response.status().as_u16();
        if is_failed {
            tracing::warn!(
                request_id,
                %method,
                path,
                status,
                trace_id,
                span_id,
                "could not answer"
            );
        } else {
            tracing::debug!(
                request_id,
                %method,
                path,
                status,
                trace_id,
                span_id,
                "answered"
            );
        }
        response.headers_mut().insert(REQUEST_ID, id);
        until_sent(response, slot)
    }
}

/// Whether a path or a query carries what is a credential of ours, or looks like a token.
fn has_credential(uri: &Uri) -> bool {
    let written = uri.path_and_query().map_or("", PathAndQuery::as_str);
    // A query, what is encoded, a credential and a token have characters that hardly a path has.
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-');
    if written.bytes().all(is_plain) {
        return false;
    }
    let mut text = Cow::Borrowed(written);
    for _ in 0..MOST_ENCODINGS {
        let decoded = match percent_decode_str(&text).decode_utf8_lossy() {
            Cow::Borrowed(_) => break,
            Cow::Owned(decoded) => decoded,
        };
        text = Cow::Owned(decoded);
    }
    let named = ["access_token=", "token=", "authorization=", "credential="];
    let mut parts = text.split(|one: char| !is_of_token(one));
    credential::is_contained_in(&text)
        || (text.contains(TOKEN_START) && parts.any(has_token))
        || text.split_once('?').is_some_and(|(_, query)| {
            let mut members = query.split('&');
            members.any(|member| named.iter().any(|name| member.starts_with(name)))
        })
}

/// What tokens are made of; whatever else stands around one does not hide it.
fn is_of_token(one: char) -> bool {
    one.is_ascii_alphanumeric() || "-_.".contains(one)
}

/// The header of every JWS begins like this: `{"` in base64url.
const TOKEN_START: &str = "eyJ";

fn has_token(part: &str) -> bool {
    let token = part.find(TOKEN_START).and_then(|start| part.get(start..));
    token.is_some_and(|token| token.matches('.').count() >= 2)
}

/// A request's id as text.
fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

/// Names for requests: the caller's own, if it sent a usable one, or a new one.
struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        // The prefix only tells the processes of a log apart.
        let [a, b, c, d, ..] = random_identifier();
        let prefix = u32::from_be_bytes([a, b, c, d]);
        Self {
            prefix: format!("{prefix:08x}"),
            next: AtomicU64::new(1),
        }
    }

    fn of(&self, request: &Request<Incoming>) -> HeaderValue {
        let usable = |value: &&HeaderValue| {
            (1..=64).contains(&value.len())
                && !value.to_str().is_ok_and(credential::is_contained_in)
                && value
                    .as_bytes()
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        match request.headers().get(REQUEST_ID).filter(usable) {
            Some(id) => id.clone(),
            None => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let id = format!("{}-{number}", self.prefix);
                HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
            }
        }
    }
}
