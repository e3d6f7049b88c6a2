//! What a client is told that does not get in: the only file with status codes.

use ::axum::body::Body;
use ::axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use ::axum::http::{HeaderValue, StatusCode};
use ::axum::response::Response;
use serde_json::json;

use super::DPOP_NONCE;
use crate::{Algorithm, BindingError, DpopError, Fault, VerifyError};

/// After how many seconds a client may ask again when keys or revocations are missing: a failed fetch is
/// repeated about as soon.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What the challenges of a service say.
#[derive(Default)]
pub(super) struct Challenges<'a> {
    pub(super) realm: &'a str,
    /// Whether tokens are accepted that are bound to a key.
    pub(super) takes_dpop: bool,
    /// What the next proof must have.
    pub(super) nonce: Option<String>,
}

/// Why a request goes no further.
pub(super) enum Denial {
    /// It brings no bearer token.
    NoToken,
    /// Its `Authorization` header is none.
    MalformedHeader,
    /// Its token is not accepted.
    Token(VerifyError),
    /// Its token lacks a scope that the route requires.
    Scope(String),
    /// Its token lacks a claim that the route requires.
    Claim(String),
    /// Nothing has verified a token: this service is put together wrongly.
    NoAuthentication,
}

impl Denial {
    fn status(&self) -> StatusCode {
        match self {
            Self::MalformedHeader => StatusCode::BAD_REQUEST,
            Self::Token(error) if is_undecided(error) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoToken | Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Scope(_) | Self::Claim(_) => StatusCode::FORBIDDEN,
            Self::NoAuthentication => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "token-missing",
            Self::MalformedHeader => "authorization-malformed",
            Self::Token(error) => error.code(),
            Self::Scope(_) => "scope-missing",
            Self::Claim(_) => "claim-missing",
            Self::NoAuthentication => "authentication-missing",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NoToken => "a bearer token is needed".to_owned(),
            Self::MalformedHeader => {
                "one Authorization header with a scheme and a token is needed".to_owned()
            }
            Self::Token(error) => error.to_string(),
            Self::Scope(scope) => format!("the token lacks the scope \"{scope}\""),
            Self::Claim(name) => format!("claim \"{name}\" of the token does not allow this"),
            Self::NoAuthentication => "the service is not set up to verify tokens".to_owned(),
        }
    }

    /// The challenges (RFC 6750 §3, RFC 9449 §7.1); none where another token would not help.
    fn challenges(&self, of: &Challenges<'_>) -> Vec<String> {
        let detail = quotable(&self.detail());
        let error = match self {
            Self::NoToken => None,
            Self::MalformedHeader => Some("invalid_request"),
            Self::Token(error) if is_undecided(error) => return Vec::new(),
            Self::Token(VerifyError::Binding(BindingError::Dpop(DpopError::NonceRequired))) => {
                Some("use_dpop_nonce")
            }
            Self::Token(VerifyError::Binding(BindingError::Dpop(_))) => Some("invalid_dpop_proof"),
            Self::Token(_) => Some("invalid_token"),
            Self::Scope(_) | Self::Claim(_) => Some("insufficient_scope"),
            Self::NoAuthentication => return Vec::new(),
        };
        let mut attributes = format!("realm=\"{}\"", of.realm);
        if let Some(error) = error {
            attributes += &format!(", error=\"{error}\", error_description=\"{detail}\"");
        }
        if let Self::Scope(scope) = self {
            attributes += &format!(", scope=\"{}\"", quotable(scope));
        }
        let is_of_a_proof = matches!(error, Some("use_dpop_nonce" | "invalid_dpop_proof"));
        let bearer = (!is_of_a_proof).then(|| format!("Bearer {attributes}"));
        let dpop = of.takes_dpop.then(|| {
            let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(" ");
            format!("DPoP {attributes}, algs=\"{algorithms}\"")
        });
        bearer.into_iter().chain(dpop).collect()
    }

    pub(super) fn answer(&self, challenges: &Challenges<'_>) -> Response {
        if matches!(self, Self::NoAuthentication) {
            tracing::error!("a requirement or an extractor is used without an Authentication");
        }
        let status = self.status();
        let document = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": self.code(),
            "detail": self.detail(),
        });
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        for challenge in self.challenges(challenges) {
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                headers.append(WWW_AUTHENTICATE, challenge);
            }
        }
        let nonce = challenges.nonce.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(nonce)) = nonce {
            headers.insert(DPOP_NONCE, nonce);
        }
        response
    }
}

/// Whether the token may be good.
fn is_undecided(error: &VerifyError) -> bool {
    matches!(
        error.fault(),
        Fault::Keys | Fault::Revocations | Fault::Capacity | Fault::Consumption
    )
}

/// The characters that `error_description` and `scope` may have (RFC 6750 §3); others would end the
/// quotes, or make the header none.
fn quotable(text: &str) -> String {
    let quotable = |character| match character {
        ' ' | '!' | '#'..='[' | ']'..='~' => character,
        _ => '\'',
    };
    text.chars().map(quotable).collect()
}
