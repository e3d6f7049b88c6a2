//! Ended spans that wait for their export: bounded, and what finds no room is counted.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use super::context::{SpanId, TraceId};

/// The most spans that wait. Further ones are dropped.
pub(super) const MOST_WAITING: usize = 4096;

/// The most spans of one export.
pub(super) const MOST_AT_A_TIME: usize = 512;

/// How long an export waits for more spans.
const GATHERED_FOR: Duration = Duration::from_millis(500);

/// On which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Within the service.
    Internal,
    /// A request that the service answers.
    Server,
    /// A request that the service sends.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttributeValue {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for AttributeValue {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u16> for AttributeValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent: Option<Parent>,
    pub(super) state: Option<Arc<str>>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: SpanKind,
    /// Since 1970.
    pub(super) began: Duration,
    /// Since 1970.
    pub(super) ended: Duration,
    pub(super) attributes: Vec<(&'static str, AttributeValue)>,
    /// Whether what it measured has failed.
    pub(super) is_failed: bool,
}

/// The span that another one is part of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parent {
    /// One of this process.
    Local(SpanId),
    /// The caller's.
    Remote(SpanId),
}

/// Spans that wait for their export.
pub struct SpanQueue {
    state: Mutex<QueueState>,
    changed: Notify,
    dropped: Counter,
}

#[derive(Default)]
struct QueueState {
    spans: VecDeque<Span>,
    /// Whether no more spans come.
    is_closed: bool,
}

impl SpanQueue {
    /// An empty queue, which counts what it drops.
    pub fn new(dropped: Counter) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            dropped,
        }
    }

    /// Takes the spans of a trace: those that find no room are counted.
    pub(super) fn put(&self, spans: Vec<Span>) {
        let mut state = self.lock();
        let room = match state.is_closed {
            true => 0,
            false => MOST_WAITING.saturating_sub(state.spans.len()),
        };
        let count = spans.len();
        state.spans.extend(spans.into_iter().take(room));
        drop(state);
        self.count_dropped(count.saturating_sub(room));
        self.changed.notify_one();
    }

    /// Counts spans that are not exported.
    pub(super) fn count_dropped(&self, count: usize) {
        self.dropped
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Waits for spans, and takes those of one export. `None` when no more come.
    pub(super) async fn take(&self) -> Option<Vec<Span>> {
        while self.lock().spans.is_empty() {
            if self.is_closed() {
                return None;
            }
            self.changed.notified().await;
        }
        // More of them make a better export.
        let is_full = async {
            while !self.is_closed() && self.lock().spans.len() < MOST_AT_A_TIME {
                self.changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(GATHERED_FOR, is_full).await;
        let mut state = self.lock();
        let count = state.spans.len().min(MOST_AT_A_TIME);
        Some(state.spans.drain(..count).collect())
    }

    /// No more spans come: what waits is exported without delay.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Whether no more spans come.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(count: usize) -> Vec<Span> {
        let span = Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            parent: None,
            state: None,
            name: "test".into(),
            kind: SpanKind::Internal,
            began: Duration::ZERO,
            ended: Duration::ZERO,
            attributes: Vec::new(),
            is_failed: false,
        };
        vec![span; count]
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted() {
        let dropped = Counter::default();
        let queue = SpanQueue::new(dropped.clone());
        queue.put(spans(MOST_WAITING - 1));
        assert_eq!(dropped.get(), 0);
        queue.put(spans(3));
        assert_eq!(dropped.get(), 2);
        assert_eq!(queue.take().await.unwrap().len(), MOST_AT_A_TIME);
        queue.put(spans(MOST_AT_A_TIME));
        assert_eq!(dropped.get(), 2);
        queue.close();
        queue.put(spans(1));
        assert_eq!(dropped.get(), 3);
        let mut left = 0;
        while let Some(taken) = queue.take().await {
            left += taken.len();
        }
        assert_eq!(left, MOST_WAITING);
    }
}
