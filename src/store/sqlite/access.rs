//! Clients, approvals and last uses, row by row.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection, SqliteExecutor};

use crate::store::sql::{
    approval_row, client_row, client_versions, expected, failed, last_use, signed,
};
use crate::store::{
    AccessChange, ApprovalRow, ClientChange, ClientRow, CommitError, LastUse, StoreError,
};

pub(super) async fn clients(
    executor: impl SqliteExecutor<'_>,
) -> Result<Vec<ClientRow>, StoreError> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT id, version, document FROM clients ORDER BY id")
            .fetch_all(executor)
            .await
            .map_err(failed)?;
    rows.into_iter().map(client_row).collect()
}

pub(super) async fn approvals(
    executor: impl SqliteExecutor<'_>,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT id, document FROM approvals ORDER BY id")
            .fetch_all(executor)
            .await
            .map_err(failed)?;
    Ok(rows.into_iter().map(approval_row).collect())
}

/// Makes a change, which finds what it expects or is a conflict.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    change: &AccessChange,
) -> Result<(), CommitError> {
    let statement = match change {
        AccessChange::Nothing => return Ok(()),
        AccessChange::Client { change, among } => {
            let stored = sqlx::query_as("SELECT id, version FROM clients")
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
            if client_versions(stored)? != *among {
                return Err(CommitError::Conflict);
            }
            change_of_client(change)?
        }
        AccessChange::CreateApproval(row) => sqlx::query(
            "INSERT INTO approvals (id, document) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )
        .bind(&row.id)
        .bind(&row.document),
        AccessChange::DeleteApproval(id) => {
            sqlx::query("DELETE FROM approvals WHERE id = ?1").bind(id)
        }
    };
    let outcome = statement.execute(connection).await.map_err(failed)?;
    expected(outcome.rows_affected())
}

/// The statement of a change of a client: it concerns one row, or is a conflict.
fn change_of_client(
    change: &ClientChange,
) -> Result<Query<'_, Sqlite, SqliteArguments>, StoreError> {
    Ok(match change {
        ClientChange::Create(row) => sqlx::query(
            "INSERT INTO clients (id, version, document) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&row.id)
        .bind(signed(row.version)?)
        .bind(&row.document),
        ClientChange::Replace(row) => {
            sqlx::query("UPDATE clients SET version = ?2, document = ?3 WHERE id = ?1")
                .bind(&row.id)
                .bind(signed(row.version)?)
                .bind(&row.document)
        }
        ClientChange::Delete(id) => sqlx::query("DELETE FROM clients WHERE id = ?1").bind(id),
    })
}

/// Keeps the later of what is stored and what is reported. The client may have been deleted since
/// the use: then there is nothing to keep.
pub(super) async fn record_use(
    connection: &mut SqliteConnection,
    noted: &LastUse,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO last_uses (client, credential, at) \
         SELECT id, ?2, ?3 FROM clients WHERE id = ?1 \
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
