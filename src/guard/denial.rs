//! Why a request is not let through.

use std::fmt;

use keywright_verifier::{Algorithm, BindingError, DpopError, Fault, VerifyError};

use super::claim_headers::{LARGEST_HEADERS, TooLarge};

/// Why a request is not let through. No variant holds a token or a claim's value.
#[derive(Debug)]
pub(super) enum Denial {
    /// It brings no bearer token.
    NoToken,
    /// Its `Authorization` header is none, or there are two.
    MalformedAuthorization,
    /// It presents a token with a proof, and the guard is not told which address proofs are for.
    NoDpop,
    /// It presents a token with a proof, and the gateway does not say which request that must be for.
    NoOriginalRequest,
    /// Its token is not accepted.
    Token(VerifyError),
    /// Its token lacks a scope; all that are required are named.
    Scope(String),
    /// Its token lacks a claim that is required, or has another value.
    Claim(String),
    /// The gateway asks for a path that no requirement is for.
    NoRequirement,
    /// The claims of its token take too many bytes as headers.
    ClaimsTooLarge(TooLarge),
}

/// Which status a denial has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DenialKind {
    /// The request has no valid token.
    Unauthenticated,
    /// The token is valid, but not sufficient.
    Forbidden,
    /// The token may be valid, but the guard cannot judge it now.
    Undecided,
}

impl Denial {
    pub(super) fn kind(&self) -> DenialKind {
        match self {
            Self::Token(error) if is_undecided(error) => DenialKind::Undecided,
            // For a malformed request RFC 6750 §3.1 has 400, which nginx would turn into 500.
            Self::NoToken | Self::MalformedAuthorization | Self::NoDpop | Self::Token(_) => {
                DenialKind::Unauthenticated
            }
            Self::Scope(_)
            | Self::Claim(_)
            | Self::NoRequirement
            | Self::NoOriginalRequest
            | Self::ClaimsTooLarge(_) => DenialKind::Forbidden,
        }
    }

    /// A stable name for programs.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "token-missing",
            Self::MalformedAuthorization => "authorization-malformed",
            Self::NoDpop => "dpop-not-enabled",
            Self::NoOriginalRequest => "original-request-unknown",
            Self::Token(error) => error.code(),
            Self::Scope(_) => "scope-missing",
            Self::Claim(_) => "claim-not-allowed",
            Self::NoRequirement => "path-unknown",
            Self::ClaimsTooLarge(_) => "claims-too-large",
        }
    }

    /// The `error` of the challenge (RFC 6750 §3.1); `None` where the request has no token, and where
    /// no other token would help.
    const fn error(&self) -> Option<&'static str> {
        match self {
            Self::MalformedAuthorization => Some("invalid_request"),
            Self::Token(VerifyError::Binding(BindingError::Dpop(error))) => Some(match error {
                DpopError::NonceRequired => "use_dpop_nonce",
                _ => "invalid_dpop_proof",
            }),
            Self::Token(_) => Some("invalid_token"),
            Self::Scope(_) | Self::Claim(_) => Some("insufficient_scope"),
            Self::NoToken
            | Self::NoDpop
            | Self::NoRequirement
            | Self::NoOriginalRequest
            | Self::ClaimsTooLarge(_) => None,
        }
    }

    /// The challenges (RFC 6750 §3, RFC 9449 §7.1), which 401 must have, and 403 if another token would
    /// help.
    pub(super) fn challenges(&self, realm: &str, takes_dpop: bool) -> Vec<String> {
        let error = match (self.kind(), self.error()) {
            (DenialKind::Undecided, _) | (DenialKind::Forbidden, None) => return Vec::new(),
            (DenialKind::Unauthenticated | DenialKind::Forbidden, error) => error,
        };
        let mut attributes = format!("realm=\"{}\"", quotable(realm));
        if let Some(error) = error {
            let detail = quotable(&self.to_string());
            attributes += &format!(", error=\"{error}\", error_description=\"{detail}\"");
        }
        if let Self::Scope(scope) = self {
            attributes += &format!(", scope=\"{}\"", quotable(scope));
        }
        let is_of_a_proof = matches!(error, Some("use_dpop_nonce" | "invalid_dpop_proof"));
        let bearer = (!is_of_a_proof).then(|| format!("Bearer {attributes}"));
        let dpop = takes_dpop.then(|| {
            let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(" ");
            format!("DPoP {attributes}, algs=\"{algorithms}\"")
        });
        bearer.into_iter().chain(dpop).collect()
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("a bearer token is needed"),
            Self::MalformedAuthorization => {
                f.write_str("one Authorization header with a scheme and a token is needed")
            }
            Self::NoDpop => f.write_str(
                "tokens that are bound to a key are not accepted here: the guard has no dpop.url",
            ),
            Self::NoOriginalRequest => {
                f.write_str("the gateway does not say which request the DPoP proof must be for")
            }
            Self::Token(error) => error.fmt(f),
            Self::Scope(scope) => write!(f, "the token lacks a scope of \"{scope}\""),
            Self::Claim(name) => write!(f, "claim \"{name}\" of the token does not allow this"),
            Self::NoRequirement => f.write_str("the guard has no requirement for this path"),
            Self::ClaimsTooLarge(TooLarge { bytes }) => write!(
                f,
                "the claims need {bytes} bytes as headers, but {LARGEST_HEADERS} are allowed"
            ),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_an_error_where_there_was_a_token() {
        let challenge = |denial: Denial| denial.challenges("or\"ders", false).join("; ");
        assert_eq!(challenge(Denial::NoToken), "Bearer realm=\"or'ders\"");
        assert!(challenge(Denial::MalformedAuthorization).contains("error=\"invalid_request\""));
        let scope = challenge(Denial::Scope("orders:\"read".to_owned()));
        assert!(scope.ends_with(", scope=\"orders:'read\""), "{scope}");
        assert!(scope.contains("error=\"insufficient_scope\""), "{scope}");
        assert_eq!(challenge(Denial::Token(VerifyError::RevocationsStale)), "");
        assert_eq!(challenge(Denial::NoRequirement), "");
        let with_dpop = |denial: Denial| denial.challenges("orders", true).join("; ");
        assert_eq!(
            with_dpop(Denial::NoToken),
            "Bearer realm=\"orders\"; DPoP realm=\"orders\", algs=\"ES256 RS256\""
        );
        let replayed = VerifyError::Binding(DpopError::Replayed.into());
        let replayed = with_dpop(Denial::Token(replayed));
        assert!(replayed.starts_with("DPoP realm"), "{replayed}");
        assert!(
            replayed.contains("error=\"invalid_dpop_proof\""),
            "{replayed}"
        );
    }
}
