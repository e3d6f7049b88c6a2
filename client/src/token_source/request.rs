//! What is asked of a token endpoint, and how.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, StatusCode};
use keywright_api::{OauthError, OauthErrorName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use url::form_urlencoded::Serializer;

use super::refresh::{Line, RefreshToken, Save};
use super::{AccessToken, InvalidIssuer, TokenSource};
use crate::address::ServiceAddress;
use crate::credential::Credential;
use crate::error::{BoxError, Error};
use crate::exchange::{Http, TIMEOUT, USER_AGENT_NAME, http, text};
use crate::tls::Tls;

/// How long the metadata is believed. An issuer that moves its endpoint may lose the old address to an
/// attacker, who would be sent the secret.
const METADATA_BELIEVED_FOR: Duration = Duration::from_secs(3600);

/// The longest wait that an issuer may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The type of a subject or actor token (RFC 8693 §3).
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What a service asks an issuer's token endpoint for.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    issuer: String,
    metadata: Url,
    tls: Tls,
    client: Option<(String, Credential)>,
    grant: Grant,
    audience: Option<String>,
    scope: Option<String>,
}

/// The grant of a request.
#[derive(Debug, Clone)]
enum Grant {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §6.
    Refresh { first: RefreshToken, save: Save },
    /// RFC 8693.
    Exchange { subject: TokenSource },
}

/// What is known while an issuer is asked.
pub(super) struct Asking {
    /// Where its tokens are.
    pub(super) endpoint: Option<TokenEndpoint>,
    /// The refresh tokens, if it is asked with those.
    pub(super) line: Option<Line>,
}

/// Where an issuer's tokens are, and connections to it.
pub(super) struct TokenEndpoint {
    url: Url,
    http: Http,
    found_at: Duration,
}

/// An error, and how long the issuer wants to be left alone.
pub(super) type Failed = (Error, Option<Duration>);

/// What is read of an issuer's metadata (RFC 8414 §2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: Option<String>,
}

impl TokenRequest {
    fn new(issuer: &str, grant: Grant) -> Result<Self, InvalidIssuer> {
        let mut metadata = secure(issuer).ok_or(InvalidIssuer)?;
        let path = metadata.path().trim_end_matches('/').to_owned();
        metadata.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
        Ok(Self {
            issuer: issuer.to_owned(),
            metadata,
            tls: Tls::default(),
            client: None,
            grant,
            audience: None,
            scope: None,
        })
    }

    /// Tokens of a client, which proves itself with its credential (RFC 6749 §4.4). `issuer` is the issuer's
    /// URL, byte for byte as its tokens name it.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuer`].
    pub fn client_credentials(
        issuer: &str,
        client_id: &str,
        secret: Credential,
    ) -> Result<Self, InvalidIssuer> {
        let request = Self::new(issuer, Grant::ClientCredentials)?;
        Ok(request.with_client(client_id, secret))
    }

