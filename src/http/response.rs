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

use super::code::Code;
use crate::access::{LimitBroken, TermsError};
use crate::authority::ChangeError;
use crate::authority::Unready;
use crate::authority::authentication::Unauthenticated;
use crate::authority::signing::SignRefusal;
use crate::authority::throttle::{Budget, Spent};
use crate::engine::ImportError;
use crate::lifecycle::{PolicyError, Refusal, Timestamp};
use crate::store::StoreError;

/// How an answer turns out that is no problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Here it is.
    Ok,
    /// It was made.
    Created,
    /// It waits for somebody.
    Accepted,
    /// It is done, and there is nothing to say.
    NoContent,
    /// What the caller has is current.
    NotModified,
    /// A probe's answer is no.
    Unready,
}

impl Outcome {
    /// Its status.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::Created => StatusCode::CREATED,
            Self::Accepted => StatusCode::ACCEPTED,
            Self::NoContent => StatusCode::NO_CONTENT,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Unready => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// 200 with a document.
pub(super) fn ok(document: impl Serialize) -> Response {
    Json(document).into_response()
}

/// 201 with a document.
pub(super) fn created(document: impl Serialize) -> Response {
    (Outcome::Created.status(), Json(document)).into_response()
}

/// 201 with a document that has an address of its own.
pub(super) fn created_at(location: &str, document: Value) -> Response {
    let mut response = created(document);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// 202 with a document: nothing has happened yet.
pub(super) fn accepted(document: impl Serialize) -> Response {
    (Outcome::Accepted.status(), Json(document)).into_response()
}

/// 204.
pub(super) fn no_content() -> Response {
    Outcome::NoContent.status().into_response()
}

/// 304: what the caller has is current.
pub(super) fn not_modified() -> Response {
    Outcome::NotModified.status().into_response()
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
    (Outcome::Unready.status(), format!("{reason}\n")).into_response()
}

/// The status of a code. A code has the same one everywhere.
pub(super) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::MalformedJson
        | Code::DuplicateMember
        | Code::JsonTooDeep
        | Code::NumberOutOfRange
        | Code::NotAnObject
        | Code::FieldMissing
        | Code::FieldType
        | Code::UnknownField
        | Code::InvalidBody
        | Code::BodyIncomplete
        | Code::InvalidQuery
        | Code::ClaimReserved
        | Code::ClaimType
        | Code::ClaimMissing
        | Code::InvalidTyp
        | Code::TtlZero
        | Code::TtlOverMaximum
        | Code::TokenTooLarge
        | Code::UnknownAlgorithm
        | Code::BatchSize
        | Code::InvalidReason
        | Code::InvalidState
        | Code::InvalidKid
        | Code::KeyMaterial
        | Code::InvalidPrivateKey
        | Code::InvalidPublicKey
        | Code::InvalidPolicy
        | Code::InvalidIssuerUrl
        | Code::InvalidIssuerName
        | Code::InvalidClientName
        | Code::InvalidRoles
        | Code::InvalidLimits
        | Code::InvalidProof
        | Code::InvalidDuration
        | Code::CredentialInUrl => StatusCode::BAD_REQUEST,
        Code::CredentialMissing | Code::CredentialInvalid => StatusCode::UNAUTHORIZED,
        Code::RoleMissing | Code::ClientLimit | Code::OwnApproval => StatusCode::FORBIDDEN,
        Code::NotFound
        | Code::UnknownIssuer
        | Code::UnknownKey
        | Code::UnknownClient
        | Code::UnknownCredential
        | Code::UnknownApproval
        | Code::BeforeIssuer => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::AlgorithmNotActive
        | Code::AlgorithmNotInPolicy
        | Code::SuccessorNotReady
        | Code::NoSuccessor
        | Code::IllegalTransition
        | Code::KeyKnown
        | Code::KeySetFull
        | Code::NotTakingOver
        | Code::AlreadySigning
        | Code::IssuerUrlFixed
        | Code::IssuerUrlTaken
        | Code::DefaultAlgorithmNotActive
        | Code::TakesOverFixed
        | Code::LastAdmin
        | Code::IssuerDeleted
        | Code::TooManyApprovals
        | Code::CertificateTaken
        | Code::UntrustedIssuer => StatusCode::CONFLICT,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::RateLimited | Code::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
        Code::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Overloaded
        | Code::SigningBusy
        | Code::SnapshotStale
        | Code::Contended
        | Code::StoreUnavailable
        | Code::CallerUndecidable
        | Code::IssuerUnusable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The headers that problems of a status come with: always with 401 and 403, with 503 when it is
/// known how long to wait.
pub(super) const fn headers_of(status: StatusCode) -> &'static [&'static str] {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => &["WWW-Authenticate"],
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => &["Retry-After"],
        _ => &[],
    }
}

