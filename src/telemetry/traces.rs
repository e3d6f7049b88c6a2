//! Traces: spans of requests and of their steps, after OpenTelemetry, with W3C Trace Context.
//!
//! Whether a request is traced is decided once, when it comes. What is traced carries its trace along in
//! its task, where steps find it. A step of what is not traced looks there and does nothing.
//!
//! No attribute has a text that a caller chose: no token, claim, credential, subject, `jti`, path or
//! request id. The names of issuers are the operator's.

mod context;
#[cfg(feature = "otlp")]
mod exporter;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg_attr(
    not(feature = "otlp"),
    allow(dead_code, reason = "only an exporter takes spans")
)]
mod queue;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::clock::{Stopwatch, time_of_day};
use context::{SpanId, TraceContext, TraceId};
use queue::{AttributeValue, Parent, Span};

pub use context::TRACEPARENT;
#[cfg(feature = "otlp")]
pub use exporter::{InvalidExporter, SpanExporter};
pub use queue::{SpanKind, SpanQueue};

/// The most spans of one trace in this process. Further ones are dropped, and counted.
const MOST_SPANS: usize = 128;

tokio::task_local! {
    /// What is traced in this task.
    static CURRENT: Arc<LiveTrace>;
}

/// What becomes of spans.
#[derive(Default)]
pub struct SpanMetrics {
    exported: Counter,
    dropped: Counter,
}

impl SpanMetrics {
    /// How many spans the collector has taken.
    pub const fn exported(&self) -> &Counter {
        &self.exported
    }

    /// How many spans were not exported.
    pub const fn dropped(&self) -> &Counter {
        &self.dropped
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "spans_exported",
            "Spans that the collector has taken",
            Counter::clone(&self.exported),
        );
        registry.register(
            "spans_dropped",
            "Spans that were not exported",
            Counter::clone(&self.dropped),
        );
    }
}

/// Whether a caller decides that its request is traced, by the flag of its `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampledFlag {
    /// It does: the callers are the operator's.
    Honoured,
    /// It does not: anyone could have everything traced.
    Ignored,
}

/// Where random identifiers come from.
pub type Identifiers = fn() -> [u8; 16];

/// Begins traces, or none.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Sampler>>);

struct Sampler {
    queue: Arc<SpanQueue>,
    /// Of 2^128 requests, so many are traced.
    threshold: u128,
    identifiers: Identifiers,
}

impl Tracer {
    /// A tracer that puts spans into this queue. `share` is the part that is traced of what comes
    /// without a decision of its caller's, from 0 to 1.
    pub fn new(queue: Arc<SpanQueue>, share: f64, identifiers: Identifiers) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and a share is not negative"
        )]
        let threshold = (share * 2_f64.powi(128)) as u128;
        Self(Some(Arc::new(Sampler {
            queue,
            threshold,
            identifiers,
        })))
    }

    /// Begins the span of a request, if it is traced.
    pub fn begin_request(&self, headers: &HeaderMap, flag: SampledFlag) -> Option<RootSpan> {
        let sampler = self.0.as_ref()?;
        let context = TraceContext::of(headers);
        let is_sampled = match (&context, flag) {
            (Some(context), SampledFlag::Honoured) => context.is_sampled,
            // Not by the trace's id, which the caller chose.
            _ => sampler.draws(),
        };
        is_sampled.then(|| RootSpan::begin(sampler, SpanKind::Server, "HTTP", context))
    }

    /// Begins a trace of what the service does by itself, if it is traced.
    pub fn begin(&self, name: &'static str, kind: SpanKind) -> Option<RootSpan> {
        let sampler = self.0.as_ref()?;
        let is_sampled = sampler.draws();
        is_sampled.then(|| RootSpan::begin(sampler, kind, name, None))
    }
}

impl Sampler {
    fn draws(&self) -> bool {
        u128::from_be_bytes((self.identifiers)()) < self.threshold
    }
}

/// A trace in this process, until the last of its spans has ended.
struct LiveTrace {
    queue: Arc<SpanQueue>,
    identifiers: Identifiers,
    trace_id: TraceId,
    root: SpanId,
    state: Option<Arc<str>>,
    /// When it began, since 1970. Everything after is measured from there.
    began: Duration,
    stopwatch: Stopwatch,
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    /// Those that were not handed over yet.
    spans: Vec<Span>,
    /// How many there were.
    count: usize,
    issuer: Option<String>,
}

impl LiveTrace {
    fn now(&self) -> Duration {
        self.began + self.stopwatch.elapsed()
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, span: Span) {
        let mut recorded = self.recorded();
        recorded.count += 1;
        if recorded.count < MOST_SPANS || span.span_id == self.root {
            recorded.spans.push(span);
        } else {
            drop(recorded);
            self.queue.count_dropped(1);
        }
    }

