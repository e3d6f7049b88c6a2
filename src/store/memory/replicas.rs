//! What several authorities that share the store tell each other.

use std::time::Duration;

use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::chain::LogHead;
use crate::store::record::{Kind, Query, StoredSet, key_sets};
use crate::store::replicas::{
    Changes, Heartbeat, ReplicaList, ReplicaRecord, ReplicaStore, names_revocations,
};
use crate::store::{CommitError, StoreError};

impl Contents {
    fn replica_list(&self, now: Timestamp) -> ReplicaList {
        let record = |(heartbeat, seen_at): &(Heartbeat, Timestamp)| ReplicaRecord {
            is_on_log: self.has(heartbeat.through),
            heartbeat: heartbeat.clone(),
            seen_at: *seen_at,
        };
        ReplicaList {
            now,
            head: self.head(),
            since: self.since,
            max_staleness: self.max_staleness,
            replicas: self.replicas.values().map(record).collect(),
        }
    }
}

#[async_trait]
impl ReplicaStore for MemoryStore {
    async fn changes(&self, after: LogHead, positions: &[LogHead]) -> Result<Changes, StoreError> {
        let contents = self.contents();
        let mut known = positions.iter().chain([&after]);
        let is_continued = known.all(|event| contents.has(*event));
        let after = if is_continued { after.sequence } else { 0 };
        let later = contents.events.iter();
        let later = later.filter(|(event, _)| event.sequence > after);
        let names_revocations = later
            .clone()
            .any(|(event, _)| names_revocations(&event.event.document));
        let concerned: Vec<Option<IssuerName>> =
            later.map(|(event, _)| event.event.issuer.clone()).collect();
        let issuers: Vec<IssuerName> = concerned.iter().flatten().cloned().collect();
        let [issuers, keys] = match is_continued {
            true => Query::key_sets(&issuers),
            false => [Query::all(Kind::Issuer), Query::all(Kind::Key)],
        };
        let is_access = !is_continued || concerned.contains(&None);
        Ok(Changes {
            head: contents.head(),
            is_continued,
            sets: key_sets(contents.list(&issuers), contents.list(&keys)),
            clients: is_access.then(|| contents.list(&Query::all(Kind::Client))),
            names_revocations: !is_continued || names_revocations,
        })
    }

    async fn load(&self, issuer: &IssuerName) -> Result<(Option<StoredSet>, LogHead), StoreError> {
        let contents = self.contents();
        let [issuers, keys] = Query::key_sets(std::slice::from_ref(issuer));
        let mut sets = key_sets(contents.list(&issuers), contents.list(&keys));
        Ok((sets.pop(), contents.head()))
    }

    async fn wait_for_change(&self) {
        let Some(shared) = &self.shared else {
            return std::future::pending().await;
        };
        // The sender lives as long as this borrow, so that waiting cannot fail.
        let _ = shared.notifications.subscribe().changed().await;
    }

    async fn write_heartbeat(&self, heartbeat: &Heartbeat) -> Result<ReplicaList, StoreError> {
        let now = self.now().unwrap_or_default();
        let mut contents = self.contents();
        let name = heartbeat.replica.clone();
        contents.replicas.insert(name, (heartbeat.clone(), now));
        Ok(contents.replica_list(now))
    }

    async fn replicas(&self) -> Result<ReplicaList, StoreError> {
        let now = self.now().unwrap_or_default();
        Ok(self.contents().replica_list(now))
    }

    async fn remove_replica(&self, replica: &str) -> Result<(), StoreError> {
        self.contents().replicas.remove(replica);
        Ok(())
    }

    async fn set_max_staleness(
        &self,
        before: Option<Duration>,
        after: Duration,
    ) -> Result<(), CommitError> {
        let mut contents = self.contents();
        if contents.max_staleness != before {
            return Err(CommitError::Conflict);
        }
        contents.max_staleness = Some(after);
        Ok(())
    }

    async fn last_change(&self, issuer: &IssuerName) -> Result<u64, StoreError> {
        let contents = self.contents();
        let mut events = contents.events.iter().rev();
        let last = events.find(|(one, _)| one.event.issuer.as_ref() == Some(issuer));
        Ok(last.map_or(0, |(event, _)| event.sequence))
    }
}
