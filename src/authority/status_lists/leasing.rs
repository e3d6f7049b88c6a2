//! How a process gets entries that no other has: it moves on what is leased of a list, in one commit, if the
//! list is still as it was.

use super::{StatusLists, StatusUnavailable, TakenEntry};
use crate::authority::issuer::MAX_ATTEMPTS;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::revocation::status_list::{
    ENTRIES, LeasedList, ListName, StatusEntry, hour_ends_at, hour_of,
};
use crate::store::{
    Batch, BatchId, CommitError, Content, Kind, Query, Record, RecordIndex, RecordKey, Write,
    commit_and_settle,
};

/// How long the record of a list is kept after its tokens have expired.
const KEPT_AFTER_SECONDS: u64 = 86_400;

fn record_key(issuer: &IssuerName, list: &LeasedList) -> RecordKey {
    RecordKey::owned(Kind::StatusList, issuer, list.id())
}

/// What is stored of a list. It is found by its hour.
fn content(list: &LeasedList) -> Content {
    let kept_until = hour_ends_at(list.name.hour).saturating_add(KEPT_AFTER_SECONDS);
    Content {
        document: list.to_document(),
        index: RecordIndex {
            subject: Some(list.name.hour.to_string()),
            client: None,
            kept_until: Some(Timestamp::from_seconds(kept_until)),
        },
        ..Content::default()
    }
}

/// A stored list. One that does not read is passed over: no entry of it is given out.
pub(super) fn read(record: &Record) -> Option<LeasedList> {
    LeasedList::from_document(&record.key.id, &record.document)
        .inspect_err(|error| tracing::error!(%error, "a status list is passed over"))
        .ok()
}

impl StatusLists {
    /// An entry that no token has, of a list that there need not be: as long as any that is taken.
    pub(in crate::authority) fn example(&self, expires_at: u64) -> TakenEntry {
        let hour = hour_of(expires_at);
        let (list, index) = (u32::MAX, ENTRIES - 1);
        let entry = StatusEntry { list, index };
        TakenEntry {
            entry,
            address: self.keys.address_of(ListName { list, hour }).into(),
            jti: self.keys.jti_cipher(expires_at).seal(entry, [0; 4]),
        }
    }

    /// Leases the next block of a list of this hour: of one that has some left, or of a new one.
    pub(super) async fn lease_block(&self, hour: u64) -> Result<LeasedList, StatusUnavailable> {
        for _ in 0..MAX_ATTEMPTS {
            if !self.lease.holds() {
                return Err(StatusUnavailable::Stale);
            }
            let query = Query {
                subjects: Some(vec![hour.to_string()]),
                ..Query::owned(Kind::StatusList, &self.issuer)
            };
            let records = self.store.list(query).await?;
            let with_room = records.iter().find_map(|record| {
                let next = read(record)?.with_next_block()?;
                Some((record.token, next))
            });
            let (leased, write) = match with_room {
                Some((token, leased)) => {
                    let key = record_key(&self.issuer, &leased);
                    (leased, Write::Replace(key, token, content(&leased)))
                }
                None => {
                    let list = u32::from_be_bytes(self.entropy.bytes()?);
                    let leased = LeasedList::new(ListName { list, hour });
                    let key = record_key(&self.issuer, &leased);
                    (leased, Write::Create(key, content(&leased)))
                }
            };
            let mut batch = Batch::new(BatchId(self.entropy.bytes()?));
            let now = self.lease.time();
            batch.not_after = Some(self.lease.timing().commit_deadline(now));
            batch.writes.push(write);
            let writer = self.store.writer().await?;
            match commit_and_settle(&*self.store, writer, batch).await {
                Ok(head) => {
                    self.lease.rests_on(head);
                    return Ok(leased);
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
                // Another process was faster, or the outcome is not known: then no process uses the block.
                Err(_) => {}
            }
        }
        Err(StatusUnavailable::Contended)
    }
}
