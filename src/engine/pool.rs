//! The threads that sign what takes long.
//!
//! An RSA signature keeps a core busy for most of a millisecond. On the threads that answer
//! requests it would hold up everything else, so it happens on threads of its own, behind a queue
//! whose length is bounded in signatures: when it is full the caller learns so at once.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::SignError;
use crate::telemetry::traces::child_span;

/// Threads that sign, and the queue before them.
pub(super) struct SigningPool {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    threads: usize,
}

type Job = Box<dyn FnOnce() + Send>;

/// How many signatures may wait: about a second and a half of RSA 2048 for one core.
const QUEUE_LENGTH: usize = 2048;

/// How many jobs of one request stand in the queue for each thread: one that runs, and one that
/// keeps the thread busy until the request has been told and sends the next.
const JOBS_AHEAD: usize = 2;

impl SigningPool {
    /// Starts one thread for each core that this process may use.
    pub(super) fn start() -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let threads = thread::available_parallelism().map_or(1, usize::from);
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("sign-{number}"))
                .spawn(move || {
                    loop {
                        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        match job {
                            // A panic in one signature must not end a thread that all share; its
                            // caller learns of it by the answer that never comes.
                            Ok(job) => drop(panic::catch_unwind(AssertUnwindSafe(job))),
                            Err(mpsc::RecvError) => break,
                        }
                    }
                })?;
        }
        Ok(Self {
            jobs,
            room: Arc::new(Semaphore::new(QUEUE_LENGTH)),
            threads,
        })
    }

    /// Reserves room for `signatures` in the queue, or says at once that there is none.
    pub(super) fn reserve(&self, signatures: usize) -> Result<QueuePermit, SignError> {
        let count = u32::try_from(signatures).map_err(|_| SignError::Busy)?;
        let permit = Arc::clone(&self.room)
            .try_acquire_many_owned(count)
            .map_err(|_| SignError::Busy)?;
        Ok(QueuePermit {
            _permit: permit,
            jobs: self.jobs.clone(),
            turn: JOBS_AHEAD * self.threads,
        })
    }
}

/// Room in the queue; given back when it is dropped.
pub(super) struct QueuePermit {
    _permit: OwnedSemaphorePermit,
    jobs: mpsc::Sender<Job>,
    turn: usize,
}

impl QueuePermit {
    /// How many jobs one request may have in the queue at a time. The queue is first come, first
    /// served: a request that put a whole batch into it would let all others wait for it.
    pub(super) fn turn(&self) -> usize {
        self.turn
    }

    /// Runs `work` on a signing thread. When the receiver is dropped before its turn comes, the
    /// work is skipped: no request waits for it any more.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, SignError> {
        let (sender, receiver) = oneshot::channel();
        let waits = child_span("wait for a signing thread");
        let job = Box::new(move || {
            let _signs = waits.map(|waits| waits.followed_by("sign on a thread"));
            if !sender.is_closed() {
                // The receiver may have gone in the meantime, and that is fine.
                let _ = sender.send(work());
            }
        });
        self.jobs.send(job).map_err(|_| SignError::Failed)?;
        Ok(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_costs_its_caller_the_answer_and_nobody_a_thread() {
        let pool = SigningPool::start().unwrap();
        for _ in 0..2 * thread::available_parallelism().map_or(1, usize::from) {
            let reservation = pool.reserve(1).unwrap();
            let answer = reservation.run(|| panic!("on purpose")).unwrap();
            answer.await.unwrap_err();
        }
        let reservation = pool.reserve(QUEUE_LENGTH).unwrap();
        assert_eq!(reservation.run(|| 7).unwrap().await, Ok(7));
    }
}
