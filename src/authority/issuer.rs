//! One living issuer: its snapshot, and the one way in which it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use keywright_verifier::Kid;
use tokio::sync::Mutex;

use super::audit::{self, Actor, Attribution};
use super::lease::Lease;
use super::load::{LoadError, NewKeys, active, build_snapshot, load_snapshot};
use super::master_key::Sealing;
use super::replication;
use super::snapshot::{LeasedSnapshot, Snapshot};
use super::{ChangeError, Services};
use crate::engine::{Urgency, random};
use crate::lifecycle::{
    Attestation, Change, ChangeTime, Command, Decision, Event, IssuerName, Key, KeySet,
    KeySpecification, RuleViolation, State, Timestamp, decide,
};
use crate::store::record::{issuer_row, key_changes};
use crate::store::{Commit, CommitError, StoreError, StoredSet};

/// One issuer in memory.
pub struct Issuer {
    name: IssuerName,
    snapshot: ArcSwap<Snapshot>,
    lease: Arc<Lease>,
    writer: Mutex<()>,
    /// A commit failed and the store could not be asked how it ended.
    outcome_unknown: AtomicBool,
}

/// What is asked of an issuer, and by whom.
pub struct ChangeRequest {
    /// Who asks, and who has confirmed it.
    pub attribution: Attribution,
    /// Why, in their own words.
    pub reason: Option<String>,
    /// What they ask.
    pub command: Command,
    /// Keys that the command brings along.
    pub fresh: NewKeys,
}

impl ChangeRequest {
    /// Whether nobody but the schedule asks for it.
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self.command, Command::ApplyPlan)
    }

    /// A command without a reason that brings no keys along.
    pub fn new(attribution: impl Into<Attribution>, command: Command) -> Self {
        Self {
            attribution: attribution.into(),
            reason: None,
            command,
            fresh: NewKeys::default(),
        }
    }
}

/// A change that was committed.
pub struct Committed {
    /// The set before it.
    pub before: Arc<Snapshot>,
    /// What happened.
    pub change: Change,
    /// Whether every replica that lives has taken it over.
    pub on_all_replicas: bool,
}

impl Committed {
    /// This change and the one that brought the keys that it wanted.
    fn and(mut self, next: Self) -> Self {
        self.change.set = next.change.set;
        self.change.events.extend(next.change.events);
        self
    }
}

/// How often a change is decided anew because another process was faster, before giving up.
const MAX_ATTEMPTS: usize = 16;

impl Issuer {
    /// Puts an issuer into memory as the store has it.
    ///
    /// # Errors
    /// [`LoadError`] when a record is corrupt or a private half does not open.
    pub fn load(services: &Services, stored: &StoredSet) -> Result<Self, LoadError> {
        let snapshot = load_snapshot(services, stored, None, &NewKeys::default())?;
        Ok(Self {
            name: stored.issuer.name.clone(),
            lease: Arc::clone(&services.lease),
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(()),
            outcome_unknown: AtomicBool::new(false),
        })
    }

    /// The issuer's short name.
    pub fn name(&self) -> &IssuerName {
        &self.name
    }

    /// The snapshot as of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The snapshot as of now, with the term for which it may be used.
    pub fn leased_snapshot(&self) -> LeasedSnapshot {
        LeasedSnapshot::take(&self.lease, || self.snapshot())
    }

    /// Decides what is published anew, without the store: for a set whose commit fails.
    pub fn republish(&self, services: &Services) {
        let time = services.lease.time();
        let republished = self.snapshot.load().republished(&services.metrics, time);
        self.snapshot.store(Arc::new(republished));
    }

    /// Whether the snapshot is known to be what the store has.
    pub fn is_confirmed(&self) -> bool {
        !self.outcome_unknown.load(Ordering::Acquire)
    }

    /// Changes the issuer: decide, commit, and only then swap the snapshot. `None` when nothing
    /// had to change.
    ///
    /// Keys are generated outside the lock, and the question is decided anew with them: a
    /// revocation never waits for a key that the schedule is making. This must not be dropped
    /// half-way.
    ///
    /// # Errors
    /// [`ChangeError`]; the issuer is as it was, unless the error says that this is not known.
    pub(super) async fn change(
        &self,
        services: &Services,
        mut request: ChangeRequest,
    ) -> Result<Option<Committed>, ChangeError> {
        let urgency = match request.command {
            Command::ApplyPlan => Urgency::Background,
            _ => Urgency::Immediate,
        };
        let mut conflicts = 0;
        let mut total: Option<Committed> = None;
        while conflicts < MAX_ATTEMPTS {
            let attempt = self.attempt(services, &request).await;
            let (committed, wanted) = match attempt {
                Ok(Attempt::Decided { committed, wanted }) => (committed, wanted),
                Ok(Attempt::Conflict) => {
                    conflicts += 1;
                    continue;
                }
                // What has been committed stays so; the schedule makes up for what is missing.
                Err(_) if total.is_some() => return Ok(total),
                Err(error) => return Err(error),
            };
            total = match (total, committed) {
                (Some(first), Some(next)) => Some(first.and(*next)),
                (first, next) => first.or(next.map(|next| *next)),
            };
            if wanted.is_empty() {
                return Ok(total);
            }
            for specification in wanted {
                match services.engine.generate(specification, urgency).await {
                    Ok(pair) => request.fresh.add_generated(pair),
                    Err(_) if total.is_some() => return Ok(total),
                    Err(error) => return Err(error.into()),
                }
            }
            request.command = Command::ApplyPlan;
        }
        total.map(Some).ok_or(ChangeError::Contended)
    }

