//! Request bodies: JSON objects within limits, read once and strictly.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use keywright_verifier::json::{DEFAULT_MAX_DEPTH, Object};

use super::code::Code;
use super::problem::Problem;

/// The largest body of a request, in bytes.
const LIMIT: usize = 64 * 1024;

/// The largest body of a batch, in bytes.
const BATCH_LIMIT: usize = 4 * 1024 * 1024;

/// A body of at most 64 KiB that is one JSON object.
pub(super) struct Body(pub(super) Object);

/// A body of at most 4 MiB that is one JSON object.
pub(super) struct BatchBody(pub(super) Object);

/// A [`Body`], or none at all.
pub(super) struct OptionalBody(pub(super) Object);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(parse(&read(request, LIMIT).await?)?))
    }
}

impl<S: Sync> FromRequest<S> for BatchBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(parse(&read(request, BATCH_LIMIT).await?)?))
    }
}

impl<S: Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let typed = require_json(request.headers());
        let bytes = read(request, LIMIT).await?;
        if bytes.is_empty() {
            return Ok(Self(parse(b"{}")?));
        }
        typed?;
        Ok(Self(parse(&bytes)?))
    }
}

fn parse(bytes: &[u8]) -> Result<Object, Problem> {
    Ok(Object::parse(bytes, DEFAULT_MAX_DEPTH, "the body")?)
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or(value).trim());
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Problem::unsupported_media_type()),
    }
}

async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), limit);
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::body_too_large(limit))
        }
        Err(_) => Err(Problem::new(Code::BodyIncomplete, "the body ended early")),
    }
}
