//! What replicas of one database know of each other: heartbeats, stamped with the database's clock,
//! the staleness that all agree on, and what has changed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;

use super::{PostgresStore, commit_error, events};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::chain::LogHead;
use crate::store::record::{Kind, Query, StoredSet, key_sets};
use crate::store::replicas::{Changes, Heartbeat, ReplicaList, ReplicaRecord, ReplicaStore};
use crate::store::sql::{events as log, failed, into_store_error, records, signed, unsigned};
use crate::store::{CommitError, StoreError};

#[async_trait]
impl ReplicaStore for PostgresStore {
    /// The wait is a transaction of its own: a statement that waits reads what was there before.
    async fn changes(&self, after: LogHead, positions: &[LogHead]) -> Result<Changes, StoreError> {
        self.in_reach(self.wait_for_commits()).await?;
        self.read_with(&self.replication, async |connection| {
            changes(connection, after, positions).await
        })
        .await
    }

    async fn load(&self, issuer: &IssuerName) -> Result<(Option<StoredSet>, LogHead), StoreError> {
        self.read_with(&self.pool, async |connection| {
            let head = log::head(connection).await?;
            let [issuers, keys] = Query::key_sets(std::slice::from_ref(issuer));
            let issuers = records::read(connection, &issuers).await?;
            let keys = records::read(connection, &keys).await?;
            Ok((key_sets(issuers, keys).pop(), head))
        })
        .await
    }

    async fn wait_for_change(&self) {
        let handled = self.handled_notifications.load(Ordering::SeqCst);
        let mut notifications = self.notifications.clone();
        let next = notifications.wait_for(|count| *count > handled).await;
        match next.map(|count| *count) {
            Ok(count) => drop(
                self.handled_notifications
                    .fetch_max(count, Ordering::SeqCst),
            ),
            // The listener has ended: there is nothing to wait for.
            Err(_) => std::future::pending().await,
        }
    }

    async fn write_heartbeat(&self, heartbeat: &Heartbeat) -> Result<ReplicaList, StoreError> {
        self.write_with(&self.replication, None, async |connection| {
            write(connection, heartbeat).await?;
            if self.knows_timeline {
                note_timeline(connection).await?;
            }
            Ok(list(connection).await?)
        })
        .await
        .map_err(into_store_error)
    }

    async fn replicas(&self) -> Result<ReplicaList, StoreError> {
        self.read_with(&self.pool, async |connection| list(connection).await)
            .await
    }

    async fn remove_replica(&self, replica: &str) -> Result<(), StoreError> {
        self.write_with(&self.pool, None, async |connection| {
            sqlx::query("DELETE FROM heartbeats WHERE replica = $1")
                .bind(replica)
                .persistent(false)
                .execute(connection)
                .await
                .map_err(commit_error)
        })
        .await
        .map_err(into_store_error)?;
        Ok(())
    }

    async fn set_max_staleness(
        &self,
        before: Option<Duration>,
        after: Duration,
    ) -> Result<(), CommitError> {
        self.write_with(&self.pool, None, async |connection| {
            set_max_staleness(connection, before, after).await
        })
        .await
    }

    async fn last_change(&self, issuer: &IssuerName) -> Result<u64, StoreError> {
        self.read_with(&self.pool, async |connection| {
            events::last_of(connection, issuer).await
        })
        .await
    }
}

async fn changes(
    connection: &mut PgConnection,
    after: LogHead,
    positions: &[LogHead],
) -> Result<Changes, StoreError> {
    let head = log::head(connection).await?;
    let mut changes = Changes {
        head,
        is_continued: true,
        sets: Vec::new(),
        clients: None,
        names_revocations: false,
    };
    if head == after && positions.is_empty() {
        return Ok(changes);
    }
    for event in positions.iter().chain([&after]) {
        changes.is_continued &= events::has(connection, *event).await?;
    }
    if head == after && changes.is_continued {
        return Ok(changes);
    }
    let (queries, is_access) = if changes.is_continued {
        let concerned = events::concerned(connection, after.sequence).await?;
        changes.names_revocations = concerned.iter().any(|(_, names)| *names);
        let is_access = concerned.iter().any(|(issuer, _)| issuer.is_none());
        let issuers = concerned.into_iter().filter_map(|(issuer, _)| issuer);
        let issuers: Vec<IssuerName> = issuers
            .map(|name| IssuerName::parse(&name).map_err(failed))
            .collect::<Result<_, _>>()?;
        (Query::key_sets(&issuers), is_access)
    } else {
        changes.names_revocations = true;
        ([Query::all(Kind::Issuer), Query::all(Kind::Key)], true)
    };
    let [issuers, keys] = queries;
    changes.sets = key_sets(
        records::read(connection, &issuers).await?,
        records::read(connection, &keys).await?,
    );
    if is_access {
        let all = Query::all(Kind::Client);
        changes.clients = Some(records::read(connection, &all).await?);
    }
    Ok(changes)
}

