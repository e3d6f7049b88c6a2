//! Records as a caller writes them. A store does not look into them, so they say what they are for.

use std::collections::BTreeMap;

use async_trait::async_trait;
use keywright::lifecycle::IssuerName;
use keywright::store::chain::LogHead;
use keywright::store::{
    Batch, BatchId, CommitError, Content, EventRow, Kind, Query, Record, RecordIndex, RecordKey,
    SealedChange, Store, StoreError, StoredSet, Token, Tokens, Write,
};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

pub(crate) fn name(text: &str) -> IssuerName {
    IssuerName::parse(text).unwrap()
}

pub(crate) fn event(issuer: Option<&str>, document: &str) -> EventRow {
    EventRow {
        at: 1_800_000_000_123,
        issuer: issuer.map(name),
        document: document.to_owned(),
    }
}

/// An identifier that no other batch has.
pub(crate) fn batch_id() -> BatchId {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).unwrap();
    BatchId(id)
}

/// These writes, with the event `told`.
pub(crate) fn batch(writes: impl IntoIterator<Item = Write>, told: &str) -> Batch {
    Batch {
        events: vec![event(None, told)],
        ..silent(writes)
    }
}

/// These writes, without an event.
pub(crate) fn silent(writes: impl IntoIterator<Item = Write>) -> Batch {
    Batch {
        writes: writes.into_iter().collect(),
        ..Batch::new(batch_id())
    }
}

/// The change of an issuer and its keys, as the tests of key sets write it.
#[derive(Debug, Clone)]
pub(crate) struct SetChange {
    pub(crate) issuer: String,
    pub(crate) path: String,
    pub(crate) document: String,
    /// What the issuer's record must have; nothing for an issuer that must not exist.
    pub(crate) expected: Option<Token>,
    pub(crate) keys: Vec<KeyChange>,
    /// The batch but for the writes above.
    pub(crate) batch: Batch,
}

/// A key that comes, or another document for one that is there.
#[derive(Debug, Clone)]
pub(crate) struct KeyChange {
    kid: String,
    document: String,
    sealed: SealedChange,
}

/// The change that brings `issuer` to `version`, with one event that says so, after those that have
/// brought it there.
pub(crate) fn commit(issuer: &str, version: u64) -> SetChange {
    SetChange {
        issuer: issuer.to_owned(),
        path: format!("/{issuer}"),
        document: format!("{issuer} {version}"),
        expected: (version > 1).then(|| token(issuer, version - 1)),
        keys: Vec::new(),
        batch: Batch {
            events: vec![event(Some(issuer), &format!("{issuer} {version}"))],
            ..Batch::new(id(issuer, version))
        },
    }
}

/// What the batch of `commit(issuer, version)` is called.
fn id(issuer: &str, version: u64) -> BatchId {
    let digest = digest(&SHA256, format!("{issuer} {version}").as_bytes());
    BatchId(digest.as_ref()[..16].try_into().unwrap())
}

/// The token that an issuer's record has after `commit(issuer, 1)` to `commit(issuer, version)`.
pub(crate) fn token(issuer: &str, version: u64) -> Token {
    (1..=version).fold(Token::UNWRITTEN, |token, version| {
        token.followed_by(id(issuer, version))
    })
}

impl SetChange {
    pub(crate) fn event(&mut self, event: EventRow) {
        self.batch.events.push(event);
    }

    /// The issuer's record at `version`, once this is committed.
    pub(crate) fn issuer_at(&self, version: u64) -> Record {
        Record {
            key: RecordKey::unowned(Kind::Issuer, &self.issuer),
            version,
            token: self
                .expected
                .unwrap_or(Token::UNWRITTEN)
                .followed_by(self.batch.id),
            document: self.document.clone(),
            sealed: None,
            unique: Some(self.path.clone()),
            is_final: false,
            index: RecordIndex::default(),
        }
    }

