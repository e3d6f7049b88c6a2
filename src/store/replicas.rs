//! A store that several processes use: what each tells the others, and how it learns of their
//! changes.
//!
//! The audit log is the change feed. Every commit writes its events in the transaction of the
//! change, and their numbers grow in the order of the commits; a replica that has taken over
//! everything up to one event has every record as it was at that event. An event is named by its
//! number *and* its hash: a database that has lost commits may have given the number to another
//! event, and a replica that knew the lost one must notice.

use std::time::Duration;

use async_trait::async_trait;

use super::chain::LogHead;
use super::record::{Record, StoredSet};
use super::{CommitError, StoreError};
use crate::lifecycle::{IssuerName, Timestamp};

/// What has changed since an event, from one consistent state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The last event.
    pub head: LogHead,
    /// Whether every event that was asked about stands in the log. If not, the store has lost what
    /// the replica knew, and everything counts as changed.
    pub is_continued: bool,
    /// The key sets that events after it concern, in the order of their names.
    pub sets: Vec<StoredSet>,
    /// Every client, if an event after it concerns no issuer: then a client may have changed.
    pub clients: Option<Vec<Record>>,
    /// Whether an event after it names revocations of tokens, which are read by name.
    pub names_revocations: bool,
}

/// What a replica tells the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its identifier: new with each start of the process.
    pub replica: String,
    /// The event up to which it serves every change.
    pub through: LogHead,
    /// What operators and other replicas want to know beside it.
    pub document: String,
}

/// A replica as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRecord {
    /// What it told last.
    pub heartbeat: Heartbeat,
    /// Whether the event that it told stands in the log.
    pub is_on_log: bool,
    /// When, by the store's clock.
    pub seen_at: Timestamp,
}

impl ReplicaRecord {
    /// Whether it serves every change up to the event with this number.
    pub fn has(&self, sequence: u64) -> bool {
        self.is_on_log && self.heartbeat.through.sequence >= sequence
    }
}

/// Every replica that told something, and what time it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaList {
    /// The time by the store's clock.
    pub now: Timestamp,
    /// The last event.
    pub head: LogHead,
    /// The staleness that all have agreed on; `None` before any has proposed one.
    pub max_staleness: Option<Duration>,
    /// Since when the store has been the same server: after a fail-over it may lack the heartbeats
    /// of replicas that hold a lease.
    pub since: Timestamp,
    /// Every replica, in the order of their identifiers. Those that have been silent for an hour
    /// may be left out.
    pub replicas: Vec<ReplicaRecord>,
}

impl ReplicaList {
    /// Whether a replica may still serve what it last said: it has been silent for no longer than
    /// the staleness that all have agreed on.
    pub fn is_live(&self, replica: &ReplicaRecord) -> bool {
        let silence = self.now.since(replica.seen_at);
        self.max_staleness.is_none_or(|longest| silence <= longest)
    }

    /// Whether every replica that lives has everything up to an event, and none can be missing from
    /// the list: the store has been the same server for as long as a lease lasts.
    pub fn all_have(&self, sequence: u64) -> bool {
        let settled = self.now.since(self.since);
        self.max_staleness.is_none_or(|longest| settled > longest)
            && self.live().all(|replica| replica.has(sequence))
    }

    /// The heartbeat of one replica.
    pub fn of(&self, replica: &str) -> Option<&ReplicaRecord> {
        let mut replicas = self.replicas.iter();
        replicas.find(|one| one.heartbeat.replica == replica)
    }

    /// The replicas that may still serve what they last said.
    pub fn live(&self) -> impl Iterator<Item = &ReplicaRecord> {
        self.replicas.iter().filter(|replica| self.is_live(replica))
    }
}

/// What a store can do that several processes use.
#[async_trait]
pub trait ReplicaStore: Send + Sync {
    /// What has changed after an event, and whether it and the events at `positions` stand in the
    /// log. It waits for whatever is being committed, so that a commit that hangs keeps every
    /// replica from renewing its lease.
    async fn changes(&self, after: LogHead, positions: &[LogHead]) -> Result<Changes, StoreError>;

    /// The records of one issuer and of its keys, and where the log ends in the same state.
    async fn load(&self, issuer: &IssuerName) -> Result<(Option<StoredSet>, LogHead), StoreError>;

    /// Returns when another process may have changed something. It may return for nothing, and may
    /// miss a change: its caller asks now and then anyway.
    async fn wait_for_change(&self);

    /// Writes a replica's heartbeat, stamped with the store's clock, and answers with every
    /// replica's. What it wrote survives a crash of the store before it answers.
    async fn write_heartbeat(&self, heartbeat: &Heartbeat) -> Result<ReplicaList, StoreError>;

    /// Every replica's heartbeat.
    async fn replicas(&self) -> Result<ReplicaList, StoreError>;

    /// Forgets a replica that has ended.
    async fn remove_replica(&self, replica: &str) -> Result<(), StoreError>;

    /// Changes the staleness that all agree on, if it still is `before`; otherwise it is a
    /// conflict.
    async fn set_max_staleness(
        &self,
        before: Option<Duration>,
        after: Duration,
    ) -> Result<(), CommitError>;

    /// The number of the last event that concerns an issuer; 0 when there is none.
    async fn last_change(&self, issuer: &IssuerName) -> Result<u64, StoreError>;
}

/// Whether an event's document has a member that names revocations.
pub fn names_revocations(document: &str) -> bool {
    document.contains("\"revocation\":") || document.contains("\"revocations\":")
}