/// Notes since when the database has been the same server. A server that takes over begins another
/// timeline, and may lack what was written last.
async fn note_timeline(connection: &mut PgConnection) -> Result<(), CommitError> {
    sqlx::query(
        "UPDATE agreement SET timeline = now.timeline, \
         since = CASE WHEN agreement.timeline IS NULL THEN since ELSE clock_timestamp() END \
         FROM (SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline) AS now \
         WHERE agreement.timeline IS DISTINCT FROM now.timeline",
    )
    .persistent(false)
    .execute(connection)
    .await
    .map_err(commit_error)?;
    Ok(())
}

/// Writes a heartbeat, and forgets replicas that were silent for an hour. A row that another
/// process is about to forget, or that beats after all, is left alone.
async fn write(connection: &mut PgConnection, heartbeat: &Heartbeat) -> Result<(), CommitError> {
    sqlx::query(
        "INSERT INTO heartbeats (replica, through, hash, document, seen_at) \
         VALUES ($1, $2, $3, $4, clock_timestamp()) \
         ON CONFLICT (replica) DO UPDATE SET through = excluded.through, hash = excluded.hash, \
         document = excluded.document, seen_at = excluded.seen_at",
    )
    .bind(&heartbeat.replica)
    .bind(signed(heartbeat.through.sequence)?)
    .bind(heartbeat.through.hash.as_bytes().as_slice())
    .bind(&heartbeat.document)
    .persistent(false)
    .execute(&mut *connection)
    .await
    .map_err(commit_error)?;
    sqlx::query(
        "DELETE FROM heartbeats WHERE replica IN (SELECT replica FROM heartbeats \
         WHERE seen_at < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED)",
    )
    .persistent(false)
    .execute(connection)
    .await
    .map_err(commit_error)?;
    Ok(())
}

type Columns = (String, i64, Vec<u8>, String, i64, bool, i64);

/// Rows and the time from one statement: a pause between two would make a live replica look dead.
async fn list(connection: &mut PgConnection) -> Result<ReplicaList, StoreError> {
    let head = log::head(&mut *connection).await?;
    let (max_staleness, since): (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT max(max_staleness), floor(extract(epoch FROM max(since)) * 1000)::bigint \
         FROM agreement",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT coalesce(replica, ''), coalesce(through, 0), coalesce(heartbeats.hash, ''::bytea), \
         coalesce(heartbeats.document, ''), \
         coalesce(floor(extract(epoch FROM seen_at) * 1000)::bigint, 0), \
         coalesce(through = 0 OR events.hash = heartbeats.hash, false), \
         floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint \
         FROM (SELECT) AS one LEFT JOIN heartbeats ON true LEFT JOIN events ON sequence = through \
         ORDER BY replica",
    )
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    let now = rows.first().map_or(0, |row| row.6);
    let record = |(replica, through, hash, document, seen_at, is_on_log, _): Columns| {
        Ok(ReplicaRecord {
            heartbeat: Heartbeat {
                replica,
                through: LogHead::of_stored(through, &hash, 0),
                document,
            },
            is_on_log,
            seen_at: Timestamp::from_millis(unsigned(seen_at)?),
        })
    };
    let replicas = rows.into_iter().filter(|row| !row.0.is_empty());
    Ok(ReplicaList {
        now: Timestamp::from_millis(unsigned(now)?),
        head,
        max_staleness: (max_staleness.map(unsigned).transpose()?).map(Duration::from_millis),
        since: Timestamp::from_millis(unsigned(since.unwrap_or_default())?),
        replicas: replicas.map(record).collect::<Result<_, _>>()?,
    })
}

async fn set_max_staleness(
    connection: &mut PgConnection,
    before: Option<Duration>,
    after: Duration,
) -> Result<(), CommitError> {
    let millis = |staleness: Duration| i64::try_from(staleness.as_millis()).map_err(failed);
    let statement = match before {
        None => sqlx::query(
            "INSERT INTO agreement (singleton, max_staleness, since) VALUES (1, $1, to_timestamp(0)) \
             ON CONFLICT DO NOTHING",
        )
        .bind(millis(after)?),
        Some(before) => {
            sqlx::query("UPDATE agreement SET max_staleness = $1 WHERE max_staleness = $2")
                .bind(millis(after)?)
                .bind(millis(before)?)
        }
    };
    let written = statement.persistent(false).execute(connection).await;
    match written.map_err(commit_error)?.rows_affected() {
        0 => Err(CommitError::Conflict),
        _ => Ok(()),
    }
}
