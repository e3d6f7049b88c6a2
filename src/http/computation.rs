//! Work that computes for more than a millisecond, off the threads that serve requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

use super::problem::Problem;
use super::slots::RouteClass;

/// How many computations of one class run at a time.
const AT_A_TIME: usize = 2;

/// How many more of one caller wait for their turn.
const WAITING: usize = 16;

/// How many callers are remembered before those are forgotten that do nothing.
const REMEMBERED: usize = 1024;

/// What each caller has of its own, for as long as it is in use.
pub(super) struct PerCaller<T>(Mutex<HashMap<String, Weak<T>>>);

impl<T> Default for PerCaller<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> PerCaller<T> {
    /// What this caller has, made now if it has nothing.
    pub(super) fn of(&self, caller: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = callers.get(caller).and_then(Weak::upgrade) {
            return own;
        }
        if callers.len() >= REMEMBERED {
            callers.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(make());
        callers.insert(caller.to_owned(), Arc::downgrade(&own));
        own
    }
}

/// Whose turn it is to compute.
pub(super) struct Computations {
    callers: PerCaller<CallerTurns>,
    classes: [Arc<Semaphore>; RouteClass::ALL.len()],
}

/// The turns of one caller: one that runs, and some that wait.
struct CallerTurns {
    running: Arc<Semaphore>,
    admitted: Semaphore,
}

impl Default for Computations {
    fn default() -> Self {
        Self {
            callers: PerCaller::default(),
            classes: std::array::from_fn(|_| Arc::new(Semaphore::new(AT_A_TIME))),
        }
    }
}

impl Computations {
    /// Runs `work` when it is this caller's turn. It is not cut off: what has begun keeps its turn to
    /// its end, also when the caller has disconnected.
    ///
    /// # Errors
    /// When too many of this caller wait already, or the work panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        class: RouteClass,
        caller: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let own = self.caller(caller);
        let Ok(_admitted) = own.admitted.try_acquire() else {
            return Err(Problem::too_many_requests());
        };
        // Semaphores are never closed, so that a permit always comes. The caller's is taken first:
        // its further requests do not wait where others do.
        let running = Arc::clone(&own.running).acquire_owned().await;
        let shared = match self.classes.get(class as usize) {
            Some(class) => Some(Arc::clone(class).acquire_owned().await),
            None => None,
        };
        let run = move || {
            let _permits = (running, shared);
            work()
        };
        let outcome = tokio::task::spawn_blocking(run).await;
        outcome.map_err(|error| {
            tracing::error!(%error, "a computation failed");
            Problem::internal()
        })
    }

    fn caller(&self, caller: &str) -> Arc<CallerTurns> {
        self.callers.of(caller, || CallerTurns {
            running: Arc::new(Semaphore::new(1)),
            admitted: Semaphore::new(1 + WAITING),
        })
    }
}
