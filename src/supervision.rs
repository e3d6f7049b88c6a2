//! Tasks that run for as long as the process does: one that panics is started again.
//!
//! A panic must not end rotation, or the lease, for good while the process looks alive. So every
//! task of the background runs under supervision: a panic is caught, counted, logged, and after a
//! pause the task begins anew. What it had begun is lost; a task finds out from the store and from
//! memory what is to be done, each time that it starts.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Clock;
use crate::telemetry::Metrics;

/// The pause after a first panic. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. A task that has run for so long since its last start has recovered.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

type Panic = Box<dyn Any + Send>;

/// Runs a task until it returns, and anew each time that it panics. Dropping this drops the task,
/// which is reported as running from here on.
pub fn supervise<T: Future<Output = ()>>(
    name: &'static str,
    clock: Clock,
    metrics: Arc<Metrics>,
    run: impl Fn() -> T,
) -> impl Future<Output = ()> {
    let mut restarts = Restarts::new(name, clock.clone(), metrics);
    restarts.task_starts();
    async move {
        while let Err(panic) = catch_panic(async { run().await }).await {
            clock.wait_for(restarts.task_panicked(&panic)).await;
            restarts.task_starts();
        }
        restarts.task_ended();
    }
}

/// The same for a thread: runs `run` until it returns, and anew each time that it panics, after
/// `wait`.
pub fn supervise_thread(
    name: &'static str,
    clock: Clock,
    metrics: Arc<Metrics>,
    wait: impl Fn(Duration),
    mut run: impl FnMut(),
) {
    let mut restarts = Restarts::new(name, clock, metrics);
    loop {
        restarts.task_starts();
        match catch_unwind(AssertUnwindSafe(&mut run)) {
            Ok(()) => return restarts.task_ended(),
            Err(panic) => wait(restarts.task_panicked(&panic)),
        }
    }
}

/// What a future becomes, or what it panics with.
async fn catch_panic(future: impl Future<Output = ()>) -> Result<(), Panic> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// How often a task was started again, and how long it pauses next.
struct Restarts {
    name: &'static str,
    clock: Clock,
    metrics: Arc<Metrics>,
    started: Duration,
    pause: Duration,
}

impl Restarts {
    fn new(name: &'static str, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            name,
            started: clock.read().monotonic,
            clock,
            metrics,
            pause: FIRST_PAUSE,
        }
    }

    fn task_starts(&mut self) {
        self.started = self.clock.read().monotonic;
        self.metrics.tasks().report_running(self.name);
    }

    fn task_ended(&self) {
        self.metrics.tasks().report_ended(self.name);
    }

    /// Answers with how long to wait before the task starts again.
    fn task_panicked(&mut self, panic: &Panic) -> Duration {
        let ran_for = self.clock.read().monotonic.saturating_sub(self.started);
        if ran_for >= LONGEST_PAUSE {
            self.pause = FIRST_PAUSE;
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        let tasks = self.metrics.tasks();
        tasks.report_panic(self.name, self.clock.now());
        let task = self.name;
        // The log may be what the task panics at.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let reason = message(panic);
            tracing::error!(
                task,
                reason,
                pause_seconds = pause.as_secs_f64(),
                "a task has panicked, and starts again after a pause"
            );
        }));
        pause
    }
}

