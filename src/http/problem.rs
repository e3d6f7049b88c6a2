//! Problems (RFC 9457): what is wrong with a request, or with us.
//!
//! A problem's `code` is stable; its `detail` is for people and may change. What is wrong on our
//! side is logged with its cause, and the answer reveals nothing of it.

mod causes;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use keywright_api as api;
use keywright_verifier::Kid;

use super::code::Code;
use super::response::{budget_headers, status_of};
use crate::access::{LimitBroken, Role};
use crate::authority::ChangeError;
use crate::authority::revocations::FeedRefusal;
use crate::authority::throttle::{Budget, RateExceeded};
use crate::lifecycle::Timestamp;
use crate::spelling::suggestion;

/// The challenge of every 403 (RFC 6750 §3.1).
const INSUFFICIENT: &str = "Bearer realm=\"keywright\", error=\"insufficient_scope\"";

/// What is wrong with a request, or with us. Boxed, because every handler returns it by value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
struct Parts {
    code: Code,
    document: api::Problem,
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    /// A problem of this code, with the status that the code has. The constructors below add what
    /// some codes come with.
    pub(super) fn new(code: Code, detail: impl ToString) -> Self {
        Self(Box::new(Parts {
            code,
            document: api::Problem {
                detail: detail.to_string(),
                ..api::Problem::default()
            },
            headers: Vec::new(),
        }))
    }

