//! Responses, and the only file with status codes.

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use keywright_api as api;
use serde::Serialize;

use super::code::Code;
use crate::authority::Unready;
use crate::authority::throttle::Budget;
use crate::store::{StoreError, Token};

/// The statuses of responses that are not problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseStatus {
    /// Here it is.
    Ok,
    /// It was made.
    Created,
    /// It waits for a second client to confirm it.
    Accepted,
    /// It is done, and there is nothing to say.
    NoContent,
    /// What the caller has is current.
    NotModified,
    /// A probe's answer is no.
    Unready,
}

impl ResponseStatus {
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
    (ResponseStatus::Created.status(), Json(document)).into_response()
}

/// 201 with a token, in a buffer that has room for all of it.
pub(super) fn created_token(token: &api::Token) -> Response {
    let mut text = Vec::with_capacity(token.token.len() + api::Token::OTHER_MEMBERS_BYTES);
    token.write_json(&mut text);
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (ResponseStatus::Created.status(), headers, text).into_response()
}

/// 201 with a document that has an address of its own.
pub(super) fn created_at(location: &str, document: impl Serialize) -> Response {
    let mut response = created(document);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// An answer that shows a record, with the record's entity tag (RFC 9110 §8.8.3). The token of a
/// record is another one after each write, also after a fail-over that has lost one.
pub(super) fn tagged(mut response: Response, token: Token) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{token}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// 202 with a document: nothing has happened yet.
pub(super) fn accepted(document: impl Serialize) -> Response {
    (ResponseStatus::Accepted.status(), Json(document)).into_response()
}

/// 202, and there is nothing to say: a message was taken.
pub(super) fn taken() -> Response {
    ResponseStatus::Accepted.status().into_response()
}

/// 204.
pub(super) fn no_content() -> Response {
    ResponseStatus::NoContent.status().into_response()
}

/// 304: what the caller has is current.
pub(super) fn not_modified() -> Response {
    ResponseStatus::NotModified.status().into_response()
}

/// 200, and there is nothing to say.
pub(super) fn empty() -> Response {
    ResponseStatus::Ok.status().into_response()
}

/// 200 with plain text.
pub(super) fn text(body: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// 200 with JSON Lines, sent while they are made.
pub(super) fn lines(
    lines: impl Stream<Item = Result<String, StoreError>> + Send + 'static,
) -> Response {
    streamed("application/jsonl", lines)
}

/// 200 with what is sent while it is made. Where making it fails the answer breaks off, and the
/// client is told by the chunk that never ends it (RFC 9112 §8).
pub(super) fn streamed<T, E>(
    media_type: &'static str,
    parts: impl Stream<Item = Result<T, E>> + Send + 'static,
) -> Response
where
    T: Into<Bytes> + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let logged = parts.inspect_err(|error| tracing::error!(%error, "an answer was broken off"));
    ([(CONTENT_TYPE, media_type)], Body::from_stream(logged)).into_response()
}

/// A response that keeps what its request has taken until it has been sent, if it is streamed: its
/// length is not known then.
pub(super) fn until_sent(response: Response, taken: impl Send + 'static) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _taken = &taken;
            frame
        }))
    })
}

/// 200 with a JSON document that is written already.
pub(super) fn written(document: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], document.into()).into_response()
}

/// 503 with plain text, for probes.
pub(super) fn unready(reason: Unready) -> Response {
    (ResponseStatus::Unready.status(), format!("{reason}\n")).into_response()
}

