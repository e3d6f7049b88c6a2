//! One transaction, from its first statement to its end, on a connection that is given up when
//! anything goes wrong.
//!
//! Every statement runs in a transaction that sets what it needs for itself, and no statement is
//! prepared by name: a session has no state. So a pooler that hands connections around between
//! transactions may stand in between.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Postgres};

use super::hosts::Pool;
use super::{code, commit_error};
use crate::lifecycle::Timestamp;
use crate::store::sql::failed;
use crate::store::{CommitError, StoreError};

/// How transactions begin.
pub(super) struct BeginStatements {
    /// Reads that see one state of the database.
    pub(super) read: String,
    /// Writes, on disk when they are answered, whatever the role's settings say.
    pub(super) write: String,
}

impl BeginStatements {
    /// Each statement may take, and wait for others, as long as `limit`. So may this side between
    /// two statements: a process that is frozen in the middle must not keep the others waiting.
    pub(super) fn new(limit: Duration) -> Self {
        let limits = limits(limit);
        Self {
            read: format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {limits}"),
            write: format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                 SET LOCAL synchronous_commit = on; {limits}"
            ),
        }
    }
}

/// What a transaction may take, as statements.
pub(super) fn limits(limit: Duration) -> String {
    let limit = limit.as_millis();
    format!(
        "SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}; \
         SET LOCAL idle_in_transaction_session_timeout = {limit}"
    )
}

/// The code of the error that a commit after its deadline ends with.
const TOO_LATE: &str = "KW001";

/// A transaction that has begun. Dropped before its end it takes its connection with it, which
/// is then in an unknown state.
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    ended: bool,
}

impl Session {
    pub(super) async fn begin(pool: &Pool, beginning: &str) -> Result<Self, StoreError> {
        let mut session = Self {
            connection: pool.acquire().await.map_err(failed)?,
            ended: false,
        };
        let beginning = sqlx::raw_sql(AssertSqlSafe(beginning));
        let begun = session.connection.execute(beginning).await;
        begun.map_err(failed)?;
        Ok(session)
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Commits, if it is not too late. The database looks at its clock in the message that makes it
    /// commit: this process may be frozen before, and not in between.
    pub(super) async fn commit(mut self, deadline: Option<Timestamp>) -> Result<(), CommitError> {
        let in_time = deadline.map(|deadline| {
            let milliseconds = deadline.millis();
            format!(
                "DO $$BEGIN IF floor(extract(epoch FROM clock_timestamp()) * 1000) > {milliseconds} \
                 THEN RAISE EXCEPTION 'too late' USING ERRCODE = '{TOO_LATE}'; END IF; END$$; "
            )
        });
        let commit = format!("{}COMMIT", in_time.unwrap_or_default());
        let commit = sqlx::raw_sql(AssertSqlSafe(commit));
        match self.connection.execute(commit).await {
            Ok(_) => {
                self.ended = true;
                Ok(())
            }
            Err(error) if code(&error).as_deref() == Some(TOO_LATE) => {
                self.end().await.map_err(commit_error)?;
                Err(CommitError::Late)
            }
            Err(error) => Err(CommitError::Unknown(failed(error))),
        }
    }

    /// Ends a transaction that wrote nothing, or must not have.
    pub(super) async fn end(mut self) -> Result<(), sqlx::Error> {
        self.connection.execute("ROLLBACK").await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}
