//! How statements run on PostgreSQL, and last uses, row by row.

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::{Query, QueryAs, QueryScalar};

use super::commit_error;
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
                Value::List(list) => query.bind(list),
            };
        }
        query.persistent(false)
    }};
}

impl Connection for PgConnection {
    fn is_listed(column: &str, parameter: usize) -> String {
        format!("(${parameter}::text[] IS NULL OR {column} = ANY(${parameter}))")
    }

    async fn execute(&mut self, statement: &str, values: Vec<Value>) -> Result<u64, CommitError> {
        let statement: Query<'_, Postgres, PgArguments> =
            bind!(sqlx::query(AssertSqlSafe(statement.to_owned())), values);
        let done = statement.execute(self).await.map_err(commit_error)?;
        Ok(done.rows_affected())
    }

    async fn records(
        &mut self,
        statement: &str,
        values: Vec<Value>,
    ) -> Result<Vec<RecordColumns>, StoreError> {
        let statement: QueryAs<'_, Postgres, RecordColumns, PgArguments> =
            bind!(sqlx::query_as(AssertSqlSafe(statement.to_owned())), values);
        statement.fetch_all(self).await.map_err(failed)
    }

    async fn number(&mut self, statement: &str, values: Vec<Value>) -> Result<i64, StoreError> {
        let statement: QueryScalar<'_, Postgres, i64, PgArguments> = bind!(
            sqlx::query_scalar(AssertSqlSafe(statement.to_owned())),
            values
        );
        statement.fetch_one(self).await.map_err(failed)
    }
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
         WHERE client IN (SELECT id FROM records WHERE kind = 'client' AND owner = '') \
         GROUP BY client, credential ORDER BY client, credential \
         ON CONFLICT (client, credential) DO UPDATE SET at = greatest(last_uses.at, excluded.at)",
    )
    .bind(clients)
    .bind(credentials)
    .bind(times?)
    .persistent(false)
    .execute(connection)
    .await
    .map_err(commit_error)?;
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
