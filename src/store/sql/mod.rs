//! What the stores that speak SQL have in common: how columns become records, and how tables are
//! made.

pub(in crate::store) mod events;
pub(in crate::store) mod records;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::record::{Kind, Query, Record, RecordIndex, RecordKey, Token};
use crate::store::{CommitError, StoreError};

/// The columns of a record, in the order of [`COLUMNS`].
pub(in crate::store) type RecordColumns = (
    String,
    i64,
    Vec<u8>,
    String,
    Option<Vec<u8>>,
    Option<String>,
    bool,
    String,
    Option<String>,
    Option<String>,
    Option<i64>,
);

/// The columns of a record but its kind, which each statement names.
pub(in crate::store) const COLUMNS: &str = "owner, version, token, document, sealed, unique_text, \
     is_final, id, subject, client, kept_until";

/// The order in which the records of a kind are read.
pub(in crate::store) fn order(query: &Query) -> &'static str {
    let several = |subjects: &Vec<String>| subjects.len() > 1;
    match query.kind {
        Kind::Key => "owner, position",
        // No index has these in that order. SQLite would read all records in it rather than sort a few.
        _ if query.subjects.as_ref().is_some_and(several) => "id || ''",
        _ => "id",
    }
}

/// The owner as its column has it: empty for none.
pub(in crate::store) fn owner(owner: Option<&IssuerName>) -> &str {
    owner.map_or("", IssuerName::as_str)
}

pub(in crate::store) fn record(
    kind: Kind,
    (
        owner,
        version,
        token,
        document,
        sealed,
        unique,
        is_final,
        id,
        subject,
        client,
        kept_until,
    ): RecordColumns,
) -> Result<Record, StoreError> {
    let owner = match owner.as_str() {
        "" => None,
        owner => Some(IssuerName::parse(owner).map_err(failed)?),
    };
    Ok(Record {
        key: RecordKey { kind, owner, id },
        version: unsigned(version)?,
        token: Token::of_stored(&token),
        document,
        sealed,
        unique,
        is_final,
        index: RecordIndex {
            subject,
            client,
            kept_until: kept_until
                .map(unsigned)
                .transpose()?
                .map(Timestamp::from_millis),
        },
    })
}

/// What makes the tables: what each migration is called and does, numbered from 1. One that has been
/// published is never changed.
pub(in crate::store) fn migrator(migrations: &[(&'static str, &'static str)]) -> Migrator {
    let numbered = (1..).zip(migrations).map(|(number, &(name, text))| {
        let text = text.into_sql_str();
        Migration::new(number, name.into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(numbered.collect())
}

/// A number that is never stored negative.
pub(in crate::store) fn unsigned(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(failed)
}

/// A number as it is stored.
pub(in crate::store) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(failed)
}

pub(in crate::store) fn failed(
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError(Box::new(source))
}

/// A failed write where it does not matter what has become of it.
pub(in crate::store) fn into_store_error(error: CommitError) -> StoreError {
    match error {
        CommitError::Store(error) | CommitError::Unknown(error) => error,
        refusal => failed(refusal),
    }
}
