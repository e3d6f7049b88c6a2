//! A store that forgets: for tests, and for trying keywright out. One that is given a clock is
//! shared by every authority that holds it.

mod replicas;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::chain::{LogHead, StoredEvent};
use super::record::{BatchId, Kind, Query, Record, RecordIndex, RecordKey, Token};
use super::replicas::{Heartbeat, ReplicaStore};
use super::transfer::{Entry, FillError, Rows, StoredHead};
use super::{
    Batch, ClientCount, CommitError, Content, EventRow, Expectation, LastUse, NumberedEvent,
    SealedChange, Store, StoreError, Write, Writer,
};
use crate::clock::Clock;
use crate::lifecycle::{IssuerName, Timestamp};

/// Records in memory. A batch that is refused half-way is undone.
#[derive(Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
    shared: Option<Shared>,
}

/// What makes it shared.
struct Shared {
    clock: Clock,
    /// The number of the last event that every replica was told of.
    notifications: watch::Sender<u64>,
}

#[derive(Default, Clone)]
struct Contents {
    /// With the order in which they came.
    records: BTreeMap<RecordKey, (usize, Record)>,
    count: usize,
    /// By client and credential.
    last_uses: BTreeMap<(String, String), u64>,
    events: Vec<(NumberedEvent, Option<BatchId>)>,
    max_staleness: Option<Duration>,
    /// When commits were lost last.
    since: Timestamp,
    replicas: BTreeMap<String, (Heartbeat, Timestamp)>,
}

impl MemoryStore {
    /// A store that several authorities share. `clock` is the store's own.
    pub fn shared_by_all(clock: Clock) -> Self {
        let (notifications, _) = watch::channel(0);
        Self {
            contents: Mutex::default(),
            shared: Some(Shared {
                clock,
                notifications,
            }),
        }
    }

    /// Takes the last commit back, as a fail-over to a standby does that never received it. Tests
    /// ask for it.
    pub fn lose_commits(&self, kept: &MemoryStore) {
        let kept = kept.contents().clone();
        let mut contents = self.contents();
        let replicas = std::mem::take(&mut contents.replicas);
        let since = self.now().unwrap_or_default();
        *contents = Contents {
            replicas,
            since,
            ..kept
        };
    }

    /// A copy of what is stored now, for [`lose_commits`](Self::lose_commits).
    pub fn copy(&self) -> Self {
        Self {
            contents: Mutex::new(self.contents().clone()),
            shared: None,
        }
    }

    fn now(&self) -> Option<Timestamp> {
        self.shared.as_ref().map(|shared| shared.clock.now())
    }

