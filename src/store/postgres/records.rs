//! How statements run on PostgreSQL, and last uses, row by row.

use sqlx::postgres::{PgArguments, PgConnection, Postgres};

use super::commit_error;
use crate::store::sql::records::connection;
use crate::store::sql::signed;
use crate::store::{CommitError, LastUse};

connection!(
    PgConnection,
    Postgres,
    PgArguments,
    is_listed: |column, parameter| format!("{column} = ANY(${parameter})"),
    list: std::convert::identity::<Vec<String>>,
    octets: |column| format!("convert_to({column}, 'UTF8')"),
    // A statement that is kept does not survive a pooler.
    persistent: false,
    error: commit_error
);

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
