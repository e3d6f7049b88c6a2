//! A token of an issuer that a caller shows: whether it is one, and whether it is still valid.

use keywright_verifier::{Algorithm, JwkSet, Jws, JwsError};
use serde_json::{Map, Value};

use super::Authority;
use super::issuer::Issuer;
use super::signing::is_reserved_type;

/// The longest token that is read, in bytes.
const LONGEST_TOKEN: usize = 65_536;

/// A token that an issuer's keys have signed. It may have expired, and its key may be retired.
pub struct IssuedToken {
    typ: Option<String>,
    /// What it says.
    pub claims: Map<String, Value>,
}

/// Why a text is no token of an issuer, or cannot be taken back by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is none of this issuer, or its key is revoked or gone.
    #[error("the token is not one that this issuer's keys have signed: {0}")]
    Signature(#[from] JwsError),
    /// Another issuer's, under the same key.
    #[error("the token is another issuer's")]
    Issuer,
    /// It has no identifier.
    #[error("the token has no jti")]
    Unnamed,
}

/// Why verifiers do not accept a token now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotActive {
    /// It is a document of another kind.
    #[error("is a document of another kind, and no token")]
    OtherKind,
    /// Its time has not come, or has passed.
    #[error("has expired, or is not valid yet")]
    Untimely,
    /// It was taken back.
    #[error("was taken back")]
    TakenBack,
}

impl IssuedToken {
    /// Its identifier.
    ///
    /// # Errors
    /// [`InvalidToken::Unnamed`].
    pub fn jti(&self) -> Result<&str, InvalidToken> {
        self.text("jti").ok_or(InvalidToken::Unnamed)
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }
}

impl Authority {
    /// Reads a token of an issuer. Its signature and its `iss` are checked and nothing else.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn issued_token(&self, issuer: &Issuer, token: &str) -> Result<IssuedToken, InvalidToken> {
        let jws = Jws::parse(token, LONGEST_TOKEN)?;
        let snapshot = issuer.snapshot();
        let set = snapshot.set();
        let is_named = |kid| jws.kid().is_none_or(|named| *named == kid);
        let published = set.published(self.services.lease.time());
        let keys = published.filter(|key| is_named(key.kid().clone()));
        let keys = JwkSet::new(keys.map(|key| key.jwk().clone()).collect());
        jws.verify(&keys, &Algorithm::ALL)?;
        let claims = jws.unverified_claims()?;
        if claims.get("iss").and_then(Value::as_str) != Some(set.policy().url.as_str()) {
            return Err(InvalidToken::Issuer);
        }
        Ok(IssuedToken {
            typ: jws.typ().map(str::to_owned),
            claims,
        })
    }

    /// Whether verifiers accept a token now: it is no document of another kind, its time has come and
    /// has not passed, and it was not taken back. It asks memory alone.
    pub fn is_active(&self, issuer: &Issuer, token: &IssuedToken) -> bool {
        self.require_active(issuer, token).is_ok()
    }

    /// As [`is_active`](Self::is_active), with the reason.
    ///
    /// # Errors
    /// [`NotActive`].
    pub fn require_active(&self, issuer: &Issuer, token: &IssuedToken) -> Result<(), NotActive> {
        if token.typ.as_deref().is_some_and(is_reserved_type) {
            return Err(NotActive::OtherKind);
        }
        if !self.is_timely(token) {
            return Err(NotActive::Untimely);
        }
        match issuer.revocations().refuses(&token.claims) {
            true => Err(NotActive::TakenBack),
            false => Ok(()),
        }
    }

    fn is_timely(&self, token: &IssuedToken) -> bool {
        let now = self.services.lease.time().floor_seconds() as f64;
        let time = |name: &str| token.claims.get(name).map(Value::as_f64);
        let has_begun = time("nbf").is_none_or(|begin| begin.is_some_and(|begin| begin <= now));
        let end = time("exp").flatten();
        has_begun && end.is_some_and(|end| now < end)
    }
}
