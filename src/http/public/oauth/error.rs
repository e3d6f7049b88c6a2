//! Problems as OAuth errors (RFC 6749 §5.2).

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::response::Response;
use keywright_api::{OauthError, OauthErrorName};

use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::oauth_status_of;

/// Writes a problem's answer as an OAuth error. Its other headers stay, such as `Retry-After`. A
/// client that has sent `Authorization` is challenged by the same scheme.
pub(super) fn write(response: &mut Response, problem: &Problem, has_authorization: bool) {
    let error = OauthError {
        error: name_of(problem),
        error_description: description(problem),
    };
    *response.status_mut() = oauth_status_of(problem.kind());
    *response.body_mut() = Body::from(serde_json::to_vec(&error).unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The router has counted the other body.
    headers.remove(CONTENT_LENGTH);
    headers.remove(WWW_AUTHENTICATE);
    if error.error == OauthErrorName::InvalidClient && has_authorization {
        let challenge = HeaderValue::from_static("Basic realm=\"keywright\"");
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
}

fn name_of(problem: &Problem) -> OauthErrorName {
    match problem.kind() {
        Code::CredentialMissing | Code::CredentialInvalid => OauthErrorName::InvalidClient,
        Code::ForeignToken
        | Code::InvalidRefreshToken
        | Code::RefreshTokenReused
        | Code::BindingUnproven
        | Code::InvalidAssertion
        | Code::AlreadyConsumed
        | Code::NotSingleUse
        | Code::TokenNotActive
        | Code::GrantEnded => OauthErrorName::InvalidGrant,
        Code::InvalidDpopProof | Code::DpopProofReplayed => OauthErrorName::InvalidDpopProof,
        Code::DpopNonceRequired => OauthErrorName::UseDpopNonce,
        Code::InvalidToken => OauthErrorName::UnsupportedTokenType,
        Code::UnknownGrantType => OauthErrorName::UnsupportedGrantType,
        Code::InvalidScope => OauthErrorName::InvalidScope,
        Code::InvalidTarget => OauthErrorName::InvalidTarget,
        Code::ClientLimit => match problem.broken_limit() {
            Some((_, "scopes")) => OauthErrorName::InvalidScope,
            Some((_, "audiences")) => OauthErrorName::InvalidTarget,
            _ => OauthErrorName::UnauthorizedClient,
        },
        Code::RoleMissing | Code::Banned => OauthErrorName::UnauthorizedClient,
        code => match oauth_status_of(code).as_u16() {
            500 => OauthErrorName::ServerError,
            429 | 503 => OauthErrorName::TemporarilyUnavailable,
            _ => OauthErrorName::InvalidRequest,
        },
    }
}

/// The code, and what is wrong in the characters that a description may have: printable ASCII without
/// `"` and `\`.
pub(super) fn description(problem: &Problem) -> String {
    let detail = problem.detail().chars().map(|character| match character {
        '"' | '\\' => '\'',
        ' '..='~' => character,
        _ => '?',
    });
    format!("{}: {}", problem.code(), detail.collect::<String>())
}
