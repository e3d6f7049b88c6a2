//! Sends ended spans to a collector (OTLP over HTTP, binary).
//!
//! A collector that is slow, refuses or is gone costs spans, which are counted; it never costs a request,
//! and a shutdown at most a second.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use keywright_client::{InvalidTls, Tls};
use prost::Message as _;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use url::{Host, Url};

use super::context::TraceId;
use super::otlp::{ExportTraceServiceRequest, ExportTraceServiceResponse, Resource};
use super::queue::{Span, SpanQueue};
use crate::outgoing::{self, AGENT};
use crate::telemetry::Metrics;

/// How long the collector may take, from the look-up of its address to its answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The pauses before spans are sent again that the collector could not take then.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// How long the last export may take when the process ends.
const LONGEST_END: Duration = Duration::from_secs(1);

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Sends spans.
pub struct SpanExporter {
    queue: Arc<SpanQueue>,
    /// Where the collector takes traces.
    url: Url,
    /// For a collector with TLS.
    tls: Option<Arc<ClientConfig>>,
    resource: Resource,
    metrics: Arc<Metrics>,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExporter {
    /// The collector's certificate cannot be verified.
    #[error("the CA certificates of the system cannot be read: {0}")]
    Roots(#[from] InvalidTls),
}

/// Why an export has failed, and whether another attempt may succeed.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Passing(String),
    Lasting(String),
}

impl SpanExporter {
    /// Sends the spans of this queue to the collector at this URL, under which it takes traces at
    /// `/v1/traces`. `instance` names this process.
    ///
    /// # Errors
    /// [`InvalidExporter`].
    pub fn new(
        queue: Arc<SpanQueue>,
        endpoint: &Url,
        instance: [u8; 16],
        metrics: Arc<Metrics>,
    ) -> Result<Self, InvalidExporter> {
        let mut url = endpoint.clone();
        url.set_path(&format!(
            "{}/v1/traces",
            endpoint.path().trim_end_matches('/')
        ));
        let tls = match url.scheme() {
            "https" => Some(Arc::new(Tls::default().config()?)),
            _ => None,
        };
        let (instance, host) = (TraceId(instance), rustix::system::uname());
        let resource = Resource::with([
            ("service.name", env!("CARGO_PKG_NAME").to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", instance.to_string()),
            ("host.name", host.nodename().to_string_lossy().into_owned()),
        ]);
        Ok(Self {
            queue,
            url,
            tls,
            resource,
            metrics,
        })
    }

    /// Exports until the queue is closed and empty.
    pub async fn run(self: Arc<Self>) {
        let mut is_failing = false;
        while let Some(spans) = self.queue.take().await {
            let count = spans.len();
            match self.export(spans).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.queue.count_dropped(rejected);
                    let exported = u64::try_from(count - rejected).unwrap_or(u64::MAX);
                    self.metrics.spans().exported().inc_by(exported);
                    if is_failing {
                        tracing::info!("spans are exported again");
                    }
                    is_failing = false;
                }
                Err(error) => {
                    self.queue.count_dropped(count);
                    // The metric has the rest of a row.
                    if !is_failing {
                        tracing::warn!(error, "spans are not exported");
                    }
                    is_failing = true;
                }
            }
        }
    }

    /// Exports what waits, for a second at most. `task` is the one that runs this exporter.
    pub async fn end(&self, mut task: JoinHandle<()>) {
        self.queue.close();
        if tokio::time::timeout(LONGEST_END, &mut task).await.is_err() {
            task.abort();
        }
    }

    /// Sends spans, again if the collector could not take them at first. Answers how many it rejected.
    async fn export(&self, spans: Vec<Span>) -> Result<usize, String> {
        let message = ExportTraceServiceRequest::of(self.resource.clone(), spans);
        let message = Bytes::from(message.encode_to_vec());
        let mut pauses = PAUSES.into_iter();
        loop {
            let sent = tokio::time::timeout(ANSWERS_WITHIN, self.send(message.clone())).await;
            let failure = match sent {
                Ok(Ok(rejected)) => return Ok(rejected),
                Ok(Err(failure)) => failure,
                Err(_) => {
                    let seconds = ANSWERS_WITHIN.as_secs();
                    Failure::Passing(format!("no answer within {seconds} s"))
                }
            };
            match (failure, pauses.next()) {
                (Failure::Passing(_), Some(pause)) if !self.queue.is_closed() => {
                    tokio::time::sleep(pause).await;
                }
                (Failure::Passing(error) | Failure::Lasting(error), _) => return Err(error),
            }
        }
    }

    async fn send(&self, message: Bytes) -> Result<usize, Failure> {
        let unreachable =
            |error: std::io::Error| Failure::Passing(format!("cannot connect: {}", error.kind()));
        let lasting = |what: &str| Failure::Lasting(what.to_owned());
        let host = self
            .url
            .host()
            .ok_or_else(|| lasting("the url has no host"))?;
        let port = self.url.port_or_known_default().unwrap_or(443);
        let stream = match &host {
            Host::Domain(name) => TcpStream::connect((*name, port)).await,
            Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
            Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
        };
        let stream = stream.map_err(unreachable)?;
        let stream = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let secured = outgoing::secure(stream, &host, Arc::clone(tls)).await;
                secured.map_err(|error| lasting(&format!("TLS failed: {error}")))?
            }
        };
        let request = self.request(message);
        let request = request.ok_or_else(|| lasting("the url cannot be sent"))?;
        let response = outgoing::exchange(stream, request).await;
        let response = response.map_err(|error| Failure::Passing(error.to_string()))?;
        let status = response.status();
        if status.is_success() {
            let body = Limited::new(response.into_body(), LONGEST_ANSWER);
            let body = body.collect().await.map(|body| body.to_bytes());
            return Ok(rejected(&body.unwrap_or_default()));
        }
        let error = format!("status {}", status.as_u16());
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failure::Passing(error),
            _ => Failure::Lasting(error),
        })
    }

    fn request(&self, message: Bytes) -> Option<Request<Full<Bytes>>> {
        Request::builder()
            .method(Method::POST)
            .uri(outgoing::target(&self.url))
            .header(HOST, outgoing::authority(&self.url)?)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, AGENT)
            .body(Full::new(message))
            .ok()
    }
}

/// How many spans a collector has rejected. An answer that cannot be read says of none.
fn rejected(answer: &[u8]) -> usize {
    let answer = ExportTraceServiceResponse::decode(answer).ok();
    let partial = answer.and_then(|answer| answer.partial_success);
    let rejected = partial.map_or(0, |partial| partial.rejected_spans);
    usize::try_from(rejected).unwrap_or_default()
}