    /// Hands over what has ended so far.
    fn flush(&self) {
        let spans = std::mem::take(&mut self.recorded().spans);
        if !spans.is_empty() {
            self.queue.put(spans);
        }
    }
}

impl Drop for LiveTrace {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The first span of a trace in this process. It ends when it is dropped.
pub struct RootSpan {
    trace: Arc<LiveTrace>,
    parent: Option<SpanId>,
    kind: SpanKind,
    name: Cow<'static, str>,
    attributes: Vec<(&'static str, AttributeValue)>,
    /// What it came to; it was broken off until that is known.
    outcome: Outcome,
}

enum Outcome {
    BrokenOff,
    Succeeded,
    Failed,
}

impl RootSpan {
    fn begin(
        sampler: &Sampler,
        kind: SpanKind,
        name: &'static str,
        context: Option<TraceContext>,
    ) -> Self {
        let (continued, parent, state) = match context {
            Some(context) => (Some(context.trace_id), Some(context.span_id), context.state),
            None => (None, None, None),
        };
        let identifiers = sampler.identifiers;
        let trace = LiveTrace {
            queue: Arc::clone(&sampler.queue),
            identifiers,
            trace_id: continued.unwrap_or_else(|| TraceId(identifiers())),
            root: span_id(identifiers),
            state,
            began: time_of_day(),
            stopwatch: Stopwatch::start(),
            recorded: Mutex::default(),
        };
        Self {
            trace: Arc::new(trace),
            parent,
            kind,
            name: name.into(),
            attributes: Vec::new(),
            outcome: Outcome::BrokenOff,
        }
    }

    /// Does something as part of the trace.
    pub async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(Arc::clone(&self.trace), work).await
    }

    /// The `traceparent` of requests that are part of this span.
    pub fn traceparent(&self) -> Option<HeaderValue> {
        TraceContext::traceparent(self.trace.trace_id, self.trace.root)
    }

    /// Adds an attribute.
    pub fn add(&mut self, name: &'static str, value: &'static str) {
        self.attributes.push((name, value.into()));
    }

    /// Ends the span of a request: it was answered by this route, if by any, and with this status
    /// (OpenTelemetry's conventions for HTTP spans).
    pub fn end_answered(mut self, method: &'static str, route: Option<&'static str>, status: u16) {
        let method = if method == "other" { "_OTHER" } else { method };
        let shown = if method == "_OTHER" { "HTTP" } else { method };
        self.name = match route {
            Some(route) => format!("{shown} {route}").into(),
            None => shown.into(),
        };
        self.add("http.request.method", method);
        if let Some(route) = route {
            self.add("http.route", route);
        }
        let status_code = ("http.response.status_code", status.into());
        self.attributes.push(status_code);
        self.outcome = Outcome::Succeeded;
        if status >= 500 {
            let error = ("error.type", status.to_string().into());
            self.attributes.push(error);
            self.outcome = Outcome::Failed;
        }
    }

    /// Ends the span: what it measured has succeeded, or failed in this way.
    pub fn end(mut self, outcome: Result<(), &'static str>) {
        self.outcome = Outcome::Succeeded;
        if let Err(error) = outcome {
            self.add("error.type", error);
            self.outcome = Outcome::Failed;
        }
    }
}

impl Drop for RootSpan {
    fn drop(&mut self) {
        let trace = &self.trace;
        let mut attributes = std::mem::take(&mut self.attributes);
        let issuer = trace.recorded().issuer.take();
        attributes.extend(issuer.map(|issuer| ("keywright.issuer", issuer.into())));
        if matches!(self.outcome, Outcome::BrokenOff) {
            attributes.push(("error.type", "broken-off".into()));
        }
        trace.record(Span {
            trace_id: trace.trace_id,
            span_id: trace.root,
            parent: self.parent.map(Parent::Remote),
            state: trace.state.clone(),
            name: std::mem::take(&mut self.name),
            kind: self.kind,
            began: trace.began,
            ended: trace.now(),
            attributes,
            is_failed: !matches!(self.outcome, Outcome::Succeeded),
        });
        // What others still do for the trace comes after.
        trace.flush();
    }
}

/// A step of what is traced. It ends when it is dropped.
pub struct ChildSpan {
    trace: Arc<LiveTrace>,
    name: &'static str,
    began: Duration,
}

/// Begins a step of what this task does, if that is traced.
pub fn child_span(name: &'static str) -> Option<ChildSpan> {
    CURRENT
        .try_with(|trace| ChildSpan::begin(Arc::clone(trace), name))
        .ok()
}

impl ChildSpan {
    fn begin(trace: Arc<LiveTrace>, name: &'static str) -> Self {
        Self {
            began: trace.now(),
            name,
            trace,
        }
    }

