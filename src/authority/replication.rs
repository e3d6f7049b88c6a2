//! One of several processes on one store: takes over what the others change, tells them how far it
//! has come, and renews its lease.
//!
//! The order within one round is what all the rest stands on. First the clock is read, then the
//! store is asked what has changed, then memory takes it over, then the others are told, and only
//! then the lease is renewed, from the reading at the beginning. So a replica that holds a lease
//! serves everything that was committed before the lease began, and the others know it.

pub(super) mod lag;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::adoption::{OtherReplicas, SeenByReplica};
use super::issuer::Issuer;
use super::lease::{ClockDiffers, Lease};
use super::{Authority, ChangeError, Services};
use crate::engine::RandomnessUnavailable;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::chain::LogHead;
use crate::store::replicas::{Changes, Heartbeat, ReplicaList, ReplicaStore};
use crate::store::seal::UnsealError;
use crate::store::{CommitError, StoreError, StoredSet};

/// This process among those that share its store.
pub struct OwnReplica {
    id: String,
    document: Map<String, Value>,
    max_staleness: Duration,
    progress: Mutex<Progress>,
    /// How many live replicas come before this one in the order of identifiers.
    rank: AtomicU32,
    /// What the others have told of the verifiers that they have seen.
    others: OtherReplicas,
}

/// How far a replica has come.
struct Progress {
    /// The event up to which everything is in memory.
    through: LogHead,
    /// What it last told the others, and when by the monotonic clock; `None` before the first time,
    /// and when that has not renewed the lease.
    told: Option<(LogHead, Duration)>,
    /// How long it may be silent: it is asked again with each change of a policy.
    longest_silence: Duration,
    /// When its last heartbeat that was answered was written, by the store's clock.
    acknowledged: Option<Timestamp>,
}

/// Why a replica does not join, or is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time of day is not the store's.
    #[error(transparent)]
    Clock(#[from] ClockDiffers),
    /// Others run with another staleness.
    #[error(
        "store.max_staleness is {ours:?} here, and replicas that are running have agreed on \
         {theirs:?}: set it alike everywhere; to change it, stop all replicas first"
    )]
    Disagreement {
        /// What this process was configured with.
        ours: Duration,
        /// What the others have agreed on.
        theirs: Duration,
    },
    /// The replica did not count as live until now, and others may have committed without it. It
    /// does from here on, and the next round renews.
    #[error("the other replicas have not counted with this one until now; it asks again")]
    NotCounted,
    /// What seals the store has changed to a key that is not here.
    #[error("what seals the store cannot be used: {0}")]
    Sealing(UnsealError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
}

/// A round is made at least this often, however long the lease.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A change waits for a second until the others have taken it over, before it is answered: it looks
/// so often, with so much between two looks.
const MOST_LOOKS: u32 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much later than the one before it in rank a replica begins what is due. Nothing depends on
/// it; without it every replica would generate the key that only one of them publishes.
const START_DELAY_PER_RANK: Duration = Duration::from_secs(2);

impl OwnReplica {
    /// Joins the others, if there can be others.
    ///
    /// # Errors
    /// [`ReplicationError`].
    pub(super) async fn join(services: &Services) -> Result<Option<Self>, ReplicationError> {
        match (services.store.replicas(), services.lease.max_staleness()) {
            (Some(shared), Some(max_staleness)) => {
                let replica = Self::enter(services, shared, max_staleness).await?;
                Ok(Some(replica))
            }
            _ => Ok(None),
        }
    }

    /// The store has had everything up to this event, and memory has it.
    pub(super) async fn begin_after(&self, event: LogHead) {
        self.progress.lock().await.through = event;
    }

