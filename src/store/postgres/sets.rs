//! Key sets, row by row.

use sqlx::postgres::PgConnection;

use super::refused;
use crate::lifecycle::IssuerName;
use crate::store::sql::{
    IssuerColumns, KeyColumns, expected, failed, names, sealed, signed, stored_set, unsigned,
};
use crate::store::{CommitError, IssuerRow, KeyChange, StoreError, StoredSet};

pub(super) async fn issuers(connection: &mut PgConnection) -> Result<Vec<IssuerName>, StoreError> {
    let stored = sqlx::query_scalar("SELECT name FROM issuers ORDER BY name")
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    names(stored)
}

pub(super) async fn load(
    connection: &mut PgConnection,
    issuer: &IssuerName,
) -> Result<Option<StoredSet>, StoreError> {
    let row: Option<IssuerColumns> =
        sqlx::query_as("SELECT path, version, document FROM issuers WHERE name = $1")
            .bind(issuer.as_str())
            .persistent(false)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let keys: Vec<KeyColumns> = sqlx::query_as(
        "SELECT kid, document, sealed FROM keys WHERE issuer = $1 ORDER BY position",
    )
    .bind(issuer.as_str())
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    stored_set(issuer, row, keys).map(Some)
}

/// Writes the issuer's row, if the stored version is the expected one.
pub(super) async fn write_issuer(
    connection: &mut PgConnection,
    issuer: &IssuerRow,
    expected_version: u64,
) -> Result<(), CommitError> {
    let stored: Option<i64> = sqlx::query_scalar("SELECT version FROM issuers WHERE name = $1")
        .bind(issuer.name.as_str())
        .persistent(false)
        .fetch_optional(&mut *connection)
        .await
        .map_err(refused)?;
    if stored.map_or(Ok(0), unsigned)? != expected_version {
        return Err(CommitError::Conflict);
    }
    sqlx::query(
        "INSERT INTO issuers (name, path, version, document) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO UPDATE SET path = excluded.path, version = excluded.version, \
         document = excluded.document",
    )
    .bind(issuer.name.as_str())
    .bind(&issuer.path)
    .bind(signed(issuer.version)?)
    .bind(&issuer.document)
    .persistent(false)
    .execute(connection)
    .await
    .map_err(refused)?;
    Ok(())
}

pub(super) async fn write_key(
    connection: &mut PgConnection,
    issuer: &IssuerName,
    key: &KeyChange,
) -> Result<(), CommitError> {
    let (keep, sealed) = sealed(key);
    sqlx::query(
        "INSERT INTO keys (issuer, kid, document, sealed) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (issuer, kid) DO UPDATE SET document = excluded.document, \
         sealed = CASE WHEN $5 THEN keys.sealed ELSE excluded.sealed END",
    )
    .bind(issuer.as_str())
    .bind(&key.kid)
    .bind(&key.document)
    .bind(sealed)
    .bind(keep)
    .persistent(false)
    .execute(connection)
    .await
    .map_err(refused)?;
    Ok(())
}

/// Replaces a sealed private half, if it is the expected one.
pub(super) async fn reseal(
    connection: &mut PgConnection,
    issuer: &IssuerName,
    kid: &str,
    before: &[u8],
    after: &[u8],
) -> Result<(), CommitError> {
    let written =
        sqlx::query("UPDATE keys SET sealed = $4 WHERE issuer = $1 AND kid = $2 AND sealed = $3")
            .bind(issuer.as_str())
            .bind(kid)
            .bind(before)
            .bind(after)
            .persistent(false)
            .execute(connection)
            .await
            .map_err(refused)?;
    expected(written.rows_affected())
}
