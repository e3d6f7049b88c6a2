//! When receivers are looked at.

use std::time::Duration;

use tokio::sync::Notify;

use crate::authority::{ChangeError, Services};
use crate::webhook::{Delivery, DeliveryState};

/// How often: sooner where one waits to be tried again, or something happens.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);
const LOOKED_AT_SOON: Duration = Duration::from_secs(1);

/// The pause after something has happened, in which more may.
const GATHERED_FOR: Duration = Duration::from_millis(100);

/// Makes rounds until it is dropped: after the pause that the last one has answered with, when the log has
/// grown, and when `wanted` says so. `receivers` names what is looked at, in the log.
pub(in crate::authority) async fn rounds<R>(
    services: &Services,
    wanted: &Notify,
    receivers: &str,
    round: impl Fn() -> R,
) where
    R: Future<Output = Result<Duration, ChangeError>>,
{
    let Services { clock, lease, .. } = services;
    let mut log_end = lease.follow_log();
    loop {
        log_end.borrow_and_update();
        let pause = round().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "{receivers} were not looked at");
            LOOKED_AT_EVERY
        });
        tokio::select! {
            changed = log_end.changed() => match changed {
                Ok(()) => clock.wait_for(GATHERED_FOR).await,
                Err(_) => clock.wait_for(LOOKED_AT_EVERY).await,
            },
            () = wanted.notified() => {}
            () = clock.wait_for(pause) => {}
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
