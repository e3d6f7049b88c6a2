//! Does what is due, when it is due.
//!
//! It sleeps until the earliest wake-up of all issuers; its cost depends on what is due, not on
//! how many issuers there are. A change that fails is tried again with growing pauses, stands
//! in the health report and in a metric, and touches nothing else: signing goes on.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keywright_verifier::Algorithm;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use super::issuer::Issuer;
use super::replication::OwnReplica;
use super::request::ChangeRequest;
use super::{Authority, ChangeError};
use crate::engine::{Entropy, Urgency};
use crate::lifecycle::{IssuerName, Timestamp, plan};
use crate::telemetry::traces::SpanKind;

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

    /// An issuer is not looked at any more.
    fn remove(&self, issuer: &IssuerName) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = queue.by_name.remove(issuer) {
            queue.by_time.remove(&(wake, issuer.clone()));
        }
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

/// The issuers and algorithms for which keys are generated: one task each, of which few work for
/// the schedule at a time.
pub(super) struct Generating {
    tasks: Mutex<BTreeSet<(IssuerName, Algorithm)>>,
    ended: Notify,
    scheduled: Semaphore,
}

/// How many keys the schedule generates at a time.
const SCHEDULED_GENERATIONS: usize = 2;

impl Default for Generating {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            ended: Notify::new(),
            scheduled: Semaphore::new(SCHEDULED_GENERATIONS),
        }
    }
}

impl Generating {
    fn tasks(&self) -> MutexGuard<'_, BTreeSet<(IssuerName, Algorithm)>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it has ended for an issuer: for one algorithm, or for all.
    pub(super) async fn wait_for(&self, issuer: &IssuerName, algorithm: Option<Algorithm>) {
        let is_awaited = |(name, of): &(IssuerName, Algorithm)| {
            name == issuer && algorithm.is_none_or(|algorithm| algorithm == *of)
        };
        loop {
            let ended = self.ended.notified();
            if !self.tasks().iter().any(is_awaited) {
                return;
            }
            ended.await;
        }
    }

    /// Begins, unless it has begun. It ends when what is answered is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        issuer: &IssuerName,
        algorithm: Algorithm,
    ) -> Option<Generation> {
        let task = (issuer.clone(), algorithm);
        let begins = self.tasks().insert(task.clone());
        begins.then(|| Generation {
            generating: Arc::clone(self),
            task,
        })
    }

    /// Whether keys are generated for an issuer.
    pub(super) fn contains(&self, issuer: &IssuerName) -> bool {
        self.tasks().iter().any(|(name, _)| name == issuer)
    }

    /// Waits for a turn. What a person waits for does not.
    pub(super) async fn permit(&self, urgency: Urgency) -> Option<SemaphorePermit<'_>> {
        match urgency {
            Urgency::Immediate => None,
            Urgency::Background => self.scheduled.acquire().await.ok(),
        }
    }
}

/// The time in which keys are generated: to the end of the task, however that ends.
pub(super) struct Generation {
    generating: Arc<Generating>,
    task: (IssuerName, Algorithm),
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.generating.tasks().remove(&self.task);
        self.generating.ended.notify_waiters();
    }
}

/// How many scheduled changes are made at a time.
const CONCURRENT_CHANGES: usize = 8;

