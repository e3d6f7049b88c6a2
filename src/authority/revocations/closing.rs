//! How a revocation is closed, and how one ends of which nothing follows any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Entry, record_key, subject};
use crate::authority::audit::{self, Actor, Attribution, RevocationEvent, log_event};
use crate::authority::issuer::Issuer;
use crate::authority::replication::lag::stated_time;
use crate::authority::{Authority, ChangeError};
use crate::lifecycle::{Timestamp, Timing};
use crate::store::replicas::{ReplicaList, ReplicaRecord};
use crate::store::{CommitError, Content, StoreError, WhenDiskFull, Write};

/// The request that opened a revocation waits so long until all replicas know of it.
const MOST_LOOKS: u32 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// So old is a revocation that another replica closes it: its opener has given up, or has died.
const LEFT_OPEN: Duration = Duration::from_secs(2);

/// The most records of one commit that no request waits for.
const MOST_AT_A_TIME: usize = 1000;

/// How often revocations are looked after.
const LOOKED_AFTER_EVERY: Duration = Duration::from_secs(1);

/// Looks after the revocations of all issuers until it is dropped.
pub async fn run(authority: Arc<Authority>) {
    let clock = &authority.services.clock;
    loop {
        let next = clock.now().after(LOOKED_AFTER_EVERY);
        clock.sleep_until(next).await;
        authority.look_after_revocations().await;
    }
}

impl Authority {
    /// Closes these as soon as every process that lives knows of them, if that is within a second.
    /// What stays open then is closed by [`run`].
    pub(super) async fn close_soon(&self, issuer: &Issuer, ids: &[String]) {
        for _ in 0..MOST_LOOKS {
            // Our own heartbeat is one of those that are waited for.
            if self.catch_up().await.is_err() {
                return;
            }
            let is_meant = |entry: &Entry| ids.contains(&entry.revocation.id);
            let open = issuer.revocations().open_entries(is_meant);
            match self.close(issuer, open).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a revocation stays open for now");
                    return;
                }
            }
            self.services.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Closes what can be closed of these, and answers how many could not be.
    async fn close(&self, issuer: &Issuer, open: Vec<Entry>) -> Result<usize, ChangeError> {
        let services = &self.services;
        let Some(shared) = services.store.replicas() else {
            return Ok(open.len());
        };
        if open.is_empty() {
            return Ok(0);
        }
        let list = shared.replicas().await?;
        let timing = services.lease.timing();
        let latest = latest_time(&list).max(services.lease.issue_time());
        let may_close = |entry: &Entry| {
            knows_everywhere(&list, entry.known_through, &timing)
                || list.now >= entry.revocation.closes_by(&timing)
        };
        let (closable, rest): (Vec<Entry>, Vec<Entry>) = open.into_iter().partition(may_close);
        for entries in closable.chunks(MOST_AT_A_TIME) {
            if !self.write_closed(issuer, entries, latest).await? {
                return Ok(rest.len() + entries.len());
            }
        }
        Ok(rest.len())
    }