/// An answer that says what is left of the client's signatures, if its rate is limited.
pub(super) fn with_budget(mut response: Response, budget: Option<Budget>) -> Response {
    for (name, value) in budget.into_iter().flat_map(budget_headers) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Whether an answer tells its caller to slow down, and is itself given slowly.
pub(super) fn is_held_back(response: &Response) -> bool {
    response.status() == StatusCode::TOO_MANY_REQUESTS
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): the burst and the time
/// in which an empty bucket fills; what is left, and when it is full again.
fn budget_headers(budget: Budget) -> [(HeaderName, String); 2] {
    let Budget {
        burst,
        left,
        window,
    } = budget;
    let window = window.as_secs().max(1);
    let missing = u64::from(burst.saturating_sub(left));
    let full_in = (missing * window).div_ceil(u64::from(burst.max(1)));
    [
        (
            HeaderName::from_static("ratelimit-policy"),
            format!("\"signatures\";q={burst};w={window}"),
        ),
        (
            HeaderName::from_static("ratelimit"),
            format!("\"signatures\";r={left};t={full_in}"),
        ),
    ]
}

/// The challenge of every 403 (RFC 6750 §3.1).
const INSUFFICIENT: &str = "Bearer realm=\"keywright\", error=\"insufficient_scope\"";

/// What is wrong with a request, or with us. Boxed, because every handler returns it by value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
struct Parts {
    code: Code,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    /// A problem of this code, with the status that the code has. The constructors below add what
    /// some codes come with.
    pub(super) fn new(code: Code, detail: impl ToString) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.to_string(),
            members: Map::new(),
            headers: Vec::new(),
        }))
    }

    fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.0.headers.push((name, value.to_string()));
        self
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.0.code.as_str()
    }

    /// 401 (RFC 6750 §3): without a credential the challenge names no error.
    pub(super) fn no_credential() -> Self {
        Self::new(Code::CredentialMissing, "send Authorization: Bearer")
            .header(WWW_AUTHENTICATE, "Bearer realm=\"keywright\"")
    }

    /// 401: the credential is not one of ours, or not any more.
    pub(super) fn bad_credential() -> Self {
        Self::new(Code::CredentialInvalid, "the credential is not valid").header(
            WWW_AUTHENTICATE,
            "Bearer realm=\"keywright\", error=\"invalid_token\"",
        )
    }

    /// 403: the client lacks a role.
    pub(super) fn role_missing(role: &'static str) -> Self {
        Self::new(Code::RoleMissing, format!("this needs the role {role}"))
            .with("role", role)
            .header(WWW_AUTHENTICATE, INSUFFICIENT)
    }

    /// 403: the caller's limits forbid it.
    pub(super) fn limit(broken: &LimitBroken) -> Self {
        Self::new(Code::ClientLimit, broken)
            .with("claim", broken.claim.as_str())
            .with("rule", broken.rule)
            .header(WWW_AUTHENTICATE, INSUFFICIENT)
    }

    /// 429: the client's bucket has not enough signatures.
    pub(super) fn rate_limited(spent: Spent, budget: Budget) -> Self {
        match spent {
            Spent::For(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let detail = "this client asks for more signatures than its rate allows";
                Self::new(Code::RateLimited, detail)
                    .header(RETRY_AFTER, seconds.max(1))
                    .budget(budget)
            }
            Spent::Never => {
                let detail = "the batch has more requests than this client's burst";
                Self::new(Code::ClientLimit, detail)
                    .with("claim", "requests")
                    .with("rule", "rate")
                    .header(WWW_AUTHENTICATE, INSUFFICIENT)
            }
        }
    }

    /// 429: too many bad credentials have come from the caller's address.
    pub(super) fn too_many_failures() -> Self {
        let detail = "too many bad credentials have come from this address";
        Self::new(Code::TooManyFailures, detail).header(RETRY_AFTER, 1)
    }

    /// 503: whether the caller is who it says cannot be told now.
    pub(super) fn undecidable_caller() -> Self {
        let detail = "the keys that would tell who is calling cannot be had";
        Self::new(Code::CallerUndecidable, detail).header(RETRY_AFTER, 5)
    }

    /// 400: a secret in the URL has been seen by every log on its way.
    pub(super) fn credential_in_url() -> Self {
        let detail = "a credential must not stand in a URL; it has been seen and must be revoked";
        Self::new(Code::CredentialInUrl, detail)
    }

    fn budget(mut self, budget: Budget) -> Self {
        self.0.headers.extend(budget_headers(budget));
        self
    }

    /// 404: no such path.
    pub(super) fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
    }

    /// 405.
    pub(super) fn method_not_allowed(allowed: &str) -> Self {
        let detail = format!("this path takes {allowed}");
        Self::new(Code::MethodNotAllowed, detail).header(ALLOW, allowed)
    }

    /// 408.
    pub(super) fn timeout() -> Self {
        Self::new(Code::RequestTimeout, "the request took too long")
    }

    /// 413.
    pub(super) fn body_too_large(limit: usize) -> Self {
        let detail = format!("the body is over {limit} bytes");
        Self::new(Code::BodyTooLarge, detail).with("limit", limit)
    }

    /// 415.
    pub(super) fn unsupported_media_type() -> Self {
        let detail = "the body must be application/json";
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// 503: more requests are in progress than the service takes at a time.
    pub(super) fn overloaded() -> Self {
        Self::new(Code::Overloaded, "too many requests at a time").header(RETRY_AFTER, 1)
    }

    /// 503: the issuer's stored records cannot be used.
    pub(super) fn issuer_unusable(detail: impl ToString) -> Self {
        Self::new(Code::IssuerUnusable, detail)
    }

    /// 404: the issuer has no such key. The text is a stranger's, and a path may be long.
    pub(super) fn unknown_key(kid: &str) -> Self {
        let shown: String = kid.escape_default().take(Kid::MAX_BYTES).collect();
        let detail = format!("there is no key {shown}");
        Self::new(Code::UnknownKey, detail)
    }

    /// 404: the issuer did not exist then.
    pub(super) fn before_issuer(created_at: Timestamp) -> Self {
        let created_at = created_at.ceil_seconds();
        let detail = format!("the issuer was created later, at {created_at}");
        Self::new(Code::BeforeIssuer, detail).with("created_at", created_at)
    }

    fn internal() -> Self {
        let detail = "the service failed; its log has the cause under this request's id";
        Self::new(Code::InternalError, detail)
    }

    fn store_unavailable() -> Self {
        let detail = "the key store does not answer or refuses to write; nothing may have changed";
        Self::new(Code::StoreUnavailable, detail).header(RETRY_AFTER, 2)
    }

    /// The problem as a document, for a place in a list.
    pub(super) fn document(&self) -> Value {
        let (code, status) = (self.0.code.as_str(), status_of(self.0.code));
        let mut document = Map::new();
        document.insert(
            "type".to_owned(),
            format!("urn:keywright:problem:{code}").into(),
        );
        document.insert("title".to_owned(), status.canonical_reason().into());
        document.insert("status".to_owned(), status.as_u16().into());
        document.insert("code".to_owned(), code.into());
        document.insert("detail".to_owned(), self.0.detail.as_str().into());
        document.extend(self.0.members.clone());
        Value::Object(document)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.document().to_string()));
        *response.status_mut() = status_of(self.0.code);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in self.0.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
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
            JsonError::DuplicateMember { .. } => Code::DuplicateMember,
            JsonError::TooDeep { .. } => Code::JsonTooDeep,
            JsonError::NumberOutOfRange => Code::NumberOutOfRange,
            _ => Code::MalformedJson,
        };
        Self::new(code, error)
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let problem = |code| Self::new(code, &error);
        match &error {
            FieldError::NotAnObject { .. } => problem(Code::NotAnObject),
            FieldError::Missing { field } => problem(Code::FieldMissing).with("field", *field),
            FieldError::WrongType { field, .. } => problem(Code::FieldType).with("field", *field),
            FieldError::Unknown { field, nearest } => {
                let problem = problem(Code::UnknownField).with("field", field.to_string());
                match nearest {
                    Some(nearest) => problem.with("nearest", *nearest),
                    None => problem,
                }
            }
            _ => problem(Code::InvalidBody),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Field(error) => error.into(),
            PolicyError::Algorithm(_) => Self::new(Code::UnknownAlgorithm, error),
            PolicyError::Url(_) => Self::new(Code::InvalidIssuerUrl, error),
            PolicyError::Duration { .. }
            | PolicyError::Schedule(_)
            | PolicyError::RotationKind
            | PolicyError::Confirmation
            | PolicyError::Violation(_) => Self::new(Code::InvalidPolicy, error),
        }
    }
}

