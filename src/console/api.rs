//! The API as the console calls it: the same routes, within the process, and the same documents.

use std::fmt::Display;

use axum::http::header::ETAG;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use keywright_api as api;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::response::{is_accepted, is_success};
use crate::authority::authentication::Caller;
use crate::http::{InProcessApi, InProcessRequest, read_answer};

/// The largest answer that is read whole, in bytes.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;

/// What stands in a segment of a path or in a query as it is (RFC 3986 §2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as a segment of a path, or as a value of a query.
pub(super) fn encoded(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, UNRESERVED)
}

/// The address of an issuer's operations.
pub(super) fn of_issuer(issuer: &str, rest: impl Display) -> String {
    format!("/v1/issuers/{}{rest}", encoded(issuer))
}

/// What became of an operation that may need a second person.
pub(super) enum Outcome<T> {
    /// It is done.
    Done(T),
    /// It waits.
    Awaits(Box<api::Approval>),
}

/// The calls of one client.
pub(super) struct Calls<'c> {
    api: &'c InProcessApi,
    caller: &'c Caller,
    headers: &'c HeaderMap,
}

impl<'c> Calls<'c> {
    pub(super) fn new(api: &'c InProcessApi, caller: &'c Caller, headers: &'c HeaderMap) -> Self {
        Self {
            api,
            caller,
            headers,
        }
    }

    /// Reads a document.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, api::Problem> {
        let response = self.answer(Method::GET, path, None).await;
        document(response).await
    }

    /// Reads a document with its entity tag.
    pub(super) async fn get_tagged<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, String), api::Problem> {
        let response = self.answer(Method::GET, path, None).await;
        let tag = response.headers().get(ETAG);
        let tag = tag.and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let tag = tag.to_owned();
        Ok((document(response).await?, tag))
    }

    /// Does what a document says.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Outcome<T>, api::Problem> {
        let body = serde_json::to_string(body).unwrap_or_default();
        outcome(self.answer(Method::POST, path, Some(body)).await).await
    }

    /// Puts a document in the place of the one that has this entity tag.
    pub(super) async fn replace<T: DeserializeOwned>(
        &self,
        path: &str,
        tag: &str,
        body: &impl Serialize,
    ) -> Result<Outcome<T>, api::Problem> {
        let request = InProcessRequest {
            method: Method::PUT,
            path,
            body: Some(serde_json::to_string(body).unwrap_or_default()),
            if_match: Some(tag),
        };
        outcome(self.send(request).await).await
    }

    /// Does what the method says, and hears nothing more of it.
    pub(super) async fn act(&self, method: Method, path: &str) -> Result<(), api::Problem> {
        let response = self.answer(method, path, None).await;
        match is_success(&response) {
            true => Ok(()),
            false => document::<()>(response).await,
        }
    }

    /// The answer as it comes.
    pub(super) async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Response {
        self.send(InProcessRequest {
            method,
            path,
            body,
            if_match: None,
        })
        .await
    }

    async fn send(&self, request: InProcessRequest<'_>) -> Response {
        self.api.send(self.caller, self.headers, request).await
    }
}

async fn outcome<T: DeserializeOwned>(response: Response) -> Result<Outcome<T>, api::Problem> {
    if is_accepted(&response) {
        let awaits: api::Awaits = document(response).await?;
        return Ok(Outcome::Awaits(Box::new(awaits.approval)));
    }
    Ok(Outcome::Done(document(response).await?))
}

async fn document<T: DeserializeOwned>(response: Response) -> Result<T, api::Problem> {
    let is_success = is_success(&response);
    let status = response.status().as_u16();
    let bytes = read_answer(response, LARGEST_ANSWER).await;
    let bytes = bytes.unwrap_or_default();
    let unreadable = || api::Problem {
        status,
        detail: "the answer could not be read".to_owned(),
        ..api::Problem::default()
    };
    match is_success {
        true => serde_json::from_slice(&bytes).map_err(|error| {
            tracing::error!(%error, "the console cannot read an answer of the API");
            unreadable()
        }),
        false => Err(serde_json::from_slice(&bytes).unwrap_or_else(|_| unreadable())),
    }
}
