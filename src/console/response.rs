//! Answers of the console, with the headers that keep a browser from doing what no page asks for; and the
//! console's only file with status codes.

use axum::Json;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use maud::Markup;
use serde::Serialize;

use crate::authority::authentication::Unauthenticated;

/// What a page may load and do: nothing but its own stylesheet, its own modules and its own addresses. No
/// style or script stands in a page, no page stands in a frame, and a script makes no markup of a text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

/// How an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageStatus {
    /// It shows what was asked for, or what was done.
    Ok,
    /// What was sent is not what the form asks for.
    Invalid,
    /// There is no session, or the proof is no client's.
    SignedOut,
    /// The client may not, or the request does not come from a page of the console.
    Forbidden,
    /// There is no such page.
    NotFound,
    /// It is known under another name.
    WrongHost,
    /// Too many failures, or too many requests.
    TooMany,
    /// The store does not answer.
    Unavailable,
    /// As the API has answered.
    OfApi(u16),
}

impl PageStatus {
    fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::OfApi(status) => {
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl From<Unauthenticated> for PageStatus {
    fn from(reason: Unauthenticated) -> Self {
        match reason {
            Unauthenticated::Missing | Unauthenticated::Invalid => Self::SignedOut,
            Unauthenticated::TooManyFailures => Self::TooMany,
            Unauthenticated::Undecidable | Unauthenticated::Stale => Self::Unavailable,
        }
    }
}

/// A page.
pub(super) fn html(status: PageStatus, page: Markup) -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (status.status(), headers, page.into_string()).into_response()
}

/// A document for a module.
pub(super) fn json(status: PageStatus, document: &impl Serialize) -> Response {
    (status.status(), Json(document)).into_response()
}

/// Bytes that never change under their name.
pub(super) fn asset(media_type: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, Bytes::from_static(bytes)).into_response()
}

/// Leads to another page, which is fetched by GET.
pub(super) fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

/// The same answer with a cookie.
pub(super) fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(mut cookie) = HeaderValue::from_str(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whether the API has done what it was asked for.
pub(super) fn is_success(response: &Response) -> bool {
    response.status().is_success()
}

/// Whether what was asked for waits for a second person.
pub(super) fn is_accepted(response: &Response) -> bool {
    response.status() == StatusCode::ACCEPTED
}

/// Adds what every answer of the console has.
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let of_origin = |name| HeaderName::from_static(name);
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (of_origin("cross-origin-opener-policy"), "same-origin"),
        (of_origin("cross-origin-resource-policy"), "same-origin"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // For browsers that do not know frame-ancestors.
        (X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A page is about now and about one client: nothing keeps it.
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(CACHE_CONTROL).or_insert(no_store);
    response
}
