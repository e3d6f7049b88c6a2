//! What is written at once: all of it or nothing.

use std::collections::BTreeMap;
use std::fmt;

use super::record::{BatchId, Kind, Query, Record, RecordIndex, RecordKey, Token};
use super::{EventRow, StoreError};
use crate::lifecycle::Timestamp;

/// Writes with the events that explain them. It happens whole, if everything is as it expects, or
/// not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What it is asked for by when its answer was lost, and what its tokens are made with.
    pub id: BatchId,
    /// What must hold beside the tokens of the writes.
    pub expectations: Vec<Expectation>,
    /// What is written, in this order.
    pub writes: Vec<Write>,
    /// What happened.
    pub events: Vec<EventRow>,
    /// When it is too late: what it says of the time is not true then. It is held against the
    /// store's clock in the act of committing.
    pub not_after: Option<Timestamp>,
    /// Whether it must not fail because the disk is full.
    pub when_disk_full: WhenDiskFull,
}

/// What becomes of a batch when the disk is full. Only a store that keeps a reserve makes a
/// difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenDiskFull {
    /// It fails, and has changed nothing.
    #[default]
    Fail,
    /// It is written into the space that is kept for such batches.
    UseReserve,
}

impl Batch {
    /// A batch that does nothing yet.
    pub fn new(id: BatchId) -> Self {
        Self {
            id,
            expectations: Vec::new(),
            writes: Vec::new(),
            events: Vec::new(),
            not_after: None,
            when_disk_full: WhenDiskFull::default(),
        }
    }
}

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// A record that must not exist.
    Create(RecordKey, Content),
    /// A record that must have this token.
    Replace(RecordKey, Token, Content),
    /// The end of a record that must have this token.
    Delete(RecordKey, Token),
}

impl Write {
    /// The record that it is about.
    pub fn key(&self) -> &RecordKey {
        match self {
            Self::Create(key, _) | Self::Replace(key, ..) | Self::Delete(key, _) => key,
        }
    }

    /// The same record with other sealed bytes.
    pub fn reseal(record: Record, sealed: Vec<u8>) -> Self {
        let content = Content {
            document: record.document,
            sealed: SealedChange::Set(sealed),
            unique: record.unique,
            is_final: record.is_final,
            index: record.index,
        };
        Self::Replace(record.key, record.token, content)
    }
}

/// What a record becomes.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// What it says.
    pub document: String,
    /// What becomes of the bytes that are kept apart.
    pub sealed: SealedChange,
    /// A text that no other record of the kind may have.
    pub unique: Option<String>,
    /// Whether the store refuses every later write to it.
    pub is_final: bool,
    /// What it is found by beside its name.
    pub index: RecordIndex,
}

impl Content {
    /// A record that is nothing but its document.
    pub fn of(document: String) -> Self {
        Self {
            document,
            ..Self::default()
        }
    }

    /// A record that is nothing but bytes.
    pub fn sealed(bytes: Vec<u8>) -> Self {
        Self {
            sealed: SealedChange::Set(bytes),
            ..Self::default()
        }
    }
}

/// What a write does to the bytes that are kept apart.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum SealedChange {
    /// They stay as they are.
    #[default]
    Keep,
    /// They are these from now on.
    Set(Vec<u8>),
    /// They are erased in this very batch.
    Erase,
}

impl SealedChange {
    /// Whether they stay, and what they are otherwise.
    pub(super) fn columns(&self) -> (bool, Option<&[u8]>) {
        match self {
            Self::Keep => (true, None),
            Self::Set(bytes) => (false, Some(bytes)),
            Self::Erase => (false, None),
        }
    }
}

impl fmt::Debug for SealedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Set(_) => "Set(…)",
            Self::Erase => "Erase",
        })
    }
}

/// What a batch was decided on beside the records that it writes.
#[derive(Debug, Clone)]
pub enum Expectation {
    /// A record has this token, or does not exist.
    Is(RecordKey, Option<Token>),
    /// The records of a kind are exactly these. Some rules hold of all together, such as that one
    /// client can still let others in, and two changes of different records could break them.
    Exactly(Kind, Tokens),
    /// The query finds at most so many records, before the batch.
    AtMost(Query, usize),
}

/// The token of each record of a kind that belongs to no issuer, by id.
pub type Tokens = BTreeMap<String, Token>;

/// Why a batch did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something is not as the batch expects it. Read it again and decide anew.
    #[error("a stored record is not the expected one")]
    Conflict,
    /// A record is final: nothing writes it any more, whatever was decided.
    #[error("a record is final and cannot be written")]
    Final,
    /// The batch comes too late: its time has passed. Decide anew.
    #[error("the change came too late")]
    Late,
    /// Another record of the kind has the same unique text.
    #[error("another record has the same unique text")]
    NotUnique,
    /// The store failed before anything was committed: nothing has changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while it committed: all of it happened or nothing, and
    /// [`outcome`](super::Store::outcome) will tell.
    #[error("the outcome of the commit is not known: {0}")]
    Unknown(#[source] StoreError),
}
