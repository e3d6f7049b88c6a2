//! The token of a request, and the proof that comes with it.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use keywright_verifier::{BindingError, Dpop};

use super::denial::Denial;

/// The header with a proof (RFC 9449 §4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// A token, as it is presented.
pub(super) enum PresentedToken<'h> {
    /// By anyone who has it (RFC 6750 §2.1).
    Bearer(&'h str),
    /// With a proof of the key that it is bound to (RFC 9449 §7.1).
    Dpop(&'h str),
}

/// The token of the one `Authorization` header. Body and query are not looked at (RFC 6750 §2.2, §2.3).
pub(super) fn presented_token(headers: &HeaderMap) -> Result<PresentedToken<'_>, Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Denial::NoToken)?;
    if values.next().is_some() {
        return Err(Denial::MalformedAuthorization);
    }
    let value = value.to_str().map_err(|_| Denial::MalformedAuthorization)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let is_dpop = scheme.eq_ignore_ascii_case("DPoP");
    if !is_dpop && !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Denial::NoToken);
    }
    match token.trim_start_matches(' ') {
        "" => Err(Denial::MalformedAuthorization),
        token if is_dpop => Ok(PresentedToken::Dpop(token)),
        token => Ok(PresentedToken::Bearer(token)),
    }
}

/// The proof of the one `DPoP` header (RFC 9449 §4.3).
pub(super) fn proof(headers: &HeaderMap) -> Result<&str, BindingError> {
    let values = headers.get_all(DPOP).iter().map(HeaderValue::as_bytes);
    Dpop::proof_of(values)?.ok_or(BindingError::ProofMissing)
}