fn message(panic: &Panic) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("not said")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::yield_now;

    use super::*;
    use crate::lifecycle::Timestamp;
    use crate::telemetry::{TaskHealth, TaskState};

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    struct World {
        clock: Clock,
        metrics: Arc<Metrics>,
        starts: Arc<AtomicUsize>,
    }

    impl World {
        fn new() -> Self {
            Self {
                clock: Clock::manual(START),
                metrics: Arc::default(),
                starts: Arc::default(),
            }
        }

        fn spawn<T>(
            &self,
            run: impl Fn(usize) -> T + Send + Sync + 'static,
        ) -> tokio::task::JoinHandle<()>
        where
            T: Future<Output = ()> + Send + 'static,
        {
            let starts = Arc::clone(&self.starts);
            let run = move || run(starts.fetch_add(1, Ordering::SeqCst) + 1);
            let (clock, metrics) = (self.clock.clone(), Arc::clone(&self.metrics));
            tokio::spawn(supervise("test", clock, metrics, run))
        }

        /// Lets other tasks come as far as they can.
        async fn others(&self) {
            for _ in 0..20 {
                yield_now().await;
            }
        }

        async fn pass(&self, duration: Duration) {
            self.clock.set(self.clock.now().after(duration));
            self.others().await;
        }

        fn starts(&self) -> usize {
            self.starts.load(Ordering::SeqCst)
        }

        fn health(&self) -> TaskHealth {
            self.metrics.tasks().all().remove("test").unwrap()
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_starts_again_after_pauses_that_double_up_to_a_minute() {
        let world = World::new();
        let task = world.spawn(async |_| panic!("on purpose"));
        world.others().await;
        for (restart, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            assert_eq!(world.starts(), restart + 1);
            assert_eq!(world.health().state, TaskState::Restarting);
            world.pass(SECOND * pause - SECOND / 1000).await;
            assert_eq!(world.starts(), restart + 1, "before {pause} s");
            world.pass(SECOND / 1000).await;
            assert_eq!(world.starts(), restart + 2, "after {pause} s");
        }
        let health = world.health();
        assert_eq!(health.restarts, 9);
        assert_eq!(health.last_failure_at, Some(world.clock.now()));
        let shown = world.metrics.render();
        let last = world.clock.now().floor_seconds();
        for line in [
            "keywright_task_restarts_total{task=\"test\"} 9".to_owned(),
            format!("keywright_task_last_failure_timestamp_seconds{{task=\"test\"}} {last}"),
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        task.abort();
    }

    #[tokio::test]
    async fn a_task_that_has_run_for_a_minute_pauses_a_second_again() {
        let world = World::new();
        let clock = world.clock.clone();
        let task = world.spawn(move |start| {
            let clock = clock.clone();
            async move {
                if start > 3 {
                    clock.wait_for(LONGEST_PAUSE).await;
                }
                panic!("on purpose")
            }
        });
        world.others().await;
        for pause in [1, 2, 4] {
            world.pass(SECOND * pause).await;
        }
        assert_eq!(world.starts(), 4);
        assert_eq!(world.health().state, TaskState::Running);
        world.pass(LONGEST_PAUSE).await;
        world.pass(SECOND).await;
        assert_eq!(world.starts(), 5);
        task.abort();
    }

    #[tokio::test]
    async fn a_task_that_returns_has_ended_and_one_that_is_aborted_is_dropped() {
        let world = World::new();
        world.spawn(async |_| ()).await.unwrap();
        assert_eq!(world.health().state, TaskState::Ended);
        assert_eq!(world.health().restarts, 0);

        let held = Arc::new(());
        let holder = Arc::clone(&held);
        let task = world.spawn(move |_| {
            let held = Arc::clone(&holder);
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        });
        world.others().await;
        assert_eq!(Arc::strong_count(&held), 3);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_thread_that_panics_goes_on_with_what_it_holds() {
        let world = World::new();
        let pauses = std::sync::Mutex::new(Vec::new());
        let mut held = vec![1, 2, 3];
        let wait = |pause| pauses.lock().unwrap().push(pause);
        let (clock, metrics) = (world.clock.clone(), Arc::clone(&world.metrics));
        supervise_thread("test", clock, metrics, wait, || {
            while held.pop().is_some() {
                assert!(held.len() != 1, "on purpose");
            }
        });
        assert_eq!(*pauses.lock().unwrap(), [SECOND]);
        assert_eq!(world.health().state, TaskState::Ended);
    }
}
