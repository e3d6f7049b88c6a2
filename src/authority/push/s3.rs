//! A copy that is an object of S3-compatible storage. It is written on the condition that the object is the one
//! that was looked at (`If-Match`), or that there is none (`If-None-Match: *`). Which set it is, its metadata
//! say.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::{Method, StatusCode};
use url::Url;

use super::credentials::S3Credentials;
use super::remote::{RemoteResponse, send};
use super::sigv4::{SignedRequest, hash_of_body};
use super::{Found, Precondition, PushError};
use crate::config::S3Bucket;
use crate::lifecycle::Timestamp;
use crate::push::{CopyMark, KeySetCopy};

/// The metadata that say which set an object is.
const MARK: &str = "x-amz-meta-keywright";

/// Where a copy is.
pub(super) struct CopyObject<'b> {
    pub(super) bucket: &'b S3Bucket,
    pub(super) key: String,
}

/// What an object must be when it is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ObjectState {
    Absent,
    /// It has this entity tag.
    Tagged(String),
}

impl CopyObject<'_> {
    /// The path-style URL of the object.
    fn url(&self) -> Result<Url, PushError> {
        let endpoint = self.bucket.endpoint.trim_end_matches('/');
        let path = format!("/{}/{}", self.bucket.bucket, self.key);
        let url = Url::parse(&format!("{endpoint}{}", escaped(&path)));
        url.map_err(|_| PushError("the endpoint is no url".to_owned()))
    }

    /// What is there.
    pub(super) async fn look(&self, now: Timestamp) -> Result<Found, PushError> {
        let response = self.request(Method::HEAD, &[], Bytes::new(), now).await?;
        let (mark, state) = match response.status {
            StatusCode::NOT_FOUND => (None, ObjectState::Absent),
            StatusCode::OK => {
                let tag = response.header("etag");
                let tag = tag.ok_or_else(|| PushError("the object has no ETag".to_owned()))?;
                let mark = response.header(MARK).and_then(CopyMark::parse);
                (mark, ObjectState::Tagged(tag.to_owned()))
            }
            status => return Err(refused("look at", status, &response)),
        };
        Ok(Found {
            is_intact: mark.is_some(),
            mark,
            precondition: Precondition::Object(state),
        })
    }

    /// Puts a copy there.
    pub(super) async fn write(
        &self,
        state: &ObjectState,
        copy: KeySetCopy,
        now: Timestamp,
    ) -> Result<(), PushError> {
        let mark = copy.mark.to_text();
        let condition = match state {
            ObjectState::Absent => ("if-none-match", "*"),
            ObjectState::Tagged(tag) => ("if-match", tag.as_str()),
        };
        let headers = [
            ("cache-control", copy.cache_control.as_str()),
            ("content-type", "application/jwk-set+json"),
            condition,
            (MARK, mark.as_str()),
        ];
        let response = self.request(Method::PUT, &headers, copy.body, now).await?;
        match response.status {
            status if status.is_success() => Ok(()),
            // 409 is S3's answer to two conditional writes at a time.
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Err(PushError(
                "another process has changed the object meanwhile".to_owned(),
            )),
            StatusCode::NOT_IMPLEMENTED => Err(PushError(
                "the storage does not write on a condition (status 501)".to_owned(),
            )),
            status => Err(refused("write", status, &response)),
        }
    }

    async fn request(
        &self,
        method: Method,
        more: &[(&str, &str)],
        body: Bytes,
        now: Timestamp,
    ) -> Result<RemoteResponse, PushError> {
        let credentials = S3Credentials::read(self.bucket)?;
        let url = self.url()?;
        let host = crate::outgoing::authority(&url);
        let host = host.ok_or_else(|| PushError("the endpoint has no host".to_owned()))?;
        let body_hash = hash_of_body(&body);
        let time = amz_time(now);
        let mut headers = vec![
            ("host", host.as_str()),
            ("x-amz-content-sha256", body_hash.as_str()),
            ("x-amz-date", time.as_str()),
        ];
        if let Some(token) = &credentials.session_token {
            headers.push(("x-amz-security-token", token.as_str()));
        }
        headers.extend(more);
        headers.sort_unstable();
        let signed = SignedRequest {
            method: method.as_str(),
            path: url.path(),
            headers: &headers,
            body_hash: &body_hash,
            time: &time,
            region: &self.bucket.region,
            service: "s3",
        };
        let authorization = signed.authorization(&credentials);
        headers.push(("authorization", &authorization));
        send(&url, method, &headers, body, self.bucket.ca.as_deref()).await
    }
}

/// A refusal, with the code of S3's error document, which names no secret.
fn refused(what: &str, status: StatusCode, response: &RemoteResponse) -> PushError {
    let body = String::from_utf8_lossy(&response.body);
    let code = body
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code)
        .filter(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    let status = status.as_u16();
    PushError(format!("cannot {what} the object: status {status}{code}"))
}

/// Each byte but letters, digits and `-._~/` escaped.
fn escaped(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let bytes = path.bytes().map(|byte| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

fn amz_time(now: Timestamp) -> String {
    let seconds = i64::try_from(now.floor_seconds()).unwrap_or_default();
    let time: DateTime<Utc> = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.format("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_times_are_written_as_they_are_signed() {
        assert_eq!(escaped("/keys/a b$é.json"), "/keys/a%20b%24%C3%A9.json");
        let at = Timestamp::from_seconds(1_440_938_160);
        assert_eq!(amz_time(at), "20150830T123600Z");
    }
}
