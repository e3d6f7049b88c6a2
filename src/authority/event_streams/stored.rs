//! A stream of security events as the store has it.

use crate::event_stream::EventStream;
use crate::lifecycle::IssuerName;
use crate::store::{
    Content, Kind, Query, Record, RecordIndex, RecordKey, SealedChange, StoreError, Token, Write,
};

/// A stream as the store has it.
pub struct StoredEventStream {
    /// The issuer whose events it has.
    pub issuer: IssuerName,
    /// What it is.
    pub stream: EventStream,
    token: Token,
    pub(super) sealed: Option<Vec<u8>>,
}

pub(super) fn record_key(issuer: &IssuerName, id: &str) -> RecordKey {
    RecordKey::owned(Kind::EventStream, issuer, id)
}

/// The streams of a client: they are found by whom they are for.
pub(super) fn of_client(client: &str) -> Query {
    Query {
        subjects: Some(vec![client.to_owned()]),
        ..Query::all(Kind::EventStream)
    }
}

pub(super) fn content(stream: &EventStream, sealed: SealedChange) -> Content {
    Content {
        sealed,
        index: RecordIndex {
            subject: Some(stream.client.clone()),
            ..RecordIndex::default()
        },
        ..Content::of(stream.to_document())
    }
}

impl StoredEventStream {
    /// Reads a record. One without an issuer is none of this program.
    pub(super) fn read(record: Record) -> Result<Option<Self>, StoreError> {
        let Some(issuer) = record.key.owner else {
            return Ok(None);
        };
        let stream = EventStream::from_document(&record.key.id, &record.document);
        Ok(Some(Self {
            issuer,
            stream: stream.map_err(|error| StoreError(Box::new(error)))?,
            token: record.token,
            sealed: record.sealed,
        }))
    }

    /// The write that puts another stream into the place of this one.
    pub(super) fn replaced_by(&self, stream: &EventStream, sealed: SealedChange) -> Write {
        let key = record_key(&self.issuer, &stream.id);
        Write::Replace(key, self.token, content(stream, sealed))
    }

    /// The write that ends it.
    pub(super) fn deleted(&self) -> Write {
        Write::Delete(record_key(&self.issuer, &self.stream.id), self.token)
    }
}