    /// Enters the roll, and agrees with the others on the staleness or finds that they have agreed
    /// on another one. The row is written before the agreement is read, so that of two that join
    /// with different settings at least one sees the other.
    async fn enter(
        services: &Services,
        shared: &dyn ReplicaStore,
        max_staleness: Duration,
    ) -> Result<Self, ReplicationError> {
        let replica = Self {
            id: services.entropy.name::<8>()?,
            document: services.describe(),
            max_staleness,
            progress: Mutex::new(Progress {
                through: LogHead::BEGINNING,
                told: None,
                longest_silence: Duration::ZERO,
                acknowledged: None,
            }),
            rank: AtomicU32::new(0),
            others: OtherReplicas::default(),
        };
        loop {
            let sent = services.clock.read();
            let heartbeat = replica.heartbeat(LogHead::BEGINNING, &services.lease, None);
            let roll = shared.write_heartbeat(&heartbeat).await?;
            let others = roll.live().any(|one| one.heartbeat.replica != replica.id);
            match roll.max_staleness {
                Some(agreed) if agreed == max_staleness => {
                    services.lease.check_clock(sent, roll.now)?;
                    let written = roll.of(&replica.id).map(|own| own.seen_at);
                    replica.progress.lock().await.acknowledged = written;
                    return Ok(replica);
                }
                Some(agreed) if others => {
                    shared.remove_replica(&replica.id).await?;
                    return Err(ReplicationError::Disagreement {
                        ours: max_staleness,
                        theirs: agreed,
                    });
                }
                agreed => match shared.set_max_staleness(agreed, max_staleness).await {
                    // One that has just begun under the old agreement, unseen, ends by then.
                    Ok(()) => {
                        services.clock.wait_for(agreed.unwrap_or_default()).await;
                    }
                    Err(CommitError::Store(error) | CommitError::Unknown(error)) => {
                        return Err(error.into());
                    }
                    // Another replica was faster; its proposal is looked at.
                    Err(_) => {}
                },
            }
        }
    }

    /// Its identifier: new with each start of the process.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the others have told of the verifiers that they have seen.
    pub(super) fn others(&self) -> &OtherReplicas {
        &self.others
    }

    /// What it tells the others: that it has everything up to this event, by what time it has
    /// issued tokens until then at the latest, and which verifiers it has seen.
    fn heartbeat(
        &self,
        through: LogHead,
        lease: &Lease,
        seen: Option<&SeenByReplica>,
    ) -> Heartbeat {
        let mut document = self.document.clone();
        let time = lease.issue_time().millis();
        document.insert("time".to_owned(), time.into());
        if let Some(Ok(seen)) = seen.map(serde_json::to_value) {
            document.insert(SeenByReplica::MEMBER.to_owned(), seen);
        }
        Heartbeat {
            replica: self.id.clone(),
            through,
            document: Value::Object(document).to_string(),
        }
    }

    /// How long it pauses between two rounds that nothing else begins.
    fn pause(&self) -> Duration {
        (self.max_staleness / 10).min(LONGEST_PAUSE)
    }

    /// How much later than others it begins what is due.
    pub(super) fn start_delay(&self) -> Duration {
        START_DELAY_PER_RANK * self.rank.load(Ordering::Relaxed)
    }

    /// What the roll says of it.
    fn update_rank(&self, roll: &ReplicaList) {
        let before = roll.live().filter(|one| one.heartbeat.replica < self.id);
        let rank = u32::try_from(before.count()).unwrap_or(u32::MAX);
        self.rank.store(rank, Ordering::Relaxed);
    }
}

impl Services {
    /// What the others and people are told of this process.
    fn describe(&self) -> Map<String, Value> {
        let started_at = self.clock.now().floor_seconds();
        let mut document = self.identity.clone();
        document.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        document.insert("started_at".to_owned(), started_at.into());
        let keys = self.master_keys.fingerprints().into_iter();
        let keys: Vec<String> = keys.map(|key| key.to_string()).collect();
        document.insert("master_keys".to_owned(), keys.into());
        document
    }
}

