//! Records and last uses, row by row.

use sqlx::{AssertSqlSafe, SqliteConnection, SqliteExecutor};

use crate::store::record::{BatchId, Kind, Query, Record, RecordKey, Token};
use crate::store::sql::{
    COLUMNS, RecordColumns, changed, failed, last_use, order, owner, record, signed,
};
use crate::store::{CommitError, Content, Expectation, LastUse, StoreError, Write};

pub(super) async fn read(
    connection: &mut SqliteConnection,
    query: &Query,
) -> Result<Vec<Record>, StoreError> {
    let owners = query.owners.as_ref();
    let owners: Option<Vec<&str>> = owners.map(|owners| owners.iter().map(owner).collect());
    // Text and lists of text always serialise.
    let json = |list: &[&str]| serde_json::to_string(list).unwrap_or_default();
    let ids: Option<Vec<&str>> =
        (query.ids.as_ref()).map(|ids| ids.iter().map(String::as_str).collect());
    let statement = format!(
        "SELECT {COLUMNS} FROM records WHERE kind = ?1 \
         AND (?2 IS NULL OR owner IN (SELECT value FROM json_each(?2))) \
         AND (?3 IS NULL OR id IN (SELECT value FROM json_each(?3))) ORDER BY {}",
        order(query.kind)
    );
    let rows: Vec<RecordColumns> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(query.kind.as_str())
        .bind(owners.as_deref().map(json))
        .bind(ids.as_deref().map(json))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let record = |columns| record(query.kind, columns);
    rows.into_iter().map(record).collect()
}

/// Whether an expectation holds; otherwise it is a conflict.
pub(super) async fn expect(
    connection: &mut SqliteConnection,
    expectation: &Expectation,
) -> Result<(), CommitError> {
    let holds = match expectation {
        Expectation::Is(key, token) => {
            let stored = read(connection, &Query::one(key)).await?;
            stored.first().map(|record| record.token) == *token
        }
        Expectation::Exactly(kind, tokens) => {
            let stored: Vec<(String, Vec<u8>)> =
                sqlx::query_as("SELECT id, token FROM records WHERE kind = ?1 ORDER BY id")
                    .bind(kind.as_str())
                    .fetch_all(connection)
                    .await
                    .map_err(failed)?;
            let stored = stored.into_iter();
            stored
                .map(|(id, token)| (id, Token::of_stored(&token)))
                .eq(tokens.iter().map(|(id, token)| (id.clone(), *token)))
        }
        Expectation::AtMost(kind, most) => {
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM records WHERE kind = ?1")
                .bind(kind.as_str())
                .fetch_one(connection)
                .await
                .map_err(failed)?;
            usize::try_from(count).is_ok_and(|count| count <= *most)
        }
    };
    if holds {
        Ok(())
    } else {
        Err(CommitError::Conflict)
    }
}

/// Makes one write, which finds what it expects or is refused.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    write: &Write,
    batch: BatchId,
) -> Result<(), CommitError> {
    let (key, rows_affected) = match write {
        Write::Create(key, content) => {
            let token = Token::UNWRITTEN.followed_by(batch);
            (key, create(connection, key, token, content).await?)
        }
        Write::Replace(key, token, content) => {
            (key, replace(connection, key, *token, batch, content).await?)
        }
        Write::Delete(key, token) => (key, delete(connection, key, *token).await?),
    };
    if rows_affected > 0 {
        return Ok(());
    }
    let is_final = sqlx::query_scalar(
        "SELECT is_final FROM records WHERE kind = ?1 AND owner = ?2 AND id = ?3",
    )
    .bind(key.kind.as_str())
    .bind(owner(&key.owner))
    .bind(&key.id)
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    let is_create = matches!(write, Write::Create(..));
    changed(rows_affected, is_final.filter(|_| !is_create))
}

