//! Why a request is not let through.

use std::fmt;

use keywright_verifier::{Fault, VerifyError};

use super::claim_headers::{LARGEST_HEADERS, TooLarge};

/// Why a request is not let through. No variant holds a token or a claim's value.
#[derive(Debug)]
pub(super) enum Denial {
    /// It brings no bearer token.
    NoToken,
    /// Its `Authorization` header is none, or there are two.
    MalformedAuthorization,
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
            Self::Token(error) if matches!(error.fault(), Fault::Keys | Fault::Revocations) => {
                DenialKind::Undecided
            }
            // For a malformed request RFC 6750 §3.1 has 400, which nginx would turn into 500.
            Self::NoToken | Self::MalformedAuthorization | Self::Token(_) => {
                DenialKind::Unauthenticated
            }
            Self::Scope(_) | Self::Claim(_) | Self::NoRequirement | Self::ClaimsTooLarge(_) => {
                DenialKind::Forbidden
            }
        }
    }

    /// A stable name for programs.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "token-missing",
            Self::MalformedAuthorization => "authorization-malformed",
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
            Self::Token(_) => Some("invalid_token"),
            Self::Scope(_) | Self::Claim(_) => Some("insufficient_scope"),
            Self::NoToken | Self::NoRequirement | Self::ClaimsTooLarge(_) => None,
        }
    }

    /// The challenge (RFC 6750 §3), which 401 must have, and 403 if another token would help.
    pub(super) fn challenge(&self, realm: &str) -> Option<String> {
        let realm = quotable(realm);
        match (self.kind(), self.error()) {
            (DenialKind::Undecided, _) | (DenialKind::Forbidden, None) => None,
            (DenialKind::Unauthenticated, None) => Some(format!("Bearer realm=\"{realm}\"")),
            (DenialKind::Unauthenticated | DenialKind::Forbidden, Some(error)) => {
                let detail = quotable(&self.to_string());
                let scope = match self {
                    Self::Scope(scope) => format!(", scope=\"{}\"", quotable(scope)),
                    _ => String::new(),
                };
                Some(format!(
                    "Bearer realm=\"{realm}\", error=\"{error}\", error_description=\"{detail}\"{scope}"
                ))
            }
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("a bearer token is needed"),
            Self::MalformedAuthorization => {
                f.write_str("one Authorization header with a scheme and a token is needed")
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
        let challenge = |denial: Denial| denial.challenge("or\"ders").unwrap_or_default();
        assert_eq!(challenge(Denial::NoToken), "Bearer realm=\"or'ders\"");
        assert!(challenge(Denial::MalformedAuthorization).contains("error=\"invalid_request\""));
        let scope = challenge(Denial::Scope("orders:\"read".to_owned()));
        assert!(scope.ends_with(", scope=\"orders:'read\""), "{scope}");
        assert!(scope.contains("error=\"insufficient_scope\""), "{scope}");
        assert_eq!(challenge(Denial::Token(VerifyError::RevocationsStale)), "");
        assert_eq!(challenge(Denial::NoRequirement), "");
    }
}
