//! A store that several processes use: what each tells the others, and how it learns of their
//! changes.
//!
//! The audit log is the change feed. Every commit writes its events in the transaction of the
//! change, and their numbers grow in the order of the commits; whoever has taken over everything up
//! to one number has every set as it was at that event.

use std::time::Duration;

use async_trait::async_trait;

use super::{CommitError, StoreError};
use crate::lifecycle::{IssuerName, Timestamp};

/// What has changed since an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The number of the last event; 0 when there is none.
    pub head: u64,
    /// The issuers that events after it concern, in alphabetical order.
    pub issuers: Vec<IssuerName>,
    /// Whether an event after it concerns no issuer: then a client may have changed.
    pub access: bool,
}

/// What a replica tells the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its identifier: new with each start of the process.
    pub replica: String,
    /// The number of the event up to which it serves every change.
    pub through: u64,
    /// What people and other replicas want to know beside it.
    pub document: String,
}

/// A replica as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// What it told last.
    pub heartbeat: Heartbeat,
    /// When, by the store's clock.
    pub seen_at: Timestamp,
}

/// Everyone who told something, and what time it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// The time by the store's clock.
    pub now: Timestamp,
    /// The number of the last event; 0 when there is none.
    pub head: u64,
    /// The staleness that all have agreed on; `None` before anyone has proposed one.
    pub max_staleness: Option<Duration>,
    /// Every replica, in the order of their identifiers. Those that have been silent for an hour
    /// may be left out.
    pub replicas: Vec<Replica>,
}

impl Roll {
    /// Whether a replica may still serve what it last said: it has been silent for no longer than
    /// the staleness that all have agreed on.
    pub fn is_live(&self, replica: &Replica) -> bool {
        let silence = self.now.since(replica.seen_at);
        self.max_staleness.is_none_or(|longest| silence <= longest)
    }

    /// The replicas that may still serve what they last said.
    pub fn live(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| self.is_live(replica))
    }
}

/// What a store can do that several processes use.
#[async_trait]
pub trait SharedStore: Send + Sync {
    /// What has changed after the event numbered `after`, from one consistent state. A number
    /// beyond the head belongs to another past: then everything has changed.
    async fn changes(&self, after: u64) -> Result<Changes, StoreError>;

    /// Returns when another process may have changed something. It may return for nothing, and may
    /// miss a change: who calls asks now and then anyway.
    async fn changed(&self);

    /// Writes a replica's heartbeat, stamped with the store's clock, and answers with everyone's.
    /// What it wrote survives a crash of the store before it answers.
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<Roll, StoreError>;

    /// Everyone's heartbeats.
    async fn roll(&self) -> Result<Roll, StoreError>;

    /// Forgets a replica that has ended.
    async fn leave(&self, replica: &str) -> Result<(), StoreError>;

    /// Changes the staleness that all agree on, if it still is `before`; otherwise it is a
    /// conflict.
    async fn agree(&self, before: Option<Duration>, after: Duration) -> Result<(), CommitError>;

    /// The number of the last event that concerns an issuer; 0 when there is none.
    async fn last_change(&self, issuer: &IssuerName) -> Result<u64, StoreError>;
}
