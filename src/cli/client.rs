//! A thin client of the internal API.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};
use url::Url;
use zeroize::Zeroizing;

use super::failure::{Failure, Problem};
use super::moment::rfc3339;

/// How long a request may take, from the first byte to the last.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long an answer may take that is read as it comes.
const STREAM_TIMEOUT: Duration = Duration::from_secs(3600);

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// What the caller proves itself with. Wiped when dropped; its `Debug` shows nothing.
pub(super) struct Credential(Zeroizing<String>);

impl Credential {
    /// Reads a credential, white space around it aside; `None` unless it is visible ASCII.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let legal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        legal.then(|| Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// The internal listener of one service.
pub(super) struct Client {
    agent: Agent,
    base: String,
    /// A client certificate may do instead.
    credential: Option<Credential>,
}

/// A JSON document that the service answered.
pub(super) struct Answer {
    text: String,
    url: String,
    /// The entity tag of the record that it shows (RFC 9110 §8.8.3).
    tag: Option<String>,
}

impl Answer {
    /// A document that was made here, in the form of an answer.
    pub(super) fn made_here(document: &Value) -> Self {
        Self {
            text: document.to_string(),
            url: "this program".to_owned(),
            tag: None,
        }
    }

    /// The document as it came.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The entity tag of what was read, for [`Client::replace`].
    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The document's members.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.text).map_err(|error| Failure::UnexpectedAnswer {
            url: self.url.clone(),
            what: format!("another document than expected ({error})"),
        })
    }
}

impl Client {
    /// Redirects are not followed, and no proxy comes between: both would show the credential to
    /// someone else.
    pub(super) fn new(url: &Url, tls: TlsConfig, credential: Option<Credential>) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .tls_config(tls)
            .proxy(None)
            .user_agent(concat!("keywright/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            base: url.as_str().trim_end_matches('/').to_owned(),
            credential,
        }
    }

    pub(super) fn read(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, None)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(body), None)
    }

    /// Replaces a record: the one that was read with this tag, or with `None` whatever is there.
    pub(super) fn replace(
        &self,
        path: &str,
        tag: Option<&str>,
        body: &Value,
    ) -> Result<Answer, Failure> {
        self.send(Method::PUT, path, Some(body), tag)
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::DELETE, path, None, None)
    }

    /// A long answer, to be read as it comes, and the URL that it comes from.
    pub(super) fn stream(&self, path: &str) -> Result<(impl Read + use<>, String), Failure> {
        self.stream_of(Method::GET, path)
    }

    /// A long answer to a POST without a body.
    pub(super) fn stream_post(&self, path: &str) -> Result<(impl Read + use<>, String), Failure> {
        self.stream_of(Method::POST, path)
    }

    fn stream_of(
        &self,
        method: Method,
        path: &str,
    ) -> Result<(impl Read + use<>, String), Failure> {
        let url = format!("{}{path}", self.base);
        let request = self.request(method, &url).header("accept", "*/*").body(());
        let response = request.map_err(ureq::Error::from).and_then(|request| {
            let configured = self.agent.configure_request(request);
            self.agent
                .run(configured.timeout_global(Some(STREAM_TIMEOUT)).build())
        });
        let mut response = response.map_err(unreachable(&url))?;
        if response.status().is_success() {
            return Ok((response.into_body().into_reader(), url));
        }
        let status = response.status().as_u16();
        Err(refusal(
            status,
            text(&mut response).map_err(unreachable(&url))?,
            url,
        ))
    }

    fn request(&self, method: Method, url: &str) -> Builder {
        let request = Request::builder().method(method).uri(url);
        match &self.credential {
            Some(Credential(credential)) => {
                let authorization = Zeroizing::new(format!("Bearer {}", **credential));
                request.header("authorization", authorization.as_str())
            }
            None => request,
        }
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.base);
        let mut request = self
            .request(method, &url)
            .header("accept", "application/json, application/problem+json");
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        let response = match body {
            Some(body) => {
                // A body may hold a private key that is being imported.
                let body = Zeroizing::new(body.to_string());
                request
                    .header("content-type", "application/json")
                    .body(body.as_bytes())
                    .map_err(ureq::Error::from)
                    .and_then(|request| self.agent.run(request))
            }
            None => request
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
        };
        let mut response = response.map_err(unreachable(&url))?;
        let status = response.status();
        let tag = response.headers().get("etag");
        let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let text = text(&mut response).map_err(unreachable(&url))?;
        match status.as_u16() {
            202 => Err(awaits(text, url)),
            200..300 => Ok(Answer { text, url, tag }),
            status => Err(refusal(status, text, url)),
        }
    }
}

/// The operation waits for approval: a script must not continue as if it had happened.
fn awaits(document: String, url: String) -> Failure {
    #[derive(Deserialize)]
    struct Members {
        approval: Approval,
    }
    #[derive(Deserialize)]
    struct Approval {
        id: String,
        expires_at: u64,
    }
    match serde_json::from_str::<Members>(&document) {
        Ok(Members { approval }) => Failure::Refused(Box::new(Problem {
            status: 202,
            code: "awaits-confirmation".to_owned(),
            detail: "not done: this operation needs approval by a second person".to_owned(),
            hint: Some(format!(
                "until {} another client with the role security can run: keywright approvals \
                 confirm {}",
                rfc3339(approval.expires_at),
                approval.id
            )),
            document,
        })),
        Err(_) => Failure::UnexpectedAnswer {
            url,
            what: "status 202".to_owned(),
        },
    }
}

fn text(response: &mut Response<Body>) -> Result<String, ureq::Error> {
    let body = response.body_mut().with_config();
    body.limit(LARGEST_ANSWER).read_to_string()
}

fn unreachable(url: &str) -> impl Fn(ureq::Error) -> Failure {
    |source| Failure::Unreachable {
        url: url.to_owned(),
        source: Box::new(source),
    }
}

fn refusal(status: u16, document: String, url: String) -> Failure {
    #[derive(Deserialize)]
    struct Members {
        code: String,
        detail: String,
    }
    match serde_json::from_str::<Members>(&document) {
        Ok(Members { code, detail }) => Failure::Refused(Box::new(Problem {
            status,
            code,
            detail,
            document,
            hint: None,
        })),
        Err(_) => Failure::UnexpectedAnswer {
            url,
            what: format!("status {status}"),
        },
    }
}

/// A text as one segment of a path (RFC 3986 §3.3), everything but unreserved characters encoded.
pub(super) fn segment(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            output.push(char::from(byte));
        } else {
            output.push_str(&format!("%{byte:02X}"));
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one_whatever_the_kid_is_named() {
        assert_eq!(segment("a/../b?c#d%"), "a%2F%2E%2E%2Fb%3Fc%23d%25");
        assert_eq!(segment("AZaz09-_~"), "AZaz09-_~");
    }

    #[test]
    fn a_credential_is_one_visible_word_and_never_shown() {
        let credential = Credential::parse(" kw_1_abc\n").unwrap();
        assert_eq!(credential.0.as_str(), "kw_1_abc");
        assert!(!format!("{credential:?}").contains("abc"));
        for text in ["", " \n", "a b", "a\r\nx: y", "é"] {
            assert!(Credential::parse(text).is_none(), "{text:?}");
        }
    }
}
