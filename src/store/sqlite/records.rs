//! How statements run on SQLite, and last uses, row by row.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use crate::store::sql::records::connection;
use crate::store::sql::{failed, signed};
use crate::store::{CommitError, LastUse, StoreError};

connection!(
    SqliteConnection,
    Sqlite,
    SqliteArguments,
    is_listed: |column, parameter| {
        format!("{column} IN (SELECT value FROM json_each(${parameter}))")
    },
    list: |list: Vec<String>| serde_json::Value::from(list).to_string(),
    octets: str::to_owned,
    persistent: true,
    error: commit_error
);

fn commit_error(error: sqlx::Error) -> CommitError {
    let told = error.as_database_error();
    if told.is_some_and(|told| told.is_unique_violation()) {
        CommitError::NotUnique
    } else {
        failed(error).into()
    }
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
