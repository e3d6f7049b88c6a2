//! Status lists and their aggregation (Token Status List, draft 21, §8 and §9), for everyone to read.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use keywright_verifier::status_list::STATUS_LIST_MEDIA_TYPE;
use serde::Deserialize;

use super::feed::without_copies;
use super::{METHODS, preflight, published_under};
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::authority::status_lists::{AGGREGATION_PATH, TTL};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::ok;

/// What a path names of an issuer's status lists.
#[derive(Clone, Copy)]
pub(super) enum StatusPath<'p> {
    /// Where all lists of the issuer with this path are.
    Aggregation(&'p str),
    /// A list of the issuer with this path, by its address.
    List(&'p str, &'p str),
}

impl<'p> StatusPath<'p> {
    /// What `path` names, if it names something of status lists.
    pub(super) fn in_path(path: &'p str) -> Option<Self> {
        // The documents of an issuer whose path ends with the same word.
        if path.starts_with("/.well-known/") {
            return None;
        }
        if let Some(issuer) = path.strip_suffix(AGGREGATION_PATH) {
            return Some(Self::Aggregation(issuer));
        }
        let (issuer, address) = path.rsplit_once('/')?;
        let issuer = issuer.strip_suffix(AGGREGATION_PATH)?;
        Some(Self::List(issuer, address))
    }

    /// Whether anything has ever been at such a path.
    fn is_possible(self) -> bool {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        match self {
            Self::Aggregation(_) => true,
            Self::List(_, address) => {
                address.len() == ADDRESS_LENGTH && address.bytes().all(is_legal)
            }
        }
    }
}

/// How many characters the last part of a list's address has, which are those of base64url.
const ADDRESS_LENGTH: usize = 22;

/// What may be asked of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusListQuery {
    /// The status at an earlier time, in Unix seconds, which nothing here keeps: it is refused with 501.
    time: Option<u64>,
}

/// Answers what the path names.
pub(super) async fn answer(
    authority: &Arc<Authority>,
    path: StatusPath<'_>,
    request: &Request<Incoming>,
) -> Response {
    let (StatusPath::Aggregation(issuer) | StatusPath::List(issuer, _)) = path;
    let Some(issuer) = published_under(authority, issuer) else {
        return match authority.is_out_of_service(issuer) {
            true => Problem::issuer_unusable("the issuer is out of service").into_response(),
            false => Problem::not_found().into_response(),
        };
    };
    if !path.is_possible() {
        return without_copies(Problem::not_found().into_response());
    }
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return preflight(),
        _ => return Problem::method_not_allowed(METHODS).into_response(),
    }
    let answer = match path {
        StatusPath::Aggregation(_) => aggregation(authority, &issuer).await,
        StatusPath::List(_, address) => list(authority, &issuer, address, request).await,
    };
    answer.unwrap_or_else(|problem| without_copies(problem.into_response()))
}

async fn list(
    authority: &Authority,
    issuer: &Issuer,
    address: &str,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    let query = axum::extract::Query::<StatusListQuery>::try_from_uri(request.uri());
    let query = query.map_err(|error| Problem::new(Code::InvalidQuery, error.body_text()))?;
    if query.time.is_some() {
        let detail = "what a list has said earlier is not kept";
        return Err(Problem::new(Code::NoStatusHistory, detail));
    }
    let list = authority.status_list(issuer, address).await?;
    let mut response = Response::new(Body::from(list.ok_or_else(Problem::not_found)?));
    let media_type = HeaderValue::from_static(STATUS_LIST_MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(cached(response))
}

async fn aggregation(authority: &Authority, issuer: &Issuer) -> Result<Response, Problem> {
    let lists = authority.status_list_aggregation(issuer).await?;
    Ok(cached(ok(lists)))
}

/// A cache may show it for as long as a verifier may.
fn cached(mut response: Response) -> Response {
    let control = format!("public, max-age={}", TTL.as_secs());
    if let Ok(control) = HeaderValue::from_str(&control) {
        response.headers_mut().insert(CACHE_CONTROL, control);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_list_or_the_aggregation_of_one_issuer() {
        let named = |path| match StatusPath::in_path(path) {
            None => None,
            Some(StatusPath::Aggregation(issuer)) => Some((issuer, None)),
            Some(StatusPath::List(issuer, address)) => Some((issuer, Some(address))),
        };
        assert_eq!(named("/status"), Some(("", None)));
        assert_eq!(named("/shop/status"), Some(("/shop", None)));
        assert_eq!(named("/status/7h2c"), Some(("", Some("7h2c"))));
        assert_eq!(named("/a/b/status/7h2c"), Some(("/a/b", Some("7h2c"))));
        assert_eq!(named("/status/"), Some(("", Some(""))));
        // An issuer with the path /shop/status.
        assert_eq!(
            named("/shop/status/status/x"),
            Some(("/shop/status", Some("x")))
        );
        for other in [
            "/",
            "/shop",
            "/shop/statuses",
            "/shop/status/x/y",
            "/shop/status/.well-known/jwks.json",
            "/.well-known/oauth-authorization-server/shop/status",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
