//! Whether this process can serve, and what is wrong with single issuers.
//!
//! The two are kept apart. A load balancer that hears that a process is not ready takes it out of
//! service for every issuer. So readiness depends on nothing that a client of one issuer can bring
//! about, and asking for it asks nothing of the store: on a shared store the lease says whether
//! what is in memory may be used, and on a store of its own a task of this process looks once a
//! second. What is late or missing for one issuer is in the health report, in the metrics and in
//! the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keywright_api::IssuerState;
use keywright_verifier::Algorithm;

use super::event_streams::StoredEventStream;
use super::issuer::Issuer;
use super::push::CopyStatus;
use super::store_watch::StoreWatch;
use super::webhooks::StoredWebhook;
use super::{Authority, ChangeError};
use crate::clock::Clock;
use crate::event_stream::EventStream;
use crate::lifecycle::{
    IssuerName, IssuerOrigin, Key, KeySet, State, Timestamp, latest_rotation, rotation_due,
};
use crate::webhook::{DeliveryState, Webhook};

/// Why this process cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// It was asked to end.
    #[error("the process is ending")]
    Draining,
    /// What is in memory may be out of date.
    #[error("the store has not confirmed what is in memory for too long, or the clock is wrong")]
    Stale,
    /// The store does not answer.
    #[error("the key store does not answer")]
    Store,
    /// The store's files are not those that were opened.
    #[error("the key store was moved, deleted or replaced while this process uses it")]
    Replaced,
}

/// What is wrong with one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerFault {
    /// Its stored records cannot be used.
    Unusable,
    /// No key signs with its default algorithm.
    NoActiveKey {
        /// The algorithm.
        algorithm: Algorithm,
        /// When the last key that did so stopped.
        since: Option<Timestamp>,
    },
    /// What is due is not done: the last attempt failed.
    ScheduleFailing {
        /// When the first attempt failed.
        since: Timestamp,
        /// Why the last one did.
        reason: String,
    },
    /// A rotation should have happened.
    RotationOverdue {
        /// Of the key of this algorithm.
        algorithm: Algorithm,
        /// When it was due.
        due_at: Timestamp,
    },
}

impl IssuerFault {
    /// The fault without its data.
    pub const fn kind(&self) -> IssuerState {
        match self {
            Self::Unusable => IssuerState::Unusable,
            Self::NoActiveKey { .. } => IssuerState::NoActiveKey,
            Self::ScheduleFailing { .. } => IssuerState::ScheduleFailing,
            Self::RotationOverdue { .. } => IssuerState::RotationOverdue,
        }
    }

    /// The state that the issuer is in, in a word.
    pub const fn state(&self) -> &'static str {
        self.kind().as_str()
    }

    /// Since when the issuer is in this state, if that is known.
    pub const fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Unusable => None,
            Self::NoActiveKey { since, .. } => *since,
            Self::ScheduleFailing { since, .. } => Some(*since),
            Self::RotationOverdue { due_at, .. } => Some(*due_at),
        }
    }
}

/// One sentence for an operator.
impl fmt::Display for IssuerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable => {
                f.write_str("its stored records cannot be used; the log has the reason")
            }
            Self::NoActiveKey { algorithm, .. } => write!(f, "no {algorithm} key is active"),
            Self::ScheduleFailing { reason, .. } => {
                write!(f, "the last scheduled change failed: {reason}")
            }
            Self::RotationOverdue { algorithm, .. } => {
                write!(f, "the rotation of the {algorithm} key is overdue")
            }
        }
    }
}

/// How long after its time a rotation is called overdue.
const OVERDUE_AFTER: Duration = Duration::from_secs(60);

/// How often the log is told of issuers that have a fault.
const ISSUERS_CHECKED_EVERY: Duration = Duration::from_secs(60);

/// What this process knows of its own health.
pub(super) struct Health {
    draining: AtomicBool,
    store: StoreWatch,
    failed_schedules: Mutex<BTreeMap<IssuerName, FailedSchedule>>,
    /// Those that do not accept messages, as the last look at all has found them.
    webhooks: Mutex<Vec<Webhook>>,
    /// Those whose receivers do not accept tokens, each with its issuer, as the last look at all has found
    /// them.
    event_streams: Mutex<Vec<(IssuerName, EventStream)>>,
    /// The copies of key sets, as the last look at all has found them.
    copies: Mutex<Vec<CopyStatus>>,
}