/// The status of a code. A code has the same one everywhere.
pub(super) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::PlainHttp
        | Code::MalformedJson
        | Code::DuplicateMember
        | Code::JsonTooDeep
        | Code::JsonTooManyValues
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
        | Code::ClaimName
        | Code::ClaimMissing
        | Code::InvalidTyp
        | Code::TtlZero
        | Code::TtlOverMaximum
        | Code::TokenTooLarge
        | Code::StatusNotOffered
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
        | Code::InvalidFingerprint
        | Code::InvalidSelector
        | Code::InvalidToken
        | Code::InvalidBan
        | Code::ReservedType
        | Code::UnknownGrantType
        | Code::InvalidScope
        | Code::InvalidTarget
        | Code::SeveralCredentials
        | Code::ForeignToken
        | Code::InvalidRefresh
        | Code::InvalidGrantClient
        | Code::InvalidRefreshToken
        | Code::RefreshTokenReused
        | Code::BindingUnproven
        | Code::InvalidDpopProof
        | Code::DpopProofReplayed
        | Code::DpopNonceRequired
        | Code::InvalidSubjectToken
        | Code::InvalidActorToken
        | Code::InvalidAssertion
        | Code::ExchangeNotAllowed
        | Code::ChainTooLong
        | Code::ProofRequired
        | Code::InvalidIdempotencyKey
        | Code::InvalidWebhookUrl
        | Code::InvalidEventStream
        | Code::InvalidEventToken
        | Code::InvalidEventKey
        | Code::InvalidEventIssuer
        | Code::InvalidEventAudience
        | Code::NotSingleUse
        | Code::TokenNotActive
        | Code::CredentialInUrl => StatusCode::BAD_REQUEST,
        Code::CredentialMissing | Code::CredentialInvalid => StatusCode::UNAUTHORIZED,
        Code::RoleMissing | Code::ClientLimit | Code::Banned | Code::OwnApproval => {
            StatusCode::FORBIDDEN
        }
        Code::NotFound
        | Code::UnknownIssuer
        | Code::UnknownKey
        | Code::UnknownClient
        | Code::UnknownCredential
        | Code::UnknownApproval
        | Code::UnknownRevocation
        | Code::UnknownGrant
        | Code::UnknownWebhook
        | Code::UnknownEventStream
        | Code::BeforeIssuer => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::AlgorithmNotActive
        | Code::AlgorithmNotInPolicy
        | Code::SuccessorNotReady
        | Code::SuccessorNotAdopted
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
        | Code::AlreadyConsumed
        | Code::SingleUseUnavailable
        | Code::TooManyWebhooks
        | Code::TooManyEventStreams
        | Code::EventStreamDisabled
        | Code::NoIssuanceLog
        | Code::LastAdmin
        | Code::NotABan
        | Code::GrantEnded
        | Code::GrantSubjectFixed
        | Code::IssuerDeleted
        | Code::TooManyApprovals
        | Code::ApprovalEnded
        | Code::ApprovalOutdated
        | Code::CertificateTaken
        | Code::UntrustedIssuer
        | Code::MasterKeyUnknown
        | Code::MasterKeyUnclear
        | Code::MasterKeyNotEverywhere => StatusCode::CONFLICT,
        Code::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::UnsupportedSubject => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RateLimited
        | Code::TooManyFailures
        | Code::TooManyRequests
        | Code::TooManyGrants
        | Code::TooManyRevocations => StatusCode::TOO_MANY_REQUESTS,
        Code::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        Code::NoStatusHistory => StatusCode::NOT_IMPLEMENTED,
        Code::Overloaded
        | Code::DpopMemoryFull
        | Code::SigningBusy
        | Code::SnapshotStale
        | Code::RevocationSettling
        | Code::RevocationsUnavailable
        | Code::Contended
        | Code::ClockDoubted
        | Code::StoreUnavailable
        | Code::StoreReplaced
        | Code::IssuanceLogUnavailable
        | Code::CallerUndecidable
        | Code::IssuerUnusable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The status of an OAuth error (RFC 6749 §5.2): 400, and 401 for a client that has not authenticated.
/// What has a status of its own for another reason keeps it, so that clients and balancers know what
/// to do: a body that cannot be read, a rate, an overload.
pub(super) const fn oauth_status_of(code: Code) -> StatusCode {
    match status_of(code) {
        StatusCode::CONFLICT if matches!(code, Code::GrantEnded) => StatusCode::BAD_REQUEST,
        // The second use of a token is no request that could be mended.
        StatusCode::CONFLICT if matches!(code, Code::AlreadyConsumed) => StatusCode::CONFLICT,
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => StatusCode::BAD_REQUEST,
        StatusCode::CONFLICT => StatusCode::SERVICE_UNAVAILABLE,
        status => status,
    }
}

/// The status of an error of a security event token (RFC 8935 §2.3): 400 for whatever is wrong with the token or its
/// transmitter. What would be right later keeps its own.
pub(super) const fn event_status_of(code: Code) -> StatusCode {
    match status_of(code) {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY => {
            StatusCode::BAD_REQUEST
        }
        status => status,
    }
}

/// Whether an error of a security event token is written as RFC 8935 §2.3 asks.
pub(super) fn is_event_error(status: StatusCode) -> bool {
    status == StatusCode::BAD_REQUEST
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
pub(super) fn budget_headers(budget: Budget) -> [(HeaderName, String); 2] {
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
