//! One message, sent once. The address of a receiver is looked up, held against the rule for addresses, and
//! connected to as it was looked up, so that no name leads elsewhere in between. No redirect is followed and
//! no proxy comes between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use ipnet::IpNet;
use keywright_client::Tls;
use tokio::net::{TcpStream, lookup_host};
use url::{Host, Url};

use crate::outgoing::{self, AGENT, Stream};
use crate::telemetry::traces::TRACEPARENT;
use crate::webhook::{Rejection, is_public, may_be_called};

/// How long a receiver may take, from the look-up to its answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Sends messages.
pub struct Sender {
    allowed: Vec<IpNet>,
}

/// A message with its signature.
pub(super) struct SignedMessage {
    pub(super) id: String,
    /// In Unix seconds.
    pub(super) at: u64,
    pub(super) signature: String,
    pub(super) body: String,
    /// The trace that the sending is part of.
    pub(super) traceparent: Option<HeaderValue>,
}

impl Sender {
    /// Sends to public addresses and to these networks.
    pub const fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Sends a message once.
    pub(super) async fn send(&self, url: &str, message: SignedMessage) -> Result<(), Rejection> {
        let sent = tokio::time::timeout(ANSWERS_WITHIN, self.post(url, message)).await;
        sent.unwrap_or_else(|_| {
            let seconds = ANSWERS_WITHIN.as_secs();
            Err(Rejection::Failed(format!("no answer within {seconds} s")))
        })
    }

    async fn post(&self, url: &str, message: SignedMessage) -> Result<(), Rejection> {
        let failed = |what: &str| Rejection::Failed(what.to_owned());
        let url = Url::parse(url).map_err(|_| failed("the url cannot be read"))?;
        let stream = self.connect(&url).await?;
        let request = request(&url, message).ok_or_else(|| failed("the url cannot be sent"))?;
        let response = outgoing::exchange(stream, request).await;
        let response = response.map_err(|error| failed(&error.to_string()))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(Rejection::Gone),
            status if status.is_redirection() => Err(Rejection::Failed(format!(
                "status {}: redirects are not followed",
                status.as_u16()
            ))),
            status => Err(Rejection::Failed(format!("status {}", status.as_u16()))),
        }
    }

    async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, Rejection> {
        let failed = |what: &str| Rejection::Failed(what.to_owned());
        let host = url.host().ok_or_else(|| failed("the url has no host"))?;
        let is_tls = url.scheme() == "https";
        let port = url.port_or_known_default().unwrap_or(443);
        let address = self.address_of(&host, port).await?;
        if !is_tls && is_public(address.ip()) {
            return Err(failed(
                "http is for networks of webhooks.allowed_networks alone",
            ));
        }
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| unreachable(&error))?;
        if !is_tls {
            return Ok(Box::new(stream));
        }
        // The roots of the system, as they are now.
        let tls = Tls::default().config();
        let tls = tls.map_err(|_| failed("the roots of the system cannot be read"))?;
        let secured = outgoing::secure(stream, &host, Arc::new(tls)).await;
        secured.map_err(|_| failed("TLS failed: its certificate is not trusted, or it has none"))
    }

    /// The first address of a host that may be called.
    async fn address_of(&self, host: &Host<&str>, port: u16) -> Result<SocketAddr, Rejection> {
        let found: Vec<SocketAddr> = match host {
            Host::Ipv4(address) => vec![(IpAddr::V4(*address), port).into()],
            Host::Ipv6(address) => vec![(IpAddr::V6(*address), port).into()],
            Host::Domain(name) => {
                let found = lookup_host((*name, port)).await;
                found.map_err(|error| unreachable(&error))?.collect()
            }
        };
        let mut allowed = found.into_iter();
        allowed
            .find(|address| may_be_called(address.ip(), &self.allowed))
            .ok_or_else(|| {
                Rejection::Failed(
                    "the host has no public address, and none of webhooks.allowed_networks"
                        .to_owned(),
                )
            })
    }
}

/// The kind of an error, without what it says of the network.
fn unreachable(error: &io::Error) -> Rejection {
    Rejection::Failed(format!("cannot connect: {}", error.kind()))
}

fn request(url: &Url, message: SignedMessage) -> Option<Request<Full<Bytes>>> {
    let SignedMessage {
        id,
        at,
        signature,
        body,
        traceparent,
    } = message;
    let of_webhooks = [
        (HeaderName::from_static("webhook-id"), id),
        (HeaderName::from_static("webhook-timestamp"), at.to_string()),
        (HeaderName::from_static("webhook-signature"), signature),
    ];
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(outgoing::target(url))
        .header(HOST, outgoing::authority(url)?)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .body(Full::new(Bytes::from(body)))
        .ok()?;
    for (name, value) in of_webhooks {
        let value = HeaderValue::try_from(value).ok()?;
        request.headers_mut().insert(name, value);
    }
    if let Some(traceparent) = traceparent {
        request.headers_mut().insert(TRACEPARENT, traceparent);
    }
    Some(request)
}
