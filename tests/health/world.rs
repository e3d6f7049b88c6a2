//! An authority in memory, with a clock that the test turns and an engine that can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use keywright::authority::audit::Actor;
use keywright::authority::authentication::TrustedIssuers;
use keywright::authority::issuer::Issuer;
use keywright::authority::lease::Lease;
use keywright::authority::push::PushTargets;
use keywright::authority::revocations::RevocationSecret;
use keywright::authority::status_lists::StatusSecrets;
use keywright::authority::{Authority, Services};
use keywright::clock::Clock;
use keywright::engine::software::SoftwareEngine;
use keywright::engine::{EngineError, KeyPair, PrivateKey, Signer, SigningEngine, Urgency};
use keywright::lifecycle::{IssuerName, KeySpecification, Policy, Timestamp, Timing};
use keywright::store::Store;
use keywright::store::memory::MemoryStore;
use keywright::store::seal::{MasterKey, MasterKeys};
use keywright::supervision::supervise;
use keywright::telemetry::{Metrics, TaskHealth, Tracer};
use keywright_verifier::Algorithm;
use serde_json::{Map, Value, json};
use tokio::task::{JoinHandle, yield_now};

pub const BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const SECOND: Duration = Duration::from_secs(1);
pub const MAX_STALENESS: Duration = Duration::from_secs(30);

pub struct World {
    pub authority: Arc<Authority>,
    pub clock: Clock,
    /// Of the store.
    pub store_clock: Clock,
    pub engine: Arc<Engine>,
    pub metrics: Arc<Metrics>,
}

/// Panics in the next keys that the schedule wants.
pub struct Engine {
    engine: SoftwareEngine,
    panics_left: AtomicUsize,
}

impl Engine {
    pub fn panic_in_the_next(&self, keys: usize) {
        self.panics_left.store(keys, Ordering::SeqCst);
    }
}

#[async_trait]
impl SigningEngine for Engine {
    async fn generate(
        &self,
        specification: KeySpecification,
        urgency: Urgency,
    ) -> Result<KeyPair, EngineError> {
        if urgency == Urgency::Background {
            let one_less = |left: usize| left.checked_sub(1);
            let panics_left = &self.panics_left;
            let taken = panics_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            assert!(taken.is_err(), "on purpose");
        }
        self.engine.generate(specification, urgency).await
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

impl World {
    /// A process that has its store for itself.
    pub async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::default()), Clock::manual(BEGIN)).await
    }

    /// A process on a store that others may use.
    pub async fn shared() -> Self {
        let clock = Clock::manual(BEGIN);
        Self::on(Arc::new(MemoryStore::shared_by_all(clock.clone())), clock).await
    }

    /// A process on this store.
    pub async fn on(store: Arc<dyn Store>, store_clock: Clock) -> Self {
        let clock = Clock::manual(BEGIN);
        let engine = Arc::new(Engine {
            engine: SoftwareEngine::start().unwrap(),
            panics_left: AtomicUsize::new(0),
        });
        let metrics = Arc::<Metrics>::default();
        let services = Services {
            entropy: keywright::engine::Entropy::system(),
            lease: Arc::new(Lease::on(&*store, clock.clone(), MAX_STALENESS)),
            store,
            engine: Arc::clone(&engine) as _,
            master_keys: MasterKeys::of(MasterKey::new(&zeroize::Zeroizing::new([7; 32])).unwrap()),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
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
        Self {
            authority: Arc::new(Authority::start(services).await.unwrap()),
            clock,
            store_clock,
            engine,
            metrics,
        }
    }

    /// Creates an issuer with ES256 alone and with `changes`.
    pub async fn create(&self, name: &str, changes: Value) -> Arc<Issuer> {
        let url = format!("http://127.0.0.1:8080/{name}");
        let mut document = json!({ "url": url, "algorithms": ["ES256"] });
        let members = document.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        let policy = Policy::from_document(document, &Timing::single()).unwrap();
        let name = IssuerName::parse(name).unwrap();
        let actor = Actor::Bootstrap;
        let set = self.authority.set_issuer(&name, policy, None, actor);
        set.await.unwrap();
        self.authority.issuer(name.as_str()).unwrap()
    }

    /// Runs a task as the service does.
    pub fn spawn<T>(
        &self,
        name: &'static str,
        run: impl Fn(Arc<Authority>) -> T + Send + Sync + 'static,
    ) -> JoinHandle<()>
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let authority = Arc::clone(&self.authority);
        let run = move || run(Arc::clone(&authority));
        tokio::spawn(supervise(
            name,
            self.clock.clone(),
            Arc::clone(&self.metrics),
            run,
        ))
    }

    pub fn task(&self, name: &str) -> TaskHealth {
        self.metrics.tasks().all()[name]
    }

    /// The issuers that have a fault, and the state of each.
    pub fn states(&self) -> Vec<(String, &'static str)> {
        let faults = self.authority.issuer_faults().into_iter();
        faults
            .map(|(issuer, fault)| (issuer.as_str().to_owned(), fault.state()))
            .collect()
    }

    /// Lets time pass for the process and for its store, and the tasks do what they do then.
    pub async fn pass(&self, duration: Duration) {
        for clock in [&self.clock, &self.store_clock] {
            clock.set(clock.read().wall.after(duration));
        }
        others().await;
    }
}

/// Lets every other task come as far as it can without time.
pub async fn others() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// Lets other tasks and threads run until it is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(SECOND * 20, so).await;
    assert!(in_time.is_ok(), "{what} never happened");
}

pub fn active(issuer: &Issuer) -> String {
    let snapshot = issuer.snapshot();
    let active = snapshot.set().active(Algorithm::Es256).unwrap();
    active.kid().as_str().to_owned()
}

/// A policy under which a key signs for ten minutes.
pub fn ten_minutes() -> Value {
    json!({
        "lead": "20s", "jwks_max_age": "10s", "stale_if_error": "0s", "clock_skew": "5s",
        "rotation": { "every": "10m" }, "default_token_ttl": "10s", "max_token_ttl": "10s",
    })
}