    /// Tokens of a grant, which is renewed by its refresh token (RFC 6749 §6). `token` is the one that was
    /// saved last. The token is another one after each renewal: `save` is given the new one *before* the
    /// access token is handed out, and writes it durably in place of the one before. While it fails, nothing
    /// is handed out, and it is called again.
    ///
    /// A grant has one source: clone the source and not the request. Two that renew by themselves would use
    /// one token twice, and the issuer would end the grant.
    ///
    /// ```no_run
    /// use keywright_client::{RefreshToken, TokenRequest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let saved = RefreshToken::new(&std::fs::read_to_string("/var/lib/app/refresh-token")?);
    /// let save = async |token: RefreshToken| {
    ///     std::fs::write("/var/lib/app/refresh-token.new", token.as_str())?;
    ///     std::fs::rename("/var/lib/app/refresh-token.new", "/var/lib/app/refresh-token")
    /// };
    /// let tokens = TokenRequest::refresh("https://id.example", saved, save)?.into_source();
    /// let authorization = tokens.token().await?.authorization();
    /// # let _ = authorization;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidIssuer`].
    pub fn refresh<F, S, E>(
        issuer: &str,
        token: RefreshToken,
        save: F,
    ) -> Result<Self, InvalidIssuer>
    where
        F: Fn(RefreshToken) -> S + Send + Sync + 'static,
        S: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let (first, save) = (token, Save::new(save));
        Self::new(issuer, Grant::Refresh { first, save })
    }

    /// Tokens that a client gets in exchange for those of another source (RFC 8693), which say less: a
    /// service calls the next one on behalf of its own caller. `subject` gives the tokens that are exchanged.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuer`].
    pub fn exchange(
        issuer: &str,
        client_id: &str,
        secret: Credential,
        subject: TokenSource,
    ) -> Result<Self, InvalidIssuer> {
        let request = Self::new(issuer, Grant::Exchange { subject })?;
        Ok(request.with_client(client_id, secret))
    }

    /// The client that authenticates. A grant of a client needs it; a public one has none.
    #[must_use]
    pub fn with_client(mut self, client_id: &str, secret: Credential) -> Self {
        self.client = Some((client_id.to_owned(), secret));
        self
    }

    /// The one service that the tokens are for. Default: what the client's limits allow, or the audience of
    /// the grant.
    #[must_use]
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.to_owned());
        self
    }

    /// What the tokens allow: scopes, separated by spaces. Default: all that the client may have, or all of
    /// the grant.
    #[must_use]
    pub fn with_scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// Other roots than those of the system.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// The source of such tokens. Nothing is asked before the first is wanted.
    pub fn into_source(self) -> TokenSource {
        TokenSource::new(self)
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn is_refresh(&self) -> bool {
        matches!(self.grant, Grant::Refresh { .. })
    }

    /// What is known at first.
    pub(super) fn begin(&self) -> Asking {
        let line = match &self.grant {
            Grant::Refresh { first, save } => Some(Line::begin(first.clone(), save.clone())),
            Grant::ClientCredentials | Grant::Exchange { .. } => None,
        };
        Asking {
            endpoint: None,
            line,
        }
    }

    /// A token, and for how long it is valid.
    pub(super) async fn answer(
        &self,
        asking: &mut Asking,
        now: Duration,
    ) -> Result<(AccessToken, Duration), Failed> {
        let Asking { endpoint, line } = asking;
        let answer = match (&self.grant, line) {
            (Grant::Refresh { .. }, Some(line)) => self.renew(endpoint, line, now).await,
            (Grant::Exchange { subject }, _) => self.trade(endpoint, now, subject).await,
            _ => self.ask(endpoint, now, self.form(&[])).await,
        }?;
        let lifetime = Duration::from_secs(answer.expires_in);
        Ok((AccessToken::new(answer.access_token), lifetime))
    }

    /// Exchanges a token of another source.
    async fn trade(
        &self,
        known: &mut Option<TokenEndpoint>,
        now: Duration,
        subject: &TokenSource,
    ) -> Result<keywright_api::AccessToken, Failed> {
        let token = subject.token().await.map_err(|error| (error, None))?;
        let form = self.form(&[
            ("subject_token", token.as_str()),
            ("subject_token_type", ACCESS_TOKEN_TYPE),
        ]);
        let traded = self.ask(known, now, form).await;
        traded.inspect_err(|(error, _)| {
            // A bad subject token is either of these (RFC 8693 §2.2.2): the next one may do.
            if let Error::TokenRefused(OauthError {
                error: OauthErrorName::InvalidRequest | OauthErrorName::InvalidGrant,
                ..
            }) = error
            {
                subject.forget(&token);
            }
        })
    }

    /// Asks once, for as long as a call may take.
    pub(super) async fn ask(
        &self,
        known: &mut Option<TokenEndpoint>,
        now: Duration,
        form: Bytes,
    ) -> Result<keywright_api::AccessToken, Failed> {
        let asked = async {
            let endpoint = self.endpoint(known, now).await?;
            self.post(endpoint, form).await
        };
        let asked = tokio::time::timeout(TIMEOUT, asked).await;
        asked.unwrap_or_else(|_| Err(self.timed_out()))
    }

    pub(super) fn timed_out(&self) -> Failed {
        let url = self.issuer.clone();
        (Error::Timeout { url }, None)
    }

    /// The form of a request, with what only its grant has.
    pub(super) fn form(&self, more: &[(&str, &str)]) -> Bytes {
        let grant_type = match &self.grant {
            Grant::ClientCredentials => "client_credentials",
            Grant::Refresh { .. } => "refresh_token",
            Grant::Exchange { .. } => "urn:ietf:params:oauth:grant-type:token-exchange",
        };
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", grant_type);
        form.extend_pairs(more);
        for (name, value) in [("audience", &self.audience), ("scope", &self.scope)] {
            form.extend_pairs(value.iter().map(|value| (name, value)));
        }
        form.finish().into()
    }

    /// Sends a form to the token endpoint.
    pub(super) async fn post(
        &self,
        endpoint: &TokenEndpoint,
        form: Bytes,
    ) -> Result<keywright_api::AccessToken, Failed> {
        let TokenEndpoint { url, http, .. } = endpoint;
        let (status, headers, answer) = self.exchange_with(http, Method::POST, url, form).await?;
        if status == StatusCode::OK {
            return read(url, &answer);
        }
        let wait = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
        let wait = wait.and_then(|seconds| seconds.parse().ok());
        let wait = wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        match serde_json::from_str::<OauthError>(&answer) {
            Ok(error) => Err((Error::TokenRefused(error), wait)),
            Err(_) => Err((
                Error::UnexpectedAnswer {
                    url: url.as_str().to_owned(),
                    what: format!("status {}", status.as_u16()),
                },
                wait,
            )),
        }
    }

    /// The token endpoint, which is looked for again after a while.
    pub(super) async fn endpoint<'k>(
        &self,
        known: &'k mut Option<TokenEndpoint>,
        now: Duration,
    ) -> Result<&'k TokenEndpoint, Failed> {
        let is_stale =
            |known: &TokenEndpoint| now.saturating_sub(known.found_at) >= METADATA_BELIEVED_FOR;
        match known.take().filter(|known| !is_stale(known)) {
            Some(fresh) => Ok(known.insert(fresh)),
            None => Ok(known.insert(self.find_endpoint(now).await?)),
        }
    }

    /// The token endpoint, as the metadata names it (RFC 8414 §3).
    async fn find_endpoint(&self, now: Duration) -> Result<TokenEndpoint, Failed> {
        let url = &self.metadata;
        let http = self.http(url)?;
        let asked = self.exchange_with(&http, Method::GET, url, Bytes::new());
        let asked = tokio::time::timeout(TIMEOUT, asked).await;
        let (status, _, answer) = asked.unwrap_or_else(|_| Err(self.timed_out()))?;
        let wrong = |what| {
            let issuer = self.issuer.clone();
            (Error::Metadata { issuer, what }, None)
        };
        if status != StatusCode::OK {
            return Err(wrong("it cannot be had"));
        }
        let metadata: Metadata = read(url, &answer)?;
        if metadata.issuer != self.issuer {
            return Err(wrong("it is another issuer's"));
        }
        let endpoint = metadata.token_endpoint;
        let endpoint = endpoint.ok_or_else(|| wrong("it names no token endpoint"))?;
        let url = secure(&endpoint);
        let url = url.ok_or_else(|| wrong("its token endpoint is no https URL"))?;
        Ok(TokenEndpoint {
            http: self.http(&url)?,
            url,
            found_at: now,
        })
    }

    fn http(&self, url: &Url) -> Result<Http, Failed> {
        let address = ServiceAddress::parse(url.as_str());
        let address = address.map_err(|error| unreachable(url, error))?;
        http(address.endpoint(), &self.tls).map_err(|error| unreachable(url, error))
    }

    async fn exchange_with(
        &self,
        http: &Http,
        method: Method,
        url: &Url,
        form: Bytes,
    ) -> Result<(StatusCode, HeaderMap, String), Failed> {
        let is_post = method == Method::POST;
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, USER_AGENT_NAME)
            .body(Full::new(form))
            .map_err(|error| unreachable(url, error))?;
        if is_post {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
            let client = self.client.as_ref();
            if let Some(basic) = client.and_then(|(id, secret)| secret.basic(id)) {
                request.headers_mut().insert(AUTHORIZATION, basic);
            }
        }
        let response = http.request(request).await;
        let (parts, body) = response
            .map_err(|error| unreachable(url, error))?
            .into_parts();
        let text = text(body, url.as_str())
            .await
            .map_err(|error| (error, None))?;
        Ok((parts.status, parts.headers, text))
    }
}

fn unreachable(url: &Url, error: impl Into<BoxError>) -> Failed {
    let (url, source) = (url.as_str().to_owned(), error.into());
    (Error::Unreachable { url, source }, None)
}

fn read<T: DeserializeOwned>(url: &Url, text: &str) -> Result<T, Failed> {
    serde_json::from_str(text).map_err(|error| {
        let what = format!("another document than expected ({error})");
        let url = url.as_str().to_owned();
        (Error::UnexpectedAnswer { url, what }, None)
    })
}

/// A URL that may be sent a secret.
fn secure(text: &str) -> Option<Url> {
    let address = ServiceAddress::parse(text).ok()?;
    let url = Url::parse(text).ok()?;
    (url.scheme() == "https" || address.is_local()).then_some(url)
}
