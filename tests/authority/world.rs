//! The world of the access tests, with an engine and a store that a test holds up.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use keywright::access::Client;
use keywright::access::approval::Operation;
use keywright::authority::approvals::ApprovalOutcome;
use keywright::authority::audit::Actor;
use keywright::authority::authentication::Caller;
use keywright::authority::issuer::Issuer;
use keywright::authority::request::Request;
use keywright::authority::signing::{SignRefusal, sign};
use keywright::authority::{ChangeError, Exposure};
use keywright::clock::Clock;
use keywright::engine::software::SoftwareEngine;
use keywright::engine::{EngineError, KeyPair, PrivateKey, Signer, SigningEngine, Urgency};
use keywright::lifecycle::{KeySpecification, Policy, State, Successor};
use keywright::store::sqlite::SqliteStore;
use keywright::store::{Store, StoreError};
use keywright_verifier::{Algorithm, Kid};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::access::{self, Setup, sign_request, terms};
use crate::gate::Gate;
use crate::unreliable::Unreliable;

pub use crate::access::BEGIN;

pub const SECOND: Duration = Duration::from_secs(1);
pub const HOUR: Duration = Duration::from_secs(3600);

/// Makes keys when its gates are open.
pub struct Engine {
    engine: SoftwareEngine,
    pub es256: Gate,
    pub rs256: Gate,
    /// How many of the next generations fail, and how many panic.
    pub failures: AtomicUsize,
    pub panics: AtomicUsize,
    /// How many were begun.
    pub begun: AtomicUsize,
    /// How often the reserve was forgotten.
    pub forgotten: AtomicUsize,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            engine: SoftwareEngine::start().unwrap(),
            es256: Gate::default(),
            rs256: Gate::default(),
            failures: AtomicUsize::new(0),
            panics: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
        }
    }
}

fn take_one(count: &AtomicUsize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
}

