//! The audit log and whole stores, as both databases read them.

use super::records::{Connection, Value, number, read};
use super::unsigned;
use crate::lifecycle::IssuerName;
use crate::store::chain::{LogHead, StoredEvent};
use crate::store::record::{BatchId, Kind, Query};
use crate::store::transfer::{Rows, StoredHead};
use crate::store::{LastUse, NumberedEvent, StoreError};

/// The columns of an event, in the order of [`columns`].
pub(in crate::store) type EventColumns = (i64, i64, Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>);

fn columns<C: Connection>() -> String {
    let (issuer, document) = (C::octets("issuer"), C::octets("document"));
    format!("sequence, at, {issuer}, {document}, hash")
}

pub(in crate::store) fn as_stored(
    (sequence, at, issuer, document, hash): EventColumns,
) -> StoredEvent {
    StoredEvent {
        sequence,
        at,
        issuer,
        document,
        hash,
    }
}

/// Where the log ends; `None` when nothing says so.
async fn stored_head(
    connection: &mut impl Connection,
) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
    let statement = "SELECT sequence, hash FROM audit_head";
    Ok(connection.rows(statement, Vec::new()).await?.pop())
}

pub(in crate::store) async fn head(
    connection: &mut impl Connection,
) -> Result<LogHead, StoreError> {
    let stored = stored_head(connection).await?;
    Ok(stored.map_or(LogHead::BEGINNING, |(sequence, hash)| {
        LogHead::of_stored(sequence, &hash, 0)
    }))
}

/// The number of the last event; 0 when there is none.
async fn last(connection: &mut impl Connection) -> Result<i64, StoreError> {
    let statement = "SELECT coalesce(max(sequence), 0) FROM events";
    number(connection, statement, Vec::new()).await
}

/// Where the log is continued: also where its end, or its last events, have been taken away.
pub(in crate::store) async fn end(connection: &mut impl Connection) -> Result<LogHead, StoreError> {
    let last = last(connection).await?;
    let (sequence, hash) = stored_head(connection).await?.unwrap_or_default();
    Ok(LogHead::of_stored(sequence, &hash, last))
}

/// Where the log ended after a batch; `None` when it is not there.
pub(in crate::store) async fn of_batch(
    connection: &mut impl Connection,
    batch: BatchId,
) -> Result<Option<LogHead>, StoreError> {
    let statement =
        "SELECT sequence, hash FROM events WHERE batch = $1 ORDER BY sequence DESC LIMIT 1";
    let values = vec![Value::Bytes(batch.0.to_vec())];
    let mut last = connection.rows::<(i64, Vec<u8>)>(statement, values).await?;
    let last = last.pop();
    Ok(last.map(|(sequence, hash)| LogHead::of_stored(sequence, &hash, 0)))
}

pub(in crate::store) async fn page<C: Connection>(
    connection: &mut C,
    issuer: Option<&IssuerName>,
    after: u64,
    limit: u32,
) -> Result<Vec<NumberedEvent>, StoreError> {
    let statement = format!(
        "SELECT {} FROM events WHERE sequence > $1 AND ($2 IS NULL OR issuer = $2) \
         ORDER BY sequence LIMIT $3",
        columns::<C>()
    );
    let values = vec![
        Value::Number(i64::try_from(after).unwrap_or(i64::MAX)),
        Value::OptionalText(issuer.map(|name| name.as_str().to_owned())),
        Value::Number(i64::from(limit)),
    ];
    let rows = connection.rows(&statement, values).await?;
    Ok(rows.into_iter().map(|row| as_stored(row).read()).collect())
}

/// Events with their columns as they are.
pub(in crate::store) async fn stored<C: Connection>(
    connection: &mut C,
    after: i64,
    through: i64,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    let statement = format!(
        "SELECT {} FROM events WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3",
        columns::<C>()
    );
    let numbers = [after, through, i64::from(limit)];
    let values = Vec::from(numbers.map(Value::Number));
    let rows = connection.rows(&statement, values).await?;
    Ok(rows.into_iter().map(as_stored).collect())
}

pub(in crate::store) async fn last_uses(
    connection: &mut impl Connection,
) -> Result<Vec<LastUse>, StoreError> {
    let statement = "SELECT client, credential, at FROM last_uses ORDER BY client, credential";
    let rows = connection.rows(statement, Vec::new()).await?;
    let last_use = |(client, credential, at)| {
        let at = unsigned(at)?;
        Ok(LastUse {
            client,
            credential,
            at,
        })
    };
    rows.into_iter().map(last_use).collect()
}

/// Everything but the events, from one state: the transaction sees to that.
pub(in crate::store) async fn rows(connection: &mut impl Connection) -> Result<Rows, StoreError> {
    let head = stored_head(connection).await?;
    // A row may be there before the first event, for commits to queue behind.
    let head = head
        .filter(|(sequence, hash)| LogHead::of_stored(*sequence, hash, 0) != LogHead::BEGINNING);
    let last_event = last(connection).await?;
    let mut records = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_paged()) {
        records.append(&mut read(connection, &Query::all(kind)).await?);
    }
    Ok(Rows {
        head: head.map(|(sequence, hash)| StoredHead { sequence, hash }),
        last_event,
        records,
        last_uses: last_uses(connection).await?,
    })
}
