//! Has keywright sign.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// keywright's internal API, as a client with the role `issuer` sees it.
pub(crate) struct Keywright {
    client: Client,
    tokens: Url,
    credential: String,
}

/// The claims of an access token (RFC 9068 §2.2), and one of our own. keywright adds `iss`, `iat`,
/// `exp` and `jti`.
#[derive(Serialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    pub(crate) aud: &'static str,
    pub(crate) client_id: &'static str,
    pub(crate) scope: String,
    /// The one order that the token is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<String>,
}

#[derive(Deserialize)]
struct Signed {
    token: String,
}

impl Keywright {
    /// Signs as `issuer` with the credential of a client.
    pub(crate) fn new(url: &str, issuer: &str, credential: &str) -> Result<Self, Box<dyn Error>> {
        // Signing takes milliseconds. A user who waits is told so rather soon.
        let client = Client::builder().timeout(Duration::from_secs(3)).no_proxy();
        Ok(Self {
            client: client.build()?,
            tokens: Url::parse(&format!("{url}/v1/issuers/{issuer}/tokens"))?,
            credential: credential.to_owned(),
        })
    }

    /// A token with these claims that lives for so many seconds.
    pub(crate) async fn sign(&self, claims: &Claims, life: u32) -> Result<String, reqwest::Error> {
        let body = json!({"claims": claims, "expires_in": life, "typ": "at+jwt"});
        let request = self.client.post(self.tokens.clone()).json(&body);
        let answer = request.bearer_auth(&self.credential).send().await?;
        let signed: Signed = answer.error_for_status()?.json().await?;
        Ok(signed.token)
    }
}
