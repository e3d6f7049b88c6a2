//! The bearer token of a request.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::denial::Denial;

/// The token of the one `Authorization` header (RFC 6750 §2.1). Body and query are not looked at (§2.2,
/// §2.3).
pub(super) fn bearer_token(headers: &HeaderMap) -> Result<&str, Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Denial::NoToken)?;
    if values.next().is_some() {
        return Err(Denial::MalformedAuthorization);
    }
    let value = value.to_str().map_err(|_| Denial::MalformedAuthorization)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Denial::NoToken);
    }
    match token.trim_start_matches(' ') {
        "" => Err(Denial::MalformedAuthorization),
        token => Ok(token),
    }
}
