//! Answers and problems (RFC 9457): the only file with status codes.
//!
//! A problem's `code` is stable; its `detail` is for people and may change. What is wrong on our
//! side is logged with its cause, and the answer reveals nothing of it.

use axum::Json;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, TryStreamExt as _};
use keywright_verifier::Kid;
use keywright_verifier::json::{BodyError, FieldError, JsonError};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::authority::ChangeError;
use crate::authority::Unready;
use crate::authority::signing::SignRefusal;
use crate::engine::ImportError;
use crate::lifecycle::{PolicyError, Refusal, Timestamp};
use crate::store::StoreError;

/// 200 with a document.
pub(super) fn ok(document: impl Serialize) -> Response {
    Json(document).into_response()
}

/// 201 with a document.
pub(super) fn created(document: impl Serialize) -> Response {
    (StatusCode::CREATED, Json(document)).into_response()
}

/// 201 with a document that has an address of its own.
pub(super) fn created_at(location: &str, document: Value) -> Response {
    let mut response = created(document);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// 204.
pub(super) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// 304: what the caller has is current.
pub(super) fn not_modified() -> Response {
    StatusCode::NOT_MODIFIED.into_response()
}

/// 200 with plain text.
pub(super) fn text(body: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// 200 with JSON Lines, sent while they are made. Where making them fails the answer breaks off,
/// and the client is told by the chunk that never ends it (RFC 9112 §8).
pub(super) fn lines(
    lines: impl Stream<Item = Result<String, StoreError>> + Send + 'static,
) -> Response {
    let logged = lines.inspect_err(|error| tracing::error!(%error, "an answer was broken off"));
    (
        [(CONTENT_TYPE, "application/jsonl")],
        Body::from_stream(logged),
    )
        .into_response()
}

/// 503 with plain text, for probes.
pub(super) fn unready(reason: &Unready) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// What is wrong with a request, or with us. Boxed, because every handler returns it by value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    header: Option<(HeaderName, String)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl ToString) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.to_string(),
            members: Map::new(),
            header: None,
        }))
    }

    fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.0.header = Some((name, value.to_string()));
        self
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.0.code
    }

    /// 400: something about the request that is not about a single member.
    pub(super) fn bad_request(code: &'static str, detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401 (RFC 6750 §3): without a credential the challenge names no error.
    pub(super) fn no_credential() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "credential-missing",
            "send Authorization: Bearer",
        )
        .header(WWW_AUTHENTICATE, "Bearer realm=\"keywright\"")
    }

    /// 401: the credential is not one of ours, or not any more.
    pub(super) fn bad_credential() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "credential-invalid",
            "the credential is not valid",
        )
        .header(
            WWW_AUTHENTICATE,
            "Bearer realm=\"keywright\", error=\"invalid_token\"",
        )
    }

    /// 403: the client lacks a role.
    pub(super) fn role_missing(role: &'static str) -> Self {
        let challenge = "Bearer realm=\"keywright\", error=\"insufficient_scope\"";
        Self::new(
            StatusCode::FORBIDDEN,
            "role-missing",
            format!("this needs the role {role}"),
        )
        .with("role", role)
        .header(WWW_AUTHENTICATE, challenge)
    }

    /// 404: no such path.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing at this path",
        )
    }

    /// 405.
    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("this path takes {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .header(ALLOW, allowed)
    }

    /// 408.
    pub(super) fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request-timeout",
            "the request took too long",
        )
    }

    /// 413.
    pub(super) fn body_too_large(limit: usize) -> Self {
        let detail = format!("the body is over {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail).with("limit", limit)
    }

    /// 415.
    pub(super) fn unsupported_media_type() -> Self {
        let detail = "the body must be application/json";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            detail,
        )
    }

    /// 503: more requests are in progress than the service takes at a time.
    pub(super) fn overloaded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "too many requests at a time",
        )
        .header(RETRY_AFTER, 1)
    }

    /// 503: the issuer's stored records cannot be used.
    pub(super) fn issuer_unusable(detail: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "issuer-unusable", detail)
    }

    /// 404: the issuer has no such key. The text is a stranger's, and a path may be long.
    pub(super) fn unknown_key(kid: &str) -> Self {
        let shown: String = kid.escape_default().take(Kid::MAX_BYTES).collect();
        let detail = format!("there is no key {shown}");
        Self::new(StatusCode::NOT_FOUND, "unknown-key", detail)
    }

    /// 404: the issuer did not exist then.
    pub(super) fn before_issuer(created_at: Timestamp) -> Self {
        let created_at = created_at.ceil_seconds();
        let detail = format!("the issuer was created later, at {created_at}");
        Self::new(StatusCode::NOT_FOUND, "before-issuer", detail).with("created_at", created_at)
    }

    fn internal() -> Self {
        let detail = "the service failed; its log has the cause under this request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", detail)
    }

    fn store_unavailable() -> Self {
        let detail = "the key store does not answer or refuses to write; nothing may have changed";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", detail)
            .header(RETRY_AFTER, 2)
    }

    /// The problem as a document, for a place in a list.
    pub(super) fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert(
            "type".to_owned(),
            format!("urn:keywright:problem:{}", self.0.code).into(),
        );
        document.insert("title".to_owned(), self.0.status.canonical_reason().into());
        document.insert("status".to_owned(), self.0.status.as_u16().into());
        document.insert("code".to_owned(), self.0.code.into());
        document.insert("detail".to_owned(), self.0.detail.as_str().into());
        document.extend(self.0.members.clone());
        Value::Object(document)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.document().to_string()));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some((name, value)) = self.0.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        response
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Json(error) => error.into(),
            BodyError::Field(error) => error.into(),
        }
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        let code = match &error {
            JsonError::DuplicateMember { .. } => "duplicate-member",
            JsonError::TooDeep { .. } => "json-too-deep",
            JsonError::NumberOutOfRange => "number-out-of-range",
            _ => "malformed-json",
        };
        Self::bad_request(code, error)
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let problem = |code| Self::bad_request(code, &error);
        match &error {
            FieldError::NotAnObject { .. } => problem("not-an-object"),
            FieldError::Missing { field } => problem("field-missing").with("field", *field),
            FieldError::WrongType { field, .. } => problem("field-type").with("field", *field),
            FieldError::Unknown { field, nearest } => {
                let problem = problem("unknown-field").with("field", field.to_string());
                match nearest {
                    Some(nearest) => problem.with("nearest", *nearest),
                    None => problem,
                }
            }
            _ => problem("invalid-body"),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Field(error) => error.into(),
            PolicyError::Algorithm(_) => Self::bad_request("unknown-algorithm", error),
            PolicyError::Url(_) => Self::bad_request("invalid-issuer-url", error),
            PolicyError::Duration { .. }
            | PolicyError::Schedule(_)
            | PolicyError::RotationKind
            | PolicyError::Violation(_) => Self::bad_request("invalid-policy", error),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        Self::bad_request("invalid-private-key", error)
    }
}