impl From<TermsError> for Problem {
    fn from(error: TermsError) -> Self {
        let code = match error {
            TermsError::Field(error) => return error.into(),
            TermsError::Name => Code::InvalidClientName,
            TermsError::NoRole | TermsError::UnknownRole(_) => Code::InvalidRoles,
            TermsError::Limits(_) => Code::InvalidLimits,
            TermsError::Count(_)
            | TermsError::Certificate(_)
            | TermsError::Workload(_)
            | TermsError::Keys(_)
            | TermsError::UnusableKey => Code::InvalidProof,
        };
        Self::new(code, error)
    }
}

impl From<LimitBroken> for Problem {
    fn from(broken: LimitBroken) -> Self {
        Self::limit(&broken)
    }
}

impl From<Unauthenticated> for Problem {
    fn from(reason: Unauthenticated) -> Self {
        match reason {
            Unauthenticated::Missing => Self::no_credential(),
            Unauthenticated::Invalid => Self::bad_credential(),
            Unauthenticated::TooManyFailures => Self::too_many_failures(),
            Unauthenticated::Undecidable => Self::undecidable_caller(),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        Self::new(Code::InvalidPrivateKey, error)
    }
}

impl From<SignRefusal> for Problem {
    fn from(refusal: SignRefusal) -> Self {
        let bad = |code| Self::new(code, &refusal);
        match &refusal {
            SignRefusal::OwnedClaims(claims) => {
                bad(Code::ClaimReserved).with("claims", claims.clone())
            }
            SignRefusal::ClaimType { claim, .. } => bad(Code::ClaimType).with("claim", *claim),
            SignRefusal::MissingClaims { missing, .. } => {
                bad(Code::ClaimMissing).with("claims", missing.clone())
            }
            SignRefusal::Typ => bad(Code::InvalidTyp),
            SignRefusal::NoLifetime => bad(Code::TtlZero),
            SignRefusal::LifetimeOverMaximum { maximum, .. } => {
                bad(Code::TtlOverMaximum).with("maximum", *maximum)
            }
            SignRefusal::Limit(broken) => Self::limit(broken),
            SignRefusal::TooLarge { maximum, .. } => {
                bad(Code::TokenTooLarge).with("maximum", *maximum)
            }
            SignRefusal::AlgorithmNotActive(_) => Self::new(Code::AlgorithmNotActive, &refusal),
            SignRefusal::SnapshotStale => {
                Self::new(Code::SnapshotStale, &refusal).header(RETRY_AFTER, 1)
            }
            SignRefusal::Busy => Self::new(Code::SigningBusy, &refusal).header(RETRY_AFTER, 1),
            SignRefusal::EngineFailed => Self::internal(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let conflict = |code| Self::new(code, &refusal);
        match &refusal {
            Refusal::UnknownKey(kid) => Self::unknown_key(kid.as_str()),
            Refusal::AlgorithmNotInPolicy(_) => conflict(Code::AlgorithmNotInPolicy),
            Refusal::SuccessorNotReady {
                algorithm,
                ready_at,
                ..
            } => conflict(Code::SuccessorNotReady)
                .with("algorithm", algorithm.as_str())
                .with("ready_at", ready_at.ceil_seconds()),
            Refusal::NoSuccessor(_) => conflict(Code::NoSuccessor),
            Refusal::IllegalTransition { from, .. } => {
                conflict(Code::IllegalTransition).with("state", *from)
            }
            Refusal::KeyKnown { state, .. } => conflict(Code::KeyKnown).with("state", *state),
            Refusal::SetFull => conflict(Code::KeySetFull),
            Refusal::NotTakingOver => conflict(Code::NotTakingOver),
            Refusal::AlreadySigning(_) => conflict(Code::AlreadySigning),
            Refusal::UrlFixed => conflict(Code::IssuerUrlFixed),
            Refusal::DefaultNotActive(_) => conflict(Code::DefaultAlgorithmNotActive),
            Refusal::IssuerDeleted => conflict(Code::IssuerDeleted),
            Refusal::FoundingFixed => conflict(Code::TakesOverFixed),
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
            ChangeError::UnknownIssuer(_) => Self::new(Code::UnknownIssuer, error),
            ChangeError::UnusableIssuer(_) => Self::issuer_unusable(error),
            ChangeError::UnknownClient(_) => Self::new(Code::UnknownClient, error),
            ChangeError::UnknownCredential { .. } => Self::new(Code::UnknownCredential, error),
            ChangeError::LastAdmin => Self::new(Code::LastAdmin, error),
            ChangeError::CertificateTaken => Self::new(Code::CertificateTaken, error),
            ChangeError::UnknownApproval(_) => Self::new(Code::UnknownApproval, error),
            ChangeError::OwnApproval => {
                Self::new(Code::OwnApproval, error).header(WWW_AUTHENTICATE, INSUFFICIENT)
            }
            ChangeError::TooManyApprovals => Self::new(Code::TooManyApprovals, error),
            ChangeError::UntrustedIssuer(_) => Self::new(Code::UntrustedIssuer, error),
            ChangeError::PathTaken => Self::new(Code::IssuerUrlTaken, error),
            ChangeError::Contended => Self::new(Code::Contended, error).header(RETRY_AFTER, 1),
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
