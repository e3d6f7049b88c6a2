//! One living issuer: its snapshot, and the one way in which it changes.
//!
//! Every change is made in one order, on every store: *lock, stamp, decide, commit, install*; then
//! the caller is answered, and what is left to tidy up follows. Nothing that may take long stands
//! between the stamp and the moment at which the change is in force: keys are generated before, and
//! what a commit has left behind is cleared after.

use std::sync::Arc;

use arc_swap::ArcSwap;
use keywright_verifier::Kid;
use tokio::sync::Mutex;

use super::audit::{self};
use super::lease::Lease;
use super::load::{LoadError, NewKeys, build_snapshot, load_snapshot, signing};
use super::master_key::CommitSealing;
use super::permit::Replaces;
use super::replication::lag;
use super::request::{ChangeRequest, Changed, Committed, Request};
use super::revocations::Revocations;
use super::snapshot::{LeasedSnapshot, Snapshot};
use super::status_lists::StatusLists;
use super::{ChangeError, Services};
use crate::lifecycle::{
    Adoption, Change, ChangeTime, Command, Decision, Event, IssuerName, Key, KeySet, RuleViolation,
    State, decide,
};
use crate::store::SetTokens;
use crate::store::documents::writes;
use crate::store::{Batch, BatchId, CommitError, StoreError, StoredSet};
use crate::telemetry::traces::{child_span, note_issuer};

/// One issuer in memory.
pub struct Issuer {
    name: IssuerName,
    snapshot: ArcSwap<Snapshot>,
    lease: Arc<Lease>,
    revocations: Arc<Revocations>,
    status_lists: Arc<StatusLists>,
    /// A commit whose outcome the store could not tell yet.
    writer: Mutex<Option<BatchId>>,
}

/// How often a change is decided anew because another process was faster, before giving up.
pub(super) const MAX_ATTEMPTS: usize = 16;

impl Issuer {
    /// Puts an issuer into memory as the store has it.
    ///
    /// # Errors
    /// [`LoadError`] when a record is corrupt or a private half does not open.
    pub fn load(services: &Services, stored: &StoredSet) -> Result<Self, LoadError> {
        let snapshot = load_snapshot(services, stored, None, &NewKeys::default())?;
        Ok(Self::with(services, snapshot))
    }

    fn with(services: &Services, snapshot: Snapshot) -> Self {
        let name = snapshot.set().issuer().clone();
        let salt = services.revocation_secret.salt(&name);
        let status_lists = StatusLists::new(services, &name);
        let revocations = Revocations::new(salt, status_lists.keys().clone());
        Self {
            name,
            lease: Arc::clone(&services.lease),
            revocations: Arc::new(revocations),
            status_lists: Arc::new(status_lists),
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(None),
        }
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
        let (revocations, status_lists) = (&self.revocations, &self.status_lists);
        LeasedSnapshot::take(&self.lease, revocations, status_lists, || self.snapshot())
    }

    /// For how long what is in memory may be used.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The tokens of the issuer that were taken back.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The status lists of the issuer.
    pub fn status_lists(&self) -> &Arc<StatusLists> {
        &self.status_lists
    }

    /// Decides what is published anew, without the store: for a set whose commit fails. A snapshot
    /// that takes its place meanwhile stays.
    pub fn republish(&self, services: &Services) {
        let time = services.lease.time();
        self.snapshot
            .rcu(|snapshot| snapshot.republished(&services.metrics, time));
    }

    /// Whether there is a commit whose outcome the store could not tell. A change that is under way
    /// finds out by itself.
    pub fn outcome_is_unknown(&self) -> bool {
        (self.writer.try_lock()).is_ok_and(|unknown| unknown.is_some())
    }