    /// The batch, for a store in which the keys have these tokens.
    fn into_batch(self, mut tokens: BTreeMap<String, Token>) -> Batch {
        let issuer = RecordKey::unowned(Kind::Issuer, &self.issuer);
        let content = Content {
            document: self.document,
            unique: Some(self.path),
            ..Content::default()
        };
        let mut batch = self.batch;
        batch.writes.push(match self.expected {
            None => Write::Create(issuer, content),
            Some(token) => Write::Replace(issuer, token, content),
        });
        for key in self.keys {
            let record = RecordKey::signing_key(&name(&self.issuer), &key.kid);
            let content = Content {
                document: key.document,
                sealed: key.sealed,
                ..Content::default()
            };
            let before = tokens.get(&key.kid).copied();
            let after = before.unwrap_or(Token::UNWRITTEN).followed_by(batch.id);
            tokens.insert(key.kid, after);
            batch.writes.push(match before {
                None => Write::Create(record, content),
                Some(token) => Write::Replace(record, token, content),
            });
        }
        batch
    }
}

pub(crate) fn change(kid: &str, document: &str, sealed: SealedChange) -> KeyChange {
    KeyChange {
        kid: kid.to_owned(),
        document: document.to_owned(),
        sealed,
    }
}

pub(crate) fn set(bytes: &[u8]) -> SealedChange {
    SealedChange::Set(bytes.to_vec())
}

pub(crate) fn setting(id: &str) -> RecordKey {
    RecordKey::unowned(Kind::Setting, id)
}

pub(crate) fn client(id: &str) -> RecordKey {
    RecordKey::unowned(Kind::Client, id)
}

pub(crate) fn approval(issuer: &str, id: &str) -> RecordKey {
    RecordKey::owned(Kind::Approval, &name(issuer), id)
}

/// What tests ask of every store, in one call each.
#[async_trait]
pub(crate) trait StoreCalls: Store {
    /// Commits a batch as it is: what became of it is not asked.
    async fn write(&self, batch: Batch) -> Result<LogHead, CommitError> {
        self.writer().await?.commit(batch).await
    }

    /// Commits a change of a set, its keys as they are now.
    async fn commit(&self, change: SetChange) -> Result<LogHead, CommitError> {
        let keys = if change.keys.is_empty() {
            Vec::new()
        } else {
            self.list(Query::owned(Kind::Key, &name(&change.issuer)))
                .await?
        };
        let tokens = keys.into_iter().map(|key| (key.key.id, key.token));
        self.write(change.into_batch(tokens.collect())).await
    }

    async fn load(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError> {
        self.key_set(issuer).await
    }

    async fn issuers(&self) -> Result<Vec<String>, StoreError> {
        self.ids(Kind::Issuer).await
    }

    /// The ids of all records of a kind, in their order.
    async fn ids(&self, kind: Kind) -> Result<Vec<String>, StoreError> {
        let records = self.list(Query::all(kind)).await?;
        Ok(records.into_iter().map(|record| record.key.id).collect())
    }

    async fn clients(&self) -> Result<Vec<Record>, StoreError> {
        self.list(Query::all(Kind::Client)).await
    }

    async fn approvals(&self) -> Result<Vec<Record>, StoreError> {
        self.list(Query::all(Kind::Approval)).await
    }

    /// A setting's value.
    async fn setting(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let record = self.get(&setting(id)).await?;
        Ok(record.and_then(|record| record.sealed))
    }

    /// Writes a setting that must not exist, without an event.
    async fn create_setting(&self, id: &str, value: &[u8]) -> Result<LogHead, CommitError> {
        let content = Content::sealed(value.to_vec());
        let create = Write::Create(setting(id), content);
        self.write(silent([create])).await
    }

    /// The token of a record that exists.
    async fn token(&self, key: &RecordKey) -> Token {
        self.get(key).await.unwrap().unwrap().token
    }
}

impl<S: Store + ?Sized> StoreCalls for S {}

/// The token of each record.
pub(crate) fn tokens(records: &[Record]) -> Tokens {
    let records = records.iter();
    records
        .map(|record| (record.key.id.clone(), record.token))
        .collect()
}
