//! Logs, metrics and traces.

mod consumptions;
mod copies;
mod event_streams;
mod grants;
mod issuance;
mod issuers;
mod process;
mod requests;
mod service_log;
mod tasks;
pub mod traces;
mod webhooks;

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keywright_verifier::Algorithm;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::lifecycle::Timestamp;

pub use consumptions::ConsumptionMetrics;
pub use copies::CopyMetrics;
pub use event_streams::EventStreamMetrics;
pub use grants::GrantMetrics;
pub use issuance::IssuanceMetrics;
pub use issuers::IssuerMetrics;
pub use process::ProcessMetrics;
pub use requests::RequestMetrics;
pub use service_log::ServiceLog;
pub use tasks::{TaskHealth, TaskMetrics, TaskState};
pub use traces::{SpanMetrics, Tracer};
pub use webhooks::WebhookMetrics;

/// The media type of [`Metrics::render`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignatureLabels {
    issuer: String,
    algorithm: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    issuer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlgorithmLabels {
    algorithm: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

type SecondsGauge = Gauge<f64, AtomicU64>;

/// The counters of one issuer's active key.
pub struct SigningMetrics {
    signed: Counter,
    seconds: Histogram,
}

impl SigningMetrics {
    /// Counts a token, and records how long its request took.
    pub fn count_signed(&self, duration: Duration) {
        self.signed.inc();
        self.seconds.observe(duration.as_secs_f64());
    }
}

/// Of what there is one, or none as long as it was never observed.
type NoLabels = [(&'static str, &'static str); 0];

/// What is counted and measured.
pub struct Metrics {
    issuance: IssuanceMetrics,
    grants: GrantMetrics,
    consumptions: ConsumptionMetrics,
    webhooks: WebhookMetrics,
    spans: SpanMetrics,
    event_streams: EventStreamMetrics,
    copies: CopyMetrics,
    tasks: TaskMetrics,
    issuers: IssuerMetrics,
    process: ProcessMetrics,
    requests: RequestMetrics,
    registry: Mutex<Registry>,
    signatures: Family<SignatureLabels, Counter>,
    signing_seconds: Family<AlgorithmLabels, Histogram, fn() -> Histogram>,
    jwks_responses: Family<StatusLabels, Counter>,
    internal_responses: Family<StatusLabels, Counter>,
    oauth_responses: Family<StatusLabels, Counter>,
    tls_expiry: Family<ListenerLabels, SecondsGauge>,
    tls_reload_failing: Family<ListenerLabels, Gauge>,
    lease: Family<NoLabels, SecondsGauge>,
    unconfirmed_rounds: Counter,
    ready: Gauge,
    disk_reserve: Family<NoLabels, Gauge>,
    log_lines_lost: Counter,
    approvals_waiting: Family<NoLabels, Gauge>,
    feed_age: Family<NoLabels, SecondsGauge>,
}

/// From 16 µs to half a second, doubling.
fn latency_histogram() -> Histogram {
    Histogram::new((0..16).map(|power| 16e-6 * f64::from(1_u32 << power)))
}

impl Default for Metrics {
    fn default() -> Self {
        let signatures = Family::default();
        let signing_seconds: Family<AlgorithmLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(latency_histogram);
        let (jwks_responses, internal_responses) = (Family::default(), Family::default());
        let oauth_responses = Family::default();
        let (tls_expiry, tls_reload_failing) = (Family::default(), Family::default());
        let lease: Family<NoLabels, SecondsGauge> = Family::default();
        let mut registry = Registry::with_prefix("keywright");
        registry.register(
            "signatures",
            "Tokens signed or refused",
            Family::clone(&signatures),
        );
        registry.register_with_unit(
            "signing",
            "Time from a parsed request to its signed token",
            Unit::Seconds,
            Family::clone(&signing_seconds),
        );
        registry.register(
            "jwks_responses",
            "Key sets served",
            Family::clone(&jwks_responses),
        );
        registry.register(
            "internal_responses",
            "Answers of the internal listener",
            Family::clone(&internal_responses),
        );
        registry.register(
            "oauth_responses",
            "Answers of the OAuth endpoints",
            Family::clone(&oauth_responses),
        );
        registry.register_with_unit(
            "lease",
            "For how long this replica may sign without reaching the store again",
            Unit::Seconds,
            Family::clone(&lease),
        );
        let unconfirmed_rounds = Counter::default();
        registry.register(
            "unconfirmed_rounds",
            "Rounds of replication that did not renew the lease",
            Counter::clone(&unconfirmed_rounds),
        );
        let ready = Gauge::default();
        let disk_reserve = Family::default();
        let log_lines_lost = Counter::default();
        registry.register(
            "store_disk_reserve",
            "1 while disk space is kept for changes that must not fail, 0 while it is given up",
            Family::clone(&disk_reserve),
        );
        registry.register(
            "ready",
            "1 while this process can serve, which is what /readyz says",
            Gauge::clone(&ready),
        );
        let approvals_waiting = Family::default();
        registry.register(
            "approvals_waiting",
            "Operations that wait for a second person, as the store had them within the last minute",
            Family::clone(&approvals_waiting),
        );
        let feed_age = Family::default();
        registry.register_with_unit(
            "feed_age",
            "Age of the knowledge that this process's feeds vouch for",
            Unit::Seconds,
            Family::clone(&feed_age),
        );
        let issuers = IssuerMetrics::default();
        issuers.register(&mut registry);
        let requests = RequestMetrics::default();
        requests.register(&mut registry);
        let issuance = IssuanceMetrics::default();
        issuance.register(&mut registry);
        let grants = GrantMetrics::default();
        grants.register(&mut registry);
        let consumptions = ConsumptionMetrics::default();
        consumptions.register(&mut registry);
        let webhooks = WebhookMetrics::default();
        webhooks.register(&mut registry);
        let spans = SpanMetrics::default();
        spans.register(&mut registry);
        let event_streams = EventStreamMetrics::default();
        event_streams.register(&mut registry);
        let copies = CopyMetrics::default();
        copies.register(&mut registry);
        let metrics = Self {
            issuance,
            grants,
            consumptions,
            webhooks,
            spans,
            event_streams,
            copies,
            tasks: TaskMetrics::default(),
            issuers,
            process: ProcessMetrics::default(),
            requests,
            registry: Mutex::default(),
            signatures,
            signing_seconds,
            jwks_responses,
            internal_responses,
            oauth_responses,
            tls_expiry,
            tls_reload_failing,
            lease,
            unconfirmed_rounds,
            ready,
            disk_reserve,
            log_lines_lost,
            approvals_waiting,
            feed_age,
        };
        metrics.register_for_every_process(&mut registry);
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }
}

impl Metrics {
    /// The counters of one issuer's active key, for a caller that counts thousands a second.
    pub fn signing(&self, issuer: &str, algorithm: Algorithm) -> SigningMetrics {
        let signed = SignatureLabels {
            issuer: issuer.to_owned(),
            algorithm: algorithm.as_str(),
            outcome: "signed",
        };
        let seconds = AlgorithmLabels {
            algorithm: algorithm.as_str(),
        };
        SigningMetrics {
            signed: self.signatures.get_or_create(&signed).clone(),
            seconds: self.signing_seconds.get_or_create(&seconds).clone(),
        }
    }

    /// Counts a request for a signature that was refused, under the code of the refusal.
    pub fn count_refusal(&self, issuer: &str, algorithm: Algorithm, outcome: &'static str) {
        let labels = SignatureLabels {
            issuer: issuer.to_owned(),
            algorithm: algorithm.as_str(),
            outcome,
        };
        self.signatures.get_or_create(&labels).inc();
    }

    /// Shows whether this process can serve.
    pub fn observe_readiness(&self, is_ready: bool) {
        self.ready.set(is_ready.into());
    }

    /// How many lines of the service's log could not be written.
    pub fn log_lines_lost(&self) -> &Counter {
        &self.log_lines_lost
    }

    /// Shows whether disk space is kept for changes that must not fail.
    pub fn observe_disk_reserve(&self, is_held: bool) {
        let reserve = self.disk_reserve.get_or_create(&[]);
        reserve.set(is_held.into());
    }

    /// Shows how many operations wait for a second person.
    pub fn observe_approvals(&self, waiting: usize) {
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.approvals_waiting.get_or_create(&[]).set(waiting);
    }

    /// Shows how old the knowledge is that the feeds vouch for; `None` while they vouch for nothing.
    pub fn observe_feed_age(&self, age: Option<Duration>) {
        self.feed_age.clear();
        if let Some(age) = age {
            self.feed_age.get_or_create(&[]).set(age.as_secs_f64());
        }
    }

    /// What is measured of each issuer.
    pub fn issuers(&self) -> &IssuerMetrics {
        &self.issuers
    }

    /// How long requests take.
    pub fn requests(&self) -> &RequestMetrics {
        &self.requests
    }

    /// What the process takes of its machine.
    pub fn process(&self) -> ProcessMetrics {
        self.process
    }

    /// How the tasks of the background are doing.
    pub fn tasks(&self) -> &TaskMetrics {
        &self.tasks
    }

    /// Shows for how long a lease holds.
    pub fn observe_lease(&self, left: Duration) {
        self.lease.get_or_create(&[]).set(left.as_secs_f64());
    }

    /// Counts a round that did not renew the lease.
    pub fn report_unconfirmed_round(&self) {
        self.unconfirmed_rounds.inc();
    }

    /// The counters of the issuance log.
    pub fn issuance(&self) -> &IssuanceMetrics {
        &self.issuance
    }

    /// How many grants there are, and what becomes of them.
    pub fn grants(&self) -> &GrantMetrics {
        &self.grants
    }

    /// What becomes of messages to webhooks.
    pub const fn webhooks(&self) -> &WebhookMetrics {
        &self.webhooks
    }

    /// What becomes of spans.
    pub const fn spans(&self) -> &SpanMetrics {
        &self.spans
    }

    /// What becomes of security event tokens that are pushed.
    pub const fn event_streams(&self) -> &EventStreamMetrics {
        &self.event_streams
    }

    /// Pushes of key sets to copies.
    pub const fn copies(&self) -> &CopyMetrics {
        &self.copies
    }

    /// What becomes of requests to use up tokens that count once.
    pub const fn consumptions(&self) -> &ConsumptionMetrics {
        &self.consumptions
    }

    /// Counts a response on a key set's URL.
    pub fn count_jwks_response(&self, status: u16) {
        self.jwks_responses
            .get_or_create(&StatusLabels { status })
            .inc();
    }

    /// Shows how long a listener's certificate is good for.
    pub fn observe_tls_certificate(
        &self,
        listener: &'static str,
        expires_at: Timestamp,
        now: Timestamp,
    ) {
        let ahead = expires_at.since(now).as_secs_f64();
        let ago = now.since(expires_at).as_secs_f64();
        self.tls_expiry
            .get_or_create(&ListenerLabels { listener })
            .set(ahead - ago);
    }

    /// Shows that a listener uses its certificate files as they are.
    pub fn report_tls_success(&self, listener: &'static str) {
        self.tls_reload_failing
            .get_or_create(&ListenerLabels { listener })
            .set(0);
    }

    /// Shows that a listener's certificate files cannot be used as they are.
    pub fn report_tls_failure(&self, listener: &'static str) {
        self.tls_reload_failing
            .get_or_create(&ListenerLabels { listener })
            .set(1);
    }

    /// Counts an answer of the internal listener: 401 and 429 tell of guessing and of floods.
    pub fn count_internal_response(&self, status: u16) {
        self.internal_responses
            .get_or_create(&StatusLabels { status })
            .inc();
    }

    /// Counts an answer of the OAuth endpoints.
    pub fn count_oauth_response(&self, status: u16) {
        self.oauth_responses
            .get_or_create(&StatusLabels { status })
            .inc();
    }

    /// Registers what every process of ours has, also one that serves no keys: its version, tasks,
    /// certificates and the log.
    pub fn register_for_every_process(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "tls_certificate_expiry",
            "Time until the listener's certificate expires; negative when it has",
            Unit::Seconds,
            Family::clone(&self.tls_expiry),
        );
        registry.register(
            "tls_reload_failing",
            "1 while the listener's certificate files cannot be used as they are",
            Family::clone(&self.tls_reload_failing),
        );
        registry.register(
            "log_lines_lost",
            "Lines of the service's log that could not be written",
            Counter::clone(&self.log_lines_lost),
        );
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        self.tasks.register(registry);
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        openmetrics(&registry, self.process)
    }
}

/// What is registered, and what the process takes, in the OpenMetrics text format.
pub fn openmetrics(registry: &Registry, process: ProcessMetrics) -> String {
    let mut of_process = Registry::default();
    of_process.register_collector(Box::new(process));
    let mut text = String::new();
    let written = encode_registry(&mut text, registry)
        .and_then(|()| encode_registry(&mut text, &of_process))
        .and_then(|()| encode_eof(&mut text));
    if written.is_err() {
        // Writing to a string fails only when a label cannot be encoded.
        let _ = writeln!(text, "# encoding failed");
    }
    text
}
