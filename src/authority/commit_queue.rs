//! What requests have written together: what comes while one batch is being committed goes into the next
//! one, so that a store that commits slowly serves many.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is to be written, in the order in which it came.
pub(super) struct CommitQueue<T> {
    waiting: Mutex<Vec<T>>,
    /// Held while a batch is written.
    turn: tokio::sync::Mutex<()>,
}

impl<T> Default for CommitQueue<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<T> CommitQueue<T> {
    /// Adds something. [`write_next`](Self::write_next) has to be called once afterwards, in a task that no
    /// caller can drop: it may write for others. The caller must not wait for it, but for the answer to its own
    /// item: its turn may come after many others that write what has come since.
    pub(super) fn add(&self, item: T) {
        self.waiting().push(item);
    }

    /// Has the next batch written, when the one before it is. There is none if all was in earlier ones.
    /// `size` says how much an item counts; a batch has at most `most`, or one item.
    pub(super) async fn write_next<F: Future<Output = ()>>(
        &self,
        most: usize,
        size: impl Fn(&T) -> usize,
        write: impl FnOnce(Vec<T>) -> F,
    ) {
        let _turn = self.turn.lock().await;
        let batch = self.next_batch(most, size);
        if !batch.is_empty() {
            write(batch).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_batch(&self, most: usize, size: impl Fn(&T) -> usize) -> Vec<T> {
        let mut waiting = self.waiting();
        let mut total: usize = 0;
        let fits = |item: &&T| {
            let is_first = total == 0;
            total = total.saturating_add(size(item));
            is_first || total <= most
        };
        let count = waiting.iter().take_while(fits).count();
        waiting.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_is_no_larger_than_it_may_be_unless_one_item_is() {
        let queue = CommitQueue::default();
        [5, 1, 3, 9, 6].into_iter().for_each(|item| queue.add(item));
        let batches = Mutex::new(Vec::new());
        for _ in 0..5 {
            let write = async |batch: Vec<usize>| batches.lock().unwrap().push(batch);
            queue.write_next(6, |size| *size, write).await;
        }
        let batches = batches.into_inner().unwrap();
        assert_eq!(batches, [vec![5, 1], vec![3], vec![9], vec![6]]);
    }
}