    async fn attempt(
        &self,
        services: &Services,
        request: &ChangeRequest,
    ) -> Result<Attempt, ChangeError> {
        let _writer = self.writer.lock().await;
        if !self.is_confirmed() {
            self.reload(services).await?;
        }
        let before = self.snapshot();
        let time = services.lease.change_time();
        if !self.lease.holds() {
            return Err(ChangeError::SnapshotStale);
        }
        let attestation = match request.attribution.confirmed_by {
            Some(_) => Attestation::TwoPeople,
            None => Attestation::OnePerson,
        };
        let available = &request.fresh.supply;
        let decision = decide(before.set(), &request.command, attestation, time, available);
        let Decision { change, wanted } = decision.map_err(ChangeError::Refused)?;
        let Some(change) = change else {
            return Ok(Attempt::Decided {
                committed: None,
                wanted,
            });
        };
        if let Some((key, ready_at)) = self
            .key_not_published_everywhere(services, request, &change)
            .await?
        {
            return match request.command {
                Command::ApplyPlan => Err(ChangeError::AwaitsReplicas),
                _ => Err(ChangeError::Refused(RuleViolation::SuccessorNotReady {
                    algorithm: key.algorithm(),
                    kid: key.kid().clone(),
                    ready_at,
                })),
            };
        }
        // Opening the keys comes before the commit: a key that does not open must not become active.
        let snapshot = self
            .prepare(services, &before, &change.set, &request.fresh)
            .await?;
        let sealing = Sealing::of(services, &request.fresh).await?;
        let commit = commit_of(sealing.as_ref(), Some(before.set()), &change, request, time)?;
        let still_active =
            |key: &Key| change.set.active(key.algorithm()).map(Key::kid) == Some(key.kid());
        if !active(before.set()).all(still_active) {
            before.begin_switch_over(change.at);
        }
        match services.store.commit(commit).await {
            Ok(()) => {
                self.install(snapshot);
                Ok(Attempt::committed(before, change, wanted))
            }
            Err(CommitError::Conflict) => {
                self.reload(services).await?;
                Ok(Attempt::Conflict)
            }
            Err(CommitError::Late) => {
                before.cancel_switch_over();
                Ok(Attempt::Conflict)
            }
            Err(CommitError::PathTaken) => {
                before.cancel_switch_over();
                Err(ChangeError::PathTaken)
            }
            Err(CommitError::Store(error)) => {
                before.cancel_switch_over();
                Err(error.into())
            }
            Err(CommitError::Unknown(error)) => {
                self.reload(services).await?;
                if *self.snapshot().set() == change.set {
                    return Ok(Attempt::committed(before, change, wanted));
                }
                Err(error.into())
            }
        }
    }

    /// Puts a new snapshot in the place of the one before. What is being signed with a key that has
    /// been revoked is not handed out any more; a key that retires may finish.
    fn install(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let before = self.snapshot.swap(Arc::clone(&snapshot));
        let is_revoked = |key: &Key| {
            let now = snapshot.set().key(key.kid()).map(Key::state);
            matches!(now, Some(State::Revoked(_)))
        };
        if active(before.set()).any(is_revoked) {
            before.leave_office();
        }
    }

