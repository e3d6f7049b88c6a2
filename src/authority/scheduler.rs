//! Does what is due, when it is due.
//!
//! It sleeps until the earliest wake-up of all issuers; its cost depends on what is due, not on
//! how many issuers there are. A change that fails is tried again with growing pauses, stands
//! in the health report and in a metric, and touches nothing else: signing goes on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::audit::Actor;
use super::issuer::ChangeRequest;
use super::{Authority, ChangeError};
use crate::engine::random;
use crate::lifecycle::{Command, IssuerName, Timestamp};

/// When to look at which issuer.
#[derive(Default)]
pub struct WakeQueue {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    by_time: BTreeSet<(Timestamp, IssuerName)>,
    by_name: HashMap<IssuerName, Timestamp>,
}

impl WakeQueue {
    /// Sets the one time at which an issuer is looked at next.
    pub fn set(&self, issuer: &IssuerName, wake: Timestamp) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = queue.by_name.insert(issuer.clone(), wake) {
            queue.by_time.remove(&(before, issuer.clone()));
        }
        queue.by_time.insert((wake, issuer.clone()));
        drop(queue);
        self.changed.notify_one();
    }

    fn earliest(&self) -> Option<Timestamp> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.by_time.first().map(|(wake, _)| *wake)
    }

    fn take_due(&self, now: Timestamp) -> Option<IssuerName> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.by_time.first()?.0 > now {
            return None;
        }
        let (_, issuer) = queue.by_time.pop_first()?;
        queue.by_name.remove(&issuer);
        Some(issuer)
    }
}

/// Runs until it is dropped. It looks at every issuer first: when it is started again after a panic,
/// the issuer that it was looking at is not in the queue any more.
pub async fn run(authority: Arc<Authority>) {
    for issuer in authority.issuers() {
        authority.wakes.set(issuer.name(), authority.now());
    }
    let mut failures: HashMap<IssuerName, u32> = HashMap::new();
    loop {
        while let Some(name) = authority.wakes.take_due(authority.now()) {
            run_scheduled_change(&authority, &name, &mut failures).await;
        }
        let changed = authority.wakes.changed.notified();
        match authority.wakes.earliest() {
            Some(wake) => tokio::select! {
                () = authority.services.clock.sleep_until(wake) => {}
                () = changed => {}
            },
            None => changed.await,
        }
    }
}

/// How long a rotation waits before it asks anew whether every replica publishes the successor.
const ASK_REPLICAS_AGAIN: Duration = Duration::from_millis(500);

/// How often access is looked after.
const ACCESS_UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Every minute until it is dropped: looks up a change of a client that ended without an answer, and
/// writes down when credentials were last used, those that were used since it last did. What a
/// crash loses is a minute of it.
pub async fn run_access_upkeep(authority: Arc<Authority>) {
    let clock = &authority.services.clock;
    let mut written_until = Timestamp::default();
    loop {
        let next = clock.now().after(ACCESS_UPKEEP_INTERVAL);
        clock.sleep_until(next).await;
        if let Err(error) = authority.settle_access().await {
            tracing::error!(%error, "who may call is not known until the store answers");
        }
        let now = clock.now();
        match authority.store_last_uses(written_until).await {
            Ok(()) => written_until = now,
            Err(error) => {
                tracing::warn!(%error, "the last uses of credentials were not written down");
            }
        }
    }
}

async fn run_scheduled_change(
    authority: &Arc<Authority>,
    name: &IssuerName,
    failures: &mut HashMap<IssuerName, u32>,
) {
    let Ok(issuer) = authority.issuer(name.as_str()) else {
        return;
    };
    match authority
        .change(
            &issuer,
            ChangeRequest::new(Actor::Scheduler, Command::ApplyPlan),
        )
        .await
    {
        Ok(_) => {
            failures.remove(name);
            authority.health.schedule_succeeded(name);
            authority.metrics().report_rotation_success(name.as_str());
        }
        // They take over what they lack within moments, or count as dead soon.
        Err(ChangeError::AwaitsReplicas) => {
            let soon = authority.now().after(ASK_REPLICAS_AGAIN);
            authority.wakes.set(name, soon);
        }
        Err(error) => {
            let count = failures.entry(name.clone()).or_default();
            *count = count.saturating_add(1);
            let pause = pause_after(*count);
            let now = authority.now();
            authority.health.schedule_failed(name, now, &error);
            authority.metrics().report_rotation_failure(name.as_str());
            tracing::error!(issuer = %name, %error, ?pause, "scheduled change failed, trying again");
            // What has to leave the published set leaves it, whether or not the store answers.
            issuer.republish(&authority.services);
            authority.wakes.set(name, authority.now().after(pause));
        }
    }
}

/// One second, doubled with each failure up to a minute, and up to a quarter more by chance, so
/// that replicas which failed together do not try again together.
fn pause_after(failures: u32) -> Duration {
    let pause = Duration::from_secs(1_u64 << failures.saturating_sub(1).min(6))
        .min(Duration::from_secs(60));
    let chance = random::<1>().map_or(0, |[byte]| u32::from(byte));
    pause + pause * chance / 1024
}
