//! When receivers are looked at.

use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::authority::{ChangeError, Services};
use crate::webhook::{Delivery, DeliveryState};

/// How often: sooner where one waits to be tried again, or something happens.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);
const LOOKED_AT_SOON: Duration = Duration::from_secs(1);

/// The pause after something has happened, in which more may.
const GATHERED_FOR: Duration = Duration::from_millis(100);

/// What a round has found.
pub(in crate::authority) struct Round {
    /// How long nothing has to be looked at, if nothing happens.
    pub(in crate::authority) pause: Duration,
    /// What is due.
    pub(in crate::authority) due: Vec<DueDelivery>,
}

/// What delivers to a receiver.
type DeliveryFuture = Pin<Box<dyn Future<Output = Result<(), ChangeError>> + Send>>;

/// A delivery that is due to a receiver.
pub(in crate::authority) struct DueDelivery {
    /// The identifier of the receiver.
    pub(in crate::authority) receiver: String,
    /// What delivers it, from the record as it is then.
    pub(in crate::authority) delivery: DeliveryFuture,
}

/// The receivers to which something is under way.
#[derive(Clone, Default)]
struct UnderWay(Arc<Mutex<BTreeSet<String>>>);

/// The one delivery to a receiver, until it is dropped.
struct OneDelivery {
    all: UnderWay,
    receiver: String,
}

impl UnderWay {
    /// Begins a delivery, if none to the same receiver is under way.
    fn begin(&self, receiver: &str) -> Option<OneDelivery> {
        let is_first = self.receivers().insert(receiver.to_owned());
        is_first.then(|| OneDelivery {
            all: self.clone(),
            receiver: receiver.to_owned(),
        })
    }

    fn receivers(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OneDelivery {
    fn drop(&mut self) {
        self.all.receivers().remove(&self.receiver);
    }
}

/// Makes rounds until it is dropped: after the pause that the last one has answered with, when the log has
/// grown, when a delivery has ended, and when `wanted` says so. No round waits for a delivery, so that a slow
/// receiver delays no other. `receivers` names what is looked at, in the log.
pub(in crate::authority) async fn rounds<R>(
    services: &Services,
    wanted: &Notify,
    receivers: &str,
    round: impl Fn() -> R,
) where
    R: Future<Output = Result<Round, ChangeError>>,
{
    let Services { clock, lease, .. } = services;
    let mut log_end = lease.follow_log();
    let under_way = UnderWay::default();
    let mut deliveries = JoinSet::new();
    // Those that were due while something was under way to them.
    let mut due_again = BTreeSet::new();
    loop {
        log_end.borrow_and_update();
        let Round { pause, due } = round().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "{receivers} were not looked at");
            Round {
                pause: LOOKED_AT_EVERY,
                due: Vec::new(),
            }
        });
        for DueDelivery { receiver, delivery } in due {
            let Some(one) = under_way.begin(&receiver) else {
                due_again.insert(receiver);
                continue;
            };
            deliveries.spawn(async move {
                let delivered = delivery.await;
                drop(one);
                (receiver, delivered)
            });
        }
        let mut paused = pin!(clock.wait_for(pause));
        loop {
            tokio::select! {
                changed = log_end.changed() => {
                    let gathered = changed.map_or(LOOKED_AT_EVERY, |()| GATHERED_FOR);
                    clock.wait_for(gathered).await;
                    break;
                }
                () = wanted.notified() => break,
                Some(ended) = deliveries.join_next() => {
                    let Ok((receiver, delivered)) = ended else {
                        continue;
                    };
                    if let Err(error) = delivered {
                        tracing::warn!(%error, receiver, "a delivery of {receivers} has failed");
                    }
                    if due_again.remove(&receiver) {
                        break;
                    }
                }
                () = &mut paused => break,
            }
        }
    }
}

/// How long these receivers need not be looked at, if nothing happens.
pub(in crate::authority) fn pause_after<'d>(
    mut deliveries: impl Iterator<Item = &'d Delivery>,
) -> Duration {
    let is_failing = |one: &Delivery| matches!(one.state, DeliveryState::Failing(_));
    match deliveries.any(is_failing) {
        true => LOOKED_AT_SOON,
        false => LOOKED_AT_EVERY,
    }
}
