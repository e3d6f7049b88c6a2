//! A store that forgets: for tests, and for trying keywright out. One that is given a clock is
//! shared by all that hold it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::chain::{LogHead, StoredEvent};
use super::shared::{Changes, Heartbeat, Replica, Roll, SharedStore};
use super::transfer::{Entry as Row, FillError, Rows, StoredHead};
use super::{
    AccessChange, ApprovalRow, ClientChange, ClientRow, Commit, CommitError, EventRow, IssuerRow,
    KeyRow, KeyStore, LastUse, NumberedEvent, SealedChange, StoreError, StoredSet, versions,
};
use crate::clock::Clock;
use crate::lifecycle::{IssuerName, Timestamp};

/// Rows in memory. Everything that can refuse a commit is asked before anything is changed.
#[derive(Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
    shared: Option<Shared>,
}

/// What makes it shared.
struct Shared {
    clock: Clock,
    /// The number of the last event that everyone was told of.
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Contents {
    issuers: BTreeMap<IssuerName, StoredSet>,
    clients: BTreeMap<String, ClientRow>,
    approvals: BTreeMap<String, ApprovalRow>,
    /// By client and credential.
    last_uses: BTreeMap<(String, String), u64>,
    events: Vec<NumberedEvent>,
    settings: BTreeMap<String, Vec<u8>>,
    max_staleness: Option<Duration>,
    replicas: BTreeMap<String, Replica>,
}

impl MemoryStore {
    /// A store that several authorities share. `clock` is the store's own.
    pub fn shared_by_all(clock: Clock) -> Self {
        let (news, _) = watch::channel(0);
        Self {
            contents: Mutex::default(),
            shared: Some(Shared { clock, news }),
        }
    }

    fn now(&self) -> Timestamp {
        let clock = self.shared.as_ref().map(|shared| &shared.clock);
        clock.map(Clock::now).unwrap_or_default()
    }