/// Runs until it is dropped. Each issuer's change is a task of its own: one that is slow, that fails
/// or that panics holds up no other. It looks at every issuer first: when it is started again after
/// a panic, the issuers that it was looking at are not in the queue any more.
pub async fn run(authority: Arc<Authority>) {
    for issuer in authority.issuers() {
        authority.wakes.set(issuer.name(), authority.now());
    }
    let mut changes = JoinSet::new();
    loop {
        while let Some(name) = authority.wakes.take_due(authority.now()) {
            if changes.len() >= CONCURRENT_CHANGES {
                changes.join_next().await;
            }
            let authority = Arc::clone(&authority);
            changes.spawn(async move { run_scheduled_change(&authority, &name).await });
        }
        let changed = authority.wakes.changed.notified();
        let earliest = authority.wakes.earliest();
        tokio::select! {
            () = changed => {}
            Some(_) = changes.join_next() => {}
            () = async {
                match earliest {
                    Some(wake) => authority.services.clock.sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

/// How long a rotation waits before it asks anew whether every replica publishes the successor.
const ASK_REPLICAS_AGAIN: Duration = Duration::from_millis(500);

/// How long a rotation waits before it counts anew how many verifiers hold the successor.
const COUNT_HOLDERS_AGAIN: Duration = Duration::from_secs(2);

/// How often access is looked after.
pub(super) const ACCESS_UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Every minute until it is dropped: looks up a change of a client that ended without an answer,
/// tidies up what erasures have left behind, and writes down the latest time and when credentials
/// were last used, those that were used since it last did. What a crash loses is a minute of it.
pub async fn run_access_upkeep(authority: Arc<Authority>) {
    let clock = &authority.services.clock;
    let mut written_until = Timestamp::default();
    loop {
        let next = clock.now().after(ACCESS_UPKEEP_INTERVAL);
        clock.sleep_until(next).await;
        if let Err(error) = authority.reload_unknown_clients().await {
            tracing::error!(%error, "who may call is not known until the store answers");
        }
        authority.services.store.clear_erased().await;
        if let Err(error) = authority.store_witness().await {
            tracing::warn!(%error, "the latest time was not written down");
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

async fn run_scheduled_change(authority: &Arc<Authority>, name: &IssuerName) {
    let Ok(issuer) = authority.issuer(name.as_str()) else {
        return;
    };
    // Should this task end before its time, the issuer is looked at again all the same.
    let latest = authority.now().after(LONGEST_PAUSE);
    authority.wakes.set(name, latest);
    let span = authority
        .tracer()
        .begin("scheduled change", SpanKind::Internal);
    let change = pin!(authority.change(&issuer, ChangeRequest::scheduled()));
    let changed = match &span {
        None => change.await,
        Some(span) => span.around(change).await,
    };
    if let Some(span) = span {
        span.end(changed.as_ref().map(drop).map_err(|_| "not-changed"));
    }
    match changed {
        // Whether it has all that it needs, `schedule` has found out.
        Ok(_) => {}
        // They take over what they lack within moments, or count as dead soon.
        Err(ChangeError::AwaitsReplicas) => {
            let soon = authority.now().after(ASK_REPLICAS_AGAIN);
            authority.wakes.set(name, soon);
        }
        Err(error) => authority.schedule_failed(&issuer, &error),
    }
}

impl Authority {
    /// Sets when an issuer is looked at next. The plan is made anew: the one in the snapshot was
    /// made when the set changed, and may lie behind us without anything being due. While its keys
    /// are generated it waits for those.
    pub(super) fn schedule(&self, issuer: &Issuer) {
        let now = self.now();
        let plan = plan(issuer.snapshot().set(), now, &self.adoption(issuer));
        let outcome_is_unknown = issuer.outcome_is_unknown();
        if plan.steps.is_empty() && !outcome_is_unknown {
            // What failed here, another replica may have done.
            self.health.schedule_succeeded(issuer.name());
            self.metrics()
                .issuers()
                .report_rotation_success(issuer.name().as_str());
        }
        let is_due = !plan.steps.is_empty() && !self.generating.contains(issuer.name());
        let wake = if is_due || outcome_is_unknown {
            Some(now)
        } else if plan.waits.is_empty() {
            plan.next_wake
        } else {
            let again = now.after(COUNT_HOLDERS_AGAIN);
            plan.next_wake.map(|wake| wake.min(again))
        };
        match wake {
            Some(wake) => {
                let start_delay = self.replica.as_ref().map(OwnReplica::start_delay);
                let wake = wake.after(start_delay.unwrap_or_default());
                self.wakes.set(issuer.name(), wake);
            }
            None => self.wakes.remove(issuer.name()),
        }
    }

    /// Lets what failed be tried again after a pause that grows. What has to leave the published
    /// set leaves it, whether or not the store answers.
    pub(super) fn schedule_failed(&self, issuer: &Issuer, error: &ChangeError) {
        let name = issuer.name();
        let failures = self.health.schedule_failed(name, self.now(), error);
        let pause = pause_after(failures, &self.services.entropy);
        self.wakes.set(name, self.now().after(pause));
        self.metrics()
            .issuers()
            .report_rotation_failure(name.as_str());
        issuer.republish(&self.services);
        tracing::error!(
            issuer = %name,
            %error,
            pause_seconds = pause.as_secs_f64(),
            "scheduled change failed, trying again"
        );
    }
}

/// The longest pause before what failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One second, doubled with each failure up to a minute, and up to a quarter more by chance, so
/// that replicas which failed together do not try again together.
fn pause_after(failures: u32, entropy: &Entropy) -> Duration {
    let pause = Duration::from_secs(1_u64 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE);
    let chance = entropy.bytes::<1>().map_or(0, |[byte]| u32::from(byte));
    pause + pause * chance / 1024
}
