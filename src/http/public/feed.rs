//! The revocation feed: a head that is signed while it is asked for, and segments that never change.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::Incoming;
use keywright_verifier::Algorithm;
use keywright_verifier::revocation::{FEED_PATH, is_nonce};
use schemars::JsonSchema;
use serde::Deserialize;

use super::feed_shares::FeedShares;
use super::{METHODS, preflight, published_under};
use crate::authority::Authority;
use crate::authority::issuer::Issuer;
use crate::authority::revocations::{FeedRefusal, FeedRequest};
use crate::http::authentication::admit;
use crate::http::code::Code;
use crate::http::connection::Peer;
use crate::http::problem::Problem;
use crate::lifecycle::RevocationFeed;

/// The longest that a verifier waits for a change, in seconds.
const LONGEST_WAIT: u64 = 25;

/// What a path names in a feed.
#[derive(Clone, Copy)]
pub(super) enum FeedPath<'p> {
    /// The head of the issuer with this path.
    Head(&'p str),
    /// A segment of the issuer with this path, by its hash.
    Segment(&'p str, &'p str),
}

impl<'p> FeedPath<'p> {
    /// What `path` names, if it names something of a feed.
    pub(super) fn in_path(path: &'p str) -> Option<Self> {
        let (issuer, rest) = path.rsplit_once(FEED_PATH)?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some(Self::Head(issuer)),
            Some(hash) if !hash.contains('/') => Some(Self::Segment(issuer, hash)),
            _ => None,
        }
    }
}

/// What a verifier asks of the feed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct FeedQuery {
    /// The algorithm of the signature. Default: the policy's `default_algorithm`.
    #[schemars(with = "Option<Algorithm>")]
    alg: Option<String>,
    /// The `root` that is known. With `wait`, the answer comes when there is another one.
    #[schemars(with = "Option<Root>")]
    known: Option<String>,
    /// How many seconds the answer may take if nothing changes. Default: 0.
    #[schemars(range(min = 0, max = LONGEST_WAIT))]
    wait: Option<u64>,
    /// Repeated in the head, which shows that it was signed since.
    #[schemars(with = "Option<Nonce>")]
    nonce: Option<String>,
}

/// 32 bytes in base64url.
#[derive(JsonSchema)]
#[schemars(inline, extend("pattern" = "^[A-Za-z0-9_-]{43}$"))]
struct Root(#[expect(dead_code, reason = "it describes text of a query")] String);

/// 1 to 64 characters of base64url.
#[derive(JsonSchema)]
#[schemars(inline, extend("pattern" = "^[A-Za-z0-9_-]{1,64}$"))]
struct Nonce(#[expect(dead_code, reason = "it describes text of a query")] String);

/// Answers what the path names.
pub(super) async fn answer(
    authority: &Arc<Authority>,
    shares: &Arc<FeedShares>,
    path: FeedPath<'_>,
    request: &Request<Incoming>,
) -> Response {
    let (FeedPath::Head(issuer) | FeedPath::Segment(issuer, _)) = path;
    let Some(issuer) = published_under(authority, issuer) else {
        return match authority.is_out_of_service(issuer) {
            true => Problem::issuer_unusable("the issuer is out of service").into_response(),
            false => Problem::not_found().into_response(),
        };
    };
    if let FeedPath::Segment(_, hash) = path
        && hash_of(hash).is_none()
    {
        return without_copies(Problem::not_found().into_response());
    }
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return preflight(),
        _ => return Problem::method_not_allowed(METHODS).into_response(),
    }
    if let Err(problem) = may_read(authority, &issuer, request).await {
        return problem.into_response();
    }
    let answer = match path {
        FeedPath::Head(_) => head(authority, shares, &issuer, request).await,
        FeedPath::Segment(_, hash) => segment(authority, &issuer, hash).await,
    };
    answer.unwrap_or_else(|problem| without_copies(problem.into_response()))
}

/// Whether the policy lets this caller read it.
async fn may_read(
    authority: &Arc<Authority>,
    issuer: &Issuer,
    request: &Request<Incoming>,
) -> Result<(), Problem> {
    match issuer.snapshot().set().policy().revocation_feed {
        RevocationFeed::Public => Ok(()),
        RevocationFeed::Off => Err(Problem::no_revocation_feed()),
        RevocationFeed::Authenticated => {
            let caller = admit(authority, request.headers(), request.extensions()).await?;
            let limits = &caller.live.client.terms.limits;
            limits.check_issuer(issuer.name().as_str())?;
            Ok(())
        }
    }
}

/// Whether caches may show everyone what they have.
fn is_public(issuer: &Issuer) -> bool {
    issuer.snapshot().set().policy().revocation_feed == RevocationFeed::Public
}

async fn head(
    authority: &Arc<Authority>,
    shares: &Arc<FeedShares>,
    issuer: &Issuer,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    let mut asked = read_query(request)?;
    asked.wait = asked.wait.min(shares.longest_wait());
    let waits = !asked.wait.is_zero();
    let peer = request.extensions().get::<Peer>();
    let address = peer.ok_or_else(Problem::internal)?.address.ip();
    if asked.nonce.is_some() && !shares.take_head(address, authority.now()) {
        return Err(FeedRefusal::Busy.into());
    }
    // Who finds no place to wait is answered at once.
    let place = waits.then(|| shares.take_place(address)).flatten();
    if place.is_none() {
        asked.wait = Duration::ZERO;
    }
    let head = authority.revocation_head(issuer, &asked).await?;
    let mut response = Response::new(Body::from(head.jws));
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/keywright-revocations+jwt");
    headers.insert(CONTENT_TYPE, media_type);
    let is_shared = !waits && asked.nonce.is_none() && is_public(issuer);
    let control = match is_shared {
        true => "public, max-age=1",
        false => "no-store",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
    Ok(response)
}

fn read_query(request: &Request<Incoming>) -> Result<FeedRequest, Problem> {
    let invalid = |detail: &str| Problem::new(Code::InvalidQuery, detail);
    let query = axum::extract::Query::<FeedQuery>::try_from_uri(request.uri());
    let axum::extract::Query(query) = query.map_err(|error| invalid(&error.body_text()))?;
    let algorithm = query.alg.map(|name| name.parse::<Algorithm>()).transpose();
    let known = query.known.map(|root| hash_of(&root).ok_or(())).transpose();
    if query.nonce.as_deref().is_some_and(|nonce| !is_nonce(nonce)) {
        return Err(invalid("nonce has 1 to 64 characters of base64url"));
    }
    let wait = query.wait.unwrap_or_default();
    if wait > LONGEST_WAIT {
        return Err(invalid("wait is at most 25 seconds"));
    }
    Ok(FeedRequest {
        algorithm: algorithm.map_err(|error| Problem::new(Code::UnknownAlgorithm, error))?,
        known: known.map_err(|()| invalid("known is the root of a head: 32 bytes in base64url"))?,
        wait: Duration::from_secs(wait),
        nonce: query.nonce,
    })
}

async fn segment(authority: &Authority, issuer: &Issuer, hash: &str) -> Result<Response, Problem> {
    let hash = hash_of(hash).ok_or_else(Problem::not_found)?;
    let segment = authority.revocation_segment(issuer, &hash).await;
    let bytes = segment.ok_or_else(Problem::not_found)?;
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, media_type);
    let control = match is_public(issuer) {
        true => "public, max-age=31536000, immutable",
        false => "private, max-age=31536000, immutable",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
    Ok(response)
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// What is not there now may be there in a moment.
pub(super) fn without_copies(mut response: Response) -> Response {
    let control = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, control);
    response
}