    /// Tells the others how far the log goes now.
    fn notify(&self, head: LogHead) {
        if let Some(shared) = &self.shared {
            shared.notifications.send_replace(head.sequence);
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn head(&self) -> LogHead {
        let last = self.events.last();
        last.map_or(LogHead::BEGINNING, |(last, _)| LogHead {
            sequence: last.sequence,
            hash: last.hash,
        })
    }

    fn has(&self, head: LogHead) -> bool {
        head == LogHead::BEGINNING
            || self
                .events
                .iter()
                .any(|(event, _)| (event.sequence, event.hash) == (head.sequence, head.hash))
    }

    fn list(&self, query: &Query) -> Vec<Record> {
        let taken = self.records.values();
        let mut taken: Vec<_> = taken.filter(|(_, record)| query.takes(record)).collect();
        taken.sort_by_key(|(position, record)| {
            let key = &record.key;
            let (owner, id) = (key.owner.clone(), key.id.clone());
            match query.kind {
                Kind::Key => (owner, *position, String::new()),
                _ => (None, 0, id),
            }
        });
        let most = query.limit.and_then(|limit| usize::try_from(limit).ok());
        taken
            .into_iter()
            .take(most.unwrap_or(usize::MAX))
            .map(|(_, record)| record.clone())
            .collect()
    }

    fn expect(&self, expectation: &Expectation) -> Result<(), CommitError> {
        let holds = match expectation {
            Expectation::Is(key, token) => {
                self.records.get(key).map(|(_, record)| record.token) == *token
            }
            Expectation::Exactly(kind, tokens) => {
                let stored = self.list(&Query::all(*kind)).into_iter();
                stored
                    .map(|record| (record.key.id, record.token))
                    .collect::<BTreeMap<_, _>>()
                    == *tokens
            }
            Expectation::AtMost(query, most) => self.list(query).len() <= *most,
        };
        if holds {
            Ok(())
        } else {
            Err(CommitError::Conflict)
        }
    }

    /// Writes what a batch says, all or nothing.
    fn write_all(&mut self, writes: Vec<Write>, batch: BatchId) -> Result<(), CommitError> {
        let mut before = Vec::new();
        for write in writes {
            let (Write::Create(key, _) | Write::Replace(key, ..) | Write::Delete(key, _)) = &write;
            before.push((key.clone(), self.records.get(key).cloned()));
            if let Err(refusal) = self.write(write, batch) {
                for (key, record) in before.into_iter().rev() {
                    match record {
                        Some(record) => drop(self.records.insert(key, record)),
                        None => drop(self.records.remove(&key)),
                    }
                }
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn write(&mut self, write: Write, batch: BatchId) -> Result<(), CommitError> {
        match write {
            Write::Create(key, content) => {
                if self.records.contains_key(&key) {
                    return Err(CommitError::Conflict);
                }
                self.put(key, None, content, batch)
            }
            Write::Replace(key, token, content) => {
                let before = self.expected(&key, token)?;
                self.put(key, Some(before), content, batch)
            }
            Write::Delete(key, token) => {
                self.expected(&key, token)?;
                self.records.remove(&key);
                Ok(())
            }
        }
    }

    fn expected(&self, key: &RecordKey, token: Token) -> Result<Record, CommitError> {
        let stored = self.records.get(key).map(|(_, record)| record);
        match stored {
            Some(record) if record.is_final => Err(CommitError::Final),
            Some(record) if record.token == token => Ok(record.clone()),
            _ => Err(CommitError::Conflict),
        }
    }

    fn put(
        &mut self,
        key: RecordKey,
        before: Option<Record>,
        content: Content,
        batch: BatchId,
    ) -> Result<(), CommitError> {
        let is_taken = |(_, other): &(usize, Record)| {
            content.unique.is_some()
                && other.unique == content.unique
                && other.key.kind == key.kind
                && other.key != key
        };
        if self.records.values().any(is_taken) {
            return Err(CommitError::NotUnique);
        }
        let token = before.as_ref().map_or(Token::UNWRITTEN, |it| it.token);
        let record = Record {
            version: before.as_ref().map_or(0, |before| before.version) + 1,
            token: token.followed_by(batch),
            document: content.document,
            sealed: match content.sealed {
                SealedChange::Keep => before.and_then(|before| before.sealed),
                SealedChange::Set(bytes) => Some(bytes),
                SealedChange::Erase => None,
            },
            unique: content.unique,
            is_final: content.is_final,
            index: content.index,
            key,
        };
        self.insert(record);
        Ok(())
    }

    fn insert(&mut self, record: Record) {
        self.count += 1;
        let place = self.records.entry(record.key.clone());
        let position = self.count;
        place
            .and_modify(|(_, stored)| *stored = record.clone())
            .or_insert((position, record));
    }

    fn append(&mut self, events: Vec<EventRow>, batch: BatchId) {
        let mut head = self.head();
        let chained = events.into_iter().map(|event| head.append(event));
        self.events
            .extend(chained.map(|event| (event, Some(batch))));
    }

    fn rows(&self) -> Rows {
        let last = self.events.last();
        let last = last.map(|(last, _)| StoredEvent::from(last.clone()));
        Rows {
            last_event: last.as_ref().map_or(0, |last| last.sequence),
            head: last.map(|last| StoredHead {
                sequence: last.sequence,
                hash: last.hash.unwrap_or_default(),
            }),
            records: Kind::ALL
                .into_iter()
                .filter(|kind| !kind.is_paged())
                .flat_map(|kind| self.list(&Query::all(kind)))
                .collect(),
            last_uses: self.last_uses.iter().map(last_use).collect(),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, queries: &[Query]) -> Result<Vec<Vec<Record>>, StoreError> {
        let contents = self.contents();
        Ok(queries.iter().map(|query| contents.list(query)).collect())
    }

    async fn count_by_client(
        &self,
        kind: Kind,
        kept_after: Timestamp,
    ) -> Result<Vec<ClientCount>, StoreError> {
        let mut counts: BTreeMap<(IssuerName, String), u64> = BTreeMap::new();
        for record in self.contents().list(&Query::all(kind)) {
            let RecordIndex {
                client, kept_until, ..
            } = record.index;
            let is_kept = kept_until.is_some_and(|until| until > kept_after);
            if let (Some(owner), Some(client), true) = (record.key.owner, client, is_kept) {
                *counts.entry((owner, client)).or_default() += 1;
            }
        }
        let count = |((owner, client), records)| ClientCount {
            owner,
            client,
            records,
        };
        Ok(counts.into_iter().map(count).collect())
    }

    async fn writer(&self) -> Result<Box<dyn Writer + '_>, StoreError> {
        Ok(Box::new(self))
    }

    async fn outcome(&self, batch: BatchId) -> Result<Option<LogHead>, StoreError> {
        let contents = self.contents();
        let mut events = contents.events.iter().rev();
        let last = events.find(|(_, written_by)| *written_by == Some(batch));
        Ok(last.map(|(event, _)| LogHead {
            sequence: event.sequence,
            hash: event.hash,
        }))
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        Ok(self.contents().head())
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        let wanted = |numbered: &NumberedEvent| {
            numbered.sequence > after
                && issuer.is_none_or(|name| numbered.event.issuer.as_ref() == Some(name))
        };
        let contents = self.contents();
        let events = contents.events.iter().map(|(event, _)| event);
        Ok(events
            .filter(|event| wanted(event))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .cloned()
            .collect())
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        let mut contents = self.contents();
        for LastUse {
            client,
            credential,
            at,
        } in uses
        {
            let key = RecordKey::unowned(Kind::Client, client);
            if contents.records.contains_key(&key) {
                let place = (client.clone(), credential.clone());
                let latest = contents.last_uses.entry(place).or_default();
                *latest = (*latest).max(*at);
            }
        }
        Ok(())
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        let contents = self.contents();
        Ok(contents.last_uses.iter().map(last_use).collect())
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        Ok(self.contents().rows())
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let contents = self.contents();
        let events = contents.events.iter();
        let events = events.map(|(event, _)| StoredEvent::from(event.clone()));
        Ok(events
            .filter(|event| after < event.sequence && event.sequence <= through)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect())
    }

    async fn fill(&self, mut entries: mpsc::Receiver<Entry>) -> Result<(), FillError> {
        let mut filled = Contents::default();
        loop {
            match entries.recv().await.ok_or(FillError::CutOff)? {
                Entry::End => break,
                // The head is the last event's own.
                Entry::Head(_) => {}
                Entry::Record(record) => filled.insert(record),
                Entry::LastUse(LastUse {
                    client,
                    credential,
                    at,
                }) => drop(filled.last_uses.insert((client, credential), at)),
                Entry::Event(event) => filled.events.push((event.read(), None)),
            }
        }
        let mut contents = self.contents();
        if !contents.rows().is_empty() {
            return Err(FillError::NotEmpty);
        }
        // What replicas have told stays: it is about them.
        filled.max_staleness = contents.max_staleness;
        filled.replicas = std::mem::take(&mut contents.replicas);
        *contents = filled;
        self.notify(contents.head());
        Ok(())
    }

    fn replicas(&self) -> Option<&dyn ReplicaStore> {
        self.shared.as_ref().map(|_| self as _)
    }
}

#[async_trait]
impl Writer for &MemoryStore {
    async fn commit(self: Box<Self>, batch: Batch) -> Result<LogHead, CommitError> {
        let mut contents = self.contents();
        for expectation in &batch.expectations {
            contents.expect(expectation)?;
        }
        let is_late = |deadline| self.now().is_some_and(|now| now > deadline);
        if batch.not_after.is_some_and(is_late) {
            return Err(CommitError::Late);
        }
        contents.write_all(batch.writes, batch.id)?;
        contents.append(batch.events, batch.id);
        let Contents {
            records, last_uses, ..
        } = &mut *contents;
        let exists = |client: &str| records.contains_key(&RecordKey::unowned(Kind::Client, client));
        last_uses.retain(|(client, _), _| exists(client));
        let head = contents.head();
        self.notify(head);
        Ok(head)
    }
}

fn last_use(((client, credential), at): (&(String, String), &u64)) -> LastUse {
    LastUse {
        client: client.clone(),
        credential: credential.clone(),
        at: *at,
    }
}
