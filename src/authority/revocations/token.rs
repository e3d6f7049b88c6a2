//! Which token is meant, by the token itself.

use keywright_verifier::{Algorithm, JwkSet, Jws, JwsError};

use crate::authority::Authority;
use crate::authority::issuer::Issuer;

/// The longest token that can be taken back by itself, in bytes.
const LONGEST_TOKEN: usize = 65_536;

/// Why a token cannot be taken back by itself.
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

impl Authority {
    /// The `jti` of a token of this issuer. Its signature is checked and nothing else: it may have
    /// expired, and its key may be retired.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn jti_of(&self, issuer: &Issuer, token: &str) -> Result<String, InvalidToken> {
        let jws = Jws::parse(token, LONGEST_TOKEN)?;
        let snapshot = issuer.snapshot();
        let keys = JwkSet::parse(&snapshot.publication().jwks().bytes);
        let keys = keys.map_err(|_| JwsError::UnknownKey)?;
        jws.verify(&keys, &Algorithm::ALL)?;
        let claims = jws.unverified_claims()?;
        let text = |name: &str| claims.get(name).and_then(|value| value.as_str());
        if text("iss") != Some(snapshot.set().policy().url.as_str()) {
            return Err(InvalidToken::Issuer);
        }
        text("jti").map(str::to_owned).ok_or(InvalidToken::Unnamed)
    }
}
