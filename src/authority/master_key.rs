//! The master key: what seals now, and how another key takes its place.
//!
//! A setting of the store names the key that seals what is new ([`check`]). A commit that brings
//! private halves rests on it: when another key has taken over in between, the commit is a conflict
//! and is made anew. So nothing is sealed with the old key after the setting has changed, and one
//! pass over all records ends a rotation. It may be interrupted anywhere; the next request goes
//! on, and until it has ended both keys are needed.

mod grants;
mod receivers;
mod replacement;
mod rotation;

use std::collections::BTreeMap;

use keywright_verifier::Kid;

use super::load::NewKeys;
use super::replication::ReplicationError;
use super::{ChangeError, Services};
use crate::engine::{Entropy, PrivateKey};
use crate::lifecycle::IssuerName;
use crate::store::seal::check::{self, MasterKeyRotation};
use crate::store::seal::{MasterKey, UnsealError};
use crate::store::{Batch, Content, Expectation, Store, StoreError, Token, Write};

pub use replacement::{Replaced, replace_lost_keys};
pub use rotation::{MasterKeyState, RotationReport};

/// What seals the private halves of a commit.
pub(super) struct CommitSealing<'a> {
    /// The key.
    pub(super) key: &'a MasterKey,
    /// What must still be so when the commit is written.
    pub(super) expectation: Expectation,
}

impl<'a> CommitSealing<'a> {
    /// The key that seals now; `None` where there is nothing to be sealed, so that a revocation
    /// does not need a master key.
    pub(super) async fn of(
        services: &'a Services,
        fresh: &NewKeys,
    ) -> Result<Option<Self>, ChangeError> {
        match fresh.privates.is_empty() {
            true => Ok(None),
            false => Self::now(services).await.map(Some),
        }
    }

    /// The key that seals now.
    pub(super) async fn now(services: &'a Services) -> Result<Self, ChangeError> {
        let setting = StoredSetting::read(&*services.store).await?;
        let keys = &services.master_keys;
        let key = match &setting {
            Some(setting) => check::read(keys, &setting.value)?.key,
            None => keys.first(),
        };
        let token = setting.map(|setting| setting.token);
        Ok(Self {
            key,
            expectation: Expectation::Is(check::record_key(), token),
        })
    }

    /// Seals every new private half for its issuer.
    pub(super) fn seal_all(
        &self,
        issuer: &IssuerName,
        fresh: &NewKeys,
        entropy: &Entropy,
    ) -> Result<BTreeMap<Kid, Vec<u8>>, ChangeError> {
        let seal = |(kid, private): (&Kid, &PrivateKey)| {
            let sealed = self
                .key
                .seal(issuer, kid, private.pkcs8(), entropy.bytes()?);
            Ok((kid.clone(), sealed.ok_or(ChangeError::Unsealable)?))
        };
        fresh.privates.iter().map(seal).collect()
    }
}

/// The setting that says what seals, as the store has it.
struct StoredSetting {
    value: Vec<u8>,
    token: Token,
}

impl StoredSetting {
    async fn read(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        let record = store.get(&check::record_key()).await?;
        Ok(record.map(|record| Self {
            value: record.sealed.unwrap_or_default(),
            token: record.token,
        }))
    }
}

impl From<UnsealError> for ChangeError {
    fn from(error: UnsealError) -> Self {
        Self::Sealing(error)
    }
}

/// Whether what seals the store is here, for a process that is on the roll by now: a replica that
/// lets another key seal looks at the roll first, so that one of the two sees the other.
pub(super) async fn require_sealing_key(services: &Services) -> Result<(), ReplicationError> {
    let Some(setting) = StoredSetting::read(&*services.store).await? else {
        return Ok(());
    };
    let keys = &services.master_keys;
    let sealing = check::read(keys, &setting.value).map_err(ReplicationError::Sealing)?;
    match sealing.rotation {
        MasterKeyRotation::Announced(next) if keys.find(next).is_none() => {
            Err(ReplicationError::Sealing(UnsealError::MissingKey(next)))
        }
        _ => Ok(()),
    }
}

/// What replaces the setting that says what seals, and how far a rotation is. It has no event yet.
fn setting_batch(
    services: &Services,
    before: Token,
    key: &MasterKey,
    rotation: MasterKeyRotation,
) -> Result<Batch, ChangeError> {
    let after = check::write(key, rotation, services.entropy.bytes()?);
    let content = Content::sealed(after.ok_or(ChangeError::Unsealable)?);
    let mut batch = services.new_batch()?;
    let write = Write::Replace(check::record_key(), before, content);
    batch.writes.push(write);
    Ok(batch)
}
