//! Named values that concern the store as a whole.

use sqlx::SqliteConnection;

use crate::store::sql::{expected, failed};
use crate::store::{CommitError, Premise, StoreError};

pub(super) async fn value(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    sqlx::query_scalar("SELECT value FROM settings WHERE name = ?1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(failed)
}

pub(super) async fn create(
    connection: &mut SqliteConnection,
    name: &str,
    value: &[u8],
) -> Result<(), CommitError> {
    let written =
        sqlx::query("INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(connection)
            .await
            .map_err(failed)?;
    expected(written.rows_affected())
}

/// Replaces the value that is expected, or is a conflict.
pub(super) async fn replace(
    connection: &mut SqliteConnection,
    name: &str,
    before: &[u8],
    after: &[u8],
) -> Result<(), CommitError> {
    let written = sqlx::query("UPDATE settings SET value = ?3 WHERE name = ?1 AND value = ?2")
        .bind(name)
        .bind(before)
        .bind(after)
        .execute(connection)
        .await
        .map_err(failed)?;
    expected(written.rows_affected())
}

/// Whether a premise holds; otherwise it is a conflict.
pub(super) async fn hold(
    connection: &mut SqliteConnection,
    premise: &Premise,
) -> Result<(), CommitError> {
    if value(connection, premise.setting).await? == premise.value {
        Ok(())
    } else {
        Err(CommitError::Conflict)
    }
}