#[async_trait]
impl SigningEngine for Engine {
    async fn generate(
        &self,
        specification: KeySpecification,
        urgency: Urgency,
    ) -> Result<KeyPair, EngineError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        match specification.algorithm {
            Algorithm::Es256 => self.es256.pass().await,
            _ => self.rs256.pass().await,
        }
        assert!(!take_one(&self.panics), "on purpose");
        if take_one(&self.failures) {
            return Err(EngineError::Generation(specification.algorithm));
        }
        self.engine.generate(specification, urgency).await
    }

    fn forget_reserve(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
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

pub struct World {
    world: access::World,
    pub engine: Arc<Engine>,
    pub faults: Arc<Unreliable>,
    /// Of a store in a file.
    pub folder: Option<Arc<TempDir>>,
}

impl Deref for World {
    type Target = access::World;

    fn deref(&self) -> &access::World {
        &self.world
    }
}

impl World {
    pub async fn in_memory() -> Self {
        let faults = Arc::new(Unreliable::default());
        Self::on(faults, Clock::manual(BEGIN), None, |_| {}).await
    }

    pub async fn in_a_file() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        Self::in_folder(folder, Clock::manual(BEGIN)).await
    }

    /// One of each store.
    pub async fn each() -> [Self; 2] {
        [Self::in_memory().await, Self::in_a_file().await]
    }

    pub async fn in_folder(folder: Arc<TempDir>, clock: Clock) -> Self {
        let file = folder.path().join("keywright.db");
        let store: Result<_, StoreError> = SqliteStore::open(&file, clock.clone()).await;
        let faults = Arc::new(Unreliable::on(Arc::new(store.unwrap())));
        Self::on(faults, clock, Some(folder), |_| {}).await
    }

    /// With other parts than most have.
    pub async fn on(
        faults: Arc<Unreliable>,
        clock: Clock,
        folder: Option<Arc<TempDir>>,
        vary: impl FnOnce(&mut Setup),
    ) -> Self {
        let engine = Arc::new(Engine::default());
        let mut setup = Setup::on(Arc::clone(&faults) as Arc<dyn Store>, clock);
        setup.engine = Arc::clone(&engine) as _;
        vary(&mut setup);
        Self {
            world: access::World::of(setup).await,
            engine,
            faults,
            folder,
        }
    }

    pub fn pass(&self, duration: Duration) {
        self.clock.set(self.clock.read().wall.after(duration));
    }

    /// A client of this role, admitted.
    pub async fn caller(&self, name: &str) -> Caller {
        let document = json!({"name": name, "roles": ["security", "admin"]});
        let (_, credential) = self.client(document).await;
        self.admit(&credential).await.unwrap()
    }

    pub async fn revoke(
        &self,
        issuer: &Arc<Issuer>,
        kid: &Kid,
        successor: Successor,
    ) -> Result<Exposure, ChangeError> {
        let request = Request::by(Actor::Bootstrap);
        promptly(self.authority.revoke(issuer, kid, successor, request)).await
    }

    pub async fn ask(
        &self,
        issuer: &Arc<Issuer>,
        operation: Operation,
    ) -> Result<ApprovalOutcome, ChangeError> {
        let request = Request::with_reason(Actor::Bootstrap, Some("drill".to_owned()));
        self.authority.ask(issuer, operation, request).await
    }

    /// The key that signs a token with this algorithm now.
    pub async fn signs_with(
        &self,
        issuer: &Issuer,
        algorithm: Algorithm,
    ) -> Result<Kid, SignRefusal> {
        let client = Client::new("anyone".to_owned(), terms(json!({})), BEGIN);
        let request = sign_request(&json!({"claims": {}, "alg": algorithm.as_str()}));
        let signed = sign(&issuer.leased_snapshot(), &client, request).await?;
        Ok(signed.kid)
    }

    pub async fn signs(&self, issuer: &Issuer) -> Result<Kid, SignRefusal> {
        self.signs_with(issuer, Algorithm::Es256).await
    }

    /// The kids of the events of this name.
    pub async fn events(&self, name: &str) -> Vec<Value> {
        let events = self.store.events(None, 0, 10_000).await.unwrap();
        let events = events.into_iter().map(|one| {
            let document: Value = serde_json::from_str(&one.event.document).unwrap();
            document
        });
        events.filter(|event| event["event"] == name).collect()
    }
}

/// Waits until a key signs and a successor stands by for it: nothing is generated then.
pub async fn full_set(issuer: &Issuer) {
    eventually("a full set", || {
        active(issuer).is_some() && pending(issuer).is_some()
    })
    .await;
}

/// It must not wait for what a test holds up.
pub async fn promptly<T>(future: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(SECOND * 10, future).await;
    in_time.expect("it waits for what is held up")
}

/// Lets other tasks and threads run until it is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(SECOND * 20, so).await;
    assert!(in_time.is_ok(), "{what} never happened");
}

/// Sets a policy, whatever is there.
pub fn set_policy(policy: Policy) -> Operation {
    Operation::SetPolicy {
        policy: Box::new(policy),
    }
}

pub fn active(issuer: &Issuer) -> Option<Kid> {
    let snapshot = issuer.snapshot();
    let active = snapshot.set().active(Algorithm::Es256);
    active.map(|key| key.kid().clone())
}

pub fn pending(issuer: &Issuer) -> Option<Kid> {
    let snapshot = issuer.snapshot();
    let mut keys = snapshot.set().keys().iter();
    let is_pending = |key: &&keywright::lifecycle::Key| {
        key.algorithm() == Algorithm::Es256 && matches!(key.state(), State::Pending(_))
    };
    keys.find(is_pending).map(|key| key.kid().clone())
}

pub fn publishes(issuer: &Issuer, kid: &Kid) -> bool {
    let snapshot = issuer.snapshot();
    let body = format!("{:?}", snapshot.publication().jwks().bytes);
    body.contains(kid.as_str())
}
