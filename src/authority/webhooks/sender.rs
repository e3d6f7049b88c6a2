//! One message, sent once. The address of a receiver is looked up, held against the rule for addresses, and
//! connected to as it was looked up, so that no name leads elsewhere in between. No redirect is followed and
//! no proxy comes between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use ipnet::IpNet;
use keywright_client::Tls;
use serde::Deserialize;
use tokio::net::{TcpStream, lookup_host};
use url::{Host, Url};

use crate::outgoing::{self, AGENT, Stream};
use crate::webhook::{Rejection, is_public, may_be_called};

/// How long a receiver may take, from the look-up to its answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Sends messages.
pub struct Sender {
    allowed: Vec<IpNet>,
}

/// The largest body of a refusal that is read, in bytes.
const LONGEST_REFUSAL: usize = 4096;

/// A message as it is sent.
pub(in crate::authority) struct OutgoingMessage {
    pub(in crate::authority) content_type: &'static str,
    pub(in crate::authority) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::authority) body: String,
    /// The words by which a receiver may say in the member `err` why it answers 400. Another text of it is
    /// not repeated.
    pub(in crate::authority) errors: &'static [&'static str],
}

/// Why a receiver does not take a message.
#[derive(Deserialize)]
struct Refusal {
    err: String,
}

impl Sender {
    /// Sends to public addresses and to these networks.
    pub const fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Sends a message once.
    pub(in crate::authority) async fn send(
        &self,
        url: &str,
        message: OutgoingMessage,
    ) -> Result<(), Rejection> {
        let sent = tokio::time::timeout(ANSWERS_WITHIN, self.post(url, message)).await;
        sent.unwrap_or_else(|_| {
            let seconds = ANSWERS_WITHIN.as_secs();
            Err(Rejection::Failed(format!("no answer within {seconds} s")))
        })
    }

    async fn post(&self, url: &str, message: OutgoingMessage) -> Result<(), Rejection> {
        let failed = |what: &str| Rejection::Failed(what.to_owned());
        let url = Url::parse(url).map_err(|_| failed("the url cannot be read"))?;
        let stream = self.connect(&url).await?;
        let errors = message.errors;
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
            StatusCode::BAD_REQUEST if !errors.is_empty() => {
                let body = Limited::new(response.into_body(), LONGEST_REFUSAL);
                let body = body.collect().await.ok().map(Collected::to_bytes);
                let refusal: Option<Refusal> =
                    body.and_then(|body| serde_json::from_slice(&body).ok());
                let named = refusal.and_then(|refusal| {
                    let mut errors = errors.iter();
                    errors.find(|error| **error == refusal.err)
                });
                let why = named.map(|error| format!(": {error}"));
                let why = why.unwrap_or_default();
                Err(Rejection::Failed(format!("status 400{why}")))
            }
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

fn request(url: &Url, message: OutgoingMessage) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(outgoing::target(url))
        .header(HOST, outgoing::authority(url)?)
        .header(CONTENT_TYPE, message.content_type)
        .header(USER_AGENT, AGENT)
        .body(Full::new(Bytes::from(message.body)))
        .ok()?;
    request.headers_mut().extend(message.headers);
    Some(request)
}
