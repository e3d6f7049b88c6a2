//! One call: what is asked, and what came back.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use keywright_api::{Awaits, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::download::Download;
use crate::error::{AwaitedApproval, Error, Refusal};
use crate::exchange::{TIMEOUT, USER_AGENT_NAME, text};

/// An operation of the internal API. It happens when it is awaited.
///
/// Awaiting it returns the document; [`Call::answer`] also has the text as it came and the entity tag.
#[must_use = "nothing happens before it is awaited"]
pub struct Call<'a, T> {
    client: &'a Client,
    method: Method,
    path: String,
    /// It may hold a private key that is being imported.
    body: Option<Result<Zeroizing<Vec<u8>>, serde_json::Error>>,
    entity_tag: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    document: PhantomData<fn() -> T>,
}

/// A document as it came.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    text: String,
    url: String,
    entity_tag: Option<String>,
    document: PhantomData<fn() -> T>,
}

impl<'a, T> Call<'a, T> {
    pub(crate) fn new(client: &'a Client, method: Method, path: String) -> Self {
        Self {
            client,
            method,
            path,
            body: None,
            entity_tag: None,
            traceparent: None,
            document: PhantomData,
        }
    }

    /// Makes the operation a part of a trace: `traceparent` names the trace and the caller's span, as W3C
    /// Trace Context has it (§3.2). A text that no header can have is not sent.
    pub fn with_traceparent(mut self, traceparent: &str) -> Self {
        self.traceparent = HeaderValue::from_str(traceparent).ok();
        self
    }

    pub(crate) fn with_body(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).map(Zeroizing::new));
        self
    }

    /// Only if the record still has this entity tag (RFC 9110 §13.1.1).
    pub(crate) fn only_if(mut self, entity_tag: Option<&str>) -> Self {
        // What is no tag is sent as one that nothing has.
        let tag = entity_tag.map(HeaderValue::from_str);
        self.entity_tag = tag.map(|tag| tag.unwrap_or(HeaderValue::from_static("\"\"")));
        self
    }

    /// The answer with its text and its entity tag.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn answer(self) -> Result<Answer<T>, Error> {
        let url = self.place();
        let exchange = async {
            let response = self
                .send("application/json, application/problem+json")
                .await?;
            let (parts, body) = response.into_parts();
            let entity_tag = parts.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
            let entity_tag = entity_tag.map(str::to_owned);
            Ok::<_, Error>((parts.status, entity_tag, text(body, &url).await?))
        };
        let (status, entity_tag, text) = match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(exchanged) => exchanged?,
            Err(_) => return Err(Error::Timeout { url }),
        };
        if status.is_success() && status != StatusCode::ACCEPTED {
            return Ok(Answer {
                text,
                url,
                entity_tag,
                document: PhantomData,
            });
        }
        Err(refusal(status, text, url))
    }

    /// A long answer, to be read as it comes.
    pub(crate) async fn download(self) -> Result<Download, Error> {
        let url = self.place();
        let response = match tokio::time::timeout(TIMEOUT, self.send("*/*")).await {
            Ok(response) => response?,
            Err(_) => return Err(Error::Timeout { url }),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Download::new(response.into_body(), url));
        }
        let text = text(response.into_body(), &url).await?;
        Err(refusal(status, text, url))
    }

    /// What errors call the place that is asked.
    fn place(&self) -> String {
        format!("{}{}", self.client.address, self.path)
    }

    async fn send(self, accept: &'static str) -> Result<Response<Incoming>, Error> {
        let place = self.place();
        let url = format!("{}{}", self.client.address.base(), self.path);
        let body = self.body.transpose()?;
        let has_body = body.is_some();
        let body = body.map(Bytes::from_owner).unwrap_or_default();
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreachable {
            url: place.clone(),
            source,
        };
        let mut request = Request::builder()
            .method(self.method)
            .uri(&url)
            .header(ACCEPT, accept)
            .header(USER_AGENT, USER_AGENT_NAME)
            .body(Full::new(body))
            .map_err(|error| unreachable(error.into()))?;
        let headers = request.headers_mut();
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(tag) = self.entity_tag {
            headers.insert(IF_MATCH, tag);
        }
        if let Some(traceparent) = self.traceparent {
            headers.insert("traceparent", traceparent);
        }
        let credential = self.client.credential.as_ref();
        if let Some(credential) = credential.and_then(|credential| credential.header()) {
            headers.insert(AUTHORIZATION, credential);
        }
        let sent = self.client.http.request(request).await;
        sent.map_err(|error| unreachable(error.into()))
    }
}

impl<'a, T: DeserializeOwned + Send + 'static> IntoFuture for Call<'a, T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.answer().await?.read() })
    }
}

impl<T> Answer<T> {
    /// The document as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The entity tag of the record that it shows (RFC 9110 §8.8.3).
    pub fn entity_tag(&self) -> Option<&str> {
        self.entity_tag.as_deref()
    }
}

impl<T: DeserializeOwned> Answer<T> {
    /// The document.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedAnswer`] when it is none of this kind.
    pub fn read(&self) -> Result<T, Error> {
        // An answer without content has the document `null`.
        let text = match self.text.is_empty() {
            true => "null",
            false => &self.text,
        };
        serde_json::from_str(text).map_err(|error| Error::UnexpectedAnswer {
            url: self.url.clone(),
            what: format!("another document than expected ({error})"),
        })
    }
}

fn refusal(status: StatusCode, text: String, url: String) -> Error {
    if status == StatusCode::ACCEPTED
        && let Ok(Awaits { approval }) = serde_json::from_str(&text)
    {
        return Error::Awaits(Box::new(AwaitedApproval { approval, text }));
    }
    match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => Error::Refused(Box::new(Refusal { problem, text })),
        Err(_) => Error::UnexpectedAnswer {
            url,
            what: format!("status {}", status.as_u16()),
        },
    }
}