    /// The same under another code.
    fn under(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// The same with a member that says more.
    fn with(mut self, set: impl FnOnce(&mut api::Problem)) -> Self {
        set(&mut self.0.document);
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

    /// The code itself, for what derives from it.
    pub(super) fn kind(&self) -> Code {
        self.0.code
    }

    /// What is wrong, for people.
    pub(super) fn detail(&self) -> &str {
        &self.0.document.detail
    }

    /// The headers of the answer.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        let headers = self.0.headers.iter();
        headers.map(|(name, value)| (name, value.as_str()))
    }

    /// The claim and the rule of a limit of the client's, if one was broken.
    pub(super) fn broken_limit(&self) -> Option<(&str, &str)> {
        let api::Problem { claim, rule, .. } = &self.0.document;
        claim.as_deref().zip(rule.as_deref())
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

    /// 403: the client has none of these roles. The first one is named as the one that it lacks.
    pub(super) fn role_missing(roles: &[Role]) -> Self {
        let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        let detail = format!("this needs the role {}", words.join(" or "));
        let first = words.first().map(|word| (*word).to_owned());
        Self::new(Code::RoleMissing, detail)
            .with(|problem| problem.role = first)
            .header(WWW_AUTHENTICATE, INSUFFICIENT)
    }

    /// 403: the caller's limits forbid it.
    pub(super) fn limit(broken: &LimitBroken) -> Self {
        Self::new(Code::ClientLimit, broken)
            .with(|problem| problem.claim = Some(broken.claim.as_str().into()))
            .with(|problem| problem.rule = Some(broken.rule.into()))
            .header(WWW_AUTHENTICATE, INSUFFICIENT)
    }

    /// 429: the client's bucket has not enough signatures.
    pub(super) fn rate_limited(spent: RateExceeded, budget: Budget) -> Self {
        match spent {
            RateExceeded::RetryAfter { wait, .. } => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let detail = "this client asks for more signatures than its rate allows";
                Self::new(Code::RateLimited, detail)
                    .header(RETRY_AFTER, seconds.max(1))
                    .budget(budget)
            }
            RateExceeded::AboveBurst => {
                let detail = "the batch has more requests than this client's burst";
                Self::new(Code::ClientLimit, detail)
                    .with(|problem| problem.claim = Some("requests".into()))
                    .with(|problem| problem.rule = Some("rate".into()))
                    .header(WWW_AUTHENTICATE, INSUFFICIENT)
            }
        }
    }

    /// 429: too many bad credentials have come from the caller's address.
    pub(super) fn too_many_failures() -> Self {
        let detail = "too many bad credentials have come from this address";
        Self::new(Code::TooManyFailures, detail).header(RETRY_AFTER, 1)
    }

    /// 503: a proof that cannot be remembered could be used twice.
    pub(super) fn dpop_memory_full(detail: impl ToString) -> Self {
        Self::new(Code::DpopMemoryFull, detail).header(RETRY_AFTER, 5)
    }

    /// 503: whether the caller is who it says cannot be told now.
    pub(super) fn undecidable_caller() -> Self {
        let detail = "the keys that would tell who is calling cannot be had";
        Self::new(Code::CallerUndecidable, detail).header(RETRY_AFTER, 5)
    }

    /// 503: a token without a line in the issuance log is not handed out.
    pub(super) fn issuance_log_unavailable() -> Self {
        let detail = "the issuance log takes no more lines, and without one no token is handed out";
        Self::new(Code::IssuanceLogUnavailable, detail).header(RETRY_AFTER, 1)
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

    /// 404 for an issuer without an RS256 key.
    pub(super) fn no_openid_configuration(oauth_metadata: &str) -> Self {
        let detail = format!(
            "this issuer has no RS256 key, which OpenID Connect Discovery demands: its metadata is at \
             {oauth_metadata}; its policy can allow this document with openid_configuration = \
             \"always\""
        );
        Self::new(Code::NotFound, detail)
    }

    /// 404: the policy has no feed.
    pub(super) fn no_revocation_feed() -> Self {
        FeedRefusal::Off.into()
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
        Self::new(Code::BodyTooLarge, detail).with(|problem| problem.limit = Some(limit as u64))
    }

    /// 415: another media type than this one.
    pub(super) fn unsupported_media_type(expected: &str) -> Self {
        let detail = format!("the body must be {expected}");
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// 415: compressed, or encoded in another way (RFC 9110 §15.5.16).
    pub(super) fn content_coding() -> Self {
        let detail = "the body must be sent as it is, without Content-Encoding";
        Self::new(Code::UnsupportedMediaType, detail).header(ACCEPT_ENCODING, "identity")
    }

    /// 400: plain HTTP where the listener speaks TLS.
    pub(super) fn plain_http() -> Self {
        let detail = "this listener speaks TLS: the URL begins with https://";
        Self::new(Code::PlainHttp, detail)
    }

    /// 404: no such issuer, with the one that was probably meant.
    pub(super) fn unknown_issuer(name: &str, nearest: Option<&str>) -> Self {
        let detail = format!("there is no issuer {name}{}", suggestion(nearest));
        Self::new(Code::UnknownIssuer, detail).with_nearest(nearest)
    }

    /// 400: a filter for a kind of event that there is not.
    pub(super) fn unknown_event(name: &str, nearest: Option<&str>) -> Self {
        let shown: String = name.escape_default().take(64).collect();
        let detail = format!("there is no event {shown}{}", suggestion(nearest));
        Self::new(Code::InvalidQuery, detail).with_nearest(nearest)
    }

    fn with_nearest(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(nearest) => self.with(|problem| problem.nearest = Some(nearest.to_owned())),
            None => self,
        }
    }

    /// 503: more requests of this class are in progress than the service takes at a time.
    pub(super) fn overloaded() -> Self {
        let detail = "too many requests of this kind at a time";
        Self::new(Code::Overloaded, detail).header(RETRY_AFTER, 1)
    }

    /// 429: the caller has as many requests in progress, or bytes of bodies, as one may.
    pub(super) fn too_many_requests() -> Self {
        let detail = "this caller has too many requests of this kind, or too large ones, at a time";
        Self::new(Code::TooManyRequests, detail).header(RETRY_AFTER, 1)
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
        let created_at = created_at.rounded_up();
        let detail = format!("the issuer was created later, at {created_at}");
        Self::new(Code::BeforeIssuer, detail)
            .with(|problem| problem.created_at = Some(created_at.ahead()))
    }

    /// 404: no such revocation.
    pub(super) fn unknown_revocation(id: &str) -> Self {
        let shown: String = id.chars().take(64).collect();
        ChangeError::UnknownRevocation(shown).into()
    }

    /// 403: a revoker may not do that.
    pub(super) fn beyond_revoker(why: &'static str) -> Self {
        Self::limit(&LimitBroken {
            claim: "revocation".to_owned(),
            rule: "revoker",
            why,
        })
    }

    /// The same, in an entry of a list.
    pub(super) fn at(self, place: &str) -> Self {
        let within = self.0.document.pointer.clone().unwrap_or_default();
        self.with(|problem| problem.pointer = Some(format!("{place}{within}")))
    }

    pub(super) fn internal() -> Self {
        let detail = "the service failed; its log has the cause under this request's id";
        Self::new(Code::InternalError, detail)
    }

    fn store_unavailable() -> Self {
        let detail = "the key store does not answer or refuses to write; a change may or may not have been made";
        Self::new(Code::StoreUnavailable, detail).header(RETRY_AFTER, 2)
    }

    fn store_replaced() -> Self {
        let detail = "the key store was moved, deleted or replaced while this process uses it";
        Self::new(Code::StoreReplaced, detail).header(RETRY_AFTER, 2)
    }

    /// The problem as a document, for a place in a list.
    pub(super) fn document(&self) -> api::Problem {
        let (code, status) = (self.0.code.as_str(), status_of(self.0.code));
        api::Problem {
            kind: format!("urn:keywright:problem:{code}"),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: api::ProblemCode(code.to_owned()),
            ..self.0.document.clone()
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(
            serde_json::to_vec(&self.document()).unwrap_or_default(),
        ));
        *response.status_mut() = status_of(self.0.code);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in self.headers() {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        // Where answers have another form, it is made of this.
        response.extensions_mut().insert(self);
        response
    }
}