/// Makes rounds until it is dropped: when the store says that something has changed, and now and
/// then anyway.
pub async fn run(authority: Arc<Authority>) {
    let services = &authority.services;
    let (Some(replica), Some(shared)) = (&authority.replica, services.store.replicas()) else {
        return;
    };
    let mut in_touch = true;
    loop {
        let next = services.clock.now().after(replica.pause());
        tokio::select! {
            () = shared.wait_for_change() => {}
            () = services.clock.sleep_until(next) => {}
        }
        let outcome = authority.catch_up().await;
        let remaining = services.lease.remaining();
        let lease_remaining_seconds = remaining.map(|left| left.as_secs_f64());
        match &outcome {
            Ok(()) if !in_touch => tracing::info!("the store confirms what is in memory again"),
            Ok(()) => {}
            Err(error) if in_touch => {
                tracing::warn!(%error, lease_remaining_seconds, "the store does not confirm what is in memory");
            }
            Err(error) => tracing::debug!(%error, lease_remaining_seconds, "still not confirmed"),
        }
        in_touch = outcome.is_ok();
        if !in_touch {
            authority.metrics().report_unconfirmed_round();
        }
    }
}

impl Authority {
    /// One round, and another one where the other replicas count with this one from here on.
    ///
    /// # Errors
    /// [`ReplicationError`]; the lease is not renewed then.
    pub async fn catch_up(&self) -> Result<(), ReplicationError> {
        match self.round().await {
            Err(ReplicationError::NotCounted) => self.round().await,
            outcome => outcome,
        }
    }

    /// One round: takes over what has changed, tells the others, and renews the lease.
    async fn round(&self) -> Result<(), ReplicationError> {
        let Services {
            store,
            clock,
            lease,
            ..
        } = &self.services;
        let (Some(replica), Some(shared)) = (&self.replica, store.replicas()) else {
            return Ok(());
        };
        let mut progress = replica.progress.lock().await;
        let asked = clock.read();
        let positions = lease.begin_round();
        let Changes {
            head,
            is_continued,
            sets,
            clients,
            names_revocations,
        } = shared.changes(progress.through, &positions).await?;
        if !is_continued {
            tracing::error!(
                known = %progress.through,
                found = %head,
                "the store has lost commits that this replica knew: everything is loaded anew, and \
                 nothing is signed until then"
            );
            lease.end();
            lease.log_has_lost_events(head);
            progress.told = None;
        }
        lease.log_reaches(head);
        self.take_over_issuers(&sets, is_continued).await?;
        if let Some(clients) = &clients {
            self.take_over_clients(clients).await?;
        }
        if names_revocations {
            self.take_over_revocations(progress.through, head, is_continued)
                .await?;
        }
        progress.through = head;
        lease.forget_positions(&positions);
        let longest_silence = progress.longest_silence;
        let is_due = progress.told.is_none_or(|(through, at)| {
            through != head || asked.monotonic.saturating_sub(at) >= longest_silence
        });
        if !is_due {
            return Ok(());
        }
        let previous = progress.acknowledged;
        progress.told = None;
        let sent = clock.read();
        let heartbeat = replica.heartbeat(head, lease, Some(&self.seen_by_this_replica()));
        let list = shared.write_heartbeat(&heartbeat).await?;
        let took = clock.read().monotonic.saturating_sub(sent.monotonic);
        progress.acknowledged = list.of(&replica.id).map(|own| own.seen_at);
        replica.update_rank(&list);
        replica.others.update(&list, &replica.id);
        if let Some(theirs) = list.max_staleness
            && theirs != replica.max_staleness
        {
            return Err(ReplicationError::Disagreement {
                ours: replica.max_staleness,
                theirs,
            });
        }
        lease.check_clock(sent, list.now)?;
        // The heartbeat before this one was answered before the store was asked. If it still counts
        // as live now, each commit until now has counted with this replica, or waits for it.
        let answered = list.now.after(took);
        let counted = |written: Timestamp| answered.since(written) <= replica.max_staleness;
        if !previous.is_some_and(counted) {
            return Err(ReplicationError::NotCounted);
        }
        lease.renew(asked);
        progress.told = Some((head, sent.monotonic));
        progress.longest_silence = self.longest_silence(replica.max_staleness);
        Ok(())
    }

