//! Going on without a master key that is lost.

use std::sync::Arc;

use serde_json::Map;

use super::offline::open_folder;
use crate::authority::Services;
use crate::authority::audit::Actor;
use crate::authority::lease::Lease;
use crate::authority::master_key::{Replaced, replace_lost_keys as replace};
use crate::authority::push::PushTargets;
use crate::authority::revocations::RevocationSecret;
use crate::authority::status_lists::StatusSecrets;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::Entropy;
use crate::engine::software::SoftwareEngine;
use crate::master_key;
use crate::store::seal::check;
use crate::store::{self, Store};
use crate::telemetry::{Metrics, Tracer};

/// Retires the keys whose private halves none of the configured master keys opens, in every issuer,
/// and has the configured master key seal the store. The folder is locked meanwhile.
///
/// # Errors
/// Whatever is in the way, in one sentence for the operator.
pub async fn replace_lost_keys(
    config: &Config,
    reason: &str,
) -> Result<Vec<Replaced>, Box<dyn std::error::Error>> {
    let folder = open_folder(&config.data_dir)?;
    let clock = Clock::system();
    let store = store::open(
        &config.store.location(folder.database()),
        &clock,
        &Arc::default(),
    )
    .await?;
    if store.get(&check::record_key()).await?.is_none() {
        return Err("the store is new: it was never sealed, and nothing is lost".into());
    }
    require_no_live_replica(&*store).await?;
    let sources = config.master_key_sources()?;
    let entropy = Entropy::system();
    let configured = master_key::read(&sources, &folder, false, &entropy).await?;
    let services = Services {
        store: Arc::clone(&store),
        engine: Arc::new(SoftwareEngine::start()?),
        master_keys: configured.keys,
        lease: Arc::new(Lease::on(
            &*store,
            clock.clone(),
            config.store.max_staleness,
        )),
        clock,
        entropy,
        metrics: Arc::new(Metrics::default()),
        tracer: Tracer::default(),
        trusted: Default::default(),
        audience: None,
        oauth: crate::oauth::Endpoints::Off,
        grants: crate::oauth::grant::GrantSettings::default(),
        push: PushTargets::default(),
        issuance_log: None,
        revocation_secret: RevocationSecret::default(),
        status_secrets: StatusSecrets::default(),
        identity: Map::new(),
    };
    let user = rustix::process::getuid().as_raw();
    let replaced = replace(&services, &Actor::Operator { user }, reason).await?;
    store.close().await;
    Ok(replaced)
}

/// Processes that serve have private keys open that this one cannot see.
pub(super) async fn require_no_live_replica(
    store: &dyn Store,
) -> Result<(), Box<dyn std::error::Error>> {
    let Some(shared) = store.replicas() else {
        return Ok(());
    };
    let replicas = shared.replicas().await?;
    match replicas.live().next() {
        Some(replica) => Err(format!(
            "the replica {} serves the store: end all of them first, and wait until the store has \
             not heard of them for the longest staleness",
            replica.heartbeat.replica
        )
        .into()),
        None => Ok(()),
    }
}
