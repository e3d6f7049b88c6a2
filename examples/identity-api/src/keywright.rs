//! Has keywright sign, keep sessions, and take back.

use std::error::Error;

use keywright_api::{IssuerName, OpenedGrant};
use keywright_client::{Call, Client, Credential, ServiceAddress};
use serde::Serialize;
use serde_json::{Value, json};

/// keywright's internal API, as a client with the roles `issuer` and `revoker` sees it.
pub(crate) struct Keywright {
    client: Client,
    issuer: IssuerName,
}

/// The claims of an access token (RFC 9068 §2.2), and one of our own. keywright adds `iss`, `iat`,
/// `exp` and `jti`.
#[derive(Serialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    pub(crate) aud: &'static [&'static str],
    pub(crate) client_id: &'static str,
    pub(crate) scope: String,
    /// The session that began with this login, and that a log-out ends. That of a grant is keywright's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
    /// The one order that the token is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<String>,
}

impl Keywright {
    /// Signs as `issuer` with the credential of a client.
    pub(crate) fn new(url: &str, issuer: &str, credential: &str) -> Result<Self, Box<dyn Error>> {
        let client = Client::new(&ServiceAddress::parse(url)?)?;
        Ok(Self {
            client: client.with_credential(Credential::parse(credential)?),
            issuer: issuer.parse()?,
        })
    }

    /// A token with these claims that lives for so many seconds.
    pub(crate) async fn sign(
        &self,
        claims: &Claims,
        life: u32,
    ) -> Result<String, keywright_client::Error> {
        let body = json!({"claims": claims, "expires_in": life, "typ": "at+jwt"});
        let signed = self.client.sign_token(&self.issuer, &body).await?;
        Ok(signed.token)
    }

    /// Opens a grant whose tokens have these claims and live for so many seconds: a user stays logged in, and
    /// the client renews its tokens at keywright itself. The holder of the refresh token renews it: a page has
    /// no secret of its own.
    pub(crate) fn open_grant(&self, claims: &Claims, life: u32) -> Call<'_, OpenedGrant> {
        let body = json!({"claims": claims, "client": "public", "expires_in": life});
        self.client.open_grant(&self.issuer, &body)
    }

    /// Takes tokens back: those that `revocation` names. It is done when this returns, and verifiers know
    /// of it within seconds.
    pub(crate) async fn revoke(&self, revocation: &Value) -> Result<(), keywright_client::Error> {
        let revoked = self.client.revoke_tokens(&self.issuer, revocation).await;
        revoked.map(drop)
    }
}
