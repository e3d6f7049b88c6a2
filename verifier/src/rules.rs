//! What a token must say to be accepted (RFC 7519 §4.1, RFC 8725 §3.8 to §3.11).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::claims::{ClaimError, names_audience, numeric_date, string};
use crate::json::{BorrowedValue, Members};
use crate::{Algorithm, JwsError};

/// The most leeway that [`Rules::leeway`] takes: 5 minutes, "no more than a few" (RFC 7519 §4.1.4).
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The longest token that is read unless [`Rules::max_token_bytes`] says otherwise: 8 KiB, which is
/// what most HTTP servers take for a header.
pub const DEFAULT_MAX_TOKEN_BYTES: usize = 8192;

/// The type of a security event token (RFC 8417 §2.3).
const SECURITY_EVENT_TYPE: &str = "secevent+jwt";

/// What the tokens of one issuer must say to be accepted.
///
/// Issuer, audience and algorithms have no default, because each default would accept more than
/// the developer meant. All comparisons are byte for byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    kind: TokenKind,
    issuer: String,
    audiences: Audiences,
    algorithms: Vec<Algorithm>,
    typ: TokenType,
    leeway: Duration,
    required: Vec<String>,
    max_token_bytes: usize,
    needs_proof: bool,
    /// Whether a token that counts once is accepted only when it is used up.
    needs_consumption: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Audiences {
    OneOf(Vec<String>),
    Any,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TokenKind {
    /// It says who may do something, until it expires.
    Token,
    /// It says what has happened, which expires never.
    SecurityEvent,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum TokenType {
    /// Absent, or `JWT`.
    Plain,
    Named(String),
    Any,
}

impl Rules {
    /// Accepts tokens whose `iss` is `issuer`, whose `aud` is or contains `audience`, and which are
    /// signed with one of `algorithms`.
    ///
    /// `issuer` is the issuer's URL as its tokens have it, such as `https://id.example`; `audience` is
    /// the name of the service that verifies. What is wrong with the rules is said by
    /// [`Verifier::new`](crate::Verifier::new).
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Self {
        Self {
            kind: TokenKind::Token,
            issuer: issuer.into(),
            audiences: Audiences::OneOf(vec![audience.into()]),
            algorithms: algorithms.into_iter().collect(),
            typ: TokenType::Plain,
            leeway: Duration::ZERO,
            required: Vec::new(),
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
            needs_proof: true,
            needs_consumption: true,
        }
    }

    /// Accepts security event tokens (RFC 8417) instead of tokens that say who may do something, as the Shared
    /// Signals Framework profiles them (SSF 1.0 §4.1).
    ///
    /// Their `typ` is `secevent+jwt`, and they have `jti`, `iat` and `events`. A token with `sub` or `exp` is
    /// refused, so that no token of the one kind passes for one of the other. They never expire: how old one may
    /// be, and what a `jti` means that was seen before, is for the service to say.
    #[must_use]
    pub fn security_events(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Self {
        Self {
            kind: TokenKind::SecurityEvent,
            ..Self::new(issuer, audience, algorithms)
        }
        .typ(SECURITY_EVENT_TYPE)
        .require(["jti", "iat", "events"])
    }

    /// Accepts tokens for `audience` too, for a service that has two names.
    #[must_use]
    pub fn or_audience(mut self, audience: impl Into<String>) -> Self {
        if let Audiences::OneOf(audiences) = &mut self.audiences {
            audiences.push(audience.into());
        }
        self
    }

    /// The `typ` that the header must have, such as `at+jwt`.
    ///
    /// A media type: case does not matter, and the prefix `application/` may be there or not (RFC 7515
    /// §4.1.9). Default: `typ` is absent or `JWT`, so that a token of a kind with a name of its own,
    /// such as a logout token, is not taken for another (RFC 8725 §3.11).
    #[must_use]
    pub fn typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = TokenType::Named(typ.into());
        self
    }

    /// How far this clock may differ from the signer's: a token is accepted for this much longer after
    /// `exp`, and this much earlier than `nbf`. Default: zero. At most [`MAX_LEEWAY`].
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Claims that must be there beside `iss`, `aud` and `exp`, such as `sub` or `jti`. A claim that is
    /// `null` is not there. Default: none.
    #[must_use]
    pub fn require<C: Into<String>>(mut self, claims: impl IntoIterator<Item = C>) -> Self {
        self.required.extend(claims.into_iter().map(Into::into));
        self
    }

    /// The longest token that is read, in bytes. Default: [`DEFAULT_MAX_TOKEN_BYTES`].
    #[must_use]
    pub const fn max_token_bytes(mut self, max_token_bytes: usize) -> Self {
        self.max_token_bytes = max_token_bytes;
        self
    }

    /// Accepts a token whatever its `aud`, or without one.
    ///
    /// A token that was made for another service, and that this service or an attacker got hold of, is
    /// then accepted here (RFC 8725 §3.9). For issuers that set no audience.
    #[must_use]
    pub fn danger_accept_any_audience(mut self) -> Self {
        self.audiences = Audiences::Any;
        self
    }

    /// Accepts a token whatever its `typ`: an ID token, a logout token and an access token of the
    /// issuer are then one and the same (RFC 8725 §3.11).
    #[must_use]
    pub fn danger_accept_any_typ(mut self) -> Self {
        self.typ = TokenType::Any;
        self
    }

    /// Accepts a token that is bound to a key or a certificate (`cnf`) without a proof of it, as if it were
    /// not bound: a stolen one is then as good as the owner's. For a service that only gets requests from a
    /// gateway that has checked the proof.
    #[must_use]
    pub const fn danger_accept_without_proof(mut self) -> Self {
        self.needs_proof = false;
        self
    }

    /// Whether a bound token is accepted only with a proof.
    pub(crate) const fn needs_proof(&self) -> bool {
        self.needs_proof
    }

    /// Accepts a token that counts once (`single_use`) without using it up: it counts here as often as it is
    /// sent. For a service that only looks at tokens, or whose callers have used them up.
    #[must_use]
    pub const fn danger_accept_without_consumption(mut self) -> Self {
        self.needs_consumption = false;
        self
    }

    /// Whether a token that counts once is accepted only when it is used up.
    pub(crate) const fn needs_consumption(&self) -> bool {
        self.needs_consumption
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(crate) const fn longest_token(&self) -> usize {
        self.max_token_bytes
    }

    /// Refuses rules that accept nothing, or that cannot have been meant.
    pub(crate) fn validate(&self) -> Result<(), InvalidRules> {
        if self.issuer.is_empty() {
            return Err(InvalidRules::Empty { what: "issuer" });
        }
        if self.algorithms.is_empty() {
            return Err(InvalidRules::Empty {
                what: "list of algorithms",
            });
        }
        if let Audiences::OneOf(audiences) = &self.audiences
            && audiences.iter().any(String::is_empty)
        {
            return Err(InvalidRules::Empty { what: "audience" });
        }
        if matches!(&self.typ, TokenType::Named(typ) if typ.is_empty()) {
            return Err(InvalidRules::Empty { what: "typ" });
        }
        if self.leeway > MAX_LEEWAY {
            return Err(InvalidRules::Leeway {
                seconds: self.leeway.as_secs(),
            });
        }
        Ok(())
    }

    /// Checks the size of a token that has been read under another issuer's limit.
    pub(crate) const fn check_size(&self, bytes: usize) -> Result<(), JwsError> {
        if bytes > self.max_token_bytes {
            return Err(JwsError::TooLarge {
                max_bytes: self.max_token_bytes,
            });
        }
        Ok(())
    }

    /// Checks the header's `typ` and the claims of a token whose signature has been verified.
    ///
    /// `exp` must be present, but of a security event; a NumericDate may have a fraction. A registered claim of the wrong JSON
    /// type is an error even where its value would not be looked at.
    pub(crate) fn check(
        &self,
        typ: Option<&str>,
        claims: &Members<'_>,
        now: SystemTime,
    ) -> Result<(), ClaimError> {
        if !self.typ.admits(typ) {
            return Err(ClaimError::WrongType);
        }
        for claim in ["sub", "jti"] {
            string(claims, claim)?;
        }
        numeric_date(claims, "iat")?;
        self.check_times(claims, now)?;
        if string(claims, "iss")? != Some(self.issuer.as_str()) {
            return Err(ClaimError::WrongIssuer);
        }
        let is_expected = |named: &str| match &self.audiences {
            Audiences::OneOf(expected) => expected.iter().any(|one| one == named),
            Audiences::Any => true,
        };
        let is_for_this = names_audience(claims, is_expected)?;
        if !is_for_this && !matches!(self.audiences, Audiences::Any) {
            return Err(ClaimError::WrongAudience);
        }
        let is_missing = |claim: &&String| {
            let value = claims.get(claim);
            value.is_none_or(|value| *value == BorrowedValue::Null)
        };
        match self.required.iter().find(is_missing) {
            Some(claim) => Err(ClaimError::Missing {
                claim: claim.clone(),
            }),
            None => Ok(()),
        }
    }

    fn check_times(&self, claims: &Members<'_>, now: SystemTime) -> Result<(), ClaimError> {
        let (expiry, begin) = match self.kind {
            TokenKind::Token => {
                let expiry = numeric_date(claims, "exp")?.ok_or_else(|| ClaimError::Missing {
                    claim: "exp".to_owned(),
                })?;
                (expiry, numeric_date(claims, "nbf")?)
            }
            TokenKind::SecurityEvent => {
                let mut others = ["sub", "exp"].into_iter();
                if let Some(claim) = others.find(|claim| claims.get(claim).is_some()) {
                    return Err(ClaimError::Forbidden { claim });
                }
                // What has not happened yet cannot be told.
                (u128::MAX, numeric_date(claims, "iat")?)
            }
        };
        // No token is older than the format. A clock that says so would let expired tokens pass.
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_err(|_| ClaimError::NotYetValid)?
            .as_nanos();
        let leeway = self.leeway.as_nanos();
        if now >= expiry.saturating_add(leeway) {
            return Err(ClaimError::Expired);
        }
        if begin.is_some_and(|begin| now.saturating_add(leeway) < begin) {
            return Err(ClaimError::NotYetValid);
        }
        Ok(())
    }
}

impl TokenType {
    fn admits(&self, typ: Option<&str>) -> bool {
        match self {
            Self::Plain => typ.is_none_or(|typ| same_media_type(typ, "JWT")),
            Self::Named(expected) => typ.is_some_and(|typ| same_media_type(typ, expected)),
            Self::Any => true,
        }
    }
}

/// Why rules cannot be what the developer meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRules {
    /// Something that must be named is empty.
    #[error("the {what} is empty")]
    Empty {
        /// What it is.
        what: &'static str,
    },
    /// The leeway would keep expired tokens alive for long.
    #[error("a leeway of {seconds} s is more than 300 s")]
    Leeway {
        /// The leeway, in whole seconds.
        seconds: u64,
    },
    /// Two rules for one issuer: it would not be clear which hold.
    #[error("issuer \"{issuer}\" has rules already")]
    DuplicateIssuer {
        /// The issuer.
        issuer: String,
    },
}

/// Whether two `typ` values name one media type (RFC 7515 §4.1.9).
pub(crate) fn same_media_type(one: &str, other: &str) -> bool {
    short_media_type(one).eq_ignore_ascii_case(short_media_type(other))
}

/// A `typ` without `application/`, which a producer leaves out only where no other slash follows.
fn short_media_type(typ: &str) -> &str {
    match typ.split_once('/') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("application") && !rest.contains('/') => {
            rest
        }
        _ => typ,
    }
}

#[cfg(test)]
mod tests;
