//! Security event tokens of trusted issuers (RFC 8417). They prove no caller: the request that brings one has
//! another proof.

use keywright_verifier::{ClaimError, Fault, Jws, VerifyError};
use serde_json::{Map, Value};

use super::Authenticator;
use super::assertion::Unverified;
use crate::authority::clients::LARGEST_ASSERTION;
use crate::lifecycle::Timestamp;

/// Why a security event token tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventTokenRefusal {
    /// No trusted issuer has its `iss`.
    #[error("no trusted issuer has the iss of the token")]
    Issuer,
    /// It is for another receiver.
    #[error("the aud of the token is not the audience of its trusted issuer")]
    Audience,
    /// It is not signed with a key of its issuer, by an algorithm that is allowed.
    #[error("the signature of the token does not count: {0}")]
    Key(VerifyError),
    /// It is no security event token.
    #[error("this is no security event token: {0}")]
    Token(VerifyError),
    /// It may be good: the keys that would tell are not there.
    #[error("the keys that would tell cannot be had")]
    Undecidable,
}

impl EventTokenRefusal {
    fn of(error: VerifyError) -> Self {
        match error {
            VerifyError::Claim(ClaimError::WrongIssuer) => Self::Issuer,
            VerifyError::Claim(ClaimError::WrongAudience) => Self::Audience,
            error => match error.fault() {
                Fault::Keys => Self::Undecidable,
                Fault::Untrusted => Self::Key(error),
                _ => Self::Token(error),
            },
        }
    }
}

impl Authenticator {
    /// The claims of a security event token of a trusted issuer. The issuer that it names without proof decides
    /// whose keys are tried, and nothing else.
    ///
    /// # Errors
    /// [`EventTokenRefusal`].
    pub async fn security_event(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Map<String, Value>, EventTokenRefusal> {
        let claims = Jws::parse(token, LARGEST_ASSERTION).and_then(|jws| jws.unverified_claims());
        let claims = claims.map_err(|error| EventTokenRefusal::of(error.into()))?;
        let issuer = claims.get("iss").and_then(Value::as_str);
        let issuer = issuer.ok_or(EventTokenRefusal::Issuer)?;
        let trusted = &self.trusted;
        let (Some(known), Some(verifier)) = (trusted.by_url.get(issuer), &trusted.event_verifier)
        else {
            return Err(EventTokenRefusal::Issuer);
        };
        match known.verify(verifier, token, now).await {
            Ok(verified) => Ok(verified.claims),
            Err(Unverified::Undecided(_)) => Err(EventTokenRefusal::Undecidable),
            Err(Unverified::Refused(error)) => Err(EventTokenRefusal::of(error)),
        }
    }
}
