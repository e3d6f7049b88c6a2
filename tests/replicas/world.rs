//! Replicas on a store in memory.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use keywright::access::Client;
use keywright::access::{Limits, Role, Terms};
use keywright::authority::audit::Actor;
use keywright::authority::authentication::TrustedIssuers;
use keywright::authority::issuer::Issuer;
use keywright::authority::lease::Lease;
use keywright::authority::push::PushTargets;
use keywright::authority::replication::ReplicationError;
use keywright::authority::revocations::RevocationSecret;
use keywright::authority::signing::{SignRefusal, SignRequest, Uses, sign};
use keywright::authority::status_lists::StatusSecrets;
use keywright::authority::{Authority, Services};
use keywright::clock::Clock;
use keywright::engine::software::SoftwareEngine;
use keywright::lifecycle::{IssuerName, Policy, Timestamp};
use keywright::store::Store;
use keywright::store::memory::MemoryStore;
use keywright::store::seal::{MasterKey, MasterKeys};
use keywright::telemetry::{Metrics, Tracer};
use keywright_verifier::Kid;
use serde_json::{Map, Value, json};
use tokio::task::yield_now;

pub(crate) const BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MAX_STALENESS: Duration = Duration::from_secs(30);

/// A deployment: the store and its clock.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Clock,
}

/// One process with a clock of its own.
pub(crate) struct Process {
    authority: Arc<Authority>,
    pub(crate) clock: Clock,
    pub(crate) engine: Arc<SoftwareEngine>,
}

impl Deref for Process {
    type Target = Arc<Authority>;

    fn deref(&self) -> &Arc<Authority> {
        &self.authority
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Clock::manual(BEGIN);
        Self {
            store: Arc::new(MemoryStore::shared_by_all(clock.clone())),
            clock,
        }
    }

    pub(crate) async fn process(&self) -> Process {
        self.try_process(self.clock.read().wall, MAX_STALENESS)
            .await
            .unwrap()
    }

    /// A process whose clock shows `now`.
    pub(crate) async fn try_process(
        &self,
        now: Timestamp,
        max_staleness: Duration,
    ) -> Result<Process, ReplicationError> {
        let store = Arc::clone(&self.store) as _;
        Process::on(store, Clock::manual(now), max_staleness).await
    }

    /// Lets time pass for everyone.
    pub(crate) fn pass(&self, duration: Duration, processes: &[&Process]) {
        let clocks = processes.iter().map(|process| &process.clock);
        for clock in clocks.chain([&self.clock]) {
            clock.set(clock.read().wall.after(duration));
        }
    }
}

impl Process {
    /// A process on any store.
    pub(crate) async fn on(
        store: Arc<dyn Store>,
        clock: Clock,
        max_staleness: Duration,
    ) -> Result<Self, ReplicationError> {
        let engine = Arc::new(SoftwareEngine::start().unwrap());
        let services = Services {
            entropy: keywright::engine::Entropy::system(),
            lease: Arc::new(Lease::on(&*store, clock.clone(), max_staleness)),
            store,
            engine: Arc::clone(&engine) as _,
            master_keys: master_keys(),
            clock: clock.clone(),
            metrics: Arc::new(Metrics::default()),
            tracer: Tracer::default(),
            trusted: TrustedIssuers::default(),
            audience: None,
            oauth: keywright::oauth::Endpoints::On { mtls: None },
            grants: keywright::oauth::grant::GrantSettings::default(),
            push: PushTargets::default(),
            issuance_log: None,
            revocation_secret: RevocationSecret::default(),
            status_secrets: StatusSecrets::default(),
            identity: Map::new(),
        };
        let authority = Arc::new(Authority::start(services).await?);
        Ok(Self {
            authority,
            clock,
            engine,
        })
    }

    /// Creates an issuer with ES256 alone and with `changes`.
    pub(crate) async fn create(&self, name: &str, changes: Value) -> Arc<Issuer> {
        let name = IssuerName::parse(name).unwrap();
        let policy = policy(name.as_str(), changes);
        let actor = Actor::Bootstrap;
        self.set_issuer(&name, policy, None, actor).await.unwrap();
        self.issuer(name.as_str()).unwrap()
    }

    /// Has a token signed. Answers with the key that did it.
    pub(crate) async fn sign(&self, issuer: &str) -> Result<Kid, SignRefusal> {
        let view = self.issuer(issuer).unwrap().leased_snapshot();
        let request = SignRequest {
            claims: keywright_verifier::json::Members::default(),
            expires_in: None,
            typ: None,
            algorithm: None,
            origin: None,
            confirmation: None,
            uses: Uses::Unlimited,
            status: None,
        };
        let signed = sign(&view, &anyone(), request).await?;
        Ok(signed.kid)
    }

    /// What a verifier that asks this process is told: the kids, and for how long it may keep them.
    pub(crate) fn serve(&self, issuer: &str) -> (Vec<Kid>, String) {
        let view = self.issuer(issuer).unwrap().leased_snapshot();
        let published = view.set().published(self.now());
        let kids = published.map(|key| key.kid().clone()).collect();
        (kids, view.cache_control(self.now()).into_owned())
    }

    /// The key that signs by what this process has in memory.
    pub(crate) fn active(&self, issuer: &str) -> Kid {
        let view = self.issuer(issuer).unwrap().snapshot();
        let algorithm = view.set().policy().default_algorithm;
        view.set().active(algorithm).unwrap().kid().clone()
    }
}

pub(crate) fn master_keys() -> MasterKeys {
    MasterKeys::of(MasterKey::new(&zeroize::Zeroizing::new([7; 32])).unwrap())
}

pub(crate) fn anyone() -> Client {
    let terms = Terms {
        name: "anyone".to_owned(),
        roles: [Role::Issuer].into(),
        limits: Limits::default(),
        certificates: Vec::new(),
        workloads: Vec::new(),
        keys: None,
    };
    Client::new("anyone".to_owned(), terms, BEGIN)
}

pub(crate) fn policy(name: &str, changes: Value) -> Policy {
    let url = format!("http://127.0.0.1:8080/{name}");
    let mut document = json!({ "url": url, "algorithms": ["ES256"] });
    let members = document.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    Policy::from_document(document, &keywright::lifecycle::Timing::single()).unwrap()
}

/// Lets other tasks run until it is so.
pub(crate) async fn eventually(is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            yield_now().await;
        }
    };
    tokio::time::timeout(SECOND * 20, so).await.unwrap();
}
