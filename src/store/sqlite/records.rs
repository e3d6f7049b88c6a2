//! How statements run on SQLite, and last uses, row by row.

use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, SqliteExecutor};

use crate::store::sql::records::{Connection, Value};
use crate::store::sql::{RecordColumns, failed, last_use, signed};
use crate::store::{CommitError, LastUse, StoreError};

/// Binds values to any kind of statement.
macro_rules! bind {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::OptionalText(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
                Value::Flag(flag) => query.bind(flag),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::OptionalBytes(bytes) => query.bind(bytes),
                Value::List(list) => query.bind(list.map(|list| {
                    // Lists of text always serialise.
                    serde_json::to_string(&list).unwrap_or_default()
                })),
            };
        }
        query
    }};
}

impl Connection for SqliteConnection {
    fn is_listed(column: &str, parameter: usize) -> String {
        format!("(${parameter} IS NULL OR {column} IN (SELECT value FROM json_each(${parameter})))")
    }

    async fn execute(&mut self, statement: &str, values: Vec<Value>) -> Result<u64, CommitError> {
        let statement: Query<'_, Sqlite, SqliteArguments> =
            bind!(sqlx::query(AssertSqlSafe(statement.to_owned())), values);
        let done = statement.execute(self).await.map_err(commit_error)?;
        Ok(done.rows_affected())
    }

    async fn records(
        &mut self,
        statement: &str,
        values: Vec<Value>,
    ) -> Result<Vec<RecordColumns>, StoreError> {
        let statement: QueryAs<'_, Sqlite, RecordColumns, SqliteArguments> =
            bind!(sqlx::query_as(AssertSqlSafe(statement.to_owned())), values);
        statement.fetch_all(self).await.map_err(failed)
    }

    async fn number(&mut self, statement: &str, values: Vec<Value>) -> Result<i64, StoreError> {
        let statement: QueryScalar<'_, Sqlite, i64, SqliteArguments> = bind!(
            sqlx::query_scalar(AssertSqlSafe(statement.to_owned())),
            values
        );
        statement.fetch_one(self).await.map_err(failed)
    }
}

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
