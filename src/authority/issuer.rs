//! One living issuer: its snapshot, and the one way in which it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use keywright_verifier::Kid;
use tokio::sync::Mutex;

use super::audit::{self, Actor, Backing};
use super::lease::Lease;
use super::master_key::Sealing;
use super::opening::{FreshKeys, LoadError, active, assemble, open_view};
use super::replication;
use super::view::{LeasedView, View};
use super::{ChangeError, Foundation};
use crate::engine::{Urgency, random};
use crate::lifecycle::{
    Change, Command, Event, Halt, IssuerName, Key, KeySet, KeySpecification, Moment, Refusal,
    State, Timestamp, decide,
};
use crate::store::record::{issuer_row, key_changes};
use crate::store::{Commit, CommitError, StoreError, StoredSet};

/// One issuer in memory.
pub struct Issuer {
    name: IssuerName,
    view: ArcSwap<View>,
    lease: Arc<Lease>,
    writer: Mutex<()>,
    /// A commit failed and the store could not be asked how it ended.
    unsettled: AtomicBool,
}

/// What is asked of an issuer, and by whom.
pub struct Order {
    /// Who asks, and who has confirmed it.
    pub backing: Backing,
    /// Why, in their own words.
    pub reason: Option<String>,
    /// What they ask.
    pub command: Command,
    /// Keys that the command brings along.
    pub fresh: FreshKeys,
}

impl Order {
    /// Whether nobody but the schedule asks for it.
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self.command, Command::Tick)
    }

    /// A command without a reason that brings no keys along.
    pub fn new(backing: impl Into<Backing>, command: Command) -> Self {
        Self {
            backing: backing.into(),
            reason: None,
            command,
            fresh: FreshKeys::default(),
        }
    }
}

/// A change that was committed.
pub struct Committed {
    /// The set before it.
    pub before: Arc<View>,
    /// What happened.
    pub change: Change,
    /// Whether every replica that lives has taken it over.
    pub is_everywhere: bool,
}

/// How often a change is decided anew because another process was faster, before giving up.
const MOST_CONFLICTS: usize = 16;

impl Issuer {
    /// Puts an issuer into memory as the store has it.
    ///
    /// # Errors
    /// [`LoadError`] when a record is corrupt or a private half does not open.
    pub fn load(foundation: &Foundation, stored: &StoredSet) -> Result<Self, LoadError> {
        let view = open_view(foundation, stored, None, &FreshKeys::default())?;
        Ok(Self {
            name: stored.issuer.name.clone(),
            lease: Arc::clone(&foundation.lease),
            view: ArcSwap::from_pointee(view),
            writer: Mutex::new(()),
            unsettled: AtomicBool::new(false),
        })
    }

    /// The issuer's short name.
    pub fn name(&self) -> &IssuerName {
        &self.name
    }

    /// The snapshot as of now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The snapshot as of now, with the term for which it may be used.
    pub fn leased_view(&self) -> LeasedView {
        LeasedView::take(&self.lease, || self.view())
    }

    /// Decides what is published anew, without the store: for a set whose commit fails.
    pub fn republish(&self, foundation: &Foundation) {
        let time = foundation.lease.time();
        let republished = self.view.load().republished(&foundation.metrics, time);
        self.view.store(Arc::new(republished));
    }

    /// Whether the snapshot is known to be what the store has.
    pub fn is_settled(&self) -> bool {
        !self.unsettled.load(Ordering::Acquire)
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
        foundation: &Foundation,
        mut order: Order,
    ) -> Result<Option<Committed>, ChangeError> {
        let urgency = match order.command {
            Command::Tick => Urgency::Background,
            _ => Urgency::Immediate,
        };
        let mut conflicts = 0;
        while conflicts < MOST_CONFLICTS {
            match self.attempt(foundation, &order).await? {
                Attempt::Unchanged => return Ok(None),
                Attempt::Committed(committed) => return Ok(Some(*committed)),
                Attempt::NeedsKey(wanted) => {
                    order
                        .fresh
                        .add_generated(foundation.engine.generate(wanted, urgency).await?);
                }
                Attempt::Conflict => conflicts += 1,
            }
        }
        Err(ChangeError::Contended)
    }

    async fn attempt(
        &self,
        foundation: &Foundation,
        order: &Order,
    ) -> Result<Attempt, ChangeError> {
        let _writer = self.writer.lock().await;
        if !self.is_settled() {
            self.reload(foundation).await?;
        }
        let before = self.view();
        let moment = foundation.lease.moment();
        if !self.lease.holds() {
            return Err(ChangeError::SnapshotStale);
        }
        let set = before
            .set()
            .clone()
            .having_witnessed(foundation.clock.latest());
        let change = match decide(&set, &order.command, moment, &order.fresh.supply) {
            Ok(Some(change)) => change,
            Ok(None) => return Ok(Attempt::Unchanged),
            Err(Halt::NeedsKey(wanted)) => return Ok(Attempt::NeedsKey(wanted)),
            Err(Halt::Refused(refusal)) => return Err(ChangeError::Refused(refusal)),
        };
        if let Some((key, ready_at)) = self.not_everywhere(foundation, order, &change).await? {
            return match order.command {
                Command::Tick => Err(ChangeError::AwaitsReplicas),
                _ => Err(ChangeError::Refused(Refusal::SuccessorNotReady {
                    algorithm: key.algorithm(),
                    kid: key.kid().clone(),
                    ready_at,
                })),
            };
        }
        // Opening the keys comes before the commit: a key that does not open must not become active.
        let view = self
            .prepare(foundation, &before, &change.set, &order.fresh)
            .await?;
        let sealing = Sealing::of(foundation, &order.fresh).await?;
        let commit = commit_of(sealing.as_ref(), Some(before.set()), &change, order, moment)?;
        let still_active =
            |key: &Key| change.set.active(key.algorithm()).map(Key::kid) == Some(key.kid());
        if !active(before.set()).all(still_active) {
            before.begin_switch_over(change.at);
        }
        match foundation.store.commit(commit).await {
            Ok(()) => {
                self.install(view);
                Ok(Attempt::committed(before, change))
            }
            Err(CommitError::Conflict) => {
                self.reload(foundation).await?;
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
                self.reload(foundation).await?;
                if *self.view().set() == change.set {
                    return Ok(Attempt::committed(before, change));
                }
                Err(error.into())
            }
        }
    }