    /// Writes that revocations are closed as of `latest`, if that is not too late. If another process was
    /// faster, what it has written counts.
    async fn write_closed(
        &self,
        issuer: &Issuer,
        entries: &[Entry],
        latest: Timestamp,
    ) -> Result<bool, ChangeError> {
        let services = &self.services;
        services.require_believed_time()?;
        let snapshot = issuer.snapshot();
        let closed: Vec<_> = entries
            .iter()
            .map(|entry| {
                let open = entry.revocation.as_ref().clone();
                (entry.token, open.closed(snapshot.set(), latest))
            })
            .collect();
        let ids: Vec<String> = closed.iter().map(|(_, one)| one.id.clone()).collect();
        let event = RevocationEvent::RevocationsClosed {
            revocations: ids.clone(),
        };
        let attribution = Attribution::from(Actor::Scheduler);
        let mut batch = services.new_batch()?;
        batch.when_disk_full = WhenDiskFull::UseReserve;
        // Later it would say of a time that has come already what is true of none yet.
        let bounds = closed.iter().filter_map(|(_, one)| one.issued_before());
        batch.not_after = bounds.min().map(Timestamp::from_seconds);
        let row = audit::row(&event, latest, Some(issuer.name()), &attribution, None);
        batch.events.push(row);
        for (token, revocation) in &closed {
            let key = record_key(issuer.name(), &revocation.id);
            let content = Content::of(revocation.to_document());
            batch.writes.push(Write::Replace(key, *token, content));
        }
        let batch_id = batch.id;
        match services.commit(batch).await {
            Ok(head) => {
                log_event("revocations closed", subject(issuer), &attribution, &event);
                let now = services.lease.time();
                let entries = closed.into_iter().map(|(token, revocation)| Entry {
                    revocation: Arc::new(revocation),
                    token: token.followed_by(batch_id),
                    known_through: head.sequence,
                });
                let book = issuer.revocations();
                book.edit(|book| entries.for_each(|entry| book.put(entry, now)));
                Ok(true)
            }
            Err(CommitError::Conflict) => {
                self.reload_revocations(issuer, &ids).await?;
                Ok(true)
            }
            Err(CommitError::Late) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes what the opener has left open, settles what became of commits without an answer,
    /// and lets go of what has passed. It is called once a second.
    async fn look_after_revocations(&self) {
        for issuer in self.issuers() {
            if let Err(error) = self.look_after_revocations_of(&issuer).await {
                tracing::warn!(issuer = %issuer.name(), %error, "revocations stay as they are for now");
            }
        }
    }

    async fn look_after_revocations_of(&self, issuer: &Issuer) -> Result<(), ChangeError> {
        let book = issuer.revocations();
        let now = self.services.lease.time();
        if book.write().tidy(now) {
            book.notify();
        }
        let unsettled = book.unsettled().clone();
        for (batch, ids) in unsettled {
            self.services.store.outcome(batch).await?;
            self.reload_revocations(issuer, &ids).await?;
            book.unsettled().retain(|(one, _)| *one != batch);
        }
        let is_left_open = |entry: &Entry| now.since(entry.revocation.created_at) >= LEFT_OPEN;
        self.close(issuer, book.open_entries(is_left_open))
            .await
            .map(drop)
    }

    /// Deletes the records of which nothing follows any more, and with them what they say of people. The
    /// grants that one of them matches are ended before: they may be renewed for weeks, and nothing else
    /// would say that they must not. It is called each minute.
    ///
    /// # Errors
    /// When the store does not answer; they are deleted later then.
    pub(in crate::authority) async fn delete_past_revocations(&self) -> Result<(), StoreError> {
        let now = self.services.lease.time();
        for issuer in self.issuers() {
            let past = issuer
                .revocations()
                .entries(|entry| entry.revocation.is_over(now));
            if past.iter().any(|past| past.revocation.may_match_grants()) {
                self.end_revoked_grants(&issuer).await?;
            }
            for entries in past.chunks(MOST_AT_A_TIME) {
                self.delete_revocations(&issuer, entries).await?;
            }
        }
        Ok(())
    }

    async fn delete_revocations(
        &self,
        issuer: &Issuer,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let services = &self.services;
        let mut batch = (services.new_batch()).map_err(|error| StoreError(Box::new(error)))?;
        let ids: Vec<String> = entries
            .iter()
            .map(|one| one.revocation.id.clone())
            .collect();
        let deletions = entries.iter().map(|entry| {
            let key = record_key(issuer.name(), &entry.revocation.id);
            Write::Delete(key, entry.token)
        });
        batch.writes.extend(deletions);
        match services.commit(batch).await {
            Ok(_) => {
                let book = issuer.revocations();
                book.edit(|book| ids.iter().for_each(|id| book.remove(id)));
                Ok(())
            }
            // Another process has deleted some of them.
            Err(CommitError::Conflict | CommitError::Late) => {
                self.reload_revocations(issuer, &ids).await
            }
            Err(CommitError::Store(error) | CommitError::Unknown(error)) => Err(error),
            Err(error) => Err(StoreError(Box::new(error))),
        }
    }
}

/// Whether every replica that may still sign has said that it has everything up to an event, and by
/// what time it issued tokens until then. One that has been silent counts for as long as its clock may
/// be ahead beyond its lease, and so does a server that took over, which may lack such replicas. One of
/// before there were revocations says no time, and knows of none.
fn knows_everywhere(list: &ReplicaList, sequence: u64, timing: &Timing) -> bool {
    let counts_for = timing.max_staleness.unwrap_or_default() + timing.clock_tolerance;
    let counts = |replica: &&ReplicaRecord| list.now.since(replica.seen_at) <= counts_for;
    let knows = |replica: &ReplicaRecord| replica.has(sequence) && stated_time(replica).is_some();
    list.now.since(list.since) > counts_for && list.replicas.iter().filter(counts).all(knows)
}

/// The latest time by which any replica may have issued a token before it said what it has.
fn latest_time(list: &ReplicaList) -> Timestamp {
    let stated = list.replicas.iter().filter_map(stated_time);
    stated.fold(list.now, Timestamp::max)
}

/// The identifiers of the revocations that an event names.
pub(super) fn named_in(document: &str) -> HashSet<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(default)]
        revocation: Option<String>,
        #[serde(default)]
        revocations: Vec<String>,
    }
    let named = serde_json::from_str::<Named>(document).ok();
    named.map_or_else(HashSet::new, |named| {
        named
            .revocations
            .into_iter()
            .chain(named.revocation)
            .collect()
    })
}
