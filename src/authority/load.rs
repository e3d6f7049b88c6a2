//! Private halves in memory: the keys of a set that may sign, opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use keywright_verifier::Kid;

use super::Services;
use super::snapshot::Snapshot;
use crate::engine::{EngineError, KeyPair, PrivateKey, Signer, Urgency};
use crate::lifecycle::{AvailableKeys, IssuerName, Key, KeySet, KeySpecification, State};
use crate::store::SetTokens;
use crate::store::StoredSet;
use crate::store::documents::{CorruptRecord, key_set};

/// Private halves that exist only in memory so far, ready to be committed.
#[derive(Default)]
pub struct NewKeys {
    pub(super) supply: AvailableKeys,
    pub(super) privates: BTreeMap<Kid, PrivateKey>,
}

impl NewKeys {
    /// Adds a generated key, to be introduced when a change needs one.
    pub fn add_generated(&mut self, pair: KeyPair) {
        self.supply.add(pair.jwk.clone());
        self.add_imported(pair);
    }

    /// Adds the private half of a key that a command brings in itself.
    pub fn add_imported(&mut self, pair: KeyPair) {
        self.privates.insert(pair.jwk.kid().clone(), pair.private);
    }
}

impl Services {
    /// Generates keys, one after the other. No lock and no transaction is held meanwhile.
    pub(super) async fn generate(
        &self,
        wanted: Vec<KeySpecification>,
        urgency: Urgency,
        keys: &mut NewKeys,
    ) -> Result<(), EngineError> {
        for specification in wanted {
            keys.add_generated(self.engine.generate(specification, urgency).await?);
        }
        Ok(())
    }
}

/// Why an issuer cannot be put into memory.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A record that this program could not have written.
    #[error(transparent)]
    Corrupt(#[from] CorruptRecord),
    /// A private half that does not open, or opens to something else.
    #[error("the private half of key {kid} of issuer {issuer} cannot be used: {source}")]
    PrivateHalf {
        /// The issuer.
        issuer: IssuerName,
        /// The key.
        kid: Kid,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reads a stored set and opens what it needs.
pub(super) fn load_snapshot(
    services: &Services,
    stored: &StoredSet,
    before: Option<&Snapshot>,
    fresh: &NewKeys,
) -> Result<Snapshot, LoadError> {
    let set = key_set(stored)?;
    // A successor that does not open would be found out only when it is needed most.
    for key in set
        .keys()
        .iter()
        .filter(|key| matches!(key.state(), State::Pending(_)))
    {
        unseal(services, &set, key, Some(stored))?;
    }
    let tokens = SetTokens::of(stored);
    build_snapshot(services, set, tokens, Some(stored), before, fresh)
}

pub(super) fn build_snapshot(
    services: &Services,
    set: KeySet,
    tokens: SetTokens,
    stored: Option<&StoredSet>,
    before: Option<&Snapshot>,
    fresh: &NewKeys,
) -> Result<Snapshot, LoadError> {
    let mut signers = Vec::new();
    for key in signing(&set) {
        let signer = match (
            before.and_then(|snapshot| snapshot.opened(key.kid())),
            fresh.privates.get(key.kid()),
        ) {
            (Some(opened), _) => opened,
            (None, Some(private)) => open(services, &set, key, private)?,
            (None, None) => open(services, &set, key, &unseal(services, &set, key, stored)?)?,
        };
        signers.push((key.kid().clone(), signer));
    }
    let time = services.lease.time();
    Ok(Snapshot::new(
        set,
        tokens,
        signers,
        &services.metrics,
        services.oauth.clone(),
        time,
    ))
}

fn unseal(
    services: &Services,
    set: &KeySet,
    key: &Key,
    stored: Option<&StoredSet>,
) -> Result<PrivateKey, LoadError> {
    let sealed = stored
        .and_then(|stored| {
            let mut records = stored.keys.iter();
            records.find(|record| record.key.id == key.kid().as_str())
        })
        .and_then(|record| record.sealed.as_deref())
        .unwrap_or_default();
    services
        .master_keys
        .open(set.issuer(), key.kid(), sealed)
        .map(PrivateKey::from_pkcs8)
        .map_err(|error| unusable(set, key, error))
}

fn open(
    services: &Services,
    set: &KeySet,
    key: &Key,
    private: &PrivateKey,
) -> Result<Arc<dyn Signer>, LoadError> {
    services
        .engine
        .open(key.algorithm(), private)
        .map_err(|error| unusable(set, key, error))
}

fn unusable(
    set: &KeySet,
    key: &Key,
    source: impl std::error::Error + Send + Sync + 'static,
) -> LoadError {
    LoadError::PrivateHalf {
        issuer: set.issuer().clone(),
        kid: key.kid().clone(),
        source: Box::new(source),
    }
}

/// The keys that sign: all tokens, or a share of them.
pub(super) fn signing(set: &KeySet) -> impl Iterator<Item = &Key> {
    set.keys().iter().filter(|key| key.signs())
}