    /// Ends this step, and begins the next one, on another thread as well.
    pub fn followed_by(self, name: &'static str) -> Self {
        Self::begin(Arc::clone(&self.trace), name)
    }
}

impl Drop for ChildSpan {
    fn drop(&mut self) {
        let trace = &self.trace;
        trace.record(Span {
            trace_id: trace.trace_id,
            span_id: span_id(trace.identifiers),
            parent: Some(Parent::Local(trace.root)),
            state: trace.state.clone(),
            name: self.name.into(),
            kind: SpanKind::Internal,
            began: self.began,
            ended: trace.now(),
            attributes: Vec::new(),
            is_failed: false,
        });
    }
}

/// Notes which issuer this task's trace is about, if it has one.
pub fn note_issuer(name: &str) {
    let _ = CURRENT.try_with(|trace| trace.recorded().issuer = Some(name.to_owned()));
}

/// Whether this task does something that is traced.
pub fn is_traced() -> bool {
    CURRENT.try_with(|_| ()).is_ok()
}

/// The trace of this task and its first span in this process, as log lines have them.
pub fn current_ids() -> Option<(String, String)> {
    let ids = |trace: &Arc<LiveTrace>| (trace.trace_id.to_string(), trace.root.to_string());
    CURRENT.try_with(ids).ok()
}

/// Takes this task's trace along to another task, if it has one.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let current = CURRENT.try_with(Arc::clone).ok();
    async move {
        match current {
            Some(trace) => CURRENT.scope(trace, work).await,
            None => work.await,
        }
    }
}

fn span_id(identifiers: Identifiers) -> SpanId {
    let random = identifiers();
    SpanId(random.first_chunk().copied().unwrap_or([1; 8]))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn traced(share: f64, identifiers: Identifiers) -> (Tracer, Arc<SpanQueue>, Counter) {
        let dropped = Counter::default();
        let queue = Arc::new(SpanQueue::new(dropped.clone()));
        let tracer = Tracer::new(Arc::clone(&queue), share, identifiers);
        (tracer, queue, dropped)
    }

    async fn names(queue: &SpanQueue) -> Vec<String> {
        let spans = queue.take().await.unwrap_or_default();
        spans.into_iter().map(|span| span.name.into()).collect()
    }

    const LOW: Identifiers = || [1; 16];
    const HIGH: Identifiers = || [0x80; 16];

    #[test]
    fn a_share_is_drawn_and_nothing_is_without_a_queue() {
        let is_traced = |share, identifiers| {
            let (tracer, ..) = traced(share, identifiers);
            tracer.begin("test", SpanKind::Internal).is_some()
        };
        assert!(is_traced(1.0, || [0xfe; 16]) && is_traced(0.51, HIGH) && is_traced(0.01, LOW));
        assert!(!is_traced(0.5, HIGH) && !is_traced(0.001, LOW) && !is_traced(0.0, || [0; 16]));
        assert!(
            Tracer::default()
                .begin("test", SpanKind::Internal)
                .is_none()
        );
        assert!(child_span("step").is_none());
    }

    #[tokio::test]
    async fn steps_are_of_the_trace_that_their_task_was_given_also_after_its_end() {
        let (tracer, queue, _) = traced(1.0, LOW);
        let root = tracer.begin("root", SpanKind::Internal).unwrap();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let mut task = None;
        let work = async {
            drop(child_span("step").map(|step| step.followed_by("next")));
            let elsewhere = tokio::spawn(async { child_span("lost").is_none() });
            assert!(elsewhere.await.unwrap());
            task = Some(tokio::spawn(carried(async {
                let _step = child_span("late");
                let _ = gone.await;
            })));
        };
        root.around(work).await;
        root.end(Ok(()));
        assert_eq!(names(&queue).await, ["step", "next", "root"]);
        go.send(()).unwrap();
        task.unwrap().await.unwrap();
        assert_eq!(names(&queue).await, ["late"]);
    }

    #[tokio::test]
    async fn a_trace_keeps_so_many_spans_and_its_first() {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let next = || [NEXT.fetch_add(1, Ordering::Relaxed); 16];
        let (tracer, queue, dropped) = traced(1.0, next);
        let root = tracer.begin("root", SpanKind::Internal).unwrap();
        let steps = async {
            for _ in 0..MOST_SPANS + 2 {
                drop(child_span("step"));
            }
        };
        root.around(steps).await;
        drop(root);
        let names = names(&queue).await;
        assert_eq!(names.len(), MOST_SPANS);
        assert_eq!(names.last().map(String::as_str), Some("root"));
        assert_eq!(dropped.get(), 3);
    }
}