impl From<SignRefusal> for Problem {
    fn from(refusal: SignRefusal) -> Self {
        let bad = |code| Self::bad_request(code, &refusal);
        match &refusal {
            SignRefusal::OwnedClaims(claims) => {
                bad("claim-reserved").with("claims", claims.clone())
            }
            SignRefusal::ClaimType { claim, .. } => bad("claim-type").with("claim", *claim),
            SignRefusal::MissingClaims { missing, .. } => {
                bad("claim-missing").with("claims", missing.clone())
            }
            SignRefusal::Typ => bad("invalid-typ"),
            SignRefusal::NoLifetime => bad("ttl-zero"),
            SignRefusal::LifetimeOverMaximum { maximum, .. } => {
                bad("ttl-over-maximum").with("maximum", *maximum)
            }
            SignRefusal::TooLarge { maximum, .. } => {
                bad("token-too-large").with("maximum", *maximum)
            }
            SignRefusal::AlgorithmNotActive(_) => {
                Self::new(StatusCode::CONFLICT, "algorithm-not-active", &refusal)
            }
            SignRefusal::SnapshotStale => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "snapshot-stale", &refusal)
                    .header(RETRY_AFTER, 1)
            }
            SignRefusal::Busy => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "signing-busy", &refusal)
                    .header(RETRY_AFTER, 1)
            }
            SignRefusal::EngineFailed => Self::internal(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, &refusal);
        match &refusal {
            Refusal::UnknownKey(kid) => Self::unknown_key(kid.as_str()),
            Refusal::AlgorithmNotInPolicy(_) => conflict("algorithm-not-in-policy"),
            Refusal::SuccessorNotReady {
                algorithm,
                ready_at,
                ..
            } => conflict("successor-not-ready")
                .with("algorithm", algorithm.as_str())
                .with("ready_at", ready_at.ceil_seconds()),
            Refusal::NoSuccessor(_) => conflict("no-successor"),
            Refusal::IllegalTransition { from, .. } => {
                conflict("illegal-transition").with("state", *from)
            }
            Refusal::KeyKnown { state, .. } => conflict("key-known").with("state", *state),
            Refusal::SetFull => conflict("key-set-full"),
            Refusal::NotTakingOver => conflict("not-taking-over"),
            Refusal::AlreadySigning(_) => conflict("already-signing"),
            Refusal::UrlFixed => conflict("issuer-url-fixed"),
            Refusal::DefaultNotActive(_) => conflict("default-algorithm-not-active"),
            Refusal::FoundingFixed => conflict("takes-over-fixed"),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed a request");
        Self::store_unavailable()
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::UnknownIssuer(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown-issuer", error)
            }
            ChangeError::UnusableIssuer(_) => Self::issuer_unusable(error),
            ChangeError::UnknownClient(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown-client", error)
            }
            ChangeError::PathTaken => Self::new(StatusCode::CONFLICT, "issuer-url-taken", error),
            ChangeError::Contended => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "contended", error)
                    .header(RETRY_AFTER, 1)
            }
            ChangeError::Store(error) => error.into(),
            ChangeError::Vanished
            | ChangeError::Interrupted
            | ChangeError::Engine(_)
            | ChangeError::Randomness(_)
            | ChangeError::Unsealable
            | ChangeError::Load(_) => {
                tracing::error!(%error, "a change failed");
                Self::internal()
            }
        }
    }
}
