//! The secrets that status lists are made with: one since the store began, and one more for each restore.
//!
//! A restore loses what was leased and taken back since the backup. With a new secret no list of before is
//! continued: all of their tokens are invalid, so that no token that was taken back is valid again, and no
//! entry is given out a second time.

use std::fmt;

use crate::authority::Services;
use crate::lifecycle::IssuerName;
use crate::revocation::status_list::{SECRET_BYTES, StatusKeys, renewed_secrets, split_secrets};
use crate::store::{CommitError, Content, Kind, RecordKey, StoreError, WhenDiskFull, Write};

/// The secrets of a store, the current one last. All of its processes have the same.
#[derive(Clone, Default)]
pub struct StatusSecrets(Vec<[u8; SECRET_BYTES]>);

impl fmt::Debug for StatusSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusSecrets(…)")
    }
}

impl StatusSecrets {
    /// The keys of an issuer's lists, and those of lists from before a restore.
    pub(super) fn keys_of(&self, issuer: &IssuerName) -> (StatusKeys, Vec<StatusKeys>) {
        let keys = |secret: &[u8; SECRET_BYTES]| StatusKeys::new(secret, issuer);
        match self.0.split_last() {
            Some((current, earlier)) => (keys(current), earlier.iter().map(keys).collect()),
            None => (keys(&[0; SECRET_BYTES]), Vec::new()),
        }
    }
}

/// Secrets that do not read.
#[derive(Debug, thiserror::Error)]
#[error("the secrets of the status lists have another length than this program writes")]
struct InvalidSecrets;

/// The record that has them.
pub(crate) fn record_key() -> RecordKey {
    RecordKey::unowned(Kind::Setting, "status-secrets")
}

/// The secrets of this store. The first is made where there is none.
///
/// # Errors
/// When the store does not answer, or the operating system gives no randomness.
pub(in crate::authority) async fn load_secrets(
    services: &Services,
) -> Result<StatusSecrets, StoreError> {
    loop {
        let record = services.store.get(&record_key()).await?;
        if let Some(stored) = record.and_then(|record| record.sealed) {
            let secrets = split_secrets(&stored);
            let secrets = secrets.ok_or_else(|| StoreError(Box::new(InvalidSecrets)))?;
            return Ok(StatusSecrets(secrets));
        }
        let randomness = |error| StoreError(Box::new(error));
        let fresh = services.entropy.bytes().map_err(randomness)?;
        let mut batch = services.new_batch().map_err(randomness)?;
        batch.when_disk_full = WhenDiskFull::UseReserve;
        let content = Content::sealed(renewed_secrets(None, fresh));
        batch.writes.push(Write::Create(record_key(), content));
        match services.commit(batch).await {
            // Another process may have been faster: the one that stands counts.
            Ok(_) | Err(CommitError::Conflict) => {}
            Err(CommitError::Store(error) | CommitError::Unknown(error)) => return Err(error),
            Err(error) => return Err(StoreError(Box::new(error))),
        }
    }
}
