//! Which trace a request continues (W3C Trace Context, Level 1).

use std::fmt;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The header that names the trace of a request, and the span that it is part of.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header with what the tracing systems of callers add.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `tracestate` that is kept, in bytes; a longer one is dropped. The specification asks for
/// 512 at least (§3.3.1.5).
const LONGEST_STATE: usize = 512;

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The flag of a trace that the caller records (§3.2.2.5.1).
const SAMPLED: u8 = 1;

/// Names a trace. Never all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId(pub(super) [u8; 16]);

/// Names a span of a trace. Never all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanId(pub(super) [u8; 8]);

/// What a caller says of the trace that its request is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraceContext {
    /// The trace.
    pub(super) trace_id: TraceId,
    /// The caller's span.
    pub(super) span_id: SpanId,
    /// Whether the caller says that it records the trace.
    pub(super) is_sampled: bool,
    /// What the tracing systems of callers add.
    pub(super) state: Option<Arc<str>>,
}

impl TraceContext {
    /// Reads the headers of a request. `None` without a `traceparent`, with one that is invalid, and with
    /// several: then the request begins a trace (§4.2).
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        let context = Self::parse(value.as_bytes())?;
        let state = state(headers);
        Some(Self { state, ..context })
    }

    /// Reads a `traceparent`. A version that is not known yet may have more after another dash (§4.3).
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let [version] = octets(known.get(..2)?)?;
        let may_follow = version != 0 && rest.first() == Some(&b'-');
        if version == u8::MAX || !(rest.is_empty() || may_follow) {
            return None;
        }
        if [2, 35, 52].iter().any(|at| known.get(*at) != Some(&b'-')) {
            return None;
        }
        let trace_id: [u8; 16] = octets(known.get(3..35)?)?;
        let span_id: [u8; 8] = octets(known.get(36..52)?)?;
        let [flags] = octets(known.get(53..55)?)?;
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(Self {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            is_sampled: flags & SAMPLED == SAMPLED,
            state: None,
        })
    }

    /// The `traceparent` of a request that continues the trace, from a span that is recorded.
    pub(super) fn traceparent(trace_id: TraceId, span_id: SpanId) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("00-{trace_id}-{span_id}-{SAMPLED:02x}")).ok()
    }
}

/// The lines of `tracestate` as one list, if it is of a legal length and has legal characters.
fn state(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut state = String::new();
    for line in headers.get_all(TRACESTATE) {
        let line = line.to_str().ok()?.trim();
        if state.len() + line.len() >= LONGEST_STATE {
            return None;
        }
        if !state.is_empty() && !line.is_empty() {
            state.push(',');
        }
        state.push_str(line);
    }
    (!state.is_empty()).then(|| state.into())
}

/// Reads octets in lower-case hexadecimal digits.
fn octets<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.as_chunks().0) {
        let [high, low] = *pair;
        *octet = (digit(high)? << 4) | digit(low)?;
    }
    Some(octets)
}

fn write_octets(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_octets(f, &self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_octets(f, &self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn read(traceparent: &str) -> Option<TraceContext> {
        TraceContext::of(&headers(&[("traceparent", traceparent)]))
    }

    #[test]
    fn a_traceparent_is_read_and_written_as_the_specification_has_it() {
        let context = read(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(context.trace_id.to_string(), TRACE);
        assert_eq!(context.span_id.to_string(), SPAN);
        assert!(context.is_sampled);
        let written = TraceContext::traceparent(context.trace_id, context.span_id);
        assert_eq!(written.unwrap(), format!("00-{TRACE}-{SPAN}-01"));
        let is_sampled = |flags| {
            read(&format!("00-{TRACE}-{SPAN}-{flags}"))
                .unwrap()
                .is_sampled
        };
        assert!(!is_sampled("00"));
        assert!(!is_sampled("fe"));
        assert!(is_sampled("ff"));
        // A later version may have more.
        assert!(read(&format!("cc-{TRACE}-{SPAN}-01-what-comes")).is_some());
        assert!(read(&format!("cc-{TRACE}-{SPAN}-01")).is_some());
    }

    #[test]
    fn an_invalid_traceparent_is_none() {
        let zeros = |digits| "0".repeat(digits);
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("cc-{TRACE}-{SPAN}-01.more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", zeros(32)),
            format!("00-{TRACE}-{}-01", zeros(16)),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-x1"),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
        let valid = format!("00-{TRACE}-{SPAN}-01");
        let twice = [("traceparent", &*valid), ("traceparent", &*valid)];
        assert_eq!(TraceContext::of(&headers(&twice)), None);
    }

    #[test]
    fn a_tracestate_is_kept_up_to_its_longest_length() {
        let traceparent = format!("00-{TRACE}-{SPAN}-01");
        let state = |lines: &[&str]| {
            let mut all = vec![("traceparent", &*traceparent)];
            all.extend(lines.iter().map(|line| ("tracestate", *line)));
            TraceContext::of(&headers(&all)).unwrap().state
        };
        assert_eq!(state(&[]), None);
        assert_eq!(state(&["a=1,b=2"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(state(&["a=1", "", "b=2"]).as_deref(), Some("a=1,b=2"));
        let long = format!("a={}", "x".repeat(509));
        assert_eq!(state(&[&long]).as_deref(), Some(&*long));
        assert_eq!(state(&[&format!("{long}x")]), None);
        assert_eq!(state(&[&long, "b=2"]), None);
    }
}