    /// Puts a new snapshot in the place of the one before. What is being signed with a key that has
    /// been revoked is not handed out any more; a key that retires may finish.
    fn install(&self, view: View) {
        let view = Arc::new(view);
        let before = self.view.swap(Arc::clone(&view));
        let is_revoked = |key: &Key| {
            let now = view.set().key(key.kid()).map(Key::state);
            matches!(now, Some(State::Revoked(_)))
        };
        if active(before.set()).any(is_revoked) {
            before.leave_office();
        }
    }

    /// The key that would sign although not every live replica publishes it yet, and when it may:
    /// by then whoever lags behind counts as dead, and its lease has ended. What is forced and what
    /// follows from a revocation does not wait.
    async fn not_everywhere<'c>(
        &self,
        foundation: &Foundation,
        order: &Order,
        change: &'c Change,
    ) -> Result<Option<(&'c Key, Timestamp)>, StoreError> {
        if !order.command.waits_for_verifiers() {
            return Ok(None);
        }
        let activated = change.events.iter().find_map(|event| match event {
            Event::KeyActivated { kid, .. } => change.set.key(kid),
            _ => None,
        });
        let Some(key) = activated else {
            return Ok(None);
        };
        let behind = replication::behind(&*foundation.store, &self.name).await?;
        Ok(behind.map(|until| (key, until)))
    }

    /// Takes over what the store had when `stored` was read, unless what is here is as new.
    ///
    /// # Errors
    /// [`LoadError`]; the issuer is as it was, and must not be used any more.
    pub(super) async fn take_over(
        &self,
        foundation: &Foundation,
        stored: &StoredSet,
    ) -> Result<(), LoadError> {
        let _writer = self.writer.lock().await;
        let before = self.view();
        if stored.issuer.version > before.set().version() {
            let view = open_view(foundation, stored, Some(&before), &FreshKeys::default())?;
            self.install(view);
        }
        Ok(())
    }

    /// Takes over what the store has. Until that succeeds the old snapshot signs for no longer
    /// than its switch-over allows.
    async fn reload(&self, foundation: &Foundation) -> Result<(), ChangeError> {
        self.unsettled.store(true, Ordering::Release);
        let Some(stored) = foundation.store.load(&self.name).await? else {
            return Err(ChangeError::Vanished);
        };
        let view = open_view(
            foundation,
            &stored,
            Some(&self.view()),
            &FreshKeys::default(),
        )?;
        self.install(view);
        self.unsettled.store(false, Ordering::Release);
        Ok(())
    }

    async fn prepare(
        &self,
        foundation: &Foundation,
        before: &View,
        set: &KeySet,
        fresh: &FreshKeys,
    ) -> Result<View, ChangeError> {
        let known = |key: &Key| {
            before.opened(key.kid()).is_some() || fresh.privates.contains_key(key.kid())
        };
        let stored = if active(set).all(known) {
            None
        } else {
            foundation.store.load(&self.name).await?
        };
        Ok(assemble(
            foundation,
            set.clone(),
            stored.as_ref(),
            Some(before),
            fresh,
        )?)
    }
}

enum Attempt {
    Unchanged,
    Committed(Box<Committed>),
    NeedsKey(KeySpecification),
    Conflict,
}

impl Attempt {
    fn committed(before: Arc<View>, change: Change) -> Self {
        Self::Committed(Box::new(Committed {
            before,
            change,
            is_everywhere: false,
        }))
    }
}

/// Founds an issuer in the store and puts it into memory.
pub(super) async fn found(
    foundation: &Foundation,
    actor: &Actor,
    change: Change,
    moment: Moment,
    fresh: FreshKeys,
) -> Result<Issuer, ChangeError> {
    let view = assemble(foundation, change.set.clone(), None, None, &fresh)?;
    let order = Order {
        fresh,
        ..Order::new(actor.clone(), Command::Tick)
    };
    let mut conflicts = 0;
    while conflicts < MOST_CONFLICTS {
        let sealing = Sealing::of(foundation, &order.fresh).await?;
        let commit = commit_of(sealing.as_ref(), None, &change, &order, moment)?;
        match foundation.store.commit(commit).await {
            Ok(()) => {
                return Ok(Issuer {
                    name: change.set.issuer().clone(),
                    lease: Arc::clone(&foundation.lease),
                    view: ArcSwap::from_pointee(view),
                    writer: Mutex::new(()),
                    unsettled: AtomicBool::new(false),
                });
            }
            // Another master key seals since.
            Err(CommitError::Conflict) if Sealing::has_changed(&sealing, foundation).await? => {
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
    order: &Order,
    moment: Moment,
) -> Result<Commit, ChangeError> {
    let issuer = change.set.issuer();
    let mut sealed = BTreeMap::new();
    for (kid, private) in &order.fresh.privates {
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
        events: audit::rows(change, &order.backing, order.reason.as_deref()),
        deadline: Lease::deadline(moment),
        premise: sealing.map(|sealing| sealing.premise.clone()),
    })
}
