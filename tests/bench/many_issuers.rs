//! Fills an empty data folder with many issuers of two algorithms each, for measurements.
//!
//!     many_issuers DATA_DIR COUNT
//!
//! Generating 20,000 RSA keys would take an hour, so that the issuers share a few key pairs. All
//! else is what the service does when it is asked for an issuer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a tool for measurements that cannot go on says so by ending"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use keywright::authority::audit::Actor;
use keywright::authority::authentication::TrustedIssuers;
use keywright::authority::lease::Lease;
use keywright::authority::push::PushTargets;
use keywright::authority::revocations::RevocationSecret;
use keywright::authority::status_lists::StatusSecrets;
use keywright::authority::{Authority, Services};
use keywright::clock::Clock;
use keywright::config::Config;
use keywright::data_folder::DataFolder;
use keywright::engine::Entropy;
use keywright::engine::software::SoftwareEngine;
use keywright::engine::{EngineError, KeyPair, PrivateKey, Signer, SigningEngine, Urgency};
use keywright::lifecycle::{IssuerName, IssuerUrl, KeySpecification, Policy, Schedule};
use keywright::master_key;
use keywright::store::Store as _;
use keywright::store::sqlite::SqliteStore;
use keywright::telemetry::{Metrics, Tracer};
use keywright_verifier::Algorithm;
use serde_json::Map;

/// Hands the same pairs out again and again, neighbours never twice.
struct Recycling {
    engine: SoftwareEngine,
    pairs: Vec<KeyPair>,
    next: AtomicUsize,
}

const DAY: u64 = 24 * 3600;

impl Recycling {
    async fn start() -> Self {
        let engine = SoftwareEngine::start().unwrap();
        let mut pairs = Vec::new();
        for _ in 0..8 {
            for algorithm in Algorithm::ALL {
                let wanted = KeySpecification {
                    algorithm,
                    rsa_bits: 2048,
                };
                pairs.push(engine.generate(wanted, Urgency::Immediate).await.unwrap());
            }
        }
        Self {
            engine,
            pairs,
            next: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl SigningEngine for Recycling {
    async fn generate(&self, wanted: KeySpecification, _: Urgency) -> Result<KeyPair, EngineError> {
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let pair = &self.pairs[next % self.pairs.len()];
            if pair.jwk.algorithm() == wanted.algorithm {
                return Ok(KeyPair {
                    jwk: pair.jwk.clone(),
                    private: PrivateKey::from_pkcs8(pair.private.pkcs8().to_vec().into()),
                });
            }
        }
    }

    fn forget_reserve(&self) {
        self.engine.forget_reserve();
    }

    fn open(
        &self,
        algorithm: Algorithm,
        private: &PrivateKey,
    ) -> Result<Arc<dyn Signer>, EngineError> {
        self.engine.open(algorithm, private)
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, data_dir, count] = arguments.as_slice() else {
        panic!("many_issuers DATA_DIR COUNT");
    };
    let folder = DataFolder::open(Path::new(data_dir)).unwrap();
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let file = folder.database();
    let store = Arc::new(SqliteStore::open(&file, clock.clone()).await.unwrap());
    let sources = Config::default().master_key_sources().unwrap();
    let services = Services {
        entropy: entropy.clone(),
        master_keys: master_key::open(&sources, &folder, &*store, &clock, &entropy)
            .await
            .unwrap(),
        lease: Arc::new(Lease::on(&*store, clock.clone(), Duration::MAX)),
        store: Arc::clone(&store) as _,
        engine: Arc::new(Recycling::start().await),
        clock,
        metrics: Arc::new(Metrics::default()),
        tracer: Tracer::default(),
        trusted: TrustedIssuers::default(),
        audience: None,
        oauth: keywright::oauth::Endpoints::Off,
        grants: keywright::oauth::grant::GrantSettings::default(),
        push: PushTargets::default(),
        issuance_log: None,
        revocation_secret: RevocationSecret::default(),
        status_secrets: StatusSecrets::default(),
        identity: Map::new(),
    };
    let authority = Arc::new(Authority::start(services).await.unwrap());
    for number in 0..count.parse().unwrap() {
        let name = IssuerName::parse(&format!("issuer-{number}")).unwrap();
        let url = format!("https://id.example.com/{name}");
        let mut policy = Policy::for_url(IssuerUrl::parse(&url).unwrap());
        // Not all at one instant.
        policy.rotation = Schedule::Every(Duration::from_secs(30 * DAY + number % DAY));
        let set = authority.set_issuer(&name, policy, None, Actor::Bootstrap);
        set.await.unwrap();
    }
    store.close().await;
    println!("{count} issuers in {data_dir}");
}
