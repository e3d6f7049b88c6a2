//! What the stores that speak SQL have in common: how columns become rows, and how tables are made.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::{
    ApprovalRow, ClientRow, ClientVersions, CommitError, IssuerRow, KeyChange, KeyRow, LastUse,
    SealedChange, StoreError, StoredSet,
};
use crate::lifecycle::IssuerName;

/// The columns `path, version, document` of an issuer.
pub(super) type IssuerColumns = (String, i64, String);

/// The columns `kid, document, sealed` of a key.
pub(super) type KeyColumns = (String, String, Option<Vec<u8>>);

pub(super) fn names(stored: Vec<String>) -> Result<Vec<IssuerName>, StoreError> {
    let parse = |name: String| IssuerName::parse(&name).map_err(failed);
    stored.into_iter().map(parse).collect()
}

pub(super) fn stored_set(
    name: &IssuerName,
    (path, version, document): IssuerColumns,
    keys: Vec<KeyColumns>,
) -> Result<StoredSet, StoreError> {
    let key = |(kid, document, sealed)| KeyRow {
        kid,
        document,
        sealed,
    };
    Ok(StoredSet {
        issuer: IssuerRow {
            name: name.clone(),
            path,
            version: unsigned(version)?,
            document,
        },
        keys: keys.into_iter().map(key).collect(),
    })
}

/// Whether a key's private half is kept, and what it is otherwise.
pub(super) fn sealed(change: &KeyChange) -> (bool, Option<&[u8]>) {
    match &change.sealed {
        SealedChange::Keep => (true, None),
        SealedChange::Set(bytes) => (false, Some(bytes)),
        SealedChange::Erase => (false, None),
    }
}

pub(super) fn client_row(
    (id, version, document): (String, i64, String),
) -> Result<ClientRow, StoreError> {
    Ok(ClientRow {
        id,
        version: unsigned(version)?,
        document,
    })
}

pub(super) fn approval_row((id, document): (String, String)) -> ApprovalRow {
    ApprovalRow { id, document }
}

pub(super) fn last_use(
    (client, credential, at): (String, String, i64),
) -> Result<LastUse, StoreError> {
    Ok(LastUse {
        client,
        credential,
        at: unsigned(at)?,
    })
}

/// What was expected was there, if a row was written.
pub(super) fn expected(rows_affected: u64) -> Result<(), CommitError> {
    if rows_affected == 0 {
        return Err(CommitError::Conflict);
    }
    Ok(())
}

/// The columns `id, version` of every client.
pub(super) fn client_versions(rows: Vec<(String, i64)>) -> Result<ClientVersions, StoreError> {
    rows.into_iter()
        .map(|(id, version)| Ok((id, unsigned(version)?)))
        .collect()
}

/// What makes the tables: what each migration is called and does, numbered from 1. One that has been
/// published is never changed.
pub(super) fn migrator(migrations: &[(&'static str, &'static str)]) -> Migrator {
    let numbered = (1..).zip(migrations).map(|(number, &(name, text))| {
        let text = text.into_sql_str();
        Migration::new(number, name.into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(numbered.collect())
}

/// A number that is never stored negative.
pub(super) fn unsigned(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(failed)
}

/// A number as it is stored.
pub(super) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(failed)
}

pub(super) fn failed(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError(Box::new(source))
}
