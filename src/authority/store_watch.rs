//! Whether a store that this process has for itself answers.
//!
//! Probes read what the last look has shown; however many there are, none of them asks the store
//! or waits for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::store::StoreError;

/// How often the store is asked whether it answers.
const STORE_ASKED_EVERY: Duration = Duration::from_secs(1);

/// How long the store may take for an answer, and how old its last answer may be.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What the last look at the store has shown.
pub(super) struct StoreWatch {
    clock: Clock,
    last: Mutex<StoreLook>,
}

/// A look at the store.
#[derive(Clone, Copy)]
struct StoreLook {
    /// Whether the store answered.
    answered: bool,
    /// Whether it is not the one that was opened.
    is_replaced: bool,
    /// When it was asked, by the steady clock.
    asked: Duration,
}

impl StoreWatch {
    pub(super) fn new(clock: Clock) -> Self {
        let last = Mutex::new(StoreLook {
            answered: true,
            is_replaced: false,
            asked: clock.read().monotonic,
        });
        Self { clock, last }
    }

    /// How long ago the store was asked when it last answered; `None` when it did not answer the
    /// last time, or was not asked for too long.
    pub(super) fn answer_age(&self) -> Option<Duration> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let age = self.clock.read().monotonic.saturating_sub(last.asked);
        (last.answered && age <= STORE_ANSWERS_WITHIN).then_some(age)
    }

    /// Whether the last look has shown another store than the one that was opened.
    pub(super) fn is_replaced(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_replaced
    }

    /// Asks the store again and again, until it is dropped.
    pub(super) async fn run<T: Future<Output = Result<(), StoreError>>>(
        &self,
        ask: impl Fn() -> T,
    ) {
        loop {
            // A store that takes long is not asked again before it has answered.
            tokio::join!(self.look(ask()), self.clock.wait_for(STORE_ASKED_EVERY));
        }
    }

    async fn look(&self, answer: impl Future<Output = Result<(), StoreError>>) {
        let asked = self.clock.read().monotonic;
        let mut is_replaced = false;
        let outcome = tokio::select! {
            answer = answer => answer.map_err(|error| {
                is_replaced = error.is_replaced();
                error.to_string()
            }),
            () = self.clock.wait_for(STORE_ANSWERS_WITHIN) => {
                Err(format!("no answer within {STORE_ANSWERS_WITHIN:?}"))
            }
        };
        let answered = outcome.is_ok();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(
            &mut *last,
            StoreLook {
                answered,
                is_replaced,
                asked,
            },
        );
        drop(last);
        match outcome {
            Ok(()) if !before.answered => tracing::info!("the key store answers again"),
            Err(error) if before.answered => {
                tracing::error!(error, "the key store does not answer");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::yield_now;

    use super::*;
    use crate::lifecycle::Timestamp;
    use crate::supervision::supervise;
    use crate::telemetry::Metrics;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn watch() -> (Clock, Arc<StoreWatch>, Arc<AtomicUsize>) {
        let clock = Clock::manual(START);
        let watch = Arc::new(StoreWatch::new(clock.clone()));
        (clock, watch, Arc::default())
    }

    /// Lets every other task come as far as it can.
    async fn others() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    async fn pass(clock: &Clock, seconds: u64) {
        for _ in 0..seconds * 4 {
            clock.set(clock.read().wall.after(Duration::from_millis(250)));
            others().await;
        }
    }

    #[tokio::test]
    async fn the_store_is_asked_once_a_second_however_many_ask() {
        let (clock, watch, calls) = watch();
        let (watching, counted) = (Arc::clone(&watch), Arc::clone(&calls));
        let ask = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(()))
        };
        let task = tokio::spawn(async move { watching.run(ask).await });
        for second in 0..10 {
            others().await;
            assert_eq!(calls.load(Ordering::SeqCst), second + 1);
            let probes = (0..500).map(|_| {
                let watch = Arc::clone(&watch);
                tokio::spawn(async move { watch.answer_age().is_some() })
            });
            for probe in probes.collect::<Vec<_>>() {
                assert!(probe.await.unwrap());
            }
            assert_eq!(calls.load(Ordering::SeqCst), second + 1);
            pass(&clock, 1).await;
        }
        task.abort();
    }

    #[tokio::test]
    async fn a_store_that_hangs_is_not_asked_twice_at_a_time_and_holds_no_probe_up() {
        let (clock, watch, calls) = watch();
        let (watching, counted) = (Arc::clone(&watch), Arc::clone(&calls));
        let ask = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        };
        let task = tokio::spawn(async move { watching.run(ask).await });
        others().await;
        // The last answer counts for as long as it is not too old.
        pass(&clock, 4).await;
        assert!(watch.answer_age().is_some());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        pass(&clock, 2).await;
        assert_eq!(watch.answer_age(), None);
        pass(&clock, 60).await;
        assert_eq!(watch.answer_age(), None);
        assert!(calls.load(Ordering::SeqCst) <= 15);
        task.abort();
    }

    #[tokio::test]
    async fn a_store_that_fails_is_asked_again_and_counts_as_soon_as_it_answers() {
        let (clock, watch, calls) = watch();
        let (watching, counted) = (Arc::clone(&watch), Arc::clone(&calls));
        let ask = move || {
            let answer = match counted.fetch_add(1, Ordering::SeqCst) {
                1 => Err(StoreError("the disk is on fire".into())),
                _ => Ok(()),
            };
            std::future::ready(answer)
        };
        let task = tokio::spawn(async move { watching.run(ask).await });
        others().await;
        assert!(watch.answer_age().is_some());
        pass(&clock, 1).await;
        assert_eq!(watch.answer_age(), None);
        pass(&clock, 1).await;
        assert_eq!(watch.answer_age(), Some(Duration::ZERO));
        task.abort();
    }

    #[tokio::test]
    async fn a_panic_in_a_look_ends_neither_the_watch_nor_readiness_for_good() {
        let (clock, watch, calls) = watch();
        let (watching, counted) = (Arc::clone(&watch), Arc::clone(&calls));
        let metrics = Arc::<Metrics>::default();
        let run = move || {
            let (watching, counted) = (Arc::clone(&watching), Arc::clone(&counted));
            async move {
                let ask = async || {
                    let call = counted.fetch_add(1, Ordering::SeqCst);
                    assert_ne!(call, 1, "on purpose");
                    Ok(())
                };
                watching.run(ask).await;
            }
        };
        let supervised = supervise("store-check", clock.clone(), Arc::clone(&metrics), run);
        let task = tokio::spawn(supervised);
        others().await;
        pass(&clock, 1).await;
        assert_eq!(metrics.tasks().all()["store-check"].restarts, 1);
        pass(&clock, 10).await;
        assert_eq!(calls.load(Ordering::SeqCst), 12);
        assert!(watch.answer_age().is_some());
        task.abort();
    }

    #[tokio::test]
    async fn an_answer_is_forgotten_when_the_store_is_not_asked_any_more() {
        let (clock, watch, _) = watch();
        clock.set(START.after(STORE_ANSWERS_WITHIN));
        assert!(watch.answer_age().is_some());
        clock.set(START.after(STORE_ANSWERS_WITHIN + Duration::from_millis(1)));
        assert_eq!(watch.answer_age(), None);
    }
}