/// A scheduled change that failed, and fails until it succeeds.
struct FailedSchedule {
    since: Timestamp,
    reason: String,
    count: u32,
}

impl Health {
    /// Of a process that has just read its store.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            draining: AtomicBool::new(false),
            store: StoreWatch::new(clock),
            failed_schedules: Mutex::default(),
            webhooks: Mutex::default(),
            event_streams: Mutex::default(),
            copies: Mutex::default(),
        }
    }

    /// Notes that a scheduled change of an issuer failed. How often it has in a row.
    pub(super) fn schedule_failed(
        &self,
        issuer: &IssuerName,
        now: Timestamp,
        why: &ChangeError,
    ) -> u32 {
        let mut failed = self.lock_failed_schedules();
        let before = failed.get(issuer);
        let count = before.map_or(0, |failed| failed.count).saturating_add(1);
        let schedule = FailedSchedule {
            since: before.map_or(now, |failed| failed.since),
            reason: reason_of(why),
            count,
        };
        failed.insert(issuer.clone(), schedule);
        count
    }

    /// Notes that nothing is due for an issuer any more.
    pub(super) fn schedule_succeeded(&self, issuer: &IssuerName) {
        self.lock_failed_schedules().remove(issuer);
    }

    /// Notes how the deliveries of all webhooks go.
    pub(super) fn observe_webhooks(&self, all: &[StoredWebhook]) {
        let webhooks = all.iter().map(|stored| stored.webhook.clone());
        let failing = webhooks.filter(|webhook| webhook.delivery.state != DeliveryState::Accepting);
        let mut seen = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = failing.collect();
    }

    /// Notes how the deliveries of all streams of security events go.
    pub(super) fn observe_event_streams(&self, all: &[StoredEventStream]) {
        let is_failing =
            |stored: &&StoredEventStream| stored.stream.delivery.state != DeliveryState::Accepting;
        let failing = all.iter().filter(is_failing);
        let failing = failing.map(|stored| (stored.issuer.clone(), stored.stream.clone()));
        let mut seen = (self.event_streams.lock()).unwrap_or_else(PoisonError::into_inner);
        *seen = failing.collect();
    }

    /// Notes how the pushes of all copies go.
    pub(super) fn observe_copies(&self, all: Vec<CopyStatus>) {
        let mut seen = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = all;
    }

    /// The copies of key sets, as of a moment ago.
    pub(super) fn copies(&self) -> Vec<CopyStatus> {
        let seen = self.copies.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed_schedule(&self, issuer: &IssuerName) -> Option<IssuerFault> {
        let failed = self.lock_failed_schedules();
        let FailedSchedule { since, reason, .. } = failed.get(issuer)?;
        Some(IssuerFault::ScheduleFailing {
            since: *since,
            reason: reason.clone(),
        })
    }

    fn lock_failed_schedules(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<IssuerName, FailedSchedule>> {
        let failed = self.failed_schedules.lock();
        failed.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a scheduled change failed, without what only the log may say of the store and its records.
fn reason_of(error: &ChangeError) -> String {
    match error {
        ChangeError::Refused(_)
        | ChangeError::SnapshotStale
        | ChangeError::Contended
        | ChangeError::Interrupted
        | ChangeError::Engine(_)
        | ChangeError::Randomness(_) => error.to_string(),
        ChangeError::Store(_) => Unready::Store.to_string(),
        _ => "the log has the reason".to_owned(),
    }
}

/// Asks a store that no other process uses whether it answers, until it is dropped. A shared store
/// is not asked: there the lease says it.
pub async fn watch_store(authority: Arc<Authority>) {
    let store = &authority.services.store;
    if store.replicas().is_some() {
        return;
    }
    authority
        .health
        .store
        .run(async || store.check().await)
        .await;
}

/// Tells the log which issuers have a fault, when that changes, until it is dropped.
pub async fn watch_issuers(authority: Arc<Authority>) {
    let mut before = BTreeMap::new();
    loop {
        let now: BTreeMap<_, _> = authority.issuer_faults().into_iter().collect();
        for (issuer, fault) in &now {
            let state = fault.state();
            if before.get(issuer) != Some(&state) {
                tracing::warn!(%issuer, state, detail = %fault, "an issuer has a fault");
            }
        }
        authority.note_overdue_rotations().await;
        for issuer in before.keys().filter(|issuer| !now.contains_key(*issuer)) {
            tracing::info!(%issuer, "an issuer has no fault any more");
        }
        before = now
            .into_iter()
            .map(|(issuer, fault)| (issuer, fault.state()))
            .collect();
        let clock = &authority.services.clock;
        clock.wait_for(ISSUERS_CHECKED_EVERY).await;
    }
}

impl Authority {
    /// Whether this process can serve. It asks nothing of the store and waits for nothing.
    ///
    /// # Errors
    /// [`Unready`]: why not.
    pub fn readiness(&self) -> Result<(), Unready> {
        let services = &self.services;
        if self.is_draining() {
            Err(Unready::Draining)
        } else if !services.lease.holds() {
            Err(Unready::Stale)
        } else if services.store.replicas().is_none() && self.health.store.answer_age().is_none() {
            Err(match self.health.store.is_replaced() {
                true => Unready::Replaced,
                false => Unready::Store,
            })
        } else {
            Ok(())
        }
    }

    /// From now on this process is not ready: it was asked to end.
    pub fn drain(&self) {
        self.health.draining.store(true, Ordering::Relaxed);
        self.end_waiting_for_revocations();
        self.services.lease.wake_followers();
    }

    /// Whether the process was asked to end.
    pub(super) fn is_draining(&self) -> bool {
        self.health.draining.load(Ordering::Relaxed)
    }

    /// When the store was asked when it last answered; `None` when it does not answer, and on a
    /// shared store, where the lease says it.
    pub fn store_answered_at(&self) -> Option<Timestamp> {
        let age = self.health.store.answer_age()?;
        let is_own = self.services.store.replicas().is_none();
        is_own.then(|| self.now().before(age))
    }

    /// Whether the disk space is there that is kept for changes that must not fail; `None` for a
    /// store that keeps none.
    pub fn has_disk_reserve(&self) -> Option<bool> {
        self.services.store.has_reserve()
    }

    /// Whether other processes use the store.
    pub fn has_shared_store(&self) -> bool {
        self.services.store.replicas().is_some()
    }

    /// For how long this process may go on without its store; `None` when no other uses it.
    pub fn lease_remaining(&self) -> Option<Duration> {
        let lease = &self.services.lease;
        let remaining = lease.remaining()?;
        Some(if lease.holds() {
            remaining
        } else {
            Duration::ZERO
        })
    }

    /// The issuers that have a fault, in the order of their names, each with its worst.
    ///
    /// An issuer that takes over another system's set and has not signed anything yet lacks no
    /// key: it waits.
    pub fn issuer_faults(&self) -> Vec<(IssuerName, IssuerFault)> {
        let unusable = self.directory.unusable();
        let mut faults: Vec<_> = unusable
            .into_iter()
            .map(|issuer| (issuer, IssuerFault::Unusable))
            .collect();
        for issuer in self.issuers() {
            if let Some(fault) = self.fault_of(&issuer) {
                faults.push((issuer.name().clone(), fault));
            }
        }
        faults.sort_by(|(one, _), (other, _)| one.cmp(other));
        faults
    }

    /// The webhooks that do not accept messages, as of a moment ago.
    pub fn failing_webhooks(&self) -> Vec<Webhook> {
        let failing = self.health.webhooks.lock();
        failing.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The streams of security events whose receivers do not accept tokens, each with its issuer, as of a
    /// moment ago.
    pub fn failing_event_streams(&self) -> Vec<(IssuerName, EventStream)> {
        let failing = self.health.event_streams.lock();
        failing.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes late rotations into the audit log, whatever else is wrong with their issuers.
    async fn note_overdue_rotations(&self) {
        for issuer in self.issuers() {
            let fault = overdue(issuer.snapshot().set(), self.now());
            if let Some(IssuerFault::RotationOverdue { algorithm, due_at }) = fault {
                let noted = self.note_overdue(issuer.name(), algorithm, due_at).await;
                if let Err(error) = noted {
                    let issuer = issuer.name();
                    tracing::warn!(%issuer, %error, "a late rotation is not in the audit log");
                }
            }
        }
    }

    fn fault_of(&self, issuer: &Issuer) -> Option<IssuerFault> {
        let snapshot = issuer.snapshot();
        let set = snapshot.set();
        lacks_key(set)
            .or_else(|| self.health.failed_schedule(issuer.name()))
            .or_else(|| overdue(set, self.now()))
    }

    /// What the gauges show: whether this process can serve, the lease, and of every issuer what is wrong,
    /// what is revoked, who verifies, the age of its active keys and the time to the next rotation.
    pub fn update_gauges(&self) {
        let now = self.now();
        self.metrics().observe_readiness(self.readiness().is_ok());
        if let Some(is_held) = self.has_disk_reserve() {
            self.metrics().observe_disk_reserve(is_held);
        }
        let lease = &self.services.lease;
        if let Some(left) = lease.remaining() {
            self.metrics().observe_lease(left);
        }
        let confirmed = lease.confirmed_at();
        let age = confirmed.map(|confirmed| lease.time().since(confirmed));
        self.metrics().observe_feed_age(age);
        let metrics = self.metrics().issuers();
        metrics.forget();
        for (issuer, fault) in self.issuer_faults() {
            metrics.observe_fault(issuer.as_str(), fault.state());
        }
        let copies = self.metrics().copies();
        copies.forget();
        for copy in self.copies() {
            let behind = copy.behind_since.map(|since| now.since(since));
            copies.observe(
                copy.issuer.as_str(),
                &copy.target,
                behind.unwrap_or_default(),
            );
        }
        for issuer in self.issuers() {
            let name = issuer.name().as_str();
            metrics.observe_revocations(name, issuer.revocations().count());
            let snapshot = issuer.snapshot();
            let served = snapshot.publication().served();
            let (current, earlier) = self.verifiers.count(issuer.name(), served);
            if current + earlier > 0 {
                metrics.observe_verifiers(name, current, earlier);
            }
            for wait in self.waiting_rotations(&issuer) {
                metrics.observe_waiting_rotation(name, wait.algorithm);
            }
            for key in snapshot.set().keys() {
                if let State::Active(active) = key.state() {
                    let algorithm = key.algorithm();
                    let age = now.since(active.activated_at);
                    let due = rotation_due(snapshot.set(), algorithm);
                    let known = due.filter(|due| *due < Timestamp::END);
                    let left = known.map(|due| due.since(now));
                    metrics.observe_key(name, algorithm, age, left);
                }
            }
        }
    }
}

fn lacks_key(set: &KeySet) -> Option<IssuerFault> {
    let algorithm = set.policy().default_algorithm;
    let has_signed = |key: &&Key| key.activated_at().is_some();
    let waits =
        set.origin() == IssuerOrigin::TakesOver && !set.keys().iter().any(|key| has_signed(&key));
    if waits || set.active(algorithm).is_some() {
        return None;
    }
    let of_algorithm = set.keys().iter().filter(|key| key.algorithm() == algorithm);
    let stopped_at = |key: &Key| match key.state() {
        State::Pending(_) | State::Canary(_) | State::Active(_) => None,
        State::Retired(retired) => Some(retired.retired_at),
        State::Removed(removed) => Some(removed.retired_at),
        State::Revoked(revoked) => Some(revoked.retired_at.unwrap_or(revoked.revoked_at)),
    };
    let since = of_algorithm.filter(has_signed).filter_map(stopped_at).max();
    Some(IssuerFault::NoActiveKey { algorithm, since })
}

fn overdue(set: &KeySet, now: Timestamp) -> Option<IssuerFault> {
    let algorithms = set.policy().algorithms.iter().copied();
    let due =
        algorithms.filter_map(|algorithm| Some((algorithm, latest_rotation(set, algorithm)?)));
    let overdue = due.filter(|(_, due_at)| due_at.after(OVERDUE_AFTER) < now);
    let (algorithm, due_at) = overdue.min_by_key(|(_, due_at)| *due_at)?;
    Some(IssuerFault::RotationOverdue { algorithm, due_at })
}
