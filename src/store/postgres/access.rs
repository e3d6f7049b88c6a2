//! Clients, approvals, last uses and settings, row by row.

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;

use super::refused;
use crate::store::sql::{
    approval_row, client_row, client_versions, expected, failed, last_use, signed,
};
use crate::store::{
    AccessChange, ApprovalRow, ClientChange, ClientRow, CommitError, LastUse, Premise, StoreError,
};

pub(super) async fn clients(connection: &mut PgConnection) -> Result<Vec<ClientRow>, StoreError> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT id, version, document FROM clients ORDER BY id")
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    rows.into_iter().map(client_row).collect()
}

pub(super) async fn approvals(
    connection: &mut PgConnection,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT id, document FROM approvals ORDER BY id")
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    Ok(rows.into_iter().map(approval_row).collect())
}

/// Makes a change, which finds what it expects or is a conflict.
pub(super) async fn change(
    connection: &mut PgConnection,
    change: &AccessChange,
) -> Result<(), CommitError> {
    let statement = match change {
        AccessChange::Nothing => return Ok(()),
        AccessChange::Client { change, among } => {
            let stored = sqlx::query_as("SELECT id, version FROM clients")
                .persistent(false)
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
            if client_versions(stored)? != *among {
                return Err(CommitError::Conflict);
            }
            change_of_client(change)?
        }
        AccessChange::CreateApproval(row) => sqlx::query(
            "INSERT INTO approvals (id, document) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(&row.id)
        .bind(&row.document),
        AccessChange::DeleteApproval(id) => {
            sqlx::query("DELETE FROM approvals WHERE id = $1").bind(id)
        }
    };
    let outcome = statement
        .persistent(false)
        .execute(connection)
        .await
        .map_err(refused)?;
    expected(outcome.rows_affected())
}

/// The statement of a change of a client: it concerns one row, or is a conflict.
fn change_of_client(change: &ClientChange) -> Result<Query<'_, Postgres, PgArguments>, StoreError> {
    Ok(match change {
        ClientChange::Create(row) => sqlx::query(
            "INSERT INTO clients (id, version, document) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&row.id)
        .bind(signed(row.version)?)
        .bind(&row.document),
        ClientChange::Replace(row) => {
            sqlx::query("UPDATE clients SET version = $2, document = $3 WHERE id = $1")
                .bind(&row.id)
                .bind(signed(row.version)?)
                .bind(&row.document)
        }
        ClientChange::Delete(id) => sqlx::query("DELETE FROM clients WHERE id = $1").bind(id),
    })
}

/// Keeps the later of what is stored and what is reported. A client may have been deleted since
/// the use: then there is nothing to keep. Rows are taken in one order, so that two processes that
/// report the same do not wait for each other.
pub(super) async fn record_uses(
    connection: &mut PgConnection,
    uses: &[LastUse],
) -> Result<(), CommitError> {
    let clients: Vec<&str> = uses.iter().map(|noted| noted.client.as_str()).collect();
    let credentials: Vec<&str> = uses.iter().map(|noted| noted.credential.as_str()).collect();
    let times: Result<Vec<i64>, _> = uses.iter().map(|noted| signed(noted.at)).collect();
    sqlx::query(
        "INSERT INTO last_uses (client, credential, at) \
         SELECT client, credential, max(at) FROM unnest($1, $2, $3) AS noted (client, credential, at) \
         WHERE client IN (SELECT id FROM clients) \
         GROUP BY client, credential ORDER BY client, credential \
         ON CONFLICT (client, credential) DO UPDATE SET at = greatest(last_uses.at, excluded.at)",
    )
    .bind(clients)
    .bind(credentials)
    .bind(times?)
    .persistent(false)
    .execute(connection)
    .await
    .map_err(refused)?;
    Ok(())
}

pub(super) async fn last_uses(connection: &mut PgConnection) -> Result<Vec<LastUse>, StoreError> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT client, credential, at FROM last_uses ORDER BY client, credential")
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    rows.into_iter().map(last_use).collect()
}

pub(super) async fn setting(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
        .bind(name)
        .persistent(false)
        .fetch_optional(connection)
        .await
        .map_err(failed)
}

pub(super) async fn create_setting(
    connection: &mut PgConnection,
    name: &str,
    value: &[u8],
) -> Result<(), CommitError> {
    let written =
        sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(value)
            .persistent(false)
            .execute(connection)
            .await
            .map_err(refused)?;
    expected(written.rows_affected())
}

/// Writes a setting that has the value `before`.
pub(super) async fn replace_setting(
    connection: &mut PgConnection,
    name: &str,
    before: &[u8],
    after: &[u8],
) -> Result<(), CommitError> {
    let written = sqlx::query("UPDATE settings SET value = $3 WHERE name = $1 AND value = $2")
        .bind(name)
        .bind(before)
        .bind(after)
        .persistent(false)
        .execute(connection)
        .await
        .map_err(refused)?;
    expected(written.rows_affected())
}

/// Whether a premise holds; otherwise it is a conflict.
pub(super) async fn hold(
    connection: &mut PgConnection,
    premise: &Premise,
) -> Result<(), CommitError> {
    if setting(connection, premise.setting).await? == premise.value {
        Ok(())
    } else {
        Err(CommitError::Conflict)
    }
}
