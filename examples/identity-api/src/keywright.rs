//! Has keywright sign, keep sessions, and take back.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// keywright's internal API, as a client with the roles `issuer` and `revoker` sees it.
pub(crate) struct Keywright {
    client: Client,
    /// Where the issuer is.
    issuer: String,
    credential: String,
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

/// Why nothing is signed.
pub(crate) enum SigningRefusal {
    /// The user is banned.
    Banned,
    /// keywright has refused, or cannot be reached.
    Failed(reqwest::Error),
}

impl From<reqwest::Error> for SigningRefusal {
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(error)
    }
}

#[derive(Deserialize)]
struct Signed {
    token: String,
}

/// A grant: a user stays logged in, and the client renews its tokens at keywright itself.
#[derive(Deserialize)]
pub(crate) struct Granted {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

impl Keywright {
    /// Signs as `issuer` with the credential of a client.
    pub(crate) fn new(url: &str, issuer: &str, credential: &str) -> Result<Self, Box<dyn Error>> {
        // Signing takes milliseconds. A user who waits is told so rather soon.
        let client = Client::builder().timeout(Duration::from_secs(3)).no_proxy();
        Ok(Self {
            client: client.build()?,
            issuer: format!("{url}/v1/issuers/{issuer}"),
            credential: credential.to_owned(),
        })
    }

    /// A token with these claims that lives for so many seconds.
    pub(crate) async fn sign(&self, claims: &Claims, life: u32) -> Result<String, SigningRefusal> {
        let body = json!({"claims": claims, "expires_in": life, "typ": "at+jwt"});
        let signed: Signed = self.ask("tokens", &body).await?;
        Ok(signed.token)
    }

    /// Opens a grant whose tokens have these claims and live for so many seconds. Whoever has its refresh
    /// token renews it: a page has no secret of its own.
    pub(crate) async fn open_grant(
        &self,
        claims: &Claims,
        life: u32,
    ) -> Result<Granted, SigningRefusal> {
        let body = json!({"claims": claims, "client": "public", "expires_in": life});
        self.ask("grants", &body).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        body: &Value,
    ) -> Result<T, SigningRefusal> {
        let answer = self.post(what, body).await?;
        let failed = answer.error_for_status_ref().err();
        match failed {
            None => Ok(answer.json().await?),
            Some(failed) if answer.status() == StatusCode::FORBIDDEN => {
                let problem: Problem = answer.json().await?;
                match problem.code.as_str() {
                    "banned" => Err(SigningRefusal::Banned),
                    _ => Err(failed.into()),
                }
            }
            Some(failed) => Err(failed.into()),
        }
    }

    /// Takes tokens back: those that `revocation` names. It is done when this returns, and verifiers know
    /// of it within seconds.
    pub(crate) async fn revoke(&self, revocation: &Value) -> Result<(), reqwest::Error> {
        let answer = self.post("revocations", revocation).await?;
        answer.error_for_status().map(drop)
    }

    async fn post(&self, what: &str, body: &Value) -> Result<reqwest::Response, reqwest::Error> {
        let request = self.client.post(format!("{}/{what}", self.issuer));
        let request = request.json(body).bearer_auth(&self.credential);
        request.send().await
    }
}
