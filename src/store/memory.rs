//! A store that forgets: for tests, and for trying keywright out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::chain::Head;
use super::{
    AccessChange, ApprovalRow, ClientRow, Commit, CommitError, EventRow, IssuerRow, KeyRow,
    KeyStore, LastUse, NumberedEvent, SealedChange, StoreError, StoredSet,
};
use crate::lifecycle::IssuerName;

/// Rows in memory. Everything that can refuse a commit is asked before anything is changed.
#[derive(Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
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
}

impl MemoryStore {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn head(&self) -> Option<Head> {
        self.events.last().map(|last| Head {
            sequence: last.sequence,
            hash: last.hash,
        })
    }

    fn append(&mut self, events: impl IntoIterator<Item = EventRow>) {
        let mut head = self.head().unwrap_or(Head::BEGINNING);
        let chained = events.into_iter().map(|event| head.append(event));
        self.events.extend(chained);
    }

    fn change_access(&mut self, change: AccessChange) -> Result<(), CommitError> {
        match change {
            AccessChange::CreateClient(row) => create(&mut self.clients, row.id.clone(), row),
            AccessChange::ReplaceClient {
                row,
                expected_version,
            } => {
                let stored = self.clients.get_mut(&row.id);
                let stored = stored.filter(|stored| stored.version == expected_version);
                *stored.ok_or(CommitError::Conflict)? = row;
                Ok(())
            }
            AccessChange::DeleteClient(id) => {
                self.clients.remove(&id).ok_or(CommitError::Conflict)?;
                self.last_uses.retain(|(client, _), _| *client != id);
                Ok(())
            }
            AccessChange::CreateApproval(row) => create(&mut self.approvals, row.id.clone(), row),
            AccessChange::DeleteApproval(id) => {
                self.approvals.remove(&id).ok_or(CommitError::Conflict)?;
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
        let taken = |other: &StoredSet| other.issuer.name != *name && other.issuer.path == *path;
        if contents.issuers.values().any(taken) {
            return Err(CommitError::PathTaken);
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
        Ok(uses
            .map(|((client, credential), at)| LastUse {
                client: client.clone(),
                credential: credential.clone(),
                at: *at,
            })
            .collect())
    }

    async fn audit_head(&self) -> Result<Option<Head>, StoreError> {
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