    /// How long this process may go without asking for its lease: it must not end, and heads of what is
    /// revoked, which are of the time at which it was asked for, must not grow old.
    fn longest_silence(&self, max_staleness: Duration) -> Duration {
        let issuers = self.issuers();
        let max_ages = issuers
            .iter()
            .map(|issuer| issuer.snapshot().set().policy().revocation_max_age);
        let shortest = max_ages.chain([max_staleness]).min();
        shortest.unwrap_or(max_staleness) / 6
    }

    /// Waits until every live replica has taken over what is committed now, for a second at most.
    /// Whether they have.
    pub(super) async fn on_all_replicas(&self) -> bool {
        let clock = &self.services.clock;
        let Some(shared) = self.services.store.replicas() else {
            return true;
        };
        let Ok(head) = self.services.store.log_head().await else {
            return false;
        };
        for _ in 0..MOST_LOOKS {
            // Our own heartbeat is one of those that are waited for.
            if self.catch_up().await.is_err() {
                return false;
            }
            let Ok(roll) = shared.replicas().await else {
                return false;
            };
            if roll.all_have(head.sequence) {
                return true;
            }
            clock.sleep(LOOK_EVERY).await;
        }
        false
    }

    /// Everyone who shares the store; `None` when this process alone uses it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn replicas(&self) -> Result<Option<ReplicaList>, StoreError> {
        match self.services.store.replicas() {
            Some(shared) => Ok(Some(shared.replicas().await?)),
            None => Ok(None),
        }
    }

    /// Takes this process off the roll: it serves no more.
    ///
    /// # Errors
    /// When the store does not answer; the others then wait until it is overdue.
    pub async fn leave(&self) -> Result<(), StoreError> {
        match (&self.replica, self.services.store.replicas()) {
            (Some(replica), Some(shared)) => shared.remove_replica(replica.id()).await,
            _ => Ok(()),
        }
    }

    /// Takes over the sets that the store has. Where it has lost commits they are all that it has:
    /// an issuer that is not among them is gone.
    async fn take_over_issuers(
        &self,
        sets: &[StoredSet],
        is_continued: bool,
    ) -> Result<(), StoreError> {
        let mut arrived = Vec::new();
        let mut refused: Vec<(&StoredSet, ChangeError)> = Vec::new();
        for stored in sets {
            let name = stored.issuer.key.id.as_str();
            let known = self.directory.find(name).ok();
            let is_known = known.is_some();
            let outcome = match known {
                Some(issuer) => {
                    let outcome = issuer.take_over(&self.services, stored, is_continued).await;
                    outcome.map(|()| issuer)
                }
                None => match Issuer::load(&self.services, stored) {
                    Ok(issuer) => {
                        self.load_all_revocations(&issuer).await?;
                        Ok(Arc::new(issuer))
                    }
                    Err(error) => Err(ChangeError::from(error)),
                },
            };
            match outcome {
                Ok(issuer) => {
                    self.schedule(&issuer);
                    if !is_known || issuer.snapshot().set().deleted_at().is_some() {
                        arrived.push(issuer);
                    }
                }
                Err(ChangeError::Store(error)) => return Err(error),
                Err(error) => refused.push((stored, error)),
            }
        }
        let is_gone = |name: &IssuerName| {
            let is_named = |stored: &StoredSet| stored.issuer.key.id == name.as_str();
            !is_continued && !sets.iter().any(is_named)
        };
        if arrived.is_empty() && refused.is_empty() && is_continued {
            return Ok(());
        }
        self.directory.edit(|issuers| {
            for issuer in arrived {
                if issuer.snapshot().set().deleted_at().is_some() {
                    issuers.add(issuer);
                } else {
                    issuers.add_new(issuer);
                }
            }
            for (stored, error) in &refused {
                issuers.refuse(stored, error);
            }
            let gone: Vec<IssuerName> = issuers
                .names()
                .filter(|name| is_gone(name))
                .cloned()
                .collect();
            for name in &gone {
                tracing::error!(issuer = %name, "issuer lost with the commits of the store");
                issuers.forget(name);
            }
        });
        Ok(())
    }
}