async fn create(
    connection: &mut SqliteConnection,
    key: &RecordKey,
    token: Token,
    content: &Content,
) -> Result<u64, CommitError> {
    let (_, sealed) = content.sealed.columns();
    let written = sqlx::query(
        "INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, \
         is_final) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (kind, owner, id) DO NOTHING",
    )
    .bind(key.kind.as_str())
    .bind(owner(&key.owner))
    .bind(&key.id)
    .bind(token.as_bytes().as_slice())
    .bind(&content.document)
    .bind(sealed)
    .bind(&content.unique)
    .bind(content.is_final)
    .execute(connection)
    .await;
    Ok(written.map_err(refused)?.rows_affected())
}

async fn replace(
    connection: &mut SqliteConnection,
    key: &RecordKey,
    token: Token,
    batch: BatchId,
    content: &Content,
) -> Result<u64, CommitError> {
    let (keep, sealed) = content.sealed.columns();
    let written = sqlx::query(
        "UPDATE records SET version = version + 1, token = ?5, document = ?6, \
         sealed = CASE WHEN ?7 THEN sealed ELSE ?8 END, unique_text = ?9, is_final = ?10 \
         WHERE kind = ?1 AND owner = ?2 AND id = ?3 AND token = ?4 AND NOT is_final",
    )
    .bind(key.kind.as_str())
    .bind(owner(&key.owner))
    .bind(&key.id)
    .bind(token.as_bytes().as_slice())
    .bind(token.followed_by(batch).as_bytes().as_slice())
    .bind(&content.document)
    .bind(keep)
    .bind(sealed)
    .bind(&content.unique)
    .bind(content.is_final)
    .execute(connection)
    .await;
    Ok(written.map_err(refused)?.rows_affected())
}

async fn delete(
    connection: &mut SqliteConnection,
    key: &RecordKey,
    token: Token,
) -> Result<u64, CommitError> {
    let written = sqlx::query(
        "DELETE FROM records WHERE kind = ?1 AND owner = ?2 AND id = ?3 AND token = ?4 \
         AND NOT is_final",
    )
    .bind(key.kind.as_str())
    .bind(owner(&key.owner))
    .bind(&key.id)
    .bind(token.as_bytes().as_slice())
    .execute(&mut *connection)
    .await
    .map_err(refused)?;
    if key.kind == Kind::Client && written.rows_affected() > 0 {
        sqlx::query("DELETE FROM last_uses WHERE client = ?1")
            .bind(&key.id)
            .execute(connection)
            .await
            .map_err(refused)?;
    }
    Ok(written.rows_affected())
}

fn refused(error: sqlx::Error) -> CommitError {
    let told = error.as_database_error();
    if told.is_some_and(|told| told.is_unique_violation()) {
        CommitError::NotUnique
    } else {
        failed(error).into()
    }
}

/// Writes a record of a dump as it is.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    record: Record,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, \
         is_final) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(record.key.kind.as_str())
    .bind(owner(&record.key.owner))
    .bind(&record.key.id)
    .bind(signed(record.version)?)
    .bind(record.token.as_bytes().as_slice())
    .bind(record.document)
    .bind(record.sealed)
    .bind(record.unique)
    .bind(record.is_final)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Keeps the later of what is stored and what is reported. The client may have been deleted since
/// the use: then there is nothing to keep.
pub(super) async fn record_use(
    connection: &mut SqliteConnection,
    noted: &LastUse,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO last_uses (client, credential, at) \
         SELECT id, ?2, ?3 FROM records WHERE kind = 'client' AND owner = '' AND id = ?1 \
         ON CONFLICT (client, credential) DO UPDATE SET at = max(at, excluded.at)",
    )
    .bind(&noted.client)
    .bind(&noted.credential)
    .bind(signed(noted.at)?)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

pub(super) async fn last_uses(
    executor: impl SqliteExecutor<'_>,
) -> Result<Vec<LastUse>, StoreError> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT client, credential, at FROM last_uses ORDER BY client, credential")
            .fetch_all(executor)
            .await
            .map_err(failed)?;
    rows.into_iter().map(last_use).collect()
}
