//! A store that forgets: for tests, and for trying keywright out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    ClientChange, ClientRow, Commit, CommitError, EventRow, IssuerRow, KeyRow, KeyStore,
    NumberedEvent, SealedChange, StoreError, StoredSet,
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
    events: Vec<EventRow>,
    settings: BTreeMap<String, Vec<u8>>,
}

impl MemoryStore {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
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
        contents.events.extend(commit.events);
        Ok(())
    }

    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        Ok(self.contents().clients.values().cloned().collect())
    }

    async fn commit_client(
        &self,
        change: ClientChange,
        event: EventRow,
    ) -> Result<(), CommitError> {
        let mut contents = self.contents();
        match change {
            ClientChange::Create(row) if contents.clients.contains_key(&row.id) => {
                return Err(CommitError::Conflict);
            }
            ClientChange::Create(row) => drop(contents.clients.insert(row.id.clone(), row)),
            ClientChange::Delete(id) => {
                contents.clients.remove(&id).ok_or(CommitError::Conflict)?;
            }
        }
        contents.events.push(event);
        Ok(())
    }

    async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<NumberedEvent>, StoreError> {
        let contents = self.contents();
        let numbered = (1..).zip(&contents.events);
        Ok(numbered
            .filter(|(sequence, event)| {
                *sequence > after && issuer.is_none_or(|name| event.issuer.as_ref() == Some(name))
            })
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|(sequence, event)| NumberedEvent {
                sequence,
                event: event.clone(),
            })
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
