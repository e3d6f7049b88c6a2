//! The tables, and how they come to be what this version needs.
//!
//! Any number of processes may begin at once: one transaction holds a lock, brings the tables up
//! to date and commits both. While versions change, older processes go on with the tables of a
//! newer one; a migration therefore adds, and a later release takes away what is no longer used.
//! The second migration is an exception: before it, all processes of the first are stopped.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::session::limits;
use crate::store::sql;

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableSchema {
    #[error("the server is older than PostgreSQL 13 (its version number is {0})")]
    OldServer(i32),
    #[error("its encoding is {0}: create the database with ENCODING 'UTF8'")]
    Encoding(String),
    #[error("the role may use no schema on its search_path")]
    NoSchema,
    #[error(
        "its schema \"{schema}\" has a table \"{table}\" that is not keywright's: give keywright a \
         database, or a schema on its role's search_path, of its own"
    )]
    Foreign { schema: String, table: String },
    #[error(
        "a later version of keywright has changed its tables (migration {0}): run that version or \
         a newer one"
    )]
    Later(i64),
    #[error(transparent)]
    Migration(MigrateError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<MigrateError> for UnusableSchema {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Later(version),
            other => Self::Migration(other),
        }
    }
}

const MIGRATIONS: [(&str, &str); 3] = [
    (
        "first",
        include_str!("../migrations/postgres/0001_first.sql"),
    ),
    (
        "records",
        include_str!("../migrations/postgres/0002_records.sql"),
    ),
    (
        "index",
        include_str!("../migrations/postgres/0003_index.sql"),
    ),
];

/// Where migrations that have been made are noted.
const MADE: &str = "keywright_migrations";

/// The tables that must be ours, those of earlier builds among them.
const TABLES: [&str; 12] = [
    "agreement",
    "approvals",
    "audit_head",
    "clients",
    "events",
    "heartbeats",
    "issuers",
    "keys",
    "last_uses",
    "records",
    "replicas",
    "settings",
];

/// What `pg_advisory_xact_lock` is asked for: "kwrtmigr" in ASCII.
const LOCK: i64 = 0x6b77_7274_6d69_6772;

/// How long a process waits for others that bring the tables up to date, and each statement takes.
pub(super) const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Brings the tables up to date, or says why they are not ours to use.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), UnusableSchema> {
    let limits = limits(MIGRATION_TIMEOUT);
    let beginning = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = on; \
         SET LOCAL client_min_messages = warning; {limits}"
    );
    // The migrator must know that it is in a transaction: it would end one that it knows nothing of.
    let mut transaction = connection.begin_with(AssertSqlSafe(beginning)).await?;
    let connection = &mut *transaction;
    check_server(connection).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    check_tables(connection).await?;
    // What the migrator prepares has names, which a pooler would show to the next process.
    connection.execute("DEALLOCATE ALL").await?;
    // `run` would do the same in a future that may not move between threads.
    migrator().run_direct(None, &mut *connection, false).await?;
    connection.execute("DEALLOCATE ALL").await?;
    transaction.commit().await?;
    Ok(())
}

fn migrator() -> Migrator {
    let mut migrator = sql::migrator(&MIGRATIONS);
    migrator.dangerous_set_table_name(MADE);
    // Its lock belongs to a session, which a pooler does not keep; ours to the transaction.
    migrator.set_locking(false);
    migrator
}

async fn check_server(connection: &mut PgConnection) -> Result<(), UnusableSchema> {
    let (version, encoding): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
    )
    .persistent(false)
    .fetch_one(connection)
    .await?;
    if version < 130_000 {
        return Err(UnusableSchema::OldServer(version));
    }
    if encoding != "UTF8" {
        return Err(UnusableSchema::Encoding(encoding));
    }
    Ok(())
}

/// Refuses tables with our names that no migration of ours has made.
async fn check_tables(connection: &mut PgConnection) -> Result<(), UnusableSchema> {
    let schema: Option<String> = sqlx::query_scalar("SELECT current_schema()::text")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
    let schema = schema.ok_or(UnusableSchema::NoSchema)?;
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid \
         WHERE nspname = $1 AND (relname = $2 OR relname = ANY($3)) ORDER BY relname",
    )
    .bind(&schema)
    .bind(MADE)
    .bind(TABLES.as_slice())
    .persistent(false)
    .fetch_all(connection)
    .await?;
    let ours = found.iter().any(|name| name == MADE);
    match found.into_iter().next() {
        Some(table) if !ours => Err(UnusableSchema::Foreign { schema, table }),
        _ => Ok(()),
    }
}
