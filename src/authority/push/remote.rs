//! Requests to targets that are reached over HTTP: each on a connection of its own. No redirect is followed and
//! no proxy comes between.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use keywright_client::Tls;
use tokio::net::TcpStream;
use url::{Host, Url};

use super::PushError;
use crate::outgoing::{self, AGENT};

/// The largest response that is read, in bytes: a ConfigMap has at most 1 MiB, and JSON escapes it.
const LARGEST_RESPONSE: usize = 4 * 1024 * 1024;

/// A response.
pub(super) struct RemoteResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl RemoteResponse {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Sends a request. With `ca`, that file's certificates are trusted instead of the system's.
pub(super) async fn send(
    url: &Url,
    method: Method,
    headers: &[(&str, &str)],
    body: Bytes,
    ca: Option<&Path>,
) -> Result<RemoteResponse, PushError> {
    let failed = |what: &str| PushError(what.to_owned());
    let host = url.host().ok_or_else(|| failed("the url has no host"))?;
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = match &host {
        Host::Domain(name) => TcpStream::connect((*name, port)).await,
        Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
        Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
    };
    let stream = stream.map_err(|error| PushError(format!("cannot connect: {}", error.kind())))?;
    let stream = match url.scheme() {
        "https" => {
            let tls = match ca {
                None => Tls::default(),
                Some(path) => {
                    let pem = std::fs::read(path).map_err(|error| {
                        PushError(format!("cannot read {}: {}", path.display(), error.kind()))
                    })?;
                    let tls = Tls::default().with_roots(&pem);
                    tls.map_err(|error| PushError(format!("{}: {error}", path.display())))?
                }
            };
            let tls = tls.config();
            let tls = tls.map_err(|_| failed("the roots of the system cannot be read"))?;
            let secured = outgoing::secure(stream, &host, Arc::new(tls)).await;
            secured.map_err(|error| PushError(format!("TLS failed: {error}")))?
        }
        _ => Box::new(stream),
    };
    let authority = outgoing::authority(url).ok_or_else(|| failed("the url has no host"))?;
    let mut request = Request::builder()
        .method(method)
        .uri(outgoing::target(url))
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .body(Full::new(body))
        .map_err(|_| failed("the url cannot be sent"))?;
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        let name = HeaderName::try_from(*name);
        let value = HeaderValue::try_from(*value);
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(failed("a header cannot be sent"));
        };
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    let response = outgoing::exchange(stream, request).await;
    let (head, body) = response
        .map_err(|error| PushError(error.to_string()))?
        .into_parts();
    let body = Limited::new(body, LARGEST_RESPONSE).collect().await;
    let body = body.map_err(|_| failed("the response broke, or is too large"))?;
    Ok(RemoteResponse {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}
