//! One question to an issuer, and what is let in of the answer.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{AGE, CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use url::Url;

use crate::clock::ClockReading;
use crate::http::{FetchError, HttpClient, Location, Locator, body};
use crate::{JwkSet, MAX_JWK_SET_BYTES};

/// The longest entity tag that is kept and sent back.
const MAX_TAG_BYTES: usize = 256;

/// An entity tag, as it came. It says nothing about what another address answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tag {
    url: Url,
    value: HeaderValue,
}

/// Asks for sets. One at a time, because it is exclusive.
pub(super) struct Fetcher {
    client: HttpClient,
    timeout: Duration,
    locator: Locator,
}

/// What an issuer answered.
pub(super) enum FetchResult {
    Set {
        keys: JwkSet,
        tag: Option<Tag>,
        fresh_for: Option<Duration>,
    },
    Unchanged {
        fresh_for: Option<Duration>,
    },
}

impl FetchResult {
    pub(super) const fn fresh_for(&self) -> Option<Duration> {
        match self {
            Self::Set { fresh_for, .. } | Self::Unchanged { fresh_for } => *fresh_for,
        }
    }
}

impl Fetcher {
    /// `timeout` is for a whole exchange, from the name to the last byte.
    pub(super) fn new(client: HttpClient, location: Location, timeout: Duration) -> Self {
        Self {
            client,
            timeout,
            locator: Locator::new(location, "jwks_uri"),
        }
    }

    /// Asks once. Nothing is retried here.
    pub(super) async fn fetch(
        &mut self,
        tag: Option<&Tag>,
        now: ClockReading,
    ) -> Result<FetchResult, FetchError> {
        let answer = tokio::time::timeout(self.timeout, self.ask(tag, now))
            .await
            .unwrap_or(Err(FetchError::Timeout));
        if answer.is_err() {
            self.locator.forget();
        }
        answer
    }

    async fn ask(
        &mut self,
        tag: Option<&Tag>,
        now: ClockReading,
    ) -> Result<FetchResult, FetchError> {
        let url = self.locator.url(&self.client, now).await?;
        let tag = tag.filter(|tag| tag.url == url);
        let accept = "application/jwk-set+json, application/json";
        let known = tag.map(|tag| (IF_NONE_MATCH, &tag.value));
        let response = self.client.get(&url, accept, known).await?;
        let fresh_for = freshness(response.headers());
        if tag.is_some() && response.status() == StatusCode::NOT_MODIFIED {
            return Ok(FetchResult::Unchanged { fresh_for });
        }
        let tag = response.headers().get(ETAG).cloned();
        let tag = tag.filter(|value| value.len() <= MAX_TAG_BYTES);
        let body = body(response, MAX_JWK_SET_BYTES).await?;
        let keys = JwkSet::parse_usable(&body)?;
        Ok(FetchResult::Set {
            keys,
            tag: tag.map(|value| Tag { url, value }),
            fresh_for,
        })
    }
}

/// How long an answer stays fresh (RFC 9111 §4.2): `max-age`, less the time that it spent in other
/// caches. None of it after `no-cache` or `no-store`, or when `max-age` is no number; the shortest when
/// it stands there twice (§4.2.1).
fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age: Option<u64> = None;
    for directive in headers
        .get_all(CACHE_CONTROL)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" | "no-store" => return Some(Duration::ZERO),
            "max-age" => {
                let seconds = delta_seconds(argument.trim().trim_matches('"')).unwrap_or(0);
                max_age = Some(max_age.map_or(seconds, |known| known.min(seconds)));
            }
            _ => {}
        }
    }
    let age = headers
        .get(AGE)
        .and_then(|value| delta_seconds(value.to_str().ok()?.trim()))
        .unwrap_or(0);
    max_age.map(|seconds| Duration::from_secs(seconds.saturating_sub(age)))
}

/// RFC 9111 §1.2.2: a number that is too large counts as the largest.
fn delta_seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