    /// The key that would sign although not every live replica publishes it yet, and when it may:
    /// by then whoever lags behind counts as dead, and its lease has ended. What is forced and what
    /// follows from a revocation does not wait.
    async fn key_not_published_everywhere<'c>(
        &self,
        services: &Services,
        request: &ChangeRequest,
        change: &'c Change,
    ) -> Result<Option<(&'c Key, Timestamp)>, StoreError> {
        if !request.command.waits_for_verifiers() {
            return Ok(None);
        }
        let activated = change.events.iter().find_map(|event| match event {
            Event::KeyActivated {
                kid, forced: false, ..
            } => change.set.key(kid),
            _ => None,
        });
        let Some(key) = activated else {
            return Ok(None);
        };
        let behind = replication::behind(&*services.store, &self.name).await?;
        Ok(behind.map(|until| (key, until)))
    }

    /// Takes over what the store had when `stored` was read, unless what is here is as new.
    ///
    /// # Errors
    /// [`LoadError`]; the issuer is as it was, and must not be used any more.
    pub(super) async fn take_over(
        &self,
        services: &Services,
        stored: &StoredSet,
    ) -> Result<(), LoadError> {
        let _writer = self.writer.lock().await;
        let before = self.snapshot();
        if stored.issuer.version > before.set().version() {
            let snapshot = load_snapshot(services, stored, Some(&before), &NewKeys::default())?;
            self.install(snapshot);
        }
        Ok(())
    }

    /// Takes over what the store has. Until that succeeds the old snapshot signs for no longer
    /// than its switch-over allows.
    async fn reload(&self, services: &Services) -> Result<(), ChangeError> {
        self.outcome_unknown.store(true, Ordering::Release);
        let Some(stored) = services.store.load(&self.name).await? else {
            return Err(ChangeError::Vanished);
        };
        let snapshot = load_snapshot(
            services,
            &stored,
            Some(&self.snapshot()),
            &NewKeys::default(),
        )?;
        self.install(snapshot);
        self.outcome_unknown.store(false, Ordering::Release);
        Ok(())
    }

    async fn prepare(
        &self,
        services: &Services,
        before: &Snapshot,
        set: &KeySet,
        fresh: &NewKeys,
    ) -> Result<Snapshot, ChangeError> {
        let known = |key: &Key| {
            before.opened(key.kid()).is_some() || fresh.privates.contains_key(key.kid())
        };
        let stored = if active(set).all(known) {
            None
        } else {
            services.store.load(&self.name).await?
        };
        Ok(build_snapshot(
            services,
            set.clone(),
            stored.as_ref(),
            Some(before),
            fresh,
        )?)
    }
}

enum Attempt {
    Decided {
        committed: Option<Box<Committed>>,
        wanted: Vec<KeySpecification>,
    },
    Conflict,
}

impl Attempt {
    fn committed(before: Arc<Snapshot>, change: Change, wanted: Vec<KeySpecification>) -> Self {
        let committed = Committed {
            before,
            change,
            on_all_replicas: false,
        };
        Self::Decided {
            committed: Some(Box::new(committed)),
            wanted,
        }
    }
}

/// Founds an issuer in the store and puts it into memory.
pub(super) async fn found(
    services: &Services,
    actor: &Actor,
    change: Change,
    time: ChangeTime,
    fresh: NewKeys,
) -> Result<Issuer, ChangeError> {
    let snapshot = build_snapshot(services, change.set.clone(), None, None, &fresh)?;
    let request = ChangeRequest {
        fresh,
        ..ChangeRequest::new(actor.clone(), Command::ApplyPlan)
    };
    let mut conflicts = 0;
    while conflicts < MAX_ATTEMPTS {
        let sealing = Sealing::of(services, &request.fresh).await?;
        let commit = commit_of(sealing.as_ref(), None, &change, &request, time)?;
        match services.store.commit(commit).await {
            Ok(()) => {
                return Ok(Issuer {
                    name: change.set.issuer().clone(),
                    lease: Arc::clone(&services.lease),
                    snapshot: ArcSwap::from_pointee(snapshot),
                    writer: Mutex::new(()),
                    outcome_unknown: AtomicBool::new(false),
                });
            }
            // Another master key seals since.
            Err(CommitError::Conflict) if Sealing::has_changed(&sealing, services).await? => {
                conflicts += 1;
            }
            Err(CommitError::Conflict | CommitError::Late) => break,
            Err(CommitError::PathTaken) => return Err(ChangeError::PathTaken),
            Err(CommitError::Store(error) | CommitError::Unknown(error)) => {
                return Err(error.into());
            }
        }
    }
    Err(ChangeError::Contended)
}

pub(super) fn commit_of(
    sealing: Option<&Sealing<'_>>,
    before: Option<&KeySet>,
    change: &Change,
    request: &ChangeRequest,
    time: ChangeTime,
) -> Result<Commit, ChangeError> {
    let issuer = change.set.issuer();
    let mut sealed = BTreeMap::new();
    for (kid, private) in &request.fresh.privates {
        let key = sealing.ok_or(ChangeError::Unsealable)?.key;
        let bytes = key
            .seal(issuer, kid, private.pkcs8(), random()?)
            .ok_or(ChangeError::Unsealable)?;
        sealed.insert(kid, bytes);
    }
    let unsealed = |key: &Key| {
        let kept = before.and_then(|set| set.key(key.kid())).is_some();
        key.holds_private_half() && !kept && !sealed.contains_key(key.kid())
    };
    if change.set.keys().iter().any(unsealed) {
        return Err(ChangeError::Unsealable);
    }
    let is_new = |kid: &Kid| before.is_none_or(|set| set.key(kid).is_none());
    Ok(Commit {
        issuer: issuer_row(&change.set),
        expected_version: before.map_or(0, KeySet::version),
        keys: key_changes(before, &change.set, &|kid| {
            if is_new(kid) {
                sealed.get(kid).cloned()
            } else {
                None
            }
        }),
        events: audit::rows(change, &request.attribution, request.reason.as_deref()),
        deadline: time.timing.commit_deadline(change.at),
        premise: sealing.map(|sealing| sealing.premise.clone()),
    })
}
