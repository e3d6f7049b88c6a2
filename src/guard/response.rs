//! Responses, and the only file of the guard with status codes.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::denial::{Denial, DenialKind};
use crate::telemetry::OPENMETRICS;

/// After how many seconds a client may ask again when keys or revocations are missing: a failed fetch is
/// repeated about as soon.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// A verdict is true for the moment alone: the token expires, and may be revoked.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// 200 with the claims.
pub(super) fn accepted(claims: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = claims;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// 401, 403 or 503, with an RFC 9457 document.
pub(super) fn refused(denial: &Denial, challenges: &[String]) -> Response {
    let status = match denial.kind() {
        DenialKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        DenialKind::Forbidden => StatusCode::FORBIDDEN,
        DenialKind::Undecided => StatusCode::SERVICE_UNAVAILABLE,
    };
    let document = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": denial.code(),
        "detail": denial.to_string(),
    });
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let problem = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, problem);
    headers.insert(CACHE_CONTROL, NO_STORE);
    if denial.kind() == DenialKind::Undecided {
        headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    for challenge in challenges {
        if let Ok(challenge) = HeaderValue::from_str(challenge) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
    }
    response
}

/// 200 with plain text.
pub(super) fn text(body: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// 200 with metrics.
pub(super) fn metrics(body: String) -> Response {
    ([(CONTENT_TYPE, OPENMETRICS)], body).into_response()
}

/// 503 with plain text, for probes.
pub(super) fn unready(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// 404: the health listener has nothing there.
pub(super) fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}
