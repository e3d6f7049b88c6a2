//! Signed answers to the question whether a token is valid (RFC 9701).

use keywright_api::Introspection;
use serde_json::json;

use super::issuer::Issuer;
use super::signing::{SignRefusal, sign_document, signer_for_others};

/// The `typ` of a signed answer. No token has it: see the reserved types of [`super::signing`].
const INTROSPECTION_TYP: &str = "token-introspection+jwt";

impl Issuer {
    /// Signs an answer for the service with this client id. It has no `sub` and no `exp`, so that it
    /// can never pass for an access token (RFC 9701 §5, §8.1). It is signed with RS256 if there is a
    /// key for it, which services expect that have said nothing else (§6).
    ///
    /// # Errors
    /// [`SignRefusal`].
    pub async fn sign_introspection(
        &self,
        service: &str,
        introspection: &Introspection,
    ) -> Result<String, SignRefusal> {
        let view = self.leased_snapshot();
        let policy = view.set().policy();
        let entry = signer_for_others(&view)?;
        let claims = json!({
            "iss": policy.url.as_str(),
            "aud": service,
            "iat": view.issued_at().floor_seconds(),
            "token_introspection": introspection,
        });
        sign_document(&view, entry, INTROSPECTION_TYP, &claims).await
    }
}