    /// Changes the issuer, with the keys that the request brings along. This must not be dropped
    /// half-way.
    ///
    /// # Errors
    /// [`ChangeError`]; the issuer is as it was, unless the error says that this is not known.
    pub(super) async fn change(
        &self,
        services: &Services,
        request: &ChangeRequest,
        adoption: &Adoption,
    ) -> Result<Changed, ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(changed) = self.attempt(services, request, adoption).await? {
                return Ok(changed);
            }
        }
        Err(ChangeError::Contended)
    }

    /// One attempt; `None` when it must be decided anew.
    async fn attempt(
        &self,
        services: &Services,
        request: &ChangeRequest,
        adoption: &Adoption,
    ) -> Result<Option<Changed>, ChangeError> {
        // Lock.
        note_issuer(self.name.as_str());
        let step = child_span("lock");
        let mut unknown = self.writer.lock().await;
        let precondition = &request.request.precondition;
        // Another process may have changed the issuer: a condition is judged on what the store has.
        let is_shared = services.store.replicas().is_some();
        if unknown.is_some() || (is_shared && !precondition.is_none()) {
            self.reload(services, &mut unknown).await?;
        }
        let writer = services.store.writer().await?;
        // Stamp.
        drop(step);
        let step = child_span("decide");
        let before = self.snapshot();
        let time = services.lease.change_time();
        services.require_believed_time()?;
        // Decide.
        if !precondition.allows(Some(&before.tokens().issuer.to_string())) {
            return Err(ChangeError::PreconditionFailed);
        }
        let attestation = request.request.attestation();
        let (command, keys) = (&request.command, &request.fresh.supply);
        let decide = |command| decide(before.set(), command, attestation, time, keys, adoption);
        let mut decision = match decide(command) {
            Ok(decision) => decision,
            Err(violation) => {
                request.request.still_waits(services).await?;
                return Err(ChangeError::Refused(violation));
            }
        };
        if let Some(refusal) = self.lagging_replica(services, request, &decision).await? {
            if !request.is_scheduled() {
                return Err(ChangeError::Refused(refusal));
            }
            decision = decide(&Command::ApplyPlanWithoutRotation).map_err(ChangeError::Refused)?;
            if decision.change.is_none() && decision.wanted.is_empty() {
                return Err(ChangeError::AwaitsReplicas);
            }
        }
        let Decision { change, wanted } = decision;
        let Some(change) = change else {
            if let Some(confirmation) = &request.request.confirmation {
                let mut batch = services.new_batch()?;
                batch.when_disk_full = request.when_disk_full();
                confirmation.add_to(&mut batch);
                match services.commit_with(writer, batch).await {
                    Ok(_) => {}
                    Err(CommitError::Conflict) => {
                        request.request.still_waits(services).await?;
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let committed = None;
            return Ok(Some(Changed { committed, wanted }));
        };
        if let Err(outdated) = request.request.check_basis(before.set()) {
            request.request.still_waits(services).await?;
            return Err(outdated);
        }
        drop(step);
        let step = child_span("open keys");
        // Opening the keys comes before the commit: a key that does not open must not become active.
        let basis = Some((before.set(), before.tokens()));
        let sealing = CommitSealing::of(services, &request.fresh).await?;
        let batch = batch(services, basis, &change, request, time, sealing.as_ref())?;
        let tokens = before.tokens().followed_by(batch.id, &batch.writes);
        let snapshot = self
            .prepare(
                services,
                &before,
                change.set.clone(),
                tokens,
                &request.fresh,
            )
            .await?;
        drop(step);
        // Commit.
        let still_signs = |key: &Key| change.set.key(key.kid()).is_some_and(Key::signs);
        let replaces = if signing(before.set()).all(still_signs) {
            Replaces::Publication
        } else {
            Replaces::Signer
        };
        let permit = before.permit();
        let duration = time.timing.old_set_until(change.at).since(change.at);
        let switch_over = permit.begin_switch_over(replaces, duration, &services.clock);
        let rounds = services.lease.rounds();
        // A panic leaves it unknown, and the next change finds out.
        *unknown = Some(batch.id);
        let outcome = match services.commit_with(writer, batch).await {
            Ok(_) => {
                // Install.
                let _step = child_span("install");
                self.install(snapshot);
                if services.lease.rounds() != rounds {
                    // The answer may be that of a store that has been replaced since.
                    self.reload(services, &mut unknown).await?;
                }
                let committed = Committed {
                    before,
                    installed_at: services.clock.now().max(change.at),
                    change,
                    on_all_replicas: false,
                };
                Ok(Some(Changed {
                    committed: Some(committed),
                    wanted,
                }))
            }
            Err(CommitError::Conflict) => {
                self.load_stored(services, &mut unknown).await?;
                request.request.still_waits(services).await?;
                return Ok(None);
            }
            Err(CommitError::Unknown(error)) => return Err(error.into()),
            Err(refusal) => {
                switch_over.take_back();
                match refusal {
                    CommitError::Late => Ok(None),
                    CommitError::NotUnique => Err(ChangeError::PathTaken),
                    other => Err(other.into()),
                }
            }
        };
        *unknown = None;
        outcome
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
        if signing(before.set()).any(is_revoked) {
            before.permit().revoke();
        }
        // A head that a key has signed which is gone is worth nothing.
        self.revocations.notify();
    }

    /// Why a key must not sign yet: a live replica does not publish it. It may when that one counts
    /// as dead, and its lease has ended. What is forced and what follows from a revocation does not
    /// wait.
    async fn lagging_replica(
        &self,
        services: &Services,
        request: &ChangeRequest,
        decision: &Decision,
    ) -> Result<Option<RuleViolation>, StoreError> {
        let Some(change) = &decision.change else {
            return Ok(None);
        };
        let activated = change.events.iter().find_map(|event| match event {
            Event::KeyActivated {
                kid, forced: false, ..
            }
            | Event::KeyCanaryStarted { kid, .. } => change.set.key(kid),
            _ => None,
        });
        let Some(key) = activated.filter(|_| request.command.waits_for_verifiers()) else {
            return Ok(None);
        };
        let until = lag::lagging_replica(&*services.store, &self.name).await?;
        Ok(until.map(|ready_at| RuleViolation::SuccessorNotReady {
            algorithm: key.algorithm(),
            kid: key.kid().clone(),
            ready_at,
        }))
    }

    /// Takes over what the store had when `stored` was read, unless it is here already. A set that
    /// does not clearly come after the one that is here is read again, behind the commits of this
    /// process.
    ///
    /// # Errors
    /// [`ChangeError`]; the issuer is as it was, and must not be used any more.
    pub(super) async fn take_over(
        &self,
        services: &Services,
        stored: &StoredSet,
        is_continued: bool,
    ) -> Result<(), ChangeError> {
        let mut unknown = self.writer.lock().await;
        let before = self.snapshot();
        if *before.tokens() == SetTokens::of(stored) {
            return Ok(());
        }
        let is_newer = is_continued && stored.issuer.version > before.set().version();
        if unknown.is_some() || !is_newer {
            return self.reload(services, &mut unknown).await;
        }
        let snapshot = load_snapshot(services, stored, Some(&before), &NewKeys::default())?;
        self.install_stored(services, snapshot);
        Ok(())
    }

    /// Installs what another process has committed, or may have. An attacker who has read that process may have
    /// read this one, so a revocation makes this one forget the keys that it has in reserve, too.
    fn install_stored(&self, services: &Services, snapshot: Snapshot) {
        let before = self.snapshot();
        let is_revoked = |set: &KeySet, kid: &Kid| {
            let key = set.key(kid);
            key.is_some_and(|key| matches!(key.state(), State::Revoked(_)))
        };
        let mut kids = snapshot.set().keys().iter().map(Key::kid);
        if kids.any(|kid| is_revoked(snapshot.set(), kid) && !is_revoked(before.set(), kid)) {
            services.engine.forget_reserve();
        }
        self.install(snapshot);
    }

    /// Takes over what the store has. A commit whose outcome is not known is settled first: it may
    /// still come to stand.
    async fn reload(
        &self,
        services: &Services,
        unknown: &mut Option<BatchId>,
    ) -> Result<(), ChangeError> {
        if let Some(batch) = *unknown {
            services.store.outcome(batch).await?;
        }
        self.load_stored(services, unknown).await
    }

    /// Takes over what the store has. Until that succeeds the old snapshot signs for no longer
    /// than its permit says, and the next change tries again.
    async fn load_stored(
        &self,
        services: &Services,
        unknown: &mut Option<BatchId>,
    ) -> Result<(), ChangeError> {
        let Some(stored) = services.load(&self.name).await? else {
            return Err(ChangeError::Vanished);
        };
        let before = self.snapshot();
        let snapshot = load_snapshot(services, &stored, Some(&before), &NewKeys::default())?;
        self.install_stored(services, snapshot);
        *unknown = None;
        Ok(())
    }

    async fn prepare(
        &self,
        services: &Services,
        before: &Snapshot,
        set: KeySet,
        tokens: SetTokens,
        fresh: &NewKeys,
    ) -> Result<Snapshot, ChangeError> {
        let known = |key: &Key| {
            before.opened(key.kid()).is_some() || fresh.privates.contains_key(key.kid())
        };
        let stored = if signing(&set).all(known) {
            None
        } else {
            services.load(&self.name).await?
        };
        let stored = stored.as_ref();
        Ok(build_snapshot(
            services,
            set,
            tokens,
            stored,
            Some(before),
            fresh,
        )?)
    }
}

/// Creates an issuer in the store and puts it into memory.
pub(super) async fn create(
    services: &Services,
    request: &ChangeRequest,
    change: Change,
    time: ChangeTime,
) -> Result<Issuer, ChangeError> {
    for _ in 0..MAX_ATTEMPTS {
        let sealing = CommitSealing::of(services, &request.fresh).await?;
        let batch = batch(services, None, &change, request, time, sealing.as_ref())?;
        let tokens = SetTokens::UNWRITTEN.followed_by(batch.id, &batch.writes);
        let set = change.set.clone();
        let snapshot = build_snapshot(services, set, tokens, None, None, &request.fresh)?;
        let writer = services.store.writer().await?;
        match services.commit_with(writer, batch).await {
            Ok(_) => return Ok(Issuer::with(services, snapshot)),
            // Another master key may seal since.
            Err(CommitError::Conflict)
                if services.store.key_set(change.set.issuer()).await?.is_none() => {}
            Err(CommitError::Conflict | CommitError::Late | CommitError::Final) => break,
            Err(CommitError::NotUnique) => return Err(ChangeError::PathTaken),
            Err(CommitError::Store(error) | CommitError::Unknown(error)) => {
                return Err(error.into());
            }
        }
    }
    Err(ChangeError::Contended)
}

/// What writes a change: of an issuer that exists, or of one that does not yet.
pub(super) fn batch(
    services: &Services,
    before: Option<(&KeySet, &SetTokens)>,
    change: &Change,
    request: &ChangeRequest,
    time: ChangeTime,
    sealing: Option<&CommitSealing<'_>>,
) -> Result<Batch, ChangeError> {
    let sealed = match sealing {
        Some(sealing) => {
            sealing.seal_all(change.set.issuer(), &request.fresh, &services.entropy)?
        }
        None => Default::default(),
    };
    let unsealed = |key: &Key| {
        let kept = before.and_then(|(set, _)| set.key(key.kid())).is_some();
        key.holds_private_half() && !kept && !sealed.contains_key(key.kid())
    };
    if change.set.keys().iter().any(unsealed) {
        return Err(ChangeError::Unsealable);
    }
    let Request {
        attribution,
        reason,
        confirmation,
        precondition: _,
        ended_grant: _,
        event_token: _,
    } = &request.request;
    let mut batch = services.new_batch()?;
    batch.not_after = Some(time.timing.commit_deadline(change.at));
    // A new issuer can wait.
    if before.is_some() {
        batch.when_disk_full = request.when_disk_full();
    }
    let expectation = sealing.map(|sealing| sealing.expectation.clone());
    batch.expectations.extend(expectation);
    batch.writes = writes(before, &change.set, sealed);
    if let Some(confirmation) = confirmation {
        confirmation.add_to(&mut batch);
    }
    let events = audit::rows(change, attribution, reason.as_deref());
    batch.events.extend(events);
    Ok(batch)
}