    /// Tells the others how far the log goes now.
    fn tell(&self, contents: &Contents) {
        if let (Some(shared), Some(head)) = (&self.shared, contents.head()) {
            shared.news.send_replace(head.sequence);
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn head(&self) -> Option<LogHead> {
        self.events.last().map(|last| LogHead {
            sequence: last.sequence,
            hash: last.hash,
        })
    }

    fn append(&mut self, events: impl IntoIterator<Item = EventRow>) {
        let mut head = self.head().unwrap_or(LogHead::BEGINNING);
        let chained = events.into_iter().map(|event| head.append(event));
        self.events.extend(chained);
    }

    fn rows(&self) -> Rows {
        let last = self.events.last().cloned().map(StoredEvent::from);
        let last_uses = self.last_uses.iter();
        Rows {
            last_event: last.as_ref().map_or(0, |last| last.sequence),
            head: last.map(|last| StoredHead {
                sequence: last.sequence,
                hash: last.hash.unwrap_or_default(),
            }),
            settings: self.settings.clone().into_iter().collect(),
            sets: self.issuers.values().cloned().collect(),
            clients: self.clients.values().cloned().collect(),
            approvals: self.approvals.values().cloned().collect(),
            last_uses: last_uses.map(last_use).collect(),
        }
    }

    /// Writes a row of a dump. The head is the last event's own.
    fn take_over(&mut self, row: Row) {
        match row {
            Row::Head(_) | Row::End => {}
            Row::Setting(name, value) => drop(self.settings.insert(name, value)),
            Row::Issuer(issuer) => {
                let name = issuer.name.clone();
                let keys = Vec::new();
                self.issuers.insert(name, StoredSet { issuer, keys });
            }
            Row::Key(issuer, row) => {
                if let Some(set) = self.issuers.get_mut(&issuer) {
                    set.keys.push(row);
                }
            }
            Row::Client(row) => drop(self.clients.insert(row.id.clone(), row)),
            Row::Approval(row) => drop(self.approvals.insert(row.id.clone(), row)),
            Row::LastUse(LastUse {
                client,
                credential,
                at,
            }) => drop(self.last_uses.insert((client, credential), at)),
            Row::Event(event) => self.events.push(event.read()),
        }
    }

    fn change_access(&mut self, change: AccessChange) -> Result<(), CommitError> {
        match change {
            AccessChange::Nothing => Ok(()),
            AccessChange::Client { change, among } => {
                if versions(self.clients.values()) != among {
                    return Err(CommitError::Conflict);
                }
                self.change_client(change)
            }
            AccessChange::CreateApproval(row) => create(&mut self.approvals, row.id.clone(), row),
            AccessChange::DeleteApproval(id) => {
                self.approvals.remove(&id).ok_or(CommitError::Conflict)?;
                Ok(())
            }
        }
    }

    fn change_client(&mut self, change: ClientChange) -> Result<(), CommitError> {
        match change {
            ClientChange::Create(row) => create(&mut self.clients, row.id.clone(), row),
            ClientChange::Replace(row) => {
                let stored = self.clients.get_mut(&row.id);
                *stored.ok_or(CommitError::Conflict)? = row;
                Ok(())
            }
            ClientChange::Delete(id) => {
                self.clients.remove(&id).ok_or(CommitError::Conflict)?;
                self.last_uses.retain(|(client, _), _| *client != id);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn issuers(&self) -> Result<Vec<IssuerName>, StoreError> {
        Ok(self.contents().issuers.keys().cloned().collect())
    }

    async fn load(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError> {
        Ok(self.contents().issuers.get(issuer).cloned())
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let mut contents = self.contents();
        let IssuerRow { name, path, .. } = &commit.issuer;
        let stored = contents.issuers.get(name);
        if stored.map_or(0, |stored| stored.issuer.version) != commit.expected_version {
            return Err(CommitError::Conflict);
        }
        if self.shared.is_some() && self.now() > commit.deadline {
            return Err(CommitError::Late);
        }
        let taken = |other: &StoredSet| other.issuer.name != *name && other.issuer.path == *path;
        if contents.issuers.values().any(taken) {
            return Err(CommitError::PathTaken);
        }
        if let Some(premise) = &commit.premise
            && contents.settings.get(premise.setting) != premise.value.as_ref()
        {
            return Err(CommitError::Conflict);
        }
        let mut keys = stored.map(|stored| stored.keys.clone()).unwrap_or_default();
        for change in commit.keys {
            apply(&mut keys, change.kid, change.document, change.sealed);
        }
        let set = StoredSet {
            issuer: commit.issuer.clone(),
            keys,
        };
        contents.issuers.insert(commit.issuer.name, set);
        contents.append(commit.events);
        self.tell(&contents);
        Ok(())
    }

    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        Ok(self.contents().clients.values().cloned().collect())
    }

    async fn approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        Ok(self.contents().approvals.values().cloned().collect())
    }

    async fn commit_access(
        &self,
        change: AccessChange,
        event: EventRow,
    ) -> Result<(), CommitError> {
        let mut contents = self.contents();
        contents.change_access(change)?;
        contents.append([event]);
        self.tell(&contents);
        Ok(())
    }

    async fn record_uses(&self, uses: &[LastUse]) -> Result<(), StoreError> {
        let Contents {
            clients, last_uses, ..
        } = &mut *self.contents();
        for LastUse {
            client,
            credential,
            at,
        } in uses
        {
            if clients.contains_key(client) {
                let latest = last_uses
                    .entry((client.clone(), credential.clone()))
                    .or_default();
                *latest = (*latest).max(*at);
            }
        }
        Ok(())
    }

    async fn last_uses(&self) -> Result<Vec<LastUse>, StoreError> {
        let contents = self.contents();
        let uses = contents.last_uses.iter();
        Ok(uses.map(last_use).collect())
    }

    async fn audit_head(&self) -> Result<Option<LogHead>, StoreError> {
        Ok(self.contents().head())
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        let wanted = |numbered: &&NumberedEvent| {
            numbered.sequence > after
                && issuer.is_none_or(|name| numbered.event.issuer.as_ref() == Some(name))
        };
        let contents = self.contents();
        Ok(contents
            .events
            .iter()
            .filter(wanted)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .cloned()
            .collect())
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.contents().settings.get(name).cloned())
    }

    async fn create_setting(&self, name: &str, value: &[u8]) -> Result<(), CommitError> {
        let mut contents = self.contents();
        if contents.settings.contains_key(name) {
            return Err(CommitError::Conflict);
        }
        contents.settings.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    async fn replace_setting(
        &self,
        name: &str,
        before: &[u8],
        after: &[u8],
        event: EventRow,
    ) -> Result<(), CommitError> {
        let mut contents = self.contents();
        let stored = contents.settings.get_mut(name);
        let stored = stored.filter(|stored| stored.as_slice() == before);
        *stored.ok_or(CommitError::Conflict)? = after.to_vec();
        contents.append([event]);
        self.tell(&contents);
        Ok(())
    }

    async fn reseal(
        &self,
        issuer: &IssuerName,
        kid: &str,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), CommitError> {
        let mut contents = self.contents();
        let keys = contents.issuers.get_mut(issuer).map(|set| &mut set.keys);
        let is_meant = |row: &&mut KeyRow| row.kid == kid && row.sealed.as_deref() == Some(before);
        let row = keys.and_then(|keys| keys.iter_mut().find(is_meant));
        row.ok_or(CommitError::Conflict)?.sealed = Some(after.to_vec());
        Ok(())
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
        let events = contents.events.iter().cloned().map(StoredEvent::from);
        Ok(events
            .filter(|event| after < event.sequence && event.sequence <= through)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect())
    }

    async fn fill(&self, entries: &mut mpsc::Receiver<Row>) -> Result<(), FillError> {
        let mut filled = Contents::default();
        loop {
            match entries.recv().await.ok_or(FillError::CutOff)? {
                Row::End => break,
                row => filled.take_over(row),
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
        self.tell(&contents);
        Ok(())
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        self.shared.as_ref().map(|_| self as _)
    }
}

#[async_trait]
impl SharedStore for MemoryStore {
    async fn changes(&self, after: u64) -> Result<Changes, StoreError> {
        let contents = self.contents();
        let head = contents.head().map_or(0, |head| head.sequence);
        let after = if after > head { 0 } else { after };
        let mut changes = Changes {
            head,
            ..Changes::default()
        };
        for numbered in contents.events.iter().filter(|one| one.sequence > after) {
            match &numbered.event.issuer {
                Some(issuer) => changes.issuers.push(issuer.clone()),
                None => changes.access = true,
            }
        }
        changes.issuers.sort_unstable();
        changes.issuers.dedup();
        Ok(changes)
    }

    async fn changed(&self) {
        let Some(shared) = &self.shared else {
            return std::future::pending().await;
        };
        // The sender lives as long as this borrow, so that waiting cannot fail.
        let _ = shared.news.subscribe().changed().await;
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<Roll, StoreError> {
        let replica = Replica {
            heartbeat: heartbeat.clone(),
            seen_at: self.now(),
        };
        let name = heartbeat.replica.clone();
        self.contents().replicas.insert(name, replica);
        self.roll().await
    }

    async fn roll(&self) -> Result<Roll, StoreError> {
        let contents = self.contents();
        Ok(Roll {
            now: self.now(),
            head: contents.head().map_or(0, |head| head.sequence),
            max_staleness: contents.max_staleness,
            replicas: contents.replicas.values().cloned().collect(),
        })
    }

    async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        self.contents().replicas.remove(replica);
        Ok(())
    }

    async fn agree(&self, before: Option<Duration>, after: Duration) -> Result<(), CommitError> {
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
        let last = events.find(|one| one.event.issuer.as_ref() == Some(issuer));
        Ok(last.map_or(0, |event| event.sequence))
    }
}

fn last_use(((client, credential), at): (&(String, String), &u64)) -> LastUse {
    LastUse {
        client: client.clone(),
        credential: credential.clone(),
        at: *at,
    }
}

/// Adds a row whose id must not exist.
fn create<T>(rows: &mut BTreeMap<String, T>, id: String, row: T) -> Result<(), CommitError> {
    match rows.entry(id) {
        Entry::Vacant(vacant) => drop(vacant.insert(row)),
        Entry::Occupied(_) => return Err(CommitError::Conflict),
    }
    Ok(())
}

fn apply(keys: &mut Vec<KeyRow>, kid: String, document: String, sealed: SealedChange) {
    let index = keys.iter().position(|row| row.kid == kid);
    let before = index
        .and_then(|index| keys.get(index))
        .and_then(|row| row.sealed.clone());
    let sealed = match sealed {
        SealedChange::Keep => before,
        SealedChange::Set(bytes) => Some(bytes),
        SealedChange::Erase => None,
    };
    let row = KeyRow {
        kid,
        document,
        sealed,
    };
    match index.and_then(|index| keys.get_mut(index)) {
        Some(existing) => *existing = row,
        None => keys.push(row),
    }
}
