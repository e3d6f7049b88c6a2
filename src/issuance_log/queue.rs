//! Lines that wait to be written: bounded, in one piece of memory, taken out all at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue has no slot for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many lines wait to be written to the issuance log")]
pub struct QueueFull;

/// How much of the queue a line may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// All of it.
    Token,
    /// Three quarters of it.
    Refusal,
}

/// Memory that a long queue took is given back from this size on.
const KEPT_BYTES: usize = 1 << 20;

pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct State {
    lines: Batch,
    /// How many lines the writer has taken out and not written yet. They count as waiting.
    being_written: usize,
    closed: bool,
}

/// Lines, one after the other.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: usize,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
        }
    }

    pub(super) fn put(&self, line: &[u8], priority: Priority) -> Result<(), QueueFull> {
        let room = match priority {
            Priority::Token => self.capacity,
            Priority::Refusal => self.capacity - self.capacity / 4,
        };
        let mut state = self.lock();
        let waiting = state.being_written + state.lines.lines;
        if state.closed || waiting >= room {
            return Err(QueueFull);
        }
        state.lines.bytes.extend_from_slice(line);
        state.lines.lines += 1;
        let is_first = state.lines.lines == 1;
        // The writer pauses between two batches; more lines than half the queue end the pause.
        let is_half = state.lines.lines == self.capacity / 2 + 1;
        drop(state);
        if is_first || is_half {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// How many lines are not written yet.
    pub(super) fn waiting(&self) -> usize {
        let state = self.lock();
        state.being_written + state.lines.lines
    }

    /// Takes no more lines, and lets the writer end when it has written those that wait.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits until there is something, or for `longest`, gives it `pause` to become more, and
    /// exchanges it for the batch that has been written. `None` when the queue is closed and empty.
    pub(super) fn exchange(
        &self,
        mut written: Batch,
        pause: Duration,
        longest: Duration,
    ) -> Option<Batch> {
        written.bytes.clear();
        written.bytes.shrink_to(KEPT_BYTES);
        written.lines = 0;
        let mut state = self.lock();
        state.being_written = 0;
        let is_empty = |state: &mut State| state.lines.lines == 0 && !state.closed;
        (state, _) = self
            .changed
            .wait_timeout_while(state, longest, is_empty)
            .unwrap_or_else(PoisonError::into_inner);
        if is_empty(&mut state) {
            return Some(written);
        }
        let half = self.capacity / 2;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, pause, |state| {
                state.lines.lines <= half && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::replace(&mut state.lines, written);
        state.being_written = batch.lines;
        (batch.lines > 0).then_some(batch)
    }

    /// Waits before something is tried again. The end of the queue ends the first such wait.
    /// Answers whether the queue is closed.
    pub(super) fn wait(&self, pause: Duration) -> bool {
        let state = self.lock();
        let closed = state.closed;
        let (state, _) = self
            .changed
            .wait_timeout_while(state, pause, |state| state.closed == closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_the_writers_hand_takes_its_place_until_it_is_written() {
        let queue = Queue::new(4);
        for _ in 0..3 {
            queue.put(b"line\n", Priority::Refusal).unwrap();
        }
        assert_eq!(queue.put(b"line\n", Priority::Refusal), Err(QueueFull));
        queue.put(b"line\n", Priority::Token).unwrap();
        let longest = Duration::from_secs(60);
        let next = |batch| queue.exchange(batch, Duration::ZERO, longest);
        let batch = next(Batch::default()).unwrap();
        assert_eq!((batch.lines, batch.bytes.len()), (4, 20));
        assert_eq!(queue.put(b"line\n", Priority::Token), Err(QueueFull));
        queue.close();
        assert!(next(batch).is_none());
        assert_eq!(queue.put(b"line\n", Priority::Token), Err(QueueFull));
    }
}
