//! The messages of OTLP that spans are exported in (opentelemetry-proto 1.x: `trace/v1/trace.proto`,
//! `common/v1/common.proto`, `resource/v1/resource.proto`, `collector/trace/v1/trace_service.proto`).
//! Of each, the fields that are used.

use std::time::Duration;

use prost::{Enumeration, Message, Oneof};

use super::queue::{self, AttributeValue, Parent};

/// The flags of a span whose trace is recorded, whose parent's origin is known, and whose parent is
/// the caller's.
const SAMPLED: u32 = 0x1;
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// What is sent to a collector.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<ExportTracePartialSuccess>,
}

/// Which spans it did not take.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTracePartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// The process that spans are of.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct InstrumentationScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(enumeration = "SpanKind", tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum SpanKind {
    Unspecified = 0,
    Internal = 1,
    Server = 2,
    Client = 3,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(enumeration = "StatusCode", tag = "3")]
    code: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum StatusCode {
    Unset = 0,
    Error = 2,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(int64, tag = "3")]
    Int(i64),
}

impl ExportTraceServiceRequest {
    /// Spans of one process.
    pub(super) fn of(resource: Resource, spans: Vec<queue::Span>) -> Self {
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Self {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans: spans.into_iter().map(Span::from).collect(),
                }],
            }],
        }
    }
}

impl Resource {
    /// A process with these attributes.
    pub(super) fn with<const N: usize>(attributes: [(&'static str, String); N]) -> Self {
        let attribute = |(name, value): (&'static str, String)| KeyValue::of(name, value.into());
        Self {
            attributes: attributes.into_iter().map(attribute).collect(),
        }
    }
}

impl From<queue::Span> for Span {
    fn from(span: queue::Span) -> Self {
        let (parent, origin) = match span.parent {
            None => (Vec::new(), HAS_IS_REMOTE),
            Some(Parent::Local(id)) => (id.0.to_vec(), HAS_IS_REMOTE),
            Some(Parent::Remote(id)) => (id.0.to_vec(), HAS_IS_REMOTE | IS_REMOTE),
        };
        let kind = match span.kind {
            queue::SpanKind::Internal => SpanKind::Internal,
            queue::SpanKind::Server => SpanKind::Server,
            queue::SpanKind::Client => SpanKind::Client,
        };
        let code = match span.is_failed {
            true => StatusCode::Error,
            false => StatusCode::Unset,
        };
        let attributes = span.attributes.into_iter();
        Self {
            trace_id: span.trace_id.0.to_vec(),
            span_id: span.span_id.0.to_vec(),
            trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
            parent_span_id: parent,
            name: span.name.into_owned(),
            kind: kind.into(),
            start_time_unix_nano: nanoseconds(span.began),
            end_time_unix_nano: nanoseconds(span.ended),
            attributes: attributes
                .map(|(name, value)| KeyValue::of(name, value))
                .collect(),
            status: Some(Status { code: code.into() }),
            flags: SAMPLED | origin,
        }
    }
}

impl KeyValue {
    fn of(name: &'static str, value: AttributeValue) -> Self {
        let value = match value {
            AttributeValue::Text(text) => Value::String(text.into_owned()),
            AttributeValue::Number(number) => Value::Int(number),
        };
        Self {
            key: name.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }
}

fn nanoseconds(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
