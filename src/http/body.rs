//! Request bodies: JSON objects and forms within limits, read once and strictly.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Limited};
use keywright_verifier::json::{self, DEFAULT_MAX_DEPTH, Object};
use serde::de::DeserializeOwned;

use super::code::Code;
use super::problem::Problem;
use super::slots::RequestSlot;
use crate::oauth::Form;

/// What errors call a body.
const THE_BODY: &str = "the body";

/// The largest body of a request, in bytes.
const LIMIT: usize = 64 * 1024;

/// The largest form, in bytes.
const FORM_LIMIT: usize = 32 * 1024;

/// The largest body of a batch, in bytes.
const BATCH_LIMIT: usize = 4 * 1024 * 1024;

/// A body of at most 64 KiB that is one document.
pub(super) struct Body<T>(pub(super) T);

/// A body of at most 4 MiB that is one document.
pub(super) struct LargeBody<T>(pub(super) T);

/// A body of at most 64 KiB, to be read as a JSON object member by member.
pub(super) struct ObjectBody(Bytes);

/// A body of at most 4 MiB, whose JSON is read an element at a time.
pub(super) struct BatchBody(pub(super) Bytes);

/// A body of at most 32 KiB that is a form.
pub(super) struct FormBody(pub(super) Form);

/// A body of at most 64 KiB that is the form of a page, whose fields may have several lines.
pub(super) struct PageFormBody(pub(super) Form);

/// A body of at most 64 KiB that is a security event token.
pub(super) struct EventTokenBody(pub(super) String);

/// A [`Body`], or none at all.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(document(&read(request, LIMIT).await?)?))
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for LargeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(document(&read(request, BATCH_LIMIT).await?)?))
    }
}

impl<S: Sync> FromRequest<S> for ObjectBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(read(request, LIMIT).await?))
    }
}

impl ObjectBody {
    /// The object, whose texts are those of the body.
    pub(super) fn read(&self) -> Result<Object<'_>, Problem> {
        Ok(Object::parse(&self.0, DEFAULT_MAX_DEPTH, THE_BODY)?)
    }
}

impl<S: Sync> FromRequest<S> for BatchBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(read(request, BATCH_LIMIT).await?))
    }
}

/// The media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// The media type of security event tokens (RFC 8417 §7.2).
pub(super) const EVENT_TOKEN: &str = "application/secevent+jwt";

impl<S: Sync> FromRequest<S> for FormBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require(request.headers(), FORM)?;
        Ok(Self(Form::parse(&read(request, FORM_LIMIT).await?)?))
    }
}

impl<S: Sync> FromRequest<S> for PageFormBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require(request.headers(), FORM)?;
        Ok(Self(Form::parse_page(&read(request, LIMIT).await?)?))
    }
}

impl<S: Sync> FromRequest<S> for EventTokenBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require(request.headers(), EVENT_TOKEN)?;
        let bytes = read(request, LIMIT).await?;
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|error| Problem::new(Code::InvalidEventToken, error))?;
        Ok(Self(text.trim_ascii().to_owned()))
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let typed = require_json(request.headers());
        let bytes = read(request, LIMIT).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        Ok(Self(document(&bytes)?))
    }
}

/// The bytes are read strictly first, then the members as those of the type.
fn document<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value = json::parse(bytes, DEFAULT_MAX_DEPTH)?;
    Ok(keywright_api::read(value, THE_BODY)?)
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    require(headers, "application/json")
}

/// Refuses a body of another media type, and one that is encoded in any way.
fn require(headers: &HeaderMap, media_type: &'static str) -> Result<(), Problem> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or(value).trim());
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case(media_type) => Ok(()),
        _ => Err(Problem::unsupported_media_type(media_type)),
    }?;
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => Ok(()),
        false => Err(Problem::content_coding()),
    }
}

/// Reads a body. Its bytes are counted as they arrive: what is only announced takes no memory.
async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let slot = request.extensions().get::<RequestSlot>().cloned();
    slot.iter().try_for_each(RequestSlot::begin_body)?;
    let mut body = Limited::new(request.into_body(), limit);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Problem::body_too_large(limit)
            } else {
                Problem::new(Code::BodyIncomplete, "the body ended early")
            }
        })?;
        if let Ok(data) = frame.into_data() {
            slot.iter()
                .try_for_each(|slot| slot.grow_body(data.len()))?;
            bytes.extend_from_slice(&data);
        }
    }
    slot.iter().try_for_each(RequestSlot::end_body)?;
    Ok(bytes.freeze())
}
